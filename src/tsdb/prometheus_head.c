/*
 * The head of a Prometheus data directory.
 *
 * In what order: a chunk names its series by a number that only the log explains, so the log is
 * read for series first, and for all the rest after the chunks. Samples of a full chunk are in the
 * log too; they are told of once, as Prometheus does when it starts: what the log has up to the
 * last time of a series' chunks is passed over. Where the log has lost something that chunks have,
 * it is there; where chunks are damaged, the log has them.
 *
 *     chunks_head   +-------+------------+----------------------------------------------------+
 *                   | magic | 1, 0, 0, 0 | ref u64, first u64, last u64, encoding u8,         |
 *                   | u32   |            | varint n, n bytes, crc32c of all of these ... zeros |
 *                   +-------+------------+----------------------------------------------------+
 *
 * A chunk whose encoding has its top bit set came out of order; the log before which it was
 * written, wbl, has its samples as well, and says them again.
 *
 * Invariants:
 * 1. A chunk that is damaged ends the reading of its file: where the next one is, is not known.
 *    What was told of a series' chunks is what is passed over in the log, and no more.
 * 2. Chunks of a series lie in order of time; one that does not is passed over, and left to the
 * log.
 *
 * Locking: none.
 */
#include <tsdb/prometheus_head.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tsdb/block_directory.h>
#include <tsdb/block_samples.h>

#define CHECKPOINT       "checkpoint."
#define MAGIC            UINT32_C(0x0130bc91)
#define FILE_HEADER      8u
#define CHUNK_HEADER_MAX (25u + VARINT_U32_BYTES_MAX)
#define CHUNK_HEADER_MIN 26u
#define OUT_OF_ORDER_BIT 0x80u
#define WINDOW_BYTES     Q_KIB(64)
#define CHUNK_BYTES_MAX  Q_MIB(16)

/* Up to when the samples of a series were in chunks. */
struct mark {
    uint64_t ref;
    int64_t t_ms;
    bool is_used;
};

struct head {
    struct tsdb_memory *memory;
    struct quarry_vfs *vfs;
    const struct prometheus_visitor *visitor;
    struct prometheus_head_report *report;
    struct prometheus_losses *losses; /* where damage is counted; borrowed */
    struct prometheus_record_reader records;
    struct block_samples samples;
    struct mark *marks; /* own; a hash table, at most half full */
    size_t mark_capacity, mark_count;
    bool passes_marked; /* samples that chunks had */
};

/* ---- marks ---------------------------------------------------------------------------------- */

static struct mark *find_mark(struct mark *marks, size_t capacity, uint64_t ref)
{
    size_t at = (size_t)hash_xxh3_u64(&ref, sizeof ref, 0) & (capacity - 1);

    while (marks[at].is_used && marks[at].ref != ref) {
        at = (at + 1) & (capacity - 1);
    }
    return &marks[at];
}

static enum quarry_status grow_marks(struct head *head)
{
    size_t capacity = head->mark_capacity == 0 ? 64 : 2 * head->mark_capacity;
    struct mark *marks = tsdb_memory_take_zero(head->memory, capacity * sizeof(*marks));

    if (marks == NULL) {
        return QUARRY_NO_MEMORY;
    }
    for (size_t i = 0; i < head->mark_capacity; i++) {
        if (head->marks[i].is_used) {
            *find_mark(marks, capacity, head->marks[i].ref) = head->marks[i];
        }
    }
    tsdb_memory_give(head->memory, head->marks);
    head->marks = marks;
    head->mark_capacity = capacity;
    return QUARRY_OK;
}

/* The mark of a series, made if it is not there. Returns: NULL: no memory. */
static struct mark *have_mark(struct head *head, uint64_t ref)
{
    if (2 * (head->mark_count + 1) > head->mark_capacity && grow_marks(head) != QUARRY_OK) {
        return NULL;
    }
    struct mark *mark = find_mark(head->marks, head->mark_capacity, ref);
    if (!mark->is_used) {
        *mark = (struct mark){.ref = ref, .t_ms = INT64_MIN, .is_used = true};
        head->mark_count++;
    }
    return mark;
}

static bool is_marked(const struct head *head, uint64_t ref, int64_t t_ms)
{
    if (head->mark_count == 0) {
        return false;
    }
    const struct mark *mark = find_mark(head->marks, head->mark_capacity, ref);
    return mark->is_used && t_ms <= mark->t_ms;
}

/* ---- what the log says ---------------------------------------------------------------------- */

static enum quarry_status tell_series(void *argument, uint64_t ref,
                                      const struct tsdb_labels *labels, struct quarry_error *error)
{
    struct head *head = argument;

    head->report->series_count++;
    return head->visitor->series == NULL
               ? QUARRY_OK
               : head->visitor->series(head->visitor->argument, ref, labels, error);
}

