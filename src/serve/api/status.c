/*
 * What the server is, for those who expect Prometheus: /api/v1/status/…, and what it has none of.
 *
 * There are no rules here, no alerts and no managers of them: lists of them are empty, as those of
 * a Prometheus without any.
 */
#include <serve/api/handlers.h>

#include <inttypes.h>
#include <time.h>

#include <os/os.h>

enum http_outcome api_build_info(struct http_call *call, struct api_request *request)
{
    api_begin_data(call);
    http_text_say(&call->body_out, "{\"version\":");
    api_put_words(&call->body_out, request->context.version);
    http_text_say(&call->body_out, ",\"revision\":\"\",\"branch\":\"\",\"buildUser\":\"\","
                                   "\"buildDate\":\"\",\"goVersion\":\"\"}");
    api_end_data(call);
    return HTTP_DONE;
}

/* As RFC 3339 has it, in quotes. */
static void put_date(struct http_text *text, int64_t t_ms)
{
    const time_t seconds = (time_t)(t_ms / 1000);
    struct tm parts;
    char room[64] = "1970-01-01T00:00:00Z";

    if (gmtime_r(&seconds, &parts) != NULL) {
        (void)strftime(room, sizeof room, "%Y-%m-%dT%H:%M:%SZ", &parts);
    }
    api_put_words(text, room);
}

enum http_outcome api_runtime_info(struct http_call *call, struct api_request *request)
{
    const struct api_context *context = &request->context;
    struct http_text *text = &call->body_out;
    struct quarry_tsdb_stats stats;

    quarry_tsdb_read_stats(context->store->tsdb, &stats);
    api_begin_data(call);
    http_text_say(text, "{\"startTime\":");
    put_date(text, context->start_ms);
    http_text_say(text, ",\"serverTime\":");
    put_date(text, (int64_t)(os_wall_ns(os_real()) / Q_MS_NS));
    http_text_format(text,
                     ",\"reloadConfigSuccess\":true,\"GOMAXPROCS\":%u,"
                     "\"storageRetention\":\"%" PRIu64 " windows\"}",
                     context->worker_count, stats.window_count);
    api_end_data(call);
    return HTTP_DONE;
}

enum http_outcome api_walreplay(struct http_call *call, struct api_request *request)
{
    (void)request;
    api_begin_data(call);
    http_text_say(&call->body_out, "{\"min\":0,\"max\":0,\"current\":0,\"state\":\"done\"}");
    api_end_data(call);
    return HTTP_DONE;
}

static enum http_outcome say(struct http_call *call, const char *data)
{
    api_begin_data(call);
    http_text_say(&call->body_out, data);
    api_end_data(call);
    return HTTP_DONE;
}

enum http_outcome api_alertmanagers(struct http_call *call, struct api_request *request)
{
    (void)request;
    return say(call, "{\"activeAlertmanagers\":[],\"droppedAlertmanagers\":[]}");
}

enum http_outcome api_alerts(struct http_call *call, struct api_request *request)
{
    (void)request;
    return say(call, "{\"alerts\":[]}");
}

enum http_outcome api_targets(struct http_call *call, struct api_request *request)
{
    (void)request;
    return say(call, "{\"activeTargets\":[],\"droppedTargets\":[],\"droppedTargetCounts\":{}}");
}

enum http_outcome api_scrape_pools(struct http_call *call, struct api_request *request)
{
    (void)request;
    return say(call, "{\"scrapePools\":[]}");
}

enum http_outcome api_rules(struct http_call *call, struct api_request *request)
{
    (void)request;
    return say(call, "{\"groups\":[]}");
}

/* The store deletes by time alone. */
enum http_outcome api_admin(struct http_call *call, struct api_request *request)
{
    (void)request;
    return api_fail(call, API_UNAVAILABLE, "admin APIs disabled");
}
