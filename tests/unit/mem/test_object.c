/*
 * Objects: sizes, zeros, alignments, moving, and pointers that are no objects.
 */
#include "unit/mem/mem_rig.h"

#include <string.h>

#include "unit/base/random.h"
#include "unit/os/child.h"

static void objects_of_every_size_are_aligned_and_long_enough(void **state)
{
    (void)state;
    for (size_t bytes = 0; bytes <= MEM_SMALL_MAX_BYTES + 5; bytes += bytes < 2100 ? 1 : 37) {
        char *object = take(objects.general_pool, bytes);
        assert_int_equal((uintptr_t)object % (bytes <= 8 ? 8 : 16), 0);
        assert_true(mem_usable(&objects, object) <= size_max(bytes + bytes / 4, bytes + 16) ||
                    bytes > MEM_SMALL_MAX_BYTES);
        memset(object, 0x5a, mem_usable(&objects, object));
        mem_free(&objects, object);
    }
}

static bool is_zero_filled(const void *object, size_t bytes)
{
    const char *byte = object;

    return bytes == 0 || (byte[0] == 0 && memcmp(byte, byte + 1, bytes - 1) == 0);
}

/* Spans begin fresh and zero; what is used again is not, and must be cleared. */
static void zeroed_objects_are_zero_whatever_was_there(void **state)
{
    static void *given[600];

    (void)state;
    for (uint32_t round = 0; round < 3; round++) {
        for (size_t bytes = 1; bytes < 200000; bytes += bytes / 2 + 7) {
            size_t count = size_min(COUNT_OF(given), 2000000 / bytes);
            for (size_t i = 0; i < count; i++) {
                given[i] = i % 5 == 4 ? take(objects.general_pool, bytes)
                                      : mem_alloc_zero(objects.general_pool, NULL, bytes);
                assert_non_null(given[i]);
                assert_true(i % 5 == 4 || is_zero_filled(given[i], bytes));
                memset(given[i], 0xff, mem_usable(&objects, given[i]));
                if (i % 7 == 3) {
                    mem_free(&objects, given[i]);
                    given[i] = NULL;
                }
            }
            for (size_t i = 0; i < count; i++) {
                mem_free(&objects, given[i]);
            }
        }
    }
}

static void aligned_objects_are_aligned_and_of_their_size(void **state)
{
    static void *given[64];

    (void)state;
    for (size_t align_bytes = 1; align_bytes <= 65536; align_bytes *= 2) {
        for (size_t bytes = 0; bytes < 40000; bytes += bytes + 1 + align_bytes / 2) {
            for (size_t i = 0; i < COUNT_OF(given); i++) {
                given[i] = mem_alloc_aligned(objects.general_pool, bytes, align_bytes);
                assert_non_null(given[i]);
                assert_int_equal((uintptr_t)given[i] % align_bytes, 0);
                assert_true(mem_usable(&objects, given[i]) >= bytes);
                memset(given[i], 1, bytes);
            }
            for (size_t i = 0; i < COUNT_OF(given); i++) {
                mem_free(&objects, given[i]);
            }
        }
    }
}

/* ---- moving --------------------------------------------------------------------------------- */

static void contents_survive_every_change_of_size(void **state)
{
    uint64_t random = 3;
    size_t bytes = 64;
    uint8_t *object = take(objects.general_pool, bytes);

    (void)state;
    memset(object, 1, bytes);
    for (uint32_t i = 2; i < 3000; i++) {
        size_t next = 1 + random_u64(&random) % (i % 50 == 0 ? 500000 : 3000);
        uint8_t before = object[0], kept = object[size_min(bytes, next) - 1];
        object = mem_realloc(&objects, object, next);
        assert_non_null(object);
        assert_true(mem_usable(&objects, object) >= next);
        assert_int_equal(object[0], before);
        assert_int_equal(object[size_min(bytes, next) - 1], kept);
        memset(object, (int)(i & 0xff), next);
        bytes = next;
    }
    mem_free(&objects, object);
}

static void an_object_stays_while_it_fits_and_is_half_used(void **state)
{
    void *object = take(objects.general_pool, 1024);

    (void)state;
    assert_ptr_equal(mem_realloc(&objects, object, 512), object);
    assert_ptr_equal(mem_realloc(&objects, object, 1024), object);
    void *moved = mem_realloc(&objects, object, 511);
    assert_ptr_not_equal(moved, object);
    assert_int_equal(mem_usable(&objects, moved), 512);
    assert_false(mem_is_object(&objects, object));
    assert_int_equal(mem_usable(&objects, moved), 512);
    void *tiny = take(objects.general_pool, 64);
    assert_ptr_equal(mem_realloc(&objects, tiny, 0), tiny);
    mem_free(&objects, tiny);
    mem_free(&objects, moved);
}

