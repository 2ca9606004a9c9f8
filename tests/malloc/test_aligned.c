/*
 * memalign, aligned_alloc, posix_memalign, valloc and pvalloc: alignment, the codes they return,
 * and that what they give is an object like any other.
 */
#include "common.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ALIGNMENT_MAX (4 * MIB)

static void *const untouched = (void *)(uintptr_t)0x5a5a5a5a;

/* An aligned object through whichever door. */
typedef void *aligned_door(size_t alignment, size_t bytes);

static void *door_posix_memalign(size_t alignment, size_t bytes)
{
    void *object = untouched;

    return posix_memalign(&object, alignment, bytes) == 0 ? object : NULL;
}

static void serve_all_alignments(aligned_door *door)
{
    for (size_t alignment = sizeof(void *); alignment <= ALIGNMENT_MAX; alignment *= 2) {
        for (size_t bytes = 1; bytes <= 256 * KIB; bytes = bytes * 4 + 1) {
            void *object = opaque(door(alignment, bytes));
            assert_non_null(object);
            must_be_aligned(object, alignment);
            assert_true(malloc_usable_size(object) >= bytes);
            pattern_fill(object, bytes, alignment);
            check_and_free(object, bytes, alignment);
        }
    }
}

static void memalign_aligns_to_every_power_of_two(void **state)
{
    (void)state;
    serve_all_alignments(memalign);
}

static void aligned_alloc_aligns_to_every_power_of_two(void **state)
{
    (void)state;
    serve_all_alignments(aligned_alloc);
}

static void posix_memalign_aligns_to_every_power_of_two(void **state)
{
    (void)state;
    serve_all_alignments(door_posix_memalign);
}

static void every_size_to_3000_is_aligned_to_every_power_to_4096(void **state)
{
    (void)state;
    SKIP_UNDER(ALLOCATOR_MIMALLOC); /* small ones are not */
    for (size_t alignment = 8; alignment <= 4096; alignment *= 2) {
        void *last = NULL;
        for (size_t bytes = 1; bytes <= 3000; bytes += 3) {
            void *object = opaque(memalign(alignment, bytes));
            MUST(object != NULL && object != last);
            must_be_aligned(object, alignment);
            memset(object, 0xff, bytes);
            free(last);
            last = object;
        }
        free(last);
    }
}

static void aligned_objects_never_overlap(void **state)
{
    static struct {
        void *object;
        size_t bytes;
    } slots[1000];
    uint64_t random = 21;
    (void)state;
    SKIP_UNDER(ALLOCATOR_MIMALLOC); /* small ones are not aligned */

    for (unsigned step = 0; step < 50000; step++) {
        size_t slot = random_next(&random) % COUNT_OF(slots);
        size_t alignment = (size_t)8 << random_next(&random) % 10;
        if (slots[slot].object != NULL)
            check_and_free(slots[slot].object, slots[slot].bytes, slot);
        slots[slot].bytes = random_size(&random, 16 * KIB);
        slots[slot].object = opaque(memalign(alignment, slots[slot].bytes));
        MUST(slots[slot].object != NULL);
        must_be_aligned(slots[slot].object, alignment);
        pattern_fill(slots[slot].object, slots[slot].bytes, slot);
    }
    for (size_t i = 0; i < COUNT_OF(slots); i++) {
        if (slots[i].object != NULL)
            check_and_free(slots[i].object, slots[i].bytes, i);
    }
}

static void all_of_the_usable_size_of_aligned_objects_may_be_written(void **state)
{
    void *objects[24][4];
    (void)state;

    for (size_t i = 4; i < 20; i++) {
        for (size_t j = 0; j < 4; j++) {
            objects[i][j] = opaque(memalign((size_t)1 << i, 100 + j * 1000));
            pattern_fill(objects[i][j], malloc_usable_size(objects[i][j]), i * 4 + j);
        }
    }
    for (size_t i = 4; i < 20; i++) {
        for (size_t j = 0; j < 4; j++)
            check_and_free(objects[i][j], malloc_usable_size(objects[i][j]), i * 4 + j);
    }
}

