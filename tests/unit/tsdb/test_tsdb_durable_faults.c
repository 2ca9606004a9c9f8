/*
 * A store with a directory that is hit at every operation: power is lost, calls fail, memory is
 * short, bytes are changed. What was acknowledged is there afterwards, and nothing else is.
 *
 * A sample of the points each time; `--all` goes through every one of them.
 */
#include "unit/tsdb/store_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <base/base.h>
#include <quarry/vfs.h>

#include "unit/base/random.h"
#include "unit/base/rounds.h"

#define T0        INT64_C(1600000000000)
#define STEP_MS   INT64_C(50000)
#define SERIES    12u
#define STEPS     64u /* three windows and a bit, of 20 steps each */
#define REOPENS   24u /* steps after which it is closed and opened again */
#define DIRECTORY "/data"

static struct quarry_vfs *disk, *vfs;
static struct quarry_account *above;
static bool goes_through_all;
static bool fills; /* every other step comes when its window is sealed */
static uint64_t lost_count;

/* By series and step: what it was told. */
enum told { NOT_SENT, REFUSED, ACKNOWLEDGED };
static enum told told[SERIES][STEPS];

static void on_lost(void *argument, const struct quarry_tsdb_loss *loss)
{
    (void)argument;
    (void)loss;
    lost_count++;
}

static void disk_begin(struct quarry_vfs *other)
{
    disk = other;
    if (disk == NULL) {
        assert_int_equal(quarry_vfs_memory_create(1, &disk), QUARRY_OK);
    }
    assert_int_equal(quarry_vfs_fault_create(disk, 1, &vfs), QUARRY_OK);
    rig.options.vfs = vfs;
}

static void disk_end(void)
{
    quarry_vfs_fault_destroy(vfs);
    quarry_vfs_memory_destroy(disk);
}

static int set_up(void **state)
{
    const struct quarry_account_options options = {.name = "above"};

    (void)rig_set_up(state);
    assert_int_equal(quarry_account_create(rig.memory, &options, &above, NULL), QUARRY_OK);
    rig.options.parent = above;
    rig.options.directory = DIRECTORY;
    rig.options.out_of_order_ms = 250000;
    rig.options.keeps_oldest = true;
    rig.options.log_segment_bytes = Q_KIB(2);
    rig.options.snapshot_ms = 1;
    rig.options.lost = on_lost;
    rig.options.fill_quiet_ms = -1;
    fills = false;
    lost_count = 0;
    disk_begin(NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)quarry_tsdb_close(rig.tsdb);
    rig.tsdb = NULL;
    disk_end();
    quarry_account_destroy(above);
    return rig_tear_down(state);
}

static uint64_t value_at(uint32_t number, uint32_t step)
{
    uint64_t state = number * UINT64_C(1000003) + step;

    return number % 4 == 0 ? random_u64(&state) | 1 : (uint64_t)(number + step / 8);
}

/* ---- what is done --------------------------------------------------------------------------- */

/* Of each fourth series samples are histograms, with the value as their sum. */
static enum quarry_status sample_put(uint32_t number, const struct quarry_tsdb_sample *sample)
{
    const uint64_t counts[] = {number, sample->bits % 1000, 7};
    const struct quarry_tsdb_span span = {-1, COUNT_OF(counts)};
    const struct quarry_tsdb_histogram histogram = {
        .t_ms = sample->t_ms,
        .schema = 3,
        .sum_bits = sample->bits,
        .count = counts[0] + counts[1] + counts[2],
        .positive = {&span, counts, 1, COUNT_OF(counts)}};
    const bool is_histogram = number % 4 == 1;
    const struct quarry_tsdb_entry entry = {.labels = rig_labels(number),
                                            .samples = is_histogram ? NULL : sample,
                                            .sample_count = is_histogram ? 0 : 1,
                                            .histograms = is_histogram ? &histogram : NULL,
                                            .histogram_count = is_histogram};
    const struct quarry_tsdb_request request = {
        .fills_past = fills, .entries = &entry, .entry_count = 1};

    return quarry_tsdb_append(rig.tsdb, &request, &rig_result);
}

