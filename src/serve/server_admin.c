/*
 * What the doors' commands of administration ask of the server, the RESP door's above all.
 *
 *   INFO, CONFIG GET    a copy of what is in force, which the main thread keeps up to date
 *   CLIENT LIST         server_asked.c: every worker writes down its own
 *   CLIENT KILL         a post to the connection's worker
 *   CONFIG SET          executor ▸ one note, SIGUSR2 ▸ main thread: a reload with one value more
 *   POST /-/reload      the same, of the HTTP door: a reload; the console changes memory.limit so
 *
 * What CONFIG SET has changed is kept beside the sources, as settings that are read after them: so
 * one change does not undo another. A reload that the administrator asks for forgets them, and
 * says what is in force in its log, as ever.
 *
 * Invariants:
 *   1. A note that the main thread has taken is answered; one that it has not can be withdrawn.
 *   2. After server_forget_asked nobody waits: notes that are left are answered, new ones refused.
 *
 * Locking: asked_mutex, a leaf, for the note and the copy.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <serve/door_resp.h>
#include <serve/listener.h>
#include <serve/log.h>
#include <serve/resp/admin.h>
#include <serve/server_state.h>
#include <serve/slots.h>

/* ---- figures and settings ------------------------------------------------------------------- */

static void read_figures(void *argument, struct resp_figures *ret_figures)
{
    const struct server *server = argument;
    struct serve_counters counters;

    serve_net_read_counters(server->net, &counters);
    *ret_figures = (struct resp_figures){
        .uptime_seconds = (os_monotonic_ns(os_real()) - server->begin_ns) / Q_SECOND_NS,
        .connections = serve_net_connection_count(server->net),
        .connections_ever = counters.accepted_count,
        .connections_rejected = counters.turned_away_count,
        .bytes_read = counters.received_bytes,
        .bytes_written = counters.sent_bytes,
        .waiting_bytes = counters.waiting_bytes,
        .turns = counters.turn_count,
        .receives = counters.receive_count,
        .sends = counters.send_count,
        .lag_max_ns = counters.lag_max_ns,
        .total_ram_bytes = server->started_ram_bytes,
    };
}

/* The first address of a door that is one of the internet's, and of a unix socket. */
static void note_addresses(const struct server *server, struct resp_settings *settings)
{
    for (uint32_t i = 0; i < server->listener_count; i++) {
        const struct serve_listener *listener = server->listeners[i];
        const char *name = serve_listener_name(listener);
        if (listener->door != &resp_door) {
            continue;
        }
        if (serve_listener_port(listener) == 0) {
            (void)snprintf(settings->unix_socket, sizeof settings->unix_socket, "%s",
                           strncmp(name, "unix:", 5) == 0 ? name + 5 : name);
        } else if (server->has_tls[i]) {
            settings->tls_port = serve_listener_port(listener);
        } else {
            settings->port = serve_listener_port(listener);
            (void)snprintf(settings->bind, sizeof settings->bind, "%.*s",
                           (int)(strrchr(name, ':') - name), name);
        }
    }
}

void server_note_settings(struct server *server)
{
    static const uint16_t modes[] = {0600, 0660, 0666};
    static const char *const levels[] = {"debug", "info", "warning", "error"};
    const struct serve_config *config = server->config, *started = server->started;
    const char *path = serve_sources_path(server->sources);
    uint64_t mode = serve_config_number(started, SERVE_RESP_UNIX_MODE);
    uint64_t level = serve_config_number(config, SERVE_LOG_LEVEL);
    struct resp_settings settings = {
        .memory_limit_bytes = server->budget.bytes,
        .connections_max = serve_config_number(config, SERVE_NET_CONNECTIONS_MAX),
        .idle_timeout_seconds = serve_config_number(config, SERVE_NET_IDLE_TIMEOUT) / Q_SECOND_NS,
        .bulk_bytes_max = serve_config_number(started, SERVE_RESP_BULK_MAX),
        .databases = (uint32_t)serve_config_number(started, SERVE_RESP_DATABASES),
        .backlog = (uint32_t)serve_config_number(started, SERVE_NET_BACKLOG),
        .threads = serve_net_worker_count(server->net),
        .unix_mode = modes[mode],
        .durability = (uint8_t)serve_config_number(started, SERVE_SERVER_DURABILITY),
        .needs_login = server->asks_for_login,
    };

    Q_ASSERT(level < sizeof levels / sizeof levels[0]);
    note_addresses(server, &settings);
    (void)snprintf(settings.data_path, sizeof settings.data_path, "%s",
                   serve_config_text(started, SERVE_SERVER_DATA));
    (void)snprintf(settings.config_path, sizeof settings.config_path, "%s",
                   path != NULL ? path : "");
    (void)snprintf(settings.log_path, sizeof settings.log_path, "%s",
                   serve_config_text(started, SERVE_LOG_FILE));
    (void)snprintf(settings.log_level, sizeof settings.log_level, "%s", levels[level]);
    os_mutex_lock(&server->asked_mutex);
    server->told_settings = settings;
    os_mutex_unlock(&server->asked_mutex);
}

