/*
 * Expressions: which part evaluates which node.
 *
 *     sum by (job) (rate(http_requests_total{code="500"}[5m]) * 2)
 *
 *     aggregate ── rows ── times 2 ── rows ── rate ── window over a series' samples
 *
 * Vectors are pulled row by row, series by series: what lies between the samples and a sum is one
 * row at each node. What an expression is at one step and not at others makes no difference here: a
 * row has all steps, and says at which of them it is there.
 *
 * A part that is the same at all steps is evaluated at the first, and repeated.
 *
 * Operators in a row are a chain: they are opened one behind the other, each given the rows of the
 * one before, so that the stack does not grow with it (docs/decisions/0045).
 */
#include <promql/eval.h>

#include <promql/function.h>
#include <promql/once.h>
#include <promql/parallel.h>

#include <math.h>

/* Streams that give each other rows, of operators in a row; then their rows are collected. Twice as
 * many take some 8 KiB more of the stack. */
#define CHAIN_STREAMS_MAX 64u

static bool enter(struct eval *eval)
{
    if (eval->depth >= eval->options->depth_max) {
        return eval_fail(eval, PROMQL_ERROR_BAD_DATA, "expression is nested deeper than %u levels",
                         eval->options->depth_max);
    }
    eval->depth++;
    return true;
}

/* ---- vectors -------------------------------------------------------------------------------- */

struct negate_stream {
    struct eval_stream stream;
    struct eval_stream *of;
    struct eval_row row;
    struct eval_label_buffer buffer;
};

/* Copies a row's labels to a buffer, and takes the name away. */
static bool drop_name(struct eval *eval, struct eval_row *row, const struct eval_row *from,
                      struct eval_label_buffer *buffer)
{
    row->labels = from->labels;
    row->drops_name = from->drops_name;
    if (!eval_buffer_reserve(eval, buffer, from->labels.count)) {
        return false;
    }
    eval_row_drop_name(eval, row, buffer);
    return true;
}

static bool next_negated(struct eval_stream *stream, struct eval_row *ret_row)
{
    struct negate_stream *of = (struct negate_stream *)stream;
    uint32_t count = stream->frame.count;
    struct eval_row row;

    if (!of->of->next(of->of, &row)) {
        return false;
    }
    eval_row_clear(&of->row, count);
    for (uint32_t i = 0; i < row.count; i++) {
        if (row.kinds[i] == EVAL_FLOAT) {
            eval_put(&of->row, row.first + i, -row.values[i]);
        } else if (row.kinds[i] == EVAL_HISTOGRAM) {
            const struct promql_histogram *negated =
                promql_histogram_multiply(&stream->eval->scratch, row.histograms[i], -1);
            if (negated == NULL) {
                return eval_fail_memory(stream->eval);
            }
            if (!eval_put_histogram(stream->eval, &of->row, count, row.first + i, negated)) {
                return false;
            }
        }
    }
    if (!drop_name(stream->eval, &of->row, &row, &of->buffer)) {
        return false;
    }
    *ret_row = of->row;
    return true;
}

struct eval_stream *eval_unique(struct eval *eval, const struct eval_frame *frame,
                                struct eval_stream *stream, const struct promql_node *argument)
{
    struct eval_matrix matrix;

    if (stream == NULL || eval->options->delays_name_removal || eval_has_one_name(argument)) {
        return stream;
    }
    if (!eval_collect(stream, &matrix) || !eval_merge(eval, frame->count, &matrix)) {
        return NULL;
    }
    return eval_stream_of(eval, frame, &matrix);
}

struct eval_stream *eval_distinct(struct eval *eval, const struct eval_frame *frame,
                                  struct eval_stream *stream, const struct promql_node *argument)
{
    struct eval_matrix matrix;
    struct eval_table table = {0};

    if (stream == NULL || eval->options->delays_name_removal || eval_has_one_name(argument)) {
        return stream;
    }
    if (!eval_collect(stream, &matrix)) {
        return NULL;
    }
    for (size_t i = 0; i < matrix.count; i++) {
        uint32_t number;
        bool is_new;
        if (!eval_table_put(eval, &table, matrix.rows[i].labels, &number, &is_new)) {
            return NULL;
        }
        if (!is_new) {
            (void)eval_fail(eval, PROMQL_ERROR_EXECUTION,
                            "vector cannot contain metrics with the same labelset");
            return NULL;
        }
    }
    return eval_stream_of(eval, frame, &matrix);
}

