/*
 * Blocks: immutable buffers that are counted, and a Clock-Pro cache over them.
 *
 * A *block* is a buffer of any size that is filled once and then only read: a decoded block of a
 * file, an index, a filter. Whoever holds a reference may read it; the last release frees it. The
 * *cache* keeps blocks under keys, holds a reference of its own on each, and lets go of those that
 * are not worth their bytes; a reader's block stays whole until its reader lets go as well.
 *
 *     struct quarry_block_cache *cache;
 *     struct quarry_block_cache_options options = {.name = "kv.block", .capacity_bytes = 1u << 30};
 *     struct quarry_block_key key = {.handle = quarry_block_cache_handle(cache), .file = 7};
 *     struct quarry_block_tag tag = {.kind = QUARRY_BLOCK_DATA, .level = 3};
 *     struct quarry_block block;
 *
 *     enum quarry_status status =
 *         quarry_block_cache_get_or_load(cache, &key, tag, read_block, file, &block);
 *     if (status == QUARRY_OK) {
 *         search(quarry_block_data(&block), quarry_block_bytes(&block));
 *         quarry_block_release(cache, &block);
 *     }
 *
 * What a block occupies: a header of 64 bytes, the payload and what its decoder keeps beside it
 * (`extra_bytes`), in one cell of a slab or, above the slab's largest, in a run of pages. The
 * cache counts these real bytes, and so does its account.
 *
 * What a cache holds is bounded by its capacity: pages of cells with what is free in them, large
 * blocks, entries and tables are at most the capacity, less what is reserved, a 64th more, 1 MiB,
 * and what an empty cache has. When other sizes are wanted, pages are emptied, by evicting and by
 * moving, and serve those. Blocks that readers hold cannot move: each keeps its page, of about
 * eight cells and 24 KiB to 128 KiB as a rule, which counts. Only where nothing is left that nobody
 * holds does the cache take more; and for a block that is larger than a shard, which it would not
 * keep.
 *
 * A lookup that finds its block takes no lock: it reads one line of a table and one of the block.
 *
 * Closing a cache while blocks are out is told, with where they were taken, and refused
 * (QUARRY_BUSY).
 *
 * Errors: a programmer's error (releasing twice, a stale reference, inserting what others read)
 * ends the program with a message. All else is a status; when there is no memory an insertion is
 * refused and the caller keeps its block.
 *
 * Threads: any call from any thread at once, but for creating and closing. A `struct quarry_block`
 * belongs to one thread at a time.
 *
 * Forks: a cache is the parent's. Its child may read blocks that it held, and shall not call the
 * cache; the parent is not disturbed.
 *
 * Source: D. Jiang, F. Chen, X. Zhang: CLOCK-Pro (USENIX 2005), as Pebble's block cache has it, in
 * bytes instead of pages. See src/block/README.md.
 */
#ifndef QUARRY_BLOCK_H
#define QUARRY_BLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <quarry/export.h>
#include <quarry/memory.h>
#include <quarry/status.h>

