/*
 * The public door: what include/quarry/memory.h says, from outside.
 */
#include "unit/base/cmocka_all.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <quarry/memory.h>

#define MIB ((uint64_t)1 << 20)

static struct quarry_memory *memory;
static struct quarry_lane *lane;
static uint32_t owner;

static int set_up(void **state)
{
    struct quarry_memory_options options = {.limit_bytes = 64 * MIB, .has_no_thread = true};
    struct quarry_error error = {0};

    (void)state;
    assert_int_equal(quarry_memory_create(&options, &memory, &error), QUARRY_OK);
    assert_int_equal(quarry_memory_owner(memory, "test", &owner), QUARRY_OK);
    assert_int_equal(
        quarry_lane_create(memory, &(struct quarry_lane_options){.name = "lane"}, &lane, &error),
        QUARRY_OK);
    return 0;
}

static int tear_down(void **state)
{
    struct quarry_error error = {0};

    (void)state;
    assert_int_equal(quarry_memory_validate(memory, &error), QUARRY_OK);
    quarry_memory_destroy(memory);
    return 0;
}

static struct quarry_ledger ledger_of(void)
{
    struct quarry_ledger ledger;

    (void)quarry_memory_ledger(memory, &ledger, NULL, 0);
    assert_int_equal(ledger.committed_bytes, ledger.in_use_bytes + ledger.cached_bytes +
                                                 ledger.free_backed_bytes + ledger.metadata_bytes +
                                                 ledger.in_flight_bytes);
    assert_true(ledger.committed_bytes <= ledger.limit_bytes);
    return ledger;
}

static void the_defaults_make_a_memory_of_this_machine(void **state)
{
    (void)state;
    struct quarry_memory *other;
    struct quarry_ledger ledger;

    assert_int_equal(quarry_memory_create(NULL, &other, NULL), QUARRY_OK);
    (void)quarry_memory_ledger(other, &ledger, NULL, 0);
    assert_true(ledger.limit_bytes > 64 * MIB);
    quarry_memory_destroy(other);
    quarry_memory_destroy(NULL);
}

static void a_limit_that_cannot_be_is_refused_with_both_numbers(void **state)
{
    (void)state;
    struct quarry_memory_options options = {.limit_bytes = 4096};
    struct quarry_memory *other = NULL;
    struct quarry_error error = {0};

    assert_int_equal(quarry_memory_create(&options, &other, &error), QUARRY_BAD_INPUT);
    assert_null(other);
    assert_non_null(strstr(error.text, "4096"));
    options.limit_bytes = UINT64_MAX;
    assert_int_equal(quarry_memory_create(&options, &other, &error), QUARRY_TOO_LARGE);
}

static void owners_have_names(void **state)
{
    (void)state;
    uint32_t again;

    assert_int_equal(quarry_memory_owner(memory, "test", &again), QUARRY_OK);
    assert_int_equal(again, owner);
    assert_string_equal(quarry_memory_owner_name(memory, owner), "test");
    assert_null(quarry_memory_owner_name(memory, 0));
    assert_null(quarry_memory_owner_name(memory, 4000));
    assert_int_equal(quarry_memory_owner(memory, "", &again), QUARRY_BAD_INPUT);
}

static void a_run_is_aligned_counted_and_its_owners(void **state)
{
    (void)state;
    struct quarry_ledger ledger;
    struct quarry_ledger_row row;
    void *base;

    assert_int_equal(quarry_pages_alloc(lane, owner, 16, &base), QUARRY_OK);
    assert_int_equal((uintptr_t)base % QUARRY_PAGE_BYTES, 0);
    memset(base, 1, (size_t)16 * QUARRY_PAGE_BYTES);
    assert_int_equal(quarry_pages_count(lane, base), 16);
    assert_int_equal(quarry_pages_owner(lane, base), owner);
    assert_int_equal(quarry_memory_ledger(memory, &ledger, &row, 1), 1);
    assert_int_equal(row.owner, owner);
    assert_string_equal(row.lane_name, "lane");
    assert_int_equal(row.in_use_bytes, 16 * QUARRY_PAGE_BYTES);
    quarry_pages_free(lane, base);
    quarry_pages_free(lane, NULL);
    assert_int_equal(ledger_of().in_use_bytes, 0);
}

