/*
 * Files of a block: written front to back, and read through a window.
 *
 * A writer remembers its first failure, so that what is written needs no look at each piece: the
 * one who began it asks at the end, or now and then. A reader names the file and the offset in all
 * that it finds wrong.
 */
#ifndef QUARRY_TSDB_BLOCK_FILE_H
#define QUARRY_TSDB_BLOCK_FILE_H

#include <quarry/vfs.h>

#include <tsdb/block_array.h>

/* Joins a directory and a name in memory of their own. Returns: own; NULL: no memory. */
char *block_path_join(struct tsdb_memory *memory, const char *directory, const char *name);

/* ---- writing -------------------------------------------------------------------------------- */

struct block_out {
    struct tsdb_memory *memory;
    struct quarry_vfs_file *file; /* own; NULL when closed */
    char *path;                   /* own */
    uint8_t *buffer;              /* own */
    size_t capacity;              /* const */
    size_t count;                 /* bytes in the buffer */
    uint64_t flushed;             /* bytes before the buffer: where it will be written */
    uint32_t crc;                 /* of what was put since block_out_begin_crc */
    enum quarry_status status;    /* the first failure */
    struct quarry_error error;    /* likewise */
};

/*
 * Makes a file. `path`: given, also on failure; NULL: there was no memory for it. `capacity`: of
 * the buffer, in bytes. Errors: QUARRY_NO_MEMORY, QUARRY_EXISTS, QUARRY_NO_SPACE, QUARRY_IO.
 */
enum quarry_status block_out_create(struct block_out *ret_out, struct tsdb_memory *memory,
                                    struct quarry_vfs *vfs, char *path, size_t capacity,
                                    struct quarry_error *error);
/* Closes it, with whatever was written; all-zero does nothing. */
void block_out_fini(struct block_out *out);

void block_out_put(struct block_out *out, const void *bytes, size_t byte_count);
void block_out_put_u8(struct block_out *out, uint8_t value);
void block_out_put_u32(struct block_out *out, uint32_t value); /* big endian, as all of these */
void block_out_put_u64(struct block_out *out, uint64_t value);
void block_out_put_varint(struct block_out *out, uint64_t value);
void block_out_put_zigzag(struct block_out *out, int64_t value);
/* Puts zeros up to a multiple of `align_bytes`. */
void block_out_align(struct block_out *out, uint32_t align_bytes);
/* Puts other bytes in the place of some that were put, at `offset`. */
void block_out_patch_u32(struct block_out *out, uint64_t offset, uint32_t value);
/* Where the next byte goes. */
static inline uint64_t block_out_offset(const struct block_out *out)
{
    return out->flushed + out->count;
}
static inline void block_out_begin_crc(struct block_out *out)
{
    out->crc = 0;
}
/* Hands all of it to the file, so that a reader sees it. Returns: the first failure. */
enum quarry_status block_out_flush(struct block_out *out, struct quarry_error *error);
/* The same, and waits until it is safe. Errors: of the vfs; the file is of no use then. */
enum quarry_status block_out_sync(struct block_out *out, struct quarry_error *error);
/* The first failure so far. */
enum quarry_status block_out_check(const struct block_out *out, struct quarry_error *error);

/* ---- reading -------------------------------------------------------------------------------- */

struct block_in {
    struct tsdb_memory *memory;
    struct quarry_vfs_file *file; /* own */
    char *path;                   /* own */
    uint64_t byte_count;          /* of the file; const */
    uint64_t start;               /* of what is in the window */
    size_t count;                 /* how much is */
    size_t window_bytes;          /* const: what is read at once */
    struct block_array window;
};

/*
 * Opens a file to be read. `path`: given, also on failure; NULL: there was no memory for it.
 * `window_bytes`: how much is read at once. Errors: QUARRY_NO_MEMORY, QUARRY_NOT_FOUND, QUARRY_IO.
 */
enum quarry_status block_in_open(struct block_in *ret_in, struct tsdb_memory *memory,
                                 struct quarry_vfs *vfs, char *path, size_t window_bytes,
                                 struct quarry_error *error);
/* All-zero does nothing. */
void block_in_fini(struct block_in *in);
/*
 * Some bytes of the file. `ret_bytes`: borrowed until the next call.
 * Errors: QUARRY_CORRUPT: the file ends before; QUARRY_NO_MEMORY: the window would have to be so
 * large; QUARRY_IO. Cost: nothing while the window has them, else a read.
 */
enum quarry_status block_in_view(struct block_in *in, uint64_t offset, size_t byte_count,
                                 const uint8_t **ret_bytes, struct quarry_error *error);
/* How much may be viewed at `offset`, at most `most`: for what says itself how long it is. */
static inline size_t block_in_left(const struct block_in *in, uint64_t offset, size_t most)
{
    uint64_t left = sat_sub_u64(in->byte_count, offset);
    return left < most ? (size_t)left : most;
}
/*
 * Checks that the checksum of `byte_count` bytes at `offset` is in the 4 bytes behind them, window
 * by window. `what`: what they are, for the error. Errors: QUARRY_CORRUPT, QUARRY_IO.
 */
enum quarry_status block_in_verify(struct block_in *in, uint64_t offset, uint64_t byte_count,
                                   const char *what, struct quarry_error *error);
/* QUARRY_CORRUPT, with the file, the offset and what is wrong there. */
enum quarry_status block_in_corrupt(const struct block_in *in, uint64_t offset, const char *what,
                                    struct quarry_error *error);

/* ---- numbers in bytes ----------------------------------------------------------------------- */

/* Bytes that are taken apart. Taking more than there is gives zeros and says so in `is_short`. */
struct block_bytes {
    const uint8_t *at;
    const uint8_t *end;
    bool is_short;
};

uint64_t block_bytes_varint(struct block_bytes *bytes);
int64_t block_bytes_zigzag(struct block_bytes *bytes);
uint64_t block_bytes_u64(struct block_bytes *bytes);
uint32_t block_bytes_u32(struct block_bytes *bytes);
uint8_t block_bytes_u8(struct block_bytes *bytes);
/* `count` bytes of it. Returns: borrowed; NULL, and is_short, when there are not as many. */
const uint8_t *block_bytes_take(struct block_bytes *bytes, uint64_t count);

/* `bytes`: borrowed; NULL for none. */
static inline struct block_bytes block_bytes_of(const uint8_t *bytes, size_t byte_count)
{
    static const uint8_t none[1];
    const uint8_t *at = byte_count == 0 ? none : bytes;
    return (struct block_bytes){.at = at, .end = at + byte_count};
}
static inline size_t block_bytes_left(const struct block_bytes *bytes)
{
    return (size_t)(bytes->end - bytes->at);
}

#endif
