/* Remote read: requests of any shape, answers that protobuf-c reads, frames. */
#include "unit/tsdb/wire_rig.h"

#include <stdio.h>
#include <stdlib.h>

#include <base/base.h>
#include <tsdb/remote_read.h>

#include "unit/base/random.h"

#include "remote_read.pb-c.h"

static _Alignas(16) char memory[1u << 20];
static _Alignas(16) char scratch_memory[1u << 16];

static struct tsdb_read_room room_of(char *bytes, size_t capacity)
{
    return (struct tsdb_read_room){.bytes = bytes, .capacity = capacity};
}

/* ---- requests ------------------------------------------------------------------------------- */

static ProtobufCBinaryData random_data(uint64_t *random)
{
    const size_t count = random_u64(random) % 12;
    uint8_t *bytes = wire_rig_take(count);

    for (size_t i = 0; i < count; i++) {
        bytes[i] = (uint8_t)random_u64(random);
    }
    return (ProtobufCBinaryData){.len = count, .data = bytes};
}

static Quarry__Read__Query *random_query(uint64_t *random)
{
    Quarry__Read__Query *query = wire_rig_take(sizeof *query);

    quarry__read__query__init(query);
    query->start_ms = (int64_t)random_u64(random);
    query->end_ms = (int64_t)random_width_u64(random);
    query->n_matchers = random_u64(random) % 4;
    query->matchers = wire_rig_take(query->n_matchers * sizeof(void *));
    for (size_t i = 0; i < query->n_matchers; i++) {
        query->matchers[i] = wire_rig_take(sizeof **query->matchers);
        quarry__read__matcher__init(query->matchers[i]);
        query->matchers[i]->type = (Quarry__Read__Matcher__Type)(random_u64(random) % 4);
        query->matchers[i]->name = random_data(random);
        query->matchers[i]->value = random_data(random);
    }
    if (random_u64(random) % 2 == 0) {
        query->hints = wire_rig_take(sizeof *query->hints);
        quarry__read__hints__init(query->hints);
        query->hints->step_ms = (int64_t)random_width_u64(random);
        query->hints->function = random_data(random);
        query->hints->n_grouping = random_u64(random) % 3;
        query->hints->grouping =
            wire_rig_take(query->hints->n_grouping * sizeof(ProtobufCBinaryData));
        for (size_t i = 0; i < query->hints->n_grouping; i++) {
            query->hints->grouping[i] = random_data(random);
        }
        query->hints->by = (protobuf_c_boolean)(random_u64(random) % 2);
        query->hints->range_ms = (int64_t)random_width_u64(random);
    }
    return query;
}

static struct tsdb_slice random_request_body(uint64_t *random, Quarry__Read__ReadRequest *request)
{
    quarry__read__read_request__init(request);
    request->n_queries = random_u64(random) % 4;
    request->queries = wire_rig_take(request->n_queries * sizeof(void *));
    for (size_t i = 0; i < request->n_queries; i++) {
        request->queries[i] = random_query(random);
    }
    request->n_accepted = random_u64(random) % 3;
    request->accepted = wire_rig_take(request->n_accepted * sizeof *request->accepted);
    for (size_t i = 0; i < request->n_accepted; i++) {
        request->accepted[i] = (Quarry__Read__ResponseType)(random_u64(random) % 3);
    }
    uint8_t *bytes = wire_rig_take(quarry__read__read_request__get_packed_size(request));
    const size_t count = quarry__read__read_request__pack(request, bytes);
    return wire_rig_exact(bytes, count);
}

static void assert_same(struct tsdb_slice ours, ProtobufCBinaryData theirs)
{
    assert_true(tsdb_slice_equal(ours, slice_of_data(theirs)));
}

static void assert_query(const struct tsdb_read_query *ours, const Quarry__Read__Query *theirs)
{
    assert_true(ours->start_ms == theirs->start_ms && ours->end_ms == theirs->end_ms);
    assert_int_equal(ours->matcher_count, theirs->n_matchers);
    for (size_t i = 0; i < ours->matcher_count; i++) {
        assert_int_equal(ours->matchers[i].relation, theirs->matchers[i]->type);
        assert_same(ours->matchers[i].name, theirs->matchers[i]->name);
        assert_same(ours->matchers[i].value, theirs->matchers[i]->value);
    }
    if (theirs->hints == NULL) {
        assert_int_equal(ours->hints.function.count, 0);
        return;
    }
    assert_true(ours->hints.step_ms == theirs->hints->step_ms);
    assert_true(ours->hints.range_ms == theirs->hints->range_ms);
    assert_int_equal(ours->hints.is_by, theirs->hints->by);
    assert_same(ours->hints.function, theirs->hints->function);
    assert_int_equal(ours->hints.grouping_count, theirs->hints->n_grouping);
    for (size_t i = 0; i < ours->hints.grouping_count; i++) {
        assert_same(ours->hints.grouping[i], theirs->hints->grouping[i]);
    }
}

