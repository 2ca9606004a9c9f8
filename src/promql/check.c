/*
 * Types, and what beside them makes no sense: the second look at a tree, when it is whole.
 *
 * The first fault of a tree is the one that is told, in the order in which upstream looks: children
 * before what they are children of, mostly. No deeper than the parser lets a tree be.
 */
#include <promql/parser.h>

#include <promql/function.h>
#include <promql/text.h>

#include <string.h>

static bool check_type(struct promql_parser *parser, struct promql_node *node,
                       enum promql_type wanted, const char *context)
{
    if (!promql_check(parser, node)) {
        return false;
    }
    if (node->type != wanted) {
        promql_fail(parser, node->at, "expected type %s in %s, got %s", promql_type_words(wanted),
                    context, promql_type_words(node->type));
        return false;
    }
    return true;
}

static bool check_aggregate(struct promql_parser *parser, struct promql_node *node)
{
    const enum promql_aggregation operation = node->aggregate.operation;

    if (!check_type(parser, node->aggregate.of, PROMQL_VECTOR, "aggregation expression")) {
        return false;
    }
    return node->aggregate.parameter == NULL ||
           check_type(parser, node->aggregate.parameter,
                      operation == PROMQL_COUNT_VALUES ? PROMQL_STRING : PROMQL_SCALAR,
                      "aggregation parameter");
}

/* ---- operators ------------------------------------------------------------------------------ */

static bool is_space(char character)
{
    return character == ' ' || character == '\t' || character == '\n' || character == '\r';
}

/* Where the operator stands: between its sides, blanks left out. */
static struct promql_range operator_place(const struct promql_parser *parser,
                                          const struct promql_node *node)
{
    const char *text = parser->lexer.text;
    struct promql_range at = {node->binary.left->at.end, node->binary.right->at.start};

    while (is_space(text[at.start])) {
        at.start++;
    }
    while (at.end > at.start && is_space(text[at.end - 1])) {
        at.end--;
    }
    return at;
}

static bool is_same(struct quarry_tsdb_slice left, struct quarry_tsdb_slice right)
{
    return left.count == right.count && memcmp(left.bytes, right.bytes, left.count) == 0;
}

static bool check_include(struct promql_parser *parser, const struct promql_node *node)
{
    const struct promql_matching *matching = &node->binary.matching;
    struct promql_quoted room;

    for (size_t i = 0; matching->is_on && i < matching->label_count; i++) {
        for (size_t j = 0; j < matching->include_count; j++) {
            if (is_same(matching->labels[i], matching->include[j])) {
                promql_fail(parser, operator_place(parser, node),
                            "label %s must not occur in ON and GROUP clause at once",
                            promql_quote(&room, matching->labels[i]));
                return false;
            }
        }
    }
    return true;
}

static bool is_operand(const struct promql_node *node)
{
    return node->type == PROMQL_SCALAR || node->type == PROMQL_VECTOR;
}

/* What may not be said about matching. */
static const char *matching_fault(const struct promql_node *node)
{
    const struct promql_matching *matching = &node->binary.matching;
    const bool has_fill = matching->has_fill_left || matching->has_fill_right;

    if (node->binary.left->type != PROMQL_VECTOR || node->binary.right->type != PROMQL_VECTOR) {
        return matching->label_count > 0 ? "vector matching only allowed between instant vectors"
               : has_fill ? "filling in missing series only allowed between instant vectors"
                          : NULL;
    }
    return promql_operator_is_set(node->binary.operation) && has_fill
               ? "filling in missing series not allowed for set operators"
               : NULL;
}

static bool check_sides(struct promql_parser *parser, struct promql_node *node)
{
    const struct promql_node *left = node->binary.left, *right = node->binary.right;
    const bool is_set = promql_operator_is_set(node->binary.operation);
    const bool has_scalar = left->type == PROMQL_SCALAR || right->type == PROMQL_SCALAR;
    const char *name = promql_operator_name(node->binary.operation);
    const char *fault;

    if (!is_operand(left) || !is_operand(right)) {
        promql_fail(parser, is_operand(left) ? right->at : left->at,
                    "binary expression must contain only scalar and instant vector types");
        return false;
    }
    if (is_set && !has_scalar && node->binary.matching.card != PROMQL_MANY_TO_MANY) {
        promql_fail(parser, node->at, "no grouping allowed for \"%s\" operation", name);
        return false;
    }
    fault = matching_fault(node);
    if (fault != NULL) {
        promql_fail(parser, node->at, "%s", fault);
        return false;
    }
    if (is_set && has_scalar) {
        promql_fail(parser, node->at, "set operator \"%s\" not allowed in binary scalar expression",
                    name);
        return false;
    }
    return true;
}

/* An operator whose sides have been checked. */
static bool check_operator(struct promql_parser *parser, struct promql_node *node)
{
    const bool is_comparison = promql_operator_is_comparison(node->binary.operation);
    struct promql_matching *matching = &node->binary.matching;

    if (node->binary.returns_bool && !is_comparison) {
        promql_fail(parser, operator_place(parser, node),
                    "bool modifier can only be used on comparison operators");
        return false;
    }
    if (is_comparison && !node->binary.returns_bool && node->type == PROMQL_SCALAR) {
        promql_fail(parser, operator_place(parser, node),
                    "comparisons between scalars must use BOOL modifier");
        return false;
    }
    if (promql_operator_is_set(node->binary.operation) && matching->card == PROMQL_ONE_TO_ONE) {
        matching->card = PROMQL_MANY_TO_MANY;
    }
    return check_include(parser, node) && check_sides(parser, node);
}

