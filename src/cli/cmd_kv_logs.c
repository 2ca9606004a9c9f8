/*
 * Write-ahead logs and manifests by themselves: `quarry kv wal`, `quarry kv manifest`, and what a
 * manifest says of column families: `quarry kv families`.
 *
 *     Sequence,Count,ByteSize,Key(s) : value             as ldb's dump_wal
 *     1,2,31,PUT : 0x61 : 0x31 DELETE : 0x62
 *
 * Records that are damaged end a log: where and why is told.
 */
#include <inttypes.h>
#include <kv/inspect.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cli/cmd_kv.h>

static struct quarry_kv_slice public_slice(struct kv_slice slice)
{
    return (struct quarry_kv_slice){slice.bytes, slice.count};
}

static void print_bytes(struct kv_slice bytes, bool is_hex)
{
    if (is_hex) {
        kv_text_hex(stdout, public_slice(bytes));
    } else {
        kv_text_shown(stdout, public_slice(bytes));
    }
}

/* Begins memory and inspector. After a failure there are none. */
static int begin(const struct kv_command *command, struct quarry_memory **ret_memory,
                 struct kv_inspector **ret_inspector)
{
    struct quarry_error error = {0};
    int code = kv_tool_memory(command, ret_memory);

    if (code != CLI_OK) {
        return code;
    }
    enum quarry_status status = kv_inspector_create(*ret_memory, NULL, NULL, ret_inspector, &error);
    if (status != QUARRY_OK) {
        quarry_memory_destroy(*ret_memory);
        return kv_tool_fail(command, status, &error);
    }
    return CLI_OK;
}

/* ---- wal ------------------------------------------------------------------------------------ */

struct wal {
    const struct kv_command *command;
    uint64_t batch_count, change_count;
    bool is_damaged;
};

static const char *type_name(const struct kv_batch_record *record)
{
    if (!record->is_change) {
        return "LOG_DATA";
    }
    switch ((int)record->type) {
    case KV_TYPE_PUT:
        return "PUT";
    case KV_TYPE_DELETE:
        return "DELETE";
    case KV_TYPE_SINGLE_DELETE:
        return "SINGLE_DELETE";
    case KV_TYPE_MERGE:
        return "MERGE";
    default:
        return "DELETE_RANGE";
    }
}

static void print_record(const struct kv_command *command, const struct kv_batch_record *record)
{
    bool has_value = record->value.count > 0 && !command->is_no_value;

    printf(" %s", type_name(record));
    if (record->is_change) {
        fputs(" : ", stdout);
        print_bytes(record->key, command->is_key_hex);
    }
    if (has_value) {
        fputs(" : ", stdout);
        print_bytes(record->value, command->is_value_hex);
    }
}

static void json_record(struct json *json, const struct kv_command *command,
                        const struct kv_batch_record *record)
{
    json_object(json, NULL);
    json_string(json, "type", type_name(record));
    if (record->is_change) {
        kv_text_json(json, "key", public_slice(record->key));
    }
    if (record->value.count > 0 && !command->is_no_value) {
        kv_text_json(json, record->type == KV_TYPE_RANGE_DELETE ? "end" : "value",
                     public_slice(record->value));
    }
    json_object_end(json);
}

/* The records of a batch. Errors: QUARRY_CORRUPT, QUARRY_UNSUPPORTED. */
static enum quarry_status show_records(struct wal *wal, struct kv_slice data, struct json *json,
                                       struct quarry_error *error)
{
    struct kv_batch_cursor cursor;
    struct kv_batch_record record;
    enum quarry_status status = kv_batch_cursor_init(&cursor, data, error);

    while (status == QUARRY_OK && (status = kv_batch_next(&cursor, &record, error)) == QUARRY_OK) {
        wal->change_count += record.is_change;
        if (wal->command->is_count_only) {
            continue;
        }
        if (json != NULL) {
            json_record(json, wal->command, &record);
        } else {
            print_record(wal->command, &record);
        }
    }
    return status == QUARRY_NOT_FOUND ? QUARRY_OK : status;
}

static enum quarry_status show_json_batch(struct wal *wal, struct kv_slice data,
                                          struct quarry_error *error)
{
    struct json json = json_begin(stdout);

