/*
 * Memory of one query: taken front to back, charged as it grows, given back whole.
 *
 * A query has a grant: so many bytes, of an account that all queries share. Its syntax tree, its
 * labels and its results come from one such memory, and are gone when it ends. Nothing is given
 * back alone, but for what was taken since a mark.
 */
#ifndef QUARRY_PROMQL_MEMORY_H
#define QUARRY_PROMQL_MEMORY_H

#include <quarry/lifetime.h>

#include <base/base.h>

struct promql_chunk;

struct promql_memory {
    struct quarry_account *account; /* const; borrowed; what is taken is charged to it */
    struct quarry_pool *pool;       /* const; borrowed; of the account's owner */
    uint64_t grant_bytes;           /* it never has more than that; the owner may change it */
    struct promql_memory *within;   /* const; whose grant it is part of; NULL: it has its own */
    struct promql_chunk *newest;    /* the others follow it; NULL: nothing is taken */
    uint64_t charged_bytes, peak_bytes;
    bool is_refused; /* a call of take has failed; it stays so */
};

/* Makes `memory`, the caller's, an empty one. Cost: none. */
void promql_memory_init(struct promql_memory *memory, struct quarry_account *account,
                        struct quarry_pool *pool, uint64_t grant_bytes);
/* One that ends before `outer` and has what that one's grant has left: what is in between. As
 * above; `outer`: borrowed until it ends. */
void promql_memory_init_within(struct promql_memory *memory, struct promql_memory *outer);
/* Gives all of it back. Cost: O(chunks). */
void promql_memory_fini(struct promql_memory *memory);

/*
 * Takes memory, aligned to 16 bytes, whose contents are anything; and an array of zeroes.
 *
 * `bytes`, `count`, `member_bytes`: from 0; none gives an address that is not NULL.
 * Returns: borrowed until the memory is given back. NULL: over the grant or the budget, or the
 * product overflows; `is_refused` says so from then on.
 * Threads: one at a time. Cost: some instructions; a charge for each chunk.
 */
void *promql_memory_take(struct promql_memory *memory, size_t bytes);
void *promql_memory_take_zero(struct promql_memory *memory, size_t count, size_t member_bytes);

/* Copies `count` bytes, and a NUL behind them. As promql_memory_take. */
char *promql_memory_copy(struct promql_memory *memory, const char *bytes, size_t count);

/* A point to go back to. */
struct promql_mark {
    struct promql_chunk *chunk;
    size_t used_bytes;
};
struct promql_mark promql_memory_mark(const struct promql_memory *memory);
/* Gives back all that was taken since `mark`, which was made of the same memory. */
void promql_memory_release(struct promql_memory *memory, struct promql_mark mark);

#endif
