/*
 * Checksums of blocks.
 *
 *     | payload | compression, 1 | checksum, 4 |
 *      \_________________________/ covered
 *
 * Three types are hashes of payload and byte together. XXH3 is one of the payload alone, with the
 * byte multiplied in afterwards: RocksDB hashes a block whose last byte is elsewhere in memory.
 */
#include <kv/sst/checksum.h>

#include <base/base.h>

#define LAST_BYTE_FACTOR UINT32_C(0x6b9083d9)

bool sst_checksum_is_known(uint8_t type)
{
    return type <= SST_CHECKSUM_XXH3;
}

uint32_t sst_checksum(enum sst_checksum_type type, const void *block, size_t payload_bytes)
{
    uint8_t last = ((const uint8_t *)block)[payload_bytes];

    switch (type) {
    case SST_CHECKSUM_NONE:
        return 0;
    case SST_CHECKSUM_CRC32C:
        return crc32c_mask(crc32c_value(block, payload_bytes + 1));
    case SST_CHECKSUM_XXH32:
        return hash_xxh32(block, payload_bytes + 1, 0);
    case SST_CHECKSUM_XXH64:
        return (uint32_t)hash_xxh64(block, payload_bytes + 1, 0);
    case SST_CHECKSUM_XXH3:
        return (uint32_t)hash_xxh3_u64(block, payload_bytes, 0) ^ (last * LAST_BYTE_FACTOR);
    }
    Q_UNREACHABLE();
}
