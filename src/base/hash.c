/*
 * xxHash behind names of our own.
 *
 * The library's header can also be included as inline code. That would save the call, and
 * compile XXH3 for the baseline CPU into every user; the call to the shared library is kept until a
 * profile asks otherwise.
 *
 * Invariants: 1. the results are those of the specification, on every CPU and in every version:
 * they are in files.
 *
 * Locking: none.
 *
 * Source: the xxHash specification (XXH32, XXH64) and libxxhash 0.8 (XXH3, stable since 0.8.0).
 */
#include <base/hash.h>

#include <xxhash.h>

#include <base/assert.h>

Q_STATIC_ASSERT(XXH_VERSION_NUMBER >= 800, "XXH3's results are stable since 0.8.0");

uint64_t hash_xxh3_u64(const void *data, size_t byte_count, uint64_t seed)
{
    Q_DCHECK(data != NULL || byte_count == 0);
    return XXH3_64bits_withSeed(data, byte_count, seed);
}

struct hash_u128 hash_xxh3_u128(const void *data, size_t byte_count, uint64_t seed)
{
    Q_DCHECK(data != NULL || byte_count == 0);
    XXH128_hash_t hash = XXH3_128bits_withSeed(data, byte_count, seed);
    return (struct hash_u128){.low = hash.low64, .high = hash.high64};
}

uint64_t hash_xxh64(const void *data, size_t byte_count, uint64_t seed)
{
    Q_DCHECK(data != NULL || byte_count == 0);
    return XXH64(data, byte_count, seed);
}

uint32_t hash_xxh32(const void *data, size_t byte_count, uint32_t seed)
{
    Q_DCHECK(data != NULL || byte_count == 0);
    return XXH32(data, byte_count, seed);
}
