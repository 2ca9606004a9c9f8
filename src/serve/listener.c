/*
 * Listening sockets.
 *
 * Options of connections (no delay, keepalive, how much the kernel keeps) are set on the listening
 * socket: Linux hands them on, which saves two system calls for each connection.
 *
 * A unix socket's file appears by bind, with the mode that the socket itself has then; so the mode
 * is set before, and there is no moment in which others can connect (CVE-2023-45145 was one). The
 * umask of the process is not touched, for other threads create files too; what it took away is
 * given back by chmod, before listen. A file that is there already is removed only if it is a
 * socket that nobody listens on, and at the end only if it is still ours.
 */
#include <serve/listener.h>

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <serve/state.h>

#define BACKLOG_DEFAULT   1024u
#define UNIX_MODE_DEFAULT 0600u
/*
 * What the kernel keeps for a connection and has not sent: a quarter of what we keep. Its own limit
 * is 4 MiB, which a thousand readers that take nothing would have it keep, outside of any budget.
 */
#define NOT_SENT_BYTES_MAX (256 << 10)

static enum quarry_status status_of(int os_errno)
{
    switch (os_errno) {
    case EADDRINUSE:
        return QUARRY_BUSY;
    case EACCES:
    case EPERM:
    case EROFS:
        return QUARRY_PERMISSION;
    case EADDRNOTAVAIL:
    case ENOENT:
    case ENOTDIR:
    case EAFNOSUPPORT:
        return QUARRY_NOT_FOUND;
    case EMFILE:
    case ENFILE:
        return QUARRY_TOO_MANY;
    case ENOMEM:
    case ENOBUFS:
        return QUARRY_NO_MEMORY;
    default:
        return QUARRY_IO;
    }
}

static enum quarry_status listener_fail(const struct serve_listener *listener, const char *what,
                                        struct quarry_error *error)
{
    int os_errno = errno;

    return error_set_os(error, status_of(os_errno), os_errno, "listen on %s: %s", listener->name,
                        what);
}

/* ---- unix sockets --------------------------------------------------------------------------- */

/* Whether somebody answers at the address. */
static bool unix_is_alive(const struct serve_address *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool is_alive = true;

    if (fd >= 0) {
        is_alive = connect(fd, &address->any, address->bytes) == 0 || errno != ECONNREFUSED;
        (void)close(fd);
    }
    return is_alive;
}

/* Removes what a server left that is no more. */
static enum quarry_status unix_clear(const struct serve_listener *listener,
                                     struct quarry_error *error)
{
    const char *path = listener->address.un.sun_path;
    struct stat file;

    if (lstat(path, &file) != 0) {
        return QUARRY_OK;
    }
    if (!S_ISSOCK(file.st_mode)) {
        return error_set(error, QUARRY_EXISTS, "listen on %s: a file that is no socket is there",
                         listener->name);
    }
    if (unix_is_alive(&listener->address)) {
        return error_set(error, QUARRY_BUSY, "listen on %s: another server listens there",
                         listener->name);
    }
    return unlink(path) == 0 ? QUARRY_OK
                             : listener_fail(listener, "cannot remove the old socket", error);
}

static enum quarry_status unix_bind(struct serve_listener *listener, mode_t mode,
                                    struct quarry_error *error)
{
    const char *path = listener->address.un.sun_path;
    enum quarry_status status = unix_clear(listener, error);
    struct stat file;

    if (status != QUARRY_OK) {
        return status;
    }
    if (fchmod(listener->fd, mode) != 0) {
        return listener_fail(listener, "cannot set the mode", error);
    }
    if (bind(listener->fd, &listener->address.any, listener->address.bytes) != 0) {
        return listener_fail(listener, "cannot bind", error);
    }
    if (lstat(path, &file) != 0 || chmod(path, mode) != 0) {
        return listener_fail(listener, "cannot set the mode", error);
    }
    listener->device = file.st_dev;
    listener->inode = file.st_ino;
    return QUARRY_OK;
}

static void unix_remove(const struct serve_listener *listener)
{
    const char *path = listener->address.un.sun_path;
    struct stat file;

    if (lstat(path, &file) == 0 && file.st_dev == listener->device &&
        file.st_ino == listener->inode) {
        (void)unlink(path);
    }
}

