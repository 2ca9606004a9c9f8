/*
 * A cache as plain as can be. What each call does is said in quarry/cache.h; here is nothing but
 * that.
 *
 * Items that are gone stay in a list of the dead until nobody is between enter and leave and nobody
 * has pinned them, and are overwritten then: whoever looks too late sees nonsense.
 */
#include "unit/serve/reference_cache.h"

#include <base/base.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TENANTS_MAX 8

struct item {
    struct item *next;
    struct quarry_cache_tenant *tenant;
    uint64_t ref;
    uint64_t cas;
    uint64_t value_bytes;
    uint64_t pin_count;
    uint32_t client_flags;
    uint32_t expiry;
    uint32_t last_access;
    uint32_t key_bytes;
    bool was_hit;
    bool is_stale;
    bool is_token_given;
    uint8_t key[QUARRY_CACHE_KEY_BYTES_MAX];
    char *value;
};

struct quarry_cache_tenant {
    struct quarry_cache *cache;
    bool is_used;
    char name[32];
    struct item *items;
    uint64_t flush_cas;  /* what has no higher cas is gone */
    uint32_t flush_when; /* and from this time on, what was stored before; 0: no such time */
    struct quarry_cache_prefix *prefixes; /* QUARRY_CACHE_PREFIXES_MAX; NULL: none yet */
    size_t prefix_count;
    struct quarry_cache_hot_key hot_keys[3][QUARRY_CACHE_HOT_KEYS_MAX];
    struct quarry_cache_tenant_stats stats;
};

struct quarry_cache {
    struct quarry_cache_tenant tenants[TENANTS_MAX];
    struct item *dead;
    uint64_t last_cas;
    uint64_t last_ref;
    uint64_t value_bytes_max;
    uint64_t size_bytes;
    uint64_t fail_skip, fail_count;
    uint64_t pin_count, write_count;
    size_t piece_bytes;
    uint32_t now;
    uint32_t depth;
    bool refuses_pins;
};

/* ---- the cache ------------------------------------------------------------------------------ */

static struct quarry_cache_tenant *add_tenant(struct quarry_cache *cache, const char *name)
{
    for (size_t i = 0; i < TENANTS_MAX; i++) {
        struct quarry_cache_tenant *tenant = &cache->tenants[i];

        if (!tenant->is_used) {
            memset(tenant, 0, sizeof *tenant);
            tenant->cache = cache;
            tenant->is_used = true;
            snprintf(tenant->name, sizeof tenant->name, "%s", name);
            return tenant;
        }
    }
    return NULL;
}

struct quarry_cache *reference_cache_create(uint64_t value_bytes_max)
{
    struct quarry_cache *cache = calloc(1, sizeof *cache);

    Q_ASSERT(cache != NULL);
    cache->value_bytes_max =
        value_bytes_max == 0 ? QUARRY_CACHE_VALUE_BYTES_DEFAULT : value_bytes_max;
    cache->size_bytes = Q_MIB(64);
    cache->now = REFERENCE_START_SECONDS;
    add_tenant(cache, "default");
    return cache;
}

void reference_cache_fail(struct quarry_cache *cache, uint64_t skip, uint64_t count)
{
    cache->fail_skip = skip;
    cache->fail_count = count;
}

void reference_cache_set_piece_bytes(struct quarry_cache *cache, size_t piece_bytes)
{
    cache->piece_bytes = piece_bytes;
}

uint64_t reference_cache_pins(const struct quarry_cache *cache)
{
    return cache->pin_count;
}

uint64_t reference_cache_writes(const struct quarry_cache *cache)
{
    return cache->write_count;
}

void reference_cache_refuse_pins(struct quarry_cache *cache, bool refuses)
{
    cache->refuses_pins = refuses;
}

/* Whether memory can be had. */
static bool has_memory(struct quarry_cache *cache)
{
    if (cache->fail_skip > 0) {
        cache->fail_skip--;
        return true;
    }
    if (cache->fail_count > 0) {
        cache->fail_count--;
        return false;
    }
    return true;
}

static void free_item(struct item *item)
{
    memset(item->value, 0xdd, item->value_bytes);
    free(item->value);
    memset(item, 0xdd, sizeof *item);
    free(item);
}

/* Frees the dead that nobody can look at any more. */
static void bury(struct quarry_cache *cache)
{
    struct item **link = &cache->dead;

    while (cache->depth == 0 && *link != NULL) {
        struct item *item = *link;

        if (item->pin_count > 0) {
            link = &item->next;
        } else {
            *link = item->next;
            free_item(item);
        }
    }
}

