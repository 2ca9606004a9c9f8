/*
 * What the grammar's rules make: errors, lists, nodes. Selectors are selector.c's, durations and
 * what stands behind expressions modify.c's.
 *
 * Lists are chains while they grow, and become arrays where they end. Nodes know how deep they are,
 * so that nobody who walks a tree later need ask whether the stack bears it.
 */
#include <promql/parser.h>

#include "grammar.h"

#include <promql/function.h>
#include <promql/node.h>
#include <promql/text.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- failing -------------------------------------------------------------------------------- */

/* Where a byte of the text is. Line and column 0 for an empty text. */
static void locate(struct promql_parse_error *error, const struct promql_lexer *lexer, uint32_t at)
{
    uint32_t line = 1, begin = 0;

    for (uint32_t i = 0; i < at && i < lexer->count; i++) {
        if (lexer->text[i] == '\n') {
            line++;
            begin = i + 1;
        }
    }
    error->line = lexer->count == 0 ? 0 : line;
    error->column = lexer->count == 0 ? 0 : at - begin + 1;
}

/* Ends a text that was cut behind a whole character. */
static void end_text(char *text, size_t count)
{
    while (count > 0 && ((unsigned char)text[count] & 0xc0u) == 0x80u) {
        count--;
    }
    text[count] = '\0';
}

void *promql_fail(struct promql_parser *parser, struct promql_range at, const char *format, ...)
{
    struct promql_parse_error *error = parser->error;
    va_list arguments;

    if (parser->has_failed) {
        return NULL;
    }
    parser->has_failed = true;
    parser->status = QUARRY_BAD_INPUT;
    error->at = at;
    locate(error, &parser->lexer, at.start);
    int used = error->line == 0
                   ? snprintf(error->text, sizeof(error->text), "unknown position: parse error: ")
                   : snprintf(error->text, sizeof(error->text), "%u:%u: parse error: ", error->line,
                              error->column);
    va_start(arguments, format);
    vsnprintf(error->text + used, sizeof(error->text) - (size_t)used, format, arguments);
    va_end(arguments);
    end_text(error->text, strlen(error->text));
    return NULL;
}

void *promql_fail_memory(struct promql_parser *parser)
{
    promql_fail(parser, (struct promql_range){0, 0}, "no memory for the expression");
    if (parser->memory->is_refused) {
        parser->status = QUARRY_NO_MEMORY;
    }
    return NULL;
}

void *promql_fail_depth(struct promql_parser *parser)
{
    if (!parser->has_failed) {
        promql_fail(parser, parser->lexer.token.at,
                    "expression is nested too deeply, more than %u levels", parser->depth_max);
        parser->status = QUARRY_TOO_LARGE;
    }
    return NULL;
}

void promql_unexpected(struct promql_parser *parser, const char *context, const char *expected)
{
    struct promql_described room;

    promql_fail(parser, parser->lexer.token.at, "unexpected %s%s%s%s%s",
                promql_describe(parser, &room), context[0] == '\0' ? "" : " in ", context,
                expected[0] == '\0' ? "" : ", expected ", expected);
}

/* ---- pieces --------------------------------------------------------------------------------- */

struct quarry_tsdb_slice promql_token_text(const struct promql_parser *parser,
                                           struct promql_token token)
{
    return (struct quarry_tsdb_slice){.bytes = parser->lexer.text + token.at.start,
                                      .count = token.at.end - token.at.start};
}

struct promql_range promql_merge(struct promql_range first, struct promql_range last)
{
    return (struct promql_range){first.start, last.end};
}

/* A copy of its own, with a NUL behind it. Returns: bytes NULL: no memory. */
struct quarry_tsdb_slice promql_copy_token(struct promql_parser *parser, struct promql_token token)
{
    struct quarry_tsdb_slice text = promql_token_text(parser, token);

    text.bytes = promql_memory_copy(parser->memory, text.bytes, text.count);
    return text;
}

struct quarry_tsdb_slice promql_unquote_token(struct promql_parser *parser,
                                              struct promql_token token)
{
    return promql_unquote(parser->memory, promql_token_text(parser, token));
}

struct promql_links *promql_links_none(struct promql_parser *parser)
{
    struct promql_links *links = promql_memory_take_zero(parser->memory, 1, sizeof(*links));

    return links != NULL ? links : promql_fail_memory(parser);
}

