/*
 * The page heap: lanes under one budget, with their owners, caches and scavenger.
 */
#ifndef QUARRY_PAGE_HEAP_H
#define QUARRY_PAGE_HEAP_H

#include <quarry/memory.h>

#include <base/base.h>
#include <os/os.h>
#include <page/commit.h>
#include <page/hooks.h>
#include <page/lane.h>
#include <page/metadata.h>
#include <page/owner.h>
#include <page/page_cache.h>
#include <page/reserve.h>
#include <page/scavenger.h>

/* Asks its owner to free about `wanted_bytes`. Returns how many it freed, as far as it knows. */
typedef uint64_t page_reclaim_function(void *argument, uint64_t wanted_bytes);

#define PAGE_RECLAIMERS_MAX 16u

/* In zone_lane: addresses that could not be made inaccessible again, and belong to no lane. */
#define PAGE_ZONE_LOST (PAGE_LANES_MAX + 1)

struct page_reclaimer {
    page_reclaim_function *reclaim; /* NULL: slot free */
    void *argument;
    uint32_t order;                /* lower is asked first */
    _Atomic uint32_t caller_count; /* threads inside it */
};

struct page_heap_options {
    struct os *os;             /* NULL: the real one */
    uint64_t limit_bytes;      /* 0: 90 % of the cgroup's limit or of RAM, whichever is less */
    uint64_t reserved_bytes;   /* address space for lanes; 0: 128 × limit, 64 GiB to 16 TiB */
    bool has_no_thread;        /* scavenge only in page_scavenger_run, on growth and at the limit */
    uint64_t thread_min_bytes; /* no thread before so many bytes are committed */
};

struct page_heap {
    /* const after creation */
    struct os *os;
    uint64_t serial; /* of all heaps this process ever had */
    uint32_t slot;   /* index into page_tls */
    char *space;     /* where the lanes are */
    uint64_t space_bytes;
    uint64_t lane_bytes; /* address space of a lane that asks for no size */
    char *own_base;      /* where this struct is, and the metadata after it */
    size_t own_bytes;

    struct page_commit commit;
    struct page_ledger ledger;
    struct page_metadata metadata;
    struct page_scavenger scavenger;
    _Atomic uint64_t refused_count;     /* allocations that failed because the budget was full */
    _Atomic uint32_t is_limit_changing; /* somebody is in page_heap_set_limit */

    struct os_mutex caches_mutex;
    /* guarded by caches_mutex */
    struct page_thread *threads;

    struct os_mutex lanes_mutex;
    /* guarded by lanes_mutex; lanes read without it by those who hold the lane's lifetime */
    _Atomic(void *) lane[PAGE_LANES_MAX + 1];  /* struct page_lane *, or NULL; the last always */
    uint64_t lane_ids_taken;                   /* a bit each; taken before the lane is published */
    _Atomic uint8_t zone_lane[PAGE_ZONES_MAX]; /* lane id + 1; 0: free; or PAGE_ZONE_LOST */
    struct page_reclaimer reclaimer[PAGE_RECLAIMERS_MAX];
    struct page_hooks hooks;
    struct page_reserve reserve;
};

/*
 * Errors: NO_MEMORY, NO_ADDRESS, TOO_MANY (PAGE_HEAPS_MAX heaps), BAD_INPUT (a limit too small to
 * hold the heap's own structures), TOO_LARGE (a limit above 16 TiB).
 */
enum quarry_status page_heap_create(const struct page_heap_options *options,
                                    struct page_heap **ret_heap, struct quarry_error *error);
/* Ends all lanes. No other thread uses the heap any more, nor will. */
void page_heap_destroy(struct page_heap *heap);

/* The lane an address belongs to, or NULL. Cost: two loads. */
static inline struct page_lane *page_heap_lane_of(struct page_heap *heap, const void *address)
{
    uint64_t offset = (uint64_t)((const char *)address - heap->space);

    if (offset >= heap->space_bytes) {
        return NULL;
    }
    uint8_t lane = atomic_load_relaxed_u8(&heap->zone_lane[offset >> PAGE_ZONE_SHIFT]);
    /* Acquire: pairs with the release in page_lane_create. */
    return lane == 0 ? NULL : atomic_load_acquire_ptr(&heap->lane[lane - 1]);
}

/*
 * Charges `bytes`, reclaiming in order when they do not fit: free pages of all lanes, highest
 * first; page caches; reclaimers; what is set aside, for threads inside the reserve. No lock held,
 * in no cache. Errors: NO_MEMORY.
 */
