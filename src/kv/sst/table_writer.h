/*
 * A table that is being written: what its two halves, adding and finishing, share.
 */
#ifndef QUARRY_KV_SST_TABLE_WRITER_H
#define QUARRY_KV_SST_TABLE_WRITER_H

#include <kv/sst/block_build.h>
#include <kv/sst/filter.h>
#include <kv/sst/filter_policy.h>
#include <kv/sst/format.h>
#include <kv/sst/table_write.h>
#include <kv/sst/xxph3.h>

/* A block that has been written, in `index`; its separator's user key follows. */
struct sst_index_note {
    struct sst_handle handle;
    uint64_t trailer;  /* of the separator */
    uint64_t hash_end; /* how many hashes there were at its end */
    uint64_t user_bytes;
};

/* The end of a piece, in `partitions`. */
struct sst_partition {
    uint64_t index_end; /* in the bytes of `index` */
    uint64_t hash_end;
};

struct kv_table_writer {
    struct kv_tables *tables;              /* const */
    const struct sst_heap *heap;           /* const: the tables' */
    struct quarry_vfs_file *file;          /* const */
    struct kv_table_write_options options; /* const; texts are in the properties */
    bool is_leveldb;                       /* const */
    bool is_finished;
    struct sst_codec *codec;

    enum quarry_status failure; /* 3 */
    struct quarry_error failure_error;

    uint64_t offset;  /* 1 */
    uint64_t written; /* of them, in the file */
    uint64_t sync_started;
    struct sst_buffer buffer;

    struct sst_block_build block;  /* the data block; with has_pending: the one that was written */
    struct sst_block_build ranges; /* range deletions */
    bool has_pending;              /* a block is written, and not in `index` yet */
    struct sst_handle pending;

    bool has_user_keys;          /* no two blocks split a user key's versions */
    struct sst_buffer index;     /* notes */
    struct sst_buffer separator; /* scratch */
    struct sst_buffer partitions;
    uint64_t partition_begin; /* of the piece under way, in `index` */
    uint64_t index_bytes;     /* about what the index will have */
    struct sst_filter_build hashes;
    struct sst_policy_build policy; /* of LevelDB's, where the store has one: instead of hashes */

    /* Internal keys; empty: none. Of entries, and what range deletions reach from and to. */
    struct sst_buffer smallest, largest, range_smallest, range_largest;
    uint64_t smallest_sequence, largest_sequence;
    struct kv_table_properties properties;
};

/* An internal key that a buffer holds. */
static inline struct kv_key sst_writer_key_of(const struct sst_buffer *buffer)
{
    size_t user = buffer->count - KV_TRAILER_BYTES;

    return (struct kv_key){kv_slice(buffer->bytes, user), endian_load_le_u64(buffer->bytes + user)};
}
/* The last key that was added. */
static inline struct kv_key sst_writer_last_key(const struct kv_table_writer *writer)
{
    return sst_writer_key_of(&writer->block.last_key);
}

/* Notes a failure once, and tells it. Returns: the first one. */
enum quarry_status sst_writer_fail(struct kv_table_writer *writer, enum quarry_status status,
                                   const char *what, struct quarry_error *error);
/* Appends bytes to the file, by way of the buffer; and empties that. */
enum quarry_status sst_writer_put(struct kv_table_writer *writer, const char *bytes,
                                  size_t byte_count);
enum quarry_status sst_writer_flush(struct kv_table_writer *writer);
/* Appends a block with its trailer. `bytes`: may be given room, and is otherwise as it was. */
enum quarry_status sst_writer_put_block(struct kv_table_writer *writer, struct sst_buffer *bytes,
                                        bool may_compress, struct sst_handle *ret_handle);
/* Writes the data block; and puts the one written last into the index. `next`: NULL: none. */
enum quarry_status sst_writer_end_block(struct kv_table_writer *writer);
enum quarry_status sst_writer_note_block(struct kv_table_writer *writer, const struct kv_key *next);
/* Copies a key. Widens what range deletions reach by one. */
enum quarry_status sst_writer_keep_key(struct kv_table_writer *writer, struct sst_buffer *room,
                                       struct kv_key key);
enum quarry_status sst_writer_widen(struct kv_table_writer *writer, struct kv_key begin,
                                    struct kv_slice end);
/* Writes filter and index, in one piece or in many. */
enum quarry_status sst_writer_put_filter(struct kv_table_writer *writer,
                                         struct sst_handle *ret_handle);
enum quarry_status sst_writer_put_index(struct kv_table_writer *writer,
                                        struct sst_handle *ret_handle);

#endif
