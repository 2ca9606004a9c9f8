/*
 * recvmsg, sendmsg, and the same through OpenSSL.
 *
 * Plain: one system call each, of all pieces. Encrypted: OpenSSL reads ahead, so that a record of
 * up to 16 KiB costs one read and not two; what it has read ahead shows in no event, and the caller
 * asks serve_transport_has_more. It writes one record for each call, so small pieces are gathered
 * into records first.
 *
 * Invariants:
 *   1. After SSL_write had to stop, it is called again with the same bytes first and not fewer of
 *      them: what waits only grows at its end, and each record takes as much of it as fits.
 *   2. The error queue of a thread is empty before each call, or SSL_get_error would see others'.
 *
 * SIGPIPE: plain writes ask for none; OpenSSL's raise it, and workers have all signals blocked.
 */
#include <serve/transport.h>

#include <errno.h>
#include <linux/sockios.h>
#include <openssl/err.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <serve/connection.h>
#include <serve/worker.h>

/* The largest record of TLS. */
#define RECORD_BYTES SERVE_RECORD_BYTES
/* Records in one call, so that one reader does not have the worker for long. */
#define RECORDS_MAX 16u

/* ---- TLS ------------------------------------------------------------------------------------ */

Q_COLD static ssize_t tls_failed(struct serve_connection *connection)
{
    char text[160];

    serve_tls_read_error(text, sizeof(text));
    if (!connection->is_secured) {
        serve_worker_count(&connection->worker->counters.tls_failed_count, 1);
        serve_worker_tell(connection, SERVE_NEWS_TLS_FAILED, text);
    }
    return SERVE_TRANSPORT_FAILED;
}

static ssize_t tls_stopped(struct serve_connection *connection, int result)
{
    switch (SSL_get_error(connection->tls, result)) {
    case SSL_ERROR_WANT_READ:
        return SERVE_TRANSPORT_AGAIN;
    case SSL_ERROR_WANT_WRITE:
        connection->tls_waits_to_write = true;
        return SERVE_TRANSPORT_AGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return SERVE_TRANSPORT_END;
    default:
        return tls_failed(connection);
    }
}

/* The handshake may have ended in the last read: then it is known who the client is. */
static bool tls_note_secured(struct serve_connection *connection)
{
    const struct serve_hooks *hooks = &connection->worker->net->hooks;
    char name[64];

    if (connection->is_secured || !SSL_is_init_finished(connection->tls)) {
        return true;
    }
    connection->is_secured = true;
    return hooks->certified == NULL || !serve_tls_read_name(connection->tls, name, sizeof(name)) ||
           hooks->certified(hooks->argument, name, &connection->identity);
}

static ssize_t tls_read_piece(struct serve_connection *connection, const struct iovec *piece)
{
    size_t done = 0;

    while (done < piece->iov_len) {
        size_t bytes = 0;
        ERR_clear_error(); /* invariant 2 */
        serve_worker_count(&connection->worker->counters.receive_count, 1);
        int result = SSL_read_ex(connection->tls, (char *)piece->iov_base + done,
                                 piece->iov_len - done, &bytes);
        if (!tls_note_secured(connection)) {
            return SERVE_TRANSPORT_FAILED;
        }
        if (result <= 0) {
            return done > 0 ? (ssize_t)done : tls_stopped(connection, result);
        }
        done += bytes;
        if (!SSL_has_pending(connection->tls)) {
            break;
        }
    }
    return (ssize_t)done;
}

static ssize_t tls_read(struct serve_connection *connection, const struct iovec *pieces,
                        uint32_t piece_count)
{
    size_t total = 0;

    connection->tls_waits_to_write = false;
    for (uint32_t i = 0; i < piece_count; i++) {
        ssize_t bytes = tls_read_piece(connection, &pieces[i]);
        if (bytes <= 0) {
            return total > 0 ? (ssize_t)total : bytes;
        }
        total += (size_t)bytes;
        if ((size_t)bytes < pieces[i].iov_len) {
            break;
        }
    }
    return (ssize_t)total;
}

/* The first bytes of the pieces in one stretch: a piece itself if it is long enough. */
static struct iovec record_gather(char *record, const struct iovec *pieces, uint32_t piece_count)
{
    size_t gathered = 0;

    if (piece_count == 1 || pieces[0].iov_len >= RECORD_BYTES) {
        return (struct iovec){pieces[0].iov_base, size_min(pieces[0].iov_len, RECORD_BYTES)};
    }
    for (uint32_t i = 0; i < piece_count && gathered < RECORD_BYTES; i++) {
        size_t bytes = size_min(pieces[i].iov_len, RECORD_BYTES - gathered);
        memcpy(record + gathered, pieces[i].iov_base, bytes);
        gathered += bytes;
    }
    return (struct iovec){record, gathered};
}

