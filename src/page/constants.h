/*
 * The numbers of the page heap. Each says what it limits, where it comes from, and what doubling it
 * would do.
 */
#ifndef QUARRY_PAGE_CONSTANTS_H
#define QUARRY_PAGE_CONSTANTS_H

#include <base/base.h>

/*
 * A page is the smallest piece the page heap hands out, independent of the OS page. 8 KiB is Go's
 * runtime page: with 1 % of 256-byte objects surviving, 72 % of 8 KiB pages are empty, and 52 % of
 * 16 KiB ones. Doubling halves the metadata and the refills of spans, and keeps more garbage.
 */
#define PAGE_SHIFT 13
#define PAGE_BYTES ((uint64_t)1 << PAGE_SHIFT)

/*
 * A chunk is what one leaf bitmap covers: 512 pages, 4 MiB, one cache line of bits. Address space
 * joins a lane in whole chunks, and pages of different lanes never share one.
 */
#define PAGE_CHUNK_SHIFT 9
#define PAGE_CHUNK_PAGES ((uint32_t)1 << PAGE_CHUNK_SHIFT)
#define PAGE_CHUNK_BYTES (PAGE_BYTES << PAGE_CHUNK_SHIFT)

/*
 * The summary tree: five levels with a fan-out of eight, so that the eight children of an entry are
 * one cache line. A root entry covers 2^21 pages (16 GiB); the leaves cover a chunk each.
 */
#define PAGE_LEVELS       5
#define PAGE_FANOUT_SHIFT 3
#define PAGE_FANOUT       ((uint32_t)1 << PAGE_FANOUT_SHIFT)
#define PAGE_ROOT_SHIFT   (PAGE_CHUNK_SHIFT + PAGE_FANOUT_SHIFT * (PAGE_LEVELS - 1))

/* The largest index space of one lane: 2^26 chunks, 256 TiB, as Go's 48-bit heap. */
#define PAGE_CHUNKS_MAX ((uint32_t)1 << 26)

/* No page: searches that found nothing, and the search address of a lane without a free page. */
#define PAGE_NONE UINT64_MAX

/* A thread's page cache owns one aligned block of this many pages: one word of a bitmap. */
#define PAGE_BLOCK_PAGES 64u

/*
 * Runs below this many pages may come out of a thread's block. A quarter of it, as in Go: a larger
 * run seldom fits a block that has been used for a while.
 */
#define PAGE_BLOCK_RUN_PAGES_MAX (PAGE_BLOCK_PAGES / 4)

/*
 * A chunk or huge page counts as dense, and is left whole by the background scavenger, from 496 of
 * 512 pages in use (Go's 0.96875): giving back less than 1/32 costs the huge page and gains little.
 */
#define PAGE_DENSE_NUMERATOR   31
#define PAGE_DENSE_DENOMINATOR 32
#define PAGE_DENSE_CHUNK_PAGES (PAGE_CHUNK_PAGES * PAGE_DENSE_NUMERATOR / PAGE_DENSE_DENOMINATOR)

Q_STATIC_ASSERT(PAGE_ROOT_SHIFT == 21, "a root entry covers 2^21 pages, as a summary field can");
Q_STATIC_ASSERT(PAGE_DENSE_CHUNK_PAGES == 496, "0.96875 of a chunk");

#endif
