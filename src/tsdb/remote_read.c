/*
 * Remote read by protobuf-c, in memory that is counted beforehand.
 *
 *     room   | messages and their texts, as protobuf-c makes them | queries | matchers | …
 *
 * protobuf-c allocates by functions that it is given; here they take from the caller's room, front
 * to back, and give nothing back. So a request of a stranger takes what the caller has set aside
 * for it, whatever its two-byte messages would become, and is freed by forgetting the room.
 *
 * Answers of samples are written by hand: protobuf-c wants a message and a pointer for each sample,
 * 48 bytes beside its 16, all of them at once, for what is two tags and two numbers.
 *
 *     | 0a length, 5 bytes, | 0a length | labels | 12 length | 09 value | 10 time | … |
 *       a result              a series             a sample
 *
 * A result's length is known when it ends: five bytes are left for it, as a varint with groups of
 * zeros, which every reader of protobuf takes.
 *
 * What holds:
 *  1. used <= capacity in every room; sizes are computed before anything is written.
 *  2. A call that fails for room has changed nothing that the caller can see.
 */
#include <tsdb/remote_read.h>

#include <tsdb/label_set.h>
#include <tsdb/wire_histogram.h>

#include <base/base.h>

#include "remote_read.pb-c.h"

/* What protobuf-c's structures are aligned to. */
#define ALIGN_BYTES 16u
/* A length that is filled in afterwards: 35 bits. */
#define LENGTH_BYTES 5u
#define LENGTH_MAX   ((UINT64_C(1) << (7 * LENGTH_BYTES)) - 1)

#define TAG_RESULT    0x0a
#define TAG_SERIES    0x0a
#define TAG_SAMPLE    0x12
#define TAG_HISTOGRAM 0x22
#define TAG_VALUE     0x09
#define TAG_TIME      0x10

/* ---- rooms ---------------------------------------------------------------------------------- */

static void *take(struct tsdb_read_room *room, size_t byte_count)
{
    const size_t begin = size_align_up(room->used, ALIGN_BYTES);

    if (begin > room->capacity || byte_count > room->capacity - begin) {
        return NULL;
    }
    room->used = begin + byte_count;
    return room->bytes + begin;
}

/* As take, of an array; NULL also where its size does not fit. */
static void *take_array(struct tsdb_read_room *room, size_t count, size_t member_bytes)
{
    size_t byte_count;

    return checked_mul_size(count, member_bytes, &byte_count) ? take(room, byte_count) : NULL;
}

/* A request's room, and whether it has refused something. */
struct allocator {
    struct tsdb_read_room *room;
    bool is_full;
};

static void *allocator_take(void *argument, size_t byte_count)
{
    struct allocator *allocator = argument;
    void *taken = take(allocator->room, byte_count);

    allocator->is_full |= taken == NULL;
    return taken;
}

/* The room is forgotten as a whole. */
static void allocator_give(void *argument, void *object)
{
    (void)argument;
    (void)object;
}

/* ---- requests ------------------------------------------------------------------------------- */

static struct tsdb_slice slice_of(ProtobufCBinaryData data)
{
    return data.len == 0 ? (struct tsdb_slice){"", 0}
                         : (struct tsdb_slice){(const char *)data.data, data.len};
}

static enum quarry_status no_room(const struct tsdb_read_room *room, struct quarry_error *error)
{
    return error_set(error, QUARRY_TOO_LARGE, "read request: more than %zu bytes of memory",
                     room->capacity);
}

static enum quarry_status take_matchers(const Quarry__Read__Query *from,
                                        struct tsdb_read_room *room, struct tsdb_read_query *query,
                                        struct quarry_error *error)
{
    struct tsdb_read_matcher *matchers = take_array(room, from->n_matchers, sizeof *matchers);

    if (matchers == NULL) {
        return no_room(room, error);
    }
    for (size_t i = 0; i < from->n_matchers; i++) {
        const Quarry__Read__Matcher *matcher = from->matchers[i];
        if ((uint32_t)matcher->type > TSDB_READ_NOT_MATCH) {
            return error_set(error, QUARRY_BAD_INPUT, "read request: a matcher of type %d",
                             (int)matcher->type);
        }
        matchers[i] = (struct tsdb_read_matcher){.relation = (enum tsdb_read_relation)matcher->type,
                                                 .name = slice_of(matcher->name),
                                                 .value = slice_of(matcher->value)};
    }
    query->matchers = matchers;
    query->matcher_count = from->n_matchers;
    return QUARRY_OK;
}

