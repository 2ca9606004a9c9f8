/*
 * Functions of instant vectors and scalars, by the part that has them.
 */
#ifndef QUARRY_PROMQL_FUNCTIONS_H
#define QUARRY_PROMQL_FUNCTIONS_H

#include <promql/eval.h>
#include <promql/function.h>

#include <math.h>

/* As Go's math.Max and math.Min: an infinity wins over NaN, +0 is larger than -0. */
static inline double eval_larger(double a, double b)
{
    if (a == INFINITY || b == INFINITY) {
        return INFINITY;
    }
    if (isnan(a) || isnan(b)) {
        return NAN;
    }
    return a == b ? (signbit(a) ? b : a) : a > b ? a : b;
}

static inline double eval_smaller(double a, double b)
{
    return -eval_larger(-a, -b);
}

/* map.c: of each value by itself. */
/* Rows of `stream`, floats alone, without their names. */
struct eval_stream *eval_nameless(struct eval *eval, const struct eval_frame *frame,
                                  struct eval_stream *stream, const struct promql_node *argument);
struct eval_stream *eval_map(struct eval *eval, const struct eval_frame *frame,
                             const struct promql_node *node);
/* calendar.c: of a time in seconds; NULL: no such function. */
double (*eval_calendar_function(enum promql_function_id id))(double seconds);

/* vectors.c */
struct eval_stream *eval_vector_of_time(struct eval *eval, const struct eval_frame *frame);
struct eval_stream *eval_vector_of_scalar(struct eval *eval, const struct eval_frame *frame,
                                          const struct promql_node *node);
struct eval_stream *eval_absent(struct eval *eval, const struct eval_frame *frame,
                                const struct promql_node *node);
struct eval_stream *eval_sort(struct eval *eval, const struct eval_frame *frame,
                              const struct promql_node *node);
double *eval_scalar_of_vector(struct eval *eval, const struct eval_frame *frame,
                              const struct promql_node *node);

/* relabel.c */
struct eval_stream *eval_label_replace(struct eval *eval, const struct eval_frame *frame,
                                       const struct promql_node *node);
struct eval_stream *eval_label_join(struct eval *eval, const struct eval_frame *frame,
                                    const struct promql_node *node);

/* buckets.c */
struct eval_stream *eval_buckets(struct eval *eval, const struct eval_frame *frame,
                                 const struct promql_node *node);

/* info.c */
struct eval_stream *eval_info(struct eval *eval, const struct eval_frame *frame,
                              const struct promql_node *node);

#endif
