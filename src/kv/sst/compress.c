/*
 * Compression of blocks.
 *
 *     none     | bytes |
 *     snappy   | length, varint, snappy's own | stream |
 *     zlib, bzip2, lz4, zstd    | length, varint32 | stream |       from format version 2 on
 *     lz4      | length, 8 bytes | stream |                         before
 *     zlib, bzip2               | stream |                          before
 *
 * zlib's stream is a raw one with a window of 2^14; it and bzip2 are read only. Whatever RocksDB
 * writes by lz4hc is read as lz4. A length comes from a file: it is believed only up to
 * SST_BLOCK_BYTES_MAX, and room for it is the caller's to find.
 *
 * A codec is made of what a job may want: scratch memory, lz4's state, zstd's two contexts, each
 * made when first wanted. Codecs wait in a few slots of the store, taken by an exchange and given
 * by a compare-and-swap; scratch memory above SCRATCH_BYTES_KEPT does not wait with them.
 *
 * Memory: zlib, bzip2 and zstd allocate through the codec, with the size before each piece. snappy
 * has no such hook: SNAPPY_BYTES are charged for as long as a codec that has used it lives.
 *
 * Cost: of 4 KiB about 4 µs to compress and 1 µs to uncompress by lz4 or snappy.
 */
#include <kv/sst/compress.h>

#include <limits.h>
#include <string.h>

#include <bzlib.h>
#include <lz4.h>
#include <snappy-c.h>
#include <zlib.h>
#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>
#include <zstd_errors.h>

/* More waits for the next job only in vain: blocks are 4 to 64 KiB, rarely more. */
#define SCRATCH_BYTES_KEPT ((size_t)256 << 10)
/* What snappy's compression takes at most: a fragment of 64 KiB, its compressed form, a table. */
#define SNAPPY_BYTES ((size_t)192 << 10)
/* RocksDB's zlib streams: a raw one of this window. */
#define ZLIB_WINDOW_BITS (-14)
/* zstd's name in the time before its format was final. */
#define TYPE_ZSTD_OLD 0x40

struct sst_codec {
    const struct sst_heap *heap; /* the set's */
    struct sst_buffer scratch, plain;
    void *lz4_state; /* of LZ4_sizeofState() bytes; NULL: not wanted yet, as those below */
    ZSTD_CCtx *zstd_compress;
    ZSTD_DCtx *zstd_uncompress;
    bool is_snappy_charged;
};

/* ---- memory of the libraries ---------------------------------------------------------------- */

/* Stands before a piece; 16 bytes keep its alignment. */
struct piece {
    size_t byte_count; /* of the whole */
    size_t unused;
};

static void *piece_alloc(void *argument, size_t byte_count)
{
    const struct sst_codec *codec = argument;
    void *object;
    size_t total;

    if (!checked_add_size(byte_count, sizeof(struct piece), &total) ||
        sst_heap_alloc(codec->heap, total, &object) != QUARRY_OK) {
        return NULL;
    }
    struct piece *piece = object;
    piece->byte_count = total;
    return piece + 1;
}

static void piece_free(void *argument, void *object)
{
    const struct sst_codec *codec = argument;

    if (object != NULL) {
        struct piece *piece = (struct piece *)object - 1;
        sst_heap_free(codec->heap, piece, piece->byte_count);
    }
}

static void *zlib_alloc(void *argument, unsigned count, unsigned byte_count)
{
    return piece_alloc(argument, (size_t)count * byte_count);
}

static void *bzip2_alloc(void *argument, int count, int byte_count)
{
    return piece_alloc(argument, (size_t)count * (size_t)byte_count);
}

/* ---- codecs --------------------------------------------------------------------------------- */

void sst_codecs_init(struct sst_codecs *codecs, const struct sst_heap *heap)
{
    codecs->heap = *heap;
    for (size_t i = 0; i < SST_CODECS_KEPT; i++) {
        atomic_store_relaxed_ptr(&codecs->idle[i], NULL);
    }
}

static void codec_destroy(struct sst_codec *codec)
{
    const struct sst_heap *heap = codec->heap;

    (void)ZSTD_freeCCtx(codec->zstd_compress);
    (void)ZSTD_freeDCtx(codec->zstd_uncompress);
    if (codec->lz4_state != NULL) {
        sst_heap_free(heap, codec->lz4_state, (size_t)LZ4_sizeofState());
    }
    if (codec->is_snappy_charged) {
        quarry_account_uncharge(heap->account, SNAPPY_BYTES);
    }
    sst_buffer_fini(heap, &codec->scratch);
    sst_buffer_fini(heap, &codec->plain);
    sst_heap_free(heap, codec, sizeof(*codec));
}

