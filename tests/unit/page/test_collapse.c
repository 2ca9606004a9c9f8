/* Huge pages under what is wholly in use: which halves of chunks, when, and who may not meanwhile.
 */
#include "heap_rig.h"

#include <pthread.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <os/sanitizer.h>

/* What a collapse costs here, about. */
#define REAL_COST_NS (400 * Q_US_NS)

static const struct rig_options no_options;

/* A rig with a lane that wants huge pages, the highest of the heap. */
struct huge_rig {
    struct rig rig;
    struct page_lane *lane;
};

static struct page_lane *huge_lane(struct page_heap *heap, const char *name)
{
    struct page_lane_options options = {
        .name = name, .reserved_bytes = Q_GIB(1), .wants_huge_pages = true};
    struct page_lane *lane = NULL;
    struct quarry_error error = {0};

    if (page_lane_create(heap, &options, &lane, &error) != QUARRY_OK) {
        fail_msg("%s", error.text);
    }
    return lane;
}

static void huge_open(struct huge_rig *huge)
{
    rig_open(&huge->rig, &no_options);
    huge->lane = huge_lane(huge->rig.heap, "huge");
}

static uint64_t collapse_count(struct huge_rig *huge)
{
    return os_sim_call_count(&huge->rig.sim, OS_SIM_COLLAPSE);
}

static uint64_t huge_bytes(struct huge_rig *huge)
{
    (void)rig_check(&huge->rig);
    return page_heap_huge_bytes(huge->rig.heap);
}

/* ---- which ---------------------------------------------------------------------------------- */

static void what_is_wholly_in_use_becomes_huge_once(void **state)
{
    struct huge_rig huge;
    (void)state;

    huge_open(&huge);
    char *run = rig_alloc(&huge.rig, huge.lane, 3 * PAGE_CHUNK_PAGES);
    uint64_t committed_bytes = rig_committed_bytes(&huge.rig);
    (void)rig_run_for(&huge.rig, 5 * Q_SECOND_NS);
    assert_int_equal(huge_bytes(&huge), 3 * PAGE_CHUNK_BYTES);
    assert_int_equal(collapse_count(&huge), 6);
    (void)rig_run_for(&huge.rig, 60 * Q_SECOND_NS);
    assert_int_equal(collapse_count(&huge), 6);
    assert_int_equal(rig_committed_bytes(&huge.rig), committed_bytes);
    page_lane_free(huge.lane, run);
    rig_close(&huge.rig);
}

static void a_lane_that_did_not_ask_gets_none(void **state)
{
    struct huge_rig huge;
    (void)state;

    huge_open(&huge);
    (void)rig_alloc(&huge.rig, huge.rig.lane, PAGE_CHUNK_PAGES);
    (void)rig_run_for(&huge.rig, 5 * Q_SECOND_NS);
    assert_int_equal(collapse_count(&huge), 0);
    rig_close(&huge.rig);
}

static void a_half_must_have_been_whole_for_a_turn(void **state)
{
    struct huge_rig huge;
    (void)state;

    huge_open(&huge);
    (void)page_scavenger_run(huge.rig.heap);
    os_sim_advance(&huge.rig.sim, PAGE_COLLAPSE_PASS_NS);
    (void)rig_alloc(&huge.rig, huge.lane, PAGE_CHUNK_PAGES);
    (void)page_scavenger_run(huge.rig.heap);
    assert_int_equal(collapse_count(&huge), 0);
    (void)page_scavenger_run(huge.rig.heap);
    assert_int_equal(collapse_count(&huge), 0);
    os_sim_advance(&huge.rig.sim, PAGE_GENERATION_NS);
    (void)page_scavenger_run(huge.rig.heap);
    assert_int_equal(collapse_count(&huge), 2);
    rig_close(&huge.rig);
}

/* Each half has its own fate: here always the low one lacks a page. */
static void assert_only_high_half_is_huge(struct huge_rig *huge)
{
    (void)rig_run_for(&huge->rig, 5 * Q_SECOND_NS);
    assert_int_equal(huge_bytes(huge), PAGE_HALF_BYTES);
    assert_int_equal(page_tree_half_state(&huge->lane->tree, 0), PAGE_HALF_PLAIN);
    assert_int_equal(page_tree_half_state(&huge->lane->tree, PAGE_HALF_PAGES), PAGE_HALF_HUGE);
}

