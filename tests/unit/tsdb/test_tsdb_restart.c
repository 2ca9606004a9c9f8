/*
 * Opening a store again: series all at once, open windows from their images, what is damaged from
 * the log, and what has no room left out.
 *
 * The last test opens a store of series with eight labels and tells what that took. QUARRY_SERIES
 * says how many (5,000 otherwise), QUARRY_SAMPLES how many samples each (2), and QUARRY_FOLDER
 * where, on a disk and not in memory; with QUARRY_KILL it ends as if it were killed.
 */
#include "unit/tsdb/store_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <base/base.h>
#include <quarry/vfs.h>
#include <tsdb/section_file.h>

#include "unit/base/random.h"

#define T0     INT64_C(1600000000000)
#define STEP   INT64_C(15000)
#define SERIES 1100u /* of one name: a bitmap */

static struct quarry_vfs *disk;
static struct model model;
static uint64_t lost_count, memory_lost_count;

static void on_lost(void *argument, const struct quarry_tsdb_loss *loss)
{
    (void)argument;
    lost_count++;
    memory_lost_count += loss->kind == QUARRY_TSDB_LOSS_MEMORY;
}

static int set_up(void **state)
{
    (void)rig_set_up(state);
    assert_int_equal(quarry_vfs_memory_create(1, &disk), QUARRY_OK);
    rig.options.directory = "/data";
    rig.options.vfs = disk;
    rig.options.out_of_order_ms = 250000;
    rig.options.window_count = 4;
    rig.options.lost = on_lost;
    lost_count = memory_lost_count = 0;
    model_init(&model, SERIES);
    return 0;
}

static int tear_down(void **state)
{
    int result = rig_tear_down(state);

    model_fini(&model);
    quarry_vfs_memory_destroy(disk);
    return result;
}

static void open_and_wait(void)
{
    rig_open();
    quarry_tsdb_wait_ready(rig.tsdb);
    rig_assert_valid();
}

static void put(uint32_t number, int64_t t_ms)
{
    uint64_t seed = number * UINT64_C(1000003) + (uint64_t)t_ms;
    double value = number % 7 == 0 ? (double)random_u64(&seed) : (double)(random_u64(&seed) % 400);
    struct quarry_tsdb_sample sample = {t_ms, 0};

    memcpy(&sample.bits, &value, sizeof value);
    assert_int_equal(rig_append_many(number, &sample, 1), QUARRY_OK);
    model_put(&model, number, sample);
}

/* Some samples of all series, a late one of some. */
static int64_t put_steps(int64_t t_ms, uint32_t count)
{
    for (uint32_t step = 0; step < count; step++, t_ms += STEP) {
        for (uint32_t i = 0; i < SERIES; i++) {
            put(i, t_ms + i % 5);
            if (i % 11 == 0 && step > 2) {
                put(i, t_ms - STEP - 1);
            }
        }
        rig_turns();
    }
    return t_ms;
}

/* What is left of a process that is killed. */
static void kill_and_open(void)
{
    struct quarry_vfs *left = NULL;

    assert_int_equal(quarry_vfs_memory_crash(disk, 100, 1, &left), QUARRY_OK);
    (void)quarry_tsdb_close(rig.tsdb);
    rig.tsdb = NULL;
    quarry_vfs_memory_destroy(disk);
    disk = left;
    rig.options.vfs = disk;
    open_and_wait();
}

static void open_windows_come_from_their_image(void **state)
{
    (void)state;
    open_and_wait();
    int64_t now_ms = put_steps(T0, 20);
    for (uint32_t round = 0; round < 3; round++) {
        rig_close();
        open_and_wait();
        assert_int_equal(rig_stats().replayed_count, 0);
        assert_int_equal(rig_stats().series_count, SERIES);
        assert_int_equal(rig_stats().max_ms, now_ms - STEP + 4);
        model_compare(&model);
        now_ms = put_steps(now_ms, 9);
        model_compare(&model);
    }
    assert_int_equal(lost_count, 0);
}

