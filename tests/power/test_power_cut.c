/* That cutting the power does what it says: what was synced is there, what was not is gone. */
#include "power_cut.h"

#include <stdio.h>
#include <string.h>

#include <quarry/vfs.h>

#include "unit/os/cmocka_all.h"

#define assert_ok(call) assert_int_equal((call), QUARRY_OK)
#define NEW             (QUARRY_VFS_WRITE | QUARRY_VFS_CREATE | QUARRY_VFS_TRUNCATE)
#define CYCLES          10u

static struct power_cut cut;
static bool can_cut;
static struct quarry_vfs *vfs;

static int begin(void **state)
{
    (void)state;
    vfs = quarry_vfs_posix();
    can_cut = power_cut_begin(&cut, 32u << 20);
    return 0;
}

static int end(void **state)
{
    (void)state;
    if (can_cut) {
        power_cut_end(&cut);
    }
    return 0;
}

static void skip_where_it_cannot_be(void)
{
    if (!can_cut) {
        print_message("skipped: power cannot be cut here, see above\n");
        skip();
    }
}

static const char *path_of(const char *name)
{
    static char paths[4][128];
    static unsigned index;
    char *path = paths[index++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", cut.mount, name);
    return path;
}

static void put(const char *name, const char *text, bool is_synced)
{
    struct quarry_vfs_file *file = NULL;
    assert_ok(quarry_vfs_open(vfs, path_of(name), NEW, &file, NULL));
    assert_ok(quarry_vfs_write(file, 0, text, strlen(text), NULL));
    if (is_synced) {
        assert_ok(quarry_vfs_sync(file, NULL));
    }
    quarry_vfs_close(file);
}

static void expect(const char *name, const char *text)
{
    char buffer[64] = "";
    size_t byte_count = 0;
    struct quarry_vfs_file *file = NULL;
    assert_ok(quarry_vfs_open(vfs, path_of(name), QUARRY_VFS_READ, &file, NULL));
    assert_ok(quarry_vfs_read(file, 0, buffer, sizeof buffer - 1, &byte_count, NULL));
    quarry_vfs_close(file);
    assert_string_equal(buffer, text);
}

static void what_was_synced_is_there_and_the_rest_is_gone(void **state)
{
    (void)state;
    skip_where_it_cannot_be();
    struct quarry_vfs_file *file = NULL;
    put("synced", "kept", true);
    assert_ok(quarry_vfs_sync_directory(vfs, cut.mount, NULL));
    put("unsynced", "lost", false);
    power_cut_now(&cut);
    power_cut_restore(&cut);
    expect("synced", "kept");
    assert_int_equal(quarry_vfs_open(vfs, path_of("unsynced"), QUARRY_VFS_READ, &file, NULL),
                     QUARRY_NOT_FOUND);
}

static void what_is_open_fails_when_the_power_is_cut(void **state)
{
    (void)state;
    skip_where_it_cannot_be();
    struct quarry_error error = {0};
    struct quarry_vfs_file *file = NULL;
    assert_ok(quarry_vfs_open(vfs, path_of("open"), NEW, &file, NULL));
    assert_ok(quarry_vfs_write(file, 0, "x", 1, NULL));
    power_cut_now(&cut);
    assert_int_equal(quarry_vfs_sync(file, &error), QUARRY_IO);
    assert_int_equal(quarry_vfs_write(file, 0, "y", 1, NULL), QUARRY_IO);
    assert_int_equal(quarry_vfs_sync_directory(vfs, cut.mount, NULL), QUARRY_IO);
    quarry_vfs_close(file);
    power_cut_restore(&cut);
}

static void a_file_put_in_place_of_another_is_the_old_one_or_the_new(void **state)
{
    (void)state;
    skip_where_it_cannot_be();
    char old[32] = "";
    char new[32] = "";
    for (unsigned cycle = 0; cycle < CYCLES; cycle++) {
        bool is_synced = cycle % 2 == 0;
        snprintf(new, sizeof new, "generation %u", cycle);
        put("CURRENT.tmp", new, true);
        assert_ok(quarry_vfs_rename(vfs, path_of("CURRENT.tmp"), path_of("CURRENT"), NULL));
        if (is_synced) {
            assert_ok(quarry_vfs_sync_directory(vfs, cut.mount, NULL));
        }
        power_cut_now(&cut);
        power_cut_restore(&cut);
        expect("CURRENT", is_synced ? new : old);
        if (is_synced) {
            memcpy(old, new, sizeof old);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_synced_is_there_and_the_rest_is_gone),
        cmocka_unit_test(what_is_open_fails_when_the_power_is_cut),
        cmocka_unit_test(a_file_put_in_place_of_another_is_the_old_one_or_the_new),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
