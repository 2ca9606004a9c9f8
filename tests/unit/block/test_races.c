/*
 * Readers, writers, evictions, moves and changes of size at once.
 *
 * Every word of a block is told by its key, and every reader checks every block that it gets, while
 * it holds it and again before it lets go, with other threads' work in between. Threads yield at
 * random points.
 */
#include "unit/block/block_rig.h"

#include <pthread.h>
#include <string.h>

#include <os/os.h>

#include "unit/base/random.h"
#include "unit/base/rounds.h"

#define THREADS 8u
#define KEYS    700u /* three times what fits */
#define HELD    8u

#define STEPS ROUNDS(20000u, 3000u)

struct actor {
    pthread_t thread;
    uint64_t random;
    struct quarry_block held[HELD]; /* some blocks are kept for a while */
    uint64_t held_number[HELD];
    uint64_t hits, wrong;
};

static struct actor actors[THREADS];

static void maybe_yield(struct actor *actor)
{
    if (random_u64(&actor->random) % 16 == 0) {
        os_yield();
    }
}

/* A size for each key, from a few words to a run of pages. */
static size_t bytes_of(uint64_t n)
{
    return n % 50 == 0 ? 530000 : 64 + n * 37 % 6000;
}

/* Puts the block where another one is kept, which is checked and given up. */
static void keep(struct actor *actor, struct quarry_block block, uint64_t n)
{
    uint64_t place = random_u64(&actor->random) % HELD;

    actor->wrong += !block_is_right(&block, n);
    maybe_yield(actor);
    if (actor->held[place].data != NULL) {
        actor->wrong += !block_is_right(&actor->held[place], actor->held_number[place]);
        quarry_block_release(cache, &actor->held[place]);
    }
    actor->held[place] = block;
    actor->held_number[place] = n;
}

static void put(struct actor *actor, uint64_t n)
{
    struct quarry_block_key key = key_of(n);
    struct quarry_block block = {0};

    if (quarry_block_alloc(cache, bytes_of(n), 0, &block) != QUARRY_OK) {
        return;
    }
    maybe_yield(actor);
    block_fill(&block, n);
    (void)quarry_block_cache_put(cache, &key, data_tag, &block);
    keep(actor, block, n);
}

static void get(struct actor *actor, uint64_t n)
{
    struct quarry_block_key key = key_of(n);
    struct quarry_block block;

    if (!quarry_block_cache_get(cache, &key, n % 8 == 0 ? background_tag : data_tag, &block)) {
        put(actor, n);
        return;
    }
    actor->hits++;
    keep(actor, block, n);
}

static void disturb(struct actor *actor, uint64_t n)
{
    struct quarry_block_key key = key_of(n);

    switch (random_u64(&actor->random) % 8) {
    case 0:
        (void)quarry_block_cache_evict_file(cache, store, n / 100);
        break;
    case 1:
        quarry_block_cache_reserve(cache, Q_KIB(300));
        maybe_yield(actor);
        quarry_block_cache_unreserve(cache, Q_KIB(300));
        break;
    case 2:
        quarry_block_cache_set_capacity(cache, Q_MIB(1) + n * 4096);
        break;
    case 3:
        (void)quarry_block_cache_shrink(cache, Q_KIB(64));
        break;
    case 4:
        put(actor, n); /* which may be there */
        break;
    default:
        (void)quarry_block_cache_erase(cache, &key);
    }
}

static void *act(void *argument)
{
    struct actor *actor = argument;

    for (uint32_t i = 0; i < STEPS; i++) {
        uint64_t dice = random_u64(&actor->random), n = (dice >> 32) % KEYS;
        if (dice % 64 == 0) {
            disturb(actor, n);
        } else {
            get(actor, dice % 3 == 0 ? n % 40 : n);
        }
    }
    for (uint32_t i = 0; i < HELD; i++) {
        quarry_block_release(cache, &actor->held[i]);
    }
    return NULL;
}

static void storm(void)
{
    uint64_t hits = 0;

    memset(actors, 0, sizeof(actors));
    for (uint32_t i = 0; i < THREADS; i++) {
        actors[i].random = i + 1;
        assert_int_equal(pthread_create(&actors[i].thread, NULL, act, &actors[i]), 0);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(actors[i].thread, NULL), 0);
        assert_int_equal(actors[i].wrong, 0);
        hits += actors[i].hits;
    }
    struct quarry_block_stats stats = stats_now();
    assert_int_equal(stats.block_bytes, stats.hot_bytes + stats.cold_bytes);
    print_message("%llu hits, %llu evictions\n", (unsigned long long)hits,
                  (unsigned long long)stats.counts[data_tag.kind][data_tag.level].evictions);
    assert_true(hits > 0);
}

