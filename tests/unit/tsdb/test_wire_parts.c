/* The small parts of the wire formats: snappy, numbers, UTF-8, label sets, histograms' rules. */
#include "unit/tsdb/wire_rig.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <snappy-c.h>

#include <tsdb/number.h>
#include <tsdb/snappy_block.h>
#include <tsdb/utf8.h>

#include "unit/base/random.h"

#define slice_of_literal(text) ((struct tsdb_slice){(text), sizeof(text) - 1})

/* ---- snappy --------------------------------------------------------------------------------- */

static void what_snappy_compressed_comes_back(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 300; seed++) {
        uint64_t random = seed;
        const size_t count = random_u64(&random) % 100000;
        char *plain = wire_rig_take(count), *packed = wire_rig_take(tsdb_snappy_bytes_max(count));
        char *back = wire_rig_take(count);
        size_t declared = 0;
        for (size_t i = 0; i < count; i++) {
            plain[i] = (char)(random_u64(&random) % (seed % 4 == 0 ? 1 : 1 + seed % 7));
        }
        const struct tsdb_slice body = {
            packed, tsdb_snappy_write((struct tsdb_slice){plain, count}, packed)};
        assert_int_equal(tsdb_snappy_length(body, count, &declared, NULL), QUARRY_OK);
        assert_int_equal(declared, count);
        assert_int_equal(tsdb_snappy_read(body, back, count, NULL), QUARRY_OK);
        assert_memory_equal(back, plain, count);
        if (count > 0) {
            assert_int_equal(tsdb_snappy_length(body, count - 1, &declared, NULL),
                             QUARRY_TOO_LARGE);
            assert_int_equal(
                tsdb_snappy_read((struct tsdb_slice){packed, body.count - 1}, back, count, NULL),
                QUARRY_BAD_INPUT);
            assert_int_equal(tsdb_snappy_read(body, back, count - 1, NULL), QUARRY_BAD_INPUT);
        }
        wire_rig_empty();
    }
}

static void a_length_is_judged_before_memory_is_taken(void **state)
{
    static const char bomb[] = "\xff\xff\xff\xff\x0f\x00", claim[] = "\x80\x80\x40\x00 a";
    struct quarry_error error = {0};
    size_t count = 7;

    (void)state;
    assert_int_equal(tsdb_snappy_length(slice_of_literal(bomb), 32u << 20, &count, &error),
                     QUARRY_TOO_LARGE);
    assert_string_equal(error.text, "snappy: 4294967295 bytes declared, at most 33554432 allowed");
    assert_int_equal(tsdb_snappy_length(slice_of_literal(claim), 32u << 20, &count, &error),
                     QUARRY_BAD_INPUT);
    assert_string_equal(error.text,
                        "snappy: 1048576 bytes declared, more than 3 compressed ones can hold");
    assert_int_equal(tsdb_snappy_length(slice_of_literal(""), 100, &count, &error),
                     QUARRY_BAD_INPUT);
    assert_int_equal(
        tsdb_snappy_length(slice_of_literal("\xff\xff\xff\xff\x1f"), 100, &count, &error),
        QUARRY_BAD_INPUT);
    assert_int_equal(count, 7);
}

/* The bound of what a block can hold is right: nothing that snappy makes is refused. */
static void the_densest_block_is_not_refused(void **state)
{
    size_t declared = 0;
    const size_t count = 1u << 24;
    char *plain = wire_rig_take(count), *packed = wire_rig_take(tsdb_snappy_bytes_max(count));

    (void)state;
    const struct tsdb_slice body = {packed,
                                    tsdb_snappy_write((struct tsdb_slice){plain, count}, packed)};
    assert_int_equal(tsdb_snappy_length(body, count, &declared, NULL), QUARRY_OK);
}

/* ---- numbers -------------------------------------------------------------------------------- */