static void a_half_with_a_free_page_is_left_alone(void **state)
{
    struct huge_rig huge;
    (void)state;

    huge_open(&huge);
    rig_fill_chunks(&huge.rig, huge.lane, 1);
    rig_free_pages(huge.lane, 255, 1);
    assert_only_high_half_is_huge(&huge);
    assert_ptr_equal(rig_alloc(&huge.rig, huge.lane, 1), page_lane_address(huge.lane, 255));
    (void)rig_run_for(&huge.rig, 5 * Q_SECOND_NS);
    assert_int_equal(huge_bytes(&huge), PAGE_CHUNK_BYTES);
    rig_close(&huge.rig);
}

static void a_half_with_a_bare_page_is_left_alone(void **state)
{
    struct huge_rig huge;
    uint64_t page_count;
    (void)state;

    huge_open(&huge);
    struct page_run run = page_lane_reserve_run(huge.lane, huge.rig.owner, PAGE_CHUNK_PAGES, 1);
    assert_int_equal(run.status, QUARRY_OK);
    assert_int_equal(page_lane_back(huge.lane, run.base, 1, PAGE_CHUNK_PAGES - 1, &page_count),
                     QUARRY_OK);
    assert_only_high_half_is_huge(&huge);
    assert_int_equal(page_lane_back(huge.lane, run.base, 0, 1, &page_count), QUARRY_OK);
    (void)rig_run_for(&huge.rig, 5 * Q_SECOND_NS);
    assert_int_equal(huge_bytes(&huge), PAGE_CHUNK_BYTES);
    assert_int_equal(page_lane_unback(huge.lane, run.base, 300, 1, &page_count), QUARRY_OK);
    assert_int_equal(huge_bytes(&huge), PAGE_HALF_BYTES);
    assert_int_equal(page_lane_back(huge.lane, run.base, 300, 1, &page_count), QUARRY_OK);
    (void)rig_run_for(&huge.rig, 5 * Q_SECOND_NS);
    assert_int_equal(huge_bytes(&huge), PAGE_CHUNK_BYTES);
    assert_int_equal(collapse_count(&huge), 3);
    rig_close(&huge.rig);
}

static void what_was_split_becomes_huge_again(void **state)
{
    struct huge_rig huge;
    (void)state;

    huge_open(&huge);
    rig_fill_chunks(&huge.rig, huge.lane, 1);
    (void)rig_run_for(&huge.rig, 5 * Q_SECOND_NS);
    rig_free_pages(huge.lane, 300, 1);
    assert_int_equal(huge_bytes(&huge), PAGE_CHUNK_BYTES); /* free and backed: huge as before */
    (void)page_heap_trim(huge.rig.heap);
    assert_true(rig_is_scavenged(huge.lane, 300));
    assert_int_equal(huge_bytes(&huge), PAGE_HALF_BYTES);
    assert_ptr_equal(rig_alloc(&huge.rig, huge.lane, 1), page_lane_address(huge.lane, 300));
    (void)rig_run_for(&huge.rig, 5 * Q_SECOND_NS);
    assert_int_equal(huge_bytes(&huge), PAGE_CHUNK_BYTES);
    assert_int_equal(collapse_count(&huge), 3);
    rig_close(&huge.rig);
}

static void the_end_of_a_lifetime_leaves_nothing_huge(void **state)
{
    struct huge_rig huge;
    (void)state;

    huge_open(&huge);
    (void)rig_alloc(&huge.rig, huge.lane, 2 * PAGE_CHUNK_PAGES);
    (void)rig_run_for(&huge.rig, 5 * Q_SECOND_NS);
    page_lane_end(huge.lane);
    assert_int_equal(huge_bytes(&huge), 0);
    (void)rig_alloc(&huge.rig, huge.lane, PAGE_CHUNK_PAGES);
    (void)rig_run_for(&huge.rig, 5 * Q_SECOND_NS);
    assert_int_equal(huge_bytes(&huge), PAGE_CHUNK_BYTES);
    rig_close(&huge.rig);
}

/*
 * A thread's block holds pages that it never touched, as in use; it gives them back as without
 * backing, which under a huge page they have.
 */
