/*
 * Reading logs, a block at a time.
 *
 *     block    | fragment | fragment | fragment |..|       what was read last, 32 KiB
 *     record   a fragment of the block itself; or those of several blocks, joined in `scratch`
 *
 * Everything that is not the next fragment ends the log. What it was is told by where zeros are: a
 * file that was preallocated, and one whose last sectors were never written, have zeros to the end;
 * zeros that something follows are a hole, which a machine that lost power can leave between pages
 * that it had written. So when the log ends, the rest of the file is read once for the last byte
 * that is not zero.
 *
 *     … | record | zeros to the end of the file                     clean
 *     … | record | first half of a record, zeros from a sector on   cut off
 *     … | record | zeros | anything                                 a hole
 *
 * Invariants
 *   1. Nothing behind the first thing that is no fragment is ever returned.
 *   2. A fragment's length is compared with what the block has before it is used, its checksum
 *      before its bytes are.
 *   3. `end.offset` is where the last record that was returned ended.
 *
 * Locking: none; one thread's. Cost: a read for each block, a checksum; records within a block are
 * not copied. Memory: a block, and the longest record that is in more than one.
 *
 * Rejected: to go on behind damage, as LevelDB and RocksDB can: a later change may need the one
 * that is lacking.
 *
 * Source: LevelDB's log::Reader; RocksDB's for recycled logs and zeros.
 */
#include <kv/log_read.h>

#include <os/os.h>

#define RECYCLED_HEADER_BYTES 11u
/* What a disk writes whole. */
#define SECTOR_BYTES 512u

struct kv_log_reader {
    /* const */
    struct quarry_vfs_file *file;
    const char *name;
    struct kv_memory *memory;
    uint32_t number_low;
    bool is_paranoid;

    uint64_t block_offset; /* in the file, of `block` */
    size_t block_bytes;    /* that were read into it */
    size_t at;             /* in it: the next fragment */
    bool is_in_record;     /* a first fragment was read, and no last one */
    struct quarry_kv_buffer scratch;
    struct kv_log_end end;
    enum quarry_status status; /* what every call returns from now on; OK: it has not ended */
    struct quarry_error error;
    char block[KV_LOG_BLOCK_BYTES];
};

/* What was found in place of a fragment, or a fragment. */
enum found { FOUND_FRAGMENT, FOUND_ENDING, FOUND_ERROR };

struct fragment {
    enum kv_log_type type;
    struct kv_slice bytes;
    enum kv_log_ending ending; /* of FOUND_ENDING */
    uint64_t end;              /* of FOUND_ENDING: of what is damaged, in the file */
};

const char *kv_log_ending_text(enum kv_log_ending ending)
{
    static const char *const texts[] = {
        [KV_LOG_ENDS_CLEAN] = "it ends",
        [KV_LOG_ENDS_CUT_OFF] = "its last record is cut off",
        [KV_LOG_ENDS_RECYCLED] = "records of an earlier log follow",
        [KV_LOG_ENDS_AT_HOLE] = "a hole, and something behind it",
        [KV_LOG_ENDS_CHECKSUM] = "a checksum does not match",
        [KV_LOG_ENDS_LENGTH] = "a length is beyond its block",
        [KV_LOG_ENDS_TYPE] = "a fragment is of an unknown type",
        [KV_LOG_ENDS_ORDER] = "a fragment does not belong behind the last",
    };

    Q_ASSERT((size_t)ending < sizeof(texts) / sizeof(texts[0]));
    return texts[ending];
}

/* ---- beginning and ending ------------------------------------------------------------------- */

enum quarry_status kv_log_reader_create(const struct kv_log_reader_options *options,
                                        struct kv_log_reader **ret_reader,
                                        struct quarry_error *error)
{
    struct kv_log_reader *reader = kv_memory_take(options->memory, sizeof(*reader));

    if (reader == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "log '%s': no memory to read it", options->name);
    }
    reader->file = options->file;
    reader->name = options->name;
    reader->memory = options->memory;
    reader->number_low = (uint32_t)options->number;
    reader->is_paranoid = options->is_paranoid;
    kv_buffer_init(&reader->scratch, options->memory, options->record_bytes_max);
    *ret_reader = reader;
    return QUARRY_OK;
}

void kv_log_reader_destroy(struct kv_log_reader *reader)
{
    if (reader != NULL) {
        kv_buffer_fini(&reader->scratch);
        kv_memory_give(reader->memory, reader);
    }
}

