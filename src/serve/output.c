/*
 * Answers: sent by one call, kept where a reader is slow.
 *
 *     block   | next, sizes | record | record | record |  free  |     of a connection that waits
 *     record  | bytes, kind | copied bytes ...                  |
 *             | bytes, kind | what is borrowed, and held         |
 *
 * The batch (batch.c) goes out by one sendmsg at the turn's end, or when it is full; or a copy of
 * it with others', when the pass ends (outbox.c). What the socket does not take is appended to the
 * connection's records: borrowed stretches stay where they are if the door can hold them there, all
 * else is copied into runs of pages. From then on the connection's answers queue behind that, and
 * it goes on when the socket can be written to.
 *
 * Invariants:
 *   1. Bytes leave in the order in which the door gave them.
 *   2. waiting_bytes is the sum of the records' bytes, less head_sent.
 *   3. memory_bytes is the blocks and the input of a connection that is paused, not what the door
 *      holds; the worker's counter is the sum of its connections', the net's that of its workers.
 *   4. No memory for what must be kept fails the connection: answers are never left out.
 *   5. While a connection's answers are withheld nothing of it is sent. They begin with a record of
 *      their own behind kept_bytes, so that they can be forgotten without the rest.
 *
 * A reader that takes nothing costs at most what a door collects before it stops, 1 MiB and one
 * answer; all of them together limits.output_bytes_max, above which the connection with the most is
 * cut, of the worker with the most. What the door holds for them is memory of its store, which has
 * its own cap for it: were it counted here, large values would have readers cut that take them as
 * fast as they can.
 *
 * Cost of an answer that is taken at once: its copy, and no more.
 */
#include <serve/output.h>

#include <string.h>

#include <serve/connection.h>
#include <serve/net.h>
#include <serve/state.h>
#include <serve/transport.h>
#include <serve/worker.h>

#define BLOCK_BYTES_MAX Q_KIB(64)
/* Pieces of one write of what waits: more than a record of TLS can have, see transport.c. */
#define RESUMED_PIECES_MAX 128u
/* Below it a copy is cheaper than to have the door hold it. */
#define HELD_BYTES_MIN 512u

struct serve_out_block {
    struct serve_out_block *next;
    uint32_t capacity;
    uint32_t head; /* offset of the first record */
    uint32_t used; /* end of the last one */
    uint32_t last; /* offset of the last one; 0: none */
};

struct out_record {
    uint32_t byte_count; /* that follow; of a held one, sizeof(struct serve_borrowed) */
    bool is_held;
};

#define RECORD_ALIGN 8u

static struct out_record *record_at(struct serve_out_block *block, uint32_t offset)
{
    return (struct out_record *)(void *)((char *)block + offset);
}

static char *record_bytes(struct out_record *record)
{
    return (char *)(record + 1);
}

static struct serve_borrowed *record_held(struct out_record *record)
{
    return (struct serve_borrowed *)(void *)record_bytes(record);
}

static struct iovec record_piece(struct out_record *record)
{
    if (record->is_held) {
        struct serve_borrowed *held = record_held(record);
        return (struct iovec){(void *)(uintptr_t)held->bytes, held->byte_count};
    }
    return (struct iovec){record_bytes(record), record->byte_count};
}

/* ---- figures -------------------------------------------------------------------------------- */

static void memory_add(struct serve_connection *connection, size_t bytes)
{
    connection->output.memory_bytes += bytes;
    serve_worker_count(&connection->worker->counters.waiting_bytes, bytes);
    /* Relaxed: a figure that limits are compared with. */
    (void)atomic_add_relaxed_u64(&connection->worker->net->waiting_bytes, bytes);
}

static void memory_subtract(struct serve_connection *connection, size_t bytes)
{
    struct serve_worker *worker = connection->worker;

    Q_ASSERT(connection->output.memory_bytes >= bytes); /* invariant 3 */
    connection->output.memory_bytes -= bytes;
    serve_worker_count(&worker->counters.waiting_bytes, (uint64_t)-bytes);
    (void)atomic_sub_relaxed_u64(&worker->net->waiting_bytes, bytes);
}

/* ---- keeping -------------------------------------------------------------------------------- */

static bool block_append(struct serve_connection *connection, size_t wanted_bytes)
{
    struct serve_output *output = &connection->output;
    size_t bytes = size_min(serve_buffer_bytes(sizeof(struct serve_out_block) +
                                               sizeof(struct out_record) + wanted_bytes),
                            BLOCK_BYTES_MAX);
    struct serve_out_block *block =
        serve_buffer_take(serve_worker_memory(connection->worker), bytes);

    if (block == NULL) {
        return false;
    }
    *block = (struct serve_out_block){
        .capacity = (uint32_t)bytes, .head = sizeof(*block), .used = sizeof(*block)};
    if (output->last == NULL) {
        output->first = block;
    } else {
        output->last->next = block;
    }
    output->last = block;
    memory_add(connection, bytes);
    return true;
}

