/*
 * A store behind the calls that all of them have: what `quarry bench kv` drives. The workloads are
 * the same code in every program; only this table differs.
 */
#ifndef QUARRY_BENCH_KV_OPS_H
#define QUARRY_BENCH_KV_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How blocks are compressed. LevelDB has the first two. */
enum bench_kv_compression {
    BENCH_KV_PLAIN,
    BENCH_KV_SNAPPY,
    BENCH_KV_LZ4,
    BENCH_KV_COMPRESSION_COUNT,
};

/* What all stores of a row are opened with. Filters have 10 bits a key, checksums are checked on
 * every read, every write is in a log that outlives the process. */
struct bench_kv_config {
    const char *path;
    uint64_t cache_bytes;
    uint64_t write_buffer_bytes; /* of a memtable; there are two */
    uint64_t file_bytes;
    uint64_t level1_bytes; /* LevelDB's is 10 MiB, whatever is asked for */
    uint64_t
        budget_bytes; /* in which all must fit, as far as the store has a word for it; 0: none */
    uint32_t open_files_max;
    enum bench_kv_compression compression;
};

/* Borrowed for a call, or until what it was got from moves or is released. */
struct bench_kv_bytes {
    const char *base;
    size_t count;
};

/* A value that was read. */
struct bench_kv_hold {
    struct bench_kv_bytes bytes;
    uint64_t room[8]; /* the driver's own */
};

enum bench_kv_answer {
    BENCH_KV_OK,
    BENCH_KV_ABSENT,  /* there is no such key */
    BENCH_KV_REFUSED, /* an error, of which nothing is told */
};

/* Keys of a call that reads many. */
#define BENCH_KV_MANY 32u

/* Threads: any after `open`; batches and iterators belong to one. Failing to open ends the process.
 */
struct bench_kv_ops {
    const char *name;
    void *(*open)(const struct bench_kv_config *config);
    /* Nothing is held any more. */
    void (*close)(void *store);
    /* `is_synced`: it is on the disk when the call returns. */
    enum bench_kv_answer (*put)(void *store, struct bench_kv_bytes key, struct bench_kv_bytes value,
                                bool is_synced);
    enum bench_kv_answer (*erase)(void *store, struct bench_kv_bytes key);
    void *(*batch_create)(void *store);
    void (*batch_put)(void *batch, struct bench_kv_bytes key, struct bench_kv_bytes value);
    /* Writes it, and empties it. */
    enum bench_kv_answer (*batch_write)(void *store, void *batch);
    void (*batch_destroy)(void *batch);
    /* OK: release what is held. */
    enum bench_kv_answer (*get)(void *store, struct bench_kv_bytes key, struct bench_kv_hold *hold);
    void (*release)(struct bench_kv_hold *hold);
    /* BENCH_KV_MANY keys; each answer as `get`. NULL: the store has no such call. */
    void (*get_many)(void *store, const struct bench_kv_bytes *keys, enum bench_kv_answer *answers,
                     struct bench_kv_hold *holds);
    /* Returns: NULL: refused. */
    void *(*iterate)(void *store);
    void (*iterator_destroy)(void *iterator);
    /* Returns: whether it is at a key. */
    bool (*first)(void *iterator);
    bool (*last)(void *iterator);
    bool (*seek)(void *iterator, struct bench_kv_bytes key);
    bool (*next)(void *iterator);
    bool (*previous)(void *iterator);
    struct bench_kv_bytes (*key)(void *iterator);
    struct bench_kv_bytes (*value)(void *iterator);
    bool (*is_sound)(void *iterator);
    /* Merges everything into one level. Returns: whether nobody said that it failed. */
    bool (*compact)(void *store);
};

/*
 * `main` of a program that drives one kind of store: measures a row and prints its numbers.
 * Returns: the exit code.
 */
int bench_kv_child(const struct bench_kv_ops *ops, int argc, char **argv);

/* Ends the process: a measurement cannot go on. */
_Noreturn void bench_kv_die(const char *what, const char *why);

#endif
