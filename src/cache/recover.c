/*
 * Recovery: from the pages of a file to items that are found.
 *
 *   1. notes      all entries of the tables are read: classes must agree                one thread
 *   2. runs       each page's run is adopted, as far as the cache's size goes           one thread
 *   3. cells      each cell is judged; the slab adopts the page                         all threads
 *   4. items      enter indexes, which have been made large enough for them             all threads
 *   5. extents    chains of large items are followed; what no chain has reached is free one thread
 *
 * A cell is an item if its first word says VALID, and all that it says fits: lengths its cell, the
 * tenant one that there is. That word is written last when an item is made, and cleared before its
 * cell is given back, so a process that was killed has left no half of an item that says VALID. It
 * has left, at most, of each key that somebody was changing, the item before and the one after: the
 * one of the higher sequence number stays. And cells that were moved: two that are the same. And
 * extents of a value that was not whole yet: nothing leads to them. Whoever was told that a key was
 * deleted was told so after its item's word was cleared.
 *
 * Items come before it is known which of their copies is the newest, so the index holds the newest
 * so far, and the older one is dropped when the two meet. Sequence numbers are 40 bits, and are
 * completed by a counter that is above them all: what the file noted last, and more than can have
 * been given since.
 *
 * Extents are claimed, by a bit that only recovery knows, in the walk along the chain that leads
 * to them: of two chains that run into each other one is wrong, and which it is cannot be told, so
 * the second goes. A chain must have as many bytes as its item says, and each of its extents the
 * item's tenant and hash.
 *
 * A page for which there is no room any more, because the cache has been made smaller, is left out,
 * as one that a damaged note puts over another: its entry is cleared, and its run freed. Room for
 * the index is counted ahead, for as many items as there are cells.
 *
 * All of it reads memory as it lies, front to back: heads in step 3, heads and keys in step 4,
 * where the index's buckets are fetched a batch ahead. One pass would do, with indexes that grow as
 * items come, but growing costs more than the second look at a head: each item is moved five times.
 * And a cache that was full has no room for an index that grows, only for one that has grown.
 * Considered: an index kept in the file, to be mapped as it is. It would be written with each
 * change, would have to be checked as a whole against the cells before anybody believed it, and
 * saves 0.2 µs an item once.
 *
 * Invariants
 *   1. No cell is taken before the last thread is done, and cells are retired: a page stays as long
 *      as a thread is inside the epoch with it, and who compares an item with one that another
 *      thread drops compares what it was.
 *   2. After step 3 a cell of the slab is live if and only if it is VALID, and was judged.
 */
#include <cache/recover.h>

#include <cache/recover_parts.h>

/* Granules that a thread takes at a time: 2 MiB of the lane. */
#define STRIDE_GRANULES 64u
/* What an item needs besides its cell: 11.4 bytes in an index, 2.3 in its page's record. */
#define BYTES_AN_ITEM 15u
/* What an index has room for from the beginning. */
#define PRESIZE_FROM 700u
/* Sequences that can have been given since one was noted. */
#define SEQUENCES_SINCE_NOTED (UINT64_C(1) << 28)
/* More than will ever be given: a file that notes more is damaged. */
#define SEQUENCE_MAX (UINT64_C(1) << 60)
#define THREADS_MAX  64u
/* Of the cache's size, for each thread but the first: some ms of work. */
#define BYTES_A_THREAD Q_MIB(32)

/* ---- notes and runs ------------------------------------------------------------------------- */

/* The classes that the file's pages are of. Errors: CORRUPT. */
static enum quarry_status classes_read(const struct cache_file *file, uint32_t *cell_bytes,
                                       uint32_t *ret_count)
{
    struct cache_file_page noted;
    uint64_t granule = 0;
    enum quarry_status status;

    *ret_count = 0;
    while ((status = cache_file_next_page(file, &granule, UINT64_MAX, &noted)) == QUARRY_OK) {
        if (cell_bytes[noted.class_id] != 0 && cell_bytes[noted.class_id] != noted.cell_bytes) {
            return QUARRY_CORRUPT;
        }
        cell_bytes[noted.class_id] = noted.cell_bytes;
        *ret_count = (uint32_t)size_max_u64(*ret_count, (uint64_t)noted.class_id + 1);
    }
    return status == QUARRY_NOT_FOUND ? QUARRY_OK : status;
}

