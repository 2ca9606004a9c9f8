/*
 * What all tables of a store share: memory, block cache, comparator, contexts of compression.
 */
#ifndef QUARRY_KV_SST_TABLES_H
#define QUARRY_KV_SST_TABLES_H

#include <quarry/block.h>

#include <kv/key.h>
#include <kv/sst/compress.h>
#include <kv/sst/heap.h>

/* `prefix_bytes` may be 0 and `filter_policy` NULL; all else is required. */
struct kv_tables_options {
    struct quarry_pool *pool;       /* of a lifetime no shorter than the tables' */
    struct quarry_account *account; /* charged for what the pool gives */
    struct quarry_block_cache *cache;
    const struct quarry_kv_comparator *comparator;
    uint32_t prefix_bytes; /* keys' prefixes of this length are looked up in filters */
    /* Of LevelDB's tables: asked, and written, instead of its Bloom filter; NULL: that. */
    const struct quarry_kv_filter_policy *filter_policy;
};

/* Const while there are tables, but for what is in `codecs`. */
struct kv_tables {
    struct sst_heap heap;
    struct quarry_block_cache *cache;
    uint64_t cache_handle; /* the store's namespace in it */
    const struct quarry_kv_comparator *comparator;
    uint32_t prefix_bytes;
    const struct quarry_kv_filter_policy *filter_policy; /* NULL: none */
    struct sst_codecs codecs;
};

/*
 * `options`: borrowed, and what it points to until kv_tables_fini. `tables`: the caller's storage.
 * Errors: QUARRY_BAD_INPUT (a comparator without a name).
 */
enum quarry_status kv_tables_init(struct kv_tables *tables, const struct kv_tables_options *options,
                                  struct quarry_error *error);
/* All tables, iterators and writers have ended. */
void kv_tables_fini(struct kv_tables *tables);

#endif
