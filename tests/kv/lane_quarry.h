/*
 * The lane of this engine: what its two files share.
 */
#ifndef QUARRY_TESTS_KV_LANE_QUARRY_H
#define QUARRY_TESTS_KV_LANE_QUARRY_H

#include "kv/lane.h"

struct lane {
    const struct meta_options *options; /* borrowed; as they are now */
    struct quarry_memory *memory;
    struct quarry_vfs *vfs; /* own where files are in memory */
    char base[64], path[80];
    struct quarry_kv *kv;
    const struct quarry_kv_snapshot *snapshots[LANE_SNAPSHOTS];
    struct quarry_kv_iterator *iterators[LANE_ITERATORS];
    struct quarry_kv_value read; /* of the last read */
    struct held {
        struct quarry_kv_value value;
        char *copy; /* what it was; NULL: none is held */
    } held[LANE_VALUES];
    char room[2 * VALUE_BYTES_MAX];
    uint32_t path_count;
    uint64_t sequence; /* the highest seen */
    bool is_unsynced;  /* the last write did not ask for power, in a store of power */
};

/* Opens a store in a directory of the lane's, as its options say. */
struct quarry_kv *lane_open(struct lane *lane, const char *path, const char *name, bool read_only);
void lane_close(struct quarry_kv *kv);
void lane_release_values(struct lane *lane);
void lane_close_store(struct lane *lane);
/* One change into a batch, or by a call of its own where `batch` is NULL. */
enum quarry_status lane_add(struct quarry_kv_batch *batch, const struct change *change);

/* lane_own.c: what RocksDB's lane does not do. */
bool lane_own(struct lane *lane, const struct op *op, const struct keys *keys,
              struct model_state **state, struct model_state *const *snapshots);

#endif
