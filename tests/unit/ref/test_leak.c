/*
 * The leak ledger: tokens, sampling, running out of memory, and what is printed.
 */
#include "unit/page/simulated_heap.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <ref/ref.h>

#include "unit/os/child.h"

static struct ref_leaks *leaks;

static int set_up(void **state)
{
    (void)state;
    heap_begin(&(struct heap_setup){.has_real_backing = true});
    assert_int_equal(ref_leaks_create(heap, "test.things", &leaks), QUARRY_OK);
    ref_leak_set_every(1);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    ref_leak_set_handler(NULL, NULL);
    ref_leaks_destroy(leaks);
    heap_end();
    return 0;
}

/* ---- what a handler was told ---------------------------------------------------------------- */

#define TOLD_MAX 64u

static struct ref_leak told[TOLD_MAX];
static uint64_t told_pcs[TOLD_MAX][REF_LEAK_FRAMES_MAX];
static uint32_t told_count;

static void remember(void *argument, const struct ref_leak *leak)
{
    assert_ptr_equal(argument, told);
    assert_true(told_count < TOLD_MAX);
    told[told_count] = *leak;
    memcpy(told_pcs[told_count], leak->pcs, leak->pc_count * sizeof(*leak->pcs));
    told[told_count].pcs = told_pcs[told_count];
    told_count++;
}

static size_t report(void)
{
    told_count = 0;
    ref_leak_set_handler(remember, told);
    return ref_leaks_report(leaks);
}

/* ---- tokens --------------------------------------------------------------------------------- */

static void what_was_released_is_not_told(void **state)
{
    (void)state;
    uint32_t token = ref_leak_note(leaks, "thing", 11);

    assert_int_not_equal(token, 0);
    assert_int_equal(ref_leaks_outstanding(leaks), 1);
    ref_leak_forget(leaks, token);
    assert_int_equal(ref_leaks_outstanding(leaks), 0);
    assert_int_equal(report(), 0);
    assert_int_equal(told_count, 0);
}

static void what_was_not_is_told_with_kind_object_age_and_thread(void **state)
{
    (void)state;
    uint32_t first = ref_leak_note(leaks, "thing", 11);
    os_sim_advance(&sim, 4000);
    (void)ref_leak_note(leaks, "other", 12);
    os_sim_advance(&sim, 500);

    assert_int_equal(report(), 2);
    assert_int_equal(told_count, 2);
    assert_string_equal(told[0].owner, "test.things");
    assert_string_equal(told[0].kind, "thing");
    assert_int_equal(told[0].object, 11);
    assert_int_equal(told[0].age_ns, 4500);
    assert_int_equal(told[0].thread_id, os_thread_id());
    assert_true(told[0].pc_count >= 2);
    assert_string_equal(told[1].kind, "other");
    assert_int_equal(told[1].age_ns, 500);
    ref_leak_forget(leaks, first);
    assert_int_equal(report(), 1);
    assert_int_equal(told[0].object, 12);
}

static void no_token_is_forgotten_for_nothing(void **state)
{
    (void)state;
    (void)ref_leak_note(leaks, "thing", 1);
    ref_leak_forget(leaks, 0);
    assert_int_equal(ref_leaks_outstanding(leaks), 1);
}

static void a_slot_gives_no_token_twice_within_4095_uses(void **state)
{
    (void)state;
    static uint32_t tokens[4095];

    for (uint32_t i = 0; i < 4095; i++) {
        tokens[i] = ref_leak_note(leaks, "thing", i);
        ref_leak_forget(leaks, tokens[i]);
        assert_int_not_equal(tokens[i], 0);
        assert_int_equal(tokens[i] & (REF_LEAK_RECORDS_MAX - 1), 0); /* the same slot */
        for (uint32_t j = i > 50 ? i - 50 : 0; j < i; j++) {
            assert_int_not_equal(tokens[i], tokens[j]);
        }
    }
    assert_int_equal(ref_leak_note(leaks, "thing", 0), tokens[0]);
}

static void forget_twice(void *argument)
{
    uint32_t token = ref_leak_note(leaks, "thing", 1);

    (void)argument;
    ref_leak_forget(leaks, token);
    ref_leak_forget(leaks, token);
}

/* The slot has been given out again: the generation tells. */
static void forget_anothers(void *argument)
{
    uint32_t token = ref_leak_note(leaks, "thing", 1);

    (void)argument;
    ref_leak_forget(leaks, token);
    (void)ref_leak_note(leaks, "thing", 2);
    ref_leak_forget(leaks, token);
}

