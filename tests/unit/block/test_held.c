/*
 * What a cache holds: pages of cells, large blocks, entries and tables, at every step no more than
 * its capacity and the slack that block.h tells of.
 */
/* First: parameters of its inline functions have the name of the cache under test. */
#include <block/cache.h>

#include "unit/block/block_rig.h"

#define CAPACITY   Q_MIB(24)
#define PHASES     6u
#define PINS_MAX   64u
#define PIN_EVERY  97u
#define MANY_BYTES (CAPACITY * 3 / 2)

static const struct quarry_block_cache_options options_churn = {.name = "block",
                                                                .capacity_bytes = CAPACITY};
static const uint32_t phase_bytes[PHASES] = {4096, 16384, 1024, 65536, 8192, 2048};

/* Half to one and a half of the mean. */
static size_t bytes_of(uint32_t mean, uint64_t n)
{
    return mean / 2 + n * UINT64_C(2654435761) % mean;
}

/* As include/quarry/block.h says, of a cache that was made with nothing in it. */
static uint64_t held_max(uint64_t capacity_bytes)
{
    return capacity_bytes + capacity_bytes / 64 + Q_MIB(1) + cache->fixed_bytes;
}

/* Records of pages are charged as they come. */
static void check_held(uint64_t beside_bytes)
{
    uint64_t held_bytes = block_cache_charged_bytes(cache);

    if (held_bytes > held_max(CAPACITY) + Q_KIB(128) + beside_bytes) {
        fail_msg("%llu bytes are held, %llu may be", (unsigned long long)held_bytes,
                 (unsigned long long)held_max(CAPACITY));
    }
}

static void check_kept(uint64_t bytes)
{
    struct quarry_block_stats stats = stats_now();

    if (stats.hot_bytes + stats.cold_bytes < bytes) {
        fail_msg("%llu bytes are kept, %llu are wanted",
                 (unsigned long long)(stats.hot_bytes + stats.cold_bytes),
                 (unsigned long long)bytes);
    }
}

/* ---- sizes that change ---------------------------------------------------------------------- */

/* Enters new blocks of a size until so many bytes have been; calls `step` before each. */
static void churn(uint32_t phase, uint64_t wanted_bytes, void (*step)(uint64_t n))
{
    uint64_t n = phase * UINT64_C(1000000);

    for (uint64_t entered_bytes = 0; entered_bytes < wanted_bytes; n++) {
        size_t bytes = bytes_of(phase_bytes[phase], n);
        step(n);
        assert_int_equal(enter(n, bytes), QUARRY_OK);
        check_held(0);
        entered_bytes += bytes;
    }
}

static void step_free(uint64_t n)
{
    (void)is_there(n / 2 * 2);
}

static void pages_stay_within_the_capacity_as_sizes_change(void **state)
{
    (void)state;
    cache_begin(0, &options_churn);
    for (uint32_t phase = 0; phase < PHASES; phase++) {
        churn(phase, 3 * CAPACITY, step_free);
        check_kept(CAPACITY / 2);
        cache_check();
    }
    struct quarry_slab_stats slab;
    quarry_slab_read_stats(cache->slab, &slab);
    assert_true(slab.page_given_count > 100 && slab.moved_count > 0);
    cache_end();
}

static struct quarry_block pinned[PINS_MAX];
static uint32_t pinned_count;

static void step_pinning(uint64_t n)
{
    struct quarry_block_key key = key_of(n - 1);

    if (n % PIN_EVERY == 0 && pinned_count < PINS_MAX &&
        quarry_block_cache_get(cache, &key, data_tag, &pinned[pinned_count])) {
        pinned_count++;
    }
}

static void unpin(void)
{
    while (pinned_count != 0) {
        quarry_block_release(cache, &pinned[--pinned_count]);
    }
}

