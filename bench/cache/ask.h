/*
 * Asking children: what the sittings of servers have in common.
 */
#ifndef QUARRY_BENCH_CACHE_ASK_H
#define QUARRY_BENCH_CACHE_ASK_H

#include <stdbool.h>
#include <stdint.h>

#include <bench/cache/rows.h>

/* One measurement that is wanted; all is borrowed. */
struct bench_load_question {
    const char *bench; /* whose row it is: "cache", "resp" */
    const struct bench_load_row *row;
    enum bench_server_kind kind;
    bool is_quick;
    uint64_t seconds; /* as bench_load_job has these */
    uint64_t given;
    const char *parent;
};

/* Path of Quarry's program, beside this one. Returns: static storage. */
const char *bench_load_quarry(void);
/*
 * Runs a child. `ret_numbers`: BENCH_LOAD_NUMBERS.
 * Returns: false when it failed, which it has said on stderr. Cost: the measurement.
 */
bool bench_load_ask(const struct bench_load_question *question, uint64_t *ret_numbers);
/*
 * The most operations per second of a closed row, of three measurements; of one when it is quick.
 * Returns: 0 when one failed.
 */
uint64_t bench_load_ask_maximum(const struct bench_load_question *question);
/* Whether system calls can be counted. */
bool bench_load_has_strace(void);

#endif
