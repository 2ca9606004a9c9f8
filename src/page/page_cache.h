/*
 * Page caches: pages a thread holds so that it need not take a lane's lock.
 *
 * A thread has one cache for each lane it uses:
 *
 *   block   64 aligned pages and a mask of those still free: what single pages and short runs are
 *           cut from
 *   runs    a stack of runs freed a moment ago, newest on top: what the next allocation of the same
 *           length takes back
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
 * How much the stack of runs takes: each run counts its pages and PAGE_CACHE_RUN_COST, so 31 single
 * pages fit, or one run of a chunk and some short ones. Doubling it doubles what an idle thread can
 * strand, 7.75 MiB at most, until the scavenger comes by (two generations).
 */
#define PAGE_CACHE_ROOM          1024u
#define PAGE_CACHE_RUN_COST      32u
#define PAGE_CACHE_RUN_PAGES_MAX PAGE_CHUNK_PAGES
#define PAGE_CACHE_RUNS_MAX      (PAGE_CACHE_ROOM / (PAGE_CACHE_RUN_COST + 1))

/* A run in the stack. */
struct page_cache_run {
    uint32_t page;
    uint32_t page_count;
};

/* Bits of `stop`. */
#define PAGE_CACHE_STOP   1u /* somebody else has the cache */
#define PAGE_CACHE_FENCED 2u /* there is no process barrier: entering takes the slow handshake */

struct page_cache {
    /* the handshake, see page_cache.c */
    _Atomic uint32_t turn; /* odd: its thread is inside; counts entries, so unchanged means idle */
    _Atomic uint32_t stop;
    /* its thread while inside, or whoever has stopped the cache */
    uint32_t room;      /* left in the stack, see PAGE_CACHE_ROOM */
    uint32_t run_count; /* run[1] is the oldest, run[run_count] the newest */
    _Atomic uint32_t owner;      /* the owner of the last run that came or went */
    _Atomic int32_t owner_pages; /* in use by it, and not yet in the ledger */
    struct page_block block;
    struct page_cache_run run[PAGE_CACHE_RUNS_MAX + 1]; /* run[0] has no pages: matches nothing */
    /* guarded by the heap's caches_mutex */
    uint32_t seen_turn;    /* at the last look of the scavenger */
    uint32_t flushed_turn; /* when last flushed for idleness */
    struct page_lane *lane; /* NULL while no lane has the id */
};
Q_STATIC_ASSERT(sizeof(struct page_cache) <= 512, "a piece of metadata holds a cache");

/* A thread's caches in one heap. */
struct page_thread {
    struct page_cache *cache[PAGE_LANES_MAX]; /* by lane id; set by the thread, under caches_mutex */
    struct page_heap *heap;
    struct page_thread *next, *previous; /* guarded by the heap's caches_mutex */
};

/* Heaps at one time in a process: the process' own, and those of tests. */
#define PAGE_HEAPS_MAX 4u
/* Lanes whose cache a thread finds by one comparison; those with the same id modulo share one. */
#define PAGE_TLS_ENTRIES 4u

/* What a thread remembers. Entries name lanes and heaps by serial numbers, which are never reused. */
struct page_tls {
    struct {
        uint64_t lane_serial;
        struct page_cache *cache;
    } lane[PAGE_TLS_ENTRIES];
    struct {
        uint64_t heap_serial;
        struct page_thread *thread;
    } heap[PAGE_HEAPS_MAX];
};

extern _Thread_local struct page_tls page_tls;

/*
 * Allocates `page_count` pages of `lane` for `owner`, from the thread's cache when it can.
 * As page_lane_alloc with an alignment of one page.
 * Cost: about 35 instructions from the cache.
 */
struct page_run page_alloc(struct page_lane *lane, uint32_t owner, uint64_t page_count);
/* Frees a run that page_alloc or page_lane_alloc returned, into the thread's cache when it can. */
void page_free(struct page_lane *lane, void *base);

/* ---- for the other files of this folder ------------------------------------------------------------ */

/* Gives back everything that a thread has cached in a heap, and forgets the thread. */
void page_thread_exit(struct page_heap *heap, struct page_thread *thread);

/* With the caches stopped: gives the pages of one cache to its lane; adds its differences. */
void page_cache_flush_stopped(struct page_cache *cache);
/* With the caches stopped: forgets the pages and differences of one cache; its lane has ended. */
void page_cache_drop_stopped(struct page_cache *cache);
/* Pages in a cache. */
uint64_t page_cache_pages(const struct page_cache *cache);

/* Gives back what all threads have cached; or only threads that used nothing since the last call. */
void page_caches_flush_all(struct page_heap *heap);
void page_caches_flush_idle(struct page_heap *heap);

#endif
