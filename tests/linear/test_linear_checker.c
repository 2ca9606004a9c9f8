/*
 * The checker itself: histories made by hand, and stores that are wrong on purpose. What it does
 * not find here it would not find in a cache.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "linear/history.h"

/* Faults are found within so many operations, or not at all. */
#define FAULT_OPERATIONS 400000u
#define SOUND_OPERATIONS 200000u

/* ---- by hand -------------------------------------------------------------------------------- */

static struct linear_operation set(uint32_t thread, uint64_t call, uint64_t end, const char *value,
                                   uint64_t cas)
{
    return (struct linear_operation){.call_ns = call,
                                     .return_ns = end,
                                     .thread = thread,
                                     .kind = LINEAR_SET,
                                     .value = linear_value_of(value, strlen(value)),
                                     .outcome = LINEAR_DONE,
                                     .ret_cas = cas};
}

static struct linear_operation get(uint32_t thread, uint64_t call, uint64_t end, const char *value,
                                   uint64_t cas)
{
    struct linear_operation operation = {.call_ns = call,
                                         .return_ns = end,
                                         .thread = thread,
                                         .kind = LINEAR_GET,
                                         .outcome = LINEAR_MISS,
                                         .ret_cas = cas};

    if (value != NULL) {
        operation.outcome = LINEAR_DONE;
        operation.ret_value = linear_value_of(value, strlen(value));
    }
    return operation;
}

static enum linear_verdict check(const struct linear_operation *operation, size_t count)
{
    struct linear_checker checker;

    linear_checker_init(&checker);
    enum linear_verdict verdict = linear_check(&checker, operation, count);
    linear_checker_fini(&checker);
    return verdict;
}

#define CHECK(history) check((history), sizeof(history) / sizeof(history)[0])

static void a_get_after_a_set_finds_it(void **state)
{
    (void)state;
    const struct linear_operation found[] = {set(0, 1, 2, "a", 1), get(1, 3, 4, "a", 1)};
    const struct linear_operation missed[] = {set(0, 1, 2, "a", 1), get(1, 3, 4, NULL, 0)};
    const struct linear_operation other[] = {set(0, 1, 2, "a", 1), get(1, 3, 4, "b", 1)};

    assert_int_equal(CHECK(found), LINEAR_POSSIBLE);
    assert_int_equal(CHECK(missed), LINEAR_IMPOSSIBLE);
    assert_int_equal(CHECK(other), LINEAR_IMPOSSIBLE);
}

static void a_get_during_a_set_may_find_either(void **state)
{
    (void)state;
    const struct linear_operation late[] = {set(0, 1, 9, "a", 1), get(1, 2, 3, NULL, 0)};
    const struct linear_operation early[] = {set(0, 1, 9, "a", 1), get(1, 2, 3, "a", 1)};

    assert_int_equal(CHECK(late), LINEAR_POSSIBLE);
    assert_int_equal(CHECK(early), LINEAR_POSSIBLE);
}

static void nobody_finds_the_old_value_after_somebody_found_the_new_one(void **state)
{
    (void)state;
    const struct linear_operation back[] = {set(0, 1, 2, "a", 1), set(0, 3, 20, "b", 2),
                                            get(1, 4, 5, "b", 2), get(2, 6, 7, "a", 1)};
    const struct linear_operation at_once[] = {set(0, 1, 2, "a", 1), set(0, 3, 20, "b", 2),
                                               get(1, 4, 7, "b", 2), get(2, 6, 8, "a", 1)};

    assert_int_equal(CHECK(back), LINEAR_IMPOSSIBLE);
    assert_int_equal(CHECK(at_once), LINEAR_POSSIBLE);
}

static void two_sets_at_once_have_one_order_for_all(void **state)
{
    (void)state;
    const struct linear_operation one[] = {set(0, 1, 9, "a", 0), set(1, 1, 9, "b", 0),
                                           get(2, 10, 11, "a", 0), get(3, 10, 11, "a", 0)};
    const struct linear_operation both[] = {set(0, 1, 9, "a", 0), set(1, 1, 9, "b", 0),
                                            get(2, 10, 11, "a", 0), get(3, 10, 11, "b", 0)};

    assert_int_equal(CHECK(one), LINEAR_POSSIBLE);
    assert_int_equal(CHECK(both), LINEAR_IMPOSSIBLE);
}

static void a_cas_that_does_not_grow_is_found(void **state)
{
    (void)state;
    const struct linear_operation same[] = {set(0, 1, 2, "a", 7), set(0, 3, 4, "b", 7)};
    const struct linear_operation told[] = {set(0, 1, 2, "a", 7), get(1, 3, 4, "a", 8)};

    assert_int_equal(CHECK(same), LINEAR_IMPOSSIBLE);
    assert_int_equal(CHECK(told), LINEAR_IMPOSSIBLE);
}

