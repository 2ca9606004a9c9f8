/*
 * A version: which files there are, level by level, immutable.
 *
 *     level 0   newest ──> oldest        files as they were flushed; they overlap
 *                │ sublevel 0  │ a–f │      │ m–z │     the newest first: what overlaps is
 *                │ sublevel 1  │ b–c │ d–k  │           in different sublevels, the newer in
 *                │ sublevel 2  │   a–e      │ n–p │     an earlier one
 *     level 1…6  │ a–c │ d–k │ m–p │ …      runs: files that do not overlap (run.c)
 *
 * A reader looks into one file of each sublevel, and of each level: the depth of level 0 is what it
 * costs, not the number of its files. Sublevels are found as Pebble finds them. The bounds of all
 * files cut the keys into intervals; taking files from the oldest on, each goes one above the
 * highest that is over any of its intervals.
 *
 * Invariants (kv_version_validate):
 *   1. Levels from 1 on, and sublevels, are runs: sorted, without overlap.
 *   2. Each file of level 0 is in one sublevel, and of two that overlap the newer is in an earlier
 *      one (a smaller index).
 *   3. An interval's depth is how many files lie over it; the deepest is as deep as there are
 *      sublevels, or less: a sublevel may be there for want of order alone.
 *   4. Numbers of files are unlike each other; each file has a reference for this version.
 *
 * Memory: of the store's account; a pointer and a number a file, and what files are, which versions
 * share. A change costs O(files) pointers: for 10,000 files, 80 KiB for as long as somebody reads
 * the older version. A tree that versions share (Pebble's B-tree) would cost less, and a search
 * more; edits come some times a second, searches a million times.
 *
 * Locking: none. References: versions.c.
 */
#include <kv/version.h>

#include <inttypes.h>

/* ---- making and freeing --------------------------------------------------------------------- */

enum quarry_status kv_version_create(struct kv_memory *memory,
                                     const struct quarry_kv_comparator *comparator,
                                     struct kv_version **ret_version)
{
    struct kv_version *version = kv_memory_take(memory, sizeof(*version));

    if (version == NULL) {
        return QUARRY_NO_MEMORY;
    }
    ref_count_init(&version->reference_count);
    version->memory = memory;
    version->comparator = comparator;
    *ret_version = version;
    return QUARRY_OK;
}

static void free_level0(struct kv_version *version)
{
    for (uint32_t i = 0; i < version->sublevel_count; i++) {
        kv_run_fini(&version->sublevels[i], version->memory);
    }
    kv_memory_give(version->memory, version->sublevels);
    kv_memory_give(version->memory, version->sublevel_of);
    kv_memory_give(version->memory, version->intervals);
    version->sublevels = NULL;
    version->sublevel_of = NULL;
    version->intervals = NULL;
    version->sublevel_count = version->interval_count = 0;
}

void kv_version_free(struct kv_version *version, kv_obsolete_function *obsolete, void *argument)
{
    struct kv_memory *memory = version->memory;

    free_level0(version);
    for (uint32_t level = 0; level < QUARRY_KV_LEVELS; level++) {
        struct kv_run *run = &version->levels[level];
        for (uint32_t i = 0; i < run->file_count; i++) {
            /* NULL: it was being made when memory ran out. */
            if (run->files[i] != NULL && ref_count_release(&run->files[i]->reference_count)) {
                obsolete(argument, run->files[i]);
            }
        }
        kv_run_fini(run, memory);
    }
    kv_memory_give(memory, version);
}

void kv_file_free(struct kv_memory *memory, struct kv_file *file)
{
    /* Relaxed: it is the caller's alone. */
    Q_ASSERT(atomic_load_relaxed_ptr(&file->table) == NULL);
    kv_memory_give(memory, file);
}

/* ---- level 0 -------------------------------------------------------------------------------- */

