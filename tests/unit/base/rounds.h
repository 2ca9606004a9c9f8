/*
 * How often a test goes round: fewer times under a sanitizer, which makes each cost several times
 * as much.
 *
 * For what is repeated with other random numbers only. Every branch is reached by the fewer rounds
 * as well.
 */
#ifndef QUARRY_TESTS_UNIT_BASE_ROUNDS_H
#define QUARRY_TESTS_UNIT_BASE_ROUNDS_H

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define ROUNDS(plain, sanitized) (sanitized)
#else
#define ROUNDS(plain, sanitized) (plain)
#endif

#endif
