/*
 * Series as test scripts describe them: labels, and samples one interval apart.
 *
 *     up{job="node"} 1 0+2x3 _ _x2 stale {{schema:0 count:1 sum:1 buckets:[1]}}x2
 */
#ifndef QUARRY_PROMQL_SERIES_H
#define QUARRY_PROMQL_SERIES_H

#include <promql/histogram.h>
#include <promql/memory.h>
#include <promql/parse.h>

/* Values that one description may have. Scripts have some thousands. */
#define PROMQL_SERIES_VALUES_MAX 1000000u

struct promql_series_value {
    uint64_t bits;                            /* of a double; of a histogram its sum's */
    const struct promql_histogram *histogram; /* NULL: a float */
    bool is_omitted;                          /* there is no sample here */
    bool has_hint;                            /* its counter_reset_hint was written */
};

struct promql_series_description {
    const struct quarry_tsdb_label *labels; /* sorted by name, the name among them */
    size_t label_count;
    const struct promql_series_value *values;
    size_t value_count;
};

/*
 * Parses one. `text`: borrowed for the call; what is made lives in `memory`.
 * Errors: as promql_parse. Threads: any; the memory is one thread's. Cost: O(text + values).
 */
enum quarry_status promql_parse_series(struct promql_memory *memory, struct quarry_tsdb_slice text,
                                       struct promql_series_description *ret_series,
                                       struct promql_parse_error *error);

#endif
