/*
 * Opening and closing a store: what it is made of, in the order in which it is made.
 *
 *     memory      account ── meta, memtable, read, compaction     accounts, owners
 *                 lifetime ── a pool for each                     small objects
 *                 lane, keeper                                    memtables
 *                 block cache, epoch
 *     directory   made, locked
 *     contents    manifest, logs (recover.c)
 *     threads     the background
 *
 * A store that could not be opened is taken apart by the same function as one that is closed: it
 * looks at what is there.
 *
 * Closing: iterators, snapshots and values that are out are refused, and told. Else the background
 * ends, what is in the log is synced, and its file is cut to its length. Memtables are not flushed:
 * the log has them; where there is no log, they are.
 */
#include <kv/store.h>

#include <stdio.h>

#include <os/os.h>

#include <kv/background.h>
#include <kv/commit_parts.h>
#include <kv/copy.h>
#include <kv/log_set.h>
#include <kv/options.h>
#include <kv/read.h>
#include <kv/recover.h>

/* Of its own block cache, where nothing is said: it follows the budget from there. */
#define CACHE_SHARE 4u
/* Of the budget, that is kept for flushes and compactions. A compaction that holds a block, an
 * index and a table for each of its inputs takes 1 to 3 MiB (compact.c), in the smallest budgets
 * less. */
#define RESERVE_SHARE     16u
#define RESERVE_BYTES_MAX Q_MIB(16)
/* Addresses for memtables: so many times what they may be; they cost nothing. */
#define LANE_FACTOR 8u
/* Names that quarry_kv_destroy removes between two readings of the directory. */
#define NAMES_AT_A_TIME 32u

static const char *const part_names[KV_PARTS] = {
    [KV_PART_META] = "meta",
    [KV_PART_MEMTABLE] = "memtable",
    [KV_PART_READ] = "read",
    [KV_PART_COMPACTION] = "compaction",
};

/* ---- memory --------------------------------------------------------------------------------- */

/* Where the store itself is put, and then in it. */
struct ground {
    struct quarry_account *account, *part[KV_PARTS];
    struct quarry_lifetime *lifetime;
    struct kv_memory small[KV_PARTS];
};

static void ground_fini(struct ground *ground)
{
    quarry_lifetime_end(ground->lifetime);
    for (size_t i = 0; i < KV_PARTS; i++) {
        quarry_account_destroy(ground->part[i]);
    }
    quarry_account_destroy(ground->account);
}

/* "kv objects": of the account's name, cut off where it is long. */
static void name_of(struct quarry_account *account, const char *what, char name[QUARRY_NAME_BYTES])
{
    struct quarry_account_state state;

    quarry_account_read(account, &state);
    size_t room = QUARRY_NAME_BYTES - 1 - strlen(what) - 1;
    (void)snprintf(name, QUARRY_NAME_BYTES, "%.*s %s", (int)size_min(room, strlen(state.name)),
                   state.name, what);
}

static enum quarry_status create_accounts(struct ground *ground, struct quarry_memory *memory,
                                          const struct quarry_kv_options *options,
                                          struct quarry_error *error)
{
    struct quarry_account_options account = {
        .name = options->name, .parent = options->parent, .ceiling_bytes = options->memory_bytes};
    enum quarry_status status = quarry_account_create(memory, &account, &ground->account, error);

    for (size_t i = 0; i < KV_PARTS && status == QUARRY_OK; i++) {
        account = (struct quarry_account_options){.name = part_names[i], .parent = ground->account};
        status = quarry_account_create(memory, &account, &ground->part[i], error);
    }
    return status;
}

static enum quarry_status create_pools(struct ground *ground, struct quarry_memory *memory,
                                       struct quarry_error *error)
{
    char name[QUARRY_NAME_BYTES];

    name_of(ground->account, "objects", name);
    enum quarry_status status = quarry_lifetime_begin(memory, name, &ground->lifetime, error);
    for (size_t i = 0; i < KV_PARTS && status == QUARRY_OK; i++) {
        ground->small[i].account = ground->part[i];
        status = quarry_pool_create(ground->lifetime, quarry_account_owner(ground->part[i]),
                                    &ground->small[i].pool);
        if (status != QUARRY_OK) {
            (void)error_set(error, status, "store '%s': no pool of memory", name);
        }
    }
    return status;
}