static void step_put(uint32_t step)
{
    for (uint32_t i = 0; i < SERIES; i++) {
        const struct quarry_tsdb_sample sample = {T0 + step * STEP_MS, value_at(i, step)};
        enum quarry_status status = QUARRY_BUSY;
        told[i][step] = REFUSED;
        if (rig.tsdb != NULL) {
            status = sample_put(i, &sample);
        }
        told[i][step] = status == QUARRY_OK ? ACKNOWLEDGED : REFUSED;
    }
}

/* Opens it, if that works. */
static void open_or_not(void)
{
    if (quarry_tsdb_open(&rig.options, &rig.tsdb, NULL) == QUARRY_OK) {
        quarry_tsdb_wait_ready(rig.tsdb);
    } else {
        rig.tsdb = NULL;
    }
}

/* Which step comes at a place. */
static uint32_t step_of(uint32_t place)
{
    if (!fills) {
        return place;
    }
    return place < STEPS / 2 ? 2 * place : 2 * (place - STEPS / 2) + 1;
}

static void work(void)
{
    memset(told, 0, sizeof told);
    open_or_not();
    for (uint32_t place = 0; place < STEPS; place++) {
        step_put(step_of(place));
        if (rig.tsdb != NULL && place % 4 == 3) {
            rig_turns();
        }
        if (place % REOPENS == REOPENS - 1) {
            (void)quarry_tsdb_close(rig.tsdb);
            rig.tsdb = NULL;
            open_or_not();
        }
    }
    (void)quarry_tsdb_close(rig.tsdb);
    rig.tsdb = NULL;
}

/* ---- what is found -------------------------------------------------------------------------- */

/* Every sample that is there was sent, and is right. `must_have_all`: of those acknowledged. */
static void look(enum told expected[SERIES][STEPS], bool must_have_all)
{
    struct quarry_tsdb_sample samples[STEPS + 1];

    for (uint32_t i = 0; i < SERIES; i++) {
        size_t count = rig_read(i, INT64_MIN, INT64_MAX, samples, STEPS + 1);
        bool is_there[STEPS] = {false};
        assert_true(count <= STEPS);
        for (size_t k = 0; k < count; k++) {
            int64_t step = (samples[k].t_ms - T0) / STEP_MS;
            assert_true(samples[k].t_ms == T0 + step * STEP_MS && step >= 0 && step < STEPS);
            assert_true(samples[k].bits == value_at(i, (uint32_t)step));
            assert_true(expected[i][step] != NOT_SENT && !is_there[step]);
            is_there[step] = true;
        }
        for (uint32_t step = 0; step < STEPS && must_have_all; step++) {
            if (expected[i][step] == ACKNOWLEDGED && !is_there[step]) {
                fail_msg("series %u, step %u: acknowledged, and not there", i, step);
            }
        }
    }
}

static void open_and_look(enum told expected[SERIES][STEPS], bool must_have_all)
{
    rig_open();
    quarry_tsdb_wait_ready(rig.tsdb);
    rig_assert_valid();
    look(expected, must_have_all);
    assert_int_equal(quarry_tsdb_close(rig.tsdb), QUARRY_OK);
    rig.tsdb = NULL;
    rig_open(); /* what recovery left is as good */
    quarry_tsdb_wait_ready(rig.tsdb);
    look(expected, must_have_all);
    (void)quarry_tsdb_close(rig.tsdb);
    rig.tsdb = NULL;
}

/* ---- losses of power ------------------------------------------------------------------------ */

/* At one operation: what the disk would be, and what had been told by then. */
struct cut {
    uint32_t kept_percent;
    struct quarry_vfs *left;
    enum told told[SERIES][STEPS];
};

static void on_cut(void *argument, enum quarry_vfs_operation operation, const char *path,
                   uint64_t index)
{
    struct cut *cut = argument;

    (void)operation;
    (void)path;
    assert_int_equal(quarry_vfs_memory_crash(disk, cut->kept_percent, index, &cut->left),
                     QUARRY_OK);
    memcpy(cut->told, told, sizeof told);
}

static uint64_t count_operations(void)
{
    work();
    uint64_t count = quarry_vfs_fault_count(vfs, QUARRY_VFS_OPS);
    disk_end();
    disk_begin(NULL);
    return count;
}

