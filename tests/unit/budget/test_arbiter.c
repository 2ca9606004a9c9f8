/*
 * The arbiter: memory goes to where it brings most hits, at a bounded pace, within all bounds, and
 * the same way each time.
 *
 * Caches are curves here: so many hits a second at so many bytes. They follow their targets by a
 * part a tick, as caches that evict and fill do, and tell what their ghosts and their coldest part
 * would have seen.
 */
#include "unit/budget/budget_rig.h"

#include <math.h>

#include "unit/base/random.h"

#define LIMIT_BYTES Q_MIB(256)
#define CACHES_MAX  3u
/* Of the room: what ghosts cover, and what counts as the coldest part. */
#define PROBE_PART 32u

/* hits(bytes) = rate × (1 − e^(−bytes / scale)), which is concave. */
struct curve {
    double rate;
    double scale_bytes;
    double noise; /* up to so much of the hits comes or goes at random */
};

struct cache {
    struct quarry_account *account;
    struct curve curve;
    uint64_t held_bytes;
    uint64_t target_bytes;
    uint32_t told_count;
};

static struct cache cache[CACHES_MAX];
static uint32_t cache_count;
static uint64_t seed;

/* ---- caches --------------------------------------------------------------------------------- */

static double hits_at(const struct curve *curve, double bytes)
{
    return bytes <= 0.0 ? 0.0 : curve->rate * (1.0 - exp(-bytes / curve->scale_bytes));
}

static uint64_t with_noise(const struct curve *curve, double hits)
{
    double part = (double)(random_u64(&seed) % 2001) / 1000.0 - 1.0;

    return (uint64_t)(hits * (1.0 + part * curve->noise));
}

static void cache_value(void *argument, struct quarry_account_value *ret_value)
{
    const struct cache *c = argument;
    double seconds = (double)PAGE_GENERATION_NS / (double)Q_SECOND_NS;
    uint64_t probe_bytes = LIMIT_BYTES / PROBE_PART;
    uint64_t tail_bytes = size_min_u64(probe_bytes, c->held_bytes);
    double held = (double)c->held_bytes, hits = hits_at(&c->curve, held);

    ret_value->ghost_bytes = probe_bytes;
    ret_value->ghost_hits =
        with_noise(&c->curve, (hits_at(&c->curve, held + (double)probe_bytes) - hits) * seconds);
    ret_value->tail_bytes = tail_bytes;
    ret_value->tail_hits =
        with_noise(&c->curve, (hits - hits_at(&c->curve, held - (double)tail_bytes)) * seconds);
}

static uint64_t cache_reclaim(void *argument, uint64_t wanted_bytes)
{
    struct cache *c = argument;
    uint64_t bytes = size_min_u64(wanted_bytes, c->held_bytes);

    quarry_account_uncharge(c->account, bytes);
    c->held_bytes -= bytes;
    return bytes;
}

static void cache_target(void *argument, uint64_t target_bytes)
{
    struct cache *c = argument;

    c->target_bytes = target_bytes;
    c->told_count++;
}

/* A sixteenth of the limit a tick towards the target. */
static void cache_follow(struct cache *c)
{
    uint64_t step_bytes = LIMIT_BYTES / 16;

    if (c->held_bytes > c->target_bytes) {
        (void)cache_reclaim(c, size_min_u64(step_bytes, c->held_bytes - c->target_bytes));
        return;
    }
    uint64_t bytes = size_min_u64(step_bytes, c->target_bytes - c->held_bytes);
    if (quarry_account_charge(c->account, bytes) == QUARRY_OK) {
        c->held_bytes += bytes;
    }
}

static void cache_make(const char *name, struct curve curve, struct quarry_account_options options)
{
    struct cache *c = &cache[cache_count++];

    *c = (struct cache){.curve = curve};
    options.name = name;
    options.reclaim = cache_reclaim;
    options.value = cache_value;
    options.set_target = cache_target;
    options.argument = c;
    c->account = account_make(&options);
}

static void caches_end(void)
{
    for (; cache_count > 0; cache_count--) {
        struct cache *c = &cache[cache_count - 1];
        quarry_account_uncharge(c->account, c->held_bytes);
        quarry_account_destroy(c->account);
    }
}

static int set_up(void **state)
{
    (void)state;
    heap_begin(&(struct heap_setup){.limit_bytes = LIMIT_BYTES});
    seed = 42;
    cache_count = 0;
    return 0;
}

/* ---- running -------------------------------------------------------------------------------- */

static uint64_t room_now(void)
{
    return budget_of(heap)->arbiter.room_bytes;
}

