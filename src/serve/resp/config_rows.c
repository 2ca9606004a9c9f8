/*
 * The names of CONFIG.
 *
 * Rows are of three kinds: what is a setting here too; what this door keeps; and what Redis has and
 * tools ask for, told as what it comes to. The last are few by intention: those that redis-cli,
 * redis-benchmark, exporters and client libraries were seen to read.
 *
 * Locking: none; what the door keeps are atomic words.
 */
#include <serve/resp/config_rows.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <serve/resp/latency.h>
#include <serve/resp/slowlog.h>

/* ---- how values are told -------------------------------------------------------------------- */

#define TELL_NUMBER(function, expression)                                                          \
    static const char *function(const struct resp_settings *settings,                              \
                                char text[RESP_CONFIG_TEXT_BYTES])                                 \
    {                                                                                              \
        (void)settings;                                                                            \
        (void)snprintf(text, RESP_CONFIG_TEXT_BYTES, "%" PRId64, (int64_t)(expression));           \
        return text;                                                                               \
    }
#define TELL_TEXT(function, expression)                                                            \
    static const char *function(const struct resp_settings *settings,                              \
                                char text[RESP_CONFIG_TEXT_BYTES])                                 \
    {                                                                                              \
        (void)settings;                                                                            \
        (void)snprintf(text, RESP_CONFIG_TEXT_BYTES, "%s", (expression));                          \
        return text;                                                                               \
    }

TELL_NUMBER(tell_maxmemory, settings->memory_limit_bytes)
TELL_NUMBER(tell_maxclients, settings->connections_max)
TELL_NUMBER(tell_timeout, settings->idle_timeout_seconds)
TELL_NUMBER(tell_databases, settings->databases)
TELL_NUMBER(tell_port, settings->port)
TELL_NUMBER(tell_tls_port, settings->tls_port)
TELL_NUMBER(tell_backlog, settings->backlog)
TELL_NUMBER(tell_threads, settings->threads)
TELL_NUMBER(tell_bulk, settings->bulk_bytes_max)
TELL_NUMBER(tell_slower_than, resp_slowlog_threshold_us())
TELL_NUMBER(tell_slow_length, resp_slowlog_length_max())
TELL_NUMBER(tell_latency, resp_latency_threshold_ms())
TELL_TEXT(tell_bind, settings->bind)
TELL_TEXT(tell_socket, settings->unix_socket)
TELL_TEXT(tell_dir, settings->data_path)
TELL_TEXT(tell_log_file, settings->log_path)
TELL_TEXT(tell_appendonly, settings->durability == RESP_DURABLE_NONE ? "no" : "yes")
TELL_TEXT(tell_debug, resp_admin_settings()->allows_debug ? "yes" : "no")

static const char *tell_unix_mode(const struct resp_settings *settings,
                                  char text[RESP_CONFIG_TEXT_BYTES])
{
    (void)snprintf(text, RESP_CONFIG_TEXT_BYTES, "%o", (unsigned)settings->unix_mode);
    return text;
}

/* `process` writes at once and syncs within a second, as Redis' everysec does. */
static const char *tell_appendfsync(const struct resp_settings *settings,
                                    char text[RESP_CONFIG_TEXT_BYTES])
{
    static const char *const words[] = {"no", "everysec", "always"};

    Q_ASSERT(settings->durability <= RESP_DURABLE_POWER);
    (void)snprintf(text, RESP_CONFIG_TEXT_BYTES, "%s", words[settings->durability]);
    return text;
}

/* Ours on the left. */
static const char *tell_log_level(const struct resp_settings *settings,
                                  char text[RESP_CONFIG_TEXT_BYTES])
{
    const char *level = settings->log_level;

    (void)snprintf(text, RESP_CONFIG_TEXT_BYTES, "%s",
                   strcmp(level, "info") == 0                                     ? "notice"
                   : strcmp(level, "warning") == 0 || strcmp(level, "error") == 0 ? "warning"
                                                                                  : "debug");
    return text;
}

/* ---- how they are changed ------------------------------------------------------------------- */

static void set_slower_than(int64_t number)
{
    resp_slowlog_set_threshold(number);
}

static void set_slow_length(int64_t number)
{
    resp_slowlog_set_length((uint32_t)number);
}

static void set_latency(int64_t number)
{
    resp_latency_set_threshold((uint64_t)number);
}

/* ---- the rows ------------------------------------------------------------------------------- */

#define IMMUTABLE(row_name, function)                                                              \
    {                                                                                              \
        .name = (row_name), .kind = RESP_CONFIG_IMMUTABLE, .tell = (function)                      \
    }
#define FIXED(row_name, function)                                                                  \
    {                                                                                              \
        .name = (row_name), .kind = RESP_CONFIG_FIXED, .tell = (function)                          \
    }
#define ALWAYS(row_name, text)                                                                     \
    {                                                                                              \
        .name = (row_name), .kind = RESP_CONFIG_FIXED, .always = (text)                            \
    }

