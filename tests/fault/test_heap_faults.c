/*
 * Sweeps over a page heap: every call of the os fails once, and from there on for ever; every
 * charge of the budget is refused.
 *
 * After each run of the workload with a failure in it the failure is lifted, the whole workload
 * must succeed on the heap that is left (or on a new one, where there is none), and nothing may be
 * left after its end.
 */
#include <stdio.h>

#include "fault/heap_workload.h"
#include "unit/base/cmocka_all.h"

#define LIMIT_BYTES   Q_MIB(64)
#define OS_PAGE_BYTES Q_KIB(4)
/* Far above the number of calls in a run: a sweep that gets there does not end. */
#define CALLS_MAX 10000u

struct fault {
    uint32_t kind_mask;
    enum os_sim_fail_mode mode;
    enum quarry_status status;
    uint64_t index;
    bool is_end_faulty; /* the heap is destroyed before the failure is lifted */
};

/* Returns whether anything failed. */
static bool run_with_fault(const struct fault *fault)
{
    struct workload workload;

    workload_init(&workload, LIMIT_BYTES, UINT64_MAX);
    os_sim_fail_at(&workload.sim, fault->kind_mask, fault->index, fault->mode, fault->status);
    workload_run(&workload, fault->status);
    if (fault->is_end_faulty) {
        workload_end(&workload);
    }
    bool is_any_failed = os_sim_failed_count(&workload.sim) > 0;
    os_sim_fail_clear(&workload.sim);
    workload_run(&workload, QUARRY_OK);
    workload_end(&workload);
    workload_fini(&workload, WORKLOAD_HEADER_DISK_BYTES);
    return is_any_failed;
}

/* Fails each call of the kinds in turn. Returns how many there are. */
static uint64_t sweep_from(struct fault fault)
{
    while (run_with_fault(&fault)) {
        fault.index++;
        assert_true(fault.index < CALLS_MAX);
    }
    return fault.index;
}

static void sweep(uint32_t kind_mask, enum quarry_status status)
{
    static const enum os_sim_fail_mode modes[] = {OS_SIM_ONCE, OS_SIM_FOR_EVER};

    for (size_t i = 0; i < 2; i++) {
        uint64_t work_count =
            sweep_from((struct fault){.kind_mask = kind_mask, .mode = modes[i], .status = status});
        uint64_t call_count = sweep_from((struct fault){
            .kind_mask = kind_mask, .mode = modes[i], .status = status, .is_end_faulty = true});
        /* The end of the heap makes some of the calls, but never opens a file, say. */
        assert_true(work_count > 0 && call_count >= work_count);
        print_message("  %s: each of %llu calls, %llu with the end\n",
                      modes[i] == OS_SIM_ONCE ? "once" : "for ever", (unsigned long long)work_count,
                      (unsigned long long)call_count);
    }
}

static void a_heap_survives_each_reservation_failing(void **state)
{
    (void)state;
    sweep(OS_SIM_RESERVE, QUARRY_NO_ADDRESS);
}

static void a_heap_survives_each_commit_failing(void **state)
{
    (void)state;
    sweep(OS_SIM_COMMIT, QUARRY_NO_MEMORY);
}

static void a_heap_survives_each_decommit_failing(void **state)
{
    (void)state;
    sweep(OS_SIM_DECOMMIT, QUARRY_BUSY);
}

static void a_heap_survives_each_huge_page_failing(void **state)
{
    (void)state;
    sweep(OS_SIM_COLLAPSE, QUARRY_NO_MEMORY);
    sweep(OS_SIM_COLLAPSE, QUARRY_BUSY);
    sweep(OS_SIM_COLLAPSE, QUARRY_UNSUPPORTED);
}

static void a_heap_survives_each_uncommit_failing(void **state)
{
    (void)state;
    sweep(OS_SIM_UNCOMMIT, QUARRY_NO_MEMORY);
}

static void a_heap_survives_each_release_failing(void **state)
{
    (void)state;
    sweep(OS_SIM_RELEASE, QUARRY_NO_MEMORY);
}

static void a_heap_survives_each_opening_of_its_file_failing(void **state)
{
    (void)state;
    sweep(OS_SIM_FILE_OPEN, QUARRY_PERMISSION);
}

static void a_heap_survives_each_growth_of_its_file_failing(void **state)
{
    (void)state;
    sweep(OS_SIM_FILE_RESIZE, QUARRY_NO_SPACE);
}

static void a_heap_survives_each_mapping_of_its_file_failing(void **state)
{
    (void)state;
    sweep(OS_SIM_FILE_MAP, QUARRY_NO_MEMORY);
}

static void a_heap_survives_each_preallocation_failing(void **state)
{
    (void)state;
    sweep(OS_SIM_FILE_PREALLOCATE, QUARRY_NO_SPACE);
}

static void a_heap_survives_each_punch_failing(void **state)
{
    (void)state;
    sweep(OS_SIM_FILE_PUNCH, QUARRY_IO);
}

/* A disk that is full refuses blocks, and in many file systems punching, which needs some as well.
 */
