/*
 * Values of any length, in pieces, and pins.
 */
#include <cache/types.h>

#include "unit/cache/cache_rig.h"

#include <stdio.h>
#include <string.h>

static void a_value_of_every_length_comes_back(void **state)
{
    static const uint64_t lengths[] = {0,      1,      2047,   2048,   16383,   65000,  65500,
                                       65519,  65520,  65521,  65535,  65536,   65537,  131024,
                                       131025, 200000, 524288, 786432, 1048575, 1048576};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        assert_int_equal(set_filled("a", i, lengths[i]), QUARRY_CACHE_HIT);
        assert_true(is_filled("a", i, lengths[i]));
        assert_int_equal(hit_of("a").value_bytes, lengths[i]);
        cache_check();
    }
    assert_int_equal(stats_now().item_count, 1);
}

static void lengths_around_the_largest_cell_come_back(void **state)
{
    (void)state;
    for (uint64_t bytes = CACHE_EXTENT_BYTES - 60; bytes < CACHE_EXTENT_BYTES + 30; bytes++) {
        assert_int_equal(set_filled("key", bytes, bytes), QUARRY_CACHE_HIT);
        assert_true(is_filled("key", bytes, bytes));
    }
}

static void pieces_begin_at_any_offset(void **state)
{
    struct quarry_cache_key key = key_of("a");
    struct quarry_cache_hit hit;
    struct quarry_cache_piece pieces[32];
    char wanted;

    (void)state;
    assert_int_equal(set_filled("a", 3, 500000), QUARRY_CACHE_HIT);
    quarry_cache_enter(cache);
    assert_int_equal(quarry_cache_get(tenant, &key, NULL, &hit), QUARRY_CACHE_HIT);
    assert_true(hit.piece.byte_count < hit.value_bytes);
    for (uint64_t offset = 0; offset < 500000; offset += 1237) {
        size_t count = quarry_cache_pieces(cache, &hit, offset, pieces, COUNT_OF(pieces));
        uint64_t sum = 0;
        for (size_t i = 0; i < count; i++) {
            sum += pieces[i].byte_count;
        }
        assert_int_equal(sum, 500000 - offset);
        fill(&wanted, 1, 3, offset);
        assert_memory_equal(pieces[0].bytes, &wanted, 1);
    }
    assert_int_equal(quarry_cache_pieces(cache, &hit, 0, pieces, 2), 2);
    assert_int_equal(quarry_cache_pieces(cache, &hit, 500000, pieces, 2), 0);
    assert_int_equal(quarry_cache_pieces(cache, &hit, 0, pieces, 0), 0);
    quarry_cache_leave(cache);
}

static void a_large_value_takes_memory_as_it_is_filled(void **state)
{
    struct quarry_cache_key key = key_of("a");
    struct quarry_cache_store_options options = {0};
    struct quarry_cache_write write;
    struct quarry_slab_stats stats;

    (void)state;
    assert_int_equal(quarry_cache_write_begin(tenant, &key, Q_MIB(1), &options, &write),
                     QUARRY_CACHE_HIT);
    quarry_slab_read_stats(cache->slab, &stats);
    assert_int_equal(stats.live_count, 2);
    /* An extent, and an item in a cell that is aligned to 8 bytes. */
    assert_true(stats.live_bytes <= Q_KIB(64) + CACHE_ALIGNED_BYTES_MIN + 64);
    quarry_cache_write_abort(&write);
    quarry_slab_read_stats(cache->slab, &stats);
    assert_int_equal(stats.live_count, 0);
}

