/*
 * With which options `quarry kv` opens a directory.
 *
 *     the store's OPTIONS file, if there is one    how its files are made, and its merge operator
 *     --set NAME=VALUE                             over that
 *
 * A compaction by the tool is to leave files like those that are there. What is about memory,
 * threads and durability is not taken from the file: it was meant for another process. A new store
 * is compressed with LZ4.
 */
#include <cli/cmd_kv.h>

#include <string.h>

/* Of an OPTIONS file's name. */
#define PREFIX "OPTIONS-"

struct newest {
    uint64_t number;
    char name[QUARRY_VFS_NAME_BYTES_MAX];
};

static bool visit_name(void *argument, const char *name)
{
    struct newest *newest = argument;
    size_t length = strlen(PREFIX), at = length;
    uint64_t number = 0;

    if (strncmp(name, PREFIX, length) != 0 || strlen(name) >= sizeof newest->name) {
        return true;
    }
    for (; name[at] >= '0' && name[at] <= '9'; at++) {
        number = number * 10 + (uint64_t)(name[at] - '0');
    }
    if (at > length && name[at] == '\0' && number >= newest->number) {
        newest->number = number;
        strcpy(newest->name, name);
    }
    return true;
}

/* What of a file's options is about the files. */
static void take_over(struct quarry_kv_options *options, const struct quarry_kv_options *from)
{
    options->merge_operator = from->merge_operator;
    options->block_bytes = from->block_bytes;
    options->block_restart_interval = from->block_restart_interval;
    options->compression = from->compression;
    options->compression_top = from->compression_top;
    options->compression_bottom = from->compression_bottom;
    options->compression_level = from->compression_level;
    options->checksum = from->checksum;
    options->bloom_millibits = from->bloom_millibits;
    options->has_partitioned_filters = from->has_partitioned_filters;
    options->prefix_bytes = from->prefix_bytes;
    options->key_bytes_max = from->key_bytes_max;
    options->value_bytes_max = from->value_bytes_max;
}

/* Whether the directory says how its files are made. */
static bool load(const char *directory, struct quarry_kv_options *options)
{
    struct quarry_vfs *vfs = quarry_vfs_posix();
    struct quarry_kv_options loaded = {0};
    struct newest newest = {0};
    char path[QUARRY_VFS_PATH_BYTES_MAX];

    if (quarry_vfs_list(vfs, directory, visit_name, &newest, NULL) != QUARRY_OK ||
        newest.name[0] == '\0') {
        return false;
    }
    int length = snprintf(path, sizeof path, "%s/%s", directory, newest.name);
    if (length < 0 || (size_t)length >= sizeof path ||
        quarry_kv_options_load(&loaded, vfs, path, NULL) != QUARRY_OK) {
        return false;
    }
    take_over(options, &loaded);
    return true;
}

static int set(const struct kv_command *command, struct quarry_kv_options *options,
               const char *setting)
{
    const char *equals = strchr(setting, '=');
    struct quarry_error error = {0};
    char name[64];

    if (equals == NULL || equals == setting || (size_t)(equals - setting) >= sizeof name) {
        return kv_usage_error(command, "--set takes NAME=VALUE, not '%s'", setting);
    }
    memcpy(name, setting, (size_t)(equals - setting));
    name[equals - setting] = '\0';
    return quarry_kv_options_set(options, name, equals + 1, &error) == QUARRY_OK
               ? CLI_OK
               : kv_usage_error(command, "--set %s: %s", setting, error.text);
}

int kv_store_options(const struct kv_command *command, const char *directory,
                     struct quarry_kv_options *ret_options)
{
    struct quarry_kv_options options = {.compression = QUARRY_KV_COMPRESSION_DEFAULT,
                                        .compression_bottom = QUARRY_KV_COMPRESSION_DEFAULT};
    int code = CLI_OK;

    if (directory != NULL) {
        (void)load(directory, &options);
    }
    for (uint32_t i = 0; i < command->setting_count && code == CLI_OK; i++) {
        code = set(command, &options, command->settings[i]);
    }
    if (code == CLI_OK) {
        *ret_options = options;
    }
    return code;
}