enum quarry_status page_heap_reserve(struct page_heap *heap, uint64_t bytes);

/*
 * Changes the limit, at once when raised; when lowered below what is committed, frees first, up to
 * two seconds as long as there is progress.
 * Errors: TOO_LARGE; NO_MEMORY: not enough could be freed, and the old limit stands again; BUSY:
 * another thread is changing it.
 */
enum quarry_status page_heap_set_limit(struct page_heap *heap, uint64_t limit_bytes);

/* The limit that charges are held to: while it is being lowered, the new one. */
static inline uint64_t page_heap_limit_goal(const struct page_heap *heap)
{
    return page_commit_goal_bytes(&heap->commit);
}

/* Free pages of all lanes that have backing, in bytes. Cost: each lane's lock for a moment. */
uint64_t page_heap_free_backed_bytes(struct page_heap *heap);

/* Gives everything back that is free. Returns: bytes given back. */
uint64_t page_heap_trim(struct page_heap *heap);

/* Errors: TOO_MANY. */
enum quarry_status page_heap_add_reclaimer(struct page_heap *heap, uint32_t order,
                                           page_reclaim_function *reclaim, void *argument);
/* Returns when no thread is inside it any more. Not to be called from inside it. */
void page_heap_remove_reclaimer(struct page_heap *heap, page_reclaim_function *reclaim,
                                void *argument);

/*
 * Reads the ledger, all caches stopped and all lanes locked. Rows with nothing in use are left out.
 * `rows`: room for `row_capacity`; may be NULL for 0. Returns: how many rows there are, which may
 * be more than were written. Cost: a process barrier and O(threads × lanes + owners × lanes);
 * allocation waits meanwhile.
 */
size_t page_heap_ledger(struct page_heap *heap, struct quarry_ledger *ret_totals,
                        struct quarry_ledger_row *rows, size_t row_capacity);

/*
 * Checks everything: every lane's tree against its bitmaps, every page in exactly one place (free,
 * one cache, one run, in flight), the ledger against the pages, committed bytes against the sum.
 * Returns: QUARRY_OK, or QUARRY_CORRUPT with the first difference. Cost: O(pages); all waits.
 * An allocation of another thread that has charged but not yet taken its pages shows as in flight
 * and is no error.
 */
enum quarry_status page_heap_validate(struct page_heap *heap, struct quarry_error *error);

/*
 * Commits a range that another layer has reserved for structures of its own about this heap's
 * pages, and charges it as metadata; and takes such charges back. Never reclaims. Errors:
 * NO_MEMORY: nothing is charged.
 */
enum quarry_status page_heap_commit_metadata(struct page_heap *heap, void *base, uint64_t bytes);
void page_heap_release_metadata(struct page_heap *heap, uint64_t bytes);

/* ---- for the other files of this folder ----------------------------------------------------- */

/*
 * Stops all caches of a heap: until page_caches_resume nobody is inside one, and every thread that
 * wants to enter waits. The caller holds no lock and is inside no cache itself.
 */
void page_caches_stop(struct page_heap *heap) Q_ACQUIRE(&heap->caches_mutex);
void page_caches_resume(struct page_heap *heap) Q_RELEASE(&heap->caches_mutex);
/* Stops every cache and locks every lane, so that nothing of the heap changes; and lets it go on.
 */
void page_heap_stop(struct page_heap *heap) Q_ACQUIRE(&heap->caches_mutex, &heap->lanes_mutex);
void page_heap_resume(struct page_heap *heap) Q_RELEASE(&heap->caches_mutex, &heap->lanes_mutex);
/* Pages an owner holds in a lane, with the heap stopped. */
uint64_t page_heap_owner_pages_stopped(struct page_heap *heap, uint32_t owner, uint32_t lane);
/* In the child of a fork: whoever was inside a reclaimer is gone, but for the calling thread. */
void page_reclaimers_after_fork(struct page_heap *heap);
/* Whoever was changing the limit too, unless it is the calling thread from inside a reclaimer. */
void page_limit_after_fork(struct page_heap *heap);
/*
 * Pins the lane with the highest address below `below`, so that it cannot be destroyed, or returns
 * NULL. page_heap_unpin gives it back.
 */
struct page_lane *page_heap_pin_below(struct page_heap *heap, const char *below);
void page_heap_unpin(struct page_lane *lane);

#endif
