/*
 * Lanes: allocation from the tree, under the budget.
 *
 *   zone (1 GiB) … zone
 *   | grown: readable, writable, backed page by page | reserved: not accessible          |
 *   ^ base                                           ^ grown_chunks         chunk_limit ^
 *
 * Commit before touch. A run may hold pages without backing; their bytes are charged in the same
 * stretch of the lane's lock that takes the pages, by an exchange that never waits. When they do
 * not fit, nothing has been taken yet: the lock is dropped, page_heap_reserve makes room and keeps
 * it as a credit, and the search begins anew. So a run is never half allocated, no undo exists, and
 * no reclaimer or system call runs under the lock.
 *
 * Invariants
 *   1. A page that is not scavenged is charged. The pages of a run are not scavenged, but for one
 *      that was reserved (lane_reserve.c).
 *   2. head[p] is not 0 exactly for the first page p of each run that an owner holds.
 *   3. Head and ledger change under the lock, together with the tree's bits; or, for runs that move
 *      between an owner and a page cache, inside the cache.
 *
 * Locks: grow_mutex, then mutex. System calls are made under grow_mutex, which only keeps two
 * threads from growing the lane at once: allocation from pages already there never takes it.
 *
 * A file's disk may be full while pages of the lane are free that have blocks: a run that lies
 * elsewhere cannot use them. They are given back then, as many as the run has, and it is tried
 * again; so the disk refuses only what it has no room for whichever pages are free.
 *
 * Cost: a page from the tree and back is two locks, two bitmap searches and two leaf updates.
 */
#include <page/lane.h>

#include <page/heap.h>

/* How often what is free in a lane is given back so that its disk has room for a run: others may
 * take what it brought. */
#define BLOCK_TRIES 2u

/* ---- heads of runs -------------------------------------------------------------------------- */

void page_lane_head_set_long(struct page_lane *lane, uint64_t page, uint32_t owner,
                             uint64_t page_count)
{
    Q_ASSERT(page_count >= 2 && page_count <= UINT32_MAX);
    atomic_store_relaxed_u32(&lane->head[page + 1], (uint32_t)page_count);
    atomic_store_relaxed_u32(&lane->head[page],
                             (uint32_t)page_head_make(owner, PAGE_HEAD_PAGES_LONG));
}

void page_lane_head_clear(struct page_lane *lane, uint64_t page)
{
    uint32_t head = atomic_load_relaxed_u32(&lane->head[page]);

    atomic_store_relaxed_u32(&lane->head[page], 0);
    if (page_head_pages(head) == PAGE_HEAD_PAGES_LONG) {
        atomic_store_relaxed_u32(&lane->head[page + 1], 0);
    }
}

uint32_t page_lane_head_of(const struct page_lane *lane, const void *base, uint64_t *ret_page)
{
    uint64_t offset = (uint64_t)((const char *)base - lane->base);

    Q_ASSERT_MSG(offset < lane->reserved_bytes, "the address is not of this lane");
    Q_ASSERT_MSG(offset % PAGE_BYTES == 0, "the address is not that of a page");
    uint32_t head = atomic_load_relaxed_u32(&lane->head[offset >> PAGE_SHIFT]);
    Q_ASSERT_MSG(head != 0, "no run in use begins at the address");
    *ret_page = offset >> PAGE_SHIFT;
    return head;
}

uint64_t page_lane_run_pages(const struct page_lane *lane, const void *base)
{
    uint64_t page;
    uint32_t head = page_lane_head_of(lane, base, &page);

    return page_lane_head_pages(lane, page, head);
}

uint32_t page_lane_run_owner(const struct page_lane *lane, const void *base)
{
    uint64_t page;

    return page_head_owner(page_lane_head_of(lane, base, &page));
}

/* ---- growing -------------------------------------------------------------------------------- */

/* Free pages right below the end of what is grown. */
static uint64_t lane_tail_pages(struct page_lane *lane) Q_REQUIRES(&lane->grow_mutex)
{
    const uint64_t *leaf = lane->tree.level[PAGE_LEVELS - 1];
    uint64_t tail_pages = 0, end_pages = PAGE_CHUNK_PAGES;

    os_mutex_lock(&lane->mutex);
    for (uint32_t i = lane->grown_chunks; i > 0 && end_pages == PAGE_CHUNK_PAGES; i--) {
        end_pages = page_summary_end(leaf[i - 1]);
        tail_pages += end_pages;
    }
    os_mutex_unlock(&lane->mutex);
    return tail_pages;
}

