/* Variable-length integers: known encodings, round trips, and every way for bytes to be wrong. */
#include <stdlib.h>
#include <string.h>

#include <base/base.h>

#include "unit/base/cmocka_all.h"
#include "unit/base/random.h"

#define ROUNDS    20000
#define UNTOUCHED 77

/* Reads from memory of exactly `length` bytes, so that ASan sees a read beyond. */
static size_t get_u64(const uint8_t *bytes, size_t length, uint64_t *ret_value)
{
    uint8_t *exact = malloc(length + (length == 0));
    assert_non_null(exact);
    memcpy(exact, bytes, length);
    size_t consumed = varint_get_u64(exact, exact + length, ret_value);
    free(exact);
    return consumed;
}

static size_t get_u32(const uint8_t *bytes, size_t length, uint32_t *ret_value)
{
    uint8_t *exact = malloc(length + (length == 0));
    assert_non_null(exact);
    memcpy(exact, bytes, length);
    size_t consumed = varint_get_u32(exact, exact + length, ret_value);
    free(exact);
    return consumed;
}

static void assert_refused_u64(const uint8_t *bytes, size_t length)
{
    uint64_t value = UNTOUCHED;
    assert_int_equal(get_u64(bytes, length, &value), 0);
    assert_int_equal(value, UNTOUCHED);
}

static void assert_refused_u32(const uint8_t *bytes, size_t length)
{
    uint32_t value = UNTOUCHED;
    assert_int_equal(get_u32(bytes, length, &value), 0);
    assert_int_equal(value, UNTOUCHED);
}

/* Encodes, decodes from more and from exactly enough bytes, and fails on every prefix. */
static void check_round_trip_u64(uint64_t value)
{
    uint8_t buffer[VARINT_U64_BYTES_MAX + 2];
    memset(buffer, 0xff, sizeof buffer);
    size_t length = varint_put_u64(buffer, value);
    assert_in_range(length, 1, VARINT_U64_BYTES_MAX);
    assert_int_equal(length, varint_length_u64(value));
    assert_int_equal(buffer[length], 0xff);
    uint64_t got = ~value;
    assert_int_equal(get_u64(buffer, sizeof buffer, &got), length);
    assert_true(got == value);
    got = ~value;
    assert_int_equal(get_u64(buffer, length, &got), length);
    assert_true(got == value);
    for (size_t prefix = 0; prefix < length; prefix++)
        assert_refused_u64(buffer, prefix);
}

static void check_round_trip_u32(uint32_t value)
{
    uint8_t buffer[VARINT_U32_BYTES_MAX + 2];
    memset(buffer, 0xff, sizeof buffer);
    size_t length = varint_put_u32(buffer, value);
    assert_in_range(length, 1, VARINT_U32_BYTES_MAX);
    assert_int_equal(length, varint_length_u64(value));
    assert_int_equal(buffer[length], 0xff);
    uint32_t got = ~value;
    assert_int_equal(get_u32(buffer, length, &got), length);
    assert_int_equal(got, value);
    for (size_t prefix = 0; prefix < length; prefix++)
        assert_refused_u32(buffer, prefix);
}

static void known_values_have_known_bytes(void **state)
{
    (void)state;
    static const struct {
        uint64_t value;
        size_t length;
        uint8_t bytes[10];
    } known[] = {
        {0, 1, {0x00}},
        {1, 1, {0x01}},
        {127, 1, {0x7f}},
        {128, 2, {0x80, 0x01}},
        {300, 2, {0xac, 0x02}},
        {16383, 2, {0xff, 0x7f}},
        {16384, 3, {0x80, 0x80, 0x01}},
        {UINT32_MAX, 5, {0xff, 0xff, 0xff, 0xff, 0x0f}},
        {UINT64_MAX, 10, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        uint8_t buffer[VARINT_U64_BYTES_MAX];
        assert_int_equal(varint_put_u64(buffer, known[i].value), known[i].length);
        assert_memory_equal(buffer, known[i].bytes, known[i].length);
    }
}

static void values_around_every_power_of_two_come_back(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 64; i++) {
        uint64_t power = UINT64_C(1) << i;
        for (uint64_t off = 0; off < 3; off++) {
            check_round_trip_u64(power - 1 + off);
            check_round_trip_u32((uint32_t)(power - 1 + off));
        }
    }
    check_round_trip_u64(UINT64_MAX);
    check_round_trip_u32(UINT32_MAX);
}

static void random_values_come_back(void **state)
{
    (void)state;
    uint64_t random = 6;
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t value = random_width_u64(&random);
        check_round_trip_u64(value);
        check_round_trip_u32((uint32_t)value);
    }
}

static void the_length_grows_by_one_every_seven_bits(void **state)
{
    (void)state;
    assert_int_equal(varint_length_u64(0), 1);
    for (uint32_t bit = 0; bit < 64; bit++)
        assert_int_equal(varint_length_u64(UINT64_C(1) << bit), bit / 7 + 1);
    assert_int_equal(varint_length_u64(UINT64_MAX), 10);
}

