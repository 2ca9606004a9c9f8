/*
 * HTTP, as much of it as servers of series answer with.
 *
 *   bytes   head │ body of Content-Length, or chunks, which are moved together where they lie
 *
 * Servers close connections that are idle, some after seconds, so that one is looked at before it
 * is used again. One request is under way on a connection at a time, and nothing lies behind an
 * answer. What is no answer counts as none: the caller says what failed.
 */
#include <bench/tsdb/http.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <base/base.h>

#include <bench/malloc/worker.h>

#define FIRST_BYTES    65536u
#define BYTES_MAX      Q_GIB(1) /* of an answer; more is none */
#define REQUEST_BYTES  8192u
#define ANSWER_SECONDS 600

static bool connect_anew(struct bench_http *http)
{
    struct timeval patience = {.tv_sec = ANSWER_SECONDS};

    if (http->fd >= 0) {
        (void)close(http->fd);
    }
    http->fd = bench_server_connect(http->server);
    if (http->fd < 0) {
        return false;
    }
    (void)setsockopt(http->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return true;
}

/* Whether something has come that nobody asked for: the end of the connection. */
static bool has_ended(const struct bench_http *http)
{
    struct pollfd polled = {.fd = http->fd, .events = POLLIN};

    return poll(&polled, 1, 0) != 0;
}

bool bench_http_open(struct bench_http *http, const struct bench_server *server)
{
    *http = (struct bench_http){.server = server, .fd = -1, .capacity = FIRST_BYTES};
    if (!connect_anew(http)) {
        return false;
    }
    http->bytes = malloc(http->capacity);
    if (http->bytes == NULL) {
        bench_worker_die("no memory");
    }
    return true;
}

void bench_http_close(struct bench_http *http)
{
    if (http->fd >= 0) {
        (void)close(http->fd);
    }
    free(http->bytes);
    *http = (struct bench_http){.fd = -1};
}

bool bench_http_send(struct bench_http *http, const char *bytes, size_t count)
{
    if (has_ended(http) && !connect_anew(http)) {
        return false;
    }
    while (count > 0) {
        ssize_t sent = send(http->fd, bytes, count, MSG_NOSIGNAL);
        if (sent < 0 && errno != EINTR) {
            return false;
        }
        bytes += sent > 0 ? sent : 0;
        count -= sent > 0 ? (size_t)sent : 0;
    }
    return true;
}

/* Takes what comes next; room for a NUL stays. Returns: false at the end of the connection. */
static bool read_more(struct bench_http *http)
{
    ssize_t got = -1;

    if (http->count + 1 == http->capacity) {
        char *larger = http->capacity < BYTES_MAX ? realloc(http->bytes, 2 * http->capacity) : NULL;
        if (larger == NULL) {
            return false;
        }
        http->bytes = larger;
        http->capacity *= 2;
    }
    do {
        got = recv(http->fd, http->bytes + http->count, http->capacity - http->count - 1, 0);
    } while (got < 0 && errno == EINTR);
    http->count += got > 0 ? (size_t)got : 0;
    http->bytes[http->count] = '\0';
    return got > 0;
}

/* Reads on until `text` has come at or behind `from`. Returns: where it ends; 0: it did not. */
static size_t read_to(struct bench_http *http, size_t from, const char *text)
{
    size_t bytes = strlen(text);

    for (;;) {
        const char *found = http->count < from + bytes
                                ? NULL
                                : memmem(http->bytes + from, http->count - from, text, bytes);
        if (found != NULL) {
            return (size_t)(found - http->bytes) + bytes;
        }
        if (!read_more(http)) {
            return 0;
        }
    }
}

/* The value of a field of the head; NULL: it is not there. */
static const char *field(const char *head, const char *name)
{
    for (const char *line = strstr(head, "\r\n"); line != NULL; line = strstr(line + 2, "\r\n")) {
        if (strncasecmp(line + 2, name, strlen(name)) == 0) {
            return line + 2 + strlen(name);
        }
    }
    return NULL;
}

/* Returns: whether the body came; its bytes are at `begin`. */
static bool read_counted(struct bench_http *http, size_t begin, size_t bytes)
{
    while (http->count < begin + bytes) {
        if (bytes > BYTES_MAX || !read_more(http)) {
            return false;
        }
    }
    http->bytes[begin + bytes] = '\0';
    return true;
}

/* Likewise, of chunks, which are moved together. */
static bool read_chunks(struct bench_http *http, size_t begin, size_t *ret_bytes)
{
    size_t end = begin; /* of what was moved */
    size_t at = begin;

    for (;;) {
        size_t data = read_to(http, at, "\r\n");
        uint64_t bytes = data == 0 ? UINT64_MAX : strtoull(http->bytes + at, NULL, 16);
        if (bytes > BYTES_MAX) {
            return false;
        }
        while (http->count < data + bytes + 2) {
            if (!read_more(http)) {
                return false;
            }
        }
        memmove(http->bytes + end, http->bytes + data, bytes);
        end += bytes;
        at = data + bytes + 2;
        if (bytes == 0) {
            http->bytes[end] = '\0';
            *ret_bytes = end - begin;
            return true;
        }
    }
}

unsigned bench_http_receive(struct bench_http *http, const char **ret_body, size_t *ret_bytes)
{
    http->count = 0;
    size_t begin = read_to(http, 0, "\r\n\r\n");
    if (begin == 0 || strncmp(http->bytes, "HTTP/1.1 ", 9) != 0) {
        return 0;
    }
    unsigned status = (unsigned)strtoul(http->bytes + 9, NULL, 10);
    char kept = http->bytes[begin];
    http->bytes[begin] = '\0'; /* the head alone is looked at */
    const char *length = field(http->bytes, "Content-Length:");
    bool is_chunked = field(http->bytes, "Transfer-Encoding: chunked") != NULL;
    size_t bytes = length == NULL ? 0 : strtoull(length, NULL, 10);
    http->bytes[begin] = kept;
    bool is_whole =
        is_chunked ? read_chunks(http, begin, &bytes) : read_counted(http, begin, bytes);
    if (ret_body != NULL) {
        *ret_body = http->bytes + begin;
        *ret_bytes = bytes;
    }
    return is_whole ? status : 0;
}

unsigned bench_http_get(struct bench_http *http, const char *target, const char **ret_body,
                        size_t *ret_bytes)
{
    char request[REQUEST_BYTES];
    int bytes =
        snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", target);

    Q_ASSERT(bytes > 0 && (size_t)bytes < sizeof request);
    if (!bench_http_send(http, request, (size_t)bytes)) {
        return 0;
    }
    return bench_http_receive(http, ret_body, ret_bytes);
}
