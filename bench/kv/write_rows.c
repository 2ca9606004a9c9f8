/*
 * Rows that write.
 *
 * Each ends with the meter's wait until the store is at rest: flushing and compacting what the row
 * has written is in its CPU time and its bytes, not in its operations per second.
 */
#include <bench/kv/job.h>

#include <base/base.h>

#include <bench/kv/files.h>
#include <bench/team.h>

#define BATCH_KEYS 1000u
#define WRITERS    2u

static uint64_t pair_bytes(const struct bench_kv_job *job)
{
    return BENCH_KV_KEY_BYTES + job->keys.value_bytes;
}

/* Ends a row that did `count` operations of `user_bytes`, and left `live_count` keys. */
static void end_row(struct bench_kv_job *job, uint64_t *numbers, uint64_t count,
                    uint64_t user_bytes, uint64_t live_count)
{
    uint64_t file_count = 0;

    bench_kv_meter_end(&job->meter, numbers);
    numbers[WORK_OPERATIONS] = count;
    numbers[WORK_USER_BYTES] = user_bytes;
    numbers[WORK_DISK_BYTES] = bench_kv_files_bytes(job->config.path, &file_count);
    numbers[WORK_LIVE_BYTES] = live_count * pair_bytes(job);
    bench_kv_job_close(job);
}

void bench_kv_fill_sorted(struct bench_kv_job *job, uint64_t *numbers)
{
    uint64_t count = bench_kv_job_operations(job);

    bench_kv_job_open(job);
    bench_kv_meter_begin(&job->meter);
    for (uint64_t i = 0; i < count; i++) {
        bench_kv_job_put(job, i, false);
        bench_kv_meter_lap(&job->meter);
    }
    end_row(job, numbers, count, count * pair_bytes(job), count);
}

static void write_batch(struct bench_kv_job *job, void *batch, uint64_t from, uint64_t to)
{
    char key[BENCH_KV_KEY_BYTES];
    char value[BENCH_KV_VALUE_BYTES];

    for (uint64_t i = from; i < to; i++) {
        job->ops->batch_put(batch, bench_kv_key(i, key), bench_kv_value(&job->keys, i, value));
    }
    if (job->ops->batch_write(job->store, batch) != BENCH_KV_OK) {
        bench_kv_die(job->row->name, "a batch was refused");
    }
}

void bench_kv_fill_batches(struct bench_kv_job *job, uint64_t *numbers)
{
    uint64_t count = bench_kv_job_operations(job);

    bench_kv_job_open(job);
    void *batch = job->ops->batch_create(job->store);
    bench_kv_meter_begin(&job->meter);
    for (uint64_t i = 0; i < count; i += BATCH_KEYS) {
        write_batch(job, batch, i, size_min_u64(i + BATCH_KEYS, count));
        bench_kv_meter_lap(&job->meter);
    }
    job->ops->batch_destroy(batch);
    end_row(job, numbers, count, count * pair_bytes(job), count);
}

/* Puts as many keys as the row has operations, in the shuffled order. */
static void put_shuffled(struct bench_kv_job *job, uint64_t *numbers, bool is_synced,
                         uint64_t live_count)
{
    uint64_t count = bench_kv_job_operations(job);

    bench_kv_job_open(job);
    bench_kv_meter_begin(&job->meter);
    for (uint64_t i = 0; i < count; i++) {
        bench_kv_job_put(job, bench_kv_shuffle(&job->keys, i), is_synced);
        bench_kv_meter_lap(&job->meter);
    }
    end_row(job, numbers, count, count * pair_bytes(job), live_count);
}

void bench_kv_fill_random(struct bench_kv_job *job, uint64_t *numbers)
{
    put_shuffled(job, numbers, false, bench_kv_job_operations(job));
}

void bench_kv_fill_synced(struct bench_kv_job *job, uint64_t *numbers)
{
    put_shuffled(job, numbers, true, bench_kv_job_operations(job));
}

void bench_kv_overwrite(struct bench_kv_job *job, uint64_t *numbers)
{
    put_shuffled(job, numbers, false, job->keys.count);
}

void bench_kv_erase_random(struct bench_kv_job *job, uint64_t *numbers)
{
    uint64_t count = bench_kv_job_operations(job);
    char key[BENCH_KV_KEY_BYTES];

    bench_kv_job_open(job);
    bench_kv_meter_begin(&job->meter);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t number = bench_kv_shuffle(&job->keys, i);
        if (job->ops->erase(job->store, bench_kv_key(number, key)) != BENCH_KV_OK) {
            bench_kv_die(job->row->name, "a delete was refused");
        }
        bench_kv_meter_lap(&job->meter);
    }
    end_row(job, numbers, count, count * BENCH_KV_KEY_BYTES, job->keys.count - count);
}

/* ---- two at once ---------------------------------------------------------------------------- */

struct writers {
    struct bench_kv_job *job;
    struct bench_kv_meter meter[WRITERS];
};

/* Every second key of the shuffled order. */
static void write_share(struct bench_worker *worker, void *context)
{
    struct writers *writers = context;
    struct bench_kv_job *job = writers->job;
    struct bench_kv_meter *meter = &writers->meter[worker->index];
    uint64_t count = bench_kv_job_operations(job);

    bench_kv_meter_skip(meter);
    for (uint64_t i = worker->index; i < count; i += WRITERS) {
        bench_kv_job_put(job, bench_kv_shuffle(&job->keys, i), false);
        bench_kv_meter_lap(meter);
    }
}

void bench_kv_two_writers(struct bench_kv_job *job, uint64_t *numbers)
{
    static struct writers writers;
    uint64_t count = bench_kv_job_operations(job);
    struct bench_team_time time = {0};

    writers.job = job;
    bench_kv_job_open(job);
    bench_kv_meter_begin(&job->meter);
    bench_team_run(WRITERS, write_share, &writers, &time);
    for (uint32_t i = 0; i < WRITERS; i++) {
        bench_histogram_merge(&job->meter.latency, &writers.meter[i].latency);
    }
    end_row(job, numbers, count, count * pair_bytes(job), count);
    numbers[WORK_WALL_NS] = time.wall_ns;
}