static void check_targets(void)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < cache_count; i++) {
        struct quarry_account_state now = account_now(cache[i].account);
        assert_true(now.target_bytes >= now.floor_bytes);
        assert_true(now.ceiling_bytes == 0 || now.target_bytes <= now.ceiling_bytes);
        sum += now.target_bytes;
    }
    assert_true(sum <= room_now());
}

static void run(uint32_t ticks)
{
    for (uint32_t i = 0; i < ticks; i++) {
        budget_turn();
        check_targets();
        for (uint32_t j = 0; j < cache_count; j++) {
            cache_follow(&cache[j]);
        }
    }
}

static double hits_now(void)
{
    double hits = 0.0;

    for (uint32_t i = 0; i < cache_count; i++) {
        hits += hits_at(&cache[i].curve, (double)cache[i].held_bytes);
    }
    return hits;
}

/* Every split of the room into 200 parts, for the caches from `first` on. */
static double best_hits(uint32_t first, uint32_t parts_left)
{
    double best = 0.0;

    if (first + 1 == cache_count) {
        return hits_at(&cache[first].curve, (double)parts_left / 200.0 * (double)room_now());
    }
    for (uint32_t parts = 0; parts <= parts_left; parts++) {
        double own = hits_at(&cache[first].curve, (double)parts / 200.0 * (double)room_now());
        best = fmax(best, own + best_hits(first + 1, parts_left - parts));
    }
    return best;
}

static void assert_near_best(void)
{
    double best = best_hits(0, 200), now = hits_now();

    if (now < 0.95 * best) {
        fail_msg("%.0f hits a second, %.0f could be had", now, best);
    }
}

/* ---- where it ends -------------------------------------------------------------------------- */

static void two_caches_end_near_the_best_split(void **state)
{
    (void)state;
    /* One wants little and brings much, the other goes on gaining for long. */
    static const struct curve curves[][2] = {
        {{10000.0, 8e6, 0.0}, {10000.0, 200e6, 0.0}},
        {{10000.0, 200e6, 0.0}, {10000.0, 8e6, 0.0}},
        {{100000.0, 60e6, 0.0}, {1000.0, 60e6, 0.0}},
        {{1000.0, 20e6, 0.0}, {90000.0, 20e6, 0.0}},
        {{20000.0, 100e6, 0.0}, {20000.0, 100e6, 0.0}},
    };

    for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]); i++) {
        cache_make("a", curves[i][0], (struct quarry_account_options){.share = 1});
        cache_make("b", curves[i][1], (struct quarry_account_options){.share = 1});
        run(600);
        assert_near_best();
        caches_end();
        heap_restart(&(struct heap_setup){.limit_bytes = LIMIT_BYTES});
    }
}

static void shares_decide_where_it_begins_and_not_where_it_ends(void **state)
{
    (void)state;
    cache_make("a", (struct curve){30000.0, 150e6, 0.0},
               (struct quarry_account_options){.share = 1});
    cache_make("b", (struct curve){5000.0, 10e6, 0.0},
               (struct quarry_account_options){.share = 15});
    run(1);
    assert_in_range(cache[0].target_bytes, room_now() / 16 - 16, room_now() / 16 + 16);
    double began = hits_now();
    run(600);
    assert_true(hits_now() > began);
    assert_near_best();
    caches_end();
}

static void three_caches_with_noise_end_near_the_best_split(void **state)
{
    (void)state;
    cache_make("a", (struct curve){30000.0, 20e6, 0.3}, (struct quarry_account_options){0});
    cache_make("b", (struct curve){60000.0, 90e6, 0.3}, (struct quarry_account_options){0});
    cache_make("c", (struct curve){9000.0, 300e6, 0.3}, (struct quarry_account_options){0});
    run(900);
    assert_near_best();
    caches_end();
}

static void it_follows_a_workload_that_changes(void **state)
{
    (void)state;
    cache_make("a", (struct curve){50000.0, 100e6, 0.1}, (struct quarry_account_options){0});
    cache_make("b", (struct curve){500.0, 100e6, 0.1}, (struct quarry_account_options){0});
    run(600);
    assert_true(cache[0].held_bytes > cache[1].held_bytes);
    assert_near_best();
    cache[0].curve.rate = 500.0;
    cache[1].curve.rate = 50000.0;
    run(600);
    assert_true(cache[1].held_bytes > cache[0].held_bytes);
    assert_near_best();
    caches_end();
}

