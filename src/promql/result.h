/*
 * What evaluation hands over.
 */
#ifndef QUARRY_PROMQL_RESULT_H
#define QUARRY_PROMQL_RESULT_H

#include <promql/eval.h>

/* Each writes the query's result. Returns: false: the query has failed. */
bool eval_give_scalars(struct eval *eval, const struct eval_frame *frame, const double *values);
bool eval_give_string(struct eval *eval, struct quarry_tsdb_slice string);
/* Names that are to go do so; series that then have the same labels become one. */
bool eval_give_matrix(struct eval *eval, const struct eval_frame *frame,
                      struct eval_matrix *matrix);
/* The points of a range vector. */
bool eval_give_ranges(struct eval *eval, const struct promql_node *node);

#endif
