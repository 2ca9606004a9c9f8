/*
 * Recovery: what a store is after the end of its process, or of the machine, at any moment.
 */
#include "unit/kv/store_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <kv/commit.h>
#include <kv/file_name.h>
#include <kv/log_write.h>
#include <kv/view.h>

/* ---- the machine, at each step -------------------------------------------------------------- */

#define STEPS 60u

/* What had been acknowledged when the machine stopped. */
struct progress {
    uint32_t acknowledged; /* writes that were to survive it */
    uint32_t begun;
};

static const struct quarry_kv_write_options power = {.durability = QUARRY_KV_POWER};

/*
 * Writes 0 to STEPS - 1: each puts its number under "last", and under a key of its own; every third
 * one durably, some large, with flushes and a reopening in between. So a state is known by "last".
 */
static void work(struct quarry_kv **kv, const struct quarry_kv_options *options,
                 struct progress *progress)
{
    struct quarry_kv_batch *batch = NULL;
    char key[16], last[16];
    static char value[9000];

    for (uint32_t i = 0; i < STEPS; i++) {
        progress->begun = i;
        if (quarry_kv_batch_create(*kv, false, &batch) != QUARRY_OK) {
            return;
        }
        size_t last_bytes = (size_t)snprintf(last, sizeof last, "%u", i);
        size_t key_bytes = (size_t)snprintf(key, sizeof key, "key%u", i);
        memset(value, (int)i, sizeof value);
        quarry_kv_batch_put(batch, "last", 4, last, last_bytes);
        quarry_kv_batch_put(batch, key, key_bytes, value, i % 5 == 0 ? sizeof value : 10);
        enum quarry_status status = quarry_kv_write(*kv, i % 3 == 0 ? &power : NULL, batch, NULL);
        quarry_kv_batch_destroy(batch);
        if (status == QUARRY_OK && i % 3 == 0) {
            progress->acknowledged = i + 1;
        }
        if (i % 16 == 15) {
            (void)kv_rotate(*kv, NULL, NULL);
        }
        if (i % 20 == 19 && quarry_kv_flush(*kv, NULL) == QUARRY_OK && status == QUARRY_OK) {
            progress->acknowledged = i + 1;
        }
        if (i == 30) {
            (void)quarry_kv_close(*kv, NULL);
            *kv = NULL;
            if (quarry_kv_open(rig_memory, "/db", options, kv, NULL) != QUARRY_OK) {
                return;
            }
        }
    }
    progress->begun = STEPS;
}

/* The number under "last" plus 1; 0: there is none. Everything else agrees with it. */
static uint32_t check_state(struct quarry_kv *kv)
{
    struct quarry_kv_value found;
    uint32_t count = 0;
    char key[16];

    if (quarry_kv_get(kv, NULL, "last", 4, &found, NULL) == QUARRY_OK) {
        char text[16] = {0};
        memcpy(text, found.bytes, found.byte_count);
        count = (uint32_t)strtoul(text, NULL, 10) + 1;
        quarry_kv_value_release(&found);
    }
    for (uint32_t i = 0; i < STEPS; i++) {
        size_t key_bytes = (size_t)snprintf(key, sizeof key, "key%u", i);
        enum quarry_status status = quarry_kv_get(kv, NULL, key, key_bytes, &found, NULL);
        assert_int_equal(status, i < count ? QUARRY_OK : QUARRY_NOT_FOUND);
        if (status == QUARRY_OK) {
            assert_int_equal(((const unsigned char *)found.bytes)[found.byte_count - 1], i);
            quarry_kv_value_release(&found);
        }
    }
    return count;
}

struct stop {
    uint64_t at; /* the operation before which the machine stops */
    uint32_t kept_percent;
    struct quarry_vfs *disk;  /* that is stopped */
    struct quarry_vfs *after; /* what is left; NULL: it has not stopped */
    struct progress *progress;
    struct progress then;
};

static void stop_machine(void *argument, enum quarry_vfs_operation operation, const char *path,
                         uint64_t index)
{
    struct stop *stop = argument;

    (void)operation;
    (void)path;
    if (index >= stop->at && stop->after == NULL) {
        assert_int_equal(
            quarry_vfs_memory_crash(stop->disk, stop->kept_percent, stop->at, &stop->after),
            QUARRY_OK);
        stop->then = *stop->progress;
    }
}

/* The work, and the disk that the machine leaves if it stops before an operation. Returns: whether
 * there were as many. */
