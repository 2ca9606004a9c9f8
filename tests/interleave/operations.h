/*
 * What the hooked operations do. The operations themselves are declared in interleave_hooks.h and
 * interleave_os.h.
 */
#ifndef QUARRY_TESTS_INTERLEAVE_OPERATIONS_H
#define QUARRY_TESTS_INTERLEAVE_OPERATIONS_H

#include "interleave/interleave.h"

/* Plants a bug for the whole exploration; NULL: none. `met_count` counts how often it is met. */
void operations_plant(const struct interleave_plant *plant, uint64_t *met_count);
void operations_begin_schedule(void);
/* At the end of a thread: what a planted bug has put off. */
void operations_end_thread(void);
/* Calls the running thread's exit hooks: surroundings.c. */
void operations_exit_thread(void);

#endif
