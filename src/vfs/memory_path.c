/*
 * From a path to a node of a simulated disk.
 *
 * Relative paths begin at the root, there being no working directory. Empty parts and "." are
 * passed over, ".." leads to the parent, and the root's parent is the root. There are no symbolic
 * links.
 *
 * Locking: the disk's. Cost: O(parts × log names).
 */
#include <errno.h>
#include <string.h>

#include <vfs/memory_disk.h>

/*
 * Cuts the next part off a path.
 * Returns: its length, 0: there is none left; `*ret_part` is where it begins.
 */
static size_t next_part(const char **path, const char **ret_part)
{
    *path += strspn(*path, "/");
    size_t byte_count = strcspn(*path, "/");
    *ret_part = *path;
    *path += byte_count;
    return byte_count;
}

/* One step down, or up. `place` names where we are, and then the next. */
static int take_step(struct vfs_memory_disk *disk, struct vfs_memory_place_name *place,
                     const char *part, size_t byte_count)
{
    if (place->node == NULL) {
        return ENOENT;
    }
    if (!place->node->is_directory) {
        return ENOTDIR;
    }
    if (byte_count >= sizeof place->text) {
        return ENAMETOOLONG;
    }
    if (byte_count == 1 && part[0] == '.') {
        return 0;
    }
    if (byte_count == 2 && part[0] == '.' && part[1] == '.') {
        struct vfs_memory_node *parent = place->node->parent;
        place->node = parent == NULL ? disk->root : parent;
        place->directory = place->node->parent;
        place->text[0] = '\0';
        return 0;
    }
    memcpy(place->text, part, byte_count);
    place->text[byte_count] = '\0';
    place->directory = place->node;
    place->node = vfs_memory_names_find(&place->directory->current, place->text);
    return 0;
}

int vfs_memory_path_find(struct vfs_memory_disk *disk, const char *path,
                         struct vfs_memory_place_name *ret_place)
{
    struct vfs_memory_place_name place = {.node = disk->root};
    if (path[0] == '\0') {
        return ENOENT;
    }
    if (strnlen(path, QUARRY_VFS_PATH_BYTES_MAX) == QUARRY_VFS_PATH_BYTES_MAX) {
        return ENAMETOOLONG;
    }
    const char *part = NULL;
    for (size_t byte_count = next_part(&path, &part); byte_count > 0;
         byte_count = next_part(&path, &part)) {
        int failed = take_step(disk, &place, part, byte_count);
        if (failed != 0) {
            return failed;
        }
    }
    *ret_place = place;
    return 0;
}
