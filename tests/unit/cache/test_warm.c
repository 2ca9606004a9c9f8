/*
 * Items that are there again after a restart, by sentences; and how long that takes.
 */
/* First: parameters of their inline functions have the names of the cache under test. */
#include <cache/file.h>
#include <cache/types.h>

#include "unit/cache/warm_rig.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit/base/random.h"

/* Ends the process, with or without a word, and begins the next. */
static void restart(bool is_clean)
{
    if (is_clean) {
        warm_close();
    } else {
        warm_kill();
    }
    warm_open();
    assert_int_equal(warm_recovery().was_clean, is_clean);
    assert_false(warm_recovery().was_cold);
    warm_validate();
}

static uint64_t live_cells(void)
{
    struct quarry_slab_stats stats;

    quarry_slab_read_stats(cache->slab, &stats);
    return stats.live_count;
}

static const char *key_of(uint32_t i)
{
    static char text[32];

    (void)snprintf(text, sizeof(text), "key-%u", i);
    return text;
}

static size_t bytes_of(uint32_t i)
{
    uint64_t state = i;

    return random_u64(&state) % (i % 50 == 0 ? 60000 : 1000);
}

/* ---- what comes back ------------------------------------------------------------------------ */

static void a_new_file_is_cold_and_says_so(void **state)
{
    struct stat facts;

    (void)state;
    warm_open();
    assert_true(warm_recovery().was_cold);
    assert_string_equal(warm_recovery().why, "the file is new");
    assert_int_equal(warm_recovery().item_count, 0);
    assert_int_equal(stat(warm_path, &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0600);
}

#define KEYS 5000u

static uint64_t evictions(void)
{
    struct quarry_cache_tenant_stats stats;

    quarry_cache_read_tenant(tenant, &stats);
    return stats.evictions;
}

/* A crowded place in the index may cost an item or two. */
#define FEW 50u

static void items_of_all_sizes_come_back(bool is_clean)
{
    static bool is_there[KEYS];
    uint32_t count = 0, missing = 0;

    warm_open();
    for (uint32_t i = 0; i < KEYS; i++) {
        warm_put(tenant, key_of(i), bytes_of(i), i);
    }
    for (uint32_t i = 0; i < KEYS; i++) {
        is_there[i] = i % 3 != 0 && warm_has(tenant, key_of(i), bytes_of(i), i);
        count += is_there[i];
        if (i % 3 == 0 && warm_has(tenant, key_of(i), bytes_of(i), i)) {
            warm_delete(tenant, key_of(i));
        }
    }
    assert_true(count > KEYS / 3 * 2 - FEW);
    uint64_t cells = live_cells();
    restart(is_clean);
    uint64_t evicted = evictions();
    assert_int_equal(warm_recovery().item_count, count - evicted);
    assert_int_equal(warm_recovery().dropped_count, 0);
    assert_int_equal(live_cells(), cells - evicted);
    for (uint32_t i = 0; i < KEYS; i++) {
        bool has = warm_has(tenant, key_of(i), bytes_of(i), i);
        assert_true(is_there[i] || !has);
        missing += is_there[i] && !has;
    }
    assert_int_equal(missing, evicted);
    for (uint32_t i = 0; i < KEYS; i++) {
        warm_put(tenant, key_of(i), bytes_of(i + 1), i);
    }
    restart(is_clean);
    for (uint32_t i = count = 0; i < KEYS; i++) {
        count += warm_has(tenant, key_of(i), bytes_of(i + 1), i);
    }
    assert_true(count > KEYS - FEW);
}

static void items_come_back_after_a_close(void **state)
{
    (void)state;
    items_of_all_sizes_come_back(true);
}

static void items_come_back_after_a_kill(void **state)
{
    (void)state;
    items_of_all_sizes_come_back(false);
}

static void large_items_come_back_with_their_extents(void **state)
{
    (void)state;
    warm_open();
    for (uint32_t i = 0; i < 20; i++) {
        warm_put(tenant, key_of(i), 70000 + i * 40000, i);
    }
    for (uint32_t i = 0; i < 20; i += 2) {
        warm_put(tenant, key_of(i), 500000, i + 100);
    }
    uint64_t cells = live_cells();
    for (uint32_t round = 0; round < 4; round++) {
        restart(round % 2 == 0);
        assert_int_equal(warm_recovery().item_count, 20);
        assert_int_equal(live_cells(), cells);
        for (uint32_t i = 0; i < 20; i++) {
            assert_true(warm_has(tenant, key_of(i), i % 2 == 0 ? 500000 : 70000 + i * 40000,
                                 i % 2 == 0 ? i + 100 : i));
        }
    }
    for (uint32_t i = 0; i < 20; i++) {
        warm_delete(tenant, key_of(i));
    }
    quarry_slab_trim(cache->slab);
    assert_int_equal(live_cells(), 0);
}

static void all_that_a_client_sees_of_an_item_comes_back(void **state)
{
    struct quarry_cache_hit before, after;
    struct quarry_cache_key key;

    (void)state;
    warm_open();
    key = quarry_cache_key_make(tenant, "k", 1);
    struct quarry_cache_store_options options = {
        .client_flags = 77, .expiry = quarry_cache_now(cache) + 1000, .new_cas = 1234567890123456};
    assert_int_equal(quarry_cache_store(tenant, &key, "value", 5, &options, NULL),
                     QUARRY_CACHE_HIT);
    warm_put(tenant, "plain", 10, 1);
    assert_int_equal(warm_get(tenant, "k", &before), QUARRY_CACHE_HIT);
    restart(false);
    assert_int_equal(warm_get(tenant, "k", &after), QUARRY_CACHE_HIT);
    assert_int_equal(after.client_flags, 77);
    assert_int_equal(after.expiry, before.expiry);
    assert_int_equal(after.cas, 1234567890123456);
    assert_int_equal(after.value_bytes, 5);
    assert_memory_equal(after.piece.bytes, "value", 5);
    assert_int_equal(warm_get(tenant, "plain", &after), QUARRY_CACHE_HIT);
    assert_int_equal(after.client_flags, 0);
    assert_int_equal(after.expiry, 0);
}

static void a_cas_stays_and_the_next_ones_are_above_all_before(void **state)
{
    struct quarry_cache_hit hit;
    uint64_t before = 0;

    (void)state;
    warm_open();
    for (uint32_t round = 0; round < 4; round++) {
        warm_put(tenant, "k", 10, round);
        assert_int_equal(warm_get(tenant, "k", &hit), QUARRY_CACHE_HIT);
        assert_true(hit.cas > before);
        before = hit.cas;
        warm_put(tenant, "gone", 10, 1); /* has a number above, and leaves no trace of it */
        warm_delete(tenant, "gone");
        restart(round % 2 == 0);
        assert_int_equal(warm_get(tenant, "k", &hit), QUARRY_CACHE_HIT);
        assert_int_equal(hit.cas, before);
        before++;
    }
}

static void what_expired_or_was_flushed_meanwhile_does_not_come_back(void **state)
{
    (void)state;
    warm_open();
    struct quarry_cache_key key = quarry_cache_key_make(tenant, "short", 5);
    struct quarry_cache_store_options options = {.expiry = quarry_cache_now(cache) + 50};
    assert_int_equal(quarry_cache_store(tenant, &key, "v", 1, &options, NULL), QUARRY_CACHE_HIT);
    warm_put(tenant, "flushed", 10, 1);
    quarry_cache_flush(tenant, 0);
    key = quarry_cache_key_make(tenant, "short2", 6);
    assert_int_equal(quarry_cache_store(tenant, &key, "v", 1, &options, NULL), QUARRY_CACHE_HIT);
    warm_put(tenant, "kept", 10, 1);
    restart(false);
    assert_int_equal(warm_recovery().item_count, 2);
    assert_false(warm_has(tenant, "flushed", 10, 1));
    assert_true(warm_has(tenant, "kept", 10, 1));
    quarry_cache_shift_clock(cache, 100);
    (void)quarry_cache_turn(cache);
    restart(true);
    assert_int_equal(warm_recovery().item_count, 1);
    assert_true(warm_has(tenant, "kept", 10, 1));
}

static void a_flush_that_is_to_come_comes_after_a_restart(void **state)
{
    (void)state;
    warm_open();
    warm_put(tenant, "k", 10, 1);
    quarry_cache_flush(tenant, quarry_cache_now(cache) + 50);
    restart(false);
    assert_true(warm_has(tenant, "k", 10, 1));
    quarry_cache_shift_clock(cache, 60);
    (void)quarry_cache_turn(cache);
    assert_false(warm_has(tenant, "k", 10, 1));
    restart(true);
    assert_int_equal(warm_recovery().item_count, 0);
}

static void the_clock_does_not_go_back(void **state)
{
    (void)state;
    warm_open();
    quarry_cache_shift_clock(cache, 5000);
    (void)quarry_cache_turn(cache);
    uint32_t before = quarry_cache_now(cache);
    restart(true);
    assert_true(quarry_cache_now(cache) >= before);
    assert_true(quarry_cache_now(cache) < before + 60);
}

static void tenants_find_what_was_theirs_and_nobody_elses(void **state)
{
    struct quarry_cache_tenant *acme, *other;
    struct quarry_cache_tenant_options options = {.name = "acme"};
    struct quarry_error error = {0};

    (void)state;
    warm_open();
    assert_int_equal(quarry_cache_add_tenant(cache, &options, &acme, &error), QUARRY_OK);
    warm_put(acme, "k", 100, 1);
    warm_put(acme, "large", 200000, 2);
    warm_put(tenant, "k", 50, 3);
    for (uint32_t round = 0; round < 3; round++) {
        restart(round == 1);
        assert_int_equal(warm_recovery().item_count, 3);
        options.name = "other";
        assert_int_equal(quarry_cache_add_tenant(cache, &options, &other, &error),
                         round == 0 ? QUARRY_OK : QUARRY_OK);
        options.name = "acme";
        assert_int_equal(quarry_cache_add_tenant(cache, &options, &acme, &error), QUARRY_OK);
        assert_false(warm_has(other, "k", 100, 1));
        assert_true(warm_has(acme, "k", 100, 1));
        assert_true(warm_has(acme, "large", 200000, 2));
        assert_true(warm_has(tenant, "k", 50, 3));
        assert_int_equal(quarry_cache_add_tenant(cache, &options, &acme, &error), QUARRY_EXISTS);
    }
}

static void a_tenant_that_was_removed_leaves_nothing(void **state)
{
    struct quarry_cache_tenant *acme;
    struct quarry_cache_tenant_options options = {.name = "acme"};
    struct quarry_error error = {0};

    (void)state;
    warm_open();
    assert_int_equal(quarry_cache_add_tenant(cache, &options, &acme, &error), QUARRY_OK);
    warm_put(acme, "k", 100, 1);
    quarry_cache_remove_tenant(acme);
    restart(false);
    assert_int_equal(warm_recovery().item_count, 0);
    assert_int_equal(quarry_cache_add_tenant(cache, &options, &acme, &error), QUARRY_OK);
    assert_false(warm_has(acme, "k", 100, 1));
}

static void a_smaller_cache_keeps_what_fits(void **state)
{
    struct quarry_cache_options options = {.size_bytes = 8u << 20, .has_no_thread = true};
    struct quarry_error error = {0};
    uint32_t kept = 0;

    (void)state;
    warm_open();
    for (uint32_t i = 0; i < 30000; i++) {
        warm_put(tenant, key_of(i), 1000, i);
    }
    warm_close();
    assert_int_equal(warm_try_open(&options, &error), QUARRY_OK);
    warm_validate();
    for (uint32_t i = 0; i < 30000; i++) {
        kept += warm_has(tenant, key_of(i), 1000, i);
    }
    assert_int_equal(kept, warm_recovery().item_count);
    assert_true(kept > 5000 && kept < 8000);
    struct quarry_cache_stats stats;
    quarry_cache_read_stats(cache, &stats);
    assert_true(stats.charged_bytes <= 8u << 20);
}

static void a_full_cache_comes_back_full(void **state)
{
    struct quarry_cache_options options = {.size_bytes = 8u << 20, .has_no_thread = true};
    struct quarry_cache_tenant_stats before, after;
    struct quarry_error error = {0};

    (void)state;
    assert_int_equal(warm_try_open(&options, &error), QUARRY_OK);
    for (uint32_t i = 0; i < 100000; i++) {
        warm_put(tenant, key_of(i), 100, i);
    }
    quarry_cache_read_tenant(tenant, &before);
    assert_true(before.evictions > 0);
    warm_close();
    assert_int_equal(warm_try_open(&options, &error), QUARRY_OK);
    warm_validate();
    quarry_cache_read_tenant(tenant, &after);
    assert_true(after.item_count * 100 >= before.item_count * 98);
    for (uint32_t i = 0; i < 100000; i++) {
        warm_put(tenant, key_of(i), 120, i);
    }
    warm_validate();
}

/* ---- what a kill leaves --------------------------------------------------------------------- */

/* Copies an item's cell, as a kill between two stores leaves it, with another sequence number. */
static void item_copy(const char *key, int64_t older_by)
{
    struct quarry_cache_hit hit;
    struct quarry_cell cell;

    assert_int_equal(warm_get(tenant, key, &hit), QUARRY_CACHE_HIT);
    const struct cache_item *item = cache_item_at(cache, hit.ref);
    size_t bytes = quarry_slab_cell_bytes(cache->slab, hit.ref);
    assert_int_equal(quarry_slab_take(cache->slab, bytes, &cell), QUARRY_OK);
    memcpy(cell.data, item, bytes);
    struct cache_item *copy = cell.data;
    uint64_t sequence = cache_item_sequence(copy, cache->sequence);
    cache_item_set_sequence(copy, sequence - (uint64_t)older_by);
    ((char *)copy)[cache_item_key_offset(copy->head) + copy->key_bytes] ^= 1;
}

static void of_two_of_a_key_the_newer_one_stays(void **state)
{
    struct quarry_cache_hit hit;

    (void)state;
    warm_open();
    for (uint32_t i = 0; i < 2000; i++) {
        warm_put(tenant, "counted", 1, i);
    }
    warm_delete(tenant, "counted");
    for (uint32_t i = 0; i < 100; i++) {
        warm_put(tenant, key_of(i), 100, i);
        item_copy(key_of(i), i % 2 == 0 ? 1000 : -1000);
    }
    warm_kill();
    warm_open();
    warm_validate();
    assert_int_equal(warm_recovery().item_count, 100);
    assert_int_equal(warm_recovery().dropped_count, 100);
    assert_int_equal(live_cells(), 100);
    for (uint32_t i = 0; i < 100; i += 2) {
        assert_true(warm_has(tenant, key_of(i), 100, i));
        assert_int_equal(warm_get(tenant, key_of(i + 1), &hit), QUARRY_CACHE_HIT);
    }
    warm_close();
    warm_open();
    assert_int_equal(warm_recovery().dropped_count, 0);
}

/* Both lead to the same extents, as when the head of a large item was being moved. */
static void two_heads_of_one_chain_are_one_item(void **state)
{
    (void)state;
    warm_open();
    warm_put(tenant, "large", 300000, 1);
    uint64_t cells = live_cells();
    struct quarry_cache_hit hit;
    struct quarry_cell cell;
    assert_int_equal(warm_get(tenant, "large", &hit), QUARRY_CACHE_HIT);
    size_t bytes = quarry_slab_cell_bytes(cache->slab, hit.ref);
    assert_int_equal(quarry_slab_take(cache->slab, bytes, &cell), QUARRY_OK);
    memcpy(cell.data, cache_item_at(cache, hit.ref), bytes);
    warm_kill();
    warm_open();
    warm_validate();
    assert_int_equal(warm_recovery().item_count, 1);
    assert_int_equal(live_cells(), cells);
    assert_true(warm_has(tenant, "large", 300000, 1));
}

static void extents_that_nothing_leads_to_are_free(void **state)
{
    struct quarry_cache_write write;

    (void)state;
    warm_open();
    warm_put(tenant, "k", 10, 1);
    uint64_t cells = live_cells();
    struct quarry_cache_key key = quarry_cache_key_make(tenant, "half", 4);
    static const struct quarry_cache_store_options options = {.mode = QUARRY_CACHE_SET};
    assert_int_equal(quarry_cache_write_begin(tenant, &key, 500000, &options, &write),
                     QUARRY_CACHE_HIT);
    for (uint32_t i = 0; i < 3; i++) {
        size_t room_bytes;
        char *room = quarry_cache_write_room(&write, &room_bytes);
        memset(room, 7, room_bytes);
        quarry_cache_write_filled(&write, room_bytes);
    }
    size_t bytes;
    char *file = warm_read_file(&bytes);
    quarry_cache_write_abort(&write);
    warm_close();
    warm_write_file(file, bytes);
    free(file);
    warm_open();
    warm_validate();
    assert_int_equal(warm_recovery().item_count, 1);
    assert_int_equal(live_cells(), cells);
}

static void a_chain_that_lost_an_extent_is_dropped(void **state)
{
    struct quarry_cache_hit hit;

    (void)state;
    warm_open();
    warm_put(tenant, "large", 300000, 1);
    warm_put(tenant, "other", 300000, 2);
    assert_int_equal(warm_get(tenant, "large", &hit), QUARRY_CACHE_HIT);
    const struct cache_item *item = cache_item_at(cache, hit.ref);
    struct cache_extent *extent = (struct cache_extent *)(void *)cache_item_at(
        cache, cache_item_first_extent(item, item->head));
    uint32_t head = extent->head;
    extent->head = 0;
    size_t bytes;
    char *file = warm_read_file(&bytes);
    extent->head = head;
    warm_close();
    warm_write_file(file, bytes);
    free(file);
    warm_open();
    warm_validate();
    assert_int_equal(warm_recovery().item_count, 1);
    assert_false(warm_has(tenant, "large", 300000, 1));
    assert_true(warm_has(tenant, "other", 300000, 2));
}

/* Extents that were reached on a way that led nowhere are free, as those that were not. */
static void a_chain_of_another_length_is_dropped_with_its_extents(void **state)
{
    static const int64_t differences[] = {-200000, -40000, -1, 1, 40000};
    struct quarry_cache_hit hit;

    (void)state;
    warm_open();
    warm_put(tenant, "other", 300000, 2);
    uint64_t cells = live_cells();
    for (size_t i = 0; i < sizeof(differences) / sizeof(differences[0]); i++) {
        warm_put(tenant, "large", 300000, 1);
        assert_int_equal(warm_get(tenant, "large", &hit), QUARRY_CACHE_HIT);
        struct cache_item *item = cache_item_at(cache, hit.ref);
        cache_item_large_fields(item, item->head)[0] += (uint64_t)differences[i];
        size_t bytes;
        char *file = warm_read_file(&bytes);
        cache_item_large_fields(item, item->head)[0] = 300000;
        warm_close();
        warm_write_file(file, bytes);
        free(file);
        warm_open();
        warm_validate();
        assert_int_equal(warm_recovery().item_count, 1);
        assert_int_equal(live_cells(), cells);
        assert_true(warm_has(tenant, "other", 300000, 2));
    }
}

/* A page of one class becomes one of another: values made to look like items are none. */
static void what_an_earlier_owner_of_a_page_wrote_is_no_item(void **state)
{
    static char value[4000];

    (void)state;
    warm_open();
    /* Everywhere a word that would be an item's head, and a key behind it. */
    for (size_t i = 0; i + 4 <= sizeof(value); i += 4) {
        const uint32_t head = CACHE_HEAD_VALID | 3;
        const uint8_t other[4] = {0, 2, 1, 1};
        memcpy(value + i, i % 8 == 0 ? (const void *)&head : (const void *)other, 4);
    }
    struct quarry_cache_key key;
    static const struct quarry_cache_store_options options = {.mode = QUARRY_CACHE_SET};
    for (uint32_t i = 0; i < 3000; i++) {
        const char *text = key_of(i);
        key = quarry_cache_key_make(tenant, text, strlen(text));
        assert_int_equal(quarry_cache_store(tenant, &key, value, sizeof(value), &options, NULL),
                         QUARRY_CACHE_HIT);
    }
    for (uint32_t i = 0; i < 3000; i++) {
        warm_delete(tenant, key_of(i));
    }
    quarry_slab_trim(cache->slab);
    for (uint32_t i = 0; i < 100; i++) {
        warm_put(tenant, key_of(i), 20 + i * 30, i);
    }
    restart(false);
    assert_int_equal(warm_recovery().item_count, 100);
    assert_int_equal(warm_recovery().dropped_count, 0);
    for (uint32_t i = 0; i < 100; i++) {
        assert_true(warm_has(tenant, key_of(i), 20 + i * 30, i));
    }
}

/* ---- what is refused ------------------------------------------------------------------------ */

static void a_file_that_is_open_is_busy(void **state)
{
    struct quarry_error error = {0};
    struct quarry_cache *second;

    (void)state;
    warm_open();
    struct quarry_cache_options options = {.name = "second", .file_path = warm_path};
    assert_int_equal(quarry_cache_create(memory, &options, &second, &error), QUARRY_BUSY);
    warm_put(tenant, "k", 10, 1);
    assert_true(warm_has(tenant, "k", 10, 1));
}

static void a_file_of_something_else_is_refused_and_left_alone(void **state)
{
    struct quarry_error error = {0};
    size_t bytes;

    (void)state;
    warm_write_file("not a cache", 11);
    assert_int_equal(warm_try_open(NULL, &error), QUARRY_CORRUPT);
    char *file = warm_read_file(&bytes);
    assert_int_equal(bytes, 11);
    assert_memory_equal(file, "not a cache", 11);
    free(file);
    (void)unlink(warm_path);
    warm_open();
    warm_close();
    file = warm_read_file(&bytes);
    memcpy(file + 65536, "ANOTHER", 7);
    warm_write_file(file, bytes);
    free(file);
    assert_int_equal(warm_try_open(NULL, &error), QUARRY_CORRUPT);
    assert_string_equal(error.text, "cache: the file is not a cache's");
}

static void a_version_that_nobody_knows_begins_cold(void **state)
{
    size_t bytes;

    (void)state;
    warm_open();
    warm_put(tenant, "k", 10, 1);
    warm_close();
    char *file = warm_read_file(&bytes);
    file[65536 + 8] = 9;
    warm_write_file(file, bytes);
    free(file);
    warm_open();
    assert_true(warm_recovery().was_cold);
    assert_string_equal(warm_recovery().why, "version 9 of the format, this is 2");
    assert_false(warm_has(tenant, "k", 10, 1));
    warm_put(tenant, "k", 10, 2);
    restart(true);
    assert_true(warm_has(tenant, "k", 10, 2));
}

/* On a disk of 8 MiB: sets succeed or say no, and nothing is torn. */
static void check_small_disk(void)
{
    struct quarry_cache_tenant_stats stats;
    uint32_t kept = 0;

    warm_open();
    for (uint32_t i = 0; i < 30000; i++) {
        const char *text = key_of(i);
        struct quarry_cache_key key = quarry_cache_key_make(tenant, text, strlen(text));
        static char value[1000];
        memset(value, (int)i, sizeof(value));
        enum quarry_cache_outcome outcome = quarry_cache_store(
            tenant, &key, value, sizeof(value),
            &(struct quarry_cache_store_options){.mode = QUARRY_CACHE_SET}, NULL);
        assert_true(outcome == QUARRY_CACHE_HIT || outcome == QUARRY_CACHE_NO_MEMORY);
        (void)quarry_cache_turn(cache);
    }
    warm_validate();
    quarry_cache_read_tenant(tenant, &stats);
    assert_true(stats.item_count > 3000 && stats.item_count < 8500);
    warm_close();
    warm_open();
    warm_validate();
    for (uint32_t i = 0; i < 30000; i++) {
        struct quarry_cache_hit hit;
        if (warm_get(tenant, key_of(i), &hit) == QUARRY_CACHE_HIT) {
            kept++;
        }
    }
    assert_true(kept * 100 >= stats.item_count * 98);
    warm_close();
}

static void a_full_disk_is_no_room_and_never_a_signal(void **state)
{
    char folder[] = "/tmp/quarry-cache-XXXXXX";

    (void)state;
    assert_non_null(mkdtemp(folder));
    if (mount("tmpfs", folder, "tmpfs", MS_NOSUID | MS_NODEV, "size=8m") != 0) {
        print_message("no tmpfs can be mounted here (%s): skipped\n", strerror(errno));
        assert_int_equal(rmdir(folder), 0);
        skip();
    }
    warm_use_folder(folder);
    check_small_disk();
    warm_use_folder("");
    assert_int_equal(umount2(folder, MNT_DETACH), 0);
    assert_int_equal(rmdir(folder), 0);
}

/* ---- speed ---------------------------------------------------------------------------------- */

#define MANY (OS_UNDER_TSAN ? 50000u : 1000000u)

static void a_million_items_are_back_soon(void **state)
{
    struct quarry_cache_options options = {
        .size_bytes = 400u << 20, .has_no_thread = true, .recovery_threads = 2};
    struct quarry_error error = {0};
    static char value[200];

    (void)state;
    assert_int_equal(warm_try_open(&options, &error), QUARRY_OK);
    for (uint32_t i = 0; i < MANY; i++) {
        char text[32];
        int length = snprintf(text, sizeof(text), "key-%08u", i);
        struct quarry_cache_key key = quarry_cache_key_make(tenant, text, (size_t)length);
        assert_int_equal(quarry_cache_store(
                             tenant, &key, value, 200 - (size_t)length,
                             &(struct quarry_cache_store_options){.mode = QUARRY_CACHE_SET}, NULL),
                         QUARRY_CACHE_HIT);
    }
    struct quarry_cache_tenant_stats before;
    quarry_cache_read_tenant(tenant, &before);
    assert_true(before.item_count > MANY / 100 * 99);
    for (uint32_t threads = 1; threads <= 2; threads++) {
        warm_close();
        options.recovery_threads = threads;
        assert_int_equal(warm_try_open(&options, &error), QUARRY_OK);
        assert_true(warm_recovery().item_count >= before.item_count / 1000 * 999);
        print_message("%u items of 200 bytes by %u threads: %llu ms\n", MANY, threads,
                      (unsigned long long)(warm_recovery().duration_ns / 1000000));
    }
}

int main(void)
{
#define WARM_TEST(name) cmocka_unit_test_setup_teardown(name, warm_set_up, warm_tear_down)
    const struct CMUnitTest tests[] = {
        WARM_TEST(a_new_file_is_cold_and_says_so),
        WARM_TEST(items_come_back_after_a_close),
        WARM_TEST(items_come_back_after_a_kill),
        WARM_TEST(large_items_come_back_with_their_extents),
        WARM_TEST(all_that_a_client_sees_of_an_item_comes_back),
        WARM_TEST(a_cas_stays_and_the_next_ones_are_above_all_before),
        WARM_TEST(what_expired_or_was_flushed_meanwhile_does_not_come_back),
        WARM_TEST(a_flush_that_is_to_come_comes_after_a_restart),
        WARM_TEST(the_clock_does_not_go_back),
        WARM_TEST(tenants_find_what_was_theirs_and_nobody_elses),
        WARM_TEST(a_tenant_that_was_removed_leaves_nothing),
        WARM_TEST(a_smaller_cache_keeps_what_fits),
        WARM_TEST(a_full_cache_comes_back_full),
        WARM_TEST(of_two_of_a_key_the_newer_one_stays),
        WARM_TEST(two_heads_of_one_chain_are_one_item),
        WARM_TEST(extents_that_nothing_leads_to_are_free),
        WARM_TEST(a_chain_that_lost_an_extent_is_dropped),
        WARM_TEST(a_chain_of_another_length_is_dropped_with_its_extents),
        WARM_TEST(what_an_earlier_owner_of_a_page_wrote_is_no_item),
        WARM_TEST(a_file_that_is_open_is_busy),
        WARM_TEST(a_file_of_something_else_is_refused_and_left_alone),
        WARM_TEST(a_version_that_nobody_knows_begins_cold),
        WARM_TEST(a_full_disk_is_no_room_and_never_a_signal),
        WARM_TEST(a_million_items_are_back_soon),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
