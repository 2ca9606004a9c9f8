/*
 * Choosing what to compact.
 *
 *     drop     files that a range deletion covers whole: nothing is read, space comes at once
 *     score    the level with the highest score above 1, then the next one
 *     marked   files that their writer marked
 *     density  files that are mostly deletions
 *
 * From a level below 0 the file goes that brings the fewest bytes of the next level with it for
 * each of its own, where deletions count as what they may remove: RocksDB's min-overlap ratio with
 * compensation. Files of which one user key is in two stay together, on both levels: the older
 * entries must not be left above (invariant 1). If more files of the level can come along for the
 * same files below, they do.
 *
 * A file that nothing below overlaps is moved: a line in the manifest. Not so where it overlaps
 * much of the level after (grandparents): it would cost that when it is merged at last; then it is
 * merged alone, and cut.
 *
 * Invariants:
 *   1. No user key is both in the inputs and in a file of the same level that is not among them.
 *   2. Every file of the output level that overlaps the inputs' range is among them.
 *   3. No input is being compacted.
 *   4. Of those under way no two write to one level in ranges that overlap.
 *
 * Without the fourth, two that begin where the level is empty would each write files there, and the
 * files would overlap. It is not asked of level 0, where they may.
 *
 * Pure functions of a version, marks and options: the same tree, the same choice.
 *
 * Locking: the store's. Memory: what a pick is made of. Cost: O(files) searches in the next level.
 */
#include <kv/pick_parts.h>

#define LAST_LEVEL (QUARRY_KV_LEVELS - 1)
/* Of the level after the output, in output files: what a moved file may overlap (LevelDB's ten). */
#define GRANDPARENT_FILES_MAX 10u
/* Of all inputs together, in output files, when more of the first level comes along. */
#define EXPANDED_FILES_MAX 25u
/* A file is dense from this many deletions on, if they are half of its entries. */
#define DENSE_DELETIONS_MIN 100u

/* ---- picks ---------------------------------------------------------------------------------- */

struct kv_pick *kv_pick_create(const struct kv_pick_job *job, enum kv_pick_kind kind,
                               uint32_t level, uint32_t output_level)
{
    struct kv_pick *pick = kv_memory_take(job->version->memory, sizeof(*pick));

    if (pick == NULL) {
        return NULL;
    }
    pick->kind = kind;
    pick->output_level = output_level;
    pick->inputs[0].level = level;
    pick->inputs[1].level = output_level;
    pick->output_file_bytes = job->options->file_bytes;
    pick->version = job->version;
    kv_version_acquire(job->version);
    return pick;
}

void kv_pick_destroy(struct kv_pick *pick)
{
    if (pick == NULL) {
        return;
    }
    struct kv_version *version = pick->version;
    struct kv_memory *memory = version->memory;
    kv_memory_give(memory, pick->inputs[0].files);
    kv_memory_give(memory, pick->inputs[1].files);
    kv_memory_give(memory, pick->grandparents);
    kv_memory_give(memory, pick);
    kv_version_release(version);
}

static enum quarry_status copy_files(struct kv_memory *memory, const struct kv_run *run,
                                     uint32_t from, uint32_t to, struct kv_file ***ret_files,
                                     uint32_t *ret_count)
{
    struct kv_file **files = NULL;

    if (to > from) {
        files = kv_memory_take(memory, (to - from) * sizeof(struct kv_file *));
        if (files == NULL) {
            return QUARRY_NO_MEMORY;
        }
        memcpy(files, run->files + from, (to - from) * sizeof(struct kv_file *));
    }
    kv_memory_give(memory, *ret_files);
    *ret_files = files;
    *ret_count = to - from;
    return QUARRY_OK;
}

enum quarry_status kv_pick_set_input(struct kv_pick *pick, uint32_t which, const struct kv_run *run,
                                     uint32_t from, uint32_t to)
{
    struct kv_pick_input *input = &pick->inputs[which];

    return copy_files(pick->version->memory, run, from, to, &input->files, &input->file_count);
}

/* ---- ranges of inputs ----------------------------------------------------------------------- */

static void join_input(struct kv_key_range *range, const struct kv_version *version,
                       const struct kv_pick_input *input, bool *is_begun)
{
    for (uint32_t i = 0; i < input->file_count; i++) {
        struct kv_key_range own = kv_file_range(input->files[i]);
        if (*is_begun) {
            kv_range_join(range, version->comparator, &own);
        } else {
            *range = own;
            *is_begun = true;
        }
    }
}

static struct kv_key_range range_of(const struct kv_pick *pick, uint32_t input_count)
{
    struct kv_key_range range = {{NULL, 0}, {NULL, 0}, false};
    bool is_begun = false;

