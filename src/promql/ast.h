/*
 * Expressions as trees: what the parser makes, what is printed, and what is evaluated.
 *
 * Nodes are immutable once checked, and live in the memory that they were parsed into. Positions
 * are bytes of the query's text. Strings are slices with a NUL behind them.
 */
#ifndef QUARRY_PROMQL_AST_H
#define QUARRY_PROMQL_AST_H

#include <quarry/tsdb.h>

#include <base/base.h>

struct promql_function; /* a row of the table of functions: function.h */

/* What an expression is. */
enum promql_type {
    PROMQL_TYPE_NONE = 0,
    PROMQL_SCALAR,
    PROMQL_VECTOR,
    PROMQL_MATRIX,
    PROMQL_STRING,
};

/* From the first byte to the one behind the last. */
struct promql_range {
    uint32_t start, end;
};

enum promql_kind {
    PROMQL_NUMBER = 1,
    PROMQL_TEXT,
    PROMQL_SELECTOR, /* of an instant vector */
    PROMQL_MATRIX_SELECTOR,
    PROMQL_SUBQUERY,
    PROMQL_AGGREGATE,
    PROMQL_BINARY,
    PROMQL_CALL,
    PROMQL_PAREN,
    PROMQL_UNARY,
    PROMQL_DURATION, /* an expression in place of a duration */
};

enum promql_operator {
    PROMQL_OP_NONE = 0,
    PROMQL_ADD,
    PROMQL_SUB,
    PROMQL_MUL,
    PROMQL_DIV,
    PROMQL_MOD,
    PROMQL_POW,
    PROMQL_ATAN2,
    PROMQL_EQL,
    PROMQL_NEQ,
    PROMQL_GTR,
    PROMQL_LSS,
    PROMQL_GTE,
    PROMQL_LTE,
    PROMQL_AND,
    PROMQL_OR,
    PROMQL_UNLESS,
    PROMQL_TRIM_UPPER, /* </ */
    PROMQL_TRIM_LOWER, /* >/ */
    /* Of durations alone. */
    PROMQL_DUR_STEP,
    PROMQL_DUR_RANGE,
    PROMQL_DUR_MIN,
    PROMQL_DUR_MAX,
};

enum promql_aggregation {
    PROMQL_SUM = 1,
    PROMQL_AVG,
    PROMQL_MIN,
    PROMQL_MAX,
    PROMQL_COUNT,
    PROMQL_GROUP,
    PROMQL_STDDEV,
    PROMQL_STDVAR,
    PROMQL_TOPK,
    PROMQL_BOTTOMK,
    PROMQL_COUNT_VALUES,
    PROMQL_QUANTILE,
    PROMQL_LIMITK,
    PROMQL_LIMIT_RATIO,
};

/* When a selector or a subquery is looked at, instead of the step's time. */
enum promql_at {
    PROMQL_AT_STEP = 0,
    PROMQL_AT_TIME, /* at_ms */
    PROMQL_AT_START,
    PROMQL_AT_END,
};

/* What `offset` and `@` say. An offset that is an expression stands in `offset`, and is worked out
 * into `offset_ms` before evaluation. */
struct promql_modifiers {
    int64_t offset_ms; /* as it is written: positive looks back */
    struct promql_node *offset;
    enum promql_at at;
    int64_t at_ms;
};

enum promql_card {
    PROMQL_ONE_TO_ONE = 0,
    PROMQL_MANY_TO_ONE,
    PROMQL_ONE_TO_MANY,
    PROMQL_MANY_TO_MANY
};

/* How the two sides of an operator find each other. */
struct promql_matching {
    enum promql_card card;
    bool is_on; /* else ignoring; with no labels and !is_on: nothing was written, or ignoring() */
    bool is_written; /* on or ignoring was */
    const struct quarry_tsdb_slice *labels, *include;
    size_t label_count, include_count;
    bool has_fill_left, has_fill_right;
    double fill_left, fill_right;
};

struct promql_node {
    enum promql_kind kind;
    enum promql_type type;
    struct promql_range at; /* in the text */
    uint32_t depth;         /* levels from here on, from 1, a chain being one */
    union {
        struct {
            double value;
            bool is_duration; /* written as one: 5m */
        } number;
        struct {
            struct quarry_tsdb_slice value;
        } text;
        struct {
            struct quarry_tsdb_slice name;              /* count 0: none before the braces */
            const struct quarry_tsdb_matcher *matchers; /* __name__ among them, where it is named */
            size_t matcher_count;
            struct promql_modifiers modifiers;
            bool is_anchored, is_smoothed;
            bool is_selective; /* a matcher does not let series pass that lack its label */
        } selector;
        struct {
            struct promql_node *selector; /* which has the modifiers */
            int64_t range_ms;
            struct promql_node *range; /* an expression instead; NULL: none */
        } matrix;
        struct {
            struct promql_node *of;
            int64_t range_ms, step_ms; /* step 0: the default */
            struct promql_node *range, *step;
            struct promql_modifiers modifiers;
        } subquery;
        struct {
            enum promql_aggregation operation;
            struct promql_node *of, *parameter; /* parameter may be NULL */
            const struct quarry_tsdb_slice *labels;
            size_t label_count;
            bool is_without;
            bool is_grouped; /* by or without was written */
        } aggregate;
        struct {
            enum promql_operator operation;
            struct promql_node *left, *right;
            bool returns_bool;
            struct promql_matching matching;
            /* The chain that it is in: see promql_chain_first. */
            struct promql_node *first, *above;
        } binary;
        struct {
            const struct promql_function *function;
            struct promql_node **arguments;
            size_t argument_count;
        } call;
        struct {
            struct promql_node *of;
        } paren;
        struct {
            enum promql_operator operation; /* PROMQL_ADD or PROMQL_SUB */
            struct promql_node *of;
        } unary;
        struct {
            enum promql_operator operation;
            struct promql_node *left, *right; /* right alone of a unary one; none of step, range */
            bool is_wrapped;                  /* in parentheses */
        } duration;
    };
};

/*
 * Operators in a row, a + b - c + d, lean to the left: each one's left side is the operator before
 * it. Such a chain may have any length, so whoever walks it goes along it instead of down:
 *
 *     for (node = promql_chain_first(last);; node = node->binary.above) {
 *         (the left side of the first alone; each one's right side)
 *         if (node == last) {
 *             break;
 *         }
 *     }
 *
 * Returns: the innermost operator of the chain that ends at `last`.
 */
static inline struct promql_node *promql_chain_first(const struct promql_node *last)
{
    return last->binary.first;
}

#endif