/* ---- the internet's ------------------------------------------------------------------------- */

static void option_set(int fd, int level, int option, int value)
{
    (void)setsockopt(fd, level, option, &value, sizeof(value));
}

static enum quarry_status internet_bind(struct serve_listener *listener, struct quarry_error *error)
{
    option_set(listener->fd, SOL_SOCKET, SO_REUSEADDR, 1);
    option_set(listener->fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    option_set(listener->fd, IPPROTO_TCP, TCP_NODELAY, 1);
    option_set(listener->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, NOT_SENT_BYTES_MAX);
    if (listener->address.any.sa_family == AF_INET6) {
        option_set(listener->fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    }
    if (bind(listener->fd, &listener->address.any, listener->address.bytes) != 0) {
        return listener_fail(listener, "cannot bind", error);
    }
    socklen_t bytes = sizeof(listener->address.in6); /* which port it is, where 0 was asked for */
    if (getsockname(listener->fd, &listener->address.any, &bytes) != 0) {
        return listener_fail(listener, "cannot read its address", error);
    }
    return QUARRY_OK;
}

/* ---- both ----------------------------------------------------------------------------------- */

static enum quarry_status listener_open(struct serve_listener *listener,
                                        const struct serve_listener_options *options,
                                        struct quarry_error *error)
{
    int backlog = (int)(options->backlog == 0 ? BACKLOG_DEFAULT : options->backlog);
    mode_t mode = options->unix_mode == 0 ? UNIX_MODE_DEFAULT : options->unix_mode;

    listener->fd =
        socket(listener->address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (listener->fd < 0) {
        return listener_fail(listener, "cannot make a socket", error);
    }
    enum quarry_status status = serve_address_is_unix(&listener->address)
                                    ? unix_bind(listener, mode, error)
                                    : internet_bind(listener, error);
    if (status == QUARRY_OK && listen(listener->fd, backlog) != 0) {
        status = listener_fail(listener, "cannot listen", error);
    }
    serve_address_print(&listener->address, listener->name, sizeof(listener->name));
    return status;
}

enum quarry_status serve_listener_create(struct serve_net *net,
                                         const struct serve_listener_options *options,
                                         struct serve_listener **ret_listener,
                                         struct quarry_error *error)
{
    struct serve_address address;
    enum quarry_status status = serve_address_parse(options->address, &address, error);

    if (status != QUARRY_OK) {
        return status;
    }
    struct serve_listener *listener = serve_buffer_take_zeroed(&net->memory, sizeof(*listener));
    if (listener == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "listen on %s: no memory", options->address);
    }
    listener->net = net;
    listener->door = options->door;
    listener->replies = options->replies == NULL ? &serve_replies_memcached : options->replies;
    listener->tls = options->tls;
    listener->identity = options->identity;
    listener->needs_login = options->needs_login;
    listener->address = address;
    serve_address_print(&address, listener->name, sizeof(listener->name));
    status = listener_open(listener, options, error);
    if (status != QUARRY_OK) {
        serve_listener_destroy(listener);
        return status;
    }
    *ret_listener = listener;
    return QUARRY_OK;
}

void serve_listener_close(struct serve_listener *listener)
{
    if (listener->fd < 0) {
        return;
    }
    if (listener->inode != 0) {
        unix_remove(listener);
    }
    (void)close(listener->fd);
    listener->fd = -1;
}

void serve_listener_destroy(struct serve_listener *listener)
{
    serve_listener_close(listener);
    serve_buffer_give(&listener->net->memory, listener);
}

const char *serve_listener_name(const struct serve_listener *listener)
{
    return listener->name;
}

bool serve_listener_is_loopback(const struct serve_listener *listener)
{
    return serve_address_is_loopback(&listener->address);
}

uint16_t serve_listener_port(const struct serve_listener *listener)
{
    switch (listener->address.any.sa_family) {
    case AF_INET:
        return ntohs(listener->address.in4.sin_port);
    case AF_INET6:
        return ntohs(listener->address.in6.sin6_port);
    default:
        return 0;
    }
}
