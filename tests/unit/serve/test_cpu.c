/*
 * The sampler of CPU time: that work is seen, by thread; that there is one at a time; that nothing
 * is left.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <os/os.h>
#include <serve/observe/cpu.h>

/* Samples are waited for, however little of a CPU there is. */
#define ROUNDS_MAX 6000
/* Others may take the number that is wished for. */
#define REUSES_MAX 300

static struct serve_memory memory;

static int set_up(void **state)
{
    const struct quarry_memory_options options = {.limit_bytes = Q_MIB(64)};
    const struct quarry_account_options account = {.name = "http", .is_all_pages = true};
    const struct quarry_lane_options lane = {.name = "http"};

    (void)state;
    os_threads_admit(SIGPROF);
    assert_int_equal(quarry_memory_create(&options, &memory.memory, NULL), QUARRY_OK);
    assert_int_equal(quarry_account_create(memory.memory, &account, &memory.account, NULL),
                     QUARRY_OK);
    assert_int_equal(quarry_lane_create(memory.memory, &lane, &memory.lane, NULL), QUARRY_OK);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    struct quarry_account_state charged;

    quarry_account_read(memory.account, &charged);
    assert_int_equal(charged.charged_bytes, 0);
    quarry_lane_destroy(memory.lane);
    quarry_memory_destroy(memory.memory);
    return 0;
}

/* Uses so much of a CPU, whatever the wall's clock says. */
static void burn(uint64_t cpu_ns)
{
    uint64_t end_ns = os_thread_cpu_ns(os_real()) + cpu_ns;

    while (os_thread_cpu_ns(os_real()) < end_ns) {
        for (uint32_t i = 0; i < 1000; i++) {
            atomic_compiler_barrier();
        }
    }
}

/* What the samples tell, closed; freed by the caller. */
static char *told_by(struct cpu_samples *samples)
{
    struct http_text text;

    http_text_init(&text, &memory, Q_MIB(8));
    cpu_write(samples, &text);
    assert_false(text.is_failed);
    char *told = strndup(text.bytes, text.count);
    http_text_fini(&text);
    assert_non_null(told);
    return told;
}

/* ---- tests ---------------------------------------------------------------------------------- */

/* The sum of counts of a thread's stacks. */
static uint64_t count_of(const char *told, const char *thread)
{
    uint64_t sum = 0;
    bool is_its = false;

    for (const char *line = told; *line != '\0'; line = strchr(line, '\n') + 1) {
        if (line[0] == '@') {
            is_its = strncmp(line + 1, thread, strlen(thread)) == 0;
        } else if (is_its) {
            sum += strtoull(line, NULL, 10);
        }
    }
    return sum;
}

static void work_of_a_thread_is_sampled_by_its_cpu_time(void **state)
{
    struct cpu_samples *samples;
    unsigned long long period_ns, began_ns, duration_ns, lost;

    (void)state;
    assert_int_equal(cpu_begin(&memory, &samples), QUARRY_OK);
    errno = EDOM;
    burn(300 * Q_MS_NS);
    assert_int_equal(errno, EDOM);
    cpu_stop(samples);
    char *told = told_by(samples);
    cpu_end(samples);
    assert_int_equal(sscanf(told, "quarry-cpu 1 %llu %llu %llu %llu", &period_ns, &began_ns,
                            &duration_ns, &lost),
                     4);
    assert_int_equal(period_ns, CPU_PERIOD_NS);
    assert_int_equal(lost, 0);
    assert_true(duration_ns >= 300 * Q_MS_NS);
    /* The kernel's tick may swallow one; what begins and ends has used some time as well. */
    assert_in_range(count_of(told, "test_serve_cpu"), OS_UNDER_TSAN ? 0 : 20, 60);
    free(told);
}

static _Atomic bool is_over;

static void run_beside(void *argument)
{
    (void)argument;
    while (!atomic_load_relaxed_bool(&is_over)) { /* relaxed: some time */
        burn(Q_MS_NS);
    }
}

static void threads_that_begin_later_are_found(void **state)
{
    static _Alignas(64) char stack[OS_THREAD_STACK_BYTES];
    struct os_thread thread;
    struct cpu_samples *samples;
    uint64_t count = 0;

    (void)state;
    for (uint32_t round = 0; count == 0 && round < ROUNDS_MAX; round++) {
        atomic_store_relaxed_bool(&is_over, false);
        assert_int_equal(cpu_begin(&memory, &samples), QUARRY_OK);
        assert_int_equal(os_thread_start(&thread, "beside", stack, sizeof stack, run_beside, NULL),
                         QUARRY_OK);
        for (uint32_t look = 0; look < 5; look++) {
            cpu_look_for_threads(samples);
            burn(10 * Q_MS_NS);
        }
        atomic_store_relaxed_bool(&is_over, true);
        os_thread_join(&thread);
        cpu_look_for_threads(samples); /* it has ended: its timer goes, its samples stay */
        cpu_stop(samples);
        char *told = told_by(samples);
        count = count_of(told, "beside");
        free(told);
        cpu_end(samples);
    }
    assert_true(count > 0);
}