static bool run_until(struct stop *stop, struct progress *progress)
{
    struct quarry_vfs *faulty = NULL;
    struct quarry_kv_options options = store_options();
    struct quarry_kv *kv = NULL;

    *progress = (struct progress){0, 0};
    stop->disk = rig_disk;
    stop->progress = progress;
    assert_int_equal(quarry_vfs_fault_create(rig_disk, 1, &faulty), QUARRY_OK);
    const struct quarry_vfs_fault fault = {.notice = stop_machine, .argument = stop};
    quarry_vfs_fault_set(faulty, 0, &fault);
    options.vfs = faulty;
    if (quarry_kv_open(rig_memory, "/db", &options, &kv, NULL) == QUARRY_OK) {
        work(&kv, &options, progress);
    }
    if (kv != NULL) {
        (void)quarry_kv_close(kv, NULL);
    }
    quarry_vfs_fault_destroy(faulty);
    return stop->after != NULL;
}

static void new_disk(struct quarry_vfs *disk)
{
    quarry_vfs_memory_destroy(rig_disk);
    rig_disk = disk;
}

static void stop_at_each_step(uint32_t kept_percent)
{
    struct progress progress;
    bool has_stopped = true;
    uint32_t stop_count = 0;

    for (uint64_t at = 1; has_stopped; at++) {
        struct stop stop = {.at = at, .kept_percent = kept_percent};
        struct quarry_vfs *fresh = NULL;
        has_stopped = run_until(&stop, &progress);
        if (has_stopped) {
            new_disk(stop.after);
            struct quarry_kv *kv = store_open(NULL);
            uint32_t count = check_state(kv);
            assert_in_range(count, stop.then.acknowledged, stop.then.begun + 1);
            /* It can be written to, and is found again. */
            store_put(kv, "on", "we go");
            store_close(kv);
            kv = store_open(NULL);
            store_expect(kv, "on", "we go");
            assert_int_equal(check_state(kv), count);
            store_close(kv);
            stop_count++;
        }
        assert_int_equal(quarry_vfs_memory_create(at, &fresh), QUARRY_OK);
        new_disk(fresh);
    }
    assert_true(stop_count > 100);
}

static void power_lost_at_any_step_leaves_a_beginning(void **state)
{
    (void)state;
    stop_at_each_step(0);
}

static void power_lost_with_pages_kept_by_chance_leaves_a_beginning(void **state)
{
    (void)state;
    stop_at_each_step(50);
}

/* Without power lost: all that was acknowledged is there, durably or not. */
static void a_process_that_ends_loses_nothing(void **state)
{
    (void)state;
    for (uint32_t count = 1; count < 400; count += 37) {
        struct quarry_kv *kv = store_open(NULL);
        struct quarry_vfs *after = NULL, *fresh = NULL;
        for (uint32_t i = 0; i < count; i++) {
            store_put_number(kv, i, 0, 3000);
        }
        assert_int_equal(quarry_vfs_memory_crash(rig_disk, 100, count, &after), QUARRY_OK);
        store_close(kv);
        new_disk(after);
        kv = store_open(NULL);
        for (uint32_t i = 0; i < count; i++) {
            assert_true(store_has_number(kv, i, 0, 3000));
        }
        store_close(kv);
        assert_int_equal(quarry_vfs_memory_create(count, &fresh), QUARRY_OK);
        new_disk(fresh);
    }
}

/* ---- logs by hand --------------------------------------------------------------------------- */

struct find {
    uint64_t numbers[16];
    size_t count;
};

static bool visit_log(void *argument, const char *name)
{
    struct find *find = argument;
    struct kv_file_name file;

    if (kv_file_name_parse(name, &file) && file.kind == KV_FILE_LOG) {
        size_t at = find->count++;
        for (; at > 0 && find->numbers[at - 1] > file.number; at--) {
            find->numbers[at] = find->numbers[at - 1];
        }
        find->numbers[at] = file.number;
    }
    return true;
}

static struct quarry_vfs_file *open_log(size_t index)
{
    struct find find = {.count = 0};
    struct quarry_vfs_file *file = NULL;
    struct kv_path path;

    assert_int_equal(quarry_vfs_list(rig_disk, "/db", visit_log, &find, NULL), QUARRY_OK);
    assert_true(index < find.count);
    assert_int_equal(kv_file_path("/db", KV_FILE_LOG, find.numbers[index], &path, NULL), QUARRY_OK);
    assert_int_equal(quarry_vfs_open(rig_disk, path.text, QUARRY_VFS_WRITE, &file, NULL),
                     QUARRY_OK);
    return file;
}

