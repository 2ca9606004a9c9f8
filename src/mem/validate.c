/*
 * Checks a whole object heap, everything stopped.
 *
 * Three walks that must meet the same spans: over the records, one behind the other from the first;
 * over the map, page by page; over the lists and bins of every thread and pool. A span says itself
 * whose it is and what it is doing, which names one list; so when every member of a list agrees
 * with it, and the three counts are the same, each span is where it belongs, once.
 *
 * Locking: all there is, in order of rank. Nothing is allocated: lists are held against their
 * bounds instead of a set of what was met.
 */
#include <mem/validate.h>

#include <mem/bins.h>

struct inspection {
    struct mem_heap *heap;
    struct quarry_error *error;
    bool is_child; /* of a fork: what other threads had in hand is gone */
    uint64_t record_count;
    uint64_t unused_count; /* records that are nobody's */
    uint64_t used_count;   /* of spans */
    uint64_t mailed_count; /* that say they are in a mailbox */
    uint64_t letter_count; /* met in mailboxes */
    uint64_t mapped_count; /* spans met on the map */
    uint64_t listed_count; /* spans met in lists and bins */
    /* by pool */
    uint64_t pages[MEM_POOLS_MAX];
    uint64_t large_pages[MEM_POOLS_MAX];
    uint64_t large_count[MEM_POOLS_MAX];
};

static bool wrong(struct inspection *in, const char *what)
{
    (void)error_set(in->error, QUARRY_CORRUPT, "object heap: %s", what);
    return false;
}

static bool span_wrong(struct inspection *in, struct mem_span *span, const char *what)
{
    (void)error_set(in->error, QUARRY_CORRUPT, "span %u at %p, class %u, state %u: %s",
                    mem_map_ref(&in->heap->map, span), (void *)mem_span_cold(span)->start,
                    mem_span_class(span), (unsigned)mem_span_state(span), what);
    return false;
}

static bool is_used(const struct mem_span *span)
{
    enum mem_span_state state = mem_span_state(span);

    return state == MEM_SPAN_CURRENT || state == MEM_SPAN_PARTIAL || state == MEM_SPAN_FULL;
}

static const struct mem_bins *bins_of(struct mem_span *span)
{
    return atomic_load_acquire_ptr(&mem_span_cold(span)->bins);
}

/* The pool of the heap that bins are of, or NULL when they are of none. */
static struct mem_pool *pool_of(struct inspection *in, const struct mem_bins *bins)
{
    if (bins == NULL || bins->pool == NULL || bins->pool->id >= MEM_POOLS_MAX) {
        return NULL;
    }
    struct mem_pool *pool = atomic_load_acquire_ptr(&in->heap->pool[bins->pool->id]);
    return pool == bins->pool ? pool : NULL;
}

/* The record that a ref names, or NULL when no record can be there. */
static struct mem_span *record_of(struct inspection *in, mem_ref ref)
{
    const struct mem_map *map = &in->heap->map;
    uint64_t offset = (uint64_t)ref * 8 - sizeof(struct mem_span_cold);

    if (offset < map->record_first || offset >= map->record_end ||
        (offset - map->record_first) % MEM_RECORD_UNIT_BYTES != 0) {
        return NULL;
    }
    return mem_map_span(map, ref);
}

/* ---- records -------------------------------------------------------------------------------- */

static bool inspect_constants(struct inspection *in, struct mem_span *span)
{
    const struct mem_span_cold *cold = mem_span_cold(span);

    if (mem_span_class(span) >= MEM_CLASSES) {
        return span_wrong(in, span, "there is no such class");
    }
    const struct mem_size_class *info = &mem_size_class[mem_span_class(span)];
    if (span->capacity != info->capacity || span->inverse != info->inverse ||
        span->shift != info->shift || span->bias != 0 - (uint64_t)cold->start * info->inverse) {
        return span_wrong(in, span, "its constants are not those of its class and place");
    }
    return cold->fresh >> info->word_count == 0 ||
           span_wrong(in, span, "a word is fresh that it does not have");
}

static bool inspect_words(struct inspection *in, struct mem_span *span)
{
    for (uint32_t word = 0; word < mem_span_words(span); word++) {
        uint64_t mask = mem_span_mask(span, word);
        uint64_t free = atomic_load_acquire_u64(mem_span_free(span, word));
        uint64_t remote = atomic_load_acquire_u64(mem_span_remote(span, word));
        if (((free | remote) & ~mask) != 0) {
            return span_wrong(in, span, "bits beyond its last object are set");
        }
        if ((free & remote) != 0) {
            return span_wrong(in, span, "an object is free twice");
        }
        if ((mem_span_cold(span)->fresh >> word & 1) != 0 && free != mask) {
            return span_wrong(in, span, "a fresh word has objects in use");
        }
        if (remote != 0 && !in->is_child &&
            atomic_load_relaxed_u32(&mem_span_cold(span)->mail) == 0) {
            return span_wrong(in, span, "it has remote frees and is in no mailbox");
        }
    }
    return true;
}

