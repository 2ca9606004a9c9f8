/*
 * The HTTP door by the configuration: its routes, and what it asks of the server.
 *
 * Who a connection speaks for, and how many connections a tenant has, is as at the other doors
 * (server_hooks.c), but that a client may log in with each request: a tenant is counted once for a
 * connection, and moved when another user's password comes over it.
 *
 * A probe asks whether this is alive without a login: it learns one word.
 *
 * Locking: none of its own.
 */
#include <string.h>

#include <serve/console/console.h>
#include <serve/door_http.h>
#include <serve/log.h>
#include <serve/login.h>
#include <serve/server_actions.h>
#include <serve/server_metrics.h>
#include <serve/server_observe.h>
#include <serve/server_prometheus.h>
#include <serve/server_state.h>

/* Of the memory's limit as it was at the start: one answer, and all requests and answers together.
 * Readers that take nothing hold so much at most, until they are cut. */
#define ANSWER_PART 8u
#define MEMORY_PART 2u

static struct server *the_server;

/* ---- routes --------------------------------------------------------------------------------- */

static enum http_outcome answer_healthy(struct http_call *call)
{
    http_say_text(call, 200, "Quarry is alive.\n");
    return HTTP_DONE;
}

static enum http_outcome answer_ready(struct http_call *call)
{
    const struct server *server = call->argument;
    /* Relaxed: who asks in the moment in which it changes may be told either. */
    bool is_ready = atomic_load_relaxed_bool(&server->is_ready);

    if (is_ready && !server_has_series(server)) {
        http_say_text(call, 503, "Quarry is reading the log of its time series.\n");
    } else {
        http_say_text(call, is_ready ? 200 : 503,
                      is_ready ? "Quarry is ready.\n" : "Quarry is not ready.\n");
    }
    return HTTP_DONE;
}

/* Whether what ends or changes the server may be asked for here; else that is answered. */
static bool may_steer(struct http_call *call)
{
    const struct server *server = call->argument;

    if (call->method == HTTP_GET) {
        http_say_text(call, 405, "Only POST or PUT requests allowed");
        return false;
    }
    if (serve_config_number(server->started, SERVE_HTTP_LIFECYCLE) == 0) {
        http_say_text(call, 403, "Lifecycle API is not enabled.");
        return false;
    }
    return true;
}

static enum http_outcome answer_reload(struct http_call *call)
{
    struct quarry_error error = {0};

    if (!may_steer(call)) {
        return HTTP_DONE;
    }
    if (server_ask_reload(call->argument, &error) == QUARRY_OK) {
        http_say_text(call, 200, "");
        return HTTP_DONE;
    }
    http_say_text(call, 500, "failed to reload config: ");
    http_text_say(&call->body_out, error.text);
    http_text_say(&call->body_out, "\n");
    return HTTP_DONE;
}

static enum http_outcome answer_quit(struct http_call *call)
{
    if (may_steer(call)) {
        http_say_text(call, 200, "Requesting termination... Goodbye!");
        server_shut_down(call->argument, true);
    }
    return HTTP_DONE;
}

/* Of a request of remote read, as it comes. */
#define READ_BYTES_MAX Q_MIB(1)

/* Of addresses whose names pprof asks for. */
#define ADDRESSES_BYTES_MAX Q_KIB(64)

/* Of a form with an action's parameter. */
#define ACTION_BYTES_MAX Q_KIB(4)

/* Of a form with an expression. */
#define FORM_BYTES_MAX Q_MIB(2)

/* Routes of Prometheus' API: what anybody's page may ask, where nobody has to log in. */
#define API_GET(route_path)                                                                        \
    {                                                                                              \
        .methods = HTTP_GET, .path = (route_path), .rights = SERVE_READ, .is_shared = true,        \
        .runs_on = HTTP_ON_EXECUTOR, .handler = server_answer_api                                  \
    }
#define API_FORM(route_path)                                                                       \
    {                                                                                              \
        .methods = HTTP_GET | HTTP_POST, .path = (route_path), .rights = SERVE_READ,               \
        .body_bytes_max = FORM_BYTES_MAX, .takes_form = true, .is_shared = true,                   \
        .runs_on = HTTP_ON_EXECUTOR, .handler = server_answer_api                                  \
    }

/* What is one's who has the right to administrate. */
#define API_OWN(route_methods, route_path)                                                         \
    {                                                                                              \
        .methods = (route_methods), .path = (route_path), .rights = SERVE_ADMIN,                   \
        .body_bytes_max = (route_methods) != HTTP_GET ? FORM_BYTES_MAX : 0, .takes_form = true,    \
        .is_change = (route_methods) != HTTP_GET, .runs_on = HTTP_ON_EXECUTOR,                     \
        .handler = server_answer_api                                                               \
    }
#define STEER(route_path, route_handler)                                                           \
    {                                                                                              \
        .methods = HTTP_GET | HTTP_POST | HTTP_PUT, .path = (route_path), .rights = SERVE_ADMIN,   \
        .is_change = true, .runs_on = HTTP_ON_EXECUTOR, .handler = (route_handler)                 \
    }

