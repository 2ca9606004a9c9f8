/* The real kernel's memory, through the door. */
#include "cmocka_all.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <os/os.h>
#include <os/sanitizer.h>

#include "child.h"

#define PAGE ((size_t)4096)

static struct os *os;

static char *reserve(size_t bytes)
{
    void *base = NULL;
    assert_int_equal(os_reserve(os, bytes, os->page_bytes, &base), QUARRY_OK);
    return base;
}

static char *reserve_and_commit(size_t bytes)
{
    char *base = reserve(bytes);
    assert_int_equal(os_commit(os, base, bytes), QUARRY_OK);
    return base;
}

static void release(char *base, size_t bytes)
{
    assert_int_equal(os_release(os, base, bytes), QUARRY_OK);
}

static void assert_filled(const char *base, size_t bytes, char value)
{
    for (size_t i = 0; i < bytes; i++)
        assert_int_equal(base[i], value);
}

static void touch(void *base)
{
    *(volatile char *)base = 1;
}

static void page_sizes_are_powers_of_two(void **state)
{
    (void)state;
    assert_int_equal(os->page_bytes, PAGE);
    assert_true(os->huge_page_bytes == 0 || bits_is_power_of_two_u64(os->huge_page_bytes));
    assert_true(os->huge_page_bytes == 0 || os->huge_page_bytes > os->page_bytes);
    assert_ptr_equal(os_real(), os);
}

static void reserve_aligns_as_asked(void **state)
{
    (void)state;
    for (size_t align = PAGE; align <= Q_MIB(64); align *= 2) {
        void *base = NULL;
        assert_int_equal(os_reserve(os, 3 * PAGE, align, &base), QUARRY_OK);
        assert_non_null(base);
        assert_true(size_is_aligned((uintptr_t)base, align));
        assert_int_equal(os_commit(os, base, 3 * PAGE), QUARRY_OK);
        memset(base, 1, 3 * PAGE);
        release(base, 3 * PAGE);
    }
}

static void reserve_trims_what_alignment_took_too_much(void **state)
{
    (void)state;
    void *base = NULL;
    assert_int_equal(os_reserve(os, PAGE, Q_MIB(64), &base), QUARRY_OK);
    child_assert_faults(touch, (char *)base - 1);
    child_assert_faults(touch, (char *)base + PAGE);
    release(base, PAGE);
}

static void reserved_bytes_cannot_be_touched(void **state)
{
    (void)state;
    char *base = reserve(4 * PAGE);
    child_assert_faults(touch, base);
    assert_int_equal(os_commit(os, base + PAGE, PAGE), QUARRY_OK);
    touch(base + PAGE);
    child_assert_faults(touch, base);
    child_assert_faults(touch, base + 2 * PAGE);
    release(base, 4 * PAGE);
}

static void a_tebibyte_of_address_space_costs_no_memory(void **state)
{
    (void)state;
    uint64_t before = os_resident_bytes();
    char *base = reserve(Q_TIB(1));
    assert_true(before > 0);
    assert_true(os_resident_bytes() < before + Q_MIB(4));
    release(base, Q_TIB(1));
}

static void committed_bytes_begin_as_zero(void **state)
{
    (void)state;
    char *base = reserve_and_commit(16 * PAGE);
    assert_filled(base, 16 * PAGE, 0);
    release(base, 16 * PAGE);
}

static void a_second_commit_keeps_the_contents(void **state)
{
    (void)state;
    char *base = reserve_and_commit(2 * PAGE);
    memset(base, 7, 2 * PAGE);
    assert_int_equal(os_commit(os, base, 2 * PAGE), QUARRY_OK);
    assert_filled(base, 2 * PAGE, 7);
    release(base, 2 * PAGE);
}

static void decommitted_bytes_stay_accessible_and_read_as_zero(void **state)
{
    (void)state;
    char *base = reserve_and_commit(4 * PAGE);
    memset(base, 7, 4 * PAGE);
    assert_int_equal(os_decommit(os, base + PAGE, 2 * PAGE), QUARRY_OK);
    assert_filled(base, PAGE, 7);
    assert_filled(base + PAGE, 2 * PAGE, 0);
    assert_filled(base + 3 * PAGE, PAGE, 7);
    base[PAGE] = 1;
    release(base, 4 * PAGE);
}

