/* Owners: their names, how many there may be, and the ledger of what they hold. */
#include "unit/page/simulated_heap.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

static enum quarry_status reg(const char *name, uint32_t *ret_owner)
{
    return page_ledger_register(&heap->ledger, name, ret_owner);
}

static void the_first_two_owners_are_none_and_lost(void **state)
{
    (void)state;
    assert_string_equal(heap->ledger.owner[PAGE_OWNER_NONE].name, "none");
    assert_string_equal(heap->ledger.owner[PAGE_OWNER_LOST].name, "lost");
    assert_int_equal(owner_make("first"), 2);
}

static void nobody_can_register_as_them(void **state)
{
    (void)state;
    uint32_t owner = 77;

    assert_int_equal(page_ledger_register(&heap->ledger, "none", &owner), QUARRY_BAD_INPUT);
    assert_int_equal(page_ledger_register(&heap->ledger, "lost", &owner), QUARRY_BAD_INPUT);
    assert_int_equal(owner, 77);
}

static void the_same_name_is_the_same_owner(void **state)
{
    (void)state;
    uint32_t memtable = owner_make("kv.memtable"), block = owner_make("kv.block");

    assert_int_not_equal(memtable, block);
    assert_int_equal(owner_make("kv.memtable"), memtable);
    assert_int_equal(owner_make("kv.block"), block);
    assert_int_not_equal(owner_make("kv.bloc"), block);
    assert_int_not_equal(owner_make("kv.blocks"), block);
}

static void a_name_has_1_to_31_bytes(void **state)
{
    (void)state;
    const char longest[] = "0123456789012345678901234567890";
    const char too_long[] = "01234567890123456789012345678901";
    uint32_t owner = 77;

    assert_int_equal(strlen(longest), PAGE_OWNER_NAME_BYTES - 1);
    assert_int_equal(reg("", &owner), QUARRY_BAD_INPUT);
    assert_int_equal(reg(too_long, &owner), QUARRY_BAD_INPUT);
    assert_int_equal(owner, 77);
    assert_int_equal(reg(longest, &owner), QUARRY_OK);
    assert_string_equal(heap->ledger.owner[owner].name, longest);
    assert_int_equal(reg("x", &owner), QUARRY_OK);
}

static void there_are_4096_owners_and_no_more(void **state)
{
    (void)state;
    char name[PAGE_OWNER_NAME_BYTES];
    uint32_t owner = 0;

    for (uint32_t i = 2; i < PAGE_OWNERS_MAX; i++) {
        (void)snprintf(name, sizeof(name), "tenant-%u", i);
        assert_int_equal(reg(name, &owner), QUARRY_OK);
        assert_int_equal(owner, i);
    }
    assert_int_equal(reg("one more", &owner), QUARRY_TOO_MANY);
    assert_int_equal(reg("tenant-17", &owner), QUARRY_OK);
    assert_int_equal(owner, 17);
    /* The last one's pages are counted as any other's. */
    struct page_lane *lane = lane_make("lane");
    (void)take_pages(lane, PAGE_OWNERS_MAX - 1, 3);
    (void)take_from_tree(lane, PAGE_OWNERS_MAX - 1, 600);
    assert_int_equal(owner_pages_in(PAGE_OWNERS_MAX - 1, lane), 603);
}

static void rows_are_charged_as_metadata_an_os_page_at_a_time(void **state)
{
    (void)state;
    uint64_t metadata_bytes = heap_totals().metadata_bytes;
    char name[PAGE_OWNER_NAME_BYTES];

    for (uint32_t i = 0; i < 100; i++) {
        (void)snprintf(name, sizeof(name), "owner-%u", i);
        (void)owner_make(name);
    }
    uint64_t row_bytes = 102 * sizeof(struct page_owner);
    uint64_t first_bytes = 2 * sizeof(struct page_owner);
    assert_int_equal(heap_totals().metadata_bytes - metadata_bytes,
                     size_align_up_u64(row_bytes, 4096) - size_align_up_u64(first_bytes, 4096));
}

static void a_row_without_budget_is_refused_and_fits_later(void **state)
{
    (void)state;
    char name[PAGE_OWNER_NAME_BYTES];
    uint32_t owner = 0, refused_at = 0;
    struct page_commit_state commit = page_commit_read(&heap->commit);
    uint64_t rest_bytes = commit.limit_bytes - commit.committed_bytes;

    assert_true(page_commit_try(&heap->commit, rest_bytes));
    for (uint32_t i = 0; refused_at == 0; i++) {
        (void)snprintf(name, sizeof(name), "owner-%u", i);
        enum quarry_status status = reg(name, &owner);
        if (status != QUARRY_OK) {
            assert_int_equal(status, QUARRY_NO_MEMORY);
            refused_at = i;
        }
        assert_true(i < 16);
    }
    page_commit_release(&heap->commit, rest_bytes);
    assert_int_equal(reg(name, &owner), QUARRY_OK);
    assert_int_equal(owner, refused_at + 2);
}

