/*
 * Reading segments, a block at a time.
 *
 *     … | record | record | ××××××× | record | record | ×××× | zeros
 *                          └ damaged: records behind it       └ torn: none
 *
 * A fragment whose checksum does not match is stepped over by its length; where that leads nowhere,
 * the rest of its block is. The next block begins with a header, so that reading goes on there.
 * What is not understood is a *gap*, which a record behind it makes damage, and the end of the file
 * a torn tail: the record was never finished, or what was to follow never came.
 *
 * Checksums begin with that of the block's header, made anew from what any header of the file says:
 * a fragment of another file or of another place does not match, and a header that is damaged loses
 * nothing. Zeros match nothing.
 *
 * What a gap took with it is not known. The decoder is told that there was one, and says which
 * samples it could not read for that.
 *
 * Invariants
 *   1. A fragment is used when its length is within the block and its checksum matches.
 *   2. A record is decoded when all its fragments followed each other.
 *   3. A gap is reported once, with the record behind it or at the end.
 *
 * A block that cannot be read is tried twice, and then is a gap.
 *
 * Locking: none; one thread's. Cost: a read for each block, its checksum, a copy of records that
 * are in more than one. Memory: a block, the longest record, the decoder's.
 *
 * Rejected: to search for fragments at every byte of a damaged block: it is 32 KiB.
 */
#include <tsdb/log_read.h>

#include <string.h>

#include <tsdb/log_block.h>
#include <tsdb/log_decode.h>

struct reader {
    const struct log_read_options *options; /* const */
    struct quarry_vfs_file *file;
    struct tsdb_log_replayed *replayed;
    struct quarry_error *error;
    struct log_decoder *decoder;
    struct log_identity identity;
    uint64_t block_count;

    /* the block */
    uint64_t block;
    size_t block_bytes;
    bool is_header_lost; /* and has not been told */

    /* the record */
    struct tsdb_buffer record; /* of several fragments, so far */
    bool is_in_record;
    uint64_t record_offset, record_end; /* of its fragments so far */

    /* the gap before what comes next */
    bool has_gap;
    uint64_t gap_offset, gap_content_end;

    struct log_times before; /* of the last record */
    struct tsdb_log_loss undecoded;
    uint8_t bytes[LOG_BLOCK_BYTES + LOG_DECODE_SLACK_BYTES];
};

const char *tsdb_log_loss_text(enum tsdb_log_loss_kind kind)
{
    static const char *const texts[] = {
        [TSDB_LOG_TORN] = "not finished",
        [TSDB_LOG_DAMAGED] = "damaged",
        [TSDB_LOG_UNDECODED] = "unreadable for want of what was damaged",
    };

    Q_ASSERT((size_t)kind < sizeof(texts) / sizeof(texts[0]));
    return texts[kind];
}

/* ---- losses --------------------------------------------------------------------------------- */

static void report(struct reader *reader, enum tsdb_log_loss_kind kind, uint64_t offset,
                   uint64_t byte_count, struct log_times times)
{
    const struct tsdb_log_loss loss = {.kind = kind,
                                       .window = reader->options->window,
                                       .sequence = reader->options->sequence,
                                       .offset = offset,
                                       .byte_count = byte_count,
                                       .t_from_ms = times.from_ms,
                                       .t_to_ms = times.to_ms};

    reader->replayed->loss_count++;
    reader->replayed->lost_bytes += byte_count;
    reader->options->visitor->lost(reader->options->visitor->argument, &loss);
}

/* From an offset on, or from the record that it cuts off, nothing is understood. */
static void note_gap(struct reader *reader, uint64_t offset)
{
    uint64_t content_end = offset;

    if (reader->is_in_record) {
        offset = reader->record_offset;
        content_end = reader->record_end;
        reader->is_in_record = false;
    }
    if (!reader->has_gap) {
        reader->has_gap = true;
        reader->gap_offset = offset;
        reader->gap_content_end = content_end;
    }
}

/* What of the block belongs to the gap and is not zero. */
static void measure_gap(struct reader *reader)
{
    uint64_t offset = reader->block * LOG_BLOCK_BYTES;
    size_t byte_count = reader->block_bytes;

    while (byte_count != 0 && reader->bytes[byte_count - 1] == 0) {
        byte_count--;
    }
    if (reader->has_gap && byte_count != 0 && offset + byte_count > reader->gap_content_end) {
        reader->gap_content_end = offset + byte_count;
    }
}

