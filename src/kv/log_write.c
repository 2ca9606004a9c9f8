/*
 * Logs: records cut into fragments that do not cross blocks.
 *
 *     | fragment | fragment | fragment … | zeros, where fewer than 7 bytes are left | fragment …
 *     0                                                                       32 KiB
 *     fragment   | checksum | length | type | bytes |        7 bytes before them
 *
 * A mapped log
 *     | window 0 | window 1 | …            of 1 MiB; one is mapped, the one that is written to
 *     0 … end: written   … allocated_end: preallocated, zeros
 *
 * Appending is a copy into the window, under a lock that also says the order of records. A block
 * lies within a window, so a fragment does. The next window is mapped when it is reached. There is
 * no system call for a record, and what is copied is the kernel's at once: it survives the process.
 * Blocks of it are filled with zeros by a call, some at a time, before they are written to: a page
 * that is in the kernel's memory is had by a fault of 1 to 2 µs, one that was only preallocated by
 * one of 7, for which the file system asks its journal.
 * A log that is not mapped, or whose mapping was refused, writes: each record is put together in a
 * buffer and written by one call, a long one in pieces.
 *
 * Checksums are of a fragment's type and bytes. A record in one fragment, which nearly all are, has
 * the body's from before, outside of the lock: of the type and the head it is made here, and joined
 * (crc32c_combine). For short bodies joining costs more than doing it here. Fragments of a record
 * that does not fit its block are done here.
 *
 * Syncing: who comes first syncs all there is; who comes meanwhile waits, and is done, or else one
 * of them is the next. `sync_turn` counts syncs and is what they sleep on.
 *
 * Breaking: a write or sync that fails leaves a file of which nothing is known. The first error is
 * kept and told to all. A sync is not tried again: the kernel may have dropped the pages and called
 * them clean.
 *
 * Invariants
 *   1. [0, end) is whole records, and with the file; end only rises.
 *   2. Bytes behind `end` are zero, or of a record that failed, after which none comes.
 *   3. synced_end <= end, and what lies below it was in the file when a sync began that succeeded.
 *   4. In a mapped log end <= allocated_end, a multiple of the window.
 *   5. In a mapped log the first byte at or behind filled_end that is put is at it: what is put
 *      follows what was put, and does not cross blocks.
 *
 * Locking: `append_mutex` for everything that moves the end: mapping, preallocating and writing are
 * done with it held, for they are what later records wait for in any case. Syncing takes none.
 * Cost: 420 instructions for a record of 130 bytes, of which the checksum is 200; each 128 KiB,
 * four system calls, each 1 MiB two more.
 *
 * Rejected: faulting pages in ahead (MADV_POPULATE_WRITE): the fault is what costs, and not the way
 * to it. Copying outside of the lock, in slots: a record that was acknowledged could lie behind
 * one that is not whole when the process is killed, and be lost with it. Mapping a segment whole:
 * 64 MiB of page tables for a log that is written once. Checksums of fragments made before: where
 * they are cut is known under the lock only.
 *
 * Source: LevelDB's log format; RocksDB's reader, which takes zeros for the end.
 */
#include <kv/log_write.h>

#include <os/os.h>

/* What is put together before it is written. Doubling it halves the calls for long records. */
#define ROOM_BYTES (2 * KV_LOG_BLOCK_BYTES)
/* From here on a body's checksum is made before. Joining costs as much as some 2 KiB do. */
#define CRC_AHEAD_BYTES 2048u

/* Of a mapped log, that is filled at a time. Doubling it doubles what the one write takes longer
 * that does it, some 30 µs, and what an idle log has written for nothing. */
#define FILL_BYTES (4 * KV_LOG_BLOCK_BYTES)

static const char zeros[KV_LOG_BLOCK_BYTES];

Q_STATIC_ASSERT(KV_LOG_WINDOW_BYTES % FILL_BYTES == 0, "what is filled is within a window");

