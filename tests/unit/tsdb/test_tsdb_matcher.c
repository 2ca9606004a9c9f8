/*
 * Matchers: the shapes that are read as patterns mean what RE2 makes of them, and all of them what
 * Prometheus says.
 */
#include "unit/tsdb/registry_rig.h"

#include <stdio.h>
#include <string.h>

#include <tsdb/matcher.h>

static struct tsdb_slice slice(const char *text)
{
    return tsdb_slice_of(text);
}

static bool passes(enum tsdb_matcher_type type, const char *value, const char *text)
{
    struct tsdb_matcher matcher;

    assert_int_equal(
        tsdb_matcher_init(&matcher, &rig.objects, type, slice("name"), slice(value), NULL),
        QUARRY_OK);
    bool result = tsdb_matcher_passes(&matcher, slice(text));
    tsdb_matcher_fini(&matcher);
    return result;
}

static void expect_regex(const char *expression, const char *text, bool matches)
{
    if (passes(TSDB_MATCH_REGEX, expression, text) != matches ||
        passes(TSDB_MATCH_NOT_REGEX, expression, text) == matches) {
        fail_msg("'%s' and '%s'", expression, text);
    }
}

static void test_equality_is_of_the_whole_text(void **state)
{
    (void)state;
    assert_true(passes(TSDB_MATCH_EQUAL, "a.b", "a.b"));
    assert_false(passes(TSDB_MATCH_EQUAL, "a.b", "axb"));
    assert_false(passes(TSDB_MATCH_EQUAL, "a", "ab"));
    assert_true(passes(TSDB_MATCH_EQUAL, "", ""));
    assert_true(passes(TSDB_MATCH_NOT_EQUAL, "a", ""));
    assert_false(passes(TSDB_MATCH_NOT_EQUAL, "", ""));
}

static void test_expressions_are_anchored_and_dots_match_newlines(void **state)
{
    (void)state;
    expect_regex("a", "ab", false);
    expect_regex("a", "ba", false);
    expect_regex("a.*", "ab\nc", true);
    expect_regex("a.c", "a\nc", true);
    expect_regex(".+", "", false);
    expect_regex(".*", "", true);
    expect_regex("", "", true);
    expect_regex("", "a", false);
    expect_regex("a|bc", "abc", false);
    expect_regex("(?i)AbC", "aBc", true);
    expect_regex("[a-c]{2,3}", "abca", false);
    expect_regex("h\xc3\xa9.*", "h\xc3\xa9llo", true);
    expect_regex(".+.+", "\xc3\xa9", false);
    expect_regex("a\\.b|c\\.d", "a.b", true);
    expect_regex("a\\.b|c\\.d", "axb", false);
    expect_regex("^foo|bar$", "bar", true);
    expect_regex("(?:web|api)-\\d+", "web-17", true);
    expect_regex("\\Qa.b\\E", "a.b", true);
}

static void expect_refused(const char *expression)
{
    struct quarry_error error = {0};
    struct tsdb_matcher matcher;
    uint64_t before = rig_charged_bytes();

    if (tsdb_matcher_init(&matcher, &rig.objects, TSDB_MATCH_REGEX, slice("name"),
                          slice(expression), &error) != QUARRY_BAD_INPUT) {
        fail_msg("'%s' is not refused", expression);
    }
    assert_non_null(strstr(error.text, "regular expression"));
    assert_int_equal(rig_charged_bytes(), before);
}

static void test_what_is_no_expression_is_refused_with_a_reason(void **state)
{
    (void)state;
    expect_refused("(");
    expect_refused("a)(b");
    expect_refused("a**");
    expect_refused("[b-a]");
    expect_refused("\\C");
    expect_refused("\xff");
    expect_refused("(?z)");
    expect_refused("a|\\");
    expect_regex("\\Q\\C\\E", "\\C", true);
    expect_regex("\\\\C", "\\C", true);
}

static void test_a_program_that_is_too_large_is_refused(void **state)
{
    struct tsdb_matcher matcher;
    uint64_t before = rig_charged_bytes();

    (void)state;
    assert_int_equal(tsdb_matcher_init(&matcher, &rig.objects, TSDB_MATCH_REGEX, slice("name"),
                                       slice("((a{100}){100}){10}[b-c]"), NULL),
                     QUARRY_BAD_INPUT); /* more than 1,000 repeats */
    assert_int_equal(tsdb_matcher_init(&matcher, &rig.objects, TSDB_MATCH_REGEX, slice("name"),
                                       slice("(\\pL{500}){2}x*"), NULL),
                     QUARRY_TOO_LARGE);
    assert_int_equal(rig_charged_bytes(), before);
}

