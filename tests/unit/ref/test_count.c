/*
 * Reference counts: to the last, at the ceiling, and below zero.
 */
#include "unit/base/cmocka_all.h"

#include <pthread.h>
#include <stdatomic.h>

#include <os/os.h>
#include <ref/ref.h>

#include "unit/os/child.h"

#define THREADS 4u
#define ROUNDS  20000u

static _Atomic uint32_t count;
static atomic_uint last_count; /* how many were told that theirs was the last */
static atomic_bool may_begin;

static void run_threads(void *(*body)(void *))
{
    pthread_t thread[THREADS];

    atomic_store(&may_begin, false);
    for (uintptr_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&thread[i], NULL, body, (void *)i), 0);
    }
    atomic_store(&may_begin, true);
    for (uint32_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    }
}

static void wait_for_all(void)
{
    while (!atomic_load(&may_begin)) {
        os_yield();
    }
}

static void the_last_release_is_told_apart(void **state)
{
    (void)state;
    ref_count_init(&count);
    ref_count_acquire(&count);
    assert_true(ref_count_try_acquire(&count));
    assert_int_equal(ref_count_read(&count), 3);
    assert_false(ref_count_release(&count));
    assert_false(ref_count_release(&count));
    assert_true(ref_count_release(&count));
    assert_int_equal(ref_count_read(&count), 0);
}

static void nobody_takes_a_reference_to_what_is_gone(void **state)
{
    (void)state;
    ref_count_init(&count);
    assert_true(ref_count_release(&count));
    assert_false(ref_count_try_acquire(&count));
    assert_int_equal(ref_count_read(&count), 0);
}

/* ---- threads -------------------------------------------------------------------------------- */

static uint64_t written_by_holders[THREADS];

static void *acquire_and_release(void *argument)
{
    uintptr_t number = (uintptr_t)argument;

    wait_for_all();
    for (uint32_t i = 0; i < ROUNDS; i++) {
        if (i % 2 == 0) {
            ref_count_acquire(&count);
        } else {
            bool is_there = ref_count_try_acquire(&count);
            Q_ASSERT(is_there); /* this thread holds it */
        }
        Q_ASSERT(!ref_count_release(&count));
    }
    written_by_holders[number] = number + 1; /* plain: the last release orders it */
    if (ref_count_release(&count)) {
        uint64_t sum = 0;
        for (uint32_t i = 0; i < THREADS; i++) {
            sum += written_by_holders[i];
        }
        Q_ASSERT(sum == THREADS * (THREADS + 1) / 2);
        (void)atomic_fetch_add(&last_count, 1);
    }
    return NULL;
}

static void one_of_many_threads_has_the_last_reference(void **state)
{
    (void)state;
    atomic_store(&count, THREADS);
    atomic_store(&last_count, 0);
    run_threads(acquire_and_release);
    assert_int_equal(atomic_load(&last_count), 1);
    assert_int_equal(ref_count_read(&count), 0);
}

/* ---- the ceiling ---------------------------------------------------------------------------- */

static void a_count_at_the_ceiling_sticks_and_is_counted_once(void **state)
{
    (void)state;
    uint64_t before = ref_count_saturated();

    atomic_store(&count, REF_COUNT_CEILING - 2);
    ref_count_acquire(&count);
    assert_int_equal(ref_count_read(&count), REF_COUNT_CEILING - 1);
    assert_int_equal(ref_count_saturated(), before);
    ref_count_acquire(&count);
    assert_int_equal(ref_count_read(&count), REF_COUNT_SATURATED);
    assert_int_equal(ref_count_saturated(), before + 1);
    for (uint32_t i = 0; i < 1000; i++) {
        assert_false(ref_count_release(&count));
        ref_count_acquire(&count);
        assert_true(ref_count_try_acquire(&count));
    }
    assert_int_equal(ref_count_read(&count), REF_COUNT_SATURATED);
    assert_int_equal(ref_count_saturated(), before + 1);
}

static void trying_at_the_ceiling_sticks_as_well(void **state)
{
    (void)state;
    uint64_t before = ref_count_saturated();

    atomic_store(&count, REF_COUNT_CEILING - 1);
    assert_true(ref_count_try_acquire(&count));
    assert_int_equal(ref_count_read(&count), REF_COUNT_SATURATED);
    assert_int_equal(ref_count_saturated(), before + 1);
}

/* Threads cross the ceiling upwards and downwards at once. */
static void *cross(void *argument)
{
    uintptr_t number = (uintptr_t)argument;

    wait_for_all();
    for (uint32_t i = 0; i < ROUNDS; i++) {
        if ((i + number) % 3 == 0) {
            Q_ASSERT(!ref_count_release(&count));
        } else if ((i + number) % 3 == 1) {
            ref_count_acquire(&count);
        } else {
            Q_ASSERT(ref_count_try_acquire(&count));
        }
    }
    return NULL;
}

static void many_threads_at_the_ceiling_never_reach_zero(void **state)
{
    (void)state;
    uint64_t before = ref_count_saturated();

    for (uint32_t round = 1; round <= 10; round++) {
        atomic_store(&count, REF_COUNT_CEILING - 8);
        run_threads(cross);
        assert_int_equal(ref_count_read(&count), REF_COUNT_SATURATED);
        assert_int_equal(ref_count_saturated(), before + round);
    }
}

/* ---- zero ----------------------------------------------------------------------------------- */

static void release_too_often(void *argument)
{
    _Atomic uint32_t *own = argument;

    ref_count_init(own);
    CHILD_CHECK(ref_count_release(own));
    CHILD_CHECK(!ref_count_release(own));
}

static void acquire_from_zero(void *argument)
{
    atomic_store((_Atomic uint32_t *)argument, 0);
    ref_count_acquire(argument);
}

static void below_zero_and_up_from_zero_end_the_program(void **state)
{
    (void)state;
    child_assert_aborts(release_too_often, &count,
                        "quarry: reference released below zero, counted at 0x");
    child_assert_aborts(acquire_from_zero, &count,
                        "quarry: reference taken to an object that nobody holds, counted at 0x");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_release_is_told_apart),
        cmocka_unit_test(nobody_takes_a_reference_to_what_is_gone),
        cmocka_unit_test(one_of_many_threads_has_the_last_reference),
        cmocka_unit_test(a_count_at_the_ceiling_sticks_and_is_counted_once),
        cmocka_unit_test(trying_at_the_ceiling_sticks_as_well),
        cmocka_unit_test(many_threads_at_the_ceiling_never_reach_zero),
        cmocka_unit_test(below_zero_and_up_from_zero_end_the_program),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
