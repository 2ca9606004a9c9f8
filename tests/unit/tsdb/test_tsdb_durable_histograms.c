/*
 * A store with a directory whose series have histograms, floats, or both by turns: what was
 * acknowledged is there when it is opened again, bit by bit, whatever happened in between.
 *
 * A histogram follows from its series and step, so that a model needs to remember no more than
 * which steps were acknowledged.
 */
#include "unit/tsdb/store_rig.h"

#include <stdio.h>
#include <string.h>

#include <base/base.h>
#include <quarry/vfs.h>

#include "unit/base/random.h"

#define T0         INT64_C(1600000000000)
#define STEP_MS    INT64_C(50000)
#define SERIES     6u
#define STEPS      64u /* three windows and a bit, of 20 steps each */
#define PARTS      24u
#define LATE_EVERY 6u /* of series 2 one in six comes three steps late */
#define DIRECTORY  "/data"

static struct quarry_vfs *disk, *vfs; /* in memory; the same, failing on command */
static struct quarry_account *above;
static uint64_t lost_count;

enum told { NOT_SENT, REFUSED, ACKNOWLEDGED };
static enum told told[SERIES][STEPS];

static void on_lost(void *argument, const struct quarry_tsdb_loss *loss)
{
    (void)argument;
    assert_true(loss->file[0] != '\0');
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
    rig.options.log_segment_bytes = Q_KIB(4);
    rig.options.snapshot_ms = 1;
    rig.options.lost = on_lost;
    lost_count = 0;
    memset(told, 0, sizeof told);
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

/* ---- histograms ----------------------------------------------------------------------------- */

struct made {
    struct quarry_tsdb_histogram histogram;
    uint64_t positive[PARTS], negative[PARTS], custom[PARTS];
    struct quarry_tsdb_span spans[2];
};

static uint64_t bits_of(double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* Counts that rise, of integers or of doubles. Returns: their sum. */
static double fill(uint64_t *counts, uint32_t count, bool is_float, uint64_t *random)
{
    double sum = 0;

    for (uint32_t i = 0; i < count; i++) {
        uint64_t value = random_u64(random) % 5000;
        counts[i] = is_float ? bits_of((double)value + 0.25) : value;
        sum += (double)value + (is_float ? 0.25 : 0);
    }
    return sum;
}

/* The histogram of a series at a step: of integers, of floats, with bounds of its own, and now and
 * then one that ends the series. */
static void make(uint32_t series, uint32_t step, struct made *made)
{
    uint64_t random = series * UINT64_C(1000003) + step / 5; /* layouts stay for some steps */
    uint32_t count = 1 + (uint32_t)(random_u64(&random) % PARTS);
    bool is_custom = series % 3 == 2, is_float = series % 3 == 1, is_end = step % 13 == 12;
    struct quarry_tsdb_histogram *histogram = &made->histogram;

    random += step;
    double sum = fill(made->positive, count, is_float, &random);
    made->spans[0] = (struct quarry_tsdb_span){is_custom ? 0 : -3, count};
    *histogram = (struct quarry_tsdb_histogram){
        .t_ms = T0 + step * STEP_MS,
        .schema = is_custom ? QUARRY_TSDB_SCHEMA_CUSTOM : (int32_t)(series % 8),
        .is_float = is_float,
        .reset_hint = (enum quarry_tsdb_reset_hint)(step % 4),
        .sum_bits = is_end ? QUARRY_TSDB_STALE_BITS : random_u64(&random) >> 2,
        .positive = {made->spans, made->positive, 1, count}};
    if (is_custom) {
        for (uint32_t i = 0; i < PARTS; i++) {
            made->custom[i] = bits_of((double)i * 2.5);
        }
        histogram->custom_bits = made->custom;
        histogram->custom_count = PARTS;
    } else {
        made->spans[1] = (struct quarry_tsdb_span){5, count / 2 + 1};
        sum += fill(made->negative, count / 2 + 1, is_float, &random);
        histogram->negative =
            (struct quarry_tsdb_buckets){made->spans + 1, made->negative, 1, count / 2 + 1};
        histogram->zero_threshold_bits = bits_of(1e-9);
    }
    histogram->count = is_float ? bits_of(sum) : (uint64_t)sum;
}

/* Series 3 to 5 have floats now and then. */
static bool is_float_at(uint32_t series, uint32_t step)
{
    return series >= 3 && step / 7 % 2 == 1;
}

static void assert_same(const struct quarry_tsdb_histogram *a,
                        const struct quarry_tsdb_histogram *b)
{
    assert_int_equal(a->t_ms, b->t_ms);
    assert_int_equal(a->schema, b->schema);
    assert_int_equal(a->is_float, b->is_float);
    assert_int_equal(a->reset_hint, b->reset_hint);
    assert_true(a->sum_bits == b->sum_bits && a->count == b->count &&
                a->zero_count == b->zero_count && a->zero_threshold_bits == b->zero_threshold_bits);
    assert_int_equal(a->positive.bucket_count, b->positive.bucket_count);
    assert_int_equal(a->negative.bucket_count, b->negative.bucket_count);
    assert_int_equal(a->custom_count, b->custom_count);
    assert_int_equal(a->positive.spans[0].offset, b->positive.spans[0].offset);
    for (uint32_t i = 0; i < a->positive.bucket_count; i++) {
        assert_true(a->positive.buckets[i] == b->positive.buckets[i]);
    }
    for (uint32_t i = 0; i < a->negative.bucket_count; i++) {
        assert_true(a->negative.buckets[i] == b->negative.buckets[i]);
    }
    for (uint32_t i = 0; i < a->custom_count; i++) {
        assert_true(a->custom_bits[i] == b->custom_bits[i]);
    }
}

/* ---- what is done --------------------------------------------------------------------------- */

static enum quarry_status put_one(uint32_t series, uint32_t step)
{
    const struct quarry_tsdb_sample sample = {T0 + step * STEP_MS, step};
    struct quarry_tsdb_entry entry = {.labels = rig_labels(series)};
    struct made made;

    if (is_float_at(series, step)) {
        entry.samples = &sample;
        entry.sample_count = 1;
    } else {
        make(series, step, &made);
        entry.histograms = &made.histogram;
        entry.histogram_count = 1;
    }
    const struct quarry_tsdb_request request = {.entries = &entry, .entry_count = 1};
    return quarry_tsdb_append(rig.tsdb, &request, &rig_result);
}

static void put_step(uint32_t step)
{
    for (uint32_t i = 0; i < SERIES; i++) {
        if (i != 2 || step % LATE_EVERY != 0) {
            told[i][step] = put_one(i, step) == QUARRY_OK ? ACKNOWLEDGED : REFUSED;
        }
    }
    if (step >= 3 && (step - 3) % LATE_EVERY == 0) {
        told[2][step - 3] = put_one(2, step - 3) == QUARRY_OK ? ACKNOWLEDGED : REFUSED;
    }
}

static void put_steps(uint32_t from, uint32_t count)
{
    for (uint32_t step = from; step < from + count; step++) {
        put_step(step);
        rig_turns();
    }
}

/* ---- what is found -------------------------------------------------------------------------- */

static void block_look(uint32_t series, const struct quarry_tsdb_block *block, uint8_t seen[STEPS])
{
    for (uint32_t i = 0; i < block->count; i++) {
        uint32_t step = (uint32_t)((block->t_ms[i] - T0) / STEP_MS);
        struct made made;
        assert_true(block->t_ms[i] >= T0 && step < STEPS);
        assert_true(told[series][step] != NOT_SENT);
        assert_int_equal(seen[step]++, 0);
        assert_int_equal(block->histograms == NULL, is_float_at(series, step));
        if (block->histograms == NULL) {
            assert_true(block->bits[i] == step);
        } else {
            make(series, step, &made);
            assert_same(&block->histograms[i], &made.histogram);
        }
    }
}

static void series_look(struct quarry_tsdb_cursor *cursor, size_t index, uint32_t series,
                        bool must_have_all)
{
    struct quarry_tsdb_block block;
    uint8_t seen[STEPS] = {0};
    enum quarry_status status;

    quarry_tsdb_cursor_series(cursor, index);
    while ((status = quarry_tsdb_cursor_next(cursor, &block)) == QUARRY_OK) {
        block_look(series, &block, seen);
    }
    assert_int_equal(status, QUARRY_NOT_FOUND);
    for (uint32_t step = 0; must_have_all && step < STEPS; step++) {
        assert_int_equal(seen[step] == 1, told[series][step] == ACKNOWLEDGED);
    }
}

/* What is there was sent, and is right. `must_have_all`: and all that was acknowledged is, alone.
 */
static void look(bool must_have_all)
{
    for (uint32_t series = 0; series < SERIES; series++) {
        const struct quarry_tsdb_label *name = rig_labels(series).labels;
        const struct quarry_tsdb_matcher matcher = {QUARRY_TSDB_EQUAL, name->name, name->value};
        const struct quarry_tsdb_query query = {
            .matchers = &matcher, .matcher_count = 1, .min_ms = INT64_MIN, .max_ms = INT64_MAX};
        struct quarry_tsdb_cursor *cursor = NULL;
        struct quarry_tsdb_set *set = NULL;
        assert_int_equal(quarry_tsdb_select(rig.tsdb, &query, &set, NULL), QUARRY_OK);
        assert_true(quarry_tsdb_set_count(set) <= 1);
        assert_int_equal(quarry_tsdb_cursor_create(set, &cursor), QUARRY_OK);
        if (quarry_tsdb_set_count(set) == 1) {
            series_look(cursor, 0, series, must_have_all);
        }
        quarry_tsdb_cursor_destroy(cursor);
        quarry_tsdb_set_close(set);
    }
}

static void open_whole(void)
{
    rig_open();
    quarry_tsdb_wait_ready(rig.tsdb);
    rig_assert_valid();
}

static void close_whole(void)
{
    rig_assert_valid();
    assert_int_equal(quarry_tsdb_close(rig.tsdb), QUARRY_OK);
    rig.tsdb = NULL;
}

/* What is left when the process or the power goes: files as they are, and no end. */
static void kill_and_reopen(uint32_t kept_percent, uint64_t seed)
{
    struct quarry_vfs *left = NULL;

    assert_int_equal(quarry_vfs_memory_crash(disk, kept_percent, seed, &left), QUARRY_OK);
    (void)quarry_tsdb_close(rig.tsdb);
    rig.tsdb = NULL;
    disk_end();
    disk_begin(left);
    open_whole();
}

/* ---- coming back ---------------------------------------------------------------------------- */

static void histograms_are_there_after_a_clean_close(void **state)
{
    (void)state;
    for (int level = QUARRY_TSDB_DURABILITY_NONE; level <= QUARRY_TSDB_DURABILITY_POWER; level++) {
        memset(told, 0, sizeof told);
        disk_end();
        disk_begin(NULL);
        rig.options.durability = (enum quarry_tsdb_durability)level;
        open_whole();
        for (uint32_t step = 0; step < STEPS; step += 8) {
            put_steps(step, 8);
            look(true);
            close_whole();
            open_whole();
            look(true);
        }
        assert_true(rig_stats().window_file_count >= 2);
        assert_int_equal(lost_count, 0);
        close_whole();
    }
}

static void acknowledged_histograms_survive_the_process(void **state)
{
    (void)state;
    rig.options.durability = QUARRY_TSDB_DURABILITY_PROCESS;
    open_whole();
    for (uint32_t step = 0; step < STEPS; step += 4) {
        put_steps(step, 4);
        kill_and_reopen(100, step);
        look(true);
    }
    assert_int_equal(lost_count, 0);
    assert_true(rig_stats().replayed_count > 0);
}

static void acknowledged_histograms_survive_a_loss_of_power(void **state)
{
    (void)state;
    rig.options.durability = QUARRY_TSDB_DURABILITY_POWER;
    open_whole();
    for (uint32_t step = 0; step < STEPS; step += 4) {
        put_steps(step, 4);
        kill_and_reopen(step * 29 % 101, step);
        look(true);
    }
}

/* ---- exemplars ------------------------------------------------------------------------------ */

/* An exemplar of a series at a step, beside a sample. */
static enum quarry_status exemplar_try(uint32_t series, uint32_t step)
{
    char text[24];
    const struct quarry_tsdb_sample sample = {T0 + step * STEP_MS, step};
    const struct quarry_tsdb_label labels[] = {
        {QUARRY_TSDB_TEXT("trace_id"), {text, (size_t)snprintf(text, sizeof text, "t%u", step)}},
        {QUARRY_TSDB_TEXT("\xc3\xa4"), QUARRY_TSDB_TEXT("\xe2\x82\xac")}};
    const struct quarry_tsdb_exemplar exemplar = {
        sample.t_ms - 5, bits_of(series + step / 8.0), {labels, step % 3}};
    const struct quarry_tsdb_entry entry = {.labels = rig_labels(series),
                                            .samples = &sample,
                                            .sample_count = 1,
                                            .exemplars = &exemplar,
                                            .exemplar_count = 1};
    const struct quarry_tsdb_request request = {.entries = &entry, .entry_count = 1};

    return quarry_tsdb_append(rig.tsdb, &request, &rig_result);
}

static void exemplar_put(uint32_t series, uint32_t step)
{
    assert_int_equal(exemplar_try(series, step), QUARRY_OK);
    assert_int_equal(rig_result.taken_exemplar_count, 1);
}

static uint8_t exemplars_seen[SERIES][STEPS];

static bool exemplar_look(void *argument, const struct quarry_tsdb_labels *series,
                          const struct quarry_tsdb_exemplar *exemplars, size_t count)
{
    uint32_t number = 0;

    (void)argument;
    while (series->labels[0].value.count != rig_labels(number).labels[0].value.count ||
           memcmp(series->labels[0].value.bytes, rig_labels(number).labels[0].value.bytes,
                  series->labels[0].value.count) != 0) {
        number++;
        assert_true(number < SERIES);
    }
    for (size_t i = 0; i < count; i++) {
        uint32_t step = (uint32_t)((exemplars[i].t_ms + 5 - T0) / STEP_MS);
        assert_true(step < STEPS && exemplars[i].t_ms == T0 + step * STEP_MS - 5);
        assert_true(i == 0 || exemplars[i - 1].t_ms < exemplars[i].t_ms);
        assert_true(exemplars[i].bits == bits_of(number + step / 8.0));
        assert_int_equal(exemplars[i].labels.count, step % 3);
        if (step % 3 == 2) {
            assert_int_equal(exemplars[i].labels.labels[1].value.count, 3);
        }
        exemplars_seen[number][step]++;
    }
    return true;
}

/* Those of all steps before one are there, but for the oldest so many of all. */
static void exemplars_look(uint32_t steps, uint32_t gone)
{
    const struct quarry_tsdb_query query = {.min_ms = INT64_MIN, .max_ms = INT64_MAX};

    memset(exemplars_seen, 0, sizeof exemplars_seen);
    assert_int_equal(quarry_tsdb_exemplars(rig.tsdb, &query, exemplar_look, NULL, NULL), QUARRY_OK);
    for (uint32_t step = 0; step < STEPS; step++) {
        for (uint32_t series = 0; series < SERIES; series++) {
            uint32_t index = step * SERIES + series;
            assert_int_equal(exemplars_seen[series][step], step < steps && index >= gone);
        }
    }
    assert_int_equal(rig_stats().exemplar_count, steps * SERIES - gone);
    rig_assert_valid();
}

static void exemplar_steps(uint32_t from, uint32_t count)
{
    for (uint32_t step = from; step < from + count; step++) {
        for (uint32_t series = 0; series < SERIES; series++) {
            exemplar_put(series, step);
        }
        rig_turns();
    }
}

/* Of open windows from the log, of sealed ones from their files. */
static void exemplars_come_back_each_once(void **state)
{
    (void)state;
    for (int level = QUARRY_TSDB_DURABILITY_PROCESS; level <= QUARRY_TSDB_DURABILITY_POWER;
         level++) {
        disk_end();
        disk_begin(NULL);
        rig.options.durability = (enum quarry_tsdb_durability)level;
        open_whole();
        for (uint32_t step = 0; step < STEPS; step += 8) {
            exemplar_steps(step, 8);
            exemplars_look(step + 8, 0);
            kill_and_reopen(level == QUARRY_TSDB_DURABILITY_PROCESS ? 100 : step % 101, step);
            exemplars_look(step + 8, 0);
            close_whole();
            open_whole();
            exemplars_look(step + 8, 0);
        }
        assert_true(rig_stats().window_file_count >= 2);
        assert_int_equal(lost_count, 0);
        close_whole();
    }
}

static void of_exemplars_that_come_back_the_newest_are_kept(void **state)
{
    (void)state;
    open_whole();
    exemplar_steps(0, STEPS);
    close_whole();
    rig.options.limits.exemplar_count = 200;
    open_whole();
    exemplars_look(STEPS, STEPS * SERIES - 200);
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

/* Without room a request is refused as a whole, and what is in stays. */
static void without_memory_a_request_is_refused_whole(void **state)
{
    uint64_t refused_count = 0;

    (void)state;
    open_whole();
    put_steps(0, 6);
    for (uint32_t step = 6; step < STEPS; step++) {
        leave((step - 6) * 256);
        told[1][step] = put_one(1, step) == QUARRY_OK ? ACKNOWLEDGED : NOT_SENT;
        refused_count += told[1][step] == NOT_SENT;
        leave(UINT64_MAX);
    }
    assert_true(refused_count > 0);
    look(true);
    kill_and_reopen(100, 1);
    look(true);
}

/* Its samples were logged before, and are synced: nothing is in doubt but the exemplar. */
static void an_exemplar_that_cannot_be_logged_costs_no_sample(void **state)
{
    const struct quarry_vfs_fault fault = {.operations = 1u << QUARRY_VFS_OP_WRITE,
                                           .path_contains = ".log",
                                           .first = 2, /* behind the record of the sample */
                                           .count = 1,
                                           .status = QUARRY_NO_SPACE,
                                           .is_partial = true};
    (void)state;
    rig.options.durability = QUARRY_TSDB_DURABILITY_POWER;
    open_whole();
    exemplar_put(0, 0);
    quarry_vfs_fault_set(vfs, 0, &fault);
    assert_int_equal(exemplar_try(0, 1), QUARRY_OK);
    quarry_vfs_fault_set(vfs, 0, NULL);
    assert_int_equal(rig_result.taken_count, 1);
    assert_int_equal(rig_result.taken_exemplar_count, 0);
    assert_int_equal(rig_stats().log_status, QUARRY_OK);
    exemplar_put(0, 2);
    kill_and_reopen(0, 7);
    assert_int_equal(rig_read(0, INT64_MIN, INT64_MAX, NULL, 0), 3);
    assert_int_equal(rig_stats().exemplar_count, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(histograms_are_there_after_a_clean_close),
        TEST(acknowledged_histograms_survive_the_process),
        TEST(acknowledged_histograms_survive_a_loss_of_power),
        TEST(exemplars_come_back_each_once),
        TEST(of_exemplars_that_come_back_the_newest_are_kept),
        TEST(without_memory_a_request_is_refused_whole),
        TEST(an_exemplar_that_cannot_be_logged_costs_no_sample),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
