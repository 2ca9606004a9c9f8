/* xxHash's results are in files, so they are compared with published ones and with the
 * specification's XXH32 and XXH64 written out here. */
#include <string.h>

#include <base/base.h>

#include "unit/base/cmocka_all.h"
#include "unit/base/random.h"

/* The primes of the specification. */
#define P32_1 UINT32_C(0x9e3779b1)
#define P32_2 UINT32_C(0x85ebca77)
#define P32_3 UINT32_C(0xc2b2ae3d)
#define P32_4 UINT32_C(0x27d4eb2f)
#define P32_5 UINT32_C(0x165667b1)
#define P64_1 UINT64_C(0x9e3779b185ebca87)
#define P64_2 UINT64_C(0xc2b2ae3d27d4eb4f)
#define P64_3 UINT64_C(0x165667b19e3779f9)
#define P64_4 UINT64_C(0x85ebca77c2b2ae63)
#define P64_5 UINT64_C(0x27d4eb2f165667c5)

static uint32_t round_32(uint32_t lane, uint32_t word)
{
    return bits_rotate_left_u32(lane + word * P32_2, 13) * P32_1;
}

static uint32_t slow_xxh32(const uint8_t *at, size_t left, uint32_t seed)
{
    uint32_t hash = seed + P32_5;
    size_t length = left;
    if (left >= 16) {
        uint32_t lanes[4] = {seed + P32_1 + P32_2, seed + P32_2, seed, seed - P32_1};
        for (; left >= 16; left -= 16) {
            for (size_t i = 0; i < 4; i++, at += 4)
                lanes[i] = round_32(lanes[i], endian_load_le_u32(at));
        }
        hash = bits_rotate_left_u32(lanes[0], 1) + bits_rotate_left_u32(lanes[1], 7) +
               bits_rotate_left_u32(lanes[2], 12) + bits_rotate_left_u32(lanes[3], 18);
    }
    hash += (uint32_t)length;
    for (; left >= 4; left -= 4, at += 4)
        hash = bits_rotate_left_u32(hash + endian_load_le_u32(at) * P32_3, 17) * P32_4;
    for (; left > 0; left--, at++)
        hash = bits_rotate_left_u32(hash + *at * P32_5, 11) * P32_1;
    hash = (hash ^ hash >> 15) * P32_2;
    hash = (hash ^ hash >> 13) * P32_3;
    return hash ^ hash >> 16;
}

static uint64_t round_64(uint64_t lane, uint64_t word)
{
    return bits_rotate_left_u64(lane + word * P64_2, 31) * P64_1;
}

static uint64_t join_lanes_64(const uint64_t lanes[4])
{
    static const uint32_t turns[4] = {1, 7, 12, 18};
    uint64_t hash = 0;
    for (size_t i = 0; i < 4; i++)
        hash += bits_rotate_left_u64(lanes[i], turns[i]);
    for (size_t i = 0; i < 4; i++)
        hash = (hash ^ round_64(0, lanes[i])) * P64_1 + P64_4;
    return hash;
}

static uint64_t slow_xxh64(const uint8_t *at, size_t left, uint64_t seed)
{
    uint64_t hash = seed + P64_5;
    size_t length = left;
    if (left >= 32) {
        uint64_t lanes[4] = {seed + P64_1 + P64_2, seed + P64_2, seed, seed - P64_1};
        for (; left >= 32; left -= 32) {
            for (size_t i = 0; i < 4; i++, at += 8)
                lanes[i] = round_64(lanes[i], endian_load_le_u64(at));
        }
        hash = join_lanes_64(lanes);
    }
    hash += length;
    for (; left >= 8; left -= 8, at += 8) {
        hash ^= round_64(0, endian_load_le_u64(at));
        hash = bits_rotate_left_u64(hash, 27) * P64_1 + P64_4;
    }
    for (; left >= 4; left -= 4, at += 4) {
        hash ^= endian_load_le_u32(at) * P64_1;
        hash = bits_rotate_left_u64(hash, 23) * P64_2 + P64_3;
    }
    for (; left > 0; left--, at++)
        hash = bits_rotate_left_u64(hash ^ *at * P64_5, 11) * P64_1;
    hash = (hash ^ hash >> 33) * P64_2;
    hash = (hash ^ hash >> 29) * P64_3;
    return hash ^ hash >> 32;
}

