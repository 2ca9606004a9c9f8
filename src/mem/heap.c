/*
 * The object heap: making and ending it, its lifetimes and its pools.
 *
 * A lifetime is a lane, and nothing of the heap outlives it there: ending one forgets its pools'
 * bins, walks its slice of the span map to give the records back, forgets the slice, and ends the
 * lane. No object is touched, and no page is freed one by one.
 *
 * Around a fork every lock is taken, in order of rank, before the page heap takes its own (its
 * hooks are registered earlier, so that they run later). No thread is in a slow path then; in a
 * fast one it may be, which costs the child at most the object at hand. Threads that the child does
 * not have are ended there like any other.
 *
 * Locking: making_mutex < the table's < pools_mutex < threads_mutex < (inside a gate) < a pool's
 * mutex < the map's mutex < the page heap's.
 */
#include <mem/heap.h>

#include <string.h>

#include <mem/bins.h>
#include <mem/hardened.h>
#include <mem/unwind.h>

static struct {
    struct os_mutex making_mutex; /* one at a time makes the heap of a memory */
    struct os_mutex mutex;
    /* guarded by mutex */
    bool is_ready;
    struct mem_heap *heap[PAGE_HEAPS_MAX];
    _Atomic(void *) door; /* the struct mem_heap that is the process' own malloc, or NULL */
    _Atomic(void *) left; /* mem_left_function *, or NULL */
} heaps = {.making_mutex = {.rank = OS_RANK_MEM_MAKING}, .mutex = {.rank = OS_RANK_MEM_HEAPS}};

/* ---- the table of heaps, and hooks ---------------------------------------------------------- */

/* Under the mutex, so that no heap ends meanwhile. */
static void heaps_thread_exit(void)
{
    os_mutex_lock(&heaps.mutex);
    for (uint32_t slot = 0; slot < PAGE_HEAPS_MAX; slot++) {
        if (heaps.heap[slot] != NULL) {
            mem_thread_exit(heaps.heap[slot]);
        }
    }
    os_mutex_unlock(&heaps.mutex);
}

typedef void heap_visitor(struct mem_heap *heap);

static void heaps_visit(heap_visitor *visit)
{
    for (uint32_t slot = 0; slot < PAGE_HEAPS_MAX; slot++) {
        if (heaps.heap[slot] != NULL) {
            visit(heaps.heap[slot]);
        }
    }
}

static void heaps_fork_prepare(void) Q_NO_THREAD_SAFETY_ANALYSIS
{
    os_mutex_lock(&heaps.making_mutex);
    os_mutex_lock(&heaps.mutex);
    heaps_visit(mem_heap_fork_prepare);
}

static void heaps_fork_parent(void) Q_NO_THREAD_SAFETY_ANALYSIS
{
    heaps_visit(mem_heap_fork_parent);
    os_mutex_unlock(&heaps.mutex);
    os_mutex_unlock(&heaps.making_mutex);
}

static void heaps_fork_child(void) Q_NO_THREAD_SAFETY_ANALYSIS
{
    os_mutex_reset_after_fork(&heaps.mutex);
    os_mutex_reset_after_fork(&heaps.making_mutex);
    heaps_visit(mem_heap_fork_child);
}

/* Registers the hooks, once; before anybody holds a lock that a fork would leave locked. */
enum quarry_status mem_heaps_make_ready(void)
{
    enum quarry_status status =
        os_fork_hooks(OS_RANK_MEM_MAKING, heaps_fork_prepare, heaps_fork_parent, heaps_fork_child);

    if (status != QUARRY_OK) {
        return status;
    }
    os_mutex_lock(&heaps.mutex);
    if (!heaps.is_ready) {
        status = os_thread_exit_hook(heaps_thread_exit);
        heaps.is_ready = status == QUARRY_OK;
    }
    os_mutex_unlock(&heaps.mutex);
    return status;
}

static void heaps_enter(struct mem_heap *heap)
{
    os_mutex_lock(&heaps.mutex);
    heaps.heap[heap->pages->slot] = heap;
    os_mutex_unlock(&heaps.mutex);
    if (heap->is_door) {
        atomic_store_release_ptr(&heaps.door, heap);
    }
}

