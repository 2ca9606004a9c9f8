/*
 * Meta files of backups of any bytes: they are restored, or refused with a sentence and nothing is
 * left; and nothing is written but below the new directory.
 */
#include <stdlib.h>
#include <string.h>

#include <quarry/kv.h>

#include <base/base.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put_file(struct quarry_vfs *vfs, const char *path, const void *bytes, size_t count)
{
    struct quarry_vfs_file *file = NULL;

    Q_ASSERT(quarry_vfs_open(vfs, path, QUARRY_VFS_WRITE | QUARRY_VFS_CREATE, &file, NULL) ==
             QUARRY_OK);
    Q_ASSERT(count == 0 || quarry_vfs_write(file, 0, bytes, count, NULL) == QUARRY_OK);
    quarry_vfs_close(file);
}

static bool count_name(void *argument, const char *name)
{
    (void)name;
    ++*(uint32_t *)argument;
    return true;
}
static uint32_t names_in(struct quarry_vfs *vfs, const char *path)
{
    uint32_t count = 0;

    Q_ASSERT(quarry_vfs_list(vfs, path, count_name, &count, NULL) == QUARRY_OK);
    return count;
}

static struct quarry_vfs *make_backups(const uint8_t *data, size_t size)
{
    static const char *const directories[] = {"/b", "/b/meta", "/b/private", "/b/private/7",
                                              "/b/shared_checksum"};
    struct quarry_vfs *vfs = NULL;

    Q_ASSERT(quarry_vfs_memory_create(1, &vfs) == QUARRY_OK);
    for (size_t i = 0; i < sizeof(directories) / sizeof(directories[0]); i++) {
        Q_ASSERT(quarry_vfs_make_directory(vfs, directories[i], NULL) == QUARRY_OK);
    }
    put_file(vfs, "/b/meta/7", data, size);
    put_file(vfs, "/b/private/7/CURRENT", "MANIFEST-000016\n", 16);
    put_file(vfs, "/b/private/7/MANIFEST-000016", "", 0);
    put_file(vfs, "/b/shared_checksum/000012_0_0.sst", "", 0);
    return vfs;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct quarry_vfs *vfs = make_backups(data, size);
    struct quarry_error error = {0};
    uint32_t before = names_in(vfs, "/");

    enum quarry_status status = quarry_kv_restore(vfs, "/b", 7, "/r", &error);
    Q_ASSERT(names_in(vfs, "/") == before + (status == QUARRY_OK));
    Q_ASSERT(status == QUARRY_OK || error.text[0] != '\0');
    if (status == QUARRY_OK) {
        Q_ASSERT(names_in(vfs, "/r") > 0);
        Q_ASSERT(quarry_kv_backup_prune(vfs, "/b", 1, &error) == QUARRY_OK);
        Q_ASSERT(quarry_kv_restore(vfs, "/b", 7, "/s", &error) == QUARRY_OK);
        Q_ASSERT(names_in(vfs, "/r") == names_in(vfs, "/s"));
    }
    Q_ASSERT(names_in(vfs, "/b/private") == 1 && names_in(vfs, "/b/private/7") == 2);
    quarry_vfs_memory_destroy(vfs);
    return 0;
}
