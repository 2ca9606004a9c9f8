/*
 * Aggregations: groups of rows, and what they come to.
 */
#ifndef QUARRY_PROMQL_AGGREGATE_H
#define QUARRY_PROMQL_AGGREGATE_H

#include <promql/eval.h>

/* The groups of an aggregation, in the order in which rows brought them. */
struct eval_groups {
    struct eval *eval;
    const struct promql_node *node;
    struct eval_table table;
    struct eval_label_buffer buffer;
};

/* The number of the group that a row belongs to. */
bool eval_group_of(struct eval_groups *groups, const struct eval_row *row, uint32_t *ret_number,
                   bool *ret_is_new);
/* Whether groups keep the name as it is, so that one that is to be dropped is so later. */
bool eval_group_has_name(const struct promql_node *node);

/* Aggregations that need all rows of a group at once: choose.c. */
struct eval_stream *eval_choose(struct eval *eval, const struct eval_frame *frame,
                                const struct promql_node *node);
/* count_values: count_values.c. */
struct eval_stream *eval_count_values(struct eval *eval, const struct eval_frame *frame,
                                      const struct promql_node *node);

#endif
