/*
 * `quarry-bench-child pages …`: one measurement, in the process it is run in.
 */
#ifndef QUARRY_BENCH_PAGES_CHILD_H
#define QUARRY_BENCH_PAGES_CHILD_H

#include <stdbool.h>
#include <stdint.h>

#include <bench/spike.h>
#include <bench/subject.h>
#include <bench/workload.h>

/* The child's side: argv[0] is "pages". Returns: the exit code. */
int bench_pages_child_main(int argc, char **argv);

/* ---- the parent's side: each runs a child, waits for it and reads its numbers --------------- */

/* Whether a child that is started as `subject` is really it. */
bool bench_child_probe(const struct bench_subject *subject);
/* Returns: false when the child failed, which it has said on stderr. */
bool bench_child_sample(const struct bench_subject *subject, const struct bench_row *row,
                        struct bench_amount amount, struct bench_sample *ret_sample);
bool bench_child_spike(const struct bench_subject *subject, uint64_t bytes, uint64_t seconds,
                       struct bench_spike *ret_spike);
/*
 * All user-mode instructions of a child that does `pair_count` pairs of a row, as callgrind counts
 * them. Errors: false: valgrind cannot be run, or its file makes no sense.
 */
bool bench_child_count(const struct bench_subject *subject, const struct bench_row *row,
                       uint64_t pair_count, uint64_t *ret_instruction_count);
#endif
