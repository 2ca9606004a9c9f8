/*
 * Writing a block as Prometheus has it: a directory that promtool, Prometheus and Thanos take.
 */
#ifndef QUARRY_TSDB_BLOCK_WRITE_H
#define QUARRY_TSDB_BLOCK_WRITE_H

#include <tsdb/block_meta.h>
#include <tsdb/block_source.h>

/* Samples of a chunk. As Prometheus aims at: what a reader of one sample must decode. */
#define BLOCK_CHUNK_SAMPLES 120u
/* What sorting takes by default, in bytes: all else of a writer is some 4 MiB. */
#define BLOCK_SORT_BYTES Q_MIB(32)

struct block_write_options {
    struct quarry_vfs *vfs; /* borrowed for the call, as all of these */
    struct tsdb_memory *memory;
    const char *directory; /* where the block's directory is made; it exists */
    /*
     * The block's range: from, and up to but without. Equal: that of its samples. Thanos wants it
     * aligned to two hours.
     */
    int64_t min_t_ms;
    int64_t max_t_ms;
    size_t sort_bytes;       /* 0: BLOCK_SORT_BYTES; less makes more runs, not a smaller block */
    uint64_t file_bytes_max; /* of a file of chunks; 0: BLOCK_CHUNKS_FILE_BYTES */
    /* The name is of what is in it, and of the end of its range, so that the same block written
     * again, by whomever, is the same: where it is there already, it stays as it is. */
    bool is_named_by_content;
};

/*
 * Writes a block of all that a source gives.
 *
 * It is made under a temporary name, synced, and then given its own: a block is there whole, or not
 * at all. What a failure leaves of it is removed, as far as that works; Prometheus removes
 * directories of that name too.
 *
 * `ret_meta`: what it is, its directory's name above all.
 * Errors: QUARRY_NOT_FOUND: no sample at all, and no block; QUARRY_BAD_INPUT: series or samples
 * that are not in order, not in the range, labels that are empty or not sorted, histograms that are
 * not sound; QUARRY_TOO_LARGE: beyond what the format holds; QUARRY_NO_MEMORY, of the source, of
 * the vfs. Threads: any; the source is called by this one. Cost: some 100 instructions a sample;
 * each label is hashed, and sorted through files of some 40 bytes for it; sort_bytes and some 4 MiB
 * of memory, and 24 bytes for each chunk of the series under way.
 */
enum quarry_status block_write(const struct block_write_options *options,
                               const struct block_source *source, struct block_meta *ret_meta,
                               struct quarry_error *error);

#endif
