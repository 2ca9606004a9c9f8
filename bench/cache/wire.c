/*
 * What keys and values look like.
 *
 *   key     k k k k k … 0 0 0 1 2 3 4     as many k as fill it; seven digits in base 32
 *   value   0 0 0 1 2 3 4 . v v v v …     the same digits, so that an answer can be told from
 *                                         another key's without keeping what was sent
 *
 * Base 32 because a digit is a shift: what the client spends on a request is time in which the
 * server waits for it.
 */
#include <bench/cache/wire.h>

#include <string.h>

#include <base/base.h>

#define DIGIT_COUNT 7u
#define DIGIT_BITS  5u

static void put_digits(char *at, uint64_t number)
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuv";

    for (uint32_t i = DIGIT_COUNT; i-- > 0; number >>= DIGIT_BITS) {
        at[i] = digits[number & ((1u << DIGIT_BITS) - 1)];
    }
}

char *bench_wire_put_key(char *at, const struct bench_item *item)
{
    size_t filled = item->key_bytes - DIGIT_COUNT;

    Q_DCHECK(item->key_bytes >= BENCH_WIRE_KEY_BYTES_MIN);
    memset(at, 'k', filled);
    put_digits(at + filled, item->number);
    return at + item->key_bytes;
}

char *bench_wire_put_value(char *at, const struct bench_item *item)
{
    Q_DCHECK(item->value_bytes >= BENCH_WIRE_VALUE_BYTES_MIN);
    put_digits(at, item->number);
    memset(at + DIGIT_COUNT, 'v', item->value_bytes - DIGIT_COUNT);
    return at + item->value_bytes;
}

bool bench_wire_is_value_of(const struct bench_answer *answer, const struct bench_item *item)
{
    char wanted[DIGIT_COUNT];

    put_digits(wanted, item->number);
    return answer->value_bytes == item->value_bytes &&
           memcmp(answer->value, wanted, DIGIT_COUNT) == 0 &&
           answer->value[answer->value_bytes - 1] == 'v';
}

char *bench_wire_put_number(char *at, uint64_t number)
{
    char digits[20];
    size_t first = sizeof digits;

    do {
        digits[--first] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    memcpy(at, digits + first, sizeof digits - first);
    return at + sizeof digits - first;
}

char *bench_wire_put_text(char *at, const char *text)
{
    size_t bytes = strlen(text);

    memcpy(at, text, bytes);
    return at + bytes;
}