static void a_large_value_is_appended_to(void **state)
{
    static char piece[70000];
    struct quarry_cache_key key = key_of("a");
    struct quarry_cache_store_options behind = {.mode = QUARRY_CACHE_APPEND};
    struct quarry_cache_store_options before = {.mode = QUARRY_CACHE_PREPEND};

    (void)state;
    fill(piece, sizeof(piece), 5, 100000);
    assert_int_equal(set_filled("a", 5, 100000), QUARRY_CACHE_HIT);
    assert_int_equal(quarry_cache_store(tenant, &key, piece, sizeof(piece), &behind, NULL),
                     QUARRY_CACHE_HIT);
    assert_true(is_filled("a", 5, 170000));
    fill(piece, 1000, 6, 0);
    (void)set_filled("a", 6, 0);
    assert_int_equal(quarry_cache_store(tenant, &key, piece, 500, &behind, NULL), QUARRY_CACHE_HIT);
    assert_int_equal(quarry_cache_store(tenant, &key, piece + 500, 500, &behind, NULL),
                     QUARRY_CACHE_HIT);
    assert_true(is_filled("a", 6, 1000));
    (void)set_filled("a", 7, 65400);
    fill(piece, 300, 7, 65400);
    assert_int_equal(quarry_cache_store(tenant, &key, piece, 300, &behind, NULL), QUARRY_CACHE_HIT);
    assert_true(is_filled("a", 7, 65700));
    assert_int_equal(quarry_cache_store(tenant, &key, "", 0, &before, NULL), QUARRY_CACHE_HIT);
    assert_true(is_filled("a", 7, 65700));
}

static void a_large_item_is_touched_and_invalidated_in_place(void **state)
{
    struct quarry_cache_key key = key_of("a");
    uint32_t now = quarry_cache_now(cache);
    struct quarry_cache_delete_options options = {.invalidates = true};

    (void)state;
    assert_int_equal(set_filled("a", 1, 200000), QUARRY_CACHE_HIT);
    struct quarry_cache_hit before = hit_of("a");
    assert_int_equal(quarry_cache_touch(tenant, &key, now + 50), QUARRY_CACHE_HIT);
    assert_int_equal(quarry_cache_delete(tenant, &key, &options), QUARRY_CACHE_HIT);
    struct quarry_cache_hit after = hit_of("a");
    assert_true(after.is_stale && after.has_won && after.cas > before.cas);
    assert_int_equal(after.expiry, now + 50);
    assert_int_equal(after.ref, before.ref);
    assert_true(hit_of("a").is_token_given);
    options = (struct quarry_cache_delete_options){.drops_value = true};
    assert_int_equal(quarry_cache_delete(tenant, &key, &options), QUARRY_CACHE_HIT);
    assert_int_equal(hit_of("a").value_bytes, 0);
}

static void a_large_value_is_no_number(void **state)
{
    struct quarry_cache_key key = key_of("a");
    struct quarry_cache_counted counted;

    (void)state;
    assert_int_equal(set_filled("a", 1, 200000), QUARRY_CACHE_HIT);
    assert_int_equal(
        quarry_cache_count(tenant, &key, &(struct quarry_cache_count_options){0}, &counted),
        QUARRY_CACHE_NOT_NUMBER);
}

static void large_values_evict_each_other(void **state)
{
    char name[32];

    (void)state;
    for (uint64_t i = 0; i < 200; i++) {
        (void)snprintf(name, sizeof(name), "key-%llu", (unsigned long long)i);
        assert_int_equal(set_filled(name, i, i % 2 == 0 ? Q_MIB(1) : 100 + i), QUARRY_CACHE_HIT);
        assert_true(is_filled(name, i, i % 2 == 0 ? Q_MIB(1) : 100 + i));
    }
    assert_true(stats_now().evictions > 50);
}

/* ---- pins ----------------------------------------------------------------------------------- */

static bool pin(const char *name, struct quarry_cache_hit *ret_hit)
{
    struct quarry_cache_key key = key_of(name);

    quarry_cache_enter(cache);
    assert_int_equal(quarry_cache_get(tenant, &key, NULL, ret_hit), QUARRY_CACHE_HIT);
    bool is_pinned = quarry_cache_pin(tenant, ret_hit);
    quarry_cache_leave(cache);
    return is_pinned;
}

static void a_pinned_value_stays_beyond_leave_and_its_end(void **state)
{
    static const uint64_t lengths[] = {4000, 300000};
    struct quarry_cache_hit hit;
    char name[32];

    (void)state;
    for (size_t n = 0; n < COUNT_OF(lengths); n++) {
        assert_int_equal(set_filled("pinned", 7, lengths[n]), QUARRY_CACHE_HIT);
        assert_true(pin("pinned", &hit));
        assert_int_equal(stats_now().pinned_bytes, hit.item_bytes);
        for (uint64_t i = 0; i < 20000; i++) {
            (void)snprintf(name, sizeof(name), "%llu", (unsigned long long)i);
            assert_int_equal(set_filled(name, i, 3000), QUARRY_CACHE_HIT);
        }
        (void)set_filled("pinned", 8, 10);
        assert_true(hit_is_filled(&hit, 7));
        quarry_cache_unpin(tenant, hit.ref);
        assert_int_equal(stats_now().pinned_bytes, 0);
        cache_check();
    }
}

