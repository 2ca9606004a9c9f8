/*
 * Processes that come from processes. A child has the parent's heap as it was at the fork, one
 * thread, and every right that the parent had: it frees, allocates and starts threads.
 *
 * FORKS=N (argument or environment variable) makes the storm of forks as long as that; `make soak`
 * lets it go on for QUARRY_SOAK_SECONDS.
 */
#include "common.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/wait.h>

#define STORM_THREADS 64u
#define STORM_FORKS   60u

static unsigned long storm_forks = STORM_FORKS, storm_seconds;

#define OBJECTS 2000u

static void *objects[OBJECTS];

static size_t object_bytes(size_t i)
{
    return i % 100 == 0 ? i * 50 + 1 : i % 1000 + 1;
}

static void objects_make(void)
{
    for (size_t i = 0; i < OBJECTS; i++)
        objects[i] = filled(object_bytes(i), i);
}

static void objects_end(void)
{
    for (size_t i = 0; i < OBJECTS; i++)
        check_and_free(objects[i], object_bytes(i), i);
}

static void churn(uint64_t seed, unsigned count)
{
    uint64_t random = seed;

    for (unsigned i = 0; i < count; i++) {
        size_t bytes = random_size(&random, MIB);
        check_and_free(filled(bytes, i), bytes, i);
    }
}

static void churn_in_thread(void *argument, unsigned index)
{
    churn(index + 1, 50);
    (void)argument;
}

/* A child that allocates in threads, frees what was the parent's, and ends. */
static void live_as_child(void *argument)
{
    churn(1, 100);
    threads_run(3, churn_in_thread, argument);
    objects_end();
    churn(2, 100);
}

/* Like child_run, without a pipe: many of these run at once. */
static pid_t start_child(child_body *body, void *argument)
{
    pid_t pid = fork();

    if (pid == 0) {
        (void)alarm(240);
        body(argument);
        _exit(0);
    }
    return pid;
}

/* ---- one thread ----------------------------------------------------------------------------- */

static void a_child_frees_the_objects_of_its_parent(void **state)
{
    (void)state;
    objects_make();
    child_must_succeed(live_as_child, NULL);
    objects_end();
}

static void live_for_generations(void *argument)
{
    uintptr_t generations = (uintptr_t)argument;

    churn(generations, 300);
    if (generations > 0)
        process_must_succeed(start_child(live_for_generations, (void *)(generations - 1)));
    objects_end();
}

static void children_of_children_free_the_objects_of_the_first(void **state)
{
    (void)state;
    objects_make();
    child_must_succeed(live_for_generations, (void *)(uintptr_t)8);
    objects_end();
}

static void overwrite_objects(void *unused)
{
    for (size_t i = 0; i < OBJECTS; i++)
        memset(objects[i], 0xee, malloc_usable_size(objects[i]));
    for (size_t i = 0; i < OBJECTS; i += 2)
        free(objects[i]);
    churn(2, 5000);
    (void)unused;
}

static void what_a_child_writes_stays_its_own(void **state)
{
    (void)state;
    objects_make();
    for (unsigned i = 0; i < 5; i++)
        child_must_succeed(overwrite_objects, NULL);
    objects_end();
}

static void free_at_exit(void)
{
    objects_end();
    churn(3, 100);
}

static void exit_with_handler(void *unused)
{
    MUST(atexit(free_at_exit) == 0);
    exit(0);
    (void)unused;
}

static void a_child_frees_in_its_exit_handlers(void **state)
{
    (void)state;
    objects_make();
    child_must_succeed(exit_with_handler, NULL);
    objects_end();
}

static void free_large_heap(void *large)
{
    void **parts = large;

    for (size_t i = 0; i < 2000; i++)
        check_and_free(parts[i], 50000, i);
    for (size_t i = 0; i < 2000; i++)
        parts[i] = filled(30000, i);
    for (size_t i = 0; i < 2000; i++)
        check_and_free(parts[i], 30000, i);
}

static void a_child_frees_a_heap_of_a_hundred_megabytes(void **state)
{
    static void *parts[2000];
    (void)state;

    for (size_t i = 0; i < COUNT_OF(parts); i++)
        parts[i] = filled(50000, i);
    child_must_succeed(free_large_heap, parts);
    for (size_t i = 0; i < COUNT_OF(parts); i++)
        check_and_free(parts[i], 50000, i);
}

static void live_as_daemon(void *ends)
{
    MUST(daemon(0, 1) == 0);
    live_as_child(NULL);
    MUST(write(((int *)ends)[1], "d", 1) == 1);
}