/* What the types asked for lead to: -1 for none that there is. */
static int wanted_kind(const Quarry__Read__ReadRequest *request)
{
    for (size_t i = 0; i < request->n_accepted; i++) {
        if (request->accepted[i] < 2) {
            return (int)request->accepted[i];
        }
    }
    return request->n_accepted == 0 ? TSDB_READ_SAMPLES : -1;
}

static void requests_are_read(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 10000; seed++) {
        uint64_t random = seed;
        Quarry__Read__ReadRequest theirs;
        struct tsdb_read_request ours;
        struct tsdb_read_room room = room_of(memory, sizeof memory);
        struct quarry_error error = {0};
        const struct tsdb_slice body = random_request_body(&random, &theirs);
        const int kind = wanted_kind(&theirs);
        const enum quarry_status status = tsdb_read_request_read(body, &room, &ours, &error);
        assert_int_equal(status, kind < 0 ? QUARRY_BAD_INPUT : QUARRY_OK);
        if (kind >= 0) {
            assert_int_equal(ours.kind, kind);
            assert_int_equal(ours.query_count, theirs.n_queries);
            for (size_t i = 0; i < ours.query_count; i++) {
                assert_query(&ours.queries[i], theirs.queries[i]);
            }
        }
        wire_rig_empty();
    }
}

static void a_request_is_read_in_its_room_or_refused(void **state)
{
    uint64_t random = 4;
    Quarry__Read__ReadRequest theirs;
    struct tsdb_read_request ours;
    struct tsdb_slice body;
    bool was_read = false;

    (void)state;
    do {
        body = random_request_body(&random, &theirs);
    } while (wanted_kind(&theirs) < 0 || theirs.n_queries < 3);
    for (size_t capacity = 0; capacity < 8192; capacity++) {
        struct tsdb_read_room room = room_of(memory, capacity);
        const enum quarry_status status = tsdb_read_request_read(body, &room, &ours, NULL);
        assert_int_equal(status, was_read || status == QUARRY_OK ? QUARRY_OK : QUARRY_TOO_LARGE);
        was_read = status == QUARRY_OK;
        assert_true(room.used <= capacity);
    }
    assert_true(was_read);
}

static void a_damaged_request_is_refused_or_read(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20000; seed++) {
        uint64_t random = seed;
        Quarry__Read__ReadRequest theirs;
        struct tsdb_read_request ours;
        struct tsdb_read_room room = room_of(memory, 1u << 14);
        const struct tsdb_slice body = random_request_body(&random, &theirs);
        char *bytes = wire_rig_take(body.count);
        memcpy(bytes, body.bytes, body.count);
        if (body.count > 0) {
            bytes[random_u64(&random) % body.count] = (char)random_u64(&random);
        }
        const struct tsdb_slice damaged = wire_rig_exact(bytes, body.count);
        const enum quarry_status status = tsdb_read_request_read(damaged, &room, &ours, NULL);
        Quarry__Read__ReadRequest *oracle =
            quarry__read__read_request__unpack(NULL, damaged.count, (const uint8_t *)damaged.bytes);
        assert_true(oracle != NULL || status == QUARRY_BAD_INPUT || status == QUARRY_TOO_LARGE);
        quarry__read__read_request__free_unpacked(oracle, NULL);
        wire_rig_empty();
    }
}

/* ---- answers in samples --------------------------------------------------------------------- */

#define LABEL(name, value)                                                                         \
    {                                                                                              \
        {name, sizeof(name) - 1},                                                                  \
        {                                                                                          \
            value, sizeof(value) - 1                                                               \
        }                                                                                          \
    }

static struct tsdb_label labels[] = {LABEL("__name__", "up"), LABEL("job", "node")};
static const struct tsdb_labels two_labels = {labels, 2};
static const struct tsdb_slice no_histograms = {"", 0};

/* The field of a number; the message must have it. */
static struct tsdb_slice find_field(struct tsdb_slice message, uint32_t number, size_t which)
{
    struct protobuf_cursor cursor = protobuf_cursor_of(message);
    struct protobuf_field field;

