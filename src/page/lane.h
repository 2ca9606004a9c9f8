/*
 * Lanes: a page allocator of its own, over its own range of addresses, for one lifetime.
 *
 * Everything in a lane is expected to die together. Runs of different lanes never share a chunk, so
 * when a lane's lifetime ends, all of its memory goes back whole.
 */
#ifndef QUARRY_PAGE_LANE_H
#define QUARRY_PAGE_LANE_H

#include <base/base.h>
#include <os/os.h>
#include <page/owner.h>
#include <page/scavenger.h>
#include <page/tree.h>

struct page_heap;

#define PAGE_LANE_NAME_BYTES 32u

/* Address space is handed to lanes in zones of 1 GiB, so that an address names its lane by a table.
 */
#define PAGE_ZONE_SHIFT 30
#define PAGE_ZONE_BYTES ((uint64_t)1 << PAGE_ZONE_SHIFT)
#define PAGE_ZONES_MAX  16384u

/* The largest lane: run entries in page caches keep a page number in 32 bits. */
#define PAGE_LANE_PAGES_MAX ((uint64_t)1 << 32)

/* Largest alignment of a run: a zone, to which lanes are aligned. */
#define PAGE_ALIGN_PAGES_MAX (PAGE_ZONE_BYTES >> PAGE_SHIFT)

/*
 * The head of a run, one word for each page of the lane and 0 but for the first page of a run in
 * use:
 *
 *   31 ............. 12  11 .... 0
 *   pages                owner         pages = 2^20 - 1: the word of the second page holds the
 *                                      count, which for a reserved run is below 2^20 - 1
 *
 * The count is on top so that one that does not fit leaves 32 bits, and equals no head.
 */
#define PAGE_HEAD_OWNER_BITS 12
#define PAGE_HEAD_PAGES_LONG ((uint32_t)UINT32_MAX >> PAGE_HEAD_OWNER_BITS)
Q_STATIC_ASSERT(PAGE_OWNERS_MAX == 1 << PAGE_HEAD_OWNER_BITS, "an owner fits a head");

static inline uint64_t page_head_make(uint32_t owner, uint64_t page_count)
{
    return page_count << PAGE_HEAD_OWNER_BITS | owner;
}

static inline uint32_t page_head_owner(uint32_t head)
{
    return head & (PAGE_OWNERS_MAX - 1);
}

/* PAGE_HEAD_PAGES_LONG: see the second page's word. */
static inline uint32_t page_head_pages(uint32_t head)
{
    return head >> PAGE_HEAD_OWNER_BITS;
}

/* Pieces of a lane that a scavenger has taken out and is giving back, without the lane's lock. */
#define PAGE_IN_FLIGHT_MAX 8u

struct page_in_flight {
    uint64_t page;
    uint64_t page_count; /* 0: slot free */
};

struct page_lane_counters {
    uint64_t tree_alloc_count;
    uint64_t tree_free_count;
    uint64_t refill_count;
    uint64_t grow_count;
};

struct page_lane {
    /* const after creation */
    struct page_heap *heap;
    uint64_t serial; /* of all lanes this process ever had */
    uint32_t id;
    ptrdiff_t tls_offset; /* of a thread's entry for the lane, see page_tls_lane_of */
    char name[PAGE_LANE_NAME_BYTES];
    char *base;
    uint64_t reserved_bytes; /* whole zones */
    uint64_t reserved_pages;
    uint32_t chunk_limit; /* chunks that fit */
    bool is_file_backed;
    bool wants_huge_pages;
    struct page_tree_layout layout;
    char *metadata;
    _Atomic uint32_t *head; /* one a page; words of a run belong to its holder */

    _Atomic uint32_t pin_count; /* those who use the lane without owning its lifetime */

    struct os_mutex grow_mutex;
    /* guarded by grow_mutex */
    uint32_t grown_chunks;
    struct os_file file;

