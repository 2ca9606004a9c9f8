/*
 * Lanes: how they begin and end.
 *
 * A lane is built in private and published last; it is taken out of the heap first and torn down
 * last. In between, those who use it without owning its lifetime (the scavenger, the heap map) pin
 * it, and tearing down waits for the pins.
 *
 * Ending a lifetime looks at no run. Page caches forget what they hold; the heads are cleared by
 * the OS page of them; whole words of bitmap become free; then each contiguous stretch of backed
 * pages is taken out of the tree, given back with one call, and put back as scavenged. What the
 * kernel refuses stays backed and free, and the scavenger tries again.
 */
#include <page/lane.h>

#include <string.h>

#include <page/heap.h>

/* ---- ids and zones -------------------------------------------------------------------------- */

/* A space smaller than a zone counts as one. */
static uint64_t lane_zones(uint64_t bytes)
{
    return size_ceil_div_u64(bytes, PAGE_ZONE_BYTES);
}

static bool zones_are_free(struct page_heap *heap, uint64_t first, uint64_t zone_count)
{
    for (uint64_t zone = first; zone < first + zone_count; zone++) {
        if (atomic_load_relaxed_u8(&heap->zone_lane[zone]) != 0) {
            return false;
        }
    }
    return true;
}

static void zones_set(struct page_heap *heap, uint64_t first, uint64_t zone_count, uint8_t value)
{
    for (uint64_t zone = first; zone < first + zone_count; zone++) {
        atomic_store_relaxed_u8(&heap->zone_lane[zone], value);
    }
}

static enum quarry_status lane_take_id(struct page_heap *heap, struct page_lane *lane)
    Q_REQUIRES(&heap->lanes_mutex)
{
    for (uint32_t id = 0; id < PAGE_LANES_MAX; id++) {
        if (!(heap->lane_ids_taken >> id & 1)) {
            heap->lane_ids_taken |= (uint64_t)1 << id;
            lane->id = id;
            lane->tls_offset =
                (char *)&page_tls.lane[id % PAGE_TLS_ENTRIES] - (char *)__builtin_thread_pointer();
            return QUARRY_OK;
        }
    }
    return QUARRY_TOO_MANY;
}

/* Lowest zones first. */
static enum quarry_status lane_take_zones(struct page_heap *heap, struct page_lane *lane)
    Q_REQUIRES(&heap->lanes_mutex)
{
    uint64_t zone_count = lane_zones(lane->reserved_bytes);
    uint64_t zone_end = lane_zones(heap->space_bytes);

    for (uint64_t first = 0; first + zone_count <= zone_end; first++) {
        if (zones_are_free(heap, first, zone_count)) {
            zones_set(heap, first, zone_count, (uint8_t)(lane->id + 1));
            lane->base = heap->space + (first << PAGE_ZONE_SHIFT);
            return QUARRY_OK;
        }
    }
    return QUARRY_NO_ADDRESS;
}

/* Gives id and zones back; zones that could not be made inaccessible again stay taken for ever. */
static void lane_give_place(struct page_lane *lane, bool are_zones_usable)
{
    struct page_heap *heap = lane->heap;

    os_mutex_lock(&heap->lanes_mutex);
    if (lane->base != NULL) {
        zones_set(heap, (uint64_t)(lane->base - heap->space) >> PAGE_ZONE_SHIFT,
                  lane_zones(lane->reserved_bytes), are_zones_usable ? 0 : PAGE_ZONE_LOST);
    }
    heap->lane_ids_taken &= ~((uint64_t)1 << lane->id);
    os_mutex_unlock(&heap->lanes_mutex);
}

static enum quarry_status lane_take_place(struct page_lane *lane)
{
    struct page_heap *heap = lane->heap;

    os_mutex_lock(&heap->lanes_mutex);
    enum quarry_status status = lane_take_id(heap, lane);
    if (status == QUARRY_OK) {
        status = lane_take_zones(heap, lane);
        if (status != QUARRY_OK) {
            heap->lane_ids_taken &= ~((uint64_t)1 << lane->id);
        }
    }
    os_mutex_unlock(&heap->lanes_mutex);
    return status;
}

/* Of all lanes of all heaps; 0 is nobody's. */
uint64_t page_lane_next_serial(void)
{
    static _Atomic uint64_t last_serial;

    return atomic_add_relaxed_u64(&last_serial, 1) + 1;
}

/* ---- creating ------------------------------------------------------------------------------- */

static enum quarry_status lane_make_metadata(struct page_lane *lane)
{
    struct page_heap *heap = lane->heap;
    struct os *os = heap->os;
    void *metadata;

