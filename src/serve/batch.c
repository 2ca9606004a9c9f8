/*
 * The batch: answers of the turn under way, as doors give them.
 *
 *     batch   | copied | copied |      borrowed      | copied |       pieces, in the order of
 * answers \ room of 64 KiB /        \ where the door says
 *
 * It is of the connection that has its turn, and empty between turns. At the turn's end, or when it
 * is full, it goes out (output.c), or into the worker's outbox, to go with others' (outbox.c).
 *
 * Cost of an answer: its copy; of a borrowed stretch, a piece.
 */
#include <serve/connection.h>
#include <serve/output.h>
#include <serve/worker.h>

#include <string.h>

static struct serve_batch *batch_of(struct serve_connection *connection)
{
    Q_ASSERT_MSG(connection->worker->current == connection, "answers are given in a turn");
    return &connection->worker->batch;
}

/* Whether the last piece ends where the next copied bytes will be. */
static bool batch_can_extend(const struct serve_batch *batch)
{
    if (batch->piece_count == 0) {
        return false;
    }
    const struct iovec *last = &batch->pieces[batch->piece_count - 1];
    return batch->borrowed[batch->piece_count - 1].bytes == NULL &&
           (const char *)last->iov_base + last->iov_len == batch->room + batch->room_used;
}

static void batch_add_piece(struct serve_batch *batch, const void *bytes, size_t byte_count,
                            const struct serve_borrowed *borrowed)
{
    Q_DCHECK(batch->piece_count < SERVE_PIECES_MAX);
    batch->pieces[batch->piece_count] = (struct iovec){(void *)(uintptr_t)bytes, byte_count};
    if (borrowed != NULL) {
        batch->borrowed[batch->piece_count] = *borrowed;
    } else {
        batch->borrowed[batch->piece_count].bytes = NULL;
    }
    batch->piece_count++;
    batch->byte_count += byte_count;
}

char *serve_out_room(struct serve_connection *connection, size_t byte_count)
{
    struct serve_batch *batch = batch_of(connection);

    Q_ASSERT(byte_count <= SERVE_ROOM_BYTES_MAX);
    if (Q_UNLIKELY(byte_count > SERVE_BATCH_BYTES - batch->room_used ||
                   batch->piece_count == SERVE_PIECES_MAX)) {
        serve_output_send(connection);
    }
    return Q_UNLIKELY(connection->is_failed) ? NULL : batch->room + batch->room_used;
}

void serve_out_advance(struct serve_connection *connection, size_t byte_count)
{
    struct serve_batch *batch = batch_of(connection);

    Q_ASSERT(byte_count <= SERVE_BATCH_BYTES - batch->room_used);
    if (batch_can_extend(batch)) {
        batch->pieces[batch->piece_count - 1].iov_len += byte_count;
        batch->byte_count += byte_count;
    } else if (byte_count > 0) {
        batch_add_piece(batch, batch->room + batch->room_used, byte_count, NULL);
    }
    batch->room_used += byte_count;
}

bool serve_out_copy(struct serve_connection *connection, const void *bytes, size_t byte_count)
{
    const char *from = bytes;

    while (byte_count > 0) {
        size_t count = size_min(byte_count, SERVE_ROOM_BYTES_MAX);
        char *room = serve_out_room(connection, count);
        if (room == NULL) {
            return false;
        }
        memcpy(room, from, count);
        serve_out_advance(connection, count);
        from += count;
        byte_count -= count;
    }
    return true;
}

bool serve_out_borrow(struct serve_connection *connection, const struct serve_borrowed *borrowed)
{
    struct serve_batch *batch = batch_of(connection);

    if (Q_UNLIKELY(batch->piece_count == SERVE_PIECES_MAX)) {
        serve_output_send(connection);
    }
    if (Q_UNLIKELY(connection->is_failed)) {
        return false;
    }
    if (borrowed->byte_count > 0) {
        Q_ASSERT(borrowed->bytes != NULL);
        batch_add_piece(batch, borrowed->bytes, borrowed->byte_count, borrowed);
    }
    return true;
}

size_t serve_out_waiting(const struct serve_connection *connection)
{
    const struct serve_worker *worker = connection->worker;

    return connection->output.waiting_bytes +
           (worker->current == connection ? worker->batch.byte_count : 0);
}

void serve_connection_flush(struct serve_connection *connection)
{
    (void)batch_of(connection);
    serve_output_send(connection);
}
