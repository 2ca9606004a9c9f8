/*
 * Changing an item: deleting, touching, counting, marking it stale.
 *
 * Values do not change where they lie: a changed item is a new one, made with no lock held from
 * what was found, and put in its place if that is still there (cache_write_replace); else all over
 * again. Of several who change one item at once each succeeds in turn: whoever has to begin anew
 * does so because another one was done. What changes in place are words of their own, under the
 * lock of the key's bucket: the expiry where there is a field for it, a large item's cas, STALE,
 * TOKEN.
 *
 * A touch keeps the cas, for it changes nothing that a client could overwrite by mistake; all else
 * gives a new one.
 *
 * Numbers are as memcached's: decimal, up to 2^64 - 1, spaces behind them allowed, for a result
 * that has fewer digits than the value had is padded with them; a large value, or an empty one, is
 * none.
 */
#include <cache/change.h>

#include <stdio.h>
#include <string.h>

#include <cache/expire.h>
#include <cache/large.h>
#include <cache/policy.h>
#include <cache/write.h>

#define DIGITS_MAX 20u

/* ---- copies --------------------------------------------------------------------------------- */

/* A plan for another item of the key, with what the old one has. */
static struct cache_item_plan plan_like(const struct quarry_cache_tenant *tenant,
                                        const struct cache_found *old, uint64_t value_bytes)
{
    return (struct cache_item_plan){
        .tenant_id = tenant->id,
        .key_bytes = old->item->key_bytes,
        .value_bytes = value_bytes,
        .client_flags = cache_item_client_flags(old->item, old->head),
        .expiry = cache_item_expiry(old->item, old->head),
    };
}

bool cache_change_widen(struct quarry_cache_tenant *tenant, const struct cache_found *found,
                        const struct quarry_cache_key *key)
{
    static const struct cache_replace as_it_is = {
        .kept = CACHE_HEAD_STALE | CACHE_HEAD_TOKEN | CACHE_HEAD_FETCHED,
        .keeps_number = true,
    };
    struct cache_item_plan plan = plan_like(tenant, found, found->head & CACHE_HEAD_LENGTH_MASK);
    struct quarry_cache_write write;

    Q_ASSERT((found->head & (CACHE_HEAD_EXPIRY | CACHE_HEAD_LARGE)) == 0);
    if ((found->head & CACHE_HEAD_CAS) != 0) {
        plan.cas = cache_item_cas(tenant->cache, found->item, found->head);
    }
    if (cache_write_open(tenant, key, &plan, CACHE_HEAD_EXPIRY, &write) != QUARRY_CACHE_HIT) {
        cache_count(tenant, CACHE_COUNT_NO_MEMORY);
        return false;
    }
    if (!cache_write_add_item(&write, found)) {
        cache_write_end(&write);
        return false;
    }
    (void)cache_write_replace(&write, found, &as_it_is);
    return true;
}

/* ---- touching ------------------------------------------------------------------------------- */

static enum quarry_cache_outcome touch(struct quarry_cache_tenant *tenant,
                                       const struct quarry_cache_key *key, uint32_t expiry)
{
    for (;;) {
        struct cache_lock lock;
        enum cache_gone why = CACHE_GONE_EXPIRED;

        cache_index_lock(tenant, key->hash, &lock);
        struct cache_found found = cache_index_find_locked(tenant, &lock, key);
        bool is_live = found.item != NULL && !cache_found_is_dead(tenant, &found, &why);
        bool is_narrow = is_live && (found.head & CACHE_HEAD_EXPIRY) == 0 && expiry != 0;
        if (is_live && !is_narrow) {
            if ((found.head & CACHE_HEAD_EXPIRY) != 0) {
                cache_item_set_expiry(tenant->cache, cache_slot_ref(found.seen), found.item,
                                      expiry);
            }
            cache_found_touch(tenant->cache, &found);
        }
        cache_index_unlock(&lock);
        if (!is_live) {
            if (found.item != NULL) {
                (void)cache_item_remove(tenant, key->hash, cache_slot_ref(found.seen), why);
            }
            return QUARRY_CACHE_MISS;
        }
        if (!is_narrow) {
            return QUARRY_CACHE_HIT;
        }
        if (!cache_change_widen(tenant, &found, key)) {
            return QUARRY_CACHE_NO_MEMORY;
        }
    }
}