static enum quarry_status tell_sample(void *argument, uint64_t ref,
                                      const struct block_sample *sample, struct quarry_error *error)
{
    struct head *head = argument;

    if (head->passes_marked && is_marked(head, ref, sample->t_ms)) {
        return QUARRY_OK;
    }
    head->report->sample_count++;
    return head->visitor->sample == NULL
               ? QUARRY_OK
               : head->visitor->sample(head->visitor->argument, ref, sample, error);
}

static enum quarry_status tell_deleted(void *argument, uint64_t ref, int64_t min_t_ms,
                                       int64_t max_t_ms, struct quarry_error *error)
{
    const struct prometheus_visitor *visitor = ((struct head *)argument)->visitor;

    return visitor->deleted == NULL
               ? QUARRY_OK
               : visitor->deleted(visitor->argument, ref, min_t_ms, max_t_ms, error);
}

static enum quarry_status tell_exemplar(void *argument, uint64_t ref, struct tsdb_sample sample,
                                        const struct tsdb_labels *labels,
                                        struct quarry_error *error)
{
    const struct prometheus_visitor *visitor = ((struct head *)argument)->visitor;

    return visitor->exemplar == NULL
               ? QUARRY_OK
               : visitor->exemplar(visitor->argument, ref, sample, labels, error);
}

static enum quarry_status tell_metadata(void *argument, uint64_t ref, uint8_t type,
                                        struct tsdb_slice unit, struct tsdb_slice help,
                                        struct quarry_error *error)
{
    const struct prometheus_visitor *visitor = ((struct head *)argument)->visitor;

    return visitor->metadata == NULL
               ? QUARRY_OK
               : visitor->metadata(visitor->argument, ref, type, unit, help, error);
}

static enum quarry_status read_records(struct head *head, struct prometheus_log *log,
                                       const struct prometheus_visitor *wanted,
                                       struct quarry_error *error)
{
    const uint8_t *bytes = NULL;
    size_t byte_count = 0;
    enum quarry_status status;

    while ((status = prometheus_log_next(log, &bytes, &byte_count, error)) == QUARRY_OK) {
        struct quarry_error here = {0};

        status = prometheus_record_read(&head->records, bytes, byte_count, wanted, error);
        if (status == QUARRY_CORRUPT) {
            prometheus_log_place(log, &here, "a record that is not what it should be");
            prometheus_lose(head->losses, byte_count, &here);
        } else if (status != QUARRY_OK) {
            return status == QUARRY_NO_MEMORY && (error == NULL || error->status != status)
                       ? error_set(error, status, "no memory for what is in a record")
                       : status;
        }
    }
    return status == QUARRY_NOT_FOUND ? QUARRY_OK : status;
}

/* Reads a directory of segments; one that is not there is empty. */
static enum quarry_status read_log(struct head *head, const char *directory, uint64_t first,
                                   const struct prometheus_visitor *wanted,
                                   struct quarry_error *error)
{
    struct prometheus_log *log = NULL;
    enum quarry_status status =
        prometheus_log_open(head->memory, head->vfs, directory, first, head->losses, &log, error);

    if (status == QUARRY_OK) {
        status = read_records(head, log, wanted, error);
    } else if (status == QUARRY_NOT_FOUND) {
        status = QUARRY_OK;
    }
    prometheus_log_close(log);
    return status;
}

static bool is_checkpoint(const char *name)
{
    size_t head = sizeof CHECKPOINT - 1;
    return strncmp(name, CHECKPOINT, head) == 0 && name[head] != '\0' &&
           strspn(name + head, "0123456789") == strlen(name + head);
}

/* The last checkpoint, and then the segments behind it. */
static enum quarry_status read_wal(struct head *head, const char *wal,
                                   const struct prometheus_visitor *wanted,
                                   struct quarry_error *error)
{
    struct block_names names;
    uint64_t first = 0;
    enum quarry_status status =
        block_names_list(head->memory, head->vfs, wal, is_checkpoint, &names, error);

    if (status != QUARRY_OK) {
        return status == QUARRY_NOT_FOUND ? QUARRY_OK : status;
    }
    if (names.starts.count != 0) {
        const char *name = block_name(&names, names.starts.count - 1);

        char *path = block_path_join(head->memory, wal, name);

        first = strtoull(name + sizeof CHECKPOINT - 1, NULL, 10) + 1;
        status = path == NULL ? error_set(error, QUARRY_NO_MEMORY, "no memory to read a log")
                              : read_log(head, path, 0, wanted, error);
        tsdb_memory_give(head->memory, path);
    }
    block_names_fini(head->memory, &names);
    return status == QUARRY_OK ? read_log(head, wal, first, wanted, error) : status;
}

