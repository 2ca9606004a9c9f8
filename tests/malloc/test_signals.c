/*
 * Signals that arrive anywhere in malloc, a thousand a second. Their handlers do what the C library
 * permits and no more: malloc need not be reentrant, but it must survive being stopped at any
 * instruction, and its system calls being interrupted.
 */
#include "common.h"

#include <execinfo.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/mman.h>
#include <sys/time.h>

#define SIGNALS_WANTED 200

static volatile sig_atomic_t signal_count;

static void count_signal(int signal_number)
{
    (void)signal_number;
    signal_count++;
}

static void timer_set(__itimer_which_t which, long interval_us)
{
    struct itimerval interval = {{0, interval_us}, {0, interval_us}};

    MUST(setitimer(which, &interval, NULL) == 0);
}

static void handle(int signal_number, void (*handler)(int), int flags)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};

    MUST(sigaction(signal_number, &action, NULL) == 0);
}

static void signals_end(void)
{
    timer_set(ITIMER_REAL, 0);
    timer_set(ITIMER_PROF, 0);
    handle(SIGALRM, SIG_IGN, 0);
    handle(SIGPROF, SIG_IGN, 0);
    signal_count = 0;
}

struct churn {
    void *object;
    size_t bytes;
};

/* Churns until enough signals have come. */
static void churn_under_signals(size_t max)
{
    struct churn slots[300] = {{0}};
    uint64_t random = 1;

    while (signal_count < SIGNALS_WANTED) {
        size_t slot = random_next(&random) % COUNT_OF(slots);
        if (slots[slot].object != NULL)
            check_and_free(slots[slot].object, slots[slot].bytes, slot);
        slots[slot].bytes = random_size(&random, max);
        slots[slot].object = filled(slots[slot].bytes, slot);
    }
    for (size_t i = 0; i < COUNT_OF(slots); i++) {
        if (slots[i].object != NULL)
            check_and_free(slots[i].object, slots[i].bytes, i);
    }
}

static void a_thousand_alarms_a_second_disturb_nothing(void **state)
{
    (void)state;
    handle(SIGALRM, count_signal, SA_RESTART);
    timer_set(ITIMER_REAL, 1000);
    churn_under_signals(64 * KIB);
    signals_end();
}

static void profiling_signals_disturb_nothing(void **state)
{
    (void)state;
    handle(SIGPROF, count_signal, SA_RESTART);
    timer_set(ITIMER_PROF, 1000);
    churn_under_signals(MIB);
    signals_end();
}

/* Without SA_RESTART: system calls of malloc may say EINTR, malloc must not. */
static void large_objects_come_and_go_under_signals(void **state)
{
    uint64_t random = 3;
    (void)state;

    handle(SIGALRM, count_signal, 0);
    timer_set(ITIMER_REAL, 500);
    while (signal_count < SIGNALS_WANTED) {
        size_t bytes = 128 * KIB + random_next(&random) % (8 * MIB);
        void *object = opaque(realloc(filled(bytes, 1), bytes * 2));
        MUST(object != NULL);
        pattern_check_prefix(object, 4 * KIB, 1);
        free(object);
    }
    signals_end();
}

static void trace_signal(int signal_number)
{
    void *frames[32];

    (void)signal_number;
    // NOLINTNEXTLINE(bugprone-signal-handler): called once before, it allocates no more
    if (backtrace(frames, COUNT_OF(frames)) > 1)
        signal_count++;
}

static void handlers_take_backtraces_out_of_malloc(void **state)
{
    void *frames[4];
    (void)state;

    assert_true(backtrace(frames, COUNT_OF(frames)) > 0);
    handle(SIGALRM, trace_signal, SA_RESTART);
    timer_set(ITIMER_REAL, 1000);
    churn_under_signals(64 * KIB);
    signals_end();
}

static sigjmp_buf jump_target;
static volatile sig_atomic_t may_jump;

static void jump_signal(int signal_number)
{
    (void)signal_number;
    signal_count++;
    if (may_jump) {
        may_jump = 0;
        siglongjmp(jump_target, 1); // NOLINT(bugprone-signal-handler,cert-*): what is tested
    }
}

/* Jumps only out of the loop that waits, where malloc is not running. */
static void handlers_jump_out_of_code_beside_malloc(void **state)
{
    void *volatile kept = NULL;
    volatile unsigned jumps = 0;
    (void)state;

    handle(SIGALRM, jump_signal, 0);
    timer_set(ITIMER_REAL, 1000);
    while (jumps < 100) {
        if (kept != NULL)
            check_and_free(kept, 700, jumps - 1);
        kept = filled(700, jumps);
        for (size_t bytes = 1; bytes < 100000; bytes = bytes * 3 + 1)
            check_and_free(filled(bytes, 1), bytes, 1);
        if (sigsetjmp(jump_target, 1) == 0) {
            may_jump = 1;
            while (may_jump)
                (void)pause();
        }
        jumps++;
    }
    signals_end();
    check_and_free(kept, 700, jumps - 1);
}

