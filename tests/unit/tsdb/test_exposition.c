/* The text formats: what is read, what is refused and where, and that what is written is read back.
 */
#include "unit/tsdb/wire_rig.h"

#include <stdio.h>
#include <stdlib.h>

#include <tsdb/exposition.h>
#include <tsdb/exposition_write.h>
#include <tsdb/number.h>

#include "unit/base/random.h"

static char text_bytes[8192];

static struct tsdb_text_room new_room(void)
{
    return (struct tsdb_text_room){.bytes = text_bytes, .capacity = sizeof text_bytes};
}

/* ---- a reader as text ------------------------------------------------------------------------ */

/* All that a body says, a line each, in a form that is easy to compare; or the error's text. */
static char said[16384];
static size_t said_count;

static void say_bytes(const char *bytes, size_t count)
{
    assert_true(said_count + count < sizeof said);
    memcpy(said + said_count, bytes, count);
    said_count += count;
    said[said_count] = '\0';
}
static void say(const char *text)
{
    say_bytes(text, strlen(text));
}
static void say_slice(struct tsdb_slice slice)
{
    say_bytes(slice.bytes, slice.count);
}

static void say_number(uint64_t bits)
{
    char room[TSDB_NUMBER_BYTES_MAX];
    say_bytes(room, tsdb_number_write(bits, room));
}

static void say_time(int64_t t_ms)
{
    char room[32];
    snprintf(room, sizeof room, "@%lld", (long long)t_ms);
    say(room);
}

static void say_set(struct tsdb_label_set *set)
{
    struct tsdb_labels labels;
    const enum tsdb_label_fault fault = tsdb_label_set_finish(set, &labels);
    struct quarry_error error = {0};

    if (fault != TSDB_LABELS_GOOD) {
        tsdb_label_set_tell(set, &error);
        say("!");
        say(error.text);
        return;
    }
    for (size_t i = 0; i < labels.count; i++) {
        say(i == 0 ? "" : "|");
        say_slice(labels.labels[i].name);
        say("=");
        say_slice(labels.labels[i].value);
    }
}

static void say_sample(const struct tsdb_exposition_line *line)
{
    struct tsdb_label_set set;
    struct tsdb_text_room room = new_room();

    tsdb_label_set_init(&set, &rig_limits, rig_labels);
    assert_true(tsdb_exposition_labels(line, &set, &room));
    say_set(&set);
    say(" ");
    say_number(line->sample.bits);
    if (line->has_time) {
        say_time(line->sample.t_ms);
    }
    if (line->has_exemplar) {
        say(" # ");
        room = new_room();
        tsdb_label_set_init(&set, &rig_limits, rig_labels);
        assert_true(tsdb_exposition_exemplar_labels(line, &set, &room));
        say_set(&set);
        say(" ");
        say_number(line->exemplar.bits);
        if (line->exemplar.has_time) {
            say_time(line->exemplar.t_ms);
        }
    }
    say("\n");
}

static void say_family(const struct tsdb_exposition_line *line)
{
    static const char *const kinds[] = {"sample ", "type ", "help ", "unit "};
    struct tsdb_text_room room = new_room();
    struct tsdb_family family;

    assert_true(tsdb_exposition_family(line, &room, &family));
    say(kinds[line->kind]);
    say_slice(family.name);
    say(" ");
    if (line->kind == TSDB_LINE_TYPE) {
        say(tsdb_metric_type_name(family.type));
    }
    say_slice(family.help);
    say_slice(family.unit);
    say("\n");
}

static const char *read_all(enum tsdb_exposition_format format, struct tsdb_slice body)
{
    struct tsdb_exposition reader = tsdb_exposition_of(format, body);
    struct tsdb_exposition_line line;
    struct quarry_error error = {0};
    enum quarry_status status;

    said_count = 0;
    said[0] = '\0';
    while ((status = tsdb_exposition_next(&reader, &line, &error)) == QUARRY_OK) {
        if (line.kind == TSDB_LINE_SAMPLE) {
            say_sample(&line);
        } else {
            say_family(&line);
        }
    }
    if (status != QUARRY_NOT_FOUND) {
        assert_int_equal(status, QUARRY_BAD_INPUT);
        say(error.text);
    }
    assert_int_equal(tsdb_exposition_next(&reader, &line, &error), status);
    return said;
}

