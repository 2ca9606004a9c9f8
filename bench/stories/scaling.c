/*
 * The story of scaling: 1 KiB allocations by threads, with page caches and without, measured as far
 * as there are processors, and a model of the lane's lock beyond.
 *
 * The model is the machine repairman's: n threads go round between work of their own, Z, and one
 * queue, the lane's lock, where a step spends D. Exact mean value analysis:
 *
 *   R(n) = D(n) · (1 + Q(n−1))      time at the lock, waiting included
 *   X(n) = n ÷ (Z + R(n))           steps per nanosecond
 *   Q(n) = X(n) · R(n)              threads at the lock
 *
 * What it is fed with is measured with one thread: Z + D is a step; D without caches is what a step
 * costs more than one that takes no page (all of it as if under the lock, which is hard on Quarry);
 * with caches it is that, times the share of steps that reach the tree at all, by the lane's count.
 * With n threads the lock was another processor's with probability 1 − 1/n, and then LINES lines
 * are handed over at each of its visits, whose cost two threads measure that pass one line between
 * them.
 *
 * With 2 threads the model is checked against what was measured. It knows nothing of sleeping in
 * the kernel, sockets or shared caches.
 */
#include <bench/stories/story.h>

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include <base/base.h>

#include <bench/child.h>
#include <bench/machine.h>
#include <bench/malloc/worker.h>

#define ROUNDS          7u
#define ROUNDS_QUICK    1u
#define STEPS           UINT64_C(2000000)
#define STEPS_QUICK     UINT64_C(20000)
#define HANDOVER_STEPS  4000u /* a slice of the processor's time holds them */
#define HANDOVER_ROUNDS 15u
#define CELLS           8.0 /* of 1 KiB in a page */
#define VISITS          2.0 /* of the lock for a page: to take it, to free it */
#define LINES           2.0 /* the lock's, and one of what it guards */
#define MODEL_THREADS   256u
#define NUMBER_BYTES    21u

static const struct stories_column columns[] = {
    {"cache_mallocs_per_us", "page caches, allocations per µs", 1, false},
    {"tree_mallocs_per_us", "none, allocations per µs", 1, false},
    {"cache_model_per_us", "page caches, model", 1, false},
    {"tree_model_per_us", "none, model", 1, false},
};

/* What is under the clock. */
struct timed {
    double step_ns; /* wall time of each thread */
    double tree_share;
};

struct model {
    double own_ns, lock_ns; /* Z and D(1) */
    double handover_ns;     /* of a step whose lock was another's */
};

/* One child. Returns: false when it failed. */
static bool carve_once(const char *mode, uint32_t thread_count, uint64_t step_count,
                       struct timed *ret_timed)
{
    char threads[NUMBER_BYTES];
    char steps[NUMBER_BYTES];
    char output[BENCH_CHILD_OUTPUT_BYTES];
    uint64_t n[2];
    const char *argv[] = {bench_child_program(), "stories", "carve", mode, threads, steps, NULL};

    (void)snprintf(threads, sizeof threads, "%" PRIu32, thread_count);
    (void)snprintf(steps, sizeof steps, "%" PRIu64, step_count);
    if (bench_child_run(argv, NULL, false, output) != 0 || !bench_child_numbers(output, n, 2) ||
        n[0] == 0) {
        return false;
    }
    *ret_timed = (struct timed){(double)n[0] / (double)step_count,
                                (double)n[1] / (double)step_count / (double)thread_count};
    return true;
}

/* The least of some rounds: what others do on the machine only adds. Returns: false when one
 * failed.
 */
static bool carve_rounds(const char *mode, uint32_t thread_count, uint64_t step_count,
                         size_t round_count, struct timed *ret_timed)
{
    *ret_timed = (struct timed){.step_ns = INFINITY};
    for (size_t round = 0; round < round_count; round++) {
        struct timed timed;
        if (!carve_once(mode, thread_count, step_count, &timed)) {
            return false;
        }
        if (timed.step_ns < ret_timed->step_ns) {
            *ret_timed = timed;
        }
    }
    return true;
}

static bool carve(const struct stories_options *options, const char *mode, uint32_t thread_count,
                  struct timed *ret_timed)
{
    uint64_t step_count = (options->is_quick ? STEPS_QUICK : STEPS) * options->percent / 100;

    return carve_rounds(mode, thread_count, size_max_u64(step_count, 1),
                        options->is_quick ? ROUNDS_QUICK : ROUNDS, ret_timed);
}

/* ---- the model ------------------------------------------------------------------------------ */

/* Steps per nanosecond of n = 1 … `thread_count` threads. */
static void model_run(const struct model *model, uint32_t thread_count, double *ret_rate)
{
    double queue = 0;

    for (uint32_t n = 1; n <= thread_count; n++) {
        double lock_ns = model->lock_ns + model->handover_ns * (1 - 1.0 / n);
        double at_lock_ns = lock_ns * (1 + queue);
        ret_rate[n - 1] = n / (model->own_ns + at_lock_ns);
        queue = ret_rate[n - 1] * at_lock_ns;
    }
}

/* `share`: of steps that go to the tree. */
static struct model model_of(double step_ns, double tree_lock_ns, double share, double handover_ns)
{
    double lock_ns = fmin(tree_lock_ns * share, step_ns);

    return (struct model){.own_ns = step_ns - lock_ns,
                          .lock_ns = lock_ns,
                          .handover_ns = VISITS * LINES * handover_ns * share};
}

/* Draws each doubling. */
static void draw_model(struct stories_plot *plot, const char *name, enum stories_ink ink,
                       const double *rate)
{
    struct stories_line *line = stories_plot_line(plot, name, ink);

    line->is_dashed = true;
    for (uint32_t n = 1; n <= MODEL_THREADS; n *= 2) {
        stories_line_add(line, n, rate[n - 1] * CELLS * 1000);
    }
}

