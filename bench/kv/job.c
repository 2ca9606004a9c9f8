/*
 * The measuring side of `quarry bench kv`: one row of one store, in a process of its own.
 *
 *   quarry-bench-kv[-rocksdb|-leveldb] ROW DIRECTORY SIZE…   → BENCH_KV_NUMBERS numbers, by the
 *                                                              row's kind
 *
 *   DIRECTORY/quarry.filled   what rows that only read share: made by the first of them, in a
 *                             process of its own, so that its memory is in nobody's figures
 *   DIRECTORY/quarry.work     the row's own, which begins empty or as a copy of the other
 */
#include <bench/kv/job.h>

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <base/base.h>

#include <bench/child.h>
#include <bench/kv/files.h>

/* A store has room for more than its data in its cache, and eight memtables of it on disk. */
#define CACHE_TIMES       2u
#define MEMTABLES         8u
#define MEMTABLE_MIN      Q_MIB(1)
#define MEMTABLE_MAX      Q_MIB(64)
#define LEVEL1_FILES      4u
#define FILE_MAX_BYTES    Q_MIB(32)
#define OPEN_FILES_MAX    1000u
#define BUDGET_MEMTABLES  8u
#define BUDGET_FILE_PARTS 16u

void bench_kv_die(const char *what, const char *why)
{
    (void)fprintf(stderr, "quarry bench kv: %s: %s\n", what, why);
    _exit(1);
}

/* ---- what a store is opened with ------------------------------------------------------------ */

static void configure(struct bench_kv_job *job)
{
    struct bench_kv_config *config = &job->config;
    uint64_t data_bytes = job->keys.count * (BENCH_KV_KEY_BYTES + job->sizes.value_bytes);
    uint64_t budget_bytes = job->row->budget_bytes;

    *config = (struct bench_kv_config){
        .path = job->work_path,
        .cache_bytes = CACHE_TIMES * size_max_u64(data_bytes, MEMTABLE_MIN),
        .write_buffer_bytes =
            size_min_u64(size_max_u64(data_bytes / MEMTABLES, MEMTABLE_MIN), MEMTABLE_MAX),
        .budget_bytes = budget_bytes,
        .open_files_max = OPEN_FILES_MAX,
        .compression = (enum bench_kv_compression)job->sizes.compression,
    };
    config->file_bytes = size_min_u64(config->write_buffer_bytes, FILE_MAX_BYTES);
    if (budget_bytes > 0) {
        config->write_buffer_bytes = budget_bytes / BUDGET_MEMTABLES;
        config->cache_bytes = budget_bytes - 2 * config->write_buffer_bytes;
        config->file_bytes = size_min_u64(budget_bytes / BUDGET_FILE_PARTS, FILE_MAX_BYTES);
    }
    if (job->row->kind == BENCH_KV_FILES) {
        config->write_buffer_bytes = BENCH_KV_SMALL_FILE_BYTES;
        config->file_bytes = BENCH_KV_SMALL_FILE_BYTES;
    }
    config->level1_bytes = LEVEL1_FILES * config->file_bytes;
}

/* How many keys there are in the row. */
static uint64_t key_count_of(const struct bench_kv_job *job)
{
    uint64_t pair_bytes = BENCH_KV_KEY_BYTES + job->sizes.value_bytes;

    switch (job->row->kind) {
    case BENCH_KV_BUDGET:
        return size_max_u64(job->sizes.database_bytes / pair_bytes, 1);
    case BENCH_KV_RECOVER:
        return size_max_u64(job->sizes.log_bytes / pair_bytes, 1);
    case BENCH_KV_FILES:
        return size_max_u64(job->sizes.file_count * BENCH_KV_SMALL_FILE_BYTES / pair_bytes, 1);
    case BENCH_KV_WORK:
    case BENCH_KV_KIND_COUNT:
    default:
        return job->sizes.key_count;
    }
}

/* ---- stores --------------------------------------------------------------------------------- */

void bench_kv_job_apart(struct bench_kv_job *job, void (*fill)(struct bench_kv_job *job))
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        fill(job);
        _exit(0);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) ||
        WEXITSTATUS(status) != 0) {
        bench_kv_die(job->row->name, "filling has failed");
    }
}

/* All keys, compacted. */
static void fill_whole(struct bench_kv_job *job)
{
    job->store = job->ops->open(&job->config);
    for (uint64_t i = 0; i < job->keys.count; i++) {
        bench_kv_job_put(job, bench_kv_shuffle(&job->keys, i), false);
    }
    if (!job->ops->compact(job->store)) {
        bench_kv_die(job->row->name, "compacting has failed");
    }
    job->ops->close(job->store);
}

