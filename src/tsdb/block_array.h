/*
 * Arrays that grow, of those who read and write Prometheus' files.
 */
#ifndef QUARRY_TSDB_BLOCK_ARRAY_H
#define QUARRY_TSDB_BLOCK_ARRAY_H

#include <tsdb/memory.h>

/* Bytes, or members, that grow; all-zero is an empty one. */
struct block_array {
    void *members;   /* own; NULL while capacity is 0 */
    size_t count;    /* in use, by whoever fills it */
    size_t capacity; /* in members */
};

/*
 * Makes room for `count` members of `member_bytes`, which stay those of one array for its life.
 * What is there stays; `array->count` is the caller's. Errors: QUARRY_NO_MEMORY, QUARRY_TOO_LARGE:
 * the array is as it was. Cost: doubles, so that each member is copied about once.
 */
enum quarry_status block_array_reserve(struct tsdb_memory *memory, struct block_array *array,
                                       size_t count, size_t member_bytes);
/* Appends bytes to an array of bytes. Errors: as block_array_reserve. */
enum quarry_status block_array_append(struct tsdb_memory *memory, struct block_array *array,
                                      const void *bytes, size_t byte_count);
void block_array_fini(struct tsdb_memory *memory, struct block_array *array);

#endif
