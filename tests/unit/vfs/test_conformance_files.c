/* What every vfs does with files alike: the machine's, the one in memory, the one that fails. */
#include "vfs_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit/base/random.h"

#define NEW      (QUARRY_VFS_WRITE | QUARRY_VFS_CREATE)
#define KIB(n)   ((size_t)(n) << 10)
#define FAR_AWAY ((uint64_t)INT64_MAX + 5)

static enum quarry_status open_status(struct vfs_rig *rig, const char *path, uint32_t mode,
                                      struct quarry_error *error)
{
    struct quarry_vfs_file *file = NULL;
    enum quarry_status status = quarry_vfs_open(rig->vfs, path, mode, &file, error);
    quarry_vfs_close(file);
    return status;
}

static uint64_t size_of(struct quarry_vfs_file *file)
{
    uint64_t byte_count = UINT64_MAX;
    assert_ok(quarry_vfs_size(file, &byte_count, NULL));
    return byte_count;
}

/* Fails the test unless `byte_count` bytes at `offset` are all `byte`. */
static void expect_bytes(struct quarry_vfs_file *file, uint64_t offset, size_t byte_count,
                         uint8_t byte)
{
    uint8_t *buffer = malloc(byte_count);
    size_t read_count = 0;
    assert_non_null(buffer);
    assert_ok(quarry_vfs_read(file, offset, buffer, byte_count, &read_count, NULL));
    assert_int_equal(read_count, byte_count);
    for (size_t at = 0; at < byte_count; at++) {
        assert_int_equal(buffer[at], byte);
    }
    free(buffer);
}

static void write_bytes(struct quarry_vfs_file *file, uint64_t offset, size_t byte_count,
                        uint8_t byte)
{
    uint8_t *buffer = malloc(byte_count);
    assert_non_null(buffer);
    memset(buffer, byte, byte_count);
    assert_ok(quarry_vfs_write(file, offset, buffer, byte_count, NULL));
    free(buffer);
}

static void what_is_written_is_read(void **state)
{
    vfs_rig_put(*state, "a", "hello");
    vfs_rig_expect(*state, "a", "hello");
}

static void opening_says_what_is_missing_and_what_is_there(void **state)
{
    struct vfs_rig *rig = *state;
    const char *path = vfs_rig_path(rig, "a");
    assert_int_equal(open_status(rig, path, QUARRY_VFS_READ, NULL), QUARRY_NOT_FOUND);
    assert_int_equal(open_status(rig, path, QUARRY_VFS_WRITE, NULL), QUARRY_NOT_FOUND);
    assert_int_equal(open_status(rig, path, NEW | QUARRY_VFS_EXCLUSIVE, NULL), QUARRY_OK);
    assert_int_equal(open_status(rig, path, NEW | QUARRY_VFS_EXCLUSIVE, NULL), QUARRY_EXISTS);
    assert_int_equal(open_status(rig, path, NEW, NULL), QUARRY_OK);
    assert_int_equal(open_status(rig, path, QUARRY_VFS_READ, NULL), QUARRY_OK);
}

static void truncating_at_opening_empties(void **state)
{
    vfs_rig_put(*state, "a", "hello");
    quarry_vfs_close(vfs_rig_open(*state, "a", QUARRY_VFS_WRITE | QUARRY_VFS_TRUNCATE));
    vfs_rig_expect(*state, "a", "");
}

