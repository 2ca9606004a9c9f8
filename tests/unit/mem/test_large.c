/*
 * Large objects: runs of pages.
 */
#include "unit/mem/mem_rig.h"

#include <string.h>

#include "unit/os/child.h"

static void an_object_above_32_kib_is_whole_pages_of_its_pool(void **state)
{
    (void)state;
    for (size_t bytes = MEM_SMALL_MAX_BYTES + 1; bytes < Q_MIB(20); bytes += bytes / 3) {
        void *object = take(objects.general_pool, bytes);
        uint64_t page_count = (bytes + PAGE_BYTES - 1) >> PAGE_SHIFT;
        assert_int_equal(mem_usable(&objects, object), page_count << PAGE_SHIFT);
        assert_int_equal(pool_pages(objects.general_pool), page_count);
        pattern_write(object, page_count << PAGE_SHIFT, bytes);
        pattern_check(object, page_count << PAGE_SHIFT, bytes);
        mem_check();
        mem_free(&objects, object);
        assert_int_equal(pool_pages(objects.general_pool), 0);
    }
}

static void the_sum_of_large_objects_is_kept_whoever_frees_them(void **state)
{
    void *first = take(objects.general_pool, 100000), *second = take(objects.general_pool, 40000);
    struct mem_large_sum sum = mem_large_sum(objects.general_pool);

    (void)state;
    assert_int_equal(sum.count, 2);
    assert_int_equal(sum.bytes, (13 + 5) * PAGE_BYTES);
    mem_free(&objects, first);
    mem_free(&objects, second);
    sum = mem_large_sum(objects.general_pool);
    assert_int_equal(sum.count, 0);
    assert_int_equal(sum.bytes, 0);
    assert_int_equal(sum.taken_count, 2);
}

static void a_large_object_knows_when_it_is_zero(void **state)
{
    bool is_zero = false;

    (void)state;
    for (uint32_t round = 0; round < 4; round++) {
        uint64_t *object = mem_large_alloc(objects.general_pool, Q_MIB(1), 1, &is_zero);
        assert_non_null(object);
        assert_true(is_zero || round > 0);
        for (size_t i = 0; is_zero && i < Q_MIB(1) / 8; i += 64) {
            assert_int_equal(object[i], 0);
        }
        memset(object, 0xee, Q_MIB(1));
        mem_free(&objects, object);
    }
    (void)page_heap_trim(heap);
    mem_free(&objects, mem_large_alloc(objects.general_pool, Q_MIB(1), 1, &is_zero));
    assert_true(is_zero);
}

static void a_large_object_grows_and_shrinks_where_it_lies(void **state)
{
    char *object = take(objects.general_pool, Q_MIB(1));

    (void)state;
    pattern_write(object, Q_MIB(1), 1);
    assert_ptr_equal(mem_realloc(&objects, object, Q_MIB(3)), object);
    pattern_check_prefix(object, Q_MIB(1) - 1, 1);
    assert_int_equal(pool_pages(objects.general_pool), 384);
    assert_ptr_equal(mem_realloc(&objects, object, Q_KIB(512)), object);
    assert_int_equal(pool_pages(objects.general_pool), 64);
    assert_int_equal(mem_large_sum(objects.general_pool).bytes, Q_KIB(512));
    mem_check();
    mem_free(&objects, object);
}

static void a_large_object_that_cannot_grow_moves_with_its_contents(void **state)
{
    char *object = take(objects.general_pool, Q_KIB(800));

    (void)state;
    /* Until something lies behind it. */
    char *wall[4];
    for (size_t i = 0; i < COUNT_OF(wall); i++) {
        wall[i] = take(objects.general_pool, Q_KIB(800));
    }
    pattern_write(object, Q_KIB(800), 5);
    char *moved = mem_realloc(&objects, object, Q_MIB(8));
    assert_non_null(moved);
    pattern_check_prefix(moved, Q_KIB(800), 5);
    assert_ptr_not_equal(moved, object);
    char *small = mem_realloc(&objects, moved, 100); /* to an object of a span */
    assert_int_equal(mem_usable(&objects, small), 112);
    assert_int_equal(small[0], 5);
    mem_check();
    mem_free(&objects, small);
    for (size_t i = 0; i < COUNT_OF(wall); i++) {
        mem_free(&objects, wall[i]);
    }
}

static void alignments_are_kept_up_to_a_gibibyte(void **state)
{
    (void)state;
    for (size_t align_bytes = 16384; align_bytes <= Q_GIB(1); align_bytes *= 2) {
        char *object = mem_alloc_aligned(objects.general_pool, 100, align_bytes);
        assert_non_null(object);
        assert_int_equal((uintptr_t)object % align_bytes, 0);
        mem_free(&objects, object);
    }
    assert_null(mem_alloc_aligned(objects.general_pool, 100, Q_GIB(2)));
    assert_null(mem_alloc_aligned(objects.general_pool, 100, (size_t)1 << 63));
}

static void sizes_that_no_lane_has_are_refused(void **state)
{
    static const size_t sizes[] = {Q_GIB(3),    Q_TIB(1),        (size_t)1 << 45,
                                   PTRDIFF_MAX, SIZE_MAX - 8191, SIZE_MAX};
    void *object = take(objects.general_pool, 50000);

    (void)state;
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        assert_null(mem_alloc(objects.general_pool, sizes[i]));
        assert_null(mem_alloc_zero(objects.general_pool, NULL, sizes[i]));
        assert_null(mem_realloc(&objects, object, sizes[i]));
        assert_null(mem_alloc_aligned(objects.general_pool, sizes[i], 32768));
    }
    mem_free(&objects, object);
    assert_int_equal(pool_pages(objects.general_pool), 0);
}

/* ---- misuse --------------------------------------------------------------------------------- */

static char *victim;

static void free_victim(void *offset)
{
    mem_free(&objects, victim + (uintptr_t)offset);
}

static void only_the_beginning_of_a_large_object_is_one(void **state)
{
    static const uintptr_t offsets[] = {1, 8, 16, 4096, PAGE_BYTES, 3 * PAGE_BYTES, 99999};

    (void)state;
    victim = take(objects.general_pool, 100000);
    for (size_t i = 0; i < COUNT_OF(offsets); i++) {
        assert_false(mem_is_object(&objects, victim + offsets[i]));
        child_assert_aborts(free_victim, (void *)offsets[i], "no object begins at 0x");
    }
    mem_free(&objects, victim);
    assert_false(mem_is_object(&objects, victim));
}

int main(void)
{
#define on_a_heap(test) cmocka_unit_test_setup_teardown(test, mem_set_up, mem_tear_down)
    const struct CMUnitTest tests[] = {
        on_a_heap(an_object_above_32_kib_is_whole_pages_of_its_pool),
        on_a_heap(the_sum_of_large_objects_is_kept_whoever_frees_them),
        on_a_heap(a_large_object_knows_when_it_is_zero),
        on_a_heap(a_large_object_grows_and_shrinks_where_it_lies),
        on_a_heap(a_large_object_that_cannot_grow_moves_with_its_contents),
        on_a_heap(alignments_are_kept_up_to_a_gibibyte),
        on_a_heap(sizes_that_no_lane_has_are_refused),
        on_a_heap(only_the_beginning_of_a_large_object_is_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
