/*
 * Every allocation of every call fails once: the call says so, and the store is as it was.
 *
 * Memory is kept short from above: by the ceiling of an account that the store's is below, and by
 * the limit of the memory itself, which also fails what the page heap takes for its own.
 */
#include "unit/tsdb/store_rig.h"

#include <stdlib.h>
#include <string.h>

#include <base/base.h>

#include "unit/base/random.h"

#define T0      INT64_C(1600000000000)
#define WINDOW  INT64_C(1000000)
#define ENTRIES 200u

static struct quarry_account *above;
static struct model model;
static int64_t now_ms;

/* What may be taken more than is: by the account, or by the memory. UINT64_MAX: any. */
typedef void leave_function(uint64_t bytes);

static void leave_account(uint64_t bytes)
{
    struct quarry_account_state state;

    quarry_account_read(above, &state);
    assert_int_equal(
        quarry_account_set_bounds(above, 0, bytes == UINT64_MAX ? 0 : state.charged_bytes + bytes),
        QUARRY_OK);
}

static void leave_memory(uint64_t bytes)
{
    struct quarry_ledger ledger;

    (void)quarry_memory_trim(rig.memory);
    (void)quarry_memory_ledger(rig.memory, &ledger, NULL, 0);
    enum quarry_status status = quarry_memory_set_limit(
        rig.memory, bytes == UINT64_MAX ? Q_GIB(1) : ledger.committed_bytes + bytes);
    assert_true(status == QUARRY_OK || bytes != UINT64_MAX);
}

static int set_up(void **state)
{
    const struct quarry_account_options options = {.name = "above"};

    (void)rig_set_up(state);
    assert_int_equal(quarry_account_create(rig.memory, &options, &above, NULL), QUARRY_OK);
    rig.options.parent = above;
    rig.options.out_of_order_ms = 250000;
    rig.options.keeps_oldest = true;
    rig.options.fill_quiet_ms = -1;
    now_ms = T0;
    model_init(&model, ENTRIES);
    return 0;
}

static int tear_down(void **state)
{
    model_fini(&model);
    if (rig.tsdb != NULL) {
        rig_assert_valid();
        quarry_tsdb_close(rig.tsdb);
        rig.tsdb = NULL;
    }
    struct quarry_account_state read;
    quarry_account_read(above, &read);
    assert_int_equal(read.charged_bytes, 0);
    quarry_account_destroy(above);
    return rig_tear_down(state);
}

/* Does something with less memory than it needs, and then with a little more, until it works. */
static uint32_t until_it_works(enum quarry_status (*call)(void), leave_function *leave)
{
    uint32_t failed_count = 0;

    for (uint64_t bytes = 1;; bytes += 1 + bytes / 8) {
        leave(bytes);
        enum quarry_status status = call();
        leave(UINT64_MAX);
        if (status == QUARRY_OK) {
            return failed_count;
        }
        assert_int_equal(status, QUARRY_NO_MEMORY);
        failed_count++;
        assert_true(bytes < Q_MIB(64));
        if (rig.tsdb != NULL) {
            rig_assert_valid();
            model_compare(&model);
        }
    }
}

/* ---- calls ---------------------------------------------------------------------------------- */

static enum quarry_status call_open(void)
{
    return quarry_tsdb_open(&rig.options, &rig.tsdb, NULL);
}

/* A sample of each series, and a late one of the first. All or none are taken. */
static enum quarry_status call_append(void)
{
    struct quarry_tsdb_entry entries[ENTRIES];
    struct quarry_tsdb_sample samples[ENTRIES], late[2];
    struct quarry_tsdb_label *labels = calloc(3 * ENTRIES, sizeof(*labels));
    char(*texts)[16] = calloc(2 * ENTRIES, sizeof(*texts));

