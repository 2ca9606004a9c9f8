/*
 * Sets of labels: /api/v1/series. One after another, in pieces.
 */
#include <serve/api/handlers.h>
#include <serve/api/selectors.h>

/* Of the text, that is made at a time. */
#define PIECE_BYTES Q_KIB(64)

struct series_answer {
    struct api_walk *walk;
    uint64_t limit, count; /* 0: no limit */
};

/* Writes series until the piece is full. QUARRY_NOT_FOUND: that was the last one. */
static enum quarry_status put_series(struct http_call *call, struct series_answer *answer)
{
    struct http_text *text = &call->body_out;

    while (text->count < PIECE_BYTES && !text->is_failed) {
        struct quarry_tsdb_labels labels;
        const enum quarry_status status = api_next_series(answer->walk, &labels);
        if (status != QUARRY_OK) {
            return status;
        }
        if (answer->limit != 0 && answer->count == answer->limit) {
            return QUARRY_TOO_MANY;
        }
        http_text_add(text, ",", answer->count++ > 0);
        api_put_labels(text, labels.labels, labels.count);
    }
    return text->is_failed ? QUARRY_NO_MEMORY : QUARRY_OK;
}

/* Ends the answer when there are no more. Returns: what else stands in the way. */
static enum quarry_status put_piece(struct http_call *call, struct series_answer *answer)
{
    const enum quarry_status status = put_series(call, answer);

    if (status != QUARRY_NOT_FOUND && status != QUARRY_TOO_MANY) {
        return status;
    }
    http_text_say(&call->body_out, "]");
    if (status == QUARRY_TOO_MANY) {
        api_end_data_with(call, "results truncated due to limit");
    } else {
        api_end_data(call);
    }
    call->is_last = true;
    return QUARRY_OK;
}

/* In the form of http_handler_function. */
static enum http_outcome say_more(struct http_call *call)
{
    struct api_request *request = call->state;

    return put_piece(call, request->answer) == QUARRY_OK ? HTTP_DONE : HTTP_FAILED;
}

enum http_outcome api_series(struct http_call *call, struct api_request *request)
{
    struct series_answer *answer = promql_memory_take_zero(&request->memory, 1, sizeof *answer);
    struct api_selection *selection;

    if (answer == NULL) {
        return api_fail(call, API_INTERNAL, "no memory for a request");
    }
    request->answer = answer;
    if (!api_limit_param(call, &answer->limit) ||
        !api_read_selection(call, request, API_SELECTION_PREFIX, &selection)) {
        return HTTP_DONE;
    }
    if (selection->selector_count == 0) {
        return api_fail(call, API_BAD_DATA, "no match[] parameter provided");
    }
    answer->walk = api_begin_walk(call, request, selection);
    if (answer->walk == NULL) {
        return HTTP_DONE;
    }
    api_begin_data(call);
    http_text_say(&call->body_out, "[");
    const enum quarry_status status = put_piece(call, answer);
    if (status != QUARRY_OK) {
        return api_fail_status(call, status, NULL);
    }
    call->more = call->is_last ? NULL : say_more;
    return HTTP_DONE;
}
