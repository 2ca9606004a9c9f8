/*
 * Connecting to a memcached door, and lines and bytes over it.
 *
 *   buffer   [ taken | begin … end | room ]        moved to the front when a line does not fit
 *
 * A server that does not answer for ten seconds is given up: commands end, they do not hang.
 *
 * Locking: none; of one thread. Cost: a read for 16 KiB of answers.
 */
#include <cli/cache_client.h>

#include <errno.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cli/cli.h>

#define TIMEOUT_S      10
#define HOST_BYTES     256
#define PASSWORD_BYTES 300

/* ---- connecting ----------------------------------------------------------------------------- */

static int no_connection(const char *address, const char *why)
{
    (void)cli_failure("cache", "cannot connect to %s: %s", address, why);
    return CLI_NO_CONNECTION;
}

static int lost(const struct cache_client *client, const char *why)
{
    (void)cli_failure("cache", "%s: the connection was lost: %s", client->address, why);
    return CLI_NO_CONNECTION;
}

static bool try_connect(struct cache_client *client, int family, const struct sockaddr *address,
                        socklen_t bytes)
{
    const struct timeval timeout = {.tv_sec = TIMEOUT_S};
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        return false;
    }
    /* The timeout of sending is that of connecting, too. */
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    if (connect(fd, address, bytes) != 0) {
        int why = errno;
        (void)close(fd);
        errno = why;
        return false;
    }
    client->fd = fd;
    return true;
}

static int connect_unix(struct cache_client *client, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (path[0] == '\0' || strlen(path) >= sizeof address.sun_path) {
        return cli_usage_error("cache", "--addr: '%s' is no path of a socket", client->address);
    }
    strcpy(address.sun_path, path);
    return try_connect(client, AF_UNIX, (const struct sockaddr *)&address, sizeof address)
               ? CLI_OK
               : no_connection(client->address, strerror(errno));
}

/* "HOST:PORT", "[::1]:PORT"; a port alone is one of this machine. Returns: false: it is neither. */
static bool split_address(const char *text, char host[HOST_BYTES], const char **ret_port)
{
    const char *colon = strrchr(text, ':');
    size_t length = colon != NULL ? (size_t)(colon - text) : 0;

    if (colon == NULL || length >= HOST_BYTES || colon[1] == '\0') {
        return false;
    }
    if (length >= 2 && text[0] == '[' && text[length - 1] == ']') {
        text++;
        length -= 2;
    }
    memcpy(host, text, length);
    host[length] = '\0';
    *ret_port = colon + 1;
    return length > 0;
}

static int connect_host(struct cache_client *client)
{
    const struct addrinfo wanted = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    char host[HOST_BYTES];
    const char *port = NULL;

    if (!split_address(client->address, host, &port)) {
        return cli_usage_error("cache", "--addr takes HOST:PORT or unix:PATH, not '%s'",
                               client->address);
    }
    int failed = getaddrinfo(host, port, &wanted, &found);
    if (failed != 0) {
        return no_connection(client->address, gai_strerror(failed));
    }
    bool is_connected = false;
    errno = ENOENT;
    for (const struct addrinfo *one = found; !is_connected && one != NULL; one = one->ai_next) {
        is_connected = try_connect(client, one->ai_family, one->ai_addr, one->ai_addrlen);
    }
    int why = errno;
    freeaddrinfo(found);
    return is_connected ? CLI_OK : no_connection(client->address, strerror(why));
}

/* ---- a login -------------------------------------------------------------------------------- */

static int read_password(const char *path, char password[PASSWORD_BYTES])
{
    bool is_stdin = strcmp(path, "-") == 0;
    FILE *file = is_stdin ? stdin : fopen(path, "re");

    if (file == NULL) {
        return cli_failure("cache", "%s: %s", path, strerror(errno));
    }
    bool is_read = fgets(password, PASSWORD_BYTES, file) != NULL;
    if (!is_stdin) {
        (void)fclose(file);
    }
    if (!is_read) {
        return cli_failure("cache", "%s: there is no password in it", path);
    }
    password[strcspn(password, "\r\n")] = '\0';
    return CLI_OK;
}

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
    char password[PASSWORD_BYTES] = "";

    if (options->password_path == NULL) {
        return cli_usage_error("cache", "--user needs --password-file");
    }
    int code = read_password(options->password_path, password);
    code = code == CLI_OK ? log_in(client, options->user, password) : code;
    explicit_bzero(password, sizeof password);
    return code;
}

