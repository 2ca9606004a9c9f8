/* Remote write 1.0 and 2.0 beside protobuf-c, and what keys are made of. */
#include "unit/tsdb/wire_rig.h"

#include <stdlib.h>

#include "unit/base/random.h"

static struct tsdb_slice pack(const Quarry__Write__WriteRequest *request)
{
    uint8_t *bytes = wire_rig_take(quarry__write__write_request__get_packed_size(request));
    const size_t count = quarry__write__write_request__pack(request, bytes);
    return (struct tsdb_slice){(const char *)bytes, count};
}

static struct tsdb_slice pack2(const Quarry__Write2__Request *request)
{
    uint8_t *bytes = wire_rig_take(quarry__write2__request__get_packed_size(request));
    const size_t count = quarry__write2__request__pack(request, bytes);
    return (struct tsdb_slice){(const char *)bytes, count};
}

/* ---- beside the oracle ---------------------------------------------------------------------- */

static void requests_are_read_as_protobuf_c_wrote_them(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20000; seed++) {
        uint64_t random = seed;
        const Quarry__Write__WriteRequest *request = random_request(&random);
        assert_true(read_request(pack(request), request));
        wire_rig_empty();
    }
}

static void requests_of_2_0_are_read_as_protobuf_c_wrote_them(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20000; seed++) {
        uint64_t random = seed;
        const Quarry__Write2__Request *request = random_request2(&random);
        assert_true(read_request2(pack2(request), request));
        wire_rig_empty();
    }
}

/*
 * Bytes that were changed: whatever both take for a request is the same one. With `cut`, bytes are
 * missing at the end instead.
 */
static void compare_damaged(struct tsdb_slice body, uint64_t *random, bool is_cut)
{
    char *bytes = malloc(body.count + 1);
    size_t count = body.count;

    assert_non_null(bytes);
    memcpy(bytes, body.bytes, body.count);
    if (is_cut) {
        count = random_u64(random) % (count + 1);
    } else {
        for (uint32_t i = 0; i < 1 + random_u64(random) % 3 && count > 0; i++) {
            bytes[random_u64(random) % count] = (char)random_u64(random);
        }
    }
    const struct tsdb_slice exact = wire_rig_exact(bytes, count);
    Quarry__Write__WriteRequest *theirs =
        quarry__write__write_request__unpack(NULL, count, (const uint8_t *)exact.bytes);
    const bool is_ours = read_request(exact, NULL);
    if (theirs != NULL && is_ours) {
        (void)read_request(exact, theirs);
    }
    if (is_cut) {
        assert_int_equal(is_ours, theirs != NULL);
    }
    quarry__write__write_request__free_unpacked(theirs, NULL);
    free(bytes);
}

static void a_damaged_request_is_refused_or_read_as_protobuf_c_reads_it(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 40000; seed++) {
        uint64_t random = seed * 7 + 1;
        compare_damaged(pack(random_request(&random)), &random, seed % 2 == 0);
        wire_rig_empty();
    }
}

static void a_damaged_request_of_2_0_is_refused_or_read_as_protobuf_c_reads_it(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 40000; seed++) {
        uint64_t random = seed * 5 + 3;
        const struct tsdb_slice body = pack2(random_request2(&random));
        char *bytes = wire_rig_take(body.count);
        memcpy(bytes, body.bytes, body.count);
        const bool is_cut = seed % 2 == 0;
        const size_t count = is_cut ? random_u64(&random) % (body.count + 1) : body.count;
        if (!is_cut) {
            bytes[random_u64(&random) % count] = (char)random_u64(&random);
        }
        const struct tsdb_slice exact = wire_rig_exact(bytes, count);
        Quarry__Write2__Request *theirs =
            quarry__write2__request__unpack(NULL, count, (const uint8_t *)exact.bytes);
        const bool is_ours = read_request2(exact, NULL);
        if (theirs != NULL && is_ours) {
            (void)read_request2(exact, theirs);
        }
        assert_true(!is_cut || theirs != NULL || !is_ours);
        quarry__write2__request__free_unpacked(theirs, NULL);
        wire_rig_empty();
    }
}

