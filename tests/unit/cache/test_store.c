/*
 * Storing, reading and deleting by memcached's rules.
 */
#include "unit/cache/cache_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void a_value_that_was_set_is_found(void **state)
{
    (void)state;
    (void)set("a", "alpha");
    (void)set("b", "");
    assert_string_equal(value_of("a"), "alpha");
    assert_string_equal(value_of("b"), "");
    assert_null(value_of("c"));
    assert_int_equal(stats_now().item_count, 2);
    assert_int_equal(stats_now().request_bytes, 7);
}

static void a_key_may_have_any_bytes_and_250_of_them(void **state)
{
    char longest[QUARRY_CACHE_KEY_BYTES_MAX];
    struct quarry_cache_hit hit;

    (void)state;
    memset(longest, 0xfe, sizeof(longest));
    struct quarry_cache_key key = quarry_cache_key_make(tenant, longest, sizeof(longest));
    struct quarry_cache_key zero = quarry_cache_key_make(tenant, "\0\n ", 3);
    assert_int_equal(
        quarry_cache_store(tenant, &key, "x", 1, &(struct quarry_cache_store_options){0}, NULL),
        QUARRY_CACHE_HIT);
    assert_int_equal(
        quarry_cache_store(tenant, &zero, "y", 1, &(struct quarry_cache_store_options){0}, NULL),
        QUARRY_CACHE_HIT);
    quarry_cache_enter(cache);
    assert_int_equal(quarry_cache_get(tenant, &key, NULL, &hit), QUARRY_CACHE_HIT);
    assert_int_equal(hit.key_bytes, sizeof(longest));
    assert_memory_equal(hit.key, longest, sizeof(longest));
    assert_int_equal(quarry_cache_get(tenant, &zero, NULL, &hit), QUARRY_CACHE_HIT);
    assert_memory_equal(hit.piece.bytes, "y", 1);
    quarry_cache_leave(cache);
}

static void set_replaces_and_keeps_one_item(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        (void)set("a", i % 2 == 0 ? "one" : "another");
    }
    assert_string_equal(value_of("a"), "another");
    assert_int_equal(stats_now().item_count, 1);
    assert_int_equal(stats_now().total_items, 100);
    assert_int_equal(stats_now().set_count, 100);
}

static void client_flags_and_expiry_are_kept(void **state)
{
    uint32_t expiry = quarry_cache_now(cache) + 100;

    (void)state;
    assert_int_equal(store_with("a", "x",
                                &(struct quarry_cache_store_options){.client_flags = 0xdeadbeef,
                                                                     .expiry = expiry},
                                NULL),
                     QUARRY_CACHE_HIT);
    assert_int_equal(hit_of("a").client_flags, 0xdeadbeef);
    assert_int_equal(hit_of("a").expiry, expiry);
    (void)set("b", "x");
    assert_int_equal(hit_of("b").client_flags, 0);
    assert_int_equal(hit_of("b").expiry, 0);
}

static void add_stores_only_where_there_is_none(void **state)
{
    (void)state;
    assert_int_equal(store(QUARRY_CACHE_ADD, "a", "first"), QUARRY_CACHE_HIT);
    assert_int_equal(store(QUARRY_CACHE_ADD, "a", "second"), QUARRY_CACHE_NOT_STORED);
    assert_true(peek("a").was_hit);
    assert_string_equal(value_of("a"), "first");
}

static void replace_stores_only_where_there_is_one(void **state)
{
    (void)state;
    assert_int_equal(store(QUARRY_CACHE_REPLACE, "a", "x"), QUARRY_CACHE_NOT_STORED);
    assert_null(value_of("a"));
    (void)set("a", "x");
    assert_int_equal(store(QUARRY_CACHE_REPLACE, "a", "y"), QUARRY_CACHE_HIT);
    assert_string_equal(value_of("a"), "y");
}

