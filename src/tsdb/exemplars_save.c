/*
 * Exemplars in files of windows.
 *
 *     queue of a tenant, oldest first ──> | id | time | value | labels | …   chunks of 48 KiB
 *     chunks, the last first, each backwards ──> in front of the queue
 *
 * A window's file has those that were in its log. Files are read the newest first, so that what one
 * has is older than all that is there: it goes in front, the newest of it first, until the tenant
 * has as many as it may. What does not come before its series' oldest is passed over: it is there.
 *
 * Writing goes through a queue some records at a time. Between them records may go; the place where
 * it stands moves on then (`save_at`).
 *
 * Locking: a tenant's mutex, for up to SLICE_RECORDS; nothing is allocated with it. Files are one
 * thread's work at a time. Memory: the chunks, until they are written.
 */
#include <tsdb/exemplars_save.h>

#include <string.h>

#include <tsdb/exemplars_parts.h>

/* Of a chunk, after which it is closed: less than a part with a checksum. */
#define CHUNK_BYTES Q_KIB(48)
/* What one may take: id, time, value; labels, each with three numbers. */
#define ENTRY_BYTES_MAX                                                                            \
    (2 * (size_t)VARINT_U64_BYTES_MAX + 8 + TSDB_EXEMPLAR_CHARACTERS_MAX * (3 * 5 + 4) + 8)
#define ENTRY_BYTES_MIN 11u
/* Records that are written, and looked at, with the lock held at a time. */
#define SLICE_RECORDS 16u
#define SLICE_LOOKED  1024u

/* ---- writing -------------------------------------------------------------------------------- */

void tsdb_exemplar_chunks_fini(struct tsdb_exemplar_chunks *chunks)
{
    for (size_t i = 0; i < chunks->count; i++) {
        tsdb_memory_give(chunks->memory, (char *)(uintptr_t)chunks->chunks[i].bytes);
    }
    tsdb_memory_give(chunks->memory, chunks->chunks);
    tsdb_buffer_fini(&chunks->bytes);
}

/* Closes the chunk under way. */
static enum quarry_status chunk_close(struct tsdb_exemplar_chunks *chunks)
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
    return QUARRY_OK;
}

/* Writes one; there is room. */
static void record_put(struct tsdb_buffer *to, const struct tsdb_exemplar_record *record)
{
    struct tsdb_label labels[TSDB_EXEMPLAR_CHARACTERS_MAX];
    const char *text = tsdb_exemplar_text(record);
    uint8_t *at = to->bytes + to->byte_count;

    for (uint32_t i = 0; i < record->label_count; i++) {
        const uint16_t *length = record->lengths + 2 * (size_t)i;
        labels[i] = (struct tsdb_label){{text, length[0]}, {text + length[0], length[1]}};
        text += length[0] + length[1];
    }
    at += varint_put_u64(at, record->series->id);
    at += varint_put_u64(at, varint_zigzag(record->t_ms));
    endian_store_le_u64(at, record->bits);
    to->byte_count = (size_t)(at + 8 - to->bytes);
    enum quarry_status status =
        log_labels_put(to, NULL, (struct tsdb_labels){labels, record->label_count});
    Q_ASSERT(status == QUARRY_OK);
}

/* The next of a window, of one tenant. Returns: whether there may be more. */
static bool slice_put(struct tsdb_exemplar_ring *ring, int32_t window, struct tsdb_buffer *to)
{
    uint32_t put_count = 0;

    os_mutex_lock(&ring->mutex);
    for (uint32_t i = 0; i < SLICE_LOOKED && put_count < SLICE_RECORDS && ring->save_at != NULL;
         i++) {
        if (ring->save_at->window == window) {
            record_put(to, ring->save_at);
            put_count++;
        }
        ring->save_at = ring->save_at->newer;
    }
    bool has_more = ring->save_at != NULL;
    os_mutex_unlock(&ring->mutex);
    return has_more;
}

static enum quarry_status ring_put(struct tsdb_exemplar_ring *ring, int32_t window,
                                   struct tsdb_exemplar_chunks *chunks)
{
    enum quarry_status status = QUARRY_OK;
    bool has_more = true;