static void forget_in_another_ledger(void *argument)
{
    struct ref_leaks *other;

    (void)argument;
    CHILD_CHECK(ref_leaks_create(heap, "other", &other) == QUARRY_OK);
    (void)ref_leak_note(other, "thing", 1);
    ref_leak_forget(other, ref_leak_note(leaks, "thing", 1));
}

static void forget_in_an_empty_ledger(void *argument)
{
    struct ref_leaks *other;

    (void)argument;
    CHILD_CHECK(ref_leaks_create(heap, "other", &other) == QUARRY_OK);
    ref_leak_forget(other, ref_leak_note(leaks, "thing", 1));
}

static void tokens_that_are_not_out_end_the_program(void **state)
{
    (void)state;
    const char *message = "quarry: released twice, or to another than it was acquired from";

    child_assert_aborts(forget_twice, NULL, message);
    child_assert_aborts(forget_anothers, NULL, message);
    child_assert_aborts(forget_in_another_ledger, NULL, message);
    child_assert_aborts(forget_in_an_empty_ledger, NULL, message);
}

/* ---- stacks --------------------------------------------------------------------------------- */

Q_NOINLINE static uint32_t acquire_here(uint64_t object)
{
    return ref_leak_note(leaks, "thing", object);
}

static bool stack_passes(const struct ref_leak *leak, uint32_t (*function)(uint64_t))
{
    uint64_t start = (uint64_t)(uintptr_t)function;

    for (uint32_t i = 0; i < leak->pc_count; i++) {
        if (leak->pcs[i] > start && leak->pcs[i] < start + 200) {
            return true;
        }
    }
    return false;
}

static void a_stack_begins_where_it_was_acquired(void **state)
{
    (void)state;
    (void)acquire_here(1);
    assert_int_equal(report(), 1);
    assert_true(stack_passes(&told[0], acquire_here));
    uint64_t start = (uint64_t)(uintptr_t)acquire_here;
    assert_true(told[0].pcs[0] > start && told[0].pcs[0] < start + 200);
}

static void acquisitions_from_one_place_share_its_stack(void **state)
{
    (void)state;
    static uint32_t tokens[20000];
    uint64_t before = heap_committed(), after;

    for (uint32_t i = 0; i < 20000; i++) {
        tokens[i] = acquire_here(i);
    }
    after = heap_committed();
    assert_int_equal(ref_leaks_outstanding(leaks), 20000);
    /* 40 bytes of record each; 64 KiB steps, of the stacks too, and the index. */
    assert_true(after - before <= 20000 * 40 + Q_KIB(64) * 3);
    for (uint32_t i = 0; i < 20000; i++) {
        ref_leak_forget(leaks, tokens[i]);
    }
    for (uint32_t i = 0; i < 20000; i++) {
        tokens[i] = acquire_here(i);
    }
    assert_int_equal(heap_committed(), after); /* slots are used again */
}

/* ---- sampling ------------------------------------------------------------------------------- */

static void one_of_so_many_is_recorded(void **state)
{
    (void)state;
    uint32_t recorded_count = 0;

    assert_int_equal(ref_leak_every(), 1);
    ref_leak_set_every(REF_LEAK_EVERY_RELEASE);
    assert_int_equal(ref_leak_every(), 1024);
    for (uint32_t i = 0; i < 1024 * 400; i++) {
        uint32_t token = ref_leak_note(leaks, "thing", i);
        recorded_count += token != 0;
        ref_leak_forget(leaks, token);
    }
    /* 400 expected, with a deviation of 12: gaps are even between 1 and 2047. */
    assert_in_range(recorded_count, 330, 470);
}

static void *acquire_once(void *argument)
{
    *(uint32_t *)argument += ref_leak_note(leaks, "thing", 1) != 0;
    return NULL;
}

static void threads_that_acquire_once_are_not_all_recorded(void **state)
{
    (void)state;
    uint32_t recorded_count = 0;

    ref_leak_set_every(REF_LEAK_EVERY_RELEASE);
    for (uint32_t i = 0; i < 100; i++) {
        in_thread(acquire_once, &recorded_count);
    }
    assert_true(recorded_count <= 5);
}

static void a_rhythm_hides_no_place(void **state)
{
    (void)state;
    uint32_t recorded[2] = {0, 0};

    ref_leak_set_every(16);
    for (uint32_t i = 0; i < 16 * 200; i++) {
        uint32_t token = ref_leak_note(leaks, "thing", i % 2);
        recorded[i % 2] += token != 0;
        ref_leak_forget(leaks, token);
    }
    assert_true(recorded[0] >= 50 && recorded[1] >= 50);
}

