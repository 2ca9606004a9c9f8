/*
 * The language: what is an expression, what is none and why, and expressions as text again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include <promql/function.h>
#include <promql/parse.h>
#include <promql/print.h>
#include <promql/series.h>
#include <quarry/memory.h>

static struct quarry_memory *memory;
static struct quarry_account *account;
static struct quarry_lifetime *lifetime;
static struct quarry_pool *pool;

static const struct promql_parse_options all = {.allows_experimental_functions = true,
                                                .allows_duration_expressions = true,
                                                .allows_extended_selectors = true,
                                                .allows_fill = true};
static const struct promql_parse_options plain = {.depth_max = 0};
static const struct promql_parse_options old = {.compat_2_42 = true};

static int set_up(void **state)
{
    const struct quarry_memory_options options = {.limit_bytes = Q_MIB(64), .has_no_thread = true};
    const struct quarry_account_options account_options = {.name = "query"};

    (void)state;
    assert_int_equal(quarry_memory_create(&options, &memory, NULL), QUARRY_OK);
    assert_int_equal(quarry_account_create(memory, &account_options, &account, NULL), QUARRY_OK);
    assert_int_equal(quarry_lifetime_begin(memory, "query", &lifetime, NULL), QUARRY_OK);
    assert_int_equal(quarry_pool_create(lifetime, quarry_account_owner(account), &pool), QUARRY_OK);
    return 0;
}

static int tear_down(void **state)
{
    struct quarry_account_state account_state;

    (void)state;
    quarry_account_read(account, &account_state);
    assert_int_equal(account_state.charged_bytes, 0);
    quarry_lifetime_end(lifetime);
    quarry_account_destroy(account);
    quarry_memory_destroy(memory);
    return 0;
}

static struct quarry_tsdb_slice slice(const char *text)
{
    return (struct quarry_tsdb_slice){.bytes = text, .count = strlen(text)};
}

typedef void printer(struct promql_writer *writer, const struct promql_node *node);

/* What `print` makes of a text, in `room`; fails the test where it is no expression. */
static void print_as(const char *text, const struct promql_parse_options *options, printer *print,
                     char room[4096])
{
    struct promql_memory query;
    struct promql_writer writer = {.memory = &query};
    struct promql_parse_error error;
    struct promql_node *tree;

    promql_memory_init(&query, account, pool, Q_MIB(16));
    if (promql_parse(&query, slice(text), options, &tree, &error) != QUARRY_OK) {
        fail_msg("'%s': %s", text, error.text);
    }
    print(&writer, tree);
    assert_false(query.is_refused);
    snprintf(room, 4096, "%s", writer.bytes);
    promql_memory_fini(&query);
}

static void expect_print(const char *text, const char *printed)
{
    char first[4096], second[4096];

    print_as(text, &all, promql_print, first);
    print_as(first, &all, promql_print, second);
    if (strcmp(first, printed) != 0 || strcmp(second, first) != 0) {
        fail_msg("'%s' is '%s', then '%s', not '%s'", text, first, second, printed);
    }
}

static void expect_error(const char *text, const struct promql_parse_options *options,
                         const char *expected)
{
    struct promql_memory query;
    struct promql_parse_error error;
    struct promql_node *tree;

    promql_memory_init(&query, account, pool, Q_MIB(16));
    enum quarry_status status = promql_parse(&query, slice(text), options, &tree, &error);
    promql_memory_fini(&query);
    if (status == QUARRY_OK || strcmp(error.text, expected) != 0) {
        fail_msg("'%s' is refused with '%s', not '%s'", text,
                 status == QUARRY_OK ? "nothing" : error.text, expected);
    }
}

