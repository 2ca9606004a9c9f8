/* One arena: taking, alignment, steps, being full, budgets, ends. */
#include "unit/arena/arena_rig.h"

#include <string.h>

#include "unit/base/death.h"
#include "unit/base/random.h"

#define STEP_MIN Q_KIB(64)
#define STEP_MAX Q_MIB(2)

/* ---- creating ------------------------------------------------------------------------------- */

static void a_new_arena_costs_its_first_step(void **state)
{
    (void)state;
    static const struct {
        uint64_t capacity_bytes;
        uint64_t step_bytes;
    } cases[] = {
        {Q_KIB(256), STEP_MIN},          {Q_MIB(1), STEP_MIN},  {Q_MIB(4), Q_KIB(256)},
        {Q_MIB(5) + 1, Q_KIB(256)},      {Q_MIB(64), STEP_MAX}, {Q_GIB(1), STEP_MAX},
        {Q_GIB(4) - Q_KIB(8), STEP_MAX}, {Q_GIB(4), STEP_MAX},
    };

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct quarry_arena *arena = arena_of(cases[i].capacity_bytes);
        struct quarry_arena_state now = state_of(arena);
        assert_int_equal(now.capacity_bytes,
                         size_align_up_u64(cases[i].capacity_bytes, PAGE_BYTES));
        assert_int_equal(now.backed_bytes, cases[i].step_bytes);
        assert_int_equal(charged_bytes(), cases[i].step_bytes);
        rig_check();
        quarry_arena_destroy(arena);
        assert_int_equal(charged_bytes(), 0);
        rig_check();
    }
}

static void a_capacity_out_of_range_is_refused(void **state)
{
    (void)state;
    static const uint64_t capacities[] = {0, Q_KIB(256) - 1, Q_GIB(4) + 1, UINT64_MAX};
    struct quarry_error error;
    struct quarry_arena *arena = NULL;

    for (size_t i = 0; i < COUNT_OF(capacities); i++) {
        const struct quarry_arena_options options = rig_options(capacities[i]);
        assert_int_equal(quarry_arena_create(memory(), &options, &arena, &error), QUARRY_BAD_INPUT);
        assert_non_null(strstr(error.text, "256 KiB to 4 GiB"));
    }
    assert_null(arena);
}

static void a_lane_that_cannot_hold_it_is_refused(void **state)
{
    (void)state;
    struct quarry_error error;
    struct quarry_arena *arena = NULL;
    struct quarry_arena_options options = rig_options(Q_GIB(4));
    struct page_lane *filed;
    const struct page_lane_options lane_options = {
        .name = "file", .reserved_bytes = Q_GIB(1), .file_path = "f"};

    options.lane = (struct quarry_lane *)(void *)lane_make("small");
    assert_int_equal(quarry_arena_create(memory(), &options, &arena, &error), QUARRY_NO_ADDRESS);
    assert_non_null(strstr(error.text, "in lane 'small'"));
    options.lane = NULL;
    assert_int_equal(quarry_arena_create(memory(), &options, &arena, &error), QUARRY_BAD_INPUT);
    assert_int_equal(page_lane_create(heap, &lane_options, &filed, &error), QUARRY_OK);
    options.lane = (struct quarry_lane *)(void *)filed;
    assert_int_equal(quarry_arena_create(memory(), &options, &arena, &error), QUARRY_UNSUPPORTED);
}

static void without_an_account_the_owner_is_arena(void **state)
{
    (void)state;
    struct quarry_arena_options options = rig_options(Q_MIB(1));
    struct quarry_arena *arena;

    options.account = NULL;
    assert_int_equal(quarry_arena_create(memory(), &options, &arena, NULL), QUARRY_OK);
    assert_int_equal(charged_bytes(), 0);
    assert_int_equal(owner_pages_in(owner_make("arena"), lane), STEP_MIN >> PAGE_SHIFT);
    assert_int_equal(fill(arena), QUARRY_NO_ADDRESS);
    assert_int_equal(owner_pages_in(owner_make("arena"), lane), Q_MIB(1) >> PAGE_SHIFT);
    quarry_arena_destroy(arena);
}

