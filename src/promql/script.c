/*
 * Running scripts: lines, commands, and who carries them out.
 *
 *     script.c          lines to commands
 *     script_load.c     load: descriptions to series; script_nhcb.c: native histograms of classic
 *     script_source.c   those series as a source
 *     script_read.c     eval: what is asked and expected
 *     script_eval.c     the query, in all ways
 *     script_compare.c  what came of it
 *
 * A command ends at an empty line or a comment. A command that cannot be read fails, and the next
 * one is tried: one mistake is one case. `clear` gives all series back.
 */
#include <promql/script_parts.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define GRANT_BYTES (UINT64_C(256) << 20)

bool script_fault(struct script *script, const char *format, ...)
{
    char text[1024];
    va_list arguments;

    if (script->fault.count == 0) {
        va_start(arguments, format);
        vsnprintf(text, sizeof(text), format, arguments);
        va_end(arguments);
        promql_write_text(&script->fault, text[0] == '\0' ? "wrong" : text);
    }
    return false;
}

/* ---- lines ---------------------------------------------------------------------------------- */

static bool is_blank(char character)
{
    return character == ' ' || character == '\t' || character == '\r';
}

struct quarry_tsdb_slice script_trim(struct quarry_tsdb_slice text)
{
    while (text.count > 0 && is_blank(text.bytes[0])) {
        text.bytes++;
        text.count--;
    }
    while (text.count > 0 && is_blank(text.bytes[text.count - 1])) {
        text.count--;
    }
    return text;
}

bool script_starts(struct quarry_tsdb_slice text, const char *prefix)
{
    const size_t count = strlen(prefix);

    return text.count >= count && memcmp(text.bytes, prefix, count) == 0;
}

struct quarry_tsdb_slice script_word(struct quarry_tsdb_slice *text)
{
    struct quarry_tsdb_slice word = *text;

    word.count = 0;
    while (word.count < text->count && !is_blank(text->bytes[word.count])) {
        word.count++;
    }
    text->bytes += word.count;
    text->count -= word.count;
    *text = script_trim(*text);
    return word;
}

bool script_duration(struct script *script, struct quarry_tsdb_slice text, int64_t *ret_ms)
{
    const bool is_negative = script_starts(text, "-");
    const struct quarry_tsdb_slice digits = {.bytes = text.bytes + is_negative,
                                             .count = text.count - is_negative};

    if (promql_read_duration(digits, ret_ms) != PROMQL_DURATION_OK) {
        return script_fault(script, "not a duration: '%.*s'", (int)text.count, text.bytes);
    }
    *ret_ms = is_negative ? -*ret_ms : *ret_ms;
    return true;
}

/* The line at hand, trimmed; a comment is empty. `ret_next`: where the next one begins. */
static struct quarry_tsdb_slice look_at_line(const struct script *script, size_t *ret_next)
{
    const char *end =
        script->text.count == 0 ? NULL : memchr(script->text.bytes, '\n', script->text.count);
    struct quarry_tsdb_slice line = script->text;

    line.count = end == NULL ? script->text.count : (size_t)(end - script->text.bytes);
    *ret_next = end == NULL ? line.count : line.count + 1;
    line = script_trim(line);
    line.count = line.count > 0 && line.bytes[0] == '#' ? 0 : line.count;
    return line;
}

static void next_line(struct script *script, size_t next)
{
    script->text.bytes += next;
    script->text.count -= next;
    script->line++;
}

bool script_body_line(struct script *script, struct quarry_tsdb_slice *ret_line)
{
    size_t next;

    *ret_line = look_at_line(script, &next);
    if (ret_line->count == 0) {
        return false;
    }
    next_line(script, next);
    return true;
}

/* ---- commands ------------------------------------------------------------------------------- */

static bool clear(struct script *script)
{
    script_store_fini(&script->store);
    script_store_init(&script->store, script->options->account, script->options->pool,
                      script->grant_bytes);
    return true;
}

static bool run_eval(struct script *script, struct quarry_tsdb_slice rest,
                     struct quarry_tsdb_slice word)
{
    struct script_eval eval = {.is_range = false};

    script->counts.case_count++;
    word.bytes += 4;
    word.count -= 4;
    return script_read_eval(script, rest, word, &eval) && script_run_eval(script, &eval);
}

static bool is_word(struct quarry_tsdb_slice word, const char *text)
{
    return word.count == strlen(text) && script_starts(word, text);
}

/* Carries the command out. Returns: whether it was read, and all is as expected. */
static bool run_command(struct script *script)
{
    struct quarry_tsdb_slice rest = script->command;
    const struct quarry_tsdb_slice word = script_word(&rest);

    if (is_word(word, "clear")) {
        return clear(script);
    }
    if (is_word(word, "load") || is_word(word, "load_with_nhcb")) {
        return script_load(script, rest, word.count > 4);
    }
    if (script_starts(word, "eval")) {
        return run_eval(script, rest, word);
    }
    return script_fault(script, "invalid command '%.*s'", (int)script->command.count,
                        script->command.bytes);
}

static void report(struct script *script, bool is_good, bool is_case)
{
    const struct promql_script_options *options = script->options;
    char *text = promql_memory_copy(&script->scratch, script->command.bytes, script->command.count);
    const char *seen = script->fault.bytes == NULL ? "no memory" : script->fault.bytes;

    script->counts.failed_count += !is_good;
    script->counts.case_count += !is_good && !is_case;
    if (options->report != NULL && (is_case || !is_good)) {
        const struct promql_script_case done = {.line = script->command_line,
                                                .text = text == NULL ? "" : text,
                                                .seen = is_good ? NULL : seen};
        options->report(options->argument, &done);
    }
}

static void run_line(struct script *script, struct quarry_tsdb_slice line)
{
    const uint64_t cases_before = script->counts.case_count;
    struct quarry_tsdb_slice rest;

    promql_memory_init(&script->scratch, script->options->account, script->options->pool,
                       script->grant_bytes);
    script->fault = (struct promql_writer){.memory = &script->scratch};
    script->command = line;
    script->command_line = script->line;
    bool is_good = run_command(script);
    while (!is_good && script_body_line(script, &rest)) { /* what a command that failed has left */
    }
    report(script, is_good, script->counts.case_count > cases_before);
    promql_memory_fini(&script->scratch);
}

enum quarry_status promql_script_run(const struct promql_script_options *options,
                                     struct quarry_tsdb_slice text,
                                     struct promql_script_counts *ret_counts)
{
    struct script script = {.options = options,
                            .grant_bytes =
                                options->grant_bytes == 0 ? GRANT_BYTES : options->grant_bytes,
                            .text = text};
    bool is_refused = false;

    script_store_init(&script.store, options->account, options->pool, script.grant_bytes);
    while (script.text.count > 0 && !is_refused) {
        size_t next;
        struct quarry_tsdb_slice line = look_at_line(&script, &next);

        next_line(&script, next);
        if (line.count > 0) {
            run_line(&script, line);
        }
        is_refused = script.store.memory.is_refused;
    }
    script_store_fini(&script.store);
    *ret_counts = script.counts;
    return is_refused ? QUARRY_NO_MEMORY : QUARRY_OK;
}
