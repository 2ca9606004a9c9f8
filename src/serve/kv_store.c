/*
 * Opening the key-value store: by which options, and what is logged of it.
 *
 *     kv.memory         a ceiling; auto: half of the limit. What it does not use is the cache's,
 *                       which gives way through the budget
 *     server.durability none, process: as said. power: the store writes with process, and the door
 *                       syncs before it answers (resp/sync.c)
 *
 * A store that was killed reads its log back before it is open, which may take a minute for a log
 * of gigabytes; doors listen afterwards.
 *
 * Locking: none; what the store tells comes from its own threads.
 */
#include <serve/kv_store.h>

#include <stdio.h>
#include <string.h>

#include <os/os.h>
#include <serve/log.h>

/* What a value has in front of it in the store, and then some. */
#define VALUE_OVERHEAD_BYTES 64u
/* Keys are read one by one, more often than in a row: decision 0076. */
#define RESTART_INTERVAL 4u

/* ---- what it tells -------------------------------------------------------------------------- */

static void notice(void *argument, const struct quarry_kv_event_data *data)
{
    const char *why = data->error != NULL ? data->error->text : "";

    (void)argument;
    switch (data->event) {
    case QUARRY_KV_EVENT_FLUSHED:
    case QUARRY_KV_EVENT_COMPACTED:
        serve_log(
            SERVE_LOG_DEBUG, "the store has written files",
            serve_log_text("by", data->event == QUARRY_KV_EVENT_FLUSHED ? "flush" : "compaction"),
            serve_log_count("to_level", data->to_level),
            serve_log_bytes("written_bytes", data->written_bytes),
            serve_log_seconds("seconds", data->duration_ns));
        return;
    case QUARRY_KV_EVENT_THROTTLED:
        serve_log(SERVE_LOG_DEBUG, "the store slows its writers, or does no longer");
        return;
    case QUARRY_KV_EVENT_READ_ONLY:
        serve_log(SERVE_LOG_ERROR, "the store has turned read-only", serve_log_text("why", why));
        return;
    case QUARRY_KV_EVENT_RESUMED:
        serve_log(SERVE_LOG_INFO, "the store can be written to again");
        return;
    case QUARRY_KV_EVENT_LOG_RETIRED:
        serve_log(SERVE_LOG_WARNING,
                  "a log of the store could not be synced: it goes on in another",
                  serve_log_text("why", why));
        return;
    case QUARRY_KV_EVENT_CORRUPTION:
        serve_log(SERVE_LOG_ERROR, "the store has found damaged bytes", serve_log_text("why", why));
        return;
    case QUARRY_KV_EVENT_SPACE_LOW:
        serve_log(SERVE_LOG_ERROR, "the disk is full: the store refuses writes",
                  serve_log_text("why", why), serve_log_bytes("free_bytes", data->free_bytes),
                  serve_log_bytes("reserved_bytes", data->reserved_bytes),
                  serve_log_text("do", "make room beside the store, or delete keys, which it "
                                       "still does; it goes on by itself"));
        return;
    case QUARRY_KV_EVENT_SPACE_BACK:
        serve_log(SERVE_LOG_INFO, "the disk has room again: the store takes writes",
                  serve_log_bytes("free_bytes", data->free_bytes),
                  serve_log_bytes("reserved_bytes", data->reserved_bytes));
        return;
    }
    Q_UNREACHABLE();
}

/* ---- options -------------------------------------------------------------------------------- */

static enum quarry_kv_compression compression_of(const struct serve_config *config)
{
    static const enum quarry_kv_compression kinds[] = {
        [SERVE_KV_COMPRESSION_NONE] = QUARRY_KV_COMPRESSION_NONE,
        [SERVE_KV_COMPRESSION_SNAPPY] = QUARRY_KV_COMPRESSION_SNAPPY,
        [SERVE_KV_COMPRESSION_LZ4] = QUARRY_KV_COMPRESSION_LZ4,
        [SERVE_KV_COMPRESSION_ZSTD] = QUARRY_KV_COMPRESSION_ZSTD,
    };
    uint64_t place = serve_config_number(config, SERVE_KV_COMPRESSION);

    Q_ASSERT(place < sizeof kinds / sizeof kinds[0]);
    return kinds[place];
}

