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

#include <cache/expire.h>
#include <cache/policy.h>

/* Granules that a thread takes at a time: 2 MiB of the lane. */
#define STRIDE_GRANULES 64u
/* Items whose buckets are fetched before the first of them is entered. */
#define BATCH_ITEMS 16u
/* What an item needs besides its cell: 11.4 bytes in an index, 2.3 in its page's record. */
#define BYTES_AN_ITEM 15u
/* Sequences that can have been given since one was noted. */
#define SEQUENCES_SINCE_NOTED (UINT64_C(1) << 28)
/* More than will ever be given: a file that notes more is damaged. */
#define SEQUENCE_MAX (UINT64_C(1) << 60)
#define THREADS_MAX  64u
/* What an index has room for from the beginning. */
#define PRESIZE_FROM 700u

/* An extent that a chain has reached. Only in recovery. */
#define HEAD_CLAIMED (1u << 31)
#define HEAD_KNOWN                                                                                 \
    (CACHE_HEAD_LENGTH_MASK | CACHE_HEAD_VALID | CACHE_HEAD_EXTENT | CACHE_HEAD_STALE |            \
     CACHE_HEAD_TOKEN | CACHE_HEAD_FETCHED | CACHE_HEAD_FIELDS)

/* Refs put aside for step 5. */
struct ref_chunk {
    struct ref_chunk *next;
    uint32_t count;
    uint32_t reserved;
    uint64_t ref48[510];
};
Q_STATIC_ASSERT(sizeof(struct ref_chunk) == 4096, "as pieces of a cache's memory go");

struct recovery {
    /* const after init */
    struct quarry_cache *cache;
    struct cache_file *file;
    uint64_t sequence_top; /* by which sequences are completed */
    uint32_t tenant_limit;
    _Atomic uint64_t *item_counts; /* by tenant; sums of step 3 */
    /* atomic */
    _Atomic uint64_t next_granule;
};

/* An item on its way into the index. */
struct pending {
    struct cache_item *item;
    struct quarry_cache_tenant *tenant;
    uint64_t ref48;
    struct quarry_cache_key key;
};

struct worker;
/* What a thread does with a page. */
typedef void page_step(struct worker *worker, const struct cache_file_page *noted);

struct worker {
    struct recovery *recovery;
    page_step *step;
    struct os_thread thread;
    void *stack; /* NULL: it is the caller */
    struct ref_chunk *large, *extents;
    uint64_t dropped_count, sequence_max;
    uint32_t counted_id; /* of a tenant with `counted` items that are not in item_counts yet */
    uint64_t counted;
    uint32_t pending_count;
    struct pending pending[BATCH_ITEMS];
    uint64_t live_bits[1024]; /* of the page under way */
};

/* ---- refs put aside ------------------------------------------------------------------------- */

static bool ref_push(struct quarry_cache *cache, struct ref_chunk **chunks, uint64_t ref48)
{
    struct ref_chunk *chunk = *chunks;

    if (chunk == NULL || chunk->count == sizeof(chunk->ref48) / sizeof(chunk->ref48[0])) {
        chunk = cache_memory_take(cache, sizeof(*chunk));
        if (chunk == NULL) {
            return false;
        }
        chunk->next = *chunks;
        *chunks = chunk;
    }
    chunk->ref48[chunk->count++] = ref48;
    return true;
}

static void refs_free(struct quarry_cache *cache, struct ref_chunk *chunk)
{
    while (chunk != NULL) {
        struct ref_chunk *next = chunk->next;
        cache_memory_give(cache, chunk, sizeof(*chunk));
        chunk = next;
    }
}

/* ---- judging a cell ------------------------------------------------------------------------- */

/* What is in a cell; all but the first is whole as far as the cell itself says. */
enum found { FOUND_NOTHING, FOUND_ITEM, FOUND_LARGE, FOUND_EXTENT };

