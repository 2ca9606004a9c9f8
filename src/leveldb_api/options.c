/*
 * Options, and what they hold: comparators, filter policies, caches, the environment.
 *
 *     leveldb_options_t ──> struct quarry_kv_options
 *        comparator          functions with other types of arguments
 *        filter policy       the same, of arrays instead of slices; or how many bits a key has
 *        cache               a block cache in the memory of all databases
 *
 * Figures are LevelDB's defaults and are brought into its ranges where it does so. What has no
 * meaning here is taken and passed over: the environment, of which the C API has one kind, and
 * paranoid_checks, for everything is always checked.
 *
 * Locking: none; options are one thread's while they change.
 */
#include <leveldb_api/shim.h>

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* LevelDB's defaults. */
#define WRITE_BUFFER_BYTES    Q_MIB(4)
#define BLOCK_BYTES           Q_KIB(4)
#define RESTART_INTERVAL      16
#define FILE_BYTES            Q_MIB(2)
#define OPEN_FILES            1000
#define LEVEL1_BYTES          Q_MIB(10)
#define OPEN_FILES_LEAST      74 /* 64 tables, 10 for other uses */
#define OPEN_FILES_MOST       50000
#define RESTART_INTERVAL_MOST 65536
#define CACHE_BYTES_LEAST     Q_MIB(1)
/* Kept free on the disk: LevelDB keeps nothing, and its programs may have small ones. */
#define RESERVED_DISK_BYTES Q_MIB(1)

/* ---- options -------------------------------------------------------------------------------- */

struct leveldb_options_t *leveldb_options_create(void)
{
    struct leveldb_options_t *options = shim_alloc(sizeof(*options));

    *options = (struct leveldb_options_t){
        .compresses = true,
        .write_buffer_size = WRITE_BUFFER_BYTES,
        .block_size = BLOCK_BYTES,
        .max_file_size = FILE_BYTES,
        .max_open_files = OPEN_FILES,
        .block_restart_interval = RESTART_INTERVAL,
    };
    return options;
}

void leveldb_options_destroy(struct leveldb_options_t *options)
{
    free(options);
}

void leveldb_options_set_comparator(struct leveldb_options_t *options,
                                    struct leveldb_comparator_t *comparator)
{
    options->comparator = comparator;
}

void leveldb_options_set_filter_policy(struct leveldb_options_t *options,
                                       struct leveldb_filterpolicy_t *policy)
{
    options->policy = policy;
}

void leveldb_options_set_create_if_missing(struct leveldb_options_t *options, uint8_t value)
{
    options->create_if_missing = value != 0;
}

void leveldb_options_set_error_if_exists(struct leveldb_options_t *options, uint8_t value)
{
    options->error_if_exists = value != 0;
}

void leveldb_options_set_paranoid_checks(struct leveldb_options_t *options, uint8_t value)
{
    (void)options;
    (void)value;
}

void leveldb_options_set_env(struct leveldb_options_t *options, struct leveldb_env_t *env)
{
    (void)options;
    Q_ASSERT(env == NULL || env->is_default);
}

void leveldb_options_set_info_log(struct leveldb_options_t *options,
                                  struct leveldb_logger_t *logger)
{
    options->has_logger = logger != NULL;
}

void leveldb_options_set_write_buffer_size(struct leveldb_options_t *options, size_t bytes)
{
    options->write_buffer_size = bytes;
}

void leveldb_options_set_max_open_files(struct leveldb_options_t *options, int count)
{
    options->max_open_files = count;
}

void leveldb_options_set_cache(struct leveldb_options_t *options, struct leveldb_cache_t *cache)
{
    options->cache = cache;
}

void leveldb_options_set_block_size(struct leveldb_options_t *options, size_t bytes)
{
    options->block_size = bytes;
}

void leveldb_options_set_block_restart_interval(struct leveldb_options_t *options, int count)
{
    options->block_restart_interval = count;
}

