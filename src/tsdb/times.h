/*
 * Times of the samples of a window, sealed. Series that were scraped together have the same, so
 * they lie apart from values, and many series may share them.
 */
#ifndef QUARRY_TSDB_TIMES_H
#define QUARRY_TSDB_TIMES_H

#include <tsdb/column.h>

/* Bytes that `count` times have at most. */
static inline size_t tsdb_times_bytes_max(uint32_t count)
{
    return tsdb_column_bytes_max(count);
}

/*
 * Encodes times; they need not rise. Verified as columns are.
 *
 * `t_ms`: borrowed, `count` of them, 1 or more. `ret_bytes`: room for tsdb_times_bytes_max(count).
 * Returns: how many bytes. Errors: none. Threads: any. Cost: 1 ns a time that is regular, 20
 * others.
 */
size_t tsdb_times_encode(const int64_t *t_ms, uint32_t count, uint8_t *ret_bytes);

/* The fields are the reader's own. */
struct tsdb_times_reader {
    struct tsdb_differences differences;
    bool is_regular;
    bool is_corrupt;
};

/*
 * Begins reading.
 *
 * `bytes`, `byte_count`: borrowed until the last take. `count`: times in it, 1 or more.
 * Returns: QUARRY_OK. Errors: QUARRY_CORRUPT. Threads: any. Cost: O(1).
 */
enum quarry_status tsdb_times_open(struct tsdb_times_reader *reader, const uint8_t *bytes,
                                   size_t byte_count, uint32_t count);

/*
 * Takes the next times: TSDB_COLUMN_BLOCK of them, fewer at the end, like tsdb_column_take, so that
 * both go side by side.
 *
 * Returns: how many; 0 at the end or when the rest is damaged. Cost: 0.3 to 2 ns a time.
 */
uint32_t tsdb_times_take(struct tsdb_times_reader *reader, int64_t *ret_t_ms);

/* QUARRY_OK, or QUARRY_CORRUPT when times are missing because they are damaged. */
static inline enum quarry_status tsdb_times_status(const struct tsdb_times_reader *reader)
{
    return reader->is_corrupt ? QUARRY_CORRUPT : QUARRY_OK;
}

#endif
