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
#include <serve/prometheus/prometheus.h>
#include <serve/server_state.h>

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

enum http_outcome server_answer_api(struct http_call *call)
{
    const struct server *server = call->argument;
    const struct api_context context = {
        .store = server->tsdb,
        .tenant = serve_tenants_number(server->tenants, call->identity.tenant),
        .version = server->version,
        .start_ms = start_ms(server),
        .worker_count = serve_net_worker_count(server->net),
    };

    if (server->tsdb == NULL) {
        http_say_text(call, 404, "there is no time-series store: tsdb.enabled is off\n");
        return HTTP_DONE;
    }
    return api_answer(call, &context);
}
