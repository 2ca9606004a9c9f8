/*
 * A page heap beside a naive model of it, driven by one stream of choices.
 *
 * The choices are random numbers (test_heap_model) or bytes (fuzz/heap.c); every answer of the heap
 * is compared with the model, and the first difference prints what it was and aborts.
 */
#ifndef QUARRY_TESTS_MODEL_HEAP_MODEL_H
#define QUARRY_TESTS_MODEL_HEAP_MODEL_H

#include <base/base.h>

/* Where the choices of a history come from. */
struct heap_model_source {
    uint64_t random;      /* state of the random numbers, when there are no bytes */
    const uint8_t *bytes; /* borrowed for the history; NULL: random numbers */
    size_t byte_count;    /* left */
};

struct heap_model_options {
    struct heap_model_source source;
    /* Memory is really backed, so contents and zeroing are checked; several times slower. */
    bool has_contents;
    /* Other lanes between the model's: with 3 of them a thread's memory of its caches collides. */
    uint32_t lane_gap;
};

struct heap_model;

/* Own; memory for the model itself is an assertion failure, as everywhere in test code. */
struct heap_model *heap_model_create(const struct heap_model_options *options);
/* One operation, and the comparison of what it returned. False: the choices are used up. */
bool heap_model_step(struct heap_model *model);
/* Compares all there is: the validator, the ledger, the contents. Cost: O(pages). */
void heap_model_check(struct heap_model *model);
/* Ends the heap and checks that nothing of it is left. */
void heap_model_destroy(struct heap_model *model);

#endif