static void a_page_cache_gives_pages_of_a_huge_page_back_as_backed(void **state)
{
    struct huge_rig huge;
    (void)state;

    huge_open(&huge);
    (void)rig_alloc(&huge.rig, huge.lane, PAGE_CHUNK_PAGES - PAGE_BLOCK_PAGES);
    struct page_run run = page_alloc(huge.lane, huge.rig.owner, 1);
    assert_ptr_equal(run.base, page_lane_address(huge.lane, PAGE_CHUNK_PAGES - PAGE_BLOCK_PAGES));
    for (uint32_t turn = 0; turn < 2; turn++) {
        /* The collapser alone: a turn of the whole would flush the idle cache. */
        (void)page_collapse_turn(huge.rig.heap);
        os_sim_advance(&huge.rig.sim, PAGE_GENERATION_NS);
    }
    assert_int_equal(huge_bytes(&huge), PAGE_CHUNK_BYTES);
    uint64_t committed_bytes = rig_committed_bytes(&huge.rig);
    page_caches_flush_all(huge.rig.heap);
    assert_int_equal(rig_committed_bytes(&huge.rig), committed_bytes);
    assert_int_equal(rig_check(&huge.rig).free_backed_bytes, (PAGE_BLOCK_PAGES - 1) * PAGE_BYTES);
    assert_true(page_heap_trim(huge.rig.heap) > 0);
    assert_int_equal(huge_bytes(&huge), PAGE_HALF_BYTES);
    page_free(huge.lane, run.base);
    rig_close(&huge.rig);
}

static void a_lane_with_a_file_cannot_ask(void **state)
{
    struct huge_rig huge;
    struct page_lane *lane;
    struct quarry_error error = {0};
    struct page_lane_options options = {
        .name = "file", .file_path = "pages", .wants_huge_pages = true};
    (void)state;

    huge_open(&huge);
    assert_int_equal(page_lane_create(huge.rig.heap, &options, &lane, &error), QUARRY_BAD_INPUT);
    rig_close(&huge.rig);
}

/* ---- refusals ------------------------------------------------------------------------------- */

static void a_half_whose_pages_cannot_move_is_asked_for_again(void **state)
{
    struct huge_rig huge;
    (void)state;

    huge_open(&huge);
    (void)rig_alloc(&huge.rig, huge.lane, PAGE_CHUNK_PAGES);
    os_sim_fail_at(&huge.rig.sim, OS_SIM_COLLAPSE, 0, OS_SIM_ONCE, QUARRY_BUSY);
    (void)rig_run_for(&huge.rig, Q_SECOND_NS);
    assert_int_equal(huge_bytes(&huge), PAGE_CHUNK_BYTES);
    assert_int_equal(collapse_count(&huge), 3);
    rig_close(&huge.rig);
}

static void a_kernel_without_memory_is_left_in_peace_for_ten_seconds(void **state)
{
    struct huge_rig huge;
    (void)state;

    huge_open(&huge);
    (void)rig_alloc(&huge.rig, huge.lane, 8 * PAGE_CHUNK_PAGES);
    os_sim_fail_at(&huge.rig.sim, OS_SIM_COLLAPSE, 0, OS_SIM_FOR_EVER, QUARRY_NO_MEMORY);
    (void)rig_run_for(&huge.rig, 9 * Q_SECOND_NS);
    assert_int_equal(collapse_count(&huge), 1);
    os_sim_fail_clear(&huge.rig.sim);
    (void)rig_run_for(&huge.rig, 9 * Q_SECOND_NS);
    assert_int_equal(huge_bytes(&huge), 8 * PAGE_CHUNK_BYTES);
    rig_close(&huge.rig);
}

static void a_kernel_that_cannot_is_asked_once(void **state)
{
    struct huge_rig huge;
    (void)state;

    huge_open(&huge);
    (void)rig_alloc(&huge.rig, huge.lane, PAGE_CHUNK_PAGES);
    os_sim_fail_at(&huge.rig.sim, OS_SIM_COLLAPSE, 0, OS_SIM_FOR_EVER, QUARRY_UNSUPPORTED);
    (void)rig_run_for(&huge.rig, 60 * Q_SECOND_NS);
    assert_int_equal(collapse_count(&huge), 1);
    rig_close(&huge.rig);
}