static void cut_at(uint64_t index, uint32_t kept_percent, bool must_have_all)
{
    struct cut cut = {.kept_percent = kept_percent, .left = NULL};
    const struct quarry_vfs_fault fault = {
        .first = index, .count = 1, .notice = on_cut, .argument = &cut};

    quarry_vfs_fault_set(vfs, 0, &fault);
    work();
    assert_non_null(cut.left);
    disk_end();
    disk_begin(cut.left);
    open_and_look(cut.told, must_have_all);
    disk_end();
    disk_begin(NULL);
}

static uint64_t stride(uint64_t count, uint64_t points)
{
    return goes_through_all || count < points ? 1 : count / points;
}

static void cut_everywhere(enum quarry_tsdb_durability durability)
{
    rig.options.durability = durability;
    uint64_t count = count_operations();
    assert_true(count > 100);
    for (uint64_t i = 1; i <= count; i += stride(count, ROUNDS(45, 20))) {
        bool is_process = durability == QUARRY_TSDB_DURABILITY_PROCESS;
        cut_at(i, is_process ? 100 : (uint32_t)(i * 37 % 101),
               durability != QUARRY_TSDB_DURABILITY_NONE);
    }
}

static void a_process_that_ends_anywhere_loses_nothing(void **state)
{
    (void)state;
    cut_everywhere(QUARRY_TSDB_DURABILITY_PROCESS);
}

static void a_loss_of_power_anywhere_loses_nothing(void **state)
{
    (void)state;
    cut_everywhere(QUARRY_TSDB_DURABILITY_POWER);
}

static void what_is_not_durable_is_at_least_right(void **state)
{
    (void)state;
    cut_everywhere(QUARRY_TSDB_DURABILITY_NONE);
}

/* ---- calls that fail ------------------------------------------------------------------------ */

static void fail_at(uint64_t index, uint64_t count, enum quarry_status status)
{
    const struct quarry_vfs_fault fault = {
        .first = index, .count = count, .status = status, .is_partial = true};

    quarry_vfs_fault_set(vfs, 0, &fault);
    work();
    quarry_vfs_fault_set(vfs, 0, NULL);
    open_and_look(told, true);
    disk_end();
    disk_begin(NULL);
}

static void every_call_may_fail(void **state)
{
    (void)state;
    rig.options.durability = QUARRY_TSDB_DURABILITY_POWER;
    uint64_t count = count_operations();
    for (uint64_t i = 1; i <= count; i += stride(count, ROUNDS(90, 30))) {
        fail_at(i, 1, i % 3 == 0 ? QUARRY_NO_SPACE : QUARRY_IO);
    }
    for (uint64_t i = 1; i <= count; i += stride(count, ROUNDS(20, 8))) {
        fail_at(i, 0, QUARRY_IO); /* and all that follow */
    }
}

/* Writing the log of what fills windows, and their files in place of others. */
static void filling_may_be_hit_anywhere(void **state)
{
    (void)state;
    fills = true;
    rig.options.durability = QUARRY_TSDB_DURABILITY_POWER;
    uint64_t count = count_operations();
    assert_true(count > 100);
    for (uint64_t i = 1; i <= count; i += stride(count, ROUNDS(24, 12))) {
        fail_at(i, 1, i % 3 == 0 ? QUARRY_NO_SPACE : QUARRY_IO);
        cut_at(i, (uint32_t)(i * 37 % 101), true);
    }
    for (uint64_t i = 1; i <= count; i += stride(count, ROUNDS(8, 4))) {
        fail_at(i, 0, QUARRY_IO);
    }
    rig.options.durability = QUARRY_TSDB_DURABILITY_PROCESS;
    count = count_operations();
    for (uint64_t i = 1; i <= count; i += stride(count, ROUNDS(12, 8))) {
        cut_at(i, 100, true);
    }
}

/* The same, and it is filled indeed. */
static void filling_is_what_is_hit(void **state)
{
    (void)state;
    fills = true;
    rig_open();
    quarry_tsdb_wait_ready(rig.tsdb);
    for (uint32_t place = 0; place < STEPS; place++) {
        step_put(step_of(place));
        rig_turns();
    }
    look(told, true);
    struct quarry_tsdb_stats stats = rig_stats();
    assert_int_equal(stats.taken_count, SERIES * STEPS);
    assert_true(stats.filling_count >= 3);
    assert_true(stats.saved_window_count >= 2 * stats.window_file_count);
}

