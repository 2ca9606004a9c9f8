/*
 * CLIENT LIST, INFO and KILL.
 *
 * Connections are their workers': the server has each worker write its own down, and the executor's
 * thread waits for all of them. So a list is not of one moment, and a connection that it has may be
 * gone. Fields are Redis' own, in its order; what does not exist here is 0.
 *
 * KILL goes through a list too, and ends each that passes all filters by its worker.
 *
 * Cost: 600 bytes of malloc a connection for the time of the call.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <serve/resp/server_commands.h>
#include <serve/resp/state.h>

/* ---- a connection's line -------------------------------------------------------------------- */

/* As Redis writes it: a unix socket's path has a port of 0. */
static void write_address(char room[RESP_ADDRESS_BYTES], const char *address)
{
    bool is_unix = strncmp(address, "unix:", 5) == 0;

    (void)snprintf(room, RESP_ADDRESS_BYTES, "%s%s", is_unix ? address + 5 : address,
                   is_unix ? ":0" : "");
}

void resp_client_read(const struct resp_session *session, struct serve_connection *connection,
                      struct resp_client *ret_client)
{
    uint64_t now_ms = keyspace_now_ms(resp_admin_settings()->keyspace);

    *ret_client = (struct resp_client){
        .id = session->id,
        .age_seconds = sat_sub_u64(now_ms, session->created_ms) / 1000,
        .queued = session->is_in_multi ? (int32_t)resp_queue_count(session->queue) : -1,
        .protocol = session->protocol,
        .database = session->scope.database,
    };
    if (session->last_command != NULL) {
        (void)snprintf(ret_client->command, sizeof ret_client->command, "%s",
                       session->last_command->name);
    }
    (void)snprintf(ret_client->name, sizeof ret_client->name, "%s", session->name);
    (void)snprintf(ret_client->user, sizeof ret_client->user, "%s", session->user);
    if (connection != NULL) {
        ret_client->connection_id = serve_connection_id(connection);
        ret_client->waiting_bytes = serve_out_waiting(connection);
        ret_client->is_waiting = resp_state_of(connection)->job != NULL;
        ret_client->is_encrypted = serve_connection_is_encrypted(connection);
        write_address(ret_client->peer, serve_connection_peer(connection));
        write_address(ret_client->local, serve_connection_local(connection));
    }
}

static const char *flags_of(const struct resp_client *client, char room[8])
{
    size_t count = 0;

    if (client->is_waiting) {
        room[count++] = 'b';
    }
    if (client->queued >= 0) {
        room[count++] = 'x';
    }
    if (client->peer[0] == '/') {
        room[count++] = 'U';
    }
    if (count == 0) {
        room[count++] = 'N';
    }
    room[count] = '\0';
    return room;
}

static void add_line(struct resp_text *text, const struct resp_client *client)
{
    char flags[8];

    resp_text_add(text,
                  "id=%" PRIu64 " addr=%s laddr=%s fd=-1 name=%s age=%" PRIu64 " idle=%" PRIu64
                  " flags=%s db=%u sub=0 psub=0 ssub=0 multi=%d qbuf=0 qbuf-free=0 argv-mem=0 "
                  "multi-mem=0 rbs=0 rbp=0 obl=0 oll=0 omem=%" PRIu64 " tot-mem=%" PRIu64
                  " events=r cmd=%s user=%s redir=-1 resp=%u\n",
                  client->id, client->peer, client->local, client->name, client->age_seconds,
                  client->idle_seconds, flags_of(client, flags), client->database, client->queued,
                  client->waiting_bytes, client->waiting_bytes,
                  client->command[0] == '\0' ? "NULL" : client->command,
                  client->user[0] == '\0' ? "default" : client->user, client->protocol);
}

enum resp_outcome resp_client_info(struct resp_call *call)
{
    struct resp_text text = {0};
    struct resp_client client;

    resp_client_read(call->session, call->session->connection, &client);
    add_line(&text, &client);
    resp_text_say(&text, call->reply);
    return RESP_ANSWERED;
}

/* ---- all of them ---------------------------------------------------------------------------- */

struct clients {
    struct resp_client *all; /* own */
    size_t count;
};

