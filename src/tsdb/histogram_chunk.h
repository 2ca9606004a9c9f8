/*
 * Prometheus' chunks of native histograms: of integer counts (encoding 2), of floats (encoding 3).
 *
 * All histograms of a chunk have one layout, which is written once. Where a histogram cannot follow
 * the one before it, histogram_chunk_follows says so, and what the next chunk's header is to say.
 */
#ifndef QUARRY_TSDB_HISTOGRAM_CHUNK_H
#define QUARRY_TSDB_HISTOGRAM_CHUNK_H

#include <tsdb/block_array.h>
#include <tsdb/chunk_bits.h>
#include <tsdb/histogram.h>

/* What a chunk's header says of the counters between the chunk before it and this one. */
enum histogram_chunk_header {
    HISTOGRAM_CHUNK_UNKNOWN = 0x00,
    HISTOGRAM_CHUNK_NO_RESET = 0x40,
    HISTOGRAM_CHUNK_RESET = 0x80,
    HISTOGRAM_CHUNK_GAUGE = 0xc0, /* there is no such thing */
};

/* Count, count of zeros, sum: the fields in front of the buckets. */
#define HISTOGRAM_CHUNK_FIXED_FIELDS 3u
#define HISTOGRAM_CHUNK_FIELDS_MAX   (HISTOGRAM_CHUNK_FIXED_FIELDS + 2 * TSDB_HISTOGRAM_PARTS_MAX)

/* A field, as it was in the last histogram. */
struct histogram_chunk_field {
    uint64_t value;          /* a bucket of integers: the difference to the bucket before */
    uint64_t delta;          /* of integers: how it had changed */
    struct chunk_xor window; /* of floats, and of the sum */
};

/* A chunk that is written. */
struct histogram_chunk_appender {
    struct tsdb_memory *memory; /* borrowed */
    struct block_array bytes;   /* the chunk, as far as `bits` says */
    struct histogram_chunk_field
        *fields;                /* own; HISTOGRAM_CHUNK_FIELDS_MAX; NULL before the first */
    uint64_t *words;            /* own; the arrays of `last` */
    struct tsdb_histogram last; /* what was appended last, to this chunk or to the one before */
    struct chunk_bit_writer bits;
    uint64_t delta_ms;
    uint32_t count;
    enum histogram_chunk_header header;
    bool has_last;
};

void histogram_chunk_appender_init(struct histogram_chunk_appender *appender,
                                   struct tsdb_memory *memory);
void histogram_chunk_appender_fini(struct histogram_chunk_appender *appender);
/* Forgets all: a new series begins. */
void histogram_chunk_reset(struct histogram_chunk_appender *appender);

/*
 * Whether a histogram can follow the last one in the same chunk, which has one of the same
 * `is_float`. `ret_header`: what a chunk that begins with it is to say, whether it can or not.
 * Cost: O(buckets).
 */
bool histogram_chunk_follows(const struct histogram_chunk_appender *appender,
                             const struct tsdb_histogram *histogram,
                             enum histogram_chunk_header *ret_header);
/* Begins a chunk; what was appended last is still known. Errors: QUARRY_NO_MEMORY. */
enum quarry_status histogram_chunk_begin(struct histogram_chunk_appender *appender,
                                         enum histogram_chunk_header header);
/*
 * Appends a histogram, which is sound, and the first of the chunk or one that can follow.
 * Errors: QUARRY_NO_MEMORY: the chunk is as it was. Cost: O(buckets).
 */
enum quarry_status histogram_chunk_append(struct histogram_chunk_appender *appender,
                                          const struct tsdb_histogram *histogram);
/* The chunk, whole after each call. Returns: borrowed until the next. */
static inline const uint8_t *histogram_chunk_bytes(const struct histogram_chunk_appender *appender,
                                                   size_t *ret_byte_count)
{
    *ret_byte_count = chunk_bits_byte_count(&appender->bits);
    return appender->bytes.members;
}

/* A chunk that is read. */
struct histogram_chunk_iterator {
    struct tsdb_memory *memory;           /* borrowed */
    struct histogram_chunk_field *fields; /* own; NULL before the first chunk */
    uint64_t *words;                      /* own; likewise; the arrays of `now` */
    struct tsdb_histogram now;
    struct tsdb_histogram stale; /* what a stale marker is given out as */
    struct chunk_bit_reader bits;
    uint64_t delta_ms;
    uint32_t index; /* of the next */
    uint32_t count;
    uint8_t header;
};

void histogram_chunk_iterator_init(struct histogram_chunk_iterator *iterator,
                                   struct tsdb_memory *memory);
void histogram_chunk_iterator_fini(struct histogram_chunk_iterator *iterator);
/*
 * Begins to read a chunk. `bytes`: borrowed while it is read. Errors: QUARRY_CORRUPT: not even a
 * header; QUARRY_NO_MEMORY.
 */
enum quarry_status histogram_chunk_read(struct histogram_chunk_iterator *iterator,
                                        const uint8_t *bytes, size_t byte_count, bool is_float);
/*
 * The next histogram.
 *
 * `ret_histogram`: sound; borrowed until the next call.
 * Errors: QUARRY_NOT_FOUND: there are no more; QUARRY_CORRUPT; QUARRY_TOO_LARGE: more than
 * TSDB_HISTOGRAM_PARTS_MAX spans, buckets or boundaries; QUARRY_UNSUPPORTED: a schema that is not
 * known. Cost: O(buckets).
 */
enum quarry_status histogram_chunk_next(struct histogram_chunk_iterator *iterator,
                                        const struct tsdb_histogram **ret_histogram);

#endif
