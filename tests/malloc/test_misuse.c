/*
 * Objects that are freed twice, each in a child. Quarry ends the program by abort(), with one line
 * on stderr that says what was done to which pointer; nothing is mended and nothing goes unnoticed.
 * Where threads free what is another's, the second free may be noticed as late as at the end of the
 * thread, or when the owner takes back what it was sent.
 */
#include "misuse.h"

#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <sys/wait.h>

/* ---- double frees of one thread ------------------------------------------------------------- */

static void free_twice(void *bytes)
{
    void *object = misuse_name(malloc((size_t)bytes));

    free(object);
    free(opaque(object));
}

static void a_double_free_is_found_at_once(void **state)
{
    (void)state;
    misuse_dies_with_every_size(free_twice, DOUBLE_FREE);
}

static void free_twice_with_another_between(void *bytes)
{
    void *object = misuse_name(malloc((size_t)bytes)), *other = malloc((size_t)bytes);

    free(object);
    free(other);
    free(opaque(object));
}

static void a_double_free_is_found_behind_another_free(void **state)
{
    (void)state;
    misuse_dies_with_every_size(free_twice_with_another_between, DOUBLE_FREE);
}

static void free_twice_with_an_allocation_between(void *bytes)
{
    void *object = misuse_name(malloc((size_t)bytes));

    free(object);
    void *other = filled((size_t)bytes * 2 + 100, 1);
    free(opaque(object));
    check_and_free(other, (size_t)bytes * 2 + 100, 1);
}

static void a_double_free_is_found_after_another_allocation(void **state)
{
    (void)state;
    misuse_dies_with_every_size(free_twice_with_an_allocation_between, DOUBLE_FREE);
}

static void free_many_then_one_again(void *bytes)
{
    static void *objects[1000];

    for (size_t i = 0; i < COUNT_OF(objects); i++)
        objects[i] = opaque(malloc((size_t)bytes));
    misuse_name(objects[500]);
    for (size_t i = 0; i < COUNT_OF(objects); i += 2)
        free(objects[i]);
    free(opaque(objects[500]));
}

static void a_double_free_is_found_behind_five_hundred_frees(void **state)
{
    (void)state;
    misuse_dies_with_every_size(free_many_then_one_again, FREED_ALREADY);
}

static void a_double_free_of_a_large_object_is_found(void **state)
{
    (void)state;
    QUARRY_ONLY();
    misuse_dies(free_twice, 64 * KIB, FREED_ALREADY);
    misuse_dies(free_twice, 300 * KIB, FREED_ALREADY);
    misuse_dies(free_twice_with_another_between, 64 * KIB, FREED_ALREADY);
}

static void a_double_free_of_a_huge_object_is_found(void **state)
{
    (void)state;
    QUARRY_ONLY();
    misuse_dies(free_twice, 8 * MIB, FREED_ALREADY);
    misuse_dies(free_twice_with_another_between, 8 * MIB, FREED_ALREADY);
    misuse_dies(free_twice, 200 * MIB, FREED_ALREADY);
}

static void free_aligned_twice(void *alignment)
{
    void *object = misuse_name(aligned_alloc((size_t)alignment, 300));

    free(object);
    free(opaque(object));
}

static void a_double_free_of_an_aligned_object_is_found(void **state)
{
    (void)state;
    QUARRY_ONLY();
    for (size_t alignment = 16; alignment <= 4 * MIB; alignment *= 4)
        misuse_dies(free_aligned_twice, alignment, FREED_ALREADY);
}

static void free_cleared_twice(void *bytes)
{
    void *object = misuse_name(calloc(1, (size_t)bytes));

    free(object);
    free(opaque(object));
}

static void a_double_free_of_a_cleared_object_is_found(void **state)
{
    (void)state;
    misuse_dies_with_every_size(free_cleared_twice, DOUBLE_FREE);
}

/* By size: an object of no bytes is an object. */
static void a_double_free_of_an_object_of_no_bytes_is_found(void **state)
{
    (void)state;
    QUARRY_ONLY();
    misuse_dies(free_twice, 0, DOUBLE_FREE);
}