static enum quarry_status classes_adopt(struct cache_recovery *recovery)
{
    uint32_t cell_bytes[SLAB_CLASSES_MAX] = {0}, class_count;
    enum quarry_status status = classes_read(recovery->file, cell_bytes, &class_count);

    if (status == QUARRY_OK) {
        status = quarry_slab_adopt_classes(recovery->cache->slab, cell_bytes, class_count);
    }
    return status == QUARRY_BAD_INPUT || status == QUARRY_TOO_MANY ? QUARRY_CORRUPT : status;
}

/* What a page needs: its run, and what its record and an index take for so many items. */
static uint64_t page_needs(const struct cache_file_page *noted)
{
    uint64_t bytes = (uint64_t)noted->page_count * QUARRY_PAGE_BYTES;

    return bytes + quarry_slab_page_cells(noted->cell_bytes, bytes) * (uint64_t)BYTES_AN_ITEM;
}

/* By how much what all pages need is above what the cache may have. */
static uint64_t pages_excess(const struct cache_recovery *recovery)
{
    struct quarry_account_state state;
    struct cache_file_page noted;
    uint64_t granule = 0, needed = 0;

    quarry_account_read(recovery->cache->account, &state);
    needed = state.charged_bytes + recovery->stack_count * OS_THREAD_STACK_BYTES;
    while (cache_file_next_page(recovery->file, &granule, UINT64_MAX, &noted) == QUARRY_OK) {
        needed += page_needs(&noted);
    }
    /* Relaxed: nobody else is there yet. */
    uint64_t size_bytes = atomic_load_relaxed_u64(&recovery->cache->size_bytes);
    return needed > size_bytes ? needed - size_bytes : 0;
}

/* Leaves pages out that there is no room for, and little more: the last one is the smallest. */
static void pages_leave_out(struct cache_recovery *recovery)
{
    struct cache_file *file = recovery->file;
    uint64_t excess = pages_excess(recovery), granule = 0, least = UINT64_MAX, smallest = 0;
    struct cache_file_page noted;

    while (excess != 0 && cache_file_next_page(file, &granule, UINT64_MAX, &noted) == QUARRY_OK) {
        uint64_t needed = page_needs(&noted);
        if (needed <= excess) {
            cache_file_remove_page(file, noted.lane_page);
            excess -= needed;
        } else if (needed < least) {
            least = needed;
            smallest = noted.lane_page;
        }
    }
    if (excess != 0 && smallest != 0) {
        cache_file_remove_page(file, smallest);
    }
}

/* Adopts the runs of pages, as many as there is room for. */
static void runs_adopt(struct cache_recovery *recovery)
{
    struct cache_file_page noted;
    uint64_t granule = 0;
    void *base;

    pages_leave_out(recovery);
    while (cache_file_next_page(recovery->file, &granule, UINT64_MAX, &noted) == QUARRY_OK) {
        if (cache_file_adopt(recovery->file, noted.lane_page, noted.page_count, &base) !=
            QUARRY_OK) {
            cache_file_remove_page(recovery->file, noted.lane_page);
        }
    }
}

/* They are not charged any more: the lane is about to end. */
static void runs_uncharge(struct cache_recovery *recovery)
{
    struct cache_file_page noted;
    uint64_t granule = 0;

    while (cache_file_next_page(recovery->file, &granule, UINT64_MAX, &noted) == QUARRY_OK) {
        quarry_account_uncharge(recovery->file->account,
                                (uint64_t)noted.page_count * QUARRY_PAGE_BYTES);
    }
}

/* ---- threads -------------------------------------------------------------------------------- */

