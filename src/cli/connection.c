/*
 * Bytes to a server and from it.
 *
 *   room   [ taken | begin … end | free ]        moved to the front when more is read
 *
 * Nothing is answered to for longer than the timeout: commands end, they do not hang.
 *
 * Locking: none; of one thread. Cost: a system call for 16 KiB of answers, one for what is sent.
 */
#include <cli/connection.h>

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cli/cli.h>
#include <cli/connect.h>

static int lost(const struct connection *connection, const char *why)
{
    (void)cli_failure(connection->command, "%s: the connection was lost: %s", connection->address,
                      why);
    return CLI_NO_CONNECTION;
}

int connection_nonsense(const struct connection *connection, const char *what)
{
    return cli_failure(connection->command, "%s: %s: this is no %s", connection->address, what,
                       connection->peer);
}

int connection_open(struct connection *connection, uint32_t timeout_s)
{
    connection->fd = -1;
    connection->begin = connection->end = 0;
    return connect_to(connection->command, connection->address, timeout_s, &connection->fd);
}

void connection_close(struct connection *connection)
{
    if (connection->fd >= 0) {
        (void)close(connection->fd);
        connection->fd = -1;
    }
}

bool connection_is_closed(const struct connection *connection)
{
    char byte;

    return connection->begin == connection->end &&
           recv(connection->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

int connection_send(struct connection *connection, const void *bytes, size_t byte_count)
{
    const char *at = bytes;

    while (byte_count > 0) {
        ssize_t sent = send(connection->fd, at, byte_count, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) {
            continue;
        }
        if (sent < 0) {
            return lost(connection,
                        errno == EAGAIN ? "it takes nothing any more" : strerror(errno));
        }
        at += sent;
        byte_count -= (size_t)sent;
    }
    return CLI_OK;
}

/* Reads more behind what there is. */
static int fill(struct connection *connection)
{
    if (connection->begin > 0) {
        memmove(connection->room, connection->room + connection->begin,
                connection->end - connection->begin);
        connection->end -= connection->begin;
        connection->begin = 0;
    }
    if (connection->end == sizeof connection->room) {
        return connection_nonsense(connection, "a line without an end");
    }
    for (;;) {
        ssize_t got = recv(connection->fd, connection->room + connection->end,
                           sizeof connection->room - connection->end, 0);
        if (got > 0) {
            connection->end += (size_t)got;
            return CLI_OK;
        }
        if (got == 0 || errno != EINTR) {
            return lost(connection, got == 0          ? "it was closed"
                                    : errno == EAGAIN ? "there is no answer"
                                                      : strerror(errno));
        }
    }
}

int connection_line(struct connection *connection, char **ret_line, size_t *ret_length)
{
    for (;;) {
        char *line = connection->room + connection->begin;
        char *end = memchr(line, '\n', connection->end - connection->begin);
        if (end != NULL) {
            connection->begin = (size_t)(end - connection->room) + 1;
            end -= end > line && end[-1] == '\r';
            *end = '\0';
            *ret_line = line;
            *ret_length = (size_t)(end - line);
            return CLI_OK;
        }
        int code = fill(connection);
        if (code != CLI_OK) {
            return code;
        }
    }
}

int connection_bytes(struct connection *connection, size_t most, const char **ret_bytes,
                     size_t *ret_count)
{
    Q_ASSERT(most > 0);
    int code = connection->begin == connection->end ? fill(connection) : CLI_OK;
    if (code != CLI_OK) {
        return code;
    }
    *ret_bytes = connection->room + connection->begin;
    *ret_count = size_min(most, connection->end - connection->begin);
    connection->begin += *ret_count;
    return CLI_OK;
}

int connection_read(struct connection *connection, void *bytes, size_t byte_count)
{
    char *to = bytes;
    const char *from = NULL;
    size_t count = 0;

    while (byte_count > 0) {
        int code = connection_bytes(connection, byte_count, &from, &count);
        if (code != CLI_OK) {
            return code;
        }
        memcpy(to, from, count);
        to += count;
        byte_count -= count;
    }
    return CLI_OK;
}
