/*
 * Forking while threads do everything to the heap: the child finds all of it whole, and can go on
 * alone. A child reports by its exit code: cmocka belongs to the parent.
 */
#include "../os/cmocka_all.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/wait.h>

#include "../base/random.h"
#include "../base/rounds.h"
#include "heap_storm.h"

/* TSan follows a child of a process with threads when told to (die_after_fork=0, in the
   CMakeLists.txt), but starts no thread in it. */
#if defined(__SANITIZE_THREAD__)
#define CAN_CHILD_START_THREADS false
#else
#define CAN_CHILD_START_THREADS true
#endif

/* A child that hangs is ended by SIGALRM, which fails the test. */
#define CHILD_SECONDS 240u

#define OWN_RUNS 32u

/* In each storm. */
#define FORKS ROUNDS(100, 30)

/* Runs of the thread that forks; a child has them as well. */
struct own_runs {
    char *base[OWN_RUNS];
};

static void own_runs_take(struct own_runs *own, struct storm *storm)
{
    for (uint32_t i = 0; i < OWN_RUNS; i++) {
        struct page_run run = page_alloc(storm->lane[i % STORM_LANES], storm->owner[0], 1 + i % 5);
        own->base[i] = run.base;
        if (run.base != NULL) {
            memset(run.base, (int)i + 1, PAGE_BYTES);
        }
    }
}

static void own_runs_check_and_free(struct own_runs *own, struct storm *storm)
{
    for (uint32_t i = 0; i < OWN_RUNS; i++) {
        if (own->base[i] == NULL) {
            continue;
        }
        for (uint32_t byte = 0; byte < PAGE_BYTES; byte++) {
            Q_ASSERT(own->base[i][byte] == (char)(i + 1));
        }
        page_free(storm->lane[i % STORM_LANES], own->base[i]);
        own->base[i] = NULL;
    }
}

/* Everything that a child can still do, right after the fork. */
static void check_child(struct storm *storm, struct own_runs *own)
{
    struct quarry_ledger totals;
    uint64_t random = (uint64_t)getpid();

    /* The parent's threads are gone: nobody can have anything in flight. */
    storm->thread_count = 0;
    (void)page_heap_ledger(storm->heap, &totals, NULL, 0);
    Q_ASSERT(totals.in_flight_bytes == 0);
    totals = storm_check(storm);
    own_runs_check_and_free(own, storm);
    for (uint32_t i = 0; i < 200; i++) {
        storm_step(storm, &random);
    }
    /* Runs of threads that no longer exist can be freed like all others. */
    storm_free_slots(storm);
    (void)page_heap_trim(storm->heap);
    totals = storm_check(storm);
    Q_ASSERT(totals.cached_bytes == 0);
    Q_ASSERT(totals.free_backed_bytes == 0);
}

static void check_scavenger_restarts(struct storm *storm)
{
    struct page_run run = page_lane_alloc(storm->lane[0], storm->owner[0], 1, 1);

    Q_ASSERT(run.base != NULL);
    page_lane_free(storm->lane[0], run.base);
    Q_ASSERT(atomic_load_relaxed_u32(&storm->heap->scavenger.state) == PAGE_SCAVENGER_RUNNING);
}

static void wait_for(pid_t child)
{
    int how = 0;

    assert_true(child > 0);
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFEXITED(how));
    assert_int_equal(WEXITSTATUS(how), 0);
}

/* Forks, has the child run `check`, and waits for it. */
static void fork_and(void (*check)(struct storm *, struct own_runs *), struct storm *storm,
                     struct own_runs *own)
{
    pid_t child = fork();

    if (child == 0) {
        (void)alarm(CHILD_SECONDS);
        check(storm, own);
        _exit(0);
    }
    wait_for(child);
}

static void check_all(struct storm *storm, struct own_runs *own)
{
    check_child(storm, own);
    check_scavenger_restarts(storm);
}

/* ---- under a storm -------------------------------------------------------------------------- */

static void fork_in_a_storm(storm_role *const roles[4], uint32_t fork_count)
{
    struct storm storm;
    struct own_runs own;

    storm_open(&storm, Q_MIB(256));
    for (size_t i = 0; i < 4; i++) {
        storm_start(&storm, roles[i]);
    }
    for (uint32_t i = 0; i < fork_count; i++) {
        own_runs_take(&own, &storm);
        fork_and(check_all, &storm, &own);
        own_runs_check_and_free(&own, &storm);
    }
    storm_stop(&storm);
    storm_close(&storm);
}

static void children_of_threads_that_allocate_find_the_heap_whole(void **state)
{
    storm_role *const roles[] = {storm_allocate, storm_allocate, storm_allocate,
                                 storm_change_limit};
    (void)state;
    fork_in_a_storm(roles, FORKS);
}

