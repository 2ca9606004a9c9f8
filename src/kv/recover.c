/*
 * Opening a directory: from the files of the last process to a store that can be written to.
 *
 *     CURRENT ──> manifest ──> version ──┐
 *     logs ──> layers ──> tables ────────┴──> version ──> new manifest, CURRENT ──> sweep
 *                                        new log ──────────────────┘
 *
 * What was there stays until CURRENT names the new manifest, which has the tables that the logs
 * became and says that the logs before the new one are not needed. That is one rename: a machine
 * that fails before it opens from the same files again, one that fails after it from the new ones.
 * What is left over then is swept: nothing names it.
 *
 * LevelDB's files are taken over as they are, under their names. Their manifest does not say which
 * sequences are in a table; of level 0, where tables overlap and RocksDB orders them by these, they
 * are read from the tables.
 *
 * A store that is only read does all this in memory: its layers are what the logs have.
 */
#include <kv/recover.h>

#include <inttypes.h>
#include <stdio.h>

#include <os/os.h>

#include <kv/background_parts.h>
#include <kv/commit.h>
#include <kv/log_set.h>
#include <kv/options_names.h>

/* Sequences above it are no store's: some 10^13 writes. What is left is enough for any process. */
#define SEQUENCE_MAX (KV_SEQUENCE_MAX / 2)

/* ---- what is in the directory --------------------------------------------------------------- */

struct directory {
    struct quarry_kv *kv;
    uint64_t *logs; /* own; the numbers of those that are to be read, rising */
    size_t log_count, log_capacity;
    uint64_t highest_number; /* of all files */
    bool has_info_log, has_identity;
    enum quarry_status status;
};

static bool is_needed_log(const struct quarry_kv *kv, uint64_t number)
{
    const struct kv_manifest_state *state = &kv->manifest_state;

    return number >= size_max_u64(state->log_number, state->minimum_log) ||
           (state->previous_log != 0 && number == state->previous_log);
}

/* By rising numbers: there are few. */
static void insert_log(struct directory *directory, uint64_t number)
{
    size_t at = directory->log_count++;

    for (; at > 0 && directory->logs[at - 1] > number; at--) {
        directory->logs[at] = directory->logs[at - 1];
    }
    directory->logs[at] = number;
}

static bool visit_file(void *argument, const char *name)
{
    struct directory *directory = argument;
    struct kv_file_name file;

    if (!kv_file_name_parse(name, &file)) {
        return true;
    }
    directory->has_info_log |= file.kind == KV_FILE_INFO_LOG;
    directory->has_identity |= file.kind == KV_FILE_IDENTITY;
    if (file.kind == KV_FILE_INFO_LOG) {
        return true; /* its number is a time */
    }
    directory->highest_number = size_max_u64(directory->highest_number, file.number);
    if (file.kind != KV_FILE_LOG || !is_needed_log(directory->kv, file.number)) {
        return true;
    }
    directory->status =
        kv_memory_grow(&directory->kv->small[KV_PART_META], (void **)&directory->logs,
                       &directory->log_capacity, directory->log_count + 1, sizeof(uint64_t));
    if (directory->status == QUARRY_OK) {
        insert_log(directory, file.number);
    }
    return directory->status == QUARRY_OK;
}

static enum quarry_status read_directory(struct quarry_kv *kv, struct directory *directory,
                                         struct quarry_error *error)
{
    *directory = (struct directory){.kv = kv};
    enum quarry_status status = quarry_vfs_list(kv->vfs, kv->path, visit_file, directory, error);

    if (status == QUARRY_OK && directory->status != QUARRY_OK) {
        status = error_set(error, directory->status, "store '%s': no memory to open it", kv->path);
    }
    if (status == QUARRY_OK && directory->highest_number > UINT64_MAX / 2) {
        status = error_set(error, QUARRY_CORRUPT, "store '%s': a file has number %" PRIu64,
                           kv->path, directory->highest_number);
    }
    kv->has_foreign_files = directory->has_info_log;
    return status;
}