#ifdef __cplusplus
extern "C" {
#endif

struct quarry_account;
struct quarry_block_cache;

/* ---- what blocks are ------------------------------------------------------------------------ */

/* What is in a block; metrics are kept for each. Numbers are stable. */
enum quarry_block_kind {
    QUARRY_BLOCK_DATA = 0,
    QUARRY_BLOCK_INDEX = 1,
    QUARRY_BLOCK_FILTER = 2,
    QUARRY_BLOCK_RANGES = 3, /* range deletions */
    QUARRY_BLOCK_VALUE = 4,  /* values kept apart from their keys */
    QUARRY_BLOCK_OTHER = 5,
};
#define QUARRY_BLOCK_KINDS 6

/* Levels 0 to 6, and this for a block of no known level. */
#define QUARRY_BLOCK_LEVEL_UNKNOWN 7
#define QUARRY_BLOCK_LEVELS        8

/* Says for whom a lookup is made. */
struct quarry_block_tag {
    uint8_t kind;  /* enum quarry_block_kind */
    uint8_t level; /* 0 to QUARRY_BLOCK_LEVEL_UNKNOWN */
    /*
     * A background reader (compaction, a scan that will not come back): what it finds does not
     * count as used, and what it loads is not admitted.
     */
    bool is_background;
};

/* The name of a block: what is at `offset` of `file`, in the namespace `handle`. */
struct quarry_block_key {
    uint64_t handle; /* from quarry_block_cache_handle: one for each store */
    uint64_t file;
    uint64_t offset;
};

/*
 * A reference to a block: owned by whoever holds it, until quarry_block_release. All-zero is none.
 * `data` is the payload, aligned to 16 bytes (to 8 where it has less than 512); `ref` tells a block
 * from the next one at its place; `token` is the leak ledger's.
 */
struct quarry_block {
    void *data;
    uint64_t ref;
    uint32_t token;
};

/* What a block occupies beside payload and extra bytes, before rounding to a size of cells. */
#define QUARRY_BLOCK_HEADER_BYTES 64

/* Largest payload and extra bytes together. */
#define QUARRY_BLOCK_BYTES_MAX ((size_t)1 << 30)

/*
 * Makes a block, to be filled and then perhaps inserted. Its contents are anything.
 *
 * `payload_bytes`: from 0. `extra_bytes`: room behind the payload, aligned to 8 bytes, for what a
 * decoder keeps with the block; may be 0. `ret_block`: own; the only reference.
 * Errors: QUARRY_NO_MEMORY, QUARRY_TOO_LARGE (more than QUARRY_BLOCK_BYTES_MAX together).
 * Cost: about as quarry_slab_take.
 */
QUARRY_EXPORT enum quarry_status quarry_block_alloc(struct quarry_block_cache *cache,
                                                    size_t payload_bytes, size_t extra_bytes,
                                                    struct quarry_block *ret_block);

/*
 * Another reference to the same block.
 *
 * `block`: one that is held. Returns: own; release both. Cost: one locked instruction.
 */
QUARRY_EXPORT struct quarry_block quarry_block_acquire(struct quarry_block_cache *cache,
                                                       const struct quarry_block *block);

/*
 * Gives a reference up; the last one frees the block.
 *
 * `block`: given, and made none; none does nothing. Cost: one locked instruction.
 */
QUARRY_EXPORT void quarry_block_release(struct quarry_block_cache *cache,
                                        struct quarry_block *block);

/*
 * The payload, the room behind it, and how many bytes they have.
 *
 * Returns: borrowed until the block is released. NULL (0) where `block` is stale: released, and
 * perhaps another's by now. The extra bytes may be written before the block is inserted only.
 */
QUARRY_EXPORT void *quarry_block_data(const struct quarry_block *block);
QUARRY_EXPORT void *quarry_block_extra(const struct quarry_block *block);
QUARRY_EXPORT size_t quarry_block_bytes(const struct quarry_block *block);

/* ---- the cache ------------------------------------------------------------------------------ */

/* What a cache is to be. `name` is required; zero means the default of the rest. */
struct quarry_block_cache_options {
    const char *name; /* of its account, lane and owner; 1 to 31 bytes; borrowed for the call */
    uint64_t capacity_bytes;       /* of what it holds, see above; 0: 8 MiB */
    struct quarry_account *parent; /* its account is a part of; NULL: the whole memory */
    uint64_t floor_bytes;          /* of its account: what no other may take from it */
    uint64_t ceiling_bytes;        /* of its account; 0: none */
    uint32_t share;                /* of its account among its siblings; 0: 1 */
    uint32_t priority;             /* of its account: lower gives first */
    /*
     * 0: four for each CPU, but of 4 MiB each at least, and one in a cache below 16 MiB. Rounded up
     * to a power of two, at most 1,024. More of them contend less; a block larger than its shard is
     * not admitted.
     */
    uint32_t shard_count;
    /*
     * Loads at a time, others wait; 0: any number. What a load has loaded for itself is not
     * counted.
     */
    uint32_t loads_max;
    /*
     * The capacity follows what the memory's arbiter assigns to its account, from the first
     * assignment on: bytes flow between the caches of a memory to where they bring most hits.
     */
    bool is_elastic;
};

/*
 * Creates a cache, with an account, a lane and a slab of its own.
 *
 * `options`: borrowed for the call. `ret_cache`: own; end it with quarry_block_cache_close.
 * `error`: says what was wrong; may be NULL.
 * Errors: QUARRY_BAD_INPUT, QUARRY_EXISTS (name), QUARRY_TOO_MANY (lanes), QUARRY_NO_ADDRESS,
 * QUARRY_NO_MEMORY. Cost: some system calls and about 1.5 KiB for each MiB of the capacity as it
 * fills.
 */
QUARRY_EXPORT enum quarry_status
quarry_block_cache_create(struct quarry_memory *memory,
                          const struct quarry_block_cache_options *options,
                          struct quarry_block_cache **ret_cache, struct quarry_error *error);

/*
 * Ends a cache: drops what it keeps, gives all of its memory back.
 *
 * `cache`: given, if QUARRY_OK is returned; NULL does nothing.
 * Errors: QUARRY_BUSY: blocks are out. They are told (kind, age, and in debug builds where they
 * were taken); the cache is empty and works on: release them and close again.
 * Threads: no other thread is in a call of the cache.
 */
QUARRY_EXPORT enum quarry_status quarry_block_cache_close(struct quarry_block_cache *cache);

/*
 * Sees to it that blocks of this size, and those a little smaller, waste nothing but the header.
 * Caches know payloads of 4, 8, 16 and 32 KiB without extra bytes from the start.
 *
 * Errors: QUARRY_TOO_LARGE (larger than cells of a slab: a run of pages anyway), QUARRY_TOO_MANY
 * (92 sizes), QUARRY_NO_MEMORY.
 */
QUARRY_EXPORT enum quarry_status quarry_block_cache_add_size(struct quarry_block_cache *cache,
                                                             size_t payload_bytes,
                                                             size_t extra_bytes);

/* A namespace for keys, unlike any other that the cache has given. */
QUARRY_EXPORT uint64_t quarry_block_cache_handle(struct quarry_block_cache *cache);

/*
 * Looks a block up.
 *
 * `key`: borrowed. `ret_block`: own, if there is one.
 * Returns: whether there is one. Cost: no lock; two lines of memory beside the block's payload.
 */
QUARRY_EXPORT bool quarry_block_cache_get(struct quarry_block_cache *cache,
                                          const struct quarry_block_key *key,
                                          struct quarry_block_tag tag,
                                          struct quarry_block *ret_block);

/*
 * Enters a block; one that is there under the key is replaced.
 *
 * `block`: share: held by the caller and nobody else, filled; from here on it is only read. The
 * caller keeps its reference.
 * Errors: QUARRY_TOO_LARGE (larger than the room of a shard), QUARRY_NO_MEMORY (for the cache's own
 * structures): not entered; what was there under the key is gone.
 * Cost: a mutex of one shard; blocks that have to go are freed after it has been let go.
 */
QUARRY_EXPORT enum quarry_status quarry_block_cache_put(struct quarry_block_cache *cache,
                                                        const struct quarry_block_key *key,
                                                        struct quarry_block_tag tag,
                                                        struct quarry_block *block);

/*
 * Reads what a key stands for into a block made by quarry_block_alloc.
 *
 * `argument`: as given. `ret_block`: own, held by nobody else. Returns: QUARRY_OK or what went
 * wrong. Threads: called by one of those who wait for the key, with no lock held. It may look up
 * other keys, but not wait for this one, nor for one whose load waits for this one.
 */
typedef enum quarry_status quarry_block_load_function(void *argument,
                                                      const struct quarry_block_key *key,
                                                      struct quarry_block *ret_block);

/*
 * Looks a block up, and loads it if it is not there. Of several who want the same key at once one
 * loads and the others wait; they all get its block, admitted or not. When the load fails its
 * caller gets the error, and the turn passes to one of those who wait.
 *
 * `load`: called at most once in this call, by the calling thread. `ret_block`: own.
 * Errors: those of `load`; QUARRY_NO_MEMORY.
 */
QUARRY_EXPORT enum quarry_status
quarry_block_cache_get_or_load(struct quarry_block_cache *cache, const struct quarry_block_key *key,
                               struct quarry_block_tag tag, quarry_block_load_function *load,
                               void *argument, struct quarry_block *ret_block);

/* Removes what is under a key, if anything. Returns: whether a block was there. */
QUARRY_EXPORT bool quarry_block_cache_erase(struct quarry_block_cache *cache,
                                            const struct quarry_block_key *key);

/*
 * Removes all blocks of a file, a few at a time.
 *
 * Returns: how many there were. Cost: O(blocks of the file); a shard's mutex for five at a time.
 */
QUARRY_EXPORT uint64_t quarry_block_cache_evict_file(struct quarry_block_cache *cache,
                                                     uint64_t handle, uint64_t file);

/* ---- how large it may be -------------------------------------------------------------------- */

/*
 * Takes bytes away from what the cache may keep, for a use outside of it (a memtable), and gives
 * them back. Each shard has its part taken, rounded up. More may be reserved than there is; then a
 * shard keeps nothing.
 *
 * `bytes`: of a reservation, which is undone whole. Cost: evicts at once, and gives pages back.
 */
QUARRY_EXPORT void quarry_block_cache_reserve(struct quarry_block_cache *cache, uint64_t bytes);
QUARRY_EXPORT void quarry_block_cache_unreserve(struct quarry_block_cache *cache, uint64_t bytes);

/*
 * Changes the capacity while running. Lowered, it evicts at once, and gives pages back.
 * `capacity_bytes`: from 1.
 */
QUARRY_EXPORT void quarry_block_cache_set_capacity(struct quarry_block_cache *cache,
                                                   uint64_t capacity_bytes);

/*
 * Evicts about `wanted_bytes` of the blocks that are worth least, and gives whole pages of cells
 * back to the memory, moving blocks that nobody holds. The capacity stays.
 *
 * Returns: bytes given back. The cache's account calls it when memory is short.
 */
QUARRY_EXPORT uint64_t quarry_block_cache_shrink(struct quarry_block_cache *cache,
                                                 uint64_t wanted_bytes);

/* ---- metrics -------------------------------------------------------------------------------- */

/* The span that counts are for. */
enum quarry_block_window {
    QUARRY_BLOCK_WINDOW_TOTAL = 0,
    QUARRY_BLOCK_WINDOW_10_MINUTES = 1,
    QUARRY_BLOCK_WINDOW_1_HOUR = 2,
};

/* Counts of one kind and level. */
struct quarry_block_counts {
    uint64_t hits;
    uint64_t misses;
    uint64_t inserts;
    uint64_t evictions; /* for want of room; not replaced, removed, or dropped at closing */
};

struct quarry_block_stats {
    uint64_t window_ns; /* the span that the counts really cover */
    struct quarry_block_counts counts[QUARRY_BLOCK_KINDS][QUARRY_BLOCK_LEVELS];
    /* Those of background readers, of all levels. */
    struct quarry_block_counts background[QUARRY_BLOCK_KINDS];
    uint64_t ghost_hits; /* misses on what was evicted not long ago */
    /* What is there now, whatever the window. */
    uint64_t hot_bytes, cold_bytes, ghost_bytes; /* a ghost's bytes are those it had */
    uint64_t hot_count, cold_count, ghost_count;
    uint64_t cold_target_bytes;
    uint64_t capacity_bytes, reserved_bytes;
    uint64_t metadata_bytes; /* entries and tables */
    uint64_t block_bytes;    /* of all blocks, those that only readers hold included */
    uint64_t kind_bytes[QUARRY_BLOCK_KINDS]; /* of blocks in the cache */
};

/*
 * Reads the metrics. Figures of different shards are of slightly different instants.
 *
 * `ret_stats`: written always. Cost: O(shards × threads).
 */
QUARRY_EXPORT void quarry_block_cache_stats(struct quarry_block_cache *cache,
                                            enum quarry_block_window window,
                                            struct quarry_block_stats *ret_stats);

/*
 * Lets the windows move on; call it about once a minute. Insertions and reading the metrics do so
 * too; a cache without any keeps its windows longer than their names say, see `window_ns`.
 */
QUARRY_EXPORT void quarry_block_cache_tick(struct quarry_block_cache *cache);

/*
 * Checks every structure against every other.
 *
 * `error`: names the first difference; may be NULL.
 * Errors: QUARRY_CORRUPT. Threads: a shard is locked at a time. Cost: O(blocks).
 */
QUARRY_EXPORT enum quarry_status quarry_block_cache_validate(struct quarry_block_cache *cache,
                                                             struct quarry_error *error);

#ifdef __cplusplus
}
#endif

#endif
