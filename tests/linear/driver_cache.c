/*
 * The library's cache under histories: quarry/cache.h, called by threads of this process.
 *
 * Nothing of the history's tenant is evicted, since the model forgets nothing: it stays below its
 * share. Beside it another tenant fills, is flushed, and in a full cache is evicted from all the
 * time, in sizes that change, so that pages are emptied and the history's cells move under its
 * readers.
 */
#include "linear/cache_options.h"
#include "linear/driver.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <quarry/cache.h>

#define EXPIRY_STEP     1000u /* seconds in a unit; a history takes less */
#define VALUE_BYTES_MAX 200000u
#define PIECES          64u
#define FILLER_ITEMS    3000u
#define FILLER_BYTES    700u
#define FULL_ITEMS      4000u
#define FULL_BYTES      6000u
#define FULL_SIZE       (24u << 20)
#define LARGE_SIZE      (256u << 20)
#define HISTORY_SHARE   (16u << 20)
#define YIELD_ONE_IN    8u

struct store {
    struct quarry_memory *memory;
    struct quarry_cache *cache;
    struct quarry_cache_tenant *tenant, *filler;
    uint32_t began; /* of the cache's clock: expiries count from here */
    uint32_t disturbed_count;
    bool is_full;
};

static void must(bool is_right, const char *what)
{
    if (!is_right) {
        (void)fprintf(stderr, "linear: %s\n", what);
        abort();
    }
}

static void *cache_open(const void *argument)
{
    static const struct linear_cache_options none;
    const struct linear_cache_options *wanted = argument == NULL ? &none : argument;
    struct quarry_memory_options memory = {.limit_bytes = 512u << 20};
    struct quarry_cache_options options = {.size_bytes = wanted->is_full ? FULL_SIZE : LARGE_SIZE,
                                           .file_path = wanted->file_path,
                                           .value_bytes_max = VALUE_BYTES_MAX};
    struct quarry_cache_tenant_options tenant = {.name = "history", .share_bytes = HISTORY_SHARE};
    struct store *store = calloc(1, sizeof *store);
    struct quarry_error error = {0};

    must(store != NULL && quarry_memory_create(&memory, &store->memory, NULL) == QUARRY_OK,
         "no memory");
    must(quarry_cache_create(store->memory, &options, &store->cache, &error) == QUARRY_OK,
         error.text);
    must(quarry_cache_add_tenant(store->cache, &tenant, &store->tenant, NULL) == QUARRY_OK,
         "no tenant");
    store->is_full = wanted->is_full;
    store->filler = quarry_cache_default_tenant(store->cache);
    store->began = quarry_cache_now(store->cache);
    return store;
}

static void cache_close(void *argument)
{
    struct store *store = argument;
    struct quarry_error error = {0};

    must(quarry_cache_validate(store->cache, &error) == QUARRY_OK, error.text);
    quarry_cache_close(store->cache);
    quarry_memory_destroy(store->memory);
    free(store);
}

static void *cache_enter(void *store, uint32_t thread)
{
    (void)thread;
    return store;
}

static void cache_leave(void *hands)
{
    (void)hands;
}

/* ---- words of one and of the other ---------------------------------------------------------- */

static uint32_t expiry_of(const struct store *store, uint32_t units)
{
    return units == 0 ? 0 : store->began + units * EXPIRY_STEP;
}

static uint32_t units_of(const struct store *store, uint32_t expiry)
{
    return expiry == 0 ? 0 : (expiry - store->began) / EXPIRY_STEP;
}

static enum linear_outcome outcome_of(enum quarry_cache_outcome outcome)
{
    switch (outcome) {
    case QUARRY_CACHE_HIT:
        return LINEAR_DONE;
    case QUARRY_CACHE_MISS:
        return LINEAR_MISS;
    case QUARRY_CACHE_NOT_STORED:
        return LINEAR_NOT_STORED;
    case QUARRY_CACHE_EXISTS:
        return LINEAR_EXISTS;
    case QUARRY_CACHE_NOT_NUMBER:
        return LINEAR_NOT_NUMBER;
    case QUARRY_CACHE_NO_MEMORY:
    case QUARRY_CACHE_TOO_LARGE:
    default:
        return LINEAR_FAILED;
    }
}

