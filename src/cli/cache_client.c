/*
 * Requests and answers of memcached's text protocol, over a connection.
 *
 * A server that does not answer for ten seconds is given up: commands end, they do not hang.
 *
 * Locking: none; of one thread. Cost: as the connection's.
 */
#include <cli/cache_client.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cli/cli.h>
#include <cli/connect.h>

#define TIMEOUT_S 10

/* ---- a login -------------------------------------------------------------------------------- */

/* memcached's form of a login in text: a value of "USER PASSWORD". */
static int log_in(struct cache_client *client, const char *user, const char *password)
{
    char *line = NULL;
    int code = cache_client_say(client, "set login 0 0 %zu\r\n%s %s\r\n",
                                strlen(user) + 1 + strlen(password), user, password);

    code = code == CLI_OK ? cache_client_line(client, &line) : code;
    return code != CLI_OK || strcmp(line, "STORED") == 0 ? code
                                                         : cache_client_refused(client, line);
}

static int log_in_by(struct cache_client *client, const struct cache_client_options *options)
{
    char password[CONNECT_PASSWORD_BYTES] = "";

    if (options->password_path == NULL) {
        return cli_usage_error("cache", "--user needs --password-file");
    }
    int code = connect_read_password("cache", options->password_path, password);
    code = code == CLI_OK ? log_in(client, options->user, password) : code;
    explicit_bzero(password, sizeof password);
    return code;
}

int cache_client_open(const struct cache_client_options *options, struct cache_client *ret_client)
{
    struct connection *connection = &ret_client->connection;

    connection->command = "cache";
    connection->address = options->address;
    connection->peer = "memcached";
    int code = connection_open(connection, TIMEOUT_S);
    if (code == CLI_OK && options->user != NULL) {
        code = log_in_by(ret_client, options);
    }
    if (code != CLI_OK) {
        cache_client_close(ret_client);
    }
    return code;
}

void cache_client_close(struct cache_client *client)
{
    connection_close(&client->connection);
}

bool cache_client_is_closed(const struct cache_client *client)
{
    return connection_is_closed(&client->connection);
}

int cache_client_send(struct cache_client *client, const void *bytes, size_t byte_count)
{
    return connection_send(&client->connection, bytes, byte_count);
}

int cache_client_say(struct cache_client *client, const char *format, ...)
{
    char line[CACHE_LINE_BYTES];
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    Q_ASSERT(length >= 0 && (size_t)length < sizeof line);
    int code = cache_client_send(client, line, (size_t)length);
    explicit_bzero(line, sizeof line); /* it may have had a password in it */
    return code;
}

int cache_client_line(struct cache_client *client, char **ret_line)
{
    size_t length = 0;

    return connection_line(&client->connection, ret_line, &length);
}

int cache_client_bytes(struct cache_client *client, size_t most, const char **ret_bytes,
                       size_t *ret_count)
{
    return connection_bytes(&client->connection, most, ret_bytes, ret_count);
}

int cache_client_read(struct cache_client *client, void *bytes, size_t byte_count)
{
    return connection_read(&client->connection, bytes, byte_count);
}

int cache_client_refused(const struct cache_client *client, char *line)
{
    return cli_failure("cache", "%s answers: %.200s", client->connection.address,
                       cli_make_printable(line));
}
