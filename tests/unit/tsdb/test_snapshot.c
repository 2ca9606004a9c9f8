/*
 * Snapshots: the newest is read, all of it or nothing; at every moment there is one.
 */
#include "unit/tsdb/disk_rig.h"

#include <stdio.h>
#include <string.h>

#include <tsdb/snapshot.h>

static struct tsdb_snapshot_options options(void)
{
    return (struct tsdb_snapshot_options){
        .vfs = rig_vfs, .directory = RIG_DIRECTORY, .memory = &rig_small};
}

/* A snapshot that says which one it is, in every byte. */
static enum quarry_status write_snapshot(uint8_t mark, uint64_t *ret_generation)
{
    static char bytes[100000];
    const struct tsdb_slice pieces[] = {{bytes, 70000}, {bytes, 30000}};
    const struct tsdb_section sections[] = {{1, 0, pieces, 2}, {2, 0, pieces, 1}};
    const struct tsdb_snapshot_options at = options();

    memset(bytes, mark, sizeof(bytes));
    return tsdb_snapshot_write(&at, sections, 2, ret_generation, NULL);
}

static void no_loss(void *argument, const struct tsdb_section_info *info, uint64_t offset,
                    uint64_t byte_count)
{
    (void)info;
    (void)offset;
    (void)byte_count;
    *(bool *)argument = true;
}

/* The mark of the newest snapshot below one that is whole; 0: there is none. */
static uint8_t read_newest(uint64_t below, uint64_t *ret_generation)
{
    static char bytes[100000];
    const struct tsdb_snapshot_options at = options();
    struct tsdb_section_file *snapshot = NULL;
    bool is_lost = false;
    enum quarry_status status = tsdb_snapshot_open(&at, below, &snapshot, ret_generation, NULL);

    if (status == QUARRY_NOT_FOUND) {
        return 0;
    }
    if (status == QUARRY_CORRUPT) {
        return read_newest(*ret_generation, ret_generation);
    }
    assert_int_equal(status, QUARRY_OK);
    assert_int_equal(tsdb_section_file_count(snapshot), 2);
    status = tsdb_section_file_read(snapshot, 0, bytes, no_loss, &is_lost, NULL);
    tsdb_section_file_close(snapshot);
    if (status != QUARRY_OK) {
        assert_true(is_lost);
        return read_newest(*ret_generation, ret_generation);
    }
    for (size_t i = 1; i < sizeof(bytes); i++) {
        assert_int_equal(bytes[i], bytes[0]);
    }
    return (uint8_t)bytes[0];
}

static void generations_rise_and_the_newest_is_read(void **state)
{
    uint64_t generation = 0, read_generation = 0;

    (void)state;
    assert_int_equal(read_newest(UINT64_MAX, &generation), 0);
    for (uint8_t mark = 1; mark < 6; mark++) {
        assert_int_equal(write_snapshot(mark, &generation), QUARRY_OK);
        assert_int_equal(generation, mark);
        assert_int_equal(read_newest(UINT64_MAX, &read_generation), mark);
        assert_int_equal(read_generation, generation);
        /* Those before are gone. */
        assert_int_equal(read_newest(generation, &read_generation), 0);
    }
}

static struct quarry_vfs *cut_disk;
static uint64_t cut_index, cut_seed;

static void cut_power(void *argument, enum quarry_vfs_operation operation, const char *path,
                      uint64_t index)
{
    (void)argument;
    (void)operation;
    (void)path;
    if (index == cut_index) {
        assert_int_equal(
            quarry_vfs_memory_crash(rig_disk, (uint32_t)cut_seed * 14, cut_seed, &cut_disk),
            QUARRY_OK);
    }
}

static void at_every_moment_there_is_a_whole_one(void **state)
{
    const struct quarry_vfs_fault fault = {.status = QUARRY_OK, .notice = cut_power};
    uint64_t generation = 0, counts[3] = {0};

    (void)state;
    for (cut_seed = 0; cut_seed < 8; cut_seed++) {
        for (cut_index = 1;; cut_index++) {
            disk_rig_clear();
            assert_int_equal(write_snapshot(1, &generation), QUARRY_OK);
            cut_disk = NULL;
            quarry_vfs_fault_set(rig_vfs, 0, &fault);
            assert_int_equal(write_snapshot(2, &generation), QUARRY_OK);
            quarry_vfs_fault_set(rig_vfs, 0, NULL);
            if (cut_disk == NULL) {
                break;
            }
            struct quarry_vfs *before = rig_vfs;
            rig_vfs = cut_disk;
            uint8_t mark = read_newest(UINT64_MAX, &generation);
            assert_in_range(mark, 1, 2);
            counts[mark]++;
            /* The next one is written over whatever was left. */
            assert_int_equal(write_snapshot(3, &generation), QUARRY_OK);
            assert_int_equal(read_newest(UINT64_MAX, &generation), 3);
            rig_vfs = before;
            quarry_vfs_memory_destroy(cut_disk);
        }
        assert_true(cut_index > 10);
    }
    assert_true(counts[1] > 50 && counts[2] > 5);
}

