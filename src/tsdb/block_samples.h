/*
 * The samples of one chunk of any encoding, one after another.
 */
#ifndef QUARRY_TSDB_BLOCK_SAMPLES_H
#define QUARRY_TSDB_BLOCK_SAMPLES_H

#include <tsdb/block_chunks.h>
#include <tsdb/block_source.h>
#include <tsdb/histogram_chunk.h>
#include <tsdb/xor_chunk.h>

struct block_samples {
    enum block_encoding encoding;
    struct xor_chunk_iterator floats;
    struct histogram_chunk_iterator histograms;
};

void block_samples_init(struct block_samples *samples, struct tsdb_memory *memory);
void block_samples_fini(struct block_samples *samples);
/* Begins with a chunk. `bytes`: borrowed while it is read. Errors: QUARRY_CORRUPT,
 * QUARRY_NO_MEMORY.
 */
enum quarry_status block_samples_begin(struct block_samples *samples, enum block_encoding encoding,
                                       const uint8_t *bytes, size_t byte_count);
/* Errors: QUARRY_NOT_FOUND: no more; QUARRY_CORRUPT, QUARRY_TOO_LARGE, QUARRY_UNSUPPORTED. */
enum quarry_status block_samples_next(struct block_samples *samples,
                                      struct block_sample *ret_sample);
/* What such a status says of a chunk, for an error. */
const char *block_samples_text(enum quarry_status status);

#endif
