/*
 * The API's routes: which function answers which path.
 *
 * Locking: none.
 */
#include <serve/api/api.h>

#include <string.h>

#include <serve/api/handlers.h>

static const struct {
    const char *path; /* as the route has it */
    api_function *function;
} functions[] = {
    {"/api/v1/query", api_query},
    {"/api/v1/query_range", api_query_range},
    {"/api/v1/query_exemplars", api_query_exemplars},
    {"/api/v1/format_query", api_format_query},
    {"/api/v1/parse_query", api_parse_query},
    {"/api/v1/series", api_series},
    {"/api/v1/labels", api_label_names},
    {"/api/v1/label/*/values", api_label_values},
    {"/api/v1/metadata", api_metadata},
    {"/api/v1/targets", api_targets},
    {"/api/v1/targets/metadata", api_targets_metadata},
    {"/api/v1/scrape_pools", api_scrape_pools},
    {"/api/v1/rules", api_rules},
    {"/api/v1/alerts", api_alerts},
    {"/api/v1/alertmanagers", api_alertmanagers},
    {"/api/v1/status/buildinfo", api_build_info},
    {"/api/v1/status/config", api_config},
    {"/api/v1/status/flags", api_flags},
    {"/api/v1/status/runtimeinfo", api_runtime_info},
    {"/api/v1/status/walreplay", api_walreplay},
    {"/api/v1/status/tsdb", api_tsdb_status},
    {"/api/v1/status/windows", api_windows},
    {"/api/v1/admin/tsdb/delete_series", api_delete_series},
    {"/api/v1/admin/tsdb/clean_tombstones", api_clean_tombstones},
    {"/api/v1/admin/tsdb/snapshot", api_snapshot},
};

enum http_outcome api_answer(struct http_call *call, const struct api_context *context)
{
    struct api_request *request = api_begin_request(call, context);

    if (request == NULL) {
        return HTTP_DONE;
    }
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        if (strcmp(functions[i].path, call->route->path) == 0) {
            return functions[i].function(call, request);
        }
    }
    return api_fail(call, API_NOT_FOUND, "%s leads nowhere", call->route->path);
}
