/*
 * Memory that can be refused, a disk in memory, and blocks on it.
 */
#ifndef QUARRY_TESTS_UNIT_TSDB_BLOCK_RIG_H
#define QUARRY_TESTS_UNIT_TSDB_BLOCK_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <quarry/vfs.h>
#include <tsdb/block_array.h>
#include <tsdb/block_meta.h>
#include <tsdb/block_source.h>

#include "tsdb/rig.h"

extern struct tsdb_memory block_rig_memory;
extern struct quarry_vfs *block_rig_disk; /* empty at the beginning of each test */

int block_rig_set_up(void **state);
/* Fails the test if anything is still charged. */
int block_rig_tear_down(void **state);

/* Bytes that may be charged from now on; UINT64_MAX: no limit. */
void block_rig_leave(uint64_t bytes);

/* Writes the block of a shape into "/blocks", sorting in `sort_bytes`, on a vfs. */
enum quarry_status block_rig_write(struct quarry_vfs *vfs, const struct rig_shape *shape,
                                   size_t sort_bytes, struct block_meta *ret_meta,
                                   struct quarry_error *error);
/* The path of a block, or of a file of it. Returns: the same memory each time. */
const char *block_rig_path(const struct block_meta *meta, const char *file);
/* Hashes all of a block of "/blocks". */
enum quarry_status block_rig_read(struct quarry_vfs *vfs, const struct block_meta *meta,
                                  uint64_t *ret_hash, uint64_t *ret_sample_count,
                                  struct quarry_error *error);
/* The hash of what a shape is. */
uint64_t block_rig_hash(const struct rig_shape *shape);

/* The bytes of a file. Returns: own; free it. */
uint8_t *block_rig_load(const char *path, size_t *ret_byte_count);
void block_rig_store(const char *path, const void *bytes, size_t byte_count);
/* How many names a directory has; 0: it is not there. */
size_t block_rig_name_count(const char *directory);

#endif
