/*
 * UTF-8, checked by the ranges of Unicode's table of well-formed sequences.
 *
 *     first     second          third, fourth
 *     00 … 7f
 *     c2 … df   80 … bf
 *     e0        a0 … bf         80 … bf          no shorter form
 *     ed        80 … 9f         80 … bf          no surrogates
 *     e1 … ef   80 … bf         80 … bf          the others
 *     f0        90 … bf         80 … bf          no shorter form
 *     f4        80 … 8f         80 … bf          not above U+10FFFF
 *     f1 … f3   80 … bf         80 … bf
 *
 * So only the second byte has bounds of its own. Names are ASCII nearly always: eight bytes at a
 * time are skipped by one test of their top bits.
 */
#include <tsdb/utf8.h>

#include <base/base.h>

#define TOP_BITS UINT64_C(0x8080808080808080)

/* How many bytes follow a first one; SIZE_MAX: it begins no character. */
static size_t following(uint8_t first)
{
    if (first < 0xc2 || first > 0xf4) {
        return SIZE_MAX;
    }
    return first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
}

static bool second_is_right(uint8_t first, uint8_t second)
{
    const uint8_t least = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    const uint8_t most = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;

    return second >= least && second <= most;
}

/* The bytes of the character at `at`, which is not ASCII; 0: it is none. */
static size_t character(const uint8_t *at, const uint8_t *end)
{
    const size_t more = following(at[0]);

    if (more > (size_t)(end - at) - 1 || !second_is_right(at[0], at[1])) {
        return 0;
    }
    for (size_t i = 2; i <= more; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return more + 1;
}

bool tsdb_utf8_is_valid(struct tsdb_slice text)
{
    const uint8_t *at = (const uint8_t *)text.bytes;
    const uint8_t *end = at + text.count;

    while (at < end) {
        if (end - at >= 8 && (endian_load_le_u64(at) & TOP_BITS) == 0) {
            at += 8;
        } else if (*at < 0x80) {
            at++;
        } else {
            const size_t byte_count = character(at, end);
            if (byte_count == 0) {
                return false;
            }
            at += byte_count;
        }
    }
    return true;
}
