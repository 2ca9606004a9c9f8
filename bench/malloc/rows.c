/*
 * The table of rows.
 *
 * Steps are fixed and not calibrated: every subject does the same work, so its resident memory over
 * time can be compared as well as its time. They were chosen so that the faster subjects take a
 * tenth of a second on a machine of 2020, and an eighth of that with --quick.
 *
 * Sources: the patterns are those that allocators have been compared by in public for twenty years
 * (cfrac, espresso, larson, mstress, xmalloc-test, sh8bench, rptest, cache-scratch); the code is
 * written anew from what they are known to do.
 */
#include <bench/malloc/rows.h>

#include <string.h>

#define PAIR(text, title, size, full, count)                                                       \
    {                                                                                              \
        "pair_" text, "malloc and free of " title, BENCH_MICRO, bench_micro_pairs, size, false,    \
            BENCH_MICRO_PAIRS, full, (full) / 8, count                                             \
    }
#define BATCH(text, title, size, full)                                                             \
    {                                                                                              \
        "batch_" text, "2000 mallocs of " title ", then 2000 frees", BENCH_MICRO,                  \
            bench_micro_batches, size, false, BENCH_BATCH_BLOCK, full, (full) / 8, 5               \
    }
#define THREADED(name, title, run, every, full, quick)                                             \
    {                                                                                              \
        name, title, BENCH_WORKLOAD, run, 0, true, every, full, quick, 0                           \
    }

static const struct bench_malloc_row rows[] = {
    PAIR("16b", "16 bytes", 16, 125000, 100),
    PAIR("64b", "64 bytes", 64, 125000, 100),
    PAIR("256b", "256 bytes", 256, 125000, 100),
    PAIR("1kib", "1 KiB", 1024, 125000, 100),
    PAIR("4kib", "4 KiB", 4096, 80000, 100),
    PAIR("32kib", "32 KiB", 32768, 60000, 100),
    PAIR("256kib", "256 KiB", 262144, 10000, 50),
    PAIR("1mib", "1 MiB", 1048576, 10000, 50),
    BATCH("16b", "16 bytes", 16, 3000),
    BATCH("64b", "64 bytes", 64, 3000),
    BATCH("256b", "256 bytes", 256, 2000),
    BATCH("1kib", "1 KiB", 1024, 800),
    BATCH("4kib", "4 KiB", 4096, 240),
    {"bignum_churn", "short-lived numbers of some words (cfrac-like)", BENCH_WORKLOAD, bench_bignum,
     0, false, 97, 1000000, 125000, 2000},
    {"bitset_solver", "families of bit sets, cut and joined (espresso-like)", BENCH_WORKLOAD,
     bench_bitset, 0, false, 97, 8000, 1000, 20},
    THREADED("larson", "threads replace objects of their predecessors", bench_larson, 97, 40, 5),
    THREADED("larson_sized", "likewise, freed by a call that is told the size", bench_larson_sized,
             97, 40, 5),
    THREADED("mstress", "threads made anew, with survivors", bench_mstress, 61, 60, 8),
    THREADED("xmalloc", "one half allocates, the other half frees", bench_xmalloc, 97, 20000, 2500),
    THREADED("sh8", "frees in every order, one third by a neighbour", bench_sh8, 97, 2400, 300),
    THREADED("rptest", "random sizes to 16,000 bytes", bench_rptest, 61, 1000, 125),
    THREADED("cache_scratch", "objects of several threads in one cache line", bench_scratch, 7,
             40000, 5000),
    {"large", "8 objects of 5 to 25 MiB, replaced and written", BENCH_WORKLOAD, bench_large, 0,
     false, 1, 100, 16, 0},
    THREADED("thread_churn", "20,000 short threads (2,500 with --quick)", bench_churn, 61, 20000,
             2500),
};

const struct bench_malloc_row *bench_malloc_rows(size_t *ret_count)
{
    *ret_count = sizeof rows / sizeof rows[0];
    return rows;
}

const struct bench_malloc_row *bench_malloc_row_find(const char *name)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(rows[i].name, name) == 0) {
            return &rows[i];
        }
    }
    return NULL;
}

const char *bench_group_name(enum bench_group group)
{
    static const char *const names[BENCH_GROUP_COUNT] = {"micro", "workloads", "spikes",
                                                         "programs"};

    Q_ASSERT(group < BENCH_GROUP_COUNT);
    return names[group];
}