/* A record begins behind the gap. */
static void close_gap(struct reader *reader, uint64_t record_offset, struct log_times behind)
{
    struct log_times times = {
        reader->before.from_ms <= reader->before.to_ms ? reader->before.from_ms : INT64_MIN,
        behind.from_ms <= behind.to_ms ? behind.to_ms : INT64_MAX};

    reader->has_gap = false;
    report(reader, TSDB_LOG_DAMAGED, reader->gap_offset, record_offset - reader->gap_offset, times);
}

static void close_last_gap(struct reader *reader)
{
    struct log_times times = {
        reader->before.from_ms <= reader->before.to_ms ? reader->before.from_ms : INT64_MIN,
        INT64_MAX};

    if (reader->is_in_record) {
        note_gap(reader, reader->record_offset);
    }
    if (reader->has_gap && reader->gap_content_end > reader->gap_offset) {
        report(reader, TSDB_LOG_TORN, reader->gap_offset,
               reader->gap_content_end - reader->gap_offset, times);
    }
}

static void add_undecoded(struct reader *reader, const struct log_decoded *decoded)
{
    struct tsdb_log_loss *loss = &reader->undecoded;

    if (decoded->undecoded_count == 0) {
        return;
    }
    struct log_times times = decoded->undecoded_times;
    if (loss->sample_count != 0) {
        log_times_add(&times, loss->t_from_ms);
        log_times_add(&times, loss->t_to_ms);
    }
    loss->sample_count += decoded->undecoded_count;
    loss->t_from_ms = times.from_ms;
    loss->t_to_ms = times.to_ms;
}

static void report_undecoded(struct reader *reader)
{
    struct tsdb_log_loss *loss = &reader->undecoded;

    if (loss->sample_count != 0) {
        loss->kind = TSDB_LOG_UNDECODED;
        loss->window = reader->options->window;
        loss->sequence = reader->options->sequence;
        reader->replayed->loss_count++;
        reader->replayed->lost_samples += loss->sample_count;
        reader->options->visitor->lost(reader->options->visitor->argument, loss);
    }
}

/* ---- records -------------------------------------------------------------------------------- */

/* Returns: other than OK: it ends the reading. */
static enum quarry_status take_record(struct reader *reader, struct tsdb_slice bytes)
{
    struct log_decoded decoded;

    reader->is_in_record = false;
    if (reader->has_gap) {
        log_decoder_skip(reader->decoder);
    }
    enum quarry_status status = log_decode(reader->decoder, bytes, &decoded);
    if (status == QUARRY_CORRUPT) {
        note_gap(reader, reader->record_offset);
        return QUARRY_OK;
    }
    if (status != QUARRY_OK) {
        return error_set(reader->error, status, "log '%s': replaying the record at byte %llu",
                         reader->options->path, (unsigned long long)reader->record_offset);
    }
    if (reader->has_gap) {
        close_gap(reader, reader->record_offset, decoded.times);
    }
    reader->before = decoded.times;
    reader->replayed->record_count++;
    reader->replayed->sample_count += decoded.sample_count;
    reader->replayed->histogram_count += decoded.histogram_count;
    reader->replayed->exemplar_count += decoded.exemplar_count;
    add_undecoded(reader, &decoded);
    return QUARRY_OK;
}

/* Joins a fragment to the record. */
static enum quarry_status join(struct reader *reader, const uint8_t *bytes, size_t byte_count)
{
    struct tsdb_buffer *record = &reader->record;

    if (record->byte_count + byte_count > LOG_RECORD_BYTES_MAX) {
        note_gap(reader, reader->record_offset);
        return QUARRY_OK;
    }
    enum quarry_status status = tsdb_buffer_reserve(record, byte_count + LOG_DECODE_SLACK_BYTES);
    if (status != QUARRY_OK) {
        return error_set(reader->error, status, "log '%s': no memory for a record of %zu bytes",
                         reader->options->path, record->byte_count + byte_count);
    }
    if (byte_count != 0) {
        memcpy(record->bytes + record->byte_count, bytes, byte_count);
    }
    record->byte_count += byte_count;
    return QUARRY_OK;
}

/* A fragment that matches. `offset`: of it in the file. */
static enum quarry_status take_fragment(struct reader *reader, uint8_t type, uint64_t offset,
                                        const uint8_t *bytes, size_t byte_count)
{
    bool begins = type == LOG_FRAGMENT_WHOLE || type == LOG_FRAGMENT_FIRST;

    /* One that begins cuts off the record before it, one that goes on needs one. */
    if (begins == reader->is_in_record) {
        note_gap(reader, offset);
    }
    if (begins) {
        reader->record_offset = offset;
        reader->record.byte_count = 0;
        reader->is_in_record = true;
    }
    reader->record_end = offset + LOG_FRAGMENT_BYTES + byte_count;
    if (type == LOG_FRAGMENT_WHOLE) {
        return take_record(reader, (struct tsdb_slice){(const char *)bytes, byte_count});
    }
    if (!reader->is_in_record) {
        return QUARRY_OK;
    }
    enum quarry_status status = join(reader, bytes, byte_count);
    if (status != QUARRY_OK || type != LOG_FRAGMENT_LAST || !reader->is_in_record) {
        return status;
    }
    return take_record(
        reader, (struct tsdb_slice){(const char *)reader->record.bytes, reader->record.byte_count});
}

