/* The scavenger's controller: its share of CPU, its bounds, and what no input can do to it. */
#include "../os/cmocka_all.h"

#include <math.h>

#include <page/pacer.h>

#include "../base/random.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static void assert_is_sane(const struct page_pacer *pacer)
{
    assert_true(isfinite(pacer->error_integral));
    assert_true(isfinite(pacer->ratio));
    assert_true(pacer->ratio >= 0.001 && pacer->ratio <= 1000.0);
}

/* ---- a source of work in virtual time ------------------------------------------------------- */

/* Work of 10 us for each 4 KiB, done in bouts that end at the first piece past a millisecond. */
struct work {
    uint64_t left_bytes;
    uint64_t piece_bytes;
    double set_point;
};

/* Works it all off. Returns the share of time that was spent working, the last sleep included. */
static double share_of(struct work work)
{
    struct page_pacer pacer;
    uint64_t worked_sum_ns = 0, slept_sum_ns = 0, slept_ns = 0;

    page_pacer_init(&pacer, work.set_point);
    while (work.left_bytes > 0) {
        uint64_t worked_ns = 0;
        while (worked_ns < Q_MS_NS && work.left_bytes > 0) {
            uint64_t bytes = size_min_u64(work.piece_bytes, work.left_bytes);
            work.left_bytes -= bytes;
            worked_ns += bytes / 4096 * 10 * Q_US_NS;
        }
        if (slept_ns == 0) { /* no sleep for pacing before the first bout */
            slept_ns = (uint64_t)((double)worked_ns / pacer.ratio);
        }
        slept_ns = page_pacer_next(&pacer, worked_ns, slept_ns, work.set_point);
        assert_is_sane(&pacer);
        worked_sum_ns += worked_ns;
        slept_sum_ns += slept_ns;
    }
    return (double)worked_sum_ns / (double)(worked_sum_ns + slept_sum_ns);
}

/* 64 MiB less three pages: the last bout is a short one. */
#define WORK_BYTES (Q_MIB(64) - UINT64_C(3) * 8192)

static void small_pieces_land_at_one_percent_of_the_cpus(void **state)
{
    (void)state;
    for (uint32_t cpu_count = 1; cpu_count <= 16; cpu_count *= 2) {
        double share = share_of((struct work){WORK_BYTES, Q_KIB(64), 0.01 * cpu_count});
        assert_true(share / cpu_count > 0.005 && share / cpu_count < 0.015);
    }
}

static void pieces_of_a_chunk_land_at_one_percent_of_the_cpus(void **state)
{
    (void)state;
    for (uint32_t cpu_count = 1; cpu_count <= 16; cpu_count *= 2) {
        double share = share_of((struct work){WORK_BYTES, Q_MIB(4), 0.01 * cpu_count});
        assert_true(share / cpu_count > 0.005 && share / cpu_count < 0.015);
    }
}

/* Sleep that the kernel rounds up by as much again is made good by sleeping less. */
static void sleep_that_takes_longer_than_asked_is_made_good(void **state)
{
    struct page_pacer pacer;
    uint64_t slept_ns = 100 * Q_MS_NS, worked_sum_ns = 0, slept_sum_ns = 0;
    (void)state;

    page_pacer_init(&pacer, 0.01);
    for (uint32_t i = 0; i < 1000; i++) {
        slept_ns = 2 * page_pacer_next(&pacer, Q_MS_NS, slept_ns, 0.01);
        worked_sum_ns += Q_MS_NS;
        slept_sum_ns += slept_ns;
    }
    double share = (double)worked_sum_ns / (double)(worked_sum_ns + slept_sum_ns);
    assert_true(share > 0.0095 && share < 0.0105);
}

static void the_share_follows_a_set_point_that_moves(void **state)
{
    const double set_points[] = {0.02, 0.2, 0.01, 0.25, 0.02};
    struct page_pacer pacer;
    uint64_t slept_ns = 50 * Q_MS_NS;
    (void)state;

    page_pacer_init(&pacer, set_points[0]);
    for (size_t phase = 0; phase < COUNT_OF(set_points); phase++) {
        double share = 0.0;
        for (uint64_t passed_ns = 0; passed_ns < 5 * Q_SECOND_NS; passed_ns += Q_MS_NS + slept_ns) {
            slept_ns = page_pacer_next(&pacer, Q_MS_NS, slept_ns, set_points[phase]);
            share = (double)Q_MS_NS / (double)(Q_MS_NS + slept_ns);
        }
        assert_true(fabs(share / set_points[phase] - 1.0) < 0.05);
    }
}

