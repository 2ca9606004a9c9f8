/*
 * Just enough JSON to check what the program prints.
 */
#ifndef QUARRY_TESTS_CLI_JSON_H
#define QUARRY_TESTS_CLI_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether [text, end) is one JSON value, and nothing but white space around it. */
bool json_is_valid(const char *text, const char *end);

/* The number of the first member with this key in the text. Returns: false when there is none. */
bool json_number(const char *text, const char *key, uint64_t *ret_number);

#endif