void quarry_cache_close(struct quarry_cache *cache)
{
    if (cache == NULL) {
        return;
    }
    Q_ASSERT(cache->depth == 0 && cache->pin_count == 0 && cache->write_count == 0);
    for (size_t i = 0; i < TENANTS_MAX; i++) {
        free(cache->tenants[i].prefixes);
        while (cache->tenants[i].items != NULL) {
            struct item *item = cache->tenants[i].items;

            cache->tenants[i].items = item->next;
            free_item(item);
        }
    }
    bury(cache);
    free(cache);
}

void quarry_cache_enter(struct quarry_cache *cache)
{
    cache->depth++;
}

void quarry_cache_leave(struct quarry_cache *cache)
{
    Q_ASSERT(cache->depth > 0);
    cache->depth--;
    bury(cache);
}

uint32_t quarry_cache_now(const struct quarry_cache *cache)
{
    return cache->now;
}

void quarry_cache_shift_clock(struct quarry_cache *cache, int64_t seconds)
{
    cache->now = (uint32_t)((int64_t)cache->now + seconds);
}

enum quarry_status quarry_cache_set_size(struct quarry_cache *cache, uint64_t size_bytes)
{
    cache->size_bytes = size_bytes;
    return QUARRY_OK;
}

enum quarry_status quarry_cache_set_value_bytes_max(struct quarry_cache *cache,
                                                    uint64_t value_bytes_max)
{
    cache->value_bytes_max = value_bytes_max;
    return QUARRY_OK;
}

bool quarry_cache_turn(struct quarry_cache *cache)
{
    (void)cache;
    return false;
}

/* ---- tenants -------------------------------------------------------------------------------- */

struct quarry_cache_tenant *quarry_cache_default_tenant(struct quarry_cache *cache)
{
    return &cache->tenants[0];
}

struct quarry_cache_tenant *quarry_cache_find_tenant(struct quarry_cache *cache, const char *name)
{
    for (size_t i = 0; i < TENANTS_MAX; i++) {
        if (cache->tenants[i].is_used && strcmp(cache->tenants[i].name, name) == 0) {
            return &cache->tenants[i];
        }
    }
    return NULL;
}

enum quarry_status quarry_cache_add_tenant(struct quarry_cache *cache,
                                           const struct quarry_cache_tenant_options *options,
                                           struct quarry_cache_tenant **ret_tenant,
                                           struct quarry_error *error)
{
    if (quarry_cache_find_tenant(cache, options->name) != NULL) {
        return error_set(error, QUARRY_EXISTS, "tenant %s", options->name);
    }
    struct quarry_cache_tenant *tenant = add_tenant(cache, options->name);

    if (tenant == NULL) {
        return error_set(error, QUARRY_TOO_MANY, "tenants");
    }
    *ret_tenant = tenant;
    return QUARRY_OK;
}

struct quarry_cache_tenant *quarry_cache_next_tenant(struct quarry_cache *cache,
                                                     const struct quarry_cache_tenant *tenant)
{
    for (size_t i = tenant == NULL ? 0 : (size_t)(tenant - cache->tenants) + 1; i < TENANTS_MAX;
         i++) {
        if (cache->tenants[i].is_used) {
            return &cache->tenants[i];
        }
    }
    return NULL;
}

const char *quarry_cache_tenant_name(const struct quarry_cache_tenant *tenant)
{
    return tenant->name;
}

struct quarry_cache *quarry_cache_of(const struct quarry_cache_tenant *tenant)
{
    return tenant->cache;
}

void quarry_cache_flush(struct quarry_cache_tenant *tenant, uint32_t when)
{
    if (when <= tenant->cache->now) {
        tenant->flush_cas = tenant->cache->last_cas;
        tenant->flush_when = 0;
    } else {
        tenant->flush_when = when;
    }
}

struct quarry_cache_key quarry_cache_key_make(const struct quarry_cache_tenant *tenant,
                                              const void *bytes, size_t byte_count)
{
    Q_ASSERT(tenant != NULL);
    Q_ASSERT(byte_count > 0 && byte_count <= QUARRY_CACHE_KEY_BYTES_MAX);
    return (struct quarry_cache_key){bytes, (uint32_t)byte_count, 0};
}

void quarry_cache_prefetch(const struct quarry_cache_tenant *tenant,
                           const struct quarry_cache_key *key)
{
    (void)tenant;
    (void)key;
}

void quarry_cache_prefetch_item(const struct quarry_cache_tenant *tenant,
                                const struct quarry_cache_key *key)
{
    (void)tenant;
    (void)key;
}

/* ---- items ---------------------------------------------------------------------------------- */

static void apply_flush(struct quarry_cache_tenant *tenant)
{
    if (tenant->flush_when != 0 && tenant->flush_when <= tenant->cache->now) {
        tenant->flush_cas = tenant->cache->last_cas;
        tenant->flush_when = 0;
    }
}

static bool is_gone(const struct item *item)
{
    const struct quarry_cache_tenant *tenant = item->tenant;

    return (item->expiry != 0 && item->expiry <= tenant->cache->now) ||
           item->cas <= tenant->flush_cas;
}