static void uncommitted_bytes_cannot_be_touched_until_committed_anew(void **state)
{
    (void)state;
    char *base = reserve_and_commit(4 * PAGE);
    memset(base, 7, 4 * PAGE);
    assert_int_equal(os_uncommit(os, base + PAGE, 2 * PAGE), QUARRY_OK);
    assert_filled(base, PAGE, 7);
    assert_filled(base + 3 * PAGE, PAGE, 7);
    /* The kernel refuses to read from there. */
    int pipe_ends[2];
    assert_int_equal(pipe(pipe_ends), 0);
    assert_int_equal(write(pipe_ends[1], base + PAGE, 1), -1);
    assert_int_equal(errno, EFAULT);
    close(pipe_ends[0]);
    close(pipe_ends[1]);
    assert_int_equal(os_commit(os, base + PAGE, 2 * PAGE), QUARRY_OK);
    assert_filled(base + PAGE, 2 * PAGE, 0);
    release(base, 4 * PAGE);
}

static void decommit_lowers_the_resident_size(void **state)
{
    (void)state;
    size_t bytes = Q_MIB(64);
    char *base = reserve_and_commit(bytes);
    memset(base, 7, bytes);
    uint64_t before = os_resident_bytes();
    assert_int_equal(os_decommit(os, base, bytes), QUARRY_OK);
    assert_true(os_resident_bytes() + Q_MIB(48) < before);
    release(base, bytes);
}

static void decommit_takes_locked_pages(void **state)
{
    (void)state;
    char *base = reserve_and_commit(2 * PAGE);
    memset(base, 7, 2 * PAGE);
    assert_int_equal(mlock(base, 2 * PAGE), 0);
    assert_int_equal(os_decommit(os, base, 2 * PAGE), QUARRY_OK);
    assert_filled(base, 2 * PAGE, 0);
    release(base, 2 * PAGE);
}

static void decommit_without_advice(void *base)
{
    char *bytes = base;
    child_deny(SYS_madvise, EINVAL);
    CHILD_CHECK(os_decommit(os, base, PAGE) == QUARRY_OK);
    CHILD_CHECK(bytes[0] == 0 && bytes[PAGE - 1] == 0);
    CHILD_CHECK(bytes[PAGE] == 7);
    bytes[0] = 1;
}

static void decommit_maps_anew_where_the_kernel_refuses_advice(void **state)
{
    (void)state;
    char *base = reserve_and_commit(2 * PAGE);
    memset(base, 7, 2 * PAGE);
    child_assert_succeeds(decommit_without_advice, base);
    release(base, 2 * PAGE);
}

static void decommit_refused(void *base)
{
    const char *bytes = base;
    child_deny(SYS_madvise, EINVAL);
    child_deny_argument(SYS_mmap, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED,
                        EAGAIN);
    CHILD_CHECK(os_decommit(os, base, PAGE) == QUARRY_BUSY);
    CHILD_CHECK(bytes[0] == 7);
}

static void decommit_without_memory(void *base)
{
    const char *bytes = base;
    child_deny(SYS_madvise, ENOMEM);
    CHILD_CHECK(os_decommit(os, base, PAGE) == QUARRY_NO_MEMORY);
    CHILD_CHECK(bytes[0] == 7);
}

static void a_failed_decommit_keeps_the_contents(void **state)
{
    (void)state;
    char *base = reserve_and_commit(PAGE);
    memset(base, 7, PAGE);
    child_assert_succeeds(decommit_refused, base);
    child_assert_succeeds(decommit_without_memory, base);
    release(base, PAGE);
}