/* Drops the first bytes of the pieces. */
static void pieces_drop(struct iovec **pieces, uint32_t *piece_count, size_t bytes)
{
    while (*piece_count > 0 && bytes >= (*pieces)->iov_len) {
        bytes -= (*pieces)->iov_len;
        (*pieces)++;
        (*piece_count)--;
    }
    if (bytes > 0) {
        Q_DCHECK(*piece_count > 0);
        (*pieces)->iov_base = (char *)(*pieces)->iov_base + bytes;
        (*pieces)->iov_len -= bytes;
    }
}

static ssize_t tls_write(struct serve_connection *connection, struct iovec *pieces,
                         uint32_t piece_count)
{
    size_t total = 0;

    for (uint32_t i = 0; i < RECORDS_MAX && piece_count > 0; i++) {
        struct iovec record = record_gather(connection->worker->record, pieces, piece_count);
        size_t bytes = 0;
        ERR_clear_error(); /* invariant 2 */
        serve_worker_count(&connection->worker->counters.send_count, 1);
        int result = SSL_write_ex(connection->tls, record.iov_base, record.iov_len, &bytes);
        if (result <= 0) {
            if (SSL_get_error(connection->tls, result) != SSL_ERROR_WANT_WRITE) {
                return tls_failed(connection);
            }
            break;
        }
        total += bytes;
        pieces_drop(&pieces, &piece_count, bytes);
    }
    return total > 0 ? (ssize_t)total : SERVE_TRANSPORT_AGAIN;
}

/* ---- both ----------------------------------------------------------------------------------- */

static bool errno_means_again(int error)
{
    return error == EAGAIN || error == EINTR;
}

static ssize_t plain_read(struct serve_connection *connection, const struct iovec *pieces,
                          uint32_t piece_count)
{
    ssize_t bytes;

    serve_worker_count(&connection->worker->counters.receive_count, 1);
    if (Q_LIKELY(piece_count == 1)) {
        bytes = recv(connection->fd, pieces[0].iov_base, pieces[0].iov_len, MSG_DONTWAIT);
    } else {
        bytes = readv(connection->fd, pieces, (int)piece_count);
    }
    if (Q_UNLIKELY(bytes < 0)) {
        return errno_means_again(errno) ? SERVE_TRANSPORT_AGAIN : SERVE_TRANSPORT_FAILED;
    }
    return bytes;
}

ssize_t serve_transport_read(struct serve_connection *connection, const struct iovec *pieces,
                             uint32_t piece_count)
{
    ssize_t bytes = Q_UNLIKELY(connection->tls != NULL)
                        ? tls_read(connection, pieces, piece_count)
                        : plain_read(connection, pieces, piece_count);

    if (bytes > 0) {
        connection->received_bytes += (size_t)bytes;
        serve_worker_count(&connection->worker->counters.received_bytes, (uint64_t)bytes);
    }
    return bytes;
}

static ssize_t plain_write(struct serve_connection *connection, struct iovec *pieces,
                           uint32_t piece_count)
{
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = piece_count};

    serve_worker_count(&connection->worker->counters.send_count, 1);
    ssize_t bytes = sendmsg(connection->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (Q_UNLIKELY(bytes < 0)) {
        return errno_means_again(errno) ? SERVE_TRANSPORT_AGAIN : SERVE_TRANSPORT_FAILED;
    }
    return bytes;
}

ssize_t serve_transport_write(struct serve_connection *connection, struct iovec *pieces,
                              uint32_t piece_count)
{
    Q_ASSERT(piece_count > 0);
    ssize_t bytes = Q_UNLIKELY(connection->tls != NULL)
                        ? tls_write(connection, pieces, piece_count)
                        : plain_write(connection, pieces, piece_count);
    if (bytes > 0) {
        connection->was_taken = true;
        serve_worker_count(&connection->worker->counters.sent_bytes, (uint64_t)bytes);
    }
    return bytes;
}

bool serve_transport_has_more(const struct serve_connection *connection)
{
    return connection->tls != NULL && SSL_has_pending(connection->tls) != 0;
}

bool serve_transport_is_gone(const struct serve_connection *connection, uint64_t wanted_bytes)
{
    struct pollfd look = {.fd = connection->fd, .events = POLLRDHUP};
    int bytes = 0;

    if (poll(&look, 1, 0) <= 0) {
        return false;
    }
    /* What is encrypted is longer than what it says; OpenSSL may have a record beside it. */
    uint64_t kept = connection->tls != NULL ? SERVE_RECORD_BYTES : 0;

    return ioctl(connection->fd, SIOCINQ, &bytes) == 0 && bytes >= 0 &&
           (uint64_t)bytes + kept < wanted_bytes;
}

size_t serve_transport_kept_bytes(const struct serve_connection *connection)
{
    int bytes = 0;

    return ioctl(connection->fd, SIOCOUTQ, &bytes) == 0 && bytes > 0 ? (size_t)bytes : 0;
}

void serve_transport_finish(struct serve_connection *connection)
{
    if (connection->tls != NULL && connection->is_secured) {
        ERR_clear_error();
        (void)SSL_shutdown(connection->tls); /* its alert is best effort: the end of the stream
                                                follows it at once */
        ERR_clear_error();
    }
    (void)shutdown(connection->fd, SHUT_WR);
}