static void pins_are_counted(void **state)
{
    struct quarry_cache_key key = key_of("a");
    struct quarry_cache_hit hit;

    (void)state;
    assert_int_equal(set_filled("a", 1, 5000), QUARRY_CACHE_HIT);
    assert_true(pin("a", &hit));
    assert_true(pin("a", &hit));
    assert_int_equal(stats_now().pinned_bytes, hit.item_bytes);
    assert_int_equal(quarry_cache_delete(tenant, &key, NULL), QUARRY_CACHE_HIT);
    quarry_cache_unpin(tenant, hit.ref);
    assert_true(hit_is_filled(&hit, 1));
    assert_int_equal(stats_now().pinned_bytes, hit.item_bytes);
    quarry_cache_unpin(tenant, hit.ref);
    assert_int_equal(stats_now().pinned_bytes, 0);
}

static void small_gone_and_too_many_are_not_pinned(void **state)
{
    struct quarry_cache_key key = key_of("gone");
    struct quarry_cache_hit hit;
    static struct quarry_cache_hit hits[300];
    char name[32];
    uint32_t count = 0;

    (void)state;
    (void)set("small", "x");
    assert_false(pin("small", &hit));
    (void)set_filled("gone", 1, 5000);
    quarry_cache_enter(cache);
    assert_int_equal(quarry_cache_get(tenant, &key, NULL, &hit), QUARRY_CACHE_HIT);
    assert_int_equal(quarry_cache_delete(tenant, &key, NULL), QUARRY_CACHE_HIT);
    assert_false(quarry_cache_pin(tenant, &hit));
    quarry_cache_leave(cache);
    for (;; count++) {
        (void)snprintf(name, sizeof(name), "%u", count);
        assert_int_equal(set_filled(name, count, 5000), QUARRY_CACHE_HIT);
        if (!pin(name, &hits[count])) {
            break;
        }
    }
    assert_true(stats_now().pinned_bytes <= Q_MIB(1));
    assert_true(count > 180 && count < 210);
    for (uint32_t i = 0; i < count; i++) {
        quarry_cache_unpin(tenant, hits[i].ref);
    }
}

static void one_value_above_the_limit_is_pinned_and_by_many(void **state)
{
    struct quarry_cache_hit hit, again, other;

    (void)state;
    assert_int_equal(set_filled("pinned", 1, Q_MIB(1)), QUARRY_CACHE_HIT);
    assert_int_equal(set_filled("other", 2, Q_MIB(1)), QUARRY_CACHE_HIT);
    assert_true(pin("pinned", &hit));
    assert_true(pin("pinned", &again)); /* costs no more */
    assert_true(stats_now().pinned_bytes < Q_MIB(2));
    assert_false(pin("other", &other));
    quarry_cache_unpin(tenant, hit.ref);
    assert_false(pin("other", &other));
    quarry_cache_unpin(tenant, again.ref);
    assert_true(pin("other", &other));
    quarry_cache_unpin(tenant, other.ref);
    assert_int_equal(stats_now().pinned_bytes, 0);
}

/* ---- moving --------------------------------------------------------------------------------- */

/* Empties every page that can be. */
static void move_all(void)
{
    struct quarry_slab_page page;
    uint64_t cursor = 0;

    while (quarry_slab_next_page(cache->slab, &cursor, &page)) {
        quarry_epoch_enter(cache->epoch);
        (void)quarry_slab_move_page(cache->slab, page.class_id, page.page, cache_item_move, cache);
        quarry_epoch_leave(cache->epoch);
    }
}

