/* A page tree whose metadata may be touched only where growth has asked for it. */
#include "unit/page/tree_fixture.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "unit/base/cmocka_all.h"

static bool fixture_is_named(const struct tree_fixture *fixture, size_t os_page)
{
    return fixture->named[os_page / 64] >> (os_page % 64) & 1;
}

/* Makes a piece of metadata accessible, once and never again. */
static void fixture_name(struct tree_fixture *fixture, struct page_span_bytes piece)
{
    assert_int_equal(piece.offset % FIXTURE_OS_PAGE_BYTES, 0);
    assert_int_equal(piece.bytes % FIXTURE_OS_PAGE_BYTES, 0);
    assert_int_not_equal(piece.bytes, 0);
    assert_true(piece.offset + piece.bytes <= fixture->layout.total_bytes);
    size_t first = piece.offset / FIXTURE_OS_PAGE_BYTES;
    for (size_t i = first; i < first + piece.bytes / FIXTURE_OS_PAGE_BYTES; i++) {
        assert_false(fixture_is_named(fixture, i));
        fixture->named[i / 64] |= UINT64_C(1) << (i % 64);
        fixture->named_pages++;
    }
    int failed = mprotect(fixture->base + piece.offset, piece.bytes, PROT_READ | PROT_WRITE);
    assert_int_equal(failed, 0);
}

void tree_fixture_open(struct tree_fixture *fixture, uint32_t chunk_max)
{
    *fixture =
        (struct tree_fixture){.layout = page_tree_layout_make(chunk_max, FIXTURE_OS_PAGE_BYTES)};
    size_t bytes = fixture->layout.total_bytes;

    fixture->bitmap_bytes = size_ceil_div(bytes / FIXTURE_OS_PAGE_BYTES, 64) * sizeof(uint64_t);
    fixture->named = calloc(1, fixture->bitmap_bytes);
    assert_non_null(fixture->named);
    fixture->base =
        mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_ptr_not_equal(fixture->base, MAP_FAILED);
    fixture_name(fixture, (struct page_span_bytes){0, fixture->layout.first_bytes});
    page_tree_init(&fixture->tree, &fixture->layout, fixture->base);
}

void tree_fixture_close(struct tree_fixture *fixture)
{
    tree_fixture_check(fixture);
    assert_int_equal(munmap(fixture->base, fixture->layout.total_bytes), 0);
    free(fixture->named);
}

void tree_fixture_grow(struct tree_fixture *fixture, uint32_t first, uint32_t count)
{
    struct page_tree *tree = &fixture->tree;
    struct page_range chunks = {first, first + count};
    struct page_span_bytes needs[PAGE_ARRAY_COUNT];
    uint32_t need_count = page_tree_layout_needs(&fixture->layout, &tree->ranges, chunks, needs);
    uint64_t free_pages = tree->free_pages, total_pages = tree->total_pages;

    assert_in_range(need_count, 0, PAGE_ARRAY_COUNT);
    for (uint32_t i = 0; i < need_count; i++) {
        fixture_name(fixture, needs[i]);
    }
    page_tree_grow(tree, chunks);
    assert_int_equal(tree->total_pages, total_pages + fixture_page(count, 0));
    assert_int_equal(tree->free_pages, free_pages + fixture_page(count, 0));
    assert_true(page_tree_is_free(tree, fixture_page(first, 0), fixture_page(count, 0)));
    tree_fixture_check(fixture);
}

void tree_fixture_take_at(struct tree_fixture *fixture, uint64_t page, uint64_t page_count)
{
    /* A search address of 0 raises nothing. */
    page_tree_take(&fixture->tree, (struct page_found){.page = page}, page_count,
                   page_tree_count_scavenged(&fixture->tree, page, page_count));
}

void tree_fixture_arrange(struct tree_fixture *fixture, uint32_t chunk,
                          const struct fixture_run *in_use, const struct fixture_run *scavenged)
{
    uint64_t base = fixture_page(chunk, 0);

    tree_fixture_grow(fixture, chunk, 1);
    tree_fixture_take_at(fixture, base, PAGE_CHUNK_PAGES);
    page_tree_free(&fixture->tree, base, PAGE_CHUNK_PAGES);
    for (const struct fixture_run *run = scavenged; run->count > 0; run++) {
        tree_fixture_take_at(fixture, base + run->first, run->count);
        page_tree_free_scavenged(&fixture->tree, base + run->first, run->count);
    }
    for (const struct fixture_run *run = in_use; run->count > 0; run++) {
        tree_fixture_take_at(fixture, base + run->first, run->count);
    }
    tree_fixture_check(fixture);
}

void tree_fixture_check(struct tree_fixture *fixture)
{
    struct page_tree *tree = &fixture->tree;
    struct quarry_error error;

    if (page_tree_validate(tree, &error) != QUARRY_OK) {
        fail_msg("%s", error.text);
    }
    assert_true(tree->scavenged_pages - tree->bare_pages <= tree->free_pages);
    assert_true(tree->free_pages + tree->bare_pages <= tree->total_pages);
    if (tree->search_page == PAGE_NONE) {
        assert_int_equal(tree->free_pages, 0);
    } else {
        /* Inside a grown range, and equal to its own clamp. */
        assert_int_equal(page_ranges_clamp(&tree->ranges, tree->search_page), tree->search_page);
        struct page_found found = page_tree_find(tree, 1);
        assert_true(found.page == PAGE_NONE || found.page >= tree->search_page);
        assert_int_equal(found.page == PAGE_NONE, tree->free_pages == 0);
    }
}

uint64_t tree_fixture_alloc(struct tree_fixture *fixture, uint64_t page_count,
                            uint64_t *ret_scavenged)
{
    struct page_tree *tree = &fixture->tree;
    struct page_found found = page_tree_find(tree, page_count);

    if (found.page == PAGE_NONE) {
        page_tree_note_exhausted(tree, page_count);
        return PAGE_NONE;
    }
    assert_true(page_tree_is_free(tree, found.page, page_count));
    uint64_t scavenged = page_tree_count_scavenged(tree, found.page, page_count);
    uint64_t before = tree->scavenged_pages;
    page_tree_take(tree, found, page_count,
                   page_tree_count_scavenged(tree, found.page, page_count));
    assert_int_equal(tree->scavenged_pages, before - scavenged);
    assert_int_equal(page_tree_count_scavenged(tree, found.page, page_count), 0);
    if (ret_scavenged != NULL) {
        *ret_scavenged = scavenged;
    }
    return found.page;
}
