#include "unit/kv/mem_rig.h"

struct quarry_memory *rig_memory;
struct quarry_account *rig_account;
struct kv_memory rig_kv_memory;
struct quarry_arena_keeper *rig_keeper;

static struct quarry_lane *lane;
static struct quarry_lifetime *lifetime;

static void make_keeper(void)
{
    const struct quarry_lane_options lane_options = {.name = "memtables",
                                                     .reserved_bytes = Q_GIB(8)};
    struct quarry_error error = {0};

    if (quarry_lane_create(rig_memory, &lane_options, &lane, &error) != QUARRY_OK) {
        fail_msg("quarry_lane_create: %s", error.text);
    }
    const struct quarry_arena_options options = {.lane = lane, .account = rig_account};
    if (quarry_arena_keeper_create(rig_memory, &options, &rig_keeper, &error) != QUARRY_OK) {
        fail_msg("quarry_arena_keeper_create: %s", error.text);
    }
}

int mem_rig_set_up(void **state)
{
    const struct quarry_memory_options options = {.limit_bytes = Q_GIB(1), .has_no_thread = true};
    const struct quarry_account_options account_options = {.name = "kv"};
    struct quarry_error error = {0};

    (void)state;
    if (quarry_memory_create(&options, &rig_memory, &error) != QUARRY_OK ||
        quarry_account_create(rig_memory, &account_options, &rig_account, &error) != QUARRY_OK ||
        quarry_lifetime_begin(rig_memory, "kv objects", &lifetime, &error) != QUARRY_OK) {
        fail_msg("%s", error.text);
    }
    rig_kv_memory.account = rig_account;
    assert_int_equal(
        quarry_pool_create(lifetime, quarry_account_owner(rig_account), &rig_kv_memory.pool),
        QUARRY_OK);
    make_keeper();
    return 0;
}

int mem_rig_tear_down(void **state)
{
    (void)state;
    quarry_arena_keeper_destroy(rig_keeper);
    assert_int_equal(mem_rig_charged(), 0);
    quarry_lifetime_end(lifetime);
    quarry_account_destroy(rig_account);
    quarry_lane_destroy(lane);
    quarry_memory_destroy(rig_memory);
    return 0;
}

uint64_t mem_rig_charged(void)
{
    struct quarry_account_state state;

    quarry_account_read(rig_account, &state);
    return state.own_bytes;
}

void mem_rig_leave(uint64_t bytes)
{
    uint64_t ceiling_bytes = bytes == UINT64_MAX ? 0 : mem_rig_charged() + bytes;

    /* A ceiling of 0 is none. */
    assert_int_equal(
        quarry_account_set_bounds(rig_account, 0,
                                  bytes != UINT64_MAX && ceiling_bytes == 0 ? 1 : ceiling_bytes),
        QUARRY_OK);
}

struct quarry_kv_batch *batch_make(bool is_indexed)
{
    const struct kv_batch_options options = {.memory = &rig_kv_memory,
                                             .comparator = &kv_bytewise,
                                             .key_bytes_max = Q_MIB(64),
                                             .value_bytes_max = Q_GIB(1)};
    struct quarry_kv_batch *batch = NULL;

    assert_int_equal(kv_batch_create(&options, is_indexed, &batch), QUARRY_OK);
    return batch;
}

struct kv_memtable *memtable_make(uint64_t capacity_bytes, bool has_no_hash)
{
    const struct kv_memtable_options options = {.keeper = rig_keeper,
                                                .memory = &rig_kv_memory,
                                                .comparator = &kv_bytewise,
                                                .capacity_bytes = capacity_bytes,
                                                .has_no_hash = has_no_hash};
    struct kv_memtable *memtable = NULL;
    struct quarry_error error = {0};

    if (kv_memtable_create(&options, &memtable, &error) != QUARRY_OK) {
        fail_msg("kv_memtable_create: %s", error.text);
    }
    return memtable;
}

void memtable_write(struct kv_memtable *memtable, const struct quarry_kv_batch *batch,
                    uint64_t sequence, struct kv_memtable_splice *splice)
{
    struct kv_memtable_plan plan;

    assert_int_equal(kv_memtable_plan(kv_batch_slice(batch), &plan, NULL), QUARRY_OK);
    assert_int_equal(kv_memtable_prepare(memtable, &plan, sequence), QUARRY_OK);
    kv_memtable_apply(memtable, &plan, splice);
}
