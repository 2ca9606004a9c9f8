/*
 * CLIENT: a connection's own matters; client_list.c has what concerns all of them.
 *
 * What is of the session is done where the command is executed, and seen by whoever lists the
 * connection later. Connections are not evicted, tracked, redirected or blocked here: the
 * subcommands on that answer as for one for which it is switched off.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <serve/resp/server_commands.h>

static enum resp_outcome say_ok(struct resp_call *call)
{
    resp_say_ok(call->reply);
    return RESP_ANSWERED;
}

static enum resp_outcome say_syntax_error(struct resp_call *call)
{
    resp_say_syntax_error(call->reply);
    return RESP_ANSWERED;
}

/* ---- its name ------------------------------------------------------------------------------- */

/* Printable, and no blank: CLIENT LIST is split at those. */
static bool is_plain(struct quarry_kv_slice word)
{
    for (size_t i = 0; i < word.byte_count; i++) {
        char c = ((const char *)word.bytes)[i];
        if (c < '!' || c > '~') {
            return false;
        }
    }
    return true;
}

enum resp_outcome resp_client_setname(struct resp_call *call)
{
    struct quarry_kv_slice name = call->words[2];

    if (!is_plain(name)) {
        resp_say_error(call->reply, "ERR Client names cannot contain spaces, newlines or special "
                                    "characters.");
        return RESP_ANSWERED;
    }
    if (name.byte_count >= RESP_NAME_BYTES) {
        resp_say_error(call->reply, "ERR Client names have at most %u bytes", RESP_NAME_BYTES - 1);
        return RESP_ANSWERED;
    }
    memcpy(call->session->name, name.bytes, name.byte_count);
    call->session->name[name.byte_count] = '\0';
    return say_ok(call);
}

enum resp_outcome resp_client_getname(struct resp_call *call)
{
    if (call->session->name[0] == '\0') {
        resp_say_null(call->reply);
    } else {
        resp_say_text(call->reply, call->session->name);
    }
    return RESP_ANSWERED;
}

/* Libraries of Redis 7.2 say who they are; nothing here asks for it. */
enum resp_outcome resp_client_setinfo(struct resp_call *call)
{
    bool is_name = resp_is(call->words[2], "lib-name");

    if (!is_name && !resp_is(call->words[2], "lib-ver")) {
        resp_say_error(call->reply, "ERR Unrecognized option '%.*s'",
                       (int)size_min(call->words[2].byte_count, 128),
                       (const char *)call->words[2].bytes);
    } else if (!is_plain(call->words[3])) {
        resp_say_error(call->reply, "ERR %s cannot contain spaces, newlines or special characters.",
                       is_name ? "lib-name" : "lib-ver");
    } else {
        resp_say_ok(call->reply);
    }
    return RESP_ANSWERED;
}

enum resp_outcome resp_client_id(struct resp_call *call)
{
    resp_say_integer(call->reply, (int64_t)call->session->id);
    return RESP_ANSWERED;
}

/* ---- answers and pauses --------------------------------------------------------------------- */

enum resp_outcome resp_client_reply(struct resp_call *call)
{
    struct resp_session *session = call->session;

    if (resp_is(call->words[2], "on")) {
        session->reply_mode = RESP_REPLIES;
        return say_ok(call);
    }
    if (resp_is(call->words[2], "off")) {
        session->reply_mode = RESP_REPLIES_OFF;
    } else if (!resp_is(call->words[2], "skip")) {
        return say_syntax_error(call);
    } else if (session->reply_mode != RESP_REPLIES_OFF) {
        session->reply_mode = RESP_REPLIES_SKIP;
    }
    return RESP_ANSWERED;
}

/* False: an error was said. */
static bool read_pause(struct resp_call *call, int64_t *ret_ms, enum resp_pause *ret_what)
{
    *ret_what = RESP_PAUSE_ALL;
    if (call->word_count > 4) {
        resp_say_syntax_error(call->reply);
    } else if (!resp_read_integer(call->words[2], ret_ms)) {
        resp_say_error(call->reply, "ERR timeout is not an integer or out of range");
    } else if (*ret_ms < 0) {
        resp_say_error(call->reply, "ERR timeout is negative");
    } else if (call->word_count == 4 && resp_is(call->words[3], "write")) {
        *ret_what = RESP_PAUSE_WRITES;
        return true;
    } else if (call->word_count == 4 && !resp_is(call->words[3], "all")) {
        resp_say_error(call->reply, "ERR CLIENT PAUSE mode must be WRITE or ALL");
    } else {
        return true;
    }
    return false;
}

