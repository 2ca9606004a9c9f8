/*
 * Writing the manifest.
 *
 *     MANIFEST-000005   │ {comparator} │ files … │ files … │ {numbers} │ edit │ edit │ …
 *                         └─────────────── a snapshot ──────────────┘
 *
 * A new manifest is written whole, synced, its name too, and only then named by CURRENT: a
 * temporary file, synced, renamed over it, and the directory synced again. So CURRENT always names
 * a manifest that is there, and begins with all that there was. (One sync of the directory for both
 * would do on file systems that keep the order of changes to a directory; not all promise it.)
 *
 * An edit is a record, synced before anybody acts on it: files that it removes may go only
 * afterwards. Where appending or syncing fails, nothing is known of the file's end (a failed sync
 * may have dropped what it should have written). The manifest is *broken*, and is not written to
 * again: a new one is begun, with the version that the edit leads to. If that fails too, the next
 * edit tries again with its version.
 *
 * The last edit may be torn by a loss of power, and is left out then. A snapshot ends with the
 * numbers, without which a manifest is not taken: so no part of that can be left out unnoticed.
 *
 * A manifest that is above its bound is replaced the same way, which costs the size of a snapshot:
 * so the bound is at least twice the snapshot that it began with.
 *
 * Invariants:
 *   1. What CURRENT names was synced whole before it was named.
 *   2. Nothing is appended to a broken manifest.
 *   3. The next file's number in a manifest is above that of every file in it, and its own.
 *
 * Locking: none; one thread at a time. Memory: a record's bytes, and the log's buffer.
 */
#include <kv/manifest.h>

#include <inttypes.h>
#include <stdio.h>

#include <kv/file_name.h>
#include <kv/log_write.h>

/* Beyond this an edit a second for a day has been written. Doubling it doubles what is read at the
 * opening, at most. */
#define BYTES_MAX_DEFAULT Q_MIB(64)
/* Files in a record of the snapshot: bounds the memory for its bytes. */
#define SNAPSHOT_FILES 256u

struct kv_manifest {
    struct kv_manifest_options options; /* const */
    struct quarry_vfs_file *file;
    struct kv_log *log; /* NULL: there is no manifest: the last attempt failed */
    struct kv_path path;
    uint64_t number;
    uint64_t first_bytes; /* of the snapshot that it began with */
    bool is_broken;
};

/* ---- records -------------------------------------------------------------------------------- */

static enum quarry_status append_edit(struct kv_manifest *manifest, const struct kv_edit *edit,
                                      uint64_t *ret_end, struct quarry_error *error)
{
    struct kv_memory *memory = manifest->options.memory;
    enum kv_edit_form form = manifest->options.form;
    struct kv_log_record record;
    size_t byte_count = kv_edit_encoded_bytes(edit, form);
    char *bytes = kv_memory_take(memory, byte_count + 1); /* an edit may be empty */

    if (bytes == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "%s: no memory for an edit of %zu bytes",
                         manifest->path.text, byte_count);
    }
    (void)kv_edit_encode(edit, form, bytes);
    kv_log_record_init(&record, kv_slice(bytes, byte_count));
    enum quarry_status status = kv_log_append(manifest->log, &record, ret_end, error);
    kv_memory_give(memory, bytes);
    return status;
}

static void put_numbers(struct kv_edit *edit, const struct kv_manifest_state *state,
                        enum kv_edit_form form)
{
    edit->has |=
        KV_EDIT_LOG_NUMBER | KV_EDIT_PREVIOUS_LOG | KV_EDIT_NEXT_FILE | KV_EDIT_LAST_SEQUENCE;
    edit->log_number = state->log_number;
    edit->previous_log = state->previous_log;
    edit->next_file = state->next_file;
    edit->last_sequence = state->last_sequence;
    if (form == KV_EDIT_ROCKSDB && state->minimum_log != 0) {
        edit->has |= KV_EDIT_MINIMUM_LOG;
        edit->minimum_log = state->minimum_log;
    }
}

static enum quarry_status append_header(struct kv_manifest *manifest,
                                        const struct kv_manifest_state *state, uint64_t *ret_end,
                                        struct quarry_error *error)
{
    const char *name = manifest->options.comparator->name;
    struct kv_edit edit;

    kv_edit_init(&edit, manifest->options.memory);
    edit.has |= KV_EDIT_COMPARATOR;
    edit.comparator = kv_slice(name, strlen(name));
    if (state->has_db_id) {
        edit.has |= KV_EDIT_DB_ID;
        edit.db_id = kv_slice(state->db_id, strlen(state->db_id));
    }
    return append_edit(manifest, &edit, ret_end, error);
}

