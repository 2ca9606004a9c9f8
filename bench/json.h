/*
 * One flat JSON object a line, written as it comes.
 */
#ifndef QUARRY_BENCH_JSON_H
#define QUARRY_BENCH_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct bench_json {
    FILE *file; /* borrowed */
    bool has_field;
};

/* Begins the object with what every line has. All texts are borrowed and in UTF-8. */
struct bench_json bench_json_begin(FILE *file, const char *bench, const char *row,
                                   const char *subject);
void bench_json_text(struct bench_json *json, const char *key, const char *value);
void bench_json_integer(struct bench_json *json, const char *key, uint64_t value);
/* Three decimals, six below 1; a value that is no number is written as null. */
void bench_json_number(struct bench_json *json, const char *key, double value);
void bench_json_bool(struct bench_json *json, const char *key, bool value);
/* Ends the line and flushes it, so that a reader at the other end of a pipe sees it now. */
void bench_json_end(struct bench_json *json);

#endif
