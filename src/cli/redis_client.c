/*
 * RESP2 as a client speaks it.
 *
 *     *2 CRLF $3 CRLF GET CRLF $1 CRLF a CRLF      a command: an array of byte strings
 *     $5 CRLF hello CRLF                           a reply; also +OK, -ERR …, :42, *N, $-1
 *
 *   out   [ commands that are not sent yet ]       sent when it is full; see connection.c for in
 *
 * Replies are trees in malloc's memory, of bounded depth and sizes: a server is somebody else.
 * Nothing is answered to for longer than the timeout, but compactions take their time: it is an
 * hour.
 *
 * Locking: none; of one thread. Cost: a system call for 16 KiB of commands, and of replies.
 */
#include <cli/redis_client.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cli/cli.h>
#include <cli/connect.h>

#define TIMEOUT_S      3600u
#define BULK_BYTES_MAX (INT64_C(1) << 30)
#define ITEMS_MAX      (INT64_C(1) << 24)
#define DEPTH_MAX      8u
#define HEADER_BYTES   32u

static int no_memory(const struct redis_client *client)
{
    return cli_failure(client->connection.command, "%s: no memory for its answer",
                       client->connection.address);
}

/* ---- values --------------------------------------------------------------------------------- */

void redis_value_free(struct redis_value *value)
{
    for (size_t i = 0; i < value->item_count; i++) {
        redis_value_free(&value->items[i]);
    }
    free(value->items);
    free(value->bytes);
    *value = (struct redis_value){0};
}

/* ---- sending -------------------------------------------------------------------------------- */

int redis_client_flush(struct redis_client *client)
{
    size_t count = client->out_count;

    client->out_count = 0;
    return connection_send(&client->connection, client->out, count);
}

static int add_bytes(struct redis_client *client, const void *bytes, size_t byte_count)
{
    int code = CLI_OK;

    if (byte_count > sizeof client->out - client->out_count) {
        code = redis_client_flush(client);
    }
    if (code == CLI_OK && byte_count > sizeof client->out) {
        return connection_send(&client->connection, bytes, byte_count);
    }
    if (code == CLI_OK && byte_count > 0) {
        memcpy(client->out + client->out_count, bytes, byte_count);
        client->out_count += byte_count;
    }
    return code;
}

static int add_header(struct redis_client *client, char sign, size_t count)
{
    char header[HEADER_BYTES];
    int length = snprintf(header, sizeof header, "%c%zu\r\n", sign, count);

    Q_ASSERT(length > 0 && (size_t)length < sizeof header);
    return add_bytes(client, header, (size_t)length);
}

int redis_client_add(struct redis_client *client, size_t word_count,
                     const struct quarry_kv_slice *words)
{
    int code = add_header(client, '*', word_count);

    for (size_t i = 0; i < word_count && code == CLI_OK; i++) {
        code = add_header(client, '$', words[i].byte_count);
        code = code == CLI_OK ? add_bytes(client, words[i].bytes, words[i].byte_count) : code;
        code = code == CLI_OK ? add_bytes(client, "\r\n", 2) : code;
    }
    return code;
}

/* ---- receiving ------------------------------------------------------------------------------ */

static int read_bulk(struct redis_client *client, int64_t byte_count, struct redis_value *reply)
{
    char end[2];

    if (byte_count < 0) {
        return CLI_OK;
    }
    if (byte_count > BULK_BYTES_MAX) {
        return connection_nonsense(&client->connection, "a string that is too long");
    }
    reply->bytes = malloc((size_t)byte_count + 1);
    if (reply->bytes == NULL) {
        return no_memory(client);
    }
    reply->kind = REDIS_STRING;
    reply->byte_count = (size_t)byte_count;
    reply->bytes[byte_count] = '\0';
    int code = connection_read(&client->connection, reply->bytes, reply->byte_count);
    code = code == CLI_OK ? connection_read(&client->connection, end, sizeof end) : code;
    return code != CLI_OK || memcmp(end, "\r\n", 2) == 0
               ? code
               : connection_nonsense(&client->connection, "a string without end");
}

static int keep_line(struct redis_client *client, const char *line, size_t length,
                     enum redis_kind kind, struct redis_value *reply)
{
    reply->bytes = malloc(length + 1);
    if (reply->bytes == NULL) {
        return no_memory(client);
    }
    memcpy(reply->bytes, line, length + 1);
    reply->byte_count = length;
    reply->kind = kind;
    return CLI_OK;
}

static int read_value(struct redis_client *client, uint32_t depth, struct redis_value *reply);

static int read_array(struct redis_client *client, uint32_t depth, int64_t count,
                      struct redis_value *reply)
{
    int code = CLI_OK;

    if (count < 0) {
        return CLI_OK;
    }
    if (count > ITEMS_MAX || depth == DEPTH_MAX) {
        return connection_nonsense(&client->connection, "an array that is too large");
    }
    reply->kind = REDIS_ARRAY;
    reply->items = calloc((size_t)count + 1, sizeof reply->items[0]);
    if (reply->items == NULL) {
        return no_memory(client);
    }
    for (int64_t i = 0; i < count && code == CLI_OK; i++) {
        reply->item_count++;
        code = read_value(client, depth + 1, &reply->items[i]);
    }
    return code;
}

