/* Checked and saturating arithmetic against the same sums in 128 bits. */
#include <base/base.h>

#include "unit/base/cmocka_all.h"
#include "unit/base/random.h"

#define ROUNDS 20000

/* Values at which each type's arithmetic turns, as 64-bit patterns. */
static const uint64_t corners[] = {
    0,
    1,
    2,
    3,
    10,
    0x7fffffff,
    0x80000000,
    0xfffffffe,
    0xffffffff,
    0x100000000,
    0x100000001,
    INT64_MAX - 1,
    INT64_MAX,
    (uint64_t)INT64_MAX + 1,
    (uint64_t)INT64_MAX + 2,
    UINT64_MAX - 1,
    UINT64_MAX,
};

#define CORNER_COUNT (sizeof corners / sizeof corners[0])

#define UNTOUCHED 77

/* For each operation: fits exactly when the wide result is in the type, with that value. */
#define CHECK_OP(X, T, MIN, MAX, OP, SIGN, a, b)                                                   \
    do {                                                                                           \
        __int128 wide = (__int128)(T)(a)SIGN(__int128)(T)(b);                                      \
        bool expected = wide >= (__int128)(MIN) && wide <= (__int128)(MAX);                        \
        T value = UNTOUCHED;                                                                       \
        assert_int_equal(checked_##OP##_##X((T)(a), (T)(b), &value), expected);                    \
        assert_true(value == (expected ? (T)wide : (T)UNTOUCHED));                                 \
    } while (0)

/* The product of two 64-bit numbers does not fit a signed 128-bit one: checked by division. */
#define CHECK_MUL_UNSIGNED(X, T, MAX, a, b)                                                        \
    do {                                                                                           \
        bool expected = (T)(b) == 0 || (T)(a) <= (T)(MAX) / (T)(b);                                \
        T value = UNTOUCHED;                                                                       \
        assert_int_equal(checked_mul_##X((T)(a), (T)(b), &value), expected);                       \
        assert_true(value == (expected ? (T)((T)(a) * (T)(b)) : (T)UNTOUCHED));                    \
    } while (0)

static void check_pair(uint64_t a, uint64_t b)
{
    CHECK_OP(size, size_t, 0, SIZE_MAX, add, +, a, b);
    CHECK_OP(size, size_t, 0, SIZE_MAX, sub, -, a, b);
    CHECK_MUL_UNSIGNED(size, size_t, SIZE_MAX, a, b);
    CHECK_OP(u64, uint64_t, 0, UINT64_MAX, add, +, a, b);
    CHECK_OP(u64, uint64_t, 0, UINT64_MAX, sub, -, a, b);
    CHECK_MUL_UNSIGNED(u64, uint64_t, UINT64_MAX, a, b);
    CHECK_OP(u32, uint32_t, 0, UINT32_MAX, add, +, a, b);
    CHECK_OP(u32, uint32_t, 0, UINT32_MAX, sub, -, a, b);
    CHECK_OP(u32, uint32_t, 0, UINT32_MAX, mul, *, a, b);
    CHECK_OP(i64, int64_t, INT64_MIN, INT64_MAX, add, +, a, b);
    CHECK_OP(i64, int64_t, INT64_MIN, INT64_MAX, sub, -, a, b);
    CHECK_OP(i64, int64_t, INT64_MIN, INT64_MAX, mul, *, a, b);
}

static void check_saturating_pair(uint64_t a, uint64_t b)
{
    unsigned __int128 sum = (unsigned __int128)a + b;
    unsigned __int128 product = (unsigned __int128)a * b;
    assert_true(sat_add_u64(a, b) == (sum > UINT64_MAX ? UINT64_MAX : (uint64_t)sum));
    assert_true(sat_sub_u64(a, b) == (a < b ? 0 : a - b));
    assert_true(sat_mul_u64(a, b) == (product > UINT64_MAX ? UINT64_MAX : (uint64_t)product));
}

static void every_pair_of_corners_is_right_in_every_type(void **state)
{
    (void)state;
    for (size_t i = 0; i < CORNER_COUNT; i++) {
        for (size_t k = 0; k < CORNER_COUNT; k++) {
            check_pair(corners[i], corners[k]);
            check_saturating_pair(corners[i], corners[k]);
        }
    }
}

static void random_pairs_are_right_in_every_type(void **state)
{
    (void)state;
    uint64_t random = 2;
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t a = random_width_u64(&random);
        uint64_t b = random_width_u64(&random);
        check_pair(a, b);
        check_saturating_pair(a, b);
        check_pair(0 - a, b);
        check_pair(0 - a, 0 - b);
    }
}

static void the_first_overflow_of_each_operation_is_caught(void **state)
{
    (void)state;
    uint64_t u64 = UNTOUCHED;
    assert_true(checked_add_u64(UINT64_MAX, 0, &u64));
    assert_true(u64 == UINT64_MAX);
    assert_false(checked_add_u64(UINT64_MAX, 1, &u64));
    assert_true(u64 == UINT64_MAX);
    assert_true(checked_sub_u64(5, 5, &u64));
    assert_true(u64 == 0);
    assert_false(checked_sub_u64(5, 6, &u64));
    int64_t i64 = UNTOUCHED;
    assert_false(checked_mul_i64(INT64_MIN, -1, &i64));
    assert_false(checked_sub_i64(0, INT64_MIN, &i64));
    assert_int_equal(i64, UNTOUCHED);
    assert_true(checked_sub_i64(-1, INT64_MIN, &i64));
    assert_true(i64 == INT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pair_of_corners_is_right_in_every_type),
        cmocka_unit_test(random_pairs_are_right_in_every_type),
        cmocka_unit_test(the_first_overflow_of_each_operation_is_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
