/*
 * Logs that are damaged: power lost at every operation, every operation failing once, every byte
 * changed. What is read was written; what was synced is read; what is missing is told, with its
 * times.
 */
#include "unit/tsdb/disk_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit/base/random.h"
#include "unit/base/rounds.h"

#define IDS 40u

/* How far the ends of files are apart; the last is before the last byte. */
#define END_STEP ((size_t)ROUNDS(1, 3))

static struct rig_found found, again;
static struct tsdb_log_replayed replayed;

/* ---- a life of a log ------------------------------------------------------------------------ */

/* What the life of a log has been promised, by step. */
struct promises {
    bool is_acknowledged[RIG_STEPS], is_synced[RIG_STEPS], is_dropped[RIG_STEPS];
};

static struct promises life, at_cut;
static struct quarry_vfs *cut_disk;
static uint64_t cut_index, cut_seed;
static uint32_t cut_percent;

static void live_step(struct tsdb_log *log, uint32_t step)
{
    struct tsdb_log_ticket ticket;
    int64_t window = step / 16;

    if (rig_append(log, window, 1 + step % 3, IDS, step, &ticket) != QUARRY_OK) {
        return;
    }
    life.is_acknowledged[step] = true;
    if (step % 3 != 2 || tsdb_log_sync(log, &ticket, NULL) != QUARRY_OK) {
        return;
    }
    /* And with it what came before in its segment, or in others that are whole. */
    life.is_synced[step] = true;
}

static void drop_window(struct tsdb_log *log, uint32_t window)
{
    for (uint32_t step = window * 16; step < window * 16 + 16; step++) {
        life.is_dropped[step] = true;
    }
    (void)tsdb_log_drop_window(log, window, NULL);
}

/* Two processes, three windows, the first of which is dropped. */
static void live(void)
{
    memset(&life, 0, sizeof(life));
    for (uint32_t process = 0; process < 2; process++) {
        const struct tsdb_log_options options = {
            .vfs = rig_vfs, .directory = RIG_DIRECTORY, .memory = &rig_small, .segment_bytes = 0};
        struct tsdb_log *log = NULL;
        if (tsdb_log_open(&options, &log, NULL) != QUARRY_OK) {
            continue;
        }
        for (uint32_t step = process * 24; step < process * 24 + 24; step++) {
            live_step(log, step);
            if (step == 30) {
                drop_window(log, 0);
            }
        }
        (void)tsdb_log_sync_all(log, NULL);
        tsdb_log_close(log);
    }
}

static void assert_promised(const bool *promised)
{
    for (uint32_t step = 0; step < 48; step++) {
        for (uint32_t id = 1; id < RIG_IDS; id++) {
            bool is_in = id >= 1 + step % 3 && id < 1 + step % 3 + IDS;
            bool must_be = is_in && promised[step] && !at_cut.is_dropped[step];
            if (found.counts[id][step] > is_in || found.counts[id][step] < must_be) {
                fail_msg("series %u, step %u: found %u times", id, step, found.counts[id][step]);
            }
        }
    }
}

static void cut_power(void *argument, enum quarry_vfs_operation operation, const char *path,
                      uint64_t index)
{
    (void)argument;
    (void)operation;
    (void)path;
    if (index == cut_index) {
        at_cut = life;
        assert_int_equal(quarry_vfs_memory_crash(rig_disk, cut_percent, cut_seed, &cut_disk),
                         QUARRY_OK);
    }
}

/* Lives, loses power before an operation, and looks. Returns: false: there were not as many. */
static bool live_until(uint64_t index, uint32_t percent, uint64_t seed)
{
    const struct quarry_vfs_fault fault = {.status = QUARRY_OK, .notice = cut_power};
    struct quarry_vfs *before;

    cut_index = index;
    cut_percent = percent;
    cut_seed = seed;
    cut_disk = NULL;
    disk_rig_clear();
    quarry_vfs_fault_set(rig_vfs, 0, &fault);
    live();
    quarry_vfs_fault_set(rig_vfs, 0, NULL);
    if (cut_disk == NULL) {
        return false;
    }
    before = rig_vfs;
    rig_vfs = cut_disk;
    assert_int_equal(rig_replay(&found, &replayed), QUARRY_OK);
    rig_vfs = before;
    quarry_vfs_memory_destroy(cut_disk);
    assert_promised(at_cut.is_synced);
    return true;
}

