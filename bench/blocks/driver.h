/*
 * Drivers: one cache of blocks each, behind the same calls. Also for C++.
 */
#ifndef QUARRY_BENCH_BLOCKS_DRIVER_H
#define QUARRY_BENCH_BLOCKS_DRIVER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct bench_cache_key {
    uint64_t file;
    uint64_t offset;
};

struct bench_cache_options {
    uint64_t capacity_bytes;
    size_t value_bytes; /* of each value, for caches that want to know */
    int shard_bits;     /* for caches that let it be chosen; −1: their own choice */
    /* Limit of all memory, for caches that have one, with what gives back running; 0: the
     * driver's, without. */
    uint64_t memory_bytes;
};

/* A block that is held; `base` NULL: none. */
struct bench_cache_hold {
    uint64_t handle; /* the driver's */
    void *base;      /* the payload */
    uint32_t token;  /* the driver's, too */
};

/* Every function ends the process when memory is short. Threads: any, after `create`. */
struct bench_cache_driver {
    const char *name;
    void *(*create)(const struct bench_cache_options *options);
    /* Nothing is held any more. */
    void (*destroy)(void *cache);
    /* A block that must be released; base NULL: a miss. */
    struct bench_cache_hold (*lookup)(void *cache, struct bench_cache_key key);
    /* Memory for a value, got in the cache's own way; not yet in it. */
    struct bench_cache_hold (*alloc)(void *cache, size_t bytes);
    /* Puts a value from `alloc` in; it stays held. */
    struct bench_cache_hold (*insert)(void *cache, struct bench_cache_key key,
                                      struct bench_cache_hold value, size_t bytes);
    void (*release)(void *cache, struct bench_cache_hold hold);
    void (*erase)(void *cache, struct bench_cache_key key);
    /*
     * Looks a block up or loads it by `load`, once for all threads that ask; NULL: the cache has no
     * such call. `load` fills `base`.
     */
    struct bench_cache_hold (*get_or_load)(void *cache, struct bench_cache_key key, size_t bytes,
                                           void (*load)(void *context, void *base), void *context);
    /*
     * Has the cache tell of what is held and where that was acquired, as when it is closed. It is
     * empty then. At least one block is held. Returns: how many it told of, since it records a
     * sample; NULL: the cache does not know.
     */
    uint64_t (*tell_leaks)(void *cache);
};

/*
 * The measured side of the rows about caches: reads "ROW STEPS QUICK" and prints the numbers that
 * the parent reads (run.h). Returns: the exit code.
 */
int bench_cache_child(const struct bench_cache_driver *driver, int argc, char **argv);

#ifdef __cplusplus
}
#endif

#endif
