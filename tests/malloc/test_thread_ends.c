/*
 * Threads that end: what they allocated stays, what they kept for themselves is used again, and
 * their last steps (keys' destructors, cleanup handlers, cancellation) allocate and free like all
 * others.
 */
#include "common.h"

#include <limits.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Starts one thread and waits for it. */
static void run_thread(void *(*body)(void *), void *argument, const pthread_attr_t *attributes)
{
    pthread_t thread;

    MUST(pthread_create(&thread, attributes, body, argument) == 0);
    MUST(pthread_join(thread, NULL) == 0);
}

/* ---- churn ---------------------------------------------------------------------------------- */

static void *live_shortly(void *argument)
{
    uint64_t random = (uintptr_t)argument;

    for (unsigned i = 0; i < 30; i++) {
        size_t bytes = random_size(&random, 16 * KIB);
        check_and_free(filled(bytes, i), bytes, i);
    }
    return NULL;
}

static void twenty_thousand_threads_leave_memory_bounded(void **state)
{
    size_t early = 0;
    (void)state;

    for (uintptr_t i = 0; i < 20000; i += 4) {
        pthread_t threads[4];
        for (uintptr_t j = 0; j < 4; j++)
            MUST(pthread_create(&threads[j], NULL, live_shortly, (void *)(i + j)) == 0);
        for (unsigned j = 0; j < 4; j++)
            MUST(pthread_join(threads[j], NULL) == 0);
        if (i == 2000)
            early = resident_bytes();
    }
    assert_true(resident_bytes() < early + 32 * MIB);
}

static void *do_nothing(void *argument)
{
    return argument;
}

static void threads_that_never_allocate_end_without_trace(void **state)
{
    const size_t before = resident_bytes();
    (void)state;

    for (unsigned i = 0; i < 3000; i++)
        run_thread(do_nothing, NULL, NULL);
    assert_true(resident_bytes() < before + 16 * MIB);
}

/* Leaves one object behind, of all that it allocates. */
static void *leave_one(void *argument)
{
    void **slot = argument;
    void *others[50];

    for (size_t i = 0; i < COUNT_OF(others); i++)
        others[i] = filled(200, i);
    *slot = filled(200, 7);
    for (size_t i = 0; i < COUNT_OF(others); i++)
        check_and_free(others[i], 200, i);
    return NULL;
}

static void memory_of_ended_threads_is_used_again(void **state)
{
    static void *slots[4000];
    const size_t before = resident_bytes();
    (void)state;

    for (unsigned round = 0; round < 3; round++) {
        for (size_t i = 0; i < COUNT_OF(slots); i++)
            run_thread(leave_one, &slots[i], NULL);
        for (size_t i = 0; i < COUNT_OF(slots); i++)
            check_and_free(slots[i], 200, 7);
    }
    /* 4,000 survivors of 200 bytes, each of which may hold its page and no more. */
    assert_true(resident_bytes() < before + 64 * MIB);
}

/* ---- objects that stay ---------------------------------------------------------------------- */

#define LEGACY_OBJECTS 2000u

struct legacy {
    void *objects[LEGACY_OBJECTS];
};

static size_t legacy_bytes(size_t i)
{
    return i % 100 == 0 ? i * 100 : i + 1;
}

static void *leave_legacy(void *argument)
{
    struct legacy *legacy = argument;

    for (size_t i = 0; i < LEGACY_OBJECTS; i++)
        legacy->objects[i] = filled(legacy_bytes(i), i);
    return NULL;
}

static void *inherit_legacy(void *argument)
{
    struct legacy *legacy = argument;

    for (size_t i = 0; i < LEGACY_OBJECTS; i++)
        check_and_free(legacy->objects[i], legacy_bytes(i), i);
    return NULL;
}

