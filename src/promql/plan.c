/*
 * What is known of an expression before it is evaluated.
 *
 * A part is *invariant* when all that it reads is pinned by @ and no function in it looks at the
 * step's time: it is evaluated at one step, and the result stands at all of them.
 *
 * Source: Prometheus' functions that must see each step although their argument is pinned.
 */
#include <promql/eval.h>
#include <promql/function.h>

#include <math.h>

const struct promql_node *eval_unwrap(const struct promql_node *node)
{
    while (node->kind == PROMQL_PAREN) {
        node = node->paren.of;
    }
    return node;
}

/* Functions whose value depends on the step by itself. */
static bool looks_at_time(const struct promql_node *call)
{
    static const char *const names[] = {
        "days_in_month", "day_of_month", "day_of_week",    "day_of_year",
        "hour",          "minute",       "month",          "year",
        "time",          "timestamp",    "predict_linear", "start_timestamp",
    };

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (eval_slice_is(eval_slice(call->call.function->name), names[i])) {
            return true;
        }
    }
    return false;
}

static bool is_invariant_chain(const struct promql_node *last)
{
    const struct promql_node *node = promql_chain_first(last);

    if (!eval_is_invariant(node->binary.left)) {
        return false;
    }
    while (eval_is_invariant(node->binary.right)) {
        if (node == last) {
            return true;
        }
        node = node->binary.above;
    }
    return false;
}

bool eval_is_invariant(const struct promql_node *node)
{
    switch (node->kind) {
    case PROMQL_NUMBER:
    case PROMQL_TEXT:
    case PROMQL_DURATION:
        return true;
    case PROMQL_SELECTOR:
        return node->selector.modifiers.at != PROMQL_AT_STEP;
    case PROMQL_MATRIX_SELECTOR:
        return eval_is_invariant(node->matrix.selector);
    case PROMQL_SUBQUERY:
        return node->subquery.modifiers.at != PROMQL_AT_STEP;
    case PROMQL_AGGREGATE:
        return eval_is_invariant(node->aggregate.of) &&
               (node->aggregate.parameter == NULL || eval_is_invariant(node->aggregate.parameter));
    case PROMQL_BINARY:
        return is_invariant_chain(node);
    case PROMQL_PAREN:
        return eval_is_invariant(node->paren.of);
    case PROMQL_UNARY:
        return eval_is_invariant(node->unary.of);
    case PROMQL_CALL:
        for (size_t i = 0; i < node->call.argument_count; i++) {
            if (!eval_is_invariant(node->call.arguments[i])) {
                return false;
            }
        }
        return !looks_at_time(node);
    }
    return false;
}

static bool selector_has_one_name(const struct promql_node *node)
{
    for (size_t i = 0; i < node->selector.matcher_count; i++) {
        const struct quarry_tsdb_matcher *matcher = &node->selector.matchers[i];
        if (matcher->match == QUARRY_TSDB_EQUAL && eval_slice_is(matcher->name, "__name__")) {
            return true;
        }
    }
    return false;
}

static bool call_has_one_name(const struct promql_node *node)
{
    const char *name = node->call.function->name;

    if (eval_slice_is(eval_slice(name), "label_replace") ||
        eval_slice_is(eval_slice(name), "label_join") || eval_slice_is(eval_slice(name), "info")) {
        return false;
    }
    for (size_t i = 0; i < node->call.argument_count; i++) {
        enum promql_type type = node->call.arguments[i]->type;
        if ((type == PROMQL_VECTOR || type == PROMQL_MATRIX) &&
            !eval_has_one_name(node->call.arguments[i])) {
            return false;
        }
    }
    return true;
}

bool eval_has_one_name(const struct promql_node *node)
{
    switch (node->kind) {
    case PROMQL_SELECTOR:
        return selector_has_one_name(node);
    case PROMQL_MATRIX_SELECTOR:
        return selector_has_one_name(node->matrix.selector);
    case PROMQL_SUBQUERY:
        return eval_has_one_name(node->subquery.of);
    case PROMQL_PAREN:
        return eval_has_one_name(node->paren.of);
    case PROMQL_UNARY:
        return eval_has_one_name(node->unary.of);
    case PROMQL_CALL:
        return call_has_one_name(node);
    case PROMQL_NUMBER:
    case PROMQL_TEXT:
    case PROMQL_DURATION:
    case PROMQL_AGGREGATE:
    case PROMQL_BINARY:
        return false;
    }
    return false;
}