static enum found extent_judge(const struct recovery *recovery, void *data, size_t cell_bytes,
                               uint32_t head)
{
    const struct cache_extent *extent = data;
    bool is_good = cell_bytes > sizeof(*extent) &&
                   (head & CACHE_HEAD_LENGTH_MASK) - 1 < cell_bytes - sizeof(*extent) &&
                   (head & CACHE_HEAD_FIELDS) == 0 &&
                   cache_tenant_of(recovery->cache, extent->tenant_id) != NULL;

    return is_good ? FOUND_EXTENT : FOUND_NOTHING;
}

/* Whether an item's fields, key and value lie in its cell. */
static bool item_fits(const struct cache_item *item, size_t cell_bytes, uint32_t head)
{
    uint64_t key_end = (uint64_t)cache_item_key_offset(head) + item->key_bytes;

    if (key_end + (head & CACHE_HEAD_LENGTH_MASK) > cell_bytes || item->key_bytes == 0 ||
        item->key_bytes > QUARRY_CACHE_KEY_BYTES_MAX) {
        return false;
    }
    if ((head & CACHE_HEAD_LARGE) == 0) {
        return true;
    }
    /* A large one has these fields, which change in place, and all of its value in extents. */
    uint32_t fields = CACHE_HEAD_EXPIRY | CACHE_HEAD_CAS;
    return (head & fields) == fields && (head & CACHE_HEAD_LENGTH_MASK) == 0 &&
           cache_item_value_bytes(item, head) - 1 < QUARRY_CACHE_VALUE_BYTES_MAX;
}

/* Nobody pins it any more; false: it was out of the index already. */
static bool item_unpin(const struct cache_item *item, uint32_t head)
{
    if ((head & CACHE_HEAD_PINS) == 0) {
        return true;
    }
    _Atomic uint32_t *pins = cache_item_pins_field(item, head);
    /* Relaxed: nobody else is there yet. */
    uint32_t count = atomic_load_relaxed_u32(pins);
    if (count != 0) {
        atomic_store_relaxed_u32(pins, 0);
    }
    return (count & CACHE_PINS_DEAD) == 0;
}

/* Items of a tenant: they lie beside each other, and so are counted a few at a time. */
static void items_count(struct worker *worker, uint32_t tenant_id, uint64_t count)
{
    if (tenant_id != worker->counted_id || count == 0) {
        (void)atomic_add_relaxed_u64(&worker->recovery->item_counts[worker->counted_id],
                                     worker->counted);
        worker->counted_id = tenant_id;
        worker->counted = 0;
    }
    worker->counted += count;
}

static enum found item_judge(struct worker *worker, void *data, size_t cell_bytes, uint32_t head)
{
    struct quarry_cache *cache = worker->recovery->cache;
    const struct cache_item *item = data;

    if (!item_fits(item, cell_bytes, head)) {
        return FOUND_NOTHING;
    }
    const struct quarry_cache_tenant *tenant =
        cache_tenant_of(cache, cache_item_tenant_id(item, head));
    uint64_t sequence = cache_item_sequence(item, worker->recovery->sequence_top);
    /* One that wraps was never given. */
    if (sequence > worker->recovery->sequence_top) {
        return FOUND_NOTHING;
    }
    worker->sequence_max = size_max_u64(worker->sequence_max, sequence);
    if (tenant == NULL || !item_unpin(item, head) || cache_item_is_expired(cache, item, head) ||
        cache_item_is_flushed(tenant, item)) {
        return FOUND_NOTHING;
    }
    items_count(worker, tenant->id, 1);
    return (head & CACHE_HEAD_LARGE) != 0 ? FOUND_LARGE : FOUND_ITEM;
}

/* Judges a cell that says VALID; what is not whole, or nobody's any more, says so no more. */
static enum found cell_judge(struct worker *worker, void *data, size_t cell_bytes)
{
    _Atomic uint32_t *word = data;
    /* Relaxed: nobody else is there yet. */
    uint32_t head = atomic_load_relaxed_u32(word);
    enum found found = FOUND_NOTHING;

