/*
 * Making items and putting them into the index: for write.c and change.c.
 */
#ifndef QUARRY_CACHE_WRITE_H
#define QUARRY_CACHE_WRITE_H

#include <cache/store.h>
#include <cache/types.h>

/*
 * Begins an item by a plan, which may be asked to have more `fields` than it needs. Counts nothing.
 * Returns: QUARRY_CACHE_HIT, or QUARRY_CACHE_NO_MEMORY. Inside the epoch or not.
 */
enum quarry_cache_outcome cache_write_open(struct quarry_cache_tenant *tenant,
                                           const struct quarry_cache_key *key,
                                           const struct cache_item_plan *plan, uint32_t fields,
                                           struct quarry_cache_write *ret_write);
/* Fills in the next bytes. False: there is no memory. */
bool cache_write_add(struct quarry_cache_write *write, const void *bytes, uint64_t byte_count);
/* Likewise the value of an item that was found. Inside the epoch. */
bool cache_write_add_item(struct quarry_cache_write *write, const struct cache_found *found);
/* The item of a write, and its key. */
static inline struct cache_item *cache_write_item(const struct quarry_cache_write *write)
{
    return write->cell;
}
static inline struct quarry_cache_key cache_write_key(const struct quarry_cache_write *write)
{
    const struct cache_item *item = cache_write_item(write);

    return (struct quarry_cache_key){cache_item_key(item, cache_item_head(item)), item->key_bytes,
                                     write->hash};
}

/*
 * The epoch around a try that can be made again: where the caller was outside, what it takes leaves
 * alone what is kept aside for who cannot wait.
 */
void cache_write_enter(struct quarry_cache *cache);
void cache_write_leave(struct quarry_cache *cache);
/*
 * After a call that found no memory, outside the epoch: pages can be emptied now that this thread
 * reads none of them. Returns: whether to try it again; `*tries` begins at 0.
 */
bool cache_write_may_retry(struct quarry_cache_tenant *tenant, uint32_t *tries);
/* Gives back what was taken. */
void cache_write_end(struct quarry_cache_write *write);

/* How an item takes the place of another. */
struct cache_replace {
    uint32_t kept;     /* flags of the old one's head that the new one shall have too */
    uint32_t flags;    /* flags that it shall have in any case */
    bool sets_expiry;  /* its own; else that of the old one, for which it has the field then */
    bool keeps_number; /* the old one's number, for it is the same item but for its place */
};
/*
 * Puts an item where another lies that was found, if that still does. Ends the write in any case.
 * Inside the epoch, no lock held. Returns: the cas; 0: the key has another item by now: look again.
 */
uint64_t cache_write_replace(struct quarry_cache_write *write, const struct cache_found *found,
                             const struct cache_replace *how);

/* What became of an item that was to be put into the index. */
struct cache_put {
    enum quarry_cache_outcome outcome; /* of put; NO_MEMORY: of the index */
    uint64_t cas;                      /* HIT */
    bool wants_growth;
};
/*
 * Puts an item where its key's is to be, by the mode and cas of `options`, with `flags` of head.
 * The write ends if it was stored, and else stays as it is. Inside the epoch, no lock held.
 */
struct cache_put cache_write_put(struct quarry_cache_write *write,
                                 const struct quarry_cache_store_options *options, uint32_t flags);
/*
 * Puts an item where there is none. Ends the write in any case. Inside the epoch.
 * `*ret_exists`: whether there is one by now. Returns: the cas; 0: nothing was stored.
 */
uint64_t cache_write_insert(struct quarry_cache_write *write, uint32_t flags, bool *ret_exists);

static inline bool cache_store_is_join(const struct quarry_cache_store_options *options)
{
    return options->mode == QUARRY_CACHE_APPEND || options->mode == QUARRY_CACHE_PREPEND;
}
/*
 * Commits an append or prepend. The piece stays; stored as it is, it ends. `ret_value_bytes`: of
 * the whole. Inside the epoch, no lock held.
 */
struct cache_put cache_write_join(struct quarry_cache_write *piece,
                                  const struct quarry_cache_store_options *options,
                                  uint64_t *ret_value_bytes);

#endif
