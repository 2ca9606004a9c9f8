/*
 * Address space and its backing, by direct system calls.
 *
 * A range goes through three states, and the calls move it like this:
 *
 *        reserve                 commit                   first touch
 *   ---------------> reserved ------------> accessible ----------------> accessible
 *                    PROT_NONE              read-write      <---------   read-write
 *                    costs nothing          no backing       decommit    backed
 *                        |                      |                           |
 *                        '----------------------+------------- release -----'
 *
 * Invariants:
 *   1. Every base and length is a multiple of the OS page: the kernel would round outwards and
 *      take a neighbour's data with it.
 *   2. A failing call changes nothing that the caller can see.
 *
 * Why these flags. MAP_NORESERVE, because the budget above does the accounting and the kernel must
 * not charge address space that nobody uses; where overcommit is strict (mode 2) the kernel ignores
 * it, and the charge then falls on commit, which answers NO_MEMORY. PROT_NONE until committed, so
 * that a stray pointer into a reservation faults instead of growing the process.
 *
 * Decommit is MADV_DONTNEED and not MADV_FREE: with the latter the resident size stays until the
 * kernel is short of memory, and a limit that only the kernel could see would be passed. Locked
 * pages refuse it. Linux 5.18 has MADV_DONTNEED_LOCKED for them; on an older kernel a fresh mapping
 * is laid over the range. That one is the last resort because the kernel takes the old mapping away
 * before it has quite finished with the new one; MAP_NORESERVE leaves it no check to fail in
 * between (strict overcommit: it has just been given the same charge back).
 *
 * Huge pages come by MADV_COLLAPSE, which acts on a range once, and not by MADV_HUGEPAGE, which
 * would have the first touch of any OS page back two megabytes. The kernel says EINVAL for an
 * advice that it does not know, and also for a range of which it has not a single page yet; asking
 * about no bytes tells the two apart.
 *
 * Locking: none; the kernel serialises calls of one process by itself. Cost: one system call each,
 * plus up to two more to trim an aligned reservation. Under ASan and TSan the calls go through
 * libc's wrappers, which those tools watch to forget what they knew about an address.
 */
#include <sys/mman.h>
#include <sys/resource.h>

#include <os/kernel.h>
#include <os/real.h>
#include <os/sanitizer.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1 */
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24 /* Linux 5.18; older C library headers lack the name */
#endif

static long map_pages(void *base, size_t bytes, int protection, int flags);
static long unmap_pages(void *base, size_t bytes);
static bool trim(char *first, char *base, size_t bytes, size_t mapped_bytes);
static enum quarry_status reserve_failure(const struct os *os, long error);
static bool address_space_is_limited(void);
static enum quarry_status decommit_locked(void *base, size_t bytes);
static bool has_collapse(void *base);
static void check_range(const struct os *os, const void *base, size_t bytes);

enum quarry_status os_linux_reserve(struct os *os, size_t bytes, size_t align_bytes,
                                    void **ret_base)
{
    check_range(os, NULL, bytes);
    Q_ASSERT(bits_is_power_of_two_u64(align_bytes) && align_bytes >= os->page_bytes);
    size_t mapped_bytes;
    if (!checked_add_size(bytes, align_bytes - os->page_bytes, &mapped_bytes))
        return QUARRY_NO_ADDRESS;
    long mapped = map_pages(NULL, mapped_bytes, PROT_NONE, MAP_NORESERVE);
    if (mapped < 0)
        return reserve_failure(os, mapped);
    char *first = (char *)mapped;
    char *base = (char *)size_align_up((size_t)mapped, align_bytes);
    if (!trim(first, base, bytes, mapped_bytes))
        return QUARRY_NO_MEMORY;
    *ret_base = base;
    return QUARRY_OK;
}

enum quarry_status os_linux_reserve_zeros(struct os *os, size_t bytes, void **ret_base)
{
    check_range(os, NULL, bytes);
    long mapped = map_pages(NULL, bytes, PROT_READ, MAP_NORESERVE);
    if (mapped < 0)
        return reserve_failure(os, mapped);
    *ret_base = (void *)mapped;
    return QUARRY_OK;
}

enum quarry_status os_linux_commit(struct os *os, void *base, size_t bytes)
{
    check_range(os, base, bytes);
    long result = os_kernel(SYS_mprotect, base, bytes, PROT_READ | PROT_WRITE);
    Q_ASSERT(result == 0 || result == -ENOMEM);
    return result == 0 ? QUARRY_OK : QUARRY_NO_MEMORY;
}

enum quarry_status os_linux_decommit(struct os *os, void *base, size_t bytes)
{
    check_range(os, base, bytes);
    long result = os_kernel_retry(SYS_madvise, base, bytes, MADV_DONTNEED);
    if (result == -EINVAL)
        return decommit_locked(base, bytes);
    return result == 0 ? QUARRY_OK : QUARRY_NO_MEMORY;
}

enum quarry_status os_linux_uncommit(struct os *os, void *base, size_t bytes)
{
    check_range(os, base, bytes);
    long mapped = map_pages(base, bytes, PROT_NONE, MAP_NORESERVE | MAP_FIXED);
    return mapped >= 0 ? QUARRY_OK : QUARRY_NO_MEMORY;
}