void sst_codecs_fini(struct sst_codecs *codecs)
{
    for (size_t i = 0; i < SST_CODECS_KEPT; i++) {
        /* Acquire: pairs with the release in sst_codec_give. */
        struct sst_codec *codec = atomic_exchange_acquire_ptr(&codecs->idle[i], NULL);
        if (codec != NULL) {
            codec_destroy(codec);
        }
    }
}

enum quarry_status sst_codec_take(struct sst_codecs *codecs, struct sst_codec **ret_codec)
{
    void *object;

    for (size_t i = 0; i < SST_CODECS_KEPT; i++) {
        /* Relaxed: a look. Acquire: pairs with the release in sst_codec_give. */
        if (atomic_load_relaxed_ptr(&codecs->idle[i]) != NULL &&
            (object = atomic_exchange_acquire_ptr(&codecs->idle[i], NULL)) != NULL) {
            *ret_codec = object;
            return QUARRY_OK;
        }
    }
    enum quarry_status status = sst_heap_alloc(&codecs->heap, sizeof(struct sst_codec), &object);
    if (status != QUARRY_OK) {
        return status;
    }
    *ret_codec = object;
    **ret_codec = (struct sst_codec){.heap = &codecs->heap};
    return QUARRY_OK;
}

void sst_codec_give(struct sst_codecs *codecs, struct sst_codec *codec)
{
    if (codec == NULL) {
        return;
    }
    if (codec->scratch.capacity > SCRATCH_BYTES_KEPT) {
        sst_buffer_fini(codec->heap, &codec->scratch);
    }
    if (codec->plain.capacity > SCRATCH_BYTES_KEPT) {
        sst_buffer_fini(codec->heap, &codec->plain);
    }
    for (size_t i = 0; i < SST_CODECS_KEPT; i++) {
        void *none = NULL;
        /* Release: pairs with the acquire in sst_codec_take. */
        if (atomic_cas_release_ptr(&codecs->idle[i], &none, codec)) {
            return;
        }
    }
    codec_destroy(codec);
}

static enum quarry_status make_room(struct sst_codec *codec, struct sst_buffer *buffer,
                                    size_t byte_count, char **ret_bytes)
{
    buffer->count = 0;
    enum quarry_status status = sst_buffer_reserve(codec->heap, buffer, byte_count);
    if (status == QUARRY_OK) {
        *ret_bytes = buffer->bytes;
    }
    return status;
}

enum quarry_status sst_codec_scratch(struct sst_codec *codec, size_t byte_count, char **ret_bytes)
{
    return make_room(codec, &codec->scratch, byte_count, ret_bytes);
}

enum quarry_status sst_codec_plain(struct sst_codec *codec, size_t byte_count, char **ret_bytes)
{
    return make_room(codec, &codec->plain, byte_count, ret_bytes);
}

/* ---- names ---------------------------------------------------------------------------------- */

bool sst_compression_is_readable(uint8_t type)
{
    return type <= QUARRY_KV_COMPRESSION_LZ4HC || type == QUARRY_KV_COMPRESSION_ZSTD ||
           type == TYPE_ZSTD_OLD;
}

bool sst_compression_is_writable(uint8_t type)
{
    return type == QUARRY_KV_COMPRESSION_NONE || type == QUARRY_KV_COMPRESSION_SNAPPY ||
           type == QUARRY_KV_COMPRESSION_LZ4 || type == QUARRY_KV_COMPRESSION_ZSTD;
}

const char *sst_compression_name(uint8_t type)
{
    static const char *const names[] = {"NoCompression", "Snappy", "Zlib",   "BZip2",
                                        "LZ4",           "LZ4HC",  "Xpress", "ZSTD"};

    if (type == TYPE_ZSTD_OLD) {
        return "ZSTDNotFinal";
    }
    return type < sizeof(names) / sizeof(names[0]) ? names[type] : "unknown";
}

/* ---- zlib and bzip2, which are only read ---------------------------------------------------- */

/*
 * Uncompresses into `room`, or where that is NULL into nothing, to count. Returns: how many bytes
 * came out in `ret_byte_count`; OK only at the stream's end.
 */
