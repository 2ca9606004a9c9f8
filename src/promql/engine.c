/*
 * Queries: from options, a tree and a time to a result.
 *
 *     grant ┬ 3/4  the result's memory: labels, rows, what is collected on the way
 *           └ 1/4  scratch: the samples of the series that is being read
 *
 * The result's memory is given back when the result ends, scratch memory and all sets of series
 * when evaluation does. Labels are copied into the result at the very end, so that no view of the
 * store outlives the query.
 */
#include <promql/eval.h>

#include <promql/function.h>
#include <promql/notes.h>
#include <promql/once.h>
#include <promql/parallel.h>
#include <promql/parse.h>
#include <promql/result.h>
#include <promql/select.h>

#include <os/os.h>

#include <string.h>

#define GRANT_BYTES_DEFAULT Q_MIB(256)
#define SAMPLES_MAX_DEFAULT UINT64_C(50000000)
#define POINTS_MAX_DEFAULT  UINT64_C(11000)
#define LOOKBACK_MS_DEFAULT INT64_C(300000)
#define SUBQUERY_MS_DEFAULT INT64_C(60000)
#define DEPTH_MAX_DEFAULT   256u

static struct promql_options with_defaults(const struct promql_options *given)
{
    struct promql_options options = *given;

    options.grant_bytes = options.grant_bytes == 0 ? GRANT_BYTES_DEFAULT : options.grant_bytes;
    options.samples_max = options.samples_max == 0 ? SAMPLES_MAX_DEFAULT : options.samples_max;
    options.points_max = options.points_max == 0 ? POINTS_MAX_DEFAULT : options.points_max;
    options.lookback_ms = options.lookback_ms == 0 ? LOOKBACK_MS_DEFAULT : options.lookback_ms;
    options.subquery_step_ms =
        options.subquery_step_ms == 0 ? SUBQUERY_MS_DEFAULT : options.subquery_step_ms;
    options.depth_max = options.depth_max == 0 ? DEPTH_MAX_DEFAULT : options.depth_max;
    options.os = options.os == NULL ? os_real() : options.os;
    return options;
}

static void begin_result(const struct promql_options *options, struct promql_result *result)
{
    *result = (struct promql_result){.error = PROMQL_ERROR_NONE};
    promql_memory_init(&result->memory, options->account, options->pool,
                       options->grant_bytes - options->grant_bytes / 4);
}

/* ---- one evaluation ------------------------------------------------------------------------- */

/* A query's whole value, written to its result. */
static bool evaluate(struct eval *eval)
{
    const struct promql_node *root = eval_unwrap(eval->root);
    uint64_t count = eval->is_range ? (uint64_t)(eval->steps.end_ms - eval->steps.start_ms) /
                                              (uint64_t)eval->steps.step_ms +
                                          1
                                    : 1;
    struct eval_frame frame = {
        .start_ms = eval->steps.start_ms, .step_ms = eval->steps.step_ms, .count = (uint32_t)count};

    switch (root->type) {
    case PROMQL_SCALAR: {
        const double *values = eval_scalar(eval, &frame, root);
        return values != NULL && eval_give_scalars(eval, &frame, values);
    }
    case PROMQL_STRING:
        return eval_give_string(eval, root->text.value);
    case PROMQL_VECTOR: {
        struct eval_matrix matrix;
        return eval_matrix_of(eval, &frame, root, &matrix) &&
               eval_give_matrix(eval, &frame, &matrix);
    }
    case PROMQL_MATRIX:
        return eval_give_ranges(eval, root);
    case PROMQL_TYPE_NONE:
        break;
    }
    return eval_fail(eval, PROMQL_ERROR_INTERNAL, "expression has no type");
}

static bool take_scratch(struct eval *eval)
{
    promql_memory_init(&eval->scratch, eval->options->account, eval->options->pool,
                       eval->options->grant_bytes / 4);
    if (promql_memory_take(&eval->scratch, 16) == NULL) { /* so that a chunk stays */
        return eval_fail_memory(eval);
    }
    eval->scratch_mark = promql_memory_mark(&eval->scratch);
    return true;
}

static bool run(const struct promql_options *options, struct quarry_tsdb_slice text,
                const struct promql_node *tree, struct promql_steps steps, bool is_range,
                struct promql_result *result)
{
    struct eval eval = {.options = options,
                        .result = result,
                        .memory = &result->memory,
                        .text = text,
                        .root = tree,
                        .steps = steps,
                        .is_range = is_range};
    uint64_t begin_ns = os_monotonic_ns(options->os);

    if (take_scratch(&eval) && eval_poll(&eval) && eval_once_plan(&eval) && evaluate(&eval)) {
        (void)eval_notes_finish(&eval);
    }
    eval_end_parallels(&eval);
    eval_close_sets(&eval);
    result->stats.bytes_peak =
        result->memory.peak_bytes + eval.scratch.peak_bytes + eval.parts_peak_bytes;
    promql_memory_fini(&eval.scratch);
    result->stats.eval_ns =
        os_monotonic_ns(options->os) - begin_ns - result->stats.select_ns - result->stats.sort_ns;
    result->stats.total_ns += os_monotonic_ns(options->os) - begin_ns;
    if (result->error != PROMQL_ERROR_NONE) {
        result->series = NULL;
        result->series_count = 0;
        result->warning_count = result->info_count = 0;
    }
    return result->error == PROMQL_ERROR_NONE;
}

