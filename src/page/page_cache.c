/*
 * Page caches: the way around the lane's lock.
 *
 * A cache belongs to one thread, which enters it by a gate (os/gate.h), without an atomic
 * instruction; the scavenger and whoever reads the ledger keep it out for a moment.
 *
 * A lane's lock may be taken inside a cache; nothing that can wait for a stopper may: no reclaim,
 * no growth. A signal handler that finds its own thread inside goes straight to the tree.
 *
 * Invariants
 *   1. Every page of a cache is marked in use in the tree, has no head, and is charged.
 *   2. The runs in the stacks still count as their owners' in the ledger: coming and going between
 *      an owner and a cache changes nothing there, and readers of the ledger take them off.
 *   3. block.scavenged ⊆ block.free: pages that have never been backed since they were taken.
 *
 * Decided by measurement (docs/decisions/0003): a cache per thread entered by plain stores takes
 * 2.7 ns for a pair of pop and push here, per thread with an exchange 4.3 ns, per CPU by the rseq
 * CPU number with an exchange 4.2 ns.
 */
#include <page/page_cache.h>

#include <string.h>

#include <page/heap.h>

_Thread_local struct page_tls page_tls;

/* ---- owners --------------------------------------------------------------------------------- */

/* Tells the ledger what it does not know yet; the next difference will be `owner`'s. */
static void cache_flush_owner(struct page_cache *cache, uint32_t owner)
{
    if (cache->owner_pages != 0) {
        page_ledger_add(&cache->lane->heap->ledger, cache->owner, cache->lane->id,
                        cache->owner_pages);
        cache->owner_pages = 0;
    }
    cache->owner = owner;
}

/*
 * `owner` holds, or has in the stacks, `page_count` pages more. Every slow path flushes, so that
 * the difference stays within what a cache can hold.
 */
static inline void cache_note_owner(struct page_cache *cache, uint32_t owner, int32_t page_count)
{
    if (Q_UNLIKELY(cache->owner != owner)) {
        cache_flush_owner(cache, owner);
    }
    cache->owner_pages += page_count;
}

/* ---- stacks --------------------------------------------------------------------------------- */

static inline bool is_short(uint32_t page_count)
{
    return page_count < PAGE_BLOCK_RUN_PAGES_MAX;
}

static inline struct page_cache_stack *cache_stack(struct page_cache *cache, uint32_t page_count)
{
    return is_short(page_count) ? &cache->short_runs : &cache->long_runs;
}

/* A run of the length from anywhere in its stack, the newest first; it becomes the owner's. */
static bool cache_take_run(struct page_cache *cache, uint32_t owner, uint32_t page_count,
                           uint64_t *ret_page)
{
    struct page_cache_stack *stack = cache_stack(cache, page_count);

    for (uint64_t i = stack->count; i > 0; i--) {
        struct page_cache_run run = stack->run[i];
        if (page_head_pages(run.head) != page_count) {
            continue;
        }
        if (page_head_owner(run.head) != owner) {
            cache_note_owner(cache, page_head_owner(run.head), -(int32_t)page_count);
            cache_note_owner(cache, owner, (int32_t)page_count);
        }
        stack->run[i] = stack->run[stack->count--];
        stack->page_count -= is_short(page_count) ? 0 : page_count;
        *ret_page = run.page;
        return true;
    }
    return false;
}

static inline bool cache_long_has_room(const struct page_cache *cache, uint32_t page_count)
{
    return cache->long_runs.count < PAGE_CACHE_LONG_MAX &&
           cache->long_runs.page_count + page_count <= cache->long_pages_max;
}

/* Pushes a run that was in use; there is room. */
static inline void cache_push(struct page_cache *cache, uint64_t page, uint32_t head)
{
    uint32_t page_count = page_head_pages(head);
    struct page_cache_stack *stack = cache_stack(cache, page_count);

    stack->run[++stack->count] = (struct page_cache_run){(uint32_t)page, head};
    stack->page_count += is_short(page_count) ? 0 : page_count;
}

