/*
 * Instructions of a whole program, as callgrind counts them.
 */
#ifndef QUARRY_BENCH_CALLGRIND_H
#define QUARRY_BENCH_CALLGRIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Runs a program under callgrind, with the arguments of bench_child_run.
 * `ret_instruction_count`: all it executed in user mode, from its start to its end.
 * Errors: false: valgrind cannot be run, the program failed, or the count cannot be read.
 */
bool bench_child_callgrind(const char *const *argv, const char *preload, char *output,
                           uint64_t *ret_instruction_count);
/*
 * Instructions of one step: the difference of two runs, one of `step_count` steps and one of three
 * times as many, so that starting the process and what it does before falls out.
 * `argv`: as above; argv[step_word] is set to the number of steps.
 * Errors: false, as above, or the longer run had no more instructions.
 */
bool bench_child_callgrind_steps(const char **argv, size_t step_word, const char *preload,
                                 uint64_t step_count, double *ret_instructions);
/* Whether there is a valgrind to be run. */
bool bench_child_has_valgrind(void);

#endif
