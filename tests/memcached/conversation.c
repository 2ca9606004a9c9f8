/*
 * Reads conversations, and matches their patterns.
 */
#include "memcached/conversation.h"

#include <base/base.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The longest line of a file. */
#define LINE_BYTES_MAX 65536

static void add(struct pattern *pattern, char byte, enum pattern_kind kind)
{
    if (pattern->byte_count == pattern->capacity) {
        pattern->capacity = pattern->capacity * 2 + 64;
        pattern->bytes = realloc(pattern->bytes, pattern->capacity);
        pattern->kinds = realloc(pattern->kinds, pattern->capacity);
        Q_ASSERT(pattern->bytes != NULL && pattern->kinds != NULL);
    }
    pattern->bytes[pattern->byte_count] = byte;
    pattern->kinds[pattern->byte_count++] = (uint8_t)kind;
}

static void fail(const struct conversation *conversation, int line, const char *why)
{
    fprintf(stderr, "%s:%d: %s\n", conversation->file, line, why);
    abort();
}

static bool starts_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

/* ---- escapes -------------------------------------------------------------------------------- */

/* Reads `\n` and its like. Returns: behind it. */
static const char *read_escape(const char *at, char *ret_byte)
{
    static const char letters[] = "rnt0\\";
    static const char bytes[] = "\r\n\t\0\\";
    const char *letter = at[1] == '\0' ? NULL : strchr(letters, at[1]);

    if (letter != NULL) {
        *ret_byte = bytes[letter - letters];
        return at + 2;
    }
    char hex[3] = {at[2], at[3], '\0'};

    Q_ASSERT(at[1] == 'x');
    *ret_byte = (char)strtoul(hex, NULL, 16);
    return at + 4;
}

/* Reads `{cas}`, `{x*100}`. Returns: behind it. */
static const char *read_brace(const char *at, struct pattern *pattern)
{
    if (starts_with(at, "{cas}")) {
        add(pattern, 0, PATTERN_CAS);
        return at + 5;
    }
    if (starts_with(at, "{num}")) {
        add(pattern, 0, PATTERN_NUMBER);
        return at + 5;
    }
    if (starts_with(at, "{any}")) {
        add(pattern, 0, PATTERN_ANY);
        return at + 5;
    }
    Q_ASSERT(at[1] != '\0' && at[2] == '*');
    char *end;
    unsigned long count = strtoul(at + 3, &end, 10);

    Q_ASSERT(*end == '}');
    for (unsigned long i = 0; i < count; i++) {
        add(pattern, at[1], PATTERN_BYTE);
    }
    return end + 1;
}

static const char *read_text(const char *at, const char *stops, struct pattern *pattern)
{
    while (*at != '\0' && strchr(stops, *at) == NULL) {
        if (*at == '\\') {
            char byte = 0;

            at = read_escape(at, &byte);
            add(pattern, byte, PATTERN_BYTE);
        } else if (*at == '{') {
            at = read_brace(at, pattern);
        } else {
            add(pattern, *at++, PATTERN_BYTE);
        }
    }
    return at;
}

/* ---- packets -------------------------------------------------------------------------------- */

static void add_number(struct pattern *pattern, uint64_t number, size_t byte_count)
{
    for (size_t i = byte_count; i-- > 0;) {
        add(pattern, (char)(number >> (i * 8)), PATTERN_BYTE);
    }
}

static void add_all(struct pattern *pattern, const struct pattern *other)
{
    for (size_t i = 0; i < other->byte_count; i++) {
        add(pattern, other->bytes[i], (enum pattern_kind)other->kinds[i]);
    }
}

/* The words of a packet's line. */
struct packet_words {
    uint64_t opcode, status, opaque, cas, type;
    int64_t key_bytes, extras_bytes, body_bytes; /* -1: as they are */
    bool has_any_cas;
    struct pattern key, extras, value;
};

static const char *read_hex(const char *at, struct pattern *pattern)
{
    while (*at != ' ' && *at != '\0') {
        char hex[3] = {at[0], at[1], '\0'};

        add(pattern, (char)strtoul(hex, NULL, 16), PATTERN_BYTE);
        at += 2;
    }
    return at;
}

static const char *read_packet_number(const char *at, uint64_t *ret_number)
{
    char *end;

    *ret_number = strtoull(at, &end, 0);
    return end;
}

static const char *read_packet_cas(const char *at, struct packet_words *words)
{
    if (starts_with(at, "{cas}")) {
        words->has_any_cas = true;
        return at + 5;
    }
    return read_packet_number(at, &words->cas);
}

