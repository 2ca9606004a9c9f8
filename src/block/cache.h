/*
 * A cache: what its files share.
 */
#ifndef QUARRY_BLOCK_CACHE_H
#define QUARRY_BLOCK_CACHE_H

#include <quarry/block.h>
#include <quarry/epoch.h>
#include <quarry/slab.h>

#include <os/os.h>

#include <block/shard.h>

struct block_large; /* a large block that waits for readers to leave */

struct quarry_block_cache {
    /* const after creation; read by every lookup */
    struct block_shard *shards;
    uint64_t shard_count;
    struct quarry_epoch *epoch; /* own */
    struct ref_leaks *leaks;    /* own */
    struct block_lookups lookups;
    struct quarry_slab *slab; /* own */
    struct os *os;
    uint32_t loads_max; /* 0: any number */
    uint64_t made_ns;   /* when it was */
    struct quarry_memory *heap;
    struct quarry_account *account; /* own */
    struct quarry_lane *lane;       /* own */
    uint64_t own_bytes;             /* of this struct and what lies behind it */

    Q_ALIGNED(Q_CACHE_LINE_BYTES) _Atomic uint64_t last_handle;
    struct block_limits limits;
    _Atomic uint64_t capacity_bytes;
    _Atomic uint64_t reserved_bytes;
    _Atomic uint64_t held_max_bytes; /* what may be charged, but for what readers hold */
    _Atomic uint64_t growing_bytes;  /* allowed to threads that have perhaps not charged it yet */
    _Atomic uint32_t gather_left;    /* calls until pages are gathered again */
    _Atomic uint32_t gather_vain;    /* calls in a row that found none, as a power of two */
    uint64_t fixed_bytes;            /* const: what an empty cache has charged */

    _Atomic uint64_t large_serial; /* of large blocks, ever */
    _Atomic uint64_t large_count;
    _Atomic uint64_t large_bytes;
    _Atomic(void *) large_limbo; /* struct block_large *: a stack */

    _Atomic uint32_t loads;         /* under way, where they are bounded */
    _Atomic uint32_t loads_waiting; /* threads that wait for one to end */
    _Atomic uint32_t turns_waiting; /* threads that wait for another's load of their key */

    _Atomic uint64_t value_ghost_hits; /* told to the account so far */
    _Atomic uint64_t value_tail_hits;

    struct block_memory memory;
    struct block_windows windows;
};

static inline struct block_shard *block_cache_shard(const struct quarry_block_cache *cache,
                                                    uint64_t hash)
{
    return &cache->shards[(hash >> 32) * cache->shard_count >> 32];
}

/* ---- buffer.c ------------------------------------------------------------------------------- */

/* What a live block occupies. */
uint64_t block_buffer_bytes(const struct quarry_block_cache *cache,
                            const struct block_header *header);
/* The last reference is gone. No lock held. */
void block_buffer_free(struct quarry_block_cache *cache, struct block_header *header);
/* Gives large blocks back whose readers have left. */
void block_large_collect(struct quarry_block_cache *cache);

/* A handle for a reference that the caller has, on behalf of the user. */
static inline struct quarry_block block_handle(struct quarry_block_cache *cache,
                                               struct block_header *header)
{
    /* Relaxed: who has a reference sees the name. */
    uint64_t ref = atomic_load_relaxed_u64(&header->ref);

    return (struct quarry_block){.data = block_header_data(header),
                                 .ref = ref,
                                 .token = ref_leak_note(cache->leaks, "block", ref)};
}

/* Gives a reference up that no handle stands for. */
static inline void block_header_release(struct quarry_block_cache *cache,
                                        struct block_header *header)
{
    if (ref_count_release(&header->count)) {
        block_buffer_free(cache, header);
    }
}

/* Gives up what a shard has let go. */
static inline void block_victims_release(struct quarry_block_cache *cache,
                                         struct block_victims victims)
{
    while (victims.first != NULL) {
        struct block_header *header = victims.first;
        victims.first = header->next;
        block_header_release(cache, header);
    }
}

/* The header of a block that is held; ends the program for a stale one. */
static inline struct block_header *block_held(const struct quarry_block *block)
{
    struct block_header *header = block_header_of(block->data);

    Q_ASSERT_MSG(atomic_load_relaxed_u64(&header->ref) == block->ref,
                 "the block was released already");
    return header;
}

/* ---- lookup.c ------------------------------------------------------------------------------- */

/* A block with a reference for the caller; NULL: none. Counts nothing; marks it as used. */
struct block_header *block_lookup(struct quarry_block_cache *cache,
                                  const struct quarry_block_key *key, uint64_t hash,
                                  bool is_background);
/* As quarry_block_cache_put. `is_wanted`: others wait for the block. */
enum quarry_status block_cache_enter(struct quarry_block_cache *cache,
                                     const struct quarry_block_key *key,
                                     struct quarry_block_tag tag, struct quarry_block *block,
                                     bool is_wanted);

/* ---- reclaim.c ------------------------------------------------------------------------------ */

/* Evicts `bytes`, of all shards alike, and waits for nobody. Returns: bytes evicted. */
uint64_t block_cache_evict(struct quarry_block_cache *cache, uint64_t bytes);
/*
 * Makes way for a block of `bytes` where there is no memory, or no more for this cache: by pages of
 * which most is free, or by evicting as much, and so much more that not every block that is made
 * has to ask; shards keep so much less from then on. Returns: whether anything is free now.
 */
bool block_cache_make_way(struct quarry_block_cache *cache, uint64_t bytes);
/*
 * Brings what the cache holds to `bytes` below what it may, as far as nobody holds it: with all
 * that quarry_block_cache_shrink does.
 */
void block_cache_make_room(struct quarry_block_cache *cache, uint64_t bytes);
/*
 * Between these the calling thread takes memory for a block that others can make way for: the cache
 * takes no page beyond what it may hold, and when the account asks this cache, it gives what is
 * free in it, evicts nothing and moves nothing. They do not nest.
 */
void block_cache_exchange_begin(const struct quarry_block_cache *cache);
void block_cache_exchange_end(struct quarry_block_cache *cache);
/* Whether the calling thread may take a page or a run for the cache: a page_wanted function. */
enum quarry_status block_cache_on_page(void *cache, uint64_t bytes);
/* What the cache's account calls. `cache`: a struct quarry_block_cache. */
uint64_t block_cache_on_reclaim(void *cache, uint64_t wanted_bytes);
void block_cache_on_value(void *cache, struct quarry_account_value *ret_value);
void block_cache_on_target(void *cache, uint64_t target_bytes);
/* What the account has charged: blocks, free cells, tables. */
uint64_t block_cache_charged_bytes(const struct quarry_block_cache *cache);
/* What may be held is what the capacity and reservations say. */
void block_cache_bound(struct quarry_block_cache *cache);
/* Brings every shard to the limits. */
void block_cache_aim(struct quarry_block_cache *cache);

/* ---- stats.c -------------------------------------------------------------------------------- */

/* All counts so far, with the time. */
void block_cache_totals(struct quarry_block_cache *cache, struct block_totals *ret_totals);

#endif
