/*
 * A keyspace: what its files share.
 *
 *     change ──> stripes (its keys) ──> kv ──> written: counters, watches ──> stripes given back
 *     read, walk ─────────────────────> kv
 */
#ifndef QUARRY_KEYSPACE_TYPES_H
#define QUARRY_KEYSPACE_TYPES_H

#include <string.h>

#include <quarry/lifetime.h>

#include <keyspace/keyspace.h>
#include <os/os.h>

/* Of the keyspace's own entries: what the store is, and what tenants are called. */
#define KEYSPACE_META_TENANT           0xffffu
#define KEYSPACE_META_FORMAT           0u
#define KEYSPACE_META_TENANTS          1u
#define KEYSPACE_FORMAT_LINE           "quarry keyspace 1\n"
#define KEYSPACE_TENANT_NAME_BYTES_MAX 255u

/* In front of a value: docs/formats/keyspace.md. */
#define KEYSPACE_TAG_STAYS      0u
#define KEYSPACE_TAG_EXPIRES    1u
#define KEYSPACE_HEAD_BYTES_MAX 9u

/* Counters of writes: scopes share them by hash, which costs a count now and then, and no more. */
#define KEYSPACE_COUNTERS 1024u
/* Lists of watched keys, by stripe; of tenants' names; of cursors. */
#define KEYSPACE_WATCH_LISTS  1024u
#define KEYSPACE_TENANT_LISTS 256u
#define KEYSPACE_CURSOR_LISTS 1024u
/* Batches that are kept for the next changes, and the longest, in bytes. */
#define KEYSPACE_BATCHES         16u
#define KEYSPACE_BATCH_BYTES_MAX Q_KIB(64)
/* Counts that are remembered, one for a scope, by hash. */
#define KEYSPACE_COUNTED 64u

Q_STATIC_ASSERT(KEYSPACE_TENANTS_MAX < KEYSPACE_META_TENANT, "no tenant has the keyspace's number");

/* A lock of keys, and how many of its keys are watched. stripes.c has the word's values. */
struct keyspace_stripe {
    _Atomic uint32_t word;
    _Atomic uint32_t watch_count;
};

struct keyspace_watched; /* watch.c */
struct keyspace_tenant;  /* scope.c */
struct keyspace_cursor;  /* cursor.c */
struct keyspace_cursors; /* cursor.c */

/* Where memory comes from, and who is charged. */
struct keyspace_memory {
    struct quarry_lifetime *lifetime;
    struct quarry_pool *pool;
    struct quarry_account *account;
};

/* What a count found, and for how long it is right. */
struct keyspace_counted {
    bool is_known;
    struct keyspace_scope scope;
    uint64_t written;    /* the scope's counter before the count */
    uint64_t counted_ms; /* when */
    uint64_t until_ms;   /* a key expires then; UINT64_MAX: none does */
    uint64_t store_keys; /* what the store made of it all at that time */
    struct keyspace_counts counts;
};

struct keyspace {
    /* ---- const while it is open ---- */
    struct quarry_memory *memory;
    struct keyspace_memory small; /* what its own is taken from */
    struct quarry_kv *kv;
    struct quarry_kv_compaction_filter filter;
    struct os *os;
    struct keyspace_options options; /* none is zero but now_ms */
    struct keyspace_stripe *stripes;
    uint32_t stripe_mask;

    /* ---- atomic ---- */
    _Atomic bool is_ours; /* the format line has been read */
    /* struct quarry_kv_batch; NULL: none; without an index, and with one */
    _Atomic(void *) batches[2][KEYSPACE_BATCHES];
    _Atomic uint64_t written[KEYSPACE_COUNTERS];
    _Atomic uint64_t expired_seen_count, expired_dropped_count, busy_count; /* figures */
    _Atomic uint32_t watch_count;                                           /* of all stripes */

    /* ---- guarded by watch_mutex ---- */
    struct os_mutex watch_mutex;
    struct keyspace_watched *watched[KEYSPACE_WATCH_LISTS];

    /* ---- guarded by names_mutex ---- */
    struct os_mutex names_mutex;
    struct keyspace_tenant *tenants[KEYSPACE_TENANT_LISTS];
    uint32_t last_tenant; /* the highest number */

