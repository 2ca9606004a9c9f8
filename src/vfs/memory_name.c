/*
 * Names of a file system in memory: removing, renaming, linking, directories.
 *
 * What each is refused for, and with which errno, is Linux's. Locking: the disk's mutex for all of
 * an operation; a listing copies the names under it and visits them without.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <vfs/memory.h>
#include <vfs/memory_ops.h>

static int remove_locked(struct vfs_memory_disk *disk, const char *path);
static int rename_locked(struct vfs_memory_disk *disk, const char *from, const char *to);
static int check_rename(const struct vfs_memory_place_name *source,
                        const struct vfs_memory_place_name *target);
static int link_locked(struct vfs_memory_disk *disk, const char *from, const char *to);
static int make_directory_locked(struct vfs_memory_disk *disk, const char *path);
static int remove_directory_locked(struct vfs_memory_disk *disk, const char *path);
static int find_directory(struct vfs_memory_disk *disk, const char *path,
                          struct vfs_memory_node **ret_directory);
static int copy_names(struct vfs_memory_disk *disk, const char *path, char **ret_texts,
                      size_t *ret_count);

static enum quarry_status told(struct quarry_error *error, int failed, const char *operation,
                               const char *path)
{
    return failed == 0 ? QUARRY_OK : vfs_failed_name(error, failed, operation, path);
}

/* Where a path leads, or ENOENT. */
static int find(struct vfs_memory_disk *disk, const char *path,
                struct vfs_memory_place_name *ret_place)
{
    int failed = vfs_memory_path_find(disk, path, ret_place);
    if (failed == 0 && ret_place->node == NULL) {
        failed = ENOENT;
    }
    return failed;
}

/* ---- files ---- */

enum quarry_status vfs_memory_remove(struct quarry_vfs *vfs, const char *path,
                                     struct quarry_error *error)
{
    struct vfs_memory_disk *disk = vfs_memory_disk_of(vfs);
    os_mutex_lock(&disk->mutex);
    int failed = remove_locked(disk, path);
    os_mutex_unlock(&disk->mutex);
    return told(error, failed, "remove", path);
}

static int remove_locked(struct vfs_memory_disk *disk, const char *path)
{
    struct vfs_memory_place_name place;
    int failed = find(disk, path, &place);
    if (failed != 0) {
        return failed;
    }
    if (place.node->is_directory) {
        return EISDIR;
    }
    return vfs_memory_tree_set(disk, place.directory, place.text, NULL);
}

enum quarry_status vfs_memory_rename(struct quarry_vfs *vfs, const char *from, const char *to,
                                     struct quarry_error *error)
{
    struct vfs_memory_disk *disk = vfs_memory_disk_of(vfs);
    os_mutex_lock(&disk->mutex);
    int failed = rename_locked(disk, from, to);
    os_mutex_unlock(&disk->mutex);
    return told(error, failed, "rename", from);
}

static int rename_locked(struct vfs_memory_disk *disk, const char *from, const char *to)
{
    struct vfs_memory_place_name source;
    struct vfs_memory_place_name target;
    int failed = find(disk, from, &source);
    if (failed == 0) {
        failed = vfs_memory_path_find(disk, to, &target);
    }
    if (failed == 0) {
        failed = check_rename(&source, &target);
    }
    if (failed != 0 || source.node == target.node) {
        return failed;
    }
    return vfs_memory_tree_rename(disk, source.directory, source.text, target.directory,
                                  target.text, source.node);
}

static int check_rename(const struct vfs_memory_place_name *source,
                        const struct vfs_memory_place_name *target)
{
    if (source->directory == NULL || source->text[0] == '\0' ||
        (target->node != NULL && (target->directory == NULL || target->text[0] == '\0'))) {
        return EBUSY; /* the root, "." or ".." */
    }
    const struct vfs_memory_node *inside = target->directory;
    for (; source->node->is_directory && inside != NULL; inside = inside->parent) {
        if (inside == source->node) {
            return EINVAL; /* into itself */
        }
    }
    if (target->node == NULL || target->node == source->node) {
        return 0;
    }
    if (source->node->is_directory != target->node->is_directory) {
        return target->node->is_directory ? EISDIR : ENOTDIR;
    }
    return target->node->current.count > 0 ? ENOTEMPTY : 0;
}

enum quarry_status vfs_memory_link(struct quarry_vfs *vfs, const char *from, const char *to,
                                   struct quarry_error *error)
{
    struct vfs_memory_disk *disk = vfs_memory_disk_of(vfs);
    os_mutex_lock(&disk->mutex);
    int failed = link_locked(disk, from, to);
    os_mutex_unlock(&disk->mutex);
    if (failed == EPERM) {
        return vfs_failed_name_as(error, QUARRY_UNSUPPORTED, EPERM, "link", to);
    }
    return told(error, failed, "link", to);
}

static int link_locked(struct vfs_memory_disk *disk, const char *from, const char *to)
{
    struct vfs_memory_place_name source;
    struct vfs_memory_place_name target;
    int failed = find(disk, from, &source);
    if (failed == 0) {
        failed = vfs_memory_path_find(disk, to, &target);
    }
    if (failed != 0) {
        return failed;
    }
    if (target.node != NULL) {
        return EEXIST;
    }
    if (source.node->is_directory) {
        return EPERM;
    }
    return vfs_memory_tree_set(disk, target.directory, target.text, source.node);
}

/* ---- directories ---- */

enum quarry_status vfs_memory_make_directory(struct quarry_vfs *vfs, const char *path,
                                             struct quarry_error *error)
{
    struct vfs_memory_disk *disk = vfs_memory_disk_of(vfs);
    os_mutex_lock(&disk->mutex);
    int failed = make_directory_locked(disk, path);
    os_mutex_unlock(&disk->mutex);
    return told(error, failed, "make_directory", path);
}

