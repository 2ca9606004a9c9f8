/*
 * Writing a block.
 *
 *     <ULID>/chunks/000001...   as samples come
 *     <ULID>/index              as series come, by way of files (block_index_write.c)
 *     <ULID>/tombstones         none
 *     <ULID>/meta.json          last
 *
 * Samples are cut into chunks of BLOCK_CHUNK_SAMPLES, and where a chunk of their kind cannot go on:
 * from floats to histograms and back, and where histogram_chunk_follows says so. Prometheus cuts by
 * a guess of how many will come until the block's end, so that chunks are of like size; its chunks
 * of the same samples are the same bytes.
 *
 * Invariants:
 * 1. Nothing of the caller is trusted to be in order: a series that is not behind the one before,
 *    or a sample, is refused by its number, for a block that is out of order reads as a damaged
 * one.
 * 2. Series without samples are left out.
 * 3. The directory has its name only when everything in it is safe.
 * 4. A name that is of the content ends in a hash of 80 bits of labels and chunks: who has it has
 *    the same block, which is neither replaced nor removed.
 *
 * Locking: none. Cost and rejected ways: block_index_write.c.
 */
#include <tsdb/block_write.h>

#include <inttypes.h>
#include <string.h>

#include <base/base.h>

#include <tsdb/block_chunks.h>
#include <tsdb/block_directory.h>
#include <tsdb/block_index.h>
#include <tsdb/block_tombstones.h>
#include <tsdb/histogram_chunk.h>
#include <tsdb/xor_chunk.h>

#define TEMPORARY_SUFFIX ".tmp-for-creation"

/* Of a ULID: 48 bits. */
#define ULID_TIME_MASK ((UINT64_C(1) << 48) - 1)

enum chunk_kind { NO_CHUNK, FLOATS, HISTOGRAMS, FLOAT_HISTOGRAMS };

struct writer {
    const struct block_write_options *options;
    struct tsdb_memory *memory;
    char *temporary; /* own; the directory's name until the end */
    char *final;     /* own */
    struct block_index_writer *index;
    struct block_chunks_writer chunks_writer;
    struct block_meta meta;
    struct block_array before; /* bytes of the labels of the series before: name, value, ... */
    struct block_array before_labels; /* struct tsdb_label: into those */
    size_t before_count;
    uint64_t series_number; /* of the series under way, as the source counts, from 1 */
    /* the series under way */
    struct block_array chunks; /* struct block_chunk */
    int64_t last_t_ms;
    bool has_last;
    /* the chunk under way */
    enum chunk_kind kind;
    int64_t chunk_min_t_ms;
    uint32_t chunk_count; /* samples */
    struct xor_chunk_appender floats;
    struct histogram_chunk_appender histograms;
    struct hash_u128 digest; /* of labels and chunks so far */
    bool is_renamed;         /* the block has its name */
    uint8_t buffer[XOR_CHUNK_BYTES_MAX(BLOCK_CHUNK_SAMPLES)];
};

/* ---- series in order ------------------------------------------------------------------------ */

static enum quarry_status bad_series(const struct writer *writer, const char *what,
                                     struct quarry_error *error)
{
    return error_set(error, QUARRY_BAD_INPUT, "series %" PRIu64 " of a block: %s",
                     writer->series_number, what);
}

static int compare_labels(const struct tsdb_label *a, size_t a_count,
                          const struct tsdb_labels *labels)
{
    size_t common = a_count < labels->count ? a_count : labels->count;

    for (size_t i = 0; i < common; i++) {
        int order = tsdb_slice_compare(a[i].name, labels->labels[i].name);

        if (order == 0) {
            order = tsdb_slice_compare(a[i].value, labels->labels[i].value);
        }
        if (order != 0) {
            return order;
        }
    }
    return (a_count > labels->count) - (a_count < labels->count);
}

static bool labels_are_sorted(const struct tsdb_labels *labels)
{
    for (size_t i = 0; i < labels->count; i++) {
        const struct tsdb_label *label = &labels->labels[i];

        if (label->name.count == 0 || label->value.count == 0 ||
            (i > 0 && tsdb_slice_compare(labels->labels[i - 1].name, label->name) >= 0)) {
            return false;
        }
    }
    return true;
}