/* ---- keys ----------------------------------------------------------------------------------- */

/* A body of one series. */
static struct tsdb_slice body_of(const char *message, size_t count)
{
    char bytes[256];

    assert_true(count < 128);
    bytes[0] = 0x0a;
    bytes[1] = (char)count;
    memcpy(bytes + 2, message, count);
    return wire_rig_exact(bytes, count + 2);
}
#define body_of_text(text) body_of(text, sizeof(text) - 1)

#define LABEL_A "\x0a\x06\x0a\x01\x61\x12\x01\x62"                  /* a="b" */
#define TIME    "\x10\x80\xd0\x95\xff\xbc\x31"                      /* 1700000000000 */
#define SAMPLE  "\x12\x10\x09\x00\x00\x00\x00\x00\x00\xf0\x3f" TIME /* 1 */
#define ZERO    "\x12\x07" TIME                                     /* 0 */

/* The first series of a body behind which something else follows. */
static struct tsdb_write_series first_series(struct tsdb_slice body,
                                             struct tsdb_write_reader *ret_reader)
{
    static const char unknown[] = "\x7a\x04more";
    char bytes[256];
    struct tsdb_write_series series;
    struct quarry_error error = {0};

    assert_true(body.count + sizeof unknown <= sizeof bytes);
    memcpy(bytes, body.bytes, body.count);
    memcpy(bytes + body.count, unknown, sizeof unknown - 1);
    *ret_reader = tsdb_write_reader_of(wire_rig_exact(bytes, body.count + sizeof unknown - 1));
    if (tsdb_write_next_series(ret_reader, &series, &error) != QUARRY_OK) {
        fail_msg("%s", error.text);
    }
    return series;
}

static void the_key_is_the_bytes_of_the_labels(void **state)
{
    struct tsdb_write_reader reader;
    const char *bodies[] = {LABEL_A SAMPLE, LABEL_A ZERO, LABEL_A ZERO SAMPLE, SAMPLE LABEL_A,
                            LABEL_A SAMPLE SAMPLE};
    const size_t counts[] = {sizeof(LABEL_A SAMPLE) - 1, sizeof(LABEL_A ZERO) - 1,
                             sizeof(LABEL_A ZERO SAMPLE) - 1, sizeof(SAMPLE LABEL_A) - 1,
                             sizeof(LABEL_A SAMPLE SAMPLE) - 1};
    const uint64_t one = bits_of_double(1);
    const uint64_t firsts[] = {one, 0, 0, one, one};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bodies); i++) {
        const struct tsdb_write_series series =
            first_series(body_of(bodies[i], counts[i]), &reader);
        assert_slice(series.labels, LABEL_A);
        assert_true(series.sample.t_ms == 1700000000000);
        assert_true(series.sample.bits == firsts[i]);
        assert_int_equal(series.is_guess, i == 0); /* the second is too short for it */
        assert_int_equal(series.counts.samples, i == 2 || i == 4 ? 2 : 1);
    }
}

static void a_series_with_labels_apart_or_without_has_no_key(void **state)
{
    struct tsdb_write_reader reader;
    struct tsdb_label_set set;
    struct tsdb_labels labels;
    struct tsdb_write_series series = first_series(body_of_text(LABEL_A SAMPLE LABEL_A), &reader);

    (void)state;
    assert_int_equal(series.labels.count, 0);
    tsdb_label_set_init(&set, &rig_limits, rig_labels);
    assert_int_equal(tsdb_write_labels(&reader, &series, &set, NULL), QUARRY_OK);
    assert_int_equal(tsdb_label_set_finish(&set, &labels), TSDB_LABELS_DUPLICATE);
    series = first_series(body_of_text(SAMPLE), &reader);
    assert_int_equal(series.labels.count, 0);
    assert_int_equal(series.counts.samples, 1);
}