struct kv_log {
    /* const after creation */
    struct quarry_vfs_file *file;
    const char *name;
    struct kv_memory *memory;
    uint64_t segment_bytes;

    struct os_mutex append_mutex;
    /* guarded by append_mutex */
    bool is_mapped;
    char *window; /* NULL: none is mapped */
    uint64_t window_offset;
    uint64_t allocated_end;
    uint64_t filled_end; /* of a mapped log: pages up to it are the kernel's */
    uint64_t at;         /* where the record that is being appended has come to */
    char *room;          /* of a log that writes; NULL: none was needed yet */
    size_t room_count;

    /* atomic */
    _Atomic uint64_t end; /* written under append_mutex */
    _Atomic bool is_broken;
    /* written once, before is_broken; guarded by error_mutex until then */
    struct os_mutex error_mutex;
    struct quarry_error error;

    Q_ALIGNED(Q_CACHE_LINE_BYTES) _Atomic uint64_t synced_end;
    _Atomic uint32_t sync_turn; /* futex */
    _Atomic bool is_syncing;
    _Atomic uint64_t sync_count, shared_count;
};

/* ---- breaking ------------------------------------------------------------------------------- */

/* The first error is kept. Returns: its status. */
static enum quarry_status break_log(struct kv_log *log, const struct quarry_error *error)
{
    os_mutex_lock(&log->error_mutex);
    if (!atomic_load_relaxed_bool(&log->is_broken)) {
        log->error = *error;
        /* Release: pairs with the acquire in kv_log_status. */
        atomic_store_release_bool(&log->is_broken, true);
    }
    os_mutex_unlock(&log->error_mutex);
    return log->error.status;
}

enum quarry_status kv_log_status(struct kv_log *log, struct quarry_error *error)
{
    /* Acquire: pairs with the release in break_log. */
    if (Q_LIKELY(!atomic_load_acquire_bool(&log->is_broken))) {
        return QUARRY_OK;
    }
    if (error != NULL) {
        *error = log->error;
    }
    return log->error.status;
}

/* ---- getting bytes into the file ------------------------------------------------------------ */

static void unmap_window(struct kv_log *log)
{
    if (log->window != NULL) {
        quarry_vfs_unmap(log->file, log->window, KV_LOG_WINDOW_BYTES);
        log->window = NULL;
    }
}

/* Maps the window that a place lies in. Returns: false: it cannot be, and the log writes. */
static bool map_window(struct kv_log *log, uint64_t at)
{
    uint64_t offset = at / KV_LOG_WINDOW_BYTES * KV_LOG_WINDOW_BYTES;
    void *window;

    if (log->window != NULL && log->window_offset == offset) {
        return true;
    }
    unmap_window(log);
    if (quarry_vfs_map(log->file, offset, KV_LOG_WINDOW_BYTES, &window, NULL) != QUARRY_OK) {
        log->is_mapped = false;
        return false;
    }
    log->window = window;
    log->window_offset = offset;
    return true;
}

/* What is in the room goes to the file; it is the end of what has been put. */
static enum quarry_status flush_room(struct kv_log *log, struct quarry_error *error)
{
    enum quarry_status status = QUARRY_OK;

    if (log->room_count != 0) {
        status = quarry_vfs_write(log->file, log->at - log->room_count, log->room, log->room_count,
                                  error);
        log->room_count = 0;
    }
    return status;
}

/* A place in the room. */
static enum quarry_status place_in_room(struct kv_log *log, size_t byte_count, char **ret_place,
                                        struct quarry_error *error)
{
    enum quarry_status status = QUARRY_OK;

    if (log->room == NULL) {
        /* With the lock held: the log was to be mapped, and is not any more, once. */
        log->room = kv_memory_take(log->memory, ROOM_BYTES);
        if (log->room == NULL) {
            return error_set(error, QUARRY_NO_MEMORY, "log '%s': no memory to write it", log->name);
        }
    }
    if (byte_count > ROOM_BYTES - log->room_count) {
        status = flush_room(log, error);
    }
    Q_ASSERT(byte_count <= ROOM_BYTES - log->room_count);
    *ret_place = log->room + log->room_count;
    log->room_count += byte_count;
    return status;
}

