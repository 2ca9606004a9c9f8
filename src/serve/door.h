/*
 * What a protocol is to the server: how a door and a connection speak with each other.
 *
 *   socket ─ worker (a libevent loop in a thread) ─ connection ─ door: parses, executes, answers
 *
 * A worker owns its connections; everything here is called by their worker alone. When a connection
 * can be read, the worker reads what there is into its input buffer and has a *turn*: door.begin,
 * door.input until it asks for more bytes or has had its share, one write of all the answers,
 * door.end. Answers are collected meanwhile: small ones by copying, large ones by pointing to where
 * they lie, which they may until the turn ends. What the socket does not take in the turn is held
 * (door.hold) or copied, and what a connection may have waiting is bounded: it is not read from
 * again before its reader has taken that.
 */
#ifndef QUARRY_SERVE_DOOR_H
#define QUARRY_SERVE_DOOR_H

#include <base/base.h>

struct serve_connection;
struct serve_worker;

/* What a door wants after it was given bytes. */
enum serve_step {
    SERVE_MORE = 0, /* more bytes than there are */
    SERVE_YIELD,    /* it has had its share: others first, then again with what is left */
    SERVE_CLOSE,    /* to close, after the answers so far have been sent */
    SERVE_PAUSE,    /* its reader to take all answers: then again with what is left */
    SERVE_WAIT,     /* for a function it has had posted: not read from before that was called */
};

/* What a connection may do. */
enum serve_right {
    SERVE_READ = 1,
    SERVE_WRITE = 2,
    SERVE_FLUSH = 4,
    SERVE_ADMIN = 8,
    SERVE_ALL = 15,
};

struct quarry_cache_tenant;

/* Who a connection speaks for. One that needs no login has it from the start. */
struct serve_identity {
    char name[64];
    struct quarry_cache_tenant *tenant; /* borrowed: tenants outlive connections */
    uint32_t rights;                    /* of enum serve_right; 0: nobody yet */
};

/* A stretch of an answer that lies elsewhere, and how to keep it there beyond the turn. */
struct serve_borrowed {
    const void *bytes;
    size_t byte_count;
    uint64_t token[5]; /* the door's own, for hold and release */
};

struct serve_door {
    const char *name;   /* "memcached" */
    size_t state_bytes; /* of a connection's state of this door, zeroed; serve_connection_state */
    void (*open)(struct serve_connection *connection);
    void (*close)(struct serve_connection *connection); /* the state may hold things: let go */
    void (*begin)(struct serve_connection *connection);
    void (*end)(struct serve_connection *connection);
    /*
     * `bytes`: what has come and was not consumed, contiguous, none after a yield or a posted
     * function perhaps. They stay where they are until the turn ends, so answers may borrow them.
     * *ret_consumed: how many the door is done with, also where it asks for more.
     */
    enum serve_step (*input)(struct serve_connection *connection, const char *bytes,
                             size_t byte_count, size_t *ret_consumed);
    /*
     * After serve_connection_want: so many bytes came straight to where they were wanted; 0: asked
     * again, as the worker is about to read.
     */
    enum serve_step (*filled)(struct serve_connection *connection, size_t byte_count);
    /* Keeps a borrowed stretch valid beyond the turn; false: it is copied instead. */
    bool (*hold)(struct serve_connection *connection, const struct serve_borrowed *borrowed);
    void (*release)(struct serve_connection *connection, const struct serve_borrowed *borrowed);
};

/* ---- what a door asks of its connection ----------------------------------------------------- */

/* The door's state, of state_bytes. */
void *serve_connection_state(struct serve_connection *connection);
struct serve_worker *serve_connection_worker(struct serve_connection *connection);
/* From 0; below the number of workers. */
uint32_t serve_worker_index(const struct serve_worker *worker);
/* A number that no other connection of the server has, or had. */
uint64_t serve_connection_id(const struct serve_connection *connection);
/* "127.0.0.1:40000", "unix:/run/q.sock"; and the door's own end. Borrowed. */
const char *serve_connection_peer(const struct serve_connection *connection);
const char *serve_connection_local(const struct serve_connection *connection);
/* Who it speaks for; written by the door at a login. */
struct serve_identity *serve_connection_identity(struct serve_connection *connection);
/* Whether the listener asks for a login; whether what is sent is encrypted. */
bool serve_connection_needs_login(const struct serve_connection *connection);
bool serve_connection_is_encrypted(const struct serve_connection *connection);

/*
 * Room for so many bytes of an answer, contiguous, up to 4 KiB; then says how many of them were
 * written. NULL: no memory: return SERVE_CLOSE.
 */
char *serve_out_room(struct serve_connection *connection, size_t byte_count);
void serve_out_advance(struct serve_connection *connection, size_t byte_count);
/* Copies bytes into the answer. False: no memory. */
bool serve_out_copy(struct serve_connection *connection, const void *bytes, size_t byte_count);
/* Answers with bytes that stay valid until the turn ends, and longer if the door can hold them. */
bool serve_out_borrow(struct serve_connection *connection, const struct serve_borrowed *borrowed);
/* How many bytes wait; at 1 MiB a door stops answering and returns SERVE_YIELD. */
size_t serve_out_waiting(const struct serve_connection *connection);
#define SERVE_OUT_WAITING_MAX Q_MIB(1)

/*
 * Keeps back what has been answered in this turn and what will be, until it is released, in
 * whatever turn: answers that must not leave before something has happened. A door that keeps them
 * back waits for that (SERVE_WAIT), and no deadline of its reader runs. Doing it again does
 * nothing.
 */
void serve_connection_withhold(struct serve_connection *connection);
/*
 * Sends what was kept back, or, where not `is_good`, forgets it: what waited for its reader before
 * is sent in any case. In a turn. Does nothing where nothing is kept back.
 */
void serve_connection_release(struct serve_connection *connection, bool is_good);

/*
 * Has the bytes that come next read straight to `room`, after those of the input buffer that the
 * door has left unconsumed are used up; door.filled is told. NULL: no longer.
 */
void serve_connection_want(struct serve_connection *connection, void *room, size_t byte_count);

/*
 * How many bytes, at least, are behind those that were consumed until a request is whole whose
 * beginning was: such a one has a deadline, and is waited for when the server ends. Who waits for a
 * posted function and has ended with fewer is closed. 0: none is on its way. Said in each turn that
 * changes it; 0 at first.
 */
void serve_connection_expect(struct serve_connection *connection, uint64_t byte_count);

/*
 * Answers from another thread, or later: posts a function to the connection's worker, which calls
 * it with the connection, or with NULL if that has been closed. Threads: any.
 */
typedef void serve_posted_function(struct serve_connection *connection, void *argument);
bool serve_post(struct serve_worker *worker, uint64_t connection_id,
                serve_posted_function *function, void *argument);
/*
 * Calls a function for a connection of the worker's own, as if it had been posted to that, at once:
 * for who was posted for nobody (the id 0) with a list of many. Outside of any turn.
 */
void serve_worker_run(struct serve_worker *worker, uint64_t connection_id,
                      serve_posted_function *function, void *argument);
/* Ends a connection after this turn, whatever waits to be sent to it. In a turn. */
void serve_connection_end(struct serve_connection *connection);
/* After answers from a posted function: sends them. */
void serve_connection_flush(struct serve_connection *connection);

#endif
