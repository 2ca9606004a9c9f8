/*
 * Memory that a cache gives back, and does without.
 */
/* First: parameters of its inline functions have the name of the cache under test. */
#include <block/cache.h>

#include "unit/block/block_rig.h"

/* ---- giving back ---------------------------------------------------------------------------- */

static void fill(uint64_t count, size_t bytes)
{
    for (uint64_t n = 0; n < count; n++) {
        assert_int_equal(enter(n, bytes), QUARRY_OK);
    }
}

static void shrinking_gives_pages_back_and_keeps_the_rest_whole(void **state)
{
    (void)state;
    quarry_block_cache_set_capacity(cache, Q_MIB(32));
    fill(7000, 4096);
    uint64_t before = heap_totals().in_use_bytes;
    uint64_t given = quarry_block_cache_shrink(cache, Q_MIB(8));
    assert_true(given >= Q_MIB(8));
    assert_in_range(before - heap_totals().in_use_bytes, Q_MIB(7), Q_MIB(12));
    uint64_t left = 0;
    for (uint64_t n = 0; n < 7000; n++) {
        left += is_there(n);
    }
    assert_in_range(left, 7000 - 12 * 256, 7000 - 7 * 240);
    cache_check();
}

/* Every other block goes: without moving, no page would be free. */
static void blocks_move_so_that_pages_become_free(void **state)
{
    (void)state;
    struct quarry_slab_stats slab;

    quarry_block_cache_set_capacity(cache, Q_MIB(64));
    fill(8000, 4096);
    for (uint64_t n = 0; n < 8000; n += 2) {
        struct quarry_block_key key = key_of(n);
        assert_true(quarry_block_cache_erase(cache, &key));
    }
    uint64_t before = heap_totals().in_use_bytes;
    assert_true(quarry_block_cache_shrink(cache, Q_MIB(10)) >= Q_MIB(10));
    assert_true(heap_totals().in_use_bytes <= before - Q_MIB(9));
    quarry_slab_read_stats(cache->slab, &slab);
    assert_true(slab.moved_count > 1000);
    for (uint64_t n = 0; n < 8000; n++) {
        assert_int_equal(is_there(n), n % 2 == 1);
    }
    cache_check();
}

static void a_block_that_is_held_stays_where_it_is(void **state)
{
    (void)state;
    struct quarry_block held[100];

    quarry_block_cache_set_capacity(cache, Q_MIB(64));
    fill(8000, 4096);
    for (uint64_t i = 0; i < 100; i++) {
        struct quarry_block_key key = key_of(i * 80);
        assert_true(quarry_block_cache_get(cache, &key, data_tag, &held[i]));
    }
    (void)quarry_block_cache_shrink(cache, Q_MIB(16));
    for (uint64_t i = 0; i < 100; i++) {
        block_check(&held[i], i * 80);
        quarry_block_release(cache, &held[i]);
    }
    cache_check();
}

static void large_blocks_go_back_whole(void **state)
{
    (void)state;
    quarry_block_cache_set_capacity(cache, Q_MIB(64));
    fill(40, Q_MIB(1));
    uint64_t before = heap_totals().in_use_bytes;
    assert_true(quarry_block_cache_shrink(cache, Q_MIB(10)) >= Q_MIB(10));
    assert_true(heap_totals().in_use_bytes <= before - Q_MIB(10));
    cache_check();
}

/* ---- under a budget ------------------------------------------------------------------------- */

static void a_cache_larger_than_its_memory_works_in_what_there_is(void **state)
{
    (void)state;
    static const struct quarry_block_cache_options options = {.name = "block",
                                                              .capacity_bytes = Q_MIB(256)};

    (void)state;
    cache_begin(Q_MIB(32), &options);
    for (uint64_t n = 0; n < 30000; n++) {
        assert_int_equal(enter(n, 4096), QUARRY_OK);
    }
    struct quarry_block_stats stats = stats_now();
    assert_true(stats.hot_bytes + stats.cold_bytes > Q_MIB(16));
    assert_true(heap_totals().peak_bytes <= Q_MIB(32));
    cache_end();
}

/* Whoever makes a block where memory is short takes another's place, and does no housekeeping. */
static void a_block_takes_the_place_of_others_and_moves_none(void **state)
{
    (void)state;
    static const struct quarry_block_cache_options options = {.name = "block",
                                                              .capacity_bytes = Q_MIB(40)};
    struct quarry_slab_stats before, after;

    cache_begin(Q_MIB(32), &options);
    fill(60000, 4096); /* its own tables have grown */
    quarry_slab_read_stats(cache->slab, &before);
    for (uint64_t n = 60000; n < 80000; n++) {
        assert_int_equal(enter(n, 4096), QUARRY_OK);
        struct quarry_block_stats now = stats_now();
        assert_true(now.hot_bytes + now.cold_bytes > Q_MIB(24));
    }
    quarry_slab_read_stats(cache->slab, &after);
    assert_int_equal(after.moved_count, before.moved_count);
    assert_int_equal(after.page_count, before.page_count);
    cache_end();
}