static void an_object_that_moves_stays_in_its_pool(void **state)
{
    struct mem_lifetime *lifetime = lifetime_make("window");
    struct mem_pool *pool = pool_make(lifetime, "series");
    void *object = take(pool, 100);

    (void)state;
    for (size_t bytes = 100; bytes < 300000; bytes *= 3) {
        object = mem_realloc(&objects, object, bytes);
        assert_ptr_equal(mem_span_pool(span_of(object)), pool);
    }
    mem_check();
    mem_lifetime_end(lifetime);
    assert_int_equal(pool_pages(objects.general_pool), 0);
}

static void an_object_that_cannot_move_is_as_it_was(void **state)
{
    (void)state;
    void *object = take(objects.general_pool, 1000);
    pattern_write(object, 1000, 9);
    assert_int_equal(page_heap_set_limit(heap, heap_committed()), QUARRY_OK);
    assert_null(mem_realloc(&objects, object, Q_MIB(64)));
    pattern_check(object, 1000, 9);
    assert_true(mem_is_object(&objects, object));
    assert_int_equal(page_heap_set_limit(heap, Q_GIB(4)), QUARRY_OK);
    mem_free(&objects, object);
}

/* ---- what is no object ---------------------------------------------------------------------- */

static void a_free_object_is_none_and_the_next_one_is(void **state)
{
    (void)state;
    for (uint32_t class = 0; class < MEM_CLASSES; class ++) {
        char *object = take(objects.general_pool, mem_size_class[class].size_bytes);
        assert_false(mem_is_object(&objects, object + 1));
        assert_false(mem_is_object(&objects, object - 1));
        mem_free(&objects, object);
        assert_false(mem_is_object(&objects, object));
    }
    mem_free(&objects, NULL);
    assert_false(mem_is_object(&objects, NULL));
}

/* Some page's address shares the map's first entry with NULL; it may be of the thread's own span.
 */
static void freeing_null_does_nothing_whatever_its_entry_says(void **state)
{
    (void)state;
    for (uint32_t class = 0; class < MEM_CLASSES; class ++) {
        void *object = take(objects.general_pool, mem_size_class[class].size_bytes);
        _Atomic mem_ref *entry = mem_map_entry(&objects.map, NULL);
        assert_int_equal((uintptr_t)entry % 4096, 0);
        assert_int_equal(os_commit(&sim.os, (void *)(uintptr_t)entry, 4096), QUARRY_OK);
        mem_ref before = atomic_load_relaxed_u32(entry);
        atomic_store_relaxed_u32(entry, mem_map_ref(&objects.map, span_of(object)));
        mem_free(&objects, NULL);
        assert_false(mem_is_object(&objects, NULL));
        atomic_store_relaxed_u32(entry, before);
        mem_free(&objects, object);
    }
}

static char *target;

static void free_target(void *offset)
{
    mem_free(&objects, target + (intptr_t)offset);
}

static void free_target_twice(void *argument)
{
    (void)argument;
    mem_free(&objects, target);
    mem_free(&objects, target);
}

static void measure_target(void *offset)
{
    (void)mem_usable(&objects, target + (intptr_t)offset);
}

static void free_a_variable(void *argument)
{
    (void)argument;
    mem_free(&objects, &target);
}

static void resize_a_variable(void *argument)
{
    (void)argument;
    (void)mem_realloc(&objects, &target, 100);
}

static void freeing_what_is_no_object_ends_the_program_and_names_it(void **state)
{
    (void)state;
    target = take(objects.general_pool, 100);
    void *neighbour = take(objects.general_pool, 100);
    child_assert_aborts(free_target, (void *)1, "no object begins at 0x");
    child_assert_aborts(free_target, (void *)16, "no object begins at 0x");
    child_assert_aborts(measure_target, (void *)8, "no object begins at 0x");
    child_assert_aborts(free_target_twice, NULL, "double free of 0x");
    child_assert_aborts(free_a_variable, NULL, "invalid free");
    child_assert_aborts(resize_a_variable, NULL, "invalid free");
    mem_free(&objects, target);
    mem_free(&objects, neighbour);
}

int main(void)
{
#define on_a_heap(test) cmocka_unit_test_setup_teardown(test, mem_set_up, mem_tear_down)
    const struct CMUnitTest tests[] = {
        on_a_heap(objects_of_every_size_are_aligned_and_long_enough),
        on_a_heap(zeroed_objects_are_zero_whatever_was_there),
        on_a_heap(aligned_objects_are_aligned_and_of_their_size),
        on_a_heap(contents_survive_every_change_of_size),
        on_a_heap(an_object_stays_while_it_fits_and_is_half_used),
        on_a_heap(an_object_that_moves_stays_in_its_pool),
        on_a_heap(an_object_that_cannot_move_is_as_it_was),
        on_a_heap(a_free_object_is_none_and_the_next_one_is),
        on_a_heap(freeing_null_does_nothing_whatever_its_entry_says),
        on_a_heap(freeing_what_is_no_object_ends_the_program_and_names_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
