/*
 * Text as Go's strconv has it.
 *
 * Prometheus' answers, errors and expressions are written by Go's library, and are to be the same
 * here byte for byte. What is printable is Go's unicode.IsPrint but for unassigned characters,
 * which are taken for printable.
 *
 * Writers never fail by themselves: a text for which there was no memory is short, and the memory
 * says so (is_refused), so that one look at the end of many writes is enough.
 */
#include <promql/text.h>

#include <tsdb/number.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define WRITER_BYTES_FIRST ((size_t)128)

static bool make_room(struct promql_writer *writer, size_t more)
{
    size_t capacity = writer->capacity == 0 ? WRITER_BYTES_FIRST : writer->capacity;

    if (more >= SIZE_MAX / 4 - writer->count) {
        writer->memory->is_refused = true;
        return false;
    }
    while (capacity < writer->count + more + 1) {
        capacity *= 2;
    }
    if (capacity == writer->capacity) {
        return true;
    }
    char *bytes = promql_memory_take(writer->memory, capacity);
    if (bytes == NULL) {
        return false;
    }
    if (writer->count > 0) {
        memcpy(bytes, writer->bytes, writer->count);
    }
    writer->bytes = bytes;
    writer->capacity = capacity;
    return true;
}

void promql_write(struct promql_writer *writer, const char *bytes, size_t count)
{
    if (!make_room(writer, count)) {
        return;
    }
    if (count > 0) {
        memcpy(writer->bytes + writer->count, bytes, count);
    }
    writer->count += count;
    writer->bytes[writer->count] = '\0';
}

void promql_write_text(struct promql_writer *writer, const char *text)
{
    promql_write(writer, text, strlen(text));
}

void promql_write_char(struct promql_writer *writer, char character)
{
    promql_write(writer, &character, 1);
}

bool promql_write_finish(struct promql_writer *writer, struct quarry_tsdb_slice *ret_text)
{
    promql_write(writer, "", 0);
    *ret_text = (struct quarry_tsdb_slice){.bytes = writer->bytes, .count = writer->count};
    return !writer->memory->is_refused;
}

void promql_write_format(struct promql_writer *writer, const char *format, ...)
{
    char text[256];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    promql_write_text(writer, text);
}

/* ---- characters ----------------------------------------------------------------------------- */

static bool is_continuation(const char *bytes, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        if (((unsigned char)bytes[i] & 0xc0u) != 0x80u) {
            return false;
        }
    }
    return true;
}

size_t promql_rune(const char *bytes, size_t count, uint32_t *ret_rune)
{
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char first = (unsigned char)bytes[0];
    size_t length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;

    *ret_rune = UINT32_MAX;
    if (length == 0 || first > 0xf4 || length > count || !is_continuation(bytes, 1, length)) {
        return 1;
    }
    uint32_t rune = length == 1 ? first : first & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        rune = rune << 6 | ((unsigned char)bytes[i] & 0x3fu);
    }
    if (rune < least[length] || rune > 0x10ffff || (rune >= 0xd800 && rune < 0xe000)) {
        return 1;
    }
    *ret_rune = rune;
    return length;
}

/* Ranges beyond ASCII that Go does not print. */
static bool is_printable(uint32_t rune)
{
    static const uint32_t hidden[][2] = {
        {0x7f, 0xa0},     {0xad, 0xad},     {0x34f, 0x34f},     {0x61c, 0x61c},
        {0x1680, 0x1680}, {0x180e, 0x180e}, {0x2000, 0x200f},   {0x2028, 0x202f},
        {0x205f, 0x206f}, {0x3000, 0x3000}, {0xd800, 0xf8ff},   {0xfeff, 0xfeff},
        {0xfff0, 0xfffb}, {0xfffe, 0xffff}, {0xe0000, 0xe0fff}, {0xf0000, UINT32_MAX}};

    if (rune < 0x20) {
        return false;
    }
    for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++) {
        if (rune >= hidden[i][0] && rune <= hidden[i][1]) {
            return rune == 0x34f; /* a mark, which is printed */
        }
    }
    return true;
}

/* Writes a character as it stands between quotes of one kind. Returns: its bytes, at most 10. */
static size_t escape(char room[11], uint32_t rune, char quote)
{
    static const char letters[] = "abtnvfr"; /* of 7 to 13 */

    if (rune == (unsigned char)quote || rune == '\\') {
        return (size_t)snprintf(room, 11, "\\%c", (char)rune);
    }
    if (rune >= 7 && rune <= 13) {
        return (size_t)snprintf(room, 11, "\\%c", letters[rune - 7]);
    }
    return (size_t)snprintf(room, 11,
                            rune < 0x20 || rune == 0x7f ? "\\x%02x"
                            : rune < 0x10000            ? "\\u%04x"
                                                        : "\\U%08x",
                            rune);
}

