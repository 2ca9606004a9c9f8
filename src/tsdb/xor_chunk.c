/*
 * XOR chunks, encoding 1.
 *
 *     +-------+----------------+-----------------------+----------------------+---------+
 *     | count | t0    | v0     | t1-t0       | v1^v0   | ddt | v2^v1  |  ...  | padding |
 *     | u16be | varint| 64 bit | uvarint     | xor     | ddt | xor    |       | 0-7 bit |
 *     +-------+----------------+-----------------------+----------------------+---------+
 *
 *     ddt  0                    the same step again
 *          10   14 bits         -8191 .. 8192
 *          110  17 bits         -65535 .. 65536
 *          1110 20 bits         -524287 .. 524288
 *          1111 64 bits         anything
 *     xor  0                    the same value
 *          10   bits            changes within the last window
 *          11   5 bits leading zeros, 6 bits count of bits (0: 64), bits: a new window
 *
 * Invariants:
 * 1. The count in the first two bytes is that of the samples whose bits are all there: an appender
 *    writes it last, and looks for room for the largest sample before it begins one.
 * 2. The same samples give the same bytes as Prometheus' appender: ranges are as lopsided as there
 *    (n bits reach from -(2^(n-1) - 1) to 2^(n-1)), leading zeros are cut at 31, and a window is
 *    used again whenever the change fits into it, however much narrower it is.
 * 3. Differences wrap: two times may be anywhere in 64 bits.
 * 4. A last number of whole bytes that ends with a byte is followed by one of zeros (chunk_bits.h).
 *
 * Rejected: opening a new window where that is shorter than using the old one, as Beringei does.
 * Any reader would take it, and it saves 1 to 3 %, but the bytes would no longer be comparable with
 * Prometheus' own, which is the strongest test there is.
 *
 * Source: the format document of Prometheus (tsdb/docs/format/chunks.md); blocks that promtool 2.42
 * makes, which tests/tsdb compares bit by bit.
 */
#include <tsdb/xor_chunk.h>

#define COUNT_BYTES 2u

void xor_chunk_begin(struct xor_chunk_appender *appender, uint8_t *bytes, size_t capacity)
{
    Q_ASSERT(capacity > COUNT_BYTES);
    *appender = (struct xor_chunk_appender){
        .bits = {.bytes = bytes, .capacity_bytes = capacity},
        .window = CHUNK_XOR_NONE,
    };
    chunk_bits_put(&appender->bits, 0, COUNT_BYTES * 8);
}

static void put_varint(struct chunk_bit_writer *bits, uint64_t value)
{
    uint8_t bytes[VARINT_U64_BYTES_MAX];
    size_t byte_count = varint_put_u64(bytes, value);

    for (size_t i = 0; i < byte_count; i++) {
        chunk_bits_put(bits, bytes[i], 8);
    }
}

static void put_second_difference(struct chunk_bit_writer *bits, int64_t value)
{
    if (value == 0) {
        chunk_bits_put(bits, 0, 1);
    } else if (chunk_bits_fit(value, 14)) {
        chunk_bits_put(bits, 2, 2);
        chunk_bits_put(bits, (uint64_t)value, 14);
    } else if (chunk_bits_fit(value, 17)) {
        chunk_bits_put(bits, 6, 3);
        chunk_bits_put(bits, (uint64_t)value, 17);
    } else if (chunk_bits_fit(value, 20)) {
        chunk_bits_put(bits, 14, 4);
        chunk_bits_put(bits, (uint64_t)value, 20);
    } else {
        chunk_bits_put(bits, 15, 4);
        chunk_bits_put(bits, (uint64_t)value, 64);
    }
}

bool xor_chunk_append(struct xor_chunk_appender *appender, struct tsdb_sample sample)
{
    struct chunk_bit_writer *bits = &appender->bits;
    uint64_t delta = (uint64_t)sample.t_ms - (uint64_t)appender->t_ms;

    if (appender->count == XOR_CHUNK_SAMPLES_MAX ||
        bits->capacity_bytes - chunk_bits_byte_count(bits) < XOR_CHUNK_BYTES_MAX(1)) {
        return false;
    }
    if (appender->count == 0) {
        put_varint(bits, varint_zigzag(sample.t_ms));
        chunk_bits_put(bits, sample.bits, 64);
        delta = 0;
    } else {
        if (appender->count == 1) {
            put_varint(bits, delta);
        } else {
            put_second_difference(bits, (int64_t)(delta - appender->delta_ms));
        }
        chunk_xor_put(bits, &appender->window, sample.bits ^ appender->value);
    }
    appender->t_ms = sample.t_ms;
    appender->delta_ms = delta;
    appender->value = sample.bits;
    endian_store_be_u16(bits->bytes, (uint16_t)++appender->count); /* invariant 1 */
    Q_DCHECK(chunk_bits_byte_count(bits) <= bits->capacity_bytes);
    return true;
}

enum quarry_status xor_chunk_read(struct xor_chunk_iterator *iterator, const uint8_t *bytes,
                                  size_t byte_count)
{
    if (byte_count < COUNT_BYTES) {
        return QUARRY_CORRUPT;
    }
    *iterator = (struct xor_chunk_iterator){
        .bits = chunk_bits_reader(bytes + COUNT_BYTES, byte_count - COUNT_BYTES),
        .count = endian_load_be_u16(bytes),
    };
    return QUARRY_OK;
}

static uint64_t get_varint(struct chunk_bit_reader *bits)
{
    uint64_t value = 0;

    for (uint32_t shift = 0; shift < 64; shift += 7) {
        uint64_t byte = chunk_bits_get(bits, 8);

        value |= (byte & 0x7f) << shift;
        if (byte < 0x80) {
            bits->is_short |= shift == 63 && byte > 1;
            return value;
        }
    }
    bits->is_short = true;
    return 0;
}

static int64_t get_second_difference(struct chunk_bit_reader *bits)
{
    static const uint8_t counts[] = {0, 14, 17, 20, 64};
    uint32_t kind = 0;

    while (kind < 4 && chunk_bits_get(bits, 1) != 0) {
        kind++;
    }
    return kind == 0 ? 0 : chunk_bits_signed(chunk_bits_get(bits, counts[kind]), counts[kind]);
}

enum quarry_status xor_chunk_next(struct xor_chunk_iterator *iterator,
                                  struct tsdb_sample *ret_sample)
{
    struct chunk_bit_reader *bits = &iterator->bits;

    if (iterator->index == iterator->count && !bits->is_short) {
        return QUARRY_NOT_FOUND;
    }
    if (iterator->index == 0) {
        iterator->t_ms = varint_unzigzag(get_varint(bits));
        iterator->value = chunk_bits_get(bits, 64);
    } else {
        if (iterator->index == 1) {
            iterator->delta_ms = get_varint(bits);
        } else {
            iterator->delta_ms += (uint64_t)get_second_difference(bits);
        }
        iterator->t_ms = (int64_t)((uint64_t)iterator->t_ms + iterator->delta_ms);
        iterator->value ^= chunk_xor_get(bits, &iterator->window);
    }
    if (Q_UNLIKELY(bits->is_short)) {
        return QUARRY_CORRUPT;
    }
    iterator->index++;
    *ret_sample = (struct tsdb_sample){.t_ms = iterator->t_ms, .bits = iterator->value};
    return QUARRY_OK;
}
