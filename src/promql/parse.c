/*
 * From text to a tree that is checked: what is called from outside.
 *
 *     text ──scan.re──> tokens ──lexer.c──> grammar.y ──build.c, modify.c──> nodes ──check.c──>
 * tree
 *
 * The text is copied once, with a NUL behind it, into the query's memory, where the tree's strings
 * are copied to as well: the caller's text need not live on.
 */
#include <promql/parse.h>

#include <promql/parser.h>

#include "grammar.h"

#include <stdio.h>

static enum quarry_status refuse_length(struct promql_parse_error *error, size_t count)
{
    *error = (struct promql_parse_error){.line = 1, .column = 1};
    snprintf(error->text, sizeof(error->text),
             "1:1: parse error: expression is too long, %zu bytes of at most %u", count,
             PROMQL_TEXT_BYTES_MAX);
    return QUARRY_TOO_LARGE;
}

static enum quarry_status parse(struct promql_parser *parser, struct quarry_tsdb_slice text,
                                struct promql_node **ret_node)
{
    const uint32_t depth_max = parser->options->depth_max;

    if (text.count > PROMQL_TEXT_BYTES_MAX) {
        return refuse_length(parser->error, text.count);
    }
    *parser->error = (struct promql_parse_error){.text = ""};
    parser->depth_max =
        depth_max == 0 || depth_max > PROMQL_DEPTH_MAX ? PROMQL_DEPTH_MAX : depth_max;
    parser->lexer.text = promql_memory_copy(parser->memory, text.bytes, text.count);
    parser->lexer.count = (uint32_t)text.count;
    if (parser->lexer.text == NULL) {
        parser->lexer.count = 0;
        promql_fail_memory(parser);
        return parser->status;
    }
    int result = promql_yyparse(parser);
    if (!parser->has_failed && result == 0 && promql_check(parser, parser->result)) {
        *ret_node = parser->result;
        return QUARRY_OK;
    }
    Q_ASSERT(parser->has_failed);
    return parser->status;
}

enum quarry_status promql_parse(struct promql_memory *memory, struct quarry_tsdb_slice text,
                                const struct promql_parse_options *options,
                                struct promql_node **ret_node, struct promql_parse_error *error)
{
    struct promql_parser parser = {
        .memory = memory, .options = options, .error = error, .begin = T_BEGIN_EXPRESSION};

    return parse(&parser, text, ret_node);
}

enum quarry_status promql_parse_selector(struct promql_memory *memory,
                                         struct quarry_tsdb_slice text,
                                         const struct promql_parse_options *options,
                                         struct promql_node **ret_node,
                                         struct promql_parse_error *error)
{
    struct promql_parser parser = {
        .memory = memory, .options = options, .error = error, .begin = T_BEGIN_SELECTOR};

    return parse(&parser, text, ret_node);
}
