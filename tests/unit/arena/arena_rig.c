#include "unit/arena/arena_rig.h"

struct page_lane *lane;
struct quarry_account *account;
uint32_t owner;

struct quarry_memory *memory(void)
{
    return (struct quarry_memory *)(void *)heap;
}

void rig_begin(const struct heap_setup *setup)
{
    struct quarry_error error = {0};

    heap_begin(setup);
    lane = lane_make_sized("lane", Q_GIB(5));
    const struct quarry_account_options options = {.name = "arenas"};
    if (quarry_account_create(memory(), &options, &account, &error) != QUARRY_OK) {
        fail_msg("quarry_account_create: %s", error.text);
    }
    owner = quarry_account_owner(account);
}

void rig_check(void)
{
    heap_check();
    assert_int_equal(charged_bytes(), owner_pages_in(owner, lane) << PAGE_SHIFT);
}

void rig_end(void)
{
    rig_check();
    assert_int_equal(charged_bytes(), 0);
    quarry_account_destroy(account);
    heap_end();
}

int rig_set_up(void **state)
{
    (void)state;
    rig_begin(&(struct heap_setup){0});
    return 0;
}

int rig_set_up_real(void **state)
{
    (void)state;
    rig_begin(&(struct heap_setup){.has_real_backing = true});
    return 0;
}

int rig_tear_down(void **state)
{
    (void)state;
    rig_end();
    return 0;
}

struct quarry_arena_options rig_options(uint64_t capacity_bytes)
{
    return (struct quarry_arena_options){.lane = (struct quarry_lane *)(void *)lane,
                                         .account = account,
                                         .capacity_bytes = capacity_bytes};
}

struct quarry_arena *arena_of(uint64_t capacity_bytes)
{
    const struct quarry_arena_options options = rig_options(capacity_bytes);
    struct quarry_error error = {0};
    struct quarry_arena *arena = NULL;

    if (quarry_arena_create(memory(), &options, &arena, &error) != QUARRY_OK) {
        fail_msg("quarry_arena_create: %s", error.text);
    }
    return arena;
}

struct quarry_arena_keeper *keeper_make(void)
{
    const struct quarry_arena_options options = rig_options(0);
    struct quarry_error error = {0};
    struct quarry_arena_keeper *keeper = NULL;

    if (quarry_arena_keeper_create(memory(), &options, &keeper, &error) != QUARRY_OK) {
        fail_msg("quarry_arena_keeper_create: %s", error.text);
    }
    return keeper;
}

struct quarry_arena *take_arena(struct quarry_arena_keeper *keeper, uint64_t capacity_bytes)
{
    struct quarry_error error = {0};
    struct quarry_arena *arena = NULL;

    if (quarry_arena_keeper_take(keeper, capacity_bytes, &arena, &error) != QUARRY_OK) {
        fail_msg("quarry_arena_keeper_take: %s", error.text);
    }
    return arena;
}

uint32_t take_bytes(struct quarry_arena *arena, size_t bytes, size_t align_bytes)
{
    uint32_t offset = 0;

    assert_int_equal(quarry_arena_alloc(arena, bytes, align_bytes, &offset), QUARRY_OK);
    assert_true(offset >= QUARRY_ARENA_GRANULE);
    assert_int_equal(offset % align_bytes, 0);
    assert_int_equal((uintptr_t)quarry_arena_at(arena, offset) % align_bytes, 0);
    return offset;
}

struct quarry_arena_state state_of(const struct quarry_arena *arena)
{
    struct quarry_arena_state state;

    quarry_arena_read(arena, &state);
    assert_true(state.used_bytes <= state.capacity_bytes);
    assert_true(state.backed_bytes <= state.capacity_bytes);
    assert_true(state.lost_bytes <= state.used_bytes);
    return state;
}

uint64_t charged_bytes(void)
{
    struct quarry_account_state state;

    quarry_account_read(account, &state);
    return state.own_bytes;
}

enum quarry_status fill(struct quarry_arena *arena)
{
    enum quarry_status status;
    uint32_t offset, last = 0;

    while ((status = arena_alloc(arena, 8, 8, &offset)) == QUARRY_OK) {
        assert_true(offset > last);
        last = offset;
    }
    return status;
}