/*
 * Zeros over the zeros of the next blocks. Nothing is in them yet, so that it is of no consequence
 * where that fails: what is put there says so.
 */
static Q_COLD void fill_ahead(struct kv_log *log)
{
    Q_ASSERT(log->at == log->filled_end); /* invariant 5 */
    for (uint64_t at = log->at; at < log->at + FILL_BYTES; at += sizeof(zeros)) {
        if (quarry_vfs_write(log->file, at, zeros, sizeof(zeros), NULL) != QUARRY_OK) {
            break;
        }
    }
    log->filled_end = log->at + FILL_BYTES;
}

/* Where the next bytes are to be written, which are put by that. `byte_count`: within the block. */
static enum quarry_status take_place(struct kv_log *log, size_t byte_count, char **ret_place,
                                     struct quarry_error *error)
{
    enum quarry_status status = QUARRY_OK;

    Q_ASSERT(log->at % KV_LOG_BLOCK_BYTES + byte_count <= KV_LOG_BLOCK_BYTES);
    if (log->is_mapped && map_window(log, log->at)) {
        if (log->at >= log->filled_end) {
            fill_ahead(log);
        }
        *ret_place = log->window + (log->at - log->window_offset);
    } else {
        status = place_in_room(log, byte_count, ret_place, error);
    }
    if (status == QUARRY_OK) {
        log->at += byte_count;
    }
    return status;
}

/* ---- cutting records ------------------------------------------------------------------------ */

static enum kv_log_type type_of(bool is_first, bool is_last)
{
    if (is_first) {
        return is_last ? KV_LOG_FULL : KV_LOG_FIRST;
    }
    return is_last ? KV_LOG_LAST : KV_LOG_MIDDLE;
}

/* What a piece of a record is cut from: the rest of its two parts. */
struct rest {
    struct kv_slice head, body;
};

static struct kv_slice cut(struct kv_slice *from, size_t byte_count)
{
    const struct kv_slice piece = kv_slice(from->bytes, size_min(from->count, byte_count));

    *from = kv_slice(piece.count == 0 ? from->bytes : from->bytes + piece.count,
                     from->count - piece.count);
    return piece;
}

/* Of a fragment's type and bytes, which lie together. */
static uint32_t fragment_crc(const struct kv_log_record *record, const char *type,
                             size_t byte_count)
{
    if (*type == KV_LOG_FULL && record->body_shift != 0) {
        return crc32c_combine(crc32c_value(type, 1 + record->head.count), record->body_crc,
                              record->body_shift);
    }
    return crc32c_value(type, 1 + byte_count);
}

static char *copy(char *to, struct kv_slice bytes)
{
    if (bytes.count != 0) {
        memcpy(to, bytes.bytes, bytes.count);
    }
    return to + bytes.count;
}

/* One fragment, of as much of the rest as the block has room for. */
static enum quarry_status put_fragment(struct kv_log *log, const struct kv_log_record *record,
                                       struct rest *rest, bool is_first, size_t byte_count,
                                       struct quarry_error *error)
{
    char *place = NULL;
    enum quarry_status status = take_place(log, KV_LOG_HEADER_BYTES + byte_count, &place, error);

    if (status != QUARRY_OK) {
        return status;
    }
    const struct kv_slice head = cut(&rest->head, byte_count);
    const struct kv_slice body = cut(&rest->body, byte_count - head.count);
    (void)copy(copy(place + KV_LOG_HEADER_BYTES, head), body);
    place[6] = (char)type_of(is_first, rest->head.count + rest->body.count == 0);
    endian_store_le_u16(place + 4, (uint16_t)byte_count);
    endian_store_le_u32(place, crc32c_mask(fragment_crc(record, place + 6, byte_count)));
    return QUARRY_OK;
}