    for (uint32_t i = 0; i < input_count; i++) {
        join_input(&range, pick->version, &pick->inputs[i], &is_begun);
    }
    Q_ASSERT(is_begun);
    return range;
}

/* Whether two files that follow each other share a user key. */
static bool share_key(const struct kv_version *version, const struct kv_file *a,
                      const struct kv_file *b)
{
    return !kv_file_is_open_ended(a) &&
           kv_compare(version->comparator, a->largest.user, b->smallest.user) == 0;
}

enum quarry_status kv_pick_widen(const struct kv_version *version, const struct kv_run *run,
                                 uint32_t *from, uint32_t *to)
{
    while (*from > 0 && share_key(version, run->files[*from - 1], run->files[*from])) {
        (*from)--;
    }
    while (*to > *from && *to < run->file_count &&
           share_key(version, run->files[*to - 1], run->files[*to])) {
        (*to)++;
    }
    for (uint32_t i = *from; i < *to; i++) {
        if (run->files[i]->is_compacting) {
            return QUARRY_BUSY;
        }
    }
    return QUARRY_OK;
}

/* The files of a run over a range, widened. */
static enum quarry_status overlap_of(const struct kv_version *version, const struct kv_run *run,
                                     const struct kv_key_range *range, uint32_t *from, uint32_t *to)
{
    if (!kv_run_overlap(run, version->comparator, range, from, to)) {
        *to = *from;
        return QUARRY_OK;
    }
    return kv_pick_widen(version, run, from, to);
}

static uint64_t bytes_of(struct kv_file *const *files, uint32_t count)
{
    uint64_t byte_count = 0;

    for (uint32_t i = 0; i < count; i++) {
        byte_count = sat_add_u64(byte_count, files[i]->byte_count);
    }
    return byte_count;
}

/* ---- completing a pick ---------------------------------------------------------------------- */

/*
 * Takes along more files of the first level, from 1 on, that lie within the range of all inputs,
 * if no more of the output level is needed for them.
 */
static enum quarry_status expand(const struct kv_pick_job *job, struct kv_pick *pick)
{
    const struct kv_version *version = job->version;
    const struct kv_run *run = &version->levels[pick->inputs[0].level];
    struct kv_key_range range = range_of(pick, 2);
    uint32_t from, to, below_from, below_to;

    if (pick->inputs[1].file_count == 0 ||
        overlap_of(version, run, &range, &from, &to) != QUARRY_OK ||
        to - from <= pick->inputs[0].file_count) {
        return QUARRY_OK;
    }
    uint64_t byte_count = sat_add_u64(bytes_of(run->files + from, to - from),
                                      bytes_of(pick->inputs[1].files, pick->inputs[1].file_count));
    if (byte_count > sat_mul_u64(job->options->file_bytes, EXPANDED_FILES_MAX)) {
        return QUARRY_OK;
    }
    struct kv_key_range wider = kv_file_range(run->files[from]);
    struct kv_key_range last = kv_file_range(run->files[to - 1]);
    kv_range_join(&wider, version->comparator, &last);
    if (overlap_of(version, &version->levels[pick->output_level], &wider, &below_from, &below_to) !=
            QUARRY_OK ||
        below_to - below_from != pick->inputs[1].file_count) {
        return QUARRY_OK;
    }
    return kv_pick_set_input(pick, 0, run, from, to);
}

static enum quarry_status take_below(const struct kv_pick_job *job, struct kv_pick *pick)
{
    const struct kv_run *run = &job->version->levels[pick->output_level];
    struct kv_key_range range = range_of(pick, 1);
    uint32_t from, to;
    enum quarry_status status = overlap_of(job->version, run, &range, &from, &to);

    if (status == QUARRY_OK) {
        status = kv_pick_set_input(pick, 1, run, from, to);
    }
    if (status == QUARRY_OK && pick->inputs[0].level > 0) {
        status = expand(job, pick);
    }
    return status;
}

static enum quarry_status take_grandparents(const struct kv_pick_job *job, struct kv_pick *pick)
{
    uint32_t level = pick->output_level + 1, from, to;

    if (pick->output_level == 0 || level >= QUARRY_KV_LEVELS ||
        !kv_run_overlap(&job->version->levels[level], job->version->comparator, &pick->range, &from,
                        &to)) {
        return QUARRY_OK;
    }
    return copy_files(job->version->memory, &job->version->levels[level], from, to,
                      &pick->grandparents, &pick->grandparent_count);
}

