/*
 * Remote read as a stream of chunks, of floats and of histograms, which a reader decodes one frame
 * at a time.
 *
 *     | length | crc32c | labels, chunks of 120 samples |   frame of one series, to a quarter MiB
 *
 * A piece of the answer is a frame, or as many small ones as come to 64 KiB. A series with more
 * than a frame's worth goes on in the next one, with its labels again; its cursor stays where it
 * is. So an answer of any length takes less than a MiB here.
 *
 * When it fails in the midst, the connection is ended: a reader never takes a part for the whole,
 * for chunked coding has an end.
 *
 * Locking: none.
 */
#include <serve/prometheus/read.h>

/* Samples of a chunk, as Prometheus makes them; bytes of a frame's chunks, at most, and of a piece
 * at least. Larger frames mean fewer labels again, and more memory on both sides. */
#define CHUNK_SAMPLES   120u
#define CHUNK_BYTES_MAX XOR_CHUNK_BYTES_MAX(CHUNK_SAMPLES)
#define FRAME_BYTES     Q_KIB(256)
#define FRAME_CHUNKS    (FRAME_BYTES / 32)
#define PIECE_BYTES_MIN Q_KIB(64)
/* Of a chunk of histograms, after which it ends. */
#define HISTOGRAM_BYTES Q_KIB(16)
/* What a frame has around each label and chunk, and around all of them. */
#define PART_BYTES 112u

struct frame {
    struct tsdb_read_chunk chunks[FRAME_CHUNKS];
    size_t count;
};

/* ---- samples -------------------------------------------------------------------------------- */

/* Has a sample of the series under way at `block_at`. QUARRY_NOT_FOUND: there is none. */
static enum quarry_status have(struct reading *reading)
{
    if (reading->block_at < reading->block.count) {
        return QUARRY_OK;
    }
    enum quarry_status status = quarry_tsdb_cursor_next(reading->cursor, &reading->block);
    reading->block_at = 0;
    if (status != QUARRY_OK) {
        reading->block.count = 0;
    }
    return status;
}

/* Whether the sample that is there is a float, and which histogram it is else. */
static const struct quarry_tsdb_histogram *histogram_of(const struct reading *reading)
{
    return reading->block.histograms == NULL ? NULL : &reading->block.histograms[reading->block_at];
}

/* Makes a chunk of the floats that come next, of which there is one. */
static enum quarry_status make_floats(struct reading *reading, struct tsdb_read_chunk *ret_chunk)
{
    uint8_t *bytes = reading->chunks.bytes + reading->chunks.byte_count;
    struct tsdb_read_chunk chunk = {.min_ms = reading->block.t_ms[reading->block_at],
                                    .encoding = TSDB_READ_XOR};
    struct xor_chunk_appender appender;
    enum quarry_status status = QUARRY_OK;

    xor_chunk_begin(&appender, bytes, CHUNK_BYTES_MAX);
    while (appender.count < CHUNK_SAMPLES && (status = have(reading)) == QUARRY_OK &&
           histogram_of(reading) == NULL) {
        chunk.max_ms = reading->block.t_ms[reading->block_at];
        bool has_room = xor_chunk_append(
            &appender, (struct tsdb_sample){chunk.max_ms, reading->block.bits[reading->block_at]});
        Q_ASSERT(has_room);
        reading->block_at++;
    }
    if (status != QUARRY_OK && status != QUARRY_NOT_FOUND) {
        return status;
    }
    chunk.data.count = xor_chunk_byte_count(&appender);
    reading->chunks.byte_count += chunk.data.count;
    *ret_chunk = chunk;
    return QUARRY_OK;
}

/* Puts the chunk that the appender has behind the frame's others. */
static enum quarry_status keep_histograms(struct reading *reading, struct tsdb_read_chunk *chunk)
{
    const uint8_t *bytes = histogram_chunk_bytes(&reading->histograms, &chunk->data.count);
    enum quarry_status status = tsdb_buffer_reserve(&reading->chunks, chunk->data.count);

    if (status == QUARRY_OK) {
        memcpy(reading->chunks.bytes + reading->chunks.byte_count, bytes, chunk->data.count);
        reading->chunks.byte_count += chunk->data.count;
    }
    return status;
}