void kv_log_reader_end(const struct kv_log_reader *reader, struct kv_log_end *ret_end)
{
    Q_ASSERT(reader->status != QUARRY_OK);
    *ret_end = reader->end;
}

/* ---- blocks --------------------------------------------------------------------------------- */

static enum quarry_status read_block(struct kv_log_reader *reader, uint64_t offset)
{
    size_t byte_count = 0;
    enum quarry_status status = quarry_vfs_read(reader->file, offset, reader->block,
                                                KV_LOG_BLOCK_BYTES, &byte_count, &reader->error);

    reader->block_offset = offset;
    reader->block_bytes = status == QUARRY_OK ? byte_count : 0;
    reader->at = 0;
    return status;
}

/* The bytes of a block up to its last one that is not zero. */
static size_t bytes_without_zeros(const char *bytes, size_t byte_count)
{
    while (byte_count != 0 && bytes[byte_count - 1] == 0) {
        byte_count--;
    }
    return byte_count;
}

/* Where the file's last byte that is not zero ends, at `from` or behind; `from`: there is none.
 * What is in the block afterwards is not the block any more. */
static enum quarry_status find_content_end(struct kv_log_reader *reader, uint64_t from,
                                           uint64_t *ret_end)
{
    uint64_t end = from;
    uint64_t offset = from / KV_LOG_BLOCK_BYTES * KV_LOG_BLOCK_BYTES;
    enum quarry_status status;

    for (;; offset += KV_LOG_BLOCK_BYTES) {
        status = read_block(reader, offset);
        if (status != QUARRY_OK || reader->block_bytes == 0) {
            break;
        }
        size_t byte_count = bytes_without_zeros(reader->block, reader->block_bytes);
        if (byte_count != 0 && offset + byte_count > end) {
            end = offset + byte_count;
        }
    }
    *ret_end = end;
    return status;
}

/* ---- fragments ------------------------------------------------------------------------------ */

static enum found found_ending(const struct kv_log_reader *reader, enum kv_log_ending ending,
                               size_t byte_count, struct fragment *ret_fragment)
{
    ret_fragment->ending = ending;
    ret_fragment->end = reader->block_offset + reader->at + byte_count;
    return FOUND_ENDING;
}

/* A fragment of which the header is there. */
static enum found parse_fragment(struct kv_log_reader *reader, struct fragment *ret_fragment)
{
    const char *header = reader->block + reader->at;
    size_t left = reader->block_bytes - reader->at;
    size_t byte_count = endian_load_le_u16(header + 4);
    unsigned type = (unsigned char)header[6];
    bool is_recycled = type >= KV_LOG_RECYCLED_FULL && type <= KV_LOG_RECYCLED_LAST;
    size_t header_bytes = is_recycled ? RECYCLED_HEADER_BYTES : KV_LOG_HEADER_BYTES;

    if (type == KV_LOG_ZERO && byte_count == 0) {
        return found_ending(reader, KV_LOG_ENDS_AT_HOLE, KV_LOG_HEADER_BYTES, ret_fragment);
    }
    if (header_bytes + byte_count > left) {
        bool is_end = reader->block_bytes < KV_LOG_BLOCK_BYTES;
        return found_ending(reader, is_end ? KV_LOG_ENDS_CUT_OFF : KV_LOG_ENDS_LENGTH, left,
                            ret_fragment);
    }
    if (crc32c_unmask(endian_load_le_u32(header)) !=
        crc32c_value(header + 6, header_bytes - 6 + byte_count)) {
        return found_ending(reader, KV_LOG_ENDS_CHECKSUM, header_bytes + byte_count, ret_fragment);
    }
    if (is_recycled && endian_load_le_u32(header + 7) != reader->number_low) {
        return found_ending(reader, KV_LOG_ENDS_RECYCLED, 0, ret_fragment);
    }
    ret_fragment->type = (enum kv_log_type)(is_recycled ? type - 4 : type);
    ret_fragment->bytes = kv_slice(header + header_bytes, byte_count);
    reader->at += header_bytes + byte_count;
    return FOUND_FRAGMENT;
}

static enum found next_fragment(struct kv_log_reader *reader, struct fragment *ret_fragment)
{
    for (;;) {
        size_t left = reader->block_bytes - reader->at;
        if (left >= KV_LOG_HEADER_BYTES) {
            return parse_fragment(reader, ret_fragment);
        }
        /* Of a whole block, the rest is filling. */
        if (reader->block_bytes != 0 && reader->block_bytes < KV_LOG_BLOCK_BYTES) {
            return found_ending(reader, left == 0 ? KV_LOG_ENDS_CLEAN : KV_LOG_ENDS_CUT_OFF, left,
                                ret_fragment);
        }
        reader->status = read_block(reader, reader->block_offset + reader->block_bytes);
        if (reader->status != QUARRY_OK) {
            return FOUND_ERROR;
        }
        if (reader->block_bytes == 0) {
            return found_ending(reader, KV_LOG_ENDS_CLEAN, 0, ret_fragment);
        }
    }
}