static enum quarry_status take_hints(const Quarry__Read__Hints *from, struct tsdb_read_room *room,
                                     struct tsdb_read_hints *hints, struct quarry_error *error)
{
    struct tsdb_slice *grouping = take_array(room, from->n_grouping, sizeof *grouping);

    if (grouping == NULL) {
        return no_room(room, error);
    }
    for (size_t i = 0; i < from->n_grouping; i++) {
        grouping[i] = slice_of(from->grouping[i]);
    }
    *hints = (struct tsdb_read_hints){.step_ms = from->step_ms,
                                      .start_ms = from->start_ms,
                                      .end_ms = from->end_ms,
                                      .range_ms = from->range_ms,
                                      .function = slice_of(from->function),
                                      .grouping = grouping,
                                      .grouping_count = from->n_grouping,
                                      .is_by = from->by != 0};
    return QUARRY_OK;
}

static enum quarry_status take_query(const Quarry__Read__Query *from, struct tsdb_read_room *room,
                                     struct tsdb_read_query *query, struct quarry_error *error)
{
    *query = (struct tsdb_read_query){
        .start_ms = from->start_ms, .end_ms = from->end_ms, .hints = {.function = {"", 0}}};
    const enum quarry_status status = take_matchers(from, room, query, error);
    if (status != QUARRY_OK || from->hints == NULL) {
        return status;
    }
    return take_hints(from->hints, room, &query->hints, error);
}

static enum quarry_status choose_kind(const Quarry__Read__ReadRequest *from,
                                      enum tsdb_read_answer_kind *ret_kind,
                                      struct quarry_error *error)
{
    *ret_kind = TSDB_READ_SAMPLES;
    for (size_t i = 0; i < from->n_accepted; i++) {
        if (from->accepted[i] == QUARRY__READ__RESPONSE_TYPE__SAMPLES ||
            from->accepted[i] == QUARRY__READ__RESPONSE_TYPE__STREAMED_XOR_CHUNKS) {
            *ret_kind = (enum tsdb_read_answer_kind)from->accepted[i];
            return QUARRY_OK;
        }
    }
    if (from->n_accepted > 0) {
        return error_set(error, QUARRY_BAD_INPUT,
                         "read request: none of %zu types of answer is samples or a stream",
                         from->n_accepted);
    }
    return QUARRY_OK;
}

enum quarry_status tsdb_read_request_read(struct tsdb_slice body, struct tsdb_read_room *room,
                                          struct tsdb_read_request *ret_request,
                                          struct quarry_error *error)
{
    struct allocator allocator = {.room = room};
    ProtobufCAllocator functions = {
        .alloc = allocator_take, .free = allocator_give, .allocator_data = &allocator};
    struct tsdb_read_request request = {0};

    const Quarry__Read__ReadRequest *from =
        quarry__read__read_request__unpack(&functions, body.count, (const uint8_t *)body.bytes);
    if (allocator.is_full) {
        return no_room(room, error);
    }
    if (from == NULL) {
        return error_set(error, QUARRY_BAD_INPUT, "read request: %zu bytes are none", body.count);
    }
    struct tsdb_read_query *queries = take_array(room, from->n_queries, sizeof *queries);
    if (queries == NULL) {
        return no_room(room, error);
    }
    enum quarry_status status = choose_kind(from, &request.kind, error);
    for (size_t i = 0; i < from->n_queries && status == QUARRY_OK; i++) {
        status = take_query(from->queries[i], room, &queries[i], error);
    }
    request.queries = queries;
    request.query_count = from->n_queries;
    if (status == QUARRY_OK) {
        *ret_request = request;
    }
    return status;
}

/* ---- answers in samples --------------------------------------------------------------------- */

static size_t sample_bytes(const struct tsdb_sample *sample)
{
    return 1 + sizeof sample->bits + 1 + varint_length_u64((uint64_t)sample->t_ms);
}

static uint8_t *put_sample(uint8_t *at, const struct tsdb_sample *sample)
{
    *at++ = TAG_SAMPLE;
    *at++ = (uint8_t)sample_bytes(sample);
    *at++ = TAG_VALUE;
    endian_store_le_u64(at, sample->bits);
    at += sizeof sample->bits;
    *at++ = TAG_TIME;
    return at + varint_put_u64(at, (uint64_t)sample->t_ms);
}

