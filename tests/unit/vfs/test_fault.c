/* A vfs that fails on command: counting, choosing, and a sweep over all operations of a workload.
 */
#include "vfs_rig.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define NEW (QUARRY_VFS_WRITE | QUARRY_VFS_CREATE)

static struct quarry_vfs *below;
static struct quarry_vfs *vfs;

static int begin(void **state)
{
    (void)state;
    assert_ok(quarry_vfs_memory_create(1, &below));
    assert_ok(quarry_vfs_fault_create(below, 1, &vfs));
    return 0;
}

static int end(void **state)
{
    (void)state;
    quarry_vfs_fault_destroy(vfs);
    quarry_vfs_memory_destroy(below);
    return 0;
}

static struct quarry_vfs_file *open_file(const char *path, uint32_t mode)
{
    struct quarry_vfs_file *file = NULL;
    assert_ok(quarry_vfs_open(vfs, path, mode, &file, NULL));
    return file;
}

/* All kinds of operations, one after the other, until one fails. Leaves nothing open. */
static enum quarry_status run_everything(struct quarry_error *error)
{
    struct quarry_vfs_file *file = NULL;
    struct quarry_vfs_lock *lock = NULL;
    void *base = NULL;
    char byte;
    size_t count;
    uint64_t byte_count;
    bool is_directory;
    enum quarry_status status = quarry_vfs_make_directory(vfs, "/d", error);
#define THEN(call)                                                                                 \
    if (status == QUARRY_OK)                                                                       \
    status = (call)
    THEN(quarry_vfs_take_lock(vfs, "/d/LOCK", &lock, error));
    THEN(quarry_vfs_open(vfs, "/d/a", NEW, &file, error));
    THEN(quarry_vfs_write(file, 0, "x", 1, error));
    THEN(quarry_vfs_start_sync(file, 0, 0, error));
    THEN(quarry_vfs_preallocate(file, 0, 4096, error));
    THEN(quarry_vfs_map(file, 0, 4096, &base, error));
    if (base != NULL) {
        quarry_vfs_unmap(file, base, 4096);
    }
    THEN(quarry_vfs_truncate(file, 10, error));
    THEN(quarry_vfs_size(file, &byte_count, error));
    THEN(quarry_vfs_sync(file, error));
    THEN(quarry_vfs_read(file, 0, &byte, 1, &count, error));
    if (file != NULL) {
        quarry_vfs_advise(file, 0, 0, QUARRY_VFS_DROP);
    }
    quarry_vfs_close(file);
    file = NULL;
    THEN(quarry_vfs_open(vfs, "/d/a", NEW, &file, error));
    quarry_vfs_close(file);
    THEN(quarry_vfs_rename(vfs, "/d/a", "/d/b", error));
    THEN(quarry_vfs_link(vfs, "/d/b", "/d/c", error));
    THEN(quarry_vfs_sync_directory(vfs, "/d", error));
    THEN(quarry_vfs_stat(vfs, "/d/c", &byte_count, &is_directory, error));
    THEN(quarry_vfs_free_space(vfs, "/d", &byte_count, error));
    quarry_vfs_unlock(lock);
    THEN(quarry_vfs_remove(vfs, "/d/c", error));
    THEN(quarry_vfs_remove(vfs, "/d/b", error));
    THEN(quarry_vfs_remove(vfs, "/d/LOCK", error));
    THEN(quarry_vfs_list(vfs, "/d", NULL, NULL, error));
    THEN(quarry_vfs_remove_directory(vfs, "/d", error));
#undef THEN
    return status;
}

static void every_kind_is_counted(void **state)
{
    (void)state;
    assert_ok(run_everything(NULL));
    uint64_t sum = 0;
    for (unsigned kind = 0; kind < QUARRY_VFS_OPS; kind++) {
        uint64_t count = quarry_vfs_fault_count(vfs, (enum quarry_vfs_operation)kind);
        assert_int_equal(count, kind == QUARRY_VFS_OP_REMOVE ? 3 : 1);
        sum += count;
    }
    assert_int_equal(quarry_vfs_fault_count(vfs, QUARRY_VFS_OPS), sum);
}

