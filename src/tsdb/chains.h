/*
 * Chains: finding numbered things by hash, through a link that each of them has.
 *
 * A hash table that grows and shrinks by one bucket at a time (linear hashing), so that no insert
 * waits for a million others to be moved.
 */
#ifndef QUARRY_TSDB_CHAINS_H
#define QUARRY_TSDB_CHAINS_H

#include <tsdb/memory.h>

/*
 * Where a thing keeps the number of the next one in its chain; and its hash.
 *
 * `owner`: as given to tsdb_chains_init. `number`: in the table.
 */
typedef uint32_t *tsdb_chains_link_function(void *owner, uint32_t number, uint32_t *ret_hash);

struct tsdb_chains {
    const struct tsdb_memory *memory; /* const; borrowed */
    tsdb_chains_link_function *link;  /* const */
    void *owner;                      /* const; borrowed */
    /* guarded by the owner's lock */
    uint32_t **heads; /* pieces of bucket heads */
    size_t capacity;  /* pieces that `heads` has room for */
    uint32_t bucket_count;
    uint32_t entry_count;
};

/* Makes an empty one, which holds no memory yet. `owner`, `memory`: borrowed until fini. */
void tsdb_chains_init(struct tsdb_chains *chains, const struct tsdb_memory *memory,
                      tsdb_chains_link_function *link, void *owner);
void tsdb_chains_fini(struct tsdb_chains *chains);

/*
 * Has room for the first entry. Errors: QUARRY_NO_MEMORY. From then on inserting cannot fail: for
 * want of memory chains only become longer.
 */
enum quarry_status tsdb_chains_begin(struct tsdb_chains *chains);

/* Has as many buckets as entries are to come, as far as there is memory; it has begun, and is
 * empty. */
void tsdb_chains_reserve(struct tsdb_chains *chains, uint32_t count);

/* Puts a number in. The table has begun. Cost: O(1), with one chain split now and then. */
void tsdb_chains_insert(struct tsdb_chains *chains, uint32_t number);

/* Takes a number out, which is in. */
void tsdb_chains_remove(struct tsdb_chains *chains, uint32_t number);

/* The first number of the chain of a hash; 0: none. Its link leads to the next. */
uint32_t tsdb_chains_first(const struct tsdb_chains *chains, uint32_t hash);

/* Fetches what tsdb_chains_first and an insertion look at first. */
void tsdb_chains_prefetch(const struct tsdb_chains *chains, uint32_t hash);

/* Bytes of the pieces and of the list of them. */
uint64_t tsdb_chains_held_bytes(const struct tsdb_chains *chains);

#endif
