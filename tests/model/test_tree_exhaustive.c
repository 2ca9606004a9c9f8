/*
 * Every history of a few pages.
 *
 * Two chunks of which all pages are taken but k neighbours, placed where the tree has its edges.
 * From there a breadth-first walk tries every operation in every state it can reach: allocating
 * each count, aligned or not, backed or bare, backing and unbacking the halves of each run, freeing
 * it, taking and giving blocks whole and in part, scavenging. The answer is compared with a search
 * page by page, the bitmaps after it with the model, and every new state is validated.
 *
 * A state is what each of the k pages is, and the search address: one word.
 *
 *   63 ......... 36  35 ........ 0
 *   search address   3 bits a page
 */
#include <stdlib.h>
#include <string.h>

#include <base/base.h>
#include <page/tree.h>

#include "model/page_map.h"
#include "unit/base/cmocka_all.h"
#include "unit/page/tree_fixture.h"

#define C          PAGE_CHUNK_PAGES
#define PAGES_MAX  12u
#define STATES_MAX (UINT32_C(1) << 22)
#define SLOTS      (2 * STATES_MAX)

/* How many pages: one more is five times the states. A block that one edge cuts has fewer. */
#ifdef __SANITIZE_ADDRESS__
#define WHOLE_PAGES 5u
#define CUT_PAGES   6u
#else
#define WHOLE_PAGES 7u
#define CUT_PAGES   8u
#endif

/* Walks in which runs are reserved, backed and unbacked too have as many states with one less. */
#define BARE_PAGES (WHOLE_PAGES - 1)

/* Chunks of the walk. Between them lies an edge of every level of the tree. */
#define LOW_CHUNK ((UINT32_C(1) << (PAGE_ROOT_SHIFT - PAGE_CHUNK_SHIFT)) - 1)

enum cell {
    CELL_BACKED,
    CELL_SCAVENGED,
    CELL_RUN,            /* first page of a live run */
    CELL_REST,           /* another page of it */
    CELL_HELD_BACKED,    /* in the block that is held */
    CELL_HELD_SCAVENGED, /* as it was when taken */
    CELL_BARE_RUN,       /* as CELL_RUN and CELL_REST, in use and not backed */
    CELL_BARE_REST,
};

struct model {
    uint8_t cell[PAGES_MAX];
};

/* What of the tree can change in a walk. */
struct snapshot {
    struct page_tree tree;
    struct page_chunk chunk[2];
    uint64_t summary[PAGE_LEVELS][2];
    uint64_t density[2];
};

struct walk {
    struct tree_fixture fixture;
    struct page_tree *tree;
    uint64_t base;  /* of chunk LOW_CHUNK */
    uint32_t first; /* of the k pages, from there */
    struct snapshot all_taken;
    uint64_t *slot;  /* hash set of states + 1 */
    uint64_t *state; /* in the order they were reached */
    uint32_t state_count;
    uint64_t transition_count;
    uint32_t page_count; /* k */
    bool is_reserving;   /* runs may be bare */
    struct page_map map; /* filled in by map_of */
    uint8_t map_state[2 * C];
    /* the state under walk */
    struct snapshot at;
    struct model from;
};

/* ---- snapshots ------------------------------------------------------------------------------ */

static uint64_t *summaries_of(const struct page_tree *tree, uint32_t level)
{
    return &tree->level[level][LOW_CHUNK >> (page_level_shift(level) - PAGE_CHUNK_SHIFT)];
}

static void snapshot_save(struct snapshot *snapshot, const struct page_tree *tree)
{
    snapshot->tree = *tree;
    memcpy(snapshot->chunk, &tree->chunk[LOW_CHUNK], sizeof(snapshot->chunk));
    for (uint32_t level = 0; level < PAGE_LEVELS; level++) {
        memcpy(snapshot->summary[level], summaries_of(tree, level), sizeof(snapshot->summary[0]));
    }
    for (uint32_t i = 0; i < 2; i++) {
        snapshot->density[i] = atomic_load_relaxed_u64(&tree->index.chunk[LOW_CHUNK + i]);
    }
}

static void snapshot_load(const struct snapshot *snapshot, struct page_tree *tree)
{
    *tree = snapshot->tree;
    memcpy(&tree->chunk[LOW_CHUNK], snapshot->chunk, sizeof(snapshot->chunk));
    for (uint32_t level = 0; level < PAGE_LEVELS; level++) {
        memcpy(summaries_of(tree, level), snapshot->summary[level], sizeof(snapshot->summary[0]));
    }
    for (uint32_t i = 0; i < 2; i++) {
        atomic_store_relaxed_u64(&tree->index.chunk[LOW_CHUNK + i], snapshot->density[i]);
    }
}