static void test_no_memory_is_a_status(void **state)
{
    const char *const expressions[2] = {"a|b|c", "[a-c]+"};

    (void)state;
    for (uint32_t i = 0; i < 2; i++) {
        enum quarry_status status = QUARRY_NO_MEMORY;
        uint32_t failure_count = 0;
        struct tsdb_matcher matcher;
        uint64_t before = rig_charged_bytes();
        for (uint64_t allowed = 0; status != QUARRY_OK; allowed += 8 + allowed / 2) {
            rig_allow(allowed);
            status = tsdb_matcher_init(&matcher, &rig.objects, TSDB_MATCH_REGEX, slice("name"),
                                       slice(expressions[i]), NULL);
            failure_count += status == QUARRY_NO_MEMORY;
            rig_allow(UINT64_MAX);
            assert_true(status == QUARRY_OK || rig_charged_bytes() == before);
        }
        assert_true(failure_count >= 3);
        tsdb_matcher_fini(&matcher);
        assert_int_equal(rig_charged_bytes(), before);
    }
}

/* ---- patterns beside RE2 -------------------------------------------------------------------- */

static void random_text(uint64_t *seed, const char *const *parts, uint32_t part_count,
                        uint32_t most, char text[64])
{
    uint32_t count = rig_random(seed, most + 1);

    text[0] = '\0';
    for (uint32_t i = 0; i < count; i++) {
        strcat(text, parts[rig_random(seed, part_count)]);
    }
}

static void compare_with_re2(uint64_t *seed, const char *expression, uint32_t *pattern_count)
{
    static const char *const letters[] = {"a", "b", ".", "|", "\n", "-", "\xc3\xa9"};
    struct tsdb_pattern pattern;
    struct tsdb_re2 *re2 = NULL;
    char why[64], text[64];

    enum quarry_status status = tsdb_pattern_init(&pattern, &rig.objects, slice(expression));
    enum quarry_status oracle =
        tsdb_re2_compile(expression, strlen(expression), Q_MIB(1), &re2, why, sizeof(why));
    if (status == QUARRY_OK) {
        if (oracle != QUARRY_OK) {
            fail_msg("RE2 refuses '%s': %s", expression, why);
        }
        ++*pattern_count;
        for (uint32_t i = 0; i < 20; i++) {
            random_text(seed, letters, 7, 5, text);
            if (tsdb_pattern_matches(&pattern, slice(text)) !=
                tsdb_re2_matches(re2, text, strlen(text))) {
                fail_msg("'%s' and '%s'", expression, text);
            }
        }
        tsdb_pattern_fini(&pattern);
    }
    if (oracle == QUARRY_OK) {
        tsdb_re2_free(re2);
    }
}

static void test_patterns_mean_what_re2_makes_of_them(void **state)
{
    static const char *const parts[] = {"a",   "b",  ".*",  ".+",  "|",  "\\.", "(",
                                        ")",   "^",  "$",   "*",   "?",  "ab",  "\\-",
                                        "(?:", "\\", "\\n", "[a]", "{2}"};
    uint64_t seed = 7;
    uint32_t pattern_count = 0;
    char expression[64];

    (void)state;
    for (uint32_t i = 0; i < 30000; i++) {
        random_text(&seed, parts, 19, 6, expression);
        compare_with_re2(&seed, expression, &pattern_count);
    }
    assert_true(pattern_count > 5000);
}

static void test_many_texts_are_looked_up_not_tried(void **state)
{
    char expression[8000] = "";
    struct tsdb_pattern pattern;

    (void)state;
    for (uint32_t i = 1000; i-- > 0;) {
        char text[16];
        snprintf(text, sizeof(text), "%sh%u", i == 999 ? "" : "|", i / 2);
        strcat(expression, text);
    }
    assert_int_equal(tsdb_pattern_init(&pattern, &rig.objects, slice(expression)), QUARRY_OK);
    assert_true(pattern.is_exact);
    assert_int_equal(pattern.count, 500); /* each came twice */
    assert_true(tsdb_pattern_matches(&pattern, slice("h0")));
    assert_true(tsdb_pattern_matches(&pattern, slice("h499")));
    assert_false(tsdb_pattern_matches(&pattern, slice("h500")));
    tsdb_pattern_fini(&pattern);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equality_is_of_the_whole_text),
        cmocka_unit_test(test_expressions_are_anchored_and_dots_match_newlines),
        cmocka_unit_test(test_what_is_no_expression_is_refused_with_a_reason),
        cmocka_unit_test(test_a_program_that_is_too_large_is_refused),
        cmocka_unit_test(test_no_memory_is_a_status),
        cmocka_unit_test(test_patterns_mean_what_re2_makes_of_them),
        cmocka_unit_test(test_many_texts_are_looked_up_not_tried),
    };
    return cmocka_run_group_tests(tests, rig_set_up, rig_tear_down);
}
