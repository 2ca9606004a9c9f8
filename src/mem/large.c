/*
 * Large objects: runs of pages, straight from the thread's page cache or the lane.
 *
 * The map has for a large object's first page not a span of its own but its pool's stand-in, a
 * record with a capacity of 0: the fast path of freeing finds no index below that, and the slow one
 * finds the pool. How long the object is stands in the run's head. So a large object costs 4 bytes
 * of map, and its size nothing.
 *
 * A second stand-in is for objects that were sampled, so that freeing asks the observer only about
 * those.
 */
#include <mem/large.h>

#include <mem/hardened.h>
#include <mem/object.h>

/* Pages for so many bytes; 0: more than any lane has. */
static uint64_t pages_for(size_t bytes)
{
    return bytes > PAGE_LANE_PAGES_MAX << PAGE_SHIFT
               ? 0
               : ((uint64_t)bytes + PAGE_BYTES - 1) >> PAGE_SHIFT;
}

/* The same, with what hardened heaps add. */
static uint64_t run_pages_for(const struct mem_heap *heap, size_t bytes)
{
    return Q_UNLIKELY(heap->is_hardened) ? mem_hardened_large_pages(bytes) : pages_for(bytes);
}

static inline struct page_run run_alloc(struct mem_pool *pool, uint64_t page_count,
                                        size_t align_bytes)
{
    if (align_bytes <= PAGE_BYTES) {
        return page_alloc(pool->lane, pool->owner, page_count);
    }
    if (align_bytes >> PAGE_SHIFT > PAGE_ALIGN_PAGES_MAX) {
        return (struct page_run){.status = QUARRY_NO_ADDRESS};
    }
    return page_lane_alloc(pool->lane, pool->owner, page_count, align_bytes >> PAGE_SHIFT);
}

/* Counts a large object's bytes towards the next sample. Returns whether it is one. */
static inline bool is_sample(struct mem_pool *pool, uint64_t bytes)
{
    struct mem_heap *heap = pool->heap;
    struct mem_thread *thread;

    if (heap->observer.gap == NULL || (thread = mem_thread_find(heap)) == NULL) {
        return false;
    }
    if (Q_LIKELY(thread->sample_left >= (int64_t)bytes)) {
        thread->sample_left -= (int64_t)bytes;
        return false;
    }
    bool is_sampled = thread->is_sampling;
    mem_thread_draw_gap(thread);
    return is_sampled;
}

/* Counts in the thread's bins, so that threads do not fight over a word; in the central ones else.
 */
static inline void pool_count(struct mem_pool *pool, int64_t pages, int64_t objects)
{
    struct mem_thread *thread = mem_thread_own(pool->heap);
    struct mem_bins *bins = thread == NULL ? NULL : thread->bins[pool->id];
    int64_t bytes = pages * (int64_t)PAGE_BYTES;

    if (Q_LIKELY(bins != NULL)) {
        atomic_bump_relaxed_i64(&bins->large_bytes, bytes);
        atomic_bump_relaxed_i64(&bins->large_count, objects);
        atomic_bump_relaxed_u64(&bins->large_taken_count, objects > 0);
        return;
    }
    (void)atomic_add_relaxed_i64(&pool->central->large_bytes, bytes);
    (void)atomic_add_relaxed_i64(&pool->central->large_count, objects);
    (void)atomic_add_relaxed_u64(&pool->central->large_taken_count, objects > 0);
}

void mem_large_move_counts(struct mem_bins *bins, struct mem_bins *central)
{
    (void)atomic_add_relaxed_i64(&central->large_bytes,
                                 atomic_load_relaxed_i64(&bins->large_bytes));
    (void)atomic_add_relaxed_i64(&central->large_count,
                                 atomic_load_relaxed_i64(&bins->large_count));
    (void)atomic_add_relaxed_u64(&central->large_taken_count,
                                 atomic_load_relaxed_u64(&bins->large_taken_count));
}

static void sum_add(struct mem_large_sum *sum, const struct mem_bins *bins)
{
    sum->bytes += (uint64_t)atomic_load_relaxed_i64(&bins->large_bytes);
    sum->count += (uint64_t)atomic_load_relaxed_i64(&bins->large_count);
    sum->taken_count += atomic_load_relaxed_u64(&bins->large_taken_count);
}

struct mem_large_sum mem_large_sum(struct mem_pool *pool)
{
    struct mem_heap *heap = pool->heap;
    struct mem_large_sum sum = {0};

