/*
 * Which keys are used most: HeavyKeeper, a sketch of exponential decay, with the names of the top.
 *
 *     for hits, misses and changes each:
 *       2 rows × 1,024 buckets: { fingerprint 16, count 32 }      a key has one bucket a row
 *       the top 32: key, count; the lowest of them is where a newcomer goes
 *
 * A key that finds its fingerprint in its bucket adds to the count; one that finds another's takes
 * one away with probability 1.08^-count, and the bucket with it when nothing is left. So buckets of
 * keys that come often are all but safe, and those of keys that come rarely change hands: a key's
 * estimate is never above its count, and for those at the top hardly below it.
 *
 * It is told of a sample of requests (the doors take one in 64), each with its weight, so that keys
 * of a millionth of the traffic are noise, and those of a thousandth are found.
 *
 * Invariants:
 *  1. An estimate is no more than the sum of the weights that the key was told with, but for keys
 *     whose fingerprints are the same.
 *  2. The top has no key twice.
 *
 * Every HALVING weights all counts are halved, so that what was hot yesterday goes.
 *
 * Locking: a mutex for each of the three, tried: a sample that would have to wait is dropped, and
 * one in 64 requests can hardly meet another. Reading waits.
 *
 * Memory: 24 KiB for each of three, taken with the first sample.
 *
 * Rejected: space-saving (needs a heap with a hash table, and over-counts keys that come rarely);
 * count-min (over-counts, and names no keys).
 *
 * Source: Gong et al., HeavyKeeper, USENIX ATC 2018; 1.08 is theirs.
 */
#include <cache/hot_keys.h>

#include <string.h>

#define ROWS    2u
#define BUCKETS 1024u
#define TOP     QUARRY_CACHE_HOT_KEYS_MAX
/* Counts above decay no more: 1.08^-256 is 3e-9. */
#define DECAYING 256u
/* Weights after which all counts are halved: at 1,000,000 requests a second, every four minutes. */
#define HALVING ((uint64_t)1 << 28)
/* Kinds: hits, misses, changes. */
#define KINDS 3u

struct bucket {
    uint16_t fingerprint;
    uint16_t reserved;
    uint32_t count;
};

struct named {
    uint64_t hash;
    uint32_t count;
    uint8_t key_bytes; /* 0: free */
    uint8_t key[QUARRY_CACHE_KEY_BYTES_MAX];
};

struct sketch {
    struct os_mutex mutex;
    /* guarded by mutex */
    uint64_t random;
    uint64_t weight_sum; /* since the last halving */
    struct bucket rows[ROWS][BUCKETS];
    struct named top[TOP];
};

struct hot_keys {
    struct sketch sketches[KINDS];
};

static struct hot_keys *hot_keys_of(const struct quarry_cache_tenant *tenant)
{
    return atomic_load_acquire_ptr(&tenant->hot_keys); /* pairs with make's exchange */
}

static struct hot_keys *make(struct quarry_cache_tenant *tenant)
{
    struct hot_keys *made = cache_memory_take(tenant->cache, sizeof *made);
    void *expected = NULL;

    if (made == NULL) {
        return hot_keys_of(tenant);
    }
    for (uint32_t i = 0; i < KINDS; i++) {
        os_mutex_init(&made->sketches[i].mutex, OS_RANK_LEAF, i);
        made->sketches[i].random = tenant->secret | 1;
    }
    /* Release: pairs with the load above. */
    if (atomic_cas_acq_rel_ptr(&tenant->hot_keys, &expected, made)) {
        return made;
    }
    cache_memory_give(tenant->cache, made, sizeof *made);
    return expected;
}

void cache_hot_keys_fini(struct quarry_cache_tenant *tenant)
{
    cache_memory_give(tenant->cache, hot_keys_of(tenant), sizeof(struct hot_keys));
}

/* ---- the sketch ----------------------------------------------------------------------------- */

/* xorshift: good enough to roll dice with. */
static uint32_t roll_locked(struct sketch *sketch)
{
    uint64_t x = sketch->random;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    sketch->random = x;
    return (uint32_t)(x >> 32);
}

/* 2^32 × 1.08^-count, by squaring: what a roll must be below for a count to decay. */
static uint32_t decay_below(uint32_t count)
{
    double probability = 1.0;
    double factor = 1.0 / 1.08;

    for (uint32_t left = count < DECAYING ? count : DECAYING; left > 0; left >>= 1) {
        probability *= (left & 1) != 0 ? factor : 1.0;
        factor *= factor;
    }
    return (uint32_t)(probability * 4294967295.0);
}