static void opening_refuses_what_is_no_path_of_a_file(void **state)
{
    struct vfs_rig *rig = *state;
    char name[QUARRY_VFS_NAME_BYTES_MAX + 1];
    char path[QUARRY_VFS_PATH_BYTES_MAX + 1];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    for (size_t at = 0; at < sizeof path - 1; at++) {
        path[at] = "/."[at % 2];
    }
    path[sizeof path - 1] = '\0';
    vfs_rig_put(rig, "file", "");
    assert_int_equal(open_status(rig, rig->root, QUARRY_VFS_READ, NULL), QUARRY_BAD_INPUT);
    assert_int_equal(open_status(rig, rig->root, NEW, NULL), QUARRY_BAD_INPUT);
    assert_int_equal(open_status(rig, vfs_rig_path(rig, name), NEW, NULL), QUARRY_BAD_INPUT);
    assert_int_equal(open_status(rig, path, QUARRY_VFS_READ, NULL), QUARRY_BAD_INPUT);
    assert_int_equal(open_status(rig, "", NEW, NULL), QUARRY_NOT_FOUND);
    assert_int_equal(open_status(rig, vfs_rig_path(rig, "no/a"), NEW, NULL), QUARRY_NOT_FOUND);
    assert_int_equal(open_status(rig, vfs_rig_path(rig, "file/a"), NEW, NULL), QUARRY_NOT_FOUND);
    name[QUARRY_VFS_NAME_BYTES_MAX - 1] = '\0'; /* the longest there may be */
    assert_int_equal(open_status(rig, vfs_rig_path(rig, name), NEW, NULL), QUARRY_OK);
}

static void reading_ends_where_the_file_does(void **state)
{
    char buffer[16] = "";
    size_t byte_count = 99;
    vfs_rig_put(*state, "a", "0123456789");
    struct quarry_vfs_file *file = vfs_rig_open(*state, "a", QUARRY_VFS_READ);
    assert_ok(quarry_vfs_read(file, 7, buffer, sizeof buffer, &byte_count, NULL));
    assert_int_equal(byte_count, 3);
    assert_memory_equal(buffer, "789", 3);
    assert_ok(quarry_vfs_read(file, 10, buffer, sizeof buffer, &byte_count, NULL));
    assert_int_equal(byte_count, 0);
    assert_ok(quarry_vfs_read(file, FAR_AWAY, buffer, sizeof buffer, &byte_count, NULL));
    assert_int_equal(byte_count, 0);
    assert_ok(quarry_vfs_read(file, 0, buffer, 0, &byte_count, NULL));
    assert_int_equal(byte_count, 0);
    quarry_vfs_close(file);
}

static void writing_behind_the_end_leaves_zeros_between(void **state)
{
    struct quarry_vfs_file *file = vfs_rig_open(*state, "a", NEW);
    write_bytes(file, 0, 10, 'x');
    write_bytes(file, 20000, 5, 'y');
    assert_int_equal(size_of(file), 20005);
    expect_bytes(file, 0, 10, 'x');
    expect_bytes(file, 10, 19990, 0);
    expect_bytes(file, 20000, 5, 'y');
    assert_ok(quarry_vfs_write(file, 1 << 20, "z", 0, NULL)); /* nothing: the size stays */
    assert_int_equal(size_of(file), 20005);
    quarry_vfs_close(file);
}

static void sizes_that_no_file_has_are_refused(void **state)
{
    struct quarry_vfs_file *file = vfs_rig_open(*state, "a", NEW);
    struct quarry_error error = {0};
    assert_int_equal(quarry_vfs_write(file, FAR_AWAY, "x", 1, &error), QUARRY_TOO_LARGE);
    assert_int_equal(quarry_vfs_write(file, INT64_MAX - 1, "xyz", 3, NULL), QUARRY_TOO_LARGE);
    assert_int_equal(quarry_vfs_truncate(file, FAR_AWAY, NULL), QUARRY_TOO_LARGE);
    assert_int_equal(quarry_vfs_truncate(file, INT64_MAX, NULL), QUARRY_TOO_LARGE);
    assert_int_equal(quarry_vfs_preallocate(file, FAR_AWAY, 1, NULL), QUARRY_TOO_LARGE);
    assert_int_equal(size_of(file), 0);
    quarry_vfs_close(file);
}

static void a_shorter_file_forgets_what_was_behind(void **state)
{
    struct quarry_vfs_file *file = vfs_rig_open(*state, "a", NEW);
    write_bytes(file, 0, KIB(20), 'x');
    assert_ok(quarry_vfs_truncate(file, 5000, NULL));
    assert_int_equal(size_of(file), 5000);
    assert_ok(quarry_vfs_truncate(file, KIB(20), NULL));
    expect_bytes(file, 0, 5000, 'x');
    expect_bytes(file, 5000, KIB(20) - 5000, 0);
    quarry_vfs_close(file);
}