static void numbers_are_written_as_go_writes_them(void **state)
{
    static const struct {
        double value;
        const char *text, *openmetrics;
    } cases[] = {
        {0, "0", "0.0"},
        {-0.0, "-0", "-0.0"},
        {1, "1", "1.0"},
        {-1, "-1", "-1.0"},
        {0.1, "0.1", "0.1"},
        {1.5, "1.5", "1.5"},
        {999999, "999999", "999999.0"},
        {1e6, "1e+06", "1e+06"},
        {1234567, "1.234567e+06", "1.234567e+06"},
        {123456.75, "123456.75", "123456.75"},
        {1e-4, "0.0001", "0.0001"},
        {1.5e-5, "1.5e-05", "1.5e-05"},
        {1e21, "1e+21", "1e+21"},
        {1e100, "1e+100", "1e+100"},
        {INFINITY, "+Inf", "+Inf"},
        {-INFINITY, "-Inf", "-Inf"},
        {NAN, "NaN", "NaN"},
        {5e-324, "5e-324", "5e-324"},
        {1.7976931348623157e308, "1.7976931348623157e+308", "1.7976931348623157e+308"},
        {100000, "100000", "100000.0"},
        {0.30000000000000004, "0.30000000000000004", "0.30000000000000004"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char room[TSDB_NUMBER_BYTES_MAX];
        size_t count = tsdb_number_write(bits_of_double(cases[i].value), room);
        assert_slice(((struct tsdb_slice){room, count}), cases[i].text);
        count = tsdb_number_write_openmetrics(bits_of_double(cases[i].value), room);
        assert_slice(((struct tsdb_slice){room, count}), cases[i].openmetrics);
    }
}

static void numbers_are_read_as_go_reads_them(void **state)
{
    static const struct {
        const char *text;
        double value;
    } good[] = {{"1", 1},
                {"+1", 1},
                {"-1.", -1},
                {".5", 0.5},
                {"1e3", 1000},
                {"1E-3", 0.001},
                {"inf", INFINITY},
                {"+Inf", INFINITY},
                {"-iNFinity", -INFINITY},
                {"0.1", 0.1},
                {"1e-400", 0},
                {"-0", -0.0},
                {"123456789012345678", 123456789012345678.0},
                {"00000000000000000000001", 1},
                {"1.7976931348623158e308", 0x1.fffffffffffffp1023}};
    static const char *const bad[] = {"",      "+",    "-",     ".",     "e1",   "1e",   "1e+",
                                      "0x1",   "1_0",  "1 ",    " 1",    "1f",   "+nan", "-NaN",
                                      "1e309", "infi", "1.2.3", "0x1p4", "nana", "1e5.5"};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        uint64_t bits;
        assert_true(tsdb_number_read(tsdb_slice_of(good[i].text), &bits));
        assert_true(bits == bits_of_double(good[i].value));
    }
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        uint64_t bits = 7;
        assert_false(tsdb_number_read(tsdb_slice_of(bad[i]), &bits));
        assert_true(bits == 7);
    }
    uint64_t bits;
    assert_true(tsdb_number_read(tsdb_slice_of("NaN"), &bits) && bits == TSDB_NAN_BITS);
}

static void numbers_come_back_bit_for_bit_and_are_as_short_as_the_c_librarys(void **state)
{
    uint64_t random = 1;

    (void)state;
    for (int i = 0; i < 200000; i++) {
        char room[TSDB_NUMBER_BYTES_MAX + 1];
        const uint64_t bits = i % 2 == 0 ? random_u64(&random)
                                         : bits_of_double((double)random_width_u64(&random) / 1000);
        double value;
        uint64_t back;
        memcpy(&value, &bits, sizeof value);
        const size_t count = tsdb_number_write(bits, room);
        assert_true(tsdb_number_read((struct tsdb_slice){room, count}, &back));
        assert_true(back == bits || isnan(value));
        room[count] = '\0';
        assert_true(isnan(value) || strtod(room, NULL) == value);
    }
}

static void short_decimals_are_read_as_the_c_library_reads_them(void **state)
{
    uint64_t random = 2;

    (void)state;
    for (int i = 0; i < 200000; i++) {
        char text[64];
        uint64_t bits;
        snprintf(text, sizeof text,
                 i % 3 == 0   ? "%llu.%03llu"
                 : i % 3 == 1 ? "%llu.%llu"
                              : "%llu%llu",
                 (unsigned long long)(random_width_u64(&random) % 10000000000u),
                 (unsigned long long)(random_width_u64(&random) % 1000));
        assert_true(tsdb_number_read(tsdb_slice_of(text), &bits));
        assert_true(bits == bits_of_double(strtod(text, NULL)));
    }
}