static void reused_pages_beyond_the_first_step_go_back_first(void **state)
{
    (void)state;
    page_lane_free(lane, take_from_tree(lane, owner, Q_MIB(2) >> PAGE_SHIFT));
    struct quarry_arena *arena = arena_of(Q_MIB(1));

    /* The page it begins with was backed. */
    assert_ptr_equal(quarry_arena_at(arena, take_bytes(arena, 8, 8)), lane->base + 8);
    assert_int_equal(charged_bytes(), STEP_MIN);
    rig_check();
    quarry_arena_destroy(arena);
}

static void an_arena_that_destroys_nothing_is_no_error(void **state)
{
    (void)state;
    quarry_arena_destroy(NULL);
}

/* ---- taking --------------------------------------------------------------------------------- */

static void what_is_taken_lies_end_to_end(void **state)
{
    (void)state;
    struct quarry_arena *arena = arena_of(Q_KIB(256));

    assert_int_equal(take_bytes(arena, 1, 1), 8);
    assert_int_equal(take_bytes(arena, 8, 8), 16);
    assert_int_equal(take_bytes(arena, 9, 4), 24);
    assert_int_equal(take_bytes(arena, 100, 2), 40);
    assert_int_equal(take_bytes(arena, 8, 8), 144);
    assert_int_equal(state_of(arena).used_bytes, 152);
    quarry_arena_destroy(arena);
}

static void every_alignment_is_kept(void **state)
{
    (void)state;
    struct quarry_arena *arena = arena_of(Q_MIB(8));
    uint64_t random = 7, end = QUARRY_ARENA_GRANULE;

    for (int i = 0; i < 2000; i++) {
        uint32_t align_bytes = UINT32_C(1) << random_u64(&random) % 13;
        uint32_t bytes = 1 + (uint32_t)(random_u64(&random) % 300);
        uint32_t offset = take_bytes(arena, bytes, align_bytes);
        assert_true(offset >= end);
        end = (uint64_t)offset + bytes;
        assert_true(end <= state_of(arena).used_bytes);
    }
    quarry_arena_destroy(arena);
}

static void an_offset_and_its_address_are_the_same(void **state)
{
    (void)state;
    struct quarry_arena *arena = arena_of(Q_MIB(1));
    uint32_t first = take_bytes(arena, 24, 8), second = take_bytes(arena, 24, 8);
    char *address = quarry_arena_at(arena, second);

    assert_ptr_equal(address, (char *)quarry_arena_at(arena, first) + 24);
    assert_int_equal(arena_offset_of(arena, address), second);
    assert_int_equal(arena_offset_of(arena, address + 23), second + 23);
    quarry_arena_destroy(arena);
}

static void memory_joins_a_step_at_a_time(void **state)
{
    (void)state;
    struct quarry_arena *arena = arena_of(Q_MIB(4));
    uint32_t offset;

    while (arena_alloc(arena, 1000, 8, &offset) == QUARRY_OK) {
        memset(arena_at(arena, offset), 0xa5, 1000);
        struct quarry_arena_state now = state_of(arena);
        assert_int_equal(now.backed_bytes, size_align_up_u64(now.used_bytes, Q_KIB(256)));
        assert_int_equal(charged_bytes(), now.backed_bytes);
    }
    assert_int_equal(state_of(arena).backed_bytes, Q_MIB(4));
    rig_check();
    quarry_arena_destroy(arena);
}

static void one_piece_may_be_many_steps(void **state)
{
    (void)state;
    struct quarry_arena *arena = arena_of(Q_MIB(4));
    uint32_t offset = take_bytes(arena, Q_MIB(3), 4096);

    assert_int_equal(offset, 4096);
    memset(quarry_arena_at(arena, offset), 1, Q_MIB(3));
    assert_int_equal(state_of(arena).backed_bytes, Q_MIB(3) + Q_KIB(256));
    quarry_arena_destroy(arena);
}

/* ---- full ----------------------------------------------------------------------------------- */

