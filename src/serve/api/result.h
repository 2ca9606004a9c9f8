/*
 * Results of queries as JSON, in pieces.
 */
#ifndef QUARRY_SERVE_API_RESULT_H
#define QUARRY_SERVE_API_RESULT_H

#include <promql/promql.h>
#include <serve/http/text.h>

/* Where in a result the writer is. Begins as {.result = …, .memory = …}. */
struct api_result_writer {
    const struct promql_result *result; /* borrowed; without an error */
    struct promql_memory *memory;       /* borrowed; for the text of one histogram at a time */
    size_t series_max;                  /* more are left out, with a warning; 0: none are */
    bool has_stats;                     /* they are told */
    size_t series, point;               /* its own: the next ones */
    uint32_t stage;                     /* likewise */
};

/*
 * Writes {"status":"success","data":{"resultType":…,"result":…},"warnings":[…],"infos":[…]}: from
 * where it is, until `text` has `piece_bytes` or more.
 *
 * Returns: whether that was the end. The text, or the memory, says whether it has failed.
 * Cost: some 300 instructions a point.
 */
bool api_put_result(struct api_result_writer *writer, struct http_text *text, size_t piece_bytes);

#endif
