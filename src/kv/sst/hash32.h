/*
 * LevelDB's hash of 32 bits, which older filters and blocks' hash indexes are made with.
 */
#ifndef QUARRY_KV_SST_HASH32_H
#define QUARRY_KV_SST_HASH32_H

#include <stddef.h>
#include <stdint.h>

/* Of Bloom filters. */
#define SST_HASH32_BLOOM_SEED UINT32_C(0xbc9f1d34)

/*
 * LevelDB's, and RocksDB's, which takes the up to three bytes after the last whole word for signed
 * numbers: they agree on keys of ASCII.
 * `data`: borrowed. Errors: none. Threads: any. Cost: some 5 instructions for each 4 bytes.
 */
uint32_t sst_hash32(const void *data, size_t byte_count, uint32_t seed);
uint32_t sst_hash32_signed(const void *data, size_t byte_count, uint32_t seed);

#endif
