/*
 * The story of blocks: a cache of blocks whose sizes and keys change every ten minutes of an hour,
 * compressed; resident memory against the budget, and leaks that were planted and told of.
 *
 * The loop is churn.c's, in quarry-bench-child and in quarry-bench-rocksdb, one after the other.
 */
#include <bench/stories/story.h>

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <base/base.h>

#include <bench/child.h>
#include <bench/stories/looks.h>

#define SECONDS        60u
#define SECONDS_QUICK  1u
#define CAPACITY       Q_MIB(256)
#define CAPACITY_QUICK Q_MIB(8)
#define HEAD_NUMBERS   5u /* steps, hits, CPU, planted, told of */
#define NUMBER_BYTES   21u

static const struct stories_column columns[] = {
    {"rss_per_budget_mean", "resident ÷ budget, second half, mean", 3, true},
    {"rss_per_budget_worst", "worst", 3, true},
    {"cpu_ns_per_step", "CPU of a lookup, misses filled, ns", 0, true},
    {"hit_percent", "hits, %", 1, false},
    {"planted", "leaks planted", 0, false},
    {"found", "told of at the end", 0, false},
};

/* Who is asked; `mode` is the driver's word in the peers' program. */
struct keeper {
    const char *name;
    const char *mode; /* NULL: Quarry's */
    enum stories_ink ink;
};

static const struct keeper keepers[] = {
    {"quarry", NULL, STORIES_QUARRY},
    {"rocksdb, LRU", "lru", STORIES_PEER},
    {"rocksdb, HyperClock", "hyperclock", STORIES_PEER + 1},
};

struct sizes {
    uint64_t seconds, capacity_bytes;
};

static const char *peers_program(void)
{
    static char path[BENCH_CHILD_PATH_BYTES];

    bench_child_beside("libexec/quarry/quarry-bench-rocksdb", path);
    return path;
}

/* Runs a child. Returns: false when it failed. */
static bool churn(const struct keeper *keeper, const struct sizes *sizes,
                  struct stories_looks *ret_looks)
{
    char seconds[NUMBER_BYTES];
    char capacity[NUMBER_BYTES];
    const char *own[] = {bench_child_program(), "stories", "churn", seconds, capacity, NULL};
    const char *peers[] = {peers_program(), keeper->mode, "churn", seconds, capacity, NULL};
    struct bench_child child;
    struct rusage usage;

    (void)snprintf(seconds, sizeof seconds, "%" PRIu64, sizes->seconds);
    (void)snprintf(capacity, sizeof capacity, "%" PRIu64, sizes->capacity_bytes);
    if (!bench_child_start(keeper->mode == NULL ? own : peers, NULL, false, &child)) {
        return false;
    }
    bool is_read = stories_looks_read(child.fd, HEAD_NUMBERS, ret_looks);
    return bench_child_wait(&child, &usage) == 0 && is_read && ret_looks->head[0] > 0;
}

static void note_keeper(struct stories_result *result, struct stories_row *row,
                        const struct keeper *keeper, const struct sizes *sizes,
                        const struct stories_looks *looks)
{
    struct stories_line *line = stories_plot_line(&result->plot, keeper->name, keeper->ink);
    double budget_mib = (double)sizes->capacity_bytes / (double)Q_MIB(1);
    double step_count = (double)looks->head[0];
    double sum = 0;
    double worst = 0;
    size_t half = looks->count / 2;

    for (size_t i = 0; i < looks->count; i++) {
        stories_line_add(line, 60 * looks->seconds[i] / (double)sizes->seconds, looks->mib[i]);
        worst = fmax(worst, looks->mib[i]);
        sum += i < half ? 0 : looks->mib[i];
    }
    row->figure[0] = sum / (double)(looks->count - half) / budget_mib;
    row->figure[1] = worst / budget_mib;
    row->figure[2] = (double)looks->head[2] / step_count;
    row->figure[3] = 100 * (double)looks->head[1] / step_count;
    row->figure[4] = (double)looks->head[3];
    row->figure[5] = keeper->mode == NULL ? (double)looks->head[4] : NAN;
}

static void draw_budget(struct stories_plot *plot, const struct sizes *sizes)
{
    struct stories_line *line = stories_plot_line(plot, "budget", STORIES_INKS - 1);

    line->is_dashed = true;
    stories_line_add(line, 0, (double)sizes->capacity_bytes / (double)Q_MIB(1));
    stories_line_add(line, 60, (double)sizes->capacity_bytes / (double)Q_MIB(1));
}

bool stories_blocks(const struct stories_options *options, struct stories_result *result)
{
    static struct stories_looks looks;
    uint64_t usual_seconds = options->is_quick ? SECONDS_QUICK : SECONDS;
    struct sizes sizes = {.seconds = options->seconds != 0 ? options->seconds : usual_seconds,
                          .capacity_bytes = (options->is_quick ? CAPACITY_QUICK : CAPACITY) *
                                            options->percent / 100};
    bool is_told = true;

    sizes.capacity_bytes = size_max_u64(sizes.capacity_bytes, CAPACITY_QUICK);
    result->column = columns;
    result->column_count = sizeof columns / sizeof columns[0];
    result->plot.title = "A cache of blocks whose sizes and keys change: resident memory";
    result->plot.x_title = "time, minutes of a compressed hour";
    result->plot.y_title = "resident, MiB";
    for (size_t i = 0; i < sizeof keepers / sizeof keepers[0]; i++) {
        struct stories_row *row = stories_row_add(result, keepers[i].name, i == 0);
        if (keepers[i].mode != NULL && access(peers_program(), X_OK) != 0) {
            row->absent_reason = "was not built: no librocksdb-dev";
        } else if (!churn(&keepers[i], &sizes, &looks)) {
            row->absent_reason = "its measurement failed";
            is_told = false;
        } else {
            note_keeper(result, row, &keepers[i], &sizes, &looks);
        }
    }
    draw_budget(&result->plot, &sizes);
    stories_note(result,
                 "A budget of %" PRIu64 " MiB, an hour in %" PRIu64
                 " s; one acquisition in 32 is recorded in Quarry's leak ledger, a release "
                 "build records one in 1,024.",
                 sizes.capacity_bytes >> 20, sizes.seconds);
    return is_told;
}
