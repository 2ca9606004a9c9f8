/*
 * Reports by a child.
 *
 *     server ── order ──> reporter ── /proc/self/exe heap PID --json ──> child ── reads the
 *        ├──── pipe: the report <──────────────────────────────────────────┤   statistics segment
 *        └ ─ ─ pipe: what it reads from stdin, of some reports ─ ─ ─ ─ ─ ─ >   and the files of
 *                                                                              the program
 *
 * Names for addresses need the debug information of the program: hundreds of megabytes that a
 * process with a budget must not take for somebody's curiosity. A child has them instead, for the
 * moment of a report. It is the first whom the kernel ends when the machine runs out of memory. It
 * reads figures from outside, as `quarry heap PID` does from a terminal, so a report that fails
 * fails alone. The server itself may run nothing: reporter.c does.
 *
 * Rejected: libbacktrace in the server (its memory is mapped past every allocator), and threads
 * that symbolise in the background (the same memory, for ever).
 *
 * Invariants:
 *   1. There is one child at most: `is_running`.
 *   2. A child has ended, and was waited for, when observe_run returns.
 *   3. It inherits no descriptor but its three.
 *
 * Locking: none; the flag of invariant 1.
 */
#include <serve/http/http.h>
#include <serve/observe/child.h>
#include <serve/observe/reporter.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <os/os.h>

#define PATIENCE_NS (20 * Q_SECOND_NS)
/* For one's turn. */
#define TURN_NS (3 * Q_SECOND_NS)
/* How often it is looked whether anybody still waits. */
#define LOOK_MS     100
#define PIECE_BYTES 16384u

/* Taken by who runs a child. */
static _Atomic(bool) is_running;

struct child {
    const struct observe_order *order;
    struct http_text *report;
    char *said;
    size_t said_bytes;
    int output, errors; /* the reading ends; -1: closed */
    int input;          /* the writing end, which does not wait; -1: closed */
    size_t sent_bytes;  /* of the input */
    uint64_t deadline_ns;
};

/* ---- beginning ------------------------------------------------------------------------------ */

static void close_end(int *fd)
{
    if (*fd >= 0) {
        (void)close(*fd);
    }
    *fd = -1;
}

/* Returns: 0, or an errno. */
static int begin(struct child *child)
{
    int input[2] = {-1, -1};
    int output[2] = {-1, -1};
    int errors[2] = {-1, -1};
    int status = 0;

    if (pipe2(output, O_CLOEXEC) != 0 || pipe2(errors, O_CLOEXEC) != 0 ||
        (child->order->input != NULL &&
         (pipe2(input, O_CLOEXEC) != 0 || fcntl(input[1], F_SETFL, O_NONBLOCK) != 0))) {
        status = errno;
    } else {
        status = reporter_run(child->order->words, input[0], output[1], errors[1]);
    }
    close_end(&input[0]);
    close_end(&output[1]);
    close_end(&errors[1]);
    if (status != 0) {
        close_end(&input[1]);
        close_end(&output[0]);
        close_end(&errors[0]);
        return status;
    }
    child->input = input[1];
    child->output = output[0];
    child->errors = errors[0];
    return 0;
}

/* ---- reading -------------------------------------------------------------------------------- */

static void read_errors(struct child *child)
{
    char piece[256];
    ssize_t count = read(child->errors, piece, sizeof piece);

    if (count <= 0) {
        close_end(&child->errors);
        return;
    }
    size_t room = OBSERVE_SAID_BYTES - 1 - child->said_bytes;
    size_t kept = size_min((size_t)count, room);
    memcpy(child->said + child->said_bytes, piece, kept);
    child->said_bytes += kept;
    child->said[child->said_bytes] = '\0';
}

static void read_output(struct child *child)
{
    char *room = http_text_room(child->report, PIECE_BYTES);

    if (room == NULL) {
        close_end(&child->output); /* it learns so when it writes on */
        return;
    }
    ssize_t count = read(child->output, room, PIECE_BYTES);
    if (count <= 0) {
        close_end(&child->output);
        return;
    }
    child->report->count += (size_t)count;
}

/* A child that does not read on has its reasons, and says them. */
static void write_input(struct child *child)
{
    const struct observe_order *order = child->order;
    ssize_t count = write(child->input, order->input + child->sent_bytes,
                          order->input_bytes - child->sent_bytes);

    child->sent_bytes += count > 0 ? (size_t)count : 0;
    if (child->sent_bytes == order->input_bytes || (count < 0 && errno != EAGAIN)) {
        close_end(&child->input);
    }
}

