/*
 * Threads: their bins for each pool, and what becomes of these when they end.
 *
 * A thread gets its struct at its first slow path and gives it back in an exit hook; its spans go
 * to their pools' central bins, where the next thread in need of one finds them. Destructors that
 * run after the hook may allocate and free again: then a new struct is made, and the hook asked for
 * once more. libc stops asking after four rounds. What is left behind then is found by the thread
 * pointer: a new thread with the same one proves the old one dead.
 *
 * Bins are kept for other threads of the same pool and given to other pools only when their own has
 * ended: somebody may be about to put mail into them (see bins.c).
 *
 * Locking: threads_mutex guards the list; a thread's bins are inside its gate.
 */
#include <mem/heap.h>

#include <string.h>

#include <mem/bins.h>
#include <mem/hardened.h>
#include <mem/large.h>
#include <mem/remote.h>

_Thread_local struct mem_tls mem_tls[PAGE_HEAPS_MAX];

/* ---- a thread's struct ---------------------------------------------------------------------- */

static void thread_link(struct mem_heap *heap, struct mem_thread *thread)
    Q_REQUIRES(&heap->threads_mutex)
{
    thread->next = heap->threads;
    if (thread->next != NULL) {
        thread->next->previous = thread;
    }
    heap->threads = thread;
}

static void thread_unlink(struct mem_heap *heap, struct mem_thread *thread)
{
    os_mutex_lock(&heap->threads_mutex);
    if (thread->previous != NULL) {
        thread->previous->next = thread->next;
    } else {
        heap->threads = thread->next;
    }
    if (thread->next != NULL) {
        thread->next->previous = thread->previous;
    }
    os_mutex_unlock(&heap->threads_mutex);
}

/* A thread of the past that had the same thread pointer, or NULL. */
static struct mem_thread *thread_find_dead(struct mem_heap *heap, uintptr_t owner)
{
    struct mem_thread *thread;

    os_mutex_lock(&heap->threads_mutex);
    for (thread = heap->threads; thread != NULL && thread->owner != owner;) {
        thread = thread->next;
    }
    os_mutex_unlock(&heap->threads_mutex);
    return thread;
}

/* A seed that differs between threads and between runs of a program. */
static uint64_t thread_seed(const struct mem_thread *thread)
{
    uint64_t seed = (uint64_t)thread ^ os_monotonic_ns(thread->heap->pages->os);

    seed *= UINT64_C(0x9e3779b97f4a7c15);
    return (seed ^ seed >> 29) | 1;
}

void mem_thread_draw_gap(struct mem_thread *thread)
{
    const struct mem_observer *observer = &thread->heap->observer;
    uint64_t gap = UINT64_MAX;

    if (observer->gap == NULL) {
        thread->sample_left = INT64_MAX;
        return;
    }
    thread->last_mean_bytes = thread->gap_mean_bytes;
    gap = observer->gap(observer->argument, &thread->random_state, &thread->gap_mean_bytes);
    thread->is_sampling = gap <= (uint64_t)INT64_MAX;
    thread->sample_left = thread->is_sampling ? (int64_t)gap : MEM_SAMPLE_RECHECK_BYTES;
}

Q_COLD struct mem_thread *mem_thread_find_slow(struct mem_heap *heap)
{
    uintptr_t owner = (uintptr_t)__builtin_thread_pointer();
    struct mem_thread *dead = thread_find_dead(heap, owner);
    void *piece;

    if (dead != NULL) {
        mem_thread_end(dead);
    }
    if (page_metadata_take(&heap->pages->metadata, sizeof(struct mem_thread), &piece) !=
        QUARRY_OK) {
        return NULL;
    }
    struct mem_thread *thread = piece;
    os_gate_init(&thread->gate);
    thread->heap = heap;
    thread->owner = owner;
    thread->random_state = thread_seed(thread);
    mem_thread_draw_gap(thread);
    os_mutex_lock(&heap->threads_mutex);
    thread_link(heap, thread);
    os_mutex_unlock(&heap->threads_mutex);
    mem_tls[heap->pages->slot] = (struct mem_tls){heap->serial, thread};
    /* Last: it may call malloc. */
    if (os_thread_exit_arm() != QUARRY_OK) {
        mem_thread_end(thread);
        return NULL;
    }
    return thread;
}

