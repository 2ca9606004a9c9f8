/*
 * Tables in a memory of their own, over a file system in memory, with random entries and what is
 * expected of them.
 */
#ifndef QUARRY_TESTS_UNIT_KV_SST_RIG_H
#define QUARRY_TESTS_UNIT_KV_SST_RIG_H

#include "unit/base/cmocka_all.h"

#include <quarry/vfs.h>

#include <kv/sst/table_iterator.h>
#include <kv/sst/table_read.h>
#include <kv/sst/table_write.h>

/* Between rig_begin and rig_end. */
struct rig {
    struct quarry_memory *memory;
    struct quarry_lifetime *lifetime;
    struct quarry_pool *pool;
    struct quarry_account *account;
    struct quarry_block_cache *cache;
    struct quarry_vfs *vfs; /* in memory */
    struct kv_tables tables;
    uint64_t next_number;
};
extern struct rig rig;

/* `comparator`: NULL: memcmp's. `prefix_bytes`: of the store. */
void rig_begin(const struct quarry_kv_comparator *comparator, uint32_t prefix_bytes);
/* Nothing may be charged any more. */
void rig_end(void);
/* cmocka's, with memcmp's order. */
int rig_set_up(void **state);
int rig_tear_down(void **state);

/* Numbers that look random. */
uint64_t rig_random(uint64_t *state);

/* An entry. Its bytes are the set's. */
struct entry {
    struct kv_key key;
    struct kv_slice value;
};
struct entries {
    struct entry *entry;
    size_t count;
    char *bytes;
    size_t byte_count, capacity;
};

/* How random entries are to be. */
struct shape {
    size_t count;           /* about */
    uint32_t key_bytes_max; /* from 1; random lengths up to it */
    uint32_t value_bytes_max;
    uint32_t versions_max; /* of a user key; 1: one each */
    bool has_digits;       /* keys are of one length, digits with a long common beginning */
    bool is_plain;         /* only puts, of sequence 0 */
    bool has_merges;       /* merges and single deletes as well */
};

/* Sorted as the rig's comparator says. Free with entries_free. */
struct entries entries_make(uint64_t seed, const struct shape *shape);
void entries_free(struct entries *entries);

/* Writes a table to a new file of the rig. Returns: its number, for table_open. */
uint64_t table_write(const struct entries *entries, const struct kv_table_write_options *options,
                     struct kv_table_result *ret_result);
/* Opens one that must open. */
struct kv_table *table_open(uint64_t number, bool is_pinned);
/* The path of a file. `room`: of 64 bytes. */
const char *table_path(uint64_t number, char *room);
/* All of a file, in memory to be freed. */
char *file_read(uint64_t number, size_t *ret_byte_count);
/* Makes a file of bytes. Returns: its number. */
uint64_t file_write(const void *bytes, size_t byte_count);
/* Copies a file of the rig to the machine's file system, and one of that into the rig. */
void file_export(uint64_t number, const char *path);
uint64_t file_import(const char *path);

/* Checks a table against what was written: points, both directions, seeks. */
void table_check(struct kv_table *table, const struct entries *entries, uint64_t seed);

#endif
