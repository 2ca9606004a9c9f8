/*
 * Merge operators that are built in: appending, adding, taking the larger.
 *
 * What they make of a base and operands is what RocksDB's operators of the same names make:
 *
 *     append   base d operand d operand …     d: the delimiter; also behind an empty base
 *     add      numbers of 8 bytes, little-endian, modulo 2^64; no base is 0
 *     max      the larger by memcmp; the shorter of two that are equal so far is the smaller
 *
 * One difference: RocksDB adds what is not 8 bytes long as 0, and a read shows it as a number; here
 * it is QUARRY_CORRUPT, for a sum of something else is an answer that nobody asked for.
 *
 * Each is associative: two neighbouring operands make one. Appending is so with every delimiter.
 *
 * Locking: none; nothing is kept. Cost: O(bytes).
 */
#include <kv/key.h>

/* The delimiter of an operator is its argument. */
static char delimiter_of(void *argument)
{
    return (char)(unsigned char)(uintptr_t)argument;
}

static enum quarry_status append_one(struct quarry_kv_buffer *result, bool is_first, char delimiter,
                                     struct quarry_kv_slice piece)
{
    enum quarry_status status = QUARRY_OK;

    if (!is_first) {
        status = quarry_kv_buffer_append(result, &delimiter, 1);
    }
    return status != QUARRY_OK ? status
                               : quarry_kv_buffer_append(result, piece.bytes, piece.byte_count);
}

static enum quarry_status append_merge(void *argument, struct quarry_kv_slice key,
                                       const struct quarry_kv_slice *base,
                                       const struct quarry_kv_slice *operands, size_t operand_count,
                                       struct quarry_kv_buffer *result)
{
    char delimiter = delimiter_of(argument);
    enum quarry_status status = QUARRY_OK;

    (void)key;
    if (base != NULL) {
        status = append_one(result, true, delimiter, *base);
    }
    for (size_t i = 0; i < operand_count && status == QUARRY_OK; i++) {
        status = append_one(result, base == NULL && i == 0, delimiter, operands[i]);
    }
    return status;
}

static bool append_merge_two(void *argument, struct quarry_kv_slice key,
                             struct quarry_kv_slice older, struct quarry_kv_slice newer,
                             struct quarry_kv_buffer *result)
{
    return append_merge(argument, key, &older, &newer, 1, result) == QUARRY_OK;
}

/* 256 operators, one for each delimiter: they have to be static. */
#define APPEND_1(d)                                                                                \
    {                                                                                              \
        .name = "StringAppendOperator", .argument = (void *)(uintptr_t)(d), .merge = append_merge, \
        .merge_two = append_merge_two                                                              \
    }
#define APPEND_4(d)  APPEND_1(d), APPEND_1((d) + 1), APPEND_1((d) + 2), APPEND_1((d) + 3)
#define APPEND_16(d) APPEND_4(d), APPEND_4((d) + 4), APPEND_4((d) + 8), APPEND_4((d) + 12)
#define APPEND_64(d) APPEND_16(d), APPEND_16((d) + 16), APPEND_16((d) + 32), APPEND_16((d) + 48)

static const struct quarry_kv_merge_operator append_operators[256] = {
    APPEND_64(0), APPEND_64(64), APPEND_64(128), APPEND_64(192)};

const struct quarry_kv_merge_operator *quarry_kv_merge_append(char delimiter)
{
    return &append_operators[(unsigned char)delimiter];
}

/* ---- adding --------------------------------------------------------------------------------- */

static bool read_number(struct quarry_kv_slice bytes, uint64_t *ret_number)
{
    if (bytes.byte_count != sizeof(uint64_t)) {
        return false;
    }
    *ret_number = endian_load_le_u64(bytes.bytes);
    return true;
}

static enum quarry_status add_merge(void *argument, struct quarry_kv_slice key,
                                    const struct quarry_kv_slice *base,
                                    const struct quarry_kv_slice *operands, size_t operand_count,
                                    struct quarry_kv_buffer *result)
{
    uint64_t sum = 0, number = 0;
    char bytes[sizeof(sum)];

    (void)argument;
    (void)key;
    if (base != NULL && !read_number(*base, &sum)) {
        return QUARRY_CORRUPT;
    }
    for (size_t i = 0; i < operand_count; i++) {
        if (!read_number(operands[i], &number)) {
            return QUARRY_CORRUPT;
        }
        sum += number;
    }
    endian_store_le_u64(bytes, sum);
    return quarry_kv_buffer_append(result, bytes, sizeof(bytes));
}

static bool add_merge_two(void *argument, struct quarry_kv_slice key, struct quarry_kv_slice older,
                          struct quarry_kv_slice newer, struct quarry_kv_buffer *result)
{
    return add_merge(argument, key, &older, &newer, 1, result) == QUARRY_OK;
}

const struct quarry_kv_merge_operator *quarry_kv_merge_uint64_add(void)
{
    static const struct quarry_kv_merge_operator add = {
        .name = "UInt64AddOperator", .merge = add_merge, .merge_two = add_merge_two};

    return &add;
}

/* ---- the larger ----------------------------------------------------------------------------- */

static struct quarry_kv_slice larger(struct quarry_kv_slice a, struct quarry_kv_slice b)
{
    return kv_compare_bytes(kv_slice(a.bytes, a.byte_count), kv_slice(b.bytes, b.byte_count)) < 0
               ? b
               : a;
}

static enum quarry_status max_merge(void *argument, struct quarry_kv_slice key,
                                    const struct quarry_kv_slice *base,
                                    const struct quarry_kv_slice *operands, size_t operand_count,
                                    struct quarry_kv_buffer *result)
{
    struct quarry_kv_slice max = base != NULL ? *base : (struct quarry_kv_slice){"", 0};

    (void)argument;
    (void)key;
    for (size_t i = 0; i < operand_count; i++) {
        max = larger(max, operands[i]);
    }
    return quarry_kv_buffer_append(result, max.bytes, max.byte_count);
}

static bool max_merge_two(void *argument, struct quarry_kv_slice key, struct quarry_kv_slice older,
                          struct quarry_kv_slice newer, struct quarry_kv_buffer *result)
{
    return max_merge(argument, key, &older, &newer, 1, result) == QUARRY_OK;
}

const struct quarry_kv_merge_operator *quarry_kv_merge_max(void)
{
    static const struct quarry_kv_merge_operator max = {
        .name = "MaxOperator", .merge = max_merge, .merge_two = max_merge_two};

    return &max;
}