/* A new record in the last block, which has room for it. */
static struct out_record *record_append(struct serve_out_block *block, bool is_held)
{
    uint32_t offset = (uint32_t)size_align_up(block->used, RECORD_ALIGN);
    struct out_record *record = record_at(block, offset);

    Q_DCHECK(offset + sizeof(*record) <= block->capacity);
    *record = (struct out_record){.is_held = is_held};
    block->last = offset;
    block->used = offset + (uint32_t)sizeof(*record);
    return record;
}

/* How many bytes of data a new record in the block could have. */
static size_t block_room(const struct serve_out_block *block)
{
    size_t taken = size_align_up(block->used, RECORD_ALIGN) + sizeof(struct out_record);

    return taken < block->capacity ? block->capacity - taken : 0;
}

/* The record that copied bytes go on in: the last one, or a new one. NULL: no memory. */
static struct out_record *record_for_copy(struct serve_connection *connection, size_t wanted_bytes)
{
    struct serve_out_block *block = connection->output.last;

    if (block != NULL && block->last != 0 && block->used < block->capacity &&
        !record_at(block, block->last)->is_held) {
        return record_at(block, block->last);
    }
    if ((block == NULL || block_room(block) == 0) && !block_append(connection, wanted_bytes)) {
        return NULL;
    }
    return record_append(connection->output.last, false);
}

static bool keep_copy(struct serve_connection *connection, const char *bytes, size_t byte_count)
{
    while (byte_count > 0) {
        struct out_record *record = record_for_copy(connection, byte_count);
        if (record == NULL) {
            return false;
        }
        struct serve_out_block *block = connection->output.last;
        uint32_t count = (uint32_t)size_min(byte_count, block->capacity - block->used);
        memcpy((char *)block + block->used, bytes, count);
        record->byte_count += count;
        block->used += count;
        connection->output.waiting_bytes += count;
        bytes += count;
        byte_count -= count;
    }
    return true;
}

/* `sent_bytes`: of the stretch, already; then nothing else waits. */
static bool keep_held(struct serve_connection *connection, const struct serve_borrowed *borrowed,
                      size_t sent_bytes)
{
    struct serve_output *output = &connection->output;

    if (output->last == NULL || block_room(output->last) < sizeof(*borrowed)) {
        if (!block_append(connection, sizeof(*borrowed))) {
            connection->door->release(connection, borrowed);
            return false;
        }
    }
    struct out_record *record = record_append(output->last, true);
    record->byte_count = sizeof(*borrowed);
    output->last->used += (uint32_t)sizeof(*borrowed);
    *record_held(record) = *borrowed;
    if (sent_bytes > 0) {
        Q_ASSERT(output->waiting_bytes == 0);
        output->head_sent = sent_bytes;
    }
    output->waiting_bytes += borrowed->byte_count - sent_bytes;
    return true;
}

static bool keep_piece(struct serve_connection *connection, const struct serve_batch *batch,
                       uint32_t i, size_t sent_bytes)
{
    const struct serve_borrowed *borrowed = &batch->borrowed[i];
    const struct serve_door *door = connection->door;
    const struct iovec *piece = &batch->pieces[i];

    if (borrowed->bytes != NULL && piece->iov_len >= HELD_BYTES_MIN && door->hold != NULL &&
        door->hold(connection, borrowed)) {
        return keep_held(connection, borrowed, sent_bytes);
    }
    return keep_copy(connection, (const char *)piece->iov_base + sent_bytes,
                     piece->iov_len - sent_bytes);
}

/* Keeps of the batch what is behind the first `sent_bytes`. */
static bool keep_rest(struct serve_connection *connection, const struct serve_batch *batch,
                      size_t sent_bytes)
{
    for (uint32_t i = 0; i < batch->piece_count; i++) {
        size_t piece_bytes = batch->pieces[i].iov_len;
        if (sent_bytes >= piece_bytes) {
            sent_bytes -= piece_bytes;
        } else if (!keep_piece(connection, batch, i, sent_bytes)) {
            return false;
        } else {
            sent_bytes = 0;
        }
    }
    return true;
}

/* ---- sending -------------------------------------------------------------------------------- */

