/*
 * Policies that Quarry's is compared with, each as its authors describe it.
 *
 *   lru        one queue; a hit makes a key the newest
 *   clock      one queue; a hit counts up to 3, and a key whose turn it is to leave goes round once
 *              more for each count
 *
 *   two_queue  new ─► in (25 %) ─► remembered (keys worth 50 %) ──hit──► main, an LRU
 *              what is hit in `in` stays where it is: a burst is no proof of worth
 *
 *   s3_fifo    new ─► small (10 %) ─ hit twice ─► main (90 %), a clock of 3
 *                       └─ else ─► remembered (keys worth what main holds) ──hit──► main
 *
 * Sizes are bytes throughout; with objects of one byte the unit is the object. What is larger than
 * a cache is not admitted, by any of them.
 *
 * Sources: Johnson and Shasha, "2Q: a low overhead high performance buffer management replacement
 * algorithm" (1994), the full version with its suggested constants; Yang and others, "FIFO queues
 * are all you need for cache eviction" (2023).
 */
#include <bench/blocks/policy.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <base/base.h>

#include <bench/blocks/queue.h>

#define FREQUENCY_MAX 3u
#define IN_PERCENT    25u /* of 2Q's new keys */
#define OUT_PERCENT   50u /* of the keys it remembers */
#define SMALL_PERCENT 10u /* of S3-FIFO's new keys */
#define PROMOTE_FROM  2u  /* hits in S3-FIFO's small queue */
#define PLACE_NEW     1u
#define PLACE_MAIN    2u
#define PLACE_GHOST   3u

/* A cache under any of these policies; each uses those of its queues that it knows. */
struct cache {
    uint64_t capacity_bytes;
    uint64_t new_bytes;   /* what the queue of new keys may hold */
    uint64_t ghost_bytes; /* what the remembered keys may be worth */
    struct bench_queue fresh;
    struct bench_queue main;
    struct bench_queue ghost; /* keys that have left and are remembered */
    struct bench_node *node;
};

const struct bench_policy *const *bench_policies(size_t *ret_count)
{
    static const struct bench_policy *const policies[] = {
        &bench_policy_clock_pro, &bench_policy_lru,     &bench_policy_clock,
        &bench_policy_two_queue, &bench_policy_s3_fifo,
    };

    *ret_count = sizeof policies / sizeof policies[0];
    return policies;
}

const struct bench_policy *bench_policy_find(const char *name)
{
    size_t count = 0;
    const struct bench_policy *const *policies = bench_policies(&count);

    for (size_t i = 0; i < count; i++) {
        if (strcmp(policies[i]->name, name) == 0) {
            return policies[i];
        }
    }
    return NULL;
}

void *bench_policy_alloc(size_t count, size_t bytes)
{
    void *memory = calloc(count, bytes);

    if (memory == NULL) {
        (void)fputs("quarry-bench-child: no memory for a policy\n", stderr);
        exit(1);
    }
    return memory;
}

static struct cache *create(uint64_t capacity_bytes, uint32_t key_count)
{
    struct cache *cache = bench_policy_alloc(1, sizeof *cache);

    Q_ASSERT(capacity_bytes > 0);
    cache->capacity_bytes = capacity_bytes;
    cache->node = bench_policy_alloc(key_count, sizeof *cache->node);
    bench_queue_init(&cache->fresh, cache->node, PLACE_NEW);
    bench_queue_init(&cache->main, cache->node, PLACE_MAIN);
    bench_queue_init(&cache->ghost, cache->node, PLACE_GHOST);
    return cache;
}

static void destroy(void *context)
{
    struct cache *cache = context;

    free(cache->node);
    free(cache);
}

static bool is_full(const struct cache *cache, uint32_t bytes)
{
    return cache->fresh.bytes + cache->main.bytes + bytes > cache->capacity_bytes;
}

/* Counts a hit, to the most that is counted. */
static void count_hit(struct bench_node *node)
{
    node->frequency = (uint8_t)size_min(node->frequency + 1u, FREQUENCY_MAX);
}

/* Remembers a key that has left, and forgets the oldest ones beyond the bound. */
static void remember(struct cache *cache, uint32_t key)
{
    bench_queue_add(&cache->ghost, key);
    while (cache->ghost.bytes > cache->ghost_bytes) {
        (void)bench_queue_take_oldest(&cache->ghost);
    }
}

/* ---- LRU and clock -------------------------------------------------------------------------- */

static void *plain_create(uint64_t capacity_bytes, uint32_t key_count)
{
    return create(capacity_bytes, key_count);
}

static bool lru_access(void *context, uint32_t key, uint32_t bytes)
{
    struct cache *cache = context;
    struct bench_node *node = &cache->node[key];
    bool is_hit = node->place == PLACE_MAIN;

    if (is_hit) {
        bench_queue_remove(&cache->main, key);
    } else if (bytes > cache->capacity_bytes) {
        return false;
    }
    node->bytes = bytes;
    while (is_full(cache, bytes)) {
        (void)bench_queue_take_oldest(&cache->main);
    }
    bench_queue_add(&cache->main, key);
    return is_hit;
}