/* ---- what may be asked for ------------------------------------------------------------------ */

static bool refuse(struct promql_result *result, const char *text)
{
    result->error = PROMQL_ERROR_BAD_DATA;
    memcpy(result->error_text, text, strlen(text) + 1);
    return false;
}

static bool check_steps(const struct promql_options *options, const struct promql_node *tree,
                        struct promql_steps steps, struct promql_result *result)
{
    int64_t span;

    if (tree->type == PROMQL_MATRIX || tree->type == PROMQL_STRING) {
        return refuse(result, tree->type == PROMQL_MATRIX
                                  ? "invalid expression type \"range vector\" for range query, "
                                    "must be Scalar or instant Vector"
                                  : "invalid expression type \"string\" for range query, must be "
                                    "Scalar or instant Vector");
    }
    if (steps.step_ms <= 0) {
        return refuse(result, "zero or negative query resolution step widths are not accepted. "
                              "Try a positive integer");
    }
    if (steps.end_ms < steps.start_ms) {
        return refuse(result, "end timestamp must not be before start time");
    }
    if (__builtin_sub_overflow(steps.end_ms, steps.start_ms, &span) ||
        (uint64_t)(span / steps.step_ms) > options->points_max ||
        span / steps.step_ms > INT32_MAX) {
        return refuse(result, "exceeded maximum resolution of 11,000 points per timeseries. Try "
                              "decreasing the query resolution (?step=XX)");
    }
    return true;
}

bool promql_query_instant(const struct promql_options *given, struct quarry_tsdb_slice text,
                          const struct promql_node *tree, int64_t t_ms,
                          struct promql_result *ret_result)
{
    struct promql_options options = with_defaults(given);

    begin_result(&options, ret_result);
    return run(&options, text, tree, (struct promql_steps){.start_ms = t_ms, .end_ms = t_ms}, false,
               ret_result);
}

bool promql_query_range(const struct promql_options *given, struct quarry_tsdb_slice text,
                        const struct promql_node *tree, struct promql_steps steps,
                        struct promql_result *ret_result)
{
    struct promql_options options = with_defaults(given);

    begin_result(&options, ret_result);
    return check_steps(&options, tree, steps, ret_result) &&
           run(&options, text, tree, steps, true, ret_result);
}

/* ---- from text ------------------------------------------------------------------------------ */

static struct promql_node *parse(const struct promql_options *options,
                                 struct quarry_tsdb_slice text, struct promql_result *result)
{
    struct promql_parse_options parse_options = {
        .allows_experimental_functions = options->allows_experimental_functions,
        .allows_duration_expressions = options->allows_duration_expressions,
        .allows_extended_selectors = options->allows_extended_selectors,
        .allows_fill = options->allows_fill,
        .compat_2_42 = options->compat_2_42,
        .depth_max = options->depth_max,
    };
    struct promql_parse_error error;
    struct promql_node *tree;
    uint64_t begin_ns = os_monotonic_ns(options->os);
    enum quarry_status status = promql_parse(&result->memory, text, &parse_options, &tree, &error);

    result->stats.parse_ns = os_monotonic_ns(options->os) - begin_ns;
    result->stats.total_ns = result->stats.parse_ns;
    if (status == QUARRY_OK) {
        return tree;
    }
    Q_STATIC_ASSERT(sizeof error.text <= sizeof result->error_text, "an error fits");
    memcpy(result->error_text, error.text, sizeof error.text);
    result->error = status == QUARRY_NO_MEMORY ? PROMQL_ERROR_INTERNAL : PROMQL_ERROR_BAD_DATA;
    return NULL;
}

bool promql_query_instant_text(const struct promql_options *given, struct quarry_tsdb_slice text,
                               int64_t t_ms, struct promql_result *ret_result)
{
    struct promql_options options = with_defaults(given);
    struct promql_node *tree;

    begin_result(&options, ret_result);
    tree = parse(&options, text, ret_result);
    return tree != NULL &&
           run(&options, text, tree, (struct promql_steps){.start_ms = t_ms, .end_ms = t_ms}, false,
               ret_result);
}

bool promql_query_range_text(const struct promql_options *given, struct quarry_tsdb_slice text,
                             struct promql_steps steps, struct promql_result *ret_result)
{
    struct promql_options options = with_defaults(given);
    struct promql_node *tree;

    begin_result(&options, ret_result);
    tree = parse(&options, text, ret_result);
    return tree != NULL && check_steps(&options, tree, steps, ret_result) &&
           run(&options, text, tree, steps, true, ret_result);
}

void promql_result_fini(struct promql_result *result)
{
    promql_memory_fini(&result->memory);
    result->series = NULL;
    result->series_count = 0;
}
