/*
 * Histories of a Clock-Pro against a naive one.
 *
 * Each seed is a cache of its own size, block sizes, universe of keys and shape of trace: uniform,
 * skewed, loops larger than the cache, a hot set under scans, and a working set that moves. After
 * every operation the two must agree on the entry it was about, on all sums, on the cold target, on
 * where the hands are and on what was evicted and forgotten, in order; now and then on the whole
 * ring.
 *
 * QUARRY_MODEL_SEEDS says how many seeds, of 10,000 operations each.
 */
#include <stdlib.h>
#include <string.h>

#include <base/base.h>
#include <block/clock_pro.h>

#include "model/clock_pro_model.h"
#include "unit/base/cmocka_all.h"
#include "unit/base/random.h"

#define OPERATIONS    10000u
#define COMPARE_EVERY 1000u
#define KEYS_MAX      4096u
#define CHUNKS_MAX    8u

#if defined(__SANITIZE_ADDRESS__) || defined(QUARRY_DEBUG_CHECKS)
#define SEEDS_DEFAULT 60u
#else
#define SEEDS_DEFAULT 1000u
#endif

enum shape { SHAPE_UNIFORM, SHAPE_SKEWED, SHAPE_LOOP, SHAPE_SCANS, SHAPE_MOVING, SHAPES };

struct world {
    uint64_t random;
    struct clock_pro clock;
    struct clock_pro_chunk *chunks[CHUNKS_MAX];
    struct clock_pro_model model;
    uint32_t entry_of[KEYS_MAX]; /* NONE: not in the ring */
    struct model_told told[MODEL_TOLD_MAX];
    size_t told_count;
    enum shape shape;
    uint64_t step;
    uint32_t keys;
    uint32_t bytes_min, bytes_range;
    uint64_t hits, gets;
};

static struct world world;

static void tell(uint32_t entry, bool is_forgotten)
{
    uint64_t key = clock_pro_entry(&world.clock, entry)->key.offset;

    assert_true(world.told_count < MODEL_TOLD_MAX);
    assert_int_equal(world.entry_of[key], entry);
    world.told[world.told_count++] = (struct model_told){key, is_forgotten};
}

static void on_evict(void *argument, uint32_t entry)
{
    assert_ptr_equal(argument, &world);
    assert_int_equal(clock_pro_entry(&world.clock, entry)->type, CLOCK_PRO_TEST);
    tell(entry, false);
}

static void on_forget(void *argument, uint32_t entry)
{
    assert_ptr_equal(argument, &world);
    tell(entry, true);
    world.entry_of[clock_pro_entry(&world.clock, entry)->key.offset] = CLOCK_PRO_NONE;
}

static const struct clock_pro_events events = {on_evict, on_forget};

static uint32_t below(uint32_t limit)
{
    return (uint32_t)(random_u64(&world.random) % limit);
}

static void add_chunk(void)
{
    struct clock_pro_chunk *chunk = calloc(1, sizeof(*chunk));

    assert_non_null(chunk);
    clock_pro_add_chunk(&world.clock, chunk);
}

static void world_open(uint64_t seed)
{
    memset(&world, 0, sizeof(world));
    world.random = seed;
    world.shape = (enum shape)(seed % SHAPES);
    world.keys = 8u << below(8);
    world.bytes_min = 1 + below(100);
    world.bytes_range = 1 + below(3) * below(200);
    uint64_t mean = world.bytes_min + world.bytes_range / 2;
    uint64_t max_bytes = 1 + mean * (1 + below(world.keys));
    max_bytes = max_bytes > mean * 150 ? mean * 150 : max_bytes;
    clock_pro_init(&world.clock, max_bytes, &events, &world);
    world.clock.chunks = world.chunks;
    world.clock.chunk_capacity = CHUNKS_MAX;
    model_begin(&world.model, (int64_t)max_bytes);
    memset(world.entry_of, 0xff, sizeof(world.entry_of));
}

static void world_close(void)
{
    for (uint32_t i = 0; i < world.clock.chunk_count; i++) {
        free(world.chunks[i]);
    }
    model_end(&world.model);
}