/* Takes bytes into what the block's content is known by. Where they begin and end is told by
 * those that follow: lengths of labels, and chunks that say how many samples they have. */
static void digest_add(struct writer *writer, const void *bytes, size_t byte_count)
{
    struct hash_u128 hash = hash_xxh3_u128(bytes, byte_count, writer->digest.low);

    hash.high ^= writer->digest.high * UINT64_C(0x9e3779b97f4a7c15);
    writer->digest = hash;
}

/* Keeps labels, to compare those of the next series with. */
static enum quarry_status keep_labels(struct writer *writer, const struct tsdb_labels *labels)
{
    size_t byte_count = 1;

    for (size_t i = 0; i < labels->count; i++) {
        byte_count += labels->labels[i].name.count + labels->labels[i].value.count;
    }
    if (block_array_reserve(writer->memory, &writer->before, byte_count, 1) != QUARRY_OK ||
        block_array_reserve(writer->memory, &writer->before_labels, labels->count + 1,
                            sizeof(struct tsdb_label)) != QUARRY_OK) {
        return QUARRY_NO_MEMORY;
    }
    char *at = writer->before.members;
    struct tsdb_label *kept = writer->before_labels.members;
    for (size_t i = 0; i < labels->count; i++) {
        const struct tsdb_label *label = &labels->labels[i];

        memcpy(at, label->name.bytes, label->name.count);
        kept[i].name = (struct tsdb_slice){at, label->name.count};
        at += label->name.count;
        memcpy(at, label->value.bytes, label->value.count);
        kept[i].value = (struct tsdb_slice){at, label->value.count};
        at += label->value.count;
    }
    writer->before_count = labels->count;
    digest_add(writer, writer->before.members, (size_t)(at - (char *)writer->before.members));
    for (size_t i = 0; i < labels->count; i++) {
        const uint64_t lengths[] = {kept[i].name.count, kept[i].value.count};
        digest_add(writer, lengths, sizeof lengths);
    }
    return QUARRY_OK;
}

static enum quarry_status begin_series(struct writer *writer, const struct tsdb_labels *labels,
                                       struct quarry_error *error)
{
    writer->series_number++;
    if (!labels_are_sorted(labels)) {
        return bad_series(writer, "labels are not sorted, or empty", error);
    }
    if (writer->series_number > 1 &&
        compare_labels(writer->before_labels.members, writer->before_count, labels) >= 0) {
        return bad_series(writer, "it is not behind the one before", error);
    }
    writer->chunks.count = 0;
    writer->has_last = false;
    histogram_chunk_reset(&writer->histograms);
    return keep_labels(writer, labels) == QUARRY_OK
               ? QUARRY_OK
               : error_set(error, QUARRY_NO_MEMORY, "no memory for the labels of a series");
}

/* ---- chunks --------------------------------------------------------------------------------- */

static enum quarry_status end_chunk(struct writer *writer, struct quarry_error *error)
{
    struct block_array *chunks = &writer->chunks;
    const uint8_t *bytes = writer->buffer;
    size_t byte_count = 0;
    enum quarry_status status;

    if (writer->kind == NO_CHUNK) {
        return QUARRY_OK;
    }
    status =
        block_array_reserve(writer->memory, chunks, chunks->count + 1, sizeof(struct block_chunk));
    if (status != QUARRY_OK) {
        return error_set(error, status, "no memory for chunk %zu of a series", chunks->count);
    }
    if (writer->kind == FLOATS) {
        byte_count = xor_chunk_byte_count(&writer->floats);
    } else {
        bytes = histogram_chunk_bytes(&writer->histograms, &byte_count);
    }
    digest_add(writer, bytes, byte_count);
    struct block_chunk *chunk = (struct block_chunk *)chunks->members + chunks->count;
    *chunk = (struct block_chunk){writer->chunk_min_t_ms, writer->last_t_ms, 0};
    Q_STATIC_ASSERT((int)FLOATS == BLOCK_ENCODING_XOR &&
                        (int)HISTOGRAMS == BLOCK_ENCODING_HISTOGRAM &&
                        (int)FLOAT_HISTOGRAMS == BLOCK_ENCODING_FLOAT_HISTOGRAM,
                    "a kind of chunk is its encoding");
    status = block_chunks_add(&writer->chunks_writer, (enum block_encoding)writer->kind, bytes,
                              byte_count, &chunk->ref, error);
    if (status == QUARRY_OK) {
        chunks->count++;
        writer->meta.chunk_count++;
        writer->kind = NO_CHUNK;
    }
    return status;
}

