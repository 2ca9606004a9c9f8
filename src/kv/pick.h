/*
 * What to compact next: functions of a version, of what is under way, and of nothing else.
 */
#ifndef QUARRY_KV_PICK_H
#define QUARRY_KV_PICK_H

#include <kv/version.h>

enum kv_pick_kind {
    KV_PICK_MERGE,    /* files of a level and those below that they overlap become files below */
    KV_PICK_MOVE,     /* files go to a lower level as they are */
    KV_PICK_DROP,     /* files that a range deletion covers whole go */
    KV_PICK_INTRA_L0, /* files of level 0 become one of level 0 */
    KV_PICK_DENSITY,  /* a file is mostly deletions: as MERGE, or rewritten in the last level */
    KV_PICK_MANUAL,   /* somebody asked for it: as MERGE */
};

struct kv_pick_input {
    uint32_t level;
    uint32_t file_count;
    struct kv_file **files; /* by rising keys; of level 0 by falling sequences */
};

/*
 * A compaction. The version is held, and so are its files, which are marked as being compacted from
 * kv_picks_begin to kv_picks_end.
 */
struct kv_pick {
    enum kv_pick_kind kind;
    uint32_t output_level;
    struct kv_pick_input inputs[2]; /* the level it begins with; the output level's, may be none */
    struct kv_file **grandparents;  /* of the level below the output that it overlaps */
    uint32_t grandparent_count;
    struct kv_key_range range; /* of all inputs; in their files */
    uint64_t byte_count;       /* of all inputs */
    uint64_t output_file_bytes;
    double score;
    bool is_last; /* no level below the output has keys of the range: deletions may go */
    struct kv_version *version;
    struct kv_pick *next, *previous; /* of those under way */
};

/* Compactions under way. All-zero is none. Guarded by the store's lock. */
struct kv_picks {
    struct kv_pick *first;
    uint32_t count;
};

/*
 * A range deletion from a file or a memtable that may cover files whole. It covers no file with a
 * number from `file_number` on: such a file may have entries that are newer, and whose sequences
 * have become 0 at the bottom. 0: the file that has it is not known, and no sequence has become 0.
 */
struct kv_pick_hint {
    struct kv_slice begin, end;
    uint64_t sequence;
    uint64_t file_number;
};

struct kv_pick_options {
    uint32_t level0_compact; /* depth; from 1 */
    uint32_t level_ratio;    /* from 2 */
    uint64_t level1_bytes, file_bytes;
    const uint64_t *snapshots; /* sequences of living ones, rising; NULL for 0 */
    uint32_t snapshot_count;
    const struct kv_pick_hint *hints;
    uint32_t hint_count;
    uint64_t unflushed_sequence; /* the least of what is in no file yet; 0: all is */
    uint32_t level0_files_max;   /* of level 0, that one compaction takes, and more only where they
                                    overlap; and none within level 0. 0: as many as there are */
};

/* Where data goes, and how much each level should have. */
struct kv_shape {
    uint32_t base_level;                     /* level 0 is compacted into it */
    uint64_t target_bytes[QUARRY_KV_LEVELS]; /* 0: of levels above the base, and level 0 */
    double depth_score;                      /* of level 0, by its depth alone */
    double score[QUARRY_KV_LEVELS];          /* from 1 on it should be compacted */
    uint64_t debt_bytes; /* about how much is to be read and written until no score is above 1 */
};
/* `picks`: what is being compacted does not count. Cost: O(files). */
void kv_shape_of(const struct kv_version *version, const struct kv_pick_options *options,
                 struct kv_shape *ret_shape);

/*
 * Chooses a compaction.
 *
 * `ret_pick`: own; end it with kv_pick_destroy. It overlaps nothing that is under way.
 * Errors: QUARRY_NOT_FOUND (nothing is to be done now), QUARRY_NO_MEMORY.
 * Threads: under the store's lock. Cost: O(files), without a system call.
 */
enum quarry_status kv_pick_next(struct kv_version *version, const struct kv_picks *picks,
                                const struct kv_pick_options *options, struct kv_pick **ret_pick);
/*
 * The same for a range and a level, whatever the scores: from it to the next one with files, or to
 * the base level from level 0; the last level is rewritten.
 *
 * Errors: QUARRY_NOT_FOUND (no file of the level is in the range), QUARRY_BUSY (something in the
 * way is being compacted: try again), QUARRY_NO_MEMORY.
 */
enum quarry_status kv_pick_manual(struct kv_version *version, const struct kv_picks *picks,
                                  const struct kv_pick_options *options, uint32_t level,
                                  const struct kv_key_range *range, struct kv_pick **ret_pick);
/* Ends it, and lets its version go. It is not under way. NULL does nothing. */
void kv_pick_destroy(struct kv_pick *pick);

/* It is under way, and is so no more: marks. Under the store's lock. */
void kv_picks_begin(struct kv_picks *picks, struct kv_pick *pick);
void kv_picks_end(struct kv_picks *picks, struct kv_pick *pick);

#endif