    do {
        assert_int_equal(protobuf_find(&cursor, number, &field), PROTOBUF_FIELD);
    } while (which-- > 0);
    return field.bytes;
}

static void answers_are_read_by_protobuf_c(void **state)
{
    struct tsdb_sample samples[300];
    struct tsdb_read_answer answer = {.room = room_of(memory, sizeof memory)};
    uint64_t random = 3;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(samples); i++) {
        samples[i] = (struct tsdb_sample){.t_ms = (int64_t)random_width_u64(&random),
                                          .bits = random_width_u64(&random)};
    }
    assert_int_equal(tsdb_read_begin_result(&answer), QUARRY_OK);
    assert_int_equal(tsdb_read_put_series(&answer, two_labels, samples, 300, no_histograms),
                     QUARRY_OK);
    assert_int_equal(tsdb_read_put_series(&answer, two_labels, samples, 0, no_histograms),
                     QUARRY_OK);
    assert_int_equal(tsdb_read_end_result(&answer), QUARRY_OK);
    assert_int_equal(tsdb_read_begin_result(&answer), QUARRY_OK);
    assert_int_equal(tsdb_read_end_result(&answer), QUARRY_OK);
    /* A result has just the shape of a write request: field 1, series. */
    const struct tsdb_slice body = {answer.room.bytes, answer.room.used};
    const struct tsdb_slice first = find_field(body, 1, 0), second = find_field(body, 1, 1);
    assert_int_equal(second.count, 0);
    Quarry__Write__WriteRequest *theirs =
        quarry__write__write_request__unpack(NULL, first.count, (const uint8_t *)first.bytes);
    assert_non_null(theirs);
    assert_int_equal(theirs->n_series, 2);
    assert_int_equal(theirs->series[0]->n_samples, 300);
    assert_int_equal(theirs->series[1]->n_samples, 0);
    for (size_t i = 0; i < 300; i++) {
        assert_true(theirs->series[0]->samples[i]->t_ms == samples[i].t_ms);
        assert_true(bits_of_double(theirs->series[0]->samples[i]->value) == samples[i].bits);
    }
    assert_slice(slice_of_data(theirs->series[1]->labels[1]->name), "job");
    assert_slice(slice_of_data(theirs->series[1]->labels[1]->value), "node");
    quarry__write__write_request__free_unpacked(theirs, NULL);
}

static void an_answer_goes_on_in_a_larger_room(void **state)
{
    const struct tsdb_sample sample = {.t_ms = 1700000000000, .bits = 1};
    char *expected = wire_rig_take(256);
    struct tsdb_read_answer whole = {.room = room_of(memory, sizeof memory)};

    (void)state;
    assert_int_equal(tsdb_read_begin_result(&whole), QUARRY_OK);
    assert_int_equal(tsdb_read_put_series(&whole, two_labels, &sample, 1, no_histograms),
                     QUARRY_OK);
    assert_int_equal(tsdb_read_end_result(&whole), QUARRY_OK);
    const size_t count = whole.room.used;
    memcpy(expected, memory, count);
    for (size_t capacity = 0; capacity <= count; capacity++) {
        struct tsdb_read_answer answer = {.room = room_of(wire_rig_take(capacity), capacity)};
        char *larger = wire_rig_take(count);
        if (tsdb_read_begin_result(&answer) != QUARRY_OK) {
            assert_in_range(capacity, 0, 5);
            assert_int_equal(answer.room.used, 0);
            continue;
        }
        const enum quarry_status status =
            tsdb_read_put_series(&answer, two_labels, &sample, 1, no_histograms);
        assert_int_equal(status, capacity < count ? QUARRY_TOO_LARGE : QUARRY_OK);
        if (status != QUARRY_OK) {
            memcpy(larger, answer.room.bytes, answer.room.used);
            answer.room.bytes = larger;
            answer.room.capacity = count;
            assert_int_equal(tsdb_read_put_series(&answer, two_labels, &sample, 1, no_histograms),
                             QUARRY_OK);
        }
        assert_int_equal(tsdb_read_end_result(&answer), QUARRY_OK);
        assert_int_equal(answer.room.used, count);
        assert_memory_equal(answer.room.bytes, expected, count);
    }
}

/* ---- frames --------------------------------------------------------------------------------- */

