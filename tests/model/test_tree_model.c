/*
 * Random histories of a page tree against a naive map of pages.
 *
 * Each seed has its own place in the index space (often over an edge of a root entry), its own
 * three to eight chunks with or without gaps, and ten thousand operations in phases that fill and
 * drain. Each answer must be exactly the map's: the lowest run that fits, and how many of its pages
 * had no backing. A seed ends with the scavenger taking everything: not one free page may escape
 * it.
 *
 * QUARRY_MODEL_SEEDS says how many seeds.
 */
#include <stdlib.h>
#include <string.h>

#include <base/base.h>
#include <page/tree.h>

#include "model/page_map.h"
#include "unit/base/cmocka_all.h"
#include "unit/base/random.h"
#include "unit/page/tree_fixture.h"

#define C              PAGE_CHUNK_PAGES
#define WINDOW_CHUNKS  16u
#define WINDOW_PAGES   (WINDOW_CHUNKS * C)
#define GROWN_MAX      8u
#define BLOCKS_MAX     6u
#define OPERATIONS     10000u
#define VALIDATE_EVERY 2500u

#ifdef __SANITIZE_ADDRESS__
#define SEEDS_DEFAULT 50u
#else
#define SEEDS_DEFAULT 1000u
#endif

struct run {
    uint32_t first;
    uint32_t count;
};

struct world {
    struct tree_fixture fixture;
    struct page_tree *tree;
    uint64_t random;
    uint32_t base_chunk;
    uint64_t base_page;
    struct page_map map; /* of the window, pages from base_page */
    uint8_t state[WINDOW_PAGES];
    bool is_grown[WINDOW_CHUNKS];
    uint32_t grown_count;
    struct run run[WINDOW_PAGES]; /* live, in no order */
    uint32_t run_count;
    struct page_block block[BLOCKS_MAX]; /* held */
    uint32_t block_count;
    bool is_filling;
};

static uint32_t below(struct world *world, uint32_t limit)
{
    return (uint32_t)(random_u64(&world->random) % limit);
}

static void add_run(struct world *world, uint32_t first, uint32_t count)
{
    assert_true(world->run_count < WINDOW_PAGES);
    world->run[world->run_count++] = (struct run){first, count};
}

static struct run remove_run(struct world *world, uint32_t i)
{
    struct run run = world->run[i];

    world->run[i] = world->run[--world->run_count];
    return run;
}

/* ---- growing -------------------------------------------------------------------------------- */

static void grow(struct world *world)
{
    uint32_t chunk = below(world, WINDOW_CHUNKS);

    if (world->grown_count == GROWN_MAX || world->is_grown[chunk]) {
        return;
    }
    tree_fixture_grow(&world->fixture, world->base_chunk + chunk, 1);
    world->is_grown[chunk] = true;
    world->grown_count++;
    page_map_set(&world->map, chunk * C, C, PAGE_STATE_SCAVENGED);
}

static void world_open(struct world *world, uint64_t seed)
{
    const uint32_t root_chunks = UINT32_C(1) << (PAGE_ROOT_SHIFT - PAGE_CHUNK_SHIFT);
    const uint32_t bases[] = {0, root_chunks - 8, 512 - 5, 7 * root_chunks - 3,
                              PAGE_CHUNKS_MAX - WINDOW_CHUNKS};

    *world = (struct world){.random = seed, .map = {world->state, WINDOW_PAGES}};
    world->base_chunk = bases[seed % 5];
    world->base_page = fixture_page(world->base_chunk, 0);
    world->tree = &world->fixture.tree;
    tree_fixture_open(&world->fixture, PAGE_CHUNKS_MAX);
    uint32_t wanted = 3 + below(world, GROWN_MAX - 2);
    /* Half of the seeds begin with chunks in a row. */
    for (uint32_t i = 0; seed % 2 == 0 && i < wanted; i++) {
        tree_fixture_grow(&world->fixture, world->base_chunk + i, 1);
        world->is_grown[i] = true;
        world->grown_count++;
        page_map_set(&world->map, i * C, C, PAGE_STATE_SCAVENGED);
    }
    while (world->grown_count < wanted) {
        grow(world);
    }
}

/* ---- runs ----------------------------------------------------------------------------------- */

static uint32_t random_page_count(struct world *world)
{
    uint32_t kind = below(world, 100);

    return 1 + below(world, kind < 60 ? 16 : kind < 85 ? 64 : kind < 97 ? 600 : 2500);
}

/* Takes what the tree found after comparing it with what the map says. */
static void take_found(struct world *world, struct page_found found, uint32_t expected,
                       uint32_t page_count)
{
    if (expected == PAGE_MAP_NONE) {
        assert_int_equal(found.page, PAGE_NONE);
        return;
    }
    assert_int_equal(found.page, world->base_page + expected);
    assert_true(page_tree_is_free(world->tree, found.page, page_count));
    assert_int_equal(page_tree_count_scavenged(world->tree, found.page, page_count),
                     page_map_count(&world->map, expected, page_count, PAGE_STATE_SCAVENGED));
    page_tree_take(world->tree, found, page_count,
                   page_tree_count_scavenged(world->tree, found.page, page_count));
    page_map_set(&world->map, expected, page_count, PAGE_STATE_TAKEN);
    add_run(world, expected, page_count);
}

