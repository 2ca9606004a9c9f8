/*
 * Patterns.
 *
 *     expression     (?:api-.*|web|.+\.local)
 *     alternatives   "api-" + anything · "web" · something + ".local"
 *     bytes          a p i - w e b . l o c a l           their texts, without backslashes
 *
 * What is read here must mean exactly what RE2 makes of it, so everything that is not certain is
 * refused: classes, repeats, flags, groups within, lazy stars, escapes of letters, bytes above
 * ASCII. A group around the whole, and anchors at an alternative's ends, change nothing.
 *
 * "Something" is a byte: a text of UTF-8 that is not empty has a character, and an alternative's
 * own bytes are ASCII, so that the border lies between characters.
 *
 * Locking: none; const after init.
 *
 * Rejected: a trie for many prefixes, for queries have one or two.
 */
#include <tsdb/pattern.h>

/* Alternatives of a pattern that is not exact: each is tried. RE2 is faster than more of them. */
#define TRIED_MAX 16u

/* Reading an expression. */
struct reader {
    const char *at, *end;
    char *out; /* where the next literal byte goes */
};

/* ---- reading -------------------------------------------------------------------------------- */

static bool is_special(char byte)
{
    return memchr("\\.+*?()|[]{}^$", byte, 14) != NULL;
}

/* A byte that stands for itself, behind a backslash or not. */
static bool read_byte(struct reader *reader)
{
    char byte = *reader->at;

    if (byte == '\\' && reader->at + 1 < reader->end) {
        byte = reader->at[1];
        if (!is_special(byte) && byte != '-' && byte != '/') {
            return false;
        }
        reader->at++;
    } else if (is_special(byte) || (byte & 0x80) != 0) {
        return false;
    }
    reader->at++;
    *reader->out++ = byte;
    return true;
}

/* ".*", ".+" or nothing. */
static enum tsdb_pattern_rest read_rest(struct reader *reader)
{
    if (reader->end - reader->at < 2 || reader->at[0] != '.' ||
        (reader->at[1] != '*' && reader->at[1] != '+')) {
        return TSDB_PATTERN_NOTHING;
    }
    enum tsdb_pattern_rest rest =
        reader->at[1] == '*' ? TSDB_PATTERN_ANYTHING : TSDB_PATTERN_SOMETHING;
    reader->at += 2;
    return rest;
}

/* Passes a byte, if it is there. */
static void skip(struct reader *reader, char byte)
{
    reader->at += reader->at < reader->end && *reader->at == byte;
}

static bool is_at_end(const struct reader *reader)
{
    return reader->at == reader->end || *reader->at == '|';
}

/* Up to the end or a bar. Returns: false: it is not of the shape. */
static bool read_alternative(struct reader *reader, struct tsdb_alternative *ret_alternative)
{
    skip(reader, '^');
    enum tsdb_pattern_rest before = read_rest(reader), after = TSDB_PATTERN_NOTHING;
    const char *text = reader->out;

    while (!is_at_end(reader) && *reader->at != '.' && *reader->at != '$') {
        if (!read_byte(reader)) {
            return false;
        }
    }
    size_t count = (size_t)(reader->out - text);
    if (!is_at_end(reader)) {
        after = read_rest(reader);
    }
    skip(reader, '$');
    *ret_alternative = (struct tsdb_alternative){
        .text = {.bytes = text, .count = count}, .before = before, .after = after};
    /* ".+.+" are two characters, of which bytes say nothing. */
    return is_at_end(reader) &&
           !(count == 0 && before == TSDB_PATTERN_SOMETHING && after == TSDB_PATTERN_SOMETHING);
}

/* The expression without a group around all of it. */
static struct tsdb_slice without_group(struct tsdb_slice expression)
{
    const char *bytes = expression.bytes;
    size_t count = expression.count, opening = 1;

    if (count < 2 || bytes[0] != '(' || bytes[count - 1] != ')' || bytes[count - 2] == '\\') {
        return expression;
    }
    if (count >= 4 && bytes[1] == '?' && bytes[2] == ':') {
        opening = 3;
    }
    return (struct tsdb_slice){.bytes = bytes + opening, .count = count - opening - 1};
}

static size_t count_bars(struct tsdb_slice expression)
{
    size_t count = 0;

    for (size_t i = 0; i < expression.count; i++) {
        count += expression.bytes[i] == '|';
    }
    return count;
}