static void an_aligned_run_begins_where_it_should(void **state)
{
    (void)state;
    void *small, *base;

    assert_int_equal(quarry_pages_alloc(lane, owner, 1, &small), QUARRY_OK);
    assert_int_equal(quarry_pages_alloc_aligned(lane, owner, 3, 512, &base), QUARRY_OK);
    assert_int_equal((uintptr_t)base % (512 * QUARRY_PAGE_BYTES), 0);
    quarry_pages_free(lane, base);
    quarry_pages_free(lane, small);
}

static void a_run_grows_and_shrinks_where_it_lies(void **state)
{
    (void)state;
    void *base, *after;

    assert_int_equal(quarry_pages_alloc(lane, owner, 20, &base), QUARRY_OK);
    assert_int_equal(quarry_pages_resize(lane, base, 30), QUARRY_OK);
    assert_int_equal(quarry_pages_count(lane, base), 30);
    assert_int_equal(quarry_pages_alloc(lane, owner, 20, &after), QUARRY_OK);
    assert_int_equal(quarry_pages_resize(lane, base, 40), QUARRY_BUSY);
    assert_int_equal(quarry_pages_resize(lane, base, UINT64_MAX), QUARRY_BUSY);
    assert_int_equal(quarry_pages_resize(lane, base, 1), QUARRY_OK);
    assert_int_equal(quarry_pages_count(lane, base), 1);
}

static void lengths_beyond_every_lane_are_refused(void **state)
{
    (void)state;
    static const uint64_t lengths[] = {(uint64_t)1 << 20, ((uint64_t)1 << 32) + 1,
                                       ((uint64_t)1 << 52) + 1, UINT64_MAX};
    void *base = NULL;

    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        assert_int_not_equal(quarry_pages_alloc(lane, owner, lengths[i], &base), QUARRY_OK);
        assert_int_not_equal(quarry_pages_alloc_aligned(lane, owner, lengths[i], 2, &base),
                             QUARRY_OK);
    }
    assert_null(base);
}

static uint64_t free_the_hoard(void *argument, uint64_t wanted_bytes)
{
    void **hoard = argument;

    (void)wanted_bytes;
    quarry_pages_free(lane, *hoard);
    *hoard = NULL;
    return 32 * MIB;
}

static void a_full_budget_asks_the_reclaimer_before_it_refuses(void **state)
{
    (void)state;
    void *hoard, *base;

    assert_int_equal(quarry_pages_alloc(lane, owner, 4096, &hoard), QUARRY_OK); /* 32 MiB */
    assert_int_equal(quarry_pages_alloc(lane, owner, 5000, &base), QUARRY_NO_MEMORY);
    assert_int_equal(quarry_memory_add_reclaimer(memory, 1, free_the_hoard, &hoard), QUARRY_OK);
    assert_int_equal(quarry_pages_alloc(lane, owner, 5000, &base), QUARRY_OK);
    assert_null(hoard);
    quarry_memory_remove_reclaimer(memory, free_the_hoard, &hoard);
    assert_int_equal(quarry_pages_alloc(lane, owner, 5000, &base), QUARRY_NO_MEMORY);
}

static void the_limit_can_be_changed(void **state)
{
    (void)state;
    void *base;

    assert_int_equal(quarry_memory_set_limit(memory, 8 * MIB), QUARRY_OK);
    assert_int_equal(quarry_pages_alloc(lane, owner, 2000, &base), QUARRY_NO_MEMORY);
    assert_int_equal(quarry_memory_set_limit(memory, 128 * MIB), QUARRY_OK);
    assert_int_equal(quarry_pages_alloc(lane, owner, 2000, &base), QUARRY_OK);
    assert_int_equal(quarry_memory_set_limit(memory, 8 * MIB), QUARRY_NO_MEMORY);
    assert_int_equal(ledger_of().limit_bytes, 128 * MIB);
}

