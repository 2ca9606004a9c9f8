/*
 * The workload: create, allocate, free, resize, scavenge, work in a second thread, move the limit,
 * end a lifetime, destroy a lane, restart the process and adopt the file's runs.
 *
 * Each step does what it can with what the steps before have left: a lane that could not be created
 * is passed over, a run that was refused is not freed. Each status must be one that may be
 * expected, each run keeps its tag, and after each step the heap must be whole.
 */
#include "fault/heap_workload.h"

#include <pthread.h>
#include <string.h>

#include "unit/base/cmocka_all.h"

#define LANE_BYTES      Q_GIB(1)
#define SPACE_BYTES     Q_GIB(8)
#define THREAD_RUNS     8u
#define THREAD_KEPT     2u
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

struct request {
    enum workload_lane lane;
    uint64_t page_count;
    uint64_t align_pages;
};

static const struct request first_requests[] = {
    {WORKLOAD_HOT, 1, 1},    {WORKLOAD_HOT, 2, 1},    {WORKLOAD_HOT, 5, 1},
    {WORKLOAD_HOT, 15, 1},   {WORKLOAD_HOT, 16, 1},   {WORKLOAD_HOT, 64, 1},
    {WORKLOAD_HOT, 100, 1},  {WORKLOAD_HOT, 600, 1},  {WORKLOAD_COLD, 1, 1},
    {WORKLOAD_COLD, 3, 64},  {WORKLOAD_COLD, 65, 1},  {WORKLOAD_COLD, 512, 512},
    {WORKLOAD_COLD, 1, 1},   {WORKLOAD_FILE, 1, 1},   {WORKLOAD_FILE, 7, 1},
    {WORKLOAD_FILE, 40, 16}, {WORKLOAD_FILE, 520, 1}, {WORKLOAD_FILE, 1, 1},
};
static const struct request later_requests[] = {
    {WORKLOAD_HOT, 1, 1},  {WORKLOAD_HOT, 90, 1},  {WORKLOAD_COLD, 1, 1},
    {WORKLOAD_COLD, 9, 1}, {WORKLOAD_FILE, 30, 1}, {WORKLOAD_FILE, 2, 1},
};

/* ---- address ranges that are lost ----------------------------------------------------------- */

/* The workload whose os is in use: one at a time. */
static struct workload *current;
static struct os_ops recording_ops;
static const struct os_ops *sim_ops;

static enum quarry_status recording_release(struct os *os, void *base, size_t bytes)
{
    enum quarry_status status = sim_ops->release(os, base, bytes);

    if (status != QUARRY_OK) {
        assert_true(current->lost_count < WORKLOAD_LOST_MAX);
        current->lost[current->lost_count++] = (struct workload_lost){base, bytes};
    }
    return status;
}

static enum quarry_status recording_uncommit(struct os *os, void *base, size_t bytes)
{
    enum quarry_status status = sim_ops->uncommit(os, base, bytes);

    current->is_place_lost |= status != QUARRY_OK;
    return status;
}

/* ---- statuses and checks -------------------------------------------------------------------- */

static bool is_ok(const struct workload *workload, enum quarry_status status)
{
    if (status != QUARRY_OK && (workload->allowed == QUARRY_OK ||
                                (status != workload->allowed && status != QUARRY_NO_MEMORY))) {
        fail_msg("unexpected: %s", quarry_status_name(status));
    }
    return status == QUARRY_OK;
}

/* The charge for metadata is what its parts have committed, and what could not be released. */
static void check_metadata(const struct workload *workload, uint64_t charged_bytes)
{
    const struct page_heap *heap = workload->heap;
    uint64_t expected_bytes = heap->metadata.committed_bytes + heap->ledger.committed_bytes;

    for (enum workload_lane lane = 0; lane < WORKLOAD_LANES; lane++) {
        expected_bytes += workload->lane[lane] != NULL ? workload->lane[lane]->metadata_bytes : 0;
    }
    if (workload->lost_count == 0 && !workload->is_place_lost) {
        assert_int_equal(charged_bytes, expected_bytes);
    } else {
        assert_true(charged_bytes >= expected_bytes);
    }
}

