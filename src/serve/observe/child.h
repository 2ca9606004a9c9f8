/*
 * The program itself, run as a child on this process: reports that need the memory and the
 * libraries of a tool, and not the server's.
 */
#ifndef QUARRY_SERVE_OBSERVE_CHILD_H
#define QUARRY_SERVE_OBSERVE_CHILD_H

#include <base/base.h>

#include <serve/http/text.h>

/* Words of a command line; the program's name is not one of them. */
#define OBSERVE_WORDS_MAX 12u
/* Of what a child says beside its report; what is more is left out. */
#define OBSERVE_SAID_BYTES 512u

enum observe_outcome {
    OBSERVE_DONE = 0, /* its report is there */
    OBSERVE_REFUSED,  /* it failed: `said` tells why */
    OBSERVE_BUSY,     /* another child is at work */
    OBSERVE_LATE,     /* it took too long, and was ended */
    OBSERVE_TOO_LONG, /* its report does not fit the answer */
    OBSERVE_CANCELLED,
};

struct http_call;

struct observe_order {
    const char *const *words;          /* closed by NULL; OBSERVE_WORDS_MAX at most */
    const _Atomic(bool) *is_cancelled; /* relaxed: nobody waits for it any more */
    const char *input;                 /* what it reads from stdin; NULL: nothing */
    size_t input_bytes;
    bool takes_findings; /* exit code 3, "there is something to say", is a success */
};

/*
 * Runs `quarry WORDS…` until it ends, and adds what it prints to a text.
 *
 * `ret_said`: of OBSERVE_SAID_BYTES, closed by NUL: what it said on stderr.
 * Threads: any that may wait, one child at a time. Cost: a process: 10 ms of CPU, 0.6 s and 160 MB
 * where names are looked up in debug information; 20 s at most.
 */
enum observe_outcome observe_run(const struct observe_order *order, struct http_text *report,
                                 char *ret_said);

/* Answers that another report is being made. */
void observe_say_busy(struct http_call *call);

/* The same as an answer of HTTP: its report, or what went wrong. */
enum http_outcome observe_answer(struct http_call *call, const char *content_type,
                                 struct observe_order order);

#endif