/* ---- the sitting ---------------------------------------------------------------------------- */

/* Everything that is measured. */
struct scaling {
    uint32_t measured_threads; /* 1 … */
    struct timed cache[BENCH_WORKERS_MAX], tree[BENCH_WORKERS_MAX];
    struct timed bare, handover;
    double cache_rate[MODEL_THREADS], tree_rate[MODEL_THREADS]; /* by the model */
};

static bool measure(struct scaling *scaling, const struct stories_options *options)
{
    for (uint32_t n = 1; n <= scaling->measured_threads; n *= 2) {
        if (!carve(options, "cache", n, &scaling->cache[n - 1]) ||
            !carve(options, "tree", n, &scaling->tree[n - 1])) {
            return false;
        }
    }
    return carve(options, "bare", 1, &scaling->bare) &&
           carve_rounds("handover", 2, HANDOVER_STEPS, HANDOVER_ROUNDS, &scaling->handover);
}

static double per_us(const struct timed *timed, uint32_t thread_count)
{
    return thread_count * CELLS * 1000 / timed->step_ns;
}

static void calculate(struct scaling *scaling)
{
    double tree_lock_ns = fmax(scaling->tree[0].step_ns - scaling->bare.step_ns, 0);
    double handover_ns = scaling->handover.step_ns / 2; /* a step of both is two of them */
    struct model cache = model_of(scaling->cache[0].step_ns, tree_lock_ns,
                                  fmin(scaling->cache[0].tree_share, 1), handover_ns);
    struct model tree = model_of(scaling->tree[0].step_ns, tree_lock_ns, 1, handover_ns);

    model_run(&cache, MODEL_THREADS, scaling->cache_rate);
    model_run(&tree, MODEL_THREADS, scaling->tree_rate);
}

static void add_rows(const struct scaling *scaling, struct stories_result *result)
{
    for (uint32_t n = 1; n <= MODEL_THREADS; n *= 2) {
        char name[STORIES_NAME_BYTES];
        (void)snprintf(name, sizeof name, "%" PRIu32 " thread%s", n, n == 1 ? "" : "s");
        struct stories_row *row = stories_row_add(result, name, true);
        if (n <= scaling->measured_threads) {
            row->figure[0] = per_us(&scaling->cache[n - 1], n);
            row->figure[1] = per_us(&scaling->tree[n - 1], n);
        }
        row->figure[2] = scaling->cache_rate[n - 1] * CELLS * 1000;
        row->figure[3] = scaling->tree_rate[n - 1] * CELLS * 1000;
    }
}

static void draw(const struct scaling *scaling, struct stories_plot *plot)
{
    struct stories_line *cache = stories_plot_line(plot, "page caches, measured", STORIES_QUARRY);
    struct stories_line *tree = stories_plot_line(plot, "none, measured", STORIES_QUARRY_TOO);

    plot->title = "Allocations of 1 KiB by threads, with page caches and without";
    plot->x_title = "threads, logarithmic; dashed: a model of the lock";
    plot->y_title = "allocations per microsecond, logarithmic";
    plot->x_scale = STORIES_LOG;
    plot->y_scale = STORIES_LOG;
    for (uint32_t n = 1; n <= scaling->measured_threads; n *= 2) {
        stories_line_add(cache, n, per_us(&scaling->cache[n - 1], n));
        stories_line_add(tree, n, per_us(&scaling->tree[n - 1], n));
    }
    draw_model(plot, "page caches, model", STORIES_QUARRY, scaling->cache_rate);
    draw_model(plot, "none, model", STORIES_QUARRY_TOO, scaling->tree_rate);
}

/* How far the model is from what was measured with two threads. */
static void add_notes(const struct scaling *scaling, struct stories_result *result)
{
    stories_note(result,
                 "One thread, ns for a page of 8 allocations: page caches %.1f, none %.1f, no page "
                 "at all %.1f. A line handed over: %.0f ns. Steps with caches that reach the tree: "
                 "%.2f %%.",
                 scaling->cache[0].step_ns, scaling->tree[0].step_ns, scaling->bare.step_ns,
                 scaling->handover.step_ns / 2, 100 * scaling->cache[0].tree_share);
    if (scaling->measured_threads < 2) {
        stories_note(result, "One processor: the model is not checked.");
        return;
    }
    stories_note(result, "Model ÷ measured with 2 threads: page caches %.2f, none %.2f.",
                 scaling->cache_rate[1] * CELLS * 1000 / per_us(&scaling->cache[1], 2),
                 scaling->tree_rate[1] * CELLS * 1000 / per_us(&scaling->tree[1], 2));
    if (scaling->tree[1].step_ns > 2 * scaling->tree[0].step_ns) {
        stories_note(result,
                     "Without page caches two threads do less than one, **a loss**: %.2f times.",
                     2 * scaling->tree[0].step_ns / scaling->tree[1].step_ns);
    }
}

bool stories_scaling(const struct stories_options *options, struct stories_result *result)
{
    static struct scaling scaling;

    scaling = (struct scaling){0};
    scaling.measured_threads =
        (uint32_t)size_min_u64(bench_machine_read().cpu_count, BENCH_WORKERS_MAX);
    result->column = columns;
    result->column_count = sizeof columns / sizeof columns[0];
    if (!measure(&scaling, options)) {
        stories_row_add(result, "quarry", true)->absent_reason = "its measurement failed";
        return false;
    }
    calculate(&scaling);
    add_rows(&scaling, result);
    draw(&scaling, &result->plot);
    add_notes(&scaling, result);
    return true;
}
