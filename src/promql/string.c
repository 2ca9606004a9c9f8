/*
 * A text that grows. Its old room is lost to the memory when it moves: all of it together is not
 * more than the text.
 */
#include <promql/string.h>

#include <stdio.h>
#include <string.h>

#define ROOM_FIRST ((size_t)64)

static bool make_room(struct promql_string *string, size_t more)
{
    if (more <= string->room - string->count) {
        return true;
    }
    if (more > SIZE_MAX / 4 || string->room > SIZE_MAX / 4) {
        string->memory->is_refused = true;
        return false;
    }
    const size_t twice = string->room == 0 ? ROOM_FIRST : string->room * 2;
    const size_t room = twice - string->count < more ? string->count + more : twice;
    char *bytes = promql_memory_take(string->memory, room);
    if (bytes == NULL) {
        return false;
    }
    if (string->count > 0) {
        memcpy(bytes, string->bytes, string->count);
    }
    string->bytes = bytes;
    string->room = room;
    return true;
}

void promql_string_bytes(struct promql_string *string, const char *bytes, size_t count)
{
    if (count > 0 && make_room(string, count)) {
        memcpy(string->bytes + string->count, bytes, count);
        string->count += count;
    }
}

void promql_string_text(struct promql_string *string, const char *text)
{
    promql_string_bytes(string, text, strlen(text));
}

void promql_string_number(struct promql_string *string, double value, enum promql_number_form form)
{
    char room[PROMQL_NUMBER_BYTES_MAX];

    promql_string_bytes(string, room, promql_number_write(value, form, room));
}

void promql_string_whole(struct promql_string *string, int64_t value)
{
    char room[24];

    promql_string_bytes(string, room,
                        (size_t)snprintf(room, sizeof room, "%lld", (long long)value));
}

/* ---- quoting -------------------------------------------------------------------------------- */

/* The bytes of the UTF-8 character that a text begins with; 0: it begins with none. */
static size_t character_bytes(const unsigned char *at, size_t left)
{
    const size_t count = at[0] >= 0xf0 && at[0] <= 0xf4   ? 4
                         : at[0] >= 0xe0 && at[0] <= 0xef ? 3
                         : at[0] >= 0xc2 && at[0] <= 0xdf ? 2
                                                          : 0;

    if (count == 0 || count > left) {
        return 0;
    }
    for (size_t i = 1; i < count; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    const bool is_long = (at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xf0 && at[1] < 0x90);
    const bool is_surrogate = at[0] == 0xed && at[1] >= 0xa0;
    const bool is_beyond = at[0] == 0xf4 && at[1] >= 0x90;
    return is_long || is_surrogate || is_beyond ? 0 : count;
}

static void quote_byte(struct promql_string *string, unsigned char byte)
{
    static const char letters[] = "abtnvfr"; /* of 7 to 13 */
    char text[8];

    if (byte == '"' || byte == '\\') {
        text[0] = '\\';
        text[1] = (char)byte;
        promql_string_bytes(string, text, 2);
    } else if (byte >= 7 && byte <= 13) {
        text[0] = '\\';
        text[1] = letters[byte - 7];
        promql_string_bytes(string, text, 2);
    } else if (byte < ' ' || byte >= 0x7f) {
        promql_string_bytes(string, text, (size_t)snprintf(text, sizeof text, "\\x%02x", byte));
    } else {
        promql_string_bytes(string, (const char *)&byte, 1);
    }
}

void promql_string_quoted(struct promql_string *string, struct quarry_tsdb_slice text)
{
    const unsigned char *bytes = (const unsigned char *)text.bytes;

    promql_string_bytes(string, "\"", 1);
    for (size_t i = 0; i < text.count;) {
        const size_t count = character_bytes(bytes + i, text.count - i);
        if (count == 0) {
            quote_byte(string, bytes[i++]);
            continue;
        }
        promql_string_bytes(string, text.bytes + i, count);
        i += count;
    }
    promql_string_bytes(string, "\"", 1);
}

bool promql_string_finish(struct promql_string *string, struct quarry_tsdb_slice *ret_text)
{
    promql_string_bytes(string, "", 1);
    if (string->memory->is_refused) {
        return false;
    }
    *ret_text = (struct quarry_tsdb_slice){.bytes = string->bytes, .count = string->count - 1};
    return true;
}
