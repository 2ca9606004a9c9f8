/*
 * Bytes to and from a socket, through TLS where the listener has it.
 */
#ifndef QUARRY_SERVE_TRANSPORT_H
#define QUARRY_SERVE_TRANSPORT_H

#include <sys/uio.h>

#include <base/base.h>

struct serve_connection;

enum {
    SERVE_TRANSPORT_END = 0,     /* the client sends no more */
    SERVE_TRANSPORT_AGAIN = -1,  /* nothing now */
    SERVE_TRANSPORT_FAILED = -2, /* for good */
};

/*
 * Reads what there is into the pieces, in order; of an encrypted connection at most a record a
 * piece and time. Returns: bytes, or one of the above.
 */
ssize_t serve_transport_read(struct serve_connection *connection, const struct iovec *pieces,
                             uint32_t piece_count);
/* Writes what the socket takes. Returns: bytes, SERVE_TRANSPORT_AGAIN or _FAILED. */
ssize_t serve_transport_write(struct serve_connection *connection, struct iovec *pieces,
                              uint32_t piece_count);
/* Whether bytes were read from the socket that nobody has had yet: no event will tell of them. */
bool serve_transport_has_more(const struct serve_connection *connection);
/* What the kernel still has of what was written: as the reader takes it, this falls. */
size_t serve_transport_kept_bytes(const struct serve_connection *connection);
/*
 * Whether a client who is not read from has ended, and fewer than `wanted_bytes` of him are here.
 * Cost: a system call, or two.
 */
bool serve_transport_is_gone(const struct serve_connection *connection, uint64_t wanted_bytes);
/* Says that we send no more. */
void serve_transport_finish(struct serve_connection *connection);

#endif
