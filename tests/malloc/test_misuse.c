/*
 * Programs that free what they must not, each in a child. Quarry ends them by abort(), with one
 * line on stderr that says what was done to which pointer; nothing is mended and nothing goes
 * unnoticed.
 *
 * The objects are freed in the child. A child tells which pointer it is about to misuse through a
 * word that it shares with the test.
 */
#include "common.h"

#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/mman.h>
#include <sys/wait.h>

#define DOUBLE_FREE "double free"
#define NOT_OBJECT  "no object begins"
#define NOT_OURS    "not of this heap"

static void *volatile *named;

/* The pointer that the line must name. */
static void *name(void *pointer)
{
    *named = pointer;
    return opaque(pointer);
}

static void dies(child_body *body, size_t bytes, const char *words)
{
    struct child child;
    char address[32];

    child_run(body, (void *)bytes, &child);
    snprintf(address, sizeof address, "%p", *named);
    child_aborted(&child, (const char *const[]){words, address, NULL});
    if (child_lines(&child) != 1)
        fail_msg("more than a line: %s", child.errors);
}

static const size_t sizes[] = {1, 8, 16, 24, 64, 200, 1000, 1024, 4096, 10000, 32768};

static void dies_with_every_size(child_body *body, const char *words)
{
    QUARRY_ONLY();
    for (size_t i = 0; i < COUNT_OF(sizes); i++)
        dies(body, sizes[i], words);
}

/* ---- double frees of one thread ------------------------------------------------------------- */

static void free_twice(void *bytes)
{
    void *object = name(malloc((size_t)bytes));

    free(object);
    free(opaque(object));
}

static void a_double_free_is_found_at_once(void **state)
{
    (void)state;
    dies_with_every_size(free_twice, DOUBLE_FREE);
}

static void free_twice_with_another_between(void *bytes)
{
    void *object = name(malloc((size_t)bytes)), *other = malloc((size_t)bytes);

    free(object);
    free(other);
    free(opaque(object));
}

static void a_double_free_is_found_behind_another_free(void **state)
{
    (void)state;
    dies_with_every_size(free_twice_with_another_between, DOUBLE_FREE);
}

static void free_twice_with_an_allocation_between(void *bytes)
{
    void *object = name(malloc((size_t)bytes));

    free(object);
    void *other = filled((size_t)bytes * 2 + 100, 1);
    free(opaque(object));
    check_and_free(other, (size_t)bytes * 2 + 100, 1);
}

static void a_double_free_is_found_after_another_allocation(void **state)
{
    (void)state;
    dies_with_every_size(free_twice_with_an_allocation_between, DOUBLE_FREE);
}

static void free_many_then_one_again(void *bytes)
{
    static void *objects[1000];

    for (size_t i = 0; i < COUNT_OF(objects); i++)
        objects[i] = opaque(malloc((size_t)bytes));
    name(objects[500]);
    for (size_t i = 0; i < COUNT_OF(objects); i += 2)
        free(objects[i]);
    free(opaque(objects[500]));
}

static void a_double_free_is_found_behind_five_hundred_frees(void **state)
{
    (void)state;
    dies_with_every_size(free_many_then_one_again, DOUBLE_FREE);
}

static void a_double_free_of_a_large_object_is_found(void **state)
{
    (void)state;
    QUARRY_ONLY();
    dies(free_twice, 64 * KIB, DOUBLE_FREE);
    dies(free_twice, 300 * KIB, DOUBLE_FREE);
    dies(free_twice_with_another_between, 64 * KIB, DOUBLE_FREE);
}

static void a_double_free_of_a_huge_object_is_found(void **state)
{
    (void)state;
    QUARRY_ONLY();
    dies(free_twice, 8 * MIB, DOUBLE_FREE);
    dies(free_twice_with_another_between, 8 * MIB, DOUBLE_FREE);
    dies(free_twice, 200 * MIB, DOUBLE_FREE);
}

static void free_aligned_twice(void *alignment)
{
    void *object = name(aligned_alloc((size_t)alignment, 300));

    free(object);
    free(opaque(object));
}

