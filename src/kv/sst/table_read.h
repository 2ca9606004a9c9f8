/*
 * Reading tables: files of RocksDB's block-based format, versions 0 to 5, and LevelDB's.
 *
 *     struct kv_table_options options = {.file_number = 12, .file_bytes = size, …};
 *     struct kv_table *table;
 *
 *     status = kv_table_open(tables, &file, &options, &table, &error);
 *     lookup = (struct kv_table_lookup){.key = {user, kv_trailer_seek(sequence)},
 *                                       .hash = kv_table_hash(user)};
 *     status = kv_table_get(table, &lookup, &entry, &error);
 *     if (status == QUARRY_OK) {
 *         … entry.trailer, entry.value …
 *         kv_table_entry_release(tables, &entry);
 *     }
 *
 * Blocks are in the cache, decoded as far as searching wants it: data, index and filter alike. What
 * is in a file is checked when a block is read; after that, walking it checks nothing.
 *
 * Errors: QUARRY_CORRUPT and QUARRY_IO name the file and the offset; QUARRY_UNSUPPORTED names what
 * this engine does not have. Threads: a table from any thread at once, but closing. An iterator is
 * one thread's.
 */
#ifndef QUARRY_KV_SST_TABLE_READ_H
#define QUARRY_KV_SST_TABLE_READ_H

#include <quarry/vfs.h>

#include <kv/sst/properties.h>
#include <kv/sst/tables.h>
#include <kv/sst/xxph3.h>

struct kv_table;

struct kv_table_options {
    uint64_t file_number;
    uint64_t file_bytes; /* as the manifest has it; 0: as it is */
    /*
     * The largest sequence that the manifest knows: that of all entries of an ingested file.
     * UINT64_MAX: not known.
     */
    uint64_t largest_sequence;
    uint32_t level; /* of QUARRY_BLOCK_LEVELS: for the cache's metrics */
    /*
     * Index and filter are read now and held while the table is open; of partitioned ones the tops
     * only. Else they are looked up in the cache each time.
     */
    bool is_pinned;
};

/*
 * Opens a table: reads footer, properties and range deletions.
 *
 * `tables`: borrowed until the table is closed. `file`: given, if QUARRY_OK is returned.
 * `ret_table`: own; end it with kv_table_close.
 * Errors: QUARRY_CORRUPT, QUARRY_UNSUPPORTED, QUARRY_IO, QUARRY_NO_MEMORY, QUARRY_BAD_INPUT (the
 * comparator is another one).
 * Cost: three to five reads.
 */
enum quarry_status kv_table_open(struct kv_tables *tables, struct quarry_vfs_file **file,
                                 const struct kv_table_options *options,
                                 struct kv_table **ret_table, struct quarry_error *error);
/* Closes it and its file. Its blocks stay in the cache. `table`: given; NULL does nothing. */
void kv_table_close(struct kv_table *table);
/* Removes its blocks from the cache: of a file that is about to be deleted. */
void kv_table_evict(struct kv_table *table);

const struct kv_table_properties *kv_table_properties(const struct kv_table *table);
uint64_t kv_table_file_number(const struct kv_table *table);
uint64_t kv_table_file_bytes(const struct kv_table *table);
/* What the open table occupies beside blocks. */
uint64_t kv_table_memory_bytes(const struct kv_table *table);

/* ---- points --------------------------------------------------------------------------------- */

/* The hash of a key that filters are asked with: computed once for all tables. */
static inline uint64_t kv_table_hash(struct kv_slice user_key)
{
    return sst_xxph3_64(user_key.bytes, user_key.count);
}

/* What a filter has said. */
enum kv_table_filtered {
    KV_TABLE_NOT_FILTERED, /* there is none, or it does not know this kind of key */
    KV_TABLE_PASSED,       /* the key may be there */
    KV_TABLE_REJECTED,     /* it is not */
};

struct kv_table_lookup {
    struct kv_key key;  /* the first entry of this user key at or after it is wanted */
    uint64_t hash;      /* kv_table_hash(key.user) */
    bool only_cached;   /* QUARRY_BUSY instead of reading the file */
    bool is_background; /* what is read is not kept */
    /* PASSED or NOT_FILTERED: as kv_table_ask has said. Written: for the caller's counters. */
    enum kv_table_filtered filtered;
};