/* Fills up a block that has no room for a header. */
static enum quarry_status put_filling(struct kv_log *log, size_t byte_count,
                                      struct quarry_error *error)
{
    char *place = NULL;
    enum quarry_status status = take_place(log, byte_count, &place, error);

    if (status == QUARRY_OK && byte_count != 0) {
        memset(place, 0, byte_count);
    }
    return status;
}

static enum quarry_status put_record(struct kv_log *log, const struct kv_log_record *record,
                                     struct quarry_error *error)
{
    struct rest rest = {record->head, record->body};
    enum quarry_status status = QUARRY_OK;
    size_t left;

    for (bool is_first = true; status == QUARRY_OK; is_first = false) {
        size_t room = KV_LOG_BLOCK_BYTES - log->at % KV_LOG_BLOCK_BYTES;
        if (room < KV_LOG_HEADER_BYTES) {
            status = put_filling(log, room, error);
            room = KV_LOG_BLOCK_BYTES;
        }
        if (status == QUARRY_OK) {
            left = rest.head.count + rest.body.count;
            room -= KV_LOG_HEADER_BYTES;
            status = put_fragment(log, record, &rest, is_first, size_min(left, room), error);
        }
        if (rest.head.count + rest.body.count == 0) {
            break;
        }
    }
    return status != QUARRY_OK ? status : flush_room(log, error);
}

/* ---- appending ------------------------------------------------------------------------------ */

void kv_log_record_init(struct kv_log_record *ret_record, struct kv_slice body)
{
    *ret_record = (struct kv_log_record){.head = {"", 0}, .body = body};
    if (body.count >= CRC_AHEAD_BYTES) {
        ret_record->body_crc = crc32c_value(body.bytes, body.count);
        ret_record->body_shift = crc32c_shift_of(body.count);
    }
}

/* Where a record would end at most: a header for each block that it touches, and zeros. */
static uint64_t end_at_most(uint64_t at, const struct kv_log_record *record)
{
    uint64_t bytes = record->head.count + record->body.count;
    uint64_t blocks = bytes / (KV_LOG_BLOCK_BYTES - KV_LOG_HEADER_BYTES) + 2;

    return at + bytes + blocks * KV_LOG_HEADER_BYTES + KV_LOG_HEADER_BYTES;
}

/* A mapped log has what the record needs, or takes more segments. Nothing is written yet. */
static enum quarry_status allocate(struct kv_log *log, uint64_t end, struct quarry_error *error)
{
    if (!log->is_mapped || end <= log->allocated_end) {
        return QUARRY_OK;
    }
    uint64_t more_bytes = (end - log->allocated_end + log->segment_bytes - 1) / log->segment_bytes *
                          log->segment_bytes;
    enum quarry_status status =
        quarry_vfs_preallocate(log->file, log->allocated_end, more_bytes, error);
    if (status == QUARRY_OK) {
        log->allocated_end += more_bytes;
    }
    return status;
}

static enum quarry_status append_locked(struct kv_log *log, const struct kv_log_record *record,
                                        struct quarry_error *error) Q_REQUIRES(&log->append_mutex)
{
    struct quarry_error own = {.status = QUARRY_OK};
    uint64_t end = atomic_load_relaxed_u64(&log->end);
    enum quarry_status status = kv_log_status(log, error);