/* ---- a new store ---------------------------------------------------------------------------- */

/* As RocksDB's: a UUID in text. */
static void make_identity(char identity[64])
{
    uint8_t bytes[16] = {0};
    char *at = identity;

    (void)os_random(bytes, sizeof(bytes));
    bytes[6] = (uint8_t)((bytes[6] & 0x0f) | 0x40);
    bytes[8] = (uint8_t)((bytes[8] & 0x3f) | 0x80);
    for (size_t i = 0; i < sizeof(bytes); i++) {
        at += snprintf(at, 4, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", bytes[i]);
    }
}

/* Not needed to open it again: RocksDB makes one too where there is none. */
static enum quarry_status write_identity(struct quarry_kv *kv, const char *identity,
                                         struct quarry_error *error)
{
    const uint32_t mode = QUARRY_VFS_WRITE | QUARRY_VFS_CREATE | QUARRY_VFS_TRUNCATE;
    struct quarry_vfs_file *file = NULL;
    struct kv_path path;
    enum quarry_status status = kv_file_path(kv->path, KV_FILE_IDENTITY, 0, &path, error);

    if (status == QUARRY_OK) {
        status = quarry_vfs_open(kv->vfs, path.text, mode, &file, error);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    status = quarry_vfs_write(file, 0, identity, strlen(identity), error);
    if (status == QUARRY_OK) {
        status = quarry_vfs_sync(file, error);
    }
    quarry_vfs_close(file);
    return status;
}

static enum quarry_status begin_new(struct quarry_kv *kv, struct kv_version **ret_version,
                                    struct quarry_error *error)
{
    struct kv_manifest_state *state = &kv->manifest_state;
    enum quarry_status status = QUARRY_OK;

    *state = (struct kv_manifest_state){.next_file = 1, .form = kv->form};
    if (kv->form == KV_EDIT_ROCKSDB) {
        make_identity(state->db_id);
        state->has_db_id = true;
        status = write_identity(kv, state->db_id, error);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    status = kv_version_create(&kv->small[KV_PART_META], kv->comparator, ret_version);
    if (status == QUARRY_OK) {
        status = kv_version_index_level0(*ret_version);
        if (status != QUARRY_OK) {
            kv_version_release(*ret_version);
        }
    }
    return status == QUARRY_OK
               ? status
               : error_set(error, status, "store '%s': no memory to make it", kv->path);
}

/* ---- LevelDB's level 0 ---------------------------------------------------------------------- */

static void note_bounds(struct kv_edit_file *file, struct kv_iterator *iterator)
{
    file->smallest_sequence = UINT64_MAX;
    file->largest_sequence = 0;
    for (iterator->ops->first(iterator); iterator->is_valid; iterator->ops->next(iterator)) {
        uint64_t sequence = kv_trailer_sequence(iterator->key.trailer);
        file->smallest_sequence = size_min_u64(file->smallest_sequence, sequence);
        file->largest_sequence = size_max_u64(file->largest_sequence, sequence);
    }
}

/* Reads all of a table for the sequences in it. */
static enum quarry_status read_sequences(struct quarry_kv *kv, const struct kv_file *from,
                                         struct kv_edit_file *file, struct quarry_error *error)
{
    const struct kv_table_iterator_options options = {.is_background = true};
    struct kv_table_iterator iterator;
    void *table = NULL;
    enum quarry_status status = kv_store_table_ops.open(kv, from, &table, error);

    if (status != QUARRY_OK) {
        return status;
    }
    kv_table_iterator_init(&iterator, table, &options, error);
    note_bounds(file, &iterator.base);
    status = iterator.base.status;
    iterator.base.ops->fini(&iterator.base);
    kv_store_table_ops.close(kv, table);
    if (status == QUARRY_OK && file->smallest_sequence > file->largest_sequence) {
        status = error_set(error, QUARRY_CORRUPT, "store '%s': table %06" PRIu64 " is empty",
                           kv->path, from->number);
    }
    file->has_sequences = true;
    return status;
}

static bool wants_sequences(const struct kv_version *version)
{
    const struct kv_run *level0 = &version->levels[0];
    bool wants = false;

    for (uint32_t i = 0; i < level0->file_count; i++) {
        wants |= !level0->files[i]->has_sequences;
    }
    return wants;
}

static const struct kv_file *file_of(const struct kv_version *version, uint64_t number)
{
    const struct kv_run *level0 = &version->levels[0];
    uint32_t i = 0;

    while (level0->files[i]->number != number) {
        i++;
        Q_ASSERT(i < level0->file_count);
    }
    return level0->files[i];
}

static enum quarry_status add_sequences(struct quarry_kv *kv, const struct kv_version *version,
                                        struct kv_edit *edit, struct quarry_error *error)
{
    enum quarry_status status = kv_version_snapshot(version, edit);

    if (status != QUARRY_OK) {
        return error_set(error, status, "store '%s': no memory to open it", kv->path);
    }
    for (size_t i = 0; i < edit->added_count && status == QUARRY_OK; i++) {
        struct kv_edit_file *file = &edit->added[i];
        if (file->level == 0 && !file->has_sequences) {
            status = read_sequences(kv, file_of(version, file->number), file, error);
        }
    }
    return status;
}

static enum quarry_status build_version(struct quarry_kv *kv, const struct kv_edit *edit,
                                        struct kv_version **ret_version, struct quarry_error *error)
{
    struct kv_builder *builder = NULL;
    enum quarry_status status =
        kv_builder_create(&kv->small[KV_PART_META], kv->comparator, NULL, &builder);

    if (status != QUARRY_OK) {
        return error_set(error, status, "store '%s': no memory to open it", kv->path);
    }
    status = kv_builder_apply(builder, edit, error);
    if (status == QUARRY_OK) {
        kv_builder_bound_sequences(builder, kv->manifest_state.last_sequence);
        status = kv_builder_finish(builder, ret_version, error);
    }
    kv_builder_destroy(builder);
    return status;
}

/* The version with the sequences of level 0. `version`: given, and another. */
static enum quarry_status know_sequences(struct quarry_kv *kv, struct kv_version **version,
                                         struct quarry_error *error)
{
    struct kv_version *with = NULL;
    struct kv_edit edit;

    kv_edit_init(&edit, &kv->small[KV_PART_META]);
    enum quarry_status status = add_sequences(kv, *version, &edit, error);
    if (status == QUARRY_OK) {
        status = build_version(kv, &edit, &with, error);
    }
    kv_edit_fini(&edit);
    if (status == QUARRY_OK) {
        kv_version_release(*version);
        *version = with;
    }
    return status;
}

/* ---- a store that is there ------------------------------------------------------------------ */

static enum quarry_status check_state(struct quarry_kv *kv, struct quarry_error *error)
{
    const struct kv_manifest_state *state = &kv->manifest_state;

    if (state->last_sequence > SEQUENCE_MAX || state->next_file > UINT64_MAX / 2) {
        return error_set(error, QUARRY_CORRUPT,
                         "store '%s': the manifest has sequence %" PRIu64 " and file %" PRIu64,
                         kv->path, state->last_sequence, state->next_file);
    }
    if (kv->options.format == QUARRY_KV_FORMAT_LEVELDB && state->form == KV_EDIT_ROCKSDB) {
        return error_set(error, QUARRY_UNSUPPORTED,
                         "store '%s' has RocksDB's files, which are not made LevelDB's", kv->path);
    }
    return QUARRY_OK;
}

static enum quarry_status read_existing(struct quarry_kv *kv, struct kv_version **ret_version,
                                        struct quarry_error *error)
{
    struct kv_version *version = NULL;
    enum quarry_status status =
        kv_manifest_read(kv->vfs, kv->path, &kv->small[KV_PART_META], kv->comparator,
                         &kv->manifest_state, &version, error);

    if (status != QUARRY_OK) {
        return status;
    }
    status = check_state(kv, error);
    if (status == QUARRY_OK) {
        status = kv_manifest_check_files(kv->vfs, kv->path, version, error);
    }
    if (status == QUARRY_OK && !kv->is_read_only && kv->form == KV_EDIT_ROCKSDB &&
        wants_sequences(version)) {
        status = know_sequences(kv, &version, error);
    }
    if (status != QUARRY_OK) {
        kv_version_release(version);
        return status;
    }
    *ret_version = version;
    return QUARRY_OK;
}

/* The view of the lists as they are. */
static enum quarry_status publish(struct quarry_kv *kv, struct kv_version *version,
                                  struct quarry_error *error)
{
    struct kv_view *ready = NULL;
    enum quarry_status status = kv_view_reserve(kv, kv->immutable_count + 1, &ready);

    if (status != QUARRY_OK) {
        return error_set(error, status, "store '%s': no memory to open it", kv->path);
    }
    os_mutex_lock(&kv->mutex);
    kv_view_publish(kv, ready, version);
    os_mutex_unlock(&kv->mutex);
    return QUARRY_OK;
}

/* ---- beginning anew ------------------------------------------------------------------------- */

static enum quarry_status begin_log(struct quarry_kv *kv, uint64_t *ret_number,
                                    struct quarry_error *error)
{
    if (kv->options.durability == QUARRY_KV_NONE) {
        *ret_number = kv_new_file_number(kv);
        return QUARRY_OK;
    }
    enum quarry_status status = kv_log_set_create(kv, &kv->log);
    if (status != QUARRY_OK) {
        return error_set(error, status, "store '%s': no memory for its log", kv->path);
    }
    status = kv_log_set_prepare(kv->log, error);
    if (status == QUARRY_OK) {
        os_mutex_lock(&kv->commit_mutex);
        *ret_number = kv_log_set_turn(kv->log);
        os_mutex_unlock(&kv->commit_mutex);
    }
    return status;
}

/* Room for what waits to be flushed, which cannot be made when it is wanted. */
static enum quarry_status reserve_layers(struct quarry_kv *kv, struct quarry_error *error)
{
    size_t count = kv->options.write_buffer_count + KV_SPARE_LAYERS;

    Q_ASSERT(kv->immutable_count == 0);
    kv_memory_give(&kv->small[KV_PART_META], kv->immutable);
    kv->immutable = kv_memory_take(&kv->small[KV_PART_META], count * sizeof(struct kv_layer *));
    kv->immutable_capacity = kv->immutable == NULL ? 0 : count;
    return kv->immutable != NULL
               ? QUARRY_OK
               : error_set(error, QUARRY_NO_MEMORY, "store '%s': no memory to open it", kv->path);
}

static enum quarry_status begin_manifest(struct quarry_kv *kv, uint64_t log_number,
                                         struct quarry_error *error)
{
    const struct kv_manifest_options options = {.vfs = kv->vfs,
                                                .directory = kv->path,
                                                .memory = &kv->small[KV_PART_META],
                                                .comparator = kv->comparator,
                                                .form = kv->form};
    struct kv_manifest_state *state = &kv->manifest_state;

    state->log_number = log_number;
    state->previous_log = 0;
    state->minimum_log = 0;
    state->last_sequence = kv->last_sequence;
    state->next_file = atomic_load_relaxed_u64(&kv->next_file);
    enum quarry_status status = kv_manifest_create(
        &options, state, kv_versions_current(&kv->versions), &kv->manifest, error);
    if (status == QUARRY_OK) {
        atomic_store_relaxed_u64(&kv->next_file, state->next_file);
    }
    return status;
}

/* For RocksDB's tools. The store does not read it, and goes on without. */
static void write_options(struct quarry_kv *kv)
{
    struct kv_path path;
    uint64_t number = kv_new_file_number(kv);

    if (kv->form == KV_EDIT_ROCKSDB &&
        kv_file_path(kv->path, KV_FILE_OPTIONS, number, &path, NULL) == QUARRY_OK) {
        (void)quarry_kv_options_save(&kv->options, kv->vfs, path.text, NULL);
    }
}

static enum quarry_status begin_writing(struct quarry_kv *kv, bool *ret_names_new,
                                        struct quarry_error *error)
{
    uint64_t log_number = 0;
    enum quarry_status status = reserve_layers(kv, error);

    if (status == QUARRY_OK) {
        status = kv_layer_create_memtable(kv, &kv->mutable_layer, error);
    }
    if (status == QUARRY_OK) {
        status = begin_log(kv, &log_number, error);
    }
    if (status == QUARRY_OK) {
        kv->mutable_layer->log_number = log_number;
        status = publish(kv, NULL, error);
    }
    if (status == QUARRY_OK) {
        *ret_names_new = true;
        status = begin_manifest(kv, log_number, error);
    }
    if (status == QUARRY_OK) {
        write_options(kv);
        status = kv_files_sweep(kv, error);
    }
    return status;
}

/* ---- the door ------------------------------------------------------------------------------- */

/* Opening has failed before a manifest could name them: tables that the logs became go again. */
static void remove_new_tables(struct quarry_kv *kv, uint64_t first_number)
{
    const struct kv_run *level0 = &kv_versions_current(&kv->versions)->levels[0];

    for (uint32_t i = 0; i < level0->file_count; i++) {
        if (level0->files[i]->number >= first_number) {
            kv_files_remove_table(kv, level0->files[i]->number);
        }
    }
}

/*
 * Where the last edit of the manifest is lacking, and was not torn but damaged, it may have said
 * that a log is in files, which is gone by now. What was only torn was never acted on: then the log
 * that the manifest names is still there.
 */
static enum quarry_status check_first_log(const struct quarry_kv *kv,
                                          const struct directory *directory,
                                          struct quarry_error *error)
{
    const struct kv_manifest_state *state = &kv->manifest_state;

    if (!state->has_torn_end || kv->has_foreign_files || directory->log_count == 0 ||
        directory->logs[0] <= state->log_number) {
        return QUARRY_OK;
    }
    return error_set(error, QUARRY_CORRUPT,
                     "store '%s': the end of manifest %" PRIu64 " is damaged, and log %" PRIu64
                     ", which it names, is not there",
                     kv->path, state->manifest_number, state->log_number);
}

static enum quarry_status recover_logs(struct quarry_kv *kv, struct quarry_error *error)
{
    struct directory directory;
    enum quarry_status status = read_directory(kv, &directory, error);

    if (status == QUARRY_OK) {
        atomic_store_relaxed_u64(&kv->next_file, size_max_u64(kv->manifest_state.next_file,
                                                              directory.highest_number + 1));
        status = check_first_log(kv, &directory, error);
    }
    if (status == QUARRY_OK) {
        status = kv_replay(kv, directory.logs, directory.log_count, error);
    }
    kv_memory_give(&kv->small[KV_PART_META], directory.logs);
    if (status == QUARRY_OK && kv->is_read_only) {
        return publish(kv, NULL, error);
    }
    return status;
}

enum quarry_status kv_recover(struct quarry_kv *kv, bool is_new, struct quarry_error *error)
{
    struct kv_version *version = NULL;
    bool names_new = false; /* CURRENT may name a new manifest */
    enum quarry_status status =
        is_new ? begin_new(kv, &version, error) : read_existing(kv, &version, error);

    if (status != QUARRY_OK) {
        return status;
    }
    kv->last_sequence = kv->manifest_state.last_sequence;
    atomic_store_release_u64(&kv->visible_sequence, kv->last_sequence);
    kv_versions_install(&kv->versions, version);
    status = publish(kv, version, error);
    if (status == QUARRY_OK) {
        status = recover_logs(kv, error);
    }
    uint64_t first_number = kv->manifest_state.next_file;
    if (status == QUARRY_OK && !kv->is_read_only) {
        status = begin_writing(kv, &names_new, error);
    }
    if (status != QUARRY_OK && !kv->is_read_only && !names_new) {
        remove_new_tables(kv, first_number);
    }
    return status;
}
