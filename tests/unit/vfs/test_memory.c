/* What only the simulated disk does: space, clocks, and what a loss of power leaves. */
#include "vfs_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit/os/child.h"

#define NEW    (QUARRY_VFS_WRITE | QUARRY_VFS_CREATE)
#define BLOCK  4096u
#define SECTOR 512u

static struct quarry_vfs *disk;

static int disk_begin(void **state)
{
    (void)state;
    return quarry_vfs_memory_create(1, &disk) == QUARRY_OK ? 0 : -1;
}

static int disk_end(void **state)
{
    (void)state;
    quarry_vfs_memory_destroy(disk);
    return 0;
}

static struct quarry_vfs_file *file_open(struct quarry_vfs *vfs, const char *path, uint32_t mode)
{
    struct quarry_vfs_file *file = NULL;
    assert_ok(quarry_vfs_open(vfs, path, mode, &file, NULL));
    return file;
}

static void file_fill(struct quarry_vfs_file *file, uint64_t offset, size_t byte_count, int byte)
{
    uint8_t *bytes = malloc(byte_count);
    assert_non_null(bytes);
    memset(bytes, byte, byte_count);
    assert_ok(quarry_vfs_write(file, offset, bytes, byte_count, NULL));
    free(bytes);
}

/* Makes a file that survives, name and all. */
static void put_durable(const char *path, size_t byte_count, int byte)
{
    struct quarry_vfs_file *file = file_open(disk, path, NEW);
    file_fill(file, 0, byte_count, byte);
    assert_ok(quarry_vfs_sync(file, NULL));
    assert_ok(quarry_vfs_sync_directory(disk, "/", NULL));
    quarry_vfs_close(file);
}

static struct quarry_vfs *crash(uint32_t kept_percent, uint64_t seed)
{
    struct quarry_vfs *left = NULL;
    assert_ok(quarry_vfs_memory_crash(disk, kept_percent, seed, &left));
    return left;
}

static bool has(struct quarry_vfs *vfs, const char *path)
{
    uint64_t byte_count;
    bool is_directory;
    return quarry_vfs_stat(vfs, path, &byte_count, &is_directory, NULL) == QUARRY_OK;
}

/* A whole file. Returns: its bytes, at most `capacity`. */
static size_t slurp(struct quarry_vfs *vfs, const char *path, uint8_t *buffer, size_t capacity)
{
    size_t byte_count = 0;
    struct quarry_vfs_file *file = file_open(vfs, path, QUARRY_VFS_READ);
    assert_ok(quarry_vfs_read(file, 0, buffer, capacity, &byte_count, NULL));
    quarry_vfs_close(file);
    return byte_count;
}

/* ---- space and clocks ---- */

static uint64_t free_bytes(void)
{
    uint64_t byte_count = 0;
    assert_ok(quarry_vfs_free_space(disk, "/", &byte_count, NULL));
    return byte_count;
}

static void a_full_disk_takes_what_fits_and_refuses_the_rest(void **state)
{
    (void)state;
    uint8_t bytes[8 * BLOCK] = {0};
    struct quarry_error error = {0};
    uint64_t byte_count = 0;
    quarry_vfs_memory_set_space(disk, 4 * BLOCK);
    struct quarry_vfs_file *file = file_open(disk, "/a", NEW);
    assert_int_equal(quarry_vfs_write(file, 0, bytes, sizeof bytes, &error), QUARRY_NO_SPACE);
    assert_non_null(strstr(error.text, "No space left"));
    assert_ok(quarry_vfs_size(file, &byte_count, NULL));
    assert_int_equal(byte_count, 4 * BLOCK);
    assert_int_equal(free_bytes(), 0);
    assert_ok(quarry_vfs_write(file, BLOCK, bytes, BLOCK, NULL)); /* in place */
    assert_int_equal(quarry_vfs_preallocate(file, 0, 5 * BLOCK, NULL), QUARRY_NO_SPACE);
    assert_ok(quarry_vfs_truncate(file, BLOCK, NULL));
    assert_int_equal(free_bytes(), 3 * BLOCK);
    assert_ok(quarry_vfs_preallocate(file, 0, 4 * BLOCK, NULL));
    assert_int_equal(free_bytes(), 0);
    assert_ok(quarry_vfs_write(file, 0, bytes, 4 * BLOCK, NULL)); /* preallocated: it fits */
    quarry_vfs_close(file);
}

