/*
 * Checks a whole heap, everything stopped.
 *
 * Each lane chunk by chunk: the pages of runs (by their heads), of page caches and of pieces in
 * flight are marked in a bitmap of the chunk; no page may be marked twice, and in the end the marks
 * must be exactly the tree's in-use bits. Then bare pages and the ledger against the runs that were
 * walked, and what is committed against the sum of everything.
 */
#include <page/heap.h>

#include <string.h>

/* One lane under inspection. */
struct inspection {
    struct page_heap *heap;
    struct page_lane *lane;
    struct quarry_error *error;
    struct page_bits marks; /* of the chunk at hand */
    uint64_t chunk_page;    /* its first page */
    uint64_t run_end;       /* end of the run last met */
    uint64_t run_pages;     /* of all runs met */
    uint64_t bare_pages;    /* of those, not backed */
    uint64_t cached_pages;  /* of all caches */
    int64_t *owner_pages;   /* by owner, of all runs met */
};

/* Marks the part of [page, page + page_count) that lies in the chunk; each page once. */
static enum quarry_status mark_pages(struct inspection *in, uint64_t page, uint64_t page_count,
                                     const char *what)
{
    uint64_t first = size_max_u64(page, in->chunk_page);
    uint64_t end = size_min_u64(page + page_count, in->chunk_page + PAGE_CHUNK_PAGES);

    if (first >= end) {
        return QUARRY_OK;
    }
    uint32_t index = (uint32_t)(first - in->chunk_page), count = (uint32_t)(end - first);
    if (!page_bits_is_clear(&in->marks, index, count)) {
        return error_set(in->error, QUARRY_CORRUPT,
                         "lane '%s': a page of [%llu, +%llu) of %s is somewhere else as well",
                         in->lane->name, (unsigned long long)page, (unsigned long long)page_count,
                         what);
    }
    page_bits_set(&in->marks, index, count);
    return QUARRY_OK;
}

/* ---- runs ----------------------------------------------------------------------------------- */

static enum quarry_status inspect_run(struct inspection *in, uint64_t page, uint32_t head)
{
    const struct page_lane *lane = in->lane;
    uint32_t owner = page_head_owner(head);
    uint32_t owner_count = atomic_load_acquire_u32(&in->heap->ledger.owner_count);
    uint64_t page_count = page_lane_run_pages(lane, page_lane_address(lane, page));

    if (page < in->run_end) {
        return error_set(in->error, QUARRY_CORRUPT, "lane '%s': a run at page %llu inside another",
                         lane->name, (unsigned long long)page);
    }
    if (owner == PAGE_OWNER_NONE || owner >= owner_count || page_count == 0 ||
        page_count > lane->tree.total_pages) {
        return error_set(in->error, QUARRY_CORRUPT,
                         "lane '%s': the run at page %llu has %llu pages and owner %u", lane->name,
                         (unsigned long long)page, (unsigned long long)page_count, owner);
    }
    in->run_end = page + page_count;
    in->run_pages += page_count;
    uint64_t bare_pages = page_lane_head_is_reserved(lane, page, head)
                              ? page_tree_count_scavenged(&lane->tree, page, page_count)
                              : 0;
    in->bare_pages += bare_pages;
    in->owner_pages[owner] += (int64_t)(page_count - bare_pages);
    return mark_pages(in, page, page_count, "a run");
}

static enum quarry_status inspect_runs(struct inspection *in)
{
    uint64_t end = in->chunk_page + PAGE_CHUNK_PAGES;
    /* A run that began in the chunk before reaches in here. */
    uint64_t page = size_max_u64(in->chunk_page, size_min_u64(in->run_end, end));
    enum quarry_status status =
        mark_pages(in, in->chunk_page, page - in->chunk_page, "a run over an edge");

    while (page < end && status == QUARRY_OK) {
        uint32_t head = atomic_load_relaxed_u32(&in->lane->head[page]);
        if (head == 0) {
            page++;
            continue;
        }
        status = inspect_run(in, page, head);
        page = size_max_u64(page + 1, in->run_end);
    }
    return status;
}

/* ---- caches and flights --------------------------------------------------------------------- */

static enum quarry_status inspect_stack(struct inspection *in, const struct page_cache_stack *stack)
{
    enum quarry_status status = QUARRY_OK;

    for (uint64_t i = 1; i <= stack->count && status == QUARRY_OK; i++) {
        status =
            mark_pages(in, stack->run[i].page, page_head_pages(stack->run[i].head), "a page cache");
    }
    return status;
}

static enum quarry_status inspect_cache(struct inspection *in, const struct page_cache *cache)
{
    enum quarry_status status = inspect_stack(in, &cache->short_runs);
    uint64_t block_free = cache->block.free;

    if (status == QUARRY_OK) {
        status = inspect_stack(in, &cache->long_runs);
    }
    while (block_free != 0 && status == QUARRY_OK) {
        uint32_t index = bits_trailing_zeros_u64(block_free);
        status = mark_pages(in, cache->block.first_page + index, 1, "a page cache's block");
        block_free &= block_free - 1;
    }
    return status;
}

static enum quarry_status inspect_caches(struct inspection *in)
{
    enum quarry_status status = QUARRY_OK;
    struct page_thread *thread = in->heap->threads;

    for (; thread != NULL && status == QUARRY_OK; thread = thread->next) {
        const struct page_cache *cache = thread->cache[in->lane->id];
        if (cache != NULL) {
            status = inspect_cache(in, cache);
        }
    }
    return status;
}

