/*
 * What plugin.c exports: found by dlsym, never linked.
 */
#ifndef QUARRY_TESTS_MALLOC_PLUGIN_H
#define QUARRY_TESTS_MALLOC_PLUGIN_H

#include <stddef.h>

#define PLUGIN_EXPORT __attribute__((visibility("default")))

/* An object of the library's, for the caller to free. */
PLUGIN_EXPORT void *plugin_make(size_t bytes);

/* Frees an object of anybody's. */
PLUGIN_EXPORT void plugin_end(void *object);

/* How often the calling thread called it, this call included. */
PLUGIN_EXPORT unsigned plugin_count(void);

#endif
