/*
 * Reads one flat JSON object, strictly: for tests that look at what a program prints.
 */
#ifndef QUARRY_TESTS_BENCH_FLAT_JSON_H
#define QUARRY_TESTS_BENCH_FLAT_JSON_H

#include <stdbool.h>
#include <stddef.h>

#define FLAT_JSON_FIELDS_MAX 32u
#define FLAT_JSON_TEXT_BYTES 128u

enum flat_json_kind { FLAT_JSON_TEXT, FLAT_JSON_NUMBER, FLAT_JSON_BOOL, FLAT_JSON_NULL };

struct flat_json_field {
    enum flat_json_kind kind;
    char key[FLAT_JSON_TEXT_BYTES];
    char text[FLAT_JSON_TEXT_BYTES]; /* of a text, with its escapes undone */
    double number;
    bool is_true;
};

struct flat_json {
    size_t field_count;
    struct flat_json_field field[FLAT_JSON_FIELDS_MAX];
};

/*
 * Parses a line that holds one object of texts, numbers, true, false and null, and nothing after it
 * but a newline. Returns: false for anything else, for a key that comes twice, and for what does
 * not fit. Escapes: those of JSON but surrogate pairs.
 */
bool flat_json_parse(const char *line, struct flat_json *ret_object);

/* Returns: the field, or NULL. */
const struct flat_json_field *flat_json_find(const struct flat_json *object, const char *key);
/* The text of a field; NULL when there is none, or it is no text. */
const char *flat_json_text(const struct flat_json *object, const char *key);
/* Whether there is a number of that key; stores it. */
bool flat_json_number(const struct flat_json *object, const char *key, double *ret_number);

#endif
