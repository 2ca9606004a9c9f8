/*
 * The files of a store's directory: opening tables, and removing what nobody needs.
 *
 *     table     goes when the last version that has it does, and the manifest is decided about it
 *     log       goes when the manifest says that all of it is in tables (log_set.h may use it
 * again) manifest  goes when CURRENT names a later one the rest  names of others' stay; our own
 * temporary files go when the store is opened
 *
 * Versions tell of a file that has lost its last one. A table that a change should have added, and
 * that nobody knows whether it has (install.c), is on a list until that is known, and goes then:
 * the current version never had it. Tables that leave the current version are those of changes that
 * were decided, so they can go whatever is undecided now: neither side has them.
 *
 * One thread at a time removes; who comes meanwhile has it look once more. kv_files_hold waits
 * until nobody does, so that from then on every file stays that was there: versions simply are not
 * collected.
 *
 * Where removing fails it is tried again after the next change of files; at the latest the file
 * goes when the store is next opened.
 *
 * Locking: the store's mutex for the flags; none while a file is removed.
 */
#include <kv/background_parts.h>

#include <inttypes.h>

#include <kv/log_set.h>

/* How long kv_files_hold sleeps between looks. */
#define HOLD_LOOK_NS UINT64_C(100000)
/* Indexes and filters are held with their tables while they are at most this part of the cache,
 * and they are about this part of the tables. */
#define PINNED_SHARE 4u
#define INDEX_SHARE  40u

/* ---- tables --------------------------------------------------------------------------------- */

enum kv_file_kind kv_files_table_kind(const struct quarry_kv *kv)
{
    return kv->form == KV_EDIT_LEVELDB ? KV_FILE_TABLE_LEVELDB : KV_FILE_TABLE;
}

static enum kv_file_kind other_kind(enum kv_file_kind kind)
{
    return kind == KV_FILE_TABLE ? KV_FILE_TABLE_LEVELDB : KV_FILE_TABLE;
}

enum quarry_status kv_table_path(struct quarry_kv *kv, const struct kv_file *file,
                                 struct kv_path *ret_path, struct quarry_error *error)
{
    enum kv_file_kind kind = kv_files_table_kind(kv);
    uint64_t byte_count;
    bool is_directory;
    enum quarry_status status = kv_file_path(kv->path, kind, file->number, ret_path, error);

    if (status != QUARRY_OK) {
        return status;
    }
    status = quarry_vfs_stat(kv->vfs, ret_path->text, &byte_count, &is_directory, error);
    if (status != QUARRY_NOT_FOUND) {
        return status;
    }
    status = kv_file_path(kv->path, other_kind(kind), file->number, ret_path, error);
    return status != QUARRY_OK
               ? status
               : quarry_vfs_stat(kv->vfs, ret_path->text, &byte_count, &is_directory, error);
}

static enum quarry_status open_file(struct quarry_kv *kv, const struct kv_file *file,
                                    struct quarry_vfs_file **ret_file, struct quarry_error *error)
{
    enum kv_file_kind kind = kv_files_table_kind(kv);
    struct kv_path path;
    enum quarry_status status = kv_file_path(kv->path, kind, file->number, &path, error);

    if (status == QUARRY_OK) {
        status = quarry_vfs_open(kv->vfs, path.text, QUARRY_VFS_READ, ret_file, error);
    }
    if (status != QUARRY_NOT_FOUND) {
        return status;
    }
    status = kv_file_path(kv->path, other_kind(kind), file->number, &path, error);
    return status != QUARRY_OK
               ? status
               : quarry_vfs_open(kv->vfs, path.text, QUARRY_VFS_READ, ret_file, error);
}

/* Whether the indexes and filters of all tables together are a small part of the cache. */
static bool may_pin(struct quarry_kv *kv)
{
    struct quarry_block_stats stats;
    uint64_t byte_count = 0;

    quarry_epoch_enter(kv->epoch);
    const struct kv_version *version = kv_versions_current(&kv->versions);
    for (uint32_t level = 0; version != NULL && level < QUARRY_KV_LEVELS; level++) {
        byte_count = sat_add_u64(byte_count, version->levels[level].byte_count);
    }
    quarry_epoch_leave(kv->epoch);
    quarry_block_cache_stats(kv->cache, QUARRY_BLOCK_WINDOW_TOTAL, &stats);
    return byte_count / INDEX_SHARE <= stats.capacity_bytes / PINNED_SHARE;
}

