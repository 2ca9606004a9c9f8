/*
 * Who a history is run against: this engine, or RocksDB's.
 *
 * A lane does what it is told and gives what it reads; run.c compares that with the model. Whatever
 * goes wrong by itself, the lane fails with rig_fail.
 */
#ifndef QUARRY_TESTS_KV_LANE_H
#define QUARRY_TESTS_KV_LANE_H

#include "kv/history.h"
#include "kv/options.h"

#define LANE_SNAPSHOTS 4u
#define LANE_ITERATORS 4u
#define LANE_VALUES    3u
/* Of LANE_SNAPSHOTS: none of them. */
#define LANE_NOW UINT32_MAX

enum lane_move { LANE_FIRST, LANE_LAST, LANE_SEEK, LANE_SEEK_FOR_PREV, LANE_NEXT, LANE_PREVIOUS };

/* What an iterator goes over. `prefix_bytes`: 0: all keys. */
struct lane_range {
    uint32_t snapshot;
    struct quarry_kv_slice lower, upper; /* bytes NULL: none */
    uint32_t prefix_bytes;
};

/* What a lane has read. `bytes`: borrowed until the next read. */
struct lane_read {
    bool is_found;
    struct quarry_kv_slice key, value;
};

struct lane;
struct lane_ops {
    const char *name;
    struct lane *(*create)(const struct meta_options *options, const char *directory);
    void (*destroy)(struct lane *lane);
    void (*write)(struct lane *lane, const struct change *changes, size_t count, bool is_batch,
                  uint64_t seed);
    /* `how`: OP_GET, OP_READ, OP_EXISTS (no value). */
    struct lane_read (*get)(struct lane *lane, uint32_t snapshot, struct quarry_kv_slice key,
                            enum op_kind how);
    void (*snapshot_take)(struct lane *lane, uint32_t slot);
    void (*snapshot_release)(struct lane *lane, uint32_t slot);
    void (*iterate)(struct lane *lane, uint32_t slot, const struct lane_range *range);
    void (*iterator_end)(struct lane *lane, uint32_t slot);
    struct lane_read (*move)(struct lane *lane, uint32_t slot, enum lane_move move,
                             struct quarry_kv_slice key);
    /* `range`: what it was made with, other bounds in it. NULL: there is no such call. */
    void (*set_bounds)(struct lane *lane, uint32_t slot, const struct lane_range *range);
    /* `range`: likewise, LANE_NOW in it. */
    void (*refresh)(struct lane *lane, uint32_t slot, const struct lane_range *range);
    void (*flush)(struct lane *lane);
    void (*compact)(struct lane *lane, struct quarry_kv_slice begin, struct quarry_kv_slice end);
    /* Nothing is out: no snapshot, iterator or value. */
    void (*reopen)(struct lane *lane);
    /*
     * What only this engine has: the rest of enum op_kind. `*state`: as it is now; the operation
     * may change it. Returns: whether it was done; NULL: none are.
     */
    bool (*own)(struct lane *lane, const struct op *op, const struct keys *keys,
                struct model_state **state, struct model_state *const *snapshots);
    bool has_merges, has_ranges, has_prefixes;
    bool single_is_single; /* single deletes are for keys that were never deleted before */
    bool snapshots_stay;   /* a snapshot must not end before its iterators */
};

extern const struct lane_ops lane_quarry;
#ifdef QUARRY_TESTS_ROCKSDB
extern const struct lane_ops lane_rocksdb;
#endif

/* run.c: runs operations on a lane beside the model; fails with rig_fail. `keep`: NULL: all. */
void run_history(const struct lane_ops *ops, uint64_t seed, uint32_t operation_count,
                 const struct meta_options *options, const uint8_t *keep, const char *directory);

#endif
