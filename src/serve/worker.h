/*
 * A worker: a thread with a libevent loop and the connections that it owns.
 */
#ifndef QUARRY_SERVE_WORKER_H
#define QUARRY_SERVE_WORKER_H

#include <event2/event.h>
#include <event2/event_struct.h>

#include <os/os.h>

#include <serve/connection.h>
#include <serve/mailbox.h>
#include <serve/net.h>
#include <serve/outbox.h>
#include <serve/slots.h>
#include <serve/state.h>

/* What is read at once; of all connections of a worker together. Stays in the L2 cache. */
#define SERVE_SHARED_BYTES Q_KIB(64)
/* The largest record of TLS. */
#define SERVE_RECORD_BYTES Q_KIB(16)

/* struct serve_counters, written by the worker alone. */
struct serve_counting {
    _Atomic uint64_t accepted_count, current_count, received_bytes, sent_bytes, turn_count,
        yield_count, pass_count, receive_count, send_count, posted_count, refused_count,
        slow_reader_count, slow_writer_count, idle_count, too_long_count, no_memory_count,
        tls_failed_count, waiting_bytes, lag_max_ns;
};

struct serve_worker {
    /* const after create */
    struct serve_net *net;
    uint32_t index;
    struct event_base *base;
    char *shared; /* of SERVE_SHARED_BYTES: what was read */
    char *record; /* of SERVE_RECORD_BYTES: what TLS is to encrypt */
    void *stack;

    struct serve_mailbox mailbox; /* any thread posts */
    struct serve_counting counters;
    _Atomic bool is_asked_to_cut; /* its connections have the most waiting of all */

    /* the owner thread's */
    struct event wake_event;
    struct event tick_event;
    struct serve_limits limits; /* a copy of the net's */
    uint32_t limits_version;
    struct serve_slots slots;
    struct serve_list ready; /* connections with something to do */
    struct serve_list heavy; /* those of them whose last turn was long */
    struct serve_deadlines deadlines;
    uint64_t now_ns;                  /* when the pass began */
    bool has_mail;                    /* may have: woken, or not all was taken */
    bool is_ticking;                  /* tick_event is pending */
    bool may_be_due;                  /* a deadline may have passed */
    bool is_running_ready;            /* those who are ready have their turns: outbox.c */
    bool is_draining;                 /* connections without anything in flight end */
    uint64_t drain_due_ns;            /* and then the others */
    uint32_t drain_index;             /* slots below it have been looked at */
    struct serve_connection *current; /* whose turn it is; NULL: nobody's */
    struct serve_connection *holder;  /* whose bytes are in `shared`; NULL: nobody's */
    const char *held;
    size_t held_bytes;
    char local_text[SERVE_PEER_TEXT_BYTES];
    struct serve_batch batch;
    struct serve_outbox outbox;

    struct os_thread thread;
};

/* Makes a worker that does not run yet. Errors: QUARRY_NO_MEMORY, QUARRY_TOO_MANY. */
enum quarry_status serve_worker_init(struct serve_worker *worker, struct serve_net *net,
                                     uint32_t index);
/* It does not run (any more). */
void serve_worker_fini(struct serve_worker *worker);
/* `state_bytes`: the most that a door wants for a connection. Errors: QUARRY_NO_MEMORY, _TOO_MANY.
 */
enum quarry_status serve_worker_start(struct serve_worker *worker, size_t state_bytes);
/* Ends its connections and its thread; told before by the net's is_stopping. */
void serve_worker_join(struct serve_worker *worker);

/* Has the connection run in this pass or the next one. */
void serve_worker_make_ready(struct serve_worker *worker, struct serve_connection *connection);
/* Takes it out of the lists of those with something to do. */
void serve_worker_forget_ready(struct serve_worker *worker, struct serve_connection *connection);
/* Looks at deadlines from time to time as long as there are any. */
void serve_worker_tick(struct serve_worker *worker);
/* Cuts whoever has the most waiting if all together have too much. */
void serve_worker_bound_output(struct serve_worker *worker);
/* The same at the end of the pass, for those in the middle of one of its connections. */
void serve_worker_bound_output_later(struct serve_worker *worker);
/* How much of a request the connection's door may leave. */
size_t serve_worker_input_bytes_max(const struct serve_connection *connection);
/* Tells the net's hook. */
void serve_worker_tell(const struct serve_connection *connection, enum serve_news news,
                       const char *text);

static inline const struct serve_memory *serve_worker_memory(const struct serve_worker *worker)
{
    return &worker->net->memory;
}

/* Relaxed: figures, of one writer. */
static inline void serve_worker_count(_Atomic uint64_t *counter, uint64_t value)
{
    atomic_bump_relaxed_u64(counter, value);
}

#endif
