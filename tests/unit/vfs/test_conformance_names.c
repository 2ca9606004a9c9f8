/* What every vfs does with names alike. */
#include "vfs_rig.h"

#include <stdio.h>
#include <string.h>

#define NEW (QUARRY_VFS_WRITE | QUARRY_VFS_CREATE)

static enum quarry_status rename_status(struct vfs_rig *rig, const char *from, const char *to)
{
    return quarry_vfs_rename(rig->vfs, vfs_rig_path(rig, from), vfs_rig_path(rig, to), NULL);
}

static enum quarry_status make_directory(struct vfs_rig *rig, const char *name)
{
    return quarry_vfs_make_directory(rig->vfs, vfs_rig_path(rig, name), NULL);
}

static enum quarry_status remove_directory(struct vfs_rig *rig, const char *name)
{
    return quarry_vfs_remove_directory(rig->vfs, vfs_rig_path(rig, name), NULL);
}

static enum quarry_status remove_file(struct vfs_rig *rig, const char *name)
{
    return quarry_vfs_remove(rig->vfs, vfs_rig_path(rig, name), NULL);
}

static void removing_takes_the_name_away(void **state)
{
    struct vfs_rig *rig = *state;
    vfs_rig_put(rig, "a", "x");
    assert_ok(remove_file(rig, "a"));
    assert_false(vfs_rig_has(rig, "a"));
    assert_int_equal(remove_file(rig, "a"), QUARRY_NOT_FOUND);
    assert_ok(make_directory(rig, "d"));
    assert_int_equal(remove_file(rig, "d"), QUARRY_BAD_INPUT);
}

static void renaming_puts_a_file_in_place_of_another(void **state)
{
    struct vfs_rig *rig = *state;
    vfs_rig_put(rig, "a", "new");
    vfs_rig_put(rig, "b", "old");
    assert_ok(rename_status(rig, "a", "b"));
    assert_false(vfs_rig_has(rig, "a"));
    vfs_rig_expect(rig, "b", "new");
    assert_ok(rename_status(rig, "b", "b"));
    vfs_rig_expect(rig, "b", "new");
    assert_ok(rename_status(rig, "b", "c"));
    vfs_rig_expect(rig, "c", "new");
    assert_int_equal(rename_status(rig, "b", "c"), QUARRY_NOT_FOUND);
    assert_int_equal(rename_status(rig, "c", "no/c"), QUARRY_NOT_FOUND);
    vfs_rig_expect(rig, "c", "new");
}

static void directories_are_renamed_with_what_is_in_them(void **state)
{
    struct vfs_rig *rig = *state;
    assert_ok(make_directory(rig, "d"));
    assert_ok(make_directory(rig, "d/e"));
    assert_ok(make_directory(rig, "into"));
    vfs_rig_put(rig, "d/e/a", "deep");
    assert_ok(rename_status(rig, "d", "into/f"));
    vfs_rig_expect(rig, "into/f/e/a", "deep");
    vfs_rig_expect(rig, "into/f/e/../../f/e/./a", "deep");
    assert_false(vfs_rig_has(rig, "d"));
    assert_int_equal(rename_status(rig, "into", "into/f/x"), QUARRY_BAD_INPUT);
    assert_ok(make_directory(rig, "empty"));
    assert_ok(rename_status(rig, "into", "empty"));
    vfs_rig_expect(rig, "empty/f/e/a", "deep");
}

static void files_and_directories_do_not_replace_each_other(void **state)
{
    struct vfs_rig *rig = *state;
    assert_ok(make_directory(rig, "d"));
    assert_ok(make_directory(rig, "full"));
    vfs_rig_put(rig, "full/a", "x");
    vfs_rig_put(rig, "file", "x");
    assert_int_equal(rename_status(rig, "file", "d"), QUARRY_BAD_INPUT);
    assert_int_equal(rename_status(rig, "d", "file"), QUARRY_NOT_FOUND);
    assert_int_equal(rename_status(rig, "d", "full"), QUARRY_BUSY);
    vfs_rig_expect(rig, "file", "x");
    vfs_rig_expect(rig, "full/a", "x");
}

