/*
 * Databases of strings that may expire, over an ordered store: what Redis' clients see of `kv`.
 *
 *     keyspace_open(memory, "data/kv", &kv_options, &options, &keyspace, &error);
 *     keyspace_scope_of(keyspace, "acme", 0, true, &scope, &error);  // database 0 of tenant acme
 *
 *     struct keyspace_change change;
 *     struct keyspace_value value;
 *     if (keyspace_begin(keyspace, &keys, 1, 0, &change) == QUARRY_OK) {  // its keys are locked
 *         status = keyspace_get(&change, &scope, key, &value);
 *         …
 *         keyspace_value_release(&value);
 *         keyspace_put(&change, &scope, key, new_value, expires_ms);
 *         status = keyspace_commit(&change, &error);        // all of it at one moment; unlocked
 *     }
 *
 * A *scope* is a database of a tenant: no key of one is seen in another. What a *change* reads and
 * writes happens at one moment for everybody who changes the same keys: its keys are locked from
 * begin to commit or abort. Reads of one key, and walks, need no change and no lock.
 *
 * Waiting. A call with `never_waits` returns QUARRY_BUSY instead of waiting for a disk, for room in
 * the store or for a change that may itself wait. Nothing has happened then: who got it aborts the
 * change, and does all of it again where waiting is allowed.
 *
 * Time is in milliseconds since 1970, as clients give it. A key is gone from the millisecond at
 * which it expires; the store drops it when it compacts.
 *
 * A thread has one change at a time: keys that it holds already it would wait for, for ever.
 *
 * Errors are those of quarry/kv.h.
 *
 * Threads: any call from any thread; a change and a walk belong to one thread at a time.
 */
#ifndef QUARRY_KEYSPACE_H
#define QUARRY_KEYSPACE_H

#include <base/base.h>

#include <quarry/kv.h>
#include <quarry/memory.h>

struct keyspace;

/* Databases of a tenant; tenants that a keyspace can have ever had. */
#define KEYSPACE_DATABASES_MAX 256u
#define KEYSPACE_TENANTS_MAX   65000u
/* In front of every key in the store: the tenant in two bytes, and the database. */
#define KEYSPACE_PREFIX_BYTES 3u

struct keyspace_options {
    uint64_t (*now_ms)(void *argument); /* NULL: the clock */
    void *argument;
    uint32_t stripe_count; /* of locks, a power of two; 0: 4096 */
    uint64_t cursors_max;  /* walks that can be gone on with by number, of a tenant; 0: 4096 */
};

/*
 * Opens the store at `path`, with a filter that drops what has expired, and the keyspace in it.
 * `kv_options`: as quarry_kv_open has them. Errors: as quarry_kv_open; QUARRY_CORRUPT,
 * QUARRY_BAD_INPUT: there is a store, but of something else.
 */
enum quarry_status keyspace_open(struct quarry_memory *memory, const char *path,
                                 const struct quarry_kv_options *kv_options,
                                 const struct keyspace_options *options,
                                 struct keyspace **ret_keyspace, struct quarry_error *error);
/* Errors: as quarry_kv_close. */
enum quarry_status keyspace_close(struct keyspace *keyspace, struct quarry_error *error);
/* Its store: for statistics, checkpoints, flushing, syncing. Borrowed. */
struct quarry_kv *keyspace_kv(struct keyspace *keyspace);
uint64_t keyspace_now_ms(const struct keyspace *keyspace);

/* ---- scopes --------------------------------------------------------------------------------- */

struct keyspace_scope {
    uint16_t tenant; /* 0: the default one */
    uint8_t database;
};

/*
 * The scope of a tenant's name ("" is the default one); the name is given its number for ever at
 * the first time, where `creates`. Errors: QUARRY_NOT_FOUND, QUARRY_TOO_MANY, those of writing.
 * Cost: a look into a table.
 */
enum quarry_status keyspace_scope_of(struct keyspace *keyspace, const char *tenant,
                                     uint8_t database, bool creates,
                                     struct keyspace_scope *ret_scope, struct quarry_error *error);
/* The bytes before a key of the scope in the store, for tools. */
void keyspace_prefix(const struct keyspace_scope *scope, uint8_t room[KEYSPACE_PREFIX_BYTES]);

/* ---- values --------------------------------------------------------------------------------- */

struct keyspace_value {
    const void *bytes;
    size_t byte_count;
    uint64_t expires_ms;         /* 0: never */
    struct quarry_kv_value held; /* what keeps the bytes */
};

/* Takes a value as the store has it apart. False: it is none. Nothing is held. */
bool keyspace_value_decode(struct quarry_kv_slice stored, struct keyspace_value *ret_value);
/* `value`: given; none does nothing. */
void keyspace_value_release(struct keyspace_value *value);

/* ---- reading without a change --------------------------------------------------------------- */

/*
 * Reads a key as it is now. `ret_value`: own. Errors: QUARRY_NOT_FOUND: not there, or expired;
 * QUARRY_BUSY; as quarry_kv_get. `error` may be NULL.
 */
