/*
 * What keeps a store safe: `quarry tsdb verify|snapshot`.
 */
#include <cli/cmd_tsdb.h>

#include <stdio.h>
#include <string.h>

#include <quarry/vfs.h>

#include <cli/json_write.h>
#include <cli/tsdb_text.h>

/* ---- verify --------------------------------------------------------------------------------- */

/* Whether somebody has the directory open. Where nobody has, its lock is given back at once. */
static int refuse_open(const struct tsdb_command *command)
{
    struct quarry_vfs_lock *lock = NULL;
    struct quarry_error error = {0};
    char path[4096];
    int length = snprintf(path, sizeof path, "%s/LOCK", command->directory);

    if (length < 0 || (size_t)length >= sizeof path) {
        return cli_failure(command->name, "the path is too long");
    }
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return CLI_OK; /* nobody ever opened it here, or nobody else may: verifying will say */
    }
    (void)fclose(file);
    const enum quarry_status status = quarry_vfs_take_lock(quarry_vfs_posix(), path, &lock, &error);
    if (status == QUARRY_OK) {
        quarry_vfs_unlock(lock);
    }
    return status == QUARRY_BUSY ? tsdb_tool_fail(command, status, &error) : CLI_OK;
}

static int finish_verify(const struct tsdb_command *command, uint64_t lost_count)
{
    if (command->is_json) {
        struct json json = json_begin(stdout);
        json_object(&json, NULL);
        json_bool(&json, "sound", lost_count == 0);
        json_u64(&json, "damaged_count", lost_count);
        json_object_end(&json);
        json_finish(&json);
    } else if (lost_count == 0) {
        puts("every byte is as it was written");
    }
    const int code = cli_finish_output(command->name);
    return code == CLI_OK && lost_count > 0 ? CLI_FOUND : code;
}

int tsdb_run_verify(const struct tsdb_command *command)
{
    struct tsdb_target target = {.command = command};
    struct quarry_error error = {0};
    int code = refuse_open(command);

    if (code == CLI_OK) {
        code = tsdb_tool_memory_open(command, &target.memory);
    }
    if (code != CLI_OK) {
        return code;
    }
    const struct quarry_tsdb_options options = {
        .memory = target.memory.memory,
        .directory = command->directory,
        .lost = tsdb_target_tell_loss,
        .lost_argument = &target,
    };
    const enum quarry_status status = quarry_tsdb_verify_directory(&options, &error);
    tsdb_tool_memory_close(&target.memory);
    return status == QUARRY_OK || status == QUARRY_CORRUPT
               ? finish_verify(command, target.lost_count)
               : tsdb_tool_fail(command, status, &error);
}

/* ---- snapshot ------------------------------------------------------------------------------- */

static int say_snapshot(const struct tsdb_command *command, const char *name)
{
    if (command->is_json) {
        struct json json = json_begin(stdout);
        json_object(&json, NULL);
        json_string(&json, "name", name);
        json_object_end(&json);
        json_finish(&json);
    } else {
        tsdb_text_put(stdout, name);
        puts("");
    }
    return CLI_OK;
}

/* The server makes it where it keeps its snapshots, and says what it called it. */
static int ask_snapshot(struct tsdb_target *target)
{
    const struct tsdb_command *command = target->command;
    struct tsdb_http_answer came;
    char fault[200] = "";
    size_t length = 0;
    int code = tsdb_http_ask(&target->http, "/api/v1/admin/tsdb/snapshot",
                             "application/x-www-form-urlencoded", "", 0, &came);

    if (code != CLI_OK) {
        return code;
    }
    struct json_value *document =
        came.bytes == NULL ? NULL : json_read(came.bytes, came.count, fault, sizeof fault);
    const char *name =
        json_read_text(json_read_member(json_read_member(document, "data"), "name"), &length);
    const char *why = json_read_text(json_read_member(document, "error"), &length);
    if (name != NULL) {
        code = say_snapshot(command, name);
    } else {
        code = cli_failure(command->name, "the server answered with %u: %.300s", came.code,
                           why != NULL          ? why
                           : came.bytes != NULL ? cli_make_printable(came.bytes)
                                                : "");
    }
    json_read_free(document);
    tsdb_http_answer_free(&came);
    return code;
}

int tsdb_run_snapshot(const struct tsdb_command *command)
{
    struct tsdb_target target;
    struct quarry_error error = {0};

    if ((command->directory != NULL) != (command->word_count == 1)) {
        return tsdb_usage_error(command, command->directory != NULL
                                             ? "where to? NEW_DIR is missing"
                                             : "the server says where its snapshots are");
    }
    int code = tsdb_target_open(command, false, &target);
    if (code != CLI_OK) {
        return code;
    }
    if (target.tsdb == NULL) {
        code = ask_snapshot(&target);
    } else {
        const enum quarry_status status =
            quarry_tsdb_snapshot(target.tsdb, command->words[0], &error);
        code = status == QUARRY_OK ? say_snapshot(command, command->words[0])
                                   : tsdb_tool_fail(command, status, &error);
    }
    code = tsdb_target_close(&target, code);
    return code == CLI_OK ? cli_finish_output(command->name) : code;
}
