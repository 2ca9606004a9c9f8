/*
 * The spans of bins: the lists they are in, mail about them, making them and giving them up.
 *
 *   pages + record ─ create ─ enter ─> PARTIAL <─ reconsider ─> FULL          in the bins' lists
 *                                         └──── give up ────> UNUSED ─ release ─> pages and record
 *
 * bins.c has the states, the invariants and the locking: all of this happens inside the bins, but
 * for mailing, which anybody does, and creating and releasing, for which no lock may be held, since
 * pages are taken and given back there.
 */
#include <mem/bins.h>

#include <mem/hardened.h>

/* ---- lists ---------------------------------------------------------------------------------- */

mem_ref *mem_bins_list(struct mem_bins *bins, const struct mem_span *span)
{
    enum mem_span_state state = mem_span_state(span);

    Q_DCHECK(state == MEM_SPAN_PARTIAL || state == MEM_SPAN_FULL);
    return state == MEM_SPAN_FULL ? &bins->full[mem_span_class(span)]
                                  : &bins->partial[mem_span_class(span)];
}

static void count_central(struct mem_bins *bins, const struct mem_span *span, int32_t change)
{
    if (bins->thread == NULL && mem_span_state(span) == MEM_SPAN_PARTIAL) {
        /* Written under the mutex only. */
        atomic_bump_relaxed_u32(&bins->pool->central_count, (uint32_t)change);
    }
}

void mem_bins_link(struct mem_bins *bins, mem_ref *list, struct mem_span *span)
{
    struct mem_map *map = mem_bins_map(bins);
    mem_ref ref = mem_map_ref(map, span);

    mem_span_cold(span)->next = *list;
    mem_span_cold(span)->previous = 0;
    if (*list != 0) {
        mem_span_cold(mem_map_span(map, *list))->previous = ref;
    }
    *list = ref;
    count_central(bins, span, 1);
}

void mem_bins_unlink(struct mem_bins *bins, mem_ref *list, struct mem_span *span)
{
    struct mem_map *map = mem_bins_map(bins);
    struct mem_span_cold *cold = mem_span_cold(span);

    if (cold->previous != 0) {
        mem_span_cold(mem_map_span(map, cold->previous))->next = cold->next;
    } else {
        Q_ASSERT(*list == mem_map_ref(map, span));
        *list = cold->next;
    }
    if (cold->next != 0) {
        mem_span_cold(mem_map_span(map, cold->next))->previous = cold->previous;
    }
    count_central(bins, span, -1);
}

/* ---- empty spans ---------------------------------------------------------------------------- */

void mem_span_give_up(struct mem_bins *bins, struct mem_span *span, mem_ref *empties)
{
    struct mem_span_cold *cold = mem_span_cold(span);

    atomic_store_relaxed_uptr(&span->owner, 0);
    mem_span_set_state(span, MEM_SPAN_UNUSED);
    /* Release: pairs with the acquire in mem_bins_mail. */
    atomic_store_release_ptr(&cold->bins, NULL);
    cold->next = *empties;
    *empties = mem_map_ref(mem_bins_map(bins), span);
}

static struct page_run pages_alloc(struct mem_pool *pool, uint32_t class)
{
    if (Q_UNLIKELY(pool->heap->is_hardened)) {
        return mem_hardened_span_alloc(pool, class);
    }
    return page_alloc(pool->lane, pool->owner, mem_size_class[class].page_count);
}

static void pages_free(struct mem_pool *pool, void *start, uint64_t page_count)
{
    struct mem_heap *heap = pool->heap;

    if (Q_LIKELY(!heap->is_hardened) || mem_hardened_unguard(heap, pool->lane, start, page_count)) {
        page_free(pool->lane, start);
    }
}

uint64_t mem_spans_release(struct mem_pool *pool, mem_ref empties)
{
    struct mem_map *map = &pool->heap->map;
    uint64_t bytes = 0;

    while (empties != 0) {
        struct mem_span *span = mem_map_span(map, empties);
        struct mem_span_cold *cold = mem_span_cold(span);
        uint64_t page_count = mem_size_class[mem_span_class(span)].page_count;
        void *start = cold->start;
        empties = cold->next;
        mem_map_set(map, start, page_count, 0);
        mem_freed_note(&pool->heap->freed, start, mem_span_class(span));
        mem_map_give_record(map, span);
        pages_free(pool, start, page_count);
        bytes += page_count << PAGE_SHIFT;
    }
    return bytes;
}

void mem_bins_reconsider(struct mem_bins *bins, struct mem_span *span, mem_ref *empties)
{
    uint32_t free_count = mem_span_count_free(span), capacity = (uint32_t)span->capacity;
    mem_ref *list = mem_bins_list(bins, span);
    bool is_full = mem_span_state(span) == MEM_SPAN_FULL;

    if (free_count == capacity) {
        uint32_t page_count = mem_size_class[mem_span_class(span)].page_count;
        if (bins->thread == NULL || bins->idle_pages + page_count > bins->idle_pages_max) {
            mem_bins_unlink(bins, list, span);
            mem_span_give_up(bins, span, empties);
            return;
        }
        bins->idle_pages += page_count;
    }
    uint32_t ready_count = mem_size_class[mem_span_class(span)].ready_count;
    if (is_full && free_count < ready_count) {
        atomic_store_relaxed_i32(&span->left, (int32_t)(ready_count - free_count));
        return;
    }
    if (is_full) {
        mem_bins_unlink(bins, list, span);
        mem_span_set_state(span, MEM_SPAN_PARTIAL);
        mem_bins_link(bins, &bins->partial[mem_span_class(span)], span);
    }
    atomic_store_relaxed_i32(&span->left, (int32_t)(capacity - free_count));
}