static void space_comes_back_when_nobody_has_the_file(void **state)
{
    (void)state;
    quarry_vfs_memory_set_space(disk, 10 * BLOCK);
    put_durable("/a", 3 * BLOCK, 'x');
    struct quarry_vfs_file *file = file_open(disk, "/a", QUARRY_VFS_READ);
    assert_ok(quarry_vfs_link(disk, "/a", "/b", NULL));
    assert_ok(quarry_vfs_remove(disk, "/a", NULL));
    assert_ok(quarry_vfs_remove(disk, "/b", NULL));
    assert_int_equal(free_bytes(), 7 * BLOCK);
    quarry_vfs_close(file);
    assert_int_equal(free_bytes(), 10 * BLOCK); /* though a loss of power may bring it back */
    struct quarry_vfs *left = crash(0, 1);
    uint64_t byte_count = 0;
    assert_ok(quarry_vfs_free_space(left, "/", &byte_count, NULL));
    assert_int_equal(byte_count, 7 * BLOCK);
    quarry_vfs_memory_destroy(left);
}

static void clocks_stand_still_but_for_being_read(void **state)
{
    (void)state;
    uint64_t before_ns = quarry_vfs_monotonic_ns(disk);
    uint64_t wall_ns = quarry_vfs_wall_ns(disk);
    assert_int_equal(quarry_vfs_monotonic_ns(disk), before_ns + 2000);
    quarry_vfs_memory_pass_time(disk, 5000000);
    assert_int_equal(quarry_vfs_monotonic_ns(disk), before_ns + 5003000);
    assert_int_equal(quarry_vfs_wall_ns(disk), wall_ns + 5003000);
    struct quarry_vfs *left = crash(50, 1);
    assert_int_equal(quarry_vfs_wall_ns(left), wall_ns + 5004000);
    quarry_vfs_memory_destroy(left);
}

static void map_what_was_not_preallocated(void *argument)
{
    struct quarry_vfs_file *file = NULL;
    void *base = NULL;
    (void)argument;
    CHILD_CHECK(quarry_vfs_open(disk, "/a", NEW, &file, NULL) == QUARRY_OK);
    CHILD_CHECK(quarry_vfs_truncate(file, 4 * BLOCK, NULL) == QUARRY_OK);
    CHILD_CHECK(quarry_vfs_map(file, 0, BLOCK, &base, NULL) == QUARRY_UNSUPPORTED);
    CHILD_CHECK(quarry_vfs_preallocate(file, 0, 3 * BLOCK, NULL) == QUARRY_OK);
    CHILD_CHECK(quarry_vfs_map(file, 0, 3 * BLOCK, &base, NULL) == QUARRY_OK);
    void *other = NULL; /* overlaps in part */
    CHILD_CHECK(quarry_vfs_preallocate(file, 0, 4 * BLOCK, NULL) == QUARRY_OK);
    CHILD_CHECK(quarry_vfs_map(file, BLOCK, 3 * BLOCK, &other, NULL) == QUARRY_UNSUPPORTED);
    quarry_vfs_memory_destroy(disk); /* with a file open */
}

static void a_file_that_is_left_open_is_found(void **state)
{
    (void)state;
    child_assert_aborts(map_what_was_not_preallocated, NULL, "hold_count");
}

/* ---- what a loss of power leaves ---- */

static void with_nothing_kept_the_disk_is_as_it_was_synced(void **state)
{
    (void)state;
    uint8_t bytes[3 * BLOCK];
    put_durable("/a", 2 * BLOCK, 'x');
    put_durable("/gone", 10, 'g');
    struct quarry_vfs_file *file = file_open(disk, "/a", QUARRY_VFS_WRITE);
    file_fill(file, 100, 2 * BLOCK, 'y');
    assert_ok(quarry_vfs_rename(disk, "/gone", "/here", NULL));
    quarry_vfs_close(file_open(disk, "/new", NEW));
    struct quarry_vfs *left = crash(0, 1);
    assert_int_equal(slurp(left, "/a", bytes, sizeof bytes), 2 * BLOCK);
    for (size_t at = 0; at < (size_t)2 * BLOCK; at++) {
        assert_int_equal(bytes[at], 'x');
    }
    assert_true(has(left, "/gone"));
    assert_false(has(left, "/here"));
    assert_false(has(left, "/new"));
    quarry_vfs_memory_destroy(left);
    quarry_vfs_close(file);
}

