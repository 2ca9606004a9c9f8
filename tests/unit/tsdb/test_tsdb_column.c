/* Sealed columns: every kind of values comes back bit for bit, and damage does no harm. */
#include <stdlib.h>
#include <string.h>

#include <tsdb/column.h>

#include "unit/base/cmocka_all.h"
#include "unit/base/random.h"
#include "unit/tsdb/series.h"

#define VALUES 2000u
#ifdef __SANITIZE_ADDRESS__
#define SEQUENCES 60000u
#define DAMAGES   20000u
#else
#define SEQUENCES 1000000u
#define DAMAGES   200000u
#endif

static uint64_t bits[VALUES], back[VALUES + TSDB_COLUMN_BLOCK];
static int64_t scratch[VALUES];
static uint8_t bytes[64 + 9 * VALUES];

/* Reads a column from memory of its exact size. Returns how many values. */
static uint32_t read_column(const uint8_t *from, size_t byte_count, uint32_t count,
                            enum quarry_status *ret_status)
{
    struct tsdb_column_reader reader;
    uint8_t *exact = malloc(byte_count + (byte_count == 0));
    uint32_t read = 0, taken;

    assert_non_null(exact);
    memcpy(exact, from, byte_count);
    *ret_status = tsdb_column_open(&reader, exact, byte_count, count);
    if (*ret_status == QUARRY_OK) {
        while ((taken = tsdb_column_take(&reader, back + read)) > 0) {
            read += taken;
            assert_true(read <= count);
        }
        *ret_status = tsdb_column_status(&reader);
    }
    free(exact);
    return read;
}

static size_t assert_round_trip(uint32_t count)
{
    enum quarry_status status;
    size_t byte_count = tsdb_column_encode(bits, count, scratch, bytes);

    assert_true(byte_count <= tsdb_column_bytes_max(count));
    assert_int_equal(read_column(bytes, byte_count, count, &status), count);
    assert_int_equal(status, QUARRY_OK);
    assert_memory_equal(back, bits, count * sizeof *bits);
    return byte_count;
}

static void a_million_sequences_come_back_bit_for_bit(void **unused)
{
    uint64_t state = 1;

    (void)unused;
    for (uint32_t i = 0; i < SEQUENCES; i++) {
        uint32_t count = 1 + (uint32_t)(random_u64(&state) % (i % 512 == 0 ? VALUES : 24));
        series_fill(i % SERIES_KIND_COUNT, i, count, bits);
        (void)assert_round_trip(count);
    }
}

static void every_count_around_frames_and_blocks_comes_back(void **unused)
{
    (void)unused;
    for (uint32_t kind = 0; kind < SERIES_KIND_COUNT; kind++) {
        for (uint32_t count = 1; count <= 3 * TSDB_COLUMN_BLOCK; count += count % 64 < 3 ? 1 : 19) {
            series_fill(kind, count, count, bits);
            (void)assert_round_trip(count);
        }
    }
}

static void integers_of_every_width_come_back(void **unused)
{
    uint64_t state = 5;

    (void)unused;
    for (uint32_t width = 0; width <= 64; width++) {
        for (uint32_t i = 0; i < 300; i++) {
            bits[i] = width == 0 ? i % 2 : random_u64(&state) >> (64 - width);
        }
        (void)assert_round_trip(300);
    }
}

static void frames_with_outliers_on_both_sides_come_back(void **unused)
{
    uint64_t state = 6;

    (void)unused;
    for (uint32_t round = 0; round < 2000; round++) {
        uint64_t outliers = random_u64(&state) % 12;
        for (uint32_t i = 0; i < 128; i++) {
            bits[i] = 1000000 + random_u64(&state) % 16;
        }
        for (uint64_t i = 0; i < outliers; i++) {
            bits[random_u64(&state) % 128] = random_width_u64(&state);
        }
        (void)assert_round_trip(128);
    }
}

static void forms_are_as_short_as_they_should_be(void **unused)
{
    (void)unused;
    series_fill(SERIES_CONSTANT, 1, 960, bits);
    assert_true(assert_round_trip(960) <= 4);
    bits[500] += UINT64_C(1) << 52; /* one change and back */
    assert_true(assert_round_trip(960) <= 32);
    for (uint32_t i = 0; i < 960; i++) {
        double line = 1e9 + 250.0 * i;
        memcpy(&bits[i], &line, sizeof line);
    }
    assert_true(assert_round_trip(960) <= 32);
    series_fill(SERIES_WALK, 1, 960, bits);
    assert_true(assert_round_trip(960) <= 960 * 3 / 8);
    series_fill(SERIES_STATES, 1, 960, bits);
    assert_true(assert_round_trip(960) <= 8 * 5 + 960 * 4 / 8);
    series_fill(SERIES_BITS, 1, 960, bits);
    assert_true(assert_round_trip(960) <= 8 * 960 + 200);
}

