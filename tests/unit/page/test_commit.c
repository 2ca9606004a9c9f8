/* The word that holds limit and committed bytes: alone, and under many threads. */
#include "unit/base/cmocka_all.h"

#include <pthread.h>
#include <string.h>

#include <page/commit.h>

#include "unit/base/death.h"
#include "unit/base/random.h"

#define UNIT PAGE_COMMIT_UNIT_BYTES

static struct page_commit commit;

static void check_state(uint64_t limit_bytes, uint64_t committed_bytes)
{
    struct page_commit_state state = page_commit_read(&commit);

    assert_int_equal(state.limit_bytes, limit_bytes);
    assert_int_equal(state.committed_bytes, committed_bytes);
}

static void a_charge_that_fits_counts_and_one_that_does_not_changes_nothing(void **state)
{
    (void)state;
    page_commit_init(&commit, 10 * UNIT);
    assert_true(page_commit_try(&commit, 7 * UNIT));
    assert_false(page_commit_try(&commit, 4 * UNIT));
    check_state(10 * UNIT, 7 * UNIT);
    assert_true(page_commit_try(&commit, 3 * UNIT));
    assert_false(page_commit_try(&commit, UNIT));
    check_state(10 * UNIT, 10 * UNIT);
}

static void nothing_always_fits(void **state)
{
    (void)state;
    page_commit_init(&commit, 0);
    assert_true(page_commit_try(&commit, 0));
    assert_false(page_commit_try(&commit, UNIT));
    page_commit_release(&commit, 0);
    check_state(0, 0);
}

static void the_largest_limit_is_reached_and_not_passed(void **state)
{
    (void)state;
    page_commit_init(&commit, PAGE_COMMIT_LIMIT_MAX_BYTES);
    assert_true(page_commit_try(&commit, PAGE_COMMIT_LIMIT_MAX_BYTES - UNIT));
    assert_false(page_commit_try(&commit, 2 * UNIT));
    assert_false(page_commit_try(&commit, UINT64_MAX & ~(UNIT - 1)));
    assert_false(page_commit_try(&commit, PAGE_COMMIT_LIMIT_MAX_BYTES + 2 * UNIT));
    assert_true(page_commit_try(&commit, UNIT));
    check_state(PAGE_COMMIT_LIMIT_MAX_BYTES, PAGE_COMMIT_LIMIT_MAX_BYTES);
    page_commit_release(&commit, PAGE_COMMIT_LIMIT_MAX_BYTES);
    check_state(PAGE_COMMIT_LIMIT_MAX_BYTES, 0);
}

static void a_limit_between_units_counts_as_the_unit_below(void **state)
{
    (void)state;
    page_commit_init(&commit, 3 * UNIT + 1);
    check_state(3 * UNIT, 0);
    assert_int_equal(page_commit_set_limit(&commit, 5 * UNIT + UNIT / 2), 5 * UNIT);
}

static void the_peak_keeps_the_highest_value(void **state)
{
    (void)state;
    page_commit_init(&commit, 100 * UNIT);
    assert_true(page_commit_try(&commit, 60 * UNIT));
    page_commit_release(&commit, 50 * UNIT);
    assert_true(page_commit_try(&commit, 40 * UNIT));
    assert_false(page_commit_try(&commit, 90 * UNIT));
    assert_int_equal(atomic_load_relaxed_u64(&commit.peak_bytes), 60 * UNIT);
    assert_true(page_commit_try(&commit, 11 * UNIT));
    assert_int_equal(atomic_load_relaxed_u64(&commit.peak_bytes), 61 * UNIT);
}

static void metadata_is_counted_apart_and_within(void **state)
{
    (void)state;
    page_commit_init(&commit, 10 * UNIT);
    assert_true(page_commit_try_metadata(&commit, 4 * UNIT));
    assert_true(page_commit_try(&commit, 3 * UNIT));
    assert_false(page_commit_try_metadata(&commit, 4 * UNIT));
    page_commit_note_metadata(&commit, 2 * UNIT);
    assert_int_equal(atomic_load_relaxed_u64(&commit.metadata_bytes), 6 * UNIT);
    check_state(10 * UNIT, 7 * UNIT);
    page_commit_release_metadata(&commit, 5 * UNIT);
    assert_int_equal(atomic_load_relaxed_u64(&commit.metadata_bytes), UNIT);
    check_state(10 * UNIT, 2 * UNIT);
}

static void a_lowered_limit_stops_at_what_is_committed(void **state)
{
    (void)state;
    page_commit_init(&commit, 10 * UNIT);
    assert_true(page_commit_try(&commit, 6 * UNIT));
    assert_int_equal(page_commit_set_limit(&commit, 4 * UNIT), 6 * UNIT);
    assert_false(page_commit_try(&commit, UNIT));
    page_commit_release(&commit, 3 * UNIT);
    assert_int_equal(page_commit_set_limit(&commit, 4 * UNIT), 4 * UNIT);
    check_state(4 * UNIT, 3 * UNIT);
    assert_int_equal(page_commit_set_limit(&commit, PAGE_COMMIT_LIMIT_MAX_BYTES),
                     PAGE_COMMIT_LIMIT_MAX_BYTES);
}