static void a_machine_without_huge_pages_is_never_asked(void **state)
{
    struct huge_rig huge;
    (void)state;

    rig_open(&huge.rig, &(struct rig_options){.has_no_huge_pages = true});
    huge.lane = huge_lane(huge.rig.heap, "huge");
    (void)rig_alloc(&huge.rig, huge.lane, PAGE_CHUNK_PAGES);
    (void)rig_run_for(&huge.rig, 5 * Q_SECOND_NS);
    assert_int_equal(collapse_count(&huge), 0);
    rig_close(&huge.rig);
}

/* ---- pace ----------------------------------------------------------------------------------- */

static void a_gib_takes_three_percent_of_a_cpu_and_some_seconds(void **state)
{
    struct huge_rig huge;
    (void)state;

    rig_open(&huge.rig, &(struct rig_options){.collapse_cost_ns = REAL_COST_NS});
    huge.lane = huge_lane(huge.rig.heap, "huge");
    (void)rig_alloc(&huge.rig, huge.lane, 255 * PAGE_CHUNK_PAGES);
    uint64_t cpu_began_ns = os_thread_cpu_ns(&huge.rig.sim.os);
    (void)rig_run_for(&huge.rig, 3 * Q_SECOND_NS);
    uint64_t cpu_ns = os_thread_cpu_ns(&huge.rig.sim.os) - cpu_began_ns;
    assert_in_range(cpu_ns, 3 * Q_SECOND_NS / 50, 3 * Q_SECOND_NS / 25); /* 2 % to 4 % */
    (void)rig_run_for(&huge.rig, 7 * Q_SECOND_NS);
    assert_int_equal(huge_bytes(&huge), 255 * PAGE_CHUNK_BYTES);
    rig_close(&huge.rig);
}

static void a_heap_that_has_nothing_to_collapse_parks(void **state)
{
    struct huge_rig huge;
    (void)state;

    huge_open(&huge);
    (void)rig_alloc(&huge.rig, huge.lane, PAGE_CHUNK_PAGES);
    uint64_t wait_ns = rig_run_for(&huge.rig, 10 * Q_SECOND_NS);
    assert_true(wait_ns >= 2 * Q_SECOND_NS);
    rig_close(&huge.rig);
}

/* ---- races ---------------------------------------------------------------------------------- */

/* A kernel that takes its time over a collapse, until it is told to go on. */
static struct {
    const struct os_ops *ops; /* of the twin */
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool is_inside;
    bool is_told;
    _Atomic uint32_t is_done;
} slow = {.mutex = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};

static enum quarry_status slow_collapse(struct os *os, void *base, size_t bytes)
{
    pthread_mutex_lock(&slow.mutex);
    slow.is_inside = true;
    pthread_cond_broadcast(&slow.cond);
    while (!slow.is_told) {
        pthread_cond_wait(&slow.cond, &slow.mutex);
    }
    pthread_mutex_unlock(&slow.mutex);
    enum quarry_status status = slow.ops->collapse(os, base, bytes);
    atomic_store_seq_cst_u32(&slow.is_done, 1);
    return status;
}

/* No page may lose its backing before the collapse is done. */
static enum quarry_status watched_decommit(struct os *os, void *base, size_t bytes)
{
    assert_true(atomic_load_seq_cst_u32(&slow.is_done));
    return slow.ops->decommit(os, base, bytes);
}

static void slow_wait_inside(void)
{
    pthread_mutex_lock(&slow.mutex);
    while (!slow.is_inside) {
        pthread_cond_wait(&slow.cond, &slow.mutex);
    }
    pthread_mutex_unlock(&slow.mutex);
}

static void slow_go_on(void)
{
    pthread_mutex_lock(&slow.mutex);
    slow.is_told = true;
    pthread_cond_broadcast(&slow.cond);
    pthread_mutex_unlock(&slow.mutex);
}

static void *background_main(void *argument)
{
    struct huge_rig *huge = argument;

    (void)page_collapse_turn(huge->rig.heap);
    os_sim_advance(&huge->rig.sim, PAGE_GENERATION_NS);
    (void)page_collapse_turn(huge->rig.heap);
    return NULL;
}

