/*
 * The API without a server.
 *
 * A request is made of words instead of being read from a socket, and its handler is called as the
 * door calls it: the answer, or each piece of it, lies in the call's text and is handed on before
 * the next is made. So a tool's answers are the server's, to the byte.
 *
 * Locking: none. Memory: two accounts of the caller's: `prometheus`, what requests work with, and
 * `answers`, their texts.
 */
#include <serve/api/local.h>

#include <stdlib.h>
#include <string.h>

#include <os/os.h>

#include <serve/api/api.h>
#include <serve/http/state.h>

/* Of one piece: long texts come in many. */
#define PIECE_BYTES_MAX Q_MIB(256)
#define LOOKBACK_MS     INT64_C(300000)
/* Who asks by hand ends a query by hand. */
#define TIMEOUT_MS  INT64_C(86400000)
#define SAMPLES_MAX UINT64_C(50000000)

struct api_local {
    struct serve_tsdb store;
    struct serve_memory pages; /* its account and lane are own */
    int64_t start_ms;
};

/* A query may have half of what there is. */
static enum quarry_status make_queries(struct api_local *local, struct quarry_memory *memory,
                                       uint64_t limit_bytes, struct quarry_error *error)
{
    const struct quarry_account_options options = {.name = "queries", .ceiling_bytes = limit_bytes};
    struct tsdb_memory *queries = &local->store.queries;
    enum quarry_status status = quarry_account_create(memory, &options, &queries->account, error);

    local->store.limits.query_bytes_max = limit_bytes / 2;
    return status == QUARRY_OK
               ? quarry_pool_create(local->store.lifetime, quarry_account_owner(queries->account),
                                    &queries->pool)
               : status;
}

static enum quarry_status make_memory(struct api_local *local, struct quarry_memory *memory,
                                      struct quarry_error *error)
{
    const struct quarry_account_options working = {.name = "prometheus"};
    const struct quarry_account_options answers = {.name = "answers", .is_all_pages = true};
    struct tsdb_memory *small = &local->store.memory;
    struct quarry_ledger ledger;
    enum quarry_status status = quarry_account_create(memory, &working, &small->account, error);

    if (status == QUARRY_OK) {
        status = quarry_lifetime_begin(memory, "prometheus", &local->store.lifetime, error);
    }
    if (status == QUARRY_OK) {
        status = quarry_pool_create(local->store.lifetime, quarry_account_owner(small->account),
                                    &small->pool);
    }
    if (status == QUARRY_OK) {
        (void)quarry_memory_ledger(memory, &ledger, NULL, 0);
        status = make_queries(local, memory, ledger.limit_bytes, error);
    }
    if (status == QUARRY_OK) {
        status = quarry_account_create(memory, &answers, &local->pages.account, error);
    }
    return status == QUARRY_OK
               ? quarry_lane_create(memory, &(struct quarry_lane_options){.name = "answers"},
                                    &local->pages.lane, error)
               : status;
}

enum quarry_status api_local_create(struct quarry_memory *memory, struct quarry_tsdb *tsdb,
                                    struct api_local **ret_local, struct quarry_error *error)
{
    struct api_local *local = calloc(1, sizeof *local);

    if (local == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "no memory for questions");
    }
    local->store.tsdb = tsdb;
    local->store.limits.lookback_ms = LOOKBACK_MS;
    local->store.limits.query_timeout_ms = TIMEOUT_MS;
    local->store.limits.query_samples_max = SAMPLES_MAX;
    local->pages.memory = memory;
    local->start_ms = (int64_t)(os_wall_ns(os_real()) / Q_MS_NS);
    enum quarry_status status = make_memory(local, memory, error);
    if (status != QUARRY_OK) {
        api_local_destroy(local);
        return status;
    }
    *ret_local = local;
    return QUARRY_OK;
}

void api_local_destroy(struct api_local *local)
{
    if (local == NULL) {
        return;
    }
    quarry_lane_destroy(local->pages.lane);
    quarry_account_destroy(local->pages.account);
    quarry_lifetime_end(local->store.lifetime);
    quarry_account_destroy(local->store.queries.account);
    quarry_account_destroy(local->store.memory.account);
    free(local);
}

/* ---- asking --------------------------------------------------------------------------------- */

static struct http_slice slice_of(const char *text)
{
    return (struct http_slice){text, strlen(text)};
}

/* Hands on what the call's text has, and has the next piece made, until there is none. */
static enum quarry_status hand_on(struct http_call *call, api_sink_function *sink, void *argument)
{
    enum http_outcome outcome = HTTP_DONE;

    for (;;) {
        struct http_text *text = &call->body_out;
        if (outcome == HTTP_FAILED || text->is_failed) {
            return QUARRY_NO_MEMORY;
        }
        if (text->count > 0 && !sink(argument, text->bytes, text->count)) {
            return QUARRY_CANCELLED;
        }
        if (call->more == NULL || call->is_last) {
            return QUARRY_OK;
        }
        http_text_empty(text);
        outcome = call->more(call);
    }
}

static enum quarry_status run(struct api_local *local, struct http_request *request,
                              api_sink_function *sink, void *argument, uint32_t *ret_code)
{
    const struct api_context context = {
        .store = &local->store, .version = "", .start_ms = local->start_ms, .worker_count = 1};
    struct http_call *call = &request->call;

    http_text_init(&call->body_out, &local->pages, PIECE_BYTES_MAX);
    (void)api_answer(call, &context); /* what its outcomes say is said in the answer */
    *ret_code = call->status == 0 ? 200 : call->status;
    enum quarry_status status = hand_on(call, sink, argument);
    if (call->end_state != NULL) {
        call->end_state(call);
    }
    http_text_fini(&call->body_out);
    return status;
}

enum quarry_status api_local_ask(struct api_local *local, const struct api_question *question,
                                 api_sink_function *sink, void *argument, uint32_t *ret_code)
{
    const struct http_route route = {.path = question->path};
    struct http_param params[HTTP_PARAMS_MAX];
    struct http_request *request = calloc(1, sizeof *request);

    Q_ASSERT(question->param_count <= HTTP_PARAMS_MAX);
    if (request == NULL) {
        return QUARRY_NO_MEMORY;
    }
    for (size_t i = 0; i < question->param_count; i++) {
        params[i].name = slice_of(question->params[i].name);
        params[i].value = slice_of(question->params[i].value);
    }
    request->params = params;
    request->param_count = question->param_count;
    request->segments[0] = slice_of(question->segment == NULL ? "" : question->segment);
    request->call = (struct http_call){.route = &route,
                                       .request = request,
                                       .method = HTTP_GET,
                                       .path = slice_of(question->path),
                                       .is_cancelled = &request->is_cancelled};
    enum quarry_status status = run(local, request, sink, argument, ret_code);
    free(request);
    return status;
}
