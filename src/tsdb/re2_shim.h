/*
 * RE2, behind functions of C: the one place where C++ is.
 *
 * Expressions are matched against whole texts, with dots that match newlines, as Prometheus does
 * it: "^(?s:expression)$".
 */
#ifndef QUARRY_TSDB_RE2_SHIM_H
#define QUARRY_TSDB_RE2_SHIM_H

#include <stdbool.h>
#include <stddef.h>

#include <quarry/status.h>

#ifdef __cplusplus
extern "C" {
#endif

struct tsdb_re2;

/*
 * Compiles an expression of `byte_count` bytes of UTF-8.
 *
 * `memory_bytes`: what program and caches may take together, from malloc.
 * `ret_re2`: own; end it with tsdb_re2_free. `ret_text`: what is wrong with the expression, in room
 * for `text_capacity` bytes, NUL-terminated.
 * Errors: QUARRY_BAD_INPUT: no expression; QUARRY_TOO_LARGE: its program would be larger than two
 * thirds of `memory_bytes`; QUARRY_NO_MEMORY. No exception leaves.
 * Threads: any. Cost: microseconds to milliseconds, O(program).
 */
enum quarry_status tsdb_re2_compile(const char *expression, size_t byte_count, size_t memory_bytes,
                                    struct tsdb_re2 **ret_re2, char *ret_text,
                                    size_t text_capacity);
/* `re2`: given; NULL does nothing. */
void tsdb_re2_free(struct tsdb_re2 *re2);

/*
 * Whether the whole of a text matches. Threads: any at once. Cost: linear in the text: some
 * nanoseconds a byte once the automaton's states are known; when memory is short, a hundred times
 * as much.
 * Errors: none are told: false when malloc fails.
 */
bool tsdb_re2_matches(const struct tsdb_re2 *re2, const char *text, size_t byte_count);

#ifdef __cplusplus
}
#endif

#endif