    lane->layout = page_tree_layout_make(lane->chunk_limit, os->page_bytes);
    enum quarry_status status = os_reserve(os, lane->layout.total_bytes, os->page_bytes, &metadata);
    if (status != QUARRY_OK) {
        return status;
    }
    status = page_heap_reserve(heap, lane->layout.first_bytes);
    if (status == QUARRY_OK) {
        status = os_commit(os, metadata, lane->layout.first_bytes);
        if (status != QUARRY_OK) {
            page_commit_release(&heap->commit, lane->layout.first_bytes);
        }
    }
    if (status != QUARRY_OK) {
        (void)os_release(os, metadata, lane->layout.total_bytes);
        return status;
    }
    page_commit_note_metadata(&heap->commit, lane->layout.first_bytes);
    lane->metadata = metadata;
    lane->metadata_bytes = lane->layout.first_bytes;
    lane->head =
        (_Atomic uint32_t *)(void *)(lane->metadata + lane->layout.offset[PAGE_ARRAY_RUNS]);
    page_tree_init(&lane->tree, &lane->layout, metadata);
    return QUARRY_OK;
}

static void lane_free_metadata(struct page_lane *lane)
{
    struct page_heap *heap = lane->heap;

    /* Address space that cannot be unmapped keeps its charge: it may still be backed. */
    if (lane->metadata != NULL &&
        os_release(heap->os, lane->metadata, lane->layout.total_bytes) == QUARRY_OK) {
        os_mutex_lock(&heap->lanes_mutex);
        page_commit_release_metadata(&heap->commit, lane->metadata_bytes);
        os_mutex_unlock(&heap->lanes_mutex);
    }
    lane->metadata = NULL;
}