static void each_operation_of_a_workload_can_fail(void **state)
{
    assert_ok(run_everything(NULL));
    uint64_t operation_count = quarry_vfs_fault_count(vfs, QUARRY_VFS_OPS);
    for (uint64_t at = 1; at <= operation_count; at++) {
        struct quarry_error error = {0};
        struct quarry_vfs_fault fault = {
            .first = at, .count = 1, .status = QUARRY_IO, .os_errno = EIO};
        end(state);
        begin(state);
        quarry_vfs_fault_set(vfs, 3, &fault);
        assert_int_equal(run_everything(&error), QUARRY_IO);
        assert_int_equal(error.os_errno, EIO);
        assert_non_null(strstr(error.text, "'/d"));
        assert_int_equal(quarry_vfs_fault_count(vfs, QUARRY_VFS_OPS), at);
        assert_int_equal(quarry_vfs_fault_hits(vfs, 3), 1);
    }
}

static enum quarry_status write_at(struct quarry_vfs_file *file)
{
    return quarry_vfs_write(file, 0, "x", 1, NULL);
}

static void faults_are_chosen_by_kind_path_and_number(void **state)
{
    (void)state;
    struct quarry_vfs_file *log = open_file("/1.log", NEW);
    struct quarry_vfs_file *table = open_file("/1.sst", NEW);
    struct quarry_vfs_fault fault = {.operations = 1u << QUARRY_VFS_OP_WRITE,
                                     .path_contains = ".log",
                                     .first = 2,
                                     .count = 2,
                                     .status = QUARRY_NO_SPACE};
    quarry_vfs_fault_set(vfs, 0, &fault);
    assert_ok(write_at(log));
    assert_ok(write_at(table));
    assert_ok(quarry_vfs_sync(log, NULL));
    assert_int_equal(write_at(log), QUARRY_NO_SPACE);
    assert_ok(write_at(table));
    assert_int_equal(write_at(log), QUARRY_NO_SPACE);
    assert_ok(write_at(log));
    assert_int_equal(quarry_vfs_fault_hits(vfs, 0), 2);
    fault.count = 0; /* for ever */
    quarry_vfs_fault_set(vfs, 0, &fault);
    assert_int_equal(quarry_vfs_fault_hits(vfs, 0), 0);
    assert_ok(write_at(log)); /* counted anew */
    for (unsigned turn = 0; turn < 5; turn++) {
        assert_int_equal(write_at(log), QUARRY_NO_SPACE);
    }
    quarry_vfs_fault_set(vfs, 0, NULL);
    assert_ok(write_at(log));
    quarry_vfs_close(log);
    quarry_vfs_close(table);
}

static void making_a_file_is_a_kind_of_its_own(void **state)
{
    (void)state;
    struct quarry_vfs_file *file = NULL;
    struct quarry_vfs_fault fault = {.operations = 1u << QUARRY_VFS_OP_CREATE,
                                     .status = QUARRY_TOO_MANY};
    quarry_vfs_close(open_file("/old", NEW));
    quarry_vfs_fault_set(vfs, 0, &fault);
    quarry_vfs_close(open_file("/old", NEW));
    assert_int_equal(quarry_vfs_open(vfs, "/new", NEW, &file, NULL), QUARRY_TOO_MANY);
    assert_int_equal(quarry_vfs_open(below, "/new", QUARRY_VFS_READ, &file, NULL),
                     QUARRY_NOT_FOUND);
}

static void both_names_of_a_rename_are_looked_at(void **state)
{
    (void)state;
    struct quarry_vfs_fault fault = {.path_contains = "CURRENT", .status = QUARRY_IO};
    quarry_vfs_close(open_file("/1.tmp", NEW));
    quarry_vfs_fault_set(vfs, 0, &fault);
    assert_int_equal(quarry_vfs_rename(vfs, "/1.tmp", "/CURRENT", NULL), QUARRY_IO);
    assert_int_equal(quarry_vfs_link(vfs, "/1.tmp", "/CURRENT", NULL), QUARRY_IO);
    assert_ok(quarry_vfs_rename(vfs, "/1.tmp", "/2.tmp", NULL));
}