static size_t histograms_bytes(const struct reading *reading)
{
    size_t byte_count;

    (void)histogram_chunk_bytes(&reading->histograms, &byte_count);
    return byte_count;
}

/* The same of histograms, of one layout, which only grow. */
static enum quarry_status make_histograms(struct reading *reading,
                                          struct tsdb_read_chunk *ret_chunk)
{
    struct histogram_chunk_appender *appender = &reading->histograms;
    const struct quarry_tsdb_histogram *histogram = histogram_of(reading);
    const bool is_float = histogram->is_float;
    struct tsdb_read_chunk chunk = {.min_ms = histogram->t_ms,
                                    .encoding =
                                        is_float ? TSDB_READ_FLOAT_HISTOGRAM : TSDB_READ_HISTOGRAM};
    enum histogram_chunk_header header = HISTOGRAM_CHUNK_UNKNOWN;
    enum quarry_status status;

    if (appender->has_last && appender->last.is_float != is_float) {
        histogram_chunk_reset(appender);
    }
    (void)histogram_chunk_follows(appender, histogram, &header);
    status = histogram_chunk_begin(appender, header);
    for (uint32_t count = 0; status == QUARRY_OK; count++) {
        status = histogram_chunk_append(appender, histogram);
        if (status != QUARRY_OK) {
            break;
        }
        chunk.max_ms = histogram->t_ms;
        reading->block_at++;
        status = have(reading);
        histogram = status == QUARRY_OK ? histogram_of(reading) : NULL;
        if (histogram == NULL || histogram->is_float != is_float || count + 1 == CHUNK_SAMPLES ||
            histograms_bytes(reading) >= HISTOGRAM_BYTES ||
            !histogram_chunk_follows(appender, histogram, &header)) {
            break;
        }
    }
    if (status == QUARRY_OK || status == QUARRY_NOT_FOUND) {
        status = keep_histograms(reading, &chunk);
    }
    *ret_chunk = chunk;
    return status;
}

/* Makes one chunk of what comes next. QUARRY_NOT_FOUND: nothing does. */
static enum quarry_status make_chunk(struct reading *reading, struct tsdb_read_chunk *ret_chunk)
{
    enum quarry_status status = have(reading);

    if (status != QUARRY_OK) {
        return status;
    }
    if (histogram_of(reading) != NULL) {
        return make_histograms(reading, ret_chunk);
    }
    histogram_chunk_reset(&reading->histograms);
    return make_floats(reading, ret_chunk);
}

/* ---- frames --------------------------------------------------------------------------------- */

/* As many chunks as a frame has. QUARRY_NOT_FOUND: the series is over; there may be some still. */
static enum quarry_status fill(struct reading *reading, struct frame *frame)
{
    enum quarry_status status = QUARRY_OK;

    frame->count = 0;
    reading->chunks.byte_count = 0;
    while (status == QUARRY_OK && frame->count < FRAME_CHUNKS &&
           reading->chunks.byte_count + CHUNK_BYTES_MAX <= FRAME_BYTES) {
        status = make_chunk(reading, &frame->chunks[frame->count]);
        frame->count += status == QUARRY_OK ? 1 : 0;
    }
    return status;
}

static size_t bytes_of(struct tsdb_labels labels)
{
    size_t sum = 0;

    for (size_t i = 0; i < labels.count; i++) {
        sum += labels.labels[i].name.count + labels.labels[i].value.count;
    }
    return sum;
}

/* Tells each chunk where its bytes are: they have stopped moving. */
static void place_chunks(const struct reading *reading, struct frame *frame)
{
    const char *at = (const char *)reading->chunks.bytes;

    for (size_t i = 0; i < frame->count; i++) {
        frame->chunks[i].data.bytes = at;
        at += frame->chunks[i].data.count;
    }
}

