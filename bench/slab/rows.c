/*
 * The table of rows. Steps are fixed and not calibrated: every subject does the same work. Those of
 * rows whose instructions are counted are more than the steps that warm up, which then cancel out.
 */
#include <bench/slab/rows.h>

#include <string.h>

#define PAIR(text, size, threads)                                                                  \
    {                                                                                              \
        .name = "pair_" text, .title = "taken and given, " #size " bytes, " #threads " threads",   \
        .place = BENCH_PLACE_SLAB, .run = bench_slab_pairs, .bytes = size,                         \
        .thread_count = threads, .full_steps = 10000000, .quick_steps = 1000000,                   \
        .count_steps = (threads) == 1 ? 20000 : 0                                                  \
    }
#define BATCH(text, size, threads, full)                                                           \
    {                                                                                              \
        .name = "batch_" text,                                                                     \
        .title = "100 taken, 100 given, " #size " bytes, " #threads " threads",                    \
        .place = BENCH_PLACE_SLAB, .run = bench_slab_batches, .bytes = size,                       \
        .thread_count = threads, .full_steps = full, .quick_steps = (full) / 20,                   \
        .count_steps = (threads) == 1 ? 2000 : 0                                                   \
    }
#define REPLACE(text, threads)                                                                     \
    {                                                                                              \
        .name = "replace" text,                                                                    \
        .title = "random ones of 4000 replaced, 16 to 1015 bytes, " #threads " threads",           \
        .place = BENCH_PLACE_SLAB, .run = bench_slab_replace, .thread_count = threads,             \
        .full_steps = 100, .quick_steps = 2                                                        \
    }
#define ARENA(text, threads)                                                                       \
    {                                                                                              \
        .name = "arena_alloc_32b" text, .title = "32 bytes of an arena, " #threads " threads",     \
        .place = BENCH_PLACE_ARENA, .run = bench_slab_arena, .bytes = 32, .thread_count = threads, \
        .full_steps = 20, .quick_steps = 1, .count_steps = (threads) == 1 ? 1 : 0                  \
    }

static const struct bench_slab_row rows[] = {
    PAIR("64b", 64, 1),
    PAIR("256b", 256, 1),
    PAIR("1kib", 1024, 1),
    PAIR("4kib", 4096, 1),
    PAIR("64b_2t", 64, 2),
    PAIR("256b_2t", 256, 2),
    PAIR("1kib_2t", 1024, 2),
    PAIR("4kib_2t", 4096, 2),
    BATCH("64b", 64, 1, 100000),
    BATCH("256b", 256, 1, 100000),
    BATCH("1kib", 1024, 1, 50000),
    BATCH("4kib", 4096, 1, 10000),
    BATCH("64b_2t", 64, 2, 100000),
    BATCH("256b_2t", 256, 2, 100000),
    BATCH("1kib_2t", 1024, 2, 50000),
    BATCH("4kib_2t", 4096, 2, 10000),
    REPLACE("", 1),
    REPLACE("_2t", 2),
    ARENA("", 1),
    ARENA("_2t", 2),
    {.name = "waste_log_normal",
     .title = "held beyond what was asked for: 10^6 pieces of 32 bytes to 8 KiB, replaced once",
     .kind = BENCH_SLAB_WASTE,
     .place = BENCH_PLACE_SLAB,
     .run = bench_slab_waste,
     .thread_count = 1,
     .full_steps = 1000000,
     .quick_steps = 20000},
    {.name = "move_pages",
     .title = "pages of 1 KiB cells emptied while one thread reads and one replaces",
     .kind = BENCH_SLAB_MOVES,
     .place = BENCH_PLACE_SLAB,
     .run = bench_slab_move,
     .thread_count = 3,
     .full_steps = 2000,
     .quick_steps = 20},
};

const struct bench_slab_row *bench_slab_rows(size_t *ret_count)
{
    *ret_count = sizeof rows / sizeof rows[0];
    return rows;
}

const struct bench_slab_row *bench_slab_row_find(const char *name)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(rows[i].name, name) == 0) {
            return &rows[i];
        }
    }
    return NULL;
}