static enum chunk_kind kind_of(const struct block_sample *sample)
{
    if (sample->histogram == NULL) {
        return FLOATS;
    }
    return sample->histogram->is_float ? FLOAT_HISTOGRAMS : HISTOGRAMS;
}

/* Has a chunk that takes a sample. */
static enum quarry_status make_chunk(struct writer *writer, const struct block_sample *sample,
                                     struct quarry_error *error)
{
    enum histogram_chunk_header header = HISTOGRAM_CHUNK_UNKNOWN;
    enum chunk_kind kind = kind_of(sample);
    bool goes_on =
        kind == FLOATS || histogram_chunk_follows(&writer->histograms, sample->histogram, &header);

    if (writer->kind == kind && goes_on && writer->chunk_count < BLOCK_CHUNK_SAMPLES) {
        return QUARRY_OK;
    }
    enum quarry_status status = end_chunk(writer, error);
    if (status != QUARRY_OK) {
        return status;
    }
    if (kind == FLOATS) {
        xor_chunk_begin(&writer->floats, writer->buffer, sizeof writer->buffer);
        histogram_chunk_reset(&writer->histograms);
    } else {
        status = histogram_chunk_begin(&writer->histograms, header);
        if (status != QUARRY_OK) {
            return error_set(error, status, "no memory for a chunk of histograms");
        }
    }
    writer->kind = kind;
    writer->chunk_min_t_ms = sample->t_ms;
    writer->chunk_count = 0;
    return QUARRY_OK;
}

static enum quarry_status check_sample(const struct writer *writer,
                                       const struct block_sample *sample,
                                       struct quarry_error *error)
{
    const struct block_write_options *options = writer->options;

    if (writer->has_last && sample->t_ms <= writer->last_t_ms) {
        return bad_series(writer, "a sample is not behind the one before", error);
    }
    if ((options->min_t_ms != options->max_t_ms &&
         (sample->t_ms < options->min_t_ms || sample->t_ms >= options->max_t_ms)) ||
        sample->t_ms == INT64_MAX) {
        return bad_series(writer, "a sample is not in the block's range", error);
    }
    if (sample->histogram != NULL &&
        (!tsdb_histogram_is_sound(sample->histogram) || sample->histogram->t_ms != sample->t_ms)) {
        return bad_series(writer, "a histogram is not sound", error);
    }
    return QUARRY_OK;
}

static void count_sample(struct writer *writer, int64_t t_ms)
{
    struct block_meta *meta = &writer->meta;

    if (meta->sample_count++ == 0) {
        meta->min_t_ms = t_ms;
        meta->max_t_ms = t_ms + 1;
    }
    meta->min_t_ms = t_ms < meta->min_t_ms ? t_ms : meta->min_t_ms;
    meta->max_t_ms = t_ms >= meta->max_t_ms ? t_ms + 1 : meta->max_t_ms;
    writer->last_t_ms = t_ms;
    writer->has_last = true;
    writer->chunk_count++;
}

static enum quarry_status add_sample(struct writer *writer, const struct block_sample *sample,
                                     struct quarry_error *error)
{
    enum quarry_status status = check_sample(writer, sample, error);