static const char *read_packet_word(const char *at, struct packet_words *words)
{
    uint64_t number;

    if (starts_with(at, "key=")) {
        return read_text(at + 4, " ", &words->key);
    }
    if (starts_with(at, "value=")) {
        return read_text(at + 6, " ", &words->value);
    }
    if (starts_with(at, "extras=")) {
        return read_hex(at + 7, &words->extras);
    }
    if (starts_with(at, "status=")) {
        return read_packet_number(at + 7, &words->status);
    }
    if (starts_with(at, "opaque=")) {
        return read_packet_number(at + 7, &words->opaque);
    }
    if (starts_with(at, "cas=")) {
        return read_packet_cas(at + 4, words);
    }
    if (starts_with(at, "keylen=")) {
        at = read_packet_number(at + 7, &number);
        words->key_bytes = (int64_t)number;
        return at;
    }
    if (starts_with(at, "bodylen=")) {
        at = read_packet_number(at + 8, &number);
        words->body_bytes = (int64_t)number;
        return at;
    }
    if (starts_with(at, "extlen=")) {
        at = read_packet_number(at + 7, &number);
        words->extras_bytes = (int64_t)number;
        return at;
    }
    return NULL;
}

static void put_packet(const struct packet_words *words, uint8_t magic, struct pattern *pattern)
{
    size_t body = words->extras.byte_count + words->key.byte_count + words->value.byte_count;

    add_number(pattern, magic, 1);
    add_number(pattern, words->opcode, 1);
    add_number(pattern, words->key_bytes < 0 ? words->key.byte_count : (uint64_t)words->key_bytes,
               2);
    add_number(pattern,
               words->extras_bytes < 0 ? words->extras.byte_count : (uint64_t)words->extras_bytes,
               1);
    add_number(pattern, 0, 1);
    add_number(pattern, words->status, 2);
    add_number(pattern, words->body_bytes < 0 ? body : (uint64_t)words->body_bytes, 4);
    add_number(pattern, words->opaque, 4);
    if (words->has_any_cas) {
        add(pattern, 0, PATTERN_PACKED_CAS);
    } else {
        add_number(pattern, words->cas, 8);
    }
    add_all(pattern, &words->extras);
    add_all(pattern, &words->key);
    add_all(pattern, &words->value);
}

static void read_packet(struct conversation *conversation, const char *line, int number,
                        uint8_t magic, struct pattern *pattern)
{
    struct packet_words words = {.key_bytes = -1, .extras_bytes = -1, .body_bytes = -1};
    char *end;

    words.opcode = strtoul(line, &end, 16);
    const char *at = end;

    while (*at == ' ') {
        at = read_packet_word(at + 1, &words);
        if (at == NULL) {
            fail(conversation, number, "a packet has no such word");
        }
    }
    put_packet(&words, magic, pattern);
    struct pattern *parts[] = {&words.key, &words.extras, &words.value};

    for (size_t i = 0; i < 3; i++) {
        free(parts[i]->bytes);
        free(parts[i]->kinds);
    }
}

/* ---- files ---------------------------------------------------------------------------------- */

static struct step *add_step(struct conversation *conversation, enum step_kind kind, int line)
{
    conversation->steps = realloc(conversation->steps,
                                  (conversation->step_count + 1) * sizeof conversation->steps[0]);
    Q_ASSERT(conversation->steps != NULL);
    struct step *step = &conversation->steps[conversation->step_count++];

    *step = (struct step){.kind = kind, .line = line};
    return step;
}

static void add_line(struct conversation *conversation, enum step_kind kind, const char *text,
                     bool ends_line, int number)
{
    struct step *step = add_step(conversation, kind, number);

    (void)read_text(text, "", &step->text);
    if (ends_line) {
        add(&step->text, '\r', PATTERN_BYTE);
        add(&step->text, '\n', PATTERN_BYTE);
    }
}

/* Whether a line is of a kind: its mark, alone or with a space behind it. */
static bool is_marked(const char *line, const char *mark, const char **ret_rest)
{
    size_t length = strlen(mark);

    if (!starts_with(line, mark) || (line[length] != ' ' && line[length] != '\0')) {
        return false;
    }
    *ret_rest = line + length + (line[length] == ' ' ? 1 : 0);
    return true;
}

static void read_line(struct conversation *conversation, const char *line, int number)
{
    const char *rest;

    if (is_marked(line, ">", &rest)) {
        add_line(conversation, STEP_SEND, rest, true, number);
    } else if (is_marked(line, ">>", &rest)) {
        add_line(conversation, STEP_SEND, rest, false, number);
    } else if (is_marked(line, "<", &rest)) {
        add_line(conversation, STEP_EXPECT, rest, true, number);
    } else if (is_marked(line, "<<", &rest)) {
        add_line(conversation, STEP_EXPECT, rest, false, number);
    } else if (is_marked(line, "p>", &rest)) {
        struct step *step = add_step(conversation, STEP_SEND, number);

        read_packet(conversation, rest, number, 0x80, &step->text);
    } else if (is_marked(line, "p<", &rest)) {
        struct step *step = add_step(conversation, STEP_EXPECT, number);

        read_packet(conversation, rest, number, 0x81, &step->text);
    } else if (is_marked(line, "@", &rest)) {
        add_step(conversation, STEP_CLOCK, number)->seconds = strtoll(rest, NULL, 10);
    } else if (is_marked(line, "~", &rest)) {
        snprintf(conversation->reason, sizeof conversation->reason, "%s", rest);
    } else if (strcmp(line, "! closed") == 0) {
        add_step(conversation, STEP_CLOSED, number);
    } else if (line[0] != '\0' && line[0] != '#') {
        fail(conversation, number, "what is this line?");
    }
}

