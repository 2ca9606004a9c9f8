/*
 * A worker's mailbox: what other threads have for it, in order.
 */
#ifndef QUARRY_SERVE_MAILBOX_H
#define QUARRY_SERVE_MAILBOX_H

#include <os/os.h>

#include <serve/buffers.h>
#include <serve/door.h>
#include <serve/peer.h>

struct serve_listener;

struct serve_message {
    serve_posted_function *function; /* NULL: an arrival */
    union {
        struct {
            uint64_t connection_id;
            void *argument;
        };
        struct {
            struct serve_listener *listener;
            int fd;
            struct serve_peer peer;
        };
    };
};

struct serve_mailbox {
    const struct serve_memory *memory; /* const after init */
    int wake_fd;                       /* const after init: an eventfd that the worker waits on */
    struct os_mutex mutex;
    /* guarded by mutex */
    struct serve_message *ring;
    uint32_t capacity;
    uint32_t first;
    uint32_t count;
    bool is_closed;
};

/* Errors: QUARRY_NO_MEMORY, QUARRY_TOO_MANY (file descriptors). */
enum quarry_status serve_mailbox_init(struct serve_mailbox *mailbox,
                                      const struct serve_memory *memory);
/* Nobody posts any more, and it is empty. */
void serve_mailbox_fini(struct serve_mailbox *mailbox);
/*
 * Puts a message in, and wakes the worker if there was none. Returns: false: no memory, or closed.
 * Threads: any. Cost: a lock; a system call for the first message.
 */
bool serve_mailbox_post(struct serve_mailbox *mailbox, const struct serve_message *message);
/* Wakes the worker without a message. */
void serve_mailbox_wake(struct serve_mailbox *mailbox);
/* Takes the oldest message. Returns: false: there is none. Threads: the worker. */
bool serve_mailbox_take(struct serve_mailbox *mailbox, struct serve_message *ret_message);
/* From here on posts are refused; what was posted can still be taken. */
void serve_mailbox_close(struct serve_mailbox *mailbox);
/* The worker has seen that it was woken. */
void serve_mailbox_quiet(struct serve_mailbox *mailbox);

#endif