struct promql_links *promql_links_add(struct promql_parser *parser, struct promql_links *links,
                                      const struct promql_link *link)
{
    struct promql_link *added = promql_memory_take(parser->memory, sizeof(*added));

    links = links != NULL ? links : promql_links_none(parser);
    if (added == NULL || links == NULL) {
        return promql_fail_memory(parser);
    }
    *added = *link;
    added->next = NULL;
    if (links->first == NULL) {
        links->first = added;
    } else {
        links->last->next = added;
    }
    links->last = added;
    links->count++;
    return links;
}

struct promql_links *promql_links_join(struct promql_links *links, struct promql_links *others)
{
    links->last->next = others->first;
    links->last = others->last;
    links->count += others->count;
    return links;
}

struct promql_node *promql_make_node(struct promql_parser *parser, enum promql_kind kind,
                                     enum promql_type type, struct promql_range at, uint32_t depth)
{
    if (depth > parser->depth_max) {
        return promql_fail_depth(parser);
    }
    struct promql_node *node = promql_memory_take_zero(parser->memory, 1, sizeof(*node));
    if (node == NULL) {
        return promql_fail_memory(parser);
    }
    node->kind = kind;
    node->type = type;
    node->at = at;
    node->depth = depth;
    return node;
}

/* ---- leaves --------------------------------------------------------------------------------- */

static bool read_duration_token(struct promql_parser *parser, struct promql_token token,
                                double *ret_value)
{
    struct quarry_tsdb_slice text = promql_token_text(parser, token);
    struct promql_quoted room;
    int64_t duration_ms;

    switch (promql_read_duration(text, &duration_ms)) {
    case PROMQL_DURATION_OK:
        if (duration_ms == 0 && parser->options->compat_2_42) {
            promql_fail(parser, token.at, "duration must be greater than 0");
            return false;
        }
        *ret_value = (double)duration_ms / 1000;
        return true;
    case PROMQL_DURATION_RANGE:
        promql_fail(parser, token.at, "duration out of range");
        return false;
    case PROMQL_DURATION_EMPTY:
    case PROMQL_DURATION_INVALID:
        break;
    }
    promql_fail(parser, token.at, "not a valid duration string: %s", promql_quote(&room, text));
    return false;
}

bool promql_token_number(struct promql_parser *parser, struct promql_token token, double *ret_value)
{
    struct quarry_tsdb_slice text = promql_token_text(parser, token);
    struct promql_quoted room;
    const bool compat = parser->options->compat_2_42;

    if (compat && (token.kind == T_DURATION || memchr(text.bytes, '_', text.count) != NULL)) {
        promql_fail(parser, token.at, "unexpected %s %s",
                    token.kind == T_DURATION ? "duration" : "number", promql_quote(&room, text));
        return false;
    }
    if (token.kind == T_DURATION) {
        return read_duration_token(parser, token, ret_value);
    }
    if (!promql_read_number(text, ret_value)) {
        promql_quote(&room, text);
        promql_fail(parser, token.at, "error parsing number: strconv.ParseFloat: parsing %s: %s",
                    room.text,
                    strspn(text.bytes, "0123456789.eE+-_") < text.count ? "invalid syntax"
                                                                        : "value out of range");
        return false;
    }
    return true;
}

struct promql_node *promql_make_number(struct promql_parser *parser, struct promql_token token)
{
    struct promql_node *node = promql_make_node(parser, PROMQL_NUMBER, PROMQL_SCALAR, token.at, 1);

    if (node == NULL || !promql_token_number(parser, token, &node->number.value)) {
        return NULL;
    }
    node->number.is_duration = token.kind == T_DURATION;
    return node;
}

struct promql_node *promql_make_duration_literal(struct promql_parser *parser,
                                                 struct promql_token token)
{
    struct promql_node *node = promql_make_node(parser, PROMQL_NUMBER, PROMQL_SCALAR, token.at, 1);
    struct promql_quoted room;

    if (node == NULL || !parser->options->compat_2_42) {
        return node == NULL ? NULL : promql_make_number(parser, token);
    }
    if (token.kind == T_NUMBER) {
        return promql_fail(parser, token.at, "unexpected number %s, expected duration",
                           promql_quote(&room, promql_token_text(parser, token)));
    }
    node->number.is_duration = true;
    return read_duration_token(parser, token, &node->number.value) ? node : NULL;
}

struct promql_node *promql_make_string(struct promql_parser *parser, struct promql_token token)
{
    struct promql_node *node = promql_make_node(parser, PROMQL_TEXT, PROMQL_STRING, token.at, 1);

    if (node == NULL) {
        return NULL;
    }
    node->text.value = promql_unquote_token(parser, token);
    return node->text.value.bytes != NULL ? node : promql_fail_memory(parser);
}

