/*
 * block: a lookup without a lock gets the block of its key, whole, or none, while blocks are
 * removed, replaced, moved and their memory is used for others, and while the table grows.
 */
#include "unit/page/simulated_heap.h"

#include <block/cache.h>
#include <slab/limbo.h>
#include <slab/thread.h>

#include "interleave/interleave.h"

#define PAYLOAD_BYTES 16384u
#define KEY_FIRST     1u

/* What stands below has scenarios of its own; threads' ends are not what these are about. */
#define ABOVE_SLABS                                                                                \
    .trusted = {"/src/page/", "/src/mem/", "/src/slab/", "/src/os/", "/src/budget/"},              \
    .has_late_exits = true

static struct quarry_block_cache *cache;
static uint64_t store;
static const struct quarry_block_tag tag = {.kind = QUARRY_BLOCK_DATA, .level = 2};

static struct quarry_memory *memory(void)
{
    return (struct quarry_memory *)(void *)heap;
}

static struct quarry_block_key key_of(uint64_t number)
{
    return (struct quarry_block_key){.handle = store, .file = 7, .offset = number};
}

/* The payload says whose it is. */
static void put_sized(uint64_t number, size_t payload_bytes)
{
    struct quarry_block_key key = key_of(number);
    struct quarry_block block;
    enum quarry_status status = quarry_block_alloc(cache, payload_bytes, 0, &block);

    Q_ASSERT(status == QUARRY_OK);
    interleave_write((uint64_t *)quarry_block_data(&block), number);
    status = quarry_block_cache_put(cache, &key, tag, &block);
    Q_ASSERT(status == QUARRY_OK);
    quarry_block_release(cache, &block);
}

static void put(uint64_t number)
{
    put_sized(number, PAYLOAD_BYTES);
}

static bool get(uint64_t number)
{
    struct quarry_block_key key = key_of(number);
    struct quarry_block block;

    if (!quarry_block_cache_get(cache, &key, tag, &block)) {
        return false;
    }
    Q_ASSERT(interleave_read((const uint64_t *)quarry_block_data(&block)) == number);
    quarry_block_release(cache, &block);
    return true;
}

static void make(void)
{
    struct quarry_block_cache_options options = {
        .name = "block", .capacity_bytes = Q_MIB(1), .shard_count = 1};
    enum quarry_status status = quarry_block_cache_create(memory(), &options, &cache, NULL);

    Q_ASSERT(status == QUARRY_OK);
    store = quarry_block_cache_handle(cache);
    put(KEY_FIRST);
}

/* Which it was at the beginning. */
static block_table first_table;

static void unmake(void)
{
    struct quarry_error error = {0};

    Q_ASSERT(quarry_block_cache_validate(cache, &error) == QUARRY_OK);
    Q_ASSERT(quarry_block_cache_close(cache) == QUARRY_OK);
    (void)quarry_memory_trim(memory());
}

static bool is_full(const struct block_shard *shard)
{
    return shard->used >= block_table_room(atomic_load_relaxed_uptr(&shard->table)) &&
           shard->clock.free_count > 0;
}

/* One entry more, and the table grows. */
static void make_nearly_grown(void)
{
    make();
    const struct block_shard *shard = &cache->shards[0];
    for (uint64_t number = 1000; !is_full(shard); number++) {
        put_sized(number, 64);
    }
    first_table = atomic_load_relaxed_uptr(&shard->table);
}

/* ---- lookups, and what may come between ------------------------------------------------------ */

static void look(void)
{
    (void)get(KEY_FIRST);
}

/* It stays where it is, so a miss would be a false one. */
static void find(void)
{
    Q_ASSERT(get(KEY_FIRST));
}

static void look_for_next(void)
{
    (void)get(KEY_FIRST + 1);
}

static void put_next(void)
{
    put(KEY_FIRST + 1);
}

/* Has the cells that this thread retired come back, if their readers have left. */
static void reap(void)
{
    struct slab_gone gone = {.first = NULL};
    struct slab_thread *thread = slab_thread_find(cache->slab);

    slab_limbo_advance(cache->slab);
    Q_ASSERT(slab_thread_enter(thread));
    slab_limbo_reap(thread, SLAB_LIMBO_CELLS, &gone);
    os_gate_leave(&thread->gate);
}