    for (uint32_t i = 0; i < ENTRIES; i++) {
        struct quarry_tsdb_labels from = rig_labels(i);
        for (uint32_t k = 0; k < 3; k++) {
            labels[3 * i + k] = from.labels[k];
            if (k < 2) {
                memcpy(texts[2 * i + k], from.labels[k].value.bytes, from.labels[k].value.count);
                labels[3 * i + k].value.bytes = texts[2 * i + k];
            }
        }
        samples[i] = (struct quarry_tsdb_sample){now_ms, (uint64_t)now_ms * (i + 1)};
        entries[i] = (struct quarry_tsdb_entry){
            .labels = {&labels[3 * i], 3}, .samples = &samples[i], .sample_count = 1};
    }
    late[0] = samples[0];
    late[1] = (struct quarry_tsdb_sample){now_ms - 77, 3};
    entries[0].samples = late;
    entries[0].sample_count = 2;
    const struct quarry_tsdb_request request = {.entries = entries, .entry_count = ENTRIES};
    enum quarry_status status = quarry_tsdb_append(rig.tsdb, &request, &rig_result);
    for (uint32_t i = 0; i < ENTRIES && status == QUARRY_OK; i++) {
        model_put(&model, i, samples[i]);
    }
    if (status == QUARRY_OK) {
        assert_int_equal(rig_result.taken_count, ENTRIES + 1);
        model_put(&model, 0, late[1]);
    } else {
        assert_int_equal(rig_result.taken_count, 0);
    }
    free(texts);
    free(labels);
    return status;
}

/* Seals what is due: turns that do nothing have failed. */
static enum quarry_status call_seal(void)
{
    struct quarry_tsdb_window window;

    rig_turns();
    (void)quarry_tsdb_windows(rig.tsdb, &window, 1);
    return window.sealed_shard_count == 64 ? QUARRY_OK : QUARRY_NO_MEMORY;
}

/* A sample of a window that is sealed. */
static enum quarry_status call_fill(void)
{
    const struct quarry_tsdb_sample sample = {T0 + 7, 5};
    const struct quarry_tsdb_entry entry = {
        .labels = rig_labels(1), .samples = &sample, .sample_count = 1};
    const struct quarry_tsdb_request request = {
        .fills_past = true, .entries = &entry, .entry_count = 1};
    enum quarry_status status = quarry_tsdb_append(rig.tsdb, &request, &rig_result);

    if (status == QUARRY_OK) {
        model_put(&model, 1, sample);
    }
    return status;
}

static enum quarry_status call_read(void)
{
    const struct quarry_tsdb_matcher matcher = {QUARRY_TSDB_REGEX, QUARRY_TSDB_TEXT("instance"),
                                                QUARRY_TSDB_TEXT("host-0.*[01]")};
    const struct quarry_tsdb_query query = {
        .matchers = &matcher, .matcher_count = 1, .min_ms = INT64_MIN, .max_ms = INT64_MAX};
    struct quarry_tsdb_set *set = NULL;
    struct quarry_tsdb_cursor *cursor = NULL;
    struct quarry_tsdb_block block;
    enum quarry_status status = quarry_tsdb_select(rig.tsdb, &query, &set, NULL);

    if (status != QUARRY_OK) {
        return status;
    }
    status = quarry_tsdb_cursor_create(set, &cursor);
    if (status == QUARRY_OK) {
        quarry_tsdb_cursor_series(cursor, 0);
        while ((status = quarry_tsdb_cursor_next(cursor, &block)) == QUARRY_OK) {
        }
        status = status == QUARRY_NOT_FOUND ? QUARRY_OK : status;
    }
    quarry_tsdb_cursor_destroy(cursor);
    quarry_tsdb_set_close(set);
    return status;
}

/* ---- tests ---------------------------------------------------------------------------------- */

static void live(leave_function *leave)
{
    assert_true(until_it_works(call_open, leave) > 5);
    assert_true(until_it_works(call_append, leave) > 5); /* series, a window */
    now_ms += 1000;
    (void)until_it_works(call_append, leave);
    for (uint32_t i = 0; i < 40; i++) { /* more chunklets, more pages */
        now_ms += 100;
        (void)until_it_works(call_append, leave);
    }
    assert_true(until_it_works(call_read, leave) > 3);
    rig_turns(); /* nothing of the registry is left to be given back later */
    now_ms += WINDOW + 300000;
    assert_true(until_it_works(call_append, leave) > 2); /* another window */
    assert_true(until_it_works(call_seal, leave) > 0);   /* a shard makes room for the next */
    model_compare(&model);
    assert_true(until_it_works(call_read, leave) > 3);
    assert_true(until_it_works(call_fill, leave) > 2);
    assert_true(until_it_works(call_read, leave) > 3);
    (void)until_it_works(call_seal, leave); /* what tries to fill have backed may be enough */
    model_compare(&model);
}

