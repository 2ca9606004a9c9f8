#include "unit/cache/cache_rig.h"

#include <string.h>

struct quarry_cache *cache;
struct quarry_cache_tenant *tenant;

void cache_begin(const struct quarry_cache_options *options)
{
    static const struct quarry_cache_options plain = {.size_bytes = Q_MIB(16),
                                                      .has_no_thread = true};
    struct quarry_error error = {0};

    heap_begin(&(struct heap_setup){.reserved_bytes = Q_GIB(64), .has_real_backing = true});
    if (quarry_cache_create((struct quarry_memory *)heap, options == NULL ? &plain : options,
                            &cache, &error) != QUARRY_OK) {
        fail_msg("quarry_cache_create: %s", error.text);
    }
    tenant = quarry_cache_default_tenant(cache);
}

void cache_check(void)
{
    struct quarry_error error = {0};

    if (quarry_cache_validate(cache, &error) != QUARRY_OK ||
        quarry_accounts_validate((struct quarry_memory *)heap, &error) != QUARRY_OK) {
        fail_msg("validate: %s", error.text);
    }
}

void cache_end(void)
{
    cache_check();
    quarry_cache_close(cache);
    cache = NULL;
    assert_int_equal(heap_totals().in_use_bytes, 0);
    heap_end();
}

int cache_set_up(void **state)
{
    (void)state;
    cache_begin(NULL);
    return 0;
}

int cache_tear_down(void **state)
{
    (void)state;
    cache_end();
    return 0;
}

struct quarry_cache_key key_of(const char *text)
{
    return quarry_cache_key_make(tenant, text, strlen(text));
}

enum quarry_cache_outcome store_with(const char *key, const char *value,
                                     const struct quarry_cache_store_options *options,
                                     uint64_t *ret_cas)
{
    struct quarry_cache_key named = key_of(key);
    struct quarry_cache_stored stored = {0};
    enum quarry_cache_outcome outcome =
        quarry_cache_store(tenant, &named, value, strlen(value), options, &stored);

    if (ret_cas != NULL && outcome == QUARRY_CACHE_HIT) {
        *ret_cas = stored.cas;
    }
    return outcome;
}

enum quarry_cache_outcome store(enum quarry_cache_mode mode, const char *key, const char *value)
{
    return store_with(key, value, &(struct quarry_cache_store_options){.mode = mode}, NULL);
}

uint64_t set_until(const char *key, const char *value, uint32_t expiry)
{
    uint64_t cas = 0;

    assert_int_equal(
        store_with(key, value, &(struct quarry_cache_store_options){.expiry = expiry}, &cas),
        QUARRY_CACHE_HIT);
    return cas;
}

uint64_t set(const char *key, const char *value)
{
    return set_until(key, value, 0);
}

enum quarry_cache_outcome get_with(const char *key, const struct quarry_cache_get_options *options,
                                   struct quarry_cache_hit *ret_hit)
{
    struct quarry_cache_key named = key_of(key);

    quarry_cache_enter(cache);
    enum quarry_cache_outcome outcome = quarry_cache_get(tenant, &named, options, ret_hit);
    quarry_cache_leave(cache);
    return outcome;
}

struct quarry_cache_hit hit_of(const char *key)
{
    struct quarry_cache_hit hit;

    assert_int_equal(get_with(key, NULL, &hit), QUARRY_CACHE_HIT);
    return hit;
}

struct quarry_cache_hit peek(const char *key)
{
    struct quarry_cache_hit hit;

    assert_int_equal(
        get_with(key, &(struct quarry_cache_get_options){.leaves_no_trace = true}, &hit),
        QUARRY_CACHE_HIT);
    return hit;
}