/* The last record of a snapshot: one that has it is whole. */
static enum quarry_status append_numbers(struct kv_manifest *manifest,
                                         const struct kv_manifest_state *state, uint64_t *ret_end,
                                         struct quarry_error *error)
{
    struct kv_edit edit;

    kv_edit_init(&edit, manifest->options.memory);
    put_numbers(&edit, state, manifest->options.form);
    return append_edit(manifest, &edit, ret_end, error);
}

/* Files of a level, the oldest of level 0 first. */
static enum quarry_status append_level(struct kv_manifest *manifest, struct kv_edit *edit,
                                       const struct kv_run *run, uint32_t level, uint64_t *ret_end,
                                       struct quarry_error *error)
{
    enum quarry_status status = QUARRY_OK;

    for (uint32_t i = run->file_count; i-- > 0 && status == QUARRY_OK;) {
        struct kv_edit_file file = kv_file_describe(run->files[i], level);
        status = kv_edit_add(edit, &file);
        if (status != QUARRY_OK) {
            return error_set(error, status, "%s: no memory for a snapshot", manifest->path.text);
        }
        if (edit->added_count == SNAPSHOT_FILES || i == 0) {
            status = append_edit(manifest, edit, ret_end, error);
            kv_edit_clear(edit);
        }
    }
    return status;
}

static enum quarry_status append_snapshot(struct kv_manifest *manifest,
                                          const struct kv_manifest_state *state,
                                          const struct kv_version *version, uint64_t *ret_end,
                                          struct quarry_error *error)
{
    struct kv_edit edit;
    enum quarry_status status = append_header(manifest, state, ret_end, error);

    kv_edit_init(&edit, manifest->options.memory);
    for (uint32_t level = 0; level < QUARRY_KV_LEVELS && status == QUARRY_OK; level++) {
        status = append_level(manifest, &edit, &version->levels[level], level, ret_end, error);
    }
    kv_edit_fini(&edit);
    return status == QUARRY_OK ? append_numbers(manifest, state, ret_end, error) : status;
}

/* ---- CURRENT -------------------------------------------------------------------------------- */

static enum quarry_status write_file(struct quarry_vfs *vfs, const char *path, const char *text,
                                     struct quarry_error *error)
{
    struct quarry_vfs_file *file = NULL;
    enum quarry_status status = quarry_vfs_open(
        vfs, path, QUARRY_VFS_WRITE | QUARRY_VFS_CREATE | QUARRY_VFS_TRUNCATE, &file, error);

    if (status != QUARRY_OK) {
        return status;
    }
    status = quarry_vfs_write(file, 0, text, strlen(text), error);
    if (status == QUARRY_OK) {
        status = quarry_vfs_sync(file, error);
    }
    quarry_vfs_close(file);
    return status;
}

