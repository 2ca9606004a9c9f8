/*
 * Segments: records cut into fragments that do not cross blocks.
 *
 *     | header | header | fragment | fragment …   | header | fragment … | zeros | header | …
 *     0                                          32 KiB                        64 KiB
 *     fragment   | checksum | length | type | bytes |     7 bytes before them
 *
 * A record is put together in a buffer of two blocks, headers and all, and written by one call;
 * a longer one in pieces. The file is preallocated some MiB ahead, so that a sync has no length to
 * write down. A file system that cannot do that has each write make the file longer.
 *
 * Syncing: who comes first syncs all there is, and the directory the first time; who comes
 * meanwhile waits for that, and is done, or one of them is the next. `turn` counts syncs and is
 * what they sleep on.
 *
 * Breaking: after a write or a sync that failed, nothing is known of what was not synced before.
 * The first error is kept and told to all, and nothing is written or synced any more: the kernel
 * may have dropped the pages and called them clean.
 *
 * Invariants
 *   1. [0, end) is whole records and headers, and with the kernel; end only rises.
 *   2. synced_end <= end; what lies below it, and the file's name, were there when a sync began
 *      that succeeded.
 *   3. Bytes behind `end` are zeros, or of a record that failed, after which none comes.
 *   4. A record that failed takes nothing from those before it: they can be synced as ever. A sync
 *      that failed is told to all who wait, and is the last.
 *
 * Locking: appending is one at a time by its caller's lock. Syncing takes none: `end` is published
 * with release.
 * Cost: for a record a copy, its checksum, and a call of 1 to 5 us.
 *
 * Rejected: a mapped file, as the log of kv has. There a record is a hundred bytes, and a call is
 * twenty times the copy; here it is the samples of a scrape or of a request. For 1.5 KiB, 500
 * samples, a call takes 1.8 us and a copy into a mapping 0.55 us, its faults and what fills it
 * included: 2.5 ns a sample, of some 20 that logging one takes. For that a full disk is told by a
 * status, and nothing that is done to the file behind our back ends the process.
 */
#include <tsdb/log_segment.h>

#include <os/os.h>

/* What is put together before it is written. Doubling it halves the calls for long records. */
#define ROOM_BYTES (2 * LOG_BLOCK_BYTES)
/* Preallocated at a time. Doubling it halves how often a sync writes the file's length, and
 * doubles what a segment that was not finished has too much. */
#define PREALLOCATED_BYTES Q_MIB(4)

struct log_segment {
    /* const after creation */
    struct tsdb_memory *memory;
    struct quarry_vfs *vfs;
    const char *path, *directory;
    struct quarry_vfs_file *file;
    struct log_identity identity;

    /* of who appends */
    bool has_failed;      /* to append, which broke it */
    bool is_preallocated; /* false: the file system cannot, or it is finished */
    uint64_t allocated_end;
    uint64_t at;   /* where the record that is being appended has come to */
    uint32_t seed; /* of the block that it is in */
    size_t room_count;

    /* atomic */
    _Atomic uint64_t end;
    _Atomic bool is_broken;    /* nothing is appended any more */
    _Atomic bool is_sync_lost; /* a sync failed: is_broken as well; release: pairs with acquires */
    /* written once, before is_broken; guarded by error_mutex until then */
    struct os_mutex error_mutex;
    struct quarry_error error;

    Q_ALIGNED(Q_CACHE_LINE_BYTES) _Atomic uint64_t synced_end;
    _Atomic uint32_t turn; /* futex */
    _Atomic bool is_syncing;
    bool is_name_synced; /* of who syncs */
    _Atomic uint64_t sync_count, shared_count;

    uint8_t room[ROOM_BYTES]; /* of who appends */
};

/* ---- breaking ------------------------------------------------------------------------------- */

/* The first error is kept. */
static enum quarry_status break_segment(struct log_segment *segment, enum quarry_status status,
                                        struct quarry_error *error)
{
    os_mutex_lock(&segment->error_mutex);
    if (!atomic_load_relaxed_bool(&segment->is_broken)) {
        segment->error = *error;
        segment->error.status = status;
        /* Release: pairs with the acquire in log_segment_status. */
        atomic_store_release_bool(&segment->is_broken, true);
    }
    os_mutex_unlock(&segment->error_mutex);
    return status;
}