/* Blocks are behind pages that are charged, and behind no others. */
static void check_disk(struct workload *workload)
{
    const struct page_lane *lane = workload->lane[WORKLOAD_FILE];
    struct os_sim_counters counters;

    if (lane != NULL && !lane->is_adopting) {
        uint64_t charged_pages = lane->tree.total_pages - lane->tree.scavenged_pages;
        os_sim_read_counters(&workload->sim, &counters);
        assert_true(counters.disk_used_bytes <=
                    (charged_pages << PAGE_SHIFT) + WORKLOAD_HEADER_DISK_BYTES);
    }
}

void workload_check(struct workload *workload)
{
    struct quarry_error error = {0};
    struct quarry_ledger totals;

    if (workload->heap == NULL) {
        return;
    }
    if (page_heap_validate(workload->heap, &error) != QUARRY_OK) {
        fail_msg("%s", error.text);
    }
    (void)page_heap_ledger(workload->heap, &totals, NULL, 0);
    assert_int_equal(totals.in_flight_bytes, 0);
    assert_true(totals.committed_bytes <= totals.limit_bytes);
    assert_true(totals.peak_bytes <= totals.limit_bytes ||
                totals.peak_bytes <= workload->limit_bytes);
    check_metadata(workload, totals.metadata_bytes);
    check_disk(workload);
    workload->peak_bytes = size_max_u64(workload->peak_bytes, totals.peak_bytes);
}

/* ---- runs ----------------------------------------------------------------------------------- */

static uint64_t *first_word(const struct workload_run *run)
{
    return run->base;
}

static uint64_t *last_word(const struct workload_run *run)
{
    return (uint64_t *)(void *)((char *)run->base + run->page_count * PAGE_BYTES) - 1;
}

static void assert_tagged(const struct workload_run *run)
{
    assert_int_equal(*first_word(run), run->tag);
    assert_int_equal(*last_word(run), run->tag);
}

static void tag(struct workload *workload, struct workload_run *run)
{
    run->tag = ++workload->last_tag;
    *first_word(run) = run->tag;
    *last_word(run) = run->tag;
}

static void remember(struct workload *workload, enum workload_lane lane, uint64_t page_count,
                     struct page_run given)
{
    assert_true(workload->run_count < WORKLOAD_RUNS_MAX);
    struct workload_run *run = &workload->run[workload->run_count++];
    *run = (struct workload_run){.base = given.base,
                                 .page = page_lane_page(workload->lane[lane], given.base),
                                 .page_count = page_count,
                                 .lane = lane};
    if (given.is_zero) {
        assert_int_equal(*first_word(run), 0);
        assert_int_equal(*last_word(run), 0);
    }
    tag(workload, run);
}

static void alloc_one(struct workload *workload, const struct request *request, uint32_t owner)
{
    struct page_lane *lane = workload->lane[request->lane];
    uint64_t page_count = size_min_u64(request->page_count, workload->run_pages_max);
    uint64_t align_pages = size_min_u64(request->align_pages, workload->run_pages_max);

    if (lane == NULL || owner == PAGE_OWNER_NONE) {
        return;
    }
    struct page_run run = align_pages == 1 ? page_alloc(lane, owner, page_count)
                                           : page_lane_alloc(lane, owner, page_count, align_pages);
    assert_int_equal(run.base == NULL, run.status != QUARRY_OK);
    if (lane->is_adopting) {
        assert_int_equal(run.status, QUARRY_BUSY);
    } else if (is_ok(workload, run.status)) {
        remember(workload, request->lane, page_count, run);
    }
}

static void alloc_all(struct workload *workload, const struct request *requests, size_t count)
{
    for (size_t i = 0; i < count && workload->heap != NULL; i++) {
        alloc_one(workload, &requests[i], workload->owner[i % WORKLOAD_OWNERS]);
    }
}

