/*
 * Warnings and infos of a query, as evaluation gives them.
 */
#ifndef QUARRY_PROMQL_NOTES_H
#define QUARRY_PROMQL_NOTES_H

#include <promql/classic.h>
#include <promql/eval.h>

enum eval_note {
    /* Warnings. */
    EVAL_NOTE_INVALID_QUANTILE = 1,     /* a number */
    EVAL_NOTE_INVALID_RATIO,            /* a number, and what it is taken for */
    EVAL_NOTE_BAD_BUCKET_LABEL,         /* a series, the label's value */
    EVAL_NOTE_MIXED_FLOATS_HISTOGRAMS,  /* a series */
    EVAL_NOTE_MIXED_IN_AGGREGATION,     /* */
    EVAL_NOTE_MIXED_CLASSIC_NATIVE,     /* a series */
    EVAL_NOTE_NOT_COUNTER,              /* a series */
    EVAL_NOTE_NOT_GAUGE,                /* a series */
    EVAL_NOTE_MIXED_SCHEMAS,            /* a series */
    EVAL_NOTE_MIXED_SCHEMAS_AGGREGATED, /* */
    EVAL_NOTE_SORT_IN_RANGE,            /* */
    EVAL_NOTE_RESET_COLLISION,          /* words: aggregation, addition, subtraction */
    /* Infos. */
    EVAL_NOTE_POSSIBLE_NON_COUNTER,             /* a series */
    EVAL_NOTE_FORCED_MONOTONIC,                 /* a series */
    EVAL_NOTE_INCOMPATIBLE_TYPES,               /* words: left, operator, right */
    EVAL_NOTE_INCOMPATIBLE_BUCKETS,             /* words: + or - */
    EVAL_NOTE_HISTOGRAM_IGNORED_IN_RANGE,       /* a series */
    EVAL_NOTE_HISTOGRAM_IGNORED_IN_AGGREGATION, /* words: the aggregation */
    EVAL_NOTE_NAN_QUANTILE_RESULT,              /* a series */
    EVAL_NOTE_NAN_QUANTILE_SKEWED,              /* a series */
    EVAL_NOTE_NAN_FRACTION,                     /* a series */
    EVAL_NOTE_BOUNDS_RECONCILED,                /* words: aggregation, addition, subtraction */
};

/* Each note once a query; what memory refuses fails it. Threads: the query's. */
void eval_note(struct eval *eval, enum eval_note note, struct promql_range at);
/* Of a series: its name is told. */
void eval_note_series(struct eval *eval, enum eval_note note, struct promql_range at,
                      struct eval_labels labels);
void eval_note_number(struct eval *eval, enum eval_note note, struct promql_range at, double value);
void eval_note_words(struct eval *eval, enum eval_note note, struct promql_range at,
                     const char *first, const char *second, const char *third);
/* EVAL_NOTE_INVALID_RATIO; EVAL_NOTE_BAD_BUCKET_LABEL. */
void eval_note_ratio(struct eval *eval, struct promql_range at, double value, double taken);
void eval_note_bucket(struct eval *eval, struct promql_range at, struct eval_labels labels,
                      struct quarry_tsdb_slice value);

/* EVAL_NOTE_FORCED_MONOTONIC. */
void eval_note_forced(struct eval *eval, struct promql_range at, struct eval_labels labels,
                      int64_t t_ms, const struct promql_classic_fix *fix);

/* Adds those of a part of a query; it keeps them. Returns: false: the query has failed. */
bool eval_notes_copy(struct eval *eval, const struct eval *part);
/* Hands all to the result. Returns: false: the query has failed. */
bool eval_notes_finish(struct eval *eval);

#endif
