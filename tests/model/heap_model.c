/*
 * The naive model: for each page of each lane, which run holds it.
 *
 *   lane[i].map    page -> slot + 1 of the run that holds it, 0: nobody's
 *   lane[i].bare   page -> whether it is of a reserved run and not backed
 *   slot[]         runs in use; a slot keeps its number while the run lives
 *   live[]         numbers of the slots in use, in no order
 *
 * The model does not predict addresses: page caches make placement depend on too much to be naive
 * about. It holds the heap to what any placement must obey:
 *
 *   1. A run lies in its lane, aligned, on pages that no other run holds.
 *   2. What was written into a run is there until it is freed.
 *   3. A run said to be zero is zero.
 *   4. The ledger's rows are the sums over runs, its states add up, and nothing stays in flight.
 *   5. Of a reserved run exactly the pages count that came backed or were backed since; a page is
 *      zero when it is backed anew.
 *   6. A refusal is just: with everything free given back, the bytes would not have fitted (or the
 *      aligned pages not above what the lane has grown to).
 *
 * With contents, the first word of each page of a run holds the run's tag and the page's place in
 * it, so that a page handed out twice, moved, or given back under its holder shows.
 */
#include "model/heap_model.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <os/os_sim.h>
#include <page/page.h>

#include "unit/base/random.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#define LANES         3u
#define OWNERS        4u
#define LANE_BYTES    Q_GIB(1)
#define LANE_PAGES    (LANE_BYTES / PAGE_BYTES)
#define SPACE_BYTES   Q_GIB(16)
#define LIMIT_LEAST   Q_MIB(4)
#define LIMIT_MOST    Q_MIB(96)
#define RUNS_MAX      (LIMIT_MOST / PAGE_BYTES)
#define ROWS_MAX      64u
#define RUN_PAGES_MAX 1500u
/* What growth for a run may cost beside the run: an OS page and a half for each metadata array. */
#define GROWTH_SLACK_BYTES Q_KIB(96)

struct model_run {
    char *base;
    uint64_t page;
    uint64_t page_count;
    uint64_t tag;
    uint32_t lane;
    uint32_t owner;
    uint32_t live_index;
    bool is_reserved;
};

struct model_lane {
    struct page_lane *lane;
    uint64_t owner_pages[OWNERS];
    uint32_t *map; /* own: LANE_PAGES of them, */
    bool *bare;    /* and of these */
};

struct heap_model {
    struct heap_model_options options;
    struct heap_model_source source;
    uint64_t step_count;
    struct os_sim sim;
    struct page_heap *heap;
    uint64_t limit_bytes;
    struct model_lane lane[LANES];
    uint32_t owner[OWNERS];
    uint64_t in_use_pages;
    uint64_t last_tag;
    uint64_t lane_serial; /* for names of lanes */
    bool is_filling;
    bool is_reclaimable;          /* the reclaimer is registered */
    const struct model_run *busy; /* which it must leave alone; NULL: none */
    struct model_run slot[RUNS_MAX];
    uint32_t free_slot[RUNS_MAX];
    uint32_t live[RUNS_MAX];
    uint32_t live_count;
};

