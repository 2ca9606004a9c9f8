/*
 * A reader that stands still: its thread has lost the processor inside the epoch, and nothing that
 * goes becomes free. What is evicted and emptied meanwhile is for nothing, so it is bounded.
 */
#include "unit/cache/policy_rig.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>

#define SIZE  Q_MIB(32)
#define ITEMS 30000u
#define TURNS 2000u

static sem_t is_inside, may_leave;
static _Atomic uint32_t is_over;

static void *stand_still(void *argument)
{
    (void)argument;
    quarry_epoch_enter(cache->epoch);
    (void)sem_post(&is_inside);
    while (sem_wait(&may_leave) != 0) {
    }
    quarry_epoch_leave(cache->epoch);
    return NULL;
}

static void fill(uint64_t first, uint64_t count, size_t bytes)
{
    for (uint64_t n = first; n < first + count; n++) {
        assert_int_equal(put(n, bytes), QUARRY_CACHE_HIT);
        if (n % 16 == 0) {
            (void)quarry_cache_turn(cache);
        }
    }
}

/* Of another size than what is there: a page has to be emptied for it. */
static void *store_another(void *argument)
{
    enum quarry_cache_outcome outcome = put(1000000, 5000);

    atomic_store_release_u32(&is_over, 1);
    return outcome == QUARRY_CACHE_HIT ? argument : NULL;
}

static bool somebody_waits(void)
{
    return atomic_load_relaxed_u32(&cache->policy->need.waiting_count) != 0;
}

static void what_cannot_become_free_is_not_evicted(void **state)
{
    (void)state;
    pthread_t reader, writer;
    static char argument;
    void *stored = NULL;

    policy_begin(&(struct policy_setup){.size_bytes = SIZE});
    fill(0, ITEMS, 2000);
    uint64_t before = stats_now().item_count;
    assert_int_equal(pthread_create(&reader, NULL, stand_still, NULL), 0);
    (void)sem_wait(&is_inside);
    assert_int_equal(pthread_create(&writer, NULL, store_another, &argument), 0);
    while (!somebody_waits() && atomic_load_acquire_u32(&is_over) == 0) {
        (void)sched_yield();
    }
    for (uint32_t i = 0; i < TURNS; i++) {
        (void)quarry_cache_turn(cache);
    }
    uint64_t after = stats_now().item_count;
    (void)sem_post(&may_leave);
    while (atomic_load_acquire_u32(&is_over) == 0) {
        (void)quarry_cache_turn(cache);
    }
    assert_int_equal(pthread_join(writer, &stored), 0);
    assert_int_equal(pthread_join(reader, NULL), 0);
    assert_non_null(stored);
    /* 4 MiB for the set, and some pages ahead: an eighth and a bit of the cache. */
    assert_true(after > before / 4 * 3);
    policy_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_cannot_become_free_is_not_evicted),
    };

    (void)sem_init(&is_inside, 0, 0);
    (void)sem_init(&may_leave, 0, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