    /* ---- guarded by cursors_mutex ---- */
    struct os_mutex cursors_mutex;
    struct keyspace_cursor *cursors[KEYSPACE_CURSOR_LISTS];
    struct keyspace_cursors
        *cursor_tables[KEYSPACE_TENANT_LISTS]; /* by tenant, of who has scanned */
    uint64_t next_cursor, cursor_count;

    /* ---- guarded by counted_mutex ---- */
    struct os_mutex counted_mutex;
    struct keyspace_counted counted[KEYSPACE_COUNTED];
};

/* ---- memory.c ------------------------------------------------------------------------------- */

/* Takes memory that is charged; its contents are anything. NULL: there is none. */
void *keyspace_memory_take(const struct keyspace_memory *memory, size_t byte_count);
/* `object`: given; NULL does nothing. */
void keyspace_memory_give(const struct keyspace_memory *memory, void *object);

static inline void *keyspace_take(struct keyspace *keyspace, size_t byte_count)
{
    return keyspace_memory_take(&keyspace->small, byte_count);
}
static inline void keyspace_give(struct keyspace *keyspace, void *object)
{
    keyspace_memory_give(&keyspace->small, object);
}

/* Keys up to so many bytes are put together on the stack. */
#define KEYSPACE_ROOM_BYTES 256u
/* A key with its scope in front. Uninitialised until keyspace_room_key. */
struct keyspace_room {
    struct quarry_kv_slice key;
    char *own; /* NULL: in `bytes` */
    char bytes[KEYSPACE_ROOM_BYTES];
};
/* Errors: QUARRY_NO_MEMORY; then there is nothing to end. */
enum quarry_status keyspace_room_key_slow(struct keyspace *keyspace, size_t byte_count,
                                          struct keyspace_room *room, struct quarry_error *error);

static inline void keyspace_put_prefix(char *to, const struct keyspace_scope *scope)
{
    endian_store_be_u16(to, scope->tenant);
    to[2] = (char)scope->database;
}

/* What comes behind all keys of a scope: the next one's prefix. */
static inline void keyspace_put_prefix_end(char *to, const struct keyspace_scope *scope)
{
    const struct keyspace_scope next = {
        (uint16_t)(scope->tenant + (scope->database == UINT8_MAX ? 1u : 0u)),
        (uint8_t)(scope->database + 1u)};

    Q_DCHECK(scope->tenant < UINT16_MAX || scope->database < UINT8_MAX);
    keyspace_put_prefix(to, &next);
}

static inline bool keyspace_is_before(struct quarry_kv_slice a, struct quarry_kv_slice b)
{
    size_t byte_count = size_min(a.byte_count, b.byte_count);
    int order = byte_count == 0 ? 0 : memcmp(a.bytes, b.bytes, byte_count);

    return order < 0 || (order == 0 && a.byte_count < b.byte_count);
}

static inline enum quarry_status keyspace_room_key(struct keyspace *keyspace,
                                                   const struct keyspace_scope *scope,
                                                   struct quarry_kv_slice key,
                                                   struct keyspace_room *room,
                                                   struct quarry_error *error)
{
    char *to = room->bytes;

    room->own = NULL;
    if (Q_UNLIKELY(key.byte_count > sizeof(room->bytes) - KEYSPACE_PREFIX_BYTES)) {
        enum quarry_status status = keyspace_room_key_slow(keyspace, key.byte_count, room, error);
        if (status != QUARRY_OK) {
            return status;
        }
        to = room->own;
    }
    keyspace_put_prefix(to, scope);
    if (key.byte_count != 0) {
        memcpy(to + KEYSPACE_PREFIX_BYTES, key.bytes, key.byte_count);
    }
    room->key = (struct quarry_kv_slice){to, key.byte_count + KEYSPACE_PREFIX_BYTES};
    return QUARRY_OK;
}

static inline void keyspace_room_end(struct keyspace *keyspace, struct keyspace_room *room)
{
    if (Q_UNLIKELY(room->own != NULL)) {
        keyspace_give(keyspace, room->own);
    }
}

static inline bool keyspace_is_same(struct quarry_kv_slice a, struct quarry_kv_slice b)
{
    return a.byte_count == b.byte_count &&
           (a.byte_count == 0 || memcmp(a.bytes, b.bytes, a.byte_count) == 0);
}
static inline bool keyspace_is_same_scope(const struct keyspace_scope *a,
                                          const struct keyspace_scope *b)
{
    return a->tenant == b->tenant && a->database == b->database;
}

/* ---- stripes.c ------------------------------------------------------------------------------ */

