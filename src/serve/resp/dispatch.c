/*
 * Dispatch: from words to a command, or to what is wrong with them.
 *
 *     known? ── words? ── logged in? ── may he? ── not too often? ── in MULTI? ── execute
 *                                                                     │            │
 *                                                                  queue it        ├─ here
 *                                                                                  └─ executor
 *
 * The order of the questions is Redis', for clients see by the answer which one failed. What is
 * refused between MULTI and EXEC makes EXEC refuse as well.
 *
 * Invariants:
 *   1. A command is called with as many words as its row wants.
 *   2. A command that returned RESP_BUSY here has said nothing: its reply is not looked at.
 *
 * Locking: none. Cost of a command that is known and allowed: its lookup, and some 60 instructions.
 *
 * Source: redis-server 7.0: its texts, and the order in which it asks.
 */
#include <serve/resp/admin.h>
#include <serve/resp/state.h>
#include <serve/resp/table.h>

#include <stdio.h>
#include <string.h>

/* What an unknown command's arguments are told in. */
#define TOLD_BYTES_MAX 128u

/* ---- replies -------------------------------------------------------------------------------- */

void resp_reply_here(struct resp_turn *turn, struct resp_reply *ret_reply)
{
    if (Q_UNLIKELY(turn->state->session.reply_mode != RESP_REPLIES)) {
        resp_reply_init_memory(ret_reply, &resp_the_door.pages, resp_reply_bytes_max(),
                               turn->state->session.protocol);
        ret_reply->is_silent = true;
        return;
    }
    resp_reply_init(ret_reply, turn->connection, &turn->worker->lent,
                    turn->state->session.protocol);
}

/* Of a session that wants no answers, unless it has just said that it does (CLIENT REPLY ON). */
Q_COLD static enum resp_next drop_silent(struct resp_turn *turn, struct resp_reply *silent)
{
    struct resp_session *session = &turn->state->session;
    struct resp_reply reply;
    bool is_wanted = session->reply_mode == RESP_REPLIES;

    if (session->reply_mode == RESP_REPLIES_SKIP) {
        session->reply_mode = RESP_REPLIES; /* for the next one */
    }
    if (!is_wanted) {
        resp_reply_fini(silent);
        return RESP_ON;
    }
    resp_reply_here(turn, &reply);
    resp_say_reply(&reply, silent);
    resp_reply_fini(silent);
    return resp_reply_done(turn, &reply);
}

enum resp_next resp_reply_done(struct resp_turn *turn, struct resp_reply *reply)
{
    if (Q_UNLIKELY(reply->is_silent)) {
        return drop_silent(turn, reply);
    }
    if (Q_UNLIKELY(reply->rest.base != NULL)) {
        Q_ASSERT(turn->state->sending.base == NULL);
        turn->state->sending = reply->rest;
        turn->state->sent_bytes = 0;
    }
    return Q_UNLIKELY(reply->has_failed) ? RESP_ENDS : RESP_ON;
}

void resp_note_written(struct resp_session *session)
{
    if (resp_the_door.is_open && resp_the_door.settings.syncs) {
        session->has_written = true;
        if (session->connection != NULL) {
            serve_connection_withhold(session->connection);
        }
    }
}

void resp_note_done(const struct resp_call *call, uint32_t row, uint64_t duration_ns)
{
    resp_admin_note(call, row, duration_ns, call->reply->has_error);
}

/* ---- what is refused ------------------------------------------------------------------------ */

/* What is refused while it would be queued makes EXEC abort. */
static void note_refused(struct resp_session *session)
{
    session->is_multi_broken |= session->is_in_multi;
}

/* The arguments of an unknown command, as far as there is room. */
static void tell_words(const struct quarry_kv_slice *words, size_t word_count, char *ret_text,
                       size_t room)
{
    size_t used = 0;

    ret_text[0] = '\0';
    for (size_t i = 1; i < word_count && used < TOLD_BYTES_MAX; i++) {
        size_t shown = size_min(words[i].byte_count, TOLD_BYTES_MAX - used);
        const char *end = memchr(words[i].bytes, '\0', shown);
        int length = (int)(end != NULL ? (size_t)(end - (const char *)words[i].bytes) : shown);
        int written =
            snprintf(ret_text + used, room - used, "'%.*s' ", length, (const char *)words[i].bytes);
        used += written < 0 ? 0 : (size_t)written;
    }
}

/* A browser was made to send a request here: it gets no answer to use. */
static bool is_foreign(struct quarry_kv_slice name)
{
    return resp_is(name, "post") || resp_is(name, "host:");
}

