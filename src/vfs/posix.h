/*
 * The machine's file system: what its files share. posix.c has the table and the essay.
 */
#ifndef QUARRY_VFS_POSIX_H
#define QUARRY_VFS_POSIX_H

#include <fcntl.h>

#include <quarry/vfs.h>

#include <os/kernel.h>
#include <vfs/failure.h>
#include <vfs/posix_slot.h>

/* An open file. */
struct vfs_posix_file {
    struct quarry_vfs_file file;
    int fd;                    /* const while open; above 2 */
    bool is_writable;          /* const while open */
    char path[VFS_TAIL_BYTES]; /* its end, for texts */
};
Q_STATIC_ASSERT(sizeof(struct vfs_posix_file) <= VFS_SLOT_BYTES, "a file fits its slot");

/* A lock that is held. */
struct vfs_posix_lock {
    struct quarry_vfs_lock lock;
    struct vfs_posix_lock *next; /* in the process' list; guarded by its mutex */
    uint64_t device;
    uint64_t inode;
    int fd; /* const while held */
};
Q_STATIC_ASSERT(sizeof(struct vfs_posix_lock) <= VFS_SLOT_BYTES, "a lock fits its slot");

/* posix_file.c: files. Each is one of struct quarry_vfs_ops. */
enum quarry_status vfs_posix_open(struct quarry_vfs *vfs, const char *path, uint32_t mode,
                                  struct quarry_vfs_file **ret_file, struct quarry_error *error);
void vfs_posix_close(struct quarry_vfs_file *file);
enum quarry_status vfs_posix_read(struct quarry_vfs_file *file, uint64_t offset, void *buffer,
                                  size_t byte_count, size_t *ret_byte_count,
                                  struct quarry_error *error);
enum quarry_status vfs_posix_write(struct quarry_vfs_file *file, uint64_t offset, const void *bytes,
                                   size_t byte_count, struct quarry_error *error);
enum quarry_status vfs_posix_sync(struct quarry_vfs_file *file, struct quarry_error *error);
enum quarry_status vfs_posix_start_sync(struct quarry_vfs_file *file, uint64_t offset,
                                        uint64_t byte_count, struct quarry_error *error);
enum quarry_status vfs_posix_preallocate(struct quarry_vfs_file *file, uint64_t offset,
                                         uint64_t byte_count, struct quarry_error *error);
enum quarry_status vfs_posix_truncate(struct quarry_vfs_file *file, uint64_t byte_count,
                                      struct quarry_error *error);
enum quarry_status vfs_posix_size(struct quarry_vfs_file *file, uint64_t *ret_byte_count,
                                  struct quarry_error *error);
enum quarry_status vfs_posix_map(struct quarry_vfs_file *file, uint64_t offset, size_t byte_count,
                                 void **ret_base, struct quarry_error *error);
void vfs_posix_unmap(struct quarry_vfs_file *file, void *base, size_t byte_count);
void vfs_posix_advise(struct quarry_vfs_file *file, uint64_t offset, uint64_t byte_count,
                      enum quarry_vfs_advice advice);

/* posix_lock.c */
enum quarry_status vfs_posix_lock(struct quarry_vfs *vfs, const char *path,
                                  struct quarry_vfs_lock **ret_lock, struct quarry_error *error);
void vfs_posix_unlock(struct quarry_vfs_lock *lock);

/* posix_name.c: names. */
enum quarry_status vfs_posix_remove(struct quarry_vfs *vfs, const char *path,
                                    struct quarry_error *error);
enum quarry_status vfs_posix_rename(struct quarry_vfs *vfs, const char *from, const char *to,
                                    struct quarry_error *error);
enum quarry_status vfs_posix_link(struct quarry_vfs *vfs, const char *from, const char *to,
                                  struct quarry_error *error);
enum quarry_status vfs_posix_make_directory(struct quarry_vfs *vfs, const char *path,
                                            struct quarry_error *error);
enum quarry_status vfs_posix_remove_directory(struct quarry_vfs *vfs, const char *path,
                                              struct quarry_error *error);
enum quarry_status vfs_posix_sync_directory(struct quarry_vfs *vfs, const char *path,
                                            struct quarry_error *error);
enum quarry_status vfs_posix_list(struct quarry_vfs *vfs, const char *path,
                                  quarry_vfs_visit_function *visit, void *argument,
                                  struct quarry_error *error);
enum quarry_status vfs_posix_stat(struct quarry_vfs *vfs, const char *path,
                                  uint64_t *ret_byte_count, bool *ret_is_directory,
                                  struct quarry_error *error);
enum quarry_status vfs_posix_free_space(struct quarry_vfs *vfs, const char *path,
                                        uint64_t *ret_byte_count, struct quarry_error *error);

/*
 * Opens a path with the flags that every descriptor of ours has, at a number above 2.
 * Returns: the descriptor, or a negative errno.
 */
int vfs_posix_open_fd(const char *path, int flags);
static inline void vfs_posix_close_fd(int fd)
{
    /* Not again after EINTR: Linux has let go of the number, which may be somebody else's now. */
    long result = os_kernel(SYS_close, fd);
    Q_ASSERT(result != -EBADF);
}

/* The kernel's offsets are signed. */
static inline bool vfs_posix_fits(uint64_t offset, uint64_t byte_count)
{
    return offset <= INT64_MAX && byte_count <= INT64_MAX - offset;
}

#endif
