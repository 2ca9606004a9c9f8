/*
 * Remote read in samples: everything in memory, then a snappy block.
 *
 * A series is gathered from its cursor's blocks, then written; the message grows by half when it
 * has to. Series of which nothing lies in the span are left out.
 *
 * Locking: none. Cost: some 30 bytes a sample while it is made.
 */
#include <serve/prometheus/read.h>

#define ANSWER_BYTES_FIRST Q_KIB(16)

struct answer {
    struct reading *reading;
    struct tsdb_read_answer message;
    struct tsdb_buffer room;       /* own: of the message */
    struct tsdb_buffer samples;    /* own: of one series */
    struct tsdb_buffer histograms; /* likewise, as the message has them */
    uint64_t sample_count;
    struct quarry_error error;
};

/* ---- the message ---------------------------------------------------------------------------- */

/* Makes the message's room larger, and keeps what is in it. */
static enum quarry_status grow(struct answer *answer)
{
    answer->room.byte_count = answer->message.room.used;
    enum quarry_status status =
        tsdb_buffer_reserve(&answer->room, size_max(answer->room.capacity, ANSWER_BYTES_FIRST));

    if (status != QUARRY_OK) {
        return error_set(&answer->error, status, "no memory for an answer of %llu samples",
                         (unsigned long long)answer->sample_count);
    }
    answer->message.room.bytes = (char *)answer->room.bytes;
    answer->message.room.capacity = answer->room.capacity;
    return QUARRY_OK;
}

/* A put that found no room changes nothing, and is tried again with more. */
#define PUT(answer, put)                                                                           \
    __extension__({                                                                                \
        enum quarry_status put_status;                                                             \
        while ((put_status = (put)) == QUARRY_TOO_LARGE) {                                         \
            put_status = grow(answer);                                                             \
            if (put_status != QUARRY_OK) {                                                         \
                break;                                                                             \
            }                                                                                      \
        }                                                                                          \
        put_status;                                                                                \
    })

/* ---- series --------------------------------------------------------------------------------- */

static enum quarry_status gather_floats(struct answer *answer,
                                        const struct quarry_tsdb_block *block)
{
    const size_t byte_count = block->count * sizeof(struct tsdb_sample);
    const enum quarry_status status = tsdb_buffer_reserve(&answer->samples, byte_count);

    if (status != QUARRY_OK) {
        return status;
    }
    struct tsdb_sample *at =
        (struct tsdb_sample *)(void *)(answer->samples.bytes + answer->samples.byte_count);
    for (uint32_t i = 0; i < block->count; i++) {
        at[i] = (struct tsdb_sample){.t_ms = block->t_ms[i], .bits = block->bits[i]};
    }
    answer->samples.byte_count += byte_count;
    return QUARRY_OK;
}

static enum quarry_status gather_block(struct answer *answer, const struct quarry_tsdb_block *block)
{
    enum quarry_status status = QUARRY_OK;

    if (block->histograms == NULL) {
        return gather_floats(answer, block);
    }
    for (uint32_t i = 0; i < block->count && status == QUARRY_OK; i++) {
        status = tsdb_read_put_histogram(&answer->histograms, &block->histograms[i]);
    }
    return status;
}

static enum quarry_status gather(struct answer *answer, struct quarry_tsdb_cursor *cursor,
                                 size_t series)
{
    struct quarry_tsdb_block block;
    enum quarry_status status;

    answer->samples.byte_count = answer->histograms.byte_count = 0;
    quarry_tsdb_cursor_series(cursor, series);
    while ((status = quarry_tsdb_cursor_next(cursor, &block)) == QUARRY_OK) {
        status = gather_block(answer, &block);
        if (status != QUARRY_OK) {
            break;
        }
        answer->sample_count += block.count;
        if (answer->sample_count > answer->reading->store->limits.read_samples_max) {
            return error_set(&answer->error, QUARRY_TOO_LARGE, "exceeded sample limit (%llu)",
                             (unsigned long long)answer->reading->store->limits.read_samples_max);
        }
    }
    return status == QUARRY_NOT_FOUND
               ? QUARRY_OK
               : error_set(&answer->error, status, "%s", quarry_status_text(status));
}

static enum quarry_status put_series(struct answer *answer, struct quarry_tsdb_cursor *cursor,
                                     size_t query, size_t series)
{
    enum quarry_status status = gather(answer, cursor, series);
    size_t count = answer->samples.byte_count / sizeof(struct tsdb_sample);

    if (status != QUARRY_OK || count + answer->histograms.byte_count == 0) {
        return status;
    }
    const struct tsdb_slice histograms = {(const char *)answer->histograms.bytes,
                                          answer->histograms.byte_count};
    struct tsdb_labels labels = read_labels(answer->reading, query, series);
    const struct tsdb_sample *samples = (const struct tsdb_sample *)(void *)answer->samples.bytes;
    return PUT(answer, tsdb_read_put_series(&answer->message, labels, samples, count, histograms));
}

static bool is_cancelled(const struct http_call *call)
{
    return atomic_load_relaxed_bool(call->is_cancelled); /* a hint */
}

static enum quarry_status put_result(struct answer *answer, const struct http_call *call,
                                     size_t query)
{
    struct quarry_tsdb_set *set = answer->reading->sets[query];
    struct quarry_tsdb_cursor *cursor = NULL;
    size_t count = quarry_tsdb_set_count(set);
    enum quarry_status status = PUT(answer, tsdb_read_begin_result(&answer->message));

    if (status == QUARRY_OK) {
        status = quarry_tsdb_cursor_create(set, &cursor);
        if (status != QUARRY_OK) {
            (void)error_set(&answer->error, status, "no memory to read series");
        }
    }
    for (size_t i = 0; status == QUARRY_OK && i < count; i++) {
        status = is_cancelled(call)
                     ? error_set(&answer->error, QUARRY_CANCELLED, "who asked has gone")
                     : put_series(answer, cursor, query, i);
    }
    quarry_tsdb_cursor_destroy(cursor);
    return status == QUARRY_OK ? PUT(answer, tsdb_read_end_result(&answer->message)) : status;
}

/* ---- the answer ----------------------------------------------------------------------------- */

static void say(struct http_call *call, const struct answer *answer)
{
    struct tsdb_slice plain = {answer->message.room.bytes, answer->message.room.used};
    char *room = http_text_room(&call->body_out, tsdb_snappy_bytes_max(plain.count));

    if (room == NULL) {
        return; /* the door answers for that */
    }
    call->body_out.count += tsdb_snappy_write(plain, room);
    call->content_type = TSDB_READ_SAMPLES_TYPE;
    call->never_compress = true;
    http_say_field(call, "Content-Encoding", "snappy");
}

enum http_outcome read_answer_samples(struct http_call *call, struct reading *reading)
{
    struct answer answer = {
        .reading = reading,
        .room = {.memory = &reading->store->memory},
        .samples = {.memory = &reading->store->memory},
        .histograms = {.memory = &reading->store->memory},
    };
    enum quarry_status status = grow(&answer);

    for (size_t i = 0; status == QUARRY_OK && i < reading->request.query_count; i++) {
        status = put_result(&answer, call, i);
    }
    if (status == QUARRY_OK) {
        say(call, &answer);
    } else {
        answer.error.status = status;
        (void)read_answer_error(call, &answer.error);
    }
    tsdb_buffer_fini(&answer.room);
    tsdb_buffer_fini(&answer.samples);
    tsdb_buffer_fini(&answer.histograms);
    return HTTP_DONE;
}
