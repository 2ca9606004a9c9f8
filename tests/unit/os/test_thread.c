/* Threads on stacks of our own, their numbers, and the hooks at exit and around fork. */
#include "cmocka_all.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <os/os.h>

#include "child.h"

static char *take_stack(void)
{
    void *stack = NULL;
    assert_int_equal(os_reserve(os_real(), OS_THREAD_STACK_BYTES, 4096, &stack), QUARRY_OK);
    assert_int_equal(os_commit(os_real(), stack, OS_THREAD_STACK_BYTES), QUARRY_OK);
    return stack;
}

static void give_stack(char *stack)
{
    assert_int_equal(os_release(os_real(), stack, OS_THREAD_STACK_BYTES), QUARRY_OK);
}

static void run_thread(const char *name, void (*run)(void *), void *argument)
{
    struct os_thread thread;
    char *stack = take_stack();
    assert_int_equal(os_thread_start(&thread, name, stack, OS_THREAD_STACK_BYTES, run, argument),
                     QUARRY_OK);
    os_thread_join(&thread);
    assert_false(thread.is_started);
    give_stack(stack);
}

struct seen {
    char name[32];
    sigset_t blocked;
    uintptr_t frame; /* an address on the stack that the thread runs on */
    uint32_t id;
    uint32_t id_again;
};

static void look_around(void *seen)
{
    struct seen *found = seen;
    found->frame = (uintptr_t)__builtin_frame_address(0);
    prctl(PR_GET_NAME, found->name);
    pthread_sigmask(SIG_SETMASK, NULL, &found->blocked);
    found->id = os_thread_id();
    found->id_again = os_thread_id();
}

static void a_thread_runs_on_the_stack_it_was_given(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct os_thread thread;
    char *stack = take_stack();
    assert_int_equal(
        os_thread_start(&thread, "t", stack, OS_THREAD_STACK_BYTES, look_around, &seen), QUARRY_OK);
    os_thread_join(&thread);
    assert_in_range(seen.frame, (uintptr_t)stack, (uintptr_t)stack + OS_THREAD_STACK_BYTES);
    give_stack(stack);
}

struct stepped_back {
    int policy, nice;
};

static void step_back(void *argument)
{
    struct stepped_back *seen = argument;

    os_thread_step_back();
    seen->policy = sched_getscheduler(0);
    seen->nice = getpriority(PRIO_PROCESS, 0);
    os_thread_step_back(); /* it has already */
    assert_int_equal(getpriority(PRIO_PROCESS, 0), seen->nice);
}

static void a_thread_that_steps_back_does_so_alone(void **state)
{
    (void)state;
    struct stepped_back seen = {0};
    int policy = sched_getscheduler(0), nice = getpriority(PRIO_PROCESS, 0);
    run_thread("t", step_back, &seen);
    assert_int_equal(seen.policy, policy == SCHED_OTHER ? SCHED_BATCH : policy);
    assert_int_equal(seen.nice, policy != SCHED_OTHER ? nice : nice + 5 > 19 ? 19 : nice + 5);
    assert_int_equal(sched_getscheduler(0), policy);
    assert_int_equal(getpriority(PRIO_PROCESS, 0), nice);
}

static void a_name_is_cut_to_fifteen_bytes(void **state)
{
    (void)state;
    struct seen seen = {0};
    run_thread("quarry-scav", look_around, &seen);
    assert_string_equal(seen.name, "quarry-scav");
    run_thread("a-name-far-too-long-for-it", look_around, &seen);
    assert_string_equal(seen.name, "a-name-far-too-");
}

static void signals_are_blocked_in_the_thread_and_as_before_outside(void **state)
{
    (void)state;
    struct seen seen = {0};
    sigset_t mask;
    run_thread("t", look_around, &seen);
    int signals[] = {SIGINT, SIGTERM, SIGUSR1, SIGCHLD, SIGPROF, SIGPIPE};
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        assert_int_equal(sigismember(&seen.blocked, signals[i]), 1);
        assert_int_equal(sigismember(&mask, signals[i]), 0);
    }
}

static void check_same_id(void *id)
{
    CHILD_CHECK(os_thread_id() == *(uint32_t *)id);
}

static void numbers_differ_between_threads_and_survive_fork(void **state)
{
    (void)state;
    struct seen first = {0};
    struct seen second = {0};
    uint32_t mine = os_thread_id();
    run_thread("t", look_around, &first);
    run_thread("t", look_around, &second);
    assert_int_not_equal(mine, 0);
    assert_int_not_equal(first.id, 0);
    assert_int_not_equal(first.id, mine);
    assert_int_not_equal(second.id, mine);
    assert_int_not_equal(second.id, first.id);
    assert_int_equal(first.id_again, first.id);
    assert_int_equal(os_thread_id(), mine);
    child_assert_succeeds(check_same_id, &mine);
}