static void memory_that_nobody_uses_goes_to_who_does(void **state)
{
    (void)state;
    cache_make("busy", (struct curve){10000.0, 400e6, 0.0}, (struct quarry_account_options){0});
    cache_make("idle", (struct curve){0.0, 1e6, 0.0},
               (struct quarry_account_options){.floor_bytes = Q_MIB(5)});
    run(200);
    assert_int_equal(account_now(cache[1].account).target_bytes, Q_MIB(5));
    assert_true(cache[0].held_bytes > room_now() / 10 * 9);
    caches_end();
}

/* ---- how it goes there ---------------------------------------------------------------------- */

static void bounds_hold_at_every_tick(void **state)
{
    (void)state;
    cache_make("a", (struct curve){90000.0, 100e6, 0.2},
               (struct quarry_account_options){.ceiling_bytes = Q_MIB(100)});
    cache_make("b", (struct curve){1000.0, 100e6, 0.2},
               (struct quarry_account_options){.floor_bytes = Q_MIB(90)});
    cache_make("c", (struct curve){10.0, 100e6, 0.2}, (struct quarry_account_options){0});
    run(500); /* check_targets, each time */
    assert_true(account_now(cache[0].account).target_bytes > Q_MIB(99));
    assert_true(account_now(cache[1].account).target_bytes >= Q_MIB(90));
    caches_end();
}

static void at_most_a_64th_moves_in_a_tick(void **state)
{
    (void)state;
    uint64_t least_bytes = UINT64_MAX, most_bytes = 0;

    cache_make("a", (struct curve){90000.0, 100e6, 0.0}, (struct quarry_account_options){0});
    cache_make("b", (struct curve){10.0, 100e6, 0.0}, (struct quarry_account_options){0});
    run(2);
    for (uint32_t i = 0; i < 100; i++) {
        uint64_t before_bytes = account_now(cache[0].account).target_bytes;
        run(1);
        uint64_t after_bytes = account_now(cache[0].account).target_bytes;
        assert_true(after_bytes + 16 >= before_bytes);
        most_bytes = size_max_u64(most_bytes, after_bytes - before_bytes);
        least_bytes = size_min_u64(least_bytes, after_bytes - before_bytes);
    }
    assert_true(most_bytes <= room_now() / BUDGET_STEP_PART + 16);
    assert_true(most_bytes >= room_now() / BUDGET_STEP_PART - 16);
    assert_int_equal(least_bytes, 0); /* it came to an end */
    caches_end();
}

static void a_burst_of_two_ticks_moves_nothing(void **state)
{
    (void)state;
    cache_make("a", (struct curve){100.0, 100e6, 0.0}, (struct quarry_account_options){0});
    cache_make("b", (struct curve){100.0, 100e6, 0.0}, (struct quarry_account_options){0});
    run(50);
    uint64_t move_count = budget_of(heap)->arbiter.move_count;
    cache[0].curve.rate = 130.0; /* above the ratio only while it lasts */
    run(BUDGET_MOVE_TICKS - 1);
    cache[0].curve.rate = 100.0;
    run(50);
    assert_int_equal(budget_of(heap)->arbiter.move_count, move_count);
    caches_end();
}

static void equals_keep_what_they_have(void **state)
{
    (void)state;
    cache_make("a", (struct curve){10000.0, 100e6, 0.05}, (struct quarry_account_options){0});
    cache_make("b", (struct curve){10000.0, 100e6, 0.05}, (struct quarry_account_options){0});
    run(20);
    uint64_t move_count = budget_of(heap)->arbiter.move_count;
    run(500);
    assert_int_equal(budget_of(heap)->arbiter.move_count, move_count);
    caches_end();
}

static void record_targets(uint64_t *targets, uint32_t ticks)
{
    cache_make("a", (struct curve){30000.0, 30e6, 0.4}, (struct quarry_account_options){0});
    cache_make("b", (struct curve){10000.0, 200e6, 0.4}, (struct quarry_account_options){0});
    for (uint32_t i = 0; i < ticks; i++) {
        run(1);
        targets[i] = account_now(cache[0].account).target_bytes;
    }
    caches_end();
}

static void the_same_clock_and_values_give_the_same_targets(void **state)
{
    (void)state;
    static uint64_t first[300], second[300];

    record_targets(first, 300);
    heap_restart(&(struct heap_setup){.limit_bytes = LIMIT_BYTES});
    seed = 42;
    record_targets(second, 300);
    assert_memory_equal(first, second, sizeof(first));
    assert_int_not_equal(first[0], first[299]);
}

/* ---- what changes round it ------------------------------------------------------------------ */