/* Makes the store that rows share, if none of them has. */
static void need_filled(struct bench_kv_job *job)
{
    if (access(job->filled_path, F_OK) == 0) {
        return;
    }
    bench_kv_files_remove(job->work_path);
    bench_kv_job_apart(job, fill_whole);
    if (rename(job->work_path, job->filled_path) != 0) {
        bench_kv_die(job->filled_path, strerror(errno));
    }
}

void bench_kv_job_open(struct bench_kv_job *job)
{
    if (job->row->start != BENCH_KV_EMPTY) {
        need_filled(job);
    }
    bench_kv_files_remove(job->work_path);
    if (job->row->start == BENCH_KV_COPY) {
        bench_kv_files_copy(job->filled_path, job->work_path);
    }
    if (job->row->start == BENCH_KV_FILLED) {
        job->config.path = job->filled_path;
    }
    job->store = job->ops->open(&job->config);
}

void bench_kv_job_close(struct bench_kv_job *job)
{
    job->ops->close(job->store);
    job->store = NULL;
    bench_kv_files_remove(job->work_path);
}

/* ---- what rows do again and again ----------------------------------------------------------- */

uint64_t bench_kv_job_operations(const struct bench_kv_job *job)
{
    return job->sizes.step_count > 0 ? job->sizes.step_count
                                     : size_max_u64(job->keys.count / job->row->key_part, 1);
}

void bench_kv_job_put(struct bench_kv_job *job, uint64_t number, bool is_synced)
{
    char key[BENCH_KV_KEY_BYTES];
    char value[BENCH_KV_VALUE_BYTES];

    if (job->ops->put(job->store, bench_kv_key(number, key),
                      bench_kv_value(&job->keys, number, value), is_synced) != BENCH_KV_OK) {
        bench_kv_die(job->row->name, "a write was refused");
    }
}

void bench_kv_job_get(struct bench_kv_job *job, uint64_t number)
{
    char key[BENCH_KV_KEY_BYTES];
    struct bench_kv_hold hold;

    if (job->ops->get(job->store, bench_kv_key(number, key), &hold) != BENCH_KV_OK) {
        bench_kv_die(job->row->name, "a key that was written cannot be read");
    }
    bench_kv_value_check(&job->keys, number, hold.bytes);
    job->ops->release(&hold);
}

/* ---- the program ---------------------------------------------------------------------------- */

/* Reads the line. Returns: whether it makes sense. */
static bool parse(int argc, char **argv, struct bench_kv_job *job)
{
    uint64_t sizes[BENCH_KV_SIZES];

    if (argc != 3 + (int)BENCH_KV_SIZES) {
        return false;
    }
    for (size_t i = 0; i < BENCH_KV_SIZES; i++) {
        if (!bench_child_numbers(argv[3 + i], &sizes[i], 1)) {
            return false;
        }
    }
    memcpy(&job->sizes, sizes, sizeof sizes);
    job->row = bench_kv_row_find(argv[1]);
    (void)snprintf(job->work_path, sizeof job->work_path, "%s/%s.work", argv[2], job->ops->name);
    (void)snprintf(job->filled_path, sizeof job->filled_path, "%s/%s.filled", argv[2],
                   job->ops->name);
    return job->row != NULL && strlen(argv[2]) < BENCH_KV_PATH_BYTES / 2 &&
           job->sizes.key_count >= 1 && job->sizes.key_count <= BENCH_KV_KEYS_MAX &&
           job->sizes.database_bytes <= BENCH_KV_BYTES_MAX &&
           job->sizes.log_bytes <= BENCH_KV_BYTES_MAX &&
           job->sizes.file_count <= BENCH_KV_FILES_MAX &&
           job->sizes.value_bytes >= sizeof(uint64_t) &&
           job->sizes.value_bytes <= BENCH_KV_VALUE_BYTES &&
           job->sizes.compression < BENCH_KV_COMPRESSION_COUNT;
}

int bench_kv_child(const struct bench_kv_ops *ops, int argc, char **argv)
{
    static struct bench_kv_job job;
    uint64_t numbers[BENCH_KV_NUMBERS] = {0};

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    job.ops = ops;
    if (!parse(argc, argv, &job)) {
        (void)fputs("quarry-bench-kv is run by `quarry bench kv`; see its help\n", stderr);
        return 2;
    }
    bench_kv_keys_init(&job.keys, key_count_of(&job), (uint32_t)job.sizes.value_bytes);
    configure(&job);
    job.row->run(&job, numbers);
    bench_kv_keys_fini(&job.keys);
    for (size_t i = 0; i < BENCH_KV_NUMBERS; i++) {
        (void)printf("%" PRIu64 "%c", numbers[i], i + 1 < BENCH_KV_NUMBERS ? ' ' : '\n');
    }
    return fflush(stdout) == 0 ? 0 : 1;
}
