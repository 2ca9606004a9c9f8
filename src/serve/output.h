/*
 * Answers on their way out: a worker's batch of the turn under way, and what a connection has
 * waiting because its reader did not take it.
 */
#ifndef QUARRY_SERVE_OUTPUT_H
#define QUARRY_SERVE_OUTPUT_H

#include <sys/uio.h>

#include <serve/buffers.h>
#include <serve/door.h>

/* Pieces of one sendmsg; half of what the kernel takes. */
#define SERVE_PIECES_MAX 512u
/* What is copied into one batch. A 64th of a second at 4 MiB a second; it stays in the L2 cache. */
#define SERVE_BATCH_BYTES Q_KIB(64)
/* The largest room that a door may ask for. */
#define SERVE_ROOM_BYTES_MAX Q_KIB(4)

/* A worker's: of the connection whose turn it is. */
struct serve_batch {
    char *room; /* const: of SERVE_BATCH_BYTES */
    size_t room_used;
    size_t byte_count; /* of all pieces */
    uint32_t piece_count;
    struct iovec pieces[SERVE_PIECES_MAX];
    struct serve_borrowed borrowed[SERVE_PIECES_MAX]; /* bytes NULL: copied into `room` */
};

struct serve_out_block;

/* A connection's: what waits. All zero: nothing does. */
struct serve_output {
    struct serve_out_block *first;
    struct serve_out_block *last;
    size_t head_sent;     /* bytes of the first record that are sent already */
    size_t waiting_bytes; /* to be sent */
    size_t memory_bytes;  /* of the net, behind them */
    size_t input_bytes;   /* of those: requests that wait until they have been taken */
    bool is_withheld;     /* nothing is sent: the door's word is waited for */
    size_t kept_bytes;    /* of what waits, what waited before that */
};

/* Nothing is in it any more. */
static inline void serve_batch_reset(struct serve_batch *batch)
{
    batch->room_used = 0;
    batch->byte_count = 0;
    batch->piece_count = 0;
}

/* Sends the batch, or puts what the socket does not take behind what waits already. */
void serve_output_send(struct serve_connection *connection);
/* Sends bytes of a connection that has nothing waiting, outside of its turn; keeps the rest. */
void serve_output_send_bytes(struct serve_connection *connection, const char *from,
                             size_t byte_count);
/* Sends of what waits what the socket takes at once. */
void serve_output_resume(struct serve_connection *connection);
/*
 * Counts what the connection's input takes while it is paused, for it waits for the same reader.
 * Nothing is cut at once.
 */
void serve_output_count_input(struct serve_connection *connection);
/* Forgets what waits; the door is told to let go. */
void serve_output_clear(struct serve_connection *connection);

#endif