static enum quarry_status inflate_stream(struct sst_codec *codec,
                                         const struct sst_dictionary *dictionary, const char *bytes,
                                         size_t byte_count, char *room, size_t room_bytes,
                                         size_t *ret_byte_count)
{
    char sink[1024];
    z_stream stream = {.zalloc = zlib_alloc, .zfree = piece_free, .opaque = codec};
    int result = inflateInit2(&stream, ZLIB_WINDOW_BITS);

    if (result != Z_OK) {
        return QUARRY_NO_MEMORY;
    }
    if (dictionary != NULL && dictionary->count != 0) {
        (void)inflateSetDictionary(&stream, (const Bytef *)dictionary->bytes,
                                   (uInt)dictionary->count);
    }
    stream.next_in = (z_const Bytef *)(uintptr_t)bytes;
    stream.avail_in = (uInt)byte_count;
    stream.next_out = (Bytef *)room;
    stream.avail_out = (uInt)room_bytes;
    do {
        if (room == NULL) {
            stream.next_out = (Bytef *)sink;
            stream.avail_out = sizeof(sink);
        }
        result = inflate(&stream, Z_SYNC_FLUSH);
    } while (result == Z_OK && room == NULL && stream.total_out <= SST_BLOCK_BYTES_MAX);
    *ret_byte_count = stream.total_out;
    (void)inflateEnd(&stream);
    if (result == Z_MEM_ERROR) {
        return QUARRY_NO_MEMORY;
    }
    return result == Z_STREAM_END ? QUARRY_OK : QUARRY_CORRUPT;
}

static enum quarry_status bunzip_stream(struct sst_codec *codec, const char *bytes,
                                        size_t byte_count, char *room, size_t room_bytes,
                                        size_t *ret_byte_count)
{
    char sink[1024];
    bz_stream stream = {.bzalloc = bzip2_alloc, .bzfree = piece_free, .opaque = codec};
    uint64_t total;
    int result = BZ2_bzDecompressInit(&stream, 0, 0);

    if (result != BZ_OK) {
        return QUARRY_NO_MEMORY;
    }
    stream.next_in = (char *)(uintptr_t)bytes;
    stream.avail_in = (unsigned)byte_count;
    stream.next_out = room;
    stream.avail_out = (unsigned)room_bytes;
    do {
        unsigned left = stream.avail_in;
        if (room == NULL) {
            stream.next_out = sink;
            stream.avail_out = sizeof(sink);
        }
        result = BZ2_bzDecompress(&stream);
        total = (uint64_t)stream.total_out_hi32 << 32 | stream.total_out_lo32;
        if (result == BZ_OK && left == stream.avail_in && stream.avail_out != 0) {
            result = BZ_DATA_ERROR; /* it ends before its end */
        }
    } while (result == BZ_OK && (room == NULL || stream.avail_out != 0) &&
             total <= SST_BLOCK_BYTES_MAX);
    (void)BZ2_bzDecompressEnd(&stream);
    *ret_byte_count = total;
    if (result == BZ_MEM_ERROR) {
        return QUARRY_NO_MEMORY;
    }
    return result == BZ_STREAM_END ? QUARRY_OK : QUARRY_CORRUPT;
}

/* ---- lengths -------------------------------------------------------------------------------- */

/* Bytes before a stream: of its length. Returns: 0: it has none. SIZE_MAX: it makes no sense. */
static size_t parse_length(uint8_t type, bool has_length, const char *bytes, size_t byte_count,
                           uint64_t *ret_length)
{
    if (!has_length && (type == QUARRY_KV_COMPRESSION_LZ4 || type == QUARRY_KV_COMPRESSION_LZ4HC)) {
        if (byte_count < 8) {
            return SIZE_MAX;
        }
        *ret_length = endian_load_le_u64(bytes);
        return 8;
    }
    if (!has_length &&
        (type == QUARRY_KV_COMPRESSION_ZLIB || type == QUARRY_KV_COMPRESSION_BZIP2)) {
        return 0;
    }
    uint32_t length;
    size_t used =
        varint_get_u32((const uint8_t *)bytes, (const uint8_t *)bytes + byte_count, &length);
    *ret_length = length;
    return used == 0 ? SIZE_MAX : used;
}

static enum quarry_status count_stream(struct sst_codec *codec, uint8_t type, const char *bytes,
                                       size_t byte_count, size_t *ret_byte_count)
{
    return type == QUARRY_KV_COMPRESSION_ZLIB
               ? inflate_stream(codec, NULL, bytes, byte_count, NULL, 0, ret_byte_count)
               : bunzip_stream(codec, bytes, byte_count, NULL, 0, ret_byte_count);
}

