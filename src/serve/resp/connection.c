/*
 * Commands about the connection itself: PING, ECHO, QUIT, RESET, SELECT.
 *
 * A session says which database its commands are about; RESET makes it what it was at first, and
 * where the listener asks for a login it has to log in again.
 *
 * Locking: none; a session is its worker's, or a job's.
 */
#include <serve/resp/state.h>
#include <serve/resp/table.h>

#include <string.h>

enum resp_outcome resp_ping(struct resp_call *call)
{
    if (call->word_count > 2) {
        resp_say_wrong_arity(call->reply, call->command);
    } else if (call->word_count == 2) {
        resp_say_bulk(call->reply, call->words[1].bytes, call->words[1].byte_count);
    } else {
        resp_say_simple(call->reply, "PONG");
    }
    return RESP_ANSWERED;
}

enum resp_outcome resp_echo(struct resp_call *call)
{
    resp_say_bulk(call->reply, call->words[1].bytes, call->words[1].byte_count);
    return RESP_ANSWERED;
}

enum resp_outcome resp_quit(struct resp_call *call)
{
    resp_say_ok(call->reply);
    return RESP_CLOSES;
}

enum resp_outcome resp_select(struct resp_call *call)
{
    int64_t database = 0;
    int64_t count = resp_the_door.is_open ? resp_the_door.settings.databases : 16;

    if (!resp_read_integer(call->words[1], &database)) {
        resp_say_not_an_integer(call->reply);
    } else if (database > INT32_MAX || database < INT32_MIN) {
        resp_say_error(call->reply, "ERR value is out of range, value must between %d and %d",
                       INT32_MIN, INT32_MAX);
    } else if (database < 0 || database >= count) {
        resp_say_error(call->reply, "ERR DB index is out of range");
    } else {
        call->session->scope.database = (uint8_t)database;
        resp_say_ok(call->reply);
    }
    return RESP_ANSWERED;
}

enum resp_outcome resp_reset(struct resp_call *call)
{
    struct resp_session *session = call->session;

    resp_session_forget(session, call->keyspace);
    session->protocol = 2;
    session->scope.database = 0;
    session->name[0] = '\0';
    if (session->connection != NULL && serve_connection_needs_login(session->connection)) {
        resp_logout(session);
    }
    resp_reply_set_protocol(call->reply, 2);
    resp_say_simple(call->reply, "RESET");
    return RESP_ANSWERED;
}
