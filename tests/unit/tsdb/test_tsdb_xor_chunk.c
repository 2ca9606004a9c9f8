/*
 * Chunks of floats and of histograms: known bytes, every width, where one ends and another begins.
 */
#include "unit/tsdb/block_rig.h"

#include <stdlib.h>
#include <string.h>

#include <tsdb/histogram_chunk.h>
#include <tsdb/xor_chunk.h>

#include "unit/base/random.h"

static uint64_t bits_of(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* ---- floats --------------------------------------------------------------------------------- */

static void expect_again(const struct tsdb_sample *samples, size_t count)
{
    uint8_t *bytes = malloc(XOR_CHUNK_BYTES_MAX(count) + 32);
    struct xor_chunk_appender appender;
    struct xor_chunk_iterator iterator;
    struct tsdb_sample sample;

    assert_non_null(bytes);
    xor_chunk_begin(&appender, bytes, XOR_CHUNK_BYTES_MAX(count) + 32);
    for (size_t i = 0; i < count; i++) {
        assert_true(xor_chunk_append(&appender, samples[i]));
    }
    size_t byte_count = xor_chunk_byte_count(&appender);
    assert_true(byte_count <= XOR_CHUNK_BYTES_MAX(count));
    assert_int_equal(xor_chunk_read(&iterator, bytes, byte_count), QUARRY_OK);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(xor_chunk_next(&iterator, &sample), QUARRY_OK);
        assert_int_equal(sample.t_ms, samples[i].t_ms);
        assert_int_equal(sample.bits, samples[i].bits);
    }
    assert_int_equal(xor_chunk_next(&iterator, &sample), QUARRY_NOT_FOUND);
    free(bytes);
}

static void samples_of_every_width_come_back(void **state)
{
    static const int64_t edges[] = {0,      1,      -1,      8191,    8192,      8193,
                                    -8191,  -8192,  65536,   65537,   -65535,    -65536,
                                    524288, 524289, -524287, -524288, INT64_MAX, INT64_MIN};
    struct tsdb_sample samples[64] = {{0}};
    int64_t delta = 0;

    (void)state;
    samples[0] = (struct tsdb_sample){.t_ms = -5, .bits = bits_of(1)};
    for (size_t i = 1; i <= sizeof edges / sizeof *edges; i++) {
        delta = (int64_t)((uint64_t)delta + (uint64_t)edges[i - 1]);
        samples[i].t_ms = (int64_t)((uint64_t)samples[i - 1].t_ms + (uint64_t)delta);
        samples[i].bits = samples[i - 1].bits ^ (UINT64_C(0x8000000000000001) >> (i % 3))
                                                    << (i % 5);
    }
    expect_again(samples, 1 + sizeof edges / sizeof *edges);
    expect_again(samples, 1);
}

static void random_samples_come_back(void **state)
{
    struct tsdb_sample samples[300];
    uint64_t random = 9;

    (void)state;
    for (uint32_t round = 0; round < 2000; round++) {
        uint32_t count = 1 + (uint32_t)(random_u64(&random) % 300);

        for (uint32_t i = 0; i < count; i++) {
            uint64_t kind = random_u64(&random);
            int64_t step = (int64_t)(random_u64(&random) >> (kind % 64));
            uint64_t before = i == 0 ? 0 : (uint64_t)samples[i - 1].t_ms;

            samples[i].t_ms = (int64_t)(before + (uint64_t)step);
            samples[i].bits = kind % 5 == 0 && i > 0 ? samples[i - 1].bits
                                                     : random_u64(&random) << (kind / 64 % 64);
        }
        expect_again(samples, count);
    }
}

static void bytes_are_those_of_prometheus(void **state)
{
    /* Made by promtool 2.42 of `a 1 0`, `a 1 15`, `a 2 30`, `a 2.5 45`. */
    static const uint8_t four[] = {0x00, 0x04, 0x00, 0x3f, 0xf0, 0x00, 0x00, 0x00, 0x00, 0x00,
                                   0x00, 0x98, 0x75, 0x30, 0x97, 0xff, 0xdb, 0x41, 0x80};
    uint8_t bytes[256];
    struct xor_chunk_appender appender;
    const struct tsdb_sample samples[] = {
        {0, bits_of(1)}, {15000, bits_of(1)}, {30000, bits_of(2)}, {45000, bits_of(2.5)}};

    (void)state;
    xor_chunk_begin(&appender, bytes, sizeof bytes);
    for (size_t i = 0; i < 4; i++) {
        assert_true(xor_chunk_append(&appender, samples[i]));
    }
    assert_int_equal(xor_chunk_byte_count(&appender), sizeof four);
    assert_memory_equal(bytes, four, sizeof four);
}