/* Stripes of a change that are kept in it; of more there is a map. */
#define KEYSPACE_STRIPES_INLINE 16u

/* The stripes that a change has, in rising order. */
struct keyspace_held {
    uint64_t *bits; /* one for each stripe; own, NULL: `stripes` */
    uint32_t stripes[KEYSPACE_STRIPES_INLINE];
    uint32_t count; /* of `stripes` */
    bool is_all;
};

/* Sixteen bytes as a number: the product of both halves, folded. */
static inline uint64_t keyspace_fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product =
        (unsigned __int128)(a ^ UINT64_C(0x9e3779b97f4a7c15)) * (b ^ UINT64_C(0xe7037ed1a0b428db));

    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/*
 * The stripe of a key. Most keys have 8 to 32 bytes: two or four words, which overlap where it has
 * fewer. Only memory depends on it: nothing that is kept.
 */
static inline uint32_t keyspace_stripe_of(const struct keyspace *keyspace,
                                          const struct keyspace_scope *scope,
                                          struct quarry_kv_slice key)
{
    uint64_t seed = ((uint64_t)scope->tenant << 8 | scope->database) << 32 ^ key.byte_count;
    const char *bytes = key.bytes;
    size_t last = key.byte_count - sizeof(uint64_t);
    uint64_t hash;

    if (Q_UNLIKELY(key.byte_count < 8 || key.byte_count > 32)) {
        hash = hash_xxh3_u64(bytes, key.byte_count, seed);
    } else if (key.byte_count <= 16) {
        hash = keyspace_fold(endian_load_le_u64(bytes) ^ seed, endian_load_le_u64(bytes + last));
    } else {
        hash = keyspace_fold(endian_load_le_u64(bytes), endian_load_le_u64(bytes + 8)) ^
               keyspace_fold(endian_load_le_u64(bytes + last - 8) ^ seed,
                             endian_load_le_u64(bytes + last));
    }
    return (uint32_t)(hash >> 32 ^ hash) & keyspace->stripe_mask;
}

/* Takes the stripes of keys. Errors: QUARRY_BUSY (KEYSPACE_NEVER_WAITS), QUARRY_NO_MEMORY. */
enum quarry_status keyspace_lock(struct keyspace *keyspace, const struct keyspace_keys *sets,
                                 size_t set_count, uint32_t flags, struct keyspace_held *ret_held);
void keyspace_unlock(struct keyspace *keyspace, struct keyspace_held *held);
bool keyspace_holds(const struct keyspace_held *held, uint32_t stripe);

/* ---- value.c, read.c ------------------------------------------------------------------------ */

/* Writes a value's head. Returns: its bytes. */
static inline size_t keyspace_put_head(char *to, uint64_t expires_ms)
{
    if (Q_LIKELY(expires_ms == 0)) {
        to[0] = KEYSPACE_TAG_STAYS;
        return 1;
    }
    to[0] = KEYSPACE_TAG_EXPIRES;
    endian_store_le_u64(to + 1, expires_ms);
    return KEYSPACE_HEAD_BYTES_MAX;
}
/*
 * Takes what the store has found apart: `value->held` is own, and released unless QUARRY_OK is
 * returned. `now_ms`: 0: the clock is asked where it matters. Errors: QUARRY_NOT_FOUND (expired),
 * QUARRY_CORRUPT.
 */
enum quarry_status keyspace_accept(struct keyspace *keyspace, uint64_t now_ms,
                                   struct keyspace_value *value, struct quarry_error *error);
/* Memory of keyspace_take as a value. `bytes`: given. */
struct keyspace_value keyspace_own_value(struct keyspace *keyspace, void *bytes, size_t byte_count);
static inline bool keyspace_is_expired(const struct keyspace_value *value, uint64_t now_ms)
{
    return value->expires_ms != 0 && value->expires_ms <= now_ms;
}
/* What a status is to figures. Returns: it. */
enum quarry_status keyspace_note_status(struct keyspace *keyspace, enum quarry_status status);

extern const struct quarry_kv_read_options keyspace_reads_cached;

static inline const struct quarry_kv_read_options *keyspace_reads(bool never_waits)
{
    return never_waits ? &keyspace_reads_cached : NULL;
}

/* ---- batches.c ------------------------------------------------------------------------------ */