static enum quarry_status copy_path(struct quarry_kv *kv, const char *path,
                                    struct quarry_error *error)
{
    size_t byte_count = strlen(path) + 1;

    if (byte_count == 1 || byte_count > QUARRY_VFS_PATH_BYTES_MAX - KV_FILE_NAME_BYTES) {
        return error_set(error, QUARRY_BAD_INPUT, "path of a store: %zu bytes", byte_count - 1);
    }
    kv->path = kv_memory_take(&kv->small[KV_PART_META], byte_count);
    if (kv->path == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "store '%s': no memory to open it", path);
    }
    memcpy(kv->path, path, byte_count);
    /* "a/" is "a": names are put behind it. */
    while (byte_count > 2 && kv->path[byte_count - 2] == '/') {
        kv->path[--byte_count - 1] = '\0';
    }
    return QUARRY_OK;
}

static void fill_in(struct quarry_kv *kv, struct quarry_memory *memory, const struct ground *ground,
                    const struct quarry_kv_options *options)
{
    kv->memory = memory;
    kv->os = os_real();
    kv->options = *options;
    kv->vfs = options->vfs;
    kv->comparator = options->comparator;
    kv->merge_operator = options->merge_operator;
    kv->is_bytewise = options->comparator->compare == NULL;
    kv->is_read_only = options->read_only;
    kv->form = options->format == QUARRY_KV_FORMAT_LEVELDB ? KV_EDIT_LEVELDB : KV_EDIT_ROCKSDB;
    kv->account = ground->account;
    kv->lifetime = ground->lifetime;
    kv->pool = ground->small[KV_PART_META].pool;
    memcpy(kv->part, ground->part, sizeof(kv->part));
    memcpy(kv->small, ground->small, sizeof(kv->small));
    kv_pins_init(&kv->pins, options->pinned_bytes);
    os_mutex_init(&kv->install_mutex, OS_RANK_KV_INSTALL, 0);
    os_mutex_init(&kv->commit_mutex, OS_RANK_KV_COMMIT, 0);
    os_mutex_init(&kv->mutex, OS_RANK_KV_STORE, 0);
}

/* The store with its memory, and nothing else yet. */
static enum quarry_status create(struct quarry_memory *memory, const char *path,
                                 const struct quarry_kv_options *options, struct quarry_kv **ret_kv,
                                 struct quarry_error *error)
{
    struct ground ground = {.account = NULL};
    struct quarry_kv *kv = NULL;
    enum quarry_status status = create_accounts(&ground, memory, options, error);

    if (status == QUARRY_OK) {
        status = create_pools(&ground, memory, error);
    }
    if (status == QUARRY_OK) {
        kv = kv_memory_take(&ground.small[KV_PART_META], sizeof(*kv));
        if (kv == NULL) {
            status = error_set(error, QUARRY_NO_MEMORY, "store '%s': no memory to open it", path);
        }
    }
    if (status != QUARRY_OK) {
        ground_fini(&ground);
        return status;
    }
    fill_in(kv, memory, &ground, options);
    *ret_kv = kv;
    return QUARRY_OK;
}

/* ---- parts ---------------------------------------------------------------------------------- */

static enum quarry_status create_cache(struct quarry_kv *kv, uint64_t budget_bytes,
                                       struct quarry_error *error)
{
    uint64_t capacity_bytes = kv->options.block_cache_bytes;
    const struct quarry_block_cache_options options = {
        .name = "block",
        .parent = kv->account,
        .capacity_bytes = capacity_bytes != 0 ? capacity_bytes : budget_bytes / CACHE_SHARE,
        .is_elastic = capacity_bytes == 0};

    if (kv->options.block_cache != NULL) {
        kv->cache = kv->options.block_cache;
        return QUARRY_OK;
    }
    enum quarry_status status = quarry_block_cache_create(kv->memory, &options, &kv->cache, error);
    kv->owns_cache = status == QUARRY_OK;
    return status;
}

static enum quarry_status create_keeper(struct quarry_kv *kv, struct quarry_error *error)
{
    char name[QUARRY_NAME_BYTES];
    uint64_t layer_count = kv->options.write_buffer_count + KV_SPARE_LAYERS;
    uint64_t byte_count =
        sat_mul_u64(sat_mul_u64(kv->options.write_buffer_bytes, layer_count), LANE_FACTOR);

