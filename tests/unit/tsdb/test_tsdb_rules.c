/*
 * Which samples are taken: Prometheus' rules in a table.
 */
#include "unit/base/cmocka_all.h"

#include <base/base.h>
#include <tsdb/rules.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* The store's time is 10,000, the wall's clock 20,000, and 1,000 may be ahead of it. */
#define TIME     10000
#define WALL     20000
#define IN_ORDER 3600
#define FUTURE   1000

struct row {
    const char *name;
    int64_t late_ms; /* W; 0: none */
    int64_t last_ms; /* -1: the series has no sample */
    int64_t t_ms;
    bool is_same_value;
    enum tsdb_verdict verdict;
    enum quarry_tsdb_refusal refusal;
};

#define ORDER    TSDB_VERDICT_ORDER, QUARRY_TSDB_TAKEN
#define LATE     TSDB_VERDICT_LATE, QUARRY_TSDB_TAKEN
#define REPEATED TSDB_VERDICT_REPEATED, QUARRY_TSDB_TAKEN
#define REFUSED  TSDB_VERDICT_REFUSED

static const struct row rows[] = {
    /* nothing late is taken */
    {"first of a series", 0, -1, 9000, false, ORDER},
    {"first of a series, at the bound", 0, -1, TIME - IN_ORDER, false, ORDER},
    {"first of a series, too old", 0, -1, TIME - IN_ORDER - 1, false, REFUSED,
     QUARRY_TSDB_OUT_OF_BOUNDS},
    {"newer", 0, 9000, 9001, false, ORDER},
    {"newer than the store", 0, 9000, 15000, false, ORDER},
    {"same moment, same bits", 0, 9000, 9000, true, REPEATED},
    {"same moment, other bits", 0, 9000, 9000, false, REFUSED, QUARRY_TSDB_DUPLICATE},
    {"older", 0, 9000, 8999, false, REFUSED, QUARRY_TSDB_OUT_OF_ORDER},
    {"older, same bits", 0, 9000, 8999, true, REFUSED, QUARRY_TSDB_OUT_OF_ORDER},
    {"older, at the bound", 0, 9000, TIME - IN_ORDER, false, REFUSED, QUARRY_TSDB_OUT_OF_ORDER},
    {"older than the bound", 0, 9000, TIME - IN_ORDER - 1, false, REFUSED,
     QUARRY_TSDB_OUT_OF_BOUNDS},
    {"newer than the series, older than the bound", 0, 1000, 2000, false, REFUSED,
     QUARRY_TSDB_OUT_OF_BOUNDS},
    {"same moment and bits, older than the bound", 0, 1000, 1000, true, REFUSED,
     QUARRY_TSDB_OUT_OF_BOUNDS},
    {"as far in the future as may be", 0, 9000, WALL + FUTURE, false, ORDER},
    {"further in the future", 0, 9000, WALL + FUTURE + 1, false, REFUSED,
     QUARRY_TSDB_OUT_OF_BOUNDS},
    {"first of a series, further in the future", 0, -1, WALL + FUTURE + 1, false, REFUSED,
     QUARRY_TSDB_OUT_OF_BOUNDS},
    /* late ones are taken for 600 ms: less than in order */
    {"W: newer", 600, 9000, 9001, false, ORDER},
    {"W: older, within", 600, 9900, 9899, false, LATE},
    {"W: older, at the bound", 600, 9900, TIME - 600, false, LATE},
    {"W: older, beyond", 600, 9900, TIME - 601, false, REFUSED, QUARRY_TSDB_TOO_OLD},
    {"W: same moment, same bits", 600, 9900, 9900, true, REPEATED},
    {"W: same moment, other bits", 600, 9900, 9900, false, REFUSED, QUARRY_TSDB_DUPLICATE},
    {"W: in order, older than W", 600, 8000, 8001, false, ORDER},
    {"W: first of a series, older than W", 600, -1, 7000, false, ORDER},
    {"W: first of a series, too old", 600, -1, TIME - IN_ORDER - 1, false, REFUSED,
     QUARRY_TSDB_TOO_OLD},
    {"W: further in the future", 600, 9000, WALL + FUTURE + 1, false, REFUSED,
     QUARRY_TSDB_OUT_OF_BOUNDS},
    /* late ones are taken for longer than in order */
    {"long W: older than in order, newer than the series", 7000, 4000, 5000, false, ORDER},
    {"long W: older than in order, older than the series", 7000, 4000, 3500, false, LATE},
    {"long W: same moment, other bits, older than in order", 7000, 4000, 4000, false, LATE},
    {"long W: same moment, same bits, older than in order", 7000, 4000, 4000, true, LATE},
    {"long W: first of a series, older than in order", 7000, -1, 3000, false, ORDER},
    {"long W: beyond", 7000, 4000, 2999, false, REFUSED, QUARRY_TSDB_TOO_OLD},
};

static void each_sample_is_judged_as_prometheus_does(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const struct row *row = &rows[i];
        const struct tsdb_rules rules = tsdb_rules_at(TIME, WALL, IN_ORDER, row->late_ms, FUTURE);
        const struct tsdb_sample last = {row->last_ms, 7};
        const struct tsdb_sample sample = {row->t_ms, row->is_same_value ? 7 : 8};
        struct tsdb_judgement found =
            tsdb_rules_judge(&rules, row->last_ms < 0 ? NULL : &last, sample);
        if (found.verdict != row->verdict || found.refusal != row->refusal) {
            fail_msg("%s: verdict %d, refusal %d; expected %d, %d", row->name, (int)found.verdict,
                     (int)found.refusal, (int)row->verdict, (int)row->refusal);
        }
    }
}

static void times_at_the_ends_of_what_numbers_hold_do_not_wrap(void **state)
{
    struct tsdb_rules rules = tsdb_rules_at(INT64_MIN + 5, INT64_MAX - 5, 100, 100, 100);
    const struct tsdb_sample last = {INT64_MIN, 1};

    (void)state;
    assert_int_equal(rules.order_min_ms, INT64_MIN);
    assert_int_equal(rules.late_min_ms, INT64_MIN);
    assert_int_equal(rules.max_ms, INT64_MAX);
    assert_int_equal(tsdb_rules_judge(&rules, &last, (struct tsdb_sample){INT64_MAX, 1}).verdict,
                     TSDB_VERDICT_ORDER);
    assert_int_equal(tsdb_rules_judge(&rules, NULL, (struct tsdb_sample){INT64_MIN, 1}).verdict,
                     TSDB_VERDICT_ORDER);
}

static void nans_are_compared_by_their_bits(void **state)
{
    const struct tsdb_rules rules = tsdb_rules_at(TIME, WALL, IN_ORDER, 0, FUTURE);
    const struct tsdb_sample stale = {9000, TSDB_STALE_BITS},
                             nan = {9000, UINT64_C(0x7ff8000000000001)};

    (void)state;
    assert_int_equal(tsdb_rules_judge(&rules, &stale, stale).verdict, TSDB_VERDICT_REPEATED);
    assert_int_equal(tsdb_rules_judge(&rules, &stale, nan).refusal, QUARRY_TSDB_DUPLICATE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_sample_is_judged_as_prometheus_does),
        cmocka_unit_test(times_at_the_ends_of_what_numbers_hold_do_not_wrap),
        cmocka_unit_test(nans_are_compared_by_their_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