/* The end of `page_count` aligned pages from `first_page` on. False: beyond the lane. */
static bool lane_fits(const struct page_lane *lane, uint64_t first_page, uint64_t page_count,
                      uint64_t align_pages, uint64_t *ret_end_page)
{
    return checked_add_u64(size_align_up_u64(first_page, align_pages), page_count, ret_end_page) &&
           *ret_end_page <= (uint64_t)lane->chunk_limit << PAGE_CHUNK_SHIFT;
}

/*
 * The chunks to add so that `page_count` aligned pages fit above what is there, or, where addresses
 * run out, above what is in use of it. None, if they fit without more.
 */
static enum quarry_status grow_range(struct page_lane *lane, uint64_t page_count,
                                     uint64_t align_pages, struct page_range *ret_chunks)
    Q_REQUIRES(&lane->grow_mutex)
{
    uint64_t first_page = (uint64_t)lane->grown_chunks << PAGE_CHUNK_SHIFT;
    uint64_t end_page;

    if (!lane_fits(lane, first_page, page_count, align_pages, &end_page)) {
        first_page -= lane_tail_pages(lane);
        if (!lane_fits(lane, first_page, page_count, align_pages, &end_page)) {
            return QUARRY_NO_ADDRESS;
        }
    }
    ret_chunks->first = lane->grown_chunks;
    ret_chunks->end =
        (uint32_t)size_max_u64(size_ceil_div_u64(end_page, PAGE_CHUNK_PAGES), lane->grown_chunks);
    return QUARRY_OK;
}