    name_of(kv->account, "memtables", name);
    const struct quarry_lane_options lane = {.name = name, .reserved_bytes = byte_count};
    enum quarry_status status = quarry_lane_create(kv->memory, &lane, &kv->lane, error);
    if (status == QUARRY_OK) {
        const struct quarry_arena_options arena = {.lane = kv->lane,
                                                   .account = kv->part[KV_PART_MEMTABLE]};
        status = quarry_arena_keeper_create(kv->memory, &arena, &kv->keeper, error);
    }
    return status;
}

static enum quarry_status create_tables(struct quarry_kv *kv, struct quarry_error *error)
{
    const struct kv_tables_options tables = {.pool = kv->pool,
                                             .account = kv->part[KV_PART_META],
                                             .cache = kv->cache,
                                             .comparator = kv->comparator,
                                             .prefix_bytes = kv->options.prefix_bytes,
                                             .filter_policy = kv->options.filter_policy};
    const struct kv_table_cache_options cache = {.memory = &kv->small[KV_PART_META],
                                                 .epoch = kv->epoch,
                                                 .ops = &kv_store_table_ops,
                                                 .argument = kv,
                                                 .open_max = kv->options.open_files_max};
    enum quarry_status status = kv_tables_init(&kv->tables, &tables, error);

    if (status != QUARRY_OK) {
        return status;
    }
    status = kv_table_cache_create(&cache, &kv->table_cache);
    if (status != QUARRY_OK) {
        kv_tables_fini(&kv->tables);
        return error_set(error, status, "store '%s': no memory for its tables", kv->path);
    }
    return QUARRY_OK;
}

static enum quarry_status create_rest(struct quarry_kv *kv, struct quarry_error *error)
{
    enum quarry_status status = kv_commit_create(kv, &kv->commit);

    kv->counts = kv_memory_take_aligned(&kv->small[KV_PART_META],
                                        KV_COUNT_STRIPES * sizeof(*kv->counts), Q_CACHE_LINE_BYTES);
    if (status != QUARRY_OK || kv->counts == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "store '%s': no memory to open it", kv->path);
    }
    return QUARRY_OK;
}

/* Without it the store works as well, while there is memory. */
static void take_reserve(struct quarry_kv *kv, uint64_t budget_bytes)
{
    uint64_t byte_count = size_min_u64(budget_bytes / RESERVE_SHARE, RESERVE_BYTES_MAX);

    if (!kv->is_read_only && quarry_memory_add_reserve(kv->memory, byte_count) == QUARRY_OK) {
        quarry_account_add_reserve(kv->account, byte_count);
        kv->reserve_bytes = byte_count;
    }
}

static void drop_reserve(struct quarry_kv *kv)
{
    if (kv->reserve_bytes != 0) {
        quarry_account_remove_reserve(kv->account, kv->reserve_bytes);
        quarry_memory_remove_reserve(kv->memory, kv->reserve_bytes);
        kv->reserve_bytes = 0;
    }
}

static enum quarry_status create_parts(struct quarry_kv *kv, uint64_t budget_bytes,
                                       struct quarry_error *error)
{
    enum quarry_status status = quarry_epoch_create(kv->memory, &kv->epoch);

    if (status != QUARRY_OK) {
        return error_set(error, status, "store '%s': no epoch for its readers", kv->path);
    }
    kv_versions_init(&kv->versions, kv->epoch);
    status = create_keeper(kv, error);
    if (status == QUARRY_OK) {
        status = create_cache(kv, budget_bytes, error);
    }
    if (status == QUARRY_OK) {
        status = create_tables(kv, error);
    }
    if (status == QUARRY_OK) {
        status = create_rest(kv, error);
    }
    if (status == QUARRY_OK) {
        kv_commit_restore_reserves(kv);
        status = kv_reads_create(kv, error);
    }
    if (status == QUARRY_OK) {
        take_reserve(kv, budget_bytes);
    }
    return status;
}

/* ---- taking apart --------------------------------------------------------------------------- */

