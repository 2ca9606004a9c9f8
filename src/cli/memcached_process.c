/*
 * The process of `quarry memcached`.
 *
 *   -r  limits ▸ -d  fork ▸ -u  another user ▸ sockets ▸ -P and the file of ports ▸ "it serves"
 *
 * As in memcached, the user is changed before there are sockets: what the process can do that
 * others of the user cannot, it never has while it listens to anybody.
 *
 * The daemon's first process lives until the second serves. memcached's ends at once, and its
 * caller has to guess; nothing that waits for memcached minds the difference of some milliseconds.
 */
#include <cli/memcached_process.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define PORT_FILE_VARIABLE "MEMCACHED_PORT_FILENAME"
#define PATH_BYTES         4096

int memcached_raise_core_limit(void)
{
    struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};

    if (setrlimit(RLIMIT_CORE, &limit) == 0) {
        return 0;
    }
    if (getrlimit(RLIMIT_CORE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_CORE, &limit);
    }
    if (limit.rlim_cur == 0) {
        fputs("failed to ensure corefile creation\n", stderr);
        return MEMCACHED_EXIT_OS;
    }
    return 0;
}

int memcached_become(const char *user)
{
    if (geteuid() != 0) {
        return 0;
    }
    const struct passwd *entry = getpwnam(user);
    if (entry == NULL) {
        fprintf(stderr, "can't find the user %s to switch to\n", user);
        return MEMCACHED_EXIT_NO_USER;
    }
    if (initgroups(user, entry->pw_gid) != 0 || setgid(entry->pw_gid) != 0 ||
        setuid(entry->pw_uid) != 0) {
        fprintf(stderr, "failed to assume identity of user %s: %s\n", user, strerror(errno));
        return MEMCACHED_EXIT_OS;
    }
    return 0;
}

/* ---- the background ------------------------------------------------------------------------- */

/* Never returns: the first process' end. */
static Q_NORETURN void wait_for(pid_t child, int fd)
{
    char byte;
    int status = 0;
    ssize_t got;

    do {
        got = read(fd, &byte, 1);
    } while (got < 0 && errno == EINTR);
    if (got == 1) {
        _exit(0);
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

static void close_standard(bool keeps_output)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (null < 0) {
        return;
    }
    (void)dup2(null, STDIN_FILENO);
    if (!keeps_output) {
        (void)dup2(null, STDOUT_FILENO);
        (void)dup2(null, STDERR_FILENO);
    }
    (void)close(null);
}

int memcached_daemon_begin(bool keeps_output, struct memcached_daemon *ret_daemon)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) != 0) {
        fprintf(stderr, "failed to daemon() in order to daemonize: %s\n", strerror(errno));
        return 1;
    }
    (void)fflush(NULL);
    pid_t child = fork();
    if (child < 0) {
        fprintf(stderr, "failed to daemon() in order to daemonize: %s\n", strerror(errno));
        return 1;
    }
    if (child > 0) {
        (void)close(ends[1]);
        wait_for(child, ends[0]);
    }
    (void)close(ends[0]);
    (void)setsid();
    (void)chdir("/");
    ret_daemon->ready_fd = ends[1];
    close_standard(keeps_output);
    return 0;
}

void memcached_daemon_ready(struct memcached_daemon *daemon)
{
    if (daemon->ready_fd >= 0) {
        ssize_t wrote = write(daemon->ready_fd, "", 1);
        (void)wrote; /* whoever waited may have gone */
        (void)close(daemon->ready_fd);
        daemon->ready_fd = -1;
    }
}

/* ---- files ---------------------------------------------------------------------------------- */

bool memcached_write_pid(const char *path)
{
    FILE *file = fopen(path, "we");
    bool is_written = file != NULL && fprintf(file, "%ld\n", (long)getpid()) > 0;

    if (file != NULL && fclose(file) != 0) {
        is_written = false;
    }
    if (!is_written) {
        fprintf(stderr, "Could not open the pid file %s for writing: %s\n", path, strerror(errno));
    }
    return is_written;
}

const char *memcached_ports_path(void)
{
    const char *path = getenv(PORT_FILE_VARIABLE);

    return path != NULL && path[0] != '\0' ? path : NULL;
}

/* Whoever waits for the file finds all ports in it: it is moved to its name when it is whole. */
bool memcached_write_ports(struct serve_listener *const *listeners, uint32_t count)
{
    const char *path = memcached_ports_path();
    char other[PATH_BYTES];

    if (path == NULL) {
        return true;
    }
    int length = snprintf(other, sizeof other, "%s.lck", path);
    FILE *file = length > 0 && (size_t)length < sizeof other ? fopen(other, "we") : NULL;
    if (file == NULL) {
        fprintf(stderr, "Failed to open \"%s\": %s\n", other, strerror(errno));
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        uint16_t port = serve_listener_port(listeners[i]);
        if (port != 0) { /* a unix socket has none */
            fprintf(file, "TCP %s: %u\n",
                    serve_listener_name(listeners[i])[0] == '[' ? "INET6" : "INET", port);
        }
    }
    if (fclose(file) != 0 || rename(other, path) != 0) {
        fprintf(stderr, "Failed to write \"%s\": %s\n", path, strerror(errno));
        return false;
    }
    return true;
}