    os_mutex_lock(&heap->threads_mutex);
    sum_add(&sum, pool->central);
    for (struct mem_thread *thread = heap->threads; thread != NULL; thread = thread->next) {
        if (thread->bins[pool->id] != NULL) {
            sum_add(&sum, thread->bins[pool->id]);
        }
    }
    os_mutex_unlock(&heap->threads_mutex);
    return sum;
}

void *mem_large_alloc(struct mem_pool *pool, size_t bytes, size_t align_bytes, bool *ret_is_zero)
{
    struct mem_heap *heap = pool->heap;
    uint64_t page_count = run_pages_for(heap, size_max(bytes, 1));

    if (page_count == 0) {
        return NULL;
    }
    struct page_run run = run_alloc(pool, page_count, align_bytes);
    if (run.base == NULL) {
        return NULL;
    }
    if (mem_map_prepare(&heap->map, pool->lane, run.base, 1) != QUARRY_OK) {
        page_free(pool->lane, run.base);
        return NULL;
    }
    bool is_sampled = is_sample(pool, page_count << PAGE_SHIFT);
    struct mem_span *span = is_sampled ? pool->large_sampled : pool->large;
    atomic_store_relaxed_u32(mem_map_entry(&heap->map, run.base), mem_map_ref(&heap->map, span));
    pool_count(pool, (int64_t)page_count, 1);
    if (Q_UNLIKELY(heap->is_hardened)) {
        mem_hardened_large_begin(heap, run.base, page_count, run.is_zero);
        run.is_zero = true;
    }
    if (is_sampled) {
        const struct mem_sample sample = {bytes, page_count << PAGE_SHIFT,
                                          mem_thread_own(heap)->last_mean_bytes, pool};
        heap->observer.allocated(heap->observer.argument, run.base, &sample);
    }
    *ret_is_zero = run.is_zero;
    return run.base;
}

/*
 * How many pages the large object at an address has; 0: none begins there. The lane is the one that
 * the stand-in's pool is in, so an address of another has no place in it.
 */
static inline uint64_t object_pages(const struct mem_pool *pool, const void *address)
{
    const struct page_lane *lane = pool->lane;
    uint64_t offset = (uint64_t)((const char *)address - lane->base);

    if (offset >= lane->reserved_bytes || (offset & (PAGE_BYTES - 1)) != 0) {
        return 0;
    }
    uint32_t page_count =
        page_head_pages(atomic_load_relaxed_u32(&lane->head[offset >> PAGE_SHIFT]));
    return Q_LIKELY(page_count < PAGE_HEAD_PAGES_LONG) ? page_count
                                                       : page_lane_run_pages(lane, address);
}

bool mem_large_is_object(struct mem_heap *heap, const struct mem_span *span, const void *address)
{
    (void)heap;
    return object_pages(mem_span_pool(span), address) > 0;
}

void mem_large_free(struct mem_heap *heap, struct mem_span *span, void *object)
{
    struct mem_pool *pool = mem_span_pool(span);
    uint64_t page_count = object_pages(pool, object);

    if (Q_UNLIKELY(page_count == 0)) {
        mem_free_none(heap, object);
        return;
    }
    /* Relaxed: see mem_map_find. */
    atomic_store_relaxed_u32(mem_map_entry(&heap->map, object), 0);
    mem_freed_note(&heap->freed, object, MEM_FREED_LARGE);
    if (span == pool->large_sampled) {
        (void)heap->observer.freed(heap->observer.argument, object);
    }
    pool_count(pool, -(int64_t)page_count, -1);
    if (Q_LIKELY(!heap->is_hardened) || mem_hardened_large_end(heap, pool->lane, object)) {
        page_free(pool->lane, object);
    }
}

size_t mem_large_usable(struct mem_heap *heap, const void *object)
{
    uint64_t page_count = page_lane_run_pages(page_heap_lane_of(heap->pages, object), object);

    return Q_UNLIKELY(heap->is_hardened) ? mem_hardened_large_usable(page_count)
                                         : page_count << PAGE_SHIFT;
}

bool mem_large_resize(struct mem_heap *heap, struct mem_span *span, void *object, size_t bytes)
{
    struct mem_pool *pool = mem_span_pool(span);
    uint64_t before = page_lane_run_pages(pool->lane, object),
             page_count = run_pages_for(heap, bytes);

    if (page_count == 0 || bytes <= MEM_SMALL_MAX_BYTES) {
        return false;
    }
    if (page_count == before) {
        return true;
    }
    if (Q_UNLIKELY(heap->is_hardened)) {
        return false; /* what is cut off or added would have to be cleared, and the guard moved */
    }
    if (page_lane_resize(pool->lane, object, page_count) != QUARRY_OK) {
        return false;
    }
    pool_count(pool, (int64_t)page_count - (int64_t)before, 0);
    return true;
}