static void drop_layers(struct quarry_kv *kv)
{
    kv_layer_release(kv->mutable_layer);
    for (size_t i = 0; i < kv->immutable_count; i++) {
        kv_layer_release(kv->immutable[i]);
    }
    kv_memory_give(&kv->small[KV_PART_META], kv->immutable);
}

/* Readers' side: what lies in the epoch. Nobody reads. */
static void destroy_contents(struct quarry_kv *kv)
{
    kv_manifest_close(kv->manifest);
    if (kv->epoch == NULL) {
        return;
    }
    kv_view_end(kv);
    drop_layers(kv);
    if (kv->table_cache != NULL) {
        kv_table_cache_destroy(kv->table_cache);
        kv_tables_fini(&kv->tables);
    }
    kv_versions_fini(&kv->versions);
}

/* Whatever of it is there. Returns: the error of ending the log. */
static enum quarry_status dismantle(struct quarry_kv *kv, struct quarry_error *error)
{
    struct ground ground = {.account = kv->account, .lifetime = kv->lifetime};

    memcpy(ground.part, kv->part, sizeof(ground.part));
    memcpy(ground.small, kv->small, sizeof(ground.small));
    kv_background_stop(kv);
    drop_reserve(kv);
    enum quarry_status status = kv_log_set_destroy(kv->log, error);
    kv_reads_destroy(kv);
    destroy_contents(kv);
    if (kv->owns_cache) {
        enum quarry_status closed = quarry_block_cache_close(kv->cache);
        Q_ASSERT_MSG(closed == QUARRY_OK, "blocks of a store are out that is being closed");
    }
    kv_commit_destroy(kv, kv->commit);
    quarry_arena_keeper_destroy(kv->keeper);
    if (kv->lane != NULL) {
        quarry_lane_destroy(kv->lane);
    }
    quarry_epoch_destroy(kv->epoch);
    kv_memory_give(&kv->small[KV_PART_META], kv->counts);
    quarry_vfs_unlock(kv->lock);
    kv_memory_give(&kv->small[KV_PART_META], kv->path);
    kv_memory_give(&ground.small[KV_PART_META], kv);
    ground_fini(&ground);
    return status;
}

/* ---- the directory -------------------------------------------------------------------------- */

static enum quarry_status has_current(struct quarry_kv *kv, bool *ret_has,
                                      struct quarry_error *error)
{
    struct kv_path path;
    uint64_t byte_count;
    bool is_directory;
    enum quarry_status status = kv_file_path(kv->path, KV_FILE_CURRENT, 0, &path, error);

    if (status == QUARRY_OK) {
        status = quarry_vfs_stat(kv->vfs, path.text, &byte_count, &is_directory, error);
    }
    *ret_has = status == QUARRY_OK;
    return status == QUARRY_NOT_FOUND ? QUARRY_OK : status;
}

/* The directory that a path is in. */
static void parent_of(const char *path, struct kv_path *ret_parent)
{
    const char *slash = strrchr(path, '/');
    size_t byte_count = slash == NULL ? 1 : slash == path ? 1 : (size_t)(slash - path);

    memcpy(ret_parent->text, slash == NULL ? "." : path, byte_count);
    ret_parent->text[byte_count] = '\0';
}

/* Made, and its name durable: one that is there may be of an opening that failed before that. */
static enum quarry_status make_directory(struct quarry_kv *kv, struct quarry_error *error)
{
    struct kv_path parent;
    enum quarry_status status = quarry_vfs_make_directory(kv->vfs, kv->path, error);

    bool is_there = status == QUARRY_EXISTS;

    if (status != QUARRY_OK && !is_there) {
        return status;
    }
    parent_of(kv->path, &parent);
    status = quarry_vfs_sync_directory(kv->vfs, parent.text, error);
    if (status != QUARRY_OK && !is_there) { /* what a failed sync has dropped is made again */
        (void)quarry_vfs_remove_directory(kv->vfs, kv->path, NULL);
    }
    /* Whoever may not read it has not made it either. */
    return status == QUARRY_PERMISSION && is_there ? QUARRY_OK : status;
}

