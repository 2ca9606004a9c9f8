/*
 * The arithmetic of sampling: where the next sample is, and how much a sample stands for.
 *
 * Samples lie on the line of allocated bytes as a Poisson process: the distances between them are
 * exponential with a mean of `mean_bytes`. An object of s bytes holds at least one with probability
 * 1 - exp(-s / mean), so each sampled object stands for the reciprocal of that many.
 *
 * No libm: the code runs inside malloc, which may be called before any library but libc is there.
 */
#ifndef QUARRY_MEM_SAMPLING_H
#define QUARRY_MEM_SAMPLING_H

#include <base/base.h>

/* Means above are taken as this one, which keeps weights within 64 bits. 1 TiB: next to nothing. */
#define MEM_SAMPLING_MEAN_MAX_BYTES Q_TIB(1)

/*
 * Steps a generator (any start value) and returns 64 random bits. Not secret.
 */
uint64_t mem_random_u64(uint64_t *state);

/*
 * -ln(u) for u in (0, 1]. Error: below 1e-7 absolute. Cost: about 20 instructions.
 */
double mem_minus_log(double u);

/*
 * 1 - exp(-x) for x >= 0. Error: below 1e-7 relative. Cost: about 40 instructions.
 */
double mem_one_minus_exp(double x);

/*
 * Bytes from here to the next sample, from 1; UINT64_MAX for a mean of 0, which is no sampling.
 */
uint64_t mem_sampling_gap(uint64_t mean_bytes, uint64_t *rng_state);

/*
 * Objects of `bytes` that one sample stands for, as fixed point with 16 bits below the point: from
 * 65,536, for objects far above the mean, up to mean / bytes. `bytes` and `mean_bytes` from 1.
 */
uint64_t mem_sampling_weight(uint64_t bytes, uint64_t mean_bytes);

/* `weight` × `bytes`, in bytes. */
static inline uint64_t mem_sampling_scale(uint64_t weight, uint64_t bytes)
{
    return (uint64_t)(((unsigned __int128)weight * bytes) >> 16);
}

#endif
