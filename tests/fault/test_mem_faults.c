/*
 * Sweeps over an object heap: every call of the os fails once, and from there on for ever; every
 * limit from the least to the workload's peak refuses.
 *
 * After each run of the workload with a failure in it the failure is lifted, the whole workload
 * must succeed on the heap that is left (or on a new one, where there is none), and nothing may be
 * left after its end.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <mem/mem.h>
#include <mem/remote.h>
#include <os/os_sim.h>

#include "unit/base/cmocka_all.h"
#include "unit/base/rounds.h"

#define LIMIT_BYTES   Q_MIB(64)
#define SPACE_BYTES   Q_GIB(8)
#define OS_PAGE_BYTES Q_KIB(4)
/* Far above the number of calls in a run: a sweep that gets there does not end. */
#define CALLS_MAX 10000u
#define OBJECTS   ROUNDS(200u, 150u)
#define LIFETIMES 2u
#define LOST_MAX  16u

/* One run: the heaps, and what of the workload could be had. */
struct run {
    struct os_sim sim;
    uint64_t limit_bytes;
    bool may_fail; /* else everything must succeed */
    struct page_heap *pages;
    struct mem_heap heap;
    bool has_heap;
    uint32_t owner;
    struct mem_lifetime *lifetime[LIFETIMES];
    struct mem_pool *pool[LIFETIMES + 1]; /* the general one last */
    void *object[OBJECTS];
    size_t bytes[OBJECTS];
    uint64_t peak_bytes;
};

static struct run run;
static struct os_ops ops;
static const struct os_ops *sim_ops;

/* ---- the os --------------------------------------------------------------------------------- */

static struct {
    void *base;
    size_t bytes;
} lost[LOST_MAX];
static uint32_t lost_count;

static enum quarry_status release(struct os *os, void *base, size_t bytes)
{
    enum quarry_status status = sim_ops->release(os, base, bytes);

    if (status != QUARRY_OK) {
        assert_true(lost_count < LOST_MAX);
        lost[lost_count].base = base;
        lost[lost_count++].bytes = bytes;
    }
    return status;
}

static void run_open(uint64_t limit_bytes)
{
    const struct os_sim_options options = {.real_backing = true, .decommit_keeps_access = true};

    memset(&run, 0, sizeof(run));
    run.limit_bytes = limit_bytes;
    lost_count = 0;
    os_sim_init(&run.sim, &options);
    sim_ops = run.sim.os.ops;
    ops = *sim_ops;
    ops.release = release;
    run.sim.os.ops = &ops;
}

static void run_close(void)
{
    struct os_sim_counters counters;

    for (uint32_t i = 0; i < lost_count; i++) {
        assert_int_equal(sim_ops->release(&run.sim.os, lost[i].base, lost[i].bytes), QUARRY_OK);
    }
    os_sim_read_counters(&run.sim, &counters);
    assert_int_equal(counters.reserved_bytes, 0);
    assert_int_equal(counters.committed_bytes, 0);
    os_sim_fini(&run.sim);
}

/* ---- checks --------------------------------------------------------------------------------- */

static bool is_ok(enum quarry_status status)
{
    if (status != QUARRY_OK && !run.may_fail) {
        fail_msg("unexpected: %s", quarry_status_name(status));
    }
    return status == QUARRY_OK;
}

static void check(void)
{
    struct quarry_error error = {0};
    struct quarry_ledger totals;

    if (run.pages == NULL) {
        return;
    }
    if (page_heap_validate(run.pages, &error) != QUARRY_OK ||
        (run.has_heap && mem_heap_validate(&run.heap, &error) != QUARRY_OK)) {
        fail_msg("%s", error.text);
    }
    (void)page_heap_ledger(run.pages, &totals, NULL, 0);
    assert_int_equal(totals.in_flight_bytes, 0);
    assert_true(totals.committed_bytes <= totals.limit_bytes);
    run.peak_bytes = size_max_u64(run.peak_bytes, totals.peak_bytes);
}

/* ---- the workload --------------------------------------------------------------------------- */

static void step_make(void)
{
    const struct page_heap_options options = {.os = &run.sim.os,
                                              .limit_bytes = run.limit_bytes,
                                              .reserved_bytes = SPACE_BYTES,
                                              .has_no_thread = true};

    if (run.pages == NULL && !is_ok(page_heap_create(&options, &run.pages, NULL))) {
        run.pages = NULL;
        return;
    }
    if (!run.has_heap) {
        struct mem_heap_options heap_options = {.pages = run.pages};
        run.heap = (struct mem_heap){.map = MEM_MAP_NONE};
        run.has_heap = is_ok(mem_heap_init(&run.heap, &heap_options, NULL));
    }
    if (run.has_heap) {
        run.pool[LIFETIMES] = run.heap.general_pool;
        (void)is_ok(page_ledger_register(&run.pages->ledger, "red", &run.owner));
    }
}

