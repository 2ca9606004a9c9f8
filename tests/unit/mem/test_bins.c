/*
 * Bins: how spans go from new to full to free in the hands of one thread.
 */
#include "unit/mem/mem_rig.h"

#include <string.h>

#include <mem/remote.h>

/* Objects of one span of a class, all taken; the span is current or full then. */
static uint32_t take_span(uint32_t class, void **ret_objects)
{
    uint32_t size = mem_size_class[class].size_bytes, count = mem_size_class[class].capacity;

    for (uint32_t i = 0; i < count; i++) {
        ret_objects[i] = take(objects.general_pool, size);
    }
    return count;
}

static void a_class_gives_every_object_of_its_span_once(void **state)
{
    static void *given[MEM_SPAN_OBJECTS_MAX];

    (void)state;
    for (uint32_t class = 0; class < MEM_CLASSES; class ++) {
        uint32_t count = take_span(class, given);
        struct mem_span *span = span_of(given[0]);
        uint64_t seen[MEM_SPAN_OBJECTS_MAX / 64] = {0};
        for (uint32_t i = 0; i < count; i++) {
            uint64_t index = mem_span_index(span, given[i]);
            assert_ptr_equal(span_of(given[i]), span);
            assert_true(index < span->capacity && (seen[index / 64] >> index % 64 & 1) == 0);
            seen[index / 64] |= (uint64_t)1 << index % 64;
        }
        mem_check();
        for (uint32_t i = 0; i < count; i++) {
            mem_free(&objects, given[i]);
        }
        mem_check();
    }
}

static void an_object_that_comes_and_goes_moves_no_span(void **state)
{
    struct mem_span *span = NULL;

    (void)state;
    for (uint32_t i = 0; i < 10000; i++) {
        void *object = take(objects.general_pool, 48);
        span = span == NULL ? span_of(object) : span;
        assert_ptr_equal(span_of(object), span);
        mem_free(&objects, object);
    }
    assert_int_equal(mem_span_state(span), MEM_SPAN_CURRENT);
    assert_int_equal(pool_pages(objects.general_pool), 1);
}

static void a_full_span_serves_again_when_a_part_of_it_is_free(void **state)
{
    static void *given[MEM_SPAN_OBJECTS_MAX];
    uint32_t class = mem_class_of(32), ready_count = mem_size_class[class].ready_count;
    uint32_t count = take_span(class, given);
    struct mem_span *span = span_of(given[0]);
    void *other = take(objects.general_pool, 32);

    (void)state;
    assert_int_equal(mem_span_state(span), MEM_SPAN_FULL);
    for (uint32_t i = 0; i + 1 < ready_count; i++) {
        mem_free(&objects, given[i]);
        assert_int_equal(mem_span_state(span), MEM_SPAN_FULL);
    }
    mem_check();
    mem_free(&objects, given[ready_count - 1]);
    assert_int_equal(mem_span_state(span), MEM_SPAN_PARTIAL);
    mem_check();
    for (uint32_t i = ready_count; i < count; i++) {
        mem_free(&objects, given[i]);
    }
    mem_free(&objects, other);
}

static void empty_spans_are_kept_up_to_a_share_of_the_budget(void **state)
{
    static void *given[1000];

    (void)state;
    for (uint32_t i = 0; i < COUNT_OF(given); i++) {
        given[i] = take(objects.general_pool, 8192); /* a page each */
    }
    assert_int_equal(pool_pages(objects.general_pool), COUNT_OF(given));
    for (uint32_t i = 0; i < COUNT_OF(given); i++) {
        mem_free(&objects, given[i]);
    }
    uint64_t kept_pages = pool_pages(objects.general_pool);
    assert_true(kept_pages >= MEM_IDLE_PAGES_LEAST && kept_pages <= MEM_IDLE_PAGES_MOST + 1);
    mem_check();
    for (uint32_t i = 0; i < kept_pages; i++) {
        given[i] = take(objects.general_pool, 8192);
    }
    assert_int_equal(pool_pages(objects.general_pool), kept_pages);
    for (uint32_t i = 0; i < kept_pages; i++) {
        mem_free(&objects, given[i]);
    }
}

