/*
 * The folder of what is kept, which one server has at a time.
 */
#ifndef QUARRY_SERVE_DATA_DIR_H
#define QUARRY_SERVE_DATA_DIR_H

#include <base/base.h>

#define SERVE_PATH_BYTES 4096

struct serve_data_dir {
    int lock_fd;                 /* -1: closed */
    char path[SERVE_PATH_BYTES]; /* absolute, without links */
};

/*
 * Makes the folder when it is absent, with mode 0700, and takes its lock. The folder above has to
 * be there.
 *
 * Errors: BUSY (another server has it: its process is named), NOT_FOUND, PERMISSION, IO, TOO_LARGE
 * (the path), NO_SPACE.
 */
enum quarry_status serve_data_dir_open(struct serve_data_dir *data_dir, const char *path,
                                       struct quarry_error *error);
/* Gives the lock back. */
void serve_data_dir_close(struct serve_data_dir *data_dir);

/*
 * The path of a file named after the folder, in the memory that outlives processes: two folders
 * never have the same one.
 */
void serve_data_dir_shm_path(const struct serve_data_dir *data_dir, const char *name,
                             char *ret_path, size_t capacity);

#endif
