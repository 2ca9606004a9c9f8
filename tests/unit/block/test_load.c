/*
 * Loads that are shared.
 */
#include <block/cache.h> /* before the rig's `cache` */

#include "unit/block/block_rig.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include <os/os.h>

/* What a loader of this test does, and has done. */
struct source {
    _Atomic uint32_t load_count;
    _Atomic uint32_t running, most_running;
    _Atomic uint32_t failures_left; /* of the next loads */
    _Atomic uint32_t is_held;       /* loads wait while it is 1 */
    size_t bytes;
};

static struct source source;

static uint64_t number_of(const struct quarry_block_key *key)
{
    return key->file * 100 + key->offset / 4096;
}

static bool take_failure(void)
{
    uint32_t left = atomic_load_relaxed_u32(&source.failures_left);

    while (left != 0 && !atomic_cas_weak_relaxed_u32(&source.failures_left, &left, left - 1)) {
    }
    return left != 0;
}

static void note_running(void)
{
    uint32_t running = atomic_add_relaxed_u32(&source.running, 1) + 1;
    uint32_t most = atomic_load_relaxed_u32(&source.most_running);

    while (most < running && !atomic_cas_weak_relaxed_u32(&source.most_running, &most, running)) {
    }
}

static enum quarry_status load(void *argument, const struct quarry_block_key *key,
                               struct quarry_block *ret_block)
{
    enum quarry_status status = QUARRY_OK;

    assert_ptr_equal(argument, &source);
    (void)atomic_add_relaxed_u32(&source.load_count, 1);
    note_running();
    while (atomic_load_relaxed_u32(&source.is_held) != 0) {
        os_yield();
    }
    if (take_failure()) {
        status = QUARRY_IO;
    } else {
        status = quarry_block_alloc(cache, source.bytes, 0, ret_block);
    }
    if (status == QUARRY_OK) {
        block_fill(ret_block, number_of(key));
    }
    (void)atomic_sub_relaxed_u32(&source.running, 1);
    return status;
}

static enum quarry_status get(uint64_t n, struct quarry_block_tag tag)
{
    struct quarry_block_key key = key_of(n);
    struct quarry_block block = {0};
    enum quarry_status status =
        quarry_block_cache_get_or_load(cache, &key, tag, load, &source, &block);

    if (status == QUARRY_OK) {
        Q_ASSERT(block_is_right(&block, n));
        quarry_block_release(cache, &block);
    } else {
        Q_ASSERT(block.data == NULL);
    }
    return status;
}

static int set_up(void **state)
{
    memset(&source, 0, sizeof(source));
    source.bytes = 4096;
    return cache_set_up(state);
}

static int set_up_bounded(void **state)
{
    static const struct quarry_block_cache_options options = {
        .name = "block", .capacity_bytes = Q_MIB(64), .loads_max = 2};

    (void)state;
    memset(&source, 0, sizeof(source));
    source.bytes = 4096;
    cache_begin(0, &options);
    return 0;
}

static int set_up_one_at_a_time(void **state)
{
    static const struct quarry_block_cache_options options = {
        .name = "block", .capacity_bytes = Q_MIB(64), .loads_max = 1};

    (void)state;
    memset(&source, 0, sizeof(source));
    source.bytes = 4096;
    cache_begin(0, &options);
    return 0;
}

static void what_was_loaded_once_is_found_afterwards(void **state)
{
    (void)state;
    assert_int_equal(get(1, data_tag), QUARRY_OK);
    assert_int_equal(get(1, data_tag), QUARRY_OK);
    assert_int_equal(atomic_load_relaxed_u32(&source.load_count), 1);
    assert_true(is_there(1));
}

static void a_loads_error_is_its_callers_and_nothing_is_kept(void **state)
{
    (void)state;
    atomic_store_relaxed_u32(&source.failures_left, 1);
    assert_int_equal(get(1, data_tag), QUARRY_IO);
    assert_false(is_there(1));
    assert_int_equal(get(1, data_tag), QUARRY_OK);
    assert_int_equal(atomic_load_relaxed_u32(&source.load_count), 2);
}

static void what_is_too_large_to_be_admitted_is_handed_out_all_the_same(void **state)
{
    (void)state;
    source.bytes = Q_MIB(2);
    assert_int_equal(get(1, data_tag), QUARRY_OK);
    assert_false(is_there(1));
    assert_int_equal(stats_now().block_bytes, 0);
}