/* ---- states --------------------------------------------------------------------------------- */

#define SEARCH_SHIFT (3 * PAGES_MAX)

static uint64_t state_pack(const struct walk *walk, const struct model *model)
{
    uint64_t search_page = walk->tree->search_page;
    uint64_t search = search_page == PAGE_NONE ? 0 : search_page - walk->base + 1;
    uint64_t state = search << SEARCH_SHIFT;

    for (uint32_t i = 0; i < walk->page_count; i++) {
        state |= (uint64_t)model->cell[i] << (3 * i);
    }
    return state;
}

static bool cell_is_bare(uint8_t cell)
{
    return cell == CELL_BARE_RUN || cell == CELL_BARE_REST;
}

static bool cell_is_held(uint8_t cell)
{
    return cell == CELL_HELD_BACKED || cell == CELL_HELD_SCAVENGED;
}

static bool cell_begins_run(uint8_t cell)
{
    return cell == CELL_RUN || cell == CELL_BARE_RUN;
}

static bool cell_goes_on(uint8_t cell)
{
    return cell == CELL_REST || cell == CELL_BARE_REST;
}

/* Brings tree and model into a state. */
static void state_load(struct walk *walk, uint64_t state)
{
    uint64_t search = state >> SEARCH_SHIFT;

    snapshot_load(&walk->all_taken, walk->tree);
    for (uint32_t i = 0; i < walk->page_count; i++) {
        walk->from.cell[i] = state >> (3 * i) & 7;
        if (walk->from.cell[i] == CELL_BACKED) {
            page_tree_free(walk->tree, walk->base + walk->first + i, 1);
        } else if (walk->from.cell[i] == CELL_SCAVENGED) {
            page_tree_free_scavenged(walk->tree, walk->base + walk->first + i, 1);
        } else if (cell_is_bare(walk->from.cell[i])) {
            page_tree_unback(walk->tree, walk->base + walk->first + i, 1);
        }
    }
    walk->tree->search_page = search == 0 ? PAGE_NONE : walk->base + search - 1;
    snapshot_save(&walk->at, walk->tree);
}

/* Adds a state to the set; returns whether it is new. */
static bool state_add(struct walk *walk, uint64_t state)
{
    uint64_t hash = (state ^ state >> 29) * UINT64_C(0x9e3779b97f4a7c15);

    for (uint64_t i = hash >> 32;; i++) {
        uint64_t *slot = &walk->slot[i % SLOTS];
        if (*slot == state + 1) {
            return false;
        }
        if (*slot == 0) {
            assert_true(walk->state_count < STATES_MAX);
            *slot = state + 1;
            walk->state[walk->state_count++] = state;
            return true;
        }
    }
}

static bool cell_is_free(uint8_t cell)
{
    return cell == CELL_BACKED || cell == CELL_SCAVENGED;
}

/* The tree must be what the model has become. Notes the state, and goes back to where it came from.
 */
static void arrive(struct walk *walk, const struct model *model)
{
    const struct page_tree *tree = walk->tree;

    for (uint32_t i = 0; i < walk->page_count; i++) {
        uint32_t page = walk->first + i;
        const struct page_chunk *chunk = &tree->chunk[LOW_CHUNK + page / C];
        assert_int_equal(!page_bits_get(&chunk->in_use, page % C), cell_is_free(model->cell[i]));
        assert_int_equal(page_bits_get(&chunk->scavenged, page % C),
                         model->cell[i] == CELL_SCAVENGED || cell_is_bare(model->cell[i]));
    }
    walk->transition_count++;
    if (state_add(walk, state_pack(walk, model))) {
        tree_fixture_check(&walk->fixture);
    }
    snapshot_load(&walk->at, walk->tree);
}

/* ---- operations ----------------------------------------------------------------------------- */

/* The model as a map, whose pages are numbered so that alignment is as in the tree. */
static const struct page_map *map_of(struct walk *walk)
{
    for (uint32_t i = 0; i < walk->page_count; i++) {
        uint8_t cell = walk->from.cell[i];
        walk->map_state[walk->first + i] = cell == CELL_BACKED      ? PAGE_STATE_BACKED
                                           : cell == CELL_SCAVENGED ? PAGE_STATE_SCAVENGED
                                                                    : PAGE_STATE_TAKEN;
    }
    return &walk->map;
}

