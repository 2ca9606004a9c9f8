/*
 * Guarded objects.
 *
 * A bug that hits one object in a million shows up in production and nowhere else. So a few sampled
 * objects get memory that cannot be misused unnoticed, at the cost of a comparison where a free has
 * found no span:
 *
 *   | no access | page of slot 0 | no access | page of slot 1 | no access | …    OS pages
 *                ▒▒▒▒▒▒▒▒[object]             [object]▒▒▒▒▒▒▒▒
 *                     at the end              at the beginning               ▒ filled, and checked
 *
 * Half of the objects end at their page's end, as far as an alignment of 16 allows, so that reading
 * or writing past it faults at once; the others begin at the beginning, for what runs the other
 * way. What is left of the page is filled with a pattern; if that has changed when the object is
 * freed, the program ends. A freed object's page becomes inaccessible, and the slot that was freed
 * first is used first, so that a use after free faults for as long as possible.
 *
 * Slots go through EMPTY -> BUSY -> LIVE -> BUSY -> EMPTY, by compare-and-swap: who makes one BUSY
 * has it for itself. There is no lock, so that a signal handler may interrupt anything here, and
 * nothing needs doing around a fork: a slot that another thread had BUSY stays so in the child, one
 * of 64 lost with its page's charge.
 *
 * Only objects of the general pool are guarded: those of other pools end with their lifetime,
 * without being freed. Under hardening none are, for what the surroundings of every object are
 * checked for there needs its size class.
 *
 * Invariants
 *   1. A page is charged (as metadata) before it is accessible, until after it no longer is.
 *   2. LIVE: `object` begins an object of `bytes` in the slot's page. Else the page faults.
 *
 * Cost: choosing, a few instructions a sample; guarding, two system calls and two page faults.
 * Rejected: a handler for SIGSEGV that says what happened (the program may have its own, and the
 * address in the core file lies in a region of which everything is known); a page for every sample
 * (two mappings each, where the kernel allows 65,530 in all).
 */
#include <mem/guard.h>

#include <string.h>

#include <mem/bins.h>
#include <mem/object.h>
#include <mem/panic.h>
#include <mem/sampling.h>

enum slot_state {
    SLOT_EMPTY,
    SLOT_BUSY, /* being made or unmade by one thread; or the kernel would not take its page */
    SLOT_LIVE,
};

/* What surrounds objects: no likely character, flag or number, and no zero. */
#define FILL 0xa9

/* ---- the region ----------------------------------------------------------------------------- */

void mem_guard_init(struct mem_guard *guard, struct page_heap *pages, uint32_t every)
{
    guard->pages = pages;
    guard->every = every;
    guard->region_bytes = (2 * MEM_GUARD_SLOTS + 1) * pages->os->page_bytes;
}

static char *slot_page(const struct mem_guard *guard, uint32_t index)
{
    char *base = atomic_load_acquire_ptr(&guard->base);

    return base + (2 * index + 1) * guard->pages->os->page_bytes;
}

/* Takes a slot's page back; or, when the kernel will not have it, leaves the slot BUSY. */
static void slot_give(struct mem_guard *guard, uint32_t index)
{
    struct mem_guard_slot *slot = &guard->slot[index];
    size_t page_bytes = guard->pages->os->page_bytes;

    if (os_uncommit(guard->pages->os, slot_page(guard, index), page_bytes) == QUARRY_OK) {
        page_heap_release_metadata(guard->pages, page_bytes); /* invariant 1 */
        uint64_t freed = atomic_add_relaxed_u64(&guard->free_count, 1) + 1;
        atomic_store_relaxed_u64(&slot->freed, freed);
        /* Release: pairs with the exchange in slot_take. */
        atomic_store_release_u32(&slot->state, SLOT_EMPTY);
    }
}

