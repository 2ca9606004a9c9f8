/*
 * MULTI, EXEC, DISCARD, WATCH, UNWATCH.
 *
 *     MULTI ── +QUEUED, +QUEUED, … ── EXEC ── lock the union of keys ── are the watched ones as
 *     they were? ── each command, its answer into memory ── commit ── the answers
 *
 * EXEC happens at one moment: one change of the keyspace has the keys of all commands and those
 * that are watched. On a worker it waits for nothing; where anything of it is busy, or one of its
 * commands is slow, none of it has happened, and the executor does all of it again.
 *
 * Which keys a command has is told by its row; SELECT among the queued ones moves those behind it.
 *
 * Invariants:
 *   1. Commands work on a copy of the session, which replaces it when the change was committed.
 *   2. Nothing is said to the client before the commit: an EXEC that fails says its error alone.
 *   3. Queue and watched keys are given up with the answer, whatever it is, and not before.
 *   4. What the store refuses one command (memory, the disk), it refuses EXEC: nothing is done, and
 *      that error is the answer. Errors of the commands' own words are theirs alone, as in Redis.
 *
 * Locking: the keyspace's. Memory: the queue, a list of slices for its keys, the answer.
 *
 * Source: redis-server 7.0 for what is refused, aborted and answered.
 */
#include <serve/resp/state.h>
#include <serve/resp/table.h>

#include <stdlib.h>
#include <string.h>

/* Sets of keys, one for each scope: what begin wants. */
struct union_of_keys {
    struct keyspace_keys *sets;
    struct quarry_kv_slice *keys;
    struct keyspace_scope *watched_scopes;
    size_t set_count, key_count;
    void *memory; /* of all three */
};

/* ---- sessions ------------------------------------------------------------------------------- */

static void unwatch(struct resp_session *session, struct keyspace *keyspace)
{
    if (session->watch != NULL) {
        keyspace_watch_clear(keyspace, session->watch);
        free(session->watch);
        session->watch = NULL;
    }
}

static void leave_multi(struct resp_session *session)
{
    resp_queue_destroy(session->queue);
    session->queue = NULL;
    session->is_in_multi = session->is_multi_broken = false;
}

void resp_session_forget(struct resp_session *session, struct keyspace *keyspace)
{
    leave_multi(session);
    unwatch(session, keyspace);
}

/* ---- the short ones ------------------------------------------------------------------------- */

enum resp_outcome resp_multi(struct resp_call *call)
{
    if (call->session->is_in_multi) {
        resp_say_error(call->reply, "ERR MULTI calls can not be nested");
        return RESP_ANSWERED;
    }
    call->session->is_in_multi = true;
    call->session->is_multi_broken = false;
    resp_say_ok(call->reply);
    return RESP_ANSWERED;
}

enum resp_outcome resp_discard(struct resp_call *call)
{
    if (!call->session->is_in_multi) {
        resp_say_error(call->reply, "ERR DISCARD without MULTI");
        return RESP_ANSWERED;
    }
    resp_session_forget(call->session, call->keyspace);
    resp_say_ok(call->reply);
    return RESP_ANSWERED;
}

enum resp_outcome resp_unwatch(struct resp_call *call)
{
    unwatch(call->session, call->keyspace);
    resp_say_ok(call->reply);
    return RESP_ANSWERED;
}

static enum quarry_status watch_all(struct resp_call *call)
{
    struct resp_session *session = call->session;
    enum quarry_status status = QUARRY_OK;

    if (session->watch == NULL) {
        session->watch = calloc(1, sizeof *session->watch);
    }
    if (session->watch == NULL) {
        return QUARRY_NO_MEMORY;
    }
    for (size_t i = 1; status == QUARRY_OK && i < call->word_count; i++) {
        status = keyspace_watch_add(call->keyspace, session->watch, &session->scope, call->words[i],
                                    !call->may_wait);
    }
    return status;
}

enum resp_outcome resp_watch(struct resp_call *call)
{
    if (call->session->is_in_multi) {
        resp_say_error(call->reply, "ERR WATCH inside MULTI is not allowed");
        return RESP_ANSWERED;
    }
    enum quarry_status status = watch_all(call);
    if (status == QUARRY_BUSY && !call->may_wait) {
        return RESP_BUSY; /* what is watched already is so once more then */
    }
    if (status == QUARRY_OK) {
        resp_say_ok(call->reply);
    } else {
        resp_say_status(call->reply, status, NULL);
    }
    return RESP_ANSWERED;
}

/* ---- the keys of all ------------------------------------------------------------------------ */