static void model_run(struct model *model, uint32_t first, uint32_t count)
{
    memset(model->cell + first, CELL_REST, count);
    model->cell[first] = CELL_RUN;
}

static void try_alloc(struct walk *walk, uint32_t count, uint32_t align)
{
    const struct page_map *map = map_of(walk);
    struct model model = walk->from;
    struct page_found found = page_tree_find_aligned(walk->tree, count, align);
    uint32_t expected = page_map_find_aligned(map, count, align);

    if (align == 1) {
        assert_int_equal(found.page, page_tree_find(walk->tree, count).page);
    }
    if (expected == PAGE_MAP_NONE) {
        assert_int_equal(found.page, PAGE_NONE);
        if (align == 1) {
            page_tree_note_exhausted(walk->tree, count);
        }
    } else {
        assert_int_equal(found.page, walk->base + expected);
        assert_int_equal(page_tree_count_scavenged(walk->tree, found.page, count),
                         page_map_count(map, expected, count, PAGE_STATE_SCAVENGED));
        page_tree_take(walk->tree, found, count,
                       page_tree_count_scavenged(walk->tree, found.page, count));
        model_run(&model, expected - walk->first, count);
    }
    arrive(walk, &model);
}

/* Takes a run as it lies: what is scavenged of it is bare. */
static void try_reserve(struct walk *walk, uint32_t count)
{
    struct model model = walk->from;
    struct page_found found = page_tree_find(walk->tree, count);
    uint32_t expected = page_map_find(map_of(walk), count), bare = 0;

    assert_int_equal(found.page == PAGE_NONE, expected == PAGE_MAP_NONE);
    if (found.page == PAGE_NONE) {
        return;
    }
    assert_int_equal(found.page, walk->base + expected);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *cell = &model.cell[expected - walk->first + i];
        bool is_bare = *cell == CELL_SCAVENGED;
        bare += is_bare;
        *cell =
            i == 0 ? (is_bare ? CELL_BARE_RUN : CELL_RUN) : (is_bare ? CELL_BARE_REST : CELL_REST);
    }
    assert_int_equal(page_tree_take_bare(walk->tree, found, count), bare);
    arrive(walk, &model);
}

/* Pages of the run that begins at page `i`; 0: none does. `*ret_bare` of them are bare. */
static uint32_t run_length(const struct walk *walk, uint32_t i, uint32_t *ret_bare)
{
    const uint8_t *cell = walk->from.cell;
    uint32_t count = 0;

    *ret_bare = 0;
    while (i + count < walk->page_count &&
           (count == 0 ? cell_begins_run(cell[i]) : cell_goes_on(cell[i + count]))) {
        *ret_bare += cell_is_bare(cell[i + count]);
        count++;
    }
    return count;
}

/* Frees the run that begins at page `i`, if one does. */
static void try_free(struct walk *walk, uint32_t i)
{
    struct model model = walk->from;
    uint32_t bare, count = run_length(walk, i, &bare);
    uint64_t page = walk->base + walk->first + i;

    if (count == 0) {
        return;
    }
    for (uint32_t at = i; at < i + count; at++) {
        model.cell[at] = cell_is_bare(model.cell[at]) ? CELL_SCAVENGED : CELL_BACKED;
    }
    if (bare == 0) {
        page_tree_free(walk->tree, page, count);
        arrive(walk, &model);
    }
    assert_int_equal(page_tree_free_bare(walk->tree, page, count), bare);
    arrive(walk, &model);
}

/* Backs pages [first, end) of a run, whether they are or not. */
static void try_back(struct walk *walk, uint32_t first, uint32_t end)
{
    struct model model = walk->from;
    uint64_t page = walk->base + walk->first + first;

    for (uint32_t at = first; at < end; at++) {
        uint8_t cell = model.cell[at];
        model.cell[at] = cell == CELL_BARE_RUN    ? CELL_RUN
                         : cell == CELL_BARE_REST ? CELL_REST
                                                  : cell;
    }
    page_tree_back(walk->tree, page, end - first,
                   page_tree_count_scavenged(walk->tree, page, end - first));
    arrive(walk, &model);
}

/* Unbacks those pages [first, end) of a run that are backed, a stretch at a time. */
static void try_unback(struct walk *walk, uint32_t first, uint32_t end)
{
    struct model model = walk->from;
    uint64_t base = walk->base + walk->first;
    struct page_stretch stretch = {base + first, 0};

    while (page_tree_next_unscavenged(walk->tree, stretch.page + stretch.page_count, base + end,
                                      &stretch)) {
        page_tree_unback(walk->tree, stretch.page, stretch.page_count);
    }
    for (uint32_t at = first; at < end; at++) {
        uint8_t cell = model.cell[at];
        model.cell[at] = cell == CELL_RUN    ? CELL_BARE_RUN
                         : cell == CELL_REST ? CELL_BARE_REST
                                             : cell;
    }
    arrive(walk, &model);
}

