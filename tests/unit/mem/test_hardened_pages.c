/*
 * Hardened heaps: pages that fault, runs of large objects, and what becomes of either when the
 * kernel refuses.
 */
#include "misuse_rig.h"

#include <signal.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static int hardened(void **state)
{
    (void)state;
    objects_begin((struct mem_heap_options){.is_hardened = true}, 0, 0);
    return 0;
}

static int end(void **state)
{
    (void)state;
    objects_end();
    return 0;
}

static void overflow_and_free(void *object)
{
    ((unsigned char *)object)[mem_usable(&objects, object)] ^= 0x20;
    mem_free(&objects, object);
}

static bool is_all_zero(const char *base, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        if (base[i] != 0) {
            return false;
        }
    }
    return true;
}

/* ---- pages that fault ----------------------------------------------------------------------- */

static void write_far_past_the_end(void *object)
{
    signal(SIGSEGV, SIG_DFL);
    ((volatile char *)object)[mem_usable(&objects, object) + MEM_CANARY_BYTES] = 1;
}

static void past_the_canary_of_a_large_object_nothing_can_be_touched(void **state)
{
    (void)state;
    for (size_t bytes = Q_KIB(64) - MEM_CANARY_BYTES; bytes < Q_MIB(8); bytes *= 3) {
        void *object = take(bytes);
        child_assert_faults(write_far_past_the_end, object);
        mem_free(&objects, object);
    }
}

/* Whether the page behind an object's span is one that faults. */
static bool has_guard_page(const void *object)
{
    struct mem_span *span = mem_map_find(&objects.map, object);

    return page_lane_run_pages(pool->lane, mem_span_cold(span)->start) >
           mem_size_class[mem_span_class(span)].page_count;
}

static void read_past_span(void *object)
{
    struct mem_span *span = mem_map_find(&objects.map, object);
    uint64_t page_count = mem_size_class[mem_span_class(span)].page_count;

    signal(SIGSEGV, SIG_DFL);
    (void)((volatile char *)mem_span_cold(span)->start)[page_count << PAGE_SHIFT];
}

static void behind_one_span_in_eight_nothing_can_be_touched(void **state)
{
    static void *object[800];
    uint32_t guarded_count = 0;
    (void)state;

    for (uint32_t i = 0; i < COUNT_OF(object); i++) {
        object[i] = take(8000); /* one to a span */
        if (has_guard_page(object[i]) && guarded_count++ == 0) {
            child_assert_faults(read_past_span, object[i]);
        }
    }
    assert_in_range(guarded_count, 50, 170); /* 100 in the mean, and 9 one deviation */
    for (uint32_t i = 0; i < COUNT_OF(object); i++) {
        mem_free(&objects, object[i]);
    }
}

/* ---- large objects -------------------------------------------------------------------------- */

static void write_freed_large(void *bytes)
{
    char *object = take((size_t)bytes);

    mem_free(&objects, object);
    ((volatile char *)object)[(size_t)bytes / 2] = 1;
    char *again = take((size_t)bytes);
    CHILD_CHECK(again == object);
    CHILD_CHECK(is_all_zero(again, (size_t)bytes));
}

static void a_write_into_a_freed_large_object_is_found_or_gone(void **state)
{
    (void)state;
    child_assert_aborts(write_freed_large, (void *)Q_KIB(64), "use after free");
    child_assert_aborts(write_freed_large, (void *)Q_KIB(200), "use after free");
    child_assert_succeeds(write_freed_large, (void *)Q_KIB(400));
}

/* ---- the kernel ----------------------------------------------------------------------------- */

static void a_guard_page_is_charged_like_the_others(void **state)
{
    void *object = take(Q_KIB(64) - MEM_CANARY_BYTES);
    (void)state;

    assert_int_equal(page_lane_run_pages(pool->lane, object), MEM_GUARDED_LARGE_PAGES + 1);
    objects_check(); /* the ledger agrees with the pages */
    mem_free(&objects, object);
}

static void without_mappings_there_are_no_guard_pages(void **state)
{
    (void)state;
    os_sim_fail_at(&sim, OS_SIM_UNCOMMIT, 0, OS_SIM_FOR_EVER, QUARRY_NO_MEMORY);
    for (int i = 0; i < 100; i++) {
        void *object = take(Q_KIB(64));
        child_assert_aborts(overflow_and_free, object, "heap overflow");
        mem_free(&objects, object);
    }
    assert_true(os_sim_failed_count(&sim) > 0);
    os_sim_fail_clear(&sim);
}

static void a_run_whose_guard_page_stays_is_not_used_again(void **state)
{
    void *object = take(Q_KIB(64));
    (void)state;

    os_sim_fail_at(&sim, OS_SIM_COMMIT, 0, OS_SIM_ONCE, QUARRY_NO_MEMORY);
    mem_free(&objects, object);
    assert_int_equal(os_sim_failed_count(&sim), 1);
    os_sim_fail_clear(&sim);
    assert_false(mem_is_object(&objects, object));
    for (int i = 0; i < 100; i++) {
        void *other = take(Q_KIB(64));
        assert_ptr_not_equal(other, object);
        mem_free(&objects, other);
    }
    /* So that the page heap may be checked and ended. */
    assert_int_equal(
        os_commit(heap->os,
                  (char *)object + (page_lane_run_pages(pool->lane, object) - 1) * PAGE_BYTES,
                  PAGE_BYTES),
        QUARRY_OK);
    page_free(pool->lane, object);
}

static void pages_that_the_kernel_keeps_are_cleared_by_hand(void **state)
{
    char *object = take(Q_MIB(1));
    (void)state;

    memset(object, 0x77, Q_MIB(1));
    os_sim_fail_at(&sim, OS_SIM_DECOMMIT, 0, OS_SIM_ONCE, QUARRY_BUSY);
    mem_free(&objects, object);
    assert_int_equal(os_sim_failed_count(&sim), 1);
    os_sim_fail_clear(&sim);
    char *again = mem_alloc_zero(pool, NULL, Q_MIB(1));
    assert_ptr_equal(again, object);
    assert_true(is_all_zero(again, Q_MIB(1)));
    mem_free(&objects, again);
}

int main(void)
{
#define HARDENED(test) cmocka_unit_test_setup_teardown(test, hardened, end)
    const struct CMUnitTest tests[] = {
        HARDENED(past_the_canary_of_a_large_object_nothing_can_be_touched),
        HARDENED(behind_one_span_in_eight_nothing_can_be_touched),
        HARDENED(a_write_into_a_freed_large_object_is_found_or_gone),
        HARDENED(a_guard_page_is_charged_like_the_others),
        HARDENED(without_mappings_there_are_no_guard_pages),
        HARDENED(a_run_whose_guard_page_stays_is_not_used_again),
        HARDENED(pages_that_the_kernel_keeps_are_cleared_by_hand),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
