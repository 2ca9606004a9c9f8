/*
 * Frees of what is no object: of a pointer into one, of the stack, of a number. Each in a child,
 * which is ended by abort() and a line that names the pointer.
 */
#include "misuse.h"

#include <stdlib.h>

#include <sys/mman.h>

/* ---- pointers that are no objects ----------------------------------------------------------- */

static void free_one_byte_in(void *bytes)
{
    free(misuse_name((char *)malloc((size_t)bytes) + 1));
}

static void a_free_of_a_pointer_one_byte_in_is_found(void **state)
{
    (void)state;
    misuse_dies_with_every_size(free_one_byte_in, NOT_OBJECT);
}

static void free_eight_bytes_in(void *bytes)
{
    free(misuse_name((char *)malloc((size_t)bytes) + 8));
}

static void a_free_of_a_pointer_eight_bytes_in_is_found(void **state)
{
    (void)state;
    QUARRY_ONLY();
    for (size_t bytes = 9; bytes <= 32 * KIB; bytes *= 2) /* under it the next may begin there */
        misuse_dies(free_eight_bytes_in, bytes, NOT_OBJECT);
    misuse_dies(free_eight_bytes_in, 64 * KIB, NOT_OBJECT);
    misuse_dies(free_eight_bytes_in, 8 * MIB, NOT_OBJECT);
}

static void free_halfway_in(void *bytes)
{
    free(misuse_name((char *)malloc((size_t)bytes) + ((size_t)bytes / 2 & ~(size_t)15)));
}

static void a_free_of_a_pointer_halfway_in_is_found(void **state)
{
    (void)state;
    QUARRY_ONLY();
    for (size_t bytes = 48; bytes <= 64 * MIB; bytes = bytes * 3 / 2)
        misuse_dies(free_halfway_in, bytes, NOT_OBJECT);
}

static void free_page_in(void *bytes)
{
    free(misuse_name((char *)malloc((size_t)bytes) + 8192));
}

static void a_free_of_a_pointer_one_page_in_is_found(void **state)
{
    (void)state;
    QUARRY_ONLY();
    misuse_dies(free_page_in, 20000, NOT_OBJECT);
    misuse_dies(free_page_in, 64 * KIB, NOT_OBJECT);
    misuse_dies(free_page_in, MIB, NOT_OBJECT);
    misuse_dies(free_page_in, 100 * MIB, NOT_OBJECT);
}

static void reallocate_inside(void *bytes)
{
    free(opaque(realloc(misuse_name((char *)malloc((size_t)bytes) + 16), (size_t)bytes)));
}

static void realloc_of_a_pointer_inside_is_found(void **state)
{
    (void)state;
    QUARRY_ONLY();
    misuse_dies(reallocate_inside, 1000, NOT_OBJECT);
    misuse_dies(reallocate_inside, 10000, NOT_OBJECT);
    misuse_dies(reallocate_inside, MIB, NOT_OBJECT);
}

static void free_in_other_thread(void *bytes)
{
    misuse_in_thread(misuse_free, misuse_name((char *)malloc((size_t)bytes) + 16));
    misuse_need_more((size_t)bytes);
}

static void a_free_of_a_pointer_inside_by_another_thread_is_found(void **state)
{
    (void)state;
    QUARRY_ONLY();
    misuse_dies(free_in_other_thread, 1000, NOT_OBJECT);
    misuse_dies(free_in_other_thread, 20000, NOT_OBJECT);
    misuse_dies(free_in_other_thread, MIB, NOT_OBJECT);
}

/* ---- pointers of others --------------------------------------------------------------------- */

static void free_of_stack(void *unused)
{
    char object[256] __attribute__((aligned(64)));

    object[0] = 1;
    free(misuse_name(object));
    (void)unused;
}

static void a_free_of_the_stack_is_found(void **state)
{
    (void)state;
    QUARRY_ONLY();
    misuse_dies(free_of_stack, 0, NOT_OURS);
}

static char static_object[4096] __attribute__((aligned(4096)));

static void free_of_static(void *offset)
{
    free(misuse_name(static_object + (size_t)offset));
}

static void a_free_of_a_static_object_is_found(void **state)
{
    (void)state;
    QUARRY_ONLY();
    misuse_dies(free_of_static, 0, NOT_OURS);
    misuse_dies(free_of_static, 64, NOT_OURS);
}

static void free_of_mapping(void *bytes)
{
    void *mapping =
        mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    MUST(mapping != MAP_FAILED);
    free(misuse_name(mapping));
}

static void a_free_of_a_mapping_is_found(void **state)
{
    (void)state;
    QUARRY_ONLY();
    misuse_dies(free_of_mapping, 4096, NOT_OURS);
    misuse_dies(free_of_mapping, GIB, NOT_OURS);
}

static void free_of_number(void *number)
{
    free(misuse_name(number));
}

static void a_free_of_a_number_is_found(void **state)
{
    (void)state;
    QUARRY_ONLY();
    misuse_dies(free_of_number, 1, NOT_OURS);
    misuse_dies(free_of_number, 16, NOT_OURS);
    misuse_dies(free_of_number, 4096, NOT_OURS);
    misuse_dies(free_of_number, (size_t)1 << 46, NOT_OURS);
    misuse_dies(free_of_number, (size_t)1 << 63, NOT_OURS);
    misuse_dies(free_of_number, SIZE_MAX, NOT_OURS);
    misuse_dies(free_of_number, SIZE_MAX - 15, NOT_OURS);
}

static void free_of_code(void *unused)
{
    free(misuse_name(function_find("malloc")));
    (void)unused;
}

static void a_free_of_a_function_is_found(void **state)
{
    (void)state;
    QUARRY_ONLY();
    misuse_dies(free_of_code, 0, NOT_OURS);
}

static void reallocate_static(void *bytes)
{
    free(opaque(realloc(misuse_name(static_object), (size_t)bytes)));
}

static void realloc_of_a_foreign_pointer_is_found(void **state)
{
    (void)state;
    QUARRY_ONLY();
    misuse_dies(reallocate_static, 16, NOT_OURS);
    misuse_dies(reallocate_static, MIB, NOT_OURS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
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
    };
    misuse_begin();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
