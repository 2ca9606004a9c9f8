/* The mutex: exclusion, sleeping, and in debug builds the ranks. */
#include "cmocka_all.h"

#include <pthread.h>

#include <os/os.h>

#include "child.h"

#define THREADS 4
#define ROUNDS  20000

struct shared {
    struct os_mutex mutex;
    uint64_t count;     /* guarded by mutex */
    uint32_t inside;    /* guarded by mutex */
    bool sleeps_inside; /* const while threads run */
    int rounds;         /* const while threads run */
};

static void count_once(struct shared *shared)
{
    os_mutex_lock(&shared->mutex);
    shared->inside++;
    Q_ASSERT(shared->inside == 1);
    shared->count++;
    if (shared->sleeps_inside)
        os_sleep_ns(50 * Q_US_NS);
    shared->inside--;
    os_mutex_unlock(&shared->mutex);
}

static void *count_many(void *argument)
{
    struct shared *shared = argument;
    for (int i = 0; i < shared->rounds; i++)
        count_once(shared);
    return NULL;
}

static void run_counters(struct shared *shared)
{
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_many, shared), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(shared->count, (uint64_t)THREADS * (uint64_t)shared->rounds);
    assert_int_equal(atomic_load_relaxed_u32(&shared->mutex.state), 0);
}

static void one_thread_at_a_time_is_inside(void **state)
{
    (void)state;
    struct shared shared = {.rounds = ROUNDS};
    os_mutex_init(&shared.mutex, OS_RANK_LEAF, 0);
    run_counters(&shared);
}

static void threads_that_slept_get_their_turn(void **state)
{
    (void)state;
    struct shared shared = {.rounds = 200, .sleeps_inside = true};
    os_mutex_init(&shared.mutex, OS_RANK_LEAF, 0);
    run_counters(&shared);
}

static void a_zeroed_mutex_is_free(void **state)
{
    (void)state;
    static struct os_mutex mutex;
    os_mutex_lock(&mutex);
    os_mutex_assert_held(&mutex);
    assert_int_equal(atomic_load_relaxed_u32(&mutex.state), 1);
    os_mutex_unlock(&mutex);
    assert_int_equal(atomic_load_relaxed_u32(&mutex.state), 0);
}

static void *try_once(void *mutex)
{
    bool got = os_mutex_try_lock(mutex);
    if (got)
        os_mutex_unlock(mutex);
    return got ? mutex : NULL;
}

static void *try_in_another_thread(struct os_mutex *mutex)
{
    pthread_t thread;
    void *got = NULL;
    assert_int_equal(pthread_create(&thread, NULL, try_once, mutex), 0);
    assert_int_equal(pthread_join(thread, &got), 0);
    return got;
}

static void try_lock_takes_a_free_mutex_and_refuses_a_held_one(void **state)
{
    (void)state;
    struct os_mutex mutex;
    os_mutex_init(&mutex, OS_RANK_LEAF, 0);
    assert_ptr_equal(try_in_another_thread(&mutex), &mutex);
    os_mutex_lock(&mutex);
    assert_null(try_in_another_thread(&mutex));
    os_mutex_unlock(&mutex);
    assert_ptr_equal(try_in_another_thread(&mutex), &mutex);
}

static void locks_in_rising_order_are_allowed(void **state)
{
    (void)state;
    struct os_mutex grow;
    struct os_mutex lane_1;
    struct os_mutex lane_2;
    os_mutex_init(&grow, OS_RANK_LANE_GROW, 0);
    os_mutex_init(&lane_1, OS_RANK_LANE, 1);
    os_mutex_init(&lane_2, OS_RANK_LANE, 2);
    os_mutex_lock(&grow);
    os_mutex_lock(&lane_1);
    os_mutex_lock(&lane_2);
    os_mutex_unlock(&grow); /* given back in any order */
    os_mutex_unlock(&lane_2);
    os_mutex_unlock(&lane_1);
    os_mutex_lock(&grow); /* and nothing of it is remembered */
    os_mutex_unlock(&grow);
}

/* The analysis does not know that the child has what its parent took. */
static void reset_in_the_child(void *mutex) Q_NO_THREAD_SAFETY_ANALYSIS
{
    struct os_mutex *held = mutex;
    os_mutex_reset_after_fork(held);
    CHILD_CHECK(os_mutex_try_lock(held));
    CHILD_CHECK(held->rank == OS_RANK_LANE && held->order == 3);
    os_mutex_unlock(held);
    os_mutex_lock(held);
    os_mutex_unlock(held);
}

static void a_mutex_taken_before_fork_is_free_after_reset(void **state)
{
    (void)state;
    struct os_mutex mutex;
    os_mutex_init(&mutex, OS_RANK_LANE, 3);
    os_mutex_lock(&mutex);
    child_assert_succeeds(reset_in_the_child, &mutex);
    assert_null(try_in_another_thread(&mutex)); /* the parent's is still held */
    os_mutex_unlock(&mutex);
}

#ifdef QUARRY_DEBUG_CHECKS

struct pair {
    struct os_mutex first;
    struct os_mutex second;
};

