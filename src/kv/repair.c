/*
 * Repairing: a store that can be opened, of what is left of one.
 *
 *     a manifest that can be read       the files that it names, at their levels; of damaged ones
 *                                       what can be read (repair_salvage.c)
 *     none                              all tables, merged into one run (repair_merge.c)
 *     logs                              tables of level 0 (repair_logs.c)
 *
 * A manifest is worth much: which of the files on the disk count, and which were superseded and
 * only wait for being removed, is said nowhere else. Where CURRENT or what it names cannot be read,
 * the other manifests in the directory are tried, the newest first. With one, tables that it does
 * not name are not taken: that would bring back what was deleted. Without one everything is.
 *
 * The order in which things happen: new tables are written and synced; a new manifest is written,
 * and CURRENT renamed over; only then are files moved to `lost/`. So a repair that is cut off has
 * changed nothing, and can be begun again.
 *
 * What goes to lost/: tables that are damaged, whether something of them was saved or not, and those
 * that nobody names; old manifests; and all logs, which are in tables now as far as they could be
 * read. Files that were merged are removed.
 *
 * Locking: the store's own lock on the disk. Cost: reads every block of every table.
 */
#include <kv/repair_parts.h>

#include <inttypes.h>

/* ---- what there is -------------------------------------------------------------------------- */

static bool is_wanted(const struct kv_file_name *name)
{
    return name->kind == KV_FILE_LOG || name->kind == KV_FILE_TABLE ||
           name->kind == KV_FILE_TABLE_LEVELDB || name->kind == KV_FILE_MANIFEST;
}

static bool is_table(const struct kv_repair_file *file)
{
    return file->name.kind == KV_FILE_TABLE || file->name.kind == KV_FILE_TABLE_LEVELDB;
}

static enum quarry_status note_file(struct kv_repair *repair, const char *name)
{
    struct kv_repair_file file = {0};
    struct kv_path path;
    bool is_directory;

    if (!kv_file_name_parse(name, &file.name)) {
        return QUARRY_OK;
    }
    repair->next_file = size_max_u64(repair->next_file, file.name.number + 1);
    if (!is_wanted(&file.name)) {
        return QUARRY_OK;
    }
    enum quarry_status status = kv_path_join(repair->path, name, &path, repair->error);
    if (status == QUARRY_OK) {
        status =
            quarry_vfs_stat(repair->vfs, path.text, &file.byte_count, &is_directory, repair->error);
    }
    if (status == QUARRY_OK) {
        status = kv_memory_grow(&repair->small, (void **)&repair->files, &repair->file_capacity,
                                repair->file_count + 1, sizeof(*repair->files));
    }
    if (status == QUARRY_OK) {
        repair->files[repair->file_count++] = file;
    }
    return status;
}

/* By kind and number: logs must come in their order, and so must tables. */
static void sort_files(struct kv_repair *repair)
{
    for (size_t i = 1; i < repair->file_count; i++) {
        struct kv_repair_file file = repair->files[i];
        size_t at = i;
        while (at > 0 && (repair->files[at - 1].name.kind > file.name.kind ||
                          (repair->files[at - 1].name.kind == file.name.kind &&
                           repair->files[at - 1].name.number > file.name.number))) {
            repair->files[at] = repair->files[at - 1];
            at--;
        }
        repair->files[at] = file;
    }
}

static enum quarry_status find_files(struct kv_repair *repair)
{
    char after[QUARRY_VFS_NAME_BYTES_MAX] = "";
    struct kv_names names;
    enum quarry_status status;

