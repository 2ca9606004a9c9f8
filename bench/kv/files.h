/*
 * Directories of stores: removed, copied, measured, and put out of the page cache.
 */
#ifndef QUARRY_BENCH_KV_FILES_H
#define QUARRY_BENCH_KV_FILES_H

#include <stdint.h>

/* All end the process when they fail, but that it need not be there to be removed. */
void bench_kv_files_remove(const char *path);
/* Copies a directory's files, not those of directories in it, to one that is not there yet. */
void bench_kv_files_copy(const char *from, const char *to);
/* Bytes that they take on disk. `ret_count`: how many there are. */
uint64_t bench_kv_files_bytes(const char *path, uint64_t *ret_count);
/* The next read of each comes from the disk, as far as the kernel obeys. */
void bench_kv_files_drop(const char *path);

#endif
