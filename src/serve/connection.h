/*
 * A connection, from its arrival to its end. Everything here is its worker's.
 */
#ifndef QUARRY_SERVE_CONNECTION_H
#define QUARRY_SERVE_CONNECTION_H

#include <event2/event.h>
#include <event2/event_struct.h>

#include <serve/buffers.h>
#include <serve/deadline.h>
#include <serve/door.h>
#include <serve/mailbox.h>
#include <serve/output.h>
#include <serve/peer.h>
#include <serve/tls.h>

struct serve_connection {
    /* const while open */
    uint64_t id; /* 0: the slot is free */
    struct serve_worker *worker;
    const struct serve_listener *listener;
    const struct serve_door *door;
    int fd;

    uint8_t outbox_place; /* and one; 0: it has nothing there */
    uint8_t watched;      /* EV_READ, EV_WRITE: what the loop watches for */

    /* what has happened */
    bool can_read : 1;
    bool can_write : 1;
    bool is_ended : 1;  /* the client sends no more */
    bool is_failed : 1; /* the socket is dead, or memory is out: to be destroyed after the turn */
    bool is_cut : 1;    /* to be reset rather than closed */
    /* what the door said last */
    bool is_yielded : 1; /* its input is to be called again, come what may */
    bool is_waiting : 1; /* for a posted function */
    bool is_wanting : 1; /* the next bytes go to where its `filled` says */
    bool is_closing : 1; /* once its answers are sent */
    /* what we do about it */
    bool is_paused : 1;    /* too much waits: not read from */
    bool is_emptying : 1;  /* anything is too much: the door asked for that */
    bool is_heavy : 1;     /* its last turn was a long one: others go first */
    bool is_lingering : 1; /* the door is closed; waits for the client's end */
    bool was_admitted : 1;
    bool has_open_door : 1;
    bool had_turn : 1;  /* in this run */
    bool was_fed : 1;   /* the door consumed something in this run */
    bool was_taken : 1; /* the reader took something in this run */
    /* TLS */
    bool is_secured : 1;         /* the handshake is finished */
    bool tls_waits_to_write : 1; /* before it can go on reading */

    struct serve_link ready_link; /* in the worker's list of those with something to do */
    struct event event;

    struct serve_input input;
    char *want_room; /* during a turn */
    size_t want_bytes;
    uint64_t expected_bytes; /* more of a request whose beginning the door has consumed */
    uint64_t received_bytes;
    uint64_t last_turn_ns;

    struct serve_output output;
    struct serve_deadline deadline;

    SSL *tls; /* NULL: not encrypted */
    struct serve_tls_set *tls_set;

    struct serve_identity identity;
    char peer[SERVE_PEER_TEXT_BYTES]; /* "": the listener's name */

    Q_ALIGNED(16) char door_state[];
};

/* Begins what a listener has accepted, or turns it away; the descriptor is given. */
void serve_connection_begin(struct serve_worker *worker, const struct serve_message *arrival);
/* Does what there is to do: writes what waits, reads, has a turn. It may be gone afterwards. */
void serve_connection_run(struct serve_connection *connection);
/* From what is known now: watches, deadlines, its end. Outside of turns; it may be gone then. */
void serve_connection_settle(struct serve_connection *connection);
/* Calls a posted function in a turn of its own. */
void serve_connection_run_posted(struct serve_connection *connection,
                                 serve_posted_function *function, void *argument);
/* Its deadline has passed. It may be gone afterwards. */
void serve_connection_expire(struct serve_connection *connection);
/* Ends it at once. */
void serve_connection_destroy(struct serve_connection *connection);
/* Ends it at once so that the kernel drops what it has of its answers. */
void serve_connection_cut(struct serve_connection *connection);

/* ---- a turn --------------------------------------------------------------------------------- */

/* Reads, and feeds the door with what came. turn.c. */
void serve_turn_read(struct serve_connection *connection);
/* Feeds the door with what it has left, and calls it if that is nothing. */
void serve_turn_resume(struct serve_connection *connection);
/* One for a posted function. */
void serve_turn_posted(struct serve_connection *connection, serve_posted_function *function,
                       void *argument);
/* How much of its input the door has left. */
size_t serve_turn_left_bytes(const struct serve_connection *connection);
/* The worker's shared buffer is wanted by another, or its owner ends. */
void serve_turn_spill(struct serve_worker *worker);
void serve_turn_forget(struct serve_connection *connection);

#endif