static void a_daemon_lives_on(void **state)
{
    int ends[2];
    char byte = 0;
    (void)state;

    assert_int_equal(pipe(ends), 0);
    objects_make();
    child_must_succeed(live_as_daemon, ends);
    close(ends[1]);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    assert_int_equal(byte, 'd');
    close(ends[0]);
    objects_end();
}

/* ---- handlers of fork ----------------------------------------------------------------------- */

static void *handler_object;
static atomic_bool handlers_on;
static atomic_uint handler_calls;

static void handle_prepare(void)
{
    if (!atomic_load(&handlers_on))
        return;
    handler_object = filled(7000, 7);
    churn(7, 50);
    atomic_fetch_add(&handler_calls, 1);
}

static void handle_after(void)
{
    if (!atomic_load(&handlers_on))
        return;
    check_and_free(handler_object, 7000, 7);
    churn(8, 50);
    atomic_fetch_add(&handler_calls, 1);
}

static void check_handler_calls(void *calls)
{
    MUST(atomic_load(&handler_calls) == *(unsigned *)calls);
}

/* Ran by the C library with no lock of malloc held, whoever registered first. */
static void handlers_of_fork_allocate_and_free(void **state)
{
    (void)state;
    assert_int_equal(pthread_atfork(handle_prepare, handle_after, handle_after), 0);
    atomic_store(&handlers_on, true);
    for (unsigned i = 0; i < 20; i++) {
        unsigned calls = 2 * i + 2;
        child_must_succeed(check_handler_calls, &calls);
        assert_int_equal(atomic_load(&handler_calls), calls);
    }
    atomic_store(&handlers_on, false);
}

/* ---- threads -------------------------------------------------------------------------------- */

struct storm {
    atomic_bool stop;
    pthread_t threads[STORM_THREADS];
};

static void *storm_churn(void *argument)
{
    struct storm *storm = argument;
    void *kept[100] = {NULL};
    uint64_t random = (uintptr_t)pthread_self();

    while (!atomic_load_explicit(&storm->stop, memory_order_relaxed)) {
        void **slot = &kept[random_next(&random) % COUNT_OF(kept)];
        free(*slot);
        *slot = opaque(malloc(random_size(&random, MIB)));
        MUST(*slot != NULL);
        if (random_next(&random) % 16 == 0)
            usleep(2000); /* 64 threads would leave the children no processor */
    }
    for (size_t i = 0; i < COUNT_OF(kept); i++)
        free(kept[i]);
    return NULL;
}

static void storm_begin(struct storm *storm, unsigned count)
{
    atomic_store(&storm->stop, false);
    for (unsigned i = 0; i < count; i++)
        MUST(pthread_create(&storm->threads[i], NULL, storm_churn, storm) == 0);
}

static void storm_end(struct storm *storm, unsigned count)
{
    atomic_store(&storm->stop, true);
    for (unsigned i = 0; i < count; i++)
        MUST(pthread_join(storm->threads[i], NULL) == 0);
}

static void children_of_a_process_of_64_threads_live(void **state)
{
    static struct storm storm;
    const double until = seconds_now() + (double)storm_seconds;
    (void)state;

    objects_make();
    storm_begin(&storm, STORM_THREADS);
    for (unsigned long i = 0; i < storm_forks || seconds_now() < until; i++)
        process_must_succeed(start_child(live_as_child, NULL));
    storm_end(&storm, STORM_THREADS);
    objects_end();
}

static void fork_in_thread(void *argument, unsigned index)
{
    for (unsigned i = 0; i < 15; i++) {
        process_must_succeed(start_child(live_as_child, argument));
        churn(index, 100);
    }
}

static void threads_fork_while_others_churn(void **state)
{
    static struct storm storm;
    (void)state;

    objects_make();
    storm_begin(&storm, 4);
    threads_run(4, fork_in_thread, NULL);
    storm_end(&storm, 4);
    objects_end();
}

/* The object that the forking thread had just made, in a heap of its own, is the child's too. */
static void end_thread_objects(void *argument)
{
    void **own = argument;

    for (size_t i = 0; i < 200; i++)
        check_and_free(own[i], i * 20, i);
    live_as_child(NULL);
}

static void fork_with_own_objects(void *argument, unsigned index)
{
    void *own[200];

    for (size_t i = 0; i < COUNT_OF(own); i++)
        own[i] = filled(i * 20, i);
    process_must_succeed(start_child(end_thread_objects, own));
    for (size_t i = 0; i < COUNT_OF(own); i++)
        check_and_free(own[i], i * 20, i);
    (void)argument;
    (void)index;
}

