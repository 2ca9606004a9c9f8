/*
 * Gets against a model, in stores that were put together by hand: every key after every few
 * changes, now and as snapshots have it, by all the calls that read one.
 */
#include "unit/kv/read_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit/base/rounds.h"

static void assert_value(struct kv_slice expected, const void *bytes, size_t count)
{
    assert_int_equal(count, expected.count);
    assert_memory_equal(bytes, expected.bytes, count);
}

static void check_get(const struct quarry_kv_read_options *options, uint32_t key,
                      struct kv_slice expected)
{
    struct kv_slice own = rig.keys[key];
    struct quarry_kv_value value = {0};
    struct quarry_error error = {0};
    enum quarry_status status =
        quarry_kv_get(rig.kv, options, own.bytes, own.count, &value, &error);

    if (expected.bytes == NULL) {
        assert_int_equal(status, QUARRY_NOT_FOUND);
        return;
    }
    if (status != QUARRY_OK) {
        fail_msg("get: %s: %s", quarry_status_name(status), error.text);
    }
    assert_value(expected, value.bytes, value.byte_count);
    quarry_kv_value_release(&value);
    assert_null(value.bytes);
    quarry_kv_value_release(&value);
}

static void check_read(const struct quarry_kv_read_options *options, uint32_t key,
                       struct kv_slice expected)
{
    struct kv_slice own = rig.keys[key];
    static char room[65536];
    size_t count = 12345, room_bytes = rig_below(3) == 0 ? 2 : sizeof(room);
    enum quarry_status status =
        quarry_kv_read(rig.kv, options, own.bytes, own.count, room, room_bytes, &count, NULL);
    enum quarry_status exists = quarry_kv_exists(rig.kv, options, own.bytes, own.count, NULL);

    assert_int_equal(status, expected.bytes == NULL ? QUARRY_NOT_FOUND : QUARRY_OK);
    assert_int_equal(exists, status);
    if (status != QUARRY_OK) {
        assert_int_equal(count, 12345);
        return;
    }
    assert_int_equal(count, expected.count);
    assert_memory_equal(room, expected.bytes, size_min(count, room_bytes));
}

static void check_all(const struct quarry_kv_read_options *options, const struct rig_state *state)
{
    struct quarry_kv_slice keys[RIG_KEYS + 1];
    enum quarry_status statuses[RIG_KEYS + 1];
    struct quarry_kv_value values[RIG_KEYS + 1];
    uint32_t order[RIG_KEYS];

    for (uint32_t i = 0; i < RIG_KEYS; i++) {
        order[i] = (uint32_t)rig_below(RIG_KEYS);
        keys[i] = (struct quarry_kv_slice){rig.keys[order[i]].bytes, rig.keys[order[i]].count};
        quarry_kv_prefetch(rig.kv, keys, rig_below(2) == 0 ? i : 0); /* changes no answer */
        quarry_kv_prefetch_puts(rig.kv, keys, rig_below(2) == 0 ? i : 0);
        check_get(options, i, rig_expected(state, i));
        check_read(options, i, rig_expected(state, i));
    }
    keys[RIG_KEYS] = (struct quarry_kv_slice){"never there", 11};
    assert_int_equal(
        quarry_kv_multi_get(rig.kv, options, keys, RIG_KEYS + 1, statuses, values, NULL),
        QUARRY_OK);
    for (uint32_t i = 0; i < RIG_KEYS; i++) {
        struct kv_slice expected = rig_expected(state, order[i]);
        assert_int_equal(statuses[i], expected.bytes == NULL ? QUARRY_NOT_FOUND : QUARRY_OK);
        if (expected.bytes != NULL) {
            assert_value(expected, values[i].bytes, values[i].byte_count);
        }
        quarry_kv_value_release(&values[i]);
    }
    assert_int_equal(statuses[RIG_KEYS], QUARRY_NOT_FOUND);
}

