/*
 * Calls: which part has which function.
 */
#include <promql/functions.h>
#include <promql/parallel.h>
#include <promql/range.h>

#include <math.h>

static struct eval_stream *open_timestamp(struct eval *eval, const struct eval_frame *frame,
                                          const struct promql_node *node)
{
    const struct promql_node *argument = eval_unwrap(node->call.arguments[0]);
    bool is_start = node->call.function->id == PROMQL_FN_start_timestamp;

    if (argument->kind != PROMQL_SELECTOR) {
        return eval_map(eval, frame, node);
    }
    struct eval_stream *stream =
        eval_selector(eval, frame, argument, is_start ? EVAL_WANTS_START_TIMES : EVAL_WANTS_TIMES);
    return stream == NULL ? NULL : eval_nameless(eval, frame, stream, argument);
}

static struct eval_stream *open_range_part(struct eval *eval, const struct eval_frame *frame,
                                           const struct promql_node *node, const void *function)
{
    return eval_range_call(eval, frame, node, function);
}

/* A function of a selector and numbers can be had of some series apart from the others. */
static struct eval_stream *open_range(struct eval *eval, const struct eval_frame *frame,
                                      const struct promql_node *node,
                                      const struct range_function *function)
{
    bool is_divisible = range_argument_of(node)->kind == PROMQL_MATRIX_SELECTOR;

    for (size_t i = 0; i < node->call.argument_count; i++) {
        const struct promql_node *argument = eval_unwrap(node->call.arguments[i]);
        is_divisible = is_divisible && (argument->kind == PROMQL_MATRIX_SELECTOR ||
                                        argument->kind == PROMQL_NUMBER);
    }
    return is_divisible ? eval_parallel(eval, frame, node, open_range_part, function)
                        : eval_range_call(eval, frame, node, function);
}

static struct eval_stream *open_call(struct eval *eval, const struct eval_frame *frame,
                                     const struct promql_node *node)
{
    const struct range_function *range = range_function_find(node->call.function->name);

    if (range != NULL) {
        const struct promql_node *argument = range_argument_of(node);
        return eval_distinct(eval, frame, open_range(eval, frame, node, range), argument);
    }
    switch ((int)node->call.function->id) {
    case PROMQL_FN_vector:
        return eval_vector_of_scalar(eval, frame, node);
    case PROMQL_FN_absent:
    case PROMQL_FN_absent_over_time:
        return eval_absent(eval, frame, node);
    case PROMQL_FN_sort:
    case PROMQL_FN_sort_desc:
    case PROMQL_FN_sort_by_label:
    case PROMQL_FN_sort_by_label_desc:
        return eval_sort(eval, frame, node);
    case PROMQL_FN_label_replace:
        return eval_label_replace(eval, frame, node);
    case PROMQL_FN_label_join:
        return eval_label_join(eval, frame, node);
    case PROMQL_FN_histogram_quantile:
    case PROMQL_FN_histogram_quantiles:
    case PROMQL_FN_histogram_fraction:
        return eval_buckets(eval, frame, node);
    case PROMQL_FN_info:
        return eval_info(eval, frame, node);
    case PROMQL_FN_timestamp:
    case PROMQL_FN_start_timestamp:
        return open_timestamp(eval, frame, node);
    default:
        return eval_map(eval, frame, node);
    }
}

/* What a call makes of what is wanted below it. */
static enum eval_totals totals_below(const struct promql_node *node, enum eval_totals above)
{
    switch ((int)node->call.function->id) {
    case PROMQL_FN_histogram_count:
    case PROMQL_FN_histogram_sum:
    case PROMQL_FN_histogram_avg:
        return above == EVAL_TOTALS_BARRED ? above : EVAL_TOTALS_ONLY;
    case PROMQL_FN_histogram_quantile:
    case PROMQL_FN_histogram_quantiles:
    case PROMQL_FN_histogram_fraction:
        return EVAL_TOTALS_BARRED;
    default:
        return above;
    }
}

struct eval_stream *eval_call(struct eval *eval, const struct eval_frame *frame,
                              const struct promql_node *node)
{
    const enum eval_totals above = eval->totals;

    eval->totals = totals_below(node, above);
    struct eval_stream *stream = open_call(eval, frame, node);
    eval->totals = above;
    return stream;
}

/* ---- scalars -------------------------------------------------------------------------------- */

static double *extreme(struct eval *eval, const struct eval_frame *frame,
                       const struct promql_node *node)
{
    bool is_max = node->call.function->id == PROMQL_FN_max_of;
    double *left = eval_scalar(eval, frame, node->call.arguments[0]);
    double *right = left == NULL ? NULL : eval_scalar(eval, frame, node->call.arguments[1]);

    for (uint32_t step = 0; right != NULL && step < frame->count; step++) {
        left[step] =
            is_max ? eval_larger(left[step], right[step]) : eval_smaller(left[step], right[step]);
    }
    return right == NULL ? NULL : left;
}

/* A value of the query, in seconds, which is the same at all steps but for the time. */
static double seconds_at(const struct eval *eval, const struct eval_frame *frame,
                         enum promql_function_id id, uint32_t step)
{
    switch ((int)id) {
    case PROMQL_FN_time:
        return (double)eval_time(frame, step) / 1000;
    case PROMQL_FN_start:
        return (double)eval->steps.start_ms / 1000;
    case PROMQL_FN_end:
        return (double)eval->steps.end_ms / 1000;
    case PROMQL_FN_step:
        return eval->is_range ? (double)eval->steps.step_ms / 1000 : 0;
    case PROMQL_FN_range:
        return (double)(eval->steps.end_ms - eval->steps.start_ms) / 1000;
    default:
        return M_PI;
    }
}

double *eval_scalar_call(struct eval *eval, const struct eval_frame *frame,
                         const struct promql_node *node)
{
    enum promql_function_id id = node->call.function->id;

    if (id == PROMQL_FN_scalar) {
        return eval_scalar_of_vector(eval, frame, node);
    }
    if (id == PROMQL_FN_max_of || id == PROMQL_FN_min_of) {
        return extreme(eval, frame, node);
    }
    double *values = eval_take(eval, frame->count, sizeof *values);
    for (uint32_t step = 0; values != NULL && step < frame->count; step++) {
        values[step] = seconds_at(eval, frame, id, step);
    }
    return values;
}
