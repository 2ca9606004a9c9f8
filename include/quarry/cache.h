/*
 * A cache of key-value items: many tenants, a size that is kept, and what is worth most in it.
 *
 * Items lie in the cells of a slab (quarry/slab.h), found by an index that readers go through
 * without a lock. When the size is reached, items go by S3-FIFO, each tenant's apart. With a file
 * behind it the cache is as it was after a restart, `kill -9` included. The words are memcached's,
 * as are the rules of each command: the doors of `quarry serve` are thin around these calls.
 *
 *     struct quarry_cache *cache;
 *     struct quarry_cache_options options = {.size_bytes = 64u << 20};
 *
 *     quarry_cache_create(memory, &options, &cache, &error);
 *     struct quarry_cache_tenant *tenant = quarry_cache_default_tenant(cache);
 *     struct quarry_cache_key key = quarry_cache_key_make(tenant, "answer", 6);
 *     struct quarry_cache_hit hit;
 *
 *     quarry_cache_store(tenant, &key, "42", 2, &(struct quarry_cache_store_options){0}, NULL);
 *     quarry_cache_enter(cache);
 *     if (quarry_cache_get(tenant, &key, NULL, &hit) == QUARRY_CACHE_HIT) {
 *         fwrite(hit.piece.bytes, 1, hit.piece.byte_count, stdout);   // valid until leave
 *     }
 *     quarry_cache_leave(cache);
 *
 * Values are immutable: every change of one makes a new item, and what was found stays as it is
 * until its reader leaves. Each item has a *cas*, a number that every change of it makes larger
 * and no two changes in a cache share.
 *
 * Times are Unix seconds of the cache's own clock, which follows the machine's monotonic one and
 * is not moved by steps of the wall clock. An expiry of 0 is never; of QUARRY_CACHE_EXPIRED, at
 * once.
 *
 * Threads: every call from any thread at once, but create and close. Calls on one key are
 * linearizable: each takes effect at one moment between its begin and its end.
 *
 * Source: S3-FIFO (Yang et al., SOSP 2023); MemCachier's talk on its cache; the commands are those
 * of memcached's doc/protocol.txt.
 */
#ifndef QUARRY_CACHE_H
#define QUARRY_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <quarry/export.h>
#include <quarry/memory.h>
#include <quarry/status.h>

