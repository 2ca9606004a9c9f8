/*
 * Answers to queries, for comparing those of two servers.
 */
#ifndef QUARRY_BENCH_PROMQL_ANSWERS_H
#define QUARRY_BENCH_PROMQL_ANSWERS_H

#include <stdbool.h>
#include <stddef.h>

/* One series of an answer. */
struct bench_answer_series {
    char *labels; /* owned: an object of JSON with sorted names */
    size_t count;
    double *at_seconds, *value; /* owned */
};

struct bench_answer_set {
    size_t count;
    struct bench_answer_series *series; /* owned; sorted by labels */
};

/*
 * Reads the JSON that Prometheus' API answers an instant or a range query with.
 * Returns: false when it is no such answer, or one of floats alone; nothing is owned then.
 */
bool bench_answers_read(const char *json, size_t bytes, struct bench_answer_set *ret_answers);
void bench_answers_fini(struct bench_answer_set *answers);

/*
 * Whether both have the same series with the same points: times to a millisecond, values to 1e-9 of
 * the larger; any NaN is as good as another. `why`: receives the first difference.
 */
bool bench_answers_are_equal(const struct bench_answer_set *a, const struct bench_answer_set *b,
                             char *why, size_t why_bytes);
/* How many points there are. */
size_t bench_answers_point_count(const struct bench_answer_set *answers);

#endif
