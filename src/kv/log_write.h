/*
 * Writing logs: the write-ahead log and the manifest, in the records of LevelDB and RocksDB.
 *
 * Two ways to the file. By *mapping*: the file has been preallocated, a window of it is mapped, and
 * a record is a copy. By *writing*: a call for each record. A log that is to be mapped, and whose
 * file system cannot, writes.
 *
 * What was appended survives the end of the process. kv_log_sync makes it survive a loss of power:
 * threads that wait at the same time share one sync.
 *
 * Once the file could not be written or synced, nothing is known of it any more: the log is
 * *broken*, every later append and sync says so with the first error, and the store goes on in
 * another one.
 */
#ifndef QUARRY_KV_LOG_WRITE_H
#define QUARRY_KV_LOG_WRITE_H

#include <quarry/vfs.h>

#include <kv/key.h>
#include <kv/memory.h>

/* Of the format: blocks, and the header of each fragment of a record. */
#define KV_LOG_BLOCK_BYTES  32768u
#define KV_LOG_HEADER_BYTES 7u
/* What is mapped at a time. Doubling it halves the maps, and doubles what an idle log costs. */
#define KV_LOG_WINDOW_BYTES Q_MIB(1)

/* Types of fragments. */
enum kv_log_type {
    KV_LOG_ZERO = 0, /* preallocated, never written */
    KV_LOG_FULL = 1,
    KV_LOG_FIRST = 2,
    KV_LOG_MIDDLE = 3,
    KV_LOG_LAST = 4,
    KV_LOG_RECYCLED_FULL = 5, /* to RECYCLED_LAST: with the log's number; only read */
    KV_LOG_RECYCLED_LAST = 8,
    KV_LOG_SET_COMPRESSION = 9, /* refused */
};

struct kv_log;

struct kv_log_options {
    struct quarry_vfs_file *file; /* empty, or all zero (kv_log_zero); borrowed until closed */
    const char *name;             /* of the file, for errors; borrowed until closed */
    struct kv_memory *memory;     /* likewise; charged for the window or the buffer */
    uint64_t segment_bytes;       /* preallocated at a time, a multiple of the window; 0: written */
};

/*
 * `ret_log`: own; end it with kv_log_close. Errors: QUARRY_NO_MEMORY; those of
 * quarry_vfs_preallocate but QUARRY_UNSUPPORTED.
 */
enum quarry_status kv_log_create(const struct kv_log_options *options, struct kv_log **ret_log,
                                 struct quarry_error *error);

/*
 * A record's bytes, in two parts: a head that is known late, as the sequence of a batch is, and a
 * body whose checksum is made before, outside of all locks.
 */
struct kv_log_record {
    struct kv_slice head; /* up to KV_LOG_HEAD_BYTES_MAX */
    struct kv_slice body;
    uint32_t body_crc;
    uint32_t body_shift; /* crc32c_shift_of its length */
};
#define KV_LOG_HEAD_BYTES_MAX 64u

/* Makes the checksum. `body`: borrowed until the record is appended. Cost: O(bytes of the body). */
void kv_log_record_init(struct kv_log_record *ret_record, struct kv_slice body);

/*
 * Appends a record: whole, or, with an error, as good as not at all: a reader drops what is there.
 *
 * `ret_end`: where it ends in the file, for kv_log_sync.
 * Errors: QUARRY_NO_SPACE, QUARRY_IO, …: the log is broken, as kv_log_status then says, unless it
 * was refused before anything was written.
 * Threads: any; in the order of a lock, which the copy is under.
 * Cost: a copy, a checksum of short bodies, and some 200 instructions; each 1 MiB a mapping,
 * each 128 KiB four writes of zeros.
 */
enum quarry_status kv_log_append(struct kv_log *log, const struct kv_log_record *record,
                                 uint64_t *ret_end, struct quarry_error *error);

/*
 * Waits until the log up to `end` would survive a loss of power.
 * Errors: that of the sync, told to everybody who waits for bytes that were not synced before.
 * Threads: any. Cost: a sync, shared with whoever comes while one is under way.
 */
enum quarry_status kv_log_sync(struct kv_log *log, uint64_t end, struct quarry_error *error);

/* Where the log ends, and up to where it has been synced. */
uint64_t kv_log_end(const struct kv_log *log);
uint64_t kv_log_synced_end(const struct kv_log *log);
/* How often the file has been synced, and how often a wait shared in one. */
void kv_log_read_counts(const struct kv_log *log, uint64_t *ret_sync_count,
                        uint64_t *ret_shared_count);
/* QUARRY_OK, or the first error. */
enum quarry_status kv_log_status(struct kv_log *log, struct quarry_error *error);
/* Whether it writes through a mapping. */
bool kv_log_is_mapped(struct kv_log *log);

/*
 * Ends a log: what was preallocated and not written is cut off. Syncs nothing; the file stays open.
 *
 * `log`: given; NULL does nothing. Errors: of cutting off; the log can be read all the same.
 */
enum quarry_status kv_log_close(struct kv_log *log, struct quarry_error *error);

/*
 * Makes a used file into one for a new log: fills its first `byte_count` bytes with zeros, and
 * syncs it, so that no old record can come back. For a background thread.
 */
enum quarry_status kv_log_zero(struct quarry_vfs_file *file, uint64_t byte_count,
                               struct quarry_error *error);

#endif
