/*
 * Keys and values as text. They may be any bytes: hex and base64 keep all of them, what is shown to
 * people keeps a terminal from being written to by strangers.
 */
#include <cli/kv_text.h>

#include <stdlib.h>
#include <string.h>

#include <cli/base64.h>

#define NAME_BYTES 64u

/* ---- bytes ---------------------------------------------------------------------------------- */

void kv_bytes_free(struct kv_bytes *bytes)
{
    free(bytes->bytes);
    *bytes = (struct kv_bytes){0};
}

bool kv_bytes_reserve(struct kv_bytes *bytes, size_t byte_count)
{
    size_t capacity = size_max(bytes->capacity, 64);

    while (capacity < byte_count) {
        if (capacity > SIZE_MAX / 2) {
            return false;
        }
        capacity *= 2;
    }
    if (capacity == bytes->capacity) {
        return true;
    }
    char *moved = realloc(bytes->bytes, capacity);
    if (moved == NULL) {
        return false;
    }
    bytes->bytes = moved;
    bytes->capacity = capacity;
    return true;
}

bool kv_bytes_add(struct kv_bytes *bytes, const void *from, size_t byte_count)
{
    if (byte_count > SIZE_MAX - bytes->byte_count ||
        !kv_bytes_reserve(bytes, bytes->byte_count + byte_count)) {
        return false;
    }
    if (byte_count > 0) {
        memcpy(bytes->bytes + bytes->byte_count, from, byte_count);
    }
    bytes->byte_count += byte_count;
    return true;
}

bool kv_bytes_set(struct kv_bytes *bytes, const void *from, size_t byte_count)
{
    bytes->byte_count = 0;
    return kv_bytes_add(bytes, from, byte_count);
}

int kv_slice_compare(struct quarry_kv_slice one, struct quarry_kv_slice other)
{
    size_t count = size_min(one.byte_count, other.byte_count);
    int order = count == 0 ? 0 : memcmp(one.bytes, other.bytes, count);

    return order != 0 ? order
                      : (one.byte_count > other.byte_count) - (one.byte_count < other.byte_count);
}

/* ---- reading -------------------------------------------------------------------------------- */

/* Of a hex digit; -1: it is none. */
static int digit_of(char character)
{
    if (character >= '0' && character <= '9') {
        return character - '0';
    }
    char lower = (char)(character | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

static bool read_hex(const char *text, size_t length, char *to)
{
    for (size_t i = 0; i < length; i += 2) {
        int high = digit_of(text[i]), low = digit_of(text[i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        to[i / 2] = (char)(high << 4 | low);
    }
    return true;
}

enum kv_text_fault kv_text_read(const char *text, size_t length, bool is_hex,
                                struct kv_bytes *ret_bytes)
{
    if (!is_hex) {
        return kv_bytes_set(ret_bytes, text, length) ? KV_TEXT_FINE : KV_TEXT_NO_MEMORY;
    }
    if (length >= 2 && text[0] == '0' && (text[1] | 0x20) == 'x') {
        text += 2;
        length -= 2;
    }
    if (length % 2 != 0) {
        return KV_TEXT_NOT_HEX;
    }
    if (!kv_bytes_reserve(ret_bytes, length / 2)) {
        return KV_TEXT_NO_MEMORY;
    }
    ret_bytes->byte_count = length / 2;
    return read_hex(text, length, ret_bytes->bytes) ? KV_TEXT_FINE : KV_TEXT_NOT_HEX;
}

bool kv_text_line(FILE *file, char **line, size_t *capacity, size_t *ret_length)
{
    ssize_t length = getline(line, capacity, file);

    if (length < 0) {
        return false;
    }
    *ret_length = (size_t)length - (length > 0 && (*line)[length - 1] == '\n');
    return true;
}

/* ---- writing -------------------------------------------------------------------------------- */

static bool is_printable(struct quarry_kv_slice bytes)
{
    const char *at = bytes.bytes;

    for (size_t i = 0; i < bytes.byte_count; i++) {
        if (at[i] < ' ' || at[i] > '~') {
            return false;
        }
    }
    return true;
}

void kv_text_hex(FILE *file, struct quarry_kv_slice bytes)
{
    static const char digits[] = "0123456789ABCDEF";
    const uint8_t *at = bytes.bytes;

    fputs("0x", file);
    for (size_t i = 0; i < bytes.byte_count; i++) {
        putc_unlocked(digits[at[i] >> 4], file);
        putc_unlocked(digits[at[i] & 15], file);
    }
}

void kv_text_shown(FILE *file, struct quarry_kv_slice bytes)
{
    const uint8_t *at = bytes.bytes;

    for (size_t i = 0; i < bytes.byte_count; i++) {
        if (at[i] == '\\') {
            fputs("\\\\", file);
        } else if (at[i] >= ' ' && at[i] <= '~') {
            putc_unlocked(at[i], file);
        } else {
            fprintf(file, "\\x%02x", at[i]);
        }
    }
}

void kv_text_write(FILE *file, struct quarry_kv_slice bytes, bool is_hex)
{
    if (is_hex) {
        kv_text_hex(file, bytes);
    } else if (bytes.byte_count > 0) {
        (void)fwrite(bytes.bytes, 1, bytes.byte_count, file);
    }
}

void kv_text_json(struct json *json, const char *name, struct quarry_kv_slice bytes)
{
    bool is_text = is_printable(bytes);
    size_t room = is_text ? bytes.byte_count + 1 : BASE64_BYTES(bytes.byte_count);
    char *text = malloc(room), full_name[NAME_BYTES];

    if (text == NULL) {
        json_string(json, name, NULL);
        return;
    }
    if (is_text) {
        memcpy(text, bytes.bytes, bytes.byte_count);
        text[bytes.byte_count] = '\0';
    } else {
        base64_encode(bytes.bytes, bytes.byte_count, text);
    }
    int length = snprintf(full_name, sizeof full_name, "%s%s", name, is_text ? "" : "_base64");
    Q_ASSERT(length > 0 && (size_t)length < sizeof full_name);
    json_string(json, full_name, text);
    free(text);
}
