/*
 * Writing the heap map: what it says of each chunk, that it goes on beside allocation, and how long
 * it takes. Its reader has tests of its own, in test_heap_map_parse.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <os/os_sim.h>
#include <page/page.h>

#define C ((uint64_t)PAGE_CHUNK_PAGES)

struct fixture {
    struct os_sim sim;
    struct page_heap *heap;
    struct page_lane *lane;
    uint32_t alpha, beta; /* owners */
    uint8_t *bytes;
    size_t byte_count;
    struct page_heap_map_view view;
};

static struct page_lane *create_lane(struct page_heap *heap, const char *name, uint64_t bytes)
{
    struct page_lane_options options = {.name = name, .reserved_bytes = bytes};
    struct page_lane *lane = NULL;

    assert_int_equal(page_lane_create(heap, &options, &lane, NULL), QUARRY_OK);
    return lane;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct os_sim_options sim_options = {.decommit_keeps_access = true};

    assert_non_null(f);
    os_sim_init(&f->sim, &sim_options);
    struct page_heap_options options = {.os = &f->sim.os,
                                        .limit_bytes = Q_GIB(64),
                                        .reserved_bytes = Q_GIB(32),
                                        .has_no_thread = true};
    assert_int_equal(page_heap_create(&options, &f->heap, NULL), QUARRY_OK);
    f->lane = create_lane(f->heap, "first", Q_GIB(1));
    assert_int_equal(page_ledger_register(&f->heap->ledger, "alpha", &f->alpha), QUARRY_OK);
    assert_int_equal(page_ledger_register(&f->heap->ledger, "beta", &f->beta), QUARRY_OK);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    struct os_sim_counters counters;

    assert_int_equal(page_heap_validate(f->heap, NULL), QUARRY_OK);
    page_heap_destroy(f->heap);
    os_sim_read_counters(&f->sim, &counters);
    assert_int_equal(counters.reserved_bytes, 0);
    os_sim_fini(&f->sim);
    free(f->bytes);
    free(f);
    return 0;
}

/* Writes a snapshot into a block of exactly its size, and reads it. */
static void snapshot(struct fixture *f)
{
    struct quarry_error error = {0};
    size_t capacity = page_heap_map_bytes(f->heap);

    free(f->bytes);
    f->bytes = malloc(capacity);
    assert_non_null(f->bytes);
    assert_int_equal(page_heap_map_write(f->heap, f->bytes, capacity, &f->byte_count), QUARRY_OK);
    assert_int_equal(f->byte_count, capacity);
    enum quarry_status status = page_heap_map_parse(f->bytes, f->byte_count, &f->view, &error);
    if (status != QUARRY_OK) {
        fail_msg("the reader refuses what the writer wrote: %s", error.text);
    }
}

static char *alloc(struct fixture *f, uint32_t owner, uint64_t page_count)
{
    struct page_run run = page_lane_alloc(f->lane, owner, page_count, 1);

    assert_int_equal(run.status, QUARRY_OK);
    return run.base;
}

static struct page_heap_map_entry entry(const struct fixture *f, uint32_t index)
{
    return page_heap_map_entry_at(&f->view, index);
}

/* ---- what it says --------------------------------------------------------------------------- */

static void a_heap_without_chunks_is_its_lanes_and_owners(void **state)
{
    struct fixture *f = *state;

    snapshot(f);
    assert_int_equal(f->byte_count, 64 + 48 + 4 * 40);
    assert_int_equal(f->view.chunk_count, 0);
    assert_int_equal(f->view.lane_count, 1);
    assert_int_equal(f->view.owner_count, 4);
    assert_int_equal(f->view.page_bytes, PAGE_BYTES);
    assert_int_equal(f->view.chunk_pages, PAGE_CHUNK_PAGES);
    assert_string_equal(page_heap_map_owner_at(&f->view, 0).name, "none");
    assert_string_equal(page_heap_map_owner_at(&f->view, f->alpha).name, "alpha");
    assert_int_equal(page_heap_map_owner_at(&f->view, f->beta).id, f->beta);
}

static void the_header_says_what_the_budget_says(void **state)
{
    struct fixture *f = *state;
    struct quarry_ledger totals;

    os_sim_advance(&f->sim, 12345);
    (void)alloc(f, f->alpha, 100);
    snapshot(f);
    (void)page_heap_ledger(f->heap, &totals, NULL, 0);
    assert_int_equal(f->view.committed_bytes, totals.committed_bytes);
    assert_int_equal(f->view.limit_bytes, Q_GIB(64));
    assert_int_equal(f->view.metadata_bytes, totals.metadata_bytes);
    assert_int_equal(f->view.wall_ns, os_wall_ns(&f->sim.os));
}

