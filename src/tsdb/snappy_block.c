/*
 * snappy, with what it does not check.
 *
 *     | length, varint32 | 00 literal | 01, 02, 11 copies | …
 *
 * The library asks for memory of the length that a block declares, and five bytes can declare 4
 * GiB. A copy of two bytes of offset is three bytes for at most 64: nothing gives more. So a block
 * of n bytes uncompresses to at most 64 n / 3, and one that declares more is refused as damaged
 * though its length might be below the caller's limit: a small body never makes a large buffer be
 * taken.
 */
#include <tsdb/snappy_block.h>

#include <snappy-c.h>

#include <base/base.h>

/* The most bytes that one byte of a block can become, as a fraction. */
#define EXPANSION_BYTES 64
#define EXPANSION_OF    3

enum quarry_status tsdb_snappy_length(struct tsdb_slice body, size_t bytes_max,
                                      size_t *ret_byte_count, struct quarry_error *error)
{
    const uint8_t *begin = (const uint8_t *)body.bytes;
    uint32_t declared;
    const size_t length_bytes = varint_get_u32(begin, begin + body.count, &declared);

    if (length_bytes == 0) {
        return error_set(error, QUARRY_BAD_INPUT,
                         "snappy: byte 0: there is no length in a body of %zu bytes", body.count);
    }
    if (declared > bytes_max) {
        return error_set(error, QUARRY_TOO_LARGE, "snappy: %u bytes declared, at most %zu allowed",
                         declared, bytes_max);
    }
    if (declared / EXPANSION_BYTES > (body.count - length_bytes) / EXPANSION_OF) {
        return error_set(error, QUARRY_BAD_INPUT,
                         "snappy: %u bytes declared, more than %zu compressed ones can hold",
                         declared, body.count - length_bytes);
    }
    *ret_byte_count = declared;
    return QUARRY_OK;
}

enum quarry_status tsdb_snappy_read(struct tsdb_slice body, char *room, size_t room_bytes,
                                    struct quarry_error *error)
{
    size_t declared = 0;

    if (tsdb_snappy_length(body, room_bytes, &declared, error) != QUARRY_OK ||
        declared != room_bytes) {
        return error_set(error, QUARRY_BAD_INPUT, "snappy: not the %zu bytes that were expected",
                         room_bytes);
    }
    size_t written = room_bytes;
    if (snappy_uncompress(body.bytes, body.count, room, &written) != SNAPPY_OK) {
        return error_set(error, QUARRY_BAD_INPUT,
                         "snappy: a body of %zu bytes is damaged, or not in the block format",
                         body.count);
    }
    Q_ASSERT(written == room_bytes);
    return QUARRY_OK;
}

size_t tsdb_snappy_bytes_max(size_t byte_count)
{
    return snappy_max_compressed_length(byte_count);
}

size_t tsdb_snappy_write(struct tsdb_slice plain, char *room)
{
    size_t written = snappy_max_compressed_length(plain.count);
    const snappy_status status = snappy_compress(plain.bytes, plain.count, room, &written);

    Q_ASSERT(status == SNAPPY_OK); /* it fails for want of room alone */
    return written;
}