/* ---- chunks --------------------------------------------------------------------------------- */

struct head_chunk {
    uint64_t ref;
    int64_t min_t_ms, max_t_ms;
    enum block_encoding encoding;
    bool is_out_of_order;
    const uint8_t *bytes;
    size_t byte_count;
};

static void lose_file(struct head *head, const struct block_in *in, uint64_t offset,
                      const struct quarry_error *error)
{
    prometheus_lose(head->losses, in->byte_count - offset, error);
}

/*
 * The chunk at an offset, which moves behind it. Errors: QUARRY_NOT_FOUND: there are no more, or
 * it is damaged, which is counted; QUARRY_BUSY: its encoding is not known, which is counted too,
 * and there may be another behind it; of the vfs.
 */
static enum quarry_status read_chunk(struct head *head, struct block_in *in, uint64_t *offset,
                                     struct head_chunk *ret_chunk, struct quarry_error *error)
{
    static const uint8_t zeros[CHUNK_HEADER_MIN];
    size_t most = block_in_left(in, *offset, CHUNK_HEADER_MAX);
    struct quarry_error here = {0};
    const uint8_t *bytes = NULL;
    uint32_t length = 0;

    if (most < CHUNK_HEADER_MIN) {
        return QUARRY_NOT_FOUND;
    }
    enum quarry_status status = block_in_view(in, *offset, most, &bytes, error);
    if (status != QUARRY_OK || memcmp(bytes, zeros, sizeof zeros) == 0) {
        return status == QUARRY_OK ? QUARRY_NOT_FOUND : status;
    }
    size_t taken = varint_get_u32(bytes + 25, bytes + most, &length);
    size_t count = 25 + taken + length;
    if (taken == 0 || length > CHUNK_BYTES_MAX || count + 4 > in->byte_count - *offset) {
        (void)block_in_corrupt(in, *offset, "not a chunk", &here);
        lose_file(head, in, *offset, &here);
        return QUARRY_NOT_FOUND;
    }
    status = block_in_view(in, *offset, count + 4, &bytes, error);
    if (status != QUARRY_OK) {
        return status;
    }
    if (endian_load_be_u32(bytes + count) != crc32c_value(bytes, count)) {
        (void)block_in_corrupt(in, *offset, "checksum of a chunk does not match", &here);
        lose_file(head, in, *offset, &here);
        return QUARRY_NOT_FOUND;
    }
    *ret_chunk = (struct head_chunk){
        .ref = endian_load_be_u64(bytes),
        .min_t_ms = (int64_t)endian_load_be_u64(bytes + 8),
        .max_t_ms = (int64_t)endian_load_be_u64(bytes + 16),
        .is_out_of_order = (bytes[24] & OUT_OF_ORDER_BIT) != 0,
        .bytes = bytes + 25 + taken,
        .byte_count = length,
    };
    if (block_encoding_of(in, *offset + 24, (uint8_t)(bytes[24] & ~OUT_OF_ORDER_BIT),
                          &ret_chunk->encoding, &here) != QUARRY_OK) {
        prometheus_lose(head->losses, count + 4, &here);
        status = QUARRY_BUSY;
    }
    *offset += count + 4;
    return status;
}

static enum quarry_status tell_chunk(struct head *head, const struct block_in *in, uint64_t offset,
                                     const struct head_chunk *chunk, struct quarry_error *error)
{
    struct mark *mark = have_mark(head, chunk->ref);
    struct block_sample sample;
    struct quarry_error here = {0};

    if (mark == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "no memory for the series of chunks");
    }
    if (!chunk->is_out_of_order && chunk->min_t_ms <= mark->t_ms) { /* invariant 2 */
        return QUARRY_OK;
    }
    enum quarry_status status =
        block_samples_begin(&head->samples, chunk->encoding, chunk->bytes, chunk->byte_count);
    while (status == QUARRY_OK) {
        status = block_samples_next(&head->samples, &sample);
        if (status != QUARRY_OK) {
            break;
        }
        if (!chunk->is_out_of_order) {
            mark->t_ms = sample.t_ms > mark->t_ms ? sample.t_ms : mark->t_ms;
        }
        head->report->chunk_sample_count++;
        status = tell_sample(head, chunk->ref, &sample, error);
        if (status != QUARRY_OK) {
            return status;
        }
    }
    if (status == QUARRY_NO_MEMORY) {
        return error_set(error, status, "%s", block_samples_text(status));
    }
    if (status != QUARRY_NOT_FOUND) {
        (void)block_in_corrupt(in, offset, block_samples_text(status), &here);
        prometheus_lose(head->losses, chunk->byte_count, &here);
    }
    return QUARRY_OK;
}