/* Copies up to `capacity` bytes of a value, by its pieces. Returns: how many it has. */
static uint64_t copy_value(const struct quarry_cache_hit *hit, char *to, uint64_t capacity)
{
    struct quarry_cache_piece pieces[3];
    uint64_t copied = 0;
    size_t count;

    while (copied < capacity &&
           (count = quarry_cache_pieces(cache, hit, copied, pieces, COUNT_OF(pieces))) != 0) {
        for (size_t i = 0; i < count && copied < capacity; i++) {
            size_t left = capacity - copied;
            size_t now = pieces[i].byte_count < left ? pieces[i].byte_count : left;
            memcpy(to + copied, pieces[i].bytes, now);
            copied += now;
        }
    }
    return copied;
}

const char *value_of(const char *key)
{
    static char value[4096];
    struct quarry_cache_key named = key_of(key);
    struct quarry_cache_hit hit;
    const char *text = NULL;

    quarry_cache_enter(cache);
    if (quarry_cache_get(tenant, &named, NULL, &hit) == QUARRY_CACHE_HIT) {
        assert_true(hit.value_bytes < sizeof(value));
        assert_int_equal(copy_value(&hit, value, hit.value_bytes), hit.value_bytes);
        value[hit.value_bytes] = 0;
        text = value;
    }
    quarry_cache_leave(cache);
    return text;
}

bool is_there(const char *key)
{
    struct quarry_cache_hit hit;

    return get_with(key, NULL, &hit) == QUARRY_CACHE_HIT;
}

static unsigned char byte_of(uint64_t number, uint64_t place)
{
    return (unsigned char)((number * 131 + place * 7 + (place >> 9)) & 0xff);
}

void fill(char *bytes, size_t byte_count, uint64_t number, uint64_t offset)
{
    for (size_t i = 0; i < byte_count; i++) {
        bytes[i] = (char)byte_of(number, offset + i);
    }
}

enum quarry_cache_outcome set_filled(const char *key, uint64_t number, uint64_t value_bytes)
{
    static const struct quarry_cache_store_options plainly = {0};
    struct quarry_cache_key named = key_of(key);
    struct quarry_cache_write write;
    enum quarry_cache_outcome outcome =
        quarry_cache_write_begin(tenant, &named, value_bytes, &plainly, &write);

    if (outcome != QUARRY_CACHE_HIT) {
        return outcome;
    }
    for (uint64_t filled = 0; filled < value_bytes;) {
        size_t room_bytes;
        char *room = quarry_cache_write_room(&write, &room_bytes);
        if (room == NULL) {
            quarry_cache_write_abort(&write);
            return QUARRY_CACHE_NO_MEMORY;
        }
        /* As from a socket: now less, now more than there is room for. */
        size_t now = room_bytes < 30000 ? room_bytes : 30000;
        fill(room, now, number, filled);
        quarry_cache_write_filled(&write, now);
        filled += now;
    }
    return quarry_cache_write_commit(&write, &plainly, NULL);
}

bool hit_is_filled(const struct quarry_cache_hit *hit, uint64_t number)
{
    struct quarry_cache_piece piece;
    uint64_t place = 0;

    while (quarry_cache_pieces(cache, hit, place, &piece, 1) == 1) {
        const unsigned char *bytes = piece.bytes;
        for (size_t i = 0; i < piece.byte_count; i++) {
            if (bytes[i] != byte_of(number, place + i)) {
                return false;
            }
        }
        place += piece.byte_count;
    }
    return place == hit->value_bytes;
}

bool is_filled(const char *key, uint64_t number, uint64_t value_bytes)
{
    struct quarry_cache_key named = key_of(key);
    struct quarry_cache_hit hit;

    quarry_cache_enter(cache);
    bool is = quarry_cache_get(tenant, &named, NULL, &hit) == QUARRY_CACHE_HIT &&
              hit.value_bytes == value_bytes && hit_is_filled(&hit, number);
    quarry_cache_leave(cache);
    return is;
}

struct quarry_cache_tenant_stats stats_now(void)
{
    struct quarry_cache_tenant_stats stats;

    quarry_cache_read_tenant(tenant, &stats);
    return stats;
}

void wait_s(int64_t seconds)
{
    quarry_cache_shift_clock(cache, seconds);
}
