/*
 * The frame of a table: handles, blocks' trailers, footers.
 */
#ifndef QUARRY_KV_SST_FORMAT_H
#define QUARRY_KV_SST_FORMAT_H

#include <quarry/kv.h>

#include <base/base.h>
#include <kv/sst/checksum.h>

/* Behind each block: how it is compressed, and a checksum. */
#define SST_TRAILER_BYTES 5u
/* A handle: two varints. */
#define SST_HANDLE_BYTES_MAX 20u
/* Footers: LevelDB's and format version 0; all later ones. */
#define SST_FOOTER_OLD_BYTES   48u
#define SST_FOOTER_BYTES       53u
#define SST_FORMAT_VERSION_MAX 5u

/* Where a block is: its payload, without the trailer. */
struct sst_handle {
    uint64_t offset;
    uint64_t byte_count;
};

/* Returns: bytes written, up to SST_HANDLE_BYTES_MAX. */
size_t sst_handle_put(uint8_t *room, struct sst_handle handle);
/* Returns: bytes read; 0: they make no handle. */
size_t sst_handle_get(const char *at, const char *end, struct sst_handle *ret_handle);
/* Whether a block and its trailer lie within the first `limit` bytes, and have a possible size. */
bool sst_handle_is_within(struct sst_handle handle, uint64_t limit);

struct sst_footer {
    struct sst_handle metaindex, index;
    uint32_t format_version;
    uint8_t checksum_type;
    bool is_leveldb;     /* the old magic number */
    uint32_t byte_count; /* of the footer */
};

/* Returns: bytes written, at most SST_FOOTER_BYTES. */
size_t sst_footer_put(char *room, const struct sst_footer *footer);
/*
 * `bytes`: the last ones of the file, up to SST_FOOTER_BYTES. `ret_fault`: what is wrong, static.
 * Errors: QUARRY_CORRUPT, QUARRY_UNSUPPORTED: `ret_fault` says why.
 */
enum quarry_status sst_footer_get(const char *bytes, size_t byte_count,
                                  struct sst_footer *ret_footer, const char **ret_fault);

/* Keys of the metaindex. */
#define SST_META_PROPERTIES         "rocksdb.properties"
#define SST_META_PROPERTIES_OLD     "rocksdb.stats"
#define SST_META_RANGE_DELETES      "rocksdb.range_del"
#define SST_META_DICTIONARY         "rocksdb.compression_dict"
#define SST_META_FULL_FILTER        "fullfilter.rocksdb.BuiltinBloomFilter"
#define SST_META_PARTITIONED_FILTER "partitionedfilter.rocksdb.BuiltinBloomFilter"
#define SST_META_POLICY_FILTER      "filter." /* and the policy's name */
#define SST_META_LEVELDB_FILTER     "filter.leveldb.BuiltinBloomFilter2"

#endif
