/*
 * Chunks of series.
 *
 *     id, from the one before │ tenant │ last window, zigzag │ labels, against those before │ …
 *
 * Labels are written as in the log (log_labels.c): the series of one target differ in two labels of
 * eight, and cost 25 to 40 bytes.
 *
 * Invariants
 *   1. Ids rise within a chunk, and from chunk to chunk.
 *   2. A chunk refers to no other.
 *
 * Locking: none; one thread's. Cost: some 500 instructions a series each way.
 *
 * Rejected: a table of texts for a whole file, which would be two thirds as long: a damaged byte of
 * it would cost every series that has the text.
 */
#include <tsdb/series_chunk.h>

/* In front of a series' labels: three varints. */
#define HEAD_BYTES (3 * VARINT_U32_BYTES_MAX)

static uint32_t zigzag(int32_t value)
{
    return (uint32_t)value << 1 ^ (value < 0 ? UINT32_MAX : 0);
}

static int32_t unzigzag(uint32_t value)
{
    return (int32_t)(value >> 1 ^ (0 - (value & 1)));
}

/* ---- writing -------------------------------------------------------------------------------- */

void tsdb_series_chunks_init(struct tsdb_series_chunks *chunks, struct tsdb_memory *memory)
{
    *chunks = (struct tsdb_series_chunks){
        .memory = memory, .bytes = {.memory = memory}, .before = {.bytes = {.memory = memory}}};
}

void tsdb_series_chunks_fini(struct tsdb_series_chunks *chunks)
{
    for (size_t i = 0; i < chunks->count; i++) {
        tsdb_memory_give(chunks->memory, (char *)(uintptr_t)chunks->chunks[i].bytes);
    }
    tsdb_memory_give(chunks->memory, chunks->chunks);
    tsdb_buffer_fini(&chunks->bytes);
    log_labels_fini(&chunks->before);
}

enum quarry_status tsdb_series_chunks_finish(struct tsdb_series_chunks *chunks)
{
    size_t byte_count = chunks->bytes.byte_count;
    void *array = chunks->chunks;

    if (byte_count == 0) {
        return QUARRY_OK;
    }
    enum quarry_status status = tsdb_memory_grow(chunks->memory, &array, &chunks->capacity,
                                                 chunks->count + 1, sizeof(*chunks->chunks));
    chunks->chunks = array;
    char *copy = status == QUARRY_OK ? tsdb_memory_take(chunks->memory, byte_count) : NULL;
    if (copy == NULL) {
        return QUARRY_NO_MEMORY;
    }
    memcpy(copy, chunks->bytes.bytes, byte_count);
    chunks->chunks[chunks->count++] = (struct tsdb_slice){copy, byte_count};
    chunks->bytes.byte_count = 0;
    chunks->before.count = 0; /* invariant 2 */
    chunks->last_id = 0;
    return QUARRY_OK;
}

enum quarry_status tsdb_series_chunks_put(struct tsdb_series_chunks *chunks,
                                          const struct tsdb_series_known *series)
{
    struct tsdb_buffer *bytes = &chunks->bytes;
    size_t before_count = bytes->byte_count;
    enum quarry_status status = tsdb_buffer_reserve(bytes, HEAD_BYTES);

    if (status != QUARRY_OK) {
        return status;
    }
    Q_ASSERT(series->id > chunks->last_id); /* invariant 1 */
    uint8_t *at = bytes->bytes + bytes->byte_count;
    at += varint_put_u64(at, series->id - chunks->last_id);
    at += varint_put_u64(at, series->tenant);
    at += varint_put_u64(at, zigzag(series->last_window));
    bytes->byte_count = (size_t)(at - bytes->bytes);
    status = log_labels_put(bytes, &chunks->before, series->labels);
    if (status != QUARRY_OK) {
        bytes->byte_count = before_count;
        return status;
    }
    chunks->last_id = series->id;
    return bytes->byte_count < TSDB_SERIES_CHUNK_BYTES ? QUARRY_OK
                                                       : tsdb_series_chunks_finish(chunks);
}

/* ---- reading -------------------------------------------------------------------------------- */

/* What one chunk is read with: labels of a series, and of the one before, in turn. */
struct reading {
    struct log_labels labels[2];
    uint32_t turn;
    uint32_t last_id;
};

static bool get_number(const uint8_t **at, const uint8_t *end, uint32_t *ret_number)
{
    size_t byte_count = varint_get_u32(*at, end, ret_number);

    *at += byte_count;
    return byte_count != 0;
}

static enum quarry_status get_series(struct reading *reading, const uint8_t **at,
                                     const uint8_t *end, struct tsdb_series_known *ret_series)
{
    struct log_labels *labels = &reading->labels[reading->turn % 2];
    const struct log_labels *before = &reading->labels[(reading->turn + 1) % 2];
    uint32_t distance, tenant, window, id;

    if (!get_number(at, end, &distance) || !get_number(at, end, &tenant) ||
        !get_number(at, end, &window) || distance == 0 || tenant > UINT16_MAX ||
        __builtin_add_overflow(reading->last_id, distance, &id)) {
        return QUARRY_CORRUPT;
    }
    enum quarry_status status = log_labels_get(at, end, reading->turn == 0 ? NULL : before, labels);
    *ret_series = (struct tsdb_series_known){.id = id,
                                             .last_window = unzigzag(window),
                                             .tenant = (uint16_t)tenant,
                                             .labels = log_labels_of(labels)};
    reading->turn++;
    reading->last_id = id;
    return status;
}

enum quarry_status tsdb_series_chunk_read(struct tsdb_memory *memory, struct tsdb_slice bytes,
                                          tsdb_series_function *each, void *argument)
{
    struct reading *reading = tsdb_memory_take_zero(memory, sizeof(*reading));
    const uint8_t *at = (const uint8_t *)bytes.bytes, *end = at + bytes.count;
    enum quarry_status status = reading == NULL ? QUARRY_NO_MEMORY : QUARRY_OK;
    struct tsdb_series_known series;

    if (reading == NULL) {
        return status;
    }
    reading->labels[0].bytes.memory = reading->labels[1].bytes.memory = memory;
    while (status == QUARRY_OK && at != end) {
        status = get_series(reading, &at, end, &series);
        if (status == QUARRY_OK) {
            status = each(argument, &series);
        }
    }
    log_labels_fini(&reading->labels[0]);
    log_labels_fini(&reading->labels[1]);
    tsdb_memory_give(memory, reading);
    return status;
}