static void read_settings(void *argument, struct resp_settings *ret_settings)
{
    struct server *server = argument;

    os_mutex_lock(&server->asked_mutex);
    *ret_settings = server->told_settings;
    os_mutex_unlock(&server->asked_mutex);
}

/* ---- CONFIG SET ----------------------------------------------------------------------------- */

/* Looks at whether it was taken so often. */
#define CHANGE_WAIT_NS (1 * Q_SECOND_NS)
/* A main thread that is busy for so long is not to be waited for. */
#define CHANGE_WAITS 10u

/* While another one's is being changed, which takes a millisecond. */
#define TRY_AGAIN_NS (1 * Q_MS_NS)
#define TRIES_MAX    10000u

struct server_change {
    const char *key, *value; /* borrowed from who waits, as all of it; key NULL: a reload alone */
    struct quarry_error *error;
    enum quarry_status status;
    bool is_taken;             /* guarded by asked_mutex */
    _Atomic(uint32_t) is_done; /* a futex; release: pairs with the acquire of who waits */
};

static void answer_change(struct server_change *change, enum quarry_status status)
{
    change->status = status;
    atomic_store_release_u32(&change->is_done, 1);
    os_futex_wake(&change->is_done, 1);
}

/* Takes the note back, if nobody has taken it. */
static bool withdraw(struct server *server, struct server_change *change)
{
    os_mutex_lock(&server->asked_mutex);
    bool is_ours = server->asked_change == change;
    server->asked_change = is_ours ? NULL : server->asked_change;
    os_mutex_unlock(&server->asked_mutex);
    return is_ours;
}

static bool hand_in(struct server *server, struct server_change *change)
{
    os_mutex_lock(&server->asked_mutex);
    bool is_free = server->asked_change == NULL && !server->is_forgotten;
    server->asked_change = is_free ? change : server->asked_change;
    os_mutex_unlock(&server->asked_mutex);
    return is_free;
}

static bool is_forgotten(struct server *server)
{
    os_mutex_lock(&server->asked_mutex);
    bool is_so = server->is_forgotten;
    os_mutex_unlock(&server->asked_mutex);
    return is_so;
}

/* Hands a note in, and waits until the main thread has answered it. */
static enum quarry_status ask(struct server *server, struct server_change *change)
{
    for (uint32_t tries = 0; !hand_in(server, change); tries++) {
        if (tries < TRIES_MAX && !is_forgotten(server)) {
            os_sleep_ns(TRY_AGAIN_NS);
            continue;
        }
        return error_set(change->error, QUARRY_BUSY,
                         "another setting is being changed, or the server ends");
    }
    (void)kill(getpid(), SIGUSR2);
    for (uint32_t waits = 0; atomic_load_acquire_u32(&change->is_done) == 0; waits++) {
        if (waits == CHANGE_WAITS && withdraw(server, change)) {
            return error_set(change->error, QUARRY_BUSY, "the server has no time to change it now");
        }
        os_futex_wait(&change->is_done, 0, CHANGE_WAIT_NS);
    }
    return change->status;
}

static enum quarry_status change_setting(void *argument, const char *key, const char *value,
                                         struct quarry_error *error)
{
    struct server_change change = {.key = key, .value = value, .error = error};

