/*
 * Building versions: edits on top of an older version.
 *
 *     base     level 1   │ 4 │ 7 │ 9 │
 *     changes  7: gone from level 1; 12: new at level 1; 4: gone from 1, at level 2
 *     result   level 1   │ 12 │ 9 │     level 2   │ … 4 … │
 *
 * Changes are in a table by the file's number. At the end each level is the base's files that have
 * not gone, merged with what was added, which is sorted apart: O(files) pointers moved, and few
 * compared. Reading a manifest is the same with no base.
 *
 * What an edit says is not believed: a file that is removed must be there and at that level, one
 * that is added must not, its keys and sequences must be the right way round, and in the end no two
 * of a level may overlap. Within an edit removals come first, whatever their order in the record,
 * for a file that moves is removed and added.
 *
 * Invariants:
 *   1. A change's `added` has a reference of the builder's.
 *   2. `removed_level` is a level at which the base has the file; NONE: it was not removed from
 * there.
 *
 * Locking: none. Memory: 40 bytes a change; the table is doubled at a load of a half.
 */
#include <kv/version.h>

#include <inttypes.h>

#define LEVEL_NONE UINT32_MAX
/* Places of the table to begin with; a power of two. */
#define FIRST_PLACES 64u

struct change {
    uint64_t number;       /* of the file */
    struct kv_file *added; /* NULL: not there, or as in the base */
    uint32_t added_level;
    uint32_t removed_level;
    bool is_used;
};

struct kv_builder {
    struct kv_memory *memory;
    const struct quarry_kv_comparator *comparator;
    struct kv_version *base; /* counted; NULL: none */
    struct change *changes;  /* open addressing, by number */
    size_t place_count, change_count;
};

/* ---- the table of changes ------------------------------------------------------------------- */

static size_t place_of(const struct kv_builder *builder, uint64_t number)
{
    size_t at = (size_t)(number * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (builder->place_count - 1);

    while (builder->changes[at].is_used && builder->changes[at].number != number) {
        at = (at + 1) & (builder->place_count - 1);
    }
    return at;
}

static enum quarry_status grow(struct kv_builder *builder)
{
    struct change *old = builder->changes;
    size_t old_count = builder->place_count;

    if (builder->change_count * 2 < old_count) {
        return QUARRY_OK;
    }
    struct change *changes = kv_memory_take(builder->memory, old_count * 2 * sizeof(*changes));
    if (changes == NULL) {
        return QUARRY_NO_MEMORY;
    }
    builder->changes = changes;
    builder->place_count = old_count * 2;
    for (size_t i = 0; i < old_count; i++) {
        if (old[i].is_used) {
            changes[place_of(builder, old[i].number)] = old[i];
        }
    }
    kv_memory_give(builder->memory, old);
    return QUARRY_OK;
}

/* The change of a file, made if need be. NULL: no memory. */
static struct change *change_of(struct kv_builder *builder, uint64_t number)
{
    struct change *change = &builder->changes[place_of(builder, number)];

    if (change->is_used) {
        return change;
    }
    if (grow(builder) != QUARRY_OK) {
        return NULL;
    }
    change = &builder->changes[place_of(builder, number)];
    *change = (struct change){.number = number, .removed_level = LEVEL_NONE, .is_used = true};
    builder->change_count++;
    return change;
}

enum quarry_status kv_builder_create(struct kv_memory *memory,
                                     const struct quarry_kv_comparator *comparator,
                                     struct kv_version *base, struct kv_builder **ret_builder)
{
    struct kv_builder *builder = kv_memory_take(memory, sizeof(*builder));

    if (builder == NULL) {
        return QUARRY_NO_MEMORY;
    }
    builder->memory = memory;
    builder->comparator = comparator;
    builder->place_count = FIRST_PLACES;
    builder->changes = kv_memory_take(memory, FIRST_PLACES * sizeof(*builder->changes));
    if (builder->changes == NULL) {
        kv_memory_give(memory, builder);
        return QUARRY_NO_MEMORY;
    }
    if (base != NULL) {
        kv_version_acquire(base);
    }
    builder->base = base;
    *ret_builder = builder;
    return QUARRY_OK;
}

static void drop_added(struct kv_builder *builder, struct change *change)
{
    if (change->added != NULL && ref_count_release(&change->added->reference_count)) {
        kv_file_free(builder->memory, change->added);
    }
    change->added = NULL;
}

void kv_builder_destroy(struct kv_builder *builder)
{
    if (builder == NULL) {
        return;
    }
    for (size_t i = 0; i < builder->place_count; i++) {
        drop_added(builder, &builder->changes[i]);
    }
    if (builder->base != NULL) {
        kv_version_release(builder->base);
    }
    kv_memory_give(builder->memory, builder->changes);
    kv_memory_give(builder->memory, builder);
}

/* ---- edits ---------------------------------------------------------------------------------- */

/* The base's file of a number. `ret_level`: where. NULL: none. */
static struct kv_file *base_file(const struct kv_builder *builder, uint64_t number,
                                 uint32_t *ret_level)
{
    for (uint32_t level = 0; builder->base != NULL && level < QUARRY_KV_LEVELS; level++) {
        const struct kv_run *run = &builder->base->levels[level];
        for (uint32_t i = 0; i < run->file_count; i++) {
            if (run->files[i]->number == number) {
                *ret_level = level;
                return run->files[i];
            }
        }
    }
    return NULL;
}

static enum quarry_status apply_removal(struct kv_builder *builder,
                                        const struct kv_edit_removal *removal,
                                        struct quarry_error *error)
{
    struct change *change = change_of(builder, removal->number);
    uint32_t level = LEVEL_NONE;

    if (change == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "version: no memory for %zu changes",
                         builder->change_count + 1);
    }
    if (change->added != NULL && change->added_level == removal->level) {
        drop_added(builder, change);
        return QUARRY_OK;
    }
    if (change->added == NULL && change->removed_level == LEVEL_NONE &&
        base_file(builder, removal->number, &level) != NULL && level == removal->level) {
        change->removed_level = level;
        return QUARRY_OK;
    }
    return error_set(error, QUARRY_CORRUPT,
                     "version: file %" PRIu64 " is removed from level %u, where it is not",
                     removal->number, removal->level);
}

