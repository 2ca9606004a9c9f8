/*
 * The parts of recovery, for its own files. recover.c has the essay.
 */
#ifndef QUARRY_CACHE_RECOVER_PARTS_H
#define QUARRY_CACHE_RECOVER_PARTS_H

#include <cache/file.h>
#include <cache/types.h>

/* Refs put aside for step 5. */
struct cache_ref_chunk {
    struct cache_ref_chunk *next;
    uint32_t count;
    uint32_t reserved;
    uint64_t ref48[510];
};
Q_STATIC_ASSERT(sizeof(struct cache_ref_chunk) == 4096, "as pieces of a cache's memory go");

struct cache_recovery {
    /* const after init */
    struct quarry_cache *cache;
    struct cache_file *file;
    uint64_t sequence_top; /* by which sequences are completed */
    uint32_t tenant_limit;
    uint64_t stack_count;          /* that there is to be room for */
    _Atomic uint64_t *item_counts; /* by tenant; sums of step 3 */
    /* atomic */
    _Atomic uint64_t next_granule;
};

/* An item on its way into the index. */
struct cache_pending {
    struct cache_item *item;
    struct quarry_cache_tenant *tenant;
    uint64_t ref48;
    struct quarry_cache_key key;
};

/* Items whose buckets are fetched before the first of them is entered. */
#define CACHE_PENDING_ITEMS 16u

struct cache_recover_worker;
/* What a thread does with a page. */
typedef void cache_recover_step(struct cache_recover_worker *worker,
                                const struct cache_file_page *noted);

/* What a thread of recovery has for itself. */
struct cache_recover_worker {
    struct cache_recovery *recovery;
    cache_recover_step *step;
    struct os_thread thread;
    void *stack; /* NULL: it is the caller */
    struct cache_ref_chunk *large, *extents;
    uint64_t dropped_count, sequence_max;
    uint32_t counted_id; /* of a tenant with `counted` items that are not in item_counts yet */
    uint32_t pending_count;
    uint64_t counted;
    struct cache_pending pending[CACHE_PENDING_ITEMS];
    uint64_t live_bits[1024]; /* of the page under way */
};

/* ---- recover_items.c ------------------------------------------------------------------------ */

/* Step 3: judges the cells of a page; the slab adopts it, or it is freed. */
cache_recover_step cache_recover_adopt_page;
/* What a thread has counted so far goes into the sums. */
void cache_recover_count(struct cache_recover_worker *worker);
/* Step 4: the items of a page, but large ones, enter their indexes. */
cache_recover_step cache_recover_enter_page;
/* Step 5, inside the epoch: large items that a thread has put aside; then, when those of all have
 * been, extents that it has. */
void cache_recover_enter_large(struct cache_recover_worker *worker);
void cache_recover_sweep_extents(struct cache_recover_worker *worker);

#endif