/* ---- without memory ------------------------------------------------------------------------- */

static void acquiring_works_when_there_is_no_memory_for_a_record(void **state)
{
    (void)state;
    os_sim_fail_at(&sim, OS_SIM_COMMIT, 0, OS_SIM_FOR_EVER, QUARRY_NO_MEMORY);
    uint32_t token = ref_leak_note(leaks, "thing", 1);

    assert_int_equal(token, 0);
    assert_int_equal(ref_leaks_unrecorded(leaks), 1);
    assert_int_equal(ref_leaks_outstanding(leaks), 0);
    ref_leak_forget(leaks, token);
    os_sim_fail_clear(&sim);
    token = ref_leak_note(leaks, "thing", 2);
    assert_int_not_equal(token, 0);
    assert_int_equal(report(), 1);
    ref_leak_forget(leaks, token);
}

/* The n-th call for memory fails, for every n until none is left to fail. */
static void every_failure_of_memory_leaves_a_ledger_that_works(void **state)
{
    (void)state;
    uint64_t failed_count = 1;
    size_t told_without_stack = 0;

    for (uint64_t n = 0; failed_count > 0; n++) {
        struct ref_leaks *other = NULL;
        uint32_t tokens[3];
        assert_int_equal(ref_leaks_create(heap, "other", &other), QUARRY_OK);
        os_sim_fail_at(&sim, OS_SIM_ANY_MEMORY, n, OS_SIM_ONCE, QUARRY_NO_MEMORY);
        for (uint32_t i = 0; i < 3; i++) {
            tokens[i] = ref_leak_note(other, "thing", i);
        }
        failed_count = os_sim_failed_count(&sim);
        os_sim_fail_clear(&sim);
        uint64_t unrecorded_count = ref_leaks_unrecorded(other);
        assert_int_equal(ref_leaks_outstanding(other) + unrecorded_count, 3);
        told_count = 0;
        ref_leak_set_handler(remember, told);
        assert_int_equal(ref_leaks_report(other), 3 - unrecorded_count);
        for (uint32_t i = 0; i < told_count; i++) {
            told_without_stack += told[i].pc_count == 0;
        }
        for (uint32_t i = 0; i < 3; i++) {
            ref_leak_forget(other, tokens[i]);
        }
        assert_int_equal(ref_leaks_outstanding(other), 0);
        ref_leaks_destroy(other);
        heap_check();
        assert_true(n < 100);
    }
    assert_true(told_without_stack > 0); /* what is only short of a stack is still recorded */
}

static void a_ledger_that_no_memory_is_left_for_is_refused(void **state)
{
    (void)state;
    struct ref_leaks *made[64], *refused = NULL;
    uint32_t made_count = 0;
    enum quarry_status status = QUARRY_OK;
    void *pieces[64];
    uint32_t piece_count = 0;

    os_sim_fail_at(&sim, OS_SIM_COMMIT, 0, OS_SIM_FOR_EVER, QUARRY_NO_MEMORY);
    while (piece_count < 64 && page_metadata_take(&heap->metadata, PAGE_METADATA_PIECE_MAX_BYTES,
                                                  &pieces[piece_count]) == QUARRY_OK) {
        piece_count++;
    }
    while (made_count < 64 && (status = ref_leaks_create(heap, "other", &refused)) == QUARRY_OK) {
        made[made_count++] = refused;
    }
    os_sim_fail_clear(&sim);
    assert_int_equal(status, QUARRY_NO_MEMORY);
    for (uint32_t i = 0; i < made_count; i++) {
        ref_leaks_destroy(made[i]);
    }
    for (uint32_t i = 0; i < piece_count; i++) {
        page_metadata_give(&heap->metadata, pieces[i], PAGE_METADATA_PIECE_MAX_BYTES);
    }
}

static void a_ledger_gives_all_it_took_back(void **state)
{
    (void)state;
    struct ref_leaks *other = NULL;
    uint64_t before = heap_committed();

    assert_int_equal(ref_leaks_create(heap, "a name with more than thirty-one bytes", &other),
                     QUARRY_OK);
    uint64_t with_metadata = heap_committed();
    for (uint32_t i = 0; i < 5000; i++) {
        (void)ref_leak_note(other, "thing", i);
    }
    assert_true(heap_committed() > with_metadata);
    ref_leaks_destroy(other);
    assert_int_equal(heap_committed(), with_metadata);
    assert_true(with_metadata - before <= Q_KIB(64));
    ref_leaks_destroy(NULL);
}