/* ---- memory that is short ------------------------------------------------------------------- */

static void leave(uint64_t bytes)
{
    struct quarry_account_state state;

    quarry_account_read(above, &state);
    assert_int_equal(
        quarry_account_set_bounds(above, 0, bytes == UINT64_MAX ? 0 : state.charged_bytes + bytes),
        QUARRY_OK);
}

static void every_allocation_of_opening_may_fail(void **state)
{
    uint32_t failed_count = 0;

    (void)state;
    work();
    for (uint64_t bytes = 1; bytes < Q_MIB(8); bytes += 1 + bytes / (goes_through_all ? 200 : 12)) {
        leave(bytes);
        enum quarry_status status = quarry_tsdb_open(&rig.options, &rig.tsdb, NULL);
        if (status == QUARRY_OK) {
            quarry_tsdb_wait_ready(rig.tsdb);
            leave(UINT64_MAX); /* histograms want memory to be read */
            look(told, false);
            (void)quarry_tsdb_close(rig.tsdb);
            rig.tsdb = NULL;
        } else {
            assert_true(status == QUARRY_NO_MEMORY);
            failed_count++;
        }
        leave(UINT64_MAX);
    }
    assert_true(failed_count > 10);
    open_and_look(told, true);
}

static void every_allocation_of_appending_and_writing_may_fail(void **state)
{
    (void)state;
    for (uint64_t bytes = Q_KIB(64); bytes < Q_MIB(6);
         bytes += bytes / (goes_through_all ? 100 : 6)) {
        memset(told, 0, sizeof told);
        rig_open();
        quarry_tsdb_wait_ready(rig.tsdb);
        leave(bytes);
        for (uint32_t step = 0; step < STEPS; step++) {
            step_put(step);
            if (step % 4 == 3) {
                rig_turns();
            }
        }
        (void)quarry_tsdb_close(rig.tsdb);
        rig.tsdb = NULL;
        leave(UINT64_MAX);
        open_and_look(told, true);
        disk_end();
        disk_begin(NULL);
    }
}

/* ---- bytes that change ---------------------------------------------------------------------- */

struct names {
    char names[64][QUARRY_VFS_NAME_BYTES_MAX];
    size_t count;
};

static bool name_add(void *argument, const char *name)
{
    struct names *names = argument;

    assert_true(names->count < COUNT_OF(names->names));
    if (strcmp(name, "LOCK") != 0) {
        (void)snprintf(names->names[names->count++], QUARRY_VFS_NAME_BYTES_MAX, "%s", name);
    }
    return true;
}

/* Changes a byte. Returns: false: the file ends before. */
static bool byte_change(struct quarry_vfs *on, const char *name, uint64_t at, uint8_t mask)
{
    char path[QUARRY_VFS_NAME_BYTES_MAX + sizeof DIRECTORY + 1];
    struct quarry_vfs_file *file = NULL;
    uint8_t byte;
    size_t count = 0;

    (void)snprintf(path, sizeof path, "%s/%s", DIRECTORY, name);
    assert_int_equal(quarry_vfs_open(on, path, QUARRY_VFS_WRITE, &file, NULL), QUARRY_OK);
    assert_int_equal(quarry_vfs_read(file, at, &byte, 1, &count, NULL), QUARRY_OK);
    if (count == 1) {
        byte ^= mask;
        assert_int_equal(quarry_vfs_write(file, at, &byte, 1, NULL), QUARRY_OK);
    }
    quarry_vfs_close(file);
    return count == 1;
}

/* One byte of one file is changed on a copy of the disk. */
static bool damage(struct quarry_vfs *whole, const char *name, uint64_t at)
{
    struct quarry_vfs *copy = NULL;

    assert_int_equal(quarry_vfs_memory_crash(whole, 100, 1, &copy), QUARRY_OK);
    if (!byte_change(copy, name, at, (uint8_t)(1 + at % 255))) {
        quarry_vfs_memory_destroy(copy);
        return false;
    }
    disk_begin(copy);
    lost_count = 0;
    rig_open();
    quarry_tsdb_wait_ready(rig.tsdb);
    look(told, lost_count == 0);
    rig_assert_valid();
    (void)quarry_tsdb_close(rig.tsdb);
    rig.tsdb = NULL;
    disk_end();
    return true;
}

