/*
 * What a query's answer has to say besides its result: warnings and infos, each once.
 *
 *     promql_annotate(&annotations, PROMQL_MIXED_CLASSIC_NATIVE, node->at.start,
 *                     &(struct promql_annotation_details){.metric = name});
 */
#ifndef QUARRY_PROMQL_ANNOTATE_H
#define QUARRY_PROMQL_ANNOTATE_H

#include <promql/memory.h>

#include <quarry/tsdb.h>

/* In parentheses which details each uses; `?`: only where it is not empty. */
enum promql_annotation {
    /* Warnings. */
    PROMQL_INVALID_QUANTILE = 0,     /* value */
    PROMQL_INVALID_RATIO,            /* value, limit */
    PROMQL_BAD_BUCKET_LABEL,         /* label, metric? */
    PROMQL_MIXED_FLOATS_HISTOGRAMS,  /* metric */
    PROMQL_MIXED_IN_AGGREGATION,     /* */
    PROMQL_MIXED_CLASSIC_NATIVE,     /* metric? */
    PROMQL_NATIVE_NOT_COUNTER,       /* metric */
    PROMQL_NATIVE_NOT_GAUGE,         /* metric */
    PROMQL_MIXED_EXPONENTIAL_CUSTOM, /* metric */
    PROMQL_INCOMPATIBLE_BUCKETS,     /* operation: + or - */
    PROMQL_SORT_IN_RANGE,            /* */
    PROMQL_RESETS_COLLIDE,           /* operation: addition, subtraction, aggregation */
    /* Infos. */
    PROMQL_POSSIBLE_NON_COUNTER,       /* metric */
    PROMQL_POSSIBLE_NON_COUNTER_LABEL, /* label: its __type__; metric */
    PROMQL_FORCED_MONOTONICITY,        /* metric?, t_ms, lowest, highest, most */
    PROMQL_INCOMPATIBLE_TYPES,         /* left, operation, right */
    PROMQL_HISTOGRAM_IGNORED,          /* operation: the aggregation */
    PROMQL_HISTOGRAM_IGNORED_IN_RANGE, /* metric */
    PROMQL_QUANTILE_NAN_RESULT,        /* metric? */
    PROMQL_QUANTILE_NAN_SKEWED,        /* metric? */
    PROMQL_FRACTION_NAN_EXCLUDED,      /* metric? */
    PROMQL_BOUNDS_RECONCILED,          /* operation, as for resets */
    PROMQL_ANNOTATION_COUNT,
};

struct promql_annotation_details {
    struct quarry_tsdb_slice metric, label;
    double value, limit;
    const char *operation, *left, *right; /* left, right: "float" or "histogram" */
    int64_t t_ms;
    double lowest, highest, most; /* struct promql_classic_fix */
};

struct promql_annotation_note; /* one of them: annotate.c */

/* Those of a query, in the order in which they came. Begins as {.memory = …}. */
struct promql_annotations {
    struct promql_memory *memory;
    struct promql_annotation_note *first, *last;
};

/*
 * Adds one, unless one with the same text is there, wherever it points to: then that one stays. Of
 * PROMQL_FORCED_MONOTONICITY it becomes wider instead.
 *
 * `position`: byte of the query's text. `details`: borrowed for the call; NULL: none are used.
 * Errors: the memory's. Threads: one at a time. Cost: O(annotations), some microseconds.
 */
void promql_annotate(struct promql_annotations *annotations, enum promql_annotation annotation,
                     uint32_t position, const struct promql_annotation_details *details);

/* Adds those of another list that are not there yet. Returns: false: the memory refused. */
bool promql_annotations_copy(struct promql_annotations *annotations,
                             const struct promql_annotations *from);

/*
 * The texts, as Prometheus has them: "PromQL warning: … (line:column)". Both lists are borrowed
 * from the memory.
 *
 * `query`: what positions are in. Returns: false: the memory refused. Cost: O(annotations × query).
 */
struct promql_annotation_texts {
    const struct quarry_tsdb_slice *warnings, *infos;
    size_t warning_count, info_count;
};
bool promql_annotations_finish(const struct promql_annotations *annotations,
                               struct quarry_tsdb_slice query,
                               struct promql_annotation_texts *ret_texts);

/*
 * How many texts of `count` an answer has, which has at most `most` and says how many more there
 * were, in a text of its own: "2 more warning annotations omitted". `noun`: "warning" or "info".
 * Writes that into `room`, "" when none is left out. Threads: any.
 */
size_t promql_annotations_cut(size_t count, size_t most, const char *noun, char *room,
                              size_t room_bytes);

#endif
