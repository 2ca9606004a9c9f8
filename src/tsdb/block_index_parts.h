/*
 * What the parts of the writer of an index share.
 */
#ifndef QUARRY_TSDB_BLOCK_INDEX_PARTS_H
#define QUARRY_TSDB_BLOCK_INDEX_PARTS_H

#include <tsdb/block_dictionary.h>
#include <tsdb/block_index.h>
#include <tsdb/block_postings_write.h>
#include <tsdb/block_symbols.h>

#define BLOCK_INDEX_NAME       "index"
#define BLOCK_INDEX_TABLE_NAME "table.tmp"
/* What is written, and read, at once of the index and of temporary files. */
#define BLOCK_INDEX_BUFFER_BYTES Q_KIB(256)
#define BLOCK_INDEX_WINDOW_BYTES Q_KIB(256)

/* Series of which the list of all has a length of 32 bits. */
#define BLOCK_INDEX_SERIES_MAX ((UINT32_C(1) << 30) - 2)

/* Where the parts are, in the order of the table of contents. */
struct block_index_toc {
    uint64_t symbols, series, label_indices, label_table, postings, postings_table;
};

struct block_index_writer {
    struct tsdb_memory *memory;
    struct quarry_vfs *vfs;
    const char *directory;
    size_t sort_bytes;
    struct block_dictionary dictionary;
    struct block_postings postings;
    struct block_symbols symbols; /* of `out`, once they are written */
    struct block_out series_out;
    struct block_out out;           /* the index */
    struct block_out table_out;     /* the table of posting offsets, without its head */
    struct block_array ends;        /* uint64_t: where each generation ends in series.tmp */
    struct block_array scratch;     /* bytes of a series */
    struct block_array name, value; /* of the postings under way */
    uint32_t table_count;
    uint32_t series_count; /* that are in the index */
    struct block_index_toc toc;
};

/* Postings, and the table of where they are; series are written. Errors: as block_index_finish. */
enum quarry_status block_index_write_postings(struct block_index_writer *writer,
                                              struct quarry_error *error);
/* What is behind the postings; the index is safe then. */
enum quarry_status block_index_write_tables(struct block_index_writer *writer,
                                            struct quarry_error *error);

#endif