/* Now and then, in the middle of an operation: whoever else waits for this CPU. */
static void let_others(const struct linear_operation *operation)
{
    if (operation->call_ns % YIELD_ONE_IN == 0) {
        (void)sched_yield();
    }
}

/* All pieces of a value; it must not change before the reader leaves, so it is read twice. */
static struct linear_value read_value(const struct store *store, const struct quarry_cache_hit *hit)
{
    struct linear_value value = linear_value_of(NULL, 0);
    struct quarry_cache_piece pieces[PIECES];

    for (uint64_t offset = 0; offset < hit->value_bytes;) {
        size_t count = quarry_cache_pieces(store->cache, hit, offset, pieces, PIECES);
        must(count > 0, "a value has fewer bytes than it says");
        for (size_t i = 0; i < count; i++) {
            struct linear_value piece = linear_value_of(pieces[i].bytes, pieces[i].byte_count);
            value = linear_value_join(&value, &piece);
            offset += pieces[i].byte_count;
        }
    }
    return value;
}

/* ---- operations ----------------------------------------------------------------------------- */

static void get(struct store *store, const struct quarry_cache_key *key,
                struct linear_operation *operation)
{
    struct quarry_cache_get_options options = {
        .vivifies = operation->kind == LINEAR_VIVIFY,
        .vivify_expiry = expiry_of(store, operation->expiry),
        .touches = operation->kind == LINEAR_GET_AND_TOUCH,
        .expiry = expiry_of(store, operation->expiry),
    };
    struct quarry_cache_hit hit;

    quarry_cache_enter(store->cache);
    operation->outcome = outcome_of(quarry_cache_get(store->tenant, key, &options, &hit));
    if (operation->outcome == LINEAR_DONE) {
        operation->ret_value = read_value(store, &hit);
        let_others(operation);
        struct linear_value again = read_value(store, &hit);
        must(linear_value_equals(&operation->ret_value, &again),
             "a value changed under its reader");
        must(hit.key_bytes == key->byte_count && memcmp(hit.key, key->bytes, hit.key_bytes) == 0,
             "an item has another key");
        operation->ret_cas = hit.cas;
        operation->ret_client_flags = hit.client_flags;
        operation->ret_expiry = options.touches ? operation->expiry : units_of(store, hit.expiry);
        operation->ret_is_stale = hit.is_stale;
        operation->ret_has_won = hit.has_won;
        operation->ret_is_token_given = hit.is_token_given;
    }
    quarry_cache_leave(store->cache);
}

/* In pieces, as the bytes of a large value come. */
static enum quarry_cache_outcome write_slowly(struct store *store,
                                              const struct quarry_cache_key *key,
                                              const struct linear_operation *operation,
                                              const char *bytes,
                                              const struct quarry_cache_store_options *options,
                                              struct quarry_cache_stored *ret_stored)
{
    struct quarry_cache_write write;
    enum quarry_cache_outcome outcome =
        quarry_cache_write_begin(store->tenant, key, operation->value_bytes, options, &write);

    if (outcome != QUARRY_CACHE_HIT) {
        return outcome;
    }
    for (size_t done = 0; done < operation->value_bytes;) {
        size_t room_bytes = 0;
        char *room = quarry_cache_write_room(&write, &room_bytes);
        must(room != NULL, "no room for a value in a cache that is not full");
        size_t step = operation->value_bytes - done;
        step = step < room_bytes ? step : room_bytes;
        step = step > 1 ? step - step / 3 : step;
        memcpy(room, bytes + done, step);
        quarry_cache_write_filled(&write, step);
        done += step;
    }
    let_others(operation);
    return quarry_cache_write_commit(&write, options, ret_stored);
}