static void a_full_chunk_takes_no_more(void **state)
{
    uint8_t bytes[64];
    struct xor_chunk_appender appender;
    struct xor_chunk_iterator iterator;
    struct tsdb_sample sample;
    uint32_t count = 0;

    (void)state;
    xor_chunk_begin(&appender, bytes, sizeof bytes);
    while (xor_chunk_append(&appender, (struct tsdb_sample){.t_ms = count, .bits = count})) {
        count++;
    }
    assert_true(count >= 2);
    size_t byte_count = xor_chunk_byte_count(&appender);
    assert_false(xor_chunk_append(&appender, (struct tsdb_sample){.t_ms = count}));
    assert_int_equal(xor_chunk_byte_count(&appender), byte_count);
    assert_int_equal(xor_chunk_read(&iterator, bytes, byte_count), QUARRY_OK);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(xor_chunk_next(&iterator, &sample), QUARRY_OK);
        assert_int_equal(sample.bits, i);
    }
}

static void bytes_that_end_early_are_corrupt(void **state)
{
    uint8_t bytes[512];
    struct xor_chunk_appender appender;
    struct xor_chunk_iterator iterator;
    struct tsdb_sample sample;

    (void)state;
    xor_chunk_begin(&appender, bytes, sizeof bytes);
    for (uint32_t i = 0; i < 20; i++) {
        assert_true(xor_chunk_append(
            &appender, (struct tsdb_sample){.t_ms = i * i, .bits = bits_of(i * 1.1)}));
    }
    for (size_t cut = 0; cut + 1 < xor_chunk_byte_count(&appender); cut++) {
        enum quarry_status status = xor_chunk_read(&iterator, bytes, cut);

        while (status == QUARRY_OK) {
            status = xor_chunk_next(&iterator, &sample);
        }
        assert_int_equal(status, QUARRY_CORRUPT);
        if (cut >= 2) {
            assert_int_equal(xor_chunk_next(&iterator, &sample), QUARRY_CORRUPT);
        }
    }
}

/* ---- histograms ----------------------------------------------------------------------------- */

static const struct tsdb_span span = {.offset = 1, .length = 2};

static struct tsdb_histogram histogram_of(const uint64_t *buckets, uint64_t count)
{
    return (struct tsdb_histogram){
        .schema = 1,
        .count = count,
        .sum_bits = bits_of(3),
        .positive = {.spans = &span, .buckets = buckets, .span_count = 1, .bucket_count = 2}};
}

static void what_follows_is_what_readers_may_take_for_granted(void **state)
{
    const uint64_t low[] = {1, 2}, high[] = {2, 2}, other[] = {2, 1};
    const struct tsdb_span wider = {.offset = 1, .length = 3};
    const uint64_t three[] = {5, 5, 5};
    struct tsdb_histogram first = histogram_of(low, 3), more = histogram_of(high, 4);
    struct tsdb_histogram fallen = histogram_of(other, 4), stale = {.sum_bits = TSDB_STALE_BITS};
    struct tsdb_histogram wide = histogram_of(three, 15), gauge = more, reset = more;
    struct histogram_chunk_appender appender;
    enum histogram_chunk_header header;

    (void)state;
    wide.positive.spans = &wider;
    wide.positive.bucket_count = 3;
    gauge.reset_hint = TSDB_RESET_GAUGE;
    reset.reset_hint = TSDB_RESET_YES;
    histogram_chunk_appender_init(&appender, &block_rig_memory);
    assert_false(histogram_chunk_follows(&appender, &first, &header));
    assert_int_equal(header, HISTOGRAM_CHUNK_UNKNOWN);
    assert_int_equal(histogram_chunk_begin(&appender, header), QUARRY_OK);
    assert_int_equal(histogram_chunk_append(&appender, &first), QUARRY_OK);
    assert_true(histogram_chunk_follows(&appender, &more, &header));
    assert_int_equal(header, HISTOGRAM_CHUNK_NO_RESET);
    assert_false(histogram_chunk_follows(&appender, &fallen, &header));
    assert_int_equal(header, HISTOGRAM_CHUNK_RESET);
    assert_false(histogram_chunk_follows(&appender, &wide, &header));
    assert_int_equal(header, HISTOGRAM_CHUNK_UNKNOWN);
    assert_false(histogram_chunk_follows(&appender, &gauge, &header));
    assert_int_equal(header, HISTOGRAM_CHUNK_GAUGE);
    assert_false(histogram_chunk_follows(&appender, &reset, &header));
    assert_int_equal(header, HISTOGRAM_CHUNK_RESET);
    assert_true(histogram_chunk_follows(&appender, &stale, &header));
    assert_int_equal(histogram_chunk_append(&appender, &stale), QUARRY_OK);
    assert_true(histogram_chunk_follows(&appender, &stale, &header));
    assert_false(histogram_chunk_follows(&appender, &more, &header));
    assert_int_equal(header, HISTOGRAM_CHUNK_UNKNOWN);
    histogram_chunk_reset(&appender);
    assert_false(histogram_chunk_follows(&appender, &stale, &header));
    histogram_chunk_appender_fini(&appender);
}

