/*
 * Keys one by one: `quarry kv get|put|delrange|exists|merge`.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cli/cmd_kv.h>

#define STDIN_STEP_BYTES 65536u

static uint64_t now_ms(void)
{
    return quarry_vfs_wall_ns(quarry_vfs_posix()) / Q_MS_NS;
}

static int no_memory(const struct kv_command *command)
{
    return kv_tool_fail(command, QUARRY_NO_MEMORY, NULL);
}

/* ---- get and exists ------------------------------------------------------------------------- */

static void json_found(const struct kv_command *command, struct quarry_kv_slice key,
                       struct quarry_kv_slice value, uint64_t expires_ms)
{
    struct json json = json_begin(stdout);
    uint64_t now = now_ms();

    json_object(&json, NULL);
    kv_text_json(&json, "key", key);
    json_u64(&json, "value_bytes", value.byte_count);
    kv_text_json(&json, "value", value);
    if ((command->is_server || command->has_database) && expires_ms == 0) {
        json_string(&json, "ttl_seconds", NULL);
    } else if (expires_ms != 0) {
        json_u64(&json, "ttl_seconds", (sat_sub_u64(expires_ms, now) + 500) / 1000);
    }
    json_object_end(&json);
    json_finish(&json);
}

static int write_file(const struct kv_command *command, const char *path,
                      struct quarry_kv_slice value)
{
    FILE *file = fopen(path, "we");

    if (file == NULL) {
        return cli_failure(command->name, "%s: %s", path, strerror(errno));
    }
    kv_text_write(file, value, command->is_value_hex);
    bool is_written = ferror(file) == 0;
    return fclose(file) == 0 && is_written
               ? CLI_OK
               : cli_failure(command->name, "%s: %s", path, strerror(errno));
}

static int show_found(const struct kv_command *command, struct quarry_kv_slice key,
                      struct quarry_kv_slice value, uint64_t expires_ms)
{
    if (command->is_json) {
        json_found(command, key, value, expires_ms);
    } else if (command->word_count > 1) {
        return write_file(command, command->words[1], value);
    } else {
        kv_text_write(stdout, value, command->is_value_hex);
        if (command->is_value_hex || isatty(STDOUT_FILENO) == 1) {
            putchar('\n');
        }
    }
    return cli_finish_output(command->name);
}

int kv_run_get(const struct kv_command *command, struct kv_target *target)
{
    struct kv_bytes key = {0}, value = {0};
    uint64_t expires_ms = 0;
    bool is_found = false;
    int code = kv_command_key(command, command->words[0], &key);

    if (code == CLI_OK) {
        code = target->ops->get(target, kv_bytes_slice(&key), &is_found, &value, &expires_ms);
    }
    if (code == CLI_OK && !is_found) {
        code = cli_failure(command->name, "%s has no key '%.200s'", target->name,
                           cli_make_printable(command->words[0]));
    } else if (code == CLI_OK) {
        code = show_found(command, kv_bytes_slice(&key), kv_bytes_slice(&value), expires_ms);
    }
    kv_bytes_free(&key);
    kv_bytes_free(&value);
    return code;
}

int kv_run_exists(const struct kv_command *command, struct kv_target *target)
{
    struct kv_bytes key = {0}, value = {0};
    uint64_t expires_ms = 0;
    bool is_found = false;
    int code = kv_command_key(command, command->words[0], &key);

    if (code == CLI_OK) {
        code = target->ops->get(target, kv_bytes_slice(&key), &is_found, &value, &expires_ms);
    }
    kv_bytes_free(&key);
    kv_bytes_free(&value);
    if (code != CLI_OK) {
        return code;
    }
    if (command->is_json) {
        printf("{\"exists\":%s}\n", is_found ? "true" : "false");
    } else {
        puts(is_found ? "yes" : "no");
    }
    code = cli_finish_output(command->name);
    return code != CLI_OK ? code : is_found ? CLI_OK : CLI_FAILED;
}

/* ---- put, del, delrange, merge -------------------------------------------------------------- */

static int read_stdin(const struct kv_command *command, struct kv_bytes *text)
{
    size_t count = 0;

    do {
        if (!kv_bytes_reserve(text, text->byte_count + STDIN_STEP_BYTES)) {
            return no_memory(command);
        }
        count = fread(text->bytes + text->byte_count, 1, STDIN_STEP_BYTES, stdin);
        text->byte_count += count;
    } while (count > 0);
    return ferror(stdin) ? cli_failure(command->name, "stdin: %s", strerror(errno)) : CLI_OK;
}

/* The value is the second word, or what is on stdin. */
static int read_value(const struct kv_command *command, struct kv_bytes *ret_value)
{
    struct kv_bytes text = {0};

    if (command->word_count > 1) {
        return kv_command_value(command, command->words[1], ret_value);
    }
    if (!command->is_value_hex) {
        return read_stdin(command, ret_value);
    }
    int code = read_stdin(command, &text);
    code = code == CLI_OK && !kv_bytes_add(&text, "", 1) ? no_memory(command) : code;
    if (code == CLI_OK) {
        text.bytes[strcspn(text.bytes, "\r\n")] = '\0';
        code = kv_command_value(command, text.bytes, ret_value);
    }
    kv_bytes_free(&text);
    return code;
}

static int change_one(const struct kv_command *command, struct kv_target *target,
                      enum kv_change_kind kind, const struct kv_bytes *key,
                      const struct kv_bytes *value)
{
    const struct kv_change change = {kind, kv_bytes_slice(key), kv_bytes_slice(value),
                                     command->ttl_ms == 0 ? 0 : now_ms() + command->ttl_ms};

    return target->ops->change(target, &change, 1, true);
}

int kv_run_put(const struct kv_command *command, struct kv_target *target)
{
    struct kv_bytes key = {0}, value = {0};
    int code = kv_command_key(command, command->words[0], &key);

    code = code == CLI_OK ? read_value(command, &value) : code;
    code = code == CLI_OK ? change_one(command, target, KV_CHANGE_PUT, &key, &value) : code;
    kv_bytes_free(&key);
    kv_bytes_free(&value);
    return code;
}

int kv_run_delrange(const struct kv_command *command, struct kv_target *target)
{
    struct kv_bytes begin = {0}, end = {0};
    int code = kv_command_key(command, command->words[0], &begin);

    code = code == CLI_OK ? kv_command_key(command, command->words[1], &end) : code;
    if (code == CLI_OK && kv_slice_compare(kv_bytes_slice(&begin), kv_bytes_slice(&end)) > 0) {
        code = kv_usage_error(command, "the end comes before the begin");
    }
    code =
        code == CLI_OK ? change_one(command, target, KV_CHANGE_DELETE_RANGE, &begin, &end) : code;
    kv_bytes_free(&begin);
    kv_bytes_free(&end);
    return code;
}

int kv_run_merge(const struct kv_command *command, struct kv_target *target)
{
    struct kv_bytes key = {0}, value = {0};
    int code = kv_command_key(command, command->words[0], &key);

    code = code == CLI_OK ? kv_command_value(command, command->words[1], &value) : code;
    code = code == CLI_OK ? change_one(command, target, KV_CHANGE_MERGE, &key, &value) : code;
    kv_bytes_free(&key);
    kv_bytes_free(&value);
    return code;
}