static void published_vectors_hold(void **state)
{
    (void)state;
    assert_int_equal(hash_xxh32("", 0, 0), 0x02cc5d05);
    assert_int_equal(hash_xxh32("a", 1, 0), 0x550d7456);
    assert_int_equal(hash_xxh32("abc", 3, 0), 0x32d153ff);
    assert_true(hash_xxh64("", 0, 0) == UINT64_C(0xef46db3751d8e999));
    assert_true(hash_xxh64("a", 1, 0) == UINT64_C(0xd24ec4f1a98c6e5b));
    assert_true(hash_xxh64("abc", 3, 0) == UINT64_C(0x44bc2cf5ad770999));
    assert_true(hash_xxh3_u64("", 0, 0) == UINT64_C(0x2d06800538d394c2));
    assert_true(hash_xxh3_u64("a", 1, 0) == UINT64_C(0xe6c632b61e964e1f));
    assert_true(hash_xxh3_u64("abc", 3, 0) == UINT64_C(0x78af5f94892f3950));

    struct hash_u128 hash = hash_xxh3_u128("", 0, 0);
    assert_true(hash.high == UINT64_C(0x99aa06d3014798d8));
    assert_true(hash.low == UINT64_C(0x6001c324468d497f));
    hash = hash_xxh3_u128("abc", 3, 0);
    assert_true(hash.high == UINT64_C(0x06b05ab6733a6185));
    assert_true(hash.low == UINT64_C(0x78af5f94892f3950));
}

static void null_is_the_empty_string(void **state)
{
    (void)state;
    assert_int_equal(hash_xxh32(NULL, 0, 5), hash_xxh32("", 0, 5));
    assert_true(hash_xxh64(NULL, 0, 5) == hash_xxh64("", 0, 5));
    assert_true(hash_xxh3_u64(NULL, 0, 5) == hash_xxh3_u64("", 0, 5));
}

static void every_length_agrees_with_the_specification(void **state)
{
    (void)state;
    uint8_t data[400];
    uint64_t random = 12;
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)random_u64(&random);
    for (size_t length = 0; length <= sizeof data - 8; length++) {
        const uint8_t *at = data + length % 8;
        uint64_t seed = random_width_u64(&random);
        assert_true(hash_xxh64(at, length, seed) == slow_xxh64(at, length, seed));
        assert_int_equal(hash_xxh32(at, length, (uint32_t)seed),
                         slow_xxh32(at, length, (uint32_t)seed));
    }
}

/* Each of XXH3's length ranges (1-3, 4-8, 9-16, 17-128, 129-240, above) depends on every byte, on
 * the length and on the seed, and not on where the bytes are. */
static void xxh3_depends_on_bytes_length_and_seed_alone(void **state)
{
    (void)state;
    uint8_t data[300] = {0};
    uint8_t elsewhere[301];
    for (size_t length = 1; length < sizeof data; length++) {
        uint64_t hash = hash_xxh3_u64(data, length, 1);
        assert_true(hash != hash_xxh3_u64(data, length, 2));
        assert_true(hash != hash_xxh3_u64(data, length - 1, 1));
        data[length - 1] = 1;
        assert_true(hash != hash_xxh3_u64(data, length, 1));
        memcpy(elsewhere + 1, data, length);
        assert_true(hash_xxh3_u64(elsewhere + 1, length, 1) == hash_xxh3_u64(data, length, 1));
        data[length - 1] = 0;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_vectors_hold),
        cmocka_unit_test(null_is_the_empty_string),
        cmocka_unit_test(every_length_agrees_with_the_specification),
        cmocka_unit_test(xxh3_depends_on_bytes_length_and_seed_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