static void replace_by_another(void)
{
    struct quarry_block_key key = key_of(KEY_FIRST);

    (void)quarry_block_cache_erase(cache, &key);
    reap();
    put(KEY_FIRST + 1);
}

static void evict_all(void)
{
    quarry_block_cache_set_capacity(cache, 1);
    quarry_block_cache_set_capacity(cache, Q_MIB(1));
}

static void move_all(void)
{
    (void)quarry_slab_trim(cache->slab);
    (void)quarry_block_cache_shrink(cache, 1);
}

static void unmake_grown(void)
{
    Q_ASSERT(atomic_load_relaxed_uptr(&cache->shards[0].table) != first_table);
    unmake();
}

static const struct interleave_scenario replaced = {
    .name = "block, look up while a block's memory becomes another's",
    .set_up = make,
    .threads = {look, replace_by_another},
    .check = unmake,
    ABOVE_SLABS,
    .preemptions = 2,
    .oddities = 1,
};

static const struct interleave_scenario entered = {
    .name = "block, look up while it is entered",
    .set_up = make,
    .threads = {look_for_next, put_next},
    .check = unmake,
    ABOVE_SLABS,
    .preemptions = 2,
    .oddities = 1,
};

static const struct interleave_scenario grown = {
    .name = "block, look up while the table grows",
    .set_up = make_nearly_grown,
    .threads = {find, put_next},
    .check = unmake_grown,
    ABOVE_SLABS,
    .preemptions = 1,
    .oddities = 1,
};

static const struct interleave_scenario evicted = {
    .name = "block, look up while it is evicted",
    .set_up = make,
    .threads = {look, evict_all},
    .check = unmake,
    ABOVE_SLABS,
    .preemptions = 2,
    .oddities = 1,
};

static const struct interleave_scenario moved = {
    .name = "block, look up while memory is given back",
    .set_up = make,
    .threads = {look, move_all},
    .check = unmake,
    ABOVE_SLABS,
    .preemptions = 1,
    .has_no_oddities = true,
};

/* ---- tests ---------------------------------------------------------------------------------- */

static void a_lookup_finds_its_block_or_none(void **state)
{
    (void)state;
    interleave_expect_clean(&replaced);
    interleave_expect_clean(&entered);
    interleave_expect_clean(&evicted);
}

static void so_it_does_while_the_table_grows(void **state)
{
    (void)state;
    interleave_expect_clean(&grown);
}

static void so_it_does_while_memory_is_given_back(void **state)
{
    (void)state;
    interleave_expect_clean(&moved);
}

static void bugs_in_looking_up_are_found(void **state)
{
    static const struct interleave_plant plants[] = {
        {"ref_count_try_acquire", INTERLEAVE_CAS_WEAK, NULL, INTERLEAVE_SKIP, 1},
        {"ref_count_try_acquire", INTERLEAVE_CAS_WEAK, NULL, INTERLEAVE_TEAR, 0},
        {"ref_epoch_is_past", INTERLEAVE_LOAD, "safe", INTERLEAVE_SKIP, 99},
        {"ref_count_release", INTERLEAVE_SUB, NULL, INTERLEAVE_WEAKEN, 0},
    };

    static const struct interleave_plant at_slot = {"block_slot_set", INTERLEAVE_STORE, NULL,
                                                    INTERLEAVE_WEAKEN, 0};
    static const struct interleave_plant at_table = {"install_table", INTERLEAVE_STORE, "table",
                                                     INTERLEAVE_WEAKEN, 0};

    (void)state;
    interleave_expect_found(&entered, &at_slot);
    interleave_expect_found(&grown, &at_table);
    for (size_t i = 0; i < sizeof plants / sizeof plants[0]; i++) {
        interleave_expect_found(&replaced, &plants[i]);
    }
}

static int set_up(void **state)
{
    (void)state;
    heap_begin(&(struct heap_setup){.reserved_bytes = Q_GIB(64), .has_real_backing = true});
    ref_leak_set_every(REF_LEAK_EVERY_MAX); /* none, rather than one at random */
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lookup_finds_its_block_or_none),
        cmocka_unit_test(so_it_does_while_the_table_grows),
        cmocka_unit_test(so_it_does_while_memory_is_given_back),
        cmocka_unit_test(bugs_in_looking_up_are_found),
    };

    return cmocka_run_group_tests(tests, set_up, heap_tear_down);
}
