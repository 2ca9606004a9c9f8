/*
 * Instructions of a whole program, as callgrind counts them.
 */
#ifndef QUARRY_BENCH_CALLGRIND_H
#define QUARRY_BENCH_CALLGRIND_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Runs a program under callgrind, with the arguments of bench_child_run.
 * `ret_instruction_count`: all it executed in user mode, from its start to its end.
 * Errors: false: valgrind cannot be run, the program failed, or the count cannot be read.
 */
bool bench_child_callgrind(const char *const *argv, const char *preload, char *output,
                           uint64_t *ret_instruction_count);
/* Whether there is a valgrind to be run. */
bool bench_child_has_valgrind(void);

#endif
