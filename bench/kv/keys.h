/*
 * Keys and values of the store's benchmark: a number each, and bytes that follow from it.
 */
#ifndef QUARRY_BENCH_KV_KEYS_H
#define QUARRY_BENCH_KV_KEYS_H

#include <stdint.h>

#include <bench/kv/ops.h>

#define BENCH_KV_KEY_BYTES   16u
#define BENCH_KV_VALUE_BYTES 65536u /* at most */

struct bench_kv_keys {
    uint64_t count; /* from 1 to 2^32 */
    uint32_t value_bytes;
    uint32_t half_bits; /* of the shuffle */
    char *pool;         /* what values are cut from; own */
};

/* End it with bench_kv_keys_fini. Ends the process when there is no memory. */
void bench_kv_keys_init(struct bench_kv_keys *keys, uint64_t count, uint32_t value_bytes);
void bench_kv_keys_fini(struct bench_kv_keys *keys);

/*
 * The key of a number, in the numbers' order: 16 digits. Numbers below `count` are there once a
 * store is filled; there is room between each two of them for one that is not.
 */
struct bench_kv_bytes bench_kv_key(uint64_t number, char room[BENCH_KV_KEY_BYTES]);
struct bench_kv_bytes bench_kv_key_between(uint64_t number, char room[BENCH_KV_KEY_BYTES]);

/* Another order of the numbers below `count`, each once; from `count` on again from its beginning.
 */
uint64_t bench_kv_shuffle(const struct bench_kv_keys *keys, uint64_t index);

/* The value of a number: of half as many bytes, each twice, after the number itself. */
struct bench_kv_bytes bench_kv_value(const struct bench_kv_keys *keys, uint64_t number,
                                     char room[BENCH_KV_VALUE_BYTES]);
/* Ends the process when it is not the value of that number. */
void bench_kv_value_check(const struct bench_kv_keys *keys, uint64_t number,
                          struct bench_kv_bytes value);

#endif
