/*
 * Operators: of two values, and of a vector and a scalar.
 *
 * What two floats come to is one function; with histograms there may be no result, and a note that
 * says why.
 */
#include <promql/binary.h>

#include <promql/function.h>
#include <promql/histogram_value.h>
#include <promql/notes.h>

#include <math.h>

double eval_operate(enum promql_operator operation, double left, double right)
{
    switch ((int)operation) {
    case PROMQL_ADD:
        return left + right;
    case PROMQL_SUB:
        return left - right;
    case PROMQL_MUL:
        return left * right;
    case PROMQL_DIV:
        return left / right;
    case PROMQL_MOD:
        return fmod(left, right);
    case PROMQL_POW:
        return pow(left, right);
    case PROMQL_ATAN2:
        return atan2(left, right);
    case PROMQL_EQL:
        return left == right;
    case PROMQL_NEQ:
        return left != right;
    case PROMQL_GTR:
        return left > right;
    case PROMQL_LSS:
        return left < right;
    case PROMQL_GTE:
        return left >= right;
    case PROMQL_LTE:
        return left <= right;
    default:
        return NAN;
    }
}

bool eval_is_comparison(enum promql_operator operation)
{
    return promql_operator_is_comparison(operation);
}

static const char *kind_name(enum eval_kind kind)
{
    return kind == EVAL_HISTOGRAM ? "histogram" : "float";
}

/* No result, and a note: these two cannot be operated on. */
static bool refuse(struct eval *eval, const struct promql_node *node, struct eval_operand left,
                   struct eval_operand right)
{
    eval_note_words(eval, EVAL_NOTE_INCOMPATIBLE_TYPES, node->at, kind_name(left.kind),
                    promql_operator_name(node->binary.operation), kind_name(right.kind));
    return !eval_is_failed(eval);
}

static bool give(struct eval *eval, const struct promql_histogram *histogram,
                 struct eval_operand *ret_result)
{
    if (histogram == NULL) {
        return eval_fail_memory(eval);
    }
    *ret_result = (struct eval_operand){.kind = EVAL_HISTOGRAM, .histogram = histogram};
    return true;
}

static bool add_histograms(struct eval *eval, const struct promql_node *node,
                           struct eval_operand left, struct eval_operand right,
                           struct eval_operand *ret_result)
{
    bool is_sum = node->binary.operation == PROMQL_ADD;
    const char *word = is_sum ? "addition" : "subtraction";
    struct promql_histogram_notes notes = {0};
    const struct promql_histogram *result = NULL;
    enum promql_histogram_outcome outcome =
        is_sum
            ? promql_histogram_add(eval->memory, left.histogram, right.histogram, &notes, &result)
            : promql_histogram_subtract(eval->memory, left.histogram, right.histogram, &notes,
                                        &result);

    if (outcome == PROMQL_HISTOGRAM_REFUSED) {
        return eval_fail_memory(eval);
    }
    if (outcome == PROMQL_HISTOGRAM_INCOMPATIBLE) {
        eval_note_words(eval, EVAL_NOTE_INCOMPATIBLE_BUCKETS, node->at, is_sum ? "+" : "-", NULL,
                        NULL);
        return !eval_is_failed(eval);
    }
    if (notes.resets_collide) {
        eval_note_words(eval, EVAL_NOTE_RESET_COLLISION, node->at, word, NULL, NULL);
    }
    if (notes.bounds_reconciled) {
        eval_note_words(eval, EVAL_NOTE_BOUNDS_RECONCILED, node->at, word, NULL, NULL);
    }
    if (!is_sum) {
        result = promql_histogram_with_hint(eval->memory, result, PROMQL_RESET_GAUGE);
    }
    return give(eval, result, ret_result);
}

static bool operate_histograms(struct eval *eval, const struct promql_node *node,
                               struct eval_operand left, struct eval_operand right,
                               struct eval_operand *ret_result)
{
    enum promql_operator operation = node->binary.operation;

