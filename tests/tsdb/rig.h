/*
 * What the tests of blocks share: memory, a way to fail, and series from a seed.
 */
#ifndef QUARRY_TESTS_TSDB_RIG_H
#define QUARRY_TESTS_TSDB_RIG_H

#include <tsdb/block_array.h>
#include <tsdb/block_source.h>

_Noreturn void rig_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A memory with one account and one pool, for the whole of a program. `limit_bytes`: of it. */
struct tsdb_memory *rig_memory(uint64_t limit_bytes);

/* What a random block is made of. */
struct rig_shape {
    uint64_t seed;
    uint32_t series_count;
    uint32_t sample_count; /* of each series, at most */
    int64_t start_ms;
    int64_t step_ms;
    bool has_histograms;
    bool has_no_bounds; /* none of the schema that lists its boundaries, which 2.42 does not know */
};

/*
 * Series in order with random samples: counters, gauges, random bits, stale markers, NaNs, gaps,
 * times that jitter; with `has_histograms` every third series is of histograms. The same shape
 * gives the same. `ret_argument`: own; end it with rig_source_destroy.
 */
struct block_source rig_source(const struct rig_shape *shape);
void rig_source_destroy(struct block_source source);

/* A series as promtool prints it, {name="value", ...}, and a NUL. Returns: false: no room. */
bool rig_labels_text(const struct tsdb_labels *labels, char *text, size_t capacity);
/* A sample without its series: time, and bits in hexadecimal or a histogram. Returns: its length.
 */
size_t rig_sample_text(const struct block_sample *sample, char *text, size_t room);
/* Prints all of a source, a sample a line: labels, time, bits in hexadecimal or a histogram. */
void rig_source_print(const struct block_source *source);
/* A checksum of what rig_source_print would print. Returns: false, with the error: it failed. */
bool rig_source_hash(const struct block_source *source, uint64_t *ret_hash,
                     uint64_t *ret_sample_count, struct quarry_error *error);

#endif
