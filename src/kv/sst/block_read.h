/*
 * Reading blocks: parsed once, then searched and walked without further checks.
 */
#ifndef QUARRY_KV_SST_BLOCK_READ_H
#define QUARRY_KV_SST_BLOCK_READ_H

#include <quarry/block.h>

#include <kv/key.h>
#include <kv/sst/heap.h>

/* Bytes of a file read ahead of their use. */
struct sst_readahead {
    struct sst_buffer bytes;
    uint64_t offset; /* of them */
    uint32_t chunk_bytes;
};

/* ---- entries, checked ----------------------------------------------------------------------- */

/* An entry as it stands in a block. */
struct sst_entry {
    uint32_t shared, rest; /* bytes of the key: of the one before, and here */
    uint32_t value_bytes;
    const char *key; /* its rest */
};

/*
 * Takes an entry's header and key apart. `has_value_length`: false: `value_bytes` is all that is
 * left. Returns: where the value begins; NULL: it does not fit before `end`.
 */
const char *sst_entry_parse(const char *at, const char *end, bool has_value_length,
                            struct sst_entry *ret_entry);

/* The restarts of a block, and where its entries end. */
struct sst_restarts {
    uint32_t entries_bytes; /* restarts begin there */
    uint32_t count;
    uint32_t bucket_count;   /* of the hash index; 0: none */
    uint32_t buckets_offset; /* of them */
};

/* Errors: false: the block is too short for what its last bytes say. */
bool sst_restarts_parse(const char *bytes, size_t byte_count, struct sst_restarts *ret_restarts);

/*
 * Calls `visit` for each entry of a block of plain keys and values (properties, the metaindex).
 * Errors: QUARRY_CORRUPT, QUARRY_NO_MEMORY, what `visit` returns.
 */
typedef enum quarry_status sst_visit_function(void *argument, struct kv_slice key,
                                              struct kv_slice value);
enum quarry_status sst_block_visit(const struct sst_heap *heap, const char *bytes,
                                   size_t byte_count, sst_visit_function *visit, void *argument);

/* ---- data blocks ---------------------------------------------------------------------------- */

/*
 * What is kept beside a data block, in its extra bytes: offsets, for blocks are moved.
 *
 *     | head | prefix8 of each restart's key, after the common bytes |
 */
struct sst_block_head {
    uint32_t mark; /* of enum sst_mark */
    uint32_t entry_count;
    struct sst_restarts restarts;
    uint32_t common_bytes;  /* with which the user keys of all entries begin */
    uint32_t common_offset; /* where they are */
    uint64_t prefixes[];    /* one for each restart */
};

/*
 * What begins the extra bytes of every block of tables that is in the cache: a handle in a damaged
 * index may lead to a block that was read as another kind.
 */
enum sst_mark {
    SST_MARK_DATA = 0x61746164,
    SST_MARK_INDEX = 0x78646e69,
    SST_MARK_FILTER = 0x746c6966,
};

/* A parsed block. Borrowed from whoever holds it. */
struct sst_block {
    const char *bytes;
    const struct sst_block_head *head;
};

/* What a block of so many bytes needs beside it. Errors: false: its end makes no sense. */
bool sst_block_extra_bytes(const char *bytes, size_t byte_count, size_t *ret_extra_bytes);

/*
 * Checks every byte that walking relies on, and fills in the head.
 *
 * `head`: room of sst_block_extra_bytes. Returns: NULL, or what is wrong, static.
 * Cost: some 15 instructions an entry.
 */
const char *sst_block_parse(const char *bytes, size_t byte_count, struct sst_block_head *head);

static inline struct sst_block sst_block_of(const struct quarry_block *block)
{
    return (struct sst_block){block->data, quarry_block_extra(block)};
}

/* Where a key was found to be. */
enum sst_place {
    SST_PLACE_FOUND,  /* an entry of the user key, visible */
    SST_PLACE_ABSENT, /* a greater key was met: neither here nor further on */
    SST_PLACE_BEYOND, /* all entries come before it */
};
struct sst_point {
    uint64_t trailer;
    struct kv_slice value;
};

/*
 * Finds the first entry at or after a key, and whether it is of its user key.
 *
 * `is_final`: the key is in no other block: a hash index that says no is believed.
 * `ret_place`, `ret_point`: the latter where it is FOUND. Errors: QUARRY_NO_MEMORY (long keys
 * of another comparator, or many versions of one key).
 * Cost: log2 of the restarts, and about 10 instructions for each entry that is passed.
 */