    json_object(&json, NULL);
    json_u64(&json, "sequence", kv_batch_sequence(data));
    json_u64(&json, "change_count", kv_batch_count(data));
    json_u64(&json, "byte_count", data.count);
    json_array(&json, "changes");
    enum quarry_status status = show_records(wal, data, &json, error);
    json_array_end(&json);
    json_object_end(&json);
    json_finish(&json);
    return status;
}

static enum quarry_status visit_batch(void *argument, struct kv_slice data,
                                      struct quarry_error *error)
{
    struct wal *wal = argument;
    struct quarry_error damage = {0};
    enum quarry_status status = QUARRY_OK;

    (void)error;
    wal->batch_count++;
    if (data.count < KV_BATCH_HEADER_BYTES) {
        status = QUARRY_CORRUPT;
    } else if (wal->command->is_count_only) {
        status = show_records(wal, data, NULL, &damage);
    } else if (wal->command->is_json) {
        status = show_json_batch(wal, data, &damage);
    } else {
        printf("%" PRIu64 ",%" PRIu32 ",%zu,", kv_batch_sequence(data), kv_batch_count(data),
               data.count);
        status = show_records(wal, data, NULL, &damage);
        putchar('\n');
    }
    if (status != QUARRY_OK) {
        (void)cli_failure(wal->command->name, "batch %" PRIu64 ": %s", wal->batch_count,
                          damage.status == QUARRY_OK ? "it is too short" : damage.text);
        wal->is_damaged = true;
    }
    return QUARRY_OK; /* the next one may be whole */
}

static void say_end(const struct wal *wal, const char *path, const struct kv_log_end *end)
{
    if (wal->command->is_json) {
        struct json json = json_begin(stdout);
        json_object(&json, NULL);
        json_string(&json, "path", path);
        json_u64(&json, "batch_count", wal->batch_count);
        json_u64(&json, "change_count", wal->change_count);
        json_u64(&json, "end_offset", end->offset);
        json_u64(&json, "dropped_bytes", end->dropped_bytes);
        json_string(&json, "ending", kv_log_ending_text(end->ending));
        json_object_end(&json);
        json_finish(&json);
        return;
    }
    printf("%s: %" PRIu64 " batches, %" PRIu64 " changes; ends at offset %" PRIu64 ": %s", path,
           wal->batch_count, wal->change_count, end->offset, kv_log_ending_text(end->ending));
    printf(end->dropped_bytes > 0 ? ", %" PRIu64 " bytes behind it are dropped\n" : "\n",
           end->dropped_bytes);
}

static int show_wal(const struct kv_command *command, struct kv_inspector *inspector,
                    const char *path)
{
    struct wal wal = {.command = command};
    struct quarry_error error = {0};
    struct kv_log_end end;
    enum quarry_status status =
        kv_inspect_records(inspector, path, visit_batch, &wal, &end, &error);

    if (status != QUARRY_OK) {
        return kv_tool_fail(command, status, &error);
    }
    say_end(&wal, path, &end);
    bool is_whole = end.ending == KV_LOG_ENDS_CLEAN || end.ending == KV_LOG_ENDS_CUT_OFF ||
                    end.ending == KV_LOG_ENDS_RECYCLED;
    return is_whole && !wal.is_damaged ? CLI_OK : CLI_FOUND;
}

int kv_run_wal(const struct kv_command *command, struct kv_target *target)
{
    struct quarry_memory *memory = NULL;
    struct kv_inspector *inspector = NULL;
    int code = begin(command, &memory, &inspector), worst = CLI_OK;

    (void)target;
    if (code != CLI_OK) {
        return code;
    }
    if (!command->is_json && !command->is_count_only) {
        puts("Sequence,Count,ByteSize,Key(s) : value");
    }
    for (uint32_t i = 0; i < command->word_count; i++) {
        code = show_wal(command, inspector, command->words[i]);
        worst = code != CLI_OK ? code : worst;
    }
    kv_inspector_destroy(inspector);
    quarry_memory_destroy(memory);
    code = cli_finish_output(command->name);
    return code != CLI_OK ? code : worst;
}

/* ---- manifest: edits ------------------------------------------------------------------------ */

struct manifest {
    const struct kv_command *command;
    struct kv_edit edit;
    uint64_t edit_count;
};

