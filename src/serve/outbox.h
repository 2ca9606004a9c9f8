/*
 * A worker's outbox: short answers of this pass's turns, which are sent together at its end.
 */
#ifndef QUARRY_SERVE_OUTBOX_H
#define QUARRY_SERVE_OUTBOX_H

#include <base/base.h>

struct serve_connection;
struct serve_worker;

/* Of 16 long answers, and more short ones than it has places for. */
#define SERVE_OUTBOX_BYTES      Q_KIB(128)
#define SERVE_OUTBOX_PLACES_MAX 64u

struct serve_outbox {
    char *room; /* const: of SERVE_OUTBOX_BYTES */
    size_t used;
    uint32_t count;
    struct {
        struct serve_connection *connection; /* NULL: it has gone */
        uint32_t offset, byte_count;
    } places[SERVE_OUTBOX_PLACES_MAX];
};

/*
 * Takes the batch of the connection whose turn ends, which is then empty.
 * Returns: false: it is to be sent now, for it is long, or nothing is gained, or more waits.
 */
bool serve_outbox_take(struct serve_connection *connection);
/* Whether it is to be sent before somebody else has a turn: the next answer may not fit. */
bool serve_outbox_is_full(const struct serve_worker *worker);
/* Sends all that is there. Outside of turns; connections whose socket fails end. */
void serve_outbox_flush(struct serve_worker *worker);
/* The connection ends: what it has there is not sent. */
void serve_outbox_forget(struct serve_connection *connection);

#endif