    return ask(argument, &change);
}

enum quarry_status server_ask_change(struct server *server, const char *key, const char *value,
                                     struct quarry_error *error)
{
    return change_setting(server, key, value, error);
}

enum quarry_status server_ask_reload(struct server *server, struct quarry_error *error)
{
    struct server_change change = {.error = error};

    return ask(server, &change);
}

static struct server_change *take_change(struct server *server, bool is_forgotten)
{
    os_mutex_lock(&server->asked_mutex);
    struct server_change *change = server->asked_change;
    server->asked_change = NULL;
    server->is_forgotten |= is_forgotten;
    os_mutex_unlock(&server->asked_mutex);
    return change;
}

void server_change_asked(struct server *server)
{
    struct server_change *change = take_change(server, false);

    if (change != NULL) {
        answer_change(change,
                      change->key == NULL
                          ? server_reload(server, change->error)
                          : server_reload_with(server, change->key, change->value, change->error));
    }
}

void server_forget_change(struct server *server)
{
    struct server_change *change = take_change(server, true);

    if (change != NULL) {
        answer_change(change, error_set(change->error, QUARRY_CANCELLED, "the server ends"));
    }
}

/* ---- clients and users ---------------------------------------------------------------------- */

/* By the connection's worker. */
static void end_connection(struct serve_connection *connection, void *argument)
{
    (void)argument;
    if (connection != NULL) {
        serve_connection_end(connection);
    }
}

static bool kill_client(void *argument, uint64_t connection_id)
{
    const struct server *server = argument;
    uint32_t index = serve_id_worker(connection_id);

    return index < serve_net_worker_count(server->net) &&
           serve_post(serve_net_worker(server->net, index), connection_id, end_connection, NULL);
}

static const char *tenant_of(const struct server *server, const struct serve_identity *identity)
{
    bool is_default =
        identity->tenant == NULL || identity->tenant == quarry_cache_default_tenant(server->cache);

    return is_default ? "" : quarry_cache_tenant_name(identity->tenant);
}

static enum quarry_status list_users(void *argument, struct resp_user **ret_users,
                                     size_t *ret_count)
{
    const struct server *server = argument;
    struct serve_identity *identities = NULL;
    size_t count = 0;
    enum quarry_status status = serve_users_list(server->users, &identities, &count);
    struct resp_user *users = status == QUARRY_OK ? calloc(count + 1, sizeof *users) : NULL;

    for (size_t i = 0; users != NULL && i < count; i++) {
        (void)snprintf(users[i].name, sizeof users[i].name, "%s", identities[i].name);
        (void)snprintf(users[i].tenant, sizeof users[i].tenant, "%s",
                       tenant_of(server, &identities[i]));
        users[i].rights = identities[i].rights;
    }
    free(identities);
    *ret_users = users;
    *ret_count = users == NULL ? 0 : count;
    return users == NULL ? QUARRY_NO_MEMORY : QUARRY_OK;
}

/* ---- opening -------------------------------------------------------------------------------- */

void server_admin_settings(struct server *server, struct resp_admin_settings *ret_settings)
{
    const struct serve_config *config = server->config;
    uint64_t slow_ns = serve_config_number(config, SERVE_RESP_SLOWLOG_TIME);

    *ret_settings = (struct resp_admin_settings){
        .memory = server->memory,
        .keyspace = server->keyspace,
        .version = server->version,
        .worker_count = serve_net_worker_count(server->net),
        .slowlog_us = slow_ns == 0 ? -1 : (int64_t)(slow_ns / 1000),
        .slowlog_length = (uint32_t)serve_config_number(config, SERVE_RESP_SLOWLOG_LENGTH),
        .latency_ms = serve_config_number(config, SERVE_RESP_LATENCY_TIME) / Q_MS_NS,
        .allows_debug = serve_config_number(config, SERVE_RESP_DEBUG) != 0,
        .hooks =
            {
                .argument = server,
                .read_figures = read_figures,
                .read_settings = read_settings,
                .change_setting = change_setting,
                .list_clients = server_list_clients,
                .kill_client = kill_client,
                .list_users = list_users,
                .shutdown = server_shut_down,
            },
    };
}
