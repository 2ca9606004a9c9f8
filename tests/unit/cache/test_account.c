/*
 * A cache in the budget: what it gives to others, and what it says it is worth.
 */
#include "unit/cache/policy_rig.h"

static struct quarry_memory *memory(void)
{
    return (struct quarry_memory *)(void *)heap;
}

static struct quarry_account *other;

static void begin_with_another(uint64_t limit_bytes)
{
    struct quarry_account_options options = {.name = "other", .is_all_pages = true};

    policy_begin(&(struct policy_setup){.size_bytes = Q_MIB(256), .limit_bytes = limit_bytes});
    assert_int_equal(quarry_account_create(memory(), &options, &other, NULL), QUARRY_OK);
}

static void end_with_another(void)
{
    quarry_account_destroy(other);
    policy_end();
}

static struct quarry_account_state account_now(void)
{
    struct quarry_account_state state;

    quarry_account_read(cache->account, &state);
    return state;
}

static void a_cache_fills_the_memory_that_there_is(void **state)
{
    (void)state;
    begin_with_another(Q_MIB(48));
    for (uint64_t n = 0; n < 300000; n++) {
        assert_int_equal(put(n, 200), QUARRY_CACHE_HIT);
        if (n % 64 == 0) {
            (void)quarry_cache_turn(cache);
        }
    }
    assert_true(account_now().charged_bytes > Q_MIB(36));
    assert_true(heap_committed() <= Q_MIB(48));
    end_with_another();
}

static void who_needs_memory_gets_it_from_a_full_cache(void **state)
{
    struct quarry_lane_options lane_options = {.name = "others"};
    struct quarry_lane *lane;
    void *runs[16];

    (void)state;
    begin_with_another(Q_MIB(48));
    assert_int_equal(quarry_lane_create(memory(), &lane_options, &lane, NULL), QUARRY_OK);
    for (uint64_t n = 0; n < 300000; n++) {
        assert_int_equal(put(n, 200), QUARRY_CACHE_HIT);
    }
    for (uint32_t i = 0; i < 16; i++) { /* 16 MiB */
        assert_int_equal(quarry_account_pages_alloc(other, lane, 128, &runs[i]), QUARRY_OK);
    }
    assert_true(account_now().reclaimed_bytes >= Q_MIB(8));
    assert_true(account_now().charged_bytes > Q_MIB(20)); /* and no more than that */
    for (uint64_t n = 400000; n < 450000; n++) {
        assert_int_equal(put(n, 200), QUARRY_CACHE_HIT);
    }
    policy_check();
    for (uint32_t i = 0; i < 16; i++) {
        quarry_account_pages_free(other, lane, runs[i]);
    }
    quarry_lane_destroy(lane);
    end_with_another();
}

static void a_target_that_sinks_is_followed_in_turns(void **state)
{
    (void)state;
    policy_begin(&(struct policy_setup){.size_bytes = Q_MIB(32)});
    for (uint64_t n = 0; n < 200000; n++) {
        assert_int_equal(put(n, 200), QUARRY_CACHE_HIT);
    }
    atomic_store_relaxed_u64(&cache->target_bytes, Q_MIB(20));
    (void)turn_all();
    assert_true(stats_now().charged_bytes <= Q_MIB(20));
    assert_true(stats_of(tenant).item_bytes > Q_MIB(15));
    atomic_store_relaxed_u64(&cache->target_bytes, 0);
    policy_end();
}

static void nothing_is_given_by_who_is_inside(void **state)
{
    (void)state;
    policy_begin(&(struct policy_setup){.size_bytes = Q_MIB(8)});
    for (uint64_t n = 0; n < 50000; n++) {
        assert_int_equal(put(n, 200), QUARRY_CACHE_HIT);
    }
    uint64_t evictions = stats_of(tenant).evictions;
    quarry_cache_enter(cache);
    assert_false(cache_policy_make_room(cache, Q_MIB(1)));
    quarry_cache_leave(cache);
    assert_int_equal(stats_of(tenant).evictions, evictions);
    assert_true(cache_policy_make_room(cache, Q_MIB(1)));
    policy_end();
}

/* What the account would be told of. */
static struct quarry_account_value value_now(void)
{
    struct quarry_account_value value = {0};

    cache->account->functions.value(cache, &value);
    return value;
}

static void what_comes_back_after_it_was_evicted_speaks_for_more_memory(void **state)
{
    (void)state;
    policy_begin(&(struct policy_setup){.size_bytes = Q_MIB(8)});
    for (uint64_t n = 0; n < 100000; n++) {
        assert_int_equal(put(n, 200), QUARRY_CACHE_HIT);
        (void)quarry_cache_turn(cache);
    }
    (void)value_now();
    assert_int_equal(value_now().ghost_hits, 0);
    uint64_t last = 100000 - stats_of(tenant).small_bytes / 224 - 100, misses = 0;
    for (uint64_t n = last - 8000; n < last; n++) {
        misses += !get(n);
    }
    struct quarry_account_value value = value_now();
    assert_true(misses > 7000);
    assert_true(value.ghost_hits > 4000 &&
                value.ghost_hits < 12000); /* every eighth is looked up */
    assert_true(value.ghost_bytes > Q_MIB(2) && value.ghost_bytes < Q_MIB(16));
    policy_end();
}

static void what_the_hand_finds_used_speaks_against_less(void **state)
{
    (void)state;
    policy_begin(&(struct policy_setup){.size_bytes = Q_MIB(8)});
    for (uint64_t n = 0; n < 30000; n++) { /* nearly all in the main queue */
        assert_int_equal(put(n, 200), QUARRY_CACHE_HIT);
    }
    for (uint64_t n = 0; n < 30000; n += 2) { /* half of it used once there */
        (void)get(n);
    }
    (void)value_now();
    assert_int_equal(value_now().tail_bytes, 0);
    for (uint64_t n = 100000; n < 150000;
         n++) { /* each promoted in time, and takes another's place */
        assert_int_equal(put(n, 200), QUARRY_CACHE_HIT);
        (void)(get(n) && get(n));
    }
    struct quarry_account_value value = value_now();
    assert_true(value.tail_hits > 5000);
    assert_true(value.tail_bytes >= value.tail_hits * 200);
    policy_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cache_fills_the_memory_that_there_is),
        cmocka_unit_test(who_needs_memory_gets_it_from_a_full_cache),
        cmocka_unit_test(a_target_that_sinks_is_followed_in_turns),
        cmocka_unit_test(nothing_is_given_by_who_is_inside),
        cmocka_unit_test(what_comes_back_after_it_was_evicted_speaks_for_more_memory),
        cmocka_unit_test(what_the_hand_finds_used_speaks_against_less),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
