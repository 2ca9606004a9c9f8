/*
 * The scavenger: gives backed but free pages back to the kernel, in the background and on demand.
 */
#ifndef QUARRY_PAGE_SCAVENGER_H
#define QUARRY_PAGE_SCAVENGER_H

#include <base/base.h>
#include <os/os.h>
#include <page/collapse.h>
#include <page/pacer.h>
#include <page/scavenge_index.h>

struct page_heap;
struct page_lane;

/*
 * A generation: how long memory rests between falling free and going back, and how long "recently
 * in use" is (this generation and the one before). With 200 ms, memory begins to go back within 0.6
 * s of a spike; doubling it doubles that, and halves how often a process that breathes refaults.
 */
#define PAGE_GENERATION_NS (200 * Q_MS_NS)
/* Backed-but-free pages kept above recent use: 10 %, and 1 MiB so that small heaps do not flutter.
 */
#define PAGE_RETAIN_PERCENT   10
#define PAGE_RETAIN_MIN_BYTES Q_MIB(1)
/* The background also works while more than this share of the limit is committed. */
#define PAGE_LIMIT_GOAL_PERCENT 95
/*
 * Share of all CPUs the process may use (affinity, cgroup quota), as Go counts it; rises from the
 * first to the second as committed goes from 90 % to 99 % of the limit; never more than the third
 * of one CPU.
 */
#define PAGE_SCAVENGE_CPU_LOW  0.01
#define PAGE_SCAVENGE_CPU_HIGH 0.10
#define PAGE_SCAVENGE_CPU_MAX  0.25
/* Worked at least this long in a wake, so that waking is not what the CPU is spent on. */
#define PAGE_SCAVENGE_WORK_MIN_NS (1 * Q_MS_NS)
/* Assumed for one OS page where the clock is too coarse to show the work. */
#define PAGE_SCAVENGE_OS_PAGE_NS (10 * Q_US_NS)
/*
 * Largest piece given back in one call: a chunk. Go's 64 KiB spends more in entering the kernel
 * than in freeing; the lane's lock is not held meanwhile, so a larger piece delays nobody.
 */
#define PAGE_SCAVENGE_QUANTUM_PAGES PAGE_CHUNK_PAGES

/* Why memory went back. */
enum page_scavenge_cause {
    PAGE_CAUSE_BACKGROUND,
    PAGE_CAUSE_GROW,   /* on growth, above the retain goal */
    PAGE_CAUSE_LIMIT,  /* somebody's bytes did not fit the limit */
    PAGE_CAUSE_MANUAL, /* page_heap_trim */
    PAGE_CAUSE_END,    /* a lane's lifetime ended */
    PAGE_CAUSES,
};

struct page_scavenger_counters {
    _Atomic uint64_t released_bytes[PAGE_CAUSES];
    _Atomic uint64_t decommit_count;
    _Atomic uint64_t decommit_error_count;
    _Atomic uint64_t background_cpu_ns;
};

enum page_scavenger_state {
    PAGE_SCAVENGER_OFF,    /* no thread wanted */
    PAGE_SCAVENGER_WANTED, /* to be started at the next slow path */
    PAGE_SCAVENGER_STARTING,
    PAGE_SCAVENGER_RUNNING,
};

struct page_scavenger {
    _Atomic uint32_t state;
    _Atomic uint32_t flight_count; /* pieces being given back by anybody */
    _Atomic uint32_t start_delay;  /* slow paths to let pass before the next attempt to start */
    _Atomic uint32_t is_stopping;
    _Atomic uint32_t is_watching_threads; /* the process' first thread has ended */
    _Atomic uint32_t sleep;               /* futex word: how the thread sleeps, see scavenger.c */
    _Atomic uint64_t retain_goal_bytes;
    struct page_scavenger_counters counters;
    struct os_thread thread;
    char *stack; /* of the thread, charged as metadata; kept over fork */
    /* the scavenger thread, or the one caller of page_scavenger_run */
    struct page_pacer pacer;
    struct page_collapser collapser;
    uint64_t generation_began_ns;
    uint64_t resume_at_ns; /* not to work before */
    uint64_t ticked_at_ns;
    uint64_t thread_min_bytes; /* const after init: committed before a thread is worth its while */
    double cpu_count; /* const after init: CPUs the process may use, a part counting as a part */
    uint64_t work_ended_at_ns;
    bool is_pacing;             /* there was work left when the last bout ended */
    uint32_t quiet_generations; /* in a row with nothing to give back, now or soon */
};

/* `cpu_count`: CPUs the process may use. */
void page_scavenger_init(struct page_heap *heap, bool has_thread, double cpu_count);
/* A heap that was created with has_no_thread gets one after all, when next it is poked. */
void page_scavenger_want(struct page_heap *heap);
/*
 * The first thread of the process has ended by pthread_exit: the process lives as long as any other
 * of the program's threads does, and the scavenger's must not be the one that keeps it.
 */
void page_scavenger_watch_threads(struct page_heap *heap);
/* Stops and joins the thread. */
void page_scavenger_fini(struct page_heap *heap);

/*
 * Starts the thread if one is wanted and none runs, and wakes it if it is parked. Cheap when
 * neither is so; called at the end of slow paths, with no lock held.
 */
void page_scavenger_poke(struct page_heap *heap);

/*
 * One turn of the background work, for processes without the thread, and for tests: begins a
 * generation when one is due, works if a goal is unmet and pacing allows, and makes huge pages for
 * lanes that want them.
 * Returns: nanoseconds until the next turn is due, UINT64_MAX when there is nothing to wait for.
 * Threads: one at a time.
 */
uint64_t page_scavenger_run(struct page_heap *heap);

/*
 * Gives back at least `wanted_bytes` of free pages, highest addresses first, lane by lane; less
 * when there is less, or when the kernel refuses. No lock held. Returns: bytes given back.
 */
uint64_t page_scavenge(struct page_heap *heap, uint64_t wanted_bytes, enum page_scavenge_mode mode,
                       enum page_scavenge_cause cause);

/* The same of one lane, which the caller uses. */
uint64_t page_scavenge_lane(struct page_lane *lane, uint64_t wanted_bytes,
                            enum page_scavenge_cause cause);

/* After a lane has grown by `grown_bytes`: gives as much back, if more is kept than the goal. */
void page_scavenge_after_growth(struct page_heap *heap, uint64_t grown_bytes);

/* Bytes of in-use, cached and free backed pages: what the retain goal is about. */
uint64_t page_scavenger_retained_bytes(struct page_heap *heap);
/* Whether more is committed than the share of the limit that the background leaves alone. */
bool page_scavenger_is_over_limit_goal(struct page_heap *heap);

/* Calls what page_heap_add_tick was told, if a generation has passed. By whoever runs the turns. */
void page_scavenger_tick(struct page_heap *heap);

/* By a tick: the next one is to come with the next generation, however quiet the pages are. */
void page_scavenger_keep_awake(struct page_heap *heap);

/* In the child of a fork: the thread is gone, and is wanted again. */
void page_scavenger_after_fork(struct page_heap *heap);

#endif