    repair->next_file = 1;
    while ((status = kv_names_read(repair->vfs, repair->path, after, &names, repair->error)) ==
               QUARRY_OK &&
           names.count != 0) {
        for (size_t i = 0; i < names.count && status == QUARRY_OK; i++) {
            status = note_file(repair, names.name[i]);
        }
        if (status != QUARRY_OK) {
            return status;
        }
        memcpy(after, names.name[names.count - 1], sizeof(after));
    }
    if (status == QUARRY_OK && repair->file_count == 0) {
        return error_set(repair->error, QUARRY_NOT_FOUND, "%s: there is nothing of a store",
                         repair->path);
    }
    sort_files(repair);
    return status;
}

/* LevelDB's tables have names of their own, and RocksDB makes files that it does not. */
static enum kv_edit_form guess_form(const struct kv_repair *repair)
{
    bool has_leveldb = false, has_rocksdb = false;

    if (repair->options->format != QUARRY_KV_FORMAT_AUTO) {
        return repair->options->format == QUARRY_KV_FORMAT_LEVELDB ? KV_EDIT_LEVELDB
                                                                   : KV_EDIT_ROCKSDB;
    }
    if (repair->version != NULL) {
        return repair->state.form;
    }
    for (size_t i = 0; i < repair->file_count; i++) {
        has_leveldb = has_leveldb || repair->files[i].name.kind == KV_FILE_TABLE_LEVELDB;
        has_rocksdb = has_rocksdb || repair->files[i].name.kind == KV_FILE_TABLE;
    }
    return has_leveldb && !has_rocksdb ? KV_EDIT_LEVELDB : KV_EDIT_ROCKSDB;
}

/* ---- manifests ------------------------------------------------------------------------------ */

/* What is no damage ends the repair: another comparator, another engine's features, no memory. */
static bool is_damage(enum quarry_status status)
{
    return status == QUARRY_CORRUPT || status == QUARRY_NOT_FOUND || status == QUARRY_IO ||
           status == QUARRY_TOO_LARGE;
}

static enum quarry_status try_manifest(struct kv_repair *repair, uint64_t number)
{
    struct kv_path path;
    enum quarry_status status =
        kv_file_path(repair->path, KV_FILE_MANIFEST, number, &path, repair->error);

    if (status == QUARRY_OK) {
        status = kv_manifest_read_file(repair->vfs, path.text, &repair->small, repair->comparator,
                                       &repair->state, &repair->version, repair->error);
    }
    return status;
}

static enum quarry_status find_manifest(struct kv_repair *repair)
{
    enum quarry_status status =
        kv_manifest_read(repair->vfs, repair->path, &repair->small, repair->comparator,
                         &repair->state, &repair->version, repair->error);

    for (size_t i = repair->file_count; i-- > 0 && status != QUARRY_OK && is_damage(status);) {
        if (repair->files[i].name.kind == KV_FILE_MANIFEST) {
            status = try_manifest(repair, repair->files[i].name.number);
        }
    }
    return status != QUARRY_OK && is_damage(status) ? QUARRY_OK : status;
}

/* ---- with a manifest ------------------------------------------------------------------------ */

static struct kv_repair_file *find_table(struct kv_repair *repair, uint64_t number)
{
    for (size_t i = 0; i < repair->file_count; i++) {
        if (is_table(&repair->files[i]) && repair->files[i].name.number == number) {
            return &repair->files[i];
        }
    }
    return NULL;
}

/* Reads all of a table. What is damaged is salvaged. */
static enum quarry_status examine_table(struct kv_repair *repair, struct kv_table *table,
                                        const struct kv_file *file, uint32_t level,
                                        bool *ret_is_whole)
{
    struct quarry_error ignored;
    enum quarry_status status = kv_table_verify(table, &ignored);

    *ret_is_whole = status == QUARRY_OK;
    if (status == QUARRY_NO_MEMORY) {
        return error_set(repair->error, status, "%s: no memory to read %06" PRIu64, repair->path,
                         file->number);
    }
    return status == QUARRY_OK ? status : kv_repair_salvage(repair, table, file, level);
}

