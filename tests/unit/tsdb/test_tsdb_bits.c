/* Bits in words, Golomb codes, and doubles that are decimals. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tsdb/bits.h>
#include <tsdb/decimal.h>

#include "unit/base/cmocka_all.h"
#include "unit/base/random.h"

#define ROUNDS 20000

static void bits_come_back_at_every_offset_and_width(void **unused)
{
    uint64_t state = 1;

    (void)unused;
    for (uint32_t offset = 0; offset < 64; offset++) {
        for (uint32_t width = 0; width <= 64; width++) {
            uint64_t words[4] = {0}, value = tsdb_bits_low(random_u64(&state), width);
            struct tsdb_bit_writer writer = {words, offset};
            tsdb_bits_put(&writer, value, width);
            tsdb_bits_put(&writer, 1, 1);
            assert_int_equal(writer.at, offset + width + 1);
            assert_true(tsdb_bits_low(tsdb_bits_peek(words, offset), width) == value);
            assert_true((tsdb_bits_peek(words, offset + width) & 1) == 1);
        }
    }
}

static void numbers_have_golomb_codes_of_the_length_that_is_told(void **unused)
{
    uint64_t state = 2;

    (void)unused;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        uint64_t words[8] = {0}, z = random_width_u64(&state) >> 4, back = ~z;
        uint32_t order = (uint32_t)(random_u64(&state) % 41);
        struct tsdb_bit_writer writer = {words, random_u64(&state) % 64};
        size_t at = writer.at, begin = at;
        tsdb_golomb_put(&writer, z, order);
        assert_int_equal(writer.at - begin, tsdb_golomb_length(z, order));
        assert_true(tsdb_golomb_get(words, &at, order, &back));
        assert_true(back == z);
        assert_int_equal(at, writer.at);
    }
}

static void a_golomb_code_of_too_many_ones_is_refused(void **unused)
{
    const uint64_t words[8] = {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX};
    uint64_t z = 77;
    size_t at = 3;

    (void)unused;
    for (uint32_t order = 0; order < 62; order++) {
        assert_false(tsdb_golomb_get(words, &at, order, &z));
    }
    assert_int_equal(at, 3);
    assert_true(z == 77);
}

/* As a program would read it from text. */
static double parsed(uint64_t m, uint32_t scale)
{
    char text[64];

    (void)snprintf(text, sizeof text, "%llue-%u", (unsigned long long)m, scale);
    return strtod(text, NULL);
}

static void a_number_read_from_text_is_a_decimal(void **unused)
{
    uint64_t state = 3;

    (void)unused;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        uint32_t scale = (uint32_t)(random_u64(&state) % (TSDB_DECIMAL_SCALE_MAX + 1));
        uint64_t m = random_width_u64(&state) >> 14;
        int64_t got = -1;
        double value = parsed(m, scale);
        assert_true(tsdb_decimal_get(tsdb_bits_of(value), scale, &got));
        assert_true((uint64_t)got == m);
        assert_true(tsdb_decimal_bits(got, scale) == tsdb_bits_of(value));
        assert_true(tsdb_decimal_scale(tsdb_bits_of(value), 0) <= scale);
        if (m != 0) {
            assert_true(tsdb_decimal_get(tsdb_bits_of(-value), scale, &got));
            assert_true(got == -(int64_t)m);
        }
    }
}

static void what_is_no_decimal_is_refused(void **unused)
{
    const double values[] = {-0.0,    (double)NAN, (double)INFINITY, -(double)INFINITY, 0x1p51,
                             -0x1p51, 0.1 + 0.2,   1.0 / 3,          0x1p-1074};
    int64_t m = 77;

    (void)unused;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        uint64_t bits = tsdb_bits_of(values[i]);
        for (uint32_t scale = 0; scale <= TSDB_DECIMAL_SCALE_MAX; scale++) {
            assert_false(tsdb_decimal_get(bits, scale, &m));
        }
        assert_int_equal(tsdb_decimal_scale(bits, 0), TSDB_DECIMAL_SCALE_MAX + 1);
        assert_true(m == 77);
    }
}

static void a_product_or_a_sum_is_nearly_a_decimal(void **unused)
{
    uint64_t state = 5;

    (void)unused;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        double whole = (double)(random_u64(&state) >> 34),
               part = (double)(random_u64(&state) % 1000);
        uint64_t bits =
            tsdb_bits_of(i % 2 == 0 ? (whole * 1000 + part) * 0.001 : whole + part / 1000);
        int64_t m = 0;
        if (tsdb_decimal_get(bits, TSDB_NEARLY + 3, &m)) {
            assert_true(m >> 2 == (int64_t)(whole * 1000 + part));
            assert_true(tsdb_decimal_bits(m, TSDB_NEARLY + 3) == bits);
        } else {
            assert_true(i % 2 == 0); /* sums are within a step */
        }
        assert_true(tsdb_nearly_scale(bits, 0) <= TSDB_NEARLY + 3 ||
                    !tsdb_decimal_get(bits, TSDB_NEARLY + 3, &m));
    }
}

static void what_is_two_steps_below_a_decimal_is_not_nearly_one(void **unused)
{
    const uint64_t one = tsdb_bits_of(1.0);
    int64_t m = 77;

    (void)unused;
    assert_false(tsdb_decimal_get(one - 2, TSDB_NEARLY, &m));
    assert_false(tsdb_decimal_get(one + 3, TSDB_NEARLY, &m));
    assert_true(m == 77);
    for (uint64_t above = 0; above < 4; above++) {
        assert_true(tsdb_decimal_get(one - 1 + above, TSDB_NEARLY, &m));
        assert_true(m == 4 + (int64_t)above);
        assert_true(tsdb_decimal_bits(m, TSDB_NEARLY) == one - 1 + above);
    }
}

static void a_decimal_is_its_own_integer_for_any_bits(void **unused)
{
    uint64_t state = 4;

    (void)unused;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        uint64_t bits = random_u64(&state);
        uint32_t scale = tsdb_decimal_scale(bits, 0);
        int64_t m = 0;
        if (scale <= TSDB_DECIMAL_SCALE_MAX) {
            assert_true(tsdb_decimal_get(bits, scale, &m));
            assert_true(tsdb_decimal_bits(m, scale) == bits);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bits_come_back_at_every_offset_and_width),
        cmocka_unit_test(numbers_have_golomb_codes_of_the_length_that_is_told),
        cmocka_unit_test(a_golomb_code_of_too_many_ones_is_refused),
        cmocka_unit_test(a_number_read_from_text_is_a_decimal),
        cmocka_unit_test(what_is_no_decimal_is_refused),
        cmocka_unit_test(a_product_or_a_sum_is_nearly_a_decimal),
        cmocka_unit_test(what_is_two_steps_below_a_decimal_is_not_nearly_one),
        cmocka_unit_test(a_decimal_is_its_own_integer_for_any_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
