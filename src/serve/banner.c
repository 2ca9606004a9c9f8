/*
 * What a server says of itself when it starts: some lines of the log, each with one subject, so
 * that they can be searched for and read by machines like all others.
 */
#include <string.h>
#include <unistd.h>

#include <serve/log.h>
#include <serve/notify.h>
#include <serve/server_state.h>

static void log_doors(const struct server *server)
{
    for (uint32_t i = 0; i < server->listener_count; i++) {
        const struct serve_listener *listener = server->listeners[i];
        bool is_encrypted = server->has_tls[i];
        serve_log(SERVE_LOG_INFO, "door", serve_log_text("protocol", server->doors[i]->name),
                  serve_log_text("address", serve_listener_name(listener)),
                  serve_log_text("tls", is_encrypted ? "yes" : "no"),
                  serve_log_text("login", serve_config_has_users(server->config) ? "yes" : "no"));
    }
    if (server->listener_count == 0) {
        serve_log(SERVE_LOG_WARNING, "no door is open: nobody can use this server");
    }
}

void server_log_banner(const struct server *server)
{
    const char *path = serve_sources_path(server->sources);

    serve_log(SERVE_LOG_INFO, "quarry serves", serve_log_text("version", server->version),
              serve_log_count("pid", (uint64_t)getpid()),
              serve_log_text("config", path != NULL ? path : "defaults"));
    serve_log(SERVE_LOG_INFO, "memory", serve_log_bytes("limit_bytes", server->budget.bytes),
              serve_log_text("by", server->budget.why));
    serve_log(SERVE_LOG_INFO, "data",
              serve_log_text("path",
                             server->data_dir.path[0] != '\0' ? server->data_dir.path : "nowhere"));
    serve_log(SERVE_LOG_INFO, "users", serve_log_count("count", serve_users_count(server->users)),
              serve_log_count("tenants", serve_config_group_count(server->config, SERVE_TENANTS)));
    log_doors(server);
}

void server_log_ready(const struct server *server)
{
    uint64_t took_ns = os_monotonic_ns(os_real()) - server->begin_ns;

    serve_log(SERVE_LOG_INFO, "ready",
              serve_log_count("threads", serve_net_worker_count(server->net)),
              serve_log_seconds("seconds", took_ns));
    serve_notify("READY=1\nSTATUS=ready\nMAINPID=%d", (int)getpid());
}
