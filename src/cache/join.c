/*
 * append and prepend.
 *
 *     begin ── an item of what comes ── commit ── what is there + what has come ──> a third item
 *                                         └── replaced meanwhile? all over again ──┘
 *
 * They cannot be written in place, for values are immutable. What comes is kept as an item of its
 * own; at the commit a third one is made of both, and put where the first was, if it still is; else
 * all over again with what is there then. No lock is held while bytes are copied.
 *
 * Locking: as write.c, which does what ends in the index. Inside the epoch, where the bytes of what
 * is there are read. Cost: a copy of both values.
 *
 * Rejected: a chain of pieces, which would make every get of such a value a walk; room kept free
 * behind a value, which nobody could write to under the eyes of its readers.
 */
#include <cache/write.h>

/* An item of what is there and what has come. Returns: HIT, NO_MEMORY, TOO_LARGE. */
static enum quarry_cache_outcome join(const struct quarry_cache_write *piece,
                                      const struct cache_found *old,
                                      const struct quarry_cache_store_options *options,
                                      struct quarry_cache_write *ret_joined)
{
    struct quarry_cache_tenant *tenant = piece->tenant;
    struct quarry_cache_key key = cache_write_key(piece);
    struct cache_item *item = cache_write_item(piece);
    struct cache_found new = {.item = item, .head = cache_item_head(item)};
    bool is_behind = options->mode == QUARRY_CACHE_APPEND;
    struct cache_item_plan plan = {
        .tenant_id = tenant->id,
        .key_bytes = key.byte_count,
        .value_bytes = cache_item_value_bytes(old->item, old->head) + piece->value_bytes,
        .client_flags = cache_item_client_flags(old->item, old->head),
        .cas = options->new_cas,
    };

    if (plan.value_bytes > atomic_load_relaxed_u64(&tenant->cache->value_bytes_max)) {
        return QUARRY_CACHE_TOO_LARGE;
    }
    if (cache_write_open(tenant, &key, &plan, old->head & CACHE_HEAD_EXPIRY, ret_joined) !=
        QUARRY_CACHE_HIT) {
        return QUARRY_CACHE_NO_MEMORY;
    }
    if (!cache_write_add_item(ret_joined, is_behind ? old : &new) ||
        !cache_write_add_item(ret_joined, is_behind ? &new : old)) {
        cache_write_end(ret_joined);
        return QUARRY_CACHE_NO_MEMORY;
    }
    return QUARRY_CACHE_HIT;
}

struct cache_put cache_write_join(struct quarry_cache_write *piece,
                                  const struct quarry_cache_store_options *options,
                                  uint64_t *ret_value_bytes)
{
    static const struct quarry_cache_store_options add = {.mode = QUARRY_CACHE_ADD};
    static const struct cache_replace as_new = {0};
    struct quarry_cache_tenant *tenant = piece->tenant;
    struct quarry_cache_key key = cache_write_key(piece);

    for (;;) {
        struct cache_found old;
        struct quarry_cache_write joined;
        if (!cache_find_live(tenant, &key, &old)) {
            struct cache_put put = {.outcome = QUARRY_CACHE_NOT_STORED};
            if (options->vivifies) {
                put = cache_write_put(piece, &add, 0);
            }
            if (options->vivifies && put.outcome == QUARRY_CACHE_NOT_STORED) {
                continue;
            }
            return put;
        }
        if (options->has_cas && options->cas != cache_item_cas(tenant->cache, old.item, old.head)) {
            return (struct cache_put){.outcome = QUARRY_CACHE_EXISTS};
        }
        enum quarry_cache_outcome outcome = join(piece, &old, options, &joined);
        if (outcome != QUARRY_CACHE_HIT) {
            return (struct cache_put){.outcome = outcome};
        }
        *ret_value_bytes = joined.value_bytes;
        uint64_t cas = cache_write_replace(&joined, &old, &as_new);
        if (cas != 0) {
            return (struct cache_put){.outcome = QUARRY_CACHE_HIT, .cas = cas};
        }
    }
}