static struct conversation *add_conversation(struct conversations *all, const char *path,
                                             const char *title, int line)
{
    all->at = realloc(all->at, (all->count + 1) * sizeof all->at[0]);
    Q_ASSERT(all->at != NULL);
    struct conversation *conversation = &all->at[all->count++];

    *conversation = (struct conversation){.file = path, .line = line};
    snprintf(conversation->title, sizeof conversation->title, "%s", title);
    return conversation;
}

struct conversations conversations_read(const char *path)
{
    struct conversations all = {NULL, 0};
    struct conversation *conversation = NULL;
    FILE *file = fopen(path, "re");
    static char line[LINE_BYTES_MAX];
    const char *rest;

    Q_ASSERT(file != NULL);
    for (int number = 1; fgets(line, sizeof line, file) != NULL; number++) {
        line[strcspn(line, "\n")] = '\0';
        if (is_marked(line, "==", &rest)) {
            conversation = add_conversation(&all, path, rest, number);
        } else if (conversation != NULL) {
            read_line(conversation, line, number);
        }
    }
    fclose(file);
    return all;
}

void conversations_free(struct conversations *conversations)
{
    for (size_t i = 0; i < conversations->count; i++) {
        struct conversation *conversation = &conversations->at[i];

        for (size_t step = 0; step < conversation->step_count; step++) {
            free(conversation->steps[step].text.bytes);
            free(conversation->steps[step].text.kinds);
        }
        free(conversation->steps);
    }
    free(conversations->at);
}

/* ---- patterns ------------------------------------------------------------------------------- */

static size_t digits_at(const char *text, size_t byte_count)
{
    size_t count = 0;

    while (count < byte_count && text[count] >= '0' && text[count] <= '9') {
        count++;
    }
    return count;
}

/* How many bytes a wildcard takes up; SIZE_MAX: none that is right. */
static size_t match_wildcard(enum pattern_kind kind, const char *text, size_t byte_count,
                             uint64_t *cas)
{
    size_t count = 0;

    switch (kind) {
    case PATTERN_CAS:
    case PATTERN_NUMBER:
        count = digits_at(text, byte_count);
        if (count == 0) {
            return SIZE_MAX;
        }
        if (kind == PATTERN_CAS) {
            *cas = strtoull(text, NULL, 10);
        }
        return count;
    case PATTERN_ANY:
        while (count < byte_count && text[count] != '\r' && text[count] != '\n') {
            count++;
        }
        return count;
    case PATTERN_PACKED_CAS:
        if (byte_count < 8) {
            return SIZE_MAX;
        }
        *cas = endian_load_be_u64(text);
        return 8;
    case PATTERN_BYTE:
        break;
    }
    Q_UNREACHABLE();
}

size_t pattern_match(const struct pattern *pattern, const char *text, size_t byte_count,
                     uint64_t *cas)
{
    size_t at = 0;

    for (size_t i = 0; i < pattern->byte_count; i++) {
        if (at == byte_count) {
            return SIZE_MAX - 1;
        }
        if (pattern->kinds[i] == PATTERN_BYTE) {
            if (text[at] != pattern->bytes[i]) {
                return SIZE_MAX;
            }
            at++;
            continue;
        }
        size_t count =
            match_wildcard((enum pattern_kind)pattern->kinds[i], text + at, byte_count - at, cas);

        if (count == SIZE_MAX) {
            return byte_count - at < 8 ? SIZE_MAX - 1 : SIZE_MAX;
        }
        at += count;
    }
    return at;
}

char *pattern_fill(const struct pattern *pattern, uint64_t cas, size_t *ret_bytes)
{
    char *bytes = malloc(pattern->byte_count * 20 + 1);
    size_t at = 0;

    Q_ASSERT(bytes != NULL);
    for (size_t i = 0; i < pattern->byte_count; i++) {
        if (pattern->kinds[i] == PATTERN_CAS) {
            at += (size_t)sprintf(bytes + at, "%llu", (unsigned long long)cas);
        } else if (pattern->kinds[i] == PATTERN_PACKED_CAS) {
            endian_store_be_u64(bytes + at, cas);
            at += 8;
        } else {
            bytes[at++] = pattern->bytes[i];
        }
    }
    *ret_bytes = at;
    return bytes;
}

/* Of a run or a text that is longer, the rest is left out. */
#define PRINTED_BYTES_MAX 400u

void print_escaped(const char *label, const char *bytes, size_t byte_count)
{
    fprintf(stderr, "  %s (%zu bytes): ", label, byte_count);
    for (size_t i = 0; i < byte_count && i < PRINTED_BYTES_MAX; i++) {
        uint8_t byte = (uint8_t)bytes[i];

        if (byte == '\r' || byte == '\n') {
            fputs(byte == '\r' ? "\\r" : "\\n", stderr);
        } else if (byte < 32 || byte > 126) {
            fprintf(stderr, "\\x%02x", byte);
        } else {
            fputc(byte, stderr);
        }
    }
    fputs(byte_count > PRINTED_BYTES_MAX ? "…\n" : "\n", stderr);
}