/* Runs `meddle` in a thread of its own while the first half of the lane is being collapsed. */
static void race(struct huge_rig *huge, void *(*meddle)(void *))
{
    struct os_ops ops = *huge->rig.sim.os.ops;
    pthread_t background, meddler;

    slow.ops = huge->rig.sim.os.ops;
    slow.is_inside = slow.is_told = false;
    atomic_store_seq_cst_u32(&slow.is_done, 0);
    ops.collapse = slow_collapse;
    ops.decommit = watched_decommit;
    huge->rig.sim.os.ops = &ops;
    assert_int_equal(pthread_create(&background, NULL, background_main, huge), 0);
    slow_wait_inside();
    assert_int_equal(pthread_create(&meddler, NULL, meddle, huge), 0);
    /* Time in which a meddler that does not wait would do its harm. */
    os_sleep_ns(20 * Q_MS_NS);
    slow_go_on();
    assert_int_equal(pthread_join(meddler, NULL), 0);
    assert_int_equal(pthread_join(background, NULL), 0);
    huge->rig.sim.os.ops = slow.ops;
}

static void *free_and_trim(void *argument)
{
    struct huge_rig *huge = argument;

    rig_free_pages(huge->lane, 7, 1);
    /* In the background nobody waits: there is nothing to take now. */
    rig_next_generation(huge->lane);
    rig_free_pages(huge->lane, 8, PAGE_HALF_PAGES / 2);
    assert_int_equal(
        page_scavenge(huge->rig.heap, PAGE_BYTES, PAGE_SCAVENGE_BACKGROUND, PAGE_CAUSE_BACKGROUND),
        0);
    assert_int_equal(page_heap_trim(huge->rig.heap), PAGE_HALF_BYTES / 2 + PAGE_BYTES);
    return NULL;
}

static void forced_scavenging_waits_for_a_collapse(void **state)
{
    struct huge_rig huge;
    (void)state;

    huge_open(&huge);
    rig_fill_chunks(&huge.rig, huge.lane, 1);
    race(&huge, free_and_trim);
    assert_true(rig_is_scavenged(huge.lane, 7));
    assert_int_equal(huge_bytes(&huge), PAGE_HALF_BYTES);
    rig_close(&huge.rig);
}

static void *end_lane(void *argument)
{
    struct huge_rig *huge = argument;

    page_lane_end(huge->lane);
    return NULL;
}

static void the_end_of_a_lifetime_waits_for_a_collapse(void **state)
{
    struct huge_rig huge;
    (void)state;

    huge_open(&huge);
    rig_fill_chunks(&huge.rig, huge.lane, 1);
    race(&huge, end_lane);
    assert_int_equal(huge_bytes(&huge), 0);
    assert_int_equal(rig_check(&huge.rig).free_backed_bytes, 0);
    rig_close(&huge.rig);
}

static void *unback(void *argument)
{
    struct huge_rig *huge = argument;
    uint64_t page_count = 0;

    assert_int_equal(page_lane_unback(huge->lane, huge->lane->base, 10, 20, &page_count),
                     QUARRY_OK);
    assert_int_equal(page_count, 20);
    return NULL;
}

static void unbacking_waits_for_a_collapse(void **state)
{
    struct huge_rig huge;
    uint64_t page_count;
    (void)state;

    huge_open(&huge);
    struct page_run run = page_lane_reserve_run(huge.lane, huge.rig.owner, PAGE_CHUNK_PAGES, 1);
    assert_ptr_equal(run.base, huge.lane->base);
    assert_int_equal(page_lane_back(huge.lane, run.base, 0, PAGE_CHUNK_PAGES, &page_count),
                     QUARRY_OK);
    race(&huge, unback);
    assert_int_equal(page_tree_half_state(&huge.lane->tree, 0), PAGE_HALF_PLAIN);
    /* Nothing begins to collapse while somebody unbacks; afterwards, the other half. */
    assert_only_high_half_is_huge(&huge);
    rig_close(&huge.rig);
}

static void *free_and_allocate(void *argument)
{
    struct huge_rig *huge = argument;

    rig_free_pages(huge->lane, 0, PAGE_CHUNK_PAGES);
    assert_ptr_equal(rig_alloc(&huge->rig, huge->lane, 100), huge->lane->base);
    assert_false(atomic_load_seq_cst_u32(&slow.is_done));
    return NULL;
}