/* ---- the end -------------------------------------------------------------------------------- */

/* What an ending is, by the zeros behind it. `content_end`: of what is not zero, or where the last
 * record ended. */
static enum kv_log_ending judge(const struct kv_log_reader *reader, const struct fragment *fragment,
                                uint64_t content_end)
{
    uint64_t sector_end = (content_end + SECTOR_BYTES - 1) / SECTOR_BYTES * SECTOR_BYTES;

    switch (fragment->ending) {
    case KV_LOG_ENDS_CLEAN:
        return reader->is_in_record ? KV_LOG_ENDS_CUT_OFF : KV_LOG_ENDS_CLEAN;
    case KV_LOG_ENDS_AT_HOLE:
        if (content_end >= fragment->end) {
            return KV_LOG_ENDS_AT_HOLE;
        }
        return reader->is_in_record ? KV_LOG_ENDS_CUT_OFF : KV_LOG_ENDS_CLEAN;
    case KV_LOG_ENDS_CHECKSUM:
    case KV_LOG_ENDS_LENGTH:
        return sector_end < fragment->end ? KV_LOG_ENDS_CUT_OFF : fragment->ending;
    case KV_LOG_ENDS_CUT_OFF:
    case KV_LOG_ENDS_RECYCLED:
    case KV_LOG_ENDS_TYPE:
    case KV_LOG_ENDS_ORDER:
        return fragment->ending;
    }
    Q_UNREACHABLE();
}

static bool is_whole_start(const struct kv_log_reader *reader, size_t at)
{
    const char *header = reader->block + at;
    size_t byte_count = endian_load_le_u16(header + 4);
    unsigned type = (unsigned char)header[6];

    return (type == KV_LOG_FULL || type == KV_LOG_FIRST) &&
           at + KV_LOG_HEADER_BYTES + byte_count <= reader->block_bytes &&
           crc32c_unmask(endian_load_le_u32(header)) ==
               crc32c_value(header + 6, KV_LOG_HEADER_BYTES - 6 + byte_count);
}

/*
 * Whether a record begins behind an offset, at whatever byte. Records that are synced one by one
 * have none behind a damaged one that was being written when the power failed: its sectors may be
 * there or not, in any order.
 */
static enum quarry_status find_record_behind(struct kv_log_reader *reader, uint64_t offset,
                                             bool *ret_is_there)
{
    uint64_t block_offset = offset / KV_LOG_BLOCK_BYTES * KV_LOG_BLOCK_BYTES;

    *ret_is_there = false;
    for (size_t at = (size_t)(offset - block_offset) + 1;; at = 0) {
        enum quarry_status status = read_block(reader, block_offset);
        if (status != QUARRY_OK || reader->block_bytes == 0) {
            return status;
        }
        for (; at + KV_LOG_HEADER_BYTES <= reader->block_bytes; at++) {
            if (is_whole_start(reader, at)) {
                *ret_is_there = true;
                return QUARRY_OK;
            }
        }
        block_offset += KV_LOG_BLOCK_BYTES;
    }
}

/* Damage to the paranoid: but for a last record that a loss of power has torn. */
static enum quarry_status judge_paranoid(struct kv_log_reader *reader)
{
    bool is_there = false;
    enum quarry_status status = find_record_behind(reader, reader->end.offset, &is_there);

    if (status != QUARRY_OK) {
        return status;
    }
    if (!is_there) {
        reader->end.ending = KV_LOG_ENDS_CUT_OFF;
        return QUARRY_NOT_FOUND;
    }
    return error_set(&reader->error, QUARRY_CORRUPT, "log '%s': behind byte %llu %s", reader->name,
                     (unsigned long long)reader->end.offset,
                     kv_log_ending_text(reader->end.ending));
}

/* The log ends here: says how, and what every further call returns. */
static enum quarry_status end_log(struct kv_log_reader *reader, const struct fragment *fragment)
{
    uint64_t content_end = reader->end.offset;

