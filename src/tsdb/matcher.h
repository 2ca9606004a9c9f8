/*
 * Matchers: what a query asks of one label, as Prometheus means it.
 *
 * A series without the label has it with no text. So a matcher that matches the empty text lets
 * series pass that do not have the label at all.
 */
#ifndef QUARRY_TSDB_MATCHER_H
#define QUARRY_TSDB_MATCHER_H

#include <tsdb/pattern.h>
#include <tsdb/re2_shim.h>

/* As remote read numbers them. */
enum tsdb_matcher_type {
    TSDB_MATCH_EQUAL = 0,     /* name="value" */
    TSDB_MATCH_NOT_EQUAL = 1, /* name!="value" */
    TSDB_MATCH_REGEX = 2,     /* name=~"expression" */
    TSDB_MATCH_NOT_REGEX = 3, /* name!~"expression" */
};

/*
 * What RE2 may take for one expression, charged as long as the matcher is there. Its program may
 * have two thirds: some 40,000 instructions, "a{1000}" 40 times. A half is too small for two
 * classes of Unicode's letters that repeat.
 */
#define TSDB_MATCHER_RE2_BYTES Q_MIB(1)
/* Bytes of an expression or a value at most: RE2 takes some 30 bytes of stack or heap for each. */
#define TSDB_MATCHER_BYTES_MAX Q_MIB(1)

struct tsdb_matcher {
    enum tsdb_matcher_type type;
    bool is_negated;    /* its type is one of the two that negate */
    bool matches_empty; /* series without the label pass */
    struct tsdb_slice name;
    const struct tsdb_memory *memory; /* borrowed */
    struct tsdb_pattern pattern;      /* where re2 is NULL */
    struct tsdb_re2 *re2;
};

/*
 * Makes a matcher.
 *
 * `memory`: borrowed until tsdb_matcher_fini. `name`, `value`: borrowed for the call.
 * `error`: what is wrong with the expression; may be NULL.
 * Errors: QUARRY_BAD_INPUT: no expression, or no type; QUARRY_TOO_LARGE: it is too long, or its
 * program is; QUARRY_NO_MEMORY.
 * Threads: any. Cost: a few hundred nanoseconds; for RE2 some ten microseconds and more.
 */
enum quarry_status tsdb_matcher_init(struct tsdb_matcher *matcher, const struct tsdb_memory *memory,
                                     enum tsdb_matcher_type type, struct tsdb_slice name,
                                     struct tsdb_slice value, struct quarry_error *error);
void tsdb_matcher_fini(struct tsdb_matcher *matcher);

/* Whether a label's value passes; of no bytes: whether series without it do. Threads: any at once.
 */
bool tsdb_matcher_passes(const struct tsdb_matcher *matcher, struct tsdb_slice value);

/* The only texts that it asks for or, negated, excludes. NULL: it is not of that kind. */
static inline const struct tsdb_pattern *tsdb_matcher_texts(const struct tsdb_matcher *matcher)
{
    return matcher->re2 == NULL && matcher->pattern.is_exact ? &matcher->pattern : NULL;
}

#endif
