/*
 * The parser's inside: what the grammar's rules call.
 *
 * A function that makes something returns NULL when it cannot: the parser has failed then, with an
 * error or for want of memory, and the grammar gives up.
 */
#ifndef QUARRY_PROMQL_PARSER_H
#define QUARRY_PROMQL_PARSER_H

#include <promql/lexer.h>
#include <promql/parse.h>

struct promql_parser {
    struct promql_memory *memory;               /* const; borrowed */
    const struct promql_parse_options *options; /* const; borrowed */
    uint32_t depth_max;                         /* const */
    int begin; /* the token that says what is parsed; 0: was read */
    bool has_failed;
    enum quarry_status status;
    struct promql_parse_error *error; /* borrowed; the first one stays */
    struct promql_lexer lexer;
    struct promql_node *result;
};

/* One of several: of arguments, of labels, of matchers. */
struct promql_link {
    struct promql_link *next;
    struct promql_node *node;
    struct quarry_tsdb_slice name;
    struct quarry_tsdb_matcher matcher;
    bool passes_empty;
};

struct promql_links {
    struct promql_link *first, *last;
    size_t count;
};

/* What stands between an operator and its right side. */
struct promql_sides {
    bool returns_bool;
    struct promql_matching matching;
};

struct promql_grouping {
    struct promql_links *labels;
    bool is_without;
};

/* An error at `at`, unless there is one. Returns: NULL. */
void *promql_fail(struct promql_parser *parser, struct promql_range at, const char *format, ...)
    Q_PRINTF(3, 4);
void *promql_fail_memory(struct promql_parser *parser);
/* It is nested too deeply. */
void *promql_fail_depth(struct promql_parser *parser);
/* "unexpected TOKEN in CONTEXT, expected WHAT" of the newest token; empty ones are left out. */
void promql_unexpected(struct promql_parser *parser, const char *context, const char *expected);

struct quarry_tsdb_slice promql_token_text(const struct promql_parser *parser,
                                           struct promql_token token);
struct promql_range promql_merge(struct promql_range first, struct promql_range last);

/* Lists. */
struct promql_links *promql_links_add(struct promql_parser *parser, struct promql_links *links,
                                      const struct promql_link *link); /* NULL: a new list */
struct promql_links *promql_links_join(struct promql_links *links, struct promql_links *others);
struct promql_links *promql_links_none(struct promql_parser *parser);

/* Leaves. */
struct promql_node *promql_make_number(struct promql_parser *parser, struct promql_token token);
struct promql_node *promql_make_string(struct promql_parser *parser, struct promql_token token);
bool promql_token_number(struct promql_parser *parser, struct promql_token token,
                         double *ret_value);

/* Selectors: lists of one. A quoted name has kind T_STRING. */
struct promql_links *promql_make_matcher(struct promql_parser *parser, struct promql_token name,
                                         int operation, struct promql_token value);
struct promql_links *promql_make_metric_name(struct promql_parser *parser,
                                             struct promql_token name);
struct promql_links *promql_make_label(struct promql_parser *parser, struct promql_token label);
struct promql_node *promql_make_selector(struct promql_parser *parser,
                                         const struct promql_token *name,
                                         const struct promql_links *matchers,
                                         struct promql_range at);

/* Expressions of expressions. */
struct promql_node *promql_make_paren(struct promql_parser *parser, struct promql_node *of,
                                      struct promql_range at);
struct promql_node *promql_make_unary(struct promql_parser *parser, struct promql_token operation,
                                      struct promql_node *of);
struct promql_node *promql_make_binary(struct promql_parser *parser, struct promql_node *left,
                                       enum promql_operator operation, struct promql_sides *sides,
                                       struct promql_node *right);
struct promql_node *promql_make_call(struct promql_parser *parser, struct promql_token name,
                                     const struct promql_links *arguments, struct promql_range at);
struct promql_node *promql_make_aggregate(struct promql_parser *parser, struct promql_token name,
                                          const struct promql_grouping *grouping,
                                          const struct promql_links *arguments,
                                          struct promql_range at);

struct promql_grouping *promql_make_grouping(struct promql_parser *parser,
                                             struct promql_links *labels, bool is_without);
struct promql_sides *promql_make_sides(struct promql_parser *parser, bool returns_bool);
struct promql_sides *promql_match_labels(struct promql_parser *parser, struct promql_sides *sides,
                                         const struct promql_links *labels, bool is_on);
struct promql_sides *promql_group_labels(struct promql_parser *parser, struct promql_sides *sides,
                                         const struct promql_links *labels, enum promql_card card);
/* NULL: not that side. */
struct promql_sides *promql_fill(struct promql_sides *sides, const double *left,
                                 const double *right);

/* Durations, and what has some. */
struct promql_node *promql_make_duration_literal(struct promql_parser *parser,
                                                 struct promql_token token);
struct promql_node *promql_make_duration(struct promql_parser *parser,
                                         enum promql_operator operation, struct promql_node *left,
                                         struct promql_node *right, struct promql_range at);
struct promql_node *promql_sign_duration(struct promql_parser *parser,
                                         struct promql_token operation, struct promql_node *of);
struct promql_node *promql_wrap_duration(struct promql_parser *parser, struct promql_node *of);
struct promql_node *promql_check_duration(struct promql_parser *parser, struct promql_node *of,
                                          bool is_positive);
struct promql_node *promql_make_range(struct promql_parser *parser, struct promql_node *of,
                                      struct promql_node *range, struct promql_range brackets);
/* `step`: NULL: the default. */
struct promql_node *promql_make_subquery(struct promql_parser *parser, struct promql_node *of,
                                         struct promql_node *range, struct promql_node *step,
                                         uint32_t end);

/* Modifiers change what they stand behind, and give it back. */
struct promql_node *promql_set_offset(struct promql_parser *parser, struct promql_node *of,
                                      struct promql_node *offset, uint32_t end);
struct promql_node *promql_set_time(struct promql_parser *parser, struct promql_node *of,
                                    double seconds, uint32_t end);
struct promql_node *promql_set_time_of(struct promql_parser *parser, struct promql_node *of,
                                       enum promql_at at, uint32_t end);
struct promql_node *promql_set_extended(struct promql_parser *parser, struct promql_node *of,
                                        bool is_anchored);

/* check.c: types, and what upstream refuses beside them. Returns: whether there is no error. */
bool promql_check(struct promql_parser *parser, struct promql_node *node);

#endif
