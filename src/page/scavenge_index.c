/*
 * Where the scavenger looks next.
 *
 * Memory goes back highest address first, because first-fit allocation fills from below and the top
 * is least likely to be wanted again. So each cursor starts high and moves down past chunks with
 * nothing to take; a free above it raises it again (the forced cursor at once, the background one
 * at the next generation, so that memory rests for a generation before it goes).
 *
 * A raise must not be lost to a finder that read the cursor before it and stores a lower value
 * after it. A raise therefore stores its value negated ("marked"). A finder that lowers an unmarked
 * cursor gives way to any negative value it meets; one that itself read a marked value replaces
 * exactly that value, so a second raise in between makes it fail, and the raise stands.
 *
 *   raise(p)            store −p
 *   lower from q to r   store r if the cursor is > r and not negative      (q read unmarked)
 *                       compare-and-swap −q → r                            (q read marked)
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

/* Pairs with the acquire loads in cursor_lower and page_scavenge_index_find. */
static void cursor_raise(_Atomic int64_t *cursor, uint64_t page)
{
    atomic_store_release_i64(cursor, -(int64_t)(page + 1));
}

static bool cursor_is_below(_Atomic int64_t *cursor, uint64_t page)
{
    int64_t value = atomic_load_acquire_i64(cursor);

    return (value < 0 ? -value : value) < (int64_t)(page + 1);
}

/* Lowers a cursor that was read as `seen` to `lower`, unless somebody has raised it since. */
static void cursor_lower(_Atomic int64_t *cursor, int64_t seen, int64_t lower)
{
    if (seen < 0) {
        (void)atomic_cas_acq_rel_i64(cursor, &seen, lower);
        return;
    }
    while (seen > lower) {
        /* A failed exchange reloads `seen`; a raise shows as negative and ends the loop. */
        if (atomic_cas_acq_rel_i64(cursor, &seen, lower)) {
            return;
        }
    }
}

/* ---- words of chunks ------------------------------------------------------------------------ */

void page_scavenge_index_init(struct page_scavenge_index *index, _Atomic uint64_t *chunk)
{
    index->chunk = chunk;
    atomic_store_relaxed_i64(&index->cursor[PAGE_SCAVENGE_BACKGROUND], 0);
    atomic_store_relaxed_i64(&index->cursor[PAGE_SCAVENGE_FORCED], 0);
    atomic_store_relaxed_u32(&index->generation, 0);
    index->free_high_page = 0;
    atomic_store_relaxed_u32(&index->low_chunk, PAGE_CHUNKS_MAX);
}

void page_scavenge_index_grow(struct page_scavenge_index *index, uint32_t chunk)
{
    struct page_density density = {.generation = atomic_load_relaxed_u32(&index->generation)};

    atomic_store_relaxed_u64(&index->chunk[chunk], page_density_pack(density));
    if (chunk < atomic_load_relaxed_u32(&index->low_chunk)) {
        atomic_store_relaxed_u32(&index->low_chunk, chunk);
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
    uint64_t high_page = ((uint64_t)chunk << PAGE_CHUNK_SHIFT) + first + count - 1;

    Q_ASSERT(count <= density_in_use(word));
    word = (word - count) | density_flag(PAGE_DENSITY_HAS_FREE);
    word &= ~density_flag(PAGE_DENSITY_PASSED_OVER);
    atomic_store_relaxed_u64(&index->chunk[chunk], word);
    if (index->free_high_page < high_page + 1) {
        index->free_high_page = high_page + 1;
    }
    if (cursor_is_below(&index->cursor[PAGE_SCAVENGE_FORCED], high_page)) {
        cursor_raise(&index->cursor[PAGE_SCAVENGE_FORCED], high_page);
    }
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

/* ---- generations and the search ------------------------------------------------------------- */

void page_scavenge_index_next_generation(struct page_scavenge_index *index)
{
    _Atomic int64_t *cursor = &index->cursor[PAGE_SCAVENGE_BACKGROUND];

    atomic_store_relaxed_u32(&index->generation, atomic_load_relaxed_u32(&index->generation) + 1);
    if (index->free_high_page > 0 && cursor_is_below(cursor, index->free_high_page - 1)) {
        cursor_raise(cursor, index->free_high_page - 1);
    }
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
    _Atomic int64_t *cursor = &index->cursor[mode];
    int64_t seen = atomic_load_acquire_i64(cursor);
    uint32_t generation = atomic_load_relaxed_u32(&index->generation);
    uint32_t low_chunk = atomic_load_relaxed_u32(&index->low_chunk);

    if (seen == 0) {
        return false;
    }
    uint64_t from_page = (uint64_t)(seen < 0 ? -seen : seen) - 1;
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
            cursor_lower(cursor, seen, (int64_t)left << PAGE_CHUNK_SHIFT);
        }
        return true;
    }
    cursor_lower(cursor, seen, 0);
    return false;
}