    struct os_mutex mutex Q_ALIGNED(Q_CACHE_LINE_BYTES);
    /* guarded by mutex */
    struct page_tree tree;
    uint64_t metadata_bytes;  /* committed */
    uint64_t peak_pages;      /* most pages allocated in this generation */
    uint64_t last_peak_pages; /* and in the one before */
    struct page_in_flight in_flight[PAGE_IN_FLIGHT_MAX];
    uint64_t in_flight_pages;
    uint64_t collapsing_page; /* first of the half that becomes a huge page; PAGE_NONE: none */
    uint32_t unbacking_count; /* threads in page_lane_unback: nothing begins to collapse */
    bool is_ending;           /* scavengers keep out */
    bool is_foreign;          /* in the child of a fork: the file is the parent's */
    bool is_adopting; /* file-backed and opened, its old pages not yet told apart: no allocation */
    struct page_lane_counters counters;
};

/* What a lane is to be. Zero means the default of each. */
struct page_lane_options {
    const char *name;        /* 1 to 31 bytes */
    uint64_t reserved_bytes; /* rounded up to whole zones; 0: the heap's default */
    const char *file_path;   /* backs the lane with this file instead of anonymous memory */
    bool wants_huge_pages;   /* as in quarry_lane_options; not with a file */
};

/* A run of pages just allocated, or why there is none; returned in two registers. */
struct page_run {
    void *base; /* NULL: see status */
    enum quarry_status status;
    bool is_zero; /* every byte is known to be zero */
};

static inline void *page_lane_address(const struct page_lane *lane, uint64_t page)
{
    return lane->base + (page << PAGE_SHIFT);
}

static inline uint64_t page_lane_page(const struct page_lane *lane, const void *address)
{
    return (uint64_t)((const char *)address - lane->base) >> PAGE_SHIFT;
}

/* Pages marked in use in the tree, and backed: in use by owners, cached, or in flight. */
static inline uint64_t page_lane_allocated_pages(const struct page_lane *lane)
{
    return lane->tree.total_pages - lane->tree.free_pages - lane->tree.bare_pages;
}

/*
 * Creates a lane and enters it in the heap.
 * `options`: borrowed. A file-backed lane whose file holds pages begins in adoption: see
 * page_lane_adopt. Errors: TOO_MANY (lanes), NO_ADDRESS, NO_MEMORY, BAD_INPUT, EXISTS (name), and
 * for a file also IO, CORRUPT, BUSY, NO_SPACE, PERMISSION, NOT_FOUND, UNSUPPORTED.
 */
enum quarry_status page_lane_create(struct page_heap *heap, const struct page_lane_options *options,
                                    struct page_lane **ret_lane, struct quarry_error *error);

/*
 * Ends the lifetime: every run of the lane is free from here on, and its memory goes back to the
 * kernel, one call for each stretch of backed pages. No thread may use the lane meanwhile. The lane
 * itself stays, empty, for the next lifetime. A stretch that the kernel refuses to take stays
 * backed and free. Cost: O(chunks + stretches).
 */
void page_lane_end(struct page_lane *lane);

/*
 * Ends the lane and takes it out of the heap. Its file, if it has one, is closed and keeps the
 * pages that were in use (they can be adopted again). The lane is gone whatever is returned.
 */
void page_lane_destroy(struct page_lane *lane);

/*
 * Allocates `page_count` pages for `owner`, beginning at a multiple of `align_pages` (a power of
 * two up to PAGE_ALIGN_PAGES_MAX) of the lane, which is aligned to a zone. Straight from the tree;
 * most callers want page_alloc. Reclaims when the budget is short. Errors: NO_MEMORY, NO_ADDRESS,
 * NO_SPACE (file-backed), BUSY (adoption not finished, or in the child of a fork, where the file is
 * the parent's).
 */
struct page_run page_lane_alloc(struct page_lane *lane, uint32_t owner, uint64_t page_count,
                                uint64_t align_pages);

/* Frees the run that begins at `base`, which page_lane_alloc or page_alloc returned. */
void page_lane_free(struct page_lane *lane, void *base);

