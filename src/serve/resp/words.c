/*
 * Numbers and names among words.
 *
 * A number is what Redis takes for one: an optional minus, no plus, no leading zeros, no blanks,
 * within 64 bits. Anything else is a string that happens to have digits.
 */
#include <serve/resp/words.h>

#define DIGITS_MAX 19u

bool resp_read_integer(struct quarry_kv_slice word, int64_t *ret_number)
{
    const char *at = word.bytes, *end = at + word.byte_count;
    uint64_t number = 0;
    bool is_negative = word.byte_count > 0 && *at == '-';

    at += is_negative ? 1 : 0;
    if (at == end || (size_t)(end - at) > DIGITS_MAX) {
        return false;
    }
    if (*at == '0') {
        *ret_number = 0;
        return word.byte_count == 1;
    }
    for (; at < end; at++) {
        if (*at < '0' || *at > '9') {
            return false;
        }
        number = number * 10 + (uint64_t)(*at - '0'); /* 19 digits fit 64 bits */
    }
    if (number > (uint64_t)INT64_MAX + (is_negative ? 1 : 0)) {
        return false;
    }
    *ret_number = is_negative ? (int64_t)-number : (int64_t)number;
    return true;
}

bool resp_is(struct quarry_kv_slice word, const char *lower_case_text)
{
    const char *bytes = word.bytes;

    for (size_t i = 0; i < word.byte_count; i++) {
        if (lower_case_text[i] == '\0' || resp_lower(bytes[i]) != lower_case_text[i]) {
            return false;
        }
    }
    return lower_case_text[word.byte_count] == '\0';
}
