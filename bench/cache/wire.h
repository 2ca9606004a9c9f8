/*
 * Protocols, as a client needs them: writing requests, taking replies apart. Keys and values are
 * made from numbers, so that what comes back can be checked without keeping what was sent.
 */
#ifndef QUARRY_BENCH_CACHE_WIRE_H
#define QUARRY_BENCH_CACHE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Keys of numbers below 2^35. */
#define BENCH_WIRE_KEY_BYTES_MIN 8u
#define BENCH_WIRE_KEY_BYTES_MAX 250u
/* Values begin with the number of their key: below it they are too short to be checked. */
#define BENCH_WIRE_VALUE_BYTES_MIN 8u
#define BENCH_WIRE_VALUE_BYTES_MAX 65536u
/* A value with a version begins with both numbers. */
#define BENCH_WIRE_VERSION_BYTES_MIN 16u
#define BENCH_WIRE_VERSION_LENGTHS   64u
/* Room that any request needs beside its value. */
#define BENCH_WIRE_ROOM_BYTES 512u

struct bench_item {
    uint64_t number;
    uint32_t key_bytes;
    uint32_t value_bytes;
    uint32_t ttl_seconds; /* 0: none */
    uint32_t version;     /* of a value that tells it; 0: there are no versions */
};

/* Bytes of the item's value: those of versions differ in length. */
static inline uint32_t bench_item_bytes(const struct bench_item *item)
{
    return item->value_bytes + item->version % BENCH_WIRE_VERSION_LENGTHS;
}

enum bench_reply {
    BENCH_REPLY_MORE = 0, /* it has not come whole */
    BENCH_REPLY_HIT,
    BENCH_REPLY_MISS,
    BENCH_REPLY_STORED,
    BENCH_REPLY_NUMBER,
    BENCH_REPLY_REFUSED, /* an error that the server may give: no memory */
    BENCH_REPLY_WRONG,   /* none that this protocol has */
};

/* A reply as it was found. */
struct bench_answer {
    enum bench_reply reply;
    const char *value; /* of a hit; points into the bytes */
    size_t value_bytes;
};

struct bench_wire {
    /* Writes a request at `at`, where BENCH_WIRE_ROOM_BYTES and a value have room. Return its end.
     */
    char *(*put_get)(char *at, const struct bench_item *item);
    char *(*put_set)(char *at, const struct bench_item *item);
    /* Adds one to the number that the item's value is. NULL: nobody asks for it. */
    char *(*put_incr)(char *at, const struct bench_item *item);
    /* Sets `count` items at one moment, with as many times the room. NULL: likewise. */
    char *(*put_mset)(char *at, const struct bench_item *item, uint32_t count);
    /* Takes the first reply out of `count` bytes. Returns: its length; 0 with BENCH_REPLY_MORE. */
    size_t (*take)(const char *bytes, size_t count, struct bench_answer *ret_answer);
    /* A request that every server answers at once, and how its answer begins. */
    const char *hello;
    const char *hello_answer;
    /* A request for counters, and how its answer ends; NULL: it is a counted string. */
    const char *stats;
    const char *stats_end;
    /* What stands before two of them. */
    const char *item_count_name;
    const char *eviction_count_name;
};

extern const struct bench_wire bench_wire_memcached;
extern const struct bench_wire bench_wire_redis;

/* Writes a key of item->key_bytes. Returns: its end. For the protocols. */
char *bench_wire_put_key(char *at, const struct bench_item *item);
/* Likewise a value. */
char *bench_wire_put_value(char *at, const struct bench_item *item);
/* Writes a number in decimal. Returns: its end. */
char *bench_wire_put_number(char *at, uint64_t number);
/* Copies a text without its NUL. Returns: its end. */
char *bench_wire_put_text(char *at, const char *text);
/*
 * Whether a value is that of the item: without a version to its first bytes and its length, with
 * one to its last bit, whichever version it is of.
 */
bool bench_wire_is_value_of(const struct bench_answer *answer, const struct bench_item *item);

#endif