static const struct edit_number {
    const char *name;
    uint32_t has;
    size_t offset;
} edit_numbers[] = {
    {"log_number", KV_EDIT_LOG_NUMBER, offsetof(struct kv_edit, log_number)},
    {"previous_log", KV_EDIT_PREVIOUS_LOG, offsetof(struct kv_edit, previous_log)},
    {"minimum_log", KV_EDIT_MINIMUM_LOG, offsetof(struct kv_edit, minimum_log)},
    {"next_file", KV_EDIT_NEXT_FILE, offsetof(struct kv_edit, next_file)},
    {"last_sequence", KV_EDIT_LAST_SEQUENCE, offsetof(struct kv_edit, last_sequence)},
};

static uint64_t number_in(const struct kv_edit *edit, const struct edit_number *number)
{
    uint64_t value;

    memcpy(&value, (const char *)edit + number->offset, sizeof value);
    return value;
}

static void print_edit(const struct kv_command *command, const struct kv_edit *edit)
{
    if ((edit->has & KV_EDIT_COMPARATOR) != 0) {
        printf(" comparator:%.*s", (int)edit->comparator.count, edit->comparator.bytes);
    }
    if ((edit->has & KV_EDIT_DB_ID) != 0) {
        printf(" db_id:%.*s", (int)edit->db_id.count, edit->db_id.bytes);
    }
    if ((edit->has & (KV_EDIT_COLUMN_ADD | KV_EDIT_COLUMN_DROP)) != 0) {
        printf(" column_family_%s:%" PRIu32, (edit->has & KV_EDIT_COLUMN_ADD) != 0 ? "add" : "drop",
               edit->column_family);
    }
    for (size_t i = 0; i < sizeof edit_numbers / sizeof edit_numbers[0]; i++) {
        if ((edit->has & edit_numbers[i].has) != 0) {
            printf(" %s:%" PRIu64, edit_numbers[i].name, number_in(edit, &edit_numbers[i]));
        }
    }
    for (size_t i = 0; i < edit->removed_count; i++) {
        printf(" remove:%" PRIu64 "@L%" PRIu32, edit->removed[i].number, edit->removed[i].level);
    }
    for (size_t i = 0; i < edit->added_count; i++) {
        const struct kv_edit_file *file = &edit->added[i];
        printf("\n    add:%" PRIu64 "@L%" PRIu32 " %" PRIu64 " bytes '", file->number, file->level,
               file->byte_count);
        print_bytes(file->smallest.user, command->is_key_hex);
        fputs("' .. '", stdout);
        print_bytes(file->largest.user, command->is_key_hex);
        printf("' sequences %" PRIu64 "..%" PRIu64, file->smallest_sequence,
               file->largest_sequence);
    }
    putchar('\n');
}

static void json_edit_files(struct json *json, const struct kv_edit *edit)
{
    json_array(json, "removed");
    for (size_t i = 0; i < edit->removed_count; i++) {
        json_object(json, NULL);
        json_u64(json, "number", edit->removed[i].number);
        json_u64(json, "level", edit->removed[i].level);
        json_object_end(json);
    }
    json_array_end(json);
    json_array(json, "added");
    for (size_t i = 0; i < edit->added_count; i++) {
        const struct kv_edit_file *file = &edit->added[i];
        json_object(json, NULL);
        json_u64(json, "number", file->number);
        json_u64(json, "level", file->level);
        json_u64(json, "file_bytes", file->byte_count);
        kv_text_json(json, "smallest", public_slice(file->smallest.user));
        kv_text_json(json, "largest", public_slice(file->largest.user));
        json_u64(json, "smallest_sequence", file->smallest_sequence);
        json_u64(json, "largest_sequence", file->largest_sequence);
        json_object_end(json);
    }
    json_array_end(json);
}

static void json_edit(const struct kv_edit *edit)
{
    struct json json = json_begin(stdout);

    json_object(&json, NULL);
    if ((edit->has & KV_EDIT_COMPARATOR) != 0) {
        kv_text_json(&json, "comparator", public_slice(edit->comparator));
    }
    for (size_t i = 0; i < sizeof edit_numbers / sizeof edit_numbers[0]; i++) {
        if ((edit->has & edit_numbers[i].has) != 0) {
            json_u64(&json, edit_numbers[i].name, number_in(edit, &edit_numbers[i]));
        }
    }
    json_edit_files(&json, edit);
    json_object_end(&json);
    json_finish(&json);
}

