/*
 * What the net and the doors ask of the server: who somebody is, whether he may, and what to note.
 *
 * Connections are counted for the tenant that they speak for: from their begin where no login is
 * asked, else from their login, which moves them.
 *
 *   net    admit ─────────────── certified ── … ── left        by workers and the acceptor
 *   door            login ── (users' thread) ── granted        by the connection's worker
 *
 * Invariant: a connection counts for the tenant of its identity: whoever changes the identity has
 * moved the count first.
 *
 * Locking: none of its own.
 */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <serve/door_memcached.h>
#include <serve/log.h>
#include <serve/login.h>
#include <serve/memcached_watch.h>
#include <serve/server_state.h>

/* The one server of the process, for what a door calls without an argument of ours. */
static struct server *the_server;

/* ---- the net -------------------------------------------------------------------------------- */

static bool admit(void *argument, const struct serve_peer *peer, struct serve_identity *identity)
{
    struct server *server = argument;

    (void)peer;
    return serve_tenants_enter(server->tenants, identity->tenant);
}

static void left(void *argument, const struct serve_identity *identity)
{
    struct server *server = argument;

    serve_tenants_leave(server->tenants, identity->tenant);
}

bool server_move_identity(struct server *server, const struct serve_identity *from,
                          const struct serve_identity *to)
{
    if (!serve_tenants_enter(server->tenants, to->tenant)) {
        serve_log(SERVE_LOG_WARNING, "a tenant has as many connections as it may",
                  serve_log_text("tenant", quarry_cache_tenant_name(to->tenant)));
        return false;
    }
    serve_tenants_leave(server->tenants, from->tenant);
    return true;
}

/* A certificate whose name is a user's is his login; one whose name is nobody's is none. */
static bool certified(void *argument, const char *common_name, struct serve_identity *identity)
{
    struct server *server = argument;
    struct serve_identity found;

    if (!serve_users_find(server->users, common_name, &found)) {
        return true;
    }
    if (!server_move_identity(server, identity, &found)) {
        return false;
    }
    *identity = found;
    return true;
}

static void tell(void *argument, enum serve_news news, const char *peer, const char *text)
{
    (void)argument;
    switch (news) {
    case SERVE_NEWS_NO_DESCRIPTORS:
        serve_log(SERVE_LOG_ERROR, "no file descriptors are left: nobody is accepted for a moment",
                  serve_log_text("why", text));
        return;
    case SERVE_NEWS_TOO_MANY:
        serve_log(SERVE_LOG_WARNING, "a connection above net.connections_max was turned away",
                  serve_log_text("peer", peer));
        return;
    case SERVE_NEWS_ACCEPT_FAILED:
        serve_log(SERVE_LOG_WARNING, "a connection could not be accepted",
                  serve_log_text("why", text));
        return;
    case SERVE_NEWS_TLS_FAILED:
        serve_log(SERVE_LOG_INFO, "a TLS handshake failed", serve_log_text("peer", peer),
                  serve_log_text("why", text));
        return;
    case SERVE_NEWS_SLOW_READER:
        serve_log(SERVE_LOG_INFO, "a client that does not take its answers was cut",
                  serve_log_text("peer", peer), serve_log_text("why", text));
        return;
    case SERVE_NEWS_SLOW_WRITER:
        serve_log(SERVE_LOG_INFO, "a client whose request does not come was cut",
                  serve_log_text("peer", peer), serve_log_text("why", text));
        return;
    case SERVE_NEWS_TOO_LONG:
        serve_log(SERVE_LOG_INFO, "a client whose request is too long was cut",
                  serve_log_text("peer", peer), serve_log_text("why", text));
        return;
    case SERVE_NEWS_NO_MEMORY:
        serve_log(SERVE_LOG_ERROR, "a connection was cut for want of memory",
                  serve_log_text("peer", peer), serve_log_text("why", text));
        return;
    }
    Q_UNREACHABLE();
}

void server_net_hooks(struct server *server, struct serve_hooks *ret_hooks)
{
    *ret_hooks = (struct serve_hooks){
        .argument = server,
        .admit = admit,
        .certified = certified,
        .left = left,
        .tell = tell,
    };
}

/* ---- logins --------------------------------------------------------------------------------- */

const struct serve_identity *server_login_answered(struct server *server,
                                                   struct serve_connection *connection,
                                                   const struct serve_identity *identity)
{
    bool is_granted = identity != NULL &&
                      server_move_identity(server, serve_connection_identity(connection), identity);

    return is_granted ? identity : NULL;
}

enum serve_login_outcome server_login(struct server *server, struct serve_connection *connection,
                                      const struct serve_login_request *request,
                                      serve_login_answered_function *answered,
                                      struct serve_identity *ret_identity)
{
    enum serve_login_outcome outcome =
        serve_login(connection, server->users, request, answered, ret_identity);

    if (outcome == SERVE_LOGIN_BUSY) {
        serve_log(SERVE_LOG_WARNING, "no memory for a login: it was refused",
                  serve_log_text("peer", serve_connection_peer(connection)));
        return SERVE_LOGIN_REFUSED;
    }
    if (outcome == SERVE_LOGIN_GRANTED &&
        !server_move_identity(server, serve_connection_identity(connection), ret_identity)) {
        return SERVE_LOGIN_REFUSED;
    }
    return outcome;
}