static void a_stale_marker_does_not_cost_a_column_its_form(void **unused)
{
    (void)unused;
    series_fill(SERIES_COUNTER, 1, 960, bits);
    size_t without = assert_round_trip(960);
    bits[959] = UINT64_C(0x7ff0000000000002);
    assert_true(assert_round_trip(960) <= without + 16);
}

static void runs_of_nan_cost_as_much_as_one(void **unused)
{
    (void)unused;
    series_fill(SERIES_COUNTER, 1, 960, bits);
    for (uint32_t i = 0; i < 960; i++) { /* across frames and blocks, and to the end */
        if (i % 500 < 300) {
            bits[i] = UINT64_C(0x7ff8000000000001);
        }
    }
    assert_true(assert_round_trip(960) <= 600);
}

/* docs/formats/tsdb-column.md */
static void the_example_of_the_formats_page_decodes(void **unused)
{
    static const uint8_t example[] = {0x04, 0x02, 0x01, 0x04, 0x00, 0x02, 0x00,
                                      0x00, 0x00, 0x00, 0x00, 0xf0, 0x7f, 0x07,
                                      0xac, 0x02, 0x80, 0xcc, 0x72, 0xb9, 0x04};
    const double values[4] = {1.5, 1.75, 2.25, 2.25};
    enum quarry_status status;

    (void)unused;
    assert_int_equal(read_column(example, sizeof example, 5, &status), 5);
    assert_int_equal(status, QUARRY_OK);
    assert_memory_equal(back, values, sizeof values);
    assert_true(back[4] == UINT64_C(0x7ff0000000000002));
}

static void columns_that_end_early_are_corrupt(void **unused)
{
    enum quarry_status status;

    (void)unused;
    for (uint32_t kind = 0; kind < SERIES_KIND_COUNT; kind++) {
        series_fill(kind, 3, 200, bits);
        size_t byte_count = assert_round_trip(200);
        for (size_t end = 0; end < byte_count; end++) {
            uint32_t read = read_column(bytes, end, 200, &status);
            assert_int_equal(status, QUARRY_CORRUPT);
            assert_true(read < 200);
        }
    }
}

static void damaged_columns_are_read_without_harm(void **unused)
{
    uint64_t state = 77;
    uint32_t found = 0;

    (void)unused;
    for (uint32_t i = 0; i < DAMAGES; i++) {
        enum quarry_status status;
        uint32_t count = 1 + (uint32_t)(random_u64(&state) % 300);
        series_fill(i % SERIES_KIND_COUNT, i, count, bits);
        size_t byte_count = tsdb_column_encode(bits, count, scratch, bytes);
        uint64_t flips = 1 + random_u64(&state) % 6;
        while (flips-- > 0) { /* mostly at the beginning, where the forms are told */
            size_t at =
                random_u64(&state) % (flips % 2 == 0 ? size_min(12, byte_count) : byte_count);
            bytes[at] = (uint8_t)random_u64(&state);
        }
        uint32_t claimed = i % 3 == 0 ? 1 + (uint32_t)(random_u64(&state) % VALUES) : count;
        uint32_t read = read_column(bytes, byte_count, claimed, &status);
        assert_true(read == claimed || status == QUARRY_CORRUPT);
        found += status == QUARRY_CORRUPT;
    }
    assert_true(found > DAMAGES / 10);
}

static void arbitrary_bytes_are_read_without_harm(void **unused)
{
    uint64_t state = 78;

    (void)unused;
    for (uint32_t i = 0; i < DAMAGES; i++) {
        enum quarry_status status;
        size_t byte_count = random_u64(&state) % 200;
        for (size_t at = 0; at < byte_count; at++) {
            bytes[at] = (uint8_t)(at < 2 ? random_u64(&state) % 16 : random_u64(&state));
        }
        (void)read_column(bytes, byte_count, 1 + (uint32_t)(random_u64(&state) % VALUES), &status);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_million_sequences_come_back_bit_for_bit),
        cmocka_unit_test(every_count_around_frames_and_blocks_comes_back),
        cmocka_unit_test(integers_of_every_width_come_back),
        cmocka_unit_test(frames_with_outliers_on_both_sides_come_back),
        cmocka_unit_test(forms_are_as_short_as_they_should_be),
        cmocka_unit_test(a_stale_marker_does_not_cost_a_column_its_form),
        cmocka_unit_test(runs_of_nan_cost_as_much_as_one),
        cmocka_unit_test(the_example_of_the_formats_page_decodes),
        cmocka_unit_test(columns_that_end_early_are_corrupt),
        cmocka_unit_test(damaged_columns_are_read_without_harm),
        cmocka_unit_test(arbitrary_bytes_are_read_without_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
