/*
 * The checker itself: what small programs of the literature may show and may not, and that it finds
 * what it says it finds.
 */
#include <signal.h>
#include <string.h>

#include "unit/base/cmocka_all.h"

#include "interleave/interleave.h"

static _Atomic uint32_t x, y, z;
static uint32_t seen[4];
static uint32_t plain;
static struct os_mutex mutex, other_mutex;

static void clear(void)
{
    x = y = z = plain = 0;
    memset(seen, 0, sizeof seen);
    os_mutex_init(&mutex, OS_RANK_NONE, 0);
    os_mutex_init(&other_mutex, OS_RANK_NONE, 0);
}

static void expect(const struct interleave_scenario *scenario, enum interleave_verdict verdict)
{
    static struct interleave_result result;

    interleave_explore(scenario, NULL, &result);
    if (result.verdict != verdict) {
        fail_msg("%s: %s, not %s: %s", scenario->name, interleave_verdict_name(result.verdict),
                 interleave_verdict_name(verdict), result.text);
    }
}

/* ---- store buffering: both may find nothing ------------------------------------------------- */

static void buffer_x_release(void)
{
    atomic_store_release_u32(&x, 1);
    seen[0] = atomic_load_acquire_u32(&y);
}

static void buffer_y_release(void)
{
    atomic_store_release_u32(&y, 1);
    seen[1] = atomic_load_acquire_u32(&x);
}

static void buffer_x_seq_cst(void)
{
    atomic_store_seq_cst_u32(&x, 1);
    seen[0] = atomic_load_seq_cst_u32(&y);
}

static void buffer_y_seq_cst(void)
{
    atomic_store_seq_cst_u32(&y, 1);
    seen[1] = atomic_load_seq_cst_u32(&x);
}

static void one_of_both_saw_the_other(void)
{
    Q_ASSERT(seen[0] == 1 || seen[1] == 1);
}

static void a_released_store_may_be_seen_late(void **state)
{
    (void)state;
    struct interleave_scenario scenario = {.name = "store buffering",
                                           .set_up = clear,
                                           .threads = {buffer_x_release, buffer_y_release},
                                           .check = one_of_both_saw_the_other};
    expect(&scenario, INTERLEAVE_ASSERTION);
    scenario.has_no_oddities = true;
    expect(&scenario, INTERLEAVE_CLEAN);
}

static void sequentially_consistent_accesses_see_each_other(void **state)
{
    (void)state;
    expect(&(struct interleave_scenario){.name = "store buffering, seq_cst",
                                         .set_up = clear,
                                         .threads = {buffer_x_seq_cst, buffer_y_seq_cst},
                                         .check = one_of_both_saw_the_other},
           INTERLEAVE_CLEAN);
}

/* ---- the barrier on all CPUs in the place of one side's fence ------------------------------- */

static void light_side(void)
{
    atomic_store_relaxed_u32(&x, 1);
    atomic_compiler_barrier();
    seen[0] = atomic_load_relaxed_u32(&y);
}

static void light_side_without(void)
{
    atomic_store_relaxed_u32(&x, 1);
    seen[0] = atomic_load_relaxed_u32(&y);
}

static void heavy_side(void)
{
    atomic_store_relaxed_u32(&y, 1);
    (void)os_process_barrier();
    seen[1] = atomic_load_relaxed_u32(&x);
}

static void a_process_barrier_stands_for_both_fences(void **state)
{
    (void)state;
    struct interleave_scenario scenario = {.name = "asymmetric fences",
                                           .set_up = clear,
                                           .threads = {light_side, heavy_side},
                                           .check = one_of_both_saw_the_other};
    expect(&scenario, INTERLEAVE_CLEAN);
    scenario.threads[0] = light_side_without;
    expect(&scenario, INTERLEAVE_ASSERTION);
}

/* ---- message passing ------------------------------------------------------------------------ */

static void send_release(void)
{
    atomic_store_relaxed_u32(&x, 1);
    atomic_store_release_u32(&y, 1);
}

static void send_relaxed(void)
{
    atomic_store_relaxed_u32(&x, 1);
    atomic_store_relaxed_u32(&y, 1);
}

static void receive_acquire(void)
{
    if (atomic_load_acquire_u32(&y) == 1) {
        Q_ASSERT(atomic_load_relaxed_u32(&x) == 1);
    }
}