static void with_everything_kept_the_disk_is_as_it_is(void **state)
{
    (void)state;
    uint8_t bytes[3 * BLOCK];
    put_durable("/a", 2 * BLOCK, 'x');
    put_durable("/gone", 10, 'g');
    struct quarry_vfs_file *file = file_open(disk, "/a", QUARRY_VFS_WRITE);
    file_fill(file, 100, 2 * BLOCK, 'y');
    assert_ok(quarry_vfs_rename(disk, "/gone", "/here", NULL));
    assert_ok(quarry_vfs_make_directory(disk, "/d", NULL));
    quarry_vfs_close(file_open(disk, "/d/new", NEW));
    struct quarry_vfs *left = crash(100, 1);
    assert_int_equal(slurp(left, "/a", bytes, sizeof bytes), 2 * BLOCK + 100);
    assert_int_equal(bytes[99], 'x');
    for (size_t at = 100; at < (size_t)2 * BLOCK + 100; at++) {
        assert_int_equal(bytes[at], 'y');
    }
    assert_false(has(left, "/gone"));
    assert_true(has(left, "/here"));
    assert_true(has(left, "/d/new"));
    quarry_vfs_memory_destroy(left);
    quarry_vfs_close(file);
}

static void a_synced_file_without_its_name_is_lost(void **state)
{
    (void)state;
    struct quarry_vfs_file *file = file_open(disk, "/a", NEW);
    file_fill(file, 0, 10, 'x');
    assert_ok(quarry_vfs_sync(file, NULL));
    quarry_vfs_close(file);
    unsigned kept_count = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct quarry_vfs *left = crash(50, seed);
        kept_count += has(left, "/a");
        quarry_vfs_memory_destroy(left);
    }
    assert_true(kept_count > 50 && kept_count < 150);
}

static void stores_through_a_mapping_are_unsynced_until_a_sync(void **state)
{
    (void)state;
    uint8_t bytes[2 * BLOCK];
    void *base = NULL;
    put_durable("/a", 2 * BLOCK, 'x');
    struct quarry_vfs_file *file = file_open(disk, "/a", QUARRY_VFS_WRITE);
    assert_ok(quarry_vfs_map(file, 0, (size_t)2 * BLOCK, &base, NULL));
    memset(base, 'm', BLOCK);
    struct quarry_vfs *left = crash(0, 1);
    (void)slurp(left, "/a", bytes, sizeof bytes);
    assert_int_equal(bytes[0], 'x');
    quarry_vfs_memory_destroy(left);
    left = crash(100, 1);
    (void)slurp(left, "/a", bytes, sizeof bytes);
    assert_int_equal(bytes[0], 'm');
    quarry_vfs_memory_destroy(left);
    assert_ok(quarry_vfs_sync(file, NULL));
    memset((uint8_t *)base + BLOCK, 'n', 10);
    quarry_vfs_unmap(file, base, (size_t)2 * BLOCK);
    left = crash(0, 1);
    (void)slurp(left, "/a", bytes, sizeof bytes);
    assert_int_equal(bytes[BLOCK - 1], 'm');
    assert_int_equal(bytes[BLOCK], 'x'); /* unmapping syncs nothing */
    quarry_vfs_memory_destroy(left);
    quarry_vfs_close(file);
}

/* Which of the bytes that a sector of a file may have were seen, over many losses of power. */
static void blocks_are_torn_between_sectors_and_nowhere_else(void **state)
{
    (void)state;
    uint8_t bytes[BLOCK];
    unsigned torn_count = 0;
    unsigned old_count = 0;
    unsigned new_count = 0;
    put_durable("/a", BLOCK, 'x');
    struct quarry_vfs_file *file = file_open(disk, "/a", QUARRY_VFS_WRITE);
    file_fill(file, 0, BLOCK, 'y');
    for (uint64_t seed = 0; seed < 400; seed++) {
        struct quarry_vfs *left = crash(50, seed);
        assert_int_equal(slurp(left, "/a", bytes, sizeof bytes), BLOCK);
        unsigned old_sectors = 0;
        for (size_t at = 0; at < BLOCK; at += SECTOR) {
            assert_true(bytes[at] == 'x' || bytes[at] == 'y');
            for (size_t within = 1; within < SECTOR; within++) {
                assert_int_equal(bytes[at + within], bytes[at]);
            }
            old_sectors += bytes[at] == 'x';
        }
        old_count += old_sectors == BLOCK / SECTOR;
        new_count += old_sectors == 0;
        torn_count += old_sectors != 0 && old_sectors != BLOCK / SECTOR;
        quarry_vfs_memory_destroy(left);
    }
    assert_true(torn_count > 40 && old_count > 40 && new_count > 40);
    quarry_vfs_close(file);
}

