/*
 * The six mixes of YCSB, with keys and values of the other rows in place of its records of 1,000
 * bytes. Which key is wanted follows Zipf's law with 0.99; the wanted ones lie anywhere in the
 * order of keys, but in the mix in which the latest are.
 */
#include <bench/kv/job.h>

#include <base/base.h>

#include <bench/cache/zipf.h>
#include <bench/kv/files.h>
#include <bench/malloc/worker.h>

#define SKEW        0.99
#define SCANNED_MAX 100u

struct mixing {
    struct bench_kv_job *job;
    struct bench_zipf zipf;
    uint64_t random;
    uint64_t key_count; /* those that were inserted included */
    uint64_t user_bytes;
};

static uint64_t wanted(struct mixing *mixing)
{
    uint64_t rank = bench_zipf_next(&mixing->zipf, &mixing->random);

    return mixing->job->row->mix->is_latest ? mixing->key_count - 1 - rank
                                            : bench_kv_shuffle(&mixing->job->keys, rank);
}

static void put(struct mixing *mixing, uint64_t number)
{
    bench_kv_job_put(mixing->job, number, false);
    mixing->user_bytes += BENCH_KV_KEY_BYTES + mixing->job->keys.value_bytes;
}

static void scan(struct mixing *mixing, uint64_t number)
{
    const struct bench_kv_ops *ops = mixing->job->ops;
    uint32_t count = 1 + bench_random_below(&mixing->random, SCANNED_MAX);
    char key[BENCH_KV_KEY_BYTES];
    void *iterator = ops->iterate(mixing->job->store);

    if (iterator == NULL) {
        bench_kv_die(mixing->job->row->name, "an iterator was refused");
    }
    bool is_at = ops->seek(iterator, bench_kv_key(number, key));
    for (uint32_t i = 0; i < count && is_at; i++) {
        bench_kv_value_check(&mixing->job->keys, number + i, ops->value(iterator));
        is_at = ops->next(iterator);
    }
    if (!ops->is_sound(iterator)) {
        bench_kv_die(mixing->job->row->name, "an iterator has failed");
    }
    ops->iterator_destroy(iterator);
}

static void do_one(struct mixing *mixing)
{
    const struct bench_kv_mix *mix = mixing->job->row->mix;
    uint32_t draw = bench_random_below(&mixing->random, 100);

    if (draw < mix->insert) {
        put(mixing, mixing->key_count++);
        return;
    }
    uint64_t number = wanted(mixing);
    draw -= mix->insert;
    if (draw < mix->read) {
        bench_kv_job_get(mixing->job, number);
    } else if (draw < mix->read + mix->update) {
        put(mixing, number);
    } else if (draw < mix->read + mix->update + mix->scan) {
        scan(mixing, number);
    } else {
        bench_kv_job_get(mixing->job, number);
        put(mixing, number);
    }
}

void bench_kv_mixed(struct bench_kv_job *job, uint64_t *numbers)
{
    uint64_t count = bench_kv_job_operations(job);
    struct mixing mixing = {.job = job, .random = 1, .key_count = job->keys.count};
    uint64_t file_count = 0;

    bench_zipf_init(&mixing.zipf, job->keys.count, SKEW);
    bench_kv_job_open(job);
    bench_kv_meter_begin(&job->meter);
    for (uint64_t i = 0; i < count; i++) {
        do_one(&mixing);
        bench_kv_meter_lap(&job->meter);
    }
    bench_kv_meter_end(&job->meter, numbers);
    numbers[WORK_OPERATIONS] = count;
    numbers[WORK_USER_BYTES] = mixing.user_bytes;
    numbers[WORK_DISK_BYTES] = bench_kv_files_bytes(job->config.path, &file_count);
    numbers[WORK_LIVE_BYTES] = mixing.key_count * (BENCH_KV_KEY_BYTES + job->keys.value_bytes);
    bench_kv_job_close(job);
}
