#include "block_rig.h"

struct tsdb_memory *block_fuzz_memory(void)
{
    static struct tsdb_memory block_memory;
    static struct quarry_memory *memory;
    const struct quarry_memory_options options = {.limit_bytes = Q_MIB(256), .has_no_thread = true};
    const struct quarry_account_options account_options = {.name = "blocks"};
    struct quarry_lifetime *lifetime = NULL;

    if (memory == NULL) {
        Q_ASSERT(quarry_memory_create(&options, &memory, NULL) == QUARRY_OK);
        Q_ASSERT(quarry_account_create(memory, &account_options, &block_memory.account, NULL) ==
                 QUARRY_OK);
        Q_ASSERT(quarry_lifetime_begin(memory, "blocks", &lifetime, NULL) == QUARRY_OK);
        Q_ASSERT(quarry_pool_create(lifetime, quarry_account_owner(block_memory.account),
                                    &block_memory.pool) == QUARRY_OK);
    }
    return &block_memory;
}

struct quarry_vfs *block_fuzz_disk(const char *const *directories, size_t directory_count,
                                   const char *path, const uint8_t *data, size_t size)
{
    struct quarry_vfs_file *file = NULL;
    struct quarry_vfs *vfs = NULL;

    Q_ASSERT(quarry_vfs_memory_create(1, &vfs) == QUARRY_OK);
    for (size_t i = 0; i < directory_count; i++) {
        Q_ASSERT(quarry_vfs_make_directory(vfs, directories[i], NULL) == QUARRY_OK);
    }
    Q_ASSERT(quarry_vfs_open(vfs, path, QUARRY_VFS_WRITE | QUARRY_VFS_CREATE, &file, NULL) ==
             QUARRY_OK);
    Q_ASSERT(size == 0 || quarry_vfs_write(file, 0, data, size, NULL) == QUARRY_OK);
    quarry_vfs_close(file);
    return vfs;
}
