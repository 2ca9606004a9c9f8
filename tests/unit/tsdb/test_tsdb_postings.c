/*
 * Postings beside a plain set of bits: as one id, a few and a bitmap, through every change between
 * them, with and without memory.
 */
#include "unit/tsdb/registry_rig.h"

#include <stdio.h>
#include <string.h>

#define UNIVERSE 300000u

static struct tsdb_postings postings;
static bool model[UNIVERSE];
static uint32_t model_count;
static uint32_t ids[UNIVERSE];

static int set_up(void **state)
{
    (void)rig_set_up(state);
    memset(&postings, 0, sizeof(postings));
    memset(model, 0, sizeof(model));
    model_count = 0;
    return 0;
}

static int tear_down(void **state)
{
    tsdb_postings_clear(&postings, &rig.objects);
    return rig_tear_down(state);
}

static enum quarry_status add(uint32_t id)
{
    enum quarry_status status = QUARRY_OK;

    if (!model[id]) {
        status = tsdb_postings_add(&postings, &rig.objects, id);
        model[id] = status == QUARRY_OK;
        model_count += status == QUARRY_OK;
    }
    return status;
}

static void drop(uint32_t id)
{
    assert_true(tsdb_postings_can_remove(&postings, id));
    tsdb_postings_remove(&postings, &rig.objects, id);
    model_count -= model[id];
    model[id] = false;
}

static void check(uint64_t rest_bytes)
{
    uint32_t seen = 0;

    assert_int_equal(postings.count, model_count);
    tsdb_postings_read(&postings, ids);
    for (uint32_t i = 0; i < model_count; i++) {
        assert_true(model[ids[i]]);
        assert_true(i == 0 || ids[i - 1] < ids[i]);
        seen += tsdb_postings_has(&postings, ids[i]);
    }
    assert_int_equal(seen, model_count);
    assert_false(tsdb_postings_has(&postings, UNIVERSE));
    uint64_t held = tsdb_postings_held_bytes(&postings, &rig.objects);
    assert_int_equal(rig_charged_bytes() - rest_bytes, held);
    if (tsdb_postings_is_many(&postings)) {
        assert_int_equal(held, tsdb_postings_many_count_bytes(&postings));
    }
}

static void check_filter(uint64_t *seed)
{
    bool keeps = rig_random(seed, 2) == 0;
    size_t count = 0, wanted = 0;
    uint32_t step = 1 + rig_random(seed, UNIVERSE / 50);

    for (uint32_t id = 1 + rig_random(seed, step); id < UNIVERSE;
         id += 1 + rig_random(seed, step)) {
        ids[count++] = id;
        wanted += model[id] == keeps;
    }
    tsdb_postings_filter(&postings, keeps, ids, &count);
    assert_int_equal(count, wanted);
    for (size_t i = 0; i < count; i++) {
        assert_true(model[ids[i]] == keeps && (i == 0 || ids[i - 1] < ids[i]));
    }
}

/* ---- histories ------------------------------------------------------------------------------ */

static void run_history(uint64_t seed, uint32_t universe, uint32_t most)
{
    uint64_t rest = rig_charged_bytes();

    for (uint32_t step = 0; step < 30000; step++) {
        bool is_growing = step / 5000 % 2 == 0;
        if (rig_random(&seed, 10) < (is_growing ? 8u : 2u) && model_count < most) {
            assert_int_equal(add(1 + rig_random(&seed, universe - 1)), QUARRY_OK);
        } else if (model_count != 0) {
            uint32_t id = 1 + rig_random(&seed, universe - 1);
            while (!model[id]) {
                id = id + 1 < universe ? id + 1 : 1;
            }
            drop(id);
        }
        if (step % 500 == 0) {
            check(rest);
            check_filter(&seed);
        }
    }
    for (uint32_t id = 1; id < universe; id++) {
        drop(id);
    }
    check(rest);
    assert_int_equal(rig_charged_bytes(), rest);
}

