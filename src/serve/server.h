/*
 * The server: everything that `quarry serve` runs, put together by the configuration.
 *
 *     folder, memory ── cache, tenants ── users, certificates ── net ── doors
 */
#ifndef QUARRY_SERVE_SERVER_H
#define QUARRY_SERVE_SERVER_H

#include <serve/config_load.h>
#include <serve/net.h>

/* What the kernel calls the process that makes a server's reports, its child. */
#define SERVE_REPORTER_NAME "quarry-reports"

struct serve_server_options {
    const char *version;                 /* "0.1.0"; static storage */
    const struct serve_sources *sources; /* borrowed for the call: read again at each reload */
    struct serve_config *config;         /* given: loaded from the sources */
    /*
     * Told, by the first thread, when all doors serve. `listeners`: borrowed for the call. May be
     * NULL.
     */
    void (*ready)(void *argument, struct serve_listener *const *listeners, uint32_t count);
    void *argument;               /* of ready */
    bool ends_by_usr1;            /* as by TERM, instead of opening the log again */
    const char *written_paths[2]; /* files that `ready` makes, the caller's to remove; NULL: none */
};

/*
 * Runs a server until a signal ends it: TERM and INT let requests finish, a second one does not.
 * HUP reads the configuration again, USR1 opens the log again, QUIT tells where every thread is.
 *
 * `error`: why it did not start.
 * Errors: BUSY (somebody else has the data or an address), PERMISSION, NOT_FOUND, BAD_INPUT,
 * NO_MEMORY, IO and others of its parts; nothing is left behind.
 * Threads: the first, with no other: signals are blocked for those that it starts.
 */
enum quarry_status serve_server_run(const struct serve_server_options *options,
                                    struct quarry_error *error);

#endif
