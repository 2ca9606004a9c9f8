/*
 * The RESP door by the configuration, and what it asks of the server.
 *
 * Who a connection speaks for, and how many connections a tenant has, is as at the memcached door
 * (server_hooks.c). A tenant's keys are those of its name in the keyspace: names get their number
 * when the server starts, or reads its configuration again, so that no worker has to write one.
 *
 * Locking: none of its own.
 */
#include <string.h>

#include <serve/door_resp.h>
#include <serve/log.h>
#include <serve/login.h>
#include <serve/server_state.h>

static struct server *the_server;

/* ---- logins --------------------------------------------------------------------------------- */

/* A login that was pending has ended, by the connection's worker. */
static void answered(struct serve_connection *connection, const struct serve_identity *identity)
{
    resp_login_done(connection, server_login_answered(the_server, connection, identity));
}

static enum resp_login login(void *argument, struct serve_connection *connection,
                             const struct resp_credentials *credentials,
                             struct serve_identity *ret_identity)
{
    const struct serve_login_request request = {
        .name = credentials->user,
        .name_bytes = credentials->user_bytes,
        .password = credentials->password,
        .password_bytes = credentials->password_bytes,
    };
    enum serve_login_outcome outcome =
        server_login(argument, connection, &request, answered, ret_identity);

    return outcome == SERVE_LOGIN_PENDING   ? RESP_VERIFYING
           : outcome == SERVE_LOGIN_GRANTED ? RESP_GRANTED
                                            : RESP_REFUSED;
}

static void logout(void *argument, const struct serve_identity *identity)
{
    struct server *server = argument;

    serve_tenants_leave(server->tenants, identity->tenant);
}

static bool admit(void *argument, const struct serve_identity *identity, uint32_t request_count)
{
    struct server *server = argument;

    return serve_tenants_admit(server->tenants, identity->tenant, request_count);
}

/* The default tenant's keys are those of the name "". */
static const char *tenant_name(void *argument, const struct serve_identity *identity)
{
    struct server *server = argument;
    bool is_default =
        identity->tenant == NULL || identity->tenant == quarry_cache_default_tenant(server->cache);

    return is_default ? "" : quarry_cache_tenant_name(identity->tenant);
}

static void sync_failed(void *argument, const struct quarry_error *error)
{
    (void)argument;
    serve_log(SERVE_LOG_ERROR, "the store could not be synced: those who wrote were told so",
              serve_log_text("why", error->text));
}

/* ---- opening -------------------------------------------------------------------------------- */

enum quarry_status server_name_tenants(struct server *server, const struct serve_config *config,
                                       struct quarry_error *error)
{
    enum quarry_status status =
        server->tenant_numbers != NULL
            ? serve_tenant_numbers_add(server->tenant_numbers, config, error)
            : QUARRY_OK;
    uint32_t count = serve_config_group_count(config, SERVE_TENANTS);
    struct keyspace_scope scope;

    for (uint32_t i = 0; server->keyspace != NULL && status == QUARRY_OK && i < count; i++) {
        status =
            keyspace_scope_of(server->keyspace, serve_config_group_name(config, SERVE_TENANTS, i),
                              0, true, &scope, error);
    }
    for (uint32_t i = 0; server->tenant_numbers != NULL && status == QUARRY_OK && i < count; i++) {
        const char *name = serve_config_group_name(config, SERVE_TENANTS, i);
        serve_tenants_set_number(server->tenants, name,
                                 serve_tenant_numbers_find(server->tenant_numbers, name));
    }
    return status;
}

static enum quarry_status open_admin(struct server *server, struct quarry_error *error)
{
    struct resp_admin_settings settings;

    server_admin_settings(server, &settings);
    return resp_admin_open(&settings, error);
}

enum quarry_status server_open_resp(struct server *server, struct quarry_error *error)
{
    if (server->keyspace == NULL) {
        return QUARRY_OK;
    }
    const struct serve_config *config = server->config;
    const struct resp_door_settings settings = {
        .memory = server->memory,
        .keyspace = server->keyspace,
        .worker_count = serve_net_worker_count(server->net),
        .databases = (uint32_t)serve_config_number(config, SERVE_RESP_DATABASES),
        .slow_thread_count = (uint32_t)serve_config_number(config, SERVE_RESP_SLOW_THREADS),
        .bulk_bytes_max = serve_config_number(config, SERVE_RESP_BULK_MAX),
        .reply_bytes_max = size_max_u64(server->budget.bytes / 4, Q_MIB(1)),
        .syncs = serve_config_number(config, SERVE_SERVER_DURABILITY) == SERVE_DURABLE_POWER,
        .hooks =
            {
                .argument = server,
                .login = login,
                .logout = logout,
                .admit = admit,
                .tenant_name = tenant_name,
                .sync_failed = sync_failed,
            },
    };
    enum quarry_status status = server_name_tenants(server, config, error);

    the_server = server;
    status = status == QUARRY_OK ? open_admin(server, error) : status;
    if (status == QUARRY_OK) {
        status = resp_open(&settings, error);
        if (status != QUARRY_OK) {
            resp_admin_close();
        }
    }
    server->has_resp = status == QUARRY_OK;
    return status;
}

void server_stop_resp(struct server *server)
{
    if (server->has_resp) {
        resp_pause_stop();
        resp_stop();
    }
}

void server_close_resp(struct server *server)
{
    if (server->has_resp) {
        resp_close();
        resp_admin_close();
        server->has_resp = false;
    }
    the_server = NULL;
}