Q_COLD static enum resp_next refuse_unknown(struct resp_turn *turn,
                                            const struct quarry_kv_slice *words, size_t word_count)
{
    char told[2 * TOLD_BYTES_MAX];
    struct resp_reply reply;
    int length = (int)size_min(words[0].byte_count, TOLD_BYTES_MAX);
    const char *name = words[0].bytes;

    if (is_foreign(words[0])) {
        return RESP_ENDS;
    }
    note_refused(&turn->state->session);
    resp_reply_here(turn, &reply);
    const char *group = resp_unsupported(words[0]);

    if (word_count > 1 && resp_command_find(words[0], NULL) != NULL &&
        (group == NULL || strcmp(group, "scripting") != 0)) {
        char container[TOLD_BYTES_MAX + 1];
        for (int i = 0; i < length; i++) {
            container[i] = (char)(resp_lower(name[i]) & ~(resp_lower(name[i]) >= 'a' ? 0x20 : 0));
        }
        resp_say_error(&reply, "ERR unknown subcommand '%.*s'. Try %.*s HELP.",
                       (int)size_min(words[1].byte_count, TOLD_BYTES_MAX),
                       (const char *)words[1].bytes, length, container);
        return resp_reply_done(turn, &reply);
    }
    tell_words(words, word_count, told, sizeof told);
    resp_say_error(&reply, "ERR unknown command '%.*s', with args beginning with: %s%s%s%s", length,
                   name, told, group != NULL ? "(no " : "", group != NULL ? group : "",
                   group != NULL ? " here: see docs/resp.md)" : "");
    return resp_reply_done(turn, &reply);
}

/* What is in EXEC's way ends its transaction; the error's code is another then. */
Q_COLD static enum resp_next refuse_exec(struct resp_turn *turn, const char *begin,
                                         const char *middle, const char *end)
{
    struct resp_reply reply;
    const char *blank = strchr(begin, ' ');

    resp_session_forget(&turn->state->session, resp_the_door.settings.keyspace);
    resp_reply_here(turn, &reply);
    resp_say_error(&reply, "EXECABORT Transaction discarded because of: %s%s%s",
                   blank == NULL ? begin : blank + 1, middle, end);
    return resp_reply_done(turn, &reply);
}

/* An error of three parts, the middle one often a name. */
Q_COLD static enum resp_next refuse(struct resp_turn *turn, const char *begin, const char *middle,
                                    const char *end)
{
    struct resp_reply reply;

    note_refused(&turn->state->session);
    resp_reply_here(turn, &reply);
    resp_say_error(&reply, "%s%s%s", begin, middle, end);
    return resp_reply_done(turn, &reply);
}

static bool has_right_arity(const struct resp_command *command, size_t word_count)
{
    return command->arity >= 0 ? word_count == (size_t)command->arity
                               : word_count >= (size_t) - (int64_t)command->arity;
}

/* A command that is known is not executed. */
static void note_rejected(const struct resp_turn *turn, const struct resp_command *command)
{
    resp_admin_note_rejected(command, serve_worker_index(turn->worker->worker));
}

static uint32_t rights_for(uint32_t flags)
{
    return (flags & RESP_ADMINISTERS) != 0 ? SERVE_ADMIN
           : (flags & RESP_FLUSHES) != 0   ? SERVE_FLUSH
           : (flags & RESP_WRITES) != 0    ? SERVE_WRITE
           : (flags & RESP_READS) != 0     ? SERVE_READ
                                           : 0;
}

/* ---- MULTI ---------------------------------------------------------------------------------- */

static enum resp_next queue_it(struct resp_turn *turn, const struct resp_command *command,
                               const struct quarry_kv_slice *words, size_t word_count)
{
    struct resp_session *session = &turn->state->session;
    struct resp_reply reply;

    if ((command->flags & RESP_ON_WORKER) != 0) {
        return refuse(turn, "ERR Command not allowed inside a transaction", "", "");
    }
    if (session->queue == NULL) {
        session->queue = resp_queue_create(&resp_the_door.pages);
    }
    if (session->queue == NULL ||
        resp_queue_add(session->queue, command, words, word_count,
                       resp_the_door.settings.queue_bytes_max) != QUARRY_OK) {
        return refuse(turn, "OOM command not allowed: this transaction is too large", "", "");
    }
    resp_reply_here(turn, &reply);
    resp_say_simple(&reply, "QUEUED");
    return resp_reply_done(turn, &reply);
}

/* ---- executing ------------------------------------------------------------------------------ */

static enum resp_next to_executor(struct resp_turn *turn, const struct resp_command *command,
                                  const struct quarry_kv_slice *words, size_t word_count)
{
    if (resp_executor_take(turn, command, words, word_count)) {
        return RESP_WAITS;
    }
    return refuse(turn, "OOM command not allowed when used memory > 'maxmemory'.", "", "");
}

/* Behind a command: the time until here is its. */
static void note_executed(struct resp_turn *turn, const struct resp_call *call)
{
    uint64_t now_ns = os_monotonic_ns(os_real());

    resp_note_done(call, serve_worker_index(turn->worker->worker), now_ns - turn->worker->mark_ns);
    turn->worker->mark_ns = now_ns;
}