static void alloc(struct world *world)
{
    uint32_t page_count = random_page_count(world);
    struct page_found found = page_tree_find(world->tree, page_count);

    if (found.page == PAGE_NONE) {
        page_tree_note_exhausted(world->tree, page_count);
    }
    take_found(world, found, page_map_find(&world->map, page_count), page_count);
}

static void alloc_aligned(struct world *world)
{
    uint32_t page_count = random_page_count(world), align = 1u << below(world, 10);
    struct page_found found = page_tree_find_aligned(world->tree, page_count, align);

    take_found(world, found, page_map_find_aligned(&world->map, page_count, align), page_count);
}

static void free_pages(struct world *world, uint32_t first, uint32_t count, bool is_scavenged)
{
    if (is_scavenged) {
        page_tree_free_scavenged(world->tree, world->base_page + first, count);
    } else {
        page_tree_free(world->tree, world->base_page + first, count);
    }
    page_map_set(&world->map, first, count,
                 is_scavenged ? PAGE_STATE_SCAVENGED : PAGE_STATE_BACKED);
}

static void free_run(struct world *world)
{
    if (world->run_count > 0) {
        struct run run = remove_run(world, below(world, world->run_count));
        free_pages(world, run.first, run.count, below(world, 20) == 0);
    }
}

/* Frees a part out of the middle of a run. */
static void free_part_of_run(struct world *world)
{
    if (world->run_count == 0) {
        return;
    }
    struct run run = remove_run(world, below(world, world->run_count));
    uint32_t first = below(world, run.count);
    uint32_t count = 1 + below(world, run.count - first);
    free_pages(world, run.first + first, count, false);
    if (first > 0) {
        add_run(world, run.first, first);
    }
    if (first + count < run.count) {
        add_run(world, run.first + first + count, run.count - first - count);
    }
}

/* Frees whole chunks at once, unless a block of theirs is held. */
static void free_chunks(struct world *world)
{
    uint32_t first = below(world, WINDOW_CHUNKS), end = first;

    while (end < WINDOW_CHUNKS && world->is_grown[end] && end - first < 3) {
        end++;
    }
    for (uint32_t i = 0; i < world->block_count; i++) {
        uint64_t page = world->block[i].first_page - world->base_page;
        if (page >= first * C && page < end * C) {
            return;
        }
    }
    if (first == end) {
        return;
    }
    page_tree_free_range(world->tree,
                         (struct page_range){world->base_chunk + first, world->base_chunk + end});
    for (uint32_t i = first * C; i < end * C; i++) {
        if (world->state[i] == PAGE_STATE_TAKEN) {
            world->state[i] = PAGE_STATE_BACKED;
        }
    }
    for (uint32_t i = world->run_count; i-- > 0;) {
        struct run run = world->run[i];
        if (run.first + run.count <= first * C || run.first >= end * C) {
            continue;
        }
        (void)remove_run(world, i);
        if (run.first < first * C) {
            add_run(world, run.first, first * C - run.first);
        }
        if (run.first + run.count > end * C) {
            add_run(world, end * C, run.first + run.count - end * C);
        }
    }
}

/* ---- blocks --------------------------------------------------------------------------------- */

static void take_block(struct world *world)
{
    if (world->block_count == BLOCKS_MAX) {
        return;
    }
    uint32_t expected = page_map_find(&world->map, 1);
    struct page_block block = page_tree_peek_block(world->tree);
    if (expected == PAGE_MAP_NONE) {
        assert_int_equal(block.first_page, PAGE_NONE);
        return;
    }
    uint32_t first = expected / 64 * 64;
    assert_int_equal(block.first_page, world->base_page + first);
    for (uint32_t i = 0; i < 64; i++) {
        assert_int_equal(block.free >> i & 1, world->state[first + i] != PAGE_STATE_TAKEN);
        assert_int_equal(block.scavenged >> i & 1, world->state[first + i] == PAGE_STATE_SCAVENGED);
    }
    uint64_t taken = block.free;
    if (below(world, 3) == 0 && (random_u64(&world->random) & block.free) != 0) {
        taken = block.free & (block.free - 1); /* all but the lowest */
        taken = taken == 0 ? block.free : taken;
    }
    page_tree_take_block(world->tree, block, taken);
    block.free = taken;
    block.scavenged &= taken;
    for (uint32_t i = 0; i < 64; i++) {
        if (taken >> i & 1) {
            world->state[first + i] = PAGE_STATE_TAKEN;
        }
    }
    world->block[world->block_count++] = block;
}