/* Where huge pages are to be had: contents stay, and what was not touched reads as zero. */
static void collapse_keeps_the_contents(void **state)
{
    (void)state;
    void *base = NULL;
    size_t bytes = (size_t)Q_MIB(2);
    if (os->huge_page_bytes != bytes)
        skip();
    assert_int_equal(os_reserve(os, bytes, bytes, &base), QUARRY_OK);
    assert_int_equal(os_commit(os, base, bytes), QUARRY_OK);
    enum quarry_status status = os_collapse(os, base, bytes);
    /* Nothing is there yet; an old kernel says another thing than a new one. */
    assert_true(status == QUARRY_BUSY || status == QUARRY_UNSUPPORTED);
    memset(base, 7, bytes / 2);
    status = os_collapse(os, base, bytes);
    assert_true(status == QUARRY_OK || status == QUARRY_BUSY || status == QUARRY_NO_MEMORY ||
                status == QUARRY_UNSUPPORTED);
    assert_filled(base, bytes / 2, 7);
    assert_filled((char *)base + bytes / 2, bytes / 2, 0);
    assert_int_equal(os_collapse(os, base, bytes), status);
    release(base, bytes);
}

static void part_of_a_reservation_can_be_released(void **state)
{
    (void)state;
    char *base = reserve_and_commit(4 * PAGE);
    memset(base, 7, 4 * PAGE);
    release(base + PAGE, 2 * PAGE);
    child_assert_faults(touch, base + PAGE);
    child_assert_faults(touch, base + 2 * PAGE);
    assert_filled(base, PAGE, 7);
    assert_filled(base + 3 * PAGE, PAGE, 7);
    release(base, PAGE);
    release(base + 3 * PAGE, PAGE);
}

static void release_without_memory(void *base)
{
    const char *bytes = base;
    child_deny_argument(SYS_munmap, 0, (uint32_t)(uintptr_t)base, ENOMEM);
    CHILD_CHECK(os_release(os, base, PAGE) == QUARRY_NO_MEMORY);
    CHILD_CHECK(bytes[0] == 7);
}

static void a_failed_release_keeps_the_contents(void **state)
{
    (void)state;
    char *base = reserve_and_commit(PAGE);
    memset(base, 7, PAGE);
    child_assert_succeeds(release_without_memory, base);
    release(base, PAGE);
}

static void commit_without_memory(void *base)
{
    child_deny(SYS_mprotect, ENOMEM);
    CHILD_CHECK(os_commit(os, base, PAGE) == QUARRY_NO_MEMORY);
}

static void a_refused_commit_says_no_memory(void **state)
{
    (void)state;
    char *base = reserve(PAGE);
    child_assert_succeeds(commit_without_memory, base);
    release(base, PAGE);
}

static void too_large_a_reservation_says_no_address(void **state)
{
    (void)state;
    void *base = NULL;
    assert_int_equal(os_reserve(os, (size_t)1 << 60, PAGE, &base), QUARRY_NO_ADDRESS);
    assert_int_equal(os_reserve(os, SIZE_MAX - PAGE + 1, 2 * PAGE, &base), QUARRY_NO_ADDRESS);
    assert_null(base);
}

static void reserve_under_a_limit(void *limit_bytes)
{
    void *base = NULL;
    struct rlimit limit = {.rlim_cur = *(uint64_t *)limit_bytes, .rlim_max = RLIM_INFINITY};
    CHILD_CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    CHILD_CHECK(os_reserve(os, Q_GIB(8), PAGE, &base) == QUARRY_NO_ADDRESS);
    CHILD_CHECK(base == NULL);
}

static void a_limit_on_address_space_says_no_address(void **state)
{
    (void)state;
    uint64_t room = Q_GIB(4);
    uint64_t none = PAGE;
    child_assert_succeeds(reserve_under_a_limit, &room);
    child_assert_succeeds(reserve_under_a_limit, &none);
}

static void reserve_without_mappings(void *unused)
{
    (void)unused;
    void *base = NULL;
    child_deny_argument(SYS_mmap, 2, PROT_NONE, ENOMEM);
    CHILD_CHECK(os_reserve(os, PAGE, PAGE, &base) == QUARRY_NO_MEMORY);
    CHILD_CHECK(base == NULL);
}