static void a_span_emptied_in_any_order_is_found_empty(void **state)
{
    static void *given[MEM_SPAN_OBJECTS_MAX];

    (void)state;
    for (uint32_t step = 1; step < 170; step += 7) { /* 170 objects of 48 bytes: 2 · 5 · 17 */
        uint32_t count = take_span(3, given);
        void *other = take(objects.general_pool, 48);
        struct mem_span *span = span_of(given[0]);
        if (step % 2 == 0 || step % 5 == 0 || step % 17 == 0) {
            step++;
        }
        bool is_coprime = step % 2 != 0 && step % 5 != 0 && step % 17 != 0;
        for (uint32_t i = 0; i < count; i++) {
            mem_free(&objects, given[(is_coprime ? i * step : i) % count]);
        }
        assert_true(mem_span_state(span) == MEM_SPAN_UNUSED || mem_span_is_all_free(span));
        mem_free(&objects, other);
        mem_check();
    }
}

static void without_a_thread_objects_come_from_the_central_bins(void **state)
{
    static void *given[300];

    (void)state;
    for (uint32_t i = 0; i < COUNT_OF(given); i++) {
        given[i] = mem_central_take(objects.general_pool, 100);
        assert_non_null(given[i]);
        assert_int_equal(atomic_load_relaxed_uptr(&span_of(given[i])->owner), 0);
        memset(given[i], (int)i, 100);
    }
    mem_check();
    for (uint32_t i = 0; i < COUNT_OF(given); i++) {
        pattern_write(given[i], 100, i);
    }
    for (uint32_t i = 0; i < COUNT_OF(given); i++) {
        pattern_check(given[i], 100, i);
        mem_free(&objects, given[i]);
    }
    mem_remote_flush(mem_thread_own(&objects));
    (void)mem_heap_collect(&objects);
    assert_int_equal(pool_pages(objects.general_pool), 0);
}

static void a_thread_adopts_the_spans_of_nobody_before_it_makes_new_ones(void **state)
{
    void *central = mem_central_take(objects.general_pool, 640);

    (void)state;
    assert_non_null(central);
    void *own = take(objects.general_pool, 640);
    assert_ptr_equal(span_of(own), span_of(central));
    assert_int_equal(pool_pages(objects.general_pool), 1);
    assert_int_equal(atomic_load_relaxed_uptr(&span_of(own)->owner),
                     (uintptr_t)__builtin_thread_pointer());
    mem_check();
    mem_free(&objects, own);
    mem_free(&objects, central);
}

static void a_fast_and_a_slow_allocation_never_give_the_same_object(void **state)
{
    static void *given[512];
    struct mem_bins *bins = NULL;

    (void)state;
    mem_free(&objects, take(objects.general_pool, 16));
    bins = mem_thread_bins(mem_thread_own(&objects), objects.general_pool);
    for (uint32_t i = 0; i < COUNT_OF(given); i++) {
        struct mem_bin *bin = bins->direct[2];
        given[i] = i % 3 == 0 ? mem_bins_take(bins, bin, 16) : mem_bins_take_quickly(bins, bin);
        if (given[i] == NULL) {
            given[i] = take(objects.general_pool, 16);
        }
        for (uint32_t j = 0; j < i; j++) {
            assert_ptr_not_equal(given[i], given[j]);
        }
    }
    mem_check();
    for (uint32_t i = 0; i < COUNT_OF(given); i++) {
        mem_free(&objects, given[i]);
    }
}

int main(void)
{
#define on_a_heap(test) cmocka_unit_test_setup_teardown(test, mem_set_up, mem_tear_down)
    const struct CMUnitTest tests[] = {
        on_a_heap(a_class_gives_every_object_of_its_span_once),
        on_a_heap(an_object_that_comes_and_goes_moves_no_span),
        on_a_heap(a_full_span_serves_again_when_a_part_of_it_is_free),
        on_a_heap(empty_spans_are_kept_up_to_a_share_of_the_budget),
        on_a_heap(a_span_emptied_in_any_order_is_found_empty),
        on_a_heap(without_a_thread_objects_come_from_the_central_bins),
        on_a_heap(a_thread_adopts_the_spans_of_nobody_before_it_makes_new_ones),
        on_a_heap(a_fast_and_a_slow_allocation_never_give_the_same_object),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