static void heaps_leave(struct mem_heap *heap)
{
    os_mutex_lock(&heaps.mutex);
    heaps.heap[heap->pages->slot] = NULL;
    os_mutex_unlock(&heaps.mutex);
    if (heap->is_door) {
        atomic_store_release_ptr(&heaps.door, NULL);
    }
}

struct mem_heap *mem_heap_door(void)
{
    /* Acquire: pairs with the release in heaps_enter. */
    return atomic_load_acquire_ptr(&heaps.door);
}

void mem_heaps_watch_left(mem_left_function *left)
{
    /* Release: pairs with the acquire in heap_end_lifetimes. */
    atomic_store_release_ptr(&heaps.left, (void *)left);
}

/* ---- fork ----------------------------------------------------------------------------------- */

static void heap_visit_pools(struct mem_heap *heap, void (*visit)(struct mem_pool *pool))
{
    for (uint32_t id = 0; id < MEM_POOLS_MAX; id++) {
        struct mem_pool *pool = atomic_load_acquire_ptr(&heap->pool[id]);
        if (pool != NULL) {
            visit(pool);
        }
    }
}

static void pool_lock(struct mem_pool *pool) Q_NO_THREAD_SAFETY_ANALYSIS
{
    os_mutex_lock(&pool->mutex);
}

static void pool_unlock(struct mem_pool *pool) Q_NO_THREAD_SAFETY_ANALYSIS
{
    os_mutex_unlock(&pool->mutex);
}

static void pool_reset(struct mem_pool *pool)
{
    os_mutex_reset_after_fork(&pool->mutex);
}

void mem_heap_fork_prepare(struct mem_heap *heap) Q_NO_THREAD_SAFETY_ANALYSIS
{
    os_mutex_lock(&heap->pools_mutex);
    mem_threads_stop(heap);
    heap_visit_pools(heap, pool_lock);
    os_mutex_lock(&heap->map.mutex);
    if (heap->observer.fork_prepare != NULL) {
        heap->observer.fork_prepare(heap->observer.argument);
    }
}

void mem_heap_fork_parent(struct mem_heap *heap) Q_NO_THREAD_SAFETY_ANALYSIS
{
    if (heap->observer.fork_parent != NULL) {
        heap->observer.fork_parent(heap->observer.argument);
    }
    os_mutex_unlock(&heap->map.mutex);
    heap_visit_pools(heap, pool_unlock);
    mem_threads_resume(heap);
    os_mutex_unlock(&heap->pools_mutex);
}

void mem_heap_fork_child(struct mem_heap *heap) Q_NO_THREAD_SAFETY_ANALYSIS
{
    struct mem_thread *own = mem_thread_own(heap), *thread, *next;

    os_mutex_reset_after_fork(&heap->map.mutex);
    heap_visit_pools(heap, pool_reset);
    os_mutex_reset_after_fork(&heap->threads_mutex);
    os_mutex_reset_after_fork(&heap->pools_mutex);
    for (thread = heap->threads; thread != NULL; thread = thread->next) {
        if (thread == own) {
            os_gate_resume(&thread->gate);
        } else {
            os_gate_reset_after_fork(&thread->gate);
        }
    }
    if (heap->observer.fork_child != NULL) {
        heap->observer.fork_child(heap->observer.argument);
    }
    for (thread = heap->threads; thread != NULL; thread = next) {
        next = thread->next;
        if (thread != own) {
            mem_thread_end(thread);
        }
    }
}

/* ---- pools ---------------------------------------------------------------------------------- */

/* A class with short records, for what is no span. */
#define MEM_STAND_IN_CLASS (MEM_CLASSES - 1)

/* A stand-in for large objects: see large.c. */
static struct mem_span *stand_in_create(struct mem_pool *pool)
{
    struct mem_span *span = mem_map_take_record(&pool->heap->map, MEM_STAND_IN_CLASS);

    if (span != NULL) {
        span->inverse = 0;
        span->bias = 0;
        span->capacity = 0;
        span->shift = 0;
        atomic_store_relaxed_uptr(&span->owner, 0);
        atomic_store_relaxed_u8(&mem_span_cold(span)->sample_count, 0);
        mem_span_set_state(span, MEM_SPAN_LARGE);
        atomic_store_release_ptr(&mem_span_cold(span)->bins, pool->central);
    }
    return span;
}