static void pages_are_freed_and_allocated_during_a_collapse(void **state)
{
    struct huge_rig huge;
    (void)state;

    huge_open(&huge);
    rig_fill_chunks(&huge.rig, huge.lane, 1);
    race(&huge, free_and_allocate);
    assert_int_equal(page_tree_half_state(&huge.lane->tree, 0), PAGE_HALF_HUGE);
    (void)rig_check(&huge.rig);
    rig_close(&huge.rig);
}

/* ---- the real kernel ------------------------------------------------------------------------ */

/* AnonHugePages of all mappings that lie in [base, base + bytes), in bytes. */
static uint64_t read_huge_bytes(const char *base, uint64_t bytes)
{
    FILE *file = fopen("/proc/self/smaps", "r");
    uint64_t huge_kib = 0, first = 0, end = 0, kib;
    bool is_inside = false;
    char line[512];

    assert_non_null(file);
    while (fgets(line, sizeof(line), file) != NULL) {
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " ", &first, &end) == 2) {
            is_inside = first >= (uintptr_t)base && end <= (uintptr_t)base + bytes;
        } else if (is_inside && sscanf(line, "AnonHugePages: %" SCNu64 " kB", &kib) == 1) {
            huge_kib += kib;
        }
    }
    assert_int_equal(fclose(file), 0);
    return huge_kib * 1024;
}

/* Why the kernel will not make a huge page here; NULL: it does. */
static const char *kernel_refusal(void)
{
    struct os *os = os_real();
    void *base;

    if (os->huge_page_bytes != PAGE_HALF_BYTES) {
        return "huge pages are not of 2 MiB";
    }
    assert_int_equal(os_reserve(os, PAGE_HALF_BYTES, PAGE_HALF_BYTES, &base), QUARRY_OK);
    assert_int_equal(os_commit(os, base, PAGE_HALF_BYTES), QUARRY_OK);
    memset(base, 1, PAGE_HALF_BYTES);
    enum quarry_status status = os_collapse(os, base, PAGE_HALF_BYTES);
    assert_int_equal(os_release(os, base, PAGE_HALF_BYTES), QUARRY_OK);
    return status == QUARRY_OK            ? NULL
           : status == QUARRY_UNSUPPORTED ? "the kernel has no MADV_COLLAPSE"
                                          : "the kernel finds no huge page";
}

static void fill(uint64_t *words, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        words[i] = i * 3 + 1;
    }
}

static uint64_t count_wrong(const uint64_t *words, uint64_t count)
{
    uint64_t wrong_count = 0;

    for (uint64_t i = 0; i < count; i++) {
        wrong_count += words[i] != i * 3 + 1;
    }
    return wrong_count;
}

/* Turns without a thread, in real time, until `bytes` are huge; at most 20 s. */
static void run_until_huge(struct page_heap *heap, uint64_t bytes)
{
    for (uint32_t i = 0; i < 2000 && page_heap_huge_bytes(heap) < bytes; i++) {
        (void)page_scavenger_run(heap);
        os_sleep_ns(10 * Q_MS_NS);
    }
}

static void the_kernel_puts_huge_pages_under_a_lane(void **state)
{
    const struct page_heap_options options = {
        .limit_bytes = Q_MIB(256), .reserved_bytes = Q_GIB(2), .has_no_thread = true};
    const char *refusal = kernel_refusal();
    struct page_heap *heap;
    uint32_t owner;
    (void)state;

    if (refusal != NULL) {
        print_message("skipped: %s\n", refusal);
        skip();
    }
    assert_int_equal(page_heap_create(&options, &heap, NULL), QUARRY_OK);
    assert_int_equal(page_ledger_register(&heap->ledger, "test", &owner), QUARRY_OK);
    struct page_lane *lane = huge_lane(heap, "huge");
    struct page_run run = page_lane_alloc(lane, owner, 4 * PAGE_CHUNK_PAGES, 1);
    uint64_t word_count = 4 * PAGE_CHUNK_BYTES / sizeof(uint64_t);
    fill(run.base, word_count);
    run_until_huge(heap, 4 * PAGE_CHUNK_BYTES);
    assert_int_equal(page_heap_huge_bytes(heap), 4 * PAGE_CHUNK_BYTES);
    assert_int_equal(read_huge_bytes(lane->base, Q_GIB(1)), 4 * PAGE_CHUNK_BYTES);
    assert_int_equal(count_wrong(run.base, word_count), 0);
    /* Half of each huge page goes: what is resident falls at once. */
    uint64_t before_bytes = os_resident_bytes();
    assert_int_equal(page_lane_resize(lane, run.base, PAGE_HALF_PAGES / 2), QUARRY_OK);
    (void)page_heap_trim(heap);
    assert_true(os_resident_bytes() + 3 * PAGE_CHUNK_BYTES < before_bytes);
    assert_int_equal(page_heap_huge_bytes(heap), 0);
    assert_int_equal(count_wrong(run.base, word_count / 32), 0);
    assert_int_equal(page_heap_validate(heap, NULL), QUARRY_OK);
    page_heap_destroy(heap);
}

