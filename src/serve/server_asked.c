/*
 * What a door asks of the server and is told later: all connections, and certificates read anew.
 *
 *     stats conns     asker's worker ▸ worker 0 ▸ worker 1 ▸ … ▸ asker's worker
 *     refresh_certs   asker's worker ▸ a list, SIGUSR2 ▸ main thread ▸ asker's worker
 *
 * Connections are their workers': so each worker writes down its own, a stretch of slots at a time,
 * and posts the note on. It has room for as many as there were when it began, and some more.
 *
 * Certificates are read by the main thread, which reads them on a reload too: some milliseconds in
 * which no worker stands still, and nobody else looks at the configuration.
 *
 * Who asked may have closed meanwhile: then the note is freed where it arrives. A post is refused
 * by a worker that is ending, with its connections: then the note is freed where it is.
 *
 * Locking: asked_mutex, a leaf, for the list. Memory: malloc, 300 bytes a connection for the time
 * that they are told.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <os/os.h>

#include <serve/door_memcached.h>
#include <serve/log.h>
#include <serve/server_state.h>

/* Who is to be told. */
struct asker {
    struct serve_worker *worker;
    uint64_t connection_id;
};

static struct asker asker_of(struct serve_connection *connection)
{
    return (struct asker){serve_connection_worker(connection), serve_connection_id(connection)};
}

/* ---- connections ---------------------------------------------------------------------------- */

/* Slots looked at before a worker does something else: some tens of microseconds. */
#define STRETCH_SLOTS 128u
/* Room for those that come meanwhile. */
#define MORE_CONNECTIONS 64u

struct gathering {
    struct asker asker;
    struct serve_net *net;
    uint32_t worker, slot; /* where it is to go on */
    size_t count, capacity;
    struct memcached_connection_figures *figures;
};

static void gathering_free(struct gathering *gathering)
{
    free(gathering->figures);
    free(gathering);
}

static void write_down(struct serve_connection *connection, void *argument)
{
    struct gathering *gathering = argument;

    if (gathering->count == gathering->capacity) {
        return;
    }
    struct memcached_connection_figures *figures = &gathering->figures[gathering->count++];

    figures->id = serve_connection_id(connection);
    figures->idle_seconds = serve_connection_idle_ns(connection) / Q_SECOND_NS;
    figures->is_busy = serve_connection_is_busy(connection);
    (void)snprintf(figures->peer, sizeof figures->peer, "%s", serve_connection_peer(connection));
    (void)snprintf(figures->local, sizeof figures->local, "%s", serve_connection_local(connection));
}

/* By the asker's worker. */
static void tell_gathered(struct serve_connection *connection, void *argument)
{
    struct gathering *gathering = argument;

    if (connection != NULL) {
        memcached_connections_done(connection, &gathering->figures, gathering->count);
    }
    gathering_free(gathering);
}

/* By each worker in its turn. */
static void gather(struct serve_connection *nobody, void *argument)
{
    struct gathering *gathering = argument;
    bool is_posted;

    Q_ASSERT(nobody == NULL);
    gathering->slot = serve_worker_some(serve_net_worker(gathering->net, gathering->worker),
                                        gathering->slot, STRETCH_SLOTS, write_down, gathering);
    gathering->worker += gathering->slot == 0 ? 1 : 0;
    if (gathering->worker < serve_net_worker_count(gathering->net)) {
        is_posted =
            serve_post(serve_net_worker(gathering->net, gathering->worker), 0, gather, gathering);
    } else {
        is_posted = serve_post(gathering->asker.worker, gathering->asker.connection_id,
                               tell_gathered, gathering);
    }
    if (!is_posted) {
        gathering_free(gathering);
    }
}

bool server_ask_connections(void *argument, struct serve_connection *connection)
{
    const struct server *server = argument;
    struct gathering *gathering = malloc(sizeof *gathering);
    size_t capacity = serve_net_connection_count(server->net) + MORE_CONNECTIONS;

    if (gathering == NULL) {
        return false;
    }
    *gathering = (struct gathering){.asker = asker_of(connection),
                                    .net = server->net,
                                    .capacity = capacity,
                                    .figures = malloc(capacity * sizeof *gathering->figures)};
    if (gathering->figures == NULL ||
        !serve_post(serve_net_worker(server->net, 0), 0, gather, gathering)) {
        gathering_free(gathering);
        return false;
    }
    return true;
}

/* ---- certificates --------------------------------------------------------------------------- */

struct server_refresh {
    struct server_refresh *next;
    struct asker asker;
    bool is_read;
    char why[sizeof(((struct quarry_error *)0)->text) + 8];
};

/* By the asker's worker. */
static void tell_refreshed(struct serve_connection *connection, void *argument)
{
    struct server_refresh *refresh = argument;

    if (connection != NULL) {
        memcached_certificates_done(connection, refresh->is_read ? NULL : refresh->why);
    }
    free(refresh);
}

static struct server_refresh *take_asked(struct server *server)
{
    os_mutex_lock(&server->asked_mutex);
    struct server_refresh *refresh = server->asked_refresh;
    server->asked_refresh = NULL;
    os_mutex_unlock(&server->asked_mutex);
    return refresh;
}

bool server_ask_certificates(void *argument, struct serve_connection *connection)
{
    struct server *server = argument;
    struct server_refresh *refresh = server->tls == NULL ? NULL : malloc(sizeof *refresh);

    if (refresh == NULL) {
        return false;
    }
    *refresh = (struct server_refresh){.asker = asker_of(connection)};
    os_mutex_lock(&server->asked_mutex);
    refresh->next = server->asked_refresh;
    server->asked_refresh = refresh;
    os_mutex_unlock(&server->asked_mutex);
    (void)kill(getpid(), SIGUSR2);
    return true;
}

/* Once for all who have asked. */
void server_refresh_asked(struct server *server)
{
    struct server_refresh *refresh = take_asked(server);
    struct quarry_error error = {0};

    if (refresh == NULL) {
        return;
    }
    bool is_read = server_tls_reload(server, server->config, &error) == QUARRY_OK;

    if (is_read) {
        serve_log(SERVE_LOG_INFO, "certificates were read again");
    } else {
        serve_log(SERVE_LOG_ERROR, "certificates were not read again: they are as they were",
                  serve_log_text("why", error.text));
    }
    for (struct server_refresh *next; refresh != NULL; refresh = next) {
        next = refresh->next;
        refresh->is_read = is_read;
        (void)snprintf(refresh->why, sizeof refresh->why, "Error %s", error.text);
        if (!serve_post(refresh->asker.worker, refresh->asker.connection_id, tell_refreshed,
                        refresh)) {
            free(refresh);
        }
    }
}

void server_forget_asked(struct server *server)
{
    for (struct server_refresh *refresh = take_asked(server), *next; refresh != NULL;
         refresh = next) {
        next = refresh->next;
        free(refresh);
    }
}