static void step_begin_lifetimes(void)
{
    static const char *const name[LIFETIMES] = {"morning", "evening"};

    for (uint32_t i = 0; i < LIFETIMES && run.has_heap; i++) {
        if (run.lifetime[i] == NULL &&
            !is_ok(mem_lifetime_begin(&run.heap, name[i], &run.lifetime[i], NULL))) {
            run.lifetime[i] = NULL;
        }
        if (run.lifetime[i] != NULL && run.pool[i] == NULL && run.owner != PAGE_OWNER_NONE &&
            !is_ok(mem_pool_create(run.lifetime[i], run.owner, &run.pool[i]))) {
            run.pool[i] = NULL;
        }
    }
}

static size_t size_of(uint32_t index)
{
    static const size_t large[] = {40000, 100000, 600000};

    return index % 40 == 39 ? large[index / 40 % 3] : 1 + (size_t)index * 257 % 9000;
}

static void tag(uint32_t index)
{
    memset(run.object[index], (int)(index & 0xff), run.bytes[index]);
}

static void assert_tagged(uint32_t index)
{
    const uint8_t *byte = run.object[index];

    assert_int_equal(byte[0], index & 0xff);
    assert_int_equal(byte[run.bytes[index] - 1], index & 0xff);
}

static void alloc_at(uint32_t index)
{
    struct mem_pool *pool = run.pool[index % (LIFETIMES + 1)];

    if (pool == NULL || run.object[index] != NULL) {
        return;
    }
    run.bytes[index] = size_of(index);
    uint8_t *object = index % 4 == 0   ? mem_alloc_zero(pool, NULL, run.bytes[index])
                      : index % 9 == 1 ? mem_alloc_aligned(pool, run.bytes[index], 4096)
                                       : mem_alloc(pool, run.bytes[index]);
    run.object[index] = object;
    if (is_ok(object != NULL ? QUARRY_OK : QUARRY_NO_MEMORY)) {
        assert_true(index % 4 != 0 || object[run.bytes[index] - 1] == 0);
        tag(index);
    }
}

static void free_at(uint32_t index)
{
    if (run.object[index] != NULL) {
        assert_tagged(index);
        mem_free(&run.heap, run.object[index]);
        run.object[index] = NULL;
    }
}

static void step_alloc(void)
{
    for (uint32_t i = 0; i < OBJECTS && run.has_heap; i++) {
        alloc_at(i);
    }
}

static void step_free_some(void)
{
    for (uint32_t i = 0; i < OBJECTS; i += 3) {
        free_at(OBJECTS - 1 - i);
    }
}

static void step_free_all(void)
{
    for (uint32_t i = 0; i < OBJECTS; i++) {
        free_at(i);
    }
}

static void step_resize(void)
{
    for (uint32_t i = 0; i < OBJECTS; i += 5) {
        if (run.object[i] == NULL) {
            continue;
        }
        size_t bytes = run.bytes[i] * 3;
        assert_tagged(i);
        uint8_t *moved = mem_realloc(&run.heap, run.object[i], bytes);
        if (is_ok(moved != NULL ? QUARRY_OK : QUARRY_NO_MEMORY)) {
            assert_int_equal(moved[run.bytes[i] - 1], i & 0xff);
            run.object[i] = moved;
            run.bytes[i] = bytes;
            tag(i);
        }
        assert_tagged(i);
    }
}

static void *run_in_thread(void *argument)
{
    void (*const *step)(void) = argument;

    (*step)();
    return NULL;
}

static void in_thread(void (*step)(void))
{
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, run_in_thread, &step), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

/* Allocates in a thread that ends, frees in one that never allocates. */
static void step_threads(void)
{
    in_thread(step_alloc);
    check();
    in_thread(step_free_some);
    in_thread(step_alloc);
}

static void step_collect(void)
{
    if (run.has_heap) {
        struct mem_thread *thread = mem_thread_find(&run.heap);
        if (is_ok(thread != NULL ? QUARRY_OK : QUARRY_NO_MEMORY)) {
            mem_remote_flush(thread);
        }
        (void)mem_heap_collect(&run.heap);
        (void)page_heap_trim(run.pages);
    }
}

static void step_end_lifetime(void)
{
    if (run.lifetime[0] == NULL) {
        return;
    }
    for (uint32_t i = 0; i < OBJECTS; i += LIFETIMES + 1) {
        run.object[i] = NULL;
    }
    mem_lifetime_end(run.lifetime[0]);
    run.lifetime[0] = NULL;
    run.pool[0] = NULL;
}

