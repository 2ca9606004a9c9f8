/*
 * Sizes and shapes.
 *
 * A page of a power of two of bytes wastes what its cells do not divide: 3.1 % of 1 MiB cut into
 * cells of 32 KiB and 64 bytes. The page heap hands out any number of pages of 8 KiB, so a page may
 * be a little shorter or longer: 129 of them hold 32 such cells and waste 0.8 %. Looking at all
 * lengths between 7/8 and 17/16 of the target leaves at most 1.2 % for cells of up to 64 KiB, and
 * 0.1 % for those of up to 4 KiB. Larger cells are multiples of 2 KiB at least, so one or a few of
 * them fill some length almost to its end.
 */
#include <slab/size.h>

#include <page/page.h>

/* A ref numbers the cells of a page in 16 bits. */
#define CELLS_MAX 65536u
/* Larger cells may have pages shorter than the target. */
#define CELL_LARGE_BYTES Q_KIB(64)

uint64_t slab_step_bound(uint64_t step, uint32_t per_doubling, uint32_t grain_bytes)
{
    size_t bytes = size_max(slab_step_bytes(step), SLAB_CELL_BYTES_MIN);
    size_t doubling = (size_t)1 << bits_log2_floor_u64(bytes - 1);
    uint32_t parts = per_doubling;

    Q_DCHECK(per_doubling == 8 || per_doubling == 12 || per_doubling == 16 || per_doubling == 32);
    if (per_doubling == 12) {
        parts = bytes <= doubling + doubling / 2 ? 16 : 8;
    }
    bytes = size_align_up(bytes, size_max(doubling / parts, SLAB_GRAIN_BYTES));
    return slab_step(size_align_up(bytes, slab_alignment(bytes, grain_bytes)));
}

static struct slab_shape shape_of(size_t cell_bytes, uint32_t page_count)
{
    uint64_t cells = ((uint64_t)page_count << PAGE_SHIFT) / cell_bytes;

    return (struct slab_shape){page_count, (uint32_t)size_min_u64(cells, CELLS_MAX)};
}

static uint64_t shape_waste(struct slab_shape shape, size_t cell_bytes)
{
    return ((uint64_t)shape.page_count << PAGE_SHIFT) - (uint64_t)shape.cell_count * cell_bytes;
}

struct slab_shape slab_shape_choose(size_t cell_bytes, uint32_t target)
{
    uint32_t least = (uint32_t)(size_align_up(cell_bytes, PAGE_BYTES) >> PAGE_SHIFT);
    uint32_t below = target < SLAB_PAGE_PAGES_FIRST ? 1 : target / 8;
    uint32_t above = target < SLAB_PAGE_PAGES_FIRST ? 1 : target / 16;
    uint32_t low = (uint32_t)size_max_u64(target - below, least);
    uint32_t high = (uint32_t)size_max_u64(target + above, low);
    /* Of a few large cells each is a large part of the page: any length that they fill will do. */
    struct slab_shape best = shape_of(cell_bytes, cell_bytes > CELL_LARGE_BYTES ? least : low);

    Q_ASSERT(cell_bytes >= SLAB_CELL_BYTES_MIN && cell_bytes <= QUARRY_SLAB_CELL_BYTES_MAX);
    for (uint32_t page_count = best.page_count + 1; page_count <= high; page_count++) {
        struct slab_shape shape = shape_of(cell_bytes, page_count);
        /* Relative to their lengths: a / b <= c / d. */
        if (shape_waste(shape, cell_bytes) * best.page_count <=
            shape_waste(best, cell_bytes) * shape.page_count) {
            best = shape;
        }
    }
    Q_ASSERT(best.cell_count != 0);
    return best;
}
