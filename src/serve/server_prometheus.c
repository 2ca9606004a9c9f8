/*
 * Prometheus' doors as routes: whose series a request is about, and what it may do.
 *
 * Without a time-series store they answer 404, as for any path that leads nowhere.
 *
 * Locking: none.
 */
#include <serve/server_prometheus.h>

#include <os/os.h>
#include <serve/api/api.h>
#include <serve/api/running.h>
#include <serve/prometheus/prometheus.h>
#include <serve/server_state.h>
#include <serve/server_told.h>

typedef enum http_outcome answer_function(struct http_call *call, struct serve_tsdb *store,
                                          uint16_t tenant);

static enum http_outcome answer(struct http_call *call, answer_function *function)
{
    const struct server *server = call->argument;

    if (server->tsdb == NULL) {
        http_say_text(call, 404, "there is no time-series store: tsdb.enabled is off\n");
        return HTTP_DONE;
    }
    return function(call, server->tsdb,
                    serve_tenants_number(server->tenants, call->identity.tenant));
}

enum http_outcome server_answer_write(struct http_call *call)
{
    return answer(call, prometheus_write);
}

enum http_outcome server_answer_read(struct http_call *call)
{
    return answer(call, prometheus_read);
}

enum http_outcome server_answer_federate(struct http_call *call)
{
    return answer(call, prometheus_federate);
}

enum http_outcome server_answer_import(struct http_call *call)
{
    return answer(call, prometheus_import);
}

/* When the server began, by the wall clock as it is now. */
static int64_t start_ms(const struct server *server)
{
    const uint64_t age_ns = os_monotonic_ns(os_real()) - server->begin_ns;

    return (int64_t)((os_wall_ns(os_real()) - age_ns) / Q_MS_NS);
}

/* Samples are there as long as their window, and one is always being filled. */
static int64_t retention_ms(const struct serve_config *config)
{
    return (int64_t)(serve_config_number(config, SERVE_TSDB_WINDOW) / Q_MS_NS *
                     (serve_config_number(config, SERVE_TSDB_WINDOWS) + 1));
}

static struct api_context context_of(const struct server *server, const struct http_call *call,
                                     const struct server_told *told)
{
    return (struct api_context){
        .store = server->tsdb,
        .tenant = serve_tenants_number(server->tenants, call->identity.tenant),
        .version = server->version,
        .start_ms = start_ms(server),
        .worker_count = serve_net_worker_count(server->net),
        .retention_ms = retention_ms(server->started),
        .is_admin_allowed = serve_config_number(server->started, SERVE_TSDB_ADMIN_API) != 0,
        .data_path = server->data_dir.path[0] != '\0' ? server->data_dir.path : NULL,
        .confined = server->confined,
        .configuration = told != NULL ? told->yaml : NULL,
        .flags = told != NULL ? told->flags : NULL,
        .memory_bytes = told != NULL ? told->memory_bytes : 0,
        .configured_ms = told != NULL ? told->configured_ms : 0,
        .has_reload_failed = atomic_load_relaxed_bool(&server->has_reload_failed), /* a figure */
        .scrape = server->scrape,
        .read_targets = scrape_read_targets,
        .destroy_targets = scrape_targets_destroy,
    };
}

enum http_outcome server_answer_api(struct http_call *call)
{
    struct server *server = call->argument;

    if (server->tsdb == NULL) {
        http_say_text(call, 404, "there is no time-series store: tsdb.enabled is off\n");
        return HTTP_DONE;
    }
    struct server_told *told = server_told_acquire(server);
    const struct api_context context = context_of(server, call, told);
    const enum http_outcome outcome = api_answer(call, &context);
    server_told_release(server, told);
    return outcome;
}

static enum http_outcome answer_list(struct http_call *call, bool is_active)
{
    const struct server *server = call->argument;

    if (server->tsdb == NULL) {
        http_say_text(call, 404, "there is no time-series store: tsdb.enabled is off\n");
        return HTTP_DONE;
    }
    (is_active ? api_say_active_queries : api_say_top_queries)(call, &server->tsdb->memory,
                                                               server->tsdb->running);
    return HTTP_DONE;
}

enum http_outcome server_answer_active_queries(struct http_call *call)
{
    return answer_list(call, true);
}

enum http_outcome server_answer_top_queries(struct http_call *call)
{
    return answer_list(call, false);
}