static void workload_end(void)
{
    if (run.has_heap) {
        mem_heap_fini(&run.heap);
    }
    if (run.pages != NULL) {
        page_heap_destroy(run.pages);
    }
    run.has_heap = false;
    run.pages = NULL;
    memset(run.lifetime, 0, sizeof(run.lifetime));
    memset(run.pool, 0, sizeof(run.pool));
    memset(run.object, 0, sizeof(run.object));
    run.owner = PAGE_OWNER_NONE;
}

static void workload(bool may_fail)
{
    static void (*const step[])(void) = {
        step_make,  step_begin_lifetimes, step_alloc,   step_free_some,    step_resize,
        step_alloc, step_threads,         step_collect, step_end_lifetime, step_begin_lifetimes,
        step_alloc, step_free_all,        step_collect, step_alloc,
    };

    run.may_fail = may_fail;
    for (size_t i = 0; i < sizeof(step) / sizeof(step[0]); i++) {
        step[i]();
        check();
    }
}

/* ---- calls of the os ------------------------------------------------------------------------ */

struct fault {
    uint32_t kind_mask;
    enum os_sim_fail_mode mode;
    enum quarry_status status;
    bool is_end_faulty; /* the heap ends before the failure is lifted */
};

/* Returns whether anything failed. */
static bool run_with_fault(const struct fault *fault, uint64_t index)
{
    run_open(LIMIT_BYTES);
    os_sim_fail_at(&run.sim, fault->kind_mask, index, fault->mode, fault->status);
    workload(true);
    if (fault->is_end_faulty) {
        workload_end();
    }
    bool is_any_failed = os_sim_failed_count(&run.sim) > 0;
    os_sim_fail_clear(&run.sim);
    workload(false);
    workload_end();
    run_close();
    return is_any_failed;
}

static void sweep(uint32_t kind_mask, enum quarry_status status)
{
    for (uint32_t way = 0; way < 4; way++) {
        struct fault fault = {kind_mask, way % 2 == 0 ? OS_SIM_ONCE : OS_SIM_FOR_EVER, status,
                              way >= 2};
        uint64_t index = 0;
        while (run_with_fault(&fault, index)) {
            index++;
            assert_true(index < CALLS_MAX);
        }
        assert_true(index > 0);
        print_message("  %s%s: each of %llu calls\n", way % 2 == 0 ? "once" : "for ever",
                      way >= 2 ? ", with the end" : "", (unsigned long long)index);
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

static void a_heap_survives_each_call_failing(void **state)
{
    (void)state;
    sweep(OS_SIM_ANY_MEMORY, QUARRY_NO_MEMORY);
}

/* ---- the budget ----------------------------------------------------------------------------- */

static uint64_t workload_peak_bytes(void)
{
    run_open(LIMIT_BYTES);
    workload(false);
    workload_end();
    run_close();
    return run.peak_bytes;
}

/* Under a limit, then under one that is enough, on the same heap. */
static void run_with_limit(uint64_t limit_bytes)
{
    run_open(limit_bytes);
    workload(true);
    run.limit_bytes = LIMIT_BYTES;
    if (run.pages != NULL) {
        assert_int_equal(page_heap_set_limit(run.pages, LIMIT_BYTES), QUARRY_OK);
    }
    workload(false);
    workload_end();
    run_close();
}

/* The first MiB page by page of the os: there the heap itself is made; then in steps of a prime. */
static void a_heap_survives_every_limit_up_to_its_peak(void **state)
{
    uint64_t peak_bytes = workload_peak_bytes();
    uint32_t run_count = 0;

    (void)state;
    for (uint64_t limit_bytes = OS_PAGE_BYTES; limit_bytes <= peak_bytes; run_count++) {
        run_with_limit(limit_bytes);
        limit_bytes += limit_bytes < Q_MIB(1) ? OS_PAGE_BYTES : 7 * OS_PAGE_BYTES;
    }
    print_message("%u limits up to %llu KiB\n", run_count, (unsigned long long)(peak_bytes >> 10));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_heap_survives_each_reservation_failing),
        cmocka_unit_test(a_heap_survives_each_commit_failing),
        cmocka_unit_test(a_heap_survives_each_decommit_failing),
        cmocka_unit_test(a_heap_survives_each_uncommit_failing),
        cmocka_unit_test(a_heap_survives_each_release_failing),
        cmocka_unit_test(a_heap_survives_each_call_failing),
        cmocka_unit_test(a_heap_survives_every_limit_up_to_its_peak),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
