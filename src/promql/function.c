/*
 * The table of functions, and the words for aggregations, operators and types.
 *
 * Names are sorted, and found by halving: some seven comparisons. The table is those of Prometheus
 * 3; what 2.42 did not know, or alone knew, is marked.
 */
#include <promql/function.h>

#include <string.h>

#define COUNT_ARGUMENTS(...)                                                                       \
    (sizeof((const enum promql_type[]){PROMQL_TYPE_NONE, ##__VA_ARGS__}) /                         \
         sizeof(enum promql_type) -                                                                \
     1)

static const struct promql_function functions[] = {
#define PROMQL_FUNCTION(name_, returns_, experimental_, variadic_, since_, ...)                    \
    {.id = PROMQL_FN_##name_,                                                                      \
     .name = #name_,                                                                               \
     .returns = PROMQL_##returns_,                                                                 \
     .arguments = {__VA_ARGS__},                                                                   \
     .argument_count = COUNT_ARGUMENTS(__VA_ARGS__),                                               \
     .variadic = variadic_,                                                                        \
     .is_experimental = experimental_,                                                             \
     .since = PROMQL_##since_},
#include <promql/function_table.h>
#undef PROMQL_FUNCTION
};

static int compare(struct quarry_tsdb_slice name, const char *other)
{
    size_t count = strlen(other);
    int order = memcmp(name.bytes, other, name.count < count ? name.count : count);

    return order != 0 ? order : name.count < count ? -1 : name.count > count;
}

const struct promql_function *promql_function_find(struct quarry_tsdb_slice name, bool compat_2_42)
{
    const enum promql_since other = compat_2_42 ? PROMQL_SINCE_3 : PROMQL_UNTIL_2_42;
    size_t low = 0, high = PROMQL_FUNCTION_COUNT;

    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = compare(name, functions[middle].name);

        if (order == 0) {
            return functions[middle].since == other ? NULL : &functions[middle];
        }
        if (order < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return NULL;
}

const struct promql_function *promql_function_get(enum promql_function_id id)
{
    Q_ASSERT(id < PROMQL_FUNCTION_COUNT);
    return &functions[id];
}

const char *promql_aggregation_name(enum promql_aggregation aggregation)
{
    static const char *const names[] = {
        "",       "sum",  "avg",     "min",          "max",      "count",  "group",      "stddev",
        "stdvar", "topk", "bottomk", "count_values", "quantile", "limitk", "limit_ratio"};

    Q_ASSERT(aggregation >= PROMQL_SUM && aggregation <= PROMQL_LIMIT_RATIO);
    return names[aggregation];
}

const char *promql_operator_name(enum promql_operator operation)
{
    static const char *const names[] = {
        "",   "+",  "-",   "*",  "/",      "%",  "^",  "atan2", "==",    "!=",     ">",     "<",
        ">=", "<=", "and", "or", "unless", "</", ">/", "step",  "range", "min_of", "max_of"};

    Q_ASSERT(operation <= PROMQL_DUR_MAX);
    return names[operation];
}

const char *promql_type_name(enum promql_type type)
{
    static const char *const names[] = {"none", "scalar", "vector", "matrix", "string"};

    return names[type];
}

const char *promql_type_words(enum promql_type type)
{
    static const char *const words[] = {"none", "scalar", "instant vector", "range vector",
                                        "string"};

    return words[type];
}
