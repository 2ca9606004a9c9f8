/*
 * Making nodes: what the parser's files share.
 */
#ifndef QUARRY_PROMQL_NODE_H
#define QUARRY_PROMQL_NODE_H

#include <promql/parser.h>

/* A node of zeroes. `depth`: 1 more than that of the deepest below it. Returns: NULL: the parser
 * has failed. */
struct promql_node *promql_make_node(struct promql_parser *parser, enum promql_kind kind,
                                     enum promql_type type, struct promql_range at, uint32_t depth);

/* Copies of a token's text, and of what stands in its quotes, with a NUL behind. Returns: bytes
 * NULL: no memory. */
struct quarry_tsdb_slice promql_copy_token(struct promql_parser *parser, struct promql_token token);
struct quarry_tsdb_slice promql_unquote_token(struct promql_parser *parser,
                                              struct promql_token token);

#endif
