/*
 * Reading the manifest.
 *
 *     CURRENT ──> MANIFEST-000005   │ edit │ edit │ edit │ …      records of a log (log_read.c)
 *
 * Edits are applied in their order to a builder that begins with nothing. In the end the numbers
 * must all have been there, and what they say must fit the files: a file's number is below the next
 * one's.
 *
 * *Groups.* Edits that take effect together say how many are still to come. They are kept as bytes
 * until the last is there; a group that the end cuts off has not happened.
 *
 * *Column families* other than the default one are counted: which there are, and how many files
 * each has. One with files is refused by its name; one without has never held data that reached a
 * file, and what is in the log for it is refused there.
 *
 * The order of what is checked: the record's checksum (log_read.c), its fields (edit_decode.c),
 * what it does (version_build.c), the numbers (here), the files themselves
 * (kv_manifest_check_files).
 *
 * Memory: the log's buffer, the longest record, the builder's table. Locking: none.
 */
#include <kv/manifest.h>

#include <inttypes.h>

#include <kv/file_name.h>
#include <kv/log_read.h>

/* A record holds the whole tree of another engine: at some 150 bytes a file, 7 million files. */
#define RECORD_BYTES_MAX Q_GIB(1)
/* Column families besides the default one that are kept count of. */
#define COLUMNS_MAX     64u
#define COLUMN_NAME_MAX 48u
/* The longest CURRENT: "MANIFEST-", 20 digits, a newline; one byte more shows that it is longer. */
#define CURRENT_BYTES_MAX 32u

struct column {
    uint32_t id;
    uint64_t file_count;
    char name[COLUMN_NAME_MAX];
};

/* An edit of a group that is not complete. */
struct held {
    struct held *next;
    size_t byte_count;
    char bytes[];
};

struct source {
    struct kv_memory *memory;
    const struct quarry_kv_comparator *comparator;
    struct kv_builder *builder;
    struct kv_edit edit;
    struct kv_manifest_state state;
    uint32_t has; /* of enum kv_edit_field: seen so far */
    struct column columns[COLUMNS_MAX];
    uint32_t column_count;
    struct held *held, **held_end;
    uint32_t held_rest; /* what the last edit of the group said */
    struct quarry_error *error;
};

/* ---- column families ------------------------------------------------------------------------ */

static struct column *find_column(struct source *source, uint32_t id)
{
    for (uint32_t i = 0; i < source->column_count; i++) {
        if (source->columns[i].id == id) {
            return &source->columns[i];
        }
    }
    return NULL;
}

static enum quarry_status add_column(struct source *source, const struct kv_edit *edit)
{
    struct column *column = &source->columns[source->column_count];
    size_t length = size_min(edit->column_name.count, COLUMN_NAME_MAX - 1);

    if (source->column_count == COLUMNS_MAX) {
        return error_set(source->error, QUARRY_UNSUPPORTED,
                         "manifest: more than %u column families", COLUMNS_MAX);
    }
    *column = (struct column){.id = edit->column_family};
    memcpy(column->name, edit->column_name.bytes, length);
    source->column_count++;
    return QUARRY_OK;
}

static enum quarry_status apply_column(struct source *source, const struct kv_edit *edit)
{
    struct column *column = find_column(source, edit->column_family);

    if ((edit->has & KV_EDIT_COLUMN_ADD) != 0) {
        if (column != NULL) {
            return error_set(source->error, QUARRY_CORRUPT,
                             "manifest: column family %u is added twice", edit->column_family);
        }
        return add_column(source, edit);
    }
    if (column == NULL) {
        return error_set(source->error, QUARRY_CORRUPT, "manifest: column family %u is not there",
                         edit->column_family);
    }
    if ((edit->has & KV_EDIT_COLUMN_DROP) != 0) {
        *column = source->columns[--source->column_count];
        return QUARRY_OK;
    }
    if (edit->removed_count > column->file_count + edit->added_count) {
        return error_set(source->error, QUARRY_CORRUPT,
                         "manifest: column family %u loses more files than it has",
                         edit->column_family);
    }
    column->file_count += edit->added_count;
    column->file_count -= edit->removed_count;
    return QUARRY_OK;
}

