/* The simulated twin's failures, at each kind of call and each index, and its clocks. */
#include "cmocka_all.h"

#include <pthread.h>
#include <string.h>

#include <os/os_sim.h>

#define PAGE       ((size_t)4096)
#define CALLS      4
#define HUGE_BYTES ((size_t)Q_MIB(2))

static struct os_sim sim;
static struct os *os = &sim.os;

static struct os_file file; /* open, four blocks long */
static char *committed;     /* a page */
static char *spare;         /* CALLS pages, committed: each decommit or release takes one */
static char *huge;          /* what a huge page covers, committed */

static int start(void **state)
{
    (void)state;
    void *base = NULL;
    os_sim_init(
        &sim, &(struct os_sim_options){.decommit_cost_ns_per_page = 500, .collapse_cost_ns = 7000});
    sim.os.huge_page_bytes = HUGE_BYTES;
    assert_int_equal(os_reserve(os, (1 + CALLS) * PAGE, PAGE, &base), QUARRY_OK);
    assert_int_equal(os_commit(os, base, (1 + CALLS) * PAGE), QUARRY_OK);
    committed = base;
    spare = committed + PAGE;
    assert_int_equal(os_reserve(os, HUGE_BYTES, HUGE_BYTES, &base), QUARRY_OK);
    assert_int_equal(os_commit(os, base, HUGE_BYTES), QUARRY_OK);
    huge = base;
    assert_int_equal(os_file_open(os, "file", &file), QUARRY_OK);
    assert_int_equal(os_file_preallocate(os, &file, 0, 4 * PAGE), QUARRY_OK);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    os_sim_fini(&sim);
    return 0;
}

/* ---- one call of each kind; `i` is how many came before ------------------------------------- */

static enum quarry_status call_reserve(size_t i)
{
    void *base = NULL;
    (void)i;
    enum quarry_status status = os_reserve(os, PAGE, PAGE, &base);
    assert_int_equal(base != NULL, status == QUARRY_OK);
    return status;
}
static enum quarry_status call_commit(size_t i)
{
    (void)i;
    return os_commit(os, committed, PAGE);
}
static enum quarry_status call_decommit(size_t i)
{
    return os_decommit(os, spare + i * PAGE, PAGE);
}
static enum quarry_status call_release(size_t i)
{
    return os_release(os, spare + i * PAGE, PAGE);
}
static enum quarry_status call_file_open(size_t i)
{
    struct os_file opened = {.fd = -1};
    char path[] = {(char)('a' + i), '\0'};
    enum quarry_status status = os_file_open(os, path, &opened);
    assert_int_equal(opened.fd >= 0, status == QUARRY_OK);
    return status;
}
static enum quarry_status call_file_resize(size_t i)
{
    return os_file_resize(os, &file, i * PAGE);
}
static enum quarry_status call_file_map(size_t i)
{
    void *base = NULL;
    (void)i;
    assert_int_equal(os_reserve(os, PAGE, PAGE, &base), QUARRY_OK);
    return os_file_map(os, &file, 0, base, PAGE);
}
static enum quarry_status call_file_preallocate(size_t i)
{
    return os_file_preallocate(os, &file, i * PAGE, PAGE);
}
static enum quarry_status call_file_punch(size_t i)
{
    return os_file_punch(os, &file, i * PAGE, PAGE);
}
static enum quarry_status call_file_read(size_t i)
{
    char byte;
    return os_file_read(os, &file, i, &byte, 1);
}
static enum quarry_status call_file_write(size_t i)
{
    return os_file_write(os, &file, i, "a", 1);
}
static enum quarry_status call_file_next_data(size_t i)
{
    uint64_t begin;
    uint64_t end;
    return os_file_next_data(os, &file, i, &begin, &end);
}

static enum quarry_status call_uncommit(size_t i)
{
    return os_uncommit(os, spare + i * PAGE, PAGE);
}

static enum quarry_status call_collapse(size_t i)
{
    (void)i;
    return os_collapse(os, huge, HUGE_BYTES);
}

static enum quarry_status call_file_sync(size_t i)
{
    (void)i;
    return os_file_sync(os, committed, PAGE);
}

static enum quarry_status (*const calls[OS_SIM_KIND_COUNT])(size_t) = {
    call_reserve,     call_commit,         call_decommit,         call_release,    call_file_open,
    call_file_resize, call_file_map,       call_file_preallocate, call_file_punch, call_file_read,
    call_file_write,  call_file_next_data, call_uncommit,         call_collapse,   call_file_sync,
};

/* Makes CALLS calls of a kind under a rule, and checks which of them fail. */
static void check_rule(uint32_t kind, size_t index, enum os_sim_fail_mode mode)
{
    uint64_t expected_failures = 0;
    uint64_t before = os_sim_call_count(&sim, 1u << kind);
    os_sim_fail_at(&sim, 1u << kind, index, mode, QUARRY_BUSY);
    for (size_t i = 0; i < CALLS; i++) {
        bool fails = mode == OS_SIM_ONCE ? i == index : i >= index;
        assert_int_equal(calls[kind](i), fails ? QUARRY_BUSY : QUARRY_OK);
        expected_failures += fails;
    }
    assert_int_equal(os_sim_failed_count(&sim), expected_failures);
    assert_int_equal(os_sim_call_count(&sim, 1u << kind), before + CALLS);
}

static void each_kind_fails_at_each_index_once_or_for_ever(void **state)
{
    for (uint32_t kind = 0; kind < OS_SIM_KIND_COUNT; kind++)
        for (size_t index = 0; index <= CALLS; index++) /* the last never comes */
            for (int mode = OS_SIM_ONCE; mode <= OS_SIM_FOR_EVER; mode++) {
                assert_int_equal(start(state), 0);
                check_rule(kind, index, (enum os_sim_fail_mode)mode);
                assert_int_equal(stop(state), 0);
            }
}

