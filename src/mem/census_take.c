/*
 * Taking a census: one walk over the span map, while everything goes on.
 *
 * Nobody is stopped: what changes meanwhile is counted before or after, and figures of one row may
 * be a few objects apart. That no span or pool is looked at after its end is seen to by pools_mutex
 * for lifetimes, and by records being records for ever.
 *
 * Objects that a bin has taken out of its span look like live ones in the bitmaps; they are counted
 * in the bins and taken off.
 *
 * Cost: a cache line or two for each span: about 2 ms for 1 GiB of small objects.
 */
#include <mem/census.h>

#include <string.h>

#include <mem/heap.h>
#include <mem/large.h>

#define LARGE_ROW MEM_CLASSES

/* Who fills in accounts, by the slot of the page heap; `argument` is written before. */
static struct {
    _Atomic(void *) fill; /* mem_census_accounts_function *, or NULL */
    void *argument;
} accounts_of[PAGE_HEAPS_MAX];

/* A plain word that its thread is writing. */
static uint64_t peek(const uint64_t *word)
{
    /* Relaxed: the figure may be any that it has had meanwhile. */
    return atomic_load_relaxed_u64((const _Atomic uint64_t *)word);
}

/* ---- rows ----------------------------------------------------------------------------------- */

static void copy_name(char *name, const char *from)
{
    memset(name, 0, MEM_STATS_NAME_BYTES);
    memcpy(name, from, strnlen(from, MEM_STATS_NAME_BYTES - 1));
}

/* The row of a pool, which stays the pool's when that is gone; the last one is for the rest. */
static struct mem_stats_row *census_row(struct mem_census *census, const struct mem_pool *pool)
{
    uint32_t lifetime = mem_pool_lifetime_number(pool);
    struct mem_stats_row *row = census->row;

    for (uint32_t i = 0; i < census->row_count; i++, row++) {
        if (row->owner == pool->owner && row->lifetime == lifetime) {
            return row;
        }
    }
    if (census->row_count == MEM_STATS_ROWS_MAX) {
        return &census->row[MEM_STATS_ROWS_MAX - 1];
    }
    census->row_count++;
    memset(row, 0, sizeof(*row));
    row->owner = pool->owner;
    row->lifetime = lifetime;
    copy_name(row->owner_name, pool->heap->pages->ledger.owner[pool->owner].name);
    copy_name(row->lifetime_name, pool->lifetime->name);
    return row;
}

static void census_clear(struct mem_census *census)
{
    for (uint32_t i = 0; i < census->row_count; i++) {
        struct mem_stats_row *row = &census->row[i];
        row->span_bytes = row->live_bytes = row->large_bytes = 0;
        row->span_count = row->sparse_span_count = row->sparse_free_bytes = 0;
    }
    memset(census->class, 0, sizeof(census->class));
    memset(&census->totals, 0, sizeof(census->totals));
    census->class_count = MEM_CLASSES + 1;
    for (uint32_t class = 0; class < MEM_CLASSES; class ++) {
        census->class[class].object_bytes = mem_size_class[class].size_bytes;
        census->class[class].span_pages = mem_size_class[class].page_count;
    }
}

/* ---- spans ---------------------------------------------------------------------------------- */

static void count_span(struct mem_census *census, struct mem_span *span)
{
    uint32_t class = mem_span_class(span);
    const struct mem_bins *bins = atomic_load_acquire_ptr(&mem_span_cold(span)->bins);
    if (class >= MEM_CLASSES || bins == NULL) {
        return;
    }
    const struct mem_size_class *info = &mem_size_class[class];
    uint64_t span_bytes = (uint64_t)info->page_count << PAGE_SHIFT;
    uint64_t free_count = size_min_u64(mem_span_count_all_free(span), info->capacity);
    uint64_t live_count = info->capacity - free_count;
    struct mem_stats_row *row = census_row(census, bins->pool);
    struct mem_stats_class *stats = &census->class[class];

    row->span_bytes += span_bytes;
    row->live_bytes += live_count * info->size_bytes;
    row->span_count++;
    if (live_count * 2 < info->capacity) {
        row->sparse_span_count++;
        row->sparse_free_bytes += free_count * info->size_bytes;
    }
    stats->span_count++;
    stats->live_count += live_count;
    stats->capacity_count += info->capacity;
    stats->tail_bytes += span_bytes - (uint64_t)info->capacity * info->size_bytes;
}

static void count_lane(struct mem_census *census, struct mem_heap *heap, struct page_lane *lane)
{
    uint64_t page_count = atomic_load_acquire_u64(&heap->map.lane_pages[lane->id]);

    for (uint64_t page = 0; page < page_count; page++) {
        const char *address = page_lane_address(lane, page);
        struct mem_span *span = mem_map_find(&heap->map, address);
        enum mem_span_state state = mem_span_state(span);
        if (state == MEM_SPAN_CURRENT || state == MEM_SPAN_PARTIAL || state == MEM_SPAN_FULL) {
            if (mem_span_cold(span)->start == address) {
                count_span(census, span);
            }
        }
    }
}

/* ---- bins ----------------------------------------------------------------------------------- */