    if ((head & CACHE_HEAD_EXTENT) != 0 && (head & HEAD_CLAIMED) != 0) {
        head &= ~HEAD_CLAIMED; /* of a recovery that did not come to its end */
        atomic_store_relaxed_u32(word, head);
    }
    if ((head & ~HEAD_KNOWN) == 0) {
        found = (head & CACHE_HEAD_EXTENT) != 0
                    ? extent_judge(worker->recovery, data, cell_bytes, head)
                    : item_judge(worker, data, cell_bytes, head);
    }
    if (found == FOUND_NOTHING) {
        atomic_store_relaxed_u32(word, 0);
        worker->dropped_count++;
    }
    return found;
}

/* ---- dropping ------------------------------------------------------------------------------- */

/* Ends a cell that no index has. Inside the epoch. */
static void cell_drop(struct quarry_cache *cache, uint64_t ref48)
{
    quarry_ref ref = quarry_slab_ref(cache->slab, ref48);
    _Atomic uint32_t *word = quarry_slab_data(cache->slab, ref);

    Q_ASSERT(word != NULL);
    /* Release: it is nothing before it is free. */
    atomic_store_release_u32(word, 0);
    quarry_slab_retire(cache->slab, ref);
}

/* The extents of an item that no index has, all claimed by it. */
static void chain_drop(struct quarry_cache *cache, const struct cache_item *item)
{
    uint64_t next = cache_item_first_extent(item, cache_item_head(item));

    while (next != 0) {
        const struct cache_extent *extent = slab_data_unchecked(cache->slab, next);
        uint64_t ref48 = next;
        /* Relaxed: nobody else is there yet. */
        next = atomic_load_relaxed_u64(&extent->next);
        cell_drop(cache, ref48);
    }
}

static void item_drop(struct worker *worker, const struct pending *pending)
{
    struct quarry_cache *cache = worker->recovery->cache;

    if ((cache_item_head(pending->item) & CACHE_HEAD_LARGE) != 0) {
        chain_drop(cache, pending->item);
    }
    cell_drop(cache, pending->ref48);
    worker->dropped_count++;
}

/* ---- entering ------------------------------------------------------------------------------- */

/* An item that the index has counts. */
static void item_count_in(const struct pending *pending)
{
    struct quarry_cache *cache = pending->tenant->cache;
    uint32_t head = cache_item_head(pending->item);
    uint64_t bytes = cache_item_charge(cache, pending->ref48, pending->item, head);
    uint32_t expiry = cache_item_expiry(pending->item, head);

    cache_count(pending->tenant, CACHE_COUNT_ITEMS);
    cache_count_add(pending->tenant, CACHE_COUNT_ITEM_BYTES, bytes);
    cache_count_add(pending->tenant, CACHE_COUNT_REQUEST_BYTES,
                    pending->item->key_bytes + cache_item_value_bytes(pending->item, head));
    if (expiry != 0) {
        cache_expire_noted(cache, pending->ref48, expiry);
    }
    cache_policy_entered(pending->tenant, pending->key.hash, pending->ref48, bytes, true);
}

/* An item that the index has, and that is older than another of its key, goes. */
static void older_drop(struct worker *worker, const struct pending *newer, uint64_t ref48)
{
    uint64_t slot = cache_index_remove(newer->tenant, newer->key.hash, ref48);

    if (slot != 0) {
        worker->dropped_count++;
        cache_item_drop(newer->tenant, newer->key.hash, slot);
    }
}

/* Meets another of its key in the index. Returns: whether to try again. */
static bool item_meet(struct worker *worker, const struct pending *pending, uint64_t other_ref48)
{
    struct quarry_cache *cache = worker->recovery->cache;
    uint64_t top = worker->recovery->sequence_top;
    const struct cache_item *other = cache_item_at(cache, other_ref48);

    if (cache_item_sequence(pending->item, top) <= cache_item_sequence(other, top)) {
        item_drop(worker, pending);
        return false;
    }
    older_drop(worker, pending, other_ref48);
    return true;
}