static void a_recount_replaces_what_is_committed_and_keeps_the_limit(void **state)
{
    (void)state;
    page_commit_init(&commit, 10 * UNIT);
    assert_true(page_commit_try(&commit, 9 * UNIT));
    page_commit_recount(&commit, 2 * UNIT);
    check_state(10 * UNIT, 2 * UNIT);
    assert_true(page_commit_try(&commit, 8 * UNIT));
}

static void a_recount_above_the_limit_raises_it(void **state)
{
    (void)state;
    page_commit_init(&commit, 10 * UNIT);
    page_commit_recount(&commit, 11 * UNIT);
    check_state(11 * UNIT, 11 * UNIT);
    assert_false(page_commit_try(&commit, UNIT));
}

/* ---- programmer's errors -------------------------------------------------------------------- */

static void release_too_much(void)
{
    page_commit_init(&commit, 10 * UNIT);
    Q_ASSERT(page_commit_try(&commit, UNIT));
    page_commit_release(&commit, 2 * UNIT);
}

static void charge_half_a_unit(void)
{
    page_commit_init(&commit, 10 * UNIT);
    Q_ASSERT(page_commit_try(&commit, UNIT / 2));
}

static void check_dies(void (*body)(void))
{
    struct death death;

    death_watch(body, &death);
    assert_true(death.signal != 0);
    assert_non_null(strstr(death.text, "assertion failed"));
}

static void a_release_of_more_than_was_charged_dies(void **state)
{
    (void)state;
    check_dies(release_too_much);
}

static void a_charge_of_half_a_unit_dies(void **state)
{
    (void)state;
    check_dies(charge_half_a_unit);
}

/* ---- many threads --------------------------------------------------------------------------- */

#define THREADS    4
#define STEPS      20000
#define LIMIT_HIGH 64u
#define LIMIT_LOW  16u

static _Atomic uint32_t is_over; /* a reader saw committed above the limit */

static void look(void)
{
    struct page_commit_state state = page_commit_read(&commit);

    if (state.committed_bytes > state.limit_bytes) {
        atomic_store_relaxed_u32(&is_over, 1);
    }
}

static void *charge_and_release(void *argument)
{
    uint64_t seed = (uint64_t)(uintptr_t)argument, held = 0;

    for (int i = 0; i < STEPS; i++) {
        uint64_t units = random_u64(&seed) % 12;
        if (random_u64(&seed) % 2 == 0 && page_commit_try(&commit, units * UNIT)) {
            held += units;
        } else if (held > 0) {
            uint64_t given = 1 + random_u64(&seed) % held;
            page_commit_release(&commit, given * UNIT);
            held -= given;
        }
        look();
    }
    page_commit_release(&commit, held * UNIT);
    return NULL;
}

static void *change_the_limit(void *argument)
{
    uint64_t seed = (uint64_t)(uintptr_t)argument;

    for (int i = 0; i < STEPS; i++) {
        uint64_t wanted = LIMIT_LOW + random_u64(&seed) % (LIMIT_HIGH - LIMIT_LOW + 1);
        uint64_t limit_bytes = page_commit_set_limit(&commit, wanted * UNIT);
        if (limit_bytes < wanted * UNIT || limit_bytes > LIMIT_HIGH * UNIT) {
            atomic_store_relaxed_u32(&is_over, 1);
        }
        look();
    }
    return NULL;
}

static void the_limit_is_never_passed_by_threads_that_charge_while_it_changes(void **state)
{
    (void)state;
    pthread_t threads[THREADS + 1];

    page_commit_init(&commit, LIMIT_HIGH * UNIT);
    for (uintptr_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, charge_and_release, (void *)(i + 1)), 0);
    }
    assert_int_equal(pthread_create(&threads[THREADS], NULL, change_the_limit, (void *)99), 0);
    for (int i = 0; i <= THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(atomic_load_relaxed_u32(&is_over), 0);
    assert_int_equal(page_commit_read(&commit).committed_bytes, 0);
    uint64_t peak_bytes = atomic_load_relaxed_u64(&commit.peak_bytes);
    assert_true(peak_bytes > 0 && peak_bytes <= LIMIT_HIGH * UNIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_charge_that_fits_counts_and_one_that_does_not_changes_nothing),
        cmocka_unit_test(nothing_always_fits),
        cmocka_unit_test(the_largest_limit_is_reached_and_not_passed),
        cmocka_unit_test(a_limit_between_units_counts_as_the_unit_below),
        cmocka_unit_test(the_peak_keeps_the_highest_value),
        cmocka_unit_test(metadata_is_counted_apart_and_within),
        cmocka_unit_test(a_lowered_limit_stops_at_what_is_committed),
        cmocka_unit_test(a_recount_replaces_what_is_committed_and_keeps_the_limit),
        cmocka_unit_test(a_recount_above_the_limit_raises_it),
        cmocka_unit_test(a_release_of_more_than_was_charged_dies),
        cmocka_unit_test(a_charge_of_half_a_unit_dies),
        cmocka_unit_test(the_limit_is_never_passed_by_threads_that_charge_while_it_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
