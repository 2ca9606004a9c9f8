/*
 * The object heap: pools of objects on a page heap.
 *
 *   heap ── lifetime ── pool ─────────────── central bins: spans that no thread owns
 *     │      (a lane)    (owner × lifetime)       ▲
 *     └──── thread ───── bins, one set a pool ────┘ when the thread ends
 *                          │
 *                          └─ a bin for each size class: the word of a span it allocates from
 */
#ifndef QUARRY_MEM_HEAP_H
#define QUARRY_MEM_HEAP_H

#include <base/base.h>
#include <mem/freed.h>
#include <mem/guard.h>
#include <mem/size_class.h>
#include <mem/span.h>
#include <mem/span_map.h>
#include <os/os.h>
#include <page/page.h>

struct mem_heap;
struct mem_pool;
struct mem_quarantine;
struct mem_thread;

/*
 * What a thread allocates one class from: the free objects of one word of a span's bitmap, taken
 * out of it. One of them, the last, is the slow path's.
 */
struct mem_bin {
    uint64_t mask;         /* objects to be handed out, lowest first */
    char *base;            /* of the word's first object */
    uint64_t size_bytes;   /* const: of the class */
    uint64_t held;         /* objects of the word that come after a sample; see bins.c */
    struct mem_span *span; /* the current one, or NULL */
    uint64_t taken_count;  /* objects that were ever taken into the bin */
    uint8_t word;          /* of the span, that mask and held are of */
    uint8_t word_count;    /* const: of a span's bitmaps */
    bool is_fresh;         /* objects in mask were never used and are zero */
};

/* Bins of one thread for one pool; or, without a thread, the spans of a pool that nobody owns. */
struct mem_bins {
    struct mem_bin *direct[MEM_FINE_SLOTS]; /* const: by (size + 7) / 8 */
    struct mem_bin bin[MEM_CLASSES];
    struct mem_pool *pool;        /* const, for the next thread as well */
    struct mem_thread *thread;    /* const; NULL: central, guarded by the pool's mutex */
    mem_ref partial[MEM_CLASSES]; /* lists; inside the thread's gate, or the pool's mutex */
    mem_ref full[MEM_CLASSES];
    uint8_t scan_pause[MEM_CLASSES]; /* new spans until full ones are looked through again */
    uint8_t scan_step[MEM_CLASSES];  /* the last such pause */
    uint32_t idle_pages;             /* about: of spans kept though they are empty */
    uint32_t idle_pages_max;         /* const */
    /* by the thread, or atomic in central bins: objects above MEM_SMALL_MAX_BYTES; frees of others
       make them negative, and all of a pool's add up */
    _Atomic int64_t large_bytes, large_count;
    _Atomic uint64_t large_taken_count;
    _Atomic mem_ref mailbox; /* spans with remote frees; MEM_MAIL_END at the end of the chain */
};

/*
 * Pages of empty spans that a thread keeps for a pool: a 1024th of the budget, 64 KiB to 1 MiB.
 * They are what it would get back from its page cache at once, without taking them apart and
 * putting them together again; the collector comes for those that are idle.
 */
#define MEM_IDLE_PAGES_LEAST  8u
#define MEM_IDLE_PAGES_MOST   128u
#define MEM_IDLE_BUDGET_SHARE 1024u

/* The end of a mailbox's chain: no record has it, and it is not 0, which is "in no mailbox". */
#define MEM_MAIL_END ((mem_ref)1)
/* A mailbox that takes no mail: of bins whose thread has ended. */
#define MEM_MAIL_CLOSED ((mem_ref)2)

/* Objects freed for other threads, and not told yet. */
struct mem_outgoing {
    struct mem_span *span; /* NULL: slot free */
    uint64_t word;
    uint64_t mask;
};

/*
 * Slots for words of spans with outgoing frees; by span and word. 16 words of up to 64 objects
 * each, and at most MEM_OUTGOING_BYTES in all: what a thread that falls asleep keeps from others.
 */
#define MEM_OUTGOING_SLOTS 16u
#define MEM_OUTGOING_BYTES 16384u

/* Budget without which a heap is not made: what it takes itself, and a little for objects. */
#define MEM_HEAP_ROOM_BYTES Q_KIB(192)