/* How many keys a request names. */
static size_t count_keys(const struct resp_request *request)
{
    const struct resp_command *command = request->command;
    int64_t count = (int64_t)request->word_count, last = command->last_key;

    if (command->first_key <= 0 || command->key_step <= 0) {
        return 0;
    }
    last = last < 0 ? count + last : last;
    last = last >= count ? count - 1 : last;
    return last < command->first_key
               ? 0
               : (size_t)((last - command->first_key) / command->key_step + 1);
}

static bool union_reserve(struct union_of_keys *all, const struct resp_session *session)
{
    size_t watched = session->watch != NULL ? session->watch->key_count : 0;
    size_t keys = watched, sets = watched;

    for (const struct resp_request *at = session->queue == NULL ? NULL : session->queue->first;
         at != NULL; at = at->next) {
        size_t count = count_keys(at);
        keys += count;
        sets += count > 0 ? 1 : 0;
    }
    size_t set_bytes = (sets + 1) * sizeof *all->sets, key_bytes = (keys + 1) * sizeof *all->keys;
    all->memory = malloc(set_bytes + key_bytes + (watched + 1) * sizeof *all->watched_scopes);
    if (all->memory == NULL) {
        return false;
    }
    all->sets = all->memory;
    all->keys = (struct quarry_kv_slice *)(void *)((char *)all->memory + set_bytes);
    all->watched_scopes =
        (struct keyspace_scope *)(void *)((char *)all->memory + set_bytes + key_bytes);
    return true;
}

static void union_add(struct union_of_keys *all, const struct resp_request *request,
                      struct keyspace_scope scope)
{
    size_t count = count_keys(request), first = (size_t)request->command->first_key;
    struct quarry_kv_slice *keys = &all->keys[all->key_count];

    if (count == 0) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        keys[i] = request->words[first + i * (size_t)request->command->key_step];
    }
    all->sets[all->set_count++] = (struct keyspace_keys){scope, keys, count};
    all->key_count += count;
}

/* The scope behind a request: SELECT changes it. */
static struct keyspace_scope scope_behind(const struct resp_request *request,
                                          struct keyspace_scope scope)
{
    int64_t database = 0;

    if (request->word_count == 2 && resp_is(request->words[0], "select") &&
        resp_read_integer(request->words[1], &database) && database >= 0 &&
        database < (int64_t)KEYSPACE_DATABASES_MAX) {
        scope.database = (uint8_t)database;
    }
    return scope;
}

/* Of all queued commands and all watched keys. False: no memory. */
static bool union_make(struct union_of_keys *all, const struct resp_session *session)
{
    struct keyspace_scope scope = session->scope;

    *all = (struct union_of_keys){.memory = NULL};
    if (!union_reserve(all, session)) {
        return false;
    }
    for (const struct resp_request *at = session->queue == NULL ? NULL : session->queue->first;
         at != NULL; at = at->next) {
        union_add(all, at, scope);
        scope = scope_behind(at, scope);
    }
    if (session->watch != NULL) {
        struct quarry_kv_slice *keys = &all->keys[all->key_count];
        size_t count = keyspace_watch_keys(session->watch, all->watched_scopes, keys,
                                           session->watch->key_count);
        for (size_t i = 0; i < count; i++) {
            all->sets[all->set_count++] =
                (struct keyspace_keys){all->watched_scopes[i], &keys[i], 1};
        }
        all->key_count += count;
    }
    return true;
}

/* ---- EXEC ----------------------------------------------------------------------------------- */

/* One of them, counted as if it had come alone. */
static enum resp_outcome execute_one(struct resp_call *call)
{
    struct serve_connection *connection = call->session->connection;
    uint64_t begin_ns = os_monotonic_ns(os_real());

    call->reply->has_error = false;
    enum resp_outcome outcome = call->command->function(call);
    if (outcome != RESP_BUSY && resp_the_door.is_open) {
        resp_note_done(call,
                       connection != NULL ? serve_worker_index(serve_connection_worker(connection))
                                          : resp_the_door.settings.worker_count,
                       os_monotonic_ns(os_real()) - begin_ns);
    }
    return outcome;
}

/*
 * Executes what was queued, with a session of its own, up to the first that is refused. RESP_BUSY:
 * one of them was.
 */
static enum resp_outcome execute_all(const struct resp_call *exec, struct resp_session *session,
                                     struct keyspace_change *change, struct resp_reply *reply)
{
    const struct resp_queue *queue = exec->session->queue;

