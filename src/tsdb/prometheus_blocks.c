/*
 * The blocks of a data directory: directories named by ULIDs, each with its meta.json.
 *
 * A directory may be named otherwise than its meta.json says, as a copy is; the directory's name is
 * what leads to it.
 */
#include <tsdb/prometheus_blocks.h>

#include <string.h>

#include <tsdb/block_directory.h>

/* Puts a block where it belongs in the order: by insertion, for there are some hundreds. */
static enum quarry_status insert(struct tsdb_memory *memory, struct block_array *blocks,
                                 const struct block_meta *meta)
{
    enum quarry_status status =
        block_array_reserve(memory, blocks, blocks->count + 1, sizeof(*meta));

    if (status != QUARRY_OK) {
        return status;
    }
    struct block_meta *all = blocks->members;
    size_t at = blocks->count++;
    for (; at > 0 && all[at - 1].min_t_ms > meta->min_t_ms; at--) {
        all[at] = all[at - 1];
    }
    all[at] = *meta;
    return QUARRY_OK;
}

static enum quarry_status add_block(struct tsdb_memory *memory, struct quarry_vfs *vfs,
                                    const char *directory, const char *name,
                                    struct block_array *blocks, struct prometheus_losses *losses,
                                    struct quarry_error *error)
{
    struct quarry_error here = {0};
    struct block_meta meta = {0};
    char *path = block_path_join(memory, directory, name);
    enum quarry_status status = path == NULL
                                    ? error_set(&here, QUARRY_NO_MEMORY, "no memory to list blocks")
                                    : block_meta_read(memory, vfs, path, &meta, &here);

    tsdb_memory_give(memory, path);
    if (status == QUARRY_OK) {
        memcpy(meta.ulid, name, BLOCK_ULID_BYTES);
        status = insert(memory, blocks, &meta);
        if (status != QUARRY_OK) {
            (void)error_set(&here, status, "no memory to list blocks");
        }
    } else if (status == QUARRY_CORRUPT || status == QUARRY_UNSUPPORTED ||
               status == QUARRY_NOT_FOUND) {
        prometheus_lose(losses, 0, &here);
        return QUARRY_OK;
    }
    if (status != QUARRY_OK && error != NULL) {
        *error = here;
    }
    return status;
}

enum quarry_status prometheus_blocks_list(struct tsdb_memory *memory, struct quarry_vfs *vfs,
                                          const char *directory, struct block_array *ret_blocks,
                                          struct prometheus_losses *losses,
                                          struct quarry_error *error)
{
    struct block_array blocks = {0};
    struct block_names names;
    enum quarry_status status =
        block_names_list(memory, vfs, directory, block_ulid_is, &names, error);

    if (status != QUARRY_OK) {
        return status;
    }
    for (size_t i = 0; status == QUARRY_OK && i < names.starts.count; i++) {
        status = add_block(memory, vfs, directory, block_name(&names, i), &blocks, losses, error);
    }
    block_names_fini(memory, &names);
    if (status != QUARRY_OK) {
        block_array_fini(memory, &blocks);
        return status;
    }
    *ret_blocks = blocks;
    return QUARRY_OK;
}