    if (status == QUARRY_OK) {
        status = make_chunk(writer, sample, error);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    if (writer->kind == FLOATS) {
        bool is_added = xor_chunk_append(
            &writer->floats, (struct tsdb_sample){.t_ms = sample->t_ms, .bits = sample->bits});
        Q_ASSERT(is_added);
    } else {
        status = histogram_chunk_append(&writer->histograms, sample->histogram);
        if (status != QUARRY_OK) {
            return error_set(error, status, "no memory for a histogram");
        }
    }
    count_sample(writer, sample->t_ms);
    return QUARRY_OK;
}

/* ---- the walk ------------------------------------------------------------------------------- */

static enum quarry_status add_series(struct writer *writer, const struct block_source *source,
                                     const struct tsdb_labels *labels, struct quarry_error *error)
{
    struct block_sample sample;
    enum quarry_status status = begin_series(writer, labels, error);

    while (status == QUARRY_OK) {
        status = source->next_sample(source->argument, &sample, error);
        if (status == QUARRY_OK) {
            status = add_sample(writer, &sample, error);
        } else if (status == QUARRY_NOT_FOUND) {
            break;
        }
    }
    if (status == QUARRY_NOT_FOUND) {
        status = end_chunk(writer, error);
    }
    if (status != QUARRY_OK || writer->chunks.count == 0) { /* invariant 2 */
        return status;
    }
    writer->meta.series_count++;
    return block_index_add(writer->index, labels, writer->chunks.members, writer->chunks.count,
                           error);
}

static enum quarry_status add_all(struct writer *writer, const struct block_source *source,
                                  struct quarry_error *error)
{
    struct tsdb_labels labels;

    for (;;) {
        enum quarry_status status = source->next_series(source->argument, &labels, error);

        if (status == QUARRY_NOT_FOUND) {
            break;
        }
        if (status == QUARRY_OK) {
            status = add_series(writer, source, &labels, error);
        }
        if (status != QUARRY_OK) {
            return status;
        }
    }
    return writer->meta.sample_count != 0
               ? QUARRY_OK
               : error_set(error, QUARRY_NOT_FOUND, "no samples to make a block of");
}

/* ---- the directory -------------------------------------------------------------------------- */

static enum quarry_status name_directory(struct writer *writer, struct quarry_error *error)
{
    char name[BLOCK_ULID_BYTES + sizeof TEMPORARY_SUFFIX];
    const char *directory = writer->options->directory;
    enum quarry_status status = block_ulid_make(quarry_vfs_wall_ns(writer->options->vfs) / 1000000,
                                                writer->meta.ulid, error);

    if (status != QUARRY_OK) {
        return status;
    }
    memcpy(name, writer->meta.ulid, BLOCK_ULID_BYTES - 1);
    memcpy(name + BLOCK_ULID_BYTES - 1, TEMPORARY_SUFFIX, sizeof TEMPORARY_SUFFIX);
    writer->temporary = block_path_join(writer->memory, directory, name);
    writer->final = block_path_join(writer->memory, directory, writer->meta.ulid);
    return writer->temporary != NULL && writer->final != NULL
               ? QUARRY_OK
               : error_set(error, QUARRY_NO_MEMORY, "no memory to write a block");
}

static enum quarry_status begin(struct writer *writer, struct quarry_error *error)
{
    const struct block_write_options *options = writer->options;
    size_t sort_bytes = options->sort_bytes == 0 ? BLOCK_SORT_BYTES : options->sort_bytes;
    uint64_t file_bytes =
        options->file_bytes_max == 0 ? BLOCK_CHUNKS_FILE_BYTES : options->file_bytes_max;
    enum quarry_status status = quarry_vfs_make_directory(options->vfs, writer->temporary, error);

    if (status == QUARRY_OK) {
        status = block_chunks_init(&writer->chunks_writer, writer->memory, options->vfs,
                                   writer->temporary, file_bytes, error);
    }
    if (status == QUARRY_OK) {
        const struct block_index_options index_options = {.vfs = options->vfs,
                                                          .memory = writer->memory,
                                                          .directory = writer->temporary,
                                                          .sort_bytes = sort_bytes};
        status = block_index_create(&index_options, &writer->index, error);
    }
    return status;
}

/* The name that the same samples have always had. */
static enum quarry_status name_by_content(struct writer *writer, struct quarry_error *error)
{
    struct block_meta *meta = &writer->meta;
    char *final = NULL;

