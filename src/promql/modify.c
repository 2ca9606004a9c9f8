/*
 * What stands behind an expression: ranges, subqueries, `offset`, `@`, `anchored`, `smoothed`; and
 * durations, which ranges and offsets are.
 *
 * A duration that is a number is one in the tree as well; what has to be worked out stays an
 * expression (PROMQL_DURATION), until evaluation knows step and range. A number in parentheses is
 * that number.
 *
 * Durations are whole milliseconds from here on: what is below is dropped, as upstream drops it
 * when it evaluates.
 */
#include <promql/parser.h>

#include "grammar.h"

#include <promql/node.h>

#include <math.h>

/* Seconds that fit into 63 bits of nanoseconds. */
#define SECONDS_MAX (0x1p63 / 1e9)

static int64_t milliseconds_of(const struct promql_node *number)
{
    double nanoseconds = round(number->number.value * 1e9);

    return nanoseconds >= 0x1p63    ? INT64_MAX / 1000000
           : nanoseconds <= -0x1p63 ? INT64_MIN / 1000000
                                    : (int64_t)nanoseconds / 1000000;
}

/* ---- durations ------------------------------------------------------------------------------ */

static bool may_compute(struct promql_parser *parser, struct promql_range at)
{
    if (!parser->options->allows_duration_expressions) {
        promql_fail(parser, at, "experimental duration expression is not enabled");
    }
    return parser->options->allows_duration_expressions;
}

static bool is_out_of_range(const struct promql_node *number)
{
    return !(number->number.value <= SECONDS_MAX && number->number.value >= -SECONDS_MAX);
}

static bool is_zero(const struct promql_node *node)
{
    return node->kind == PROMQL_NUMBER && node->number.value == 0;
}

/* Where it stands: for an operation `at` is the operator's. */
static struct promql_range place_of(const struct promql_node *left, const struct promql_node *right,
                                    enum promql_operator operation, struct promql_range at)
{
    return operation >= PROMQL_DUR_STEP ? at : promql_merge(left->at, right->at);
}

struct promql_node *promql_make_duration(struct promql_parser *parser,
                                         enum promql_operator operation, struct promql_node *left,
                                         struct promql_node *right, struct promql_range at)
{
    const struct promql_range place = place_of(left, right, operation, at);
    const uint32_t left_depth = left == NULL ? 0 : left->depth;
    const uint32_t right_depth = right == NULL ? 0 : right->depth;
    const bool is_operation = operation < PROMQL_DUR_STEP;

    if (!may_compute(parser, is_operation ? left->at : place)) {
        return NULL;
    }
    if (is_operation && (operation == PROMQL_DIV || operation == PROMQL_MOD) && is_zero(right)) {
        return promql_fail(parser, at,
                           operation == PROMQL_DIV ? "division by zero" : "modulo by zero");
    }
    struct promql_node *node =
        promql_make_node(parser, PROMQL_DURATION, PROMQL_SCALAR, place,
                         1 + (left_depth > right_depth ? left_depth : right_depth));
    if (node != NULL) {
        node->duration.operation = operation;
        node->duration.left = left;
        node->duration.right = right;
    }
    return node;
}

struct promql_node *promql_sign_duration(struct promql_parser *parser,
                                         struct promql_token operation, struct promql_node *of)
{
    const struct promql_range at = promql_merge(operation.at, of->at);

    if (of->kind == PROMQL_NUMBER) {
        of->number.value = operation.kind == T_SUB ? -of->number.value : of->number.value;
        of->at = at;
        return is_out_of_range(of) ? promql_fail(parser, operation.at, "duration out of range")
                                   : of;
    }
    if (operation.kind == T_ADD) {
        return of;
    }
    struct promql_node *node =
        promql_make_node(parser, PROMQL_DURATION, PROMQL_SCALAR, at, of->depth + 1);
    if (node != NULL) {
        node->duration.operation = PROMQL_SUB;
        node->duration.right = of;
    }
    return node;
}