    if (status == QUARRY_OK) {
        status = allocate(log, end_at_most(end, record), error);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    log->at = end;
    status = put_record(log, record, &own);
    if (status != QUARRY_OK) {
        (void)break_log(log, &own);
        return kv_log_status(log, error);
    }
    /* Release: pairs with the acquire in sync_once: what is below is with the file. */
    atomic_store_release_u64(&log->end, log->at);
    return QUARRY_OK;
}

enum quarry_status kv_log_append(struct kv_log *log, const struct kv_log_record *record,
                                 uint64_t *ret_end, struct quarry_error *error)
{
    Q_ASSERT(record->head.count <= KV_LOG_HEAD_BYTES_MAX);
    os_mutex_lock(&log->append_mutex);
    enum quarry_status status = append_locked(log, record, error);
    if (status == QUARRY_OK) {
        *ret_end = log->at;
    }
    os_mutex_unlock(&log->append_mutex);
    return status;
}

/* ---- syncing -------------------------------------------------------------------------------- */

/* By the one thread that syncs. */
static void sync_once(struct kv_log *log)
{
    struct quarry_error error = {.status = QUARRY_OK};
    /* Acquire: pairs with the release in append_locked. */
    uint64_t end = atomic_load_acquire_u64(&log->end);
    enum quarry_status status = quarry_vfs_sync(log->file, &error);

    (void)atomic_add_relaxed_u64(&log->sync_count, 1);
    if (status == QUARRY_OK) {
        /* Release: pairs with the acquire in kv_log_sync. */
        atomic_store_release_u64(&log->synced_end, end);
        return;
    }
    error.status = status;
    (void)break_log(log, &error);
}

static void sync_as_leader(struct kv_log *log, uint64_t end)
{
    /* Another may have synced between the look and the turn, or broken it. */
    if (atomic_load_acquire_u64(&log->synced_end) < end &&
        !atomic_load_acquire_bool(&log->is_broken)) {
        sync_once(log);
    }
    /* Release: pairs with the acquire of the next one. */
    atomic_store_release_bool(&log->is_syncing, false);
    (void)atomic_add_release_u32(&log->sync_turn, 1);
    os_futex_wake(&log->sync_turn, UINT32_MAX);
}

enum quarry_status kv_log_sync(struct kv_log *log, uint64_t end, struct quarry_error *error)
{
    bool has_waited = false;

    for (;;) {
        /* Acquire: pairs with the add in sync_as_leader: read before what it tells about. */
        uint32_t turn = atomic_load_acquire_u32(&log->sync_turn);
        bool is_free = false;
        /* Acquire: pairs with the release in sync_once. */
        if (atomic_load_acquire_u64(&log->synced_end) >= end) {
            if (has_waited) {
                (void)atomic_add_relaxed_u64(&log->shared_count, 1);
            }
            return QUARRY_OK;
        }
        enum quarry_status status = kv_log_status(log, error);
        if (status != QUARRY_OK) {
            return status;
        }
        if (atomic_cas_acquire_bool(&log->is_syncing, &is_free, true)) {
            has_waited = false;
            sync_as_leader(log, end);
        } else {
            has_waited = true;
            os_futex_wait(&log->sync_turn, turn, UINT64_MAX);
        }
    }
}

/* ---- beginning and ending ------------------------------------------------------------------- */

/* As a mapped log: preallocated, its window charged. Returns: QUARRY_UNSUPPORTED: it has to write.
 */
static enum quarry_status begin_mapped(struct kv_log *log, struct quarry_error *error)
{
    enum quarry_status status = quarry_account_charge(log->memory->account, KV_LOG_WINDOW_BYTES);

    if (status != QUARRY_OK) {
        return error_set(error, status, "log '%s': no memory for a window of it", log->name);
    }
    status = quarry_vfs_preallocate(log->file, 0, log->segment_bytes, error);
    if (status != QUARRY_OK) {
        quarry_account_uncharge(log->memory->account, KV_LOG_WINDOW_BYTES);
        return status;
    }
    log->allocated_end = log->segment_bytes;
    log->is_mapped = true;
    return QUARRY_OK;
}

static enum quarry_status take_room(struct kv_log *log, struct quarry_error *error)
{
    log->room = kv_memory_take(log->memory, ROOM_BYTES);
    if (log->room == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "log '%s': no memory to write it", log->name);
    }
    return QUARRY_OK;
}