static void a_double_free_of_an_aligned_object_is_found(void **state)
{
    (void)state;
    QUARRY_ONLY();
    for (size_t alignment = 16; alignment <= 4 * MIB; alignment *= 4)
        dies(free_aligned_twice, alignment, DOUBLE_FREE);
}

static void free_cleared_twice(void *bytes)
{
    void *object = name(calloc(1, (size_t)bytes));

    free(object);
    free(opaque(object));
}

static void a_double_free_of_a_cleared_object_is_found(void **state)
{
    (void)state;
    dies_with_every_size(free_cleared_twice, DOUBLE_FREE);
}

/* By size: an object of no bytes is an object. */
static void a_double_free_of_an_object_of_no_bytes_is_found(void **state)
{
    (void)state;
    QUARRY_ONLY();
    dies(free_twice, 0, DOUBLE_FREE);
}

static void free_sized_twice(void *bytes)
{
    void (*release)(void *, size_t) = (void (*)(void *, size_t))function_find("free_sized");
    void *object = name(malloc((size_t)bytes));

    release(object, (size_t)bytes);
    release(opaque(object), (size_t)bytes);
}

static void a_double_free_by_size_is_found(void **state)
{
    (void)state;
    dies_with_every_size(free_sized_twice, DOUBLE_FREE);
}

static void reallocate_freed(void *bytes)
{
    void *object = name(malloc((size_t)bytes));

    free(object);
    free(opaque(realloc(opaque(object), (size_t)bytes * 3 + 100)));
}

static void realloc_of_a_freed_object_is_found(void **state)
{
    (void)state;
    dies_with_every_size(reallocate_freed, DOUBLE_FREE);
}

static void realloc_of_a_large_freed_object_is_found(void **state)
{
    (void)state;
    QUARRY_ONLY();
    dies(reallocate_freed, 64 * KIB, DOUBLE_FREE);
    dies(reallocate_freed, 8 * MIB, DOUBLE_FREE);
}

static void free_what_realloc_moved(void *bytes)
{
    void *object = name(malloc((size_t)bytes)), *moved = NULL;

    for (size_t more = (size_t)bytes * 2 + 100; moved == NULL || moved == object; more *= 2)
        moved = opaque(realloc(opaque(object), more));
    free(opaque(object));
    free(moved);
}

static void a_free_of_what_realloc_moved_away_is_found(void **state)
{
    (void)state;
    dies_with_every_size(free_what_realloc_moved, DOUBLE_FREE);
}