/* Pools of a heap at one time: owners × lifetimes that are in use. */
#define MEM_POOLS_MAX 256u

/* A thread in one heap. */
struct mem_thread {
    struct os_gate gate; /* around the slow paths of its bins */
    struct mem_heap *heap;
    uintptr_t owner;         /* const: the thread pointer */
    int64_t sample_left;     /* bytes until the next sample, or until the observer is asked again */
    bool is_sampling;        /* whether that is a sample */
    uint64_t gap_mean_bytes; /* that sample_left was drawn by */
    uint64_t last_mean_bytes; /* and the one before: the mean of the sample at hand */
    uint64_t random_state;
    /* in a hardened heap: freed objects, oldest first, inside the gate; NULL: none were yet */
    struct mem_quarantine *quarantine;
    uint32_t quarantine_first, quarantine_count, quarantine_bytes;
    struct mem_bins *scope; /* in a hardened heap: what mem_door would be; NULL: no scope is open */
    uint32_t pressure_seen; /* the heap's pressure_count when the thread last gave way */
    uint32_t outgoing_bytes;
    struct mem_outgoing outgoing[MEM_OUTGOING_SLOTS];
    struct mem_bins *bins[MEM_POOLS_MAX]; /* by pool; set by the thread, under threads_mutex */
    /* guarded by the heap's threads_mutex */
    struct mem_thread *next, *previous;
};

/* Frames that are kept of the stack that began a lifetime. */
#define MEM_LIFETIME_FRAMES_MAX 16u

/* Things expected to die together: a lane of their own. */
struct mem_lifetime {
    struct mem_heap *heap;
    struct page_lane *lane;
    char name[PAGE_LANE_NAME_BYTES];
    /* const: who began it, for a report of those that nobody ends; none for the general one */
    uint64_t begun_ns; /* on the monotonic clock */
    uint32_t begun_by; /* os_thread_id */
    uint32_t pc_count;
    uint64_t pcs[MEM_LIFETIME_FRAMES_MAX];
    /* guarded by the heap's pools_mutex */
    struct mem_lifetime *next, *previous;
};

/* Where one owner's objects of one lifetime come from. */
struct mem_pool {
    /* const after creation */
    struct mem_heap *heap;
    struct mem_lifetime *lifetime;
    struct page_lane *lane;
    uint32_t owner;
    uint32_t id;
    struct mem_span *large; /* stands for its large objects; with samples: the second */
    struct mem_span *large_sampled;
    struct os_mutex mutex;
    /* guarded by mutex */
    struct mem_bins *central;
    struct mem_bins *unused_bins;   /* of threads that ended, linked by direct[0]; see bins.c */
    _Atomic uint32_t central_count; /* spans in its lists of partial ones; written under mutex */
};

/* A sampled allocation. */
struct mem_sample {
    size_t requested_bytes, usable_bytes;
    uint64_t mean_bytes; /* that the gap before it was drawn by */
    const struct mem_pool *pool;
};

/* What a heap tells its observer, which may be none: sampling. Called with no lock held. */
struct mem_observer {
    void *argument;
    /* Bytes until the next sample; UINT64_MAX: none for now. */
    uint64_t (*gap)(void *argument, uint64_t *random_state, uint64_t *ret_mean_bytes);
    void (*allocated)(void *argument, const void *object, const struct mem_sample *sample);
    /* False: it was no sample after all. */
    bool (*freed)(void *argument, const void *object);
    /* Every object in [base, base + bytes) is gone: a lifetime has ended. */
    void (*ended)(void *argument, const void *base, uint64_t bytes);
    /* A generation has passed: by the background thread, no lock held. */
    void (*tick)(void *argument);
    /* Around a fork: before it and after it in the parent, and in the child. */
    void (*fork_prepare)(void *argument);
    void (*fork_parent)(void *argument);
    void (*fork_child)(void *argument);
};

struct mem_heap_options {
    struct page_heap *pages; /* borrowed until the heap ends */
    const char *name;        /* of the general lifetime and its owner; NULL: "general" */
    uint64_t reserved_bytes; /* address space of the general lifetime; 0: the page heap's default */
    bool is_door;            /* this is the process' own malloc: one heap at most */
    bool is_hardened;        /* see hardened.c */
    uint32_t guard_every;    /* one sample in so many is guarded; 0: none; see guard.c */
};

