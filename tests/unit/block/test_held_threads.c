/*
 * What a cache holds while several threads make blocks of other sizes all the time: what each is
 * allowed counts for all, before it is charged.
 */
/* First: parameters of its inline functions have the name of the cache under test. */
#include <block/cache.h>

#include "unit/block/block_rig.h"

#include <pthread.h>

#define CAPACITY Q_MIB(24)
#define THREADS  4u
#define STEPS    1200u
#define PHASES   6u

static const struct quarry_block_cache_options options_churn = {.name = "block",
                                                                .capacity_bytes = CAPACITY};
static const uint32_t phase_bytes[PHASES] = {4096, 16384, 1024, 65536, 8192, 2048};

/* As include/quarry/block.h says; and what threads have in their hands while nothing is left. */
static uint64_t held_max(void)
{
    return CAPACITY + CAPACITY / 64 + Q_MIB(1) + cache->fixed_bytes + THREADS * Q_KIB(640);
}

struct worker {
    pthread_t thread;
    uint32_t number;
    uint64_t held_most;
};

static void *work(void *argument)
{
    struct worker *worker = argument;
    uint64_t first = worker->number * UINT64_C(10000000);

    for (uint64_t n = first; n < first + STEPS; n++) {
        uint32_t mean = phase_bytes[(worker->number + n / (STEPS / 4)) % PHASES];
        assert_int_equal(enter(n, mean / 2 + n * UINT64_C(2654435761) % mean), QUARRY_OK);
        (void)is_there(first + n % 64);
        worker->held_most = size_max_u64(worker->held_most, block_cache_charged_bytes(cache));
    }
    return NULL;
}

static void threads_stay_within_the_capacity_together(void **state)
{
    (void)state;
    struct worker workers[THREADS] = {0};

    cache_begin(0, &options_churn);
    for (uint32_t i = 0; i < THREADS; i++) {
        workers[i].number = i;
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
        assert_true(workers[i].held_most <= held_max());
    }
    assert_int_equal(atomic_load_relaxed_u64(&cache->growing_bytes), 0);
    assert_true(block_cache_charged_bytes(cache) <= held_max());
    assert_true(block_cache_charged_bytes(cache) > CAPACITY / 2);
    cache_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_stay_within_the_capacity_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
