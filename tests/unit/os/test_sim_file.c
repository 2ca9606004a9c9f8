/* The simulated twin's files: contents, holes, a full disk, and restarts. */
#include "cmocka_all.h"

#include <string.h>

#include <os/os_sim.h>

#include "child.h"

#define PAGE ((size_t)4096)

static struct os_sim sim;
static struct os *os = &sim.os;

/* A disk of sixteen blocks. */
static int start(void **state)
{
    (void)state;
    os_sim_init(&sim, &(struct os_sim_options){.disk_capacity_bytes = 16 * PAGE});
    return 0;
}

static int stop(void **state)
{
    (void)state;
    os_sim_fini(&sim);
    return 0;
}

static struct os_file open_file(const char *path)
{
    struct os_file file = {.fd = -1};
    assert_int_equal(os_file_open(os, path, &file), QUARRY_OK);
    return file;
}

static uint64_t size_of(struct os_file *file)
{
    uint64_t bytes = UINT64_MAX;
    assert_int_equal(os_file_size(os, file, &bytes), QUARRY_OK);
    return bytes;
}

static uint64_t disk_used_bytes(void)
{
    struct os_sim_counters now;
    os_sim_read_counters(&sim, &now);
    return now.disk_used_bytes;
}

static char *map_file(struct os_file *file, uint64_t offset, size_t bytes)
{
    void *base = NULL;
    assert_int_equal(os_reserve(os, bytes, PAGE, &base), QUARRY_OK);
    assert_int_equal(os_file_map(os, file, offset, base, bytes), QUARRY_OK);
    return base;
}

static void a_file_has_one_opener(void **state)
{
    (void)state;
    struct os_file second = {.fd = -1};
    struct os_file file = open_file("a");
    assert_int_equal(os_file_open(os, "a", &second), QUARRY_BUSY);
    assert_int_equal(second.fd, -1);
    second = open_file("b");
    assert_int_not_equal(second.fd, file.fd);
    os_file_close(os, &file);
    assert_int_equal(file.fd, -1);
    file = open_file("a");
}

static void what_is_written_can_be_read(void **state)
{
    (void)state;
    char bytes[6] = {0};
    struct os_file file = open_file("a");
    assert_int_equal(os_file_write(os, &file, PAGE - 2, "hello", 5), QUARRY_OK);
    assert_int_equal(size_of(&file), PAGE + 3);
    assert_int_equal(disk_used_bytes(), 2 * PAGE);
    assert_int_equal(os_file_read(os, &file, PAGE - 2, bytes, 5), QUARRY_OK);
    assert_string_equal(bytes, "hello");
    assert_int_equal(os_file_read(os, &file, PAGE - 2, bytes, 6), QUARRY_CORRUPT);
    assert_int_equal(os_file_read(os, &file, Q_MIB(1), bytes, 1), QUARRY_CORRUPT);
    assert_int_equal(os_file_read(os, &file, 0, bytes, 1), QUARRY_OK);
    assert_int_equal(bytes[0], 0);
}

static void resize_makes_holes_and_gives_blocks_back(void **state)
{
    (void)state;
    char bytes[4];
    struct os_file file = open_file("a");
    assert_int_equal(os_file_resize(os, &file, Q_MIB(1)), QUARRY_OK);
    assert_int_equal(disk_used_bytes(), 0);
    assert_int_equal(os_file_write(os, &file, 0, "abcd", 4), QUARRY_OK);
    assert_int_equal(os_file_preallocate(os, &file, PAGE, 4 * PAGE), QUARRY_OK);
    assert_int_equal(disk_used_bytes(), 5 * PAGE);
    assert_int_equal(os_file_resize(os, &file, 2), QUARRY_OK);
    assert_int_equal(disk_used_bytes(), PAGE);
    assert_int_equal(os_file_resize(os, &file, 4), QUARRY_OK);
    assert_int_equal(os_file_read(os, &file, 0, bytes, 4), QUARRY_OK);
    assert_memory_equal(bytes, "ab\0\0", 4);
    assert_int_equal(os_file_resize(os, &file, UINT64_MAX), QUARRY_TOO_LARGE);
    assert_int_equal(os_file_preallocate(os, &file, UINT64_MAX, 1), QUARRY_TOO_LARGE);
    assert_int_equal(os_file_punch(os, &file, UINT64_MAX, 1), QUARRY_TOO_LARGE);
    assert_int_equal(os_file_write(os, &file, UINT64_MAX, "a", 1), QUARRY_TOO_LARGE);
    assert_int_equal(size_of(&file), 4);
}