    os_mutex_lock(&ring->mutex);
    ring->save_at = ring->oldest;
    os_mutex_unlock(&ring->mutex);
    while (has_more && status == QUARRY_OK) {
        status = tsdb_buffer_reserve(&chunks->bytes, SLICE_RECORDS * ENTRY_BYTES_MAX);
        if (status == QUARRY_OK) {
            has_more = slice_put(ring, window, &chunks->bytes);
            status = chunks->bytes.byte_count < CHUNK_BYTES ? QUARRY_OK : chunk_close(chunks);
        }
    }
    return status;
}

enum quarry_status tsdb_exemplar_chunks_make(struct quarry_tsdb *tsdb, int32_t window,
                                             struct tsdb_exemplar_chunks *chunks)
{
    enum quarry_status status = QUARRY_OK;
    uint32_t at = 0;

    for (struct tsdb_exemplar_ring *ring;
         status == QUARRY_OK && (ring = tsdb_exemplar_ring_next(tsdb, &at)) != NULL;) {
        status = ring_put(ring, window, chunks);
    }
    return status == QUARRY_OK ? chunk_close(chunks) : status;
}

/* ---- reading -------------------------------------------------------------------------------- */

struct reading {
    struct log_labels labels;
    const uint8_t **places; /* own: where each entry begins */
    size_t count;
};

static enum quarry_status get_entry(struct reading *reading, const uint8_t **at, const uint8_t *end,
                                    uint32_t *ret_id, struct quarry_tsdb_exemplar *ret_exemplar)
{
    uint64_t time = 0;
    size_t id_bytes = varint_get_u32(*at, end, ret_id);
    size_t time_bytes = id_bytes == 0 ? 0 : varint_get_u64(*at + id_bytes, end, &time);

    if (time_bytes == 0) {
        return QUARRY_CORRUPT;
    }
    *at += id_bytes + time_bytes;
    if (end - *at < 8) {
        return QUARRY_CORRUPT;
    }
    ret_exemplar->t_ms = varint_unzigzag(time);
    ret_exemplar->bits = endian_load_le_u64(*at);
    *at += 8;
    enum quarry_status status = log_labels_get(at, end, NULL, &reading->labels);
    ret_exemplar->labels = log_labels_of(&reading->labels);
    return status;
}

/* Goes over a chunk, and notes where its entries begin. */
static enum quarry_status find_places(struct reading *reading, struct tsdb_slice chunk)
{
    const uint8_t *at = (const uint8_t *)chunk.bytes, *end = at + chunk.count;
    struct quarry_tsdb_exemplar exemplar;
    enum quarry_status status = QUARRY_OK;
    uint32_t id;

    while (at < end && status == QUARRY_OK) {
        if (reading->count == chunk.count / ENTRY_BYTES_MIN) {
            return QUARRY_CORRUPT; /* the last one is too short to be one */
        }
        reading->places[reading->count] = at;
        status = get_entry(reading, &at, end, &id, &exemplar);
        reading->count += status == QUARRY_OK ? 1 : 0;
    }
    return status;
}

enum quarry_status tsdb_exemplar_chunk_read(const struct tsdb_memory *memory,
                                            struct tsdb_slice chunk,
                                            tsdb_exemplar_entry_function *each, void *argument)
{
    struct reading *reading = tsdb_memory_take_zero(memory, sizeof(*reading));
    enum quarry_status status = reading == NULL ? QUARRY_NO_MEMORY : QUARRY_OK;

    if (reading == NULL) {
        return status;
    }
    reading->labels.bytes.memory = memory;
    reading->places =
        tsdb_memory_take(memory, (chunk.count / ENTRY_BYTES_MIN + 1) * sizeof(*reading->places));
    status = reading->places == NULL ? QUARRY_NO_MEMORY : find_places(reading, chunk);
    while (reading->count > 0 && status == QUARRY_OK) {
        const uint8_t *at = reading->places[--reading->count];
        struct quarry_tsdb_exemplar exemplar;
        uint32_t id;
        status =
            get_entry(reading, &at, (const uint8_t *)chunk.bytes + chunk.count, &id, &exemplar);
        if (status == QUARRY_OK) {
            each(argument, id, &exemplar);
        }
    }
    tsdb_memory_give(memory, (void *)reading->places);
    log_labels_fini(&reading->labels);
    tsdb_memory_give(memory, reading);
    return status;
}