static void items_and_extents_move_and_are_found(void **state)
{
    struct quarry_slab_stats before, after;
    struct quarry_cache_hit hit;
    char name[32];

    (void)state;
    for (uint64_t i = 0; i < 2000; i++) {
        (void)snprintf(name, sizeof(name), "%llu", (unsigned long long)i);
        assert_int_equal(set_filled(name, i, i % 100 == 0 ? 150000 : i % 700), QUARRY_CACHE_HIT);
    }
    (void)set_filled("pinned", 77, 200000);
    assert_true(pin("pinned", &hit));
    quarry_slab_read_stats(cache->slab, &before);
    move_all();
    quarry_slab_read_stats(cache->slab, &after);
    assert_true(after.moved_count > before.moved_count + 1500);
    assert_int_equal(after.live_count, before.live_count);
    assert_true(hit_is_filled(&hit, 77));
    quarry_cache_unpin(tenant, hit.ref);
    for (uint64_t i = 0; i < 2000; i++) {
        (void)snprintf(name, sizeof(name), "%llu", (unsigned long long)i);
        assert_true(is_filled(name, i, i % 100 == 0 ? 150000 : i % 700));
    }
}

static void a_write_under_way_is_not_moved(void **state)
{
    struct quarry_cache_key key = key_of("a");
    struct quarry_cache_store_options options = {0};
    struct quarry_cache_write small, large;
    size_t room_bytes;

    (void)state;
    assert_int_equal(quarry_cache_write_begin(tenant, &key, 100, &options, &small),
                     QUARRY_CACHE_HIT);
    assert_int_equal(quarry_cache_write_begin(tenant, &key, 150000, &options, &large),
                     QUARRY_CACHE_HIT);
    fill(quarry_cache_write_room(&small, &room_bytes), 100, 1, 0);
    quarry_cache_write_filled(&small, 100);
    move_all();
    assert_int_equal(quarry_cache_write_commit(&small, &options, NULL), QUARRY_CACHE_HIT);
    assert_true(is_filled("a", 1, 100));
    for (uint64_t filled = 0; filled < 150000;) {
        char *room = quarry_cache_write_room(&large, &room_bytes);
        assert_non_null(room);
        fill(room, room_bytes, 2, filled);
        quarry_cache_write_filled(&large, room_bytes);
        filled += room_bytes;
        move_all();
    }
    assert_int_equal(quarry_cache_write_commit(&large, &options, NULL), QUARRY_CACHE_HIT);
    assert_true(is_filled("a", 2, 150000));
}

static void a_cell_tells_whose_it_is(void **state)
{
    struct quarry_cache_tenant *whose = NULL;
    uint64_t hash = 0, ref48 = 0;

    (void)state;
    (void)set_filled("a", 1, 150000);
    (void)set("b", "x");
    struct quarry_cache_hit large = hit_of("a"), small = hit_of("b");
    quarry_cache_enter(cache);
    const struct cache_item *item = cache_item_at(cache, large.ref);
    uint64_t extent = cache_item_first_extent(item, cache_item_head(item));
    assert_true(cache_item_whose(cache, small.ref, &whose, &hash, &ref48));
    assert_true(whose == tenant && hash == key_of("b").hash && ref48 == small.ref);
    assert_true(cache_item_whose(cache, extent, &whose, &hash, &ref48));
    assert_true(whose == tenant && hash == key_of("a").hash && ref48 == large.ref);
    assert_true(cache_item_remove(tenant, hash, ref48, CACHE_GONE_EVICTED) >= 150000);
    assert_false(cache_item_whose(cache, extent, &whose, &hash, &ref48));
    assert_int_equal(cache_item_remove(tenant, hash, ref48, CACHE_GONE_EVICTED), 0);
    quarry_cache_leave(cache);
    assert_false(is_there("a"));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, cache_set_up, cache_tear_down)
    const struct CMUnitTest tests[] = {
        CASE(a_value_of_every_length_comes_back),
        CASE(lengths_around_the_largest_cell_come_back),
        CASE(pieces_begin_at_any_offset),
        CASE(a_large_value_takes_memory_as_it_is_filled),
        CASE(a_large_value_is_appended_to),
        CASE(a_large_item_is_touched_and_invalidated_in_place),
        CASE(a_large_value_is_no_number),
        CASE(large_values_evict_each_other),
        CASE(a_pinned_value_stays_beyond_leave_and_its_end),
        CASE(pins_are_counted),
        CASE(small_gone_and_too_many_are_not_pinned),
        CASE(one_value_above_the_limit_is_pinned_and_by_many),
        CASE(items_and_extents_move_and_are_found),
        CASE(a_write_under_way_is_not_moved),
        CASE(a_cell_tells_whose_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
