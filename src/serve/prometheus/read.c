/*
 * Remote read: requests, and which of the two answers they get.
 *
 *     samples   all of it in memory, then one snappy block; bounded by tsdb.read_samples_max
 *     stream    a frame of a series at a time, each made when the reader has taken the one before
 *
 * All queries of a request are selected before anything is answered, so that one that makes no
 * sense is answered with 400, whatever came before it. What was selected keeps the windows of that
 * moment until the answer has ended: a reader that takes nothing is cut by net.reader_timeout.
 *
 * Locking: none.
 */
#include <serve/prometheus/read.h>

/* Parts of a request: some 100 bytes for each of its fields, of which the shortest has two bytes;
 * but never more than this, which is enough for 10,000 matchers. */
#define ROOM_FACTOR    50u
#define ROOM_BYTES_MIN Q_KIB(4)
#define ROOM_BYTES_MAX Q_MIB(1)
/* Of a request, decoded. */
#define BODY_BYTES_MAX Q_MIB(1)
#define QUERIES_MAX    64u

enum http_outcome read_answer_error(struct http_call *call, const struct quarry_error *error)
{
    /* A limit on what one asks for is the asker's matter. */
    bool is_own = error->status == QUARRY_TOO_LARGE || error->status == QUARRY_TOO_MANY;

    http_say_text(call, is_own ? 400 : (uint32_t)quarry_status_http(error->status), error->text);
    http_text_say(&call->body_out, "\n");
    if (error->status == QUARRY_NO_MEMORY) {
        http_say_field(call, "Retry-After", "10");
    }
    return HTTP_DONE;
}

struct tsdb_labels read_labels(const struct reading *reading, size_t query, size_t series)
{
    const uint32_t most = reading->store->limits.labels.label_count_max;
    size_t count = quarry_tsdb_set_labels(reading->sets[query], series, reading->labels, most);

    return (struct tsdb_labels){reading->labels, size_min(count, most)};
}

/* ---- the request ---------------------------------------------------------------------------- */

static void end(struct reading *reading)
{
    const struct tsdb_memory *memory = &reading->store->memory;

    quarry_tsdb_cursor_destroy(reading->cursor);
    histogram_chunk_appender_fini(&reading->histograms);
    for (size_t i = 0; reading->sets != NULL && i < reading->request.query_count; i++) {
        quarry_tsdb_set_close(reading->sets[i]);
    }
    tsdb_buffer_fini(&reading->chunks);
    tsdb_buffer_fini(&reading->frame);
    tsdb_buffer_fini(&reading->scratch);
    tsdb_memory_give(memory, reading->sets);
    tsdb_memory_give(memory, reading->labels);
    tsdb_memory_give(memory, reading->room);
    tsdb_memory_give(memory, reading->body);
    tsdb_memory_give(memory, reading);
}

static void end_state(struct http_call *call)
{
    end(call->state);
}

static enum quarry_status read_request(struct reading *reading, struct tsdb_slice packed,
                                       struct quarry_error *error)
{
    const struct tsdb_memory *memory = &reading->store->memory;
    size_t count = 0;
    enum quarry_status status = tsdb_snappy_length(packed, BODY_BYTES_MAX, &count, error);

    if (status != QUARRY_OK) {
        return status;
    }
    struct tsdb_read_room room = {
        .capacity = size_min(size_max(count * ROOM_FACTOR, ROOM_BYTES_MIN), ROOM_BYTES_MAX)};
    reading->body = tsdb_memory_take(memory, count + 1);
    reading->room = tsdb_memory_take(memory, room.capacity);
    if (reading->body == NULL || reading->room == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "no memory for a request of %zu bytes", count);
    }
    room.bytes = reading->room;
    status = tsdb_snappy_read(packed, reading->body, count, error);
    return status == QUARRY_OK ? tsdb_read_request_read((struct tsdb_slice){reading->body, count},
                                                        &room, &reading->request, error)
                               : status;
}

