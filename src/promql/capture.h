/*
 * What the groups of a regular expression match: RE2, behind functions of C.
 *
 * Expressions are matched against whole texts, with dots that match newlines.
 */
#ifndef QUARRY_PROMQL_CAPTURE_H
#define QUARRY_PROMQL_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>

#include <quarry/status.h>

#ifdef __cplusplus
extern "C" {
#endif

struct promql_capture;

/*
 * Compiles an expression of `count` bytes of UTF-8, in no more than 8 MiB of malloc's.
 *
 * `ret_capture`: own; end it with promql_capture_free. `ret_text`: what is wrong, in room for
 * `capacity` bytes, NUL-terminated.
 * Errors: QUARRY_BAD_INPUT, QUARRY_NO_MEMORY. No exception leaves. Threads: any.
 */
enum quarry_status promql_capture_compile(const char *expression, size_t count,
                                          struct promql_capture **ret_capture, char *ret_text,
                                          size_t capacity);
/* `capture`: given; NULL does nothing. */
void promql_capture_free(struct promql_capture *capture);

/* What a group matched, in the text. */
struct promql_capture_group {
    size_t begin, count;
    bool is_there;
};

/* Matches a text. `groups`: room for `capacity`, at most 64; the first is the whole. Returns:
 * whether it matches; `groups` is written when it does. Threads: any. Cost: linear in the text. */
bool promql_capture_match(const struct promql_capture *capture, const char *text, size_t count,
                          struct promql_capture_group *groups, size_t capacity);

/* The number of the group of a name; -1: there is none. Threads: any. */
int promql_capture_find(const struct promql_capture *capture, const char *name, size_t count);

#ifdef __cplusplus
}
#endif

#endif