static void what_the_kernel_wrote_early_may_be_what_is_left(void **state)
{
    (void)state;
    uint8_t byte = 0;
    unsigned seen[256] = {0};
    put_durable("/a", 1, '1');
    struct quarry_vfs_file *file = file_open(disk, "/a", QUARRY_VFS_WRITE);
    file_fill(file, 0, 1, '2');
    assert_ok(quarry_vfs_start_sync(file, 0, 0, NULL));
    file_fill(file, 0, 1, '3');
    for (uint64_t seed = 0; seed < 400; seed++) {
        struct quarry_vfs *left = crash(50, seed);
        assert_int_equal(slurp(left, "/a", &byte, 1), 1);
        seen[byte]++;
        quarry_vfs_memory_destroy(left);
    }
    assert_int_equal(seen['1'] + seen['2'] + seen['3'], 400);
    assert_true(seen['1'] > 20 && seen['2'] > 20 && seen['3'] > 20);
    quarry_vfs_close(file);
}

/* An emptied and rewritten file may be empty, in part there, or old. */
static void an_unsynced_size_may_be_anything_that_it_was(void **state)
{
    (void)state;
    static uint8_t bytes[8 * BLOCK];
    unsigned old_count = 0;
    unsigned new_count = 0;
    unsigned between_count = 0;
    unsigned garbage_count = 0;
    put_durable("/0", BLOCK, 'g');
    put_durable("/a", 100, 'x');
    struct quarry_vfs_file *file = file_open(disk, "/a", QUARRY_VFS_WRITE | QUARRY_VFS_TRUNCATE);
    file_fill(file, 0, 3 * BLOCK, 'y');
    for (uint64_t seed = 0; seed < 600; seed++) {
        struct quarry_vfs *left = crash(50, seed);
        size_t byte_count = slurp(left, "/a", bytes, sizeof bytes);
        assert_true(byte_count <= (size_t)3 * BLOCK);
        old_count += byte_count == 100;
        new_count += byte_count == (size_t)3 * BLOCK;
        between_count += byte_count != 100 && byte_count != (size_t)3 * BLOCK;
        for (size_t at = 0; at < byte_count; at++) {
            assert_true(bytes[at] == 'y' || bytes[at] == 0 || (at < 100 && bytes[at] == 'x') ||
                        (at >= BLOCK && bytes[at] == 'g') || (at >= BLOCK && bytes[at] == 'x'));
        }
        garbage_count += byte_count > BLOCK && memchr(bytes + BLOCK, 'g', byte_count - BLOCK) != 0;
        quarry_vfs_memory_destroy(left);
    }
    assert_true(old_count > 100 && new_count > 100 && between_count > 20 && garbage_count > 5);
    quarry_vfs_close(file);
}

static void a_renamed_file_is_never_without_a_name(void **state)
{
    (void)state;
    unsigned seen[4] = {0};
    assert_ok(quarry_vfs_make_directory(disk, "/from", NULL));
    assert_ok(quarry_vfs_make_directory(disk, "/to", NULL));
    put_durable("/from/a", 10, 'x');
    assert_ok(quarry_vfs_sync_directory(disk, "/from", NULL));
    assert_ok(quarry_vfs_rename(disk, "/from/a", "/to/b", NULL));
    for (uint64_t seed = 0; seed < 400; seed++) {
        struct quarry_vfs *left = crash(50, seed);
        seen[has(left, "/from/a") * 2 + has(left, "/to/b")]++;
        quarry_vfs_memory_destroy(left);
    }
    assert_int_equal(seen[0], 0);
    assert_true(seen[1] > 40 && seen[2] > 40 && seen[3] > 40);
    /* Syncing where it came from syncs where it went to. */
    assert_ok(quarry_vfs_sync_directory(disk, "/from", NULL));
    struct quarry_vfs *left = crash(0, 1);
    assert_true(has(left, "/to/b") && !has(left, "/from/a"));
    quarry_vfs_memory_destroy(left);
}

static void a_directory_is_renamed_whole_or_not_at_all(void **state)
{
    (void)state;
    unsigned new_count = 0;
    assert_ok(quarry_vfs_make_directory(disk, "/a", NULL));
    put_durable("/a/file", 10, 'x');
    assert_ok(quarry_vfs_sync_directory(disk, "/a", NULL));
    assert_ok(quarry_vfs_rename(disk, "/a", "/b", NULL));
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct quarry_vfs *left = crash(50, seed);
        assert_int_equal(has(left, "/a/file") + has(left, "/b/file"), 1);
        assert_int_equal(has(left, "/a") + has(left, "/b"), 1);
        new_count += has(left, "/b");
        quarry_vfs_memory_destroy(left);
    }
    assert_true(new_count > 20 && new_count < 80);
}