void leveldb_options_set_max_file_size(struct leveldb_options_t *options, size_t bytes)
{
    options->max_file_size = bytes;
}

void leveldb_options_set_compression(struct leveldb_options_t *options, int compression)
{
    options->compresses = compression == 1;
}

/* ---- what the store is given ---------------------------------------------------------------- */

static uint64_t within(uint64_t value, uint64_t least, uint64_t most)
{
    return size_min_u64(size_max_u64(value, least), most);
}

static int compare(void *argument, const void *a, size_t a_bytes, const void *b, size_t b_bytes)
{
    const struct leveldb_comparator_t *comparator = argument;

    return comparator->compare(comparator->state, a, a_bytes, b, b_bytes);
}

/* Has the program make a filter of keys in arrays: `pointers`, `lengths`. */
static enum quarry_status call_create(const struct leveldb_filterpolicy_t *policy,
                                      const char **pointers, size_t *lengths,
                                      const struct quarry_kv_slice *keys, size_t key_count,
                                      struct quarry_kv_buffer *filter)
{
    size_t byte_count = 0;

    for (size_t i = 0; i < key_count; i++) {
        pointers[i] = keys[i].bytes;
        lengths[i] = keys[i].byte_count;
    }
    char *bytes =
        policy->create_filter(policy->state, pointers, lengths, (int)key_count, &byte_count);
    enum quarry_status status = quarry_kv_buffer_append(filter, bytes, byte_count);
    free(bytes);
    return status;
}

static enum quarry_status create_filter(void *argument, const struct quarry_kv_slice *keys,
                                        size_t key_count, struct quarry_kv_buffer *filter)
{
    const struct leveldb_filterpolicy_t *policy = argument;

    if (key_count > INT_MAX) {
        return QUARRY_TOO_LARGE;
    }
    const char **pointers = calloc(key_count, sizeof(*pointers));
    size_t *lengths = calloc(key_count, sizeof(*lengths));
    enum quarry_status status =
        pointers == NULL || lengths == NULL
            ? QUARRY_NO_MEMORY
            : call_create(policy, pointers, lengths, keys, key_count, filter);
    free(pointers);
    free(lengths);
    return status;
}

static bool may_match(void *argument, struct quarry_kv_slice key, struct quarry_kv_slice filter)
{
    const struct leveldb_filterpolicy_t *policy = argument;

    return policy->key_may_match(policy->state, key.bytes, key.byte_count, filter.bytes,
                                 filter.byte_count) != 0;
}

/* A name of the program's is its own; a store has it for as long as it is open. */
static char *copy_of(const char *name)
{
    size_t byte_count = strlen(name) + 1;

    return memcpy(shim_alloc(byte_count), name, byte_count);
}

static void set_comparator(struct leveldb_comparator_t *comparator,
                           struct shim_functions *functions, struct quarry_kv_options *options)
{
    functions->comparator_name = copy_of(comparator->name(comparator->state));
    functions->comparator = (struct quarry_kv_comparator){
        .name = functions->comparator_name, .argument = comparator, .compare = compare};
    options->comparator = &functions->comparator;
}

/* LevelDB takes no bits and fewer for one probe in the smallest filter there is. */
static uint32_t millibits_of(int bits_per_key)
{
    return bits_per_key <= 0 ? 2 : (uint32_t)size_min_u64((uint64_t)bits_per_key, 1000) * 1000;
}

static void set_policy(struct leveldb_filterpolicy_t *policy, struct shim_functions *functions,
                       struct quarry_kv_options *options)
{
    if (policy->create_filter == NULL) {
        options->bloom_millibits = millibits_of(policy->bits_per_key);
        return;
    }
    functions->policy_name = copy_of(policy->name(policy->state));
    functions->policy = (struct quarry_kv_filter_policy){.name = functions->policy_name,
                                                         .argument = policy,
                                                         .create = create_filter,
                                                         .may_match = may_match};
    options->filter_policy = &functions->policy;
}