static void the_log_behind_an_image_is_replayed(void **state)
{
    (void)state;
    open_and_wait();
    int64_t now_ms = put_steps(T0, 30);
    rig_close();
    open_and_wait();
    uint64_t before = rig_stats().taken_count;
    now_ms = put_steps(now_ms, 5);
    uint64_t taken = rig_stats().taken_count - before;
    kill_and_open();
    assert_int_equal(rig_stats().replayed_count, taken);
    model_compare(&model);
    (void)put_steps(now_ms, 45); /* into the next window */
    kill_and_open();
    model_compare(&model);
    assert_int_equal(lost_count, 0);
}

static void a_window_that_was_sealed_since_is_not_taken_from_an_image(void **state)
{
    (void)state;
    open_and_wait();
    int64_t now_ms = put_steps(T0, 40);
    rig_close();
    rig.options.snapshot_ms = -1; /* the image stays the newest */
    open_and_wait();
    now_ms = put_steps(now_ms, 80);
    assert_true(rig_stats().window_file_count >= 1);
    kill_and_open();
    model_compare(&model);
    (void)put_steps(now_ms, 3);
    model_compare(&model);
    assert_int_equal(lost_count, 0);
}

/* ---- damage --------------------------------------------------------------------------------- */

struct names {
    char snapshot[64];
};

static bool find_snapshot(void *argument, const char *name)
{
    struct names *names = argument;

    if (strncmp(name, "snapshot-", strlen("snapshot-")) == 0) {
        (void)snprintf(names->snapshot, sizeof names->snapshot, "/data/%.40s", name);
    }
    return true;
}

/* Changes a byte of the snapshot. Returns: its length. */
static uint64_t damage(uint64_t at)
{
    struct names names = {.snapshot = ""};
    struct quarry_vfs_file *file = NULL;
    uint64_t byte_count = 0;
    size_t count = 0;
    uint8_t byte;

    assert_int_equal(quarry_vfs_list(disk, "/data", find_snapshot, &names, NULL), QUARRY_OK);
    assert_int_equal(quarry_vfs_open(disk, names.snapshot, QUARRY_VFS_WRITE, &file, NULL),
                     QUARRY_OK);
    assert_int_equal(quarry_vfs_size(file, &byte_count, NULL), QUARRY_OK);
    at %= byte_count;
    assert_int_equal(quarry_vfs_read(file, at, &byte, 1, &count, NULL), QUARRY_OK);
    byte ^= 0x40;
    assert_int_equal(quarry_vfs_write(file, at, &byte, 1, NULL), QUARRY_OK);
    quarry_vfs_close(file);
    return byte_count;
}

static void a_damaged_snapshot_costs_nothing_but_time(void **state)
{
    uint64_t seed = 3, replayed = 0;

    (void)state;
    open_and_wait();
    int64_t now_ms = put_steps(T0, 12);
    for (uint32_t round = 0; round < 15; round++) {
        rig_close();
        (void)damage(random_u64(&seed));
        open_and_wait();
        model_compare(&model);
        replayed += rig_stats().replayed_count != 0;
        now_ms = put_steps(now_ms, 1);
        model_compare(&model);
    }
    assert_true(lost_count >= 3); /* told; padding, and the second head, are nobody's loss */
    assert_true(replayed >= 3);
}

/* A snapshot that was read, to be written again with other bytes. */
struct forged {
    struct tsdb_section sections[512];
    struct tsdb_slice pieces[512];
    uint8_t *bytes[512];
    size_t count;
};

static void nothing_is_lost(void *argument, const struct tsdb_section_info *info, uint64_t offset,
                            uint64_t byte_count)
{
    (void)argument;
    (void)info;
    (void)offset;
    (void)byte_count;
    fail();
}

