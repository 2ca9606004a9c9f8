/*
 * XXPH3: the hash behind RocksDB's Bloom filters, a form of XXH3 from before that was final.
 *
 * It differs from XXH3 at every length, and is in the files for good.
 */
#ifndef QUARRY_KV_SST_XXPH3_H
#define QUARRY_KV_SST_XXPH3_H

#include <stddef.h>
#include <stdint.h>

/*
 * 64 bits. `data`: borrowed, `byte_count` bytes. Errors: none. Threads: any.
 * Cost: some 25 instructions up to 16 bytes, then about one a byte.
 */
uint64_t sst_xxph3_64(const void *data, size_t byte_count);

#endif
