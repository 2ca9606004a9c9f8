/*
 * What keys and values look like.
 *
 *   key     k k k k k … 0 0 0 1 2 3 4     as many k as fill it; seven digits in base 32
 *   value   0 0 0 1 2 3 4 . v v v v …     the same digits, so that an answer can be told from
 *                                         another key's without keeping what was sent
 *
 *   version 0 0 0 1 2 3 4 0 0 0 0 0 0 9 …   both numbers, then bytes that are made from them: as
 *                                           many more as the version says
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

/* What follows the two numbers of a value: eight bytes at a time, all of the value's own. */
static uint64_t pattern(uint64_t number, uint32_t version, uint32_t at)
{
    uint64_t mixed = (number << 32 ^ version ^ (uint64_t)at << 7) * UINT64_C(0x9e3779b97f4a7c15);

    return (mixed ^ mixed >> 29) * UINT64_C(0xbf58476d1ce4e5b9);
}

static void put_version(char *at, const struct bench_item *item)
{
    uint32_t bytes = bench_item_bytes(item);

    Q_ASSERT(item->value_bytes >= BENCH_WIRE_VERSION_BYTES_MIN);
    put_digits(at, item->number);
    put_digits(at + DIGIT_COUNT, item->version);
    for (uint32_t i = 2 * DIGIT_COUNT; i < bytes; i += (uint32_t)sizeof(uint64_t)) {
        uint64_t word = pattern(item->number, item->version, i);
        memcpy(at + i, &word, size_min(sizeof word, bytes - i));
    }
}

char *bench_wire_put_value(char *at, const struct bench_item *item)
{
    if (item->version != 0) {
        put_version(at, item);
        return at + bench_item_bytes(item);
    }
    Q_DCHECK(item->value_bytes >= BENCH_WIRE_VALUE_BYTES_MIN);
    put_digits(at, item->number);
    memset(at + DIGIT_COUNT, 'v', item->value_bytes - DIGIT_COUNT);
    return at + item->value_bytes;
}

static uint64_t take_digits(const char *at)
{
    uint64_t number = 0;

    for (uint32_t i = 0; i < DIGIT_COUNT; i++) {
        uint32_t digit = (uint32_t)(at[i] <= '9' ? at[i] - '0' : at[i] - 'a' + 10);
        number = number << DIGIT_BITS | (digit & ((1u << DIGIT_BITS) - 1));
    }
    return number;
}

/* Makes the value of the version that it tells of itself, and compares. */
static bool is_a_version(const struct bench_answer *answer, const struct bench_item *item)
{
    struct bench_item told = *item;
    char wanted[BENCH_WIRE_ROOM_BYTES];

    if (answer->value_bytes < 2 * DIGIT_COUNT) {
        return false;
    }
    told.version = (uint32_t)take_digits(answer->value + DIGIT_COUNT);
    uint32_t bytes = bench_item_bytes(&told);
    Q_ASSERT(bytes <= sizeof wanted);
    if (told.version == 0 || bytes != answer->value_bytes) {
        return false;
    }
    put_version(wanted, &told);
    return memcmp(answer->value, wanted, bytes) == 0;
}

bool bench_wire_is_value_of(const struct bench_answer *answer, const struct bench_item *item)
{
    char wanted[DIGIT_COUNT];

    if (item->version != 0) {
        return is_a_version(answer, item);
    }

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