static struct quarry_kv_options make_options(const struct serve_config *config,
                                             uint64_t budget_bytes)
{
    uint64_t memory_bytes = serve_config_number(config, SERVE_KV_MEMORY);
    bool is_kept = serve_config_number(config, SERVE_SERVER_DURABILITY) != SERVE_DURABLE_NONE;
    enum quarry_kv_compression compression = compression_of(config);

    return (struct quarry_kv_options){
        .listener = {.notice = notice},
        .memory_bytes = memory_bytes != 0 ? memory_bytes : budget_bytes / 2,
        .create_if_missing = true,
        .durability = is_kept ? QUARRY_KV_PROCESS : QUARRY_KV_NONE,
        .write_buffer_bytes = serve_config_number(config, SERVE_KV_WRITE_BUFFER),
        .value_bytes_max = serve_config_number(config, SERVE_RESP_BULK_MAX) + VALUE_OVERHEAD_BYTES,
        .block_restart_interval = RESTART_INTERVAL,
        .compression = compression,
        .compression_top = compression,
        .compression_bottom = compression,
    };
}

/* ---- opening -------------------------------------------------------------------------------- */

static void log_open(struct keyspace *keyspace, const char *path, uint64_t begin_ns)
{
    struct quarry_kv_stats stats;
    uint64_t file_bytes = 0, file_count = 0;

    quarry_kv_read_stats(keyspace_kv(keyspace), &stats);
    for (uint32_t i = 0; i < QUARRY_KV_LEVELS; i++) {
        file_bytes += stats.level[i].file_bytes;
        file_count += stats.level[i].file_count;
    }
    serve_log(SERVE_LOG_INFO, "the store is open", serve_log_text("path", path),
              serve_log_count("files", file_count), serve_log_bytes("file_bytes", file_bytes),
              serve_log_count("estimated_keys", stats.estimated_keys),
              serve_log_seconds("seconds", os_monotonic_ns(os_real()) - begin_ns));
}

static bool is_asked_for(const struct serve_config *config)
{
    return strcmp(serve_config_origin(config, SERVE_RESP_LISTEN), "default") != 0 ||
           strcmp(serve_config_origin(config, SERVE_RESP_LISTEN_TLS), "default") != 0 ||
           strcmp(serve_config_origin(config, SERVE_KV_MEMORY), "default") != 0;
}

enum quarry_status serve_kv_open(struct quarry_memory *memory, const struct serve_config *config,
                                 const struct serve_data_dir *data_dir, uint64_t budget_bytes,
                                 struct keyspace **ret_keyspace, struct quarry_error *error)
{
    struct quarry_kv_options kv_options = make_options(config, budget_bytes);
    struct keyspace_options options = {.now_ms = NULL};
    char path[SERVE_PATH_BYTES];
    uint64_t begin_ns = os_monotonic_ns(os_real());

    *ret_keyspace = NULL;
    if (!serve_config_wants_resp(config)) {
        return QUARRY_OK;
    }
    int length = snprintf(path, sizeof path, "%s/kv", data_dir->path);
    if (length < 0 || (size_t)length >= sizeof path) {
        return error_set(error, QUARRY_TOO_LARGE, "server.data: the path has more than %d bytes",
                         SERVE_PATH_BYTES - 1);
    }
    serve_log(SERVE_LOG_INFO, "the store opens, and reads its log", serve_log_text("path", path));
    enum quarry_status status =
        keyspace_open(memory, path, &kv_options, &options, ret_keyspace, error);
    if (status == QUARRY_NO_MEMORY && !is_asked_for(config)) {
        serve_log(SERVE_LOG_WARNING, "there is no RESP door: the limit is too small for the store",
                  serve_log_bytes("limit_bytes", budget_bytes),
                  serve_log_text("why", error != NULL ? error->text : ""));
        return QUARRY_OK;
    }
    if (status == QUARRY_OK) {
        log_open(*ret_keyspace, path, begin_ns);
    }
    return status;
}

void serve_kv_close(struct keyspace *keyspace)
{
    struct quarry_error error = {0};
    uint64_t begin_ns = os_monotonic_ns(os_real());

    if (keyspace == NULL) {
        return;
    }
    enum quarry_status status = keyspace_close(keyspace, &error);
    if (status != QUARRY_OK) {
        serve_log(SERVE_LOG_ERROR, "the store was not closed in order",
                  serve_log_text("why", error.text));
        return;
    }
    serve_log(SERVE_LOG_INFO, "the store is closed",
              serve_log_seconds("seconds", os_monotonic_ns(os_real()) - begin_ns));
}