/* Frees the run at `index`; the last one takes its place. */
static void free_at(struct workload *workload, uint32_t index, bool is_to_tree)
{
    struct workload_run run = workload->run[index];

    workload->run[index] = workload->run[--workload->run_count];
    if (run.base == NULL) {
        return;
    }
    assert_tagged(&run);
    if (is_to_tree) {
        page_lane_free(workload->lane[run.lane], run.base);
    } else {
        page_free(workload->lane[run.lane], run.base);
    }
}

/* Frees every `step`-th run, the newest first. */
static void free_some(struct workload *workload, uint32_t step)
{
    for (uint32_t i = workload->run_count; workload->heap != NULL && i >= step; i -= step) {
        free_at(workload, i - 1, i % 4 == 0);
    }
}

/* The runs of a lane are gone, with its lifetime; those of a file remain known by their pages. */
static void forget_runs(struct workload *workload, enum workload_lane lane)
{
    uint32_t kept_count = 0;

    for (uint32_t i = 0; i < workload->run_count; i++) {
        struct workload_run run = workload->run[i];
        if (run.lane == lane && lane != WORKLOAD_FILE) {
            continue;
        }
        if (run.lane == lane) {
            run.base = NULL;
        }
        workload->run[kept_count++] = run;
    }
    workload->run_count = kept_count;
}

/* ---- heap and lanes ------------------------------------------------------------------------- */

static void step_create_heap(struct workload *workload)
{
    const struct page_heap_options options = {.os = &workload->sim.os,
                                              .limit_bytes = workload->limit_bytes,
                                              .reserved_bytes = SPACE_BYTES,
                                              .has_no_thread = true};

    if (workload->heap != NULL ||
        !is_ok(workload, page_heap_create(&options, &workload->heap, NULL))) {
        return;
    }
    for (uint32_t i = 0; i < WORKLOAD_OWNERS; i++) {
        workload->owner[i] = PAGE_OWNER_NONE;
    }
}

static void step_register_owners(struct workload *workload)
{
    static const char *const name[WORKLOAD_OWNERS] = {"red",  "orange", "yellow", "green",
                                                      "blue", "indigo", "violet", "black"};

    for (uint32_t i = 0; i < WORKLOAD_OWNERS && workload->heap != NULL; i++) {
        (void)is_ok(workload,
                    page_ledger_register(&workload->heap->ledger, name[i], &workload->owner[i]));
    }
}

static void create_lane(struct workload *workload, enum workload_lane lane)
{
    static const char *const name[WORKLOAD_LANES] = {"hot", "cold", "file"};
    const struct page_lane_options options = {.name = name[lane],
                                              .reserved_bytes = LANE_BYTES,
                                              .file_path = lane == WORKLOAD_FILE ? "pages" : NULL,
                                              .wants_huge_pages = lane == WORKLOAD_COLD};

    if (workload->heap != NULL && workload->lane[lane] == NULL) {
        (void)is_ok(workload,
                    page_lane_create(workload->heap, &options, &workload->lane[lane], NULL));
    }
}

/* Claims the runs that the file held before; one that is refused is given up. */
static void adopt(struct workload *workload)
{
    struct page_lane *lane = workload->lane[WORKLOAD_FILE];

    if (lane == NULL || !lane->is_adopting) {
        return;
    }
    for (uint32_t i = workload->run_count; i > 0; i--) {
        struct workload_run *run = &workload->run[i - 1];
        if (run->lane != WORKLOAD_FILE || run->base != NULL) {
            continue;
        }
        if (workload->owner[0] != PAGE_OWNER_NONE &&
            is_ok(workload, page_lane_adopt(lane, workload->owner[0], run->page, run->page_count,
                                            &run->base))) {
            assert_tagged(run);
        } else {
            *run = workload->run[--workload->run_count];
        }
    }
    (void)is_ok(workload, page_lane_adopt_finish(lane));
}

static void step_create_lanes(struct workload *workload)
{
    create_lane(workload, WORKLOAD_HOT);
    create_lane(workload, WORKLOAD_COLD);
    create_lane(workload, WORKLOAD_FILE);
}

static void step_adopt(struct workload *workload)
{
    adopt(workload);
}

/* ---- the other steps ------------------------------------------------------------------------ */