void mem_guard_fini(struct mem_guard *guard)
{
    char *base = atomic_load_relaxed_ptr(&guard->base);

    if (base == NULL) {
        return;
    }
    for (uint32_t i = 0; i < MEM_GUARD_SLOTS; i++) {
        if (atomic_load_acquire_u32(&guard->slot[i].state) == SLOT_LIVE) {
            slot_give(guard, i);
        }
    }
    (void)os_release(guard->pages->os, base, guard->region_bytes);
    atomic_store_relaxed_ptr(&guard->base, NULL);
}

/* Reserves the region at the first use; of two threads that do, one gives its own back. */
static bool region_make(struct mem_guard *guard)
{
    struct os *os = guard->pages->os;
    void *base, *none = NULL;

    if (atomic_load_acquire_ptr(&guard->base) != NULL) {
        return true;
    }
    if (os_reserve(os, guard->region_bytes, os->page_bytes, &base) != QUARRY_OK) {
        return false;
    }
    if (!atomic_cas_acq_rel_ptr(&guard->base, &none, base)) {
        (void)os_release(os, base, guard->region_bytes);
    }
    return true;
}

/* ---- allocating ----------------------------------------------------------------------------- */

/* Makes the empty slot that was freed first BUSY. Returns MEM_GUARD_SLOTS when none is empty. */
static uint32_t slot_take(struct mem_guard *guard)
{
    for (;;) {
        uint64_t oldest = UINT64_MAX;
        uint32_t index = MEM_GUARD_SLOTS, empty = SLOT_EMPTY;
        for (uint32_t i = 0; i < MEM_GUARD_SLOTS; i++) {
            uint64_t freed = atomic_load_relaxed_u64(&guard->slot[i].freed);
            if (atomic_load_relaxed_u32(&guard->slot[i].state) == SLOT_EMPTY && freed < oldest) {
                oldest = freed;
                index = i;
            }
        }
        if (index == MEM_GUARD_SLOTS ||
            atomic_cas_acquire_u32(&guard->slot[index].state, &empty, SLOT_BUSY)) {
            return index;
        }
    }
}

/* Puts an object into a slot's page; the rest of the page is filled. */
static void *page_fill(char *page, size_t page_bytes, size_t bytes, bool is_at_end)
{
    char *object = is_at_end ? page + page_bytes - size_align_up(bytes, 16) : page;

    memset(page, FILL, (size_t)(object - page));
    memset(object + bytes, FILL, page_bytes - bytes - (size_t)(object - page));
    return object;
}

static void *guard_alloc(struct mem_guard *guard, size_t bytes, bool is_at_end)
{
    size_t page_bytes = guard->pages->os->page_bytes;

    if (!region_make(guard)) {
        return NULL;
    }
    uint32_t index = slot_take(guard);
    if (index == MEM_GUARD_SLOTS) {
        return NULL;
    }
    struct mem_guard_slot *slot = &guard->slot[index];
    char *page = slot_page(guard, index);
    if (page_heap_commit_metadata(guard->pages, page, page_bytes) != QUARRY_OK) {
        atomic_store_release_u32(&slot->state, SLOT_EMPTY);
        return NULL;
    }
    void *object = page_fill(page, page_bytes, bytes, is_at_end);
    slot->bytes = (uint32_t)bytes;
    atomic_store_relaxed_ptr(&slot->object, object);
    /* Release: pairs with the acquires of those who look at the object. */
    atomic_store_release_u32(&slot->state, SLOT_LIVE);
    return object;
}

/* Draws whether a sample is to be guarded, and where in its page. */
static bool wants_guard(const struct mem_bins *bins, size_t bytes, bool *ret_is_at_end)
{
    const struct mem_heap *heap = bins->pool->heap;

    if (heap->guard.every == 0 || heap->is_hardened || bytes > MEM_GUARD_MAX_BYTES ||
        bins->pool != heap->general_pool) {
        return false;
    }
    uint64_t random = mem_random_u64(&bins->thread->random_state);
    *ret_is_at_end = (random >> 63) != 0;
    return (random & UINT32_MAX) % heap->guard.every == 0;
}

