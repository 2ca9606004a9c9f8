/*
 * Recovery of cells: what is in them, and how it comes into an index. recover.c has the whole.
 *
 *   cell ── judge ──> nothing: its first word is made zero
 *                     item ────> index, or dropped for a newer one of its key
 *                     large ───> put aside ──> claims its extents ──> index
 *                     extent ──> put aside ──> claimed, or free
 *
 * A cell is judged by what it says alone: nothing that it leads to is looked at before all cells
 * have been judged. Then each that has VALID is one whose lengths fit it and whose tenant there is,
 * so that the rest of recovery, and all that comes after, may read it without asking again.
 */
#include <cache/recover_parts.h>

#include <cache/expire.h>
#include <cache/policy.h>

/* An extent that a chain has reached. Only in recovery. */
#define HEAD_CLAIMED (1u << 31)
#define HEAD_KNOWN                                                                                 \
    (CACHE_HEAD_LENGTH_MASK | CACHE_HEAD_VALID | CACHE_HEAD_EXTENT | CACHE_HEAD_STALE |            \
     CACHE_HEAD_TOKEN | CACHE_HEAD_FETCHED | CACHE_HEAD_FIELDS)

/* ---- refs put aside ------------------------------------------------------------------------- */

static bool ref_push(struct quarry_cache *cache, struct cache_ref_chunk **chunks, uint64_t ref48)
{
    struct cache_ref_chunk *chunk = *chunks;

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

/* ---- judging a cell ------------------------------------------------------------------------- */

/* What is in a cell; all but the first is whole as far as the cell itself says. */
enum found { FOUND_NOTHING, FOUND_ITEM, FOUND_LARGE, FOUND_EXTENT };

static enum found extent_judge(const struct cache_recovery *recovery, void *data, size_t cell_bytes,
                               uint32_t head)
{
    const struct cache_extent *extent = data;
    bool is_good = cell_bytes >= CACHE_ALIGNED_BYTES_MIN &&
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
    return cell_bytes >= CACHE_ALIGNED_BYTES_MIN && (head & fields) == fields &&
           (head & CACHE_HEAD_LENGTH_MASK) == 0 &&
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

void cache_recover_count(struct cache_recover_worker *worker)
{
    /* Relaxed: a sum. */
    (void)atomic_add_relaxed_u64(&worker->recovery->item_counts[worker->counted_id],
                                 worker->counted);
    worker->counted = 0;
}

/* Items of a tenant lie beside each other, and so are counted many at a time. */
static void item_count(struct cache_recover_worker *worker, uint32_t tenant_id)
{
    if (tenant_id != worker->counted_id) {
        cache_recover_count(worker);
        worker->counted_id = tenant_id;
    }
    worker->counted++;
}

static enum found item_judge(struct cache_recover_worker *worker, void *data, size_t cell_bytes,
                             uint32_t head)
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
    item_count(worker, tenant->id);
    return (head & CACHE_HEAD_LARGE) != 0 ? FOUND_LARGE : FOUND_ITEM;
}

/* Judges a cell that says VALID; what is not whole, or nobody's any more, says so no more. */
static enum found cell_judge(struct cache_recover_worker *worker, void *data, size_t cell_bytes)
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

static void item_drop(struct cache_recover_worker *worker, const struct cache_pending *pending)
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
static void item_count_in(const struct cache_pending *pending)
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
static void older_drop(struct cache_recover_worker *worker, const struct cache_pending *newer,
                       uint64_t ref48)
{
    uint64_t slot = cache_index_remove(newer->tenant, newer->key.hash, ref48);

    if (slot != 0) {
        worker->dropped_count++;
        cache_item_drop(newer->tenant, slot);
    }
}

/* Meets another of its key in the index. Returns: whether to try again. */
static bool item_meet(struct cache_recover_worker *worker, const struct cache_pending *pending,
                      uint64_t other_ref48)
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

static void item_enter(struct cache_recover_worker *worker, const struct cache_pending *pending)
{
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
        } else {
            item_drop(worker, pending);
            goes_on = false;
        }
    }
}

static void pending_enter(struct cache_recover_worker *worker)
{
    for (uint32_t i = 0; i < worker->pending_count; i++) {
        item_enter(worker, &worker->pending[i]);
    }
    worker->pending_count = 0;
}

