/*
 * Ingesting files: they become files of the store, with no entry written again.
 *
 *     memtables   ░░ ░░░      nothing of the range may be here: it is flushed first
 *     level 0     ──    ──
 *     level 1        ────     the file goes to the deepest level down to which no file of any
 *     level 2     ┄┄┄[file]   level overlaps it, or to level 0, above all of it
 *     level 3     ──────────
 *
 * All entries get one sequence, the next, which the manifest has as the file's smallest and largest
 * and readers take from there. So the files must appear at a moment: later than every write that
 * has a lower sequence, and before any reader can have a higher one. All of it is done behind a
 * barrier: no write is under way, and none begins (kv_commit_barrier).
 *
 * What is older must lie deeper. In memtables there may be older entries of the range, and readers
 * look there first. So where a layer has a key of it, all is flushed, and writers wait for that.
 *
 * A compaction that is under way writes to its output level what the version does not show yet. A
 * level into whose range one writes is passed over, and the choice is entered among the compactions
 * under way until the file is installed, so that none begins in between.
 *
 * Files are whole or not at all: one edit adds them. They may not overlap each other, for of two
 * entries with the same key and sequence neither is newer.
 *
 * Invariants:
 *   1. When levels are chosen no layer has a key of the files, nor will one until they are
 * installed.
 *   2. The version in which a level was free is read under the mutex under which compactions end.
 *   3. A file is removed after a failure when the manifest certainly does not have it: files.c.
 *
 * Rejected: waiting for writers of other ranges only. Which range a batch has is not known before
 * it is read.
 *
 * Locking: the barrier; the store's mutex for levels. Cost: see ingest_file.c; writers wait while
 * memtables of the range are flushed, and the manifest is appended to and synced.
 */
#include <kv/commit.h>
#include <kv/copy.h>
#include <kv/ingest_file.h>

struct ingest {
    struct quarry_kv *kv;
    struct kv_ingest_file *files;
    struct kv_ingest_file **by_key; /* in the order of their keys */
    size_t file_count;
    struct quarry_error *error;
};

/* ---- layers --------------------------------------------------------------------------------- */

static bool has_range_deletion(const struct kv_layer *layer,
                               const struct quarry_kv_comparator *comparator,
                               const struct kv_key_range *range)
{
    struct kv_fragments *fragments = NULL;

    if (kv_layer_fragments(layer, &fragments) != QUARRY_OK) {
        return true; /* who knows: it is flushed */
    }
    if (fragments == NULL) {
        return false;
    }
    uint32_t at = kv_fragments_find(fragments, range->begin);
    bool overlaps = at < fragments->fragment_count &&
                    kv_compare(comparator, fragments->fragments[at].begin, range->end) <= 0;
    kv_fragments_release(fragments);
    return overlaps;
}

static bool has_key(struct kv_layer *layer, const struct quarry_kv_comparator *comparator,
                    const struct kv_key_range *range)
{
    struct kv_layer_iterator iterator;
    struct kv_iterator *base = &iterator.over.base;

    kv_layer_iterator_init(&iterator, layer);
    base->ops->seek(base, (struct kv_key){range->begin, kv_trailer_seek(KV_SEQUENCE_MAX)});
    bool overlaps = base->is_valid && kv_compare(comparator, base->key.user, range->end) <= 0;
    base->ops->fini(base);
    return overlaps;
}

static bool layer_overlaps(const struct ingest *ingest, struct kv_layer *layer)
{
    const struct quarry_kv_comparator *comparator = ingest->kv->comparator;

    for (size_t i = 0; i < ingest->file_count; i++) {
        const struct kv_key_range range = kv_ingest_file_range(&ingest->files[i]);
        if (has_key(layer, comparator, &range) || has_range_deletion(layer, comparator, &range)) {
            return true;
        }
    }
    return false;
}

static bool layers_overlap(const struct ingest *ingest)
{
    struct kv_view *view = kv_view_acquire(ingest->kv);
    bool overlaps = false;

    for (uint32_t i = 0; i < view->layer_count && !overlaps; i++) {
        overlaps = layer_overlaps(ingest, view->layers[i]);
    }
    kv_view_release(ingest->kv, view);
    return overlaps;
}

/* ---- levels --------------------------------------------------------------------------------- */