/* Three logs, of 10 writes each, none of which is in a file. */
static void make_three_logs(void)
{
    struct quarry_kv_options options = store_options();
    struct quarry_vfs *after = NULL;

    options.write_buffer_count = 5;
    struct quarry_kv *kv = store_open(&options);
    for (uint32_t i = 0; i < 30; i++) {
        store_put_number(kv, i, 0, 100);
        if (i == 9 || i == 19) {
            assert_int_equal(kv_rotate(kv, NULL, NULL), QUARRY_OK);
        }
    }
    assert_int_equal(quarry_vfs_memory_crash(rig_disk, 100, 1, &after), QUARRY_OK);
    store_close(kv);
    new_disk(after);
}

static uint32_t count_numbers(struct quarry_kv *kv)
{
    uint32_t count = 0;

    while (count < 30 && store_has_number(kv, count, 0, 100)) {
        count++;
    }
    for (uint32_t i = count; i < 30; i++) {
        assert_false(store_has_number(kv, i, 0, 100));
    }
    return count;
}

static void logs_are_read_one_after_the_other(void **state)
{
    (void)state;
    make_three_logs();
    assert_true(store_count_files("/db", ".log") >= 3);
    struct quarry_kv *kv = store_open(NULL);
    assert_int_equal(count_numbers(kv), 30);
    store_close(kv);
}

static void damage_ends_what_is_recovered(void **state)
{
    struct quarry_vfs_file *file;
    struct quarry_kv *kv;

    (void)state;
    make_three_logs();
    file = open_log(1);
    assert_int_equal(quarry_vfs_write(file, 400, "\xff\xff\xff", 3, NULL), QUARRY_OK);
    quarry_vfs_close(file);
    kv = store_open(NULL);
    uint32_t count = count_numbers(kv);
    assert_in_range(count, 10, 19); /* nothing of the third log, though that is whole */
    store_close(kv);
    kv = store_open(NULL);
    assert_int_equal(count_numbers(kv), count);
    store_close(kv);
}

static void a_log_that_lost_its_end_ends_what_is_recovered(void **state)
{
    struct quarry_vfs_file *file;
    uint64_t byte_count = 0;

    (void)state;
    make_three_logs();
    file = open_log(0);
    assert_int_equal(quarry_vfs_size(file, &byte_count, NULL), QUARRY_OK);
    assert_int_equal(quarry_vfs_truncate(file, byte_count / 2, NULL), QUARRY_OK);
    quarry_vfs_close(file);
    struct quarry_kv *kv = store_open(NULL);
    assert_in_range(count_numbers(kv), 1, 9);
    store_close(kv);
}

static void a_torn_last_record_loses_itself_alone(void **state)
{
    struct quarry_vfs_file *file;
    uint64_t byte_count = 0;

    (void)state;
    make_three_logs();
    file = open_log(2);
    assert_int_equal(quarry_vfs_size(file, &byte_count, NULL), QUARRY_OK);
    assert_int_equal(quarry_vfs_truncate(file, byte_count - 20, NULL), QUARRY_OK);
    quarry_vfs_close(file);
    struct quarry_kv *kv = store_open(NULL);
    assert_int_equal(count_numbers(kv), 29);
    store_close(kv);
}

static void a_long_log_is_read_in_bounded_memory(void **state)
{
    struct quarry_kv_options options = store_options();
    struct quarry_vfs *after = NULL;
    struct quarry_account_state own;

    (void)state;
    options.write_buffer_bytes = Q_MIB(16);
    struct quarry_kv *kv = store_open(&options);
    for (uint32_t i = 0; i < 20000; i++) {
        store_put_number(kv, i, 0, 500);
    }
    assert_int_equal(quarry_vfs_memory_crash(rig_disk, 100, 1, &after), QUARRY_OK);
    store_close(kv);
    new_disk(after);
    options = store_options();
    options.memory_bytes = Q_MIB(8);
    kv = store_open(&options);
    quarry_account_read(kv->account, &own);
    assert_in_range(own.peak_bytes, 1, Q_MIB(8));
    for (uint32_t i = 0; i < 20000; i += 7) {
        assert_true(store_has_number(kv, i, 0, 500));
    }
    store_close(kv);
}

