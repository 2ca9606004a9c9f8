/*
 * Prometheus' write-ahead log.
 *
 *     segment   page of 32 KiB | page | ...
 *     page      fragment | fragment | ... | zeros
 *     fragment  +------+--------+--------+-------+
 *               | type | length | crc32c | bytes |     type: 1 whole record, 2 first, 3 middle,
 *               | u8   | u16    | u32    |       |     4 last; 8 more: snappy, 16 more: zstd
 *               +------+--------+--------+-------+
 *
 * A record lies in one segment, its fragments in pages behind each other; compression is of the
 * record as a whole.
 *
 * Invariants:
 * 1. A record is given out only whole, from fragments whose checksums match and which follow each
 *    other. After damage fragments are passed over until one begins a record.
 * 2. Where a page has no fragment more it is zeros to its end, else that is damage: a type that was
 *    changed to 0 must not hide what follows.
 * 3. What a compressed record says of its length is held against the limit before memory is taken.
 *
 * Locking: none. Memory: a window, a record as it lies there, one uncompressed; zstd's context.
 */
#include <tsdb/prometheus_log.h>

#include <inttypes.h>
#include <snappy-c.h>
#include <stdlib.h>
#include <string.h>
#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>

#include <tsdb/block_directory.h>

#define PAGE_BYTES   Q_KIB(32)
#define HEADER_BYTES 7u
#define SNAPPY_BIT   8u
#define ZSTD_BIT     16u

enum { PAGE_END = 0, WHOLE = 1, FIRST = 2, MIDDLE = 3, LAST = 4 };

struct prometheus_log {
    struct tsdb_memory *memory;
    struct quarry_vfs *vfs;
    struct prometheus_losses *losses;
    char *directory; /* own */
    struct block_names names;
    size_t index;              /* of the next segment */
    struct block_in in;        /* the one under way; all-zero: none */
    uint64_t offset;           /* in it */
    struct block_array record; /* bytes of the record under way, as they lie there */
    struct block_array plain;  /* uncompressed */
    ZSTD_DCtx *zstd;
    uint8_t compression; /* bits of the record's first fragment */
    bool is_open;        /* a record has begun */
    bool is_passing;     /* after damage: until a record begins */
};

void prometheus_lose(struct prometheus_losses *losses, uint64_t byte_count,
                     const struct quarry_error *error)
{
    if (losses->damage_count++ == 0) {
        losses->first = *error;
    }
    losses->lost_bytes += byte_count;
}

/* ---- segments ------------------------------------------------------------------------------- */

static bool is_number(const char *name)
{
    return name[0] != '\0' && strlen(name) <= 18 && strspn(name, "0123456789") == strlen(name);
}

enum quarry_status prometheus_log_open(struct tsdb_memory *memory, struct quarry_vfs *vfs,
                                       const char *directory, uint64_t first,
                                       struct prometheus_losses *losses,
                                       struct prometheus_log **ret_log, struct quarry_error *error)
{
    struct prometheus_log *log = tsdb_memory_take_zero(memory, sizeof(*log));
    size_t directory_bytes = strlen(directory) + 1;

    if (log == NULL || (log->directory = tsdb_memory_take_zero(memory, directory_bytes)) == NULL) {
        tsdb_memory_give(memory, log);
        return error_set(error, QUARRY_NO_MEMORY, "%.120s: no memory to read it", directory);
    }
    log->memory = memory;
    log->vfs = vfs;
    log->losses = losses;
    memcpy(log->directory, directory, directory_bytes);
    enum quarry_status status =
        block_names_list(memory, vfs, directory, is_number, &log->names, error);
    if (status != QUARRY_OK) {
        prometheus_log_close(log);
        return status;
    }
    while (log->index < log->names.starts.count &&
           strtoull(block_name(&log->names, log->index), NULL, 10) < first) {
        log->index++;
    }
    *ret_log = log;
    return QUARRY_OK;
}

void prometheus_log_close(struct prometheus_log *log)
{
    if (log == NULL) {
        return;
    }
    block_in_fini(&log->in);
    block_names_fini(log->memory, &log->names);
    block_array_fini(log->memory, &log->record);
    block_array_fini(log->memory, &log->plain);
    (void)ZSTD_freeDCtx(log->zstd);
    tsdb_memory_give(log->memory, log->directory);
    tsdb_memory_give(log->memory, log);
}

static enum quarry_status next_segment(struct prometheus_log *log, struct quarry_error *error)
{
    block_in_fini(&log->in);
    log->offset = 0;
    log->is_open = false;
    log->is_passing = false;
    if (log->index == log->names.starts.count) {
        return QUARRY_NOT_FOUND;
    }
    char *path = block_path_join(log->memory, log->directory, block_name(&log->names, log->index));
    enum quarry_status status =
        block_in_open(&log->in, log->memory, log->vfs, path, PAGE_BYTES, error);
    log->index += status == QUARRY_OK;
    return status;
}

