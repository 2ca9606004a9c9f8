/*
 * The cache through its door.
 */
#include "unit/block/block_rig.h"

#include <string.h>

#include <ref/ref.h>

/* ---- blocks --------------------------------------------------------------------------------- */

static void a_block_has_its_bytes_and_room_beside_them(void **state)
{
    (void)state;
    static const size_t sizes[] = {0,    1,    7,     8,      100,    447,    448,
                                   4096, 5000, 32768, 524224, 524225, 2000000};

    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct quarry_block block = {0};
        assert_int_equal(quarry_block_alloc(cache, sizes[i], 24, &block), QUARRY_OK);
        assert_int_equal(quarry_block_bytes(&block), sizes[i]);
        assert_int_equal((uintptr_t)quarry_block_data(&block) % 8, 0);
        assert_int_equal((uintptr_t)quarry_block_extra(&block) % 8, 0);
        assert_true((char *)quarry_block_extra(&block) >= (char *)block.data + sizes[i]);
        memset(quarry_block_data(&block), 1, sizes[i]);
        memset(quarry_block_extra(&block), 2, 24);
        quarry_block_release(cache, &block);
    }
    assert_int_equal(stats_now().block_bytes, 0);
}

static void a_block_that_is_too_large_is_refused(void **state)
{
    (void)state;
    struct quarry_block block = {0};

    assert_int_equal(quarry_block_alloc(cache, QUARRY_BLOCK_BYTES_MAX, 1, &block),
                     QUARRY_TOO_LARGE);
    assert_int_equal(quarry_block_alloc(cache, SIZE_MAX, SIZE_MAX, &block), QUARRY_TOO_LARGE);
    assert_null(block.data);
}

static void references_keep_a_block_and_the_last_one_frees_it(void **state)
{
    (void)state;
    struct quarry_block block = block_make(1, 4096);
    struct quarry_block other = quarry_block_acquire(cache, &block);

    quarry_block_release(cache, &block);
    assert_null(quarry_block_data(&block));
    block_check(&other, 1);
    quarry_block_release(cache, &other);
    quarry_block_release(cache, &other); /* none by now */
    assert_int_equal(stats_now().block_bytes, 0);
}

static void a_stale_reference_is_found_out(void **state)
{
    (void)state;
    struct quarry_block block = block_make(1, 4096), stale = block;

    quarry_block_release(cache, &block);
    assert_null(quarry_block_data(&stale));
    assert_null(quarry_block_extra(&stale));
    assert_int_equal(quarry_block_bytes(&stale), 0);
    for (uint64_t i = 0; i < 100; i++) { /* the place has another block by now */
        struct quarry_block next = block_make(i, 4096);
        assert_null(quarry_block_data(&stale));
        quarry_block_release(cache, &next);
    }
}

/* ---- entering and finding ------------------------------------------------------------------- */

static void what_was_entered_is_found_and_nothing_else(void **state)
{
    (void)state;
    for (uint64_t n = 0; n < 100; n++) {
        assert_int_equal(enter(n, 4096), QUARRY_OK);
    }
    for (uint64_t n = 0; n < 100; n++) {
        assert_true(is_there(n));
        assert_false(is_there(n + 100));
    }
    cache_check();
}

static void a_readers_block_outlives_its_eviction(void **state)
{
    (void)state;
    /* The hands begin at the first entry, and come by there last. */
    assert_int_equal(enter(6, 4096), QUARRY_OK);
    struct quarry_block block = block_make(7, 4096);
    struct quarry_block_key key = key_of(7);

    assert_int_equal(quarry_block_cache_put(cache, &key, data_tag, &block), QUARRY_OK);
    for (uint64_t n = 100; n < 2000; n++) {
        assert_int_equal(enter(n, 4096), QUARRY_OK);
    }
    assert_false(is_there(7));
    block_check(&block, 7);
    quarry_block_release(cache, &block);
    cache_check();
}

static void a_block_entered_again_replaces_the_first(void **state)
{
    (void)state;
    struct quarry_block_key key = key_of(3);
    struct quarry_block first = block_make(1, 4096), second = block_make(3, 8192), found = {0};

    assert_int_equal(quarry_block_cache_put(cache, &key, data_tag, &first), QUARRY_OK);
    assert_int_equal(quarry_block_cache_put(cache, &key, data_tag, &second), QUARRY_OK);
    block_check(&first, 1);
    assert_true(quarry_block_cache_get(cache, &key, data_tag, &found));
    assert_ptr_equal(found.data, second.data);
    quarry_block_release(cache, &first);
    quarry_block_release(cache, &second);
    quarry_block_release(cache, &found);
    struct quarry_block_stats stats = stats_now();
    assert_int_equal(stats.cold_count + stats.hot_count, 1);
    cache_check();
}