/* ---- bins ----------------------------------------------------------------------------------- */

static struct mem_bins *list_pop(struct mem_bins **list)
{
    struct mem_bins *bins = *list;

    if (bins != NULL) {
        *list = (struct mem_bins *)(void *)bins->direct[0];
    }
    return bins;
}

static void list_push(struct mem_bins **list, struct mem_bins *bins)
{
    bins->direct[0] = (struct mem_bin *)(void *)*list;
    *list = bins;
}

struct mem_bins *mem_bins_make(struct mem_heap *heap)
{
    void *piece;

    os_mutex_lock(&heap->threads_mutex);
    struct mem_bins *bins = list_pop(&heap->unused_bins);
    os_mutex_unlock(&heap->threads_mutex);
    if (bins == NULL &&
        page_metadata_take(&heap->pages->metadata, sizeof(*bins), &piece) == QUARRY_OK) {
        bins = piece;
    }
    return bins;
}

static struct mem_bins *bins_take(struct mem_pool *pool)
{
    os_mutex_lock(&pool->mutex);
    struct mem_bins *bins = list_pop(&pool->unused_bins);
    os_mutex_unlock(&pool->mutex);
    return bins != NULL ? bins : mem_bins_make(pool->heap);
}

struct mem_bins *mem_thread_bins(struct mem_thread *thread, struct mem_pool *pool)
{
    struct mem_heap *heap = pool->heap;
    struct mem_bins *bins = thread->bins[pool->id];

    if (Q_LIKELY(bins != NULL)) {
        return bins;
    }
    bins = bins_take(pool);
    if (bins == NULL) {
        return NULL;
    }
    mem_bins_init(bins, thread, pool);
    os_mutex_lock(&heap->threads_mutex);
    thread->bins[pool->id] = bins;
    os_mutex_unlock(&heap->threads_mutex);
    if (heap->is_door && !heap->is_hardened && pool == heap->general_pool &&
        mem_door == &mem_bins_none) {
        mem_door = bins;
    }
    return bins;
}

void mem_door_set(struct mem_thread *thread, struct mem_bins *bins)
{
    if (thread->heap->is_hardened) {
        thread->scope = bins;
    } else {
        mem_door = bins == NULL ? &mem_bins_none : bins;
    }
}

/* ---- the end of a thread -------------------------------------------------------------------- */

/* Nothing can be mailed to the bins any more. */
static void bins_close(struct mem_bins *bins, mem_ref *empties)
{
    mem_ref none;

    do {
        mem_bins_drain(bins, empties);
        none = MEM_MAIL_END;
    } while (!atomic_cas_acq_rel_u32(&bins->mailbox, &none, MEM_MAIL_CLOSED));
}

/* A span of bins that end goes to the central ones, whose mutex is held. */
static void span_orphan(struct mem_bins *bins, mem_ref *list, struct mem_span *span)
{
    struct mem_bins *central = bins->pool->central;
    uint32_t free_count = mem_span_count_free(span);

    mem_bins_unlink(bins, list, span);
    atomic_store_relaxed_uptr(&span->owner, 0);
    mem_span_set_state(span, free_count == 0 ? MEM_SPAN_FULL : MEM_SPAN_PARTIAL);
    mem_bins_link(central, mem_bins_list(central, span), span);
    /* Release: pairs with the acquire in mem_bins_mail. */
    atomic_store_release_ptr(&mem_span_cold(span)->bins, central);
}

static void list_orphan(struct mem_bins *bins, mem_ref *list)
{
    struct mem_map *map = &bins->pool->heap->map;

    while (*list != 0) {
        span_orphan(bins, list, mem_map_span(map, *list));
    }
}

static void bins_end(struct mem_bins *bins)
{
    struct mem_pool *pool = bins->pool;
    mem_ref empties = 0;

    for (uint32_t class = 0; class < MEM_CLASSES; class ++) {
        mem_bin_return(bins, &bins->bin[class], &empties);
    }
    bins_close(bins, &empties);
    os_mutex_lock(&pool->mutex);
    for (uint32_t class = 0; class < MEM_CLASSES; class ++) {
        list_orphan(bins, &bins->partial[class]);
        list_orphan(bins, &bins->full[class]);
        pool->central->bin[class].taken_count += bins->bin[class].taken_count;
    }
    mem_large_move_counts(bins, pool->central);
    /* Those that were kept though they are empty: nobody keeps them now. */
    mem_bins_purge(pool->central, &empties);
    list_push(&pool->unused_bins, bins);
    os_mutex_unlock(&pool->mutex);
    (void)mem_spans_release(pool, empties);
}

