/*
 * A ring of messages under a lock, and an eventfd.
 *
 *     ring   | . . . | first ... first + count | . . . |      messages of 64 bytes, in order
 *
 * Connections arrive by it and answers of other threads come by it: thousands a second, not
 * millions, so a lock held for one copy is the simple thing. The ring doubles when it is full, with
 * the memory taken before the lock: nothing is allocated under it.
 *
 * Invariants:
 *   1. The worker is woken when the ring turns from empty to not empty; it takes until it is empty
 *      again, or goes on in its next pass without sleeping.
 *   2. What was put in before the mailbox was closed is taken out.
 */
#include <serve/mailbox.h>

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

Q_STATIC_ASSERT(sizeof(struct serve_message) == 64, "messages fill cache lines");

#define MESSAGES_PER_PAGE (QUARRY_PAGE_BYTES / sizeof(struct serve_message))
/* 64 MiB of messages: who posts more than that in one pass of a loop has lost the count. */
#define MESSAGES_MAX (1u << 20)

enum quarry_status serve_mailbox_init(struct serve_mailbox *mailbox,
                                      const struct serve_memory *memory)
{
    *mailbox = (struct serve_mailbox){.memory = memory, .wake_fd = -1};
    os_mutex_init(&mailbox->mutex, OS_RANK_LEAF, 0);
    mailbox->ring = serve_buffer_take(memory, QUARRY_PAGE_BYTES);
    if (mailbox->ring == NULL) {
        return QUARRY_NO_MEMORY;
    }
    mailbox->capacity = MESSAGES_PER_PAGE;
    mailbox->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (mailbox->wake_fd < 0) {
        serve_buffer_give(memory, mailbox->ring);
        mailbox->ring = NULL;
        return QUARRY_TOO_MANY;
    }
    return QUARRY_OK;
}

void serve_mailbox_fini(struct serve_mailbox *mailbox)
{
    if (mailbox->ring == NULL) {
        return;
    }
    Q_ASSERT(mailbox->count == 0);
    (void)close(mailbox->wake_fd);
    serve_buffer_give(mailbox->memory, mailbox->ring);
    mailbox->ring = NULL;
}

void serve_mailbox_wake(struct serve_mailbox *mailbox)
{
    uint64_t one = 1;
    ssize_t bytes = write(mailbox->wake_fd, &one, sizeof(one));

    /* A full counter is a wake as well. */
    Q_ASSERT(bytes == (ssize_t)sizeof(one) || errno == EAGAIN);
}

void serve_mailbox_quiet(struct serve_mailbox *mailbox)
{
    uint64_t count;
    ssize_t bytes = read(mailbox->wake_fd, &count, sizeof(count));

    Q_ASSERT(bytes == (ssize_t)sizeof(count) || errno == EAGAIN);
}

static void ring_put_locked(struct serve_mailbox *mailbox, const struct serve_message *message)
    Q_REQUIRES(&mailbox->mutex)
{
    Q_DCHECK(mailbox->count < mailbox->capacity);
    mailbox->ring[(mailbox->first + mailbox->count) % mailbox->capacity] = *message;
    mailbox->count++;
}

/* Moves the messages to `ring`, twice as large, and returns what they were in. */
static struct serve_message *ring_move_locked(struct serve_mailbox *mailbox,
                                              struct serve_message *ring)
    Q_REQUIRES(&mailbox->mutex)
{
    struct serve_message *old = mailbox->ring;
    uint32_t until_end = mailbox->capacity - mailbox->first;

    Q_ASSERT(mailbox->count == mailbox->capacity);
    memcpy(ring, old + mailbox->first, until_end * sizeof(*ring));
    memcpy(ring + until_end, old, mailbox->first * sizeof(*ring));
    mailbox->ring = ring;
    mailbox->first = 0;
    mailbox->capacity *= 2;
    return old;
}

enum put { PUT_DONE, PUT_FIRST, PUT_FULL, PUT_CLOSED };

static enum put ring_try_put(struct serve_mailbox *mailbox, const struct serve_message *message,
                             uint32_t *ret_capacity)
{
    enum put put = PUT_CLOSED;

    os_mutex_lock(&mailbox->mutex);
    *ret_capacity = mailbox->capacity;
    if (!mailbox->is_closed) {
        put = mailbox->count == mailbox->capacity ? PUT_FULL
              : mailbox->count == 0               ? PUT_FIRST
                                                  : PUT_DONE;
        if (put != PUT_FULL) {
            ring_put_locked(mailbox, message);
        }
    }
    os_mutex_unlock(&mailbox->mutex);
    return put;
}

/* Doubles the ring from `capacity`, unless another thread was first. False: no memory. */
Q_COLD static bool ring_enlarge(struct serve_mailbox *mailbox, uint32_t capacity)
{
    struct serve_message *ring =
        capacity >= MESSAGES_MAX
            ? NULL
            : serve_buffer_take(mailbox->memory, (size_t)capacity * 2 * sizeof(*ring));

    if (ring == NULL) {
        return false;
    }
    os_mutex_lock(&mailbox->mutex);
    if (mailbox->capacity == capacity && mailbox->count == capacity) {
        ring = ring_move_locked(mailbox, ring);
    }
    os_mutex_unlock(&mailbox->mutex);
    serve_buffer_give(mailbox->memory, ring);
    return true;
}

bool serve_mailbox_post(struct serve_mailbox *mailbox, const struct serve_message *message)
{
    uint32_t capacity = 0;
    enum put put = ring_try_put(mailbox, message, &capacity);

    while (put == PUT_FULL) {
        if (!ring_enlarge(mailbox, capacity)) {
            return false;
        }
        put = ring_try_put(mailbox, message, &capacity);
    }
    if (put == PUT_FIRST) {
        serve_mailbox_wake(mailbox); /* invariant 1 */
    }
    return put != PUT_CLOSED;
}

bool serve_mailbox_take(struct serve_mailbox *mailbox, struct serve_message *ret_message)
{
    os_mutex_lock(&mailbox->mutex);
    bool is_there = mailbox->count > 0;
    if (is_there) {
        *ret_message = mailbox->ring[mailbox->first];
        mailbox->first = (mailbox->first + 1) % mailbox->capacity;
        mailbox->count--;
    }
    os_mutex_unlock(&mailbox->mutex);
    return is_there;
}

void serve_mailbox_close(struct serve_mailbox *mailbox)
{
    os_mutex_lock(&mailbox->mutex);
    mailbox->is_closed = true;
    os_mutex_unlock(&mailbox->mutex);
}
