/*
 * Checkpoints: a directory that is a store as this one is now.
 *
 *     data/kv/000012.sst ──── the same file ──── copy/000012.sst
 *     data/kv/000015.log     (flushed before)
 *     data/kv/MANIFEST-…                         copy/MANIFEST-000016   written anew
 *     data/kv/CURRENT                            copy/OPTIONS-000017
 *                                                copy/CURRENT           the last of all
 *
 * First memtables are flushed: then the files alone are the store, up to one sequence, for they are
 * flushed in the order in which they were written. The version and the manifest's numbers are taken
 * together under the install lock, and the version is held until the end, so its files stay.
 *
 * Tables never change, so a second name of one is as good as a copy, and costs a few microseconds.
 * The manifest does change: it is written anew, from the version, and not copied: a copy could end
 * anywhere.
 *
 * A directory without CURRENT is no store. It is made after everything else is synced, so what a
 * loss of power leaves is a whole checkpoint or none. After an error all is removed.
 *
 * Rejected: copying logs instead of flushing, as RocksDB does below a size. It spares a flush, and
 * costs a log whose end must be found while it is written to.
 *
 * Locking: the install lock, to take two pointers. Cost: a flush, a link for each table, a
 * manifest.
 */
#include <kv/checkpoint.h>

#include <kv/copy.h>

/* ---- a moment ------------------------------------------------------------------------------- */

static bool layer_is_empty(const struct kv_layer *layer)
{
    struct kv_memtable_stats stats;

    if (layer == NULL) {
        return true;
    }
    kv_layer_read_stats(layer, &stats);
    return stats.entry_count == 0 && stats.range_count == 0;
}

/* Of a store that nothing can be flushed of. */
static bool all_is_in_files(struct quarry_kv *kv)
{
    os_mutex_lock(&kv->mutex);
    bool is_empty = layer_is_empty(kv->mutable_layer);
    for (size_t i = 0; i < kv->immutable_count && is_empty; i++) {
        is_empty = layer_is_empty(kv->immutable[i]);
    }
    os_mutex_unlock(&kv->mutex);
    return is_empty;
}

enum quarry_status kv_capture_take(struct quarry_kv *kv, struct kv_capture *ret_capture,
                                   struct quarry_error *error)
{
    if (!kv->is_read_only) {
        enum quarry_status status = quarry_kv_flush(kv, error);
        if (status != QUARRY_OK) {
            return status;
        }
    } else if (!all_is_in_files(kv)) {
        return error_set(error, QUARRY_PERMISSION,
                         "%s: opened to be read only, and its log has changes that are in no file",
                         kv->path);
    }
    os_mutex_lock(&kv->install_mutex);
    ret_capture->version = kv_versions_acquire(&kv->versions);
    ret_capture->state = kv->manifest_state;
    os_mutex_unlock(&kv->install_mutex);
    return QUARRY_OK;
}

void kv_capture_release(struct kv_capture *capture)
{
    kv_version_release(capture->version);
    capture->version = NULL;
}

enum quarry_status kv_capture_write(struct quarry_kv *kv, const struct kv_capture *capture,
                                    const char *directory, uint64_t *ret_manifest,
                                    uint64_t *ret_options, struct quarry_error *error)
{
    const struct kv_manifest_options options = {
        .vfs = kv->vfs,
        .directory = directory,
        .memory = &kv->small[KV_PART_META],
        .comparator = kv->comparator,
        .form = kv->form,
    };
    struct kv_manifest_state state = capture->state;
    struct kv_manifest *manifest;
    struct kv_path path;

    state.next_file = size_max_u64(state.next_file, kv_new_file_number(kv));
    uint64_t options_number = state.next_file++;
    state.log_number = state.next_file; /* there is no log */
    state.previous_log = 0;
    state.minimum_log = 0;
    enum quarry_status status =
        kv_file_path(directory, KV_FILE_OPTIONS, options_number, &path, error);
    if (status == QUARRY_OK) {
        status = quarry_kv_options_save(&kv->options, kv->vfs, path.text, error);
    }
    if (status == QUARRY_OK) {
        status = quarry_vfs_sync_directory(kv->vfs, directory, error);
    }
    if (status == QUARRY_OK) {
        status = kv_manifest_create(&options, &state, capture->version, &manifest, error);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    kv_manifest_close(manifest);
    *ret_manifest = state.manifest_number;
    *ret_options = options_number;
    return QUARRY_OK;
}

/* ---- a directory ---------------------------------------------------------------------------- */

static enum quarry_status share_table(struct quarry_kv *kv, const struct kv_file *file,
                                      const char *directory, struct quarry_error *error)
{
    struct kv_path from, to;
    enum quarry_status status = kv_table_path(kv, file, &from, error);

    if (status == QUARRY_OK) {
        status = kv_path_join(directory, strrchr(from.text, '/') + 1, &to, error);
    }
    return status != QUARRY_OK ? status : kv_file_share(kv->vfs, from.text, to.text, error);
}

static enum quarry_status share_tables(struct quarry_kv *kv, const struct kv_version *version,
                                       const char *directory, struct quarry_error *error)
{
    for (uint32_t level = 0; level < QUARRY_KV_LEVELS; level++) {
        const struct kv_run *run = &version->levels[level];
        for (uint32_t i = 0; i < run->file_count; i++) {
            enum quarry_status status = share_table(kv, run->files[i], directory, error);
            if (status != QUARRY_OK) {
                return status;
            }
        }
    }
    return QUARRY_OK;
}

static enum quarry_status fill_directory(struct quarry_kv *kv, const struct kv_capture *capture,
                                         const char *directory, struct quarry_error *error)
{
    uint64_t manifest_number, options_number;
    enum quarry_status status = share_tables(kv, capture->version, directory, error);

    if (status == QUARRY_OK) {
        status = kv_capture_write(kv, capture, directory, &manifest_number, &options_number, error);
    }
    return status != QUARRY_OK ? status : kv_directory_sync_parent(kv->vfs, directory, error);
}

enum quarry_status quarry_kv_checkpoint(struct quarry_kv *kv, const char *path,
                                        struct quarry_error *error)
{
    struct kv_capture capture;
    enum quarry_status status = quarry_vfs_make_directory(kv->vfs, path, error);

    if (status != QUARRY_OK) {
        return status;
    }
    status = kv_capture_take(kv, &capture, error);
    if (status == QUARRY_OK) {
        status = fill_directory(kv, &capture, path, error);
        kv_capture_release(&capture);
    }
    if (status != QUARRY_OK) {
        kv_directory_remove(kv->vfs, path);
    }
    return status;
}
