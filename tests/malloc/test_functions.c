/*
 * malloc, calloc, realloc, reallocarray, free and their sized forms, call by call: what they
 * return, what they leave alone, and what they say of sizes that cannot be.
 */
#include "common.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

/* The largest sizes that are no memory's, and some whose rounding up would wrap to nothing. */
static const size_t too_large[] = {
    PTRDIFF_MAX,
    (size_t)PTRDIFF_MAX + 1,
    (size_t)PTRDIFF_MAX - 16,
    SIZE_MAX / 2 + 8192,
    SIZE_MAX - (1 << 20),
    SIZE_MAX - 8192,
    SIZE_MAX - 4096,
    SIZE_MAX - 4095,
    SIZE_MAX - 64,
    SIZE_MAX - 16,
    SIZE_MAX - 15,
    SIZE_MAX - 8,
    SIZE_MAX - 1,
    SIZE_MAX,
};

static const struct {
    size_t count, bytes;
} overflowing[] = {
    {SIZE_MAX, 2},
    {2, SIZE_MAX},
    {SIZE_MAX, SIZE_MAX},
    {SIZE_MAX / 2 + 1, 2},
    {SIZE_MAX / 16 + 2, 16},
    {(size_t)1 << 32, (size_t)1 << 32},
    {((size_t)1 << 32) + 1, ((size_t)1 << 32) - 1},
    {(size_t)1 << 63, 2},
    {3, SIZE_MAX / 3 + 1},
};

/* ---- malloc and free ------------------------------------------------------------------------ */

static void malloc_of_nothing_gives_pointers_of_their_own(void **state)
{
    void *objects[100];
    (void)state;

    for (size_t i = 0; i < COUNT_OF(objects); i++) {
        objects[i] = opaque(malloc(0));
        assert_non_null(objects[i]);
        for (size_t j = 0; j < i; j++)
            assert_ptr_not_equal(objects[i], objects[j]);
    }
    for (size_t i = 0; i < COUNT_OF(objects); i++)
        free(objects[i]);
}

static void malloc_of_too_much_fails_with_enomem(void **state)
{
    (void)state;
    SKIP_UNDER(ALLOCATOR_MIMALLOC); /* errno stays as it was */
    for (size_t i = 0; i < COUNT_OF(too_large); i++) {
        errno = 0;
        assert_null(opaque(malloc(too_large[i])));
        assert_int_equal(errno, ENOMEM);
    }
}

static void malloc_that_fails_leaves_other_objects_alone(void **state)
{
    void *object = filled(10000, 1);
    (void)state;

    for (unsigned i = 0; i < 1000; i++)
        assert_null(opaque(malloc(SIZE_MAX - i)));
    check_and_free(object, 10000, 1);
}

static void malloc_goes_on_after_it_failed(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        assert_null(opaque(malloc((size_t)PTRDIFF_MAX + i)));
        check_and_free(filled(1 + i, i), 1 + i, i);
    }
}

static void free_of_null_does_nothing(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 1000; i++)
        free(opaque(NULL));
}

static void free_and_check_errno(void *object)
{
    assert_non_null(object);
    errno = 12345;
    free(object);
    assert_int_equal(errno, 12345);
}

static void free_keeps_errno_for_every_size(void **state)
{
    (void)state;
    free_and_check_errno(opaque(malloc(0)));
    for (size_t bytes = 1; bytes <= 256 * MIB; bytes = bytes * 5 / 4 + 1)
        free_and_check_errno(opaque(malloc(bytes)));
    errno = 12345;
    free(NULL);
    assert_int_equal(errno, 12345);
}

static void free_keeps_errno_for_large_objects_that_were_written(void **state)
{
    (void)state;
    for (size_t bytes = 32 * KIB; bytes <= 64 * MIB; bytes *= 2) {
        char *object = opaque(malloc(bytes));
        assert_non_null(object);
        memset(object, 1, bytes);
        free_and_check_errno(object);
    }
}

static void free_keeps_errno_for_aligned_objects(void **state)
{
    (void)state;
    for (size_t alignment = 16; alignment <= 4 * MIB; alignment *= 2)
        free_and_check_errno(opaque(memalign(alignment, 1000)));
}

static void free_keeps_errno_for_ten_thousand_objects_at_once(void **state)
{
    static void *objects[10000];
    (void)state;

    for (size_t i = 0; i < COUNT_OF(objects); i++)
        objects[i] = opaque(malloc(i));
    for (size_t i = 0; i < COUNT_OF(objects); i++)
        free_and_check_errno(objects[i]);
}