static const char *read_text(const char *body)
{
    return read_all(TSDB_TEXT, wire_rig_exact(body, strlen(body)));
}
static const char *read_openmetrics(const char *body)
{
    return read_all(TSDB_OPENMETRICS, wire_rig_exact(body, strlen(body)));
}

/* ---- reading -------------------------------------------------------------------------------- */

static void text_is_read(void **state)
{
    (void)state;
    assert_string_equal(read_text("# HELP a_total What\\nit \\\\ \\\"is\"\n"
                                  "# TYPE a_total counter\n"
                                  "# a comment\n#HELP none\n# HELPless\n#\n\n"
                                  "a_total 1\n"
                                  "a_total{b=\"x\", c = \"y\\n\\\\\\\"\\z\" ,} 2.5 1700000000123\n"
                                  "\t a_total  -Inf\t12 \n"
                                  "a_total{b=\"\"} NaN"),
                        "help a_total What\nit \\ \\\"is\"\n"
                        "type a_total counter\n"
                        "__name__=a_total 1\n"
                        "__name__=a_total|b=x|c=y\n\\\"\\z 2.5@1700000000123\n"
                        "__name__=a_total -Inf@12\n"
                        "__name__=a_total NaN\n");
}

static void openmetrics_is_read(void **state)
{
    (void)state;
    assert_string_equal(
        read_openmetrics("# HELP a_seconds What \\\"it\\\" is\n"
                         "# TYPE a_seconds histogram\n"
                         "# UNIT a_seconds seconds\n"
                         "a_seconds_bucket{le=\"1.0\"} 3 1700000000.001 # {trace=\"x\"} 0.5\n"
                         "a_seconds_bucket{le=\"+Inf\"} 3.0 # {} 0.5 1.5\n"
                         "a_seconds_count 3 -0.5\n"
                         "# EOF\n"),
        "help a_seconds What \"it\" is\n"
        "type a_seconds histogram\n"
        "unit a_seconds seconds\n"
        "__name__=a_seconds_bucket|le=1.0 3@1700000000001 # trace=x 0.5\n"
        "__name__=a_seconds_bucket|le=+Inf 3 #  0.5@1500\n"
        "__name__=a_seconds_count 3@-500\n");
    assert_string_equal(read_openmetrics("# EOF"), "");
}

static void names_in_utf_8_are_read_in_both(void **state)
{
    (void)state;
    assert_string_equal(read_text("# TYPE \"a.b\" gauge\n"
                                  "{\"a.b\"} 1\n{\"a.b\", \"l.x\"=\"v\", y=\"z\"} 2\n"
                                  "{l=\"v\",\"ä\\\"\"} 3\n"
                                  "c{\"l x\"=\"v\"} 4\n"),
                        "type a.b gauge\n"
                        "__name__=a.b 1\n"
                        "__name__=a.b|l.x=v|y=z 2\n"
                        "__name__=ä\"|l=v 3\n"
                        "__name__=c|l x=v 4\n");
    assert_string_equal(
        read_openmetrics("# TYPE \"a.b\" gauge\n{\"a.b\",\"l.x\"=\"v\"} 2\n# EOF\n"),
        "type a.b gauge\n__name__=a.b|l.x=v 2\n");
}

static void a_fault_of_labels_is_the_series(void **state)
{
    (void)state;
    assert_string_equal(read_text("a{b=\"1\",b=\"2\"} 1\nc 2\n"),
                        "!label 'b': twice 1\n__name__=c 2\n");
}

/* ---- what is wrong, and where --------------------------------------------------------------- */

struct wrong {
    const char *body, *error;
};

