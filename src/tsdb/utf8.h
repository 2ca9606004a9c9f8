/*
 * Whether bytes are UTF-8.
 */
#ifndef QUARRY_TSDB_UTF8_H
#define QUARRY_TSDB_UTF8_H

#include <tsdb/types.h>

/*
 * Whether all of the bytes are characters of UTF-8 in their shortest form, none of them a
 * surrogate's half or above U+10FFFF: what Go calls valid.
 * Threads: any. Cost: some 4 instructions for each 8 bytes of ASCII, 10 for any other character.
 */
bool tsdb_utf8_is_valid(struct tsdb_slice text);

#endif