static void gauges_may_fall_in_a_chunk(void **state)
{
    const uint64_t low[] = {1, 2}, high[] = {2, 2};
    struct tsdb_histogram first = histogram_of(high, 4), second = histogram_of(low, 3);
    struct histogram_chunk_appender appender;
    struct histogram_chunk_iterator iterator;
    const struct tsdb_histogram *read = NULL;
    enum histogram_chunk_header header;
    size_t byte_count = 0;

    (void)state;
    first.reset_hint = second.reset_hint = TSDB_RESET_GAUGE;
    second.t_ms = 10;
    histogram_chunk_appender_init(&appender, &block_rig_memory);
    histogram_chunk_iterator_init(&iterator, &block_rig_memory);
    assert_int_equal(histogram_chunk_begin(&appender, HISTOGRAM_CHUNK_GAUGE), QUARRY_OK);
    assert_int_equal(histogram_chunk_append(&appender, &first), QUARRY_OK);
    assert_true(histogram_chunk_follows(&appender, &second, &header));
    assert_int_equal(histogram_chunk_append(&appender, &second), QUARRY_OK);
    const uint8_t *bytes = histogram_chunk_bytes(&appender, &byte_count);
    assert_int_equal(histogram_chunk_read(&iterator, bytes, byte_count, false), QUARRY_OK);
    assert_int_equal(histogram_chunk_next(&iterator, &read), QUARRY_OK);
    assert_int_equal(histogram_chunk_next(&iterator, &read), QUARRY_OK);
    assert_int_equal(read->reset_hint, TSDB_RESET_GAUGE);
    assert_int_equal(read->count, 3);
    assert_memory_equal(read->positive.buckets, low, sizeof low);
    assert_int_equal(histogram_chunk_next(&iterator, &read), QUARRY_NOT_FOUND);
    histogram_chunk_appender_fini(&appender);
    histogram_chunk_iterator_fini(&iterator);
}

static void what_is_beyond_the_limits_is_told(void **state)
{
    /* Threshold 0, schema 9; and schema 1 with 5000 spans, then with a span of 5000 buckets. */
    struct {
        enum quarry_status status;
        uint64_t fields[4];
    } cases[] = {{QUARRY_UNSUPPORTED, {9, 0, 0, 0}},
                 {QUARRY_TOO_LARGE, {1, 5000, 0, 0}},
                 {QUARRY_TOO_LARGE, {1, 1, 5000, 0}}};
    struct histogram_chunk_iterator iterator;
    const struct tsdb_histogram *read = NULL;

    (void)state;
    histogram_chunk_iterator_init(&iterator, &block_rig_memory);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t bytes[64] = {0};
        struct chunk_bit_writer bits = {.bytes = bytes, .capacity_bytes = sizeof bytes};

        chunk_bits_put(&bits, 1, 16);
        chunk_bits_put(&bits, 0, 8);
        chunk_bits_put(&bits, 0, 8);
        for (size_t at = 0; at < 4; at++) { /* varbits of 18 bits, whatever the number */
            chunk_bits_put(&bits, 62, 6);
            chunk_bits_put(&bits, cases[i].fields[at], 18);
        }
        assert_int_equal(histogram_chunk_read(&iterator, bytes, sizeof bytes, false), QUARRY_OK);
        assert_int_equal(histogram_chunk_next(&iterator, &read), cases[i].status);
    }
    assert_int_equal(histogram_chunk_read(&iterator, (const uint8_t *)"\0\1", 2, false),
                     QUARRY_CORRUPT);
    histogram_chunk_iterator_fini(&iterator);
}

int main(void)
{
#define BLOCK_TEST(name)                                                                           \
    cmocka_unit_test_setup_teardown(name, block_rig_set_up, block_rig_tear_down)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_of_every_width_come_back),
        cmocka_unit_test(random_samples_come_back),
        cmocka_unit_test(bytes_are_those_of_prometheus),
        cmocka_unit_test(a_full_chunk_takes_no_more),
        cmocka_unit_test(bytes_that_end_early_are_corrupt),
        BLOCK_TEST(what_follows_is_what_readers_may_take_for_granted),
        BLOCK_TEST(gauges_may_fall_in_a_chunk),
        BLOCK_TEST(what_is_beyond_the_limits_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
