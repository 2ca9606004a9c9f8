/*
 * Every charge and every allocation of pages fails once: the slab says so, loses nothing, and goes
 * on when there is memory again.
 */
#include "unit/slab/slab_rig.h"

#include <string.h>

#include "unit/base/random.h"

#define KEYS 600u

/* Puts as much as there is memory for. Returns: how often there was none. */
static uint64_t put_some(uint64_t seed)
{
    uint64_t random = seed, refused_count = 0;
    struct quarry_cell cell;

    for (uint64_t i = 0; i < 2 * KEYS; i++) {
        uint64_t key = random_u64(&random) % KEYS;
        size_t bytes = 16 + (random_u64(&random) % 2000);
        if (index_slots[key].ref != QUARRY_REF_NIL) {
            index_remove(key);
            continue;
        }
        enum quarry_status status = quarry_slab_take(slab, bytes, &cell);
        assert_true(status == QUARRY_OK || status == QUARRY_NO_MEMORY);
        if (status == QUARRY_OK) {
            fill(cell.data, bytes, key);
            index_slots[key].ref = cell.ref;
            index_slots[key].bytes = (uint32_t)bytes;
        }
        refused_count += status != QUARRY_OK;
    }
    return refused_count;
}

static void move_all(void)
{
    struct quarry_slab_page page;
    uint64_t cursor = 0;

    while (quarry_slab_next_page(slab, &cursor, &page)) {
        (void)quarry_slab_move_page(slab, page.class_id, page.page, index_move, NULL);
    }
}

/* All that a slab does, with memory short; then, with enough, without a refusal. */
static uint64_t work(void (*lift)(void))
{
    uint64_t refused_count = put_some(1);

    slab_check();
    move_all();
    slab_check();
    refused_count += put_some(2);
    (void)quarry_slab_compact(slab, UINT64_MAX, index_move, NULL);
    index_check();
    slab_check();
    lift();
    assert_int_equal(put_some(3), 0);
    index_check();
    index_clear();
    (void)quarry_slab_trim(slab);
    assert_int_equal(slab_stats().page_bytes, 0);
    return refused_count;
}

static void no_bound(void)
{
    assert_int_equal(quarry_account_set_bounds(account, 0, 0), QUARRY_OK);
}

static void every_ceiling_is_survived(void **state)
{
    uint64_t refused_count = 1, sweeps = 0;

    (void)state;
    for (uint64_t room = 0; refused_count != 0; room += PAGE_BYTES) {
        struct quarry_account_state account_state;
        slab_begin(&(struct slab_setup){0});
        quarry_account_read(account, &account_state);
        assert_int_equal(quarry_account_set_bounds(account, 0, account_state.charged_bytes + room),
                         QUARRY_OK);
        refused_count = work(no_bound);
        slab_end();
        sweeps++;
    }
    assert_true(sweeps > 100);
}

static void no_failures(void)
{
    os_sim_fail_clear(&sim);
}

/* Cells that take the lane to more than it has: it must grow, by calls of the os. */
static void put_large(void)
{
    struct quarry_cell cell;

    for (uint64_t key = KEYS; key < KEYS + 50; key++) {
        enum quarry_status status = quarry_slab_take(slab, Q_KIB(400), &cell);
        assert_true(status == QUARRY_OK || status == QUARRY_NO_MEMORY);
        if (status == QUARRY_OK) {
            fill(cell.data, Q_KIB(400), key);
            index_slots[key].ref = cell.ref;
            index_slots[key].bytes = Q_KIB(400);
        }
    }
}

static void every_failing_call_of_the_os_is_survived(void **state)
{
    uint64_t failed_count = 1, index = 0;

    (void)state;
    for (; failed_count != 0; index++) {
        slab_begin(&(struct slab_setup){0});
        os_sim_fail_at(&sim, OS_SIM_COMMIT | OS_SIM_RESERVE, index,
                       index % 2 == 0 ? OS_SIM_ONCE : OS_SIM_FOR_EVER, QUARRY_NO_MEMORY);
        put_large();
        (void)put_some(1);
        failed_count = os_sim_failed_count(&sim);
        index_check();
        slab_check();
        no_failures();
        index_clear();
        (void)quarry_slab_trim(slab);
        slab_end();
    }
    assert_true(index > 3);
}

static void no_slab_is_made_without_memory(void **state)
{
    struct quarry_error error = {0};
    struct quarry_slab *other = NULL;
    struct quarry_slab_options options = {.name = "other", .account = account};

    (void)state;
    struct page_lane *lane = lane_make("other");
    options.lane = (struct quarry_lane *)(void *)lane;
    assert_int_equal(quarry_account_set_bounds(account, 0, 1), QUARRY_OK);
    assert_int_equal(
        quarry_slab_create((struct quarry_memory *)(void *)heap, &options, &other, &error),
        QUARRY_NO_MEMORY);
    assert_null(other);
    assert_true(strlen(error.text) > 0);
    no_bound();
}

static void options_that_make_no_sense_are_refused(void **state)
{
    struct quarry_error error = {0};
    struct quarry_slab *other = NULL;
    struct quarry_memory *memory = (struct quarry_memory *)(void *)heap;

    (void)state;
    struct page_lane *lane = lane_make("other");
    struct quarry_slab_options good = {.name = "other", .lane = (struct quarry_lane *)(void *)lane};
    struct quarry_slab_options bad = good;
    bad.name = NULL;
    assert_int_equal(quarry_slab_create(memory, &bad, &other, &error), QUARRY_BAD_INPUT);
    bad.name = "a name that is longer than it may be";
    assert_int_equal(quarry_slab_create(memory, &bad, &other, &error), QUARRY_BAD_INPUT);
    bad = good;
    bad.lane = NULL;
    assert_int_equal(quarry_slab_create(memory, &bad, &other, &error), QUARRY_BAD_INPUT);
    bad = good;
    bad.classes_per_doubling = 9;
    assert_int_equal(quarry_slab_create(memory, &bad, &other, &error), QUARRY_BAD_INPUT);
    assert_non_null(strstr(error.text, "9"));
    assert_null(other);
    quarry_slab_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_ceiling_is_survived),
        cmocka_unit_test(every_failing_call_of_the_os_is_survived),
        cmocka_unit_test_setup_teardown(no_slab_is_made_without_memory, slab_set_up,
                                        slab_tear_down),
        cmocka_unit_test_setup_teardown(options_that_make_no_sense_are_refused, slab_set_up,
                                        slab_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
