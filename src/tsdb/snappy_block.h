/*
 * Bodies in snappy's block format: a length, varint, then literals and copies.
 *
 * Two steps, so that the length, which a stranger wrote, is judged before memory is taken for it.
 */
#ifndef QUARRY_TSDB_SNAPPY_BLOCK_H
#define QUARRY_TSDB_SNAPPY_BLOCK_H

#include <quarry/status.h>

#include <tsdb/types.h>

/*
 * The length that a block says it uncompresses to.
 *
 * `body`: borrowed. `bytes_max`: the most that the caller would take.
 * `ret_byte_count`: at most `bytes_max`, and not more than a block of this size can hold.
 * Errors: QUARRY_TOO_LARGE: above `bytes_max`; QUARRY_BAD_INPUT: no block begins like this.
 * Threads: any. Cost: a few instructions.
 */
enum quarry_status tsdb_snappy_length(struct tsdb_slice body, size_t bytes_max,
                                      size_t *ret_byte_count, struct quarry_error *error);
/*
 * Uncompresses a block.
 *
 * `room`: borrowed, of just the bytes that tsdb_snappy_length told. What it holds after an error is
 * anything. Errors: QUARRY_BAD_INPUT: the block is damaged, or holds another number of bytes.
 * Threads: any. Cost: some 1 ns a byte; no allocation.
 */
enum quarry_status tsdb_snappy_read(struct tsdb_slice body, char *room, size_t room_bytes,
                                    struct quarry_error *error);

/* Room that tsdb_snappy_write wants for a block of so many bytes. */
size_t tsdb_snappy_bytes_max(size_t byte_count);
/*
 * Compresses. `room`: borrowed, tsdb_snappy_bytes_max(plain.count) bytes.
 * Returns: the bytes written. Cost: some 2 ns a byte; snappy takes up to 200 KB for the time of the
 * call, of the process' malloc.
 */
size_t tsdb_snappy_write(struct tsdb_slice plain, char *room);

#endif