static void a_child_of_a_thread_has_the_objects_of_that_thread(void **state)
{
    (void)state;
    objects_make();
    for (unsigned round = 0; round < 20; round++)
        threads_run(1, fork_with_own_objects, NULL);
    objects_end();
}

static void fork_and_run(void *argument, unsigned index)
{
    churn(index + 1, 50);
    process_must_succeed(start_child(live_as_child, argument));
}

static void live_and_fork_in_threads(void *unused)
{
    threads_run(4, fork_and_run, unused);
}

static void threads_of_a_child_fork_in_turn(void **state)
{
    (void)state;
    objects_make();
    for (unsigned round = 0; round < 5; round++)
        child_must_succeed(live_and_fork_in_threads, NULL);
    objects_end();
}

static void hold_then_churn(void *argument)
{
    churn((uintptr_t)argument + 1, 20000);
}

static void parent_and_children_churn_at_one_time(void **state)
{
    pid_t children[4];
    (void)state;

    objects_make();
    for (uintptr_t i = 0; i < COUNT_OF(children); i++)
        children[i] = start_child(hold_then_churn, (void *)i);
    churn(99, 20000);
    for (size_t i = 0; i < COUNT_OF(children); i++)
        process_must_succeed(children[i]);
    objects_end();
}

/* ---- other programs ------------------------------------------------------------------------- */

static void vfork_runs_another_program(void **state)
{
    (void)state;
    objects_make();
    for (unsigned i = 0; i < 30; i++) {
        pid_t pid = vfork(); // NOLINT(clang-analyzer-security.insecureAPI.vfork): what is tested
        if (pid == 0) {
            (void)execl("/bin/true", "true", (char *)NULL);
            _exit(127);
        }
        process_must_succeed(pid);
    }
    objects_end();
}

static void spawn_one(void *argument, unsigned index)
{
    char name[] = "sh", option[] = "-c", script[] = "x=$(echo spawned); test \"$x\" = spawned";
    char *arguments[] = {name, option, script, NULL};

    for (unsigned i = 0; i < 10; i++) {
        pid_t pid;
        MUST(posix_spawn(&pid, "/bin/sh", NULL, NULL, arguments, environ) == 0);
        process_must_succeed(pid);
    }
    (void)argument;
    (void)index;
}

static void posix_spawn_runs_programs_from_threads(void **state)
{
    static struct storm storm;
    (void)state;

    storm_begin(&storm, 2);
    threads_run(3, spawn_one, NULL);
    storm_end(&storm, 2);
}

static void system_runs_a_shell(void **state)
{
    (void)state;
    objects_make();
    for (unsigned i = 0; i < 20; i++) // NOLINTNEXTLINE(cert-env33-c): what is tested
        assert_int_equal(system("x=; for i in 1 2 3 4 5; do x=$x$i; done; test $x = 12345"), 0);
    objects_end();
}

static void popen_reads_from_a_program(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        char line[100] = "";
        FILE *stream = popen("echo one; echo two", "re"); // NOLINT(cert-env33-c): what is tested
        assert_non_null(stream);
        assert_non_null(fgets(line, sizeof line, stream));
        assert_string_equal(line, "one\n");
        assert_non_null(fgets(line, sizeof line, stream));
        assert_null(fgets(line, sizeof line, stream));
        assert_int_equal(pclose(stream), 0);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_child_frees_the_objects_of_its_parent),
        cmocka_unit_test(children_of_children_free_the_objects_of_the_first),
        cmocka_unit_test(what_a_child_writes_stays_its_own),
        cmocka_unit_test(a_child_frees_in_its_exit_handlers),
        cmocka_unit_test(a_child_frees_a_heap_of_a_hundred_megabytes),
        cmocka_unit_test(a_daemon_lives_on),
        cmocka_unit_test(handlers_of_fork_allocate_and_free),
        cmocka_unit_test(children_of_a_process_of_64_threads_live),
        cmocka_unit_test(threads_fork_while_others_churn),
        cmocka_unit_test(a_child_of_a_thread_has_the_objects_of_that_thread),
        cmocka_unit_test(threads_of_a_child_fork_in_turn),
        cmocka_unit_test(parent_and_children_churn_at_one_time),
        cmocka_unit_test(vfork_runs_another_program),
        cmocka_unit_test(posix_spawn_runs_programs_from_threads),
        cmocka_unit_test(system_runs_a_shell),
        cmocka_unit_test(popen_reads_from_a_program),
    };
    storm_forks = argument_number(argc, argv, "FORKS", STORM_FORKS);
    storm_seconds = argument_number(argc, argv, "QUARRY_SOAK_SECONDS", 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