static void a_link_is_a_second_name(void **state)
{
    struct vfs_rig *rig = *state;
    vfs_rig_put(rig, "a", "one");
    assert_ok(quarry_vfs_link(rig->vfs, vfs_rig_path(rig, "a"), vfs_rig_path(rig, "b"), NULL));
    struct quarry_vfs_file *file = vfs_rig_open(rig, "b", QUARRY_VFS_WRITE);
    assert_ok(quarry_vfs_write(file, 0, "two", 3, NULL));
    quarry_vfs_close(file);
    vfs_rig_expect(rig, "a", "two");
    assert_ok(rename_status(rig, "a", "b")); /* the same file: nothing happens */
    vfs_rig_expect(rig, "a", "two");
    assert_ok(remove_file(rig, "a"));
    vfs_rig_expect(rig, "b", "two");
}

static void links_are_refused_where_a_name_is_taken_or_missing(void **state)
{
    struct vfs_rig *rig = *state;
    vfs_rig_put(rig, "a", "");
    vfs_rig_put(rig, "b", "");
    assert_ok(make_directory(rig, "d"));
    const char *a = vfs_rig_path(rig, "a");
    assert_int_equal(quarry_vfs_link(rig->vfs, a, vfs_rig_path(rig, "b"), NULL), QUARRY_EXISTS);
    assert_int_equal(
        quarry_vfs_link(rig->vfs, vfs_rig_path(rig, "x"), vfs_rig_path(rig, "c"), NULL),
        QUARRY_NOT_FOUND);
    assert_int_equal(quarry_vfs_link(rig->vfs, a, vfs_rig_path(rig, "x/c"), NULL),
                     QUARRY_NOT_FOUND);
    assert_int_equal(
        quarry_vfs_link(rig->vfs, vfs_rig_path(rig, "d"), vfs_rig_path(rig, "c"), NULL),
        QUARRY_UNSUPPORTED);
}

static void directories_are_made_in_directories(void **state)
{
    struct vfs_rig *rig = *state;
    assert_int_equal(make_directory(rig, "d/e"), QUARRY_NOT_FOUND);
    assert_ok(make_directory(rig, "d"));
    assert_ok(make_directory(rig, "d/e"));
    assert_int_equal(make_directory(rig, "d"), QUARRY_EXISTS);
    vfs_rig_put(rig, "a", "");
    assert_int_equal(make_directory(rig, "a"), QUARRY_EXISTS);
    assert_int_equal(make_directory(rig, "a/b"), QUARRY_NOT_FOUND);
}

static void only_empty_directories_are_removed(void **state)
{
    struct vfs_rig *rig = *state;
    assert_ok(make_directory(rig, "d"));
    vfs_rig_put(rig, "d/a", "x");
    assert_int_equal(remove_directory(rig, "d"), QUARRY_BUSY);
    assert_ok(remove_file(rig, "d/a"));
    assert_ok(remove_directory(rig, "d"));
    assert_int_equal(remove_directory(rig, "d"), QUARRY_NOT_FOUND);
    vfs_rig_put(rig, "a", "x");
    assert_int_equal(remove_directory(rig, "a"), QUARRY_NOT_FOUND);
    vfs_rig_expect(rig, "a", "x");
}

/* ---- listing ---- */

#define NAMES 700u

struct listing {
    struct vfs_rig *rig;
    unsigned seen[NAMES];
    unsigned name_count;
    unsigned stop_after; /* 0: never */
    bool removes;
};

static bool note_name(void *argument, const char *name)
{
    struct listing *listing = argument;
    unsigned index = NAMES;
    assert_int_equal(sscanf(name, "file-with-a-name-of-some-length-%u", &index), 1);
    assert_true(index < NAMES);
    listing->seen[index]++;
    listing->name_count++;
    if (listing->removes) {
        assert_ok(remove_file(listing->rig, name));
    }
    return listing->name_count != listing->stop_after;
}