void shim_options_of(const struct leveldb_options_t *options, struct shim_functions *functions,
                     struct quarry_kv_options *ret_options)
{
    enum quarry_kv_compression compression =
        options->compresses ? QUARRY_KV_COMPRESSION_SNAPPY : QUARRY_KV_COMPRESSION_NONE;
    int interval = options->block_restart_interval;

    *functions = (struct shim_functions){.comparator_name = NULL};
    *ret_options = (struct quarry_kv_options){
        .format = QUARRY_KV_FORMAT_LEVELDB,
        .durability = QUARRY_KV_PROCESS,
        .create_if_missing = options->create_if_missing,
        .error_if_exists = options->error_if_exists,
        .write_buffer_bytes = within(options->write_buffer_size, Q_KIB(64), Q_GIB(1)),
        .key_bytes_max = QUARRY_KV_KEY_BYTES_MAX,
        .value_bytes_max = QUARRY_KV_VALUE_BYTES_MAX,
        .block_bytes = (uint32_t)within(options->block_size, Q_KIB(1), Q_MIB(4)),
        .block_restart_interval =
            (uint32_t)within(interval < 1 ? 1 : (uint64_t)interval, 1, RESTART_INTERVAL_MOST),
        .compression = compression,
        .compression_top = compression,
        .compression_bottom = compression,
        .bloom_millibits = 1, /* none */
        .file_bytes = within(options->max_file_size, Q_MIB(1), Q_GIB(1)),
        .level1_bytes = LEVEL1_BYTES,
        .reserved_disk_bytes = RESERVED_DISK_BYTES,
        .open_files_max =
            (uint32_t)within(options->max_open_files < 0 ? 0 : (uint64_t)options->max_open_files,
                             OPEN_FILES_LEAST, OPEN_FILES_MOST),
    };
    if (options->comparator != NULL) {
        set_comparator(options->comparator, functions, ret_options);
    }
    if (options->policy != NULL) {
        set_policy(options->policy, functions, ret_options);
    }
}

void shim_functions_fini(struct shim_functions *functions)
{
    free(functions->comparator_name);
    free(functions->policy_name);
}

/* ---- comparators and filter policies -------------------------------------------------------- */

struct leveldb_comparator_t *leveldb_comparator_create(
    void *state, void (*destructor)(void *state),
    int (*compare_keys)(void *state, const char *a, size_t alen, const char *b, size_t blen),
    const char *(*name)(void *state))
{
    struct leveldb_comparator_t *comparator = shim_alloc(sizeof(*comparator));

    *comparator = (struct leveldb_comparator_t){
        .state = state, .destructor = destructor, .compare = compare_keys, .name = name};
    return comparator;
}

void leveldb_comparator_destroy(struct leveldb_comparator_t *comparator)
{
    comparator->destructor(comparator->state);
    free(comparator);
}

struct leveldb_filterpolicy_t *leveldb_filterpolicy_create(
    void *state, void (*destructor)(void *state),
    char *(*create)(void *state, const char *const *key_array, const size_t *key_length_array,
                    int num_keys, size_t *filter_length),
    uint8_t (*key_may_match)(void *state, const char *key, size_t length, const char *filter,
                             size_t filter_length),
    const char *(*name)(void *state))
{
    struct leveldb_filterpolicy_t *policy = shim_alloc(sizeof(*policy));

    *policy = (struct leveldb_filterpolicy_t){.state = state,
                                              .destructor = destructor,
                                              .create_filter = create,
                                              .key_may_match = key_may_match,
                                              .name = name};
    return policy;
}

struct leveldb_filterpolicy_t *leveldb_filterpolicy_create_bloom(int bits_per_key)
{
    struct leveldb_filterpolicy_t *policy = shim_alloc(sizeof(*policy));