static void append_and_prepend_join_and_keep_flags_and_expiry(void **state)
{
    uint32_t expiry = quarry_cache_now(cache) + 100;

    (void)state;
    assert_int_equal(store(QUARRY_CACHE_APPEND, "a", "x"), QUARRY_CACHE_NOT_STORED);
    assert_int_equal(store(QUARRY_CACHE_PREPEND, "a", "x"), QUARRY_CACHE_NOT_STORED);
    (void)store_with("a", "mid",
                     &(struct quarry_cache_store_options){.client_flags = 7, .expiry = expiry},
                     NULL);
    struct quarry_cache_store_options behind = {
        .mode = QUARRY_CACHE_APPEND, .client_flags = 9, .expiry = 1};
    assert_int_equal(store_with("a", "-end", &behind, NULL), QUARRY_CACHE_HIT);
    assert_int_equal(store(QUARRY_CACHE_PREPEND, "a", "begin-"), QUARRY_CACHE_HIT);
    assert_string_equal(value_of("a"), "begin-mid-end");
    assert_int_equal(hit_of("a").client_flags, 7);
    assert_int_equal(hit_of("a").expiry, expiry);
    assert_int_equal(stats_now().item_count, 1);
}

static void append_tells_the_whole_length(void **state)
{
    struct quarry_cache_key key = key_of("a");
    struct quarry_cache_stored stored;
    struct quarry_cache_store_options behind = {.mode = QUARRY_CACHE_APPEND};

    (void)state;
    uint64_t cas = set("a", "abc");
    assert_int_equal(quarry_cache_store(tenant, &key, "de", 2, &behind, &stored), QUARRY_CACHE_HIT);
    assert_int_equal(stored.value_bytes, 5);
    assert_true(stored.cas > cas);
    assert_int_equal(stored.cas, hit_of("a").cas);
}

static void append_may_make_what_is_not_there(void **state)
{
    uint32_t expiry = quarry_cache_now(cache) + 50;
    struct quarry_cache_store_options behind = {
        .mode = QUARRY_CACHE_APPEND, .client_flags = 3, .vivifies = true, .vivify_expiry = expiry};

    (void)state;
    assert_int_equal(store_with("a", "x", &behind, NULL), QUARRY_CACHE_HIT);
    assert_int_equal(store_with("a", "y", &behind, NULL), QUARRY_CACHE_HIT);
    assert_string_equal(value_of("a"), "xy");
    assert_int_equal(hit_of("a").expiry, expiry);
    assert_int_equal(hit_of("a").client_flags, 3);
}

static void every_change_has_a_larger_cas(void **state)
{
    struct quarry_cache_counted counted;
    struct quarry_cache_key key = key_of("n");

    (void)state;
    uint64_t cas = set("n", "5"), other = set("o", "x");
    assert_true(other > cas);
    assert_int_equal(hit_of("n").cas, cas);
    assert_int_equal(quarry_cache_count(tenant, &key,
                                        &(struct quarry_cache_count_options){.delta = 1}, &counted),
                     QUARRY_CACHE_HIT);
    assert_true(counted.cas > other);
    assert_int_equal(hit_of("n").cas, counted.cas);
    assert_true(set("n", "5") > counted.cas);
}

static void cas_stores_only_over_the_same(void **state)
{
    (void)state;
    struct quarry_cache_store_options with = {.has_cas = true, .cas = 1};
    assert_int_equal(store_with("a", "x", &with, NULL), QUARRY_CACHE_MISS);
    with.cas = set("a", "x");
    assert_int_equal(store_with("a", "y", &with, &with.cas), QUARRY_CACHE_HIT);
    assert_int_equal(store_with("a", "z", &with, NULL), QUARRY_CACHE_HIT);
    assert_int_equal(store_with("a", "late", &with, NULL), QUARRY_CACHE_EXISTS);
    assert_string_equal(value_of("a"), "z");
    struct quarry_cache_tenant_stats stats = stats_now();
    assert_int_equal(stats.cas_misses, 1);
    assert_int_equal(stats.cas_hits, 2);
    assert_int_equal(stats.cas_badval, 1);
}