static void a_row_that_the_kernel_refuses_is_not_charged(void **state)
{
    (void)state;
    char name[PAGE_OWNER_NAME_BYTES];
    uint64_t committed_bytes = heap_committed();
    uint32_t owner;
    enum quarry_status status = QUARRY_OK;

    os_sim_fail_at(&sim, OS_SIM_COMMIT, 0, OS_SIM_FOR_EVER, QUARRY_NO_MEMORY);
    for (uint32_t i = 0; i < 16 && status == QUARRY_OK; i++) {
        (void)snprintf(name, sizeof(name), "owner-%u", i);
        status = reg(name, &owner);
    }
    assert_int_equal(status, QUARRY_NO_MEMORY);
    assert_int_equal(heap_committed(), committed_bytes);
    os_sim_fail_clear(&sim);
    assert_int_equal(reg(name, &owner), QUARRY_OK);
}

static void rows_name_owner_and_lane_and_leave_out_what_is_empty(void **state)
{
    (void)state;
    struct page_lane *one = lane_make("one"), *two = lane_make("two");
    uint32_t a = owner_make("a"), b = owner_make("b"), idle = owner_make("idle");
    struct quarry_ledger totals;
    struct quarry_ledger_row rows[8] = {{0}};

    (void)take_pages(one, a, 2);
    (void)take_from_tree(two, a, 700);
    char *gone = take_pages(two, b, 4);
    assert_int_equal(page_heap_ledger(heap, &totals, rows, 8), 3);
    assert_int_equal(totals.in_use_bytes, 706 * PAGE_BYTES);
    page_free(two, gone);
    assert_int_equal(page_heap_ledger(heap, &totals, rows, 8), 2);
    assert_int_equal(owner_pages_in(a, one), 2);
    assert_int_equal(owner_pages_in(a, two), 700);
    assert_int_equal(owner_pages_in(b, two), 0);
    assert_int_equal(owner_pages_in(idle, one), 0);
    /* More rows than room: counted, and not written. */
    rows[0].owner = 99;
    rows[1].owner = 99;
    assert_int_equal(page_heap_ledger(heap, &totals, rows, 1), 2);
    assert_int_equal(rows[0].owner, a);
    assert_int_equal(rows[1].owner, 99);
    assert_int_equal(page_heap_ledger(heap, &totals, NULL, 0), 2);
}

static void a_lane_that_ends_takes_its_column_with_it(void **state)
{
    (void)state;
    struct page_lane *one = lane_make("one"), *two = lane_make("two");
    uint32_t a = owner_make("a"), b = owner_make("b");

    (void)take_pages(one, a, 2);
    (void)take_pages(one, b, 20);
    (void)take_pages(two, a, 5);
    page_lane_end(one);
    assert_int_equal(owner_pages_in(a, one), 0);
    assert_int_equal(owner_pages_in(b, one), 0);
    assert_int_equal(owner_pages_in(a, two), 5);
    heap_check();
}

/* ---- many threads --------------------------------------------------------------------------- */

#define THREADS 4

static void *register_many(void *argument)
{
    char name[PAGE_OWNER_NAME_BYTES];
    uint32_t *owners = argument;

    for (uint32_t i = 0; i < 200; i++) {
        (void)snprintf(name, sizeof(name), "shared-%u", i);
        Q_ASSERT(reg(name, &owners[i]) == QUARRY_OK);
    }
    return NULL;
}

static void threads_that_register_the_same_names_agree(void **state)
{
    (void)state;
    static uint32_t owners[THREADS][200];
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, register_many, owners[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_memory_equal(owners[i], owners[0], sizeof(owners[0]));
    }
    assert_int_equal(atomic_load_acquire_u32(&heap->ledger.owner_count), 202);
}

#define in_a_heap(test) cmocka_unit_test_setup_teardown(test, heap_set_up, heap_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_a_heap(the_first_two_owners_are_none_and_lost),
        in_a_heap(nobody_can_register_as_them),
        in_a_heap(the_same_name_is_the_same_owner),
        in_a_heap(a_name_has_1_to_31_bytes),
        in_a_heap(there_are_4096_owners_and_no_more),
        in_a_heap(rows_are_charged_as_metadata_an_os_page_at_a_time),
        in_a_heap(a_row_without_budget_is_refused_and_fits_later),
        in_a_heap(a_row_that_the_kernel_refuses_is_not_charged),
        in_a_heap(rows_name_owner_and_lane_and_leave_out_what_is_empty),
        in_a_heap(a_lane_that_ends_takes_its_column_with_it),
        in_a_heap(threads_that_register_the_same_names_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