/* ---- the sized forms of C23 ----------------------------------------------------------------- */

typedef void free_sized_function(void *, size_t);
typedef void free_aligned_sized_function(void *, size_t, size_t);

static void *sized_function(const char *name)
{
    void *function = function_find(name);

    if (function == NULL && allocator_here() != ALLOCATOR_QUARRY)
        skip();
    assert_non_null(function);
    return function;
}

static void free_sized_frees_every_size(void **state)
{
    free_sized_function *release = (free_sized_function *)sized_function("free_sized");
    (void)state;

    for (size_t bytes = 0; bytes <= 70000; bytes += 1 + bytes / 64)
        release(filled(bytes, bytes), bytes);
    for (size_t bytes = 128 * KIB; bytes <= 64 * MIB; bytes *= 2)
        release(filled(bytes, bytes), bytes);
    for (unsigned i = 0; i < 100000; i++)
        release(opaque(malloc(1000)), 1000);
    assert_true(resident_bytes() < 512 * MIB);
}

static void free_sized_of_null_does_nothing_and_keeps_errno(void **state)
{
    free_sized_function *release = (free_sized_function *)sized_function("free_sized");
    (void)state;

    errno = 12345;
    release(NULL, 0);
    release(NULL, 100);
    release(opaque(malloc(100)), 100);
    release(opaque(malloc(MIB)), MIB);
    assert_int_equal(errno, 12345);
}

static void free_sized_takes_what_calloc_and_realloc_gave(void **state)
{
    free_sized_function *release = (free_sized_function *)sized_function("free_sized");
    (void)state;

    for (size_t bytes = 1; bytes <= 100000; bytes = bytes * 3 / 2 + 1) {
        release(opaque(calloc(bytes, 2)), bytes * 2);
        release(opaque(realloc(opaque(malloc(bytes)), bytes * 3)), bytes * 3);
        release(opaque(realloc(opaque(malloc(bytes * 3)), bytes)), bytes);
    }
}

static void free_aligned_sized_frees_every_alignment(void **state)
{
    free_aligned_sized_function *release =
        (free_aligned_sized_function *)sized_function("free_aligned_sized");
    (void)state;

    errno = 12345;
    release(NULL, 64, 128);
    for (size_t alignment = 16; alignment <= MIB; alignment *= 2) {
        for (size_t count = 1; count <= 8; count++)
            release(aligned_alloc(alignment, count * alignment), alignment, count * alignment);
    }
    assert_int_equal(errno, 12345);
}

/* ---- calloc --------------------------------------------------------------------------------- */

static void calloc_multiplies_and_clears(void **state)
{
    (void)state;
    for (size_t count = 1; count < 40; count++) {
        for (size_t bytes = 1; bytes < 40; bytes++) {
            void *object = opaque(calloc(count, bytes));
            assert_non_null(object);
            must_be_zero(object, count * bytes);
            pattern_fill(object, count * bytes, count);
            check_and_free(object, count * bytes, count);
        }
    }
}

static void calloc_of_nothing_gives_a_pointer(void **state)
{
    static const size_t counts[][2] = {{0, 0}, {0, 1}, {1, 0}, {0, SIZE_MAX}, {SIZE_MAX, 0}};
    (void)state;

    for (size_t i = 0; i < COUNT_OF(counts); i++) {
        void *object = opaque(calloc(counts[i][0], counts[i][1]));
        assert_non_null(object);
        free(object);
    }
}

static void calloc_whose_product_wraps_fails_with_enomem(void **state)
{
    (void)state;
    SKIP_UNDER(ALLOCATOR_MIMALLOC | ALLOCATOR_TCMALLOC); /* errno stays as it was */
    for (size_t i = 0; i < COUNT_OF(overflowing); i++) {
        errno = 0;
        assert_null(opaque(calloc(overflowing[i].count, overflowing[i].bytes)));
        assert_int_equal(errno, ENOMEM);
    }
}

static void calloc_of_too_much_fails_with_enomem(void **state)
{
    (void)state;
    SKIP_UNDER(ALLOCATOR_MIMALLOC); /* errno stays as it was */
    for (size_t i = 0; i < COUNT_OF(too_large); i++) {
        errno = 0;
        assert_null(opaque(calloc(1, too_large[i])));
        assert_int_equal(errno, ENOMEM);
        assert_null(opaque(calloc(too_large[i], 1)));
    }
}

/* ---- realloc -------------------------------------------------------------------------------- */

