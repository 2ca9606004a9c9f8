/*
 * Sizes: from a request to a step, and how many steps and classes there are.
 *
 * A *step* is the finest distinction of sizes: 4 bytes up to 1 KiB, then 128 in each doubling. A
 * class is the cells of one size; classes are chosen among the steps' upper bounds (class.h), so a
 * table by step leads to the class of a request. Which bounds a slab may choose depends on how its
 * cells are to be aligned.
 *
 *     request   1..4  5..8  …  1021..1024 | 1025..1032  …  2041..2048 | 2049..2064  …  | …512 KiB
 *     step      0     1     …  255        | 256         …  383        | 384         …  | 1407
 */
#ifndef QUARRY_SLAB_SIZE_H
#define QUARRY_SLAB_SIZE_H

#include <quarry/slab.h>

#include <base/base.h>

#define SLAB_STEP_BITS          7u
#define SLAB_STEPS_PER_DOUBLING (1u << SLAB_STEP_BITS)
/* Finest spacing. */
#define SLAB_GRAIN_SHIFT 2
#define SLAB_GRAIN_BYTES (1u << SLAB_GRAIN_SHIFT)
/* Steps of requests that are served. */
#define SLAB_STEPS 1408u
/* And of any number at all, 0 included, so that a table of as many needs no check of bounds. */
#define SLAB_STEPS_ANY (SLAB_STEPS + 1)

/* The largest cells that may be aligned to 4 bytes only, where the slab allows it. */
#define SLAB_FINE_BYTES_MAX QUARRY_SLAB_FINE_BYTES_MAX

/* The smallest cell: a page of 1 MiB has no more of them than a ref can number. */
#define SLAB_CELL_BYTES_MIN 16u

/*
 * Classes that a slab can have: those that it begins with, sizes of their own, and what is split
 * off, 250 at least. 16 bits of a ref are for them; doubling the number doubles 8 bytes of the slab
 * and of each thread.
 */
#define SLAB_CLASSES_MAX 512u
#define SLAB_EXACT_MAX   96u

/* The step of a request; SLAB_STEPS of 0 and of what is too large. Cost: a bit scan, eleven others.
 */
static inline uint64_t slab_step(size_t bytes)
{
    uint64_t grains = ((uint64_t)bytes - 1) >> SLAB_GRAIN_SHIFT;
    /* bits_log2_floor_u64, in the form that gcc makes one instruction of. */
    uint64_t log = 63u ^ (uint32_t)__builtin_clzll(grains | SLAB_STEPS_PER_DOUBLING);

    uint64_t step = (log << SLAB_STEP_BITS) + (grains >> (log - SLAB_STEP_BITS)) -
                    (SLAB_STEP_BITS << SLAB_STEP_BITS);

    return step < SLAB_STEPS ? step : SLAB_STEPS;
}

/* The most bytes of a step's requests. */
static inline size_t slab_step_bytes(uint64_t step)
{
    Q_DCHECK(step < SLAB_STEPS);
    if (step < 2 * SLAB_STEPS_PER_DOUBLING) {
        return (step + 1) << SLAB_GRAIN_SHIFT;
    }
    uint64_t shift = (step >> SLAB_STEP_BITS) - 1;
    size_t grains = step - (shift << SLAB_STEP_BITS);

    return (grains + 1) << (shift + SLAB_GRAIN_SHIFT);
}

/* How the cells of a slab are aligned, by the least alignment that it was made with. */
static inline size_t slab_alignment(size_t cell_bytes, uint32_t grain_bytes)
{
    if (grain_bytes == SLAB_GRAIN_BYTES) {
        return cell_bytes > SLAB_FINE_BYTES_MAX ? 8 : 4;
    }
    return cell_bytes > 512 ? 16 : 8;
}

/*
 * The step whose bound is the size of class for a request of this step, where there are
 * `per_doubling` (8, 12, 16 or 32) classes in each doubling, all aligned as cells of `grain_bytes`
 * (4 or 8). 12 are spaced as 16 are in the lower half, where a cell is small, and as 8 in the upper
 * one.
 */
uint64_t slab_step_bound(uint64_t step, uint32_t per_doubling, uint32_t grain_bytes);

/* How a page of a class is cut. */
struct slab_shape {
    uint32_t page_count; /* of 8 KiB */
    uint32_t cell_count;
};

/* A page of about so many pages of 8 KiB: the first ones of a class, and the largest. */
#define SLAB_PAGE_PAGES_FIRST 8u
#define SLAB_PAGE_PAGES_LARGE 128u
/* Sizes of pages from first to large, each twice the one before. */
#define SLAB_SHAPES 5u
/* Of a slab of small pages: the first ones, one page more or less. */
#define SLAB_PAGE_PAGES_SMALL 4u

/*
 * The shape of a page of about `target` pages of 8 KiB that wastes least of its end: from 7/8 to
 * 17/16 of the target, one more or less of fewer than 8, or the least that hold a cell.
 */
struct slab_shape slab_shape_choose(size_t cell_bytes, uint32_t target);

#endif