static void preallocating_grows_with_zeros_and_keeps_what_is_there(void **state)
{
    struct quarry_vfs_file *file = vfs_rig_open(*state, "a", NEW);
    write_bytes(file, 100, 10, 'x');
    assert_ok(quarry_vfs_preallocate(file, 0, KIB(64), NULL));
    assert_int_equal(size_of(file), KIB(64));
    assert_ok(quarry_vfs_preallocate(file, 0, 10, NULL)); /* never shorter */
    assert_ok(quarry_vfs_preallocate(file, KIB(100), 0, NULL));
    assert_int_equal(size_of(file), KIB(64));
    expect_bytes(file, 100, 10, 'x');
    expect_bytes(file, 110, KIB(64) - 110, 0);
    quarry_vfs_close(file);
}

static void a_mapping_and_the_file_are_the_same_bytes(void **state)
{
    struct quarry_vfs_file *file = vfs_rig_open(*state, "a", NEW);
    void *base = NULL;
    assert_ok(quarry_vfs_preallocate(file, 0, KIB(64), NULL));
    write_bytes(file, KIB(8), KIB(4), 'w');
    assert_ok(quarry_vfs_map(file, KIB(4), KIB(16), &base, NULL));
    uint8_t *bytes = base;
    assert_int_equal(bytes[KIB(4)], 'w');
    memset(bytes, 'm', 100);
    expect_bytes(file, KIB(4), 100, 'm');
    write_bytes(file, KIB(4) + 50, 10, 'v');
    assert_int_equal(bytes[49], 'm');
    assert_int_equal(bytes[50], 'v');
    write_bytes(file, KIB(64), KIB(300), 'g'); /* the file grows, the mapping stays */
    bytes[KIB(16) - 1] = 'e';
    expect_bytes(file, KIB(20) - 1, 1, 'e');
    assert_ok(quarry_vfs_sync(file, NULL));
    quarry_vfs_unmap(file, base, KIB(16));
    expect_bytes(file, KIB(20) - 1, 1, 'e');
    expect_bytes(file, KIB(4), 50, 'm');
    quarry_vfs_close(file);
}

static void windows_are_mapped_one_after_the_other(void **state)
{
    struct quarry_vfs_file *file = vfs_rig_open(*state, "a", NEW);
    assert_ok(quarry_vfs_preallocate(file, 0, KIB(64), NULL));
    for (uint64_t at = 0; at < KIB(64); at += KIB(8)) { /* half of each is mapped again */
        size_t byte_count = at + KIB(16) <= KIB(64) ? KIB(16) : KIB(8);
        void *base = NULL;
        assert_ok(quarry_vfs_map(file, at, byte_count, &base, NULL));
        memset(base, (int)(at / KIB(8)) + 1, byte_count);
        quarry_vfs_unmap(file, base, byte_count);
    }
    for (uint64_t at = 0; at < KIB(64); at += KIB(8)) {
        expect_bytes(file, at, KIB(8), (uint8_t)(at / KIB(8) + 1));
    }
    quarry_vfs_close(file);
}

static void two_mappings_of_a_range_are_one(void **state)
{
    struct quarry_vfs_file *file = vfs_rig_open(*state, "a", NEW);
    struct quarry_vfs_file *again = vfs_rig_open(*state, "a", QUARRY_VFS_WRITE);
    void *base = NULL;
    void *other = NULL;
    assert_ok(quarry_vfs_preallocate(file, 0, KIB(16), NULL));
    assert_ok(quarry_vfs_map(file, 0, KIB(16), &base, NULL));
    assert_ok(quarry_vfs_map(again, KIB(4), KIB(8), &other, NULL));
    ((volatile char *)base)[KIB(4) + 3] = 'q';
    assert_int_equal(((volatile char *)other)[3], 'q');
    quarry_vfs_unmap(file, base, KIB(16));
    ((volatile char *)other)[4] = 'r';
    expect_bytes(file, KIB(4) + 4, 1, 'r');
    quarry_vfs_unmap(again, other, KIB(8));
    quarry_vfs_close(again);
    quarry_vfs_close(file);
}