/* Not under TSan, which cannot live without munmap itself. */
#if !OS_UNDER_TSAN
static void reserve_without_trimming(void *unused)
{
    (void)unused;
    void *base = NULL;
    child_deny(SYS_munmap, ENOMEM);
    CHILD_CHECK(os_reserve(os, PAGE, Q_MIB(64), &base) == QUARRY_NO_MEMORY);
    CHILD_CHECK(base == NULL);
}

static void a_reservation_that_cannot_be_trimmed_is_given_up(void **state)
{
    (void)state;
    child_assert_succeeds(reserve_without_trimming, NULL);
}
#endif

static void a_kernel_out_of_mappings_says_no_memory(void **state)
{
    (void)state;
    child_assert_succeeds(reserve_without_mappings, NULL);
}

static void calls_leave_errno_alone(void **state)
{
    (void)state;
    void *base = NULL;
    errno = 4711;
    (void)os_reserve(os, (size_t)1 << 60, PAGE, &base);
    base = reserve_and_commit(PAGE);
    (void)os_decommit(os, base, PAGE);
    (void)os_release(os, base, PAGE);
    assert_int_equal(errno, 4711);
}

static void commit_of_half_a_page(void *base)
{
    (void)os_commit(os, base, PAGE / 2);
}

static void decommit_at_half_a_page(void *base)
{
    (void)os_decommit(os, (char *)base + PAGE / 2, PAGE);
}

static void release_of_nothing(void *base)
{
    (void)os_release(os, base, 0);
}

static void reserve_with_odd_alignment(void *unused)
{
    (void)unused;
    void *base = NULL;
    (void)os_reserve(os, PAGE, 3 * PAGE, &base);
}

static void unaligned_ranges_are_a_programmers_error(void **state)
{
    (void)state;
    char *base = reserve(2 * PAGE);
    child_assert_aborts(commit_of_half_a_page, base, "assertion failed");
    child_assert_aborts(decommit_at_half_a_page, base, "assertion failed");
    child_assert_aborts(release_of_nothing, base, "assertion failed");
    child_assert_aborts(reserve_with_odd_alignment, NULL, "assertion failed");
    release(base, 2 * PAGE);
}

int main(void)
{
    os = os_real();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(page_sizes_are_powers_of_two),
        cmocka_unit_test(reserve_aligns_as_asked),
        cmocka_unit_test(reserve_trims_what_alignment_took_too_much),
        cmocka_unit_test(reserved_bytes_cannot_be_touched),
        cmocka_unit_test(a_tebibyte_of_address_space_costs_no_memory),
        cmocka_unit_test(committed_bytes_begin_as_zero),
        cmocka_unit_test(a_second_commit_keeps_the_contents),
        cmocka_unit_test(decommitted_bytes_stay_accessible_and_read_as_zero),
        cmocka_unit_test(decommit_lowers_the_resident_size),
        cmocka_unit_test(uncommitted_bytes_cannot_be_touched_until_committed_anew),
        cmocka_unit_test(decommit_takes_locked_pages),
        cmocka_unit_test(decommit_maps_anew_where_the_kernel_refuses_advice),
        cmocka_unit_test(a_failed_decommit_keeps_the_contents),
        cmocka_unit_test(collapse_keeps_the_contents),
        cmocka_unit_test(part_of_a_reservation_can_be_released),
        cmocka_unit_test(a_failed_release_keeps_the_contents),
        cmocka_unit_test(a_refused_commit_says_no_memory),
        cmocka_unit_test(too_large_a_reservation_says_no_address),
        cmocka_unit_test(a_limit_on_address_space_says_no_address),
        cmocka_unit_test(a_kernel_out_of_mappings_says_no_memory),
#if !OS_UNDER_TSAN
        cmocka_unit_test(a_reservation_that_cannot_be_trimmed_is_given_up),
#endif
        cmocka_unit_test(calls_leave_errno_alone),
        cmocka_unit_test(unaligned_ranges_are_a_programmers_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
