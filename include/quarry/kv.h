/*
 * An ordered, durable store of byte strings, in RocksDB's files, inside a hard budget.
 *
 *     struct quarry_kv *kv;
 *     struct quarry_kv_options options = {.create_if_missing = true};
 *     struct quarry_kv_value value;
 *
 *     if (quarry_kv_open(memory, "data/kv", &options, &kv, &error) != QUARRY_OK) {
 *         fprintf(stderr, "%s\n", error.text);
 *     }
 *     status = quarry_kv_put(kv, NULL, "answer", 6, "42", 2, &error);
 *     status = quarry_kv_get(kv, NULL, "answer", 6, &value, &error);
 *     if (status == QUARRY_OK) {
 *         fwrite(value.bytes, 1, value.byte_count, stdout);
 *         quarry_kv_value_release(&value);
 *     }
 *     status = quarry_kv_close(kv, &error);
 *
 * Keys and values are any bytes; keys are in the order of a *comparator*, by default that of
 * memcmp. A *batch* of changes takes effect whole or not at all. A *snapshot* is the store as it
 * was at a moment; an *iterator* walks over one.
 *
 * Durability is said for each write, or once for all:
 *
 *     none      it is in memory: the end of the process may lose it
 *     process   it is with the kernel: lost only with the machine's power, and then about a second
 *     power     it is on the disk
 *
 * What is lost is always the end: a store comes back as it was after one of its writes.
 *
 * Memory. All that a store uses is charged to accounts below one named by `options.name`: what was
 * written and not flushed, blocks of files, their indexes and filters, what iterators hold, the
 * log's windows, compaction. A reserve of 768 KiB is kept for reads, so that neither gets nor walks
 * fail for want of memory, however many files there are: where nothing else is left they take
 * turns, hold one block at a time, and are slower for it. What a read has to hold at once is beyond
 * that in two cases: a block, or a value that is merged, of a few hundred KiB; and iterators that
 * are open by the dozen. Then it waits up to 10 s for flushes, compactions and iterators to end,
 * and is QUARRY_NO_MEMORY if that has not helped. A write, and a batch that is being made, waits
 * for flushes and compactions to give memory back, and is refused with QUARRY_NO_MEMORY where
 * nothing will. A batch takes its bytes twice, and is QUARRY_TOO_LARGE where that can never be had.
 *
 * Files are those of RocksDB 7.8 (format version 5, one column family), or LevelDB 1.23's. A
 * directory that either of them left can be opened, and is upgraded as it is written to. What this
 * engine does not have (data in column families, blobs, two-phase commit, timestamps, wide
 * columns) is refused by name with QUARRY_UNSUPPORTED.
 *
 * Errors: QUARRY_CORRUPT and QUARRY_IO name file and offset. A store whose log or manifest cannot
 * be written goes on in new files, or turns read-only: see quarry_kv_read_state.
 *
 * Threads: any call from any thread at once, but quarry_kv_open and _close. Batches, iterators and
 * values belong to one thread at a time. Forks: the store is the parent's.
 *
 * Source: LevelDB, RocksDB and Pebble, of whose designs docs/kv.md tells what was taken.
 */
#ifndef QUARRY_KV_H
#define QUARRY_KV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <quarry/export.h>
#include <quarry/memory.h>
#include <quarry/status.h>
#include <quarry/vfs.h>