static void padding_within_the_longest_form_is_accepted(void **state)
{
    (void)state;
    static const uint8_t padded[] = {0x85, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00};
    static const uint8_t padded_u32[] = {0x85, 0x80, 0x80, 0x80, 0x00};
    uint64_t value;
    assert_int_equal(get_u64(padded, sizeof padded, &value), 10);
    assert_int_equal(value, 5);
    uint32_t value_u32;
    assert_int_equal(get_u32(padded_u32, sizeof padded_u32, &value_u32), 5);
    assert_int_equal(value_u32, 5);
}

static void values_that_are_too_long_are_refused(void **state)
{
    (void)state;
    static const uint8_t zeros[] = {0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
                                    0x80, 0x80, 0x80, 0x80, 0x00};
    assert_refused_u64(zeros, sizeof zeros);
    assert_refused_u32(zeros + 5, 6);
    assert_refused_u32(zeros, sizeof zeros);
}

static void values_with_bits_above_the_type_are_refused(void **state)
{
    (void)state;
    uint8_t bytes[10];
    memset(bytes, 0xff, sizeof bytes);
    for (uint32_t last = 0; last < 0x80; last++) {
        bytes[9] = (uint8_t)last;
        uint64_t value = 0;
        assert_int_equal(get_u64(bytes, 10, &value), last <= 1 ? 10 : 0);
        bytes[9] = 0xff;
        bytes[4] = (uint8_t)last;
        uint32_t value_u32 = 0;
        assert_int_equal(get_u32(bytes, 5, &value_u32), last <= 0x0f ? 5 : 0);
        bytes[4] = 0xff;
    }
}

/* Whatever the bytes, a value that is accepted is the sum of its groups in wide arithmetic. */
static void random_bytes_never_lose_a_bit(void **state)
{
    (void)state;
    uint64_t random = 7;
    size_t accepted = 0;
    for (int i = 0; i < ROUNDS; i++) {
        uint8_t bytes[12];
        size_t length = random_u64(&random) % 13;
        for (size_t k = 0; k < length; k++) {
            uint64_t word = random_u64(&random);
            bytes[k] = (uint8_t)(word | (word >> 8 & 7 ? 0x80 : 0)); /* mostly continued */
        }
        unsigned __int128 sum = 0;
        size_t expected = 0;
        for (size_t k = 0; k < length && expected == 0; k++) {
            sum |= (unsigned __int128)(bytes[k] & 0x7f) << (7 * k);
            expected = bytes[k] < 0x80 ? k + 1 : 0;
        }
        uint64_t value = UNTOUCHED;
        bool fits = expected != 0 && expected <= 10 && sum <= UINT64_MAX;
        assert_int_equal(get_u64(bytes, length, &value), fits ? expected : 0);
        assert_true(value == (fits ? (uint64_t)sum : UNTOUCHED));
        uint32_t value_u32 = UNTOUCHED;
        bool fits_u32 = expected != 0 && expected <= 5 && sum <= UINT32_MAX;
        assert_int_equal(get_u32(bytes, length, &value_u32), fits_u32 ? expected : 0);
        assert_true(value_u32 == (fits_u32 ? (uint32_t)sum : UNTOUCHED));
        accepted += fits;
    }
    assert_in_range(accepted, ROUNDS / 10, ROUNDS - ROUNDS / 10);
}

static void zigzag_folds_signs_together(void **state)
{
    (void)state;
    assert_int_equal(varint_zigzag(0), 0);
    assert_int_equal(varint_zigzag(-1), 1);
    assert_int_equal(varint_zigzag(1), 2);
    assert_int_equal(varint_zigzag(-2), 3);
    assert_int_equal(varint_zigzag(2), 4);
    assert_true(varint_zigzag(INT64_MAX) == UINT64_MAX - 1);
    assert_true(varint_zigzag(INT64_MIN) == UINT64_MAX);
    uint64_t random = 8;
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t word = random_width_u64(&random);
        assert_true(varint_zigzag(varint_unzigzag(word)) == word);
        assert_true(varint_unzigzag(varint_zigzag((int64_t)word)) == (int64_t)word);
    }
    assert_true(varint_unzigzag(UINT64_MAX) == INT64_MIN);
    assert_true(varint_unzigzag(UINT64_MAX - 1) == INT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_values_have_known_bytes),
        cmocka_unit_test(values_around_every_power_of_two_come_back),
        cmocka_unit_test(random_values_come_back),
        cmocka_unit_test(the_length_grows_by_one_every_seven_bits),
        cmocka_unit_test(padding_within_the_longest_form_is_accepted),
        cmocka_unit_test(values_that_are_too_long_are_refused),
        cmocka_unit_test(values_with_bits_above_the_type_are_refused),
        cmocka_unit_test(random_bytes_never_lose_a_bit),
        cmocka_unit_test(zigzag_folds_signs_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