static int make_directory_locked(struct vfs_memory_disk *disk, const char *path)
{
    struct vfs_memory_place_name place;
    int failed = vfs_memory_path_find(disk, path, &place);
    if (failed != 0) {
        return failed;
    }
    if (place.node != NULL) {
        return EEXIST;
    }
    struct vfs_memory_node *node = vfs_memory_node_create(disk, true);
    if (node == NULL) {
        return ENOMEM;
    }
    failed = vfs_memory_tree_set(disk, place.directory, place.text, node);
    node->parent = place.directory;
    vfs_memory_node_release(disk, node); /* its name counts it */
    return failed;
}

enum quarry_status vfs_memory_remove_directory(struct quarry_vfs *vfs, const char *path,
                                               struct quarry_error *error)
{
    struct vfs_memory_disk *disk = vfs_memory_disk_of(vfs);
    os_mutex_lock(&disk->mutex);
    int failed = remove_directory_locked(disk, path);
    os_mutex_unlock(&disk->mutex);
    return told(error, failed, "remove_directory", path);
}

static int remove_directory_locked(struct vfs_memory_disk *disk, const char *path)
{
    struct vfs_memory_place_name place;
    int failed = find(disk, path, &place);
    if (failed != 0) {
        return failed;
    }
    if (!place.node->is_directory) {
        return ENOTDIR;
    }
    if (place.directory == NULL || place.text[0] == '\0') {
        return EBUSY;
    }
    if (place.node->current.count > 0) {
        return ENOTEMPTY;
    }
    return vfs_memory_tree_set(disk, place.directory, place.text, NULL);
}

static int find_directory(struct vfs_memory_disk *disk, const char *path,
                          struct vfs_memory_node **ret_directory)
{
    struct vfs_memory_place_name place;
    int failed = find(disk, path, &place);
    if (failed == 0 && !place.node->is_directory) {
        failed = ENOTDIR;
    }
    if (failed == 0) {
        *ret_directory = place.node;
    }
    return failed;
}

enum quarry_status vfs_memory_sync_directory(struct quarry_vfs *vfs, const char *path,
                                             struct quarry_error *error)
{
    struct vfs_memory_disk *disk = vfs_memory_disk_of(vfs);
    struct vfs_memory_node *directory = NULL;
    os_mutex_lock(&disk->mutex);
    int failed = find_directory(disk, path, &directory);
    if (failed == 0) {
        failed = vfs_memory_tree_sync(disk, directory);
    }
    os_mutex_unlock(&disk->mutex);
    return told(error, failed, "sync_directory", path);
}

void vfs_memory_drop_directory(struct quarry_vfs *vfs, const char *path)
{
    struct vfs_memory_disk *disk = vfs_memory_disk_of(vfs);
    struct vfs_memory_node *directory = NULL;
    os_mutex_lock(&disk->mutex);
    if (find_directory(disk, path, &directory) == 0) {
        vfs_memory_tree_drop(disk, directory);
    }
    os_mutex_unlock(&disk->mutex);
}

/* ---- looking ---- */

enum quarry_status vfs_memory_list(struct quarry_vfs *vfs, const char *path,
                                   quarry_vfs_visit_function *visit, void *argument,
                                   struct quarry_error *error)
{
    struct vfs_memory_disk *disk = vfs_memory_disk_of(vfs);
    char *texts = NULL;
    size_t count = 0;
    os_mutex_lock(&disk->mutex);
    int failed = copy_names(disk, path, &texts, &count);
    os_mutex_unlock(&disk->mutex);
    if (failed != 0) {
        return vfs_failed_name(error, failed, "list", path);
    }
    const char *text = texts;
    while (count > 0 && visit(argument, text)) {
        text += strlen(text) + 1;
        count--;
    }
    free(texts);
    return QUARRY_OK;
}

/* `ret_texts`: own; `*ret_count` names one behind the other, each with its NUL. */
static int copy_names(struct vfs_memory_disk *disk, const char *path, char **ret_texts,
                      size_t *ret_count)
{
    struct vfs_memory_node *directory = NULL;
    int failed = find_directory(disk, path, &directory);
    if (failed != 0) {
        return failed;
    }
    size_t byte_count = 1;
    for (size_t at = 0; at < directory->current.count; at++) {
        byte_count += strlen(directory->current.items[at].text) + 1;
    }
    char *texts = malloc(byte_count);
    if (texts == NULL) {
        return ENOMEM;
    }
    char *end = texts;
    for (size_t at = 0; at < directory->current.count; at++) {
        end = stpcpy(end, directory->current.items[at].text) + 1;
    }
    *ret_texts = texts;
    *ret_count = directory->current.count;
    return 0;
}

enum quarry_status vfs_memory_stat(struct quarry_vfs *vfs, const char *path,
                                   uint64_t *ret_byte_count, bool *ret_is_directory,
                                   struct quarry_error *error)
{
    struct vfs_memory_disk *disk = vfs_memory_disk_of(vfs);
    struct vfs_memory_place_name place;
    os_mutex_lock(&disk->mutex);
    int failed = find(disk, path, &place);
    bool is_directory = failed == 0 && place.node->is_directory;
    uint64_t byte_count = failed == 0 ? place.node->content.byte_count : 0;
    os_mutex_unlock(&disk->mutex);
    if (failed != 0) {
        return vfs_failed_name(error, failed, "stat", path);
    }
    *ret_byte_count = byte_count;
    *ret_is_directory = is_directory;
    return QUARRY_OK;
}