static const char *fault_of(const struct kv_builder *builder, const struct kv_edit_file *file)
{
    if (file->level >= QUARRY_KV_LEVELS) {
        return "is at a level that does not exist";
    }
    if (kv_compare_keys(builder->comparator, file->smallest, file->largest) > 0) {
        return "has keys that end before they begin";
    }
    if (file->smallest_sequence > file->largest_sequence ||
        file->largest_sequence > KV_SEQUENCE_MAX) {
        return "has sequences that end before they begin";
    }
    if (file->byte_count > INT64_MAX) {
        return "is larger than a file can be";
    }
    return NULL;
}

/* Copies a key to a file's own bytes. Returns: behind them. */
static char *copy_key(struct kv_key *key, char *room, struct kv_key from)
{
    key->user = kv_slice(room, from.user.count);
    key->trailer = from.trailer;
    if (from.user.count != 0) {
        memcpy(room, from.user.bytes, from.user.count);
    }
    return room + from.user.count;
}

static struct kv_file *make_file(struct kv_builder *builder, const struct kv_edit_file *from,
                                 bool has_sequences)
{
    size_t key_bytes = from->smallest.user.count + from->largest.user.count;
    struct kv_file *file = kv_memory_take(builder->memory, sizeof(*file) + key_bytes);

    if (file == NULL) {
        return NULL;
    }
    ref_count_init(&file->reference_count);
    file->number = from->number;
    file->byte_count = from->byte_count;
    (void)copy_key(&file->largest, copy_key(&file->smallest, (char *)(file + 1), from->smallest),
                   from->largest);
    file->smallest_sequence = from->smallest_sequence;
    file->largest_sequence = from->largest_sequence;
    file->oldest_ancestor_s = from->oldest_ancestor_s;
    file->created_s = from->created_s;
    file->entry_count = from->entry_count;
    file->deletion_count = from->deletion_count;
    file->range_deletion_count = from->range_deletion_count;
    file->temperature = from->temperature;
    file->wants_compaction = from->wants_compaction;
    file->has_counts = from->has_counts;
    file->has_sequences = has_sequences;
    return file;
}

static enum quarry_status apply_file(struct kv_builder *builder, const struct kv_edit_file *file,
                                     struct quarry_error *error)
{
    const char *fault = fault_of(builder, file);
    uint32_t level = LEVEL_NONE;

    if (fault != NULL) {
        return error_set(error, QUARRY_CORRUPT, "version: file %" PRIu64 " %s", file->number,
                         fault);
    }
    struct change *change = change_of(builder, file->number);
    struct kv_file *base = base_file(builder, file->number, &level);
    if (change != NULL &&
        (change->added != NULL || (base != NULL && change->removed_level == LEVEL_NONE))) {
        return error_set(error, QUARRY_CORRUPT,
                         "version: file %" PRIu64 " is added to level %u, and is at level %u",
                         file->number, file->level, base != NULL ? level : change->added_level);
    }
    struct kv_file *added = base;
    if (base != NULL) {
        kv_file_acquire(base);
    } else if (change != NULL) {
        added = make_file(builder, file, file->has_sequences);
    }
    if (added == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "version: no memory for file %" PRIu64,
                         file->number);
    }
    change->added = added;
    change->added_level = file->level;
    return QUARRY_OK;
}

enum quarry_status kv_builder_apply(struct kv_builder *builder, const struct kv_edit *edit,
                                    struct quarry_error *error)
{
    enum quarry_status status = QUARRY_OK;

    for (size_t i = 0; i < edit->removed_count && status == QUARRY_OK; i++) {
        status = apply_removal(builder, &edit->removed[i], error);
    }
    for (size_t i = 0; i < edit->added_count && status == QUARRY_OK; i++) {
        status = apply_file(builder, &edit->added[i], error);
    }
    return status;
}