    policy->bits_per_key = bits_per_key;
    return policy;
}

void leveldb_filterpolicy_destroy(struct leveldb_filterpolicy_t *policy)
{
    if (policy->destructor != NULL) {
        policy->destructor(policy->state);
    }
    free(policy);
}

/* ---- caches --------------------------------------------------------------------------------- */

struct leveldb_cache_t *leveldb_cache_create_lru(size_t capacity)
{
    struct leveldb_cache_t *cache = shim_alloc(sizeof(*cache));
    struct quarry_memory *memory = shim_memory(NULL);
    const struct quarry_block_cache_options options = {
        .name = "leveldb cache", .capacity_bytes = size_max_u64(capacity, CACHE_BYTES_LEAST)};

    /* There is no way to fail: without it databases use the one that all share. */
    if (memory == NULL ||
        quarry_block_cache_create(memory, &options, &cache->cache, NULL) != QUARRY_OK) {
        cache->cache = NULL;
    }
    return cache;
}

void leveldb_cache_destroy(struct leveldb_cache_t *cache)
{
    if (cache->cache != NULL) {
        /* Where a database that uses it is open still, it stays; LevelDB's would be gone. */
        (void)quarry_block_cache_close(cache->cache);
    }
    free(cache);
}

/* ---- the environment ------------------------------------------------------------------------ */

struct leveldb_env_t *leveldb_create_default_env(void)
{
    struct leveldb_env_t *env = shim_alloc(sizeof(*env));

    env->is_default = true;
    return env;
}

void leveldb_env_destroy(struct leveldb_env_t *env)
{
    free(env);
}

char *leveldb_env_get_test_directory(struct leveldb_env_t *env)
{
    const char *path = getenv("TEST_TMPDIR");

    Q_ASSERT(env->is_default);
    char *made = path != NULL && path[0] != '\0'
                     ? shim_format("%s", path)
                     : shim_format("/tmp/leveldbtest-%d", (int)geteuid());
    if (made != NULL) { /* it may be there already */
        (void)quarry_vfs_make_directory(quarry_vfs_posix(), made, NULL);
    }
    return made;
}

/* ---- options of one read, of one write ------------------------------------------------------ */

struct leveldb_readoptions_t *leveldb_readoptions_create(void)
{
    return shim_alloc(sizeof(struct leveldb_readoptions_t));
}

void leveldb_readoptions_destroy(struct leveldb_readoptions_t *options)
{
    free(options);
}

void leveldb_readoptions_set_verify_checksums(struct leveldb_readoptions_t *options, uint8_t value)
{
    (void)options; /* they always are */
    (void)value;
}

void leveldb_readoptions_set_fill_cache(struct leveldb_readoptions_t *options, uint8_t value)
{
    options->read.leaves_no_trace = value == 0;
}

void leveldb_readoptions_set_snapshot(struct leveldb_readoptions_t *options,
                                      const struct leveldb_snapshot_t *snapshot)
{
    options->snapshot = snapshot;
    options->read.snapshot = snapshot == NULL ? NULL : snapshot->snapshot;
}

struct leveldb_writeoptions_t *leveldb_writeoptions_create(void)
{
    struct leveldb_writeoptions_t *options = shim_alloc(sizeof(*options));

    options->write.durability = QUARRY_KV_PROCESS;
    return options;
}

void leveldb_writeoptions_destroy(struct leveldb_writeoptions_t *options)
{
    free(options);
}

void leveldb_writeoptions_set_sync(struct leveldb_writeoptions_t *options, uint8_t value)
{
    options->write.durability = value != 0 ? QUARRY_KV_POWER : QUARRY_KV_PROCESS;
}

/* ---- the rest ------------------------------------------------------------------------------- */

void leveldb_free(void *object)
{
    free(object);
}

int leveldb_major_version(void)
{
    return 1;
}

int leveldb_minor_version(void)
{
    return 23;
}