static void text_that_is_wrong_is_refused_at_its_place(void **state)
{
    static const struct wrong wrongs[] = {
        {"a 1\nb\n", "metrics: line 2, column 2: a value is wanted"},
        {"a 1\n\n1a 1\n", "metrics: line 3, column 1: a metric's name, a comment or a line's end is"
                          " wanted"},
        {"a 1x\n", "metrics: line 1, column 3: a value is wanted"},
        {"a 1 2 3\n", "metrics: line 1, column 7: the line's end is wanted"},
        {"a 1 1.5\n", "metrics: line 1, column 6: the line's end is wanted"},
        {"a 1 9223372036854775808\n", "metrics: line 1, column 5: a time of 64 bits is wanted"},
        {"a{b} 1\n", "metrics: line 1, column 4: an equals sign is wanted"},
        {"a{b=c} 1\n", "metrics: line 1, column 5: a string in quotes is wanted"},
        {"a{b=\"c} 1\n", "metrics: line 2, column 1: a string wants a closing quote"},
        {"a{b=\"\xff\"} 1\n", "metrics: line 1, column 6: a string wants to be UTF-8"},
        {"a{,b=\"c\"} 1\n",
         "metrics: line 1, column 3: a label's name or a closing brace is wanted"},
        {"a{\"b\"} 1\n", "metrics: line 1, column 3: a label is wanted, and no metric's name"},
        {"{b=\"c\"} 1\n", "metrics: line 1, column 8: the braces want a metric's name in quotes"},
        {"# TYPE a thing\n", "metrics: line 1, column 10: counter, gauge, histogram, summary or"
                             " untyped is wanted"},
        {"# HELP 1\n", "metrics: line 1, column 8: a metric's name is wanted"},
        {"# HELP a \xff\n", "metrics: line 1, column 9: a text wants to be UTF-8 without NUL"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(wrongs); i++) {
        const char *got = read_text(wrongs[i].body);
        const char *last = strstr(got, "metrics:");
        assert_string_equal(last != NULL ? last : got, wrongs[i].error);
    }
}

static void openmetrics_that_is_wrong_is_refused_at_its_place(void **state)
{
    static const struct wrong wrongs[] = {
        {"a 1\n", "metrics: line 2, column 1: # EOF is wanted"},
        {"a 1", "metrics: line 1, column 4: the line's end is wanted"},
        {"", "metrics: line 1, column 1: # EOF is wanted"},
        {"a  1\n# EOF\n", "metrics: line 1, column 3: a blank and a value are wanted"},
        {"a 1\n\n# EOF\n", "metrics: line 2, column 1: a metric's name or a comment is wanted"},
        {"# EOF\na 1\n", "metrics: line 2, column 1: the end of all is wanted behind # EOF"},
        {"# no\n# EOF\n", "metrics: line 1, column 1: # HELP, # TYPE, # UNIT or # EOF is wanted"},
        {"a{b=\"c\",} 1\n# EOF\n", "metrics: line 1, column 9: a label is wanted behind the comma"},
        {"a{b=\"c\" } 1\n# EOF\n",
         "metrics: line 1, column 8: a comma or a closing brace is wanted"},
        {"a 1 NaN\n# EOF\n", "metrics: line 1, column 4: a time that fits 64 bits is wanted"},
        {"# UNIT a_b c\n# EOF\n",
         "metrics: line 1, column 12: a unit that the family's name ends in is wanted"},
        {"a 1 # {b=\"c\"}\n# EOF\n", "metrics: line 1, column 14: a blank and a value are wanted"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(wrongs); i++) {
        const char *got = read_openmetrics(wrongs[i].body);
        const char *last = strstr(got, "metrics:");
        assert_string_equal(last != NULL ? last : got, wrongs[i].error);
    }
}

static void nul_is_refused_wherever_it_is(void **state)
{
    static const char body[] = "# HELP a b\na{b=\"c\"} 1\n";

    (void)state;
    for (size_t at = 0; at < sizeof body - 2; at++) {
        char *bytes = wire_rig_take(sizeof body);
        memcpy(bytes, body, sizeof body);
        bytes[at] = '\0';
        const char *got = read_all(TSDB_TEXT, wire_rig_exact(bytes, sizeof body - 1));
        /* Before "HELP" it makes a comment of the line. */
        assert_true((strstr(got, "metrics:") != NULL) != (at > 0 && at < 7));
    }
}

/* ---- writing and reading back ---------------------------------------------------------------- */

struct collected {
    char bytes[65536];
    size_t count, calls, refuse_at;
};

static enum quarry_status collect(void *argument, const char *bytes, size_t byte_count)
{
    struct collected *collected = argument;

    if (++collected->calls == collected->refuse_at) {
        return QUARRY_IO;
    }
    assert_true(byte_count > 0 && collected->count + byte_count <= sizeof collected->bytes);
    memcpy(collected->bytes + collected->count, bytes, byte_count);
    collected->count += byte_count;
    return QUARRY_OK;
}

static struct collected collected;
static struct tsdb_exposition_writer writer;

static void begin(enum tsdb_exposition_format format)
{
    const struct tsdb_sink sink = {.write = collect, .argument = &collected};

    collected.count = collected.calls = collected.refuse_at = 0;
    tsdb_exposition_begin(&writer, format, &sink);
}

static void put_one(struct tsdb_label *labels, size_t count, double value, int64_t t_ms,
                    const struct tsdb_exemplar *exemplar)
{
    const struct tsdb_exposition_sample sample = {.labels = {labels, count},
                                                  .bits = bits_of_double(value),
                                                  .t_ms = t_ms,
                                                  .has_time = t_ms != 0,
                                                  .exemplar = exemplar};
    tsdb_exposition_put_sample(&writer, &sample);
}

static void assert_written(const char *text)
{
    assert_int_equal(tsdb_exposition_end(&writer), QUARRY_OK);
    assert_int_equal(collected.count, strlen(text));
    assert_memory_equal(collected.bytes, text, collected.count);
}

#define NAME(text)                                                                                 \
    {                                                                                              \
        {TSDB_METRIC_NAME, sizeof(TSDB_METRIC_NAME) - 1},                                          \
        {                                                                                          \
            text, sizeof(text) - 1                                                                 \
        }                                                                                          \
    }
#define LABEL(name, value)                                                                         \
    {                                                                                              \
        {name, sizeof(name) - 1},                                                                  \
        {                                                                                          \
            value, sizeof(value) - 1                                                               \
        }                                                                                          \
    }

static struct tsdb_label plain[] = {NAME("a_total"), LABEL("b", "x\"\n\\")};
static struct tsdb_label quoted[] = {NAME("a.b"), LABEL("c d", "e")};

static void put_all(void)
{
    struct tsdb_label trace[] = {LABEL("trace", "z")};
    const struct tsdb_exemplar exemplar = {
        .labels = {trace, 1}, .bits = bits_of_double(0.5), .t_ms = 1700000000010, .has_time = true};
    struct tsdb_family family = {.name = tsdb_slice_of("a_total"),
                                 .type = TSDB_METRIC_COUNTER,
                                 .help = tsdb_slice_of("a \"b\"\n\\"),
                                 .unit = tsdb_slice_of("b")};

    tsdb_exposition_put_family(&writer, &family);
    put_one(plain, 2, 1, 1700000000120, &exemplar);
    put_one(plain, 1, 0.25, 0, NULL);
    family = (struct tsdb_family){.name = tsdb_slice_of("a_b"),
                                  .type = TSDB_METRIC_STATESET,
                                  .help = {"", 0},
                                  .unit = tsdb_slice_of("b")};
    tsdb_exposition_put_family(&writer, &family);
    put_one(quoted, 2, 1e6, -1500, NULL);
    put_one(quoted, 1, 2, 2000, NULL);
}

static void text_is_written(void **state)
{
    (void)state;
    begin(TSDB_TEXT);
    put_all();
    assert_written("# HELP a_total a \"b\"\\n\\\\\n# TYPE a_total counter\n"
                   "a_total{b=\"x\\\"\\n\\\\\"} 1 1700000000120\n"
                   "a_total 0.25\n"
                   "# TYPE a_b gauge\n"
                   "{\"a.b\",\"c d\"=\"e\"} 1e+06 -1500\n"
                   "{\"a.b\"} 2 2000\n");
}

static void openmetrics_is_written(void **state)
{
    (void)state;
    begin(TSDB_OPENMETRICS);
    put_all();
    assert_written(
        "# HELP a a \\\"b\\\"\\n\\\\\n# TYPE a counter\n"
        "a_total{b=\"x\\\"\\n\\\\\"} 1.0 1700000000.12 # {trace=\"z\"} 0.5 1700000000.01\n"
        "a_total 0.25\n"
        "# TYPE a_b stateset\n# UNIT a_b b\n"
        "{\"a.b\",\"c d\"=\"e\"} 1e+06 -1.5\n"
        "{\"a.b\"} 2.0 2\n"
        "# EOF\n");
}

static void a_counter_without_total_is_unknown_to_openmetrics(void **state)
{
    const struct tsdb_family family = {
        .name = tsdb_slice_of("a"), .type = TSDB_METRIC_COUNTER, .help = {"", 0}, .unit = {"", 0}};

    (void)state;
    begin(TSDB_OPENMETRICS);
    tsdb_exposition_put_family(&writer, &family);
    assert_written("# TYPE a unknown\n# EOF\n");
}

static void a_sink_that_refuses_is_not_asked_again(void **state)
{
    (void)state;
    begin(TSDB_TEXT);
    collected.refuse_at = 2;
    for (int i = 0; i < 1000; i++) {
        put_one(plain, 2, 1, 1700000000120, NULL);
    }
    assert_int_equal(tsdb_exposition_end(&writer), QUARRY_IO);
    assert_int_equal(collected.calls, 2);
    assert_int_equal(collected.count, TSDB_EXPOSITION_BUFFER_BYTES);
}

/* Labels of characters that matter. */
static struct tsdb_slice random_text(uint64_t *random, size_t least)
{
    static const char *const parts[] = {"a",  "_", "9", ":", "\"", "\\",
                                        "\n", "n", " ", "ä", "}",  ","};
    const size_t count = least + random_u64(random) % 6;
    char *bytes = wire_rig_take(2 * count + 1);
    size_t used = 0;

    for (size_t i = 0; i < count; i++) {
        const char *part = parts[random_u64(random) % COUNT_OF(parts)];
        memcpy(bytes + used, part, strlen(part));
        used += strlen(part);
    }
    return (struct tsdb_slice){bytes, used};
}

static bool random_labels(uint64_t *random, struct tsdb_label *room, struct tsdb_labels *ret_labels)
{
    struct tsdb_label_set set;

    tsdb_label_set_init(&set, &rig_limits, room);
    tsdb_label_set_add(&set, tsdb_slice_of(TSDB_METRIC_NAME), random_text(random, 1));
    for (size_t i = random_u64(random) % 5; i > 0; i--) {
        tsdb_label_set_add(&set, random_text(random, 1), random_text(random, 1));
    }
    return tsdb_label_set_finish(&set, ret_labels) == TSDB_LABELS_GOOD;
}

static void assert_line(const struct tsdb_exposition_line *line, struct tsdb_labels wanted)
{
    struct tsdb_text_room room = new_room();
    struct tsdb_label_set set;
    struct tsdb_labels labels;

    tsdb_label_set_init(&set, &rig_limits, rig_labels);
    assert_true(tsdb_exposition_labels(line, &set, &room));
    assert_int_equal(tsdb_label_set_finish(&set, &labels), TSDB_LABELS_GOOD);
    assert_int_equal(labels.count, wanted.count);
    for (size_t i = 0; i < labels.count; i++) {
        assert_true(tsdb_slice_equal(labels.labels[i].name, wanted.labels[i].name));
        assert_true(tsdb_slice_equal(labels.labels[i].value, wanted.labels[i].value));
    }
}

static void what_is_written_is_read_back(void **state)
{
    static struct tsdb_label room[RIG_LABELS_MAX];

    (void)state;
    for (uint64_t seed = 0; seed < 20000; seed++) {
        uint64_t random = seed;
        struct tsdb_labels labels;
        struct tsdb_exposition_line line;
        struct quarry_error error = {0};
        double value;
        const uint64_t bits = random_u64(&random);
        const int64_t t_ms = (int64_t)(random_u64(&random) % 4000000000000u) - 1000000;
        const enum tsdb_exposition_format format = seed % 2 == 0 ? TSDB_TEXT : TSDB_OPENMETRICS;

        memcpy(&value, &bits, sizeof value);
        if (!random_labels(&random, room, &labels)) {
            wire_rig_empty();
            continue;
        }
        begin(format);
        put_one(room, labels.count, value, format == TSDB_TEXT ? llabs(t_ms) : t_ms, NULL);
        assert_int_equal(tsdb_exposition_end(&writer), QUARRY_OK);
        struct tsdb_exposition reader =
            tsdb_exposition_of(format, wire_rig_exact(collected.bytes, collected.count));
        if (tsdb_exposition_next(&reader, &line, &error) != QUARRY_OK) {
            fail_msg("%.*s%s", (int)collected.count, collected.bytes, error.text);
        }
        assert_line(&line, labels);
        assert_true(line.sample.bits == (value != value ? TSDB_NAN_BITS : bits));
        assert_true(line.sample.t_ms == (format == TSDB_TEXT ? llabs(t_ms) : t_ms));
        assert_int_equal(tsdb_exposition_next(&reader, &line, &error), QUARRY_NOT_FOUND);
        wire_rig_empty();
    }
}

static void a_text_room_that_is_too_small_is_told(void **state)
{
    struct tsdb_exposition reader = tsdb_exposition_of(
        TSDB_TEXT, tsdb_slice_of("a{b=\"\\\\\\\\\",c=\"\\\\\\\\\"} 1\n# HELP a \\\\\n"));
    struct tsdb_exposition_line line;
    struct tsdb_text_room room = {.bytes = text_bytes, .capacity = 5};
    struct tsdb_label_set set;
    struct tsdb_family family;

    (void)state;
    assert_int_equal(tsdb_exposition_next(&reader, &line, NULL), QUARRY_OK);
    tsdb_label_set_init(&set, &rig_limits, rig_labels);
    assert_false(tsdb_exposition_labels(&line, &set, &room));
    room = (struct tsdb_text_room){.bytes = text_bytes, .capacity = 6};
    tsdb_label_set_init(&set, &rig_limits, rig_labels);
    assert_true(tsdb_exposition_labels(&line, &set, &room));
    assert_int_equal(tsdb_exposition_next(&reader, &line, NULL), QUARRY_OK);
    room = (struct tsdb_text_room){.bytes = text_bytes, .capacity = 1};
    assert_false(tsdb_exposition_family(&line, &room, &family));
}

#define TEST(name) cmocka_unit_test_teardown(name, wire_rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(text_is_read),
        TEST(openmetrics_is_read),
        TEST(names_in_utf_8_are_read_in_both),
        TEST(a_fault_of_labels_is_the_series),
        TEST(text_that_is_wrong_is_refused_at_its_place),
        TEST(openmetrics_that_is_wrong_is_refused_at_its_place),
        TEST(nul_is_refused_wherever_it_is),
        TEST(text_is_written),
        TEST(openmetrics_is_written),
        TEST(a_counter_without_total_is_unknown_to_openmetrics),
        TEST(a_sink_that_refuses_is_not_asked_again),
        TEST(what_is_written_is_read_back),
        TEST(a_text_room_that_is_too_small_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
