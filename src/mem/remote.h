/*
 * Frees for other threads' spans.
 */
#ifndef QUARRY_MEM_REMOTE_H
#define QUARRY_MEM_REMOTE_H

#include <mem/heap.h>

/* Frees object `index` of a span that the calling thread does not own. */
void mem_remote_free(struct mem_heap *heap, struct mem_span *span, uint64_t index);
/* The same, at once: whatever the thread. */
void mem_remote_free_at_once(struct mem_heap *heap, struct mem_span *span, uint64_t index);
/* Tells all owners what a thread has freed. By the thread, or when it is gone. */
void mem_remote_flush(struct mem_thread *thread);

#endif