enum quarry_status sst_uncompressed_bytes(struct sst_codec *codec, uint8_t type, bool has_length,
                                          const char *bytes, size_t byte_count,
                                          size_t *ret_byte_count)
{
    uint64_t length = 0;

    if (!sst_compression_is_readable(type)) {
        return QUARRY_UNSUPPORTED;
    }
    if (byte_count > SST_BLOCK_BYTES_MAX) {
        return QUARRY_TOO_LARGE;
    }
    if (type == QUARRY_KV_COMPRESSION_NONE) {
        *ret_byte_count = byte_count;
        return QUARRY_OK;
    }
    size_t before = parse_length(type, has_length, bytes, byte_count, &length);
    if (before == SIZE_MAX) {
        return QUARRY_CORRUPT;
    }
    if (before == 0) {
        return count_stream(codec, type, bytes, byte_count, ret_byte_count);
    }
    if (length > SST_BLOCK_BYTES_MAX) {
        return QUARRY_TOO_LARGE;
    }
    *ret_byte_count = length;
    return QUARRY_OK;
}

/* ---- uncompressing -------------------------------------------------------------------------- */

static enum quarry_status unlz4(const struct sst_dictionary *dictionary, const char *bytes,
                                size_t byte_count, char *room, size_t room_bytes)
{
    bool has_dictionary = dictionary != NULL && dictionary->count != 0;
    int count = LZ4_decompress_safe_usingDict(bytes, room, (int)byte_count, (int)room_bytes,
                                              has_dictionary ? dictionary->bytes : NULL,
                                              has_dictionary ? (int)dictionary->count : 0);

    return count >= 0 && (size_t)count == room_bytes ? QUARRY_OK : QUARRY_CORRUPT;
}

static enum quarry_status unzstd(struct sst_codec *codec, const struct sst_dictionary *dictionary,
                                 const char *bytes, size_t byte_count, char *room,
                                 size_t room_bytes)
{
    bool has_dictionary = dictionary != NULL && dictionary->count != 0;

    if (codec->zstd_uncompress == NULL) {
        const ZSTD_customMem memory = {piece_alloc, piece_free, codec};
        codec->zstd_uncompress = ZSTD_createDCtx_advanced(memory);
        if (codec->zstd_uncompress == NULL) {
            return QUARRY_NO_MEMORY;
        }
    }
    size_t count = ZSTD_decompress_usingDict(codec->zstd_uncompress, room, room_bytes, bytes,
                                             byte_count, has_dictionary ? dictionary->bytes : NULL,
                                             has_dictionary ? dictionary->count : 0);
    return !ZSTD_isError(count) && count == room_bytes ? QUARRY_OK : QUARRY_CORRUPT;
}

static enum quarry_status unsnappy(const char *bytes, size_t byte_count, char *room,
                                   size_t room_bytes)
{
    size_t count = room_bytes;

    return snappy_uncompress(bytes, byte_count, room, &count) == SNAPPY_OK && count == room_bytes
               ? QUARRY_OK
               : QUARRY_CORRUPT;
}

static enum quarry_status unstream(struct sst_codec *codec, uint8_t type,
                                   const struct sst_dictionary *dictionary, const char *bytes,
                                   size_t byte_count, char *room, size_t room_bytes)
{
    size_t count = 0;
    enum quarry_status status =
        type == QUARRY_KV_COMPRESSION_ZLIB
            ? inflate_stream(codec, dictionary, bytes, byte_count, room, room_bytes, &count)
            : bunzip_stream(codec, bytes, byte_count, room, room_bytes, &count);

    return status == QUARRY_OK && count != room_bytes ? QUARRY_CORRUPT : status;
}

enum quarry_status sst_uncompress(struct sst_codec *codec, uint8_t type, bool has_length,
                                  const struct sst_dictionary *dictionary, const char *bytes,
                                  size_t byte_count, char *room, size_t room_bytes)
{
    uint64_t length;

    Q_ASSERT(byte_count <= SST_BLOCK_BYTES_MAX && room_bytes <= SST_BLOCK_BYTES_MAX);
    if (type == QUARRY_KV_COMPRESSION_SNAPPY) {
        return unsnappy(bytes, byte_count, room, room_bytes);
    }
    size_t before = parse_length(type, has_length, bytes, byte_count, &length);
    if (before == SIZE_MAX || room_bytes == 0) {
        return QUARRY_CORRUPT; /* no block is empty */
    }
    bytes += before;
    byte_count -= before;
    switch (type) {
    case QUARRY_KV_COMPRESSION_ZLIB:
    case QUARRY_KV_COMPRESSION_BZIP2:
        return unstream(codec, type, dictionary, bytes, byte_count, room, room_bytes);
    case QUARRY_KV_COMPRESSION_LZ4:
    case QUARRY_KV_COMPRESSION_LZ4HC:
        return unlz4(dictionary, bytes, byte_count, room, room_bytes);
    case QUARRY_KV_COMPRESSION_ZSTD:
    case TYPE_ZSTD_OLD:
        return unzstd(codec, dictionary, bytes, byte_count, room, room_bytes);
    default:
        return QUARRY_UNSUPPORTED;
    }
}

