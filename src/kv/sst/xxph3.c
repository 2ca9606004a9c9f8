/*
 * XXPH3.
 *
 * Lengths fall into ranges, each with its own way through the bytes:
 *
 *     0 · 1–3 · 4–8 · 9–16     a word or two, one multiplication
 *     17–128                   pairs of 16 bytes from both ends, at most four
 *     129–240                  16 bytes at a time, the last 16 once more
 *     241 …                    stripes of 64 bytes into eight lanes
 *
 * Two things tell it from the final XXH3, and are all that may not be forgotten: a lane adds the
 * bytes of its own place (XXH3 adds them to its neighbour), and the avalanche is one multiplication
 * between two shifts at every length.
 *
 *     stripe:    lane[i] += data[i] + lo32(data[i] ^ secret[i]) * hi32(data[i] ^ secret[i])
 *     16 stripes, each with the secret 8 bytes further on, then the lanes are scrambled
 *
 * The secret is XXH3's; the seed is 0, which is all that the files want.
 *
 * Source: RocksDB 7.8's behaviour; vectors from there are in the tests.
 */
#include <kv/sst/xxph3.h>

#include <base/base.h>

#define PRIME32_1 UINT64_C(0x9e3779b1)
#define PRIME32_2 UINT64_C(0x85ebca77)
#define PRIME32_3 UINT64_C(0xc2b2ae3d)
#define PRIME64_1 UINT64_C(0x9e3779b185ebca87)
#define PRIME64_2 UINT64_C(0xc2b2ae3d27d4eb4f)
#define PRIME64_3 UINT64_C(0x165667b19e3779f9)
#define PRIME64_4 UINT64_C(0x85ebca77c2b2ae63)
#define PRIME64_5 UINT64_C(0x27d4eb2f165667c5)

#define SECRET_BYTES     192u
#define STRIPE_BYTES     64u
#define STRIPES_PER_TURN ((SECRET_BYTES - STRIPE_BYTES) / 8)
#define TURN_BYTES       (STRIPE_BYTES * STRIPES_PER_TURN)
#define LANES            8u

static const uint64_t secret_words[SECRET_BYTES / 8] = {
    0xbe4ba423396cfeb8, 0x1cad21f72c81017c, 0xdb979083e96dd4de, 0x1f67b3b7a4a44072,
    0x78e5c0cc4ee679cb, 0x2172ffcc7dd05a82, 0x8e2443f7744608b8, 0x4c263a81e69035e0,
    0xcb00c391bb52283c, 0xa32e531b8b65d088, 0x4ef90da297486471, 0xd8acdea946ef1938,
    0x3f349ce33f76faa8, 0x1d4f0bc7c7bbdcf9, 0x3159b4cd4be0518a, 0x647378d9c97e9fc8,
    0xc3ebd33483acc5ea, 0xeb6313faffa081c5, 0x49daf0b751dd0d17, 0x9e68d429265516d3,
    0xfca1477d58be162b, 0xce31d07ad1b8f88f, 0x280416958f3acb45, 0x7e404bbbcafbd7af,
};
#define SECRET ((const unsigned char *)secret_words)

static inline uint64_t word(const unsigned char *at)
{
    return endian_load_le_u64(at);
}

static inline uint64_t fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;

    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t avalanche(uint64_t hash)
{
    hash = (hash ^ (hash >> 37)) * PRIME64_3;
    return hash ^ (hash >> 32);
}

static inline uint64_t mix16(const unsigned char *at, const unsigned char *secret)
{
    return fold(word(at) ^ word(secret), word(at + 8) ^ word(secret + 8));
}

