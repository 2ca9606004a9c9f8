/*
 * The span map: one load from a page to its span.
 *
 *   base         head: 4 KiB of zeros, the record of no span
 *   + 4 KiB      entries, 4 bytes for each page of the page heap's address space
 *   + …          records, from 128 bytes
 *
 * An entry is found by the page's number modulo the number of entries, a power of two: no address
 * of the heap shares one with another of the heap, and an address that is not of the heap finds an
 * entry all the same. It is told apart by what it finds there: the index of the object it would be
 * is not below the span's capacity. So a free needs no bounds check, and no pointer whatever makes
 * it fault.
 *
 * For that the whole map can be read from the beginning; what was never written reads as zero, the
 * record of no span. Entries become writable, and are charged, as lanes grow. Records come from
 * lists of unused ones and are never unmapped, so that one whose span is gone can still be looked
 * at by who is too late.
 *
 * Compared (docs/decisions/0008): a header found by masking the address to a 4 MiB chunk takes
 * three instructions more; one at the beginning of each span takes two fewer, but wants spans
 * aligned to their length and lies within reach of every overflow.
 *
 * Locking: mutex, under which committing makes a system call each 8 MiB. Cost: 0.05 % for entries,
 * 1.6 % of a page for the record of a span of 48 bytes and more.
 */
#include <mem/span_map.h>

#include <string.h>

/* Bytes of records committed at once. */
#define RECORD_STEP_BYTES Q_KIB(64)
/* A ref has 32 bits and counts 8 bytes. */
#define RECORD_SPACE_MAX_BYTES Q_GIB(24)
/* Address space for records: what spans of one page in a quarter of the heap's address space need.
 */
#define RECORD_BYTES_PER_PAGE 32u

Q_ALIGNED(Q_CACHE_LINE_BYTES) char mem_map_nothing[MEM_MAP_HEAD_BYTES + sizeof(mem_ref)];

enum quarry_status mem_map_init(struct mem_map *map, struct page_heap *pages)
{
    uint64_t page_count = pages->space_bytes >> PAGE_SHIFT;
    uint64_t entry_count = (uint64_t)1 << bits_log2_ceil_u64(page_count);
    uint64_t record_first = size_align_up_u64(MEM_MAP_HEAD_BYTES + entry_count * sizeof(mem_ref),
                                              pages->os->page_bytes);
    uint64_t space_bytes = size_min_u64(page_count * RECORD_BYTES_PER_PAGE, RECORD_SPACE_MAX_BYTES);
    void *base;

    enum quarry_status status = os_reserve_zeros(pages->os, record_first + space_bytes, &base);
    if (status != QUARRY_OK) {
        return status;
    }
    map->pages = pages;
    map->reserved_bytes = record_first + space_bytes;
    map->record_first = record_first;
    map->record_end = record_first;
    map->record_committed = record_first;
    os_mutex_init(&map->mutex, OS_RANK_MEM_MAP, pages->slot);
    /* In this order: somebody may already be freeing what is not of this heap. */
    map->base = base;
    atomic_compiler_barrier();
    map->page_mask = entry_count - 1;
    return QUARRY_OK;
}

static uint64_t map_bytes_locked(struct mem_map *map)
{
    uint64_t bytes = map->record_committed - map->record_first;

    for (uint32_t id = 0; id < PAGE_LANES_MAX; id++) {
        bytes += map->step_count[id] * MEM_MAP_STEP_PAGES * sizeof(mem_ref);
    }
    return bytes;
}

uint64_t mem_map_bytes(struct mem_map *map)
{
    os_mutex_lock(&map->mutex);
    uint64_t bytes = map_bytes_locked(map);
    os_mutex_unlock(&map->mutex);
    return bytes;
}

void mem_map_fini(struct mem_map *map)
{
    char *base = map->base;

    /* In this order, as above: frees of what is not of this heap may go on. */
    map->page_mask = 0;
    atomic_compiler_barrier();
    map->base = mem_map_nothing;
    if (os_release(map->pages->os, base, map->reserved_bytes) == QUARRY_OK) {
        page_heap_release_metadata(map->pages, map_bytes_locked(map));
    }
}

/* ---- entries -------------------------------------------------------------------------------- */

/* Where the entries of a step begin: at an OS page, for the head is one. */
static char *map_entries(struct mem_map *map, struct page_lane *lane, uint64_t page)
{
    return (char *)(uintptr_t)mem_map_entry(map, page_lane_address(lane, page));
}

