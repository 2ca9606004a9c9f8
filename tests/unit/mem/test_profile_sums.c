/*
 * Estimates against the truth: a simulated program allocates and frees mixes of sizes, and what the
 * profile makes of its samples is within 5 % of what the program did.
 */
#include "profile_rig.h"

#include "unit/base/random.h"

#include <stdlib.h>

#define MEAN_BYTES 4096u
/* Between samples: slow enough that their rate is left alone. */
#define SAMPLE_NS   (2 * Q_MS_NS)
#define TOTAL_BYTES Q_MIB(64)

struct truth {
    uint64_t alloc_bytes;
    uint64_t alloc_count;
    uint64_t requested_bytes;
    uint64_t live_bytes;
    uint64_t live_count;
};

/* The usable size of the next object; what was requested is 7/8 of it. */
typedef uint64_t size_mix(uint64_t *seed);

static uint64_t tiny(uint64_t *seed)
{
    (void)seed;
    return 16;
}

static uint64_t small(uint64_t *seed)
{
    return 8 + 8 * (random_u64(seed) % 128);
}

static uint64_t near_the_mean(uint64_t *seed)
{
    return MEAN_BYTES / 2 + 8 * (random_u64(seed) % (MEAN_BYTES / 8));
}

static uint64_t mostly_tiny_some_huge(uint64_t *seed)
{
    return random_u64(seed) % 1000 == 0 ? Q_KIB(256) : 64;
}

static uint64_t of_every_magnitude(uint64_t *seed)
{
    return (uint64_t)8 << (random_u64(seed) % 12);
}

/* Allocates TOTAL_BYTES and frees two objects of three; keeps account. */
static struct truth simulate(size_mix *mix, uint64_t seed)
{
    struct truth truth = {0};
    uint64_t rng = seed + 1, address = 16;
    uint64_t mean, gap = mem_profile_gap(&profile, &rng, &mean);

    while (truth.alloc_bytes < TOTAL_BYTES) {
        uint64_t bytes = mix(&seed);
        bool is_freed = random_u64(&seed) % 3 != 0;
        truth.alloc_count++;
        truth.alloc_bytes += bytes;
        truth.requested_bytes += bytes / 8 * 7;
        truth.live_count += !is_freed;
        truth.live_bytes += is_freed ? 0 : bytes;
        if (gap > bytes) {
            gap -= bytes;
        } else {
            os_sim_advance(&sim, SAMPLE_NS);
            mem_profile_alloc(&profile, (void *)address,
                              &(struct mem_profile_origin){bytes / 8 * 7, bytes, mean, 1, 1});
            gap = mem_profile_gap(&profile, &rng, &mean);
            assert_true(!is_freed || mem_profile_free(&profile, (void *)address));
        }
        address += bytes;
    }
    return truth;
}

static void assert_near(const char *what, double estimate, double truth)
{
    if (estimate < truth * 0.95 || estimate > truth * 1.05) {
        fail_msg("%s: %.0f estimated, and it is %.0f", what, estimate, truth);
    }
}

/*
 * `has_counts`: objects are compared as well as bytes. An object far below the mean stands for
 * hundreds, so their number comes out well only where such objects make up most of the bytes.
 */
static void check(size_mix *mix, uint64_t seed, bool has_counts)
{
    struct truth truth;
    struct mem_stats_flow alloc = {0}, freed = {0};

    rig_begin(MEAN_BYTES, Q_GIB(4));
    truth = simulate(mix, seed);
    struct mem_stats_snapshot shot = rig_snapshot();
    for (uint32_t i = 0; i < shot.stack_count; i++) {
        alloc.bytes += shot.stacks[i].alloc.bytes;
        alloc.weight += shot.stacks[i].alloc.weight;
        alloc.requested_bytes += shot.stacks[i].alloc.requested_bytes;
        freed.bytes += shot.stacks[i].free.bytes;
        freed.weight += shot.stacks[i].free.weight;
    }
    assert_near("bytes", (double)alloc.bytes, (double)truth.alloc_bytes);
    assert_near("requested bytes", (double)alloc.requested_bytes, (double)truth.requested_bytes);
    assert_near("live bytes", (double)(alloc.bytes - freed.bytes), (double)truth.live_bytes);
    if (has_counts) {
        assert_near("objects", (double)alloc.weight / MEM_STATS_WEIGHT_ONE,
                    (double)truth.alloc_count);
        assert_near("live objects", (double)(alloc.weight - freed.weight) / MEM_STATS_WEIGHT_ONE,
                    (double)truth.live_count);
    }
    rig_end();
}