static enum quarry_status check_existence(struct quarry_kv *kv, bool exists,
                                          struct quarry_error *error)
{
    if (exists && kv->options.error_if_exists) {
        return error_set(error, QUARRY_EXISTS, "store '%s' is there already", kv->path);
    }
    if (!exists && (kv->is_read_only || !kv->options.create_if_missing)) {
        return error_set(error, QUARRY_NOT_FOUND, "store '%s' is not there: it has no CURRENT",
                         kv->path);
    }
    return QUARRY_OK;
}

/* `ret_is_new`: there is no store in it. */
static enum quarry_status open_directory(struct quarry_kv *kv, bool *ret_is_new,
                                         struct quarry_error *error)
{
    bool exists = false;
    struct kv_path path;
    enum quarry_status status = has_current(kv, &exists, error);

    if (status == QUARRY_OK) {
        status = check_existence(kv, exists, error);
    }
    if (status != QUARRY_OK || kv->is_read_only) {
        *ret_is_new = false;
        return status;
    }
    status = exists ? QUARRY_OK : make_directory(kv, error);
    if (status == QUARRY_OK) {
        status = kv_file_path(kv->path, KV_FILE_LOCK, 0, &path, error);
    }
    if (status == QUARRY_OK) {
        status = quarry_vfs_take_lock(kv->vfs, path.text, &kv->lock, error);
    }
    if (status == QUARRY_OK) {
        /* Another may have made it in between. */
        status = has_current(kv, &exists, error);
    }
    *ret_is_new = !exists;
    return status == QUARRY_OK ? check_existence(kv, exists, error) : status;
}

/* ---- opening -------------------------------------------------------------------------------- */

/* What it has charged now it always will, but for what recovery has left; no more than a half. */
static void note_budget(struct quarry_kv *kv, uint64_t budget_bytes)
{
    struct quarry_account_state state;

    quarry_account_read(kv->account, &state);
    kv->budget_bytes = budget_bytes;
    kv->write_memory_max =
        budget_bytes - size_min_u64(state.charged_bytes + kv->reserve_bytes, budget_bytes / 2);
}

static enum quarry_status build(struct quarry_kv *kv, const char *path, uint64_t budget_bytes,
                                struct quarry_error *error)
{
    bool is_new = false;
    enum quarry_status status = copy_path(kv, path, error);

    if (status == QUARRY_OK) {
        status = create_parts(kv, budget_bytes, error);
    }
    if (status == QUARRY_OK) {
        status = open_directory(kv, &is_new, error);
    }
    if (status == QUARRY_OK) {
        status = kv_recover(kv, is_new, error);
    }
    if (status == QUARRY_OK) {
        note_budget(kv, budget_bytes);
        status = kv_background_start(kv, error);
    }
    return status;
}

enum quarry_status quarry_kv_open(struct quarry_memory *memory, const char *path,
                                  const struct quarry_kv_options *options,
                                  struct quarry_kv **ret_kv, struct quarry_error *error)
{
    struct quarry_kv_options resolved;
    struct quarry_kv *kv = NULL;
    uint64_t budget_bytes = 0;
    enum quarry_status status =
        kv_options_resolve(memory, options, &resolved, &budget_bytes, error);

    if (status == QUARRY_OK) {
        status = create(memory, path, &resolved, &kv, error);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    status = build(kv, path, budget_bytes, error);
    if (status != QUARRY_OK) {
        atomic_store_release_bool(&kv->is_closing, true);
        (void)dismantle(kv, NULL);
        return status;
    }
    *ret_kv = kv;
    return QUARRY_OK;
}

/* ---- closing -------------------------------------------------------------------------------- */

static enum quarry_status check_nothing_is_out(struct quarry_kv *kv, struct quarry_error *error)
{
    /* Relaxed: who is in a call of the store while it is closed has made an error. */
    uint32_t snapshot_count = atomic_load_relaxed_u32(&kv->snapshot_count);
    uint32_t iterator_count = atomic_load_relaxed_u32(&kv->iterator_count);
    uint32_t value_count = atomic_load_relaxed_u32(&kv->value_count);