static void realloc_of_null_is_malloc(void **state)
{
    (void)state;
    for (size_t bytes = 1; bytes < 4 * MIB; bytes = bytes * 3 / 2 + 1) {
        void *object = opaque(realloc(NULL, bytes));
        assert_non_null(object);
        assert_true(malloc_usable_size(object) >= bytes);
        pattern_fill(object, bytes, bytes);
        check_and_free(object, bytes, bytes);
    }
}

static void realloc_of_null_to_nothing_gives_a_pointer(void **state)
{
    void *object = opaque(realloc(opaque(NULL), 0));
    (void)state;

    assert_non_null(object);
    free(object);
}

static void realloc_of_null_to_too_much_fails_with_enomem(void **state)
{
    (void)state;
    SKIP_UNDER(ALLOCATOR_MIMALLOC); /* errno stays as it was */
    for (size_t i = 0; i < COUNT_OF(too_large); i++) {
        errno = 0;
        assert_null(opaque(realloc(opaque(NULL), too_large[i])));
        assert_int_equal(errno, ENOMEM);
    }
}

/* Either answer that programs meet is right: NULL, or an object of no bytes. None may leak. */
static void realloc_to_nothing_frees(void **state)
{
    const size_t before = resident_bytes();
    (void)state;

    for (unsigned i = 0; i < 20000; i++) {
        char *object = opaque(malloc(16 * KIB));
        memset(object, 1, 16 * KIB);
        free(opaque(realloc(object, 0)));
    }
    assert_true(resident_bytes() < before + 64 * MIB);
}

static void realloc_to_too_much_fails_and_keeps_the_object(void **state)
{
    (void)state;
    SKIP_UNDER(ALLOCATOR_JEMALLOC | ALLOCATOR_MIMALLOC); /* errno stays as it was */
    for (size_t bytes = 1; bytes <= 4 * MIB; bytes = bytes * 4) {
        void *object = filled(bytes, bytes);
        for (size_t i = 0; i < COUNT_OF(too_large); i++) {
            errno = 0;
            assert_null(opaque(realloc(object, too_large[i])));
            assert_int_equal(errno, ENOMEM);
        }
        check_and_free(object, bytes, bytes);
    }
}

static void realloc_to_the_same_size_changes_nothing(void **state)
{
    (void)state;
    for (size_t bytes = 1; bytes < 8 * MIB; bytes = bytes * 3 / 2 + 1) {
        void *object = opaque(realloc(filled(bytes, bytes), bytes));
        assert_non_null(object);
        check_and_free(object, bytes, bytes);
    }
}

static void realloc_keeps_contents_growing_byte_by_byte(void **state)
{
    unsigned char *object = NULL;
    (void)state;

    for (size_t bytes = 1; bytes <= 50000; bytes++) {
        object = opaque(realloc(object, bytes));
        assert_non_null(object);
        object[bytes - 1] = (unsigned char)(bytes * 7);
    }
    for (size_t i = 0; i < 50000; i++)
        assert_int_equal(object[i], (unsigned char)((i + 1) * 7));
    free(object);
}

static void realloc_keeps_contents_shrinking_byte_by_byte(void **state)
{
    void *object = filled(50000, 3);
    (void)state;

    for (size_t bytes = 50000; bytes > 0; bytes--) {
        object = opaque(realloc(object, bytes));
        assert_non_null(object);
        if (bytes % 500 == 0 || bytes < 500)
            pattern_check(object, bytes, 3);
    }
    free(object);
}

/* Borders are where one byte more gets a larger object. Each is crossed up and down. */
static void realloc_keeps_contents_across_every_class_border(void **state)
{
    unsigned borders = 0;
    (void)state;

    for (size_t bytes = 1; bytes < 300 * KIB; borders++) {
        void *object = opaque(malloc(bytes));
        size_t border = malloc_usable_size(object);
        assert_true(border >= bytes);
        pattern_fill(object, border, bytes);
        object = opaque(realloc(object, border + 1));
        pattern_check_prefix(object, border, bytes);
        pattern_fill(object, border + 1, bytes + 1);
        object = opaque(realloc(object, border));
        pattern_check_prefix(object, border, bytes + 1);
        pattern_fill(object, border, bytes);
        object = opaque(realloc(object, border - 1));
        pattern_check_prefix(object, border - 1, bytes);
        free(object);
        bytes = border + 1 + bytes / 64;
    }
    assert_true(borders > 20);
}

