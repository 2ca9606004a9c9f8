/*
 * The span map: entries that come and go with lanes, records that stay, and what they cost.
 */
#include "unit/mem/mem_rig.h"

#include "unit/base/random.h"

static uint64_t metadata_bytes(void)
{
    return heap_totals().metadata_bytes;
}

static void an_address_of_nowhere_finds_no_object(void **state)
{
    uint64_t random = 7;

    (void)state;
    for (uint32_t i = 0; i < 1000000; i++) {
        const void *address = (const void *)random_width_u64(&random);
        const struct mem_span *span = mem_map_find(&objects.map, address);
        assert_true(mem_span_index(span, address) >= span->capacity);
        assert_false(mem_is_object(&objects, address));
    }
}

/* Entries are found by page number modulo their count: these share one with a live object. */
static void an_address_that_shares_an_entry_finds_no_object(void **state)
{
    char *small = take(objects.general_pool, 64), *large = take(objects.general_pool, 100000);
    uint64_t period = (objects.map.page_mask + 1) << PAGE_SHIFT;

    (void)state;
    for (uint64_t i = 1; i < 1000; i++) {
        const char *near_small = (const char *)((uint64_t)small + i * period);
        const char *near_large = (const char *)((uint64_t)large - i * period);
        assert_ptr_equal(mem_map_find(&objects.map, near_small), span_of(small));
        assert_false(mem_is_object(&objects, near_small));
        assert_false(mem_is_object(&objects, near_large));
    }
    mem_free(&objects, small);
    mem_free(&objects, large);
}

static void every_page_of_a_span_leads_to_it_and_none_around(void **state)
{
    (void)state;
    for (uint32_t class = 0; class < MEM_CLASSES; class ++) {
        char *object = take(objects.general_pool, mem_size_class[class].size_bytes);
        struct mem_span *span = span_of(object);
        const char *start = mem_span_cold(span)->start;
        uint64_t page_count = mem_size_class[class].page_count;
        assert_int_equal(mem_span_class(span), class);
        for (uint64_t page = 0; page < page_count; page++) {
            assert_ptr_equal(span_of(start + (page << PAGE_SHIFT) + 17), span);
        }
        assert_ptr_not_equal(span_of(start - 1), span);
        assert_ptr_not_equal(span_of(start + (page_count << PAGE_SHIFT)), span);
        mem_free(&objects, object);
    }
    mem_check();
}

static void a_record_given_back_is_the_next_one_taken(void **state)
{
    (void)state;
    for (uint32_t class = 0; class < MEM_CLASSES; class ++) {
        struct mem_span *span = mem_map_take_record(&objects.map, class);
        assert_non_null(span);
        assert_int_equal((uintptr_t)span % Q_CACHE_LINE_BYTES, 0);
        mem_map_give_record(&objects.map, span);
        assert_ptr_equal(mem_map_take_record(&objects.map, class), span);
        mem_map_give_record(&objects.map, span);
    }
}

static void entries_are_charged_in_steps_and_given_back_with_their_lane(void **state)
{
    struct mem_lifetime *lifetime = lifetime_make("wide");
    uint64_t map_bytes = mem_map_bytes(&objects.map);
    struct page_lane *lane = lifetime->lane;

    (void)state;
    assert_int_equal(mem_map_prepare(&objects.map, lane, lane->base, 1), QUARRY_OK);
    assert_int_equal(mem_map_bytes(&objects.map), map_bytes + Q_KIB(4));
    assert_int_equal(mem_map_prepare(&objects.map, lane, lane->base, MEM_MAP_STEP_PAGES),
                     QUARRY_OK);
    assert_int_equal(mem_map_bytes(&objects.map), map_bytes + Q_KIB(4));
    uint64_t before_bytes = metadata_bytes();
    assert_int_equal(mem_map_prepare(&objects.map, lane, lane->base, MEM_MAP_STEP_PAGES * 5 + 1),
                     QUARRY_OK);
    assert_int_equal(mem_map_bytes(&objects.map), map_bytes + Q_KIB(24));
    assert_int_equal(metadata_bytes(), before_bytes + Q_KIB(20));
    mem_map_forget_lane(&objects.map, lane);
    assert_int_equal(mem_map_bytes(&objects.map), map_bytes);
    assert_int_equal(metadata_bytes(), before_bytes - Q_KIB(4));
    mem_lifetime_end(lifetime);
}