static void large_objects_are_aligned_to_large_powers(void **state)
{
    (void)state;
    for (size_t alignment = 64 * KIB; alignment <= 64 * MIB; alignment *= 4) {
        for (size_t bytes = MIB; bytes <= 64 * MIB; bytes *= 4) {
            void *object = opaque(aligned_alloc(alignment, bytes));
            assert_non_null(object);
            must_be_aligned(object, alignment);
            pattern_fill(object, bytes, alignment);
            check_and_free(object, bytes, alignment);
        }
    }
}

/* A gibibyte's alignment may be refused; then with ENOMEM, and at once. */
static void an_alignment_of_a_gib_is_kept_or_refused(void **state)
{
    (void)state;
    errno = 0;
    char *object = opaque(memalign(GIB, 1));
    if (object == NULL) {
        assert_int_equal(errno, ENOMEM);
        return;
    }
    must_be_aligned(object, GIB);
    object[0] = 1;
    free(object);
}

static void small_objects_of_a_large_alignment_cost_bounded_memory(void **state)
{
    static void *objects[64];
    const size_t before = resident_bytes();
    (void)state;

    for (unsigned round = 0; round < 50; round++) {
        for (size_t i = 0; i < COUNT_OF(objects); i++) {
            objects[i] = opaque(memalign(MIB, 64));
            assert_non_null(objects[i]);
            pattern_fill(objects[i], 64, i);
        }
        for (size_t i = 0; i < COUNT_OF(objects); i++)
            check_and_free(objects[i], 64, i);
    }
    assert_true(resident_bytes() < before + 128 * MIB);
}

/* ---- what they return when they fail -------------------------------------------------------- */

static void posix_memalign_refuses_what_is_no_alignment(void **state)
{
    static const size_t bad[] = {0, 1, 2, 3, 4, 5, 7, 9, 12, 24, 48, 100, 4095, 4097, SIZE_MAX};
    (void)state;

    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        void *object = untouched;
        errno = 12345;
        assert_int_equal(posix_memalign(&object, bad[i], 64), EINVAL);
        assert_ptr_equal(object, untouched);
        assert_int_equal(errno, 12345);
    }
}

static void posix_memalign_of_too_much_returns_enomem(void **state)
{
    static const size_t bytes[] = {PTRDIFF_MAX,     (size_t)PTRDIFF_MAX + 1,
                                   SIZE_MAX - 4096, SIZE_MAX - 64,
                                   SIZE_MAX - 1,    SIZE_MAX};
    (void)state;

    for (size_t alignment = sizeof(void *); alignment <= ALIGNMENT_MAX; alignment *= 8) {
        for (size_t i = 0; i < COUNT_OF(bytes); i++) {
            void *object = untouched;
            assert_int_equal(posix_memalign(&object, alignment, bytes[i]), ENOMEM);
            assert_ptr_equal(object, untouched);
        }
    }
}

static void posix_memalign_that_fails_keeps_errno(void **state)
{
    void *object = untouched;
    (void)state;

    SKIP_UNDER(ALLOCATOR_GLIBC | ALLOCATOR_TCMALLOC); /* set it */
    errno = 12345;
    assert_int_equal(posix_memalign(&object, 64, SIZE_MAX - 100), ENOMEM);
    assert_int_equal(posix_memalign(&object, 24, 100), EINVAL);
    assert_int_equal(errno, 12345);
}

static void posix_memalign_that_succeeds_keeps_errno(void **state)
{
    (void)state;
    for (size_t bytes = 1; bytes < 8 * MIB; bytes *= 3) {
        void *object = NULL;
        errno = 12345;
        assert_int_equal(posix_memalign(&object, 256, bytes), 0);
        assert_int_equal(errno, 12345);
        free(object);
    }
}

static void posix_memalign_of_nothing_gives_what_can_be_freed(void **state)
{
    (void)state;
    for (size_t alignment = sizeof(void *); alignment <= 64 * KIB; alignment *= 2) {
        void *object = untouched;
        assert_int_equal(posix_memalign(&object, alignment, 0), 0);
        assert_ptr_not_equal(object, untouched);
        must_be_aligned(object, alignment);
        free(object);
    }
}