/* Invariant 4. */
static bool is_in_the_way(const struct kv_pick_job *job, const struct kv_pick *pick)
{
    if (pick->kind == KV_PICK_DROP || pick->output_level == 0) {
        return false;
    }
    for (const struct kv_pick *other = job->picks->first; other != NULL; other = other->next) {
        if (other->kind != KV_PICK_DROP && other->output_level == pick->output_level &&
            kv_ranges_overlap(job->version->comparator, &other->range, &pick->range)) {
            return true;
        }
    }
    return false;
}

/* Whether the files of the first input can go down as they are. */
static bool can_move(const struct kv_pick_job *job, const struct kv_pick *pick)
{
    const struct kv_pick_input *input = &pick->inputs[0];
    uint64_t overlap = bytes_of(pick->grandparents, pick->grandparent_count);

    if (pick->kind != KV_PICK_MERGE || pick->inputs[1].file_count != 0 ||
        pick->output_level == input->level) {
        return false;
    }
    if (overlap > sat_mul_u64(job->options->file_bytes, GRANDPARENT_FILES_MAX)) {
        return false;
    }
    /* Files of level 0 may overlap each other. */
    return input->level > 0 || input->file_count == 1;
}

enum quarry_status kv_pick_finish(const struct kv_pick_job *job, struct kv_pick *pick,
                                  struct kv_pick **ret_pick)
{
    bool writes_below = pick->kind != KV_PICK_DROP && pick->output_level != pick->inputs[0].level;
    enum quarry_status status = writes_below ? take_below(job, pick) : QUARRY_OK;

    if (status == QUARRY_OK) {
        pick->range = range_of(pick, 2);
        pick->byte_count = sat_add_u64(bytes_of(pick->inputs[0].files, pick->inputs[0].file_count),
                                       bytes_of(pick->inputs[1].files, pick->inputs[1].file_count));
        status = is_in_the_way(job, pick) ? QUARRY_BUSY : take_grandparents(job, pick);
    }
    if (status != QUARRY_OK) {
        kv_pick_destroy(pick);
        return status;
    }
    pick->is_last = pick->output_level == LAST_LEVEL ||
                    (pick->output_level > 0 &&
                     !kv_version_has_below(job->version, pick->output_level + 1, &pick->range));
    if (can_move(job, pick)) {
        pick->kind = KV_PICK_MOVE;
    }
    *ret_pick = pick;
    return QUARRY_OK;
}

/* A pick that begins with files [from, to) of a level from 1 on. */
static enum quarry_status pick_files(const struct kv_pick_job *job, enum kv_pick_kind kind,
                                     uint32_t level, uint32_t from, uint32_t to,
                                     struct kv_pick **ret_pick)
{
    const struct kv_run *run = &job->version->levels[level];
    uint32_t output_level = level == LAST_LEVEL ? level : level + 1;
    enum quarry_status status = kv_pick_widen(job->version, run, &from, &to);

    if (status != QUARRY_OK) {
        return status;
    }
    struct kv_pick *pick = kv_pick_create(job, kind, level, output_level);
    if (pick == NULL) {
        return QUARRY_NO_MEMORY;
    }
    status = kv_pick_set_input(pick, 0, run, from, to);
    if (status != QUARRY_OK) {
        kv_pick_destroy(pick);
        return status;
    }
    pick->score = job->shape.score[level];
    return kv_pick_finish(job, pick, ret_pick);
}

/* ---- by score ------------------------------------------------------------------------------- */

/* Bytes of the next level for each of a file's own; below 0: it cannot be taken now. */
static double cost_of(const struct kv_pick_job *job, uint32_t level, uint32_t index)
{
    const struct kv_run *run = &job->version->levels[level];
    const struct kv_run *below = &job->version->levels[level + 1];
    uint32_t from = index, to = index + 1, below_from, below_to;

    if (kv_pick_widen(job->version, run, &from, &to) != QUARRY_OK) {
        return -1;
    }
    uint64_t weight = 0;
    struct kv_key_range range = kv_file_range(run->files[from]);
    struct kv_key_range last = kv_file_range(run->files[to - 1]);
    kv_range_join(&range, job->version->comparator, &last);
    for (uint32_t i = from; i < to; i++) {
        weight = sat_add_u64(weight, kv_pick_weight(run->files[i]));
    }
    if (overlap_of(job->version, below, &range, &below_from, &below_to) != QUARRY_OK) {
        return -1;
    }
    uint64_t below_bytes =
        below_to > below_from ? bytes_of(below->files + below_from, below_to - below_from) : 0;
    return (double)below_bytes / (double)(weight + 1);
}

