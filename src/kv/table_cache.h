/*
 * Open tables by their files: opened when first wanted, one reader at a time opening, a bounded
 * number kept.
 */
#ifndef QUARRY_KV_TABLE_CACHE_H
#define QUARRY_KV_TABLE_CACHE_H

#include <kv/version.h>

/* How a table is opened and closed. Called with no lock held. */
struct kv_table_ops {
    /* `ret_table`: own. Errors: any; told to all who wait for this opening. */
    enum quarry_status (*open)(void *argument, const struct kv_file *file, void **ret_table,
                               struct quarry_error *error);
    void (*close)(void *argument, void *table);
};

struct kv_table_cache_options {
    struct kv_memory *memory;   /* borrowed until destroyed */
    struct quarry_epoch *epoch; /* borrowed until destroyed: of readers */
    const struct kv_table_ops *ops;
    void *argument;
    uint32_t open_max; /* tables; from 1. Passed only by what is in use */
};

struct kv_table_cache;
struct kv_open_table; /* an open one */

enum quarry_status kv_table_cache_create(const struct kv_table_cache_options *options,
                                         struct kv_table_cache **ret_cache);
/* Closes all. No reader is inside the epoch with one, none is counted. NULL does nothing. */
void kv_table_cache_destroy(struct kv_table_cache *cache);

/* Defined here for kv_open_table_peek alone. */
struct kv_open_table {
    void *table;                 /* what `open` made; const */
    _Atomic uint32_t references; /* the cache's, and those that are counted */
    _Atomic bool is_used;        /* since the hand last came by */
    struct kv_file *file;        /* borrowed; NULL once the cache has let go of it */
    struct kv_table_cache *cache;
    uint64_t stamp;
    struct kv_open_table *next, *previous;
};

/*
 * The open table of a file, if it is open. Returns: what `open` made, borrowed until the epoch is
 * left; NULL: acquire it. Inside the epoch. Cost: two loads, and a store when it was not used of
 * late.
 */
static inline void *kv_open_table_peek(struct kv_file *file)
{
    /* Acquire: pairs with the release of who opened it. */
    struct kv_open_table *table = atomic_load_acquire_ptr(&file->table);

    if (Q_UNLIKELY(table == NULL)) {
        return NULL;
    }
    /* Relaxed: a hint. */
    if (!atomic_load_relaxed_bool(&table->is_used)) {
        atomic_store_relaxed_bool(&table->is_used, true);
    }
    return table->table;
}

/*
 * The open table of a file, opened if need be; where another thread is opening it, waits.
 *
 * `ret_table`: counted; end it with kv_open_table_release. Its `table` is what `open` made.
 * Errors: those of `open`, QUARRY_NO_MEMORY. Threads: any.
 */
enum quarry_status kv_open_table_acquire(struct kv_table_cache *cache, struct kv_file *file,
                                         struct kv_open_table **ret_table,
                                         struct quarry_error *error);
void kv_open_table_release(struct kv_open_table *table);

/* The file is about to go: its table is closed when nobody uses it. Before kv_file_free. */
void kv_table_cache_forget(struct kv_table_cache *cache, struct kv_file *file);
/* Closes up to `count` that are not used, the least lately used first. Returns: how many. */
uint32_t kv_table_cache_shrink(struct kv_table_cache *cache, uint32_t count);
/* Closes what readers have left; now and then. */
void kv_table_cache_collect(struct kv_table_cache *cache);

struct kv_table_cache_stats {
    uint32_t open_count;   /* those waiting to be closed included */
    uint64_t opened_count; /* ever */
    uint64_t evicted_count;
    uint64_t waited_count; /* for another's opening */
};
void kv_table_cache_read_stats(struct kv_table_cache *cache,
                               struct kv_table_cache_stats *ret_stats);

#endif
