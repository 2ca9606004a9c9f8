/*
 * Rows that read. Every value is looked at: its length, and that it is the key's.
 */
#include <bench/kv/job.h>

#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include <base/base.h>

#include <bench/kv/files.h>
#include <bench/team.h>

/* Of a store that is read from the disk, the cache has room for so small a part. */
#define COLD_PARTS 16u
/* And the kernel's cache is emptied after so many reads. */
#define COLD_READS 500u
#define NEXTS      10u
#define SCANNED    100u
/* Steps of an iterator that are timed together: one alone takes less than the clock. */
#define STEPS       64u
#define WRITER_RATE 20000u /* puts in a second, beside reads */

static void end_row(struct bench_kv_job *job, uint64_t *numbers, uint64_t count)
{
    bench_kv_meter_end(&job->meter, numbers);
    numbers[WORK_OPERATIONS] = count;
    bench_kv_job_close(job);
}

/* Reads once what will be read, so that caches are as full as they get. */
static void warm(struct bench_kv_job *job)
{
    void *iterator = job->ops->iterate(job->store);

    if (iterator == NULL) {
        bench_kv_die(job->row->name, "an iterator was refused");
    }
    for (bool is_at = job->ops->first(iterator); is_at; is_at = job->ops->next(iterator)) {
    }
    job->ops->iterator_destroy(iterator);
    for (uint64_t i = 0; i < job->keys.count; i += STEPS) {
        bench_kv_job_get(job, i);
    }
}

static void open_warm(struct bench_kv_job *job)
{
    bench_kv_job_open(job);
    warm(job);
    bench_kv_meter_begin(&job->meter);
}

/* ---- single keys ---------------------------------------------------------------------------- */

void bench_kv_read_random(struct bench_kv_job *job, uint64_t *numbers)
{
    uint64_t count = bench_kv_job_operations(job);

    open_warm(job);
    for (uint64_t i = 0; i < count; i++) {
        bench_kv_job_get(job, bench_kv_shuffle(&job->keys, i));
        bench_kv_meter_lap(&job->meter);
    }
    end_row(job, numbers, count);
}

void bench_kv_read_missing(struct bench_kv_job *job, uint64_t *numbers)
{
    uint64_t count = bench_kv_job_operations(job);
    char key[BENCH_KV_KEY_BYTES];
    struct bench_kv_hold hold;

    open_warm(job);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t number = bench_kv_shuffle(&job->keys, i);
        if (job->ops->get(job->store, bench_kv_key_between(number, key), &hold) !=
            BENCH_KV_ABSENT) {
            bench_kv_die(job->row->name, "a key that was never written is there");
        }
        bench_kv_meter_lap(&job->meter);
    }
    end_row(job, numbers, count);
}

/* One call for the keys from `index` of the shuffled order on. */
static void read_together(struct bench_kv_job *job, uint64_t index)
{
    char rooms[BENCH_KV_MANY][BENCH_KV_KEY_BYTES];
    uint64_t keys[BENCH_KV_MANY];
    struct bench_kv_bytes bytes[BENCH_KV_MANY];
    enum bench_kv_answer answers[BENCH_KV_MANY];
    struct bench_kv_hold holds[BENCH_KV_MANY];

    for (uint32_t i = 0; i < BENCH_KV_MANY; i++) {
        keys[i] = bench_kv_shuffle(&job->keys, index + i);
        bytes[i] = bench_kv_key(keys[i], rooms[i]);
    }
    job->ops->get_many(job->store, bytes, answers, holds);
    for (uint32_t i = 0; i < BENCH_KV_MANY; i++) {
        if (answers[i] != BENCH_KV_OK) {
            bench_kv_die(job->row->name, "a key that was written cannot be read");
        }
        bench_kv_value_check(&job->keys, keys[i], holds[i].bytes);
        job->ops->release(&holds[i]);
    }
}

