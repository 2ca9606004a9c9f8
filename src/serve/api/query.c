/*
 * Expressions at a time, and over times: /api/v1/query, /api/v1/query_range.
 *
 * A query runs on a thread of the executor, whose number is what bounds how many run at a time. It
 * ends at its deadline, or soon after its client has gone. Its result is kept until it has been
 * taken; pieces of JSON are made of it on the way.
 */
#include <serve/api/handlers.h>
#include <serve/api/params.h>
#include <serve/api/result.h>
#include <serve/api/running.h>

#include <os/os.h>
#include <promql/promql.h>

/* Of the text, that is made at a time. */
#define PIECE_BYTES Q_KIB(64)
/* Steps of a range query: two a pixel of any screen. */
#define STEPS_MAX 11000

/* What a query has at least, whatever others have: enough for an answer to a small one. */
#define GRANT_BYTES_MIN Q_KIB(256)

struct query {
    struct promql_tsdb_source store;
    struct promql_source source; /* over it */
    struct promql_result result;
    struct api_result_writer writer;
    struct api_running_query running; /* listed while it is evaluated */
    bool has_result;
};

static void end_query(struct api_request *request)
{
    struct query *query = request->own;

    if (query->has_result) {
        promql_result_fini(&query->result);
    }
}

/* ---- parameters ----------------------------------------------------------------------------- */

static int64_t now_ms(void)
{
    return (int64_t)(os_wall_ns(os_real()) / Q_MS_NS);
}

static bool fail_param(struct http_call *call, const char *name, const char *text)
{
    (void)api_fail(call, API_BAD_DATA, "invalid parameter \"%s\": %s", name, text);
    return false;
}

/* A time that has to be said. */
static bool read_edge(struct http_call *call, const char *name, int64_t *ret_ms)
{
    struct http_slice value = {"", 0};

    if (http_param(call, name, &value) && api_read_time(value, ret_ms)) {
        return true;
    }
    api_fail_time(call, name, "", value);
    return false;
}

/* A duration; `fallback_ms` when it is not said and is not below 0. */
static bool read_duration(struct http_call *call, const char *name, int64_t fallback_ms,
                          int64_t *ret_ms)
{
    struct http_slice value = {"", 0};

    if (!api_param(call, name, &value) && fallback_ms >= 0) {
        *ret_ms = fallback_ms;
        return true;
    }
    if (api_read_duration(value, ret_ms)) {
        return true;
    }
    api_fail_duration(call, name, value);
    return false;
}

/* Whose rules: "3", which is the default, or "2.42". */
static bool read_compat(struct http_call *call, bool *ret_is_2_42)
{
    struct http_slice value = {"3", 1};

    (void)api_param(call, "compat", &value);
    *ret_is_2_42 = value.count == 4 && memcmp(value.bytes, "2.42", 4) == 0;
    return *ret_is_2_42 || (value.count == 1 && value.bytes[0] == '3') ||
           fail_param(call, "compat", "must be 3 or 2.42");
}

/* A half of what other queries have left: the next one finds as much again. */
static uint64_t grant_of(const struct serve_tsdb *store)
{
    struct quarry_account_state state;

    quarry_account_read(store->queries.account, &state);
    const uint64_t left_bytes =
        state.ceiling_bytes - size_min_u64(state.charged_bytes, state.ceiling_bytes);
    return size_max_u64(size_min_u64(left_bytes / 2, store->limits.query_bytes_max),
                        GRANT_BYTES_MIN);
}

/* What both kinds of queries may say. */
static bool read_options(struct http_call *call, struct api_request *request, struct query *query,
                         struct promql_options *ret_options)
{
    const struct serve_tsdb *store = request->context.store;
    struct http_slice stats;
    const int64_t timeout_max_ms = store->limits.query_timeout_ms;
    int64_t timeout_ms, lookback_ms;
    uint64_t limit;
    bool is_2_42;

    if (!read_duration(call, "timeout", timeout_max_ms, &timeout_ms) ||
        !read_duration(call, "lookback_delta", store->limits.lookback_ms, &lookback_ms) ||
        !api_limit_param(call, &limit) || !read_compat(call, &is_2_42)) {
        return false;
    }
    if (lookback_ms <= 0) {
        return fail_param(call, "lookback_delta", "must be positive");
    }
    timeout_ms = timeout_ms < 0 ? 0 : timeout_ms > timeout_max_ms ? timeout_max_ms : timeout_ms;
    query->writer.series_max = (size_t)limit;
    query->writer.has_stats = api_param(call, "stats", &stats);
    *ret_options = (struct promql_options){
        .source = &query->source,
        .account = store->queries.account,
        .pool = store->queries.pool,
        .crew = store->crew,
        .grant_bytes = grant_of(store),
        .samples_max = store->limits.query_samples_max,
        .lookback_ms = lookback_ms,
        .deadline_ns = os_monotonic_ns(os_real()) + (uint64_t)timeout_ms * Q_MS_NS,
        .cancel = call->is_cancelled,
        .progress = &query->running.progress,
        .compat_2_42 = is_2_42,
    };
    return true;
}

