/*
 * A streaming JSON writer. It keeps one bit for each level: whether a comma is due.
 */
#include <cli/json_write.h>

#include <inttypes.h>
#include <math.h>

struct json json_begin(FILE *file)
{
    return (struct json){.file = file};
}

void json_finish(struct json *json)
{
    Q_ASSERT(json->depth == 0);
    fputc('\n', json->file);
}

static void put_string(FILE *file, const char *text)
{
    fputc('"', file);
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\') {
            fputc('\\', file);
        }
        fputc(*text >= ' ' && *text <= '~' ? *text : '?', file);
    }
    fputc('"', file);
}

/* What stands before a value: a comma, and its name in an object. */
static void put_name(struct json *json, const char *name)
{
    if (json->has_item[json->depth]) {
        fputc(',', json->file);
    }
    json->has_item[json->depth] = true;
    if (name != NULL) {
        put_string(json->file, name);
        fputc(':', json->file);
    }
}

static void open_level(struct json *json, const char *name, char bracket)
{
    put_name(json, name);
    fputc(bracket, json->file);
    Q_ASSERT(json->depth + 1 < JSON_DEPTH_MAX);
    json->depth++;
    json->has_item[json->depth] = false;
}

static void close_level(struct json *json, char bracket)
{
    Q_ASSERT(json->depth > 0);
    json->depth--;
    fputc(bracket, json->file);
}

void json_object(struct json *json, const char *name)
{
    open_level(json, name, '{');
}

void json_object_end(struct json *json)
{
    close_level(json, '}');
}

void json_array(struct json *json, const char *name)
{
    open_level(json, name, '[');
}

void json_array_end(struct json *json)
{
    close_level(json, ']');
}

void json_u64(struct json *json, const char *name, uint64_t value)
{
    put_name(json, name);
    fprintf(json->file, "%" PRIu64, value);
}

void json_double(struct json *json, const char *name, double value)
{
    put_name(json, name);
    if (isfinite(value)) {
        fprintf(json->file, "%.6f", value);
    } else {
        fputs("null", json->file);
    }
}

void json_bool(struct json *json, const char *name, bool value)
{
    put_name(json, name);
    fputs(value ? "true" : "false", json->file);
}

void json_string(struct json *json, const char *name, const char *value)
{
    put_name(json, name);
    if (value == NULL) {
        fputs("null", json->file);
    } else {
        put_string(json->file, value);
    }
}

void json_address(struct json *json, const char *name, uint64_t value)
{
    put_name(json, name);
    fprintf(json->file, "\"0x%" PRIx64 "\"", value);
}
