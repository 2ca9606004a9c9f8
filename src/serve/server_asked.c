/*
 * What a door asks of the server and is told later: all connections, and certificates read anew.
 *
 *     stats conns     asker's worker ▸ worker 0 ▸ worker 1 ▸ … ▸ asker's worker
 *     CLIENT LIST     thread of the executor ▸ worker 0 ▸ worker 1 ▸ … ▸ that thread, which waits
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

#include <serve/connection.h>
#include <serve/door_memcached.h>
#include <serve/door_resp.h>
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

/* A walk over all workers, each of which writes down its connections of one door. */
struct gathering {
    struct serve_net *net;
    uint32_t worker, slot; /* where it is to go on */
    size_t count, capacity;
    size_t note_bytes;
    void *notes; /* of note_bytes each; own */
    /* False: the connection is none of those that are asked for. */
    bool (*write)(struct serve_connection *connection, void *note);
    /* All workers were asked, or, where not `is_whole`, one is ending. It is given. */
    void (*done)(struct gathering *gathering, bool is_whole);
    struct asker asker;      /* of those that answer a connection */
    struct waiting *waiting; /* of those that a thread waits for */
};

static void gathering_free(struct gathering *gathering)
{
    free(gathering->notes);
    free(gathering);
}

static void write_down(struct serve_connection *connection, void *argument)
{
    struct gathering *gathering = argument;

    if (gathering->count < gathering->capacity &&
        gathering->write(connection,
                         (char *)gathering->notes + gathering->count * gathering->note_bytes)) {
        gathering->count++;
    }
}

/* By each worker in its turn. */
static void gather(struct serve_connection *nobody, void *argument)
{
    struct gathering *gathering = argument;

    Q_ASSERT(nobody == NULL);
    gathering->slot = serve_worker_some(serve_net_worker(gathering->net, gathering->worker),
                                        gathering->slot, STRETCH_SLOTS, write_down, gathering);
    gathering->worker += gathering->slot == 0 ? 1 : 0;
    if (gathering->worker == serve_net_worker_count(gathering->net)) {
        gathering->done(gathering, true);
    } else if (!serve_post(serve_net_worker(gathering->net, gathering->worker), 0, gather,
                           gathering)) {
        gathering->done(gathering, false);
    }
}

/* `plan`: with what is asked for, and `room` for notes besides. NULL: no memory. */
static struct gathering *gathering_create(struct serve_net *net, const struct gathering *plan,
                                          size_t room)
{
    struct gathering *gathering = malloc(sizeof *gathering);

    if (gathering == NULL) {
        return NULL;
    }
    *gathering = *plan;
    gathering->net = net;
    gathering->capacity = serve_net_connection_count(net) + MORE_CONNECTIONS + room;
    gathering->notes = calloc(gathering->capacity, gathering->note_bytes);
    if (gathering->notes == NULL) {
        free(gathering);
        return NULL;
    }
    return gathering;
}

/* `gathering`: give; NULL: no memory. False: nothing is told. */
static bool begin_gathering(struct gathering *gathering)
{
    if (gathering == NULL) {
        return false;
    }
    if (!serve_post(serve_net_worker(gathering->net, 0), 0, gather, gathering)) {
        gathering_free(gathering);
        return false;
    }
    return true;
}

/* ---- for memcached -------------------------------------------------------------------------- */

static bool write_figures(struct serve_connection *connection, void *note)
{
    struct memcached_connection_figures *figures = note;

    figures->id = serve_connection_id(connection);
    figures->idle_seconds = serve_connection_idle_ns(connection) / Q_SECOND_NS;
    figures->state = serve_connection_door(connection) == &memcached_door ? memcached_at(connection)
                     : serve_connection_is_busy(connection)               ? "conn_mwrite"
                                                                          : "conn_read";
    (void)snprintf(figures->peer, sizeof figures->peer, "%s", serve_connection_peer(connection));
    (void)snprintf(figures->local, sizeof figures->local, "%s", serve_connection_local(connection));
    return true;
}

