/*
 * Iterators over a table.
 */
#ifndef QUARRY_KV_SST_TABLE_ITERATOR_H
#define QUARRY_KV_SST_TABLE_ITERATOR_H

#include <kv/iterator.h>
#include <kv/sst/block_read.h>
#include <kv/sst/index.h>
#include <kv/sst/table_read.h>

/*
 * How many bytes of blocks the iterators of a store may hold. When they are used up, an iterator
 * copies what it is at and lets its block go: it gets slower, and never fails for it.
 */
struct kv_pins {
    uint64_t most_bytes;          /* const */
    _Atomic uint64_t quota_bytes; /* up to the most; less while memory is short */
    Q_ALIGNED(Q_CACHE_LINE_BYTES) _Atomic uint64_t held_bytes;
    _Atomic uint64_t copied_count; /* entries copied for want of quota: a figure */
};

void kv_pins_init(struct kv_pins *pins, uint64_t most_bytes);

/* Returns: whether the bytes fit; then kv_pins_remove them. Cost: a locked instruction. */
bool kv_pins_try_add(struct kv_pins *pins, uint64_t byte_count);
void kv_pins_remove(struct kv_pins *pins, uint64_t byte_count);

/*
 * Halves the quota, down to none; iterators keep to it from their next step on. And raises it by a
 * 64th of the most. Threads: one at a time.
 */
void kv_pins_shrink(struct kv_pins *pins);
void kv_pins_grow(struct kv_pins *pins);
/* Whether memory was short of late. Cost: a load. */
static inline bool kv_pins_are_short(const struct kv_pins *pins)
{
    /* Relaxed: a hint. */
    return atomic_load_relaxed_u64(&pins->quota_bytes) < pins->most_bytes;
}

struct kv_table_iterator_options {
    struct kv_pins *pins;     /* borrowed; NULL: no quota */
    bool is_background;       /* what it reads is not kept in the cache */
    bool only_cached;         /* QUARRY_BUSY instead of reading the file */
    uint32_t readahead_bytes; /* read at a time, into memory of its own; 0: block by block */
};

/* In the caller's storage. `base` is what kv/iterator.h describes. */
struct kv_table_iterator {
    struct kv_iterator base;
    struct kv_table *table;
    struct kv_table_iterator_options options;
    struct sst_index_position position; /* of the block that it is in */
    struct quarry_block block;          /* that it holds; none in between and when copied out */
    struct sst_cursor cursor;
    uint64_t pinned_bytes;
    bool is_copied; /* key and value are copies, and the block is not held */
    struct sst_buffer copied_value;
    struct sst_readahead readahead;
};

/*
 * Makes an iterator, at no entry. Reads nothing yet.
 *
 * `table`: borrowed until the iterator ends. `options`: borrowed for the call; NULL: zero.
 * `error`: where the texts of its errors go; borrowed until it ends; may be NULL.
 * End it with iterator->base.ops->fini.
 */
void kv_table_iterator_init(struct kv_table_iterator *iterator, struct kv_table *table,
                            const struct kv_table_iterator_options *options,
                            struct quarry_error *error);

#endif
