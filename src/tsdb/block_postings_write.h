/*
 * The postings of an index that is written: (name, value, series), sorted beside the memory.
 */
#ifndef QUARRY_TSDB_BLOCK_POSTINGS_WRITE_H
#define QUARRY_TSDB_BLOCK_POSTINGS_WRITE_H

#include <tsdb/block_file.h>
#include <tsdb/block_sort.h>

struct block_postings {
    struct tsdb_memory *memory;   /* borrowed */
    struct quarry_vfs *vfs;       /* borrowed */
    const char *directory;        /* borrowed */
    struct block_record *records; /* own; key: name number, value number; payload: series */
    size_t capacity, count;
    struct block_out out;
    struct block_array runs; /* uint64_t: where each ends, in bytes */
    /* while they are read */
    struct block_in in;
    struct block_postings_cursor *cursors; /* own */
    struct block_heap heap;
};

/* As block_dictionary_init. */
enum quarry_status block_postings_init(struct block_postings *postings, struct tsdb_memory *memory,
                                       struct quarry_vfs *vfs, const char *directory,
                                       size_t sort_bytes, struct quarry_error *error);
void block_postings_fini(struct block_postings *postings);
/* Errors: QUARRY_NO_MEMORY, of the vfs. */
enum quarry_status block_postings_add(struct block_postings *postings, uint32_t name,
                                      uint32_t value, uint32_t series, struct quarry_error *error);
/* Ends adding; the first is next. Errors: QUARRY_NO_MEMORY, QUARRY_TOO_LARGE, of the vfs. */
enum quarry_status block_postings_finish(struct block_postings *postings,
                                         struct quarry_error *error);
/* The next, in the order of name, value, series. Errors: QUARRY_NOT_FOUND: no more; of the vfs. */
enum quarry_status block_postings_next(struct block_postings *postings,
                                       struct block_record *ret_record, struct quarry_error *error);

#endif
