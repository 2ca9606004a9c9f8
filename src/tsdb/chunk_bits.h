/*
 * Bits as Prometheus' chunks hold them: the most significant of a byte first, padded with zeros.
 *
 * Prometheus writes whole bytes of a number as bytes, and begins the next byte with each: a chunk
 * whose last number was of whole bytes and ended where a byte does has a byte of zeros behind it.
 * So has a writer here, for bytes are to be the same.
 *
 * A writer fills a caller's bytes and never goes beyond them: its user asks for room before it
 * begins something. A reader that is asked for more than there is gives zeros and says so once at
 * the end, in `is_short`: decoders look at it once per sample instead of once per field.
 */
#ifndef QUARRY_TSDB_CHUNK_BITS_H
#define QUARRY_TSDB_CHUNK_BITS_H

#include <base/base.h>

struct chunk_bit_writer {
    uint8_t *bytes;        /* borrowed */
    size_t capacity_bytes; /* const */
    size_t bit_count;      /* written */
    bool ends_in_byte;     /* the last number was of whole bytes */
};

struct chunk_bit_reader {
    const uint8_t *bytes; /* borrowed */
    size_t bit_count;     /* all there are; const */
    size_t at;            /* the next one */
    bool is_short;        /* more was asked for than there is */
};

/* How many bytes are begun, one of zeros at the end included. */
static inline size_t chunk_bits_byte_count(const struct chunk_bit_writer *writer)
{
    return (writer->bit_count + 7) / 8 + (writer->ends_in_byte && writer->bit_count % 8 == 0);
}

/* Writes the low `count` bits of `value`, 0 to 64; the caller has seen to room for a byte more. */
static inline void chunk_bits_put(struct chunk_bit_writer *writer, uint64_t value, uint32_t count)
{
    Q_DCHECK(count <= 64 && writer->bit_count + count + 8 <= writer->capacity_bytes * 8);
    writer->ends_in_byte = count == 0 ? writer->ends_in_byte : count % 8 == 0;
    while (count != 0) {
        uint8_t *byte = &writer->bytes[writer->bit_count / 8];
        uint32_t room = 8 - (uint32_t)(writer->bit_count % 8);
        uint32_t take = count < room ? count : room;
        uint32_t bits = (uint32_t)(value >> (count - take)) & ((1u << take) - 1);

        if (room == 8) {
            *byte = 0;
        }
        *byte = (uint8_t)(*byte | bits << (room - take));
        writer->bit_count += take;
        count -= take;
    }
    if (writer->bit_count % 8 == 0) {
        writer->bytes[writer->bit_count / 8] = 0;
    }
}

/* Reads `count` bits, 0 to 64; 0 and `is_short` where there are not as many. */
static inline uint64_t chunk_bits_get(struct chunk_bit_reader *reader, uint32_t count)
{
    uint64_t value = 0;

    Q_DCHECK(count <= 64 && reader->at <= reader->bit_count);
    if (Q_UNLIKELY(reader->bit_count - reader->at < count)) {
        reader->is_short = true;
        reader->at = reader->bit_count;
        return 0;
    }
    if (count == 0) {
        return 0;
    }
    if (Q_LIKELY(count <= 57 && reader->at / 8 + 8 <= reader->bit_count / 8)) {
        value = endian_load_be_u64(reader->bytes + reader->at / 8) << (reader->at % 8);
        reader->at += count;
        return value >> (64 - count);
    }
    while (count != 0) {
        uint32_t room = 8 - (uint32_t)(reader->at % 8);
        uint32_t take = count < room ? count : room;
        uint32_t byte = reader->bytes[reader->at / 8];

        value = value << take | (byte >> (room - take) & ((1u << take) - 1));
        reader->at += take;
        count -= take;
    }
    return value;
}

static inline struct chunk_bit_reader chunk_bits_reader(const uint8_t *bytes, size_t byte_count)
{
    return (struct chunk_bit_reader){.bytes = bytes, .bit_count = byte_count * 8};
}

/* A number of `count` bits, 1 to 64, that stands for -(2^(count-1) - 1) to 2^(count-1). */
static inline int64_t chunk_bits_signed(uint64_t bits, uint32_t count)
{
    if (count < 64 && bits > UINT64_C(1) << (count - 1)) {
        bits -= UINT64_C(1) << count;
    }
    return (int64_t)bits;
}
/* Whether a value is one of those. `count`: 1 to 63. */
static inline bool chunk_bits_fit(int64_t value, uint32_t count)
{
    int64_t most = INT64_C(1) << (count - 1);
    return -(most - 1) <= value && value <= most;
}

/* ---- a value XORed with the one before ------------------------------------------------------ */

/* The bits of the last XOR that was not 0 lay between so many zeros. */
struct chunk_xor {
    uint8_t leading;
    uint8_t trailing;
};

/* Of a writer at its beginning: no window, so that the first change opens one. */
#define CHUNK_XOR_NONE ((struct chunk_xor){.leading = 0xff})
/* The most bits that chunk_xor_put writes. */
#define CHUNK_XOR_BITS_MAX (2u + 5 + 6 + 64)

static inline void chunk_xor_put(struct chunk_bit_writer *writer, struct chunk_xor *window,
                                 uint64_t change)
{
    if (change == 0) {
        chunk_bits_put(writer, 0, 1);
        return;
    }
    uint32_t leading = (uint32_t)__builtin_clzll(change);
    uint32_t trailing = (uint32_t)__builtin_ctzll(change);

    leading = leading > 31 ? 31 : leading; /* there are five bits for it */
    if (window->leading != 0xff && leading >= window->leading && trailing >= window->trailing) {
        chunk_bits_put(writer, 2, 2);
        chunk_bits_put(writer, change >> window->trailing,
                       64u - window->leading - window->trailing);
        return;
    }
    *window = (struct chunk_xor){(uint8_t)leading, (uint8_t)trailing};
    uint32_t count = 64 - leading - trailing;
    chunk_bits_put(writer, 3, 2);
    chunk_bits_put(writer, leading, 5);
    chunk_bits_put(writer, count & 63, 6); /* 64 is written as 0 */
    chunk_bits_put(writer, change >> trailing, count);
}

/*
 * Reads what chunk_xor_put wrote. `window`: all-zero at the beginning, not CHUNK_XOR_NONE: a chunk
 * that Prometheus has gone on with after a restart uses a window that it never opened, all 64 bits.
 * A window that is none makes the reader short.
 */
static inline uint64_t chunk_xor_get(struct chunk_bit_reader *reader, struct chunk_xor *window)
{
    if (chunk_bits_get(reader, 1) == 0) {
        return 0;
    }
    if (chunk_bits_get(reader, 1) != 0) {
        uint32_t leading = (uint32_t)chunk_bits_get(reader, 5);
        uint32_t count = (uint32_t)chunk_bits_get(reader, 6);

        count = count == 0 ? 64 : count;
        if (leading + count > 64) {
            reader->is_short = true;
            return 0;
        }
        *window = (struct chunk_xor){(uint8_t)leading, (uint8_t)(64 - leading - count)};
    }
    return chunk_bits_get(reader, 64u - window->leading - window->trailing) << window->trailing;
}

#endif