static bool inspect_record(struct inspection *in, struct mem_span *span)
{
    const struct mem_bins *bins = bins_of(span);

    in->record_count++;
    in->mailed_count += atomic_load_relaxed_u32(&mem_span_cold(span)->mail) != 0;
    if (mem_span_state(span) == MEM_SPAN_UNUSED) {
        in->unused_count++;
        return bins == NULL || span_wrong(in, span, "it is unused and has bins");
    }
    const struct mem_pool *pool = pool_of(in, bins);
    if (pool == NULL) {
        return span_wrong(in, span, "its bins are of no pool");
    }
    if (mem_span_state(span) == MEM_SPAN_LARGE) {
        return span->capacity == 0 && (span == pool->large || span == pool->large_sampled)
                   ? true
                   : span_wrong(in, span, "it stands for large objects of no pool");
    }
    if (!is_used(span)) {
        return span_wrong(in, span, "there is no such state");
    }
    in->used_count++;
    return inspect_constants(in, span) && inspect_words(in, span);
}

static bool inspect_records(struct inspection *in)
{
    const struct mem_map *map = &in->heap->map;
    size_t at = map->record_first;

    while (at < map->record_end) {
        struct mem_span *span =
            (struct mem_span *)(void *)(map->base + at + sizeof(struct mem_span_cold));
        uint32_t class = mem_span_class(span);
        if (class >= MEM_CLASSES || at + mem_map_record_bytes(class) > map->record_end) {
            return span_wrong(in, span, "its record has no length of one");
        }
        size_t bytes = mem_map_record_bytes(class);
        if (!inspect_record(in, span)) {
            return false;
        }
        at += bytes;
    }
    return true;
}

static bool inspect_unused(struct inspection *in)
{
    const struct mem_map *map = &in->heap->map;
    uint64_t count = 0;

    for (uint32_t i = 0; i < MEM_RECORD_SIZES; i++) {
        for (mem_ref ref = map->unused[i]; ref != 0; count++) {
            struct mem_span *span = record_of(in, ref);
            if (span == NULL || count > in->unused_count) {
                return wrong(in, "a list of unused records leads astray");
            }
            const struct mem_span_cold *cold = mem_span_cold(span);
            if (mem_span_state(span) != MEM_SPAN_UNUSED ||
                mem_map_record_bytes(cold->class) != (i + 1) * MEM_RECORD_UNIT_BYTES) {
                return span_wrong(in, span, "it does not belong in its list of unused records");
            }
            ref = cold->next;
        }
    }
    return count == in->unused_count || in->is_child ||
           wrong(in, "a record is nobody's, and in no list of unused ones");
}

/* ---- the map -------------------------------------------------------------------------------- */

static mem_ref entry_at(struct inspection *in, const void *address)
{
    return atomic_load_relaxed_u32(mem_map_entry(&in->heap->map, address));
}

static bool are_entries(struct inspection *in, const char *start, uint64_t page_count, mem_ref ref)
{
    for (uint64_t i = 0; i < page_count; i++) {
        if (entry_at(in, start + (i << PAGE_SHIFT)) != ref) {
            return false;
        }
    }
    return true;
}

/* A span whose first page's entry was met. */
static bool inspect_mapped(struct inspection *in, struct page_lane *lane, struct mem_span *span,
                           const char *address, uint64_t *ret_page_count)
{
    const struct mem_pool *pool = pool_of(in, bins_of(span));
    uint64_t page_count = mem_size_class[mem_span_class(span)].page_count;

    if (mem_span_cold(span)->start != address) {
        return span_wrong(in, span, "the map has it where it is not");
    }
    if (!are_entries(in, address, page_count, mem_map_ref(&in->heap->map, span))) {
        return span_wrong(in, span, "the map lacks a page of it");
    }
    uint64_t run_pages = page_lane_run_pages(lane, address);
    bool is_guarded = in->heap->is_hardened && run_pages == page_count + 1;
    if (pool->lane != lane || (run_pages != page_count && !is_guarded) ||
        page_lane_run_owner(lane, address) != pool->owner) {
        return span_wrong(in, span, "its pages are not a run of its pool's");
    }
    in->mapped_count++;
    in->pages[pool->id] += run_pages;
    *ret_page_count = run_pages;
    return true;
}

