/*
 * Lifetimes of the malloc that is preloaded, when that is Quarry's (quarry/lifetime.h).
 */
#ifndef QUARRY_BENCH_MALLOC_LIFETIMES_H
#define QUARRY_BENCH_MALLOC_LIFETIMES_H

#include <stddef.h>
#include <stdint.h>

struct quarry_lifetime;
struct quarry_pool;

/* A lifetime with one pool. All zero: none. */
struct bench_lifetime {
    struct quarry_lifetime *lifetime;
    struct quarry_pool *pool;
};

/*
 * Looks for what the other functions call, unless that is done; they are used after it. Ends the
 * process when this process' malloc has no lifetimes.
 */
void bench_lifetimes_find(void);

/* `name`: unlike that of any other that has not ended. Ends the process when there is no memory. */
struct bench_lifetime bench_lifetime_begin(const char *name);
/* With all objects in it. One that is all zero stays as it is; others are all zero then. */
void bench_lifetime_end(struct bench_lifetime *lifetime);
/* As realloc, from the lifetime's pool; `object` is one of it, or NULL. */
void *bench_lifetime_realloc(const struct bench_lifetime *lifetime, void *object, size_t bytes);

/* Bytes of the pages in use in all lifetimes whose names begin with `prefix`, by the ledger. */
uint64_t bench_lifetimes_in_use_bytes(const char *prefix);

#endif
