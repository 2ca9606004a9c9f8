/*
 * The head of a Prometheus data directory: what is not in a block yet.
 *
 *     wal/checkpoint.NNNNNNNN/   what earlier segments still had to say, up to segment NNNNNNNN
 *     wal/NNNNNNNN               segments of the log
 *     chunks_head/NNNNNN         chunks that are full, of samples that are in the log as well
 *     wbl/NNNNNNNN               samples that came out of order
 */
#ifndef QUARRY_TSDB_PROMETHEUS_HEAD_H
#define QUARRY_TSDB_PROMETHEUS_HEAD_H

#include <tsdb/prometheus_log.h>
#include <tsdb/prometheus_record.h>

/* What was found. */
struct prometheus_head_report {
    uint64_t series_count;       /* records of series, repetitions included */
    uint64_t sample_count;       /* that were told of */
    uint64_t chunk_sample_count; /* of those, from chunks_head */
    uint64_t unknown_count;      /* records of types that are not known */
    uint64_t skipped_count;      /* histograms that could not be told of */
    struct prometheus_losses losses;
};

/*
 * Tells a visitor all that the head of a data directory holds: every series first; then samples of
 * chunks_head, series by series in order of time; then what the log has, in the order in which it
 * came, but the samples that chunks_head had; then what came out of order, of which some may have
 * been told of before.
 *
 * `directory`: of Prometheus' data, which no Prometheus is using. Parts that are not there are
 * empty. `ret_report`: what was read, and what was damaged: damage is no error. Written on failure
 * too, as far as reading came.
 * Errors: QUARRY_NO_MEMORY, of the vfs, of the visitor.
 * Threads: any; the visitor is called by this one. Cost: reads the log twice; 32 bytes of memory
 * for each series that has chunks, and the longest record twice.
 */
enum quarry_status prometheus_head_read(struct tsdb_memory *memory, struct quarry_vfs *vfs,
                                        const char *directory,
                                        const struct prometheus_visitor *visitor,
                                        struct prometheus_head_report *ret_report,
                                        struct quarry_error *error);

#endif
