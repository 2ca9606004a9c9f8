/*
 * A page tree whose metadata may be touched only where growth has asked for it.
 *
 * The reservation is inaccessible but for the OS pages that page_tree_layout_needs has named, so a
 * touch of any other ends the test; and no OS page may be named twice.
 */
#ifndef QUARRY_TESTS_UNIT_PAGE_TREE_FIXTURE_H
#define QUARRY_TESTS_UNIT_PAGE_TREE_FIXTURE_H

#include <base/base.h>
#include <page/tree.h>

#define FIXTURE_OS_PAGE_BYTES ((size_t)4096)

/* Pages [first, first + count) of a chunk. A list of them ends with a count of 0. */
struct fixture_run {
    uint32_t first;
    uint32_t count;
};

struct tree_fixture {
    struct page_tree tree;
    struct page_tree_layout layout;
    char *base;
    uint64_t *named;       /* a bit for each OS page of metadata that growth has named */
    uint64_t named_pages;  /* how many */
    uint64_t bitmap_bytes; /* of `named` */
};

/* The first page of a chunk, and page `index` of it. */
static inline uint64_t fixture_page(uint64_t chunk, uint64_t index)
{
    return (chunk << PAGE_CHUNK_SHIFT) + index;
}

/* An empty tree with room for `chunk_max` chunks: PAGE_CHUNKS_MAX takes 140 GiB of address space.
 */
void tree_fixture_open(struct tree_fixture *fixture, uint32_t chunk_max);
/* Checks the tree a last time, and lets go of it. */
void tree_fixture_close(struct tree_fixture *fixture);

/* Grows by chunks [first, first + count), as a lane would, and checks what that asks for. */
void tree_fixture_grow(struct tree_fixture *fixture, uint32_t first, uint32_t count);

/*
 * Grows by one chunk and brings it into a state: the pages of the list `in_use` in use, of the rest
 * those of the list `scavenged` without backing, all others free and backed.
 */
void tree_fixture_arrange(struct tree_fixture *fixture, uint32_t chunk,
                          const struct fixture_run *in_use, const struct fixture_run *scavenged);

/* Validates the tree and its search address. */
void tree_fixture_check(struct tree_fixture *fixture);

/*
 * Finds and takes as a lane does; checks that the run was free.
 * `ret_scavenged`: pages of the run that were scavenged; may be NULL.
 * Returns: the first page, or PAGE_NONE.
 */
uint64_t tree_fixture_alloc(struct tree_fixture *fixture, uint64_t page_count,
                            uint64_t *ret_scavenged);

/* Takes a run wherever it is. */
void tree_fixture_take_at(struct tree_fixture *fixture, uint64_t page, uint64_t page_count);

#endif