static enum quarry_status visit_edit(void *argument, struct kv_slice record,
                                     struct quarry_error *error)
{
    struct manifest *manifest = argument;

    kv_edit_clear(&manifest->edit);
    enum quarry_status status = kv_edit_decode(&manifest->edit, record, error);
    if (status != QUARRY_OK) {
        return status;
    }
    manifest->edit_count++;
    if (manifest->command->is_count_only) {
        return QUARRY_OK;
    }
    if (manifest->command->is_json) {
        json_edit(&manifest->edit);
    } else {
        printf("edit %" PRIu64 ":", manifest->edit_count);
        print_edit(manifest->command, &manifest->edit);
    }
    return QUARRY_OK;
}

/* ---- manifest: what it comes to ------------------------------------------------------------- */

static void print_version(const struct kv_command *command, const struct kv_manifest_state *state,
                          const struct kv_version *version)
{
    printf("\nlog number: %" PRIu64 "\ncomparator: %s\nnext file: %" PRIu64
           "\nlast sequence: %" PRIu64 "\n",
           state->log_number, version->comparator->name, state->next_file, state->last_sequence);
    for (uint32_t level = 0; level < QUARRY_KV_LEVELS; level++) {
        const struct kv_run *run = &version->levels[level];
        printf("--- level %u --- %u files, %" PRIu64 " bytes ---\n", level, run->file_count,
               run->byte_count);
        for (uint32_t i = 0; i < run->file_count; i++) {
            const struct kv_file *file = run->files[i];
            printf(" %" PRIu64 ":%" PRIu64 "[%" PRIu64 " .. %" PRIu64 "]['", file->number,
                   file->byte_count, file->smallest_sequence, file->largest_sequence);
            print_bytes(file->smallest.user, command->is_key_hex);
            fputs("' .. '", stdout);
            print_bytes(file->largest.user, command->is_key_hex);
            puts("']");
        }
    }
}

static void json_version(const struct kv_manifest_state *state, const struct kv_version *version)
{
    struct json json = json_begin(stdout);

    json_object(&json, NULL);
    json_u64(&json, "log_number", state->log_number);
    json_u64(&json, "next_file", state->next_file);
    json_u64(&json, "last_sequence", state->last_sequence);
    json_u64(&json, "edit_count", state->record_count);
    json_bool(&json, "has_torn_end", state->has_torn_end);
    json_array(&json, "levels");
    for (uint32_t level = 0; level < QUARRY_KV_LEVELS; level++) {
        const struct kv_run *run = &version->levels[level];
        json_object(&json, NULL);
        json_u64(&json, "level", level);
        json_u64(&json, "file_count", run->file_count);
        json_u64(&json, "file_bytes", run->byte_count);
        json_array(&json, "files");
        for (uint32_t i = 0; i < run->file_count; i++) {
            json_u64(&json, NULL, run->files[i]->number);
        }
        json_array_end(&json);
        json_object_end(&json);
    }
    json_array_end(&json);
    json_object_end(&json);
    json_finish(&json);
}

static int show_version(const struct kv_command *command, struct kv_inspector *inspector,
                        const char *path)
{
    struct quarry_error error = {0};
    struct kv_manifest_state state;
    struct kv_version *version = NULL;
    enum quarry_status status = kv_inspect_manifest(inspector, path, &state, &version, &error);

    if (status != QUARRY_OK) {
        return kv_tool_fail(command, status, &error);
    }
    if (command->is_json) {
        json_version(&state, version);
    } else {
        print_version(command, &state, version);
    }
    kv_version_release(version);
    return CLI_OK;
}

/* A manifest, or that of a directory. */
static int find_manifest(const struct kv_command *command, const char *given,
                         struct kv_path *ret_path)
{
    struct quarry_error error = {0};
    struct stat state;

    if (stat(given, &state) == 0 && S_ISDIR(state.st_mode)) {
        enum quarry_status status = kv_inspect_current(NULL, given, ret_path, &error);
        return status == QUARRY_OK ? CLI_OK : kv_tool_fail(command, status, &error);
    }
    int length = snprintf(ret_path->text, sizeof ret_path->text, "%s", given);
    return length >= 0 && (size_t)length < sizeof ret_path->text
               ? CLI_OK
               : cli_failure(command->name, "the path is too long");
}