/* A run goes back into the block, if it is of its pages. */
static bool cache_give_to_block(struct page_cache *cache, uint64_t page, uint32_t page_count)
{
    uint64_t index = page - cache->block.first_page;

    if (page < cache->block.first_page || index + page_count > PAGE_BLOCK_PAGES) {
        return false;
    }
    uint64_t mask = bits_mask_u64((uint32_t)index, page_count);
    Q_ASSERT((cache->block.free & mask) == 0);
    cache->block.free |= mask;
    return true;
}

/* The oldest `run_count` runs of a stack go to the block or to the tree, under one lock. */
static void cache_evict(struct page_cache *cache, struct page_cache_stack *stack,
                        uint64_t run_count)
{
    struct page_lane *lane = cache->lane;

    if (run_count == 0) {
        return;
    }
    os_mutex_lock(&lane->mutex);
    for (uint32_t i = 1; i <= run_count; i++) {
        uint64_t page = stack->run[i].page;
        uint32_t head = stack->run[i].head, page_count = page_head_pages(head);
        cache_note_owner(cache, page_head_owner(head), -(int32_t)page_count);
        stack->page_count -= is_short(page_count) ? 0 : page_count;
        if (!cache_give_to_block(cache, page, page_count)) {
            page_tree_free(&lane->tree, page, page_count);
            lane->counters.tree_free_count++;
        }
    }
    os_mutex_unlock(&lane->mutex);
    stack->count -= run_count;
    memmove(&stack->run[1], &stack->run[1 + run_count], stack->count * sizeof(stack->run[0]));
}

/* Whether a run of the length may go into a stack at all. */
static bool cache_keeps(const struct page_cache *cache, uint32_t page_count)
{
    return is_short(page_count) ||
           (page_count <= PAGE_CACHE_RUN_PAGES_MAX && page_count <= cache->long_pages_max);
}

/* How many of the oldest runs must go so that one of `page_count` fits: half of a full stack. */
static uint32_t cache_evict_count(const struct page_cache *cache, uint32_t page_count)
{
    const struct page_cache_stack *runs = &cache->long_runs;
    uint32_t run_count = 0, page_sum = runs->page_count + page_count;

    if (is_short(page_count)) {
        return cache->short_runs.count == PAGE_CACHE_SHORT_MAX ? PAGE_CACHE_SHORT_MAX / 2 : 0;
    }
    if (runs->count == PAGE_CACHE_LONG_MAX) {
        run_count = PAGE_CACHE_LONG_MAX / 2;
    }
    for (uint32_t i = 1; i <= run_count; i++) {
        page_sum -= page_head_pages(runs->run[i].head);
    }
    while (page_sum > cache->long_pages_max) {
        page_sum -= page_head_pages(runs->run[++run_count].head);
    }
    return run_count;
}

/* ---- the block ------------------------------------------------------------------------------ */

/* From the block: false when it has no such run. */
static bool cache_take_from_block(struct page_cache *cache, uint32_t page_count, uint64_t *ret_page,
                                  bool *ret_is_zero)
{
    struct page_block *block = &cache->block;
    uint32_t index = page_bits_find_in_word(block->free, page_count);

    if (index == 64) {
        return false;
    }
    uint64_t mask = bits_mask_u64(index, page_count);
    *ret_page = block->first_page + index;
    *ret_is_zero = (block->scavenged & mask) == mask;
    block->free &= ~mask;
    block->scavenged &= ~mask;
    return true;
}

/* What came of filling a block. */
enum refill {
    REFILL_DONE,
    REFILL_NO_PAGES, /* the lane has none free: it must grow, outside the cache */
    REFILL_REFUSED,  /* no budget, or no allocation from the lane at all */
};

/*
 * Fills an empty block from the tree. Pages without backing are charged here, so that taking them
 * later is free; when the budget has no room for them, only backed pages are taken.
 */
static enum refill cache_refill(struct page_cache *cache)
{
    struct page_lane *lane = cache->lane;
    uint64_t taken = 0;

