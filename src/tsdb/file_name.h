/*
 * The names of the store's files, all in directories of their own kind:
 *
 *     window-494321-000012.log     a segment of the log: its window, its number
 *     window-494321.qtw            a sealed window
 *     snapshot-000007.qts          a snapshot: its generation
 *     deleted.qtt                  tombstones: what was deleted and is there still
 *     *.tmp                        one that is being written: of no use after a crash
 *
 * Windows before 1970 have a minus: window--3.qtw.
 */
#ifndef QUARRY_TSDB_FILE_NAME_H
#define QUARRY_TSDB_FILE_NAME_H

#include <quarry/vfs.h>

enum tsdb_file_kind {
    TSDB_FILE_SEGMENT,
    TSDB_FILE_WINDOW,
    TSDB_FILE_SNAPSHOT,
    TSDB_FILE_TOMBSTONES,
    TSDB_FILE_TEMPORARY
};

/* What a name says. */
struct tsdb_file_name {
    enum tsdb_file_kind kind;
    int64_t window;  /* of SEGMENT and WINDOW */
    uint64_t number; /* of SEGMENT and SNAPSHOT, from 1 */
};

struct tsdb_path {
    char text[QUARRY_VFS_PATH_BYTES_MAX];
};

/* The path of a file, but a temporary one. Errors: QUARRY_TOO_LARGE. */
enum quarry_status tsdb_file_path(const char *directory, const struct tsdb_file_name *name,
                                  struct tsdb_path *ret_path, struct quarry_error *error);
/* The path under which a file is written. Errors: QUARRY_TOO_LARGE. */
enum quarry_status tsdb_file_temporary_path(const char *path, struct tsdb_path *ret_path,
                                            struct quarry_error *error);
/* Returns: false: it is no name of the store's. Only what tsdb_file_path would make is one. */
bool tsdb_file_parse(const char *name, struct tsdb_file_name *ret_name);

/*
 * Removes what a crash has left of files that were being written. One that cannot be is left.
 * Errors: those of quarry_vfs_list.
 */
enum quarry_status tsdb_file_sweep(struct quarry_vfs *vfs, const char *directory,
                                   struct quarry_error *error);

#endif
