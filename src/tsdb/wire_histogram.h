/*
 * Native histograms as remote write has them, 1.0 and 2.0 alike.
 *
 * Buckets are those that hold something: spans tell which ones, and a number stands for each. An
 * integer histogram gives the difference to the bucket before, a float one the count itself.
 */
#ifndef QUARRY_TSDB_WIRE_HISTOGRAM_H
#define QUARRY_TSDB_WIRE_HISTOGRAM_H

#include <quarry/status.h>

#include <tsdb/histogram.h>
#include <tsdb/types.h>

/* The schema whose buckets have bounds of their own, in `custom_bits`. */
#define TSDB_SCHEMA_CUSTOM (-53)

/* Buckets side by side: so many empty ones before, then so many. */
#define tsdb_wire_span quarry_tsdb_span

/* One side's buckets. */
struct tsdb_wire_buckets {
    struct tsdb_wire_span *spans; /* borrowed, as all arrays here, from the caller's room */
    uint64_t *values;             /* of integers: int64_t differences; of floats: bits of counts */
    uint32_t span_count, value_count;
};

/* One histogram. Doubles are bits, since NaN's payload matters: a stale one has it in its sum. */
struct tsdb_wire_histogram {
    int64_t t_ms;
    int64_t start_ms; /* of 2.0: when counting began; 0: not told */
    bool is_float;    /* counts are doubles */
    enum tsdb_reset_hint reset_hint;
    int32_t schema;
    uint64_t count;      /* of floats: bits */
    uint64_t zero_count; /* of floats: bits */
    uint64_t sum_bits;
    uint64_t zero_threshold_bits;
    struct tsdb_wire_buckets positive, negative;
    uint64_t *custom_bits; /* upper bounds of TSDB_SCHEMA_CUSTOM */
    uint32_t custom_count;
};

/* Where a histogram's arrays are put: borrowed. It is used from its beginning for each one. */
struct tsdb_wire_histogram_room {
    struct tsdb_wire_span *spans;
    uint64_t *values;
    uint32_t span_count_max, value_count_max;
};

/*
 * Reads a histogram's message.
 *
 * `message`: borrowed for the call.
 * `ret_histogram`: its arrays lie in `room`, until that is used again.
 * Errors: QUARRY_BAD_INPUT: not such a message; QUARRY_TOO_LARGE: more spans, or more buckets and
 * bounds together, than there is room for. Threads: any. Cost: some 30 instructions a bucket.
 */
enum quarry_status tsdb_wire_histogram_read(struct tsdb_slice message,
                                            const struct tsdb_wire_histogram_room *room,
                                            struct tsdb_wire_histogram *ret_histogram,
                                            struct quarry_error *error);
/*
 * Whether a histogram makes sense, by the rules of Prometheus: a schema that is known; spans that
 * name as many buckets as there are; no negative counts; of integers, a count that is that of all
 * buckets (with a NaN sum it may be more); custom bounds that rise, only where the schema has them.
 *
 * Errors: QUARRY_BAD_INPUT: and `error` says which rule. Cost: some 10 instructions a bucket.
 */
enum quarry_status tsdb_wire_histogram_check(const struct tsdb_wire_histogram *histogram,
                                             struct quarry_error *error);

/*
 * A histogram as the store takes it, of the same arrays: differences in them become counts.
 * `wire`: its arrays are the result's from then on. Cost: O(buckets).
 */
void tsdb_wire_histogram_take(struct tsdb_wire_histogram *wire,
                              struct tsdb_histogram *ret_histogram);

/* How many bytes the message of a histogram has; and writes it, as many. Cost: O(buckets). */
size_t tsdb_wire_histogram_bytes(const struct tsdb_histogram *histogram);
void tsdb_wire_histogram_write(const struct tsdb_histogram *histogram, uint8_t *to);

#endif
