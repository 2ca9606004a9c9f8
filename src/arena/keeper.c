/*
 * Keepers: the memory of one arena that is gone, for the next.
 *
 *   take ──> arena ──> destroyed ──> spare ──> take …
 *                                      └─────> reclaimed: addresses, pages and charge go
 *
 * A store that fills arenas in turn would give 64 MiB to the kernel and take 64 MiB from it at each
 * turn, in the very moment when its writers wait. The spare keeps its pages, charged; it is one,
 * of the capacity last destroyed, and the first thing that goes when the budget is short: the
 * keeper is a reclaimer of order 0, and steps of its arenas ask it when their account's ceiling is
 * reached.
 *
 * Invariants
 *   1. The spare belongs to whoever takes it out of `spare` by an exchange; nobody looks at it
 *      while it is there.
 *   2. holder_count is the arenas that are out, and one as long as the keeper has not been
 *      destroyed; who brings it to 0 frees the keeper.
 *
 * Locks: none; so none is held when pages are freed, and forks need nothing. In the child of a fork
 * a spare that another thread was just moving stays charged and unused.
 *
 * Cost: taking the spare and giving it, two exchanges each.
 *
 * Source: Pebble, which keeps one obsolete arena: allocating 64 MiB took 10 ms inside the turn.
 */
#include <arena/arena.h>

#include <ref/ref.h>

/* Asked before everybody else: a spare is nobody's data. */
#define KEEPER_RECLAIM_ORDER 0u

struct quarry_arena_keeper {
    /* const after creation */
    struct page_heap *heap;
    struct quarry_arena_options options;
    struct ref_leaks *leaks;
    /* atomic */
    _Atomic(void *) spare; /* struct quarry_arena *, or NULL */
    _Atomic uint64_t spare_bytes;
    _Atomic uint32_t holder_count;
    _Atomic bool is_ended;
};

/* ---- the spare ------------------------------------------------------------------------------ */

/* Whoever takes it has it. NULL: there is none. */
static struct quarry_arena *spare_take(struct quarry_arena_keeper *keeper)
{
    /* Acquire: pairs with the release in spare_put; what its last user did is done. */
    struct quarry_arena *arena = atomic_exchange_acquire_ptr(&keeper->spare, NULL);

    if (arena != NULL) {
        (void)atomic_sub_relaxed_u64(&keeper->spare_bytes,
                                     atomic_load_relaxed_u64(&arena->backed_bytes));
    }
    return arena;
}

/* Frees the one that was there. */
static void spare_put(struct quarry_arena_keeper *keeper, struct quarry_arena *arena)
{
    uint64_t bytes = atomic_load_relaxed_u64(&arena->backed_bytes);

    /* Before it is there: taken at once, it is subtracted. */
    (void)atomic_add_relaxed_u64(&keeper->spare_bytes, bytes);
    /* Pairs with itself, and with spare_take. */
    struct quarry_arena *old = atomic_exchange_acq_rel_ptr(&keeper->spare, arena);
    if (old != NULL) {
        (void)atomic_sub_relaxed_u64(&keeper->spare_bytes,
                                     atomic_load_relaxed_u64(&old->backed_bytes));
        (void)arena_free(old);
    }
}

uint64_t quarry_arena_keeper_reclaim(void *keeper, uint64_t wanted_bytes)
{
    struct quarry_arena *arena = spare_take(keeper);

    (void)wanted_bytes; /* the spare goes whole */
    return arena != NULL ? arena_free(arena) : 0;
}

uint64_t quarry_arena_keeper_spare_bytes(struct quarry_arena_keeper *keeper)
{
    return atomic_load_relaxed_u64(&keeper->spare_bytes);
}

/* ---- creating and ending -------------------------------------------------------------------- */

static void keeper_free(struct quarry_arena_keeper *keeper)
{
    ref_leaks_destroy(keeper->leaks);
    page_metadata_give(&keeper->heap->metadata, keeper, sizeof(*keeper));
}

/* One holder less. */
static void keeper_let_go(struct quarry_arena_keeper *keeper)
{
    /* Release and acquire: pairs with itself; the last one sees what the others did. */
    if (atomic_sub_acq_rel_u32(&keeper->holder_count, 1) == 1) {
        keeper_free(keeper);
    }
}

