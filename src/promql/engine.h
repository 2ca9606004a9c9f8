/*
 * Evaluation: a tree, a source and a time make a result.
 *
 *     struct promql_options options = {.source = &source, .account = account, .pool = pool,
 *                                      .grant_bytes = 64 << 20};
 *     struct promql_result result;
 *
 *     promql_query_range_text(&options, text, count, (struct promql_steps){start, end, 15000},
 *                             &result);
 *     if (result.error != PROMQL_ERROR_NONE) {
 *         fprintf(stderr, "%s\n", result.error_text);
 *     }
 *     for (size_t i = 0; i < result.series_count; i++) {
 *         print(&result.series[i]);
 *     }
 *     promql_result_fini(&result);
 *
 * Rules, orders and texts are those of Prometheus 3; `compat_2_42` turns to those of 2.42 where
 * they differ. A query uses no more than its grant, and ends soon after its deadline or its cancel
 * flag.
 */
#ifndef QUARRY_PROMQL_ENGINE_H
#define QUARRY_PROMQL_ENGINE_H

#include <promql/ast.h>
#include <promql/crew.h>
#include <promql/histogram.h>
#include <promql/memory.h>
#include <promql/source.h>

struct os;

/* A query that is watched while it runs: by any thread. Relaxed: figures, and a wish. */
struct promql_progress {
    _Atomic uint64_t samples; /* that its own thread has read, or was given */
    _Atomic uint64_t bytes;   /* charged now, but for what threads that help it have */
    _Atomic bool is_unwanted; /* it is to end, as by `cancel` */
};

/* What a query may use and how it is to be understood. Zero means the default where one is named.
 */
struct promql_options {
    const struct promql_source *source; /* borrowed for the call */
    struct quarry_account *account;     /* borrowed until the result ends */
    struct quarry_pool *pool;           /* of the account's owner; borrowed until then */
    struct os *os;                    /* whose clock; borrowed for the call; NULL: the machine's */
    uint64_t grant_bytes;             /* 0: 256 MiB; a quarter of it is for what is being read */
    uint64_t samples_max;             /* in memory at a time; 0: 50,000,000 */
    uint64_t points_max;              /* steps of a range query; 0: 11,000 */
    int64_t lookback_ms;              /* 0: 5 min */
    int64_t subquery_step_ms;         /* of a subquery that names none; 0: 1 min */
    uint64_t deadline_ns;             /* of os' monotonic clock; 0: none */
    const _Atomic bool *cancel;       /* the query is to end; borrowed for the call; NULL: never */
    struct promql_progress *progress; /* borrowed for the call; NULL: nobody watches */
    struct promql_crew *crew;         /* threads that help; borrowed for the call; NULL: none */
    uint32_t block_series;            /* that they take at a time; 0: by the number of steps */
    uint32_t depth_max;               /* of nested expressions; 0: 256 */
    bool delays_name_removal;         /* names go at the end of a query */
    bool uses_start_times;            /* rate and its like look at when counting began */
    bool has_type_and_unit;           /* __type__ and __unit__ go where __name__ goes */
    bool compat_2_42;
    /* For queries from text: what may be written. */
    bool allows_experimental_functions;
    bool allows_duration_expressions;
    bool allows_extended_selectors;
    bool allows_fill;
};

/* What went wrong, by Prometheus' errorType. */
enum promql_error {
    PROMQL_ERROR_NONE = 0,
    PROMQL_ERROR_BAD_DATA,  /* "bad_data": the text, the times */
    PROMQL_ERROR_EXECUTION, /* "execution" */
    PROMQL_ERROR_TIMEOUT,   /* "timeout" */
    PROMQL_ERROR_CANCELED,  /* "canceled" */
    PROMQL_ERROR_INTERNAL,  /* "internal": memory, the store */
};
/* Prometheus' word for it; "" for none. Borrowed for ever. */
const char *promql_error_name(enum promql_error error);

/* From start to end, both included, `step_ms` apart. */
struct promql_steps {
    int64_t start_ms, end_ms, step_ms;
};

/* A result's series: its labels, sorted by name, and its points in rising time. */
struct promql_series {
    const struct quarry_tsdb_label *labels; /* __name__ among them */
    size_t label_count;
    const int64_t *t_ms;
    const double *values;
    /* NULL: all are floats. Else point i is a histogram where histograms[i] is not NULL. */
    const struct promql_histogram *const *histograms;
    size_t count; /* 1 or more */
};

/* What it took. Peak samples are counted as Prometheus does: those of windows, and of results. */
struct promql_stats {
    uint64_t samples_total, samples_peak;
    uint64_t bytes_peak;
    uint64_t parse_ns, select_ns, eval_ns, sort_ns, total_ns;
};

#define PROMQL_ERROR_TEXT_BYTES 2048

/* The caller's storage; all that it points to is its own until promql_result_fini. */
struct promql_result {
    enum promql_error error;
    char error_text[PROMQL_ERROR_TEXT_BYTES]; /* cut there, behind a whole character */

    /* PROMQL_SCALAR: `scalar` and `t_ms`. PROMQL_STRING: `string` and `t_ms`. PROMQL_VECTOR: series
     * with one point each, in the order that sort and topk gave them. PROMQL_MATRIX: series; those
     * of a range query are sorted by labels, a scalar's has no labels. */
    enum promql_type type;
    double scalar;
    struct quarry_tsdb_slice string;
    int64_t t_ms;
    const struct promql_series *series;
    size_t series_count;

    /* Texts as Prometheus prints them, with their `(line:col)`; each once, in order. */
    const struct quarry_tsdb_slice *warnings, *infos;
    size_t warning_count, info_count;

    struct promql_stats stats;
    struct promql_memory memory; /* the result's */
};

/*
 * Evaluates a tree at a time, and at the times of steps.
 *
 * `options`, `text`: borrowed for the call; `text` is what the tree was parsed from: positions are
 * in it. `tree`: checked; borrowed for the call. `ret_result`: written always; end it with
 * promql_result_fini, also after an error.
 * Returns: whether there is no error. Errors: see enum promql_error.
 * Threads: any; options' source must bear it. Cost: some nanoseconds a sample of each window's
 * ends, and memory for the result; sums and their like over series need memory for their groups
 * alone.
 */
bool promql_query_instant(const struct promql_options *options, struct quarry_tsdb_slice text,
                          const struct promql_node *tree, int64_t t_ms,
                          struct promql_result *ret_result);
bool promql_query_range(const struct promql_options *options, struct quarry_tsdb_slice text,
                        const struct promql_node *tree, struct promql_steps steps,
                        struct promql_result *ret_result);

/* The same from text alone: parses it into the result's memory. */
bool promql_query_instant_text(const struct promql_options *options, struct quarry_tsdb_slice text,
                               int64_t t_ms, struct promql_result *ret_result);
bool promql_query_range_text(const struct promql_options *options, struct quarry_tsdb_slice text,
                             struct promql_steps steps, struct promql_result *ret_result);

/* Gives back all that a result has. Cost: O(chunks of memory). */
void promql_result_fini(struct promql_result *result);

#endif