/*
 * The cheapest file of a level that is at least as dear as the bounds say, and behind `index` where
 * it is just as dear. False: none.
 */
static bool next_file(const struct kv_pick_job *job, uint32_t level, double *cost, uint32_t *index)
{
    uint32_t best = UINT32_MAX;
    double best_cost = 0;

    for (uint32_t i = 0; i < job->version->levels[level].file_count; i++) {
        double here = cost_of(job, level, i);
        bool is_later = here > *cost || (here >= *cost && i > *index && *index != UINT32_MAX) ||
                        (*index == UINT32_MAX && here >= 0);
        if (here >= 0 && is_later && (best == UINT32_MAX || here < best_cost)) {
            best = i;
            best_cost = here;
        }
    }
    *cost = best_cost;
    *index = best;
    return best != UINT32_MAX;
}

/* How many files of a level are tried before another level is: each costs a look at all. */
#define TRIES_MAX 8u

static enum quarry_status pick_level(const struct kv_pick_job *job, uint32_t level,
                                     struct kv_pick **ret_pick)
{
    enum quarry_status status = QUARRY_NOT_FOUND;
    uint32_t index = UINT32_MAX;
    double cost = -1;

    if (level == 0) {
        return kv_pick_level0(job, ret_pick);
    }
    for (uint32_t tries = 0; tries < TRIES_MAX && next_file(job, level, &cost, &index); tries++) {
        status = pick_files(job, KV_PICK_MERGE, level, index, index + 1, ret_pick);
        if (status == QUARRY_OK || status == QUARRY_NO_MEMORY) {
            return status;
        }
    }
    return QUARRY_NOT_FOUND;
}

static enum quarry_status pick_by_score(const struct kv_pick_job *job, struct kv_pick **ret_pick)
{
    enum quarry_status status = QUARRY_NOT_FOUND;
    uint32_t tried = 0;

    for (;;) {
        uint32_t best = QUARRY_KV_LEVELS;
        for (uint32_t level = 0; level < LAST_LEVEL; level++) {
            bool is_better =
                best == QUARRY_KV_LEVELS || job->shape.score[level] > job->shape.score[best];
            /* Level 0 is counted in files: as deep as it may be is deep enough. */
            bool is_due = level == 0 ? job->shape.score[0] >= 1 : job->shape.score[level] > 1;
            if (is_due && is_better && (tried & (1u << level)) == 0) {
                best = level;
            }
        }
        if (best == QUARRY_KV_LEVELS) {
            return QUARRY_NOT_FOUND;
        }
        status = pick_level(job, best, ret_pick);
        if (status != QUARRY_NOT_FOUND && status != QUARRY_BUSY) {
            return status;
        }
        tried |= 1u << best;
    }
}

/* ---- dropping ------------------------------------------------------------------------------- */

/* Whether a snapshot sees what is in a file, and not the deletion that covers it. */
static bool is_seen(const struct kv_pick_options *options, const struct kv_file *file,
                    uint64_t sequence)
{
    for (uint32_t i = 0; i < options->snapshot_count; i++) {
        if (options->snapshots[i] >= file->smallest_sequence && options->snapshots[i] < sequence) {
            return true;
        }
    }
    return false;
}

static bool is_covered(const struct kv_pick_job *job, const struct kv_file *file)
{
    const struct quarry_kv_comparator *comparator = job->version->comparator;

    for (uint32_t i = 0; i < job->options->hint_count && !file->is_compacting; i++) {
        const struct kv_pick_hint *hint = &job->options->hints[i];
        int last = kv_compare(comparator, file->largest.user, hint->end);
        bool is_older = hint->file_number == 0 || file->number < hint->file_number;
        if (is_older && file->largest_sequence < hint->sequence &&
            kv_compare(comparator, hint->begin, file->smallest.user) <= 0 &&
            (last < 0 || (last == 0 && kv_file_is_open_ended(file))) &&
            !is_seen(job->options, file, hint->sequence)) {
            return true;
        }
    }
    return false;
}

/* Files of one level, so that a pick is of the shape of all others. */
static enum quarry_status pick_covered(const struct kv_pick_job *job, struct kv_pick **ret_pick)
{
    for (uint32_t level = LAST_LEVEL; level > 0 && job->options->hint_count != 0; level--) {
        const struct kv_run *run = &job->version->levels[level];
        for (uint32_t from = 0; from < run->file_count; from++) {
            uint32_t to = from;
            while (to < run->file_count && is_covered(job, run->files[to])) {
                to++;
            }
            if (to > from) {
                struct kv_pick *pick = kv_pick_create(job, KV_PICK_DROP, level, level);
                if (pick == NULL || kv_pick_set_input(pick, 0, run, from, to) != QUARRY_OK) {
                    kv_pick_destroy(pick);
                    return QUARRY_NO_MEMORY;
                }
                return kv_pick_finish(job, pick, ret_pick);
            }
        }
    }
    return QUARRY_NOT_FOUND;
}

