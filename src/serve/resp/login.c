/*
 * AUTH and HELLO: who a session speaks for.
 *
 *     AUTH password, AUTH user password        OK; or -WRONGPASS, a second later
 *     HELLO [2|3 [AUTH user password] [SETNAME name]]
 *
 * A password is verified elsewhere (users.h): the connection waits for the answer, and is not read
 * from meanwhile. What HELLO was to do besides is kept for then.
 *
 * A user's tenant says which keys are his: the tenant's name has a number in the keyspace, which is
 * found at the login.
 *
 * Invariants:
 *   1. Protocol and name change only when the whole of a HELLO is right, and its login granted.
 *   2. No answer tells a user that does not exist from a password that is wrong.
 *
 * Locking: none.
 *
 * Source: redis-server 7.0 for forms and texts.
 */
#include <serve/resp/admin.h>
#include <serve/resp/state.h>
#include <serve/resp/table.h>

#include <stdio.h>
#include <string.h>

#define WRONG_PASSWORD "WRONGPASS invalid username-password pair or user is disabled."

/* ---- who somebody is ------------------------------------------------------------------------ */

bool resp_session_identify(struct resp_session *session, const struct serve_identity *identity,
                           struct quarry_error *error)
{
    const struct resp_door_hooks *hooks = &resp_the_door.settings.hooks;
    const char *tenant =
        hooks->tenant_name == NULL ? "" : hooks->tenant_name(hooks->argument, identity);

    if (keyspace_scope_of(resp_the_door.settings.keyspace, tenant, session->scope.database, true,
                          &session->scope, error) != QUARRY_OK) {
        return false;
    }
    session->is_logged_in = true;
    (void)snprintf(session->user, sizeof session->user, "%s",
                   identity->name[0] != '\0' ? identity->name : "default");
    return true;
}

void resp_logout(struct resp_session *session)
{
    struct serve_identity *identity = serve_connection_identity(session->connection);
    const struct resp_door_hooks *hooks = &resp_the_door.settings.hooks;

    if (hooks->logout != NULL) {
        hooks->logout(hooks->argument, identity);
    }
    *identity = (struct serve_identity){.rights = 0};
    session->is_logged_in = false;
    (void)snprintf(session->user, sizeof session->user, "default");
}

/* ---- HELLO's answer ------------------------------------------------------------------------- */

static void say_hello(struct resp_reply *reply, const struct resp_session *session)
{
    resp_say_map(reply, 7);
    resp_say_text(reply, "server");
    resp_say_text(reply, "redis");
    resp_say_text(reply, "version");
    resp_say_text(reply, RESP_REDIS_VERSION);
    resp_say_text(reply, "proto");
    resp_say_integer(reply, session->protocol);
    resp_say_text(reply, "id");
    resp_say_integer(reply, (int64_t)session->id);
    resp_say_text(reply, "mode");
    resp_say_text(reply, "standalone");
    resp_say_text(reply, "role");
    resp_say_text(reply, "master");
    resp_say_text(reply, "modules");
    resp_say_array(reply, 0);
}

/* What HELLO asked for, when nothing is in its way any more. */
static void finish_hello(struct resp_session *session, const struct resp_hello *hello,
                         struct resp_reply *reply)
{
    if (hello->has_name) {
        memcpy(session->name, hello->name, sizeof session->name);
    }
    if (hello->protocol != 0) {
        session->protocol = hello->protocol;
    }
    if (!session->is_logged_in) {
        resp_say_error(reply,
                       "NOAUTH HELLO must be called with the client already authenticated, "
                       "otherwise the HELLO <proto> AUTH <user> <pass> option can be used to "
                       "authenticate the client and select the RESP protocol version at the "
                       "same time");
        return;
    }
    resp_reply_set_protocol(reply, session->protocol);
    say_hello(reply, session);
}

/* ---- logging in ----------------------------------------------------------------------------- */

/* What came of a login. `identity`: NULL: refused. */
static void answer(struct resp_session *session, const struct resp_hello *hello,
                   const struct serve_identity *identity, struct resp_reply *reply)
{
    struct quarry_error error = {0};

    if (identity == NULL) {
        resp_admin_note_denied(session, "auth", hello->is_hello ? "HELLO" : "AUTH");
        resp_say_error(reply, WRONG_PASSWORD);
        return;
    }
    *serve_connection_identity(session->connection) = *identity;
    if (!resp_session_identify(session, identity, &error)) {
        resp_logout(session);
        resp_say_error(reply, "ERR %s", error.text);
        return;
    }
    if (hello->is_hello) {
        finish_hello(session, hello, reply);
    } else {
        resp_say_ok(reply);
    }
}

static enum resp_outcome login(struct resp_call *call, struct quarry_kv_slice user,
                               struct quarry_kv_slice password, const struct resp_hello *hello)
{
    const struct resp_door_hooks *hooks = &resp_the_door.settings.hooks;
    struct serve_connection *connection = call->session->connection;
    const struct resp_credentials credentials = {user.bytes, user.byte_count, password.bytes,
                                                 password.byte_count};
    struct serve_identity identity = {.rights = 0};

