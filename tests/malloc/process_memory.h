/*
 * The public functions of the preloaded library, found by name: the program is not linked with it.
 */
#ifndef QUARRY_TESTS_MALLOC_PROCESS_MEMORY_H
#define QUARRY_TESTS_MALLOC_PROCESS_MEMORY_H

#include <quarry/lifetime.h>

#include "common.h"

/* quarry_NAME, as its header declares it. */
#define QUARRY(name) ((__typeof__(&quarry_##name))function_must_be("quarry_" #name))

static inline void *function_must_be(const char *name)
{
    void *function = function_find(name);

    MUST(function != NULL);
    return function;
}

#endif
