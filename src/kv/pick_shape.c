/*
 * The shape that a tree should have, and how far it is from it.
 *
 *     level   0    1    2    3    4    5    6
 *     bytes   ·    –    –    –  120M 1.1G 9.8G
 *     target  ·    –    –    –  128M 0.98G 9.8G      base level 4, ratio 10
 *
 * Targets come from below: the last level has what it has, each one above a tenth of it, until one
 * would be below the first level's size; that is the base, and levels above it are empty. So nine
 * tenths of the data lie in the last level however much there is, and space is lost to what has
 * been overwritten only in the ratio's part (RocksDB's dynamic level bytes, Pebble's base level). A
 * level that has files is never above the base, whoever put them there.
 *
 * A score is bytes over target, of level 0 its depth over the depth wanted, or its bytes. Bytes
 * count with those of deletions that they hold: an entry that deletes counts as what it may remove
 * below, as a file's own entries are on average (pick.c has compensation). Files that are being
 * compacted count for nothing at the level that they leave.
 *
 * Debt is what would be read and written if all scores came down to 1: level 0's bytes with the
 * base level's, then what each level has too much, times the ratio of sizes to the next one, down
 * to the last. An estimate, there to be compared with itself; it can rise for a step, as files go
 * down whole and a level may get more than it gives.
 *
 * Locking: the store's, for the marks. Cost: O(files).
 */
#include <kv/pick_parts.h>

#define LAST_LEVEL (QUARRY_KV_LEVELS - 1)
/* Level 0 is too large, however flat, at so many times the first level's size: files that came in
 * the order of their keys lie side by side, and only their number speaks. */
#define LEVEL0_SHARE 2

uint64_t kv_pick_weight(const struct kv_file *file)
{
    uint64_t deletion_count = file->deletion_count + file->range_deletion_count;

    if (!file->has_counts || deletion_count == 0 || file->entry_count == 0) {
        return file->byte_count;
    }
    uint64_t per_entry = file->byte_count / file->entry_count + 1;
    return sat_add_u64(file->byte_count, sat_mul_u64(per_entry, deletion_count));
}

struct level_bytes {
    uint64_t byte_count[QUARRY_KV_LEVELS]; /* as they are */
    uint64_t weight[QUARRY_KV_LEVELS];     /* of what is not being compacted, with compensation */
};

static void measure(const struct kv_version *version, struct level_bytes *ret_bytes)
{
    *ret_bytes = (struct level_bytes){0};
    for (uint32_t level = 0; level < QUARRY_KV_LEVELS; level++) {
        const struct kv_run *run = &version->levels[level];
        ret_bytes->byte_count[level] = run->byte_count;
        for (uint32_t i = 0; i < run->file_count; i++) {
            if (!run->files[i]->is_compacting) {
                ret_bytes->weight[level] =
                    sat_add_u64(ret_bytes->weight[level], kv_pick_weight(run->files[i]));
            }
        }
    }
}

/* The first level from 1 on with files; the last one where there are none. */
static uint32_t first_filled(const struct kv_version *version)
{
    uint32_t level = 1;

    while (level < LAST_LEVEL && version->levels[level].file_count == 0) {
        level++;
    }
    return level;
}

/* Fills targets from the last level up; the base is where they become small enough. */
static void find_targets(const struct level_bytes *bytes, uint32_t filled,
                         const struct kv_pick_options *options, struct kv_shape *shape)
{
    uint64_t largest = 0, target;
    uint32_t base = LAST_LEVEL;

    for (uint32_t level = 1; level < QUARRY_KV_LEVELS; level++) {
        largest = size_max_u64(largest, bytes->byte_count[level]);
    }
    target = size_max_u64(largest, options->level1_bytes);
    shape->target_bytes[LAST_LEVEL] = target;
    while (base > 1 && (target > options->level1_bytes || base > filled)) {
        target = size_max_u64(target / options->level_ratio, options->level1_bytes);
        shape->target_bytes[--base] = target;
    }
    shape->base_level = base;
}

/* How deep level 0 is, without what is being compacted. */
static uint32_t idle_depth(const struct kv_version *version)
{
    const struct kv_run *level = &version->levels[0];
    uint32_t busy_count = 0;

    for (uint32_t i = 0; i < level->file_count; i++) {
        busy_count += level->files[i]->is_compacting;
    }
    if (busy_count == 0) {
        return version->sublevel_count;
    }
    uint32_t depth_max = 0;
    for (uint32_t i = 0; i < version->interval_count; i++) {
        uint32_t depth = kv_pick_interval_depth(version, i);
        depth_max = depth > depth_max ? depth : depth_max;
    }
    return depth_max;
}

static uint64_t debt_of(const struct level_bytes *bytes, const struct kv_shape *shape)
{
    uint64_t debt = 0, above = 0;
    double ratio;

    if (shape->score[0] >= 1) {
        above = bytes->byte_count[0];
        debt = sat_add_u64(above, bytes->byte_count[shape->base_level]);
    }
    for (uint32_t level = shape->base_level; level < LAST_LEVEL; level++) {
        uint64_t byte_count = sat_add_u64(bytes->byte_count[level], above);
        above = sat_sub_u64(byte_count, shape->target_bytes[level]);
        if (above != 0) {
            ratio = (double)bytes->byte_count[level + 1] / (double)byte_count;
            debt = sat_add_u64(debt, (uint64_t)((double)above * (ratio + 1)));
        }
    }
    return debt;
}

void kv_shape_of(const struct kv_version *version, const struct kv_pick_options *options,
                 struct kv_shape *ret_shape)
{
    struct level_bytes bytes;

    Q_ASSERT(options->level_ratio >= 2 && options->level0_compact >= 1);
    Q_ASSERT(options->level1_bytes != 0 && options->file_bytes != 0);
    *ret_shape = (struct kv_shape){0};
    measure(version, &bytes);
    find_targets(&bytes, first_filled(version), options, ret_shape);
    ret_shape->depth_score = (double)idle_depth(version) / options->level0_compact;
    double byte_score = (double)bytes.weight[0] / (double)options->level1_bytes / LEVEL0_SHARE;
    ret_shape->score[0] = byte_score > ret_shape->depth_score ? byte_score : ret_shape->depth_score;
    for (uint32_t level = ret_shape->base_level; level < LAST_LEVEL; level++) {
        ret_shape->score[level] =
            (double)bytes.weight[level] / (double)ret_shape->target_bytes[level];
    }
    ret_shape->debt_bytes = debt_of(&bytes, ret_shape);
}