/* ---- UTF-8 ---------------------------------------------------------------------------------- */

/* By the definition: decoded, in its shortest form, no surrogate, in range. */
static bool is_valid_by_definition(const uint8_t *at, size_t count)
{
    for (size_t i = 0; i < count;) {
        const uint32_t first = at[i];
        const size_t bytes = first < 0x80   ? 1
                             : first < 0xc0 ? 0
                             : first < 0xe0 ? 2
                             : first < 0xf0 ? 3
                             : first < 0xf8 ? 4
                                            : 0;
        uint32_t value = bytes == 1 ? first : first & (0x7fu >> bytes);
        if (bytes == 0 || bytes > count - i) {
            return false;
        }
        for (size_t j = 1; j < bytes; j++) {
            if ((at[i + j] & 0xc0) != 0x80) {
                return false;
            }
            value = value << 6 | (at[i + j] & 0x3f);
        }
        static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
        if (value < least[bytes] || value > 0x10ffff || (value >= 0xd800 && value < 0xe000)) {
            return false;
        }
        i += bytes;
    }
    return true;
}

static void utf_8_is_what_the_definition_says(void **state)
{
    static const uint8_t bytes[] = {0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf,
                                    0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec, 0xed, 0xee,
                                    0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff};
    const size_t n = COUNT_OF(bytes);

    (void)state;
    for (size_t i = 0; i < n * n * n * n; i++) {
        const uint8_t text[] = {bytes[i % n], bytes[i / n % n], bytes[i / n / n % n],
                                bytes[i / n / n / n]};
        for (size_t count = 0; count <= 4; count++) {
            assert_int_equal(tsdb_utf8_is_valid((struct tsdb_slice){(const char *)text, count}),
                             is_valid_by_definition(text, count));
        }
    }
    assert_true(tsdb_utf8_is_valid(tsdb_slice_of("eight or more, then ä and more of it")));
    assert_false(tsdb_utf8_is_valid(tsdb_slice_of("eight or more, then \xff")));
}

/* ---- label sets ----------------------------------------------------------------------------- */

static enum tsdb_label_fault fault_of(const char *const *texts, size_t count, char *ret_error)
{
    const struct tsdb_label_limits limits = {
        .label_count_max = 3, .name_bytes_max = 8, .value_bytes_max = 4};
    struct tsdb_label labels[3];
    struct tsdb_label_set set;
    struct tsdb_labels ignored;
    struct quarry_error error = {0};

    tsdb_label_set_init(&set, &limits, labels);
    for (size_t i = 0; i + 1 < count; i += 2) {
        tsdb_label_set_add(&set, tsdb_slice_of(texts[i]), tsdb_slice_of(texts[i + 1]));
    }
    const enum tsdb_label_fault fault = tsdb_label_set_finish_series(&set, &ignored);
    if (fault != TSDB_LABELS_GOOD) {
        tsdb_label_set_tell(&set, &error);
        assert_int_equal(error.status,
                         fault >= TSDB_LABELS_TOO_MANY && fault <= TSDB_LABELS_VALUE_TOO_LONG
                             ? QUARRY_TOO_LARGE
                             : QUARRY_BAD_INPUT);
    }
    memcpy(ret_error, error.text, sizeof error.text);
    return fault;
}