static void start_without_threads(void *stack)
{
    struct os_thread thread;
    struct seen seen;
    child_deny(SYS_clone3, EAGAIN);
    child_deny(SYS_clone, EAGAIN);
    CHILD_CHECK(os_thread_start(&thread, "t", stack, OS_THREAD_STACK_BYTES, look_around, &seen) ==
                QUARRY_TOO_MANY);
    CHILD_CHECK(!thread.is_started);
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    CHILD_CHECK(sigismember(&mask, SIGTERM) == 0);
}

static void a_limit_of_threads_says_too_many(void **state)
{
    (void)state;
    char *stack = take_stack();
    child_assert_succeeds(start_without_threads, stack);
    give_stack(stack);
}

/* Thread storage of the whole program, as a large library might bring it: as much as the least
 * stack of a machine (128 KiB on 64-bit ARM), so that such a stack has no room left. */
static _Thread_local volatile char large_storage[128 * 1024];

static void a_stack_too_small_for_thread_storage_says_no_memory(void **state)
{
    (void)state;
    struct os_thread thread;
    struct seen seen;
    char *stack = take_stack();
    large_storage[0] = 1; /* used, so that it is there */
    assert_int_equal(os_thread_start(&thread, "t", stack, sizeof large_storage, look_around, &seen),
                     QUARRY_NO_MEMORY);
    assert_false(thread.is_started);
    give_stack(stack);
}

static void join_of_nothing(void *thread)
{
    os_thread_join(thread);
}

static void join_needs_a_started_thread(void **state)
{
    (void)state;
    struct os_thread thread = {0};
    child_assert_aborts(join_of_nothing, &thread, "thread->is_started");
}

struct word {
    _Atomic uint32_t value;
};

static void wait_for_word(void *argument)
{
    struct word *word = argument;
    /* Acquire: pairs with the release of whoever ends the wait. */
    while (atomic_load_acquire_u32(&word->value) == 0)
        os_futex_wait(&word->value, 0, UINT64_MAX);
}

static void forget_in_the_child(void *thread)
{
    os_thread_forget(thread);
    CHILD_CHECK(!((struct os_thread *)thread)->is_started);
}

static void a_child_forgets_a_thread_that_its_parent_keeps(void **state)
{
    (void)state;
    struct word word = {0};
    struct os_thread thread;
    char *stack = take_stack();
    assert_int_equal(
        os_thread_start(&thread, "t", stack, OS_THREAD_STACK_BYTES, wait_for_word, &word),
        QUARRY_OK);
    child_assert_succeeds(forget_in_the_child, &thread);
    assert_true(thread.is_started);
    atomic_store_release_u32(&word.value, 1); /* pairs with the acquire in wait_for_word */
    os_futex_wake(&word.value, 1);
    os_thread_join(&thread);
    give_stack(stack);
}

/* ---- the exit hook; one per process, so each test has its own ------------------------------- */

static _Atomic uint32_t hook_calls;
static _Thread_local uint32_t rearm_count;
static _Thread_local uint32_t thread_secret;

static void count_call(void)
{
    atomic_add_relaxed_u32(&hook_calls, 1); /* a count: nothing is published with it */
    CHILD_CHECK(thread_secret == 4711);     /* thread storage is still there */
    if (rearm_count > 0) {
        rearm_count--;
        CHILD_CHECK(os_thread_exit_arm() == QUARRY_OK);
    }
}

static void arm(void *rearms)
{
    thread_secret = 4711;
    rearm_count = *(uint32_t *)rearms;
    CHILD_CHECK(os_thread_exit_arm() == QUARRY_OK);
    CHILD_CHECK(os_thread_exit_arm() == QUARRY_OK);
}

static void do_nothing(void *unused)
{
    (void)unused;
}

static void run_hooked_threads(void *unused)
{
    (void)unused;
    static Q_ALIGNED(4096) char stack[OS_THREAD_STACK_BYTES];
    void (*bodies[])(void *) = {arm, do_nothing, arm, arm};
    uint32_t rearms[] = {0, 0, 0, 2};
    uint32_t calls[] = {1, 1, 2, 5};
    struct os_thread thread;
    CHILD_CHECK(os_thread_exit_arm() == QUARRY_OK); /* no hook yet: nothing happens */
    CHILD_CHECK(os_thread_exit_hook(count_call) == QUARRY_OK);
    for (int i = 0; i < 4; i++) {
        CHILD_CHECK(os_thread_start(&thread, "t", stack, sizeof stack, bodies[i], &rearms[i]) ==
                    QUARRY_OK);
        os_thread_join(&thread);
        CHILD_CHECK(atomic_load_relaxed_u32(&hook_calls) == calls[i]); /* joined: exact */
    }
}

static char hooks_called[8];

static void note_low(void)
{
    strcat(hooks_called, "l");
}

static void note_high(void)
{
    strcat(hooks_called, "h");
}

