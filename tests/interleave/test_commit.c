/*
 * page/commit.c: charges, releases and a limit that moves, in one word.
 */
#include "unit/base/cmocka_all.h"

#include <page/commit.h>

#include "interleave/interleave.h"

#define UNIT PAGE_COMMIT_UNIT_BYTES

static struct page_commit commit;
/* What page_commit_set_limit said; 0: not yet. */
static uint64_t limit_bytes_told;
/* What the holder of the last charged unit works on: it has one holder at a time. */
static uint32_t unit;

static void make(void)
{
    page_commit_init(&commit, 2 * UNIT);
    limit_bytes_told = 0;
}

static void make_with_one_unit(void)
{
    page_commit_init(&commit, UNIT);
    limit_bytes_told = 0;
    unit = 0;
}

static void charge_one_then_release(void)
{
    if (page_commit_try(&commit, UNIT)) {
        page_commit_release(&commit, UNIT);
    }
}

static void charge_one_then_two(void)
{
    charge_one_then_release();
    if (page_commit_try(&commit, 2 * UNIT)) {
        page_commit_release(&commit, 2 * UNIT);
    }
}

static void lower_the_limit(void)
{
    limit_bytes_told = page_commit_set_limit(&commit, UNIT);
}

static void use_the_only_unit(void)
{
    if (page_commit_try(&commit, UNIT)) {
        interleave_write(&unit, interleave_read(&unit) + 1);
        page_commit_release(&commit, UNIT);
    }
}

static void committed_is_within_the_limit(void)
{
    struct page_commit_state now = page_commit_read(&commit);

    Q_ASSERT(now.committed_bytes <= now.limit_bytes);
    Q_ASSERT(now.limit_bytes >= UNIT && now.limit_bytes <= 2 * UNIT);
}

static void nothing_is_left(void)
{
    struct page_commit_state now = page_commit_read(&commit);

    Q_ASSERT(now.committed_bytes == 0);
    Q_ASSERT(limit_bytes_told == 0 || limit_bytes_told == now.limit_bytes);
    Q_ASSERT(commit.peak_bytes >= UNIT && commit.peak_bytes <= 2 * UNIT);
}

static const struct interleave_scenario limited = {
    .name = "commit, two charges and a limit",
    .set_up = make,
    .threads = {charge_one_then_release, charge_one_then_two, lower_the_limit},
    .invariant = committed_is_within_the_limit,
    .check = nothing_is_left,
    .oddities = 1,
};

static const struct interleave_scenario handed_on = {
    .name = "commit, one unit for two",
    .set_up = make_with_one_unit,
    .threads = {use_the_only_unit, use_the_only_unit, use_the_only_unit},
    .check = nothing_is_left,
    .oddities = 1,
};

static void a_limit_holds_at_every_instant(void **state)
{
    (void)state;
    interleave_expect_clean(&limited);
    interleave_expect_clean(&handed_on);
}

static void bugs_in_the_word_are_found(void **state)
{
    static const struct interleave_plant plants[] = {
        {"page_commit_try", INTERLEAVE_CAS_WEAK, "word", INTERLEAVE_TEAR, 0},
        {"page_commit_release", INTERLEAVE_SUB, "word", INTERLEAVE_TEAR, 0},
        {"page_commit_set_limit", INTERLEAVE_CAS_WEAK, "word", INTERLEAVE_TEAR, 0},
        {"commit_note_peak", INTERLEAVE_CAS_WEAK, "peak", INTERLEAVE_SKIP, 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof plants / sizeof plants[0]; i++) {
        interleave_expect_found(&limited, &plants[i]);
    }
}

static void bugs_in_the_orders_are_found(void **state)
{
    static const struct interleave_plant plants[] = {
        {"page_commit_try", INTERLEAVE_CAS_WEAK, "word", INTERLEAVE_WEAKEN, 0},
        {"page_commit_release", INTERLEAVE_SUB, "word", INTERLEAVE_WEAKEN, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof plants / sizeof plants[0]; i++) {
        interleave_expect_found(&handed_on, &plants[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_limit_holds_at_every_instant),
        cmocka_unit_test(bugs_in_the_word_are_found),
        cmocka_unit_test(bugs_in_the_orders_are_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