static void a_full_arena_says_so_and_loses_nothing(void **state)
{
    (void)state;
    struct quarry_arena *arena = arena_of(Q_KIB(256));
    uint32_t offset = 77;

    (void)take_bytes(arena, Q_KIB(256) - 200, 8);
    assert_int_equal(quarry_arena_alloc(arena, 300, 8, &offset), QUARRY_NO_ADDRESS);
    assert_int_equal(offset, 77);
    /* The rest is still there for those who want less. */
    assert_int_equal(take_bytes(arena, 192, 8), Q_KIB(256) - 192);
    assert_int_equal(quarry_arena_alloc(arena, 1, 1, &offset), QUARRY_NO_ADDRESS);
    struct quarry_arena_state now = state_of(arena);
    assert_int_equal(now.used_bytes, Q_KIB(256));
    assert_int_equal(now.lost_bytes, 0);
    quarry_arena_destroy(arena);
}

static void what_no_empty_arena_could_hold_is_too_large(void **state)
{
    (void)state;
    struct quarry_arena *arena = arena_of(Q_KIB(256));
    uint32_t offset = 77;
    static const size_t sizes[] = {Q_KIB(256) - 7, Q_KIB(256), UINT32_MAX, (size_t)UINT32_MAX + 1,
                                   SIZE_MAX};

    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        assert_int_equal(quarry_arena_alloc(arena, sizes[i], 1, &offset), QUARRY_TOO_LARGE);
    }
    assert_int_equal(quarry_arena_alloc(arena, Q_KIB(252) + 1, 4096, &offset), QUARRY_TOO_LARGE);
    assert_int_equal(offset, 77);
    /* And what is no more than that fits. */
    assert_int_equal(take_bytes(arena, Q_KIB(252), 4096), 4096);
    assert_int_equal(quarry_arena_alloc(arena, Q_KIB(256) - 8, 8, &offset), QUARRY_NO_ADDRESS);
    quarry_arena_destroy(arena);
    arena = arena_of(Q_KIB(256));
    assert_int_equal(take_bytes(arena, Q_KIB(256) - 8, 8), 8);
    quarry_arena_destroy(arena);
}

static void the_largest_arena_has_offsets_up_to_the_last(void **state)
{
    (void)state;
    struct quarry_arena *arena;
    uint32_t offset;

    /* Bookkeeping only: nothing of it is touched. */
    heap_totals();
    assert_int_equal(page_heap_set_limit(heap, Q_GIB(5)), QUARRY_OK);
    arena = arena_of(Q_GIB(4));
    assert_int_equal(take_bytes(arena, UINT32_MAX - 15, 8), 8);
    assert_int_equal(take_bytes(arena, 8, 8), UINT32_MAX - 7);
    assert_int_equal(quarry_arena_alloc(arena, 1, 1, &offset), QUARRY_NO_ADDRESS);
    assert_int_equal(state_of(arena).used_bytes, Q_GIB(4));
    quarry_arena_destroy(arena);
}

static void endless_refusals_never_wrap_around(void **state)
{
    (void)state;
    struct quarry_arena *arena = arena_of(Q_KIB(256));
    uint32_t offset;

    assert_int_equal(fill(arena), QUARRY_NO_ADDRESS);
    uint64_t top = atomic_load_relaxed_u64(&arena->top);
    for (int i = 0; i < 100000; i++) {
        assert_int_equal(arena_alloc(arena, (uint32_t)Q_KIB(250), 4096, &offset),
                         QUARRY_NO_ADDRESS);
    }
    assert_int_equal(atomic_load_relaxed_u64(&arena->top), top);
    /* A million threads that all looked before the arena was full, and add then. */
    for (int i = 0; i < 1000000; i++) {
        uint64_t at = atomic_add_relaxed_u64(&arena->top, UINT32_MAX);
        if (i < 999999) {
            continue;
        }
        assert_int_equal(arena_alloc_late(arena, at, UINT32_MAX, 8, &offset), QUARRY_NO_ADDRESS);
    }
    assert_int_equal(arena_alloc(arena, 8, 8, &offset), QUARRY_NO_ADDRESS);
    assert_int_equal(state_of(arena).used_bytes, Q_KIB(256));
    assert_int_equal(state_of(arena).lost_bytes, 0);
    quarry_arena_destroy(arena);
}