/* ---- edits ---------------------------------------------------------------------------------- */

static enum quarry_status check_comparator(const struct source *source, const struct kv_edit *edit)
{
    const char *name = source->comparator->name;

    if ((edit->has & KV_EDIT_COMPARATOR) == 0 ||
        (edit->comparator.count == strlen(name) &&
         memcmp(edit->comparator.bytes, name, edit->comparator.count) == 0)) {
        return QUARRY_OK;
    }
    return error_set(source->error, QUARRY_BAD_INPUT,
                     "manifest: its keys are ordered by '%.*s', not by '%s'",
                     (int)size_min(edit->comparator.count, 80), edit->comparator.bytes, name);
}

/* Numbers that are of the whole store, in whatever column family's edit they are. */
static void take_numbers(struct source *source, const struct kv_edit *edit)
{
    struct kv_manifest_state *state = &source->state;

    source->has |= edit->has;
    if ((edit->has & KV_EDIT_NEXT_FILE) != 0) {
        state->next_file = edit->next_file;
    }
    if ((edit->has & KV_EDIT_LAST_SEQUENCE) != 0) {
        state->last_sequence = edit->last_sequence;
    }
    if ((edit->has & KV_EDIT_PREVIOUS_LOG) != 0) {
        state->previous_log = edit->previous_log;
    }
    if ((edit->has & KV_EDIT_MINIMUM_LOG) != 0) {
        state->minimum_log = size_max_u64(state->minimum_log, edit->minimum_log);
    }
    if ((edit->has & KV_EDIT_DB_ID) != 0) {
        size_t length = size_min(edit->db_id.count, sizeof(state->db_id) - 1);
        memset(state->db_id, 0, sizeof(state->db_id));
        memcpy(state->db_id, edit->db_id.bytes, length);
        state->has_db_id = true;
    }
}

static enum quarry_status apply_edit(struct source *source, const struct kv_edit *edit)
{
    take_numbers(source, edit);
    if (edit->column_family != 0) {
        return apply_column(source, edit);
    }
    enum quarry_status status = check_comparator(source, edit);
    if (status == QUARRY_OK && (edit->has & KV_EDIT_COLUMN_DROP) != 0) {
        status = error_set(source->error, QUARRY_UNSUPPORTED,
                           "manifest: the default column family is dropped");
    }
    if (status == QUARRY_OK && (edit->has & KV_EDIT_LOG_NUMBER) != 0) {
        source->state.log_number = edit->log_number;
    }
    return status == QUARRY_OK ? kv_builder_apply(source->builder, edit, source->error) : status;
}

/* ---- groups --------------------------------------------------------------------------------- */

static void drop_held(struct source *source)
{
    while (source->held != NULL) {
        struct held *held = source->held;
        source->held = held->next;
        kv_memory_give(source->memory, held);
    }
    source->held_end = &source->held;
}

static enum quarry_status hold(struct source *source, struct kv_slice record)
{
    struct held *held = kv_memory_take(source->memory, sizeof(*held) + record.count);

    if (held == NULL) {
        return error_set(source->error, QUARRY_NO_MEMORY, "manifest: no memory for a group");
    }
    held->byte_count = record.count;
    memcpy(held->bytes, record.bytes, record.count);
    *source->held_end = held;
    source->held_end = &held->next;
    return QUARRY_OK;
}

static enum quarry_status apply_held(struct source *source)
{
    enum quarry_status status = QUARRY_OK;

    for (struct held *held = source->held; held != NULL && status == QUARRY_OK; held = held->next) {
        kv_edit_clear(&source->edit);
        status =
            kv_edit_decode(&source->edit, kv_slice(held->bytes, held->byte_count), source->error);
        if (status == QUARRY_OK) {
            status = apply_edit(source, &source->edit);
        }
    }
    drop_held(source);
    return status;
}