/* Two threads give pages back without a pause: at most forks a piece is in flight. */
static void children_of_threads_that_scavenge_find_the_heap_whole(void **state)
{
    storm_role *const roles[] = {storm_allocate, storm_allocate, storm_trim, storm_trim};
    (void)state;
    fork_in_a_storm(roles, FORKS);
}

static void children_of_threads_that_end_lanes_find_the_heap_whole(void **state)
{
    storm_role *const roles[] = {storm_allocate, storm_begin_and_end_lanes, storm_trim,
                                 storm_read_ledger};
    (void)state;
    fork_in_a_storm(roles, FORKS);
}

/* ---- generations of processes --------------------------------------------------------------- */

static void check_grandchild(struct storm *storm, struct own_runs *own)
{
    pid_t child;

    check_scavenger_restarts(storm);
    child = fork();
    if (child == 0) {
        check_all(storm, own);
        _exit(0);
    }
    int how = 0;
    Q_ASSERT(child > 0 && waitpid(child, &how, 0) == child);
    Q_ASSERT(WIFEXITED(how) && WEXITSTATUS(how) == 0);
    check_all(storm, own);
}

static void a_child_of_a_child_finds_the_heap_whole(void **state)
{
    struct storm storm;
    struct own_runs own;
    (void)state;

    storm_open(&storm, Q_MIB(256));
    storm_start(&storm, storm_allocate);
    storm_start(&storm, storm_trim);
    for (uint32_t i = 0; i < 20; i++) {
        own_runs_take(&own, &storm);
        fork_and(check_grandchild, &storm, &own);
        own_runs_check_and_free(&own, &storm);
    }
    storm_stop(&storm);
    storm_close(&storm);
}

static void check_threads_and_end(struct storm *storm, struct own_runs *own)
{
    storm->thread_count = 0;
    own_runs_check_and_free(own, storm);
    storm_start(storm, storm_allocate);
    storm_start(storm, storm_trim);
    os_sleep_ns(20 * Q_MS_NS);
    storm_stop(storm);
    storm_close(storm);
}

static void a_child_starts_threads_of_its_own_and_destroys_the_heap(void **state)
{
    struct storm storm;
    struct own_runs own;
    (void)state;
    if (!CAN_CHILD_START_THREADS) {
        skip();
    }

    storm_open(&storm, Q_MIB(256));
    for (uint32_t i = 0; i < 20; i++) {
        own_runs_take(&own, &storm);
        fork_and(check_threads_and_end, &storm, &own);
        own_runs_check_and_free(&own, &storm);
    }
    storm_close(&storm);
}

/* ---- what a thread was doing ---------------------------------------------------------------- */

/* Memory that falls free in the child goes back by itself. */
static void check_scavenger_works(struct storm *storm, struct own_runs *own)
{
    struct page_run run = page_lane_alloc(storm->lane[0], storm->owner[0], 4096, 1);

    own_runs_check_and_free(own, storm);
    Q_ASSERT(run.base != NULL);
    page_lane_free(storm->lane[0], run.base);
    while (page_scavenger_retained_bytes(storm->heap) > Q_MIB(8)) {
        os_sleep_ns(10 * Q_MS_NS); /* SIGALRM ends it */
    }
}

static void the_scavenger_of_a_child_works(void **state)
{
    struct storm storm;
    struct own_runs own;
    (void)state;

    storm_open(&storm, Q_MIB(256));
    own_runs_take(&own, &storm);
    fork_and(check_scavenger_works, &storm, &own);
    own_runs_check_and_free(&own, &storm);
    storm_close(&storm);
}

/* A thread that ends a lane waits here for a piece in flight that never lands. */
static void check_ending_lane_is_scavenged(struct storm *storm, struct own_runs *own)
{
    own_runs_check_and_free(own, storm);
    page_lane_free(storm->lane[0], page_lane_alloc(storm->lane[0], storm->owner[0], 512, 1).base);
    Q_ASSERT(page_heap_trim(storm->heap) >= PAGE_CHUNK_BYTES);
}

static void a_lane_that_was_ending_at_the_fork_is_scavenged_in_the_child(void **state)
{
    struct storm storm;
    struct own_runs own;
    (void)state;

    storm_open(&storm, Q_MIB(256));
    own_runs_take(&own, &storm);
    os_mutex_lock(&storm.lane[0]->mutex);
    storm.lane[0]->is_ending = true;
    os_mutex_unlock(&storm.lane[0]->mutex);
    fork_and(check_ending_lane_is_scavenged, &storm, &own);
    os_mutex_lock(&storm.lane[0]->mutex);
    storm.lane[0]->is_ending = false;
    os_mutex_unlock(&storm.lane[0]->mutex);
    own_runs_check_and_free(&own, &storm);
    storm_close(&storm);
}