static enum quarry_status open_table(void *argument, const struct kv_file *file, void **ret_table,
                                     struct quarry_error *error)
{
    struct quarry_kv *kv = argument;
    struct quarry_vfs_file *opened = NULL;
    struct kv_table *table;
    struct kv_table_options options = {
        .file_number = file->number,
        .file_bytes = file->byte_count,
        .largest_sequence = file->has_sequences ? file->largest_sequence : UINT64_MAX,
        .level = QUARRY_BLOCK_LEVELS - 1,
        .is_pinned = may_pin(kv),
    };
    enum quarry_status status = open_file(kv, file, &opened, error);

    if (status == QUARRY_NOT_FOUND) {
        return error_set(error, QUARRY_CORRUPT, "%s: table %06" PRIu64 " is not there", kv->path,
                         file->number);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    status = kv_table_open(&kv->tables, &opened, &options, &table, error);
    if (status != QUARRY_OK) {
        quarry_vfs_close(opened);
        return status;
    }
    *ret_table = table;
    return QUARRY_OK;
}

static void close_table(void *argument, void *table)
{
    (void)argument;
    kv_table_close(table);
}

const struct kv_table_ops kv_store_table_ops = {open_table, close_table};

static enum quarry_kv_compression compression_of(const struct quarry_kv *kv, uint32_t level)
{
    const struct quarry_kv_options *options = &kv->options;
    enum quarry_kv_compression wanted = options->compression;

    if (level <= 1) {
        wanted = options->compression_top;
    } else if (level == QUARRY_KV_LEVELS - 1) {
        wanted = options->compression_bottom;
    }
    if (kv->form == KV_EDIT_LEVELDB && wanted != QUARRY_KV_COMPRESSION_NONE) {
        return QUARRY_KV_COMPRESSION_SNAPPY;
    }
    return wanted;
}

void kv_table_write_options_of(struct quarry_kv *kv, uint32_t level, uint64_t number,
                               struct kv_table_write_options *ret_options)
{
    const struct quarry_kv_options *options = &kv->options;
    bool is_leveldb = kv->form == KV_EDIT_LEVELDB;
    uint64_t now_s = quarry_vfs_wall_ns(kv->vfs) / UINT64_C(1000000000);

    *ret_options = (struct kv_table_write_options){
        .format = is_leveldb ? QUARRY_KV_FORMAT_LEVELDB : QUARRY_KV_FORMAT_ROCKSDB,
        .compression = compression_of(kv, level),
        .compression_level = options->compression_level,
        .checksum = is_leveldb ? QUARRY_KV_CHECKSUM_CRC32C : options->checksum,
        .block_bytes = options->block_bytes,
        .restart_interval = options->block_restart_interval,
        .bloom_millibits = options->bloom_millibits == 1 ? 0 : options->bloom_millibits,
        .prefix_bytes = is_leveldb ? 0 : options->prefix_bytes,
        .is_partitioned = !is_leveldb && options->has_partitioned_filters,
        .syncs = true,
        .file_number = number,
        .level = level,
        .creation_time = now_s,
        .oldest_key_time = now_s,
        .merge_operator = kv->merge_operator == NULL ? NULL : kv->merge_operator->name,
        .db_id = kv->manifest_state.has_db_id ? kv->manifest_state.db_id : NULL,
    };
}

/* ---- removing ------------------------------------------------------------------------------- */

static enum quarry_status remove_kind(struct quarry_kv *kv, enum kv_file_kind kind, uint64_t number)
{
    struct kv_path path;
    enum quarry_status status = kv_file_path(kv->path, kind, number, &path, NULL);

