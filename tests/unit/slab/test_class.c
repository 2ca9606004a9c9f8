/*
 * Classes split as sizes are seen, and cells are hardly larger than what was asked for.
 */
#include "unit/slab/slab_rig.h"

#include <math.h>

#include "unit/base/random.h"

/* A number with a normal distribution, by the sum of twelve even ones. */
static double random_normal(uint64_t *random)
{
    double sum = -6.0;

    for (uint32_t i = 0; i < 12; i++) {
        sum += (double)(random_u64(random) >> 11) * 0x1p-53;
    }
    return sum;
}

/* Log-normal with its middle at 512 bytes, of 32 bytes to 8 KiB. */
static size_t random_bytes(uint64_t *random)
{
    for (;;) {
        double bytes = 512.0 * exp(1.1 * random_normal(random));
        if (bytes >= 32.0 && bytes <= 8192.0) {
            return (size_t)bytes;
        }
    }
}

/* Of what cells in the index have, how much was not asked for: in a thousand of it. */
static uint64_t waste_permille(void)
{
    uint64_t cell_bytes = 0, asked_bytes = 0;

    for (uint64_t key = 0; key < INDEX_KEYS; key++) {
        if (index_slots[key].ref != QUARRY_REF_NIL) {
            cell_bytes += quarry_slab_cell_bytes(slab, index_slots[key].ref);
            asked_bytes += index_slots[key].bytes;
        }
    }
    return (cell_bytes - asked_bytes) * 1000 / cell_bytes;
}

static void churn(uint64_t *random, uint64_t rounds)
{
    for (uint64_t i = 0; i < rounds * INDEX_KEYS; i++) {
        uint64_t key = random_u64(random) % INDEX_KEYS;
        if (index_slots[key].ref != QUARRY_REF_NIL) {
            index_remove(key);
        }
        index_put(key, random_bytes(random));
    }
}

static void log_normal_sizes_waste_at_most_four_percent(void **state)
{
    uint64_t random = 7;

    (void)state;
    churn(&random, 2);
    uint64_t first = waste_permille();
    churn(&random, 8);
    uint64_t later = waste_permille();
    struct quarry_slab_stats stats = slab_stats();
    print_message("%llu.%llu %% of cells wasted after 2 rounds, %llu.%llu %% after 10, %llu "
                  "splits; %llu MiB of pages, of which %llu KiB are ends and %llu KiB free\n",
                  (unsigned long long)first / 10, (unsigned long long)first % 10,
                  (unsigned long long)later / 10, (unsigned long long)later % 10,
                  (unsigned long long)stats.split_count, (unsigned long long)stats.page_bytes >> 20,
                  (unsigned long long)stats.tail_bytes >> 10,
                  (unsigned long long)(stats.free_bytes + stats.cached_bytes) >> 10);
    assert_true(first <= 35);
    assert_true(later <= 30);
    assert_true(later < first);
    assert_true(stats.split_count > 0);
    assert_true(stats.tail_bytes < stats.page_bytes / 80);
    index_check();
    /* Classes that were split have cells that few ask for any more. */
    uint64_t bytes = quarry_slab_compact(slab, UINT64_MAX, index_move, NULL);
    stats = slab_stats();
    print_message("%llu MiB of pages after giving back %llu MiB, of which %llu KiB are free\n",
                  (unsigned long long)stats.page_bytes >> 20, (unsigned long long)bytes >> 20,
                  (unsigned long long)(stats.free_bytes + stats.cached_bytes) >> 10);
    assert_true(stats.free_bytes < stats.page_bytes / 12);
    index_check();
    index_clear();
}

/* Sizes of a class are all the lowest of its steps. */
static void a_class_splits_where_it_saves_most(void **state)
{
    (void)state;
    quarry_ref coarse = take_filled(6272, 1);
    assert_int_equal(quarry_slab_cell_bytes(slab, coarse), 6656);
    for (uint64_t key = 0; key < 4000; key++) {
        index_put(key, 6272);
    }
    assert_true(slab_stats().split_count >= 1);
    quarry_ref fine = take_filled(6272, 2);
    assert_int_equal(quarry_slab_cell_bytes(slab, fine), 6272);
    /* Those that were taken before stay; larger requests go where they went. */
    assert_int_equal(quarry_slab_cell_bytes(slab, coarse), 6656);
    quarry_ref larger = take_filled(6273, 3);
    assert_int_equal(quarry_slab_cell_bytes(slab, larger), 6656);
    slab_check();
    for (uint32_t i = 0; i < 3; i++) {
        quarry_slab_give(slab, (quarry_ref[]){coarse, fine, larger}[i]);
    }
    index_clear();
}

static void a_small_class_does_not_split(void **state)
{
    (void)state;
    for (uint64_t key = 0; key < 200; key++) {
        index_put(key, 6272);
    }
    assert_int_equal(slab_stats().split_count, 0);
    index_clear();
}

static void a_class_whose_sizes_fit_does_not_split(void **state)
{
    (void)state;
    for (uint64_t key = 0; key < 8000; key++) {
        index_put(key, 6656);
    }
    assert_int_equal(slab_stats().split_count, 0);
    index_clear();
}

/* 4608 bytes are two steps above 4352. */
static void a_class_lends_what_it_has_left_over(void **state)
{
    (void)state;
    for (uint64_t key = 0; key < 40000; key++) {
        index_put(key, 4608);
    }
    for (uint64_t key = 0; key < 40000; key += 2) {
        index_remove(key);
    }
    uint64_t page_bytes = slab_stats().page_bytes;
    for (uint64_t key = 0; key < 39000; key += 2) {
        index_put(key, 4352);
    }
    assert_int_equal(slab_stats().page_bytes, page_bytes);
    assert_int_equal(quarry_slab_cell_bytes(slab, index_slots[38998].ref), 4608);
    /* It has no more: the smaller ones have pages of their own from now on. */
    for (uint64_t key = 40000; key < 45000; key++) {
        index_put(key, 4352);
    }
    assert_true(slab_stats().page_bytes > page_bytes);
    assert_int_equal(quarry_slab_cell_bytes(slab, index_slots[44999].ref), 4352);
    slab_check();
    index_check();
    index_clear();
}

static void a_small_slab_lends_nothing(void **state)
{
    (void)state;
    for (uint64_t key = 0; key < 4000; key++) {
        index_put(key, 4608);
    }
    for (uint64_t key = 0; key < 4000; key += 2) {
        index_remove(key);
    }
    index_put(0, 4352);
    assert_int_equal(quarry_slab_cell_bytes(slab, index_slots[0].ref), 4352);
    index_clear();
}

static int fixed_set_up(void **state)
{
    (void)state;
    slab_begin(&(struct slab_setup){.classes_per_doubling = 8});
    return 0;
}

static void fixed_classes_stay_as_they_are(void **state)
{
    (void)state;
    for (uint64_t key = 0; key < 8000; key++) {
        index_put(key, 6272);
        assert_int_equal(quarry_slab_cell_bytes(slab, index_slots[key].ref), 6656);
    }
    assert_int_equal(slab_stats().split_count, 0);
    index_clear();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, slab_set_up, slab_tear_down)
        TEST(log_normal_sizes_waste_at_most_four_percent),
        TEST(a_class_splits_where_it_saves_most),
        TEST(a_small_class_does_not_split),
        TEST(a_class_lends_what_it_has_left_over),
        TEST(a_small_slab_lends_nothing),
        TEST(a_class_whose_sizes_fit_does_not_split),
        cmocka_unit_test_setup_teardown(fixed_classes_stay_as_they_are, fixed_set_up,
                                        slab_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