/* ---- printing ------------------------------------------------------------------------------- */

static void report_two(void *argument)
{
    (void)argument;
    (void)acquire_here(0xabc);
    os_sim_advance(&sim, 1500 * Q_MS_NS);
    (void)acquire_here(0xdef);
    os_sim_fail_at(&sim, OS_SIM_ANY_MEMORY, 0, OS_SIM_FOR_EVER, QUARRY_NO_MEMORY);
    size_t leak_count = ref_leaks_report(leaks); /* debug builds abort here */
    CHILD_CHECK(leak_count == 2);
    abort();
}

static void leaks_are_printed_with_age_and_stack(void **state)
{
    (void)state;
    child_assert_aborts(report_two, NULL, "quarry: leak: test.things: thing 0xabc, for 1.500 s");
    child_assert_aborts(report_two, NULL, "quarry: leak: test.things: thing 0xdef, for 0.000 s");
    child_assert_aborts(report_two, NULL, "quarry:   #0 test_ref_leak+0x");
    child_assert_aborts(report_two, NULL, "quarry:   #1 test_ref_leak+0x");
    child_assert_aborts(report_two, NULL, "quarry: test.things: 2 never released\n");
}

static void acquire_unrecorded(void)
{
    os_sim_fail_at(&sim, OS_SIM_ANY_MEMORY, 0, OS_SIM_FOR_EVER, QUARRY_NO_MEMORY);
    (void)acquire_here(1);
    os_sim_fail_clear(&sim);
    CHILD_CHECK(ref_leaks_unrecorded(leaks) == 1);
}

static void report_unrecorded_and_a_leak(void *argument)
{
    (void)argument;
    acquire_unrecorded();
    (void)acquire_here(2);
    CHILD_CHECK(ref_leaks_report(leaks) == 1); /* debug builds abort here */
    abort();
}

static void report_unrecorded(void *argument)
{
    int ends[2];
    char byte;

    (void)argument;
    acquire_unrecorded();
    CHILD_CHECK(pipe(ends) == 0 && dup2(ends[1], STDERR_FILENO) >= 0);
    CHILD_CHECK(fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0);
    CHILD_CHECK(ref_leaks_report(leaks) == 0);
    CHILD_CHECK(read(ends[0], &byte, 1) < 0); /* nothing was printed */
}

static void what_could_not_be_recorded_is_told_beside_leaks_alone(void **state)
{
    (void)state;
    child_assert_aborts(report_unrecorded_and_a_leak, NULL,
                        "quarry: test.things: 1 acquired without a record, for want of memory\n");
    child_assert_succeeds(report_unrecorded, NULL);
}

static void report_nothing(void *argument)
{
    (void)argument;
    ref_leak_forget(leaks, acquire_here(1));
    CHILD_CHECK(ref_leaks_report(leaks) == 0);
}

static void a_ledger_with_nothing_out_ends_no_program(void **state)
{
    (void)state;
    child_assert_succeeds(report_nothing, NULL);
}

#ifdef QUARRY_DEBUG_CHECKS
static void report_one(void *argument)
{
    (void)argument;
    (void)acquire_here(1);
    (void)ref_leaks_report(leaks);
}

static void debug_builds_end_with_the_first_leak(void **state)
{
    (void)state;
    child_assert_aborts(report_one, NULL, "quarry: test.things: 1 never released\n");
}
#endif

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(what_was_released_is_not_told),
        TEST(what_was_not_is_told_with_kind_object_age_and_thread),
        TEST(no_token_is_forgotten_for_nothing),
        TEST(a_slot_gives_no_token_twice_within_4095_uses),
        TEST(tokens_that_are_not_out_end_the_program),
        TEST(a_stack_begins_where_it_was_acquired),
        TEST(acquisitions_from_one_place_share_its_stack),
        TEST(one_of_so_many_is_recorded),
        TEST(threads_that_acquire_once_are_not_all_recorded),
        TEST(a_rhythm_hides_no_place),
        TEST(acquiring_works_when_there_is_no_memory_for_a_record),
        TEST(every_failure_of_memory_leaves_a_ledger_that_works),
        TEST(a_ledger_that_no_memory_is_left_for_is_refused),
        TEST(a_ledger_gives_all_it_took_back),
        TEST(leaks_are_printed_with_age_and_stack),
        TEST(what_could_not_be_recorded_is_told_beside_leaks_alone),
        TEST(a_ledger_with_nothing_out_ends_no_program),
#ifdef QUARRY_DEBUG_CHECKS
        TEST(debug_builds_end_with_the_first_leak),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