/* Gives back a block of which some pages have become runs of their own. */
static void give_block(struct world *world)
{
    if (world->block_count == 0) {
        return;
    }
    uint32_t which = below(world, world->block_count);
    struct page_block block = world->block[which];
    world->block[which] = world->block[--world->block_count];
    uint32_t first = (uint32_t)(block.first_page - world->base_page);
    uint64_t used = random_u64(&world->random) & block.free;
    used &= random_u64(&world->random);
    block.free &= ~used;
    page_tree_give_block(world->tree, block);
    for (uint32_t i = 0; i < 64; i++) {
        if (used >> i & 1) {
            add_run(world, first + i, 1);
        } else if (block.free >> i & 1) {
            bool is_scavenged = block.scavenged >> i & 1;
            world->state[first + i] = is_scavenged ? PAGE_STATE_SCAVENGED : PAGE_STATE_BACKED;
        }
    }
}

/* ---- scavenging ----------------------------------------------------------------------------- */

/* Takes a candidate of a chunk and frees it without backing; returns its length. */
static uint32_t scavenge_chunk(struct world *world, uint32_t chunk, uint32_t min_count,
                               uint32_t max_count)
{
    const struct page_chunk *bits = &world->tree->chunk[world->base_chunk + chunk];
    struct page_bits_candidate found = page_bits_find_candidate(
        &bits->in_use, &bits->scavenged, C - 1, min_count, max_count, 256, false);
    uint32_t first = chunk * C + found.first;

    if (found.count > 0) {
        assert_int_equal(page_map_count(&world->map, first, found.count, PAGE_STATE_BACKED),
                         found.count);
        tree_fixture_take_at(&world->fixture, world->base_page + first, found.count);
        free_pages(world, first, found.count, true);
    }
    return found.count;
}

static void scavenge_somewhere(struct world *world)
{
    uint32_t chunk = below(world, WINDOW_CHUNKS);

    if (world->is_grown[chunk]) {
        (void)scavenge_chunk(world, chunk, 1u << below(world, 7), 1 + below(world, 100));
    }
}

/* The forced scavenger, to the end. */
static void scavenge_everything(struct world *world)
{
    struct page_scavenge_index *index = &world->tree->index;
    uint32_t chunk, from;

    while (page_scavenge_index_find(index, PAGE_SCAVENGE_FORCED, &chunk, &from)) {
        if (scavenge_chunk(world, chunk - world->base_chunk, 1, 64) == 0) {
            page_scavenge_index_set_empty(index, chunk);
        }
    }
    assert_int_equal(world->tree->scavenged_pages, world->tree->free_pages);
    assert_int_equal(page_map_count(&world->map, 0, WINDOW_PAGES, PAGE_STATE_BACKED), 0);
}

/* ---- histories ------------------------------------------------------------------------------ */

static void step(struct world *world)
{
    uint32_t kind = below(world, 1000);

    if (kind < 2) {
        grow(world);
    } else if (kind < 3) {
        free_chunks(world);
    } else if (kind < 10) {
        world->is_filling = !world->is_filling;
    } else if (kind < 40) {
        free_part_of_run(world);
    } else if (kind < 80) {
        alloc_aligned(world);
    } else if (kind < 110) {
        take_block(world);
    } else if (kind < 140) {
        give_block(world);
    } else if (kind < 170) {
        scavenge_somewhere(world);
    } else if (kind < 175) {
        page_scavenge_index_next_generation(&world->tree->index);
    } else if (kind < (world->is_filling ? 700u : 450u)) {
        alloc(world);
    } else {
        free_run(world);
    }
}

static void compare_every_page(struct world *world)
{
    uint32_t free_count = 0;

    for (uint32_t i = 0; i < WINDOW_PAGES; i++) {
        if (!world->is_grown[i / C]) {
            continue;
        }
        const struct page_chunk *chunk = &world->tree->chunk[world->base_chunk + i / C];
        bool is_taken = world->state[i] == PAGE_STATE_TAKEN;
        bool is_scavenged = world->state[i] == PAGE_STATE_SCAVENGED;
        assert_int_equal(page_bits_get(&chunk->in_use, i % C), is_taken);
        assert_int_equal(page_bits_get(&chunk->scavenged, i % C), is_scavenged);
        free_count += !is_taken;
    }
    assert_int_equal(world->tree->free_pages, free_count);
    tree_fixture_check(&world->fixture);
}

static uint32_t seed_count(void)
{
    const char *text = getenv("QUARRY_MODEL_SEEDS");

    return text == NULL ? SEEDS_DEFAULT : (uint32_t)strtoul(text, NULL, 10);
}

static struct world world;

static void random_histories_agree_with_a_map_of_pages(void **state)
{
    (void)state;
    uint32_t seeds = seed_count();

    assert_int_not_equal(seeds, 0);
    for (uint32_t seed = 0; seed < seeds; seed++) {
        world_open(&world, seed);
        for (uint32_t i = 1; i <= OPERATIONS; i++) {
            step(&world);
            if (i % VALIDATE_EVERY == 0) {
                compare_every_page(&world);
            }
        }
        scavenge_everything(&world);
        compare_every_page(&world);
        tree_fixture_close(&world.fixture);
    }
    print_message("%u seeds of %u operations\n", seeds, OPERATIONS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_histories_agree_with_a_map_of_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
