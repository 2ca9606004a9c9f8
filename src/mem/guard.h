/*
 * Guarded objects: a few of the sampled ones, each on a page of its own between two that fault.
 */
#ifndef QUARRY_MEM_GUARD_H
#define QUARRY_MEM_GUARD_H

#include <base/base.h>
#include <mem/panic.h>
#include <page/page.h>

struct mem_bins;
struct mem_heap;

/* Objects guarded at a time: 64 OS pages of budget and 516 KiB of addresses at most. */
#define MEM_GUARD_SLOTS 64u
/* The largest object that is guarded. */
#define MEM_GUARD_MAX_BYTES 4096u
/* One in so many samples that could be is guarded: of a sample each 512 KiB, one each 32 MiB. */
#define MEM_GUARD_EVERY 64u

struct mem_guard_slot {
    _Atomic uint32_t state; /* enum slot_state, in guard.c */
    uint32_t bytes;         /* asked for; by whoever has made the slot BUSY */
    _Atomic(void *) object; /* in use, or the last one that was */
    _Atomic uint64_t freed; /* how many frees there were until its last one; 0: never used */
};

struct mem_guard {
    /* const after init */
    struct page_heap *pages;
    uint32_t every;       /* one sample in so many; 0: none */
    size_t region_bytes;  /* of the reservation, once there is one */
    _Atomic(void *) base; /* char *: the region; NULL: nothing was ever guarded */
    _Atomic uint64_t free_count;
    struct mem_guard_slot slot[MEM_GUARD_SLOTS];
};

/* `guard`: all zero. `every`: see MEM_GUARD_EVERY. Cost: nothing until an object is guarded. */
void mem_guard_init(struct mem_guard *guard, struct page_heap *pages, uint32_t every);
/* Ends it and all guarded objects. No other thread uses them any more. */
void mem_guard_fini(struct mem_guard *guard);

/*
 * Reports a sampled object of the bins to the heap's observer; and puts another in its place, when
 * it is one to be guarded and there is room.
 *
 * `object`: as taken from the bins, given. `usable_bytes`: what the gap was counted in.
 * Returns: the object to be handed out, one report made for it.
 * Threads: any, no lock held, not inside the gate. Cost: a guarded one costs about 5 µs.
 */
void *mem_guard_sample(struct mem_bins *bins, void *object, size_t requested_bytes,
                       size_t usable_bytes);

/* Whether an address lies in the region, among its guard pages too. Cost: three instructions. */
static inline bool mem_guard_covers(const struct mem_guard *guard, const void *address)
{
    /* Acquire: pairs with the exchange that published the region. */
    const char *base = atomic_load_acquire_ptr(&guard->base);

    return base != NULL && (uint64_t)((const char *)address - base) < guard->region_bytes;
}

/*
 * Frees a guarded object: its page cannot be touched from here on. Ends the program when none in
 * use begins there, or its surroundings were written to. The address is one of the region.
 * Threads: any. Errors: none; a page that the kernel will not take is left alone for good.
 */
void mem_guard_free(struct mem_heap *heap, void *object);

/* Why nothing can be done with an address of the region at which no object in use begins. */
Q_COLD enum mem_panic mem_guard_diagnose(const struct mem_guard *guard, const void *address);

/* Whether a guarded object in use begins at the address, which is one of the region. */
bool mem_guard_is_object(const struct mem_guard *guard, const void *address);
/* Bytes of a guarded object in use: as many as were asked for, at least one. */
size_t mem_guard_usable(const struct mem_guard *guard, const void *object);

#endif
