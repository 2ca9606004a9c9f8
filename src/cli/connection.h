/*
 * A connection to a server, for the commands that are clients: bytes out, lines and bytes in.
 *
 * Every call says what is wrong on stderr, as `command` and with the address, and returns an exit
 * code.
 */
#ifndef QUARRY_CLI_CONNECTION_H
#define QUARRY_CLI_CONNECTION_H

#include <base/base.h>

/* The longest line that is taken, and what is read at once. */
#define CONNECTION_ROOM_BYTES 16384u

struct connection {
    const char *command, *address; /* borrowed */
    const char *peer;              /* what is expected there, for messages: "memcached" */
    int fd;                        /* -1: closed */
    size_t begin, end;             /* of what was read, and not yet taken */
    char room[CONNECTION_ROOM_BYTES];
};

/*
 * Opens one to HOST:PORT or unix:PATH. A server that neither takes nor sends anything for
 * `timeout_s` is given up. After a failure it is closed.
 * Returns: CLI_USAGE (it is no address), CLI_NO_CONNECTION.
 */
int connection_open(struct connection *connection, uint32_t timeout_s);
/* A closed one, too. */
void connection_close(struct connection *connection);

/* Whether the server has closed it, as far as can be told without waiting. */
bool connection_is_closed(const struct connection *connection);

/* Sends all of it. Returns: CLI_NO_CONNECTION. */
int connection_send(struct connection *connection, const void *bytes, size_t byte_count);

/* The next line, without its end; until the next call. Returns: CLI_NO_CONNECTION, CLI_FAILED. */
int connection_line(struct connection *connection, char **ret_line, size_t *ret_length);
/* Some of the bytes that come next, at most `most`, which is above 0; until the next call. */
int connection_bytes(struct connection *connection, size_t most, const char **ret_bytes,
                     size_t *ret_count);
/* Exactly so many bytes. */
int connection_read(struct connection *connection, void *bytes, size_t byte_count);

/* Says that what has come is nothing that `peer` says. Returns: CLI_FAILED. */
int connection_nonsense(const struct connection *connection, const char *what);

#endif