static bool is_last_segment(const struct prometheus_log *log)
{
    return log->index == log->names.starts.count;
}

/* ---- damage --------------------------------------------------------------------------------- */

/* Counts damage at the offset, and goes on at the next page. */
static void skip_page(struct prometheus_log *log, const char *what)
{
    struct quarry_error here = {0};
    uint64_t next = (log->offset / PAGE_BYTES + 1) * PAGE_BYTES;
    uint64_t end = next < log->in.byte_count ? next : log->in.byte_count;

    (void)block_in_corrupt(&log->in, log->offset, what, &here);
    prometheus_lose(log->losses, end - log->offset + (log->is_open ? log->record.count : 0), &here);
    log->offset = end;
    log->is_open = false;
    log->is_passing = true;
}

/* Counts a record that was whole but is of no use. */
static void lose_record(struct prometheus_log *log, const char *what)
{
    struct quarry_error here = {0};

    prometheus_log_place(log, &here, what);
    prometheus_lose(log->losses, log->record.count, &here);
}

void prometheus_log_place(const struct prometheus_log *log, struct quarry_error *error,
                          const char *what)
{
    (void)block_in_corrupt(&log->in, log->offset, what, error);
}

/* ---- fragments ------------------------------------------------------------------------------ */

struct fragment {
    const uint8_t *bytes;
    size_t count;
    uint8_t type;
    uint8_t compression;
};

static bool is_zero(const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (bytes[i] != 0) {
            return false;
        }
    }
    return true;
}

/* The rest of a page of which there is nothing more to read. */
static enum quarry_status pass_page_end(struct prometheus_log *log, const uint8_t *bytes,
                                        size_t count)
{
    if (is_zero(bytes, count)) {
        log->offset += count;
    } else {
        skip_page(log, "not a fragment, and not the end of a page");
    }
    return QUARRY_BUSY;
}

/* A fragment that the file ends in: of the last segment, what its writer did not finish. */
static enum quarry_status pass_torn(struct prometheus_log *log)
{
    if (is_last_segment(log)) {
        log->offset = log->in.byte_count;
    } else {
        skip_page(log, "the file ends within a fragment");
    }
    return QUARRY_BUSY;
}

/*
 * The fragment at the offset, which moves behind it. Errors: QUARRY_BUSY: there was none, and there
 * may be one at the new offset; of the vfs.
 */
static enum quarry_status read_fragment(struct prometheus_log *log, struct fragment *ret_fragment,
                                        struct quarry_error *error)
{
    size_t in_page = PAGE_BYTES - (size_t)(log->offset % PAGE_BYTES);
    size_t left = block_in_left(&log->in, log->offset, in_page);
    const uint8_t *bytes = NULL;
    enum quarry_status status = block_in_view(&log->in, log->offset, left, &bytes, error);

    if (status != QUARRY_OK) {
        return status;
    }
    if (in_page < HEADER_BYTES || bytes[0] == PAGE_END) {
        return pass_page_end(log, bytes, left);
    }
    if (left < HEADER_BYTES) {
        return pass_torn(log);
    }
    size_t count = endian_load_be_u16(bytes + 1);
    *ret_fragment = (struct fragment){
        .bytes = bytes + HEADER_BYTES,
        .count = count,
        .type = bytes[0] & 7,
        .compression = bytes[0] & (SNAPPY_BIT | ZSTD_BIT),
    };
    if ((bytes[0] & 0xe0) != 0 || ret_fragment->type > LAST || ret_fragment->type == PAGE_END ||
        ret_fragment->compression == (SNAPPY_BIT | ZSTD_BIT) || count > in_page - HEADER_BYTES) {
        skip_page(log, "not a fragment");
        return QUARRY_BUSY;
    }
    if (count > left - HEADER_BYTES) {
        return pass_torn(log);
    }
    if (endian_load_be_u32(bytes + 3) != crc32c_value(ret_fragment->bytes, count)) {
        skip_page(log, "checksum of a fragment does not match");
        return QUARRY_BUSY;
    }
    log->offset += HEADER_BYTES + count;
    return QUARRY_OK;
}

/*
 * Puts a fragment to the record under way. Errors: QUARRY_BUSY: the record is not whole yet;
 * QUARRY_NO_MEMORY.
 */
static enum quarry_status take_fragment(struct prometheus_log *log, const struct fragment *fragment,
                                        struct quarry_error *error)
{
    bool begins = fragment->type == WHOLE || fragment->type == FIRST;