static struct linear_operation with_cas(struct linear_operation operation, uint64_t cas,
                                        enum linear_outcome outcome)
{
    operation.has_cas = true;
    operation.cas = cas;
    operation.outcome = outcome;
    operation.ret_cas = outcome == LINEAR_DONE ? operation.ret_cas : 0;
    return operation;
}

static void one_of_two_with_the_same_cas_wins(void **state)
{
    (void)state;
    const struct linear_operation one[] = {
        set(0, 1, 2, "a", 7), with_cas(set(0, 3, 9, "b", 8), 7, LINEAR_DONE),
        with_cas(set(1, 3, 9, "c", 0), 7, LINEAR_EXISTS), get(2, 10, 11, "b", 8)};
    const struct linear_operation two[] = {set(0, 1, 2, "a", 7),
                                           with_cas(set(0, 3, 9, "b", 8), 7, LINEAR_DONE),
                                           with_cas(set(1, 3, 9, "c", 9), 7, LINEAR_DONE)};
    const struct linear_operation none[] = {set(0, 1, 2, "a", 7),
                                            with_cas(set(0, 3, 9, "b", 0), 7, LINEAR_EXISTS)};

    assert_int_equal(CHECK(one), LINEAR_POSSIBLE);
    assert_int_equal(CHECK(two), LINEAR_IMPOSSIBLE);
    assert_int_equal(CHECK(none), LINEAR_IMPOSSIBLE);
}

static void what_failed_has_changed_nothing(void **state)
{
    (void)state;
    struct linear_operation failed = set(0, 3, 4, "b", 0);
    failed.outcome = LINEAR_FAILED;
    const struct linear_operation right[] = {set(0, 1, 2, "a", 1), failed, get(1, 5, 6, "a", 1)};
    const struct linear_operation wrong[] = {set(0, 1, 2, "a", 1), failed, get(1, 5, 6, "b", 1)};

    assert_int_equal(CHECK(right), LINEAR_POSSIBLE);
    assert_int_equal(CHECK(wrong), LINEAR_IMPOSSIBLE);
}

static struct linear_operation counted(uint32_t thread, uint64_t call, uint64_t end,
                                       uint64_t number)
{
    return (struct linear_operation){.call_ns = call,
                                     .return_ns = end,
                                     .thread = thread,
                                     .kind = LINEAR_COUNT_UP,
                                     .delta = 1,
                                     .outcome = LINEAR_DONE,
                                     .ret_number = number};
}

static void two_that_count_at_once_get_two_numbers(void **state)
{
    (void)state;
    const struct linear_operation both[] = {set(0, 1, 2, "5", 1), counted(0, 3, 9, 7),
                                            counted(1, 3, 9, 6)};
    const struct linear_operation lost[] = {set(0, 1, 2, "5", 1), counted(0, 3, 9, 6),
                                            counted(1, 3, 9, 6)};

    assert_int_equal(CHECK(both), LINEAR_POSSIBLE);
    assert_int_equal(CHECK(lost), LINEAR_IMPOSSIBLE);
}

static struct linear_operation won(uint32_t thread, uint64_t call, uint64_t end, bool has_won)
{
    struct linear_operation operation = get(thread, call, end, "a", 0);

    operation.ret_is_stale = true;
    operation.ret_has_won = has_won;
    operation.ret_is_token_given = !has_won;
    return operation;
}

static void a_stale_item_is_won_once(void **state)
{
    (void)state;
    struct linear_operation invalidate = {
        .call_ns = 3, .return_ns = 4, .kind = LINEAR_INVALIDATE, .outcome = LINEAR_DONE};
    const struct linear_operation once[] = {set(0, 1, 2, "a", 1), invalidate, won(0, 5, 9, false),
                                            won(1, 5, 9, true)};
    const struct linear_operation twice[] = {set(0, 1, 2, "a", 1), invalidate, won(0, 5, 9, true),
                                             won(1, 5, 9, true)};

    assert_int_equal(CHECK(once), LINEAR_POSSIBLE);
    assert_int_equal(CHECK(twice), LINEAR_IMPOSSIBLE);
}

