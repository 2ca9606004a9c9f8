/*
 * gzip by zlib.
 *
 * Encoding is at level 1: exposition text becomes a tenth at 100 MB a second or so; the best level
 * takes ten times as long for a fifth less. What is decoded lands in a text with a limit, which is
 * looked at before each piece is decoded: a bomb costs what it may have, and no more.
 *
 * Locking: none. Memory: zlib's, of malloc, so of the same budget: 260 KiB to encode, 40 to decode.
 */
#include <serve/http/gzip.h>

#include <stdlib.h>

#define ZLIB_CONST
#include <zlib.h>

/* gzip's own header and trailer, and the largest window. */
#define GZIP_WINDOW (15 + 16)
#define LEVEL       1
#define MEMORY      8
/* Decoded, or encoded, in one step. */
#define PIECE_BYTES Q_KIB(16)
/* zlib counts in 32 bits. */
#define INPUT_MAX Q_GIB(1)

struct http_gzip {
    z_stream stream;
};

/* ---- decoding ------------------------------------------------------------------------------- */

static enum quarry_status decode_step(z_stream *stream, struct http_text *out, int *ret_result)
{
    size_t left = out->bytes_max - out->count;
    size_t piece = size_min(left, PIECE_BYTES);
    char beyond;
    char *room = left == 0 ? &beyond : http_text_room(out, piece);

    if (room == NULL) {
        return QUARRY_NO_MEMORY;
    }
    stream->next_out = (Bytef *)room;
    stream->avail_out = left == 0 ? 1 : (uInt)piece;
    uInt given = stream->avail_out;
    *ret_result = inflate(stream, Z_NO_FLUSH);
    uInt made = given - stream->avail_out;

    if (left == 0) {
        return made > 0 ? QUARRY_TOO_LARGE : QUARRY_OK;
    }
    out->count += made;
    return QUARRY_OK;
}

static enum quarry_status decode_all(z_stream *stream, struct http_text *out)
{
    for (;;) {
        int result = Z_OK;
        enum quarry_status status = decode_step(stream, out, &result);

        if (status != QUARRY_OK) {
            return status;
        }
        if (result == Z_STREAM_END) {
            return stream->avail_in == 0 ? QUARRY_OK : QUARRY_BAD_INPUT;
        }
        if (result == Z_MEM_ERROR) {
            return QUARRY_NO_MEMORY;
        }
        if (result != Z_OK || (stream->avail_in == 0 && stream->avail_out > 0)) {
            return QUARRY_BAD_INPUT; /* not gzip, or cut */
        }
    }
}

enum quarry_status http_gzip_decode(const char *bytes, size_t count, struct http_text *out)
{
    z_stream stream = {.next_in = (const Bytef *)bytes, .avail_in = (uInt)count};

    Q_ASSERT(count <= INPUT_MAX);
    if (inflateInit2(&stream, GZIP_WINDOW) != Z_OK) {
        return QUARRY_NO_MEMORY;
    }
    enum quarry_status status = decode_all(&stream, out);

    (void)inflateEnd(&stream);
    return status;
}

/* ---- encoding ------------------------------------------------------------------------------- */

struct http_gzip *http_gzip_begin(void)
{
    struct http_gzip *gzip = calloc(1, sizeof *gzip);

    if (gzip != NULL && deflateInit2(&gzip->stream, LEVEL, Z_DEFLATED, GZIP_WINDOW, MEMORY,
                                     Z_DEFAULT_STRATEGY) != Z_OK) {
        free(gzip);
        gzip = NULL;
    }
    return gzip;
}

bool http_gzip_add(struct http_gzip *gzip, const char *bytes, size_t count, bool is_last,
                   struct http_text *out)
{
    z_stream *stream = &gzip->stream;
    int result = Z_OK;

    Q_ASSERT(count <= INPUT_MAX);
    stream->next_in = (const Bytef *)bytes;
    stream->avail_in = (uInt)count;
    do {
        char *room = http_text_room(out, PIECE_BYTES);
        if (room == NULL) {
            return false;
        }
        stream->next_out = (Bytef *)room;
        stream->avail_out = PIECE_BYTES;
        result = deflate(stream, is_last ? Z_FINISH : Z_SYNC_FLUSH);
        Q_ASSERT(result == Z_OK || result == Z_STREAM_END || result == Z_BUF_ERROR);
        out->count += PIECE_BYTES - stream->avail_out;
    } while (stream->avail_out == 0);
    Q_DCHECK(stream->avail_in == 0 && (!is_last || result == Z_STREAM_END));
    return true;
}

void http_gzip_end(struct http_gzip *gzip)
{
    if (gzip != NULL) {
        (void)deflateEnd(&gzip->stream);
        free(gzip);
    }
}
