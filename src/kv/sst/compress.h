/*
 * Compression of blocks, as their type bytes name it.
 *
 * A *codec* holds the contexts and the scratch memory of one job at a time; a store keeps a few of
 * them between jobs. All of their memory is charged, snappy's, which takes it from malloc, by what
 * it takes at most.
 */
#ifndef QUARRY_KV_SST_COMPRESS_H
#define QUARRY_KV_SST_COMPRESS_H

#include <quarry/kv.h>

#include <kv/sst/heap.h>

/* The most that a block has uncompressed: a value of the largest size, and its key. */
#define SST_BLOCK_BYTES_MAX ((size_t)1152 << 20)

/* Bytes behind what sst_compress returns that are its caller's to write: a block's trailer. */
#define SST_ROOM_BEHIND 8u

struct sst_codec;

/* Idle codecs. More at a time are made and freed; this many are kept. */
#define SST_CODECS_KEPT 8u

struct sst_codecs {
    _Atomic(void *) idle[SST_CODECS_KEPT];
    struct sst_heap heap; /* const */
};

void sst_codecs_init(struct sst_codecs *codecs, const struct sst_heap *heap);
/* All codecs have been given back. */
void sst_codecs_fini(struct sst_codecs *codecs);

/*
 * Takes a codec, for one thread at a time.
 *
 * `ret_codec`: own; give it back with sst_codec_give. Errors: QUARRY_NO_MEMORY.
 * Cost: an exchange or two; a first one allocates.
 */
enum quarry_status sst_codec_take(struct sst_codecs *codecs, struct sst_codec **ret_codec);
/* `codec`: given; NULL does nothing. */
void sst_codec_give(struct sst_codecs *codecs, struct sst_codec *codec);

/*
 * Scratch memory of the codec, for bytes as they are in a file. Borrowed until it is asked for
 * again or the codec given back. Errors: QUARRY_NO_MEMORY, QUARRY_TOO_LARGE.
 */
enum quarry_status sst_codec_scratch(struct sst_codec *codec, size_t byte_count, char **ret_bytes);
/* Another such memory, for what the first is uncompressed to. */
enum quarry_status sst_codec_plain(struct sst_codec *codec, size_t byte_count, char **ret_bytes);

/* Whether a type byte is one that can be read; whether one that can be written. */
bool sst_compression_is_readable(uint8_t type);
bool sst_compression_is_writable(uint8_t type);
/* "Snappy", …: as the property rocksdb.compression has it. Returns: static. */
const char *sst_compression_name(uint8_t type);

/*
 * How many bytes a compressed block has uncompressed.
 *
 * `has_length`: lengths stand before the streams: format version 2 and later. In older ones a
 * stream of zlib's or bzip2's is uncompressed once, to count.
 * Errors: QUARRY_CORRUPT, QUARRY_UNSUPPORTED (the type), QUARRY_TOO_LARGE (above
 * SST_BLOCK_BYTES_MAX), QUARRY_NO_MEMORY.
 */
enum quarry_status sst_uncompressed_bytes(struct sst_codec *codec, uint8_t type, bool has_length,
                                          const char *bytes, size_t byte_count,
                                          size_t *ret_byte_count);

/* A dictionary of zstd's, lz4's or zlib's; bytes NULL: none. */
struct sst_dictionary {
    const char *bytes;
    size_t count;
};

/*
 * Uncompresses into `room` of just the bytes that sst_uncompressed_bytes told.
 * Errors: QUARRY_CORRUPT, QUARRY_NO_MEMORY.
 */
enum quarry_status sst_uncompress(struct sst_codec *codec, uint8_t type, bool has_length,
                                  const struct sst_dictionary *dictionary, const char *bytes,
                                  size_t byte_count, char *room, size_t room_bytes);

/*
 * Compresses, with the length before the stream (but snappy, which has its own).
 *
 * `level`: zstd's; 0: its default. `ret_bytes`: in the codec's scratch memory, borrowed as there.
 * Errors: QUARRY_NO_MEMORY; QUARRY_TOO_LARGE: not smaller than 7/8 of what it was: it is stored as
 * it is.
 */
enum quarry_status sst_compress(struct sst_codec *codec, uint8_t type, int32_t level,
                                const char *bytes, size_t byte_count, const char **ret_bytes,
                                size_t *ret_byte_count);

#endif
