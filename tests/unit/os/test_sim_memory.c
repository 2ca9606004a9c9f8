/* The simulated twin's memory: its books, its backing, and what it will not let pass. */
#include "cmocka_all.h"

#include <pthread.h>
#include <string.h>

#include <os/os_sim.h>

#include "child.h"

#define PAGE ((size_t)4096)

static struct os_sim sim;
static struct os *os = &sim.os;
static char *base; /* sixteen pages, reserved */

static int start_with(const struct os_sim_options *options)
{
    void *reserved = NULL;
    os_sim_init(&sim, options);
    if (os_reserve(os, 16 * PAGE, PAGE, &reserved) != QUARRY_OK)
        return -1;
    base = reserved;
    return 0;
}

static int start(void **state)
{
    (void)state;
    return start_with(NULL);
}

static int start_real(void **state)
{
    (void)state;
    return start_with(&(struct os_sim_options){.real_backing = true});
}

static int start_lenient(void **state)
{
    (void)state;
    return start_with(
        &(struct os_sim_options){.real_backing = true, .decommit_keeps_access = true});
}

static int stop(void **state)
{
    (void)state;
    os_sim_fini(&sim);
    return 0;
}

static struct os_sim_counters counters(void)
{
    struct os_sim_counters now;
    os_sim_read_counters(&sim, &now);
    return now;
}

static void commit(size_t first, size_t count)
{
    assert_int_equal(os_commit(os, base + first * PAGE, count * PAGE), QUARRY_OK);
}

static void decommit(size_t first, size_t count)
{
    assert_int_equal(os_decommit(os, base + first * PAGE, count * PAGE), QUARRY_OK);
}

static void release(size_t first, size_t count)
{
    assert_int_equal(os_release(os, base + first * PAGE, count * PAGE), QUARRY_OK);
}

static void the_twin_has_the_real_page_sizes(void **state)
{
    (void)state;
    assert_int_equal(os->page_bytes, os_real()->page_bytes);
    assert_int_equal(os->huge_page_bytes, os_real()->huge_page_bytes);
}

static void reserve_aligns_as_asked(void **state)
{
    (void)state;
    void *aligned = NULL;
    assert_int_equal(os_reserve(os, PAGE, Q_MIB(4), &aligned), QUARRY_OK);
    assert_true(size_is_aligned((uintptr_t)aligned, Q_MIB(4)));
    assert_int_equal(counters().reserved_bytes, 17 * PAGE);
}

static void the_books_follow_every_call(void **state)
{
    (void)state;
    commit(0, 8);
    commit(4, 8); /* four of them again */
    assert_int_equal(counters().committed_bytes, 12 * PAGE);
    decommit(2, 6);
    assert_int_equal(counters().committed_bytes, 6 * PAGE);
    commit(2, 1);
    assert_int_equal(counters().committed_bytes, 7 * PAGE);
    assert_int_equal(counters().committed_peak_bytes, 12 * PAGE);
    release(0, 4); /* three of them committed */
    assert_int_equal(counters().committed_bytes, 4 * PAGE);
    assert_int_equal(counters().reserved_bytes, 12 * PAGE);
    release(4, 12);
    assert_int_equal(counters().committed_bytes, 0);
    assert_int_equal(counters().reserved_bytes, 0);
    assert_int_equal(counters().committed_peak_bytes, 12 * PAGE);
    assert_int_equal(os_sim_call_count(&sim, OS_SIM_RESERVE), 1);
    assert_int_equal(os_sim_call_count(&sim, OS_SIM_COMMIT), 3);
    assert_int_equal(os_sim_call_count(&sim, OS_SIM_DECOMMIT | OS_SIM_RELEASE), 3);
    assert_int_equal(os_sim_call_count(&sim, OS_SIM_ANY), 7);
}

static void bookkeeping_leaves_memory_as_it_is(void **state)
{
    (void)state;
    memset(base, 7, 16 * PAGE); /* reserved only, and yet writable */
    commit(0, 16);
    decommit(0, 16);
    assert_int_equal(base[0], 7);
    assert_int_equal(base[16 * PAGE - 1], 7);
}

static void touch(void *address)
{
    *(volatile char *)address = 1;
}