/* Whether a file of the manifest is there and whole. */
static enum quarry_status examine(struct kv_repair *repair, const struct kv_file *file,
                                  uint32_t level, bool *ret_is_whole)
{
    struct kv_repair_file *found = find_table(repair, file->number);
    struct kv_table *table;

    *ret_is_whole = false;
    if (found == NULL || found->byte_count != file->byte_count) {
        return QUARRY_OK;
    }
    enum quarry_status status =
        kv_repair_open(repair, found, file->largest_sequence, &table, repair->error);
    if (status != QUARRY_OK) {
        return status == QUARRY_NO_MEMORY ? status : QUARRY_OK; /* it is lost, whole */
    }
    status = examine_table(repair, table, file, level, ret_is_whole);
    kv_table_evict(table);
    kv_table_close(table);
    if (*ret_is_whole) {
        found->fate = KV_REPAIR_STAYS;
    }
    return status;
}

static enum quarry_status examine_level(struct kv_repair *repair, uint32_t level)
{
    const struct kv_run *run = &repair->version->levels[level];
    enum quarry_status status = QUARRY_OK;
    bool is_whole;

    for (uint32_t i = 0; i < run->file_count && status == QUARRY_OK; i++) {
        status = examine(repair, run->files[i], level, &is_whole);
        if (status == QUARRY_OK && !is_whole) {
            status = kv_edit_remove(&repair->edit, level, run->files[i]->number);
        }
    }
    return status;
}

static enum quarry_status keep_what_is_named(struct kv_repair *repair)
{
    enum quarry_status status = QUARRY_OK;

    repair->next_file = size_max_u64(repair->next_file, repair->state.next_file);
    repair->last_sequence = repair->state.last_sequence;
    for (size_t i = 0; i < repair->file_count; i++) {
        if (is_table(&repair->files[i])) {
            repair->files[i].fate = KV_REPAIR_LOST; /* until it is found in the manifest */
        }
    }
    for (uint32_t level = 0; level < QUARRY_KV_LEVELS && status == QUARRY_OK; level++) {
        status = examine_level(repair, level);
    }
    if (status == QUARRY_OK) {
        status = kv_repair_logs(repair, repair->state.log_number, repair->state.previous_log);
    }
    return status;
}

/* ---- without one ---------------------------------------------------------------------------- */

static enum quarry_status take_all(struct kv_repair *repair)
{
    enum quarry_status status = kv_repair_logs(repair, 0, 0);

    return status != QUARRY_OK ? status : kv_repair_merge(repair);
}

/* ---- what there will be --------------------------------------------------------------------- */

static enum quarry_status build_version(struct kv_repair *repair, struct kv_version **ret_version)
{
    struct kv_builder *builder;
    enum quarry_status status =
        kv_builder_create(&repair->small, repair->comparator, repair->version, &builder);

    if (status != QUARRY_OK) {
        return error_set(repair->error, status, "%s: no memory for a manifest", repair->path);
    }
    status = kv_builder_apply(builder, &repair->edit, repair->error);
    if (status == QUARRY_OK) {
        status = kv_builder_finish(builder, ret_version, repair->error);
    }
    kv_builder_destroy(builder);
    return status;
}

static enum quarry_status write_manifest(struct kv_repair *repair)
{
    const struct kv_manifest_options options = {.vfs = repair->vfs,
                                                .directory = repair->path,
                                                .memory = &repair->small,
                                                .comparator = repair->comparator,
                                                .form = repair->form};
    struct kv_manifest *manifest;
    struct kv_version *version;
    enum quarry_status status = build_version(repair, &version);

    if (status != QUARRY_OK) {
        return status;
    }
    repair->state.log_number = repair->next_file++;
    repair->state.previous_log = 0;
    repair->state.minimum_log = 0;
    repair->state.next_file = repair->next_file;
    repair->state.last_sequence = size_max_u64(repair->last_sequence, repair->log_sequence);
    status = quarry_vfs_sync_directory(repair->vfs, repair->path, repair->error);
    if (status == QUARRY_OK) {
        status = kv_manifest_create(&options, &repair->state, version, &manifest, repair->error);
    }
    if (status == QUARRY_OK) {
        kv_manifest_close(manifest);
    }
    kv_version_release(version);
    return status;
}