/*
 * Makes a run longer in place, when the pages after it are free; or shorter.
 * `page_count`: the new length, from 1. Errors: BUSY (the pages after it are in use, cached,
 * beyond the lane, or the lane is in adoption: the run is unchanged), NO_MEMORY, NO_SPACE.
 */
enum quarry_status page_lane_resize(struct page_lane *lane, void *base, uint64_t page_count);

/*
 * Takes addresses for a run that is backed later, piece by piece: its pages are nobody else's, and
 * only those that happen to be backed count as its owner's. Alignment as page_lane_alloc.
 * `page_count`: from 2, below PAGE_HEAD_PAGES_LONG (8 GiB). page_lane_resize is not for such a run;
 * page_lane_free and page_free are, and it never enters a page cache. Errors: NO_ADDRESS, NO_MEMORY
 * (metadata, when the lane grows), UNSUPPORTED (file-backed). `is_zero` of the result is false.
 * Cost: as page_lane_alloc; no system call but for growth.
 */
struct page_run page_lane_reserve_run(struct page_lane *lane, uint32_t owner, uint64_t page_count,
                                      uint64_t align_pages);

/*
 * Charges and backs those of the pages [first, first + page_count) of a reserved run that are not
 * backed, all or none. Reclaims when the budget is short, with no lock held.
 * `ret_backed_pages`: how many those were. Errors: NO_MEMORY. Threads: any, overlapping too: each
 * page is backed by one of them.
 * Cost: one lock, O(pages / 64); no system call, the kernel backs what is touched.
 */
enum quarry_status page_lane_back(struct page_lane *lane, void *base, uint64_t first,
                                  uint64_t page_count, uint64_t *ret_backed_pages);

/*
 * Gives the backing of pages [first, first + page_count) of a reserved run to the kernel, as far as
 * they are backed and fill OS pages. `ret_unbacked_pages`: how many were given back; written
 * always. Errors: what the kernel says; the rest of the pages stay backed. Threads: none other
 * backs, unbacks or touches these pages meanwhile.
 * Cost: a system call for each stretch that is backed.
 */
enum quarry_status page_lane_unback(struct page_lane *lane, void *base, uint64_t first,
                                    uint64_t page_count, uint64_t *ret_unbacked_pages);

/* Pages of the run that begins at `base`, and who owns it. */
uint64_t page_lane_run_pages(const struct page_lane *lane, const void *base);
uint32_t page_lane_run_owner(const struct page_lane *lane, const void *base);

/*
 * Adoption, for a file-backed lane that was opened with pages in its file: the caller, who knows
 * from its own records which runs were in use, claims each; page_lane_adopt_finish then gives the
 * blocks of all other pages back to the file system and opens the lane to allocation.
 * Errors: BAD_INPUT (not in the file, overlapping a run that is or was adopted, or not in
 * adoption), NO_MEMORY, NO_SPACE, IO.
 */
enum quarry_status page_lane_adopt(struct page_lane *lane, uint32_t owner, uint64_t page,
                                   uint64_t page_count, void **ret_base);
enum quarry_status page_lane_adopt_finish(struct page_lane *lane);

/* ---- for the other files of this folder ----------------------------------------------------- */

/* A number that no lane of this process ever had. */
uint64_t page_lane_next_serial(void);
/* Charges and backs what is needed, then adds chunks for at least `page_count` contiguous pages. */
enum quarry_status page_lane_grow(struct page_lane *lane, uint64_t page_count,
                                  uint64_t align_pages);
/* After pages became allocated: keeps the peak of the generation. */
static inline void page_lane_note_peak(struct page_lane *lane)
{
    uint64_t allocated_pages = page_lane_allocated_pages(lane);

    if (allocated_pages > lane->peak_pages) {
        lane->peak_pages = allocated_pages;
    }
}
/* Writes the head of a run; of a long or a reserved one. */
void page_lane_head_set_long(struct page_lane *lane, uint64_t page, uint32_t owner,
                             uint64_t page_count);
