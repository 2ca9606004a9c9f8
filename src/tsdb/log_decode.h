/*
 * Reading records: their series, samples, histograms and exemplars, given to a visitor.
 */
#ifndef QUARRY_TSDB_LOG_DECODE_H
#define QUARRY_TSDB_LOG_DECODE_H

#include <tsdb/log_record.h>

struct log_decoder;

/* Times of entries. from_ms > to_ms: there are none. */
struct log_times {
    int64_t from_ms, to_ms;
};
#define LOG_TIMES_NONE ((struct log_times){INT64_MAX, INT64_MIN})
static inline void log_times_add(struct log_times *times, int64_t t_ms)
{
    times->from_ms = t_ms < times->from_ms ? t_ms : times->from_ms;
    times->to_ms = t_ms > times->to_ms ? t_ms : times->to_ms;
}

/* What a record held. */
struct log_decoded {
    struct log_times times;                                 /* of its entries */
    uint64_t sample_count, histogram_count, exemplar_count; /* given to the visitor */
    /* Entries that could not be read for want of something in bytes that were lost. */
    uint64_t undecoded_count;
    struct log_times undecoded_times;
};

/*
 * Begins to read a segment. `visitor`: borrowed until it is destroyed. `ret_decoder`: own.
 * Errors: QUARRY_NO_MEMORY.
 */
enum quarry_status log_decoder_create(struct tsdb_memory *memory,
                                      const struct tsdb_log_visitor *visitor,
                                      struct log_decoder **ret_decoder);
/* `decoder`: given; NULL does nothing. */
void log_decoder_destroy(struct log_decoder *decoder);

/* Says that records before the next one were lost. */
void log_decoder_skip(struct log_decoder *decoder);

/* Behind a record's bytes, which may be read and do not matter. */
#define LOG_DECODE_SLACK_BYTES 16u

/*
 * Reads a record. `record`: followed by LOG_DECODE_SLACK_BYTES bytes.
 * Errors: QUARRY_CORRUPT: its bytes make no sense, and what of it was given to the visitor is right
 * all the same; say so by log_decoder_skip. QUARRY_NO_MEMORY; those of the visitor.
 * Cost: some 120 instructions a sample, and the visitor's.
 */
enum quarry_status log_decode(struct log_decoder *decoder, struct tsdb_slice record,
                              struct log_decoded *ret_decoded);

#endif
