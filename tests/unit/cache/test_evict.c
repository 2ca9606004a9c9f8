/*
 * What goes when a cache is full, and how memory follows what is stored.
 */
#include "unit/cache/policy_rig.h"

static void a_full_cache_takes_every_set(void **state)
{
    (void)state;
    for (uint64_t n = 0; n < 300000; n++) {
        assert_int_equal(put(n, 200), QUARRY_CACHE_HIT);
        if (n % 64 == 0) {
            (void)quarry_cache_turn(cache);
        }
    }
    struct quarry_cache_stats stats = stats_now();
    assert_true(stats.charged_bytes <= Q_MIB(16));
    assert_true(stats.is_full);
    assert_true(stats_of(tenant).evictions > 200000);
    /* 1 % or so is free, and what the slab's threads keep. */
    assert_true(stats.cell_bytes > Q_MIB(16) / 100 * 85);
}

static void without_turns_too(void **state)
{
    (void)state;
    for (uint64_t n = 0; n < 300000; n++) {
        assert_int_equal(put(n, 200), QUARRY_CACHE_HIT);
    }
    assert_true(stats_now().charged_bytes <= Q_MIB(16));
}

/* Keys beside the numbered ones. */
static enum quarry_cache_outcome store_other(uint64_t n, size_t bytes)
{
    static const char value[32768];
    struct quarry_cache_key key = quarry_cache_key_make(tenant, &n, sizeof(n));

    return quarry_cache_store(tenant, &key, value, bytes, &(struct quarry_cache_store_options){0},
                              NULL);
}

/* Inside the epoch: the item has no room for an expiry, and is made anew. */
static enum quarry_cache_outcome touch_other(uint64_t n)
{
    const struct quarry_cache_get_options touching = {.touches = true, .expiry = 1u << 30};
    struct quarry_cache_key key = quarry_cache_key_make(tenant, &n, sizeof(n));
    struct quarry_cache_hit hit;

    return quarry_cache_get(tenant, &key, &touching, &hit);
}

static void who_is_inside_has_cells_of_a_full_cache_too(void **state)
{
    uint32_t hit_count = 0;

    (void)state;
    policy_begin(&(struct policy_setup){.size_bytes = Q_MIB(32)});
    for (uint64_t n = 0; n < 20000; n++) {
        assert_int_equal(put(n, 100 + n * 37 % 6000), QUARRY_CACHE_HIT);
        if (n % 100 == 0) {
            for (uint64_t i = 0; i < 4; i++) {
                assert_int_equal(store_other(n * 8 + i, 50 + (n + i * 1777) % 4000),
                                 QUARRY_CACHE_HIT);
            }
            quarry_cache_enter(cache);
            for (uint64_t i = 0; i < 4; i++) {
                enum quarry_cache_outcome outcome = touch_other(n * 8 + i);
                assert_int_not_equal(outcome, QUARRY_CACHE_NO_MEMORY); /* it may have gone */
                hit_count += outcome == QUARRY_CACHE_HIT;
            }
            quarry_cache_leave(cache);
        }
        if (n % 64 == 0) {
            (void)quarry_cache_turn(cache);
        }
    }
    assert_true(hit_count > 600);
    assert_true(stats_of(tenant).evictions > 5000);
    assert_true(stats_now().charged_bytes <= Q_MIB(32));
    policy_end();
}

static void what_is_asked_for_stays_while_the_rest_passes_through(void **state)
{
    (void)state;
    for (uint64_t n = 0; n < 1000; n++) {
        assert_int_equal(put(n, 200), QUARRY_CACHE_HIT);
    }
    for (uint64_t n = 1000; n < 200000; n++) {
        assert_int_equal(put(n, 200), QUARRY_CACHE_HIT);
        if (n % 20 == 0) {
            (void)get(n / 20 % 1000); /* each once in 20,000 sets */
        }
    }
    assert_true(count_of(tenant, 0, 1000) > 990);
}

