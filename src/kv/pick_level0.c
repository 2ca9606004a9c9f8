/*
 * Compacting level 0, of which files overlap.
 *
 *     newest   │ a───f │          │ m─────z │
 *              │ b─c │   │ d──k │               depth over e: 3
 *     oldest     │ a────e │      │ n─p │
 *
 * *To the base level.* The interval with the most files over it is where readers pay most. From the
 * oldest file over it, files are taken upwards; each brings all older ones that it overlaps, for an
 * older entry must not stay above a newer one (invariant 1). It goes on while the bytes stay below
 * a bound, and all files over the interval are not in; what it takes at a time is the cheapest way
 * to make the deepest place less deep.
 *
 * *Within level 0.* While the base level is busy below, files still come. Then the newest files
 * that nothing compacts become one, four at least: consecutive in sequences, so that what comes out
 * has a range of sequences of its own; RocksDB checks that files of level 0 do not nest in this
 * respect. A file that was ingested can be newer than what is in memory still. It stays out: joined
 * with older ones it would make them newer than what is flushed next.
 *
 * *Where memory is short* a compaction holds something for each file of level 0 that it takes, so
 * it takes few: the oldest. Nothing is joined within level 0 then, for what comes out is one file
 * that is not cut, and its index and filter grow with it.
 *
 * Invariants:
 *   1. A set that goes to the base level is closed downwards: with a file, every older one that
 *      overlaps it, and what those overlap.
 *   2. A set within level 0 is the newest n files that are older than all that is in no file,
 *      without a gap.
 *
 * Locking: the store's. Memory: a byte for each file of level 0 while picking. Cost: O(files² ) of
 * level 0 at worst, in compares of keys; there are some tens.
 */
#include <kv/pick_parts.h>

/* Files that are worth joining within level 0. */
#define INTRA_FILES_MIN 4u
/* Of what a compaction takes, in files of the size wanted. */
#define TAKEN_FILES_MAX 25u
/* The same within level 0, of whose one output index and filter are in memory until it ends: of
 * 25 files of 4 MiB and keys of 16 bytes they took 32 MiB. */
#define JOINED_FILES_MAX 8u

/* ---- intervals ------------------------------------------------------------------------------ */

bool kv_pick_covers(const struct kv_version *version, const struct kv_file *file, uint32_t interval)
{
    const struct kv_interval *bound = &version->intervals[interval];
    int first = kv_compare(version->comparator, file->smallest.user, bound->key);
    int last = kv_compare(version->comparator, file->largest.user, bound->key);
    bool ends_after = !kv_file_is_open_ended(file);

    /* It begins at or before the interval's bound, and ends after it. */
    return first <= 0 && (last > 0 || (last == 0 && ends_after && !bound->is_after));
}

uint32_t kv_pick_interval_depth(const struct kv_version *version, uint32_t interval)
{
    const struct kv_run *level = &version->levels[0];
    uint32_t depth = 0;

    for (uint32_t i = 0; i < level->file_count; i++) {
        depth +=
            !level->files[i]->is_compacting && kv_pick_covers(version, level->files[i], interval);
    }
    return depth;
}

/* ---- sets ----------------------------------------------------------------------------------- */

struct set {
    const struct kv_version *version;
    bool *is_in; /* of each file of level 0 */
    uint32_t file_count;
    uint64_t byte_count;
};

static enum quarry_status set_add(struct set *set, uint32_t index)
{
    const struct kv_file *file = set->version->levels[0].files[index];

    if (set->is_in[index]) {
        return QUARRY_OK;
    }
    if (file->is_compacting) {
        return QUARRY_BUSY;
    }
    set->is_in[index] = true;
    set->file_count++;
    set->byte_count = sat_add_u64(set->byte_count, file->byte_count);
    return QUARRY_OK;
}

/* Adds what invariant 1 asks for: one pass from the newest down does, as older ones come later. */
static enum quarry_status set_close(struct set *set, uint32_t from)
{
    const struct kv_version *version = set->version;
    const struct kv_run *level = &version->levels[0];
    enum quarry_status status = QUARRY_OK;