void kv_builder_bound_sequences(struct kv_builder *builder, uint64_t last_sequence)
{
    for (size_t i = 0; i < builder->place_count; i++) {
        struct kv_file *file = builder->changes[i].added;
        if (file != NULL && !file->has_sequences && file->largest_sequence > last_sequence) {
            file->largest_sequence = last_sequence;
        }
    }
}

/* ---- the version ---------------------------------------------------------------------------- */

static bool has_gone(const struct kv_builder *builder, const struct kv_file *file)
{
    const struct change *change = &builder->changes[place_of(builder, file->number)];

    return change->is_used && change->removed_level != LEVEL_NONE;
}

/* Files added to a level, sorted, into `files` unless that is NULL. Returns: how many. */
static uint32_t gather(const struct kv_builder *builder, uint32_t level, struct kv_file **files)
{
    uint32_t count = 0;

    for (size_t i = 0; i < builder->place_count; i++) {
        const struct change *change = &builder->changes[i];
        if (change->added != NULL && change->added_level == level) {
            if (files != NULL) {
                files[count] = change->added;
            }
            count++;
        }
    }
    return count;
}

/* How many of the base's files stay at a level. */
static uint32_t count_kept(const struct kv_builder *builder, uint32_t level)
{
    uint32_t count = 0;

    for (uint32_t i = 0; builder->base != NULL && i < builder->base->levels[level].file_count;
         i++) {
        count += !has_gone(builder, builder->base->levels[level].files[i]);
    }
    return count;
}

/* `added`: at the end of the run's own array; the merge never catches up with what it reads. */
static void merge(const struct kv_builder *builder, uint32_t level, struct kv_run *run,
                  uint32_t added_count)
{
    kv_is_before_function *is_before = level == 0 ? kv_file_is_newer : kv_file_is_before;
    struct kv_file **out = run->files, **end = run->files + run->file_count;
    struct kv_file **added = end - added_count;

    kv_sort((void **)added, added_count, is_before, builder->comparator);
    for (uint32_t i = 0; builder->base != NULL && i < builder->base->levels[level].file_count;
         i++) {
        struct kv_file *file = builder->base->levels[level].files[i];
        if (has_gone(builder, file)) {
            continue;
        }
        while (added < end && is_before(builder->comparator, *added, file)) {
            *out++ = *added++;
        }
        *out++ = file;
    }
    Q_ASSERT(out == added);
}

static enum quarry_status build_level(const struct kv_builder *builder, struct kv_version *version,
                                      uint32_t level)
{
    uint32_t added_count = gather(builder, level, NULL);
    uint32_t kept_count = count_kept(builder, level);
    struct kv_run *run = &version->levels[level];
    bool has_prefixes = level > 0 && builder->comparator->compare == NULL;

    if (kv_run_init(run, builder->memory, added_count + kept_count, has_prefixes) != QUARRY_OK) {
        run->file_count = 0;
        return QUARRY_NO_MEMORY;
    }
    if (run->file_count == 0) {
        return QUARRY_OK;
    }
    (void)gather(builder, level, run->files + kept_count);
    merge(builder, level, run, added_count);
    for (uint32_t i = 0; i < run->file_count; i++) {
        kv_file_acquire(run->files[i]);
    }
    kv_run_index(run);
    return QUARRY_OK;
}

static enum quarry_status check_overlap(const struct kv_version *version,
                                        struct quarry_error *error)
{
    for (uint32_t level = 1; level < QUARRY_KV_LEVELS; level++) {
        const struct kv_run *run = &version->levels[level];
        for (uint32_t i = 1; i < run->file_count; i++) {
            if (kv_compare_keys(version->comparator, run->files[i - 1]->largest,
                                run->files[i]->smallest) >= 0) {
                return error_set(error, QUARRY_CORRUPT,
                                 "version: files %" PRIu64 " and %" PRIu64 " of level %u overlap",
                                 run->files[i - 1]->number, run->files[i]->number, level);
            }
        }
    }
    return QUARRY_OK;
}

enum quarry_status kv_builder_finish(struct kv_builder *builder, struct kv_version **ret_version,
                                     struct quarry_error *error)
{
    struct kv_version *version = NULL;
    enum quarry_status status = kv_version_create(builder->memory, builder->comparator, &version);

    if (status != QUARRY_OK) {
        return error_set(error, status, "version: no memory for %zu changes",
                         builder->change_count);
    }
    for (uint32_t level = 0; level < QUARRY_KV_LEVELS && status == QUARRY_OK; level++) {
        status = build_level(builder, version, level);
    }
    if (status == QUARRY_OK) {
        status = kv_version_index_level0(version);
    }
    if (status != QUARRY_OK) {
        kv_version_release(version);
        return error_set(error, status, "version: no memory for its files");
    }
    status = check_overlap(version, error);
    if (status != QUARRY_OK) {
        kv_version_release(version);
        return status;
    }
    *ret_version = version;
    return QUARRY_OK;
}