static bool level_overlaps(const struct kv_version *version, uint32_t level,
                           const struct kv_key_range *range)
{
    const struct kv_run *run = &version->levels[level];
    uint32_t from, to;

    if (level > 0) {
        return kv_run_overlap(run, version->comparator, range, &from, &to);
    }
    for (uint32_t i = 0; i < run->file_count; i++) {
        const struct kv_key_range other = kv_file_range(run->files[i]);
        if (kv_ranges_overlap(version->comparator, range, &other)) {
            return true;
        }
    }
    return false;
}

static bool is_written_to(const struct quarry_kv *kv, uint32_t level,
                          const struct kv_key_range *range)
{
    for (const struct kv_pick *pick = kv->picks.first; pick != NULL; pick = pick->next) {
        if (pick->output_level == level && kv_ranges_overlap(kv->comparator, &pick->range, range)) {
            return true;
        }
    }
    return false;
}

/* Under the store's mutex. */
static void choose_level(struct kv_ingest_file *file, const struct kv_version *version)
{
    const struct kv_key_range range = kv_ingest_file_range(file);

    file->level = 0;
    for (uint32_t level = 0; level < QUARRY_KV_LEVELS; level++) {
        if (level_overlaps(version, level, &range)) {
            break;
        }
        if (level > 0 && !is_written_to(file->kv, level, &range)) {
            file->level = level;
        }
    }
    if (file->level > 0) {
        file->pick =
            (struct kv_pick){.kind = KV_PICK_MOVE, .output_level = file->level, .range = range};
        kv_picks_begin(&file->kv->picks, &file->pick);
        file->is_picked = true;
    }
}

static void choose_levels(const struct ingest *ingest)
{
    struct quarry_kv *kv = ingest->kv;

    os_mutex_lock(&kv->mutex);
    struct kv_version *version = kv_versions_acquire(&kv->versions); /* invariant 2 */
    for (size_t i = 0; i < ingest->file_count; i++) {
        choose_level(&ingest->files[i], version);
    }
    os_mutex_unlock(&kv->mutex);
    kv_version_release(version);
}

static void forget_levels(const struct ingest *ingest)
{
    os_mutex_lock(&ingest->kv->mutex);
    for (size_t i = 0; i < ingest->file_count; i++) {
        struct kv_ingest_file *file = &ingest->files[i];
        if (file->is_picked) {
            kv_picks_end(&ingest->kv->picks, &file->pick);
            file->is_picked = false;
        }
    }
    os_mutex_unlock(&ingest->kv->mutex);
}

/* ---- installing ----------------------------------------------------------------------------- */

static enum quarry_status add_files(const struct ingest *ingest, struct kv_edit *edit,
                                    uint64_t sequence)
{
    enum quarry_status status = QUARRY_OK;

    for (size_t i = 0; i < ingest->file_count && status == QUARRY_OK; i++) {
        const struct kv_edit_file line = kv_ingest_file_describe(&ingest->files[i], sequence);
        status = kv_edit_add(edit, &line);
    }
    if (status != QUARRY_OK) {
        return error_set(ingest->error, status, "no memory for an edit of %zu files",
                         ingest->file_count);
    }
    return QUARRY_OK;
}

static enum quarry_status flush_range(const struct ingest *ingest)
{
    if (!layers_overlap(ingest)) {
        return QUARRY_OK;
    }
    enum quarry_status status = quarry_kv_flush(ingest->kv, ingest->error);
    if (status == QUARRY_OK && layers_overlap(ingest)) {
        return error_set(ingest->error, QUARRY_BUSY, "%.128s: its range could not be flushed",
                         ingest->files[0].source);
    }
    return status;
}

/* Of kv_commit_barrier. */
static enum quarry_status install(void *argument, uint64_t sequence)
{
    const struct ingest *ingest = argument;
    struct kv_edit edit;
    enum quarry_status status = flush_range(ingest);

    if (status != QUARRY_OK) {
        return status;
    }
    choose_levels(ingest);
    kv_edit_init(&edit, &ingest->kv->small[KV_PART_META]);
    status = add_files(ingest, &edit, sequence);
    if (status == QUARRY_OK) {
        status = kv_install(ingest->kv, &edit, 0, ingest->error);
    }
    kv_edit_fini(&edit);
    forget_levels(ingest);
    return status;
}