enum quarry_status kv_manifest_set_current(struct quarry_vfs *vfs, const char *directory,
                                           uint64_t number, struct quarry_error *error)
{
    struct kv_path temporary, current;
    char name[KV_FILE_NAME_BYTES], line[KV_FILE_NAME_BYTES + 1];
    enum quarry_status status =
        kv_file_path(directory, KV_FILE_TEMPORARY, number, &temporary, error);

    if (status == QUARRY_OK) {
        status = kv_file_path(directory, KV_FILE_CURRENT, 0, &current, error);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    (void)snprintf(line, sizeof(line), "%s\n", kv_file_name_make(KV_FILE_MANIFEST, number, name));
    status = write_file(vfs, temporary.text, line, error);
    if (status == QUARRY_OK) {
        status = quarry_vfs_rename(vfs, temporary.text, current.text, error);
    }
    if (status != QUARRY_OK) {
        (void)quarry_vfs_remove(vfs, temporary.text, NULL);
        return status;
    }
    return quarry_vfs_sync_directory(vfs, directory, error);
}

/* ---- a new manifest ------------------------------------------------------------------------- */

static void close_file(struct kv_manifest *manifest)
{
    if (manifest->log != NULL) {
        (void)kv_log_close(manifest->log, NULL); /* what is cut off is only zeros */
    }
    quarry_vfs_close(manifest->file);
    manifest->log = NULL;
    manifest->file = NULL;
}

static enum quarry_status write_snapshot(struct kv_manifest *manifest,
                                         const struct kv_manifest_state *state,
                                         const struct kv_version *version,
                                         struct quarry_error *error)
{
    uint64_t end = 0;
    struct kv_log_options options = {.name = manifest->path.text,
                                     .memory = manifest->options.memory};
    enum quarry_status status = quarry_vfs_open(
        manifest->options.vfs, manifest->path.text,
        QUARRY_VFS_WRITE | QUARRY_VFS_CREATE | QUARRY_VFS_TRUNCATE, &manifest->file, error);

    if (status == QUARRY_OK) {
        options.file = manifest->file;
        status = kv_log_create(&options, &manifest->log, error);
    }
    if (status == QUARRY_OK) {
        status = append_snapshot(manifest, state, version, &end, error);
    }
    if (status == QUARRY_OK) {
        status = kv_log_sync(manifest->log, end, error);
    }
    manifest->first_bytes = end;
    return status;
}

/*
 * Begins the next manifest in `manifest`, which has none open. After an error it is broken; the
 * file is removed unless CURRENT may name it.
 */
static enum quarry_status begin(struct kv_manifest *manifest, struct kv_manifest_state *state,
                                const struct kv_version *version, struct quarry_error *error)
{
    const struct kv_manifest_options *options = &manifest->options;

    Q_ASSERT(manifest->log == NULL && manifest->file == NULL);
    manifest->is_broken = true;
    manifest->number = state->next_file++;
    enum quarry_status status = kv_file_path(options->directory, KV_FILE_MANIFEST, manifest->number,
                                             &manifest->path, error);
    if (status != QUARRY_OK) {
        return status;
    }
    status = write_snapshot(manifest, state, version, error);
    if (status == QUARRY_OK) {
        /* Its name, before CURRENT has it: a directory may keep the later change of the two. */
        status = quarry_vfs_sync_directory(options->vfs, options->directory, error);
    }
    if (status != QUARRY_OK) {
        close_file(manifest);
        (void)quarry_vfs_remove(options->vfs, manifest->path.text, NULL);
        return status;
    }
    status = kv_manifest_set_current(options->vfs, options->directory, manifest->number, error);
    if (status != QUARRY_OK) {
        close_file(manifest);
        return status;
    }
    manifest->is_broken = false;
    state->manifest_number = manifest->number;
    state->byte_count = manifest->first_bytes;
    state->form = options->form;
    return QUARRY_OK;
}

enum quarry_status kv_manifest_create(const struct kv_manifest_options *options,
                                      struct kv_manifest_state *state,
                                      const struct kv_version *version,
                                      struct kv_manifest **ret_manifest, struct quarry_error *error)
{
    struct kv_manifest *manifest = kv_memory_take(options->memory, sizeof(*manifest));

    if (manifest == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "manifest: no memory to begin one");
    }
    manifest->options = *options;
    if (manifest->options.byte_max == 0) {
        manifest->options.byte_max = BYTES_MAX_DEFAULT;
    }
    enum quarry_status status = begin(manifest, state, version, error);
    if (status != QUARRY_OK) {
        kv_manifest_close(manifest);
        return status;
    }
    *ret_manifest = manifest;
    return QUARRY_OK;
}

void kv_manifest_close(struct kv_manifest *manifest)
{
    if (manifest != NULL) {
        close_file(manifest);
        kv_memory_give(manifest->options.memory, manifest);
    }
}

bool kv_manifest_is_broken(const struct kv_manifest *manifest)
{
    return manifest->is_broken;
}

/* ---- edits ---------------------------------------------------------------------------------- */

/* In place of the present one, which is removed when CURRENT names another. */
static enum quarry_status replace(struct kv_manifest *manifest, struct kv_manifest_state *state,
                                  const struct kv_version *version, struct quarry_error *error)
{
    struct kv_path before;
    uint64_t before_number = state->manifest_number;

    close_file(manifest);
    enum quarry_status status = begin(manifest, state, version, error);
    if (status == QUARRY_OK && kv_file_path(manifest->options.directory, KV_FILE_MANIFEST,
                                            before_number, &before, NULL) == QUARRY_OK) {
        (void)quarry_vfs_remove(manifest->options.vfs, before.text, NULL);
    }
    return status;
}

static bool is_too_large(const struct kv_manifest *manifest)
{
    uint64_t bound =
        size_max_u64(manifest->options.byte_max, sat_mul_u64(manifest->first_bytes, 2));

    return kv_log_end(manifest->log) > bound;
}

enum quarry_status kv_manifest_append(struct kv_manifest *manifest, struct kv_manifest_state *state,
                                      struct kv_edit *edit, const struct kv_version *version,
                                      struct quarry_error *error)
{
    uint64_t end = 0;

    if (manifest->is_broken || is_too_large(manifest)) {
        return replace(manifest, state, version, error);
    }
    put_numbers(edit, state, manifest->options.form);
    enum quarry_status status = append_edit(manifest, edit, &end, error);
    if (status == QUARRY_NO_MEMORY && kv_log_status(manifest->log, NULL) == QUARRY_OK) {
        return status;
    }
    if (status == QUARRY_OK) {
        status = kv_log_sync(manifest->log, end, error);
    }
    if (status != QUARRY_OK) {
        return replace(manifest, state, version, error);
    }
    state->byte_count = end;
    state->record_count++;
    return QUARRY_OK;
}