static void no_call_depends_on_what_an_account_refuses(void **state)
{
    (void)state;
    live(leave_account);
}

static void no_call_depends_on_what_the_memory_refuses(void **state)
{
    (void)state;
    live(leave_memory);
}

static void what_has_no_room_is_refused_one_shard_at_a_time_in_a_partial_request(void **state)
{
    struct quarry_tsdb_entry entries[8];
    struct quarry_tsdb_sample sample = {T0, 1};
    uint8_t refusals[8];
    struct quarry_tsdb_request request = {
        .is_partial = true, .entries = entries, .entry_count = 8, .ret_refusals = refusals};
    uint32_t mixed_count = 0;

    (void)state;
    rig_open();
    for (uint64_t bytes = 1;; bytes += 100) {
        for (uint32_t i = 0; i < 8; i++) {
            entries[i] = (struct quarry_tsdb_entry){
                .labels = rig_labels(i), .samples = &sample, .sample_count = 1};
        }
        leave_account(bytes);
        enum quarry_status status = quarry_tsdb_append(rig.tsdb, &request, &rig_result);
        leave_account(UINT64_MAX);
        uint64_t refused_count = 0;
        for (uint32_t i = 0; i < 8; i++) {
            refused_count += refusals[i] == QUARRY_TSDB_NO_MEMORY;
        }
        assert_int_equal(refused_count + rig_result.taken_count, 8);
        assert_int_equal(status, refused_count == 0 ? QUARRY_OK : QUARRY_NO_MEMORY);
        mixed_count += refused_count != 0 && rig_result.taken_count != 0;
        if (status == QUARRY_OK) {
            break;
        }
        rig_assert_valid();
    }
    assert_true(mixed_count > 0);
    for (uint32_t i = 0; i < 8; i++) {
        assert_int_equal(rig_read(i, INT64_MIN, INT64_MAX, NULL, 0), 1);
    }
}

static void options_that_make_no_sense_are_told(void **state)
{
    const struct quarry_tsdb_options sound = rig.options;
    struct quarry_error error = {0};

    (void)state;
    rig.options.name = "a name that is too long";
    assert_int_equal(quarry_tsdb_open(&rig.options, &rig.tsdb, &error), QUARRY_BAD_INPUT);
    rig.options = sound;
    rig.options.window_ms = 999;
    assert_int_equal(quarry_tsdb_open(&rig.options, &rig.tsdb, &error), QUARRY_BAD_INPUT);
    rig.options = sound;
    rig.options.window_count = QUARRY_TSDB_WINDOWS_MAX + 1;
    assert_int_equal(quarry_tsdb_open(&rig.options, &rig.tsdb, &error), QUARRY_BAD_INPUT);
    rig.options = sound;
    rig.options.out_of_order_ms = 8 * rig.options.window_ms + 1;
    assert_int_equal(quarry_tsdb_open(&rig.options, &rig.tsdb, &error), QUARRY_BAD_INPUT);
    rig.options = sound;
    rig.options.in_order_ms = -1;
    assert_int_equal(quarry_tsdb_open(&rig.options, &rig.tsdb, &error), QUARRY_BAD_INPUT);
    rig.options = sound;
    rig_open();
    struct quarry_tsdb *second;
    assert_int_equal(quarry_tsdb_open(&rig.options, &second, &error), QUARRY_EXISTS);
}

#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(no_call_depends_on_what_an_account_refuses),
        STORE_TEST(no_call_depends_on_what_the_memory_refuses),
        STORE_TEST(what_has_no_room_is_refused_one_shard_at_a_time_in_a_partial_request),
        STORE_TEST(options_that_make_no_sense_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