static void expressions_are_printed_as_they_are_meant(void **state)
{
    static const char *const pairs[][2] = {
        {"1", "1"},
        {".5", "0.5"},
        {"0x1F", "31"},
        {"1e3", "1000"},
        {"+Inf", "+Inf"},
        {"-nan", "NaN"},
        {"1_000", "1000"},
        {"017", "15"},
        {"1h30m", "1h30m"},
        {"-5m", "-5m"},
        {"\"a\\n\\\"\"", "\"a\\n\\\"\""},
        {"'it\\'s'", "\"it's\""},
        {"`raw\\n`", "\"raw\\\\n\""},
        {"foo", "foo"},
        {"foo{}", "foo"},
        {"sum", "sum"},
        {"offset", "offset"},
        {"fill + fill", "fill + fill"},
        {"a:b:c", "a:b:c"},
        {"foo{b=\"1\",a!=\"2\",}", "foo{a!=\"2\",b=\"1\"}"},
        {"foo{a=~\"x.*\",b!~'y'}", "foo{a=~\"x.*\",b!~\"y\"}"},
        {"{__name__=\"foo\"}", "{__name__=\"foo\"}"},
        {"{\"my.metric\", \"label.x\"='y'}", "{\"label.x\"=\"y\",__name__=\"my.metric\"}"},
        {"foo # what\n", "foo"},
        {"foo offset 5m", "foo offset 5m"},
        {"foo offset -5m @ 1.5", "foo @ 1.500 offset -5m"},
        {"foo @ start() offset 1w", "foo @ start() offset 1w"},
        {"foo @ end()", "foo @ end()"},
        {"foo @ -1", "foo @ -1.000"},
        {"foo[5m] offset 1h", "foo[5m] offset 1h"},
        {"foo[300]", "foo[5m]"},
        {"foo[1m + step() * 2]", "foo[1m + step() * 2]"},
        {"foo[(range() / 2)]", "foo[(range() / 2)]"},
        {"foo[min_of(step(), 1m)]", "foo[min_of(step(), 1m)]"},
        {"foo offset max_of(1m, 2m)", "foo offset max_of(1m, 2m)"},
        {"foo offset -(5m - 1)", "foo offset -(5m - 1)"},
        {"foo offset 2 ^ 2", "foo offset 2s ^ 2"},
        {"foo anchored", "foo anchored"},
        {"foo[5m] smoothed", "foo[5m] smoothed"},
        {"foo[5m:]", "foo[5m:]"},
        {"foo[5m:1m] @ 10 offset 1m", "foo[5m:1m] @ 10.000 offset 1m"},
        {"(foo + bar)[1h:step()]", "(foo + bar)[1h:step()]"},
        {"a + b * c ^ d", "a + b * c ^ d"},
        {"-foo ^ 2", "-foo ^ 2"},
        {"+foo", "+foo"},
        {"a == bool 1", "a == bool 1"},
        {"a and on () b", "a and on () b"},
        {"a / ignoring(x) b", "a / ignoring (x) b"},
        {"a * on(x, y) group_left(z) b", "a * on (x, y) group_left (z) b"},
        {"a * ignoring(x) group_right b", "a * ignoring (x) group_right () b"},
        {"a + fill(1.5) b", "a + fill (1.5) b"},
        {"a + on(x) fill_left(-1) fill_right(2) b", "a + on (x) fill_left (-1) fill_right (2) b"},
        {"a unless b or c", "a unless b or c"},
        {"a </ b", "a </ b"},
        {"a >/ 5", "a >/ 5"},
        {"a atan2 b", "a atan2 b"},
        {"sum(foo) by (x)", "sum by (x) (foo)"},
        {"sum without(x, \"y.z\",) (foo)", "sum without (x, \"y.z\") (foo)"},
        {"SUM BY (on) (foo)", "sum by (on) (foo)"},
        {"topk(5, foo)", "topk(5, foo)"},
        {"count_values(\"v\", foo)", "count_values(\"v\", foo)"},
        {"limitk by (x) (2, foo)", "limitk by (x) (2, foo)"},
        {"rate(foo[5m])", "rate(foo[5m])"},
        {"time()", "time()"},
        {"step() + range()", "step() + range()"},
        {"max_of(1, 2)", "max_of(1, 2)"},
        {"label_replace(a, \"x\", \"$1\", \"y\", \"(.*)\")",
         "label_replace(a, \"x\", \"$1\", \"y\", \"(.*)\")"},
        {"info(foo, {x=\"y\"})", "info(foo, {x=\"y\"})"},
        {"((foo))", "((foo))"}};

    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        expect_print(pairs[i][0], pairs[i][1]);
    }
}

