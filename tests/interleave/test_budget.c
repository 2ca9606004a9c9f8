/*
 * budget/account.c: no level of the tree is ever charged above its ceiling, and what is charged
 * adds up; an account ends when nobody is inside its functions.
 */
#include "unit/page/simulated_heap.h"

#include <budget/tree.h>

#include "interleave/interleave.h"

#define UNIT ((uint64_t)PAGE_BYTES)

/* Each scenario's own tree: a part with room for two units, and two tenants below it. */
static struct quarry_account *part, *one, *other;
/* What the giver's reclaimer looks at: gone when the account is. */
static uint32_t given;

static uint64_t give_one_unit(void *argument, uint64_t wanted_bytes)
{
    struct quarry_account *account = *(struct quarry_account **)argument;

    (void)wanted_bytes;
    (void)interleave_read(&given);
    if (atomic_load_relaxed_u64(&account->own_bytes) == 0) {
        return 0;
    }
    quarry_account_uncharge(account, UNIT);
    return UNIT;
}

static struct quarry_account *make_account(const struct quarry_account_options *options)
{
    struct quarry_account *account = NULL;
    enum quarry_status status =
        quarry_account_create((struct quarry_memory *)(void *)heap, options, &account, NULL);

    Q_ASSERT(status == QUARRY_OK);
    return account;
}

/* The tree outlives the schedules, and with it what its root has seen. */
static void forget_peaks(void)
{
    atomic_store_relaxed_u64(&part->budget->root.peak_bytes, 0);
    atomic_store_relaxed_u64(&part->budget->root.refused_count, 0);
}

static void make(void)
{
    part =
        make_account(&(struct quarry_account_options){.name = "part", .ceiling_bytes = 2 * UNIT});
    one = make_account(&(struct quarry_account_options){.name = "one", .parent = part});
    other = make_account(&(struct quarry_account_options){.name = "other", .parent = part});
    forget_peaks();
}

static void unmake(void)
{
    Q_ASSERT(part->charged_bytes == 0 && one->charged_bytes == 0 && other->charged_bytes == 0);
    Q_ASSERT(one->own_bytes == 0 && other->own_bytes == 0);
    Q_ASSERT(part->budget->root.charged_bytes == 0);
    Q_ASSERT(part->peak_bytes >= UNIT && part->peak_bytes <= 2 * UNIT);
    quarry_account_destroy(one);
    quarry_account_destroy(other);
    quarry_account_destroy(part);
}

static void ceilings_hold(void)
{
    Q_ASSERT(atomic_load_relaxed_u64(&part->charged_bytes) <= 2 * UNIT);
    Q_ASSERT(atomic_load_relaxed_u64(&one->charged_bytes) <= 2 * UNIT);
    Q_ASSERT(atomic_load_relaxed_u64(&other->charged_bytes) <= 2 * UNIT);
}

static void charge(struct quarry_account *account, uint64_t bytes)
{
    if (quarry_account_charge(account, bytes) == QUARRY_OK) {
        Q_ASSERT(atomic_load_relaxed_u64(&account->own_bytes) >= bytes);
        quarry_account_uncharge(account, bytes);
    }
}

static void charge_one(void)
{
    charge(one, UNIT);
}

static void charge_two_to_the_other(void)
{
    charge(other, 2 * UNIT);
}

static void charge_one_to_the_other(void)
{
    charge(other, UNIT);
}

static const struct interleave_scenario charged = {
    .name = "budget, two charges below a ceiling",
    .set_up = make,
    .threads = {charge_one, charge_two_to_the_other},
    .invariant = ceilings_hold,
    .check = unmake,
    .oddities = 1,
};

static const struct interleave_scenario charged_by_three = {
    .name = "budget, three charges below a ceiling",
    .set_up = make,
    .threads = {charge_one, charge_one, charge_one_to_the_other},
    .invariant = ceilings_hold,
    .check = unmake,
    .preemptions = 2,
    .has_no_oddities = true,
};

/* ---- a giver that ends ---------------------------------------------------------------------- */

