/*
 * Reading and writing the words and numbers of memcached's lines.
 *
 * All of it is pure: bytes in, bytes out; nothing is kept and nothing fails but by its result. The
 * rules are those of memcached, whose numbers are read by the C library's strtol and strtoull:
 * white space and a plus may stand before the digits, and whatever follows a white space is
 * ignored.
 *
 * Threads: any. Cost: O(bytes).
 */
#ifndef QUARRY_SERVE_MEMCACHED_SCAN_H
#define QUARRY_SERVE_MEMCACHED_SCAN_H

#include <base/base.h>

#include <string.h>

/* A stretch of what came. Borrowed from the input buffer, for the call it was given to. */
struct memcached_word {
    const char *text;
    size_t length; /* bytes */
};

/*
 * The words of a line that are looked at. What stands beyond them is `rest`. 23 is memcached's
 * number; doubling it would have lines accepted that memcached refuses.
 */
#define MEMCACHED_WORDS_MAX 23u

struct memcached_words {
    struct memcached_word at[MEMCACHED_WORDS_MAX];
    uint32_t count;
    struct memcached_word rest; /* behind the last word, when there was no room for more */
};

/* Cuts a line, without its end, at its spaces. */
void memcached_split(struct memcached_word line, struct memcached_words *ret_words);

static inline bool memcached_word_is(struct memcached_word word, const char *text, size_t length)
{
    return word.length == length && memcmp(word.text, text, length) == 0;
}
#define MEMCACHED_WORD_IS(word, literal) memcached_word_is(word, literal, sizeof(literal) - 1)

/*
 * Numbers. Returns: whether the word begins with one that fits. An unsigned one of 32 bits keeps
 * the low bits of one of 64, and a minus is taken where the result is below 2^63: that is how
 * memcached reads client flags.
 */
Q_NODISCARD bool memcached_read_u64(struct memcached_word word, uint64_t *ret_number);
Q_NODISCARD bool memcached_read_u32(struct memcached_word word, uint32_t *ret_number);
Q_NODISCARD bool memcached_read_i32(struct memcached_word word, int32_t *ret_number);
/* A decimal fraction such as 0.2. */
Q_NODISCARD bool memcached_read_fraction(struct memcached_word word, double *ret_number);

/* The most bytes that a number takes. */
#define MEMCACHED_NUMBER_BYTES 20u

/* Writes a number in decimal. Returns: behind its last digit. */
char *memcached_write_u64(char *out, uint64_t number);

extern const char memcached_digit_pairs[201]; /* "00" to "99" */

/* The same, inline for flags and lengths as most are: up to three digits. */
static inline char *memcached_write_short(char *out, uint64_t number)
{
    if (number < 10) {
        *out = (char)('0' + number);
        return out + 1;
    }
    if (number < 100) {
        memcpy(out, &memcached_digit_pairs[number * 2], 2);
        return out + 2;
    }
    if (number < 1000) {
        *out = (char)('0' + number / 100);
        memcpy(out + 1, &memcached_digit_pairs[number % 100 * 2], 2);
        return out + 3;
    }
    return memcached_write_u64(out, number);
}

/*
 * Base64, with padding. Both return how many bytes were written; decoding returns 0 for what is not
 * base64, or decodes to more than `capacity` bytes.
 */
size_t memcached_base64_encode(char *out, const void *bytes, size_t byte_count);
size_t memcached_base64_decode(void *out, size_t capacity, struct memcached_word word);

/* As many bytes as base64 of so many takes. */
#define MEMCACHED_BASE64_BYTES(byte_count) (((byte_count) + 2u) / 3u * 4u)

/* Writes a key as a URI has it: all but letters, digits, `-._~` as %XX. Returns: behind it. */
char *memcached_write_uri(char *out, const void *bytes, size_t byte_count);

#endif