static void a_mask_counts_all_its_kinds_together_and_no_others(void **state)
{
    (void)state;
    os_sim_fail_at(&sim, OS_SIM_COMMIT | OS_SIM_FILE_WRITE, 2, OS_SIM_ONCE, QUARRY_NO_SPACE);
    assert_int_equal(call_commit(0), QUARRY_OK);
    assert_int_equal(call_decommit(0), QUARRY_OK);
    assert_int_equal(call_file_write(0), QUARRY_OK);
    assert_int_equal(call_file_read(0), QUARRY_OK);
    assert_int_equal(call_commit(0), QUARRY_NO_SPACE);
    assert_int_equal(call_commit(0), QUARRY_OK);
}

static void a_cleared_rule_fails_nothing(void **state)
{
    (void)state;
    os_sim_fail_at(&sim, OS_SIM_ANY, 0, OS_SIM_FOR_EVER, QUARRY_NO_MEMORY);
    assert_int_equal(call_commit(0), QUARRY_NO_MEMORY);
    assert_int_equal(call_file_read(0), QUARRY_NO_MEMORY);
    os_sim_fail_clear(&sim);
    assert_int_equal(call_commit(0), QUARRY_OK);
    assert_int_equal(call_file_read(0), QUARRY_OK);
    assert_int_equal(os_sim_failed_count(&sim), 2);
}

static void a_failed_call_changes_nothing(void **state)
{
    (void)state;
    struct os_sim_counters before;
    struct os_sim_counters after;
    uint64_t bytes = 0;
    os_sim_read_counters(&sim, &before);
    os_sim_fail_at(&sim, OS_SIM_ANY & ~(uint32_t)OS_SIM_FILE_MAP, 0, OS_SIM_FOR_EVER, QUARRY_IO);
    for (uint32_t kind = 0; kind < OS_SIM_KIND_COUNT; kind++)
        if (kind != 6) /* file_map reserves for itself */
            assert_int_equal(calls[kind](1), QUARRY_IO);
    os_sim_read_counters(&sim, &after);
    memset(before.calls, 0, sizeof before.calls);
    memset(after.calls, 0, sizeof after.calls);
    assert_memory_equal(&before, &after, sizeof before);
    assert_int_equal(os_file_size(os, &file, &bytes), QUARRY_OK);
    assert_int_equal(bytes, 4 * PAGE);
    assert_int_equal(os_monotonic_ns(os), Q_SECOND_NS); /* no price either */
}

/* ---- time ----------------------------------------------------------------------------------- */

static void clocks_stand_still_until_told(void **state)
{
    (void)state;
    uint64_t monotonic_ns = os_monotonic_ns(os);
    uint64_t wall_ns = os_wall_ns(os);
    os_sleep_ns(2 * Q_MS_NS);
    assert_int_equal(os_monotonic_ns(os), monotonic_ns);
    assert_int_equal(os_wall_ns(os), wall_ns);
    assert_int_equal(os_thread_cpu_ns(os), 0);
    os_sim_advance(&sim, 5 * Q_SECOND_NS);
    assert_int_equal(os_monotonic_ns(os), monotonic_ns + 5 * Q_SECOND_NS);
    assert_int_equal(os_wall_ns(os), wall_ns + 5 * Q_SECOND_NS);
    assert_int_equal(os_thread_cpu_ns(os), 0);
    os_sim_work(&sim, 3);
    assert_int_equal(os_monotonic_ns(os), monotonic_ns + 5 * Q_SECOND_NS + 3);
    assert_int_equal(os_thread_cpu_ns(os), 3);
}

static void *work_elsewhere(void *cpu_ns)
{
    os_sim_work(&sim, 70);
    *(uint64_t *)cpu_ns = os_thread_cpu_ns(os);
    return NULL;
}

static void cpu_time_is_each_threads_own(void **state)
{
    (void)state;
    pthread_t thread;
    uint64_t other_ns = 0;
    os_sim_work(&sim, 5);
    assert_int_equal(pthread_create(&thread, NULL, work_elsewhere, &other_ns), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(other_ns, 70);
    assert_int_equal(os_thread_cpu_ns(os), 5);
    assert_int_equal(os_monotonic_ns(os), Q_SECOND_NS + 75);
}

static void a_decommit_takes_the_time_it_is_given(void **state)
{
    (void)state;
    assert_int_equal(os_decommit(os, spare, 3 * PAGE), QUARRY_OK);
    assert_int_equal(os_thread_cpu_ns(os), 1500);
    assert_int_equal(os_monotonic_ns(os), Q_SECOND_NS + 1500);
}

static void the_wall_clock_starts_where_it_is_told(void **state)
{
    (void)state;
    struct os_sim other;
    os_sim_init(&other, &(struct os_sim_options){.wall_start_ns = 12345});
    assert_int_equal(os_wall_ns(&other.os), 12345);
    os_sim_fini(&other);
    assert_int_equal(os_wall_ns(os), UINT64_C(1767225600) * Q_SECOND_NS);
}

#define in_a_twin(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_fails_at_each_index_once_or_for_ever),
        in_a_twin(a_mask_counts_all_its_kinds_together_and_no_others),
        in_a_twin(a_cleared_rule_fails_nothing),
        in_a_twin(a_failed_call_changes_nothing),
        in_a_twin(clocks_stand_still_until_told),
        in_a_twin(cpu_time_is_each_threads_own),
        in_a_twin(a_decommit_takes_the_time_it_is_given),
        in_a_twin(the_wall_clock_starts_where_it_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
