/*
 * The page heap: what ties lanes, budget, owners, caches and scavenger together.
 *
 *   own reservation   | struct page_heap | metadata pieces …                         |
 *   ledger            | owner rows …                                                 |
 *   space             | zone | zone | zone | …  lanes take whole zones               |
 *   each lane         its own metadata reservation (tree_layout.h)
 *
 * All of these are address space only until committed, and committed only after being charged: the
 * first charge is the heap's own first pages, and a limit that cannot hold those is refused.
 *
 * A process may have a few heaps (tests do); each has a slot in every thread's page_tls, told apart
 * by a serial number, so that a thread that outlives a heap never follows a stale pointer.
 */
#include <page/heap.h>

#include <page/fork.h>

/* Address space for the heap and its pieces: enough for 13,000 threads with two lanes each. */
#define HEAP_OWN_BYTES ((size_t)Q_MIB(64))
/* Address space per byte of limit, over all lanes: fragmentation never runs a lane out of it. */
#define HEAP_SPACE_PER_LIMIT 256u
#define HEAP_SPACE_MIN_BYTES Q_GIB(64)
#define HEAP_SPACE_MAX_BYTES ((uint64_t)PAGE_ZONES_MAX << PAGE_ZONE_SHIFT)
/* The least that a heap is made with, and the alignment of a space below one zone. */
#define HEAP_SPACE_LEAST_BYTES Q_MIB(16)
/* Of the process' address limit, where it has one, at most a quarter is for the lanes. */
#define HEAP_ADDRESS_SHARE 4u
/* Without a limit: this percentage of the cgroup's limit or of RAM. */
#define HEAP_DEFAULT_PERCENT 90u

static struct {
    struct os_mutex mutex; /* rank HEAPS */
    /* guarded by mutex */
    struct page_heap *heap[PAGE_HEAPS_MAX];
    bool is_ready; /* hooks are registered */
} heaps;

/* ---- threads that end ----------------------------------------------------------------------- */

/* Runs at the exit of each thread that has used a heap. */
static void heaps_thread_exit(void)
{
    struct page_tls tls = page_tls;
    bool is_first = os_thread_is_first();

    page_tls = (struct page_tls){0};
    os_mutex_lock(&heaps.mutex);
    for (uint32_t slot = 0; slot < PAGE_HEAPS_MAX; slot++) {
        struct page_heap *heap = heaps.heap[slot];
        if (heap != NULL && is_first) {
            page_scavenger_watch_threads(heap);
        }
        if (heap != NULL && tls.heap[slot].serial == heap->serial) {
            page_thread_exit(heap, tls.heap[slot].thread);
        }
    }
    os_mutex_unlock(&heaps.mutex);
}

/* ---- forks ---------------------------------------------------------------------------------- */

/* The heaps by serial number, which is the order of their locks. Returns how many there are. */
static uint32_t heaps_in_order(struct page_heap *ret_heaps[PAGE_HEAPS_MAX]) Q_REQUIRES(&heaps.mutex)
{
    uint32_t count = 0;

    for (uint32_t slot = 0; slot < PAGE_HEAPS_MAX; slot++) {
        struct page_heap *heap = heaps.heap[slot];
        if (heap == NULL) {
            continue;
        }
        uint32_t at = count++;
        for (; at > 0 && ret_heaps[at - 1]->serial > heap->serial; at--) {
            ret_heaps[at] = ret_heaps[at - 1];
        }
        ret_heaps[at] = heap;
    }
    return count;
}

/* All locks of one rank of all heaps before the next rank. */
static void heaps_fork_prepare(void) Q_NO_THREAD_SAFETY_ANALYSIS
{
    struct page_heap *heap[PAGE_HEAPS_MAX];

    os_mutex_lock(&heaps.mutex);
    uint32_t count = heaps_in_order(heap);
    for (uint32_t step = 0; step < PAGE_FORK_STEPS; step++) {
        for (uint32_t i = 0; i < count; i++) {
            page_heap_fork_prepare(heap[i], step);
        }
    }
}

static void heaps_fork_parent(void) Q_NO_THREAD_SAFETY_ANALYSIS
{
    struct page_heap *heap[PAGE_HEAPS_MAX];
    uint32_t count = heaps_in_order(heap);

    for (uint32_t i = 0; i < count; i++) {
        page_heap_fork_parent(heap[i]);
    }
    os_mutex_unlock(&heaps.mutex);
}