/* ---- compressing ---------------------------------------------------------------------------- */

static enum quarry_status snappy_block(struct sst_codec *codec, const char *bytes,
                                       size_t byte_count, char *room, size_t room_bytes,
                                       size_t *ret_byte_count)
{
    if (!codec->is_snappy_charged) {
        enum quarry_status status = quarry_account_charge(codec->heap->account, SNAPPY_BYTES);
        if (status != QUARRY_OK) {
            return status;
        }
        codec->is_snappy_charged = true;
    }
    *ret_byte_count = room_bytes;
    snappy_status result = snappy_compress(bytes, byte_count, room, ret_byte_count);
    Q_ASSERT(result == SNAPPY_OK);
    return QUARRY_OK;
}

static enum quarry_status lz4_block(struct sst_codec *codec, const char *bytes, size_t byte_count,
                                    char *room, size_t room_bytes, size_t *ret_byte_count)
{
    if (codec->lz4_state == NULL) {
        enum quarry_status status =
            sst_heap_alloc(codec->heap, (size_t)LZ4_sizeofState(), &codec->lz4_state);
        if (status != QUARRY_OK) {
            return status;
        }
    }
    int count = LZ4_compress_fast_extState(codec->lz4_state, bytes, room, (int)byte_count,
                                           (int)room_bytes, 1);
    *ret_byte_count = (size_t)count;
    return count > 0 ? QUARRY_OK : QUARRY_TOO_LARGE;
}

static enum quarry_status zstd_block(struct sst_codec *codec, int32_t level, const char *bytes,
                                     size_t byte_count, char *room, size_t room_bytes,
                                     size_t *ret_byte_count)
{
    if (codec->zstd_compress == NULL) {
        const ZSTD_customMem memory = {piece_alloc, piece_free, codec};
        codec->zstd_compress = ZSTD_createCCtx_advanced(memory);
        if (codec->zstd_compress == NULL) {
            return QUARRY_NO_MEMORY;
        }
    }
    size_t count = ZSTD_compressCCtx(codec->zstd_compress, room, room_bytes, bytes, byte_count,
                                     level == 0 ? ZSTD_CLEVEL_DEFAULT : (int)level);
    if (ZSTD_isError(count)) {
        return ZSTD_getErrorCode(count) == ZSTD_error_memory_allocation ? QUARRY_NO_MEMORY
                                                                        : QUARRY_TOO_LARGE;
    }
    *ret_byte_count = count;
    return QUARRY_OK;
}

static size_t room_for(uint8_t type, size_t byte_count)
{
    switch (type) {
    case QUARRY_KV_COMPRESSION_SNAPPY:
        return snappy_max_compressed_length(byte_count);
    case QUARRY_KV_COMPRESSION_LZ4:
        return (size_t)LZ4_compressBound((int)byte_count);
    default:
        return ZSTD_compressBound(byte_count);
    }
}

enum quarry_status sst_compress(struct sst_codec *codec, uint8_t type, int32_t level,
                                const char *bytes, size_t byte_count, const char **ret_bytes,
                                size_t *ret_byte_count)
{
    size_t before = 0, count = 0;
    char *room;

    Q_ASSERT(sst_compression_is_writable(type) && type != QUARRY_KV_COMPRESSION_NONE);
    if (byte_count > SST_BLOCK_BYTES_MAX) {
        return QUARRY_TOO_LARGE;
    }
    size_t bound = room_for(type, byte_count);
    enum quarry_status status =
        sst_codec_scratch(codec, bound + VARINT_U32_BYTES_MAX + SST_ROOM_BEHIND, &room);
    if (status != QUARRY_OK) {
        return status;
    }
    if (type == QUARRY_KV_COMPRESSION_SNAPPY) {
        status = snappy_block(codec, bytes, byte_count, room, bound, &count);
    } else {
        before = varint_put_u32((uint8_t *)room, (uint32_t)byte_count);
        status = type == QUARRY_KV_COMPRESSION_LZ4
                     ? lz4_block(codec, bytes, byte_count, room + before, bound, &count)
                     : zstd_block(codec, level, bytes, byte_count, room + before, bound, &count);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    if (before + count >= byte_count - byte_count / 8) {
        return QUARRY_TOO_LARGE;
    }
    *ret_bytes = room;
    *ret_byte_count = before + count;
    return QUARRY_OK;
}
