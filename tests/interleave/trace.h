/*
 * The schedule under way, for people to read.
 */
#ifndef QUARRY_TESTS_INTERLEAVE_TRACE_H
#define QUARRY_TESTS_INTERLEAVE_TRACE_H

#include "interleave/interleave.h"

enum trace_note {
    TRACE_PLAIN,   /* as it says */
    TRACE_OLD,     /* a load returned an old value; `other` is the newest */
    TRACE_FAILED,  /* a CAS failed; `other` is what it wanted */
    TRACE_ODD,     /* a weak CAS failed for no reason */
    TRACE_SKIPPED, /* a planted bug left it out */
    TRACE_PUT_OFF, /* a planted bug moved it behind the next operation */
};

struct trace_step {
    struct interleave_site site;
    const volatile void *object;
    uint64_t before; /* what it found, or loaded */
    uint64_t after;  /* what it stored */
    uint64_t other;
    uint8_t thread;
    enum trace_note note;
};

void trace_begin(void);
void trace_add(const struct trace_step *step);
uint32_t trace_count(void);
/* Writes the last steps that fit into `text`, numbered. Returns: bytes written. */
size_t trace_print(char *text, size_t capacity);

#endif
