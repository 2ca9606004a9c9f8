/*
 * A histogram in the making: buckets by index, each with what rounding has taken from its count.
 */
#ifndef QUARRY_PROMQL_HISTOGRAM_FORM_H
#define QUARRY_PROMQL_HISTOGRAM_FORM_H

#include <promql/histogram.h>

/* A sum, and what rounding has left out of it so far: Neumaier's. */
struct promql_number_sum {
    double value, lost;
};
/* Adds `value`. Cost: some 10 instructions. */
void promql_number_add(struct promql_number_sum *sum, double value);
/* All of it. */
double promql_number_total(const struct promql_number_sum *sum);

/* Buckets of one side, in rising order of indexes, no index twice. */
struct promql_form_side {
    int32_t *indexes;
    struct promql_number_sum *counts;
    uint32_t count, room;
};

/* Its own; in a memory. */
struct promql_form {
    struct promql_memory *memory;
    int32_t schema;
    enum promql_reset_hint reset_hint;
    double zero_threshold;
    struct promql_number_sum zero_count, count, sum;
    struct promql_form_side positive, negative;
    const double *custom_bounds;
    uint32_t custom_count;
};

/*
 * Makes `form` of a histogram, times `factor`.
 *
 * `memory`: borrowed as long as the form is used. `histogram`: its custom bounds are borrowed too.
 * Returns: false: the memory refused. Threads: one at a time. Cost: O(buckets).
 */
bool promql_form_init(struct promql_form *form, struct promql_memory *memory,
                      const struct promql_histogram *histogram, double factor);

/*
 * Adds a histogram times `factor`, 1 or -1: see promql_histogram_add. After
 * PROMQL_HISTOGRAM_INCOMPATIBLE the form is what it was.
 *
 * Cost: O(buckets of both); memory only when the form has no room.
 */
enum promql_histogram_outcome promql_form_add(struct promql_form *form,
                                              const struct promql_histogram *histogram,
                                              double factor, struct promql_histogram_notes *notes);

/* Multiplies everything by `factor`, or divides it; see promql_histogram_divide of 0. */
void promql_form_multiply(struct promql_form *form, double factor);
void promql_form_divide(struct promql_form *form, double factor);
/* To a coarser schema. */
void promql_form_reduce(struct promql_form *form, int32_t schema);
/* Widens the zero bucket to `threshold`, or so far above it that no populated bucket lies across
 * its border. */
void promql_form_widen(struct promql_form *form, double threshold);
/* Cuts boundaries down to those that `bounds` has as well. Returns: whether any went. Its memory
 * must have room for them: false in `ret_refused` else. */
bool promql_form_intersect(struct promql_form *form, const double *bounds, uint32_t count,
                           bool *ret_refused);

/* The histogram that it has become, without empty buckets. NULL: the memory refused. */
const struct promql_histogram *promql_form_finish(const struct promql_form *form);

#endif