static void a_lane_that_was_forgotten_has_no_entries_when_it_grows_again(void **state)
{
    struct mem_span *span = mem_map_take_record(&objects.map, 30);
    struct mem_lifetime *lifetime = lifetime_make("again");
    struct page_lane *lane = lifetime->lane;
    mem_ref ref = mem_map_ref(&objects.map, span);

    (void)state;
    assert_int_equal(mem_map_prepare(&objects.map, lane, lane->base, 100), QUARRY_OK);
    mem_map_set(&objects.map, lane->base, 100, ref);
    assert_ptr_equal(span_of(lane->base + 99 * PAGE_BYTES), span);
    mem_map_forget_lane(&objects.map, lane);
    assert_int_equal(mem_map_prepare(&objects.map, lane, lane->base, 100), QUARRY_OK);
    for (uint64_t page = 0; page < 100; page++) {
        assert_ptr_equal(span_of(lane->base + page * PAGE_BYTES), mem_map_span(&objects.map, 0));
    }
    mem_map_give_record(&objects.map, span);
    mem_lifetime_end(lifetime);
}

/* Locked pages, say: the entries are cleared by hand. */
static void a_lane_is_forgotten_when_the_kernel_takes_nothing_back(void **state)
{
    struct mem_lifetime *lifetime = lifetime_make("locked");
    struct mem_pool *pool = pool_make(lifetime, "locked");
    const void *object = take(pool, 100);

    (void)state;
    os_sim_fail_at(&sim, OS_SIM_DECOMMIT, 0, OS_SIM_FOR_EVER, QUARRY_BUSY);
    mem_lifetime_end(lifetime);
    os_sim_fail_clear(&sim);
    assert_false(mem_is_object(&objects, object));
    assert_ptr_equal(span_of(object), mem_map_span(&objects.map, 0));
}

static void entries_that_cannot_be_had_refuse_the_object_and_charge_nothing(void **state)
{
    struct mem_lifetime *lifetime = lifetime_make("poor");
    struct mem_pool *pool = pool_make(lifetime, "poor");

    (void)state;
    uint64_t bytes = mem_map_bytes(&objects.map);
    for (uint32_t call = 0; call < 12; call++) {
        os_sim_fail_at(&sim, OS_SIM_COMMIT, call, OS_SIM_FOR_EVER, QUARRY_NO_MEMORY);
        void *object = mem_alloc(pool, 200000);
        bool is_failed = os_sim_failed_count(&sim) > 0;
        os_sim_fail_clear(&sim);
        assert_int_equal(object == NULL, is_failed);
        mem_free(&objects, object);
        mem_check();
    }
    assert_true(mem_map_bytes(&objects.map) <= bytes + Q_KIB(8));
    mem_lifetime_end(lifetime);
}

int main(void)
{
#define on_a_heap(test) cmocka_unit_test_setup_teardown(test, mem_set_up, mem_tear_down)
    const struct CMUnitTest tests[] = {
        on_a_heap(an_address_of_nowhere_finds_no_object),
        on_a_heap(an_address_that_shares_an_entry_finds_no_object),
        on_a_heap(every_page_of_a_span_leads_to_it_and_none_around),
        on_a_heap(a_record_given_back_is_the_next_one_taken),
        on_a_heap(entries_are_charged_in_steps_and_given_back_with_their_lane),
        on_a_heap(a_lane_that_was_forgotten_has_no_entries_when_it_grows_again),
        on_a_heap(a_lane_is_forgotten_when_the_kernel_takes_nothing_back),
        on_a_heap(entries_that_cannot_be_had_refuse_the_object_and_charge_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