    Q_ASSERT(cache->block.free == 0);
    os_mutex_lock(&lane->mutex);
    struct page_block block = page_tree_peek_block(&lane->tree);
    if (block.first_page != PAGE_NONE && !lane->is_adopting) {
        uint64_t unbacked = block.free & block.scavenged;
        taken = block.free;
        if (!page_commit_try(&lane->heap->commit, (uint64_t)bits_count_u64(unbacked)
                                                      << PAGE_SHIFT)) {
            taken &= ~unbacked;
        }
    }
    if (taken != 0) {
        page_tree_take_block(&lane->tree, block, taken);
        page_lane_note_peak(lane);
        lane->counters.refill_count++;
        cache->block = (struct page_block){block.first_page, taken, taken & block.scavenged};
    }
    os_mutex_unlock(&lane->mutex);
    if (taken != 0) {
        return REFILL_DONE;
    }
    return block.first_page == PAGE_NONE ? REFILL_NO_PAGES : REFILL_REFUSED;
}

/* ---- counting ------------------------------------------------------------------------------- */

static uint64_t stack_pages(const struct page_cache_stack *stack)
{
    uint64_t page_count = 0;

    for (uint64_t i = 1; i <= stack->count; i++) {
        page_count += page_head_pages(stack->run[i].head);
    }
    return page_count;
}

uint64_t page_cache_pages(const struct page_cache *cache)
{
    return stack_pages(&cache->short_runs) + stack_pages(&cache->long_runs) +
           bits_count_u64(cache->block.free);
}

static uint64_t stack_owner_pages(const struct page_cache_stack *stack, uint32_t owner)
{
    uint64_t page_count = 0;

    for (uint64_t i = 1; i <= stack->count; i++) {
        if (page_head_owner(stack->run[i].head) == owner) {
            page_count += page_head_pages(stack->run[i].head);
        }
    }
    return page_count;
}

uint64_t page_cache_owner_pages(const struct page_cache *cache, uint32_t owner)
{
    return stack_owner_pages(&cache->short_runs, owner) +
           stack_owner_pages(&cache->long_runs, owner);
}

/* ---- threads -------------------------------------------------------------------------------- */

/* The calling thread's cache for the lane, if the thread remembers it; else NULL. */
static inline struct page_cache *cache_remembered(const struct page_lane *lane)
{
    const struct page_tls_lane *remembered = page_tls_lane_of(lane);

    if (Q_UNLIKELY(remembered->serial != lane->serial)) {
        return NULL;
    }
    Q_ASSUME(remembered->cache != NULL);
    return remembered->cache;
}

struct page_thread *page_thread_own(const struct page_heap *heap)
{
    return page_tls.heap[heap->slot].serial == heap->serial ? page_tls.heap[heap->slot].thread
                                                            : NULL;
}

static struct page_thread *thread_create(struct page_heap *heap)
{
    void *piece;

    /* Without the hook the caches would outlive their thread, and nobody would empty them. */
    if (os_thread_exit_arm() != QUARRY_OK ||
        page_metadata_take(&heap->metadata, sizeof(struct page_thread), &piece) != QUARRY_OK) {
        return NULL;
    }
    struct page_thread *thread = piece;
    thread->heap = heap;
    os_mutex_lock(&heap->caches_mutex);
    thread->next = heap->threads;
    if (thread->next != NULL) {
        thread->next->previous = thread;
    }
    heap->threads = thread;
    os_mutex_unlock(&heap->caches_mutex);
    page_tls.heap[heap->slot].serial = heap->serial;
    page_tls.heap[heap->slot].thread = thread;
    return thread;
}

static uint32_t long_pages_for(uint64_t limit_bytes)
{
    uint64_t pages = limit_bytes / PAGE_CACHE_LONG_BUDGET_SHARE >> PAGE_SHIFT;

    pages = size_max_u64(pages, PAGE_CACHE_LONG_PAGES_LEAST);
    return (uint32_t)size_min_u64(pages, PAGE_CACHE_LONG_PAGES_MOST);
}

static struct page_cache *cache_create(struct page_thread *thread, struct page_lane *lane)
{
    struct page_heap *heap = lane->heap;
    void *piece;

