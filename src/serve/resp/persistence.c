/*
 * SAVE and its like, WAIT, SHUTDOWN.
 *
 * What Redis writes to a file of its own, the store always has in files and in its log. So SAVE,
 * BGSAVE and BGREWRITEAOF flush: what is in memory is written to files, synced, and the log before
 * it ends. The three differ in what they answer alone, and answer when it is done: BGSAVE holds up
 * the connection that gave it, and nobody else. Copies to take away are `quarry kv checkpoint` and
 * `quarry kv backup`.
 *
 *   WAITAOF 1 0 0    what this connection has written survives a power cut: the log is synced, or,
 *                    where there is none (durability none), memory is flushed
 */
#include <inttypes.h>
#include <string.h>

#include <serve/resp/server_commands.h>

/* ---- saving --------------------------------------------------------------------------------- */

static enum resp_outcome save(struct resp_call *call, const char *answer)
{
    struct quarry_error error = {0};

    if (!call->may_wait) {
        return RESP_BUSY;
    }
    enum quarry_status status = quarry_kv_flush(keyspace_kv(call->keyspace), &error);

    resp_note_saved(call->keyspace, status == QUARRY_OK);
    if (status == QUARRY_OK) {
        resp_say_simple(call->reply, answer);
    } else {
        resp_say_status(call->reply, status, &error);
    }
    return RESP_ANSWERED;
}

enum resp_outcome resp_save(struct resp_call *call)
{
    return save(call, "OK");
}

enum resp_outcome resp_bgsave(struct resp_call *call)
{
    if (call->word_count > 2 || (call->word_count == 2 && !resp_is(call->words[1], "schedule"))) {
        resp_say_syntax_error(call->reply);
        return RESP_ANSWERED;
    }
    return save(call, "Background saving started");
}

enum resp_outcome resp_bgrewriteaof(struct resp_call *call)
{
    return save(call, "Background append only file rewriting started");
}

enum resp_outcome resp_lastsave(struct resp_call *call)
{
    resp_say_integer(call->reply, (int64_t)resp_saved_seconds());
    return RESP_ANSWERED;
}

/* ---- waiting for copies --------------------------------------------------------------------- */

/* False: an error was said. */
static bool read_timeout(struct resp_call *call, struct quarry_kv_slice word)
{
    int64_t timeout_ms;

    if (!resp_read_integer(word, &timeout_ms)) {
        resp_say_error(call->reply, "ERR timeout is not an integer or out of range");
        return false;
    }
    if (timeout_ms < 0) {
        resp_say_error(call->reply, "ERR timeout is negative");
        return false;
    }
    return true;
}

enum resp_outcome resp_wait(struct resp_call *call)
{
    int64_t replicas;

    if (!resp_read_integer(call->words[1], &replicas)) {
        resp_say_not_an_integer(call->reply);
    } else if (read_timeout(call, call->words[2])) {
        resp_say_integer(call->reply, 0);
    }
    return RESP_ANSWERED;
}

/* False: an error was said. */
static bool read_waitaof(struct resp_call *call, int64_t *ret_local)
{
    int64_t replicas;

    if (!resp_read_integer(call->words[1], ret_local) ||
        !resp_read_integer(call->words[2], &replicas)) {
        resp_say_not_an_integer(call->reply);
        return false;
    }
    if (*ret_local < 0 || *ret_local > 1) {
        resp_say_error(call->reply, "ERR value is out of range, must be between 0 and 1");
        return false;
    }
    if (replicas < 0) {
        resp_say_error(call->reply, "ERR value is out of range, must be positive");
        return false;
    }
    return read_timeout(call, call->words[3]);
}

enum resp_outcome resp_waitaof(struct resp_call *call)
{
    struct quarry_kv *kv = keyspace_kv(call->keyspace);
    struct quarry_error error = {0};
    struct resp_settings settings;
    int64_t local;

    if (!call->may_wait) {
        return RESP_BUSY;
    }
    if (!read_waitaof(call, &local)) {
        return RESP_ANSWERED;
    }
    resp_admin_read_settings(&settings);
    enum quarry_status status = settings.durability == RESP_DURABLE_NONE
                                    ? quarry_kv_flush(kv, &error)
                                    : quarry_kv_sync(kv, &error);
    if (status != QUARRY_OK) {
        resp_say_status(call->reply, status, &error);
        return RESP_ANSWERED;
    }
    resp_say_array(call->reply, 2);
    resp_say_integer(call->reply, 1);
    resp_say_integer(call->reply, 0);
    return RESP_ANSWERED;
}

/* ---- the end -------------------------------------------------------------------------------- */

struct ending {
    bool saves, saves_not, is_at_once;
};

/* False: an error was said. */
static bool read_ending(struct resp_call *call, struct ending *ret_ending)
{
    *ret_ending = (struct ending){0};
    for (size_t i = 1; i < call->word_count; i++) {
        struct quarry_kv_slice word = call->words[i];
        if (resp_is(word, "save")) {
            ret_ending->saves = true;
        } else if (resp_is(word, "nosave")) {
            ret_ending->saves_not = true;
        } else if (resp_is(word, "now")) {
            ret_ending->is_at_once = true;
        } else if (resp_is(word, "abort") && call->word_count == 2) {
            resp_say_error(call->reply, "ERR No shutdown in progress.");
            return false;
        } else if (!resp_is(word, "force")) {
            resp_say_syntax_error(call->reply);
            return false;
        }
    }
    if (ret_ending->saves && ret_ending->saves_not) {
        resp_say_syntax_error(call->reply);
        return false;
    }
    return true;
}

/* The store closes as its durability says, whatever the words; nothing acknowledged is lost. */
enum resp_outcome resp_shutdown(struct resp_call *call)
{
    const struct resp_hooks *hooks = &resp_admin_settings()->hooks;
    struct ending ending;

    if (!read_ending(call, &ending)) {
        return RESP_ANSWERED;
    }
    if (hooks->shutdown == NULL) {
        resp_say_error(call->reply, "ERR Errors trying to SHUTDOWN. Check logs.");
        return RESP_ANSWERED;
    }
    hooks->shutdown(hooks->argument, !ending.is_at_once);
    return RESP_CLOSES;
}