static void what_comes_back_soon_goes_to_the_main_queue(void **state)
{
    (void)state;
    for (uint64_t n = 0; n < 120000; n++) {
        assert_int_equal(put(n, 200), QUARRY_CACHE_HIT);
        (void)quarry_cache_turn(cache);
    }
    uint64_t hits = stats_of(tenant).ghost_hits;
    uint64_t first = 120000 - stats_of(tenant).small_bytes / 224 - 2000;
    for (uint64_t n = first; n < first + 1000; n++) { /* of the last that went */
        assert_int_equal(put(n, 200), QUARRY_CACHE_HIT);
        assert_int_equal(put(200000 + n, 200), QUARRY_CACHE_HIT);
    }
    assert_true(stats_of(tenant).ghost_hits - hits > 900);
    /* So many came back at once that the small queue is now several times as long. */
    for (uint64_t n = 400000; n < 440000; n++) {
        assert_int_equal(put(n, 200), QUARRY_CACHE_HIT);
    }
    assert_true(count_of(tenant, first, first + 1000) > 800);
    assert_true(count_of(tenant, 200000 + first, 201000 + first) < 100);
}

static void replacing_over_and_over_costs_no_queue(void **state)
{
    (void)state;
    for (uint64_t n = 0; n < 200000; n++) {
        assert_int_equal(put(n % 100, 100), QUARRY_CACHE_HIT);
    }
    assert_int_equal(stats_of(tenant).item_count, 100);
    assert_true(stats_now().policy_bytes < Q_KIB(128));
    assert_int_equal(count_of(tenant, 0, 100), 100);
}

static void put_sizes(uint64_t first, uint64_t count, size_t bytes)
{
    for (uint64_t n = first; n < first + count; n++) {
        uint64_t before = stats_of(tenant).evictions;
        assert_int_equal(put(n, bytes), QUARRY_CACHE_HIT);
        assert_true(stats_of(tenant).evictions - before < 40000); /* a page's worth */
        if (n % 16 == 0) {
            (void)quarry_cache_turn(cache);
        }
    }
}

static void memory_follows_the_sizes_that_are_stored(void **state)
{
    (void)state;
    put_sizes(0, 200, Q_MIB(1));
    assert_true(stats_of(tenant).item_bytes > Q_MIB(12));
    put_sizes(1000, 300000, 64);
    assert_true(stats_of(tenant).item_bytes > Q_MIB(12));
    assert_true(count_of(tenant, 1000, 301000) > 90000);
    put_sizes(400000, 200, 500000);
    assert_true(stats_of(tenant).item_bytes > Q_MIB(10));
    put_sizes(500000, 20000, 3000);
    put_sizes(600000, 300000, 16);
    assert_true(stats_now().charged_bytes <= Q_MIB(16));
    policy_check();
}

static void likewise_without_turns(void **state)
{
    (void)state;
    for (uint64_t n = 0; n < 100; n++) {
        assert_int_equal(put(n, Q_MIB(1)), QUARRY_CACHE_HIT);
    }
    for (uint64_t n = 1000; n < 201000; n++) {
        assert_int_equal(put(n, 64), QUARRY_CACHE_HIT);
    }
    for (uint64_t n = 300000; n < 300100; n++) {
        assert_int_equal(put(n, 500000), QUARRY_CACHE_HIT);
    }
    policy_check();
}

static void one_that_never_evicts_refuses(void **state)
{
    uint64_t n = 0;

    (void)state;
    policy_begin(&(struct policy_setup){.size_bytes = Q_MIB(2), .never_evicts = true});
    while (put(n, 500) == QUARRY_CACHE_HIT) {
        n++;
    }
    assert_true(n > 2000);
    (void)turn_all();
    while (put(n, 500) == QUARRY_CACHE_HIT) {
        assert_true(n++ < 4000); /* what the turn has put together */
    }
    assert_int_equal(stats_of(tenant).evictions, 0);
    assert_int_equal(count_of(tenant, 0, n), n);
    policy_end();
}

static void the_turns_keep_a_little_free(void **state)
{
    (void)state;
    for (uint64_t n = 0; n < 100000; n++) {
        assert_int_equal(put(n, 200), QUARRY_CACHE_HIT);
    }
    for (uint32_t second = 0; second < 10; second++) { /* of the one size a page each second */
        quarry_cache_shift_clock(cache, 1);
        (void)turn_all();
    }
    struct cache_room room = cache_room_read(cache);
    assert_true(room.free_bytes >= room.wants_free_bytes);
    assert_true(room.open_bytes >= room.wants_open_bytes);
    assert_true(room.free_bytes < Q_MIB(2));
    assert_true(atomic_load_relaxed_u32(&cache->policy->work_max) <= CACHE_TURN_WORK);
}

