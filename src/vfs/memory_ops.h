/*
 * The operations of a file system in memory: what its table is filled with.
 */
#ifndef QUARRY_VFS_MEMORY_OPS_H
#define QUARRY_VFS_MEMORY_OPS_H

#include <vfs/memory_disk.h>

/* Asserts that it is one. */
struct vfs_memory_disk *vfs_memory_disk_of(struct quarry_vfs *vfs);

/* memory.c */
enum quarry_status vfs_memory_free_space(struct quarry_vfs *vfs, const char *path,
                                         uint64_t *ret_byte_count, struct quarry_error *error);
uint64_t vfs_memory_monotonic_ns(struct quarry_vfs *vfs);
uint64_t vfs_memory_wall_ns(struct quarry_vfs *vfs);

/* memory_file.c */
enum quarry_status vfs_memory_open(struct quarry_vfs *vfs, const char *path, uint32_t mode,
                                   struct quarry_vfs_file **ret_file, struct quarry_error *error);
void vfs_memory_close(struct quarry_vfs_file *file);
enum quarry_status vfs_memory_read(struct quarry_vfs_file *file, uint64_t offset, void *buffer,
                                   size_t byte_count, size_t *ret_byte_count,
                                   struct quarry_error *error);
enum quarry_status vfs_memory_write(struct quarry_vfs_file *file, uint64_t offset,
                                    const void *bytes, size_t byte_count,
                                    struct quarry_error *error);
enum quarry_status vfs_memory_sync(struct quarry_vfs_file *file, struct quarry_error *error);
enum quarry_status vfs_memory_start_sync(struct quarry_vfs_file *file, uint64_t offset,
                                         uint64_t byte_count, struct quarry_error *error);
enum quarry_status vfs_memory_preallocate(struct quarry_vfs_file *file, uint64_t offset,
                                          uint64_t byte_count, struct quarry_error *error);
enum quarry_status vfs_memory_truncate(struct quarry_vfs_file *file, uint64_t byte_count,
                                       struct quarry_error *error);
enum quarry_status vfs_memory_size(struct quarry_vfs_file *file, uint64_t *ret_byte_count,
                                   struct quarry_error *error);
enum quarry_status vfs_memory_map(struct quarry_vfs_file *file, uint64_t offset, size_t byte_count,
                                  void **ret_base, struct quarry_error *error);
void vfs_memory_unmap(struct quarry_vfs_file *file, void *base, size_t byte_count);
void vfs_memory_advise(struct quarry_vfs_file *file, uint64_t offset, uint64_t byte_count,
                       enum quarry_vfs_advice advice);
enum quarry_status vfs_memory_lock(struct quarry_vfs *vfs, const char *path,
                                   struct quarry_vfs_lock **ret_lock, struct quarry_error *error);
void vfs_memory_unlock(struct quarry_vfs_lock *lock);

/* memory_name.c */
enum quarry_status vfs_memory_remove(struct quarry_vfs *vfs, const char *path,
                                     struct quarry_error *error);
enum quarry_status vfs_memory_rename(struct quarry_vfs *vfs, const char *from, const char *to,
                                     struct quarry_error *error);
enum quarry_status vfs_memory_link(struct quarry_vfs *vfs, const char *from, const char *to,
                                   struct quarry_error *error);
enum quarry_status vfs_memory_make_directory(struct quarry_vfs *vfs, const char *path,
                                             struct quarry_error *error);
enum quarry_status vfs_memory_remove_directory(struct quarry_vfs *vfs, const char *path,
                                               struct quarry_error *error);
enum quarry_status vfs_memory_sync_directory(struct quarry_vfs *vfs, const char *path,
                                             struct quarry_error *error);
enum quarry_status vfs_memory_list(struct quarry_vfs *vfs, const char *path,
                                   quarry_vfs_visit_function *visit, void *argument,
                                   struct quarry_error *error);
enum quarry_status vfs_memory_stat(struct quarry_vfs *vfs, const char *path,
                                   uint64_t *ret_byte_count, bool *ret_is_directory,
                                   struct quarry_error *error);

#endif