    if (page_metadata_take(&heap->metadata, sizeof(struct page_cache), &piece) != QUARRY_OK) {
        return NULL;
    }
    struct page_cache *cache = piece;
    cache->lane = lane;
    cache->block.first_page = PAGE_NONE;
    cache->long_pages_max = long_pages_for(page_commit_read(&heap->commit).limit_bytes);
    os_gate_init(&cache->gate);
    os_mutex_lock(&heap->caches_mutex);
    thread->cache[lane->id] = cache;
    os_mutex_unlock(&heap->caches_mutex);
    return cache;
}

/* The calling thread's cache for the lane, made if need be; NULL when there is no memory for one.
 */
static struct page_cache *cache_find(struct page_lane *lane)
{
    struct page_cache *cache = cache_remembered(lane);

    if (cache != NULL) {
        return cache;
    }
    if (lane->is_foreign) {
        return NULL; /* its pages are not for handing out */
    }
    struct page_thread *thread = page_thread_own(lane->heap);
    if (thread == NULL) {
        thread = thread_create(lane->heap);
    }
    if (thread == NULL) {
        return NULL;
    }
    cache = thread->cache[lane->id];
    if (cache == NULL) {
        cache = cache_create(thread, lane);
    }
    if (cache != NULL) {
        *page_tls_lane_of(lane) = (struct page_tls_lane){lane->serial, cache};
    }
    return cache;
}

/* ---- allocating and freeing ----------------------------------------------------------------- */

/* What a cache could do, from inside. */
enum cache_verdict {
    CACHE_FOUND,
    CACHE_LANE_EMPTY, /* nothing, and its lane has no free page either */
    CACHE_NOT_FOUND,
};

/* Everything a cache can do, from inside. */
static enum cache_verdict cache_take(struct page_cache *cache, uint32_t owner, uint32_t page_count,
                                     uint64_t *ret_page, bool *ret_is_zero)
{
    enum refill refill = REFILL_REFUSED;

    *ret_is_zero = false;
    if (cache_take_run(cache, owner, page_count, ret_page)) {
        return CACHE_FOUND;
    }
    if (!is_short(page_count)) {
        return CACHE_NOT_FOUND;
    }
    bool is_found = cache_take_from_block(cache, page_count, ret_page, ret_is_zero);
    /* Blocks of a file-backed lane would need disk blocks for pages that nobody may want. */
    if (!is_found && cache->block.free == 0 && !cache->lane->is_file_backed) {
        refill = cache_refill(cache);
        is_found = refill == REFILL_DONE &&
                   cache_take_from_block(cache, page_count, ret_page, ret_is_zero);
    }
    if (is_found) {
        cache_note_owner(cache, owner, (int32_t)page_count);
        return CACHE_FOUND;
    }
    return refill == REFILL_NO_PAGES ? CACHE_LANE_EMPTY : CACHE_NOT_FOUND;
}

/* Enters, takes and leaves. */
static enum cache_verdict cache_alloc(struct page_cache *cache, struct page_lane *lane,
                                      uint32_t owner, uint32_t page_count, struct page_run *ret_run)
{
    uint64_t page;

    if (!os_gate_enter(&cache->gate, &lane->heap->caches_mutex)) {
        return CACHE_NOT_FOUND;
    }
    cache_flush_owner(cache, owner);
    enum cache_verdict verdict = cache_take(cache, owner, page_count, &page, &ret_run->is_zero);
    if (verdict == CACHE_FOUND) {
        page_lane_head_set(lane, page, owner, page_count);
        ret_run->base = page_lane_address(lane, page);
    }
    os_gate_leave(&cache->gate);
    return verdict;
}

