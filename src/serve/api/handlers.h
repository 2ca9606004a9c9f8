/*
 * What the API's routes do: each of the form of api_function.
 */
#ifndef QUARRY_SERVE_API_HANDLERS_H
#define QUARRY_SERVE_API_HANDLERS_H

#include <serve/api/answer.h>
#include <serve/scrape/scrape.h>

/* query.c: expressions, at a time and over times; exemplars of those that they select. */
enum http_outcome api_query(struct http_call *call, struct api_request *request);
enum http_outcome api_query_range(struct http_call *call, struct api_request *request);
enum http_outcome api_query_exemplars(struct http_call *call, struct api_request *request);
/* language.c: expressions laid out, and as trees. */
enum http_outcome api_format_query(struct http_call *call, struct api_request *request);
enum http_outcome api_parse_query(struct http_call *call, struct api_request *request);
/* The expression of the parameter `query`, in the request's memory. NULL: it was answered why there
 * is none. */
struct promql_node *api_parse_query_param(struct http_call *call, struct api_request *request);
/* series.c: sets of labels. */
enum http_outcome api_series(struct http_call *call, struct api_request *request);
/* names.c: names of labels, and values of one. */
enum http_outcome api_label_names(struct http_call *call, struct api_request *request);
enum http_outcome api_label_values(struct http_call *call, struct api_request *request);
/* metadata.c: types and helps of metric families. */
enum http_outcome api_metadata(struct http_call *call, struct api_request *request);
/* status.c: what the server is. */
enum http_outcome api_build_info(struct http_call *call, struct api_request *request);
enum http_outcome api_runtime_info(struct http_call *call, struct api_request *request);
enum http_outcome api_walreplay(struct http_call *call, struct api_request *request);
enum http_outcome api_alertmanagers(struct http_call *call, struct api_request *request);
enum http_outcome api_alerts(struct http_call *call, struct api_request *request);
enum http_outcome api_rules(struct http_call *call, struct api_request *request);
enum http_outcome api_config(struct http_call *call, struct api_request *request);
enum http_outcome api_flags(struct http_call *call, struct api_request *request);
/* targets.c: what is scraped. */
enum http_outcome api_targets(struct http_call *call, struct api_request *request);
enum http_outcome api_scrape_pools(struct http_call *call, struct api_request *request);
enum http_outcome api_targets_metadata(struct http_call *call, struct api_request *request);
/* admin.c: the store as a whole. */
enum http_outcome api_delete_series(struct http_call *call, struct api_request *request);
enum http_outcome api_clean_tombstones(struct http_call *call, struct api_request *request);
enum http_outcome api_snapshot(struct http_call *call, struct api_request *request);
/* windows.c: the store's windows. */
enum http_outcome api_windows(struct http_call *call, struct api_request *request);
/* head.c: what the store has most of. */
enum http_outcome api_tsdb_status(struct http_call *call, struct api_request *request);

#endif