#ifdef __cplusplus
extern "C" {
#endif

struct quarry_account;
struct quarry_block_cache;
struct quarry_kv;
struct quarry_kv_batch;
struct quarry_kv_iterator;
struct quarry_kv_snapshot;

/* The longest key and value, in bytes; what an open store takes is in its options. */
#define QUARRY_KV_KEY_BYTES_MAX   ((size_t)64 << 20)
#define QUARRY_KV_VALUE_BYTES_MAX ((size_t)1 << 30)
/* Levels of files. */
#define QUARRY_KV_LEVELS 7

/* ---- options -------------------------------------------------------------------------------- */

/* What an acknowledged write survives. Numbers are stable. */
enum quarry_kv_durability {
    QUARRY_KV_DEFAULT = 0, /* of a write: the store's; of a store: PROCESS */
    QUARRY_KV_NONE = 1,
    QUARRY_KV_PROCESS = 2,
    QUARRY_KV_POWER = 3,
};

/* The files that are written. */
enum quarry_kv_format {
    QUARRY_KV_FORMAT_AUTO = 0, /* RocksDB's; LevelDB's that are there become them */
    QUARRY_KV_FORMAT_ROCKSDB = 1,
    QUARRY_KV_FORMAT_LEVELDB = 2,
};

/* How blocks are compressed; numbers are those of the files. */
enum quarry_kv_compression {
    QUARRY_KV_COMPRESSION_NONE = 0,
    QUARRY_KV_COMPRESSION_SNAPPY = 1,
    QUARRY_KV_COMPRESSION_ZLIB = 2,  /* read only */
    QUARRY_KV_COMPRESSION_BZIP2 = 3, /* read only */
    QUARRY_KV_COMPRESSION_LZ4 = 4,
    QUARRY_KV_COMPRESSION_LZ4HC = 5, /* read as LZ4 */
    QUARRY_KV_COMPRESSION_ZSTD = 7,
    QUARRY_KV_COMPRESSION_DEFAULT = 255, /* LZ4; in LevelDB's files SNAPPY */
};

/* How checksums of blocks are made; numbers are those of the files. */
enum quarry_kv_checksum {
    QUARRY_KV_CHECKSUM_DEFAULT = 0, /* CRC32C; to write without one is not offered */
    QUARRY_KV_CHECKSUM_CRC32C = 1,
    QUARRY_KV_CHECKSUM_XXH32 = 2,
    QUARRY_KV_CHECKSUM_XXH64 = 3,
    QUARRY_KV_CHECKSUM_XXH3 = 4,
};

/*
 * An order of keys. Total, and the same for ever for the same name, which is in the files.
 * Functions are called from any thread, with no lock held, and must not call the store.
 */
struct quarry_kv_comparator {
    const char *name; /* "leveldb.BytewiseComparator" is memcmp's, and needs no functions */
    void *argument;
    /* Below, equal to or above 0, as a comes before, is or comes after b. */
    int (*compare)(void *argument, const void *a, size_t a_bytes, const void *b, size_t b_bytes);
    /*
     * Writes to `room`, of `a_bytes` bytes, a key k with a <= k < b that is shorter than a, given
     * a < b. Returns: its bytes; 0: none was found. NULL: keys are not shortened.
     */
    size_t (*separate)(void *argument, const void *a, size_t a_bytes, const void *b, size_t b_bytes,
                       void *room);
    /* The same for a key k >= a, with no b. */
    size_t (*succeed)(void *argument, const void *a, size_t a_bytes, void *room);
};

/* Where merging puts what it makes. Grows as it is written to. */
struct quarry_kv_buffer;
/* Errors: QUARRY_NO_MEMORY, QUARRY_TOO_LARGE. */
QUARRY_EXPORT enum quarry_status quarry_kv_buffer_append(struct quarry_kv_buffer *buffer,
                                                         const void *bytes, size_t byte_count);

/* A stretch of bytes. */
struct quarry_kv_slice {
    const void *bytes;
    size_t byte_count;
};

/*
 * How operands are merged into values. Associative where `merge_two` says so. Called from any
 * thread.
 */
struct quarry_kv_merge_operator {
    const char *name; /* in the files */
    void *argument;
    /*
     * Makes a value of what is there (`base` NULL: nothing) and operands, the oldest first.
     * Returns: QUARRY_OK, or QUARRY_CORRUPT: the operands make no sense; a read of the key fails.
     */
    enum quarry_status (*merge)(void *argument, struct quarry_kv_slice key,
                                const struct quarry_kv_slice *base,
                                const struct quarry_kv_slice *operands, size_t operand_count,
                                struct quarry_kv_buffer *result);
    /* Joins two neighbouring operands into one; false: not these. NULL: none are joined. */
    bool (*merge_two)(void *argument, struct quarry_kv_slice key, struct quarry_kv_slice older,
                      struct quarry_kv_slice newer, struct quarry_kv_buffer *result);
};

/*
 * Built in, each by RocksDB's name: values joined with ',' or another byte between
 * ("StringAppendOperator"; "StringAppendTESTOperator" is what ldb opens); little-endian numbers of
 * 8 bytes added ("UInt64AddOperator"); the larger by memcmp ("MaxOperator").
 * Returns: static.
 */
QUARRY_EXPORT const struct quarry_kv_merge_operator *quarry_kv_merge_append(char delimiter);
QUARRY_EXPORT const struct quarry_kv_merge_operator *quarry_kv_merge_uint64_add(void);
QUARRY_EXPORT const struct quarry_kv_merge_operator *quarry_kv_merge_max(void);

/*
 * Which keys are not worth keeping: asked by flushes and compactions for the newest put of a key,
 * unless a snapshot keeps it. What is dropped reads as deleted from some moment on, which nobody
 * can tell: it is for what every reader knows to be gone, such as what has expired. Merges are not
 * asked for, and neither is a put that nothing rewrites.
 */
struct quarry_kv_compaction_filter {
    const char *name;
    void *argument;
    /* Whether it goes. Called from any thread, with no lock held; must not call the store. */
    bool (*drops)(void *argument, struct quarry_kv_slice key, struct quarry_kv_slice value);
};

/*
 * What happens in a store. Called with no lock held, by background threads, and of the disk's room
 * by writers too; must not wait for the store.
 */
enum quarry_kv_event {
    QUARRY_KV_EVENT_FLUSHED,     /* a memtable has become files of level 0 */
    QUARRY_KV_EVENT_COMPACTED,   /* files have been merged, moved or dropped */
    QUARRY_KV_EVENT_THROTTLED,   /* writers begin to be slowed, or no longer are */
    QUARRY_KV_EVENT_READ_ONLY,   /* it has turned read-only: `error` says why */
    QUARRY_KV_EVENT_RESUMED,     /* and is not any more */
    QUARRY_KV_EVENT_LOG_RETIRED, /* a log could not be synced, and was left for a new one */
    QUARRY_KV_EVENT_CORRUPTION,  /* bytes were found damaged: `error` says where */
    QUARRY_KV_EVENT_SPACE_LOW,   /* the disk is full but for the reserve: puts are refused */
    QUARRY_KV_EVENT_SPACE_BACK,  /* and is not any more */
};
struct quarry_kv_event_data {
    enum quarry_kv_event event;
    uint32_t from_level, to_level;
    uint64_t read_bytes, written_bytes;
    uint32_t read_files, written_files;
    uint64_t duration_ns;
    const struct quarry_error *error; /* NULL: none */
    uint64_t free_bytes;              /* of the disk, for SPACE_LOW and SPACE_BACK */
    uint64_t reserved_bytes;          /* of it, which puts leave alone */
};
struct quarry_kv_listener {
    void (*notice)(void *argument, const struct quarry_kv_event_data *data);
    void *argument;
};

/*
 * A filter of LevelDB's files that is made and asked by functions: which keys may be in a stretch
 * of a file. It is written as the block "filter.<name>", as LevelDB writes that of a policy with
 * the name, and asked in files that have one. Functions are called from any thread, with no lock
 * held, and must not call the store.
 */
struct quarry_kv_filter_policy {
    const char *name; /* in the files; up to 200 bytes */
    void *argument;
    /*
     * Appends a filter of keys to `filter`, which has others before it. `keys`: in the order of the
     * file, from one on; a key with several versions comes several times. Errors: any; the file is
     * not written, and the flush or compaction fails.
     */
    enum quarry_status (*create)(void *argument, const struct quarry_kv_slice *keys,
                                 size_t key_count, struct quarry_kv_buffer *filter);
    /* Whether a key may be one of those. `filter`: what `create` has appended; never of no bytes.
     * False for one that was among them loses it. */
    bool (*may_match)(void *argument, struct quarry_kv_slice key, struct quarry_kv_slice filter);
};

/*
 * What a store is to be. Zero means the default of each, but of a compression, where it is none, as
 * in the files; names in quarry_kv_options_set are those of the members. Sizes are in bytes.
 */
struct quarry_kv_options {
    const char *name;       /* of its account and owner; NULL: "kv" */
    struct quarry_vfs *vfs; /* borrowed until closed; NULL: quarry_vfs_posix() */
    const struct quarry_kv_comparator *comparator;         /* borrowed until closed; NULL: memcmp */
    const struct quarry_kv_merge_operator *merge_operator; /* likewise; NULL: merging is refused */
    const struct quarry_kv_compaction_filter *compaction_filter; /* likewise; NULL: none */
    struct quarry_kv_listener listener;
    struct quarry_account *parent; /* of its account; NULL: the whole memory */
    uint64_t memory_bytes;         /* ceiling of its account; 0: none but the memory's limit */
    struct quarry_block_cache *block_cache; /* shared with others; NULL: its own */

    bool create_if_missing;
    bool error_if_exists;
    bool read_only; /* takes no lock; sees what was there when it was opened */
    enum quarry_kv_format format;
    enum quarry_kv_durability durability;

    uint64_t write_buffer_bytes; /* of a memtable, which becomes a file; 64 MiB, or 1/8 of the
                                    memory if that is less */
    uint32_t write_buffer_count; /* of memtables, that which is written to included; 2 */
    uint64_t block_cache_bytes;  /* of its own; 0: follows the budget */
    uint64_t pinned_bytes;       /* what iterators may hold of blocks before they copy; 1/32 */
    uint64_t log_segment_bytes;  /* of the write-ahead log's files; 64 MiB */
    uint64_t log_bytes_max;      /* of all of them together: the oldest memtable is flushed; 0:
                                    four times the memtables */
    uint64_t key_bytes_max;      /* 64 KiB */
    uint64_t value_bytes_max;    /* 32 MiB */

    uint32_t block_bytes;                       /* of a block of a file before compression; 4 KiB */
    uint32_t block_restart_interval;            /* keys between restarts; 16 */
    enum quarry_kv_compression compression;     /* of levels from 2 on */
    enum quarry_kv_compression compression_top; /* of levels 0 and 1 */
    enum quarry_kv_compression compression_bottom; /* of the last one */
    int32_t compression_level;                     /* zstd's; 0: its default */
    enum quarry_kv_checksum checksum;
    uint32_t bloom_millibits; /* of a key's filter, in thousandths of a bit; 10,000; 1: none */
    const struct quarry_kv_filter_policy *filter_policy; /* in place of those, in LevelDB's format
                                                            alone; borrowed until closed */
    bool has_partitioned_filters; /* filters and indexes of a file in pieces; large ones are so
                                     in any case */
    uint32_t prefix_bytes; /* keys' prefixes of a fixed length go into filters too; 0: none */

    uint64_t file_bytes;       /* of a file, from level 1 on; 32 MiB, or less in a small budget */
    uint64_t level1_bytes;     /* of level 1; 4 × file_bytes */
    uint32_t level_ratio;      /* of a level to the one above it; 10 */
    uint32_t level0_compact;   /* depth of level 0 from which on it is compacted; 4 */
    uint32_t level0_stop;      /* and writers wait; 36 */
    uint32_t background_count; /* compactions and flushes at a time; 2 */
    uint64_t background_bytes_per_second; /* of reading and writing files; 0: no limit */
    uint64_t reserved_disk_bytes; /* kept free, so that a full disk can be compacted; 0: 64 MiB */
    uint32_t open_files_max;      /* 0: what the process may, less 256 */

    /*
     * No threads: whoever would wait for background work does some of it, and quarry_kv_step does
     * too, in an order that follows from the seed.
     */
    bool is_stepped;
    uint64_t step_seed;
};

/*
 * Sets an option by its name: "write_buffer_bytes", "64m"; "compression", "zstd"; "bloom_bits",
 * "10". RocksDB's names of the same things are known too ("write_buffer_size",
 * "max_background_jobs", …).
 *
 * Errors: QUARRY_NOT_FOUND (the text names the nearest), QUARRY_BAD_INPUT.
 */
QUARRY_EXPORT enum quarry_status quarry_kv_options_set(struct quarry_kv_options *options,
                                                       const char *name, const char *value,
                                                       struct quarry_error *error);
/*
 * Reads options from a file in RocksDB's form (OPTIONS-000007), and writes one that RocksDB's tools
 * read. What the other does not know is left out. Errors: QUARRY_NOT_FOUND, QUARRY_CORRUPT,
 * QUARRY_IO.
 */
QUARRY_EXPORT enum quarry_status quarry_kv_options_load(struct quarry_kv_options *options,
                                                        struct quarry_vfs *vfs, const char *path,
                                                        struct quarry_error *error);
QUARRY_EXPORT enum quarry_status quarry_kv_options_save(const struct quarry_kv_options *options,
                                                        struct quarry_vfs *vfs, const char *path,
                                                        struct quarry_error *error);

/* ---- opening -------------------------------------------------------------------------------- */

/*
 * Opens a store.
 *
 * `path`: of its directory. `options`: borrowed for the call, what it points to until closed.
 * `ret_kv`: own; end it with quarry_kv_close.
 * Errors: QUARRY_NOT_FOUND (and create_if_missing is not set), QUARRY_EXISTS, QUARRY_BUSY (open in
 * another process, or here), QUARRY_CORRUPT, QUARRY_UNSUPPORTED, QUARRY_NO_MEMORY (below what a
 * store needs, which the text says), QUARRY_IO, QUARRY_NO_SPACE, QUARRY_BAD_INPUT (the comparator
 * is not that of the files; an option makes no sense).
 * Cost: reads the manifest and what of the log was not flushed, in bounded memory.
 */
QUARRY_EXPORT enum quarry_status quarry_kv_open(struct quarry_memory *memory, const char *path,
                                                const struct quarry_kv_options *options,
                                                struct quarry_kv **ret_kv,
                                                struct quarry_error *error);

/*
 * Closes it: waits for background work under way, syncs the log.
 *
 * Errors: QUARRY_BUSY: iterators, snapshots or values are out; they are told, and it is still open.
 * QUARRY_IO: closed, but not all that was written without durability may have arrived.
 */
QUARRY_EXPORT enum quarry_status quarry_kv_close(struct quarry_kv *kv, struct quarry_error *error);

/* Removes all files of a store that is not open, and the directory if nothing else is in it. */
QUARRY_EXPORT enum quarry_status quarry_kv_destroy(struct quarry_vfs *vfs, const char *path,
                                                   struct quarry_error *error);

/* ---- writing -------------------------------------------------------------------------------- */

/* Of one write. NULL or zero: the store's own. */
struct quarry_kv_write_options {
    enum quarry_kv_durability durability;
    bool never_waits; /* QUARRY_BUSY instead of waiting for room */
};

/*
 * Changes a key; with delete_range every key from `begin` up to and without `end`. Deleting what is
 * not there is no error. A single delete is for keys that were put once since they were last
 * deleted, and costs less; otherwise which value shows is not defined.
 *
 * Errors: QUARRY_TOO_LARGE, QUARRY_BUSY (never_waits), QUARRY_NO_MEMORY, QUARRY_NO_SPACE,
 * QUARRY_IO, QUARRY_PERMISSION (read-only), QUARRY_UNSUPPORTED (merge without an operator),
 * QUARRY_BAD_INPUT (end before begin). After an error the change has not taken effect, but for
 * QUARRY_IO with durability POWER: it may have. So it may have after any error where more than NONE
 * is asked for in a store whose own durability is NONE, which flushes then.
 */
QUARRY_EXPORT enum quarry_status quarry_kv_put(struct quarry_kv *kv,
                                               const struct quarry_kv_write_options *options,
                                               const void *key, size_t key_bytes, const void *value,
                                               size_t value_bytes, struct quarry_error *error);
QUARRY_EXPORT enum quarry_status quarry_kv_delete(struct quarry_kv *kv,
                                                  const struct quarry_kv_write_options *options,
                                                  const void *key, size_t key_bytes,
                                                  struct quarry_error *error);
QUARRY_EXPORT enum quarry_status
quarry_kv_single_delete(struct quarry_kv *kv, const struct quarry_kv_write_options *options,
                        const void *key, size_t key_bytes, struct quarry_error *error);
QUARRY_EXPORT enum quarry_status
quarry_kv_delete_range(struct quarry_kv *kv, const struct quarry_kv_write_options *options,
                       const void *begin, size_t begin_bytes, const void *end, size_t end_bytes,
                       struct quarry_error *error);
QUARRY_EXPORT enum quarry_status quarry_kv_merge(struct quarry_kv *kv,
                                                 const struct quarry_kv_write_options *options,
                                                 const void *key, size_t key_bytes,
                                                 const void *operand, size_t operand_bytes,
                                                 struct quarry_error *error);

/* ---- batches -------------------------------------------------------------------------------- */

/*
 * A batch of changes, in the order in which they were added. An *indexed* one can be read from
 * before it is written: quarry_kv_batch_get, quarry_kv_batch_iterate.
 *
 * Where the store's budget is used up, making one and adding to it wait as a put does. What must
 * not wait makes it by quarry_kv_batch_try_create, or says so by quarry_kv_batch_set_waits: there
 * it is QUARRY_BUSY where memory would come, and the batch is as it was.
 *
 * `ret_batch`: own; end it with quarry_kv_batch_destroy. Errors: QUARRY_NO_MEMORY, QUARRY_BUSY.
 */
QUARRY_EXPORT enum quarry_status quarry_kv_batch_create(struct quarry_kv *kv, bool is_indexed,
                                                        struct quarry_kv_batch **ret_batch);
QUARRY_EXPORT enum quarry_status quarry_kv_batch_try_create(struct quarry_kv *kv, bool is_indexed,
                                                            struct quarry_kv_batch **ret_batch);
QUARRY_EXPORT void quarry_kv_batch_set_waits(struct quarry_kv_batch *batch, bool waits);
QUARRY_EXPORT void quarry_kv_batch_destroy(struct quarry_kv_batch *batch);
/* Empties it; its memory is kept for the next changes. */
QUARRY_EXPORT void quarry_kv_batch_clear(struct quarry_kv_batch *batch);
/* As the calls above. Errors: QUARRY_NO_MEMORY, QUARRY_BUSY, QUARRY_TOO_LARGE: not added. */
QUARRY_EXPORT enum quarry_status quarry_kv_batch_put(struct quarry_kv_batch *batch, const void *key,
                                                     size_t key_bytes, const void *value,
                                                     size_t value_bytes);
QUARRY_EXPORT enum quarry_status quarry_kv_batch_delete(struct quarry_kv_batch *batch,
                                                        const void *key, size_t key_bytes);
QUARRY_EXPORT enum quarry_status quarry_kv_batch_single_delete(struct quarry_kv_batch *batch,
                                                               const void *key, size_t key_bytes);
QUARRY_EXPORT enum quarry_status quarry_kv_batch_delete_range(struct quarry_kv_batch *batch,
                                                              const void *begin, size_t begin_bytes,
                                                              const void *end, size_t end_bytes);
QUARRY_EXPORT enum quarry_status quarry_kv_batch_merge(struct quarry_kv_batch *batch,
                                                       const void *key, size_t key_bytes,
                                                       const void *operand, size_t operand_bytes);
/* Bytes that go into the log and no further. */
QUARRY_EXPORT enum quarry_status quarry_kv_batch_log_data(struct quarry_kv_batch *batch,
                                                          const void *bytes, size_t byte_count);
/* How many changes; the batch as it is in the log (RocksDB's WriteBatch), borrowed. */
QUARRY_EXPORT uint32_t quarry_kv_batch_count(const struct quarry_kv_batch *batch);
QUARRY_EXPORT struct quarry_kv_slice quarry_kv_batch_data(const struct quarry_kv_batch *batch);
/* Adds the changes of a batch in that form. Errors: QUARRY_CORRUPT, QUARRY_NO_MEMORY. */
QUARRY_EXPORT enum quarry_status quarry_kv_batch_append(struct quarry_kv_batch *batch,
                                                        struct quarry_kv_slice data,
                                                        struct quarry_error *error);
/* Remembers how long it is, and goes back to there. Nested, last in first out, 16 deep. */
QUARRY_EXPORT enum quarry_status quarry_kv_batch_mark(struct quarry_kv_batch *batch);
QUARRY_EXPORT enum quarry_status quarry_kv_batch_rewind(struct quarry_kv_batch *batch);
/*
 * Writes all changes, at one moment. The batch is as before, and may be written again.
 * Errors: as quarry_kv_put.
 */
QUARRY_EXPORT enum quarry_status quarry_kv_write(struct quarry_kv *kv,
                                                 const struct quarry_kv_write_options *options,
                                                 struct quarry_kv_batch *batch,
                                                 struct quarry_error *error);
/*
 * The same of changes in the form of quarry_kv_batch_data, which the caller keeps in memory of its
 * own. `data`: borrowed for the call; its first eight bytes are 0, as a batch's are.
 * Errors: as quarry_kv_put; QUARRY_CORRUPT: it is not in that form.
 */
QUARRY_EXPORT enum quarry_status quarry_kv_write_data(struct quarry_kv *kv,
                                                      const struct quarry_kv_write_options *options,
                                                      struct quarry_kv_slice data,
                                                      struct quarry_error *error);

/* ---- reading -------------------------------------------------------------------------------- */

/* Of one read. NULL or zero: the newest, all checked. */
struct quarry_kv_read_options {
    const struct quarry_kv_snapshot *snapshot; /* NULL: now */
    struct quarry_kv_slice lower, upper;       /* iterators: from lower, up to and without upper;
                                                  bytes NULL: no bound; borrowed until it ends */
    bool is_prefix_only;  /* iterators: only keys with the prefix of the key that was sought */
    bool leaves_no_trace; /* what is read is not kept in the block cache */
    bool only_cached;     /* QUARRY_BUSY instead of reading from disk */
    uint64_t skipped_max; /* iterators: QUARRY_CANCELLED after so many deleted keys in one step; 0:
                             never */
};

/* What was read. All-zero is none. `bytes` are borrowed until it is released. */
struct quarry_kv_value {
    const void *bytes;
    size_t byte_count;
    uint64_t held[4]; /* what keeps the bytes: the store's own */
};

/*
 * Reads the value of a key.
 *
 * `ret_value`: own: a block or a memtable is held, and nothing copied, until
 * quarry_kv_value_release; where too much is held already, a copy.
 * Errors: QUARRY_NOT_FOUND, QUARRY_CORRUPT, QUARRY_IO, QUARRY_BUSY (only_cached).
 */
QUARRY_EXPORT enum quarry_status
quarry_kv_get(struct quarry_kv *kv, const struct quarry_kv_read_options *options, const void *key,
              size_t key_bytes, struct quarry_kv_value *ret_value, struct quarry_error *error);
/* `value`: given, and made none; none does nothing. */
QUARRY_EXPORT void quarry_kv_value_release(struct quarry_kv_value *value);

/*
 * Has the CPU fetch what getting these keys will touch in memory, so that its cache misses overlap:
 * for who knows some keys before he gets the first of them. Nothing is read from disk. Useful from
 * two keys on; more than 16 at a time push each other out. Cost: some 150 instructions a key.
 */
QUARRY_EXPORT void quarry_kv_prefetch(struct quarry_kv *kv, const struct quarry_kv_slice *keys,
                                      size_t key_count);
/*
 * Likewise for keys that this thread is going to put: their places are looked for side by side, and
 * found again when the puts come. The first 16 are; others, and puts that never come, cost nothing
 * more. Only in time does it make a difference. Threads: any. Cost: of each key some 40
 * instructions, or the search that its put is then spared; a dozen overlapping cache misses.
 */
QUARRY_EXPORT void quarry_kv_prefetch_puts(struct quarry_kv *kv, const struct quarry_kv_slice *keys,
                                           size_t key_count);

/*
 * Reads a value into the caller's memory.
 *
 * `ret_value_bytes`: of the value; where that is more than `room_bytes`, only so many were written.
 */
QUARRY_EXPORT enum quarry_status quarry_kv_read(struct quarry_kv *kv,
                                                const struct quarry_kv_read_options *options,
                                                const void *key, size_t key_bytes, void *room,
                                                size_t room_bytes, size_t *ret_value_bytes,
                                                struct quarry_error *error);

/*
 * Reads many keys at one moment, in the order of their keys, so that neighbours share what is read
 * of the disk.
 *
 * `ret_statuses`, `ret_values`: one for each key, of QUARRY_OK, QUARRY_NOT_FOUND or its error.
 * Returns: QUARRY_OK, or the first error that is not QUARRY_NOT_FOUND.
 */
QUARRY_EXPORT enum quarry_status
quarry_kv_multi_get(struct quarry_kv *kv, const struct quarry_kv_read_options *options,
                    const struct quarry_kv_slice *keys, size_t key_count,
                    enum quarry_status *ret_statuses, struct quarry_kv_value *ret_values,
                    struct quarry_error *error);

/* Whether there is such a key. Errors: as quarry_kv_get; QUARRY_NOT_FOUND: there is none. */
QUARRY_EXPORT enum quarry_status quarry_kv_exists(struct quarry_kv *kv,
                                                  const struct quarry_kv_read_options *options,
                                                  const void *key, size_t key_bytes,
                                                  struct quarry_error *error);

/* Reads through an indexed batch: what it changes stands before what the store has. */
QUARRY_EXPORT enum quarry_status
quarry_kv_batch_get(struct quarry_kv *kv, const struct quarry_kv_read_options *options,
                    struct quarry_kv_batch *batch, const void *key, size_t key_bytes,
                    struct quarry_kv_value *ret_value, struct quarry_error *error);

/* ---- snapshots ------------------------------------------------------------------------------ */

/* The store as it is now. `ret_snapshot`: own; end it. Errors: QUARRY_NO_MEMORY. */
QUARRY_EXPORT enum quarry_status
quarry_kv_snapshot_take(struct quarry_kv *kv, const struct quarry_kv_snapshot **ret_snapshot);
/* `snapshot`: given; NULL does nothing. */
QUARRY_EXPORT void quarry_kv_snapshot_release(struct quarry_kv *kv,
                                              const struct quarry_kv_snapshot *snapshot);
/* How many changes the store had seen; those of later snapshots are not lower. */
QUARRY_EXPORT uint64_t quarry_kv_snapshot_sequence(const struct quarry_kv_snapshot *snapshot);

/* ---- iterators ------------------------------------------------------------------------------ */

/*
 * Creates an iterator over the store as it is now, or as a snapshot has it. It is at no key.
 *
 * `ret_iterator`: own; end it with quarry_kv_iterator_destroy. Errors: QUARRY_NO_MEMORY (others
 * have all of the reserve, and have not ended for 10 s), QUARRY_IO, QUARRY_CORRUPT.
 */
QUARRY_EXPORT enum quarry_status quarry_kv_iterate(struct quarry_kv *kv,
                                                   const struct quarry_kv_read_options *options,
                                                   struct quarry_kv_iterator **ret_iterator,
                                                   struct quarry_error *error);
/* Over a store with the changes of an indexed batch, which must not be changed meanwhile. */
QUARRY_EXPORT enum quarry_status
quarry_kv_batch_iterate(struct quarry_kv *kv, const struct quarry_kv_read_options *options,
                        struct quarry_kv_batch *batch, struct quarry_kv_iterator **ret_iterator,
                        struct quarry_error *error);
QUARRY_EXPORT void quarry_kv_iterator_destroy(struct quarry_kv_iterator *iterator);

/*
 * Move it: to the first key, the last one, the first at or after a key, the last at or before it,
 * the next, the one before. Returns: whether it is at a key. False at the end, and after an error:
 * ask quarry_kv_iterator_status. `next` and `previous` are for an iterator that is at a key. What
 * is sought may be a part of the key or value that it shows.
 */
QUARRY_EXPORT bool quarry_kv_iterator_first(struct quarry_kv_iterator *iterator);
QUARRY_EXPORT bool quarry_kv_iterator_last(struct quarry_kv_iterator *iterator);
QUARRY_EXPORT bool quarry_kv_iterator_seek(struct quarry_kv_iterator *iterator, const void *key,
                                           size_t key_bytes);
QUARRY_EXPORT bool quarry_kv_iterator_seek_for_prev(struct quarry_kv_iterator *iterator,
                                                    const void *key, size_t key_bytes);
QUARRY_EXPORT bool quarry_kv_iterator_next(struct quarry_kv_iterator *iterator);
QUARRY_EXPORT bool quarry_kv_iterator_previous(struct quarry_kv_iterator *iterator);
QUARRY_EXPORT bool quarry_kv_iterator_is_valid(const struct quarry_kv_iterator *iterator);
/* Where it is. Returns: borrowed until it is moved. It is at a key. */
QUARRY_EXPORT struct quarry_kv_slice
quarry_kv_iterator_key(const struct quarry_kv_iterator *iterator);
QUARRY_EXPORT struct quarry_kv_slice
quarry_kv_iterator_value(const struct quarry_kv_iterator *iterator);
/* QUARRY_OK at a key and at the end; else what went wrong, in full in `error`. */
QUARRY_EXPORT enum quarry_status
quarry_kv_iterator_status(const struct quarry_kv_iterator *iterator, struct quarry_error *error);
/* Other bounds; it is at no key then. `lower`, `upper`: copied. Errors: QUARRY_NO_MEMORY. */
QUARRY_EXPORT enum quarry_status quarry_kv_iterator_set_bounds(struct quarry_kv_iterator *iterator,
                                                               struct quarry_kv_slice lower,
                                                               struct quarry_kv_slice upper);
/* To the store as it is now; it is at no key then. Errors: as quarry_kv_iterate. */
QUARRY_EXPORT enum quarry_status quarry_kv_iterator_refresh(struct quarry_kv_iterator *iterator,
                                                            struct quarry_error *error);

/* ---- files ---------------------------------------------------------------------------------- */

/* Writes memtables to files; waits until what was written before the call is in them. */
QUARRY_EXPORT enum quarry_status quarry_kv_flush(struct quarry_kv *kv, struct quarry_error *error);
/* Syncs the log: all writes acknowledged before the call survive a loss of power. */
QUARRY_EXPORT enum quarry_status quarry_kv_sync(struct quarry_kv *kv, struct quarry_error *error);
/*
 * Merges all files with keys of a range into the last level; bytes NULL: from or to the end. Where
 * memory is short it waits, and tries again with less, up to some seconds.
 */
QUARRY_EXPORT enum quarry_status quarry_kv_compact_range(struct quarry_kv *kv,
                                                         struct quarry_kv_slice begin,
                                                         struct quarry_kv_slice end,
                                                         struct quarry_error *error);
/*
 * Does one piece of background work, of a store with is_stepped.
 * Returns: whether there was any.
 */
QUARRY_EXPORT bool quarry_kv_step(struct quarry_kv *kv);
/* Waits until no background work is wanted. Errors: QUARRY_IO, … of what has failed. */
QUARRY_EXPORT enum quarry_status quarry_kv_wait_idle(struct quarry_kv *kv,
                                                     struct quarry_error *error);

/*
 * Makes a directory that is a store as this one is now, sharing files by hard links where it can.
 * Errors: QUARRY_EXISTS, QUARRY_IO, QUARRY_NO_SPACE: nothing is left there.
 */
QUARRY_EXPORT enum quarry_status quarry_kv_checkpoint(struct quarry_kv *kv, const char *path,
                                                      struct quarry_error *error);
/*
 * Adds a backup to a directory of backups; files that an earlier one has are not copied again.
 * `ret_id`: from 1. Restoring makes a store, of the latest where `id` is 0. The oldest are removed
 * until `keep_count` are left.
 */
QUARRY_EXPORT enum quarry_status quarry_kv_backup(struct quarry_kv *kv, const char *path,
                                                  uint32_t *ret_id, struct quarry_error *error);
QUARRY_EXPORT enum quarry_status quarry_kv_restore(struct quarry_vfs *vfs, const char *backup_path,
                                                   uint32_t id, const char *path,
                                                   struct quarry_error *error);
QUARRY_EXPORT enum quarry_status quarry_kv_backup_prune(struct quarry_vfs *vfs,
                                                        const char *backup_path,
                                                        uint32_t keep_count,
                                                        struct quarry_error *error);
/*
 * Adds files that quarry_kv_file_writer or RocksDB's SstFileWriter has made, as if their keys were
 * written now, at one moment: all of them or none. They are moved, or copied where `keeps` is set
 * or they cannot be. Writes wait meanwhile, for a flush as well if memtables have such keys.
 *
 * Errors: QUARRY_BAD_INPUT (not made to be ingested, or two overlap), QUARRY_CORRUPT,
 * QUARRY_UNSUPPORTED (into LevelDB's files), those of writing.
 */
QUARRY_EXPORT enum quarry_status quarry_kv_ingest(struct quarry_kv *kv, const char *const *paths,
                                                  size_t path_count, bool keeps,
                                                  struct quarry_error *error);
/*
 * Writes keys of a range, as a snapshot has them, to a file that can be ingested.
 * Errors: QUARRY_NOT_FOUND (no key is in the range: no file is made), QUARRY_EXISTS, …
 */
QUARRY_EXPORT enum quarry_status quarry_kv_export(struct quarry_kv *kv,
                                                  const struct quarry_kv_read_options *options,
                                                  const char *path, uint64_t *ret_key_count,
                                                  struct quarry_error *error);

struct quarry_kv_file_writer;
/* Makes a file to be ingested: keys in rising order. `kv`: whose options hold. */
QUARRY_EXPORT enum quarry_status
quarry_kv_file_writer_create(struct quarry_kv *kv, const char *path,
                             struct quarry_kv_file_writer **ret_writer, struct quarry_error *error);
QUARRY_EXPORT enum quarry_status quarry_kv_file_writer_put(struct quarry_kv_file_writer *writer,
                                                           const void *key, size_t key_bytes,
                                                           const void *value, size_t value_bytes,
                                                           struct quarry_error *error);
QUARRY_EXPORT enum quarry_status quarry_kv_file_writer_delete(struct quarry_kv_file_writer *writer,
                                                              const void *key, size_t key_bytes,
                                                              struct quarry_error *error);
/* Ends it; the file is whole and synced. `writer`: given, whatever is returned. */
QUARRY_EXPORT enum quarry_status quarry_kv_file_writer_finish(struct quarry_kv_file_writer *writer,
                                                              struct quarry_error *error);
/* Ends it and removes the file. */
QUARRY_EXPORT void quarry_kv_file_writer_abort(struct quarry_kv_file_writer *writer);

/* Reads every block of every file and checks it. Errors: the first fault found. */
QUARRY_EXPORT enum quarry_status quarry_kv_verify(struct quarry_kv *kv, struct quarry_error *error);
/*
 * Makes a store that can be opened of what is left of one: files that can be read are kept, of
 * damaged ones what can be read, a new manifest is made, what cannot be read is moved to `lost/`.
 * Not for an open store. Errors: QUARRY_NOT_FOUND (nothing of a store is there), QUARRY_BUSY,
 * QUARRY_BAD_INPUT (another comparator), …: it can be done again.
 */
QUARRY_EXPORT enum quarry_status quarry_kv_repair(struct quarry_memory *memory, const char *path,
                                                  const struct quarry_kv_options *options,
                                                  struct quarry_error *error);

/* ---- what it is like ------------------------------------------------------------------------ */

/*
 * A property by name: those of RocksDB ("rocksdb.stats", "rocksdb.num-files-at-level2",
 * "rocksdb.estimate-num-keys", …), of LevelDB ("leveldb.sstables", …), and "quarry.lsm",
 * "quarry.memory", "quarry.pins", "quarry.stats" (JSON); "quarry.properties" lists the names.
 *
 * `room`: written with text and a NUL, cut off at `room_bytes`. `ret_bytes`: of the whole text.
 * Errors: QUARRY_NOT_FOUND.
 */
QUARRY_EXPORT enum quarry_status quarry_kv_property(struct quarry_kv *kv, const char *name,
                                                    char *room, size_t room_bytes,
                                                    size_t *ret_bytes);

/* About how many bytes of files the keys of ranges occupy. */
QUARRY_EXPORT void quarry_kv_approximate_bytes(struct quarry_kv *kv,
                                               const struct quarry_kv_slice *begins,
                                               const struct quarry_kv_slice *ends,
                                               size_t range_count, uint64_t *ret_bytes);

/* Whether it can be written to, and why not. */
struct quarry_kv_state {
    bool is_read_only;
    struct quarry_error reason;
};
QUARRY_EXPORT void quarry_kv_read_state(struct quarry_kv *kv, struct quarry_kv_state *ret_state);

struct quarry_kv_level_stats {
    uint32_t file_count;
    uint64_t file_bytes;
    uint64_t compaction_read_bytes, compaction_written_bytes;
    uint64_t compaction_ns; /* of merging into it; flushes into level 0 do not count */
    double score;
};
struct quarry_kv_stats {
    struct quarry_kv_level_stats level[QUARRY_KV_LEVELS];
    uint64_t put_count, delete_count, merge_count, range_delete_count, batch_count;
    uint64_t get_count, get_hit_count, seek_count, step_count;
    uint64_t filter_useful_count, filter_passed_count, filter_false_count;
    uint64_t written_bytes, read_bytes; /* by users: keys and values */
    uint64_t log_bytes, log_sync_count, log_group_count;
    uint64_t flush_count, flush_bytes;
    uint64_t compaction_count, move_count;
    uint64_t throttled_ns, stopped_ns, stopped_worst_ns;
    uint64_t memtable_bytes, memtable_count;
    uint64_t block_bytes, pinned_bytes, table_bytes, compaction_bytes, charged_bytes;
    uint64_t snapshot_count, iterator_count, oldest_snapshot_ns;
    uint64_t obsolete_bytes; /* of files that only iterators and checkpoints keep */
    uint64_t sequence;
    uint64_t estimated_keys;
};
QUARRY_EXPORT void quarry_kv_read_stats(struct quarry_kv *kv, struct quarry_kv_stats *ret_stats);

/*
 * Reads the figures of the block cache that the store reads through (quarry/block.h), which may be
 * shared with others: all since it was made. `ret_stats`: written always. Threads: any. Cost: as
 * quarry_block_cache_stats.
 */
struct quarry_block_stats;
QUARRY_EXPORT void quarry_kv_read_block_stats(struct quarry_kv *kv,
                                              struct quarry_block_stats *ret_stats);

/* Checks every structure against every other. Errors: QUARRY_CORRUPT. */
QUARRY_EXPORT enum quarry_status quarry_kv_validate(struct quarry_kv *kv,
                                                    struct quarry_error *error);

#ifdef __cplusplus
}
#endif

#endif