static void live_and_check(const struct rig_options *options)
{
    rig_begin(options);
    for (uint32_t round = 0; round < 25; round++) {
        rig_live(1 + (uint32_t)rig_below(60));
        if (rig_below(3) == 0) {
            rig_snapshot_take((uint32_t)rig_below(RIG_SNAPSHOTS));
        }
        const struct quarry_kv_read_options now = {.leaves_no_trace = rig_below(2) == 0};
        check_all(rig_below(2) == 0 ? NULL : &now, NULL);
        struct rig_snapshot *old = &rig.snapshots[rig_below(RIG_SNAPSHOTS)];
        if (old->snapshot != NULL) {
            const struct quarry_kv_read_options then = {.snapshot = old->snapshot};
            check_all(&then, &old->state);
        }
    }
    rig_end();
}

static void every_get_finds_what_the_model_has(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= ROUNDS(40, 20); seed++) {
        const struct rig_options options = {
            .seed = seed,
            .prefix_bytes = seed % 3 == 0 ? 2 : 0,
            .pins_bytes = seed % 4 == 0 ? 1 : 0,
        };
        live_and_check(&options);
    }
}

static int compare_reversed(void *argument, const void *a, size_t a_bytes, const void *b,
                            size_t b_bytes)
{
    (void)argument;
    return kv_compare_bytes(kv_slice(b, b_bytes), kv_slice(a, a_bytes));
}
static const struct quarry_kv_comparator reversed = {.name = "test.Reversed",
                                                     .compare = compare_reversed};

static void every_get_finds_it_in_another_order(void **state)
{
    (void)state;
    for (uint64_t seed = 100; seed < ROUNDS(110, 105); seed++) {
        const struct rig_options options = {.seed = seed, .comparator = &reversed};
        live_and_check(&options);
    }
}

/* ---- values --------------------------------------------------------------------------------- */

static void begin(uint64_t pins_bytes)
{
    const struct rig_options options = {.seed = 7, .pins_bytes = pins_bytes};

    rig_begin(&options);
}

static struct quarry_kv_value get(uint32_t key)
{
    struct quarry_kv_value value = {0};

    assert_int_equal(
        quarry_kv_get(rig.kv, NULL, rig.keys[key].bytes, rig.keys[key].count, &value, NULL),
        QUARRY_OK);
    return value;
}

static void a_value_outlives_its_memtable_and_its_file(void **state)
{
    (void)state;
    begin(0);
    rig_put(1, "in a memtable", 13);
    struct quarry_kv_value from_layer = get(1);
    rig_rotate();
    rig_flush();
    struct quarry_kv_value from_file = get(1);
    rig_put(1, "another", 7);
    rig_rotate();
    rig_flush();
    rig_compact(0);
    assert_value(kv_slice("in a memtable", 13), from_layer.bytes, from_layer.byte_count);
    assert_value(kv_slice("in a memtable", 13), from_file.bytes, from_file.byte_count);
    assert_int_equal(rig.kv->value_count, 2);
    assert_true(rig.kv->pins.held_bytes > 0);
    quarry_kv_value_release(&from_layer);
    quarry_kv_value_release(&from_file);
    assert_int_equal(rig.kv->pins.held_bytes, 0);
    rig_end();
}

static void beyond_the_quota_a_value_is_a_copy(void **state)
{
    (void)state;
    begin(1);
    rig_put(1, "in a memtable", 13);
    uint32_t references = rig.kv->mutable_layer->reference_count;
    struct quarry_kv_value value = get(1);
    assert_int_equal(rig.kv->mutable_layer->reference_count, references);
    assert_int_equal(rig.kv->pins.held_bytes, 0);
    assert_value(kv_slice("in a memtable", 13), value.bytes, value.byte_count);
    quarry_kv_value_release(&value);
    rig_end();
}

static void without_the_disk_a_file_that_is_not_open_is_busy(void **state)
{
    const struct quarry_kv_read_options cached = {.only_cached = true};
    struct quarry_kv_value value = {0};
    struct quarry_error error = {0};

    (void)state;
    begin(0);
    rig_put(1, "here", 4);
    rig_rotate();
    rig_flush();
    struct kv_slice key = rig.keys[1];
    assert_int_equal(quarry_kv_get(rig.kv, &cached, key.bytes, key.count, &value, &error),
                     QUARRY_BUSY);
    value = get(1);
    quarry_kv_value_release(&value);
    assert_int_equal(quarry_kv_get(rig.kv, &cached, key.bytes, key.count, &value, &error),
                     QUARRY_OK);
    quarry_kv_value_release(&value);
    rig_end();
}