static void objects_outlive_the_thread_that_made_them(void **state)
{
    static struct legacy legacies[10];
    (void)state;

    for (size_t i = 0; i < COUNT_OF(legacies); i++)
        run_thread(leave_legacy, &legacies[i], NULL);
    for (size_t i = 0; i < COUNT_OF(legacies); i++)
        (void)inherit_legacy(&legacies[i]);
}

static void objects_are_freed_by_threads_that_began_after_their_maker_ended(void **state)
{
    static struct legacy legacy;
    (void)state;

    for (unsigned round = 0; round < 30; round++) {
        run_thread(leave_legacy, &legacy, NULL);
        run_thread(inherit_legacy, &legacy, NULL);
    }
}

static void *shrink_or_grow_legacy(void *argument)
{
    struct legacy *legacy = argument;

    for (size_t i = 0; i < LEGACY_OBJECTS; i++) {
        size_t bytes = legacy_bytes(LEGACY_OBJECTS - 1 - i), old = legacy_bytes(i);
        legacy->objects[i] = opaque(realloc(legacy->objects[i], bytes));
        pattern_check_prefix(legacy->objects[i], bytes < old ? bytes : old, i);
        pattern_fill(legacy->objects[i], bytes, i);
    }
    return NULL;
}

static void objects_of_ended_threads_are_reallocated(void **state)
{
    static struct legacy legacy;
    (void)state;

    run_thread(leave_legacy, &legacy, NULL);
    run_thread(shrink_or_grow_legacy, &legacy, NULL);
    for (size_t i = 0; i < LEGACY_OBJECTS; i++)
        check_and_free(legacy.objects[i], legacy_bytes(LEGACY_OBJECTS - 1 - i), i);
}

struct half {
    struct legacy legacy;
    pthread_barrier_t barrier;
};

static void *leave_while_others_free(void *argument)
{
    struct half *half = argument;

    (void)leave_legacy(&half->legacy);
    pthread_barrier_wait(&half->barrier);
    return NULL; /* ends while main frees */
}

static void objects_are_freed_while_their_maker_ends(void **state)
{
    static struct half half;
    (void)state;

    assert_int_equal(pthread_barrier_init(&half.barrier, NULL, 2), 0);
    for (unsigned round = 0; round < 100; round++) {
        pthread_t thread;
        MUST(pthread_create(&thread, NULL, leave_while_others_free, &half) == 0);
        pthread_barrier_wait(&half.barrier);
        (void)inherit_legacy(&half.legacy);
        MUST(pthread_join(thread, NULL) == 0);
    }
    assert_int_equal(pthread_barrier_destroy(&half.barrier), 0);
}

/* ---- last steps ----------------------------------------------------------------------------- */

struct heirloom {
    size_t bytes;
    unsigned rounds_left;
};

#define KEYS 8u

static pthread_key_t keys[KEYS];
static atomic_uint destroyed;

static struct heirloom *heirloom_make(size_t bytes, unsigned rounds)
{
    struct heirloom *heirloom = malloc(sizeof *heirloom + bytes);

    MUST(heirloom != NULL);
    *heirloom = (struct heirloom){.bytes = bytes, .rounds_left = rounds};
    pattern_fill(heirloom + 1, bytes, bytes);
    return heirloom;
}

/* A key's destructor that sets keys anew, so that the C library calls destructors again. Other
   keys' destructors have run before and will run after: what the allocator does at a thread's end,
   it does among them. */
static void heirloom_end(void *value)
{
    struct heirloom *heirloom = value;
    unsigned rounds = heirloom->rounds_left;

    pattern_check(heirloom + 1, heirloom->bytes, heirloom->bytes);
    if (rounds > 0) {
        for (unsigned i = 0; i < KEYS; i++) {
            if (pthread_getspecific(keys[i]) == NULL) {
                MUST(pthread_setspecific(keys[i], heirloom_make(50 + i * 900, rounds - 1)) == 0);
                break;
            }
        }
    }
    for (size_t bytes = 1; bytes < 50000; bytes = bytes * 3 + 1)
        check_and_free(filled(bytes, 1), bytes, 1);
    free(heirloom);
    atomic_fetch_add(&destroyed, 1);
}

