/*
 * The demonstration: a page heap of its own, and a thread that makes it show what it can do.
 */
#ifndef QUARRY_CLI_DEMO_H
#define QUARRY_CLI_DEMO_H

#include <base/base.h>
#include <page/page.h>

#define DEMO_SENTENCE_BYTES 160u

struct demo;

/* What the demonstration has come to. Counters are since its beginning. */
struct demo_reading {
    uint64_t elapsed_ns;
    uint64_t resident_bytes;
    uint64_t allocated_bytes;
    uint64_t returned_bytes[PAGE_CAUSES];
    uint64_t scavenger_cpu_ns;
    uint64_t reclaimed_bytes;
    uint64_t refused_count;
    char sentence[DEMO_SENTENCE_BYTES];
};

/* A heap map, as bytes and as read. Borrowed until the next one is taken. */
struct demo_map {
    const void *bytes;
    size_t byte_count;
    struct page_heap_map_view view;
};

/* Creates the heap and begins. Errors: those of a heap, its lanes and a thread. */
enum quarry_status demo_create(struct demo **ret_demo, struct quarry_error *error);
void demo_destroy(struct demo *demo);

/* Threads: one reader, which is not the demonstration's own thread. Errors of demo_map: NO_MEMORY.
 */
void demo_read(struct demo *demo, struct demo_reading *ret_reading);
enum quarry_status demo_take_map(struct demo *demo, struct demo_map *ret_map,
                                 struct quarry_error *error);

#endif
