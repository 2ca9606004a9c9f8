/*
 * Reading words.
 */
#ifndef QUARRY_SERVE_RESP_WORDS_H
#define QUARRY_SERVE_RESP_WORDS_H

#include <base/base.h>

#include <quarry/kv.h>

/* A decimal number of 64 bits as Redis takes it: no blanks, no plus, no leading zeros. */
bool resp_read_integer(struct quarry_kv_slice word, int64_t *ret_number);
/* Whether a word is a text, in any case. */
bool resp_is(struct quarry_kv_slice word, const char *lower_case_text);

/* A letter of the alphabet in lower case; other bytes as they are. */
static inline char resp_lower(char byte)
{
    return byte >= 'A' && byte <= 'Z' ? (char)(byte | 0x20) : byte;
}

#endif