static void handlers_run_on_a_stack_that_malloc_gave(void **state)
{
    stack_t stack = {.ss_sp = filled(64 * KIB, 1), .ss_size = 64 * KIB},
            none = {.ss_flags = SS_DISABLE};
    (void)state;

    assert_int_equal(sigaltstack(&stack, NULL), 0);
    handle(SIGALRM, count_signal, SA_ONSTACK | SA_RESTART);
    timer_set(ITIMER_REAL, 1000);
    churn_under_signals(32 * KIB);
    signals_end();
    assert_int_equal(sigaltstack(&none, NULL), 0);
    free(stack.ss_sp);
}

/* ---- threads -------------------------------------------------------------------------------- */

#define TARGETS 4u

struct targets {
    pthread_t threads[TARGETS];
    _Atomic unsigned started, ended;
};

static void churn_as_target(void *argument, unsigned index)
{
    struct targets *targets = argument;
    uint64_t random = index;

    if (index < TARGETS) {
        targets->threads[index] = pthread_self();
        atomic_fetch_add(&targets->started, 1);
        while (signal_count < 3 * SIGNALS_WANTED) {
            size_t bytes = random_size(&random, 256 * KIB);
            check_and_free(filled(bytes, index), bytes, index);
        }
        atomic_fetch_add(&targets->ended, 1);
        while (atomic_load(&targets->ended) <= TARGETS) /* stays a target till none is hunted */
            sched_yield();
        return;
    }
    while (atomic_load(&targets->started) < TARGETS)
        sched_yield();
    for (unsigned i = 0; atomic_load(&targets->ended) < TARGETS; i++) {
        MUST(pthread_kill(targets->threads[i % TARGETS], SIGUSR1) == 0);
        if (i % 64 == 0)
            sched_yield();
    }
    atomic_fetch_add(&targets->ended, 1);
}

static void threads_are_shot_at_while_they_allocate(void **state)
{
    static struct targets targets;
    (void)state;

    handle(SIGUSR1, count_signal, SA_RESTART);
    threads_run(TARGETS + 1, churn_as_target, &targets);
    handle(SIGUSR1, SIG_IGN, 0);
    signal_count = 0;
}

static void allocate_and_end(void *argument, unsigned index)
{
    check_and_free(filled(1000, index), 1000, index);
    (void)argument;
}

static void threads_begin_and_end_under_signals(void **state)
{
    (void)state;
    handle(SIGALRM, count_signal, SA_RESTART);
    timer_set(ITIMER_REAL, 1000);
    while (signal_count < SIGNALS_WANTED)
        threads_run(4, allocate_and_end, NULL);
    signals_end();
}

/* ---- ends ----------------------------------------------------------------------------------- */

static void exit_on_signal(int signal_number)
{
    (void)signal_number;
    _exit(0);
}

static void churn_until_the_end(void *unused)
{
    uint64_t random = (uint64_t)getpid();

    handle(SIGALRM, exit_on_signal, 0);
    (void)ualarm(1000 + (useconds_t)(random % 3000), 0);
    for (;;) {
        size_t bytes = random_size(&random, MIB);
        check_and_free(filled(bytes, 1), bytes, 1);
    }
    (void)unused;
}

static void a_handler_ends_the_process_within_malloc(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 50; i++)
        child_must_succeed(churn_until_the_end, NULL);
}

/* ---- faults that a program means ------------------------------------------------------------ */

static void *volatile guarded_page;

static void open_page(int signal_number, siginfo_t *info, void *context)
{
    (void)signal_number;
    (void)context;
    signal_count++;
    if (info->si_addr != guarded_page)
        _exit(3);
    // NOLINTNEXTLINE(bugprone-signal-handler): a system call, as collectors of garbage do
    if (mprotect(guarded_page, 4096, PROT_READ | PROT_WRITE) != 0)
        _exit(4);
}

/* A program may close pages of its own objects and open them when it is caught touching them. */
static void collect_garbage(void *unused)
{
    struct sigaction action = {.sa_sigaction = open_page, .sa_flags = SA_SIGINFO};

    MUST(sigaction(SIGSEGV, &action, NULL) == 0);
    for (int round = 0; round < 50; round++) {
        char *object = aligned_alloc(4096, 3 * 4096);
        pattern_fill(object, 3 * 4096, 1);
        guarded_page = object + 4096;
        MUST(mprotect(guarded_page, 4096, PROT_NONE) == 0);
        pattern_check(object, 3 * 4096, 1);
        MUST(signal_count == round + 1);
        free(object);
        check_and_free(filled(3 * 4096, 2), 3 * 4096, 2);
    }
    (void)unused;
}

static void pages_of_objects_may_be_closed_and_opened(void **state)
{
    (void)state;
    child_must_succeed(collect_garbage, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thousand_alarms_a_second_disturb_nothing),
        cmocka_unit_test(profiling_signals_disturb_nothing),
        cmocka_unit_test(large_objects_come_and_go_under_signals),
        cmocka_unit_test(handlers_take_backtraces_out_of_malloc),
        cmocka_unit_test(handlers_jump_out_of_code_beside_malloc),
        cmocka_unit_test(handlers_run_on_a_stack_that_malloc_gave),
        cmocka_unit_test(threads_are_shot_at_while_they_allocate),
        cmocka_unit_test(threads_begin_and_end_under_signals),
        cmocka_unit_test(a_handler_ends_the_process_within_malloc),
        cmocka_unit_test(pages_of_objects_may_be_closed_and_opened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