/* A large object whose first page's entry was met. */
static bool inspect_large(struct inspection *in, struct page_lane *lane, struct mem_span *span,
                          const char *address, uint64_t end_page, uint64_t *ret_page_count)
{
    const struct mem_pool *pool = pool_of(in, bins_of(span));
    uint64_t page = page_lane_page(lane, address);
    uint64_t page_count = page_lane_run_pages(lane, address);

    if (page_count == 0 || pool->lane != lane ||
        page_lane_run_owner(lane, address) != pool->owner) {
        return span_wrong(in, span, "a large object is not a run of its pool's");
    }
    in->pages[pool->id] += page_count;
    in->large_pages[pool->id] += page_count;
    in->large_count[pool->id]++;
    *ret_page_count = size_min_u64(page_count, end_page - page);
    return are_entries(in, address + PAGE_BYTES, *ret_page_count - 1, 0) ||
           span_wrong(in, span, "the map has something inside a large object");
}

static bool inspect_lane(struct inspection *in, struct page_lane *lane)
{
    uint64_t page_end = atomic_load_acquire_u64(&in->heap->map.lane_pages[lane->id]);
    uint64_t page_count;

    for (uint64_t page = 0; page < page_end; page += page_count) {
        const char *address = page_lane_address(lane, page);
        mem_ref ref = entry_at(in, address);
        struct mem_span *span = record_of(in, ref);
        bool is_right = true;
        page_count = 1;
        if (ref != 0 && span == NULL) {
            return wrong(in, "the map names a record that there is not");
        }
        if (span != NULL && mem_span_state(span) == MEM_SPAN_LARGE) {
            is_right = inspect_large(in, lane, span, address, page_end, &page_count);
        } else if (span != NULL && is_used(span)) {
            is_right = inspect_mapped(in, lane, span, address, &page_count);
        } else if (span != NULL && !in->is_child) {
            is_right = span_wrong(in, span, "the map has it though it is nobody's");
        }
        if (!is_right) {
            return false;
        }
    }
    return true;
}

static bool inspect_map(struct inspection *in)
{
    for (uint32_t id = 0; id < PAGE_LANES_MAX; id++) {
        struct page_lane *lane = atomic_load_acquire_ptr(&in->heap->pages->lane[id]);
        if (lane != NULL && !inspect_lane(in, lane)) {
            return false;
        }
    }
    return in->mapped_count == in->used_count || wrong(in, "a span is not on the map");
}

/* ---- lists and bins ------------------------------------------------------------------------- */

/* What holds of every span of the bins. */
static bool inspect_member(struct inspection *in, const struct mem_bins *bins,
                           struct mem_span *span)
{
    uintptr_t owner = atomic_load_relaxed_uptr(&span->owner) & ~MEM_OWNER_WATCHED;

    in->listed_count++;
    if (bins_of(span) != bins) {
        return span_wrong(in, span, "it is in bins that are not its own");
    }
    return owner == (bins->thread != NULL ? bins->thread->owner : 0) ||
           span_wrong(in, span, "its owner is not its bins' thread");
}

/* Frees that its owner is to count before it looks. */
static int32_t left_expected(struct mem_span *span)
{
    uint32_t free_count = mem_span_count_free(span);

    if (mem_span_state(span) == MEM_SPAN_FULL) {
        return (int32_t)(mem_size_class[mem_span_class(span)].ready_count - free_count);
    }
    return (int32_t)((uint32_t)span->capacity - free_count);
}

static bool inspect_list(struct inspection *in, const struct mem_bins *bins, mem_ref first,
                         enum mem_span_state state, uint32_t class, uint64_t *ret_count)
{
    mem_ref previous = 0;
    uint64_t count = 0;

    for (mem_ref ref = first; ref != 0; count++) {
        struct mem_span *span = record_of(in, ref);
        if (span == NULL || count > in->used_count) {
            return wrong(in, "a list of spans leads astray");
        }
        if (!inspect_member(in, bins, span)) {
            return false;
        }
        if (mem_span_state(span) != state || mem_span_cold(span)->previous != previous ||
            mem_span_class(span) != class) {
            return span_wrong(in, span, "it does not belong in its list");
        }
        if (bins->thread != NULL && atomic_load_relaxed_i32(&span->left) != left_expected(span)) {
            return span_wrong(in, span, "it waits for another number of frees");
        }
        previous = ref;
        ref = mem_span_cold(span)->next;
    }
    *ret_count = count;
    return true;
}