/* Sends the batch if nothing waits before it. Returns: the bytes that went, or _FAILED. */
static ssize_t batch_write(struct serve_connection *connection, struct serve_batch *batch)
{
    if (connection->output.waiting_bytes > 0 || connection->output.is_withheld) {
        return 0; /* invariants 1 and 5 */
    }
    if (connection->tls == NULL) {
        ssize_t bytes = serve_transport_write(connection, batch->pieces, batch->piece_count);
        return bytes == SERVE_TRANSPORT_AGAIN ? 0 : bytes;
    }
    /* TLS changes the pieces as they go: on a copy, for what is kept is told by the originals. */
    struct iovec pieces[SERVE_PIECES_MAX];
    memcpy(pieces, batch->pieces, batch->piece_count * sizeof(pieces[0]));
    ssize_t bytes = serve_transport_write(connection, pieces, batch->piece_count);
    return bytes == SERVE_TRANSPORT_AGAIN ? 0 : bytes;
}

/* Behind what was to be kept. */
Q_COLD static void note_kept(struct serve_connection *connection, bool is_kept)
{
    if (!is_kept) { /* invariant 4 */
        serve_worker_count(&connection->worker->counters.no_memory_count, 1);
        serve_worker_tell(connection, SERVE_NEWS_NO_MEMORY, "no memory for an answer");
        connection->is_failed = true;
    }
    serve_worker_bound_output(connection->worker);
}

void serve_output_send(struct serve_connection *connection)
{
    struct serve_batch *batch = &connection->worker->batch;

    if (batch->byte_count == 0 || connection->is_failed) {
        serve_batch_reset(batch);
        return;
    }
    ssize_t bytes = batch_write(connection, batch);
    if (bytes == SERVE_TRANSPORT_FAILED) {
        connection->is_failed = true;
    } else if ((size_t)bytes < batch->byte_count) {
        note_kept(connection, keep_rest(connection, batch, (size_t)bytes));
    }
    serve_batch_reset(batch);
}

void serve_output_send_bytes(struct serve_connection *connection, const char *from,
                             size_t byte_count)
{
    struct iovec piece = {(void *)(uintptr_t)from, byte_count};

    Q_ASSERT(connection->output.waiting_bytes == 0 && !connection->output.is_withheld);
    if (connection->is_failed) {
        return;
    }
    ssize_t bytes = serve_transport_write(connection, &piece, 1);
    if (bytes == SERVE_TRANSPORT_FAILED) {
        connection->is_failed = true;
        return;
    }
    size_t sent_bytes = bytes == SERVE_TRANSPORT_AGAIN ? 0 : (size_t)bytes;
    if (sent_bytes < byte_count) {
        note_kept(connection, keep_copy(connection, from + sent_bytes, byte_count - sent_bytes));
    }
}

/* The first of what waits, as pieces. */
static uint32_t output_gather(const struct serve_output *output, struct iovec *pieces)
{
    size_t skipped = output->head_sent;
    uint32_t count = 0;

    for (struct serve_out_block *block = output->first; block != NULL && count < RESUMED_PIECES_MAX;
         block = block->next) {
        for (uint32_t at = block->head; at < block->used && count < RESUMED_PIECES_MAX;) {
            struct out_record *record = record_at(block, at);
            struct iovec piece = record_piece(record);
            pieces[count++] =
                (struct iovec){(char *)piece.iov_base + skipped, piece.iov_len - skipped};
            skipped = 0;
            at = (uint32_t)size_align_up(at + sizeof(*record) + record->byte_count, RECORD_ALIGN);
        }
    }
    return count;
}

static void block_drop_first(struct serve_connection *connection)
{
    struct serve_output *output = &connection->output;
    struct serve_out_block *block = output->first;

    memory_subtract(connection, block->capacity);
    output->first = block->next;
    output->last = output->first == NULL ? NULL : output->last;
    serve_buffer_give(serve_worker_memory(connection->worker), block);
}

/* The first record has gone, or is to. */
static void record_drop_first(struct serve_connection *connection)
{
    struct serve_out_block *block = connection->output.first;
    struct out_record *record = record_at(block, block->head);

    if (record->is_held) {
        struct serve_borrowed held = *record_held(record);
        connection->door->release(connection, &held);
    }
    block->head =
        (uint32_t)size_align_up(block->head + sizeof(*record) + record->byte_count, RECORD_ALIGN);
    if (block->head >= block->used) {
        block_drop_first(connection);
    }
    connection->output.head_sent = 0;
}

static void output_drop(struct serve_connection *connection, size_t sent_bytes)
{
    struct serve_output *output = &connection->output;

    output->waiting_bytes -= sent_bytes;
    while (sent_bytes > 0) {
        struct out_record *record = record_at(output->first, output->first->head);
        size_t left = record_piece(record).iov_len - output->head_sent;
        if (sent_bytes < left) {
            output->head_sent += sent_bytes;
            return;
        }
        sent_bytes -= left;
        record_drop_first(connection);
    }
}