/* Two that looked when there was room for one: the losing bytes come back, or are counted. */
static void what_a_race_loses_is_counted(void **state)
{
    (void)state;
    struct quarry_arena *arena = arena_of(Q_KIB(256));
    uint32_t offset;

    (void)take_bytes(arena, Q_KIB(256) - 1008, 8);
    /* The last to come takes its own back. */
    uint64_t at = atomic_add_relaxed_u64(&arena->top, 1008);
    assert_int_equal(arena_alloc_late(arena, at, 1008, 8, &offset), QUARRY_NO_ADDRESS);
    assert_int_equal(state_of(arena).lost_bytes, 0);
    /* One with another after it cannot. */
    at = atomic_add_relaxed_u64(&arena->top, 1008);
    uint64_t after = atomic_add_relaxed_u64(&arena->top, 16);
    assert_int_equal(arena_alloc_late(arena, at, 1008, 8, &offset), QUARRY_NO_ADDRESS);
    assert_int_equal(arena_alloc_late(arena, after, 16, 8, &offset), QUARRY_NO_ADDRESS);
    assert_int_equal(state_of(arena).lost_bytes, 1000);
    assert_int_equal(state_of(arena).used_bytes, Q_KIB(256));
    quarry_arena_destroy(arena);
}

/* ---- budgets -------------------------------------------------------------------------------- */

static void a_step_over_the_budget_is_a_status_and_may_succeed_later(void **state)
{
    (void)state;
    struct quarry_arena *arena = arena_of(Q_MIB(4));
    uint32_t offset;

    (void)take_bytes(arena, Q_KIB(256) - 8, 8);
    assert_int_equal(page_heap_set_limit(heap, heap_committed() + PAGE_BYTES), QUARRY_OK);
    assert_int_equal(quarry_arena_alloc(arena, 9000, 8, &offset), QUARRY_NO_MEMORY);
    assert_int_equal(state_of(arena).backed_bytes, Q_KIB(256));
    assert_int_equal(state_of(arena).lost_bytes, 0);
    rig_check();
    /* A whole step does not fit, and what is needed does. */
    (void)take_bytes(arena, 8192, 8);
    assert_int_equal(state_of(arena).backed_bytes, Q_KIB(264));
    assert_int_equal(quarry_arena_alloc(arena, 1, 1, &offset), QUARRY_NO_MEMORY);
    assert_int_equal(page_heap_set_limit(heap, Q_GIB(4)), QUARRY_OK);
    assert_int_equal(take_bytes(arena, 1, 1), Q_KIB(264));
    assert_int_equal(state_of(arena).backed_bytes, Q_KIB(512));
    rig_check();
    quarry_arena_destroy(arena);
}

static void an_accounts_ceiling_bounds_its_arenas(void **state)
{
    (void)state;
    assert_int_equal(quarry_account_set_bounds(account, 0, Q_KIB(640)), QUARRY_OK);
    struct quarry_arena *first = arena_of(Q_MIB(4)), *second = arena_of(Q_MIB(4));
    const struct quarry_arena_options options = rig_options(Q_MIB(4));
    struct quarry_arena *third = NULL;
    struct quarry_error error;

    assert_int_equal(quarry_arena_create(memory(), &options, &third, &error), QUARRY_NO_MEMORY);
    assert_int_equal(fill(first), QUARRY_NO_MEMORY);
    assert_int_equal(state_of(first).backed_bytes, Q_KIB(384));
    assert_int_equal(charged_bytes(), Q_KIB(640));
    rig_check();
    quarry_arena_destroy(second);
    assert_int_equal(fill(first), QUARRY_NO_MEMORY);
    assert_int_equal(state_of(first).backed_bytes, Q_KIB(640));
    rig_check();
    quarry_arena_destroy(first);
}

