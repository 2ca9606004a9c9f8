/*
 * A connection without a socket: implements serve/door.h over memory, for tests of doors.
 *
 * What is sent to it is kept until the door consumes it; what the door answers is kept as text.
 * Time passes in turns, as in a worker: each fake_send is one or more of them. A reader may be
 * slow: then answers wait, and what the door borrowed is held or copied, as a worker would.
 */
#ifndef QUARRY_TESTS_FAKE_CONNECTION_H
#define QUARRY_TESTS_FAKE_CONNECTION_H

#include <serve/door.h>

struct fake_options {
    const struct serve_door *door;
    struct serve_identity identity;
    bool needs_login;
    /* The reader takes so many bytes a turn; 0: all there are. */
    size_t taken_a_turn;
    uint32_t worker_index;
    /* The door asks to be called again with nothing left, too: for answers that it has in memory.
     */
    bool may_yield_empty;
};

struct serve_connection *fake_open(const struct fake_options *options);
void fake_close(struct serve_connection *connection);

/* Sends bytes, and has turns until the door wants more of them. Ignored once it has closed. */
void fake_send(struct serve_connection *connection, const void *bytes, size_t byte_count);
/* Has turns until nothing changes any more: what waits is taken, what was posted is called. */
void fake_settle(struct serve_connection *connection);

/* Settles, and waits for posts of other threads as long as the door waits for one. */
void fake_await(struct serve_connection *connection);

/* What the client has been sent since fake_clear. Borrowed until the next call. */
const char *fake_answer(const struct serve_connection *connection, size_t *ret_bytes);
void fake_clear(struct serve_connection *connection);
/* The next `count` posts fail, as to a worker that is ending. */
void fake_fail_posts(uint64_t count);
/* Whether the door has ended it. */
bool fake_is_closed(const struct serve_connection *connection);
/* Whether the door waits for a posted function. */
bool fake_waits(const struct serve_connection *connection);

/* Whether it says that a request is on its way. */
bool fake_expects(const struct serve_connection *connection);

/* Counts, for tests of how things were done. */
struct fake_counts {
    uint64_t turns;
    uint64_t inputs;
    uint64_t yields;
    uint64_t wanted_bytes;   /* that were read straight to where they were wanted */
    uint64_t borrowed_bytes; /* that were not copied into the answer */
    uint64_t held, copied;   /* stretches that waited beyond their turn */
    size_t waiting_max;      /* bytes, at the end of a turn */
};
struct fake_counts fake_counts(const struct serve_connection *connection);

#endif