static void what_is_wrong_is_said_with_its_place(void **state)
{
    static const char *const pairs[][2] = {
        {"", "unknown position: parse error: no expression found in input"},
        {"# a", "1:1: parse error: no expression found in input"},
        {"1 +", "1:4: parse error: unexpected end of input"},
        {"(1", "1:3: parse error: unclosed left parenthesis"},
        {"1)", "1:3: parse error: unexpected right parenthesis ')'"},
        {"foo foo", "1:5: parse error: unexpected identifier \"foo\""},
        {"foo\n bar", "2:2: parse error: unexpected identifier \"bar\""},
        {"sum some by (x)", "1:5: parse error: unexpected identifier \"some\""},
        {"1 == 1", "1:3: parse error: comparisons between scalars must use BOOL modifier"},
        {"1 and 1",
         "1:1: parse error: set operator \"and\" not allowed in binary scalar expression"},
        {"a + bool b", "1:3: parse error: bool modifier can only be used on comparison operators"},
        {"\"a\" + 1", "1:1: parse error: binary expression must contain only scalar and instant "
                      "vector types"},
        {"1 + on(x) a", "1:1: parse error: vector matching only allowed between instant vectors"},
        {"a and on(x) group_left b", "1:1: parse error: no grouping allowed for \"and\" operation"},
        {"a + on(x) group_left(x) b",
         "1:3: parse error: label \"x\" must not occur in ON and GROUP clause at once"},
        {"a or fill(1) b",
         "1:1: parse error: filling in missing series not allowed for set operators"},
        {"{}", "1:1: parse error: vector selector must contain at least one non-empty matcher"},
        {"{x=~\".*\"}",
         "1:1: parse error: vector selector must contain at least one non-empty matcher"},
        {"foo{__name__=\"bar\"}",
         "1:1: parse error: metric name must not be set twice: \"foo\" or \"bar\""},
        {"foo{", "1:5: parse error: unexpected end of input inside braces"},
        {"foo{a}",
         "1:6: parse error: unexpected \"}\" in label matching, expected label matching operator"},
        {"foo{a=b}",
         "1:7: parse error: unexpected identifier \"b\" in label matching, expected string"},
        {"foo{a=\"b\" c}", "1:11: parse error: unexpected identifier \"c\" in label matching, "
                           "expected \",\" or \"}\""},
        {"foo{,}",
         "1:5: parse error: unexpected \",\" in label matching, expected identifier or \"}\""},
        {"foo{a=~\"(\"}", "1:5: parse error: error parsing regexp: missing closing ): `(`"},
        {"foo[", "1:5: parse error: unexpected end of input in duration expression"},
        {"foo[5m", "1:7: parse error: unclosed left bracket"},
        {"foo[]",
         "1:5: parse error: unexpected \"]\" in subquery or range selector, expected number, "
         "duration, step(), or range()"},
        {"foo[0]", "1:5: parse error: duration must be greater than 0"},
        {"foo[5mx]", "1:5: parse error: bad number or duration syntax: \"5mx\""},
        {"foo[5s1m]", "1:5: parse error: not a valid duration string: \"5s1m\""},
        {"foo[1m:", "1:8: parse error: unclosed left bracket"},
        {"foo[:1m]", "1:6: parse error: unexpected colon before duration in duration expression"},
        {"foo[1/0]", "1:6: parse error: division by zero"},
        {"(foo)[5m]", "1:6: parse error: ranges only allowed for vector selectors"},
        {"foo offset 1m[5m]", "1:14: parse error: no offset modifiers allowed before range"},
        {"foo @ 1 [5m]", "1:9: parse error: no @ modifiers allowed before range"},
        {"foo offset 1m offset 1m", "1:1: parse error: offset may not be set multiple times"},
        {"foo @ 1 @ 2", "1:1: parse error: @ <timestamp> may not be set multiple times"},
        {"foo @ Inf", "1:1: parse error: timestamp out of bounds for @ modifier: +Inf"},
        {"foo @", "1:6: parse error: unexpected end of input in @, expected timestamp"},
        {"foo offset", "1:11: parse error: unexpected end of input in offset, expected number, "
                       "duration, step(), or range()"},
        {"1 offset 1m", "1:1: parse error: offset modifier must be preceded by an instant vector "
                        "selector or range vector selector or a subquery"},
        {"foo anchored smoothed",
         "1:1: parse error: anchored and smoothed modifiers cannot be used together"},
        {"1[5m:]",
         "1:1: parse error: subquery is only allowed on instant vector, got scalar instead"},
        {"-\"a\"",
         "1:1: parse error: unary expression only allowed on expressions of type scalar or "
         "instant vector, got \"string\""},
        {"nope()", "1:1: parse error: unknown function with name \"nope\""},
        {"rate(foo)",
         "1:6: parse error: expected type range vector in call to function \"rate\", got "
         "instant vector"},
        {"time(1)", "1:1: parse error: expected 0 argument(s) in call to \"time\", got 1"},
        {"round()",
         "1:1: parse error: expected at least 1 argument(s) in call to \"round\", got 0"},
        {"round(a, 1, 2)",
         "1:1: parse error: expected at most 2 argument(s) in call to \"round\", got 3"},
        {"abs(a,)", "1:6: parse error: trailing commas not allowed in function call args"},
        {"info(a, b)",
         "1:9: parse error: expected label selectors only, got vector selector instead"},
        {"sum()", "1:1: parse error: no arguments for aggregate expression provided"},
        {"sum(a, b)", "1:1: parse error: wrong number of arguments for aggregate expression "
                      "provided, expected 1, got 2"},
        {"sum(1)",
         "1:5: parse error: expected type instant vector in aggregation expression, got scalar"},
        {"topk(a, b)",
         "1:6: parse error: expected type scalar in aggregation parameter, got instant vector"},
        {"sum by x (a)",
         "1:8: parse error: unexpected identifier \"x\" in grouping opts, expected \"(\""},
        {"sum by (1) (a)",
         "1:9: parse error: unexpected number \"1\" in grouping opts, expected label"},
        {"a =~ b", "1:3: parse error: unexpected character after '=': '~'"},
        {"a ! b", "1:3: parse error: unexpected character after '!': ' '"},
        {"a ; b", "1:3: parse error: unexpected character: ';'"},
        {"\"a", "1:1: parse error: unterminated quoted string"},
        {"`a", "1:1: parse error: unterminated raw string"},
        {"\"\\q\"", "1:1: parse error: unknown escape sequence U+0071 'q'"},
        {"\"\xff\"", "1:1: parse error: invalid UTF-8 rune"},
        {"1..2", "1:1: parse error: bad number or duration syntax: \"1..\""}};

    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        expect_error(pairs[i][0], &all, pairs[i][1]);
    }
}