static void *set_keys(void *unused)
{
    for (unsigned i = 0; i < KEYS; i++)
        MUST(pthread_setspecific(keys[i], heirloom_make(10 + i * 500, 2)) == 0);
    return unused;
}

static void destructors_of_keys_allocate_and_free_in_several_rounds(void **state)
{
    (void)state;
    for (unsigned i = 0; i < KEYS; i++)
        assert_int_equal(pthread_key_create(&keys[i], heirloom_end), 0);
    for (unsigned round = 0; round < 500; round++)
        run_thread(set_keys, NULL, NULL);
    assert_int_equal(atomic_load(&destroyed), 500 * KEYS * 3);
    for (unsigned i = 0; i < KEYS; i++)
        assert_int_equal(pthread_key_delete(keys[i]), 0);
}

/* A destructor of a thread that never called malloc before it. */
static void first_call_at_the_end(void *value)
{
    *(int *)value = 1;
    for (size_t bytes = 1; bytes < 50000; bytes = bytes * 3 + 1)
        check_and_free(filled(bytes, 1), bytes, 1);
}

static pthread_key_t late_key;
static int late_mark;

static void *set_late_key(void *unused)
{
    MUST(pthread_setspecific(late_key, &late_mark) == 0);
    return unused;
}

static void a_thread_may_allocate_first_in_a_destructor(void **state)
{
    (void)state;
    assert_int_equal(pthread_key_create(&late_key, first_call_at_the_end), 0);
    for (unsigned round = 0; round < 300; round++) {
        late_mark = 0;
        run_thread(set_late_key, NULL, NULL);
        assert_int_equal(late_mark, 1);
    }
    assert_int_equal(pthread_key_delete(late_key), 0);
}

static void free_at_cleanup(void *object)
{
    check_and_free(object, 3000, 3);
}

static void *wait_to_be_cancelled(void *argument)
{
    pthread_cleanup_push(free_at_cleanup, filled(3000, 3));
    pthread_barrier_wait(argument);
    for (;;) {
        check_and_free(filled(500, 1), 500, 1);
        pthread_testcancel();
    }
    pthread_cleanup_pop(1);
    return NULL;
}

static void cancelled_threads_free_in_their_cleanup(void **state)
{
    pthread_barrier_t barrier;
    (void)state;

    assert_int_equal(pthread_barrier_init(&barrier, NULL, 2), 0);
    for (unsigned round = 0; round < 300; round++) {
        pthread_t thread;
        void *result = NULL;
        MUST(pthread_create(&thread, NULL, wait_to_be_cancelled, &barrier) == 0);
        pthread_barrier_wait(&barrier);
        MUST(pthread_cancel(thread) == 0);
        MUST(pthread_join(thread, &result) == 0);
        assert_ptr_equal(result, PTHREAD_CANCELED);
    }
    assert_int_equal(pthread_barrier_destroy(&barrier), 0);
}

/* malloc must not be a place where cancellation strikes, which would leave it locked. */
static void *allocate_for_ever(void *argument)
{
    uint64_t random = 5;

    pthread_barrier_wait(argument);
    for (;;) {
        size_t bytes = random_size(&random, MIB);
        check_and_free(filled(bytes, 1), bytes, 1);
        if (random % 64 == 0)
            pthread_testcancel();
    }
    return NULL;
}

static void cancellation_leaves_no_lock_behind(void **state)
{
    pthread_barrier_t barrier;
    (void)state;

    assert_int_equal(pthread_barrier_init(&barrier, NULL, 2), 0);
    for (unsigned round = 0; round < 200; round++) {
        pthread_t thread;
        MUST(pthread_create(&thread, NULL, allocate_for_ever, &barrier) == 0);
        pthread_barrier_wait(&barrier);
        MUST(pthread_cancel(thread) == 0);
        (void)live_shortly((void *)(uintptr_t)round);
        MUST(pthread_join(thread, NULL) == 0);
    }
    assert_int_equal(pthread_barrier_destroy(&barrier), 0);
}