static int read_value(struct redis_client *client, uint32_t depth, struct redis_value *reply)
{
    char *line = NULL, *end = NULL;
    size_t length = 0;
    int code = connection_line(&client->connection, &line, &length);

    if (code != CLI_OK) {
        return code;
    }
    if (length == 0) {
        return connection_nonsense(&client->connection, "an empty line");
    }
    if (line[0] == '+' || line[0] == '-') {
        return keep_line(client, line + 1, length - 1, line[0] == '+' ? REDIS_STRING : REDIS_ERROR,
                         reply);
    }
    errno = 0;
    int64_t number = strtoll(line + 1, &end, 10);
    if (strchr(":$*", line[0]) == NULL || end == line + 1 || *end != '\0' || errno != 0) {
        return connection_nonsense(&client->connection, "a line that is none of RESP");
    }
    if (line[0] == ':') {
        reply->kind = REDIS_INTEGER;
        reply->integer = number;
        return CLI_OK;
    }
    return line[0] == '$' ? read_bulk(client, number, reply)
                          : read_array(client, depth, number, reply);
}

int redis_client_read(struct redis_client *client, struct redis_value *ret_reply)
{
    *ret_reply = (struct redis_value){0};
    return read_value(client, 0, ret_reply);
}

int redis_client_call(struct redis_client *client, struct redis_value *ret_reply, size_t word_count,
                      const struct quarry_kv_slice *words)
{
    int code = redis_client_add(client, word_count, words);

    *ret_reply = (struct redis_value){0};
    code = code == CLI_OK ? redis_client_flush(client) : code;
    return code == CLI_OK ? redis_client_read(client, ret_reply) : code;
}

int redis_client_say(struct redis_client *client, struct redis_value *ret_reply,
                     const char *const *words)
{
    struct quarry_kv_slice slices[8];
    size_t count = 0;

    for (; words[count] != NULL; count++) {
        Q_ASSERT(count < sizeof slices / sizeof slices[0]);
        slices[count] = (struct quarry_kv_slice){words[count], strlen(words[count])};
    }
    return redis_client_call(client, ret_reply, count, slices);
}

int redis_client_refused(const struct redis_client *client, const struct redis_value *reply)
{
    static const char *const kinds[] = {"nothing", "a string", "an error", "a number", "an array"};

    if (reply->kind == REDIS_ERROR) {
        return cli_failure(client->connection.command, "%s answers: %.300s",
                           client->connection.address, cli_make_printable(reply->bytes));
    }
    return cli_failure(client->connection.command, "%s answers with %s, which was not expected",
                       client->connection.address, kinds[reply->kind]);
}

/* ---- opening -------------------------------------------------------------------------------- */

/* Says words to which the answer is to be OK. */
static int say_expecting_ok(struct redis_client *client, const char *const *words)
{
    struct redis_value reply;
    int code = redis_client_say(client, &reply, words);

    if (code == CLI_OK && (reply.kind != REDIS_STRING || strcmp(reply.bytes, "OK") != 0)) {
        code = redis_client_refused(client, &reply);
    }
    redis_value_free(&reply);
    return code;
}

static int log_in(struct redis_client *client, const struct redis_client_options *options)
{
    char password[CONNECT_PASSWORD_BYTES] = "";
    bool is_named = options->user != NULL && options->user[0] != '\0';
    int code = connect_read_password(client->connection.command, options->password_path, password);

    if (code == CLI_OK) {
        const char *const named[] = {"AUTH", options->user, password, NULL};
        const char *const unnamed[] = {"AUTH", password, NULL};
        code = say_expecting_ok(client, is_named ? named : unnamed);
    }
    explicit_bzero(password, sizeof password);
    explicit_bzero(client->out, sizeof client->out);
    return code;
}

int redis_client_select(struct redis_client *client, uint32_t database)
{
    char number[16];

    (void)snprintf(number, sizeof number, "%" PRIu32, database);
    return say_expecting_ok(client, (const char *const[]){"SELECT", number, NULL});
}

int redis_client_open(const struct redis_client_options *options, struct redis_client *ret_client)
{
    struct redis_client *client = ret_client;

    client->connection.command = options->command;
    client->connection.address = options->address;
    client->connection.peer = "RESP server";
    client->out_count = 0;
    int code = connection_open(&client->connection, TIMEOUT_S);
    if (code == CLI_OK && options->password_path != NULL) {
        code = log_in(client, options);
    }
    if (code == CLI_OK && options->database != 0) {
        code = redis_client_select(client, options->database);
    }
    if (code != CLI_OK) {
        redis_client_close(client);
    }
    return code;
}

void redis_client_close(struct redis_client *client)
{
    connection_close(&client->connection);
}