/* What is charged and was never touched becomes resident; what is not charged does not. */
static void huge_pages_hold_no_more_than_is_committed(void **state)
{
    const struct page_heap_options options = {
        .limit_bytes = Q_MIB(256), .reserved_bytes = Q_GIB(2), .has_no_thread = true};
    const char *refusal =
        OS_UNDER_ASAN || OS_UNDER_TSAN ? "a sanitizer's shadow is resident too" : kernel_refusal();
    struct page_heap *heap;
    struct page_run run[64];
    uint32_t owner;
    (void)state;

    if (refusal != NULL) {
        print_message("skipped: %s\n", refusal);
        skip();
    }
    uint64_t before_bytes = os_resident_bytes();
    assert_int_equal(page_heap_create(&options, &heap, NULL), QUARRY_OK);
    assert_int_equal(page_ledger_register(&heap->ledger, "test", &owner), QUARRY_OK);
    struct page_lane *lane = huge_lane(heap, "huge");
    for (uint32_t i = 0; i < COUNT_OF(run); i++) {
        run[i] = page_lane_alloc(lane, owner, Q_MIB(1) >> PAGE_SHIFT, 1);
        memset(run[i].base, 1, Q_KIB(64));
    }
    run_until_huge(heap, Q_MIB(64));
    for (uint32_t i = 0; i < COUNT_OF(run); i += 4) {
        page_lane_free(lane, run[i].base);
    }
    (void)page_heap_trim(heap);
    uint64_t committed_bytes = page_commit_read(&heap->commit).committed_bytes;
    assert_true(committed_bytes < Q_MIB(50));
    assert_true(os_resident_bytes() <= before_bytes + committed_bytes + Q_MIB(1));
    page_heap_destroy(heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_wholly_in_use_becomes_huge_once),
        cmocka_unit_test(a_lane_that_did_not_ask_gets_none),
        cmocka_unit_test(a_half_must_have_been_whole_for_a_turn),
        cmocka_unit_test(a_half_with_a_free_page_is_left_alone),
        cmocka_unit_test(a_half_with_a_bare_page_is_left_alone),
        cmocka_unit_test(what_was_split_becomes_huge_again),
        cmocka_unit_test(the_end_of_a_lifetime_leaves_nothing_huge),
        cmocka_unit_test(a_page_cache_gives_pages_of_a_huge_page_back_as_backed),
        cmocka_unit_test(a_lane_with_a_file_cannot_ask),
        cmocka_unit_test(a_half_whose_pages_cannot_move_is_asked_for_again),
        cmocka_unit_test(a_kernel_without_memory_is_left_in_peace_for_ten_seconds),
        cmocka_unit_test(a_kernel_that_cannot_is_asked_once),
        cmocka_unit_test(a_machine_without_huge_pages_is_never_asked),
        cmocka_unit_test(a_gib_takes_three_percent_of_a_cpu_and_some_seconds),
        cmocka_unit_test(a_heap_that_has_nothing_to_collapse_parks),
        cmocka_unit_test(forced_scavenging_waits_for_a_collapse),
        cmocka_unit_test(the_end_of_a_lifetime_waits_for_a_collapse),
        cmocka_unit_test(unbacking_waits_for_a_collapse),
        cmocka_unit_test(pages_are_freed_and_allocated_during_a_collapse),
        cmocka_unit_test(the_kernel_puts_huge_pages_under_a_lane),
        cmocka_unit_test(huge_pages_hold_no_more_than_is_committed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