    for (uint32_t i = from; i < level->file_count && status == QUARRY_OK; i++) {
        if (!set->is_in[i]) {
            continue;
        }
        struct kv_key_range range = kv_file_range(level->files[i]);
        for (uint32_t older = i + 1; older < level->file_count && status == QUARRY_OK; older++) {
            struct kv_key_range other = kv_file_range(level->files[older]);
            if (!set->is_in[older] && kv_ranges_overlap(version->comparator, &range, &other)) {
                status = set_add(set, older);
            }
        }
    }
    return status;
}

/* Whether it has as many files as one compaction is to take. */
static bool set_is_full(const struct set *set, uint32_t file_max)
{
    return file_max != 0 && set->file_count >= file_max;
}

/* Takes the files over an interval from the oldest on, while they are not too many bytes. */
static enum quarry_status set_take_interval(struct set *set, uint32_t interval, uint64_t byte_max,
                                            uint32_t file_max)
{
    const struct kv_run *level = &set->version->levels[0];
    enum quarry_status status = QUARRY_OK;

    for (uint32_t i = level->file_count; i-- > 0 && status == QUARRY_OK;) {
        if (kv_pick_covers(set->version, level->files[i], interval)) {
            if ((set->file_count != 0 && set->byte_count >= byte_max) ||
                set_is_full(set, file_max)) {
                break;
            }
            status = set_add(set, i);
            if (status == QUARRY_OK) {
                status = set_close(set, i);
            }
        }
    }
    return status == QUARRY_OK && set->file_count == 0 ? QUARRY_NOT_FOUND : status;
}

/* The files in a range, from the oldest on. */
static enum quarry_status set_take_range(struct set *set, const struct kv_key_range *range,
                                         uint32_t file_max)
{
    const struct kv_run *level = &set->version->levels[0];
    enum quarry_status status = QUARRY_OK;

    for (uint32_t i = level->file_count;
         i-- > 0 && status == QUARRY_OK && !set_is_full(set, file_max);) {
        struct kv_key_range own = kv_file_range(level->files[i]);
        if (kv_ranges_overlap(set->version->comparator, range, &own)) {
            status = set_add(set, i);
        }
    }
    if (status == QUARRY_OK) {
        status = set_close(set, 0);
    }
    return status == QUARRY_OK && set->file_count == 0 ? QUARRY_NOT_FOUND : status;
}

/* Makes a compaction of a set. */
static enum quarry_status set_pick(const struct kv_pick_job *job, const struct set *set,
                                   enum kv_pick_kind kind, uint32_t output_level,
                                   struct kv_pick **ret_pick)
{
    const struct kv_run *level = &set->version->levels[0];
    struct kv_pick *pick = kv_pick_create(job, kind, 0, output_level);
    struct kv_run taken;
    uint32_t filled = 0;

    if (pick == NULL ||
        kv_run_init(&taken, job->version->memory, set->file_count, false) != QUARRY_OK) {
        kv_pick_destroy(pick);
        return QUARRY_NO_MEMORY;
    }
    for (uint32_t i = 0; i < level->file_count; i++) {
        if (set->is_in[i]) {
            taken.files[filled++] = level->files[i];
        }
    }
    Q_ASSERT(filled == set->file_count);
    enum quarry_status status = kv_pick_set_input(pick, 0, &taken, 0, filled);
    kv_run_fini(&taken, job->version->memory);
    if (status != QUARRY_OK) {
        kv_pick_destroy(pick);
        return status;
    }
    pick->score = job->shape.score[0];
    return kv_pick_finish(job, pick, ret_pick);
}

/* ---- choosing ------------------------------------------------------------------------------- */

/* The deepest interval that is less deep than another, or comes behind it. False: none. */
static bool next_interval(const struct kv_version *version, uint32_t *depth, uint32_t *interval)
{
    uint32_t best_depth = 0, best = 0;

    for (uint32_t i = 0; i < version->interval_count; i++) {
        uint32_t here = version->intervals[i].depth;
        bool is_later = here < *depth || (here == *depth && i > *interval);
        if (is_later && here > best_depth) {
            best_depth = here;
            best = i;
        }
    }
    *depth = best_depth;
    *interval = best;
    return best_depth != 0;
}

static void set_clear(struct set *set)
{
    memset(set->is_in, 0, set->version->levels[0].file_count * sizeof(*set->is_in));
    set->file_count = 0;
    set->byte_count = 0;
}

