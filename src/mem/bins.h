/*
 * Bins: the slow paths of allocating and freeing small objects.
 */
#ifndef QUARRY_MEM_BINS_H
#define QUARRY_MEM_BINS_H

#include <mem/heap.h>

/* Budget that is made room for when there was none for records and entries: one step of each. */
#define MEM_RECORD_ROOM_BYTES Q_KIB(72)

/* The bins of a thread that has none yet: every size leads to the slow path. Const, but for C. */
extern struct mem_bins mem_bins_none;

void mem_bins_init(struct mem_bins *bins, struct mem_thread *thread, struct mem_pool *pool);

/*
 * An object from the bin or from its current span, without entering the gate. NULL: it takes more
 * than that.
 */
void *mem_bins_take_quickly(struct mem_bins *bins, struct mem_bin *bin);
/*
 * The last object of a bin, or the first of the next span: what is left over.
 * Returns: NULL when there is no memory. `requested_bytes`: for samples.
 */
void *mem_bins_take(struct mem_bins *bins, struct mem_bin *bin, size_t requested_bytes);

/* A free by the owner found the span's `left` at zero, or the span is watched. */
void mem_bins_note_free(struct mem_heap *heap, struct mem_span *span);

/* Whether an object of the thread's own span may be a sample, which it is no longer. */
bool mem_bins_forget_sample(struct mem_thread *thread, struct mem_span *span, uint64_t index);

/* An object from a pool's spans that no thread owns: without a thread, in a signal handler. */
void *mem_central_take(struct mem_pool *pool, size_t bytes);

/* Takes note of remote frees that a span has got. From anywhere, with no lock held. */
void mem_bins_mail(struct mem_heap *heap, struct mem_span *span);
/* Merges them. Inside the bins. Spans that became empty go to `*empties`, linked by next. */
void mem_bins_drain(struct mem_bins *bins, mem_ref *empties);

/* ---- spans; inside the bins ----------------------------------------------------------------- */

static inline struct mem_map *mem_bins_map(const struct mem_bins *bins)
{
    return &bins->pool->heap->map;
}

void mem_bins_link(struct mem_bins *bins, mem_ref *list, struct mem_span *span);
void mem_bins_unlink(struct mem_bins *bins, mem_ref *list, struct mem_span *span);
/* The list a span is in by its state. */
mem_ref *mem_bins_list(struct mem_bins *bins, const struct mem_span *span);

/* Takes what a bin had taken out of its span back into it; the span goes to a list. */
void mem_bin_return(struct mem_bins *bins, struct mem_bin *bin, mem_ref *empties);

/*
 * A span of the lists that may have become empty, or worth allocating from. A thread keeps some
 * empty ones; collectors take those that are idle.
 */
void mem_bins_reconsider(struct mem_bins *bins, struct mem_span *span, mem_ref *empties);
/* Enters a new span; only then can anybody find it. */
void mem_bins_enter_span(struct mem_bins *bins, struct mem_span *span);

/* An empty span, unlinked, is nobody's from here on; mem_spans_release does the rest. */
void mem_span_give_up(struct mem_bins *bins, struct mem_span *span, mem_ref *empties);
/* Takes every empty span out of the lists. Inside the bins, or with their thread kept out. */
void mem_bins_purge(struct mem_bins *bins, mem_ref *empties);

/* A new span, in no bins yet. Returns: NULL: no memory. Not inside, no lock held. */
struct mem_span *mem_span_create(struct mem_pool *pool, uint32_t class);
/* Makes records of empty spans unused and frees their pages. Not inside, no lock held. */
uint64_t mem_spans_release(struct mem_pool *pool, mem_ref empties);

#endif