static void free_twice_in_forked_child(void *bytes)
{
    void *object = name(malloc((size_t)bytes));

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

static void *free_in_thread(void *object)
{
    free(object);
    return NULL;
}

static void *free_twice_in_thread(void *object)
{
    free(object);
    free(opaque(object));
    return NULL;
}

static void run_thread(void *(*body)(void *), void *object)
{
    pthread_t thread;

    MUST(pthread_create(&thread, NULL, body, object) == 0);
    MUST(pthread_join(thread, NULL) == 0);
}

/* What the others gave back is looked at when the owner needs more, at the latest. */
static void need_more(size_t bytes)
{
    static void *objects[5000];

    for (size_t i = 0; i < COUNT_OF(objects); i++)
        objects[i] = opaque(malloc(bytes));
    for (size_t i = 0; i < COUNT_OF(objects); i++)
        free(objects[i]);
}

static void free_remote_then_local(void *bytes)
{
    void *object = name(malloc((size_t)bytes));

    run_thread(free_in_thread, object);
    free(opaque(object));
    need_more((size_t)bytes);
}

static void a_double_free_by_another_thread_and_then_its_owner_is_found(void **state)
{
    (void)state;
    dies_with_every_size(free_remote_then_local, DOUBLE_FREE);
}

static void free_local_then_remote(void *bytes)
{
    void *object = name(malloc((size_t)bytes));

    free(object);
    run_thread(free_in_thread, opaque(object));
    need_more((size_t)bytes);
}

static void a_double_free_by_its_owner_and_then_another_thread_is_found(void **state)
{
    (void)state;
    dies_with_every_size(free_local_then_remote, DOUBLE_FREE);
}

static void free_remote_then_remote(void *bytes)
{
    void *object = name(malloc((size_t)bytes));

    run_thread(free_in_thread, object);
    run_thread(free_in_thread, opaque(object));
    need_more((size_t)bytes);
}

static void a_double_free_by_two_other_threads_is_found(void **state)
{
    (void)state;
    dies_with_every_size(free_remote_then_remote, DOUBLE_FREE);
}

static void free_remote_twice(void *bytes)
{
    run_thread(free_twice_in_thread, name(malloc((size_t)bytes)));
    need_more((size_t)bytes);
}

static void a_double_free_by_one_other_thread_is_found(void **state)
{
    (void)state;
    dies_with_every_size(free_remote_twice, DOUBLE_FREE);
}

static void a_double_free_of_a_large_object_by_threads_is_found(void **state)
{
    (void)state;
    QUARRY_ONLY();
    dies(free_remote_then_local, 64 * KIB, DOUBLE_FREE);
    dies(free_local_then_remote, 300 * KIB, DOUBLE_FREE);
    dies(free_remote_then_remote, 300 * KIB, DOUBLE_FREE);
    dies(free_remote_twice, 64 * KIB, DOUBLE_FREE);
}

static void *make_in_thread(void *ret_object)
{
    *(void **)ret_object = name(malloc(500));
    return NULL;
}

static void free_orphan_twice(void *unused)
{
    void *object = NULL;

    run_thread(make_in_thread, &object);
    free(object);
    free(opaque(object));
    need_more(500);
    (void)unused;
}

static void a_double_free_of_an_ended_threads_object_is_found(void **state)
{
    (void)state;
    QUARRY_ONLY();
    dies(free_orphan_twice, 0, DOUBLE_FREE);
}

/* ---- pointers that are no objects ----------------------------------------------------------- */

static void free_one_byte_in(void *bytes)
{
    free(name((char *)malloc((size_t)bytes) + 1));
}

static void a_free_of_a_pointer_one_byte_in_is_found(void **state)
{
    (void)state;
    dies_with_every_size(free_one_byte_in, NOT_OBJECT);
}

static void free_eight_bytes_in(void *bytes)
{
    free(name((char *)malloc((size_t)bytes) + 8));
}

static void a_free_of_a_pointer_eight_bytes_in_is_found(void **state)
{
    (void)state;
    QUARRY_ONLY();
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        if (sizes[i] > 8) /* else the next object may begin there */
            dies(free_eight_bytes_in, sizes[i], NOT_OBJECT);
    }
    dies(free_eight_bytes_in, 64 * KIB, NOT_OBJECT);
    dies(free_eight_bytes_in, 8 * MIB, NOT_OBJECT);
}

static void free_halfway_in(void *bytes)
{
    free(name((char *)malloc((size_t)bytes) + ((size_t)bytes / 2 & ~(size_t)15)));
}

static void a_free_of_a_pointer_halfway_in_is_found(void **state)
{
    (void)state;
    QUARRY_ONLY();
    for (size_t bytes = 48; bytes <= 64 * MIB; bytes = bytes * 3 / 2)
        dies(free_halfway_in, bytes, NOT_OBJECT);
}

static void free_page_in(void *bytes)
{
    free(name((char *)malloc((size_t)bytes) + 8192));
}

static void a_free_of_a_pointer_one_page_in_is_found(void **state)
{
    (void)state;
    QUARRY_ONLY();
    dies(free_page_in, 20000, NOT_OBJECT);
    dies(free_page_in, 64 * KIB, NOT_OBJECT);
    dies(free_page_in, MIB, NOT_OBJECT);
    dies(free_page_in, 100 * MIB, NOT_OBJECT);
}

static void reallocate_inside(void *bytes)
{
    free(opaque(realloc(name((char *)malloc((size_t)bytes) + 16), (size_t)bytes)));
}

static void realloc_of_a_pointer_inside_is_found(void **state)
{
    (void)state;
    QUARRY_ONLY();
    dies(reallocate_inside, 1000, NOT_OBJECT);
    dies(reallocate_inside, 10000, NOT_OBJECT);
    dies(reallocate_inside, MIB, NOT_OBJECT);
}