/* Each of them keeps its page, and others make way for those as well. */
static void pages_that_held_blocks_keep_are_counted(void **state)
{
    (void)state;
    cache_begin(0, &options_churn);
    for (uint32_t phase = 0; phase < PHASES; phase++) {
        churn(phase, 2 * CAPACITY, step_pinning);
        check_kept(CAPACITY / 4);
    }
    assert_int_equal(pinned_count, PINS_MAX);
    cache_check();
    unpin();
    churn(0, 2 * CAPACITY, step_free);
    check_kept(CAPACITY / 2);
    cache_end();
}

/* Readers hold more than the cache may: they are served, and it comes back when they let go. */
static void what_readers_hold_may_pass_the_capacity(void **state)
{
    (void)state;
    static struct quarry_block held[MANY_BYTES / 65536];
    uint64_t held_bytes = 0;

    cache_begin(0, &options_churn);
    churn(0, CAPACITY, step_free);
    for (size_t i = 0; i < COUNT_OF(held); i++) {
        held[i] = block_make(i, 65536);
        held_bytes += 65536 + Q_KIB(8);
        check_held(held_bytes);
    }
    assert_true(block_cache_charged_bytes(cache) > held_max(CAPACITY));
    assert_int_equal(stats_now().hot_count + stats_now().cold_count, 0);
    for (size_t i = 0; i < COUNT_OF(held); i++) {
        block_check(&held[i], i);
        quarry_block_release(cache, &held[i]);
    }
    churn(1, CAPACITY, step_free);
    cache_end();
}

static void a_capacity_that_falls_gives_pages_back(void **state)
{
    (void)state;
    cache_begin(0, &options_churn);
    churn(0, 2 * CAPACITY, step_free);
    quarry_block_cache_set_capacity(cache, CAPACITY / 2);
    assert_true(block_cache_charged_bytes(cache) <= held_max(CAPACITY / 2));
    check_kept(CAPACITY / 4);
    quarry_block_cache_reserve(cache, CAPACITY / 4);
    assert_true(block_cache_charged_bytes(cache) <= held_max(CAPACITY / 4));
    quarry_block_cache_unreserve(cache, CAPACITY / 4);
    quarry_block_cache_set_capacity(cache, CAPACITY);
    churn(1, 8 * CAPACITY, step_free);
    check_kept(CAPACITY * 3 / 4);
    cache_end();
}

/* ---- without memory ------------------------------------------------------------------------- */

/* Pages fail: a block is made in the place of others, or not at all, and nothing is lost. */
static void pages_may_fail_at_any_time(void **state)
{
    (void)state;
    uint64_t made_count = 0, failed_count = 0;

    cache_begin(0, &options_churn);
    for (uint64_t n = 0; n < 6000; n++) {
        size_t bytes = bytes_of(phase_bytes[n / 1000], n);
        struct quarry_block block = {0};
        struct quarry_block_key key = key_of(n);
        if (n % 50 == 0) {
            failed_count += os_sim_failed_count(&sim);
            os_sim_fail_at(&sim, OS_SIM_COMMIT, n % 7, n % 100 == 0 ? OS_SIM_ONCE : OS_SIM_FOR_EVER,
                           QUARRY_NO_MEMORY);
        }
        enum quarry_status status = quarry_block_alloc(cache, bytes, 0, &block);
        if (status == QUARRY_OK) {
            block_fill(&block, n);
            status = quarry_block_cache_put(cache, &key, data_tag, &block);
            block_check(&block, n);
            quarry_block_release(cache, &block);
        }
        assert_true(status == QUARRY_OK || status == QUARRY_NO_MEMORY);
        made_count += status == QUARRY_OK;
        check_held(0);
    }
    os_sim_fail_clear(&sim);
    print_message("%llu made, %llu calls failed\n", (unsigned long long)made_count,
                  (unsigned long long)failed_count);
    assert_true(made_count > 1000 && failed_count > 0);
    churn(3, CAPACITY, step_free);
    cache_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_stay_within_the_capacity_as_sizes_change),
        cmocka_unit_test(pages_that_held_blocks_keep_are_counted),
        cmocka_unit_test(what_readers_hold_may_pass_the_capacity),
        cmocka_unit_test(a_capacity_that_falls_gives_pages_back),
        cmocka_unit_test(pages_may_fail_at_any_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