/* ---- the whole ------------------------------------------------------------------------------ */

static bool is_before(const void *argument, const void *a, const void *b)
{
    const struct kv_ingest_file *one = a, *other = b;

    return kv_compare(argument, kv_buffer_slice(&one->smallest),
                      kv_buffer_slice(&other->smallest)) < 0;
}

static enum quarry_status check_overlap(const struct ingest *ingest)
{
    const struct quarry_kv_comparator *comparator = ingest->kv->comparator;

    for (size_t i = 0; i < ingest->file_count; i++) {
        ingest->by_key[i] = &ingest->files[i];
    }
    kv_sort((void **)ingest->by_key, ingest->file_count, is_before, comparator);
    for (size_t i = 1; i < ingest->file_count; i++) {
        const struct kv_key_range one = kv_ingest_file_range(ingest->by_key[i - 1]);
        const struct kv_key_range other = kv_ingest_file_range(ingest->by_key[i]);
        if (kv_ranges_overlap(comparator, &one, &other)) {
            return error_set(ingest->error, QUARRY_BAD_INPUT,
                             "%.80s and %.80s overlap: ingest one after the other",
                             ingest->by_key[i - 1]->source, ingest->by_key[i]->source);
        }
    }
    return QUARRY_OK;
}

static enum quarry_status bring_all(const struct ingest *ingest, bool keeps)
{
    struct quarry_kv *kv = ingest->kv;

    for (size_t i = 0; i < ingest->file_count; i++) {
        enum quarry_status status = kv_ingest_file_bring(&ingest->files[i], keeps, ingest->error);
        if (status != QUARRY_OK) {
            return status;
        }
    }
    enum quarry_status status = check_overlap(ingest);
    return status != QUARRY_OK ? status
                               : quarry_vfs_sync_directory(kv->vfs, kv->path, ingest->error);
}

static enum quarry_status ingest_all(struct ingest *ingest, bool keeps)
{
    struct quarry_vfs *vfs = ingest->kv->vfs;

    kv_files_hold(ingest->kv);
    enum quarry_status status = bring_all(ingest, keeps);
    if (status == QUARRY_OK) {
        status = kv_commit_barrier(ingest->kv, install, ingest);
    }
    for (size_t i = 0; i < ingest->file_count; i++) {
        if (status == QUARRY_OK && !keeps) {
            (void)quarry_vfs_remove(vfs, ingest->files[i].source, NULL);
        }
        kv_ingest_file_fini(&ingest->files[i], status != QUARRY_OK);
    }
    kv_files_let_go(ingest->kv);
    return status;
}

static enum quarry_status check_store(struct quarry_kv *kv, struct quarry_error *error)
{
    if (kv->form == KV_EDIT_LEVELDB) {
        return error_set(error, QUARRY_UNSUPPORTED,
                         "%s: LevelDB's files have no sequence for all entries", kv->path);
    }
    return kv_may_write(kv, error);
}

enum quarry_status quarry_kv_ingest(struct quarry_kv *kv, const char *const *paths,
                                    size_t path_count, bool keeps, struct quarry_error *error)
{
    struct kv_memory *memory = &kv->small[KV_PART_COMPACTION];
    struct ingest ingest = {.kv = kv, .file_count = path_count, .error = error};
    enum quarry_status status = check_store(kv, error);

    if (status != QUARRY_OK || path_count == 0) {
        return status;
    }
    /* One more of each would not fit into memory long before the product wraps. */
    ingest.files = kv_memory_take(memory, path_count * sizeof(*ingest.files));
    ingest.by_key = kv_memory_take(memory, path_count * sizeof(struct kv_ingest_file *));
    if (ingest.files == NULL || ingest.by_key == NULL) {
        status = error_set(error, QUARRY_NO_MEMORY, "no memory to ingest %zu files", path_count);
    } else {
        for (size_t i = 0; i < path_count; i++) {
            kv_ingest_file_init(&ingest.files[i], kv, paths[i]);
        }
        status = ingest_all(&ingest, keeps);
    }
    kv_memory_give(memory, ingest.by_key);
    kv_memory_give(memory, ingest.files);
    if (status == QUARRY_OK) {
        kv_background_wake(kv);
    }
    return status;
}