/* What is known of an item by its cell. */
static struct cache_pending pending_make(struct quarry_cache *cache, uint64_t ref48)
{
    struct cache_item *item = cache_item_at(cache, ref48);
    uint32_t head = cache_item_head(item);
    struct quarry_cache_tenant *tenant = cache_tenant_of(cache, cache_item_tenant_id(item, head));

    return (struct cache_pending){.item = item,
                                  .tenant = tenant,
                                  .ref48 = ref48,
                                  .key = {.bytes = cache_item_key(item, head),
                                          .byte_count = item->key_bytes,
                                          .hash = cache_item_hash(tenant, item, head)}};
}

static void pending_add(struct cache_recover_worker *worker, uint64_t ref48)
{
    struct cache_pending *pending = &worker->pending[worker->pending_count++];

    *pending = pending_make(worker->recovery->cache, ref48);
    quarry_cache_prefetch(pending->tenant, &pending->key);
    if (worker->pending_count == CACHE_PENDING_ITEMS) {
        pending_enter(worker);
    }
}

/* ---- a page --------------------------------------------------------------------------------- */

static uint64_t ref48_of(const struct quarry_slab_page *page, uint32_t cell)
{
    return (uint64_t)page->class_id << 32 | (uint64_t)page->page << 16 | cell;
}

/* Puts a cell aside that step 5 looks at; where there is no memory for that it is dropped. */
static bool cell_put_aside(struct cache_recover_worker *worker, enum found found, uint64_t ref48)
{
    struct cache_ref_chunk **chunks = found == FOUND_LARGE ? &worker->large : &worker->extents;

    return found == FOUND_ITEM || ref_push(worker->recovery->cache, chunks, ref48);
}

/* Judges all cells of a page. Returns: how many are live; of live_bits all that the page has. */
static uint32_t page_judge(struct cache_recover_worker *worker, const struct quarry_slab_page *page)
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
static void page_forget(struct cache_recovery *recovery, const struct cache_file_page *noted)
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

void cache_recover_adopt_page(struct cache_recover_worker *worker,
                              const struct cache_file_page *noted)
{
    struct cache_recovery *recovery = worker->recovery;
    const struct quarry_slab_page page = page_of(recovery->file, noted);

    if (page_judge(worker, &page) == 0 ||
        quarry_slab_adopt_page(recovery->cache->slab, &page, worker->live_bits) != QUARRY_OK) {
        page_forget(recovery, noted);
    }
}

void cache_recover_enter_page(struct cache_recover_worker *worker,
                              const struct cache_file_page *noted)
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

/* ---- extents -------------------------------------------------------------------------------- */

/*
 * Claims an extent for an item that lacks `left` bytes. Returns: the extent's bytes; 0: it is not
 * there, not the item's, taken, or too long, and is not claimed.
 */
static uint64_t extent_claim(struct quarry_cache *cache, uint64_t ref48,
                             const struct cache_pending *pending, uint64_t left, uint64_t *ret_next)
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
        extent->tenant_id != pending->tenant->id || extent->hash != pending->key.hash ||
        (head & CACHE_HEAD_LENGTH_MASK) > left) {
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
static bool chain_claim(struct quarry_cache *cache, const struct cache_pending *pending)
{
    uint32_t head = cache_item_head(pending->item);
    uint64_t first = cache_item_first_extent(pending->item, head), next = first, count = 0;
    uint64_t left = cache_item_value_bytes(pending->item, head), bytes = 1;

    while (next != 0 && bytes != 0 && left != 0) {
        bytes = extent_claim(cache, next, pending, left, &next);
        left -= bytes;
        count += bytes != 0;
    }
    if (next == 0 && bytes != 0 && left == 0) {
        return true;
    }
    chain_unclaim(cache, first, count);
    return false;
}

void cache_recover_enter_large(struct cache_recover_worker *worker)
{
    struct quarry_cache *cache = worker->recovery->cache;

    for (const struct cache_ref_chunk *chunk = worker->large; chunk != NULL; chunk = chunk->next) {
        for (uint32_t i = 0; i < chunk->count; i++) {
            const struct cache_pending pending = pending_make(cache, chunk->ref48[i]);
            if (!chain_claim(cache, &pending)) {
                cell_drop(cache, pending.ref48);
                worker->dropped_count++;
                continue;
            }
            item_enter(worker, &pending);
        }
    }
}

void cache_recover_sweep_extents(struct cache_recover_worker *worker)
{
    struct quarry_cache *cache = worker->recovery->cache;

    for (const struct cache_ref_chunk *chunk = worker->extents; chunk != NULL;
         chunk = chunk->next) {
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