    block_ulid_of((uint64_t)meta->max_t_ms & ULID_TIME_MASK, writer->digest.high,
                  writer->digest.low, meta->ulid);
    final = block_path_join(writer->memory, writer->options->directory, meta->ulid);
    if (final == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "no memory for the name of a block");
    }
    tsdb_memory_give(writer->memory, writer->final);
    writer->final = final;
    return QUARRY_OK;
}

/* Whether a block of that name, and so the same, is there. */
static bool is_there(const struct writer *writer)
{
    bool is_directory = false;
    uint64_t byte_count = 0;

    return writer->options->is_named_by_content &&
           quarry_vfs_stat(writer->options->vfs, writer->final, &byte_count, &is_directory, NULL) ==
               QUARRY_OK &&
           is_directory;
}

static enum quarry_status finish(struct writer *writer, struct quarry_error *error)
{
    const struct block_write_options *options = writer->options;
    struct quarry_vfs *vfs = options->vfs;
    enum quarry_status status = block_chunks_finish(&writer->chunks_writer, error);

    if (status == QUARRY_OK) {
        status = block_index_finish(writer->index, error);
    }
    if (status == QUARRY_OK) {
        status = block_tombstones_write(writer->memory, vfs, writer->temporary, error);
    }
    if (options->min_t_ms != options->max_t_ms) {
        writer->meta.min_t_ms = options->min_t_ms;
        writer->meta.max_t_ms = options->max_t_ms;
    }
    if (status == QUARRY_OK && options->is_named_by_content) {
        status = name_by_content(writer, error);
    }
    if (status == QUARRY_OK) {
        status = block_meta_write(writer->memory, vfs, writer->temporary, &writer->meta, error);
    }
    if (status == QUARRY_OK) {
        status = quarry_vfs_sync_directory(vfs, writer->temporary, error);
    }
    if (status == QUARRY_OK && is_there(writer)) {
        block_directory_remove(writer->memory, vfs, writer->temporary);
        return QUARRY_OK;
    }
    if (status == QUARRY_OK) {
        status = quarry_vfs_rename(vfs, writer->temporary, writer->final, error); /* invariant 3 */
        writer->is_renamed = status == QUARRY_OK;
    }
    return status == QUARRY_OK ? quarry_vfs_sync_directory(vfs, options->directory, error) : status;
}

/* What a failure leaves. It is no more than rubbish, so that failing again is not told. */
static void remove_all(struct writer *writer)
{
    struct quarry_vfs *vfs = writer->options->vfs;

    if (writer->temporary != NULL && writer->final != NULL) {
        block_directory_remove(writer->memory, vfs, writer->temporary);
        if (!writer->options->is_named_by_content || writer->is_renamed) {
            block_directory_remove(writer->memory, vfs, writer->final);
        }
    }
}

/* `is_made`: the block is there, and stays. */
static void fini(struct writer *writer, bool is_made)
{
    block_index_destroy(writer->index);
    block_chunks_fini(&writer->chunks_writer);
    if (!is_made) {
        remove_all(writer);
    }
    histogram_chunk_appender_fini(&writer->histograms);
    block_array_fini(writer->memory, &writer->before);
    block_array_fini(writer->memory, &writer->before_labels);
    block_array_fini(writer->memory, &writer->chunks);
    tsdb_memory_give(writer->memory, writer->temporary);
    tsdb_memory_give(writer->memory, writer->final);
}

enum quarry_status block_write(const struct block_write_options *options,
                               const struct block_source *source, struct block_meta *ret_meta,
                               struct quarry_error *error)
{
    struct writer *writer = tsdb_memory_take_zero(options->memory, sizeof(*writer));

    if (writer == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "no memory to write a block");
    }
    writer->options = options;
    writer->memory = options->memory;
    histogram_chunk_appender_init(&writer->histograms, options->memory);
    enum quarry_status status = name_directory(writer, error);
    if (status == QUARRY_OK) {
        status = begin(writer, error);
    }
    if (status == QUARRY_OK) {
        status = add_all(writer, source, error);
    }
    if (status == QUARRY_OK) {
        status = finish(writer, error);
    }
    if (status == QUARRY_OK) {
        *ret_meta = writer->meta;
    }
    fini(writer, status == QUARRY_OK);
    tsdb_memory_give(options->memory, writer);
    return status;
}
