/*
 * The chunks of a block: files of many, one behind another, each with its checksum.
 */
#ifndef QUARRY_TSDB_BLOCK_CHUNKS_H
#define QUARRY_TSDB_BLOCK_CHUNKS_H

#include <tsdb/block_file.h>

/* How the samples of a chunk are written. */
enum block_encoding {
    BLOCK_ENCODING_XOR = 1,
    BLOCK_ENCODING_HISTOGRAM = 2,
    BLOCK_ENCODING_FLOAT_HISTOGRAM = 3,
};

/* What Prometheus cuts a file at. */
#define BLOCK_CHUNKS_FILE_BYTES Q_MIB(512)

struct block_chunks_writer {
    struct tsdb_memory *memory; /* borrowed */
    struct quarry_vfs *vfs;     /* borrowed */
    char *directory;            /* own */
    struct block_out out;       /* the file under way; all-zero: none yet */
    uint64_t file_bytes_max;    /* const */
    uint32_t file_count;
};

/*
 * Begins, in the directory "chunks" of a block, which is made. Errors: QUARRY_NO_MEMORY, of the
 * vfs.
 */
enum quarry_status block_chunks_init(struct block_chunks_writer *writer, struct tsdb_memory *memory,
                                     struct quarry_vfs *vfs, const char *block_directory,
                                     uint64_t file_bytes_max, struct quarry_error *error);
/* All-zero does nothing. */
void block_chunks_fini(struct block_chunks_writer *writer);
/*
 * Writes a chunk. `ret_ref`: how the index names it. Errors: QUARRY_TOO_LARGE: more than 2^32
 * files; QUARRY_NO_MEMORY, of the vfs.
 */
enum quarry_status block_chunks_add(struct block_chunks_writer *writer,
                                    enum block_encoding encoding, const uint8_t *bytes,
                                    size_t byte_count, uint64_t *ret_ref,
                                    struct quarry_error *error);
/* All files and their names are safe when it returns. Errors: of the vfs. */
enum quarry_status block_chunks_finish(struct block_chunks_writer *writer,
                                       struct quarry_error *error);

struct block_chunks_reader {
    struct tsdb_memory *memory; /* borrowed */
    struct quarry_vfs *vfs;     /* borrowed */
    char *directory;            /* own */
    struct block_in in;         /* the file that was read last; all-zero: none yet */
    uint32_t file;              /* its number, from 0 */
};

/* Opens nothing yet. Errors: QUARRY_NO_MEMORY. */
enum quarry_status block_chunks_open(struct block_chunks_reader *reader, struct tsdb_memory *memory,
                                     struct quarry_vfs *vfs, const char *block_directory,
                                     struct quarry_error *error);
/* All-zero does nothing. */
void block_chunks_close(struct block_chunks_reader *reader);
/*
 * The chunk of a reference, whose checksum matches.
 *
 * `ret_bytes`: borrowed until the next call. Errors: QUARRY_CORRUPT; QUARRY_UNSUPPORTED: an
 * encoding of newer versions, by name; QUARRY_NOT_FOUND: no such file; QUARRY_NO_MEMORY, of the
 * vfs.
 */
enum quarry_status block_chunks_read(struct block_chunks_reader *reader, uint64_t ref,
                                     enum block_encoding *ret_encoding, const uint8_t **ret_bytes,
                                     size_t *ret_byte_count, struct quarry_error *error);

/*
 * Which encoding a byte says. `in`, `offset`: for the error. Errors: QUARRY_UNSUPPORTED,
 * QUARRY_CORRUPT: none that there is.
 */
enum quarry_status block_encoding_of(const struct block_in *in, uint64_t offset, uint8_t byte,
                                     enum block_encoding *ret_encoding, struct quarry_error *error);

#endif