static bool inspect_bin(struct inspection *in, const struct mem_bins *bins, uint32_t class)
{
    const struct mem_bin *bin = &bins->bin[class];
    struct mem_span *span = bin->span;
    uint64_t taken = bin->mask | bin->held;

    if (span == NULL) {
        return taken == 0 || wrong(in, "a bin has objects of no span");
    }
    if (bins->thread == NULL || !is_used(span)) {
        return span_wrong(in, span, "it is current where it cannot be");
    }
    if (!inspect_member(in, bins, span)) {
        return false;
    }
    if (mem_span_state(span) != MEM_SPAN_CURRENT || mem_span_class(span) != class ||
        (!bin->is_direct && atomic_load_relaxed_i32(&span->left) <= MEM_SPAN_LEFT_CURRENT / 2)) {
        return span_wrong(in, span, "it is in a bin and not current");
    }
    if (taken == 0) {
        return true;
    }
    const char *base =
        mem_span_cold(span)->start + (uint64_t)bin->word * 64 * mem_size_class[class].size_bytes;
    if (bin->word >= mem_span_words(span) || bin->base != base || (bin->mask & bin->held) != 0 ||
        (taken & ~mem_span_mask(span, bin->word)) != 0) {
        return span_wrong(in, span, "its bin holds what it does not have");
    }
    uint64_t free = atomic_load_relaxed_u64(mem_span_free(span, bin->word)) |
                    atomic_load_relaxed_u64(mem_span_remote(span, bin->word));
    const _Atomic uint64_t *words = bin->is_direct
                                        ? (const _Atomic uint64_t *)(const void *)&bin->mask
                                        : mem_span_free(span, 0);
    if (span->words != words) {
        return span_wrong(in, span, "its owner's frees go astray");
    }
    return (taken & free) == 0 || span_wrong(in, span, "its bin holds what is free");
}

static bool inspect_mailbox(struct inspection *in, const struct mem_bins *bins)
{
    mem_ref ref = atomic_load_acquire_u32(&bins->mailbox);

    while (ref != MEM_MAIL_END) {
        struct mem_span *span = record_of(in, ref);
        if (span == NULL || ++in->letter_count > in->record_count) {
            return wrong(in, "a mailbox leads astray");
        }
        ref = atomic_load_acquire_u32(&mem_span_cold(span)->mail);
    }
    return true;
}

static bool inspect_bins(struct inspection *in, const struct mem_bins *bins)
{
    uint64_t count, partial_count = 0;

    for (uint32_t class = 0; class < MEM_CLASSES; class ++) {
        uint64_t full_count;
        if (!inspect_list(in, bins, bins->partial[class], MEM_SPAN_PARTIAL, class, &count) ||
            !inspect_list(in, bins, bins->full[class], MEM_SPAN_FULL, class, &full_count) ||
            !inspect_bin(in, bins, class)) {
            return false;
        }
        partial_count += count;
    }
    if (bins->thread == NULL &&
        partial_count != atomic_load_relaxed_u32(&bins->pool->central_count)) {
        return wrong(in, "a pool's count of central spans is another");
    }
    return inspect_mailbox(in, bins);
}

static bool inspect_thread(struct inspection *in, const struct mem_thread *thread)
{
    for (uint32_t id = 0; id < MEM_POOLS_MAX; id++) {
        const struct mem_bins *bins = thread->bins[id];
        if (bins == NULL) {
            continue;
        }
        if (pool_of(in, bins) == NULL || bins->pool->id != id || bins->thread != thread) {
            return wrong(in, "a thread has bins of no pool");
        }
        if (!inspect_bins(in, bins)) {
            return false;
        }
    }
    return true;
}

static bool inspect_all_bins(struct inspection *in)
{
    struct mem_heap *heap = in->heap;

    for (struct mem_thread *thread = heap->threads; thread != NULL; thread = thread->next) {
        if (!inspect_thread(in, thread)) {
            return false;
        }
    }
    for (uint32_t id = 0; id < MEM_POOLS_MAX; id++) {
        struct mem_pool *pool = atomic_load_acquire_ptr(&heap->pool[id]);
        if (pool != NULL && !inspect_bins(in, pool->central)) {
            return false;
        }
    }
    if (in->listed_count != in->used_count) {
        return wrong(in, "a span is in no list and no bin");
    }
    return in->letter_count == in->mailed_count || in->is_child ||
           wrong(in, "a span says it was mailed, and is in no mailbox");
}

