/*
 * Fetching ahead: what gets and puts will touch, into the caches of the CPU.
 *
 *     all keys    where the memtables' tables and the filters of files have them
 *     all keys    the entry in a memtable; else the slot of the block that a file would have it in
 *     all keys    the block's header
 *     all keys    what lies beside its entries
 *
 * A get of what is in memory is seven misses of the CPU's caches, one after the other, and little
 * else. Those of several keys can be under way at once: what is asked for by one pass is there when
 * the next one looks at it. Everything is a guess: an entry that was evicted, a filter that lies, a
 * file that is not open cost a line that is not used.
 *
 * A put is the search of a place in the memtable: see memtable_ahead.c.
 *
 * GET of 10^6 keys in memory by RESP, 16 at once: 1.85 to 1.3 us of CPU.
 *
 * Locking: none; the passes are in one epoch, so that tables stay where they are. Cost: some 150
 * instructions a key.
 */
#include <kv/commit.h>
#include <kv/lookup.h>
#include <kv/memtable_hash.h>

#include <block/block.h>

#define KEYS_AT_ONCE 16u
/* Files whose filters are asked ahead: levels, and some of level 0. */
#define TABLES_MAX 6u

/* What is known of a key. */
struct wanted {
    struct kv_slice key;
    uint32_t tag;
    uint32_t table_count;
    uint64_t hash;
    bool has_block;
    struct quarry_block_key block;
    const struct kv_table *tables[TABLES_MAX]; /* that may have it, the newest first */
};

static void ask_run(const struct quarry_kv *kv, const struct kv_run *run, struct wanted *wanted)
{
    uint32_t at = kv_run_find(run, kv->comparator, wanted->key, kv_prefix8(wanted->key));
    struct kv_table *table = at == run->file_count ? NULL : kv_open_table_peek(run->files[at]);

    if (table != NULL && wanted->table_count < TABLES_MAX) {
        kv_table_prefetch(table, wanted->hash);
        wanted->tables[wanted->table_count++] = table;
    }
}

static void fetch_places(const struct quarry_kv *kv, const struct kv_view *view,
                         struct wanted *wanted)
{
    const struct kv_version *version = view->version;

    for (uint32_t i = 0; i < view->layer_count; i++) {
        if (view->layers[i]->memtable != NULL) {
            kv_memtable_prefetch(view->layers[i]->memtable, wanted->tag);
        }
    }
    for (uint32_t i = 0; i < version->sublevel_count; i++) {
        ask_run(kv, &version->sublevels[i], wanted);
    }
    for (uint32_t level = 1; level < QUARRY_KV_LEVELS; level++) {
        if (version->levels[level].file_count != 0) {
            ask_run(kv, &version->levels[level], wanted);
        }
    }
}

static bool fetch_entry(const struct kv_view *view, const struct wanted *wanted)
{
    for (uint32_t i = 0; i < view->layer_count; i++) {
        if (view->layers[i]->memtable != NULL &&
            kv_memtable_prefetch_entry(view->layers[i]->memtable, wanted->tag)) {
            return true;
        }
    }
    return false;
}

static void fetch_slot(struct quarry_kv *kv, struct wanted *wanted)
{
    for (uint32_t i = 0; i < wanted->table_count && !wanted->has_block; i++) {
        const struct kv_table *table = wanted->tables[i];
        wanted->has_block = kv_table_ask(table, wanted->hash) != KV_TABLE_REJECTED &&
                            kv_table_guess_block(table, wanted->key, &wanted->block);
    }
    if (wanted->has_block) {
        block_cache_prefetch(kv->cache, &wanted->block, BLOCK_PREFETCH_SLOT);
    }
}

static void fetch_block(struct quarry_kv *kv, const struct wanted *wanted, size_t count,
                        enum block_prefetch step)
{
    for (size_t i = 0; i < count; i++) {
        if (wanted[i].has_block) {
            block_cache_prefetch(kv->cache, &wanted[i].block, step);
        }
    }
}

static void prefetch_some(struct quarry_kv *kv, const struct quarry_kv_slice *keys, size_t count)
{
    struct wanted wanted[KEYS_AT_ONCE];
    const struct kv_view *view = kv_view_enter(kv);

    for (size_t i = 0; i < count; i++) {
        struct kv_slice key = kv_slice(keys[i].bytes, keys[i].byte_count);
        wanted[i].key = key;
        wanted[i].tag = kv_hash_tag(key);
        wanted[i].hash = kv_table_hash(key);
        wanted[i].table_count = 0;
        wanted[i].has_block = false;
        fetch_places(kv, view, &wanted[i]);
    }
    for (size_t i = 0; i < count; i++) {
        if (!fetch_entry(view, &wanted[i])) {
            fetch_slot(kv, &wanted[i]);
        }
    }
    fetch_block(kv, wanted, count, BLOCK_PREFETCH_HEADER);
    fetch_block(kv, wanted, count, BLOCK_PREFETCH_EXTRA);
    kv_view_leave(kv);
}

/* Places in the memtable, as it is now; one that is full meanwhile makes them useless. */
static void prefetch_puts(struct quarry_kv *kv, const struct quarry_kv_slice *keys, size_t count)
{
    struct kv_slice sought[KV_MEMTABLE_AHEAD];
    const struct kv_view *view = kv_view_enter(kv);

    for (size_t i = 0; i < count; i++) {
        sought[i] = kv_slice(keys[i].bytes, keys[i].byte_count);
    }
    if (view->layer_count != 0 && view->layers[0]->memtable != NULL) {
        kv_commit_seek_ahead(view->layers[0]->memtable, sought, count);
    }
    kv_view_leave(kv);
}

void quarry_kv_prefetch_puts(struct quarry_kv *kv, const struct quarry_kv_slice *keys,
                             size_t key_count)
{
    if (key_count != 0) {
        /* Only the last ones would be remembered. */
        prefetch_puts(kv, keys, size_min(key_count, KV_MEMTABLE_AHEAD));
    }
}

void quarry_kv_prefetch(struct quarry_kv *kv, const struct quarry_kv_slice *keys, size_t key_count)
{
    for (size_t i = 0; i < key_count; i += KEYS_AT_ONCE) {
        prefetch_some(kv, &keys[i], size_min(key_count - i, KEYS_AT_ONCE));
    }
}