static Q_NOINLINE struct page_run page_alloc_slow(struct page_lane *lane, uint32_t owner,
                                                  uint64_t page_count)
{
    struct page_run run = {.status = QUARRY_OK};
    struct page_cache *cache = cache_find(lane);

    Q_ASSERT(page_count >= 1 && owner != PAGE_OWNER_NONE && owner < PAGE_OWNERS_MAX);
    if (cache == NULL || page_count > PAGE_CACHE_RUN_PAGES_MAX) {
        return page_lane_alloc(lane, owner, page_count, 1);
    }
    enum cache_verdict verdict = cache_alloc(cache, lane, owner, (uint32_t)page_count, &run);
    /* A first page straight from the tree would lie beside another thread's, and so their heads. */
    if (verdict == CACHE_LANE_EMPTY && page_lane_grow(lane, PAGE_BLOCK_PAGES, 1) == QUARRY_OK) {
        verdict = cache_alloc(cache, lane, owner, (uint32_t)page_count, &run);
    }
    if (verdict != CACHE_FOUND) {
        return page_lane_alloc(lane, owner, page_count, 1);
    }
    page_scavenger_poke(lane->heap);
    return run;
}

/* The lowest page of the block, which has one. Inside. */
static inline struct page_run cache_take_page(struct page_cache *cache, struct page_lane *lane,
                                              uint32_t head)
{
    uint64_t free = cache->block.free, bit = free & -free;
    uint64_t page = cache->block.first_page + bits_trailing_zeros_u64(free);
    bool is_zero = (cache->block.scavenged & bit) != 0;

    cache->block.free = free ^ bit;
    cache->block.scavenged &= ~bit;
    cache->owner_pages++;
    atomic_store_relaxed_u32(&lane->head[page], head);
    return (struct page_run){page_lane_address(lane, page), QUARRY_OK, is_zero};
}

struct page_run page_alloc(struct page_lane *lane, uint32_t owner, uint64_t page_count)
{
    struct page_cache *cache = cache_remembered(lane);
    /* A length that does not fit a head equals none in the stacks. */
    uint64_t head = page_head_make(owner, page_count);
    struct page_run run;

    Q_DCHECK(owner != PAGE_OWNER_NONE && owner < PAGE_OWNERS_MAX);
    if (Q_UNLIKELY(cache == NULL || !os_gate_try_enter(&cache->gate))) {
        return page_alloc_slow(lane, owner, page_count);
    }
    struct page_cache_run *newest = &cache->short_runs.run[cache->short_runs.count];
    if (Q_LIKELY(newest->head == head)) {
        uint64_t page = newest->page;
        cache->short_runs.count--;
        /* Relaxed: only validators and the heap map read heads of others, as a picture. */
        atomic_store_relaxed_u32(&lane->head[page], (uint32_t)head);
        os_gate_leave(&cache->gate);
        return (struct page_run){page_lane_address(lane, page), QUARRY_OK, false};
    }
    if (page_count == 1 && cache->block.free != 0 && cache->owner == owner) {
        run = cache_take_page(cache, lane, (uint32_t)head);
        os_gate_leave(&cache->gate);
        return run;
    }
    newest = &cache->long_runs.run[cache->long_runs.count];
    if (newest->head == head) {
        uint64_t page = newest->page;
        cache->long_runs.count--;
        cache->long_runs.page_count -= (uint32_t)page_count;
        atomic_store_relaxed_u32(&lane->head[page], (uint32_t)head);
        os_gate_leave(&cache->gate);
        return (struct page_run){page_lane_address(lane, page), QUARRY_OK, false};
    }
    os_gate_leave(&cache->gate);
    return page_alloc_slow(lane, owner, page_count);
}

static Q_NOINLINE void page_free_slow(struct page_lane *lane, void *base)
{
    uint64_t page = page_lane_page(lane, base);
    uint32_t head = atomic_load_relaxed_u32(&lane->head[page]);
    uint32_t page_count = page_head_pages(head);
    struct page_cache *cache = cache_find(lane);

    Q_ASSERT_MSG(head != 0, "no run in use begins at the address");
    if (cache == NULL || !cache_keeps(cache, page_count) ||
        !os_gate_enter(&cache->gate, &lane->heap->caches_mutex)) {
        page_lane_free(lane, base);
        return;
    }
    cache_flush_owner(cache, page_head_owner(head));
    struct page_cache_stack *stack = cache_stack(cache, page_count);
    cache_evict(cache, stack, cache_evict_count(cache, page_count));
    atomic_store_relaxed_u32(&lane->head[page], 0);
    cache_push(cache, page, head);
    os_gate_leave(&cache->gate);
    page_scavenger_poke(lane->heap);
}