enum quarry_cache_outcome quarry_cache_touch(struct quarry_cache_tenant *tenant,
                                             const struct quarry_cache_key *key, uint32_t expiry)
{
    enum quarry_cache_outcome outcome;
    uint32_t tries = 0;

    do {
        cache_write_enter(tenant->cache);
        outcome = touch(tenant, key, expiry);
        cache_write_leave(tenant->cache);
    } while (outcome == QUARRY_CACHE_NO_MEMORY && cache_write_may_retry(tenant, &tries));
    if (outcome != QUARRY_CACHE_NO_MEMORY) {
        cache_count(tenant, outcome == QUARRY_CACHE_HIT ? CACHE_COUNT_TOUCH_HITS
                                                        : CACHE_COUNT_TOUCH_MISSES);
    }
    return outcome;
}

/* ---- deleting ------------------------------------------------------------------------------- */

static bool has_other_cas(const struct quarry_cache_tenant *tenant,
                          const struct quarry_cache_delete_options *options,
                          const struct cache_found *found)
{
    return options->has_cas &&
           options->cas != cache_item_cas(tenant->cache, found->item, found->head);
}

static enum quarry_cache_outcome delete_whole(struct quarry_cache_tenant *tenant,
                                              const struct quarry_cache_key *key,
                                              const struct quarry_cache_delete_options *options)
{
    struct cache_lock lock;
    enum cache_gone why = CACHE_GONE_DELETED;
    enum quarry_cache_outcome outcome = QUARRY_CACHE_MISS;
    uint64_t gone = 0;

    cache_index_lock(tenant, key->hash, &lock);
    struct cache_found found = cache_index_find_locked(tenant, &lock, key);
    bool is_live = found.item != NULL && !cache_found_is_dead(tenant, &found, &why);
    if (is_live && has_other_cas(tenant, options, &found)) {
        outcome = QUARRY_CACHE_EXISTS;
    } else if (is_live) {
        outcome = QUARRY_CACHE_HIT;
        cache_item_end(found.item);
        gone = cache_index_remove_locked(&lock, found.slot);
    }
    cache_index_unlock(&lock);
    if (gone != 0) {
        cache_item_drop(tenant, gone);
    } else if (found.item != NULL && !is_live) {
        (void)cache_item_remove(tenant, key->hash, cache_slot_ref(found.seen), why);
    }
    return outcome;
}

/* Marks a large item stale where it lies. Returns: whether it still did. */
static bool invalidate_large(struct quarry_cache_tenant *tenant, const struct quarry_cache_key *key,
                             const struct cache_found *found,
                             const struct quarry_cache_delete_options *options)
{
    struct quarry_cache *cache = tenant->cache;
    uint64_t ref48 = cache_slot_ref(found->seen);
    struct cache_lock lock;

    cache_index_lock(tenant, key->hash, &lock);
    uint64_t cas = atomic_add_acq_rel_u64(&cache->sequence, 1) + 1;
    bool has = cache_index_slot_locked(&lock, key->hash, ref48) != NULL &&
               !has_other_cas(tenant, options, found);
    if (has) {
        (void)atomic_and_relaxed_u32(&found->item->head, ~CACHE_HEAD_TOKEN);
        (void)atomic_or_relaxed_u32(&found->item->head, CACHE_HEAD_STALE);
        cache_large_set_cas(found->item, found->head,
                            options->new_cas != 0 ? options->new_cas : cas);
        if (options->sets_expiry) {
            cache_item_set_expiry(cache, ref48, found->item, options->expiry);
        }
    }
    cache_index_unlock(&lock);
    return has;
}

/* One try to keep an item otherwise than it was. HIT: done; MISS: it has changed: look again. */
static enum quarry_cache_outcome keep_once(struct quarry_cache_tenant *tenant,
                                           const struct quarry_cache_key *key,
                                           const struct cache_found *found,
                                           const struct quarry_cache_delete_options *options)
{
    struct cache_replace how = {.flags = options->invalidates ? CACHE_HEAD_STALE : 0,
                                .sets_expiry = options->sets_expiry};
    struct cache_item_plan plan = plan_like(tenant, found, 0);
    struct quarry_cache_write write;

    if (options->drops_value) {
        plan.client_flags = 0;
    } else if ((found->head & CACHE_HEAD_LARGE) != 0) {
        return invalidate_large(tenant, key, found, options) ? QUARRY_CACHE_HIT : QUARRY_CACHE_MISS;
    } else {
        plan.value_bytes = found->head & CACHE_HEAD_LENGTH_MASK;
    }
    plan.cas = options->new_cas;
    plan.expiry = options->sets_expiry ? options->expiry : plan.expiry;
    if (cache_write_open(tenant, key, &plan, found->head & CACHE_HEAD_EXPIRY, &write) !=
        QUARRY_CACHE_HIT) {
        return QUARRY_CACHE_NO_MEMORY;
    }
    if (!options->drops_value && !cache_write_add_item(&write, found)) {
        cache_write_end(&write);
        return QUARRY_CACHE_NO_MEMORY;
    }
    return cache_write_replace(&write, found, &how) != 0 ? QUARRY_CACHE_HIT : QUARRY_CACHE_MISS;
}

