/*
 * Whole files and directories: copying, linking, listing in order, removing. For checkpoints,
 * backups, ingestion and repair; nothing here needs memory.
 */
#ifndef QUARRY_KV_COPY_H
#define QUARRY_KV_COPY_H

#include <kv/file_name.h>

/* "directory/name". Errors: QUARRY_TOO_LARGE. */
enum quarry_status kv_path_join(const char *directory, const char *name, struct kv_path *ret_path,
                                struct quarry_error *error);
/* The directory that a path is in: "." where it does not say. Errors: QUARRY_TOO_LARGE. */
enum quarry_status kv_path_parent(const char *path, struct kv_path *ret_parent,
                                  struct quarry_error *error);

/* What a file holds: its length, and the CRC-32C of all of it. */
struct kv_file_sum {
    uint64_t byte_count;
    uint32_t crc;
};
/* Errors: those of opening and reading. Cost: reads the file. */
enum quarry_status kv_file_sum_of(struct quarry_vfs *vfs, const char *path,
                                  struct kv_file_sum *ret_sum, struct quarry_error *error);
/*
 * Copies a file and syncs it; its name is not yet durable. `ret_sum`: of what was written; NULL.
 * Errors: QUARRY_EXISTS, those of reading and writing: nothing is left at `to`.
 */
enum quarry_status kv_file_copy(struct quarry_vfs *vfs, const char *from, const char *to,
                                struct kv_file_sum *ret_sum, struct quarry_error *error);
/* A second name of a file that is synced; where the file system cannot, a copy. */
enum quarry_status kv_file_share(struct quarry_vfs *vfs, const char *from, const char *to,
                                 struct quarry_error *error);
/* Waits until a file's bytes would survive a loss of power. */
enum quarry_status kv_file_sync(struct quarry_vfs *vfs, const char *path,
                                struct quarry_error *error);

bool kv_path_exists(struct quarry_vfs *vfs, const char *path);
/* Makes a directory if it is not there. */
enum quarry_status kv_directory_make(struct quarry_vfs *vfs, const char *path,
                                     struct quarry_error *error);
/* Syncs the directory that a path is in. */
enum quarry_status kv_directory_sync_parent(struct quarry_vfs *vfs, const char *path,
                                            struct quarry_error *error);
/* Removes the files in a directory, and it, as far as that can be done. */
void kv_directory_remove(struct quarry_vfs *vfs, const char *path);

/* Names of a directory in the order of strcmp, so many at a time. */
#define KV_NAMES_MAX 32u
struct kv_names {
    size_t count;
    char name[KV_NAMES_MAX][QUARRY_VFS_NAME_BYTES_MAX];
};
/*
 * The first names after `after`; "" is before all. count 0: there are none.
 * Errors: those of quarry_vfs_list. Cost: a listing of the directory.
 */
enum quarry_status kv_names_read(struct quarry_vfs *vfs, const char *directory, const char *after,
                                 struct kv_names *ret_names, struct quarry_error *error);

#endif