static void punch_gives_back_whole_blocks_and_zeroes_parts(void **state)
{
    (void)state;
    static char bytes[4 * 4096];
    struct os_file file = open_file("a");
    memset(bytes, 7, sizeof bytes);
    assert_int_equal(os_file_write(os, &file, 0, bytes, sizeof bytes), QUARRY_OK);
    assert_int_equal(os_file_punch(os, &file, PAGE - 1, 2 * PAGE + 2), QUARRY_OK);
    assert_int_equal(disk_used_bytes(), 2 * PAGE);
    assert_int_equal(size_of(&file), sizeof bytes);
    assert_int_equal(os_file_read(os, &file, 0, bytes, sizeof bytes), QUARRY_OK);
    for (size_t i = 0; i < sizeof bytes; i++)
        assert_int_equal(bytes[i], i >= PAGE - 1 && i < 3 * PAGE + 1 ? 0 : 7);
}

static void next_data_finds_each_range(void **state)
{
    (void)state;
    uint64_t start = 7;
    uint64_t end = 7;
    struct os_file file = open_file("a");
    assert_int_equal(os_file_next_data(os, &file, 0, &start, &end), QUARRY_NOT_FOUND);
    assert_int_equal(os_file_resize(os, &file, Q_MIB(1)), QUARRY_OK);
    assert_int_equal(os_file_next_data(os, &file, 0, &start, &end), QUARRY_NOT_FOUND);
    assert_int_equal(start, 7);
    assert_int_equal(os_file_preallocate(os, &file, 4 * PAGE, 2 * PAGE), QUARRY_OK);
    assert_int_equal(os_file_preallocate(os, &file, Q_MIB(1), 10), QUARRY_OK); /* the end */
    assert_int_equal(os_file_next_data(os, &file, 0, &start, &end), QUARRY_OK);
    assert_int_equal(start, 4 * PAGE);
    assert_int_equal(end, 6 * PAGE);
    assert_int_equal(os_file_next_data(os, &file, 5 * PAGE + 1, &start, &end), QUARRY_OK);
    assert_int_equal(start, 5 * PAGE + 1);
    assert_int_equal(end, 6 * PAGE);
    assert_int_equal(os_file_next_data(os, &file, end, &start, &end), QUARRY_OK);
    assert_int_equal(start, Q_MIB(1));
    assert_int_equal(end, Q_MIB(1) + 10);
    assert_int_equal(os_file_next_data(os, &file, end, &start, &end), QUARRY_NOT_FOUND);
}

static void a_full_disk_says_no_space_and_changes_nothing(void **state)
{
    (void)state;
    struct os_file file = open_file("a");
    struct os_file other = open_file("b");
    assert_int_equal(os_file_preallocate(os, &file, 0, 10 * PAGE), QUARRY_OK);
    assert_int_equal(os_file_preallocate(os, &other, 0, 7 * PAGE), QUARRY_NO_SPACE);
    assert_int_equal(size_of(&other), 0);
    assert_int_equal(os_file_preallocate(os, &other, 0, 6 * PAGE), QUARRY_OK);
    assert_int_equal(disk_used_bytes(), 16 * PAGE);
    assert_int_equal(os_file_write(os, &other, 6 * PAGE, "a", 1), QUARRY_NO_SPACE);
    assert_int_equal(size_of(&other), 6 * PAGE);
    assert_int_equal(os_file_write(os, &other, 0, "a", 1), QUARRY_OK); /* it has that block */
    assert_int_equal(os_file_preallocate(os, &file, 0, 10 * PAGE), QUARRY_OK);
    assert_int_equal(os_file_punch(os, &file, 0, PAGE), QUARRY_OK);
    assert_int_equal(os_file_write(os, &other, 6 * PAGE, "a", 1), QUARRY_OK);
    assert_int_equal(disk_used_bytes(), 16 * PAGE);
}

