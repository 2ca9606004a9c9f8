#include "unit/page/simulated_heap.h"

#include <pthread.h>

#define ROWS_MAX 256u

struct os_sim sim;
struct page_heap *heap;

static void heap_make(const struct heap_setup *setup)
{
    struct quarry_error error = {0};
    struct page_heap_options options = {
        .os = &sim.os,
        .limit_bytes = setup->limit_bytes != 0 ? setup->limit_bytes : Q_GIB(4),
        .reserved_bytes = setup->reserved_bytes != 0 ? setup->reserved_bytes : Q_GIB(8),
        .has_no_thread = true,
    };
    enum quarry_status status = page_heap_create(&options, &heap, &error);

    if (status != QUARRY_OK) {
        fail_msg("page_heap_create: %s", error.text);
    }
}

void heap_begin(const struct heap_setup *setup)
{
    os_sim_init(&sim, &(struct os_sim_options){
                          .real_backing = setup->has_real_backing,
                          .decommit_keeps_access = true,
                          .disk_capacity_bytes = setup->disk_capacity_bytes,
                      });
    heap_make(setup);
}

void heap_check(void)
{
    struct quarry_error error = {0};

    if (page_heap_validate(heap, &error) != QUARRY_OK) {
        fail_msg("page_heap_validate: %s", error.text);
    }
    struct quarry_ledger totals = heap_totals();
    assert_int_equal(totals.in_flight_bytes, 0);
    assert_true(totals.committed_bytes <= totals.limit_bytes);
    assert_int_equal(totals.in_use_bytes + totals.cached_bytes + totals.free_backed_bytes +
                         totals.metadata_bytes + totals.set_aside_bytes,
                     totals.committed_bytes);
}

static void heap_unmake(void)
{
    struct os_sim_counters counters;

    heap_check();
    page_heap_destroy(heap);
    heap = NULL;
    os_sim_read_counters(&sim, &counters);
    assert_int_equal(counters.committed_bytes, 0);
    assert_int_equal(counters.mapped_file_bytes, 0);
    assert_int_equal(counters.reserved_bytes, 0);
}

void heap_end(void)
{
    heap_unmake();
    os_sim_fini(&sim);
}

void heap_restart(const struct heap_setup *setup)
{
    heap_unmake();
    heap_make(setup);
}

int heap_set_up(void **state)
{
    (void)state;
    heap_begin(&(struct heap_setup){0});
    return 0;
}

int heap_tear_down(void **state)
{
    (void)state;
    heap_end();
    return 0;
}

struct page_lane *lane_make_sized(const char *name, uint64_t reserved_bytes)
{
    struct quarry_error error = {0};
    struct page_lane *lane = NULL;
    struct page_lane_options options = {.name = name, .reserved_bytes = reserved_bytes};

    if (page_lane_create(heap, &options, &lane, &error) != QUARRY_OK) {
        fail_msg("page_lane_create: %s", error.text);
    }
    return lane;
}

struct page_lane *lane_make(const char *name)
{
    return lane_make_sized(name, Q_GIB(1));
}

uint32_t owner_make(const char *name)
{
    uint32_t owner = 0;

    assert_int_equal(page_ledger_register(&heap->ledger, name, &owner), QUARRY_OK);
    return owner;
}

void *take_pages(struct page_lane *lane, uint32_t owner, uint64_t page_count)
{
    struct page_run run = page_alloc(lane, owner, page_count);

    assert_int_equal(run.status, QUARRY_OK);
    assert_non_null(run.base);
    assert_int_equal(page_lane_run_pages(lane, run.base), page_count);
    assert_int_equal(page_lane_run_owner(lane, run.base), owner);
    return run.base;
}

void *take_from_tree(struct page_lane *lane, uint32_t owner, uint64_t page_count)
{
    struct page_run run = page_lane_alloc(lane, owner, page_count, 1);

    assert_int_equal(run.status, QUARRY_OK);
    assert_int_equal(page_lane_run_pages(lane, run.base), page_count);
    return run.base;
}

struct quarry_ledger heap_totals(void)
{
    struct quarry_ledger totals;

    (void)page_heap_ledger(heap, &totals, NULL, 0);
    return totals;
}

uint64_t heap_committed(void)
{
    return page_commit_read(&heap->commit).committed_bytes;
}

uint64_t owner_pages_in(uint32_t owner, const struct page_lane *lane)
{
    static struct quarry_ledger_row rows[ROWS_MAX];
    struct quarry_ledger totals;
    size_t row_count = page_heap_ledger(heap, &totals, rows, ROWS_MAX);

    assert_true(row_count <= ROWS_MAX);
    for (size_t i = 0; i < row_count; i++) {
        if (rows[i].owner == owner && rows[i].lane == lane->id) {
            return rows[i].in_use_bytes >> PAGE_SHIFT;
        }
    }
    return 0;
}

struct page_cache *own_cache(const struct page_lane *lane)
{
    const struct page_tls_heap *own = &page_tls.heap[lane->heap->slot];

    return own->serial == lane->heap->serial ? own->thread->cache[lane->id] : NULL;
}

void in_thread(void *(*body)(void *), void *argument)
{
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, body, argument), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
}
