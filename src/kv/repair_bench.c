/*
 * What a repair works with: memory, a small block cache, tables read and written without a store.
 *
 * Everything is charged to an account of its own beside or below those of open stores, so a repair
 * stays within a budget. Blocks are read once: the cache holds what is open.
 */
#include <kv/repair_parts.h>

#include <string.h>

/* Of blocks that iterators hold while tables are merged, and of indexes. */
#define CACHE_BYTES Q_MIB(8)
/* Address space for the memtables that logs are read into. */
#define LANE_BYTES Q_GIB(4)

/* ---- the bench ------------------------------------------------------------------------------ */

static enum quarry_status begin_memory(struct kv_repair *repair)
{
    const struct quarry_account_options account = {.name = "kv-repair",
                                                   .parent = repair->options->parent,
                                                   .ceiling_bytes = repair->options->memory_bytes};
    struct quarry_pool *pool;
    enum quarry_status status =
        quarry_account_create(repair->memory, &account, &repair->account, repair->error);

    if (status == QUARRY_OK) {
        status =
            quarry_lifetime_begin(repair->memory, "kv repair", &repair->lifetime, repair->error);
    }
    if (status == QUARRY_OK) {
        status = quarry_pool_create(repair->lifetime, quarry_account_owner(repair->account), &pool);
    }
    if (status == QUARRY_OK) {
        repair->small = (struct kv_memory){.account = repair->account, .pool = pool};
        kv_edit_init(&repair->edit, &repair->small);
    }
    return status;
}

static enum quarry_status begin_memtables(struct kv_repair *repair)
{
    const struct quarry_lane_options lane = {.name = "kv-repair", .reserved_bytes = LANE_BYTES};
    enum quarry_status status =
        quarry_lane_create(repair->memory, &lane, &repair->lane, repair->error);

    if (status != QUARRY_OK) {
        return status;
    }
    const struct quarry_arena_options arena = {.lane = repair->lane, .account = repair->account};
    return quarry_arena_keeper_create(repair->memory, &arena, &repair->keeper, repair->error);
}

static enum quarry_status begin_tables(struct kv_repair *repair)
{
    const struct quarry_block_cache_options cache = {.name = "kv-repair-block",
                                                     .capacity_bytes = CACHE_BYTES};
    enum quarry_status status =
        quarry_block_cache_create(repair->memory, &cache, &repair->cache, repair->error);

    if (status != QUARRY_OK) {
        return status;
    }
    const struct kv_tables_options tables = {.pool = repair->small.pool,
                                             .account = repair->account,
                                             .cache = repair->cache,
                                             .comparator = repair->comparator,
                                             .prefix_bytes = repair->options->prefix_bytes,
                                             .filter_policy = repair->options->filter_policy};
    status = kv_tables_init(&repair->tables, &tables, repair->error);
    repair->has_tables = status == QUARRY_OK;
    return status;
}

enum quarry_status kv_repair_bench_init(struct kv_repair *repair)
{
    enum quarry_status status = begin_memory(repair);

    if (status == QUARRY_OK) {
        status = begin_memtables(repair);
    }
    return status != QUARRY_OK ? status : begin_tables(repair);
}

static void give_keys(struct kv_repair *repair)
{
    while (repair->keys != NULL) {
        struct kv_repair_key *key = repair->keys;
        repair->keys = key->next;
        kv_memory_give(&repair->small, key);
    }
}

void kv_repair_bench_fini(struct kv_repair *repair)
{
    if (repair->small.pool != NULL) {
        kv_edit_fini(&repair->edit);
        give_keys(repair);
        kv_memory_give(&repair->small, repair->files);
    }
    if (repair->has_tables) {
        kv_tables_fini(&repair->tables);
    }
    enum quarry_status status = quarry_block_cache_close(repair->cache);
    Q_ASSERT(status == QUARRY_OK); /* every iterator has ended */
    quarry_arena_keeper_destroy(repair->keeper);
    if (repair->lane != NULL) {
        quarry_lane_destroy(repair->lane);
    }
    if (repair->lifetime != NULL) {
        quarry_lifetime_end(repair->lifetime);
    }
    quarry_account_destroy(repair->account);
}

/* ---- tables --------------------------------------------------------------------------------- */

enum quarry_status kv_repair_open(struct kv_repair *repair, const struct kv_repair_file *file,
                                  uint64_t largest_sequence, struct kv_table **ret_table,
                                  struct quarry_error *error)
{
    const struct kv_table_options options = {.file_number = file->name.number,
                                             .file_bytes = file->byte_count,
                                             .largest_sequence = largest_sequence};
    struct quarry_vfs_file *opened = NULL;
    struct kv_path path;
    enum quarry_status status =
        kv_file_path(repair->path, file->name.kind, file->name.number, &path, error);

    if (status == QUARRY_OK) {
        status = quarry_vfs_open(repair->vfs, path.text, QUARRY_VFS_READ, &opened, error);
    }
    if (status == QUARRY_OK) {
        status = kv_table_open(&repair->tables, &opened, &options, ret_table, error);
    }
    if (status != QUARRY_OK) {
        quarry_vfs_close(opened);
    }
    return status;
}