static struct quarry_arena *shared;

/* Uses the very arena whose step it was called for. */
static uint64_t use_the_arena(void *argument, uint64_t wanted_bytes)
{
    void **run = argument;
    uint32_t offset;

    (void)wanted_bytes;
    if (*run == NULL) {
        return 0;
    }
    assert_int_equal(quarry_arena_alloc(shared, 100000, 8, &offset), QUARRY_NO_MEMORY);
    page_lane_free(lane, *run);
    *run = NULL;
    assert_int_equal(quarry_arena_alloc(shared, 100000, 8, &offset), QUARRY_OK);
    return Q_MIB(1);
}

static void a_reclaimer_may_use_the_arena_that_it_is_called_for(void **state)
{
    (void)state;
    uint32_t other = owner_make("other");
    void *run = take_from_tree(lane, other, Q_MIB(1) >> PAGE_SHIFT);

    shared = arena_of(Q_MIB(1));
    (void)take_bytes(shared, Q_KIB(64) - 8, 8);
    assert_int_equal(page_heap_add_reclaimer(heap, 1, use_the_arena, &run), QUARRY_OK);
    assert_int_equal(page_heap_set_limit(heap, heap_committed()), QUARRY_OK);
    assert_int_equal(take_bytes(shared, 1000, 8) % 8, 0);
    assert_null(run);
    rig_check();
    page_heap_remove_reclaimer(heap, use_the_arena, &run);
    quarry_arena_destroy(shared);
}

/* ---- misuse --------------------------------------------------------------------------------- */

static void take_nothing(void)
{
    (void)take_bytes(arena_of(Q_MIB(1)), 0, 8);
}

static void align_by_three(void)
{
    uint32_t offset;

    (void)quarry_arena_alloc(arena_of(Q_MIB(1)), 8, 3, &offset);
}

static void align_by_two_pages(void)
{
    uint32_t offset;

    (void)quarry_arena_alloc(arena_of(Q_MIB(1)), 8, 8192, &offset);
}

static void misuse_ends_the_program(void **state)
{
    (void)state;
    struct death death;

    death_watch(take_nothing, &death);
    assert_non_null(strstr(death.text, "bytes >= 1"));
    death_watch(align_by_three, &death);
    assert_non_null(strstr(death.text, "bits_is_power_of_two"));
    death_watch(align_by_two_pages, &death);
    assert_non_null(strstr(death.text, "QUARRY_ARENA_ALIGN_MAX"));
}

#define in_a_rig(test)    cmocka_unit_test_setup_teardown(test, rig_set_up, rig_tear_down)
#define with_memory(test) cmocka_unit_test_setup_teardown(test, rig_set_up_real, rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_a_rig(a_new_arena_costs_its_first_step),
        in_a_rig(a_capacity_out_of_range_is_refused),
        in_a_rig(a_lane_that_cannot_hold_it_is_refused),
        in_a_rig(without_an_account_the_owner_is_arena),
        in_a_rig(reused_pages_beyond_the_first_step_go_back_first),
        in_a_rig(an_arena_that_destroys_nothing_is_no_error),
        in_a_rig(what_is_taken_lies_end_to_end),
        in_a_rig(every_alignment_is_kept),
        in_a_rig(an_offset_and_its_address_are_the_same),
        with_memory(memory_joins_a_step_at_a_time),
        with_memory(one_piece_may_be_many_steps),
        in_a_rig(a_full_arena_says_so_and_loses_nothing),
        in_a_rig(what_no_empty_arena_could_hold_is_too_large),
        in_a_rig(the_largest_arena_has_offsets_up_to_the_last),
        in_a_rig(endless_refusals_never_wrap_around),
        in_a_rig(what_a_race_loses_is_counted),
        in_a_rig(a_step_over_the_budget_is_a_status_and_may_succeed_later),
        in_a_rig(an_accounts_ceiling_bounds_its_arenas),
        in_a_rig(a_reclaimer_may_use_the_arena_that_it_is_called_for),
        in_a_rig(misuse_ends_the_program),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