    if (operation == PROMQL_ADD || operation == PROMQL_SUB) {
        return add_histograms(eval, node, left, right, ret_result);
    }
    if (operation != PROMQL_EQL && operation != PROMQL_NEQ) {
        return refuse(eval, node, left, right);
    }
    bool is_equal = promql_histogram_equal(left.histogram, right.histogram);
    *ret_result = left;
    ret_result->is_false = is_equal != (operation == PROMQL_EQL);
    return true;
}

/* A histogram on one side, a float on the other. */
static bool operate_mixed(struct eval *eval, const struct promql_node *node,
                          struct eval_operand left, struct eval_operand right,
                          struct eval_operand *ret_result)
{
    const struct promql_histogram *histogram =
        left.kind == EVAL_HISTOGRAM ? left.histogram : right.histogram;
    double factor = left.kind == EVAL_HISTOGRAM ? right.value : left.value;

    if (node->binary.operation == PROMQL_MUL) {
        return give(eval, promql_histogram_multiply(eval->memory, histogram, factor), ret_result);
    }
    if (left.kind == EVAL_HISTOGRAM) {
        switch ((int)node->binary.operation) {
        case PROMQL_DIV:
            return give(eval, promql_histogram_divide(eval->memory, histogram, factor), ret_result);
        case PROMQL_TRIM_UPPER:
            return give(eval, promql_histogram_trim_above(eval->memory, histogram, factor),
                        ret_result);
        case PROMQL_TRIM_LOWER:
            return give(eval, promql_histogram_trim_below(eval->memory, histogram, factor),
                        ret_result);
        default:
            break;
        }
    }
    return refuse(eval, node, left, right);
}

bool eval_operate_pair(struct eval *eval, const struct promql_node *node, struct eval_operand left,
                       struct eval_operand right, struct eval_operand *ret_result)
{
    enum promql_operator operation = node->binary.operation;
    bool is_done = true;

    ret_result->kind = EVAL_NONE;
    ret_result->is_false = false;
    if (left.kind == EVAL_HISTOGRAM && right.kind == EVAL_HISTOGRAM) {
        is_done = operate_histograms(eval, node, left, right, ret_result);
    } else if (left.kind == EVAL_HISTOGRAM || right.kind == EVAL_HISTOGRAM) {
        is_done = operate_mixed(eval, node, left, right, ret_result);
    } else if (operation == PROMQL_TRIM_UPPER || operation == PROMQL_TRIM_LOWER) {
        is_done = refuse(eval, node, left, right);
    } else if (eval_is_comparison(operation)) {
        *ret_result = left;
        ret_result->is_false = eval_operate(operation, left.value, right.value) == 0;
    } else {
        ret_result->kind = EVAL_FLOAT;
        ret_result->value = eval_operate(operation, left.value, right.value);
    }
    if (ret_result->kind == EVAL_NONE || !eval_is_comparison(operation)) {
        return is_done;
    }
    if (node->binary.returns_bool) {
        *ret_result =
            (struct eval_operand){.kind = EVAL_FLOAT, .value = ret_result->is_false ? 0 : 1};
    } else if (ret_result->is_false) {
        ret_result->kind = EVAL_NONE;
    }
    return is_done;
}

bool eval_drops_name(const struct eval *eval, const struct promql_node *node)
{
    enum promql_operator operation = node->binary.operation;
    bool is_trim = operation == PROMQL_TRIM_UPPER || operation == PROMQL_TRIM_LOWER;
    bool keeps = operation == PROMQL_ATAN2 && eval->options->compat_2_42;

    return node->binary.returns_bool || !(is_trim || keeps || eval_is_comparison(operation));
}

bool eval_put_operand(struct eval *eval, struct eval_row *row, uint32_t step_count, uint32_t step,
                      const struct eval_operand *operand)
{
    if (operand->kind == EVAL_FLOAT) {
        eval_put(row, step, operand->value);
    } else if (operand->kind == EVAL_HISTOGRAM) {
        return eval_put_histogram(eval, row, step_count, step, operand->histogram);
    }
    return true;
}

