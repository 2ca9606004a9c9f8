/*
 * Watching the process' heap: samples, and statistics that other processes read.
 */
#ifndef QUARRY_MALLOC_OBSERVE_H
#define QUARRY_MALLOC_OBSERVE_H

#include <malloc/settings.h>
#include <mem/mem.h>

/* Before the heap is made: who watches it. `pages`: the page heap it will be on. */
struct mem_observer malloc_observer(struct page_heap *pages,
                                    const struct malloc_settings *settings);
/* Publishes the figures of now. Not inside malloc. */
void malloc_observe_now(void);

#endif