static void objects_of_one_tiny_size(void **state)
{
    (void)state;
    check(tiny, 1, true);
}

static void small_objects(void **state)
{
    (void)state;
    check(small, 2, true);
}

static void objects_about_as_large_as_the_mean(void **state)
{
    (void)state;
    check(near_the_mean, 3, true);
}

static void tiny_objects_and_huge_ones(void **state)
{
    (void)state;
    check(mostly_tiny_some_huge, 4, true);
}

static void objects_of_every_magnitude(void **state)
{
    (void)state;
    check(of_every_magnitude, 5, false);
}

/* What is written keeps its weight when the mean changes. */
static void sums_hold_across_a_change_of_the_mean(void **state)
{
    (void)state;
    rig_begin(MEAN_BYTES, Q_GIB(4));
    struct truth fine = simulate(small, 8);
    mem_stats_set_sample_mean(&stats, (uint64_t)MEAN_BYTES * 4);
    uint64_t mean, rng = 9, address = Q_TIB(1), coarse = 0;
    uint64_t gap = mem_profile_gap(&profile, &rng, &mean);
    for (; coarse < TOTAL_BYTES * 2; coarse += 64, address += 64) {
        if (gap > 64) {
            gap -= 64;
            continue;
        }
        os_sim_advance(&sim, SAMPLE_NS);
        mem_profile_alloc(&profile, (void *)address,
                          &(struct mem_profile_origin){64, 64, mean, 1, 1});
        gap = mem_profile_gap(&profile, &rng, &mean);
    }
    struct mem_stats_snapshot shot = rig_snapshot();
    assert_near("live bytes", (double)live_bytes_of(&shot), (double)(fine.live_bytes + coarse));
    rig_end();
}

/* A program that allocates 512 MiB in no time gets few samples, and each stands for more. */
static void a_flood_is_sampled_less_and_sums_to_as_much(void **state)
{
    uint64_t mean, rng = 7, address = Q_TIB(1), bytes = 0, sample_count = 0;
    (void)state;

    rig_begin(MEAN_BYTES, Q_GIB(4));
    uint64_t gap = mem_profile_gap(&profile, &rng, &mean);
    for (; bytes < Q_MIB(512); bytes += 64, address += 64) {
        if (gap > 64) {
            gap -= 64;
            continue;
        }
        os_sim_advance(&sim, 50 * Q_US_NS);
        mem_profile_alloc(&profile, (void *)address,
                          &(struct mem_profile_origin){64, 64, mean, 1, 1});
        gap = mem_profile_gap(&profile, &rng, &mean);
        sample_count++;
    }
    assert_true(mem_profile_mean(&profile) > MEAN_BYTES);
    assert_true(sample_count < Q_MIB(512) / MEAN_BYTES / 4);
    struct mem_stats_snapshot shot = rig_snapshot();
    uint64_t estimated = live_bytes_of(&shot);
    /* Few samples, so the bound is wide: three standard deviations of their number. */
    assert_in_range(estimated, bytes / 100 * 70, bytes / 100 * 130);
    rig_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_of_one_tiny_size),
        cmocka_unit_test(small_objects),
        cmocka_unit_test(objects_about_as_large_as_the_mean),
        cmocka_unit_test(tiny_objects_and_huge_ones),
        cmocka_unit_test(objects_of_every_magnitude),
        cmocka_unit_test(sums_hold_across_a_change_of_the_mean),
        cmocka_unit_test(a_flood_is_sampled_less_and_sums_to_as_much),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