/* ---- stacks, and ends of the process -------------------------------------------------------- */

static void *use_small_stack(void *argument)
{
    void *large = filled(MIB, 2);

    (void)live_shortly(argument);
    for (size_t bytes = 1; bytes < MIB; bytes = bytes * 4) {
        void *object = opaque(realloc(filled(bytes, 1), bytes * 2));
        pattern_check_prefix(object, bytes, 1);
        free(object);
        free(opaque(memalign(4096, bytes)));
    }
    check_and_free(large, MIB, 2);
    return NULL;
}

/* With the smallest stack that the C library allows, less some for the test itself. */
static void malloc_needs_little_stack(void **state)
{
    pthread_attr_t attributes;
    (void)state;

    assert_int_equal(pthread_attr_init(&attributes), 0);
    assert_int_equal(pthread_attr_setstacksize(&attributes, (size_t)PTHREAD_STACK_MIN), 0);
    for (unsigned round = 0; round < 100; round++)
        run_thread(use_small_stack, NULL, &attributes);
    assert_int_equal(pthread_attr_destroy(&attributes), 0);
}

static void *churn_for_ever(void *argument)
{
    for (;;)
        (void)live_shortly(argument);
    return NULL;
}

static void start_detached(unsigned count)
{
    for (uintptr_t i = 0; i < count; i++) {
        pthread_t thread;
        MUST(pthread_create(&thread, NULL, churn_for_ever, (void *)i) == 0);
        MUST(pthread_detach(thread) == 0);
    }
}

static void exit_among_threads(void *unused)
{
    start_detached(6);
    usleep(2000);
    exit(0);
    (void)unused;
}

static void a_process_exits_while_its_threads_allocate(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 30; round++)
        child_must_succeed(exit_among_threads, NULL);
}

static void quick_exit_among_threads(void *unused)
{
    start_detached(6);
    quick_exit(0);
    (void)unused;
}

static void a_process_quick_exits_while_its_threads_allocate(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 10; round++)
        child_must_succeed(quick_exit_among_threads, NULL);
}

static void *outlive_main(void *argument)
{
    usleep(3000);
    (void)inherit_legacy(argument);
    exit(0);
    return NULL;
}

static void end_main_thread(void *argument)
{
    pthread_t thread;

    (void)leave_legacy(argument);
    MUST(pthread_create(&thread, NULL, outlive_main, argument) == 0);
    pthread_exit(NULL);
}

static void other_threads_go_on_when_the_main_thread_ends(void **state)
{
    static struct legacy legacy;
    (void)state;

    for (unsigned round = 0; round < 10; round++)
        child_must_succeed(end_main_thread, &legacy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(twenty_thousand_threads_leave_memory_bounded),
        cmocka_unit_test(threads_that_never_allocate_end_without_trace),
        cmocka_unit_test(memory_of_ended_threads_is_used_again),
        cmocka_unit_test(objects_outlive_the_thread_that_made_them),
        cmocka_unit_test(objects_are_freed_by_threads_that_began_after_their_maker_ended),
        cmocka_unit_test(objects_of_ended_threads_are_reallocated),
        cmocka_unit_test(objects_are_freed_while_their_maker_ends),
        cmocka_unit_test(destructors_of_keys_allocate_and_free_in_several_rounds),
        cmocka_unit_test(a_thread_may_allocate_first_in_a_destructor),
        cmocka_unit_test(cancelled_threads_free_in_their_cleanup),
        cmocka_unit_test(cancellation_leaves_no_lock_behind),
        cmocka_unit_test(malloc_needs_little_stack),
        cmocka_unit_test(a_process_exits_while_its_threads_allocate),
        cmocka_unit_test(a_process_quick_exits_while_its_threads_allocate),
        cmocka_unit_test(other_threads_go_on_when_the_main_thread_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