static struct eval_stream *open_unary(struct eval *eval, const struct eval_frame *frame,
                                      const struct promql_node *node)
{
    struct eval_stream *of = eval_vector(eval, frame, node->unary.of);
    struct negate_stream *negate;

    if (of == NULL || node->unary.operation != PROMQL_SUB) {
        return of;
    }
    negate = eval_take_zero(eval, 1, sizeof *negate);
    if (negate == NULL || !eval_row_init(eval, frame->count, false, &negate->row)) {
        return NULL;
    }
    negate->stream = (struct eval_stream){.next = next_negated, .eval = eval, .frame = *frame};
    negate->of = of;
    return eval_distinct(eval, frame, &negate->stream, node->unary.of);
}

/* The rows of a node that somebody has opened already; NULL: nobody has. */
static struct eval_stream *take_given(struct eval *eval, const struct promql_node *node)
{
    for (struct eval_given *given = eval->given; given != NULL; given = given->next) {
        if (given->node == node && given->stream != NULL) {
            struct eval_stream *stream = given->stream;
            given->stream = NULL;
            return stream;
        }
    }
    return NULL;
}

/* Rows that are all there, so that who asks for them does not go down a chain of streams. */
static struct eval_stream *flatten(struct eval *eval, const struct eval_frame *frame,
                                   struct eval_stream *stream)
{
    struct eval_matrix matrix;

    return stream != NULL && eval_collect(stream, &matrix) ? eval_stream_of(eval, frame, &matrix)
                                                           : NULL;
}

static bool is_trim(const struct promql_node *node)
{
    return node->binary.operation == PROMQL_TRIM_UPPER ||
           node->binary.operation == PROMQL_TRIM_LOWER;
}

/* The last operator of a chain that looks at buckets; NULL: none does. */
static const struct promql_node *last_trim(const struct promql_node *last)
{
    const struct promql_node *node = last;

    while (!is_trim(node)) {
        if (node == promql_chain_first(last)) {
            return NULL;
        }
        node = node->binary.left;
    }
    return node;
}

/* Operators in a row, of which there may be any number: from the first that has a vector on. */
static struct eval_stream *open_chain(struct eval *eval, const struct eval_frame *frame,
                                      const struct promql_node *last)
{
    const enum eval_totals above = eval->totals;
    const struct promql_node *node = promql_chain_first(last), *trim = last_trim(last);
    struct eval_given given = {.next = eval->given};

    while (node->type != PROMQL_VECTOR) {
        node = node->binary.above;
    }
    eval->given = &given;
    eval->totals = trim != NULL ? EVAL_TOTALS_BARRED : above;
    struct eval_stream *stream = eval_binary(eval, frame, node);
    for (uint32_t i = 1; node != last && stream != NULL; i++) {
        eval->totals = node == trim ? above : eval->totals;
        given.node = node;
        given.stream = i % CHAIN_STREAMS_MAX == 0 ? flatten(eval, frame, stream) : stream;
        node = node->binary.above;
        stream = given.stream == NULL ? NULL : eval_binary(eval, frame, node);
    }
    eval->totals = above;
    eval->given = given.next;
    return stream;
}

static struct eval_stream *open_values(struct eval *eval, const struct eval_frame *frame,
                                       const struct promql_node *node, const void *argument)
{
    (void)argument;
    return eval_selector(eval, frame, node, EVAL_WANTS_VALUES);
}

static struct eval_stream *open(struct eval *eval, const struct eval_frame *frame,
                                const struct promql_node *node)
{
    switch (node->kind) {
    case PROMQL_SELECTOR:
        return eval_parallel(eval, frame, node, open_values, NULL);
    case PROMQL_AGGREGATE:
        return eval_once(eval, frame, node);
    case PROMQL_BINARY:
        return open_chain(eval, frame, node);
    case PROMQL_CALL:
        return eval_call(eval, frame, node);
    case PROMQL_UNARY:
        return open_unary(eval, frame, node);
    case PROMQL_PAREN:
    case PROMQL_NUMBER:
    case PROMQL_TEXT:
    case PROMQL_MATRIX_SELECTOR:
    case PROMQL_SUBQUERY:
    case PROMQL_DURATION:
        break;
    }
    (void)eval_fail(eval, PROMQL_ERROR_INTERNAL, "expression is not an instant vector");
    return NULL;
}