static void a_file_survives_a_restart(void **state)
{
    (void)state;
    uint64_t start = 0;
    uint64_t end = 0;
    char bytes[5];
    struct os_file file = open_file("cache/slabs");
    assert_int_equal(os_file_preallocate(os, &file, 0, 4 * PAGE), QUARRY_OK);
    char *base = map_file(&file, PAGE, 2 * PAGE);
    memcpy(base, "hello", 6);
    assert_int_equal(os_file_punch(os, &file, 3 * PAGE, PAGE), QUARRY_OK);
    os_file_close(os, &file);
    assert_int_equal(os_release(os, base, 2 * PAGE), QUARRY_OK);

    file = open_file("cache/slabs");
    assert_int_equal(size_of(&file), 4 * PAGE);
    assert_int_equal(os_file_read(os, &file, PAGE, bytes, 5), QUARRY_OK);
    assert_memory_equal(bytes, "hello", 5);
    base = map_file(&file, 0, 4 * PAGE);
    assert_memory_equal(base + PAGE, "hello", 5);
    assert_int_equal(os_file_next_data(os, &file, 0, &start, &end), QUARRY_OK);
    assert_int_equal(start, 0);
    assert_int_equal(end, 3 * PAGE);
    assert_int_equal(disk_used_bytes(), 3 * PAGE);
}

static void mapped_files_are_counted_apart_from_committed_memory(void **state)
{
    (void)state;
    struct os_sim_counters now;
    struct os_file file = open_file("a");
    assert_int_equal(os_file_preallocate(os, &file, 0, 2 * PAGE), QUARRY_OK);
    char *base = map_file(&file, 0, 2 * PAGE);
    os_sim_read_counters(&sim, &now);
    assert_int_equal(now.mapped_file_bytes, 2 * PAGE);
    assert_int_equal(now.committed_bytes, 0);
    assert_int_equal(os_release(os, base, 2 * PAGE), QUARRY_OK);
    os_sim_read_counters(&sim, &now);
    assert_int_equal(now.mapped_file_bytes, 0);
}

/* ---- what is a bug in the caller ------------------------------------------------------------ */

static struct os_file caught_file;

static void map_over(void *base)
{
    (void)os_file_map(os, &caught_file, 0, base, PAGE);
}
static void map_at_odd_offset(void *base)
{
    (void)os_file_map(os, &caught_file, 100, base, PAGE);
}
static void decommit_page(void *base)
{
    (void)os_decommit(os, base, PAGE);
}
static void commit_page(void *base)
{
    (void)os_commit(os, base, PAGE);
}
static void resize_closed(void *unused)
{
    (void)unused;
    struct os_file closed = caught_file;
    os_file_close(os, &caught_file);
    (void)os_file_resize(os, &closed, 0);
}
static void size_of_none(void *unused)
{
    (void)unused;
    uint64_t bytes;
    struct os_file none = {.fd = -1};
    (void)os_file_size(os, &none, &bytes);
}

static void misuse_of_a_file_aborts(void **state)
{
    (void)state;
    void *base = NULL;
    static char stranger[4096] __attribute__((aligned(4096)));
    caught_file = open_file("a");
    assert_int_equal(os_reserve(os, 2 * PAGE, PAGE, &base), QUARRY_OK);
    assert_int_equal(os_commit(os, base, PAGE), QUARRY_OK);
    child_assert_aborts(map_over, base, "a file mapped over committed pages");
    child_assert_aborts(map_over, stranger, "range outside every reservation");
    child_assert_aborts(map_at_odd_offset, (char *)base + PAGE, "offset not at a page");
    assert_int_equal(os_file_map(os, &caught_file, 0, (char *)base + PAGE, PAGE), QUARRY_OK);
    child_assert_aborts(decommit_page, (char *)base + PAGE, "pages that are not committed");
    child_assert_aborts(commit_page, (char *)base + PAGE, "commit of a mapped file");
    child_assert_aborts(resize_closed, NULL, "the file is closed");
    child_assert_aborts(size_of_none, NULL, "no such file");
}

#define on_a_disk(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        on_a_disk(a_file_has_one_opener),
        on_a_disk(what_is_written_can_be_read),
        on_a_disk(resize_makes_holes_and_gives_blocks_back),
        on_a_disk(punch_gives_back_whole_blocks_and_zeroes_parts),
        on_a_disk(next_data_finds_each_range),
        on_a_disk(a_full_disk_says_no_space_and_changes_nothing),
        on_a_disk(a_file_survives_a_restart),
        on_a_disk(mapped_files_are_counted_apart_from_committed_memory),
        on_a_disk(misuse_of_a_file_aborts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