/* ---- comparing ------------------------------------------------------------------------------ */

static const enum model_type model_type_of[] = {
    [CLOCK_PRO_TEST] = MODEL_TEST, [CLOCK_PRO_COLD] = MODEL_COLD, [CLOCK_PRO_HOT] = MODEL_HOT};

static void compare_node(uint32_t entry, const struct model_node *node)
{
    const struct clock_pro_entry *own = clock_pro_entry(&world.clock, entry);

    assert_int_equal(own->key.offset, node->key);
    assert_int_equal(model_type_of[own->type], node->type);
    assert_int_equal(own->bytes, node->bytes);
    if (own->type != CLOCK_PRO_TEST) {
        assert_int_equal(atomic_load_relaxed_u8(clock_pro_referenced(&world.clock, entry)),
                         node->is_referenced);
    }
}

static void compare_key(uint64_t key)
{
    const struct model_node *node = model_find(&world.model, key);

    assert_int_equal(world.entry_of[key] == CLOCK_PRO_NONE, node == NULL);
    if (node != NULL) {
        compare_node(world.entry_of[key], node);
    }
}

static void compare_hand(uint32_t entry, int64_t place)
{
    assert_int_equal(entry == CLOCK_PRO_NONE, place < 0);
    if (place >= 0) {
        assert_int_equal(clock_pro_entry(&world.clock, entry)->key.offset,
                         world.model.ring[place]->key);
    }
}

static void compare_sums(void)
{
    static const enum clock_pro_type types[] = {CLOCK_PRO_TEST, CLOCK_PRO_COLD, CLOCK_PRO_HOT};

    for (size_t i = 0; i < 3; i++) {
        const struct clock_pro_sum *sum = &world.clock.sum[types[i]];
        assert_int_equal(sum->bytes, model_bytes(&world.model, model_type_of[types[i]]));
        assert_int_equal(sum->count, model_count(&world.model, model_type_of[types[i]]));
    }
    assert_int_equal(world.clock.cold_target_bytes, world.model.cold_target);
}

static void compare(uint64_t key)
{
    compare_key(key);
    compare_sums();
    compare_hand(world.clock.hand_hot, world.model.hot);
    compare_hand(world.clock.hand_cold, world.model.cold);
    compare_hand(world.clock.hand_test, world.model.test);
    assert_int_equal(world.told_count, world.model.told_count);
    for (size_t i = 0; i < world.told_count; i++) {
        assert_int_equal(world.told[i].key, world.model.told[i].key);
        assert_int_equal(world.told[i].is_forgotten, world.model.told[i].is_forgotten);
    }
}

static void compare_ring(void)
{
    uint32_t entry = world.clock.hand_hot;

    assert_null(clock_pro_validate(&world.clock));
    for (int64_t i = 0; i < world.model.count; i++) {
        compare_node(entry, world.model.ring[(world.model.hot + i) % world.model.count]);
        entry = clock_pro_entry(&world.clock, entry)->next;
    }
    assert_int_equal(entry, world.clock.hand_hot);
}

/* ---- operations ----------------------------------------------------------------------------- */

static uint64_t next_key(void)
{
    uint32_t keys = world.keys;

    switch (world.shape) {
    case SHAPE_UNIFORM:
        return below(keys);
    case SHAPE_SKEWED:
        return below(1 + below(1 + below(keys)));
    case SHAPE_LOOP:
        return world.step % keys;
    case SHAPE_SCANS:
        return world.step / 400 % 2 == 0 ? below(1 + keys / 16) : world.step % keys;
    case SHAPE_MOVING:
    case SHAPES:
        break;
    }
    return (world.step / 64 + below(1 + keys / 8)) % keys;
}

/* A size for each key, but for one in 64. */
static uint32_t bytes_of(uint64_t key)
{
    uint64_t seed = below(64) == 0 ? world.step : key;

    return world.bytes_min + (uint32_t)(random_u64(&seed) % world.bytes_range);
}

static bool is_resident(uint64_t key)
{
    uint32_t entry = world.entry_of[key];

    return entry != CLOCK_PRO_NONE && clock_pro_entry(&world.clock, entry)->type != CLOCK_PRO_TEST;
}