static void no_reader_ever_sees_another_blocks_bytes(void **state)
{
    (void)state;
    cache_begin(0, NULL);
    storm();
    cache_end();
}

static void nor_with_many_shards_and_little_memory(void **state)
{
    (void)state;
    static const struct quarry_block_cache_options options = {
        .name = "block", .capacity_bytes = Q_MIB(4), .shard_count = 5};

    cache_begin(Q_MIB(24), &options);
    storm();
    cache_end();
}

/* ---- moving under readers ------------------------------------------------------------------- */

static _Atomic uint32_t is_over;

static void *shrink_and_grow(void *argument)
{
    struct actor *actor = argument;

    while (atomic_load_relaxed_u32(&is_over) == 0) {
        (void)quarry_block_cache_shrink(cache, Q_KIB(512));
        maybe_yield(actor);
    }
    return NULL;
}

static void *read_hot_blocks(void *argument)
{
    struct actor *actor = argument;

    for (uint32_t i = 0; i < STEPS; i++) {
        get(actor, random_u64(&actor->random) % 100 + 1);
    }
    for (uint32_t i = 0; i < HELD; i++) {
        quarry_block_release(cache, &actor->held[i]);
    }
    return NULL;
}

static void blocks_that_move_are_read_whole(void **state)
{
    (void)state;
    cache_begin(0, NULL);
    quarry_block_cache_set_capacity(cache, Q_MIB(8));
    atomic_store_relaxed_u32(&is_over, 0);
    memset(actors, 0, sizeof(actors));
    for (uint32_t i = 0; i < 4; i++) {
        actors[i].random = i + 1;
        assert_int_equal(pthread_create(&actors[i].thread, NULL,
                                        i == 0 ? shrink_and_grow : read_hot_blocks, &actors[i]),
                         0);
    }
    for (uint32_t i = 4; i-- > 0;) {
        atomic_store_relaxed_u32(&is_over, i == 0);
        assert_int_equal(pthread_join(actors[i].thread, NULL), 0);
        assert_int_equal(actors[i].wrong, 0);
    }
    cache_end();
}

/* ---- one key -------------------------------------------------------------------------------- */

static enum quarry_status load_key(void *unused, const struct quarry_block_key *key,
                                   struct quarry_block *ret_block)
{
    uint64_t n = key->file * 100 + key->offset / 4096;
    enum quarry_status status = quarry_block_alloc(cache, bytes_of(n), 0, ret_block);

    (void)unused;
    if (status == QUARRY_OK) {
        block_fill(ret_block, n);
    }
    return status;
}

/* All that can be done to a key, in a cache that has room for nothing, or for a few. */
static void fight_for(struct actor *actor, uint64_t n)
{
    struct quarry_block_key key = key_of(n);
    struct quarry_block block = {0};

    switch (random_u64(&actor->random) % 8) {
    case 0:
        put(actor, n);
        break;
    case 1:
        (void)quarry_block_cache_erase(cache, &key);
        break;
    case 2:
        (void)quarry_block_cache_evict_file(cache, key.handle, key.file);
        break;
    case 3:
        quarry_block_cache_set_capacity(cache, random_u64(&actor->random) % 2 ? 1 : 20000);
        break;
    default:
        if (quarry_block_cache_get_or_load(cache, &key, data_tag, load_key, NULL, &block) ==
            QUARRY_OK) {
            keep(actor, block, n);
        }
        break;
    }
}

static void *fight(void *argument)
{
    struct actor *actor = argument;

    for (uint32_t i = 0; i < STEPS / 4; i++) {
        fight_for(actor, 1 + random_u64(&actor->random) % 2);
    }
    for (uint32_t i = 0; i < HELD; i++) {
        quarry_block_release(cache, &actor->held[i]);
    }
    return NULL;
}

static void two_keys_are_fought_for_in_a_cache_without_room(void **state)
{
    (void)state;
    cache_begin(0, NULL);
    memset(actors, 0, sizeof(actors));
    for (uint32_t i = 0; i < THREADS; i++) {
        actors[i].random = i + 1;
        assert_int_equal(pthread_create(&actors[i].thread, NULL, fight, &actors[i]), 0);
    }
    for (uint32_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(actors[i].thread, NULL), 0);
        assert_int_equal(actors[i].wrong, 0);
    }
    cache_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_reader_ever_sees_another_blocks_bytes),
        cmocka_unit_test(nor_with_many_shards_and_little_memory),
        cmocka_unit_test(blocks_that_move_are_read_whole),
        cmocka_unit_test(two_keys_are_fought_for_in_a_cache_without_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
