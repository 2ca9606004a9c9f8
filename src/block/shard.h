/*
 * A shard: a part of a cache with a clock, a table and a lock of its own.
 */
#ifndef QUARRY_BLOCK_SHARD_H
#define QUARRY_BLOCK_SHARD_H

#include <os/os.h>

#include <block/clock_pro.h>
#include <block/counters.h>
#include <block/files.h>
#include <block/header.h>
#include <block/key.h>
#include <block/memory.h>
#include <block/table.h>

struct block_load;

/* Blocks of a file that are removed while the lock is held once. Ten take it half as often. */
#define BLOCK_EVICT_FILE_STEP 5u

/* By how much a target falls while the lock is held once: some 256 blocks of 4 KiB, 50 µs. */
#define BLOCK_TARGET_STEP_BYTES ((uint64_t)1 << 20)

struct block_shard {
    /* read by every lookup */
    _Atomic block_table table; /* changed under the mutex */

    Q_ALIGNED(Q_CACHE_LINE_BYTES) struct os_mutex mutex;
    /* const after init */
    struct block_memory *memory;
    struct quarry_epoch *epoch;
    /* guarded by mutex */
    struct clock_pro clock; /* values are addresses of headers */
    struct block_files files;
    uint64_t used;                /* slots of the table */
    uint64_t squeezed_bytes;      /* so much less than the limits say is kept, for want of pages */
    struct block_header *victims; /* the cache's references that are to go, by whoever unlocks */
    uint64_t kind_bytes[QUARRY_BLOCK_KINDS];
    struct block_pair counts[BLOCK_CELLS];     /* insertions, evictions; read by anybody */
    void *old_table[BLOCK_TABLE_LOG2_MAX + 1]; /* outgrown, by size; readers may be in them */
    uint64_t old_stamp[BLOCK_TABLE_LOG2_MAX + 1];
    uint32_t old_tables; /* a bit for each that is kept */

    Q_ALIGNED(Q_CACHE_LINE_BYTES) struct os_mutex load_mutex;
    /* guarded by load_mutex */
    struct block_load *loads; /* one for each key that is being loaded */
};

/* How large the shards of a cache are to be; changed by anybody, and then each shard is told. */
struct block_limits {
    _Atomic uint64_t max_bytes;      /* of a shard; from 1 */
    _Atomic uint64_t reserved_bytes; /* of a shard */
};

/*
 * `shard`: all zero. `memory`, `epoch`: borrowed until fini. `max_bytes`: from 1.
 * Errors: NO_MEMORY.
 */
enum quarry_status block_shard_init(struct block_shard *shard, uint32_t number,
                                    struct block_memory *memory, struct quarry_epoch *epoch,
                                    uint64_t max_bytes);
/* Gives all memory back. It has no entries, and no readers. */
void block_shard_fini(struct block_shard *shard);

/*
 * What calls of a shard leave for their caller to release, with no lock held: a list by `next`, of
 * one reference each.
 */
struct block_victims {
    struct block_header *first;
};

/* What is to be entered. */
struct block_put {
    struct block_header *header; /* with its key, kind and level; its count includes the shard's */
    uint64_t hash;
    uint32_t bytes;
    bool is_referenced;
};

/*
 * Enters a block. Errors: TOO_LARGE, NO_MEMORY: the reference stays with the caller; what was under
 * the key may be there still.
 */
enum quarry_status block_shard_put(struct block_shard *shard, const struct block_put *put,
                                   struct block_victims *victims);

/* Removes a key, or its ghost. Returns: whether there was a block. */
bool block_shard_erase(struct block_shard *shard, const struct quarry_block_key *key, uint64_t hash,
                       struct block_victims *victims);

/* Removes up to BLOCK_EVICT_FILE_STEP entries of a file. Returns: how many; adds up the blocks. */
uint32_t block_shard_evict_file(struct block_shard *shard, uint64_t handle, uint64_t file,
                                uint64_t *block_count, struct block_victims *victims);

/* Removes up to `count` entries. Returns: whether any are left. */
bool block_shard_clear(struct block_shard *shard, uint32_t count, struct block_victims *victims);

/*
 * One step towards the limits, which are read under the lock: of several who change them, whoever
 * comes last finds all that was changed. Returns: whether they are reached.
 */
bool block_shard_aim(struct block_shard *shard, const struct block_limits *limits,
                     struct block_victims *victims);

/* Evicts `bytes` of what is resident. Returns: how many it did. */
uint64_t block_shard_shrink(struct block_shard *shard, uint64_t bytes,
                            struct block_victims *victims);

/*
 * As block_shard_shrink, for want of pages: what is left then is what the shard keeps from now on,
 * but for half of its limits, and a sixteenth of what is entered more each time. So a cache whose
 * free cells do not fit comes to keep what does, and finds out when more would.
 */
uint64_t block_shard_squeeze(struct block_shard *shard, const struct block_limits *limits,
                             uint64_t bytes, struct block_victims *victims);

/* The block under a key, with a reference for the caller; NULL: none. Takes the lock. */
struct block_header *block_shard_find(struct block_shard *shard, const struct quarry_block_key *key,
                                      uint64_t hash);

/*
 * Puts a block that the cache alone refers to at another place.
 * `from`: a live header. Returns: whether it did; then `to` has all that `from` had, but for `ref`.
 */
bool block_shard_move(struct block_shard *shard, struct block_header *from, struct block_header *to,
                      uint64_t to_ref);

/* Gives outgrown tables back that nobody reads any more. */
void block_shard_trim(struct block_shard *shard);

/* NULL, or what is wrong. Takes the lock. */
const char *block_shard_validate(struct block_shard *shard);

#endif