/* Takes a step for pages as long as there are any. */
static void worker_run(void *argument)
{
    struct cache_recover_worker *worker = argument;
    struct cache_recovery *recovery = worker->recovery;
    struct cache_file_page noted;

    for (;;) {
        /* Relaxed: a number of its own for each. */
        uint64_t granule = atomic_add_relaxed_u64(&recovery->next_granule, STRIDE_GRANULES);
        uint64_t end = granule + STRIDE_GRANULES;
        if (granule >= recovery->file->granule_count) {
            return;
        }
        while (cache_file_next_page(recovery->file, &granule, end, &noted) == QUARRY_OK) {
            worker->step(worker, &noted);
        }
    }
}

/* Starts a thread, where there is memory for its stack. */
static void worker_start(struct cache_recover_worker *worker)
{
    struct quarry_cache *cache = worker->recovery->cache;

    worker->stack = cache_memory_take(cache, OS_THREAD_STACK_BYTES);
    if (worker->stack != NULL &&
        os_thread_start(&worker->thread, "quarry-recover", worker->stack, OS_THREAD_STACK_BYTES,
                        worker_run, worker) != QUARRY_OK) {
        cache_memory_give(cache, worker->stack, OS_THREAD_STACK_BYTES);
        worker->stack = NULL;
    }
}

static void worker_join(struct cache_recover_worker *worker)
{
    if (worker->stack != NULL) {
        os_thread_join(&worker->thread);
        cache_memory_give(worker->recovery->cache, worker->stack, OS_THREAD_STACK_BYTES);
        worker->stack = NULL;
    }
}

/* Takes a step for all pages, by all threads. */
static void workers_run(struct cache_recover_worker *workers, uint32_t count,
                        cache_recover_step *step)
{
    atomic_store_relaxed_u64(&workers->recovery->next_granule, 0);
    for (uint32_t i = 0; i < count; i++) {
        workers[i].step = step;
        if (i != 0) {
            worker_start(&workers[i]);
        }
    }
    worker_run(&workers[0]);
    for (uint32_t i = 0; i < count; i++) {
        worker_join(&workers[i]);
    }
}

/* ---- all of it ------------------------------------------------------------------------------ */

static void refs_free(struct quarry_cache *cache, struct cache_ref_chunk *chunk)
{
    while (chunk != NULL) {
        struct cache_ref_chunk *next = chunk->next;
        cache_memory_give(cache, chunk, sizeof(*chunk));
        chunk = next;
    }
}

/* What there is now: some may have been evicted for the index on the way. */
static void items_sum(struct quarry_cache *cache)
{
    struct quarry_cache_recovery *sums = &cache->recovery;

    for (uint32_t id = 0; id < cache->tenants_max; id++) {
        const struct quarry_cache_tenant *tenant = cache_tenant_of(cache, id);
        if (tenant != NULL) {
            sums->item_count += cache_count_read(tenant, CACHE_COUNT_ITEMS);
            sums->item_bytes += cache_count_read(tenant, CACHE_COUNT_ITEM_BYTES);
        }
    }
}

/* Indexes are as large as they will have to be, where there is memory for that. */
static void indexes_presize(struct cache_recovery *recovery)
{
    for (uint32_t id = 0; id < recovery->tenant_limit; id++) {
        struct quarry_cache_tenant *tenant = cache_tenant_of(recovery->cache, id);
        uint64_t item_count = atomic_load_relaxed_u64(&recovery->item_counts[id]);
        if (tenant != NULL && item_count > PRESIZE_FROM) {
            (void)cache_index_presize(&tenant->index, item_count);
        }
    }
}

/* No sequence number is given a second time: some since the last note went with their items. */
static void sequence_restore(struct cache_recovery *recovery,
                             const struct cache_recover_worker *workers, uint32_t count)
{
    uint64_t last = atomic_load_relaxed_u64(&recovery->file->head->sequence);

    for (uint32_t i = 0; i < count; i++) {
        last = size_max_u64(last, workers[i].sequence_max);
    }
    last += recovery->file->was_clean ? 0 : SEQUENCES_SINCE_NOTED;
    atomic_store_relaxed_u64(&recovery->cache->sequence, last);
}