static void lock_both(void *pair) Q_NO_THREAD_SAFETY_ANALYSIS
{
    os_mutex_lock(&((struct pair *)pair)->first);
    os_mutex_lock(&((struct pair *)pair)->second);
}

static void lock_first_twice(void *pair) Q_NO_THREAD_SAFETY_ANALYSIS
{
    os_mutex_lock(&((struct pair *)pair)->first);
    os_mutex_lock(&((struct pair *)pair)->first);
}

static void unlock_first(void *pair) Q_NO_THREAD_SAFETY_ANALYSIS
{
    os_mutex_unlock(&((struct pair *)pair)->first);
}

static void assert_first_held(void *pair)
{
    os_mutex_assert_held(&((struct pair *)pair)->first);
}

static void try_downwards_then_lock_upwards(void *pair) Q_NO_THREAD_SAFETY_ANALYSIS
{
    struct pair *both = pair;
    os_mutex_lock(&both->first);
    CHILD_CHECK(os_mutex_try_lock(&both->second));
    os_mutex_unlock(&both->first);
    os_mutex_lock(&both->first);
}

static struct pair make_pair(enum os_rank first, uint32_t first_order, enum os_rank second,
                             uint32_t second_order)
{
    struct pair pair;
    os_mutex_init(&pair.first, first, first_order);
    os_mutex_init(&pair.second, second, second_order);
    return pair;
}

static void a_lower_rank_after_a_higher_one_aborts_and_names_both(void **state)
{
    (void)state;
    struct pair pair = make_pair(OS_RANK_METADATA, 1, OS_RANK_LANE, 7);
    child_assert_aborts(lock_both, &pair,
                        "locks out of order: rank 90 order 7 while holding rank 100 order 1");
}

static void the_same_rank_in_falling_or_equal_order_aborts(void **state)
{
    (void)state;
    struct pair falling = make_pair(OS_RANK_LANE, 8, OS_RANK_LANE, 7);
    struct pair equal = make_pair(OS_RANK_LANE, 7, OS_RANK_LANE, 7);
    child_assert_aborts(lock_both, &falling, "rank 90 order 7 while holding rank 90 order 8");
    child_assert_aborts(lock_both, &equal, "rank 90 order 7 while holding rank 90 order 7");
}

static void unranked_mutexes_go_with_any(void **state)
{
    (void)state;
    struct pair below = make_pair(OS_RANK_LEAF, 0, OS_RANK_NONE, 0);
    struct pair above = make_pair(OS_RANK_NONE, 0, OS_RANK_HEAPS, 0);
    child_assert_succeeds(lock_both, &below);
    child_assert_succeeds(lock_both, &above);
}

static void try_lock_may_break_the_order(void **state)
{
    (void)state;
    struct pair pair = make_pair(OS_RANK_LEAF, 0, OS_RANK_HEAPS, 0);
    child_assert_succeeds(try_downwards_then_lock_upwards, &pair);
}

static void locking_a_held_mutex_again_aborts(void **state)
{
    (void)state;
    struct pair pair = make_pair(OS_RANK_LEAF, 4, OS_RANK_NONE, 0);
    child_assert_aborts(lock_first_twice, &pair,
                        "a thread waits for the mutex it holds: rank 100 order 4");
}

static void *lock_and_leave(void *mutex) Q_NO_THREAD_SAFETY_ANALYSIS
{
    os_mutex_lock(mutex);
    return NULL;
}

static void only_the_owner_may_unlock(void **state)
{
    (void)state;
    struct pair pair = make_pair(OS_RANK_LEAF, 4, OS_RANK_NONE, 0);
    pthread_t thread;
    child_assert_aborts(unlock_first, &pair, "a mutex is not held by this thread: rank 100");
    child_assert_aborts(assert_first_held, &pair, "a mutex is not held by this thread: rank 100");
    assert_int_equal(pthread_create(&thread, NULL, lock_and_leave, &pair.first), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    child_assert_aborts(unlock_first, &pair, "a mutex is not held by this thread: rank 100");
    child_assert_aborts(assert_first_held, &pair, "a mutex is not held by this thread: rank 100");
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_thread_at_a_time_is_inside),
        cmocka_unit_test(threads_that_slept_get_their_turn),
        cmocka_unit_test(a_zeroed_mutex_is_free),
        cmocka_unit_test(try_lock_takes_a_free_mutex_and_refuses_a_held_one),
        cmocka_unit_test(locks_in_rising_order_are_allowed),
        cmocka_unit_test(a_mutex_taken_before_fork_is_free_after_reset),
#ifdef QUARRY_DEBUG_CHECKS
        cmocka_unit_test(a_lower_rank_after_a_higher_one_aborts_and_names_both),
        cmocka_unit_test(the_same_rank_in_falling_or_equal_order_aborts),
        cmocka_unit_test(unranked_mutexes_go_with_any),
        cmocka_unit_test(try_lock_may_break_the_order),
        cmocka_unit_test(locking_a_held_mutex_again_aborts),
        cmocka_unit_test(only_the_owner_may_unlock),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
