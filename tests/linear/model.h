/*
 * What one key may do, one operation after the other: memcached's rules.
 */
#ifndef QUARRY_TESTS_LINEAR_MODEL_H
#define QUARRY_TESTS_LINEAR_MODEL_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "linear/operation.h"

/* A key. All bytes are written, so that states can be compared by them. */
struct linear_state {
    struct linear_value value;
    uint64_t cas; /* 0: not known yet */
    uint32_t client_flags;
    uint32_t expiry;
    uint32_t exists;
    uint32_t is_stale;
    uint32_t is_token_given;
    uint32_t unused; /* 0 */
};

/*
 * Whether an operation with what it was told is possible in a state; `ret_state` is then the one
 * after it. Where what was told leaves more than one, each is a `choice`, from 0. Cost: O(1).
 */
#define LINEAR_CHOICES 2u
bool linear_step(const struct linear_state *state, const struct linear_operation *operation,
                 uint32_t choice, struct linear_state *ret_state);

/* A line about an operation or a state, for people. */
void linear_print_operation(FILE *file, const struct linear_operation *operation);
void linear_print_state(FILE *file, const struct linear_state *state);

#endif
