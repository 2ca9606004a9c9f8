/*
 * A heap that is none: it publishes planted figures in a real statistics segment, through the
 * writer that the library uses, so that the program can be tested against known truths.
 *
 * It is linked into a library of its own, named libquarry-malloc.so, which `quarry run` preloads.
 */
#ifndef QUARRY_TESTS_CLI_FAKE_HEAP_H
#define QUARRY_TESTS_CLI_FAKE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAKE_EXPORT __attribute__((visibility("default")))

/* Objects of one kind, allocated from the caller's stack. */
struct fake_objects {
    uint32_t owner; /* fake_row's */
    uint64_t count;
    size_t requested_bytes;
    size_t usable_bytes;
    uint32_t span_used; /* objects alive in each span that one of them is in; 0: they are large */
    bool is_freed;      /* at once */
};

/* Begins. `mean_bytes`: between samples; 0: none. */
FAKE_EXPORT void fake_begin(uint64_t mean_bytes);
/* Adds objects: counted exactly, sampled as the heap would. */
FAKE_EXPORT void fake_add(const struct fake_objects *objects);
/* Numbers that no objects explain. */
FAKE_EXPORT void fake_set_hardened(bool is_hardened);
FAKE_EXPORT void fake_set_refused(uint64_t refused_count);
FAKE_EXPORT void fake_set_limit(uint64_t limit_bytes);
FAKE_EXPORT void fake_set_peak(uint64_t peak_bytes);
FAKE_EXPORT void fake_set_free(uint64_t free_backed_bytes, uint64_t thread_cached_bytes);

/* A tree of three accounts, one refused `refused_count` times; a level of pressure; 1 MiB aside. */
FAKE_EXPORT void fake_set_budget(uint64_t pressure, uint64_t refused_count);

FAKE_EXPORT void fake_refresh(void);
FAKE_EXPORT bool fake_wants_refresh(void);
FAKE_EXPORT uint64_t fake_sample_mean(void);

/* Owners: 1 is "malloc" with lifetime "process", 2 "cache" with lifetime "window". */
#define FAKE_MALLOC 1u
#define FAKE_CACHE  2u

#endif
