/*
 * Remote read: requests in, answers out, in samples or as a stream of chunks.
 *
 * Bodies are uncompressed here: a request comes in a snappy block, an answer of samples goes out in
 * one (snappy_block.h), a stream in none. All memory is the caller's.
 */
#ifndef QUARRY_TSDB_REMOTE_READ_H
#define QUARRY_TSDB_REMOTE_READ_H

#include <quarry/status.h>

#include <tsdb/buffer.h>
#include <tsdb/histogram.h>
#include <tsdb/types.h>

/* The Content-Types of the two answers; that of samples goes with Content-Encoding: snappy. */
#define TSDB_READ_SAMPLES_TYPE "application/x-protobuf"
#define TSDB_READ_STREAM_TYPE                                                                      \
    "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse"

/* Memory of the caller, used front to back. `bytes`: borrowed, aligned to 16. */
struct tsdb_read_room {
    char *bytes;
    size_t used, capacity;
};

/* ---- requests ------------------------------------------------------------------------------- */

enum tsdb_read_relation {
    TSDB_READ_EQUAL = 0,
    TSDB_READ_NOT_EQUAL = 1,
    TSDB_READ_MATCH = 2, /* a regular expression, of the whole value */
    TSDB_READ_NOT_MATCH = 3,
};

struct tsdb_read_matcher {
    enum tsdb_read_relation relation;
    struct tsdb_slice name, value;
};

/* What a query is for. A function of no bytes: not told. */
struct tsdb_read_hints {
    int64_t step_ms, start_ms, end_ms, range_ms;
    struct tsdb_slice function;
    const struct tsdb_slice *grouping; /* names of labels */
    size_t grouping_count;
    bool is_by; /* grouped by them; else without them */
};

/* One query: samples of [start_ms, end_ms], both included. */
struct tsdb_read_query {
    int64_t start_ms, end_ms;
    const struct tsdb_read_matcher *matchers;
    size_t matcher_count;
    struct tsdb_read_hints hints; /* all zero where there were none */
};

enum tsdb_read_answer_kind {
    TSDB_READ_SAMPLES = 0,
    TSDB_READ_STREAM = 1, /* XOR chunks */
};

struct tsdb_read_request {
    const struct tsdb_read_query *queries;
    size_t query_count;
    enum tsdb_read_answer_kind kind; /* the first of those asked for that there is */
};

/*
 * Reads a request.
 *
 * `body`: borrowed for the call. `room`: what the request's parts are put in; borrowed while the
 * request is used. Some 100 bytes for each of its fields are enough.
 * Errors: QUARRY_BAD_INPUT: no request, or it wants only answers of other kinds; QUARRY_TOO_LARGE:
 * for the room. Threads: any. Cost: some 200 instructions a field; nothing but the room is
 * allocated.
 */
enum quarry_status tsdb_read_request_read(struct tsdb_slice body, struct tsdb_read_room *room,
                                          struct tsdb_read_request *ret_request,
                                          struct quarry_error *error);

/* ---- answers in samples --------------------------------------------------------------------- */

/*
 * An answer being written. Results are begun, filled and ended in the order of the queries. A put
 * for which there is no room changes nothing: the caller may move the bytes to a larger room, set
 * `room`, and put again.
 */
struct tsdb_read_answer {
    struct tsdb_read_room room;
    size_t result_at; /* where the result under way begins */
    bool is_in_result;
};

/*
 * Puts a histogram behind others of a series, as the field that it will be.
 * Errors: QUARRY_NO_MEMORY, QUARRY_TOO_LARGE: `to` is as it was. Cost: O(buckets).
 */
enum quarry_status tsdb_read_put_histogram(struct tsdb_buffer *to,
                                           const struct tsdb_histogram *histogram);

/* Errors of the three: QUARRY_TOO_LARGE: no room. */
enum quarry_status tsdb_read_begin_result(struct tsdb_read_answer *answer);
/*
 * Puts one series of the result under way.
 *
 * `labels`, `samples`: borrowed for the call; series come sorted by labels. `histograms`: what
 * tsdb_read_put_histogram wrote, likewise; of no bytes: none.
 * Cost: some 20 instructions a sample.
 */
enum quarry_status tsdb_read_put_series(struct tsdb_read_answer *answer, struct tsdb_labels labels,
                                        const struct tsdb_sample *samples, size_t sample_count,
                                        struct tsdb_slice histograms);
/* Ends a result. QUARRY_TOO_LARGE here: it has 32 GiB or more, and is as it was. */
enum quarry_status tsdb_read_end_result(struct tsdb_read_answer *answer);

/* ---- answers in chunks ---------------------------------------------------------------------- */

/* Encodings of chunks, as in Prometheus' files. */
enum tsdb_read_encoding {
    TSDB_READ_XOR = 1,
    TSDB_READ_HISTOGRAM = 2,
    TSDB_READ_FLOAT_HISTOGRAM = 3,
};

/* A chunk of a series: samples of [min_ms, max_ms]. `data`: borrowed. */
struct tsdb_read_chunk {
    int64_t min_ms, max_ms;
    enum tsdb_read_encoding encoding;
    struct tsdb_slice data;
};

/* A series of a stream, and how much of it was sent. */
struct tsdb_read_series {
    struct tsdb_labels labels;
    const struct tsdb_read_chunk *chunks;
    size_t chunk_count;
    size_t sent_count; /* in: those that earlier frames had; out: those of this one as well */
    int64_t query_index;
};

/*
 * Writes one frame: the labels, and as many of the chunks that were not sent as it takes to pass
 * `frame_bytes_min`, or all of them. So a frame is larger than that by a chunk at most.
 *
 *     | length, varint | crc32c of the message, big endian | ChunkedReadResponse |
 *
 * `scratch`: for the time of the call; some 100 bytes for each label and chunk. `room`: gets the
 * frame behind what it has.
 * Errors: QUARRY_TOO_LARGE: one of the rooms; all is as it was.
 * Cost: that of copying and checksumming, and some 200 instructions a chunk.
 */
enum quarry_status tsdb_read_put_frame(struct tsdb_read_series *series, size_t frame_bytes_min,
                                       struct tsdb_read_room *scratch, struct tsdb_read_room *room);

#endif
