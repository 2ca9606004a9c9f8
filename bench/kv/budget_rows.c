/*
 * Much at once in little memory.
 *
 *   1  a database far larger than the budget is filled in random order
 *   2  writer      overwrites an eighth of it, as fast as it can
 *      reader      single keys at random, as long as the writer writes
 *      iterators   200 of them, open all the time: each in turn seeks, or goes on by ten keys
 *      compactor   merges everything, again and again
 *
 * Figures are the most memory that was resident, of what was allowed: the budget and 2 % of it or
 * 32 MiB, whichever is more, for code, stacks and this program's own. And what was refused: a bound
 * that is kept by failing reads is none.
 */
#include <bench/kv/job.h>

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <base/base.h>

#include <bench/malloc/clock.h>
#include <bench/team.h>

#define ITERATORS       200u
#define NEXTS           10u
#define SEEK_PERCENT    20u
#define OVERWRITE_PARTS 8u
#define PAUSE_US        10000u
#define SLACK_PARTS     50u
#define SLACK_BYTES     Q_MIB(32)

enum { WRITER, READER, WALKER, COMPACTOR, ROLES };

struct storm {
    struct bench_kv_job *job;
    struct bench_histogram reads; /* the reader's */
    uint64_t read_count[ROLES];
    uint64_t refused_read_count[ROLES];
    uint64_t write_count;
    uint64_t refused_write_count;
    uint64_t *absent;       /* a bit for each key whose only put was refused; the filler's */
    atomic_bool is_written; /* the writer has done */
};

/* Returns: whether it was taken. */
static bool write_one(struct storm *storm, uint64_t number)
{
    struct bench_kv_job *job = storm->job;
    char key[BENCH_KV_KEY_BYTES];
    char value[BENCH_KV_VALUE_BYTES];
    enum bench_kv_answer answer = job->ops->put(job->store, bench_kv_key(number, key),
                                                bench_kv_value(&job->keys, number, value), false);

    storm->write_count++;
    storm->refused_write_count += answer == BENCH_KV_OK ? 0 : 1;
    bench_kv_meter_lap(&job->meter);
    return answer == BENCH_KV_OK;
}

static void fill(struct storm *storm)
{
    uint64_t count = storm->job->keys.count;

    storm->absent = calloc(count / 64 + 1, sizeof(*storm->absent));
    if (storm->absent == NULL) {
        bench_kv_die(storm->job->row->name, "no memory for a bit a key");
    }
    bench_kv_meter_skip(&storm->job->meter);
    for (uint64_t i = 0; i < count; i++) {
        uint64_t number = bench_kv_shuffle(&storm->job->keys, i);
        storm->absent[number / 64] |= (uint64_t)!write_one(storm, number) << number % 64;
    }
}

static void overwrite(struct storm *storm)
{
    uint64_t count = size_max_u64(storm->job->keys.count / OVERWRITE_PARTS, 1);

    bench_kv_meter_skip(&storm->job->meter);
    for (uint64_t i = 0; i < count; i++) {
        (void)write_one(storm, bench_kv_shuffle(&storm->job->keys, i));
    }
}

static bool may_be_absent(const struct storm *storm, uint64_t number)
{
    return (storm->absent[number / 64] >> number % 64 & 1) != 0;
}

/* A key that is not there though its put was taken is no refusal but a loss. */
static void read_one(struct storm *storm, uint64_t number)
{
    struct bench_kv_job *job = storm->job;
    char key[BENCH_KV_KEY_BYTES];
    struct bench_kv_hold hold;
    uint64_t began_ns = bench_kv_now_ns();
    enum bench_kv_answer answer = job->ops->get(job->store, bench_kv_key(number, key), &hold);

    storm->read_count[READER]++;
    if (answer == BENCH_KV_OK) {
        bench_kv_value_check(&job->keys, number, hold.bytes);
        job->ops->release(&hold);
    } else if (answer == BENCH_KV_REFUSED) {
        storm->refused_read_count[READER]++;
    } else if (!may_be_absent(storm, number)) {
        bench_kv_die(job->row->name, "a key is lost");
    }
    bench_histogram_add(&storm->reads, bench_kv_now_ns() - began_ns);
}

static void read_all(struct storm *storm)
{
    uint64_t count = storm->job->keys.count;

    for (uint64_t i = 0; !atomic_load(&storm->is_written); i++) {
        read_one(storm, bench_kv_shuffle(&storm->job->keys, (i + count / 2) % count));
    }
}

