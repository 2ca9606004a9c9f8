/*
 * The tombstones of a block: ranges of time of single series that count as deleted.
 */
#ifndef QUARRY_TSDB_BLOCK_TOMBSTONES_H
#define QUARRY_TSDB_BLOCK_TOMBSTONES_H

#include <tsdb/block_file.h>
#include <tsdb/block_sort.h>

struct block_range {
    int64_t min_t_ms;
    int64_t max_t_ms; /* still deleted */
};

struct block_tombstones {
    struct tsdb_memory *memory; /* borrowed */
    struct block_array ranges;  /* struct block_range */
    struct block_array order;   /* struct block_record: series, place in `ranges`; sorted */
};

/* The ranges of one series. */
struct block_deleted {
    const struct block_record *order; /* borrowed */
    const struct block_range *ranges; /* borrowed */
    size_t count;
};

/* Writes a file of none into a directory, synced. Errors: QUARRY_NO_MEMORY, of the vfs. */
enum quarry_status block_tombstones_write(struct tsdb_memory *memory, struct quarry_vfs *vfs,
                                          const char *directory, struct quarry_error *error);
/*
 * Reads those of a block; where there is no such file, there are none. Errors: QUARRY_CORRUPT,
 * QUARRY_UNSUPPORTED (version), QUARRY_NO_MEMORY, of the vfs. Cost: 32 bytes of memory for each.
 */
enum quarry_status block_tombstones_read(struct block_tombstones *tombstones,
                                         struct tsdb_memory *memory, struct quarry_vfs *vfs,
                                         const char *directory, struct quarry_error *error);
/* All-zero does nothing. */
void block_tombstones_fini(struct block_tombstones *tombstones);
/* Those of a series. Returns: borrowed as long as the tombstones. Cost: O(log). */
struct block_deleted block_tombstones_of(const struct block_tombstones *tombstones,
                                         uint64_t series);
/* Whether a time is in one of them. Cost: O(ranges of the series). */
bool block_deleted_has(const struct block_deleted *deleted, int64_t t_ms);

#endif