/* Aborts with what does not hold. */
#define HOLDS(model, condition)                                                                    \
    (Q_LIKELY(condition) ? (void)0 : model_failed(model, #condition, __LINE__))

_Noreturn static void model_failed(const struct heap_model *model, const char *what, int line)
{
    fprintf(stderr, "heap_model.c:%d: does not hold at operation %" PRIu64 ": %s\n", line,
            model->step_count, what);
    abort();
}

/* ---- choices -------------------------------------------------------------------------------- */

static bool is_source_empty(const struct heap_model *model)
{
    return model->source.bytes != NULL && model->source.byte_count == 0;
}

static uint8_t next_byte(struct heap_model *model)
{
    if (model->source.byte_count == 0) {
        return 0;
    }
    model->source.byte_count--;
    return *model->source.bytes++;
}

/* A number below `bound`, at most 2^16; 0 for ever once the bytes are used up. */
static uint64_t below(struct heap_model *model, uint64_t bound)
{
    if (model->source.bytes == NULL) {
        return random_u64(&model->source.random) % bound;
    }
    uint64_t number = next_byte(model);
    if (bound > 256) {
        number |= (uint64_t)next_byte(model) << 8;
    }
    return number % bound;
}

/* Mostly a few pages, seldom more than a chunk. */
static uint64_t choose_page_count(struct heap_model *model)
{
    uint64_t kind = below(model, 64);

    if (kind < 38) {
        return 1 + below(model, 4);
    }
    if (kind < 54) {
        return 1 + below(model, 20);
    }
    return 1 + below(model, kind < 63 ? 130 : RUN_PAGES_MAX);
}

/* ---- runs and their contents ---------------------------------------------------------------- */

static uint64_t *page_word(const struct model_run *run, uint64_t index)
{
    return (uint64_t *)(void *)(run->base + index * PAGE_BYTES);
}

static bool is_bare(const struct heap_model *model, const struct model_run *run, uint64_t index)
{
    return model->lane[run->lane].bare[run->page + index];
}

static void tag_pages(const struct heap_model *model, const struct model_run *run, uint64_t from)
{
    for (uint64_t i = from; model->options.has_contents && i < run->page_count; i++) {
        if (!is_bare(model, run, i)) {
            *page_word(run, i) = run->tag + i;
        }
    }
}

static void check_tags(const struct heap_model *model, const struct model_run *run)
{
    for (uint64_t i = 0; model->options.has_contents && i < run->page_count; i++) {
        HOLDS(model, is_bare(model, run, i) || *page_word(run, i) == run->tag + i);
    }
}

/* The words that tags are written to, and all of the last page. */
static void check_zero(const struct heap_model *model, const struct model_run *run)
{
    const uint64_t *last = page_word(run, run->page_count - 1);

    for (uint64_t i = 0; i < run->page_count; i++) {
        HOLDS(model, *page_word(run, i) == 0);
    }
    for (size_t i = 0; i < PAGE_BYTES / sizeof(*last); i++) {
        HOLDS(model, last[i] == 0);
    }
}

/* Pages [from, to) of a run become its own, which nobody may hold; or nobody's. */
static void map_pages(struct heap_model *model, const struct model_run *run, uint64_t from,
                      uint64_t to)
{
    struct model_lane *lane = &model->lane[run->lane];
    uint32_t slot = (uint32_t)(run - model->slot);

    HOLDS(model, run->page + to <= LANE_PAGES);
    for (uint64_t page = run->page + from; page < run->page + to; page++) {
        HOLDS(model, lane->map[page] == 0);
        lane->map[page] = slot + 1;
    }
    lane->owner_pages[run->owner] += to - from;
    model->in_use_pages += to - from;
}

static void unmap_pages(struct heap_model *model, const struct model_run *run, uint64_t from,
                        uint64_t to)
{
    struct model_lane *lane = &model->lane[run->lane];
    uint32_t slot = (uint32_t)(run - model->slot);
    uint64_t backed_pages = to - from;

    for (uint64_t page = run->page + from; page < run->page + to; page++) {
        HOLDS(model, lane->map[page] == slot + 1);
        lane->map[page] = 0;
        backed_pages -= lane->bare[page];
        lane->bare[page] = false;
    }
    lane->owner_pages[run->owner] -= backed_pages;
    model->in_use_pages -= backed_pages;
}

/* Pages of a reserved run change sides. Returns: how many did. */
static uint64_t set_bare(struct heap_model *model, const struct model_run *run, uint64_t from,
                         uint64_t to, bool is_to_be_bare)
{
    struct model_lane *lane = &model->lane[run->lane];
    uint64_t changed_pages = 0;

    for (uint64_t page = run->page + from; page < run->page + to; page++) {
        changed_pages += lane->bare[page] != is_to_be_bare;
        lane->bare[page] = is_to_be_bare;
    }
    uint64_t sign = is_to_be_bare ? UINT64_MAX : 1;
    lane->owner_pages[run->owner] += sign * changed_pages;
    model->in_use_pages += sign * changed_pages;
    return changed_pages;
}

static struct model_run *remember_run(struct heap_model *model, uint32_t lane, uint32_t owner,
                                      uint64_t page_count, struct page_run given)
{
    HOLDS(model, model->live_count < RUNS_MAX);
    uint32_t slot = model->free_slot[model->live_count];
    struct model_run *run = &model->slot[slot];
    struct page_lane *page_lane = model->lane[lane].lane;

    *run = (struct model_run){.base = given.base,
                              .page = page_lane_page(page_lane, given.base),
                              .page_count = page_count,
                              .tag = ++model->last_tag << 32,
                              .lane = lane,
                              .owner = owner,
                              .live_index = model->live_count};
    model->live[model->live_count++] = slot;
    HOLDS(model, page_heap_lane_of(model->heap, given.base) == page_lane);
    HOLDS(model, page_lane_run_pages(page_lane, given.base) == page_count);
    HOLDS(model, page_lane_run_owner(page_lane, given.base) == model->owner[owner]);
    map_pages(model, run, 0, page_count);
    return run;
}

/* As remember_run, for pages that are all there. */
static void fill_run(struct heap_model *model, uint32_t lane, uint32_t owner, uint64_t page_count,
                     struct page_run given)
{
    struct model_run *run = remember_run(model, lane, owner, page_count, given);

    if (given.is_zero && model->options.has_contents) {
        check_zero(model, run);
    }
    tag_pages(model, run, 0);
}

static void forget_run(struct heap_model *model, struct model_run *run)
{
    uint32_t last = model->live[--model->live_count];

    unmap_pages(model, run, 0, run->page_count);
    model->live[run->live_index] = last;
    model->slot[last].live_index = run->live_index;
    model->free_slot[model->live_count] = (uint32_t)(run - model->slot);
}

static struct model_run *choose_run(struct heap_model *model)
{
    return model->live_count == 0 ? NULL
                                  : &model->slot[model->live[below(model, model->live_count)]];
}

static void free_run(struct heap_model *model, struct model_run *run, bool is_to_tree)
{
    struct page_lane *lane = model->lane[run->lane].lane;
    void *base = run->base;

    check_tags(model, run);
    HOLDS(model, page_lane_run_pages(lane, base) == run->page_count);
    HOLDS(model, page_lane_run_owner(lane, base) == model->owner[run->owner]);
    forget_run(model, run);
    if (is_to_tree) {
        page_lane_free(lane, base);
    } else {
        page_free(lane, base);
    }
}

/* ---- refusals ------------------------------------------------------------------------------- */

static uint64_t metadata_bytes(const struct heap_model *model)
{
    return atomic_load_relaxed_u64(&model->heap->commit.metadata_bytes);
}

/* What growing by a run needs at most: heads and bitmaps of its chunks, and the rounding. */
static uint64_t growth_bytes(uint64_t page_count, uint64_t align_pages)
{
    uint64_t chunk_count = (page_count + align_pages) / PAGE_CHUNK_PAGES + 2;

    return chunk_count * Q_KIB(3) + GROWTH_SLACK_BYTES;
}

/* `charged_pages`: of the page count, what would have been charged. */
static void check_refusal(const struct heap_model *model, uint32_t lane, uint64_t page_count,
                          uint64_t charged_pages, uint64_t align_pages, enum quarry_status status)
{
    const struct page_lane *page_lane = model->lane[lane].lane;
    uint64_t needed_bytes = metadata_bytes(model) + growth_bytes(page_count, align_pages) +
                            ((model->in_use_pages + charged_pages) << PAGE_SHIFT);
    uint64_t grown_pages = (uint64_t)page_lane->grown_chunks << PAGE_CHUNK_SHIFT;

    if (status == QUARRY_NO_ADDRESS) {
        HOLDS(model, size_align_up_u64(grown_pages, align_pages) + page_count > LANE_PAGES);
    } else {
        HOLDS(model, status == QUARRY_NO_MEMORY);
        HOLDS(model, needed_bytes > model->limit_bytes);
    }
}

/* ---- operations ----------------------------------------------------------------------------- */

static void do_alloc(struct heap_model *model)
{
    uint32_t lane = (uint32_t)below(model, LANES), owner = (uint32_t)below(model, OWNERS);
    uint64_t page_count = choose_page_count(model);
    struct page_run run = page_alloc(model->lane[lane].lane, model->owner[owner], page_count);

    HOLDS(model, (run.base != NULL) == (run.status == QUARRY_OK));
    if (run.base != NULL) {
        fill_run(model, lane, owner, page_count, run);
    } else {
        check_refusal(model, lane, page_count, page_count, 1, run.status);
    }
}

/* Alignments up to 16 MiB, the larger the rarer. */
static void do_alloc_aligned(struct heap_model *model)
{
    uint32_t lane = (uint32_t)below(model, LANES), owner = (uint32_t)below(model, OWNERS);
    uint64_t page_count = choose_page_count(model);
    uint64_t align_pages = (uint64_t)1 << below(model, 1 + below(model, 12));
    struct page_run run =
        page_lane_alloc(model->lane[lane].lane, model->owner[owner], page_count, align_pages);

    HOLDS(model, (run.base != NULL) == (run.status == QUARRY_OK));
    if (run.base == NULL) {
        check_refusal(model, lane, page_count, page_count, align_pages, run.status);
        return;
    }
    HOLDS(model, (uintptr_t)run.base % (align_pages << PAGE_SHIFT) == 0);
    fill_run(model, lane, owner, page_count, run);
}

static void do_free(struct heap_model *model)
{
    struct model_run *run = choose_run(model);

    if (run != NULL) {
        free_run(model, run, below(model, 8) == 0);
    }
}

/* Whether the model knows of anybody in the pages that a longer run would take. */
static bool is_tail_free(const struct heap_model *model, const struct model_run *run,
                         uint64_t page_count)
{
    const uint32_t *map = model->lane[run->lane].map;
    uint64_t page = run->page + run->page_count, end = run->page + page_count;

    while (page < end && page < LANE_PAGES && map[page] == 0) {
        page++;
    }
    return page == end;
}

static void do_resize(struct heap_model *model)
{
    struct model_run *run = choose_run(model);

    if (run == NULL || run->is_reserved) {
        return;
    }
    uint64_t old_count = run->page_count;
    uint64_t page_count = 1 + below(model, below(model, 2) == 0 ? old_count : 2 * old_count);
    struct page_lane *lane = model->lane[run->lane].lane;
    enum quarry_status status = page_lane_resize(lane, run->base, page_count);

    if (status != QUARRY_OK) {
        /* Busy may be a cache's doing; no memory is said of pages that are free. */
        HOLDS(model, page_count > old_count);
        HOLDS(model, status == QUARRY_BUSY || status == QUARRY_NO_MEMORY);
        HOLDS(model, status == QUARRY_BUSY || is_tail_free(model, run, page_count));
        HOLDS(model, page_lane_run_pages(lane, run->base) == old_count);
        return;
    }
    run->page_count = page_count;
    if (page_count < old_count) {
        unmap_pages(model, run, page_count, old_count);
    } else {
        map_pages(model, run, old_count, page_count);
        tag_pages(model, run, old_count);
    }
    HOLDS(model, page_lane_run_pages(lane, run->base) == page_count);
    check_tags(model, run);
}

static void do_reserve(struct heap_model *model)
{
    uint32_t lane = (uint32_t)below(model, LANES), owner = (uint32_t)below(model, OWNERS);
    uint64_t page_count = 1 + choose_page_count(model);
    uint64_t align_pages = (uint64_t)1 << below(model, 9);

    if (model->live_count > RUNS_MAX / 2) {
        return;
    }
    struct page_run given =
        page_lane_reserve_run(model->lane[lane].lane, model->owner[owner], page_count, align_pages);
    HOLDS(model, (given.base != NULL) == (given.status == QUARRY_OK));
    if (given.base == NULL) {
        check_refusal(model, lane, page_count, 0, align_pages, given.status);
        return;
    }
    HOLDS(model, (uintptr_t)given.base % (align_pages << PAGE_SHIFT) == 0);
    struct model_run *run = remember_run(model, lane, owner, page_count, given);
    run->is_reserved = true;
    /* Which of its pages were free and backed is the heap's to say. */
    for (uint64_t i = 0; i < page_count; i++) {
        bool is_bare =
            page_tree_count_scavenged(&model->lane[lane].lane->tree, run->page + i, 1) != 0;
        (void)set_bare(model, run, i, i + 1, is_bare);
    }
    tag_pages(model, run, 0);
}

/* Some pages of a reserved run. */
struct model_part {
    struct model_run *run; /* NULL: there is none */
    uint64_t first;
    uint64_t page_count;
};

/* The first reserved run in a few. */
static struct model_part choose_part(struct heap_model *model)
{
    for (uint32_t tries = 0; tries < 16; tries++) {
        struct model_run *run = choose_run(model);
        if (run != NULL && run->is_reserved) {
            uint64_t first = below(model, run->page_count);
            return (struct model_part){run, first, 1 + below(model, run->page_count - first)};
        }
    }
    return (struct model_part){.run = NULL};
}

static void do_back(struct heap_model *model)
{
    struct model_part part = choose_part(model);
    uint64_t end = part.first + part.page_count, bare_pages = 0, backed_pages;

    if (part.run == NULL) {
        return;
    }
    for (uint64_t i = part.first; i < end; i++) {
        bare_pages += is_bare(model, part.run, i);
    }
    model->busy = part.run;
    enum quarry_status status = page_lane_back(model->lane[part.run->lane].lane, part.run->base,
                                               part.first, part.page_count, &backed_pages);
    model->busy = NULL;
    if (status != QUARRY_OK) {
        HOLDS(model, status == QUARRY_NO_MEMORY && bare_pages > 0);
        HOLDS(model, metadata_bytes(model) + ((model->in_use_pages + bare_pages) << PAGE_SHIFT) >
                         model->limit_bytes);
        return;
    }
    HOLDS(model, backed_pages == bare_pages);
    for (uint64_t i = part.first; model->options.has_contents && i < end; i++) {
        HOLDS(model, !is_bare(model, part.run, i) || *page_word(part.run, i) == 0);
    }
    HOLDS(model, set_bare(model, part.run, part.first, end, false) == bare_pages);
    tag_pages(model, part.run, 0);
}

static void do_unback(struct heap_model *model)
{
    struct model_part part = choose_part(model);
    uint64_t unbacked_pages;

    if (part.run == NULL) {
        return;
    }
    enum quarry_status status = page_lane_unback(model->lane[part.run->lane].lane, part.run->base,
                                                 part.first, part.page_count, &unbacked_pages);
    HOLDS(model, status == QUARRY_OK);
    HOLDS(model, set_bare(model, part.run, part.first, part.first + part.page_count, true) ==
                     unbacked_pages);
    check_tags(model, part.run);
}

static void do_scavenge(struct heap_model *model)
{
    static const uint64_t duration_ns[] = {Q_MS_NS, 50 * Q_MS_NS, 300 * Q_MS_NS, 3 * Q_SECOND_NS};

    os_sim_advance(&model->sim, duration_ns[below(model, COUNT_OF(duration_ns))]);
    (void)page_scavenger_run(model->heap);
}

static void do_give_back(struct heap_model *model)
{
    switch (below(model, 32)) {
    case 0:
        (void)page_heap_trim(model->heap);
        break;
    case 1:
    case 2:
    case 3:
        page_caches_flush_all(model->heap);
        break;
    default:
        page_caches_flush_idle(model->heap);
        break;
    }
}

static void do_limit(struct heap_model *model)
{
    uint64_t steps = (LIMIT_MOST - LIMIT_LEAST) / Q_MIB(1);
    uint64_t limit_bytes = LIMIT_LEAST + below(model, steps) * Q_MIB(1);
    enum quarry_status status = page_heap_set_limit(model->heap, limit_bytes);

    if (status == QUARRY_OK) {
        model->limit_bytes = limit_bytes;
        return;
    }
    HOLDS(model, status == QUARRY_NO_MEMORY);
    HOLDS(model, (model->in_use_pages << PAGE_SHIFT) + metadata_bytes(model) > limit_bytes);
    HOLDS(model, page_commit_read(&model->heap->commit).limit_bytes == model->limit_bytes);
}

/* Frees runs of the model until it has freed what is wanted. Called from inside of allocations. */
static uint64_t reclaim(void *argument, uint64_t wanted_bytes)
{
    struct heap_model *model = argument;
    uint64_t freed_bytes = 0;

    while (freed_bytes < wanted_bytes && model->live_count > 0) {
        struct model_run *run = choose_run(model);
        if (run == model->busy && model->live_count == 1) {
            break;
        }
        if (run == model->busy) {
            run = &model->slot[model->live[(run->live_index + 1) % model->live_count]];
        }
        uint64_t in_use_pages = model->in_use_pages;
        free_run(model, run, false);
        freed_bytes += (in_use_pages - model->in_use_pages) << PAGE_SHIFT;
    }
    return freed_bytes;
}

static void do_reclaimer(struct heap_model *model)
{
    if (model->is_reclaimable) {
        page_heap_remove_reclaimer(model->heap, reclaim, model);
    } else {
        HOLDS(model, page_heap_add_reclaimer(model->heap, 1, reclaim, model) == QUARRY_OK);
    }
    model->is_reclaimable = !model->is_reclaimable;
}

static struct page_lane *create_lane(struct heap_model *model)
{
    char name[PAGE_LANE_NAME_BYTES];
    const struct page_lane_options options = {
        .name = name,
        .reserved_bytes = LANE_BYTES,
        .wants_huge_pages = model->lane_serial % 2 == 0,
    };
    struct quarry_error error;
    struct page_lane *lane = NULL;

    snprintf(name, sizeof(name), "lane %" PRIu64, ++model->lane_serial);
    enum quarry_status status = page_lane_create(model->heap, &options, &lane, &error);
    HOLDS(model, status == QUARRY_OK);
    return lane;
}

/* A lifetime ends, with all its runs; seldom the lane with it. */
static void do_end_lane(struct heap_model *model)
{
    uint32_t number = (uint32_t)below(model, LANES);
    struct model_lane *lane = &model->lane[number];

    if (below(model, 64) != 0) {
        return;
    }
    for (uint32_t i = model->live_count; i > 0; i--) {
        struct model_run *run = &model->slot[model->live[i - 1]];
        if (run->lane == number) {
            check_tags(model, run);
            forget_run(model, run);
        }
    }
    bool had_room = model->limit_bytes - metadata_bytes(model) > Q_KIB(64);
    if (below(model, 2) == 0 && had_room) {
        page_lane_destroy(lane->lane);
        lane->lane = create_lane(model);
    } else {
        page_lane_end(lane->lane);
        HOLDS(model, lane->lane->tree.free_pages == lane->lane->tree.scavenged_pages);
    }
}

/* ---- comparing ------------------------------------------------------------------------------ */

static void check_row(struct heap_model *model, const struct quarry_ledger_row *row)
{
    for (uint32_t lane = 0; lane < LANES; lane++) {
        for (uint32_t owner = 0; owner < OWNERS; owner++) {
            if (model->lane[lane].lane->id == row->lane && model->owner[owner] == row->owner) {
                HOLDS(model,
                      model->lane[lane].owner_pages[owner] << PAGE_SHIFT == row->in_use_bytes);
                return;
            }
        }
    }
    model_failed(model, "a row of the ledger is of a lane and owner of the model", __LINE__);
}

static void check_ledger(struct heap_model *model)
{
    struct quarry_ledger_row row[ROWS_MAX];
    struct quarry_ledger totals;
    size_t row_count = page_heap_ledger(model->heap, &totals, row, ROWS_MAX);
    size_t expected_count = 0;

    HOLDS(model, totals.in_use_bytes == model->in_use_pages << PAGE_SHIFT);
    HOLDS(model, totals.in_flight_bytes == 0);
    HOLDS(model, totals.committed_bytes <= totals.limit_bytes);
    HOLDS(model, totals.limit_bytes == model->limit_bytes);
    for (uint32_t lane = 0; lane < LANES; lane++) {
        for (uint32_t owner = 0; owner < OWNERS; owner++) {
            expected_count += model->lane[lane].owner_pages[owner] != 0;
        }
    }
    HOLDS(model, row_count == expected_count);
    for (size_t i = 0; i < row_count; i++) {
        check_row(model, &row[i]);
    }
}

void heap_model_check(struct heap_model *model)
{
    struct quarry_error error = {0};

    if (page_heap_validate(model->heap, &error) != QUARRY_OK) {
        model_failed(model, error.text, __LINE__);
    }
    check_ledger(model);
    for (uint32_t i = 0; i < model->live_count; i++) {
        check_tags(model, &model->slot[model->live[i]]);
    }
}

/* ---- histories ------------------------------------------------------------------------------ */

struct operation {
    uint8_t weight; /* of 256 */
    void (*run)(struct heap_model *model);
};

static void do_turn(struct heap_model *model)
{
    model->is_filling = !model->is_filling;
}

static void do_fill_or_drain(struct heap_model *model)
{
    if (model->is_filling) {
        do_alloc(model);
    } else {
        do_free(model);
    }
}

static const struct operation operations[] = {
    {90, do_alloc},   {82, do_free},     {44, do_fill_or_drain}, {12, do_resize},
    {8, do_scavenge}, {4, do_give_back}, {3, do_alloc_aligned},  {2, do_reserve},
    {4, do_back},     {2, do_unback},    {1, do_turn},           {1, do_limit},
    {1, do_end_lane}, {1, do_reclaimer}, {1, check_ledger},
};

bool heap_model_step(struct heap_model *model)
{
    if (is_source_empty(model)) {
        return false;
    }
    uint64_t choice = below(model, 256);
    size_t i = 0;
    model->step_count++;
    while (choice >= operations[i].weight) {
        choice -= operations[i++].weight;
        HOLDS(model, i < COUNT_OF(operations));
    }
    operations[i].run(model);
    return true;
}

static void create_heap(struct heap_model *model)
{
    const struct page_heap_options options = {.os = &model->sim.os,
                                              .limit_bytes = model->limit_bytes,
                                              .reserved_bytes = SPACE_BYTES,
                                              .has_no_thread = true};
    struct quarry_error error;
    enum quarry_status status = page_heap_create(&options, &model->heap, &error);

    HOLDS(model, status == QUARRY_OK);
    for (uint32_t i = 0; i < OWNERS; i++) {
        const char name[] = {(char)('a' + i), '\0'};
        status = page_ledger_register(&model->heap->ledger, name, &model->owner[i]);
        HOLDS(model, status == QUARRY_OK);
    }
    for (uint32_t i = 0; i < LANES; i++) {
        for (uint32_t gap = 0; i > 0 && gap < model->options.lane_gap; gap++) {
            (void)create_lane(model);
        }
        model->lane[i].lane = create_lane(model);
    }
}

struct heap_model *heap_model_create(const struct heap_model_options *options)
{
    const struct os_sim_options sim_options = {.real_backing = options->has_contents,
                                               .decommit_keeps_access = true,
                                               .decommit_cost_ns_per_page = 300};
    struct heap_model *model = calloc(1, sizeof(*model));

    Q_ASSERT(model != NULL);
    model->options = *options;
    model->source = options->source;
    for (uint32_t i = 0; i < RUNS_MAX; i++) {
        model->free_slot[i] = i;
    }
    for (uint32_t i = 0; i < LANES; i++) {
        model->lane[i].map = calloc(LANE_PAGES, sizeof(*model->lane[i].map));
        model->lane[i].bare = calloc(LANE_PAGES, sizeof(*model->lane[i].bare));
        Q_ASSERT(model->lane[i].map != NULL && model->lane[i].bare != NULL);
    }
    model->limit_bytes = LIMIT_LEAST + below(model, 64) * Q_MIB(1);
    model->is_filling = true;
    os_sim_init(&model->sim, &sim_options);
    create_heap(model);
    return model;
}

void heap_model_destroy(struct heap_model *model)
{
    struct os_sim_counters counters;

    page_heap_destroy(model->heap);
    os_sim_read_counters(&model->sim, &counters);
    HOLDS(model, counters.reserved_bytes == 0);
    HOLDS(model, counters.committed_bytes == 0);
    os_sim_fini(&model->sim);
    for (uint32_t i = 0; i < LANES; i++) {
        free(model->lane[i].map);
        free(model->lane[i].bare);
    }
    free(model);
}