/* ---- iterators ------------------------------------------------------------------------------ */

/* Moves an iterator. Returns: whether it is at a key. */
static bool move(struct storm *storm, void *iterator, bool is_at, uint64_t *random)
{
    const struct bench_kv_ops *ops = storm->job->ops;
    char key[BENCH_KV_KEY_BYTES];

    if (!is_at || bench_random_below(random, 100) < SEEK_PERCENT) {
        uint64_t number = bench_random_below(random, (uint32_t)storm->job->keys.count);
        is_at = ops->seek(iterator, bench_kv_key(number, key));
    }
    for (uint32_t i = 0; i < NEXTS && is_at; i++) {
        is_at = ops->next(iterator);
    }
    storm->read_count[WALKER]++;
    if (!is_at && !ops->is_sound(iterator)) {
        storm->refused_read_count[WALKER]++;
    }
    return is_at;
}

static void walk_all(struct storm *storm)
{
    const struct bench_kv_ops *ops = storm->job->ops;
    void *iterators[ITERATORS];
    bool is_at[ITERATORS] = {false};
    uint64_t random = 1;

    for (uint32_t i = 0; i < ITERATORS; i++) {
        iterators[i] = ops->iterate(storm->job->store);
        storm->refused_read_count[WALKER] += iterators[i] == NULL ? 1 : 0;
    }
    for (uint32_t i = 0; !atomic_load(&storm->is_written); i = (i + 1) % ITERATORS) {
        if (iterators[i] != NULL) {
            is_at[i] = move(storm, iterators[i], is_at[i], &random);
        }
    }
    for (uint32_t i = 0; i < ITERATORS; i++) {
        if (iterators[i] != NULL) {
            ops->iterator_destroy(iterators[i]);
        }
    }
}

/* ---- the whole ------------------------------------------------------------------------------ */

static void compact_all(struct storm *storm)
{
    while (!atomic_load(&storm->is_written)) {
        /* One that is refused is asked for again, for memory comes free; not at once. */
        if (!storm->job->ops->compact(storm->job->store)) {
            (void)usleep(PAUSE_US);
        }
    }
}

static void play(struct bench_worker *worker, void *context)
{
    struct storm *storm = context;

    switch (worker->index) {
    case WRITER:
        overwrite(storm);
        atomic_store(&storm->is_written, true);
        break;
    case READER:
        read_all(storm);
        break;
    case WALKER:
        walk_all(storm);
        break;
    default:
        compact_all(storm);
        break;
    }
}

static void write_numbers(const struct storm *storm, uint64_t *numbers)
{
    uint64_t budget_bytes = storm->job->row->budget_bytes;
    uint64_t slack_bytes = size_max_u64(budget_bytes / SLACK_PARTS, SLACK_BYTES);

    numbers[BUDGET_BUDGET_BYTES] = budget_bytes;
    numbers[BUDGET_ALLOWED_BYTES] = budget_bytes + slack_bytes;
    numbers[BUDGET_RSS_BYTES] = bench_clock_peak_bytes();
    numbers[BUDGET_READS] = storm->read_count[READER] + storm->read_count[WALKER];
    numbers[BUDGET_REFUSED_READS] =
        storm->refused_read_count[READER] + storm->refused_read_count[WALKER];
    numbers[BUDGET_WRITES] = storm->write_count;
    numbers[BUDGET_REFUSED_WRITES] = storm->refused_write_count;
    numbers[BUDGET_P9999] = bench_histogram_quantile(&storm->reads, 9999);
    numbers[BUDGET_WORST] = storm->job->meter.latency.max;
}

void bench_kv_budget(struct bench_kv_job *job, uint64_t *numbers)
{
    static struct storm storm;
    struct bench_team_time time = {0};

    storm.job = job;
    bench_kv_job_open(job);
    bench_kv_meter_begin(&job->meter);
    fill(&storm);
    bench_team_run(ROLES, play, &storm, &time);
    numbers[BUDGET_WALL_NS] = bench_kv_now_ns() - job->meter.began_ns;
    numbers[BUDGET_CPU_NS] = bench_clock_cpu_ns() - job->meter.began_cpu_ns;
    write_numbers(&storm, numbers);
    free(storm.absent);
    bench_kv_job_close(job);
}