static void realloc_keeps_contents_from_every_size_to_every_other(void **state)
{
    static const size_t sizes[] = {1,         8,    16,      24,          100,      1024,
                                   4096,      8192, 9000,    32 * KIB,    40 * KIB, 128 * KIB,
                                   480 * KIB, MIB,  4 * MIB, 5 * MIB + 3, 32 * MIB};
    (void)state;

    for (size_t from = 0; from < COUNT_OF(sizes); from++) {
        for (size_t to = 0; to < COUNT_OF(sizes); to++) {
            void *object = filled(sizes[from], from);
            object = opaque(realloc(object, sizes[to]));
            assert_non_null(object);
            pattern_check_prefix(object, sizes[from < to ? from : to], from);
            free(object);
        }
    }
}

static void realloc_of_the_last_object_keeps_its_neighbours(void **state)
{
    (void)state;
    for (size_t bytes = 1; bytes < 200000; bytes = bytes * 2 + 1) {
        void *before = filled(bytes, 1), *object = filled(bytes, 2);
        object = opaque(realloc(object, bytes * 2));
        pattern_check_prefix(object, bytes, 2);
        pattern_fill(object, bytes * 2, 3);
        void *after = filled(bytes, 4);
        object = opaque(realloc(object, bytes * 5));
        pattern_check_prefix(object, bytes * 2, 3);
        pattern_fill(object, bytes * 5, 5);
        check_and_free(before, bytes, 1);
        check_and_free(after, bytes, 4);
        check_and_free(object, bytes * 5, 5);
    }
}

static void two_arrays_that_grow_in_turn_keep_their_contents(void **state)
{
    uint64_t *arrays[2] = {NULL, NULL};
    size_t capacity = 1;
    (void)state;

    for (size_t count = 0; count < 3 * 1000 * 1000; count++) {
        if (count == 0 || count == capacity) {
            capacity = count == 0 ? 1 : capacity + capacity / 3 + 1;
            arrays[0] = opaque(realloc(arrays[0], capacity * sizeof(uint64_t)));
            arrays[1] = opaque(realloc(arrays[1], capacity * sizeof(uint64_t)));
            assert_true(arrays[0] != NULL && arrays[1] != NULL);
        }
        arrays[0][count] = count;
        arrays[1][count] = ~count;
    }
    for (size_t i = 0; i < 3 * 1000 * 1000; i++)
        MUST(arrays[0][i] == i && arrays[1][i] == ~i);
    free(arrays[0]);
    free(arrays[1]);
}

static void realloc_of_aligned_objects_keeps_contents(void **state)
{
    (void)state;
    for (size_t alignment = 16; alignment <= 2 * MIB; alignment *= 4) {
        for (size_t bytes = 1; bytes < 2 * MIB; bytes = bytes * 7 + 1) {
            void *object = aligned_alloc(alignment, bytes);
            assert_non_null(object);
            pattern_fill(object, bytes, bytes);
            object = opaque(realloc(object, bytes * 3));
            pattern_check_prefix(object, bytes, bytes);
            object = opaque(realloc(object, bytes / 2 + 1));
            pattern_check_prefix(object, bytes / 2 + 1, bytes);
            free(object);
        }
    }
}

static void realloc_that_shrinks_large_objects_gives_memory_for_others(void **state)
{
    void *objects[64];
    const size_t before = resident_bytes();
    (void)state;

    for (size_t i = 0; i < COUNT_OF(objects); i++) {
        char *object = opaque(malloc(16 * MIB));
        memset(object, (int)i, 16 * MIB);
        objects[i] = opaque(realloc(object, 16));
        assert_non_null(objects[i]);
    }
    assert_true(resident_bytes() < before + 256 * MIB);
    for (size_t i = 0; i < COUNT_OF(objects); i++) {
        assert_int_equal(((char *)objects[i])[15], (char)i);
        free(objects[i]);
    }
}

static void a_hundred_thousand_random_reallocs_keep_contents(void **state)
{
    static struct {
        void *object;
        size_t bytes;
        uint64_t seed;
    } slots[300];
    uint64_t random = 11;
    (void)state;

    for (uint64_t step = 0; step < 100000; step++) {
        size_t slot = random_next(&random) % COUNT_OF(slots);
        size_t bytes = random_size(&random, 128 * KIB), old = slots[slot].bytes;
        slots[slot].object = opaque(realloc(slots[slot].object, bytes));
        assert_non_null(slots[slot].object);
        pattern_check_prefix(slots[slot].object, old < bytes ? old : bytes, slots[slot].seed);
        pattern_fill(slots[slot].object, bytes, step);
        slots[slot].bytes = bytes;
        slots[slot].seed = step;
    }
    for (size_t i = 0; i < COUNT_OF(slots); i++)
        check_and_free(slots[i].object, slots[i].bytes, slots[i].seed);
}