static Quarry__Read__ChunkedReadResponse *read_frame(struct tsdb_slice *stream)
{
    const uint8_t *at = (const uint8_t *)stream->bytes, *end = at + stream->count;
    uint64_t count;
    const size_t length_bytes = varint_get_u64(at, end, &count);

    assert_true(length_bytes > 0 && count + length_bytes + 4 <= stream->count);
    at += length_bytes;
    assert_int_equal(endian_load_be_u32(at), crc32c_value(at + 4, count));
    *stream =
        (struct tsdb_slice){(const char *)at + 4 + count, stream->count - length_bytes - 4 - count};
    return quarry__read__chunked_read_response__unpack(NULL, count, at + 4);
}

static void a_series_goes_out_in_frames_that_are_not_too_large(void **state)
{
    struct tsdb_read_chunk chunks[50];
    char data[50][100];
    struct tsdb_read_series series = {
        .labels = two_labels, .chunks = chunks, .chunk_count = 50, .query_index = 3};
    struct tsdb_read_room room = room_of(memory, sizeof memory);
    struct tsdb_read_room scratch = room_of(scratch_memory, sizeof scratch_memory);
    size_t frame_count = 0, seen = 0;

    (void)state;
    for (size_t i = 0; i < 50; i++) {
        memset(data[i], (int)i, sizeof data[i]);
        chunks[i] = (struct tsdb_read_chunk){.min_ms = (int64_t)i * 10,
                                             .max_ms = (int64_t)i * 10 + 9,
                                             .encoding = TSDB_READ_XOR,
                                             .data = {data[i], sizeof data[i]}};
    }
    while (series.sent_count < 50) {
        assert_int_equal(tsdb_read_put_frame(&series, 1000, &scratch, &room), QUARRY_OK);
        assert_int_equal(scratch.used, 0);
        frame_count++;
    }
    assert_int_equal(frame_count, 6);
    struct tsdb_slice stream = {room.bytes, room.used};
    while (stream.count > 0) {
        Quarry__Read__ChunkedReadResponse *theirs = read_frame(&stream);
        assert_non_null(theirs);
        assert_true(theirs->query_index == 3);
        assert_int_equal(theirs->n_series, 1);
        assert_int_equal(theirs->series[0]->n_labels, 2);
        assert_slice(slice_of_data(theirs->series[0]->labels[1]->value), "node");
        for (size_t i = 0; i < theirs->series[0]->n_chunks; i++, seen++) {
            const Quarry__Read__Chunk *chunk = theirs->series[0]->chunks[i];
            assert_true(chunk->min_ms == chunks[seen].min_ms &&
                        chunk->max_ms == chunks[seen].max_ms);
            assert_int_equal(chunk->encoding, QUARRY__READ__CHUNK__ENCODING__XOR);
            assert_true(tsdb_slice_equal(slice_of_data(chunk->data), chunks[seen].data));
        }
        quarry__read__chunked_read_response__free_unpacked(theirs, NULL);
    }
    assert_int_equal(seen, 50);
}

static void a_frame_without_room_changes_nothing(void **state)
{
    const struct tsdb_read_chunk chunk = {
        .min_ms = 1, .max_ms = 2, .encoding = TSDB_READ_XOR, .data = {"abc", 3}};
    bool was_written = false;

    (void)state;
    for (size_t capacity = 0; capacity < 1000; capacity++) {
        struct tsdb_read_series series = {.labels = two_labels, .chunks = &chunk, .chunk_count = 1};
        struct tsdb_read_room room = room_of(memory, 200);
        struct tsdb_read_room scratch = room_of(scratch_memory, capacity);
        const enum quarry_status status = tsdb_read_put_frame(&series, 100, &scratch, &room);
        assert_int_equal(status, was_written || status == QUARRY_OK ? QUARRY_OK : QUARRY_TOO_LARGE);
        was_written = status == QUARRY_OK;
        assert_int_equal(series.sent_count, was_written);
        assert_true((room.used > 0) == was_written);
        assert_int_equal(scratch.used, 0);
        room = room_of(memory, room.used == 0 ? 0 : room.used - 1);
        scratch.capacity = sizeof scratch_memory;
        series.sent_count = 0;
        assert_int_equal(tsdb_read_put_frame(&series, 100, &scratch, &room), QUARRY_TOO_LARGE);
    }
    assert_true(was_written);
}

#define TEST(name) cmocka_unit_test_teardown(name, wire_rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(requests_are_read),
        TEST(a_request_is_read_in_its_room_or_refused),
        TEST(a_damaged_request_is_refused_or_read),
        TEST(answers_are_read_by_protobuf_c),
        TEST(an_answer_goes_on_in_a_larger_room),
        TEST(a_series_goes_out_in_frames_that_are_not_too_large),
        TEST(a_frame_without_room_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