enum quarry_status log_segment_status(struct log_segment *segment, struct quarry_error *error)
{
    /* Acquire: pairs with the release in break_segment. */
    if (Q_LIKELY(!atomic_load_acquire_bool(&segment->is_broken))) {
        return QUARRY_OK;
    }
    if (error != NULL) {
        *error = segment->error;
    }
    return segment->error.status;
}

/* ---- putting bytes -------------------------------------------------------------------------- */

/* What is in the room goes to the file; it is the end of what has been put. */
static enum quarry_status flush_room(struct log_segment *segment, struct quarry_error *error)
{
    enum quarry_status status = QUARRY_OK;

    if (segment->room_count != 0) {
        status = quarry_vfs_write(segment->file, segment->at - segment->room_count, segment->room,
                                  segment->room_count, error);
        segment->room_count = 0;
    }
    return status;
}

/* Where the next bytes are to be put, which they are by that. They do not cross a block. */
static enum quarry_status take_place(struct log_segment *segment, size_t byte_count,
                                     uint8_t **ret_place, struct quarry_error *error)
{
    enum quarry_status status = QUARRY_OK;

    Q_ASSERT(segment->at % LOG_BLOCK_BYTES + byte_count <= LOG_BLOCK_BYTES);
    if (byte_count > ROOM_BYTES - segment->room_count) {
        status = flush_room(segment, error);
    }
    *ret_place = segment->room + segment->room_count;
    segment->room_count += byte_count;
    segment->at += byte_count;
    return status;
}

/* At the beginning of a block: its header, or the first block's two. */
static enum quarry_status put_header(struct log_segment *segment, struct quarry_error *error)
{
    uint64_t block = segment->at / LOG_BLOCK_BYTES;
    uint8_t *place = NULL;
    enum quarry_status status = take_place(segment, log_block_start(block), &place, error);

    if (status == QUARRY_OK) {
        log_block_header_put(place, &segment->identity, block);
        segment->seed = endian_load_le_u32(place);
        if (block == 0) {
            memcpy(place + LOG_BLOCK_HEADER_BYTES, place, LOG_BLOCK_HEADER_BYTES);
        }
    }
    return status;
}

/* Comes to a place that has room for a fragment. `ret_room`: for its own bytes. */
static enum quarry_status begin_fragment(struct log_segment *segment, size_t *ret_room,
                                         struct quarry_error *error)
{
    enum quarry_status status = QUARRY_OK;
    size_t left = LOG_BLOCK_BYTES - segment->at % LOG_BLOCK_BYTES;
    uint8_t *place = NULL;

    if (left < LOG_FRAGMENT_BYTES) {
        status = take_place(segment, left, &place, error);
        if (status == QUARRY_OK) {
            memset(place, 0, left);
        }
        left = LOG_BLOCK_BYTES;
    }
    if (status == QUARRY_OK && left == LOG_BLOCK_BYTES) {
        status = put_header(segment, error);
        left = LOG_BLOCK_BYTES - segment->at % LOG_BLOCK_BYTES;
    }
    *ret_room = left - LOG_FRAGMENT_BYTES;
    return status;
}

/* What of a record's parts has not been put. */
struct rest {
    const struct tsdb_slice *parts;
    size_t part; /* that is next */
    size_t done; /* of it */
    size_t byte_count;
};

static void take_rest(struct rest *rest, uint8_t *to, size_t byte_count)
{
    Q_ASSERT(byte_count <= rest->byte_count);
    rest->byte_count -= byte_count;
    while (byte_count != 0) {
        const struct tsdb_slice *part = &rest->parts[rest->part];
        size_t piece = size_min(byte_count, part->count - rest->done);
        if (piece == 0) {
            rest->part++;
            rest->done = 0;
            continue;
        }
        memcpy(to, part->bytes + rest->done, piece);
        to += piece;
        rest->done += piece;
        byte_count -= piece;
    }
}

static enum log_fragment_type type_of(bool is_first, bool is_last)
{
    if (is_first) {
        return is_last ? LOG_FRAGMENT_WHOLE : LOG_FRAGMENT_FIRST;
    }
    return is_last ? LOG_FRAGMENT_LAST : LOG_FRAGMENT_MIDDLE;
}