static void merges_without_an_operator_are_refused(void **state)
{
    struct quarry_kv_value value = {0};
    struct quarry_error error = {0};

    (void)state;
    begin(0);
    rig_merge(1, "x");
    rig.kv->merge_operator = NULL;
    assert_int_equal(
        quarry_kv_get(rig.kv, NULL, rig.keys[1].bytes, rig.keys[1].count, &value, &error),
        QUARRY_UNSUPPORTED);
    assert_int_equal(error.status, QUARRY_UNSUPPORTED);
    rig.kv->merge_operator = quarry_kv_merge_uint64_add();
    assert_int_equal(
        quarry_kv_get(rig.kv, NULL, rig.keys[1].bytes, rig.keys[1].count, &value, &error),
        QUARRY_CORRUPT);
    rig.kv->merge_operator = quarry_kv_merge_append(',');
    rig_end();
}

/* ---- batches -------------------------------------------------------------------------------- */

static void a_batch_is_read_before_the_store(void **state)
{
    struct kv_batch_options options = {0};
    struct quarry_kv_batch *batch = NULL, *plain = NULL;
    struct quarry_kv_value value = {0};
    struct quarry_error error = {0};

    (void)state;
    begin(0);
    rig_put(1, "store", 5);
    rig_put(2, "store", 5);
    rig_put(3, "store", 5);
    rig_put(4, "store", 5);
    options = (struct kv_batch_options){.memory = &rig.kv->small[KV_PART_READ],
                                        .comparator = rig.kv->comparator,
                                        .key_bytes_max = 1000,
                                        .value_bytes_max = 1000};
    assert_int_equal(kv_batch_create(&options, true, &batch), QUARRY_OK);
    assert_int_equal(kv_batch_create(&options, false, &plain), QUARRY_OK);
    assert_int_equal(quarry_kv_batch_delete_range(batch, rig.keys[1].bytes, rig.keys[1].count,
                                                  rig.keys[3].bytes, rig.keys[3].count),
                     QUARRY_OK);
    assert_int_equal(quarry_kv_batch_put(batch, rig.keys[2].bytes, rig.keys[2].count, "batch", 5),
                     QUARRY_OK);
    assert_int_equal(quarry_kv_batch_merge(batch, rig.keys[3].bytes, rig.keys[3].count, "more", 4),
                     QUARRY_OK);
    static const char *const expected[] = {NULL, NULL, "batch", "store,more", "store"};
    for (uint32_t i = 1; i < COUNT_OF(expected); i++) {
        enum quarry_status status = quarry_kv_batch_get(rig.kv, NULL, batch, rig.keys[i].bytes,
                                                        rig.keys[i].count, &value, &error);
        assert_int_equal(status, expected[i] == NULL ? QUARRY_NOT_FOUND : QUARRY_OK);
        if (expected[i] != NULL) {
            assert_value(kv_slice(expected[i], strlen(expected[i])), value.bytes, value.byte_count);
            quarry_kv_value_release(&value);
        }
    }
    assert_int_equal(quarry_kv_batch_get(rig.kv, NULL, plain, "a", 1, &value, &error),
                     QUARRY_BAD_INPUT);
    quarry_kv_batch_destroy(batch);
    quarry_kv_batch_destroy(plain);
    rig_end();
}

/* ---- memory --------------------------------------------------------------------------------- */

static void reads_go_on_when_the_budget_refuses_everything(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= ROUNDS(12, 6); seed++) {
        const struct rig_options options = {.seed = seed, .pins_bytes = seed % 2};
        rig_begin(&options);
        rig_live(400);
        rig_cool();
        rig_allow(0);
        for (uint32_t key = 0; key < RIG_KEYS; key++) {
            check_get(NULL, key, rig_expected(NULL, key));
            check_read(NULL, key, rig_expected(NULL, key));
        }
        rig_allow(UINT64_MAX);
        rig_end();
    }
}

