/*
 * The words of the time-series store: bytes that belong to others, labels, samples, series.
 *
 * A *series* is a tenant and a set of labels; its *id* is a number, dense from 1, that names it
 * while it lives. Ids are dealt out to shards by their low bits, so that series that came one after
 * another are in different shards, and a shard's own numbers are dense again.
 */
#ifndef QUARRY_TSDB_TYPES_H
#define QUARRY_TSDB_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <quarry/tsdb.h>

/* Shards of a store: a power of two, more than threads that append at once on any machine. */
#define TSDB_SHARD_COUNT 64u

/* The id that is no series'. */
#define TSDB_SERIES_NONE 0u

/* The value that ends a series. */
#define TSDB_STALE_BITS QUARRY_TSDB_STALE_BITS

/* The label that holds a series' metric name. */
#define TSDB_METRIC_NAME "__name__"

/*
 * Slices, labels and samples are the public header's, under this folder's names: what comes through
 * the door goes on without being copied.
 */
#define tsdb_slice  quarry_tsdb_slice
#define tsdb_label  quarry_tsdb_label
#define tsdb_labels quarry_tsdb_labels
#define tsdb_sample quarry_tsdb_sample

/* What is known of a counter's reset before a histogram. */
#define tsdb_reset_hint    quarry_tsdb_reset_hint
#define TSDB_RESET_UNKNOWN QUARRY_TSDB_RESET_UNKNOWN
#define TSDB_RESET_YES     QUARRY_TSDB_RESET_YES
#define TSDB_RESET_NO      QUARRY_TSDB_RESET_NO
#define TSDB_RESET_GAUGE   QUARRY_TSDB_RESET_GAUGE

/* The slice of a NUL-terminated string. */
static inline struct tsdb_slice tsdb_slice_of(const char *text)
{
    return (struct tsdb_slice){.bytes = text, .count = strlen(text)};
}

/* Orders slices by their bytes; a prefix comes first. Returns: less than, equal to, above 0. */
static inline int tsdb_slice_compare(struct tsdb_slice a, struct tsdb_slice b)
{
    size_t common = a.count < b.count ? a.count : b.count;
    int order = common == 0 ? 0 : memcmp(a.bytes, b.bytes, common);
    return order != 0 ? order : (a.count > b.count) - (a.count < b.count);
}

/* Whether two slices hold the same bytes. */
static inline bool tsdb_slice_equal(struct tsdb_slice a, struct tsdb_slice b)
{
    return a.count == b.count && (a.count == 0 || memcmp(a.bytes, b.bytes, a.count) == 0);
}

/* The shard of a series, 0 to TSDB_SHARD_COUNT - 1, and its number within the shard. */
static inline uint32_t tsdb_shard_of(uint32_t id)
{
    return id % TSDB_SHARD_COUNT;
}
static inline uint32_t tsdb_local_of(uint32_t id)
{
    return id / TSDB_SHARD_COUNT;
}

#endif
