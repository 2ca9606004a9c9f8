/*
 * Many threads in a cache that is always full: sizes shift, items expire, pages move, the size
 * changes, others want memory. No set fails, and what is read is right.
 */
#include <pthread.h>

#include "unit/cache/policy_rig.h"

#include "unit/base/random.h"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define STEPS 6000u
#else
#define STEPS 40000u
#endif
#define THREADS 4u
#define KEYS    60000u

static struct quarry_cache_tenant *tenants[2];
static _Atomic uint32_t is_over;
static _Atomic uint64_t hits, refused;

/* The sizes of a phase: small, middling, large, of all kinds. */
static size_t size_at(uint64_t random, uint32_t phase)
{
    switch (phase % 4) {
    case 0:
        return 16 + random % 100;
    case 1:
        return 500 + random % 3000;
    case 2:
        return random % 8 == 0 ? 100000 + random % 300000 : 40 + random % 200;
    default:
        return 10 + ((size_t)1 << (random % 17));
    }
}

static void step(uint64_t *random, uint32_t phase)
{
    struct quarry_cache_tenant *of = tenants[random_u64(random) % 2];
    uint64_t n = random_u64(random) % KEYS * (1 + random_u64(random) % 3);
    uint32_t expiry = random_u64(random) % 4 == 0 ? quarry_cache_now(cache) + 1 : 0;

    if (random_u64(random) % 2 == 0) {
        (void)atomic_add_relaxed_u64(&hits, get_from(of, n));
    } else {
        /* An assertion of cmocka's would jump out of a thread that is not its own. */
        if (put_to(of, n, size_at(random_u64(random), phase), expiry) != QUARRY_CACHE_HIT) {
            (void)atomic_add_relaxed_u64(&refused, 1);
        }
    }
}

static void *work(void *argument)
{
    uint64_t random = (uint64_t)(uintptr_t)argument;

    for (uint32_t i = 0; i < STEPS; i++) {
        step(&random, i / (STEPS / 8));
    }
    return NULL;
}

/* Stands for the cache's thread, whose clock the simulated machine does not move. */
static void *turn(void *argument)
{
    (void)argument;
    for (uint32_t i = 0; atomic_load_acquire_u32(&is_over) == 0; i++) {
        if (!quarry_cache_turn(cache)) {
            os_yield();
        }
        if (i % 500 == 0) {
            quarry_cache_shift_clock(cache, 1);
        }
    }
    return NULL;
}

static void no_set_fails_and_nothing_is_read_wrong(void **state)
{
    pthread_t threads[THREADS], turner;

    (void)state;
    policy_begin(&(struct policy_setup){.size_bytes = Q_MIB(24), .limit_bytes = Q_MIB(64)});
    tenants[0] = tenant;
    tenants[1] = policy_tenant("second", Q_MIB(10), 0);
    atomic_store_release_u32(&is_over, 0);
    assert_int_equal(pthread_create(&turner, NULL, turn, NULL), 0);
    for (uintptr_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, work, (void *)(i + 1)), 0);
    }
    assert_int_equal(quarry_cache_set_size(cache, Q_MIB(16)), QUARRY_OK);
    for (uint32_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    atomic_store_release_u32(&is_over, 1);
    assert_int_equal(pthread_join(turner, NULL), 0);
    (void)turn_all();
    assert_true(atomic_load_relaxed_u64(&hits) > 0);
    assert_int_equal(atomic_load_relaxed_u64(&refused), 0);
    assert_true(stats_now().charged_bytes <= Q_MIB(16));
    assert_true(stats_of(tenants[1]).item_bytes <= Q_MIB(11));
    assert_true(atomic_load_relaxed_u32(&cache->policy->work_max) <= CACHE_TURN_WORK);
    policy_end();
}

/* ---- a limit that moves ---------------------------------------------------------------------- */

#define LIMITS 60u

static _Atomic uint64_t above_limit_count;

static struct quarry_memory *memory_of_heap(void)
{
    return (struct quarry_memory *)(void *)heap;
}

/* Lowers and raises the limit of the memory, and looks what is committed. */
static void *move_limit(void *argument)
{
    struct quarry_ledger ledger;

    (void)argument;
    for (uint32_t i = 0; i < LIMITS; i++) {
        /* A limit that is not reached in time stays above the one that was asked for. */
        (void)quarry_memory_set_limit(memory_of_heap(), i % 2 == 0 ? Q_MIB(24) : Q_MIB(64));
        for (uint32_t look = 0; look < 100; look++) {
            (void)quarry_memory_ledger(memory_of_heap(), &ledger, NULL, 0);
            if (ledger.committed_bytes > ledger.limit_bytes) {
                (void)atomic_add_relaxed_u64(&above_limit_count, 1);
            }
            os_yield();
        }
    }
    return NULL;
}

static void no_set_fails_while_the_limit_of_the_memory_moves(void **state)
{
    pthread_t threads[THREADS], turner, mover;
    struct quarry_ledger ledger;

    (void)state;
    policy_begin(&(struct policy_setup){.size_bytes = Q_MIB(48), .limit_bytes = Q_MIB(64)});
    tenants[0] = tenant;
    tenants[1] = policy_tenant("second", 0, 0);
    atomic_store_release_u32(&is_over, 0);
    atomic_store_relaxed_u64(&refused, 0);
    assert_int_equal(pthread_create(&turner, NULL, turn, NULL), 0);
    assert_int_equal(pthread_create(&mover, NULL, move_limit, NULL), 0);
    for (uintptr_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, work, (void *)(i + 1)), 0);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(pthread_join(mover, NULL), 0);
    atomic_store_release_u32(&is_over, 1);
    assert_int_equal(pthread_join(turner, NULL), 0);
    assert_int_equal(atomic_load_relaxed_u64(&refused), 0);
    assert_int_equal(atomic_load_relaxed_u64(&above_limit_count), 0);
    assert_int_equal(quarry_memory_set_limit(memory_of_heap(), Q_MIB(24)), QUARRY_OK);
    (void)quarry_memory_ledger(memory_of_heap(), &ledger, NULL, 0);
    assert_true(ledger.committed_bytes <= Q_MIB(24));
    assert_true(stats_now().item_count > 0);
    policy_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_set_fails_and_nothing_is_read_wrong),
        cmocka_unit_test(no_set_fails_while_the_limit_of_the_memory_moves),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
