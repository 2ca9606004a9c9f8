/*
 * Hashes that can be joined.
 *
 *   hash(b₀ … bₙ₋₁) = Σ (bᵢ + 1) · B^(n−1−i)   modulo the prime 2^61 − 1
 *   hash(left right) = hash(left) · B^|right| + hash(right)
 *
 * so that a model can append to a value of which it has the hash alone. Two unlike values of n
 * bytes share a hash with a chance of n / 2^61.
 */
#include "linear/value.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PRIME (((uint64_t)1 << 61) - 1)
#define BASE  UINT64_C(0x0f3a5c7e91b2d486)

static uint64_t multiply(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    uint64_t sum = (uint64_t)(product & PRIME) + (uint64_t)(product >> 61);

    return sum >= PRIME ? sum - PRIME : sum;
}

static uint64_t power(uint64_t exponent)
{
    uint64_t result = 1;

    for (uint64_t square = BASE; exponent > 0; exponent >>= 1) {
        result = (exponent & 1) != 0 ? multiply(result, square) : result;
        square = multiply(square, square);
    }
    return result;
}

struct linear_value linear_value_of(const void *bytes, size_t byte_count)
{
    struct linear_value value = {.byte_count = (uint32_t)byte_count};
    const unsigned char *byte = bytes;

    for (size_t i = 0; i < byte_count; i++) {
        value.hash = (multiply(value.hash, BASE) + byte[i] + 1) % PRIME;
    }
    if (byte_count > 0 && byte_count <= LINEAR_HEAD_BYTES) {
        memcpy(value.head, bytes, byte_count);
    }
    return value;
}

struct linear_value linear_value_join(const struct linear_value *left,
                                      const struct linear_value *right)
{
    struct linear_value joined = {
        .hash = (multiply(left->hash, power(right->byte_count)) + right->hash) % PRIME,
        .byte_count = left->byte_count + right->byte_count,
    };

    if (joined.byte_count <= LINEAR_HEAD_BYTES) {
        memcpy(joined.head, left->head, left->byte_count);
        memcpy(joined.head + left->byte_count, right->head, right->byte_count);
    }
    return joined;
}

bool linear_value_equals(const struct linear_value *a, const struct linear_value *b)
{
    return a->hash == b->hash && a->byte_count == b->byte_count;
}

bool linear_value_number(const struct linear_value *value, uint64_t *ret_number)
{
    uint64_t number = 0;
    size_t i = 0;

    if (value->byte_count > LINEAR_HEAD_BYTES) {
        return false;
    }
    for (; i < value->byte_count && value->head[i] >= '0' && value->head[i] <= '9'; i++) {
        number = number * 10 + (uint64_t)(value->head[i] - '0');
    }
    *ret_number = number;
    if (i == 0) {
        return false;
    }
    while (i < value->byte_count && value->head[i] == ' ') {
        i++;
    }
    return i == value->byte_count;
}

struct linear_value linear_value_of_number(uint64_t number)
{
    char text[LINEAR_HEAD_BYTES];
    int bytes = snprintf(text, sizeof text, "%" PRIu64, number);

    return linear_value_of(text, (size_t)bytes);
}

void linear_fill(char *bytes, size_t byte_count, uint64_t id)
{
    for (size_t i = 0; i < byte_count; i++) {
        uint64_t mixed = (id + i / 8) * UINT64_C(0x9e3779b97f4a7c15);
        bytes[i] = (char)('a' + ((mixed >> (8 * (i % 8))) & 0xff) % 26);
    }
}