static void a_write_that_fails_may_have_written_a_part(void **state)
{
    (void)state;
    struct quarry_vfs_fault fault = {
        .operations = 1u << QUARRY_VFS_OP_WRITE, .status = QUARRY_NO_SPACE, .is_partial = true};
    unsigned between_count = 0;
    for (unsigned turn = 0; turn < 50; turn++) {
        char bytes[100];
        uint64_t byte_count = 0;
        struct quarry_vfs_file *file = open_file("/a", NEW | QUARRY_VFS_TRUNCATE);
        memset(bytes, 'p', sizeof bytes);
        quarry_vfs_fault_set(vfs, 0, &fault);
        assert_int_equal(quarry_vfs_write(file, 0, bytes, sizeof bytes, NULL), QUARRY_NO_SPACE);
        assert_ok(quarry_vfs_size(file, &byte_count, NULL));
        assert_true(byte_count < sizeof bytes);
        between_count += byte_count > 0;
        quarry_vfs_close(file);
    }
    assert_true(between_count > 25);
}

static void a_read_may_be_told_of_an_end_that_is_too_early(void **state)
{
    (void)state;
    struct quarry_vfs_fault fault = {.operations = 1u << QUARRY_VFS_OP_READ, .is_partial = true};
    char bytes[100];
    struct quarry_vfs_file *file = open_file("/a", NEW);
    memset(bytes, 'p', sizeof bytes);
    assert_ok(quarry_vfs_write(file, 0, bytes, sizeof bytes, NULL));
    quarry_vfs_fault_set(vfs, 0, &fault);
    for (unsigned turn = 0; turn < 20; turn++) {
        size_t byte_count = sizeof bytes;
        assert_ok(quarry_vfs_read(file, 0, bytes, sizeof bytes, &byte_count, NULL));
        assert_true(byte_count < sizeof bytes);
    }
    quarry_vfs_close(file);
}

/* The most valuable of all rules: what a failed sync was to save is lost, and nobody says so. */
static void what_a_failed_sync_dropped_is_gone_after_the_next_one(void **state)
{
    (void)state;
    char bytes[2] = "";
    size_t byte_count = 0;
    struct quarry_vfs *left = NULL;
    struct quarry_vfs_fault fault = {
        .operations = 1u << QUARRY_VFS_OP_SYNC, .count = 1, .status = QUARRY_IO, .os_errno = EIO};
    struct quarry_vfs_file *file = open_file("/a", NEW);
    assert_ok(quarry_vfs_write(file, 0, "o", 1, NULL));
    assert_ok(quarry_vfs_sync(file, NULL));
    assert_ok(quarry_vfs_sync_directory(vfs, "/", NULL));
    assert_ok(quarry_vfs_write(file, 0, "n", 1, NULL));
    quarry_vfs_fault_set(vfs, 0, &fault);
    assert_int_equal(quarry_vfs_sync(file, NULL), QUARRY_IO);
    assert_ok(quarry_vfs_sync(file, NULL));
    assert_ok(quarry_vfs_read(file, 0, bytes, 1, &byte_count, NULL));
    assert_int_equal(bytes[0], 'n'); /* as if all were well */
    quarry_vfs_close(file);
    assert_ok(quarry_vfs_memory_crash(below, 100, 1, &left));
    assert_ok(quarry_vfs_open(left, "/a", QUARRY_VFS_READ, &file, NULL));
    assert_ok(quarry_vfs_read(file, 0, bytes, 1, &byte_count, NULL));
    assert_int_equal(bytes[0], 'o');
    quarry_vfs_close(file);
    quarry_vfs_memory_destroy(left);
}

static void names_that_a_failed_sync_dropped_are_gone(void **state)
{
    (void)state;
    struct quarry_vfs *left = NULL;
    struct quarry_vfs_file *file = NULL;
    struct quarry_vfs_fault fault = {
        .operations = 1u << QUARRY_VFS_OP_SYNC_DIRECTORY, .count = 1, .status = QUARRY_IO};
    quarry_vfs_close(open_file("/a", NEW));
    assert_ok(quarry_vfs_sync_directory(vfs, "/", NULL));
    assert_ok(quarry_vfs_rename(vfs, "/a", "/b", NULL));
    quarry_vfs_close(open_file("/a", NEW));
    quarry_vfs_fault_set(vfs, 0, &fault);
    assert_int_equal(quarry_vfs_sync_directory(vfs, "/", NULL), QUARRY_IO);
    assert_ok(quarry_vfs_sync_directory(vfs, "/", NULL));
    quarry_vfs_close(open_file("/b", QUARRY_VFS_READ));
    assert_ok(quarry_vfs_memory_crash(below, 100, 1, &left));
    assert_int_equal(quarry_vfs_open(left, "/b", QUARRY_VFS_READ, &file, NULL), QUARRY_NOT_FOUND);
    assert_ok(quarry_vfs_open(left, "/a", QUARRY_VFS_READ, &file, NULL));
    quarry_vfs_close(file);
    quarry_vfs_memory_destroy(left);
}

