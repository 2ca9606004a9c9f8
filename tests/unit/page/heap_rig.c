#include "heap_rig.h"

void rig_open(struct rig *rig, const struct rig_options *options)
{
    struct os_sim_options sim_options = {.decommit_keeps_access = true,
                                         .decommit_cost_ns_per_page = options->decommit_cost_ns,
                                         .collapse_cost_ns = options->collapse_cost_ns};
    struct quarry_error error = {0};

    os_sim_init(&rig->sim, &sim_options);
    if (options->page_bytes != 0) {
        rig->sim.os.page_bytes = options->page_bytes;
    }
    if (options->has_no_huge_pages) {
        rig->sim.os.huge_page_bytes = 0;
    }
    struct page_heap_options heap_options = {
        .os = &rig->sim.os,
        .limit_bytes = options->limit_bytes != 0 ? options->limit_bytes : Q_GIB(4),
        .reserved_bytes = Q_GIB(4),
        .has_no_thread = !options->has_thread,
    };
    assert_int_equal(page_heap_create(&heap_options, &rig->heap, &error), QUARRY_OK);
    assert_int_equal(page_ledger_register(&rig->heap->ledger, "test", &rig->owner), QUARRY_OK);
    rig->lane = rig_add_lane(rig, "low");
}

struct page_lane *rig_add_lane(struct rig *rig, const char *name)
{
    struct page_lane_options options = {.name = name, .reserved_bytes = Q_GIB(1)};
    struct page_lane *lane = NULL;
    struct quarry_error error = {0};

    assert_int_equal(page_lane_create(rig->heap, &options, &lane, &error), QUARRY_OK);
    return lane;
}

void rig_close(struct rig *rig)
{
    struct os_sim_counters counters;

    (void)rig_check(rig);
    page_heap_destroy(rig->heap);
    os_sim_read_counters(&rig->sim, &counters);
    assert_int_equal(counters.reserved_bytes, 0);
    assert_int_equal(counters.committed_bytes, 0);
    os_sim_fini(&rig->sim);
}

struct quarry_ledger rig_check(struct rig *rig)
{
    struct quarry_error error = {0};
    struct quarry_ledger totals;

    if (page_heap_validate(rig->heap, &error) != QUARRY_OK) {
        fail_msg("%s", error.text);
    }
    (void)page_heap_ledger(rig->heap, &totals, NULL, 0);
    assert_int_equal(totals.in_flight_bytes, 0);
    assert_int_equal(totals.in_use_bytes + totals.cached_bytes + totals.free_backed_bytes +
                         totals.metadata_bytes,
                     totals.committed_bytes);
    assert_true(totals.committed_bytes <= totals.limit_bytes);
    return totals;
}

uint64_t rig_committed_bytes(struct rig *rig)
{
    return page_commit_read(&rig->heap->commit).committed_bytes;
}

char *rig_alloc(struct rig *rig, struct page_lane *lane, uint64_t page_count)
{
    struct page_run run = page_lane_alloc(lane, rig->owner, page_count, 1);

    assert_int_equal(run.status, QUARRY_OK);
    return run.base;
}

void rig_fill_chunks(struct rig *rig, struct page_lane *lane, uint32_t chunk_count)
{
    for (uint64_t i = 0; i < (uint64_t)chunk_count * PAGE_CHUNK_PAGES; i++) {
        assert_ptr_equal(rig_alloc(rig, lane, 1), page_lane_address(lane, i));
    }
}

void rig_free_pages(struct page_lane *lane, uint64_t page, uint64_t page_count)
{
    for (uint64_t i = page; i < page + page_count; i++) {
        page_lane_free(lane, page_lane_address(lane, i));
    }
}

bool rig_is_scavenged(const struct page_lane *lane, uint64_t page)
{
    return page_tree_count_scavenged(&lane->tree, page, 1) == 1;
}

void rig_next_generation(struct page_lane *lane)
{
    os_mutex_lock(&lane->mutex);
    page_scavenge_index_next_generation(&lane->tree.index);
    os_mutex_unlock(&lane->mutex);
}

uint64_t rig_run_for(struct rig *rig, uint64_t duration_ns)
{
    uint64_t end_ns = os_monotonic_ns(&rig->sim.os) + duration_ns;
    uint64_t wait_ns = page_scavenger_run(rig->heap);

    /* A wait of 0 is right once in a while, not for ever. */
    for (uint32_t standstill = 0; os_monotonic_ns(&rig->sim.os) < end_ns;) {
        uint64_t left_ns = sat_sub_u64(end_ns, os_monotonic_ns(&rig->sim.os));
        standstill = wait_ns == 0 ? standstill + 1 : 0;
        assert_true(standstill < 1000);
        os_sim_advance(&rig->sim, size_min_u64(wait_ns, left_ns));
        wait_ns = page_scavenger_run(rig->heap);
    }
    return wait_ns;
}
