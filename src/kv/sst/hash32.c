/*
 * LevelDB's hash of 32 bits: a word at a time by one multiplication and one shift, and what is left
 * at the end by bytes. Its two forms differ in those bytes alone.
 */
#include <kv/sst/hash32.h>

#include <base/base.h>

#define FACTOR UINT32_C(0xc6a4a793)

static inline uint32_t words(const unsigned char **at, size_t byte_count, uint32_t seed)
{
    uint32_t hash = seed ^ ((uint32_t)byte_count * FACTOR);

    for (; byte_count >= 4; byte_count -= 4, *at += 4) {
        hash = (hash + endian_load_le_u32(*at)) * FACTOR;
        hash ^= hash >> 16;
    }
    return hash;
}

static inline uint32_t finish(uint32_t hash)
{
    hash *= FACTOR;
    return hash ^ (hash >> 24);
}

uint32_t sst_hash32(const void *data, size_t byte_count, uint32_t seed)
{
    const unsigned char *at = data;
    uint32_t hash = words(&at, byte_count, seed);

    for (size_t i = byte_count % 4; i-- > 0;) {
        hash += (uint32_t)at[i] << (8 * i);
    }
    return byte_count % 4 == 0 ? hash : finish(hash);
}

uint32_t sst_hash32_signed(const void *data, size_t byte_count, uint32_t seed)
{
    const unsigned char *at = data;
    uint32_t hash = words(&at, byte_count, seed);

    for (size_t i = byte_count % 4; i-- > 0;) {
        hash += (uint32_t)(int32_t)(int8_t)at[i] << (8 * i);
    }
    return byte_count % 4 == 0 ? hash : finish(hash);
}