/* A cycle far longer than the controller's own times must not be answered by working all out. */
static void long_cycles_do_not_make_it_swing(void **state)
{
    (void)state;
    for (uint64_t worked_ns = Q_MS_NS; worked_ns <= 10 * Q_SECOND_NS; worked_ns *= 10) {
        struct page_pacer pacer;
        uint64_t slept_ns = 99 * worked_ns;
        page_pacer_init(&pacer, 0.01);
        /* Once the work took all of the time, as on a machine with a loaded CPU. */
        (void)page_pacer_next(&pacer, worked_ns, 0, 0.01);
        for (uint32_t i = 0; i < 200; i++) {
            slept_ns = page_pacer_next(&pacer, worked_ns, slept_ns, 0.01);
            assert_is_sane(&pacer);
            assert_true(slept_ns >= 10 * worked_ns);
        }
        assert_true(slept_ns > 80 * worked_ns && slept_ns < 120 * worked_ns);
    }
}

/* ---- any input ------------------------------------------------------------------------------ */

static uint64_t fuzzed_ns(uint64_t *random)
{
    switch (random_u64(random) % 6) {
    case 0:
        return 0;
    case 1:
        return UINT64_MAX;
    case 2:
        return Q_MS_NS;
    default:
        return random_width_u64(random);
    }
}

static void no_input_makes_it_nan_infinite_or_late(void **state)
{
    uint64_t random = 7;
    (void)state;

    for (uint32_t round = 0; round < 1000; round++) {
        struct page_pacer pacer;
        page_pacer_init(&pacer, 0.01);
        for (uint32_t i = 0; i < 200; i++) {
            uint64_t worked_ns = fuzzed_ns(&random), slept_ns = fuzzed_ns(&random);
            double set_point = 1e-6 + (double)(random_u64(&random) >> 11) * 0x1p-53 * 0.9;
            uint64_t sleep_ns = page_pacer_next(&pacer, worked_ns, slept_ns, set_point);
            assert_is_sane(&pacer);
            assert_true((double)sleep_ns <= (double)worked_ns * 1000.0 * 1.000001);
            assert_true(worked_ns != 0 || sleep_ns == 0);
            assert_true(worked_ns != UINT64_MAX || sleep_ns >= (uint64_t)1 << 50);
        }
    }
}

static void it_comes_back_to_the_set_point_after_any_input(void **state)
{
    uint64_t random = 11;
    (void)state;

    for (uint32_t round = 0; round < 200; round++) {
        struct page_pacer pacer;
        uint64_t slept_ns = 100 * Q_MS_NS;
        page_pacer_init(&pacer, 0.01);
        for (uint32_t i = 0; i < 20; i++) {
            (void)page_pacer_next(&pacer, fuzzed_ns(&random), fuzzed_ns(&random), 0.01);
        }
        for (uint32_t i = 0; i < 2000; i++) {
            slept_ns = page_pacer_next(&pacer, Q_MS_NS, slept_ns, 0.01);
        }
        assert_true(slept_ns > 90 * Q_MS_NS && slept_ns < 110 * Q_MS_NS);
    }
}

static void an_overflow_is_followed_by_a_cool_down(void **state)
{
    struct page_pacer pacer;
    (void)state;

    page_pacer_init(&pacer, 0.01);
    pacer.error_integral = INFINITY; /* whatever went wrong before */
    assert_int_equal(page_pacer_next(&pacer, Q_MS_NS, 99 * Q_MS_NS, 0.01), 1000 * Q_MS_NS);
    assert_is_sane(&pacer);
    assert_int_equal(pacer.cool_down_ns, 5 * Q_SECOND_NS);
    for (uint32_t second = 0; second < 5; second++) {
        assert_true(pacer.cool_down_ns > 0);
        assert_int_equal(page_pacer_next(&pacer, Q_MS_NS, Q_SECOND_NS, 0.01), 1000 * Q_MS_NS);
    }
    assert_int_equal(pacer.cool_down_ns, 0);
    uint64_t slept_ns = Q_SECOND_NS;
    for (uint32_t i = 0; i < 100; i++) {
        slept_ns = page_pacer_next(&pacer, Q_MS_NS, slept_ns, 0.01);
    }
    assert_true(slept_ns > 90 * Q_MS_NS && slept_ns < 110 * Q_MS_NS);
}

static void it_begins_at_the_set_point(void **state)
{
    struct page_pacer pacer;
    (void)state;

    page_pacer_init(&pacer, 0.02);
    assert_int_equal((page_pacer_next(&pacer, Q_MS_NS, 49 * Q_MS_NS, 0.02) + 1) / Q_US_NS, 49000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_pieces_land_at_one_percent_of_the_cpus),
        cmocka_unit_test(pieces_of_a_chunk_land_at_one_percent_of_the_cpus),
        cmocka_unit_test(sleep_that_takes_longer_than_asked_is_made_good),
        cmocka_unit_test(the_share_follows_a_set_point_that_moves),
        cmocka_unit_test(long_cycles_do_not_make_it_swing),
        cmocka_unit_test(no_input_makes_it_nan_infinite_or_late),
        cmocka_unit_test(it_comes_back_to_the_set_point_after_any_input),
        cmocka_unit_test(an_overflow_is_followed_by_a_cool_down),
        cmocka_unit_test(it_begins_at_the_set_point),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
