/*
 * Page caches: pages a thread holds so that it need not take a lane's lock.
 *
 * A thread has one cache for each lane it uses:
 *
 *   block   64 aligned pages and a mask of those still free: what single pages and short runs are
 *           cut from
 *   runs    two stacks, of short and of long runs freed a moment ago, newest on top: what the next
 *           allocation of the same length by the same owner takes back
 *
 * Everything in a cache is marked in use in the lane's tree, and is charged to the budget already,
 * the pages of the block that have no backing yet included: the fast path charges nothing.
 */
#ifndef QUARRY_PAGE_PAGE_CACHE_H
#define QUARRY_PAGE_PAGE_CACHE_H

#include <base/base.h>
#include <page/lane.h>
#include <page/tree.h>

struct page_heap;

/*
 * Short runs kept: 64 of up to 15 pages. Enough for a burst of 64 spans to come and go without the
 * lock; doubling it doubles the 7.5 MiB that an idle thread can strand in the worst case, until the
 * scavenger comes by (two generations).
 */
#define PAGE_CACHE_SHORT_MAX 64u
/*
 * Long runs kept, of 16 to 512 pages: at most 64 of them, and in all of them a 128th of the budget,
 * 512 KiB to 32 MiB. A thread that hands large buffers about goes round the lock, and many threads
 * together cannot strand a small budget.
 */
#define PAGE_CACHE_LONG_MAX          64u
#define PAGE_CACHE_LONG_PAGES_LEAST  64u
#define PAGE_CACHE_LONG_PAGES_MOST   4096u
#define PAGE_CACHE_LONG_BUDGET_SHARE 128u
#define PAGE_CACHE_RUN_PAGES_MAX     PAGE_CHUNK_PAGES

/* A run that an owner freed a moment ago, with the head it had. */
struct page_cache_run {
    uint32_t page;
    uint32_t head;
};

/* Runs, oldest first; run[0] is none and matches nothing. */
struct page_cache_stack {
    uint64_t count;      /* 64 bits wide: an index without conversions */
    uint32_t page_count; /* of the long stack: in all of its runs */
    struct page_cache_run run[PAGE_CACHE_LONG_MAX + 1];
};

struct page_cache {
    struct os_gate gate; /* the thread is inside while it uses the cache */
    /* its thread while inside, or whoever has stopped the cache */
    uint32_t owner;      /* whose pages `owner_pages` are */
    int32_t owner_pages; /* what the ledger has not been told yet */
    struct page_block block;
    struct page_cache_stack short_runs;
    struct page_cache_stack long_runs;
    uint32_t long_pages_max; /* const after creation: pages that the long stack takes in all */
    /* guarded by the heap's caches_mutex */
    bool is_flushed;        /* for idleness, and not used since */
    struct page_lane *lane; /* NULL while no lane has the id */
};

/* A thread's caches in one heap. */
struct page_thread {
    struct page_cache
        *cache[PAGE_LANES_MAX]; /* by lane id; set by the thread, under caches_mutex */
    struct page_heap *heap;
    struct page_thread *next, *previous; /* guarded by the heap's caches_mutex */
};

/* Heaps at one time in a process: the process' own, and those of tests. */
#define PAGE_HEAPS_MAX 4u
/* Lanes whose cache a thread finds by one comparison; those with the same id modulo share one. */
#define PAGE_TLS_ENTRIES 4u

/* What a thread remembers of a lane, by a serial number that is never used again. */
struct page_tls_lane {
    uint64_t serial;
    struct page_cache *cache;
};

struct page_tls_heap {
    uint64_t serial;
    struct page_thread *thread;
};

struct page_tls {
    struct page_tls_lane lane[PAGE_TLS_ENTRIES];
    struct page_tls_heap heap[PAGE_HEAPS_MAX];
};

extern _Thread_local struct page_tls page_tls;

/*
 * The calling thread's entry for a lane. `tls_offset` is its distance from the thread pointer, the
 * same in every thread because page_tls is in static thread storage (the initial-exec model).
 */
static inline struct page_tls_lane *page_tls_lane_of(const struct page_lane *lane)
{
    return (struct page_tls_lane *)(void *)((char *)__builtin_thread_pointer() + lane->tls_offset);
}

/*
 * Allocates `page_count` pages of `lane` for `owner`, from the thread's cache when it can.
 * As page_lane_alloc with an alignment of one page.
 * Cost: about 35 instructions from the cache.
 */
struct page_run page_alloc(struct page_lane *lane, uint32_t owner, uint64_t page_count);
/* Frees a run that page_alloc or page_lane_alloc returned, into the thread's cache when it can. */
void page_free(struct page_lane *lane, void *base);

/* ---- for the other files of this folder ----------------------------------------------------- */

/* The calling thread's record in a heap. Returns: NULL: it has none. */
struct page_thread *page_thread_own(const struct page_heap *heap);
/* Gives back everything that a thread has cached in a heap, and forgets the thread. */
void page_thread_exit(struct page_heap *heap, struct page_thread *thread);

/* With the caches stopped: gives the pages of one cache to its lane; adds its differences. */
void page_cache_flush_stopped(struct page_cache *cache);
/* With the caches stopped: pages that an owner has freed, and the ledger still counts as its. */
uint64_t page_cache_owner_pages(const struct page_cache *cache, uint32_t owner);
/* With the caches stopped: forgets the pages and differences of one cache; its lane has ended. */
void page_cache_drop_stopped(struct page_cache *cache);
/* Pages in a cache. */
uint64_t page_cache_pages(const struct page_cache *cache);

/* Gives back what all threads have cached; or only threads that used nothing since the last call.
 */
void page_caches_flush_all(struct page_heap *heap);
void page_caches_flush_idle(struct page_heap *heap);

#endif