static inline uint64_t hash_to_16(const unsigned char *at, size_t count)
{
    if (count > 8) {
        uint64_t a = word(at) ^ secret_words[0], b = word(at + count - 8) ^ secret_words[1];
        return avalanche(count + a + b + fold(a, b));
    }
    if (count >= 4) {
        uint64_t key = endian_load_le_u32(at) | (uint64_t)endian_load_le_u32(at + count - 4) << 32;
        key ^= secret_words[0];
        uint64_t mix = count + (key ^ (key >> 51)) * PRIME32_1;
        return avalanche((mix ^ (mix >> 47)) * PRIME64_2);
    }
    if (count > 0) {
        uint64_t key = (uint64_t)at[0] | (uint64_t)at[count >> 1] << 8 |
                       (uint64_t)at[count - 1] << 16 | (uint64_t)count << 24;
        return avalanche((key ^ (uint32_t)secret_words[0]) * PRIME64_1);
    }
    return fold(secret_words[0], PRIME64_2);
}

static uint64_t hash_to_128(const unsigned char *at, size_t count)
{
    uint64_t sum = count * PRIME64_1;

    for (size_t i = (count - 1) / 32 + 1; i-- > 0;) {
        sum += mix16(at + 16 * i, SECRET + 32 * i);
        sum += mix16(at + count - 16 * (i + 1), SECRET + 32 * i + 16);
    }
    return avalanche(sum);
}

static uint64_t hash_to_240(const unsigned char *at, size_t count)
{
    uint64_t sum = count * PRIME64_1;

    for (size_t i = 0; i < 8; i++) {
        sum += mix16(at + 16 * i, SECRET + 16 * i);
    }
    sum = avalanche(sum);
    for (size_t i = 8; i < count / 16; i++) {
        sum += mix16(at + 16 * i, SECRET + 16 * (i - 8) + 3);
    }
    return avalanche(sum + mix16(at + count - 16, SECRET + 136 - 17));
}

static inline void add_stripe(uint64_t *lanes, const unsigned char *at, const unsigned char *secret)
{
    for (size_t i = 0; i < LANES; i++) {
        uint64_t data = word(at + 8 * i), key = data ^ word(secret + 8 * i);
        lanes[i] += data + (key & UINT32_MAX) * (key >> 32);
    }
}

static inline void add_stripes(uint64_t *lanes, const unsigned char *at, size_t stripe_count)
{
    for (size_t i = 0; i < stripe_count; i++) {
        add_stripe(lanes, at + STRIPE_BYTES * i, SECRET + 8 * i);
    }
}

static inline void scramble(uint64_t *lanes)
{
    for (size_t i = 0; i < LANES; i++) {
        lanes[i] ^= lanes[i] >> 47;
        lanes[i] = (lanes[i] ^ word(SECRET + SECRET_BYTES - STRIPE_BYTES + 8 * i)) * PRIME32_1;
    }
}

Q_NOINLINE static uint64_t hash_long(const unsigned char *at, size_t count)
{
    uint64_t lanes[LANES] = {PRIME32_3, PRIME64_1, PRIME64_2, PRIME64_3,
                             PRIME64_4, PRIME32_2, PRIME64_5, PRIME32_1};
    const unsigned char *end = at + count;
    uint64_t sum = count * PRIME64_1;

    for (; (size_t)(end - at) >= TURN_BYTES; at += TURN_BYTES) {
        add_stripes(lanes, at, STRIPES_PER_TURN);
        scramble(lanes);
    }
    add_stripes(lanes, at, (size_t)(end - at) / STRIPE_BYTES);
    if (count % STRIPE_BYTES != 0) {
        add_stripe(lanes, end - STRIPE_BYTES, SECRET + SECRET_BYTES - STRIPE_BYTES - 7);
    }
    for (size_t i = 0; i < LANES; i += 2) {
        sum += fold(lanes[i] ^ word(SECRET + 11 + 8 * i), lanes[i + 1] ^ word(SECRET + 19 + 8 * i));
    }
    return avalanche(sum);
}

uint64_t sst_xxph3_64(const void *data, size_t byte_count)
{
    if (Q_LIKELY(byte_count <= 16)) {
        return hash_to_16(data, byte_count);
    }
    if (byte_count <= 128) {
        return hash_to_128(data, byte_count);
    }
    return byte_count <= 240 ? hash_to_240(data, byte_count) : hash_long(data, byte_count);
}