struct mem_heap {
    struct mem_map map; /* first: every free uses it */
    struct page_heap *pages;
    uint64_t serial;              /* const: of all heaps this process ever had */
    struct mem_observer observer; /* const once threads exist; .gap NULL: none */
    struct mem_lifetime *general;
    struct mem_pool *general_pool;
    bool is_door;     /* const: the process' own malloc, whose threads' bins mem_door names */
    bool is_hardened; /* const */
    uint64_t secret;  /* const; of a hardened heap */
    _Atomic uint32_t guard_page_count;  /* in a hardened heap: pages that may fault */
    _Atomic uint64_t guard_drawn_count; /* spans for which one was drawn */
    _Atomic uint32_t pressure_count;    /* times that the budget was full */
    struct mem_freed freed;
    struct mem_guard guard;

    struct os_mutex threads_mutex;
    /* guarded by threads_mutex */
    struct mem_thread *threads;
    struct mem_bins *unused_bins; /* of pools that ended, linked by direct[0] */

    struct os_mutex pools_mutex;
    /* guarded by pools_mutex */
    struct mem_lifetime *lifetimes; /* newest first, the general one last */
    /* guarded by pools_mutex; read without it by those who hold the pool's lifetime */
    _Atomic(void *) pool[MEM_POOLS_MAX]; /* struct mem_pool *, or NULL */
};

/*
 * The calling thread's bins for the process' own malloc: of its general pool, or of another one
 * that a scope has put there. Never NULL: mem_bins_none at first, and always when the heap is
 * hardened, whose threads have `scope` instead.
 */
extern _Thread_local struct mem_bins *mem_door;
/*
 * The calling thread in the heaps of each page heap's slot, of which the serial number says whether
 * it is of the heap that is there now: a heap may end before threads that have used it.
 */
struct mem_tls {
    uint64_t serial; /* of the heap; 0: of none */
    struct mem_thread *thread;
};
extern _Thread_local struct mem_tls mem_tls[PAGE_HEAPS_MAX];

/*
 * Makes an object heap on a page heap, in the caller's storage, which is all zero but for `map`
 * (MEM_MAP_NONE will do) and `observer`.
 * Errors: NO_MEMORY, NO_ADDRESS, TOO_MANY.
 */
enum quarry_status mem_heap_init(struct mem_heap *heap, const struct mem_heap_options *options,
                                 struct quarry_error *error);
/* Ends it and all of its objects. No other thread uses it any more. The page heap stays. */
void mem_heap_fini(struct mem_heap *heap);

/*
 * The object heap on a page heap, made with the first call, and ended with the page heap.
 * Errors: as mem_heap_init.
 */
enum quarry_status mem_heap_find(struct page_heap *pages, struct mem_heap **ret_heap,
                                 struct quarry_error *error);
/* The heap that is the process' own malloc, or NULL. */
struct mem_heap *mem_heap_door(void);

/*
 * Registers this layer's hooks for threads and forks, if nobody has: for layers above, whose own
 * have to come later. Errors: TOO_MANY, NO_MEMORY. Threads: any, with no lock held.
 */
enum quarry_status mem_heaps_make_ready(void);

/* Is told of a lifetime that is left when its heap ends, before it ends; with no lock held. */
typedef void mem_left_function(const struct mem_lifetime *lifetime);
/* Has `left` called for all heaps of the process; NULL: nobody wants to know. */
void mem_heaps_watch_left(mem_left_function *left);

/*
 * Begins a lifetime: a lane of its own. Errors: as page_lane_create. `name`: 1 to 31 bytes, unlike
 * any other lane's.
 */
enum quarry_status mem_lifetime_begin(struct mem_heap *heap, const char *name,
                                      struct mem_lifetime **ret_lifetime,
                                      struct quarry_error *error);
/*
 * Ends a lifetime: its pools and every object in them. No thread uses one meanwhile.
 * Cost: O(spans) for their records; no object is touched.
 */
void mem_lifetime_end(struct mem_lifetime *lifetime);