static void make_with_giver(void)
{
    part =
        make_account(&(struct quarry_account_options){.name = "part", .ceiling_bytes = 2 * UNIT});
    one = make_account(&(struct quarry_account_options){.name = "one", .parent = part});
    other = make_account(&(struct quarry_account_options){
        .name = "other", .parent = part, .reclaim = give_one_unit, .argument = &other});
    given = 1;
    enum quarry_status status = quarry_account_charge(one, 2 * UNIT);
    Q_ASSERT(status == QUARRY_OK);
    quarry_account_uncharge(one, UNIT);
    status = quarry_account_charge(other, UNIT);
    Q_ASSERT(status == QUARRY_OK);
    forget_peaks();
}

static void charge_beyond(void)
{
    charge(one, UNIT);
    quarry_account_uncharge(one, UNIT);
}

/* The owner of what the reclaimer gives away ends it, if nobody has been there before. */
static void end_the_giver(void)
{
    os_mutex_lock(&part->budget->mutex);
    other->is_paused = true;
    os_mutex_unlock(&part->budget->mutex);
    while (atomic_load_acquire_u32(&other->caller_count) > 0) {
        os_yield();
    }
    if (atomic_load_relaxed_u64(&other->own_bytes) > 0) {
        quarry_account_uncharge(other, UNIT);
    }
    quarry_account_destroy(other);
    interleave_write(&given, 0);
}

static void unmake_without_giver(void)
{
    Q_ASSERT(part->charged_bytes == 0 && one->charged_bytes == 0 && given == 0);
    Q_ASSERT(part->budget->root.charged_bytes == 0);
    quarry_account_destroy(one);
    quarry_account_destroy(part);
}

static const struct interleave_scenario ended = {
    .name = "budget, ask a giver that ends",
    .set_up = make_with_giver,
    .threads = {charge_beyond, end_the_giver},
    .check = unmake_without_giver,
};

static void ceilings_hold_at_every_instant(void **state)
{
    (void)state;
    interleave_expect_clean(&charged);
    interleave_expect_clean(&charged_by_three);
}

static void an_account_ends_when_nobody_is_inside(void **state)
{
    (void)state;
    interleave_expect_clean(&ended);
}

static void bugs_in_charging_are_found(void **state)
{
    static const struct interleave_plant plants[] = {
        {"account_try_add", INTERLEAVE_CAS_WEAK, "charged_bytes", INTERLEAVE_TEAR, 0},
        {"account_try_add", INTERLEAVE_CAS_WEAK, "charged_bytes", INTERLEAVE_SKIP, 1},
        {"accounts_subtract", INTERLEAVE_SUB, "charged_bytes", INTERLEAVE_TEAR, 0},
        {"account_note_peak", INTERLEAVE_CAS_WEAK, "peak_bytes", INTERLEAVE_SKIP, 1},
        {"account_try_charge", INTERLEAVE_ADD, "own_bytes", INTERLEAVE_SKIP, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof plants / sizeof plants[0]; i++) {
        interleave_expect_found(&charged, &plants[i]);
    }
    interleave_expect_found(&charged_by_three,
                            &(struct interleave_plant){"account_try_charge", INTERLEAVE_ADD,
                                                       "own_bytes", INTERLEAVE_TEAR, 0});
}

static void bugs_in_ending_are_found(void **state)
{
    static const struct interleave_plant plants[] = {
        {"budget_leave", INTERLEAVE_SUB, "caller_count", INTERLEAVE_WEAKEN, 0},
        {"budget_enter_locked", INTERLEAVE_ADD, "caller_count", INTERLEAVE_SKIP, 0},
        {"ask_enter_next", INTERLEAVE_LOCK, "mutex", INTERLEAVE_SKIP, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof plants / sizeof plants[0]; i++) {
        interleave_expect_found(&ended, &plants[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ceilings_hold_at_every_instant),
        cmocka_unit_test(an_account_ends_when_nobody_is_inside),
        cmocka_unit_test(bugs_in_charging_are_found),
        cmocka_unit_test(bugs_in_ending_are_found),
    };

    return cmocka_run_group_tests(tests, heap_set_up, heap_tear_down);
}