struct eval_operand eval_operand_at(const struct eval_row *row, uint32_t step)
{
    struct eval_operand operand = {.kind = (enum eval_kind)eval_kind_at(row, step)};

    if (operand.kind == EVAL_FLOAT) {
        operand.value = eval_value_at(row, step);
    } else if (operand.kind == EVAL_HISTOGRAM) {
        operand.histogram = eval_histogram_at(row, step);
    }
    return operand;
}

/* ---- a vector and a scalar ------------------------------------------------------------------ */

struct scalar_stream {
    struct eval_stream stream;
    struct eval_stream *of;
    const struct promql_node *node;
    const double *scalars;
    bool is_left; /* the scalar is */
    struct eval_row row;
    struct eval_label_buffer buffer;
};

static bool operate_step(struct scalar_stream *of, const struct eval_row *row, uint32_t step)
{
    struct eval_operand value = eval_operand_at(row, step), result;
    struct eval_operand scalar = {.kind = EVAL_FLOAT, .value = of->scalars[step]};

    if (value.kind == EVAL_NONE) {
        return true;
    }
    if (!eval_operate_pair(of->stream.eval, of->node, of->is_left ? scalar : value,
                           of->is_left ? value : scalar, &result)) {
        return false;
    }
    if (result.kind != EVAL_NONE && of->is_left && !of->node->binary.returns_bool &&
        eval_is_comparison(of->node->binary.operation)) {
        result = value; /* comparisons keep the vector's */
    }
    return eval_put_operand(of->stream.eval, &of->row, of->stream.frame.count, step, &result);
}

static bool next_operated(struct eval_stream *stream, struct eval_row *ret_row)
{
    struct scalar_stream *of = (struct scalar_stream *)stream;
    struct eval_row row;

    do {
        if (!of->of->next(of->of, &row)) {
            return false;
        }
        eval_row_clear(&of->row, stream->frame.count);
        for (uint32_t i = 0; i < row.count; i++) {
            if (!operate_step(of, &row, row.first + i)) {
                return false;
            }
        }
    } while (eval_row_is_empty(&of->row));
    of->row.labels = row.labels;
    of->row.drops_name = row.drops_name;
    if (eval_drops_name(stream->eval, of->node)) {
        if (!eval_buffer_reserve(stream->eval, &of->buffer, row.labels.count)) {
            return false;
        }
        eval_row_drop_name(stream->eval, &of->row, &of->buffer);
    }
    *ret_row = of->row;
    return true;
}

static struct eval_stream *with_scalar(struct eval *eval, const struct eval_frame *frame,
                                       const struct promql_node *node)
{
    struct scalar_stream *of = eval_take_zero(eval, 1, sizeof *of);
    bool is_left = node->binary.left->type == PROMQL_SCALAR;
    const struct promql_node *vector = is_left ? node->binary.right : node->binary.left;

    if (of == NULL) {
        return NULL;
    }
    of->stream = (struct eval_stream){.next = next_operated, .eval = eval, .frame = *frame};
    of->node = node;
    of->is_left = is_left;
    of->scalars = eval_scalar(eval, frame, is_left ? node->binary.left : node->binary.right);
    of->of = of->scalars == NULL ? NULL : eval_vector(eval, frame, vector);
    if (of->of == NULL || !eval_row_init(eval, frame->count, false, &of->row)) {
        return NULL;
    }
    return eval_drops_name(eval, node) ? eval_unique(eval, frame, &of->stream, vector)
                                       : &of->stream;
}

struct eval_stream *eval_binary(struct eval *eval, const struct eval_frame *frame,
                                const struct promql_node *node)
{
    if (node->binary.left->type == PROMQL_SCALAR || node->binary.right->type == PROMQL_SCALAR) {
        return with_scalar(eval, frame, node);
    }
    return promql_operator_is_set(node->binary.operation) ? eval_set_operation(eval, frame, node)
                                                          : eval_match(eval, frame, node);
}