/* An empty batch. Errors: QUARRY_NO_MEMORY, QUARRY_BUSY (never_waits). */
enum quarry_status keyspace_batch_take(struct keyspace *keyspace, bool is_indexed, bool never_waits,
                                       struct quarry_kv_batch **ret_batch);
/* `batch`: given, taken with as much of an index; NULL does nothing. */
void keyspace_batch_give(struct keyspace *keyspace, bool is_indexed, struct quarry_kv_batch *batch);
void keyspace_batches_end(struct keyspace *keyspace);

/* ---- change.c ------------------------------------------------------------------------------- */

enum keyspace_single {
    KEYSPACE_SINGLE_NONE,
    KEYSPACE_SINGLE_PUT,
    KEYSPACE_SINGLE_DELETE,
};
#define KEYSPACE_PIECES_INLINE 3u

/* What a change keeps in its words. */
struct keyspace_writes {
    struct keyspace_held held;
    struct quarry_kv_batch *batch; /* own; NULL: there is at most a single write */
    bool is_indexed;               /* the batch */
    /* the single write; what it points to is borrowed */
    enum keyspace_single single;
    struct keyspace_scope scope;
    uint32_t piece_count;
    struct quarry_kv_slice key;
    struct quarry_kv_slice pieces[KEYSPACE_PIECES_INLINE];
    uint64_t expires_ms;
};
Q_STATIC_ASSERT(sizeof(struct keyspace_writes) <= sizeof(((struct keyspace_change *)0)->words),
                "what a change keeps fits its words");

static inline struct keyspace_writes *keyspace_writes_of(struct keyspace_change *change)
{
    return (struct keyspace_writes *)(void *)change->words;
}
/* All that it has written stands in a batch with an index. Errors: QUARRY_NO_MEMORY,
 * QUARRY_TOO_LARGE. */
enum quarry_status keyspace_index_batch(struct keyspace_change *change);

/* ---- written.c ------------------------------------------------------------------------------ */

static inline _Atomic uint64_t *keyspace_counter(struct keyspace *keyspace,
                                                 const struct keyspace_scope *scope)
{
    return &keyspace->written[(scope->tenant * 31u + scope->database) % KEYSPACE_COUNTERS];
}
/* A key was written, of a stripe that is held; what a batch has. Counts, and tells watchers. */
void keyspace_written(struct keyspace *keyspace, const struct keyspace_scope *scope,
                      struct quarry_kv_slice key, uint32_t stripe);
void keyspace_written_batch(struct keyspace *keyspace, struct quarry_kv_batch *batch);

/* ---- watch.c -------------------------------------------------------------------------------- */

void keyspace_touch(struct keyspace *keyspace, const struct keyspace_scope *scope,
                    struct quarry_kv_slice key, uint32_t stripe);
/* Those that are there, in [begin, end) of keys with their prefixes. */
void keyspace_touch_range(struct keyspace *keyspace, struct quarry_kv_slice begin,
                          struct quarry_kv_slice end);

/* ---- walk.c --------------------------------------------------------------------------------- */

/* Where a walk is. */
struct keyspace_place {
    struct quarry_kv_slice key;
    struct keyspace_value value;
    bool is_expired;
};
/*
 * As keyspace_walk_next, but that it stops at what has expired too: for who bounds how far it goes.
 */
enum quarry_status keyspace_walk_step(struct keyspace_walk *walk, struct keyspace_place *ret_place,
                                      struct quarry_error *error);
/*
 * To the first key at or after one; to the last before one, bytes NULL: of all. Whatever has been
 * walked over before. Errors: as keyspace_walk_next.
 */
enum quarry_status keyspace_walk_seek(struct keyspace_walk *walk, struct quarry_kv_slice key,
                                      struct keyspace_place *ret_place, struct quarry_error *error);
enum quarry_status keyspace_walk_seek_before(struct keyspace_walk *walk, struct quarry_kv_slice key,
                                             struct keyspace_place *ret_place,
                                             struct quarry_error *error);

/* ---- cursor.c, scope.c ---------------------------------------------------------------------- */

void keyspace_cursors_begin(struct keyspace *keyspace);
void keyspace_cursors_end(struct keyspace *keyspace);
/* Reads the names of tenants. Errors: those of reading, QUARRY_CORRUPT, QUARRY_NO_MEMORY. */
enum quarry_status keyspace_tenants_load(struct keyspace *keyspace, struct quarry_error *error);
void keyspace_tenants_end(struct keyspace *keyspace);

#endif