static void append_looks_at_the_cas(void **state)
{
    struct quarry_cache_store_options behind = {.mode = QUARRY_CACHE_APPEND, .has_cas = true};

    (void)state;
    behind.cas = set("a", "x") + 1;
    assert_int_equal(store_with("a", "y", &behind, NULL), QUARRY_CACHE_EXISTS);
    behind.cas--;
    assert_int_equal(store_with("a", "y", &behind, NULL), QUARRY_CACHE_HIT);
    assert_string_equal(value_of("a"), "xy");
}

static void a_cas_may_be_given(void **state)
{
    struct quarry_cache_store_options with = {.new_cas = UINT64_C(0xfedcba9876543210)};
    uint64_t cas;

    (void)state;
    assert_int_equal(store_with("a", "x", &with, &cas), QUARRY_CACHE_HIT);
    assert_true(cas == with.new_cas && hit_of("a").cas == with.new_cas);
    assert_true(set("a", "x") < UINT64_C(1) << 40);
}

static void an_older_cas_may_be_stored_as_stale(void **state)
{
    struct quarry_cache_store_options with = {.has_cas = true, .invalidates = true};
    struct quarry_cache_hit hit;

    (void)state;
    uint64_t old = set("a", "x");
    uint64_t now = set("a", "y");
    with.cas = now + 100;
    assert_int_equal(store_with("a", "newer", &with, NULL), QUARRY_CACHE_EXISTS);
    with.cas = old;
    assert_int_equal(store_with("a", "older", &with, NULL), QUARRY_CACHE_HIT);
    assert_int_equal(get_with("a", NULL, &hit), QUARRY_CACHE_HIT);
    assert_true(hit.is_stale && hit.has_won && !hit.is_token_given);
    assert_int_equal(get_with("a", NULL, &hit), QUARRY_CACHE_HIT);
    assert_true(hit.is_stale && !hit.has_won && hit.is_token_given);
}

static void an_item_goes_at_its_expiry(void **state)
{
    uint32_t now = quarry_cache_now(cache);

    (void)state;
    (void)set_until("a", "x", now + 10);
    (void)set_until("b", "x", QUARRY_CACHE_EXPIRED);
    assert_false(is_there("b"));
    wait_s(9);
    assert_true(is_there("a"));
    wait_s(1);
    assert_false(is_there("a"));
    struct quarry_cache_tenant_stats stats = stats_now();
    assert_int_equal(stats.item_count, 0);
    assert_int_equal(stats.get_expired, 2);
    assert_int_equal(stats.expired, 2);
    assert_int_equal(stats.expired_unfetched, 1);
    assert_int_equal(stats.get_misses, 2);
}

static void an_expired_item_is_none_for_every_command(void **state)
{
    static const enum quarry_cache_mode modes[] = {QUARRY_CACHE_REPLACE, QUARRY_CACHE_APPEND,
                                                   QUARRY_CACHE_PREPEND};
    struct quarry_cache_counted counted;
    struct quarry_cache_key key = key_of("a");

    (void)state;
    for (size_t i = 0; i < COUNT_OF(modes); i++) {
        (void)set_until("a", "1", QUARRY_CACHE_EXPIRED);
        assert_int_equal(store(modes[i], "a", "y"), QUARRY_CACHE_NOT_STORED);
    }
    (void)set_until("a", "1", QUARRY_CACHE_EXPIRED);
    assert_int_equal(store(QUARRY_CACHE_ADD, "a", "y"), QUARRY_CACHE_HIT);
    (void)set_until("a", "1", QUARRY_CACHE_EXPIRED);
    assert_int_equal(quarry_cache_delete(tenant, &key, NULL), QUARRY_CACHE_MISS);
    (void)set_until("a", "1", QUARRY_CACHE_EXPIRED);
    assert_int_equal(quarry_cache_touch(tenant, &key, 0), QUARRY_CACHE_MISS);
    (void)set_until("a", "1", QUARRY_CACHE_EXPIRED);
    assert_int_equal(quarry_cache_count(tenant, &key,
                                        &(struct quarry_cache_count_options){.delta = 1}, &counted),
                     QUARRY_CACHE_MISS);
    (void)set_until("a", "1", QUARRY_CACHE_EXPIRED);
    assert_int_equal(
        store_with("a", "x", &(struct quarry_cache_store_options){.has_cas = true, .cas = 1}, NULL),
        QUARRY_CACHE_MISS);
    assert_int_equal(store(QUARRY_CACHE_SET, "a", "2"), QUARRY_CACHE_HIT);
    assert_string_equal(value_of("a"), "2");
}