static void put_many(struct vfs_rig *rig)
{
    char name[64];
    for (unsigned at = 0; at < NAMES; at++) {
        snprintf(name, sizeof name, "file-with-a-name-of-some-length-%u", at);
        quarry_vfs_close(vfs_rig_open(rig, name, NEW));
    }
}

static void a_listing_has_each_name_once(void **state)
{
    struct listing listing = {.rig = *state};
    put_many(*state);
    assert_ok(quarry_vfs_list(listing.rig->vfs, listing.rig->root, note_name, &listing, NULL));
    for (unsigned at = 0; at < NAMES; at++) {
        assert_int_equal(listing.seen[at], 1);
    }
}

static void a_listing_ends_when_it_is_told_to(void **state)
{
    struct listing listing = {.rig = *state, .stop_after = 3};
    put_many(*state);
    assert_ok(quarry_vfs_list(listing.rig->vfs, listing.rig->root, note_name, &listing, NULL));
    assert_int_equal(listing.name_count, 3);
}

static void files_may_be_removed_while_they_are_listed(void **state)
{
    struct listing listing = {.rig = *state, .removes = true};
    put_many(*state);
    assert_ok(quarry_vfs_list(listing.rig->vfs, listing.rig->root, note_name, &listing, NULL));
    assert_int_equal(listing.name_count, NAMES);
    listing.name_count = 0;
    assert_ok(quarry_vfs_list(listing.rig->vfs, listing.rig->root, note_name, &listing, NULL));
    assert_int_equal(listing.name_count, 0);
}

static void only_directories_are_listed_and_synced(void **state)
{
    struct vfs_rig *rig = *state;
    struct listing listing = {.rig = rig};
    vfs_rig_put(rig, "a", "x");
    assert_ok(quarry_vfs_sync_directory(rig->vfs, rig->root, NULL));
    const char *file = vfs_rig_path(rig, "a");
    const char *absent = vfs_rig_path(rig, "b");
    assert_int_equal(quarry_vfs_sync_directory(rig->vfs, file, NULL), QUARRY_NOT_FOUND);
    assert_int_equal(quarry_vfs_sync_directory(rig->vfs, absent, NULL), QUARRY_NOT_FOUND);
    assert_int_equal(quarry_vfs_list(rig->vfs, file, note_name, &listing, NULL), QUARRY_NOT_FOUND);
    assert_int_equal(quarry_vfs_list(rig->vfs, absent, note_name, &listing, NULL),
                     QUARRY_NOT_FOUND);
}

static void stat_tells_size_and_kind(void **state)
{
    struct vfs_rig *rig = *state;
    uint64_t byte_count = 0;
    bool is_directory = true;
    vfs_rig_put(rig, "a", "12345");
    assert_ok(quarry_vfs_stat(rig->vfs, vfs_rig_path(rig, "a"), &byte_count, &is_directory, NULL));
    assert_int_equal(byte_count, 5);
    assert_false(is_directory);
    assert_ok(quarry_vfs_stat(rig->vfs, rig->root, &byte_count, &is_directory, NULL));
    assert_true(is_directory);
    byte_count = 77;
    assert_int_equal(
        quarry_vfs_stat(rig->vfs, vfs_rig_path(rig, "b"), &byte_count, &is_directory, NULL),
        QUARRY_NOT_FOUND);
    assert_int_equal(byte_count, 77); /* written only on success */
}

/* ---- locks ---- */

