/*
 * Random numbers for tests: the same sequence for the same seed, on every machine.
 */
#ifndef QUARRY_TESTS_UNIT_BASE_RANDOM_H
#define QUARRY_TESTS_UNIT_BASE_RANDOM_H

#include <stdint.h>

/* Steps `*state` (any start value) and returns 64 well-mixed bits: a Weyl sequence, scrambled. */
static inline uint64_t random_u64(uint64_t *state)
{
    *state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t word = *state;
    word = (word ^ (word >> 32)) * UINT64_C(0xd6e8feb86659fd93);
    word = (word ^ (word >> 32)) * UINT64_C(0xd6e8feb86659fd93);
    return word ^ (word >> 32);
}

/* A number of random magnitude: 0 to 64 significant bits, each count equally likely. */
static inline uint64_t random_width_u64(uint64_t *state)
{
    uint64_t width = random_u64(state) % 65;
    return width == 0 ? 0 : random_u64(state) >> (64 - width);
}

#endif
