/*
 * Writing tables: sorted entries into a file of RocksDB's block-based format or LevelDB's.
 *
 *     struct kv_table_write_options options = {.file_number = 12, .compression = …};
 *     struct kv_table_writer *writer;
 *     struct kv_table_result result;
 *
 *     status = kv_table_writer_create(tables, file, &options, &writer, &error);
 *     for (…) {
 *         status = kv_table_writer_add(writer, key, value, &error);
 *     }
 *     status = kv_table_writer_finish(writer, &result, &error);
 *     …
 *     kv_table_writer_destroy(writer);
 *
 * A writer keeps one block, a buffer of written bytes, the index and a hash of each key: none of
 * the keys. After an error it takes nothing more, and returns the same error again.
 *
 * Threads: one at a time.
 */
#ifndef QUARRY_KV_SST_TABLE_WRITE_H
#define QUARRY_KV_SST_TABLE_WRITE_H

#include <quarry/kv.h>

#include <kv/sst/properties.h>
#include <kv/sst/tables.h>

/* Zero means the default of each. */
struct kv_table_write_options {
    enum quarry_kv_format format;           /* AUTO: RocksDB's */
    enum quarry_kv_compression compression; /* NONE where it is not said */
    int32_t compression_level;
    enum quarry_kv_checksum checksum;
    uint32_t block_bytes;      /* 4 KiB */
    uint32_t restart_interval; /* 16 */
    uint32_t bloom_millibits;  /* of a key; 0: no filter */
    uint32_t prefix_bytes;     /* prefixes go into the filter as well; 0: none */
    bool is_partitioned;       /* index and filter in pieces of about `partition_bytes` */
    uint32_t partition_bytes;  /* 4 KiB */
    bool is_ingestible;        /* with the properties of a file that RocksDB ingests; the sequences
                                  of its keys are 0 */
    bool syncs;                /* finishing waits until the file is durable */
    uint32_t buffer_bytes;     /* written at a time; 128 KiB */
    uint64_t start_sync_bytes; /* the kernel is told to write each so many; 1 MiB */
    uint64_t file_number;
    uint32_t level;
    uint64_t creation_time, oldest_key_time; /* s since 1970 */
    const char *merge_operator;              /* name; NULL: "nullptr" */
    const char *db_id, *session_id, *host;   /* NULL: left out */
};

/* A file that is whole. Keys are borrowed until the writer ends. */
struct kv_table_result {
    uint64_t file_bytes;
    struct kv_key smallest, largest; /* range deletions covered: see kv-format */
    uint64_t smallest_sequence, largest_sequence;
    uint64_t entry_count, delete_count, range_delete_count;
    struct kv_table_properties properties;
};

struct kv_table_writer;

/*
 * Begins a table at the beginning of a file.
 *
 * `tables`: borrowed until the writer ends. `file`: empty, written to; borrowed until the writer
 * ends. `options`: borrowed for the call, texts included.
 * `ret_writer`: own; end it with kv_table_writer_destroy.
 * Errors: QUARRY_NO_MEMORY, QUARRY_BAD_INPUT (an option that the format does not have).
 */
enum quarry_status kv_table_writer_create(struct kv_tables *tables, struct quarry_vfs_file *file,
                                          const struct kv_table_write_options *options,
                                          struct kv_table_writer **ret_writer,
                                          struct quarry_error *error);

/*
 * Adds an entry, after all those added before.
 *
 * `key`, `value`: borrowed for the call. Errors: QUARRY_BAD_INPUT (out of order),
 * QUARRY_TOO_LARGE, QUARRY_NO_MEMORY, QUARRY_NO_SPACE, QUARRY_IO.
 */
enum quarry_status kv_table_writer_add(struct kv_table_writer *writer, struct kv_key key,
                                       struct kv_slice value, struct quarry_error *error);

/*
 * Adds a range deletion: in the order of (begin, sequence falling), at any time beside entries.
 * Errors: as kv_table_writer_add; QUARRY_UNSUPPORTED (LevelDB's format has none).
 */
enum quarry_status kv_table_writer_add_range_delete(struct kv_table_writer *writer,
                                                    struct kv_slice begin, struct kv_slice end,
                                                    uint64_t sequence, struct quarry_error *error);

/* About how many bytes the file would have, were it finished now. Cost: a few instructions. */
uint64_t kv_table_writer_bytes(const struct kv_table_writer *writer);
/* How many entries and range deletions it has. */
uint64_t kv_table_writer_count(const struct kv_table_writer *writer);

/*
 * Writes what is left: filter, index, properties, footer.
 *
 * `ret_result`: its keys are borrowed until the writer is destroyed.
 * Errors: as kv_table_writer_add; QUARRY_BAD_INPUT (nothing was added).
 */
enum quarry_status kv_table_writer_finish(struct kv_table_writer *writer,
                                          struct kv_table_result *ret_result,
                                          struct quarry_error *error);

/* Ends a writer, finished or not; the file is the caller's to remove. NULL does nothing. */
void kv_table_writer_destroy(struct kv_table_writer *writer);

#endif