/* Those with a body that a setting bounds have 0 here, and the setting's when the door opens. */
static struct http_route routes[] = {
    {.methods = HTTP_GET, .path = "/", .rights = SERVE_READ, .handler = console_answer},
    {.methods = HTTP_GET, .path = "/console/*", .rights = SERVE_READ, .handler = console_answer},
    {.methods = HTTP_GET, .path = "/-/healthy", .handler = answer_healthy},
    {.methods = HTTP_GET, .path = "/-/ready", .handler = answer_ready},
    STEER("/-/reload", answer_reload),
    STEER("/-/quit", answer_quit),
    {.methods = HTTP_GET,
     .path = "/metrics",
     .rights = SERVE_READ,
     .runs_on = HTTP_ON_EXECUTOR,
     .handler = server_answer_metrics},
    {.methods = HTTP_POST,
     .path = "/api/v1/write",
     .rights = SERVE_WRITE,
     .coding = HTTP_CODING_OWN,
     .is_change = true,
     .runs_on = HTTP_ON_EXECUTOR,
     .handler = server_answer_write},
    {.methods = HTTP_POST,
     .path = "/api/v1/import/prometheus",
     .rights = SERVE_WRITE,
     .coding = HTTP_CODING_GZIP,
     .is_change = true,
     .runs_on = HTTP_ON_EXECUTOR,
     .handler = server_answer_import},
    {.methods = HTTP_POST,
     .path = "/api/v1/read",
     .rights = SERVE_READ,
     .body_bytes_max = READ_BYTES_MAX,
     .coding = HTTP_CODING_OWN,
     .runs_on = HTTP_ON_EXECUTOR,
     .handler = server_answer_read},
    {.methods = HTTP_GET,
     .path = "/federate",
     .rights = SERVE_READ,
     .runs_on = HTTP_ON_EXECUTOR,
     .handler = server_answer_federate},
    API_FORM("/api/v1/query"),
    API_FORM("/api/v1/query_range"),
    API_FORM("/api/v1/query_exemplars"),
    API_FORM("/api/v1/format_query"),
    API_FORM("/api/v1/parse_query"),
    API_FORM("/api/v1/series"),
    API_FORM("/api/v1/labels"),
    API_GET("/api/v1/label/*/values"),
    API_GET("/api/v1/metadata"),
    API_GET("/api/v1/targets"),
    API_GET("/api/v1/targets/metadata"),
    API_GET("/api/v1/scrape_pools"),
    API_GET("/api/v1/rules"),
    API_GET("/api/v1/alerts"),
    API_GET("/api/v1/alertmanagers"),
    API_GET("/api/v1/status/buildinfo"),
    API_GET("/api/v1/status/runtimeinfo"),
    API_GET("/api/v1/status/walreplay"),
    API_GET("/api/v1/status/tsdb"),
    API_GET("/api/v1/status/windows"),
    API_OWN(HTTP_GET, "/api/v1/status/config"),
    API_OWN(HTTP_GET, "/api/v1/status/flags"),
    API_OWN(HTTP_POST | HTTP_PUT, "/api/v1/admin/tsdb/delete_series"),
    API_OWN(HTTP_POST | HTTP_PUT, "/api/v1/admin/tsdb/clean_tombstones"),
    API_OWN(HTTP_POST | HTTP_PUT, "/api/v1/admin/tsdb/snapshot"),
    {.methods = HTTP_GET,
     .path = "/api/v1/actions",
     .rights = SERVE_ADMIN,
     .handler = server_answer_actions},
    {.methods = HTTP_GET,
     .path = "/api/v1/status/active_queries",
     .rights = SERVE_ADMIN,
     .handler = server_answer_active_queries},
    {.methods = HTTP_GET,
     .path = "/api/v1/status/top_queries",
     .rights = SERVE_ADMIN,
     .handler = server_answer_top_queries},
    /* By the worker, as the list: the executor's threads may all be at work on queries. */
    {.methods = HTTP_POST,
     .path = "/api/v1/actions/cancel_query",
     .rights = SERVE_ADMIN,
     .body_bytes_max = ACTION_BYTES_MAX,
     .takes_form = true,
     .is_change = true,
     .handler = server_answer_cancel},
    {.methods = HTTP_POST,
     .path = "/api/v1/actions/*",
     .rights = SERVE_ADMIN,
     .body_bytes_max = ACTION_BYTES_MAX,
     .takes_form = true,
     .is_change = true,
     .runs_on = HTTP_ON_EXECUTOR,
     .handler = server_answer_action},
    {.methods = HTTP_GET,
     .path = "/api/v1/stream",
     .rights = SERVE_READ,
     .runs_on = HTTP_ON_EXECUTOR,
     .handler = server_answer_stream},
    {.methods = HTTP_GET,
     .path = "/api/v1/heap/*",
     .rights = SERVE_ADMIN,
     .runs_on = HTTP_ON_EXECUTOR,
     .handler = server_answer_heap},
    {.methods = HTTP_GET,
     .path = "/api/v1/doctor",
     .rights = SERVE_ADMIN,
     .runs_on = HTTP_ON_EXECUTOR,
     .handler = server_answer_doctor},
    {.methods = HTTP_GET,
     .path = "/api/v1/check/memory",
     .rights = SERVE_ADMIN,
     .runs_on = HTTP_ON_EXECUTOR,
     .handler = server_answer_check_memory},
    {.methods = HTTP_GET,
     .path = "/debug/pprof/",
     .rights = SERVE_ADMIN,
     .runs_on = HTTP_ON_EXECUTOR,
     .handler = server_answer_pprof},
    {.methods = HTTP_GET | HTTP_POST,
     .path = "/debug/pprof/*",
     .rights = SERVE_ADMIN,
     .body_bytes_max = ADDRESSES_BYTES_MAX,
     .runs_on = HTTP_ON_EXECUTOR,
     .handler = server_answer_pprof},
};