static void real_backing_faults_on_what_is_not_committed(void **state)
{
    (void)state;
    child_assert_faults(touch, base);
    commit(0, 2);
    memset(base, 7, 2 * PAGE);
    child_assert_faults(touch, base + 2 * PAGE);
    decommit(0, 1);
    child_assert_faults(touch, base);
    assert_int_equal(base[PAGE], 7);
    commit(0, 1);
    assert_int_equal(base[0], 0);
}

static void decommit_may_keep_access(void **state)
{
    (void)state;
    commit(0, 2);
    memset(base, 7, 2 * PAGE);
    decommit(0, 2);
    assert_int_equal(base[0], 0);
    base[0] = 1;
    decommit(0, 2); /* again, as the real kernel has it */
    assert_int_equal(base[0], 0);
    assert_int_equal(counters().committed_bytes, 0);
}

static void a_reused_address_belongs_to_its_new_reservation(void **state)
{
    (void)state;
    release(4, 8); /* the books of the rest stay, with a hole */
    for (int i = 0; i < 64; i++) {
        void *again = NULL;
        assert_int_equal(os_reserve(os, 8 * PAGE, PAGE, &again), QUARRY_OK);
        assert_int_equal(os_commit(os, again, 8 * PAGE), QUARRY_OK);
        assert_int_equal(os_release(os, again, 8 * PAGE), QUARRY_OK);
    }
    commit(0, 4);
    commit(12, 4);
    assert_int_equal(counters().committed_bytes, 8 * PAGE);
}

static void a_tebibyte_can_be_reserved(void **state)
{
    (void)state;
    void *large = NULL;
    assert_int_equal(os_reserve(os, Q_TIB(1), Q_MIB(4), &large), QUARRY_OK);
    assert_int_equal(os_commit(os, (char *)large + Q_GIB(512), Q_MIB(4)), QUARRY_OK);
    *((char *)large + Q_GIB(512)) = 1;
    assert_int_equal(os_release(os, (char *)large + Q_GIB(512), Q_MIB(4)), QUARRY_OK);
}

/* ---- what is a bug in the caller ------------------------------------------------------------ */

static void commit_page(void *address)
{
    (void)os_commit(os, address, PAGE);
}
static void commit_two_pages(void *address)
{
    (void)os_commit(os, address, 2 * PAGE);
}
static void commit_half_a_page(void *address)
{
    (void)os_commit(os, address, PAGE / 2);
}
static void decommit_page(void *address)
{
    (void)os_decommit(os, address, PAGE);
}
static void decommit_two_pages(void *address)
{
    (void)os_decommit(os, address, 2 * PAGE);
}
static void release_page(void *address)
{
    (void)os_release(os, address, PAGE);
}

static void ranges_outside_a_reservation_abort(void **state)
{
    (void)state;
    static char stranger[8192] __attribute__((aligned(4096)));
    child_assert_aborts(commit_page, stranger, "range outside every reservation");
    child_assert_aborts(commit_two_pages, base + 15 * PAGE, "range outside its reservation");
    child_assert_aborts(release_page, stranger, "range outside every reservation");
    release(4, 2);
    child_assert_aborts(commit_page, base + 4 * PAGE, "range outside every reservation");
    child_assert_aborts(commit_two_pages, base + 3 * PAGE, "range partly released");
    child_assert_aborts(release_page, base + 5 * PAGE, "range outside every reservation");
}

static void ranges_not_of_whole_pages_abort(void **state)
{
    (void)state;
    child_assert_aborts(commit_half_a_page, base, "length not of whole pages");
    child_assert_aborts(commit_page, base + 1, "address not at a page");
}

static void decommit_of_uncommitted_pages_aborts(void **state)
{
    (void)state;
    static const char message[] = "decommit of pages that are not committed";
    child_assert_aborts(decommit_page, base, message);
    commit(0, 1);
    child_assert_aborts(decommit_two_pages, base, message);
    decommit(0, 1);
    child_assert_aborts(decommit_page, base, message);
}

static void even_lenient_decommit_needs_a_commit_once(void **state)
{
    (void)state;
    child_assert_aborts(decommit_page, base, "decommit of pages that are not committed");
}

/* Two megabytes, at a multiple of which a huge page may lie. */
#define HUGE_BYTES ((size_t)Q_MIB(2))

static void collapse_huge(void *huge)
{
    (void)os_collapse(os, huge, HUGE_BYTES);
}