/* ---- marked and dense files ----------------------------------------------------------------- */

/* Deletions are dropped in the last level once no snapshot is older than them. */
static bool can_elide(const struct kv_pick_job *job, const struct kv_file *file)
{
    return job->options->snapshot_count == 0 ||
           job->options->snapshots[0] >= file->largest_sequence;
}

static bool is_dense(const struct kv_file *file)
{
    uint64_t deletion_count = sat_add_u64(file->deletion_count, file->range_deletion_count);

    return file->has_counts && deletion_count >= DENSE_DELETIONS_MIN &&
           deletion_count >= file->entry_count / 2;
}

static enum quarry_status pick_dense(const struct kv_pick_job *job, struct kv_pick **ret_pick)
{
    enum quarry_status status = QUARRY_NOT_FOUND;

    for (uint32_t level = LAST_LEVEL; level > 0; level--) {
        const struct kv_run *run = &job->version->levels[level];
        for (uint32_t i = 0; i < run->file_count; i++) {
            const struct kv_file *file = run->files[i];
            bool is_wanted = level == LAST_LEVEL ? is_dense(file) && can_elide(job, file)
                                                 : is_dense(file) || file->wants_compaction;
            if (!is_wanted || file->is_compacting) {
                continue;
            }
            status = pick_files(job, KV_PICK_DENSITY, level, i, i + 1, ret_pick);
            if (status == QUARRY_OK || status == QUARRY_NO_MEMORY) {
                return status;
            }
        }
    }
    return QUARRY_NOT_FOUND;
}

/* ---- the door ------------------------------------------------------------------------------- */

static struct kv_pick_job job_of(struct kv_version *version, const struct kv_picks *picks,
                                 const struct kv_pick_options *options)
{
    struct kv_pick_job job = {.version = version, .picks = picks, .options = options};

    kv_shape_of(version, options, &job.shape);
    return job;
}

enum quarry_status kv_pick_next(struct kv_version *version, const struct kv_picks *picks,
                                const struct kv_pick_options *options, struct kv_pick **ret_pick)
{
    struct kv_pick_job job = job_of(version, picks, options);
    enum quarry_status status = pick_covered(&job, ret_pick);

    if (status == QUARRY_NOT_FOUND) {
        status = pick_by_score(&job, ret_pick);
    }
    if (status == QUARRY_NOT_FOUND) {
        status = pick_dense(&job, ret_pick);
    }
    return status;
}

enum quarry_status kv_pick_manual(struct kv_version *version, const struct kv_picks *picks,
                                  const struct kv_pick_options *options, uint32_t level,
                                  const struct kv_key_range *range, struct kv_pick **ret_pick)
{
    struct kv_pick_job job = job_of(version, picks, options);
    uint32_t from, to;

    Q_ASSERT(level < QUARRY_KV_LEVELS);
    if (level == 0) {
        return kv_pick_level0_range(&job, range, ret_pick);
    }
    if (!kv_run_overlap(&version->levels[level], version->comparator, range, &from, &to)) {
        return QUARRY_NOT_FOUND;
    }
    return pick_files(&job, KV_PICK_MANUAL, level, from, to, ret_pick);
}

/* ---- under way ------------------------------------------------------------------------------ */

static void mark(struct kv_pick *pick, bool is_compacting)
{
    for (uint32_t which = 0; which < 2; which++) {
        for (uint32_t i = 0; i < pick->inputs[which].file_count; i++) {
            struct kv_file *file = pick->inputs[which].files[i];
            Q_ASSERT(file->is_compacting != is_compacting);
            file->is_compacting = is_compacting;
        }
    }
}

void kv_picks_begin(struct kv_picks *picks, struct kv_pick *pick)
{
    mark(pick, true);
    pick->next = picks->first;
    pick->previous = NULL;
    if (picks->first != NULL) {
        picks->first->previous = pick;
    }
    picks->first = pick;
    picks->count++;
}

void kv_picks_end(struct kv_picks *picks, struct kv_pick *pick)
{
    mark(pick, false);
    if (pick->previous != NULL) {
        pick->previous->next = pick->next;
    } else {
        Q_ASSERT(picks->first == pick);
        picks->first = pick->next;
    }
    if (pick->next != NULL) {
        pick->next->previous = pick->previous;
    }
    picks->count--;
}