static enum quarry_status take_record(struct source *source, struct kv_slice record)
{
    kv_edit_clear(&source->edit);
    enum quarry_status status = kv_edit_decode(&source->edit, record, source->error);
    bool is_grouped = (source->edit.has & KV_EDIT_GROUP) != 0;
    uint32_t rest = source->edit.group_rest;

    if (status != QUARRY_OK) {
        return status;
    }
    if (source->held != NULL && (!is_grouped || rest + UINT64_C(1) != source->held_rest)) {
        return error_set(source->error, QUARRY_CORRUPT,
                         "manifest: record %" PRIu64 " is not of the group before it",
                         source->state.record_count);
    }
    if (!is_grouped) {
        return apply_edit(source, &source->edit);
    }
    source->held_rest = rest;
    status = hold(source, record);
    return status == QUARRY_OK && rest == 0 ? apply_held(source) : status;
}

/* ---- the end -------------------------------------------------------------------------------- */

static enum quarry_status check_numbers(const struct source *source)
{
    static const struct {
        enum kv_edit_field field;
        const char *name;
    } needed[] = {
        {KV_EDIT_NEXT_FILE, "next file number"},
        {KV_EDIT_LOG_NUMBER, "log number"},
        {KV_EDIT_LAST_SEQUENCE, "last sequence"},
    };

    for (uint32_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
        if ((source->has & needed[i].field) == 0) {
            return error_set(source->error, QUARRY_CORRUPT,
                             "manifest: no %s in its %" PRIu64 " records", needed[i].name,
                             source->state.record_count);
        }
    }
    if (source->state.last_sequence > KV_SEQUENCE_MAX) {
        return error_set(source->error, QUARRY_CORRUPT,
                         "manifest: last sequence %" PRIu64 " of at most 2^56 - 1",
                         source->state.last_sequence);
    }
    for (uint32_t i = 0; i < source->column_count; i++) {
        if (source->columns[i].file_count != 0) {
            return error_set(source->error, QUARRY_UNSUPPORTED,
                             "manifest: column family '%s' has %" PRIu64 " files",
                             source->columns[i].name, source->columns[i].file_count);
        }
    }
    return QUARRY_OK;
}

/* A number that was given to a file is not given again, and a sequence in a file was written. */
static enum quarry_status fit_files(struct source *source, const struct kv_version *version)
{
    struct kv_manifest_state *state = &source->state;
    uint64_t number = size_max_u64(state->log_number, state->previous_log);

    for (uint32_t level = 0; level < QUARRY_KV_LEVELS; level++) {
        const struct kv_run *run = &version->levels[level];
        for (uint32_t i = 0; i < run->file_count; i++) {
            number = size_max_u64(number, run->files[i]->number);
            state->last_sequence =
                size_max_u64(state->last_sequence, run->files[i]->largest_sequence);
        }
    }
    if (number == UINT64_MAX) {
        return error_set(source->error, QUARRY_CORRUPT, "manifest: a file has number 2^64 - 1");
    }
    state->next_file = size_max_u64(state->next_file, number + 1);
    return QUARRY_OK;
}

static enum quarry_status finish(struct source *source, struct kv_version **ret_version)
{
    struct kv_version *version = NULL;
    enum quarry_status status = check_numbers(source);

    if (status == QUARRY_OK) {
        kv_builder_bound_sequences(source->builder, source->state.last_sequence);
        status = kv_builder_finish(source->builder, &version, source->error);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    status = fit_files(source, version);
    if (status != QUARRY_OK) {
        kv_version_release(version);
        return status;
    }
    source->state.form =
        (source->has & KV_EDIT_ROCKSDB_TAGS) != 0 ? KV_EDIT_ROCKSDB : KV_EDIT_LEVELDB;
    *ret_version = version;
    return QUARRY_OK;
}

static enum quarry_status read_records(struct source *source, struct kv_log_reader *reader,
                                       struct kv_version **ret_version)
{
    struct kv_slice record;
    struct kv_log_end end;
    enum quarry_status status;