enum quarry_status keyspace_read(struct keyspace *keyspace, const struct keyspace_scope *scope,
                                 struct quarry_kv_slice key, bool never_waits,
                                 struct keyspace_value *ret_value, struct quarry_error *error);
/* Up to so many keys that are to be read soon are fetched into the CPU's caches at once. */
#define KEYSPACE_PREFETCHED_MAX 16u
/* See quarry_kv_prefetch, and quarry_kv_prefetch_puts. `count`: up to KEYSPACE_PREFETCHED_MAX; long
 * keys are passed over. */
void keyspace_prefetch(struct keyspace *keyspace, const struct keyspace_scope *scope,
                       const struct quarry_kv_slice *keys, size_t count);
void keyspace_prefetch_puts(struct keyspace *keyspace, const struct keyspace_scope *scope,
                            const struct quarry_kv_slice *keys, size_t count);
/*
 * Reads many keys at one moment. `ret_statuses`, `ret_values`: for each, QUARRY_OK or
 * QUARRY_NOT_FOUND. After any other status none is held.
 */
enum quarry_status keyspace_read_many(struct keyspace *keyspace, const struct keyspace_scope *scope,
                                      const struct quarry_kv_slice *keys, size_t key_count,
                                      bool never_waits, enum quarry_status *ret_statuses,
                                      struct keyspace_value *ret_values,
                                      struct quarry_error *error);

/* ---- changes -------------------------------------------------------------------------------- */

/* Keys of one scope that a change locks. */
struct keyspace_keys {
    struct keyspace_scope scope;
    const struct quarry_kv_slice *keys; /* borrowed for the call */
    size_t key_count;
};

enum keyspace_begin_flag {
    KEYSPACE_NEVER_WAITS = 1,
    KEYSPACE_ALL_KEYS = 2, /* of all scopes: nobody else changes anything meanwhile */
    KEYSPACE_COPIES = 4,   /* what is put is borrowed for the call only: for EXEC */
};

struct keyspace_change {
    struct keyspace *keyspace;
    uint64_t now_ms; /* for all of it */
    uint32_t flags;
    uint64_t words[24]; /* the keyspace's own */
};

/*
 * Begins a change; the keys of all `sets` are locked in an order of the keyspace's own. A change
 * must only put and delete keys that it locked; it may read any, of which those that it did not
 * lock can change meanwhile.
 *
 * `never_waits`: KEYSPACE_NEVER_WAITS also holds for its reads and its commit.
 * Errors: QUARRY_BUSY, QUARRY_NO_MEMORY; there is no change then.
 * Cost: an atomic word a key; nothing is allocated for one that writes a single key.
 */
enum quarry_status keyspace_begin(struct keyspace *keyspace, const struct keyspace_keys *sets,
                                  size_t set_count, uint32_t flags,
                                  struct keyspace_change *ret_change);
/*
 * Reads a key as the change has it so far. `ret_value`: own. Where the change has written the key,
 * until the change ends; else, as one of keyspace_read, until it is released.
 */
enum quarry_status keyspace_get(struct keyspace_change *change, const struct keyspace_scope *scope,
                                struct quarry_kv_slice key, struct keyspace_value *ret_value,
                                struct quarry_error *error);
/*
 * Puts a key; expires_ms 0: it stays. Deletes one; deletes [begin, end) of a scope, end of bytes
 * NULL: to its end (a change with KEYSPACE_ALL_KEYS).
 *
 * `key`, `value`: borrowed until the change ends; with KEYSPACE_COPIES for the call. They may lie
 * in a value that the change has read.
 */
enum quarry_status keyspace_put(struct keyspace_change *change, const struct keyspace_scope *scope,
                                struct quarry_kv_slice key, struct quarry_kv_slice value,
                                uint64_t expires_ms);
/* The value in pieces, one behind the other: APPEND and SETRANGE copy once. */
enum quarry_status keyspace_put_pieces(struct keyspace_change *change,
                                       const struct keyspace_scope *scope,
                                       struct quarry_kv_slice key,
                                       const struct quarry_kv_slice *pieces, size_t piece_count,
                                       uint64_t expires_ms);
enum quarry_status keyspace_delete(struct keyspace_change *change,
                                   const struct keyspace_scope *scope, struct quarry_kv_slice key);
enum quarry_status keyspace_delete_range(struct keyspace_change *change,
                                         const struct keyspace_scope *scope,
                                         struct quarry_kv_slice begin, struct quarry_kv_slice end);
/*
 * Makes it happen, with the store's durability; tells watchers; unlocks. A store of durability
 * POWER waits for its disk here, whatever the change's flags: who must not gives the store PROCESS,
 * and has it synced before the change is acknowledged.
 *
 * Errors: QUARRY_BUSY: it has not happened, and is still there: abort it, or commit again. Any
 * other status ends it: as quarry_kv_put.
 */
enum quarry_status keyspace_commit(struct keyspace_change *change, struct quarry_error *error);
/* Unlocks; nothing has happened. */
void keyspace_abort(struct keyspace_change *change);
/* Whether it has changed anything so far. */
bool keyspace_change_writes(const struct keyspace_change *change);