/* Each end of the run that begins at page `i`, and all of it. */
static void try_backing(struct walk *walk, uint32_t i)
{
    uint32_t bare, count = run_length(walk, i, &bare);

    for (uint32_t cut = 1; cut <= count; cut++) {
        try_back(walk, i, i + cut);
        try_unback(walk, i + count - cut, i + count);
    }
}

/* The highest backed run of a chunk, `max_count` pages of it, loses its backing. */
static void try_scavenge(struct walk *walk, uint32_t chunk, uint32_t max_count)
{
    const struct page_chunk *bits = &walk->tree->chunk[LOW_CHUNK + chunk];
    struct model model = walk->from;
    struct page_bits_candidate found =
        page_bits_find_candidate(&bits->in_use, &bits->scavenged, C - 1, 1, max_count, 256, false);
    uint32_t end = walk->page_count, low = chunk * C, high = low + C;

    while (end > 0 && (model.cell[end - 1] != CELL_BACKED || walk->first + end - 1 < low ||
                       walk->first + end > high)) {
        end--;
    }
    uint32_t first = end;
    while (first > 0 && end - first < max_count && model.cell[first - 1] == CELL_BACKED &&
           walk->first + first > low) {
        first--;
    }
    assert_int_equal(found.count, end - first);
    if (found.count == 0) {
        return;
    }
    assert_int_equal(low + found.first, walk->first + first);
    tree_fixture_take_at(&walk->fixture, walk->base + walk->first + first, found.count);
    page_tree_free_scavenged(walk->tree, walk->base + walk->first + first, found.count);
    memset(model.cell + first, CELL_SCAVENGED, found.count);
    arrive(walk, &model);
}

static bool model_holds_block(const struct model *model)
{
    for (uint32_t i = 0; i < PAGES_MAX; i++) {
        if (cell_is_held(model->cell[i])) {
            return true;
        }
    }
    return false;
}

/* Takes the block of the lowest free page: whole, or that page alone as a run. */
static void try_take_block(struct walk *walk, bool is_whole)
{
    struct model model = walk->from;
    uint32_t lowest = page_map_find(map_of(walk), 1);
    struct page_block block = page_tree_peek_block(walk->tree);

    if (lowest == PAGE_MAP_NONE) {
        assert_int_equal(block.first_page, PAGE_NONE);
        return;
    }
    assert_int_equal(block.first_page, walk->base + lowest / 64 * 64);
    for (uint32_t i = 0; i < walk->page_count; i++) {
        if ((walk->first + i) / 64 != lowest / 64 || !cell_is_free(model.cell[i])) {
            continue;
        }
        uint32_t bit = (walk->first + i) % 64;
        assert_true(block.free >> bit & 1);
        assert_int_equal(block.scavenged >> bit & 1, model.cell[i] == CELL_SCAVENGED);
        if (is_whole) {
            model.cell[i] =
                model.cell[i] == CELL_SCAVENGED ? CELL_HELD_SCAVENGED : CELL_HELD_BACKED;
        } else if (walk->first + i == lowest) {
            model.cell[i] = CELL_RUN;
        }
    }
    page_tree_take_block(walk->tree, block, is_whole ? block.free : block.free & -block.free);
    arrive(walk, &model);
}

/* Gives the held block back: whole, or all but its lowest page, which stays as a run. */
static void try_give_block(struct walk *walk, bool is_lowest_kept)
{
    struct model model = walk->from;
    struct page_block block = {.first_page = PAGE_NONE};
    bool is_kept = is_lowest_kept;

    for (uint32_t i = 0; i < walk->page_count; i++) {
        if (!cell_is_held(model.cell[i])) {
            continue;
        }
        uint32_t page = walk->first + i;
        block.first_page = walk->base + page / 64 * 64;
        if (is_kept) {
            model.cell[i] = CELL_RUN;
            is_kept = false;
            continue;
        }
        bool is_scavenged = model.cell[i] == CELL_HELD_SCAVENGED;
        block.free |= UINT64_C(1) << page % 64;
        block.scavenged |= (uint64_t)is_scavenged << page % 64;
        model.cell[i] = is_scavenged ? CELL_SCAVENGED : CELL_BACKED;
    }
    page_tree_give_block(walk->tree, block);
    arrive(walk, &model);
}

