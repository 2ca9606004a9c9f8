/* Many threads at once on one heap: what one of them does never shows in another's pages. */
#include "../os/cmocka_all.h"

#include "../base/random.h"
#include "heap_storm.h"

/* How long a storm lasts at least: some thousand turns of the slowest role under TSan. */
#define STORM_NS (800 * Q_MS_NS)

static void run_storm(storm_role *const *roles, size_t role_count)
{
    struct storm storm;

    storm_open(&storm, Q_MIB(256));
    for (size_t i = 0; i < role_count; i++) {
        storm_start(&storm, roles[i]);
    }
    os_sleep_ns(STORM_NS);
    while (atomic_load_relaxed_u64(&storm.step_count) == 0) {
        os_yield();
    }
    storm_stop(&storm);
    (void)storm_check(&storm);
    storm_close(&storm);
}

#define RUN_STORM(...)                                                                             \
    run_storm((storm_role *const[]){__VA_ARGS__},                                                  \
              sizeof((storm_role *const[]){__VA_ARGS__}) / sizeof(storm_role *))

static void threads_free_what_others_have_taken(void **state)
{
    (void)state;
    RUN_STORM(storm_allocate, storm_allocate, storm_allocate, storm_allocate);
}

static void pages_go_back_while_threads_take_and_free_them(void **state)
{
    (void)state;
    RUN_STORM(storm_allocate, storm_allocate, storm_trim, storm_trim);
}

static void the_limit_moves_while_threads_allocate(void **state)
{
    (void)state;
    RUN_STORM(storm_allocate, storm_allocate, storm_change_limit);
}

static void lanes_begin_and_end_while_the_ledger_is_read(void **state)
{
    (void)state;
    RUN_STORM(storm_allocate, storm_begin_and_end_lanes, storm_read_ledger);
}

/* Lanes that are never used: what comes and goes is their metadata. */
static void create_and_destroy_lanes(struct storm *storm, uint64_t *random)
{
    char name[] = {'n', (char)('0' + *random / 1000 % 10), '\0'};
    struct page_lane_options options = {.name = name, .reserved_bytes = Q_GIB(1)};

    while (!storm_is_stopping(storm)) {
        struct page_lane *lane;
        enum quarry_status status = page_lane_create(storm->heap, &options, &lane, NULL);
        Q_ASSERT(status == QUARRY_OK);
        page_lane_destroy(lane);
        (void)atomic_add_relaxed_u64(&storm->step_count, 1);
    }
}

static void metadata_comes_and_goes_while_the_ledger_is_read(void **state)
{
    (void)state;
    RUN_STORM(create_and_destroy_lanes, create_and_destroy_lanes, create_and_destroy_lanes,
              storm_read_ledger, storm_read_ledger, storm_read_ledger);
}

static void lanes_begin_and_end_while_the_heap_is_validated(void **state)
{
    (void)state;
    RUN_STORM(storm_allocate, storm_begin_and_end_lanes, storm_validate, storm_trim);
}

static void everything_happens_at_once(void **state)
{
    (void)state;
    RUN_STORM(storm_allocate, storm_allocate, storm_trim, storm_change_limit,
              storm_begin_and_end_lanes, storm_read_ledger, storm_validate);
}

/* ---- threads that come and go --------------------------------------------------------------- */

static void *live_briefly(void *argument)
{
    struct storm *storm = argument;
    uint64_t random = os_thread_id();

    for (uint32_t i = 0; i < 50; i++) {
        storm_step(storm, &random);
    }
    return NULL;
}

#define CHURN_THREADS 2000u
#define CHURN_AT_ONCE 8u

static void two_thousand_threads_come_and_go(void **state)
{
    struct storm storm;
    pthread_t thread[CHURN_AT_ONCE];
    (void)state;

    storm_open(&storm, Q_MIB(256));
    storm_start(&storm, storm_trim);
    storm_start(&storm, storm_read_ledger);
    for (uint32_t i = 0; i < CHURN_THREADS; i += CHURN_AT_ONCE) {
        for (uint32_t j = 0; j < CHURN_AT_ONCE; j++) {
            assert_int_equal(pthread_create(&thread[j], NULL, live_briefly, &storm), 0);
        }
        for (uint32_t j = 0; j < CHURN_AT_ONCE; j++) {
            assert_int_equal(pthread_join(thread[j], NULL), 0);
        }
    }
    storm_stop(&storm);
    struct quarry_ledger totals = storm_check(&storm);
    /* Nobody is left to have a cache, and what the dead had is used again by the next. */
    assert_int_equal(totals.cached_bytes, 0);
    assert_true(totals.metadata_bytes < Q_MIB(4));
    storm_close(&storm);
}

/* ---- trimming ends -------------------------------------------------------------------------- */

static void trimming_ends_although_others_go_on_freeing(void **state)
{
    struct storm storm;
    (void)state;

    storm_open(&storm, Q_MIB(256));
    for (uint32_t i = 0; i < 4; i++) {
        storm_start(&storm, storm_allocate);
    }
    for (uint32_t i = 0; i < 100; i++) {
        /* No more than there can be: what falls free later is for the next. */
        assert_true(page_heap_trim(storm.heap) <= Q_MIB(256) + PAGE_CHUNK_BYTES);
    }
    storm_stop(&storm);
    storm_close(&storm);
}