static void power_may_be_lost_before_any_operation(void **state)
{
    uint64_t index, cuts = 0;

    (void)state;
    for (uint64_t seed = 0; seed < ROUNDS(8, 4); seed++) {
        for (index = 1; live_until(index, seed == 0 ? 0 : (uint32_t)seed * ROUNDS(14, 30), seed);
             index++) {
            cuts++;
        }
        assert_true(index > 80);
    }
    print_message("%llu losses of power\n", (unsigned long long)cuts);
}

static void any_operation_may_fail_once(void **state)
{
    uint64_t index = 1, hits = 1;

    (void)state;
    for (; hits != 0; index++) {
        const struct quarry_vfs_fault fault = {
            .first = index, .count = 1, .status = QUARRY_IO, .is_partial = index % 2 == 0};
        disk_rig_clear();
        quarry_vfs_fault_set(rig_vfs, 0, &fault);
        live();
        hits = quarry_vfs_fault_hits(rig_vfs, 0);
        quarry_vfs_fault_set(rig_vfs, 0, NULL);
        at_cut = life;
        assert_int_equal(rig_replay(&found, &replayed), QUARRY_OK);
        assert_promised(life.is_acknowledged);
        disk_rig_lose_power(0, index);
        assert_int_equal(rig_replay(&found, &replayed), QUARRY_OK);
        assert_promised(life.is_synced);
    }
    assert_true(index > 80);
}

static void reading_may_fail_once_anywhere(void **state)
{
    const struct quarry_vfs_fault none = {.status = QUARRY_OK};
    uint64_t whole;

    (void)state;
    live();
    assert_int_equal(rig_replay(&found, &replayed), QUARRY_OK);
    whole = found.sample_count;
    quarry_vfs_fault_set(rig_vfs, 0, &none);
    for (uint64_t index = 1, hits = 1; hits != 0; index++) {
        const struct quarry_vfs_fault fault = {.operations = 1u << QUARRY_VFS_OP_READ |
                                                             1u << QUARRY_VFS_OP_OPEN |
                                                             1u << QUARRY_VFS_OP_SIZE,
                                               .first = index,
                                               .count = 1,
                                               .status = QUARRY_IO};
        quarry_vfs_fault_set(rig_vfs, 0, &fault);
        enum quarry_status status = rig_replay(&again, &replayed);
        hits = quarry_vfs_fault_hits(rig_vfs, 0);
        assert_true(status == QUARRY_IO || (status == QUARRY_OK && again.sample_count == whole));
    }
}

static void a_part_that_cannot_be_read_is_told(void **state)
{
    const struct quarry_vfs_fault fault = {
        .operations = 1u << QUARRY_VFS_OP_READ, .first = 3, .count = 2, .status = QUARRY_IO};
    struct tsdb_log *log = rig_log_open(0);
    struct tsdb_log_ticket ticket;

    (void)state;
    for (uint32_t step = 0; step < 200; step++) {
        assert_int_equal(rig_append(log, 5, 1, 200, step, &ticket), QUARRY_OK);
    }
    tsdb_log_close(log);
    quarry_vfs_fault_set(rig_vfs, 0, &fault);
    assert_int_equal(rig_replay(&found, &replayed), QUARRY_OK);
    assert_true(found.loss_count >= 1);
    assert_int_equal(found.losses[0].kind, TSDB_LOG_DAMAGED);
    assert_true(found.losses[0].byte_count >= 32768 - 7);
    assert_true(found.sample_count > 200 * 100);
}

/* ---- bytes that change ---------------------------------------------------------------------- */

static char path[512];

static bool take_path(void *argument, const char *name)
{
    (void)argument;
    (void)snprintf(path, sizeof(path), "%s/%s", RIG_DIRECTORY, name);
    return false;
}

