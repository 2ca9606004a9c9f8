/*
 * The policies that `quarry bench blocks` compares, and the traces it compares them on.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <bench/blocks/policy.h>
#include <bench/blocks/trace.h>

#define KEYS 1000u

/* Accesses keys given as letters, each of one byte. Returns: the hits, as a text of h and m. */
static const char *run(const struct bench_policy *policy, uint64_t capacity, const char *keys)
{
    static char hits[64];
    void *cache = policy->create(capacity, 256);
    size_t count = strlen(keys);

    assert_true(count < sizeof hits);
    for (size_t i = 0; i < count; i++) {
        hits[i] = policy->access(cache, (uint32_t)(unsigned char)keys[i], 1) ? 'h' : 'm';
    }
    hits[count] = '\0';
    policy->destroy(cache);
    return hits;
}

static void lru_lets_the_least_recently_used_go(void **state)
{
    (void)state;
    assert_string_equal(run(&bench_policy_lru, 3, "abcadab"), "mmmhmhm");
}

static void a_clock_lets_a_key_that_was_hit_go_round(void **state)
{
    (void)state;
    /* d comes: a was hit once and goes round, b goes. */
    assert_string_equal(run(&bench_policy_clock, 3, "abcadab"), "mmmhmhm");
    /* Two hits of a outlive two rounds. */
    assert_string_equal(run(&bench_policy_clock, 2, "abaacda"), "mmhhmmh");
}

static void two_queues_keep_what_comes_back_after_it_left(void **state)
{
    (void)state;
    /* Of 8, 2 are for new keys, and 4 are remembered. Filled by a…h, i pushes a out; a comes back
     * from what is remembered to the main queue, where a scan of new keys does not reach it. */
    assert_string_equal(run(&bench_policy_two_queue, 8, "abcdefghiajklmnopqra"),
                        "mmmmmmmmmmmmmmmmmmmh");
    /* A key that came once is gone by then. */
    assert_string_equal(run(&bench_policy_two_queue, 8, "abcdefghijklmnopqrsa"),
                        "mmmmmmmmmmmmmmmmmmmm");
}

static void s3_fifo_keeps_what_was_hit_twice_before_its_turn(void **state)
{
    (void)state;
    /* a is hit twice and so in main when the scan comes; b only once. */
    assert_string_equal(run(&bench_policy_s3_fifo, 10, "aaabbcdefghijklmnopqrsab"),
                        "mhhmhmmmmmmmmmmmmmmmmmhm");
}

static void a_key_larger_than_the_cache_is_admitted_by_nobody(void **state)
{
    (void)state;
    size_t count = 0;
    const struct bench_policy *const *policies = bench_policies(&count);

    assert_true(count >= 5);
    for (size_t i = 0; i < count; i++) {
        void *cache = policies[i]->create(100, KEYS);
        (void)policies[i]->access(cache, 1, 50);
        for (int n = 0; n < 3; n++) {
            if (policies[i]->access(cache, 2, 101)) {
                fail_msg("%s has admitted it", policies[i]->name);
            }
        }
        assert_true(policies[i]->access(cache, 1, 50));
        policies[i]->destroy(cache);
    }
}

/* Misses of a loop over more keys than fit. */
static uint32_t loop_misses(const struct bench_policy *policy, uint32_t loop, uint64_t capacity)
{
    void *cache = policy->create(capacity, KEYS);
    uint32_t misses = 0;

    for (uint32_t i = 0; i < 50 * loop; i++) {
        misses += !policy->access(cache, i % loop, 1);
    }
    policy->destroy(cache);
    return misses;
}

static void a_loop_beats_lru_and_not_clock_pro(void **state)
{
    (void)state;
    assert_int_equal(loop_misses(&bench_policy_lru, 120, 100), 50 * 120);
    assert_true(loop_misses(&bench_policy_clock_pro, 120, 100) < 50 * 120 / 2);
}

static void no_policy_hits_what_it_has_never_seen_or_has_no_room_for(void **state)
{
    (void)state;
    size_t count = 0;
    const struct bench_policy *const *policies = bench_policies(&count);

    for (size_t i = 0; i < count; i++) {
        /* All keys fit: each is missed once and never again. */
        assert_int_equal(loop_misses(policies[i], 100, 200), 100);
        /* With room for a tenth, nine in ten of a round must miss at least. */
        assert_true(loop_misses(policies[i], 1000, 100) >= 50 * 900);
    }
}