struct noticed {
    unsigned call_count;
    uint64_t last_index;
    struct quarry_vfs *left;
};

static void crash_here(void *argument, enum quarry_vfs_operation operation, const char *path,
                       uint64_t index)
{
    struct noticed *noticed = argument;
    noticed->call_count++;
    noticed->last_index = index;
    assert_int_equal(operation, QUARRY_VFS_OP_SYNC);
    assert_string_equal(path, "/a");
    assert_ok(quarry_vfs_memory_crash(below, 0, 1, &noticed->left));
    quarry_vfs_fault_set(vfs, 0, NULL);
}

static void power_may_be_lost_just_before_an_operation(void **state)
{
    (void)state;
    struct noticed noticed = {0};
    struct quarry_vfs_fault fault = {.operations = 1u << QUARRY_VFS_OP_SYNC,
                                     .first = 2,
                                     .notice = crash_here,
                                     .argument = &noticed};
    struct quarry_vfs_file *file = open_file("/a", NEW);
    assert_ok(quarry_vfs_sync_directory(vfs, "/", NULL));
    quarry_vfs_fault_set(vfs, 0, &fault);
    assert_ok(quarry_vfs_sync(file, NULL));
    assert_ok(quarry_vfs_write(file, 0, "x", 1, NULL));
    assert_ok(quarry_vfs_sync(file, NULL));
    assert_ok(quarry_vfs_sync(file, NULL));
    quarry_vfs_close(file);
    assert_int_equal(noticed.call_count, 1);
    assert_int_equal(noticed.last_index, 2);
    uint64_t byte_count = 9;
    bool is_directory;
    assert_ok(quarry_vfs_stat(noticed.left, "/a", &byte_count, &is_directory, NULL));
    assert_int_equal(byte_count, 0); /* before the second sync */
    quarry_vfs_memory_destroy(noticed.left);
}

static void latency_passes_on_the_clock_of_the_disk(void **state)
{
    (void)state;
    struct quarry_vfs *outer = NULL;
    struct quarry_vfs_fault fault = {.latency_ns = 3000000000};
    uint64_t byte_count;
    bool is_directory;
    assert_ok(quarry_vfs_fault_create(vfs, 1, &outer)); /* one upon the other */
    uint64_t before_ns = quarry_vfs_monotonic_ns(outer);
    quarry_vfs_fault_set(outer, 0, &fault);
    assert_ok(quarry_vfs_stat(outer, "/", &byte_count, &is_directory, NULL));
    assert_true(quarry_vfs_monotonic_ns(outer) - before_ns >= 3000000000);
    assert_int_equal(quarry_vfs_fault_hits(outer, 0), 1);
    quarry_vfs_fault_destroy(outer);
}

static void real_files_are_delayed_in_real_time(void **state)
{
    (void)state;
    struct quarry_vfs *slow = NULL;
    struct quarry_vfs_fault fault = {.latency_ns = 20000000};
    uint64_t byte_count;
    bool is_directory;
    assert_ok(quarry_vfs_fault_create(quarry_vfs_posix(), 1, &slow));
    quarry_vfs_fault_set(slow, 7, &fault);
    uint64_t before_ns = quarry_vfs_monotonic_ns(slow);
    assert_ok(quarry_vfs_stat(slow, "/", &byte_count, &is_directory, NULL));
    assert_true(quarry_vfs_monotonic_ns(slow) - before_ns >= 20000000);
    quarry_vfs_fault_destroy(slow);
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(every_kind_is_counted),
        EACH(each_operation_of_a_workload_can_fail),
        EACH(faults_are_chosen_by_kind_path_and_number),
        EACH(making_a_file_is_a_kind_of_its_own),
        EACH(both_names_of_a_rename_are_looked_at),
        EACH(a_write_that_fails_may_have_written_a_part),
        EACH(a_read_may_be_told_of_an_end_that_is_too_early),
        EACH(what_a_failed_sync_dropped_is_gone_after_the_next_one),
        EACH(names_that_a_failed_sync_dropped_are_gone),
        EACH(power_may_be_lost_just_before_an_operation),
        EACH(latency_passes_on_the_clock_of_the_disk),
        EACH(real_files_are_delayed_in_real_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