    while ((status = kv_log_read(reader, &record, source->error)) == QUARRY_OK) {
        source->state.record_count++;
        status = take_record(source, record);
        if (status != QUARRY_OK) {
            return status;
        }
    }
    if (status != QUARRY_NOT_FOUND) {
        return status;
    }
    kv_log_reader_end(reader, &end);
    source->state.byte_count = end.offset;
    source->state.has_torn_end = end.ending != KV_LOG_ENDS_CLEAN;
    return finish(source, ret_version);
}

static enum quarry_status read_with(struct source *source, struct quarry_vfs_file *file,
                                    const char *path, struct kv_version **ret_version)
{
    struct kv_log_reader *reader = NULL;
    struct kv_log_reader_options options = {.file = file,
                                            .name = path,
                                            .memory = source->memory,
                                            .record_bytes_max = RECORD_BYTES_MAX,
                                            .is_paranoid = true};
    enum quarry_status status = kv_log_reader_create(&options, &reader, source->error);

    if (status == QUARRY_OK) {
        status = kv_builder_create(source->memory, source->comparator, NULL, &source->builder);
    }
    if (status == QUARRY_OK) {
        status = read_records(source, reader, ret_version);
    } else {
        status = error_set(source->error, status, "manifest: no memory to read it");
    }
    kv_log_reader_destroy(reader);
    kv_builder_destroy(source->builder);
    kv_edit_fini(&source->edit);
    drop_held(source);
    return status;
}

/* What is wrong with a record says nothing of the file. */
static void tell_path(struct quarry_error *error, const char *path)
{
    if (error != NULL && strstr(error->text, path) == NULL) {
        struct quarry_error inner = *error;
        (void)error_set(error, inner.status, "%s: %s", path, inner.text);
    }
}

enum quarry_status kv_manifest_read_file(struct quarry_vfs *vfs, const char *path,
                                         struct kv_memory *memory,
                                         const struct quarry_kv_comparator *comparator,
                                         struct kv_manifest_state *ret_state,
                                         struct kv_version **ret_version,
                                         struct quarry_error *error)
{
    struct quarry_vfs_file *file = NULL;
    enum quarry_status status = quarry_vfs_open(vfs, path, QUARRY_VFS_READ, &file, error);

