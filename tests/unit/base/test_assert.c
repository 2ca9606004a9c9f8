/* Assertions die with one line that says where and what, and cost nothing when they hold. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <base/base.h>

#include "unit/base/cmocka_all.h"
#include "unit/base/death.h"

static int evaluations;

static bool count_and_return(bool value)
{
    evaluations++;
    return value;
}

static void fail_assert(void)
{
    int pages = 3;
    Q_ASSERT(pages == 4);
}

static void fail_assert_msg(void)
{
    Q_ASSERT_MSG(1 + 1 == 3, "sums are sums");
}

static void fail_unreachable(void)
{
    Q_UNREACHABLE();
}

static void fail_dcheck(void)
{
    Q_DCHECK(count_and_return(false));
}

static void fail_directly(void)
{
    base_assert_failed("lane.c", 2147483647, "lane_free", "run");
}

static void fail_on_line_zero(void)
{
    base_assert_failed("f", 0, "g", "c");
}

static void fail_with_a_long_condition(void)
{
    char condition[2000];
    memset(condition, 'x', sizeof condition - 1);
    condition[sizeof condition - 1] = '\0';
    base_assert_failed("f.c", 7, "g", condition);
}

static void fail_with_a_long_file_name(void)
{
    char file[2000];
    memset(file, 'y', sizeof file - 1);
    file[sizeof file - 1] = '\0';
    base_assert_failed(file, 7, "g", "c");
}

static void pass_everything(void)
{
    Q_ASSERT(true);
    Q_ASSERT_MSG(true, "text");
    Q_DCHECK(true);
}

static struct death watch(void (*body)(void))
{
    struct death death;
    death_watch(body, &death);
    return death;
}

static void assert_dies_with(void (*body)(void), const char *text)
{
    struct death death = watch(body);
    assert_int_equal(death.signal, SIGABRT);
    assert_string_equal(death.text, text);
    assert_int_equal(death.write_count, 1);
}

/* The message, whatever the line number in the second field is. */
static void assert_dies_in(void (*body)(void), const char *function, const char *condition)
{
    struct death death = watch(body);
    int line = 0;
    assert_int_equal(sscanf(death.text, "test_assert.c:%d:", &line), 1);
    assert_in_range(line, 1, 400);
    char expected[256];
    snprintf(expected, sizeof expected, "test_assert.c:%d: %s: assertion failed: %s\n", line,
             function, condition);
    assert_string_equal(death.text, expected);
    assert_int_equal(death.write_count, 1);
    assert_int_equal(death.signal, SIGABRT);
}

static void a_failed_assertion_says_where_and_what(void **state)
{
    (void)state;
    assert_dies_in(fail_assert, "fail_assert", "pages == 4");
    assert_dies_in(fail_assert_msg, "fail_assert_msg", "1 + 1 == 3: sums are sums");
    assert_dies_in(fail_unreachable, "fail_unreachable", "unreachable");
}

static void fail_on_a_known_line(void)
{
#line 123
    Q_ASSERT(evaluations < 0);
}

static void the_line_is_the_one_of_the_assertion(void **state)
{
    (void)state;
    assert_dies_with(fail_on_a_known_line, "test_assert.c:123: fail_on_a_known_line: "
                                           "assertion failed: evaluations < 0\n");
}

static void numbers_are_written_in_full(void **state)
{
    (void)state;
    assert_dies_with(fail_directly, "lane.c:2147483647: lane_free: assertion failed: run\n");
    assert_dies_with(fail_on_line_zero, "f:0: g: assertion failed: c\n");
}

static void a_long_message_is_cut_and_still_ends_in_a_newline(void **state)
{
    (void)state;
    void (*const bodies[])(void) = {fail_with_a_long_condition, fail_with_a_long_file_name};
    for (size_t i = 0; i < 2; i++) {
        struct death death = watch(bodies[i]);
        assert_int_equal(death.signal, SIGABRT);
        assert_int_equal(death.write_count, 1);
        assert_int_equal(death.byte_count, 512);
        assert_int_equal(strlen(death.text), 512);
        assert_int_equal(strchr(death.text, '\n') - death.text, 511);
    }
}

static void assertions_that_hold_are_silent(void **state)
{
    (void)state;
    struct death death = watch(pass_everything);
    assert_int_equal(death.signal, 0);
    assert_int_equal(death.byte_count, 0);
}

static void a_condition_is_evaluated_once(void **state)
{
    (void)state;
    evaluations = 0;
    Q_ASSERT(count_and_return(true));
    assert_int_equal(evaluations, 1);
    Q_ASSERT_MSG(count_and_return(true), "text");
    assert_int_equal(evaluations, 2);
}

static void debug_checks_run_in_debug_builds_only(void **state)
{
    (void)state;
#ifdef QUARRY_DEBUG_CHECKS
    assert_dies_in(fail_dcheck, "fail_dcheck", "count_and_return(false)");
#else
    evaluations = 0;
    fail_dcheck();
    assert_int_equal(evaluations, 0);
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failed_assertion_says_where_and_what),
        cmocka_unit_test(the_line_is_the_one_of_the_assertion),
        cmocka_unit_test(numbers_are_written_in_full),
        cmocka_unit_test(a_long_message_is_cut_and_still_ends_in_a_newline),
        cmocka_unit_test(assertions_that_hold_are_silent),
        cmocka_unit_test(a_condition_is_evaluated_once),
        cmocka_unit_test(debug_checks_run_in_debug_builds_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