static void touch_changes_the_expiry_and_keeps_the_cas(void **state)
{
    struct quarry_cache_key key = key_of("a");
    uint32_t now = quarry_cache_now(cache);

    (void)state;
    assert_int_equal(quarry_cache_touch(tenant, &key, now + 5), QUARRY_CACHE_MISS);
    uint64_t cas = set("a", "x");
    assert_int_equal(quarry_cache_touch(tenant, &key, now + 5), QUARRY_CACHE_HIT);
    assert_int_equal(hit_of("a").expiry, now + 5);
    assert_int_equal(quarry_cache_touch(tenant, &key, now + 20), QUARRY_CACHE_HIT);
    assert_int_equal(hit_of("a").cas, cas);
    wait_s(19);
    assert_string_equal(value_of("a"), "x");
    assert_int_equal(quarry_cache_touch(tenant, &key, 0), QUARRY_CACHE_HIT);
    wait_s(100);
    assert_string_equal(value_of("a"), "x");
    assert_int_equal(hit_of("a").expiry, 0);
    assert_int_equal(stats_now().touch_hits, 3);
    assert_int_equal(stats_now().touch_misses, 1);
}

static void get_may_touch(void **state)
{
    uint32_t now = quarry_cache_now(cache);
    struct quarry_cache_get_options options = {.touches = true, .expiry = now + 5};
    struct quarry_cache_hit hit;

    (void)state;
    (void)set("a", "x");
    assert_int_equal(get_with("a", &options, &hit), QUARRY_CACHE_HIT);
    assert_int_equal(hit.expiry, now + 5);
    options.expiry = now + 9;
    assert_int_equal(get_with("a", &options, &hit), QUARRY_CACHE_HIT);
    assert_int_equal(hit.expiry, now + 9);
    wait_s(9);
    assert_int_equal(get_with("a", &options, &hit), QUARRY_CACHE_MISS);
    assert_int_equal(stats_now().touch_hits, 2);
    assert_int_equal(stats_now().touch_misses, 1);
}

static void delete_removes(void **state)
{
    struct quarry_cache_key key = key_of("a");

    (void)state;
    assert_int_equal(quarry_cache_delete(tenant, &key, NULL), QUARRY_CACHE_MISS);
    uint64_t cas = set("a", "x");
    struct quarry_cache_delete_options with = {.has_cas = true, .cas = cas + 1};
    assert_int_equal(quarry_cache_delete(tenant, &key, &with), QUARRY_CACHE_EXISTS);
    with.cas = cas;
    assert_int_equal(quarry_cache_delete(tenant, &key, &with), QUARRY_CACHE_HIT);
    assert_false(is_there("a"));
    assert_int_equal(stats_now().item_count, 0);
    assert_int_equal(stats_now().item_bytes, 0);
    assert_int_equal(stats_now().request_bytes, 0);
    assert_int_equal(stats_now().delete_hits, 1);
    assert_int_equal(stats_now().delete_misses, 1);
}

static void flush_ends_what_was_stored_before(void **state)
{
    (void)state;
    (void)set("a", "x");
    (void)set("b", "x");
    quarry_cache_flush(tenant, 0);
    (void)set("b", "y");
    assert_false(is_there("a"));
    assert_string_equal(value_of("b"), "y");
    assert_int_equal(stats_now().get_flushed, 1);
    assert_int_equal(store(QUARRY_CACHE_ADD, "a", "z"), QUARRY_CACHE_HIT);
}