    if (!begins && log->is_passing) {
        return QUARRY_BUSY;
    }
    if (begins == log->is_open) {
        lose_record(log, begins ? "a record that does not end" : "a record without a beginning");
        log->is_open = false;
        if (!begins) {
            log->is_passing = true;
            return QUARRY_BUSY;
        }
    }
    if (begins) {
        log->record.count = 0;
        log->compression = fragment->compression;
        log->is_open = true;
        log->is_passing = false;
    }
    if (log->record.count + fragment->count > PROMETHEUS_RECORD_BYTES_MAX) {
        lose_record(log, "a record of more than 64 MiB");
        log->is_open = false;
        log->is_passing = true;
        return QUARRY_BUSY;
    }
    enum quarry_status status =
        block_array_append(log->memory, &log->record, fragment->bytes, fragment->count);
    if (status != QUARRY_OK) {
        return error_set(error, status, "%.120s: no memory for a record of %zu bytes", log->in.path,
                         log->record.count + fragment->count);
    }
    log->is_open = fragment->type == FIRST || fragment->type == MIDDLE;
    return log->is_open ? QUARRY_BUSY : QUARRY_OK;
}

/* ---- records -------------------------------------------------------------------------------- */

static void *zstd_take(void *argument, size_t byte_count)
{
    return tsdb_memory_take_zero(argument, byte_count);
}

static void zstd_give(void *argument, void *object)
{
    tsdb_memory_give(argument, object);
}

/* Errors: QUARRY_CORRUPT, QUARRY_NO_MEMORY. */
static enum quarry_status unzstd(struct prometheus_log *log)
{
    struct block_array *plain = &log->plain;
    const ZSTD_customMem custom = {zstd_take, zstd_give, log->memory};
    unsigned long long length = ZSTD_getFrameContentSize(log->record.members, log->record.count);

    if (length == ZSTD_CONTENTSIZE_UNKNOWN) {
        length = ZSTD_decompressBound(log->record.members, log->record.count);
    }
    if (length > PROMETHEUS_RECORD_BYTES_MAX) { /* invariant 3; what is an error is large too */
        return QUARRY_CORRUPT;
    }
    if (log->zstd == NULL && (log->zstd = ZSTD_createDCtx_advanced(custom)) == NULL) {
        return QUARRY_NO_MEMORY;
    }
    if (block_array_reserve(log->memory, plain, (size_t)length + 1, 1) != QUARRY_OK) {
        return QUARRY_NO_MEMORY;
    }
    size_t count = ZSTD_decompressDCtx(log->zstd, plain->members, plain->capacity,
                                       log->record.members, log->record.count);
    if (ZSTD_isError(count)) {
        return QUARRY_CORRUPT;
    }
    plain->count = count;
    return QUARRY_OK;
}

static enum quarry_status unsnappy(struct prometheus_log *log)
{
    struct block_array *plain = &log->plain;
    size_t length = 0;

    if (snappy_uncompressed_length(log->record.members, log->record.count, &length) != SNAPPY_OK ||
        length > PROMETHEUS_RECORD_BYTES_MAX) {
        return QUARRY_CORRUPT;
    }
    if (block_array_reserve(log->memory, plain, length + 1, 1) != QUARRY_OK) {
        return QUARRY_NO_MEMORY;
    }
    plain->count = length;
    return snappy_uncompress(log->record.members, log->record.count, plain->members, &length) ==
                   SNAPPY_OK
               ? QUARRY_OK
               : QUARRY_CORRUPT;
}

static enum quarry_status uncompress(struct prometheus_log *log, struct block_array *ret_bytes)
{
    enum quarry_status status = QUARRY_OK;

    if (log->compression == 0) {
        *ret_bytes = log->record;
        return QUARRY_OK;
    }
    status = log->compression == SNAPPY_BIT ? unsnappy(log) : unzstd(log);
    *ret_bytes = log->plain;
    return status;
}

enum quarry_status prometheus_log_next(struct prometheus_log *log, const uint8_t **ret_bytes,
                                       size_t *ret_byte_count, struct quarry_error *error)
{
    struct block_array bytes;
    struct fragment fragment;
    enum quarry_status status;

    for (;;) {
        if (log->in.file == NULL || log->offset >= log->in.byte_count) {
            if (log->is_open && !is_last_segment(log)) {
                lose_record(log, "a record that does not end");
            }
            status = next_segment(log, error);
            if (status != QUARRY_OK) {
                return status;
            }
            continue;
        }
        status = read_fragment(log, &fragment, error);
        if (status == QUARRY_OK) {
            status = take_fragment(log, &fragment, error);
        }
        if (status == QUARRY_BUSY) {
            continue;
        }
        if (status != QUARRY_OK) {
            return status;
        }
        status = uncompress(log, &bytes);
        if (status == QUARRY_OK) {
            *ret_bytes = bytes.members;
            *ret_byte_count = bytes.count;
            return QUARRY_OK;
        }
        if (status != QUARRY_CORRUPT) {
            return error_set(error, status, "%.120s: offset %" PRIu64 ": no memory for a record",
                             log->in.path, log->offset);
        }
        lose_record(log, "a record that cannot be uncompressed");
    }
}