static void free_in_other_thread(void *bytes)
{
    run_thread(free_in_thread, name((char *)malloc((size_t)bytes) + 16));
    need_more((size_t)bytes);
}

static void a_free_of_a_pointer_inside_by_another_thread_is_found(void **state)
{
    (void)state;
    QUARRY_ONLY();
    dies(free_in_other_thread, 1000, NOT_OBJECT);
    dies(free_in_other_thread, 20000, NOT_OBJECT);
    dies(free_in_other_thread, MIB, NOT_OBJECT);
}

/* ---- pointers of others --------------------------------------------------------------------- */

static void free_of_stack(void *unused)
{
    char object[256] __attribute__((aligned(64)));

    object[0] = 1;
    free(name(object));
    (void)unused;
}

static void a_free_of_the_stack_is_found(void **state)
{
    (void)state;
    QUARRY_ONLY();
    dies(free_of_stack, 0, NOT_OURS);
}

static char static_object[4096] __attribute__((aligned(4096)));

static void free_of_static(void *offset)
{
    free(name(static_object + (size_t)offset));
}

static void a_free_of_a_static_object_is_found(void **state)
{
    (void)state;
    QUARRY_ONLY();
    dies(free_of_static, 0, NOT_OURS);
    dies(free_of_static, 64, NOT_OURS);
}

static void free_of_mapping(void *bytes)
{
    void *mapping =
        mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    MUST(mapping != MAP_FAILED);
    free(name(mapping));
}

static void a_free_of_a_mapping_is_found(void **state)
{
    (void)state;
    QUARRY_ONLY();
    dies(free_of_mapping, 4096, NOT_OURS);
    dies(free_of_mapping, GIB, NOT_OURS);
}

static void free_of_number(void *number)
{
    free(name(number));
}

static void a_free_of_a_number_is_found(void **state)
{
    (void)state;
    QUARRY_ONLY();
    dies(free_of_number, 1, NOT_OURS);
    dies(free_of_number, 16, NOT_OURS);
    dies(free_of_number, 4096, NOT_OURS);
    dies(free_of_number, (size_t)1 << 46, NOT_OURS);
    dies(free_of_number, (size_t)1 << 63, NOT_OURS);
    dies(free_of_number, SIZE_MAX, NOT_OURS);
    dies(free_of_number, SIZE_MAX - 15, NOT_OURS);
}

static void free_of_code(void *unused)
{
    free(name(function_find("malloc")));
    (void)unused;
}

static void a_free_of_a_function_is_found(void **state)
{
    (void)state;
    QUARRY_ONLY();
    dies(free_of_code, 0, NOT_OURS);
}

static void reallocate_static(void *bytes)
{
    free(opaque(realloc(name(static_object), (size_t)bytes)));
}

static void realloc_of_a_foreign_pointer_is_found(void **state)
{
    (void)state;
    QUARRY_ONLY();
    dies(reallocate_static, 16, NOT_OURS);
    dies(reallocate_static, MIB, NOT_OURS);
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
        cmocka_unit_test(a_free_of_a_pointer_one_byte_in_is_found),
        cmocka_unit_test(a_free_of_a_pointer_eight_bytes_in_is_found),
        cmocka_unit_test(a_free_of_a_pointer_halfway_in_is_found),
        cmocka_unit_test(a_free_of_a_pointer_one_page_in_is_found),
        cmocka_unit_test(realloc_of_a_pointer_inside_is_found),
        cmocka_unit_test(a_free_of_a_pointer_inside_by_another_thread_is_found),
        cmocka_unit_test(a_free_of_the_stack_is_found),
        cmocka_unit_test(a_free_of_a_static_object_is_found),
        cmocka_unit_test(a_free_of_a_mapping_is_found),
        cmocka_unit_test(a_free_of_a_number_is_found),
        cmocka_unit_test(a_free_of_a_function_is_found),
        cmocka_unit_test(realloc_of_a_foreign_pointer_is_found),
        cmocka_unit_test(a_program_without_stderr_is_ended_too),
        cmocka_unit_test(a_program_that_behaves_is_told_nothing),
    };
    named = mmap(NULL, sizeof *named, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    MUST(named != MAP_FAILED);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
