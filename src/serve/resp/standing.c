/*
 * What the server is to others: TIME, ROLE, LOLWUT; and replication, modules and clusters, which
 * there are none of.
 *
 * A server that is alone answers as a master without replicas, so that clients which ask for the
 * role go on, and refuses to become anything else.
 */
#include <os/os.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <serve/resp/server_commands.h>

enum resp_outcome resp_time(struct resp_call *call)
{
    uint64_t now_us = os_wall_ns(os_real()) / 1000;
    char text[32];

    resp_say_array(call->reply, 2);
    (void)snprintf(text, sizeof text, "%" PRIu64, now_us / 1000000);
    resp_say_text(call->reply, text);
    (void)snprintf(text, sizeof text, "%" PRIu64, now_us % 1000000);
    resp_say_text(call->reply, text);
    return RESP_ANSWERED;
}

enum resp_outcome resp_role(struct resp_call *call)
{
    resp_say_array(call->reply, 3);
    resp_say_text(call->reply, "master");
    resp_say_integer(call->reply, 0);
    resp_say_array(call->reply, 0);
    return RESP_ANSWERED;
}

/* ---- a drawing ------------------------------------------------------------------------------ */

/* A quarry's wall: courses of stones, each as long as it came out. */
#define WALL_COURSES 6u
#define WALL_COLUMNS 48u

static void add_course(struct resp_text *text, uint64_t *random)
{
    char line[WALL_COLUMNS + 2];
    uint32_t column = 0, next = 0;

    for (; column < WALL_COLUMNS; column++) {
        bool is_joint = column == next;
        if (is_joint) {
            *random = *random * 6364136223846793005u + 1442695040888963407u;
            next = column + 4 + (uint32_t)(*random >> 61);
        }
        line[column] = is_joint ? '|' : '_';
    }
    line[column] = '|';
    line[column + 1] = '\0';
    resp_text_add(text, "%s\n", line);
}

enum resp_outcome resp_lolwut(struct resp_call *call)
{
    struct resp_text text = {0};
    uint64_t random = call->now_ms;
    int64_t version;

    if (call->word_count > 1 && (call->word_count < 3 || !resp_is(call->words[1], "version") ||
                                 !resp_read_integer(call->words[2], &version))) {
        resp_say_syntax_error(call->reply);
        return RESP_ANSWERED;
    }
    resp_text_add(&text, " ");
    for (uint32_t i = 1; i < WALL_COLUMNS; i++) {
        resp_text_add(&text, "_");
    }
    resp_text_add(&text, "\n");
    for (uint32_t i = 0; i < WALL_COURSES; i++) {
        add_course(&text, &random);
    }
    resp_text_add(&text, "\nStone upon stone. Redis ver. " RESP_REDIS_VERSION ", Quarry ver. %s\n",
                  resp_admin_settings()->version);
    resp_text_say(&text, call->reply);
    return RESP_ANSWERED;
}

/* ---- replication ---------------------------------------------------------------------------- */

enum resp_outcome resp_replicaof(struct resp_call *call)
{
    int64_t port;

    if (resp_is(call->words[1], "no") && resp_is(call->words[2], "one")) {
        resp_say_ok(call->reply);
    } else if (!resp_read_integer(call->words[2], &port) || port < 0 || port > 65535) {
        resp_say_error(call->reply, "ERR Invalid master port");
    } else {
        resp_say_error(call->reply, "ERR this server does not replicate: it is nobody's replica, "
                                    "and has none");
    }
    return RESP_ANSWERED;
}

enum resp_outcome resp_failover(struct resp_call *call)
{
    resp_say_error(call->reply, "ERR FAILOVER requires connected replicas.");
    return RESP_ANSWERED;
}

/* ---- modules -------------------------------------------------------------------------------- */

enum resp_outcome resp_module_list(struct resp_call *call)
{
    resp_say_array(call->reply, 0);
    return RESP_ANSWERED;
}

enum resp_outcome resp_module_refused(struct resp_call *call)
{
    resp_say_error(call->reply, "ERR there are no modules: what the server does is built into it");
    return RESP_ANSWERED;
}

enum resp_outcome resp_module_help(struct resp_call *call)
{
    static const char *const lines[] = {
        "LIST", "    Nothing: there are no modules.", "LOAD, LOADEX, UNLOAD", "    Refused.", NULL,
    };

    resp_say_help(call, lines);
    return RESP_ANSWERED;
}

/* ---- scripts that are not there: who tidies up after tests asks for it ------------------------
 */

enum resp_outcome resp_scripts_flushed(struct resp_call *call)
{
    if (call->word_count > 3 || (call->word_count == 3 && !resp_is(call->words[2], "async") &&
                                 !resp_is(call->words[2], "sync"))) {
        resp_say_error(call->reply, resp_is(call->words[0], "function")
                                        ? "ERR FUNCTION FLUSH only supports SYNC|ASYNC option"
                                        : "ERR SCRIPT FLUSH only support SYNC|ASYNC option");
    } else {
        resp_say_ok(call->reply);
    }
    return RESP_ANSWERED;
}

enum resp_outcome resp_functions_listed(struct resp_call *call)
{
    resp_say_array(call->reply, 0);
    return RESP_ANSWERED;
}

enum resp_outcome resp_scripts_looked_for(struct resp_call *call)
{
    resp_say_array(call->reply, call->word_count - 2);
    for (size_t i = 2; i < call->word_count; i++) {
        resp_say_integer(call->reply, 0);
    }
    return RESP_ANSWERED;
}

/* ---- clusters ------------------------------------------------------------------------------- */

enum resp_outcome resp_cluster(struct resp_call *call)
{
    resp_say_error(call->reply, "ERR This instance has cluster support disabled");
    return RESP_ANSWERED;
}