    if (hooks->login == NULL || connection == NULL || user.byte_count > RESP_LOGIN_USER_BYTES_MAX ||
        password.byte_count > RESP_LOGIN_PASSWORD_BYTES_MAX) {
        resp_say_error(call->reply, WRONG_PASSWORD);
        return RESP_ANSWERED;
    }
    struct resp_state *state = resp_state_of(connection);
    /* Before the hook is called: its answer may be posted while it runs. */
    state->is_logging_in = true;
    state->hello = *hello;
    enum resp_login outcome = hooks->login(hooks->argument, connection, &credentials, &identity);
    if (outcome != RESP_VERIFYING) {
        state->is_logging_in = false;
        answer(call->session, hello, outcome == RESP_GRANTED ? &identity : NULL, call->reply);
    }
    return RESP_ANSWERED;
}

void resp_login_done(struct serve_connection *connection, const struct serve_identity *identity)
{
    struct resp_state *state = resp_state_of(connection);
    struct resp_turn turn = {
        .connection = connection, .state = state, .worker = resp_worker_of(connection)};
    struct resp_reply reply;

    Q_ASSERT(state->is_logging_in);
    state->is_logging_in = false;
    resp_reply_here(&turn, &reply);
    answer(&state->session, &state->hello, identity, &reply);
    state->closes |= resp_reply_done(&turn, &reply) == RESP_ENDS;
}

/* ---- AUTH ----------------------------------------------------------------------------------- */

static bool has_logins(const struct resp_session *session)
{
    return session->connection != NULL && serve_connection_needs_login(session->connection);
}

enum resp_outcome resp_auth(struct resp_call *call)
{
    static const struct resp_hello none = {.is_hello = false};
    static const struct quarry_kv_slice default_user = {"default", 7};

    if (call->word_count > 3) {
        resp_say_syntax_error(call->reply);
        return RESP_ANSWERED;
    }
    if (call->word_count == 2 && !has_logins(call->session)) {
        resp_say_error(call->reply,
                       "ERR AUTH <password> called without any password configured for the default "
                       "user. Are you sure your configuration is correct?");
        return RESP_ANSWERED;
    }
    struct quarry_kv_slice user = call->word_count == 3 ? call->words[1] : default_user;
    if (!has_logins(call->session)) { /* anybody is the default user then, as in Redis */
        if (resp_is(user, "default")) {
            resp_say_ok(call->reply);
        } else {
            resp_say_error(call->reply, WRONG_PASSWORD);
        }
        return RESP_ANSWERED;
    }
    return login(call, user, call->words[call->word_count - 1], &none);
}

/* ---- HELLO ---------------------------------------------------------------------------------- */

/* A name may have no blanks, and only what can be printed. */
static bool name_is_right(struct quarry_kv_slice name)
{
    const char *bytes = name.bytes;

    for (size_t i = 0; i < name.byte_count; i++) {
        if (bytes[i] < '!' || bytes[i] > '~') {
            return false;
        }
    }
    return true;
}

struct hello_words {
    struct resp_hello hello;
    bool has_login;
    struct quarry_kv_slice user, password;
};

static bool read_name(struct resp_call *call, struct quarry_kv_slice name,
                      struct resp_hello *ret_hello)
{
    if (!name_is_right(name)) {
        resp_say_error(call->reply, "ERR Client names cannot contain spaces, newlines or special "
                                    "characters.");
        return false;
    }
    if (name.byte_count >= sizeof ret_hello->name) {
        resp_say_error(call->reply, "ERR Client names of this server have at most %u bytes",
                       RESP_NAME_BYTES - 1);
        return false;
    }
    memset(ret_hello->name, 0, sizeof ret_hello->name);
    if (name.byte_count > 0) {
        memcpy(ret_hello->name, name.bytes, name.byte_count);
    }
    ret_hello->has_name = true;
    return true;
}

/* What follows the protocol. False: an error was said. */
static bool read_options(struct resp_call *call, struct hello_words *ret)
{
    for (size_t i = 2; i < call->word_count; i++) {
        size_t left = call->word_count - 1 - i;
        if (resp_is(call->words[i], "auth") && left >= 2) {
            ret->user = call->words[i + 1];
            ret->password = call->words[i + 2];
            ret->has_login = true;
            i += 2;
        } else if (resp_is(call->words[i], "setname") && left >= 1) {
            if (!read_name(call, call->words[i + 1], &ret->hello)) {
                return false;
            }
            i++;
        } else {
            resp_say_error(call->reply, "ERR Syntax error in HELLO option '%.*s'",
                           (int)size_min(call->words[i].byte_count, 128),
                           (const char *)call->words[i].bytes);
            return false;
        }
    }
    return true;
}

enum resp_outcome resp_hello(struct resp_call *call)
{
    struct hello_words words = {.hello = {.is_hello = true}};
    int64_t protocol = 0;

    if (call->word_count >= 2) {
        if (!resp_read_integer(call->words[1], &protocol)) {
            resp_say_error(call->reply, "ERR Protocol version is not an integer or out of range");
            return RESP_ANSWERED;
        }
        if (protocol < 2 || protocol > 3) {
            resp_say_error(call->reply, "NOPROTO unsupported protocol version");
            return RESP_ANSWERED;
        }
    }
    words.hello.protocol = (uint8_t)protocol;
    if (!read_options(call, &words)) {
        return RESP_ANSWERED;
    }
    if (words.has_login && has_logins(call->session)) {
        return login(call, words.user, words.password, &words.hello);
    }
    if (words.has_login && !resp_is(words.user, "default")) {
        resp_say_error(call->reply, WRONG_PASSWORD);
        return RESP_ANSWERED;
    }
    finish_hello(call->session, &words.hello, call->reply);
    return RESP_ANSWERED;
}