    resp_say_array(reply, resp_queue_count(queue));
    for (const struct resp_request *at = queue == NULL ? NULL : queue->first; at != NULL;
         at = at->next) {
        struct resp_call call = {
            .common = exec->common,
            .session = session,
            .command = at->command,
            .words = at->words,
            .word_count = at->word_count,
            .reply = reply,
            .keyspace = exec->keyspace,
            .transaction = change,
            .now_ms = change->now_ms,
            .may_wait = exec->may_wait,
            .is_cancelled = exec->is_cancelled,
        };
        if (execute_one(&call) == RESP_BUSY) {
            return RESP_BUSY;
        }
        if (Q_UNLIKELY(reply->is_refused)) {
            return RESP_ANSWERED;
        }
    }
    reply->has_error = false; /* theirs are not EXEC's */
    return RESP_ANSWERED;
}

/* The copy that commands have worked on becomes the session. */
static void adopt(struct resp_session *session, const struct resp_session *worked_on)
{
    session->scope = worked_on->scope;
    memcpy(session->name, worked_on->name, sizeof session->name);
}

/* With the keys locked. The change is ended. */
static enum resp_outcome execute_in(struct resp_call *call, struct keyspace_change *change,
                                    struct resp_reply *reply)
{
    struct resp_session worked_on = *call->session;
    struct quarry_error error = {0};

    worked_on.is_in_multi = worked_on.is_multi_broken = false;
    worked_on.queue = NULL;
    worked_on.watch = NULL;
    if (call->session->watch != NULL &&
        !keyspace_watch_is_clean(call->keyspace, call->session->watch)) {
        keyspace_abort(change);
        resp_say_null_array(reply);
        return RESP_ANSWERED;
    }
    enum resp_outcome outcome = execute_all(call, &worked_on, change, reply);
    if (outcome == RESP_BUSY || reply->has_failed || reply->is_refused) {
        keyspace_abort(change);
        resp_reply_keep_refusal(reply); /* invariant 4 */
        return outcome;
    }
    bool has_written = keyspace_change_writes(change);
    enum quarry_status status = keyspace_commit(change, &error);
    if (status == QUARRY_BUSY) {
        keyspace_abort(change);
    }
    if (status == QUARRY_BUSY && !call->may_wait) {
        return RESP_BUSY;
    }
    if (status != QUARRY_OK) {
        resp_reply_rewind(reply, 0); /* invariant 2 */
        resp_say_status(reply, status, &error);
        return RESP_ANSWERED;
    }
    adopt(call->session, &worked_on); /* invariant 1 */
    if (has_written) {
        resp_note_written(call->session);
    }
    return RESP_ANSWERED;
}

static enum resp_outcome execute(struct resp_call *call, struct resp_reply *reply)
{
    const struct resp_queue *queue = call->session->queue;
    uint32_t flags = KEYSPACE_COPIES | (call->may_wait ? 0 : KEYSPACE_NEVER_WAITS) |
                     (queue != NULL && queue->wants_all ? KEYSPACE_ALL_KEYS : 0);
    struct union_of_keys all;
    struct keyspace_change change;

    if (!union_make(&all, call->session)) {
        resp_say_status(reply, QUARRY_NO_MEMORY, NULL);
        return RESP_ANSWERED;
    }
    enum quarry_status status =
        keyspace_begin(call->keyspace, all.sets, all.set_count, flags, &change);
    free(all.memory);
    if (status == QUARRY_BUSY && !call->may_wait) {
        return RESP_BUSY;
    }
    if (status != QUARRY_OK) {
        resp_say_status(reply, status, NULL);
        return RESP_ANSWERED;
    }
    return execute_in(call, &change, reply);
}

enum resp_outcome resp_exec(struct resp_call *call)
{
    struct resp_session *session = call->session;
    struct resp_reply reply;

    if (!session->is_in_multi) {
        resp_say_error(call->reply, "ERR EXEC without MULTI");
        return RESP_ANSWERED;
    }
    if (session->is_multi_broken) {
        resp_session_forget(session, call->keyspace);
        resp_say_error(call->reply, "EXECABORT Transaction discarded because of previous errors.");
        return RESP_ANSWERED;
    }
    if (session->queue != NULL && session->queue->has_slow && !call->may_wait) {
        return RESP_BUSY;
    }
    resp_reply_init_memory(&reply, resp_pages(), resp_reply_bytes_max(), session->protocol);
    enum resp_outcome outcome = execute(call, &reply);
    if (outcome != RESP_BUSY) {
        resp_session_forget(session, call->keyspace); /* invariant 3 */
        resp_say_reply(call->reply, &reply);
    }
    resp_reply_fini(&reply);
    return outcome;
}
