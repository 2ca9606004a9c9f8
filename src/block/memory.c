/*
 * Pages of a cache's own structures: chunks of entries, tables. They grow with the number of
 * blocks and stay until the cache ends, for a cache that had so many blocks once will again; tables
 * that were outgrown go back.
 *
 * Locking: none; the figure is atomic.
 */
#include <block/cache.h>

#include <string.h>

void *block_memory_take(struct block_memory *memory, size_t bytes)
{
    uint64_t page_count = (bytes + QUARRY_PAGE_BYTES - 1) / QUARRY_PAGE_BYTES;
    void *base = NULL;

    Q_ASSERT(page_count != 0);
    block_cache_make_room(memory->cache, page_count * QUARRY_PAGE_BYTES);
    if (quarry_account_pages_alloc(memory->account, memory->lane, page_count, &base) != QUARRY_OK) {
        return NULL;
    }
    memset(base, 0, page_count * QUARRY_PAGE_BYTES);
    /* Relaxed: a figure. */
    (void)atomic_add_relaxed_u64(&memory->taken_bytes, page_count * QUARRY_PAGE_BYTES);
    return base;
}

void block_memory_give(struct block_memory *memory, void *base)
{
    if (base == NULL) {
        return;
    }
    uint64_t bytes = quarry_pages_count(memory->lane, base) * QUARRY_PAGE_BYTES;
    quarry_account_pages_free(memory->account, memory->lane, base);
    uint64_t before = atomic_sub_relaxed_u64(&memory->taken_bytes, bytes);
    Q_ASSERT(before >= bytes);
}