static void forged_read(struct forged *forged, const struct tsdb_section_place *place)
{
    struct tsdb_section_file *file = NULL;

    assert_int_equal(tsdb_section_file_open(place, &file, NULL), QUARRY_OK);
    forged->count = tsdb_section_file_count(file);
    assert_true(forged->count <= COUNT_OF(forged->sections));
    for (size_t i = 0; i < forged->count; i++) {
        const struct tsdb_section_info info = tsdb_section_file_info(file, i);
        forged->bytes[i] = calloc(1, (size_t)info.byte_count + 1);
        assert_int_equal(
            tsdb_section_file_read(file, i, forged->bytes[i], nothing_is_lost, NULL, NULL),
            QUARRY_OK);
        forged->pieces[i] = (struct tsdb_slice){(char *)forged->bytes[i], (size_t)info.byte_count};
        forged->sections[i] = (struct tsdb_section){
            .kind = info.kind, .index = info.index, .pieces = &forged->pieces[i], .piece_count = 1};
    }
    tsdb_section_file_close(file);
}

/* Changes some bits of some section. */
static void forged_change(struct forged *forged, uint64_t *seed)
{
    size_t i = (size_t)(random_u64(seed) % forged->count);
    size_t count = forged->pieces[i].count;

    for (uint64_t n = random_u64(seed) % 4 + 1; n > 0 && count != 0; n--) {
        size_t at = (size_t)(random_u64(seed) % count);
        forged->bytes[i][at] ^= (uint8_t)(1u << random_u64(seed) % 8);
    }
    if (count > 8 && random_u64(seed) % 8 == 0) {
        forged->pieces[i].count = count - (size_t)(random_u64(seed) % 8);
    }
}

static void forged_fini(struct forged *forged)
{
    for (size_t i = 0; i < forged->count; i++) {
        free(forged->bytes[i]);
    }
}

/* All series of all names, as far as they can be read. */
static void read_whatever_there_is(void)
{
    const struct quarry_tsdb_matcher any = {QUARRY_TSDB_NOT_EQUAL, {"__name__", 8}, {"", 0}};
    const struct quarry_tsdb_query query = {
        .matchers = &any, .matcher_count = 1, .min_ms = INT64_MIN, .max_ms = INT64_MAX};
    struct quarry_tsdb_cursor *cursor = NULL;
    struct quarry_tsdb_set *set = NULL;
    struct quarry_tsdb_block block;

    assert_int_equal(quarry_tsdb_select(rig.tsdb, &query, &set, NULL), QUARRY_OK);
    assert_int_equal(quarry_tsdb_cursor_create(set, &cursor), QUARRY_OK);
    for (size_t i = 0; i < quarry_tsdb_set_count(set); i++) {
        quarry_tsdb_cursor_series(cursor, i);
        while (quarry_tsdb_cursor_next(cursor, &block) == QUARRY_OK) {
            assert_true(block.count > 0 && block.count <= QUARRY_TSDB_BLOCK_SAMPLES);
        }
    }
    quarry_tsdb_cursor_destroy(cursor);
    quarry_tsdb_set_close(set);
}

