/*
 * A selector's series by many threads, in the order in which one would have them.
 */
#ifndef QUARRY_PROMQL_PARALLEL_H
#define QUARRY_PROMQL_PARALLEL_H

#include <promql/eval.h>

/* Opens the rows of a node: what eval_parallel calls once for each thread's part. */
typedef struct eval_stream *eval_open(struct eval *eval, const struct eval_frame *frame,
                                      const struct promql_node *node, const void *argument);

/*
 * Opens the rows of a node that reads one selector and nothing else: what it gives for a series
 * depends on that series alone. Where there are threads, and series enough, they take turns in
 * blocks of series; rows, notes and figures come as if they had been read one by one.
 *
 * Returns: NULL: the query has failed. Memory: of the query's scratch grant.
 */
struct eval_stream *eval_parallel(struct eval *eval, const struct eval_frame *frame,
                                  const struct promql_node *node, eval_open *open,
                                  const void *argument);

/* Withdraws what is under way: before sets are closed, and memory goes. */
void eval_end_parallels(struct eval *eval);

#endif
