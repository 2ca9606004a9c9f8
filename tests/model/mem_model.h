/*
 * An object heap beside a naive model of it: a list of what is in use, in order of address.
 *
 * Objects overlap no other, hold what was written into them until they are freed, are as long and
 * as aligned as was asked, and zero where that was asked. The first difference prints what it was
 * and aborts.
 */
#ifndef QUARRY_TESTS_MODEL_MEM_MODEL_H
#define QUARRY_TESTS_MODEL_MEM_MODEL_H

#include <base/base.h>

struct mem_model_options {
    uint64_t seed;
    uint64_t limit_bytes;
    /* Under this limit memory may be short; else every refusal is an error. */
    bool may_refuse;
};

struct mem_model;

/* Own. */
struct mem_model *mem_model_create(const struct mem_model_options *options);
/* One operation, by the calling thread; threads take turns. */
void mem_model_step(struct mem_model *model);
/* Everything against everything: contents, validators, ledger. */
void mem_model_check(struct mem_model *model);
/* Frees all there is, or ends it with its lifetimes, and sees that nothing is left. No other thread
 * that took part is alive. */
void mem_model_destroy(struct mem_model *model);

/* How many operations gave or took an object. */
uint64_t mem_model_served_count(const struct mem_model *model);

#endif
