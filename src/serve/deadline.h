/*
 * Deadlines of a worker's connections: at most one each, in a queue for each kind.
 */
#ifndef QUARRY_SERVE_DEADLINE_H
#define QUARRY_SERVE_DEADLINE_H

#include <serve/limits.h>
#include <serve/list.h>

enum serve_deadline_kind {
    SERVE_DEADLINE_NONE = 0,
    SERVE_DEADLINE_LINE,   /* part of a request is here; or of a TLS handshake */
    SERVE_DEADLINE_BODY,   /* a body is awaited */
    SERVE_DEADLINE_OUTPUT, /* answers wait for their reader */
    SERVE_DEADLINE_WAIT,   /* a request has come in part and waits for a posted function */
    SERVE_DEADLINE_IDLE,
    SERVE_DEADLINE_LINGER, /* we are done, the client has yet to close */
    SERVE_DEADLINE_KINDS,
};

/* A connection's. All zero: none. */
struct serve_deadline {
    struct serve_link link;
    uint64_t since_ns;
    uint64_t mark; /* what had come from the client then; of OUTPUT, what the kernel had for it */
    enum serve_deadline_kind kind;
};

struct serve_deadlines {
    struct serve_list lists[SERVE_DEADLINE_KINDS];
    size_t count; /* of all kinds */
};

void serve_deadlines_init(struct serve_deadlines *deadlines);
/* How long a kind lasts; SERVE_NO_LIMIT: for ever. */
uint64_t serve_deadline_duration_ns(const struct serve_limits *limits,
                                    enum serve_deadline_kind kind);
/* Begins a deadline anew, or ends it (SERVE_DEADLINE_NONE). Cost: O(1). */
void serve_deadline_begin(struct serve_deadlines *deadlines, struct serve_deadline *deadline,
                          enum serve_deadline_kind kind, uint64_t now_ns, uint64_t mark);
/* One that has passed; NULL: none has. */
struct serve_deadline *serve_deadlines_due(const struct serve_deadlines *deadlines,
                                           const struct serve_limits *limits, uint64_t now_ns);

#endif
