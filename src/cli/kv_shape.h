/*
 * What a store says of itself: the property "quarry.stats", taken apart.
 */
#ifndef QUARRY_CLI_KV_SHAPE_H
#define QUARRY_CLI_KV_SHAPE_H

#include <cli/json_read.h>
#include <cli/kv_target.h>

struct kv_shape {
    struct json_value *root; /* own */
    struct kv_bytes text;    /* as it was told */
    uint64_t monotonic_ns;   /* when */
};

/* `ret_shape`: own; kv_shape_free. Returns: an exit code. */
int kv_shape_read(struct kv_target *target, struct kv_shape *ret_shape);
/* NULL members: does nothing. */
void kv_shape_free(struct kv_shape *shape);

/* A number; 0 where there is none. `group`: "counters", "memtables", "memory"; NULL: the outermost.
 */
uint64_t kv_shape_number(const struct kv_shape *shape, const char *group, const char *name);

struct kv_shape_level {
    uint64_t file_count, file_bytes;
    uint64_t read_bytes, written_bytes; /* by compaction */
    double score;
};
struct kv_shape_level kv_shape_level(const struct kv_shape *shape, uint32_t level);
/* Of a file of a level. */
uint64_t kv_shape_file_bytes(const struct kv_shape *shape, uint32_t level, uint64_t index);
uint64_t kv_shape_sublevels(const struct kv_shape *shape);

/* Bytes written to disk for each byte that users wrote; below 0: nothing was written. */
double kv_shape_amplification(const struct kv_shape *shape);

#endif
