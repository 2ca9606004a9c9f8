/*
 * What the files of picking share: drafts of compactions, and what files weigh.
 */
#ifndef QUARRY_KV_PICK_PARTS_H
#define QUARRY_KV_PICK_PARTS_H

#include <kv/pick.h>

/* A file's bytes, and those that its deletions may remove further down. */
uint64_t kv_pick_weight(const struct kv_file *file);

/* How many files of level 0 that are not being compacted lie over an interval. */
uint32_t kv_pick_interval_depth(const struct kv_version *version, uint32_t interval);
/* Whether a file of level 0 lies over an interval. */
bool kv_pick_covers(const struct kv_version *version, const struct kv_file *file,
                    uint32_t interval);

/* What picking works with. */
struct kv_pick_job {
    struct kv_version *version;
    const struct kv_picks *picks;
    const struct kv_pick_options *options;
    struct kv_shape shape;
};

/* A new compaction with nothing in it, that holds the version. NULL: no memory. */
struct kv_pick *kv_pick_create(const struct kv_pick_job *job, enum kv_pick_kind kind,
                               uint32_t level, uint32_t output_level);

/*
 * Completes one whose first input is there: what it overlaps in the output level, more of the first
 * level where that costs nothing, grandparents, sums; a move where it can be one.
 *
 * `pick`: given; `*ret_pick` is it, where it may be done.
 * Errors: QUARRY_BUSY: something it would need is being compacted; QUARRY_NO_MEMORY. Then it is
 * destroyed.
 */
enum quarry_status kv_pick_finish(const struct kv_pick_job *job, struct kv_pick *pick,
                                  struct kv_pick **ret_pick);

/* Files [from, to) of a level's run become an input. Errors: QUARRY_NO_MEMORY. */
enum quarry_status kv_pick_set_input(struct kv_pick *pick, uint32_t which, const struct kv_run *run,
                                     uint32_t from, uint32_t to);
/* Widens [from, to) until no user key is both inside and outside; QUARRY_BUSY. */
enum quarry_status kv_pick_widen(const struct kv_version *version, const struct kv_run *run,
                                 uint32_t *from, uint32_t *to);

/* Level 0 (pick_level0.c). As kv_pick_next. */
enum quarry_status kv_pick_level0(const struct kv_pick_job *job, struct kv_pick **ret_pick);
/* All of level 0 that is over a range, with what is older: for kv_pick_manual. */
enum quarry_status kv_pick_level0_range(const struct kv_pick_job *job,
                                        const struct kv_key_range *range,
                                        struct kv_pick **ret_pick);

#endif
