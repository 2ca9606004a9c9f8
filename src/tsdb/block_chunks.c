/*
 * Files of chunks.
 *
 *     +-------+------------+---------------------------------------------+
 *     | magic | 1, 0, 0, 0 | varint n | encoding | n bytes | crc32c | ... |
 *     | u32   |            |          | u8       |         | u32    |     |
 *     +-------+------------+---------------------------------------------+
 *
 * The checksum is of the encoding and the bytes. Files are numbered from 000001; a reference counts
 * them from 0. A file is synced before the next one is begun, so that a block of many does not end
 * in one long wait.
 *
 * A reader has one file open. Chunks of a series lie behind each other, and series in the order of
 * the index, in any block that was written at once, so that a walk reads each file front to back.
 */
#include <tsdb/block_chunks.h>

#include <stdio.h>

#define DIRECTORY_NAME "chunks"
#define MAGIC          UINT32_C(0x85bd40dd)
#define VERSION        1u
#define HEADER_BYTES   8u
#define BUFFER_BYTES   Q_KIB(256)
#define WINDOW_BYTES   Q_KIB(64)
/* The longest that is taken for a chunk: 65535 histograms of 160 buckets in 9 bytes are 90 MiB, but
 * no writer goes beyond some hundred of them. */
#define CHUNK_BYTES_MAX Q_MIB(16)

/* ---- writing -------------------------------------------------------------------------------- */

enum quarry_status block_chunks_init(struct block_chunks_writer *writer, struct tsdb_memory *memory,
                                     struct quarry_vfs *vfs, const char *block_directory,
                                     uint64_t file_bytes_max, struct quarry_error *error)
{
    *writer = (struct block_chunks_writer){
        .memory = memory,
        .vfs = vfs,
        .directory = block_path_join(memory, block_directory, DIRECTORY_NAME),
        .file_bytes_max = file_bytes_max,
    };
    if (writer->directory == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "no memory to write chunks");
    }
    return quarry_vfs_make_directory(vfs, writer->directory, error);
}

void block_chunks_fini(struct block_chunks_writer *writer)
{
    if (writer->memory != NULL) {
        block_out_fini(&writer->out);
        tsdb_memory_give(writer->memory, writer->directory);
    }
}

static char *file_path(struct tsdb_memory *memory, const char *directory, uint32_t number)
{
    char name[16];

    (void)snprintf(name, sizeof name, "%06u", number + 1);
    return block_path_join(memory, directory, name);
}

static enum quarry_status end_file(struct block_chunks_writer *writer, struct quarry_error *error)
{
    enum quarry_status status =
        writer->out.file == NULL ? QUARRY_OK : block_out_sync(&writer->out, error);

    block_out_fini(&writer->out);
    return status;
}

static enum quarry_status begin_file(struct block_chunks_writer *writer, struct quarry_error *error)
{
    enum quarry_status status = end_file(writer, error);

    if (status == QUARRY_OK && writer->file_count == UINT32_MAX) {
        return error_set(error, QUARRY_TOO_LARGE, "%s: more than 2^32 files", writer->directory);
    }
    if (status == QUARRY_OK) {
        status = block_out_create(&writer->out, writer->memory, writer->vfs,
                                  file_path(writer->memory, writer->directory, writer->file_count),
                                  BUFFER_BYTES, error);
    }
    if (status == QUARRY_OK) {
        writer->file_count++;
        block_out_put_u32(&writer->out, MAGIC);
        block_out_put_u32(&writer->out, VERSION << 24);
    }
    return status;
}

enum quarry_status block_chunks_add(struct block_chunks_writer *writer,
                                    enum block_encoding encoding, const uint8_t *bytes,
                                    size_t byte_count, uint64_t *ret_ref,
                                    struct quarry_error *error)
{
    struct block_out *out = &writer->out;

    if (out->file == NULL ||
        block_out_offset(out) + byte_count + VARINT_U32_BYTES_MAX + 5 > writer->file_bytes_max) {
        enum quarry_status status = begin_file(writer, error);
        if (status != QUARRY_OK) {
            return status;
        }
    }
    *ret_ref = (uint64_t)(writer->file_count - 1) << 32 | block_out_offset(out);
    block_out_put_varint(out, byte_count);
    block_out_begin_crc(out);
    block_out_put_u8(out, (uint8_t)encoding);
    block_out_put(out, bytes, byte_count);
    block_out_put_u32(out, out->crc);
    return block_out_check(out, error);
}

enum quarry_status block_chunks_finish(struct block_chunks_writer *writer,
                                       struct quarry_error *error)
{
    enum quarry_status status = end_file(writer, error);