/* A reclaimer that forks: in the child it returns like in the parent. */
static uint64_t reclaim_by_forking(void *argument, uint64_t wanted_bytes)
{
    (void)wanted_bytes;
    *(pid_t *)argument = fork();
    if (*(pid_t *)argument == 0) {
        (void)alarm(CHILD_SECONDS);
    }
    return 0;
}

static void a_reclaimer_that_forks_can_be_removed_in_the_child(void **state)
{
    struct storm storm;
    pid_t child = -1;
    (void)state;
    if (!CAN_CHILD_START_THREADS) {
        skip();
    }

    storm_open(&storm, Q_MIB(64));
    assert_int_equal(page_heap_add_reclaimer(storm.heap, 1, reclaim_by_forking, &child), QUARRY_OK);
    char *run = page_lane_alloc(storm.lane[0], storm.owner[0], Q_MIB(40) >> PAGE_SHIFT, 1).base;
    Q_ASSERT(run != NULL);
    Q_ASSERT(page_lane_alloc(storm.lane[1], storm.owner[0], Q_MIB(40) >> PAGE_SHIFT, 1).base ==
             NULL);
    page_heap_remove_reclaimer(storm.heap, reclaim_by_forking, &child);
    page_lane_free(storm.lane[0], run);
    storm_close(&storm);
    if (child == 0) {
        _exit(0);
    }
    wait_for(child);
}

/* ---- files behind lanes --------------------------------------------------------------------- */

/* What the child of a process with a file-backed lane does to it: all that it can. */
static int abuse_lane(struct page_heap *heap, struct page_lane *lane, uint32_t owner, char *kept,
                      char *freed)
{
    struct quarry_error error;

    Q_ASSERT(kept[0] == 'k' && freed[0] == 'f');
    page_free(lane, freed);
    Q_ASSERT(page_alloc(lane, owner, 1).status == QUARRY_BUSY);
    Q_ASSERT(page_lane_alloc(lane, owner, 1000, 1).status == QUARRY_BUSY);
    Q_ASSERT(page_lane_resize(lane, kept, 9) == QUARRY_BUSY);
    (void)page_heap_trim(heap);
    Q_ASSERT(page_heap_validate(heap, &error) == QUARRY_OK);
    page_lane_end(lane);
    page_heap_destroy(heap);
    return 0;
}

static void a_child_does_nothing_to_the_file_behind_a_lane(void **state)
{
    (void)state;
    char path[] = "/tmp/quarry-fork-XXXXXX";
    struct page_heap_options options = {.limit_bytes = Q_MIB(64), .has_no_thread = true};
    struct page_lane_options lane_options = {.name = "file", .file_path = path};
    struct quarry_error error = {0};
    struct page_heap *heap;
    struct page_lane *lane;
    uint32_t owner;

    close(mkstemp(path));
    assert_int_equal(page_heap_create(&options, &heap, &error), QUARRY_OK);
    assert_int_equal(page_ledger_register(&heap->ledger, "test", &owner), QUARRY_OK);
    assert_int_equal(page_lane_create(heap, &lane_options, &lane, &error), QUARRY_OK);
    char *kept = page_alloc(lane, owner, 8).base, *freed = page_alloc(lane, owner, 700).base;
    char *cached = page_alloc(lane, owner, 3).base;
    memset(kept, 'k', 8 * PAGE_BYTES);
    memset(freed, 'f', 700 * PAGE_BYTES);
    page_free(lane, cached); /* in the cache of the thread that forks */
    pid_t child = fork();
    if (child == 0) {
        alarm(CHILD_SECONDS);
        _exit(abuse_lane(heap, lane, owner, kept, freed));
    }
    wait_for(child);
    assert_int_equal(kept[8 * PAGE_BYTES - 1], 'k');
    assert_int_equal(freed[0], 'f');
    assert_int_equal(freed[700 * PAGE_BYTES - 1], 'f');
    assert_int_equal(page_heap_validate(heap, &error), QUARRY_OK);
    assert_non_null(page_alloc(lane, owner, 3).base);
    page_heap_destroy(heap);
    unlink(path);
}

/* ---- a thread that is kept out -------------------------------------------------------------- */

/* The gate of a thread that is trying to enter at the very fork, when it is kept out already. */
static struct os_gate *tried_gate;