static const struct resp_config_row rows[] = {
    {.name = "maxmemory",
     .kind = RESP_CONFIG_MEMORY,
     .is_live = true,
     .key = "memory.limit",
     .unit = "",
     .zero = "auto",
     .tell = tell_maxmemory},
    {.name = "maxclients",
     .kind = RESP_CONFIG_NUMBER,
     .is_live = true,
     .least = 1,
     .most = UINT32_MAX,
     .key = "net.connections_max",
     .unit = "",
     .tell = tell_maxclients},
    {.name = "timeout",
     .kind = RESP_CONFIG_NUMBER,
     .is_live = true,
     .most = INT32_MAX,
     .key = "net.idle_timeout",
     .unit = "s",
     .zero = "off",
     .tell = tell_timeout},
    {.name = "slowlog-log-slower-than",
     .kind = RESP_CONFIG_NUMBER,
     .is_live = true,
     .least = -1,
     .most = INT64_MAX,
     .set = set_slower_than,
     .tell = tell_slower_than},
    {.name = "slowlog-max-len",
     .kind = RESP_CONFIG_NUMBER,
     .is_live = true,
     .most = RESP_SLOWLOG_LENGTH_MAX,
     .set = set_slow_length,
     .tell = tell_slow_length},
    {.name = "latency-monitor-threshold",
     .kind = RESP_CONFIG_NUMBER,
     .is_live = true,
     .most = INT64_MAX,
     .set = set_latency,
     .tell = tell_latency},
    IMMUTABLE("databases", tell_databases),
    IMMUTABLE("unixsocket", tell_socket),
    IMMUTABLE("unixsocketperm", tell_unix_mode),
    IMMUTABLE("tcp-backlog", tell_backlog),
    IMMUTABLE("io-threads", tell_threads),
    IMMUTABLE("logfile", tell_log_file),
    IMMUTABLE("enable-debug-command", tell_debug),
    FIXED("port", tell_port),
    FIXED("tls-port", tell_tls_port),
    FIXED("bind", tell_bind),
    FIXED("dir", tell_dir),
    FIXED("loglevel", tell_log_level),
    FIXED("appendonly", tell_appendonly),
    FIXED("appendfsync", tell_appendfsync),
    FIXED("proto-max-bulk-len", tell_bulk),
    ALWAYS("maxmemory-policy", "noeviction"),
    ALWAYS("maxmemory-samples", "5"),
    ALWAYS("maxmemory-clients", "0"),
    ALWAYS("save", ""),
    ALWAYS("rdbcompression", "yes"),
    ALWAYS("rdbchecksum", "yes"),
    ALWAYS("dbfilename", "kv"),
    ALWAYS("appendfilename", "kv"),
    ALWAYS("no-appendfsync-on-rewrite", "no"),
    ALWAYS("auto-aof-rewrite-percentage", "0"),
    ALWAYS("auto-aof-rewrite-min-size", "0"),
    ALWAYS("stop-writes-on-bgsave-error", "yes"),
    ALWAYS("protected-mode", "yes"),
    ALWAYS("requirepass", ""),
    ALWAYS("masterauth", ""),
    ALWAYS("replicaof", ""),
    ALWAYS("slaveof", ""),
    ALWAYS("cluster-enabled", "no"),
    ALWAYS("daemonize", "no"),
    ALWAYS("supervised", "no"),
    ALWAYS("activedefrag", "no"),
    ALWAYS("lazyfree-lazy-eviction", "yes"),
    ALWAYS("lazyfree-lazy-expire", "yes"),
    ALWAYS("lazyfree-lazy-server-del", "yes"),
    ALWAYS("lazyfree-lazy-user-del", "yes"),
    ALWAYS("lazyfree-lazy-user-flush", "yes"),
    ALWAYS("notify-keyspace-events", ""),
    ALWAYS("latency-tracking", "yes"),
    ALWAYS("latency-tracking-info-percentiles", "50 99 99.9"),
    ALWAYS("tcp-keepalive", "0"),
    ALWAYS("hz", "10"),
    ALWAYS("busy-reply-threshold", "0"),
    ALWAYS("client-output-buffer-limit", "normal 0 0 0 slave 0 0 0 pubsub 0 0 0"),
    ALWAYS("repl-backlog-size", "0"),
};
#define ROW_COUNT (sizeof rows / sizeof rows[0])
Q_STATIC_ASSERT(ROW_COUNT <= RESP_CONFIG_ROWS_MAX, "CONFIG SET has room for a pair of each name");

const struct resp_config_row *resp_config_row(size_t index)
{
    return index < ROW_COUNT ? &rows[index] : NULL;
}

const struct resp_config_row *resp_config_find(struct quarry_kv_slice name)
{
    for (size_t i = 0; i < ROW_COUNT; i++) {
        if (resp_is(name, rows[i].name)) {
            return &rows[i];
        }
    }
    return NULL;
}

const char *resp_config_text(const struct resp_config_row *row,
                             const struct resp_settings *settings,
                             char text[RESP_CONFIG_TEXT_BYTES])
{
    if (row->tell != NULL) {
        return row->tell(settings, text);
    }
    (void)snprintf(text, RESP_CONFIG_TEXT_BYTES, "%s", row->always);
    return text;
}