static void stand_in_destroy(struct mem_pool *pool, struct mem_span *span)
{
    if (span != NULL) {
        mem_span_set_state(span, MEM_SPAN_UNUSED);
        atomic_store_release_ptr(&mem_span_cold(span)->bins, NULL);
        mem_map_give_record(&pool->heap->map, span);
    }
}

static void pool_destroy(struct mem_pool *pool)
{
    struct page_metadata *metadata = &pool->heap->pages->metadata;

    stand_in_destroy(pool, pool->large);
    stand_in_destroy(pool, pool->large_sampled);
    page_metadata_give(metadata, pool, sizeof(*pool));
}

/* Everything of a pool but its place in the table. */
static enum quarry_status pool_make(struct mem_lifetime *lifetime, uint32_t owner,
                                    struct mem_pool **ret_pool)
{
    struct mem_heap *heap = lifetime->heap;
    struct page_metadata *metadata = &heap->pages->metadata;
    void *piece;

    enum quarry_status status = page_metadata_take(metadata, sizeof(struct mem_pool), &piece);
    if (status != QUARRY_OK) {
        return status;
    }
    struct mem_bins *central = mem_bins_make(heap);
    if (central == NULL) {
        page_metadata_give(metadata, piece, sizeof(struct mem_pool));
        return QUARRY_NO_MEMORY;
    }
    struct mem_pool *pool = piece;
    pool->heap = heap;
    pool->lifetime = lifetime;
    pool->lane = lifetime->lane;
    pool->owner = owner;
    pool->central = central;
    mem_bins_init(pool->central, NULL, pool);
    pool->large = stand_in_create(pool);
    pool->large_sampled = stand_in_create(pool);
    if (pool->large == NULL || pool->large_sampled == NULL) {
        page_metadata_give(metadata, central, sizeof(struct mem_bins));
        pool_destroy(pool);
        return QUARRY_NO_MEMORY;
    }
    *ret_pool = pool;
    return QUARRY_OK;
}

/* The general pool has id 0, others the first that is free. */
static enum quarry_status pool_enter(struct mem_pool *pool)
{
    struct mem_heap *heap = pool->heap;
    enum quarry_status status = QUARRY_TOO_MANY;

    os_mutex_lock(&heap->pools_mutex);
    for (uint32_t id = 0; id < MEM_POOLS_MAX; id++) {
        if (atomic_load_relaxed_ptr(&heap->pool[id]) == NULL) {
            pool->id = id;
            os_mutex_init(&pool->mutex, OS_RANK_MEM_POOL, heap->pages->slot * MEM_POOLS_MAX + id);
            /* Release: pairs with the acquire of those who look through the table. */
            atomic_store_release_ptr(&heap->pool[id], pool);
            status = QUARRY_OK;
            break;
        }
    }
    os_mutex_unlock(&heap->pools_mutex);
    return status;
}

enum quarry_status mem_pool_create(struct mem_lifetime *lifetime, uint32_t owner,
                                   struct mem_pool **ret_pool)
{
    struct mem_pool *pool;

    Q_ASSERT(owner != PAGE_OWNER_NONE && owner < PAGE_OWNERS_MAX);
    enum quarry_status status = pool_make(lifetime, owner, &pool);
    if (status != QUARRY_OK) {
        return status;
    }
    status = pool_enter(pool);
    if (status != QUARRY_OK) {
        page_metadata_give(&lifetime->heap->pages->metadata, pool->central,
                           sizeof(struct mem_bins));
        pool_destroy(pool);
        return status;
    }
    *ret_pool = pool;
    return QUARRY_OK;
}

/* ---- lifetimes ------------------------------------------------------------------------------ */

static void lifetime_link(struct mem_lifetime *lifetime)
{
    struct mem_heap *heap = lifetime->heap;

    os_mutex_lock(&heap->pools_mutex);
    lifetime->next = heap->lifetimes;
    if (lifetime->next != NULL) {
        lifetime->next->previous = lifetime;
    }
    heap->lifetimes = lifetime;
    os_mutex_unlock(&heap->pools_mutex);
}