static void a_history_goes_on_from_where_it_was_at_rest(void **state)
{
    (void)state;
    struct linear_checker checker;
    const struct linear_operation first[] = {set(0, 1, 9, "a", 0), set(1, 1, 9, "b", 0)};
    const struct linear_operation right = get(0, 10, 11, "b", 0);
    const struct linear_operation wrong = get(0, 12, 13, "a", 0);

    linear_checker_init(&checker);
    assert_int_equal(linear_check(&checker, first, 2), LINEAR_POSSIBLE);
    assert_int_equal(checker.config_count, 2);
    assert_int_equal(linear_check(&checker, &right, 1), LINEAR_POSSIBLE);
    assert_int_equal(checker.config_count, 1);
    assert_int_equal(linear_check(&checker, &wrong, 1), LINEAR_IMPOSSIBLE);
    assert_int_equal(checker.operation_count, 3);
    linear_checker_fini(&checker);
}

static void joined_values_are_those_of_joined_bytes(void **state)
{
    (void)state;
    char bytes[3000];

    linear_fill(bytes, sizeof bytes, 12345);
    for (size_t cut = 0; cut < 60; cut++) {
        for (size_t end = cut; end < sizeof bytes; end += 97) {
            struct linear_value left = linear_value_of(bytes, cut);
            struct linear_value right = linear_value_of(bytes + cut, end - cut);
            struct linear_value joined = linear_value_join(&left, &right);
            struct linear_value whole = linear_value_of(bytes, end);
            assert_memory_equal(&joined, &whole, sizeof whole);
        }
    }
}

/* ---- stores that are wrong on purpose ------------------------------------------------------- */

static struct linear_result run_array(enum linear_fault fault, uint64_t operations)
{
    struct linear_options options = {.driver = &linear_driver_array,
                                     .argument = &fault,
                                     .thread_count = 4,
                                     .key_count = 6,
                                     .operation_count = operations,
                                     .seed = 42};

    return linear_run(&options);
}

static void a_sound_store_passes(void **state)
{
    (void)state;
    struct linear_result result = run_array(LINEAR_FAULT_NONE, SOUND_OPERATIONS);

    assert_int_equal(result.verdict, LINEAR_POSSIBLE);
    assert_true(result.operation_count >= SOUND_OPERATIONS);
    assert_true(result.overlap_count > 1000);
    assert_int_equal(result.failed_count, 0);
}

static void expect_fault(enum linear_fault fault)
{
    struct linear_result result = run_array(fault, FAULT_OPERATIONS);

    assert_int_equal(result.verdict, LINEAR_IMPOSSIBLE);
}

static void a_stale_read_is_found(void **state)
{
    (void)state;
    expect_fault(LINEAR_FAULT_STALE_READ);
}

static void a_lost_update_is_found(void **state)
{
    (void)state;
    expect_fault(LINEAR_FAULT_LOST_UPDATE);
}

static void a_cas_that_is_ignored_is_found(void **state)
{
    (void)state;
    expect_fault(LINEAR_FAULT_CAS_IGNORED);
}

static void what_comes_back_after_its_end_is_found(void **state)
{
    (void)state;
    expect_fault(LINEAR_FAULT_UNDEAD);
}

static void a_torn_value_is_found(void **state)
{
    (void)state;
    expect_fault(LINEAR_FAULT_TORN_VALUE);
}

static void two_winners_are_found(void **state)
{
    (void)state;
    expect_fault(LINEAR_FAULT_TWO_WINNERS);
}

static void a_cas_that_is_not_renewed_is_found(void **state)
{
    (void)state;
    expect_fault(LINEAR_FAULT_CAS_REPEATED);
}

static void an_add_over_another_is_found(void **state)
{
    (void)state;
    expect_fault(LINEAR_FAULT_ADD_OVER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_get_after_a_set_finds_it),
        cmocka_unit_test(a_get_during_a_set_may_find_either),
        cmocka_unit_test(nobody_finds_the_old_value_after_somebody_found_the_new_one),
        cmocka_unit_test(two_sets_at_once_have_one_order_for_all),
        cmocka_unit_test(a_cas_that_does_not_grow_is_found),
        cmocka_unit_test(one_of_two_with_the_same_cas_wins),
        cmocka_unit_test(what_failed_has_changed_nothing),
        cmocka_unit_test(two_that_count_at_once_get_two_numbers),
        cmocka_unit_test(a_stale_item_is_won_once),
        cmocka_unit_test(a_history_goes_on_from_where_it_was_at_rest),
        cmocka_unit_test(joined_values_are_those_of_joined_bytes),
        cmocka_unit_test(a_sound_store_passes),
        cmocka_unit_test(a_stale_read_is_found),
        cmocka_unit_test(a_lost_update_is_found),
        cmocka_unit_test(a_cas_that_is_ignored_is_found),
        cmocka_unit_test(what_comes_back_after_its_end_is_found),
        cmocka_unit_test(a_torn_value_is_found),
        cmocka_unit_test(two_winners_are_found),
        cmocka_unit_test(a_cas_that_is_not_renewed_is_found),
        cmocka_unit_test(an_add_over_another_is_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
