/*
 * A client of the memcached door: one connection, one request at a time.
 *
 *     struct cache_client client;
 *     int code = cache_client_open(&options, &client);
 *     code = cache_client_say(&client, "stats\r\n");
 *     while ((code = cache_client_line(&client, &line)) == CLI_OK && strcmp(line, "END") != 0) { …
 * } cache_client_close(&client);
 *
 * Every call says what is wrong on stderr, with the address, and returns an exit code.
 */
#ifndef QUARRY_CLI_CACHE_CLIENT_H
#define QUARRY_CLI_CACHE_CLIENT_H

#include <base/base.h>

#include <cli/connection.h>

#define CACHE_ADDRESS_DEFAULT "127.0.0.1:11211"
/* The longest line that a server answers with, and of a request. */
#define CACHE_LINE_BYTES 4096u

struct cache_client_options {
    const char *address;       /* HOST:PORT or unix:PATH */
    const char *user;          /* NULL: no login */
    const char *password_path; /* its first line is the password; "-": stdin */
};

struct cache_client {
    struct connection connection;
};

/* Connects, and logs in where there is a user. Returns: CLI_NO_CONNECTION when it cannot. */
int cache_client_open(const struct cache_client_options *options, struct cache_client *ret_client);
/* A closed one, too. */
void cache_client_close(struct cache_client *client);

/* Whether the server has closed it, as far as can be told without waiting. */
bool cache_client_is_closed(const struct cache_client *client);

int cache_client_send(struct cache_client *client, const void *bytes, size_t byte_count);
int cache_client_say(struct cache_client *client, const char *format, ...) Q_PRINTF(2, 3);
/* The next line, without its end; until the next call. */
int cache_client_line(struct cache_client *client, char **ret_line);
/* Some of the bytes that come next, at most `most`, which is above 0; until the next call. */
int cache_client_bytes(struct cache_client *client, size_t most, const char **ret_bytes,
                       size_t *ret_count);
/* Exactly so many bytes. */
int cache_client_read(struct cache_client *client, void *bytes, size_t byte_count);
/* Says that an answer is not what was expected, with the answer. Returns: CLI_FAILED. */
int cache_client_refused(const struct cache_client *client, char *line);

#endif