static enum resp_next execute(struct resp_turn *turn, const struct resp_command *command,
                              const struct quarry_kv_slice *words, size_t word_count)
{
    struct resp_session *session = &turn->state->session;
    struct resp_reply reply;
    struct resp_call call = {
        .common = &resp_the_door.common,
        .session = session,
        .command = command,
        .words = words,
        .word_count = word_count,
        .reply = &reply,
        .keyspace = resp_the_door.settings.keyspace,
        .now_ms = turn->worker->now_ms,
    };

    resp_reply_here(turn, &reply);
    enum resp_outcome outcome = command->function(&call);
    if (Q_UNLIKELY(outcome == RESP_BUSY)) { /* invariant 2 */
        if (reply.is_silent) {
            resp_reply_fini(&reply);
        }
        return to_executor(turn, command, words, word_count);
    }
    note_executed(turn, &call);
    enum resp_next next = resp_reply_done(turn, &reply);
    if (Q_UNLIKELY(outcome == RESP_CLOSES)) {
        return RESP_ENDS;
    }
    return Q_UNLIKELY(turn->state->is_logging_in) ? RESP_WAITS : next;
}

static bool is_admitted(const struct resp_turn *turn)
{
    const struct resp_door_hooks *hooks = &resp_the_door.settings.hooks;

    return hooks->admit == NULL ||
           hooks->admit(hooks->argument, serve_connection_identity(turn->connection), 1);
}

/* What is in the way of a command that is known. */
struct obstacle {
    const char *begin, *middle, *end;
};

Q_COLD static struct obstacle find_obstacle(const struct resp_turn *turn,
                                            const struct resp_command *command, size_t word_count)
{
    const struct resp_session *session = &turn->state->session;
    uint32_t wanted = rights_for(command->flags);

    if (Q_UNLIKELY(!has_right_arity(command, word_count))) {
        return (struct obstacle){"ERR wrong number of arguments for '", command->name, "' command"};
    }
    if (Q_UNLIKELY(!session->is_logged_in && (command->flags & RESP_NO_AUTH) == 0)) {
        return (struct obstacle){"NOAUTH Authentication required.", "", ""};
    }
    if (Q_UNLIKELY(session->is_in_multi && (command->flags & RESP_NO_MULTI) != 0)) {
        return (struct obstacle){"ERR Command not allowed inside a transaction", "", ""};
    }
    if (Q_UNLIKELY((serve_connection_identity(turn->connection)->rights & wanted) != wanted)) {
        resp_admin_note_denied(session, "command", command->name);
        return (struct obstacle){"NOPERM this user has no permissions to run the '", command->name,
                                 "' command"};
    }
    return (struct obstacle){"ERR this tenant's requests_per_second are used up", "", ""};
}

/* Whether nothing is in the way; find_obstacle asks the same again, to say what is. */
static inline bool is_free(const struct resp_turn *turn, const struct resp_command *command,
                           size_t word_count)
{
    const struct resp_session *session = &turn->state->session;
    uint32_t wanted = rights_for(command->flags);

    return has_right_arity(command, word_count) &&
           (session->is_logged_in || (command->flags & RESP_NO_AUTH) != 0) &&
           (!session->is_in_multi || (command->flags & RESP_NO_MULTI) == 0) &&
           (serve_connection_identity(turn->connection)->rights & wanted) == wanted &&
           is_admitted(turn);
}

Q_COLD static enum resp_next refuse_known(struct resp_turn *turn,
                                          const struct resp_command *command, size_t word_count)
{
    const struct obstacle found = find_obstacle(turn, command, word_count);

    note_rejected(turn, command);
    return command->function == resp_exec ? refuse_exec(turn, found.begin, found.middle, found.end)
                                          : refuse(turn, found.begin, found.middle, found.end);
}

enum resp_next resp_dispatch(struct resp_turn *turn, const struct quarry_kv_slice *words,
                             size_t word_count)
{
    struct resp_session *session = &turn->state->session;
    const struct resp_command *command =
        resp_command_find(words[0], word_count > 1 ? &words[1] : NULL);

    if (Q_UNLIKELY(command == NULL)) {
        return refuse_unknown(turn, words, word_count);
    }
    if (Q_UNLIKELY(!is_free(turn, command, word_count))) {
        return refuse_known(turn, command, word_count);
    }
    session->command_count++;
    session->last_command = command;
    if (Q_UNLIKELY(session->is_in_multi && (command->flags & RESP_IMMEDIATE) == 0)) {
        return queue_it(turn, command, words, word_count);
    }
    if (Q_UNLIKELY((command->flags & RESP_SLOW) != 0 ||
                   resp_pause_holds(command, turn->worker->now_ms))) {
        return to_executor(turn, command, words, word_count);
    }
    return execute(turn, command, words, word_count);
}
