/*
 * The server examined: its figures for the rules of checkup/, at the start, and for who asks.
 */
#ifndef QUARRY_SERVE_SERVER_CHECKUP_H
#define QUARRY_SERVE_SERVER_CHECKUP_H

#include <os/os.h>

#include <serve/checkup/history.h>

struct server;

/* What the server keeps for its checkups. */
struct server_checkup {
    struct os_mutex mutex; /* a leaf; guards all below */
    struct checkup_wanted wanted;
    uint64_t write_buffer_bytes; /* kv.write_buffer; 0: auto */
    struct checkup_history history;
};

/* Before anything asks. */
void server_checkup_init(struct server *server);
/* By the main thread, as the server begins to serve: the first look; logs what of the machine is
 * likely to hurt, each with what to do. */
void server_checkup_begin(struct server *server);
/* By the main thread: what a configuration wants of the machine. */
void server_checkup_note(struct server *server);
/* By the main thread, each second or so: a look when one is due. */
void server_checkup_turn(struct server *server, uint64_t now_ns);

/*
 * Examines everything. `is_cancelled`: relaxed; nobody waits for it any more; NULL: never.
 * Errors: QUARRY_NO_MEMORY. Threads: any that may wait.
 * Cost: some milliseconds; with many series what counting the values of their labels takes.
 */
enum quarry_status server_checkup_examine(struct server *server, const _Atomic(bool) *is_cancelled,
                                          struct checkup_report *ret_report);

/* ---- server_checkup_look.c ------------------------------------------------------------------ */

/* What is counted, and what costs little to read. */
void server_look_at_counts(struct server *server, struct checkup_look *ret_look);
/* What is looked for: names of tenants, labels and targets; the disk. Adds to a look. */
void server_look_closely(struct server *server, const _Atomic(bool) *is_cancelled,
                         struct checkup_look *look);

#endif
