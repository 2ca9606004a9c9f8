/*
 * An open store: what all of its parts share.
 */
#ifndef QUARRY_TSDB_STORE_H
#define QUARRY_TSDB_STORE_H

#include <quarry/epoch.h>
#include <quarry/memory.h>
#include <quarry/tsdb.h>

#include <base/base.h>
#include <os/os.h>

#include <tsdb/limits.h>
#include <tsdb/memory.h>
#include <tsdb/metrics.h>
#include <tsdb/registry.h>
#include <tsdb/remove.h>
#include <tsdb/rules.h>
#include <tsdb/seal.h>
#include <tsdb/tombstones.h>
#include <tsdb/view.h>

/* The parts of a store's account. */
enum tsdb_part {
    TSDB_PART_META,     /* the store itself, its windows' structures, its thread's stack */
    TSDB_PART_REGISTRY, /* labels and indexes */
    TSDB_PART_OPEN,     /* chunklets, and where chains begin */
    TSDB_PART_SEALED,   /* columns */
    TSDB_PART_QUERY,    /* sets and cursors, and what requests and sealing need meanwhile */
    TSDB_PARTS
};

/* Time before the first sample. */
#define TSDB_TIME_NONE INT64_MIN

/* Bytes kept for the next samples of each known series when new ones are refused: two chunklets. */
#define TSDB_SERIES_RESERVE_BYTES (2 * TSDB_CHUNKLET_BYTES)
/* What a new series takes at least: its record, labels, postings, a chunklet. */
#define TSDB_SERIES_NEW_BYTES 512u

/*
 * Part of a store's memory that samples and series leave free: a shard can be sealed, which takes a
 * 64th of a window before it gives some, and queries go on.
 */
#define TSDB_RESERVE_PART 32u

/* Windows that may be open before whoever makes another one helps sealing. */
#define TSDB_OPEN_WINDOWS_MAX 2u

/* One shard's lock, on a cache line of its own. */
struct tsdb_shard_lock {
    struct os_mutex mutex;
} Q_ALIGNED(Q_CACHE_LINE_BYTES);

/* All atomic; counted by whoever does it. */
struct tsdb_counters {
    _Atomic uint64_t taken_count, histogram_count, late_count, repeated_count, raced_count;
    _Atomic uint64_t refused_counts[QUARRY_TSDB_REFUSALS];
    _Atomic uint64_t exemplar_count, exemplar_bytes; /* now */
    _Atomic uint64_t taken_exemplar_count, refused_exemplar_count;
    _Atomic uint64_t created_series_count, removed_series_count, visited_series_count;
    _Atomic uint64_t sealed_shard_count, early_shard_count;
    _Atomic uint64_t purged_window_count, early_window_count;
    _Atomic uint64_t filling_count;        /* ever begun */
    _Atomic uint64_t filling_failed_count; /* tries to seal one that found no memory */
    _Atomic uint64_t offered_window_count, offer_failed_count, untaken_window_count;
};

struct quarry_tsdb {
    /* const */
    struct quarry_tsdb_options options; /* with defaults put in */
    char name[QUARRY_NAME_BYTES];
    struct quarry_memory *memory;
    struct quarry_account *account, *part[TSDB_PARTS];
    struct quarry_lifetime *lifetime;
    struct tsdb_memory small[TSDB_PARTS]; /* objects; not of TSDB_PART_OPEN and _SEALED */
    struct quarry_epoch *epoch;           /* of the registry's readers and of open chunklets' */
    struct tsdb_registry *registry;
    struct tsdb_window_options window_options;
    int64_t grace_ms; /* behind its end a window is open for so long */

    _Atomic int64_t time_ms; /* the greatest that was taken; TSDB_TIME_NONE */
    struct tsdb_counters counters;
    struct tsdb_limits limits;
    struct tsdb_metrics metrics;
    struct tsdb_views views;
    struct tsdb_tombstones tombstones;

    /* What changes windows, one at a time: making, sealing, purging; and removing series. */
    struct os_mutex turn_mutex;
    /* guarded by turn_mutex */
    struct tsdb_sealing sealing;
    struct tsdb_removal removal;

    _Atomic int64_t due_ms; /* when the store's time has come so far, something is to be sealed */

    /* offer.c */
    _Atomic bool is_offering;       /* a thread is at it */
    _Atomic uint32_t offer_answers; /* ever; who waits for one sleeps on it */

    struct tsdb_background *background; /* const; NULL: has_no_thread */
    struct tsdb_background *offering;   /* const; NULL: likewise, or nobody is to be asked */
    struct tsdb_durable *durable;       /* const; NULL: no directory */
    struct tsdb_shard_lock shard_lock[TSDB_SHARD_COUNT];
};

static inline struct os_mutex *tsdb_shard_mutex(struct quarry_tsdb *tsdb, uint32_t shard)
{
    return &tsdb->shard_lock[shard].mutex;
}

static inline int64_t tsdb_time_ms(struct quarry_tsdb *tsdb)
{
    /* Relaxed: only a number, which rises. */
    return atomic_load_relaxed_i64(&tsdb->time_ms);
}

/* Has the store's time be no less than a sample's. */
static inline void tsdb_time_raise(struct quarry_tsdb *tsdb, int64_t t_ms)
{
    int64_t time_ms = tsdb_time_ms(tsdb);

    /* Relaxed: only a number. */
    while (time_ms < t_ms && !atomic_cas_weak_relaxed_i64(&tsdb->time_ms, &time_ms, t_ms)) {
    }
}

int64_t tsdb_wall_ms(struct quarry_tsdb *tsdb);

/* Bytes charged to the whole store. */
uint64_t tsdb_charged_bytes(struct quarry_tsdb *tsdb);

#endif
