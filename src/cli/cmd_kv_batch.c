/*
 * Many changes at one moment: `quarry kv del|batchput|batch`.
 *
 * They are gathered first, and applied as one batch: a file with a mistake in it changes nothing.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <cli/cmd_kv.h>

/* ---- batches -------------------------------------------------------------------------------- */

/* Changes that are gathered. Keys and values are their own. */
struct batch {
    const struct kv_command *command;
    struct kv_change *changes;
    size_t count, capacity;
};

static void batch_free(struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        free((void *)(uintptr_t)batch->changes[i].key.bytes);
        free((void *)(uintptr_t)batch->changes[i].value.bytes);
    }
    free(batch->changes);
}

/* `key`, `value`: given; they are none then. */
static int batch_add(struct batch *batch, enum kv_change_kind kind, struct kv_bytes *key,
                     struct kv_bytes *value)
{
    if (!kv_bytes_reserve(key, 1) || !kv_bytes_reserve(value, 1)) {
        return kv_tool_fail(batch->command, QUARRY_NO_MEMORY, NULL); /* NULL stands for nothing */
    }
    if (batch->count == batch->capacity) {
        size_t capacity = size_max(16, batch->capacity * 2);
        struct kv_change *grown = realloc(batch->changes, capacity * sizeof *grown);
        if (grown == NULL) {
            return kv_tool_fail(batch->command, QUARRY_NO_MEMORY, NULL);
        }
        batch->changes = grown;
        batch->capacity = capacity;
    }
    batch->changes[batch->count++] = (struct kv_change){.kind = kind,
                                                        .key = {key->bytes, key->byte_count},
                                                        .value = {value->bytes, value->byte_count}};
    *key = *value = (struct kv_bytes){0};
    return CLI_OK;
}

/* Words of a command line: `value_text` NULL: it has none. */
static int batch_add_words(struct batch *batch, enum kv_change_kind kind, const char *key_text,
                           const char *value_text)
{
    struct kv_bytes key = {0}, value = {0};
    int code = kv_command_key(batch->command, key_text, &key);

    if (code == CLI_OK && value_text != NULL) {
        code = kind == KV_CHANGE_DELETE_RANGE
                   ? kv_command_key(batch->command, value_text, &value)
                   : kv_command_value(batch->command, value_text, &value);
    }
    code = code == CLI_OK ? batch_add(batch, kind, &key, &value) : code;
    kv_bytes_free(&key);
    kv_bytes_free(&value);
    return code;
}

static int batch_apply(struct batch *batch, struct kv_target *target, int code)
{
    if (code == CLI_OK && batch->count > 0) {
        code = target->ops->change(target, batch->changes, batch->count, true);
    }
    if (code == CLI_OK && batch->command->is_json) {
        printf("{\"change_count\":%zu}\n", batch->count);
        code = cli_finish_output(batch->command->name);
    }
    batch_free(batch);
    return code;
}

int kv_run_del(const struct kv_command *command, struct kv_target *target)
{
    struct batch batch = {.command = command};
    int code = CLI_OK;

    for (uint32_t i = 0; i < command->word_count && code == CLI_OK; i++) {
        code = batch_add_words(&batch, KV_CHANGE_DELETE, command->words[i], NULL);
    }
    return batch_apply(&batch, target, code);
}

int kv_run_batchput(const struct kv_command *command, struct kv_target *target)
{
    struct batch batch = {.command = command};
    int code = command->word_count % 2 == 0 ? CLI_OK
                                            : kv_usage_error(command, "the last key has no value");

    for (uint32_t i = 0; i + 1 < command->word_count && code == CLI_OK; i += 2) {
        code = batch_add_words(&batch, KV_CHANGE_PUT, command->words[i], command->words[i + 1]);
    }
    return batch_apply(&batch, target, code);
}

/* ---- a file of changes ---------------------------------------------------------------------- */

#define LINE_WORDS_MAX 3u

struct line {
    const char *at, *end;
    struct kv_bytes words[LINE_WORDS_MAX];
    uint32_t word_count;
};

/* What a backslash and the character behind it stand for. Returns: characters passed; 0: nothing.
 */
static size_t read_escape(const char *at, size_t left, struct kv_bytes *word)
{
    static const char from[] = "\\\"nrt0", to[] = "\\\"\n\r\t\0";
    const char *found = left < 2 ? NULL : memchr(from, at[1], sizeof from - 1);
    struct kv_bytes byte = {0};
    size_t length = 0;

    if (found != NULL) {
        return kv_bytes_add(word, &to[found - from], 1) ? 2 : 0;
    }
    if (left >= 4 && at[1] == 'x' && kv_text_read(at + 2, 2, true, &byte) == KV_TEXT_FINE &&
        kv_bytes_add(word, byte.bytes, byte.byte_count)) {
        length = 4;
    }
    kv_bytes_free(&byte);
    return length;
}