enum quarry_status tsdb_read_begin_result(struct tsdb_read_answer *answer)
{
    struct tsdb_read_room *room = &answer->room;

    Q_ASSERT(!answer->is_in_result);
    if (room->capacity - room->used < 1 + LENGTH_BYTES) {
        return QUARRY_TOO_LARGE;
    }
    room->bytes[room->used] = TAG_RESULT;
    room->used += 1 + LENGTH_BYTES;
    answer->result_at = room->used;
    answer->is_in_result = true;
    return QUARRY_OK;
}

enum quarry_status tsdb_read_put_histogram(struct tsdb_buffer *to,
                                           const struct tsdb_histogram *histogram)
{
    const size_t byte_count = tsdb_wire_histogram_bytes(histogram);
    const enum quarry_status status =
        tsdb_buffer_reserve(to, 1 + varint_length_u64(byte_count) + byte_count);

    if (status != QUARRY_OK) {
        return status;
    }
    uint8_t *at = to->bytes + to->byte_count;
    *at++ = TAG_HISTOGRAM;
    at += varint_put_u64(at, byte_count);
    tsdb_wire_histogram_write(histogram, at);
    to->byte_count = (size_t)(at + byte_count - to->bytes);
    return QUARRY_OK;
}

/* The bytes of labels as tsdb_labels_encode writes them. */
static size_t labels_bytes(struct tsdb_labels labels)
{
    size_t total = 0;

    for (size_t i = 0; i < labels.count; i++) {
        const size_t name = labels.labels[i].name.count, value = labels.labels[i].value.count;
        const size_t inner = 2 + varint_length_u64(name) + name + varint_length_u64(value) + value;
        total += 1 + varint_length_u64(inner) + inner;
    }
    return total;
}

enum quarry_status tsdb_read_put_series(struct tsdb_read_answer *answer, struct tsdb_labels labels,
                                        const struct tsdb_sample *samples, size_t sample_count,
                                        struct tsdb_slice histograms)
{
    struct tsdb_read_room *room = &answer->room;
    const size_t left = room->capacity - room->used;
    const size_t label_bytes = labels_bytes(labels);
    size_t inner = label_bytes + histograms.count;

    Q_ASSERT(answer->is_in_result);
    for (size_t i = 0; i < sample_count; i++) {
        inner += 2 + sample_bytes(&samples[i]);
    }
    const size_t total = 1 + varint_length_u64(inner) + inner;
    if (total > left) {
        return QUARRY_TOO_LARGE;
    }
    uint8_t *begin = (uint8_t *)room->bytes + room->used, *at = begin;
    *at++ = TAG_SERIES;
    at += varint_put_u64(at, inner);
    const size_t written = tsdb_labels_encode(labels, (char *)at, label_bytes);
    Q_ASSERT(written == label_bytes);
    at += written;
    for (size_t i = 0; i < sample_count; i++) {
        at = put_sample(at, &samples[i]);
    }
    if (histograms.count != 0) {
        memcpy(at, histograms.bytes, histograms.count);
        at += histograms.count;
    }
    Q_ASSERT((size_t)(at - begin) == total);
    room->used += total;
    return QUARRY_OK;
}

enum quarry_status tsdb_read_end_result(struct tsdb_read_answer *answer)
{
    const uint64_t length = answer->room.used - answer->result_at;
    uint8_t *at = (uint8_t *)answer->room.bytes + answer->result_at - LENGTH_BYTES;

    Q_ASSERT(answer->is_in_result && answer->result_at > LENGTH_BYTES);
    if (length > LENGTH_MAX) {
        return QUARRY_TOO_LARGE;
    }
    for (uint32_t i = 0; i < LENGTH_BYTES; i++) {
        const uint8_t more = i + 1 < LENGTH_BYTES ? 0x80 : 0;
        at[i] = (uint8_t)((length >> (7 * i) & 0x7f) | more);
    }
    answer->is_in_result = false;
    return QUARRY_OK;
}

/* ---- answers in chunks ---------------------------------------------------------------------- */

static ProtobufCBinaryData data_of(struct tsdb_slice slice)
{
    union {
        const char *from;
        uint8_t *to;
    } bytes = {.from = slice.bytes}; /* protobuf-c reads it only */
    return (ProtobufCBinaryData){.len = slice.count, .data = bytes.to};
}

