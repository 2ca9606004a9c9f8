/*
 * Watching: who wants to know whether a key is changed.
 *
 *     stripe's word │ watch_count     0: who writes the key looks no further
 *     lists by stripe ──> watched ──> watched …       a key of a watch each
 *                            │ of its watch: next ──> …
 *
 * A watch is dirty from the first change of one of its keys on. What it watches is keys, not
 * stripes: somebody else's key in the same stripe costs a comparison.
 *
 * A key that expires changes without a write, and a compaction may drop it before anybody looks.
 * So a key is read when it is watched, and its watch remembers until when it is there: a watch
 * whose key was there and has expired is dirty. One that had expired before is as if it was not
 * there. In that order, register and then read, a write between the two is told.
 *
 * Whole ranges are deleted with all keys locked: watched keys in it that are there were changed,
 * those that are not were not.
 *
 * Locking: watch_mutex, over a list; nothing is taken or allocated under it.
 * Cost: a write of a key that nobody watches: a load. Memory: 64 bytes a key, and the key.
 */
#include <keyspace/types.h>

/* Keys of a watch; a client with more has no use of it that one key would not serve better. */
#define KEYS_MAX 1024u

struct keyspace_watched {
    /* guarded by watch_mutex */
    struct keyspace_watched *next, **previous; /* of its list */
    bool is_there;                             /* or not known yet */
    uint64_t expires_ms;                       /* 0: it does not */
    /* its session's */
    struct keyspace_watched *next_of_watch;
    /* const after init */
    struct keyspace_watch *watch;
    uint32_t stripe;
    struct keyspace_scope scope;
    size_t key_bytes;
    char key[];
};

static struct quarry_kv_slice key_of(const struct keyspace_watched *watched)
{
    return (struct quarry_kv_slice){watched->key, watched->key_bytes};
}

static struct keyspace_watched **list_of(struct keyspace *keyspace, uint32_t stripe)
{
    return &keyspace->watched[stripe % KEYSPACE_WATCH_LISTS];
}

static bool is_of(const struct keyspace_watched *watched, const struct keyspace_scope *scope,
                  struct quarry_kv_slice key)
{
    return keyspace_is_same_scope(&watched->scope, scope) && keyspace_is_same(key_of(watched), key);
}

static void touch(struct keyspace_watched *watched)
{
    /* Release: pairs with the acquire in keyspace_watch_is_clean. */
    atomic_store_release_u32(&watched->watch->is_dirty, 1);
}

void keyspace_touch(struct keyspace *keyspace, const struct keyspace_scope *scope,
                    struct quarry_kv_slice key, uint32_t stripe)
{
    os_mutex_lock(&keyspace->watch_mutex);
    for (struct keyspace_watched *watched = *list_of(keyspace, stripe); watched != NULL;
         watched = watched->next) {
        if (is_of(watched, scope, key)) {
            touch(watched);
        }
    }
    os_mutex_unlock(&keyspace->watch_mutex);
}

/* Whether a watched key is in [begin, end), keys with their prefixes. */
static bool is_within(const struct keyspace_watched *watched, struct quarry_kv_slice begin,
                      struct quarry_kv_slice end)
{
    char prefix[KEYSPACE_PREFIX_BYTES];
    struct quarry_kv_slice bounds[2] = {begin, end};
    bool is_before[2];

    keyspace_put_prefix(prefix, &watched->scope);
    for (uint32_t i = 0; i < 2; i++) {
        const char *bytes = bounds[i].bytes;
        int order = memcmp(prefix, bytes, sizeof(prefix));
        struct quarry_kv_slice rest = {bytes + sizeof(prefix),
                                       bounds[i].byte_count - sizeof(prefix)};
        is_before[i] = order < 0 || (order == 0 && keyspace_is_before(key_of(watched), rest));
    }
    return !is_before[0] && is_before[1];
}

void keyspace_touch_range(struct keyspace *keyspace, struct quarry_kv_slice begin,
                          struct quarry_kv_slice end)
{
    /* Relaxed: as in keyspace_written. */
    if (atomic_load_relaxed_u32(&keyspace->watch_count) == 0) {
        return;
    }
    uint64_t now_ms = keyspace_now_ms(keyspace);
    os_mutex_lock(&keyspace->watch_mutex);
    for (uint32_t i = 0; i < KEYSPACE_WATCH_LISTS; i++) {
        for (struct keyspace_watched *watched = keyspace->watched[i]; watched != NULL;
             watched = watched->next) {
            bool has_expired = watched->expires_ms != 0 && watched->expires_ms <= now_ms;
            if (watched->is_there && !has_expired && is_within(watched, begin, end)) {
                touch(watched);
            }
        }
    }
    os_mutex_unlock(&keyspace->watch_mutex);
}

/* ---- a session's watch ---------------------------------------------------------------------- */

static struct keyspace_watched *create(struct keyspace *keyspace, struct keyspace_watch *watch,
                                       const struct keyspace_scope *scope,
                                       struct quarry_kv_slice key)
{
    size_t byte_count;

    if (!checked_add_size(sizeof(struct keyspace_watched), key.byte_count, &byte_count)) {
        return NULL;
    }
    struct keyspace_watched *watched = keyspace_take(keyspace, byte_count);
    if (watched == NULL) {
        return NULL;
    }
    *watched = (struct keyspace_watched){.is_there = true,
                                         .watch = watch,
                                         .stripe = keyspace_stripe_of(keyspace, scope, key),
                                         .scope = *scope,
                                         .key_bytes = key.byte_count};
    if (key.byte_count != 0) {
        memcpy(watched->key, key.bytes, key.byte_count);
    }
    return watched;
}

