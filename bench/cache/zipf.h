/*
 * Random ranks by Zipf's law.
 */
#ifndef QUARRY_BENCH_CACHE_ZIPF_H
#define QUARRY_BENCH_CACHE_ZIPF_H

#include <stdint.h>

/* Rank k of 1 … count is drawn in proportion to 1/k^skew. */
struct bench_zipf {
    uint64_t count;
    double skew;
    double from, to; /* of the integral of the law, over all ranks */
    double squeeze;  /* below it rank k is taken without looking */
};

/* `count`: from 1; `skew`: from 0. */
void bench_zipf_init(struct bench_zipf *zipf, uint64_t count, double skew);
/* From 0, the most wanted, to count − 1. `random`: of bench_random. Cost: some 50 ns, no memory. */
uint64_t bench_zipf_next(const struct bench_zipf *zipf, uint64_t *random);

#endif
