/*
 * What a thread did to a key, and what it was told: a line of a history.
 */
#ifndef QUARRY_TESTS_LINEAR_OPERATION_H
#define QUARRY_TESTS_LINEAR_OPERATION_H

#include <stdbool.h>
#include <stdint.h>

#include "linear/value.h"

/* Threads of a history. */
#define LINEAR_THREADS_MAX 16u

enum linear_kind {
    LINEAR_GET,
    LINEAR_VIVIFY, /* a get that makes an empty item where there is none */
    LINEAR_GET_AND_TOUCH,
    LINEAR_TOUCH,
    LINEAR_SET,
    LINEAR_ADD,
    LINEAR_REPLACE,
    LINEAR_APPEND,
    LINEAR_PREPEND,
    LINEAR_COUNT_UP,
    LINEAR_COUNT_DOWN,
    LINEAR_DELETE,
    LINEAR_INVALIDATE, /* marked stale, and kept */
    LINEAR_KIND_COUNT,
};

enum linear_outcome {
    LINEAR_DONE, /* found; changed */
    LINEAR_MISS,
    LINEAR_NOT_STORED,
    LINEAR_EXISTS,
    LINEAR_NOT_NUMBER,
    LINEAR_FAILED, /* there was no memory for it: it is as if it had not been asked */
};

struct linear_operation {
    uint64_t call_ns, return_ns;
    uint32_t key;
    uint32_t thread; /* below LINEAR_THREADS_MAX */
    enum linear_kind kind;
    /* what was asked */
    bool has_cas;
    bool invalidates; /* of a set with a cas: over a newer one too, and is stale then */
    uint64_t cas;
    uint64_t value_id; /* what the driver sends: linear_fill's bytes, or this number */
    uint32_t value_bytes;
    bool is_number;
    uint32_t client_flags;
    uint32_t expiry; /* in units of the driver, from 1; 0: never */
    uint64_t delta;
    struct linear_value value; /* of the above */
    /* what was told */
    enum linear_outcome outcome;
    struct linear_value ret_value;
    uint64_t ret_cas; /* 0: it was not told */
    uint32_t ret_client_flags;
    uint32_t ret_expiry;
    uint64_t ret_number;
    bool ret_is_stale, ret_has_won, ret_is_token_given;
};

#endif