/* Listening sockets have the numbers from 1, which no connection has. */
static void write_listeners(const struct server *server, struct gathering *gathering)
{
    struct memcached_connection_figures *figures = gathering->notes;

    for (uint32_t i = 0; i < server->listener_count; i++) {
        if (server->doors[i] == &memcached_door) {
            figures->id = 1 + gathering->count++;
            figures->state = "conn_listening";
            (void)snprintf(figures->peer, sizeof figures->peer, "%s",
                           serve_listener_name(server->listeners[i]));
            figures++;
        }
    }
}

/* By the asker's worker. */
static void tell_gathered(struct serve_connection *connection, void *argument)
{
    struct gathering *gathering = argument;

    if (connection != NULL) {
        struct memcached_connection_figures *figures = gathering->notes;
        memcached_connections_done(connection, &figures, gathering->count);
        gathering->notes = figures;
    }
    gathering_free(gathering);
}

static void post_gathered(struct gathering *gathering, bool is_whole)
{
    if (!is_whole || !serve_post(gathering->asker.worker, gathering->asker.connection_id,
                                 tell_gathered, gathering)) {
        gathering_free(gathering);
    }
}

bool server_ask_connections(void *argument, struct serve_connection *connection)
{
    const struct server *server = argument;
    const struct gathering plan = {.asker = asker_of(connection),
                                   .note_bytes = sizeof(struct memcached_connection_figures),
                                   .write = write_figures,
                                   .done = post_gathered};

    struct gathering *gathering = gathering_create(server->net, &plan, server->listener_count);

    if (gathering != NULL) {
        write_listeners(server, gathering);
    }
    return begin_gathering(gathering);
}

/* ---- for the RESP door ---------------------------------------------------------------------- */

/* What a thread of the executor waits for. */
struct waiting {
    struct resp_client *clients; /* own; written before is_done */
    size_t count;
    _Atomic(uint32_t) is_done; /* a futex; release: pairs with the acquire of who waits */
};
enum { WHOLE = 1, PARTIAL = 2 }; /* of is_done */

static bool write_client(struct serve_connection *connection, void *note)
{
    struct resp_client *client = note;

    if (serve_connection_door(connection) != &resp_door) {
        return false;
    }
    resp_client_read(serve_connection_state(connection), connection, client);
    client->idle_seconds = serve_connection_idle_ns(connection) / Q_SECOND_NS;
    return true;
}

static void wake_waiting(struct gathering *gathering, bool is_whole)
{
    struct waiting *waiting = gathering->waiting;

    waiting->clients = gathering->notes;
    waiting->count = gathering->count;
    gathering->notes = NULL;
    gathering_free(gathering);
    /* Who waits may be gone behind the store: waking an address that is no word does nothing. */
    _Atomic(uint32_t) *is_done = &waiting->is_done;
    atomic_store_release_u32(is_done, is_whole ? WHOLE : PARTIAL);
    os_futex_wake(is_done, 1);
}

enum quarry_status server_list_clients(void *argument, struct resp_client **ret_clients,
                                       size_t *ret_count)
{
    const struct server *server = argument;
    struct waiting waiting = {0};
    const struct gathering plan = {.waiting = &waiting,
                                   .note_bytes = sizeof(struct resp_client),
                                   .write = write_client,
                                   .done = wake_waiting};

    if (!begin_gathering(gathering_create(server->net, &plan, 0))) {
        return QUARRY_NO_MEMORY;
    }
    while (atomic_load_acquire_u32(&waiting.is_done) == 0) {
        os_futex_wait(&waiting.is_done, 0, UINT64_MAX);
    }
    if (atomic_load_relaxed_u32(&waiting.is_done) != WHOLE) {
        free(waiting.clients);
        return QUARRY_CANCELLED;
    }
    *ret_clients = waiting.clients;
    *ret_count = waiting.count;
    return QUARRY_OK;
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
