/*
 * Cells for who is inside the epoch.
 *
 *     limit  ├── charged ──────────────────────────┬── open ─────────┬─ reserve ─┤
 *                                                  │ pages for all   │ pages for │
 *                                                  │                 │ who is    │
 *                                                  │                 │ inside    │
 *
 * A set that finds no cell evicts, waits until readers have left, and has one. A get that touches
 * or makes an item is inside the epoch, for its caller reads what it finds, and cannot wait so:
 * whatever it evicts is kept from being used by itself. Nor can it be told to come again, for it
 * would not leave. (append, incr and the like are inside by themselves, and do come again:
 * write.c.) So there has to be something that is free already, in three steps:
 *
 *     cells of the size                    as ever: free ones, and those whose readers have left
 *     a small page of the size             from the reserve, which nobody else's pages may touch
 *     a free cell of a larger size         there are some in the classes' last pages, always
 *
 * The reserve is part of the limit, so that nothing is ever charged above that, and the lower half
 * of what is to be open in any case (refill.c). It is whole again when the turn, or a set that
 * waits, has emptied pages.
 * Small pages are a few in it; each serves many takes of its size, and all who come later.
 *
 * Invariant: a page that makes the charge pass the limit less the reserve has SMALL_PAGE_BYTES at
 * most, and was taken inside the epoch, or before there was a policy.
 *
 * Locking: none but the slab's. The charge is read after it was made: of two who take the last page
 * before the reserve both may be refused, and come again.
 *
 * Cost: nothing that is not kept open for sizes that run short already; those have half as much.
 *
 * Rejected: reusing what the thread itself has evicted: it may have read it a moment before, and
 * others may be reading it now. Cells kept in hand for each class: two hundred classes of 64 KiB
 * are 13 MiB.
 */
#include <cache/reserve.h>

#include <cache/policy_parts.h>

/*
 * Of the limit, what is kept aside: half of what is to be open (refill.c); at most as many pages as
 * threads may want at once; nothing where it is less than one, below 24 MiB: there it would leave
 * sizes that run short none, and pages would be emptied without end.
 */
#define RESERVE_PART 384u
#define RESERVE_MIN  Q_KIB(64)
#define RESERVE_MAX  Q_KIB(512)
/* The first page of most classes, and somewhat longer where its cells are large. */
#define SMALL_PAGE_BYTES Q_KIB(128)
/* Classes that are tried: others may take the last cell of one before we do. */
#define LARGER_TRIES 4u

uint64_t cache_reserve_bytes(const struct quarry_cache *cache, uint64_t limit_bytes)
{
    uint64_t bytes = size_min_u64(limit_bytes / RESERVE_PART, RESERVE_MAX);

    return cache->never_evicts || bytes < RESERVE_MIN ? 0 : bytes;
}

enum quarry_status cache_reserve_allow_page(struct quarry_cache *cache,
                                            const struct quarry_slab_page *page)
{
    if (cache->policy == NULL) {
        return QUARRY_OK;
    }
    uint64_t limit = cache_room_hard_limit(cache);
    /* Relaxed: what we have charged is in it. */
    uint64_t charged = atomic_load_relaxed_u64(&cache->account->charged_bytes);
    bool is_above = sat_sub_u64(limit, charged) >= cache_reserve_bytes(cache, limit);
    bool is_small = page->bytes <= SMALL_PAGE_BYTES;

    bool can_wait = cache_policy_can_retry || !cache_is_inside(cache);

    return is_above || (is_small && !can_wait) ? QUARRY_OK : QUARRY_NO_MEMORY;
}

enum quarry_status cache_reserve_take_larger(struct quarry_cache *cache, size_t bytes,
                                             struct quarry_cell *ret_cell)
{
    enum quarry_status status = QUARRY_NO_MEMORY;
    size_t wanted_bytes = bytes;

    for (uint32_t i = 0; i < LARGER_TRIES && status != QUARRY_OK; i++) {
        wanted_bytes = slab_least_free_above(cache->slab, wanted_bytes);
        if (wanted_bytes == 0) {
            break;
        }
        status = quarry_slab_take(cache->slab, wanted_bytes, ret_cell);
    }
    return status;
}