static enum quarry_status put_fragment(struct log_segment *segment, struct rest *rest,
                                       bool is_first, struct quarry_error *error)
{
    uint8_t *place = NULL;
    size_t room = 0, byte_count;
    enum quarry_status status = begin_fragment(segment, &room, error);

    if (status != QUARRY_OK) {
        return status;
    }
    byte_count = size_min(room, rest->byte_count);
    status = take_place(segment, LOG_FRAGMENT_BYTES + byte_count, &place, error);
    if (status != QUARRY_OK) {
        return status;
    }
    take_rest(rest, place + LOG_FRAGMENT_BYTES, byte_count);
    endian_store_le_u16(place + 4, (uint16_t)byte_count);
    place[6] = (uint8_t)type_of(is_first, rest->byte_count == 0);
    endian_store_le_u32(place, crc32c_extend(segment->seed, place + 4, 3 + byte_count));
    return QUARRY_OK;
}

/* ---- appending ------------------------------------------------------------------------------ */

/* The file has what the record needs, or becomes longer. Nothing is written yet. */
static enum quarry_status preallocate(struct log_segment *segment, size_t byte_count,
                                      struct quarry_error *error)
{
    uint64_t blocks = byte_count / (LOG_BLOCK_BYTES / 2) + 2;
    uint64_t end = segment->at + byte_count + blocks * 2 * LOG_BLOCK_HEADER_BYTES;

    if (!segment->is_preallocated || end <= segment->allocated_end) {
        return QUARRY_OK;
    }
    uint64_t more_bytes = (end - segment->allocated_end + PREALLOCATED_BYTES - 1) /
                          PREALLOCATED_BYTES * PREALLOCATED_BYTES;
    enum quarry_status status =
        quarry_vfs_preallocate(segment->file, segment->allocated_end, more_bytes, error);
    if (status == QUARRY_UNSUPPORTED) {
        segment->is_preallocated = false;
        return QUARRY_OK;
    }
    segment->allocated_end += status == QUARRY_OK ? more_bytes : 0;
    return status;
}

static enum quarry_status put_record(struct log_segment *segment, struct rest *rest,
                                     struct quarry_error *error)
{
    enum quarry_status status = QUARRY_OK;

    for (bool is_first = true; status == QUARRY_OK && (is_first || rest->byte_count != 0);
         is_first = false) {
        status = put_fragment(segment, rest, is_first, error);
    }
    return status == QUARRY_OK ? flush_room(segment, error) : status;
}