static bool interval_is_before(const void *argument, const void *a, const void *b)
{
    const struct kv_interval *one = a, *other = b;
    int order = kv_compare(argument, one->key, other->key);

    return order != 0 ? order < 0 : one->is_after < other->is_after;
}

/* The index of a bound among those there are: it is one of them. */
static uint32_t find_bound(const struct kv_version *version, const struct kv_interval *bound,
                           uint32_t bound_count)
{
    uint32_t from = 0, to = bound_count;

    while (from < to) {
        uint32_t middle = from + (to - from) / 2;
        if (interval_is_before(version->comparator, &version->intervals[middle], bound)) {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    Q_ASSERT(from < bound_count);
    return from;
}

static struct kv_interval first_bound(const struct kv_file *file)
{
    return (struct kv_interval){file->smallest.user, false, 0};
}
static struct kv_interval last_bound(const struct kv_file *file)
{
    return (struct kv_interval){file->largest.user, !kv_file_is_open_ended(file), 0};
}

/* Makes `intervals` of the bounds of all files, sorted, each once. Returns: how many bounds. */
static uint32_t make_bounds(struct kv_version *version, struct kv_interval *scratch,
                            struct kv_interval **order)
{
    const struct kv_run *level = &version->levels[0];
    uint32_t count = 0, kept = 0;

    for (uint32_t i = 0; i < level->file_count; i++) {
        scratch[count++] = first_bound(level->files[i]);
        scratch[count++] = last_bound(level->files[i]);
    }
    for (uint32_t i = 0; i < count; i++) {
        order[i] = &scratch[i];
    }
    kv_sort((void **)order, count, interval_is_before, version->comparator);
    for (uint32_t i = 0; i < count; i++) {
        if (kept == 0 ||
            interval_is_before(version->comparator, &version->intervals[kept - 1], order[i])) {
            version->intervals[kept++] = *order[i];
        }
    }
    return kept;
}

/*
 * Finds the height of each file above the oldest, and the intervals' depths. `tops`: of each
 * interval, zeroed: how high files over it reach. Returns: how many sublevels there are.
 */
static uint32_t stack_files(struct kv_version *version, uint32_t bound_count, uint32_t *tops)
{
    const struct kv_run *level = &version->levels[0];
    uint32_t height_max = 0;

    for (uint32_t i = level->file_count; i-- > 0;) {
        struct kv_interval first = first_bound(level->files[i]);
        struct kv_interval last = last_bound(level->files[i]);
        uint32_t from = find_bound(version, &first, bound_count);
        uint32_t to = find_bound(version, &last, bound_count);
        uint32_t height = 0;
        for (uint32_t at = from; at < to; at++) {
            height = tops[at] > height ? tops[at] : height;
        }
        for (uint32_t at = from; at < to; at++) {
            tops[at] = height + 1;
            version->intervals[at].depth++;
        }
        version->sublevel_of[i] = height;
        height_max = height + 1 > height_max ? height + 1 : height_max;
    }
    return height_max;
}

/* Fills the runs of sublevels; heights become indexes, which count from the newest. */
static enum quarry_status fill_sublevels(struct kv_version *version)
{
    const struct kv_run *level = &version->levels[0];
    uint32_t count = version->sublevel_count;

    for (uint32_t i = 0; i < level->file_count; i++) {
        version->sublevel_of[i] = count - 1 - version->sublevel_of[i];
        version->sublevels[version->sublevel_of[i]].file_count++;
    }
    for (uint32_t sublevel = 0; sublevel < count; sublevel++) {
        struct kv_run *run = &version->sublevels[sublevel];
        uint32_t filled = 0;
        if (kv_run_init(run, version->memory, run->file_count,
                        version->comparator->compare == NULL) != QUARRY_OK) {
            return QUARRY_NO_MEMORY;
        }
        for (uint32_t i = 0; i < level->file_count; i++) {
            if (version->sublevel_of[i] == sublevel) {
                run->files[filled++] = level->files[i];
            }
        }
        kv_sort((void **)run->files, run->file_count, kv_file_is_before, version->comparator);
        kv_run_index(run);
    }
    return QUARRY_OK;
}

static enum quarry_status index_level0(struct kv_version *version, void *scratch)
{
    uint32_t file_count = version->levels[0].file_count;
    struct kv_interval *bounds = scratch;
    struct kv_interval **order = (struct kv_interval **)(bounds + (size_t)2 * file_count);
    uint32_t bound_count = make_bounds(version, bounds, order);

    /* The room of `order` serves again: as many words, of half the size. */
    memset(order, 0, sizeof(*order) * 2 * file_count);
    version->sublevel_count = stack_files(version, bound_count, (uint32_t *)order);
    version->interval_count = bound_count - 1;
    version->sublevels =
        kv_memory_take(version->memory, version->sublevel_count * sizeof(*version->sublevels));
    if (version->sublevels == NULL) {
        version->sublevel_count = 0;
        return QUARRY_NO_MEMORY;
    }
    return fill_sublevels(version);
}

enum quarry_status kv_version_index_level0(struct kv_version *version)
{
    uint32_t file_count = version->levels[0].file_count;
    enum quarry_status status = QUARRY_NO_MEMORY;

    if (file_count == 0) {
        return QUARRY_OK;
    }
    size_t bound_bytes = sizeof(*version->intervals) + sizeof(version->intervals);
    void *scratch = kv_memory_take(version->memory, 2 * file_count * bound_bytes);
    version->intervals =
        kv_memory_take(version->memory, 2 * file_count * sizeof(*version->intervals));
    version->sublevel_of =
        kv_memory_take(version->memory, file_count * sizeof(*version->sublevel_of));
    if (scratch != NULL && version->intervals != NULL && version->sublevel_of != NULL) {
        status = index_level0(version, scratch);
    }
    kv_memory_give(version->memory, scratch);
    if (status != QUARRY_OK) {
        free_level0(version);
    }
    return status;
}

/* ---- what it has ---------------------------------------------------------------------------- */

bool kv_version_has_below(const struct kv_version *version, uint32_t level,
                          const struct kv_key_range *range)
{
    uint32_t from, to;

    Q_ASSERT(level > 0);
    for (; level < QUARRY_KV_LEVELS; level++) {
        if (kv_run_overlap(&version->levels[level], version->comparator, range, &from, &to)) {
            return true;
        }
    }
    return false;
}

struct kv_edit_file kv_file_describe(const struct kv_file *file, uint32_t level)
{
    return (struct kv_edit_file){
        .level = level,
        .number = file->number,
        .byte_count = file->byte_count,
        .smallest = file->smallest,
        .largest = file->largest,
        .smallest_sequence = file->smallest_sequence,
        .largest_sequence = file->largest_sequence,
        .oldest_ancestor_s = file->oldest_ancestor_s,
        .created_s = file->created_s,
        .entry_count = file->entry_count,
        .deletion_count = file->deletion_count,
        .range_deletion_count = file->range_deletion_count,
        .temperature = file->temperature,
        .wants_compaction = file->wants_compaction,
        .has_counts = file->has_counts,
        .has_sequences = file->has_sequences,
    };
}

enum quarry_status kv_version_snapshot(const struct kv_version *version, struct kv_edit *edit)
{
    enum quarry_status status = QUARRY_OK;

    for (uint32_t level = 0; level < QUARRY_KV_LEVELS; level++) {
        const struct kv_run *run = &version->levels[level];
        /* The oldest of level 0 first: a reader that orders by numbers sees the same order. */
        for (uint32_t i = run->file_count; i-- > 0 && status == QUARRY_OK;) {
            struct kv_edit_file file = kv_file_describe(run->files[i], level);
            status = kv_edit_add(edit, &file);
        }
    }
    return status;
}

/* ---- checking ------------------------------------------------------------------------------- */

static enum quarry_status validate_run(const struct kv_version *version, const struct kv_run *run,
                                       const char *what, uint32_t index, struct quarry_error *error)
{
    uint64_t byte_count = 0;

    for (uint32_t i = 0; i < run->file_count; i++) {
        const struct kv_file *file = run->files[i];
        byte_count = sat_add_u64(byte_count, file->byte_count);
        if (kv_compare_keys(version->comparator, file->smallest, file->largest) > 0) {
            return error_set(error, QUARRY_CORRUPT,
                             "file %" PRIu64 ": its keys end before they begin", file->number);
        }
        if (run->largest_prefix8 != NULL &&
            run->largest_prefix8[i] != kv_run_prefix8(run, file->largest.user)) {
            return error_set(error, QUARRY_CORRUPT, "file %" PRIu64 ": a wrong prefix",
                             file->number);
        }
        if (i > 0 &&
            kv_compare_keys(version->comparator, run->files[i - 1]->largest, file->smallest) >= 0) {
            return error_set(error, QUARRY_CORRUPT,
                             "%s %u: files %" PRIu64 " and %" PRIu64 " overlap", what, index,
                             run->files[i - 1]->number, file->number);
        }
    }
    if (byte_count != run->byte_count) {
        return error_set(error, QUARRY_CORRUPT, "%s %u: %" PRIu64 " bytes, counted %" PRIu64, what,
                         index, run->byte_count, byte_count);
    }
    return QUARRY_OK;
}

/* Files of level 0 from a newer to an older one (invariant 2). */
static enum quarry_status validate_level0_file(const struct kv_version *version, uint32_t index,
                                               struct quarry_error *error)
{
    const struct kv_run *level = &version->levels[0];
    struct kv_key_range range = kv_file_range(level->files[index]);

    if (index > 0 && !kv_file_is_newer(NULL, level->files[index - 1], level->files[index])) {
        return error_set(error, QUARRY_CORRUPT, "level 0: file %" PRIu64 " out of order",
                         level->files[index]->number);
    }
    for (uint32_t older = index + 1; older < level->file_count; older++) {
        struct kv_key_range other = kv_file_range(level->files[older]);
        if (kv_ranges_overlap(version->comparator, &range, &other) &&
            version->sublevel_of[index] >= version->sublevel_of[older]) {
            return error_set(error, QUARRY_CORRUPT,
                             "level 0: file %" PRIu64 " below the older %" PRIu64,
                             level->files[index]->number, level->files[older]->number);
        }
    }
    return QUARRY_OK;
}

static enum quarry_status validate_level0(const struct kv_version *version,
                                          struct quarry_error *error)
{
    enum quarry_status status = QUARRY_OK;
    uint32_t file_count = 0;

    for (uint32_t i = 0; i < version->sublevel_count && status == QUARRY_OK; i++) {
        file_count += version->sublevels[i].file_count;
        status = validate_run(version, &version->sublevels[i], "sublevel", i, error);
    }
    if (status == QUARRY_OK && file_count != version->levels[0].file_count) {
        status = error_set(error, QUARRY_CORRUPT, "level 0: %u files, %u in sublevels",
                           version->levels[0].file_count, file_count);
    }
    for (uint32_t i = 0; i < version->levels[0].file_count && status == QUARRY_OK; i++) {
        status = validate_level0_file(version, i, error);
    }
    for (uint32_t i = 0; i < version->interval_count && status == QUARRY_OK; i++) {
        if (version->intervals[i].depth > version->sublevel_count) {
            status = error_set(error, QUARRY_CORRUPT, "level 0: interval %u is %u deep of %u", i,
                               version->intervals[i].depth, version->sublevel_count);
        }
    }
    return status;
}

enum quarry_status kv_version_validate(const struct kv_version *version, struct quarry_error *error)
{
    enum quarry_status status = validate_level0(version, error);

    for (uint32_t level = 1; level < QUARRY_KV_LEVELS && status == QUARRY_OK; level++) {
        status = validate_run(version, &version->levels[level], "level", level, error);
    }
    return status;
}
