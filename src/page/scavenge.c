/*
 * Giving pages back: one piece, one lane, all lanes.
 *
 * A piece on its way back is in flight:
 *
 *   with the lane's lock     find the piece; mark it in use; write it down in lane->in_flight
 *   without                  madvise (or punch a hole); take the charge back
 *   with the lock            free it, scavenged; strike it out
 *
 * Nobody can be given pages in flight, and no system call runs under a lock. Should another thread
 * fork meanwhile, the child finds the piece in in_flight and frees it.
 *
 * A half of a chunk that is being made a huge page keeps its pages until that is done (collapse.c).
 * Who is told to take whatever is free waits for it; the background comes back later.
 *
 * When the kernel refuses a piece, it is freed as it was, backed and charged, and the caller stops:
 * asking again at once would get the same answer.
 */
#include <page/scavenger.h>

#include <page/heap.h>

/* ---- pieces in flight ----------------------------------------------------------------------- */

bool page_lane_begin_flight_locked(struct page_lane *lane, uint64_t page, uint64_t page_count)
{
    if (lane->is_ending || lane->is_foreign ||
        page_lane_is_collapsing_locked(lane, page, page_count)) {
        return false;
    }
    for (uint32_t i = 0; i < PAGE_IN_FLIGHT_MAX; i++) {
        if (lane->in_flight[i].page_count == 0) {
            struct page_found found = {page, lane->tree.search_page};
            lane->in_flight[i] = (struct page_in_flight){page, page_count};
            lane->in_flight_pages += page_count;
            page_tree_take(&lane->tree, found, page_count, 0);
            (void)atomic_add_relaxed_u32(&lane->heap->scavenger.flight_count, 1);
            return true;
        }
    }
    return false;
}

bool page_lane_is_flying_locked(const struct page_lane *lane, uint64_t page)
{
    for (uint32_t i = 0; i < PAGE_IN_FLIGHT_MAX; i++) {
        const struct page_in_flight *piece = &lane->in_flight[i];
        if (piece->page < page + PAGE_HALF_PAGES && page < piece->page + piece->page_count) {
            return true;
        }
    }
    return false;
}

static void lane_end_flight_locked(struct page_lane *lane, uint64_t page, uint64_t page_count,
                                   bool is_scavenged) Q_REQUIRES(&lane->mutex)
{
    uint32_t i = 0;

    while (lane->in_flight[i].page != page || lane->in_flight[i].page_count != page_count) {
        i++;
        Q_ASSERT(i < PAGE_IN_FLIGHT_MAX);
    }
    lane->in_flight[i] = (struct page_in_flight){0, 0};
    lane->in_flight_pages -= page_count;
    if (is_scavenged) {
        page_tree_free_scavenged(&lane->tree, page, page_count);
    } else {
        page_tree_free(&lane->tree, page, page_count);
    }
}

enum quarry_status page_lane_fly(struct page_lane *lane, uint64_t page, uint64_t page_count,
                                 enum page_scavenge_cause cause)
{
    struct page_heap *heap = lane->heap;
    struct page_scavenger_counters *counters = &heap->scavenger.counters;
    uint64_t bytes = page_count << PAGE_SHIFT;
    enum quarry_status status = page_lane_decommit(lane, page, page_count);

    (void)atomic_add_relaxed_u64(&counters->decommit_count, 1);
    if (status == QUARRY_OK) {
        page_commit_release(&heap->commit, bytes - page_reserve_keep(&heap->reserve, bytes));
        (void)atomic_add_relaxed_u64(&counters->released_bytes[cause], bytes);
    } else {
        (void)atomic_add_relaxed_u64(&counters->decommit_error_count, 1);
    }
    os_mutex_lock(&lane->mutex);
    lane_end_flight_locked(lane, page, page_count, status == QUARRY_OK);
    os_mutex_unlock(&lane->mutex);
    /* Pairs with the acquire load in reach_after_flights: the charge is taken back by now. */
    (void)atomic_sub_release_u32(&heap->scavenger.flight_count, 1);
    return status;
}

/* ---- one lane ------------------------------------------------------------------------------- */

/* What a scavenger takes at once, and how small a piece the kernel can take. */
struct piece_limits {
    uint32_t min_pages;
    uint32_t huge_pages;
};

static struct piece_limits piece_limits(const struct os *os)
{
    uint64_t huge_pages = os->huge_page_bytes >> PAGE_SHIFT;

