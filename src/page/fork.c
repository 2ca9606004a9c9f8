/*
 * The page heap around fork().
 *
 * At the fork no thread is inside a page cache and none holds a lock of the heap but the one that
 * forks, so the child finds every structure whole. What it does not find are the other threads:
 *
 *   - what they had cached is given to the trees; runs they held as owners stay theirs, as with
 * every allocation at a fork;
 *   - pieces that a scavenger had in flight are given back once more, for nobody knows how far that
 *     was: the charge of one that has no backing may be somebody else's already. Pieces of a file
 *     are not, for the file is the parent's as well; they count as backed, as do those that the
 *     kernel refuses, and should the limit not hold those it rises to what is committed;
 *   - charges of allocations under way belong to nobody: committed bytes are counted anew;
 *   - the scavenger's thread is started again when somebody needs it.
 *
 * The locks are taken in order of rank: caches, lanes, each lane's grow_mutex, each lane's mutex,
 * then the small structures.
 */
#include <page/fork.h>

#include <page/heap.h>

typedef void lane_visitor(struct page_lane *lane);

static void for_each_lane(struct page_heap *heap, lane_visitor *visit)
{
    for (uint32_t id = 0; id < PAGE_LANES_MAX; id++) {
        struct page_lane *lane = atomic_load_acquire_ptr(&heap->lane[id]);
        if (lane != NULL) {
            visit(lane);
        }
    }
}

static void lane_lock(struct page_lane *lane) Q_NO_THREAD_SAFETY_ANALYSIS
{
    os_mutex_lock(&lane->mutex);
}

static void lane_unlock(struct page_lane *lane) Q_NO_THREAD_SAFETY_ANALYSIS
{
    os_mutex_unlock(&lane->mutex);
}

static void lane_lock_grow(struct page_lane *lane) Q_NO_THREAD_SAFETY_ANALYSIS
{
    os_mutex_lock(&lane->grow_mutex);
}

static void lane_unlock_grow(struct page_lane *lane) Q_NO_THREAD_SAFETY_ANALYSIS
{
    os_mutex_unlock(&lane->grow_mutex);
}

void page_heap_fork_prepare(struct page_heap *heap, uint32_t step) Q_NO_THREAD_SAFETY_ANALYSIS
{
    switch (step) {
    case 0:
        page_caches_stop(heap);
        break;
    case 1:
        os_mutex_lock(&heap->lanes_mutex);
        break;
    case 2:
        for_each_lane(heap, lane_lock_grow);
        break;
    case 3:
        for_each_lane(heap, lane_lock);
        break;
    case 4:
        os_mutex_lock(&heap->metadata.mutex);
        os_mutex_lock(&heap->ledger.mutex);
        break;
    default:
        Q_UNREACHABLE();
    }
}

void page_heap_fork_parent(struct page_heap *heap) Q_NO_THREAD_SAFETY_ANALYSIS
{
    os_mutex_unlock(&heap->ledger.mutex);
    os_mutex_unlock(&heap->metadata.mutex);
    for_each_lane(heap, lane_unlock);
    for_each_lane(heap, lane_unlock_grow);
    os_mutex_unlock(&heap->lanes_mutex);
    page_caches_resume(heap);
}

/* ---- the child ------------------------------------------------------------------------------ */

static void lane_reset(struct page_lane *lane)
{
    os_mutex_reset_after_fork(&lane->grow_mutex);
    os_mutex_reset_after_fork(&lane->mutex);
    /* Whoever had it pinned is gone. */
    atomic_store_relaxed_u32(&lane->pin_count, 0);
}

/*
 * A file is the parent's: see lane_file.c. A new serial number makes the thread forget its cache
 * for the lane.
 */
static void lane_disown_file(struct page_lane *lane)
{
    if (lane->is_file_backed) {
        lane->is_foreign = true;
        lane->is_adopting = false;
        lane->serial = page_lane_next_serial();
    }
}

static void lane_land_flights(struct page_lane *lane)
{
    for (uint32_t i = 0; i < PAGE_IN_FLIGHT_MAX; i++) {
        struct page_in_flight *piece = &lane->in_flight[i];
        if (piece->page_count == 0) {
            continue;
        }
        if (!lane->is_foreign &&
            page_lane_decommit(lane, piece->page, piece->page_count) == QUARRY_OK) {
            page_tree_free_scavenged(&lane->tree, piece->page, piece->page_count);
        } else {
            page_tree_free(&lane->tree, piece->page, piece->page_count);
        }
        *piece = (struct page_in_flight){0, 0};
    }
    lane->in_flight_pages = 0;
    lane->collapsing_page = PAGE_NONE;
    lane->unbacking_count = 0;
    /* Whoever was waiting for them in page_lane_end is gone: the lane lives on. */
    lane->is_ending = false;
}

static void thread_reset_gates(struct page_thread *thread)
{
    for (uint32_t id = 0; id < PAGE_LANES_MAX; id++) {
        if (thread->cache[id] != NULL) {
            os_gate_reset_after_fork(&thread->cache[id]->gate);
        }
    }
}

/* Threads of the parent give up what they had cached; the one that forked keeps its caches. */
static void heap_bury_threads(struct page_heap *heap)
{
    const struct page_thread *own =
        page_tls.heap[heap->slot].serial == heap->serial ? page_tls.heap[heap->slot].thread : NULL;
    struct page_thread *thread = heap->threads;

    while (thread != NULL) {
        struct page_thread *next = thread->next;
        if (thread != own) {
            thread_reset_gates(thread);
            page_thread_exit(heap, thread);
        }
        thread = next;
    }
}

static uint64_t heap_count_committed(struct page_heap *heap)
{
    uint64_t bytes = atomic_load_relaxed_u64(&heap->commit.metadata_bytes) +
                     page_reserve_held_bytes(&heap->reserve);

    for (uint32_t id = 0; id < PAGE_LANES_MAX; id++) {
        const struct page_lane *lane = atomic_load_acquire_ptr(&heap->lane[id]);
        if (lane != NULL) {
            bytes += (lane->tree.total_pages - lane->tree.scavenged_pages) << PAGE_SHIFT;
        }
    }
    return bytes;
}

void page_heap_fork_child_unlock(struct page_heap *heap) Q_NO_THREAD_SAFETY_ANALYSIS
{
    os_mutex_reset_after_fork(&heap->ledger.mutex);
    os_mutex_reset_after_fork(&heap->metadata.mutex);
    for_each_lane(heap, lane_reset);
    os_mutex_reset_after_fork(&heap->lanes_mutex);
    os_mutex_reset_after_fork(&heap->caches_mutex);
}

void page_heap_fork_child(struct page_heap *heap) Q_NO_THREAD_SAFETY_ANALYSIS
{
    page_reclaimers_after_fork(heap);
    page_limit_after_fork(heap);
    os_mutex_lock(&heap->caches_mutex);
    page_caches_resume(heap);
    for_each_lane(heap, lane_disown_file);
    for_each_lane(heap, lane_land_flights);
    atomic_store_relaxed_u32(&heap->scavenger.flight_count, 0);
    heap_bury_threads(heap);
    page_commit_recount(&heap->commit, heap_count_committed(heap));
    page_scavenger_after_fork(heap);
}
