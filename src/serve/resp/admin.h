/*
 * What the door's commands of administration share, and what the door tells them.
 *
 *     resp_admin_open(&settings, &error);              // with the door
 *     …
 *     if (resp_pause_holds(command, now_ms)) {         // to the executor, which waits there
 *     resp_admin_note(&call, row, duration_ns, is_error);      // behind each command
 *     …
 *     resp_admin_close();
 *
 * There is one a process, as there is one door. Counts are kept in rows: a worker writes its own,
 * and the threads of the executor share the last one.
 *
 * Threads: open and close one at a time, when there are no connections; all else any.
 */
#ifndef QUARRY_SERVE_RESP_ADMIN_H
#define QUARRY_SERVE_RESP_ADMIN_H

#include <serve/resp/resp.h>
#include <serve/resp/server_hooks.h>

/* What clients are told that this is, as they choose by it what they use. */
#define RESP_REDIS_VERSION "7.0.15"

struct resp_admin_settings {
    struct quarry_memory *memory; /* borrowed until closed, as the keyspace */
    struct keyspace *keyspace;
    const char *version;   /* Quarry's; static storage */
    uint32_t worker_count; /* rows of counts: one more than so many */
    int64_t slowlog_us;    /* commands that take longer are noted; below 0: none; 0: all */
    uint32_t slowlog_length;
    uint64_t latency_ms; /* events that take so long are noted; 0: none */
    bool allows_debug;
    struct resp_hooks hooks;
};

/* Errors: QUARRY_NO_MEMORY. Cost: 100 KiB a worker, for counts and histograms. */
enum quarry_status resp_admin_open(const struct resp_admin_settings *settings,
                                   struct quarry_error *error);
void resp_admin_close(void);

/* ---- what the door tells -------------------------------------------------------------------- */

/*
 * A command was executed. `row`: the worker's index, or worker_count on the executor.
 * `duration_ns`: of its execution, without waiting for a thread. Cost: 20 ns on a worker.
 */
void resp_admin_note(const struct resp_call *call, uint32_t row, uint64_t duration_ns,
                     bool is_error);
/* A command was refused before it was executed: its words' number, a right, a queue. */
void resp_admin_note_rejected(const struct resp_command *command, uint32_t row);
/* An error was said: its text without the dash, "ERR no such key". By resp_say_error. */
void resp_admin_note_error(const char *text);
/* Somebody was refused. `what`: "auth" (a login) or "command" (a right). `word`: the command. */
void resp_admin_note_denied(const struct resp_session *session, const char *what, const char *word);

/*
 * Whether CLIENT PAUSE holds a command now. Such a one is sent to the executor, and
 * resp_pause_wait called there before it is executed; that returns when the pause ends or
 * resp_pause_stop was called, which the door does when it drains.
 */
bool resp_pause_holds(const struct resp_command *command, uint64_t now_ms);
void resp_pause_wait(const struct resp_command *command);
void resp_pause_stop(void);

/* Writes down a connection of the door. Threads: its worker's. */
void resp_client_read(const struct resp_session *session, struct serve_connection *connection,
                      struct resp_client *ret_client);

#endif
