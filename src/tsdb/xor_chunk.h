/*
 * Prometheus' XOR chunks (encoding 1): a series' samples as bits, time by its second difference,
 * values XORed. The bytes are those that Prometheus' own appender makes of the same samples.
 */
#ifndef QUARRY_TSDB_XOR_CHUNK_H
#define QUARRY_TSDB_XOR_CHUNK_H

#include <tsdb/chunk_bits.h>
#include <tsdb/types.h>

/* The samples that a chunk can count. */
#define XOR_CHUNK_SAMPLES_MAX 65535u
/* Bytes that hold `count` samples whatever they are: 145 bits each, the first two a little more. */
#define XOR_CHUNK_BYTES_MAX(count) ((size_t)(count)*19 + 16)

/* A chunk that is written. */
struct xor_chunk_appender {
    struct chunk_bit_writer bits;
    int64_t t_ms; /* of the last sample, as the next two */
    uint64_t delta_ms;
    uint64_t value;
    struct chunk_xor window;
    uint32_t count;
};

/* A chunk that is read. */
struct xor_chunk_iterator {
    struct chunk_bit_reader bits;
    int64_t t_ms;
    uint64_t delta_ms;
    uint64_t value;
    struct chunk_xor window;
    uint32_t index; /* of the next sample */
    uint32_t count; /* const */
};

/* Begins a chunk. `bytes`: borrowed while it is written; `capacity`: from 3. */
void xor_chunk_begin(struct xor_chunk_appender *appender, uint8_t *bytes, size_t capacity);
/*
 * Appends a sample. Returns: false: no room is left for a sample of any kind, or none may follow;
 * the chunk is as it was. Cost: some 60 instructions.
 */
bool xor_chunk_append(struct xor_chunk_appender *appender, struct tsdb_sample sample);
/* How many of the bytes are the chunk, which is whole after each call. */
static inline size_t xor_chunk_byte_count(const struct xor_chunk_appender *appender)
{
    return chunk_bits_byte_count(&appender->bits);
}

/* Errors: QUARRY_CORRUPT: not even a count. `bytes`: borrowed while it is read. */
enum quarry_status xor_chunk_read(struct xor_chunk_iterator *iterator, const uint8_t *bytes,
                                  size_t byte_count);
/*
 * The next sample. Errors: QUARRY_NOT_FOUND: there are no more; QUARRY_CORRUPT: the bytes end
 * within a sample, or are no sample; again at each further call. Times are what the bytes say,
 * rising or not. Cost: some 40 instructions.
 */
enum quarry_status xor_chunk_next(struct xor_chunk_iterator *iterator,
                                  struct tsdb_sample *ret_sample);

#endif