static int by_id(const void *a, const void *b)
{
    const struct resp_client *left = a, *right = b;

    return (left->id > right->id) - (left->id < right->id);
}

/* False: an error was said. */
static bool gather(struct resp_call *call, struct clients *ret_clients)
{
    const struct resp_hooks *hooks = &resp_admin_settings()->hooks;
    enum quarry_status status = QUARRY_OK;

    *ret_clients = (struct clients){0};
    if (hooks->list_clients != NULL) {
        status = hooks->list_clients(hooks->argument, &ret_clients->all, &ret_clients->count);
    }
    if (status != QUARRY_OK) {
        resp_say_status(call->reply, status, NULL);
        return false;
    }
    if (ret_clients->count > 1) {
        qsort(ret_clients->all, ret_clients->count, sizeof *ret_clients->all, by_id);
    }
    return true;
}

/* Every connection is a normal one. False: there is no such type. */
static bool read_type(struct quarry_kv_slice word, bool *ret_is_normal)
{
    *ret_is_normal = resp_is(word, "normal");
    return *ret_is_normal || resp_is(word, "master") || resp_is(word, "slave") ||
           resp_is(word, "replica") || resp_is(word, "pubsub");
}

static void say_unknown_type(struct resp_call *call, struct quarry_kv_slice word)
{
    resp_say_error(call->reply, "ERR Unknown client type '%.*s'",
                   (int)size_min(word.byte_count, 128), (const char *)word.bytes);
}

static bool has_id(const struct resp_call *call, uint64_t id)
{
    for (size_t i = 3; i < call->word_count; i++) {
        int64_t number;
        if (resp_read_integer(call->words[i], &number) && number > 0 && (uint64_t)number == id) {
            return true;
        }
    }
    return false;
}

/* What LIST was asked for. */
enum list { LIST_ALL, LIST_NONE, LIST_IDS, LIST_WRONG };

static enum list read_list(struct resp_call *call)
{
    bool is_normal;

    if (call->word_count == 2) {
        return LIST_ALL;
    }
    if (call->word_count == 4 && resp_is(call->words[2], "type")) {
        if (read_type(call->words[3], &is_normal)) {
            return is_normal ? LIST_ALL : LIST_NONE;
        }
        say_unknown_type(call, call->words[3]);
        return LIST_WRONG;
    }
    if (call->word_count < 4 || !resp_is(call->words[2], "id")) {
        resp_say_syntax_error(call->reply);
        return LIST_WRONG;
    }
    for (size_t i = 3; i < call->word_count; i++) {
        int64_t id;
        if (!resp_read_integer(call->words[i], &id)) {
            resp_say_error(call->reply, "ERR Invalid client ID");
            return LIST_WRONG;
        }
    }
    return LIST_IDS;
}

enum resp_outcome resp_client_list(struct resp_call *call)
{
    struct resp_text text = {0};
    struct clients clients;

    if (!call->may_wait) {
        return RESP_BUSY;
    }
    enum list wanted = read_list(call);
    if (wanted == LIST_WRONG || !gather(call, &clients)) {
        return RESP_ANSWERED;
    }
    for (size_t i = 0; i < clients.count; i++) {
        /* Who asks waits for this list, and for nothing else. */
        clients.all[i].is_waiting &= clients.all[i].id != call->session->id;
        if (wanted == LIST_ALL || (wanted == LIST_IDS && has_id(call, clients.all[i].id))) {
            add_line(&text, &clients.all[i]);
        }
    }
    free(clients.all);
    resp_text_say(&text, call->reply);
    return RESP_ANSWERED;
}

/* ---- KILL ----------------------------------------------------------------------------------- */

/* All that is set must hold. */
struct filter {
    uint64_t id;                              /* 0: any */
    struct quarry_kv_slice peer, local, user; /* bytes NULL: any */
    bool is_none;                             /* a type that nobody is of */
    bool spares_own;
};

static bool is_text(struct quarry_kv_slice word, const char *text)
{
    return word.bytes == NULL ||
           (strlen(text) == word.byte_count && memcmp(text, word.bytes, word.byte_count) == 0);
}

