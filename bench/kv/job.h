/*
 * One measurement: a row of one store, in a process of its own.
 */
#ifndef QUARRY_BENCH_KV_JOB_H
#define QUARRY_BENCH_KV_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <bench/kv/keys.h>
#include <bench/kv/meter.h>
#include <bench/kv/ops.h>
#include <bench/kv/rows.h>

#define BENCH_KV_PATH_BYTES 512u

/* What sizes can be: of keys, as many as can be shuffled. */
#define BENCH_KV_KEYS_MAX  (UINT64_C(1) << 30)
#define BENCH_KV_BYTES_MAX (UINT64_C(24) << 30)
#define BENCH_KV_FILES_MAX UINT64_C(100000)
/* Of files where there are many, and of memtables: the least that RocksDB and LevelDB take. */
#define BENCH_KV_SMALL_FILE_BYTES (UINT64_C(64) << 10)

/* What the parent says, apart from the row: decimal, in this order. */
struct bench_kv_sizes {
    uint64_t is_quick;
    uint64_t key_count;
    uint64_t value_bytes;
    uint64_t compression;    /* enum bench_kv_compression */
    uint64_t database_bytes; /* of the rows about budgets */
    uint64_t log_bytes;      /* of recover_wal */
    uint64_t file_count;     /* of open_files */
    uint64_t step_count;     /* operations, to count instructions by; 0: the row's own */
};
#define BENCH_KV_SIZES (sizeof(struct bench_kv_sizes) / sizeof(uint64_t))

struct bench_kv_job {
    const struct bench_kv_ops *ops;
    const struct bench_kv_row *row;
    struct bench_kv_sizes sizes;
    struct bench_kv_config config;         /* what `store` is opened with */
    char work_path[BENCH_KV_PATH_BYTES];   /* of the row's own store */
    char filled_path[BENCH_KV_PATH_BYTES]; /* of that which rows share */
    struct bench_kv_keys keys;
    struct bench_kv_meter meter;
    void *store;
};

/* Opens the store that the row begins with; closes it. */
void bench_kv_job_open(struct bench_kv_job *job);
void bench_kv_job_close(struct bench_kv_job *job);

/* Runs `fill` in a process of its own, which ends without closing anything, and waits for it. Ends
 * this process when it fails. For before there are threads. */
void bench_kv_job_apart(struct bench_kv_job *job, void (*fill)(struct bench_kv_job *job));

/* How often the row does what it measures. */
uint64_t bench_kv_job_operations(const struct bench_kv_job *job);

/* Puts a key, which must be accepted. */
void bench_kv_job_put(struct bench_kv_job *job, uint64_t number, bool is_synced);
/* Reads a key, which must be there and have its value. */
void bench_kv_job_get(struct bench_kv_job *job, uint64_t number);

/* The rows' functions: bench_kv_row.run. */
void bench_kv_fill_sorted(struct bench_kv_job *job, uint64_t *numbers);
void bench_kv_fill_batches(struct bench_kv_job *job, uint64_t *numbers);
void bench_kv_fill_random(struct bench_kv_job *job, uint64_t *numbers);
void bench_kv_fill_synced(struct bench_kv_job *job, uint64_t *numbers);
void bench_kv_overwrite(struct bench_kv_job *job, uint64_t *numbers);
void bench_kv_erase_random(struct bench_kv_job *job, uint64_t *numbers);
void bench_kv_two_writers(struct bench_kv_job *job, uint64_t *numbers);
void bench_kv_read_random(struct bench_kv_job *job, uint64_t *numbers);
void bench_kv_read_missing(struct bench_kv_job *job, uint64_t *numbers);
void bench_kv_read_many(struct bench_kv_job *job, uint64_t *numbers);
void bench_kv_read_cold(struct bench_kv_job *job, uint64_t *numbers);
void bench_kv_read_beside_writer(struct bench_kv_job *job, uint64_t *numbers);
void bench_kv_read_forward(struct bench_kv_job *job, uint64_t *numbers);
void bench_kv_read_backward(struct bench_kv_job *job, uint64_t *numbers);
void bench_kv_seek_random(struct bench_kv_job *job, uint64_t *numbers);
void bench_kv_scan_100(struct bench_kv_job *job, uint64_t *numbers);
void bench_kv_mixed(struct bench_kv_job *job, uint64_t *numbers);
void bench_kv_budget(struct bench_kv_job *job, uint64_t *numbers);
void bench_kv_recover(struct bench_kv_job *job, uint64_t *numbers);
void bench_kv_open_files(struct bench_kv_job *job, uint64_t *numbers);

#endif
