/*
 * Connections to servers, for the commands that are clients.
 *
 * Every call says what is wrong on stderr, as `command`, and returns an exit code.
 */
#ifndef QUARRY_CLI_CONNECT_H
#define QUARRY_CLI_CONNECT_H

#include <base/base.h>

/* Room for a password with its NUL. */
#define CONNECT_PASSWORD_BYTES 300u

/*
 * Connects to HOST:PORT or unix:PATH. A peer that neither takes nor sends anything for `timeout_s`
 * is given up: commands end, they do not hang.
 *
 * `ret_fd`: own. Returns: CLI_USAGE (it is no address), CLI_NO_CONNECTION.
 */
int connect_to(const char *command, const char *address, uint32_t timeout_s, int *ret_fd);

/* Reads the first line of a file; "-": of stdin. Wipe it when it was used. */
int connect_read_password(const char *command, const char *path,
                          char ret_password[CONNECT_PASSWORD_BYTES]);

#endif
