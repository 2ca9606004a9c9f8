/* Sealed times: regular, missed, jittering and any others. */
#include <stdlib.h>
#include <string.h>

#include <tsdb/times.h>

#include "unit/base/cmocka_all.h"
#include "unit/base/random.h"
#include "unit/tsdb/series.h"

#define TIMES  2000u
#define ROUNDS 20000u

static int64_t t_ms[TIMES], back[TIMES + TSDB_COLUMN_BLOCK];
static uint8_t bytes[64 + 9 * TIMES];

static uint32_t read_times(const uint8_t *from, size_t byte_count, uint32_t count,
                           enum quarry_status *ret_status)
{
    struct tsdb_times_reader reader;
    uint8_t *exact = malloc(byte_count + (byte_count == 0));
    uint32_t read = 0, taken;

    assert_non_null(exact);
    memcpy(exact, from, byte_count);
    *ret_status = tsdb_times_open(&reader, exact, byte_count, count);
    if (*ret_status == QUARRY_OK) {
        while ((taken = tsdb_times_take(&reader, back + read)) > 0) {
            read += taken;
            assert_true(read <= count);
        }
        *ret_status = tsdb_times_status(&reader);
    }
    free(exact);
    return read;
}

static size_t assert_round_trip(uint32_t count)
{
    enum quarry_status status;
    size_t byte_count = tsdb_times_encode(t_ms, count, bytes);

    assert_true(byte_count <= tsdb_times_bytes_max(count));
    assert_int_equal(read_times(bytes, byte_count, count, &status), count);
    assert_int_equal(status, QUARRY_OK);
    assert_memory_equal(back, t_ms, count * sizeof *t_ms);
    return byte_count;
}

static void times_of_every_kind_come_back(void **unused)
{
    uint64_t state = 1;

    (void)unused;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        uint32_t count = 1 + (uint32_t)(random_u64(&state) % (i % 64 == 0 ? TIMES : 40));
        series_fill_times(i % TIMES_KIND_COUNT, i, count, t_ms);
        (void)assert_round_trip(count);
    }
}

static void regular_times_take_ten_bytes_and_a_missed_one_a_few_more(void **unused)
{
    (void)unused;
    series_fill_times(TIMES_REGULAR, 1, 960, t_ms);
    assert_true(assert_round_trip(960) <= 11);
    for (uint32_t i = 500; i < 960; i++) {
        t_ms[i] += 15000;
    }
    assert_true(assert_round_trip(960) <= 48);
    series_fill_times(TIMES_JITTER, 1, 960, t_ms);
    assert_true(assert_round_trip(960) <= 960 * 6 / 8);
}

/* docs/formats/tsdb-column.md */
static void the_example_of_the_formats_page_decodes(void **unused)
{
    static const uint8_t example[] = {0x03, 0xd0, 0x0f, 0xb0, 0xea, 0x01};
    const int64_t times[4] = {1000, 16000, 31000, 46000};
    enum quarry_status status;

    (void)unused;
    assert_int_equal(read_times(example, sizeof example, 4, &status), 4);
    assert_int_equal(status, QUARRY_OK);
    assert_memory_equal(back, times, sizeof times);
}

static void damaged_times_are_read_without_harm(void **unused)
{
    uint64_t state = 2;
    uint32_t found = 0;

    (void)unused;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        enum quarry_status status;
        uint32_t count = 1 + (uint32_t)(random_u64(&state) % 300);
        series_fill_times(i % TIMES_KIND_COUNT, i, count, t_ms);
        size_t byte_count = tsdb_times_encode(t_ms, count, bytes);
        bytes[random_u64(&state) % size_min(byte_count, 16)] = (uint8_t)random_u64(&state);
        byte_count -= random_u64(&state) % 2 == 0 ? 0 : random_u64(&state) % byte_count;
        uint32_t read = read_times(bytes, byte_count, count, &status);
        assert_true(read == count || status == QUARRY_CORRUPT);
        found += status == QUARRY_CORRUPT;
    }
    assert_true(found > ROUNDS / 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_of_every_kind_come_back),
        cmocka_unit_test(regular_times_take_ten_bytes_and_a_missed_one_a_few_more),
        cmocka_unit_test(the_example_of_the_formats_page_decodes),
        cmocka_unit_test(damaged_times_are_read_without_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
