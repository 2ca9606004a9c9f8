/*
 * Series as bytes, for files of sections: what ids mean. docs/formats/tsdb-window.md has the bytes.
 *
 * Series are put in the order of their ids into *chunks*, each of which can be read alone.
 */
#ifndef QUARRY_TSDB_SERIES_CHUNK_H
#define QUARRY_TSDB_SERIES_CHUNK_H

#include <tsdb/log_labels.h>
#include <tsdb/section_file.h>

/* A chunk is closed at so many bytes: less than a part with a checksum, so that a damaged byte
 * costs one or two chunks. */
#define TSDB_SERIES_CHUNK_BYTES Q_KIB(48)

/* What an id means. */
struct tsdb_series_known {
    uint32_t id;
    int32_t last_window; /* with samples of it, as far as is known */
    uint16_t tenant;
    struct tsdb_labels labels;
};

/* Chunks that are being written. */
struct tsdb_series_chunks {
    const struct tsdb_memory *memory; /* const; borrowed */
    struct tsdb_slice *chunks;        /* own, each of them too */
    size_t count, capacity;
    struct tsdb_buffer bytes; /* of the one under way */
    struct log_labels before;
    uint32_t last_id;
};

void tsdb_series_chunks_init(struct tsdb_series_chunks *chunks, struct tsdb_memory *memory);
void tsdb_series_chunks_fini(struct tsdb_series_chunks *chunks);
/* Adds a series, of a larger id than the one before. Errors: QUARRY_NO_MEMORY, QUARRY_TOO_LARGE. */
enum quarry_status tsdb_series_chunks_put(struct tsdb_series_chunks *chunks,
                                          const struct tsdb_series_known *series);
/* Closes the last chunk: all are in `chunks`. Errors: QUARRY_NO_MEMORY. */
enum quarry_status tsdb_series_chunks_finish(struct tsdb_series_chunks *chunks);

/* Takes a series; its labels are borrowed for the call. Returns: QUARRY_OK, or what reading ends
 * with. */
typedef enum quarry_status tsdb_series_function(void *argument,
                                                const struct tsdb_series_known *series);

/*
 * Reads a chunk. `bytes`: borrowed for the call.
 * Errors: QUARRY_CORRUPT, QUARRY_NO_MEMORY, those of `each`.
 */
enum quarry_status tsdb_series_chunk_read(struct tsdb_memory *memory, struct tsdb_slice bytes,
                                          tsdb_series_function *each, void *argument);

#endif
