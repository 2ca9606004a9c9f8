/*
 * Expressions as such: /api/v1/format_query, /api/v1/parse_query.
 *
 * A tree and its text lie in the request's memory, so that they are bounded by its grant.
 */
#include <serve/api/handlers.h>

struct promql_node *api_parse_query_param(struct http_call *call, struct api_request *request)
{
    struct promql_parse_error *error = promql_memory_take_zero(&request->memory, 1, sizeof *error);
    const struct promql_parse_options options = {.allows_fill = false};
    struct http_slice text = {"", 0};
    struct promql_node *node = NULL;

    if (error == NULL) {
        (void)api_fail_status(call, QUARRY_NO_MEMORY, NULL);
        return NULL;
    }
    (void)http_param(call, "query", &text);
    if (promql_parse(&request->memory, (struct quarry_tsdb_slice){text.bytes, text.count}, &options,
                     &node, error) != QUARRY_OK) {
        (void)api_fail(call, API_BAD_DATA, "invalid parameter \"query\": %s", error->text);
        return NULL;
    }
    return node;
}

/* The expression as `print` writes it. bytes NULL: it was answered why there is none. */
static struct quarry_tsdb_slice printed(struct http_call *call, struct api_request *request,
                                        void (*print)(struct promql_writer *writer,
                                                      const struct promql_node *node))
{
    const struct promql_node *node = api_parse_query_param(call, request);
    struct promql_writer writer = {.memory = &request->memory};

    if (node == NULL) {
        return (struct quarry_tsdb_slice){NULL, 0};
    }
    print(&writer, node);
    if (request->memory.is_refused) {
        (void)api_fail_status(call, QUARRY_NO_MEMORY, NULL);
        return (struct quarry_tsdb_slice){NULL, 0};
    }
    return (struct quarry_tsdb_slice){writer.bytes, writer.count};
}

enum http_outcome api_format_query(struct http_call *call, struct api_request *request)
{
    struct quarry_tsdb_slice text = printed(call, request, promql_print_pretty);

    if (text.bytes != NULL) {
        api_begin_data(call);
        api_put_string(&call->body_out, text);
        api_end_data(call);
    }
    return HTTP_DONE;
}

enum http_outcome api_parse_query(struct http_call *call, struct api_request *request)
{
    struct quarry_tsdb_slice text = printed(call, request, promql_print_json);

    if (text.bytes != NULL) {
        api_begin_data(call);
        http_text_add(&call->body_out, text.bytes, text.count);
        api_end_data(call);
    }
    return HTTP_DONE;
}