static enum quarry_status read_chunk_file(struct head *head, struct block_in *in,
                                          struct quarry_error *error)
{
    struct quarry_error here = {0};
    struct head_chunk chunk = {0};
    const uint8_t *bytes = NULL;
    uint64_t offset = FILE_HEADER;

    if (in->byte_count < FILE_HEADER) {
        return QUARRY_OK; /* one that was just begun */
    }
    enum quarry_status status = block_in_view(in, 0, FILE_HEADER, &bytes, error);
    if (status == QUARRY_OK && (endian_load_be_u32(bytes) != MAGIC || bytes[4] != 1)) {
        (void)block_in_corrupt(in, 0, "not a file of chunks of a head", &here);
        lose_file(head, in, 0, &here);
        return QUARRY_OK;
    }
    while (status == QUARRY_OK) {
        uint64_t start = offset;

        status = read_chunk(head, in, &offset, &chunk, error);
        if (status == QUARRY_OK) {
            status = tell_chunk(head, in, start, &chunk, error);
        } else if (status == QUARRY_BUSY) {
            status = QUARRY_OK;
        }
    }
    return status == QUARRY_NOT_FOUND ? QUARRY_OK : status;
}

static bool is_number(const char *name)
{
    return name[0] != '\0' && strspn(name, "0123456789") == strlen(name);
}

static enum quarry_status read_chunks(struct head *head, const char *directory,
                                      struct quarry_error *error)
{
    struct block_names names;
    enum quarry_status status =
        block_names_list(head->memory, head->vfs, directory, is_number, &names, error);

    if (status != QUARRY_OK) {
        return status == QUARRY_NOT_FOUND ? QUARRY_OK : status;
    }
    for (size_t i = 0; status == QUARRY_OK && i < names.starts.count; i++) {
        struct block_in in = {0};

        status = block_in_open(&in, head->memory, head->vfs,
                               block_path_join(head->memory, directory, block_name(&names, i)),
                               WINDOW_BYTES, error);
        if (status == QUARRY_OK) {
            status = read_chunk_file(head, &in, error);
        }
        block_in_fini(&in);
    }
    block_names_fini(head->memory, &names);
    return status;
}

/* ---- all of it ------------------------------------------------------------------------------ */

static enum quarry_status read_parts(struct head *head, const char *wal, const char *chunks,
                                     const char *wbl, struct quarry_error *error)
{
    const struct prometheus_visitor series_only = {.argument = head, .series = tell_series};
    const struct prometheus_visitor the_rest = {.argument = head,
                                                .sample = tell_sample,
                                                .deleted = tell_deleted,
                                                .exemplar = tell_exemplar,
                                                .metadata = tell_metadata};
    struct prometheus_losses twice = {0}; /* the second walk over the log counts its damage */

    head->losses = &twice;
    enum quarry_status status = read_wal(head, wal, &series_only, error);
    head->losses = &head->report->losses;
    head->records.unknown_count = 0;
    head->records.skipped_count = 0;
    if (status == QUARRY_OK) {
        status = read_chunks(head, chunks, error);
    }
    if (status == QUARRY_OK) {
        head->passes_marked = true;
        status = read_wal(head, wal, &the_rest, error);
        head->passes_marked = false;
    }
    return status == QUARRY_OK ? read_log(head, wbl, 0, &the_rest, error) : status;
}

enum quarry_status prometheus_head_read(struct tsdb_memory *memory, struct quarry_vfs *vfs,
                                        const char *directory,
                                        const struct prometheus_visitor *visitor,
                                        struct prometheus_head_report *ret_report,
                                        struct quarry_error *error)
{
    struct head head = {.memory = memory, .vfs = vfs, .visitor = visitor, .report = ret_report};
    char *wal = block_path_join(memory, directory, "wal");
    char *chunks = block_path_join(memory, directory, "chunks_head");
    char *wbl = block_path_join(memory, directory, "wbl");
    enum quarry_status status;

    *ret_report = (struct prometheus_head_report){0};
    prometheus_record_init(&head.records, memory);
    block_samples_init(&head.samples, memory);
    status = wal == NULL || chunks == NULL || wbl == NULL
                 ? error_set(error, QUARRY_NO_MEMORY, "%.120s: no memory to read it", directory)
                 : read_parts(&head, wal, chunks, wbl, error);
    ret_report->unknown_count = head.records.unknown_count;
    ret_report->skipped_count = head.records.skipped_count;
    prometheus_record_fini(&head.records);
    block_samples_fini(&head.samples);
    tsdb_memory_give(memory, head.marks);
    tsdb_memory_give(memory, wal);
    tsdb_memory_give(memory, chunks);
    tsdb_memory_give(memory, wbl);
    return status;
}
