/*
 * Reading all of a store's files and checking them.
 *
 *     CURRENT ── manifest: read anew, its files are those of memory
 *     table   ── every block: checksum, format, order, index, filter, counts (sst/table_verify.c)
 *                first and last key, sequences: within what the manifest says
 *
 * What is found is an error of the call, and told to the listener. The store goes on: a read of a
 * damaged block fails by itself.
 *
 * The manifest is read under the install lock, for it must not be appended to meanwhile; tables
 * under no lock, of a version that is held. Logs are not read: they are being written to, and are
 * checked when they are replayed.
 *
 * Cost: reads everything, and keeps none of it in the block cache.
 */
#include <kv/background.h>

#include <inttypes.h>

/* ---- tables --------------------------------------------------------------------------------- */

struct verify {
    struct quarry_kv *kv;
    struct quarry_error *error;
};

static enum quarry_status damage(const struct verify *verify, const struct kv_file *file,
                                 const char *text)
{
    return error_set(verify->error, QUARRY_CORRUPT, "%s/%06" PRIu64 ": %s", verify->kv->path,
                     file->number, text);
}

/* Whether the entries lie between the keys that the manifest has. */
static enum quarry_status verify_bounds(const struct verify *verify, const struct kv_file *file,
                                        struct kv_table *table)
{
    const struct quarry_kv_comparator *comparator = verify->kv->comparator;
    const struct kv_table_iterator_options options = {.is_background = true};
    struct kv_table_iterator iterator;
    enum quarry_status status = QUARRY_OK;

    kv_table_iterator_init(&iterator, table, &options, verify->error);
    iterator.base.ops->first(&iterator.base);
    if (iterator.base.is_valid &&
        kv_compare_keys(comparator, iterator.base.key, file->smallest) < 0) {
        status = damage(verify, file, "its first key is before that of the manifest");
    }
    if (status == QUARRY_OK && iterator.base.status == QUARRY_OK) {
        iterator.base.ops->last(&iterator.base);
    }
    if (status == QUARRY_OK && iterator.base.is_valid &&
        kv_compare_keys(comparator, iterator.base.key, file->largest) > 0) {
        status = damage(verify, file, "its last key is after that of the manifest");
    }
    if (status == QUARRY_OK) {
        status = iterator.base.status;
    }
    iterator.base.ops->fini(&iterator.base);
    return status;
}

static enum quarry_status verify_file(const struct verify *verify, struct kv_file *file)
{
    struct kv_open_table *open;
    enum quarry_status status =
        kv_open_table_acquire(verify->kv->table_cache, file, &open, verify->error);

    if (status != QUARRY_OK) {
        return status;
    }
    status = kv_table_verify(open->table, verify->error);
    if (status == QUARRY_OK) {
        status = verify_bounds(verify, file, open->table);
    }
    kv_open_table_release(open);
    return status;
}

static enum quarry_status verify_version(const struct verify *verify,
                                         const struct kv_version *version)
{
    enum quarry_status status = QUARRY_OK;

    for (uint32_t level = 0; level < QUARRY_KV_LEVELS; level++) {
        const struct kv_run *run = &version->levels[level];
        for (uint32_t i = 0; i < run->file_count && status == QUARRY_OK; i++) {
            status = verify_file(verify, run->files[i]);
        }
    }
    return status;
}

/* ---- the manifest --------------------------------------------------------------------------- */

static enum quarry_status same_files(const struct verify *verify, const struct kv_version *memory,
                                     const struct kv_version *disk)
{
    for (uint32_t level = 0; level < QUARRY_KV_LEVELS; level++) {
        const struct kv_run *one = &memory->levels[level], *other = &disk->levels[level];
        bool is_same = one->file_count == other->file_count;
        for (uint32_t i = 0; i < one->file_count && is_same; i++) {
            is_same = one->files[i]->number == other->files[i]->number &&
                      one->files[i]->byte_count == other->files[i]->byte_count;
        }
        if (!is_same) {
            return error_set(verify->error, QUARRY_CORRUPT,
                             "%s: level %u of the manifest is not that of memory", verify->kv->path,
                             level);
        }
    }
    return QUARRY_OK;
}

/* Takes the version that it was compared with. A store that is only read may have an older one. */
static enum quarry_status verify_manifest(const struct verify *verify,
                                          struct kv_version **ret_version)
{
    struct quarry_kv *kv = verify->kv;
    struct kv_manifest_state state;
    struct kv_version *disk;
    enum quarry_status status = QUARRY_OK;

    os_mutex_lock(&kv->install_mutex);
    struct kv_version *memory = kv_versions_acquire(&kv->versions);
    if (kv->manifest != NULL && !kv_manifest_is_broken(kv->manifest)) {
        status = kv_manifest_read(kv->vfs, kv->path, &kv->small[KV_PART_META], kv->comparator,
                                  &state, &disk, verify->error);
        if (status == QUARRY_OK) {
            status = same_files(verify, memory, disk);
            kv_version_release(disk);
        }
    }
    os_mutex_unlock(&kv->install_mutex);
    if (status != QUARRY_OK) {
        kv_version_release(memory);
        return status;
    }
    *ret_version = memory;
    return QUARRY_OK;
}

enum quarry_status quarry_kv_verify(struct quarry_kv *kv, struct quarry_error *error)
{
    struct quarry_error found = {0};
    const struct verify verify = {.kv = kv, .error = &found};
    struct kv_version *version;
    enum quarry_status status = verify_manifest(&verify, &version);

    if (status == QUARRY_OK) {
        status = verify_version(&verify, version);
        kv_version_release(version);
    }
    if (status == QUARRY_CORRUPT) {
        const struct quarry_kv_event_data data = {.event = QUARRY_KV_EVENT_CORRUPTION,
                                                  .error = &found};
        kv_notify(kv, &data);
    }
    if (status != QUARRY_OK && error != NULL) {
        *error = found;
    }
    return status;
}
