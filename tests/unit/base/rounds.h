/*
 * How often a test goes round: fewer times under a sanitizer, which makes each cost several times
 * as much.
 *
 * For what is repeated with other random numbers only. Every branch is reached by the fewer rounds
 * as well.
 */
#ifndef QUARRY_TESTS_UNIT_BASE_ROUNDS_H
#define QUARRY_TESTS_UNIT_BASE_ROUNDS_H

#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) ||                               \
    __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define ROUNDS(plain, sanitized) (sanitized)
#else
#define ROUNDS(plain, sanitized) (plain)
#endif

#endif
