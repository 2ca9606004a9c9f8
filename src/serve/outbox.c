/*
 * The outbox: answers leave in a burst.
 *
 *     pass    turn A | turn B | turn C |  send A, B, C
 *     client          asleep           |  woken once, and finds all three
 *
 * A client that waits for several connections sleeps until the first is answered. Were each answer
 * sent at the end of its turn, he would be woken, take one, and sleep again, for each: to wake a
 * thread of another CPU is an interrupt there, which costs the one who sends it more than to answer
 * a request (a quarter of a worker's time, in a virtual machine, with 50 connections). So what a
 * turn answers is copied here, where others have their turn in the same pass, and goes out when
 * they all have had it.
 *
 * What is long goes at once: its copy would cost more. So does what cannot wait: of a connection
 * that closes, that has more waiting, or that is alone.
 *
 * Invariants:
 *   1. A connection is in one place at most, and has nothing else waiting; it has no other turn
 *      before that was sent, for it has one in a pass.
 *   2. Outside of the pass over those who are ready the outbox is empty.
 *   3. Nothing that failed is left: who took less than all, or is broken, is settled again.
 *
 * Cost: a copy of at most 8 KiB. An answer waits for the turns of 63 others at most, none of which
 * brought or was given 16 KiB in its last one.
 */
#include <serve/outbox.h>

#include <string.h>

#include <serve/connection.h>
#include <serve/worker.h>

/* Up to here the copy is cheaper than what it saves. */
#define TAKEN_BYTES_MAX Q_KIB(8)

static bool can_wait(const struct serve_connection *connection)
{
    const struct serve_worker *worker = connection->worker;
    const struct serve_batch *batch = &worker->batch;

    return batch->byte_count > 0 && batch->byte_count <= TAKEN_BYTES_MAX &&
           connection->output.waiting_bytes == 0 && !connection->output.is_withheld &&
           !connection->is_closing && !connection->is_failed && !connection->is_ended &&
           !worker->is_draining;
}

bool serve_outbox_is_full(const struct serve_worker *worker)
{
    return worker->outbox.count == SERVE_OUTBOX_PLACES_MAX ||
           worker->outbox.used > SERVE_OUTBOX_BYTES - TAKEN_BYTES_MAX;
}

static void copy_batch(struct serve_batch *batch, char *to)
{
    for (uint32_t i = 0; i < batch->piece_count; i++) {
        memcpy(to, batch->pieces[i].iov_base, batch->pieces[i].iov_len);
        to += batch->pieces[i].iov_len;
    }
}

bool serve_outbox_take(struct serve_connection *connection)
{
    struct serve_worker *worker = connection->worker;
    struct serve_outbox *outbox = &worker->outbox;
    size_t byte_count = worker->batch.byte_count;

    if (!worker->is_running_ready || (worker->ready.count == 0 && outbox->count == 0) ||
        !can_wait(connection)) {
        return false;
    }
    Q_DCHECK(!serve_outbox_is_full(worker));
    Q_DCHECK(connection->outbox_place == 0); /* invariant 1 */
    copy_batch(&worker->batch, outbox->room + outbox->used);
    outbox->places[outbox->count].connection = connection;
    outbox->places[outbox->count].offset = (uint32_t)outbox->used;
    outbox->places[outbox->count].byte_count = (uint32_t)byte_count;
    outbox->used += byte_count;
    connection->outbox_place = (uint8_t)++outbox->count;
    serve_batch_reset(&worker->batch);
    return true;
}

static void send_place(struct serve_outbox *outbox, uint32_t i)
{
    struct serve_connection *connection = outbox->places[i].connection;

    if (connection == NULL) {
        return;
    }
    connection->outbox_place = 0;
    serve_output_send_bytes(connection, outbox->room + outbox->places[i].offset,
                            outbox->places[i].byte_count);
    if (Q_UNLIKELY(connection->is_failed || connection->output.waiting_bytes > 0)) {
        serve_connection_settle(connection); /* invariant 3 */
    }
}

void serve_outbox_flush(struct serve_worker *worker)
{
    struct serve_outbox *outbox = &worker->outbox;

    Q_DCHECK(worker->current == NULL);
    for (uint32_t i = 0; i < outbox->count; i++) {
        send_place(outbox, i);
    }
    outbox->count = 0;
    outbox->used = 0;
}

void serve_outbox_forget(struct serve_connection *connection)
{
    if (connection->outbox_place != 0) {
        connection->worker->outbox.places[connection->outbox_place - 1].connection = NULL;
        connection->outbox_place = 0;
    }
}