void serve_output_resume(struct serve_connection *connection)
{
    struct iovec pieces[RESUMED_PIECES_MAX];
    uint32_t count =
        connection->output.is_withheld ? 0 : output_gather(&connection->output, pieces);

    if (count == 0) {
        return;
    }
    ssize_t bytes = serve_transport_write(connection, pieces, count);
    if (bytes == SERVE_TRANSPORT_FAILED) {
        connection->is_failed = true;
    } else if (bytes > 0) {
        output_drop(connection, (size_t)bytes);
    }
}

void serve_output_count_input(struct serve_connection *connection)
{
    struct serve_output *output = &connection->output;
    size_t bytes = connection->is_paused ? connection->input.capacity : 0;

    if (Q_LIKELY(bytes == output->input_bytes)) {
        return;
    }
    if (bytes > output->input_bytes) {
        memory_add(connection, bytes - output->input_bytes);
        serve_worker_bound_output_later(connection->worker);
    } else {
        memory_subtract(connection, output->input_bytes - bytes);
    }
    output->input_bytes = bytes;
}

void serve_output_clear(struct serve_connection *connection)
{
    while (connection->output.first != NULL) {
        record_drop_first(connection);
    }
    memory_subtract(connection, connection->output.input_bytes);
    connection->output.input_bytes = 0;
    Q_ASSERT(connection->output.memory_bytes == 0);
    connection->output.waiting_bytes = 0;
    connection->output.is_withheld = false;
    connection->output.kept_bytes = 0;
}

/* ---- withholding ---------------------------------------------------------------------------- */

/* Forgets records of a block from an offset on; the last one before it is not gone on with. */
static void block_cut(struct serve_connection *connection, struct serve_out_block *block,
                      uint32_t offset)
{
    for (uint32_t at = offset; at < block->used;) {
        struct out_record *record = record_at(block, at);
        if (record->is_held) {
            struct serve_borrowed held = *record_held(record);
            connection->door->release(connection, &held);
        }
        at = (uint32_t)size_align_up(at + sizeof(*record) + record->byte_count, RECORD_ALIGN);
    }
    block->used = (uint32_t)size_min_u64(block->used, offset);
    block->last = 0;
}

/* Where the first `kept_bytes` of a block's answers end. `left`: less those. */
static uint32_t block_keep(struct serve_out_block *block, size_t *left)
{
    uint32_t at = block->head;

    while (at<block->used && * left> 0) {
        struct out_record *record = record_at(block, at);
        size_t bytes = record_piece(record).iov_len;
        Q_ASSERT(bytes <= *left); /* invariant 5 */
        *left -= bytes;
        at = (uint32_t)size_align_up(at + sizeof(*record) + record->byte_count, RECORD_ALIGN);
    }
    return at;
}

/* Forgets everything behind kept_bytes. */
static void output_cut(struct serve_connection *connection)
{
    struct serve_output *output = &connection->output;
    size_t left = output->kept_bytes == 0 ? 0 : output->kept_bytes + output->head_sent;
    struct serve_out_block *last = NULL, *block = output->first;

    for (; block != NULL && left > 0; block = block->next) {
        block_cut(connection, block, block_keep(block, &left));
        last = block;
    }
    while (block != NULL) {
        struct serve_out_block *next = block->next;
        block_cut(connection, block, block->head);
        memory_subtract(connection, block->capacity);
        serve_buffer_give(serve_worker_memory(connection->worker), block);
        block = next;
    }
    output->last = last;
    if (last != NULL) {
        last->next = NULL;
    } else {
        output->first = NULL;
    }
    output->waiting_bytes = output->kept_bytes;
}

void serve_connection_withhold(struct serve_connection *connection)
{
    struct serve_output *output = &connection->output;

    if (output->is_withheld) {
        return;
    }
    output->is_withheld = true;
    output->kept_bytes = output->waiting_bytes;
    if (output->last != NULL) {
        output->last->last = 0; /* invariant 5 */
    }
}

void serve_connection_release(struct serve_connection *connection, bool is_good)
{
    struct serve_output *output = &connection->output;

    if (!output->is_withheld) {
        return;
    }
    serve_output_send(connection); /* to the others, if this turn has answered already */
    if (!is_good) {
        output_cut(connection);
    }
    output->is_withheld = false;
    output->kept_bytes = 0;
    if (!connection->is_failed) {
        serve_output_resume(connection);
    }
}
