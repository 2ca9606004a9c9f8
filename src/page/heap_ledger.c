/*
 * Reading the ledger.
 *
 * The states partition what is committed:
 *
 *   committed = in use + cached + free and backed + metadata + set aside + in flight
 *
 * The first three are counted with every cache stopped and every lane locked, so each page is seen
 * once. Metadata and what is set aside grow after their charge, and shrink under lanes_mutex, which
 * the reader holds; what is paid out of the reserve is in flight until its pages are taken. In
 * flight is the rest: pieces a scavenger has taken out, and bytes that an allocation has charged
 * and not taken yet. It cannot be negative, because a byte is charged before it is counted anywhere
 * else, and its charge is taken back after it was.
 */
#include <page/heap.h>

#include <string.h>

uint64_t page_heap_owner_pages_stopped(struct page_heap *heap, uint32_t owner, uint32_t lane)
{
    int64_t pages = atomic_load_relaxed_i64(page_ledger_cell(&heap->ledger, owner, lane));

    /* What caches have not told the ledger yet, and what is in their stacks. */
    for (struct page_thread *thread = heap->threads; thread != NULL; thread = thread->next) {
        const struct page_cache *cache = thread->cache[lane];
        if (cache != NULL) {
            pages += cache->owner == owner ? cache->owner_pages : 0;
            pages -= (int64_t)page_cache_owner_pages(cache, owner);
        }
    }
    Q_ASSERT(pages >= 0);
    return (uint64_t)pages;
}

static uint64_t cached_pages(struct page_heap *heap, uint32_t lane) Q_REQUIRES(&heap->caches_mutex)
{
    uint64_t pages = 0;

    for (struct page_thread *thread = heap->threads; thread != NULL; thread = thread->next) {
        if (thread->cache[lane] != NULL) {
            pages += page_cache_pages(thread->cache[lane]);
        }
    }
    return pages;
}

/* One lane's share of the totals and of the rows. */
static size_t ledger_add_lane(struct page_heap *heap, const struct page_lane *lane,
                              struct quarry_ledger *totals, struct quarry_ledger_row *rows,
                              size_t row_capacity, size_t row_count) Q_REQUIRES(&heap->caches_mutex)
{
    /* Pairs with the release in page_ledger_register. */
    uint32_t owner_count = atomic_load_acquire_u32(&heap->ledger.owner_count);

    for (uint32_t owner = 1; owner < owner_count; owner++) {
        uint64_t bytes = page_heap_owner_pages_stopped(heap, owner, lane->id) << PAGE_SHIFT;
        if (bytes == 0) {
            continue;
        }
        if (row_count < row_capacity) {
            struct quarry_ledger_row *row = &rows[row_count];
            *row =
                (struct quarry_ledger_row){.owner = owner, .lane = lane->id, .in_use_bytes = bytes};
            memcpy(row->lane_name, lane->name, sizeof(row->lane_name));
        }
        row_count++;
        totals->in_use_bytes += bytes;
    }
    totals->cached_bytes += cached_pages(heap, lane->id) << PAGE_SHIFT;
    /* Bare pages are in use, and nobody's memory so far. */
    uint64_t released_pages = lane->tree.scavenged_pages - lane->tree.bare_pages;
    totals->free_backed_bytes += (lane->tree.free_pages - released_pages) << PAGE_SHIFT;
    totals->released_bytes += released_pages << PAGE_SHIFT;
    totals->reserved_bytes += lane->reserved_bytes;
    return row_count;
}

size_t page_heap_ledger(struct page_heap *heap, struct quarry_ledger *ret_totals,
                        struct quarry_ledger_row *rows, size_t row_capacity)
{
    struct quarry_ledger totals = {0};
    size_t row_count = 0;

    page_heap_stop(heap);
    for (uint32_t id = 0; id < PAGE_LANES_MAX; id++) {
        const struct page_lane *lane = atomic_load_acquire_ptr(&heap->lane[id]);
        if (lane != NULL) {
            row_count = ledger_add_lane(heap, lane, &totals, rows, row_capacity, row_count);
        }
    }
    /* Last: what was charged meanwhile counts as in flight. */
    totals.metadata_bytes = atomic_load_acquire_u64(&heap->commit.metadata_bytes);
    totals.set_aside_bytes = page_reserve_held_bytes(&heap->reserve);
    struct page_commit_state state = page_commit_read(&heap->commit);
    page_heap_resume(heap);
    totals.committed_bytes = state.committed_bytes;
    totals.limit_bytes = state.limit_bytes;
    totals.peak_bytes = atomic_load_relaxed_u64(&heap->commit.peak_bytes);
    uint64_t counted_bytes = totals.in_use_bytes + totals.cached_bytes + totals.free_backed_bytes +
                             totals.metadata_bytes + totals.set_aside_bytes;
    Q_ASSERT(counted_bytes <= totals.committed_bytes);
    totals.in_flight_bytes = totals.committed_bytes - counted_bytes;
    *ret_totals = totals;
    return row_count;
}
