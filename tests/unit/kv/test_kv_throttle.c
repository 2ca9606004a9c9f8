/* The controller that slows writers: alone, against a simulated background, in simulated time. */
#include <kv/throttle.h>

#include "unit/kv/ver_rig.h"

#define MS   UINT64_C(1000000)
#define STEP (100 * MS)
#define MIB  (1024.0 * 1024)

static struct kv_throttle_signals calm(void)
{
    return (struct kv_throttle_signals){
        .layer_max = 1, .level0_soft = 4, .level0_stop = 36, .debt_soft = 1000, .debt_hard = 2000};
}

static void test_nothing_behind_is_no_pressure(void **state)
{
    struct kv_throttle_signals signals = calm();

    (void)state;
    assert_true(kv_throttle_pressure(&signals) == 0);
    assert_false(kv_throttle_must_stop(&signals));
    signals.level0_depth = 4;
    signals.debt_bytes = 1000;
    assert_true(kv_throttle_pressure(&signals) == 0);
    signals.layer_count = 1; /* as many as may: the pace sees to it */
    assert_true(kv_throttle_pressure(&signals) == 0);
}

static void test_each_limit_is_a_pressure_of_one(void **state)
{
    struct kv_throttle_signals layers = calm(), level0 = calm(), debt = calm();

    (void)state;
    layers.layer_count = 2;
    assert_true(kv_throttle_pressure(&layers) == 1);
    assert_true(kv_throttle_must_stop(&layers));
    level0.level0_depth = 36;
    assert_true(kv_throttle_pressure(&level0) == 1);
    assert_true(kv_throttle_must_stop(&level0));
    debt.debt_bytes = 2000;
    assert_true(kv_throttle_pressure(&debt) == 1);
    assert_false(kv_throttle_must_stop(&debt)); /* debt slows, and does not stop */
}

static void test_a_calm_store_is_never_limited(void **state)
{
    struct kv_throttle_controller controller = {0};
    struct kv_throttle_signals signals = calm();

    (void)state;
    for (uint64_t i = 1; i < 1000; i++) {
        controller.admitted_bytes = 1000000000;
        signals.level0_depth = (uint32_t)(i % 20); /* up to half of the way */
        assert_false(kv_throttle_control(&controller, &signals, i * STEP));
        assert_false(controller.is_limited);
    }
}

static void test_nothing_is_looked_at_within_a_step(void **state)
{
    struct kv_throttle_controller controller = {0};
    struct kv_throttle_signals signals = calm();

    (void)state;
    signals.level0_depth = 30;
    assert_true(kv_throttle_control(&controller, &signals, STEP));
    double rate = controller.rate;
    assert_false(kv_throttle_control(&controller, &signals, STEP + 99 * MS));
    assert_true(controller.rate == rate);
    assert_false(kv_throttle_control(&controller, &signals, 2 * STEP));
    assert_true(controller.rate <= rate);
}

static void test_a_limit_begins_at_what_is_being_written(void **state)
{
    struct kv_throttle_controller controller = {0};
    struct kv_throttle_signals signals = calm();

    (void)state;
    controller.admitted_bytes = (uint64_t)(5 * MIB); /* in 100 ms */
    signals.level0_depth = 24;
    assert_true(kv_throttle_control(&controller, &signals, STEP));
    assert_true(controller.is_limited);
    assert_true(controller.rate > 49 * MIB && controller.rate < 51 * MIB);
}

/* Level 0 is too deep and stays so, and compactions write 32 MiB a second all the time. */
static void test_a_rate_does_not_fall_below_a_sixteenth_of_what_is_done(void **state)
{
    struct kv_throttle_controller controller = {0};
    struct kv_throttle_signals signals = calm();

    (void)state;
    signals.level0_depth = 30;
    for (uint64_t i = 1; i < 1000; i++) {
        controller.admitted_bytes = 100000;
        controller.done_bytes = (uint64_t)(3.2 * MIB);
        (void)kv_throttle_control(&controller, &signals, i * STEP);
    }
    assert_true(controller.is_limited);
    assert_true(controller.rate > 1.9 * MIB && controller.rate < 2.1 * MIB);
    for (uint64_t i = 1000; i < 2000; i++) { /* they have come to a halt */
        controller.admitted_bytes = 100000;
        (void)kv_throttle_control(&controller, &signals, i * STEP);
    }
    assert_true(controller.rate < 0.07 * MIB);
}

