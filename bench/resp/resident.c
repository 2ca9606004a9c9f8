/*
 * Memory for 10^7 keys, or as many as are asked for: Quarry in a budget of 256 MiB for everything,
 * redis with all that it wants.
 *
 *   sets of every key │ until the server rests │ 10^5 gets of any key, each a hit │ memory, disk
 *
 * The gets come before the look at memory: what a server needs to answer is part of it. Keys are
 * wanted alike, so that a cache of blocks is of little use and each get reads the disk; the
 * kernel's page cache is nobody's resident memory, and is told by the machine's size alone.
 */
#include <bench/cache/rows.h>

#include <ftw.h>

#include <base/base.h>

#include <bench/cache/population.h>
#include <bench/malloc/worker.h>

#define KEYS_FULL    10000000u
#define KEYS_QUICK   100000u
#define GETS_FULL    100000u
#define GETS_QUICK   2000u
#define BUDGET_BYTES Q_MIB(256)
#define PIPELINE     16u
#define SEED         UINT64_C(0x51c6a2e3d07f4b89)

struct reading {
    const struct bench_load_row *row;
    uint32_t key_count;
    uint64_t left;
    uint64_t hits;
    uint64_t random;
};

static bool reading_next(void *context, struct bench_link *link)
{
    struct reading *reading = context;

    if (reading->left == 0) {
        return false;
    }
    reading->left--;
    uint64_t number = bench_random_below(&reading->random, reading->key_count);
    struct bench_item item = bench_population_item(reading->row, number);
    bench_link_get(link, &item, 0);
    return true;
}

static void reading_answered(void *context, struct bench_link *link,
                             const struct bench_awaited *awaited, const struct bench_answer *answer)
{
    struct reading *reading = context;

    (void)link;
    (void)awaited;
    reading->hits += answer->reply == BENCH_REPLY_HIT;
}

static uint64_t disk_bytes;

static int add_file(const char *path, const struct stat *status, int kind, struct FTW *at)
{
    (void)path;
    (void)at;
    disk_bytes += kind == FTW_F ? (uint64_t)status->st_blocks * 512 : 0;
    return 0;
}

/* Of all files below a directory. */
static uint64_t bytes_below(const char *path)
{
    disk_bytes = 0;
    if (nftw(path, add_file, 16, FTW_PHYS) != 0) {
        bench_worker_die("the server's files cannot be walked over");
    }
    return disk_bytes;
}

/* Stores all keys and lets the server rest. */
static void store_all(const struct bench_server *server, struct bench_links *links,
                      const struct bench_load_row *row, uint64_t *numbers)
{
    uint64_t before_ns = bench_server_cpu_ns(server);

    bench_population_fill(links, row, numbers[RESIDENT_ITEMS]);
    bench_server_settle(server);
    numbers[RESIDENT_SETS_CPU_NS] = bench_server_cpu_ns(server) - before_ns;
}

/* Returns: how many gets were misses. */
static uint64_t read_some(const struct bench_server *server, struct bench_links *links,
                          const struct bench_load_row *row, uint64_t *numbers)
{
    struct reading reading = {.row = row,
                              .key_count = (uint32_t)numbers[RESIDENT_ITEMS],
                              .left = numbers[RESIDENT_GETS],
                              .random = SEED};
    struct bench_loop loop = {PIPELINE, reading_next, reading_answered, &reading};
    uint64_t before_ns = bench_server_cpu_ns(server);

    bench_links_run(links, &loop);
    numbers[RESIDENT_GETS_CPU_NS] = bench_server_cpu_ns(server) - before_ns;
    return numbers[RESIDENT_GETS] - reading.hits;
}

bool bench_load_resident(const struct bench_load_job *job, uint64_t *ret_numbers)
{
    struct bench_server_options options = {
        .kind = job->kind,
        .quarry = job->quarry,
        .memory_bytes = BUDGET_BYTES,
        .store = job->row->store,
        .parent = job->parent,
    };
    struct bench_server server;
    struct bench_links links;

    bench_server_pin_client();
    if (!bench_server_start(&options, &server)) {
        return false;
    }
    ret_numbers[RESIDENT_ITEMS] = job->is_quick ? KEYS_QUICK : KEYS_FULL;
    if (job->given > 0) {
        ret_numbers[RESIDENT_ITEMS] = job->given;
    }
    ret_numbers[RESIDENT_GETS] = job->is_quick ? GETS_QUICK : GETS_FULL;
    bench_links_open(&links, &server, BENCH_POPULATION_LINKS);
    store_all(&server, &links, job->row, ret_numbers);
    uint64_t wrong_count = read_some(&server, &links, job->row, ret_numbers);
    ret_numbers[RESIDENT_BYTES] = bench_server_rss_bytes(&server);
    ret_numbers[RESIDENT_PEAK_BYTES] = bench_server_peak_bytes(&server);
    ret_numbers[RESIDENT_LIMIT_BYTES] =
        job->kind == BENCH_SERVER_QUARRY ? bench_server_limit_bytes(&options) : 0;
    ret_numbers[RESIDENT_DISK_BYTES] = bytes_below(server.directory.path);
    wrong_count += links.wrong_count + links.refused_count;
    bench_links_close(&links);
    bench_server_stop(&server);
    return bench_load_is_right(job, wrong_count);
}