static void lifetime_unlink(struct mem_heap *heap, struct mem_lifetime *lifetime)
    Q_REQUIRES(&heap->pools_mutex)
{
    if (lifetime->previous != NULL) {
        lifetime->previous->next = lifetime->next;
    } else {
        heap->lifetimes = lifetime->next;
    }
    if (lifetime->next != NULL) {
        lifetime->next->previous = lifetime->previous;
    }
}

static enum quarry_status lifetime_begin(struct mem_heap *heap,
                                         const struct page_lane_options *options,
                                         struct mem_lifetime **ret_lifetime,
                                         struct quarry_error *error)
{
    struct page_metadata *metadata = &heap->pages->metadata;
    void *piece;

    enum quarry_status status = page_metadata_take(metadata, sizeof(struct mem_lifetime), &piece);
    if (status != QUARRY_OK) {
        return error_set(error, status, "no memory to begin the lifetime '%s'", options->name);
    }
    struct mem_lifetime *lifetime = piece;
    lifetime->heap = heap;
    status = page_lane_create(heap->pages, options, &lifetime->lane, error);
    if (status != QUARRY_OK) {
        page_metadata_give(metadata, lifetime, sizeof(*lifetime));
        return status;
    }
    memcpy(lifetime->name, lifetime->lane->name, sizeof(lifetime->name));
    lifetime_link(lifetime);
    *ret_lifetime = lifetime;
    return QUARRY_OK;
}

enum quarry_status mem_lifetime_begin(struct mem_heap *heap, const char *name,
                                      struct mem_lifetime **ret_lifetime,
                                      struct quarry_error *error)
{
    struct page_lane_options options = {.name = name};
    struct mem_lifetime *lifetime;

    enum quarry_status status = lifetime_begin(heap, &options, &lifetime, error);
    if (status != QUARRY_OK) {
        return status;
    }
    lifetime->begun_ns = os_monotonic_ns(heap->pages->os);
    lifetime->begun_by = os_thread_id();
    lifetime->pc_count =
        mem_unwind((struct mem_code_range){0, 0}, lifetime->pcs, MEM_LIFETIME_FRAMES_MAX);
    *ret_lifetime = lifetime;
    return QUARRY_OK;
}

/* Records of a lane's spans. One may be in a mailbox of another lifetime, and stays there. */
static void lifetime_give_records(struct mem_lifetime *lifetime)
{
    struct mem_map *map = &lifetime->heap->map;
    uint64_t page_count = atomic_load_relaxed_u64(&map->lane_pages[lifetime->lane->id]);

    if (lifetime->heap->is_hardened) {
        mem_hardened_unguard_lane(lifetime->heap, lifetime->lane);
    }

    for (uint64_t page = 0; page < page_count; page++) {
        const char *address = page_lane_address(lifetime->lane, page);
        struct mem_span *span = mem_map_find(map, address);
        enum mem_span_state state = mem_span_state(span);
        if (state == MEM_SPAN_UNUSED || state == MEM_SPAN_LARGE ||
            mem_span_cold(span)->start != address) {
            continue;
        }
        page += mem_size_class[mem_span_class(span)].page_count - 1u;
        atomic_store_relaxed_uptr(&span->owner, 0);
        mem_span_set_state(span, MEM_SPAN_UNUSED);
        atomic_store_release_ptr(&mem_span_cold(span)->bins, NULL);
        mem_map_give_record(map, span);
    }
}

static void pool_end(struct mem_pool *pool)
{
    atomic_store_release_ptr(&pool->heap->pool[pool->id], NULL);
    pool_destroy(pool);
}

static void lifetime_visit_pools(struct mem_lifetime *lifetime,
                                 void (*visit)(struct mem_pool *pool))
{
    for (uint32_t id = 0; id < MEM_POOLS_MAX; id++) {
        struct mem_pool *pool = atomic_load_relaxed_ptr(&lifetime->heap->pool[id]);
        if (pool != NULL && pool->lifetime == lifetime) {
            visit(pool);
        }
    }
}