static void a_block_larger_than_a_shard_is_not_admitted_and_stays_its_makers(void **state)
{
    (void)state;
    struct quarry_block_key key = key_of(1);
    struct quarry_block block = block_make(1, Q_MIB(2));

    assert_int_equal(quarry_block_cache_put(cache, &key, data_tag, &block), QUARRY_TOO_LARGE);
    block_check(&block, 1);
    quarry_block_release(cache, &block);
    assert_false(is_there(1));
    assert_int_equal(enter(1, 4096), QUARRY_OK);
    assert_int_equal(enter(1, Q_MIB(2)), QUARRY_TOO_LARGE);
    assert_false(is_there(1));
    cache_check();
}

static void a_ghost_that_comes_back_too_large_is_forgotten(void **state)
{
    (void)state;
    for (uint64_t n = 0; n < 300; n++) {
        assert_int_equal(enter(n, 4096), QUARRY_OK);
    }
    assert_false(is_there(1));
    assert_int_equal(enter(1, Q_MIB(2)), QUARRY_TOO_LARGE);
    assert_int_equal(enter(1, 4096), QUARRY_OK);
    assert_int_equal(stats_now().hot_count, 0);
    assert_false(is_there(2));
    assert_int_equal(enter(2, 4096), QUARRY_OK); /* a ghost that is not forgotten */
    assert_int_equal(stats_now().hot_count, 1);
    cache_check();
}

static void the_cache_stays_within_its_capacity_and_a_block(void **state)
{
    (void)state;
    for (uint64_t n = 0; n < 5000; n++) {
        (void)enter(n * 7 % 1500, 512 + n % 9 * 1000);
        struct quarry_block_stats stats = stats_now();
        assert_true(stats.hot_bytes + stats.cold_bytes <= Q_MIB(1) + 16384);
        assert_int_equal(stats.hot_bytes + stats.cold_bytes, stats.kind_bytes[QUARRY_BLOCK_DATA]);
        if (n % 500 == 0) {
            cache_check();
        }
    }
}

static void what_is_used_again_survives_a_scan_of_what_is_not(void **state)
{
    (void)state;
    for (uint64_t round = 0; round < 6; round++) {
        for (uint64_t n = 0; n < 50; n++) {
            if (!is_there(n)) {
                assert_int_equal(enter(n, 4096), QUARRY_OK);
            }
        }
        for (uint64_t n = 0; n < 150; n++) {
            assert_int_equal(enter(1000 + round * 1000 + n, 4096), QUARRY_OK);
        }
    }
    uint64_t kept = 0;
    for (uint64_t n = 0; n < 50; n++) {
        kept += is_there(n);
    }
    assert_int_equal(kept, 50);
}

static void a_peek_does_not_count_as_use(void **state)
{
    (void)state;
    for (uint64_t n = 0; n < 50; n++) {
        assert_int_equal(enter(n, 4096), QUARRY_OK);
    }
    for (uint64_t n = 0; n < 500; n++) {
        assert_true(is_there_quietly(n % 50));
    }
    for (uint64_t n = 1000; n < 1400; n++) {
        assert_int_equal(enter(n, 4096), QUARRY_OK);
    }
    for (uint64_t n = 1; n < 50; n++) { /* the hands began at 0, and come by there last */
        assert_false(is_there_quietly(n));
    }
}

/* ---- removing ------------------------------------------------------------------------------- */

/* The cold target is the whole range, and grows with each ghost that comes back. */
static void a_cache_without_bound_counts_its_ghosts_right(void **state)
{
    (void)state;
    for (uint64_t n = 0; n < 400; n++) {
        assert_int_equal(enter(n, 4096), QUARRY_OK);
    }
    assert_true(quarry_block_cache_shrink(cache, Q_MIB(1)) >= Q_MIB(1));
    assert_true(stats_now().ghost_count > 200);
    for (uint64_t n = 0; n < 400; n++) {
        assert_int_equal(enter(n, 4096), QUARRY_OK);
    }
    assert_int_equal(stats_now().cold_target_bytes, UINT64_MAX);
}

static int set_up_without_bound(void **state)
{
    (void)state;
    cache_begin(0, &(struct quarry_block_cache_options){
                       .name = "block", .capacity_bytes = UINT64_MAX, .shard_count = 1});
    return 0;
}

static void an_erased_key_is_gone_with_its_ghost(void **state)
{
    (void)state;
    struct quarry_block_key key = key_of(5);

    assert_false(quarry_block_cache_erase(cache, &key));
    assert_int_equal(enter(5, 4096), QUARRY_OK);
    assert_true(quarry_block_cache_erase(cache, &key));
    assert_false(is_there(5));
    struct quarry_block_stats stats = stats_now();
    assert_int_equal(stats.cold_count + stats.hot_count + stats.ghost_count, 0);
    assert_int_equal(stats.block_bytes, 0);
    cache_check();
}