static inline void page_lane_head_set(struct page_lane *lane, uint64_t page, uint32_t owner,
                                      uint64_t page_count)
{
    if (Q_UNLIKELY(page_count >= PAGE_HEAD_PAGES_LONG)) {
        page_lane_head_set_long(lane, page, owner, page_count);
        return;
    }
    /* Relaxed: only validators and the heap map read heads of others, as a picture. */
    atomic_store_relaxed_u32(&lane->head[page], (uint32_t)page_head_make(owner, page_count));
}
/* Clears the head of the run at a page. */
void page_lane_head_clear(struct page_lane *lane, uint64_t page);
/* The head of the run at `base`, which must be one: anything else is the caller's bug. */
uint32_t page_lane_head_of(const struct page_lane *lane, const void *base, uint64_t *ret_page);
/* Pages of the run at a page, whose head is `head`. */
static inline uint64_t page_lane_head_pages(const struct page_lane *lane, uint64_t page,
                                            uint32_t head)
{
    uint32_t page_count = page_head_pages(head);

    return page_count == PAGE_HEAD_PAGES_LONG ? atomic_load_relaxed_u32(&lane->head[page + 1])
                                              : page_count;
}
/* Whether it was reserved, and may hold pages that are not backed. */
static inline bool page_lane_head_is_reserved(const struct page_lane *lane, uint64_t page,
                                              uint32_t head)
{
    return page_head_pages(head) == PAGE_HEAD_PAGES_LONG &&
           atomic_load_relaxed_u32(&lane->head[page + 1]) < PAGE_HEAD_PAGES_LONG;
}
/* Frees a run that was reserved. */
void page_lane_free_reserved(struct page_lane *lane, uint64_t page, uint32_t head);

/* Gives the backing of allocated pages to the kernel or the file system. No lock held. */
enum quarry_status page_lane_decommit(struct page_lane *lane, uint64_t page, uint64_t page_count);

/*
 * Takes free, backed pages out of the tree, to be given back without the lock. False: too many
 * pieces are in flight already, the lane is ending, or one of them is being collapsed.
 */
bool page_lane_begin_flight_locked(struct page_lane *lane, uint64_t page, uint64_t page_count)
    Q_REQUIRES(&lane->mutex);
/* Whether pages of the half of a chunk at `page` are in flight. */
bool page_lane_is_flying_locked(const struct page_lane *lane, uint64_t page)
    Q_REQUIRES(&lane->mutex);
/* Whether pages are of the half that becomes a huge page: then their backing must stay. */
static inline bool page_lane_is_collapsing_locked(const struct page_lane *lane, uint64_t page,
                                                  uint64_t page_count) Q_REQUIRES(&lane->mutex)
{
    return lane->collapsing_page != PAGE_NONE && page < lane->collapsing_page + PAGE_HALF_PAGES &&
           lane->collapsing_page < page + page_count;
}
/* Gives them back and frees them, scavenged; or, when the kernel refuses, backed as they were. */
enum quarry_status page_lane_fly(struct page_lane *lane, uint64_t page, uint64_t page_count,
                                 enum page_scavenge_cause cause);

/* ---- lane_file.c ---------------------------------------------------------------------------- */

/* Opens or creates the file behind a lane that is being built, and maps what it holds. */
enum quarry_status page_lane_file_open(struct page_lane *lane, const char *path);
void page_lane_file_close(struct page_lane *lane);
/* Makes the file long enough for lane offsets [offset, offset + bytes), and maps them. */
enum quarry_status page_lane_file_extend(struct page_lane *lane, uint64_t offset, uint64_t bytes);
enum quarry_status page_lane_file_punch(struct page_lane *lane, uint64_t page, uint64_t page_count);
/* Writes what was changed of pages to the disk, and waits. Errors: IO, NO_SPACE. No lock held. */
enum quarry_status page_lane_file_sync(struct page_lane *lane, uint64_t page, uint64_t page_count);
/* Puts blocks behind pages before they are touched. No lock held. */
enum quarry_status page_lane_preallocate(struct page_lane *lane, uint64_t page,
                                         uint64_t page_count);

#endif