/* ---- labels --------------------------------------------------------------------------------- */

/* The names of a list as an array. */
static const struct quarry_tsdb_slice *copy_names(struct promql_parser *parser,
                                                  const struct promql_links *links)
{
    struct quarry_tsdb_slice *names =
        promql_memory_take_zero(parser->memory, links->count, sizeof(*names));
    size_t i = 0;

    for (const struct promql_link *link = links->first; names != NULL && link != NULL;
         link = link->next) {
        names[i++] = link->name;
    }
    return names != NULL ? names : promql_fail_memory(parser);
}

struct promql_grouping *promql_make_grouping(struct promql_parser *parser,
                                             struct promql_links *labels, bool is_without)
{
    struct promql_grouping *grouping = promql_memory_take(parser->memory, sizeof(*grouping));

    if (grouping == NULL) {
        return promql_fail_memory(parser);
    }
    *grouping = (struct promql_grouping){.labels = labels, .is_without = is_without};
    return grouping;
}

struct promql_sides *promql_make_sides(struct promql_parser *parser, bool returns_bool)
{
    struct promql_sides *sides = promql_memory_take_zero(parser->memory, 1, sizeof(*sides));

    if (sides == NULL) {
        return promql_fail_memory(parser);
    }
    sides->returns_bool = returns_bool;
    return sides;
}

struct promql_sides *promql_match_labels(struct promql_parser *parser, struct promql_sides *sides,
                                         const struct promql_links *labels, bool is_on)
{
    sides->matching.labels = copy_names(parser, labels);
    sides->matching.label_count = labels->count;
    sides->matching.is_on = is_on;
    sides->matching.is_written = true;
    return sides->matching.labels != NULL ? sides : NULL;
}

struct promql_sides *promql_group_labels(struct promql_parser *parser, struct promql_sides *sides,
                                         const struct promql_links *labels, enum promql_card card)
{
    sides->matching.include = copy_names(parser, labels);
    sides->matching.include_count = labels->count;
    sides->matching.card = card;
    return sides->matching.include != NULL ? sides : NULL;
}

struct promql_sides *promql_fill(struct promql_sides *sides, const double *left,
                                 const double *right)
{
    if (left != NULL) {
        sides->matching.has_fill_left = true;
        sides->matching.fill_left = *left;
    }
    if (right != NULL) {
        sides->matching.has_fill_right = true;
        sides->matching.fill_right = *right;
    }
    return sides;
}

/* ---- expressions of expressions ------------------------------------------------------------- */

struct promql_node *promql_make_paren(struct promql_parser *parser, struct promql_node *of,
                                      struct promql_range at)
{
    struct promql_node *node = promql_make_node(parser, PROMQL_PAREN, of->type, at, of->depth + 1);

    if (node != NULL) {
        node->paren.of = of;
    }
    return node;
}

struct promql_node *promql_make_unary(struct promql_parser *parser, struct promql_token operation,
                                      struct promql_node *of)
{
    const struct promql_range at = promql_merge(operation.at, of->at);

    if (of->kind == PROMQL_NUMBER) {
        of->number.value = operation.kind == T_SUB ? -of->number.value : of->number.value;
        of->at = at;
        return of;
    }
    struct promql_node *node = promql_make_node(parser, PROMQL_UNARY, of->type, at, of->depth + 1);
    if (node != NULL) {
        node->unary.operation = operation.kind == T_SUB ? PROMQL_SUB : PROMQL_ADD;
        node->unary.of = of;
    }
    return node;
}

struct promql_node *promql_make_binary(struct promql_parser *parser, struct promql_node *left,
                                       enum promql_operator operation, struct promql_sides *sides,
                                       struct promql_node *right)
{
    const bool is_scalar = left->type == PROMQL_SCALAR && right->type == PROMQL_SCALAR;
    const struct promql_range at = promql_merge(left->at, right->at);
    const bool is_chain = left->kind == PROMQL_BINARY;
    const uint32_t left_depth = is_chain ? left->depth - 1 : left->depth;
    const uint32_t depth = left_depth > right->depth ? left_depth : right->depth;
    struct promql_node *node = promql_make_node(
        parser, PROMQL_BINARY, is_scalar ? PROMQL_SCALAR : PROMQL_VECTOR, at, depth + 1);

    if (node == NULL) {
        return NULL;
    }
    node->binary.left = left;
    node->binary.right = right;
    node->binary.first = is_chain ? left->binary.first : node;
    if (is_chain) {
        left->binary.above = node;
    }
    node->binary.operation = operation;
    node->binary.returns_bool = sides->returns_bool;
    node->binary.matching = sides->matching;
    if (!parser->options->allows_fill &&
        (sides->matching.has_fill_left || sides->matching.has_fill_right)) {
        return promql_fail(parser, at, "binop fill modifiers are experimental and not enabled");
    }
    return node;
}