static void evicting_a_file_takes_all_of_it_and_nothing_else(void **state)
{
    (void)state;
    for (uint64_t n = 0; n < 200; n++) { /* two files of 100 */
        assert_int_equal(enter(n, 4096), QUARRY_OK);
    }
    assert_int_equal(quarry_block_cache_evict_file(cache, store, 1), 100);
    assert_int_equal(quarry_block_cache_evict_file(cache, store, 1), 0);
    assert_int_equal(quarry_block_cache_evict_file(cache, store + 1, 0), 0);
    for (uint64_t n = 0; n < 200; n++) {
        assert_int_equal(is_there(n), n < 100);
    }
    cache_check();
}

static void evicting_a_file_takes_its_ghosts_as_well(void **state)
{
    (void)state;
    for (uint64_t n = 0; n < 400; n++) {
        assert_int_equal(enter(n, 4096), QUARRY_OK);
    }
    assert_true(stats_now().ghost_count > 0);
    for (uint64_t file = 0; file < 4; file++) {
        (void)quarry_block_cache_evict_file(cache, store, file);
    }
    struct quarry_block_stats stats = stats_now();
    assert_int_equal(stats.cold_count + stats.hot_count + stats.ghost_count, 0);
    cache_check();
}

static void stores_have_namespaces_of_their_own(void **state)
{
    (void)state;
    uint64_t other = quarry_block_cache_handle(cache);
    struct quarry_block_key key = key_of(1);
    struct quarry_block block = {0};

    assert_int_not_equal(other, store);
    assert_int_equal(enter(1, 4096), QUARRY_OK);
    key.handle = other;
    assert_false(quarry_block_cache_get(cache, &key, data_tag, &block));
}

/* ---- sizes ---------------------------------------------------------------------------------- */

static void a_reservation_takes_room_and_gives_it_back(void **state)
{
    (void)state;
    for (uint64_t n = 0; n < 240; n++) {
        assert_int_equal(enter(n, 4096), QUARRY_OK);
    }
    quarry_block_cache_reserve(cache, Q_KIB(512));
    struct quarry_block_stats stats = stats_now();
    assert_true(stats.hot_bytes + stats.cold_bytes < Q_KIB(512));
    assert_true(stats.cold_target_bytes <= Q_KIB(512));
    quarry_block_cache_reserve(cache, Q_MIB(4)); /* more than there is */
    stats = stats_now();
    assert_int_equal(stats.hot_bytes + stats.cold_bytes, 0);
    assert_int_equal(stats.reserved_bytes, Q_MIB(4) + Q_KIB(512));
    assert_int_equal(enter(1, 4096), QUARRY_TOO_LARGE);
    quarry_block_cache_unreserve(cache, Q_MIB(4));
    quarry_block_cache_unreserve(cache, Q_KIB(512));
    for (uint64_t n = 0; n < 240; n++) {
        assert_int_equal(enter(n, 4096), QUARRY_OK);
    }
    stats = stats_now();
    assert_true(stats.hot_bytes + stats.cold_bytes > Q_KIB(900));
    cache_check();
}

static void the_capacity_changes_while_running(void **state)
{
    (void)state;
    quarry_block_cache_set_capacity(cache, Q_MIB(8));
    for (uint64_t n = 0; n < 1900; n++) {
        assert_int_equal(enter(n, 4096), QUARRY_OK);
    }
    struct quarry_block_stats stats = stats_now();
    assert_int_equal(stats.cold_count + stats.hot_count, 1900);
    quarry_block_cache_set_capacity(cache, Q_MIB(2));
    stats = stats_now();
    assert_true(stats.hot_bytes + stats.cold_bytes < Q_MIB(2));
    assert_true(stats.hot_bytes + stats.cold_bytes > Q_MIB(2) - 16384);
    assert_int_equal(stats.capacity_bytes, Q_MIB(2));
    cache_check();
}

static void blocks_of_usual_sizes_waste_little(void **state)
{
    (void)state;
    for (size_t bytes = 4096; bytes <= 32768; bytes *= 2) {
        quarry_block_cache_set_capacity(cache, Q_MIB(200));
        uint64_t count = Q_MIB(192) / bytes; /* the first pages of a size are small */
        for (uint64_t n = 0; n < count; n++) {
            assert_int_equal(enter(n, bytes), QUARRY_OK);
        }
        struct quarry_block_stats stats = stats_now();
        assert_int_equal(stats.hot_count + stats.cold_count, count);
        uint64_t held_bytes = heap_totals().in_use_bytes - stats.metadata_bytes;
        double waste = (double)held_bytes / (double)(count * bytes) - 1;
        print_message("%zu: %.2f %%\n", bytes, waste * 100);
        assert_true(waste < 0.04);
        quarry_block_cache_set_capacity(cache, 1);
        (void)quarry_block_cache_shrink(cache, UINT64_MAX);
    }
}

