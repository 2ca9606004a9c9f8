/*
 * Directories of files: the names in one, and removing one.
 */
#ifndef QUARRY_TSDB_BLOCK_DIRECTORY_H
#define QUARRY_TSDB_BLOCK_DIRECTORY_H

#include <tsdb/block_file.h>

/* Names, each with its NUL, one behind another; sorted by bytes. */
struct block_names {
    struct block_array bytes;  /* char */
    struct block_array starts; /* uint32_t: in `bytes` */
};

static inline const char *block_name(const struct block_names *names, size_t index)
{
    return (const char *)names->bytes.members + ((const uint32_t *)names->starts.members)[index];
}

/*
 * The names in a directory that `is_wanted` is true of, sorted. Errors: QUARRY_NOT_FOUND,
 * QUARRY_NO_MEMORY, of the vfs. `ret_names`: all-zero on failure.
 */
enum quarry_status block_names_list(struct tsdb_memory *memory, struct quarry_vfs *vfs,
                                    const char *directory, bool (*is_wanted)(const char *name),
                                    struct block_names *ret_names, struct quarry_error *error);
void block_names_fini(struct tsdb_memory *memory, struct block_names *names);

/* Removes a directory with what is in it, two levels of directories at most, as far as it can. */
void block_directory_remove(struct tsdb_memory *memory, struct quarry_vfs *vfs,
                            const char *directory);

#endif
