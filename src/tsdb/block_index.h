/*
 * The index of a block: who is in it, and where their chunks are. Format version 2.
 *
 *     +-------+---------+---------+--------+----------+----------------+-----------------+-------+
 *     | magic | version | symbols | series | postings | label offsets  | posting offsets | TOC   |
 *     | u32   | u8: 2   |         |        |          | (empty)        |                 | 52 B  |
 *     +-------+---------+---------+--------+----------+----------------+-----------------+-------+
 *
 * Numbers are big endian, lengths and references varints, each part ends in its CRC-32C.
 */
#ifndef QUARRY_TSDB_BLOCK_INDEX_H
#define QUARRY_TSDB_BLOCK_INDEX_H

#include <tsdb/block_file.h>
#include <tsdb/types.h>

#define BLOCK_INDEX_MAGIC        UINT32_C(0xbaaad700)
#define BLOCK_INDEX_VERSION      2u
#define BLOCK_INDEX_HEADER_BYTES 5u
#define BLOCK_INDEX_TOC_BYTES    52u
/* Series begin at multiples of it, and are named by how many. */
#define BLOCK_INDEX_SERIES_ALIGN 16u

/* Where a chunk is, and its first and last time. */
struct block_chunk {
    int64_t min_t_ms;
    int64_t max_t_ms;
    uint64_t ref; /* file, counted from 0, << 32 | offset in it */
};

/* ---- writing -------------------------------------------------------------------------------- */

struct block_index_options {
    struct quarry_vfs *vfs;     /* borrowed, as the others, until the writer is destroyed */
    struct tsdb_memory *memory; /* likewise */
    const char *directory;      /* of the block; temporary files are made in it as well */
    size_t sort_bytes;          /* memory for sorting; what does not fit goes through files */
};

struct block_index_writer;

/* `ret_writer`: own; end it with block_index_destroy. Errors: QUARRY_NO_MEMORY, of the vfs. */
enum quarry_status block_index_create(const struct block_index_options *options,
                                      struct block_index_writer **ret_writer,
                                      struct quarry_error *error);
/* What it has made stays, as it is. `writer`: given; NULL does nothing. */
void block_index_destroy(struct block_index_writer *writer);

/*
 * Adds a series.
 *
 * `labels`: sorted by name, names unique, neither they nor values empty, and as a whole behind the
 * series before. `chunks`: `count` of them, in the order of time. All borrowed for the call.
 * Errors: QUARRY_TOO_LARGE: labels that sort_bytes cannot hold; QUARRY_NO_MEMORY, of the vfs.
 * Cost: hashes the labels, and appends a record to a file.
 */
enum quarry_status block_index_add(struct block_index_writer *writer,
                                   const struct tsdb_labels *labels,
                                   const struct block_chunk *chunks, size_t count,
                                   struct quarry_error *error);
/*
 * Writes the index, synced, and removes the temporary files. The writer is of no more use.
 *
 * Errors: QUARRY_TOO_LARGE: series beyond 64 GiB or 2^30, or other parts beyond 4 GiB;
 * QUARRY_NO_MEMORY, of the vfs. Cost: reads what was added once, postings twice; O(labels × log
 * runs).
 */
enum quarry_status block_index_finish(struct block_index_writer *writer,
                                      struct quarry_error *error);

/* ---- reading -------------------------------------------------------------------------------- */

struct block_index_reader;

/*
 * Opens the index of a block. `directory`: borrowed for the call.
 * `ret_reader`: own; end it with block_index_close.
 * Errors: QUARRY_UNSUPPORTED: another version, by name; QUARRY_CORRUPT, QUARRY_NO_MEMORY, of the
 * vfs. Cost: reads symbols, the table of postings and the list of all series once, to check them.
 */
enum quarry_status block_index_open(struct tsdb_memory *memory, struct quarry_vfs *vfs,
                                    const char *directory, struct block_index_reader **ret_reader,
                                    struct quarry_error *error);
/* `reader`: given; NULL does nothing. */
void block_index_close(struct block_index_reader *reader);
/* How many series there are. */
uint32_t block_index_series_count(const struct block_index_reader *reader);

/* One series of an index. */
struct block_series {
    struct tsdb_labels labels;
    const struct block_chunk *chunks;
    size_t chunk_count;
    uint32_t ref; /* its name in tombstones */
};

/*
 * The next series, in the order of labels.
 *
 * `ret_series`: borrowed until the next call. Errors: QUARRY_NOT_FOUND: there are no more;
 * QUARRY_CORRUPT, QUARRY_NO_MEMORY, of the vfs: the walk stays where it was.
 * Cost: its bytes, and the symbols that the series before did not have.
 */
enum quarry_status block_index_next(struct block_index_reader *reader,
                                    struct block_series *ret_series, struct quarry_error *error);

#endif