/* Steps 3 to 5. */
static void pages_recover(struct cache_recovery *recovery, struct cache_recover_worker *workers,
                          uint32_t count)
{
    struct quarry_cache *cache = recovery->cache;

    workers_run(workers, count, cache_recover_adopt_page);
    for (uint32_t i = 0; i < count; i++) {
        cache_recover_count(&workers[i]);
    }
    indexes_presize(recovery);
    workers_run(workers, count, cache_recover_enter_page);
    sequence_restore(recovery, workers, count);
    quarry_epoch_enter(cache->epoch);
    for (uint32_t i = 0; i < count; i++) {
        cache_recover_enter_large(&workers[i]);
    }
    for (uint32_t i = 0; i < count; i++) {
        cache_recover_sweep_extents(&workers[i]);
        refs_free(cache, workers[i].large);
        refs_free(cache, workers[i].extents);
        cache->recovery.dropped_count += workers[i].dropped_count;
    }
    quarry_epoch_leave(cache->epoch);
    items_sum(cache);
}

/* Memory for the threads, and counts for the tenants. */
static struct cache_recover_worker *workers_take(struct cache_recovery *recovery, uint32_t count)
{
    struct quarry_cache *cache = recovery->cache;
    struct cache_recover_worker *workers = cache_memory_take(cache, count * sizeof(*workers));

    recovery->tenant_limit = atomic_load_relaxed_u32(&cache->tenant_limit);
    recovery->item_counts =
        cache_memory_take(cache, recovery->tenant_limit * sizeof(recovery->item_counts[0]));
    for (uint32_t i = 0; workers != NULL && i < count; i++) {
        workers[i].recovery = recovery;
    }
    return workers;
}

static void workers_give(struct cache_recovery *recovery, struct cache_recover_worker *workers,
                         uint32_t count)
{
    cache_memory_give(recovery->cache, (void *)(uintptr_t)recovery->item_counts,
                      recovery->tenant_limit * sizeof(recovery->item_counts[0]));
    cache_memory_give(recovery->cache, workers, count * sizeof(*workers));
}

/* Few for a small cache: each costs a stack, for which pages are left out when it is full. */
static uint32_t thread_count_for(const struct quarry_cache *cache, uint32_t wanted)
{
    uint64_t most = 1 + atomic_load_relaxed_u64(&cache->size_bytes) / BYTES_A_THREAD;

    return (uint32_t)size_min_u64(size_min_u64(wanted, most), THREADS_MAX);
}

enum quarry_status cache_recover(struct quarry_cache *cache, struct cache_file *file,
                                 uint32_t thread_count)
{
    uint64_t noted = atomic_load_relaxed_u64(&file->head->sequence);
    struct cache_recovery recovery = {.cache = cache, .file = file};
    uint32_t count = thread_count_for(cache, thread_count);

    /* The cache's own thread begins when those of recovery have ended. */
    recovery.stack_count = count > 1 ? count - 1 : cache->has_no_thread ? 0 : 1;
    recovery.sequence_top = noted + (file->was_clean ? 0 : SEQUENCES_SINCE_NOTED);
    enum quarry_status status = noted > SEQUENCE_MAX ? QUARRY_CORRUPT : classes_adopt(&recovery);
    if (status != QUARRY_OK) {
        return status;
    }
    atomic_store_relaxed_u64(&cache->sequence, recovery.sequence_top);
    struct cache_recover_worker *workers = workers_take(&recovery, count);
    if (workers == NULL || recovery.item_counts == NULL) {
        workers_give(&recovery, workers, count);
        return QUARRY_NO_MEMORY;
    }
    runs_adopt(&recovery);
    status = cache_file_open_finish(file);
    if (status == QUARRY_OK) {
        pages_recover(&recovery, workers, count);
        quarry_slab_adopt_finish(cache->slab);
    } else {
        runs_uncharge(&recovery);
    }
    workers_give(&recovery, workers, count);
    return status;
}
