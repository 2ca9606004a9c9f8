#include "vfs_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct vfs_rig *rig_create(struct quarry_vfs *vfs, struct quarry_vfs *below)
{
    struct vfs_rig *rig = calloc(1, sizeof *rig);
    assert_non_null(rig);
    rig->vfs = vfs;
    rig->below = below;
    return rig;
}

int vfs_rig_posix(void **state)
{
    struct vfs_rig *rig = rig_create(quarry_vfs_posix(), NULL);
    snprintf(rig->root, sizeof rig->root, "/tmp/quarry-vfs-test-XXXXXX");
    *state = rig;
    return mkdtemp(rig->root) == NULL ? -1 : 0;
}

int vfs_rig_memory(void **state)
{
    struct quarry_vfs *vfs = NULL;
    assert_ok(quarry_vfs_memory_create(1, &vfs));
    struct vfs_rig *rig = rig_create(vfs, NULL);
    snprintf(rig->root, sizeof rig->root, "/test");
    *state = rig;
    return quarry_vfs_make_directory(vfs, rig->root, NULL) == QUARRY_OK ? 0 : -1;
}

int vfs_rig_fault(void **state)
{
    struct quarry_vfs *vfs = NULL;
    if (vfs_rig_memory(state) != 0) {
        return -1;
    }
    struct vfs_rig *rig = *state;
    assert_ok(quarry_vfs_fault_create(rig->vfs, 1, &vfs));
    rig->below = rig->vfs;
    rig->vfs = vfs;
    return 0;
}

int vfs_rig_end(void **state)
{
    struct vfs_rig *rig = *state;
    enum quarry_status status = quarry_vfs_remove_directory(rig->vfs, rig->root, NULL);
    if (rig->below != NULL) {
        quarry_vfs_fault_destroy(rig->vfs);
        quarry_vfs_memory_destroy(rig->below);
    } else if (rig->vfs != quarry_vfs_posix()) {
        quarry_vfs_memory_destroy(rig->vfs);
    }
    free(rig);
    return status == QUARRY_OK ? 0 : -1;
}

struct tree_step {
    struct quarry_vfs *vfs;
    const char *path;
};

static bool remove_entry(void *argument, const char *name)
{
    struct tree_step *step = argument;
    char path[512];
    uint64_t byte_count;
    bool is_directory = false;
    snprintf(path, sizeof path, "%s/%s", step->path, name);
    assert_ok(quarry_vfs_stat(step->vfs, path, &byte_count, &is_directory, NULL));
    if (is_directory) {
        vfs_tree_remove(step->vfs, path);
        assert_ok(quarry_vfs_remove_directory(step->vfs, path, NULL));
    } else {
        assert_ok(quarry_vfs_remove(step->vfs, path, NULL));
    }
    return true;
}

void vfs_tree_remove(struct quarry_vfs *vfs, const char *path)
{
    struct tree_step step = {.vfs = vfs, .path = path};
    assert_ok(quarry_vfs_list(vfs, path, remove_entry, &step, NULL));
}

int vfs_rig_clear(void **state)
{
    struct vfs_rig *rig = *state;
    vfs_tree_remove(rig->vfs, rig->root);
    return 0;
}

const char *vfs_rig_path(struct vfs_rig *rig, const char *name)
{
    char *path = rig->path[rig->path_index++ % 4];
    snprintf(path, sizeof rig->path[0], "%s/%s", rig->root, name);
    return path;
}

struct quarry_vfs_file *vfs_rig_open(struct vfs_rig *rig, const char *name, uint32_t mode)
{
    struct quarry_vfs_file *file = NULL;
    assert_ok(quarry_vfs_open(rig->vfs, vfs_rig_path(rig, name), mode, &file, NULL));
    assert_ptr_equal(file->vfs, rig->vfs);
    return file;
}

void vfs_rig_put(struct vfs_rig *rig, const char *name, const char *text)
{
    struct quarry_vfs_file *file =
        vfs_rig_open(rig, name, QUARRY_VFS_WRITE | QUARRY_VFS_CREATE | QUARRY_VFS_TRUNCATE);
    assert_ok(quarry_vfs_write(file, 0, text, strlen(text), NULL));
    quarry_vfs_close(file);
}

void vfs_rig_expect(struct vfs_rig *rig, const char *name, const char *text)
{
    char buffer[256];
    size_t byte_count = 0;
    struct quarry_vfs_file *file = vfs_rig_open(rig, name, QUARRY_VFS_READ);
    assert_ok(quarry_vfs_read(file, 0, buffer, sizeof buffer, &byte_count, NULL));
    quarry_vfs_close(file);
    assert_int_equal(byte_count, strlen(text));
    assert_memory_equal(buffer, text, byte_count);
}

bool vfs_rig_has(struct vfs_rig *rig, const char *name)
{
    uint64_t byte_count;
    bool is_directory;
    return quarry_vfs_stat(rig->vfs, vfs_rig_path(rig, name), &byte_count, &is_directory, NULL) ==
           QUARRY_OK;
}