static void kill_item(struct item **link)
{
    struct item *item = *link;
    struct quarry_cache *cache = item->tenant->cache;

    *link = item->next;
    item->next = cache->dead;
    cache->dead = item;
    item->tenant->stats.item_count--;
    item->tenant->stats.item_bytes -= item->value_bytes + item->key_bytes + 48;
    bury(cache);
}

/* Where the item of a key is linked from; NULL: there is none. */
static struct item **find(struct quarry_cache_tenant *tenant, const struct quarry_cache_key *key)
{
    apply_flush(tenant);
    for (struct item **link = &tenant->items; *link != NULL; link = &(*link)->next) {
        struct item *item = *link;

        if (item->key_bytes != key->byte_count ||
            memcmp(item->key, key->bytes, key->byte_count) != 0) {
            continue;
        }
        if (is_gone(item)) {
            tenant->stats.get_flushed += item->cas <= tenant->flush_cas ? 1 : 0;
            kill_item(link);
            return NULL;
        }
        return link;
    }
    return NULL;
}

static uint64_t next_cas(struct quarry_cache *cache, uint64_t wanted)
{
    if (wanted > cache->last_cas) {
        cache->last_cas = wanted;
        return wanted;
    }
    return wanted != 0 ? wanted : ++cache->last_cas;
}

/* An item that is not yet found, with room for its value; NULL: no memory. */
static struct item *make_item(struct quarry_cache_tenant *tenant,
                              const struct quarry_cache_key *key, uint64_t value_bytes)
{
    if (!has_memory(tenant->cache)) {
        return NULL;
    }
    struct item *item = calloc(1, sizeof *item);

    Q_ASSERT(item != NULL);
    item->tenant = tenant;
    item->ref = ++tenant->cache->last_ref;
    item->value_bytes = value_bytes;
    item->value = malloc(value_bytes + 1);
    Q_ASSERT(item->value != NULL);
    item->key_bytes = key->byte_count;
    memcpy(item->key, key->bytes, key->byte_count);
    item->last_access = tenant->cache->now;
    return item;
}

static void publish(struct item *item, uint64_t cas)
{
    struct quarry_cache_tenant *tenant = item->tenant;

    item->cas = next_cas(tenant->cache, cas);
    item->next = tenant->items;
    tenant->items = item;
    tenant->stats.item_count++;
    tenant->stats.total_items++;
    tenant->stats.item_bytes += item->value_bytes + item->key_bytes + 48;
}

/* ---- reading -------------------------------------------------------------------------------- */

static struct quarry_cache_hit hit_of(const struct item *item)
{
    const struct quarry_cache *cache = item->tenant->cache;
    size_t first = (size_t)item->value_bytes;

    if (cache->piece_bytes != 0 && first > cache->piece_bytes) {
        first = cache->piece_bytes;
    }
    return (struct quarry_cache_hit){
        .piece = {item->value, first},
        .value_bytes = item->value_bytes,
        .cas = item->cas,
        .client_flags = item->client_flags,
        .expiry = item->expiry,
        .idle_seconds = cache->now - item->last_access,
        .was_hit = item->was_hit,
        .is_stale = item->is_stale,
        .is_token_given = item->is_token_given,
        .class_id = 1,
        .item_bytes = item->value_bytes + item->key_bytes + 48,
        .key = item->key,
        .key_bytes = item->key_bytes,
        .ref = item->ref,
    };
}

static enum quarry_cache_outcome vivify(struct quarry_cache_tenant *tenant,
                                        const struct quarry_cache_key *key,
                                        const struct quarry_cache_get_options *options,
                                        struct quarry_cache_hit *ret_hit)
{
    struct item *item = make_item(tenant, key, 0);

    if (item == NULL) {
        return QUARRY_CACHE_NO_MEMORY;
    }
    item->expiry = options->touches ? options->expiry : options->vivify_expiry;
    publish(item, options->vivify_cas);
    *ret_hit = hit_of(item);
    ret_hit->is_new = true;
    ret_hit->has_won = true;
    item->is_token_given = true;
    item->was_hit = !options->leaves_no_trace;
    return QUARRY_CACHE_HIT;
}

/* Whether who asks now shall renew the item. */
static bool wins(const struct item *item, const struct quarry_cache_get_options *options)
{
    uint32_t now = item->tenant->cache->now;

    if (item->is_token_given) {
        return false;
    }
    return item->is_stale || (options->recaches && item->expiry != 0 &&
                              item->expiry - now < options->recache_seconds);
}

static void count_get(struct quarry_cache_tenant *tenant,
                      const struct quarry_cache_get_options *options, bool is_hit)
{
    uint64_t *hits = options->touches ? &tenant->stats.touch_hits : &tenant->stats.get_hits;
    uint64_t *misses = options->touches ? &tenant->stats.touch_misses : &tenant->stats.get_misses;

    *(is_hit ? hits : misses) += 1;
}