/* Cells of one size do not serve another: then whole pages change hands. */
static void blocks_of_another_size_find_room_where_memory_is_short(void **state)
{
    (void)state;
    static const struct quarry_block_cache_options options = {.name = "block",
                                                              .capacity_bytes = Q_MIB(256)};

    cache_begin(Q_MIB(32), &options);
    fill(9000, 4096);
    for (uint64_t n = 0; n < 300; n++) {
        assert_int_equal(enter(100000 + n, 60000), QUARRY_OK);
        assert_int_equal(enter(200000 + n, 300), QUARRY_OK);
        assert_int_equal(enter(300000 + n, 600000), QUARRY_OK);
    }
    assert_true(is_there(300299));
    cache_end();
}

static void what_others_need_the_cache_gives(void **state)
{
    (void)state;
    static const struct quarry_block_cache_options options = {.name = "block",
                                                              .capacity_bytes = Q_MIB(40)};

    cache_begin(Q_MIB(64), &options);
    fill(9000, 4096);
    struct page_lane *lane = lane_make("other");
    uint32_t owner = owner_make("other");
    void *pages = take_pages(lane, owner, Q_MIB(40) >> PAGE_SHIFT);
    cache_check();
    assert_true(is_there(8999));
    page_free(lane, pages);
    page_lane_destroy(lane);
    cache_end();
}

static void an_account_ceiling_bounds_the_cache(void **state)
{
    (void)state;
    static const struct quarry_block_cache_options options = {
        .name = "block", .capacity_bytes = Q_MIB(64), .ceiling_bytes = Q_MIB(16)};

    cache_begin(0, &options);
    for (uint64_t n = 0; n < 12000; n++) {
        assert_int_equal(enter(n, 4096), QUARRY_OK);
    }
    assert_true(heap_totals().in_use_bytes <= Q_MIB(16));
    struct quarry_block_stats stats = stats_now();
    assert_true(stats.hot_bytes + stats.cold_bytes > Q_MIB(8));
    cache_end();
}

static void a_cache_is_a_part_of_its_parent(void **state)
{
    (void)state;
    struct quarry_account *kv = NULL;
    struct quarry_account_options account = {.name = "kv"};
    struct quarry_block_cache *part = NULL;
    struct quarry_block_cache_options options = {.name = "block", .is_elastic = true};
    struct quarry_account_state parent_state;
    struct quarry_error error = {0};

    heap_begin(&(struct heap_setup){.has_real_backing = true});
    assert_int_equal(quarry_account_create((struct quarry_memory *)heap, &account, &kv, NULL),
                     QUARRY_OK);
    options.parent = kv;
    assert_int_equal(
        quarry_block_cache_create((struct quarry_memory *)heap, &options, &part, &error),
        QUARRY_OK);
    quarry_account_read(part->account, &parent_state);
    assert_string_equal(parent_state.name, "kv.block");
    assert_true(parent_state.is_elastic);
    uint64_t own_bytes = parent_state.charged_bytes;
    quarry_account_read(kv, &parent_state);
    assert_int_equal(parent_state.charged_bytes, own_bytes);
    assert_int_equal(quarry_block_cache_close(part), QUARRY_OK);
    quarry_account_read(kv, &parent_state);
    assert_int_equal(parent_state.charged_bytes, 0);
    quarry_account_destroy(kv);
    heap_end();
}

static void the_capacity_of_an_elastic_cache_follows_its_target(void **state)
{
    (void)state;
    fill(200, 4096);
    block_cache_on_target(cache, Q_KIB(600));
    struct quarry_block_stats stats = stats_now();
    assert_true(stats.capacity_bytes <= Q_KIB(600));
    assert_true(stats.hot_bytes + stats.cold_bytes < stats.capacity_bytes);
    block_cache_on_target(cache, 1); /* less than the cache itself */
    assert_int_equal(stats_now().hot_count + stats_now().cold_count, 0);
    block_cache_on_target(cache, Q_MIB(100));
    assert_true(stats_now().capacity_bytes > Q_MIB(99));
}

static void ghosts_that_return_say_what_more_memory_is_worth(void **state)
{
    (void)state;
    struct quarry_account_value value = {0};

    fill(300, 4096);
    block_cache_on_value(cache, &value);
    assert_int_equal(value.ghost_hits, 0);
    assert_true(value.ghost_bytes > 0);
    assert_int_equal(enter(3, 4096), QUARRY_OK);
    assert_int_equal(enter(4, 4096), QUARRY_OK);
    value = (struct quarry_account_value){0};
    block_cache_on_value(cache, &value);
    assert_int_equal(value.ghost_hits, 2);
    value = (struct quarry_account_value){0};
    block_cache_on_value(cache, &value);
    assert_int_equal(value.ghost_hits, 0);
}

/* ---- every allocation fails ----------------------------------------------------------------- */