/* One key's visit to one of its buckets. Returns: its count there; 0: it is another's. */
static uint32_t visit_locked(struct sketch *sketch, struct bucket *bucket, uint16_t fingerprint,
                             uint32_t weight)
{
    if (bucket->count == 0 || bucket->fingerprint == fingerprint) {
        bucket->fingerprint = fingerprint;
        bucket->count = weight < UINT32_MAX - bucket->count ? bucket->count + weight : UINT32_MAX;
        return bucket->count;
    }
    /* The dice are rolled in units of the weight, as if each request had come alone. */
    if (roll_locked(sketch) <= decay_below(bucket->count / weight)) {
        if (bucket->count > weight) {
            bucket->count -= weight;
        } else {
            *bucket = (struct bucket){.fingerprint = fingerprint, .count = weight};
            return weight;
        }
    }
    return 0;
}

static uint32_t estimate_locked(struct sketch *sketch, uint64_t hash, uint32_t weight)
{
    uint16_t fingerprint = (uint16_t)(hash >> 48);
    uint32_t most = 0;

    for (uint32_t row = 0; row < ROWS; row++) {
        uint32_t bucket = (uint32_t)(hash >> (row * 16)) & (BUCKETS - 1);
        uint32_t count = visit_locked(sketch, &sketch->rows[row][bucket], fingerprint, weight);

        most = count > most ? count : most;
    }
    return most;
}

static void halve_locked(struct sketch *sketch)
{
    sketch->weight_sum = 0;
    for (uint32_t i = 0; i < ROWS * BUCKETS; i++) {
        sketch->rows[i / BUCKETS][i % BUCKETS].count /= 2;
    }
    for (uint32_t i = 0; i < TOP; i++) {
        sketch->top[i].count /= 2;
    }
}

/* Gives a key its place in the top, if its estimate has one. */
static void rank_locked(struct sketch *sketch, const struct quarry_cache_key *key,
                        uint32_t estimate)
{
    struct named *lowest = &sketch->top[0];

    for (uint32_t i = 0; i < TOP; i++) {
        struct named *named = &sketch->top[i];

        if (named->hash == key->hash && named->key_bytes == key->byte_count &&
            memcmp(named->key, key->bytes, key->byte_count) == 0) {
            named->count = estimate > named->count ? estimate : named->count;
            return;
        }
        lowest = named->count < lowest->count ? named : lowest;
    }
    if (estimate > lowest->count) {
        lowest->hash = key->hash;
        lowest->count = estimate;
        lowest->key_bytes = (uint8_t)key->byte_count;
        memcpy(lowest->key, key->bytes, key->byte_count);
    }
}

static struct sketch *sketch_of(struct hot_keys *hot_keys, enum quarry_cache_use use)
{
    Q_ASSERT(use < QUARRY_CACHE_USE_COUNT);
    return &hot_keys->sketches[use < KINDS ? use : QUARRY_CACHE_USE_SET];
}
Q_STATIC_ASSERT(QUARRY_CACHE_USE_HIT == 0 && QUARRY_CACHE_USE_MISS == 1 &&
                    QUARRY_CACHE_USE_SET == 2,
                "a delete is a change, as a set is");

void quarry_cache_note_hot_key(struct quarry_cache_tenant *tenant,
                               const struct quarry_cache_key *key, enum quarry_cache_use use,
                               uint32_t weight)
{
    struct hot_keys *hot_keys = hot_keys_of(tenant);

    Q_ASSERT(weight > 0);
    hot_keys = hot_keys == NULL ? make(tenant) : hot_keys;
    if (hot_keys == NULL) {
        return;
    }
    struct sketch *sketch = sketch_of(hot_keys, use);

    if (!os_mutex_try_lock(&sketch->mutex)) {
        return;
    }
    sketch->weight_sum += weight;
    if (sketch->weight_sum >= HALVING) {
        halve_locked(sketch);
    }
    uint32_t estimate = estimate_locked(sketch, key->hash, weight);

    if (estimate > 0) {
        rank_locked(sketch, key, estimate);
    }
    os_mutex_unlock(&sketch->mutex);
}

/* ---- reading -------------------------------------------------------------------------------- */

/* Puts one in its place among those before it, the most used first. */
static void insert(struct quarry_cache_hot_key *keys, size_t count,
                   const struct quarry_cache_hot_key *key)
{
    size_t at = count;

    for (; at > 0 && keys[at - 1].count < key->count; at--) {
        keys[at] = keys[at - 1];
    }
    keys[at] = *key;
}

size_t quarry_cache_read_hot_keys(const struct quarry_cache_tenant *tenant,
                                  enum quarry_cache_use use, struct quarry_cache_hot_key *keys)
{
    struct hot_keys *hot_keys = hot_keys_of(tenant);
    size_t count = 0;

    if (hot_keys == NULL) {
        return 0;
    }
    struct sketch *sketch = sketch_of(hot_keys, use);

    os_mutex_lock(&sketch->mutex);
    for (uint32_t i = 0; i < TOP; i++) {
        const struct named *named = &sketch->top[i];
        struct quarry_cache_hot_key key = {.count = named->count, .key_bytes = named->key_bytes};

        if (named->key_bytes > 0 && named->count > 0) {
            memcpy(key.key, named->key, named->key_bytes);
            insert(keys, count++, &key);
        }
    }
    os_mutex_unlock(&sketch->mutex);
    return count;
}