/* The old name is taken by another, which is renamed away in turn: nobody is lost for that. */
static void an_old_name_goes_to_another_only_after_its_owner_has_left(void **state)
{
    (void)state;
    put_durable("/a", 10, 'x');
    assert_ok(quarry_vfs_rename(disk, "/a", "/b", NULL));
    assert_ok(quarry_vfs_make_directory(disk, "/a", NULL));
    assert_ok(quarry_vfs_rename(disk, "/a", "/c", NULL));
    for (uint64_t seed = 0; seed < 400; seed++) {
        uint64_t byte_count = 0;
        bool is_directory = true;
        struct quarry_vfs *left = crash(50, seed);
        if (!has(left, "/b")) {
            assert_ok(quarry_vfs_stat(left, "/a", &byte_count, &is_directory, NULL));
            assert_int_equal(byte_count, 10);
            assert_false(is_directory);
        }
        quarry_vfs_memory_destroy(left);
    }
}

static void names_of_removed_directories_are_forgotten(void **state)
{
    (void)state;
    for (unsigned turn = 0; turn < 50; turn++) {
        assert_ok(quarry_vfs_make_directory(disk, "/d", NULL));
        assert_ok(quarry_vfs_sync_directory(disk, "/", NULL));
        quarry_vfs_close(file_open(disk, "/d/a", NEW));
        assert_ok(quarry_vfs_rename(disk, "/d/a", "/a", NULL));
        assert_ok(quarry_vfs_remove_directory(disk, "/d", NULL));
        assert_ok(quarry_vfs_sync_directory(disk, "/", NULL));
        struct quarry_vfs *left = crash(50, turn);
        assert_true(has(left, "/a") && !has(left, "/d"));
        quarry_vfs_memory_destroy(left);
    }
}

static void a_loss_of_power_closes_and_unlocks_everything(void **state)
{
    (void)state;
    struct quarry_vfs_lock *lock = NULL;
    struct quarry_vfs_lock *other = NULL;
    put_durable("/LOCK", 1, 'x');
    assert_ok(quarry_vfs_take_lock(disk, "/LOCK", &lock, NULL));
    struct quarry_vfs *left = crash(50, 1);
    assert_ok(quarry_vfs_take_lock(left, "/LOCK", &other, NULL));
    quarry_vfs_unlock(other);
    quarry_vfs_unlock(lock);
    quarry_vfs_memory_destroy(left);
}

static void links_stay_links(void **state)
{
    (void)state;
    uint8_t byte = 0;
    put_durable("/a", 1, 'x');
    assert_ok(quarry_vfs_link(disk, "/a", "/b", NULL));
    assert_ok(quarry_vfs_sync_directory(disk, "/", NULL));
    struct quarry_vfs *left = crash(50, 1);
    struct quarry_vfs_file *file = file_open(left, "/b", QUARRY_VFS_WRITE);
    file_fill(file, 0, 1, 'z');
    assert_int_equal(slurp(left, "/a", &byte, 1), 1);
    assert_int_equal(byte, 'z');
    assert_int_equal(slurp(disk, "/a", &byte, 1), 1); /* the disk it was made from is another */
    assert_int_equal(byte, 'x');
    quarry_vfs_close(file);
    quarry_vfs_memory_destroy(left);
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, disk_begin, disk_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(a_full_disk_takes_what_fits_and_refuses_the_rest),
        EACH(space_comes_back_when_nobody_has_the_file),
        EACH(clocks_stand_still_but_for_being_read),
        EACH(a_file_that_is_left_open_is_found),
        EACH(with_nothing_kept_the_disk_is_as_it_was_synced),
        EACH(with_everything_kept_the_disk_is_as_it_is),
        EACH(a_synced_file_without_its_name_is_lost),
        EACH(stores_through_a_mapping_are_unsynced_until_a_sync),
        EACH(blocks_are_torn_between_sectors_and_nowhere_else),
        EACH(what_the_kernel_wrote_early_may_be_what_is_left),
        EACH(an_unsynced_size_may_be_anything_that_it_was),
        EACH(a_renamed_file_is_never_without_a_name),
        EACH(a_directory_is_renamed_whole_or_not_at_all),
        EACH(an_old_name_goes_to_another_only_after_its_owner_has_left),
        EACH(names_of_removed_directories_are_forgotten),
        EACH(a_loss_of_power_closes_and_unlocks_everything),
        EACH(links_stay_links),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
