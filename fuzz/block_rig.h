/*
 * What the targets of Prometheus' files share: memory, and a disk with one file.
 */
#ifndef QUARRY_FUZZ_BLOCK_RIG_H
#define QUARRY_FUZZ_BLOCK_RIG_H

#include <quarry/vfs.h>
#include <tsdb/block_array.h>

/* Memory, the same each time. */
struct tsdb_memory *block_fuzz_memory(void);
/* A disk with a file of these bytes in a directory that is made. Returns: own. */
struct quarry_vfs *block_fuzz_disk(const char *const *directories, size_t directory_count,
                                   const char *path, const uint8_t *data, size_t size);

#endif