static void any_operation_may_fail_once(void **state)
{
    uint64_t generation = 0, hits = 1;

    (void)state;
    for (uint64_t index = 1; hits != 0; index++) {
        const struct quarry_vfs_fault fault = {
            .first = index, .count = 1, .is_partial = true, .status = QUARRY_IO};
        disk_rig_clear();
        assert_int_equal(write_snapshot(1, &generation), QUARRY_OK);
        quarry_vfs_fault_set(rig_vfs, 0, &fault);
        enum quarry_status status = write_snapshot(2, &generation);
        hits = quarry_vfs_fault_hits(rig_vfs, 0);
        quarry_vfs_fault_set(rig_vfs, 0, NULL);
        disk_rig_lose_power(0, index);
        uint8_t mark = read_newest(UINT64_MAX, &generation);
        assert_in_range(mark, status == QUARRY_OK ? 2 : 1, 2);
    }
}

static void a_damaged_one_is_told_and_those_before_are_looked_at(void **state)
{
    const struct tsdb_snapshot_options at = options();
    const uint32_t mode = QUARRY_VFS_WRITE | QUARRY_VFS_CREATE;
    struct tsdb_section_file *snapshot = NULL;
    struct quarry_vfs_file *file = NULL;
    uint64_t generation = 0;

    (void)state;
    assert_int_equal(write_snapshot(1, &generation), QUARRY_OK);
    assert_int_equal(
        quarry_vfs_open(rig_vfs, RIG_DIRECTORY "/snapshot-000009.qts", mode, &file, NULL),
        QUARRY_OK);
    assert_int_equal(quarry_vfs_write(file, 0, "what is this", 12, NULL), QUARRY_OK);
    quarry_vfs_close(file);
    assert_int_equal(tsdb_snapshot_open(&at, UINT64_MAX, &snapshot, &generation, NULL),
                     QUARRY_CORRUPT);
    assert_int_equal(generation, 9);
    assert_int_equal(read_newest(UINT64_MAX, &generation), 1);
    assert_int_equal(write_snapshot(4, &generation), QUARRY_OK);
    assert_int_equal(generation, 10);
    assert_int_equal(read_newest(UINT64_MAX, &generation), 4);
}

static void names_are_what_was_made_and_nothing_else(void **state)
{
    static const char *const bad[] = {"",
                                      "window-.qtw",
                                      "window-1.qtw2",
                                      "window-01.qtw",
                                      "window-1-1.log",
                                      "window-1-000000.log",
                                      "snapshot-7.qts",
                                      "snapshot-000000.qts",
                                      "window-99999999999999999999.qtw",
                                      "window-+1.qtw",
                                      "LOCK",
                                      ".tmp"};
    struct tsdb_file_name name;
    struct tsdb_path path;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(tsdb_file_parse(bad[i], &name));
    }
    assert_true(tsdb_file_parse("window--12-000345.log", &name));
    assert_int_equal(name.kind, TSDB_FILE_SEGMENT);
    assert_int_equal(name.window, -12);
    assert_int_equal(name.number, 345);
    name = (struct tsdb_file_name){
        .kind = TSDB_FILE_SEGMENT, .window = INT64_MIN, .number = UINT64_MAX};
    assert_int_equal(tsdb_file_path("/a", &name, &path, NULL), QUARRY_OK);
    assert_string_equal(path.text, "/a/window--9223372036854775808-18446744073709551615.log");
    assert_true(tsdb_file_parse(path.text + 3, &name));
    assert_true(name.window == INT64_MIN && name.number == UINT64_MAX);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, disk_rig_set_up, disk_rig_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(generations_rise_and_the_newest_is_read),
        TEST(at_every_moment_there_is_a_whole_one),
        TEST(any_operation_may_fail_once),
        TEST(a_damaged_one_is_told_and_those_before_are_looked_at),
        TEST(names_are_what_was_made_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