enum quarry_cache_outcome quarry_cache_get(struct quarry_cache_tenant *tenant,
                                           const struct quarry_cache_key *key,
                                           const struct quarry_cache_get_options *options,
                                           struct quarry_cache_hit *ret_hit)
{
    static const struct quarry_cache_get_options plain;
    struct item **link = find(tenant, key);

    Q_ASSERT(tenant->cache->depth > 0);
    options = options == NULL ? &plain : options;
    count_get(tenant, options, link != NULL);
    if (link == NULL) {
        return options->vivifies ? vivify(tenant, key, options, ret_hit) : QUARRY_CACHE_MISS;
    }
    struct item *item = *link;

    if (options->has_cas && options->cas != item->cas) {
        return QUARRY_CACHE_EXISTS;
    }
    if (options->touches) {
        item->expiry = options->expiry;
    }
    *ret_hit = hit_of(item);
    if (wins(item, options)) {
        ret_hit->has_won = true;
        item->is_token_given = true;
    }
    if (!options->leaves_no_trace) {
        item->was_hit = true;
        item->last_access = tenant->cache->now;
    }
    return QUARRY_CACHE_HIT;
}

/* What the call does not promise to write is written with what nobody expects. */
enum quarry_cache_outcome quarry_cache_get_value(struct quarry_cache_tenant *tenant,
                                                 const struct quarry_cache_key *key,
                                                 struct quarry_cache_hit *ret_hit)
{
    struct quarry_cache_hit whole;
    enum quarry_cache_outcome outcome = quarry_cache_get(tenant, key, NULL, &whole);

    if (outcome == QUARRY_CACHE_HIT) {
        tenant->stats.get_hits--;
        memset(ret_hit, 0xa5, sizeof(*ret_hit));
        ret_hit->piece = whole.piece;
        ret_hit->value_bytes = whole.value_bytes;
        ret_hit->client_flags = whole.client_flags;
        ret_hit->key = whole.key;
        ret_hit->key_bytes = whole.key_bytes;
        ret_hit->ref = whole.ref;
    }
    return outcome;
}

void quarry_cache_count_hits(struct quarry_cache_tenant *tenant, uint32_t count)
{
    tenant->stats.get_hits += count;
}

size_t quarry_cache_pieces(const struct quarry_cache *cache, const struct quarry_cache_hit *hit,
                           uint64_t offset, struct quarry_cache_piece *pieces,
                           size_t piece_capacity)
{
    const char *value = hit->piece.bytes;
    uint64_t step = cache->piece_bytes != 0 ? cache->piece_bytes : hit->value_bytes;
    size_t count = 0;

    while (offset < hit->value_bytes && count < piece_capacity) {
        uint64_t end = (offset / step + 1) * step;

        end = end < hit->value_bytes ? end : hit->value_bytes;
        pieces[count++] = (struct quarry_cache_piece){value + offset, (size_t)(end - offset)};
        offset = end;
    }
    return count;
}

static struct item *find_ref(struct quarry_cache *cache, uint64_t ref)
{
    for (struct item *item = cache->dead; item != NULL; item = item->next) {
        if (item->ref == ref) {
            return item;
        }
    }
    for (size_t i = 0; i < TENANTS_MAX; i++) {
        for (struct item *item = cache->tenants[i].items; item != NULL; item = item->next) {
            if (item->ref == ref) {
                return item;
            }
        }
    }
    return NULL;
}

bool quarry_cache_pin(struct quarry_cache_tenant *tenant, const struct quarry_cache_hit *hit)
{
    struct item *item = find_ref(tenant->cache, hit->ref);

    Q_ASSERT(tenant->cache->depth > 0);
    if (item == NULL || tenant->cache->refuses_pins) {
        return false;
    }
    item->pin_count++;
    tenant->cache->pin_count++;
    return true;
}

void quarry_cache_unpin(struct quarry_cache_tenant *tenant, uint64_t ref)
{
    struct item *item = find_ref(tenant->cache, ref);

    Q_ASSERT(item != NULL && item->pin_count > 0);
    item->pin_count--;
    tenant->cache->pin_count--;
    bury(tenant->cache);
}

/* ---- writing -------------------------------------------------------------------------------- */

static struct item *item_of(const struct quarry_cache_write *write)
{
    struct item *item;
    uintptr_t address = (uintptr_t)write->last_ref;

    memcpy(&item, &address, sizeof item);
    return item;
}

enum quarry_cache_outcome quarry_cache_write_begin(struct quarry_cache_tenant *tenant,
                                                   const struct quarry_cache_key *key,
                                                   uint64_t value_bytes,
                                                   const struct quarry_cache_store_options *options,
                                                   struct quarry_cache_write *ret_write)
{
    (void)options;
    if (value_bytes > tenant->cache->value_bytes_max) {
        tenant->stats.store_too_large++;
        return QUARRY_CACHE_TOO_LARGE;
    }
    struct item *item = make_item(tenant, key, value_bytes);

