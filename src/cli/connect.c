/*
 * Connecting: every address that a name has, one after the other.
 */
#include <cli/connect.h>

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cli/cli.h>

#define HOST_BYTES 256u

struct attempt {
    const char *command, *address;
    uint32_t timeout_s;
    int fd; /* -1: not connected */
};

static int no_connection(const struct attempt *attempt, const char *why)
{
    (void)cli_failure(attempt->command, "cannot connect to %s: %s", attempt->address, why);
    return CLI_NO_CONNECTION;
}

static bool try_connect(struct attempt *attempt, int family, const struct sockaddr *address,
                        socklen_t bytes)
{
    const struct timeval timeout = {.tv_sec = attempt->timeout_s};
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
    attempt->fd = fd;
    return true;
}

static int connect_unix(struct attempt *attempt, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (path[0] == '\0' || strlen(path) >= sizeof address.sun_path) {
        return cli_usage_error(attempt->command, "--addr: '%s' is no path of a socket",
                               attempt->address);
    }
    strcpy(address.sun_path, path);
    return try_connect(attempt, AF_UNIX, (const struct sockaddr *)&address, sizeof address)
               ? CLI_OK
               : no_connection(attempt, strerror(errno));
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

static int connect_host(struct attempt *attempt)
{
    const struct addrinfo wanted = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    char host[HOST_BYTES];
    const char *port = NULL;

    if (!split_address(attempt->address, host, &port)) {
        return cli_usage_error(attempt->command, "--addr takes HOST:PORT or unix:PATH, not '%s'",
                               attempt->address);
    }
    int failed = getaddrinfo(host, port, &wanted, &found);
    if (failed != 0) {
        return no_connection(attempt, gai_strerror(failed));
    }
    bool is_connected = false;
    errno = ENOENT;
    for (const struct addrinfo *one = found; !is_connected && one != NULL; one = one->ai_next) {
        is_connected = try_connect(attempt, one->ai_family, one->ai_addr, one->ai_addrlen);
    }
    int why = errno;
    freeaddrinfo(found);
    return is_connected ? CLI_OK : no_connection(attempt, strerror(why));
}

int connect_to(const char *command, const char *address, uint32_t timeout_s, int *ret_fd)
{
    struct attempt attempt = {
        .command = command, .address = address, .timeout_s = timeout_s, .fd = -1};
    int code = strncmp(address, "unix:", 5) == 0 ? connect_unix(&attempt, address + 5)
                                                 : connect_host(&attempt);

    if (code == CLI_OK) {
        *ret_fd = attempt.fd;
    }
    return code;
}

int connect_read_password(const char *command, const char *path,
                          char ret_password[CONNECT_PASSWORD_BYTES])
{
    bool is_stdin = strcmp(path, "-") == 0;
    FILE *file = is_stdin ? stdin : fopen(path, "re");

    if (file == NULL) {
        return cli_failure(command, "%s: %s", path, strerror(errno));
    }
    bool is_read = fgets(ret_password, CONNECT_PASSWORD_BYTES, file) != NULL;
    if (!is_stdin) {
        (void)fclose(file);
    }
    if (!is_read) {
        return cli_failure(command, "%s: there is no password in it", path);
    }
    ret_password[strcspn(ret_password, "\r\n")] = '\0';
    return CLI_OK;
}