static void a_flush_to_come_ends_what_was_stored_until_then(void **state)
{
    uint32_t now = quarry_cache_now(cache);

    (void)state;
    (void)set("a", "x");
    quarry_cache_flush(tenant, now + 10);
    wait_s(5);
    (void)set("b", "x");
    assert_true(is_there("a"));
    wait_s(5);
    assert_false(is_there("a"));
    assert_false(is_there("b"));
    (void)set("c", "x");
    wait_s(50);
    assert_true(is_there("c"));
}

static void a_given_cas_does_not_outlive_a_flush(void **state)
{
    struct quarry_cache_store_options with = {.new_cas = UINT64_MAX};

    (void)state;
    assert_int_equal(store_with("a", "x", &with, NULL), QUARRY_CACHE_HIT);
    quarry_cache_flush(tenant, 0);
    assert_false(is_there("a"));
    with.new_cas = 1;
    assert_int_equal(store_with("a", "x", &with, NULL), QUARRY_CACHE_HIT);
    assert_true(is_there("a"));
}

static void a_hit_tells_what_was_before_it(void **state)
{
    (void)state;
    (void)set("a", "x");
    assert_false(peek("a").was_hit);
    assert_int_equal(peek("a").idle_seconds, 0);
    wait_s(7);
    assert_int_equal(peek("a").idle_seconds, 7);
    struct quarry_cache_hit hit = hit_of("a");
    assert_false(hit.was_hit);
    assert_int_equal(hit.idle_seconds, 7);
    hit = hit_of("a");
    assert_true(hit.was_hit);
    assert_int_equal(hit.idle_seconds, 0);
    assert_true(hit.item_bytes >= 14 && hit.item_bytes <= 24);
}

static void a_value_above_the_largest_is_refused(void **state)
{
    struct quarry_cache_key key = key_of("a");
    struct quarry_cache_write write;
    static char bytes[1200];

    (void)state;
    assert_int_equal(quarry_cache_set_value_bytes_max(cache, 1000), QUARRY_OK);
    assert_int_equal(quarry_cache_write_begin(tenant, &key, 1001,
                                              &(struct quarry_cache_store_options){0}, &write),
                     QUARRY_CACHE_TOO_LARGE);
    assert_int_equal(set_filled("a", 1, 1000), QUARRY_CACHE_HIT);
    assert_int_equal(store(QUARRY_CACHE_APPEND, "a", "x"), QUARRY_CACHE_TOO_LARGE);
    assert_true(is_filled("a", 1, 1000));
    assert_int_equal(quarry_cache_store(tenant, &key, bytes, sizeof(bytes),
                                        &(struct quarry_cache_store_options){0}, NULL),
                     QUARRY_CACHE_TOO_LARGE);
    assert_int_equal(stats_now().store_too_large, 3);
    assert_int_equal(quarry_cache_set_value_bytes_max(cache, 0), QUARRY_BAD_INPUT);
    assert_int_equal(quarry_cache_set_value_bytes_max(cache, QUARRY_CACHE_VALUE_BYTES_MAX + 1),
                     QUARRY_BAD_INPUT);
}

static void a_write_is_found_only_when_it_is_committed(void **state)
{
    struct quarry_cache_key key = key_of("a");
    struct quarry_cache_store_options options = {0};
    struct quarry_cache_write first, second;
    size_t room_bytes;

    (void)state;
    assert_int_equal(quarry_cache_write_begin(tenant, &key, 5, &options, &first), QUARRY_CACHE_HIT);
    assert_int_equal(quarry_cache_write_begin(tenant, &key, 3, &options, &second),
                     QUARRY_CACHE_HIT);
    memcpy(quarry_cache_write_room(&first, &room_bytes), "first", 5);
    assert_int_equal(room_bytes, 5);
    quarry_cache_write_filled(&first, 5);
    assert_null(quarry_cache_write_room(&first, &room_bytes));
    assert_int_equal(room_bytes, 0);
    memcpy(quarry_cache_write_room(&second, &room_bytes), "2nd", 3);
    quarry_cache_write_filled(&second, 3);
    assert_false(is_there("a"));
    assert_int_equal(quarry_cache_write_commit(&second, &options, NULL), QUARRY_CACHE_HIT);
    assert_string_equal(value_of("a"), "2nd");
    assert_int_equal(quarry_cache_write_commit(&first, &options, NULL), QUARRY_CACHE_HIT);
    assert_string_equal(value_of("a"), "first");
    assert_int_equal(quarry_cache_write_begin(tenant, &key, 3, &options, &first), QUARRY_CACHE_HIT);
    quarry_cache_write_abort(&first);
    assert_string_equal(value_of("a"), "first");
}

