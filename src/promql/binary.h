/*
 * Operators of two values.
 */
#ifndef QUARRY_PROMQL_BINARY_H
#define QUARRY_PROMQL_BINARY_H

#include <promql/eval.h>

struct eval_operand {
    enum eval_kind kind;
    bool is_false; /* a comparison does not hold */
    double value;
    const struct promql_histogram *histogram;
};

struct eval_operand eval_operand_at(const struct eval_row *row, uint32_t step);
bool eval_put_operand(struct eval *eval, struct eval_row *row, uint32_t step_count, uint32_t step,
                      const struct eval_operand *operand);

/* What a node's operator makes of two values: kind EVAL_NONE where it makes nothing. Comparisons
 * give the left one, or 1 and 0. Histograms that are made last as long as the query. */
bool eval_operate_pair(struct eval *eval, const struct promql_node *node, struct eval_operand left,
                       struct eval_operand right, struct eval_operand *ret_result);
/* Whether results have no name. */
bool eval_drops_name(const struct eval *eval, const struct promql_node *node);

#endif