void *mem_guard_sample(struct mem_bins *bins, void *object, size_t requested_bytes,
                       size_t usable_bytes)
{
    struct mem_heap *heap = bins->pool->heap;
    bool is_at_end;

    if (Q_UNLIKELY(wants_guard(bins, requested_bytes, &is_at_end))) {
        void *guarded = guard_alloc(&heap->guard, size_max(requested_bytes, 1), is_at_end);
        if (guarded != NULL) {
            /* The observer is asked about it, as it is watched, and knows nothing of it. */
            mem_free_slow(heap, object);
            object = guarded;
        }
    }
    const struct mem_sample sample = {requested_bytes, usable_bytes, bins->thread->last_mean_bytes,
                                      bins->pool};
    heap->observer.allocated(heap->observer.argument, object, &sample);
    return object;
}

/* ---- objects in use ------------------------------------------------------------------------- */

/* The slot whose page an address of the region lies in; NULL for a page between two. */
static const struct mem_guard_slot *slot_of(const struct mem_guard *guard, const void *address)
{
    const char *base = atomic_load_acquire_ptr(&guard->base);
    uint64_t page = (uint64_t)((const char *)address - base) / guard->pages->os->page_bytes;

    Q_ASSERT(page <= 2 * MEM_GUARD_SLOTS);
    return page % 2 == 0 ? NULL : &guard->slot[page / 2];
}

enum mem_panic mem_guard_diagnose(const struct mem_guard *guard, const void *address)
{
    const struct mem_guard_slot *slot = slot_of(guard, address);

    return slot != NULL && atomic_load_relaxed_ptr(&slot->object) == address ? MEM_PANIC_DOUBLE_FREE
                                                                             : MEM_PANIC_NOT_OBJECT;
}

/* The slot of the object in use that begins at an address, or NULL. */
static const struct mem_guard_slot *slot_find(const struct mem_guard *guard, const void *address)
{
    const struct mem_guard_slot *slot = slot_of(guard, address);

    if (slot == NULL || atomic_load_acquire_u32(&slot->state) != SLOT_LIVE ||
        atomic_load_relaxed_ptr(&slot->object) != address) {
        return NULL;
    }
    return slot;
}

bool mem_guard_is_object(const struct mem_guard *guard, const void *address)
{
    return slot_find(guard, address) != NULL;
}

size_t mem_guard_usable(const struct mem_guard *guard, const void *object)
{
    const struct mem_guard_slot *slot = slot_find(guard, object);

    Q_ASSERT(slot != NULL);
    return slot->bytes;
}

/* ---- freeing -------------------------------------------------------------------------------- */

static bool is_filled(const char *begin, const char *end)
{
    while (begin < end && (unsigned char)*begin == FILL) {
        begin++;
    }
    return begin == end;
}

/* Ends the program if anything was written around the object. */
static void check_surroundings(const struct mem_guard *guard, const struct mem_guard_slot *slot,
                               const char *object)
{
    size_t page_bytes = guard->pages->os->page_bytes;
    const char *page = (const char *)((uint64_t)object & ~(uint64_t)(page_bytes - 1));

    if (!is_filled(object + slot->bytes, page + page_bytes)) {
        mem_panic(MEM_PANIC_OVERFLOW, object);
    }
    if (!is_filled(page, object)) {
        mem_panic(MEM_PANIC_UNDERFLOW, object);
    }
}

void mem_guard_free(struct mem_heap *heap, void *object)
{
    struct mem_guard *guard = &heap->guard;
    const struct mem_guard_slot *found = slot_of(guard, object);
    struct mem_guard_slot *slot = found == NULL ? NULL : &guard->slot[found - guard->slot];
    uint32_t live = SLOT_LIVE;

    /* Acquire: pairs with the release that made it live. */
    if (slot == NULL || atomic_load_relaxed_ptr(&slot->object) != object ||
        !atomic_cas_acquire_u32(&slot->state, &live, SLOT_BUSY)) {
        mem_panic(mem_guard_diagnose(guard, object), object);
    }
    check_surroundings(guard, slot, object);
    (void)heap->observer.freed(heap->observer.argument, object);
    slot_give(guard, (uint32_t)(slot - guard->slot));
}
