/*
 * Appending: one request on its way into shards. For the files append*.c.
 */
#ifndef QUARRY_TSDB_APPEND_H
#define QUARRY_TSDB_APPEND_H

#include <tsdb/store.h>

/* An entry, once its series is known. */
struct tsdb_append_item {
    uint32_t id; /* TSDB_SERIES_NONE: refused, or without samples */
    uint32_t entry;
};

/* One request. */
struct tsdb_append {
    struct quarry_tsdb *tsdb;
    const struct quarry_tsdb_request *request;
    struct quarry_tsdb_result *result;
    struct tsdb_tenant *tenant;
    int64_t wall_ms;
    int64_t first_ms; /* of the request's first sample */
    struct tsdb_rules rules;

    /* of one attempt */
    struct tsdb_view *view;
    bool lacks_window;    /* one that samples are in could not be made */
    bool is_last;         /* what has no room is refused, and not tried again */
    int64_t taken_max_ms; /* of what was appended; INT64_MIN: nothing */
    uint64_t late_count, repeated_count, raced_count;

    struct tsdb_append_item *items;            /* one for each entry */
    uint32_t *order;                           /* their indexes, by shard */
    uint32_t start[TSDB_SHARD_COUNT + 1];      /* of each shard in `order` */
    uint32_t usable[TSDB_SHARD_COUNT];         /* bits of the view's windows that took promises */
    uint32_t *promised;                        /* chunklets, by shard and window of the view */
    uint64_t refused_before[TSDB_SHARD_COUNT]; /* samples that tsdb_append_prepare refused */
    uint64_t refused_shards;                   /* bits of shards without room: see is_last */
};

/* What an attempt came to. */
enum tsdb_append_step {
    TSDB_APPEND_GO_ON,
    TSDB_APPEND_NO_MEMORY, /* somebody may give some */
    TSDB_APPEND_NO_SERIES, /* for a new series, for which no window is purged */
    TSDB_APPEND_AGAIN,     /* a series went while it was looked at */
};

/* ---- append_series.c: which series an entry is of ------------------------------------------- */

/*
 * Finds or makes the series of all entries; refuses those that cannot be.
 *
 * Threads: inside the store's epoch.
 */
enum tsdb_append_step tsdb_append_find_series(struct tsdb_append *append);

/* ---- append_shard.c: one shard -------------------------------------------------------------- */

/*
 * Judges the samples of a shard, and sets chunklets aside for those that will be taken.
 *
 * Threads: the shard's mutex is not held.
 */
enum tsdb_append_step tsdb_append_prepare(struct tsdb_append *append, uint32_t shard);
/* Appends them. What was promised and not used is released. */
void tsdb_append_apply(struct tsdb_append *append, uint32_t shard);
/* Releases what was promised, and appends nothing. */
void tsdb_append_abandon(struct tsdb_append *append, uint32_t shard);

/* ---- append.c ------------------------------------------------------------------------------- */

/* Counts refused samples of an entry, of which `sample` is the first. */
void tsdb_append_refuse(struct tsdb_append *append, uint32_t entry, size_t sample, uint64_t count,
                        enum quarry_tsdb_refusal refusal);

#endif