static bool enter(uint64_t key, uint32_t bytes, bool is_referenced)
{
    uint32_t entry = clock_pro_insert(&world.clock, bytes, is_referenced);

    if (entry == CLOCK_PRO_NONE) {
        return false;
    }
    clock_pro_entry(&world.clock, entry)->key = (struct quarry_block_key){.offset = key};
    world.entry_of[key] = entry;
    return true;
}

static void set(uint64_t key)
{
    uint32_t bytes = bytes_of(key), entry = world.entry_of[key];
    bool is_referenced = below(16) == 0, is_in = true;

    if (world.clock.free_count == 0) {
        add_chunk();
    }
    if (entry == CLOCK_PRO_NONE) {
        is_in = enter(key, bytes, is_referenced);
    } else if (is_resident(key)) {
        clock_pro_replace(&world.clock, entry, bytes);
        is_in = is_resident(key);
    } else {
        is_in = clock_pro_revive(&world.clock, entry, bytes);
        world.entry_of[key] = is_in ? entry : CLOCK_PRO_NONE;
    }
    assert_int_equal(model_set(&world.model, key, bytes, is_referenced), is_in);
}

static void touch(uint64_t key)
{
    if (is_resident(key)) {
        clock_pro_touch(clock_pro_referenced(&world.clock, world.entry_of[key]));
        world.hits++;
    }
    world.gets++;
    model_touch(&world.model, key);
}

static void drop(uint64_t key)
{
    if (world.entry_of[key] != CLOCK_PRO_NONE) {
        clock_pro_remove(&world.clock, world.entry_of[key]);
        world.entry_of[key] = CLOCK_PRO_NONE;
    }
    model_remove(&world.model, key);
}

static void resize(void)
{
    uint64_t most = world.clock.max_bytes, bytes = random_u64(&world.random) % (most + most / 4);

    switch (below(3)) {
    case 0:
        bytes = 1 + (most + bytes) / 2;
        clock_pro_set_limits(&world.clock, bytes, world.clock.reserved_bytes);
        model_set_max(&world.model, (int64_t)bytes);
        return;
    case 1:
        bytes = below(2) == 0 ? 0 : bytes;
        clock_pro_set_limits(&world.clock, most, bytes);
        model_set_reserved(&world.model, (int64_t)bytes);
        return;
    default:
        clock_pro_shrink(&world.clock, bytes);
        model_shrink(&world.model, (int64_t)bytes);
    }
}

/* As a cache is used: what is not there is set. */
static void get_or_set(uint64_t key)
{
    bool was_resident = is_resident(key);

    touch(key);
    if (!was_resident) {
        compare(key);
        world.told_count = 0;
        set(key);
    }
}

static void step(void)
{
    uint64_t key = next_key();
    uint32_t dice = below(1000);

    world.step++;
    world.told_count = 0;
    if (dice < 900) {
        get_or_set(key);
    } else if (dice < 970) {
        set(key);
    } else if (dice < 996) {
        drop(key);
    } else {
        resize();
    }
    compare(key);
}

static uint32_t seed_count(void)
{
    const char *text = getenv("QUARRY_MODEL_SEEDS");

    return text == NULL ? SEEDS_DEFAULT : (uint32_t)strtoul(text, NULL, 10);
}

static void random_histories_agree_with_a_naive_clock_pro(void **state)
{
    (void)state;
    uint32_t seeds = seed_count();
    uint64_t hits = 0, gets = 0;

    assert_int_not_equal(seeds, 0);
    for (uint32_t seed = 0; seed < seeds; seed++) {
        world_open(seed);
        for (uint32_t i = 1; i <= OPERATIONS; i++) {
            step();
            if (i % COMPARE_EVERY == 0) {
                compare_ring();
            }
        }
        hits += world.hits;
        gets += world.gets;
        world_close();
    }
    print_message("%u seeds of %u operations, hit ratio %.3f\n", seeds, OPERATIONS,
                  (double)hits / (double)gets);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_histories_agree_with_a_naive_clock_pro),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
