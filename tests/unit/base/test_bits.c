/* Bit operations against loops over single bits, at every width and for random words. */
#include <signal.h>
#include <string.h>

#include <base/base.h>

#include "unit/base/cmocka_all.h"
#include "unit/base/death.h"
#include "unit/base/random.h"

#define ROUNDS 20000

static uint32_t slow_count(uint64_t word)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < 64; i++)
        count += (uint32_t)(word >> i & 1);
    return count;
}

static uint32_t slow_trailing_zeros(uint64_t word, uint32_t width)
{
    uint32_t i = 0;
    while (i < width && (word >> i & 1) == 0)
        i++;
    return i;
}

static uint32_t slow_leading_zeros(uint64_t word, uint32_t width)
{
    uint32_t i = 0;
    while (i < width && (word >> (width - 1 - i) & 1) == 0)
        i++;
    return i;
}

static void check_u64(uint64_t word)
{
    assert_int_equal(bits_count_u64(word), slow_count(word));
    assert_int_equal(bits_trailing_zeros_u64(word), slow_trailing_zeros(word, 64));
    assert_int_equal(bits_leading_zeros_u64(word), slow_leading_zeros(word, 64));
    assert_int_equal(bits_is_power_of_two_u64(word), slow_count(word) == 1);
    if (word != 0) {
        uint32_t floor = 63 - slow_leading_zeros(word, 64);
        assert_int_equal(bits_log2_floor_u64(word), floor);
        assert_int_equal(bits_log2_ceil_u64(word), floor + (slow_count(word) != 1));
    }
}

static void check_u32(uint32_t word)
{
    assert_int_equal(bits_count_u32(word), slow_count(word));
    assert_int_equal(bits_trailing_zeros_u32(word), slow_trailing_zeros(word, 32));
    assert_int_equal(bits_leading_zeros_u32(word), slow_leading_zeros(word, 32));
    assert_int_equal(bits_is_power_of_two_u32(word), slow_count(word) == 1);
    if (word != 0) {
        uint32_t floor = 31 - slow_leading_zeros(word, 32);
        assert_int_equal(bits_log2_floor_u32(word), floor);
        assert_int_equal(bits_log2_ceil_u32(word), floor + (slow_count(word) != 1));
    }
}

static void zero_has_no_bits_and_the_width_in_zeros(void **state)
{
    (void)state;
    assert_int_equal(bits_count_u64(0), 0);
    assert_int_equal(bits_trailing_zeros_u64(0), 64);
    assert_int_equal(bits_leading_zeros_u64(0), 64);
    assert_false(bits_is_power_of_two_u64(0));
    assert_int_equal(bits_count_u32(0), 0);
    assert_int_equal(bits_trailing_zeros_u32(0), 32);
    assert_int_equal(bits_leading_zeros_u32(0), 32);
    assert_false(bits_is_power_of_two_u32(0));
}

static void words_around_every_power_of_two_agree_with_loops(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 64; i++) {
        uint64_t power = UINT64_C(1) << i;
        for (uint64_t off = 0; off < 3; off++)
            check_u64(power - 1 + off);
        check_u64(~power);
        check_u32((uint32_t)power);
        check_u32((uint32_t)(power - 1));
        check_u32((uint32_t)(power + 1));
    }
    check_u64(UINT64_MAX);
    check_u32(UINT32_MAX);
}

static void random_words_agree_with_loops(void **state)
{
    (void)state;
    uint64_t random = 1;
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t word = random_width_u64(&random);
        check_u64(word);
        check_u32((uint32_t)word);
    }
}

static void logarithms_of_the_extremes_are_exact(void **state)
{
    (void)state;
    assert_int_equal(bits_log2_floor_u64(1), 0);
    assert_int_equal(bits_log2_ceil_u64(1), 0);
    assert_int_equal(bits_log2_floor_u64(UINT64_MAX), 63);
    assert_int_equal(bits_log2_ceil_u64(UINT64_MAX), 64);
    assert_int_equal(bits_log2_ceil_u64(UINT64_C(1) << 63), 63);
    assert_int_equal(bits_log2_floor_u32(UINT32_MAX), 31);
    assert_int_equal(bits_log2_ceil_u32(UINT32_MAX), 32);
    assert_int_equal(bits_log2_ceil_u32(UINT32_C(1) << 31), 31);
}

static void every_mask_has_its_bits_and_no_other(void **state)
{
    (void)state;
    for (uint32_t first = 0; first <= 64; first++) {
        for (uint32_t count = 0; count <= 64 - first; count++) {
            uint64_t expected = 0;
            for (uint32_t i = first; i < first + count; i++)
                expected |= UINT64_C(1) << i;
            assert_true(bits_mask_u64(first, count) == expected);
            if (first + count <= 32)
                assert_int_equal(bits_mask_u32(first, count), expected);
        }
    }
}

static void rotation_moves_each_bit_round(void **state)
{
    (void)state;
    for (uint32_t bit = 0; bit < 64; bit++) {
        for (uint32_t count = 0; count <= 130; count++) {
            uint64_t expected = UINT64_C(1) << (bit + count) % 64;
            assert_true(bits_rotate_left_u64(UINT64_C(1) << bit, count) == expected);
            if (bit < 32) {
                uint32_t expected_u32 = UINT32_C(1) << (bit + count) % 32;
                assert_int_equal(bits_rotate_left_u32(UINT32_C(1) << bit, count), expected_u32);
            }
        }
    }
    assert_true(bits_rotate_left_u64(UINT64_C(0x0123456789abcdef), 8) ==
                UINT64_C(0x23456789abcdef01));
    assert_int_equal(bits_rotate_left_u32(0x01234567, 8), 0x23456701);
}

#ifdef QUARRY_DEBUG_CHECKS
static volatile uint32_t sink;

static void log_of_zero(void)
{
    sink = bits_log2_floor_u64(sink & 0);
}

static void mask_past_the_top(void)
{
    sink = (uint32_t)bits_mask_u64(60, 5);
}

static void misuse_dies_in_debug_builds(void **state)
{
    (void)state;
    struct death death;
    death_watch(log_of_zero, &death);
    assert_int_equal(death.signal, SIGABRT);
    assert_non_null(strstr(death.text, "bits_log2_floor_u64: assertion failed: word != 0"));
    death_watch(mask_past_the_top, &death);
    assert_int_equal(death.signal, SIGABRT);
    assert_non_null(strstr(death.text, "bits_mask_u64"));
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zero_has_no_bits_and_the_width_in_zeros),
        cmocka_unit_test(words_around_every_power_of_two_agree_with_loops),
        cmocka_unit_test(random_words_agree_with_loops),
        cmocka_unit_test(logarithms_of_the_extremes_are_exact),
        cmocka_unit_test(every_mask_has_its_bits_and_no_other),
        cmocka_unit_test(rotation_moves_each_bit_round),
#ifdef QUARRY_DEBUG_CHECKS
        cmocka_unit_test(misuse_dies_in_debug_builds),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