static void an_entry_counts_pages_as_the_bitmaps_do(void **state)
{
    struct fixture *f = *state;
    char *low = alloc(f, f->alpha, 100);

    (void)alloc(f, f->alpha, 50);
    page_lane_free(f->lane, low);
    snapshot(f);
    assert_int_equal(f->view.chunk_count, 1);
    struct page_heap_map_entry e = entry(f, 0);
    assert_int_equal(e.chunk, 0);
    assert_int_equal(e.lane, f->lane->id);
    assert_int_equal(e.in_use, 50);
    assert_int_equal(e.scavenged, C - 150);
    assert_int_equal(e.largest_free, C - 150);
    assert_int_equal(e.other, 0);
    assert_int_equal(e.flags, PAGE_MAP_HAS_BACKED_FREE);
    assert_true(page_heap_trim(f->heap) > 0);
    snapshot(f);
    assert_int_equal(entry(f, 0).scavenged, C - 50);
    assert_int_equal(entry(f, 0).flags, 0);
}

static void pages_of_a_reserved_run_count_when_they_are_backed(void **state)
{
    struct fixture *f = *state;
    void *run = page_lane_reserve_run(f->lane, f->alpha, 2 * C, 1).base;
    uint64_t backed_pages;

    assert_non_null(run);
    snapshot(f);
    assert_int_equal(entry(f, 0).in_use, 0);
    assert_int_equal(entry(f, 0).scavenged, C);
    assert_int_equal(entry(f, 0).owner, PAGE_OWNER_NONE);
    assert_int_equal(entry(f, 0).largest_free, 0);
    assert_int_equal(page_lane_back(f->lane, run, 100, C, &backed_pages), QUARRY_OK);
    snapshot(f);
    assert_int_equal(entry(f, 0).in_use, C - 100);
    assert_int_equal(entry(f, 0).scavenged, 100);
    assert_int_equal(entry(f, 0).owner, f->alpha);
    assert_int_equal(entry(f, 0).other, 0);
    assert_int_equal(entry(f, 0).flags, 0);
    assert_int_equal(entry(f, 1).in_use, 100);
    assert_int_equal(entry(f, 1).other, 0);
}

static void a_chunk_is_dense_from_496_pages_on(void **state)
{
    struct fixture *f = *state;

    (void)alloc(f, f->alpha, 495);
    snapshot(f);
    assert_int_equal(entry(f, 0).flags, 0);
    (void)alloc(f, f->alpha, 1);
    snapshot(f);
    assert_int_equal(entry(f, 0).flags, PAGE_MAP_DENSE);
}

static void the_owner_with_the_most_pages_has_the_chunk(void **state)
{
    struct fixture *f = *state;

    /* beta has more runs, alpha more pages. */
    for (int i = 0; i < 10; i++) {
        (void)alloc(f, f->beta, 3);
    }
    snapshot(f);
    assert_int_equal(entry(f, 0).owner, f->beta);
    char *big = alloc(f, f->alpha, 31);
    snapshot(f);
    assert_int_equal(entry(f, 0).owner, f->alpha);
    page_lane_free(f->lane, big);
    snapshot(f);
    assert_int_equal(entry(f, 0).owner, f->beta);
}

static void a_chunk_without_runs_has_no_owner(void **state)
{
    struct fixture *f = *state;

    page_lane_free(f->lane, alloc(f, f->alpha, 2 * C));
    snapshot(f);
    assert_int_equal(f->view.chunk_count, 2);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(entry(f, i).owner, PAGE_OWNER_NONE);
        assert_int_equal(entry(f, i).in_use, 0);
        assert_int_equal(entry(f, i).largest_free, C);
    }
}

static void a_run_has_an_owner_in_every_chunk_it_reaches(void **state)
{
    struct fixture *f = *state;
    const uint32_t chunks = 150; /* several stretches of the lane's lock */

    (void)alloc(f, f->beta, 200);
    (void)alloc(f, f->alpha, chunks * C);
    (void)alloc(f, f->beta, 100);
    snapshot(f);
    assert_int_equal(f->view.chunk_count, chunks + 1);
    for (uint32_t i = 0; i < chunks; i++) {
        assert_int_equal(entry(f, i).owner, f->alpha);
        assert_int_equal(entry(f, i).other, 0);
        assert_int_equal(entry(f, i).in_use, C);
        assert_int_equal(entry(f, i).chunk, i);
    }
    assert_int_equal(entry(f, chunks).in_use, 300);
    assert_int_equal(entry(f, chunks).owner, f->alpha);
}

