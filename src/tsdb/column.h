/*
 * Columns: the values of one series in one window, sealed: as few bytes as we know how, that decode
 * to the same bits.
 *
 * Values are 64 bits, of doubles or of integers: what they mean decides how short a column is, not
 * whether it is right. How many there are is kept elsewhere. Times are in times.h.
 */
#ifndef QUARRY_TSDB_COLUMN_H
#define QUARRY_TSDB_COLUMN_H

#include <base/base.h>

#include <tsdb/frame.h>

/* Values that a reader yields at a time. */
#define TSDB_COLUMN_BLOCK 256u

/* Bytes that a column of `count` values has at most. */
static inline size_t tsdb_column_bytes_max(uint32_t count)
{
    return 64 + 8 * (size_t)count + 12 * (((size_t)count + 63) / TSDB_FRAME_VALUES);
}

/*
 * Encodes values, and decodes them again to see that they come back.
 *
 * `bits`: borrowed. `count`: 1 or more. `scratch`: `count` words, whatever is in them.
 * `ret_bytes`: room for tsdb_column_bytes_max(count).
 * Returns: how many bytes the column has. Errors: none. Threads: any. Cost: 2 ns a value that is
 * always the same, 40 to 90 ns others.
 */
size_t tsdb_column_encode(const uint64_t *bits, uint32_t count, int64_t *scratch,
                          uint8_t *ret_bytes);

/* A series of integers as frames of differences; of columns and of times. */
struct tsdb_differences {
    const uint8_t *at, *end; /* borrowed: the next frame, and what is behind the last */
    uint64_t last;           /* the value before the next one */
    uint64_t growth;         /* with order 2: how much it had grown */
    uint32_t order;          /* 0: values as they are, 1: differences, 2: differences of these */
    uint32_t left;           /* values still to be taken */
};

/* What a column is at the moment of reading. The fields are the reader's own. */
struct tsdb_column_reader {
    struct tsdb_differences differences;
    const uint8_t *dictionary; /* borrowed: 8 bytes for each entry */
    const uint8_t *run;        /* borrowed: the value of the next run of exceptions */
    const uint8_t *runs_end;
    uint64_t constant;
    uint32_t runs_left;
    uint32_t run_begin, run_end; /* indexes of the next run */
    uint32_t taken;
    uint32_t parameter; /* scale, shift, or entries of the dictionary */
    uint8_t form;
    bool is_corrupt;
};

/*
 * Begins reading a column.
 *
 * `bytes`, `byte_count`: borrowed until the last take: the column and nothing else.
 * `count`: values in it, 1 or more.
 * Returns: QUARRY_OK. Errors: QUARRY_CORRUPT: that is no column.
 * Threads: any. Cost: O(1).
 */
enum quarry_status tsdb_column_open(struct tsdb_column_reader *reader, const uint8_t *bytes,
                                    size_t byte_count, uint32_t count);

/*
 * Takes the next values: TSDB_COLUMN_BLOCK of them, fewer at the end.
 *
 * `ret_bits`: room for TSDB_COLUMN_BLOCK.
 * Returns: how many; 0 at the end, or when the rest is damaged (tsdb_column_status). No byte
 * outside of the column is ever looked at. Cost: 0.3 to 3 ns a value.
 */
uint32_t tsdb_column_take(struct tsdb_column_reader *reader, uint64_t *ret_bits);

/* QUARRY_OK, or QUARRY_CORRUPT when values are missing because the column is damaged. */
static inline enum quarry_status tsdb_column_status(const struct tsdb_column_reader *reader)
{
    return reader->is_corrupt ? QUARRY_CORRUPT : QUARRY_OK;
}

#endif