static void a_removed_file_goes_on_while_it_is_open(void **state)
{
    struct vfs_rig *rig = *state;
    vfs_rig_put(rig, "a", "old");
    struct quarry_vfs_file *file = vfs_rig_open(rig, "a", QUARRY_VFS_WRITE);
    assert_ok(quarry_vfs_remove(rig->vfs, vfs_rig_path(rig, "a"), NULL));
    vfs_rig_put(rig, "a", "new");
    write_bytes(file, 3, 2, '!');
    expect_bytes(file, 3, 2, '!');
    vfs_rig_expect(rig, "a", "new");
    quarry_vfs_close(file);
}

static void advice_and_early_writing_change_nothing(void **state)
{
    struct quarry_vfs_file *file = vfs_rig_open(*state, "a", NEW);
    write_bytes(file, 0, KIB(40), 'x');
    assert_ok(quarry_vfs_start_sync(file, 0, KIB(8), NULL));
    assert_ok(quarry_vfs_start_sync(file, KIB(8), 0, NULL));
    assert_ok(quarry_vfs_start_sync(file, FAR_AWAY, 0, NULL));
    assert_ok(quarry_vfs_sync(file, NULL));
    quarry_vfs_advise(file, 0, 0, QUARRY_VFS_SEQUENTIAL);
    quarry_vfs_advise(file, 0, KIB(4), QUARRY_VFS_WILL_READ);
    quarry_vfs_advise(file, 0, 0, QUARRY_VFS_DROP);
    quarry_vfs_advise(file, FAR_AWAY, FAR_AWAY, QUARRY_VFS_DROP);
    expect_bytes(file, 0, KIB(40), 'x');
    quarry_vfs_close(file);
}

static void errors_name_the_operation_and_the_end_of_the_path(void **state)
{
    struct vfs_rig *rig = *state;
    struct quarry_error error = {0};
    assert_int_equal(open_status(rig, vfs_rig_path(rig, "absent"), QUARRY_VFS_READ, &error),
                     QUARRY_NOT_FOUND);
    assert_int_equal(error.status, QUARRY_NOT_FOUND);
    assert_int_equal(error.os_errno, 2);
    assert_non_null(strstr(error.text, "open"));
    assert_non_null(strstr(error.text, "/absent'"));
    assert_non_null(strstr(error.text, "No such file"));
    char path[2000];
    memset(path, '/', sizeof path);
    snprintf(path + 1800, 200, "somewhere/\xc3\xa9t\xc3\xa9/absent");
    assert_int_equal(open_status(rig, path, QUARRY_VFS_READ, &error), QUARRY_NOT_FOUND);
    assert_non_null(strstr(error.text, "/absent'"));
    assert_non_null(strstr(error.text, "No such file"));
    struct quarry_vfs_file *file = vfs_rig_open(rig, "a", NEW);
    assert_int_equal(quarry_vfs_write(file, FAR_AWAY, "x", 1, &error), QUARRY_TOO_LARGE);
    assert_non_null(strstr(error.text, "write"));
    assert_non_null(strstr(error.text, "/a'"));
    assert_non_null(strstr(error.text, "1 bytes at 9223372036854775812"));
    quarry_vfs_close(file);
}

/* ---- a thousand operations against an array ---- */

#define SHADOW_BYTES KIB(100)

struct shadow {
    struct quarry_vfs_file *file;
    uint8_t bytes[SHADOW_BYTES];
    uint64_t byte_count;
    uint64_t random;
};

static void shadow_write(struct shadow *shadow)
{
    size_t offset = random_u64(&shadow->random) % (SHADOW_BYTES / 2);
    size_t byte_count = random_u64(&shadow->random) % (SHADOW_BYTES / 8);
    uint8_t byte = (uint8_t)(random_u64(&shadow->random) | 1);
    write_bytes(shadow->file, offset, byte_count, byte);
    if (byte_count == 0) {
        return;
    }
    memset(shadow->bytes + offset, byte, byte_count);
    if (offset + byte_count > shadow->byte_count) {
        shadow->byte_count = offset + byte_count;
    }
}

static void shadow_truncate(struct shadow *shadow)
{
    size_t byte_count = random_u64(&shadow->random) % SHADOW_BYTES;
    assert_ok(quarry_vfs_truncate(shadow->file, byte_count, NULL));
    if (byte_count < shadow->byte_count) {
        memset(shadow->bytes + byte_count, 0, shadow->byte_count - byte_count);
    }
    shadow->byte_count = byte_count;
}

