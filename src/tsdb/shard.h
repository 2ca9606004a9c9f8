/*
 * A shard of an open window: chains of chunklets, and room that is promised before it is used.
 */
#ifndef QUARRY_TSDB_SHARD_H
#define QUARRY_TSDB_SHARD_H

#include <tsdb/head.h>
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

/*
 * Sets chunklets aside for one request.
 *
 * Returns: the offset that tsdb_space_back(&shard->chunklets, …) must have reached before they are
 * used, which is done without the lock. Threads: the shard's mutex is held.
 */
static inline uint64_t tsdb_shard_promise(struct tsdb_open_shard *shard, uint32_t count)
{
    shard->promised_count += count;
    return ((uint64_t)shard->used_count + shard->promised_count) * TSDB_CHUNKLET_BYTES;
}

/* Takes back what was promised and not used. Threads: the shard's mutex is held. */
static inline void tsdb_shard_release(struct tsdb_open_shard *shard, uint32_t count)
{
    Q_ASSERT(shard->promised_count >= count);
    shard->promised_count -= count;
}

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

#endif