    return (struct piece_limits){
        .min_pages = (uint32_t)size_max_u64(os->page_bytes >> PAGE_SHIFT, 1),
        .huge_pages = huge_pages <= PAGE_CHUNK_PAGES ? (uint32_t)huge_pages : 0,
    };
}

/* Looks for a piece in a chunk; tells the index when there is none. */
static struct page_bits_candidate chunk_find_piece(struct page_lane *lane, uint32_t chunk,
                                                   enum page_scavenge_mode mode, uint32_t max_pages)
    Q_REQUIRES(&lane->mutex)
{
    struct piece_limits limits = piece_limits(lane->heap->os);
    const struct page_chunk *bits = &lane->tree.chunk[chunk];
    bool is_background = mode == PAGE_SCAVENGE_BACKGROUND;
    struct page_bits_candidate piece =
        page_bits_find_candidate(&bits->in_use, &bits->scavenged, PAGE_CHUNK_PAGES - 1,
                                 limits.min_pages, max_pages, limits.huge_pages, is_background);

    if (piece.count == 0 && is_background) {
        page_scavenge_index_pass_over(&lane->tree.index, chunk);
    } else if (piece.count == 0) {
        page_scavenge_index_set_empty(&lane->tree.index, chunk);
    }
    return piece;
}

/* One piece of at most `max_pages`; returns the bytes given back, 0 when there was nothing to take.
 */
static uint64_t lane_scavenge_one(struct page_lane *lane, enum page_scavenge_mode mode,
                                  enum page_scavenge_cause cause, uint32_t max_pages)
{
    uint32_t chunk, from;

    while (page_scavenge_index_find(&lane->tree.index, mode, &chunk, &from)) {
        os_mutex_lock(&lane->mutex);
        struct page_bits_candidate piece = chunk_find_piece(lane, chunk, mode, max_pages);
        uint64_t page = ((uint64_t)chunk << PAGE_CHUNK_SHIFT) + piece.first;
        bool is_taken = piece.count > 0 && page_lane_begin_flight_locked(lane, page, piece.count);
        bool is_in_the_way =
            piece.count > 0 && page_lane_is_collapsing_locked(lane, page, piece.count);
        os_mutex_unlock(&lane->mutex);
        if (is_in_the_way && mode == PAGE_SCAVENGE_FORCED) {
            os_yield();
            continue;
        }
        if (is_taken) {
            enum quarry_status status = page_lane_fly(lane, page, piece.count, cause);
            return status == QUARRY_OK ? (uint64_t)piece.count << PAGE_SHIFT : 0;
        }
        if (piece.count > 0) {
            return 0; /* every slot is taken: others are at it */
        }
    }
    return 0;
}

/* ---- all lanes ------------------------------------------------------------------------------ */

/* Until `wanted_bytes` have been given back of a lane, or nothing more of it can be. */
static uint64_t lane_scavenge(struct page_lane *lane, uint64_t wanted_bytes,
                              enum page_scavenge_mode mode, enum page_scavenge_cause cause)
{
    uint64_t released_bytes = 0, piece_bytes = 1;

    while (released_bytes < wanted_bytes && piece_bytes > 0) {
        uint64_t wanted_pages = size_ceil_div_u64(wanted_bytes - released_bytes, PAGE_BYTES);
        piece_bytes = lane_scavenge_one(
            lane, mode, cause, (uint32_t)size_min_u64(wanted_pages, PAGE_SCAVENGE_QUANTUM_PAGES));
        released_bytes += piece_bytes;
    }
    return released_bytes;
}

uint64_t page_scavenge(struct page_heap *heap, uint64_t wanted_bytes, enum page_scavenge_mode mode,
                       enum page_scavenge_cause cause)
{
    const char *below = heap->space + heap->space_bytes;
    uint64_t released_bytes = 0;
    struct page_lane *lane;

    while (released_bytes < wanted_bytes && (lane = page_heap_pin_below(heap, below)) != NULL) {
        released_bytes += lane_scavenge(lane, wanted_bytes - released_bytes, mode, cause);
        below = lane->base;
        page_heap_unpin(lane);
    }
    return released_bytes;
}

uint64_t page_scavenge_lane(struct page_lane *lane, uint64_t wanted_bytes,
                            enum page_scavenge_cause cause)
{
    return lane_scavenge(lane, wanted_bytes, PAGE_SCAVENGE_FORCED, cause);
}