static void a_lock_is_held_once(void **state)
{
    struct vfs_rig *rig = *state;
    struct quarry_vfs_lock *lock = NULL;
    struct quarry_vfs_lock *second = NULL;
    struct quarry_error error = {0};
    assert_ok(make_directory(rig, "d"));
    assert_ok(quarry_vfs_take_lock(rig->vfs, vfs_rig_path(rig, "LOCK"), &lock, NULL));
    assert_true(vfs_rig_has(rig, "LOCK"));
    assert_int_equal(quarry_vfs_take_lock(rig->vfs, vfs_rig_path(rig, "LOCK"), &second, &error),
                     QUARRY_BUSY);
    assert_non_null(strstr(error.text, "held by this process"));
    assert_int_equal(
        quarry_vfs_take_lock(rig->vfs, vfs_rig_path(rig, "d/../LOCK"), &second, &error),
        QUARRY_BUSY);
    assert_ok(quarry_vfs_take_lock(rig->vfs, vfs_rig_path(rig, "OTHER"), &second, NULL));
    quarry_vfs_unlock(lock);
    assert_ok(quarry_vfs_take_lock(rig->vfs, vfs_rig_path(rig, "LOCK"), &lock, NULL));
    quarry_vfs_unlock(second);
    quarry_vfs_unlock(lock);
}

static void a_lock_needs_a_file_that_can_be(void **state)
{
    struct vfs_rig *rig = *state;
    struct quarry_vfs_lock *lock = NULL;
    assert_int_equal(quarry_vfs_take_lock(rig->vfs, vfs_rig_path(rig, "no/LOCK"), &lock, NULL),
                     QUARRY_NOT_FOUND);
    assert_int_equal(quarry_vfs_take_lock(rig->vfs, rig->root, &lock, NULL), QUARRY_BAD_INPUT);
    assert_null(lock);
    quarry_vfs_unlock(NULL);
    quarry_vfs_close(NULL);
}

/* ---- space and clocks ---- */

static void space_is_told_for_what_is_there(void **state)
{
    struct vfs_rig *rig = *state;
    uint64_t byte_count = 0;
    assert_ok(quarry_vfs_free_space(rig->vfs, rig->root, &byte_count, NULL));
    assert_true(byte_count > 0);
    assert_int_equal(
        quarry_vfs_free_space(rig->vfs, vfs_rig_path(rig, "absent"), &byte_count, NULL),
        QUARRY_NOT_FOUND);
}

static void clocks_go_forward(void **state)
{
    struct vfs_rig *rig = *state;
    uint64_t before_ns = quarry_vfs_monotonic_ns(rig->vfs);
    uint64_t wall_ns = quarry_vfs_wall_ns(rig->vfs);
    while (quarry_vfs_monotonic_ns(rig->vfs) == before_ns) {
    }
    assert_true(quarry_vfs_monotonic_ns(rig->vfs) > before_ns);
    assert_true(wall_ns > UINT64_C(1600000000000000000));
}

#define EACH(test) cmocka_unit_test_teardown(test, vfs_rig_clear)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(removing_takes_the_name_away),
        EACH(renaming_puts_a_file_in_place_of_another),
        EACH(directories_are_renamed_with_what_is_in_them),
        EACH(files_and_directories_do_not_replace_each_other),
        EACH(a_link_is_a_second_name),
        EACH(links_are_refused_where_a_name_is_taken_or_missing),
        EACH(directories_are_made_in_directories),
        EACH(only_empty_directories_are_removed),
        EACH(a_listing_has_each_name_once),
        EACH(a_listing_ends_when_it_is_told_to),
        EACH(files_may_be_removed_while_they_are_listed),
        EACH(only_directories_are_listed_and_synced),
        EACH(stat_tells_size_and_kind),
        EACH(a_lock_is_held_once),
        EACH(a_lock_needs_a_file_that_can_be),
        EACH(space_is_told_for_what_is_there),
        EACH(clocks_go_forward),
    };
    return cmocka_run_group_tests_name("names of the machine", tests, vfs_rig_posix, vfs_rig_end) +
           cmocka_run_group_tests_name("names in memory", tests, vfs_rig_memory, vfs_rig_end) +
           cmocka_run_group_tests_name("names that may fail", tests, vfs_rig_fault, vfs_rig_end);
}