static struct kv_table_write_options write_options(const struct kv_repair *repair, uint64_t number)
{
    const struct quarry_kv_options *options = repair->options;
    bool is_leveldb = repair->form == KV_EDIT_LEVELDB;

    return (struct kv_table_write_options){
        .format = is_leveldb ? QUARRY_KV_FORMAT_LEVELDB : QUARRY_KV_FORMAT_ROCKSDB,
        .compression = options->compression != QUARRY_KV_COMPRESSION_DEFAULT ? options->compression
                       : is_leveldb ? QUARRY_KV_COMPRESSION_SNAPPY
                                    : QUARRY_KV_COMPRESSION_LZ4,
        .checksum = options->checksum,
        .block_bytes = options->block_bytes,
        .restart_interval = options->block_restart_interval,
        .bloom_millibits = options->bloom_millibits == 0   ? 10000
                           : options->bloom_millibits == 1 ? 0
                                                           : options->bloom_millibits,
        .prefix_bytes = options->prefix_bytes,
        .syncs = true,
        .file_number = number,
        .level = QUARRY_KV_LEVELS - 1,
        .creation_time = quarry_vfs_wall_ns(repair->vfs) / 1000000000u,
        .merge_operator = options->merge_operator == NULL ? NULL : options->merge_operator->name,
    };
}

enum quarry_status kv_repair_output_begin(struct kv_repair *repair, struct kv_repair_output *output)
{
    enum kv_file_kind kind =
        repair->form == KV_EDIT_LEVELDB ? KV_FILE_TABLE_LEVELDB : KV_FILE_TABLE;

    memset(output, 0, sizeof(*output));
    output->number = repair->next_file++;
    const struct kv_table_write_options options = write_options(repair, output->number);
    enum quarry_status status =
        kv_file_path(repair->path, kind, output->number, &output->path, repair->error);
    if (status == QUARRY_OK) {
        status = quarry_vfs_open(repair->vfs, output->path.text,
                                 QUARRY_VFS_WRITE | QUARRY_VFS_CREATE | QUARRY_VFS_TRUNCATE,
                                 &output->file, repair->error);
    }
    if (status == QUARRY_OK) {
        status = kv_table_writer_create(&repair->tables, output->file, &options, &output->writer,
                                        repair->error);
    }
    if (status != QUARRY_OK) {
        kv_repair_output_abort(repair, output);
    }
    return status;
}

/* A copy of a key that lives as long as the edit. */
static enum quarry_status keep_key(struct kv_repair *repair, struct kv_key *key)
{
    struct kv_repair_key *kept =
        kv_memory_take(&repair->small, sizeof(*kept) + key->user.count + 1);

    if (kept == NULL) {
        return error_set(repair->error, QUARRY_NO_MEMORY, "%s: no memory for a key", repair->path);
    }
    if (key->user.count != 0) {
        memcpy(kept->bytes, key->user.bytes, key->user.count);
    }
    kept->next = repair->keys;
    repair->keys = kept;
    key->user.bytes = kept->bytes;
    return QUARRY_OK;
}

static enum quarry_status enter(struct kv_repair *repair, const struct kv_repair_output *output,
                                const struct kv_table_result *result, uint32_t level)
{
    struct kv_edit_file file = {
        .level = level,
        .number = output->number,
        .byte_count = result->file_bytes,
        .smallest = result->smallest,
        .largest = result->largest,
        .smallest_sequence = result->smallest_sequence,
        .largest_sequence = result->largest_sequence,
        .created_s = quarry_vfs_wall_ns(repair->vfs) / 1000000000u,
        .entry_count = result->entry_count,
        .deletion_count = result->delete_count,
        .range_deletion_count = result->range_delete_count,
        .has_counts = true,
        .has_sequences = true,
    };
    enum quarry_status status = keep_key(repair, &file.smallest);

    if (status == QUARRY_OK) {
        status = keep_key(repair, &file.largest);
    }
    if (status == QUARRY_OK) {
        status = kv_edit_add(&repair->edit, &file);
    }
    repair->last_sequence = size_max_u64(repair->last_sequence, result->largest_sequence);
    return status;
}

enum quarry_status kv_repair_output_end(struct kv_repair *repair, struct kv_repair_output *output,
                                        uint32_t level)
{
    struct kv_table_result result;
    enum quarry_status status = kv_table_writer_finish(output->writer, &result, repair->error);

    if (status == QUARRY_OK) {
        status = enter(repair, output, &result, level);
    }
    if (status != QUARRY_OK) {
        kv_repair_output_abort(repair, output);
        return status;
    }
    kv_table_writer_destroy(output->writer);
    quarry_vfs_close(output->file);
    output->writer = NULL;
    output->file = NULL;
    return QUARRY_OK;
}

void kv_repair_output_abort(struct kv_repair *repair, struct kv_repair_output *output)
{
    kv_table_writer_destroy(output->writer);
    output->writer = NULL;
    if (output->file != NULL) {
        quarry_vfs_close(output->file);
        output->file = NULL;
        (void)quarry_vfs_remove(repair->vfs, output->path.text, NULL);
    }
}
