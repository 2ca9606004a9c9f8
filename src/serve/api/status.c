/*
 * What the server is, for those who expect Prometheus: /api/v1/status/…, and what it has none of.
 *
 * There are no rules here, no alerts and no managers of them: lists of them are empty, as those of
 * a Prometheus without any.
 */
#include <serve/api/handlers.h>

#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <os/os.h>
#include <serve/api/params.h>

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

/* Of the process. */
static uint32_t count_threads(void)
{
    struct stat facts;

    /* A folder has as many links as it has folders in it, and two. */
    return stat("/proc/self/task", &facts) == 0 && facts.st_nlink > 2 ? (uint32_t)facts.st_nlink - 2
                                                                      : 0;
}

static void put_place(struct http_text *text)
{
    char path[PATH_MAX], host[256];

    http_text_say(text, ",\"CWD\":");
    api_put_words(text, getcwd(path, sizeof path) != NULL ? path : "");
    http_text_say(text, ",\"hostname\":");
    api_put_words(text, gethostname(host, sizeof host) == 0 ? host : "");
}

enum http_outcome api_runtime_info(struct http_call *call, struct api_request *request)
{
    const struct api_context *context = &request->context;
    struct http_text *text = &call->body_out;
    struct quarry_tsdb_stats stats;
    char retention[API_DURATION_BYTES];

    quarry_tsdb_read_stats(context->store->tsdb, &stats);
    api_begin_data(call);
    http_text_say(text, "{\"startTime\":");
    put_date(text, context->start_ms);
    put_place(text);
    http_text_say(text, ",\"serverTime\":");
    put_date(text, (int64_t)(os_wall_ns(os_real()) / Q_MS_NS));
    http_text_format(text, ",\"reloadConfigSuccess\":%s,\"lastConfigTime\":",
                     context->has_reload_failed ? "false" : "true");
    put_date(text, context->configured_ms);
    http_text_format(
        text,
        ",\"corruptionCount\":%" PRIu64 ",\"goroutineCount\":%" PRIu32 ",\"GOMAXPROCS\":%" PRIu32
        ",\"GOMEMLIMIT\":%" PRIu64 ",\"GOGC\":\"\",\"GODEBUG\":\"\",\"storageRetention\":\"%s\"",
        stats.loss_count, count_threads(), context->worker_count, context->memory_bytes,
        api_duration_text((uint64_t)context->retention_ms, retention));
    http_text_say(text, ",\"confined\":");
    api_put_words(text, context->confined != NULL ? context->confined : "");
    http_text_say(text, "}");
    api_end_data(call);
    return HTTP_DONE;
}

/* Segments are read once, when the store is opened; doors answer when that was begun. */
enum http_outcome api_walreplay(struct http_call *call, struct api_request *request)
{
    struct quarry_tsdb_stats stats;

    quarry_tsdb_read_stats(request->context.store->tsdb, &stats);
    const uint64_t last = stats.log_segment_count > 0 ? stats.log_segment_count - 1 : 0;
    api_begin_data(call);
    http_text_format(&call->body_out,
                     "{\"min\":0,\"max\":%" PRIu64 ",\"current\":%" PRIu64 ",\"state\":\"%s\"}",
                     last, stats.is_ready ? last : 0, stats.is_ready ? "done" : "in progress");
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

enum http_outcome api_rules(struct http_call *call, struct api_request *request)
{
    struct http_slice type;

    (void)request;
    if (api_param(call, "type", &type) && !http_slice_is(type, "alert") &&
        !http_slice_is(type, "record")) {
        return api_fail(call, API_BAD_DATA,
                        "invalid parameter \"type\": not supported value \"%.*s\"",
                        (int)size_min(type.count, 256), type.bytes);
    }
    return say(call, "{\"groups\":[]}");
}

/* ---- what is in force ----------------------------------------------------------------------- */

enum http_outcome api_config(struct http_call *call, struct api_request *request)
{
    if (request->context.configuration == NULL) {
        return api_fail_status(call, QUARRY_NO_MEMORY, NULL);
    }
    api_begin_data(call);
    http_text_say(&call->body_out, "{\"yaml\":");
    api_put_words(&call->body_out, request->context.configuration);
    http_text_say(&call->body_out, "}");
    api_end_data(call);
    return HTTP_DONE;
}

enum http_outcome api_flags(struct http_call *call, struct api_request *request)
{
    struct http_text *text = &call->body_out;
    const char *line = request->context.flags;

    if (line == NULL) {
        return api_fail_status(call, QUARRY_NO_MEMORY, NULL);
    }
    api_begin_data(call);
    http_text_say(text, "{");
    while (*line != '\0') {
        const size_t name = strcspn(line, "=\n"), all = strcspn(line, "\n");
        const size_t value = size_min(name + 1, all);
        http_text_add(text, ",", line != request->context.flags);
        api_put_string(text, (struct quarry_tsdb_slice){line, name});
        http_text_add(text, ":", 1);
        api_put_string(text, (struct quarry_tsdb_slice){line + value, all - value});
        line += all + (line[all] == '\n');
    }
    http_text_say(text, "}");
    api_end_data(call);
    return HTTP_DONE;
}