static void collapse_half(void *huge)
{
    (void)os_collapse(os, huge, HUGE_BYTES / 2);
}

static void collapse_takes_whole_huge_pages_that_are_committed(void **state)
{
    (void)state;
    void *huge = NULL;
    sim.os.huge_page_bytes = HUGE_BYTES;
    assert_int_equal(os_reserve(os, HUGE_BYTES, HUGE_BYTES, &huge), QUARRY_OK);
    assert_int_equal(os_commit(os, huge, HUGE_BYTES - PAGE), QUARRY_OK);
    child_assert_aborts(collapse_huge, huge, "collapse of pages that are not committed");
    assert_int_equal(os_commit(os, huge, HUGE_BYTES), QUARRY_OK);
    child_assert_aborts(collapse_half, huge, "collapse of parts of huge pages");
    assert_int_equal(os_collapse(os, huge, HUGE_BYTES), QUARRY_OK);
    assert_int_equal(os_sim_call_count(&sim, OS_SIM_COLLAPSE), 1);
    assert_int_equal(os_decommit(os, huge, PAGE), QUARRY_OK);
    child_assert_aborts(collapse_huge, huge, "collapse of pages that are not committed");
}

static void a_twin_of_an_old_kernel_has_no_collapse(void **state)
{
    (void)state;
    void *huge = NULL;
    sim.os.huge_page_bytes = HUGE_BYTES;
    assert_int_equal(os_reserve(os, HUGE_BYTES, HUGE_BYTES, &huge), QUARRY_OK);
    assert_int_equal(os_commit(os, huge, HUGE_BYTES), QUARRY_OK);
    assert_int_equal(os_collapse(os, huge, HUGE_BYTES), QUARRY_UNSUPPORTED);
}

static int start_old(void **state)
{
    (void)state;
    return start_with(&(struct os_sim_options){.has_no_collapse = true});
}

/* ---- threads -------------------------------------------------------------------------------- */

static void *commit_and_decommit(void *page)
{
    for (int i = 0; i < 1000; i++) {
        Q_ASSERT(os_commit(os, page, PAGE) == QUARRY_OK);
        *(char *)page = 1;
        Q_ASSERT(os_decommit(os, page, PAGE) == QUARRY_OK);
    }
    return NULL;
}

static void threads_may_call_at_once(void **state)
{
    (void)state;
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, commit_and_decommit, base + i * PAGE),
                         0);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(counters().committed_bytes, 0);
    assert_int_equal(os_sim_call_count(&sim, OS_SIM_COMMIT | OS_SIM_DECOMMIT), 8000);
    assert_in_range(counters().committed_peak_bytes, PAGE, 4 * PAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_twin_has_the_real_page_sizes, start, stop),
        cmocka_unit_test_setup_teardown(reserve_aligns_as_asked, start, stop),
        cmocka_unit_test_setup_teardown(the_books_follow_every_call, start, stop),
        cmocka_unit_test_setup_teardown(bookkeeping_leaves_memory_as_it_is, start, stop),
        cmocka_unit_test_setup_teardown(real_backing_faults_on_what_is_not_committed, start_real,
                                        stop),
        cmocka_unit_test_setup_teardown(decommit_may_keep_access, start_lenient, stop),
        cmocka_unit_test_setup_teardown(a_reused_address_belongs_to_its_new_reservation, start,
                                        stop),
        cmocka_unit_test_setup_teardown(a_tebibyte_can_be_reserved, start, stop),
        cmocka_unit_test_setup_teardown(ranges_outside_a_reservation_abort, start, stop),
        cmocka_unit_test_setup_teardown(ranges_not_of_whole_pages_abort, start, stop),
        cmocka_unit_test_setup_teardown(decommit_of_uncommitted_pages_aborts, start, stop),
        cmocka_unit_test_setup_teardown(even_lenient_decommit_needs_a_commit_once, start_lenient,
                                        stop),
        cmocka_unit_test_setup_teardown(collapse_takes_whole_huge_pages_that_are_committed, start,
                                        stop),
        cmocka_unit_test_setup_teardown(a_twin_of_an_old_kernel_has_no_collapse, start_old, stop),
        cmocka_unit_test_setup_teardown(threads_may_call_at_once, start_real, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