static void without_a_reserve_a_refusal_is_told(void **state)
{
    const struct rig_options options = {.seed = 3, .has_no_reserve = true};
    struct quarry_kv_value value = {0};

    (void)state;
    rig_begin(&options);
    rig_put(1, "here", 4);
    rig_rotate();
    rig_flush();
    rig_allow(0);
    assert_int_equal(
        quarry_kv_get(rig.kv, NULL, rig.keys[1].bytes, rig.keys[1].count, &value, NULL),
        QUARRY_NO_MEMORY);
    rig_allow(UINT64_MAX);
    value = get(1);
    quarry_kv_value_release(&value);
    rig_end();
}

static void each_refusal_leaves_nothing_behind(void **state)
{
    const struct rig_options options = {.seed = 11, .has_no_reserve = true};
    uint64_t refused_count = 0;

    (void)state;
    rig_begin(&options);
    rig_live(500);
    for (uint64_t bytes = 0; bytes < 60000; bytes += 1 + bytes / 8) {
        rig_cool();
        rig_allow(bytes);
        for (uint32_t key = 0; key < RIG_KEYS; key += 5) {
            struct quarry_kv_value value = {0};
            enum quarry_status status =
                quarry_kv_get(rig.kv, NULL, rig.keys[key].bytes, rig.keys[key].count, &value, NULL);
            struct kv_slice expected = rig_expected(NULL, key);
            refused_count += status == QUARRY_NO_MEMORY;
            if (status == QUARRY_OK) {
                assert_value(expected, value.bytes, value.byte_count);
                quarry_kv_value_release(&value);
            } else if (status != QUARRY_NO_MEMORY) {
                assert_int_equal(status, QUARRY_NOT_FOUND);
                assert_null(expected.bytes);
            }
        }
        rig_allow(UINT64_MAX);
    }
    assert_true(refused_count > 0);
    rig_end();
}

/* ---- snapshots ------------------------------------------------------------------------------ */

static void snapshots_are_listed_the_oldest_first(void **state)
{
    const struct quarry_kv_snapshot *a, *b, *c;

    (void)state;
    begin(0);
    assert_int_equal(quarry_kv_snapshot_take(rig.kv, &a), QUARRY_OK);
    rig_put(1, "x", 1);
    assert_int_equal(quarry_kv_snapshot_take(rig.kv, &b), QUARRY_OK);
    assert_int_equal(quarry_kv_snapshot_take(rig.kv, &c), QUARRY_OK);
    assert_true(quarry_kv_snapshot_sequence(a) < quarry_kv_snapshot_sequence(b));
    assert_ptr_equal(rig.kv->snapshots, a);
    assert_ptr_equal(rig.kv->snapshots_last, c);
    quarry_kv_snapshot_release(rig.kv, b);
    assert_ptr_equal(a->next, c);
    assert_ptr_equal(c->previous, a);
    quarry_kv_snapshot_release(rig.kv, a);
    assert_ptr_equal(rig.kv->snapshots, c);
    quarry_kv_snapshot_release(rig.kv, c);
    assert_null(rig.kv->snapshots);
    assert_null(rig.kv->snapshots_last);
    quarry_kv_snapshot_release(rig.kv, NULL);
    rig_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_get_finds_what_the_model_has),
        cmocka_unit_test(every_get_finds_it_in_another_order),
        cmocka_unit_test(a_value_outlives_its_memtable_and_its_file),
        cmocka_unit_test(beyond_the_quota_a_value_is_a_copy),
        cmocka_unit_test(without_the_disk_a_file_that_is_not_open_is_busy),
        cmocka_unit_test(merges_without_an_operator_are_refused),
        cmocka_unit_test(a_batch_is_read_before_the_store),
        cmocka_unit_test(reads_go_on_when_the_budget_refuses_everything),
        cmocka_unit_test(without_a_reserve_a_refusal_is_told),
        cmocka_unit_test(each_refusal_leaves_nothing_behind),
        cmocka_unit_test(snapshots_are_listed_the_oldest_first),
    };

    return cmocka_run_group_tests_name("kv_get", tests, NULL, NULL);
}
