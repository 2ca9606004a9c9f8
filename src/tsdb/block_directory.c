/*
 * Names of a directory, sorted, and the end of a directory.
 *
 * A listing is the vfs' and calls back under way; nothing is removed meanwhile: names are taken
 * down first. Locking: none.
 */
#include <tsdb/block_directory.h>

#include <string.h>

/* A block has its chunks in a directory of their own. */
#define LEVELS_MAX 2u

struct lister {
    struct tsdb_memory *memory;
    struct block_names *names;
    bool (*is_wanted)(const char *name);
    enum quarry_status status;
};

static bool take_name(void *argument, const char *name)
{
    struct lister *lister = argument;
    struct block_array *starts = &lister->names->starts, *bytes = &lister->names->bytes;

    if (!lister->is_wanted(name)) {
        return true;
    }
    lister->status =
        block_array_reserve(lister->memory, starts, starts->count + 1, sizeof(uint32_t));
    if (lister->status == QUARRY_OK) {
        ((uint32_t *)starts->members)[starts->count] = (uint32_t)bytes->count;
        lister->status = block_array_append(lister->memory, bytes, name, strlen(name) + 1);
    }
    starts->count += lister->status == QUARRY_OK;
    return lister->status == QUARRY_OK;
}

/* By insertion: blocks and segments of a server are some hundreds, most often listed in order. */
static void sort_names(struct block_names *names)
{
    const char *bytes = names->bytes.members;
    uint32_t *starts = names->starts.members;

    for (size_t i = 1; i < names->starts.count; i++) {
        uint32_t held = starts[i];
        size_t at = i;

        for (; at > 0 && strcmp(bytes + held, bytes + starts[at - 1]) < 0; at--) {
            starts[at] = starts[at - 1];
        }
        starts[at] = held;
    }
}

enum quarry_status block_names_list(struct tsdb_memory *memory, struct quarry_vfs *vfs,
                                    const char *directory, bool (*is_wanted)(const char *name),
                                    struct block_names *ret_names, struct quarry_error *error)
{
    struct lister lister = {.memory = memory, .names = ret_names, .is_wanted = is_wanted};

    *ret_names = (struct block_names){0};
    enum quarry_status status = quarry_vfs_list(vfs, directory, take_name, &lister, error);
    if (status == QUARRY_OK && lister.status != QUARRY_OK) {
        status = error_set(error, lister.status, "%.120s: no memory for its names", directory);
    }
    if (status != QUARRY_OK) {
        block_names_fini(memory, ret_names);
        return status;
    }
    sort_names(ret_names);
    return QUARRY_OK;
}

void block_names_fini(struct tsdb_memory *memory, struct block_names *names)
{
    block_array_fini(memory, &names->bytes);
    block_array_fini(memory, &names->starts);
}

/* ---- removing ------------------------------------------------------------------------------- */

static bool every_name(const char *name)
{
    (void)name;
    return true;
}

static void remove_level(struct tsdb_memory *memory, struct quarry_vfs *vfs, const char *directory,
                         uint32_t levels)
{
    struct block_names names;

    if (block_names_list(memory, vfs, directory, every_name, &names, NULL) != QUARRY_OK) {
        return;
    }
    for (size_t i = 0; i < names.starts.count; i++) {
        char *path = block_path_join(memory, directory, block_name(&names, i));
        bool is_directory = false;
        uint64_t byte_count = 0;

        if (path == NULL ||
            quarry_vfs_stat(vfs, path, &byte_count, &is_directory, NULL) != QUARRY_OK) {
            tsdb_memory_give(memory, path);
            continue;
        }
        if (!is_directory) {
            (void)quarry_vfs_remove(vfs, path, NULL);
        } else if (levels > 1) {
            remove_level(memory, vfs, path, levels - 1);
        }
        tsdb_memory_give(memory, path);
    }
    block_names_fini(memory, &names);
    (void)quarry_vfs_remove_directory(vfs, directory, NULL);
}

void block_directory_remove(struct tsdb_memory *memory, struct quarry_vfs *vfs,
                            const char *directory)
{
    remove_level(memory, vfs, directory, LEVELS_MAX);
}
