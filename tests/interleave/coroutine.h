/*
 * Coroutines that have thread storage of their own.
 */
#ifndef QUARRY_TESTS_INTERLEAVE_COROUTINE_H
#define QUARRY_TESTS_INTERLEAVE_COROUTINE_H

#include "interleave/interleave.h"

/* The number of the code that runs on the process' own stack. */
#define COROUTINE_EXPLORER INTERLEAVE_THREADS_MAX

/* Makes stacks and thread storage for coroutines 0 to count - 1. Once in a process. */
void coroutines_make(uint32_t count);
/* Makes a coroutine begin anew, in `body`, when it is switched to next. `body` never returns. */
void coroutine_begin(uint32_t number, void (*body)(void));
/* Goes on where `to` was left; returns when somebody switches back to `from`, the caller. */
void coroutine_switch(uint32_t from, uint32_t to);

/* Whether an address lies on the stack of a coroutine. */
bool coroutine_has_on_stack(const void *address);

#endif