/* ---- reallocarray --------------------------------------------------------------------------- */

static void reallocarray_multiplies_and_keeps_contents(void **state)
{
    void *object = opaque(reallocarray(opaque(NULL), 3, 7));
    (void)state;

    assert_non_null(object);
    pattern_fill(object, 21, 1);
    for (size_t count = 3; count < 3000; count = count * 2 + 1) {
        object = opaque(reallocarray(object, count, 100));
        assert_non_null(object);
        assert_true(malloc_usable_size(object) >= count * 100);
        pattern_check(object, 21, 1);
    }
    free(object);
}

static void reallocarray_whose_product_wraps_fails_and_keeps_the_object(void **state)
{
    void *object = filled(100, 9);
    (void)state;
    SKIP_UNDER(ALLOCATOR_JEMALLOC); /* errno stays as it was */

    for (size_t i = 0; i < COUNT_OF(overflowing); i++) {
        errno = 0;
        assert_null(opaque(reallocarray(object, overflowing[i].count, overflowing[i].bytes)));
        assert_int_equal(errno, ENOMEM);
        assert_null(opaque(reallocarray(NULL, overflowing[i].count, overflowing[i].bytes)));
    }
    for (size_t i = 0; i < COUNT_OF(too_large); i++)
        assert_null(opaque(reallocarray(object, 1, too_large[i])));
    check_and_free(object, 100, 9);
}

static void reallocarray_of_null_by_nothing_gives_a_pointer(void **state)
{
    void *one = opaque(reallocarray(opaque(NULL), 0, 10)),
         *other = opaque(reallocarray(NULL, 10, 0));
    (void)state;

    assert_true(one != NULL && other != NULL && one != other);
    free(one);
    free(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(malloc_of_nothing_gives_pointers_of_their_own),
        cmocka_unit_test(malloc_of_too_much_fails_with_enomem),
        cmocka_unit_test(malloc_that_fails_leaves_other_objects_alone),
        cmocka_unit_test(malloc_goes_on_after_it_failed),
        cmocka_unit_test(free_of_null_does_nothing),
        cmocka_unit_test(free_keeps_errno_for_every_size),
        cmocka_unit_test(free_keeps_errno_for_large_objects_that_were_written),
        cmocka_unit_test(free_keeps_errno_for_aligned_objects),
        cmocka_unit_test(free_keeps_errno_for_ten_thousand_objects_at_once),
        cmocka_unit_test(free_sized_frees_every_size),
        cmocka_unit_test(free_sized_of_null_does_nothing_and_keeps_errno),
        cmocka_unit_test(free_sized_takes_what_calloc_and_realloc_gave),
        cmocka_unit_test(free_aligned_sized_frees_every_alignment),
        cmocka_unit_test(calloc_multiplies_and_clears),
        cmocka_unit_test(calloc_of_nothing_gives_a_pointer),
        cmocka_unit_test(calloc_whose_product_wraps_fails_with_enomem),
        cmocka_unit_test(calloc_of_too_much_fails_with_enomem),
        cmocka_unit_test(realloc_of_null_is_malloc),
        cmocka_unit_test(realloc_of_null_to_nothing_gives_a_pointer),
        cmocka_unit_test(realloc_of_null_to_too_much_fails_with_enomem),
        cmocka_unit_test(realloc_to_nothing_frees),
        cmocka_unit_test(realloc_to_too_much_fails_and_keeps_the_object),
        cmocka_unit_test(realloc_to_the_same_size_changes_nothing),
        cmocka_unit_test(realloc_keeps_contents_growing_byte_by_byte),
        cmocka_unit_test(realloc_keeps_contents_shrinking_byte_by_byte),
        cmocka_unit_test(realloc_keeps_contents_across_every_class_border),
        cmocka_unit_test(realloc_keeps_contents_from_every_size_to_every_other),
        cmocka_unit_test(realloc_of_the_last_object_keeps_its_neighbours),
        cmocka_unit_test(two_arrays_that_grow_in_turn_keep_their_contents),
        cmocka_unit_test(realloc_of_aligned_objects_keeps_contents),
        cmocka_unit_test(realloc_that_shrinks_large_objects_gives_memory_for_others),
        cmocka_unit_test(a_hundred_thousand_random_reallocs_keep_contents),
        cmocka_unit_test(reallocarray_multiplies_and_keeps_contents),
        cmocka_unit_test(reallocarray_whose_product_wraps_fails_and_keeps_the_object),
        cmocka_unit_test(reallocarray_of_null_by_nothing_gives_a_pointer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