Q_COLD static enum quarry_status map_extend(struct mem_map *map, struct page_lane *lane,
                                            uint64_t page_end)
{
    const uint64_t step_bytes = MEM_MAP_STEP_PAGES * sizeof(mem_ref);
    enum quarry_status status = QUARRY_OK;

    os_mutex_lock(&map->mutex);
    while (status == QUARRY_OK && map->step_count[lane->id] * MEM_MAP_STEP_PAGES < page_end) {
        uint64_t page = map->step_count[lane->id] * MEM_MAP_STEP_PAGES;
        /* A zone is a multiple of a step, and the entries of one lie together. */
        char *entries = map_entries(map, lane, page);
        status = page_heap_commit_metadata(map->pages, entries, step_bytes);
        if (status == QUARRY_OK) {
            map->step_count[lane->id]++;
            /* Release: pairs with the acquire in mem_map_prepare. */
            atomic_store_release_u64(&map->lane_pages[lane->id], page + MEM_MAP_STEP_PAGES);
        }
    }
    os_mutex_unlock(&map->mutex);
    return status;
}

enum quarry_status mem_map_prepare(struct mem_map *map, struct page_lane *lane, const void *start,
                                   uint64_t page_count)
{
    uint64_t page_end = page_lane_page(lane, start) + page_count;

    /* Acquire: pairs with the release in map_extend. */
    if (Q_LIKELY(page_end <= atomic_load_acquire_u64(&map->lane_pages[lane->id]))) {
        return QUARRY_OK;
    }
    return map_extend(map, lane, page_end);
}

void mem_map_set(struct mem_map *map, const void *start, uint64_t page_count, mem_ref ref)
{
    const char *address = start;

    for (uint64_t i = 0; i < page_count; i++) {
        /* Relaxed: see mem_map_find. */
        atomic_store_relaxed_u32(mem_map_entry(map, address + (i << PAGE_SHIFT)), ref);
    }
}

void mem_map_forget_lane(struct mem_map *map, struct page_lane *lane)
{
    const uint64_t step_bytes = MEM_MAP_STEP_PAGES * sizeof(mem_ref);

    os_mutex_lock(&map->mutex);
    for (uint64_t step = 0; step < map->step_count[lane->id]; step++) {
        char *entries = map_entries(map, lane, step * MEM_MAP_STEP_PAGES);
        if (os_decommit(map->pages->os, entries, step_bytes) != QUARRY_OK) {
            /* Locked pages, say: they stay, charged to nobody until the lane grows there again. */
            memset(entries, 0, step_bytes);
        }
    }
    page_heap_release_metadata(map->pages, map->step_count[lane->id] * step_bytes);
    map->step_count[lane->id] = 0;
    atomic_store_release_u64(&map->lane_pages[lane->id], 0);
    os_mutex_unlock(&map->mutex);
}

/* ---- records -------------------------------------------------------------------------------- */

/* The list of unused records as long as those of a class. */
static mem_ref *unused_list(struct mem_map *map, uint32_t class)
{
    return &map->unused[mem_map_record_bytes(class) / MEM_RECORD_UNIT_BYTES - 1];
}

static struct mem_span *record_cut(struct mem_map *map, size_t bytes) Q_REQUIRES(&map->mutex)
{
    if (map->record_committed - map->record_end < bytes) {
        if (map->record_committed + RECORD_STEP_BYTES > map->reserved_bytes ||
            page_heap_commit_metadata(map->pages, map->base + map->record_committed,
                                      RECORD_STEP_BYTES) != QUARRY_OK) {
            return NULL;
        }
        map->record_committed += RECORD_STEP_BYTES;
    }
    struct mem_span *span =
        (struct mem_span *)(void *)(map->base + map->record_end + sizeof(struct mem_span_cold));
    map->record_end += bytes;
    return span;
}

struct mem_span *mem_map_take_record(struct mem_map *map, uint32_t class)
{
    mem_ref *unused = unused_list(map, class);
    struct mem_span *span;

    os_mutex_lock(&map->mutex);
    if (*unused != 0) {
        span = mem_map_span(map, *unused);
        *unused = mem_span_cold(span)->next;
    } else {
        span = record_cut(map, mem_map_record_bytes(class));
    }
    if (span != NULL) {
        mem_span_cold(span)->class = (uint8_t) class;
    }
    os_mutex_unlock(&map->mutex);
    return span;
}

void mem_map_give_record(struct mem_map *map, struct mem_span *span)
{
    mem_ref *unused = unused_list(map, mem_span_class(span));

    Q_ASSERT(mem_span_state(span) == MEM_SPAN_UNUSED);
    os_mutex_lock(&map->mutex);
    mem_span_cold(span)->next = *unused;
    *unused = mem_map_ref(map, span);
    os_mutex_unlock(&map->mutex);
}