static bool lane_name_is_taken(struct page_heap *heap, const char *name)
    Q_REQUIRES(&heap->lanes_mutex)
{
    for (uint32_t id = 0; id < PAGE_LANES_MAX; id++) {
        const struct page_lane *lane = atomic_load_relaxed_ptr(&heap->lane[id]);
        if (lane != NULL && strcmp(lane->name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* Caches that threads have kept for the lane's id are the lane's from here on. */
static void caches_bind(struct page_heap *heap, uint32_t id, struct page_lane *lane)
    Q_REQUIRES(&heap->caches_mutex)
{
    for (struct page_thread *thread = heap->threads; thread != NULL; thread = thread->next) {
        if (thread->cache[id] != NULL) {
            thread->cache[id]->lane = lane;
        }
    }
}

static enum quarry_status lane_publish(struct page_lane *lane)
{
    struct page_heap *heap = lane->heap;
    enum quarry_status status = QUARRY_OK;

    page_caches_stop(heap);
    os_mutex_lock(&heap->lanes_mutex);
    if (lane_name_is_taken(heap, lane->name)) {
        status = QUARRY_EXISTS;
    } else {
        caches_bind(heap, lane->id, lane);
        (void)atomic_add_relaxed_u32(&heap->scavenger.collapser.lane_count, lane->wants_huge_pages);
        /* Pairs with the acquire in page_heap_lane_of and page_heap_pin_below. */
        atomic_store_release_ptr(&heap->lane[lane->id], lane);
    }
    os_mutex_unlock(&heap->lanes_mutex);
    page_caches_resume(heap);
    return status;
}

static void lane_init(struct page_lane *lane, struct page_heap *heap,
                      const struct page_lane_options *options, uint64_t reserved_bytes)
{
    lane->heap = heap;
    lane->serial = page_lane_next_serial();
    /* Checked to fit, and the lane is zero behind it. */
    memcpy(lane->name, options->name, strlen(options->name));
    lane->reserved_bytes = reserved_bytes;
    lane->reserved_pages = reserved_bytes >> PAGE_SHIFT;
    lane->chunk_limit = (uint32_t)(reserved_bytes / PAGE_CHUNK_BYTES);
    lane->file.fd = -1;
    lane->wants_huge_pages = options->wants_huge_pages;
    lane->collapsing_page = PAGE_NONE;
}

/* Everything after the struct itself: place, metadata, file. */
static enum quarry_status lane_build(struct page_lane *lane, const char *file_path)
{
    enum quarry_status status = lane_take_place(lane);

    if (status != QUARRY_OK) {
        return status;
    }
    /* By heap, then by id. */
    uint32_t lock_order = (uint32_t)(lane->heap->serial * PAGE_LANES_MAX) + lane->id;
    os_mutex_init(&lane->grow_mutex, OS_RANK_LANE_GROW, lock_order);
    os_mutex_init(&lane->mutex, OS_RANK_LANE, lock_order);
    status = lane_make_metadata(lane);
    if (status == QUARRY_OK && file_path != NULL) {
        status = page_lane_file_open(lane, file_path);
    }
    if (status == QUARRY_OK) {
        status = lane_publish(lane);
    }
    return status;
}

/* Takes a lane that nobody can reach any more apart. */
static void lane_dismantle(struct page_lane *lane)
{
    struct page_heap *heap = lane->heap;
    bool are_zones_usable = true;

    if (lane->grown_chunks > 0) {
        uint64_t grown_bytes = (uint64_t)lane->grown_chunks * PAGE_CHUNK_BYTES;
        are_zones_usable = os_uncommit(heap->os, lane->base, grown_bytes) == QUARRY_OK;
    }
    if (are_zones_usable) {
        uint64_t backed_pages = lane->tree.total_pages - lane->tree.scavenged_pages;
        page_commit_release(&heap->commit, backed_pages << PAGE_SHIFT);
    } else {
        /* Still backed for all we know, and nobody's: it stays charged, as metadata. */
        uint64_t backed_pages = lane->tree.total_pages - lane->tree.scavenged_pages;
        page_commit_note_metadata(&heap->commit, backed_pages << PAGE_SHIFT);
    }
    page_lane_file_close(lane);
    lane_free_metadata(lane);
    if (lane->base != NULL) {
        lane_give_place(lane, are_zones_usable);
    }
    page_metadata_give(&heap->metadata, lane, sizeof(*lane));
}

static enum quarry_status options_check(struct page_heap *heap,
                                        const struct page_lane_options *options,
                                        uint64_t *ret_reserved_bytes, struct quarry_error *error)
{
    /* A space smaller than a zone is one lane's, whatever it asks for. */
    bool is_small = heap->space_bytes < PAGE_ZONE_BYTES;
    uint64_t reserved_bytes = is_small                       ? heap->space_bytes
                              : options->reserved_bytes != 0 ? options->reserved_bytes
                                                             : heap->lane_bytes;

    if (options->name == NULL || options->name[0] == '\0' ||
        strnlen(options->name, PAGE_LANE_NAME_BYTES) == PAGE_LANE_NAME_BYTES) {
        return error_set(error, QUARRY_BAD_INPUT, "a lane's name has 1 to %u bytes",
                         PAGE_LANE_NAME_BYTES - 1);
    }
    if (reserved_bytes > heap->space_bytes || reserved_bytes > PAGE_LANE_PAGES_MAX << PAGE_SHIFT) {
        return error_set(error, QUARRY_NO_ADDRESS,
                         "lane '%s': %llu bytes of addresses wanted, the heap has %llu",
                         options->name, (unsigned long long)reserved_bytes,
                         (unsigned long long)heap->space_bytes);
    }
    if (options->wants_huge_pages && options->file_path != NULL) {
        return error_set(error, QUARRY_BAD_INPUT, "lane '%s': a file has no huge pages",
                         options->name);
    }
    *ret_reserved_bytes =
        is_small ? reserved_bytes : size_align_up_u64(reserved_bytes, PAGE_ZONE_BYTES);
    return QUARRY_OK;
}

enum quarry_status page_lane_create(struct page_heap *heap, const struct page_lane_options *options,
                                    struct page_lane **ret_lane, struct quarry_error *error)
{
    uint64_t reserved_bytes = 0;
    void *piece;
    enum quarry_status status = options_check(heap, options, &reserved_bytes, error);

    if (status != QUARRY_OK) {
        return status;
    }
    status = page_metadata_take(&heap->metadata, sizeof(struct page_lane), &piece);
    if (status != QUARRY_OK) {
        return error_set(error, status, "lane '%s': no memory for the lane itself", options->name);
    }
    struct page_lane *lane = piece;
    lane_init(lane, heap, options, reserved_bytes);
    status = lane_build(lane, options->file_path);
    if (status != QUARRY_OK) {
        lane_dismantle(lane);
        return error_set(
            error, status, "lane '%s' of %llu bytes of addresses%s%s: %s", options->name,
            (unsigned long long)reserved_bytes, options->file_path != NULL ? ", file " : "",
            options->file_path != NULL ? options->file_path : "", quarry_status_text(status));
    }
    *ret_lane = lane;
    return QUARRY_OK;
}

/* ---- ending --------------------------------------------------------------------------------- */

static void caches_drop_stopped(struct page_heap *heap, const struct page_lane *lane)
    Q_REQUIRES(&heap->caches_mutex)
{
    for (struct page_thread *thread = heap->threads; thread != NULL; thread = thread->next) {
        if (thread->cache[lane->id] != NULL) {
            page_cache_drop_stopped(thread->cache[lane->id]);
        }
    }
}

/*
 * Keeps scavengers out, until is_ending is false again, and waits until none holds pages, nor is
 * about to make them huge.
 */
static void lane_shut_scavengers_out(struct page_lane *lane)
{
    os_mutex_lock(&lane->mutex);
    lane->is_ending = true;
    while (lane->in_flight_pages > 0 || lane->collapsing_page != PAGE_NONE) {
        os_mutex_unlock(&lane->mutex);
        os_yield();
        os_mutex_lock(&lane->mutex);
    }
    os_mutex_unlock(&lane->mutex);
}

/* Frees every page of the lane in the tree, and everything that said who held it. */
static void lane_forget_runs_locked(struct page_lane *lane) Q_REQUIRES(&lane->mutex)
{
    struct page_ledger *ledger = &lane->heap->ledger;
    const struct page_ranges *ranges = &lane->tree.ranges;
    /* Pairs with the release in page_ledger_register. */
    uint32_t owner_count = atomic_load_acquire_u32(&ledger->owner_count);

    for (uint32_t i = 0; i < ranges->count; i++) {
        uint64_t first_page = (uint64_t)ranges->range[i].first << PAGE_CHUNK_SHIFT;
        uint64_t end_page = (uint64_t)ranges->range[i].end << PAGE_CHUNK_SHIFT;
        for (uint64_t page = first_page; page < end_page; page++) {
            atomic_store_relaxed_u32(&lane->head[page], 0);
        }
        page_tree_free_range(&lane->tree, ranges->range[i]);
    }
    for (uint32_t owner = 0; owner < owner_count; owner++) {
        atomic_store_relaxed_i64(page_ledger_cell(ledger, owner, lane->id), 0);
    }
}

/* Gives back what is backed and free, one call a stretch, until the kernel refuses. */
static void lane_give_back_stretches(struct page_lane *lane)
{
    enum quarry_status status = QUARRY_OK;
    struct page_stretch stretch;
    uint64_t from = 0;

    while (status == QUARRY_OK && !lane->is_foreign) {
        os_mutex_lock(&lane->mutex);
        bool is_found = page_tree_next_backed(&lane->tree, from, &stretch);
        bool is_taken =
            is_found && page_lane_begin_flight_locked(lane, stretch.page, stretch.page_count);
        os_mutex_unlock(&lane->mutex);
        if (!is_found) {
            return;
        }
        if (is_taken) {
            status = page_lane_fly(lane, stretch.page, stretch.page_count, PAGE_CAUSE_END);
            from = stretch.page + stretch.page_count;
        } else {
            /* Scavengers have every slot: one is free in a moment. */
            os_yield();
        }
    }
}

void page_lane_end(struct page_lane *lane)
{
    struct page_heap *heap = lane->heap;

    lane_shut_scavengers_out(lane);
    /* In one go: pages that caches have dropped are nobody's until the tree has them. */
    page_caches_stop(heap);
    caches_drop_stopped(heap, lane);
    os_mutex_lock(&lane->mutex);
    lane_forget_runs_locked(lane);
    lane->is_ending = false;
    os_mutex_unlock(&lane->mutex);
    page_caches_resume(heap);
    lane_give_back_stretches(lane);
}

/* Takes the lane out of the heap's tables and waits for those who still use it. */
static void lane_unpublish(struct page_lane *lane)
{
    struct page_heap *heap = lane->heap;

    page_caches_stop(heap);
    for (struct page_thread *thread = heap->threads; thread != NULL; thread = thread->next) {
        if (thread->cache[lane->id] != NULL) {
            page_cache_flush_stopped(thread->cache[lane->id]);
        }
    }
    caches_bind(heap, lane->id, NULL);
    os_mutex_lock(&heap->lanes_mutex);
    atomic_store_relaxed_ptr(&heap->lane[lane->id], NULL);
    (void)atomic_sub_relaxed_u32(&heap->scavenger.collapser.lane_count, lane->wants_huge_pages);
    os_mutex_unlock(&heap->lanes_mutex);
    page_caches_resume(heap);
    /* Pairs with the release in page_heap_unpin. */
    while (atomic_load_acquire_u32(&lane->pin_count) > 0) {
        os_yield();
    }
}

void page_lane_destroy(struct page_lane *lane)
{
    if (!lane->is_file_backed) {
        page_lane_end(lane);
    }
    lane_unpublish(lane);
    if (lane->is_file_backed) {
        /* Pages in use stay in the file; what is free leaves it. */
        lane_give_back_stretches(lane);
        os_mutex_lock(&lane->mutex);
        for (uint32_t owner = 0; owner < atomic_load_acquire_u32(&lane->heap->ledger.owner_count);
             owner++) {
            atomic_store_relaxed_i64(page_ledger_cell(&lane->heap->ledger, owner, lane->id), 0);
        }
        os_mutex_unlock(&lane->mutex);
    }
    lane_dismantle(lane);
}