static enum quarry_status pick_base(const struct kv_pick_job *job, struct set *set,
                                    struct kv_pick **ret_pick)
{
    uint32_t depth = UINT32_MAX, interval = 0;
    uint32_t depth_min = job->shape.depth_score >= 1 ? job->options->level0_compact : 1;
    uint64_t byte_max = sat_mul_u64(job->options->file_bytes, TAKEN_FILES_MAX);
    enum quarry_status status = QUARRY_NOT_FOUND;

    while (next_interval(job->version, &depth, &interval) && depth >= depth_min) {
        set_clear(set);
        status = set_take_interval(set, interval, byte_max, job->options->level0_files_max);
        if (status == QUARRY_OK) {
            status = set_pick(job, set, KV_PICK_MERGE, job->shape.base_level, ret_pick);
        }
        if (status == QUARRY_OK || status == QUARRY_NO_MEMORY) {
            return status;
        }
    }
    return status == QUARRY_BUSY ? QUARRY_NOT_FOUND : status;
}

static bool is_level0_written(const struct kv_picks *picks)
{
    for (const struct kv_pick *pick = picks->first; pick != NULL; pick = pick->next) {
        if (pick->kind == KV_PICK_INTRA_L0) {
            return true;
        }
    }
    return false;
}

/* Files of level 0, the newest first, that are newer than something that is in no file. */
static uint32_t count_newer_than_unflushed(const struct kv_pick_job *job)
{
    const struct kv_run *level = &job->version->levels[0];
    uint64_t unflushed = job->options->unflushed_sequence;
    uint32_t count = 0;

    while (unflushed != 0 && count < level->file_count &&
           level->files[count]->largest_sequence >= unflushed) {
        count++;
    }
    return count;
}

static enum quarry_status pick_intra(const struct kv_pick_job *job, struct set *set,
                                     struct kv_pick **ret_pick)
{
    const struct kv_run *level = &job->version->levels[0];
    uint64_t byte_max = sat_mul_u64(job->options->file_bytes, JOINED_FILES_MAX);
    uint32_t first = count_newer_than_unflushed(job);

    set_clear(set);
    for (uint32_t i = first; i < level->file_count && level->files[i]->has_sequences; i++) {
        bool is_much = set->file_count >= INTRA_FILES_MIN && set->byte_count >= byte_max;
        if (is_much || set_add(set, i) != QUARRY_OK) {
            break;
        }
    }
    if (set->file_count < INTRA_FILES_MIN || is_level0_written(job->picks)) {
        return QUARRY_NOT_FOUND;
    }
    return set_pick(job, set, KV_PICK_INTRA_L0, 0, ret_pick);
}

static enum quarry_status set_init(struct set *set, const struct kv_version *version)
{
    *set = (struct set){.version = version};
    if (version->levels[0].file_count == 0) {
        return QUARRY_NOT_FOUND;
    }
    set->is_in =
        kv_memory_take(version->memory, version->levels[0].file_count * sizeof(*set->is_in));
    return set->is_in == NULL ? QUARRY_NO_MEMORY : QUARRY_OK;
}

enum quarry_status kv_pick_level0(const struct kv_pick_job *job, struct kv_pick **ret_pick)
{
    struct set set;
    enum quarry_status status = set_init(&set, job->version);

    if (status == QUARRY_OK) {
        status = pick_base(job, &set, ret_pick);
    }
    if (status == QUARRY_NOT_FOUND && set.is_in != NULL && job->shape.depth_score >= 1 &&
        job->options->level0_files_max == 0) {
        status = pick_intra(job, &set, ret_pick);
    }
    kv_memory_give(job->version->memory, set.is_in);
    return status;
}

enum quarry_status kv_pick_level0_range(const struct kv_pick_job *job,
                                        const struct kv_key_range *range, struct kv_pick **ret_pick)
{
    struct set set;
    enum quarry_status status = set_init(&set, job->version);

    if (status == QUARRY_OK) {
        status = set_take_range(&set, range, job->options->level0_files_max);
    }
    if (status == QUARRY_OK) {
        status = set_pick(job, &set, KV_PICK_MANUAL, job->shape.base_level, ret_pick);
    }
    kv_memory_give(job->version->memory, set.is_in);
    return status;
}