/* A label whose value ends like a sample, in a series that has none. */
static void a_value_that_looks_like_a_sample_is_found_out(void **state)
{
    static const char message[] = "\x0a\x17\x0a\x01\x61\x12\x12" SAMPLE;
    struct tsdb_write_reader reader;
    struct tsdb_label_set set;
    struct tsdb_labels labels;
    struct tsdb_write_series series = first_series(body_of_text(message), &reader);

    (void)state;
    assert_true(series.is_guess);
    assert_int_equal(series.labels.count, 7);
    tsdb_label_set_init(&set, &rig_limits, rig_labels);
    assert_int_equal(tsdb_write_labels(&reader, &series, &set, NULL), QUARRY_OK);
    assert_false(series.is_guess);
    assert_int_equal(series.counts.samples, 0);
    assert_int_equal(series.labels.count, sizeof message - 1);
    /* Its value is not UTF-8, with 0xf0 and 0xff among its bytes: the series' fault. */
    assert_int_equal(tsdb_label_set_finish(&set, &labels), TSDB_LABELS_NOT_UTF8);
}

/* What a memo would do with any message: no key that was confirmed may stand for other labels. */
static void a_key_that_was_confirmed_stands_for_its_labels_alone(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 5000; seed++) {
        uint64_t random = seed;
        Quarry__Write__WriteRequest *request = random_request(&random);
        struct tsdb_write_reader reader = tsdb_write_reader_of(pack(request));
        struct tsdb_write_series series;
        for (size_t i = 0; tsdb_write_next_series(&reader, &series, NULL) == QUARRY_OK; i++) {
            struct tsdb_label_set set;
            tsdb_label_set_init(&set, &rig_limits, rig_labels);
            assert_int_equal(tsdb_write_labels(&reader, &series, &set, NULL), QUARRY_OK);
            Quarry__Write__TimeSeries alone = *request->series[i];
            alone.n_samples = alone.n_exemplars = alone.n_histograms = 0;
            uint8_t *bytes = wire_rig_take(quarry__write__time_series__get_packed_size(&alone));
            const size_t count = quarry__write__time_series__pack(&alone, bytes);
            assert_int_equal(series.labels.count, count);
            assert_memory_equal(series.labels.bytes, bytes, count);
        }
        wire_rig_empty();
    }
}

static void labels_of_2_0_have_the_key_of_1_0(void **state)
{
    static const char body[] =
        "\x22\x00\x22\x01"
        "b\x22\x01"
        "a\x2a\x10\x0a\x02\x02\x01\x12\x0a\x10\x80\xd0\x95\xff\xbc\x31\x18\x80\xd0"
        "";
    static const char good[] = "\x22\x00\x22\x01"
                               "b\x22\x01"
                               "a\x2a\x0d\x0a\x02\x02\x01\x12\x07\x10\x80\xd0\x95\xff\xbc\x31";
    struct tsdb_slice symbols[3];
    struct tsdb_write2_counts counts;
    struct tsdb_write2_reader reader;
    struct tsdb_write2_series series;
    struct tsdb_label_set set;
    struct tsdb_labels labels;
    char room[64];

    (void)state;
    assert_false(read_request2(wire_rig_exact(body, sizeof body - 1), NULL));
    const struct tsdb_slice exact = wire_rig_exact(good, sizeof good - 1);
    assert_int_equal(tsdb_write2_count(exact, &counts, NULL), QUARRY_OK);
    assert_int_equal(counts.symbol_count, 3);
    assert_int_equal(counts.series_count, 1);
    assert_int_equal(tsdb_write2_open(exact, symbols, &counts, &reader, NULL), QUARRY_OK);
    assert_int_equal(tsdb_write2_next_series(&reader, &series, NULL), QUARRY_OK);
    assert_true(series.sample.t_ms == 1700000000000);
    tsdb_label_set_init(&set, &rig_limits, rig_labels);
    assert_int_equal(tsdb_write2_labels(&reader, &series, &set, NULL), QUARRY_OK);
    assert_int_equal(tsdb_label_set_finish(&set, &labels), TSDB_LABELS_GOOD);
    const size_t count = tsdb_labels_encode(labels, room, sizeof room);
    assert_int_equal(count, sizeof(LABEL_A) - 1);
    assert_memory_equal(room, LABEL_A, count);
    for (size_t less = 0; less < count; less++) {
        assert_int_equal(tsdb_labels_encode(labels, room, less), 0);
    }
}