    return status != QUARRY_OK ? status : quarry_vfs_remove(kv->vfs, path.text, NULL);
}

bool kv_files_remove_table(struct quarry_kv *kv, uint64_t number)
{
    enum kv_file_kind kind = kv_files_table_kind(kv);
    enum quarry_status status = remove_kind(kv, kind, number);

    if (status == QUARRY_NOT_FOUND) {
        status = remove_kind(kv, other_kind(kind), number);
    }
    return status == QUARRY_OK || status == QUARRY_NOT_FOUND;
}

/* Puts a table on the list of those to be removed after the next change of files. */
static void remember(struct quarry_kv *kv, uint64_t number)
{
    struct kv_background *background = kv->background;

    if (background != NULL &&
        kv_memory_grow(&kv->small[KV_PART_META], (void **)&background->undecided,
                       &background->undecided_capacity, background->undecided_count + 1,
                       sizeof(*background->undecided)) == QUARRY_OK) {
        background->undecided[background->undecided_count++] = number;
    }
}

void kv_files_discard(struct quarry_kv *kv, uint64_t number)
{
    os_mutex_lock(&kv->install_mutex);
    /* While a store is opened there is no manifest yet, and none has the table. */
    bool is_known = kv->manifest == NULL || !kv_manifest_is_broken(kv->manifest);
    if (!is_known || !kv_files_remove_table(kv, number)) {
        remember(kv, number);
    }
    os_mutex_unlock(&kv->install_mutex);
}

/* Versions have told of a file that none of them has. */
static void remove_obsolete(void *argument, struct kv_file *file)
{
    struct quarry_kv *kv = argument;

    quarry_epoch_enter(kv->epoch);
    struct kv_table *table = kv_open_table_peek(file);
    if (table != NULL) {
        kv_table_evict(table);
    }
    quarry_epoch_leave(kv->epoch);
    kv_table_cache_forget(kv->table_cache, file);
    if (!kv_files_remove_table(kv, file->number)) {
        os_mutex_lock(&kv->install_mutex);
        remember(kv, file->number);
        os_mutex_unlock(&kv->install_mutex);
    }
    kv_file_free(&kv->small[KV_PART_META], file);
}

/* ---- the directory -------------------------------------------------------------------------- */

struct listing {
    struct kv_memory *memory;
    struct kv_file_name *names; /* own */
    size_t count, capacity;
    enum quarry_status status;
};

static bool visit_name(void *argument, const char *name)
{
    struct listing *listing = argument;
    struct kv_file_name parsed;

    if (!kv_file_name_parse(name, &parsed)) {
        return true;
    }
    listing->status = kv_memory_grow(listing->memory, (void **)&listing->names, &listing->capacity,
                                     listing->count + 1, sizeof(*listing->names));
    if (listing->status != QUARRY_OK) {
        return false;
    }
    listing->names[listing->count++] = parsed;
    return true;
}

static enum quarry_status list(struct quarry_kv *kv, struct listing *listing,
                               struct quarry_error *error)
{
    *listing = (struct listing){.memory = &kv->small[KV_PART_META]};
    enum quarry_status status = quarry_vfs_list(kv->vfs, kv->path, visit_name, listing, error);
    if (status == QUARRY_OK && listing->status != QUARRY_OK) {
        status =
            error_set(error, listing->status, "%s: no memory for the names of its files", kv->path);
    }
    if (status != QUARRY_OK) {
        kv_memory_give(listing->memory, listing->names);
    }
    return status;
}

static bool is_current_table(const struct kv_version *version, uint64_t number)
{
    for (uint32_t level = 0; level < QUARRY_KV_LEVELS; level++) {
        const struct kv_run *run = &version->levels[level];
        for (uint32_t i = 0; i < run->file_count; i++) {
            if (run->files[i]->number == number) {
                return true;
            }
        }
    }
    return false;
}

static bool is_old_log(struct quarry_kv *kv, uint64_t number)
{
    const struct kv_manifest_state *state = &kv->manifest_state;

    return number < state->log_number && number != state->previous_log &&
           (kv->log == NULL || !kv_log_set_has(kv->log, number));
}

/* Whether there are two newer ones: as many are kept as RocksDB keeps. */
static bool is_old_options(const struct listing *listing, uint64_t number)
{
    uint32_t newer_count = 0;

    for (size_t i = 0; i < listing->count; i++) {
        newer_count +=
            listing->names[i].kind == KV_FILE_OPTIONS && listing->names[i].number > number;
    }
    return newer_count >= 2;
}

/* Whether nobody needs a file of a store that was just opened. */
static bool is_orphan(struct quarry_kv *kv, const struct kv_version *version,
                      const struct listing *listing, const struct kv_file_name *name)
{
    if (name->kind == KV_FILE_OPTIONS) {
        return is_old_options(listing, name->number);
    }
    if (name->kind == KV_FILE_TABLE || name->kind == KV_FILE_TABLE_LEVELDB) {
        return !is_current_table(version, name->number);
    }
    if (name->kind == KV_FILE_LOG) {
        return is_old_log(kv, name->number);
    }
    if (name->kind == KV_FILE_MANIFEST) {
        return name->number != kv->manifest_state.manifest_number;
    }
    return name->kind == KV_FILE_TEMPORARY || name->kind == KV_FILE_OPTIONS_TEMPORARY;
}

enum quarry_status kv_files_sweep(struct quarry_kv *kv, struct quarry_error *error)
{
    struct listing listing;

