/*
 * The real instance of `struct os`: one static object, filled at the first call.
 *
 * It must answer before any constructor has run, because the first malloc of a program may come
 * from the dynamic loader or from another library's constructor. So nothing is set up by a
 * constructor of ours: pthread_once does it on demand. Its words start at zero in static storage,
 * it does not allocate, and glibc starts it over in the child of a fork that interrupted it.
 *
 * Invariants:
 *   1. page_bytes is a power of two; huge_page_bytes is 0 or a larger power of two.
 *   2. After the first os_real() returned, the object is never written again: no lock is needed.
 *
 * Cost: one file of sysfs is read, once; afterwards os_real() is a load and a branch.
 */
#include <pthread.h>
#include <unistd.h>

#include <os/read_file.h>
#include <os/real.h>

static const struct os_ops linux_ops = {
    .reserve = os_linux_reserve,
    .reserve_zeros = os_linux_reserve_zeros,
    .commit = os_linux_commit,
    .decommit = os_linux_decommit,
    .uncommit = os_linux_uncommit,
    .collapse = os_linux_collapse,
    .release = os_linux_release,
    .file_open = os_linux_file_open,
    .file_close = os_linux_file_close,
    .file_size = os_linux_file_size,
    .file_resize = os_linux_file_resize,
    .file_map = os_linux_file_map,
    .file_preallocate = os_linux_file_preallocate,
    .file_punch = os_linux_file_punch,
    .file_next_data = os_linux_file_next_data,
    .file_read = os_linux_file_read,
    .file_write = os_linux_file_write,
    .file_sync = os_linux_file_sync,
    .monotonic_ns = os_linux_monotonic_ns,
    .wall_ns = os_linux_wall_ns,
    .thread_cpu_ns = os_linux_thread_cpu_ns,
};

static struct os real_instance; /* const after real_once */
static pthread_once_t real_once = PTHREAD_ONCE_INIT;

static void fill_instance(void);
static size_t read_huge_page_bytes(size_t page_bytes);

struct os *os_real(void)
{
    int failed = pthread_once(&real_once, fill_instance);
    Q_ASSERT(failed == 0);
    return &real_instance;
}

static void fill_instance(void)
{
    long page_bytes = sysconf(_SC_PAGESIZE);
    Q_ASSERT(page_bytes > 0 && bits_is_power_of_two_u64((uint64_t)page_bytes)); /* invariant 1 */
    real_instance.ops = &linux_ops;
    real_instance.page_bytes = (size_t)page_bytes;
    real_instance.huge_page_bytes = read_huge_page_bytes((size_t)page_bytes);
}

/* What one transparent huge page covers; a kernel built without them has no such file. */
static size_t read_huge_page_bytes(size_t page_bytes)
{
    uint64_t bytes = 0;
    if (!os_read_u64("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", &bytes))
        return 0;
    if (bytes <= page_bytes || !bits_is_power_of_two_u64(bytes))
        return 0;
    return (size_t)bytes;
}
