/*
 * Keys and values.
 *
 *   key     "0000000000012346"     twice the number: odd ones are never there
 *   value   number │ bytes of a pool, at a place that follows from the number
 *            8 B
 *   pool    ├ half as many random bytes as a value has ┼ the same again ┼ others ┼ the same … ┤
 *
 * The order in which "random" rows go through the keys is a permutation that is computed and not
 * stored: four rounds of Feistel's network over the next even number of bits, walked until the
 * number is below the count. Every key comes once, in every store in the same order, and no table
 * of them lies in the memory that is measured.
 *
 * Rejected: numbers drawn with repeats, as db_bench does (a third of the keys never came, and how
 * much there is at the end had to be counted).
 */
#include <bench/kv/keys.h>

#include <stdlib.h>
#include <string.h>

#include <base/base.h>

#include <bench/malloc/worker.h>

/* Bytes of the pool, which stay in a processor's cache: of 1 MiB copying a value was a tenth of
 * what a row cost. Values come again after so many bytes, far more than a block's. */
#define POOL_BYTES Q_KIB(128)
#define ROUNDS     4u
/* Of the eight digits of half a key. */
#define HALF UINT64_C(100000000)

static char *make_pool(uint32_t value_bytes)
{
    char *pool = malloc(POOL_BYTES + 2 * BENCH_KV_VALUE_BYTES);
    uint64_t random = 1;
    size_t half = size_max(value_bytes / 2, 1);

    if (pool == NULL) {
        bench_kv_die("values", "no memory");
    }
    for (size_t i = 0; i < POOL_BYTES + 2 * BENCH_KV_VALUE_BYTES; i++) {
        bool is_again = i / half % 2 == 1;
        pool[i] = is_again ? pool[i - half] : (char)bench_random(&random);
    }
    return pool;
}

void bench_kv_keys_init(struct bench_kv_keys *keys, uint64_t count, uint32_t value_bytes)
{
    Q_ASSERT(count >= 1 && count <= UINT64_C(1) << 32);
    Q_ASSERT(value_bytes >= sizeof(uint64_t) && value_bytes <= BENCH_KV_VALUE_BYTES);
    *keys = (struct bench_kv_keys){
        .count = count, .value_bytes = value_bytes, .half_bits = 1, .pool = make_pool(value_bytes)};
    while (count > UINT64_C(1) << (2 * keys->half_bits)) {
        keys->half_bits++;
    }
}

void bench_kv_keys_fini(struct bench_kv_keys *keys)
{
    free(keys->pool);
    *keys = (struct bench_kv_keys){0};
}

static struct bench_kv_bytes digits(uint64_t number, char room[BENCH_KV_KEY_BYTES])
{
    /* Two halves, so that the divisions of one need not wait for those of the other. */
    uint32_t high = (uint32_t)(number / HALF), low = (uint32_t)(number % HALF);

    for (size_t i = BENCH_KV_KEY_BYTES / 2; i-- > 0;) {
        room[i] = (char)('0' + high % 10);
        room[i + BENCH_KV_KEY_BYTES / 2] = (char)('0' + low % 10);
        high /= 10;
        low /= 10;
    }
    return (struct bench_kv_bytes){room, BENCH_KV_KEY_BYTES};
}

struct bench_kv_bytes bench_kv_key(uint64_t number, char room[BENCH_KV_KEY_BYTES])
{
    return digits(2 * number, room);
}

struct bench_kv_bytes bench_kv_key_between(uint64_t number, char room[BENCH_KV_KEY_BYTES])
{
    return digits(2 * number + 1, room);
}

/* A permutation of the numbers of 2 × half_bits bits. */
static uint64_t permute(uint64_t number, uint32_t half_bits)
{
    uint64_t mask = (UINT64_C(1) << half_bits) - 1;
    uint64_t left = number >> half_bits;
    uint64_t right = number & mask;

    for (uint64_t i = 0; i < ROUNDS; i++) {
        uint64_t mixed = (right + i + 1) * UINT64_C(0x9e3779b97f4a7c15);
        mixed = (mixed ^ mixed >> 29) * UINT64_C(0xbf58476d1ce4e5b9);
        uint64_t new_right = left ^ (mixed >> 32 & mask);
        left = right;
        right = new_right;
    }
    return left << half_bits | right;
}

uint64_t bench_kv_shuffle(const struct bench_kv_keys *keys, uint64_t index)
{
    if (Q_UNLIKELY(index >= keys->count)) {
        index %= keys->count;
    }
    do {
        index = permute(index, keys->half_bits);
    } while (index >= keys->count);
    return index;
}

struct bench_kv_bytes bench_kv_value(const struct bench_kv_keys *keys, uint64_t number,
                                     char room[BENCH_KV_VALUE_BYTES])
{
    size_t place = number * UINT64_C(0x9e3779b97f4a7c15) % POOL_BYTES;
    size_t half = size_max(keys->value_bytes / 2, 1);

    place -= place % (2 * half);
    memcpy(room, keys->pool + place, keys->value_bytes);
    memcpy(room, &number, sizeof number);
    return (struct bench_kv_bytes){room, keys->value_bytes};
}

void bench_kv_value_check(const struct bench_kv_keys *keys, uint64_t number,
                          struct bench_kv_bytes value)
{
    uint64_t its = 0;

    if (value.count == keys->value_bytes) {
        memcpy(&its, value.base, sizeof its);
        if (its == number) {
            return;
        }
    }
    bench_kv_die("reading", "a value is not the one that was written");
}
