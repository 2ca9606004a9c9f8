/*
 * Cases that the model and the sweeps have found, each small and by name.
 */
#include <os/os_sim.h>
#include <page/page.h>

#include "unit/base/cmocka_all.h"

static struct os_sim sim;
static struct page_heap *heap;
static uint32_t owner;

static int start(void **state)
{
    const struct os_sim_options sim_options = {.real_backing = true, .decommit_keeps_access = true};
    const struct page_heap_options options = {
        .os = &sim.os, .limit_bytes = Q_MIB(64), .reserved_bytes = Q_GIB(4), .has_no_thread = true};

    (void)state;
    os_sim_init(&sim, &sim_options);
    assert_int_equal(page_heap_create(&options, &heap, NULL), QUARRY_OK);
    assert_int_equal(page_ledger_register(&heap->ledger, "owner", &owner), QUARRY_OK);
    return 0;
}

static int stop(void **state)
{
    struct os_sim_counters counters;

    (void)state;
    page_heap_destroy(heap);
    os_sim_read_counters(&sim, &counters);
    assert_int_equal(counters.reserved_bytes, 0);
    assert_int_equal(counters.committed_bytes, 0);
    os_sim_fini(&sim);
    return 0;
}

static enum quarry_status create_lane(const char *file_path, struct page_lane **ret_lane)
{
    const struct page_lane_options options = {
        .name = "lane", .reserved_bytes = Q_GIB(1), .file_path = file_path};

    return page_lane_create(heap, &options, ret_lane, NULL);
}

static void assert_valid(void)
{
    struct quarry_error error = {0};

    if (page_heap_validate(heap, &error) != QUARRY_OK) {
        fail_msg("%s", error.text);
    }
}

static void a_page_refused_for_its_alignment_leaves_the_free_ones_below_to_be_found(void **state)
{
    struct page_lane *lane;

    (void)state;
    assert_int_equal(create_lane(NULL, &lane), QUARRY_OK);
    /* Page 0, the only one aligned to a chunk that has been grown, is taken; the rest is free. */
    struct page_run first = page_lane_alloc(lane, owner, 1, 1);
    struct page_run aligned = page_lane_alloc(lane, owner, 1, PAGE_CHUNK_PAGES);
    assert_ptr_equal(aligned.base, (char *)first.base + PAGE_CHUNK_BYTES);
    assert_valid();
    struct page_run second = page_lane_alloc(lane, owner, 1, 1);
    assert_ptr_equal(second.base, (char *)first.base + PAGE_BYTES);
}

static void a_file_whose_header_could_not_be_written_is_created_by_the_next_try(void **state)
{
    struct page_lane *lane;

    (void)state;
    os_sim_fail_at(&sim, OS_SIM_FILE_WRITE, 0, OS_SIM_ONCE, QUARRY_NO_SPACE);
    assert_int_equal(create_lane("file", &lane), QUARRY_NO_SPACE);
    assert_int_equal(create_lane("file", &lane), QUARRY_OK);
    assert_int_equal(page_lane_adopt_finish(lane), QUARRY_BAD_INPUT); /* nothing to adopt */
    assert_int_equal(page_lane_alloc(lane, owner, 1, 1).status, QUARRY_OK);
    assert_valid();
}

static void a_run_does_not_grow_into_pages_that_are_still_to_be_adopted(void **state)
{
    struct page_lane *lane;
    void *first, *second;

    (void)state;
    assert_int_equal(create_lane("file", &lane), QUARRY_OK);
    assert_int_equal(page_lane_alloc(lane, owner, 2, 1).status, QUARRY_OK);
    page_lane_destroy(lane);
    assert_int_equal(create_lane("file", &lane), QUARRY_OK);
    assert_int_equal(page_lane_adopt(lane, owner, 0, 1, &first), QUARRY_OK);
    assert_int_equal(page_lane_resize(lane, first, 2), QUARRY_BUSY);
    assert_int_equal(page_lane_adopt(lane, owner, 1, 1, &second), QUARRY_OK);
    assert_int_equal(page_lane_adopt_finish(lane), QUARRY_OK);
    assert_int_equal(page_lane_resize(lane, second, 2), QUARRY_OK);
    assert_valid();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            a_page_refused_for_its_alignment_leaves_the_free_ones_below_to_be_found, start, stop),
        cmocka_unit_test_setup_teardown(
            a_file_whose_header_could_not_be_written_is_created_by_the_next_try, start, stop),
        cmocka_unit_test_setup_teardown(a_run_does_not_grow_into_pages_that_are_still_to_be_adopted,
                                        start, stop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