static void what_the_background_loads_is_not_kept(void **state)
{
    (void)state;
    assert_int_equal(get(1, background_tag), QUARRY_OK);
    assert_false(is_there(1));
    assert_int_equal(get(2, data_tag), QUARRY_OK);
    assert_int_equal(get(2, background_tag), QUARRY_OK);
    assert_int_equal(atomic_load_relaxed_u32(&source.load_count), 2);
}

static enum quarry_status load_with_index(void *argument, const struct quarry_block_key *key,
                                          struct quarry_block *ret_block)
{
    enum quarry_status status = get(number_of(key) + 1000, data_tag);

    return status == QUARRY_OK ? load(argument, key, ret_block) : status;
}

static void a_bounded_load_may_load_what_it_needs(void **state)
{
    (void)state;
    struct quarry_block_key key = key_of(1);
    struct quarry_block block = {0};

    alarm(240); /* it would wait for itself */
    assert_int_equal(
        quarry_block_cache_get_or_load(cache, &key, data_tag, load_with_index, &source, &block),
        QUARRY_OK);
    (void)alarm(0);
    quarry_block_release(cache, &block);
    assert_int_equal(atomic_load_relaxed_u32(&source.load_count), 2);
    assert_true(is_there(1) && is_there(1001));
}

/* ---- threads -------------------------------------------------------------------------------- */

#define THREADS 8u

struct reader {
    pthread_t thread;
    uint64_t n;
    struct quarry_block_tag tag;
    enum quarry_status status;
};

static struct reader readers[THREADS];

static void *read_one(void *argument)
{
    struct reader *reader = argument;

    reader->status = get(reader->n, reader->tag);
    return NULL;
}

static void readers_start(uint64_t step)
{
    for (uint32_t i = 0; i < THREADS; i++) {
        readers[i] = (struct reader){.n = i * step, .tag = data_tag};
        assert_int_equal(pthread_create(&readers[i].thread, NULL, read_one, &readers[i]), 0);
    }
}

static uint32_t readers_join(void)
{
    uint32_t failed = 0;

    for (uint32_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(readers[i].thread, NULL), 0);
        failed += readers[i].status != QUARRY_OK;
    }
    return failed;
}

/* Until so many stand in line behind another's load. */
static void wait_for_line(uint32_t count)
{
    while (atomic_load_relaxed_u32(&cache->turns_waiting) < count) {
        os_yield();
    }
}

static void of_many_who_want_a_block_one_loads_it(void **state)
{
    (void)state;
    atomic_store_relaxed_u32(&source.is_held, 1);
    readers_start(0);
    wait_for_line(THREADS - 1);
    atomic_store_relaxed_u32(&source.is_held, 0);
    assert_int_equal(readers_join(), 0);
    assert_int_equal(atomic_load_relaxed_u32(&source.load_count), 1);
    assert_int_equal(stats_now().hot_count + stats_now().cold_count, 1);
}

static void all_who_wait_get_a_block_that_is_not_admitted(void **state)
{
    (void)state;
    source.bytes = Q_MIB(2);
    atomic_store_relaxed_u32(&source.is_held, 1);
    readers_start(0);
    wait_for_line(THREADS - 1);
    atomic_store_relaxed_u32(&source.is_held, 0);
    assert_int_equal(readers_join(), 0);
    assert_int_equal(atomic_load_relaxed_u32(&source.load_count), 1);
    assert_int_equal(stats_now().block_bytes, 0);
}

static void an_error_passes_the_turn_to_one_who_waits(void **state)
{
    (void)state;
    atomic_store_relaxed_u32(&source.failures_left, 3);
    atomic_store_relaxed_u32(&source.is_held, 1);
    readers_start(0);
    wait_for_line(THREADS - 1);
    atomic_store_relaxed_u32(&source.is_held, 0);
    assert_int_equal(readers_join(), 3);
    assert_int_equal(atomic_load_relaxed_u32(&source.load_count), 4);
    assert_int_equal(atomic_load_relaxed_u32(&source.most_running), 1);
}

static void when_every_load_fails_everybody_is_told(void **state)
{
    (void)state;
    atomic_store_relaxed_u32(&source.failures_left, 1000);
    atomic_store_relaxed_u32(&source.is_held, 1);
    readers_start(0);
    wait_for_line(THREADS - 1);
    atomic_store_relaxed_u32(&source.is_held, 0);
    assert_int_equal(readers_join(), THREADS);
    assert_int_equal(atomic_load_relaxed_u32(&source.load_count), THREADS);
}

