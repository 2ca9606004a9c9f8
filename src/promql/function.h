/*
 * The language's functions and aggregations: names, types, who may use them.
 */
#ifndef QUARRY_PROMQL_FUNCTION_H
#define QUARRY_PROMQL_FUNCTION_H

#include <promql/ast.h>

/* In the order of the table, which is that of the names. */
enum promql_function_id {
#define PROMQL_FUNCTION(name, ...) PROMQL_FN_##name,
#include <promql/function_table.h>
#undef PROMQL_FUNCTION
    PROMQL_FUNCTION_COUNT
};

/* From which version on it is known. */
enum promql_since {
    PROMQL_SINCE_2_42 = 0, /* and before */
    PROMQL_SINCE_3,
    PROMQL_UNTIL_2_42, /* holt_winters: not in 3 */
};

#define PROMQL_ARGUMENTS_MAX 5u

struct promql_function {
    enum promql_function_id id;
    const char *name;
    enum promql_type returns;
    enum promql_type arguments[PROMQL_ARGUMENTS_MAX];
    uint8_t argument_count;
    /* 0: all of them. Else the last may be left out, and may come up to so often more: below 0 as
     * often as one likes. */
    int8_t variadic;
    bool is_experimental;
    enum promql_since since;
};

/*
 * The function of a name. `compat_2_42`: of that version.
 * Returns: borrowed for ever; NULL: there is none. Cost: O(log functions).
 */
const struct promql_function *promql_function_find(struct quarry_tsdb_slice name, bool compat_2_42);
/* By its id. */
const struct promql_function *promql_function_get(enum promql_function_id id);

/* Names as they are written; borrowed for ever. */
const char *promql_aggregation_name(enum promql_aggregation aggregation);
const char *promql_operator_name(enum promql_operator operation);
/* "vector", "scalar", "matrix", "string", "none"; and "instant vector", "range vector", … */
const char *promql_type_name(enum promql_type type);
const char *promql_type_words(enum promql_type type);

static inline bool promql_aggregation_has_parameter(enum promql_aggregation aggregation)
{
    return aggregation >= PROMQL_TOPK;
}

static inline bool promql_operator_is_comparison(enum promql_operator operation)
{
    return operation >= PROMQL_EQL && operation <= PROMQL_LTE;
}

static inline bool promql_operator_is_set(enum promql_operator operation)
{
    return operation >= PROMQL_AND && operation <= PROMQL_UNLESS;
}

#endif