void page_free(struct page_lane *lane, void *base)
{
    struct page_cache *cache = cache_remembered(lane);
    uint64_t offset = (uint64_t)((char *)base - lane->base);
    /* Rotated, the bits below a page are the highest: one comparison finds them, or a wrong lane.
     */
    uint64_t page = offset >> PAGE_SHIFT | offset << (64 - PAGE_SHIFT);

    Q_ASSERT_MSG(page < lane->reserved_pages, "the address is not that of a page of this lane");
    if (Q_UNLIKELY(cache == NULL || !os_gate_try_enter(&cache->gate))) {
        page_free_slow(lane, base);
        return;
    }
    uint32_t head = atomic_load_relaxed_u32(&lane->head[page]);
    uint64_t count = cache->short_runs.count;
    /* From 1 to 15 pages, whoever the owner. A head of 0, nobody's run, fails in the slow half. */
    if (Q_LIKELY(head - page_head_make(0, 1) < page_head_make(0, PAGE_BLOCK_RUN_PAGES_MAX - 1) &&
                 count < PAGE_CACHE_SHORT_MAX)) {
        atomic_store_relaxed_u32(&lane->head[page], 0);
        cache->short_runs.run[count + 1] = (struct page_cache_run){(uint32_t)page, head};
        cache->short_runs.count = count + 1;
        os_gate_leave(&cache->gate);
        return;
    }
    if (page_head_pages(head) >= PAGE_BLOCK_RUN_PAGES_MAX &&
        page_head_pages(head) <= PAGE_CACHE_RUN_PAGES_MAX &&
        cache_long_has_room(cache, page_head_pages(head))) {
        atomic_store_relaxed_u32(&lane->head[page], 0);
        cache_push(cache, page, head);
        os_gate_leave(&cache->gate);
        return;
    }
    os_gate_leave(&cache->gate);
    page_free_slow(lane, base);
}

/* ---- emptying one that is stopped ----------------------------------------------------------- */

/* The calling thread's own, which it is inside of: this is a signal handler. */
static bool cache_is_interrupted(const struct page_cache *cache)
{
    const struct page_thread *own = page_thread_own(cache->lane->heap);

    return own != NULL && own->cache[cache->lane->id] == cache && os_gate_is_inside(&cache->gate);
}

void page_cache_flush_stopped(struct page_cache *cache)
{
    struct page_lane *lane = cache->lane;

    if (lane == NULL || cache_is_interrupted(cache)) {
        return;
    }
    cache_evict(cache, &cache->short_runs, cache->short_runs.count);
    cache_evict(cache, &cache->long_runs, cache->long_runs.count);
    cache_flush_owner(cache, PAGE_OWNER_NONE);
    if (cache->block.free != 0) {
        os_mutex_lock(&lane->mutex);
        /* A huge page has backed what nobody has touched. */
        if (page_lane_is_collapsing_locked(lane, cache->block.first_page, PAGE_BLOCK_PAGES) ||
            page_tree_half_state(&lane->tree, cache->block.first_page) == PAGE_HALF_HUGE) {
            cache->block.scavenged = 0;
        }
        uint64_t unbacked_pages = bits_count_u64(cache->block.scavenged);
        page_tree_give_block(&lane->tree, cache->block);
        os_mutex_unlock(&lane->mutex);
        page_commit_release(&lane->heap->commit, unbacked_pages << PAGE_SHIFT);
    }
    cache->block = (struct page_block){.first_page = PAGE_NONE};
}

void page_cache_drop_stopped(struct page_cache *cache)
{
    cache->short_runs.count = 0;
    cache->long_runs.count = 0;
    cache->long_runs.page_count = 0;
    cache->block = (struct page_block){.first_page = PAGE_NONE};
    cache->owner_pages = 0;
}