    if (item == NULL) {
        tenant->stats.store_no_memory++;
        return QUARRY_CACHE_NO_MEMORY;
    }
    tenant->cache->write_count++;
    *ret_write = (struct quarry_cache_write){.tenant = tenant,
                                             .ref = item->ref,
                                             .value_bytes = value_bytes,
                                             .room = item->value,
                                             .room_bytes = value_bytes,
                                             .last_ref = (uintptr_t)item};
    return QUARRY_CACHE_HIT;
}

char *quarry_cache_write_room(struct quarry_cache_write *write, size_t *ret_bytes)
{
    struct quarry_cache *cache = write->tenant->cache;
    uint64_t left = write->value_bytes - write->filled_bytes;
    uint64_t step = cache->piece_bytes != 0 ? cache->piece_bytes : write->value_bytes;

    *ret_bytes = 0;
    if (left == 0) {
        return NULL;
    }
    if (write->filled_bytes > 0 && write->filled_bytes % step == 0 && !has_memory(cache)) {
        *ret_bytes = 1;
        return NULL;
    }
    uint64_t room = step - write->filled_bytes % step;

    *ret_bytes = (size_t)(room < left ? room : left);
    return item_of(write)->value + write->filled_bytes;
}

void quarry_cache_write_filled(struct quarry_cache_write *write, size_t bytes)
{
    Q_ASSERT(bytes <= write->value_bytes - write->filled_bytes);
    write->filled_bytes += bytes;
}

void quarry_cache_write_abort(struct quarry_cache_write *write)
{
    write->tenant->cache->write_count--;
    free_item(item_of(write));
}

/* The value of `first` and then that of `second`, with the properties of `old`; NULL: no memory. */
static struct item *join(const struct item *old, const struct item *first,
                         const struct item *second)
{
    const struct quarry_cache_key key = {old->key, old->key_bytes, 0};
    struct item *item = make_item(old->tenant, &key, first->value_bytes + second->value_bytes);

    if (item != NULL) {
        memcpy(item->value, first->value, first->value_bytes);
        memcpy(item->value + first->value_bytes, second->value, second->value_bytes);
        item->client_flags = old->client_flags;
        item->expiry = old->expiry;
    }
    return item;
}

static enum quarry_cache_outcome replace(struct item **link, struct item *item,
                                         const struct quarry_cache_store_options *options,
                                         struct quarry_cache_stored *stored)
{
    struct quarry_cache_tenant *tenant = item->tenant;

    if (link != NULL) {
        kill_item(link);
    }
    publish(item, options->new_cas);
    tenant->stats.set_count++;
    stored->cas = item->cas;
    stored->value_bytes = item->value_bytes;
    return QUARRY_CACHE_HIT;
}

/* Whether a write's cas lets it pass. Marks the item stale where the cas is older and may be. */
static enum quarry_cache_outcome check_cas(const struct item *old, struct item *item,
                                           const struct quarry_cache_store_options *options)
{
    struct quarry_cache_tenant_stats *stats = &item->tenant->stats;

    if (!options->has_cas || options->mode == QUARRY_CACHE_ADD) {
        return QUARRY_CACHE_HIT;
    }
    if (old == NULL) {
        stats->cas_misses++;
        return QUARRY_CACHE_MISS;
    }
    if (options->cas == old->cas) {
        stats->cas_hits++;
        return QUARRY_CACHE_HIT;
    }
    if (options->invalidates && options->cas < old->cas) {
        item->is_stale = true;
        item->expiry = old->expiry;
        item->is_token_given = old->is_token_given;
        return QUARRY_CACHE_HIT;
    }
    stats->cas_badval++;
    return QUARRY_CACHE_EXISTS;
}

/* Makes the item that an append or a prepend leaves. `*item` is freed, or is the new one. */
static enum quarry_cache_outcome extend(struct item *old, struct item **item,
                                        const struct quarry_cache_store_options *options)
{
    struct quarry_cache *cache = old->tenant->cache;
    bool is_append = options->mode == QUARRY_CACHE_APPEND;

    if (old->value_bytes + (*item)->value_bytes > cache->value_bytes_max) {
        return QUARRY_CACHE_TOO_LARGE;
    }
    struct item *joined = join(old, is_append ? old : *item, is_append ? *item : old);

    if (joined == NULL) {
        return QUARRY_CACHE_NO_MEMORY;
    }
    free_item(*item);
    *item = joined;
    return QUARRY_CACHE_HIT;
}