static void a_heap_survives_preallocations_and_punches_failing_together(void **state)
{
    (void)state;
    sweep(OS_SIM_FILE_PREALLOCATE | OS_SIM_FILE_PUNCH, QUARRY_NO_SPACE);
}

static void a_heap_survives_each_header_failing_to_be_read(void **state)
{
    (void)state;
    sweep(OS_SIM_FILE_READ, QUARRY_IO);
}

static void a_heap_survives_each_header_failing_to_be_written(void **state)
{
    (void)state;
    sweep(OS_SIM_FILE_WRITE, QUARRY_NO_SPACE);
}

static void a_heap_survives_each_call_for_memory_failing(void **state)
{
    (void)state;
    sweep(OS_SIM_ANY_MEMORY, QUARRY_NO_MEMORY);
}

static void a_heap_survives_each_call_failing(void **state)
{
    (void)state;
    sweep(OS_SIM_ANY_MEMORY | OS_SIM_ANY_FILE, QUARRY_IO);
}

/* ---- the budget ----------------------------------------------------------------------------- */

/* Runs are cut so that a workload fits a few MiB: each OS page of them is a run of the sweep. */
#define BUDGET_RUN_PAGES_MAX 16u

/* The most that the workload commits when it may. */
static uint64_t workload_peak_bytes(void)
{
    struct workload workload;

    workload_init(&workload, LIMIT_BYTES, BUDGET_RUN_PAGES_MAX);
    workload_run(&workload, QUARRY_OK);
    workload_end(&workload);
    workload_fini(&workload, WORKLOAD_HEADER_DISK_BYTES);
    return workload.peak_bytes;
}

/* Runs the workload under a limit, then under one that is enough, on the same heap. */
static void run_with_limit(uint64_t limit_bytes, uint64_t enough_bytes)
{
    struct workload workload;

    workload_init(&workload, limit_bytes, BUDGET_RUN_PAGES_MAX);
    workload_run(&workload, QUARRY_NO_MEMORY);
    /* A limit that creation accepts is one that a heap can exist in. */
    assert_non_null(workload.heap);
    workload.limit_bytes = enough_bytes;
    assert_int_equal(page_heap_set_limit(workload.heap, enough_bytes), QUARRY_OK);
    workload_run(&workload, QUARRY_OK);
    workload_end(&workload);
    workload_fini(&workload, WORKLOAD_HEADER_DISK_BYTES);
}

static bool is_limit_accepted(uint64_t limit_bytes)
{
    struct workload workload;
    bool is_accepted;

    workload_init(&workload, limit_bytes, BUDGET_RUN_PAGES_MAX);
    const struct page_heap_options options = {
        .os = &workload.sim.os, .limit_bytes = limit_bytes, .has_no_thread = true};
    enum quarry_status status = page_heap_create(&options, &workload.heap, NULL);
    is_accepted = status == QUARRY_OK;
    assert_true(is_accepted || status == QUARRY_BAD_INPUT);
    workload_check(&workload);
    workload_end(&workload);
    workload_fini(&workload, 0);
    return is_accepted;
}

static void a_heap_survives_each_charge_being_refused(void **state)
{
    uint64_t peak_bytes = workload_peak_bytes();
    uint64_t limit_bytes = OS_PAGE_BYTES;
    uint32_t run_count = 0;

    (void)state;
    while (!is_limit_accepted(limit_bytes)) {
        limit_bytes += OS_PAGE_BYTES;
        assert_true(limit_bytes < peak_bytes);
    }
    for (; limit_bytes <= peak_bytes; limit_bytes += OS_PAGE_BYTES) {
        run_with_limit(limit_bytes, LIMIT_BYTES);
        run_count++;
    }
    print_message("%u limits up to %llu KiB\n", run_count, (unsigned long long)(peak_bytes >> 10));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_heap_survives_each_reservation_failing),
        cmocka_unit_test(a_heap_survives_each_commit_failing),
        cmocka_unit_test(a_heap_survives_each_decommit_failing),
        cmocka_unit_test(a_heap_survives_each_huge_page_failing),
        cmocka_unit_test(a_heap_survives_each_uncommit_failing),
        cmocka_unit_test(a_heap_survives_each_release_failing),
        cmocka_unit_test(a_heap_survives_each_opening_of_its_file_failing),
        cmocka_unit_test(a_heap_survives_each_growth_of_its_file_failing),
        cmocka_unit_test(a_heap_survives_each_mapping_of_its_file_failing),
        cmocka_unit_test(a_heap_survives_each_preallocation_failing),
        cmocka_unit_test(a_heap_survives_each_punch_failing),
        cmocka_unit_test(a_heap_survives_preallocations_and_punches_failing_together),
        cmocka_unit_test(a_heap_survives_each_header_failing_to_be_read),
        cmocka_unit_test(a_heap_survives_each_header_failing_to_be_written),
        cmocka_unit_test(a_heap_survives_each_call_for_memory_failing),
        cmocka_unit_test(a_heap_survives_each_call_failing),
        cmocka_unit_test(a_heap_survives_each_charge_being_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
