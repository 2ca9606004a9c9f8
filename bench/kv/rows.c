/*
 * The table of rows.
 */
#include <bench/kv/rows.h>

#include <string.h>

#include <base/base.h>

#include <bench/kv/job.h>

static const struct bench_kv_mix mix_a = {.read = 50, .update = 50};
static const struct bench_kv_mix mix_b = {.read = 95, .update = 5};
static const struct bench_kv_mix mix_c = {.read = 100};
static const struct bench_kv_mix mix_d = {.read = 95, .insert = 5, .is_latest = true};
static const struct bench_kv_mix mix_e = {.scan = 95, .insert = 5};
static const struct bench_kv_mix mix_f = {.read = 50, .modify = 50};

#define WORK(row_name, row_title, row_start, part, steps, row_run)                                 \
    {                                                                                              \
        .name = (row_name), .title = (row_title), .kind = BENCH_KV_WORK, .start = (row_start),     \
        .key_part = (part), .step_count = (steps), .run = (row_run)                                \
    }
#define MIX(row_name, row_title, part, row_mix)                                                    \
    {                                                                                              \
        .name = (row_name), .title = (row_title), .kind = BENCH_KV_WORK, .start = BENCH_KV_COPY,   \
        .key_part = (part), .mix = &(row_mix), .run = bench_kv_mixed                               \
    }
#define BUDGET(row_name, bytes)                                                                    \
    {                                                                                              \
        .name = (row_name), .title = "fill, overwrite, read, 200 iterators, compact, in so much",  \
        .kind = BENCH_KV_BUDGET, .start = BENCH_KV_EMPTY, .key_part = 1, .is_long = true,          \
        .budget_bytes = (bytes), .run = bench_kv_budget                                            \
    }

static const struct bench_kv_row rows[] = {
    WORK("fillseq", "put keys in order", BENCH_KV_EMPTY, 1, 10000, bench_kv_fill_sorted),
    WORK("fillseq_batch", "the same, 1,000 in a batch; times are a batch's", BENCH_KV_EMPTY, 1,
         10000, bench_kv_fill_batches),
    WORK("fillrandom", "put keys, in random order", BENCH_KV_EMPTY, 1, 10000, bench_kv_fill_random),
    WORK("overwrite", "put keys that are there", BENCH_KV_COPY, 1, 10000, bench_kv_overwrite),
    WORK("fillsync", "put keys, each on the disk before the next", BENCH_KV_EMPTY, 1000, 0,
         bench_kv_fill_synced),
    WORK("two_writers", "put keys from two threads, in random order", BENCH_KV_EMPTY, 1, 0,
         bench_kv_two_writers),
    WORK("deleterandom", "delete every second key, in random order", BENCH_KV_COPY, 2, 0,
         bench_kv_erase_random),
    WORK("readrandom", "read keys that are in the cache", BENCH_KV_FILLED, 1, 5000,
         bench_kv_read_random),
    WORK("readmissing", "read keys between those that are there", BENCH_KV_FILLED, 1, 5000,
         bench_kv_read_missing),
    {.name = "multireadrandom",
     .title = "read 32 keys in a call; times are a call's",
     .kind = BENCH_KV_WORK,
     .start = BENCH_KV_FILLED,
     .key_part = 1,
     .step_count = 5000,
     .needs_many = true,
     .run = bench_kv_read_many},
    WORK("coldread", "read keys from the disk, the cache a sixteenth of the usual one",
         BENCH_KV_FILLED, 100, 0, bench_kv_read_cold),
    WORK("readwhilewriting", "read keys beside 20,000 puts a second, whose CPU time is in it",
         BENCH_KV_COPY, 1, 0, bench_kv_read_beside_writer),
    WORK("readseq", "go over all keys; times are of 64", BENCH_KV_FILLED, 1, 10000,
         bench_kv_read_forward),
    WORK("readreverse", "go back over all keys; times are of 64", BENCH_KV_FILLED, 1, 10000,
         bench_kv_read_backward),
    WORK("seekrandom", "seek a key with one iterator, and go on by 10", BENCH_KV_FILLED, 4, 2000,
         bench_kv_seek_random),
    WORK("scan100", "seek a key with a new iterator, and go on by 100", BENCH_KV_FILLED, 40, 200,
         bench_kv_scan_100),
    MIX("ycsb_a", "read 50 %, update 50 %", 1, mix_a),
    MIX("ycsb_b", "read 95 %, update 5 %", 1, mix_b),
    MIX("ycsb_c", "read", 1, mix_c),
    MIX("ycsb_d", "read 95 %, the latest most; insert 5 %", 1, mix_d),
    MIX("ycsb_e", "scan up to 100 keys 95 %, insert 5 %", 20, mix_e),
    MIX("ycsb_f", "read 50 %, read and update 50 %", 1, mix_f),
    BUDGET("budget_64m", Q_MIB(64)),
    BUDGET("budget_256m", Q_MIB(256)),
    BUDGET("budget_1g", Q_GIB(1)),
    {.name = "recover_wal",
     .title = "open what was not closed, all of it in the log",
     .kind = BENCH_KV_RECOVER,
     .key_part = 1,
     .is_long = true,
     .run = bench_kv_recover},
    {.name = "open_files",
     .title = "open a store of many small files, 1,000 open at a time",
     .kind = BENCH_KV_FILES,
     .key_part = 1,
     .is_long = true,
     .run = bench_kv_open_files},
};

const struct bench_kv_row *bench_kv_rows(size_t *ret_count)
{
    *ret_count = sizeof rows / sizeof rows[0];
    return rows;
}

const struct bench_kv_row *bench_kv_row_find(const char *name)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(rows[i].name, name) == 0) {
            return &rows[i];
        }
    }
    return NULL;
}