/* Lets the oldest of main go that has no count left; those before it go round. */
static void main_evict(struct cache *cache)
{
    for (;;) {
        uint32_t key = bench_queue_take_oldest(&cache->main);
        if (cache->node[key].frequency == 0) {
            return;
        }
        cache->node[key].frequency--;
        bench_queue_add(&cache->main, key);
    }
}

static bool clock_access(void *context, uint32_t key, uint32_t bytes)
{
    struct cache *cache = context;
    struct bench_node *node = &cache->node[key];

    if (node->place == PLACE_MAIN) {
        count_hit(node);
        return true;
    }
    if (bytes > cache->capacity_bytes) {
        return false;
    }
    while (is_full(cache, bytes)) {
        main_evict(cache);
    }
    node->bytes = bytes;
    node->frequency = 0;
    bench_queue_add(&cache->main, key);
    return false;
}

/* ---- 2Q ------------------------------------------------------------------------------------- */

static void *two_queue_create(uint64_t capacity_bytes, uint32_t key_count)
{
    struct cache *cache = create(capacity_bytes, key_count);

    cache->new_bytes = capacity_bytes * IN_PERCENT / 100;
    cache->ghost_bytes = capacity_bytes * OUT_PERCENT / 100;
    return cache;
}

static void two_queue_make_room(struct cache *cache, uint32_t bytes)
{
    while (is_full(cache, bytes)) {
        if (cache->fresh.bytes > cache->new_bytes || cache->main.bytes == 0) {
            remember(cache, bench_queue_take_oldest(&cache->fresh));
        } else {
            (void)bench_queue_take_oldest(&cache->main);
        }
    }
}

static bool two_queue_access(void *context, uint32_t key, uint32_t bytes)
{
    struct cache *cache = context;
    struct bench_node *node = &cache->node[key];
    struct bench_queue *queue = &cache->fresh;

    if (node->place == PLACE_NEW) {
        return true;
    }
    if (node->place == PLACE_MAIN) {
        bench_queue_remove(&cache->main, key);
        bench_queue_add(&cache->main, key);
        return true;
    }
    if (bytes > cache->capacity_bytes) {
        return false;
    }
    if (node->place == PLACE_GHOST) {
        bench_queue_remove(&cache->ghost, key);
        queue = &cache->main;
    }
    node->bytes = bytes;
    two_queue_make_room(cache, bytes);
    bench_queue_add(queue, key);
    return false;
}

/* ---- S3-FIFO -------------------------------------------------------------------------------- */

static void *s3_fifo_create(uint64_t capacity_bytes, uint32_t key_count)
{
    struct cache *cache = create(capacity_bytes, key_count);

    cache->new_bytes = size_max_u64(capacity_bytes * SMALL_PERCENT / 100, 1);
    cache->ghost_bytes = capacity_bytes - cache->new_bytes;
    return cache;
}

static void s3_fifo_make_room(struct cache *cache, uint32_t bytes)
{
    while (is_full(cache, bytes)) {
        if (cache->fresh.bytes < cache->new_bytes && cache->main.bytes > 0) {
            main_evict(cache);
            continue;
        }
        uint32_t key = bench_queue_take_oldest(&cache->fresh);
        if (cache->node[key].frequency >= PROMOTE_FROM) {
            cache->node[key].frequency = 0;
            bench_queue_add(&cache->main, key);
        } else {
            remember(cache, key);
        }
    }
}

static bool s3_fifo_access(void *context, uint32_t key, uint32_t bytes)
{
    struct cache *cache = context;
    struct bench_node *node = &cache->node[key];
    struct bench_queue *queue = &cache->fresh;

    if (node->place == PLACE_NEW || node->place == PLACE_MAIN) {
        count_hit(node);
        return true;
    }
    if (bytes > cache->capacity_bytes) {
        return false;
    }
    if (node->place == PLACE_GHOST) {
        bench_queue_remove(&cache->ghost, key);
        queue = &cache->main;
    }
    s3_fifo_make_room(cache, bytes);
    node->bytes = bytes;
    node->frequency = 0;
    bench_queue_add(queue, key);
    return false;
}

const struct bench_policy bench_policy_lru = {"lru", "least recently used goes", plain_create,
                                              destroy, lru_access};
const struct bench_policy bench_policy_clock = {"clock", "a clock of 2 bits", plain_create, destroy,
                                                clock_access};
const struct bench_policy bench_policy_two_queue = {"two_queue", "2Q, the full version",
                                                    two_queue_create, destroy, two_queue_access};
const struct bench_policy bench_policy_s3_fifo = {"s3_fifo", "S3-FIFO", s3_fifo_create, destroy,
                                                  s3_fifo_access};
