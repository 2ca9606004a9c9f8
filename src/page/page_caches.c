/*
 * All page caches of a heap: kept out, emptied, ended.
 *
 *   gates closed ─ one barrier of all CPUs ─ those who were inside have left ─ … ─ gates open
 *
 * One barrier serves however many caches are stopped, which is why they are stopped together and
 * not one by one. A thread inside its cache at that moment is waited for; one that comes later goes
 * by the lane's lock.
 *
 * Locking: the heap's caches_mutex, from stopping to resuming. page_cache.c has the caches.
 */
#include <page/page_cache.h>

#include <page/heap.h>

/* ---- stopping caches ------------------------------------------------------------------------ */

typedef bool cache_filter(struct page_cache *cache);

/* Calls `visit` for each cache of a heap. */
#define PAGE_CACHES_FOR_EACH(heap, thread, cache)                                                  \
    for (struct page_thread *thread = (heap)->threads; thread != NULL; thread = thread->next)      \
        for (uint32_t id_ = 0; id_ < PAGE_LANES_MAX; id_++)                                        \
            for (struct page_cache *cache = thread->cache[id_]; cache != NULL; cache = NULL)

/* Stops the caches that `filter` chooses; the mutex is held. Returns whether there were any. */
static bool caches_stop_some(struct page_heap *heap, cache_filter *filter)
    Q_REQUIRES(&heap->caches_mutex)
{
    const struct page_thread *own = page_thread_own(heap);
    bool is_any = false;

    PAGE_CACHES_FOR_EACH(heap, thread, cache)
    {
        if (filter(cache)) {
            os_gate_stop(&cache->gate);
            is_any = true;
        }
    }
    if (!is_any) {
        return false;
    }
    os_gates_barrier();
    PAGE_CACHES_FOR_EACH(heap, thread, cache)
    {
        /* We are inside our own only if this is a signal handler: it is left as it is. */
        if (thread != own && os_gate_is_stopped(&cache->gate)) {
            os_gate_wait(&cache->gate);
        }
    }
    return true;
}

static void caches_resume_all(struct page_heap *heap) Q_REQUIRES(&heap->caches_mutex)
{
    PAGE_CACHES_FOR_EACH(heap, thread, cache)
    {
        if (os_gate_is_stopped(&cache->gate)) {
            os_gate_resume(&cache->gate);
        }
    }
}

static bool cache_is_any(struct page_cache *cache)
{
    (void)cache;
    return true;
}

void page_caches_stop(struct page_heap *heap)
{
    os_mutex_lock(&heap->caches_mutex);
    (void)caches_stop_some(heap, cache_is_any);
}

void page_caches_resume(struct page_heap *heap)
{
    caches_resume_all(heap);
    os_mutex_unlock(&heap->caches_mutex);
}

void page_caches_flush_all(struct page_heap *heap)
{
    page_caches_stop(heap);
    PAGE_CACHES_FOR_EACH(heap, thread, cache)
    {
        page_cache_flush_stopped(cache);
    }
    page_caches_resume(heap);
}

/*
 * Unused since the last look, and not flushed already. The mark is for the next look; a thread that
 * enters at this moment takes it away, or keeps its cache until then.
 */
static bool cache_is_idle(struct page_cache *cache)
{
    bool is_unused = os_gate_mark(&cache->gate);
    bool is_idle = is_unused && !cache->is_flushed;

    cache->is_flushed = is_unused;
    return is_idle;
}

void page_caches_flush_idle(struct page_heap *heap)
{
    os_mutex_lock(&heap->caches_mutex);
    if (caches_stop_some(heap, cache_is_idle)) {
        PAGE_CACHES_FOR_EACH(heap, thread, cache)
        {
            if (os_gate_is_stopped(&cache->gate)) {
                page_cache_flush_stopped(cache);
            }
        }
        caches_resume_all(heap);
    }
    os_mutex_unlock(&heap->caches_mutex);
}

/* ---- threads that end ----------------------------------------------------------------------- */

void page_thread_exit(struct page_heap *heap, struct page_thread *thread)
{
    os_mutex_lock(&heap->caches_mutex);
    for (uint32_t id = 0; id < PAGE_LANES_MAX; id++) {
        if (thread->cache[id] != NULL) {
            page_cache_flush_stopped(thread->cache[id]);
            page_metadata_give(&heap->metadata, thread->cache[id], sizeof(struct page_cache));
        }
    }
    if (thread->previous != NULL) {
        thread->previous->next = thread->next;
    } else {
        heap->threads = thread->next;
    }
    if (thread->next != NULL) {
        thread->next->previous = thread->previous;
    }
    os_mutex_unlock(&heap->caches_mutex);
    page_metadata_give(&heap->metadata, thread, sizeof(*thread));
}
