/*
 * What a program can ask its malloc: mallinfo, malloc_info, malloc_stats, mallopt, malloc_trim.
 *
 * The figures are the page heap's: "in use" is pages that hold objects, the free ones among these
 * objects included. What glibc calls arenas and bins there is none of; fields without a meaning
 * here are 0.
 */
#include <errno.h>
#include <stdio.h>

#include <malloc.h>

#include <malloc/door.h>
#include <malloc/process_heap.h>

/* Marks the library to programs that want to know. */
MALLOC_EXPORT const char *quarry_malloc_version(void);
const char *quarry_malloc_version(void)
{
    return QUARRY_VERSION;
}

static struct quarry_ledger read_ledger(void)
{
    struct quarry_ledger ledger = {0};

    if (malloc_heap_is_made()) {
        (void)page_heap_ledger(malloc_heap.pages, &ledger, NULL, 0);
    }
    return ledger;
}

static struct mem_large_sum read_large(void)
{
    return malloc_heap_is_made() ? mem_large_sum(malloc_heap.general_pool)
                                 : (struct mem_large_sum){0};
}

MALLOC_EXPORT struct mallinfo2 mallinfo2(void)
{
    struct quarry_ledger ledger = read_ledger();
    struct mem_large_sum large = read_large();
    uint64_t free_bytes = ledger.free_backed_bytes + ledger.cached_bytes;

    return (struct mallinfo2){
        .arena = ledger.in_use_bytes + free_bytes - large.bytes,
        .hblks = large.count,
        .hblkhd = large.bytes,
        .usmblks = ledger.peak_bytes,
        .uordblks = ledger.in_use_bytes - large.bytes,
        .fordblks = free_bytes,
        .keepcost = ledger.free_backed_bytes,
    };
}

static int as_int(size_t value)
{
    return value > INT32_MAX ? INT32_MAX : (int)value;
}

MALLOC_EXPORT struct mallinfo mallinfo(void)
{
    struct mallinfo2 info = mallinfo2();

    return (struct mallinfo){
        .arena = as_int(info.arena),
        .hblks = as_int(info.hblks),
        .hblkhd = as_int(info.hblkhd),
        .usmblks = as_int(info.usmblks),
        .uordblks = as_int(info.uordblks),
        .fordblks = as_int(info.fordblks),
        .keepcost = as_int(info.keepcost),
    };
}

MALLOC_EXPORT int malloc_info(int options, FILE *file)
{
    struct quarry_ledger ledger = read_ledger();
    struct mem_large_sum large = read_large();

    if (options != 0) {
        return EINVAL;
    }
    (void)fprintf(
        file,
        "<malloc version=\"1\" allocator=\"quarry " QUARRY_VERSION "\">\n"
        "<total type=\"in-use\" size=\"%llu\"/>\n"
        "<total type=\"large\" count=\"%llu\" size=\"%llu\"/>\n"
        "<total type=\"cached\" size=\"%llu\"/>\n"
        "<total type=\"free\" size=\"%llu\"/>\n"
        "<total type=\"metadata\" size=\"%llu\"/>\n"
        "<system type=\"current\" size=\"%llu\"/>\n"
        "<system type=\"max\" size=\"%llu\"/>\n"
        "</malloc>\n",
        (unsigned long long)ledger.in_use_bytes, (unsigned long long)large.count,
        (unsigned long long)large.bytes, (unsigned long long)ledger.cached_bytes,
        (unsigned long long)ledger.free_backed_bytes, (unsigned long long)ledger.metadata_bytes,
        (unsigned long long)ledger.committed_bytes, (unsigned long long)ledger.peak_bytes);
    return 0;
}

MALLOC_EXPORT void malloc_stats(void)
{
    struct quarry_ledger ledger = read_ledger();

    (void)fprintf(
        stderr,
        "in use   = %12llu bytes\n"
        "cached   = %12llu bytes\n"
        "free     = %12llu bytes\n"
        "metadata = %12llu bytes\n"
        "system   = %12llu bytes (most ever: %llu)\n",
        (unsigned long long)ledger.in_use_bytes, (unsigned long long)ledger.cached_bytes,
        (unsigned long long)ledger.free_backed_bytes, (unsigned long long)ledger.metadata_bytes,
        (unsigned long long)ledger.committed_bytes, (unsigned long long)ledger.peak_bytes);
}

/* glibc's parameters are accepted, and change nothing: there are no arenas to tune. */
MALLOC_EXPORT int mallopt(int parameter, int value)
{
    (void)value;
    switch (parameter) {
    case M_MXFAST:
    case M_TRIM_THRESHOLD:
    case M_TOP_PAD:
    case M_MMAP_THRESHOLD:
    case M_MMAP_MAX:
    case M_CHECK_ACTION:
    case M_PERTURB:
    case M_ARENA_TEST:
    case M_ARENA_MAX:
        return 1;
    default:
        return 0;
    }
}

MALLOC_EXPORT int malloc_trim(size_t pad)
{
    (void)pad;
    if (!malloc_heap_is_made()) {
        return 0;
    }
    (void)mem_heap_collect(&malloc_heap);
    return page_heap_trim(malloc_heap.pages) > 0;
}
