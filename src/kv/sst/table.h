/*
 * An open table: what its parts share.
 */
#ifndef QUARRY_KV_SST_TABLE_H
#define QUARRY_KV_SST_TABLE_H

#include <kv/sst/block_read.h>
#include <kv/sst/filter.h>
#include <kv/sst/format.h>
#include <kv/sst/index.h>
#include <kv/sst/table_read.h>

/* Of the entries of tables that were not ingested. */
#define SST_NO_SEQUENCE UINT64_MAX

enum sst_filter_place {
    SST_FILTER_NONE,
    SST_FILTER_WHOLE,
    SST_FILTER_PARTS,
    SST_FILTER_STRETCHES, /* LevelDB's */
};

/* Const while the table is open. */
struct kv_table {
    struct kv_tables *tables;
    struct quarry_vfs_file *file;
    uint64_t file_number, file_bytes;
    uint8_t level;
    struct sst_footer footer;
    struct kv_table_properties properties;

    struct sst_index_form index_form, top_form; /* of an index (or its parts), and of a top */
    bool is_two_level;
    const struct sst_index *index; /* pinned: the index, or its top; NULL: it is not */
    struct quarry_block index_block;

    enum sst_filter_place filter_place;
    struct sst_handle filter_handle;
    bool filters_keys;                  /* the filter knows whole keys */
    bool filters_prefixes;              /* the filter knows prefixes of the store's length */
    struct sst_filter filter;           /* pinned, WHOLE or STRETCHES */
    const char *filter_bytes;           /* pinned; NULL: it is not */
    bool is_asked_at_once;              /* kv_table_ask has an answer */
    const struct sst_index *filter_top; /* pinned, PARTS; NULL: it is not */
    struct quarry_block filter_block;

    uint64_t global_sequence; /* of all entries; SST_NO_SEQUENCE: each has its own */
    struct sst_buffer dictionary;
    struct sst_buffer range_bytes; /* keys of ranges, then the array of them */
    struct kv_table_range *ranges;
    size_t range_count;
    bool ranges_are_fragments; /* those that overlap are of the same keys */
};

/* For whom blocks are read. */
struct sst_reading {
    bool only_cached, is_background;
    struct sst_readahead *readahead; /* NULL: none */
    struct quarry_error *error;
};

/* What is in the extra bytes of filters and indexes. */
struct sst_extra {
    uint32_t mark;
    uint32_t unused;
    struct sst_filter filter;
};

/* ---- blocks --------------------------------------------------------------------------------- */

/* As error_set, with the table's name and an offset before the text. */
enum quarry_status sst_table_fail(const struct kv_table *table, struct quarry_error *error,
                                  enum quarry_status status, uint64_t offset, const char *text);

/*
 * Reads a block of the file, checks its checksum and uncompresses it, into the codec's memory.
 * `ret_bytes`: borrowed from the codec, or from `reading->readahead`.
 */
enum quarry_status sst_table_read_plain(struct kv_table *table, struct sst_codec *codec,
                                        const struct sst_reading *reading, struct sst_handle handle,
                                        const char **ret_bytes, size_t *ret_byte_count);
/* The same without uncompressing: payload and trailer, checked against the checksum or not. */
enum quarry_status sst_table_read_raw(struct kv_table *table, struct sst_codec *codec,
                                      const struct sst_reading *reading, struct sst_handle handle,
                                      const char **ret_bytes);
bool sst_table_checksum_holds(const struct kv_table *table, const char *bytes,
                              struct sst_handle handle);
/* What is behind a raw block's trailer check: uncompresses its payload. */
enum quarry_status sst_table_uncompress(struct kv_table *table, struct sst_codec *codec,
                                        const struct sst_reading *reading, struct sst_handle handle,
                                        const char *raw, const char **ret_bytes,
                                        size_t *ret_byte_count);

/*
 * A block by way of the cache, decoded as its kind wants it. `kind`: DATA, INDEX or FILTER.
 * `form`: of an index. `ret_block`: own. Errors: QUARRY_BUSY (only_cached), QUARRY_CORRUPT, …
 */
enum quarry_status sst_table_block(struct kv_table *table, const struct sst_reading *reading,
                                   enum quarry_block_kind kind, struct sst_handle handle,
                                   const struct sst_index_form *form,
                                   struct quarry_block *ret_block);

/* Makes a block of a kind of plain bytes. `what`: for errors. */
enum quarry_status sst_table_decode(struct kv_table *table, const struct sst_reading *reading,
                                    enum quarry_block_kind kind, struct sst_handle handle,
                                    const struct sst_index_form *form, const char *bytes,
                                    size_t byte_count, struct quarry_block *ret_block);

/* ---- the index ------------------------------------------------------------------------------ */

/*
 * Move a position; past an end it is nowhere. Errors: as sst_table_block; then it is nowhere.
 * `key` of seek: to the block that may have the first entry at or after it.
 */
enum quarry_status sst_position_seek(struct kv_table *table, struct sst_index_position *position,
                                     const struct sst_reading *reading, struct kv_key key);
enum quarry_status sst_position_first(struct kv_table *table, struct sst_index_position *position,
                                      const struct sst_reading *reading);
enum quarry_status sst_position_last(struct kv_table *table, struct sst_index_position *position,
                                     const struct sst_reading *reading);
enum quarry_status sst_position_next(struct kv_table *table, struct sst_index_position *position,
                                     const struct sst_reading *reading);
enum quarry_status sst_position_previous(struct kv_table *table,
                                         struct sst_index_position *position,
                                         const struct sst_reading *reading);
static inline bool sst_position_is_valid(const struct sst_index_position *position)
{
    return position->leaf != NULL;
}
static inline struct sst_handle sst_position_handle(const struct sst_index_position *position)
{
    return sst_index_handle(position->leaf, position->entry);
}
/* Lets go of what it holds. */
void sst_position_fini(const struct kv_table *table, struct sst_index_position *position);

/* ---- filters -------------------------------------------------------------------------------- */

/* Asks a filter of whole keys or prefixes. `key`: where in a partitioned one. Errors: none: what
 * cannot be read lets everything pass. */
enum kv_table_filtered sst_table_filter(struct kv_table *table, const struct sst_reading *reading,
                                        struct kv_key key, uint64_t hash);
/* Asks LevelDB's, which is for stretches of the file. */
enum kv_table_filtered sst_table_filter_at(struct kv_table *table,
                                           const struct sst_reading *reading, struct kv_slice user,
                                           uint64_t block_offset);

/* Whether an entry's type is one that this engine has. */
static inline bool sst_type_is_known(uint64_t trailer)
{
    const uint32_t known = 1u << KV_TYPE_DELETE | 1u << KV_TYPE_PUT | 1u << KV_TYPE_MERGE |
                           1u << KV_TYPE_SINGLE_DELETE;
    uint32_t type = trailer & 0xff;

    return type < 32 && (known >> type & 1) != 0;
}
/* Errors: QUARRY_UNSUPPORTED, with the type's name. */
enum quarry_status sst_table_refuse_type(const struct kv_table *table, struct quarry_error *error,
                                         uint64_t offset, uint64_t trailer);

#endif
