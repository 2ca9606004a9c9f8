/*
 * Hashes that are not secret: xxHash's, as file formats name them.
 *
 * All are seeded. A table whose keys come from outside takes its seed at random at start-up; a file
 * format fixes it. RocksDB's Bloom filters use a hash that looks like XXH3 and is not: see kv.
 *
 * `data`: borrowed, `byte_count` bytes, any alignment; may be NULL when that is 0.
 * Errors: none. Threads: any. Cost: O(byte_count); XXH3 is the fastest at every
 * length, XXH32 the slowest. No allocation.
 */
#ifndef QUARRY_BASE_HASH_H
#define QUARRY_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

/* XXH3, 64 bits: for everything new. */
uint64_t hash_xxh3_u64(const void *data, size_t byte_count, uint64_t seed);
/* XXH3, 128 bits: where equal hashes are to mean equal bytes. */
struct hash_u128 {
    uint64_t low, high;
};
struct hash_u128 hash_xxh3_u128(const void *data, size_t byte_count, uint64_t seed);
/* XXH64: where a format says so. */
uint64_t hash_xxh64(const void *data, size_t byte_count, uint64_t seed);
/* XXH32: where a format says so (LZ4 frames, RocksDB's checksum type 2). */
uint32_t hash_xxh32(const void *data, size_t byte_count, uint32_t seed);

#endif