static void a_changed_byte_costs_its_range_and_is_told(void **state)
{
    struct names names = {.count = 0};
    uint64_t point_count = 0, told_count = 0;

    (void)state;
    work();
    struct quarry_vfs *whole = disk, *whole_faults = vfs;
    assert_int_equal(quarry_vfs_list(whole, DIRECTORY, name_add, &names, NULL), QUARRY_OK);
    for (size_t i = 0; i < names.count; i++) {
        uint64_t step = goes_through_all ? 1 : 37;
        for (uint64_t at = i % step; damage(whole, names.names[i], at); at += step) {
            point_count++;
            told_count += lost_count != 0;
            if (!goes_through_all) {
                step += step / 2; /* heads are where the structure is */
            }
        }
    }
    assert_true(point_count > 20 && told_count > 10);
    disk = whole;
    vfs = whole_faults;
    rig.options.vfs = vfs;
}

/* A file that is cut off, and one that is gone. */
static void a_snapshot_that_is_gone_costs_nothing(void **state)
{
    struct names names = {.count = 0};
    char path[QUARRY_VFS_NAME_BYTES_MAX + sizeof DIRECTORY + 1];
    uint32_t removed_count = 0;

    (void)state;
    work();
    assert_int_equal(quarry_vfs_list(disk, DIRECTORY, name_add, &names, NULL), QUARRY_OK);
    for (size_t i = 0; i < names.count; i++) {
        if (strncmp(names.names[i], "snapshot-", strlen("snapshot-")) == 0) {
            (void)snprintf(path, sizeof path, "%s/%s", DIRECTORY, names.names[i]);
            assert_int_equal(quarry_vfs_remove(disk, path, NULL), QUARRY_OK);
            removed_count++;
        }
    }
    assert_true(removed_count > 0);
    open_and_look(told, true);
    assert_int_equal(lost_count, 0);
}

static uint64_t bytes_of(const char *name)
{
    char path[QUARRY_VFS_NAME_BYTES_MAX + sizeof DIRECTORY + 1];
    uint64_t byte_count = 0;
    bool is_directory;

    (void)snprintf(path, sizeof path, "%s/%s", DIRECTORY, name);
    assert_int_equal(quarry_vfs_stat(disk, path, &byte_count, &is_directory, NULL), QUARRY_OK);
    return byte_count;
}

static void verifying_finds_a_changed_byte(void **state)
{
    struct names names = {.count = 0};

    (void)state;
    work();
    assert_int_equal(quarry_tsdb_verify_directory(&rig.options, NULL), QUARRY_OK);
    assert_int_equal(quarry_vfs_list(disk, DIRECTORY, name_add, &names, NULL), QUARRY_OK);
    for (size_t i = 0; i < names.count; i++) {
        /* In the midst of a snapshot: its directory is there twice, at both ends. */
        bool is_snapshot = strncmp(names.names[i], "snapshot-", strlen("snapshot-")) == 0;
        uint64_t at = is_snapshot ? bytes_of(names.names[i]) / 2 : 300;
        assert_true(byte_change(disk, names.names[i], at, 0x40));
        assert_int_equal(quarry_tsdb_verify_directory(&rig.options, NULL), QUARRY_CORRUPT);
        assert_true(byte_change(disk, names.names[i], at, 0x40));
    }
    assert_int_equal(quarry_tsdb_verify_directory(&rig.options, NULL), QUARRY_OK);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(a_process_that_ends_anywhere_loses_nothing),
        TEST(a_loss_of_power_anywhere_loses_nothing),
        TEST(what_is_not_durable_is_at_least_right),
        TEST(every_call_may_fail),
        TEST(filling_is_what_is_hit),
        TEST(filling_may_be_hit_anywhere),
        TEST(every_allocation_of_opening_may_fail),
        TEST(every_allocation_of_appending_and_writing_may_fail),
        TEST(a_changed_byte_costs_its_range_and_is_told),
        TEST(a_snapshot_that_is_gone_costs_nothing),
        TEST(verifying_finds_a_changed_byte),
    };

    goes_through_all = argc > 1 && strcmp(argv[1], "--all") == 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