static bool is_meant(const struct resp_call *call, const struct filter *filter,
                     const struct resp_client *client)
{
    return !filter->is_none && (filter->id == 0 || filter->id == client->id) &&
           is_text(filter->peer, client->peer) && is_text(filter->local, client->local) &&
           is_text(filter->user, client->user[0] == '\0' ? "default" : client->user) &&
           !(filter->spares_own && client->id == call->session->id);
}

/* Whether there is such a user; without users there is the one for all. */
static bool is_user(struct quarry_kv_slice name)
{
    const struct resp_hooks *hooks = &resp_admin_settings()->hooks;
    struct resp_user *users = NULL;
    size_t count = 0;
    bool is_found = resp_is(name, "default");

    if (!is_found && hooks->list_users != NULL &&
        hooks->list_users(hooks->argument, &users, &count) == QUARRY_OK) {
        for (size_t i = 0; i < count && !is_found; i++) {
            is_found = is_text(name, users[i].name);
        }
    }
    free(users);
    return is_found;
}

/* One option with its value. False: an error was said. */
static bool read_option(struct resp_call *call, struct quarry_kv_slice option,
                        struct quarry_kv_slice value, struct filter *filter)
{
    int64_t id;
    bool is_normal;

    if (resp_is(option, "id")) {
        if (!resp_read_integer(value, &id) || id <= 0) {
            resp_say_error(call->reply, "ERR client-id should be greater than 0");
            return false;
        }
        filter->id = (uint64_t)id;
    } else if (resp_is(option, "type")) {
        if (!read_type(value, &is_normal)) {
            say_unknown_type(call, value);
            return false;
        }
        filter->is_none = !is_normal;
    } else if (resp_is(option, "addr")) {
        filter->peer = value;
    } else if (resp_is(option, "laddr")) {
        filter->local = value;
    } else if (resp_is(option, "user")) {
        if (!is_user(value)) {
            resp_say_error(call->reply, "ERR No such user '%.*s'",
                           (int)size_min(value.byte_count, 128), (const char *)value.bytes);
            return false;
        }
        filter->user = value;
    } else if (resp_is(option, "skipme") && (resp_is(value, "yes") || resp_is(value, "no"))) {
        filter->spares_own = resp_is(value, "yes");
    } else {
        resp_say_syntax_error(call->reply);
        return false;
    }
    return true;
}

/* False: an error was said. */
static bool read_filter(struct resp_call *call, struct filter *ret_filter)
{
    *ret_filter = (struct filter){.spares_own = call->word_count > 3};
    if (call->word_count == 3) {
        ret_filter->peer = call->words[2];
        return true;
    }
    if (call->word_count % 2 != 0) {
        resp_say_syntax_error(call->reply);
        return false;
    }
    for (size_t i = 2; i < call->word_count; i += 2) {
        if (!read_option(call, call->words[i], call->words[i + 1], ret_filter)) {
            return false;
        }
    }
    return true;
}

/* Ends those that are meant. Returns: how many there were, this connection included. */
static int64_t kill_meant(struct resp_call *call, const struct filter *filter,
                          const struct clients *clients)
{
    const struct resp_hooks *hooks = &resp_admin_settings()->hooks;
    int64_t count = 0;

    for (size_t i = 0; i < clients->count; i++) {
        const struct resp_client *client = &clients->all[i];
        if (!is_meant(call, filter, client)) {
            continue;
        }
        if (client->id == call->session->id) {
            call->session->wants_to_close = true; /* after the answer */
            count++;
        } else if (hooks->kill_client != NULL &&
                   hooks->kill_client(hooks->argument, client->connection_id)) {
            count++;
        }
    }
    return count;
}

enum resp_outcome resp_client_kill(struct resp_call *call)
{
    struct filter filter;
    struct clients clients;

    if (!call->may_wait) {
        return RESP_BUSY;
    }
    if (!read_filter(call, &filter) || !gather(call, &clients)) {
        return RESP_ANSWERED;
    }
    int64_t count = kill_meant(call, &filter, &clients);
    free(clients.all);
    if (call->word_count > 3) {
        resp_say_integer(call->reply, count);
    } else if (count > 0) {
        resp_say_ok(call->reply);
    } else {
        resp_say_error(call->reply, "ERR No such client");
    }
    return call->session->wants_to_close ? RESP_CLOSES : RESP_ANSWERED;
}