    if (status != QUARRY_OK) {
        return status;
    }
    struct source *source = kv_memory_take(memory, sizeof(*source));
    if (source == NULL) {
        quarry_vfs_close(file);
        return error_set(error, QUARRY_NO_MEMORY, "%s: no memory to read it", path);
    }
    source->memory = memory;
    source->comparator = comparator;
    source->error = error;
    source->held_end = &source->held;
    kv_edit_init(&source->edit, memory);
    status = read_with(source, file, path, ret_version);
    if (status == QUARRY_OK) {
        *ret_state = source->state;
    } else {
        tell_path(error, path);
    }
    kv_memory_give(memory, source);
    quarry_vfs_close(file);
    return status;
}

/* ---- CURRENT -------------------------------------------------------------------------------- */

static enum quarry_status read_current(struct quarry_vfs *vfs, const char *directory,
                                       uint64_t *ret_number, struct quarry_error *error)
{
    struct kv_path path;
    char text[CURRENT_BYTES_MAX + 1];
    size_t count = 0;
    struct quarry_vfs_file *file = NULL;
    struct kv_file_name name = {KV_FILE_KINDS, 0};
    enum quarry_status status = kv_file_path(directory, KV_FILE_CURRENT, 0, &path, error);

    if (status == QUARRY_OK) {
        status = quarry_vfs_open(vfs, path.text, QUARRY_VFS_READ, &file, error);
    }
    if (status == QUARRY_OK) {
        status = quarry_vfs_read(file, 0, text, CURRENT_BYTES_MAX, &count, error);
        quarry_vfs_close(file);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    bool is_line = count > 0 && text[count - 1] == '\n' && memchr(text, '\0', count) == NULL;
    if (is_line) {
        text[count - 1] = '\0';
    }
    if (!is_line || !kv_file_name_parse(text, &name) || name.kind != KV_FILE_MANIFEST) {
        return error_set(error, QUARRY_CORRUPT, "%s: it does not name a manifest", path.text);
    }
    *ret_number = name.number;
    return QUARRY_OK;
}

enum quarry_status kv_manifest_read(struct quarry_vfs *vfs, const char *directory,
                                    struct kv_memory *memory,
                                    const struct quarry_kv_comparator *comparator,
                                    struct kv_manifest_state *ret_state,
                                    struct kv_version **ret_version, struct quarry_error *error)
{
    uint64_t number = 0;
    struct kv_path path;
    enum quarry_status status = read_current(vfs, directory, &number, error);

    if (status == QUARRY_OK) {
        status = kv_file_path(directory, KV_FILE_MANIFEST, number, &path, error);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    status =
        kv_manifest_read_file(vfs, path.text, memory, comparator, ret_state, ret_version, error);
    if (status == QUARRY_NOT_FOUND) {
        return error_set(error, QUARRY_CORRUPT, "%s: CURRENT names it, and it is not there",
                         path.text);
    }
    if (status == QUARRY_OK) {
        ret_state->manifest_number = number;
        ret_state->next_file = size_max_u64(ret_state->next_file, sat_add_u64(number, 1));
    }
    return status;
}

/* ---- files ---------------------------------------------------------------------------------- */

/* Tables that the manifest has and the directory has not. */
struct missing {
    uint64_t count;
    uint64_t lowest; /* number */
};

static enum quarry_status check_file(struct quarry_vfs *vfs, const char *directory,
                                     const struct kv_file *file, struct missing *missing,
                                     struct quarry_error *error)
{
    static const enum kv_file_kind kinds[] = {KV_FILE_TABLE, KV_FILE_TABLE_LEVELDB};
    struct kv_path path;
    uint64_t byte_count = 0;
    bool is_directory = false;
    enum quarry_status status = QUARRY_NOT_FOUND;

    for (uint32_t i = 0; i < 2 && status == QUARRY_NOT_FOUND; i++) {
        status = kv_file_path(directory, kinds[i], file->number, &path, error);
        if (status == QUARRY_OK) {
            status = quarry_vfs_stat(vfs, path.text, &byte_count, &is_directory, error);
        }
    }
    if (status == QUARRY_NOT_FOUND) {
        missing->lowest =
            missing->count == 0 ? file->number : size_min_u64(missing->lowest, file->number);
        missing->count++;
        return QUARRY_OK;
    }
    if (status == QUARRY_OK && (is_directory || byte_count != file->byte_count)) {
        return error_set(error, QUARRY_CORRUPT,
                         "%s: %" PRIu64 " bytes, and %" PRIu64 " in the manifest", path.text,
                         byte_count, file->byte_count);
    }
    return status;
}

enum quarry_status kv_manifest_check_files(struct quarry_vfs *vfs, const char *directory,
                                           const struct kv_version *version,
                                           struct quarry_error *error)
{
    struct missing missing = {0};
    enum quarry_status status = QUARRY_OK;

    for (uint32_t level = 0; level < QUARRY_KV_LEVELS; level++) {
        const struct kv_run *run = &version->levels[level];
        for (uint32_t i = 0; i < run->file_count && status == QUARRY_OK; i++) {
            status = check_file(vfs, directory, run->files[i], &missing, error);
        }
    }
    if (status != QUARRY_OK || missing.count == 0) {
        return status;
    }
    return error_set(error, QUARRY_CORRUPT,
                     "%s: table %06" PRIu64
                     ": the manifest has it, and it is not there; missing in all: %" PRIu64,
                     directory, missing.lowest, missing.count);
}
