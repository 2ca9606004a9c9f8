/*
 * Dice for file systems that do things at random: the same from the same seed.
 */
#ifndef QUARRY_VFS_RANDOM_H
#define QUARRY_VFS_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

/* The next of a sequence that depends on the first `*state` alone (Steele's splitmix). */
static inline uint64_t vfs_random(uint64_t *state)
{
    uint64_t mixed = (*state += UINT64_C(0x9e3779b97f4a7c15));
    mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94d049bb133111eb);
    return mixed ^ (mixed >> 31);
}

/* One of 0 to `count` - 1; `count` is above 0. A modulo's bias does not matter to a test. */
static inline uint64_t vfs_random_below(uint64_t *state, uint64_t count)
{
    return vfs_random(state) % count;
}

/* True in `percent` of 100. */
static inline bool vfs_random_percent(uint64_t *state, uint32_t percent)
{
    return vfs_random_below(state, 100) < percent;
}

#endif