/* ---- logins --------------------------------------------------------------------------------- */

/* Counts the connection for another tenant, if it is another. */
static bool move(struct server *server, struct serve_connection *connection,
                 const struct serve_identity *identity)
{
    const struct serve_identity *known = serve_connection_identity(connection);

    return known->tenant == identity->tenant || server_move_identity(server, known, identity);
}

/* A login that was pending has ended, by the connection's worker. */
static void answered(struct serve_connection *connection, const struct serve_identity *identity)
{
    bool is_granted = identity != NULL && move(the_server, connection, identity);

    http_login_done(connection, is_granted ? identity : NULL);
}

static enum http_login login(void *argument, struct serve_connection *connection,
                             struct http_slice user, struct http_slice password,
                             struct serve_identity *ret_identity)
{
    struct server *server = argument;
    const struct serve_login_request request = {
        .name = user.bytes,
        .name_bytes = user.count,
        .password = password.bytes,
        .password_bytes = password.count,
    };

    switch (serve_login(connection, server->users, &request, answered, ret_identity)) {
    case SERVE_LOGIN_PENDING:
        return HTTP_VERIFYING;
    case SERVE_LOGIN_GRANTED:
        return move(server, connection, ret_identity) ? HTTP_GRANTED : HTTP_REFUSED;
    case SERVE_LOGIN_REFUSED:
        break;
    case SERVE_LOGIN_BUSY:
        serve_log(SERVE_LOG_WARNING, "no memory for a login: it was refused",
                  serve_log_text("peer", serve_connection_peer(connection)));
        break;
    }
    return HTTP_REFUSED;
}

static bool admit(void *argument, const struct serve_identity *identity, uint32_t request_count)
{
    struct server *server = argument;

    return serve_tenants_admit(server->tenants, identity->tenant, request_count);
}

static void log_access(void *argument, const struct http_access *access)
{
    (void)argument;
    serve_log(SERVE_LOG_INFO, "request", serve_log_text("peer", access->peer),
              serve_log_text("user", access->user), serve_log_text("method", access->method),
              serve_log_text("path", access->path), serve_log_count("status", access->status),
              serve_log_bytes("answer_bytes", access->answer_bytes),
              serve_log_seconds("seconds", access->duration_ns));
}

/* ---- opening -------------------------------------------------------------------------------- */

enum quarry_status server_open_http(struct server *server, struct quarry_error *error)
{
    const struct serve_config *config = server->started;
    const struct http_door_settings settings = {
        .memory = server->memory,
        .routes = routes,
        .route_count = sizeof routes / sizeof routes[0],
        .hosts = serve_config_text(config, SERVE_HTTP_HOSTS),
        .argument = server,
        .worker_count = serve_net_worker_count(server->net),
        .thread_count = (uint32_t)serve_config_number(config, SERVE_HTTP_THREADS),
        .head_bytes_max = serve_config_number(config, SERVE_HTTP_HEAD_MAX),
        .answer_bytes_max = size_max_u64(server->budget.bytes / ANSWER_PART, Q_MIB(1)),
        .memory_bytes_max = size_max_u64(server->budget.bytes / MEMORY_PART, Q_MIB(4)),
        .hooks = {.argument = server, .login = login, .admit = admit, .log = log_access},
    };

    if (!serve_config_wants_http(config)) {
        return QUARRY_OK;
    }
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        if (routes[i].rights == SERVE_WRITE && routes[i].handler != server_answer_api) {
            routes[i].body_bytes_max = serve_config_number(config, SERVE_TSDB_WRITE_MAX);
        }
    }
    the_server = server;
    server_open_stream(server);
    if (!server_open_actions()) {
        serve_log(SERVE_LOG_WARNING, "no random bytes: the console can change nothing");
    }
    enum quarry_status status = http_open(&settings, error);
    server->has_http = status == QUARRY_OK;
    server_apply_http(server, config);
    return status;
}

void server_apply_http(struct server *server, const struct serve_config *config)
{
    if (server->has_http) {
        http_log_access(serve_config_number(config, SERVE_HTTP_ACCESS_LOG) != 0);
    }
}

void server_stop_http(struct server *server)
{
    if (server->has_http) {
        http_stop();
    }
}

void server_close_http(struct server *server)
{
    if (server->has_http) {
        http_close();
        server->has_http = false;
    }
    the_server = NULL;
}