static void receive_relaxed(void)
{
    if (atomic_load_relaxed_u32(&y) == 1) {
        Q_ASSERT(atomic_load_relaxed_u32(&x) == 1);
    }
}

static void a_message_needs_a_release_and_an_acquire(void **state)
{
    (void)state;
    struct interleave_scenario scenario = {
        .name = "message", .set_up = clear, .threads = {send_release, receive_acquire}};
    expect(&scenario, INTERLEAVE_CLEAN);
    scenario.threads[0] = send_relaxed;
    expect(&scenario, INTERLEAVE_ASSERTION);
    scenario.threads[0] = send_release;
    scenario.threads[1] = receive_relaxed;
    expect(&scenario, INTERLEAVE_ASSERTION);
}

static void add_relaxed(void)
{
    uint32_t expected = 1;

    (void)atomic_cas_relaxed_u32(&y, &expected, 2);
}

static void receive_two(void)
{
    if (atomic_load_acquire_u32(&y) == 2) {
        Q_ASSERT(atomic_load_relaxed_u32(&x) == 1);
    }
}

static void a_modification_passes_a_release_on(void **state)
{
    (void)state;
    expect(&(struct interleave_scenario){.name = "release sequence",
                                         .set_up = clear,
                                         .threads = {send_release, add_relaxed, receive_two}},
           INTERLEAVE_CLEAN);
}

static void send_and_go_on(void)
{
    send_release();
    atomic_store_relaxed_u32(&y, 2);
}

static void overwrite(void)
{
    atomic_store_relaxed_u32(&y, 2);
}

static void so_does_a_store_of_the_same_thread(void **state)
{
    (void)state;
    struct interleave_scenario scenario = {.name = "release sequence of one",
                                           .set_up = clear,
                                           .threads = {send_and_go_on, receive_two}};
    expect(&scenario, INTERLEAVE_CLEAN);
    /* Another thread's store ends it. */
    scenario.threads[0] = send_release;
    scenario.threads[2] = overwrite;
    expect(&scenario, INTERLEAVE_ASSERTION);
}

/* ---- coherence and independent readers ------------------------------------------------------ */

static void count_up(void)
{
    atomic_store_relaxed_u32(&x, 1);
    atomic_store_relaxed_u32(&x, 2);
}

static void look_twice(void)
{
    uint32_t first = atomic_load_relaxed_u32(&x);

    Q_ASSERT(atomic_load_relaxed_u32(&x) >= first);
}

static void a_location_never_goes_back(void **state)
{
    (void)state;
    expect(&(struct interleave_scenario){.name = "coherence",
                                         .set_up = clear,
                                         .threads = {count_up, look_twice, look_twice}},
           INTERLEAVE_CLEAN);
}

static void write_x(void)
{
    atomic_store_release_u32(&x, 1);
}

static void write_y(void)
{
    atomic_store_release_u32(&y, 1);
}

static void read_x_y(void)
{
    seen[0] = atomic_load_acquire_u32(&x);
    seen[1] = atomic_load_acquire_u32(&y);
}

static void read_y_x(void)
{
    seen[2] = atomic_load_acquire_u32(&y);
    seen[3] = atomic_load_acquire_u32(&x);
}

static void read_x_y_seq_cst(void)
{
    seen[0] = atomic_load_seq_cst_u32(&x);
    seen[1] = atomic_load_seq_cst_u32(&y);
}

static void read_y_x_seq_cst(void)
{
    seen[2] = atomic_load_seq_cst_u32(&y);
    seen[3] = atomic_load_seq_cst_u32(&x);
}

static void readers_agree(void)
{
    Q_ASSERT(!(seen[0] == 1 && seen[1] == 0 && seen[2] == 1 && seen[3] == 0));
}

static void independent_readers_agree_only_when_seq_cst(void **state)
{
    (void)state;
    struct interleave_scenario scenario = {.name = "independent reads",
                                           .set_up = clear,
                                           .threads = {write_x, write_y, read_x_y, read_y_x},
                                           .check = readers_agree};
    expect(&scenario, INTERLEAVE_ASSERTION);
    scenario.threads[2] = read_x_y_seq_cst;
    scenario.threads[3] = read_y_x_seq_cst;
    expect(&scenario, INTERLEAVE_CLEAN);
}

/* ---- modifications -------------------------------------------------------------------------- */

static void add_one(void)
{
    (void)atomic_add_relaxed_u32(&x, 1);
}

