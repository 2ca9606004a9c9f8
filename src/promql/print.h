/*
 * Trees as text: as Prometheus prints them, laid out for people, and as JSON for its web pages.
 *
 * What is written lies in the writer's memory, which says whether there was enough of it.
 * Threads: any; the memory is one thread's. Cost: O(text); of the layout O(text * depth).
 */
#ifndef QUARRY_PROMQL_PRINT_H
#define QUARRY_PROMQL_PRINT_H

#include <promql/ast.h>
#include <promql/text.h>

/* On one line: parsed again, it is the same tree. */
void promql_print(struct promql_writer *writer, const struct promql_node *node);

/* As format_query answers: what is longer than 100 bytes is broken into lines. */
void promql_print_pretty(struct promql_writer *writer, const struct promql_node *node);

/* As parse_query answers: {"type":"vectorSelector", …}, names of members sorted. */
void promql_print_json(struct promql_writer *writer, const struct promql_node *node);

/* Labels as results and errors have them: {__name__="up", job="node"}. */
void promql_print_labels(struct promql_writer *writer, const struct quarry_tsdb_label *labels,
                         size_t count);

/* Parts of expressions: `sum by (a) `; `+ on (a) group_left (b)`, without the operator; what stands
 * behind a subquery, brackets included. */
void promql_print_aggregation(struct promql_writer *writer, const struct promql_node *node);
void promql_print_matching(struct promql_writer *writer, const struct promql_node *node);
void promql_print_subquery_end(struct promql_writer *writer, const struct promql_node *node);

#endif
