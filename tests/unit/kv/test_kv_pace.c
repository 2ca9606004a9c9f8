/* Pacing writers by the flush before them: against simulated flushes, in simulated time. */
#include <kv/pace.h>

#include "unit/base/cmocka_all.h"

#define MS            UINT64_C(1000000)
#define CAPACITY      Q_MIB(28)
#define WRITE_BYTES   130u
#define WRITE_NS      1000u /* without any pause */
#define PAUSE_MAX_NS  (3 * MS / 2)
#define LATE_SLEEP_NS 60000u

/* One writer who fills a memtable while another is flushed. */
struct simulation {
    struct kv_pace pace;
    struct kv_pace_room room;
    uint64_t now_ns, unpaced_bytes;
    uint64_t longest_ns; /* pause */
    uint64_t paused_ns;  /* in all */
};

static struct simulation begin(void)
{
    return (struct simulation){.now_ns = 1000 * MS, .room = {.capacity_bytes = CAPACITY}};
}

static void write_one(struct simulation *simulation)
{
    struct kv_pace *pace = &simulation->pace;

    simulation->unpaced_bytes += WRITE_BYTES;
    if (simulation->unpaced_bytes >= pace->quantum_bytes) {
        uint64_t pause_ns = kv_pace_charge(pace, &simulation->room, simulation->unpaced_bytes,
                                           WRITE_BYTES, simulation->now_ns);
        simulation->unpaced_bytes = 0;
        simulation->longest_ns = size_max_u64(simulation->longest_ns, pause_ns);
        simulation->paused_ns += pause_ns;
        simulation->now_ns += pause_ns == 0 ? 0 : pause_ns + LATE_SLEEP_NS;
    }
    simulation->now_ns += WRITE_NS;
    simulation->room.used_bytes += WRITE_BYTES;
}

/* A memtable waits, and its flush takes so long. Returns: whether the next was full before. */
static bool flush(struct simulation *simulation, uint64_t flush_ns)
{
    uint64_t end_ns = simulation->now_ns + flush_ns;
    bool was_full = false;

    simulation->room.used_bytes = 0;
    simulation->unpaced_bytes = 0;
    kv_pace_change(&simulation->pace, true, CAPACITY, simulation->now_ns);
    assert_int_equal(simulation->pace.quantum_bytes, 1);
    while (simulation->now_ns < end_ns && !was_full) {
        write_one(simulation);
        was_full = simulation->room.used_bytes + WRITE_BYTES > CAPACITY;
    }
    kv_pace_change(&simulation->pace, false, 0, size_max_u64(simulation->now_ns, end_ns));
    return was_full;
}

static void test_a_flush_that_is_quick_slows_nobody(void **state)
{
    struct simulation simulation = begin();

    (void)state;
    for (int i = 0; i < 10; i++) {
        assert_false(flush(&simulation, 60 * MS)); /* writing fills a memtable in 225 */
    }
    assert_int_equal(simulation.paused_ns, 0);
    assert_int_equal(simulation.pace.throttled_ns, 0);
}

static void test_a_memtable_is_not_full_before_the_flush_has_ended(void **state)
{
    struct simulation simulation = begin();

    (void)state;
    for (int i = 0; i < 10; i++) {
        assert_false(flush(&simulation, 700 * MS));
    }
    assert_true(simulation.longest_ns <= PAUSE_MAX_NS);
    assert_true(simulation.paused_ns > 0);
    assert_int_equal(simulation.pace.throttled_ns, simulation.paused_ns);
}

static void test_the_room_is_used_while_a_flush_goes_on(void **state)
{
    struct simulation simulation = begin();

    (void)state;
    for (int i = 0; i < 10; i++) {
        (void)flush(&simulation, 700 * MS);
        assert_true(simulation.room.used_bytes > CAPACITY * 6 / 10);
    }
}

static void test_a_flush_that_is_four_times_slower_than_all_before_stops_nobody(void **state)
{
    struct simulation simulation = begin();

    (void)state;
    for (int i = 0; i < 10; i++) {
        assert_false(flush(&simulation, 300 * MS));
    }
    assert_false(flush(&simulation, 1200 * MS));
    assert_true(simulation.longest_ns <= PAUSE_MAX_NS);
}

static void test_the_first_flush_stops_nobody(void **state)
{
    struct simulation simulation = begin();

    (void)state;
    assert_false(flush(&simulation, 1500 * MS));
    assert_true(simulation.longest_ns <= PAUSE_MAX_NS);
}

static void test_what_is_owed_for_one_flush_is_not_paid_in_the_next(void **state)
{
    struct simulation simulation = begin();
    const struct kv_pace_room full = {CAPACITY, CAPACITY};

    (void)state;
    kv_pace_change(&simulation.pace, true, CAPACITY, simulation.now_ns);
    simulation.now_ns += 100 * MS;
    for (int i = 0; i < 100; i++) {
        assert_int_equal(
            kv_pace_charge(&simulation.pace, &full, 1000000, WRITE_BYTES, simulation.now_ns),
            PAUSE_MAX_NS);
        assert_int_equal(simulation.pace.quantum_bytes, 1);
    }
    kv_pace_change(&simulation.pace, false, 0, simulation.now_ns);
    kv_pace_change(&simulation.pace, true, CAPACITY, simulation.now_ns);
    assert_int_equal(kv_pace_charge(&simulation.pace, &simulation.room, WRITE_BYTES, WRITE_BYTES,
                                    simulation.now_ns),
                     0);
}

static void test_a_large_write_pauses_for_its_own_bytes(void **state)
{
    struct simulation simulation = begin();

    (void)state;
    (void)flush(&simulation, 280 * MS); /* 10 ns a byte, 12.5 are expected */
    kv_pace_change(&simulation.pace, true, CAPACITY, simulation.now_ns);
    simulation.room.used_bytes = 0;
    uint64_t pause_ns =
        kv_pace_charge(&simulation.pace, &simulation.room, Q_MIB(1), Q_MIB(1), simulation.now_ns);
    assert_true(pause_ns > 9 * MS && pause_ns < 16 * MS);
    simulation.room.used_bytes = CAPACITY;
    assert_int_equal(
        kv_pace_charge(&simulation.pace, &simulation.room, Q_MIB(1), Q_MIB(1), simulation.now_ns),
        100 * MS);
}

static void test_small_flushes_teach_nothing(void **state)
{
    struct kv_pace pace = {.is_on = false};

    (void)state;
    kv_pace_change(&pace, true, 1000, MS);
    kv_pace_change(&pace, false, 0, 500 * MS);
    assert_true(pace.ns_per_byte == 0);
    kv_pace_change(&pace, true, Q_MIB(1), 500 * MS);
    kv_pace_change(&pace, false, 0, 500 * MS + Q_MIB(1));
    assert_true(pace.ns_per_byte == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_flush_that_is_quick_slows_nobody),
        cmocka_unit_test(test_a_memtable_is_not_full_before_the_flush_has_ended),
        cmocka_unit_test(test_the_room_is_used_while_a_flush_goes_on),
        cmocka_unit_test(test_a_flush_that_is_four_times_slower_than_all_before_stops_nobody),
        cmocka_unit_test(test_the_first_flush_stops_nobody),
        cmocka_unit_test(test_what_is_owed_for_one_flush_is_not_paid_in_the_next),
        cmocka_unit_test(test_a_large_write_pauses_for_its_own_bytes),
        cmocka_unit_test(test_small_flushes_teach_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
