/*
 * What a store holds as a source of blocks, and as blocks of two hours.
 *
 *     status = store_walk_begin(&walk, tsdb, &query, memory, &error);
 *     ... walk.source is a block_source ...
 *     store_walk_end(&walk);
 */
#ifndef QUARRY_TSDB_STORE_BLOCKS_H
#define QUARRY_TSDB_STORE_BLOCKS_H

#include <tsdb/block_write.h>
#include <tsdb/store.h>

/* Prometheus' and Thanos' blocks are aligned to this. */
#define STORE_BLOCK_MS INT64_C(7200000)

/* A walk over what a query selects. The caller's; all of it is owner thread's. */
struct store_walk {
    struct block_source source; /* its argument is the walk: which stays where it is */
    uint64_t sample_count;      /* given so far */
    /* Told of it, now and then not: by every sample. NULL: nobody. */
    void (*progress)(void *argument, uint64_t sample_count);
    void *progress_argument;

    struct tsdb_memory *memory;
    struct quarry_tsdb_set *set;
    struct quarry_tsdb_cursor *cursor;
    size_t next_series;
    struct quarry_tsdb_block block; /* of the series under way */
    uint32_t at;                    /* in it */
    bool has_block;
    struct quarry_tsdb_label *labels; /* own */
};

/*
 * Begins; `progress` and `sample_count` stay as they are.
 *
 * `query`: borrowed for the call. `memory`: borrowed until store_walk_end.
 * Errors: those of quarry_tsdb_select; there is nothing to end.
 */
enum quarry_status store_walk_begin(struct store_walk *walk, struct quarry_tsdb *tsdb,
                                    const struct quarry_tsdb_query *query,
                                    struct tsdb_memory *memory, struct quarry_error *error);
void store_walk_end(struct store_walk *walk);

struct store_blocks_options {
    struct quarry_tsdb *tsdb; /* borrowed for the call, as all of these */
    const struct quarry_tsdb_query *query;
    struct block_write_options block; /* the range of each block is put in */
    /* Called for each block; NULL: nobody. */
    void (*wrote)(void *argument, const struct block_meta *meta);
    void *argument;
};

/*
 * Writes what a query selects as blocks, one for each STORE_BLOCK_MS that has samples.
 *
 * `walk`: zero, or with a progress; to be looked at for its count afterwards.
 * Errors: those of store_walk_begin, block_write, of the vfs: blocks before it are there.
 * Cost: block_write's; a selection for each two hours.
 */
enum quarry_status store_blocks_write(const struct store_blocks_options *options,
                                      struct store_walk *walk, struct quarry_error *error);

#endif
