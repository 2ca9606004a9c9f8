/*
 * Where the scavenger looks next.
 *
 * Memory goes back highest address first, because first-fit allocation fills from below and the top
 * is least likely to be wanted again. So each cursor starts high and moves down past chunks with
 * nothing to take; a free above it raises it again (the forced cursor at once, the background one
 * at the next generation, so that memory rests for a generation before it goes).
 *
 * A cursor:
 *
 *   63 ............ 36  35 ................ 0
 *   raises              page + 1; 0: nothing above the lowest chunk
 *
 * A raise must not be lost to a finder that passed the freed chunk before it was freed and lowers
 * the cursor after. So every free counts a raise, even one that finds the cursor high enough
 * already: a finder lowers the cursor only while the count of raises is the one it began with. Go
 * marks a raised value instead, and does not mark one that was high enough: there the finder wins,
 * and the pages wait for the next free above. The count has 28 bits: to be fooled, a finder must
 * sleep through a multiple of 2^28 frees.
 *
 * Invariant: a chunk that a mode may take lies at or below the mode's cursor, or was freed in the
 * current generation (background only).
 *
 * Source: Go 1.21's scavenge index; the PASSED_OVER flag is ours, for the dense rule at 2 MiB.
 */
#include <page/scavenge_index.h>

#define DENSITY_IN_USE_BITS      16
#define DENSITY_LAST_BITS        10
#define DENSITY_FLAGS_SHIFT      (DENSITY_IN_USE_BITS + DENSITY_LAST_BITS)
#define DENSITY_GENERATION_SHIFT 32

Q_STATIC_ASSERT(DENSITY_FLAGS_SHIFT + PAGE_DENSITY_FLAG_BITS == DENSITY_GENERATION_SHIFT,
                "the fields fill the low half");
Q_STATIC_ASSERT(PAGE_CHUNK_PAGES < 1 << DENSITY_LAST_BITS, "512 needs ten bits");

uint64_t page_density_pack(struct page_density density)
{
    Q_DCHECK(density.in_use <= PAGE_CHUNK_PAGES && density.last_in_use <= PAGE_CHUNK_PAGES);
    Q_DCHECK(density.flags < 1u << PAGE_DENSITY_FLAG_BITS);
    return (uint64_t)density.in_use | (uint64_t)density.last_in_use << DENSITY_IN_USE_BITS |
           (uint64_t)density.flags << DENSITY_FLAGS_SHIFT |
           (uint64_t)density.generation << DENSITY_GENERATION_SHIFT;
}

struct page_density page_density_unpack(uint64_t word)
{
    return (struct page_density){
        .in_use = (uint32_t)(word & bits_mask_u64(0, DENSITY_IN_USE_BITS)),
        .last_in_use =
            (uint32_t)((word >> DENSITY_IN_USE_BITS) & bits_mask_u64(0, DENSITY_LAST_BITS)),
        .flags =
            (uint32_t)((word >> DENSITY_FLAGS_SHIFT) & bits_mask_u64(0, PAGE_DENSITY_FLAG_BITS)),
        .generation = (uint32_t)(word >> DENSITY_GENERATION_SHIFT),
    };
}

/* ---- cursors -------------------------------------------------------------------------------- */

#define CURSOR_PAGE_BITS 36

Q_STATIC_ASSERT(((uint64_t)PAGE_CHUNKS_MAX << PAGE_CHUNK_SHIFT) < (uint64_t)1 << CURSOR_PAGE_BITS,
                "one more than the last page fits");

/* The page to look at next + 1. */
static uint64_t cursor_place(uint64_t cursor)
{
    return cursor & bits_mask_u64(0, CURSOR_PAGE_BITS);
}

static uint64_t cursor_raises(uint64_t cursor)
{
    return cursor >> CURSOR_PAGE_BITS;
}

static uint64_t cursor_make(uint64_t raises, uint64_t place)
{
    return raises << CURSOR_PAGE_BITS | place;
}

/*
 * Raises a cursor to at least `place`. Raises are serialised by the lane's lock. A finder may lower
 * the cursor between the load and the store, and is then undone: it costs a second look.
 */
static void cursor_raise(_Atomic uint64_t *cursor, uint64_t place)
{
    uint64_t seen = atomic_load_relaxed_u64(cursor);
    uint64_t raised = size_max_u64(cursor_place(seen), place);

    /* Pairs with the acquires in cursor_lower and page_scavenge_index_find. */
    atomic_store_release_u64(cursor, cursor_make(cursor_raises(seen) + 1, raised));
}