static void a_run_whose_head_has_no_room_for_its_length_is_followed(void **state)
{
    struct fixture *f = *state;
    const uint64_t pages = PAGE_HEAD_PAGES_LONG + C;

    f->lane = create_lane(f->heap, "long", Q_GIB(16));
    (void)alloc(f, f->beta, pages);
    snapshot(f);
    uint64_t in_use = 0;
    for (uint32_t i = 0; i < f->view.chunk_count; i++) {
        in_use += entry(f, i).in_use;
        assert_int_equal(entry(f, i).owner, f->beta);
        assert_int_equal(entry(f, i).other, 0);
    }
    assert_int_equal(in_use, pages);
}

static void pages_in_a_cache_are_in_use_and_nobodys(void **state)
{
    struct fixture *f = *state;
    struct page_run kept = page_alloc(f->lane, f->alpha, 1);
    struct page_run run = page_alloc(f->lane, f->alpha, 8);

    assert_int_equal(kept.status, QUARRY_OK);
    assert_int_equal(run.status, QUARRY_OK);
    page_free(f->lane, run.base);
    snapshot(f);
    assert_true(entry(f, 0).in_use >= 9);
    assert_int_equal(entry(f, 0).in_use - entry(f, 0).other, 1);
    assert_int_equal(entry(f, 0).owner, f->alpha);
    page_caches_flush_all(f->heap);
    snapshot(f);
    assert_int_equal(entry(f, 0).in_use, 1);
    assert_int_equal(entry(f, 0).other, 0);
}

static void lanes_stand_in_the_order_of_their_numbers(void **state)
{
    struct fixture *f = *state;
    struct page_lane *second = create_lane(f->heap, "second", Q_GIB(1));
    struct page_lane *third = create_lane(f->heap, "third", Q_GIB(2));

    (void)page_lane_alloc(third, f->beta, 3 * C, 1);
    (void)alloc(f, f->alpha, 2 * C);
    page_lane_destroy(second);
    snapshot(f);
    assert_int_equal(f->view.lane_count, 2);
    struct page_heap_map_lane first = page_heap_map_lane_at(&f->view, 0);
    struct page_heap_map_lane last = page_heap_map_lane_at(&f->view, 1);
    assert_string_equal(first.name, "first");
    assert_string_equal(last.name, "third");
    assert_true(first.id < last.id);
    assert_int_equal(first.first_entry, 0);
    assert_int_equal(first.grown_chunks, 2);
    assert_int_equal(last.first_entry, 2);
    assert_int_equal(last.grown_chunks, 3);
    assert_int_equal(last.chunk_limit, Q_GIB(2) / PAGE_CHUNK_BYTES);
    assert_int_equal(entry(f, 1).owner, f->alpha);
    assert_int_equal(entry(f, 2).lane, last.id);
    assert_int_equal(entry(f, 4).owner, f->beta);
}

static void an_ended_lane_shows_all_of_its_chunks_released(void **state)
{
    struct fixture *f = *state;

    (void)alloc(f, f->alpha, 3 * C);
    page_lane_end(f->lane);
    snapshot(f);
    assert_int_equal(f->view.chunk_count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(entry(f, i).scavenged, C);
    }
}

static void a_buffer_that_is_too_short_is_refused_and_left_alone(void **state)
{
    struct fixture *f = *state;
    size_t ret_bytes = 77;

    (void)alloc(f, f->alpha, 2 * C);
    size_t bytes = page_heap_map_bytes(f->heap);
    uint8_t *buffer = malloc(bytes);
    assert_non_null(buffer);
    memset(buffer, 0xa5, bytes);
    for (size_t capacity = 0; capacity < bytes; capacity++) {
        assert_int_equal(page_heap_map_write(f->heap, buffer, capacity, &ret_bytes),
                         QUARRY_TOO_LARGE);
        assert_int_equal(buffer[capacity], 0xa5);
    }
    assert_int_equal(ret_bytes, 77);
    free(buffer);
}

static void a_snapshot_leaves_no_lane_pinned(void **state)
{
    struct fixture *f = *state;
    uint8_t byte;
    size_t ret_bytes;

    snapshot(f);
    assert_int_equal(page_heap_map_write(f->heap, &byte, 1, &ret_bytes), QUARRY_TOO_LARGE);
    assert_int_equal(atomic_load_relaxed_u32(&f->lane->pin_count), 0);
    /* Would wait for ever. */
    page_lane_destroy(f->lane);
    snapshot(f);
    assert_int_equal(f->view.lane_count, 0);
}