int kv_run_manifest(const struct kv_command *command, struct kv_target *target)
{
    struct manifest manifest = {.command = command};
    struct quarry_memory *memory = NULL;
    struct kv_inspector *inspector = NULL;
    struct quarry_error error = {0};
    struct kv_log_end end;
    struct kv_path path;
    int code = find_manifest(command, command->words[0], &path);

    (void)target;
    code = code == CLI_OK ? begin(command, &memory, &inspector) : code;
    if (code != CLI_OK) {
        return code;
    }
    kv_inspect_edit(inspector, &manifest.edit);
    enum quarry_status status =
        kv_inspect_records(inspector, path.text, visit_edit, &manifest, &end, &error);
    code = status == QUARRY_OK ? show_version(command, inspector, path.text)
                               : kv_tool_fail(command, status, &error);
    kv_edit_fini(&manifest.edit);
    kv_inspector_destroy(inspector);
    quarry_memory_destroy(memory);
    return code == CLI_OK ? cli_finish_output(command->name) : code;
}

/* ---- families ------------------------------------------------------------------------------- */

#define FAMILIES_MAX 64u
#define FAMILY_BYTES 64u

struct families {
    struct kv_edit edit;
    uint32_t count, numbers[FAMILIES_MAX];
    char names[FAMILIES_MAX][FAMILY_BYTES];
};

static void drop_family(struct families *families, uint32_t number)
{
    for (uint32_t i = 0; i < families->count; i++) {
        if (families->numbers[i] == number) {
            families->count--;
            families->numbers[i] = families->numbers[families->count];
            memcpy(families->names[i], families->names[families->count], FAMILY_BYTES);
        }
    }
}

static enum quarry_status visit_family(void *argument, struct kv_slice record,
                                       struct quarry_error *error)
{
    struct families *families = argument;

    kv_edit_clear(&families->edit);
    enum quarry_status status = kv_edit_decode(&families->edit, record, error);
    if (status != QUARRY_OK) {
        return status;
    }
    if ((families->edit.has & KV_EDIT_COLUMN_DROP) != 0) {
        drop_family(families, families->edit.column_family);
    }
    if ((families->edit.has & KV_EDIT_COLUMN_ADD) != 0 && families->count < FAMILIES_MAX) {
        families->numbers[families->count] = families->edit.column_family;
        (void)snprintf(families->names[families->count], FAMILY_BYTES, "%.*s",
                       (int)families->edit.column_name.count, families->edit.column_name.bytes);
        families->count++;
    }
    return QUARRY_OK;
}

static void print_families(const struct kv_command *command, struct families *families)
{
    struct json json = json_begin(stdout);

    if (!command->is_json) {
        printf("0 default\n");
        for (uint32_t i = 0; i < families->count; i++) {
            printf("%" PRIu32 " %s\n", families->numbers[i],
                   cli_make_printable(families->names[i]));
        }
        return;
    }
    json_array(&json, NULL);
    json_string(&json, NULL, "default");
    for (uint32_t i = 0; i < families->count; i++) {
        json_string(&json, NULL, families->names[i]);
    }
    json_array_end(&json);
    json_finish(&json);
}

int kv_run_families(const struct kv_command *command, struct kv_target *target)
{
    struct families *families = calloc(1, sizeof *families);
    struct quarry_memory *memory = NULL;
    struct kv_inspector *inspector = NULL;
    struct quarry_error error = {0};
    struct kv_log_end end;
    struct kv_path path;

    (void)target;
    if (families == NULL) {
        return kv_tool_fail(command, QUARRY_NO_MEMORY, NULL);
    }
    int code = find_manifest(command, command->path, &path);
    code = code == CLI_OK ? begin(command, &memory, &inspector) : code;
    if (code == CLI_OK) {
        kv_inspect_edit(inspector, &families->edit);
        enum quarry_status status =
            kv_inspect_records(inspector, path.text, visit_family, families, &end, &error);
        code = status == QUARRY_OK ? CLI_OK : kv_tool_fail(command, status, &error);
        kv_edit_fini(&families->edit);
        kv_inspector_destroy(inspector);
        quarry_memory_destroy(memory);
    }
    if (code == CLI_OK) {
        print_families(command, families);
        code = cli_finish_output(command->name);
    }
    free(families);
    return code;
}