static void each_fault_of_labels_is_told(void **state)
{
    static const struct {
        const char *texts[8];
        size_t count;
        enum tsdb_label_fault fault;
        const char *error;
    } cases[] = {
        {{"__name__", "a"}, 2, TSDB_LABELS_GOOD, ""},
        {{"b", "2", "__name__", "a", "a", "1"}, 6, TSDB_LABELS_GOOD, ""},
        {{"b", "", "__name__", "a", "a", "1", "c", "2"}, 8, TSDB_LABELS_GOOD, ""},
        {{"a", "1"}, 2, TSDB_LABELS_NO_METRIC_NAME, "labels: there is no __name__"},
        {{"__name__", ""}, 2, TSDB_LABELS_NO_METRIC_NAME, "labels: there is no __name__"},
        {{"", "1"}, 2, TSDB_LABELS_EMPTY_NAME, "labels: one has no name"},
        {{"", ""}, 2, TSDB_LABELS_EMPTY_NAME, "labels: one has no name"},
        {{"a", "\xff"}, 2, TSDB_LABELS_NOT_UTF8, "label 'a': not UTF-8"},
        {{"\xff", "a"}, 2, TSDB_LABELS_NOT_UTF8, "label '': not UTF-8"},
        {{"a", "1", "b", "2", "a", "3"}, 6, TSDB_LABELS_DUPLICATE, "label 'a': twice"},
        {{"a", "1", "b", "2", "c", "3", "d", "4"}, 8, TSDB_LABELS_TOO_MANY, "labels: more than 3"},
        {{"ninebytes", "1"},
         2,
         TSDB_LABELS_NAME_TOO_LONG,
         "label 'ninebytes…': a name of 9 bytes, at most 8"},
        {{"a", "fives"}, 2, TSDB_LABELS_VALUE_TOO_LONG, "label 'a': a value of more than 4 bytes"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char error[QUARRY_ERROR_TEXT_BYTES];
        assert_int_equal(fault_of(cases[i].texts, cases[i].count, error), cases[i].fault);
        assert_string_equal(error, cases[i].error);
    }
}

static void labels_come_out_sorted(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 2000; seed++) {
        uint64_t random = seed;
        struct tsdb_label_set set;
        struct tsdb_labels labels;
        char names[RIG_LABELS_MAX][8];
        const size_t count = random_u64(&random) % RIG_LABELS_MAX;
        tsdb_label_set_init(&set, &rig_limits, rig_labels);
        for (size_t i = 0; i < count; i++) {
            snprintf(names[i], sizeof names[i], "l%zu", i * 37 % 64);
        }
        for (size_t i = count; i > 1; i--) {
            char kept[8];
            const size_t j = random_u64(&random) % i;
            memcpy(kept, names[j], 8);
            memcpy(names[j], names[i - 1], 8);
            memcpy(names[i - 1], kept, 8);
        }
        for (size_t i = 0; i < count; i++) {
            tsdb_label_set_add(&set, tsdb_slice_of(names[i]), tsdb_slice_of(names[i]));
        }
        assert_int_equal(tsdb_label_set_finish(&set, &labels), TSDB_LABELS_GOOD);
        assert_int_equal(labels.count, count);
        for (size_t i = 1; i < count; i++) {
            assert_true(tsdb_slice_compare(labels.labels[i - 1].name, labels.labels[i].name) < 0);
        }
    }
}

/* ---- histograms ----------------------------------------------------------------------------- */

static struct tsdb_wire_span one_span[] = {{0, 2}}, back_span[] = {{0, 1}, {-1, 1}},
                             far_span[] = {{3, 2}};
static uint64_t two[] = {2, 1}, falling[] = {2, (uint64_t)-3};

static struct tsdb_wire_histogram good_histogram(void)
{
    return (struct tsdb_wire_histogram){
        .count = 6,
        .zero_count = 1,
        .positive = {.spans = one_span, .values = two, .span_count = 1, .value_count = 2}};
}

static const char *told_of(const struct tsdb_wire_histogram *histogram)
{
    static struct quarry_error error;

    error = (struct quarry_error){0};
    const enum quarry_status status = tsdb_wire_histogram_check(histogram, &error);
    assert_int_equal(status, error.text[0] == '\0' ? QUARRY_OK : QUARRY_BAD_INPUT);
    return error.text;
}