    if (snapshot_count + iterator_count + value_count == 0) {
        return QUARRY_OK;
    }
    return error_set(error, QUARRY_BUSY,
                     "store '%s': %u snapshots, %u iterators and %u values are out", kv->path,
                     snapshot_count, iterator_count, value_count);
}

static bool has_obstacle(struct quarry_kv *kv)
{
    os_mutex_lock(&kv->commit_mutex);
    bool has = kv->commit->obstacles != 0 ||
               (kv->log != NULL && kv_log_set_status(kv->log, NULL) != QUARRY_OK);
    os_mutex_unlock(&kv->commit_mutex);
    return has;
}

/* What no log has, or one that has failed, goes to files. */
static enum quarry_status save(struct quarry_kv *kv, struct quarry_error *error)
{
    if (kv->is_read_only) {
        return QUARRY_OK;
    }
    return kv->log == NULL || has_obstacle(kv) ? quarry_kv_flush(kv, error)
                                               : quarry_kv_sync(kv, error);
}

enum quarry_status quarry_kv_close(struct quarry_kv *kv, struct quarry_error *error)
{
    enum quarry_status status = check_nothing_is_out(kv, error);

    if (status != QUARRY_OK) {
        return status;
    }
    status = save(kv, error);
    atomic_store_release_bool(&kv->is_closing, true);
    enum quarry_status ended = dismantle(kv, status == QUARRY_OK ? error : NULL);
    if (status == QUARRY_OK) {
        status = ended;
    }
    /* The one error that says that it is closed. */
    if (status != QUARRY_OK && status != QUARRY_IO && error != NULL) {
        error->status = QUARRY_IO;
    }
    return status == QUARRY_OK ? QUARRY_OK : QUARRY_IO;
}

/* ---- removing ------------------------------------------------------------------------------- */

/* Names as they are in the directory: a number may have been written with other digits than ours.
 */
struct removal {
    char names[NAMES_AT_A_TIME][QUARRY_VFS_NAME_BYTES_MAX];
    size_t count;
};

static bool note_name(void *argument, const char *name)
{
    struct removal *removal = argument;
    struct kv_file_name file;
    size_t length = strlen(name);

    if (kv_file_name_parse(name, &file) && file.kind != KV_FILE_LOCK &&
        length < sizeof(removal->names[0])) {
        memcpy(removal->names[removal->count++], name, length + 1);
    }
    return removal->count < NAMES_AT_A_TIME;
}

static enum quarry_status remove_files(struct quarry_vfs *vfs, const char *path,
                                       struct quarry_error *error)
{
    struct removal removal;
    struct kv_path file;
    enum quarry_status status = QUARRY_OK;

    do {
        removal.count = 0;
        status = quarry_vfs_list(vfs, path, note_name, &removal, error);
        for (size_t i = 0; i < removal.count && status == QUARRY_OK; i++) {
            status = kv_path_join(path, removal.names[i], &file, error);
            if (status == QUARRY_OK) {
                status = quarry_vfs_remove(vfs, file.text, error);
            }
        }
    } while (status == QUARRY_OK && removal.count != 0);
    return status;
}

static enum quarry_status remove_current(struct quarry_vfs *vfs, const char *path,
                                         struct quarry_error *error)
{
    struct kv_path current;
    enum quarry_status status = kv_file_path(path, KV_FILE_CURRENT, 0, &current, error);

    if (status == QUARRY_OK) {
        status = quarry_vfs_remove(vfs, current.text, error);
    }
    return status == QUARRY_NOT_FOUND ? QUARRY_OK : status;
}

enum quarry_status quarry_kv_destroy(struct quarry_vfs *vfs, const char *path,
                                     struct quarry_error *error)
{
    struct quarry_vfs_lock *lock = NULL;
    struct kv_path file;
    enum quarry_status status = kv_file_path(path, KV_FILE_LOCK, 0, &file, error);

    if (status == QUARRY_OK) {
        status = quarry_vfs_take_lock(vfs, file.text, &lock, error);
    }
    if (status != QUARRY_OK) {
        return status;
    }
    status = remove_current(vfs, path, error);
    if (status == QUARRY_OK) {
        status = remove_files(vfs, path, error);
    }
    if (status == QUARRY_OK) {
        status = quarry_vfs_remove(vfs, file.text, error);
    }
    quarry_vfs_unlock(lock);
    if (status == QUARRY_OK) {
        /* Others' files stay, and the directory with them. */
        (void)quarry_vfs_remove_directory(vfs, path, NULL);
    }
    return status;
}
