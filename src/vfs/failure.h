/*
 * How a vfs says that something failed: from the system's errno to a status and a text.
 *
 * The file system in memory names its failures by errnos as well, so that both say the same.
 */
#ifndef QUARRY_VFS_FAILURE_H
#define QUARRY_VFS_FAILURE_H

#include <base/base.h>

/*
 * Bytes of a path that a text shows at most, its NUL included: the last ones, which tell files
 * apart. Leaves half of a quarry_error to operation, offset and reason.
 */
#define VFS_TAIL_BYTES 104u

/*
 * The end of a path that fits VFS_TAIL_BYTES, not begun within a character of UTF-8.
 *
 * `path`: borrowed. Returns: borrowed from it.
 */
const char *vfs_tail_of(const char *path);

/* What an errno means for a name: opening, removing, renaming, listing. `os_errno`: above 0. */
enum quarry_status vfs_status_of_name(int os_errno);
/* What it means for an open file: IO, but for the few that a caller can do something about. */
enum quarry_status vfs_status_of_file(int os_errno);

/*
 * Tells that an operation on a name failed: "open 'kv/LOCK': Permission denied".
 *
 * `error`: borrowed, may be NULL. `operation`: a word. `path`: borrowed.
 * Returns: vfs_status_of_name(os_errno).
 */
enum quarry_status vfs_failed_name(struct quarry_error *error, int os_errno, const char *operation,
                                   const char *path);
/* The same with a status of the caller's. */
enum quarry_status vfs_failed_name_as(struct quarry_error *error, enum quarry_status status,
                                      int os_errno, const char *operation, const char *path);
/* The same for an open file. Returns: vfs_status_of_file(os_errno). */
enum quarry_status vfs_failed_file(struct quarry_error *error, int os_errno, const char *operation,
                                   const char *path);
/* As vfs_failed_file, for a range: "write 'kv/000012.log', 4096 bytes at 81920: No space left". */
enum quarry_status vfs_failed_range(struct quarry_error *error, int os_errno, const char *operation,
                                    const char *path, uint64_t offset, uint64_t byte_count);

#endif