    return status == QUARRY_OK ? quarry_vfs_sync_directory(writer->vfs, writer->directory, error)
                               : status;
}

/* ---- reading -------------------------------------------------------------------------------- */

enum quarry_status block_chunks_open(struct block_chunks_reader *reader, struct tsdb_memory *memory,
                                     struct quarry_vfs *vfs, const char *block_directory,
                                     struct quarry_error *error)
{
    *reader = (struct block_chunks_reader){
        .memory = memory,
        .vfs = vfs,
        .directory = block_path_join(memory, block_directory, DIRECTORY_NAME),
    };
    return reader->directory != NULL
               ? QUARRY_OK
               : error_set(error, QUARRY_NO_MEMORY, "no memory to read chunks");
}

void block_chunks_close(struct block_chunks_reader *reader)
{
    if (reader->memory != NULL) {
        block_in_fini(&reader->in);
        tsdb_memory_give(reader->memory, reader->directory);
    }
}

static enum quarry_status open_file(struct block_chunks_reader *reader, uint32_t file,
                                    struct quarry_error *error)
{
    struct block_in *in = &reader->in;
    const uint8_t *bytes = NULL;

    if (in->file != NULL && reader->file == file) {
        return QUARRY_OK;
    }
    block_in_fini(in);
    enum quarry_status status =
        block_in_open(in, reader->memory, reader->vfs,
                      file_path(reader->memory, reader->directory, file), WINDOW_BYTES, error);
    if (status == QUARRY_OK) {
        status = block_in_view(in, 0, HEADER_BYTES, &bytes, error);
    }
    if (status == QUARRY_OK && endian_load_be_u32(bytes) != MAGIC) {
        status = block_in_corrupt(in, 0, "not a file of chunks", error);
    } else if (status == QUARRY_OK && bytes[4] != VERSION) {
        status =
            error_set(error, QUARRY_UNSUPPORTED,
                      "%.120s: offset 4: version %u of files of chunks, not 1", in->path, bytes[4]);
    }
    if (status != QUARRY_OK) {
        block_in_fini(in);
        return status;
    }
    reader->file = file;
    return QUARRY_OK;
}

enum quarry_status block_encoding_of(const struct block_in *in, uint64_t offset, uint8_t byte,
                                     enum block_encoding *ret_encoding, struct quarry_error *error)
{
    static const char *const newer[] = {"XOR2", "histograms with start times",
                                        "float histograms with start times"};

    if (byte >= 4 && byte <= 6) {
        return error_set(error, QUARRY_UNSUPPORTED,
                         "%.120s: offset %llu: a chunk of encoding %u, %s, of Prometheus 3.13 or "
                         "later",
                         in->path, (unsigned long long)offset, byte, newer[byte - 4]);
    }
    if (byte < BLOCK_ENCODING_XOR || byte > BLOCK_ENCODING_FLOAT_HISTOGRAM) {
        return error_set(error, QUARRY_CORRUPT, "%.120s: offset %llu: a chunk of encoding %u",
                         in->path, (unsigned long long)offset, byte);
    }
    *ret_encoding = (enum block_encoding)byte;
    return QUARRY_OK;
}

enum quarry_status block_chunks_read(struct block_chunks_reader *reader, uint64_t ref,
                                     enum block_encoding *ret_encoding, const uint8_t **ret_bytes,
                                     size_t *ret_byte_count, struct quarry_error *error)
{
    struct block_in *in = &reader->in;
    uint64_t offset = (uint32_t)ref;
    const uint8_t *bytes = NULL;
    uint32_t length = 0;
    enum quarry_status status = open_file(reader, (uint32_t)(ref >> 32), error);

    if (status != QUARRY_OK) {
        return status;
    }
    size_t head = block_in_left(in, offset, VARINT_U32_BYTES_MAX);
    status = block_in_view(in, offset, head, &bytes, error);
    if (status != QUARRY_OK) {
        return status;
    }
    size_t taken = varint_get_u32(bytes, bytes + head, &length);
    if (taken == 0 || length > CHUNK_BYTES_MAX) {
        return block_in_corrupt(in, offset, "not the length of a chunk", error);
    }
    status = block_in_view(in, offset, taken + 1 + length + 4, &bytes, error);
    if (status != QUARRY_OK) {
        return status;
    }
    bytes += taken;
    if (endian_load_be_u32(bytes + 1 + length) != crc32c_value(bytes, 1 + (size_t)length)) {
        return block_in_corrupt(in, offset, "checksum of a chunk does not match", error);
    }
    *ret_bytes = bytes + 1;
    *ret_byte_count = length;
    return block_encoding_of(in, offset + taken, bytes[0], ret_encoding, error);
}
