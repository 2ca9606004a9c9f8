/*
 * Reading a block that Prometheus 2.1 or later, promtool, Thanos or this library has written.
 */
#ifndef QUARRY_TSDB_BLOCK_READ_H
#define QUARRY_TSDB_BLOCK_READ_H

#include <tsdb/block_meta.h>
#include <tsdb/block_source.h>

struct block_reader;

/*
 * Opens a block.
 *
 * `directory`: of the block; borrowed for the call. `ret_reader`: own; end it with block_close.
 * Errors: QUARRY_UNSUPPORTED: of a version that is not read, by name; QUARRY_CORRUPT: with the file
 * and the offset; QUARRY_NOT_FOUND, QUARRY_NO_MEMORY, of the vfs.
 * Cost: reads meta.json, tombstones, symbols and the list of series. Memory: some 1.5 MiB, 4 bytes
 * for 32 symbols, 32 bytes for each tombstone; with histograms 350 KiB more.
 */
enum quarry_status block_open(struct tsdb_memory *memory, struct quarry_vfs *vfs,
                              const char *directory, struct block_reader **ret_reader,
                              struct quarry_error *error);
/* `reader`: given; NULL does nothing. */
void block_close(struct block_reader *reader);
/* What it says of itself. Returns: borrowed as long as the reader. */
const struct block_meta *block_reader_meta(const struct block_reader *reader);

/*
 * A walk over all series and samples but the deleted ones, from where the reader is: one for each
 * reader. A series of which everything is deleted has no samples. Its calls fail with
 * QUARRY_CORRUPT, and the file and the offset; QUARRY_UNSUPPORTED: chunks of newer versions;
 * QUARRY_NO_MEMORY, of the vfs. A series that failed is the next one still; of samples that failed
 * to be read, the next series may be asked for.
 * Threads: one at a time. Cost: some 100 instructions a sample; reads each byte of the chunks once.
 */
struct block_source block_reader_source(struct block_reader *reader);

#endif
