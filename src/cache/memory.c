/*
 * Memory of a cache's own structures: tables and rings in pages of their own, tenants and the like
 * in pieces of 64 bytes to 4 KiB, by powers of two, from pages that stay until the cache ends.
 *
 *   free[0] ── 64 ── 64 ── …       free[6] ── 4096 ── …
 *
 * A thousand tenants would otherwise be several pages each. Pages of pieces are found again only
 * through the lane, which goes with the cache.
 *
 * Locking: one mutex around the lists; pages are taken and given without it.
 */
#include <cache/types.h>

#include <string.h>

#include <cache/policy.h>
#include <cache/warm.h>

/* How often items give way before there is no memory: others may take what they left. */
#define TRIES_MAX       3u
#define SMALL_BYTES_MIN 64u
#define SMALL_BYTES_MAX (SMALL_BYTES_MIN << (CACHE_SMALL_SIZES - 1))

struct piece {
    struct piece *next;
};

static uint32_t size_of(size_t bytes)
{
    return bytes <= SMALL_BYTES_MIN ? 0 : bits_log2_ceil_u64(bytes) - 6;
}

static void *pages_take(struct quarry_cache *cache, size_t bytes)
{
    uint64_t page_count = (bytes + QUARRY_PAGE_BYTES - 1) / QUARRY_PAGE_BYTES;
    void *base = NULL;
    uint32_t tries = 0;

    while (quarry_account_pages_alloc(cache->account, cache->memory_lane, page_count, &base) !=
           QUARRY_OK) {
        if (tries++ == TRIES_MAX || cache->policy == NULL || cache_warm_is_recovering(cache) ||
            !cache_policy_make_room(cache, page_count * QUARRY_PAGE_BYTES)) {
            return NULL;
        }
    }
    memset(base, 0, page_count * QUARRY_PAGE_BYTES);
    /* Relaxed: a figure. */
    (void)atomic_add_relaxed_u64(&cache->memory.taken_bytes, page_count * QUARRY_PAGE_BYTES);
    return base;
}

static void pages_give(struct quarry_cache *cache, void *base, size_t bytes)
{
    uint64_t page_count = (bytes + QUARRY_PAGE_BYTES - 1) / QUARRY_PAGE_BYTES;

    quarry_account_pages_free(cache->account, cache->memory_lane, base);
    (void)atomic_sub_relaxed_u64(&cache->memory.taken_bytes, page_count * QUARRY_PAGE_BYTES);
}

static void *piece_try_take(struct cache_memory *memory, uint32_t size)
{
    os_mutex_lock(&memory->mutex);
    struct piece *piece = memory->free[size];
    if (piece != NULL) {
        memory->free[size] = piece->next;
    }
    os_mutex_unlock(&memory->mutex);
    return piece;
}

static void piece_give(struct cache_memory *memory, uint32_t size, void *base)
{
    struct piece *piece = base;

    os_mutex_lock(&memory->mutex);
    piece->next = memory->free[size];
    memory->free[size] = piece;
    os_mutex_unlock(&memory->mutex);
}

/* Cuts a page into pieces. Returns: one of them. */
static void *piece_make(struct quarry_cache *cache, uint32_t size)
{
    size_t bytes = (size_t)SMALL_BYTES_MIN << size;
    char *page = pages_take(cache, QUARRY_PAGE_BYTES);

    if (page == NULL) {
        return NULL;
    }
    for (size_t at = bytes; at < QUARRY_PAGE_BYTES; at += bytes) {
        piece_give(&cache->memory, size, page + at);
    }
    return page;
}

void *cache_memory_take(struct quarry_cache *cache, size_t bytes)
{
    Q_ASSERT(bytes != 0);
    if (bytes > SMALL_BYTES_MAX) {
        return pages_take(cache, bytes);
    }
    uint32_t size = size_of(bytes);
    void *piece = piece_try_take(&cache->memory, size);
    if (piece == NULL) {
        piece = piece_make(cache, size);
    }
    if (piece != NULL) {
        memset(piece, 0, (size_t)SMALL_BYTES_MIN << size);
    }
    return piece;
}

void cache_memory_give(struct quarry_cache *cache, void *base, size_t bytes)
{
    if (base == NULL) {
        return;
    }
    if (bytes > SMALL_BYTES_MAX) {
        pages_give(cache, base, bytes);
    } else {
        piece_give(&cache->memory, size_of(bytes), base);
    }
}