/* The only file there is. Returns: own. */
static uint8_t *read_file(size_t *ret_byte_count)
{
    struct quarry_vfs_file *file = NULL;
    uint64_t byte_count = 0;

    assert_int_equal(quarry_vfs_list(rig_disk, RIG_DIRECTORY, take_path, NULL, NULL), QUARRY_OK);
    assert_int_equal(quarry_vfs_open(rig_disk, path, QUARRY_VFS_READ, &file, NULL), QUARRY_OK);
    assert_int_equal(quarry_vfs_size(file, &byte_count, NULL), QUARRY_OK);
    uint8_t *bytes = malloc(byte_count);
    assert_non_null(bytes);
    assert_int_equal(quarry_vfs_read(file, 0, bytes, byte_count, ret_byte_count, NULL), QUARRY_OK);
    quarry_vfs_close(file);
    return bytes;
}

static void write_file(const uint8_t *bytes, size_t byte_count)
{
    struct quarry_vfs_file *file = NULL;

    assert_int_equal(
        quarry_vfs_open(rig_disk, path, QUARRY_VFS_WRITE | QUARRY_VFS_TRUNCATE, &file, NULL),
        QUARRY_OK);
    if (byte_count != 0) {
        assert_int_equal(quarry_vfs_write(file, 0, bytes, byte_count, NULL), QUARRY_OK);
    }
    quarry_vfs_close(file);
}

/* Targets of 10 series, each a batch of its own for each step. */
static uint8_t *make_file(uint32_t targets, uint32_t steps, size_t *ret_byte_count)
{
    struct tsdb_log *log = rig_log_open(0);
    struct tsdb_log_ticket ticket;

    for (uint32_t step = 0; step < steps; step++) {
        for (uint32_t target = 0; target < targets; target++) {
            assert_int_equal(rig_append(log, 5, 1 + target * 10, 10, step, &ticket), QUARRY_OK);
        }
    }
    tsdb_log_close(log);
    assert_int_equal(rig_replay(&found, &replayed), QUARRY_OK);
    assert_int_equal(found.sample_count, (uint64_t)targets * 10 * steps);
    return read_file(ret_byte_count);
}

/* Whether losses that were told cover a time. */
static bool is_told(int64_t t_ms)
{
    for (size_t i = 0; i < again.loss_count && i < 64; i++) {
        if (again.losses[i].t_from_ms <= t_ms && t_ms <= again.losses[i].t_to_ms) {
            return true;
        }
    }
    return false;
}

static bool is_told_of_byte(uint64_t offset)
{
    for (size_t i = 0; i < again.loss_count && i < 64; i++) {
        if (again.losses[i].offset <= offset &&
            offset - again.losses[i].offset < again.losses[i].byte_count) {
            return true;
        }
    }
    return false;
}

/* What was found before and is not any more is told. Returns: how many samples that is. */
static uint64_t assert_missing_is_told(uint32_t steps)
{
    uint64_t missing = 0;

    assert_int_equal(rig_replay(&again, &replayed), QUARRY_OK);
    assert_int_equal(replayed.loss_count, again.loss_count);
    for (uint32_t id = 1; id < RIG_IDS; id++) {
        if (memcmp(again.counts[id], found.counts[id], steps) == 0) {
            continue;
        }
        for (uint32_t step = 0; step < steps; step++) {
            assert_true(again.counts[id][step] <= found.counts[id][step]);
            if (again.counts[id][step] < found.counts[id][step]) {
                missing++;
                assert_true(is_told(rig_time(step)));
            }
        }
    }
    return missing;
}

static void any_byte_of_a_small_file_may_change(void **state)
{
    size_t byte_count = 0;
    uint8_t *bytes = make_file(4, 50, &byte_count);
    uint64_t random = 1, missing = 0;

    (void)state;
    assert_in_range(byte_count, 4000, 20000);
    for (size_t i = 0; i < byte_count; i += ROUNDS(1, 3)) {
        uint8_t before = bytes[i];
        bytes[i] ^= (uint8_t)(1 + random_u64(&random) % 255);
        write_file(bytes, byte_count);
        missing += assert_missing_is_told(50);
        assert_true(is_told_of_byte(i));
        bytes[i] = before;
    }
    print_message("%zu bytes changed, one at a time: %.1f of 2000 samples missing\n", byte_count,
                  (double)missing / (double)byte_count);
    /* A record has 10, whose series come back within 31 more. */
    assert_true(missing / byte_count < 200);
    free(bytes);
}

