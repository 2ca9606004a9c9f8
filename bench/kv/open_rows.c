/*
 * Rows that open a store.
 *
 *   recover_wal   a process fills one memtable and its log with all keys and ends without closing;
 *                 this one opens what it left, with memtables of the usual size
 *   open_files    a process makes as many small files as asked for, in sorted order, and closes the
 *                 store; this one opens it
 *
 * The files have been put out of the kernel's cache, and after opening a few keys are looked for.
 */
#include <bench/kv/job.h>

#include <base/base.h>

#include <bench/kv/files.h>
#include <bench/malloc/clock.h>

/* A memtable holds its keys with their nodes: room for so many times what is put in. */
#define MEMTABLE_TIMES   4u
#define MEMTABLE_MIN     Q_MIB(64)
#define LOOKED_FOR       64u
#define LOG_MEMTABLE_MAX Q_MIB(64)

static void fill_sorted(struct bench_kv_job *job)
{
    job->store = job->ops->open(&job->config);
    for (uint64_t i = 0; i < job->keys.count; i++) {
        bench_kv_job_put(job, i, false);
    }
}

static void fill_and_close(struct bench_kv_job *job)
{
    fill_sorted(job);
    job->ops->close(job->store);
}

/* Looks for keys all over. Returns: how many are not there. */
static uint64_t look(struct bench_kv_job *job, uint64_t *ret_worst_ns)
{
    char key[BENCH_KV_KEY_BYTES];
    struct bench_kv_hold hold;
    uint64_t lost_count = 0;

    bench_kv_meter_skip(&job->meter);
    for (uint64_t i = 0; i < LOOKED_FOR; i++) {
        uint64_t number = (job->keys.count - 1) * i / (LOOKED_FOR - 1);
        if (job->ops->get(job->store, bench_kv_key(number, key), &hold) == BENCH_KV_OK) {
            bench_kv_value_check(&job->keys, number, hold.bytes);
            job->ops->release(&hold);
        } else {
            lost_count++;
        }
        bench_kv_meter_lap(&job->meter);
    }
    *ret_worst_ns = job->meter.latency.max;
    return lost_count;
}

static void open_measured(struct bench_kv_job *job, uint64_t *numbers)
{
    bench_kv_files_drop(job->config.path);
    numbers[OPEN_DISK_BYTES] = bench_kv_files_bytes(job->config.path, &numbers[OPEN_FILES]);
    bench_kv_meter_begin(&job->meter);
    job->store = job->ops->open(&job->config);
    numbers[OPEN_WALL_NS] = bench_kv_now_ns() - job->meter.began_ns;
    numbers[OPEN_LOST] = look(job, &numbers[OPEN_FIRST_NS]);
    bench_kv_wait_for_rest();
    numbers[OPEN_CPU_NS] = bench_clock_cpu_ns() - job->meter.began_cpu_ns;
    numbers[OPEN_RSS_BYTES] = bench_clock_peak_bytes();
    bench_kv_job_close(job);
}

void bench_kv_recover(struct bench_kv_job *job, uint64_t *numbers)
{
    uint64_t data_bytes = job->keys.count * (BENCH_KV_KEY_BYTES + job->keys.value_bytes);

    bench_kv_files_remove(job->work_path);
    job->config.write_buffer_bytes = size_max_u64(MEMTABLE_TIMES * data_bytes, MEMTABLE_MIN);
    bench_kv_job_apart(job, fill_sorted);
    job->config.write_buffer_bytes = LOG_MEMTABLE_MAX;
    open_measured(job, numbers);
}

void bench_kv_open_files(struct bench_kv_job *job, uint64_t *numbers)
{
    bench_kv_files_remove(job->work_path);
    bench_kv_job_apart(job, fill_and_close);
    open_measured(job, numbers);
}