/* ---- the ledger ----------------------------------------------------------------------------- */

static void large_add(const struct mem_bins *bins, int64_t *bytes, int64_t *count)
{
    *bytes += atomic_load_relaxed_i64(&bins->large_bytes);
    *count += atomic_load_relaxed_i64(&bins->large_count);
}

static bool inspect_large_sum(struct inspection *in, const struct mem_pool *pool)
{
    int64_t bytes = 0, count = 0;

    large_add(pool->central, &bytes, &count);
    for (const struct mem_thread *thread = in->heap->threads; thread != NULL;
         thread = thread->next) {
        if (thread->bins[pool->id] != NULL) {
            large_add(thread->bins[pool->id], &bytes, &count);
        }
    }
    return (bytes == (int64_t)(in->large_pages[pool->id] << PAGE_SHIFT) &&
            count == (int64_t)in->large_count[pool->id]) ||
           wrong(in, "a pool has counted other large objects than it has");
}

/* Pages of all pools of an owner in a lifetime: a ledger knows no pools. */
static uint64_t pages_of(struct inspection *in, const struct mem_pool *like)
{
    uint64_t pages = 0;

    for (uint32_t id = 0; id < MEM_POOLS_MAX; id++) {
        const struct mem_pool *pool = atomic_load_acquire_ptr(&in->heap->pool[id]);
        if (pool != NULL && pool->lane == like->lane && pool->owner == like->owner) {
            pages += in->pages[id];
        }
    }
    return pages;
}

static bool inspect_pool_pages(struct inspection *in, const struct mem_pool *pool)
{
    uint64_t pages = pages_of(in, pool);
    uint64_t ledger = page_heap_owner_pages_stopped(in->heap->pages, pool->owner, pool->lane->id);

    if (pages == ledger || (in->is_child && pages < ledger)) {
        return in->is_child || inspect_large_sum(in, pool);
    }
    (void)error_set(in->error, QUARRY_CORRUPT,
                    "owner %u in lifetime '%s': %llu pages of objects, %llu in the ledger",
                    pool->owner, pool->lifetime->name, (unsigned long long)pages,
                    (unsigned long long)ledger);
    return false;
}

static bool inspect_pages(struct inspection *in)
{
    for (uint32_t id = 0; id < MEM_POOLS_MAX; id++) {
        const struct mem_pool *pool = atomic_load_acquire_ptr(&in->heap->pool[id]);
        if (pool != NULL && !inspect_pool_pages(in, pool)) {
            return false;
        }
    }
    return true;
}

/* ---- all of it ------------------------------------------------------------------------------ */

/* Every lock there is, in order; the analysis cannot count pools. */
static void stop_all(struct mem_heap *heap) Q_NO_THREAD_SAFETY_ANALYSIS
{
    os_mutex_lock(&heap->pools_mutex);
    mem_threads_stop(heap);
    for (uint32_t id = 0; id < MEM_POOLS_MAX; id++) {
        struct mem_pool *pool = atomic_load_acquire_ptr(&heap->pool[id]);
        if (pool != NULL) {
            os_mutex_lock(&pool->mutex);
        }
    }
    os_mutex_lock(&heap->map.mutex);
    page_heap_stop(heap->pages);
}

static void resume_all(struct mem_heap *heap) Q_NO_THREAD_SAFETY_ANALYSIS
{
    page_heap_resume(heap->pages);
    os_mutex_unlock(&heap->map.mutex);
    for (uint32_t id = 0; id < MEM_POOLS_MAX; id++) {
        struct mem_pool *pool = atomic_load_acquire_ptr(&heap->pool[id]);
        if (pool != NULL) {
            os_mutex_unlock(&pool->mutex);
        }
    }
    mem_threads_resume(heap);
    os_mutex_unlock(&heap->pools_mutex);
}

static enum quarry_status validate(struct mem_heap *heap, bool is_child, struct quarry_error *error)
{
    struct inspection in = {.heap = heap, .error = error, .is_child = is_child};

    stop_all(heap);
    bool is_sound = inspect_records(&in) && inspect_unused(&in) && inspect_map(&in) &&
                    inspect_all_bins(&in) && inspect_pages(&in);
    resume_all(heap);
    return is_sound ? QUARRY_OK : QUARRY_CORRUPT;
}

enum quarry_status mem_heap_validate(struct mem_heap *heap, struct quarry_error *error)
{
    return validate(heap, false, error);
}

enum quarry_status mem_heap_validate_child(struct mem_heap *heap, struct quarry_error *error)
{
    return validate(heap, true, error);
}
