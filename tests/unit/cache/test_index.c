/*
 * The index: growing, overflowing, walking, and what it costs.
 */
#include <cache/index_table.h>
#include <cache/policy.h>

#include "unit/cache/cache_rig.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A cache that holds all that these tests put in. */
static int large_set_up(void **state)
{
    (void)state;
    cache_begin(&(struct quarry_cache_options){.size_bytes = Q_MIB(256), .has_no_thread = true});
    return 0;
}

static const char *name_of(uint64_t n)
{
    static char name[32];

    (void)snprintf(name, sizeof(name), "n%llu", (unsigned long long)n);
    return name;
}

static struct quarry_cache_stats whole_now(void)
{
    struct quarry_cache_stats stats;

    quarry_cache_read_stats(cache, &stats);
    return stats;
}

static void all_are_found_while_it_grows(void **state)
{
    (void)state;
    for (uint64_t n = 0; n < 300000; n++) {
        (void)set(name_of(n), name_of(n));
        if (n % 1000 == 0) {
            for (uint64_t i = 0; i <= n; i += 1 + n / 100) {
                assert_string_equal(value_of(name_of(i)), name_of(i));
            }
        }
        if (n % 50000 == 0) {
            cache_check();
        }
    }
    for (uint64_t n = 0; n < 300000; n++) {
        assert_true(is_there(name_of(n)));
        assert_false(n % 10 == 0 && is_there(name_of(n + 1000000)));
    }
    assert_true(whole_now().index_grown_count > 30);
}

/* One that has lost its processor, say, for the time that thousands of sets take. */
static void a_reader_that_stays_costs_no_items(void **state)
{
    (void)state;
    quarry_cache_enter(cache);
    for (uint64_t n = 0; n < 5000; n++) {
        (void)set(name_of(n), name_of(n));
    }
    quarry_cache_leave(cache);
    assert_int_equal(stats_now().evictions, 0);
    assert_int_equal(stats_now().item_count, 5000);
}

static void it_costs_little_and_is_never_too_full(void **state)
{
    double sum = 0, worst = 0;
    uint64_t samples = 0;

    (void)state;
    for (uint64_t n = 1; n <= 600000; n++) {
        (void)set(name_of(n), "");
        if (n >= 100000 && n % 2000 == 0) {
            struct quarry_cache_stats stats = whole_now();
            double bytes = (double)stats.index_bytes / (double)n;
            sum += bytes;
            worst = bytes > worst ? bytes : worst;
            samples++;
            assert_true(stats.index_slots * 93 / 100 > n);
        }
    }
    printf("index: %.2f bytes an item on average, %.2f at worst\n", sum / (double)samples, worst);
    assert_true(sum / (double)samples <= 11.5);
    /* At a load of 0.74, while one table of 64 KiB is moved and the last one is not collected yet.
     */
    assert_true(worst <= 64.0 / 7 / 0.74 + 2 * 65536.0 / 100000);
}

static void a_turn_goes_on_with_what_has_begun(void **state)
{
    uint64_t n = 0;

    (void)state;
    while (atomic_load_relaxed_ptr(&tenant->index.growing) == NULL) {
        (void)set(name_of(n++), "");
    }
    uint64_t grown = whole_now().index_grown_count;
    while (quarry_cache_turn(cache)) {
    }
    assert_null(atomic_load_relaxed_ptr(&tenant->index.growing));
    assert_int_equal(whole_now().index_grown_count, grown + 1);
    for (uint64_t i = 0; i < n; i++) {
        assert_true(is_there(name_of(i)));
    }
}

static void it_shrinks_when_items_go(void **state)
{
    (void)state;
    for (uint64_t n = 0; n < 100000; n++) {
        (void)set(name_of(n), name_of(n));
    }
    uint64_t most = whole_now().index_bytes;
    for (uint64_t n = 0; n < 100000; n++) {
        struct quarry_cache_key key = key_of(name_of(n));
        if (n % 20 != 0) {
            assert_int_equal(quarry_cache_delete(tenant, &key, NULL), QUARRY_CACHE_HIT);
        }
    }
    for (int turn = 0; turn < 20000; turn++) {
        (void)quarry_cache_turn(cache);
    }
    assert_true(whole_now().index_bytes < most / 4);
    for (uint64_t n = 0; n < 100000; n++) {
        assert_true(is_there(name_of(n)) == (n % 20 == 0));
    }
}