/* The next character between quotes, as Go writes it. Returns: the bytes of text that it took. */
static size_t quote_next(const char *text, size_t count, char room[11], size_t *ret_written)
{
    uint32_t rune;
    size_t taken = promql_rune(text, count, &rune);

    if (rune == UINT32_MAX) {
        *ret_written = (size_t)snprintf(room, 11, "\\x%02x", (unsigned char)text[0]);
    } else if (rune == '"' || rune == '\\' || !is_printable(rune)) {
        *ret_written = escape(room, rune, '"');
    } else {
        memcpy(room, text, taken);
        *ret_written = taken;
    }
    return taken;
}

void promql_write_quoted(struct promql_writer *writer, struct quarry_tsdb_slice text)
{
    promql_write_char(writer, '"');
    for (size_t i = 0; i < text.count;) {
        char room[11];
        size_t written;

        i += quote_next(text.bytes + i, text.count - i, room, &written);
        promql_write(writer, room, written);
    }
    promql_write_char(writer, '"');
}

const char *promql_quote(struct promql_quoted *room, struct quarry_tsdb_slice text)
{
    size_t used = 0;

    room->text[used++] = '"';
    for (size_t i = 0; i < text.count;) {
        char piece[11];
        size_t written;

        i += quote_next(text.bytes + i, text.count - i, piece, &written);
        if (used + written + 5 > sizeof(room->text)) {
            memcpy(room->text + used, "...", 3);
            used += 3;
            break;
        }
        memcpy(room->text + used, piece, written);
        used += written;
    }
    memcpy(room->text + used, "\"", 2);
    return room->text;
}

static size_t encode(char room[5], uint32_t rune)
{
    if (rune < 0x80) {
        room[0] = (char)rune;
        return 1;
    }
    size_t length = rune < 0x800 ? 2 : rune < 0x10000 ? 3 : 4;
    for (size_t i = length; i-- > 1;) {
        room[i] = (char)(0x80u | (rune & 0x3fu));
        rune >>= 6;
    }
    room[0] = (char)((0xf00u >> length & 0xffu) | rune);
    return length;
}

const char *promql_quote_rune(struct promql_quoted *room, uint32_t rune)
{
    uint32_t shown = rune > 0x10ffff ? 0xfffd : rune;
    char piece[11];
    size_t written = shown == '\'' || shown == '\\' || !is_printable(shown)
                         ? escape(piece, shown, '\'')
                         : encode(piece, shown);

    snprintf(room->text, sizeof(room->text), "'%.*s'", (int)written, piece);
    return room->text;
}

static uint32_t digit_of(char character)
{
    return character <= '9'   ? (uint32_t)(character - '0')
           : character <= 'F' ? (uint32_t)(character - 'A') + 10
                              : (uint32_t)(character - 'a') + 10;
}

/* What follows a backslash. Returns: the bytes it took of `text`. */
static size_t unescape(const char *text, char *room, size_t *ret_written)
{
    static const char letters[] = "abtnvfr";
    const char *letter = text[0] == '\0' ? NULL : strchr(letters, text[0]);
    size_t digits = text[0] == 'x' ? 2 : text[0] == 'u' ? 4 : text[0] == 'U' ? 8 : 0;
    size_t skipped = 1;
    uint32_t base = 16, rune = 0;

    *ret_written = 1;
    if (letter != NULL) {
        room[0] = (char)(7 + (letter - letters));
        return 1;
    }
    if (text[0] >= '0' && text[0] <= '7') {
        digits = 3;
        base = 8;
        skipped = 0;
    } else if (digits == 0) {
        room[0] = text[0]; /* a quote, a backslash */
        return 1;
    }
    for (size_t i = 0; i < digits; i++) {
        rune = rune * base + digit_of(text[skipped + i]);
    }
    if (digits <= 3) {
        room[0] = (char)rune; /* a byte, not a character */
    } else {
        *ret_written = encode(room, rune);
    }
    return skipped + digits;
}

struct quarry_tsdb_slice promql_unquote(struct promql_memory *memory,
                                        struct quarry_tsdb_slice quoted)
{
    const char *text = quoted.bytes + 1;
    const size_t count = quoted.count - 2;
    char *bytes = promql_memory_take(memory, count + 1);
    size_t used = 0;

    Q_ASSERT(quoted.count >= 2);
    if (bytes == NULL) {
        return (struct quarry_tsdb_slice){.bytes = NULL};
    }
    for (size_t i = 0; i < count;) {
        size_t written;

        if (quoted.bytes[0] != '`' && text[i] == '\\') {
            i += 1 + unescape(text + i + 1, bytes + used, &written);
            used += written;
        } else if (quoted.bytes[0] == '`' && text[i] == '\r') {
            i++; /* Go's raw strings have none */
        } else {
            bytes[used++] = text[i++];
        }
    }
    Q_ASSERT(used <= count);
    bytes[used] = '\0';
    return (struct quarry_tsdb_slice){.bytes = bytes, .count = used};
}

/* ---- numbers -------------------------------------------------------------------------------- */

void promql_write_double(struct promql_writer *writer, double value, enum promql_number_form form)
{
    char room[PROMQL_NUMBER_BYTES_MAX];

    promql_write(writer, room, promql_number_write(value, form, room));
}