/* Lowers a cursor that was read as `seen` to `place`, unless it has been raised since. */
static void cursor_lower(_Atomic uint64_t *cursor, uint64_t seen, uint64_t place)
{
    const uint64_t raises = cursor_raises(seen);

    while (cursor_raises(seen) == raises && cursor_place(seen) > place) {
        /* A failed exchange reloads `seen`. */
        if (atomic_cas_acq_rel_u64(cursor, &seen, cursor_make(raises, place))) {
            return;
        }
    }
}

/* ---- words of chunks ------------------------------------------------------------------------ */

void page_scavenge_index_init(struct page_scavenge_index *index, _Atomic uint64_t *chunk)
{
    index->chunk = chunk;
    atomic_store_relaxed_u64(&index->cursor[PAGE_SCAVENGE_BACKGROUND], 0);
    atomic_store_relaxed_u64(&index->cursor[PAGE_SCAVENGE_FORCED], 0);
    atomic_store_relaxed_u32(&index->generation, 0);
    index->free_high_page = 0;
    atomic_store_relaxed_u32(&index->low_chunk, PAGE_CHUNKS_MAX);
}

void page_scavenge_index_grow(struct page_scavenge_index *index, uint32_t chunk)
{
    struct page_density density = {.generation = atomic_load_relaxed_u32(&index->generation)};

    atomic_store_relaxed_u64(&index->chunk[chunk], page_density_pack(density));
    if (chunk < atomic_load_relaxed_u32(&index->low_chunk)) {
        /* Pairs with the acquire in page_scavenge_index_find: the words from here on are there. */
        atomic_store_release_u32(&index->low_chunk, chunk);
    }
}

/* The word of a chunk as this generation sees it: begun anew where it is of an older one. */
static inline uint64_t density_touch(const struct page_scavenge_index *index, uint32_t chunk)
{
    uint64_t word = atomic_load_relaxed_u64(&index->chunk[chunk]);
    uint32_t generation = atomic_load_relaxed_u32(&index->generation);

    if (Q_UNLIKELY(word >> DENSITY_GENERATION_SHIFT != generation)) {
        struct page_density density = page_density_unpack(word);
        density.last_in_use = density.in_use;
        density.generation = generation;
        word = page_density_pack(density);
    }
    return word;
}

static inline uint32_t density_in_use(uint64_t word)
{
    return (uint32_t)(word & bits_mask_u64(0, DENSITY_IN_USE_BITS));
}

static inline uint64_t density_flag(enum page_density_flag flag)
{
    return (uint64_t)flag << DENSITY_FLAGS_SHIFT;
}

/* The count of pages in use is the low end of the word, so counting is adding to the word. */
void page_scavenge_index_alloc(struct page_scavenge_index *index, uint32_t chunk, uint32_t count)
{
    uint64_t word = density_touch(index, chunk) + count;

    Q_ASSERT(density_in_use(word) <= PAGE_CHUNK_PAGES);
    if (density_in_use(word) == PAGE_CHUNK_PAGES) {
        word &= ~density_flag(PAGE_DENSITY_HAS_FREE);
    }
    atomic_store_relaxed_u64(&index->chunk[chunk], word);
}

void page_scavenge_index_free(struct page_scavenge_index *index, uint32_t chunk, uint32_t first,
                              uint32_t count)
{
    uint64_t word = density_touch(index, chunk);
    uint64_t end_page = ((uint64_t)chunk << PAGE_CHUNK_SHIFT) + first + count;

    Q_ASSERT(count >= 1 && count <= density_in_use(word));
    word = (word - count) | density_flag(PAGE_DENSITY_HAS_FREE);
    word &= ~density_flag(PAGE_DENSITY_PASSED_OVER);
    atomic_store_relaxed_u64(&index->chunk[chunk], word);
    index->free_high_page = size_max_u64(index->free_high_page, end_page);
    cursor_raise(&index->cursor[PAGE_SCAVENGE_FORCED], end_page);
}

void page_scavenge_index_free_scavenged(struct page_scavenge_index *index, uint32_t chunk,
                                        uint32_t count)
{
    uint64_t word = density_touch(index, chunk);

    Q_ASSERT(count <= density_in_use(word));
    atomic_store_relaxed_u64(&index->chunk[chunk], word - count);
}