static void a_block_that_is_damaged_costs_little_more_than_itself(void **state)
{
    size_t byte_count = 0;
    uint8_t *bytes = make_file(60, 200, &byte_count);
    uint8_t *copy = malloc(byte_count);
    uint64_t random = 1;

    (void)state;
    assert_non_null(copy);
    for (size_t block = 0; block < byte_count / 32768; block++) {
        memcpy(copy, bytes, byte_count);
        for (size_t i = 0; i < 32768; i++) {
            copy[block * 32768 + i] = (uint8_t)random_u64(&random);
        }
        write_file(copy, byte_count);
        uint64_t missing = assert_missing_is_told(200);
        /* 32 KiB are a tenth; of each series up to 31 samples more, of 200. */
        print_message("block %zu of %zu: %.1f %% missing\n", block, byte_count / 32768,
                      (double)missing / 1200);
        assert_true(missing < 120000 * 10 / (byte_count / 32768) / 10 + 600 * 31 * 2);
        assert_true(is_told_of_byte(block * 32768 + 100));
    }
    free(copy);
    free(bytes);
}

static void damage_anywhere_never_gives_a_wrong_sample(void **state)
{
    size_t byte_count = 0;
    uint8_t *bytes = make_file(12, 200, &byte_count);
    uint8_t *copy = malloc(byte_count);
    uint64_t random = 1;

    (void)state;
    assert_non_null(copy);
    for (uint32_t i = 0; i < ROUNDS(400, 150); i++) {
        memcpy(copy, bytes, byte_count);
        for (uint64_t hits = random_u64(&random) % 6 + 1; hits != 0; hits--) {
            size_t at = random_u64(&random) % byte_count;
            size_t count = size_min(random_u64(&random) % 3000, byte_count - at);
            uint64_t from = random_u64(&random) % (byte_count - count + 1);
            switch (random_u64(&random) % 4) {
            case 0:
                memset(copy + at, 0, count);
                break;
            case 1: /* bytes of another place, or of the same place in another block */
                memmove(copy + at, bytes + from, count);
                break;
            case 2:
                copy[at] ^= 1;
                break;
            default:
                if (at >= 32768) {
                    memmove(copy + at, bytes + at - 32768, count);
                }
            }
        }
        write_file(copy, byte_count);
        (void)assert_missing_is_told(200);
    }
    free(copy);
    free(bytes);
}

static void a_file_may_end_anywhere(void **state)
{
    size_t byte_count = 0;
    uint8_t *bytes = make_file(4, 50, &byte_count);
    uint64_t samples = 0;

    (void)state;
    for (size_t end = (byte_count - 1) % END_STEP; end < byte_count; end += END_STEP) {
        write_file(bytes, end);
        assert_int_equal(rig_replay(&again, &replayed), QUARRY_OK);
        assert_true(again.sample_count >= samples);
        assert_true(again.loss_count <= 1);
        if (again.loss_count == 1) {
            assert_int_equal(again.losses[0].kind, TSDB_LOG_TORN);
            assert_true(again.losses[0].offset + again.losses[0].byte_count <= end);
        }
        samples = again.sample_count;
    }
    assert_int_equal(samples, 4 * 50 * 10 - 10);
    free(bytes);
}

static void the_bytes_of_another_segment_are_not_taken_for_its_own(void **state)
{
    size_t byte_count = 0;
    uint8_t *bytes = make_file(4, 50, &byte_count);

    (void)state;
    (void)snprintf(path, sizeof(path), "%s/window-5-000009.log", RIG_DIRECTORY);
    struct quarry_vfs_file *file = NULL;
    assert_int_equal(
        quarry_vfs_open(rig_disk, path, QUARRY_VFS_WRITE | QUARRY_VFS_CREATE, &file, NULL),
        QUARRY_OK);
    quarry_vfs_close(file);
    write_file(bytes, byte_count);
    assert_int_equal(rig_replay(&again, &replayed), QUARRY_OK);
    assert_int_equal(again.sample_count, 2000); /* of the first file alone */
    assert_int_equal(again.loss_count, 1);
    assert_true(again.losses[0].byte_count == byte_count);
    free(bytes);
}