void bench_kv_read_many(struct bench_kv_job *job, uint64_t *numbers)
{
    uint64_t count = size_ceil_div_u64(bench_kv_job_operations(job), BENCH_KV_MANY);

    if (job->ops->get_many == NULL) {
        bench_kv_die(job->row->name, "there is no such call");
    }
    open_warm(job);
    for (uint64_t i = 0; i < count; i++) {
        read_together(job, i * BENCH_KV_MANY);
        bench_kv_meter_lap(&job->meter);
    }
    end_row(job, numbers, count * BENCH_KV_MANY);
}

void bench_kv_read_cold(struct bench_kv_job *job, uint64_t *numbers)
{
    uint64_t count = bench_kv_job_operations(job);

    job->config.cache_bytes = size_max_u64(job->config.cache_bytes / COLD_PARTS, Q_KIB(512));
    bench_kv_job_open(job);
    bench_kv_files_drop(job->config.path);
    bench_kv_meter_begin(&job->meter);
    for (uint64_t i = 0; i < count; i++) {
        if (i % COLD_READS == 0) {
            bench_kv_files_drop(job->config.path);
            bench_kv_meter_skip(&job->meter);
        }
        bench_kv_job_get(job, bench_kv_shuffle(&job->keys, i));
        bench_kv_meter_lap(&job->meter);
    }
    end_row(job, numbers, count);
}

/* ---- beside a writer ------------------------------------------------------------------------ */

struct pair {
    struct bench_kv_job *job;
    atomic_bool is_read; /* the reader has done */
};

/* Puts at a pace, so that all stores write the same beside the same reads. */
static void write_paced(struct pair *pair)
{
    uint64_t began_ns = bench_kv_now_ns();

    for (uint64_t i = 0; !atomic_load(&pair->is_read); i++) {
        uint64_t due_ns = began_ns + i * (Q_SECOND_NS / WRITER_RATE);
        uint64_t now_ns = bench_kv_now_ns();
        if (now_ns < due_ns) {
            struct timespec pause = {.tv_nsec = (long)size_min_u64(due_ns - now_ns, Q_MS_NS)};
            (void)nanosleep(&pause, NULL);
        }
        bench_kv_job_put(pair->job, bench_kv_shuffle(&pair->job->keys, i), false);
    }
}

static void read_all(struct pair *pair)
{
    struct bench_kv_job *job = pair->job;
    uint64_t count = bench_kv_job_operations(job);

    bench_kv_meter_skip(&job->meter);
    for (uint64_t i = 0; i < count; i++) {
        bench_kv_job_get(job, bench_kv_shuffle(&job->keys, job->keys.count - 1 - i));
        bench_kv_meter_lap(&job->meter);
    }
    atomic_store(&pair->is_read, true);
}

static void run_pair(struct bench_worker *worker, void *context)
{
    (worker->index == 0 ? read_all : write_paced)(context);
}

void bench_kv_read_beside_writer(struct bench_kv_job *job, uint64_t *numbers)
{
    struct pair pair = {.job = job};
    struct bench_team_time time = {0};

    open_warm(job);
    bench_team_run(2, run_pair, &pair, &time);
    end_row(job, numbers, bench_kv_job_operations(job));
    numbers[WORK_WALL_NS] = time.wall_ns;
}

/* ---- iterators ------------------------------------------------------------------------------ */

static void *iterate(struct bench_kv_job *job)
{
    void *iterator = job->ops->iterate(job->store);

    if (iterator == NULL) {
        bench_kv_die(job->row->name, "an iterator was refused");
    }
    return iterator;
}

/* What the iterator is at must be that number's. */
static void check_at(struct bench_kv_job *job, void *iterator, uint64_t number)
{
    char room[BENCH_KV_KEY_BYTES];
    struct bench_kv_bytes key = job->ops->key(iterator);

    if (key.count != BENCH_KV_KEY_BYTES ||
        memcmp(key.base, bench_kv_key(number, room).base, BENCH_KV_KEY_BYTES) != 0) {
        bench_kv_die(job->row->name, "an iterator is at another key");
    }
    bench_kv_value_check(&job->keys, number, job->ops->value(iterator));
}