static void item_enter(struct worker *worker, const struct pending *pending)
{
    struct quarry_cache *cache = worker->recovery->cache;
    bool goes_on = true;

    while (goes_on) {
        uint64_t other_ref48 = 0;
        enum quarry_status status = cache_index_restore(pending->tenant, pending->key.hash,
                                                        pending->ref48, true, &other_ref48);
        if (status == QUARRY_OK) {
            item_count_in(pending);
            return;
        }
        if (status == QUARRY_EXISTS) {
            goes_on = item_meet(worker, pending, other_ref48);
        } else if (!cache_policy_make_room(cache, CACHE_EXTENT_BYTES)) {
            item_drop(worker, pending);
            return;
        }
    }
}

static void pending_enter(struct worker *worker)
{
    for (uint32_t i = 0; i < worker->pending_count; i++) {
        item_enter(worker, &worker->pending[i]);
    }
    worker->pending_count = 0;
}

/* What is known of an item by its cell. */
static struct pending pending_make(struct quarry_cache *cache, uint64_t ref48)
{
    struct cache_item *item = cache_item_at(cache, ref48);
    uint32_t head = cache_item_head(item);
    struct quarry_cache_tenant *tenant = cache_tenant_of(cache, cache_item_tenant_id(item, head));

    return (struct pending){.item = item,
                            .tenant = tenant,
                            .ref48 = ref48,
                            .key = {.bytes = cache_item_key(item, head),
                                    .byte_count = item->key_bytes,
                                    .hash = cache_item_hash(tenant, item, head)}};
}

static void pending_add(struct worker *worker, uint64_t ref48)
{
    struct pending *pending = &worker->pending[worker->pending_count++];

    *pending = pending_make(worker->recovery->cache, ref48);
    quarry_cache_prefetch(pending->tenant, &pending->key);
    if (worker->pending_count == BATCH_ITEMS) {
        pending_enter(worker);
    }
}

/* ---- a page --------------------------------------------------------------------------------- */

static uint64_t ref48_of(const struct quarry_slab_page *page, uint32_t cell)
{
    return (uint64_t)page->class_id << 32 | (uint64_t)page->page << 16 | cell;
}

/* Puts a cell aside that step 5 looks at; where there is no memory for that it is dropped. */
static bool cell_put_aside(struct worker *worker, enum found found, uint64_t ref48)
{
    struct ref_chunk **chunks = found == FOUND_LARGE ? &worker->large : &worker->extents;

    return found == FOUND_ITEM || ref_push(worker->recovery->cache, chunks, ref48);
}

/* Judges all cells of a page. Returns: how many are live; of live_bits all that the page has. */
static uint32_t page_judge(struct worker *worker, const struct quarry_slab_page *page)
{
    char *base = (char *)(uintptr_t)page->base;
    uint32_t live_count = 0;

    memset(worker->live_bits, 0, size_ceil_div(page->cell_count, 64) * sizeof(uint64_t));
    for (uint32_t cell = 0; cell < page->cell_count; cell++) {
        _Atomic uint32_t *word =
            (_Atomic uint32_t *)(void *)(base + (size_t)cell * page->cell_bytes);
        /* Relaxed: nobody else is there yet. */
        if ((atomic_load_relaxed_u32(word) & CACHE_HEAD_VALID) == 0) {
            continue;
        }
        enum found found = cell_judge(worker, (void *)(uintptr_t)word, page->cell_bytes);
        if (found == FOUND_NOTHING) {
            continue;
        }
        if (!cell_put_aside(worker, found, ref48_of(page, cell))) {
            atomic_store_relaxed_u32(word, 0);
            worker->dropped_count++;
            continue;
        }
        worker->live_bits[cell / 64] |= UINT64_C(1) << cell % 64;
        live_count++;
    }
    return live_count;
}