/* ---- blocks --------------------------------------------------------------------------------- */

/* Returns: false: it cannot be read. */
static bool read_block(struct reader *reader, uint64_t block)
{
    size_t byte_count = 0;

    reader->block = block;
    reader->block_bytes = 0;
    for (int tries = 0; tries < 2; tries++) {
        if (quarry_vfs_read(reader->file, block * LOG_BLOCK_BYTES, reader->bytes, LOG_BLOCK_BYTES,
                            &byte_count, NULL) == QUARRY_OK) {
            reader->block_bytes = byte_count;
            return true;
        }
    }
    return false;
}

/* Whether the block's header says what it should; of the first block, one of two. */
static bool has_header(const struct reader *reader)
{
    struct log_identity identity;

    for (size_t at = 0; at < log_block_start(reader->block); at += LOG_BLOCK_HEADER_BYTES) {
        if (at + LOG_BLOCK_HEADER_BYTES > reader->block_bytes ||
            !log_block_header_get(reader->bytes + at, reader->block, &identity) ||
            identity.window != reader->identity.window ||
            identity.sequence != reader->identity.sequence ||
            identity.salt != reader->identity.salt) {
            return false;
        }
    }
    return true;
}

/* A fragment at a place, or none. */
static bool is_fragment(const struct reader *reader, size_t at, uint32_t seed)
{
    const uint8_t *head = reader->bytes + at;
    size_t byte_count = endian_load_le_u16(head + 4);

    return head[6] >= LOG_FRAGMENT_WHOLE && head[6] <= LOG_FRAGMENT_LAST &&
           byte_count <= reader->block_bytes - at - LOG_FRAGMENT_BYTES && /* invariant 1 */
           endian_load_le_u32(head) == crc32c_extend(seed, head + 4, 3 + byte_count);
}

/* The header was damaged, and the block can be read all the same. */
static void report_header(struct reader *reader)
{
    if (reader->is_header_lost) {
        reader->is_header_lost = false;
        report(reader, TSDB_LOG_DAMAGED, reader->block * LOG_BLOCK_BYTES,
               log_block_start(reader->block), LOG_TIMES_NONE);
    }
}

/* The fragments of the block. */
static enum quarry_status take_fragments(struct reader *reader)
{
    uint32_t seed = log_block_seed(&reader->identity, reader->block);
    uint64_t offset = reader->block * LOG_BLOCK_BYTES;
    size_t at = log_block_start(reader->block);
    enum quarry_status status = QUARRY_OK;

    while (at + LOG_FRAGMENT_BYTES <= reader->block_bytes && status == QUARRY_OK) {
        const uint8_t *head = reader->bytes + at;
        size_t byte_count = endian_load_le_u16(head + 4);
        if (is_fragment(reader, at, seed)) {
            report_header(reader);
            status =
                take_fragment(reader, head[6], offset + at, head + LOG_FRAGMENT_BYTES, byte_count);
        } else {
            note_gap(reader, reader->is_header_lost ? offset : offset + at);
            if (byte_count == 0 || byte_count > reader->block_bytes - at - LOG_FRAGMENT_BYTES) {
                break;
            }
        }
        at += LOG_FRAGMENT_BYTES + byte_count;
    }
    /* Of a whole block, fewer bytes than a fragment's are filling. */
    if (at < reader->block_bytes && reader->block_bytes < LOG_BLOCK_BYTES) {
        note_gap(reader, offset + at);
    }
    return status;
}

static enum quarry_status take_block(struct reader *reader, uint64_t block)
{
    uint64_t offset = block * LOG_BLOCK_BYTES;
    enum quarry_status status = QUARRY_OK;

    if (!read_block(reader, block)) {
        note_gap(reader, offset);
        reader->gap_content_end = offset + LOG_BLOCK_BYTES;
        return QUARRY_OK;
    }
    reader->is_header_lost = !has_header(reader);
    if (reader->block_bytes <= log_block_start(block)) {
        note_gap(reader, offset);
    } else {
        status = take_fragments(reader);
    }
    measure_gap(reader);
    return status;
}

/* ---- whose file it is ----------------------------------------------------------------------- */