static void histograms_are_held_to_the_rules(void **state)
{
    struct tsdb_wire_histogram histogram = good_histogram();
    const uint64_t one = bits_of_double(1);
    uint64_t bounds[] = {bits_of_double(1), bits_of_double(2)};

    (void)state;
    assert_string_equal(told_of(&histogram), "");
    histogram.count = 7;
    assert_string_equal(told_of(&histogram), "histogram: a count of 7, and buckets of 6 in all");
    histogram.sum_bits = TSDB_STALE_BITS;
    assert_string_equal(told_of(&histogram), "");
    histogram.count = 5;
    assert_string_equal(told_of(&histogram), "histogram: a count of 5, and buckets of 6 in all");
    histogram = good_histogram();
    histogram.positive.values = falling;
    assert_string_equal(told_of(&histogram), "histogram: positive: a bucket has a negative count");
    histogram = good_histogram();
    histogram.positive.value_count = 1;
    assert_string_equal(told_of(&histogram),
                        "histogram: positive: spans name 2 buckets, and there are 1");
    histogram = good_histogram();
    histogram.positive.spans = back_span;
    histogram.positive.span_count = 2;
    assert_string_equal(
        told_of(&histogram),
        "histogram: positive: a span after the first lies before the one before it");
    histogram = good_histogram();
    histogram.schema = 9;
    assert_string_equal(told_of(&histogram), "histogram: schema 9, of which -4 to 8, -53 are");
    histogram = good_histogram();
    histogram.custom_bits = bounds;
    histogram.custom_count = 2;
    assert_string_equal(told_of(&histogram),
                        "histogram: custom bounds with a schema that has its own");
    histogram.schema = TSDB_SCHEMA_CUSTOM;
    assert_string_equal(told_of(&histogram),
                        "histogram: custom buckets have no zero bucket and no negative ones");
    histogram.zero_count = 0;
    histogram.count = 5;
    assert_string_equal(told_of(&histogram), "");
    histogram.positive.spans = far_span;
    assert_string_equal(told_of(&histogram),
                        "histogram: there are more custom buckets than bounds for them");
    histogram.positive.spans = one_span;
    bounds[1] = bounds[0];
    assert_string_equal(told_of(&histogram), "histogram: custom bounds are finite and rise");
    histogram = good_histogram();
    histogram.is_float = true;
    histogram.count = histogram.zero_count = one;
    assert_string_equal(told_of(&histogram), "");
    histogram.count = bits_of_double(-1);
    assert_string_equal(told_of(&histogram), "histogram: a negative count");
    histogram.count = one;
    uint64_t negative[] = {one, bits_of_double(-2)};
    histogram.positive.values = negative;
    assert_string_equal(told_of(&histogram), "histogram: positive: a bucket has a negative count");
}

static void a_histogram_for_which_there_is_no_room_is_told(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 500; seed++) {
        uint64_t random = seed;
        const Quarry__Write__Histogram *theirs = random_histogram(&random);
        uint8_t *bytes = wire_rig_take(quarry__write__histogram__get_packed_size(theirs));
        const struct tsdb_slice message = {(const char *)bytes,
                                           quarry__write__histogram__pack(theirs, bytes)};
        struct tsdb_wire_histogram_room room = rig_histogram_room;
        struct tsdb_wire_histogram histogram;
        room.span_count_max = (uint32_t)(theirs->n_positive_spans + theirs->n_negative_spans);
        room.value_count_max = (uint32_t)(theirs->n_positive_deltas + theirs->n_negative_deltas +
                                          theirs->n_positive_counts + theirs->n_negative_counts +
                                          theirs->n_custom_values);
        assert_int_equal(tsdb_wire_histogram_read(message, &room, &histogram, NULL), QUARRY_OK);
        assert_histogram(&histogram, theirs, true);
        if (room.span_count_max > 0) {
            room.span_count_max--;
            assert_int_equal(tsdb_wire_histogram_read(message, &room, &histogram, NULL),
                             QUARRY_TOO_LARGE);
            room.span_count_max++;
        }
        if (room.value_count_max > 0) {
            room.value_count_max--;
            assert_int_equal(tsdb_wire_histogram_read(message, &room, &histogram, NULL),
                             QUARRY_TOO_LARGE);
        }
        wire_rig_empty();
    }
}

#define TEST(name) cmocka_unit_test_teardown(name, wire_rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_snappy_compressed_comes_back),
        TEST(a_length_is_judged_before_memory_is_taken),
        TEST(the_densest_block_is_not_refused),
        TEST(numbers_are_written_as_go_writes_them),
        TEST(numbers_are_read_as_go_reads_them),
        TEST(numbers_come_back_bit_for_bit_and_are_as_short_as_the_c_librarys),
        TEST(short_decimals_are_read_as_the_c_library_reads_them),
        TEST(utf_8_is_what_the_definition_says),
        TEST(each_fault_of_labels_is_told),
        TEST(labels_come_out_sorted),
        TEST(histograms_are_held_to_the_rules),
        TEST(a_histogram_for_which_there_is_no_room_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
