/*
 * Answers of the API: what stands around data and errors.
 *
 * Locking: none. A request's memory is of the account that Prometheus' doors share, a quarter of
 * whose ceiling one request may have at most.
 */
#include <serve/api/answer.h>

#include <stdarg.h>
#include <stdio.h>

#include <serve/api/params.h>

/* Of one request that is no query: names, rows, trees. */
#define REQUEST_GRANT_BYTES Q_MIB(64)

static const struct {
    const char *name;
    uint32_t code;
} errors[] = {
    [API_BAD_DATA] = {"bad_data", 400},   [API_EXECUTION] = {"execution", 422},
    [API_CANCELED] = {"canceled", 499},   [API_TIMEOUT] = {"timeout", 503},
    [API_INTERNAL] = {"internal", 500},   [API_UNAVAILABLE] = {"unavailable", 500},
    [API_NOT_FOUND] = {"not_found", 404},
};

static void end_request(struct http_call *call)
{
    struct api_request *request = call->state;
    const struct tsdb_memory *memory = &request->context.store->memory;

    if (request->end != NULL) {
        request->end(request);
    }
    promql_memory_fini(&request->memory);
    tsdb_memory_give(memory, request);
}

struct api_request *api_begin_request(struct http_call *call, const struct api_context *context)
{
    const struct tsdb_memory *memory = &context->store->memory;
    struct api_request *request = tsdb_memory_take_zero(memory, sizeof *request);

    if (call->route->is_shared) {
        http_say_shared(call);
    }
    if (request == NULL) {
        (void)api_fail(call, API_INTERNAL, "no memory for a request");
        return NULL;
    }
    request->context = *context;
    promql_memory_init(&request->memory, memory->account, memory->pool, REQUEST_GRANT_BYTES);
    call->state = request;
    call->end_state = end_request;
    return request;
}

void api_begin_data(struct http_call *call)
{
    call->content_type = "application/json";
    http_text_say(&call->body_out, "{\"status\":\"success\",\"data\":");
}

void api_end_data(struct http_call *call)
{
    http_text_say(&call->body_out, "}");
}

void api_end_data_with(struct http_call *call, const char *warning)
{
    http_text_say(&call->body_out, ",\"warnings\":[");
    api_put_words(&call->body_out, warning);
    http_text_say(&call->body_out, "]}");
}

enum http_outcome api_fail(struct http_call *call, enum api_error error, const char *format, ...)
{
    char text[2304];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    http_text_empty(&call->body_out);
    call->status = errors[error].code;
    call->content_type = "application/json";
    call->more = NULL;
    http_text_format(&call->body_out,
                     "{\"status\":\"error\",\"errorType\":\"%s\",\"error\":", errors[error].name);
    api_put_words(&call->body_out, text);
    http_text_say(&call->body_out, "}");
    return HTTP_DONE;
}

enum http_outcome api_fail_status(struct http_call *call, enum quarry_status status,
                                  const struct quarry_error *error)
{
    const char *text =
        error != NULL && error->text[0] != '\0' ? error->text : quarry_status_text(status);

    switch ((int)status) {
    case QUARRY_BAD_INPUT:
        return api_fail(call, API_BAD_DATA, "%s", text);
    case QUARRY_CANCELLED:
        return api_fail(call, API_CANCELED, "%s", text);
    case QUARRY_TOO_LARGE:
    case QUARRY_TOO_MANY:
        return api_fail(call, API_EXECUTION, "%s", text);
    default:
        return api_fail(call, API_INTERNAL, "%s", text);
    }
}

void api_fail_time(struct http_call *call, const char *name, const char *what,
                   struct http_slice value)
{
    char quoted[API_QUOTED_BYTES];

    (void)api_fail(call, API_BAD_DATA,
                   "invalid parameter \"%s\": %scannot parse %s to a valid timestamp", name, what,
                   api_quote(value, quoted));
}

void api_fail_duration(struct http_call *call, const char *name, struct http_slice value)
{
    char quoted[API_QUOTED_BYTES];

    (void)api_fail(call, API_BAD_DATA,
                   "invalid parameter \"%s\": cannot parse %s to a valid duration%s", name,
                   api_quote(value, quoted), api_is_number(value) ? ". It overflows int64" : "");
}

bool api_time_param(struct http_call *call, const char *name, int64_t fallback_ms, int64_t *ret_ms)
{
    struct http_slice value;
    char what[64];

    if (!api_param(call, name, &value)) {
        *ret_ms = fallback_ms;
        return true;
    }
    if (api_read_time(value, ret_ms)) {
        return true;
    }
    (void)snprintf(what, sizeof what, "invalid time value for '%s': ", name);
    api_fail_time(call, name, what, value);
    return false;
}

bool api_limit_param(struct http_call *call, uint64_t *ret_limit)
{
    struct http_slice value;

    *ret_limit = 0;
    if (!api_param(call, "limit", &value) || api_read_count(value, ret_limit)) {
        return true;
    }
    (void)api_fail(call, API_BAD_DATA, "invalid parameter \"limit\": %s",
                   value.bytes[0] == '-' ? "limit must be non-negative" : "limit must be a number");
    return false;
}