/* The messages of labels. Returns: NULL: no room. */
static Quarry__Read__Label **make_labels(struct tsdb_labels labels, struct tsdb_read_room *scratch)
{
    Quarry__Read__Label **pointers = take_array(scratch, labels.count, sizeof *pointers);
    Quarry__Read__Label *messages = take_array(scratch, labels.count, sizeof *messages);

    if (pointers == NULL || messages == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < labels.count; i++) {
        quarry__read__label__init(&messages[i]);
        messages[i].name = data_of(labels.labels[i].name);
        messages[i].value = data_of(labels.labels[i].value);
        pointers[i] = &messages[i];
    }
    return pointers;
}

/* The message of a chunk. Returns: NULL: no room. */
static Quarry__Read__Chunk *make_chunk(const struct tsdb_read_chunk *chunk,
                                       struct tsdb_read_room *scratch)
{
    Quarry__Read__Chunk *message = take(scratch, sizeof *message);

    if (message != NULL) {
        quarry__read__chunk__init(message);
        message->min_ms = chunk->min_ms;
        message->max_ms = chunk->max_ms;
        message->encoding = (Quarry__Read__Chunk__Encoding)chunk->encoding;
        message->data = data_of(chunk->data);
    }
    return message;
}

/* Fills a series' message with chunks that were not sent. Returns: false: no room. */
static bool fill(const struct tsdb_read_series *series, size_t frame_bytes_min,
                 struct tsdb_read_room *scratch, Quarry__Read__ChunkedSeries *message)
{
    const size_t left = series->chunk_count - series->sent_count;

    message->n_labels = series->labels.count;
    message->labels = make_labels(series->labels, scratch);
    message->chunks = take_array(scratch, left, sizeof(Quarry__Read__Chunk *));
    if (message->labels == NULL || message->chunks == NULL) {
        return false;
    }
    size_t byte_count = quarry__read__chunked_series__get_packed_size(message);
    while (message->n_chunks < left && (message->n_chunks == 0 || byte_count < frame_bytes_min)) {
        Quarry__Read__Chunk *chunk =
            make_chunk(&series->chunks[series->sent_count + message->n_chunks], scratch);
        if (chunk == NULL) {
            return false;
        }
        message->chunks[message->n_chunks++] = chunk;
        byte_count += quarry__read__chunk__get_packed_size(chunk);
    }
    return true;
}

/* Writes the frame of a message. Returns: false: no room. */
static bool put_frame(const Quarry__Read__ChunkedReadResponse *message, struct tsdb_read_room *room)
{
    const size_t byte_count = quarry__read__chunked_read_response__get_packed_size(message);
    const size_t head_bytes = varint_length_u64(byte_count) + sizeof(uint32_t);

    if (head_bytes > room->capacity - room->used ||
        byte_count > room->capacity - room->used - head_bytes) {
        return false;
    }
    uint8_t *at = (uint8_t *)room->bytes + room->used;
    uint8_t *payload = at + head_bytes;
    const size_t written = quarry__read__chunked_read_response__pack(message, payload);
    Q_ASSERT(written == byte_count);
    at += varint_put_u64(at, byte_count);
    endian_store_be_u32(at, crc32c_value(payload, byte_count));
    room->used += head_bytes + byte_count;
    return true;
}

enum quarry_status tsdb_read_put_frame(struct tsdb_read_series *series, size_t frame_bytes_min,
                                       struct tsdb_read_room *scratch, struct tsdb_read_room *room)
{
    Quarry__Read__ChunkedSeries message = QUARRY__READ__CHUNKED_SERIES__INIT;
    Quarry__Read__ChunkedSeries *messages[] = {&message};
    Quarry__Read__ChunkedReadResponse response = QUARRY__READ__CHUNKED_READ_RESPONSE__INIT;
    const size_t scratch_used = scratch->used;

    Q_ASSERT(series->sent_count <= series->chunk_count);
    response.n_series = 1;
    response.series = messages;
    response.query_index = series->query_index;
    const bool is_written =
        fill(series, frame_bytes_min, scratch, &message) && put_frame(&response, room);
    scratch->used = scratch_used;
    if (!is_written) {
        return QUARRY_TOO_LARGE;
    }
    series->sent_count += message.n_chunks;
    return QUARRY_OK;
}
