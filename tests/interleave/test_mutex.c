/*
 * os/mutex.c itself: its inline halves and its cold ones, over futexes.
 */
#include "unit/base/cmocka_all.h"

#include "interleave/interleave.h"

/* The real ones, which stand behind these names. */
#undef os_mutex_lock
#undef os_mutex_try_lock
#undef os_mutex_unlock

static struct os_mutex mutex;
static uint32_t guarded;

static void make(void)
{
    os_mutex_init(&mutex, OS_RANK_LEAF, 0);
    guarded = 0;
}

static void lock_and_touch(void)
{
    os_mutex_lock(&mutex);
    interleave_write(&guarded, interleave_read(&guarded) + 1);
    os_mutex_unlock(&mutex);
}

static void try_and_touch(void)
{
    if (os_mutex_try_lock(&mutex)) {
        interleave_write(&guarded, interleave_read(&guarded) + 1);
        os_mutex_unlock(&mutex);
    } else {
        lock_and_touch();
    }
}

static void all_have_touched(void)
{
    Q_ASSERT(guarded == 3);
    Q_ASSERT(atomic_load_relaxed_u32(&mutex.state) == 0);
}

static const struct interleave_scenario three = {
    .name = "mutex, three threads",
    .set_up = make,
    .threads = {lock_and_touch, lock_and_touch, try_and_touch},
    .check = all_have_touched,
    .preemptions = 2,
    .has_no_oddities = true,
};

static void both_have_touched(void)
{
    Q_ASSERT(guarded == 2);
    Q_ASSERT(atomic_load_relaxed_u32(&mutex.state) == 0);
}

static const struct interleave_scenario two = {
    .name = "mutex, two threads",
    .set_up = make,
    .threads = {lock_and_touch, lock_and_touch},
    .check = both_have_touched,
    .preemptions = 2,
    .oddities = 1,
};

static void one_thread_at_a_time_is_inside_and_none_sleeps_for_ever(void **state)
{
    (void)state;
    interleave_expect_clean(&two);
    interleave_expect_clean(&three);
}

static void bugs_in_locking_are_found(void **state)
{
    static const struct interleave_plant plants[] = {
        {"os_mutex_lock", INTERLEAVE_CAS, "state", INTERLEAVE_WEAKEN, 0},
        {"os_mutex_unlock", INTERLEAVE_CAS, "state", INTERLEAVE_WEAKEN, 0},
        {"os_mutex_unlock_slow", INTERLEAVE_WAKE, "state", INTERLEAVE_SKIP, 0},
        {"os_mutex_unlock_slow", INTERLEAVE_EXCHANGE, "state", INTERLEAVE_WEAKEN, 0},
        {"os_mutex_lock", INTERLEAVE_CAS, "state", INTERLEAVE_TEAR, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof plants / sizeof plants[0]; i++) {
        interleave_expect_found(&two, &plants[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_thread_at_a_time_is_inside_and_none_sleeps_for_ever),
        cmocka_unit_test(bugs_in_locking_are_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