/* Whatever a snapshot says, with checksums that are right: nobody reads or writes beyond memory. */
static void a_forged_snapshot_leads_nobody_astray(void **state)
{
    uint64_t seed = 11;
    struct quarry_lifetime *lifetime = NULL;
    struct tsdb_memory memory = {.account = NULL};
    const struct quarry_account_options account = {.name = "forger"};

    (void)state;
    open_and_wait();
    int64_t now_ms = put_steps(T0, 14);
    rig_close();
    assert_int_equal(quarry_account_create(rig.memory, &account, &memory.account, NULL), QUARRY_OK);
    assert_int_equal(quarry_lifetime_begin(rig.memory, "forger", &lifetime, NULL), QUARRY_OK);
    assert_int_equal(
        quarry_pool_create(lifetime, quarry_account_owner(memory.account), &memory.pool),
        QUARRY_OK);
    for (uint32_t round = 0; round < 30; round++) {
        struct quarry_vfs *copy = NULL;
        struct forged *forged = calloc(1, sizeof *forged);
        struct names names = {.snapshot = ""};
        assert_int_equal(quarry_vfs_memory_crash(disk, 100, round, &copy), QUARRY_OK);
        assert_int_equal(quarry_vfs_list(copy, "/data", find_snapshot, &names, NULL), QUARRY_OK);
        const struct tsdb_section_place place = {
            .vfs = copy,
            .directory = "/data",
            .memory = &memory,
            .name = {.kind = TSDB_FILE_SNAPSHOT,
                     .number = strtoull(names.snapshot + strlen("/data/snapshot-"), NULL, 10)}};
        forged_read(forged, &place);
        forged_change(forged, &seed);
        assert_int_equal(tsdb_section_file_write(&place, forged->sections, forged->count, NULL),
                         QUARRY_OK);
        forged_fini(forged);
        free(forged);
        rig.options.vfs = copy;
        rig_open();
        quarry_tsdb_wait_ready(rig.tsdb);
        for (uint32_t i = 0; i < SERIES; i += 3) {
            struct quarry_tsdb_sample sample = {now_ms, i};
            (void)rig_append_many(i, &sample, 1);
        }
        read_whatever_there_is();
        const struct quarry_tsdb_sample later = {now_ms + 2 * rig.options.window_ms, 1};
        (void)rig_append_many(1, &later, 1);
        for (uint32_t turns = 0; turns < 200 && quarry_tsdb_turn(rig.tsdb); turns++) {
        }
        (void)quarry_tsdb_close(rig.tsdb);
        rig.tsdb = NULL;
        quarry_vfs_memory_destroy(copy);
    }
    rig.options.vfs = disk;
    quarry_lifetime_end(lifetime);
    quarry_account_destroy(memory.account);
}

/* ---- room ----------------------------------------------------------------------------------- */

static void series_without_room_are_left_out(void **state)
{
    (void)state;
    open_and_wait();
    int64_t now_ms = put_steps(T0, 12); /* so little that no window has to go early below */
    uint64_t count = rig_stats().series_count;
    rig_close();
    bool has_left_out = false;
    for (uint64_t limit_bytes = Q_KIB(2048); !has_left_out; limit_bytes = limit_bytes / 16 * 15) {
        rig.options.memory_bytes = limit_bytes;
        rig.options.query_bytes = limit_bytes / 2;
        open_and_wait();
        struct quarry_tsdb_stats stats = rig_stats();
        assert_true(stats.peak_bytes <= limit_bytes);
        assert_int_equal(stats.series_count + stats.left_out_series_count, count);
        assert_true(stats.left_out_series_count == 0 || memory_lost_count != 0);
        assert_int_equal(stats.early_window_count, 0);
        has_left_out |= stats.left_out_series_count != 0;
        rig_turns();
        rig_close();
    }
    rig.options.memory_bytes = rig.options.query_bytes = 0;
    open_and_wait();
    assert_int_equal(rig_stats().left_out_series_count, 0);
    model_compare(&model);
    (void)put_steps(now_ms, 2);
    model_compare(&model);
}

/* ---- figures -------------------------------------------------------------------------------- */

static uint64_t number_of(const char *name, uint64_t standard)
{
    const char *text = getenv(name);

    return text == NULL ? standard : strtoull(text, NULL, 10);
}