static void count_bins(struct mem_census *census, const struct mem_bins *bins)
{
    struct mem_stats_row *row = census_row(census, bins->pool);

    for (uint32_t class = 0; class < MEM_CLASSES; class ++) {
        const struct mem_bin *bin = &bins->bin[class];
        struct mem_stats_class *stats = &census->class[class];
        uint64_t cached = bits_count_u64(peek(&bin->mask)) + bits_count_u64(peek(&bin->held));
        uint64_t cached_bytes = cached * mem_size_class[class].size_bytes;
        stats->alloc_count += sat_sub_u64(peek(&bin->taken_count), cached);
        stats->live_count -= size_min_u64(stats->live_count, cached);
        row->live_bytes -= size_min_u64(row->live_bytes, cached_bytes);
        census->totals.thread_cached_bytes += cached_bytes;
    }
}

static void count_threads(struct mem_census *census, struct mem_heap *heap)
{
    os_mutex_lock(&heap->threads_mutex);
    for (struct mem_thread *thread = heap->threads; thread != NULL; thread = thread->next) {
        census->totals.thread_count++;
        for (uint32_t id = 0; id < MEM_POOLS_MAX; id++) {
            if (thread->bins[id] != NULL) {
                count_bins(census, thread->bins[id]);
            }
        }
    }
    os_mutex_unlock(&heap->threads_mutex);
}

static void count_pool(struct mem_census *census, struct mem_pool *pool)
{
    struct mem_large_sum large = mem_large_sum(pool);
    struct mem_stats_class *stats = &census->class[LARGE_ROW];

    count_bins(census, pool->central);
    census_row(census, pool)->large_bytes += large.bytes;
    stats->live_count += large.count;
    stats->capacity_count += large.count;
    stats->alloc_count += large.taken_count;
}

/* ---- the sum -------------------------------------------------------------------------------- */

static void census_sum(struct mem_census *census, struct mem_heap *heap)
{
    struct mem_stats_totals *totals = &census->totals;

    for (uint32_t i = 0; i < census->row_count; i++) {
        totals->span_bytes += census->row[i].span_bytes;
        totals->live_bytes += census->row[i].live_bytes;
        totals->large_bytes += census->row[i].large_bytes;
    }
    for (uint32_t class = 0; class <= LARGE_ROW; class ++) {
        struct mem_stats_class *stats = &census->class[class];
        stats->free_count = sat_sub_u64(stats->alloc_count, stats->live_count);
        totals->span_tail_bytes += stats->tail_bytes;
        totals->alloc_count += stats->alloc_count;
        totals->free_count += stats->free_count;
    }
    uint64_t elsewhere = totals->live_bytes + totals->span_tail_bytes + totals->thread_cached_bytes;
    totals->bin_cached_bytes = sat_sub_u64(totals->span_bytes, elsewhere);
    totals->refused_count = atomic_load_relaxed_u64(&heap->pages->refused_count);
    totals->metadata_bytes = mem_map_bytes(&heap->map);
}

static bool span_of(void *argument, const void *object, uint32_t *ret_capacity, uint32_t *ret_used,
                    uint64_t *ret_span_bytes, uint64_t *ret_span_id)
{
    struct mem_heap *heap = argument;
    struct mem_span *span = mem_map_find(&heap->map, object);

    if (mem_span_index(span, object) >= span->capacity || mem_span_class(span) >= MEM_CLASSES) {
        return false;
    }
    *ret_capacity = (uint32_t)span->capacity;
    *ret_used = *ret_capacity - mem_span_count_all_free(span);
    *ret_span_bytes = (uint64_t)mem_size_class[mem_span_class(span)].page_count << PAGE_SHIFT;
    *ret_span_id = mem_map_ref(&heap->map, span);
    return true;
}

/* ---- accounts ------------------------------------------------------------------------------- */

void mem_census_set_accounts(struct page_heap *pages, mem_census_accounts_function *fill,
                             void *argument)
{
    accounts_of[pages->slot].argument = argument;
    /* Pairs with the acquire in census_accounts. */
    atomic_store_release_ptr(&accounts_of[pages->slot].fill, (void *)fill);
}

static void census_accounts(struct mem_census *census, const struct page_heap *pages)
{
    mem_census_accounts_function *fill =
        (mem_census_accounts_function *)atomic_load_acquire_ptr(&accounts_of[pages->slot].fill);
    struct mem_stats_totals *totals = &census->totals;

    census->account_count = 0;
    totals->set_aside_goal_bytes = atomic_load_relaxed_u64(&pages->reserve.goal_bytes);
    totals->set_aside_paid_bytes = atomic_load_relaxed_u64(&pages->reserve.used_bytes);
    if (fill != NULL) {
        fill(accounts_of[pages->slot].argument, census);
    }
}

void mem_census_take(struct mem_heap *heap, struct mem_census *census)
{
    census_clear(census);
    os_mutex_lock(&heap->pools_mutex);
    for (uint32_t id = 0; id < PAGE_LANES_MAX; id++) {
        struct page_lane *lane = atomic_load_acquire_ptr(&heap->pages->lane[id]);
        if (lane != NULL && atomic_load_relaxed_u64(&heap->map.lane_pages[id]) > 0) {
            count_lane(census, heap, lane);
        }
    }
    count_threads(census, heap);
    for (uint32_t id = 0; id < MEM_POOLS_MAX; id++) {
        struct mem_pool *pool = atomic_load_acquire_ptr(&heap->pool[id]);
        if (pool != NULL) {
            count_pool(census, pool);
        }
    }
    census_sum(census, heap);
    os_mutex_unlock(&heap->pools_mutex);
    census_accounts(census, heap->pages);
    (void)page_heap_ledger(heap->pages, &census->totals.ledger, NULL, 0);
    census->limit_bytes = census->totals.ledger.limit_bytes;
    census->heap = heap->pages;
    census->span_of = span_of;
    census->argument = heap;
}