enum quarry_status os_linux_collapse(struct os *os, void *base, size_t bytes)
{
    check_range(os, base, bytes);
    if (os->huge_page_bytes == 0 || !has_collapse(base))
        return QUARRY_UNSUPPORTED;
    Q_ASSERT((((uintptr_t)base | bytes) & (os->huge_page_bytes - 1)) == 0);
    long result = os_kernel_retry(SYS_madvise, base, bytes, MADV_COLLAPSE);
    if (result == 0)
        return QUARRY_OK;
    return result == -ENOMEM ? QUARRY_NO_MEMORY : QUARRY_BUSY;
}

enum quarry_status os_linux_release(struct os *os, void *base, size_t bytes)
{
    check_range(os, base, bytes);
    long result = unmap_pages(base, bytes);
    Q_ASSERT(result == 0 || result == -ENOMEM);
    return result == 0 ? QUARRY_OK : QUARRY_NO_MEMORY;
}

/* Maps private zero pages; the address, or the negative errno. */
static long map_pages(void *base, size_t bytes, int protection, int flags)
{
    flags |= MAP_PRIVATE | MAP_ANONYMOUS;
#if OS_UNDER_ASAN || OS_UNDER_TSAN
    int errno_before = errno;
    void *mapped = mmap(base, bytes, protection, flags, -1, 0);
    long result = mapped == MAP_FAILED ? -(long)errno : (long)mapped;
    errno = errno_before;
    return result;
#else
    return os_kernel(SYS_mmap, base, bytes, protection, flags, -1, 0);
#endif
}

static long unmap_pages(void *base, size_t bytes)
{
#if OS_UNDER_ASAN || OS_UNDER_TSAN
    int errno_before = errno;
    long result = munmap(base, bytes) == 0 ? 0 : -(long)errno;
    errno = errno_before;
    return result;
#else
    return os_kernel(SYS_munmap, base, bytes);
#endif
}

/*
 * Cuts [first, first + mapped_bytes) down to [base, base + bytes). Cutting may fail where the
 * kernel joined the new mapping with a neighbour and is at its count of mappings; then all of it
 * goes back, or stays behind as address space without memory if even that is refused.
 */
static bool trim(char *first, char *base, size_t bytes, size_t mapped_bytes)
{
    size_t head_bytes = (size_t)(base - first);
    size_t tail_bytes = mapped_bytes - bytes - head_bytes;
    bool cut = head_bytes == 0 || unmap_pages(first, head_bytes) == 0;
    if (cut && (tail_bytes == 0 || unmap_pages(base + bytes, tail_bytes) == 0))
        return true;
    (void)unmap_pages(cut ? base : first, mapped_bytes - (cut ? head_bytes : 0));
    return false;
}

/*
 * The kernel says ENOMEM for "no hole that large" and for "no room in my own tables" alike. If it
 * still maps one page, size was the trouble. If not, a finite RLIMIT_AS is the likelier reason.
 */
static enum quarry_status reserve_failure(const struct os *os, long error)
{
    if (error != -ENOMEM)
        return QUARRY_NO_MEMORY;
    long probe = map_pages(NULL, os->page_bytes, PROT_NONE, MAP_NORESERVE);
    if (probe < 0)
        return address_space_is_limited() ? QUARRY_NO_ADDRESS : QUARRY_NO_MEMORY;
    (void)unmap_pages((void *)probe, os->page_bytes);
    return QUARRY_NO_ADDRESS;
}

static bool address_space_is_limited(void)
{
    struct rlimit64 limit = {0};
    long result = os_kernel(SYS_prlimit64, 0, RLIMIT_AS, NULL, &limit);
    return result == 0 && limit.rlim_cur != RLIM64_INFINITY;
}

static enum quarry_status decommit_locked(void *base, size_t bytes)
{
    long result = os_kernel_retry(SYS_madvise, base, bytes, MADV_DONTNEED_LOCKED);
    if (result == -EINVAL)
        result = map_pages(base, bytes, PROT_READ | PROT_WRITE, MAP_NORESERVE | MAP_FIXED);
    if (result >= 0)
        return QUARRY_OK;
    return result == -ENOMEM ? QUARRY_NO_MEMORY : QUARRY_BUSY;
}

/* Whether the kernel knows the advice; asked once, about no bytes. */
static bool has_collapse(void *base)
{
    enum { UNKNOWN, KNOWN, MISSING };
    static _Atomic uint32_t answer;
    /* Relaxed: every thread that asks is told the same. */
    uint32_t seen = atomic_load_relaxed_u32(&answer);
    if (Q_UNLIKELY(seen == UNKNOWN)) {
        seen = os_kernel(SYS_madvise, base, (size_t)0, MADV_COLLAPSE) == 0 ? KNOWN : MISSING;
        atomic_store_relaxed_u32(&answer, seen);
    }
    return seen == KNOWN;
}

/* Invariant 1. */
static void check_range(const struct os *os, const void *base, size_t bytes)
{
    Q_ASSERT(bytes > 0 && (bytes & (os->page_bytes - 1)) == 0);
    Q_ASSERT(((uintptr_t)base & (os->page_bytes - 1)) == 0);
}
