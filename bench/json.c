/*
 * Writing flat JSON.
 *
 * Keys are our own and need no escaping; values may come from /proc/cpuinfo or from dpkg, and do.
 * Nothing is kept, so a benchmark that is interrupted leaves whole lines behind.
 */
#include <bench/json.h>

#include <inttypes.h>
#include <math.h>

static void write_string(FILE *file, const char *text)
{
    (void)fputc('"', file);
    for (const char *at = text; *at != '\0'; at++) {
        unsigned char byte = (unsigned char)*at;
        if (byte == '"' || byte == '\\') {
            (void)fprintf(file, "\\%c", byte);
        } else if (byte < 0x20) {
            (void)fprintf(file, "\\u%04x", byte);
        } else {
            (void)fputc(byte, file);
        }
    }
    (void)fputc('"', file);
}

static void write_key(struct bench_json *json, const char *key)
{
    (void)fprintf(json->file, "%s\"%s\":", json->has_field ? "," : "{", key);
    json->has_field = true;
}

struct bench_json bench_json_begin(FILE *file, const char *bench, const char *row,
                                   const char *subject)
{
    struct bench_json json = {.file = file};

    bench_json_text(&json, "bench", bench);
    bench_json_text(&json, "row", row);
    bench_json_text(&json, "subject", subject);
    return json;
}

void bench_json_text(struct bench_json *json, const char *key, const char *value)
{
    write_key(json, key);
    write_string(json->file, value);
}

void bench_json_integer(struct bench_json *json, const char *key, uint64_t value)
{
    write_key(json, key);
    (void)fprintf(json->file, "%" PRIu64, value);
}

void bench_json_number(struct bench_json *json, const char *key, double value)
{
    write_key(json, key);
    if (isfinite(value)) {
        (void)fprintf(json->file, "%.*f", fabs(value) < 1 ? 6 : 3, value);
    } else {
        (void)fputs("null", json->file);
    }
}

void bench_json_bool(struct bench_json *json, const char *key, bool value)
{
    write_key(json, key);
    (void)fputs(value ? "true" : "false", json->file);
}

void bench_json_end(struct bench_json *json)
{
    (void)fputs("}\n", json->file);
    (void)fflush(json->file);
}
