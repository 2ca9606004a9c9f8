/*
 * The heap map: a picture of every chunk of a page heap, compact enough to write every second.
 *
 * A snapshot is a run of bytes that can be kept in a file, sent over a wire and read by a later
 * Quarry; docs/formats/heap-map.md says what each byte means. 16 bytes a chunk: 64 GiB of grown
 * chunks are 256 KiB.
 */
#ifndef QUARRY_PAGE_HEAP_MAP_H
#define QUARRY_PAGE_HEAP_MAP_H

#include <base/base.h>
#include <page/lane.h>
#include <page/owner.h>

struct page_heap;

#define PAGE_HEAP_MAP_VERSION 1u

/* Flags of an entry. */
enum page_heap_map_flag {
    PAGE_MAP_DENSE = 1 << 0,           /* in use at or above PAGE_DENSE_CHUNK_PAGES */
    PAGE_MAP_HAS_BACKED_FREE = 1 << 1, /* some page is free and backed */
};

/* Flags of a lane. */
enum page_heap_map_lane_flag {
    PAGE_MAP_LANE_IS_FILE_BACKED = 1 << 0,
};

/* The bytes that a snapshot needs now; more once a lane has grown. Threads: any. */
size_t page_heap_map_bytes(struct page_heap *heap);

/*
 * Writes a snapshot. Allocation goes on meanwhile: a lane's lock is held for a few chunks at a
 * time, so each entry is exact by itself, and entries are not all of one instant.
 *
 * `buffer`: `capacity` bytes; what is in it after an error means nothing.
 * Errors: TOO_LARGE (the snapshot is longer than `capacity`: ask page_heap_map_bytes again).
 * Threads: any, with no lock of the heap held. Cost: one pass over the bitmaps and the heads of the
 * runs; lanes cannot be destroyed until it is done.
 */
Q_NODISCARD enum quarry_status page_heap_map_write(struct page_heap *heap, void *buffer,
                                                   size_t capacity, size_t *ret_bytes);

/* ---- reading -------------------------------------------------------------------------------- */

/* A snapshot that was found sound. Borrows the bytes that were parsed. */
struct page_heap_map_view {
    uint32_t page_bytes;
    uint32_t chunk_pages;
    uint32_t chunk_count; /* entries */
    uint32_t lane_count;
    uint32_t owner_count;
    uint64_t wall_ns; /* when it was begun */
    uint64_t committed_bytes;
    uint64_t limit_bytes;
    uint64_t metadata_bytes; /* of the committed bytes: the heap's own structures */
    const uint8_t *lanes;
    const uint8_t *owners;
    const uint8_t *entries;
};

struct page_heap_map_lane {
    uint32_t id;
    uint32_t flags;        /* enum page_heap_map_lane_flag */
    uint32_t chunk_limit;  /* chunks that fit its address space */
    uint32_t grown_chunks; /* its entries */
    uint32_t first_entry;
    char name[PAGE_LANE_NAME_BYTES];
};

struct page_heap_map_owner {
    uint32_t id;
    char name[PAGE_OWNER_NAME_BYTES];
};

/* One chunk. Pages that are neither in use nor scavenged are free and backed. */
struct page_heap_map_entry {
    uint32_t chunk;     /* index in its lane */
    uint32_t in_use;    /* pages */
    uint32_t scavenged; /* pages */
    uint32_t lane;
    uint32_t flags;        /* enum page_heap_map_flag */
    uint32_t owner;        /* the one with the most pages; PAGE_OWNER_NONE when there is none */
    uint32_t largest_free; /* pages of the longest free run */
    uint32_t other;        /* pages in use that no owner holds: cached, or on their way back */
};

/*
 * Checks every byte of a snapshot; no length in it is trusted.
 *
 * `buffer`: borrowed by the view. `ret_view`: written on success.
 * Errors: CORRUPT (with the offset of what is wrong), UNSUPPORTED (another version).
 * Threads: any. Cost: O(bytes).
 */
Q_NODISCARD enum quarry_status page_heap_map_parse(const void *buffer, size_t bytes,
                                                   struct page_heap_map_view *ret_view,
                                                   struct quarry_error *error);

/*
 * Parts of a view that page_heap_map_parse has written, by index below its count. Names end in a
 * NUL; what else is in them nobody has checked. Cost: O(1), for a lane O(index).
 */
struct page_heap_map_lane page_heap_map_lane_at(const struct page_heap_map_view *view,
                                                uint32_t index);
struct page_heap_map_owner page_heap_map_owner_at(const struct page_heap_map_view *view,
                                                  uint32_t index);
struct page_heap_map_entry page_heap_map_entry_at(const struct page_heap_map_view *view,
                                                  uint32_t index);

#endif