/*
 * A pool for `owner` (page_ledger_register) in a lifetime, until that ends.
 * Errors: NO_MEMORY, TOO_MANY.
 */
enum quarry_status mem_pool_create(struct mem_lifetime *lifetime, uint32_t owner,
                                   struct mem_pool **ret_pool);

/* A number for a pool's lifetime that no other one of this process ever has. */
static inline uint32_t mem_pool_lifetime_number(const struct mem_pool *pool)
{
    return (uint32_t)pool->lane->serial;
}

/* While there is no sampling, the observer is asked again after so many bytes of a thread. */
#define MEM_SAMPLE_RECHECK_BYTES ((int64_t)Q_MIB(64))

/* Draws the gap to a thread's next sample. By the thread, inside its gate or before it is known. */
void mem_thread_draw_gap(struct mem_thread *thread);

/* The pool of a span, or of a stand-in for large objects. */
static inline struct mem_pool *mem_span_pool(const struct mem_span *span)
{
    const struct mem_bins *bins =
        atomic_load_acquire_ptr(&((const struct mem_span_cold *)(const void *)span - 1)->bins);

    return bins->pool;
}

/* ---- threads -------------------------------------------------------------------------------- */

/* The calling thread in the heap, or NULL. */
static inline struct mem_thread *mem_thread_own(const struct mem_heap *heap)
{
    const struct mem_tls *own = &mem_tls[heap->pages->slot];

    return Q_LIKELY(own->serial == heap->serial) ? own->thread : NULL;
}
/* The calling thread in the heap, made if need be; NULL: no memory, or too late in its life. */
struct mem_thread *mem_thread_find_slow(struct mem_heap *heap);
static inline struct mem_thread *mem_thread_find(struct mem_heap *heap)
{
    struct mem_thread *thread = mem_thread_own(heap);

    return Q_LIKELY(thread != NULL) ? thread : mem_thread_find_slow(heap);
}
/* Its bins for a pool, made if need be; NULL: no memory. */
struct mem_bins *mem_thread_bins(struct mem_thread *thread, struct mem_pool *pool);
/* Bins for a new pool or its first threads, to be initialised; NULL: no memory. */
struct mem_bins *mem_bins_make(struct mem_heap *heap);
/* Ends every thread's bins for a pool, whose lifetime is over. */
void mem_threads_forget_pool(struct mem_pool *pool);
/* Gives the spans of a thread that is gone to their pools. */
void mem_thread_end(struct mem_thread *thread);
/* Keeps every thread out of its slow paths, and lets it go on. */
void mem_threads_stop(struct mem_heap *heap) Q_ACQUIRE(&heap->threads_mutex);
void mem_threads_resume(struct mem_heap *heap) Q_RELEASE(&heap->threads_mutex);

/* Their fork hooks, and the exit of a thread, for every heap of the process: heap.c. */
void mem_thread_exit(struct mem_heap *heap);
void mem_heap_fork_prepare(struct mem_heap *heap);
void mem_heap_fork_parent(struct mem_heap *heap);
void mem_heap_fork_child(struct mem_heap *heap);

/* What the calling thread's door leads to: the bins of an open scope or the general pool's; or
 * NULL. */
static inline struct mem_bins *mem_door_bins(const struct mem_heap *heap)
{
    const struct mem_thread *thread = heap->is_hardened ? mem_thread_own(heap) : NULL;

    if (thread != NULL) {
        return thread->scope;
    }
    return mem_door->pool == NULL ? NULL : mem_door;
}
/* Makes it lead to bins of the calling thread; NULL: to none. */
void mem_door_set(struct mem_thread *thread, struct mem_bins *bins);

/* The pool that the door's bins are of, or would be. */
static inline struct mem_pool *mem_door_pool(struct mem_heap *heap)
{
    const struct mem_bins *bins = mem_door_bins(heap);

    return bins == NULL ? heap->general_pool : bins->pool;
}

/* ---- collecting ----------------------------------------------------------------------------- */

/*
 * Gives back every empty span of every thread and pool that is not being allocated from.
 * Returns: bytes. No lock held, not inside the gate. Cost: a process barrier, O(spans waiting).
 */
uint64_t mem_heap_collect(struct mem_heap *heap);

#endif