/* ---- beside allocation ---------------------------------------------------------------------- */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define ROUNDS         100
#define SNAPSHOT_BYTES Q_GIB(4)
#else
#define ROUNDS         1000
#define SNAPSHOT_BYTES Q_GIB(64)
#endif

struct worker {
    struct os_thread thread;
    struct fixture *fixture;
    uint32_t seed;
    _Atomic uint32_t *is_over;
};

static void work(void *argument)
{
    struct worker *worker = argument;
    struct fixture *f = worker->fixture;
    void *held[64] = {NULL};
    uint32_t random = worker->seed;

    while (!atomic_load_relaxed_u32(worker->is_over)) {
        random = random * 1664525u + 1013904223u;
        void **slot = &held[random >> 26];
        if (*slot != NULL) {
            page_free(f->lane, *slot);
            *slot = NULL;
        } else {
            uint64_t pages = (random & 0x700) == 0 ? 3 * C : 1 + ((random >> 12) & 31);
            *slot = page_alloc(f->lane, f->alpha + (random & 1), pages).base;
        }
    }
    for (uint32_t i = 0; i < 64; i++) {
        if (held[i] != NULL) {
            page_free(f->lane, held[i]);
        }
    }
}

/* A snapshot while lanes grow: asks again when it has become longer. */
static void snapshot_while_growing(struct fixture *f)
{
    enum quarry_status status = QUARRY_TOO_LARGE;
    struct quarry_error error = {0};

    while (status == QUARRY_TOO_LARGE) {
        size_t capacity = page_heap_map_bytes(f->heap);
        free(f->bytes);
        f->bytes = malloc(capacity);
        assert_non_null(f->bytes);
        status = page_heap_map_write(f->heap, f->bytes, capacity, &f->byte_count);
    }
    assert_int_equal(status, QUARRY_OK);
    if (page_heap_map_parse(f->bytes, f->byte_count, &f->view, &error) != QUARRY_OK) {
        fail_msg("a snapshot beside allocation is unsound: %s", error.text);
    }
}

static void snapshots_beside_threads_that_allocate_are_sound(void **state)
{
    struct fixture *f = *state;
    struct worker worker[2];
    _Atomic uint32_t is_over = 0;
    void *stack[2];

    for (uint32_t i = 0; i < 2; i++) {
        stack[i] = aligned_alloc(4096, OS_THREAD_STACK_BYTES);
        worker[i] = (struct worker){.fixture = f, .seed = 7 + i, .is_over = &is_over};
        assert_int_equal(os_thread_start(&worker[i].thread, "worker", stack[i],
                                         OS_THREAD_STACK_BYTES, work, &worker[i]),
                         QUARRY_OK);
    }
    for (int i = 0; i < ROUNDS; i++) {
        snapshot_while_growing(f);
    }
    atomic_store_relaxed_u32(&is_over, 1);
    for (uint32_t i = 0; i < 2; i++) {
        os_thread_join(&worker[i].thread);
        free(stack[i]);
    }
    page_caches_flush_all(f->heap);
    snapshot(f);
    for (uint32_t i = 0; i < f->view.chunk_count; i++) {
        assert_int_equal(entry(f, i).in_use, 0);
    }
}

static void run_snapshots(void *argument)
{
    const struct worker *worker = argument;

    while (!atomic_load_relaxed_u32(worker->is_over)) {
        snapshot_while_growing(worker->fixture);
    }
}

static void lanes_may_come_and_go_beside_snapshots(void **state)
{
    struct fixture *f = *state;
    _Atomic uint32_t is_over = 0;
    struct worker worker = {.fixture = f, .is_over = &is_over};
    void *stack = aligned_alloc(4096, OS_THREAD_STACK_BYTES);

    assert_int_equal(os_thread_start(&worker.thread, "pictures", stack, OS_THREAD_STACK_BYTES,
                                     run_snapshots, &worker),
                     QUARRY_OK);
    for (int i = 0; i < ROUNDS; i++) {
        struct page_lane *lane = create_lane(f->heap, "passing", Q_GIB(1));
        assert_non_null(page_lane_alloc(lane, f->alpha, 1 + (uint64_t)i % C, 1).base);
        page_lane_destroy(lane);
    }
    atomic_store_relaxed_u32(&is_over, 1);
    os_thread_join(&worker.thread);
    free(stack);
}