/* ---- watching ------------------------------------------------------------------------------- */

/*
 * The keys that somebody watches, to be told apart from all else whether one was changed. Owned by
 * a session; zeroed is none.
 */
struct keyspace_watch {
    _Atomic(uint32_t) is_dirty; /* a watched key was changed, or has expired */
    uint32_t key_count;
    void *first;
};
/*
 * Watches a key, which is read, to know when it expires. `key`: borrowed for the call.
 * Errors: QUARRY_NO_MEMORY, QUARRY_TOO_MANY (1,024 keys), as keyspace_read but for
 * QUARRY_NOT_FOUND: it is not watched.
 */
enum quarry_status keyspace_watch_add(struct keyspace *keyspace, struct keyspace_watch *watch,
                                      const struct keyspace_scope *scope,
                                      struct quarry_kv_slice key, bool never_waits);
/*
 * Whether no watched key was changed. Asked with the keys locked (which commands in a MULTI lock
 * besides their own: keyspace_watch_keys) it stays so until the change ends.
 */
bool keyspace_watch_is_clean(struct keyspace *keyspace, struct keyspace_watch *watch);
/* Writes up to `count` of the watched keys, with their scopes; borrowed until cleared. */
size_t keyspace_watch_keys(const struct keyspace_watch *watch, struct keyspace_scope *scopes,
                           struct quarry_kv_slice *keys, size_t count);
void keyspace_watch_clear(struct keyspace *keyspace, struct keyspace_watch *watch);

/* ---- walking -------------------------------------------------------------------------------- */

/* Keys of a scope in order, as they were when the walk began, without those that have expired. */
struct keyspace_walk;
struct keyspace_walk_options {
    struct quarry_kv_slice begin, end; /* bytes NULL: no bound; borrowed until it ends */
    bool is_reverse;
    bool never_waits;
    const struct quarry_kv_snapshot *snapshot; /* NULL: now */
    /* Of a change: its own writes are seen, and it must not write until the walk ends. NULL: none.
     */
    struct keyspace_change *change;
};
enum quarry_status keyspace_walk_begin(struct keyspace *keyspace,
                                       const struct keyspace_scope *scope,
                                       const struct keyspace_walk_options *options,
                                       struct keyspace_walk **ret_walk, struct quarry_error *error);
/* The next key, and its value; borrowed until the next call. QUARRY_NOT_FOUND: the end. */
enum quarry_status keyspace_walk_next(struct keyspace_walk *walk, struct quarry_kv_slice *ret_key,
                                      struct keyspace_value *ret_value, struct quarry_error *error);
void keyspace_walk_end(struct keyspace_walk *walk);

/*
 * Scanning by cursor: visits up to `count` keys behind the cursor (0: from the begin) and tells
 * where to go on (0: there are no more). Keys that are there all the time are visited once.
 *
 * A cursor is a number that stands for a key in a table of cursors_max of the tenant: the oldest is
 * forgotten first. `change`: whose own writes are seen; NULL: none.
 * Errors: QUARRY_NOT_FOUND: the cursor is none.
 */
typedef void keyspace_visit_function(void *argument, struct quarry_kv_slice key,
                                     const struct keyspace_value *value);
enum quarry_status keyspace_scan(struct keyspace *keyspace, const struct keyspace_scope *scope,
                                 uint64_t cursor, uint64_t count, bool never_waits,
                                 struct keyspace_change *change, keyspace_visit_function *visit,
                                 void *argument, uint64_t *ret_cursor, struct quarry_error *error);

/* ---- what there is -------------------------------------------------------------------------- */

/*
 * Counts the keys of a scope that have not expired, and those that will. Exact: walks over all of
 * them, unless nothing was written since it was counted last. Waits for the disk.
 * `is_cancelled`: looked at now and then; NULL: never.
 */
struct keyspace_counts {
    uint64_t keys, expiring_keys;
    uint64_t ttl_ms_sum; /* of those */
};
enum quarry_status keyspace_count(struct keyspace *keyspace, const struct keyspace_scope *scope,
                                  const _Atomic(bool) *is_cancelled,
                                  struct keyspace_counts *ret_counts, struct quarry_error *error);
/*
 * Likewise without waiting, in about 50 us: exact where it was counted and nothing was written
 * since, or where there are few; else about.
 */
void keyspace_estimate(struct keyspace *keyspace, const struct keyspace_scope *scope,
                       struct keyspace_counts *ret_counts, bool *ret_is_exact);
/* A key, of which each has a chance. QUARRY_NOT_FOUND: there is none. `ret_key`: own. */
enum quarry_status keyspace_random(struct keyspace *keyspace, const struct keyspace_scope *scope,
                                   uint64_t random, bool never_waits,
                                   struct keyspace_value *ret_key, struct quarry_error *error);

/* Counters, relaxed. */
struct keyspace_figures {
    uint64_t expired_seen_count;    /* reads that met an expired key */
    uint64_t expired_dropped_count; /* by compactions */
    uint64_t busy_count, watch_count, cursor_count;
};
void keyspace_read_figures(struct keyspace *keyspace, struct keyspace_figures *ret_figures);

#endif