static void half_the_size_is_reached_in_turns(void **state)
{
    (void)state;
    for (uint64_t n = 0; n < 100000; n++) {
        assert_int_equal(put(n, 200), QUARRY_CACHE_HIT);
        (void)(n < 1000 && get(n) && get(n));
    }
    assert_int_equal(quarry_cache_set_size(cache, Q_MIB(8)), QUARRY_OK);
    for (uint64_t n = 200000; n < 210000; n++) {
        assert_int_equal(put(n, 200), QUARRY_CACHE_HIT);
        (void)quarry_cache_turn(cache);
    }
    (void)turn_all();
    assert_true(stats_now().charged_bytes <= Q_MIB(8));
    assert_true(stats_of(tenant).item_bytes > Q_MIB(5));
    assert_true(atomic_load_relaxed_u32(&cache->policy->work_max) <= CACHE_TURN_WORK);
    assert_int_equal(quarry_cache_set_size(cache, Q_MIB(16)), QUARRY_OK);
    for (uint64_t n = 300000; n < 400000; n++) {
        assert_int_equal(put(n, 200), QUARRY_CACHE_HIT);
    }
    assert_true(stats_of(tenant).item_bytes > Q_MIB(12));
}

static void a_flush_is_swept_away(void **state)
{
    (void)state;
    for (uint64_t n = 0; n < 20000; n++) {
        assert_int_equal(put(n, 100), QUARRY_CACHE_HIT);
    }
    quarry_cache_flush(tenant, 0);
    for (uint64_t n = 30000; n < 30100; n++) {
        assert_int_equal(put(n, 100), QUARRY_CACHE_HIT);
    }
    (void)turn_all();
    assert_int_equal(stats_of(tenant).item_count, 100);
    assert_int_equal(count_of(tenant, 30000, 30100), 100);
}

static void what_expires_goes_by_itself(void **state)
{
    uint32_t now = quarry_cache_now(cache);

    (void)state;
    for (uint64_t n = 0; n < 100000; n++) {
        uint32_t expiry = n % 10 == 0 ? 0 : now + 5 + (uint32_t)(n % 7);
        assert_int_equal(put_to(tenant, n, 16, expiry), QUARRY_CACHE_HIT);
    }
    (void)turn_all();
    uint64_t evicted = stats_of(tenant).evictions;
    assert_int_equal(stats_of(tenant).item_count, 100000 - evicted);
    for (uint32_t second = 0; second < 20; second++) {
        quarry_cache_shift_clock(cache, 1);
        (void)turn_all();
    }
    assert_true(stats_of(tenant).item_count <= 10000);
    assert_int_equal(stats_of(tenant).expired + stats_of(tenant).item_count, 100000 - evicted);
    assert_true(atomic_load_relaxed_u32(&cache->policy->work_max) <= CACHE_TURN_WORK);
    uint64_t crawled = stats_now().crawled_items;
    quarry_cache_shift_clock(cache, 1000);
    (void)turn_all();
    assert_int_equal(stats_now().crawled_items, crawled); /* nothing is due any more */
}

static void large_items_go_with_all_their_extents(void **state)
{
    (void)state;
    for (uint64_t n = 0; n < 400; n++) {
        assert_int_equal(put(n, 300000 + n * 1000), QUARRY_CACHE_HIT);
        (void)get(n);
        (void)quarry_cache_turn(cache);
    }
    (void)turn_all();
    policy_check();
    assert_true(count_of(tenant, 0, 400) > 15);
}

#define RIG(test) cmocka_unit_test_setup_teardown(test, policy_set_up, policy_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG(a_full_cache_takes_every_set),
        RIG(without_turns_too),
        cmocka_unit_test(who_is_inside_has_cells_of_a_full_cache_too),
        RIG(what_is_asked_for_stays_while_the_rest_passes_through),
        RIG(what_comes_back_soon_goes_to_the_main_queue),
        RIG(replacing_over_and_over_costs_no_queue),
        RIG(memory_follows_the_sizes_that_are_stored),
        RIG(likewise_without_turns),
        cmocka_unit_test(one_that_never_evicts_refuses),
        RIG(the_turns_keep_a_little_free),
        RIG(half_the_size_is_reached_in_turns),
        RIG(a_flush_is_swept_away),
        RIG(what_expires_goes_by_itself),
        RIG(large_items_go_with_all_their_extents),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
