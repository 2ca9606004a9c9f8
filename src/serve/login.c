/*
 * Between users and connections: the users' thread posts what came of a login to the connection's
 * worker, where the connection is looked up by its number; it may have closed meanwhile.
 *
 * Locking: none of its own. Memory: a small note for each login that is pending.
 */
#include <serve/login.h>

#include <stdlib.h>
#include <string.h>

#include <base/base.h>

/* Where a connection comes from, without its port. */
static uint64_t peer_of(const struct serve_connection *connection)
{
    const char *peer = serve_connection_peer(connection);
    const char *colon = strrchr(peer, ':');

    return hash_xxh3_u64(peer, colon != NULL ? (size_t)(colon - peer) : strlen(peer), 0);
}

struct note {
    struct serve_worker *worker;
    uint64_t connection_id;
    serve_login_answered_function *answered;
    bool is_granted;
    struct serve_identity identity;
};

/* By the worker. */
static void deliver(struct serve_connection *connection, void *argument)
{
    struct note *note = argument;

    if (connection != NULL) {
        note->answered(connection, note->is_granted ? &note->identity : NULL);
    }
    free(note);
}

/* By the users' thread. A post that fails is of a worker that is ending, with its connections. */
static void done(void *argument, enum serve_login_outcome outcome,
                 const struct serve_identity *identity)
{
    struct note *note = argument;

    note->is_granted = outcome == SERVE_LOGIN_GRANTED;
    if (note->is_granted) {
        note->identity = *identity;
    }
    if (!serve_post(note->worker, note->connection_id, deliver, note)) {
        free(note);
    }
}

enum serve_login_outcome serve_login(struct serve_connection *connection, struct serve_users *users,
                                     const struct serve_login_request *request,
                                     serve_login_answered_function *answered,
                                     struct serve_identity *ret_identity)
{
    struct note *note = malloc(sizeof *note);

    Q_ASSERT(connection != NULL && answered != NULL);
    if (note == NULL) {
        return SERVE_LOGIN_BUSY;
    }
    *note = (struct note){
        .worker = serve_connection_worker(connection),
        .connection_id = serve_connection_id(connection),
        .answered = answered,
    };
    struct serve_login_request from = *request;

    from.peer = peer_of(connection);
    enum serve_login_outcome outcome = serve_users_login(users, &from, done, note, ret_identity);
    if (outcome != SERVE_LOGIN_PENDING) {
        free(note);
    }
    return outcome;
}