void mem_thread_end(struct mem_thread *thread)
{
    struct mem_heap *heap = thread->heap;
    bool is_own = mem_thread_own(heap) == thread;
    bool is_inside = os_gate_enter(&thread->gate, &heap->threads_mutex);

    mem_hardened_end_thread(thread);
    mem_remote_flush(thread);
    for (uint32_t id = 0; id < MEM_POOLS_MAX; id++) {
        struct mem_bins *bins = thread->bins[id];
        if (bins != NULL) {
            if (is_own && heap->is_door && mem_door == bins) {
                mem_door = &mem_bins_none;
            }
            thread->bins[id] = NULL;
            bins_end(bins);
        }
    }
    if (is_inside) {
        os_gate_leave(&thread->gate);
    }
    if (is_own) {
        mem_tls[heap->pages->slot] = (struct mem_tls){0, NULL};
        mem_door = heap->is_door ? &mem_bins_none : mem_door;
    }
    thread_unlink(heap, thread);
    page_metadata_give(&heap->pages->metadata, thread, sizeof(*thread));
}

void mem_thread_exit(struct mem_heap *heap)
{
    struct mem_thread *thread = mem_thread_own(heap);

    if (thread != NULL) {
        mem_thread_end(thread);
    }
}

/* ---- standing still ------------------------------------------------------------------------- */

void mem_threads_stop(struct mem_heap *heap)
{
    os_mutex_lock(&heap->threads_mutex);
    for (struct mem_thread *thread = heap->threads; thread != NULL; thread = thread->next) {
        os_gate_stop(&thread->gate);
    }
    if (heap->threads != NULL) {
        os_gates_barrier();
    }
    for (struct mem_thread *thread = heap->threads; thread != NULL; thread = thread->next) {
        /* We are inside our own only if this is a signal handler. */
        if (thread != mem_thread_own(heap)) {
            os_gate_wait(&thread->gate);
        }
    }
}

void mem_threads_resume(struct mem_heap *heap)
{
    for (struct mem_thread *thread = heap->threads; thread != NULL; thread = thread->next) {
        os_gate_resume(&thread->gate);
    }
    os_mutex_unlock(&heap->threads_mutex);
}

/*
 * The mail of bins that end with their lifetime. A record that was mailed and then became a span of
 * another lifetime is mailed on, or it would count as mailed for ever.
 */
static void bins_forget_mail(struct mem_bins *bins)
{
    struct mem_heap *heap = bins->pool->heap;
    mem_ref ref = atomic_exchange_acquire_u32(&bins->mailbox, MEM_MAIL_CLOSED);

    while (ref != MEM_MAIL_END && ref != MEM_MAIL_CLOSED) {
        struct mem_span *span = mem_map_span(&heap->map, ref);
        struct mem_span_cold *cold = mem_span_cold(span);
        ref = atomic_exchange_seq_cst_u32(&cold->mail, 0);
        const struct mem_bins *now = atomic_load_acquire_ptr(&cold->bins);
        if (now != NULL && now->pool->lifetime != bins->pool->lifetime) {
            mem_bins_mail(heap, span);
        }
    }
}

void mem_threads_forget_pool(struct mem_pool *pool)
{
    struct mem_heap *heap = pool->heap;

    mem_threads_stop(heap);
    for (struct mem_thread *thread = heap->threads; thread != NULL; thread = thread->next) {
        struct mem_bins *bins = thread->bins[pool->id];
        if (bins != NULL) {
            Q_ASSERT_MSG(mem_door != bins && thread->scope != bins,
                         "a scope is open in a pool whose lifetime ends");
            thread->bins[pool->id] = NULL;
            bins_forget_mail(bins);
            list_push(&heap->unused_bins, bins);
        }
    }
    for (struct mem_bins *bins; (bins = list_pop(&pool->unused_bins)) != NULL;) {
        list_push(&heap->unused_bins, bins);
    }
    bins_forget_mail(pool->central);
    list_push(&heap->unused_bins, pool->central);
    mem_threads_resume(heap);
}
