/* Loads and stores in both orders, at every alignment. */
#include <string.h>

#include <base/base.h>

#include "unit/base/cmocka_all.h"
#include "unit/base/random.h"

#define ROUNDS 2000

static const uint8_t bytes[] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef};

static void loads_read_bytes_in_the_named_order(void **state)
{
    (void)state;
    assert_int_equal(endian_load_le_u16(bytes), 0x2301);
    assert_int_equal(endian_load_be_u16(bytes), 0x0123);
    assert_int_equal(endian_load_le_u32(bytes), 0x67452301);
    assert_int_equal(endian_load_be_u32(bytes), 0x01234567);
    assert_true(endian_load_le_u64(bytes) == UINT64_C(0xefcdab8967452301));
    assert_true(endian_load_be_u64(bytes) == UINT64_C(0x0123456789abcdef));
}

static void stores_write_bytes_in_the_named_order(void **state)
{
    (void)state;
    uint8_t buffer[8];
    endian_store_le_u16(buffer, 0x2301);
    assert_memory_equal(buffer, bytes, 2);
    endian_store_be_u16(buffer, 0x0123);
    assert_memory_equal(buffer, bytes, 2);
    endian_store_le_u32(buffer, 0x67452301);
    assert_memory_equal(buffer, bytes, 4);
    endian_store_be_u32(buffer, 0x01234567);
    assert_memory_equal(buffer, bytes, 4);
    endian_store_le_u64(buffer, UINT64_C(0xefcdab8967452301));
    assert_memory_equal(buffer, bytes, 8);
    endian_store_be_u64(buffer, UINT64_C(0x0123456789abcdef));
    assert_memory_equal(buffer, bytes, 8);
}

/* Stores `value` at `offset` of a filled buffer, loads it back, and checks the bytes around. */
#define CHECK_ROUND_TRIP(ORDER, X, T, offset, value)                                               \
    do {                                                                                           \
        uint8_t buffer[24];                                                                        \
        uint8_t expected[24];                                                                      \
        memset(buffer, 0x5a, sizeof buffer);                                                       \
        endian_store_##ORDER##_##X(buffer + (offset), (T)(value));                                 \
        assert_true(endian_load_##ORDER##_##X(buffer + (offset)) == (T)(value));                   \
        memcpy(expected, buffer, sizeof expected);                                                 \
        memset(expected, 0x5a, (offset));                                                          \
        memset(expected + (offset) + sizeof(T), 0x5a, sizeof expected - (offset) - sizeof(T));     \
        assert_memory_equal(buffer, expected, sizeof expected);                                    \
    } while (0)

static void round_trips_hold_at_every_alignment_and_touch_nothing_else(void **state)
{
    (void)state;
    uint64_t random = 5;
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t value = random_width_u64(&random);
        for (size_t offset = 0; offset < 9; offset++) {
            CHECK_ROUND_TRIP(le, u16, uint16_t, offset, value);
            CHECK_ROUND_TRIP(be, u16, uint16_t, offset, value);
            CHECK_ROUND_TRIP(le, u32, uint32_t, offset, value);
            CHECK_ROUND_TRIP(be, u32, uint32_t, offset, value);
            CHECK_ROUND_TRIP(le, u64, uint64_t, offset, value);
            CHECK_ROUND_TRIP(be, u64, uint64_t, offset, value);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loads_read_bytes_in_the_named_order),
        cmocka_unit_test(stores_write_bytes_in_the_named_order),
        cmocka_unit_test(round_trips_hold_at_every_alignment_and_touch_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
