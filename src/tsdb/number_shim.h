/*
 * double-conversion's two hard parts, callable from C.
 */
#ifndef QUARRY_TSDB_NUMBER_SHIM_H
#define QUARRY_TSDB_NUMBER_SHIM_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The most digits that a double needs. */
#define NUMBER_DIGITS_MAX 17

/*
 * The fewest digits that make `value`, which is finite and above 0: 0.digits × 10^point.
 * `room`: NUMBER_DIGITS_MAX + 1 bytes. Returns: how many digits, from 1.
 */
int number_shim_digits(double value, char *room, int *ret_point);

/* The double nearest to a decimal number without sign. Returns: false: `text` is none. */
bool number_shim_read(const char *text, size_t byte_count, double *ret_value);

#ifdef __cplusplus
}
#endif

#endif