static void store_value(struct store *store, const struct quarry_cache_key *key,
                        struct linear_operation *operation, const char *bytes)
{
    static const enum quarry_cache_mode modes[] = {QUARRY_CACHE_SET, QUARRY_CACHE_ADD,
                                                   QUARRY_CACHE_REPLACE, QUARRY_CACHE_APPEND,
                                                   QUARRY_CACHE_PREPEND};
    struct quarry_cache_store_options options = {
        .mode = modes[operation->kind - LINEAR_SET],
        .client_flags = operation->client_flags,
        .expiry = expiry_of(store, operation->expiry),
        .has_cas = operation->has_cas,
        .cas = operation->cas,
        .invalidates = operation->invalidates,
    };
    struct quarry_cache_stored stored = {0};
    bool is_slow = operation->value_id % 4 == 0;
    enum quarry_cache_outcome outcome =
        is_slow ? write_slowly(store, key, operation, bytes, &options, &stored)
                : quarry_cache_store(store->tenant, key, bytes, operation->value_bytes, &options,
                                     &stored);

    operation->outcome = outcome_of(outcome);
    operation->ret_cas = operation->outcome == LINEAR_DONE ? stored.cas : 0;
}

static void count(struct store *store, const struct quarry_cache_key *key,
                  struct linear_operation *operation)
{
    struct quarry_cache_count_options options = {
        .delta = operation->delta, .decrements = operation->kind == LINEAR_COUNT_DOWN};
    struct quarry_cache_counted counted = {0};

    operation->outcome = outcome_of(quarry_cache_count(store->tenant, key, &options, &counted));
    operation->ret_number = counted.number;
    operation->ret_cas = operation->outcome == LINEAR_DONE ? counted.cas : 0;
}

static void delete (struct store *store, const struct quarry_cache_key *key,
                    struct linear_operation *operation)
{
    struct quarry_cache_delete_options options = {
        .has_cas = operation->has_cas,
        .cas = operation->cas,
        .invalidates = operation->kind == LINEAR_INVALIDATE,
    };

    operation->outcome = outcome_of(quarry_cache_delete(store->tenant, key, &options));
}

static void cache_apply(void *hands, struct linear_operation *operation, const char *bytes)
{
    struct store *store = hands;
    char text[16];
    int text_bytes = snprintf(text, sizeof text, "key%u", operation->key);
    struct quarry_cache_key key = quarry_cache_key_make(store->tenant, text, (size_t)text_bytes);

    if (operation->kind <= LINEAR_GET_AND_TOUCH) {
        get(store, &key, operation);
    } else if (operation->kind == LINEAR_TOUCH) {
        operation->outcome = outcome_of(
            quarry_cache_touch(store->tenant, &key, expiry_of(store, operation->expiry)));
    } else if (operation->kind <= LINEAR_PREPEND) {
        store_value(store, &key, operation, bytes);
    } else if (operation->kind <= LINEAR_COUNT_DOWN) {
        count(store, &key, operation);
    } else {
        delete (store, &key, operation);
    }
}

/* ---- beside the history --------------------------------------------------------------------- */

static void cache_disturb(void *argument)
{
    const struct quarry_cache_store_options options = {.mode = QUARRY_CACHE_SET};
    static const char bytes[FULL_BYTES];
    struct store *store = argument;
    uint32_t item_count = store->is_full ? FULL_ITEMS : FILLER_ITEMS;
    uint32_t most_bytes = store->is_full ? FULL_BYTES : FILLER_BYTES;

    store->disturbed_count++;
    for (uint32_t i = 0; i < item_count; i++) {
        char text[24];
        uint32_t number = store->is_full ? store->disturbed_count * FULL_ITEMS + i : i;
        int text_bytes = snprintf(text, sizeof text, "filler%u", number);
        struct quarry_cache_key key =
            quarry_cache_key_make(store->filler, text, (size_t)text_bytes);
        uint64_t value_bytes = (i * 37u + store->disturbed_count * 501u) % most_bytes;
        (void)quarry_cache_store(store->filler, &key, bytes, value_bytes, &options, NULL);
    }
    if (!store->is_full && store->disturbed_count % 2 == 0) {
        quarry_cache_flush(store->filler, 0);
    }
    (void)quarry_cache_turn(store->cache);
}

const struct linear_driver linear_driver_cache = {
    .name = "cache",
    .open = cache_open,
    .close = cache_close,
    .enter = cache_enter,
    .leave = cache_leave,
    .apply = cache_apply,
    .disturb = cache_disturb,
    .value_bytes_max = VALUE_BYTES_MAX,
};