/* ---- its queries ---------------------------------------------------------------------------- */

static enum quarry_status select_one(struct reading *reading, size_t index,
                                     struct quarry_error *error)
{
    static const enum quarry_tsdb_match matches[] = {
        [TSDB_READ_EQUAL] = QUARRY_TSDB_EQUAL,
        [TSDB_READ_NOT_EQUAL] = QUARRY_TSDB_NOT_EQUAL,
        [TSDB_READ_MATCH] = QUARRY_TSDB_REGEX,
        [TSDB_READ_NOT_MATCH] = QUARRY_TSDB_NOT_REGEX,
    };
    const struct tsdb_read_query *asked = &reading->request.queries[index];
    const struct tsdb_memory *memory = &reading->store->memory;
    struct quarry_tsdb_matcher *matchers =
        tsdb_memory_take(memory, (asked->matcher_count + 1) * sizeof *matchers);

    if (matchers == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "no memory for %zu matchers",
                         asked->matcher_count);
    }
    for (size_t i = 0; i < asked->matcher_count; i++) {
        matchers[i] = (struct quarry_tsdb_matcher){.match = matches[asked->matchers[i].relation],
                                                   .name = asked->matchers[i].name,
                                                   .value = asked->matchers[i].value};
    }
    const struct quarry_tsdb_query query = {.tenant = reading->tenant,
                                            .matchers = matchers,
                                            .matcher_count = asked->matcher_count,
                                            .min_ms = asked->start_ms,
                                            .max_ms = asked->end_ms};
    enum quarry_status status =
        quarry_tsdb_select(reading->store->tsdb, &query, &reading->sets[index], error);
    tsdb_memory_give(memory, matchers);
    return status;
}

static enum quarry_status select_all(struct reading *reading, struct quarry_error *error)
{
    const struct tsdb_memory *memory = &reading->store->memory;
    size_t count = reading->request.query_count;
    enum quarry_status status = QUARRY_OK;

    if (count > QUERIES_MAX) {
        return error_set(error, QUARRY_TOO_MANY, "%zu queries in a request, at most %u", count,
                         QUERIES_MAX);
    }
    reading->sets = tsdb_memory_take_zero(memory, (count + 1) * sizeof *reading->sets);
    reading->labels = tsdb_memory_take(memory, reading->store->limits.labels.label_count_max *
                                                   sizeof *reading->labels);
    if (reading->sets == NULL || reading->labels == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "no memory for a request");
    }
    for (size_t i = 0; status == QUARRY_OK && i < count; i++) {
        status = select_one(reading, i, error);
    }
    return status;
}

enum http_outcome prometheus_read(struct http_call *call, struct serve_tsdb *store, uint16_t tenant)
{
    struct reading *reading = tsdb_memory_take_zero(&store->memory, sizeof *reading);
    struct quarry_error error = {0};

    if (reading == NULL) {
        (void)error_set(&error, QUARRY_NO_MEMORY, "no memory for a request");
        return read_answer_error(call, &error);
    }
    reading->store = store;
    reading->tenant = tenant;
    reading->chunks.memory = reading->frame.memory = reading->scratch.memory = &store->memory;
    histogram_chunk_appender_init(&reading->histograms, &store->memory);
    call->state = reading;
    call->end_state = end_state;
    enum quarry_status status =
        read_request(reading, (struct tsdb_slice){call->body.bytes, call->body.count}, &error);
    if (status == QUARRY_TOO_LARGE) {
        http_say_status(call, status);
        return HTTP_DONE;
    }
    if (status == QUARRY_OK) {
        status = select_all(reading, &error);
    }
    if (status != QUARRY_OK) {
        error.status = status;
        return read_answer_error(call, &error);
    }
    if (reading->request.kind == TSDB_READ_SAMPLES) {
        return read_answer_samples(call, reading);
    }
    call->content_type = TSDB_READ_STREAM_TYPE;
    call->more = read_answer_stream;
    return HTTP_DONE;
}
