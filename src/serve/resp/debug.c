/*
 * DEBUG: what test tools use, where the setting resp.debug allows it.
 *
 * A sleep is one of the executor's threads, and not of the server: other connections go on. Keys
 * expire when they are looked at and when files are written, so that switching active expiry off or
 * on changes nothing that can be seen: it is accepted.
 */
#include <os/os.h>

#include <stdlib.h>
#include <string.h>

#include <serve/resp/server_commands.h>

/* A thread of the executor that sleeps is nobody else's: a bound, for one who may DEBUG. */
#define SLEEP_SECONDS_MAX 60.0
#define SLEEP_TEXT_BYTES  32u

static enum resp_outcome sleep_for(struct resp_call *call)
{
    char text[SLEEP_TEXT_BYTES];
    struct quarry_kv_slice word = call->words[2];
    char *end = text;

    if (!call->may_wait) {
        return RESP_BUSY;
    }
    size_t bytes = size_min(word.byte_count, sizeof text - 1);
    memcpy(text, word.bytes, bytes);
    text[bytes] = '\0';
    double seconds = strtod(text, &end);
    if (*end != '\0' || end == text || !(seconds >= 0 && seconds <= SLEEP_SECONDS_MAX)) {
        resp_say_error(call->reply, "ERR DEBUG SLEEP takes seconds from 0 to 60");
        return RESP_ANSWERED;
    }
    os_sleep_ns((uint64_t)(seconds * 1e9));
    resp_say_ok(call->reply);
    return RESP_ANSWERED;
}

static enum resp_outcome say_property(struct resp_call *call, const char *name)
{
    char text[16384];
    size_t bytes = 0;
    enum quarry_status status =
        quarry_kv_property(keyspace_kv(call->keyspace), name, text, sizeof text, &bytes);

    if (status == QUARRY_OK) {
        resp_say_verbatim(call->reply, text, size_min(bytes, sizeof text - 1));
    } else {
        resp_say_status(call->reply, status, NULL);
    }
    return RESP_ANSWERED;
}

static enum resp_outcome say_ok(struct resp_call *call)
{
    resp_say_ok(call->reply);
    return RESP_ANSWERED;
}

/* As DEBUG PROTOCOL of Redis: one of each form, for tests of clients. */
static enum resp_outcome say_form(struct resp_call *call)
{
    struct quarry_kv_slice form = call->words[2];

    if (resp_is(form, "string")) {
        resp_say_text(call->reply, "Hello World");
    } else if (resp_is(form, "integer")) {
        resp_say_integer(call->reply, 12345);
    } else if (resp_is(form, "double")) {
        resp_say_double(call->reply, 3.141);
    } else if (resp_is(form, "null")) {
        resp_say_null(call->reply);
    } else if (resp_is(form, "true") || resp_is(form, "false")) {
        resp_say_bool(call->reply, resp_is(form, "true"));
    } else if (resp_is(form, "verbatim")) {
        resp_say_verbatim(call->reply, "This is a verbatim\nstring", 25);
    } else {
        resp_say_error(call->reply,
                       "ERR Wrong protocol type name. Please use one of the following: "
                       "string|integer|double|null|true|false|verbatim");
    }
    return RESP_ANSWERED;
}

enum resp_outcome resp_debug(struct resp_call *call)
{
    struct quarry_kv_slice word = call->words[1];
    bool has_value = call->word_count == 3;

    if (!resp_admin_settings()->allows_debug) {
        resp_say_error(
            call->reply,
            "ERR DEBUG command not allowed. If the enable-debug-command option is set to "
            "\"local\", you can run it from a local connection, otherwise you need to "
            "set this option in the configuration file, and then restart the server.");
        return RESP_ANSWERED;
    }
    if (resp_is(word, "sleep") && has_value) {
        return sleep_for(call);
    }
    if (resp_is(word, "jmap")) {
        return say_property(call, "quarry.lsm");
    }
    if (resp_is(word, "set-active-expire") && has_value) {
        return say_ok(call);
    }
    if (resp_is(word, "protocol") && has_value) {
        return say_form(call);
    }
    if (resp_is(word, "help") && call->word_count == 2) {
        static const char *const lines[] = {
            "JMAP",
            "    The levels of the store.",
            "PROTOCOL <form>",
            "    An answer of a form.",
            "SET-ACTIVE-EXPIRE (0|1)",
            "    Accepted; nothing changes by it.",
            "SLEEP <seconds>",
            "    Answers so much later.",
            NULL,
        };
        resp_say_help(call, lines);
        return RESP_ANSWERED;
    }
    resp_say_wrong_form(call);
    return RESP_ANSWERED;
}