static void what_a_reader_found_stays_until_it_leaves(void **state)
{
    struct quarry_cache_key key = key_of("a");
    struct quarry_cache_hit hit;

    (void)state;
    (void)set("a", "before");
    quarry_cache_enter(cache);
    assert_int_equal(quarry_cache_get(tenant, &key, NULL, &hit), QUARRY_CACHE_HIT);
    for (int i = 0; i < 2000; i++) {
        (void)set("a", i % 2 == 0 ? "after1" : "after2");
    }
    assert_int_equal(hit.value_bytes, 6);
    assert_memory_equal(hit.piece.bytes, "before", 6);
    quarry_cache_leave(cache);
}

static void a_full_cache_evicts_and_never_refuses(void **state)
{
    char name[32];

    (void)state;
    for (uint64_t i = 0; i < 60000; i++) {
        (void)snprintf(name, sizeof(name), "key-%llu", (unsigned long long)i);
        assert_int_equal(set_filled(name, i, 100 + i * 37 % 1500), QUARRY_CACHE_HIT);
        assert_true(is_filled(name, i, 100 + i * 37 % 1500));
        if (i % 64 == 0) {
            (void)quarry_cache_turn(cache);
        }
    }
    struct quarry_cache_tenant_stats stats = stats_now();
    assert_true(stats.evictions > 0 && stats.evicted_bytes > 0);
    assert_true(stats.item_count + stats.evictions == 60000);
    struct quarry_cache_stats whole;
    quarry_cache_read_stats(cache, &whole);
    assert_true(whole.charged_bytes <= whole.size_bytes);
    assert_int_equal(whole.item_count, stats.item_count);
}

static void a_cache_that_never_evicts_refuses_when_full(void **state)
{
    char name[32];
    uint64_t stored = 0;
    enum quarry_cache_outcome outcome = QUARRY_CACHE_HIT;

    (void)state;
    cache_begin(&(struct quarry_cache_options){
        .size_bytes = Q_MIB(2), .has_no_thread = true, .never_evicts = true});
    while (outcome == QUARRY_CACHE_HIT) {
        (void)snprintf(name, sizeof(name), "key-%llu", (unsigned long long)stored);
        outcome = set_filled(name, stored, 1000);
        stored += outcome == QUARRY_CACHE_HIT ? 1 : 0;
    }
    assert_int_equal(outcome, QUARRY_CACHE_NO_MEMORY);
    assert_true(stored > 1000 && stored < 2100);
    for (uint64_t i = 0; i < stored; i++) {
        (void)snprintf(name, sizeof(name), "key-%llu", (unsigned long long)i);
        assert_true(is_filled(name, i, 1000));
    }
    assert_int_equal(stats_now().evictions, 0);
    assert_true(stats_now().store_no_memory > 0);
    struct quarry_cache_key key = key_of("key-0");
    assert_int_equal(quarry_cache_delete(tenant, &key, NULL), QUARRY_CACHE_HIT);
    (void)quarry_cache_turn(cache);
    assert_int_equal(set_filled("key-N", 1, 1000), QUARRY_CACHE_HIT);
    cache_end();
}

static struct {
    uint32_t evicted, expired;
    char last[64];
} seen;

