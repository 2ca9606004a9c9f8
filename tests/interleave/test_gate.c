/*
 * os/gate.c: a thread enters its gate by a plain store while others keep it out.
 */
#include "unit/base/cmocka_all.h"

#include "interleave/interleave.h"

static struct os_gate gate;
static struct os_mutex mutex;
static uint32_t guarded;

static void make(void)
{
    os_mutex_init(&mutex, OS_RANK_LEAF, 0);
    os_gate_init(&gate);
    guarded = 0;
}

static void touch(void)
{
    interleave_write(&guarded, interleave_read(&guarded) + 1);
}

static void enter_twice(void)
{
    for (int i = 0; i < 2; i++) {
        Q_ASSERT(os_gate_enter(&gate, &mutex));
        touch();
        os_gate_leave(&gate);
    }
}

static void keep_out(void)
{
    os_mutex_lock(&mutex);
    os_gate_stop(&gate);
    os_gates_barrier();
    os_gate_wait(&gate);
    touch();
    os_gate_resume(&gate);
    os_mutex_unlock(&mutex);
}

static void mark(void)
{
    (void)os_gate_mark(&gate);
}

static void all_have_touched(void)
{
    Q_ASSERT(guarded == 3);
}

static void all_four_have_touched(void)
{
    Q_ASSERT(guarded == 4);
}

static const struct interleave_scenario stopped = {
    .name = "gate, enter twice and stop",
    .set_up = make,
    .threads = {enter_twice, keep_out},
    .check = all_have_touched,
};

static const struct interleave_scenario stopped_by_two = {
    .name = "gate, enter twice and stop by two",
    .set_up = make,
    .threads = {enter_twice, keep_out, keep_out},
    .check = all_four_have_touched,
    .oddities = 1,
};

static const struct interleave_scenario marked = {
    .name = "gate, enter twice, stop and mark",
    .set_up = make,
    .threads = {enter_twice, keep_out, mark},
    .check = all_have_touched,
};

static const struct interleave_scenario fenced = {
    .name = "gate without a process barrier",
    .set_up = make,
    .threads = {enter_twice, keep_out},
    .check = all_have_touched,
    .has_no_barrier = true,
};

static void a_stopped_gate_has_nobody_inside(void **state)
{
    (void)state;
    interleave_expect_clean(&stopped);
    interleave_expect_clean(&stopped_by_two);
    interleave_expect_clean(&marked);
    interleave_expect_clean(&fenced);
}

static void bugs_in_the_handshake_are_found(void **state)
{
    static const struct interleave_plant plants[] = {
        {"os_gates_barrier", INTERLEAVE_PROCESS_BARRIER, NULL, INTERLEAVE_SKIP, 0},
        {"os_gate_try_enter", INTERLEAVE_COMPILER_BARRIER, NULL, INTERLEAVE_SKIP, 0},
        {"os_gate_try_enter", INTERLEAVE_STORE, "is_inside", INTERLEAVE_SWAP, 0},
        {"os_gate_try_enter", INTERLEAVE_LOAD, "stop", INTERLEAVE_WEAKEN, 0},
        {"os_gate_try_enter", INTERLEAVE_LOAD, "stop", INTERLEAVE_SKIP, 0},
        {"os_gate_leave", INTERLEAVE_STORE, "is_inside", INTERLEAVE_WEAKEN, 0},
        {"os_gate_wait", INTERLEAVE_LOAD, "is_inside", INTERLEAVE_WEAKEN, 0},
        {"os_gate_wait", INTERLEAVE_LOAD, "is_inside", INTERLEAVE_SKIP, 0},
        {"os_gate_resume", INTERLEAVE_AND, "stop", INTERLEAVE_WEAKEN, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof plants / sizeof plants[0]; i++) {
        interleave_expect_found(&stopped, &plants[i]);
    }
}

static void bugs_in_the_handshake_without_a_barrier_are_found(void **state)
{
    static const struct interleave_plant plants[] = {
        {"os_gate_enter_slow", INTERLEAVE_EXCHANGE, "is_inside", INTERLEAVE_WEAKEN, 0},
        {"os_gate_enter_slow", INTERLEAVE_EXCHANGE, "is_inside", INTERLEAVE_SWAP, 0},
        {"os_gate_stop", INTERLEAVE_OR, "stop", INTERLEAVE_WEAKEN, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof plants / sizeof plants[0]; i++) {
        interleave_expect_found(&fenced, &plants[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stopped_gate_has_nobody_inside),
        cmocka_unit_test(bugs_in_the_handshake_are_found),
        cmocka_unit_test(bugs_in_the_handshake_without_a_barrier_are_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