/* ---- what is wrong, and where --------------------------------------------------------------- */

static void an_error_tells_the_byte(void **state)
{
    struct tsdb_write_reader reader;
    struct tsdb_write_series series;
    struct tsdb_slice body;
    struct quarry_error error = {0};

    (void)state;
    body = body_of_text(LABEL_A SAMPLE);
    reader = tsdb_write_reader_of((struct tsdb_slice){body.bytes, body.count - 1});
    assert_int_equal(tsdb_write_next_series(&reader, &series, &error), QUARRY_BAD_INPUT);
    assert_string_equal(error.text, "write request: byte 0: a field is cut short or no series");
    body = body_of_text(LABEL_A "\x12\x02\x09\x00");
    reader = tsdb_write_reader_of(body);
    assert_int_equal(tsdb_write_next_series(&reader, &series, &error), QUARRY_BAD_INPUT);
    assert_string_equal(error.text, "write request: byte 10: a field of a series is wrong");
    /* It says so again. */
    assert_int_equal(tsdb_write_next_series(&reader, &series, &error), QUARRY_BAD_INPUT);
}

/* Zeros where a time would be are none, also before any time was met. */
static void a_series_that_ends_in_zeros_has_no_time(void **state)
{
#define ZEROS LABEL_A "\x12\x10\x09\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
    static const char body[] = "\x0a\x1a" ZEROS "\x0a\x1a" ZEROS;
    struct tsdb_write_reader reader = tsdb_write_reader_of(wire_rig_exact(body, sizeof body - 1));
    struct tsdb_write_series series;

    (void)state;
    assert_int_equal(sizeof ZEROS - 1, 0x1a);
    assert_int_equal(tsdb_write_next_series(&reader, &series, NULL), QUARRY_BAD_INPUT);
}

static void the_first_symbol_is_the_empty_one(void **state)
{
    static const char body[] = "\x22\x01"
                               "a";
    struct tsdb_slice symbols[1];
    struct tsdb_write2_counts counts;
    struct tsdb_write2_reader reader;
    struct quarry_error error = {0};
    const struct tsdb_slice exact = wire_rig_exact(body, sizeof body - 1);

    (void)state;
    assert_int_equal(tsdb_write2_count(exact, &counts, &error), QUARRY_OK);
    assert_int_equal(tsdb_write2_open(exact, symbols, &counts, &reader, &error), QUARRY_BAD_INPUT);
    assert_string_equal(error.text, "write request: byte 2: the first symbol is not empty");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(requests_are_read_as_protobuf_c_wrote_them, wire_rig_tear_down),
        cmocka_unit_test_teardown(requests_of_2_0_are_read_as_protobuf_c_wrote_them,
                                  wire_rig_tear_down),
        cmocka_unit_test_teardown(a_damaged_request_is_refused_or_read_as_protobuf_c_reads_it,
                                  wire_rig_tear_down),
        cmocka_unit_test_teardown(
            a_damaged_request_of_2_0_is_refused_or_read_as_protobuf_c_reads_it, wire_rig_tear_down),
        cmocka_unit_test_teardown(the_key_is_the_bytes_of_the_labels, wire_rig_tear_down),
        cmocka_unit_test_teardown(a_series_with_labels_apart_or_without_has_no_key,
                                  wire_rig_tear_down),
        cmocka_unit_test_teardown(a_value_that_looks_like_a_sample_is_found_out,
                                  wire_rig_tear_down),
        cmocka_unit_test_teardown(a_key_that_was_confirmed_stands_for_its_labels_alone,
                                  wire_rig_tear_down),
        cmocka_unit_test_teardown(labels_of_2_0_have_the_key_of_1_0, wire_rig_tear_down),
        cmocka_unit_test_teardown(an_error_tells_the_byte, wire_rig_tear_down),
        cmocka_unit_test_teardown(a_series_that_ends_in_zeros_has_no_time, wire_rig_tear_down),
        cmocka_unit_test_teardown(the_first_symbol_is_the_empty_one, wire_rig_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