/* ---- lost/ ---------------------------------------------------------------------------------- */

static enum kv_repair_fate fate_of(const struct kv_repair_file *file)
{
    return file->name.kind == KV_FILE_LOG || file->name.kind == KV_FILE_MANIFEST ? KV_REPAIR_LOST
                                                                                 : file->fate;
}

static enum quarry_status put_away(struct kv_repair *repair, const struct kv_repair_file *file,
                                   const char *lost)
{
    char name[KV_FILE_NAME_BYTES];
    struct kv_path from, to;
    enum quarry_status status =
        kv_file_path(repair->path, file->name.kind, file->name.number, &from, repair->error);

    if (status != QUARRY_OK || fate_of(file) == KV_REPAIR_STAYS) {
        return status;
    }
    if (fate_of(file) == KV_REPAIR_USED_UP) {
        return quarry_vfs_remove(repair->vfs, from.text, repair->error);
    }
    (void)kv_file_name_make(file->name.kind, file->name.number, name);
    status = kv_path_join(lost, name, &to, repair->error);
    return status != QUARRY_OK ? status
                               : quarry_vfs_rename(repair->vfs, from.text, to.text, repair->error);
}

static enum quarry_status put_all_away(struct kv_repair *repair)
{
    struct kv_path lost;
    enum quarry_status status = kv_path_join(repair->path, "lost", &lost, repair->error);

    if (status == QUARRY_OK) {
        status = kv_directory_make(repair->vfs, lost.text, repair->error);
    }
    for (size_t i = 0; i < repair->file_count && status == QUARRY_OK; i++) {
        status = put_away(repair, &repair->files[i], lost.text);
    }
    if (status == QUARRY_OK) {
        status = quarry_vfs_sync_directory(repair->vfs, lost.text, repair->error);
    }
    return status != QUARRY_OK
               ? status
               : quarry_vfs_sync_directory(repair->vfs, repair->path, repair->error);
}

/* ---- the whole ------------------------------------------------------------------------------ */

static enum quarry_status run_repair(struct kv_repair *repair)
{
    enum quarry_status status = find_files(repair);

    if (status == QUARRY_OK) {
        status = find_manifest(repair);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    repair->form = guess_form(repair);
    status = repair->version != NULL ? keep_what_is_named(repair) : take_all(repair);
    if (status == QUARRY_OK) {
        status = write_manifest(repair);
    }
    return status != QUARRY_OK ? status : put_all_away(repair);
}

enum quarry_status quarry_kv_repair(struct quarry_memory *memory, const char *path,
                                    const struct quarry_kv_options *options,
                                    struct quarry_error *error)
{
    static const struct quarry_kv_options none;
    struct kv_repair repair = {.memory = memory, .path = path, .error = error};
    struct kv_path lock;

    repair.options = options != NULL ? options : &none;
    repair.vfs = repair.options->vfs != NULL ? repair.options->vfs : quarry_vfs_posix();
    repair.comparator =
        repair.options->comparator != NULL ? repair.options->comparator : &kv_bytewise;
    enum quarry_status status = kv_file_path(path, KV_FILE_LOCK, 0, &lock, error);
    if (status == QUARRY_OK) {
        status = quarry_vfs_take_lock(repair.vfs, lock.text, &repair.lock, error);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    status = kv_repair_bench_init(&repair);
    if (status == QUARRY_OK) {
        status = run_repair(&repair);
    }
    if (repair.version != NULL) {
        kv_version_release(repair.version);
    }
    kv_repair_bench_fini(&repair);
    quarry_vfs_unlock(repair.lock);
    return status;
}
