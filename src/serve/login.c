/*
 * Between users and connections: the users' thread posts what came of a login to the connection's
 * worker, where the connection is looked up by its number; it may have closed meanwhile.
 *
 * Locking: none of its own. Memory: a small note for each login that is pending.
 */
#include <serve/login.h>

#include <stdlib.h>

struct note {
    struct serve_worker *worker;
    uint64_t connection_id;
    struct serve_login *login; /* in the connection's state: only with the connection */
    serve_login_answered_function *answered;
    enum serve_login_outcome outcome;
    struct serve_identity identity;
};

static void count(struct serve_login *login, enum serve_login_outcome outcome)
{
    if (outcome == SERVE_LOGIN_REFUSED) {
        login->failure_count++;
        login->is_over = login->failure_count >= SERVE_LOGIN_FAILURES_MAX;
    }
}

/* By the worker. */
static void deliver(struct serve_connection *connection, void *argument)
{
    struct note *note = argument;

    if (connection != NULL) {
        count(note->login, note->outcome);
        if (note->outcome == SERVE_LOGIN_GRANTED) {
            *serve_connection_identity(connection) = note->identity;
        }
        note->answered(connection, note->outcome);
    }
    free(note);
}

/* By the users' thread. A post that fails is of a worker that is ending, with its connections. */
static void done(void *argument, enum serve_login_outcome outcome,
                 const struct serve_identity *identity)
{
    struct note *note = argument;

    note->outcome = outcome;
    if (identity != NULL) {
        note->identity = *identity;
    }
    if (!serve_post(note->worker, note->connection_id, deliver, note)) {
        free(note);
    }
}

enum serve_login_outcome serve_login(struct serve_connection *connection, struct serve_users *users,
                                     struct serve_login *login, const char *name, size_t name_bytes,
                                     const char *password, size_t password_bytes,
                                     serve_login_answered_function *answered)
{
    const struct serve_login_request request = {
        .name = name,
        .name_bytes = name_bytes,
        .password = password,
        .password_bytes = password_bytes,
        .failure_count = login->failure_count,
    };
    struct note *note = malloc(sizeof *note);

    Q_ASSERT(!login->is_over);
    if (note == NULL) {
        return SERVE_LOGIN_BUSY;
    }
    *note = (struct note){
        .worker = serve_connection_worker(connection),
        .connection_id = serve_connection_id(connection),
        .login = login,
        .answered = answered,
    };
    struct serve_identity identity = {0};
    enum serve_login_outcome outcome = serve_users_login(users, &request, done, note, &identity);
    if (outcome != SERVE_LOGIN_PENDING) {
        free(note);
    }
    if (outcome == SERVE_LOGIN_GRANTED) {
        *serve_connection_identity(connection) = identity;
    }
    count(login, outcome);
    return outcome;
}
