/*
 * Where series come from: what evaluation asks of a store, and a store answers.
 *
 * tsdb_source.h has the one over <quarry/tsdb.h>; test scripts have one over what they load.
 */
#ifndef QUARRY_PROMQL_SOURCE_H
#define QUARRY_PROMQL_SOURCE_H

#include <quarry/tsdb.h>

#include <promql/histogram.h>

/* A set of series that was selected, and a reader of their samples: the source's. */
struct promql_set;
struct promql_cursor;

/* What is asked for. All of it is borrowed for the call. */
struct promql_selection {
    const struct quarry_tsdb_matcher *matchers; /* all of them match */
    size_t matcher_count;
    int64_t min_ms, max_ms; /* samples that may be read; both included */
};

/*
 * Samples in rising time, no moment twice. Borrowed until the cursor's next call.
 *
 * Sample i is a float when `histograms` is NULL or histograms[i] is; else that histogram, and
 * bits[i] is those of its sum. The end of a series is QUARRY_TSDB_STALE_BITS there in both cases.
 */
struct promql_block {
    const int64_t *t_ms;
    const uint64_t *bits;
    const struct promql_histogram *const *histograms; /* NULL: all are floats */
    const int64_t *start_ms; /* when counting began, 0: not known; NULL: of none */
    uint32_t count;          /* 1 or more */
};

struct promql_source_functions {
    /*
     * Selects series, in the order of their labels. Those without a sample in the span may be among
     * them. `ret_set`: own; close it.
     * Errors: QUARRY_BAD_INPUT (a regular expression), QUARRY_TOO_LARGE, QUARRY_NO_MEMORY.
     * Threads: any.
     */
    enum quarry_status (*select)(void *argument, const struct promql_selection *selection,
                                 struct promql_set **ret_set, struct quarry_error *error);
    void (*set_close)(struct promql_set *set);
    size_t (*set_count)(const struct promql_set *set);
    /* The labels of series `index`, the name among them, sorted by name; borrowed until the set is
     * closed. Returns: how many there are; up to `capacity` are written. */
    size_t (*set_labels)(const struct promql_set *set, size_t index,
                         struct quarry_tsdb_label *labels, size_t capacity);

    /* Creates a reader: one thread's at a time, many of one set in different threads.
     * Errors: QUARRY_NO_MEMORY. */
    enum quarry_status (*cursor_create)(struct promql_set *set, struct promql_cursor **ret_cursor);
    void (*cursor_destroy)(struct promql_cursor *cursor);
    /* Begins with series `index`, at the selection's min_ms. */
    void (*cursor_series)(struct promql_cursor *cursor, size_t index);
    /* The next samples. Errors: QUARRY_NOT_FOUND: no more; QUARRY_NO_MEMORY, QUARRY_CORRUPT. */
    enum quarry_status (*cursor_next)(struct promql_cursor *cursor, struct promql_block *ret_block);
};

struct promql_source {
    const struct promql_source_functions *functions; /* const; for ever */
    void *argument;                                  /* borrowed by whoever has the source */
};

#endif