static void bump_one(void)
{
    atomic_bump_relaxed_u32(&x, 1);
}

static void add_one_by_cas(void)
{
    uint32_t value = atomic_load_relaxed_u32(&x);

    while (!atomic_cas_weak_relaxed_u32(&x, &value, value + 1)) {
    }
}

static void all_were_counted(void)
{
    Q_ASSERT(x == 3);
}

static void modifications_lose_nothing_and_bumps_do(void **state)
{
    (void)state;
    struct interleave_scenario scenario = {.name = "counter",
                                           .set_up = clear,
                                           .threads = {add_one, add_one, add_one_by_cas},
                                           .check = all_were_counted};
    expect(&scenario, INTERLEAVE_CLEAN);
    scenario.threads[0] = bump_one;
    expect(&scenario, INTERLEAVE_ASSERTION);
}

static void fail_weakly(void)
{
    uint32_t value = 0;

    Q_ASSERT(atomic_cas_weak_relaxed_u32(&x, &value, 1));
}

static void a_weak_cas_fails_for_no_reason(void **state)
{
    (void)state;
    expect(&(struct interleave_scenario){.name = "weak cas",
                                         .set_up = clear,
                                         .threads = {fail_weakly}},
           INTERLEAVE_ASSERTION);
}

/* ---- plain accesses ------------------------------------------------------------------------- */

static void publish(void)
{
    interleave_write(&plain, 7);
    atomic_store_release_u32(&x, 1);
}

static void publish_late(void)
{
    atomic_store_release_u32(&x, 1);
    interleave_write(&plain, 7);
}

static void consume(void)
{
    if (atomic_load_acquire_u32(&x) == 1) {
        Q_ASSERT(interleave_read(&plain) == 7);
    }
}

static void read_then_give(void)
{
    (void)interleave_read(&plain);
    atomic_store_relaxed_u32(&x, 1);
}

static void take_and_write(void)
{
    if (atomic_load_acquire_u32(&x) == 1) {
        interleave_write(&plain, 8);
    }
}

static void plain_accesses_race_unless_ordered(void **state)
{
    (void)state;
    struct interleave_scenario scenario = {
        .name = "plain", .set_up = clear, .threads = {publish, consume}};
    expect(&scenario, INTERLEAVE_CLEAN);
    scenario.threads[0] = publish_late;
    expect(&scenario, INTERLEAVE_RACE);
    /* A read that a relaxed store does not hold back: the reader's bytes may be the writer's. */
    scenario.threads[0] = read_then_give;
    scenario.threads[1] = take_and_write;
    expect(&scenario, INTERLEAVE_RACE);
}

/* ---- waiting -------------------------------------------------------------------------------- */

static void write_locked(void)
{
    os_mutex_lock(&mutex);
    interleave_write(&plain, interleave_read(&plain) + 1);
    os_mutex_unlock(&mutex);
}

static void all_have_written(void)
{
    Q_ASSERT(plain == 3);
}

static void mutexes_keep_threads_apart(void **state)
{
    (void)state;
    expect(&(struct interleave_scenario){.name = "mutex",
                                         .set_up = clear,
                                         .threads = {write_locked, write_locked, write_locked},
                                         .check = all_have_written},
           INTERLEAVE_CLEAN);
}

static void lock_both(void)
{
    os_mutex_lock(&mutex);
    os_mutex_lock(&other_mutex);
    os_mutex_unlock(&other_mutex);
    os_mutex_unlock(&mutex);
}

static void lock_both_the_other_way(void)
{
    os_mutex_lock(&other_mutex);
    os_mutex_lock(&mutex);
    os_mutex_unlock(&mutex);
    os_mutex_unlock(&other_mutex);
}

static void threads_that_wait_in_a_ring_are_found(void **state)
{
    (void)state;
    expect(&(struct interleave_scenario){.name = "deadlock",
                                         .set_up = clear,
                                         .threads = {lock_both, lock_both_the_other_way}},
           INTERLEAVE_DEADLOCK);
}

static void sleep_while_zero(void)
{
    while (atomic_load_acquire_u32(&x) == 0) {
        os_futex_wait(&x, 0, UINT64_MAX);
    }
}

static void set_and_wake(void)
{
    atomic_store_release_u32(&x, 1);
    os_futex_wake(&x, 1);
}

static void set_and_forget(void)
{
    atomic_store_release_u32(&x, 1);
}