static void a_trim_and_the_turns_give_memory_back(void **state)
{
    (void)state;
    void *base;

    assert_int_equal(quarry_pages_alloc(lane, owner, 4000, &base), QUARRY_OK);
    quarry_pages_free(lane, base);
    assert_int_equal(quarry_memory_trim(memory), 4000 * QUARRY_PAGE_BYTES);
    assert_int_equal(ledger_of().free_backed_bytes, 0);
    assert_true(quarry_memory_turn(memory) > 0);
}

static void the_end_of_a_lane_gives_everything_back(void **state)
{
    (void)state;
    void *base;

    for (uint32_t i = 1; i <= 100; i++) {
        assert_int_equal(quarry_pages_alloc(lane, owner, i % 30 + 1, &base), QUARRY_OK);
    }
    quarry_lane_end(lane);
    struct quarry_ledger ledger = ledger_of();
    assert_int_equal(ledger.committed_bytes, ledger.metadata_bytes);
    assert_int_equal(quarry_pages_alloc(lane, owner, 3, &base), QUARRY_OK);
    assert_ptr_equal(base, quarry_lane_base(lane));
    quarry_lane_destroy(lane);
    quarry_lane_destroy(NULL);
}

static void a_file_keeps_its_pages_for_who_adopts_them(void **state)
{
    (void)state;
    char path[] = "/tmp/quarry-memory-XXXXXX";
    struct quarry_lane_options options = {.name = "file", .file_path = path};
    struct quarry_error error = {0};
    struct quarry_lane *file;
    void *base;

    close(mkstemp(path));
    assert_int_equal(quarry_lane_create(memory, &options, &file, &error), QUARRY_OK);
    assert_int_equal(quarry_lane_adopt_finish(file), QUARRY_BAD_INPUT);
    assert_int_equal(quarry_pages_alloc(file, owner, 5, &base), QUARRY_OK);
    uint64_t page = (uint64_t)((char *)base - (char *)quarry_lane_base(file)) / QUARRY_PAGE_BYTES;
    memset(base, 'q', (size_t)5 * QUARRY_PAGE_BYTES);
    quarry_lane_destroy(file);
    assert_int_equal(quarry_lane_create(memory, &options, &file, &error), QUARRY_OK);
    assert_int_equal(quarry_pages_alloc(file, owner, 1, &base), QUARRY_BUSY);
    assert_int_equal(quarry_lane_adopt(file, owner, page, 5, &base), QUARRY_OK);
    assert_int_equal(((char *)base)[5 * QUARRY_PAGE_BYTES - 1], 'q');
    assert_int_equal(quarry_lane_adopt_finish(file), QUARRY_OK);
    assert_int_equal(quarry_pages_alloc(file, owner, 1, &base), QUARRY_OK);
    quarry_lane_destroy(file);
    unlink(path);
}

static void a_map_says_how_long_it_is(void **state)
{
    (void)state;
    size_t bytes = 0;
    void *base;

    assert_int_equal(quarry_pages_alloc(lane, owner, 700, &base), QUARRY_OK);
    assert_int_equal(quarry_memory_map(memory, NULL, 0, &bytes), QUARRY_TOO_LARGE);
    assert_true(bytes > 64);
    void *map = malloc(bytes);
    assert_non_null(map);
    assert_int_equal(quarry_memory_map(memory, map, bytes, &bytes), QUARRY_OK);
    assert_memory_equal(map, "QHEAPMAP", 8);
    free(map);
}

int main(void)
{
#define in_a_memory(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        in_a_memory(the_defaults_make_a_memory_of_this_machine),
        in_a_memory(a_limit_that_cannot_be_is_refused_with_both_numbers),
        in_a_memory(owners_have_names),
        in_a_memory(a_run_is_aligned_counted_and_its_owners),
        in_a_memory(an_aligned_run_begins_where_it_should),
        in_a_memory(a_run_grows_and_shrinks_where_it_lies),
        in_a_memory(lengths_beyond_every_lane_are_refused),
        in_a_memory(a_full_budget_asks_the_reclaimer_before_it_refuses),
        in_a_memory(the_limit_can_be_changed),
        in_a_memory(a_trim_and_the_turns_give_memory_back),
        in_a_memory(the_end_of_a_lane_gives_everything_back),
        in_a_memory(a_file_keeps_its_pages_for_who_adopts_them),
        in_a_memory(a_map_says_how_long_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