int cache_client_open(const struct cache_client_options *options, struct cache_client *ret_client)
{
    ret_client->address = options->address;
    ret_client->fd = -1;
    ret_client->begin = ret_client->end = 0;
    int code = strncmp(options->address, "unix:", 5) == 0
                   ? connect_unix(ret_client, options->address + 5)
                   : connect_host(ret_client);
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
    if (client->fd >= 0) {
        (void)close(client->fd);
        client->fd = -1;
    }
}

bool cache_client_is_closed(const struct cache_client *client)
{
    char byte;

    return client->begin == client->end && recv(client->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

/* ---- sending -------------------------------------------------------------------------------- */

int cache_client_send(struct cache_client *client, const void *bytes, size_t byte_count)
{
    const char *at = bytes;

    while (byte_count > 0) {
        ssize_t sent = send(client->fd, at, byte_count, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) {
            continue;
        }
        if (sent < 0) {
            return lost(client, errno == EAGAIN ? "it takes nothing any more" : strerror(errno));
        }
        at += sent;
        byte_count -= (size_t)sent;
    }
    return CLI_OK;
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

/* ---- receiving ------------------------------------------------------------------------------ */

/* Reads more behind what there is. */
static int fill(struct cache_client *client)
{
    if (client->begin > 0) {
        memmove(client->buffer, client->buffer + client->begin, client->end - client->begin);
        client->end -= client->begin;
        client->begin = 0;
    }
    if (client->end == sizeof client->buffer) {
        return cli_failure("cache", "%s: a line without an end: this is no memcached",
                           client->address);
    }
    for (;;) {
        ssize_t got =
            recv(client->fd, client->buffer + client->end, sizeof client->buffer - client->end, 0);
        if (got > 0) {
            client->end += (size_t)got;
            return CLI_OK;
        }
        if (got == 0 || errno != EINTR) {
            return lost(client, got == 0          ? "it was closed"
                                : errno == EAGAIN ? "there is no answer"
                                                  : strerror(errno));
        }
    }
}

int cache_client_line(struct cache_client *client, char **ret_line)
{
    for (;;) {
        char *line = client->buffer + client->begin;
        char *end = memchr(line, '\n', client->end - client->begin);
        if (end != NULL) {
            client->begin = (size_t)(end - client->buffer) + 1;
            *end = '\0';
            if (end > line && end[-1] == '\r') {
                end[-1] = '\0';
            }
            *ret_line = line;
            return CLI_OK;
        }
        int code = fill(client);
        if (code != CLI_OK) {
            return code;
        }
    }
}

int cache_client_bytes(struct cache_client *client, size_t most, const char **ret_bytes,
                       size_t *ret_count)
{
    Q_ASSERT(most > 0);
    int code = client->begin == client->end ? fill(client) : CLI_OK;
    if (code != CLI_OK) {
        return code;
    }
    *ret_bytes = client->buffer + client->begin;
    *ret_count = size_min(most, client->end - client->begin);
    client->begin += *ret_count;
    return CLI_OK;
}

int cache_client_read(struct cache_client *client, void *bytes, size_t byte_count)
{
    char *to = bytes;
    const char *from = NULL;
    size_t count = 0;

    while (byte_count > 0) {
        int code = cache_client_bytes(client, byte_count, &from, &count);
        if (code != CLI_OK) {
            return code;
        }
        memcpy(to, from, count);
        to += count;
        byte_count -= count;
    }
    return CLI_OK;
}

int cache_client_refused(const struct cache_client *client, char *line)
{
    return cli_failure("cache", "%s answers: %.200s", client->address, cli_make_printable(line));
}
