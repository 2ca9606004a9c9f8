/*
 * Looks at resident memory over time: taken in a child, printed at its end, read by the parent.
 */
#ifndef QUARRY_BENCH_STORIES_LOOKS_H
#define QUARRY_BENCH_STORIES_LOOKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What fits into the text that is read of a child. */
#define STORIES_LOOKS_MAX     480u
#define STORIES_LOOK_HEAD_MAX 6u

/* ---- the child's side ----------------------------------------------------------------------- */

/* Takes nothing from malloc. */
struct stories_looker {
    int statm_fd;
    uint64_t begin_ns, next_ns, every_ns;
    size_t count;
    uint64_t at_ms[STORIES_LOOKS_MAX];
    uint64_t resident_kib[STORIES_LOOKS_MAX];
};

/* Begins, and looks. Ends the process when the kernel does not tell; likewise below. */
void stories_looker_begin(struct stories_looker *looker, uint64_t every_ns);
/* Looks now; what is beyond STORIES_LOOKS_MAX is forgotten. */
void stories_look(struct stories_looker *looker);
/* Looks if it is time. Cost: the clock. */
void stories_look_in_time(struct stories_looker *looker);
/* A line for each look, on stdout. */
void stories_looker_print(const struct stories_looker *looker);

/* ---- the parent's side ---------------------------------------------------------------------- */

struct stories_looks {
    uint64_t head[STORIES_LOOK_HEAD_MAX]; /* the child's own numbers */
    size_t count;
    double seconds[STORIES_LOOKS_MAX]; /* since it began */
    double mib[STORIES_LOOKS_MAX];
};

/*
 * Reads what a child prints, to its end: `head_count` numbers and at least one look.
 * Returns: whether that is what it was.
 */
bool stories_looks_read(int fd, size_t head_count, struct stories_looks *ret_looks);
/* The mean over time: each look holds until the next. NAN: no time has passed. */
double stories_looks_mean_mib(const struct stories_looks *looks);
double stories_looks_peak_mib(const struct stories_looks *looks);

#endif