void page_scavenge_index_set_empty(struct page_scavenge_index *index, uint32_t chunk)
{
    struct page_density density =
        page_density_unpack(atomic_load_relaxed_u64(&index->chunk[chunk]));

    density.flags &= ~(uint32_t)PAGE_DENSITY_HAS_FREE;
    atomic_store_relaxed_u64(&index->chunk[chunk], page_density_pack(density));
}

void page_scavenge_index_pass_over(struct page_scavenge_index *index, uint32_t chunk)
{
    struct page_density density =
        page_density_unpack(atomic_load_relaxed_u64(&index->chunk[chunk]));

    density.flags |= PAGE_DENSITY_PASSED_OVER;
    atomic_store_relaxed_u64(&index->chunk[chunk], page_density_pack(density));
}

uint32_t page_scavenge_index_flags(const struct page_scavenge_index *index, uint32_t chunk)
{
    return page_density_unpack(atomic_load_relaxed_u64(&index->chunk[chunk])).flags;
}

void page_scavenge_index_set_flags(struct page_scavenge_index *index, uint32_t chunk,
                                   uint32_t cleared, uint32_t set)
{
    uint64_t word = atomic_load_relaxed_u64(&index->chunk[chunk]);

    Q_ASSERT((cleared | set) < 1u << PAGE_DENSITY_FLAG_BITS);
    word &= ~((uint64_t)cleared << DENSITY_FLAGS_SHIFT);
    atomic_store_relaxed_u64(&index->chunk[chunk], word | (uint64_t)set << DENSITY_FLAGS_SHIFT);
}

/* ---- generations and the search ------------------------------------------------------------- */

void page_scavenge_index_next_generation(struct page_scavenge_index *index)
{
    /* Before the raise, whose release shows a finder that sees the one the other. */
    atomic_store_relaxed_u32(&index->generation, atomic_load_relaxed_u32(&index->generation) + 1);
    cursor_raise(&index->cursor[PAGE_SCAVENGE_BACKGROUND], index->free_high_page);
    index->free_high_page = 0;
}

static bool density_is_eligible(struct page_density density, enum page_scavenge_mode mode,
                                uint32_t generation)
{
    if (!(density.flags & PAGE_DENSITY_HAS_FREE)) {
        return false;
    }
    if (mode == PAGE_SCAVENGE_FORCED) {
        return true;
    }
    if (density.flags & PAGE_DENSITY_PASSED_OVER) {
        return false;
    }
    /* Not touched in this generation: what is in use now was so all along. */
    bool was_dense =
        density.generation == generation && density.last_in_use >= PAGE_DENSE_CHUNK_PAGES;
    return density.in_use < PAGE_DENSE_CHUNK_PAGES && !was_dense;
}

bool page_scavenge_index_find(struct page_scavenge_index *index, enum page_scavenge_mode mode,
                              uint32_t *ret_chunk, uint32_t *ret_from)
{
    _Atomic uint64_t *cursor = &index->cursor[mode];
    uint64_t seen = atomic_load_acquire_u64(cursor);
    uint32_t generation = atomic_load_relaxed_u32(&index->generation);
    uint32_t low_chunk = atomic_load_acquire_u32(&index->low_chunk);

    if (cursor_place(seen) == 0) {
        return false;
    }
    uint64_t from_page = cursor_place(seen) - 1;
    uint32_t first_chunk = (uint32_t)(from_page >> PAGE_CHUNK_SHIFT);
    for (uint32_t left = first_chunk + 1; left > low_chunk; left--) {
        uint32_t chunk = left - 1;
        struct page_density density =
            page_density_unpack(atomic_load_relaxed_u64(&index->chunk[chunk]));
        if (!density_is_eligible(density, mode, generation)) {
            continue;
        }
        *ret_chunk = chunk;
        if (chunk == first_chunk) {
            *ret_from = (uint32_t)(from_page % PAGE_CHUNK_PAGES);
        } else {
            *ret_from = PAGE_CHUNK_PAGES - 1;
            cursor_lower(cursor, seen, (uint64_t)left << PAGE_CHUNK_SHIFT);
        }
        return true;
    }
    cursor_lower(cursor, seen, 0);
    return false;
}