    reader->status = find_content_end(reader, reader->end.offset, &content_end);
    if (reader->status != QUARRY_OK) {
        return reader->status;
    }
    reader->end.ending = judge(reader, fragment, content_end);
    reader->end.dropped_bytes = content_end - reader->end.offset;
    reader->status = QUARRY_NOT_FOUND;
    if (reader->is_paranoid && reader->end.ending != KV_LOG_ENDS_CLEAN &&
        reader->end.ending != KV_LOG_ENDS_RECYCLED) {
        reader->status = judge_paranoid(reader);
    }
    return reader->status;
}

/* ---- records -------------------------------------------------------------------------------- */

static enum quarry_status append_fragment(struct kv_log_reader *reader,
                                          const struct fragment *fragment)
{
    enum quarry_status status =
        quarry_kv_buffer_append(&reader->scratch, fragment->bytes.bytes, fragment->bytes.count);

    if (status != QUARRY_OK) {
        reader->status = error_set(&reader->error, status,
                                   "log '%s': the record behind byte %llu has %zu bytes or more",
                                   reader->name, (unsigned long long)reader->end.offset,
                                   reader->scratch.byte_count + fragment->bytes.count);
    }
    return status;
}

/* Whether a fragment may come where the reader is. A first one without bytes may be followed by
 * another beginning: a writer leaves it at the end of a block and then begins anew. */
static bool is_in_order(const struct kv_log_reader *reader, enum kv_log_type type)
{
    bool begins = type == KV_LOG_FULL || type == KV_LOG_FIRST;

    return begins ? !reader->is_in_record || reader->scratch.byte_count == 0 : reader->is_in_record;
}

/* A record is whole. */
static struct kv_slice finish_record(struct kv_log_reader *reader, struct kv_slice record)
{
    reader->is_in_record = false;
    reader->end.offset = reader->block_offset + reader->at;
    reader->end.record_count++;
    return record;
}

static enum quarry_status refuse_type(struct kv_log_reader *reader, struct fragment *fragment)
{
    if (fragment->type == KV_LOG_SET_COMPRESSION) {
        reader->status = error_set(&reader->error, QUARRY_UNSUPPORTED,
                                   "log '%s': its records are compressed", reader->name);
        return reader->status;
    }
    fragment->ending = KV_LOG_ENDS_TYPE;
    fragment->end = reader->block_offset + reader->at;
    return end_log(reader, fragment);
}

/* Takes a fragment. `*ret_is_whole`: a record is, and in `ret_record`. */
static enum quarry_status take_fragment(struct kv_log_reader *reader, struct fragment *fragment,
                                        bool *ret_is_whole, struct kv_slice *ret_record)
{
    if (fragment->type < KV_LOG_FULL || fragment->type > KV_LOG_LAST) {
        return refuse_type(reader, fragment);
    }
    if (!is_in_order(reader, fragment->type)) {
        fragment->ending = KV_LOG_ENDS_ORDER;
        fragment->end = reader->block_offset + reader->at;
        return end_log(reader, fragment);
    }
    if (fragment->type == KV_LOG_FULL) {
        *ret_is_whole = true;
        *ret_record = finish_record(reader, fragment->bytes);
        return QUARRY_OK;
    }
    if (fragment->type == KV_LOG_FIRST) {
        kv_buffer_clear(&reader->scratch);
        reader->is_in_record = true;
    }
    enum quarry_status status = append_fragment(reader, fragment);
    if (status == QUARRY_OK && fragment->type == KV_LOG_LAST) {
        *ret_is_whole = true;
        *ret_record = finish_record(reader, kv_buffer_slice(&reader->scratch));
    }
    return status;
}

static enum quarry_status read_record(struct kv_log_reader *reader, struct kv_slice *ret_record)
{
    bool is_whole = false;

    while (reader->status == QUARRY_OK && !is_whole) {
        struct fragment fragment = {.type = KV_LOG_ZERO};
        switch (next_fragment(reader, &fragment)) {
        case FOUND_FRAGMENT:
            (void)take_fragment(reader, &fragment, &is_whole, ret_record);
            break;
        case FOUND_ENDING:
            (void)end_log(reader, &fragment);
            break;
        case FOUND_ERROR:
            break;
        }
    }
    return reader->status;
}

enum quarry_status kv_log_read(struct kv_log_reader *reader, struct kv_slice *ret_record,
                               struct quarry_error *error)
{
    struct kv_slice record = {"", 0};
    enum quarry_status status = read_record(reader, &record);

    if (status == QUARRY_OK) {
        *ret_record = record;
    } else if (error != NULL && status != QUARRY_NOT_FOUND) {
        *error = reader->error;
    }
    return status;
}
