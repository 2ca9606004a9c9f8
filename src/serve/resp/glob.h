/*
 * Patterns of keys, as KEYS and SCAN have them: `*`, `?`, `[a-z]`, `[^a-z]`, and `\` before a
 * character that is meant as it is.
 */
#ifndef QUARRY_SERVE_RESP_GLOB_H
#define QUARRY_SERVE_RESP_GLOB_H

#include <base/base.h>

#include <quarry/kv.h>

/*
 * Whether the whole of a text matches a pattern. Both are any bytes.
 *
 * Cost: at most the pattern's length times the text's, in steps; no memory, no recursion.
 */
bool resp_glob_matches(struct quarry_kv_slice pattern, struct quarry_kv_slice text);

/*
 * The bytes that every text that matches begins with, as far as they stand in the pattern as they
 * are. Returns: how many of the pattern's first bytes; 0: nothing is known.
 */
size_t resp_glob_literal_bytes(struct quarry_kv_slice pattern);

#endif