/* Whether a header is one of this segment. */
static enum quarry_status check_identity(struct reader *reader, const uint8_t *header,
                                         bool *ret_is_found)
{
    const struct log_read_options *options = reader->options;
    uint32_t magic = endian_load_le_u32(header + 4);

    if (log_block_header_get(header, reader->block, &reader->identity)) {
        *ret_is_found = reader->identity.window == options->window &&
                        reader->identity.sequence == options->sequence;
        return QUARRY_OK;
    }
    if ((magic ^ LOG_BLOCK_MAGIC) << 8 == 0 &&
        endian_load_le_u32(header) == crc32c_value(header + 4, LOG_BLOCK_HEADER_BYTES - 4) &&
        magic != LOG_BLOCK_MAGIC) {
        return error_set(reader->error, QUARRY_UNSUPPORTED,
                         "log '%s': of version '%c', this build reads '%c'", options->path,
                         (int)(magic >> 24), (int)(LOG_BLOCK_MAGIC >> 24));
    }
    return QUARRY_OK;
}

/* Finds a header that can be read. `ret_is_found`: false: there is none in the file. */
static enum quarry_status find_identity(struct reader *reader, bool *ret_is_found)
{
    enum quarry_status status = QUARRY_OK;

    *ret_is_found = false;
    for (uint64_t block = 0; block < reader->block_count && !*ret_is_found; block++) {
        if (!read_block(reader, block)) {
            continue;
        }
        for (size_t at = 0; at < log_block_start(block) && !*ret_is_found &&
                            at + LOG_BLOCK_HEADER_BYTES <= reader->block_bytes;
             at += LOG_BLOCK_HEADER_BYTES) {
            status = check_identity(reader, reader->bytes + at, ret_is_found);
            if (status != QUARRY_OK) {
                return status;
            }
        }
    }
    return status;
}

/* Nothing in the file says what it is: all of it that is not zero is lost. */
static void lose_all(struct reader *reader)
{
    note_gap(reader, 0);
    for (uint64_t block = 0; block < reader->block_count; block++) {
        if (read_block(reader, block)) {
            measure_gap(reader);
        } else {
            reader->gap_content_end = (block + 1) * LOG_BLOCK_BYTES;
        }
    }
}

/* ---- the file ------------------------------------------------------------------------------- */

static enum quarry_status read_blocks(struct reader *reader)
{
    bool is_found = false;
    enum quarry_status status = find_identity(reader, &is_found);

    if (status == QUARRY_OK && !is_found) {
        lose_all(reader);
    }
    for (uint64_t block = 0; block < reader->block_count && is_found && status == QUARRY_OK;
         block++) {
        status = take_block(reader, block);
    }
    if (status == QUARRY_OK) {
        close_last_gap(reader);
    }
    report_undecoded(reader);
    return status;
}

static enum quarry_status open_file(struct reader *reader)
{
    const struct log_read_options *options = reader->options;
    uint64_t byte_count = 0;
    enum quarry_status status =
        quarry_vfs_open(options->vfs, options->path, QUARRY_VFS_READ, &reader->file, reader->error);

    if (status == QUARRY_OK) {
        status = quarry_vfs_size(reader->file, &byte_count, reader->error);
    }
    if (status == QUARRY_OK) {
        quarry_vfs_advise(reader->file, 0, 0, QUARRY_VFS_SEQUENTIAL);
        reader->block_count = (byte_count + LOG_BLOCK_BYTES - 1) / LOG_BLOCK_BYTES;
    }
    return status;
}

enum quarry_status log_read(const struct log_read_options *options,
                            struct tsdb_log_replayed *replayed, struct quarry_error *error)
{
    struct reader *reader = tsdb_memory_take_zero(options->memory, sizeof(*reader));
    enum quarry_status status = QUARRY_NO_MEMORY;

    if (reader != NULL) {
        reader->options = options;
        reader->replayed = replayed;
        reader->error = error;
        reader->record.memory = options->memory;
        reader->before = LOG_TIMES_NONE;
        status = log_decoder_create(options->memory, options->visitor, &reader->decoder);
    }
    if (status != QUARRY_OK) {
        tsdb_memory_give(options->memory, reader);
        return error_set(error, status, "log '%s': no memory to read it", options->path);
    }
    replayed->segment_count++;
    status = open_file(reader);
    if (status == QUARRY_OK) {
        status = read_blocks(reader);
    }
    quarry_vfs_close(reader->file);
    log_decoder_destroy(reader->decoder);
    tsdb_buffer_fini(&reader->record);
    tsdb_memory_give(options->memory, reader);
    return status;
}