static enum quarry_status inspect_flights(struct inspection *in)
{
    enum quarry_status status = QUARRY_OK;

    for (uint32_t i = 0; i < PAGE_IN_FLIGHT_MAX && status == QUARRY_OK; i++) {
        const struct page_in_flight *piece = &in->lane->in_flight[i];
        status = mark_pages(in, piece->page, piece->page_count, "a piece in flight");
    }
    return status;
}

/* ---- lanes ---------------------------------------------------------------------------------- */

static enum quarry_status inspect_chunk(struct inspection *in, uint32_t chunk)
{
    enum quarry_status status;

    page_bits_clear_all(&in->marks);
    in->chunk_page = (uint64_t)chunk << PAGE_CHUNK_SHIFT;
    status = inspect_runs(in);
    if (status == QUARRY_OK) {
        status = inspect_caches(in);
    }
    if (status == QUARRY_OK) {
        status = inspect_flights(in);
    }
    if (status == QUARRY_OK &&
        memcmp(&in->marks, &in->lane->tree.chunk[chunk].in_use, sizeof(in->marks)) != 0) {
        status =
            error_set(in->error, QUARRY_CORRUPT,
                      "lane '%s', chunk %u: pages are in use that nobody holds, or held and free",
                      in->lane->name, chunk);
    }
    return status;
}

/* The tree's count agrees with its bits; here, that each bare page is part of a reserved run. */
static enum quarry_status inspect_bare(struct inspection *in)
{
    if (in->bare_pages != in->lane->tree.bare_pages) {
        return error_set(in->error, QUARRY_CORRUPT,
                         "lane '%s': %llu pages are in use and not backed, %llu in reserved runs",
                         in->lane->name, (unsigned long long)in->lane->tree.bare_pages,
                         (unsigned long long)in->bare_pages);
    }
    return QUARRY_OK;
}

static enum quarry_status inspect_ledger(struct inspection *in)
{
    uint32_t owner_count = atomic_load_acquire_u32(&in->heap->ledger.owner_count);

    for (uint32_t owner = 1; owner < owner_count; owner++) {
        uint64_t ledger_pages = page_heap_owner_pages_stopped(in->heap, owner, in->lane->id);
        if (ledger_pages != (uint64_t)in->owner_pages[owner]) {
            return error_set(
                in->error, QUARRY_CORRUPT,
                "lane '%s': the ledger gives owner '%s' %llu pages, its runs have %lld",
                in->lane->name, in->heap->ledger.owner[owner].name,
                (unsigned long long)ledger_pages, (long long)in->owner_pages[owner]);
        }
    }
    return QUARRY_OK;
}

static enum quarry_status inspect_lane(struct page_heap *heap, struct page_lane *lane,
                                       struct quarry_error *error)
{
    int64_t owner_pages[PAGE_OWNERS_MAX] = {0};
    struct inspection in = {.heap = heap, .lane = lane, .error = error, .owner_pages = owner_pages};
    enum quarry_status status = page_tree_validate(&lane->tree, error);
    const struct page_ranges *ranges = &lane->tree.ranges;

    for (uint32_t i = 0; i < ranges->count; i++) {
        for (uint32_t chunk = ranges->range[i].first;
             chunk < ranges->range[i].end && status == QUARRY_OK; chunk++) {
            status = inspect_chunk(&in, chunk);
        }
    }
    if (status == QUARRY_OK) {
        status = inspect_bare(&in);
    }
    return status == QUARRY_OK ? inspect_ledger(&in) : status;
}

/* Every page that is not scavenged is charged, and so is the metadata. */
static enum quarry_status inspect_commit(struct page_heap *heap, struct quarry_error *error)
{
    uint64_t backed_bytes = 0;

    for (uint32_t id = 0; id < PAGE_LANES_MAX; id++) {
        const struct page_lane *lane = atomic_load_acquire_ptr(&heap->lane[id]);
        if (lane != NULL) {
            backed_bytes +=
                (lane->tree.total_pages - lane->tree.scavenged_pages - lane->in_flight_pages)
                << PAGE_SHIFT;
        }
    }
    uint64_t metadata_bytes = atomic_load_acquire_u64(&heap->commit.metadata_bytes);
    uint64_t set_aside_bytes = page_reserve_held_bytes(&heap->reserve);
    struct page_commit_state state = page_commit_read(&heap->commit);
    if (backed_bytes + metadata_bytes + set_aside_bytes > state.committed_bytes) {
        return error_set(
            error, QUARRY_CORRUPT,
            "%llu bytes of pages, %llu of metadata and %llu set aside, but only %llu charged",
            (unsigned long long)backed_bytes, (unsigned long long)metadata_bytes,
            (unsigned long long)set_aside_bytes, (unsigned long long)state.committed_bytes);
    }
    return QUARRY_OK;
}

enum quarry_status page_heap_validate(struct page_heap *heap, struct quarry_error *error)
{
    enum quarry_status status = QUARRY_OK;

    page_heap_stop(heap);
    for (uint32_t id = 0; id < PAGE_LANES_MAX && status == QUARRY_OK; id++) {
        struct page_lane *lane = atomic_load_acquire_ptr(&heap->lane[id]);
        if (lane != NULL) {
            status = inspect_lane(heap, lane, error);
        }
    }
    if (status == QUARRY_OK) {
        status = inspect_commit(heap, error);
    }
    page_heap_resume(heap);
    return status;
}