static void another_version_is_refused(void **state)
{
    size_t byte_count = 0;
    uint8_t *bytes = make_file(1, 1, &byte_count);

    (void)state;
    bytes[7] = '2';
    endian_store_le_u32(bytes, crc32c_value(bytes + 4, 28));
    write_file(bytes, byte_count);
    assert_int_equal(rig_replay(&again, &replayed), QUARRY_UNSUPPORTED);
    free(bytes);
}

/* ---- the example of docs/formats/tsdb-log.md ------------------------------------------------ */

static enum quarry_status example_series(void *argument, const struct tsdb_log_series *series,
                                         uint32_t *ret_handle)
{
    (void)argument;
    assert_int_equal(series->id, 7);
    assert_int_equal(series->tenant, 1);
    assert_int_equal(series->labels.count, 1);
    assert_true(tsdb_slice_equal(series->labels.labels[0].name, tsdb_slice_of("a")));
    assert_true(tsdb_slice_equal(series->labels.labels[0].value, tsdb_slice_of("b")));
    *ret_handle = 70;
    return QUARRY_OK;
}

static enum quarry_status example_samples(void *argument, const struct tsdb_log_sample *samples,
                                          size_t count)
{
    assert_int_equal(count, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(samples[i].series, 70);
        assert_int_equal(samples[i].t_ms, 1000 * (int64_t)(i + 1));
        assert_true(samples[i].bits ==
                    (i == 0 ? UINT64_C(0x3ff0000000000000) : UINT64_C(0x4000000000000000)));
    }
    *(bool *)argument = true;
    return QUARRY_OK;
}

static void the_example_of_the_format_is_read(void **state)
{
    static const uint8_t header[32] = {0x76, 0x18, 0x48, 0x77, 0x51, 0x54, 0x4c, 0x31, 0,
                                       0,    0,    0,    0,    0,    0,    0,    1};
    static const uint8_t record[] = {0xbc, 0x89, 0xb9, 0x8a, 0x1b, 0x00, 0x01, 0x01, 0x09,
                                     0x02, 0x92, 0x97, 0x3f, 0x57, 0x00, 0x0e, 0x01, 0x01,
                                     0x02, 0x61, 0x00, 0x01, 0x62, 0xf8, 0x0e, 0xd0, 0x0f,
                                     0x25, 0x02, 0x94, 0x00, 0xd0, 0x0f, 0x02};
    uint8_t bytes[sizeof(header) * 2 + sizeof(record)];
    bool is_found = false;
    const struct tsdb_log_visitor visitor = {
        .argument = &is_found, .series = example_series, .samples = example_samples};
    struct quarry_vfs_file *file = NULL;

    (void)state;
    memcpy(bytes, header, 32);
    memcpy(bytes + 32, header, 32);
    memcpy(bytes + 64, record, sizeof(record));
    (void)snprintf(path, sizeof(path), "%s/window-0-000001.log", RIG_DIRECTORY);
    assert_int_equal(
        quarry_vfs_open(rig_disk, path, QUARRY_VFS_WRITE | QUARRY_VFS_CREATE, &file, NULL),
        QUARRY_OK);
    quarry_vfs_close(file);
    write_file(bytes, sizeof(bytes));
    struct tsdb_log *log = rig_log_open(0);
    assert_int_equal(tsdb_log_replay(log, 0, &visitor, &replayed, NULL), QUARRY_OK);
    tsdb_log_close(log);
    assert_true(is_found);
    assert_int_equal(replayed.loss_count, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, disk_rig_set_up, disk_rig_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(power_may_be_lost_before_any_operation),
        TEST(any_operation_may_fail_once),
        TEST(reading_may_fail_once_anywhere),
        TEST(a_part_that_cannot_be_read_is_told),
        TEST(any_byte_of_a_small_file_may_change),
        TEST(a_block_that_is_damaged_costs_little_more_than_itself),
        TEST(damage_anywhere_never_gives_a_wrong_sample),
        TEST(a_file_may_end_anywhere),
        TEST(the_bytes_of_another_segment_are_not_taken_for_its_own),
        TEST(another_version_is_refused),
        TEST(the_example_of_the_format_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