/* Returns: false: its watch has the key already. */
static bool enter(struct keyspace *keyspace, struct keyspace_watched *watched)
{
    struct keyspace_watched **list = list_of(keyspace, watched->stripe);
    bool is_new = true;

    os_mutex_lock(&keyspace->watch_mutex);
    for (struct keyspace_watched *other = *list; other != NULL && is_new; other = other->next) {
        is_new = other->watch != watched->watch || !is_of(other, &watched->scope, key_of(watched));
    }
    if (is_new) {
        watched->next = *list;
        watched->previous = list;
        if (*list != NULL) {
            (*list)->previous = &watched->next;
        }
        *list = watched;
    }
    os_mutex_unlock(&keyspace->watch_mutex);
    if (is_new) {
        /* Before the key is read: see written.c. */
        (void)atomic_add_seq_cst_u32(&keyspace->watch_count, 1);
        (void)atomic_add_seq_cst_u32(&keyspace->stripes[watched->stripe].watch_count, 1);
    }
    return is_new;
}

static void leave(struct keyspace *keyspace, struct keyspace_watched *watched)
{
    os_mutex_lock(&keyspace->watch_mutex);
    *watched->previous = watched->next;
    if (watched->next != NULL) {
        watched->next->previous = watched->previous;
    }
    os_mutex_unlock(&keyspace->watch_mutex);
    /* Relaxed: who still sees the count finds nothing in the list. */
    (void)atomic_sub_relaxed_u32(&keyspace->stripes[watched->stripe].watch_count, 1);
    (void)atomic_sub_relaxed_u32(&keyspace->watch_count, 1);
    keyspace_give(keyspace, watched);
}

/* What the key is when it begins to be watched. */
static enum quarry_status look(struct keyspace *keyspace, struct keyspace_watched *watched,
                               bool never_waits)
{
    struct keyspace_value value;
    enum quarry_status status =
        keyspace_read(keyspace, &watched->scope, key_of(watched), never_waits, &value, NULL);
    bool is_there = status == QUARRY_OK;

    if (status != QUARRY_OK && status != QUARRY_NOT_FOUND) {
        return status;
    }
    os_mutex_lock(&keyspace->watch_mutex);
    watched->is_there = is_there;
    watched->expires_ms = is_there ? value.expires_ms : 0;
    os_mutex_unlock(&keyspace->watch_mutex);
    if (is_there) {
        keyspace_value_release(&value);
    }
    return QUARRY_OK;
}

enum quarry_status keyspace_watch_add(struct keyspace *keyspace, struct keyspace_watch *watch,
                                      const struct keyspace_scope *scope,
                                      struct quarry_kv_slice key, bool never_waits)
{
    if (watch->key_count >= KEYS_MAX) {
        return QUARRY_TOO_MANY;
    }
    if (watch->key_count == 0) {
        atomic_store_relaxed_u32(&watch->is_dirty, 0); /* nobody knows it yet */
    }
    struct keyspace_watched *watched = create(keyspace, watch, scope, key);
    if (watched == NULL) {
        return QUARRY_NO_MEMORY;
    }
    if (!enter(keyspace, watched)) {
        keyspace_give(keyspace, watched);
        return QUARRY_OK;
    }
    enum quarry_status status = look(keyspace, watched, never_waits);
    if (status != QUARRY_OK) {
        leave(keyspace, watched);
        return status;
    }
    watched->next_of_watch = watch->first;
    watch->first = watched;
    watch->key_count++;
    return QUARRY_OK;
}

bool keyspace_watch_is_clean(struct keyspace *keyspace, struct keyspace_watch *watch)
{
    /* Acquire: pairs with the release in touch. */
    if (watch->key_count == 0 || atomic_load_acquire_u32(&watch->is_dirty) != 0) {
        return watch->key_count == 0;
    }
    uint64_t now_ms = keyspace_now_ms(keyspace);
    for (const struct keyspace_watched *watched = watch->first; watched != NULL;
         watched = watched->next_of_watch) {
        if (watched->expires_ms != 0 && watched->expires_ms <= now_ms) {
            atomic_store_release_u32(&watch->is_dirty, 1);
            return false;
        }
    }
    return true;
}

size_t keyspace_watch_keys(const struct keyspace_watch *watch, struct keyspace_scope *scopes,
                           struct quarry_kv_slice *keys, size_t count)
{
    size_t written = 0;

    for (const struct keyspace_watched *watched = watch->first; watched != NULL && written < count;
         watched = watched->next_of_watch) {
        scopes[written] = watched->scope;
        keys[written++] = key_of(watched);
    }
    return written;
}

void keyspace_watch_clear(struct keyspace *keyspace, struct keyspace_watch *watch)
{
    struct keyspace_watched *watched = watch->first;

    while (watched != NULL) {
        struct keyspace_watched *next = watched->next_of_watch;
        leave(keyspace, watched);
        watched = next;
    }
    watch->first = NULL;
    watch->key_count = 0;
    atomic_store_relaxed_u32(&watch->is_dirty, 0); /* nobody else knows it any more */
}