static void step_alloc(struct workload *workload)
{
    alloc_all(workload, first_requests, COUNT_OF(first_requests));
}

static void step_free_some(struct workload *workload)
{
    free_some(workload, 3);
}

static void resize(struct workload *workload, struct workload_run *run, uint64_t page_count)
{
    enum quarry_status status = page_lane_resize(workload->lane[run->lane], run->base, page_count);

    assert_int_equal(*first_word(run), run->tag);
    if (status == QUARRY_BUSY || !is_ok(workload, status)) {
        assert_tagged(run);
        return;
    }
    run->page_count = page_count;
    tag(workload, run);
}

/* Half of the runs become shorter and then, where the pages are free still, as long as before. */
static void step_resize(struct workload *workload)
{
    for (uint32_t i = 0; i < workload->run_count; i++) {
        struct workload_run *run = &workload->run[i];
        uint64_t page_count = run->page_count;
        if (run->base != NULL && i % 2 == 0) {
            resize(workload, run, size_ceil_div_u64(page_count, 2));
            resize(workload, run, page_count);
            resize(workload, run, page_count + 1);
        }
    }
}

static void step_alloc_more(struct workload *workload)
{
    alloc_all(workload, later_requests, COUNT_OF(later_requests));
}

static void step_scavenge(struct workload *workload)
{
    for (uint32_t i = 0; i < 4 && workload->heap != NULL; i++) {
        os_sim_advance(&workload->sim, 300 * Q_MS_NS);
        (void)page_scavenger_run(workload->heap);
    }
}

/* As much as a huge page covers, for long enough to get one; refused where the limit is lower. */
static void step_huge_page(struct workload *workload)
{
    struct page_lane *lane = workload->lane[WORKLOAD_COLD];

    if (lane == NULL || workload->owner[0] == PAGE_OWNER_NONE) {
        return;
    }
    struct page_run run =
        page_lane_alloc(lane, workload->owner[0], PAGE_HALF_PAGES, PAGE_HALF_PAGES);
    for (uint32_t i = 0; i < 3 && run.base != NULL; i++) {
        os_sim_advance(&workload->sim, PAGE_COLLAPSE_PASS_NS);
        (void)page_scavenger_run(workload->heap);
    }
    if (run.base != NULL) {
        page_lane_free(lane, run.base);
    }
}

static void step_trim(struct workload *workload)
{
    if (workload->heap != NULL) {
        (void)page_heap_trim(workload->heap);
    }
}

/* What the second thread does, and what it leaves behind. */
struct thread_work {
    struct page_lane *lane;
    uint32_t owner;
    struct page_run run[THREAD_RUNS];
};

static void *thread_main(void *argument)
{
    struct thread_work *work = argument;

    for (uint32_t i = 0; i < THREAD_RUNS; i++) {
        work->run[i] = page_alloc(work->lane, work->owner, 1 + i % 3);
    }
    for (uint32_t i = THREAD_KEPT; i < THREAD_RUNS; i++) {
        if (work->run[i].base != NULL) {
            page_free(work->lane, work->run[i].base);
        }
    }
    return NULL;
}