/* ---- mail ----------------------------------------------------------------------------------- */

void mem_bins_mail(struct mem_heap *heap, struct mem_span *span)
{
    struct mem_span_cold *cold = mem_span_cold(span);
    mem_ref none = 0, ref = mem_map_ref(&heap->map, span);

    /* The bits are set before: either the drain sees them, or it has cleared `mail` and we do. */
    if (atomic_load_seq_cst_u32(&cold->mail) != 0 ||
        !atomic_cas_seq_cst_u32(&cold->mail, &none, MEM_MAIL_END)) {
        return;
    }
    for (;;) {
        /* Acquire: pairs with the releases where a span changes hands. */
        struct mem_bins *bins = atomic_load_acquire_ptr(&cold->bins);
        if (bins == NULL) {
            atomic_store_release_u32(&cold->mail, 0);
            return;
        }
        mem_ref head = atomic_load_acquire_u32(&bins->mailbox);
        if (head == MEM_MAIL_CLOSED) {
            continue; /* its thread is ending, and gives the span to the central bins */
        }
        atomic_store_relaxed_u32(&cold->mail, head);
        /* Release: pairs with the acquire in mem_bins_drain. */
        if (atomic_cas_release_u32(&bins->mailbox, &head, ref)) {
            return;
        }
    }
}

/*
 * Who mails may be late: the span that he freed into has been given up since, with its record,
 * which by now is another's. Of a span that is mailed for nothing there is nothing to merge; a
 * record that stands for large objects has no bitmaps, but what its former owner left where they
 * would be.
 */
void mem_bins_drain(struct mem_bins *bins, mem_ref *empties)
{
    struct mem_map *map = mem_bins_map(bins);

    if (Q_LIKELY(atomic_load_relaxed_u32(&bins->mailbox) == MEM_MAIL_END)) {
        return;
    }
    mem_ref ref = atomic_exchange_acquire_u32(&bins->mailbox, MEM_MAIL_END);
    while (ref != MEM_MAIL_END) {
        struct mem_span *span = mem_map_span(map, ref);
        struct mem_span_cold *cold = mem_span_cold(span);
        ref = atomic_exchange_seq_cst_u32(&cold->mail, 0);
        if (atomic_load_acquire_ptr(&cold->bins) != bins) {
            mem_bins_mail(bins->pool->heap, span); /* it has changed hands since */
        } else if (mem_span_state(span) != MEM_SPAN_LARGE && mem_span_merge_remote(span) > 0 &&
                   mem_span_state(span) != MEM_SPAN_CURRENT) {
            mem_bins_reconsider(bins, span, empties);
        }
    }
}

/* ---- new spans ------------------------------------------------------------------------------ */

static struct mem_span *span_create(struct mem_pool *pool, uint32_t class)
{
    const struct mem_size_class *info = &mem_size_class[class];
    struct mem_map *map = &pool->heap->map;
    struct page_run run = pages_alloc(pool, class);

    if (run.base == NULL) {
        return NULL;
    }
    struct mem_span *span = NULL;
    if (mem_map_prepare(map, pool->lane, run.base, info->page_count) == QUARRY_OK) {
        span = mem_map_take_record(map, class);
    }
    if (span == NULL) {
        pages_free(pool, run.base, info->page_count);
        return NULL;
    }
    mem_span_init(span, class, run.base, run.is_zero);
    return span;
}

void mem_bins_enter_span(struct mem_bins *bins, struct mem_span *span)
{
    struct mem_map *map = mem_bins_map(bins);
    uintptr_t owner = bins->thread == NULL ? 0 : bins->thread->owner;

    mem_span_set_state(span, MEM_SPAN_PARTIAL);
    atomic_store_relaxed_i32(&span->left, 0);
    if (Q_UNLIKELY(bins->pool->heap->is_hardened) && owner != 0) {
        owner |= MEM_OWNER_WATCHED;
    }
    atomic_store_relaxed_uptr(&span->owner, owner);
    atomic_store_release_ptr(&mem_span_cold(span)->bins, bins);
    mem_map_set(map, mem_span_cold(span)->start, mem_size_class[mem_span_class(span)].page_count,
                mem_map_ref(map, span));
    mem_bins_link(bins, &bins->partial[mem_span_class(span)], span);
}

/*
 * A new span's record needs budget as well, which is not reclaimed for under the map's lock: if it
 * fails, room is made for it and the span is tried once more.
 */
struct mem_span *mem_span_create(struct mem_pool *pool, uint32_t class)
{
    struct mem_span *span = span_create(pool, class);

    if (span == NULL && page_heap_reserve(pool->heap->pages, MEM_RECORD_ROOM_BYTES) == QUARRY_OK) {
        page_commit_release(&pool->heap->pages->commit, MEM_RECORD_ROOM_BYTES);
        span = span_create(pool, class);
    }
    return span;
}