/* Counts of what was passed on, over all tables. */
static uint64_t passed_in_all(void)
{
    const struct cache_directory *directory = cache_directory_of(&tenant->index);
    uint64_t passed = 0;

    for (uint64_t i = 0; i < UINT64_C(1) << directory->bits; i++) {
        const struct cache_table *table = atomic_load_relaxed_ptr(&directory->table[i]);
        for (uint32_t at = 0; at < table->bucket_count; at++) {
            passed += cache_bucket_passed(&table->bucket[at]);
        }
    }
    return passed;
}

static void items_past_a_full_bucket_are_found_and_removed(void **state)
{
    uint64_t n = 0;

    (void)state;
    while (passed_in_all() < 20) {
        (void)set(name_of(n++), "");
    }
    for (uint64_t i = 0; i < n; i++) {
        assert_true(is_there(name_of(i)));
    }
    cache_check();
    for (uint64_t i = 0; i < n; i++) {
        struct quarry_cache_key key = key_of(name_of(i));
        assert_int_equal(quarry_cache_delete(tenant, &key, NULL), QUARRY_CACHE_HIT);
        if (i % 100 == 0) {
            cache_check();
        }
    }
    assert_int_equal(passed_in_all(), 0);
}

static void removing_wants_this_very_ref(void **state)
{
    (void)state;
    (void)set("a", "x");
    struct quarry_cache_key key = key_of("a");
    uint64_t ref48 = peek("a").ref;
    quarry_cache_enter(cache);
    assert_int_equal(cache_item_remove(tenant, key.hash, ref48 + 1, CACHE_GONE_EVICTED), 0);
    assert_int_equal(cache_item_remove(tenant, key.hash + 1, ref48, CACHE_GONE_EVICTED), 0);
    assert_true(cache_item_remove(tenant, key.hash, ref48, CACHE_GONE_EVICTED) > 0);
    assert_int_equal(cache_item_remove(tenant, key.hash, ref48, CACHE_GONE_EVICTED), 0);
    quarry_cache_leave(cache);
    assert_false(is_there("a"));
}

static struct cache_found find(const char *name)
{
    struct quarry_cache_key key = key_of(name);

    quarry_cache_enter(cache);
    struct cache_found found = cache_index_find(tenant, &key);
    quarry_cache_leave(cache);
    return found;
}

/* The item has come from the small queue into the main one. */
static void tell_policy(uint64_t ref48, uint64_t hash, bool is_main)
{
    struct cache_item *item = cache_item_at(cache, ref48);
    uint64_t bytes = cache_item_charge(cache, ref48, item, cache_item_head(item));

    cache_policy_left(tenant, bytes, !is_main);
    cache_policy_entered(tenant, hash, ref48, bytes, is_main);
}

static void worth_rises_to_three_and_promotion_takes_it(void **state)
{
    uint32_t frequency = 0;

    (void)state;
    (void)set("a", "x");
    assert_int_equal(cache_slot_frequency(find("a").seen), 0);
    assert_false(cache_slot_is_main(find("a").seen));
    for (int i = 0; i < 5; i++) {
        assert_true(is_there("a"));
        frequency = cache_slot_frequency(find("a").seen);
        assert_int_equal(frequency, i < 3 ? i + 1 : 3);
    }
    struct cache_found found = find("a");
    quarry_cache_enter(cache);
    assert_true(cache_slot_lower(found.slot, found.seen) != 0);
    assert_true(cache_slot_lower(found.slot, found.seen) == 0);
    uint64_t hash = key_of("a").hash, ref48 = cache_slot_ref(found.seen);
    assert_true(cache_index_promote(tenant, hash, ref48, 1));
    assert_false(cache_index_promote(tenant, hash, ref48, 1));
    tell_policy(ref48, hash, true);
    quarry_cache_leave(cache);
    assert_true(cache_slot_is_main(find("a").seen));
    assert_int_equal(cache_slot_frequency(find("a").seen), 1);
    assert_int_equal(cache_slot_ref(find("a").seen), ref48);
    (void)set("a", "y"); /* which is a use as well */
    assert_true(cache_slot_is_main(find("a").seen));
    assert_int_equal(cache_slot_frequency(find("a").seen), 2);
}