    Q_ASSERT(!kv->is_read_only && !kv_manifest_is_broken(kv->manifest));
    enum quarry_status status = list(kv, &listing, error);
    if (status != QUARRY_OK) {
        return status;
    }
    struct kv_version *version = kv_versions_acquire(&kv->versions);
    for (size_t i = 0; i < listing.count; i++) {
        if (is_orphan(kv, version, &listing, &listing.names[i])) {
            (void)remove_kind(kv, listing.names[i].kind, listing.names[i].number);
        }
    }
    kv_version_release(version);
    kv_memory_give(listing.memory, listing.names);
    return QUARRY_OK;
}

/*
 * Logs of before the opening, whose content has been flushed since, and manifests left behind.
 * Returns: whether to look again.
 */
static bool sweep_logs(struct quarry_kv *kv)
{
    struct listing listing;
    bool is_left = false;

    os_mutex_lock(&kv->install_mutex);
    uint64_t manifest_number = kv->manifest_state.manifest_number;
    bool is_broken = kv_manifest_is_broken(kv->manifest);
    uint64_t log_number = kv->manifest_state.log_number;
    os_mutex_unlock(&kv->install_mutex);
    if (is_broken || list(kv, &listing, NULL) != QUARRY_OK) {
        return true;
    }
    for (size_t i = 0; i < listing.count; i++) {
        const struct kv_file_name *name = &listing.names[i];
        bool is_log = name->kind == KV_FILE_LOG &&
                      (kv->log == NULL || !kv_log_set_has(kv->log, name->number));
        if ((is_log && name->number < log_number) ||
            (name->kind == KV_FILE_MANIFEST && name->number < manifest_number)) {
            is_left |= remove_kind(kv, name->kind, name->number) != QUARRY_OK;
        } else {
            is_left |= is_log;
        }
    }
    kv_memory_give(listing.memory, listing.names);
    return is_left;
}

/* ---- when ----------------------------------------------------------------------------------- */

/* Whether the caller is to collect; if somebody does already, he looks again. */
static bool begin_collecting(struct quarry_kv *kv)
{
    struct kv_background *background = kv->background;

    os_mutex_lock(&kv->mutex);
    bool may = kv->deletions_off == 0;
    if (may && background != NULL) {
        may = !background->is_collecting;
        background->wants_collecting = !may;
        background->is_collecting = true;
    }
    os_mutex_unlock(&kv->mutex);
    return may;
}

/* Whether it is to be done once more. */
static bool end_collecting(struct quarry_kv *kv)
{
    struct kv_background *background = kv->background;

    if (background == NULL) {
        return false;
    }
    os_mutex_lock(&kv->mutex);
    bool is_again = background->wants_collecting && kv->deletions_off == 0;
    background->wants_collecting = false;
    background->is_collecting = is_again;
    os_mutex_unlock(&kv->mutex);
    return is_again;
}

static void collect_logs(struct quarry_kv *kv)
{
    struct kv_background *background = kv->background;

    os_mutex_lock(&kv->install_mutex);
    uint64_t log_number = kv->manifest_state.log_number;
    os_mutex_unlock(&kv->install_mutex);
    if (kv->log != NULL) {
        kv_log_set_retire(kv->log, log_number);
    }
    if (background == NULL) {
        return;
    }
    os_mutex_lock(&kv->mutex);
    bool is_wanted = background->wants_sweep;
    background->wants_sweep = false;
    os_mutex_unlock(&kv->mutex);
    if (is_wanted && sweep_logs(kv)) {
        os_mutex_lock(&kv->mutex);
        background->wants_sweep = true;
        os_mutex_unlock(&kv->mutex);
    }
}

void kv_files_collect(struct quarry_kv *kv)
{
    if (!begin_collecting(kv)) {
        return;
    }
    do {
        kv_view_collect(kv);
        kv_versions_collect(&kv->versions, remove_obsolete, kv);
        kv_table_cache_collect(kv->table_cache);
        collect_logs(kv);
    } while (end_collecting(kv));
}

void kv_files_hold(struct quarry_kv *kv)
{
    os_mutex_lock(&kv->mutex);
    kv->deletions_off++;
    while (kv->background != NULL && kv->background->is_collecting) {
        os_mutex_unlock(&kv->mutex);
        os_sleep_ns(HOLD_LOOK_NS);
        os_mutex_lock(&kv->mutex);
    }
    os_mutex_unlock(&kv->mutex);
}

void kv_files_let_go(struct quarry_kv *kv)
{
    os_mutex_lock(&kv->mutex);
    Q_ASSERT(kv->deletions_off != 0);
    bool is_last = --kv->deletions_off == 0;
    os_mutex_unlock(&kv->mutex);
    if (is_last) {
        kv_files_collect(kv);
    }
}