static void test_a_rate_changes_by_a_tenth_at_most(void **state)
{
    struct kv_throttle_controller controller = {0};
    struct kv_throttle_signals signals = calm();
    uint64_t seed = 7;

    (void)state;
    controller.admitted_bytes = (uint64_t)(5 * MIB);
    signals.level0_depth = 36;
    (void)kv_throttle_control(&controller, &signals, STEP);
    for (uint64_t i = 2; i < 5000; i++) {
        double before = controller.rate;
        bool was_limited = controller.is_limited;
        signals.level0_depth = (uint32_t)random_below(&seed, 40);
        signals.layer_count = (uint32_t)random_below(&seed, 3);
        controller.admitted_bytes = random_below(&seed, 20000000);
        (void)kv_throttle_control(&controller, &signals, i * STEP);
        if (was_limited && controller.is_limited) {
            assert_true(controller.rate <= before * 1.1000001);
            assert_true(controller.rate >= before * 0.8999999);
        }
    }
}

/* A background that drains level 0 at a rate; writers who want more than it can. */
struct simulation {
    struct kv_throttle_controller controller;
    double backlog, drained, wanted; /* bytes; bytes a second */
    double depth_bytes;              /* of a level of depth */
    uint32_t stops;
    double admitted; /* in all */
};

static void simulate(struct simulation *simulation, uint64_t from_step, uint64_t to_step)
{
    struct kv_throttle_signals signals = calm();

    for (uint64_t i = from_step; i < to_step; i++) {
        struct kv_throttle_controller *controller = &simulation->controller;
        double rate = simulation->wanted;
        if (controller->is_limited && controller->rate < rate) {
            rate = controller->rate;
        }
        signals.level0_depth = (uint32_t)(simulation->backlog / simulation->depth_bytes);
        if (kv_throttle_must_stop(&signals)) {
            simulation->stops++;
            rate = 0;
        }
        simulation->admitted += rate / 10;
        simulation->backlog += (rate - simulation->drained) / 10;
        simulation->backlog = simulation->backlog < 0 ? 0 : simulation->backlog;
        controller->admitted_bytes = (uint64_t)(rate / 10);
        (void)kv_throttle_control(controller, &signals, i * STEP);
    }
}

static void test_writers_come_to_the_background_s_rate_without_a_stop(void **state)
{
    struct simulation simulation = {
        .drained = 20 * MIB, .wanted = 60 * MIB, .depth_bytes = 16 * MIB};

    (void)state;
    simulate(&simulation, 1, 3000);
    assert_int_equal(simulation.stops, 0);
    /* The last minute: within a fifth of what the background does. */
    double before = simulation.admitted;
    simulate(&simulation, 3000, 3600);
    double rate = (simulation.admitted - before) / 60;
    assert_true(rate > 16 * MIB && rate < 24 * MIB);
    assert_true(simulation.controller.is_limited);
}

static void test_a_limit_goes_when_writers_want_less(void **state)
{
    struct simulation simulation = {
        .drained = 20 * MIB, .wanted = 60 * MIB, .depth_bytes = 16 * MIB};

    (void)state;
    simulate(&simulation, 1, 1000);
    assert_true(simulation.controller.is_limited);
    simulation.wanted = 2 * MIB;
    simulate(&simulation, 1000, 2000);
    assert_false(simulation.controller.is_limited);
}

static void test_a_background_that_gets_faster_is_used(void **state)
{
    struct simulation simulation = {
        .drained = 10 * MIB, .wanted = 100 * MIB, .depth_bytes = 16 * MIB};

    (void)state;
    simulate(&simulation, 1, 2000);
    simulation.drained = 50 * MIB;
    simulate(&simulation, 2000, 3000);
    double before = simulation.admitted;
    simulate(&simulation, 3000, 3600);
    assert_true((simulation.admitted - before) / 60 > 40 * MIB);
    assert_int_equal(simulation.stops, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_behind_is_no_pressure),
        cmocka_unit_test(test_each_limit_is_a_pressure_of_one),
        cmocka_unit_test(test_a_calm_store_is_never_limited),
        cmocka_unit_test(test_nothing_is_looked_at_within_a_step),
        cmocka_unit_test(test_a_limit_begins_at_what_is_being_written),
        cmocka_unit_test(test_a_rate_changes_by_a_tenth_at_most),
        cmocka_unit_test(test_a_rate_does_not_fall_below_a_sixteenth_of_what_is_done),
        cmocka_unit_test(test_writers_come_to_the_background_s_rate_without_a_stop),
        cmocka_unit_test(test_a_limit_goes_when_writers_want_less),
        cmocka_unit_test(test_a_background_that_gets_faster_is_used),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
