/*
 * All keys and values as lines, and back: `quarry kv dump`, `quarry kv load`.
 *
 *     key ==> value                              as ldb writes it
 *     0x6B6579 ==> 0x76616C7565                  with --hex
 *     {"key":"a","value_base64":"AP8="}          with --json; expires_ms where there is one
 *
 * In the first form a key must not have " ==> " in it, and neither may have a newline: a dump ends
 * there with an error instead of writing what would not come back.
 *
 * Loading gathers keys, and writes so many at a time.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cli/base64.h>
#include <cli/cmd_kv.h>
#include <cli/json_read.h>
#include <cli/kv_load.h>
#include <cli/progress.h>

#define ARROW       " ==> "
#define ARROW_BYTES 5u

/* ---- dump ----------------------------------------------------------------------------------- */

struct dump {
    const struct kv_command *command;
    FILE *file;
    struct progress progress;
    uint64_t count, byte_count;
};

static bool has(struct quarry_kv_slice bytes, const char *part, size_t part_bytes)
{
    return memmem(bytes.bytes, bytes.byte_count, part, part_bytes) != NULL;
}

/* Whether a line of plain text gives back what was written to it. */
static bool stands_in_line(const struct kv_command *command, const struct kv_found *found)
{
    /* A key that ends so would have an arrow together with what follows it. */
    const size_t cut = ARROW_BYTES - 1;
    bool ends_in_arrow =
        found->key.byte_count >= cut &&
        memcmp((const char *)found->key.bytes + found->key.byte_count - cut, ARROW, cut) == 0;
    bool key_stands = command->is_key_hex || (!has(found->key, "\n", 1) && !ends_in_arrow &&
                                              !has(found->key, ARROW, ARROW_BYTES));
    bool value_stands = command->is_value_hex || !has(found->value, "\n", 1);

    return key_stands && value_stands;
}

static void dump_json(struct dump *dump, const struct kv_found *found)
{
    struct json json = json_begin(dump->file);

    json_object(&json, NULL);
    kv_text_json(&json, "key", found->key);
    kv_text_json(&json, "value", found->value);
    if (found->expires_ms != 0) {
        json_u64(&json, "expires_ms", found->expires_ms);
    }
    json_object_end(&json);
    json_finish(&json);
}

static int visit_dump(void *argument, const struct kv_found *found)
{
    struct dump *dump = argument;
    const struct kv_command *command = dump->command;

    dump->count++;
    dump->byte_count += found->key.byte_count + found->value.byte_count;
    progress_at(&dump->progress, dump->count, dump->byte_count);
    if (command->is_count_only) {
        return CLI_OK;
    }
    if (command->is_json) {
        dump_json(dump, found);
    } else if (!stands_in_line(command, found)) {
        return cli_failure(command->name,
                           "key %" PRIu64 " cannot stand in a line of text: dump with --hex or "
                           "--json",
                           dump->count);
    } else {
        kv_text_write(dump->file, found->key, command->is_key_hex);
        fputs(ARROW, dump->file);
        kv_text_write(dump->file, found->value, command->is_value_hex);
        putc('\n', dump->file);
    }
    return ferror(dump->file) == 0
               ? CLI_OK
               : cli_failure(command->name, "writing failed: %s", strerror(errno));
}

static int finish_dump(struct dump *dump, const char *path)
{
    const struct kv_command *command = dump->command;

    if (command->is_count_only && command->is_json) {
        fprintf(dump->file, "{\"key_count\":%" PRIu64 "}\n", dump->count);
    } else if (command->is_count_only) {
        fprintf(dump->file, "Keys in range: %" PRIu64 "\n", dump->count);
    }
    if (path == NULL) {
        return cli_finish_output(command->name);
    }
    bool is_written = ferror(dump->file) == 0;
    return fclose(dump->file) == 0 && is_written
               ? CLI_OK
               : cli_failure(command->name, "%s: %s", path, strerror(errno));
}

int kv_run_dump(const struct kv_command *command, struct kv_target *target)
{
    bool is_stdout = command->word_count == 0 || strcmp(command->words[0], "-") == 0;
    const char *path = is_stdout ? NULL : command->words[0];
    struct dump dump = {.command = command, .file = path == NULL ? stdout : fopen(path, "we")};
    struct kv_command_range range;

    if (dump.file == NULL) {
        return cli_failure(command->name, "%s: %s", path, strerror(errno));
    }
    int code = kv_command_range(command, &range);
    if (code == CLI_OK) {
        const struct kv_walk walk = {range.from, range.to, false, command->max};
        progress_begin(&dump.progress, command->name, "keys", 0);
        code = target->ops->walk(target, &walk, visit_dump, &dump);
        (void)progress_end(&dump.progress);
    }
    kv_command_range_free(&range);
    int ended = finish_dump(&dump, path);
    return code != CLI_OK ? code : ended;
}

