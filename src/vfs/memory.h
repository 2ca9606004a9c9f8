/*
 * What the vfs that fails knows of the one in memory.
 */
#ifndef QUARRY_VFS_MEMORY_H
#define QUARRY_VFS_MEMORY_H

#include <quarry/vfs.h>

/* Whether a vfs is one of quarry_vfs_memory_create. */
bool vfs_memory_is(const struct quarry_vfs *vfs);
/*
 * What a failed sync leaves: what was to be synced counts as clean, and will be on no disk unless
 * it is written again.
 * `file`, `vfs`: of one in memory.
 */
void vfs_memory_drop(struct quarry_vfs_file *file);
void vfs_memory_drop_directory(struct quarry_vfs *vfs, const char *path);

#endif
