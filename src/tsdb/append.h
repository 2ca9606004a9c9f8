/*
 * Appending: one request on its way into shards. For the files append*.c.
 */
#ifndef QUARRY_TSDB_APPEND_H
#define QUARRY_TSDB_APPEND_H

#include <tsdb/log.h>
#include <tsdb/shard.h>
#include <tsdb/store.h>

/* An entry, once its series is known. */
struct tsdb_append_item {
    uint32_t id; /* TSDB_SERIES_NONE: refused, or without samples */
    uint32_t entry : 31;
    uint32_t is_frugal : 1; /* nothing was promised for its one sample: its chain has room */
};

/* An entry as an item. `entry`: of those of a request, of which there are fewer than 2^31. */
static inline struct tsdb_append_item tsdb_append_item_of(uint32_t id, uint32_t entry)
{
    return (struct tsdb_append_item){.id = id, .entry = entry & (UINT32_MAX >> 1)};
}

/* One sample of an entry, of either kind. */
struct tsdb_point {
    int64_t t_ms;
    uint64_t bits;                          /* of a float */
    const struct tsdb_histogram *histogram; /* NULL: a float */
    size_t index;                           /* histograms are numbered behind all floats */
};

/* A walk over an entry's samples, in the order in which they are appended. All-zero but for `entry`
 * begins. */
struct tsdb_points {
    const struct quarry_tsdb_entry *entry;
    size_t sample_at, histogram_at;
};

static inline bool tsdb_points_next(struct tsdb_points *points, struct tsdb_point *ret_point)
{
    const struct quarry_tsdb_entry *entry = points->entry;
    bool has_sample = points->sample_at < entry->sample_count;

    if (Q_LIKELY(has_sample && (points->histogram_at == entry->histogram_count ||
                                entry->samples[points->sample_at].t_ms <=
                                    entry->histograms[points->histogram_at].t_ms))) {
        const struct tsdb_sample *sample = &entry->samples[points->sample_at];
        *ret_point = (struct tsdb_point){
            .t_ms = sample->t_ms, .bits = sample->bits, .index = points->sample_at++};
        return true;
    }
    if (points->histogram_at == entry->histogram_count) {
        return false;
    }
    const struct tsdb_histogram *histogram = &entry->histograms[points->histogram_at];
    *ret_point = (struct tsdb_point){.t_ms = histogram->t_ms,
                                     .histogram = histogram,
                                     .index = entry->sample_count + points->histogram_at++};
    return true;
}

/* How many samples of both kinds an entry has. */
static inline size_t tsdb_entry_count(const struct quarry_tsdb_entry *entry)
{
    return entry->sample_count + entry->histogram_count;
}

/* A histogram that is about to be appended, for the log. */
struct tsdb_append_logged {
    const struct tsdb_histogram *histogram; /* of the request */
    uint32_t series;
    uint8_t window; /* its index in the view */
};

/* One request. */
struct tsdb_append {
    struct quarry_tsdb *tsdb;
    const struct quarry_tsdb_request *request;
    struct quarry_tsdb_result *result;
    struct tsdb_tenant *tenant;
    int64_t wall_ms;
    uint64_t now_ns;  /* of the monotonic clock, where windows may be filled */
    int64_t first_ms; /* of the request's first sample */
    struct tsdb_rules rules;
    struct tsdb_histogram_scratch scratch; /* for its largest histogram */
    size_t histogram_count;                /* sound ones, */
    size_t histogram_bytes;                /* and what they may need in the log */
    bool has_bad_histograms;
    bool fills;   /* windows that are sealed, too */
    bool is_past; /* it brings nothing of the store's newest window, or a newer one */

    /* of one attempt */
    struct tsdb_view *view;
    bool lacks_window;    /* one that samples are in could not be made */
    bool is_last;         /* what has no room is refused, and not tried again */
    bool is_outrun;       /* a window that was to be filled is being sealed */
    int64_t taken_max_ms; /* of what was appended; INT64_MIN: nothing */
    uint64_t late_count, repeated_count, raced_count;

    struct tsdb_append_item *items;            /* one for each entry */
    uint32_t *order;                           /* their indexes, by shard */
    uint32_t start[TSDB_SHARD_COUNT + 1];      /* of each shard in `order` */
    uint32_t usable[TSDB_SHARD_COUNT];         /* bits of the view's windows that took promises */
    uint32_t frugal[TSDB_SHARD_COUNT];         /* and of these, where frugal ones: shard.c */
    uint32_t *promised;                        /* chunklets, by shard and window of the view */
    uint64_t refused_before[TSDB_SHARD_COUNT]; /* samples that tsdb_append_prepare refused */
    uint64_t refused_shards;                   /* bits of shards without room: see is_last */