static void free_sized_twice(void *bytes)
{
    void (*release)(void *, size_t) = (void (*)(void *, size_t))function_find("free_sized");
    void *object = misuse_name(malloc((size_t)bytes));

    release(object, (size_t)bytes);
    release(opaque(object), (size_t)bytes);
}

static void a_double_free_by_size_is_found(void **state)
{
    (void)state;
    misuse_dies_with_every_size(free_sized_twice, DOUBLE_FREE);
}

static void reallocate_freed(void *bytes)
{
    void *object = misuse_name(malloc((size_t)bytes));

    free(object);
    free(opaque(realloc(opaque(object), (size_t)bytes * 3 + 100)));
}

static void realloc_of_a_freed_object_is_found(void **state)
{
    (void)state;
    misuse_dies_with_every_size(reallocate_freed, FREED_ALREADY);
}

static void realloc_of_a_large_freed_object_is_found(void **state)
{
    (void)state;
    QUARRY_ONLY();
    misuse_dies(reallocate_freed, 64 * KIB, FREED_ALREADY);
    misuse_dies(reallocate_freed, 8 * MIB, FREED_ALREADY);
}

static void free_what_realloc_moved(void *bytes)
{
    void *object = misuse_name(malloc((size_t)bytes)), *moved = NULL;

    for (size_t more = (size_t)bytes * 2 + 100; moved == NULL || moved == object; more *= 2)
        moved = opaque(realloc(opaque(object), more));
    free(opaque(object));
    free(moved);
}

static void a_free_of_what_realloc_moved_away_is_found(void **state)
{
    (void)state;
    misuse_dies_with_every_size(free_what_realloc_moved, DOUBLE_FREE);
}

static void free_twice_in_forked_child(void *bytes)
{
    void *object = misuse_name(malloc((size_t)bytes));

    free(object);
    pid_t pid = fork();
    MUST(pid >= 0);
    if (pid != 0)
        process_must_succeed(pid); /* it must not: the child's abort makes this one */
    free(opaque(object));
}

static void a_double_free_is_found_in_a_child_of_the_first(void **state)
{
    struct child child;
    (void)state;

    QUARRY_ONLY();
    child_run(free_twice_in_forked_child, (void *)(size_t)100, &child);
    child_aborted(&child, (const char *const[]){DOUBLE_FREE, NULL});
}

/* ---- double frees of several threads -------------------------------------------------------- */

static void *free_twice_in_thread(void *object)
{
    free(object);
    free(opaque(object));
    return NULL;
}

static void free_remote_then_local(void *bytes)
{
    void *object = misuse_name(malloc((size_t)bytes));

    misuse_in_thread(misuse_free, object);
    free(opaque(object));
    misuse_need_more((size_t)bytes);
}

static void a_double_free_by_another_thread_and_then_its_owner_is_found(void **state)
{
    (void)state;
    misuse_dies_with_every_size(free_remote_then_local, DOUBLE_FREE);
}

static void free_local_then_remote(void *bytes)
{
    void *object = misuse_name(malloc((size_t)bytes));

    free(object);
    misuse_in_thread(misuse_free, opaque(object));
    misuse_need_more((size_t)bytes);
}

static void a_double_free_by_its_owner_and_then_another_thread_is_found(void **state)
{
    (void)state;
    misuse_dies_with_every_size(free_local_then_remote, DOUBLE_FREE);
}

static void free_remote_then_remote(void *bytes)
{
    void *object = misuse_name(malloc((size_t)bytes));

    misuse_in_thread(misuse_free, object);
    misuse_in_thread(misuse_free, opaque(object));
    misuse_need_more((size_t)bytes);
}

static void a_double_free_by_two_other_threads_is_found(void **state)
{
    (void)state;
    misuse_dies_with_every_size(free_remote_then_remote, DOUBLE_FREE);
}

static void free_remote_twice(void *bytes)
{
    misuse_in_thread(free_twice_in_thread, misuse_name(malloc((size_t)bytes)));
    misuse_need_more((size_t)bytes);
}