static void run_two_hooks(void *unused)
{
    (void)unused;
    static Q_ALIGNED(4096) char stack[OS_THREAD_STACK_BYTES];
    struct os_thread thread;
    uint32_t rearms = 0;
    CHILD_CHECK(os_thread_exit_hook(note_low) == QUARRY_OK);
    CHILD_CHECK(os_thread_exit_hook(note_high) == QUARRY_OK);
    CHILD_CHECK(os_thread_start(&thread, "t", stack, sizeof stack, arm, &rearms) == QUARRY_OK);
    os_thread_join(&thread);
    CHILD_CHECK(strcmp(hooks_called, "hl") == 0);
    for (uint32_t i = 2; i < OS_THREAD_EXIT_HOOKS_MAX; i++)
        CHILD_CHECK(os_thread_exit_hook(note_low) == QUARRY_OK);
    CHILD_CHECK(os_thread_exit_hook(note_low) == QUARRY_TOO_MANY);
}

static void use_up_keys_then_set_hook(void *unused)
{
    (void)unused;
    pthread_key_t key;
    while (pthread_key_create(&key, NULL) == 0)
        ;
    CHILD_CHECK(os_thread_exit_hook(count_call) == QUARRY_TOO_MANY);
    CHILD_CHECK(pthread_key_delete(key) == 0); /* the last one that was made */
    CHILD_CHECK(os_thread_exit_hook(count_call) == QUARRY_OK);
}

static void the_exit_hook_runs_in_threads_that_armed_it(void **state)
{
    (void)state;
    child_assert_succeeds(run_hooked_threads, NULL);
}

static void the_last_exit_hook_is_called_first(void **state)
{
    (void)state;
    child_assert_succeeds(run_two_hooks, NULL);
}

static void the_exit_hook_needs_a_key(void **state)
{
    (void)state;
    child_assert_succeeds(use_up_keys_then_set_hook, NULL);
}

/* ---- fork hooks ----------------------------------------------------------------------------- */

static char calls_made[16];

static void note(const char *call)
{
    strncat(calls_made, call, sizeof calls_made - strlen(calls_made) - 1);
}
static void low_prepare(void)
{
    note("p");
}
static void low_parent(void)
{
    note("a");
}
static void low_child(void)
{
    note("c");
}
static void middle_prepare(void)
{
    note("m");
}
static void high_prepare(void)
{
    note("P");
}
static void high_parent(void)
{
    note("A");
}
static void high_child(void)
{
    note("C");
}

static void more_hooks(void)
{
}

/* Ranks of a layer, of one above it, and one between, which registers last. */
static void fork_with_hooks(void *unused)
{
    (void)unused;
    CHILD_CHECK(os_fork_hooks(OS_RANK_SLAB_MOVE, high_prepare, high_parent, high_child) ==
                QUARRY_OK);
    CHILD_CHECK(os_fork_hooks(OS_RANK_HEAPS, low_prepare, low_parent, low_child) == QUARRY_OK);
    CHILD_CHECK(os_fork_hooks(OS_RANK_EPOCH, middle_prepare, more_hooks, more_hooks) == QUARRY_OK);
    CHILD_CHECK(os_fork_hooks(OS_RANK_HEAPS, low_prepare, low_parent, low_child) == QUARRY_OK);
    pid_t pid = fork();
    CHILD_CHECK(pid >= 0);
    if (pid == 0)
        _exit(strcmp(calls_made, "PmpcC") == 0 ? 0 : 1);
    CHILD_CHECK(strcmp(calls_made, "PmpaA") == 0);
    int status = 0;
    CHILD_CHECK(waitpid(pid, &status, 0) == pid);
    CHILD_CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void fork_hooks_run_by_rank_in_whatever_order_they_were_registered(void **state)
{
    (void)state;
    child_assert_succeeds(fork_with_hooks, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thread_runs_on_the_stack_it_was_given),
        cmocka_unit_test(a_thread_that_steps_back_does_so_alone),
        cmocka_unit_test(a_name_is_cut_to_fifteen_bytes),
        cmocka_unit_test(signals_are_blocked_in_the_thread_and_as_before_outside),
        cmocka_unit_test(numbers_differ_between_threads_and_survive_fork),
        cmocka_unit_test(a_limit_of_threads_says_too_many),
        cmocka_unit_test(a_stack_too_small_for_thread_storage_says_no_memory),
        cmocka_unit_test(join_needs_a_started_thread),
        cmocka_unit_test(a_child_forgets_a_thread_that_its_parent_keeps),
        cmocka_unit_test(the_exit_hook_runs_in_threads_that_armed_it),
        cmocka_unit_test(the_last_exit_hook_is_called_first),
        cmocka_unit_test(the_exit_hook_needs_a_key),
        cmocka_unit_test(fork_hooks_run_by_rank_in_whatever_order_they_were_registered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