static void step_second_thread(struct workload *workload)
{
    struct thread_work work = {.lane = workload->lane[WORKLOAD_HOT], .owner = workload->owner[1]};
    pthread_t thread;

    if (work.lane == NULL || work.owner == PAGE_OWNER_NONE) {
        return;
    }
    assert_int_equal(pthread_create(&thread, NULL, thread_main, &work), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    for (uint32_t i = 0; i < THREAD_RUNS; i++) {
        bool is_run = is_ok(workload, work.run[i].status);
        if (i < THREAD_KEPT && is_run) {
            remember(workload, WORKLOAD_HOT, 1 + i % 3, work.run[i]);
        }
    }
}

/* Down to what is in use and a little more, so that all that is free has to go; and up again. */
static void step_limit(struct workload *workload)
{
    struct quarry_ledger totals;

    if (workload->heap == NULL) {
        return;
    }
    free_some(workload, 4);
    (void)page_heap_ledger(workload->heap, &totals, NULL, 0);
    (void)is_ok(workload,
                page_heap_set_limit(workload->heap, totals.in_use_bytes + totals.metadata_bytes));
    workload_check(workload);
    (void)is_ok(workload, page_heap_set_limit(workload->heap, workload->limit_bytes));
}

static void step_end_lane(struct workload *workload)
{
    if (workload->lane[WORKLOAD_COLD] != NULL) {
        forget_runs(workload, WORKLOAD_COLD);
        page_lane_end(workload->lane[WORKLOAD_COLD]);
    }
}

static void step_destroy_lane(struct workload *workload)
{
    if (workload->lane[WORKLOAD_COLD] != NULL) {
        forget_runs(workload, WORKLOAD_COLD);
        page_lane_destroy(workload->lane[WORKLOAD_COLD]);
        workload->lane[WORKLOAD_COLD] = NULL;
    }
}

static void step_free_all(struct workload *workload)
{
    free_some(workload, 1);
}

void workload_end(struct workload *workload)
{
    if (workload->heap != NULL) {
        page_heap_destroy(workload->heap);
        workload->heap = NULL;
    }
    for (enum workload_lane lane = 0; lane < WORKLOAD_LANES; lane++) {
        workload->lane[lane] = NULL;
        forget_runs(workload, lane);
    }
}

void workload_run(struct workload *workload, enum quarry_status allowed)
{
    static void (*const step[])(struct workload *) = {
        step_create_heap,     step_register_owners, step_create_lanes, step_adopt,
        step_free_all,        step_alloc,           step_free_some,    step_resize,
        step_alloc_more,      step_scavenge,        step_huge_page,    step_alloc_more,
        step_second_thread,   step_limit,           step_alloc_more,   step_trim,
        step_alloc_more,      step_end_lane,        step_alloc_more,   step_destroy_lane,
        step_create_lanes,    step_alloc_more,      workload_end,      step_create_heap,
        step_register_owners, step_create_lanes,    step_adopt,        step_alloc_more,
        step_free_all,
    };

    workload->allowed = allowed;
    for (size_t i = 0; i < COUNT_OF(step); i++) {
        step[i](workload);
        workload_check(workload);
    }
}

/* ---- beginning and end ---------------------------------------------------------------------- */

void workload_init(struct workload *workload, uint64_t limit_bytes, uint64_t run_pages_max)
{
    const struct os_sim_options options = {
        .real_backing = true, .decommit_keeps_access = true, .decommit_cost_ns_per_page = 300};

    *workload = (struct workload){.limit_bytes = limit_bytes, .run_pages_max = run_pages_max};
    os_sim_init(&workload->sim, &options);
    sim_ops = workload->sim.os.ops;
    recording_ops = *sim_ops;
    recording_ops.release = recording_release;
    recording_ops.uncommit = recording_uncommit;
    workload->sim.os.ops = &recording_ops;
    current = workload;
}

void workload_fini(struct workload *workload, uint64_t disk_bytes)
{
    struct os_sim_counters counters;
    uint64_t lost_bytes = 0;

    for (uint32_t i = 0; i < workload->lost_count; i++) {
        lost_bytes += workload->lost[i].bytes;
    }
    os_sim_read_counters(&workload->sim, &counters);
    assert_int_equal(counters.reserved_bytes, lost_bytes);
    /* Exactly these ranges: without them there is nothing left of any kind. */
    for (uint32_t i = 0; i < workload->lost_count; i++) {
        assert_int_equal(
            sim_ops->release(&workload->sim.os, workload->lost[i].base, workload->lost[i].bytes),
            QUARRY_OK);
    }
    os_sim_read_counters(&workload->sim, &counters);
    assert_int_equal(counters.reserved_bytes, 0);
    assert_int_equal(counters.committed_bytes, 0);
    assert_int_equal(counters.mapped_file_bytes, 0);
    if (disk_bytes != UINT64_MAX) {
        assert_int_equal(counters.disk_used_bytes, disk_bytes);
    }
    os_sim_fini(&workload->sim);
}