/* How to go over all keys. */
struct course {
    bool (*begin)(void *iterator);
    bool (*step)(void *iterator);
    uint64_t first_number;
    uint64_t change; /* of the number, in a step */
};

/* Goes over at most `count` keys. Returns: how many there were. */
static uint64_t walk_once(struct bench_kv_job *job, void *iterator, const struct course *course,
                          uint64_t count)
{
    uint64_t number = course->first_number;
    uint64_t done_count = 0;

    for (bool is_at = course->begin(iterator); is_at; is_at = course->step(iterator)) {
        bench_kv_value_check(&job->keys, number, job->ops->value(iterator));
        number += course->change;
        if (++done_count % STEPS == 0) {
            bench_kv_meter_lap(&job->meter);
        }
        if (done_count == count) {
            return done_count;
        }
    }
    if (!job->ops->is_sound(iterator) || done_count != job->keys.count) {
        bench_kv_die(job->row->name, "an iterator does not come to the end");
    }
    return done_count;
}

/* Over all keys, as often as it takes. */
static void walk(struct bench_kv_job *job, uint64_t *numbers, const struct course *course)
{
    uint64_t count = bench_kv_job_operations(job);

    open_warm(job);
    void *iterator = iterate(job);
    bench_kv_meter_skip(&job->meter);
    for (uint64_t left = count; left > 0;) {
        left -= walk_once(job, iterator, course, left);
    }
    job->ops->iterator_destroy(iterator);
    end_row(job, numbers, count);
}

void bench_kv_read_forward(struct bench_kv_job *job, uint64_t *numbers)
{
    const struct course course = {job->ops->first, job->ops->next, 0, 1};

    walk(job, numbers, &course);
}

void bench_kv_read_backward(struct bench_kv_job *job, uint64_t *numbers)
{
    const struct course course = {job->ops->last, job->ops->previous, job->keys.count - 1,
                                  UINT64_MAX};

    walk(job, numbers, &course);
}

/* Seeks a number's key and goes on over `next_count` more, as far as there are any. */
static void seek_and_step(struct bench_kv_job *job, void *iterator, uint64_t number,
                          uint32_t next_count)
{
    char key[BENCH_KV_KEY_BYTES];
    bool is_at = job->ops->seek(iterator, bench_kv_key(number, key));

    for (uint32_t i = 0; i <= next_count && is_at; i++) {
        check_at(job, iterator, number + i);
        is_at = i < next_count && job->ops->next(iterator);
    }
    if (!job->ops->is_sound(iterator)) {
        bench_kv_die(job->row->name, "an iterator has failed");
    }
}

void bench_kv_seek_random(struct bench_kv_job *job, uint64_t *numbers)
{
    uint64_t count = bench_kv_job_operations(job);

    open_warm(job);
    void *iterator = iterate(job);
    bench_kv_meter_skip(&job->meter);
    for (uint64_t i = 0; i < count; i++) {
        seek_and_step(job, iterator, bench_kv_shuffle(&job->keys, i), NEXTS);
        bench_kv_meter_lap(&job->meter);
    }
    job->ops->iterator_destroy(iterator);
    end_row(job, numbers, count);
}

void bench_kv_scan_100(struct bench_kv_job *job, uint64_t *numbers)
{
    uint64_t count = bench_kv_job_operations(job);

    open_warm(job);
    for (uint64_t i = 0; i < count; i++) {
        void *iterator = iterate(job);
        seek_and_step(job, iterator, bench_kv_shuffle(&job->keys, i), SCANNED);
        job->ops->iterator_destroy(iterator);
        bench_kv_meter_lap(&job->meter);
    }
    end_row(job, numbers, count);
}
