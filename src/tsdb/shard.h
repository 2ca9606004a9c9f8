/*
 * A shard of an open window: chains of chunklets, and room that is promised before it is used.
 */
#ifndef QUARRY_TSDB_SHARD_H
#define QUARRY_TSDB_SHARD_H

#include <tsdb/head.h>
#include <tsdb/histogram.h>
#include <tsdb/window.h>

/*
 * Samples that a chunklet holds at least, whatever they are: the longest code of a sample has 162
 * bits (head.c), and a chunklet 960. Seven late ones fit.
 */
#define TSDB_SHARD_SAMPLES_MIN 5u

/* Chunklets that `count` samples of one series, one after another, use up at most: in order and
 * late, the end of what is there and the beginning of a chain included. */
static inline uint32_t tsdb_shard_need(size_t count)
{
    return count == 1 ? 1 : 2 + (uint32_t)(count / TSDB_SHARD_SAMPLES_MIN);
}

/* Whether a request may be frugal: promise nothing for the only sample that it brings to a series
 * whose chain has room for it. Only one that is alone in the shard. Threads: its mutex is held. */
static inline bool tsdb_shard_may_be_frugal(const struct tsdb_open_shard *shard)
{
    return shard->holder_count == 0;
}

/* Whether a chunklet for each of `count` samples is more than what is backed. Threads: as above. */
static inline bool tsdb_shard_lacks(const struct tsdb_open_shard *shard, uint32_t count)
{
    uint64_t chunklet_count = (uint64_t)shard->used_count + shard->promised_count + count;

    /* Relaxed: it only rises, and somebody looks again. */
    return chunklet_count * TSDB_CHUNKLET_BYTES >
           atomic_load_relaxed_u64(&shard->chunklets.backed_bytes);
}

/*
 * Sets chunklets aside for one request, 0 or more, and keeps the shard from being closed.
 *
 * Returns: the offset that tsdb_space_back(&shard->chunklets, …) must have reached before they are
 * used, which is done without the lock. Threads: the shard's mutex is held.
 */
uint64_t tsdb_shard_promise(struct tsdb_open_shard *shard, uint32_t count, bool is_frugal);

/* Ends a promise of which `count` are left: `has_appended`, or nothing of it was used, and it may
 * not be backed. `is_frugal`: as it was made. Threads: the shard's mutex is held. */
void tsdb_shard_release(struct tsdb_open_shard *shard, uint32_t count, bool is_frugal,
                        bool has_appended);

/* Whether a float of a frugal request has room, or finds a chunklet that another one has left.
 * False only where that one came in between, to the same series. Threads: as below. */
bool tsdb_shard_can_append(const struct tsdb_open_shard *shard, const struct tsdb_chain *chain,
                           const struct tsdb_head *head, struct tsdb_sample sample, bool is_late);

/* Whether a float in order fits its chain's last chunklet. Threads: as below. */
static inline bool tsdb_shard_has_room(const struct tsdb_open_shard *shard,
                                       const struct tsdb_chain *chain, const struct tsdb_head *head,
                                       struct tsdb_sample sample)
{
    /* Relaxed: written under the mutex that is held. */
    return atomic_load_relaxed_u32(&chain->first) != TSDB_CHUNKLET_NONE &&
           !tsdb_head_is_histogram(head) &&
           tsdb_head_fits(head, tsdb_open_chunklet(shard, head->tail), sample);
}

/* Takes a chunklet of zeros that was promised, the one behind the last. Threads: as below. */
struct tsdb_spare tsdb_shard_take(struct tsdb_open_shard *shard, uint32_t *promise);

/*
 * Appends a sample in order.
 *
 * `chain`: the series' in this window, backed. `head`: the series'; what it knows of another window
 * is forgotten when `chain` has not begun. `promise`: what is left of the request's, lowered by
 * what is used. Errors: none. Threads: the shard's mutex is held; readers may be reading the chain.
 */
void tsdb_shard_append(struct tsdb_open_shard *shard, struct tsdb_chain *chain,
                       struct tsdb_head *head, struct tsdb_sample sample, uint32_t *promise);

/* Appends a late sample; otherwise as tsdb_shard_append. */
void tsdb_shard_append_late(struct tsdb_open_shard *shard, struct tsdb_chain *chain,
                            struct tsdb_sample sample, uint32_t *promise);

/* ---- histograms: shard_histogram.c ----------------------------------------------------------- */

/* What appending histograms needs beside chunklets: memory of the request, for its largest one. */
struct tsdb_histogram_scratch {
    struct tsdb_histogram_room room;
    uint8_t *bytes;
    size_t byte_capacity; /* tsdb_histogram_bytes_need, and TSDB_SHARD_HISTOGRAM_HEAD */
    struct tsdb_spare *spares;
    size_t spare_capacity; /* tsdb_shard_histogram_spares */
};

/* Bytes that a late histogram, or a state, has in front of it at most. */
#define TSDB_SHARD_HISTOGRAM_HEAD 12u

/* Chunklets that `byte_count` bytes fill. */
static inline uint32_t tsdb_shard_spares(size_t byte_count)
{
    return (uint32_t)((byte_count + TSDB_CHUNKLET_PAYLOAD_BYTES - 1) / TSDB_CHUNKLET_PAYLOAD_BYTES);
}

/* Spares that one histogram can need at a time, of so many bytes (tsdb_histogram_bytes_need). */
static inline uint32_t tsdb_shard_histogram_spares(size_t need_bytes)
{
    return tsdb_shard_spares(need_bytes + TSDB_SHARD_HISTOGRAM_HEAD) + 1;
}

/* Chunklets that it uses up at most: for itself, and for the state behind it. */
static inline uint32_t tsdb_shard_need_histogram(size_t need_bytes)
{
    return 2 * tsdb_shard_histogram_spares(need_bytes);
}

/* What tells histograms of one time apart: everything but the hint, as Prometheus compares. */
uint64_t tsdb_shard_histogram_hash(const struct tsdb_histogram *histogram,
                                   const struct tsdb_histogram_scratch *scratch);

/* Appends a histogram in order, and a late one; sound ones. Otherwise as for floats. */
void tsdb_shard_append_histogram(struct tsdb_open_shard *shard, struct tsdb_chain *chain,
                                 struct tsdb_head *head, const struct tsdb_histogram *histogram,
                                 const struct tsdb_histogram_scratch *scratch, uint32_t *promise);
void tsdb_shard_append_late_histogram(struct tsdb_open_shard *shard, struct tsdb_chain *chain,
                                      const struct tsdb_histogram *histogram,
                                      const struct tsdb_histogram_scratch *scratch,
                                      uint32_t *promise);

/*
 * Copies bytes that lie in the payloads of chunklets with consecutive numbers.
 *
 * `first`: of a row that was found whole. Threads: as readers of the shard.
 */
void tsdb_shard_row_read(const struct tsdb_open_shard *shard, uint32_t first, uint8_t *bytes,
                         size_t count);

/*
 * Whether a chunklet of a late chain begins a histogram, and its time and how many bytes its code
 * has: TSDB_SHARD_HISTOGRAM_HEAD behind the row's beginning. Threads: as readers of the shard.
 */
bool tsdb_shard_late_histogram(const struct tsdb_open_shard *shard, uint32_t number,
                               int64_t *ret_t_ms, uint32_t *ret_byte_count);

#endif