static void memalign_of_too_much_fails_with_enomem(void **state)
{
    (void)state;
    SKIP_UNDER(ALLOCATOR_JEMALLOC | ALLOCATOR_MIMALLOC); /* errno stays as it was */
    for (size_t alignment = 8; alignment <= ALIGNMENT_MAX; alignment *= 2) {
        for (size_t less = 0; less < 5000; less = less * 3 + 1) {
            errno = 0;
            assert_null(opaque(memalign(alignment, SIZE_MAX - less)));
            assert_int_equal(errno, ENOMEM);
            assert_null(opaque(memalign(alignment, (size_t)PTRDIFF_MAX + less)));
            assert_null(opaque(aligned_alloc(alignment, SIZE_MAX - less)));
        }
    }
}

static void memalign_to_half_the_address_space_fails(void **state)
{
    (void)state;
    SKIP_UNDER(ALLOCATOR_JEMALLOC | ALLOCATOR_MIMALLOC); /* errno stays as it was */
    for (size_t alignment = (size_t)1 << 62; alignment != 0; alignment *= 2) {
        errno = 0;
        assert_null(opaque(memalign(alignment, 64)));
        assert_true(errno == ENOMEM || errno == EINVAL);
        errno = 0;
        assert_null(opaque(aligned_alloc(alignment, alignment)));
        assert_true(errno == ENOMEM || errno == EINVAL);
    }
}

/* The C library rounds up such alignments, others refuse them: nobody may give less. */
static void memalign_to_no_power_of_two_rounds_up_or_refuses(void **state)
{
    static const size_t odd[] = {3, 9, 24, 100, 1000, 5000};
    (void)state;
    SKIP_UNDER(ALLOCATOR_JEMALLOC | ALLOCATOR_MIMALLOC); /* errno stays as it was */

    for (size_t i = 0; i < COUNT_OF(odd); i++) {
        size_t power = 1;
        while (power * 2 <= odd[i])
            power *= 2;
        errno = 0;
        void *object = opaque(memalign(odd[i], 100));
        assert_true(object != NULL || errno == EINVAL);
        if (object != NULL && allocator_here() != ALLOCATOR_TCMALLOC)
            must_be_aligned(object, power);
        free(object);
    }
}

/* ---- pages ---------------------------------------------------------------------------------- */

static void valloc_aligns_to_pages(void **state)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    (void)state;

    for (size_t bytes = 0; bytes <= 300000; bytes = bytes * 3 / 2 + 1) {
        void *object = opaque(valloc(bytes));
        assert_non_null(object);
        must_be_aligned(object, page);
        pattern_fill(object, bytes, bytes);
        check_and_free(object, bytes, bytes);
    }
}

static void pvalloc_gives_whole_pages(void **state)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    (void)state;
    SKIP_UNDER(ALLOCATOR_JEMALLOC); /* has none */

    for (size_t bytes = 1; bytes <= 300000; bytes = bytes * 3 / 2 + 1) {
        const size_t whole = (bytes + page - 1) / page * page;
        void *object = opaque(pvalloc(bytes));
        assert_non_null(object);
        must_be_aligned(object, page);
        assert_true(malloc_usable_size(object) >= whole);
        pattern_fill(object, whole, bytes);
        check_and_free(object, whole, bytes);
    }
    free(opaque(pvalloc(0)));
}

static void valloc_and_pvalloc_of_too_much_fail_with_enomem(void **state)
{
    (void)state;
    SKIP_UNDER(ALLOCATOR_JEMALLOC | ALLOCATOR_MIMALLOC |
               ALLOCATOR_TCMALLOC); /* errno stays, or it wraps to nothing */
    for (size_t less = 0; less < 10000; less = less * 2 + 1) {
        errno = 0;
        assert_null(opaque(valloc(SIZE_MAX - less)));
        assert_int_equal(errno, ENOMEM);
        errno = 0;
        assert_null(opaque(pvalloc(SIZE_MAX - less)));
        assert_int_equal(errno, ENOMEM);
        assert_null(opaque(pvalloc((size_t)PTRDIFF_MAX + less)));
    }
}

/* ---- as objects ----------------------------------------------------------------------------- */

static void calloc_is_zero_where_aligned_objects_were(void **state)
{
    (void)state;
    for (size_t alignment = 16; alignment <= 64 * KIB; alignment *= 2) {
        for (size_t bytes = 16; bytes <= 64 * KIB; bytes *= 4) {
            void *dirt = opaque(memalign(alignment, bytes));
            memset(dirt, 0xff, malloc_usable_size(dirt));
            free(dirt);
            void *object = opaque(calloc(1, bytes));
            must_be_zero(object, bytes);
            free(object);
        }
    }
}