static void on_event(void *argument, enum quarry_cache_event event,
                     const struct quarry_cache_hit *item)
{
    assert_ptr_equal(argument, &seen);
    seen.evicted += event == QUARRY_CACHE_EVENT_EVICTED;
    seen.expired += event == QUARRY_CACHE_EVENT_EXPIRED;
    assert_true(item->key_bytes < sizeof(seen.last));
    memcpy(seen.last, item->key, item->key_bytes);
    seen.last[item->key_bytes] = 0;
}

static void an_observer_is_told_of_what_nobody_asked_to_go(void **state)
{
    char name[32];

    (void)state;
    memset(&seen, 0, sizeof(seen));
    cache_begin(&(struct quarry_cache_options){
        .size_bytes = Q_MIB(2), .has_no_thread = true, .observe = on_event, .argument = &seen});
    (void)set_until("gone", "x", QUARRY_CACHE_EXPIRED);
    assert_false(is_there("gone"));
    assert_int_equal(seen.expired, 1);
    assert_string_equal(seen.last, "gone");
    (void)set("deleted", "x");
    struct quarry_cache_key key = key_of("deleted");
    assert_int_equal(quarry_cache_delete(tenant, &key, NULL), QUARRY_CACHE_HIT);
    assert_int_equal(seen.evicted, 0);
    for (uint64_t i = 0; i < 4000; i++) {
        (void)snprintf(name, sizeof(name), "key-%llu", (unsigned long long)i);
        assert_int_equal(set_filled(name, i, 1000), QUARRY_CACHE_HIT);
    }
    assert_int_equal(seen.evicted, stats_now().evictions);
    assert_true(seen.evicted > 0);
    cache_end();
}

static void a_walk_tells_of_each_item_once(void **state)
{
    static struct quarry_cache_hit hits[50];
    static uint8_t told[3000];
    uint64_t cursor = 0;
    char name[32];
    size_t count, sum = 0;

    (void)state;
    memset(told, 0, sizeof(told));
    for (uint64_t i = 0; i < COUNT_OF(told); i++) {
        (void)snprintf(name, sizeof(name), "%llu", (unsigned long long)i);
        (void)set(name, "x");
    }
    (void)set_until("expired", "x", QUARRY_CACHE_EXPIRED);
    quarry_cache_enter(cache);
    while ((count = quarry_cache_next(tenant, &cursor, hits, COUNT_OF(hits))) != 0) {
        for (size_t i = 0; i < count; i++) {
            memcpy(name, hits[i].key, hits[i].key_bytes);
            name[hits[i].key_bytes] = 0;
            told[strtoul(name, NULL, 10)]++;
        }
        sum += count;
    }
    quarry_cache_leave(cache);
    assert_int_equal(sum, COUNT_OF(told));
    for (size_t i = 0; i < COUNT_OF(told); i++) {
        assert_int_equal(told[i], 1);
    }
}

static void figures_can_be_reset(void **state)
{
    (void)state;
    (void)set("a", "x");
    (void)is_there("a");
    (void)is_there("b");
    assert_int_equal(stats_now().get_hits, 1);
    assert_int_equal(stats_now().get_misses, 1);
    quarry_cache_reset_tenant(tenant);
    assert_int_equal(stats_now().get_hits, 0);
    assert_int_equal(stats_now().set_count, 0);
    assert_int_equal(stats_now().item_count, 1);
    (void)is_there("a");
    assert_int_equal(stats_now().get_hits, 1);
}

static void classes_tell_of_all_cells(void **state)
{
    struct quarry_cache_class_stats classes[64];
    uint64_t used = 0;

    (void)state;
    (void)set("a", "x");
    (void)set_filled("b", 1, 5000);
    (void)set_filled("c", 1, 200000);
    size_t count = quarry_cache_read_classes(cache, classes, COUNT_OF(classes));
    assert_true(count >= 3 && count <= COUNT_OF(classes));
    for (size_t i = 0; i < count; i++) {
        assert_true(i == 0 || classes[i].cell_bytes >= classes[i - 1].cell_bytes);
        assert_true(classes[i].used_count <= classes[i].cell_count);
        assert_true(classes[i].cells_per_page * classes[i].page_count >= classes[i].cell_count);
        used += classes[i].used_count;
    }
    assert_int_equal(used, 7); /* and none of what the thread keeps for its next takes */
    assert_int_equal(quarry_cache_read_classes(cache, classes, 1), count);
}

