/*
 * What memcached's options ask of the process: who it is, where it runs, and which files say that
 * it does.
 */
#ifndef QUARRY_CLI_MEMCACHED_PROCESS_H
#define QUARRY_CLI_MEMCACHED_PROCESS_H

#include <cli/memcached_options.h>

/* Raises the limit of core files as far as it goes: -r. Returns: an exit code; said on stderr. */
int memcached_raise_core_limit(void);
/*
 * Becomes another user, when it is root: -u. Returns: an exit code; said on stderr.
 */
int memcached_become(const char *user);

/* A process that goes to the background, and the one that waits for it. */
struct memcached_daemon {
    int ready_fd; /* -1: it stays in the foreground */
};

/*
 * Forks. The first process waits until memcached_daemon_ready, or until the second one ends, and
 * exits with its code: whoever starts a daemon knows whether it serves. Returns, in the second
 * process: an exit code.
 *
 * `keeps_output`: stdout and stderr stay what they are.
 * Threads: before there is a second one.
 */
int memcached_daemon_begin(bool keeps_output, struct memcached_daemon *ret_daemon);
void memcached_daemon_ready(struct memcached_daemon *daemon);

/*
 * Writes the number of the process into a file; a text of another into one named by the environment
 * that appears whole. Returns: whether it could; said on stderr when not.
 */
bool memcached_write_pid(const char *path);
/* The file that MEMCACHED_PORT_FILENAME names; NULL: none. */
const char *memcached_ports_path(void);
/* "TCP INET: 11211", a line each, to that file. */
bool memcached_write_ports(struct serve_listener *const *listeners, uint32_t count);

#endif