/* The greatest depth of a list's nodes; 0 for none. */
static uint32_t deepest(const struct promql_links *links)
{
    uint32_t depth = 0;

    for (const struct promql_link *link = links->first; link != NULL; link = link->next) {
        depth = link->node->depth > depth ? link->node->depth : depth;
    }
    return depth;
}

struct promql_node *promql_make_call(struct promql_parser *parser, struct promql_token name,
                                     const struct promql_links *arguments, struct promql_range at)
{
    const struct quarry_tsdb_slice text = promql_token_text(parser, name);
    const struct promql_function *function =
        promql_function_find(text, parser->options->compat_2_42);
    struct promql_quoted room;

    if (function == NULL) {
        return promql_fail(parser, name.at, "unknown function with name %s",
                           promql_quote(&room, text));
    }
    if (function->is_experimental && !parser->options->allows_experimental_functions) {
        return promql_fail(parser, name.at, "function %s is not enabled",
                           promql_quote(&room, text));
    }
    struct promql_node *node =
        promql_make_node(parser, PROMQL_CALL, function->returns, at, deepest(arguments) + 1);
    if (node == NULL) {
        return NULL;
    }
    node->call.function = function;
    node->call.argument_count = arguments->count;
    node->call.arguments =
        promql_memory_take_zero(parser->memory, arguments->count, sizeof(struct promql_node *));
    if (node->call.arguments == NULL) {
        return promql_fail_memory(parser);
    }
    size_t i = 0;
    for (const struct promql_link *link = arguments->first; link != NULL; link = link->next) {
        node->call.arguments[i++] = link->node;
    }
    return node;
}

static enum promql_aggregation aggregation_of(int kind)
{
    static const int kinds[] = {T_SUM,          T_AVG,      T_MIN,    T_MAX,        T_COUNT,
                                T_GROUP,        T_STDDEV,   T_STDVAR, T_TOPK,       T_BOTTOMK,
                                T_COUNT_VALUES, T_QUANTILE, T_LIMITK, T_LIMIT_RATIO};
    size_t i = 0;

    while (kinds[i] != kind) {
        i++;
        Q_ASSERT(i < sizeof(kinds) / sizeof(kinds[0]));
    }
    return (enum promql_aggregation)(PROMQL_SUM + i);
}

/* Whether it may be used, and has as many arguments as it takes. */
static bool check_aggregate(struct promql_parser *parser, enum promql_aggregation operation,
                            size_t count, struct promql_range at)
{
    const size_t wanted = promql_aggregation_has_parameter(operation) ? 2 : 1;

    if (count == 0) {
        promql_fail(parser, at, "no arguments for aggregate expression provided");
        return false;
    }
    if (operation >= PROMQL_LIMITK && !parser->options->allows_experimental_functions) {
        promql_fail(parser, at,
                    "%s() is experimental and must be enabled with "
                    "--enable-feature=promql-experimental-functions",
                    promql_aggregation_name(operation));
        return false;
    }
    if (count != wanted) {
        promql_fail(parser, at,
                    "wrong number of arguments for aggregate expression provided, expected %zu, "
                    "got %zu",
                    wanted, count);
        return false;
    }
    return true;
}

struct promql_node *promql_make_aggregate(struct promql_parser *parser, struct promql_token name,
                                          const struct promql_grouping *grouping,
                                          const struct promql_links *arguments,
                                          struct promql_range at)
{
    const enum promql_aggregation operation = aggregation_of(name.kind);

    if (!check_aggregate(parser, operation, arguments->count, at)) {
        return NULL;
    }
    struct promql_node *node =
        promql_make_node(parser, PROMQL_AGGREGATE, PROMQL_VECTOR, at, deepest(arguments) + 1);
    if (node == NULL) {
        return NULL;
    }
    node->aggregate.operation = operation;
    node->aggregate.of = arguments->last->node;
    node->aggregate.parameter = arguments->count == 2 ? arguments->first->node : NULL;
    if (grouping != NULL) {
        node->aggregate.is_grouped = true;
        node->aggregate.is_without = grouping->is_without;
        node->aggregate.labels = copy_names(parser, grouping->labels);
        node->aggregate.label_count = grouping->labels->count;
        return node->aggregate.labels != NULL ? node : NULL;
    }
    return node;
}