static enum quarry_status keeper_build(struct quarry_arena_keeper *keeper)
{
    enum quarry_status status = ref_leaks_create(keeper->heap, "arena keeper", &keeper->leaks);

    if (status != QUARRY_OK) {
        return status;
    }
    status = page_heap_add_reclaimer(keeper->heap, KEEPER_RECLAIM_ORDER,
                                     quarry_arena_keeper_reclaim, keeper);
    if (status != QUARRY_OK) {
        ref_leaks_destroy(keeper->leaks);
    }
    return status;
}

enum quarry_status quarry_arena_keeper_create(struct quarry_memory *memory,
                                              const struct quarry_arena_options *options,
                                              struct quarry_arena_keeper **ret_keeper,
                                              struct quarry_error *error)
{
    struct page_heap *heap = (struct page_heap *)(void *)memory;
    void *piece;
    enum quarry_status status = arena_check_lane(options, error);

    if (status != QUARRY_OK) {
        return status;
    }
    status = page_metadata_take(&heap->metadata, sizeof(struct quarry_arena_keeper), &piece);
    if (status != QUARRY_OK) {
        return error_set(error, status, "no memory for an arena keeper");
    }
    struct quarry_arena_keeper *keeper = piece;
    keeper->heap = heap;
    keeper->options = *options;
    atomic_store_relaxed_u32(&keeper->holder_count, 1);
    status = keeper_build(keeper);
    if (status != QUARRY_OK) {
        page_metadata_give(&heap->metadata, keeper, sizeof(*keeper));
        return error_set(error, status, "an arena keeper: %s", quarry_status_text(status));
    }
    *ret_keeper = keeper;
    return QUARRY_OK;
}

void quarry_arena_keeper_destroy(struct quarry_arena_keeper *keeper)
{
    if (keeper == NULL) {
        return;
    }
    page_heap_remove_reclaimer(keeper->heap, quarry_arena_keeper_reclaim, keeper);
    /* Relaxed: nobody else uses the keeper, by contract; arenas that leak are given in later. */
    atomic_store_relaxed_bool(&keeper->is_ended, true);
    (void)quarry_arena_keeper_reclaim(keeper, UINT64_MAX);
    (void)ref_leaks_report(keeper->leaks);
    keeper_let_go(keeper);
}

/* ---- arenas --------------------------------------------------------------------------------- */

/* The spare, if it is of the capacity. */
static struct quarry_arena *keeper_reuse(struct quarry_arena_keeper *keeper,
                                         uint64_t capacity_bytes)
{
    struct quarry_arena *arena = spare_take(keeper);

    if (arena != NULL && arena->capacity_bytes != capacity_bytes) {
        spare_put(keeper, arena);
        return NULL;
    }
    if (arena != NULL) {
        arena_reset(arena);
    }
    return arena;
}

enum quarry_status quarry_arena_keeper_take(struct quarry_arena_keeper *keeper,
                                            uint64_t capacity_bytes,
                                            struct quarry_arena **ret_arena,
                                            struct quarry_error *error)
{
    struct quarry_arena_options options = keeper->options;
    enum quarry_status status =
        arena_check_capacity(capacity_bytes, &options.capacity_bytes, error);

    if (status != QUARRY_OK) {
        return status;
    }
    struct quarry_arena *arena = keeper_reuse(keeper, options.capacity_bytes);
    if (arena == NULL) {
        status = arena_make(&options, keeper, &arena, error);
        if (status != QUARRY_OK) {
            return status;
        }
    }
    /* Relaxed: the caller holds the keeper. */
    (void)atomic_add_relaxed_u32(&keeper->holder_count, 1);
    arena->leak_token = ref_leak_note(keeper->leaks, "arena", (uint64_t)(uintptr_t)arena);
    *ret_arena = arena;
    return QUARRY_OK;
}

void arena_keeper_give(struct quarry_arena_keeper *keeper, struct quarry_arena *arena)
{
    ref_leak_forget(keeper->leaks, arena->leak_token);
    arena->leak_token = 0;
    if (atomic_load_relaxed_bool(&keeper->is_ended)) {
        (void)arena_free(arena);
    } else {
        spare_put(keeper, arena);
    }
    keeper_let_go(keeper);
}
