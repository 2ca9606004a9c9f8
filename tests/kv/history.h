/*
 * Histories: what is done to a store, from a seed.
 *
 * An operation is a kind and a seed, from which everything else about it is drawn when it is run:
 * so any of them can be left out, and the others mean the same. What would not be legal (a single
 * delete of a key that was put twice, a step of an iterator that is nowhere) is replaced by what
 * is.
 */
#ifndef QUARRY_TESTS_KV_HISTORY_H
#define QUARRY_TESTS_KV_HISTORY_H

#include "kv/rig.h"

enum op_kind {
    /* changes */
    OP_PUT,
    OP_DELETE,
    OP_SINGLE_DELETE,
    OP_DELETE_RANGE,
    OP_MERGE,
    OP_BATCH,
    OP_LARGE_BATCH,
    OP_INDEXED_BATCH,
    /* reads */
    OP_GET,
    OP_READ,
    OP_EXISTS,
    OP_MULTI_GET,
    OP_HOLD_VALUE,
    OP_LET_GO_VALUE,
    OP_SNAPSHOT_TAKE,
    OP_SNAPSHOT_GET,
    OP_SNAPSHOT_SCAN,
    OP_SNAPSHOT_RELEASE,
    OP_SCAN,
    /* iterators */
    OP_ITERATE,
    OP_ITERATE_PREFIX,
    OP_ITERATOR_END,
    OP_FIRST,
    OP_LAST,
    OP_SEEK,
    OP_SEEK_FOR_PREV,
    OP_NEXT,
    OP_PREVIOUS,
    OP_ZIGZAG,
    OP_SET_BOUNDS,
    OP_REFRESH,
    /* files */
    OP_FLUSH,
    OP_SYNC,
    OP_COMPACT_RANGE,
    OP_COMPACT_ALL,
    OP_STEP,
    OP_WAIT_IDLE,
    OP_REOPEN,
    OP_REOPEN_OTHER,
    OP_REOPEN_READ_ONLY,
    OP_CRASH,
    OP_CHECKPOINT,
    OP_INGEST,
    OP_EXPORT_INGEST,
    OP_BACKUP,
    /* what it is like */
    OP_VERIFY,
    OP_VALIDATE,
    OP_PROPERTY,
    OP_STATS,
    OP_APPROXIMATE,
    OP_KINDS
};

struct op {
    enum op_kind kind;
    uint64_t seed;
};

const char *op_name(enum op_kind kind);
/* The index-th operation of a history. */
struct op op_make(uint64_t history_seed, uint32_t index);

/* ---- keys and values ---- */

#define KEYS_MAX 512u
struct keys {
    uint32_t count;
    struct quarry_kv_slice key[KEYS_MAX];
    char bytes[KEYS_MAX][40];
};
/* The keys that a history has; short and odd ones are among them. */
void keys_make(struct keys *keys, uint64_t history_seed);

/* The longest value that is drawn at random. */
#define VALUE_BYTES_MAX 40000u
/* Draws a value. `room`: VALUE_BYTES_MAX. */
struct quarry_kv_slice value_draw(uint64_t *random, char *room);

#endif