enum quarry_status log_segment_append(struct log_segment *segment, const struct tsdb_slice *parts,
                                      size_t part_count, struct quarry_error *error)
{
    struct quarry_error own = {.status = QUARRY_OK};
    struct rest rest = {.parts = parts};
    enum quarry_status status = log_segment_status(segment, error);

    for (size_t i = 0; i < part_count; i++) {
        rest.byte_count += parts[i].count;
    }
    Q_ASSERT(rest.byte_count != 0);
    segment->at = atomic_load_relaxed_u64(&segment->end);
    segment->room_count = 0;
    if (status == QUARRY_OK) {
        status = preallocate(segment, rest.byte_count, error);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    status = put_record(segment, &rest, &own);
    if (status != QUARRY_OK) {
        segment->has_failed = true;
        (void)break_segment(segment, status, &own);
        return log_segment_status(segment, error);
    }
    /* Release: pairs with the acquire in sync_once: what is below is with the kernel. */
    atomic_store_release_u64(&segment->end, segment->at);
    return QUARRY_OK;
}

bool log_segment_is_outrun(struct log_segment *segment)
{
    return log_segment_status(segment, NULL) != QUARRY_OK && !segment->has_failed;
}

void log_segment_finish(struct log_segment *segment)
{
    /* What could not be cut off is zeros, which a reader takes for the end. */
    if (segment->allocated_end > log_segment_end(segment) &&
        log_segment_status(segment, NULL) == QUARRY_OK) {
        (void)quarry_vfs_truncate(segment->file, log_segment_end(segment), NULL);
    }
    segment->is_preallocated = false;
    segment->allocated_end = 0;
}

/* ---- syncing -------------------------------------------------------------------------------- */

/* By the one thread that syncs. */
static void sync_once(struct log_segment *segment)
{
    struct quarry_error error = {.status = QUARRY_OK};
    /* Acquire: pairs with the release in log_segment_append. */
    uint64_t end = atomic_load_acquire_u64(&segment->end);
    enum quarry_status status = quarry_vfs_sync(segment->file, &error);

    if (status == QUARRY_OK && !segment->is_name_synced) {
        status = quarry_vfs_sync_directory(segment->vfs, segment->directory, &error);
        segment->is_name_synced = status == QUARRY_OK;
    }
    (void)atomic_add_relaxed_u64(&segment->sync_count, 1);
    if (status != QUARRY_OK) {
        (void)break_segment(segment, status, &error);
        atomic_store_release_bool(&segment->is_sync_lost, true);
        return;
    }
    /* Release: pairs with the acquire in log_segment_sync. */
    atomic_store_release_u64(&segment->synced_end, end);
}

static void sync_as_leader(struct log_segment *segment, uint64_t end)
{
    /* Another may have synced between the look and the turn, or broken it. */
    if (atomic_load_acquire_u64(&segment->synced_end) < end &&
        !atomic_load_acquire_bool(&segment->is_sync_lost)) {
        sync_once(segment);
    }
    /* Release: pairs with the acquire of the next one. */
    atomic_store_release_bool(&segment->is_syncing, false);
    (void)atomic_add_release_u32(&segment->turn, 1);
    os_futex_wake(&segment->turn, UINT32_MAX);
}

enum quarry_status log_segment_sync(struct log_segment *segment, uint64_t end,
                                    struct quarry_error *error)
{
    bool has_waited = false;

    for (;;) {
        /* Acquire: pairs with the add in sync_as_leader: read before what it tells about. */
        uint32_t turn = atomic_load_acquire_u32(&segment->turn);
        bool is_free = false;
        /* Acquire: pairs with the release in sync_once. */
        if (atomic_load_acquire_u64(&segment->synced_end) >= end) {
            (void)atomic_add_relaxed_u64(&segment->shared_count, has_waited);
            return QUARRY_OK;
        }
        /* A record that could not be appended leaves those before it as they are (invariant 1). */
        if (atomic_load_acquire_bool(&segment->is_sync_lost)) {
            return log_segment_status(segment, error);
        }
        if (atomic_cas_acquire_bool(&segment->is_syncing, &is_free, true)) {
            has_waited = false;
            sync_as_leader(segment, end);
        } else {
            has_waited = true;
            os_futex_wait(&segment->turn, turn, UINT64_MAX);
        }
    }
}

/* ---- beginning and ending ------------------------------------------------------------------- */

enum quarry_status log_segment_create(const struct log_segment_options *options,
                                      struct log_segment **ret_segment, struct quarry_error *error)
{
    const uint32_t mode = QUARRY_VFS_WRITE | QUARRY_VFS_CREATE | QUARRY_VFS_EXCLUSIVE;
    struct log_segment *segment = tsdb_memory_take_zero(options->memory, sizeof(*segment));

    if (segment == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "log '%s': no memory", options->path);
    }
    segment->memory = options->memory;
    segment->vfs = options->vfs;
    segment->path = options->path;
    segment->directory = options->directory;
    segment->identity = options->identity;
    segment->is_preallocated = true;
    os_mutex_init(&segment->error_mutex, OS_RANK_LEAF, 0);
    enum quarry_status status =
        quarry_vfs_open(options->vfs, options->path, mode, &segment->file, error);
    if (status != QUARRY_OK) {
        tsdb_memory_give(options->memory, segment);
        return status;
    }
    *ret_segment = segment;
    return QUARRY_OK;
}

void log_segment_destroy(struct log_segment *segment)
{
    if (segment != NULL) {
        Q_ASSERT(!atomic_load_acquire_bool(&segment->is_syncing));
        quarry_vfs_close(segment->file);
        tsdb_memory_give(segment->memory, segment);
    }
}

/* ---- what it is like ------------------------------------------------------------------------ */

uint64_t log_segment_end(const struct log_segment *segment)
{
    return atomic_load_acquire_u64(&segment->end);
}

void log_segment_read_counts(const struct log_segment *segment, uint64_t *ret_sync_count,
                             uint64_t *ret_shared_count)
{
    *ret_sync_count = atomic_load_relaxed_u64(&segment->sync_count);
    *ret_shared_count = atomic_load_relaxed_u64(&segment->shared_count);
}
