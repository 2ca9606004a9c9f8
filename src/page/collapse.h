/*
 * Huge pages for lanes that ask for them: the background turn puts them under what is wholly in
 * use.
 */
#ifndef QUARRY_PAGE_COLLAPSE_H
#define QUARRY_PAGE_COLLAPSE_H

#include <base/base.h>
#include <page/constants.h>
#include <page/pacer.h>

struct page_heap;

/* What becomes a huge page: half a chunk, 2 MiB. */
#define PAGE_HALF_PAGES (PAGE_CHUNK_PAGES / 2)
#define PAGE_HALF_BYTES (PAGE_CHUNK_BYTES / 2)

/*
 * Share of one CPU. A collapse costs 0.6 ms, nearly all of it copying, so a GiB is done in some 10
 * s; ten times that where a hypervisor has yet to find the memory. Doubling the share halves the
 * time.
 */
#define PAGE_COLLAPSE_CPU 0.03
/* Worked at least this long in a turn: two or three collapses. */
#define PAGE_COLLAPSE_WORK_MIN_NS (1 * Q_MS_NS)
/* Assumed for a collapse where the clock is too coarse to show it. */
#define PAGE_COLLAPSE_ASSUMED_NS (400 * Q_US_NS)
/* From pass to pass while nothing is new; a pass reads two cache lines for 4 MiB. */
#define PAGE_COLLAPSE_PASS_NS (2 * Q_SECOND_NS)
/* After the kernel had no memory in one piece, for which it has searched long. */
#define PAGE_COLLAPSE_NO_MEMORY_NS (10 * Q_SECOND_NS)

struct page_collapse_counters {
    _Atomic uint64_t collapsed_bytes; /* since the heap began; what is split again counts twice */
    _Atomic uint64_t refused_count;
    _Atomic uint64_t cpu_ns;
};

/* A pass over all lanes, from the highest to the lowest, taken up where the last turn left it. */
struct page_collapser {
    struct page_collapse_counters counters;
    _Atomic uint32_t lane_count; /* lanes that want huge pages */
    /* who runs the turns */
    struct page_pacer pacer;
    const char *below; /* the lane at hand is the highest below */
    uint64_t page;     /* where to look next in it */
    uint64_t pass_began_ns;
    uint64_t pass_due_ns;  /* the next one is not to begin before */
    uint64_t resume_at_ns; /* not to work before */
    uint64_t work_ended_at_ns;
    bool is_in_pass;
    bool has_news;         /* of this pass: something became whole, or huge */
    bool is_out_of_memory; /* ended this pass: the kernel had no huge page */
    bool is_unsupported;   /* for good: by the kernel, or huge pages have another size here */
};

void page_collapser_init(struct page_heap *heap);

/*
 * One turn: begins a pass if one is due, works on it if pacing allows.
 * Returns: the monotonic time at which it wants the next one; UINT64_MAX: when somebody wakes up
 * anyway. Threads: who runs the turns of the heap.
 */
uint64_t page_collapse_turn(struct page_heap *heap);

/* Bytes of all lanes that were made huge pages and have not been split since, as far as we did. */
uint64_t page_heap_huge_bytes(struct page_heap *heap);

#endif
