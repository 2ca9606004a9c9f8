/*
 * /debug/pprof/profile: samples for some seconds, then a profile of them.
 *
 *     handler: may a report be made? ── cpu_begin ── piece, piece … every 100 ms: threads looked
 * for └ the last: cpu_stop, a child, its report
 *
 * The answer's head is sent at once, its body comes at the end, and no thread waits in between.
 * Twice a second goes an empty member of gzip, which readers of gzip make nothing of: a reader who
 * has gone, or a proxy that counts silence, is known only by writing. What is sampled stays raw
 * here: names, and the message that pprof reads, are a child's work (child.c), which gets the
 * samples from its stdin. As the head has gone by then, a child that fails can only have the
 * connection ended: it is tried with something cheap before anything is said.
 *
 * A piece that is asked for before its time says that the door stops: the profile ends there.
 *
 * Locking: none.
 */
#include <serve/observe/observe.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <os/os.h>

#include <serve/observe/child.h>
#include <serve/observe/cpu.h>

#define PID_BYTES       12u
#define SECONDS_DEFAULT 30u
/* Who wants more takes several: a table of stacks is full some time. */
#define SECONDS_MAX 300u
#define LOOK_NS     (100 * Q_MS_NS)
/* As text: each stack with 32 addresses of 17 bytes, the names, and doubled as it grows. */
#define TEXT_BYTES_MAX Q_MIB(8)
/* How often a child that others have in use is waited for, 3 s each. */
#define TRIES_MAX 10u

/* Of looks for threads, one in so many says that the answer goes on. */
#define SAY_EVERY 5u

/* RFC 1952: a head without name and time, an empty block, no bytes and their checksum. */
static const unsigned char empty_member[] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3,
                                             3,    0,    0, 0, 0, 0, 0, 0, 0, 0};

/* A profile under way. */
struct taking {
    struct cpu_samples *samples; /* own */
    uint64_t end_ns;
    uint64_t asked_ns; /* for the last piece; 0: for none, the first is asked for at once */
    uint32_t look_count, try_count;
};

/* Digits alone, from 1. */
static bool parse_seconds(const struct http_call *call, uint32_t *ret_seconds)
{
    struct http_slice text;
    uint32_t seconds = 0;

    *ret_seconds = SECONDS_DEFAULT;
    if (!http_param(call, "seconds", &text)) {
        return true;
    }
    for (size_t i = 0; i < text.count; i++) {
        if (text.bytes[i] < '0' || text.bytes[i] > '9' || seconds > SECONDS_MAX) {
            return false;
        }
        seconds = seconds * 10 + (uint32_t)(text.bytes[i] - '0');
    }
    *ret_seconds = seconds;
    return seconds > 0 && seconds <= SECONDS_MAX;
}

/* Hands the samples to a child, whose report becomes the answer. */
static enum observe_outcome report(struct http_call *call, const struct taking *taking)
{
    char pid[PID_BYTES], said[OBSERVE_SAID_BYTES];
    struct http_text text;

    (void)snprintf(pid, sizeof pid, "%" PRIu32, (uint32_t)getpid());
    const char *const words[] = {"heap", pid, "--cpu", "-", "--pprof", "-", NULL};
    http_text_init(&text, call->body_out.memory, TEXT_BYTES_MAX);
    cpu_write(taking->samples, &text);
    struct observe_order order = {.words = words,
                                  .is_cancelled = call->is_cancelled,
                                  .input = text.bytes,
                                  .input_bytes = text.count};
    enum observe_outcome outcome =
        text.is_failed ? OBSERVE_TOO_LONG : observe_run(&order, &call->body_out, said);
    http_text_fini(&text);
    return outcome;
}

static enum http_outcome finish(struct http_call *call, struct taking *taking)
{
    cpu_stop(taking->samples);
    enum observe_outcome outcome = report(call, taking);
    if (outcome == OBSERVE_BUSY && ++taking->try_count < TRIES_MAX) {
        return HTTP_DONE;
    }
    call->is_last = true;
    return outcome == OBSERVE_DONE ? HTTP_DONE : HTTP_FAILED;
}

static enum http_outcome go_on(struct http_call *call)
{
    struct taking *taking = call->state;
    uint64_t now_ns = os_monotonic_ns(os_real());
    bool is_stopping = now_ns < taking->asked_ns + LOOK_NS;

    if (now_ns >= taking->end_ns || is_stopping) {
        taking->end_ns = 0; /* whatever the clock says when it is tried again */
        return finish(call, taking);
    }
    cpu_look_for_threads(taking->samples);
    taking->asked_ns = now_ns;
    if (++taking->look_count % SAY_EVERY == 0) {
        http_text_add(&call->body_out, empty_member, sizeof empty_member);
    }
    return HTTP_DONE;
}

static void end_taking(struct http_call *call)
{
    struct taking *taking = call->state;

    cpu_end(taking->samples);
    free(taking);
}

/* False: no report can be made; the answer says why. */
static bool try_child(struct http_call *call)
{
    char pid[PID_BYTES];

    (void)snprintf(pid, sizeof pid, "%" PRIu32, (uint32_t)getpid());
    const char *const words[] = {"heap", pid, "--symbol", "0x1", NULL}; /* nobody's address */
    (void)observe_answer(call, "application/octet-stream", (struct observe_order){.words = words});
    return call->status == 0 || call->status == 200;
}

static void refuse(struct http_call *call, enum quarry_status status)
{
    if (status == QUARRY_BUSY) {
        http_say_text(call, 409, "a profile of CPU time is being taken; ask again when it ends\n");
    } else {
        http_say_status(call, status);
    }
}

enum http_outcome observe_answer_cpu(struct http_call *call)
{
    uint32_t seconds;

    if (!parse_seconds(call, &seconds)) {
        http_say_text(call, 400, "seconds is a number from 1 to 300\n");
        return HTTP_DONE;
    }
    if (!try_child(call)) {
        return HTTP_DONE;
    }
    http_text_empty(&call->body_out);
    struct taking *taking = calloc(1, sizeof *taking);
    enum quarry_status status =
        taking == NULL ? QUARRY_NO_MEMORY : cpu_begin(call->body_out.memory, &taking->samples);
    if (status != QUARRY_OK) {
        free(taking);
        refuse(call, status);
        return HTTP_DONE;
    }
    taking->end_ns = os_monotonic_ns(os_real()) + seconds * Q_SECOND_NS;
    call->never_compress = true; /* it is */
    http_say_field(call, "Content-Disposition", "attachment; filename=\"profile.pb.gz\"");
    call->pause_ns = LOOK_NS;
    call->more = go_on;
    call->state = taking;
    call->end_state = end_taking;
    return HTTP_DONE;
}