static void targets_leave_room_for_what_is_not_elastic(void **state)
{
    (void)state;
    struct page_lane *lane = lane_make("rest");
    void *rest;

    cache_make("a", (struct curve){10000.0, 100e6, 0.0}, (struct quarry_account_options){0});
    run(2);
    uint64_t before_bytes = account_now(cache[0].account).target_bytes;
    /* The cache's bytes here are charges alone; what is committed is the rest's. */
    rest = take_from_tree(lane, owner_make("rest"), Q_MIB(64) >> PAGE_SHIFT);
    cache_reclaim(&cache[0], cache[0].held_bytes);
    cache[0].target_bytes = 0;
    budget_turn();
    uint64_t after_bytes = account_now(cache[0].account).target_bytes;
    assert_in_range(before_bytes - after_bytes, Q_MIB(60), Q_MIB(68));
    page_free(lane, rest);
    caches_end();
}

static void targets_follow_the_limit_in_proportion(void **state)
{
    (void)state;
    cache_make("a", (struct curve){10000.0, 30e6, 0.0}, (struct quarry_account_options){0});
    cache_make("b", (struct curve){10000.0, 200e6, 0.0}, (struct quarry_account_options){0});
    run(400);
    uint64_t a_bytes = cache[0].target_bytes, b_bytes = cache[1].target_bytes;
    double before = (double)a_bytes / (double)b_bytes;
    assert_int_equal(quarry_memory_set_limit(memory_now(), LIMIT_BYTES / 2), QUARRY_OK);
    budget_turn();
    assert_in_range(cache[0].target_bytes + cache[1].target_bytes, room_now() - 16, room_now());
    assert_true(cache[0].target_bytes < a_bytes && cache[1].target_bytes < b_bytes);
    double after = (double)cache[0].target_bytes / (double)cache[1].target_bytes;
    assert_true(fabs(after - before) < 0.1 * before);
    caches_end();
}

static void one_that_joins_late_gets_its_share_and_others_keep_their_proportion(void **state)
{
    (void)state;
    cache_make("a", (struct curve){10000.0, 30e6, 0.0}, (struct quarry_account_options){0});
    cache_make("b", (struct curve){10000.0, 200e6, 0.0}, (struct quarry_account_options){0});
    run(400);
    assert_true(budget_of(heap)->arbiter.move_count > 0);
    double before = (double)account_now(cache[0].account).target_bytes /
                    (double)account_now(cache[1].account).target_bytes;
    cache_make("c", (struct curve){10000.0, 50e6, 0.0}, (struct quarry_account_options){0});
    assert_in_range(account_now(cache[2].account).target_bytes, room_now() / 3 - 64,
                    room_now() / 3 + 64);
    double after = (double)account_now(cache[0].account).target_bytes /
                   (double)account_now(cache[1].account).target_bytes;
    assert_true(fabs(after - before) < 0.01 * before);
    run(500);
    assert_near_best();
    caches_end();
}

static void a_target_is_told_when_it_is_another(void **state)
{
    (void)state;
    cache_make("a", (struct curve){0.0, 1e6, 0.0}, (struct quarry_account_options){0});
    run(5);
    uint32_t told_count = cache[0].told_count;
    run(10);
    assert_int_equal(cache[0].told_count, told_count);
    assert_int_equal(cache[0].target_bytes, account_now(cache[0].account).target_bytes);
    assert_int_equal(quarry_account_set_bounds(cache[0].account, 0, Q_MIB(3)), QUARRY_OK);
    run(1);
    assert_int_equal(cache[0].told_count, told_count + 1);
    assert_int_equal(cache[0].target_bytes, Q_MIB(3));
    caches_end();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, heap_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(two_caches_end_near_the_best_split),
        TEST(shares_decide_where_it_begins_and_not_where_it_ends),
        TEST(three_caches_with_noise_end_near_the_best_split),
        TEST(it_follows_a_workload_that_changes),
        TEST(memory_that_nobody_uses_goes_to_who_does),
        TEST(bounds_hold_at_every_tick),
        TEST(at_most_a_64th_moves_in_a_tick),
        TEST(a_burst_of_two_ticks_moves_nothing),
        TEST(equals_keep_what_they_have),
        TEST(the_same_clock_and_values_give_the_same_targets),
        TEST(targets_leave_room_for_what_is_not_elastic),
        TEST(targets_follow_the_limit_in_proportion),
        TEST(one_that_joins_late_gets_its_share_and_others_keep_their_proportion),
        TEST(a_target_is_told_when_it_is_another),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