static void test_postings_are_a_set_through_every_form(void **state)
{
    (void)state;
    run_history(1, 20, 20);
    run_history(2, 2000, 3 * TSDB_POSTINGS_FEW_MAX);
    run_history(3, UNIVERSE, 4 * TSDB_POSTINGS_FEW_MAX);
}

static void test_dense_postings_become_bits_and_arrays_again(void **state)
{
    uint64_t rest = rig_charged_bytes();

    (void)state;
    for (uint32_t id = 1; id < 140000; id++) {
        assert_int_equal(add(id), QUARRY_OK);
    }
    check(rest);
    /* Three containers of 8 KiB, and little else. */
    assert_in_range(tsdb_postings_held_bytes(&postings, &rig.objects), 3 * 8192, 3 * 8192 + 256);
    for (uint32_t id = 1; id < 140000; id++) {
        if (id % 40 != 0) {
            drop(id);
        }
    }
    check(rest);
    assert_true(tsdb_postings_held_bytes(&postings, &rig.objects) < 3 * 8192);
    for (uint32_t id = 40; id < 139000; id += 40) {
        drop(id);
    }
    check(rest);
    assert_false(tsdb_postings_is_many(&postings));
}

static void test_no_memory_leaves_postings_as_they_were(void **state)
{
    uint64_t rest = rig_charged_bytes(), seed = 5;
    uint32_t failure_count = 0;

    (void)state;
    for (uint32_t i = 0; i < 3 * TSDB_POSTINGS_FEW_MAX; i++) {
        uint32_t id = 1 + rig_random(&seed, UNIVERSE - 1);
        enum quarry_status status = QUARRY_NO_MEMORY;
        for (uint64_t allowed = 0; status != QUARRY_OK; allowed += 16 + allowed / 2) {
            rig_allow(allowed);
            status = add(id);
            assert_true(status == QUARRY_OK || status == QUARRY_NO_MEMORY);
            failure_count += status != QUARRY_OK;
            rig_allow(UINT64_MAX);
            check(rest);
        }
    }
    assert_true(failure_count > 50);
    rig_allow(0); /* what becomes small finds no memory for it, and stays */
    for (uint32_t id = 1; id < UNIVERSE; id++) {
        drop(id);
    }
    rig_allow(UINT64_MAX);
    check(rest);
    assert_int_equal(rig_charged_bytes(), rest);
}

/* ---- where an array ends -------------------------------------------------------------------- */

static uint64_t bytes_of(uint32_t count, uint32_t step, bool as_bitmap)
{
    tsdb_postings_clear(&postings, &rig.objects);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(tsdb_postings_add(&postings, &rig.objects, 1 + i * step), QUARRY_OK);
        if (as_bitmap && i == 1) {
            assert_int_equal(tsdb_postings_to_many(&postings, &rig.objects), QUARRY_OK);
        }
    }
    uint64_t bytes = tsdb_postings_held_bytes(&postings, &rig.objects);
    tsdb_postings_clear(&postings, &rig.objects);
    return bytes;
}

static void test_an_array_ends_where_a_bitmap_takes_less(void **state)
{
    (void)state;
    printf("ids: an array, as a bitmap of neighbours, of ids all over a million; bytes\n");
    for (uint32_t count = 32; count <= TSDB_POSTINGS_FEW_MAX; count *= 2) {
        printf("%4u: %5llu %5llu %5llu\n", count, (unsigned long long)bytes_of(count, 1, false),
               (unsigned long long)bytes_of(count, 1, true),
               (unsigned long long)bytes_of(count, 1000000 / count, true));
    }
    uint32_t most = TSDB_POSTINGS_FEW_MAX;
    uint64_t array_bytes = bytes_of(most, 1, false);
    assert_true(bytes_of(most + 1, 1, true) < array_bytes);
    assert_true(bytes_of(most + 1, 1000000 / most, true) < array_bytes * 5 / 4);
    assert_true(bytes_of(most / 4, 4000000 / most, true) > bytes_of(most / 4, 1, false));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_postings_are_a_set_through_every_form, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_dense_postings_become_bits_and_arrays_again, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_no_memory_leaves_postings_as_they_were, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_an_array_ends_where_a_bitmap_takes_less, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
