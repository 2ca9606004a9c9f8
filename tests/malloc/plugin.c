/*
 * A library that allocates as it is loaded, used and unloaded: loaded by dlopen, many times under
 * many names, and preloaded before or after malloc's own.
 */
#include "plugin.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONSTRUCTOR_BYTES 3000

static unsigned char *constructed;

/* In dynamic TLS, which the loader allocates for each thread at its first use: with malloc. */
static __thread unsigned uses;
static __thread char padding[200];

__attribute__((constructor)) static void plugin_begin(void)
{
    constructed = malloc(CONSTRUCTOR_BYTES);
    if (constructed == NULL)
        abort();
    memset(constructed, 0x77, CONSTRUCTOR_BYTES);
}

__attribute__((destructor)) static void plugin_finish(void)
{
    for (size_t i = 0; i < CONSTRUCTOR_BYTES; i++) {
        if (constructed[i] != 0x77)
            _exit(99);
    }
    free(constructed);
    free(realloc(malloc(100), 10000));
}

void *plugin_make(size_t bytes)
{
    return malloc(bytes);
}

void plugin_end(void *object)
{
    free(object);
}

unsigned plugin_count(void)
{
    padding[uses % sizeof padding] = 1;
    uses++;
    return uses;
}
