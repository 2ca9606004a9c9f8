/*
 * A cache in a file whose disk has less room than the cache's size: it is as large as the disk
 * lets it be, evicts within that, and refuses nothing.
 */
#include "unit/cache/policy_rig.h"

#define SIZE Q_MIB(128)
#define DISK Q_MIB(32)

static uint64_t refused;

static void fill(uint64_t first, uint64_t count, size_t bytes)
{
    for (uint64_t n = first; n < first + count; n++) {
        refused += put(n, bytes) != QUARRY_CACHE_HIT;
        if (n % 16 == 0) {
            (void)quarry_cache_turn(cache);
        }
    }
}

static uint64_t disk_used(void)
{
    struct os_sim_counters counters;

    os_sim_read_counters(&sim, &counters);
    return counters.disk_used_bytes;
}

/* Another program's file, of what is free of the disk and more; it has what fits. */
static struct os_file other;

static void other_fills(uint64_t disk_bytes)
{
    uint64_t at = 0;

    assert_int_equal(sim.os.ops->file_open(&sim.os, "data/other", &other), QUARRY_OK);
    for (uint64_t piece = Q_MIB(1); piece >= Q_KIB(64); piece /= 2) {
        while (at + piece <= disk_bytes &&
               sim.os.ops->file_preallocate(&sim.os, &other, at, piece) == QUARRY_OK) {
            at += piece;
        }
    }
}

static void other_goes(uint64_t disk_bytes)
{
    assert_int_equal(sim.os.ops->file_punch(&sim.os, &other, 0, disk_bytes), QUARRY_OK);
    sim.os.ops->file_close(&sim.os, &other);
}

static void pass_seconds(uint32_t seconds)
{
    for (uint32_t i = 0; i < seconds; i++) {
        os_sim_advance(&sim, UINT64_C(1000000000));
        (void)turn_all();
    }
}

static void a_cache_is_as_large_as_its_disk(void **state)
{
    (void)state;
    refused = 0;
    policy_begin(&(struct policy_setup){.size_bytes = SIZE, .disk_bytes = DISK});
    fill(0, 60000, 2000);
    assert_int_equal(refused, 0);
    assert_true(stats_now().cell_bytes > DISK / 10 * 9);
    assert_true(disk_used() <= DISK);
    policy_end();
}

/* Of items and of what finds them: the index is for a while as large as small items needed it. */
static uint64_t bytes_in_use(void)
{
    struct quarry_cache_stats stats = stats_now();

    return stats.cell_bytes + stats.index_bytes + stats.policy_bytes;
}

static void sizes_may_shift_on_a_full_disk(void **state)
{
    static const size_t sizes[] = {1000000, 64, 500000, 3000, 200000, 100};

    (void)state;
    refused = 0;
    policy_begin(&(struct policy_setup){.size_bytes = SIZE, .disk_bytes = DISK});
    for (uint32_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        fill(i * 1000000, 2 * DISK / (sizes[i] + 100), sizes[i]);
        assert_true(bytes_in_use() > DISK / 4 * 3);
        assert_true(disk_used() <= DISK);
        policy_check();
    }
    assert_int_equal(refused, 0);
    assert_true(quarry_cache_disk_limit(cache) > DISK / 10 * 9);
    policy_end();
}

static void a_disk_may_fill_and_empty_while_it_is_used(void **state)
{
    (void)state;
    refused = 0;
    policy_begin(&(struct policy_setup){.size_bytes = Q_MIB(48), .disk_bytes = Q_MIB(64)});
    fill(0, 10000, 2000);
    other_fills(Q_MIB(64));
    fill(10000, 60000, 2000);
    uint64_t within = stats_now().cell_bytes;
    assert_true(within > Q_MIB(16) && within < Q_MIB(28));
    assert_true(quarry_cache_disk_limit(cache) < Q_MIB(28));
    pass_seconds(10);
    fill(100000, 20000, 3000);
    assert_int_equal(refused, 0);
    assert_true(stats_now().cell_bytes > within / 10 * 9);
    other_goes(Q_MIB(64));
    for (uint32_t i = 0; i < 10; i++) {
        pass_seconds(60);
        fill(200000 + 5000 * i, 5000, 3000);
    }
    assert_true(stats_now().cell_bytes > Q_MIB(42));
    assert_int_equal(quarry_cache_disk_limit(cache), 0);
    assert_int_equal(refused, 0);
    policy_end();
}

static uint32_t disk_wait_seconds(void)
{
    return atomic_load_relaxed_u32(&cache->policy->levels.disk_wait_seconds);
}

static void a_full_disk_is_asked_ever_less_often(void **state)
{
    (void)state;
    refused = 0;
    policy_begin(&(struct policy_setup){.size_bytes = SIZE, .disk_bytes = DISK});
    fill(0, 20000, 2000);
    uint32_t waited = disk_wait_seconds(), times = 0;
    assert_int_equal(waited, 5);
    for (uint32_t second = 0; second < 700; second++) {
        pass_seconds(1);
        fill(30000 + 100 * second, 100, 2000);
        if (disk_wait_seconds() != waited) {
            assert_int_equal(disk_wait_seconds(), 2 * waited);
            waited = disk_wait_seconds();
            times++;
        }
    }
    assert_int_equal(times, 6); /* 10, 20 … 320 */
    assert_int_equal(refused, 0);
    policy_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cache_is_as_large_as_its_disk),
        cmocka_unit_test(sizes_may_shift_on_a_full_disk),
        cmocka_unit_test(a_disk_may_fill_and_empty_while_it_is_used),
        cmocka_unit_test(a_full_disk_is_asked_ever_less_often),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