static void what_is_new_has_to_be_allowed(void **state)
{
    char room[4096];

    (void)state;
    expect_error("a + fill(1) b", &plain,
                 "1:1: parse error: binop fill modifiers are experimental and not enabled");
    expect_error("foo anchored", &plain,
                 "1:1: parse error: anchored modifier is experimental and not enabled");
    expect_error("foo[1m + 1m]", &plain,
                 "1:5: parse error: experimental duration expression is not enabled");
    expect_error("mad_over_time(foo[1m])", &plain,
                 "1:1: parse error: function \"mad_over_time\" is not enabled");
    expect_error("limitk(1, foo)", &plain,
                 "1:1: parse error: limitk() is experimental and must be enabled with "
                 "--enable-feature=promql-experimental-functions");
    expect_error("holt_winters(foo[1m], 0.5, 0.5)", &all,
                 "1:1: parse error: unknown function with name \"holt_winters\"");
    print_as("holt_winters(foo[1m], 0.5, 0.5)", &old, promql_print, room);
    print_as("limitk + step + anchored", &old, promql_print, room);
    expect_error("foo[300]", &old,
                 "1:5: parse error: unexpected number \"300\", expected duration");
    expect_error("5m + 1", &old, "1:1: parse error: unexpected duration \"5m\"");
    expect_error("{\"foo\"}", &old,
                 "1:2: parse error: unexpected string \"\\\"foo\\\"\" in label matching, expected "
                 "identifier or \"}\"");
}

static void long_expressions_are_broken_into_lines(void **state)
{
    char room[4096];

    (void)state;
    print_as("sum by (a) (rate(foo[5m]))", &all, promql_print_pretty, room);
    assert_string_equal(room, "sum by (a) (rate(foo[5m]))");
    print_as("sum by (job, instance) (rate(requests_with_a_long_name_total{job=\"something\","
             "instance=\"elsewhere\"}[5m])) / on(job) group_left count(up)",
             &all, promql_print_pretty, room);
    assert_string_equal(room, "  sum by (job, instance) (\n"
                              "    rate(requests_with_a_long_name_total{instance=\"elsewhere\",job="
                              "\"something\"}[5m])\n"
                              "  )\n"
                              "/ on (job) group_left ()\n"
                              "  count(up)");
}