/* ---- answering ------------------------------------------------------------------------------ */

/* In the form of http_handler_function. */
static enum http_outcome say_more(struct http_call *call)
{
    struct api_request *request = call->state;
    struct query *query = request->own;

    call->is_last = api_put_result(&query->writer, &call->body_out, PIECE_BYTES);
    return call->body_out.is_failed ? HTTP_FAILED : HTTP_DONE;
}

static enum http_outcome fail_query(struct http_call *call, const struct promql_result *result)
{
    switch (result->error) {
    case PROMQL_ERROR_BAD_DATA:
        return api_fail(call, API_BAD_DATA, "invalid parameter \"query\": %s", result->error_text);
    case PROMQL_ERROR_EXECUTION:
        return api_fail(call, API_EXECUTION, "%s", result->error_text);
    case PROMQL_ERROR_TIMEOUT:
        return api_fail(call, API_TIMEOUT, "%s", result->error_text);
    case PROMQL_ERROR_CANCELED:
        return api_fail(call, API_CANCELED, "%s", result->error_text);
    case PROMQL_ERROR_NONE:
    case PROMQL_ERROR_INTERNAL:
    default:
        return api_fail(call, API_INTERNAL, "%s", result->error_text);
    }
}

static struct quarry_tsdb_slice text_of(const struct http_call *call)
{
    struct http_slice text = {"", 0};

    (void)http_param(call, "query", &text);
    return (struct quarry_tsdb_slice){text.bytes, text.count};
}

static void begin_running(const struct http_call *call, const struct api_request *request,
                          struct query *query, struct promql_steps steps)
{
    api_running_begin(request->context.store->running, &query->running, call, text_of(call), steps);
}

static enum http_outcome answer(struct http_call *call, struct api_request *request,
                                struct query *query)
{
    query->has_result = true;
    api_running_end(request->context.store->running, &query->running, &query->result);
    if (query->result.error != PROMQL_ERROR_NONE) {
        return fail_query(call, &query->result);
    }
    query->writer.result = &query->result;
    query->writer.memory = &request->memory;
    call->content_type = "application/json";
    call->more = say_more;
    return HTTP_DONE;
}

/* NULL: no memory, which was answered. */
static struct query *begin_query(struct http_call *call, struct api_request *request)
{
    struct query *query = promql_memory_take_zero(&request->memory, 1, sizeof *query);

    if (query == NULL) {
        (void)api_fail_status(call, QUARRY_NO_MEMORY, NULL);
        return NULL;
    }
    query->store.tsdb = request->context.store->tsdb;
    query->store.tenant = request->context.tenant;
    query->store.account = request->context.store->queries.account;
    query->store.pool = request->context.store->queries.pool;
    query->source = promql_tsdb_source(&query->store);
    request->own = query;
    request->end = end_query;
    return query;
}

enum http_outcome api_query(struct http_call *call, struct api_request *request)
{
    struct query *query = begin_query(call, request);
    struct promql_options options;
    int64_t t_ms;

    if (query == NULL || !api_time_param(call, "time", now_ms(), &t_ms) ||
        !read_options(call, request, query, &options)) {
        return HTTP_DONE;
    }
    begin_running(call, request, query, (struct promql_steps){t_ms, t_ms, 0});
    (void)promql_query_instant_text(&options, text_of(call), t_ms, &query->result);
    return answer(call, request, query);
}

/* start, end and step; false: it was answered what is wrong with them. */
static bool read_steps(struct http_call *call, struct promql_steps *ret_steps)
{
    int64_t span_ms;

    if (!read_edge(call, "start", &ret_steps->start_ms) ||
        !read_edge(call, "end", &ret_steps->end_ms)) {
        return false;
    }
    if (ret_steps->end_ms < ret_steps->start_ms) {
        return fail_param(call, "end", "end timestamp must not be before start time");
    }
    if (!read_duration(call, "step", -1, &ret_steps->step_ms)) {
        return false;
    }
    if (ret_steps->step_ms <= 0) {
        return fail_param(call, "step",
                          "zero or negative query resolution step widths are not accepted. Try a "
                          "positive integer");
    }
    if (__builtin_sub_overflow(ret_steps->end_ms, ret_steps->start_ms, &span_ms) ||
        span_ms / ret_steps->step_ms > STEPS_MAX) {
        (void)api_fail(call, API_BAD_DATA,
                       "exceeded maximum resolution of 11,000 points per timeseries. Try "
                       "decreasing the query resolution (?step=XX)");
        return false;
    }
    return true;
}

enum http_outcome api_query_range(struct http_call *call, struct api_request *request)
{
    struct query *query = begin_query(call, request);
    struct promql_options options;
    struct promql_steps steps;

    if (query == NULL || !read_steps(call, &steps) ||
        !read_options(call, request, query, &options)) {
        return HTTP_DONE;
    }
    options.points_max = STEPS_MAX + 1;
    begin_running(call, request, query, steps);
    (void)promql_query_range_text(&options, text_of(call), steps, &query->result);
    return answer(call, request, query);
}
