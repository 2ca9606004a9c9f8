/*
 * Doubles as text, as Prometheus' formats have them: read by the rules of Go's ParseFloat, written
 * with the fewest digits that give the same double again.
 */
#ifndef QUARRY_TSDB_NUMBER_H
#define QUARRY_TSDB_NUMBER_H

#include <tsdb/types.h>

/* The NaN that Prometheus stores where a text says NaN. */
#define TSDB_NAN_BITS UINT64_C(0x7ff8000000000001)

/* What tsdb_number_write may write: a sign, 17 digits, a point, an exponent, ".0". */
#define TSDB_NUMBER_BYTES_MAX 32u

/*
 * Reads a number: decimal, with or without point and exponent; Inf, Infinity and NaN in any case,
 * infinity with a sign or without.
 *
 * `text`: borrowed; all of it is the number.
 * `ret_bits`: the double nearest to it; of NaN TSDB_NAN_BITS.
 * Returns: false: it is none (blanks, hexadecimal, underscores, a sign before NaN), or it is too
 * large for a double. One too small becomes 0.
 * Threads: any. Cost: of up to 15 digits without an exponent some 10 instructions a digit.
 */
bool tsdb_number_read(struct tsdb_slice text, uint64_t *ret_bits);

/*
 * Writes a number as Go's FormatFloat(…, 'g', -1, 64): "0.25", "1e+06", "+Inf", "NaN".
 *
 * `room`: borrowed, TSDB_NUMBER_BYTES_MAX bytes; no NUL is written.
 * Returns: the bytes written, from 1. Threads: any. Cost: some 300 instructions; of whole numbers
 * below 10⁶ some 40.
 */
size_t tsdb_number_write(uint64_t bits, char *room);
/* As tsdb_number_write; a whole number has ".0" at its end, as OpenMetrics wants it: "1.0". */
size_t tsdb_number_write_openmetrics(uint64_t bits, char *room);

#endif