static void trees_are_json(void **state)
{
    char room[4096];

    (void)state;
    print_as("foo{a=\"<\"}[5m] offset 1m", &all, promql_print_json, room);
    assert_string_equal(
        room,
        "{\"anchored\":false,\"matchers\":[{\"name\":\"a\",\"type\":\"=\",\"value\":\"\\u003c\"}"
        ",{\"name\":\"__name__\",\"type\":\"=\",\"value\":\"foo\"}],\"name\":\"foo\","
        "\"offset\":60000,\"range\":300000,\"smoothed\":false,\"startOrEnd\":null,"
        "\"timestamp\":null,\"type\":\"matrixSelector\"}");
    print_as("-(1 + 2)", &all, promql_print_json, room);
    assert_string_equal(
        room,
        "{\"expr\":{\"expr\":{\"bool\":false,\"lhs\":{\"type\":\"numberLiteral\",\"val\":\"1\"},"
        "\"matching\":null,\"op\":\"+\",\"rhs\":{\"type\":\"numberLiteral\",\"val\":\"2\"},"
        "\"type\":\"binaryExpr\"},\"type\":\"parenExpr\"},\"op\":\"-\",\"type\":\"unaryExpr\"}");
}

/* `count` times `part`, around `middle`. */
static enum quarry_status parse_nested(const char *part, const char *middle, const char *end,
                                       size_t count)
{
    static char text[1u << 21];
    struct promql_memory query;
    struct promql_parse_error error;
    struct promql_node *tree;
    size_t used = 0;

    for (size_t i = 0; i < count; i++) {
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s", part);
    }
    used += (size_t)snprintf(text + used, sizeof(text) - used, "%s", middle);
    for (size_t i = 0; i < count; i++) {
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s", end);
    }
    promql_memory_init(&query, account, pool, Q_MIB(32));
    enum quarry_status status = promql_parse(
        &query, (struct quarry_tsdb_slice){.bytes = text, .count = used}, &all, &tree, &error);
    promql_memory_fini(&query);
    return status;
}

/* A chain of many operators, whose first and last are others than the rest. */
static void chains_of_any_length_are_printed(void **state)
{
    enum { COUNT = 20000 };
    static char text[COUNT * 8], again[COUNT * 8];
    size_t used = (size_t)snprintf(text, sizeof(text), "a * 2");
    struct promql_parse_error error;
    struct promql_memory query;
    struct promql_node *tree;

    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        used += (size_t)snprintf(text + used, sizeof(text) - used, " + b");
    }
    used += (size_t)snprintf(text + used, sizeof(text) - used, " > bool 1");
    promql_memory_init(&query, account, pool, Q_MIB(64));
    assert_int_equal(promql_parse(&query, slice(text), &all, &tree, &error), QUARRY_OK);
    assert_int_equal(tree->depth, 2);
    struct promql_writer line = {.memory = &query}, json = line, pretty = line;
    promql_print(&line, tree);
    snprintf(again, sizeof(again), "%s", line.bytes);
    assert_string_equal(again, text);
    promql_print_json(&json, tree);
    promql_print_pretty(&pretty, tree);
    assert_false(query.is_refused);
    size_t opened = 0, closed = 0;
    for (size_t i = 0; i < json.count; i++) {
        opened += json.bytes[i] == '{';
        closed += json.bytes[i] == '}';
    }
    assert_true(opened > 2 * COUNT);
    assert_int_equal(opened, closed);
    assert_non_null(strstr(pretty.bytes, "\n> bool\n  1"));
    promql_memory_fini(&query);
}

static void depth_and_length_are_bounded(void **state)
{
    (void)state;
    assert_int_equal(parse_nested("(", "1", ")", 255), QUARRY_OK);
    assert_int_equal(parse_nested("(", "1", ")", 256), QUARRY_TOO_LARGE);
    assert_int_equal(parse_nested("(", "1", ")", 100000), QUARRY_TOO_LARGE);
    assert_int_equal(parse_nested("abs(", "a", ")", 200), QUARRY_OK);
    assert_int_equal(parse_nested("-", "a", "", 100000), QUARRY_TOO_LARGE);
    assert_int_equal(parse_nested("", "a", " + a", 20000), QUARRY_OK);
    assert_int_equal(parse_nested("", "a", " + (a)", 20000), QUARRY_OK);
    assert_int_equal(parse_nested("(", "a", " + a)", 300), QUARRY_TOO_LARGE);
    assert_int_equal(parse_nested("a ^ ", "a", "", 100000), QUARRY_TOO_LARGE);
    assert_int_equal(parse_nested("", "a[1", "+1", 100000), QUARRY_TOO_LARGE);
    assert_int_equal(parse_nested("", "a", "                  ", 100000), QUARRY_TOO_LARGE);
    assert_int_equal(parse_nested("", "a", " ", 100000), QUARRY_OK);
}