/* ---- load: a line --------------------------------------------------------------------------- */

struct load {
    const struct kv_command *command;
    struct kv_load *out;
    uint64_t line;
    struct kv_bytes key, value;
};

static int bad_line(const struct load *load, const char *what)
{
    return cli_failure(load->command->name, "line %" PRIu64 ": %s", load->line, what);
}

static int load_text(struct load *load, const char *text, size_t length)
{
    const struct kv_command *command = load->command;
    const char *arrow = memmem(text, length, ARROW, ARROW_BYTES);

    /* ldb writes how many there were at the end of a dump. */
    if (arrow == NULL && (length == 0 || strncmp(text, "Keys in range: ", 15) == 0)) {
        return CLI_OK;
    }
    if (arrow == NULL) {
        return bad_line(load, "it is not KEY ==> VALUE");
    }
    size_t key_length = (size_t)(arrow - text);
    if (kv_text_read(text, key_length, command->is_key_hex, &load->key) != KV_TEXT_FINE ||
        kv_text_read(arrow + ARROW_BYTES, length - key_length - ARROW_BYTES, command->is_value_hex,
                     &load->value) != KV_TEXT_FINE) {
        return bad_line(load, "it is not 0xKEY ==> 0xVALUE");
    }
    return kv_load_put(load->out, kv_bytes_slice(&load->key), kv_bytes_slice(&load->value), 0);
}

/* A field of the name, or of name_base64. */
static bool json_field(const struct json_value *object, const char *name, const char *encoded_name,
                       struct kv_bytes *ret_bytes)
{
    const struct json_value *plain = json_read_member(object, name);
    const struct json_value *encoded = json_read_member(object, encoded_name);
    size_t length = 0, count = 0;
    const char *text = json_read_text(plain != NULL ? plain : encoded, &length);

    if (text == NULL || !kv_bytes_set(ret_bytes, text, length)) {
        return false;
    }
    if (plain != NULL || length == 0) {
        return true;
    }
    bool is_decoded = base64_decode(ret_bytes->bytes, length, ret_bytes->bytes, &count);
    ret_bytes->byte_count = count;
    return is_decoded;
}

static int load_json(struct load *load, const char *text, size_t length)
{
    char fault[160] = "";
    struct json_value *object = json_read(text, length, fault, sizeof fault);
    uint64_t expires_ms = json_read_u64(json_read_member(object, "expires_ms"));
    int code = CLI_OK;

    if (!json_field(object, "key", "key_base64", &load->key) ||
        !json_field(object, "value", "value_base64", &load->value)) {
        code = bad_line(load, "it is no JSON object with key and value, or key_base64 and "
                              "value_base64");
    } else {
        code = kv_load_put(load->out, kv_bytes_slice(&load->key), kv_bytes_slice(&load->value),
                           expires_ms);
    }
    json_read_free(object);
    return code;
}

/* ---- load ----------------------------------------------------------------------------------- */

static int load_lines(struct load *load, FILE *file)
{
    char *text = NULL;
    size_t capacity = 0, length = 0;
    int code = CLI_OK;

    while (code == CLI_OK && kv_text_line(file, &text, &capacity, &length)) {
        load->line++;
        if (load->command->is_json && length > 0) {
            code = load_json(load, text, length);
        } else if (!load->command->is_json) {
            code = load_text(load, text, length);
        }
        kv_load_read(load->out, length + 1);
    }
    if (code == CLI_OK && ferror(file)) {
        code = cli_failure(load->command->name, "reading failed: %s", strerror(errno));
    }
    free(text);
    return code;
}

static uint64_t bytes_of(FILE *file)
{
    struct stat state;

    return fstat(fileno(file), &state) == 0 && S_ISREG(state.st_mode) ? (uint64_t)state.st_size : 0;
}

int kv_run_load(const struct kv_command *command, struct kv_target *target)
{
    bool is_stdin = command->word_count == 0 || strcmp(command->words[0], "-") == 0;
    FILE *file = is_stdin ? stdin : fopen(command->words[0], "re");
    struct kv_load *out = NULL;

    if (file == NULL) {
        return cli_failure(command->name, "%s: %s", command->words[0], strerror(errno));
    }
    int code = kv_load_begin(command, target, bytes_of(file), &out);
    if (code == CLI_OK) {
        struct load load = {.command = command, .out = out};
        code = load_lines(&load, file);
        kv_bytes_free(&load.key);
        kv_bytes_free(&load.value);
        code = kv_load_end(out, code);
    }
    if (!is_stdin) {
        (void)fclose(file);
    }
    return code;
}