/* ---- the memcached door --------------------------------------------------------------------- */

/* A login that was pending has ended, by the connection's worker. */
static void answered(struct serve_connection *connection, const struct serve_identity *identity)
{
    memcached_login_done(connection, server_login_answered(the_server, connection, identity));
}

static enum memcached_login login(void *argument, struct serve_connection *connection,
                                  const struct memcached_credentials *credentials,
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

    return outcome == SERVE_LOGIN_PENDING   ? MEMCACHED_VERIFYING
           : outcome == SERVE_LOGIN_GRANTED ? MEMCACHED_GRANTED
                                            : MEMCACHED_REFUSED;
}

static bool admit_requests(void *argument, const struct serve_identity *identity,
                           uint32_t request_count)
{
    struct server *server = argument;

    return serve_tenants_admit(server->tenants, identity->tenant, request_count);
}

static void value_cut(void *argument, const struct serve_connection *connection)
{
    (void)argument;
    serve_log(SERVE_LOG_INFO, "a large value changed while a client read it: the client was cut",
              serve_log_text("peer", serve_connection_peer(connection)));
}

/* By any thread: the main one waits for the signal. */
void server_shut_down(void *argument, bool is_graceful)
{
    struct server *server = argument;

    atomic_store_relaxed_u32(&server->is_immediate, !is_graceful);
    (void)kill(getpid(), SIGTERM);
}

static void read_server(void *argument, struct memcached_server_figures *ret_figures)
{
    const struct server *server = argument;
    struct serve_counters counters;

    serve_net_read_counters(server->net, &counters);
    *ret_figures = (struct memcached_server_figures){
        .uptime_seconds = (os_monotonic_ns(os_real()) - server->begin_ns) / Q_SECOND_NS,
        .connections = serve_net_connection_count(server->net),
        .connections_ever = counters.accepted_count,
        .connections_rejected = counters.turned_away_count,
        .connections_max = atomic_load_relaxed_u64(&server->connections_max),
        .bytes_read = counters.received_bytes,
        .bytes_written = counters.sent_bytes,
        .connection_bytes = counters.waiting_bytes,
        .accept_pauses = counters.no_descriptor_count,
        .idle_closed = counters.idle_count,
        .idle_timeout_seconds = atomic_load_relaxed_u64(&server->idle_timeout_seconds),
        .too_slow_closed = counters.slow_reader_count + counters.slow_writer_count,
        .is_accepting = true,
    };
}

/* memcached's words are quiet, -v and -vv. */
static const enum serve_log_level levels[] = {SERVE_LOG_WARNING, SERVE_LOG_INFO, SERVE_LOG_DEBUG};

static uint32_t verbosity_of(enum serve_log_level level)
{
    return level == SERVE_LOG_DEBUG ? 2 : level == SERVE_LOG_INFO ? 1 : 0;
}

static void set_verbosity(void *argument, uint32_t level)
{
    (void)argument;
    Q_ASSERT(level < sizeof levels / sizeof levels[0]);
    serve_log_set_level(levels[level]);
}

void server_allow(const struct serve_config *config)
{
    uint64_t allowed = serve_config_number(config, SERVE_MEMCACHED_ALLOW);

    memcached_set_allowed((allowed & SERVE_ALLOWS_FLUSH) != 0, (allowed & SERVE_ALLOWS_DUMP) != 0,
                          (allowed & SERVE_ALLOWS_WATCH) != 0,
                          (allowed & SERVE_ALLOWS_SHUTDOWN) != 0);
    memcached_set_verbosity(
        verbosity_of((enum serve_log_level)serve_config_number(config, SERVE_LOG_LEVEL)));
}

#ifdef QUARRY_DEBUG_CHECKS
#define HAS_DEBUG_COMMANDS true
#else
#define HAS_DEBUG_COMMANDS false
#endif

enum quarry_status server_open_doors(struct server *server, struct quarry_error *error)
{
    const struct memcached_settings settings = {
        .cache = server->cache,
        .worker_count = serve_net_worker_count(server->net),
        .has_debug_commands = HAS_DEBUG_COMMANDS,
        .speech =
            (enum memcached_speech)serve_config_number(server->config, SERVE_MEMCACHED_PROTOCOL),
        .backlog = (uint32_t)serve_config_number(server->config, SERVE_NET_BACKLOG),
        .hooks =
            {
                .argument = server,
                .login = login,
                .admit = admit_requests,
                .value_cut = value_cut,
                .shutdown = server_shut_down,
                .ask_certificates = server_ask_certificates,
                .ask_connections = server_ask_connections,
                .set_verbosity = set_verbosity,
                .read_server = read_server,
            },
    };
    enum quarry_status status = memcached_open(&settings, error);

    the_server = server;
    server->has_door = status == QUARRY_OK;
    if (server->has_door) {
        server_allow(server->config);
        memcached_count_prefixes(serve_config_number(server->config, SERVE_MEMCACHED_PREFIXES) !=
                                 0);
    }
    return status;
}

void server_close_doors(struct server *server)
{
    if (server->has_door) {
        memcached_close();
        server->has_door = false;
    }
    the_server = NULL;
}