void mem_lifetime_end(struct mem_lifetime *lifetime)
{
    struct mem_heap *heap = lifetime->heap;
    struct page_lane *lane = lifetime->lane;

    /* Collectors keep out. */
    os_mutex_lock(&heap->pools_mutex);
    /* First: a thread that ends just now would move spans that it has here. */
    lifetime_visit_pools(lifetime, mem_threads_forget_pool);
    lifetime_give_records(lifetime);
    lifetime_visit_pools(lifetime, pool_end);
    mem_map_forget_lane(&heap->map, lane);
    lifetime_unlink(heap, lifetime);
    os_mutex_unlock(&heap->pools_mutex);
    if (heap->observer.ended != NULL) {
        heap->observer.ended(heap->observer.argument, lane->base, lane->reserved_bytes);
    }
    page_lane_destroy(lane);
    page_metadata_give(&heap->pages->metadata, lifetime, sizeof(*lifetime));
}

/* ---- making and ending ---------------------------------------------------------------------- */

static uint64_t heap_reclaim(void *argument, uint64_t wanted_bytes)
{
    struct mem_heap *heap = argument;

    (void)wanted_bytes;
    /* Threads give way at their next slow path; what can be had without them is had now. */
    (void)atomic_add_relaxed_u32(&heap->pressure_count, 1);
    return mem_heap_collect(heap);
}

/* What waits in mailboxes of threads that sleep goes back within a second. */
static void heap_tick(void *argument)
{
    struct mem_heap *heap = argument;

    (void)mem_heap_collect(heap);
    if (heap->observer.tick != NULL) {
        heap->observer.tick(heap->observer.argument);
    }
}

static enum quarry_status heap_make_general(struct mem_heap *heap,
                                            const struct mem_heap_options *options,
                                            struct quarry_error *error)
{
    struct page_lane_options lane = {
        .name = options->name != NULL ? options->name : "general",
        .reserved_bytes = options->reserved_bytes,
    };
    uint32_t owner;

    enum quarry_status status = lifetime_begin(heap, &lane, &heap->general, error);
    if (status != QUARRY_OK) {
        return status;
    }
    status = page_ledger_register(&heap->pages->ledger, lane.name, &owner);
    if (status == QUARRY_OK) {
        status = mem_pool_create(heap->general, owner, &heap->general_pool);
    }
    if (status != QUARRY_OK) {
        mem_lifetime_end(heap->general);
        return error_set(error, status, "no memory for the pool '%s'", lane.name);
    }
    return QUARRY_OK;
}

enum quarry_status mem_heap_init(struct mem_heap *heap, const struct mem_heap_options *options,
                                 struct quarry_error *error)
{
    static _Atomic uint64_t last_serial;

    heap->pages = options->pages;
    heap->serial = atomic_add_relaxed_u64(&last_serial, 1) + 1;
    heap->is_door = options->is_door;
    heap->is_hardened = options->is_hardened;
    if (heap->is_hardened) {
        mem_hardened_init(heap);
    }
    mem_guard_init(&heap->guard, options->pages, options->guard_every);
    os_mutex_init(&heap->pools_mutex, OS_RANK_MEM_POOLS, heap->pages->slot);
    os_mutex_init(&heap->threads_mutex, OS_RANK_MEM_THREADS, heap->pages->slot);
    /* Before there is a map: other threads' frees may be looking at it when it has to go again. */
    enum quarry_status status = page_heap_reserve(heap->pages, MEM_HEAP_ROOM_BYTES);
    if (status != QUARRY_OK) {
        return error_set(error, status, "no memory for an object heap: it needs %llu bytes",
                         (unsigned long long)MEM_HEAP_ROOM_BYTES);
    }
    page_commit_release(&heap->pages->commit, MEM_HEAP_ROOM_BYTES);
    status = mem_map_init(&heap->map, heap->pages);
    if (status != QUARRY_OK) {
        return error_set(error, status, "no address space for the span map");
    }
    status = heap_make_general(heap, options, error);
    if (status == QUARRY_OK) {
        status = page_heap_add_reclaimer(heap->pages, 0, heap_reclaim, heap);
    }
    if (status == QUARRY_OK) {
        status = mem_heaps_make_ready();
    }
    if (status == QUARRY_OK) {
        status = page_heap_add_tick(heap->pages, heap_tick, heap);
    }
    if (status != QUARRY_OK) {
        mem_heap_fini(heap);
        return error_set(error, status, "object heap: %s", quarry_status_text(status));
    }
    heaps_enter(heap);
    return QUARRY_OK;
}