static void shadow_preallocate_and_map(struct shadow *shadow)
{
    size_t offset = KIB(4) * (random_u64(&shadow->random) % 12);
    size_t byte_count = KIB(4) * (random_u64(&shadow->random) % 8 + 1);
    uint8_t byte = (uint8_t)(random_u64(&shadow->random) | 1);
    void *base = NULL;
    assert_ok(quarry_vfs_preallocate(shadow->file, offset, byte_count, NULL));
    assert_ok(quarry_vfs_map(shadow->file, offset, byte_count, &base, NULL));
    if (offset + byte_count > shadow->byte_count) {
        shadow->byte_count = offset + byte_count;
    }
    assert_memory_equal(base, shadow->bytes + offset, byte_count);
    memset(base, byte, byte_count / 3);
    memset(shadow->bytes + offset, byte, byte_count / 3);
    quarry_vfs_unmap(shadow->file, base, byte_count);
}

static void shadow_compare(struct shadow *shadow)
{
    uint8_t buffer[KIB(20)];
    size_t offset = random_u64(&shadow->random) % SHADOW_BYTES;
    size_t byte_count = 0;
    size_t expected = offset >= shadow->byte_count ? 0 : (size_t)shadow->byte_count - offset;
    expected = expected < sizeof buffer ? expected : sizeof buffer;
    assert_ok(quarry_vfs_read(shadow->file, offset, buffer, sizeof buffer, &byte_count, NULL));
    assert_int_equal(byte_count, expected);
    assert_memory_equal(buffer, shadow->bytes + offset, expected);
    assert_int_equal(size_of(shadow->file), shadow->byte_count);
}

static void a_file_is_an_array_of_bytes_whatever_is_done_to_it(void **state)
{
    static struct shadow shadow;
    shadow = (struct shadow){.random = 7, .file = vfs_rig_open(*state, "a", NEW)};
    for (unsigned step = 0; step < 3000; step++) {
        switch (random_u64(&shadow.random) % 8) {
        case 0:
            shadow_truncate(&shadow);
            break;
        case 1:
            shadow_preallocate_and_map(&shadow);
            break;
        case 2:
            assert_ok(step % 16 == 0 ? quarry_vfs_sync(shadow.file, NULL)
                                     : quarry_vfs_start_sync(shadow.file, 0, KIB(30), NULL));
            break;
        case 3:
        case 4:
        case 5:
            shadow_write(&shadow);
            break;
        default:
            shadow_compare(&shadow);
        }
    }
    quarry_vfs_close(shadow.file);
}

#define EACH(test) cmocka_unit_test_teardown(test, vfs_rig_clear)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(what_is_written_is_read),
        EACH(opening_says_what_is_missing_and_what_is_there),
        EACH(truncating_at_opening_empties),
        EACH(opening_refuses_what_is_no_path_of_a_file),
        EACH(reading_ends_where_the_file_does),
        EACH(writing_behind_the_end_leaves_zeros_between),
        EACH(sizes_that_no_file_has_are_refused),
        EACH(a_shorter_file_forgets_what_was_behind),
        EACH(preallocating_grows_with_zeros_and_keeps_what_is_there),
        EACH(a_mapping_and_the_file_are_the_same_bytes),
        EACH(windows_are_mapped_one_after_the_other),
        EACH(two_mappings_of_a_range_are_one),
        EACH(a_removed_file_goes_on_while_it_is_open),
        EACH(advice_and_early_writing_change_nothing),
        EACH(errors_name_the_operation_and_the_end_of_the_path),
        EACH(a_file_is_an_array_of_bytes_whatever_is_done_to_it),
    };
    return cmocka_run_group_tests_name("files of the machine", tests, vfs_rig_posix, vfs_rig_end) +
           cmocka_run_group_tests_name("files in memory", tests, vfs_rig_memory, vfs_rig_end) +
           cmocka_run_group_tests_name("files that may fail", tests, vfs_rig_fault, vfs_rig_end);
}