static enum quarry_cache_outcome delete_part(struct quarry_cache_tenant *tenant,
                                             const struct quarry_cache_key *key,
                                             const struct quarry_cache_delete_options *options)
{
    struct cache_found found;

    while (cache_find_live(tenant, key, &found)) {
        if (has_other_cas(tenant, options, &found)) {
            return QUARRY_CACHE_EXISTS;
        }
        enum quarry_cache_outcome outcome = keep_once(tenant, key, &found, options);
        if (outcome != QUARRY_CACHE_MISS) {
            return outcome;
        }
    }
    return QUARRY_CACHE_MISS;
}

enum quarry_cache_outcome quarry_cache_delete(struct quarry_cache_tenant *tenant,
                                              const struct quarry_cache_key *key,
                                              const struct quarry_cache_delete_options *options)
{
    static const struct quarry_cache_delete_options plainly = {0};
    enum quarry_cache_outcome outcome;
    uint32_t tries = 0;

    options = options == NULL ? &plainly : options;
    do {
        cache_write_enter(tenant->cache);
        if (options->invalidates || options->drops_value) {
            outcome = delete_part(tenant, key, options);
        } else {
            outcome = delete_whole(tenant, key, options);
        }
        cache_write_leave(tenant->cache);
    } while (outcome == QUARRY_CACHE_NO_MEMORY && cache_write_may_retry(tenant, &tries));
    if (outcome == QUARRY_CACHE_HIT || outcome == QUARRY_CACHE_MISS) {
        cache_count(tenant, outcome == QUARRY_CACHE_HIT ? CACHE_COUNT_DELETE_HITS
                                                        : CACHE_COUNT_DELETE_MISSES);
    }
    return outcome;
}

/* ---- counting ------------------------------------------------------------------------------- */

/* Reads digits, and spaces behind them. False: it is no number. */
static bool parse(const char *bytes, uint32_t byte_count, uint64_t *ret_number)
{
    uint64_t number = 0;
    uint32_t at = 0;

    for (; at < byte_count && bytes[at] >= '0' && bytes[at] <= '9'; at++) {
        if (__builtin_mul_overflow(number, (uint64_t)10, &number) ||
            __builtin_add_overflow(number, (uint64_t)(bytes[at] - '0'), &number)) {
            return false;
        }
    }
    if (at == 0 || at > DIGITS_MAX) {
        return false;
    }
    for (; at < byte_count; at++) {
        if (bytes[at] != ' ') {
            return false;
        }
    }
    *ret_number = number;
    return true;
}