/* A page that is nothing to the slab goes. */
static void page_forget(struct recovery *recovery, const struct cache_file_page *noted)
{
    struct cache_file *file = recovery->file;

    cache_file_remove_page(file, noted->lane_page);
    quarry_account_pages_free(file->account, (struct quarry_lane *)(void *)file->lane,
                              page_lane_address(file->lane, noted->lane_page));
}

/* A noted page as the slab knows it. */
static struct quarry_slab_page page_of(const struct cache_file *file,
                                       const struct cache_file_page *noted)
{
    uint64_t bytes = (uint64_t)noted->page_count * QUARRY_PAGE_BYTES;

    return (struct quarry_slab_page){
        .class_id = noted->class_id,
        .page = noted->page,
        .base = page_lane_address(file->lane, noted->lane_page),
        .bytes = bytes,
        .cell_bytes = noted->cell_bytes,
        .cell_count = quarry_slab_page_cells(noted->cell_bytes, bytes),
    };
}

/* Step 3. */
static void page_adopt(struct worker *worker, const struct cache_file_page *noted)
{
    struct recovery *recovery = worker->recovery;
    const struct quarry_slab_page page = page_of(recovery->file, noted);

    if (page_judge(worker, &page) == 0 ||
        quarry_slab_adopt_page(recovery->cache->slab, &page, worker->live_bits) != QUARRY_OK) {
        page_forget(recovery, noted);
    }
}

/* Step 4: the items of a page but large ones. */
static void page_enter(struct worker *worker, const struct cache_file_page *noted)
{
    struct quarry_cache *cache = worker->recovery->cache;
    const struct quarry_slab_page page = page_of(worker->recovery->file, noted);
    const char *cell_data = page.base;

    quarry_epoch_enter(cache->epoch);
    for (uint32_t cell = 0; cell < page.cell_count; cell++, cell_data += page.cell_bytes) {
        uint32_t head = cache_item_head((const struct cache_item *)(const void *)cell_data);
        if ((head & (CACHE_HEAD_VALID | CACHE_HEAD_EXTENT | CACHE_HEAD_LARGE)) ==
            CACHE_HEAD_VALID) {
            pending_add(worker, ref48_of(&page, cell));
        }
    }
    pending_enter(worker);
    quarry_epoch_leave(cache->epoch);
}

/* ---- threads -------------------------------------------------------------------------------- */