static void a_batch_larger_than_memtables_is_recovered(void **state)
{
    struct quarry_kv_options options = store_options();
    struct quarry_kv_batch *batch = NULL;
    struct quarry_vfs *after = NULL;
    static char value[5000];
    char key[16];

    (void)state;
    options.write_buffer_bytes = Q_MIB(8);
    struct quarry_kv *kv = store_open(&options);
    assert_int_equal(quarry_kv_batch_create(kv, false, &batch), QUARRY_OK);
    for (uint32_t i = 0; i < 300; i++) {
        memset(value, (int)i, sizeof value);
        quarry_kv_batch_put(batch, key, (size_t)snprintf(key, sizeof key, "%03u", i), value,
                            sizeof value);
    }
    store_put(kv, "before", "1");
    assert_int_equal(quarry_kv_write(kv, NULL, batch, NULL), QUARRY_OK);
    quarry_kv_batch_destroy(batch);
    store_put(kv, "zz", "2");
    assert_int_equal(quarry_vfs_memory_crash(rig_disk, 100, 1, &after), QUARRY_OK);
    store_close(kv);
    new_disk(after);
    kv = store_open(NULL);
    store_expect(kv, "before", "1");
    store_expect(kv, "zz", "2");
    for (uint32_t i = 0; i < 300; i++) {
        struct quarry_kv_value found;
        assert_int_equal(quarry_kv_get(kv, NULL, key, (size_t)snprintf(key, sizeof key, "%03u", i),
                                       &found, NULL),
                         QUARRY_OK);
        assert_int_equal(((const unsigned char *)found.bytes)[17], i & 0xff);
        quarry_kv_value_release(&found);
    }
    store_close(kv);
}

/* Merging twice would show: an opening that fails half-way must not count what it had flushed. */
static void an_opening_that_stops_half_way_merges_once(void **state)
{
    struct quarry_kv_options options = store_options();
    struct quarry_vfs *after = NULL, *faulty = NULL;
    const uint64_t one = 1;
    uint64_t sum = 0;

    (void)state;
    options.merge_operator = quarry_kv_merge_uint64_add();
    options.write_buffer_bytes = Q_MIB(4);
    struct quarry_kv *kv = store_open(&options);
    for (uint32_t i = 0; i < 3000; i++) {
        assert_int_equal(quarry_kv_merge(kv, NULL, "sum", 3, &one, sizeof one, NULL), QUARRY_OK);
        store_put_number(kv, i, 0, 400);
    }
    assert_int_equal(quarry_vfs_memory_crash(rig_disk, 100, 1, &after), QUARRY_OK);
    store_close(kv);
    new_disk(after);
    options.write_buffer_bytes = Q_KIB(256);
    enum quarry_status status = QUARRY_IO;
    uint32_t refused_count = 0;
    for (uint64_t first = 1; status != QUARRY_OK; first += 2) {
        const struct quarry_vfs_fault fault = {
            .path_contains = ".sst", .first = first, .status = QUARRY_IO};
        assert_int_equal(quarry_vfs_fault_create(rig_disk, 1, &faulty), QUARRY_OK);
        quarry_vfs_fault_set(faulty, 0, &fault);
        options.vfs = faulty;
        status = store_try_open(&options, NULL);
        refused_count += status == QUARRY_IO;
        quarry_vfs_fault_destroy(faulty);
    }
    assert_true(refused_count > 5);
    options.vfs = rig_disk;
    kv = store_open(&options);
    size_t byte_count = 0;
    assert_int_equal(quarry_kv_read(kv, NULL, "sum", 3, &sum, sizeof sum, &byte_count, NULL),
                     QUARRY_OK);
    assert_int_equal(sum, 3000);
    store_close(kv);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, store_set_up, store_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(power_lost_at_any_step_leaves_a_beginning),
        TEST(power_lost_with_pages_kept_by_chance_leaves_a_beginning),
        TEST(a_process_that_ends_loses_nothing),
        TEST(logs_are_read_one_after_the_other),
        TEST(damage_ends_what_is_recovered),
        TEST(a_log_that_lost_its_end_ends_what_is_recovered),
        TEST(a_torn_last_record_loses_itself_alone),
        TEST(a_long_log_is_read_in_bounded_memory),
        TEST(a_batch_larger_than_memtables_is_recovered),
        TEST(an_opening_that_stops_half_way_merges_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