static void heaps_fork_child(void) Q_NO_THREAD_SAFETY_ANALYSIS
{
    struct page_heap *heap[PAGE_HEAPS_MAX];
    uint32_t count = heaps_in_order(heap);

    for (uint32_t i = 0; i < count; i++) {
        page_heap_fork_child_unlock(heap[i]);
    }
    os_mutex_reset_after_fork(&heaps.mutex);
    for (uint32_t i = 0; i < count; i++) {
        page_heap_fork_child(heap[i]);
    }
}

/* ---- the table of heaps --------------------------------------------------------------------- */

static enum quarry_status heaps_make_ready(void) Q_REQUIRES(&heaps.mutex)
{
    if (heaps.is_ready) {
        return QUARRY_OK;
    }
    enum quarry_status status = os_thread_exit_hook(heaps_thread_exit);
    heaps.is_ready = status == QUARRY_OK;
    return status;
}

static enum quarry_status heaps_enter(struct page_heap *heap)
{
    /* Before the lock is taken that a fork would leave locked. */
    enum quarry_status status =
        os_fork_hooks(OS_RANK_HEAPS, heaps_fork_prepare, heaps_fork_parent, heaps_fork_child);

    if (status != QUARRY_OK) {
        return status;
    }
    os_mutex_lock(&heaps.mutex);
    status = heaps_make_ready();
    for (uint32_t slot = 0; status == QUARRY_OK; slot++) {
        if (slot == PAGE_HEAPS_MAX) {
            status = QUARRY_TOO_MANY;
        } else if (heaps.heap[slot] == NULL) {
            heap->slot = slot;
            heaps.heap[slot] = heap;
            break;
        }
    }
    os_mutex_unlock(&heaps.mutex);
    return status;
}

static void heaps_leave(struct page_heap *heap)
{
    os_mutex_lock(&heaps.mutex);
    Q_ASSERT(heaps.heap[heap->slot] == heap);
    heaps.heap[heap->slot] = NULL;
    os_mutex_unlock(&heaps.mutex);
}

/* ---- creating ------------------------------------------------------------------------------- */

static uint64_t default_limit_bytes(const struct os_machine *machine)
{
    uint64_t bytes = machine->ram_bytes;

    if (machine->cgroup_limit_bytes != 0 && machine->cgroup_limit_bytes < bytes) {
        bytes = machine->cgroup_limit_bytes;
    }
    return size_min_u64(bytes / 100 * HEAP_DEFAULT_PERCENT, PAGE_COMMIT_LIMIT_MAX_BYTES);
}

static double usable_cpus(const struct os_machine *machine)
{
    double quota = machine->cpu_quota_milli / 1000.0;

    return quota > 0.0 && quota < machine->cpu_count ? quota : machine->cpu_count;
}

/* Reserves the space for lanes: as much as asked for, halved until the system has it. */
static enum quarry_status heap_try_spaces(struct page_heap *heap, uint64_t most_bytes,
                                          uint64_t least_bytes, uint64_t align_bytes)
{
    enum quarry_status status = QUARRY_NO_ADDRESS;
    void *space;

    for (uint64_t bytes = size_align_down_u64(most_bytes, align_bytes); bytes >= least_bytes;
         bytes = size_align_down_u64(bytes / 2, align_bytes)) {
        status = os_reserve(heap->os, bytes, align_bytes, &space);
        if (status == QUARRY_OK) {
            heap->space = space;
            heap->space_bytes = bytes;
            return QUARRY_OK;
        }
    }
    return status;
}

/*
 * Whole zones; or, in a process that may not have so many addresses, less than one, which then is
 * one lane's.
 */
static enum quarry_status heap_reserve_space(struct page_heap *heap, uint64_t wanted_bytes,
                                             uint64_t address_limit_bytes)
{
    uint64_t bytes = size_min_u64(wanted_bytes, address_limit_bytes / HEAP_ADDRESS_SHARE);

    enum quarry_status status = heap_try_spaces(heap, bytes, PAGE_ZONE_BYTES, PAGE_ZONE_BYTES);
    if (status != QUARRY_OK) {
        status = heap_try_spaces(heap, size_min_u64(address_limit_bytes / 2, PAGE_ZONE_BYTES / 2),
                                 HEAP_SPACE_LEAST_BYTES, HEAP_SPACE_LEAST_BYTES);
    }
    if (status == QUARRY_OK) {
        uint64_t lane_bytes =
            size_align_down_u64(heap->space_bytes / PAGE_LANES_MAX, PAGE_ZONE_BYTES);
        heap->lane_bytes = size_max_u64(lane_bytes, PAGE_ZONE_BYTES);
    }
    return status;
}

