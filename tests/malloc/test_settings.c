/*
 * QUARRY_MALLOC, the settings of the preloaded library: a wrong one costs a line on stderr that
 * names it, and nothing else. Another allocator reads no such variable: there, all is skipped.
 */
#include "common.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the process started anew does: says nothing, and ends well. */
static int start(void)
{
    uint64_t random = 1;

    for (unsigned i = 0; i < 2000; i++) {
        size_t bytes = random_size(&random, 256 * KIB);
        check_and_free(filled(bytes, i), bytes, i);
    }
    return 0;
}

/* 0 when 80 MiB are refused, as under a limit of 64 MiB. */
static int start_and_reach_limit(void)
{
    return opaque(malloc(80 * MIB)) == NULL ? start() : 1;
}

static void start_with(const char *value, const char *mode, struct child *ret_child)
{
    char setting[300];

    snprintf(setting, sizeof setting, "QUARRY_MALLOC=%s", value);
    child_run_anew(mode, (const char *const[]){setting, NULL}, ret_child);
    child_succeeded(ret_child);
}

static void complains(const char *value, const char *name)
{
    struct child child;

    start_with(value, "start", &child);
    if (child_lines(&child) != 1 || strstr(child.errors, name) == NULL)
        fail_msg("QUARRY_MALLOC=%s made it say: %s", value, child.errors);
}

static void says_nothing(const char *value)
{
    struct child child;

    start_with(value, "start", &child);
    assert_string_equal(child.errors, "");
}

static void no_setting_says_nothing(void **state)
{
    struct child child;
    (void)state;

    QUARRY_ONLY();
    child_run_anew("start", (const char *const[]){"QUARRY_MALLOC", NULL}, &child);
    child_succeeded(&child);
    assert_string_equal(child.errors, "");
    says_nothing("");
}

static void good_settings_say_nothing(void **state)
{
    (void)state;
    QUARRY_ONLY();
    says_nothing("limit=64M");
    says_nothing("limit=1G");
    says_nothing("limit=67108864");
    says_nothing("hardened=1");
    says_nothing("hardened=0");
}

static void a_setting_that_is_not_known_is_named(void **state)
{
    (void)state;
    QUARRY_ONLY();
    complains("limt=64M", "limt");
    complains("Limit=64M", "Limit");
    complains("verbose=1", "verbose");
}

static void a_limit_that_is_no_size_is_named(void **state)
{
    (void)state;
    QUARRY_ONLY();
    complains("limit=lots", "limit");
    complains("limit=", "limit");
    complains("limit=64Q", "limit");
    complains("limit=64M!", "limit");
}

static void a_limit_that_cannot_be_is_named(void **state)
{
    (void)state;
    QUARRY_ONLY();
    complains("limit=-5M", "limit");
    complains("limit=99999999999999999999999", "limit");
    complains("limit=18446744073709551615G", "limit");
}

static void a_switch_that_is_neither_is_named(void **state)
{
    (void)state;
    QUARRY_ONLY();
    complains("hardened=maybe", "hardened");
    complains("hardened=", "hardened");
}

static void a_limit_is_kept(void **state)
{
    struct child child;
    (void)state;

    QUARRY_ONLY();
    start_with("limit=64M", "limit", &child);
    assert_string_equal(child.errors, "");
}

static void a_good_setting_counts_beside_a_wrong_one(void **state)
{
    struct child child;
    (void)state;

    QUARRY_ONLY();
    start_with("limt=1G,limit=64M", "limit", &child);
    assert_int_equal(child_lines(&child), 1);
    assert_non_null(strstr(child.errors, "limt"));
    start_with("limit=64M,hardened=maybe", "limit", &child);
    assert_int_equal(child_lines(&child), 1);
    assert_non_null(strstr(child.errors, "hardened"));
}

static void a_long_and_senseless_value_is_survived(void **state)
{
    struct child child;
    char value[280];
    (void)state;

    QUARRY_ONLY();
    memset(value, 'x', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    start_with(value, "start", &child);
    assert_int_equal(child_lines(&child), 1);
    start_with(",,,,=,=,==", "start", &child);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_setting_says_nothing),
        cmocka_unit_test(good_settings_say_nothing),
        cmocka_unit_test(a_setting_that_is_not_known_is_named),
        cmocka_unit_test(a_limit_that_is_no_size_is_named),
        cmocka_unit_test(a_limit_that_cannot_be_is_named),
        cmocka_unit_test(a_switch_that_is_neither_is_named),
        cmocka_unit_test(a_limit_is_kept),
        cmocka_unit_test(a_good_setting_counts_beside_a_wrong_one),
        cmocka_unit_test(a_long_and_senseless_value_is_survived),
    };
    if (argc == 2 && strcmp(argv[1], "start") == 0)
        return start();
    if (argc == 2 && strcmp(argv[1], "limit") == 0)
        return start_and_reach_limit();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
