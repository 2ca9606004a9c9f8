/*
 * What a cache counts: hits and misses by thread, insertions and evictions by shard.
 */
#ifndef QUARRY_BLOCK_COUNTERS_H
#define QUARRY_BLOCK_COUNTERS_H

#include <quarry/block.h>

#include <base/base.h>
#include <os/os.h>

/* Kinds by levels, and behind them the kinds of background readers. */
#define BLOCK_CELLS (QUARRY_BLOCK_KINDS * QUARRY_BLOCK_LEVELS + QUARRY_BLOCK_KINDS)

/* Two things that are counted, for each cell. */
struct block_pair {
    _Atomic uint64_t count[2];
};

/* Counts of the thread that owns the stripe, and of those that came later. */
struct block_stripe {
    Q_ALIGNED(Q_CACHE_LINE_BYTES) _Atomic uint32_t owner; /* os_thread_id; 0: nobody's yet */
    struct block_pair lookups[BLOCK_CELLS];               /* by the owner: hits, misses */
    Q_ALIGNED(Q_CACHE_LINE_BYTES) struct block_pair shared[BLOCK_CELLS]; /* by others */
};

/* Hits and misses: stripes of a power of two. */
struct block_lookups {
    struct block_stripe *stripes; /* const after init; zero */
    uint32_t mask;                /* const after init */
};

/* Doubling it costs 116 KiB and spares locked instructions to threads beyond. */
#define BLOCK_STRIPES_MAX 64u

enum { BLOCK_HIT = 0, BLOCK_MISS = 1 };
enum { BLOCK_INSERT = 0, BLOCK_EVICTION = 1 };

static inline uint32_t block_cell(uint32_t kind, uint32_t level, bool is_background)
{
    Q_DCHECK(kind < QUARRY_BLOCK_KINDS && level < QUARRY_BLOCK_LEVELS);
    return is_background ? QUARRY_BLOCK_KINDS * QUARRY_BLOCK_LEVELS + kind
                         : kind * QUARRY_BLOCK_LEVELS + level;
}

void block_lookups_count_slow(struct block_stripe *stripe, uint32_t cell, uint32_t what);

/*
 * Counts a lookup. Any thread. Cost: a load, a compare and an addition to a line that no other
 * thread writes; a locked addition where more threads than stripes have come by.
 */
static inline void block_lookups_count(struct block_lookups *lookups, struct quarry_block_tag tag,
                                       uint32_t what)
{
    uint32_t id = os_thread_id();
    struct block_stripe *stripe = &lookups->stripes[id & lookups->mask];
    uint32_t cell = block_cell(tag.kind, tag.level, tag.is_background);

    /* Relaxed: the thread's own store. */
    if (Q_LIKELY(atomic_load_relaxed_u32(&stripe->owner) == id)) {
        atomic_bump_relaxed_u64(&stripe->lookups[cell].count[what], 1);
    } else {
        block_lookups_count_slow(stripe, cell, what);
    }
}

/* The counts so far, of everything. */
struct block_totals {
    uint64_t time_ns;
    struct quarry_block_counts cell[BLOCK_CELLS];
    uint64_t ghost_hits;
};

/* Adds the hits and misses. */
void block_lookups_add(const struct block_lookups *lookups, struct block_totals *totals);

/* A minute's, and ten minutes', totals: the oldest is overwritten. */
#define BLOCK_WINDOW_SLOTS    12u
#define BLOCK_WINDOW_SHORT_NS (UINT64_C(60) * 1000000000)
#define BLOCK_WINDOW_LONG_NS  (UINT64_C(600) * 1000000000)

struct block_window {
    uint64_t step_ns;
    uint32_t count;  /* of slots in use */
    uint32_t newest; /* slot */
    struct block_totals slot[BLOCK_WINDOW_SLOTS];
};

struct block_windows {
    struct os_mutex mutex;
    struct block_window by_minute, by_ten;
    _Atomic uint64_t next_ns; /* when somebody should turn them */
};

/* `totals`: all zero but the time. */
void block_windows_init(struct block_windows *windows, const struct block_totals *totals);
/* Keeps the totals, if it is time to. */
void block_windows_turn(struct block_windows *windows, const struct block_totals *totals);
/* Makes the totals those of a window: subtracts what they were when it began. */
void block_windows_subtract(struct block_windows *windows, enum quarry_block_window window,
                            struct block_totals *totals, uint64_t *ret_window_ns);

#endif