/* Writes a number's digits at `to`, room for DIGITS_MAX. Returns: how many. */
static uint32_t print(uint64_t number, char *to)
{
    char reversed[DIGITS_MAX];
    uint32_t count = 0;

    do {
        reversed[count++] = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    for (uint32_t i = 0; i < count; i++) {
        to[i] = reversed[count - 1 - i];
    }
    return count;
}

static uint64_t counted(uint64_t number, const struct quarry_cache_count_options *options)
{
    if (!options->decrements) {
        return number + options->delta;
    }
    return options->delta > number ? 0 : number - options->delta;
}

/* A value of so many bytes at least: a number, padded. False: there is no memory. */
static bool add_number(struct quarry_cache_write *write, uint64_t number)
{
    char digits[DIGITS_MAX];
    uint32_t count = print(number, digits);
    bool has = cache_write_add(write, digits, count);

    while (has && write->filled_bytes < write->value_bytes) {
        has = cache_write_add(write, " ", 1);
    }
    return has;
}

/* One try. MISS: the item has changed: look again. */
static enum quarry_cache_outcome count_once(struct quarry_cache_tenant *tenant,
                                            const struct quarry_cache_key *key,
                                            const struct cache_found *found,
                                            const struct quarry_cache_count_options *options,
                                            struct quarry_cache_counted *ret_counted)
{
    struct cache_replace how = {
        .kept = CACHE_HEAD_STALE | CACHE_HEAD_TOKEN | CACHE_HEAD_FETCHED,
        .sets_expiry = options->sets_expiry,
    };
    uint32_t old_bytes = found->head & CACHE_HEAD_LENGTH_MASK;
    struct cache_item_plan plan = plan_like(tenant, found, old_bytes);
    struct quarry_cache_write write;
    char digits[DIGITS_MAX];
    uint64_t number;

    if ((found->head & CACHE_HEAD_LARGE) != 0 ||
        !parse(cache_item_value(found->item, found->head), old_bytes, &number)) {
        return QUARRY_CACHE_NOT_NUMBER;
    }
    number = counted(number, options);
    uint32_t digit_count = print(number, digits);
    plan.value_bytes = digit_count > old_bytes ? digit_count : old_bytes;
    plan.expiry = options->sets_expiry ? options->expiry : plan.expiry;
    plan.cas = options->new_cas;
    uint32_t field = options->sets_expiry ? 0 : found->head & CACHE_HEAD_EXPIRY;
    if (cache_write_open(tenant, key, &plan, field, &write) != QUARRY_CACHE_HIT) {
        return QUARRY_CACHE_NO_MEMORY;
    }
    if (!add_number(&write, number)) {
        cache_write_end(&write);
        return QUARRY_CACHE_NO_MEMORY;
    }
    uint64_t cas = cache_write_replace(&write, found, &how);
    *ret_counted = (struct quarry_cache_counted){number, cas, plan.expiry, false};
    return cas != 0 ? QUARRY_CACHE_HIT : QUARRY_CACHE_MISS;
}

/* Where there is none. MISS: there is one by now: look again. */
static enum quarry_cache_outcome count_new(struct quarry_cache_tenant *tenant,
                                           const struct quarry_cache_key *key,
                                           const struct quarry_cache_count_options *options,
                                           struct quarry_cache_counted *ret_counted)
{
    char digits[DIGITS_MAX];
    struct cache_item_plan plan = {
        .tenant_id = tenant->id,
        .key_bytes = key->byte_count,
        .value_bytes = print(options->initial, digits),
        .expiry = options->vivify_expiry,
        .cas = options->new_cas,
    };
    struct quarry_cache_write write;
    bool exists = false;

    if (cache_write_open(tenant, key, &plan, 0, &write) != QUARRY_CACHE_HIT) {
        return QUARRY_CACHE_NO_MEMORY;
    }
    if (!add_number(&write, options->initial)) {
        cache_write_end(&write);
        return QUARRY_CACHE_NO_MEMORY;
    }
    uint64_t cas = cache_write_insert(&write, 0, &exists);
    *ret_counted =
        (struct quarry_cache_counted){options->initial, cas, options->vivify_expiry, true};
    if (cas != 0) {
        return QUARRY_CACHE_HIT;
    }
    return exists ? QUARRY_CACHE_MISS : QUARRY_CACHE_NO_MEMORY;
}

static enum quarry_cache_outcome count(struct quarry_cache_tenant *tenant,
                                       const struct quarry_cache_key *key,
                                       const struct quarry_cache_count_options *options,
                                       struct quarry_cache_counted *ret_counted)
{
    for (;;) {
        struct cache_found found;
        enum quarry_cache_outcome outcome;

        if (cache_find_live(tenant, key, &found)) {
            if (options->has_cas &&
                options->cas != cache_item_cas(tenant->cache, found.item, found.head)) {
                return QUARRY_CACHE_EXISTS;
            }
            outcome = count_once(tenant, key, &found, options, ret_counted);
        } else if (options->vivifies) {
            outcome = count_new(tenant, key, options, ret_counted);
        } else {
            return QUARRY_CACHE_MISS;
        }
        if (outcome != QUARRY_CACHE_MISS) {
            return outcome;
        }
    }
}

enum quarry_cache_outcome quarry_cache_count(struct quarry_cache_tenant *tenant,
                                             const struct quarry_cache_key *key,
                                             const struct quarry_cache_count_options *options,
                                             struct quarry_cache_counted *ret_counted)
{
    struct quarry_cache_counted counted_now = {0};
    enum quarry_cache_outcome outcome;
    uint32_t tries = 0;

    do {
        cache_write_enter(tenant->cache);
        outcome = count(tenant, key, options, &counted_now);
        cache_write_leave(tenant->cache);
    } while (outcome == QUARRY_CACHE_NO_MEMORY && cache_write_may_retry(tenant, &tries));
    if (outcome == QUARRY_CACHE_HIT) {
        *ret_counted = counted_now;
    }
    if (outcome == QUARRY_CACHE_HIT && !counted_now.is_new) {
        cache_count(tenant, options->decrements ? CACHE_COUNT_DECR_HITS : CACHE_COUNT_INCR_HITS);
    } else if (outcome == QUARRY_CACHE_MISS || outcome == QUARRY_CACHE_HIT) {
        cache_count(tenant,
                    options->decrements ? CACHE_COUNT_DECR_MISSES : CACHE_COUNT_INCR_MISSES);
    } else if (outcome == QUARRY_CACHE_NO_MEMORY) {
        cache_count(tenant, CACHE_COUNT_NO_MEMORY);
    }
    return outcome;
}
