/*
 * Options files of any bytes: they are read, or refused with a sentence and nothing set; what was
 * read is saved so that it loads the same.
 */
#include <stdlib.h>
#include <string.h>

#include <kv/options_names.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_values(const struct quarry_kv_options *options)
{
    char value[KV_OPTION_VALUE_BYTES];

    for (uint32_t i = 0; i < kv_option_count(); i++) {
        struct quarry_kv_options copy = *options;
        (void)kv_option_format(options, i, value);
        Q_ASSERT(quarry_kv_options_set(&copy, kv_option_name(i), value, NULL) == QUARRY_OK);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct quarry_vfs *vfs = NULL;
    struct quarry_vfs_file *file = NULL;
    struct quarry_kv_options options = {0}, none = {0}, again = {0}, twice = {0};
    struct quarry_error error = {0};

    Q_ASSERT(quarry_vfs_memory_create(1, &vfs) == QUARRY_OK);
    Q_ASSERT(quarry_vfs_open(vfs, "/o", QUARRY_VFS_WRITE | QUARRY_VFS_CREATE, &file, NULL) ==
             QUARRY_OK);
    Q_ASSERT(size == 0 || quarry_vfs_write(file, 0, data, size, NULL) == QUARRY_OK);
    quarry_vfs_close(file);
    enum quarry_status status = quarry_kv_options_load(&options, vfs, "/o", &error);
    Q_ASSERT(status == error.status);
    if (status == QUARRY_OK) {
        check_values(&options);
        Q_ASSERT(quarry_kv_options_save(&options, vfs, "/p", NULL) == QUARRY_OK);
        Q_ASSERT(quarry_kv_options_load(&again, vfs, "/p", NULL) == QUARRY_OK);
        Q_ASSERT(quarry_kv_options_save(&again, vfs, "/p", NULL) == QUARRY_OK);
        Q_ASSERT(quarry_kv_options_load(&twice, vfs, "/p", NULL) == QUARRY_OK);
        Q_ASSERT(memcmp(&again, &twice, sizeof(again)) == 0);
    } else {
        Q_ASSERT(memcmp(&options, &none, sizeof(options)) == 0 && error.text[0] != '\0');
    }
    quarry_vfs_memory_destroy(vfs);
    return 0;
}