/* ---- the handshake -------------------------------------------------------------------------- */

#define HAMMER_PAGES 8u

struct hammer {
    struct page_heap *heap;
    struct page_lane *lane;
    uint32_t owner;
    _Atomic uint32_t is_stopping;
    _Atomic uint64_t pair_count; /* they tell it now and then */
};

#define HAMMER_TELLS 256u

/* Pairs of every kind that the fast path has, as fast as they go. */
static void *hammer_cache(void *argument)
{
    struct hammer *hammer = argument;
    uint64_t random = os_thread_id(), pair_count = 0;

    while (atomic_load_relaxed_u32(&hammer->is_stopping) == 0) {
        char *run[HAMMER_PAGES];
        uint64_t page_count = random_u64(&random) % 8 == 0 ? 20 : 1;
        for (uint32_t i = 0; i < HAMMER_PAGES; i++) {
            run[i] = page_alloc(hammer->lane, hammer->owner, page_count).base;
            Q_ASSERT(run[i] != NULL);
            *(uint64_t *)(void *)run[i] = (uintptr_t)&run[i] + pair_count;
        }
        for (uint32_t i = 0; i < HAMMER_PAGES; i++) {
            Q_ASSERT(*(uint64_t *)(void *)run[i] == (uintptr_t)&run[i] + pair_count);
            page_free(hammer->lane, run[i]);
        }
        pair_count += HAMMER_PAGES;
        if (pair_count % HAMMER_TELLS == 0) {
            (void)atomic_add_relaxed_u64(&hammer->pair_count, HAMMER_TELLS);
        }
    }
    return NULL;
}

/* Without a fence on the owner's side where the kernel has membarrier; with one elsewhere. */
static void caches_are_stopped_and_flushed_in_the_middle_of_their_owners_pairs(void **state)
{
    struct page_heap_options options = {
        .limit_bytes = Q_MIB(64), .reserved_bytes = Q_GIB(1), .has_no_thread = true};
    struct page_lane_options lane_options = {.name = "hammered", .reserved_bytes = Q_GIB(1)};
    struct hammer hammer = {0};
    pthread_t owner[2];
    (void)state;

    assert_int_equal(page_heap_create(&options, &hammer.heap, NULL), QUARRY_OK);
    assert_int_equal(page_lane_create(hammer.heap, &lane_options, &hammer.lane, NULL), QUARRY_OK);
    assert_int_equal(page_ledger_register(&hammer.heap->ledger, "hammer", &hammer.owner),
                     QUARRY_OK);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&owner[i], NULL, hammer_cache, &hammer), 0);
    }
    uint64_t end_ns = os_monotonic_ns(os_real()) + Q_SECOND_NS;
    for (uint32_t i = 0;
         os_monotonic_ns(os_real()) < end_ns || atomic_load_relaxed_u64(&hammer.pair_count) <= 1000;
         i++) {
        struct quarry_ledger totals;
        page_caches_flush_all(hammer.heap);
        page_caches_flush_idle(hammer.heap);
        (void)page_heap_ledger(hammer.heap, &totals, NULL, 0);
        assert_true(totals.in_use_bytes <= 2 * HAMMER_PAGES * 20 * PAGE_BYTES);
        if (i % 64 == 0) {
            assert_int_equal(page_heap_validate(hammer.heap, NULL), QUARRY_OK);
        }
    }
    atomic_store_relaxed_u32(&hammer.is_stopping, 1);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(owner[i], NULL), 0);
    }
    /* Every page is back, and counted once. */
    assert_int_equal(hammer.lane->tree.free_pages, hammer.lane->tree.total_pages);
    struct quarry_ledger totals;
    assert_int_equal(page_heap_ledger(hammer.heap, &totals, NULL, 0), 0);
    assert_int_equal(totals.in_flight_bytes + totals.cached_bytes + totals.in_use_bytes, 0);
    assert_int_equal(page_heap_validate(hammer.heap, NULL), QUARRY_OK);
    page_heap_destroy(hammer.heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_free_what_others_have_taken),
        cmocka_unit_test(pages_go_back_while_threads_take_and_free_them),
        cmocka_unit_test(the_limit_moves_while_threads_allocate),
        cmocka_unit_test(lanes_begin_and_end_while_the_ledger_is_read),
        cmocka_unit_test(metadata_comes_and_goes_while_the_ledger_is_read),
        cmocka_unit_test(lanes_begin_and_end_while_the_heap_is_validated),
        cmocka_unit_test(everything_happens_at_once),
        cmocka_unit_test(two_thousand_threads_come_and_go),
        cmocka_unit_test(trimming_ends_although_others_go_on_freeing),
        cmocka_unit_test(caches_are_stopped_and_flushed_in_the_middle_of_their_owners_pairs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