static enum quarry_cache_outcome commit(struct item **item,
                                        const struct quarry_cache_store_options *options,
                                        struct quarry_cache_stored *stored)
{
    const struct quarry_cache_key key = {(*item)->key, (*item)->key_bytes, 0};
    struct item **link = find((*item)->tenant, &key);
    struct item *old = link == NULL ? NULL : *link;
    bool extends = options->mode >= QUARRY_CACHE_APPEND;

    if (options->mode == QUARRY_CACHE_ADD && old != NULL) {
        old->was_hit = true;
        old->last_access = old->tenant->cache->now;
        return QUARRY_CACHE_NOT_STORED;
    }
    if (old == NULL && extends && options->vivifies) {
        (*item)->expiry = options->vivify_expiry;
        return replace(NULL, *item, options, stored);
    }
    if (old == NULL && !options->has_cas && (extends || options->mode == QUARRY_CACHE_REPLACE)) {
        return QUARRY_CACHE_NOT_STORED;
    }
    enum quarry_cache_outcome outcome = check_cas(old, *item, options);

    if (outcome == QUARRY_CACHE_HIT && extends) {
        outcome = extend(old, item, options);
    }
    return outcome == QUARRY_CACHE_HIT ? replace(link, *item, options, stored) : outcome;
}

enum quarry_cache_outcome
quarry_cache_write_commit(struct quarry_cache_write *write,
                          const struct quarry_cache_store_options *options,
                          struct quarry_cache_stored *ret_stored)
{
    struct item *item = item_of(write);
    struct quarry_cache_stored stored = {0};

    Q_ASSERT(write->filled_bytes == write->value_bytes);
    write->tenant->cache->write_count--;
    item->client_flags = options->client_flags;
    item->expiry = options->expiry;
    item->last_access = write->tenant->cache->now;
    enum quarry_cache_outcome outcome = commit(&item, options, &stored);

    if (outcome != QUARRY_CACHE_HIT) {
        free_item(item);
    } else if (ret_stored != NULL) {
        *ret_stored = stored;
    }
    return outcome;
}

enum quarry_cache_outcome quarry_cache_store(struct quarry_cache_tenant *tenant,
                                             const struct quarry_cache_key *key, const void *value,
                                             uint64_t value_bytes,
                                             const struct quarry_cache_store_options *options,
                                             struct quarry_cache_stored *ret_stored)
{
    struct quarry_cache_write write;
    enum quarry_cache_outcome outcome =
        quarry_cache_write_begin(tenant, key, value_bytes, options, &write);

    if (outcome != QUARRY_CACHE_HIT) {
        return outcome;
    }
    while (write.filled_bytes < value_bytes) {
        size_t room_bytes;
        char *room = quarry_cache_write_room(&write, &room_bytes);

        if (room == NULL) {
            quarry_cache_write_abort(&write);
            return QUARRY_CACHE_NO_MEMORY;
        }
        memcpy(room, (const char *)value + write.filled_bytes, room_bytes);
        quarry_cache_write_filled(&write, room_bytes);
    }
    return quarry_cache_write_commit(&write, options, ret_stored);
}

/* ---- changing ------------------------------------------------------------------------------- */

enum quarry_cache_outcome quarry_cache_delete(struct quarry_cache_tenant *tenant,
                                              const struct quarry_cache_key *key,
                                              const struct quarry_cache_delete_options *options)
{
    static const struct quarry_cache_delete_options plain;
    struct item **link = find(tenant, key);

    options = options == NULL ? &plain : options;
    if (link == NULL) {
        tenant->stats.delete_misses++;
        return QUARRY_CACHE_MISS;
    }
    struct item *item = *link;

    if (options->has_cas && options->cas != item->cas) {
        tenant->stats.delete_misses++;
        return QUARRY_CACHE_EXISTS;
    }
    if (!options->invalidates && !options->drops_value) {
        tenant->stats.delete_hits++;
        kill_item(link);
        return QUARRY_CACHE_HIT;
    }
    struct item *kept = make_item(tenant, key, options->drops_value ? 0 : item->value_bytes);

    if (kept == NULL) {
        return QUARRY_CACHE_NO_MEMORY;
    }
    memcpy(kept->value, item->value, kept->value_bytes);
    kept->client_flags = options->drops_value ? 0 : item->client_flags;
    kept->expiry = options->sets_expiry ? options->expiry : item->expiry;
    kept->is_stale = item->is_stale || options->invalidates;
    kept->is_token_given = item->is_token_given && !options->invalidates;
    kept->was_hit = item->was_hit;
    kept->last_access = item->last_access;
    kill_item(link);
    publish(kept, options->new_cas);
    return QUARRY_CACHE_HIT;
}

enum quarry_cache_outcome quarry_cache_touch(struct quarry_cache_tenant *tenant,
                                             const struct quarry_cache_key *key, uint32_t expiry)
{
    struct item **link = find(tenant, key);

    if (link == NULL) {
        tenant->stats.touch_misses++;
        return QUARRY_CACHE_MISS;
    }
    tenant->stats.touch_hits++;
    (*link)->expiry = expiry;
    (*link)->was_hit = true;
    (*link)->last_access = tenant->cache->now;
    return QUARRY_CACHE_HIT;
}