    const uint32_t *known_ids; /* of a log that is replayed: each entry's series; else NULL */
    /* what is about to be appended, for the log; NULL: nothing is logged */
    struct tsdb_log_sample *logged;
    uint8_t *logged_windows; /* of each, its window's index in the view */
    uint32_t logged_count;
    /* of its histograms; room for all of the request's, encoded too */
    struct tsdb_append_logged *logged_histograms;
    struct tsdb_log_histogram *encoded;
    uint8_t *encoded_bytes;
    uint32_t logged_histogram_count;
    /* what is to be waited for: of samples, and of exemplars */
    struct tsdb_log_ticket tickets[2 * TSDB_VIEW_WINDOWS_MAX];
    uint32_t ticket_count;
    enum quarry_status log_status; /* QUARRY_OK, or why nothing was appended */
};

/* What an attempt came to. */
enum tsdb_append_step {
    TSDB_APPEND_GO_ON,
    TSDB_APPEND_NO_MEMORY, /* somebody may give some */
    TSDB_APPEND_NO_SERIES, /* for a new series, for which no window is purged */
    TSDB_APPEND_AGAIN,     /* a series went while it was looked at */
};

/* ---- append_histogram.c: what requests with histograms need ---------------------------------- */

/*
 * Looks at the histograms of a request, and has scratch for the largest sound one.
 *
 * `ret_taken`: what is to be given back; NULL: nothing. Returns: false: no memory.
 * Cost: when there are none, a look at each entry.
 */
bool tsdb_append_scratch(struct tsdb_append *append, void **ret_taken);

/* Has room for what is logged of them. `ret_taken`, returns: as above. */
bool tsdb_append_logged_take(struct tsdb_append *append, void **ret_taken);

/* Refuses what breaks the rules for histograms. */
void tsdb_append_refuse_bad(struct tsdb_append *append);

/* Whether a point is left out since it was refused by tsdb_append_refuse_bad. */
bool tsdb_append_is_bad_slow(const struct tsdb_point *point);
static inline bool tsdb_append_is_bad(const struct tsdb_append *append,
                                      const struct tsdb_point *point)
{
    return Q_UNLIKELY(append->has_bad_histograms) && tsdb_append_is_bad_slow(point);
}

/* ---- append_metrics.c: limits of metrics ----------------------------------------------------- */

/* Refuses entries that are over their metric's rate, and counts the others. Threads: inside the
 * epoch in which the series were found. */
void tsdb_append_take_metrics(struct tsdb_append *append);
/* Counts them back: nothing was appended. Likewise. */
void tsdb_append_give_metrics(struct tsdb_append *append);

/* ---- append_series.c: which series an entry is of ------------------------------------------- */

/*
 * Finds or makes the series of all entries; refuses those that cannot be.
 *
 * Threads: inside the store's epoch.
 */
enum tsdb_append_step tsdb_append_find_series(struct tsdb_append *append);

/* Whether a new series may have room, with what is kept for those that are known. */
bool tsdb_append_room_for_series(struct quarry_tsdb *tsdb);

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

/* ---- append_exemplars.c: behind the samples ---------------------------------------------------
 */

/* Puts the request's exemplars in, and counts them. Threads: outside the epoch. */
void tsdb_append_exemplars(struct tsdb_append *append);

/* ---- append_replay.c --------------------------------------------------------------------------
 */

/* Samples of a log that are replayed at once: some 600 KiB for the time of a call. */
#define TSDB_REPLAY_SAMPLES_MAX 4096u

/*
 * Appends samples that were acknowledged before, in whatever order they come.
 *
 * `count`: 1 to TSDB_REPLAY_SAMPLES_MAX.
 * Returns: how many could not be, for want of memory. Threads: any, outside the epoch.
 */
uint64_t tsdb_append_replayed(struct quarry_tsdb *tsdb, const struct tsdb_log_sample *samples,
                              size_t count);
/*
 * The same of a histogram.
 *
 * Errors: QUARRY_NO_MEMORY; QUARRY_CORRUPT: its bytes are no histogram, and nothing was appended.
 */
enum quarry_status tsdb_append_replayed_histogram(struct quarry_tsdb *tsdb,
                                                  const struct tsdb_log_histogram *histogram);

/* ---- append.c ------------------------------------------------------------------------------- */

/* Counts refused samples of an entry, of which `sample` is the first. */
void tsdb_append_refuse(struct tsdb_append *append, uint32_t entry, size_t sample, uint64_t count,
                        enum quarry_tsdb_refusal refusal);

/* Attempts a request until it is done, or nobody gives any more memory. Threads: outside the epoch.
 */
void tsdb_append_attempts(struct tsdb_append *append);

#endif
