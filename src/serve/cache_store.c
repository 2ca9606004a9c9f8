/*
 * Opening the cache: where its file lies, and what becomes of a file that cannot be had.
 *
 *   cache.file   auto   in /dev/shm, named after the data folder; nowhere with durability none,
 *                       or where the file system cannot do what is needed
 *                shm    the same, or the server does not start
 *                data   DATA/cache/items
 *                off    in memory that ends with the process
 *
 * A file in /dev/shm outlives the process and not the machine: that is what a cache is worth
 * keeping for. One on a disk is written back by the kernel all the time.
 *
 * Cost: with a file, of O(items) (cache/warm).
 */
#include <serve/cache_store.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <serve/log.h>

static enum serve_cache_file file_wanted(const struct serve_config *config)
{
    enum serve_cache_file wanted =
        (enum serve_cache_file)serve_config_number(config, SERVE_CACHE_FILE);

    if (wanted == SERVE_CACHE_FILE_AUTO &&
        serve_config_number(config, SERVE_SERVER_DURABILITY) == SERVE_DURABLE_NONE) {
        return SERVE_CACHE_FILE_OFF;
    }
    return wanted;
}

/* Where the file lies; "" for nowhere. */
static enum quarry_status make_path(enum serve_cache_file wanted,
                                    const struct serve_data_dir *data_dir,
                                    char ret_path[SERVE_PATH_BYTES], struct quarry_error *error)
{
    ret_path[0] = '\0';
    if (wanted == SERVE_CACHE_FILE_OFF) {
        return QUARRY_OK;
    }
    if (wanted != SERVE_CACHE_FILE_DATA) {
        serve_data_dir_shm_path(data_dir, "cache", ret_path, SERVE_PATH_BYTES);
        return QUARRY_OK;
    }
    if (strlen(data_dir->path) + sizeof "/cache/items" > SERVE_PATH_BYTES) {
        return error_set(error, QUARRY_TOO_LARGE, "server.data: the path is too long");
    }
    (void)snprintf(ret_path, SERVE_PATH_BYTES, "%.4000s/cache", data_dir->path);
    if (mkdir(ret_path, 0700) != 0 && errno != EEXIST) {
        return error_set_os(error, QUARRY_IO, errno, "cannot make '%.160s'", ret_path);
    }
    (void)snprintf(ret_path, SERVE_PATH_BYTES, "%.4000s/cache/items", data_dir->path);
    return QUARRY_OK;
}

static void log_recovery(const struct quarry_cache *cache, const char *path)
{
    struct quarry_cache_recovery found;

    quarry_cache_read_recovery(cache, &found);
    if (found.was_cold) {
        serve_log(SERVE_LOG_INFO, "the cache begins empty", serve_log_text("file", path),
                  serve_log_text("why", found.why));
    } else {
        serve_log(SERVE_LOG_INFO, "the cache is warm", serve_log_text("file", path),
                  serve_log_count("items", found.item_count),
                  serve_log_bytes("item_bytes", found.item_bytes),
                  serve_log_count("dropped", found.dropped_count),
                  serve_log_text("was_closed", found.was_clean ? "yes" : "no"),
                  serve_log_seconds("seconds", found.duration_ns));
    }
}

static struct quarry_cache_options make_options(const struct serve_config *config)
{
    return (struct quarry_cache_options){
        .size_bytes = serve_config_number(config, SERVE_CACHE_SIZE),
        .floor_bytes = serve_config_number(config, SERVE_CACHE_FLOOR),
        .value_bytes_max = serve_config_number(config, SERVE_CACHE_ITEM_MAX),
        .tenants_max = (uint32_t)serve_config_number(config, SERVE_CACHE_TENANTS_MAX),
        .never_evicts = serve_config_number(config, SERVE_CACHE_EVICTS) == 0,
        .recovery_threads = (uint32_t)serve_config_number(config, SERVE_CACHE_RECOVERY_THREADS),
    };
}

enum quarry_status serve_cache_open(struct quarry_memory *memory, const struct serve_config *config,
                                    const struct serve_data_dir *data_dir,
                                    quarry_cache_observe_function *observe,
                                    struct quarry_cache **ret_cache, struct quarry_error *error)
{
    enum serve_cache_file wanted = file_wanted(config);
    struct quarry_cache_options options = make_options(config);
    char path[SERVE_PATH_BYTES];
    enum quarry_status status = make_path(wanted, data_dir, path, error);

    if (status != QUARRY_OK) {
        return status;
    }
    options.file_path = path[0] != '\0' ? path : NULL;
    options.observe = observe;
    status = quarry_cache_create(memory, &options, ret_cache, error);
    if (status == QUARRY_UNSUPPORTED && wanted == SERVE_CACHE_FILE_AUTO) {
        serve_log(SERVE_LOG_WARNING, "the cache will be empty after a restart",
                  serve_log_text("file", path),
                  serve_log_text("why", error != NULL ? error->text : ""));
        options.file_path = NULL;
        status = quarry_cache_create(memory, &options, ret_cache, error);
    }
    if (status == QUARRY_OK && options.file_path != NULL) {
        log_recovery(*ret_cache, path);
    }
    return status;
}

void serve_cache_apply(struct quarry_cache *cache, const struct serve_config *config,
                       uint64_t budget_bytes)
{
    uint64_t size_bytes = serve_config_number(config, SERVE_CACHE_SIZE);
    uint64_t value_bytes = serve_config_number(config, SERVE_CACHE_ITEM_MAX);

    if (quarry_cache_set_size(cache, size_bytes != 0 ? size_bytes : budget_bytes) != QUARRY_OK) {
        serve_log(SERVE_LOG_ERROR, "the cache refuses its size",
                  serve_log_bytes("size_bytes", size_bytes));
    }
    if (quarry_cache_set_value_bytes_max(cache, value_bytes) != QUARRY_OK) {
        serve_log(SERVE_LOG_ERROR, "the cache refuses its largest value",
                  serve_log_bytes("item_max_bytes", value_bytes));
    }
}

void serve_cache_tell_disk(const struct quarry_cache *cache, uint64_t *told_bytes)
{
    uint64_t limit_bytes = quarry_cache_disk_limit(cache);

    if (limit_bytes != 0 && *told_bytes == 0) {
        serve_log(SERVE_LOG_WARNING,
                  "the disk of the cache's file is full: the cache keeps within what it has",
                  serve_log_bytes("has_bytes", limit_bytes));
    } else if (limit_bytes == 0 && *told_bytes != 0) {
        serve_log(SERVE_LOG_INFO, "the disk of the cache's file has room again");
    }
    *told_bytes = limit_bytes;
}