static void a_hand_sees_every_slot_in_a_round(void **state)
{
    uint64_t cursor = 0, seen = 0, rounds = 0;

    (void)state;
    for (uint64_t n = 0; n < 20000; n++) {
        (void)set(name_of(n), "");
    }
    while (quarry_cache_turn(cache)) {
    }
    do {
        struct cache_slot_view slots[CACHE_BUCKET_SLOTS];
        quarry_cache_enter(cache);
        seen += cache_index_look(&tenant->index, &cursor, slots);
        quarry_cache_leave(cache);
        rounds++;
    } while (cursor != 0);
    assert_int_equal(seen, 20000);
    assert_int_equal(rounds * CACHE_BUCKET_SLOTS, whole_now().index_slots);
}

static void a_walk_tells_of_all_while_it_grows(void **state)
{
    static struct quarry_cache_hit hits[7];
    static uint8_t told[40000];
    uint64_t cursor = 0, n = 5000;
    char name[32];
    size_t count;

    (void)state;
    memset(told, 0, sizeof(told));
    for (uint64_t i = 0; i < n; i++) {
        (void)set(name_of(i), "");
    }
    do {
        quarry_cache_enter(cache);
        count = quarry_cache_next(tenant, &cursor, hits, COUNT_OF(hits));
        for (size_t i = 0; i < count; i++) {
            memcpy(name, hits[i].key, hits[i].key_bytes);
            name[hits[i].key_bytes] = 0;
            told[strtoul(name + 1, NULL, 10)]++;
        }
        quarry_cache_leave(cache);
        for (int i = 0; i < 20 && n < COUNT_OF(told); i++) {
            (void)set(name_of(n++), "");
        }
    } while (count != 0);
    assert_true(n > 15000);
    for (size_t i = 0; i < 5000; i++) {
        assert_int_equal(told[i], 1);
    }
    for (size_t i = 0; i < COUNT_OF(told); i++) {
        assert_true(told[i] <= 1);
    }
}

static void recovery_enters_each_key_once(void **state)
{
    uint64_t ref48 = 0;

    (void)state;
    (void)set("a", "x");
    struct quarry_cache_key key = key_of("a");
    uint64_t own = peek("a").ref;
    quarry_cache_enter(cache);
    assert_int_equal(cache_index_restore(tenant, key.hash, own, true, &ref48), QUARRY_EXISTS);
    assert_int_equal(ref48, own);
    assert_true(cache_index_remove(tenant, key.hash, own) != 0);
    assert_null(cache_index_find(tenant, &key).item);
    /* As recovery finds it: whole. */
    cache_item_at(cache, own)->head |= CACHE_HEAD_VALID;
    assert_int_equal(cache_index_restore(tenant, key.hash, own, true, &ref48), QUARRY_OK);
    tell_policy(own, key.hash, true);
    quarry_cache_leave(cache);
    assert_string_equal(value_of("a"), "x");
    assert_true(cache_slot_is_main(find("a").seen));
}

static void it_goes_on_without_memory_to_grow(void **state)
{
    uint64_t stored = 0;

    (void)state;
    cache_begin(&(struct quarry_cache_options){.size_bytes = Q_MIB(1), .has_no_thread = true});
    for (uint64_t n = 0; n < 60000; n++) {
        enum quarry_cache_outcome outcome = store(QUARRY_CACHE_SET, name_of(n), "");
        assert_int_equal(outcome, QUARRY_CACHE_HIT);
        stored += is_there(name_of(n)) ? 1 : 0;
    }
    assert_int_equal(stored, 60000);
    struct quarry_cache_stats stats = whole_now();
    printf("1 MiB: %llu items, index %llu slots, %llu bytes\n",
           (unsigned long long)stats.item_count, (unsigned long long)stats.index_slots,
           (unsigned long long)stats.index_bytes);
    assert_true(stats.item_count > 5000);
    cache_end();
}

/* ---- no room where it grows to -------------------------------------------------------------- */

#define FILLED_MAX 8192u

/* Slots of a table that others are kept from. */
static _Atomic uint64_t *filled[FILLED_MAX];
static uint32_t filled_count;

static void fill_slots(struct cache_table *table, uint64_t value)
{
    for (uint32_t i = 0; i < table->bucket_count; i++) {
        for (uint32_t k = 0; k < CACHE_BUCKET_SLOTS; k++) {
            if (atomic_load_relaxed_u64(&table->bucket[i].slot[k]) == 0) {
                assert_true(filled_count < FILLED_MAX);
                atomic_store_relaxed_u64(&table->bucket[i].slot[k], value);
                filled[filled_count++] = &table->bucket[i].slot[k];
            }
        }
    }
}