static void a_wake_that_is_missing_is_found(void **state)
{
    (void)state;
    struct interleave_scenario scenario = {
        .name = "futex", .set_up = clear, .threads = {sleep_while_zero, set_and_wake}};
    expect(&scenario, INTERLEAVE_CLEAN);
    scenario.threads[1] = set_and_forget;
    expect(&scenario, INTERLEAVE_DEADLOCK);
}

static void spin_while_zero(void)
{
    while (atomic_load_acquire_u32(&x) == 0) {
        os_yield();
    }
}

static void spin_hard_while_zero(void)
{
    while (atomic_load_acquire_u32(&x) == 0) {
    }
}

static void do_nothing(void)
{
    (void)atomic_load_relaxed_u32(&x);
}

static void a_loop_ends_when_others_go_on_and_is_found_when_none_does(void **state)
{
    (void)state;
    struct interleave_scenario scenario = {
        .name = "spin", .set_up = clear, .threads = {spin_while_zero, set_and_forget}};
    expect(&scenario, INTERLEAVE_CLEAN);
    /* It may be left, and see an old value, at each of a thousand turns. */
    scenario.threads[0] = spin_hard_while_zero;
    scenario.preemptions = 1;
    scenario.has_no_oddities = true;
    expect(&scenario, INTERLEAVE_CLEAN);
    scenario.threads[1] = do_nothing;
    expect(&scenario, INTERLEAVE_LIVELOCK);
    scenario.threads[0] = spin_while_zero;
    expect(&scenario, INTERLEAVE_LIVELOCK);
}

/* ---- what the exploration itself promises --------------------------------------------------- */

static _Thread_local uint32_t own;

static void count_own(void)
{
    uint32_t before = own;

    own++;
    (void)atomic_add_relaxed_u32(&x, 1);
    own++;
    (void)atomic_add_relaxed_u32(&x, 1);
    Q_ASSERT(before == 0 && own == 2);
}

static void each_thread_has_its_own_storage(void **state)
{
    (void)state;
    own = 5;
    expect(&(struct interleave_scenario){.name = "storage",
                                         .set_up = clear,
                                         .threads = {count_own, count_own, count_own}},
           INTERLEAVE_CLEAN);
    assert_int_equal(own, 5);
}

static void three_stores(void)
{
    for (uint32_t i = 1; i <= 3; i++) {
        atomic_store_seq_cst_u32(&x, i);
    }
}

static void three_other_stores(void)
{
    for (uint32_t i = 1; i <= 3; i++) {
        atomic_store_seq_cst_u32(&x, 10 * i);
    }
}

/* Of two threads with n operations each, C(2n, n) orders there are: 20 of 3 and 3. A bound of 1
 * leaves those in which at most one thread is left while it could go on: for each of the two that
 * may begin, none, or one after 1 or 2 operations of it, or, once it has ended, none: 2 * 3; and
 * that one left before its first operation, which is the other's turn: 2 more rows. */
static void schedules_are_as_many_as_there_are_orders(void **state)
{
    static struct interleave_result result;
    struct interleave_scenario scenario = {.name = "count",
                                           .set_up = clear,
                                           .threads = {three_stores, three_other_stores},
                                           .preemptions = 1};

    (void)state;
    interleave_explore(&scenario, NULL, &result);
    assert_int_equal(result.verdict, INTERLEAVE_CLEAN);
    assert_int_equal(result.schedule_count, 8);
}

static uint32_t tries;

static void choose_freely(void)
{
    Q_ASSERT(interleave_choose(5) != 4);
}

static void store_more_each_time(void)
{
    tries++;
    for (uint32_t i = 0; i < tries; i++) {
        atomic_store_relaxed_u32(&x, i);
    }
}

static void choices_of_a_scenario_are_all_tried(void **state)
{
    (void)state;
    expect(&(struct interleave_scenario){.name = "choice",
                                         .set_up = clear,
                                         .threads = {choose_freely}},
           INTERLEAVE_ASSERTION);
}

static void a_scenario_that_is_not_the_same_each_time_is_told(void **state)
{
    (void)state;
    expect(&(struct interleave_scenario){.name = "unsteady",
                                         .set_up = clear,
                                         .threads = {store_more_each_time, look_twice}},
           INTERLEAVE_UNSTEADY);
}

static void fault(void)
{
    (void)raise(SIGSEGV);
}

