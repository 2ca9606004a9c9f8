/*
 * Reading a block: series from the index, their chunks as they are wanted.
 *
 * A chunk is read when the one before it is used up, from the file that it is in, and decoded
 * sample by sample in the window of that file. Nothing is kept of what was given out.
 *
 * Invariants:
 * 1. Samples of a series rise in time, and lie within what the index says of their chunk: a chunk
 *    that says otherwise is damaged, though its checksum may match.
 * 2. What is deleted is not given out; it is decoded all the same.
 *
 * Locking: none.
 */
#include <tsdb/block_read.h>

#include <tsdb/block_index.h>
#include <tsdb/block_samples.h>
#include <tsdb/block_tombstones.h>

struct block_reader {
    struct tsdb_memory *memory;
    struct block_meta meta;
    struct block_index_reader *index;
    struct block_chunks_reader chunks;
    struct block_tombstones tombstones;
    struct block_samples samples;
    /* the series under way */
    struct block_series series;
    struct block_deleted deleted;
    size_t chunk_index; /* of the next chunk */
    int64_t least_t_ms; /* that the next sample may have */
    bool has_chunk;     /* one is being read: the one before */
};

static enum quarry_status open_parts(struct block_reader *reader, struct quarry_vfs *vfs,
                                     const char *directory, struct quarry_error *error)
{
    struct tsdb_memory *memory = reader->memory;
    enum quarry_status status = block_meta_read(memory, vfs, directory, &reader->meta, error);

    if (status == QUARRY_OK) {
        status = block_tombstones_read(&reader->tombstones, memory, vfs, directory, error);
    }
    if (status == QUARRY_OK) {
        status = block_chunks_open(&reader->chunks, memory, vfs, directory, error);
    }
    if (status == QUARRY_OK) {
        status = block_index_open(memory, vfs, directory, &reader->index, error);
    }
    return status;
}

enum quarry_status block_open(struct tsdb_memory *memory, struct quarry_vfs *vfs,
                              const char *directory, struct block_reader **ret_reader,
                              struct quarry_error *error)
{
    struct block_reader *reader = tsdb_memory_take_zero(memory, sizeof(*reader));

    if (reader == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "%.120s: no memory to read it", directory);
    }
    reader->memory = memory;
    block_samples_init(&reader->samples, memory);
    enum quarry_status status = open_parts(reader, vfs, directory, error);
    if (status != QUARRY_OK) {
        block_close(reader);
        return status;
    }
    *ret_reader = reader;
    return QUARRY_OK;
}

void block_close(struct block_reader *reader)
{
    if (reader == NULL) {
        return;
    }
    block_index_close(reader->index);
    block_chunks_close(&reader->chunks);
    block_tombstones_fini(&reader->tombstones);
    block_samples_fini(&reader->samples);
    tsdb_memory_give(reader->memory, reader);
}

const struct block_meta *block_reader_meta(const struct block_reader *reader)
{
    return &reader->meta;
}

/* ---- the walk ------------------------------------------------------------------------------- */

static enum quarry_status next_series(void *argument, struct tsdb_labels *ret_labels,
                                      struct quarry_error *error)
{
    struct block_reader *reader = argument;
    struct block_series series;
    enum quarry_status status = block_index_next(reader->index, &series, error);

    reader->has_chunk = false;
    reader->chunk_index = 0;
    reader->series.chunk_count = 0;
    if (status == QUARRY_OK) {
        reader->series = series;
        reader->deleted = block_tombstones_of(&reader->tombstones, series.ref);
        *ret_labels = series.labels;
    }
    return status;
}

static enum quarry_status bad_chunk(const struct block_reader *reader, enum quarry_status status,
                                    const char *what, struct quarry_error *error)
{
    uint64_t ref = reader->series.chunks[reader->chunk_index - 1].ref;

    return error_set(error, status, "%.120s: offset %u: %s", reader->chunks.in.path, (uint32_t)ref,
                     what);
}

static enum quarry_status next_chunk(struct block_reader *reader, struct quarry_error *error)
{
    enum block_encoding encoding = BLOCK_ENCODING_XOR;
    const uint8_t *bytes = NULL;
    size_t byte_count = 0;

    if (reader->chunk_index == reader->series.chunk_count) {
        return QUARRY_NOT_FOUND;
    }
    uint64_t ref = reader->series.chunks[reader->chunk_index].ref;
    enum quarry_status status =
        block_chunks_read(&reader->chunks, ref, &encoding, &bytes, &byte_count, error);
    if (status == QUARRY_NOT_FOUND) {
        return error_set(error, QUARRY_CORRUPT, "%.120s/%06u: offset %u: there is no such file",
                         reader->chunks.directory, (uint32_t)(ref >> 32) + 1, (uint32_t)ref);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    reader->chunk_index++;
    status = block_samples_begin(&reader->samples, encoding, bytes, byte_count);
    if (status != QUARRY_OK) {
        return bad_chunk(reader, status, block_samples_text(status), error);
    }
    reader->has_chunk = true;
    reader->least_t_ms = reader->series.chunks[reader->chunk_index - 1].min_t_ms;
    return QUARRY_OK;
}

/* The next of the chunk under way. Errors: QUARRY_NOT_FOUND: it is used up. */
static enum quarry_status next_in_chunk(struct block_reader *reader,
                                        struct block_sample *ret_sample, struct quarry_error *error)
{
    const struct block_chunk *chunk = &reader->series.chunks[reader->chunk_index - 1];
    enum quarry_status status = block_samples_next(&reader->samples, ret_sample);

    if (status == QUARRY_NOT_FOUND) {
        reader->has_chunk = false;
        return status;
    }
    if (status != QUARRY_OK) {
        return bad_chunk(reader, status, block_samples_text(status), error);
    }
    if (ret_sample->t_ms < reader->least_t_ms || ret_sample->t_ms > chunk->max_t_ms) {
        return bad_chunk(reader, QUARRY_CORRUPT, "samples that are not in order", error);
    }
    reader->least_t_ms = ret_sample->t_ms + (ret_sample->t_ms != INT64_MAX);
    return QUARRY_OK;
}

static enum quarry_status next_sample(void *argument, struct block_sample *ret_sample,
                                      struct quarry_error *error)
{
    struct block_reader *reader = argument;
    struct block_sample sample;

    for (;;) {
        enum quarry_status status = reader->has_chunk ? QUARRY_OK : next_chunk(reader, error);

        if (status != QUARRY_OK) {
            return status;
        }
        status = next_in_chunk(reader, &sample, error);
        if (status == QUARRY_NOT_FOUND) {
            continue;
        }
        if (status != QUARRY_OK || !block_deleted_has(&reader->deleted, sample.t_ms)) {
            if (status == QUARRY_OK) {
                *ret_sample = sample;
            }
            return status;
        }
    }
}

struct block_source block_reader_source(struct block_reader *reader)
{
    return (struct block_source){
        .argument = reader, .next_series = next_series, .next_sample = next_sample};
}