static void there_is_one_at_a_time(void **state)
{
    struct cpu_samples *first, *second;

    (void)state;
    assert_int_equal(cpu_begin(&memory, &first), QUARRY_OK);
    assert_int_equal(cpu_begin(&memory, &second), QUARRY_BUSY);
    cpu_end(first);
    assert_int_equal(cpu_begin(&memory, &second), QUARRY_OK);
    cpu_end(second);
    cpu_end(NULL);
}

static void without_memory_nothing_begins(void **state)
{
    struct cpu_samples *samples;

    (void)state;
    assert_int_equal(quarry_account_set_bounds(memory.account, 0, Q_KIB(64)), QUARRY_OK);
    assert_int_equal(cpu_begin(&memory, &samples), QUARRY_NO_MEMORY);
    assert_int_equal(quarry_account_set_bounds(memory.account, 0, 0), QUARRY_OK);
    assert_int_equal(cpu_begin(&memory, &samples), QUARRY_OK);
    cpu_end(samples);
}

/* Signals that come while it stops, or later, find nothing and do no harm. */
static void beginning_and_stopping_at_work(void **state)
{
    struct cpu_samples *samples;

    (void)state;
    for (uint32_t i = 0; i < 50; i++) {
        assert_int_equal(cpu_begin(&memory, &samples), QUARRY_OK);
        burn(2 * Q_MS_NS);
        cpu_end(samples);
        assert_int_equal(raise(SIGPROF), 0);
    }
}

/* A signal of a timer of the time before, which came late. */
static void send_stale(uint32_t thread)
{
    siginfo_t info = {.si_signo = SIGPROF, .si_code = SI_TIMER};

    info.si_value.sival_int = (int)thread;
    assert_int_equal(syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGPROF, &info), 0);
}

static void signals_of_the_time_before_are_not_counted(void **state)
{
    struct cpu_samples *samples;

    (void)state;
    assert_int_equal(cpu_begin(&memory, &samples), QUARRY_OK);
    for (uint32_t i = 0; i < 5000; i++) {
        send_stale(0);
    }
    cpu_stop(samples);
    char *told = told_by(samples);
    cpu_end(samples);
    assert_true(count_of(told, "test_serve_cpu") < 4000); /* what it used itself */
    free(told);
}

/* Asks the kernel to give the next thread this number. False: it takes no wishes. */
static bool wish_number(int32_t id)
{
    FILE *file = fopen("/proc/sys/kernel/ns_last_pid", "we");

    if (file == NULL) {
        return false;
    }
    (void)fprintf(file, "%d", (int)id - 1);
    return fclose(file) == 0;
}

static _Atomic int32_t beside_id;

static void run_numbered(void *argument)
{
    atomic_store_relaxed_i32(&beside_id, (int32_t)gettid());
    run_beside(argument);
}

/* Starts one, and ends it when `samples` has seen it at work for a while. Returns: its number. */
static int32_t run_thread(struct cpu_samples *samples, const char *name)
{
    static _Alignas(64) char stack[OS_THREAD_STACK_BYTES];
    struct os_thread thread;

    atomic_store_relaxed_bool(&is_over, false);
    atomic_store_relaxed_i32(&beside_id, 0);
    assert_int_equal(os_thread_start(&thread, name, stack, sizeof stack, run_numbered, NULL),
                     QUARRY_OK);
    while (atomic_load_relaxed_i32(&beside_id) == 0) {
        os_sleep_ns(Q_US_NS);
    }
    cpu_look_for_threads(samples);
    burn(50 * Q_MS_NS);
    atomic_store_relaxed_bool(&is_over, true);
    os_thread_join(&thread);
    return atomic_load_relaxed_i32(&beside_id);
}

static void a_number_that_is_used_again_is_another_thread(void **state)
{
    uint64_t count = 0;
    bool is_reused = false;

    (void)state;
    for (uint32_t round = 0; count == 0 && round < REUSES_MAX; round++) {
        struct cpu_samples *samples;
        assert_int_equal(cpu_begin(&memory, &samples), QUARRY_OK);
        const int32_t first = run_thread(samples, "first");
        const bool is_granted = wish_number(first);
        const int32_t second = run_thread(samples, "second");
        cpu_stop(samples);
        char *told = told_by(samples);
        count = first == second ? count_of(told, "second") : 0;
        is_reused = is_reused || first == second;
        free(told);
        cpu_end(samples);
        if (!is_granted) {
            skip();
        }
    }
    if (!is_reused) {
        skip(); /* others were faster each time */
    }
    assert_true(count > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(work_of_a_thread_is_sampled_by_its_cpu_time),
        cmocka_unit_test(threads_that_begin_later_are_found),
        cmocka_unit_test(there_is_one_at_a_time),
        cmocka_unit_test(without_memory_nothing_begins),
        cmocka_unit_test(beginning_and_stopping_at_work),
        cmocka_unit_test(signals_of_the_time_before_are_not_counted),
        cmocka_unit_test(a_number_that_is_used_again_is_another_thread),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