/* ---- sorting, and each once ----------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    const struct tsdb_alternative *left = a, *right = b;

    return tsdb_slice_compare(left->text, right->text);
}

/* Heap sort: the C library's takes memory from malloc. */
static void sift_down(struct tsdb_alternative *heap, size_t at, size_t count)
{
    struct tsdb_alternative moved = heap[at];

    for (size_t child = 2 * at + 1; child < count; child = 2 * at + 1) {
        if (child + 1 < count && compare(&heap[child], &heap[child + 1]) < 0) {
            child++;
        }
        if (compare(&moved, &heap[child]) >= 0) {
            break;
        }
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = moved;
}

static void sort_and_unite(struct tsdb_pattern *pattern)
{
    struct tsdb_alternative *all = pattern->alternatives;
    size_t kept = 0;

    for (size_t i = pattern->count / 2; i-- > 0;) {
        sift_down(all, i, pattern->count);
    }
    for (size_t end = pattern->count; end-- > 1;) {
        struct tsdb_alternative largest = all[0];
        all[0] = all[end];
        all[end] = largest;
        sift_down(all, 0, end);
    }
    for (size_t i = 0; i < pattern->count; i++) {
        if (kept == 0 || compare(&all[kept - 1], &all[i]) != 0) {
            all[kept++] = all[i];
        }
    }
    pattern->count = kept;
}

/* ---- beginning and ending ------------------------------------------------------------------- */

static enum quarry_status take_room(struct tsdb_pattern *pattern, const struct tsdb_memory *memory,
                                    size_t alternative_count, size_t byte_count)
{
    *pattern = (struct tsdb_pattern){.memory = memory};
    pattern->alternatives =
        tsdb_memory_take(memory, alternative_count * sizeof(pattern->alternatives[0]));
    pattern->bytes = tsdb_memory_take(memory, byte_count + 1);
    if (pattern->alternatives == NULL || pattern->bytes == NULL) {
        tsdb_pattern_fini(pattern);
        return QUARRY_NO_MEMORY;
    }
    return QUARRY_OK;
}

static bool read_all(struct tsdb_pattern *pattern, struct tsdb_slice expression)
{
    struct reader reader = {
        .at = expression.bytes, .end = expression.bytes + expression.count, .out = pattern->bytes};

    pattern->is_exact = true;
    for (;;) {
        struct tsdb_alternative *alternative = &pattern->alternatives[pattern->count];
        if (!read_alternative(&reader, alternative)) {
            return false;
        }
        pattern->count++;
        pattern->is_exact = pattern->is_exact && alternative->before == TSDB_PATTERN_NOTHING &&
                            alternative->after == TSDB_PATTERN_NOTHING;
        if (reader.at == reader.end) {
            return pattern->is_exact || pattern->count <= TRIED_MAX;
        }
        reader.at++; /* the bar */
    }
}

enum quarry_status tsdb_pattern_init(struct tsdb_pattern *pattern, const struct tsdb_memory *memory,
                                     struct tsdb_slice expression)
{
    struct tsdb_slice inner = without_group(expression);
    enum quarry_status status = take_room(pattern, memory, count_bars(inner) + 1, inner.count);

    if (status != QUARRY_OK) {
        return status;
    }
    if (!read_all(pattern, inner)) {
        tsdb_pattern_fini(pattern);
        return QUARRY_UNSUPPORTED;
    }
    if (pattern->is_exact) {
        sort_and_unite(pattern);
    }
    return QUARRY_OK;
}

enum quarry_status tsdb_pattern_init_text(struct tsdb_pattern *pattern,
                                          const struct tsdb_memory *memory, struct tsdb_slice text)
{
    enum quarry_status status = take_room(pattern, memory, 1, text.count);

    if (status == QUARRY_OK) {
        memcpy(pattern->bytes, text.bytes, text.count);
        pattern->alternatives[0] =
            (struct tsdb_alternative){.text = {.bytes = pattern->bytes, .count = text.count}};
        pattern->count = 1;
        pattern->is_exact = true;
    }
    return status;
}

void tsdb_pattern_fini(struct tsdb_pattern *pattern)
{
    tsdb_memory_give(pattern->memory, pattern->alternatives);
    tsdb_memory_give(pattern->memory, pattern->bytes);
    pattern->alternatives = NULL;
    pattern->bytes = NULL;
    pattern->count = 0;
}

/* ---- matching ------------------------------------------------------------------------------- */

static bool is_exactly_one_of(const struct tsdb_pattern *pattern, struct tsdb_slice text)
{
    size_t low = 0, high = pattern->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = tsdb_slice_compare(pattern->alternatives[middle].text, text);
        if (order == 0) {
            return true;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return false;
}

static bool ends_with(struct tsdb_slice text, struct tsdb_slice end)
{
    return text.count >= end.count && (end.count == 0 || memcmp(text.bytes + text.count - end.count,
                                                                end.bytes, end.count) == 0);
}

static bool begins_with(struct tsdb_slice text, struct tsdb_slice begin)
{
    return text.count >= begin.count &&
           (begin.count == 0 || memcmp(text.bytes, begin.bytes, begin.count) == 0);
}

static bool contains(struct tsdb_slice text, struct tsdb_slice part)
{
    return part.count == 0 || memmem(text.bytes, text.count, part.bytes, part.count) != NULL;
}

static bool matches_one(const struct tsdb_alternative *alternative, struct tsdb_slice text)
{
    size_t before = alternative->before == TSDB_PATTERN_SOMETHING;
    size_t after = alternative->after == TSDB_PATTERN_SOMETHING;

    if (text.count < before + alternative->text.count + after) {
        return false;
    }
    struct tsdb_slice inner = {.bytes = text.bytes + before, .count = text.count - before - after};
    if (alternative->before == TSDB_PATTERN_NOTHING && alternative->after == TSDB_PATTERN_NOTHING) {
        return tsdb_slice_equal(text, alternative->text);
    }
    if (alternative->before == TSDB_PATTERN_NOTHING) {
        return begins_with(inner, alternative->text);
    }
    return alternative->after == TSDB_PATTERN_NOTHING ? ends_with(inner, alternative->text)
                                                      : contains(inner, alternative->text);
}

bool tsdb_pattern_matches(const struct tsdb_pattern *pattern, struct tsdb_slice text)
{
    if (pattern->is_exact) {
        return is_exactly_one_of(pattern, text);
    }
    for (size_t i = 0; i < pattern->count; i++) {
        if (matches_one(&pattern->alternatives[i], text)) {
            return true;
        }
    }
    return false;
}