/* A value as a number: up to 20 digits, spaces behind them. */
static bool read_number(const struct item *item, uint64_t *ret_number)
{
    uint64_t number = 0;
    uint64_t at = 0;

    for (; at < item->value_bytes && item->value[at] >= '0' && item->value[at] <= '9'; at++) {
        if (!checked_mul_u64(number, 10, &number) ||
            !checked_add_u64(number, (uint64_t)(item->value[at] - '0'), &number)) {
            return false;
        }
    }
    bool has_digits = at > 0 && at <= 20;

    while (at < item->value_bytes && item->value[at] == ' ') {
        at++;
    }
    *ret_number = number;
    return has_digits && at == item->value_bytes;
}

/* Writes a number as a value of at least `bytes_min` bytes. */
static struct item *make_number(struct quarry_cache_tenant *tenant,
                                const struct quarry_cache_key *key, uint64_t number,
                                uint64_t bytes_min)
{
    char digits[24];
    uint64_t length = (uint64_t)snprintf(digits, sizeof digits, "%llu", (unsigned long long)number);
    struct item *item = make_item(tenant, key, length > bytes_min ? length : bytes_min);

    if (item != NULL) {
        memset(item->value, ' ', item->value_bytes);
        memcpy(item->value, digits, length);
    }
    return item;
}

static enum quarry_cache_outcome count_new(struct quarry_cache_tenant *tenant,
                                           const struct quarry_cache_key *key,
                                           const struct quarry_cache_count_options *options,
                                           struct quarry_cache_counted *ret_counted)
{
    if (!options->vivifies) {
        *(options->decrements ? &tenant->stats.decr_misses : &tenant->stats.incr_misses) += 1;
        return QUARRY_CACHE_MISS;
    }
    struct item *item = make_number(tenant, key, options->initial, 0);

    if (item == NULL) {
        return QUARRY_CACHE_NO_MEMORY;
    }
    item->expiry = options->sets_expiry ? options->expiry : options->vivify_expiry;
    publish(item, options->new_cas);
    *ret_counted = (struct quarry_cache_counted){options->initial, item->cas, item->expiry, true};
    return QUARRY_CACHE_HIT;
}

enum quarry_cache_outcome quarry_cache_count(struct quarry_cache_tenant *tenant,
                                             const struct quarry_cache_key *key,
                                             const struct quarry_cache_count_options *options,
                                             struct quarry_cache_counted *ret_counted)
{
    Q_ASSERT(tenant->cache->depth == 0); /* it may have to wait for memory */
    struct item **link = find(tenant, key);
    uint64_t number;

    if (link == NULL) {
        return count_new(tenant, key, options, ret_counted);
    }
    struct item *old = *link;

    if (options->has_cas && options->cas != old->cas) {
        return QUARRY_CACHE_EXISTS;
    }
    if (!read_number(old, &number)) {
        return QUARRY_CACHE_NOT_NUMBER;
    }
    *(options->decrements ? &tenant->stats.decr_hits : &tenant->stats.incr_hits) += 1;
    number = options->decrements ? sat_sub_u64(number, options->delta) : number + options->delta;
    struct item *item = make_number(tenant, key, number, old->value_bytes);

    if (item == NULL) {
        return QUARRY_CACHE_NO_MEMORY;
    }
    item->client_flags = old->client_flags;
    item->expiry = options->sets_expiry ? options->expiry : old->expiry;
    item->was_hit = old->was_hit;
    kill_item(link);
    publish(item, options->new_cas);
    *ret_counted = (struct quarry_cache_counted){number, item->cas, item->expiry, false};
    return QUARRY_CACHE_HIT;
}

/* ---- looking -------------------------------------------------------------------------------- */

size_t quarry_cache_next(struct quarry_cache_tenant *tenant, uint64_t *cursor,
                         struct quarry_cache_hit *hits, size_t capacity)
{
    size_t count = 0;

    Q_ASSERT(tenant->cache->depth > 0);
    apply_flush(tenant);
    while (count < capacity) {
        const struct item *next = NULL;

        for (const struct item *item = tenant->items; item != NULL; item = item->next) {
            if (item->ref > *cursor && !is_gone(item) && (next == NULL || item->ref < next->ref)) {
                next = item;
            }
        }
        if (next == NULL) {
            break;
        }
        hits[count++] = hit_of(next);
        *cursor = next->ref;
    }
    return count;
}

void quarry_cache_read_tenant(const struct quarry_cache_tenant *tenant,
                              struct quarry_cache_tenant_stats *ret_stats)
{
    *ret_stats = tenant->stats;
}