/* Registered before the heap's own: runs when that has stopped everybody. */
static void try_to_enter(void)
{
    if (tried_gate != NULL) {
        atomic_store_relaxed_u32(&tried_gate->is_inside, 1);
    }
}

static void find_it_is_kept_out(void)
{
    if (tried_gate != NULL) {
        atomic_store_release_u32(&tried_gate->is_inside, 0);
    }
}

struct keeper {
    struct storm *storm;
    pthread_t thread;
    pthread_barrier_t barrier;
    struct page_cache *_Atomic cache;
};

static void *keep_pages(void *argument)
{
    struct keeper *keeper = argument;
    struct page_lane *lane = keeper->storm->lane[0];
    const struct page_tls_heap *own = &page_tls.heap[lane->heap->slot];

    page_free(lane, page_alloc(lane, keeper->storm->owner[0], 5).base);
    keeper->cache = own->thread->cache[lane->id];
    (void)pthread_barrier_wait(&keeper->barrier);
    (void)pthread_barrier_wait(&keeper->barrier);
    return NULL;
}

static void what_a_thread_keeps_that_tries_to_enter_at_the_fork_is_given_up(void **state)
{
    struct storm storm;
    struct keeper keeper = {.storm = &storm};
    struct own_runs own;
    (void)state;

    storm_open(&storm, Q_MIB(256));
    assert_int_equal(pthread_barrier_init(&keeper.barrier, NULL, 2), 0);
    assert_int_equal(pthread_create(&keeper.thread, NULL, keep_pages, &keeper), 0);
    (void)pthread_barrier_wait(&keeper.barrier);
    tried_gate = &keeper.cache->gate;
    own_runs_take(&own, &storm);
    fork_and(check_child, &storm, &own);
    tried_gate = NULL;
    own_runs_check_and_free(&own, &storm);
    (void)pthread_barrier_wait(&keeper.barrier);
    assert_int_equal(pthread_join(keeper.thread, NULL), 0);
    (void)pthread_barrier_destroy(&keeper.barrier);
    storm_close(&storm);
}

/* ---- several heaps -------------------------------------------------------------------------- */

static void a_process_with_several_heaps_forks(void **state)
{
    (void)state;
    struct page_heap *heap[3];
    struct page_lane *lane[3];
    struct page_heap_options options = {.limit_bytes = Q_MIB(64), .has_no_thread = true};
    struct page_lane_options lane_options = {.name = "lane"};
    struct quarry_error error = {0};

    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(page_heap_create(&options, &heap[i], &error), QUARRY_OK);
        assert_int_equal(page_lane_create(heap[i], &lane_options, &lane[i], &error), QUARRY_OK);
    }
    /* The slot of the first goes to the youngest: slots are in another order than heaps. */
    page_heap_destroy(heap[0]);
    assert_int_equal(page_heap_create(&options, &heap[0], &error), QUARRY_OK);
    assert_int_equal(page_lane_create(heap[0], &lane_options, &lane[0], &error), QUARRY_OK);
    pid_t child = fork();
    if (child == 0) {
        alarm(CHILD_SECONDS);
        for (uint32_t i = 0; i < 3; i++) {
            uint32_t owner;
            Q_ASSERT(page_ledger_register(&heap[i]->ledger, "child", &owner) == QUARRY_OK);
            Q_ASSERT(page_alloc(lane[i], owner, 3).base != NULL);
            Q_ASSERT(page_heap_validate(heap[i], &error) == QUARRY_OK);
        }
        _exit(0);
    }
    wait_for(child);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(page_heap_validate(heap[i], &error), QUARRY_OK);
        page_heap_destroy(heap[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(children_of_threads_that_allocate_find_the_heap_whole),
        cmocka_unit_test(children_of_threads_that_scavenge_find_the_heap_whole),
        cmocka_unit_test(children_of_threads_that_end_lanes_find_the_heap_whole),
        cmocka_unit_test(a_child_of_a_child_finds_the_heap_whole),
        cmocka_unit_test(a_child_starts_threads_of_its_own_and_destroys_the_heap),
        cmocka_unit_test(the_scavenger_of_a_child_works),
        cmocka_unit_test(a_lane_that_was_ending_at_the_fork_is_scavenged_in_the_child),
        cmocka_unit_test(a_reclaimer_that_forks_can_be_removed_in_the_child),
        cmocka_unit_test(a_child_does_nothing_to_the_file_behind_a_lane),
        cmocka_unit_test(what_a_thread_keeps_that_tries_to_enter_at_the_fork_is_given_up),
        cmocka_unit_test(a_process_with_several_heaps_forks),
    };

    Q_ASSERT(pthread_atfork(try_to_enter, find_it_is_kept_out, NULL) == 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
