/*
 * quarry_cache_get_value: what it tells is what quarry_cache_get tells.
 */
#include "unit/cache/cache_rig.h"

#include <string.h>

/* A key of `length` bytes, like no other of any length, whose last byte alone tells `n`. */
static struct quarry_cache_key key_made(char *bytes, uint32_t length, uint32_t n)
{
    memset(bytes, 'k', length);
    bytes[length - 1] = (char)n;
    return quarry_cache_key_make(tenant, bytes, length);
}

static void put(const struct quarry_cache_key *key, uint32_t flags)
{
    const struct quarry_cache_store_options options = {.client_flags = flags};
    uint32_t value[2] = {key->byte_count, flags};

    assert_int_equal(quarry_cache_store(tenant, key, value, sizeof(value), &options, NULL),
                     QUARRY_CACHE_HIT);
}

static void check(const struct quarry_cache_key *key, uint32_t flags)
{
    struct quarry_cache_hit hit, whole;
    uint32_t value[2] = {key->byte_count, flags};

    memset(&hit, 0x5a, sizeof(hit));
    quarry_cache_enter(cache);
    quarry_cache_prefetch(tenant, key);
    quarry_cache_prefetch_item(tenant, key);
    assert_int_equal(quarry_cache_get_value(tenant, key, &hit), QUARRY_CACHE_HIT);
    assert_int_equal(quarry_cache_get(tenant, key, NULL, &whole), QUARRY_CACHE_HIT);
    assert_int_equal(hit.value_bytes, sizeof(value));
    assert_int_equal(hit.piece.byte_count, sizeof(value));
    assert_memory_equal(hit.piece.bytes, value, sizeof(value));
    assert_int_equal(hit.client_flags, flags);
    assert_ptr_equal(hit.key, whole.key);
    assert_int_equal(hit.key_bytes, whole.key_bytes);
    assert_int_equal(hit.ref, whole.ref);
    quarry_cache_leave(cache);
}

/* Lengths at which keys are compared in different ways; each differs from others in one byte. */
static void keys_of_every_length_are_told_apart(void **state)
{
    char bytes[QUARRY_CACHE_KEY_BYTES_MAX];

    (void)state;
    for (uint32_t length = 1; length <= sizeof(bytes); length++) {
        for (uint32_t n = 0; n < 4; n++) {
            struct quarry_cache_key key = key_made(bytes, length, n);
            put(&key, n * length);
        }
    }
    for (uint32_t length = 1; length <= sizeof(bytes); length++) {
        struct quarry_cache_hit hit;
        for (uint32_t n = 0; n < 4; n++) {
            struct quarry_cache_key key = key_made(bytes, length, n);
            check(&key, n * length);
        }
        struct quarry_cache_key absent = key_made(bytes, length, 4);
        quarry_cache_enter(cache);
        assert_int_equal(quarry_cache_get_value(tenant, &absent, &hit), QUARRY_CACHE_MISS);
        quarry_cache_leave(cache);
    }
}

static enum quarry_cache_outcome value_get(const char *text, struct quarry_cache_hit *hit)
{
    struct quarry_cache_key key = key_of(text);

    quarry_cache_enter(cache);
    enum quarry_cache_outcome outcome = quarry_cache_get_value(tenant, &key, hit);
    quarry_cache_leave(cache);
    return outcome;
}

static void hits_are_counted_by_the_caller(void **state)
{
    struct quarry_cache_hit hit;

    (void)state;
    (void)set("a", "alpha");
    assert_int_equal(set_filled("large", 1, Q_KIB(200)), QUARRY_CACHE_HIT);
    assert_int_equal(value_get("a", &hit), QUARRY_CACHE_HIT);
    assert_int_equal(value_get("large", &hit), QUARRY_CACHE_HIT);
    assert_int_equal(hit.value_bytes, Q_KIB(200));
    assert_int_equal(value_get("b", &hit), QUARRY_CACHE_MISS);
    assert_int_equal(stats_now().get_hits, 0);
    assert_int_equal(stats_now().get_misses, 1);
    quarry_cache_count_hits(tenant, 2);
    assert_int_equal(stats_now().get_hits, 2);
}

static void what_is_over_is_a_miss(void **state)
{
    struct quarry_cache_hit hit;

    (void)state;
    (void)set_until("a", "alpha", quarry_cache_now(cache) + 10);
    (void)set("b", "beta");
    assert_int_equal(value_get("a", &hit), QUARRY_CACHE_HIT);
    wait_s(10);
    assert_int_equal(value_get("a", &hit), QUARRY_CACHE_MISS);
    assert_int_equal(stats_now().get_expired, 1);
    quarry_cache_flush(tenant, 0);
    assert_int_equal(value_get("b", &hit), QUARRY_CACHE_MISS);
    assert_int_equal(stats_now().get_flushed, 1);
    (void)set("b", "again");
    assert_int_equal(value_get("b", &hit), QUARRY_CACHE_HIT);
}

static void it_leaves_the_trace_of_a_get(void **state)
{
    struct quarry_cache_hit hit;

    (void)state;
    (void)set("a", "alpha");
    wait_s(5);
    assert_false(peek("a").was_hit);
    assert_int_equal(peek("a").idle_seconds, 5);
    assert_int_equal(value_get("a", &hit), QUARRY_CACHE_HIT);
    assert_true(peek("a").was_hit);
    assert_int_equal(peek("a").idle_seconds, 0);
}

/* The token of a stale item goes to the first who reads it, by whichever call. */
static void the_first_reader_of_a_stale_item_wins(void **state)
{
    const struct quarry_cache_delete_options invalidate = {.invalidates = true};
    struct quarry_cache_key key = key_of("a");
    struct quarry_cache_hit hit;

    (void)state;
    (void)set("a", "alpha");
    assert_int_equal(quarry_cache_delete(tenant, &key, &invalidate), QUARRY_CACHE_HIT);
    assert_int_equal(value_get("a", &hit), QUARRY_CACHE_HIT);
    assert_int_equal(get_with("a", NULL, &hit), QUARRY_CACHE_HIT);
    assert_false(hit.has_won);
    assert_true(hit.is_token_given);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, cache_set_up, cache_tear_down)
    const struct CMUnitTest tests[] = {
        CASE(keys_of_every_length_are_told_apart),
        CASE(hits_are_counted_by_the_caller),
        CASE(what_is_over_is_a_miss),
        CASE(it_leaves_the_trace_of_a_get),
        CASE(the_first_reader_of_a_stale_item_wins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
