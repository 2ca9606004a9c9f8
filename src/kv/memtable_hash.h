/*
 * A table of the keys of a memtable: from a key's hash to one of its nodes. memtable_hash.c has the
 * essay.
 */
#ifndef QUARRY_KV_MEMTABLE_HASH_H
#define QUARRY_KV_MEMTABLE_HASH_H

#include <kv/memtable_list.h>
#include <kv/sst/xxph3.h>

struct kv_hash_table;

struct kv_hash {
    struct quarry_arena *arena; /* const */
    const struct kv_list *list; /* const: whose nodes */
    /* atomic */
    _Atomic(void *) table;       /* struct kv_hash_table: the oldest that is not moved from */
    _Atomic uint64_t byte_count; /* of all tables */
    _Atomic bool has_lost;       /* a key found no place: what is not found may be there */
};

/* Errors: as quarry_arena_alloc. `list`: borrowed until the arena ends. */
enum quarry_status kv_hash_init(struct kv_hash *hash, struct quarry_arena *arena,
                                const struct kv_list *list);

/* What a key is looked up by. Cost: some 25 instructions for a short one. */
static inline uint32_t kv_hash_tag(struct kv_slice key)
{
    return (uint32_t)(sst_xxph3_64(key.bytes, key.count) >> 32);
}

/* Fetches the place of a key into the CPU's cache, to be added soon. Threads: any. */
void kv_hash_prefetch(const struct kv_hash *hash, uint32_t tag);

/*
 * Once that is there: fetches the node that it leads to. Returns: whether it leads to one, most
 * probably of the key. Threads: any.
 */
bool kv_hash_prefetch_node(const struct kv_hash *hash, uint32_t tag);

/* Adds a node that is in the list. `tag`: of its key. Threads: any. Errors: see has_lost. */
void kv_hash_insert(struct kv_hash *hash, uint32_t tag, uint32_t node);

/* A node of a key, which is its newest unless it is marked as superseded; 0: none. */
uint32_t kv_hash_find(const struct kv_hash *hash, uint32_t tag, struct kv_slice key,
                      uint64_t prefix);

#endif
