/*
 * Growing texts, and what commands with subcommands say of themselves.
 *
 * A text at least doubles when it must grow, from 1 KiB. INFO with everything is some 30 KiB.
 */
#include <serve/resp/text.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_BYTES_FIRST Q_KIB(1)

/* Makes room for `more` bytes and a NUL. */
static bool reserve(struct resp_text *text, size_t more)
{
    size_t capacity = text->capacity == 0 ? TEXT_BYTES_FIRST : text->capacity;

    while (capacity - text->count <= more) {
        capacity *= 2;
    }
    if (capacity == text->capacity) {
        return true;
    }
    char *bytes = realloc(text->bytes, capacity);
    text->has_failed = bytes == NULL;
    if (bytes != NULL) {
        text->bytes = bytes;
        text->capacity = capacity;
    }
    return !text->has_failed;
}

void resp_text_add(struct resp_text *text, const char *format, ...)
{
    va_list arguments, again;
    int length;

    if (text->has_failed || !reserve(text, 128)) {
        return;
    }
    va_start(arguments, format);
    va_copy(again, arguments);
    length = vsnprintf(text->bytes + text->count, text->capacity - text->count, format, arguments);
    Q_ASSERT(length >= 0);
    if ((size_t)length >= text->capacity - text->count && reserve(text, (size_t)length)) {
        (void)vsnprintf(text->bytes + text->count, text->capacity - text->count, format, again);
    }
    va_end(again);
    va_end(arguments);
    text->count += text->has_failed ? 0 : (size_t)length;
}

void resp_text_say(struct resp_text *text, struct resp_reply *reply)
{
    if (text->has_failed) {
        resp_say_status(reply, QUARRY_NO_MEMORY, NULL);
    } else {
        resp_say_verbatim(reply, text->count == 0 ? "" : text->bytes, text->count);
    }
    resp_text_clear(text);
}

void resp_text_clear(struct resp_text *text)
{
    free(text->bytes);
    *text = (struct resp_text){0};
}

const char *resp_human_bytes(uint64_t bytes, char room[32])
{
    static const char units[] = "KMGTP";
    double amount = (double)bytes / 1024;
    size_t unit = 0;

    if (bytes < 1024) {
        (void)snprintf(room, 32, "%lluB", (unsigned long long)bytes);
        return room;
    }
    while (amount >= 1024 && unit + 2 < sizeof units) {
        amount /= 1024;
        unit++;
    }
    (void)snprintf(room, 32, "%.2f%c", amount, units[unit]);
    return room;
}

/* ---- subcommands ---------------------------------------------------------------------------- */

/* The command's name in capitals, without its subcommand's. Returns: `room`. */
static const char *capitals(const struct resp_call *call, char room[64])
{
    size_t count = 0;

    for (const char *name = call->command->name; *name != '\0' && *name != '|' && count + 1 < 64;
         name++) {
        room[count++] = (char)(*name >= 'a' && *name <= 'z' ? *name - 'a' + 'A' : *name);
    }
    room[count] = '\0';
    return room;
}

void resp_say_help(struct resp_call *call, const char *const *lines)
{
    char first[160], name[64];
    size_t count = 0;

    while (lines[count] != NULL) {
        count++;
    }
    (void)snprintf(
        first, sizeof first,
        "%s <subcommand> [<arg> [value] [opt] ...]. Subcommands are:", capitals(call, name));
    resp_say_array(call->reply, count + 3);
    resp_say_simple(call->reply, first);
    for (size_t i = 0; i < count; i++) {
        resp_say_simple(call->reply, lines[i]);
    }
    resp_say_simple(call->reply, "HELP");
    resp_say_simple(call->reply, "    Says this.");
}

/* A word as errors quote it. */
#define QUOTED_BYTES 128

enum resp_outcome resp_unknown_subcommand(struct resp_call *call)
{
    struct quarry_kv_slice word =
        call->word_count > 1 ? call->words[1] : (struct quarry_kv_slice){"", 0};
    char name[64];

    resp_say_error(call->reply, "ERR unknown subcommand '%.*s'. Try %s HELP.",
                   (int)size_min(word.byte_count, QUOTED_BYTES), (const char *)word.bytes,
                   capitals(call, name));
    return RESP_ANSWERED;
}

void resp_say_wrong_form(struct resp_call *call)
{
    struct quarry_kv_slice word = call->words[call->word_count > 1 ? 1 : 0];
    char name[64];

    resp_say_error(call->reply,
                   "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try %s HELP.",
                   (int)size_min(word.byte_count, QUOTED_BYTES), (const char *)word.bytes,
                   capitals(call, name));
}