/* Reads until both ends are closed. Returns: what stopped it. */
static enum observe_outcome read_all(struct child *child)
{
    while (child->output >= 0 || child->errors >= 0) {
        struct pollfd fds[] = {{.fd = child->output, .events = POLLIN},
                               {.fd = child->errors, .events = POLLIN},
                               {.fd = child->input, .events = POLLOUT}};

        (void)poll(fds, 3, LOOK_MS);
        if (fds[0].revents != 0) {
            read_output(child);
        }
        if (fds[1].revents != 0) {
            read_errors(child);
        }
        if (fds[2].revents != 0) {
            write_input(child);
        }
        /* Relaxed: a flag, nothing hangs on it. */
        if (child->order->is_cancelled != NULL &&
            atomic_load_relaxed_bool(child->order->is_cancelled)) {
            return OBSERVE_CANCELLED;
        }
        if (os_monotonic_ns(os_real()) >= child->deadline_ns) {
            return OBSERVE_LATE;
        }
    }
    return child->report->is_failed ? OBSERVE_TOO_LONG : OBSERVE_DONE;
}

/* ---- ending --------------------------------------------------------------------------------- */

static enum observe_outcome end(struct child *child, enum observe_outcome outcome)
{
    close_end(&child->input);
    close_end(&child->output);
    close_end(&child->errors);
    const int status = reporter_wait(outcome != OBSERVE_DONE);
    if (outcome != OBSERVE_DONE) {
        return outcome;
    }
    bool is_fine =
        status >= 0 && WIFEXITED(status) &&
        (WEXITSTATUS(status) == 0 || (child->order->takes_findings && WEXITSTATUS(status) == 3));
    return is_fine ? OBSERVE_DONE : OBSERVE_REFUSED;
}

/* Waits a moment for the child before. A page that is loaded again asks twice. */
static bool take_turn(const struct observe_order *order)
{
    uint64_t deadline_ns = os_monotonic_ns(os_real()) + TURN_NS;

    /* Acquire: pairs with the release of the one before. */
    while (atomic_exchange_acquire_bool(&is_running, true)) {
        bool is_cancelled =
            order->is_cancelled != NULL && atomic_load_relaxed_bool(order->is_cancelled);

        if (is_cancelled || os_monotonic_ns(os_real()) >= deadline_ns) {
            return false;
        }
        os_sleep_ns(LOOK_MS * Q_MS_NS / 5);
    }
    return true;
}

enum observe_outcome observe_run(const struct observe_order *order, struct http_text *report,
                                 char *ret_said)
{
    struct child child = {.order = order, .report = report, .said = ret_said, .input = -1};

    ret_said[0] = '\0';
    if (!take_turn(order)) {
        return OBSERVE_BUSY;
    }
    child.deadline_ns = os_monotonic_ns(os_real()) + PATIENCE_NS;
    int status = begin(&child);
    enum observe_outcome outcome = OBSERVE_REFUSED;
    if (status == 0) {
        outcome = end(&child, read_all(&child));
    } else {
        (void)snprintf(ret_said, OBSERVE_SAID_BYTES, "a process could not be started: %s\n",
                       strerror(status));
    }
    atomic_store_release_bool(&is_running, false); /* pairs with the acquire above */
    return outcome;
}

/* ---- answering ------------------------------------------------------------------------------ */

static const char no_room[] = "the report is longer than an answer may be: memory.limit is small\n";
static const char too_late[] = "the report was not ready after 20 s; is the machine overloaded?\n";
static const char busy[] = "another report is being made; ask again\n";

void observe_say_busy(struct http_call *call)
{
    http_say_field(call, "Retry-After", "1");
    http_say_text(call, 503, busy);
}

enum http_outcome observe_answer(struct http_call *call, const char *content_type,
                                 struct observe_order order)
{
    char said[OBSERVE_SAID_BYTES];

    order.is_cancelled = call->is_cancelled;
    switch (observe_run(&order, &call->body_out, said)) {
    case OBSERVE_DONE:
        call->content_type = content_type;
        break;
    case OBSERVE_REFUSED:
        http_say_text(call, 500, said[0] == '\0' ? "the report failed\n" : said);
        break;
    case OBSERVE_BUSY:
        observe_say_busy(call);
        break;
    case OBSERVE_LATE:
        http_say_text(call, 504, too_late);
        break;
    case OBSERVE_TOO_LONG:
        http_say_text(call, 503, no_room);
        break;
    case OBSERVE_CANCELLED:
        break;
    }
    return HTTP_DONE;
}