static bool check_chain(struct promql_parser *parser, struct promql_node *last)
{
    struct promql_node *node = promql_chain_first(last);

    if (!promql_check(parser, node->binary.left)) {
        return false;
    }
    while (promql_check(parser, node->binary.right) && check_operator(parser, node)) {
        if (node == last) {
            return true;
        }
        node = node->binary.above;
    }
    return false;
}

/* ---- calls ---------------------------------------------------------------------------------- */

static bool check_count(struct promql_parser *parser, const struct promql_node *node)
{
    const struct promql_function *function = node->call.function;
    const size_t count = node->call.argument_count;
    const size_t least = function->argument_count - (size_t)(function->variadic != 0);

    if (function->variadic == 0 && count != least) {
        promql_fail(parser, node->at, "expected %zu argument(s) in call to \"%s\", got %zu", least,
                    function->name, count);
        return false;
    }
    if (count < least) {
        promql_fail(parser, node->at,
                    "expected at least %zu argument(s) in call to \"%s\", got %zu", least,
                    function->name, count);
        return false;
    }
    if (function->variadic > 0 && count > least + (size_t)function->variadic) {
        promql_fail(parser, node->at, "expected at most %zu argument(s) in call to \"%s\", got %zu",
                    least + (size_t)function->variadic, function->name, count);
        return false;
    }
    return true;
}

/* The second argument of info says which labels: matchers without a name, which may all pass the
 * empty text. */
static bool check_info(struct promql_parser *parser, struct promql_node *node)
{
    struct promql_node *matchers = node->call.arguments[1];

    if (matchers->type != PROMQL_VECTOR) {
        promql_fail(parser, node->at,
                    "expected type instant vector in call to function \"info\", got %s",
                    promql_type_words(matchers->type));
        return false;
    }
    if (matchers->kind != PROMQL_SELECTOR || matchers->selector.name.count > 0) {
        promql_fail(parser, matchers->at, "expected label selectors only%s",
                    matchers->kind == PROMQL_SELECTOR ? ", got vector selector instead" : "");
        return false;
    }
    matchers->selector.is_selective = true;
    return true;
}

static bool check_call(struct promql_parser *parser, struct promql_node *node)
{
    const struct promql_function *function = node->call.function;

    if (!check_count(parser, node)) {
        return false;
    }
    if (function->id == PROMQL_FN_info && node->call.argument_count > 1 &&
        !check_info(parser, node)) {
        return false;
    }
    for (size_t i = 0; i < node->call.argument_count; i++) {
        const size_t last = function->argument_count - 1u;
        const enum promql_type wanted = function->arguments[i < last ? i : last];
        struct promql_node *argument = node->call.arguments[i];

        if (!promql_check(parser, argument)) {
            return false;
        }
        if (argument->type != wanted) {
            promql_fail(parser, argument->at, "expected type %s in call to function \"%s\", got %s",
                        promql_type_words(wanted), function->name,
                        promql_type_words(argument->type));
            return false;
        }
    }
    return true;
}

/* ---- the rest ------------------------------------------------------------------------------- */

static bool check_unary(struct promql_parser *parser, struct promql_node *node)
{
    if (!promql_check(parser, node->unary.of)) {
        return false;
    }
    if (!is_operand(node->unary.of)) {
        promql_fail(parser, node->at,
                    "unary expression only allowed on expressions of type scalar or instant "
                    "vector, got \"%s\"",
                    promql_type_words(node->unary.of->type));
        return false;
    }
    return true;
}

static bool check_subquery(struct promql_parser *parser, struct promql_node *node)
{
    if (!promql_check(parser, node->subquery.of)) {
        return false;
    }
    if (node->subquery.of->type != PROMQL_VECTOR) {
        promql_fail(parser, node->at, "subquery is only allowed on instant vector, got %s instead",
                    promql_type_name(node->subquery.of->type));
        return false;
    }
    return true;
}

static bool check_selector(struct promql_parser *parser, const struct promql_node *node)
{
    const struct quarry_tsdb_slice name = QUARRY_TSDB_TEXT("__name__");
    const size_t named = node->selector.name.count > 0;
    struct promql_quoted first, second;

    for (size_t i = 0; named && i + 1 < node->selector.matcher_count; i++) {
        const struct quarry_tsdb_matcher *matcher = &node->selector.matchers[i];
        if (is_same(matcher->name, name)) {
            promql_fail(parser, node->at, "metric name must not be set twice: %s or %s",
                        promql_quote(&first, node->selector.name),
                        promql_quote(&second, matcher->value));
            return false;
        }
    }
    if (!node->selector.is_selective) {
        promql_fail(parser, node->at,
                    "vector selector must contain at least one non-empty matcher");
        return false;
    }
    return true;
}

bool promql_check(struct promql_parser *parser, struct promql_node *node)
{
    switch (node->kind) {
    case PROMQL_AGGREGATE:
        return check_aggregate(parser, node);
    case PROMQL_BINARY:
        return check_chain(parser, node);
    case PROMQL_CALL:
        return check_call(parser, node);
    case PROMQL_PAREN:
        return promql_check(parser, node->paren.of);
    case PROMQL_UNARY:
        return check_unary(parser, node);
    case PROMQL_SUBQUERY:
        return check_subquery(parser, node);
    case PROMQL_MATRIX_SELECTOR:
        return promql_check(parser, node->matrix.selector);
    case PROMQL_SELECTOR:
        return check_selector(parser, node);
    case PROMQL_NUMBER:
    case PROMQL_TEXT:
    case PROMQL_DURATION:
        break;
    }
    return true;
}