enum resp_outcome resp_client_pause(struct resp_call *call)
{
    enum resp_pause what;
    int64_t ms;

    if (!read_pause(call, &ms, &what)) {
        return RESP_ANSWERED;
    }
    resp_pause_begin(what, sat_add_u64(call->now_ms, (uint64_t)ms));
    return say_ok(call);
}

enum resp_outcome resp_client_unpause(struct resp_call *call)
{
    resp_pause_end();
    return say_ok(call);
}

/* ---- what does not exist here --------------------------------------------------------------- */

/* ON or OFF, neither of which changes anything. */
static enum resp_outcome take_switch(struct resp_call *call)
{
    if (!resp_is(call->words[2], "on") && !resp_is(call->words[2], "off")) {
        return say_syntax_error(call);
    }
    return say_ok(call);
}

enum resp_outcome resp_client_no_evict(struct resp_call *call)
{
    return take_switch(call);
}

enum resp_outcome resp_client_no_touch(struct resp_call *call)
{
    return take_switch(call);
}

enum resp_outcome resp_client_tracking(struct resp_call *call)
{
    if (resp_is(call->words[2], "on")) {
        resp_say_error(call->reply, "ERR CLIENT TRACKING is not supported: clients are not told of "
                                    "changes here");
        return RESP_ANSWERED;
    }
    return take_switch(call);
}

enum resp_outcome resp_client_trackinginfo(struct resp_call *call)
{
    resp_say_map(call->reply, 3);
    resp_say_text(call->reply, "flags");
    resp_say_set(call->reply, 1);
    resp_say_text(call->reply, "off");
    resp_say_text(call->reply, "redirect");
    resp_say_integer(call->reply, -1);
    resp_say_text(call->reply, "prefixes");
    resp_say_array(call->reply, 0);
    return RESP_ANSWERED;
}

enum resp_outcome resp_client_getredir(struct resp_call *call)
{
    resp_say_integer(call->reply, -1);
    return RESP_ANSWERED;
}

enum resp_outcome resp_client_caching(struct resp_call *call)
{
    resp_say_error(call->reply, "ERR CLIENT CACHING can be called only when the client is in "
                                "tracking mode with OPTIN or OPTOUT mode enabled");
    return RESP_ANSWERED;
}

enum resp_outcome resp_client_unblock(struct resp_call *call)
{
    int64_t id;

    if (call->word_count > 4 || (call->word_count == 4 && !resp_is(call->words[3], "timeout") &&
                                 !resp_is(call->words[3], "error"))) {
        resp_say_error(call->reply, "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
    } else if (!resp_read_integer(call->words[2], &id)) {
        resp_say_not_an_integer(call->reply);
    } else {
        resp_say_integer(call->reply, 0);
    }
    return RESP_ANSWERED;
}

enum resp_outcome resp_client_help(struct resp_call *call)
{
    static const char *const lines[] = {
        "GETNAME",
        "    The name of this connection.",
        "ID",
        "    The number of this connection.",
        "INFO",
        "    The line of this connection in LIST.",
        "KILL <ip:port>",
        "    Ends the connection from an address.",
        "KILL <option> <value> [<option> <value> ...]",
        "    Ends the connections for which all options hold:",
        "    * ADDR <ip:port>, LADDR <ip:port>: its address, and that it came to",
        "    * ID <number>, USER <name>, TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
        "    * SKIPME (YES|NO): whether this one stays, which it does by default",
        "LIST [TYPE (NORMAL|MASTER|REPLICA|PUBSUB)] [ID <number> ...]",
        "    All connections, a line each.",
        "NO-EVICT (ON|OFF), NO-TOUCH (ON|OFF)",
        "    Accepted; nothing changes by them.",
        "PAUSE <milliseconds> [WRITE|ALL]",
        "    Holds all commands, or those that write.",
        "REPLY (ON|OFF|SKIP)",
        "    Switches answers on, off, or the next one off.",
        "SETINFO (LIB-NAME|LIB-VER) <text>",
        "    Accepted; nothing tells it.",
        "SETNAME <name>",
        "    Names this connection.",
        "UNPAUSE",
        "    Ends a pause.",
        NULL,
    };

    resp_say_help(call, lines);
    return RESP_ANSWERED;
}