/* ---- read again after damage
 * ---------------------------------------------------------------------- */

static void chunks_of_a_lane_rise(void **state)
{
    struct fixture *f = *state;
    struct page_heap_map_view view;

    (void)alloc(f, f->alpha, 3 * C);
    snapshot(f);
    uint8_t *last = f->bytes + f->byte_count - 16;
    for (uint8_t chunk = 0; chunk < 2; chunk++) {
        last[0] = chunk;
        assert_int_equal(page_heap_map_parse(f->bytes, f->byte_count, &view, NULL), QUARRY_CORRUPT);
    }
    last[0] = 3; /* a gap is allowed */
    assert_int_equal(page_heap_map_parse(f->bytes, f->byte_count, &view, NULL), QUARRY_OK);
}

/* ---- how long it takes ---------------------------------------------------------------------- */

static uint64_t timed_snapshot_ns(struct page_heap *heap, uint8_t *buffer, size_t capacity)
{
    uint64_t best_ns = UINT64_MAX;

    for (int i = 0; i < 5; i++) {
        size_t bytes;
        uint64_t began_ns = os_monotonic_ns(os_real());
        assert_int_equal(page_heap_map_write(heap, buffer, capacity, &bytes), QUARRY_OK);
        best_ns = size_min_u64(best_ns, os_monotonic_ns(os_real()) - began_ns);
    }
    return best_ns;
}

/* Pages are charged and never touched, so nothing backs them but what the snapshot reads. */
static void the_time_of_a_large_snapshot(void **state)
{
    static const uint32_t run_pages[] = {512, 16, 1};
    struct page_heap_options options = {.limit_bytes = Q_GIB(100), .has_no_thread = true};
    struct page_lane_options lane_options = {.name = "large", .reserved_bytes = Q_GIB(80)};
    uint32_t owner;

    (void)state;
    for (size_t kind = 0; kind < 3; kind++) {
        struct page_heap *heap;
        struct page_lane *lane;
        assert_int_equal(page_heap_create(&options, &heap, NULL), QUARRY_OK);
        assert_int_equal(page_lane_create(heap, &lane_options, &lane, NULL), QUARRY_OK);
        assert_int_equal(page_ledger_register(&heap->ledger, "large", &owner), QUARRY_OK);
        for (uint64_t at = 0; at < SNAPSHOT_BYTES; at += run_pages[kind] << PAGE_SHIFT) {
            assert_non_null(page_lane_alloc(lane, owner, run_pages[kind], 1).base);
        }
        size_t capacity = page_heap_map_bytes(heap);
        uint8_t *buffer = malloc(capacity);
        assert_non_null(buffer);
        uint64_t ns = timed_snapshot_ns(heap, buffer, capacity);
        print_message("%llu GiB in runs of %u pages: a snapshot of %zu bytes in %.2f ms\n",
                      (unsigned long long)(SNAPSHOT_BYTES / Q_GIB(1)), run_pages[kind], capacity,
                      (double)ns / 1e6);
        free(buffer);
        page_heap_destroy(heap);
    }
}

#define HEAP_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        HEAP_TEST(a_heap_without_chunks_is_its_lanes_and_owners),
        HEAP_TEST(the_header_says_what_the_budget_says),
        HEAP_TEST(an_entry_counts_pages_as_the_bitmaps_do),
        HEAP_TEST(pages_of_a_reserved_run_count_when_they_are_backed),
        HEAP_TEST(a_chunk_is_dense_from_496_pages_on),
        HEAP_TEST(the_owner_with_the_most_pages_has_the_chunk),
        HEAP_TEST(a_chunk_without_runs_has_no_owner),
        HEAP_TEST(a_run_has_an_owner_in_every_chunk_it_reaches),
        HEAP_TEST(a_run_whose_head_has_no_room_for_its_length_is_followed),
        HEAP_TEST(pages_in_a_cache_are_in_use_and_nobodys),
        HEAP_TEST(lanes_stand_in_the_order_of_their_numbers),
        HEAP_TEST(an_ended_lane_shows_all_of_its_chunks_released),
        HEAP_TEST(a_buffer_that_is_too_short_is_refused_and_left_alone),
        HEAP_TEST(a_snapshot_leaves_no_lane_pinned),
        HEAP_TEST(snapshots_beside_threads_that_allocate_are_sound),
        HEAP_TEST(lanes_may_come_and_go_beside_snapshots),
        HEAP_TEST(chunks_of_a_lane_rise),
        cmocka_unit_test(the_time_of_a_large_snapshot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