static enum quarry_status say_frame(struct http_call *call, struct frame *frame)
{
    struct reading *reading = call->state;
    struct tsdb_labels labels = read_labels(reading, reading->query, reading->series);
    size_t parts = (labels.count + frame->count + 2) * PART_BYTES;
    size_t frame_bytes = bytes_of(labels) + parts + reading->chunks.byte_count;
    struct tsdb_read_series series = {
        .labels = labels,
        .chunks = frame->chunks,
        .chunk_count = frame->count,
        .query_index = (int64_t)reading->query,
    };

    place_chunks(reading, frame);
    if (tsdb_buffer_reserve(&reading->frame, frame_bytes) != QUARRY_OK ||
        tsdb_buffer_reserve(&reading->scratch, parts) != QUARRY_OK) {
        return QUARRY_NO_MEMORY;
    }
    struct tsdb_read_room room = {.bytes = (char *)reading->frame.bytes,
                                  .capacity = reading->frame.capacity};
    struct tsdb_read_room scratch = {.bytes = (char *)reading->scratch.bytes,
                                     .capacity = reading->scratch.capacity};
    enum quarry_status status = tsdb_read_put_frame(&series, SIZE_MAX, &scratch, &room);
    Q_ASSERT(status != QUARRY_OK || series.sent_count == frame->count);
    http_text_add(&call->body_out, room.bytes, room.used);
    return status;
}

/* ---- the walk ------------------------------------------------------------------------------- */

/* Goes to the next series that there is. QUARRY_NOT_FOUND: that was the last query's last one. */
static enum quarry_status begin_series(struct reading *reading)
{
    enum quarry_status status = QUARRY_OK;

    while (reading->query < reading->request.query_count) {
        struct quarry_tsdb_set *set = reading->sets[reading->query];
        if (reading->series < quarry_tsdb_set_count(set)) {
            if (reading->cursor == NULL) {
                status = quarry_tsdb_cursor_create(set, &reading->cursor);
            }
            if (status == QUARRY_OK) {
                quarry_tsdb_cursor_series(reading->cursor, reading->series);
                reading->block.count = reading->block_at = 0;
                histogram_chunk_reset(&reading->histograms);
                reading->is_in_series = true;
            }
            return status;
        }
        quarry_tsdb_cursor_destroy(reading->cursor);
        reading->cursor = NULL;
        quarry_tsdb_set_close(reading->sets[reading->query]);
        reading->sets[reading->query] = NULL;
        reading->query++;
        reading->series = 0;
    }
    return QUARRY_NOT_FOUND;
}

/* One frame, or the end of a series without. QUARRY_NOT_FOUND: all has been said. */
static enum quarry_status step(struct http_call *call, struct frame *frame)
{
    struct reading *reading = call->state;
    enum quarry_status status = reading->is_in_series ? QUARRY_OK : begin_series(reading);

    if (status != QUARRY_OK) {
        return status;
    }
    enum quarry_status filled = fill(reading, frame);
    if (filled != QUARRY_OK && filled != QUARRY_NOT_FOUND) {
        return filled;
    }
    status = frame->count > 0 ? say_frame(call, frame) : QUARRY_OK;
    if (filled == QUARRY_NOT_FOUND) {
        reading->is_in_series = false;
        reading->series++;
    }
    return status;
}

enum http_outcome read_answer_stream(struct http_call *call)
{
    struct reading *reading = call->state;
    struct frame *frame = tsdb_memory_take(&reading->store->memory, sizeof *frame);
    enum quarry_status status = frame == NULL ? QUARRY_NO_MEMORY : QUARRY_OK;

    reading->chunks.byte_count = 0;
    if (status == QUARRY_OK) {
        status = tsdb_buffer_reserve(&reading->chunks, FRAME_BYTES);
    }
    while (status == QUARRY_OK && call->body_out.count < PIECE_BYTES_MIN &&
           !call->body_out.is_failed) {
        /* Relaxed: a hint. */
        status =
            atomic_load_relaxed_bool(call->is_cancelled) ? QUARRY_CANCELLED : step(call, frame);
    }
    call->is_last = status == QUARRY_NOT_FOUND;
    tsdb_memory_give(&reading->store->memory, frame);
    return status == QUARRY_OK || status == QUARRY_NOT_FOUND ? HTTP_DONE : HTTP_FAILED;
}