struct promql_node *promql_wrap_duration(struct promql_parser *parser, struct promql_node *of)
{
    if (!may_compute(parser, of->at)) {
        return NULL;
    }
    if (of->kind == PROMQL_DURATION) {
        of->duration.is_wrapped = true;
    }
    return of;
}

struct promql_node *promql_check_duration(struct promql_parser *parser, struct promql_node *of,
                                          bool is_positive)
{
    if (of->kind != PROMQL_NUMBER) {
        return of;
    }
    if (is_out_of_range(of)) {
        return promql_fail(parser, of->at, "duration out of range");
    }
    if (is_positive && !(of->number.value > 0)) {
        return promql_fail(parser, of->at, "duration must be greater than 0");
    }
    return of;
}

/* A duration as the tree has it: a number of milliseconds, or what works it out. */
static void put_duration(struct promql_node *duration, int64_t *ret_ms, struct promql_node **ret)
{
    if (duration->kind == PROMQL_NUMBER) {
        *ret_ms = milliseconds_of(duration);
    } else {
        *ret = duration;
    }
}

/* ---- ranges --------------------------------------------------------------------------------- */

static const char *range_fault(const struct promql_node *of)
{
    if (of->kind != PROMQL_SELECTOR) {
        return "ranges only allowed for vector selectors";
    }
    if (of->selector.modifiers.offset_ms != 0 || of->selector.modifiers.offset != NULL) {
        return "no offset modifiers allowed before range";
    }
    return of->selector.modifiers.at != PROMQL_AT_STEP ? "no @ modifiers allowed before range"
                                                       : NULL;
}

static uint32_t depth_above(const struct promql_node *of, const struct promql_node *range,
                            const struct promql_node *step)
{
    uint32_t depth = of->depth > range->depth ? of->depth : range->depth;

    return 1 + (step != NULL && step->depth > depth ? step->depth : depth);
}

struct promql_node *promql_make_range(struct promql_parser *parser, struct promql_node *of,
                                      struct promql_node *range, struct promql_range brackets)
{
    const char *fault = range_fault(of);

    if (fault != NULL) {
        return promql_fail(parser, brackets, "%s", fault);
    }
    struct promql_node *node =
        promql_make_node(parser, PROMQL_MATRIX_SELECTOR, PROMQL_MATRIX,
                         promql_merge(of->at, brackets), depth_above(of, range, NULL));
    if (node != NULL) {
        node->matrix.selector = of;
        put_duration(range, &node->matrix.range_ms, &node->matrix.range);
    }
    return node;
}

struct promql_node *promql_make_subquery(struct promql_parser *parser, struct promql_node *of,
                                         struct promql_node *range, struct promql_node *step,
                                         uint32_t end)
{
    struct promql_node *node =
        promql_make_node(parser, PROMQL_SUBQUERY, PROMQL_MATRIX,
                         (struct promql_range){of->at.start, end}, depth_above(of, range, step));

    if (node == NULL) {
        return NULL;
    }
    node->subquery.of = of;
    put_duration(range, &node->subquery.range_ms, &node->subquery.range);
    if (step != NULL) {
        put_duration(step, &node->subquery.step_ms, &node->subquery.step);
    }
    return node;
}

/* ---- modifiers ------------------------------------------------------------------------------ */

/* Those of a selector, with or without a range, or of a subquery. */
static struct promql_modifiers *modifiers_of(struct promql_node *of)
{
    return of->kind == PROMQL_SELECTOR          ? &of->selector.modifiers
           : of->kind == PROMQL_MATRIX_SELECTOR ? &of->matrix.selector->selector.modifiers
           : of->kind == PROMQL_SUBQUERY        ? &of->subquery.modifiers
                                                : NULL;
}

/* `of` is as deep as what was put into it. */
static struct promql_node *deepen(struct promql_parser *parser, struct promql_node *of,
                                  uint32_t depth)
{
    of->depth = of->depth > depth ? of->depth : depth;
    return of->depth > parser->depth_max ? promql_fail_depth(parser) : of;
}