static uint64_t space_bytes_wanted(const struct page_heap_options *options, uint64_t limit_bytes)
{
    uint64_t bytes = options->reserved_bytes;

    if (bytes == 0) {
        bytes = size_max_u64(sat_mul_u64(limit_bytes, HEAP_SPACE_PER_LIMIT), HEAP_SPACE_MIN_BYTES);
    }
    return size_min_u64(
        size_align_up_u64(size_min_u64(bytes, HEAP_SPACE_MAX_BYTES), PAGE_ZONE_BYTES),
        HEAP_SPACE_MAX_BYTES);
}

/* Of all heaps this process ever had; 0 is nobody's. */
static uint64_t heap_next_serial(void)
{
    static _Atomic uint64_t last_serial;

    return atomic_add_relaxed_u64(&last_serial, 1) + 1;
}

/* Where a heap's locks stand among those of the same rank. */
static uint32_t heap_lock_order(const struct page_heap *heap)
{
    return (uint32_t)(heap->serial * PAGE_LANES_MAX);
}

/* The struct itself, at the beginning of its own reservation, charged to itself. */
static enum quarry_status heap_make_own(struct os *os, uint64_t limit_bytes,
                                        struct page_heap **ret_heap)
{
    size_t first_bytes = size_align_up(sizeof(struct page_heap), os->page_bytes);
    void *own;
    enum quarry_status status = os_reserve(os, HEAP_OWN_BYTES, os->page_bytes, &own);

    if (status != QUARRY_OK) {
        return status;
    }
    status = os_commit(os, own, first_bytes);
    if (status != QUARRY_OK) {
        (void)os_release(os, own, HEAP_OWN_BYTES);
        return status;
    }
    struct page_heap *heap = own;
    heap->os = os;
    heap->serial = heap_next_serial();
    heap->own_base = own;
    heap->own_bytes = HEAP_OWN_BYTES;
    page_commit_init(&heap->commit, limit_bytes);
    bool is_charged = page_commit_try_metadata(&heap->commit, first_bytes);
    Q_ASSERT(is_charged); /* heap_limit_check saw to it */
    page_metadata_init(&heap->metadata, os, &heap->commit, own, HEAP_OWN_BYTES, first_bytes,
                       sizeof(struct page_heap), heap_lock_order(heap));
    os_mutex_init(&heap->caches_mutex, OS_RANK_CACHES, heap_lock_order(heap));
    os_mutex_init(&heap->lanes_mutex, OS_RANK_LANES, heap_lock_order(heap));
    *ret_heap = heap;
    return QUARRY_OK;
}

static void heap_free_own(struct page_heap *heap)
{
    struct os *os = heap->os;

    if (heap->ledger.owner != NULL) {
        page_ledger_fini(&heap->ledger);
    }
    if (heap->space != NULL) {
        (void)os_release(os, heap->space, heap->space_bytes);
    }
    (void)os_release(os, heap->own_base, heap->own_bytes);
}

/* The least a heap can exist in: itself, its ledger, one page cache, one lane and a page of it. */
static enum quarry_status heap_limit_check(const struct os *os, uint64_t limit_bytes,
                                           struct quarry_error *error)
{
    uint64_t least_bytes = size_align_up(sizeof(struct page_heap), os->page_bytes) +
                           os->page_bytes + Q_KIB(64) + 10 * os->page_bytes + PAGE_BYTES;

    if (limit_bytes > PAGE_COMMIT_LIMIT_MAX_BYTES) {
        return error_set(error, QUARRY_TOO_LARGE, "limit of %llu bytes: at most %llu are supported",
                         (unsigned long long)limit_bytes,
                         (unsigned long long)PAGE_COMMIT_LIMIT_MAX_BYTES);
    }
    if (limit_bytes < least_bytes) {
        return error_set(error, QUARRY_BAD_INPUT,
                         "limit of %llu bytes: the heap's own structures need %llu",
                         (unsigned long long)limit_bytes, (unsigned long long)least_bytes);
    }
    return QUARRY_OK;
}

enum quarry_status page_heap_create(const struct page_heap_options *options,
                                    struct page_heap **ret_heap, struct quarry_error *error)
{
    struct os *os = options->os != NULL ? options->os : os_real();
    struct os_machine machine;
    struct page_heap *heap;

