/*
 * Policies: which keys a cache keeps. Only that: there are no values, no locks and no threads.
 */
#ifndef QUARRY_BENCH_BLOCKS_POLICY_H
#define QUARRY_BENCH_BLOCKS_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bench_policy {
    const char *name;
    const char *title; /* for people */
    /*
     * `capacity_bytes`: of all that is kept. `key_count`: keys are 0 … key_count − 1.
     * Never NULL: ends the process without memory.
     */
    void *(*create)(uint64_t capacity_bytes, uint32_t key_count);
    void (*destroy)(void *cache);
    /*
     * A key is looked up, and inserted when it is not there. `bytes`: the same for each of its
     * accesses. Returns: whether it was there.
     */
    bool (*access)(void *cache, uint32_t key, uint32_t bytes);
};

extern const struct bench_policy bench_policy_lru;
extern const struct bench_policy bench_policy_clock;
extern const struct bench_policy bench_policy_two_queue;
extern const struct bench_policy bench_policy_s3_fifo;
extern const struct bench_policy bench_policy_clock_pro;

/* All of them, Quarry's first. `*ret_count` receives how many. Returns: static storage. */
const struct bench_policy *const *bench_policies(size_t *ret_count);
/* Returns: the policy of that name, or NULL. */
const struct bench_policy *bench_policy_find(const char *name);

/* Zeroed memory for a policy. Never NULL: ends the process without memory. */
void *bench_policy_alloc(size_t count, size_t bytes);

#endif
