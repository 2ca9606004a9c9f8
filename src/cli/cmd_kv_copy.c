/*
 * Stores copied, as files: `quarry kv backup|restore|export|ingest`.
 */
#include <inttypes.h>
#include <kv/inspect.h>
#include <string.h>
#include <time.h>

#include <cli/cmd_kv.h>

#define TIME_BYTES 32u

/* ---- backup --------------------------------------------------------------------------------- */

static int backup_create(const struct kv_command *command)
{
    struct kv_command of_store = *command;
    struct quarry_error error = {0};
    struct kv_target target;
    uint32_t id = 0;

    if (command->word_count != 3) {
        return kv_usage_error(command, "backup create DIR BACKUPS");
    }
    of_store.path = command->words[1];
    int code = kv_target_open(&of_store, true, &target);
    if (code != CLI_OK) {
        return code;
    }
    enum quarry_status status = quarry_kv_backup(target.kv, command->words[2], &id, &error);
    code = kv_target_close(&target,
                           status == QUARRY_OK ? CLI_OK : kv_tool_fail(command, status, &error));
    if (code == CLI_OK) {
        printf(command->is_json ? "{\"id\":%" PRIu32 "}\n" : "backup %" PRIu32 "\n", id);
        code = cli_finish_output(command->name);
    }
    return code;
}

static const char *format_time(uint64_t seconds, char room[TIME_BYTES])
{
    time_t when = (time_t)seconds;
    struct tm parts;

    if (localtime_r(&when, &parts) == NULL ||
        strftime(room, TIME_BYTES, "%Y-%m-%d %H:%M:%S", &parts) == 0) {
        (void)snprintf(room, TIME_BYTES, "%" PRIu64, seconds);
    }
    return room;
}

static void json_backup(struct json *json, const struct kv_inspect_backup *backup)
{
    json_object(json, NULL);
    json_u64(json, "id", backup->id);
    json_u64(json, "taken_timestamp_seconds", backup->taken_s);
    json_u64(json, "sequence", backup->sequence);
    json_u64(json, "file_count", backup->file_count);
    json_u64(json, "file_bytes", backup->byte_count);
    json_object_end(json);
}

static void print_backup(const struct kv_inspect_backup *backup)
{
    char taken[TIME_BYTES], bytes[SIZE_TEXT_BYTES];

    printf("%6" PRIu32 "  %-19s  %12" PRIu64 "  %7" PRIu64 "  %10s\n", backup->id,
           format_time(backup->taken_s, taken), backup->sequence, backup->file_count,
           size_format(backup->byte_count, bytes));
}

/* Lists the backups from `first` to `last`; with `verifies` their files are read. */
static int show_backups(const struct kv_command *command, const char *path, uint32_t first,
                        uint32_t last, bool verifies)
{
    struct json json = json_begin(stdout);
    struct kv_inspect_backup backup;
    struct quarry_error error = {0};
    int code = CLI_OK;

    if (command->is_json) {
        json_array(&json, NULL);
    } else {
        puts("    id  taken                    sequence    files        size");
    }
    for (uint64_t id = first; id <= last && first != 0; id++) {
        enum quarry_status status =
            kv_inspect_backup(NULL, path, (uint32_t)id, verifies, &backup, &error);
        if (status == QUARRY_OK && command->is_json) {
            json_backup(&json, &backup);
        } else if (status == QUARRY_OK) {
            print_backup(&backup);
        } else if (status != QUARRY_NOT_FOUND || command->id != 0) {
            (void)kv_tool_fail(command, status, &error);
            code = status == QUARRY_CORRUPT ? CLI_FOUND : CLI_FAILED;
        }
    }
    if (command->is_json) {
        json_array_end(&json);
        json_finish(&json);
    }
    int ended = cli_finish_output(command->name);
    return code != CLI_OK ? code : ended;
}

static int backup_show(const struct kv_command *command, bool verifies)
{
    const char *path = command->words[1];
    struct quarry_error error = {0};
    struct kv_backup_ids ids;
    enum quarry_status status =
        kv_backup_ids_read(quarry_vfs_posix(), path, KV_BACKUP_META, &ids, &error);

    if (status != QUARRY_OK) {
        return kv_tool_fail(command, status, &error);
    }
    uint32_t first = command->id != 0 ? command->id : ids.lowest;
    uint32_t last = command->id != 0 ? command->id : ids.highest;
    return show_backups(command, path, first, last, verifies);
}

static int backup_prune(const struct kv_command *command)
{
    struct quarry_error error = {0};

    if (command->keep == 0) {
        return kv_usage_error(command, "how many are to stay? --keep N");
    }
    enum quarry_status status =
        quarry_kv_backup_prune(NULL, command->words[1], command->keep, &error);
    return status == QUARRY_OK ? backup_show(command, false)
                               : kv_tool_fail(command, status, &error);
}

int kv_run_backup(const struct kv_command *command, struct kv_target *target)
{
    const char *what = command->words[0];

    (void)target;
    if (strcmp(what, "create") == 0) {
        return backup_create(command);
    }
    if (command->word_count != 2) {
        return kv_usage_error(command, "'%s' is one argument too many", command->words[2]);
    }
    if (strcmp(what, "list") == 0 || strcmp(what, "verify") == 0) {
        return backup_show(command, what[0] == 'v');
    }
    return strcmp(what, "prune") == 0
               ? backup_prune(command)
               : kv_usage_error(command, "create, list, verify or prune, not '%s'", what);
}

int kv_run_restore(const struct kv_command *command, struct kv_target *target)
{
    struct quarry_error error = {0};
    enum quarry_status status =
        quarry_kv_restore(NULL, command->words[0], command->id, command->words[1], &error);

    (void)target;
    if (status != QUARRY_OK) {
        return kv_tool_fail(command, status, &error);
    }
    if (command->is_json) {
        puts("{\"done\":true}");
    }
    return cli_finish_output(command->name);
}

/* ---- export and ingest ---------------------------------------------------------------------- */

int kv_run_export(const struct kv_command *command, struct kv_target *target)
{
    struct quarry_error error = {0};
    struct kv_command_range range;
    uint64_t count = 0;
    int code = kv_command_range(command, &range);

    if (code == CLI_OK) {
        const struct quarry_kv_read_options options = {.lower = range.from, .upper = range.to};
        enum quarry_status status =
            quarry_kv_export(target->kv, &options, command->words[0], &count, &error);
        code = status == QUARRY_OK ? CLI_OK
               : status == QUARRY_NOT_FOUND
                   ? cli_failure(command->name, "%s has no key in that range", target->name)
                   : kv_tool_fail(command, status, &error);
    }
    kv_command_range_free(&range);
    if (code == CLI_OK) {
        printf(command->is_json ? "{\"key_count\":%" PRIu64 "}\n" : "%" PRIu64 " keys\n", count);
        code = cli_finish_output(command->name);
    }
    return code;
}

int kv_run_ingest(const struct kv_command *command, struct kv_target *target)
{
    struct quarry_error error = {0};
    enum quarry_status status =
        quarry_kv_ingest(target->kv, (const char *const *)(uintptr_t)command->words,
                         command->word_count, !command->is_move, &error);

    if (status != QUARRY_OK) {
        return kv_tool_fail(command, status, &error);
    }
    if (command->is_json) {
        printf("{\"file_count\":%" PRIu32 "}\n", command->word_count);
    }
    return cli_finish_output(command->name);
}