enum quarry_status sst_block_find(const struct sst_block *block,
                                  const struct quarry_kv_comparator *comparator,
                                  const struct sst_heap *heap, struct kv_key key, bool is_final,
                                  enum sst_place *ret_place, struct sst_point *ret_point);

/* The restart from which on a key is to be looked for: its key comes before it, or it is 0. */
uint32_t sst_block_restart(const struct sst_block *block,
                           const struct quarry_kv_comparator *comparator, struct kv_key key);

static inline uint32_t sst_block_restart_offset(const struct sst_block *block, uint32_t restart)
{
    return endian_load_le_u32(block->bytes + block->head->restarts.entries_bytes +
                              4 * (size_t)restart);
}

/* The header of an entry of a parsed block. Returns: where its key begins. */
static inline const char *sst_entry_read(const char *at, uint32_t *ret_shared, uint32_t *ret_rest,
                                         uint32_t *ret_value_bytes)
{
    const uint8_t *byte = (const uint8_t *)at;

    if (Q_LIKELY((byte[0] | byte[1] | byte[2]) < 0x80)) {
        *ret_shared = byte[0];
        *ret_rest = byte[1];
        *ret_value_bytes = byte[2];
        return at + 3;
    }
    byte += varint_get_u32(byte, byte + VARINT_U32_BYTES_MAX, ret_shared);
    byte += varint_get_u32(byte, byte + VARINT_U32_BYTES_MAX, ret_rest);
    byte += varint_get_u32(byte, byte + VARINT_U32_BYTES_MAX, ret_value_bytes);
    return (const char *)byte;
}

/* ---- a cursor ------------------------------------------------------------------------------- */

/* Entries that are remembered for walking backwards. */
#define SST_BEHIND_MAX 32u

/*
 * A place in a data block, with its key whole. Made by sst_cursor_init; its memory is kept until
 * sst_cursor_fini.
 */
struct sst_cursor {
    struct sst_block block; /* borrowed */
    bool is_valid;
    struct kv_key key;
    struct kv_slice value;
    uint32_t offset, next_offset; /* of the entry, and of the one after it */
    struct sst_buffer key_bytes;  /* where the key is, unless it is whole in the block */
    /* The entries before it, back to a restart or so many; their keys in `behind_keys`. */
    uint32_t behind_count;
    struct sst_behind {
        uint32_t offset, key_offset, key_bytes;
    } behind[SST_BEHIND_MAX];
    struct sst_buffer behind_keys;
};

/* Makes it one that is nowhere; cheaper than zeroing all of it. */
void sst_cursor_init(struct sst_cursor *cursor);
/* Puts it before the first entry of a block. `block`: borrowed until another is set. */
void sst_cursor_set(struct sst_cursor *cursor, const struct sst_block *block);
/*
 * Move it. Past an end it is not valid. `key` of seek: to the first entry at or after it.
 * Errors: QUARRY_NO_MEMORY: it is not valid.
 */
enum quarry_status sst_cursor_first(struct sst_cursor *cursor, const struct sst_heap *heap);
enum quarry_status sst_cursor_last(struct sst_cursor *cursor, const struct sst_heap *heap);
enum quarry_status sst_cursor_next(struct sst_cursor *cursor, const struct sst_heap *heap);
enum quarry_status sst_cursor_previous(struct sst_cursor *cursor, const struct sst_heap *heap);
enum quarry_status sst_cursor_seek(struct sst_cursor *cursor, const struct sst_heap *heap,
                                   const struct quarry_kv_comparator *comparator,
                                   struct kv_key key);
/* To the last entry before a key. */
enum quarry_status sst_cursor_seek_before(struct sst_cursor *cursor, const struct sst_heap *heap,
                                          const struct quarry_kv_comparator *comparator,
                                          struct kv_key key);
/*
 * The key is copied to memory of the cursor, so that the block may be let go of. Errors:
 * QUARRY_NO_MEMORY. Afterwards the cursor is moved only after sst_cursor_rebase, to the same block
 * wherever that lies now.
 */
enum quarry_status sst_cursor_own_key(struct sst_cursor *cursor, const struct sst_heap *heap);
void sst_cursor_rebase(struct sst_cursor *cursor, const struct sst_block *block);
void sst_cursor_fini(struct sst_cursor *cursor, const struct sst_heap *heap);

#endif