#ifdef __cplusplus
extern "C" {
#endif

struct quarry_cache;
struct quarry_cache_tenant;

/* The longest key, in bytes. Any bytes may be in it. */
#define QUARRY_CACHE_KEY_BYTES_MAX 250u
/* The largest value that a cache can be told to take, and the one that it takes by default. */
#define QUARRY_CACHE_VALUE_BYTES_MAX     ((uint64_t)1 << 30)
#define QUARRY_CACHE_VALUE_BYTES_DEFAULT ((uint64_t)1 << 20)
/* An expiry that has passed already. */
#define QUARRY_CACHE_EXPIRED 1u

/* ---- a cache -------------------------------------------------------------------------------- */

/* What happened to an item that nobody asked to go; see quarry_cache_options.observe. */
enum quarry_cache_event {
    QUARRY_CACHE_EVENT_EVICTED = 1,
    QUARRY_CACHE_EVENT_EXPIRED = 2,
};

struct quarry_cache_hit;
/*
 * Told of an item that has just gone. By any thread, inside the epoch, with no lock held; short.
 */
typedef void quarry_cache_observe_function(void *argument, enum quarry_cache_event event,
                                           const struct quarry_cache_hit *item);

/* What a cache is to be. Zero means the default of each. */
struct quarry_cache_options {
    const char *name;              /* of its account and lane; "cache". Borrowed for the call */
    struct quarry_account *parent; /* NULL: the memory. Borrowed until the cache is closed */
    uint64_t size_bytes;           /* of all it holds, index and all; 0: what the memory allows */
    uint64_t floor_bytes;          /* it is never asked to go below */
    uint32_t share;                /* weight among the memory's accounts; 0: 1 */
    uint64_t value_bytes_max;      /* 0: QUARRY_CACHE_VALUE_BYTES_DEFAULT */
    uint32_t tenants_max;          /* 0: 1,024 */
    /*
     * Where items lie, so that they outlive the process; created with mode 0600 when absent, locked
     * while open. Borrowed for the call. NULL: anonymous memory.
     */
    const char *file_path;
    bool never_evicts; /* a full cache refuses: QUARRY_NO_MEMORY */
    /* No thread of its own: the owner calls quarry_cache_turn several times a second. */
    bool has_no_thread;
    uint32_t recovery_threads; /* that read a file with items when it is opened; 0: a CPU each */
    quarry_cache_observe_function *observe; /* may be NULL */
    void *argument;                         /* of observe */
};

/* What was found in a file when it was opened. */
struct quarry_cache_recovery {
    bool was_cold;          /* the file was absent, empty, or given up; `why` says it in words */
    bool was_clean;         /* it had been closed */
    uint64_t item_count;    /* kept */
    uint64_t item_bytes;    /* of their cells */
    uint64_t dropped_count; /* expired, half written, older copies */
    uint64_t duration_ns;
    char why[128];
};

/*
 * Creates a cache, or opens the file of one: its items are there when the call returns.
 *
 * `memory`: borrowed until the cache is closed. `ret_cache`: own; end it with quarry_cache_close.
 * Errors: QUARRY_BAD_INPUT, QUARRY_NO_MEMORY (a cache needs 1 MiB), QUARRY_NO_ADDRESS,
 * QUARRY_EXISTS (a second one of the name), QUARRY_TOO_MANY; with a file: QUARRY_BUSY (open
 * elsewhere), QUARRY_IO, QUARRY_PERMISSION, QUARRY_NO_SPACE, QUARRY_CORRUPT (not a cache's file;
 * one that is, and is damaged, is begun anew). Cost: with a file, of O(items).
 */
QUARRY_EXPORT enum quarry_status quarry_cache_create(struct quarry_memory *memory,
                                                     const struct quarry_cache_options *options,
                                                     struct quarry_cache **ret_cache,
                                                     struct quarry_error *error);

/*
 * Closes a cache. Its file keeps what is in it, and says that it was closed.
 *
 * `cache`: given; NULL does nothing. Threads: no other thread uses it any more.
 */
QUARRY_EXPORT void quarry_cache_close(struct quarry_cache *cache);

/* What was found when the cache was created. */
QUARRY_EXPORT void quarry_cache_read_recovery(const struct quarry_cache *cache,
                                              struct quarry_cache_recovery *ret_recovery);

/*
 * Does some of what is always to do: expires, refills what is free, moves pages between sizes. For
 * caches without a thread.
 *
 * Returns: whether there is more to do at once. Cost: up to 200 µs.
 */
QUARRY_EXPORT bool quarry_cache_turn(struct quarry_cache *cache);

/* Changes how much it may hold, while in use. Errors: QUARRY_BAD_INPUT (below 1 MiB). */
QUARRY_EXPORT enum quarry_status quarry_cache_set_size(struct quarry_cache *cache,
                                                       uint64_t size_bytes);
/* Changes the largest value, for writes that begin from here on. Errors: QUARRY_BAD_INPUT. */
QUARRY_EXPORT enum quarry_status quarry_cache_set_value_bytes_max(struct quarry_cache *cache,
                                                                  uint64_t value_bytes_max);

/* The cache's clock: Unix seconds. Cost: a load. */
QUARRY_EXPORT uint32_t quarry_cache_now(const struct quarry_cache *cache);
/* Moves the clock by so many seconds from where it would be, for tests. */
QUARRY_EXPORT void quarry_cache_shift_clock(struct quarry_cache *cache, int64_t seconds);

/* ---- tenants -------------------------------------------------------------------------------- */

/*
 * A tenant has a space of keys of its own: none reads, changes or evicts what is another's. Its
 * quota counts cells, so that it is what the memory is charged. A tenant above its share of a full
 * cache gives first.
 */
struct quarry_cache_tenant_options {
    const char *name;     /* 1 to 31 bytes, unlike any other's; borrowed for the call */
    uint64_t quota_bytes; /* it never holds more; 0: as much as the cache */
    uint64_t share_bytes; /* below it others' needs take nothing of it; 0: an equal part */
};

/* Errors: QUARRY_EXISTS, QUARRY_TOO_MANY, QUARRY_BAD_INPUT, QUARRY_NO_MEMORY. `ret_tenant`:
 * borrowed until it is removed or the cache is closed. Items that a file kept for the name are its.
 */
QUARRY_EXPORT enum quarry_status
quarry_cache_add_tenant(struct quarry_cache *cache,
                        const struct quarry_cache_tenant_options *options,
                        struct quarry_cache_tenant **ret_tenant, struct quarry_error *error);
/* Changes quota and share of one that is in use. */
QUARRY_EXPORT enum quarry_status
quarry_cache_set_tenant(struct quarry_cache_tenant *tenant,
                        const struct quarry_cache_tenant_options *options);
/* Removes a tenant and its items. Threads: nobody uses it any more. */
QUARRY_EXPORT void quarry_cache_remove_tenant(struct quarry_cache_tenant *tenant);

/* The tenant that every cache has, named "default". */
QUARRY_EXPORT struct quarry_cache_tenant *quarry_cache_default_tenant(struct quarry_cache *cache);
/* By name; NULL: there is none. */
QUARRY_EXPORT struct quarry_cache_tenant *quarry_cache_find_tenant(struct quarry_cache *cache,
                                                                   const char *name);
/* Walks the tenants: the next after `tenant`, or the first for NULL; NULL at the end. */
QUARRY_EXPORT struct quarry_cache_tenant *
quarry_cache_next_tenant(struct quarry_cache *cache, const struct quarry_cache_tenant *tenant);
QUARRY_EXPORT const char *quarry_cache_tenant_name(const struct quarry_cache_tenant *tenant);
QUARRY_EXPORT struct quarry_cache *quarry_cache_of(const struct quarry_cache_tenant *tenant);

/*
 * Everything of the tenant that was stored before `when` is gone from then on (0 or a time that has
 * passed: before this moment). Cost: O(1); memory comes back in the background and by use.
 */
QUARRY_EXPORT void quarry_cache_flush(struct quarry_cache_tenant *tenant, uint32_t when);

/* ---- keys ----------------------------------------------------------------------------------- */

/* A key with its hash under the tenant's secret: make it once for all that is done with the key. */
struct quarry_cache_key {
    const void *bytes;   /* borrowed as long as the key is used */
    uint32_t byte_count; /* 1 to QUARRY_CACHE_KEY_BYTES_MAX */
    uint64_t hash;
};

QUARRY_EXPORT struct quarry_cache_key
quarry_cache_key_make(const struct quarry_cache_tenant *tenant, const void *bytes,
                      size_t byte_count);

/*
 * For several keys at once: has the processor fetch what looking one up touches first, and then,
 * when that has come, what it touches next. Threads: inside the epoch. Cost: some instructions.
 */
QUARRY_EXPORT void quarry_cache_prefetch(const struct quarry_cache_tenant *tenant,
                                         const struct quarry_cache_key *key);
QUARRY_EXPORT void quarry_cache_prefetch_item(const struct quarry_cache_tenant *tenant,
                                              const struct quarry_cache_key *key);

/* ---- reading -------------------------------------------------------------------------------- */

/*
 * What is found between enter and leave stays as it is until leave. Nests. Never wait inside for
 * what another thread does: memory is not used again meanwhile. Cost: a dozen instructions.
 */
QUARRY_EXPORT void quarry_cache_enter(struct quarry_cache *cache);
QUARRY_EXPORT void quarry_cache_leave(struct quarry_cache *cache);

/* What came of a call. */
enum quarry_cache_outcome {
    QUARRY_CACHE_HIT = 0,        /* found; of a change: done */
    QUARRY_CACHE_MISS = 1,       /* no such item */
    QUARRY_CACHE_NOT_STORED = 2, /* a condition of the mode was not met */
    QUARRY_CACHE_EXISTS = 3,     /* the cas was another */
    QUARRY_CACHE_NOT_NUMBER = 4, /* what was to be counted is no number */
    QUARRY_CACHE_NO_MEMORY = 5,  /* no room, and nothing to evict */
    QUARRY_CACHE_TOO_LARGE = 6,  /* above the largest value */
};

/* A stretch of a value. */
struct quarry_cache_piece {
    const void *bytes;
    size_t byte_count;
};

/* An item as it was found. Valid until leave. */
struct quarry_cache_hit {
    struct quarry_cache_piece piece; /* the value, or its first piece; see quarry_cache_pieces */
    uint64_t value_bytes;            /* of the whole value */
    uint64_t cas;
    uint32_t client_flags;
    uint32_t expiry;       /* 0: never */
    uint32_t idle_seconds; /* since it was read or stored, before this call */
    bool was_hit;          /* read before this call since it was stored */
    bool is_stale;         /* marked so by an invalidation */
    bool has_won;          /* this call is the one that shall renew it */
    bool is_token_given;   /* an earlier one is */
    bool is_new;           /* this call has made it, empty */
    uint32_t class_id;     /* of its cell, and the bytes it takes in all */
    uint64_t item_bytes;
    const void *key;
    uint32_t key_bytes;
    uint64_t ref; /* where it is: for pins and pieces */
};

/* How to read. Zero, or NULL for all of it: plainly. */
struct quarry_cache_get_options {
    bool leaves_no_trace; /* neither its idle time nor its worth is changed */
    bool touches;         /* gives it this `expiry` */
    uint32_t expiry;
    /* On a miss: makes an empty item of `vivify_expiry`, whose maker has won. */
    bool vivifies;
    uint32_t vivify_expiry;
    uint64_t vivify_cas; /* 0: the next one */
    /* When it expires within so many seconds, the first who asks has won. */
    bool recaches;
    uint32_t recache_seconds;
    /* With a cas: QUARRY_CACHE_EXISTS when the item's is another; no trace is left then. */
    bool has_cas;
    uint64_t cas;
};

/*
 * Looks an item up.
 *
 * `options`: borrowed; NULL is plainly. Returns: QUARRY_CACHE_HIT with *ret_hit written, also where
 * it was made by this call; QUARRY_CACHE_MISS; QUARRY_CACHE_EXISTS; QUARRY_CACHE_NO_MEMORY (the
 * empty item). A stale item whose token nobody has is won. Threads: inside the epoch. Cost: three
 * cache lines; writes at most once a second and item when its worth is at its highest already.
 */
QUARRY_EXPORT enum quarry_cache_outcome
quarry_cache_get(struct quarry_cache_tenant *tenant, const struct quarry_cache_key *key,
                 const struct quarry_cache_get_options *options, struct quarry_cache_hit *ret_hit);

/*
 * Plainly, for who wants no more than the value, and many of them: of a hit only `piece`,
 * `value_bytes`, `client_flags`, `key`, `key_bytes` and `ref` are written, and a hit is not counted
 * before quarry_cache_count_hits tells of it.
 *
 * Returns: QUARRY_CACHE_HIT, QUARRY_CACHE_MISS. Threads: inside the epoch. Cost: as
 * quarry_cache_get, three fifths of the instructions.
 */
QUARRY_EXPORT enum quarry_cache_outcome quarry_cache_get_value(struct quarry_cache_tenant *tenant,
                                                               const struct quarry_cache_key *key,
                                                               struct quarry_cache_hit *ret_hit);
/* Counts that many hits. Cost: an atomic addition in a line of few threads. */
QUARRY_EXPORT void quarry_cache_count_hits(struct quarry_cache_tenant *tenant, uint32_t count);

/*
 * The pieces of a value from byte `offset` on, as many as there are and fit.
 *
 * Returns: how many were written. Cost: O(pieces before the offset + written).
 */
QUARRY_EXPORT size_t quarry_cache_pieces(const struct quarry_cache *cache,
                                         const struct quarry_cache_hit *hit, uint64_t offset,
                                         struct quarry_cache_piece *pieces, size_t piece_capacity);

/*
 * Keeps a value as it is beyond leave: for one that a slow reader has not taken yet. It is charged
 * to the cache still, and its tenant can have no more than a 16th of the cache's size pinned,
 * and besides one item that alone is more; pins on an item that has one already are not limited.
 *
 * Returns: false: it has gone meanwhile, too much is pinned, or it has less than 2 KiB, which cost
 * less to copy: copy it then. Threads: inside the epoch; unpin anywhere. Cost: a lock.
 */
QUARRY_EXPORT bool quarry_cache_pin(struct quarry_cache_tenant *tenant,
                                    const struct quarry_cache_hit *hit);
QUARRY_EXPORT void quarry_cache_unpin(struct quarry_cache_tenant *tenant, uint64_t ref);

/* ---- writing -------------------------------------------------------------------------------- */

enum quarry_cache_mode {
    QUARRY_CACHE_SET = 0,
    QUARRY_CACHE_ADD,     /* where there is none; one there is counts as read */
    QUARRY_CACHE_REPLACE, /* where there is one */
    QUARRY_CACHE_APPEND,  /* behind the value that is there, whose flags and expiry stay */
    QUARRY_CACHE_PREPEND, /* before it */
};

/* How to store. Zero is: set, no flags, for ever. */
struct quarry_cache_store_options {
    enum quarry_cache_mode mode;
    uint32_t client_flags;
    uint32_t expiry;
    bool has_cas; /* stored only over an item of this cas */
    uint64_t cas;
    /* With a cas: over an item of a higher cas too; it is stale then, keeps that one's expiry, and
     * its token is given if that one's was. */
    bool invalidates;
    uint64_t new_cas; /* 0: the next one */
    bool vivifies;    /* append, prepend: where there is none, stores as if set */
    uint32_t vivify_expiry;
};

/* What was stored. */
struct quarry_cache_stored {
    uint64_t cas;
    uint64_t value_bytes;
};

/*
 * A value on its way in: begun when its length is known, filled as its bytes come, then committed
 * or aborted. Memory for a large one is taken as it is filled.
 */
struct quarry_cache_write {
    struct quarry_cache_tenant *tenant;
    uint64_t ref;            /* of the item, not yet to be found */
    void *cell;              /* where it lies */
    uint64_t hash;           /* of the key */
    uint64_t value_bytes;    /* in all */
    uint64_t filled_bytes;   /* so far */
    char *room;              /* where the next bytes go */
    uint64_t room_bytes;     /* how many of them */
    uint64_t last_ref;       /* the piece that is being filled */
    uint64_t reserved_bytes; /* counted against the tenant ahead */
};

/*
 * Begins a write. The key is copied; nothing else of the caller's is kept.
 *
 * `ret_write`: caller's storage; committed or aborted once, by any thread.
 * Returns: QUARRY_CACHE_HIT: room is there for the first bytes. QUARRY_CACHE_TOO_LARGE,
 * QUARRY_CACHE_NO_MEMORY: nothing was begun; an item of the key is left as it is (memcached's `set`
 * deletes it, by quarry_cache_delete).
 * Threads: not needed inside the epoch. Cost: a cell; evictions, up to 16 items, when full.
 */
QUARRY_EXPORT enum quarry_cache_outcome
quarry_cache_write_begin(struct quarry_cache_tenant *tenant, const struct quarry_cache_key *key,
                         uint64_t value_bytes, const struct quarry_cache_store_options *options,
                         struct quarry_cache_write *ret_write);

/*
 * Where the next bytes go: `*ret_bytes` of them at most. NULL: there is no memory for them
 * (*ret_bytes is 1), or the value is whole (0).
 */
QUARRY_EXPORT char *quarry_cache_write_room(struct quarry_cache_write *write, size_t *ret_bytes);
/* Says that so many of them have been written. */
QUARRY_EXPORT void quarry_cache_write_filled(struct quarry_cache_write *write, size_t bytes);

/*
 * Ends a write that is whole: the item is found from here on, or is dropped.
 *
 * `options`: as at its beginning. `ret_stored`: may be NULL. Returns: QUARRY_CACHE_HIT,
 * QUARRY_CACHE_NOT_STORED, QUARRY_CACHE_EXISTS, QUARRY_CACHE_MISS (has_cas, and no item);
 * QUARRY_CACHE_NO_MEMORY, QUARRY_CACHE_TOO_LARGE (append and prepend).
 */
QUARRY_EXPORT enum quarry_cache_outcome
quarry_cache_write_commit(struct quarry_cache_write *write,
                          const struct quarry_cache_store_options *options,
                          struct quarry_cache_stored *ret_stored);
QUARRY_EXPORT void quarry_cache_write_abort(struct quarry_cache_write *write);

/* All of a write in one call. `ret_stored`: may be NULL. Returns: as begin and commit. */
QUARRY_EXPORT enum quarry_cache_outcome
quarry_cache_store(struct quarry_cache_tenant *tenant, const struct quarry_cache_key *key,
                   const void *value, uint64_t value_bytes,
                   const struct quarry_cache_store_options *options,
                   struct quarry_cache_stored *ret_stored);

/* ---- changing ------------------------------------------------------------------------------- */

/* How to delete. Zero, or NULL for all of it: plainly. */
struct quarry_cache_delete_options {
    bool has_cas;
    uint64_t cas;
    bool invalidates; /* keeps it, marked stale, with a new cas, its token nobody's */
    bool drops_value; /* keeps it, with an empty value and no client flags */
    bool sets_expiry; /* of one that is kept */
    uint32_t expiry;
    uint64_t new_cas; /* of one that is kept; 0: the next one */
};

/* Returns: QUARRY_CACHE_HIT, QUARRY_CACHE_MISS, QUARRY_CACHE_EXISTS, QUARRY_CACHE_NO_MEMORY. */
QUARRY_EXPORT enum quarry_cache_outcome
quarry_cache_delete(struct quarry_cache_tenant *tenant, const struct quarry_cache_key *key,
                    const struct quarry_cache_delete_options *options);

/* Gives an item another expiry. Returns: QUARRY_CACHE_HIT or _MISS; _NO_MEMORY. */
QUARRY_EXPORT enum quarry_cache_outcome quarry_cache_touch(struct quarry_cache_tenant *tenant,
                                                           const struct quarry_cache_key *key,
                                                           uint32_t expiry);

/* How to count. */
struct quarry_cache_count_options {
    uint64_t delta;
    bool decrements; /* not below 0; else it wraps at 2^64 */
    bool has_cas;
    uint64_t cas;
    bool sets_expiry;
    uint32_t expiry;
    bool vivifies; /* where there is none: stores `initial` */
    uint64_t initial;
    uint32_t vivify_expiry;
    uint64_t new_cas; /* 0: the next one */
};

/* What was counted. */
struct quarry_cache_counted {
    uint64_t number;
    uint64_t cas;
    uint32_t expiry;
    bool is_new; /* stored by this call */
};

/*
 * Counts a value that is a decimal number of up to 20 digits, spaces behind it allowed. A result
 * with fewer digits than the value had bytes is padded with spaces to as many.
 *
 * Returns: QUARRY_CACHE_HIT with *ret_counted written, QUARRY_CACHE_MISS, QUARRY_CACHE_EXISTS,
 * QUARRY_CACHE_NOT_NUMBER, QUARRY_CACHE_NO_MEMORY.
 */
QUARRY_EXPORT enum quarry_cache_outcome
quarry_cache_count(struct quarry_cache_tenant *tenant, const struct quarry_cache_key *key,
                   const struct quarry_cache_count_options *options,
                   struct quarry_cache_counted *ret_counted);

/* ---- looking -------------------------------------------------------------------------------- */

/*
 * Walks a tenant's items: writes up to `capacity` of them, and moves the cursor on (0 to begin).
 * Items that come, go or are changed meanwhile may be told of once, twice or not at all; all others
 * once, but twice where the index grows meanwhile.
 *
 * Returns: how many; 0 at the end. Threads: inside the epoch, until which they are valid.
 */
QUARRY_EXPORT size_t quarry_cache_next(struct quarry_cache_tenant *tenant, uint64_t *cursor,
                                       struct quarry_cache_hit *hits, size_t capacity);

/* What a tenant has seen. Counts are since it was added, or reset. */
struct quarry_cache_tenant_stats {
    uint64_t item_count;
    uint64_t item_bytes;    /* charged: cells */
    uint64_t request_bytes; /* of keys and values */
    uint64_t pinned_bytes;
    uint64_t quota_bytes, share_bytes;
    uint64_t total_items; /* stored, ever */
    uint64_t get_hits, get_misses, get_expired, get_flushed;
    uint64_t touch_hits, touch_misses;
    uint64_t delete_hits, delete_misses;
    uint64_t incr_hits, incr_misses, decr_hits, decr_misses;
    uint64_t cas_hits, cas_misses, cas_badval;
    uint64_t set_count;
    uint64_t store_too_large, store_no_memory;
    uint64_t evictions, evicted_unfetched, evicted_bytes;
    uint64_t expired, expired_unfetched; /* found so by the cache itself, or in passing */
    uint64_t ghost_hits;                 /* misses of what was evicted not long ago */
    uint64_t promoted;                   /* items that proved worth keeping */
    uint64_t small_bytes, main_bytes;    /* of the two queues */
    uint32_t evicted_age_seconds;        /* how long what was evicted last had not been read */
    uint32_t reserved;
};

QUARRY_EXPORT void quarry_cache_read_tenant(const struct quarry_cache_tenant *tenant,
                                            struct quarry_cache_tenant_stats *ret_stats);
/* Begins its counts anew. */
QUARRY_EXPORT void quarry_cache_reset_tenant(struct quarry_cache_tenant *tenant);

/* ---- what keys are used -----------------------------------------------------------------------
 */

/* What was done with a key. */
enum quarry_cache_use {
    QUARRY_CACHE_USE_HIT = 0,
    QUARRY_CACHE_USE_MISS,
    QUARRY_CACHE_USE_SET,
    QUARRY_CACHE_USE_DELETE,
    QUARRY_CACHE_USE_COUNT,
};

/* The longest prefix that is counted apart, in bytes; the byte that ends one is a colon. */
#define QUARRY_CACHE_PREFIX_BYTES_MAX 63u
/* How many prefixes of a tenant are counted; what comes later is not. */
#define QUARRY_CACHE_PREFIXES_MAX 1024u

/* What was done with the keys of a prefix. */
struct quarry_cache_prefix {
    char text[QUARRY_CACHE_PREFIX_BYTES_MAX + 1]; /* without the colon */
    uint64_t counts[QUARRY_CACHE_USE_COUNT];
};

/*
 * Counts a use of a key for its prefix, which is what stands before its first colon; a key without
 * one is not counted. The first call for a tenant takes 96 KiB of the cache's memory.
 *
 * Threads: any at once. Cost: a hash of the prefix, and an atomic addition that those who use the
 * same prefix contend for: for as long as somebody looks.
 */
QUARRY_EXPORT void quarry_cache_count_prefix(struct quarry_cache_tenant *tenant,
                                             const struct quarry_cache_key *key,
                                             enum quarry_cache_use use);
/* Reads them from the `first` on, 0 being the one that came first. Returns: how many were written.
 */
QUARRY_EXPORT size_t quarry_cache_read_prefixes(const struct quarry_cache_tenant *tenant,
                                                size_t first, struct quarry_cache_prefix *prefixes,
                                                size_t capacity);
/* Begins the counts of all prefixes anew; the prefixes stay. */
QUARRY_EXPORT void quarry_cache_reset_prefixes(struct quarry_cache_tenant *tenant);

/* How many of the keys that are used most are known. */
#define QUARRY_CACHE_HOT_KEYS_MAX 32u

struct quarry_cache_hot_key {
    uint64_t count; /* estimated; of the last quarter of a billion uses or so */
    uint32_t key_bytes;
    uint8_t key[QUARRY_CACHE_KEY_BYTES_MAX];
};

/*
 * Tells of a use of a key that stands for `weight` uses: of one in 64 requests, say, with 64. Sets
 * and deletes are counted together. The first call for a tenant takes 76 KiB of the cache's memory.
 *
 * Threads: any at once; one that would have to wait is dropped. Cost: some dozen instructions.
 */
QUARRY_EXPORT void quarry_cache_note_hot_key(struct quarry_cache_tenant *tenant,
                                             const struct quarry_cache_key *key,
                                             enum quarry_cache_use use, uint32_t weight);
/*
 * The keys that are used most, the first the most.
 *
 * `keys`: QUARRY_CACHE_HOT_KEYS_MAX of them. Returns: how many were written.
 */
QUARRY_EXPORT size_t quarry_cache_read_hot_keys(const struct quarry_cache_tenant *tenant,
                                                enum quarry_cache_use use,
                                                struct quarry_cache_hot_key *keys);

/* A cache in figures. */
struct quarry_cache_stats {
    uint64_t size_bytes;    /* as set */
    uint64_t charged_bytes; /* of its account: all of the following, and what is free */
    uint64_t page_bytes, page_count;
    uint64_t cell_bytes; /* of items */
    uint64_t free_bytes; /* of cells that are free, or wait for readers */
    uint64_t index_bytes;
    uint64_t policy_bytes; /* queues and ghosts */
    uint64_t moved_pages, moved_items;
    uint64_t item_count;
    uint64_t index_slots, index_grown_count;
    uint64_t crawled_items;
    uint64_t pinned_bytes;
    uint64_t value_bytes_max;
    uint32_t tenant_count;
    bool is_full; /* it evicts */
};

QUARRY_EXPORT void quarry_cache_read_stats(struct quarry_cache *cache,
                                           struct quarry_cache_stats *ret_stats);

/*
 * What the disk of its file lets a cache have, in bytes, where that was found to be less than its
 * size: it evicts within that, and tries now and then whether there is more.
 *
 * Returns: 0: as much as it wants, as far as is known. Threads: any. Cost: loads.
 */
QUARRY_EXPORT uint64_t quarry_cache_disk_limit(const struct quarry_cache *cache);

/* A class of cells. */
struct quarry_cache_class_stats {
    uint32_t class_id; /* of the slab; as in quarry_cache_hit */
    uint32_t cell_bytes;
    uint32_t cells_per_page;
    uint64_t page_count, cell_count;
    uint64_t used_count; /* by items, and by writes under way */
};

/* Returns: how many classes there are; up to `capacity` are written, by size. */
QUARRY_EXPORT size_t quarry_cache_read_classes(struct quarry_cache *cache,
                                               struct quarry_cache_class_stats *classes,
                                               size_t capacity);

/*
 * Checks everything: each item is found by its key and counted once, charges add up.
 *
 * Errors: QUARRY_CORRUPT, with the first difference in `error`. Threads: nobody else uses the
 * cache.
 */
QUARRY_EXPORT enum quarry_status quarry_cache_validate(struct quarry_cache *cache,
                                                       struct quarry_error *error);

#ifdef __cplusplus
}
#endif

#endif