static void a_double_free_by_one_other_thread_is_found(void **state)
{
    (void)state;
    misuse_dies_with_every_size(free_remote_twice, DOUBLE_FREE);
}

static void a_double_free_of_a_large_object_by_threads_is_found(void **state)
{
    (void)state;
    QUARRY_ONLY();
    misuse_dies(free_remote_then_local, 64 * KIB, FREED_ALREADY);
    misuse_dies(free_local_then_remote, 300 * KIB, FREED_ALREADY);
    misuse_dies(free_remote_then_remote, 300 * KIB, FREED_ALREADY);
    misuse_dies(free_remote_twice, 64 * KIB, FREED_ALREADY);
}

static void *make_in_thread(void *ret_object)
{
    *(void **)ret_object = misuse_name(malloc(500));
    return NULL;
}

static void free_orphan_twice(void *unused)
{
    void *object = NULL;

    misuse_in_thread(make_in_thread, &object);
    free(object);
    free(opaque(object));
    misuse_need_more(500);
    (void)unused;
}

static void a_double_free_of_an_ended_threads_object_is_found(void **state)
{
    (void)state;
    QUARRY_ONLY();
    misuse_dies(free_orphan_twice, 0, DOUBLE_FREE);
}

/* ---- how it is said ------------------------------------------------------------------------- */

static void free_twice_without_stderr(void *bytes)
{
    close(STDERR_FILENO);
    free_twice(bytes);
}

static void a_program_without_stderr_is_ended_too(void **state)
{
    struct child child;
    (void)state;

    QUARRY_ONLY();
    child_run(free_twice_without_stderr, (void *)(size_t)100, &child);
    assert_true(WIFSIGNALED(child.status) && WTERMSIG(child.status) == SIGABRT);
    assert_string_equal(child.errors, "");
}

static void behave(void *unused)
{
    uint64_t random = 1;

    for (unsigned i = 0; i < 100000; i++) {
        size_t bytes = random_size(&random, MIB);
        check_and_free(filled(bytes, i), bytes, i);
    }
    (void)unused;
}

static void a_program_that_behaves_is_told_nothing(void **state)
{
    struct child child;
    (void)state;

    child_run(behave, NULL, &child);
    child_succeeded(&child);
    assert_string_equal(child.errors, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_double_free_is_found_at_once),
        cmocka_unit_test(a_double_free_is_found_behind_another_free),
        cmocka_unit_test(a_double_free_is_found_after_another_allocation),
        cmocka_unit_test(a_double_free_is_found_behind_five_hundred_frees),
        cmocka_unit_test(a_double_free_of_a_large_object_is_found),
        cmocka_unit_test(a_double_free_of_a_huge_object_is_found),
        cmocka_unit_test(a_double_free_of_an_aligned_object_is_found),
        cmocka_unit_test(a_double_free_of_a_cleared_object_is_found),
        cmocka_unit_test(a_double_free_of_an_object_of_no_bytes_is_found),
        cmocka_unit_test(a_double_free_by_size_is_found),
        cmocka_unit_test(realloc_of_a_freed_object_is_found),
        cmocka_unit_test(realloc_of_a_large_freed_object_is_found),
        cmocka_unit_test(a_free_of_what_realloc_moved_away_is_found),
        cmocka_unit_test(a_double_free_is_found_in_a_child_of_the_first),
        cmocka_unit_test(a_double_free_by_another_thread_and_then_its_owner_is_found),
        cmocka_unit_test(a_double_free_by_its_owner_and_then_another_thread_is_found),
        cmocka_unit_test(a_double_free_by_two_other_threads_is_found),
        cmocka_unit_test(a_double_free_by_one_other_thread_is_found),
        cmocka_unit_test(a_double_free_of_a_large_object_by_threads_is_found),
        cmocka_unit_test(a_double_free_of_an_ended_threads_object_is_found),
        cmocka_unit_test(a_program_without_stderr_is_ended_too),
        cmocka_unit_test(a_program_that_behaves_is_told_nothing),
    };
    misuse_begin();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
