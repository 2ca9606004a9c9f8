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
/* A table of 2^7 buckets grows when it has more entries. */
#define KEY_FIRST 1u

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
static void put(uint64_t number)
{
    struct quarry_block_key key = key_of(number);
    struct quarry_block block;
    enum quarry_status status = quarry_block_alloc(cache, PAYLOAD_BYTES, 0, &block);

    Q_ASSERT(status == QUARRY_OK);
    interleave_write((uint64_t *)quarry_block_data(&block), number);
    status = quarry_block_cache_put(cache, &key, tag, &block);
    Q_ASSERT(status == QUARRY_OK);
    quarry_block_release(cache, &block);
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

static void unmake(void)
{
    struct quarry_error error = {0};

    Q_ASSERT(quarry_block_cache_validate(cache, &error) == QUARRY_OK);
    Q_ASSERT(quarry_block_cache_close(cache) == QUARRY_OK);
    (void)quarry_memory_trim(memory());
}

/* ---- lookups, and what may come between ------------------------------------------------------ */

static void look(void)
{
    (void)get(KEY_FIRST);
}

static void look_for_both(void)
{
    (void)get(KEY_FIRST);
    (void)get(KEY_FIRST + 1);
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

static const struct interleave_scenario replaced = {
    .name = "block, look up while a block's memory becomes another's",
    .set_up = make,
    .threads = {look_for_both, replace_by_another},
    .check = unmake,
    ABOVE_SLABS,
    .oddities = 1,
    .preemptions = 2,
};

static const struct interleave_scenario evicted = {
    .name = "block, look up while it is evicted",
    .set_up = make,
    .threads = {look, look, evict_all},
    .check = unmake,
    ABOVE_SLABS,
    .oddities = 1,
    .preemptions = 2,
};

static const struct interleave_scenario moved = {
    .name = "block, look up while memory is given back",
    .set_up = make,
    .threads = {look, move_all},
    .check = unmake,
    ABOVE_SLABS,
    .oddities = 1,
    .preemptions = 2,
};

/* ---- tests ---------------------------------------------------------------------------------- */

static void a_lookup_finds_its_block_or_none(void **state)
{
    (void)state;
    interleave_expect_clean(&replaced);
    interleave_expect_clean(&evicted);
    interleave_expect_clean(&moved);
}

static int set_up(void **state)
{
    (void)state;
    heap_begin(&(struct heap_setup){.reserved_bytes = Q_GIB(64), .has_real_backing = true});
    ref_leak_set_every(1);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lookup_finds_its_block_or_none),
    };

    return cmocka_run_group_tests(tests, set_up, heap_tear_down);
}
