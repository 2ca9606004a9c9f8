/*
 * The span map: which span a page belongs to, and the records of spans.
 */
#ifndef QUARRY_MEM_SPAN_MAP_H
#define QUARRY_MEM_SPAN_MAP_H

#include <base/base.h>
#include <mem/span.h>
#include <os/os.h>
#include <page/page.h>

/*
 * The three places that every malloc and free goes through are written in assembler, where the
 * compiler takes ten instructions more for the same: it knows no flags that survive a store. The
 * sanitizers, which must see each access, and other machines have the C beside it.
 */
#if defined(__x86_64__) && !OS_UNDER_TSAN && !OS_UNDER_ASAN
#define MEM_IN_ASSEMBLER 1
#else
#define MEM_IN_ASSEMBLER 0
#endif

/* Bytes from the map's base to its entries: room for the record of no span, all zero. */
#define MEM_MAP_HEAD_BYTES 4096u
/* Pages whose entries are committed at once: an OS page of them, 8 MiB of the lane. */
#define MEM_MAP_STEP_PAGES 1024u
/* Sizes of records: 128, 256 and 384 bytes. */
#define MEM_RECORD_SIZES      3u
#define MEM_RECORD_UNIT_BYTES 128u

struct mem_map {
    /* const after creation; the first two are what every free loads */
    char *base;
    uint64_t page_mask; /* of page numbers: entries - 1 */
    struct page_heap *pages;
    size_t reserved_bytes;
    size_t record_first; /* bytes from base to the records */

    struct os_mutex mutex;
    /* guarded by mutex */
    size_t record_end;       /* bytes from base: cut up to here */
    size_t record_committed; /* and committed up to here */
    mem_ref unused[MEM_RECORD_SIZES];
    uint64_t step_count[PAGE_LANES_MAX]; /* steps of each lane that are committed and charged */
    _Atomic uint64_t lane_pages[PAGE_LANES_MAX]; /* pages they cover; written under mutex */
};

/* The static initialiser of a map that has nothing: every address is found to be of no span. */
extern char mem_map_nothing[];
#define MEM_MAP_NONE                                                                               \
    {                                                                                              \
        .base = mem_map_nothing                                                                    \
    }

/*
 * `map`: all zero, or MEM_MAP_NONE. Errors: NO_ADDRESS, NO_MEMORY. Cost: address space, half a
 * thousandth of the page heap's and as much as a quarter of a percent for records.
 */
enum quarry_status mem_map_init(struct mem_map *map, struct page_heap *pages);
void mem_map_fini(struct mem_map *map);

static inline struct mem_span *mem_map_span(const struct mem_map *map, mem_ref ref)
{
    return (struct mem_span *)(void *)(map->base + (uint64_t)ref * 8);
}

static inline mem_ref mem_map_ref(const struct mem_map *map, const struct mem_span *span)
{
    return (mem_ref)((uint64_t)((const char *)span - map->base) / 8);
}

static inline _Atomic mem_ref *mem_map_entry(const struct mem_map *map, const void *address)
{
    uint64_t index = (uint64_t)address >> PAGE_SHIFT & map->page_mask;

    return (_Atomic mem_ref *)(void *)(map->base + MEM_MAP_HEAD_BYTES) + index;
}

/*
 * The span that an address would be of, or, for an address of no span, any span or the record of
 * none, whose owner and capacity are 0: mem_span_index tells. Any address will do. Cost: six
 * instructions.
 */
static inline struct mem_span *mem_map_find(const struct mem_map *map, const void *address)
{
    uint64_t ref; /* 64 bits wide, or the compiler would widen it once more */

#if MEM_IN_ASSEMBLER
    /* The load below; the compiler adds the head in an instruction of its own. */
    __asm__ volatile(
        "movl %c[head](%[base],%[index],4), %k[ref]"
        : [ref] "=r"(ref)
        : [base] "r"(map->base), [index] "r"((uint64_t)address >> PAGE_SHIFT & map->page_mask),
          [head] "i"(MEM_MAP_HEAD_BYTES));
#else
    /* Relaxed: whoever may ask about an object had it from somebody who knew of its span. */
    ref = atomic_load_relaxed_u32(mem_map_entry(map, address));
#endif
    return (struct mem_span *)(void *)(map->base + ref * 8);
}

/*
 * Makes entries of [page, page + count) of a lane writable, which is all that can fail in
 * mem_map_set. Errors: NO_MEMORY. Threads: any. Cost: a comparison, but once in 8 MiB.
 */
enum quarry_status mem_map_prepare(struct mem_map *map, struct page_lane *lane, const void *start,
                                   uint64_t page_count);
/* Enters or removes (0) a span. */
void mem_map_set(struct mem_map *map, const void *start, uint64_t page_count, mem_ref ref);
/* Forgets every span of a lane whose lifetime has ended, and gives back what its entries took. */
void mem_map_forget_lane(struct mem_map *map, struct page_lane *lane);

/* Bytes committed for entries and records. */
uint64_t mem_map_bytes(struct mem_map *map);

/* Bytes of the records of a class' spans. */
static inline size_t mem_map_record_bytes(uint32_t class)
{
    return size_align_up(mem_span_record_bytes(mem_size_class[class].word_count),
                         MEM_RECORD_UNIT_BYTES);
}
/* A record for spans of a class. NULL: no memory. Never reclaims. */
struct mem_span *mem_map_take_record(struct mem_map *map, uint32_t class);
void mem_map_give_record(struct mem_map *map, struct mem_span *span);

#endif