static void every_refusal_of_memory_is_a_status(void **state)
{
    static const char text[] = "sum by (a, \"b c\") (rate(foo{a=~\"x.+\", b!=\"y\"}[5m] offset "
                               "(1m + step()))) / on (a) group_left (c) fill (0) "
                               "label_replace(bar[1h:1m] @ end(), \"q\", 'w', `e`, \"r\") > bool 5";
    bool has_passed = false;

    (void)state;
    for (uint64_t grant_bytes = 0; !has_passed; grant_bytes += 16) {
        struct promql_memory query;
        struct promql_parse_error error;
        struct promql_node *tree;

        promql_memory_init(&query, account, pool, grant_bytes);
        enum quarry_status status = promql_parse(&query, slice(text), &all, &tree, &error);
        has_passed = status != QUARRY_NO_MEMORY;
        promql_memory_fini(&query);
        assert_true(grant_bytes < Q_MIB(1));
    }
}

static void all_functions_are_found_by_name(void **state)
{
    (void)state;
    for (enum promql_function_id id = 0; id < PROMQL_FUNCTION_COUNT; id++) {
        const struct promql_function *function = promql_function_get(id);
        const bool is_old = function->since == PROMQL_UNTIL_2_42;

        assert_int_equal(function->id, id);
        assert_ptr_equal(promql_function_find(slice(function->name), is_old), function);
        if (function->since != PROMQL_SINCE_2_42) {
            assert_null(promql_function_find(slice(function->name), !is_old));
        }
    }
    assert_int_equal(PROMQL_FUNCTION_COUNT, 91); /* 90 of 3, and holt_winters of 2.42 */
    assert_null(promql_function_find(slice("ab"), false));
    assert_null(promql_function_find(slice(""), false));
}

static void series_are_described(void **state)
{
    struct promql_memory query;
    struct promql_parse_error error;
    struct promql_series_description series;

    (void)state;
    promql_memory_init(&query, account, pool, Q_MIB(1));
    assert_int_equal(
        promql_parse_series(&query,
                            slice("up{job=\"a\", \"b.c\"=\"d\"} 1 2+3x2 _ _x2 stale -1e1x1 "
                                  "{{schema:1 count:2 sum:3 buckets:[1 1] offset:-1 "
                                  "counter_reset_hint:gauge}}+{{schema:1 count:1}}x1"),
                            &series, &error),
        QUARRY_OK);
    assert_int_equal(series.label_count, 3);
    assert_int_equal(series.value_count, 1 + 3 + 1 + 2 + 1 + 2 + 2);
    assert_true(series.values[4].is_omitted);
    assert_true(series.values[7].bits == QUARRY_TSDB_STALE_BITS);
    assert_int_equal(series.values[10].histogram->positive.spans[0].offset, -1);
    assert_int_equal(series.values[10].histogram->reset_hint, PROMQL_RESET_GAUGE);
    assert_true(series.values[11].histogram->count == 3);
    assert_int_equal(promql_parse_series(&query, slice("up 1x99999999"), &series, &error),
                     QUARRY_BAD_INPUT);
    promql_memory_fini(&query);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(expressions_are_printed_as_they_are_meant, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_is_wrong_is_said_with_its_place, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_new_has_to_be_allowed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(long_expressions_are_broken_into_lines, set_up, tear_down),
        cmocka_unit_test_setup_teardown(trees_are_json, set_up, tear_down),
        cmocka_unit_test_setup_teardown(chains_of_any_length_are_printed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(depth_and_length_are_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_refusal_of_memory_is_a_status, set_up, tear_down),
        cmocka_unit_test_setup_teardown(all_functions_are_found_by_name, set_up, tear_down),
        cmocka_unit_test_setup_teardown(series_are_described, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