struct eval_stream *eval_vector(struct eval *eval, const struct eval_frame *frame,
                                const struct promql_node *node)
{
    struct eval_frame one = {.start_ms = frame->start_ms, .count = 1};
    struct eval_stream *stream;

    node = eval_unwrap(node);
    stream = take_given(eval, node);
    if (stream != NULL) {
        return stream;
    }
    if (!enter(eval)) {
        return NULL;
    }
    if (frame->count == 0) {
        stream = eval_stream_of(eval, frame, &(struct eval_matrix){0});
    } else if (frame->count > 1 && eval_is_invariant(node)) {
        stream = eval_repeat(eval, frame, open(eval, &one, node));
    } else {
        stream = open(eval, frame, node);
    }
    eval->depth--;
    return eval_is_failed(eval) ? NULL : stream;
}

bool eval_matrix_of(struct eval *eval, const struct eval_frame *frame,
                    const struct promql_node *node, struct eval_matrix *ret_matrix)
{
    struct eval_stream *stream = eval_vector(eval, frame, node);

    return stream != NULL && eval_collect(stream, ret_matrix);
}

/* ---- scalars -------------------------------------------------------------------------------- */

static double *fill_number(struct eval *eval, const struct eval_frame *frame, double value)
{
    double *values = eval_take(eval, frame->count, sizeof *values);

    for (uint32_t step = 0; values != NULL && step < frame->count; step++) {
        values[step] = value;
    }
    return values;
}

/* Writes to `left` what an operator comes to. */
static bool operate_scalar(struct eval *eval, const struct eval_frame *frame,
                           const struct promql_node *node, double *left)
{
    const struct promql_node *side = eval_unwrap(node->binary.right);
    const bool is_number = side->kind == PROMQL_NUMBER; /* which needs no room at all steps */
    const double *right = is_number ? NULL : eval_scalar(eval, frame, side);

    if (!is_number && right == NULL) {
        return false;
    }
    for (uint32_t step = 0; step < frame->count; step++) {
        left[step] = eval_operate(node->binary.operation, left[step],
                                  is_number ? side->number.value : right[step]);
    }
    return true;
}

static double *operate_scalars(struct eval *eval, const struct eval_frame *frame,
                               const struct promql_node *last)
{
    const struct promql_node *node = promql_chain_first(last);
    double *values = eval_scalar(eval, frame, node->binary.left);

    while (values != NULL && eval_poll(eval) && operate_scalar(eval, frame, node, values)) {
        if (node == last) {
            return values;
        }
        node = node->binary.above;
    }
    return NULL;
}

static double *negate_scalar(struct eval *eval, const struct eval_frame *frame,
                             const struct promql_node *node)
{
    double *values = eval_scalar(eval, frame, node->unary.of);

    for (uint32_t step = 0;
         values != NULL && node->unary.operation == PROMQL_SUB && step < frame->count; step++) {
        values[step] = -values[step];
    }
    return values;
}

static double *open_scalar(struct eval *eval, const struct eval_frame *frame,
                           const struct promql_node *node)
{
    switch (node->kind) {
    case PROMQL_NUMBER:
        return fill_number(eval, frame, node->number.value);
    case PROMQL_BINARY:
        return operate_scalars(eval, frame, node);
    case PROMQL_UNARY:
        return negate_scalar(eval, frame, node);
    case PROMQL_CALL:
        return eval_scalar_call(eval, frame, node);
    case PROMQL_PAREN:
    case PROMQL_TEXT:
    case PROMQL_SELECTOR:
    case PROMQL_MATRIX_SELECTOR:
    case PROMQL_SUBQUERY:
    case PROMQL_AGGREGATE:
    case PROMQL_DURATION:
        break;
    }
    (void)eval_fail(eval, PROMQL_ERROR_INTERNAL, "expression is not a scalar");
    return NULL;
}

double *eval_scalar(struct eval *eval, const struct eval_frame *frame,
                    const struct promql_node *node)
{
    double *values;

    node = eval_unwrap(node);
    if (!enter(eval)) {
        return NULL;
    }
    values = open_scalar(eval, frame, node);
    eval->depth--;
    return eval_is_failed(eval) ? NULL : values;
}