static void a_cache_needs_a_mebibyte_and_a_name(void **state)
{
    struct quarry_cache *other = NULL;
    struct quarry_error error = {0};
    struct quarry_memory *memory = (struct quarry_memory *)heap;

    (void)state;
    assert_int_equal(
        quarry_cache_create(memory, &(struct quarry_cache_options){.name = "b", .size_bytes = 1000},
                            &other, &error),
        QUARRY_BAD_INPUT);
    assert_int_equal(
        quarry_cache_create(memory, &(struct quarry_cache_options){.name = ""}, &other, &error),
        QUARRY_BAD_INPUT);
    assert_int_equal(quarry_cache_create(memory, NULL, &other, &error), QUARRY_EXISTS);
    assert_null(other);
    assert_int_equal(quarry_cache_create(memory,
                                         &(struct quarry_cache_options){.name = "second",
                                                                        .size_bytes = Q_MIB(1),
                                                                        .has_no_thread = true},
                                         &other, &error),
                     QUARRY_OK);
    struct quarry_cache_tenant *its = quarry_cache_default_tenant(other);
    struct quarry_cache_key key = quarry_cache_key_make(its, "a", 1);
    assert_int_equal(
        quarry_cache_store(its, &key, "x", 1, &(struct quarry_cache_store_options){0}, NULL),
        QUARRY_CACHE_HIT);
    assert_false(is_there("a"));
    quarry_cache_close(other);
    quarry_cache_close(NULL);
    assert_int_equal(quarry_cache_set_size(cache, 1000), QUARRY_BAD_INPUT);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, cache_set_up, cache_tear_down)
    const struct CMUnitTest tests[] = {
        CASE(a_value_that_was_set_is_found),
        CASE(a_key_may_have_any_bytes_and_250_of_them),
        CASE(set_replaces_and_keeps_one_item),
        CASE(client_flags_and_expiry_are_kept),
        CASE(add_stores_only_where_there_is_none),
        CASE(replace_stores_only_where_there_is_one),
        CASE(append_and_prepend_join_and_keep_flags_and_expiry),
        CASE(append_tells_the_whole_length),
        CASE(append_may_make_what_is_not_there),
        CASE(every_change_has_a_larger_cas),
        CASE(cas_stores_only_over_the_same),
        CASE(append_looks_at_the_cas),
        CASE(a_cas_may_be_given),
        CASE(an_older_cas_may_be_stored_as_stale),
        CASE(an_item_goes_at_its_expiry),
        CASE(an_expired_item_is_none_for_every_command),
        CASE(touch_changes_the_expiry_and_keeps_the_cas),
        CASE(get_may_touch),
        CASE(delete_removes),
        CASE(flush_ends_what_was_stored_before),
        CASE(a_flush_to_come_ends_what_was_stored_until_then),
        CASE(a_given_cas_does_not_outlive_a_flush),
        CASE(a_hit_tells_what_was_before_it),
        CASE(a_value_above_the_largest_is_refused),
        CASE(a_write_is_found_only_when_it_is_committed),
        CASE(what_a_reader_found_stays_until_it_leaves),
        CASE(a_full_cache_evicts_and_never_refuses),
        CASE(a_walk_tells_of_each_item_once),
        CASE(figures_can_be_reset),
        CASE(classes_tell_of_all_cells),
        CASE(a_cache_needs_a_mebibyte_and_a_name),
        cmocka_unit_test(a_cache_that_never_evicts_refuses_when_full),
        cmocka_unit_test(an_observer_is_told_of_what_nobody_asked_to_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