static void every_policy_is_found_by_its_name(void **state)
{
    (void)state;
    assert_ptr_equal(bench_policy_find("quarry"), &bench_policy_clock_pro);
    assert_ptr_equal(bench_policy_find("s3_fifo"), &bench_policy_s3_fifo);
    assert_null(bench_policy_find("random"));
}

static void a_trace_is_the_same_each_time(void **state)
{
    (void)state;
    size_t count = 0;
    const struct bench_trace_shape *shapes = bench_trace_shapes(&count);

    for (size_t i = 0; i < count; i++) {
        struct bench_trace one;
        struct bench_trace other;
        bench_trace_init(&one, &shapes[i], 20000);
        bench_trace_init(&other, &shapes[i], 20000);
        assert_int_equal(one.key_count, other.key_count);
        assert_memory_equal(one.key, other.key, 20000 * sizeof *one.key);
        assert_memory_equal(one.bytes, other.bytes, one.key_count * sizeof *one.bytes);
        bench_trace_fini(&one);
        bench_trace_fini(&other);
    }
}

static void keys_are_numbered_by_their_first_use_and_have_a_size(void **state)
{
    (void)state;
    size_t count = 0;
    const struct bench_trace_shape *shapes = bench_trace_shapes(&count);

    for (size_t i = 0; i < count; i++) {
        struct bench_trace trace;
        uint32_t seen = 0;
        uint64_t bytes = 0;
        bench_trace_init(&trace, &shapes[i], 20000);
        for (uint32_t n = 0; n < trace.request_count; n++) {
            assert_true(trace.key[n] <= seen);
            seen += trace.key[n] == seen;
        }
        assert_int_equal(seen, trace.key_count);
        for (uint32_t key = 0; key < trace.key_count; key++) {
            assert_true(trace.bytes[key] > 0 && trace.bytes[key] % shapes[i].size_step == 0);
            bytes += trace.bytes[key];
        }
        assert_true(bytes == trace.unique_bytes);
        bench_trace_fini(&trace);
    }
}

/* The part of all requests that LRU misses with room for a tenth of the keys. */
static double lru_miss_ratio(const char *name)
{
    struct bench_trace trace;
    uint32_t misses = 0;

    bench_trace_init(&trace, bench_trace_shape_find(name), 0);
    void *cache = bench_policy_lru.create(trace.key_count / 10, trace.key_count);
    for (uint32_t i = 0; i < trace.request_count; i++) {
        misses += !bench_policy_lru.access(cache, trace.key[i], 1);
    }
    bench_policy_lru.destroy(cache);
    double ratio = (double)misses / trace.request_count;
    bench_trace_fini(&trace);
    return ratio;
}

static void traces_are_as_hard_as_what_they_stand_for(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double ratio; /* of the public trace of that kind */
    } known[] = {{"web", 0.315}, {"cdn", 0.658},          {"recommender", 0.394},
                 {"orm", 0.144}, {"block_device", 0.152}, {"phases", 0.645}};

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        double ratio = lru_miss_ratio(known[i].name);
        if (ratio < known[i].ratio * 0.7 || ratio > known[i].ratio * 1.4) {
            fail_msg("%s: %.3f of requests are missed, not about %.3f", known[i].name, ratio,
                     known[i].ratio);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lru_lets_the_least_recently_used_go),
        cmocka_unit_test(a_clock_lets_a_key_that_was_hit_go_round),
        cmocka_unit_test(two_queues_keep_what_comes_back_after_it_left),
        cmocka_unit_test(s3_fifo_keeps_what_was_hit_twice_before_its_turn),
        cmocka_unit_test(a_key_larger_than_the_cache_is_admitted_by_nobody),
        cmocka_unit_test(a_loop_beats_lru_and_not_clock_pro),
        cmocka_unit_test(no_policy_hits_what_it_has_never_seen_or_has_no_room_for),
        cmocka_unit_test(every_policy_is_found_by_its_name),
        cmocka_unit_test(a_trace_is_the_same_each_time),
        cmocka_unit_test(keys_are_numbered_by_their_first_use_and_have_a_size),
        cmocka_unit_test(traces_are_as_hard_as_what_they_stand_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
