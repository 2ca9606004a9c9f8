/*
 * The public door, include/quarry/memory.h: the same objects under their public names.
 *
 * A `struct quarry_memory` is a page heap and a `struct quarry_lane` a lane; the public names are
 * never defined, so that nothing outside can look inside.
 */
#include <quarry/memory.h>

#include <string.h>

#include <page/heap.h>
#include <page/heap_map.h>

Q_STATIC_ASSERT(QUARRY_PAGE_BYTES == PAGE_BYTES, "the public page is the page");
Q_STATIC_ASSERT(QUARRY_NAME_BYTES == PAGE_LANE_NAME_BYTES, "names of lanes fit");
Q_STATIC_ASSERT(QUARRY_NAME_BYTES == PAGE_OWNER_NAME_BYTES, "names of owners fit");

static struct page_heap *heap_of(struct quarry_memory *memory)
{
    return (struct page_heap *)(void *)memory;
}

static struct page_lane *lane_of(struct quarry_lane *lane)
{
    return (struct page_lane *)(void *)lane;
}

static const struct page_lane *const_lane_of(const struct quarry_lane *lane)
{
    return (const struct page_lane *)(const void *)lane;
}

/* ---- a memory ------------------------------------------------------------------------------- */

enum quarry_status quarry_memory_create(const struct quarry_memory_options *options,
                                        struct quarry_memory **ret_memory,
                                        struct quarry_error *error)
{
    const struct quarry_memory_options defaults = {0};
    const struct quarry_memory_options *chosen = options != NULL ? options : &defaults;
    const struct page_heap_options heap_options = {
        .limit_bytes = chosen->limit_bytes,
        .reserved_bytes = chosen->reserved_bytes,
        .has_no_thread = chosen->has_no_thread,
    };
    struct page_heap *heap;
    enum quarry_status status = page_heap_create(&heap_options, &heap, error);

    if (status == QUARRY_OK) {
        *ret_memory = (struct quarry_memory *)(void *)heap;
    }
    return status;
}

void quarry_memory_destroy(struct quarry_memory *memory)
{
    if (memory != NULL) {
        page_heap_destroy(heap_of(memory));
    }
}

enum quarry_status quarry_memory_set_limit(struct quarry_memory *memory, uint64_t limit_bytes)
{
    return page_heap_set_limit(heap_of(memory), limit_bytes);
}

uint64_t quarry_memory_trim(struct quarry_memory *memory)
{
    return page_heap_trim(heap_of(memory));
}

uint64_t quarry_memory_turn(struct quarry_memory *memory)
{
    page_scavenger_tick(heap_of(memory));
    return page_scavenger_run(heap_of(memory));
}

/* ---- owners and the ledger ------------------------------------------------------------------ */

enum quarry_status quarry_memory_owner(struct quarry_memory *memory, const char *name,
                                       uint32_t *ret_owner)
{
    return page_ledger_register(&heap_of(memory)->ledger, name, ret_owner);
}

const char *quarry_memory_owner_name(struct quarry_memory *memory, uint32_t owner)
{
    struct page_ledger *ledger = &heap_of(memory)->ledger;

    /* Pairs with the release in page_ledger_register. */
    if (owner == PAGE_OWNER_NONE || owner >= atomic_load_acquire_u32(&ledger->owner_count)) {
        return NULL;
    }
    return ledger->owner[owner].name;
}

size_t quarry_memory_ledger(struct quarry_memory *memory, struct quarry_ledger *ret_ledger,
                            struct quarry_ledger_row *rows, size_t row_capacity)
{
    return page_heap_ledger(heap_of(memory), ret_ledger, rows, row_capacity);
}

enum quarry_status quarry_memory_validate(struct quarry_memory *memory, struct quarry_error *error)
{
    return page_heap_validate(heap_of(memory), error);
}

enum quarry_status quarry_memory_map(struct quarry_memory *memory, void *buffer,
                                     size_t capacity_bytes, size_t *ret_bytes)
{
    enum quarry_status status =
        page_heap_map_write(heap_of(memory), buffer, capacity_bytes, ret_bytes);

    if (status == QUARRY_TOO_LARGE) {
        *ret_bytes = page_heap_map_bytes(heap_of(memory));
    }
    return status;
}

/* ---- reclaimers ----------------------------------------------------------------------------- */

enum quarry_status quarry_memory_add_reclaimer(struct quarry_memory *memory, uint32_t order,
                                               quarry_reclaim_function *reclaim, void *argument)
{
    return page_heap_add_reclaimer(heap_of(memory), order, reclaim, argument);
}

