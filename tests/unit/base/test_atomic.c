/* Every atomic operation of every type and order: its value here, its atomicity and order between
 * threads. */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/time.h>

#include <base/base.h>

#include "unit/base/cmocka_all.h"

/* Each macro checks one operation of type X in one order; A, B and C are three different values. */
#define CHECK_LOAD(X, ORDER, object, expected)                                                     \
    assert_true(atomic_load_##ORDER##_##X(object) == (expected))

#define CHECK_STORE(X, T, ORDER, A, B)                                                             \
    do {                                                                                           \
        _Atomic(T) object = (A);                                                                   \
        atomic_store_##ORDER##_##X(&object, (B));                                                  \
        CHECK_LOAD(X, relaxed, &object, (T)(B));                                                   \
        CHECK_LOAD(X, acquire, &object, (T)(B));                                                   \
        CHECK_LOAD(X, seq_cst, &object, (T)(B));                                                   \
    } while (0)

#define CHECK_EXCHANGE(X, T, ORDER, A, B)                                                          \
    do {                                                                                           \
        _Atomic(T) object = (A);                                                                   \
        assert_true(atomic_exchange_##ORDER##_##X(&object, (B)) == (T)(A));                        \
        CHECK_LOAD(X, relaxed, &object, (T)(B));                                                   \
    } while (0)

/* A strong one fails, says what it found, and then succeeds; a weak one may take several tries. */
#define CHECK_CAS(X, T, ORDER, A, B)                                                               \
    do {                                                                                           \
        _Atomic(T) object = (A);                                                                   \
        T expected = (B);                                                                          \
        assert_false(atomic_cas_##ORDER##_##X(&object, &expected, (B)));                           \
        assert_true(expected == (T)(A));                                                           \
        CHECK_LOAD(X, relaxed, &object, (T)(A));                                                   \
        assert_true(atomic_cas_##ORDER##_##X(&object, &expected, (B)));                            \
        assert_true(expected == (T)(A));                                                           \
        CHECK_LOAD(X, relaxed, &object, (T)(B));                                                   \
        assert_false(atomic_cas_weak_##ORDER##_##X(&object, &expected, (A)));                      \
        assert_true(expected == (T)(B));                                                           \
        while (!atomic_cas_weak_##ORDER##_##X(&object, &expected, (A)))                            \
            assert_true(expected == (T)(B));                                                       \
        CHECK_LOAD(X, relaxed, &object, (T)(A));                                                   \
    } while (0)

#define CHECK_FETCH(X, T, VERB, ORDER, before, operand, after)                                     \
    do {                                                                                           \
        _Atomic(T) object = (before);                                                              \
        assert_true(atomic_##VERB##_##ORDER##_##X(&object, (operand)) == (T)(before));             \
        CHECK_LOAD(X, relaxed, &object, (T)(after));                                               \
    } while (0)

#define CHECK_FETCH_ORDERS(X, T, VERB, before, operand, after)                                     \
    CHECK_FETCH(X, T, VERB, relaxed, before, operand, after);                                      \
    CHECK_FETCH(X, T, VERB, acquire, before, operand, after);                                      \
    CHECK_FETCH(X, T, VERB, release, before, operand, after);                                      \
    CHECK_FETCH(X, T, VERB, acq_rel, before, operand, after);                                      \
    CHECK_FETCH(X, T, VERB, seq_cst, before, operand, after)

#define CHECK_BUMP(X, T, before, operand, after)                                                   \
    do {                                                                                           \
        _Atomic(T) object = (before);                                                              \
        atomic_bump_relaxed_##X(&object, (operand));                                               \
        CHECK_LOAD(X, relaxed, &object, (T)(after));                                               \
    } while (0)

#define DEFINE_CHECK_ANY(X, T)                                                                     \
    static void check_any_##X(T a, T b)                                                            \
    {                                                                                              \
        CHECK_STORE(X, T, relaxed, a, b);                                                          \
        CHECK_STORE(X, T, release, a, b);                                                          \
        CHECK_STORE(X, T, seq_cst, a, b);                                                          \
        CHECK_EXCHANGE(X, T, relaxed, a, b);                                                       \
        CHECK_EXCHANGE(X, T, acquire, a, b);                                                       \
        CHECK_EXCHANGE(X, T, acq_rel, a, b);                                                       \
        CHECK_EXCHANGE(X, T, seq_cst, a, b);                                                       \
        CHECK_CAS(X, T, relaxed, a, b);                                                            \
        CHECK_CAS(X, T, acquire, a, b);                                                            \
        CHECK_CAS(X, T, release, a, b);                                                            \
        CHECK_CAS(X, T, acq_rel, a, b);                                                            \
        CHECK_CAS(X, T, seq_cst, a, b);                                                            \
    }

#define DEFINE_CHECK_INTEGER(X, T, MIN, MAX)                                                       \
    DEFINE_CHECK_ANY(X, T)                                                                         \
    static void check_sums_##X(void)                                                               \
    {                                                                                              \
        CHECK_FETCH_ORDERS(X, T, add, 40, 2, 42);                                                  \
        CHECK_FETCH_ORDERS(X, T, add, MAX, 1, MIN);                                                \
        CHECK_FETCH_ORDERS(X, T, sub, 40, 2, 38);                                                  \
        CHECK_FETCH_ORDERS(X, T, sub, MIN, 1, MAX);                                                \
        CHECK_BUMP(X, T, 40, 2, 42);                                                               \
        CHECK_BUMP(X, T, MAX, 1, MIN);                                                             \
    }

#define DEFINE_CHECK_UNSIGNED(X, T, MAX)                                                           \
    DEFINE_CHECK_INTEGER(X, T, 0, MAX)                                                             \
    static void check_bits_##X(void)                                                               \
    {                                                                                              \
        CHECK_FETCH_ORDERS(X, T, or, 0x0c, 0x0a, 0x0e);                                            \
        CHECK_FETCH_ORDERS(X, T, or, 0, MAX, MAX);                                                 \
        CHECK_FETCH_ORDERS(X, T, and, 0x0c, 0x0a, 0x08);                                           \
        CHECK_FETCH_ORDERS(X, T, and, MAX, MAX - 1, MAX - 1);                                      \
    }

/* As in atomic.h: the names are made of the word. */
#pragma push_macro("bool")
#undef bool
DEFINE_CHECK_ANY(bool, _Bool)
#pragma pop_macro("bool")
DEFINE_CHECK_ANY(ptr, void *)
DEFINE_CHECK_INTEGER(i32, int32_t, INT32_MIN, INT32_MAX)
DEFINE_CHECK_INTEGER(i64, int64_t, INT64_MIN, INT64_MAX)
DEFINE_CHECK_UNSIGNED(u8, uint8_t, UINT8_MAX)
DEFINE_CHECK_UNSIGNED(u16, uint16_t, UINT16_MAX)
DEFINE_CHECK_UNSIGNED(u32, uint32_t, UINT32_MAX)
DEFINE_CHECK_UNSIGNED(u64, uint64_t, UINT64_MAX)
DEFINE_CHECK_UNSIGNED(uptr, uintptr_t, UINTPTR_MAX)

static void every_order_stores_exchanges_and_compares(void **state)
{
    (void)state;
    int one;
    int other;
    check_any_bool(false, true);
    check_any_ptr(&one, &other);
    check_any_ptr(NULL, &other);
    check_any_i32(-5, INT32_MAX);
    check_any_i64(-5, INT64_MAX);
    check_any_u8(5, UINT8_MAX);
    check_any_u16(5, UINT16_MAX);
    check_any_u32(5, UINT32_MAX);
    check_any_u64(5, UINT64_MAX);
    check_any_uptr(5, UINTPTR_MAX);
}

static void sums_return_the_old_value_and_wrap(void **state)
{
    (void)state;
    check_sums_i32();
    check_sums_i64();
    check_sums_u8();
    check_sums_u16();
    check_sums_u32();
    check_sums_u64();
    check_sums_uptr();
}

static void masks_return_the_old_value(void **state)
{
    (void)state;
    check_bits_u8();
    check_bits_u16();
    check_bits_u32();
    check_bits_u64();
    check_bits_uptr();
}

#define STEPS 20000

struct shared {
    _Atomic uint64_t sum;     /* both add */
    _Atomic uint64_t cas_sum; /* both add in a loop of weak compares */
    _Atomic uint64_t bumped;  /* the writer's alone; the reader looks */
    _Atomic uint32_t turn;    /* hands `plain` from one thread to the other */
    _Atomic(void *) box;      /* publishes `plain` */
    uint64_t plain;
};

static void *add_many(void *argument)
{
    struct shared *shared = argument;
    for (uint64_t i = 0; i < STEPS; i++) {
        atomic_add_relaxed_u64(&shared->sum, 1);
        uint64_t seen = atomic_load_relaxed_u64(&shared->cas_sum);
        while (!atomic_cas_weak_relaxed_u64(&shared->cas_sum, &seen, seen + 1)) {
        }
    }
    return NULL;
}

static void threads_that_add_lose_nothing(void **state)
{
    (void)state;
    struct shared shared = {0};
    pthread_t other;
    assert_int_equal(pthread_create(&other, NULL, add_many, &shared), 0);
    add_many(&shared);
    assert_int_equal(pthread_join(other, NULL), 0);
    assert_int_equal(atomic_load_relaxed_u64(&shared.sum), 2 * STEPS);
    assert_int_equal(atomic_load_relaxed_u64(&shared.cas_sum), 2 * STEPS);
}

/* Odd turns are the other thread's. Under TSan an order too weak is a race on `plain`. */
static void *take_odd_turns(void *argument)
{
    struct shared *shared = argument;
    for (uint32_t turn = 1; turn < STEPS; turn += 2) {
        /* pairs with the release in the test */
        while (atomic_load_acquire_u32(&shared->turn) != turn)
            sched_yield();
        shared->plain++;
        /* pairs with the acquire in the test */
        atomic_store_release_u32(&shared->turn, turn + 1);
    }
    return NULL;
}

static void release_and_acquire_hand_over_plain_memory(void **state)
{
    (void)state;
    struct shared shared = {0};
    pthread_t other;
    assert_int_equal(pthread_create(&other, NULL, take_odd_turns, &shared), 0);
    for (uint32_t turn = 0; turn < STEPS; turn += 2) {
        while (atomic_load_acquire_u32(&shared.turn) != turn)
            sched_yield();
        shared.plain++;
        atomic_store_release_u32(&shared.turn, turn + 1);
    }
    assert_int_equal(pthread_join(other, NULL), 0);
    assert_int_equal(shared.plain, STEPS);
}

static void *publish_then_bump(void *argument)
{
    struct shared *shared = argument;
    shared->plain = 42;
    /* pairs with the acquire of the reader */
    atomic_store_release_ptr(&shared->box, &shared->plain);
    for (uint64_t i = 0; i < STEPS; i++)
        atomic_bump_relaxed_u64(&shared->bumped, 1);
    return NULL;
}

static void a_reader_sees_what_was_published_and_counters_rise(void **state)
{
    (void)state;
    struct shared shared = {0};
    pthread_t writer;
    assert_int_equal(pthread_create(&writer, NULL, publish_then_bump, &shared), 0);
    uint64_t *seen;
    /* pairs with the release of the writer */
    while ((seen = atomic_load_acquire_ptr(&shared.box)) == NULL)
        sched_yield();
    assert_int_equal(*seen, 42);
    for (uint64_t last = 0; last < STEPS;) {
        uint64_t now = atomic_load_relaxed_u64(&shared.bumped);
        assert_true(now >= last && now <= STEPS);
        last = now;
    }
    assert_int_equal(pthread_join(writer, NULL), 0);
}

#ifndef __SANITIZE_THREAD__
static uint32_t ticked; /* plain on purpose: without the barrier the loop below never ends */

static void tick(int signal_number)
{
    (void)signal_number;
    ticked = 1;
}

static void the_compiler_barrier_forces_a_reload(void **state)
{
    (void)state;
    const struct sigaction action = {.sa_handler = tick};
    const struct itimerval soon = {.it_value = {.tv_usec = 1000}};
    ticked = 0;
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &soon, NULL), 0);
    while (ticked == 0)
        atomic_compiler_barrier();
    assert_int_equal(ticked, 1);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_order_stores_exchanges_and_compares),
        cmocka_unit_test(sums_return_the_old_value_and_wrap),
        cmocka_unit_test(masks_return_the_old_value),
        cmocka_unit_test(threads_that_add_lose_nothing),
        cmocka_unit_test(release_and_acquire_hand_over_plain_memory),
        cmocka_unit_test(a_reader_sees_what_was_published_and_counters_rise),
#ifndef __SANITIZE_THREAD__ /* which holds signals back until the next call into libc */
        cmocka_unit_test(the_compiler_barrier_forces_a_reload),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