/* An entry, and the block that it lies in. Own; release it. */
struct kv_table_entry {
    uint64_t trailer;
    struct kv_slice value; /* borrowed until released */
    struct quarry_block block;
};

/*
 * Finds the newest entry of a user key that is visible at a sequence. For merges the next one is
 * found by looking up the key with the entry's trailer − 1.
 *
 * Returns: QUARRY_OK, QUARRY_NOT_FOUND; QUARRY_BUSY (only_cached), QUARRY_CORRUPT, QUARRY_IO,
 * QUARRY_NO_MEMORY. Range deletions are not looked at.
 * Cost: filter: one or two lines of memory; index: log2 of its entries, in one array of numbers; a
 * lookup in the cache; in the block, a few restarts and half an interval.
 */
enum quarry_status kv_table_get(struct kv_table *table, struct kv_table_lookup *lookup,
                                struct kv_table_entry *ret_entry, struct quarry_error *error);
/* `entry`: given. */
static inline void kv_table_entry_release(const struct kv_tables *tables,
                                          struct kv_table_entry *entry)
{
    quarry_block_release(tables->cache, &entry->block);
}

/* Fetches the filter's line for a hash into the CPU's cache, of a pinned table: ahead of
 * kv_table_get, for many keys at once. */
void kv_table_prefetch(const struct kv_table *table, uint64_t hash);

/*
 * The block that a key is in, if the table has it and its index is of one level and in memory.
 * Returns: whether that can be told. Cost: a search of the index.
 */
bool kv_table_guess_block(const struct kv_table *table, struct kv_slice user,
                          struct quarry_block_key *ret_block);

/*
 * Asks the filter, if that takes no more than a look into memory. Returns: REJECTED: no entry of
 * the key is in the table, nor is it covered by one of its range deletions; NOT_FILTERED:
 * kv_table_get has to see to it. Cost: some 15 instructions, and 6 for each probe.
 */
enum kv_table_filtered kv_table_ask(const struct kv_table *table, uint64_t hash);

/*
 * Whether keys that begin with a prefix may be there. `prefix`: of the store's `prefix_bytes`.
 * Returns: true where the filter does not know.
 */
bool kv_table_may_have_prefix(struct kv_table *table, struct kv_slice prefix);

/* ---- the rest ------------------------------------------------------------------------------- */

/* A range deletion: of keys from `begin` up to and without `end`. Borrowed from the table. */
struct kv_table_range {
    struct kv_slice begin, end;
    uint64_t sequence;
};

/* Range deletions, by (begin, sequence falling). Returns: borrowed until the table is closed. */
const struct kv_table_range *kv_table_ranges(const struct kv_table *table, size_t *ret_count);

/*
 * The sequence of the newest range deletion in the table that covers a key as of `sequence`; 0:
 * none. Cost: a load where there are none; else a binary search.
 */
uint64_t kv_table_cover(const struct kv_table *table, struct kv_slice key, uint64_t sequence);

/* Keys from `begin` up to and without `end`, bytes NULL: from or to the end, of all of which
 * kv_table_cover says the same. */
struct kv_table_stretch {
    struct kv_slice begin, end;
    uint64_t sequence;
};
/* The stretch around a key. `ret_stretch`: borrowed from the table. Cost: as kv_table_cover. */
void kv_table_find_stretch(const struct kv_table *table, struct kv_slice key, uint64_t sequence,
                           struct kv_table_stretch *ret_stretch);

/*
 * About where in the file the first entry at or after a key is: bytes before it.
 * Cost: a search of the index, which is read where it is not in the cache.
 */
uint64_t kv_table_approximate_offset(struct kv_table *table, struct kv_key key);

/*
 * Reads all of it and checks it: checksums, formats, order, that the index leads to every key, that
 * the filter lets every key pass, and counts against the properties. Keeps no data in the cache.
 * Errors: the first fault.
 */
enum quarry_status kv_table_verify(struct kv_table *table, struct quarry_error *error);

#endif
