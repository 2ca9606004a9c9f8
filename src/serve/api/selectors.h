/*
 * Series that match[] selects, each once, in the order of their labels.
 */
#ifndef QUARRY_SERVE_API_SELECTORS_H
#define QUARRY_SERVE_API_SELECTORS_H

#include <serve/api/answer.h>

/* More in one request are refused. */
#define API_SELECTORS_MAX 64u

struct api_selector {
    const struct quarry_tsdb_matcher *matchers;
    size_t matcher_count;
};

/* What a request selects: match[], start, end. In the request's memory. */
struct api_selection {
    struct api_selector selectors[API_SELECTORS_MAX];
    size_t selector_count;
    int64_t min_ms, max_ms;
};

/* Before what is wrong with match[], where it is said. */
#define API_SELECTION_PREFIX "invalid parameter \"match[]\": "
/* Reads it. `prefix`: before what is wrong with a selector; "": nothing. Returns: false: it was
 * answered what is wrong. */
bool api_read_selection(struct http_call *call, struct api_request *request, const char *prefix,
                        struct api_selection **ret_selection);
/* As the store wants to be asked about one of the selectors; without any, about all series. */
struct quarry_tsdb_query api_query_of(const struct api_request *request,
                                      const struct api_selection *selection, size_t index);

/* A walk over the series that have a sample in the selection's time. In the request's memory; it
 * ends with the request. */
struct api_walk;
/* Begins one. NULL: it was answered why not. */
struct api_walk *api_begin_walk(struct http_call *call, struct api_request *request,
                                const struct api_selection *selection);
/*
 * The next series. `ret_labels`: borrowed until the next call.
 * Errors: QUARRY_NOT_FOUND: there is none; QUARRY_CANCELLED: who asked has gone; those of
 * quarry_tsdb_cursor_next. Cost: as many comparisons of labels as there are selectors.
 */
enum quarry_status api_next_series(struct api_walk *walk, struct quarry_tsdb_labels *ret_labels);

#endif