void quarry_memory_remove_reclaimer(struct quarry_memory *memory, quarry_reclaim_function *reclaim,
                                    void *argument)
{
    page_heap_remove_reclaimer(heap_of(memory), reclaim, argument);
}

/* ---- the reserve ---------------------------------------------------------------------------- */

enum quarry_status quarry_memory_set_reserve(struct quarry_memory *memory, uint64_t bytes)
{
    return page_heap_set_reserve(heap_of(memory), bytes);
}

enum quarry_status quarry_memory_add_reserve(struct quarry_memory *memory, uint64_t bytes)
{
    return page_heap_add_reserve(heap_of(memory), size_align_up_u64(bytes, PAGE_COMMIT_UNIT_BYTES));
}

void quarry_memory_remove_reserve(struct quarry_memory *memory, uint64_t bytes)
{
    page_heap_remove_reserve(heap_of(memory), size_align_up_u64(bytes, PAGE_COMMIT_UNIT_BYTES));
}

void quarry_reserve_restore(struct quarry_memory *memory)
{
    page_reserve_restore(heap_of(memory));
}

void quarry_reserve_begin(struct quarry_memory *memory)
{
    page_reserve_enter(heap_of(memory));
}

void quarry_reserve_end(struct quarry_memory *memory)
{
    page_reserve_leave(heap_of(memory));
}

/* ---- lanes ---------------------------------------------------------------------------------- */

enum quarry_status quarry_lane_create(struct quarry_memory *memory,
                                      const struct quarry_lane_options *options,
                                      struct quarry_lane **ret_lane, struct quarry_error *error)
{
    const struct page_lane_options lane_options = {
        .name = options->name,
        .reserved_bytes = options->reserved_bytes,
        .file_path = options->file_path,
        .wants_huge_pages = options->wants_huge_pages,
    };
    struct page_lane *lane;
    enum quarry_status status = page_lane_create(heap_of(memory), &lane_options, &lane, error);

    if (status == QUARRY_OK) {
        *ret_lane = (struct quarry_lane *)(void *)lane;
    }
    return status;
}

void quarry_lane_end(struct quarry_lane *lane)
{
    page_lane_end(lane_of(lane));
}

void quarry_lane_destroy(struct quarry_lane *lane)
{
    if (lane != NULL) {
        page_lane_destroy(lane_of(lane));
    }
}

enum quarry_status quarry_lane_adopt(struct quarry_lane *lane, uint32_t owner, uint64_t page,
                                     uint64_t page_count, void **ret_base)
{
    return page_lane_adopt(lane_of(lane), owner, page, page_count, ret_base);
}

enum quarry_status quarry_lane_adopt_finish(struct quarry_lane *lane)
{
    return page_lane_adopt_finish(lane_of(lane));
}

void *quarry_lane_base(struct quarry_lane *lane)
{
    return lane_of(lane)->base;
}

/* ---- runs ----------------------------------------------------------------------------------- */

/* A length that no lane can have; larger ones could not even be put in words. */
static bool is_too_long(uint64_t page_count)
{
    return page_count > PAGE_LANE_PAGES_MAX;
}

static enum quarry_status run_hand_out(struct page_run run, void **ret_base)
{
    if (run.base == NULL) {
        return run.status;
    }
    *ret_base = run.base;
    return QUARRY_OK;
}

enum quarry_status quarry_pages_alloc(struct quarry_lane *lane, uint32_t owner, uint64_t page_count,
                                      void **ret_base)
{
    if (is_too_long(page_count)) {
        return QUARRY_NO_ADDRESS;
    }
    return run_hand_out(page_alloc(lane_of(lane), owner, page_count), ret_base);
}

enum quarry_status quarry_pages_alloc_aligned(struct quarry_lane *lane, uint32_t owner,
                                              uint64_t page_count, uint64_t align_pages,
                                              void **ret_base)
{
    if (is_too_long(page_count)) {
        return QUARRY_NO_ADDRESS;
    }
    return run_hand_out(page_lane_alloc(lane_of(lane), owner, page_count, align_pages), ret_base);
}

void quarry_pages_free(struct quarry_lane *lane, void *base)
{
    if (base != NULL) {
        page_free(lane_of(lane), base);
    }
}

enum quarry_status quarry_pages_resize(struct quarry_lane *lane, void *base, uint64_t page_count)
{
    if (is_too_long(page_count)) {
        return QUARRY_BUSY;
    }
    return page_lane_resize(lane_of(lane), base, page_count);
}

uint64_t quarry_pages_count(const struct quarry_lane *lane, const void *base)
{
    return page_lane_run_pages(const_lane_of(lane), base);
}

uint32_t quarry_pages_owner(const struct quarry_lane *lane, const void *base)
{
    return page_lane_run_owner(const_lane_of(lane), base);
}