/* A small life of a cache, of which any step may fail for want of memory, and nothing else. */
static void live(struct quarry_block_cache *made)
{
    uint64_t handle = quarry_block_cache_handle(made);

    for (uint64_t n = 0; n < 2500; n++) {
        struct quarry_block_key key = {.handle = handle, .file = n, .offset = n};
        size_t bytes = n % 100 == 0 ? 600000 : 64 + n % 7 * 100;
        struct quarry_block block = {0};
        enum quarry_status status = quarry_block_alloc(made, bytes, 0, &block);
        assert_true(status == QUARRY_OK || status == QUARRY_NO_MEMORY);
        if (status != QUARRY_OK) {
            continue;
        }
        block_fill(&block, n);
        status = quarry_block_cache_put(made, &key, data_tag, &block);
        assert_true(status == QUARRY_OK || status == QUARRY_NO_MEMORY);
        block_check(&block, n); /* the reader keeps it either way */
        quarry_block_release(made, &block);
    }
}

/* Returns: whether a call failed. */
static bool run_with_failure(uint64_t index, enum os_sim_fail_mode mode)
{
    struct quarry_block_cache_options options = {.name = "block", .capacity_bytes = Q_MIB(3)};
    struct quarry_block_cache *made = NULL;
    struct quarry_error error = {0};

    heap_begin(&(struct heap_setup){.has_real_backing = true});
    os_sim_fail_at(&sim, OS_SIM_COMMIT, index, mode, QUARRY_NO_MEMORY);
    enum quarry_status status =
        quarry_block_cache_create((struct quarry_memory *)heap, &options, &made, &error);
    if (status == QUARRY_OK) {
        live(made);
    } else {
        assert_int_equal(status, QUARRY_NO_MEMORY);
        assert_int_not_equal(error.text[0], 0);
    }
    bool has_failed = os_sim_failed_count(&sim) != 0;
    os_sim_fail_clear(&sim);
    if (made != NULL) {
        live(made);
        assert_int_equal(quarry_block_cache_validate(made, &error), QUARRY_OK);
        assert_int_equal(quarry_block_cache_close(made), QUARRY_OK);
    }
    assert_int_equal(heap_totals().in_use_bytes, 0);
    heap_end();
    return has_failed;
}

static void any_call_of_the_os_may_fail(void **state)
{
    (void)state;
    static const enum os_sim_fail_mode modes[] = {OS_SIM_ONCE, OS_SIM_FOR_EVER};

    for (size_t i = 0; i < 2; i++) {
        uint64_t index = 0;
        while (run_with_failure(index, modes[i])) {
            index++;
        }
        print_message("%llu calls failed\n", (unsigned long long)index);
        assert_true(index > 5);
    }
}

/* With every limit from too little for anything to enough. */
static void any_charge_may_be_refused(void **state)
{
    (void)state;
    uint32_t made_count = 0, steps = 0;

    for (uint64_t limit = Q_KIB(192); limit < Q_MIB(6); limit += Q_KIB(40), steps++) {
        struct quarry_block_cache_options options = {.name = "block", .capacity_bytes = Q_MIB(3)};
        struct quarry_block_cache *made = NULL;
        heap_begin(&(struct heap_setup){.limit_bytes = limit, .has_real_backing = true});
        enum quarry_status status =
            quarry_block_cache_create((struct quarry_memory *)heap, &options, &made, NULL);
        assert_true(status == QUARRY_OK || status == QUARRY_NO_MEMORY);
        if (made != NULL) {
            live(made);
            assert_int_equal(quarry_block_cache_validate(made, NULL), QUARRY_OK);
            assert_int_equal(quarry_block_cache_close(made), QUARRY_OK);
            made_count++;
        }
        assert_int_equal(heap_totals().in_use_bytes, 0);
        heap_end();
    }
    assert_true(made_count > 0 && made_count < steps);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(shrinking_gives_pages_back_and_keeps_the_rest_whole,
                                        cache_set_up, cache_tear_down),
        cmocka_unit_test_setup_teardown(blocks_move_so_that_pages_become_free, cache_set_up,
                                        cache_tear_down),
        cmocka_unit_test_setup_teardown(a_block_that_is_held_stays_where_it_is, cache_set_up,
                                        cache_tear_down),
        cmocka_unit_test_setup_teardown(large_blocks_go_back_whole, cache_set_up, cache_tear_down),
        cmocka_unit_test(a_cache_larger_than_its_memory_works_in_what_there_is),
        cmocka_unit_test(a_block_takes_the_place_of_others_and_moves_none),
        cmocka_unit_test(blocks_of_another_size_find_room_where_memory_is_short),
        cmocka_unit_test(what_others_need_the_cache_gives),
        cmocka_unit_test(an_account_ceiling_bounds_the_cache),
        cmocka_unit_test(a_cache_is_a_part_of_its_parent),
        cmocka_unit_test_setup_teardown(the_capacity_of_an_elastic_cache_follows_its_target,
                                        cache_set_up, cache_tear_down),
        cmocka_unit_test_setup_teardown(ghosts_that_return_say_what_more_memory_is_worth,
                                        cache_set_up, cache_tear_down),
        cmocka_unit_test(any_call_of_the_os_may_fail),
        cmocka_unit_test(any_charge_may_be_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