/* ---- closing -------------------------------------------------------------------------------- */

static uint32_t leaks_told;
static uint64_t leak_object;

static void on_leak(void *argument, const struct ref_leak *leak)
{
    (void)argument;
    leaks_told++;
    leak_object = leak->object;
    assert_string_equal(leak->owner, "block");
}

static void closing_with_a_block_out_is_refused_and_told(void **state)
{
    (void)state;
    struct quarry_block block;

    ref_leak_set_handler(on_leak, NULL);
    ref_leak_set_every(1);
    for (uint64_t n = 0; n < 10; n++) {
        assert_int_equal(enter(n, 4096), QUARRY_OK);
    }
    struct quarry_block_key key = key_of(4);
    assert_true(quarry_block_cache_get(cache, &key, data_tag, &block));
    leaks_told = 0;
    assert_int_equal(quarry_block_cache_close(cache), QUARRY_BUSY);
    assert_int_equal(leaks_told, 1);
    assert_int_equal(leak_object, block.ref);
    block_check(&block, 4);
    assert_int_equal(enter(1, 4096), QUARRY_OK); /* it works on */
    assert_true(is_there(1));
    quarry_block_release(cache, &block);
    ref_leak_set_handler(NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_block_has_its_bytes_and_room_beside_them, cache_set_up,
                                        cache_tear_down),
        cmocka_unit_test_setup_teardown(a_block_that_is_too_large_is_refused, cache_set_up,
                                        cache_tear_down),
        cmocka_unit_test_setup_teardown(references_keep_a_block_and_the_last_one_frees_it,
                                        cache_set_up, cache_tear_down),
        cmocka_unit_test_setup_teardown(a_stale_reference_is_found_out, cache_set_up,
                                        cache_tear_down),
        cmocka_unit_test_setup_teardown(what_was_entered_is_found_and_nothing_else, cache_set_up,
                                        cache_tear_down),
        cmocka_unit_test_setup_teardown(a_readers_block_outlives_its_eviction, cache_set_up,
                                        cache_tear_down),
        cmocka_unit_test_setup_teardown(a_block_entered_again_replaces_the_first, cache_set_up,
                                        cache_tear_down),
        cmocka_unit_test_setup_teardown(
            a_block_larger_than_a_shard_is_not_admitted_and_stays_its_makers, cache_set_up,
            cache_tear_down),
        cmocka_unit_test_setup_teardown(a_ghost_that_comes_back_too_large_is_forgotten,
                                        cache_set_up, cache_tear_down),
        cmocka_unit_test_setup_teardown(the_cache_stays_within_its_capacity_and_a_block,
                                        cache_set_up, cache_tear_down),
        cmocka_unit_test_setup_teardown(what_is_used_again_survives_a_scan_of_what_is_not,
                                        cache_set_up, cache_tear_down),
        cmocka_unit_test_setup_teardown(a_peek_does_not_count_as_use, cache_set_up,
                                        cache_tear_down),
        cmocka_unit_test_setup_teardown(a_cache_without_bound_counts_its_ghosts_right,
                                        set_up_without_bound, cache_tear_down),
        cmocka_unit_test_setup_teardown(an_erased_key_is_gone_with_its_ghost, cache_set_up,
                                        cache_tear_down),
        cmocka_unit_test_setup_teardown(evicting_a_file_takes_all_of_it_and_nothing_else,
                                        cache_set_up, cache_tear_down),
        cmocka_unit_test_setup_teardown(evicting_a_file_takes_its_ghosts_as_well, cache_set_up,
                                        cache_tear_down),
        cmocka_unit_test_setup_teardown(stores_have_namespaces_of_their_own, cache_set_up,
                                        cache_tear_down),
        cmocka_unit_test_setup_teardown(a_reservation_takes_room_and_gives_it_back, cache_set_up,
                                        cache_tear_down),
        cmocka_unit_test_setup_teardown(the_capacity_changes_while_running, cache_set_up,
                                        cache_tear_down),
        cmocka_unit_test_setup_teardown(blocks_of_usual_sizes_waste_little,
                                        cache_set_up, cache_tear_down),
        cmocka_unit_test_setup_teardown(closing_with_a_block_out_is_refused_and_told, cache_set_up,
                                        cache_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