/* Lifetimes that nobody has ended; the general one is among them. No other thread uses the heap. */
static void heap_end_lifetimes(struct mem_heap *heap)
{
    /* Acquire: pairs with the release in mem_heaps_watch_left. */
    mem_left_function *left = (mem_left_function *)atomic_load_acquire_ptr(&heaps.left);
    struct mem_lifetime *lifetime;

    while ((lifetime = heap->lifetimes) != NULL) {
        if (left != NULL && lifetime != heap->general) {
            left(lifetime);
        }
        mem_lifetime_end(lifetime);
    }
}

void mem_heap_fini(struct mem_heap *heap)
{
    page_heap_remove_tick(heap->pages, heap_tick, heap);
    page_heap_remove_reclaimer(heap->pages, heap_reclaim, heap);
    heaps_leave(heap);
    for (struct mem_thread *thread; (thread = heap->threads) != NULL;) {
        mem_thread_end(thread);
    }
    heap_end_lifetimes(heap);
    mem_guard_fini(&heap->guard);
    mem_map_fini(&heap->map);
}

/* ---- the heap of a memory ------------------------------------------------------------------- */

static size_t heap_own_bytes(const struct page_heap *pages)
{
    return size_align_up(sizeof(struct mem_heap), pages->os->page_bytes);
}

/* The struct itself, in memory of its own that is charged as metadata. */
static struct mem_heap *heap_own_make(struct page_heap *pages)
{
    size_t bytes = heap_own_bytes(pages);
    void *own;

    if (os_reserve(pages->os, bytes, pages->os->page_bytes, &own) != QUARRY_OK) {
        return NULL;
    }
    if (page_heap_commit_metadata(pages, own, bytes) != QUARRY_OK) {
        (void)os_release(pages->os, own, bytes);
        return NULL;
    }
    return own;
}

static void heap_own_end(struct page_heap *pages, struct mem_heap *heap)
{
    size_t bytes = heap_own_bytes(pages);

    /* What the kernel refuses to take stays charged. */
    if (os_release(pages->os, heap, bytes) == QUARRY_OK) {
        page_heap_release_metadata(pages, bytes);
    }
}

static void heap_end(void *argument)
{
    struct mem_heap *heap = argument;
    struct page_heap *pages = heap->pages;

    mem_heap_fini(heap);
    heap_own_end(pages, heap);
}

static enum quarry_status heap_make(struct page_heap *pages, struct mem_heap **ret_heap,
                                    struct quarry_error *error)
{
    struct mem_heap_options options = {.pages = pages, .name = "(objects)"};
    struct mem_heap *heap = heap_own_make(pages);

    if (heap == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "no memory for an object heap");
    }
    enum quarry_status status = page_heap_add_end(pages, heap_end, heap);
    if (status == QUARRY_OK) {
        status = mem_heap_init(heap, &options, error);
    } else {
        status = error_set(error, status, "the memory has too many layers above it");
    }
    if (status != QUARRY_OK) {
        page_heap_remove_end(pages, heap_end, heap);
        heap_own_end(pages, heap);
        return status;
    }
    *ret_heap = heap;
    return QUARRY_OK;
}

static struct mem_heap *heaps_find(const struct page_heap *pages)
{
    os_mutex_lock(&heaps.mutex);
    struct mem_heap *heap = heaps.heap[pages->slot];
    os_mutex_unlock(&heaps.mutex);
    return heap;
}

enum quarry_status mem_heap_find(struct page_heap *pages, struct mem_heap **ret_heap,
                                 struct quarry_error *error)
{
    enum quarry_status status = mem_heaps_make_ready();

    if (status != QUARRY_OK) {
        return error_set(error, status, "no hooks for threads and forks");
    }
    os_mutex_lock(&heaps.making_mutex);
    struct mem_heap *heap = heaps_find(pages);
    if (heap == NULL) {
        status = heap_make(pages, &heap, error);
    }
    os_mutex_unlock(&heaps.making_mutex);
    if (status == QUARRY_OK) {
        *ret_heap = heap;
    }
    return status;
}