static void loads_of_different_keys_are_bounded(void **state)
{
    (void)state;
    atomic_store_relaxed_u32(&source.is_held, 1);
    readers_start(1);
    while (atomic_load_relaxed_u32(&cache->loads_waiting) < THREADS - 2 ||
           atomic_load_relaxed_u32(&source.running) < 2) {
        os_yield();
    }
    assert_int_equal(atomic_load_relaxed_u32(&source.running), 2);
    atomic_store_relaxed_u32(&source.is_held, 0);
    assert_int_equal(readers_join(), 0);
    assert_int_equal(atomic_load_relaxed_u32(&source.load_count), THREADS);
    assert_int_equal(atomic_load_relaxed_u32(&source.most_running), 2);
}

/* What a foreground reader waits for is kept, whoever loads it. */
static void a_block_that_the_background_loads_for_others_is_kept(void **state)
{
    (void)state;
    atomic_store_relaxed_u32(&source.is_held, 1);
    readers[0] = (struct reader){.n = 5, .tag = background_tag};
    readers[1] = (struct reader){.n = 5, .tag = data_tag};
    assert_int_equal(pthread_create(&readers[0].thread, NULL, read_one, &readers[0]), 0);
    while (atomic_load_relaxed_u32(&source.running) == 0) {
        os_yield();
    }
    assert_int_equal(pthread_create(&readers[1].thread, NULL, read_one, &readers[1]), 0);
    wait_for_line(1);
    atomic_store_relaxed_u32(&source.is_held, 0);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(readers[i].thread, NULL), 0);
        assert_int_equal(readers[i].status, QUARRY_OK);
    }
    assert_int_equal(atomic_load_relaxed_u32(&source.load_count), 1);
    assert_true(is_there(5));
}

/* ---- a storm -------------------------------------------------------------------------------- */

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define STORM_LOOKUPS 2000u
#else
#define STORM_LOOKUPS 20000u
#endif

static void *storm(void *argument)
{
    uint64_t random = (uintptr_t)argument;
    uint64_t failed = 0;

    for (uint32_t i = 0; i < STORM_LOOKUPS; i++) {
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
        uint64_t n = (random >> 33) % 400;
        if ((random >> 40) % 64 == 0) {
            atomic_store_relaxed_u32(&source.failures_left, 2);
        }
        failed += get(n, n % 8 == 0 ? background_tag : data_tag) != QUARRY_OK;
    }
    return (void *)(uintptr_t)failed;
}

static void readers_of_what_does_not_fit_always_get_what_they_want(void **state)
{
    (void)state;
    pthread_t threads[THREADS];

    for (uintptr_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, storm, (void *)(i + 1)), 0);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    struct quarry_block_stats stats = stats_now();
    assert_int_equal(stats.block_bytes, stats.hot_bytes + stats.cold_bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_loaded_once_is_found_afterwards, set_up,
                                        cache_tear_down),
        cmocka_unit_test_setup_teardown(a_loads_error_is_its_callers_and_nothing_is_kept, set_up,
                                        cache_tear_down),
        cmocka_unit_test_setup_teardown(what_is_too_large_to_be_admitted_is_handed_out_all_the_same,
                                        set_up, cache_tear_down),
        cmocka_unit_test_setup_teardown(what_the_background_loads_is_not_kept, set_up,
                                        cache_tear_down),
        cmocka_unit_test_setup_teardown(a_bounded_load_may_load_what_it_needs, set_up_one_at_a_time,
                                        cache_tear_down),
        cmocka_unit_test_setup_teardown(of_many_who_want_a_block_one_loads_it, set_up,
                                        cache_tear_down),
        cmocka_unit_test_setup_teardown(all_who_wait_get_a_block_that_is_not_admitted, set_up,
                                        cache_tear_down),
        cmocka_unit_test_setup_teardown(an_error_passes_the_turn_to_one_who_waits, set_up,
                                        cache_tear_down),
        cmocka_unit_test_setup_teardown(when_every_load_fails_everybody_is_told, set_up,
                                        cache_tear_down),
        cmocka_unit_test_setup_teardown(loads_of_different_keys_are_bounded, set_up_bounded,
                                        cache_tear_down),
        cmocka_unit_test_setup_teardown(a_block_that_the_background_loads_for_others_is_kept,
                                        set_up, cache_tear_down),
        cmocka_unit_test_setup_teardown(readers_of_what_does_not_fit_always_get_what_they_want,
                                        set_up, cache_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
