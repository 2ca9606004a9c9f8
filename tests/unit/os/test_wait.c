/* Clocks, sleeping and futexes. */
#include "cmocka_all.h"

#include <pthread.h>
#include <time.h>

#include <os/os.h>

static struct os *os;

static void the_monotonic_clock_never_goes_back(void **state)
{
    (void)state;
    uint64_t before_ns = os_monotonic_ns(os);
    for (int i = 0; i < 100000; i++) {
        uint64_t now_ns = os_monotonic_ns(os);
        assert_true(now_ns >= before_ns);
        before_ns = now_ns;
    }
}

static void the_wall_clock_is_the_time_of_day(void **state)
{
    (void)state;
    uint64_t before = (uint64_t)time(NULL);
    uint64_t seconds = os_wall_ns(os) / Q_SECOND_NS;
    uint64_t after = (uint64_t)time(NULL);
    /* time() is a tick behind, and the clock may be set meanwhile. */
    assert_in_range(seconds, before - 2, after + 2);
}

static void cpu_time_passes_with_work_and_not_with_sleep(void **state)
{
    (void)state;
    uint64_t start_ns = os_thread_cpu_ns(os);
    while (os_thread_cpu_ns(os) < start_ns + 5 * Q_MS_NS)
        ;
    uint64_t before_ns = os_thread_cpu_ns(os);
    os_sleep_ns(50 * Q_MS_NS);
    assert_true(os_thread_cpu_ns(os) - before_ns < 40 * Q_MS_NS);
}

static void sleep_lasts_as_long_as_asked(void **state)
{
    (void)state;
    uint64_t start_ns = os_monotonic_ns(os);
    os_sleep_ns(20 * Q_MS_NS);
    assert_true(os_monotonic_ns(os) - start_ns >= 20 * Q_MS_NS);
    os_sleep_ns(0);
    os_yield();
}

static void a_wait_on_another_value_returns_at_once(void **state)
{
    (void)state;
    _Atomic uint32_t word = 1;
    os_futex_wait(&word, 0, UINT64_MAX);
    assert_int_equal(atomic_load_relaxed_u32(&word), 1);
}

static void a_wait_ends_at_its_timeout(void **state)
{
    (void)state;
    _Atomic uint32_t word = 0;
    uint64_t start_ns = os_monotonic_ns(os);
    os_futex_wait(&word, 0, 20 * Q_MS_NS);
    uint64_t waited_ns = os_monotonic_ns(os) - start_ns;
    assert_in_range(waited_ns, 1, 60 * Q_SECOND_NS);
}

struct word {
    _Atomic uint32_t value;
};

static void *wait_for_one(void *argument)
{
    struct word *word = argument;
    /* Acquire and release: the pair that hands the word from thread to thread. */
    while (atomic_load_acquire_u32(&word->value) == 0)
        os_futex_wait(&word->value, 0, UINT64_MAX);
    return NULL;
}

static void wake_ends_every_wait(void **state)
{
    (void)state;
    struct word word = {0};
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, wait_for_one, &word), 0);
    os_sleep_ns(20 * Q_MS_NS); /* most of them sleep by now; the others see the word */
    atomic_store_release_u32(&word.value, 1);
    os_futex_wake(&word.value, UINT32_MAX);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
}

int main(void)
{
    os = os_real();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_monotonic_clock_never_goes_back),
        cmocka_unit_test(the_wall_clock_is_the_time_of_day),
        cmocka_unit_test(cpu_time_passes_with_work_and_not_with_sleep),
        cmocka_unit_test(sleep_lasts_as_long_as_asked),
        cmocka_unit_test(a_wait_on_another_value_returns_at_once),
        cmocka_unit_test(a_wait_ends_at_its_timeout),
        cmocka_unit_test(wake_ends_every_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