static void a_signal_is_a_finding(void **state)
{
    (void)state;
    expect(&(struct interleave_scenario){.name = "signal", .set_up = clear, .threads = {fault}},
           INTERLEAVE_CRASH);
}

static void a_finding_is_told_as_a_numbered_schedule(void **state)
{
    static struct interleave_result result;
    struct interleave_scenario scenario = {
        .name = "message", .set_up = clear, .threads = {send_relaxed, receive_acquire}};

    (void)state;
    interleave_explore(&scenario, NULL, &result);
    assert_non_null(strstr(result.text, "assertion failed: "));
    assert_non_null(strstr(result.text, "thread 1: store_relaxed &x = 0x1 (test_interleave.c:"));
    assert_non_null(strstr(result.text, ", send_relaxed)"));
    assert_non_null(strstr(result.text, "thread 2: load_relaxed &x is 0, old: by now 0x1"));
}

/* ---- planted bugs --------------------------------------------------------------------------- */

static void planted_bugs_change_what_an_operation_does(void **state)
{
    struct interleave_scenario message = {
        .name = "message", .set_up = clear, .threads = {send_release, receive_acquire}};
    struct interleave_scenario counter = {.name = "counter",
                                          .set_up = clear,
                                          .threads = {add_one, add_one, add_one_by_cas},
                                          .check = all_were_counted};

    (void)state;
    interleave_expect_found(&message, &(struct interleave_plant){
                                          .function = "send_release",
                                          .kind = INTERLEAVE_STORE,
                                          .object = "&y",
                                          .change = INTERLEAVE_WEAKEN,
                                      });
    interleave_expect_found(&message, &(struct interleave_plant){
                                          .function = "receive_acquire",
                                          .kind = INTERLEAVE_LOAD,
                                          .object = "&y",
                                          .change = INTERLEAVE_WEAKEN,
                                      });
    interleave_expect_found(&message, &(struct interleave_plant){
                                          .function = "send_release",
                                          .kind = INTERLEAVE_STORE,
                                          .object = "&x",
                                          .change = INTERLEAVE_SWAP,
                                      });
    interleave_expect_found(&message, &(struct interleave_plant){
                                          .function = "send_release",
                                          .kind = INTERLEAVE_STORE,
                                          .object = "&x",
                                          .change = INTERLEAVE_SKIP,
                                      });
    interleave_expect_found(&counter, &(struct interleave_plant){
                                          .function = "add_one",
                                          .kind = INTERLEAVE_ADD,
                                          .change = INTERLEAVE_TEAR,
                                      });
    interleave_expect_found(&counter, &(struct interleave_plant){
                                          .function = "add_one",
                                          .kind = INTERLEAVE_ADD,
                                          .change = INTERLEAVE_REPLACE,
                                          .value = 2,
                                      });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_released_store_may_be_seen_late),
        cmocka_unit_test(sequentially_consistent_accesses_see_each_other),
        cmocka_unit_test(a_process_barrier_stands_for_both_fences),
        cmocka_unit_test(a_message_needs_a_release_and_an_acquire),
        cmocka_unit_test(a_modification_passes_a_release_on),
        cmocka_unit_test(so_does_a_store_of_the_same_thread),
        cmocka_unit_test(a_location_never_goes_back),
        cmocka_unit_test(independent_readers_agree_only_when_seq_cst),
        cmocka_unit_test(modifications_lose_nothing_and_bumps_do),
        cmocka_unit_test(a_weak_cas_fails_for_no_reason),
        cmocka_unit_test(plain_accesses_race_unless_ordered),
        cmocka_unit_test(mutexes_keep_threads_apart),
        cmocka_unit_test(threads_that_wait_in_a_ring_are_found),
        cmocka_unit_test(a_wake_that_is_missing_is_found),
        cmocka_unit_test(a_loop_ends_when_others_go_on_and_is_found_when_none_does),
        cmocka_unit_test(each_thread_has_its_own_storage),
        cmocka_unit_test(schedules_are_as_many_as_there_are_orders),
        cmocka_unit_test(choices_of_a_scenario_are_all_tried),
        cmocka_unit_test(a_scenario_that_is_not_the_same_each_time_is_told),
        cmocka_unit_test(a_signal_is_a_finding),
        cmocka_unit_test(a_finding_is_told_as_a_numbered_schedule),
        cmocka_unit_test(planted_bugs_change_what_an_operation_does),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
