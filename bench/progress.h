/*
 * A line on the terminal that says what is being measured.
 */
#ifndef QUARRY_BENCH_PROGRESS_H
#define QUARRY_BENCH_PROGRESS_H

/* On stderr, when that is a terminal; JSON and files stay free of it. */
void bench_progress_show(const char *row, const char *subject);
/* Wipes it away. */
void bench_progress_end(void);

#endif
