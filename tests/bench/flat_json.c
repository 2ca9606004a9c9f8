/*
 * A strict reader of flat JSON, by recursive descent without the recursion: nothing nests.
 *
 * It is written against the grammar and not against the writer, so that it refuses what the writer
 * might get wrong: a comma too many, a bare control character, "nan", a number that begins with 0.
 */
#include "bench/flat_json.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static const char *skip_space(const char *at)
{
    return at + strspn(at, " \t\r\n");
}

/* The byte that an escape of one letter stands for, or 0. */
static char unescape(char letter)
{
    static const char letters[] = "\"\\/bfnrt";
    static const char bytes[] = "\"\\/\b\f\n\r\t";
    const char *found = letter == '\0' ? NULL : strchr(letters, letter);

    return found == NULL ? '\0' : bytes[found - letters];
}

/* Reads "\uXXXX" below 0x80; others are refused: nothing here has a reason to write them. */
static const char *read_unicode(const char *at, char *ret_byte)
{
    unsigned value = 0;

    for (int i = 0; i < 4; i++, at++) {
        if (!isxdigit((unsigned char)*at)) {
            return NULL;
        }
        int digit =
            isdigit((unsigned char)*at) ? *at - '0' : tolower((unsigned char)*at) - 'a' + 10;
        value = value * 16 + (unsigned)digit;
    }
    *ret_byte = (char)value;
    return value < 0x80 ? at : NULL;
}

/* Reads a text with its quotes. Returns: where it ends, or NULL. */
static const char *read_text(const char *at, char text[FLAT_JSON_TEXT_BYTES])
{
    size_t used = 0;

    if (*at++ != '"') {
        return NULL;
    }
    while (*at != '"') {
        char byte = *at++;
        if ((unsigned char)byte < 0x20 || used + 1 >= FLAT_JSON_TEXT_BYTES) {
            return NULL;
        }
        if (byte == '\\' && *at == 'u') {
            at = read_unicode(at + 1, &byte);
            if (at == NULL) {
                return NULL;
            }
        } else if (byte == '\\') {
            byte = unescape(*at++);
            if (byte == '\0') {
                return NULL;
            }
        }
        text[used++] = byte;
    }
    text[used] = '\0';
    return at + 1;
}

static const char *skip_digits(const char *at)
{
    return at + strspn(at, "0123456789");
}

static const char *read_number(const char *at, double *ret_number)
{
    const char *begin = at;
    const char *digits = *at == '-' ? at + 1 : at;

    at = skip_digits(digits);
    if (at == digits || (*digits == '0' && at > digits + 1)) {
        return NULL;
    }
    if (*at == '.') {
        const char *fraction = at + 1;
        at = skip_digits(fraction);
        if (at == fraction) {
            return NULL;
        }
    }
    *ret_number = strtod(begin, NULL);
    return at;
}

static const char *read_word(const char *at, struct flat_json_field *field)
{
    static const char *const words[] = {"true", "false", "null"};

    for (size_t i = 0; i < 3; i++) {
        if (strncmp(at, words[i], strlen(words[i])) == 0) {
            field->kind = i < 2 ? FLAT_JSON_BOOL : FLAT_JSON_NULL;
            field->is_true = i == 0;
            return at + strlen(words[i]);
        }
    }
    return NULL;
}

static const char *read_value(const char *at, struct flat_json_field *field)
{
    if (*at == '"') {
        field->kind = FLAT_JSON_TEXT;
        return read_text(at, field->text);
    }
    if (*at == '-' || isdigit((unsigned char)*at)) {
        field->kind = FLAT_JSON_NUMBER;
        return read_number(at, &field->number);
    }
    return read_word(at, field);
}

static const char *read_field(const char *at, struct flat_json *object)
{
    struct flat_json_field *field = &object->field[object->field_count];

    if (object->field_count == FLAT_JSON_FIELDS_MAX) {
        return NULL;
    }
    at = read_text(at, field->key);
    if (at == NULL || flat_json_find(object, field->key) != NULL) {
        return NULL;
    }
    at = skip_space(at);
    if (*at != ':') {
        return NULL;
    }
    at = read_value(skip_space(at + 1), field);
    object->field_count++;
    return at;
}

bool flat_json_parse(const char *line, struct flat_json *ret_object)
{
    const char *at = skip_space(line);

    memset(ret_object, 0, sizeof *ret_object);
    if (*at != '{') {
        return false;
    }
    do {
        at = read_field(skip_space(at + 1), ret_object);
        if (at == NULL) {
            return false;
        }
        at = skip_space(at);
    } while (*at == ',');
    return *at == '}' && *skip_space(at + 1) == '\0';
}

const struct flat_json_field *flat_json_find(const struct flat_json *object, const char *key)
{
    for (size_t i = 0; i < object->field_count; i++) {
        if (strcmp(object->field[i].key, key) == 0) {
            return &object->field[i];
        }
    }
    return NULL;
}

const char *flat_json_text(const struct flat_json *object, const char *key)
{
    const struct flat_json_field *field = flat_json_find(object, key);

    return field == NULL || field->kind != FLAT_JSON_TEXT ? NULL : field->text;
}

bool flat_json_number(const struct flat_json *object, const char *key, double *ret_number)
{
    const struct flat_json_field *field = flat_json_find(object, key);

    if (field == NULL || field->kind != FLAT_JSON_NUMBER) {
        return false;
    }
    *ret_number = field->number;
    return true;
}
