/*
 * Values as a checker of histories keeps them: their length, a hash, and their bytes while they are
 * few. Values can be joined without their bytes.
 */
#ifndef QUARRY_TESTS_LINEAR_VALUE_H
#define QUARRY_TESTS_LINEAR_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINEAR_HEAD_BYTES 28u

struct linear_value {
    uint64_t hash;
    uint32_t byte_count;
    char head[LINEAR_HEAD_BYTES]; /* all bytes, when so many hold them; else zeros. Zeros behind */
};

/* Of bytes; of pieces one after the other: begin with linear_value_of(NULL, 0). */
struct linear_value linear_value_of(const void *bytes, size_t byte_count);
/* `left` with `right` behind it. Cost: O(log of right's length). */
struct linear_value linear_value_join(const struct linear_value *left,
                                      const struct linear_value *right);
bool linear_value_equals(const struct linear_value *a, const struct linear_value *b);

/* The number that the bytes are in decimal, spaces behind it allowed. Returns: false: they are
 * none. */
bool linear_value_number(const struct linear_value *value, uint64_t *ret_number);
/* A number in decimal. */
struct linear_value linear_value_of_number(uint64_t number);

/*
 * Writes the bytes of the value that `id` stands for; no two bytes of it are alike by design, so
 * that a piece of one value in another shows.
 */
void linear_fill(char *bytes, size_t byte_count, uint64_t id);

#endif