/* Makes chunks and their metadata accessible. Charged already. */
static enum quarry_status grow_map(struct page_lane *lane, struct page_range chunks,
                                   const struct page_span_bytes *needs, uint32_t need_count)
{
    struct os *os = lane->heap->os;
    uint64_t offset = (uint64_t)chunks.first * PAGE_CHUNK_BYTES;
    uint64_t bytes = (uint64_t)(chunks.end - chunks.first) * PAGE_CHUNK_BYTES;
    enum quarry_status status = QUARRY_OK;

    for (uint32_t i = 0; i < need_count && status == QUARRY_OK; i++) {
        status = os_commit(os, lane->metadata + needs[i].offset, needs[i].bytes);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    if (!lane->is_file_backed) {
        return os_commit(os, lane->base + offset, bytes);
    }
    return page_lane_file_extend(lane, offset, bytes);
}

/*
 * One attempt, with `*credit_bytes` charged beforehand. `ret_short_bytes` is how much more must be
 * charged when it says NO_MEMORY; 0 when it was not for lack of budget.
 * Metadata that was made accessible for an attempt that failed has not been touched: it has no
 * backing, its charge is taken back, and making it accessible once more is harmless.
 */
static enum quarry_status grow_once(struct page_lane *lane, uint64_t page_count,
                                    uint64_t align_pages, uint64_t *credit_bytes,
                                    uint64_t *ret_short_bytes) Q_REQUIRES(&lane->grow_mutex)
{
    struct page_commit *commit = &lane->heap->commit;
    struct page_span_bytes needs[PAGE_ARRAY_COUNT];
    struct page_range chunks;
    uint64_t bytes = 0;
    enum quarry_status status = grow_range(lane, page_count, align_pages, &chunks);

    *ret_short_bytes = 0;
    if (status != QUARRY_OK || chunks.first == chunks.end) {
        return status;
    }
    /* Ranges change under grow_mutex only, so reading them needs no more. */
    uint32_t need_count = page_tree_layout_needs(&lane->layout, &lane->tree.ranges, chunks, needs);
    for (uint32_t i = 0; i < need_count; i++) {
        bytes += needs[i].bytes;
    }
    if (bytes > *credit_bytes && !page_commit_try(commit, bytes - *credit_bytes)) {
        *ret_short_bytes = bytes - *credit_bytes;
        return QUARRY_NO_MEMORY;
    }
    *credit_bytes = size_max_u64(*credit_bytes, bytes);
    status = grow_map(lane, chunks, needs, need_count);
    if (status != QUARRY_OK) {
        return status;
    }
    *credit_bytes -= bytes;
    page_commit_note_metadata(commit, bytes);
    os_mutex_lock(&lane->mutex);
    page_tree_grow(&lane->tree, chunks);
    lane->metadata_bytes += bytes;
    lane->counters.grow_count++;
    os_mutex_unlock(&lane->mutex);
    lane->grown_chunks = chunks.end;
    return QUARRY_OK;
}

enum quarry_status page_lane_grow(struct page_lane *lane, uint64_t page_count, uint64_t align_pages)
{
    struct page_heap *heap = lane->heap;
    uint64_t credit_bytes = 0, short_bytes;
    enum quarry_status status;

    for (;;) {
        os_mutex_lock(&lane->grow_mutex);
        uint64_t grown_chunks = lane->grown_chunks;
        status = grow_once(lane, page_count, align_pages, &credit_bytes, &short_bytes);
        uint64_t grown_bytes = (lane->grown_chunks - grown_chunks) * PAGE_CHUNK_BYTES;
        os_mutex_unlock(&lane->grow_mutex);
        if (status == QUARRY_OK) {
            page_scavenge_after_growth(heap, grown_bytes);
        }
        if (status != QUARRY_NO_MEMORY || short_bytes == 0) {
            break;
        }
        status = page_heap_reserve(heap, short_bytes);
        if (status != QUARRY_OK) {
            break;
        }
        credit_bytes += short_bytes;
    }
    page_commit_release(&heap->commit, credit_bytes);
    return status;
}

/* ---- allocating ----------------------------------------------------------------------------- */

/* What one look into the tree came to. */
enum take_verdict {
    TAKE_DONE,
    TAKE_NO_RUN,    /* the lane must grow */
    TAKE_NO_BUDGET, /* `short_bytes` more must be charged */
    TAKE_ADOPTING,
};

struct take_request {
    uint32_t owner;
    uint64_t page_count;
    uint64_t align_pages;
    uint64_t credit_bytes; /* charged; what the run does not need is left here */
    uint64_t short_bytes;
    uint64_t page;
    bool is_zero;
};

static enum take_verdict lane_take_locked(struct page_lane *lane, struct take_request *request)
    Q_REQUIRES(&lane->mutex)
{
    if (lane->is_adopting || lane->is_foreign) {
        return TAKE_ADOPTING;
    }
    struct page_found found =
        request->align_pages == 1
            ? page_tree_find(&lane->tree, request->page_count)
            : page_tree_find_aligned(&lane->tree, request->page_count, request->align_pages);
    if (found.page == PAGE_NONE) {
        if (request->align_pages == 1) { /* pages that are free may only be aligned otherwise */
            page_tree_note_exhausted(&lane->tree, request->page_count);
        }
        return TAKE_NO_RUN;
    }
    uint64_t scavenged_pages =
        page_tree_count_scavenged(&lane->tree, found.page, request->page_count);
    uint64_t bytes = scavenged_pages << PAGE_SHIFT;
    if (bytes > request->credit_bytes) {
        request->short_bytes = bytes - request->credit_bytes;
        if (!page_commit_try(&lane->heap->commit, request->short_bytes)) {
            return TAKE_NO_BUDGET;
        }
        request->credit_bytes = bytes;
    }
    request->credit_bytes -= bytes;
    page_tree_take(&lane->tree, found, request->page_count, scavenged_pages);
    page_lane_note_peak(lane);
    lane->counters.tree_alloc_count++;
    page_lane_head_set(lane, found.page, request->owner, request->page_count);
    page_ledger_add(&lane->heap->ledger, request->owner, lane->id, (int64_t)request->page_count);
    request->page = found.page;
    request->is_zero = scavenged_pages == request->page_count;
    return TAKE_DONE;
}

/* Before it says that addresses have run out, the pages that caches hold go back to the tree. */
static enum quarry_status lane_take(struct page_lane *lane, struct take_request *request)
{
    bool are_caches_flushed = false;

    for (;;) {
        os_mutex_lock(&lane->mutex);
        enum take_verdict verdict = lane_take_locked(lane, request);
        os_mutex_unlock(&lane->mutex);
        enum quarry_status status;
        switch (verdict) {
        case TAKE_DONE:
            return QUARRY_OK;
        case TAKE_ADOPTING:
            return QUARRY_BUSY;
        case TAKE_NO_RUN:
            status = page_lane_grow(lane, request->page_count, request->align_pages);
            if (status == QUARRY_NO_ADDRESS && !are_caches_flushed) {
                page_caches_flush_all(lane->heap);
                are_caches_flushed = true;
                status = QUARRY_OK;
            }
            break;
        case TAKE_NO_BUDGET:
            status = page_heap_reserve(lane->heap, request->short_bytes);
            if (status == QUARRY_OK) {
                request->credit_bytes += request->short_bytes;
            }
            break;
        default:
            Q_UNREACHABLE();
        }
        if (status != QUARRY_OK) {
            return status;
        }
    }
}

/* A run whose pages could not be given blocks: they go back, or are lost if even that fails. */
static void lane_undo_take(struct page_lane *lane, uint64_t page, uint64_t page_count,
                           uint32_t owner)
{
    struct page_heap *heap = lane->heap;
    bool is_lost = page_lane_decommit(lane, page, page_count) != QUARRY_OK;

    os_mutex_lock(&lane->mutex);
    page_ledger_add(&heap->ledger, owner, lane->id, -(int64_t)page_count);
    if (is_lost) {
        page_ledger_add(&heap->ledger, PAGE_OWNER_LOST, lane->id, (int64_t)page_count);
        page_lane_head_set(lane, page, PAGE_OWNER_LOST, page_count);
    } else {
        page_lane_head_clear(lane, page);
        page_tree_free_scavenged(&lane->tree, page, page_count);
        page_commit_release(&heap->commit, page_count << PAGE_SHIFT);
    }
    os_mutex_unlock(&lane->mutex);
}

/* Takes a run, and has blocks put behind it where the lane has a file. */
static enum quarry_status lane_take_backed(struct page_lane *lane, struct take_request *request)
{
    enum quarry_status status = lane_take(lane, request);

    if (Q_UNLIKELY(request->credit_bytes > 0)) {
        page_commit_release(&lane->heap->commit, request->credit_bytes);
        request->credit_bytes = 0;
    }
    if (status != QUARRY_OK || !lane->is_file_backed) {
        return status;
    }
    status = page_lane_preallocate(lane, request->page, request->page_count);
    if (status != QUARRY_OK) {
        lane_undo_take(lane, request->page, request->page_count, request->owner);
    }
    return status;
}

/* The disk lacks blocks: what is free in the lane, or in caches, has some. Returns: whether. */
static Q_COLD bool lane_give_blocks(struct page_lane *lane, uint64_t page_count)
{
    uint64_t wanted_bytes = page_count << PAGE_SHIFT;
    uint64_t bytes = page_scavenge_lane(lane, wanted_bytes, PAGE_CAUSE_LIMIT);

    if (bytes < wanted_bytes) {
        page_caches_flush_all(lane->heap);
        bytes += page_scavenge_lane(lane, wanted_bytes - bytes, PAGE_CAUSE_LIMIT);
    }
    return bytes != 0;
}

static struct page_run run_refused(enum quarry_status status)
{
    return (struct page_run){.base = NULL, .status = status};
}

struct page_run page_lane_alloc(struct page_lane *lane, uint32_t owner, uint64_t page_count,
                                uint64_t align_pages)
{
    struct take_request request = {
        .owner = owner, .page_count = page_count, .align_pages = align_pages};

    Q_ASSERT(page_count >= 1 && owner != PAGE_OWNER_NONE);
    Q_ASSERT(bits_is_power_of_two_u64(align_pages) && align_pages <= PAGE_ALIGN_PAGES_MAX);
    /* The space of a small heap is aligned to less than a zone. */
    if (page_count > (uint64_t)lane->chunk_limit << PAGE_CHUNK_SHIFT ||
        ((uint64_t)lane->base & ((align_pages << PAGE_SHIFT) - 1)) != 0) {
        return run_refused(QUARRY_NO_ADDRESS);
    }
    enum quarry_status status = lane_take_backed(lane, &request);
    for (uint32_t i = 0; status == QUARRY_NO_SPACE && i < BLOCK_TRIES; i++) {
        if (!lane_give_blocks(lane, page_count)) {
            break;
        }
        status = lane_take_backed(lane, &request);
    }
    page_scavenger_poke(lane->heap);
    if (status != QUARRY_OK) {
        return run_refused(status);
    }
    return (struct page_run){page_lane_address(lane, request.page), QUARRY_OK, request.is_zero};
}

void page_lane_free(struct page_lane *lane, void *base)
{
    uint64_t page;
    uint32_t head = page_lane_head_of(lane, base, &page);
    uint64_t page_count = page_lane_head_pages(lane, page, head);

    if (Q_UNLIKELY(page_lane_head_is_reserved(lane, page, head))) {
        page_lane_free_reserved(lane, page, head);
        return;
    }
    os_mutex_lock(&lane->mutex);
    page_lane_head_clear(lane, page);
    page_ledger_add(&lane->heap->ledger, page_head_owner(head), lane->id, -(int64_t)page_count);
    page_tree_free(&lane->tree, page, page_count);
    lane->counters.tree_free_count++;
    os_mutex_unlock(&lane->mutex);
    page_scavenger_poke(lane->heap);
}

/* ---- changing the length of a run ----------------------------------------------------------- */

static void lane_set_run_pages(struct page_lane *lane, uint64_t page, uint32_t owner,
                               uint64_t old_count, uint64_t new_count) Q_REQUIRES(&lane->mutex)
{
    page_lane_head_clear(lane, page);
    page_lane_head_set(lane, page, owner, new_count);
    page_ledger_add(&lane->heap->ledger, owner, lane->id, (int64_t)new_count - (int64_t)old_count);
}

static enum quarry_status lane_extend_locked(struct page_lane *lane, uint64_t page, uint32_t owner,
                                             uint64_t old_count, uint64_t new_count)
    Q_REQUIRES(&lane->mutex)
{
    uint64_t tail = page + old_count, tail_count = new_count - old_count;

    /* Pages that nobody has adopted yet look free, and hold somebody's data. */
    if (lane->is_adopting || lane->is_foreign ||
        !page_tree_is_free(&lane->tree, tail, tail_count)) {
        return QUARRY_BUSY;
    }
    uint64_t scavenged_pages = page_tree_count_scavenged(&lane->tree, tail, tail_count);
    if (!page_commit_try(&lane->heap->commit, scavenged_pages << PAGE_SHIFT)) {
        return QUARRY_NO_MEMORY;
    }
    struct page_found found = {tail, lane->tree.search_page};
    page_tree_take(&lane->tree, found, tail_count, scavenged_pages);
    page_lane_note_peak(lane);
    lane_set_run_pages(lane, page, owner, old_count, new_count);
    return QUARRY_OK;
}

static enum quarry_status lane_extend(struct page_lane *lane, uint64_t page, uint32_t owner,
                                      uint64_t old_count, uint64_t new_count)
{
    os_mutex_lock(&lane->mutex);
    enum quarry_status status = lane_extend_locked(lane, page, owner, old_count, new_count);
    os_mutex_unlock(&lane->mutex);
    if (status != QUARRY_OK || !lane->is_file_backed) {
        return status;
    }
    status = page_lane_preallocate(lane, page + old_count, new_count - old_count);
    if (status != QUARRY_OK) {
        os_mutex_lock(&lane->mutex);
        lane_set_run_pages(lane, page, owner, new_count, old_count);
        /* The tail is a run of its own until it has gone back. */
        page_lane_head_set(lane, page + old_count, owner, new_count - old_count);
        page_ledger_add(&lane->heap->ledger, owner, lane->id, (int64_t)(new_count - old_count));
        os_mutex_unlock(&lane->mutex);
        lane_undo_take(lane, page + old_count, new_count - old_count, owner);
    }
    return status;
}

enum quarry_status page_lane_resize(struct page_lane *lane, void *base, uint64_t page_count)
{
    uint64_t page;
    uint32_t head = page_lane_head_of(lane, base, &page);
    uint32_t owner = page_head_owner(head);
    uint64_t old_count = page_lane_head_pages(lane, page, head);

    Q_ASSERT(page_count >= 1);
    Q_ASSERT_MSG(!page_lane_head_is_reserved(lane, page, head), "a reserved run has one length");
    if (page_count > old_count) {
        if (page_count > (uint64_t)lane->chunk_limit << PAGE_CHUNK_SHIFT) {
            return QUARRY_BUSY;
        }
        return lane_extend(lane, page, owner, old_count, page_count);
    }
    if (page_count < old_count) {
        os_mutex_lock(&lane->mutex);
        lane_set_run_pages(lane, page, owner, old_count, page_count);
        page_tree_free(&lane->tree, page + page_count, old_count - page_count);
        os_mutex_unlock(&lane->mutex);
        page_scavenger_poke(lane->heap);
    }
    return QUARRY_OK;
}

/* ---- giving back ---------------------------------------------------------------------------- */

enum quarry_status page_lane_decommit(struct page_lane *lane, uint64_t page, uint64_t page_count)
{
    if (lane->is_file_backed) {
        return page_lane_file_punch(lane, page, page_count);
    }
    return os_decommit(lane->heap->os, page_lane_address(lane, page), page_count << PAGE_SHIFT);
}