static void aligned_objects_that_come_and_go_stay_bounded(void **state)
{
    const size_t before = resident_bytes();
    uint64_t random = 31;
    (void)state;

    for (unsigned step = 0; step < 100000; step++) {
        size_t alignment = (size_t)16 << random_next(&random) % 14, bytes = 1 + step % 5000;
        void *object = opaque(memalign(alignment, bytes));
        MUST(object != NULL);
        memset(object, 1, bytes);
        free(object);
    }
    assert_true(resident_bytes() < before + 128 * MIB);
}

/* Each of four threads allocates aligned objects, and frees those of the thread before it. */
struct exchange {
    pthread_barrier_t barrier;
    struct {
        void *object;
        size_t bytes;
    } slots[4][500];
};

static void exchange_aligned(void *argument, unsigned index)
{
    struct exchange *exchange = argument;
    uint64_t random = index;

    for (unsigned round = 0; round < 30; round++) {
        for (size_t i = 0; i < 500; i++) {
            size_t alignment = (size_t)8 << random_next(&random) % 10;
            size_t bytes = random_size(&random, 8 * KIB);
            void *object = opaque(memalign(alignment, bytes));
            MUST(object != NULL);
            must_be_aligned(object, alignment);
            pattern_fill(object, bytes, i);
            exchange->slots[index][i].object = object;
            exchange->slots[index][i].bytes = bytes;
        }
        pthread_barrier_wait(&exchange->barrier);
        unsigned other = (index + 1 + round % 3) % 4;
        for (size_t i = 0; i < 500; i++)
            check_and_free(exchange->slots[other][i].object, exchange->slots[other][i].bytes, i);
        pthread_barrier_wait(&exchange->barrier);
    }
}

static void aligned_objects_are_freed_by_other_threads(void **state)
{
    static struct exchange exchange;
    (void)state;
    SKIP_UNDER(ALLOCATOR_MIMALLOC); /* small ones are not aligned */

    assert_int_equal(pthread_barrier_init(&exchange.barrier, NULL, 4), 0);
    threads_run(4, exchange_aligned, &exchange);
    assert_int_equal(pthread_barrier_destroy(&exchange.barrier), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memalign_aligns_to_every_power_of_two),
        cmocka_unit_test(aligned_alloc_aligns_to_every_power_of_two),
        cmocka_unit_test(posix_memalign_aligns_to_every_power_of_two),
        cmocka_unit_test(every_size_to_3000_is_aligned_to_every_power_to_4096),
        cmocka_unit_test(aligned_objects_never_overlap),
        cmocka_unit_test(all_of_the_usable_size_of_aligned_objects_may_be_written),
        cmocka_unit_test(large_objects_are_aligned_to_large_powers),
        cmocka_unit_test(an_alignment_of_a_gib_is_kept_or_refused),
        cmocka_unit_test(small_objects_of_a_large_alignment_cost_bounded_memory),
        cmocka_unit_test(posix_memalign_refuses_what_is_no_alignment),
        cmocka_unit_test(posix_memalign_of_too_much_returns_enomem),
        cmocka_unit_test(posix_memalign_that_fails_keeps_errno),
        cmocka_unit_test(posix_memalign_that_succeeds_keeps_errno),
        cmocka_unit_test(posix_memalign_of_nothing_gives_what_can_be_freed),
        cmocka_unit_test(memalign_of_too_much_fails_with_enomem),
        cmocka_unit_test(memalign_to_half_the_address_space_fails),
        cmocka_unit_test(memalign_to_no_power_of_two_rounds_up_or_refuses),
        cmocka_unit_test(valloc_aligns_to_pages),
        cmocka_unit_test(pvalloc_gives_whole_pages),
        cmocka_unit_test(valloc_and_pvalloc_of_too_much_fail_with_enomem),
        cmocka_unit_test(calloc_is_zero_where_aligned_objects_were),
        cmocka_unit_test(aligned_objects_that_come_and_go_stay_bounded),
        cmocka_unit_test(aligned_objects_are_freed_by_other_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