/* Behind its first quote. False: the last one is missing. */
static bool read_quoted(struct line *line, struct kv_bytes *word)
{
    while (line->at < line->end && *line->at != '"') {
        size_t passed = 1;
        if (*line->at == '\\') {
            passed = read_escape(line->at, (size_t)(line->end - line->at), word);
        } else if (!kv_bytes_add(word, line->at, 1)) {
            passed = 0;
        }
        if (passed == 0) {
            return false;
        }
        line->at += passed;
    }
    return line->at++ < line->end;
}

/* False: there are too many words, or one makes no sense. */
static bool split_line(struct line *line)
{
    while (line->at < line->end && *line->at != '\r') {
        if (*line->at == ' ' || *line->at == '\t') {
            line->at++;
            continue;
        }
        if (line->word_count == LINE_WORDS_MAX) {
            return false;
        }
        struct kv_bytes *word = &line->words[line->word_count++];
        if (*line->at == '"') {
            line->at++;
            if (!read_quoted(line, word)) {
                return false;
            }
            continue;
        }
        const char *begin = line->at;
        while (line->at < line->end && strchr(" \t\r", *line->at) == NULL) {
            line->at++;
        }
        if (!kv_bytes_add(word, begin, (size_t)(line->at - begin))) {
            return false;
        }
    }
    return true;
}

static const struct change_word {
    const char *word;
    uint32_t word_count;
    enum kv_change_kind kind;
} change_words[] = {
    {"put", 3, KV_CHANGE_PUT},
    {"del", 2, KV_CHANGE_DELETE},
    {"delete", 2, KV_CHANGE_DELETE},
    {"single-del", 2, KV_CHANGE_SINGLE_DELETE},
    {"delrange", 3, KV_CHANGE_DELETE_RANGE},
    {"merge", 3, KV_CHANGE_MERGE},
};

static const struct change_word *find_change(const struct line *line)
{
    for (size_t i = 0; i < sizeof change_words / sizeof change_words[0]; i++) {
        const char *word = change_words[i].word;
        if (line->word_count == change_words[i].word_count &&
            line->words[0].byte_count == strlen(word) &&
            memcmp(line->words[0].bytes, word, strlen(word)) == 0) {
            return &change_words[i];
        }
    }
    return NULL;
}

/* Hex digits become bytes. */
static bool decode_word(struct kv_bytes *word, bool is_hex)
{
    struct kv_bytes bytes = {0};

    if (!is_hex) {
        return true;
    }
    if (kv_text_read(word->byte_count == 0 ? "" : word->bytes, word->byte_count, true, &bytes) !=
        KV_TEXT_FINE) {
        kv_bytes_free(&bytes);
        return false;
    }
    kv_bytes_free(word);
    *word = bytes;
    return true;
}

static int add_line(struct batch *batch, struct line *line, uint64_t number)
{
    const struct kv_command *command = batch->command;

    if (!split_line(line)) {
        return cli_failure(command->name,
                           "line %llu: too many words, or a quote that is not closed",
                           (unsigned long long)number);
    }
    const struct change_word *change = find_change(line);
    if (line->word_count == 0) {
        return CLI_OK;
    }
    if (change == NULL) {
        return cli_failure(command->name,
                           "line %llu: put KEY VALUE, del KEY, single-del KEY, delrange BEGIN END "
                           "or merge KEY OPERAND are understood",
                           (unsigned long long)number);
    }
    bool is_second_key = change->kind == KV_CHANGE_DELETE_RANGE;
    if (!decode_word(&line->words[1], command->is_key_hex) ||
        !decode_word(&line->words[2],
                     is_second_key ? command->is_key_hex : command->is_value_hex)) {
        return cli_failure(command->name, "line %llu: a word is not hex",
                           (unsigned long long)number);
    }
    return batch_add(batch, change->kind, &line->words[1], &line->words[2]);
}

static int read_changes(struct batch *batch, FILE *file)
{
    char *text = NULL;
    size_t capacity = 0, length = 0;
    uint64_t number = 0;
    int code = CLI_OK;

    while (code == CLI_OK && kv_text_line(file, &text, &capacity, &length)) {
        struct line line = {.at = text, .end = text + length};
        number++;
        if (length == 0 || text[0] != '#') {
            code = add_line(batch, &line, number);
        }
        for (uint32_t i = 0; i < LINE_WORDS_MAX; i++) {
            kv_bytes_free(&line.words[i]);
        }
    }
    if (code == CLI_OK && ferror(file)) {
        code = cli_failure(batch->command->name, "the changes cannot be read: %s", strerror(errno));
    }
    free(text);
    return code;
}

int kv_run_batch(const struct kv_command *command, struct kv_target *target)
{
    bool is_stdin = command->word_count == 0 || strcmp(command->words[0], "-") == 0;
    FILE *file = is_stdin ? stdin : fopen(command->words[0], "re");
    struct batch batch = {.command = command};

    if (file == NULL) {
        return cli_failure(command->name, "%s: %s", command->words[0], strerror(errno));
    }
    int code = read_changes(&batch, file);
    if (!is_stdin) {
        (void)fclose(file);
    }
    return batch_apply(&batch, target, code);
}
