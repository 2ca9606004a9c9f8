/*
 * Doubles as Go writes them, in the manners that texts of queries need.
 */
#ifndef QUARRY_PROMQL_NUMBER_H
#define QUARRY_PROMQL_NUMBER_H

#include <base/base.h>

/* All of them with the fewest digits that give the same double again. */
enum promql_number_form {
    PROMQL_NUMBER_G,     /* %g, %v: with an exponent below 10^-4 and from 10^6 on */
    PROMQL_NUMBER_PLAIN, /* %f: without an exponent */
    PROMQL_NUMBER_JSON,  /* as answers have it: with one below 10^-6 and from 10^21 on */
};

/* The most that any of them writes: a sign, 309 digits or "0." and 341. */
#define PROMQL_NUMBER_BYTES_MAX 352u

/*
 * Writes a number. `room`: borrowed, PROMQL_NUMBER_BYTES_MAX bytes; no NUL is written.
 * Returns: the bytes written, from 1: "NaN", "+Inf", "-Inf" among them. Threads: any.
 * Cost: some 300 instructions.
 */
size_t promql_number_write(double value, enum promql_number_form form, char *room);

/* The digits of a 64-bit number. */
#define PROMQL_WHOLE_BYTES_MAX 20u
/* The same of a whole number. `room`: PROMQL_WHOLE_BYTES_MAX bytes. Cost: some 30 instructions. */
size_t promql_number_write_whole(uint64_t number, char *room);

#endif
