/* What a server takes from itself: confine.h by its configuration. */
#ifndef QUARRY_SERVE_SERVER_CONFINE_H
#define QUARRY_SERVE_SERVER_CONFINE_H

#include <serve/server_state.h>

/*
 * Becomes the user of security.user. Does nothing where it is empty, or where this is that user
 * already. Errors: NOT_FOUND (nobody of that name), PERMISSION (neither root nor that user), IO.
 * Threads: the first, with no other.
 */
enum quarry_status server_become_user(const struct serve_config *config,
                                      struct quarry_error *error);

/*
 * Leaves the process the folders that the configuration names, and its ports. The data folder is
 * open. What the kernel does not have is logged, and no error.
 * Errors: IO. Threads: the first, with no other.
 */
enum quarry_status server_confine_files(struct server *server, struct quarry_error *error);

/* Leaves it the system calls of a server, when all doors are open. Likewise. Threads: the first. */
enum quarry_status server_confine_calls(struct server *server, struct quarry_error *error);

#endif