static void try_everything(struct walk *walk)
{
    for (uint32_t count = 1; count <= walk->page_count; count++) {
        try_alloc(walk, count, 1);
        if (walk->is_reserving) {
            try_reserve(walk, count);
        }
    }
    for (uint32_t count = 1; count <= 3; count++) {
        try_alloc(walk, count, 2);
        try_alloc(walk, count, 4);
    }
    for (uint32_t i = 0; i < walk->page_count; i++) {
        try_free(walk, i);
        if (walk->is_reserving) {
            try_backing(walk, i);
        }
    }
    for (uint32_t chunk = 0; chunk < 2; chunk++) {
        try_scavenge(walk, chunk, 1);
        try_scavenge(walk, chunk, C);
    }
    if (model_holds_block(&walk->from)) {
        try_give_block(walk, false);
        try_give_block(walk, true);
    } else {
        try_take_block(walk, false);
        try_take_block(walk, true);
    }
}

/* ---- walks ---------------------------------------------------------------------------------- */

struct placement {
    const char *name;
    uint32_t first; /* of the pages, from chunk LOW_CHUNK */
    uint32_t page_count;
    bool is_reserving;
};

static struct placement placements[] = {
    {"every_history_inside_one_word", 64 + 7, WHOLE_PAGES, false},
    {"every_history_over_a_word_edge", 128 - CUT_PAGES / 2, CUT_PAGES, false},
    {"every_history_over_a_chunk_edge", C - CUT_PAGES / 2, CUT_PAGES, false},
    {"every_history_at_the_end_of_what_is_grown", 2 * C - WHOLE_PAGES, WHOLE_PAGES, false},
    {"every_history_of_bare_pages_inside_one_word", 64 + 7, BARE_PAGES, true},
    {"every_history_of_bare_pages_over_a_word_edge", 128 - BARE_PAGES / 2, BARE_PAGES, true},
    {"every_history_of_bare_pages_over_a_chunk_edge", C - BARE_PAGES / 2, BARE_PAGES, true},
    {"every_history_of_bare_pages_at_the_end_of_what_is_grown", 2 * C - BARE_PAGES, BARE_PAGES,
     true},
};

static void walk_open(struct walk *walk, uint32_t first, uint32_t page_count)
{
    *walk =
        (struct walk){.base = fixture_page(LOW_CHUNK, 0), .first = first, .page_count = page_count};
    walk->tree = &walk->fixture.tree;
    walk->map = (struct page_map){walk->map_state, first + page_count};
    walk->slot = calloc(SLOTS, sizeof(*walk->slot));
    walk->state = calloc(STATES_MAX, sizeof(*walk->state));
    assert_non_null(walk->slot);
    assert_non_null(walk->state);
    tree_fixture_open(&walk->fixture, PAGE_CHUNKS_MAX);
    tree_fixture_grow(&walk->fixture, LOW_CHUNK, 2);
    assert_int_equal(tree_fixture_alloc(&walk->fixture, (uint64_t)2 * C, NULL), walk->base);
    snapshot_save(&walk->all_taken, walk->tree);
}

static void walk_every_state(void **state)
{
    const struct placement *placement = *state;
    static struct walk walk;

    walk_open(&walk, placement->first, placement->page_count);
    walk.is_reserving = placement->is_reserving;
    /* All pages free and backed (cells of 0), the search address at the first. */
    assert_true(state_add(&walk, (uint64_t)(walk.first + 1) << SEARCH_SHIFT));
    for (uint32_t i = 0; i < walk.state_count; i++) {
        state_load(&walk, walk.state[i]);
        try_everything(&walk);
    }
    print_message("%u pages: %u states, %llu transitions\n", walk.page_count, walk.state_count,
                  (unsigned long long)walk.transition_count);
    /* Each page is backed, scavenged or a run by itself in some state, whatever the others are. */
    uint32_t least = 1;
    for (uint32_t i = 0; i < walk.page_count; i++) {
        least *= 3;
    }
    assert_true(walk.state_count > least);
    tree_fixture_close(&walk.fixture);
    free(walk.slot);
    free(walk.state);
}

int main(void)
{
    enum { PLACEMENTS = sizeof(placements) / sizeof(placements[0]) };
    struct CMUnitTest tests[PLACEMENTS];

    for (size_t i = 0; i < PLACEMENTS; i++) {
        tests[i] =
            (struct CMUnitTest){placements[i].name, walk_every_state, NULL, NULL, &placements[i]};
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