static void empty_slots(void)
{
    while (filled_count != 0) {
        atomic_store_relaxed_u64(filled[--filled_count], 0);
    }
}

/* A table that has begun to grow, the oldest of the index. Returns: how many items there are. */
static uint64_t begin_growing(struct cache_table **ret_table)
{
    void *growing = NULL;
    uint64_t n = 0;

    while (growing == NULL || growing == CACHE_INDEX_CLAIMED) {
        (void)set(name_of(n), name_of(n));
        n++;
        growing = atomic_load_relaxed_ptr(&tenant->index.growing);
    }
    *ret_table = growing;
    return n;
}

static void an_item_that_a_grown_table_has_no_room_for_goes_as_if_it_were_evicted(void **state)
{
    struct cache_table *table;
    uint64_t found = 0, count = begin_growing(&table);

    (void)state;
    assert_int_equal(stats_now().evictions, 0);
    struct quarry_cache_key key = key_of(name_of(0));
    quarry_cache_enter(cache);
    uint64_t value = cache_index_find(tenant, &key).seen;
    quarry_cache_leave(cache);
    fill_slots(cache_table_next(table, 0), value);
    assert_true(cache_index_turn(tenant)); /* moves some homes, all in vain */
    uint64_t evictions = stats_now().evictions;
    assert_true(evictions > 100);
    assert_int_equal(stats_now().item_count, count - evictions);
    empty_slots();
    while (atomic_load_relaxed_ptr(&tenant->index.growing) != NULL) {
        (void)cache_index_turn(tenant);
    }
    assert_int_equal(stats_now().evictions, evictions);
    for (uint64_t n = 0; n < count; n++) {
        found += is_there(name_of(n));
    }
    assert_int_equal(found, count - evictions);
    cache_check();
    (void)set(name_of(0), "anew");
    assert_string_equal(value_of(name_of(0)), "anew");
}

/* ---- readers that stay ---------------------------------------------------------------------- */

static _Atomic uint32_t reader_is_over;

static void *read_slowly(void *argument)
{
    const struct timespec rest = {.tv_nsec = 2000000};

    (void)argument;
    while (atomic_load_relaxed_u32(&reader_is_over) == 0) {
        quarry_cache_enter(cache);
        (void)nanosleep(&rest, NULL);
        quarry_cache_leave(cache);
    }
    return NULL;
}

static void with_memory_open_nothing_goes_while_readers_are_in_old_tables(void **state)
{
    pthread_t reader;

    (void)state;
    atomic_store_relaxed_u32(&reader_is_over, 0);
    assert_int_equal(pthread_create(&reader, NULL, read_slowly, NULL), 0);
    for (uint64_t n = 0; n < 100000; n++) {
        (void)set(name_of(n), "");
    }
    atomic_store_relaxed_u32(&reader_is_over, 1);
    assert_int_equal(pthread_join(reader, NULL), 0);
    assert_int_equal(stats_now().evictions, 0);
    assert_int_equal(stats_now().item_count, 100000);
}

int main(void)
{
#define CASE(name)       cmocka_unit_test_setup_teardown(name, cache_set_up, cache_tear_down)
#define CASE_LARGE(name) cmocka_unit_test_setup_teardown(name, large_set_up, cache_tear_down)
    const struct CMUnitTest tests[] = {
        CASE_LARGE(all_are_found_while_it_grows),
        CASE_LARGE(it_costs_little_and_is_never_too_full),
        CASE(a_turn_goes_on_with_what_has_begun),
        CASE_LARGE(it_shrinks_when_items_go),
        CASE(items_past_a_full_bucket_are_found_and_removed),
        CASE(removing_wants_this_very_ref),
        CASE(worth_rises_to_three_and_promotion_takes_it),
        CASE(a_hand_sees_every_slot_in_a_round),
        CASE(a_walk_tells_of_all_while_it_grows),
        CASE(recovery_enters_each_key_once),
        CASE_LARGE(a_reader_that_stays_costs_no_items),
        cmocka_unit_test(it_goes_on_without_memory_to_grow),
        CASE(an_item_that_a_grown_table_has_no_room_for_goes_as_if_it_were_evicted),
        CASE_LARGE(with_memory_open_nothing_goes_while_readers_are_in_old_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
