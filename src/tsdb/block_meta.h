/*
 * What a block says of itself: meta.json, and the name of its directory.
 */
#ifndef QUARRY_TSDB_BLOCK_META_H
#define QUARRY_TSDB_BLOCK_META_H

#include <tsdb/block_file.h>

/* A ULID as text: 26 characters and a NUL. */
#define BLOCK_ULID_BYTES 27u

struct block_meta {
    char ulid[BLOCK_ULID_BYTES];
    int64_t min_t_ms; /* of the first sample, or before */
    int64_t max_t_ms; /* behind the last one */
    uint64_t sample_count;
    uint64_t series_count;
    uint64_t chunk_count;
};

/*
 * Makes a name that sorts by time: 48 bits of milliseconds, 80 that nobody else has, in Crockford's
 * base 32. Errors: QUARRY_BUSY: the machine has no random bytes yet.
 */
enum quarry_status block_ulid_make(uint64_t wall_ms, char ret_ulid[BLOCK_ULID_BYTES],
                                   struct quarry_error *error);
/* Makes one of 48 bits of milliseconds, and 80 of two numbers: the same from the same. */
void block_ulid_of(uint64_t wall_ms, uint64_t high, uint64_t low, char ret_ulid[BLOCK_ULID_BYTES]);
/* Whether a name is such. */
bool block_ulid_is(const char *name);

/* Writes meta.json into a directory, synced. Errors: QUARRY_NO_MEMORY, of the vfs. */
enum quarry_status block_meta_write(struct tsdb_memory *memory, struct quarry_vfs *vfs,
                                    const char *directory, const struct block_meta *meta,
                                    struct quarry_error *error);
/*
 * Reads it. Figures that are not there are 0. Errors: QUARRY_CORRUPT; QUARRY_UNSUPPORTED: another
 * version; QUARRY_NOT_FOUND, QUARRY_NO_MEMORY, of the vfs.
 */
enum quarry_status block_meta_read(struct tsdb_memory *memory, struct quarry_vfs *vfs,
                                   const char *directory, struct block_meta *ret_meta,
                                   struct quarry_error *error);

#endif