/* The first window is mapped now: if it cannot be, the room is taken while that may still fail. */
static enum quarry_status begin(struct kv_log *log, struct quarry_error *error)
{
    enum quarry_status status = QUARRY_UNSUPPORTED;

    if (log->segment_bytes != 0) {
        status = begin_mapped(log, error);
    }
    if (status == QUARRY_OK && map_window(log, 0)) {
        return QUARRY_OK;
    }
    if (status != QUARRY_OK && status != QUARRY_UNSUPPORTED) {
        return status;
    }
    enum quarry_status taken = take_room(log, error);
    if (taken != QUARRY_OK && status == QUARRY_OK) {
        quarry_account_uncharge(log->memory->account, KV_LOG_WINDOW_BYTES);
    }
    return taken;
}

enum quarry_status kv_log_create(const struct kv_log_options *options, struct kv_log **ret_log,
                                 struct quarry_error *error)
{
    struct kv_log *log = kv_memory_take(options->memory, sizeof(*log));

    Q_ASSERT(options->segment_bytes % KV_LOG_WINDOW_BYTES == 0);
    if (log == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "log '%s': no memory", options->name);
    }
    log->file = options->file;
    log->name = options->name;
    log->memory = options->memory;
    log->segment_bytes = options->segment_bytes;
    os_mutex_init(&log->append_mutex, OS_RANK_KV_LOG, 0);
    os_mutex_init(&log->error_mutex, OS_RANK_LEAF, 0);
    enum quarry_status status = begin(log, error);
    if (status != QUARRY_OK) {
        kv_memory_give(log->memory, log);
        return status;
    }
    *ret_log = log;
    return QUARRY_OK;
}

/* What was preallocated and not written. */
static enum quarry_status cut_off(struct kv_log *log, struct quarry_error *error)
{
    uint64_t end = atomic_load_relaxed_u64(&log->end);

    return end < log->allocated_end ? quarry_vfs_truncate(log->file, end, error) : QUARRY_OK;
}

enum quarry_status kv_log_close(struct kv_log *log, struct quarry_error *error)
{
    if (log == NULL) {
        return QUARRY_OK;
    }
    Q_ASSERT(!atomic_load_acquire_bool(&log->is_syncing));
    unmap_window(log);
    enum quarry_status status = cut_off(log, error);
    if (log->allocated_end != 0) {
        quarry_account_uncharge(log->memory->account, KV_LOG_WINDOW_BYTES);
    }
    kv_memory_give(log->memory, log->room);
    kv_memory_give(log->memory, log);
    return status;
}

enum quarry_status kv_log_zero(struct quarry_vfs_file *file, uint64_t byte_count,
                               struct quarry_error *error)
{
    enum quarry_status status = QUARRY_OK;

    for (uint64_t at = 0; at < byte_count && status == QUARRY_OK; at += sizeof(zeros)) {
        status = quarry_vfs_write(file, at, zeros, size_min(sizeof(zeros), byte_count - at), error);
    }
    /* Before it has another name: an old record of it must not be taken for one of the new log. */
    return status == QUARRY_OK ? quarry_vfs_sync(file, error) : status;
}

/* ---- what it is like ------------------------------------------------------------------------ */

uint64_t kv_log_end(const struct kv_log *log)
{
    return atomic_load_acquire_u64(&log->end);
}

uint64_t kv_log_synced_end(const struct kv_log *log)
{
    return atomic_load_acquire_u64(&log->synced_end);
}

void kv_log_read_counts(const struct kv_log *log, uint64_t *ret_sync_count,
                        uint64_t *ret_shared_count)
{
    *ret_sync_count = atomic_load_relaxed_u64(&log->sync_count);
    *ret_shared_count = atomic_load_relaxed_u64(&log->shared_count);
}

bool kv_log_is_mapped(struct kv_log *log)
{
    os_mutex_lock(&log->append_mutex);
    bool is_mapped = log->is_mapped;
    os_mutex_unlock(&log->append_mutex);
    return is_mapped;
}