/* ---- durations ------------------------------------------------------------------------------ */

/* A duration's value in seconds. */
static bool duration_seconds(struct eval *eval, const struct promql_node *node, double *ret_value);

static bool duration_operate(struct eval *eval, const struct promql_node *node, double left,
                             double right, double *ret_value)
{
    enum promql_operator operation = node->duration.operation;

    if ((operation == PROMQL_DIV || operation == PROMQL_MOD) && right == 0) {
        return eval_fail(eval, PROMQL_ERROR_BAD_DATA,
                         operation == PROMQL_DIV ? "division by zero" : "modulo by zero");
    }
    if (operation == PROMQL_DUR_MIN || operation == PROMQL_DUR_MAX) {
        *ret_value = operation == PROMQL_DUR_MIN ? fmin(left, right) : fmax(left, right);
    } else {
        *ret_value = eval_operate(operation, left, right);
    }
    return true;
}

static bool duration_node(struct eval *eval, const struct promql_node *node, double *ret_value)
{
    double left = 0, right = 0;

    if (node->duration.operation == PROMQL_DUR_STEP) {
        *ret_value = eval->is_range ? (double)eval->steps.step_ms / 1000 : 0;
        return true;
    }
    if (node->duration.operation == PROMQL_DUR_RANGE) {
        *ret_value = (double)(eval->steps.end_ms - eval->steps.start_ms) / 1000;
        return true;
    }
    if ((node->duration.left != NULL && !duration_seconds(eval, node->duration.left, &left)) ||
        (node->duration.right != NULL && !duration_seconds(eval, node->duration.right, &right))) {
        return false;
    }
    if (node->duration.left == NULL) {
        *ret_value = node->duration.operation == PROMQL_SUB ? -right : right;
        return true;
    }
    return duration_operate(eval, node, left, right, ret_value);
}

static bool duration_seconds(struct eval *eval, const struct promql_node *node, double *ret_value)
{
    node = eval_unwrap(node);
    if (node->kind == PROMQL_NUMBER) {
        *ret_value = node->number.value;
        return true;
    }
    if (node->kind == PROMQL_UNARY) {
        if (!duration_seconds(eval, node->unary.of, ret_value)) {
            return false;
        }
        *ret_value = node->unary.operation == PROMQL_SUB ? -*ret_value : *ret_value;
        return true;
    }
    Q_ASSERT(node->kind == PROMQL_DURATION);
    return duration_node(eval, node, ret_value);
}

bool eval_duration(struct eval *eval, const struct promql_node *expression, int64_t written_ms,
                   int64_t *ret_ms)
{
    double seconds;

    if (expression == NULL) {
        *ret_ms = written_ms;
        return true;
    }
    if (!duration_seconds(eval, expression, &seconds)) {
        return false;
    }
    if (!(fabs(seconds) < 9.2e15)) {
        return eval_fail(eval, PROMQL_ERROR_BAD_DATA, "duration is out of range");
    }
    *ret_ms = (int64_t)round(seconds * 1000);
    return true;
}

bool eval_range(struct eval *eval, const struct promql_node *expression, int64_t written_ms,
                int64_t *ret_ms)
{
    if (!eval_duration(eval, expression, written_ms, ret_ms)) {
        return false;
    }
    if (*ret_ms <= 0) {
        return eval_fail(eval, PROMQL_ERROR_BAD_DATA, "duration must be greater than 0");
    }
    return true;
}

bool eval_moments(struct eval *eval, const struct eval_frame *frame,
                  const struct promql_modifiers *modifiers, struct eval_frame *ret_frame)
{
    struct eval_frame moments = *frame;
    int64_t offset_ms = 0;

    if (!eval_duration(eval, modifiers->offset, modifiers->offset_ms, &offset_ms)) {
        return false;
    }
    if (modifiers->at != PROMQL_AT_STEP) {
        moments.step_ms = 0;
        moments.start_ms = modifiers->at == PROMQL_AT_TIME    ? modifiers->at_ms
                           : modifiers->at == PROMQL_AT_START ? eval->steps.start_ms
                                                              : eval->steps.end_ms;
    }
    if (__builtin_sub_overflow(moments.start_ms, offset_ms, &moments.start_ms)) {
        return eval_fail(eval, PROMQL_ERROR_BAD_DATA, "offset is out of range");
    }
    *ret_frame = moments;
    return true;
}