static int value_of(char digit)
{
    return digit >= '0' && digit <= '9'   ? digit - '0'
           : digit >= 'a' && digit <= 'f' ? digit - 'a' + 10
           : digit >= 'A' && digit <= 'F' ? digit - 'A' + 10
                                          : 99;
}

/* An integer of 63 bits. Returns: false: it is none of this base, or larger. */
static bool read_integer(const char *digits, size_t count, int base, double *ret_value)
{
    uint64_t value = 0;

    for (size_t i = 0; i < count; i++) {
        int digit = value_of(digits[i]);
        if (digit >= base || __builtin_mul_overflow(value, (uint64_t)base, &value) ||
            __builtin_add_overflow(value, (uint64_t)digit, &value) || value > INT64_MAX) {
            return false;
        }
    }
    *ret_value = (double)(int64_t)value;
    return count > 0;
}

bool promql_read_number(struct quarry_tsdb_slice text, double *ret_value)
{
    char digits[1024];
    size_t count = 0;
    uint64_t bits;

    for (size_t i = 0; i < text.count; i++) {
        if (text.bytes[i] != '_') {
            if (count == sizeof(digits)) {
                return false;
            }
            digits[count++] = text.bytes[i];
        }
    }
    if (count > 2 && digits[0] == '0' && (digits[1] | 0x20) == 'x') {
        return read_integer(digits + 2, count - 2, 16, ret_value);
    }
    if (count > 1 && digits[0] == '0' && read_integer(digits + 1, count - 1, 8, ret_value)) {
        return true;
    }
    if (!tsdb_number_read((struct tsdb_slice){.bytes = digits, .count = count}, &bits)) {
        return false;
    }
    memcpy(ret_value, &bits, sizeof(bits));
    return true;
}

/* ---- durations ------------------------------------------------------------------------------ */

static const struct {
    const char *name;
    int64_t ms;
    bool is_exact; /* written only where nothing is left below it */
} units[] = {{"y", 365 * INT64_C(86400000), true},
             {"w", 7 * INT64_C(86400000), true},
             {"d", INT64_C(86400000), false},
             {"h", 3600000, false},
             {"m", 60000, false},
             {"s", 1000, false},
             {"ms", 1, false}};
#define UNIT_COUNT (sizeof(units) / sizeof(units[0]))

void promql_write_duration(struct promql_writer *writer, int64_t duration_ms)
{
    uint64_t left = duration_ms < 0 ? 0 - (uint64_t)duration_ms : (uint64_t)duration_ms;

    if (duration_ms < 0) {
        promql_write_char(writer, '-');
    }
    if (left == 0) {
        promql_write_text(writer, "0s");
    }
    for (size_t i = 0; i < UNIT_COUNT; i++) {
        uint64_t unit_ms = (uint64_t)units[i].ms;
        if (left / unit_ms > 0 && (!units[i].is_exact || left % unit_ms == 0)) {
            promql_write_format(writer, "%llu%s", (unsigned long long)(left / unit_ms),
                                units[i].name);
            left %= unit_ms;
        }
    }
}

/* A count and a unit at *at, a unit after `after`. Returns: the unit; UNIT_COUNT: there is none. */
static size_t read_unit(struct quarry_tsdb_slice text, size_t *at, size_t after, uint64_t *ret)
{
    size_t i = *at, unit;
    uint64_t count = 0;

    while (i < text.count && text.bytes[i] >= '0' && text.bytes[i] <= '9') {
        count = count > UINT64_MAX / 20 ? UINT64_MAX / 20
                                        : count * 10 + (uint64_t)(text.bytes[i] - '0');
        i++;
    }
    size_t begin = i;
    while (i < text.count && text.bytes[i] >= 'a' && text.bytes[i] <= 'z') {
        i++;
    }
    for (unit = after; unit < UNIT_COUNT; unit++) {
        if (begin > *at && strlen(units[unit].name) == i - begin &&
            memcmp(units[unit].name, text.bytes + begin, i - begin) == 0) {
            break;
        }
    }
    *at = i;
    *ret = count;
    return unit;
}

enum promql_duration_fault promql_read_duration(struct quarry_tsdb_slice text, int64_t *ret_ms)
{
    const uint64_t most_ms = INT64_MAX / 1000000;
    uint64_t sum = 0;
    bool is_large = false;

    if (text.count == 0) {
        return PROMQL_DURATION_EMPTY;
    }
    if (text.count == 1 && text.bytes[0] == '0') {
        *ret_ms = 0;
        return PROMQL_DURATION_OK;
    }
    for (size_t at = 0, unit = 0; at < text.count; unit++) {
        uint64_t count, part;

        unit = read_unit(text, &at, unit, &count);
        if (unit == UNIT_COUNT) {
            return PROMQL_DURATION_INVALID;
        }
        is_large |= __builtin_mul_overflow(count, (uint64_t)units[unit].ms, &part) ||
                    __builtin_add_overflow(sum, part, &sum) || sum > most_ms;
    }
    *ret_ms = (int64_t)sum;
    return is_large ? PROMQL_DURATION_RANGE : PROMQL_DURATION_OK;
}
