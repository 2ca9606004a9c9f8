/*
 * Where the bytes of a heap map are: shared by the writer and the reader. The picture is in
 * docs/formats/heap-map.md.
 */
#ifndef QUARRY_PAGE_HEAP_MAP_FORMAT_H
#define QUARRY_PAGE_HEAP_MAP_FORMAT_H

#include <page/heap_map.h>

#define MAP_MAGIC "QHEAPMAP"

#define MAP_HEADER_BYTES 64u
#define MAP_LANE_BYTES   48u
#define MAP_OWNER_BYTES  40u
#define MAP_ENTRY_BYTES  16u

/* Offsets in the header. */
enum {
    MAP_AT_MAGIC = 0,
    MAP_AT_VERSION = 8,
    MAP_AT_HEADER_BYTES = 10,
    MAP_AT_LANE_BYTES = 12,
    MAP_AT_OWNER_BYTES = 14,
    MAP_AT_ENTRY_BYTES = 16,
    MAP_AT_LANE_COUNT = 18,
    MAP_AT_OWNER_COUNT = 20,
    MAP_AT_CHUNK_PAGES = 22,
    MAP_AT_PAGE_BYTES = 24,
    MAP_AT_CHUNK_COUNT = 28,
    MAP_AT_WALL_NS = 32,
    MAP_AT_COMMITTED_BYTES = 40,
    MAP_AT_LIMIT_BYTES = 48,
    MAP_AT_METADATA_BYTES = 56,
};

/* In a lane. */
enum {
    MAP_LANE_AT_ID = 0,
    MAP_LANE_AT_FLAGS = 2,
    MAP_LANE_AT_GROWN_CHUNKS = 4,
    MAP_LANE_AT_CHUNK_LIMIT = 8,
    MAP_LANE_AT_ZERO = 12,
    MAP_LANE_AT_NAME = 16,
};

/* In an owner. */
enum {
    MAP_OWNER_AT_ID = 0,
    MAP_OWNER_AT_ZERO_U16 = 2,
    MAP_OWNER_AT_ZERO_U32 = 4,
    MAP_OWNER_AT_NAME = 8,
};

/* In an entry. */
enum {
    MAP_ENTRY_AT_CHUNK = 0,
    MAP_ENTRY_AT_IN_USE = 4,
    MAP_ENTRY_AT_SCAVENGED = 6,
    MAP_ENTRY_AT_LANE = 8,
    MAP_ENTRY_AT_FLAGS = 9,
    MAP_ENTRY_AT_OWNER = 10,
    MAP_ENTRY_AT_LARGEST_FREE = 12,
    MAP_ENTRY_AT_OTHER = 14,
};

Q_STATIC_ASSERT(PAGE_LANE_NAME_BYTES == 32 && MAP_LANE_AT_NAME + 32 == MAP_LANE_BYTES,
                "a lane's name ends its record");
Q_STATIC_ASSERT(PAGE_OWNER_NAME_BYTES == 32 && MAP_OWNER_AT_NAME + 32 == MAP_OWNER_BYTES,
                "an owner's name ends its record");
Q_STATIC_ASSERT(PAGE_LANES_MAX <= 256, "an entry has a byte for its lane");
Q_STATIC_ASSERT(PAGE_OWNERS_MAX <= UINT16_MAX, "an entry has two bytes for its owner");

#endif
