/*
 * Checking an open store's structures against each other. For tests, and for whoever suspects it.
 *
 *     version      every invariant of its own; its files are on disk, with their sizes
 *     numbers      of files below the next one; sequences: files ≤ given out, visible ≤ given out
 *     lists        the view has the layers of the lists, the newest first, and the current version
 *     layers       lists and hashes of memtables that nobody writes to
 *     picks        what is marked as being compacted is the input of exactly one
 *     snapshots    by rising sequences; those that were taken as many as are counted
 *
 * What a structure promises about itself is asserted by its own validate function, and ends the
 * program; what two of them say of each other is returned.
 *
 * Locking: the locks in rank order, all held for the lists; files are looked at afterwards. Cost:
 * O(all of it): seconds on a large store.
 */
#include <kv/view.h>

#include <inttypes.h>

static enum quarry_status wrong(const struct quarry_kv *kv, struct quarry_error *error,
                                const char *what)
{
    return error_set(error, QUARRY_CORRUPT, "%s: %s", kv->path, what);
}

/* ---- under the locks ------------------------------------------------------------------------ */

static enum quarry_status validate_view(struct quarry_kv *kv, struct quarry_error *error)
{
    const struct kv_view *view = atomic_load_acquire_ptr(&kv->view); /* cannot change: the mutex */
    uint32_t at = 0;

    if (view->version != kv_versions_current(&kv->versions)) {
        return wrong(kv, error, "the view's version is not the current one");
    }
    if (kv->mutable_layer != NULL &&
        (view->layer_count == 0 || view->layers[at++] != kv->mutable_layer)) {
        return wrong(kv, error, "the view does not begin with what is written to");
    }
    for (size_t i = kv->immutable_count; i-- > 0; at++) {
        if (at >= view->layer_count || view->layers[at] != kv->immutable[i]) {
            return wrong(kv, error, "the view lacks a layer, or has them in another order");
        }
    }
    return at == view->layer_count ? QUARRY_OK : wrong(kv, error, "the view has a layer too many");
}

static enum quarry_status validate_snapshots(struct quarry_kv *kv, struct quarry_error *error)
{
    uint32_t count = 0;

    for (const struct quarry_kv_snapshot *at = kv->snapshots; at != NULL; at = at->next) {
        count += at->taken_ns != 0; /* the others are iterators' */
        if (at->sequence > kv_visible_sequence(kv) ||
            (at->next != NULL && at->next->sequence < at->sequence)) {
            return wrong(kv, error, "snapshots are not in the order of their sequences");
        }
        if (at->next == NULL && at != kv->snapshots_last) {
            return wrong(kv, error, "the last snapshot is not the one that is noted");
        }
    }
    return count == atomic_load_acquire_u32(&kv->snapshot_count) /* the mutex */
               ? QUARRY_OK
               : wrong(kv, error, "snapshots are not as many as are counted");
}

static uint64_t count_in_picks(const struct quarry_kv *kv)
{
    uint64_t count = 0;

    for (const struct kv_pick *pick = kv->picks.first; pick != NULL; pick = pick->next) {
        count += pick->inputs[0].file_count;
        count += pick->inputs[1].file_count;
        for (uint32_t side = 0; side < 2; side++) {
            for (uint32_t i = 0; i < pick->inputs[side].file_count; i++) {
                Q_ASSERT(pick->inputs[side].files[i]->is_compacting);
            }
        }
    }
    return count;
}

/* Files that a compaction has finished with, and that are still marked, may have left the version:
 * so none more than the picks have may be marked. */
static enum quarry_status validate_picks(struct quarry_kv *kv, const struct kv_version *version,
                                         struct quarry_error *error)
{
    uint64_t marked = 0;

    for (uint32_t level = 0; level < QUARRY_KV_LEVELS; level++) {
        const struct kv_run *run = &version->levels[level];
        for (uint32_t i = 0; i < run->file_count; i++) {
            marked += run->files[i]->is_compacting;
        }
    }
    return marked <= count_in_picks(kv)
               ? QUARRY_OK
               : wrong(kv, error, "a file is marked as being compacted, and is not");
}

static void validate_layers(struct quarry_kv *kv)
{
    for (size_t i = 0; i < kv->immutable_count; i++) {
        struct kv_memtable *memtable = kv->immutable[i]->memtable;
        if (memtable != NULL && !kv_memtable_has_writers(memtable)) {
            kv_memtable_validate(memtable);
        }
    }
    if (kv->mutable_layer != NULL && kv->mutable_layer->memtable != NULL &&
        !kv_memtable_has_writers(kv->mutable_layer->memtable)) {
        kv_memtable_validate(kv->mutable_layer->memtable);
    }
}

static enum quarry_status validate_numbers(struct quarry_kv *kv, const struct kv_version *version,
                                           struct quarry_error *error)
{
    uint64_t next_file = atomic_load_acquire_u64(&kv->next_file); /* only rises */

    for (uint32_t level = 0; level < QUARRY_KV_LEVELS; level++) {
        const struct kv_run *run = &version->levels[level];
        for (uint32_t i = 0; i < run->file_count; i++) {
            if (run->files[i]->number >= next_file) {
                return wrong(kv, error, "a file's number is not below the next one's");
            }
            if (run->files[i]->largest_sequence > kv->last_sequence) {
                return wrong(kv, error, "a file has a sequence that was not given out");
            }
        }
    }
    return kv_visible_sequence(kv) <= kv->last_sequence
               ? QUARRY_OK
               : wrong(kv, error, "a sequence can be read that was not given out");
}

static enum quarry_status validate_lists(struct quarry_kv *kv, const struct kv_version *version,
                                         struct quarry_error *error)
{
    enum quarry_status status = validate_view(kv, error);

    if (status == QUARRY_OK) {
        status = validate_snapshots(kv, error);
    }
    if (status == QUARRY_OK) {
        status = validate_picks(kv, version, error);
    }
    if (status == QUARRY_OK) {
        status = validate_numbers(kv, version, error);
    }
    if (status == QUARRY_OK) {
        validate_layers(kv);
    }
    return status;
}

/* ---- the whole ------------------------------------------------------------------------------ */

enum quarry_status quarry_kv_validate(struct quarry_kv *kv, struct quarry_error *error)
{
    os_mutex_lock(&kv->install_mutex);
    os_mutex_lock(&kv->commit_mutex);
    os_mutex_lock(&kv->mutex);
    struct kv_version *version = kv_versions_acquire(&kv->versions);
    enum quarry_status status = validate_lists(kv, version, error);
    os_mutex_unlock(&kv->mutex);
    os_mutex_unlock(&kv->commit_mutex);
    os_mutex_unlock(&kv->install_mutex);
    if (status == QUARRY_OK) {
        status = kv_version_validate(version, error);
    }
    if (status == QUARRY_OK) {
        status = kv_manifest_check_files(kv->vfs, kv->path, version, error);
    }
    kv_version_release(version);
    return status;
}
