/*
 * What keeps a store in order: `quarry kv property|flush|compact|verify|repair|destroy|checkpoint`.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <cli/cmd_kv.h>
#include <cli/progress.h>

static int done(const struct kv_command *command)
{
    if (command->is_json) {
        puts("{\"done\":true}");
    }
    return cli_finish_output(command->name);
}

/* Of a call on the store. */
static int finish(const struct kv_command *command, enum quarry_status status,
                  const struct quarry_error *error)
{
    return status == QUARRY_OK ? done(command) : kv_tool_fail(command, status, error);
}

/* Of a command to the server, whose answer is to be OK. `words`: closed by a NULL. */
static int ask_server(const struct kv_command *command, struct kv_target *target,
                      const char *const *words)
{
    struct redis_value reply;
    int code = redis_client_say(target->client, &reply, words);

    if (code == CLI_OK && reply.kind == REDIS_ERROR) {
        code = redis_client_refused(target->client, &reply);
    } else if (code == CLI_OK && reply.kind == REDIS_STRING && strcmp(reply.bytes, "OK") != 0 &&
               !command->is_json) {
        puts(cli_make_printable(reply.bytes));
    }
    redis_value_free(&reply);
    return code == CLI_OK ? done(command) : code;
}

/* ---- property ------------------------------------------------------------------------------- */

/* Numbers are numbers, all else is text. */
static void json_property(struct json *json, const char *name, const struct kv_bytes *text)
{
    char *end = NULL;
    uint64_t number = strtoull(text->bytes, &end, 10);

    if (text->byte_count > 0 && *end == '\0' && text->bytes[0] != '-') {
        json_u64(json, name, number);
    } else {
        kv_text_json(json, name, kv_bytes_slice(text));
    }
}

static void print_property(const struct kv_command *command, struct json *json, const char *name,
                           const struct kv_bytes *text)
{
    bool is_line = memchr(text->bytes, '\n', text->byte_count) == NULL;

    if (command->is_json) {
        json_property(json, name, text);
    } else if (command->word_count <= 1) {
        printf("%s%s", text->bytes, is_line ? "\n" : "");
    } else {
        printf("%s:%s%s%s", name, is_line ? " " : "\n", text->bytes, is_line ? "\n" : "");
    }
}

int kv_run_property(const struct kv_command *command, struct kv_target *target)
{
    static char names_property[] = "quarry.properties";
    char *const names[] = {names_property};
    char *const *words = command->word_count == 0 ? names : command->words;
    uint32_t count = command->word_count == 0 ? 1 : command->word_count;
    struct json json = json_begin(stdout);
    int code = CLI_OK;

    if (command->is_json) {
        json_object(&json, NULL);
    }
    for (uint32_t i = 0; i < count && code == CLI_OK; i++) {
        struct kv_bytes text = {0};
        code = target->ops->property(target, words[i], &text);
        if (code == CLI_OK) {
            print_property(command, &json, words[i], &text);
        }
        kv_bytes_free(&text);
    }
    if (command->is_json) {
        json_object_end(&json);
        json_finish(&json);
    }
    return code == CLI_OK ? cli_finish_output(command->name) : code;
}

/* ---- flush, compact, checkpoint ------------------------------------------------------------- */

int kv_run_flush(const struct kv_command *command, struct kv_target *target)
{
    struct quarry_error error = {0};

    if (target->client != NULL) {
        return ask_server(command, target, (const char *const[]){"SAVE", NULL});
    }
    return finish(command, quarry_kv_flush(target->kv, &error), &error);
}

int kv_run_compact(const struct kv_command *command, struct kv_target *target)
{
    struct quarry_error error = {0};
    struct kv_command_range range;

    if (target->client != NULL && (command->from != NULL || command->to != NULL)) {
        return kv_usage_error(command, "a server compacts all of its store: no --from and --to");
    }
    if (target->client != NULL) {
        return ask_server(command, target, (const char *const[]){"KV.COMPACT", NULL});
    }
    int code = kv_command_range(command, &range);
    if (code == CLI_OK) {
        code = finish(command, quarry_kv_compact_range(target->kv, range.from, range.to, &error),
                      &error);
    }
    kv_command_range_free(&range);
    return code;
}

int kv_run_checkpoint(const struct kv_command *command, struct kv_target *target)
{
    struct quarry_error error = {0};

    if (target->client != NULL) {
        return ask_server(command, target,
                          (const char *const[]){"KV.CHECKPOINT", command->words[0], NULL});
    }
    return finish(command, quarry_kv_checkpoint(target->kv, command->words[0], &error), &error);
}

/* ---- verify --------------------------------------------------------------------------------- */

int kv_run_verify(const struct kv_command *command, struct kv_target *target)
{
    struct quarry_error error = {0};
    struct quarry_kv_stats stats;
    uint64_t file_bytes = 0, file_count = 0;
    char text[SIZE_TEXT_BYTES];
    enum quarry_status status = quarry_kv_verify(target->kv, &error);

    quarry_kv_read_stats(target->kv, &stats);
    for (uint32_t level = 0; level < QUARRY_KV_LEVELS; level++) {
        file_bytes += stats.level[level].file_bytes;
        file_count += stats.level[level].file_count;
    }
    if (command->is_json) {
        struct json json = json_begin(stdout);
        json_object(&json, NULL);
        json_bool(&json, "is_sound", status == QUARRY_OK);
        json_u64(&json, "file_count", file_count);
        json_u64(&json, "file_bytes", file_bytes);
        json_string(&json, "fault", status == QUARRY_OK ? NULL : error.text);
        json_object_end(&json);
        json_finish(&json);
    } else if (status == QUARRY_OK) {
        printf("sound: %" PRIu64 " files, %s\n", file_count, size_format(file_bytes, text));
    }
    if (status == QUARRY_CORRUPT) {
        (void)kv_tool_fail(command, status, &error);
        return CLI_FOUND;
    }
    return status == QUARRY_OK ? cli_finish_output(command->name)
                               : kv_tool_fail(command, status, &error);
}

/* ---- repair and destroy --------------------------------------------------------------------- */

int kv_run_repair(const struct kv_command *command, struct kv_target *target)
{
    struct quarry_memory *memory = NULL;
    struct quarry_kv_options options;
    struct quarry_error error = {0};
    int code = kv_store_options(command, command->path, &options);

    (void)target;
    code = code == CLI_OK ? kv_tool_memory(command, &memory) : code;
    if (code != CLI_OK) {
        return code;
    }
    code = finish(command, quarry_kv_repair(memory, command->path, &options, &error), &error);
    quarry_memory_destroy(memory);
    return code;
}

int kv_run_destroy(const struct kv_command *command, struct kv_target *target)
{
    struct quarry_error error = {0};
    char what[256];

    (void)target;
    (void)snprintf(what, sizeof what, "All that is in %.200s will be gone", command->path);
    int code = kv_confirm(command, what);
    return code == CLI_OK
               ? finish(command, quarry_kv_destroy(quarry_vfs_posix(), command->path, &error),
                        &error)
               : code;
}
