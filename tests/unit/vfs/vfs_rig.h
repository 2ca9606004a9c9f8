/*
 * File systems to test on: a directory in each of which a test may do as it likes.
 */
#ifndef QUARRY_TESTS_UNIT_VFS_RIG_H
#define QUARRY_TESTS_UNIT_VFS_RIG_H

#include <stdbool.h>
#include <stdint.h>

#include <quarry/vfs.h>

#include "unit/os/cmocka_all.h"

#define assert_ok(call) assert_int_equal((call), QUARRY_OK)

struct vfs_rig {
    struct quarry_vfs *vfs;
    struct quarry_vfs *below; /* what a vfs that fails stands on, or NULL */
    char root[64];            /* exists */
    char path[4][400];        /* of vfs_rig_path, in turn */
    unsigned path_index;
};

/* cmocka's, for groups and for tests; `*state` is a struct vfs_rig. */
int vfs_rig_posix(void **state);
int vfs_rig_memory(void **state);
int vfs_rig_fault(void **state); /* nothing fails, on memory */
int vfs_rig_end(void **state);
/* Empties the root. */
int vfs_rig_clear(void **state);

/* The path of a name in the root. Returns: borrowed until four more were asked for. */
const char *vfs_rig_path(struct vfs_rig *rig, const char *name);
/* Opens a file of the root. */
struct quarry_vfs_file *vfs_rig_open(struct vfs_rig *rig, const char *name, uint32_t mode);
/* Makes a file with a text in it. */
void vfs_rig_put(struct vfs_rig *rig, const char *name, const char *text);
/* Fails the test unless the file has just this text. */
void vfs_rig_expect(struct vfs_rig *rig, const char *name, const char *text);
/* Whether there is such a name. */
bool vfs_rig_has(struct vfs_rig *rig, const char *name);

/* Removes all that is in a directory. */
void vfs_tree_remove(struct quarry_vfs *vfs, const char *path);

#endif
