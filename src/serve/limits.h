/*
 * Limits of what clients may do to the server, and what those who pass one are told.
 *
 * Zero means the default of each, and all defaults are limits; SERVE_NO_LIMIT switches one off.
 */
#ifndef QUARRY_SERVE_LIMITS_H
#define QUARRY_SERVE_LIMITS_H

#include <base/base.h>

#define SERVE_NO_LIMIT UINT64_MAX

/* As struct serve_limits has them; doubling one doubles what a client may cost us by it. */
#define SERVE_CONNECTIONS_MAX_DEFAULT  10000u
#define SERVE_LINE_DEADLINE_NS_DEFAULT (10 * Q_SECOND_NS)
#define SERVE_BODY_GRACE_NS_DEFAULT    (10 * Q_SECOND_NS)
#define SERVE_BODY_RATE_DEFAULT        Q_KIB(1)
#define SERVE_READER_PATIENCE_DEFAULT  (30 * Q_SECOND_NS)
#define SERVE_LINGER_NS_DEFAULT        (1 * Q_SECOND_NS)
#define SERVE_INPUT_BYTES_DEFAULT      Q_MIB(1)
#define SERVE_STRANGER_BYTES_DEFAULT   Q_KIB(8) /* with its answers, not above 16 KiB */
#define SERVE_ACCEPT_PAUSE_NS_DEFAULT  (100 * Q_MS_NS)
#define SERVE_DRAIN_NS_DEFAULT         (7 * Q_SECOND_NS)
/* Of the memory's limit: what all answers together may have waiting. */
#define SERVE_OUTPUT_PART_DEFAULT 10u

struct serve_limits {
    uint64_t connections_max; /* of all listeners; beyond: `too_many` */

    /* Nanoseconds. */
    uint64_t idle_timeout_ns; /* between requests. The one whose default is none */
    /* An unfinished line, or TLS handshake, from its first byte. */
    uint64_t line_deadline_ns;
    /* A body that is awaited brings body_bytes_per_second, averaged over each body_grace_ns. */
    uint64_t body_grace_ns;
    uint64_t body_bytes_per_second;
    uint64_t reader_patience_ns; /* answers wait, and the reader takes nothing */
    uint64_t linger_ns;          /* for the client's own end, after ours */
    uint64_t accept_pause_ns;    /* when there are no file descriptors left */
    uint64_t drain_ns;           /* for what is in flight when the server ends */

    /* Bytes. */
    uint64_t input_bytes_max;    /* of a request that a door has yet to consume: `too_long` */
    uint64_t stranger_bytes_max; /* the same before a login, where one is asked for */
    uint64_t output_bytes_max;   /* waiting on all connections together: the worst is cut */
};

/* What a client is told before it is closed; "" for nothing. With their line ends. */
struct serve_replies {
    const char *too_many; /* connections */
    const char *refused;  /* by the hook `admit` */
    const char *too_long; /* a request */
};

/* memcached's words. */
extern const struct serve_replies serve_replies_memcached;

/* Puts defaults for zeros. `memory_limit_bytes`: of the memory that answers wait in. */
void serve_limits_complete(struct serve_limits *limits, uint64_t memory_limit_bytes);

#endif