void quarry_cache_reset_tenant(struct quarry_cache_tenant *tenant)
{
    uint64_t item_count = tenant->stats.item_count;
    uint64_t item_bytes = tenant->stats.item_bytes;

    tenant->stats =
        (struct quarry_cache_tenant_stats){.item_count = item_count, .item_bytes = item_bytes};
}

void quarry_cache_read_stats(struct quarry_cache *cache, struct quarry_cache_stats *ret_stats)
{
    *ret_stats = (struct quarry_cache_stats){.size_bytes = cache->size_bytes,
                                             .value_bytes_max = cache->value_bytes_max,
                                             .tenant_count = 1};
}

size_t quarry_cache_read_classes(struct quarry_cache *cache,
                                 struct quarry_cache_class_stats *classes, size_t capacity)
{
    uint64_t count = 0;

    for (size_t i = 0; i < TENANTS_MAX; i++) {
        count += cache->tenants[i].is_used ? cache->tenants[i].stats.item_count : 0;
    }
    if (capacity > 0) {
        classes[0] = (struct quarry_cache_class_stats){.class_id = 1,
                                                       .cell_bytes = 96,
                                                       .cells_per_page = 10922,
                                                       .page_count = 1,
                                                       .cell_count = 10922,
                                                       .used_count = count};
    }
    return 1;
}

/* ---- prefixes ------------------------------------------------------------------------------- */

void quarry_cache_count_prefix(struct quarry_cache_tenant *tenant,
                               const struct quarry_cache_key *key, enum quarry_cache_use use)
{
    const char *colon = memchr(key->bytes, ':', key->byte_count);
    char text[QUARRY_CACHE_PREFIX_BYTES_MAX + 1] = "";

    if (colon == NULL ||
        (size_t)(colon - (const char *)key->bytes) > QUARRY_CACHE_PREFIX_BYTES_MAX) {
        return;
    }
    memcpy(text, key->bytes, (size_t)(colon - (const char *)key->bytes));
    for (size_t i = 0; i < tenant->prefix_count; i++) {
        if (strcmp(tenant->prefixes[i].text, text) == 0) {
            tenant->prefixes[i].counts[use]++;
            return;
        }
    }
    if (tenant->prefixes == NULL) {
        tenant->prefixes = calloc(QUARRY_CACHE_PREFIXES_MAX, sizeof tenant->prefixes[0]);
        Q_ASSERT(tenant->prefixes != NULL);
    }
    if (tenant->prefix_count < QUARRY_CACHE_PREFIXES_MAX) {
        struct quarry_cache_prefix *prefix = &tenant->prefixes[tenant->prefix_count++];

        memcpy(prefix->text, text, sizeof text);
        prefix->counts[use]++;
    }
}

size_t quarry_cache_read_prefixes(const struct quarry_cache_tenant *tenant, size_t first,
                                  struct quarry_cache_prefix *prefixes, size_t capacity)
{
    size_t count = 0;

    while (count < capacity && first + count < tenant->prefix_count) {
        prefixes[count] = tenant->prefixes[first + count];
        count++;
    }
    return count;
}

void quarry_cache_reset_prefixes(struct quarry_cache_tenant *tenant)
{
    for (size_t i = 0; i < tenant->prefix_count; i++) {
        memset(tenant->prefixes[i].counts, 0, sizeof tenant->prefixes[i].counts);
    }
}

/* ---- hot keys ------------------------------------------------------------------------------- */

void quarry_cache_note_hot_key(struct quarry_cache_tenant *tenant,
                               const struct quarry_cache_key *key, enum quarry_cache_use use,
                               uint32_t weight)
{
    uint32_t kind = use < 2 ? use : 2;
    struct quarry_cache_hot_key *lowest = &tenant->hot_keys[kind][0];

    for (uint32_t i = 0; i < QUARRY_CACHE_HOT_KEYS_MAX; i++) {
        struct quarry_cache_hot_key *hot = &tenant->hot_keys[kind][i];

        if (hot->key_bytes == key->byte_count &&
            memcmp(hot->key, key->bytes, key->byte_count) == 0) {
            hot->count += weight;
            return;
        }
        lowest = hot->count < lowest->count ? hot : lowest;
    }
    lowest->count = weight;
    lowest->key_bytes = key->byte_count;
    memcpy(lowest->key, key->bytes, key->byte_count);
}

size_t quarry_cache_read_hot_keys(const struct quarry_cache_tenant *tenant,
                                  enum quarry_cache_use use, struct quarry_cache_hot_key *keys)
{
    size_t count = 0;

    for (uint32_t i = 0; i < QUARRY_CACHE_HOT_KEYS_MAX; i++) {
        if (tenant->hot_keys[use < 2 ? use : 2][i].count > 0) {
            keys[count++] = tenant->hot_keys[use < 2 ? use : 2][i];
        }
    }
    return count;
}
