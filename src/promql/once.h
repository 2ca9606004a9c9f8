/*
 * Aggregations that stand in an expression more than once.
 */
#ifndef QUARRY_PROMQL_ONCE_H
#define QUARRY_PROMQL_ONCE_H

#include <promql/eval.h>

/* Finds those that do. Returns: false: the query has failed. Cost: O(aggregations × their text). */
bool eval_once_plan(struct eval *eval);
/* As eval_aggregate; what was evaluated before for the same moments is copied. */
struct eval_stream *eval_once(struct eval *eval, const struct eval_frame *frame,
                              const struct promql_node *node);

#endif