    os_machine_read("", &machine);
    uint64_t limit_bytes =
        options->limit_bytes != 0 ? options->limit_bytes : default_limit_bytes(&machine);
    enum quarry_status status = heap_limit_check(os, limit_bytes, error);
    if (status != QUARRY_OK) {
        return status;
    }
    status = heap_make_own(os, limit_bytes, &heap);
    if (status != QUARRY_OK) {
        return error_set(error, status, "no memory for the page heap itself");
    }
    status = heap_reserve_space(heap, space_bytes_wanted(options, limit_bytes),
                                machine.address_limit_bytes);
    if (status == QUARRY_OK) {
        status = page_ledger_init(&heap->ledger, os, &heap->commit, heap_lock_order(heap));
    }
    if (status == QUARRY_OK) {
        page_scavenger_init(heap, !options->has_no_thread, usable_cpus(&machine));
        heap->scavenger.thread_min_bytes = options->thread_min_bytes;
        status = heaps_enter(heap);
    }
    if (status != QUARRY_OK) {
        heap_free_own(heap);
        return error_set(error, status, "page heap: %s", quarry_status_text(status));
    }
    *ret_heap = heap;
    return QUARRY_OK;
}

void page_heap_destroy(struct page_heap *heap)
{
    page_hooks_end(heap);
    page_scavenger_fini(heap);
    for (uint32_t id = 0; id < PAGE_LANES_MAX; id++) {
        struct page_lane *lane = atomic_load_acquire_ptr(&heap->lane[id]);
        if (lane != NULL) {
            page_lane_destroy(lane);
        }
    }
    heaps_leave(heap);
    heap_free_own(heap);
}

/* ---- for the layers above ------------------------------------------------------------------- */

enum quarry_status page_heap_commit_metadata(struct page_heap *heap, void *base, uint64_t bytes)
{
    if (!page_commit_try_metadata(&heap->commit, bytes)) {
        return QUARRY_NO_MEMORY;
    }
    enum quarry_status status = os_commit(heap->os, base, bytes);
    if (status != QUARRY_OK) {
        page_heap_release_metadata(heap, bytes);
    }
    return status;
}

void page_heap_release_metadata(struct page_heap *heap, uint64_t bytes)
{
    os_mutex_lock(&heap->lanes_mutex);
    page_commit_release_metadata(&heap->commit, bytes);
    os_mutex_unlock(&heap->lanes_mutex);
}

/* ---- pins ----------------------------------------------------------------------------------- */

struct page_lane *page_heap_pin_below(struct page_heap *heap, const char *below)
{
    struct page_lane *highest = NULL;

    os_mutex_lock(&heap->lanes_mutex);
    for (uint32_t id = 0; id < PAGE_LANES_MAX; id++) {
        struct page_lane *lane = atomic_load_acquire_ptr(&heap->lane[id]);
        if (lane != NULL && lane->base < below && (highest == NULL || lane->base > highest->base)) {
            highest = lane;
        }
    }
    if (highest != NULL) {
        (void)atomic_add_relaxed_u32(&highest->pin_count, 1);
    }
    os_mutex_unlock(&heap->lanes_mutex);
    return highest;
}

void page_heap_unpin(struct page_lane *lane)
{
    /* Pairs with the acquire load in lane_unpublish. */
    (void)atomic_sub_release_u32(&lane->pin_count, 1);
}

/* ---- standing still ------------------------------------------------------------------------- */

/* Lanes are locked in order of id, which is the order of their rank; the analysis cannot count. */
void page_heap_stop(struct page_heap *heap) Q_NO_THREAD_SAFETY_ANALYSIS
{
    page_caches_stop(heap);
    os_mutex_lock(&heap->lanes_mutex);
    for (uint32_t id = 0; id < PAGE_LANES_MAX; id++) {
        struct page_lane *lane = atomic_load_acquire_ptr(&heap->lane[id]);
        if (lane != NULL) {
            os_mutex_lock(&lane->mutex);
        }
    }
}

void page_heap_resume(struct page_heap *heap) Q_NO_THREAD_SAFETY_ANALYSIS
{
    for (uint32_t id = PAGE_LANES_MAX; id > 0; id--) {
        struct page_lane *lane = atomic_load_acquire_ptr(&heap->lane[id - 1]);
        if (lane != NULL) {
            os_mutex_unlock(&lane->mutex);
        }
    }
    os_mutex_unlock(&heap->lanes_mutex);
    page_caches_resume(heap);
}
