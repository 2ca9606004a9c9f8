/*
 * sd_notify by hand: a datagram of lines to the socket that $NOTIFY_SOCKET names, a path or, with
 * an
 * @ in front, a name in the abstract space. It is opened for each message: there are some in the
 * life of a server, and the watchdog's few a minute.
 *
 * Rejected: libsystemd, a library of 900 KiB for one sendto.
 */
#include <serve/notify.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <os/os.h>

#define MESSAGE_BYTES 512

static bool read_address(struct sockaddr_un *ret_address, socklen_t *ret_bytes)
{
    const char *path = getenv("NOTIFY_SOCKET");
    size_t length = path != NULL ? strlen(path) : 0;

    *ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (length < 2 || length >= sizeof ret_address->sun_path ||
        (path[0] != '/' && path[0] != '@')) {
        return false;
    }
    memcpy(ret_address->sun_path, path, length);
    if (path[0] == '@') {
        ret_address->sun_path[0] = '\0';
    }
    *ret_bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    return true;
}

bool serve_notify_is_on(void)
{
    struct sockaddr_un address;
    socklen_t bytes;

    return read_address(&address, &bytes);
}

static void send_lines(const char *lines)
{
    struct sockaddr_un address;
    socklen_t bytes;

    if (!read_address(&address, &bytes)) {
        return;
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return;
    }
    (void)sendto(fd, lines, strlen(lines), MSG_NOSIGNAL | MSG_DONTWAIT,
                 (const struct sockaddr *)&address, bytes);
    (void)close(fd);
}

void serve_notify(const char *format, ...)
{
    char text[MESSAGE_BYTES];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    send_lines(text);
}

void serve_notify_reloading(void)
{
    serve_notify("RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\nSTATUS=reading the configuration",
                 os_monotonic_ns(os_real()) / Q_US_NS);
}

/* A number of the environment; 0 when it is none. */
static uint64_t read_number(const char *name)
{
    const char *text = getenv(name);
    uint64_t number = 0;

    for (; text != NULL && *text != '\0'; text++) {
        if (*text < '0' || *text > '9' || number > UINT64_MAX / 100) {
            return 0;
        }
        number = number * 10 + (uint64_t)(*text - '0');
    }
    return number;
}

uint64_t serve_notify_watchdog_ns(void)
{
    uint64_t us = read_number("WATCHDOG_USEC"), pid = read_number("WATCHDOG_PID");

    if (!serve_notify_is_on() || us > UINT64_MAX / Q_US_NS ||
        (pid != 0 && pid != (uint64_t)getpid())) {
        return 0;
    }
    return us * Q_US_NS / 2;
}