static double seconds(clockid_t clock)
{
    struct timespec time = {0};

    (void)clock_gettime(clock, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Eight labels: one of many values, the others of few. */
static struct quarry_tsdb_labels wide_labels(uint32_t number)
{
    static char texts[8][32];
    static struct quarry_tsdb_label labels[8];
    static const char *const names[8] = {"__name__", "cluster",   "container", "instance",
                                         "job",      "namespace", "path",      "pod"};
    const uint32_t parts[8] = {number % 300, number % 3,  number % 11, number / 300,
                               number % 7,   number % 23, number % 97, number / 100};

    for (uint32_t i = 0; i < 8; i++) {
        int count = snprintf(texts[i], sizeof texts[i], "%.6s-%u", names[i], parts[i]);
        labels[i] =
            (struct quarry_tsdb_label){{names[i], strlen(names[i])}, {texts[i], (size_t)count}};
    }
    return (struct quarry_tsdb_labels){labels, 8};
}

static void put_wide(uint32_t series_count, uint32_t sample_count)
{
    struct quarry_tsdb_sample *samples = calloc(sample_count, sizeof *samples);
    struct quarry_tsdb_result result;

    for (uint32_t i = 0; i < series_count; i++) {
        for (uint32_t k = 0; k < sample_count; k++) {
            double value = i % 50 + k;
            samples[k].t_ms = T0 + k * INT64_C(2000) + i % 1000; /* in order for 100 of them */
            memcpy(&samples[k].bits, &value, sizeof value);
        }
        const struct quarry_tsdb_entry entry = {
            .labels = wide_labels(i), .samples = samples, .sample_count = sample_count};
        const struct quarry_tsdb_request request = {.entries = &entry, .entry_count = 1};
        assert_int_equal(quarry_tsdb_append(rig.tsdb, &request, &result), QUARRY_OK);
    }
    free(samples);
}

static void tell(const char *what)
{
    double wall = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);

    rig_open();
    quarry_tsdb_wait_ready(rig.tsdb);
    printf("%-16s %.3f s, %.3f s of CPU; %llu series, %llu samples replayed\n", what,
           seconds(CLOCK_MONOTONIC) - wall, seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu,
           (unsigned long long)rig_stats().series_count,
           (unsigned long long)rig_stats().replayed_count);
    (void)fflush(stdout);
}

static void opening_is_measured(void **state)
{
    uint32_t series_count = (uint32_t)number_of("QUARRY_SERIES", 5000);
    uint32_t sample_count = (uint32_t)number_of("QUARRY_SAMPLES", 2);
    const char *folder = getenv("QUARRY_FOLDER");

    (void)state;
    if (folder != NULL) {
        rig.options.directory = folder;
        rig.options.vfs = NULL;
        rig.options.has_no_thread = false;
        rig.options.snapshot_ms = getenv("QUARRY_SNAPSHOT") == NULL ? 0 : 1;
        assert_int_equal(quarry_memory_set_limit(rig.memory, Q_GIB(6)), QUARRY_OK);
    }
    tell("as it was left");
    if (rig_stats().series_count == 0) {
        put_wide(series_count, sample_count);
    }
    if (getenv("QUARRY_KILL") != NULL) {
        rig_turns(); /* a snapshot, which is due at once where QUARRY_SNAPSHOT is set */
        _Exit(0);
    }
    if (getenv("QUARRY_AGAIN") != NULL) {
        return;
    }
    double wall = seconds(CLOCK_MONOTONIC);
    (void)quarry_tsdb_close(rig.tsdb);
    printf("closing          %.3f s\n", seconds(CLOCK_MONOTONIC) - wall);
    tell("after a close");
    assert_int_equal(rig_stats().series_count, series_count);
    assert_int_equal(rig_stats().replayed_count, 0);
    rig_assert_valid();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(open_windows_come_from_their_image),
        TEST(the_log_behind_an_image_is_replayed),
        TEST(a_window_that_was_sealed_since_is_not_taken_from_an_image),
        TEST(a_damaged_snapshot_costs_nothing_but_time),
        TEST(a_forged_snapshot_leads_nobody_astray),
        TEST(series_without_room_are_left_out),
        TEST(opening_is_measured),
    };
    if (getenv("QUARRY_FOLDER") != NULL) {
        cmocka_set_test_filter("opening_is_measured");
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
