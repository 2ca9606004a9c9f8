/*
 * Collecting: empty spans of threads that do not look.
 *
 * A thread that has fallen asleep never merges what others free in its spans. Anybody may do it in
 * its stead as far as a span has become empty: every object's bit is set in `free` or in `remote`.
 * Then no object of it is in use, so that no correct program is in the middle of freeing one: the
 * owner's free sets the bit last, and writes nothing to the span after that. And its owner cannot
 * be allocating from it, because that happens in the bin, whose objects' bits are clear, or inside
 * the gate, which the collector has closed. So the span can be taken, though its owner runs.
 *
 * A span of which some object is in use cannot be taken from a living thread: its next free might
 * be half done. Its objects wait until their thread allocates of the class again, or ends.
 *
 * Locking: pools_mutex, so that no pool ends; threads_mutex and all gates, or a pool's mutex. Pages
 * are freed after. Cost: a process barrier, and a look at every span that waits in a mailbox or was
 * kept empty.
 */
#include <mem/heap.h>

#include <mem/bins.h>

/* Spans of one pool that were found empty. */
struct finds {
    mem_ref empties[MEM_POOLS_MAX];
};

/* Takes a span, if it is empty and in a list, out of bins that their thread keeps out of. */
static bool try_take(struct mem_bins *bins, struct mem_span *span, mem_ref *empties)
{
    enum mem_span_state state = mem_span_state(span);

    if ((state != MEM_SPAN_PARTIAL && state != MEM_SPAN_FULL) || !mem_span_is_all_free(span)) {
        return false;
    }
    mem_bins_unlink(bins, mem_bins_list(bins, span), span);
    mem_span_give_up(bins, span, empties);
    return true;
}

/* Spans with mail: the empty ones are taken, the others mailed again. */
static void collect_mail(struct mem_bins *bins, mem_ref *empties)
{
    struct mem_heap *heap = bins->pool->heap;
    mem_ref ref = atomic_load_relaxed_u32(&bins->mailbox);

    if (ref == MEM_MAIL_END || ref == MEM_MAIL_CLOSED) {
        return;
    }
    ref = atomic_exchange_acquire_u32(&bins->mailbox, MEM_MAIL_END);
    while (ref != MEM_MAIL_END) {
        struct mem_span *span = mem_map_span(&heap->map, ref);
        struct mem_span_cold *cold = mem_span_cold(span);
        ref = atomic_exchange_seq_cst_u32(&cold->mail, 0);
        if (atomic_load_acquire_ptr(&cold->bins) != bins || !try_take(bins, span, empties)) {
            mem_bins_mail(heap, span);
        }
    }
}

void mem_bins_purge(struct mem_bins *bins, mem_ref *empties)
{
    struct mem_map *map = &bins->pool->heap->map;

    for (uint32_t class = 0; class < MEM_CLASSES; class ++) {
        for (mem_ref ref = bins->partial[class]; ref != 0;) {
            struct mem_span *span = mem_map_span(map, ref);
            ref = mem_span_cold(span)->next;
            (void)try_take(bins, span, empties);
        }
    }
    bins->idle_pages = 0;
}

static void collect_threads(struct mem_heap *heap, struct finds *finds)
{
    mem_threads_stop(heap);
    for (struct mem_thread *thread = heap->threads; thread != NULL; thread = thread->next) {
        /* Our own is open only when this is a signal handler that interrupted it. */
        if (thread == mem_thread_own(heap) && os_gate_is_inside(&thread->gate)) {
            continue;
        }
        for (uint32_t id = 0; id < MEM_POOLS_MAX; id++) {
            struct mem_bins *bins = thread->bins[id];
            if (bins != NULL) {
                collect_mail(bins, &finds->empties[id]);
                if (bins->idle_pages > 0) {
                    mem_bins_purge(bins, &finds->empties[id]);
                }
            }
        }
    }
    mem_threads_resume(heap);
}

uint64_t mem_heap_collect(struct mem_heap *heap)
{
    struct finds finds = {0};
    uint64_t bytes = 0;

    os_mutex_lock(&heap->pools_mutex);
    collect_threads(heap, &finds);
    for (uint32_t id = 0; id < MEM_POOLS_MAX; id++) {
        struct mem_pool *pool = atomic_load_acquire_ptr(&heap->pool[id]);
        if (pool != NULL) {
            os_mutex_lock(&pool->mutex);
            mem_bins_drain(pool->central, &finds.empties[id]);
            os_mutex_unlock(&pool->mutex);
            bytes += mem_spans_release(pool, finds.empties[id]);
        }
    }
    os_mutex_unlock(&heap->pools_mutex);
    return bytes;
}
