/*
 * Checksums of blocks, as a table's footer names them.
 */
#ifndef QUARRY_KV_SST_CHECKSUM_H
#define QUARRY_KV_SST_CHECKSUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of the footer's first byte. */
enum sst_checksum_type {
    SST_CHECKSUM_NONE = 0,
    SST_CHECKSUM_CRC32C = 1,
    SST_CHECKSUM_XXH32 = 2,
    SST_CHECKSUM_XXH64 = 3,
    SST_CHECKSUM_XXH3 = 4,
};

bool sst_checksum_is_known(uint8_t type);

/*
 * The checksum of a block as it stands in its trailer.
 *
 * `type`: a known one. `block`: borrowed: the payload of `payload_bytes` and, behind it, the byte
 * that says how it is compressed. Returns: 0 for NONE. Errors: none. Threads: any.
 */
uint32_t sst_checksum(enum sst_checksum_type type, const void *block, size_t payload_bytes);

#endif
