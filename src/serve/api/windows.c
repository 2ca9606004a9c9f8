/*
 * The store's windows: /api/v1/status/windows, which Prometheus does not have.
 *
 * Locking: none.
 */
#include <serve/api/handlers.h>

#include <inttypes.h>

/* A store has up to QUARRY_TSDB_WINDOWS_MAX sealed ones, and some that are open. */
#define WINDOWS_MAX (QUARRY_TSDB_WINDOWS_MAX + 16u)

static void put_window(struct http_text *text, const struct quarry_tsdb_window *window)
{
    http_text_format(text,
                     "{\"startMs\":%" PRId64 ",\"endMs\":%" PRId64 ",\"sealedShards\":%" PRIu32
                     ",\"series\":%" PRIu64 ",\"samples\":%" PRIu64,
                     window->start_ms, window->end_ms, window->sealed_shard_count,
                     window->series_count, window->sample_count);
    http_text_format(text,
                     ",\"openBytes\":%" PRIu64 ",\"openUsedBytes\":%" PRIu64
                     ",\"sealedBytes\":%" PRIu64 ",\"sealedUsedBytes\":%" PRIu64 "}",
                     window->open_bytes, window->open_used_bytes, window->sealed_bytes,
                     window->sealed_used_bytes);
}

enum http_outcome api_windows(struct http_call *call, struct api_request *request)
{
    struct quarry_tsdb_window windows[WINDOWS_MAX];
    const size_t count = size_min(
        quarry_tsdb_windows(request->context.store->tsdb, windows, WINDOWS_MAX), WINDOWS_MAX);

    api_begin_data(call);
    http_text_say(&call->body_out, "{\"shards\":64,\"windows\":[");
    for (size_t i = 0; i < count; i++) {
        http_text_add(&call->body_out, ",", i > 0);
        put_window(&call->body_out, &windows[i]);
    }
    http_text_say(&call->body_out, "]}");
    api_end_data(call);
    return HTTP_DONE;
}