/* Takes a step for pages as long as there are any. */
static void worker_run(void *argument)
{
    struct worker *worker = argument;
    struct recovery *recovery = worker->recovery;
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
static void worker_start(struct worker *worker)
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

static void worker_join(struct worker *worker)
{
    if (worker->stack != NULL) {
        os_thread_join(&worker->thread);
        cache_memory_give(worker->recovery->cache, worker->stack, OS_THREAD_STACK_BYTES);
        worker->stack = NULL;
    }
}

/* Takes a step for all pages, by all threads. */
static void workers_run(struct worker *workers, uint32_t count, page_step *step)
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

/* ---- extents -------------------------------------------------------------------------------- */

/* Claims an extent for an item. Returns: its bytes; 0: it is not there, not the item's, or taken.
 */
static uint64_t extent_claim(struct quarry_cache *cache, uint64_t ref48,
                             const struct pending *pending, uint64_t *ret_next)
{
    struct cache_extent *extent =
        quarry_slab_data(cache->slab, quarry_slab_ref(cache->slab, ref48));

    if (extent == NULL) {
        return 0;
    }
    /* Relaxed: nobody else is there yet. */
    uint32_t head = atomic_load_relaxed_u32(&extent->head);
    if ((head & (CACHE_HEAD_VALID | CACHE_HEAD_EXTENT | HEAD_CLAIMED)) !=
            (CACHE_HEAD_VALID | CACHE_HEAD_EXTENT) ||
        extent->tenant_id != pending->tenant->id || extent->hash != pending->key.hash) {
        return 0;
    }
    atomic_store_relaxed_u32(&extent->head, head | HEAD_CLAIMED);
    *ret_next = atomic_load_relaxed_u64(&extent->next);
    return head & CACHE_HEAD_LENGTH_MASK;
}

/* Takes back what was claimed of a chain: its first `count` extents. */
static void chain_unclaim(struct quarry_cache *cache, uint64_t ref48, uint64_t count)
{
    for (; count != 0; count--) {
        struct cache_extent *extent = slab_data_unchecked(cache->slab, ref48);
        /* Relaxed: nobody else is there yet. */
        uint32_t head = atomic_load_relaxed_u32(&extent->head);
        atomic_store_relaxed_u32(&extent->head, head & ~HEAD_CLAIMED);
        ref48 = atomic_load_relaxed_u64(&extent->next);
    }
}

/* Claims all extents of an item. Returns: false: they are not all there, and none is claimed. */
static bool chain_claim(struct quarry_cache *cache, const struct pending *pending)
{
    uint32_t head = cache_item_head(pending->item);
    uint64_t first = cache_item_first_extent(pending->item, head), next = first, count = 0;
    uint64_t left = cache_item_value_bytes(pending->item, head), bytes = 1;

    while (next != 0 && bytes != 0 && left != 0) {
        bytes = extent_claim(cache, next, pending, &next);
        bytes = bytes <= left ? bytes : 0;
        left -= bytes;
        count += bytes != 0;
    }
    if (next == 0 && bytes != 0 && left == 0) {
        return true;
    }
    chain_unclaim(cache, first, count);
    return false;
}

/* Enters the large items that a thread has put aside. */
static void large_enter(struct worker *worker)
{
    struct quarry_cache *cache = worker->recovery->cache;

    for (const struct ref_chunk *chunk = worker->large; chunk != NULL; chunk = chunk->next) {
        for (uint32_t i = 0; i < chunk->count; i++) {
            const struct pending pending = pending_make(cache, chunk->ref48[i]);
            if (!chain_claim(cache, &pending)) {
                cell_drop(cache, pending.ref48);
                worker->dropped_count++;
                continue;
            }
            item_enter(worker, &pending);
        }
    }
}

/* Extents that no chain has reached are free; others forget that one has. */
static void extents_sweep(struct worker *worker)
{
    struct quarry_cache *cache = worker->recovery->cache;

    for (const struct ref_chunk *chunk = worker->extents; chunk != NULL; chunk = chunk->next) {
        for (uint32_t i = 0; i < chunk->count; i++) {
            quarry_ref ref = quarry_slab_ref(cache->slab, chunk->ref48[i]);
            struct cache_extent *extent = quarry_slab_data(cache->slab, ref);
            /* Relaxed: nobody else is there yet. */
            uint32_t head = extent == NULL ? 0 : atomic_load_relaxed_u32(&extent->head);
            if ((head & HEAD_CLAIMED) != 0) {
                atomic_store_relaxed_u32(&extent->head, head & ~HEAD_CLAIMED);
            } else if ((head & CACHE_HEAD_VALID) != 0) {
                cell_drop(cache, chunk->ref48[i]);
                worker->dropped_count++;
            }
        }
    }
}

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

static enum quarry_status classes_adopt(struct recovery *recovery)
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
static uint64_t pages_excess(const struct recovery *recovery)
{
    struct quarry_account_state state;
    struct cache_file_page noted;
    uint64_t granule = 0, needed = 0;

    quarry_account_read(recovery->cache->account, &state);
    needed = state.charged_bytes + (recovery->cache->has_no_thread ? 0 : OS_THREAD_STACK_BYTES);
    while (cache_file_next_page(recovery->file, &granule, UINT64_MAX, &noted) == QUARRY_OK) {
        needed += page_needs(&noted);
    }
    /* Relaxed: nobody else is there yet. */
    uint64_t size_bytes = atomic_load_relaxed_u64(&recovery->cache->size_bytes);
    return needed > size_bytes ? needed - size_bytes : 0;
}

/* Leaves pages out that there is no room for, and little more: the last one is the smallest. */
static void pages_leave_out(struct recovery *recovery)
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
static void runs_adopt(struct recovery *recovery)
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
static void runs_uncharge(struct recovery *recovery)
{
    struct cache_file_page noted;
    uint64_t granule = 0;

    while (cache_file_next_page(recovery->file, &granule, UINT64_MAX, &noted) == QUARRY_OK) {
        quarry_account_uncharge(recovery->file->account,
                                (uint64_t)noted.page_count * QUARRY_PAGE_BYTES);
    }
}

/* ---- all of it ------------------------------------------------------------------------------ */

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
static void indexes_presize(struct recovery *recovery)
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
static void sequence_restore(struct recovery *recovery, const struct worker *workers,
                             uint32_t count)
{
    uint64_t last = atomic_load_relaxed_u64(&recovery->file->head->sequence);

    for (uint32_t i = 0; i < count; i++) {
        last = size_max_u64(last, workers[i].sequence_max);
    }
    last += recovery->file->was_clean ? 0 : SEQUENCES_SINCE_NOTED;
    atomic_store_relaxed_u64(&recovery->cache->sequence, last);
}

/* Steps 3 to 5. */
static void pages_recover(struct recovery *recovery, struct worker *workers, uint32_t count)
{
    struct quarry_cache *cache = recovery->cache;

    workers_run(workers, count, page_adopt);
    for (uint32_t i = 0; i < count; i++) {
        items_count(&workers[i], 0, 0);
    }
    indexes_presize(recovery);
    workers_run(workers, count, page_enter);
    sequence_restore(recovery, workers, count);
    quarry_epoch_enter(cache->epoch);
    for (uint32_t i = 0; i < count; i++) {
        large_enter(&workers[i]);
    }
    for (uint32_t i = 0; i < count; i++) {
        extents_sweep(&workers[i]);
        refs_free(cache, workers[i].large);
        refs_free(cache, workers[i].extents);
        cache->recovery.dropped_count += workers[i].dropped_count;
    }
    quarry_epoch_leave(cache->epoch);
    items_sum(cache);
}

/* Memory for the threads, and counts for the tenants. */
static struct worker *workers_take(struct recovery *recovery, uint32_t count)
{
    struct quarry_cache *cache = recovery->cache;
    struct worker *workers = cache_memory_take(cache, count * sizeof(*workers));

    recovery->tenant_limit = atomic_load_relaxed_u32(&cache->tenant_limit);
    recovery->item_counts =
        cache_memory_take(cache, recovery->tenant_limit * sizeof(recovery->item_counts[0]));
    for (uint32_t i = 0; workers != NULL && i < count; i++) {
        workers[i].recovery = recovery;
    }
    return workers;
}

static void workers_give(struct recovery *recovery, struct worker *workers, uint32_t count)
{
    cache_memory_give(recovery->cache, (void *)(uintptr_t)recovery->item_counts,
                      recovery->tenant_limit * sizeof(recovery->item_counts[0]));
    cache_memory_give(recovery->cache, workers, count * sizeof(*workers));
}

enum quarry_status cache_recover(struct quarry_cache *cache, struct cache_file *file,
                                 uint32_t thread_count)
{
    uint64_t noted = atomic_load_relaxed_u64(&file->head->sequence);
    struct recovery recovery = {.cache = cache, .file = file};
    uint32_t count = (uint32_t)size_min_u64(thread_count, THREADS_MAX);

    recovery.sequence_top = noted + (file->was_clean ? 0 : SEQUENCES_SINCE_NOTED);
    enum quarry_status status = noted > SEQUENCE_MAX ? QUARRY_CORRUPT : classes_adopt(&recovery);
    if (status != QUARRY_OK) {
        return status;
    }
    atomic_store_relaxed_u64(&cache->sequence, recovery.sequence_top);
    struct worker *workers = workers_take(&recovery, count);
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