struct promql_node *promql_set_offset(struct promql_parser *parser, struct promql_node *of,
                                      struct promql_node *offset, uint32_t end)
{
    struct promql_modifiers *modifiers = modifiers_of(of);

    if (modifiers == NULL) {
        return promql_fail(parser, of->at,
                           "offset modifier must be preceded by an instant vector selector or "
                           "range vector selector or a subquery");
    }
    if (modifiers->offset_ms != 0 || modifiers->offset != NULL) {
        return promql_fail(parser, of->at, "offset may not be set multiple times");
    }
    put_duration(offset, &modifiers->offset_ms, &modifiers->offset);
    of->at.end = end;
    return deepen(parser, of, offset->depth + 1);
}

/* The modifiers of `of`, if a time may be set. */
static struct promql_modifiers *timeless(struct promql_parser *parser, struct promql_node *of)
{
    struct promql_modifiers *modifiers = modifiers_of(of);

    if (modifiers == NULL) {
        return promql_fail(parser, of->at,
                           "@ modifier must be preceded by an instant vector selector or range "
                           "vector selector or a subquery");
    }
    if (modifiers->at != PROMQL_AT_STEP) {
        return promql_fail(parser, of->at, "@ <timestamp> may not be set multiple times");
    }
    return modifiers;
}

struct promql_node *promql_set_time(struct promql_parser *parser, struct promql_node *of,
                                    double seconds, uint32_t end)
{
    struct promql_modifiers *modifiers;

    if (!(seconds > -0x1p63 && seconds < 0x1p63)) {
        return isfinite(seconds)
                   ? promql_fail(parser, of->at, "timestamp out of bounds for @ modifier: %f",
                                 seconds)
                   : promql_fail(parser, of->at, "timestamp out of bounds for @ modifier: %s",
                                 isnan(seconds) ? "NaN"
                                 : seconds > 0  ? "+Inf"
                                                : "-Inf");
    }
    modifiers = timeless(parser, of);
    if (modifiers == NULL) {
        return NULL;
    }
    double milliseconds = round(seconds * 1000);
    modifiers->at = PROMQL_AT_TIME;
    modifiers->at_ms = milliseconds >= 0x1p63    ? INT64_MAX
                       : milliseconds <= -0x1p63 ? INT64_MIN
                                                 : (int64_t)milliseconds;
    of->at.end = end;
    return of;
}

struct promql_node *promql_set_time_of(struct promql_parser *parser, struct promql_node *of,
                                       enum promql_at at, uint32_t end)
{
    struct promql_modifiers *modifiers = timeless(parser, of);

    if (modifiers == NULL) {
        return NULL;
    }
    modifiers->at = at;
    of->at.end = end;
    return of;
}

struct promql_node *promql_set_extended(struct promql_parser *parser, struct promql_node *of,
                                        bool is_anchored)
{
    const char *name = is_anchored ? "anchored" : "smoothed";
    struct promql_node *selector = of->kind == PROMQL_SELECTOR          ? of
                                   : of->kind == PROMQL_MATRIX_SELECTOR ? of->matrix.selector
                                                                        : NULL;

    if (!parser->options->allows_extended_selectors) {
        return promql_fail(parser, of->at, "%s modifier is experimental and not enabled", name);
    }
    if (selector == NULL) {
        return promql_fail(parser, of->at, "%s modifier %s", name,
                           of->kind == PROMQL_SUBQUERY ? "is not supported for subqueries"
                                                       : "not implemented");
    }
    selector->selector.is_anchored |= is_anchored;
    selector->selector.is_smoothed |= !is_anchored;
    if (selector->selector.is_anchored && selector->selector.is_smoothed) {
        return promql_fail(parser, of->at,
                           "anchored and smoothed modifiers cannot be used together");
    }
    return of;
}
