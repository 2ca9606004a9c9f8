/*
 * `quarry-bench-kv-rocksdb`: RocksDB through its interface in C.
 *
 * A program of its own, so that nothing else of Quarry needs the library. Values are read in place
 * (rocksdb_get_pinned), keys of one call together (rocksdb_batched_multi_get_cf): the cheapest ways
 * that it has. In a budget the cache has what memtables leave, keeps indexes and filters too, and
 * refuses to pass its capacity, which is as near as it comes to a bound.
 */
#include <bench/kv/ops.h>

#include <string.h>

#include <rocksdb/c.h>

#include <base/base.h>

#define BLOOM_BITS 10.0

struct owner {
    rocksdb_t *db;
    rocksdb_column_family_handle_t *family;
    rocksdb_options_t *options;
    rocksdb_cache_t *cache;
    rocksdb_readoptions_t *reading;
    rocksdb_writeoptions_t *writing;
    rocksdb_writeoptions_t *syncing;
};

static const int compressions[BENCH_KV_COMPRESSION_COUNT] = {
    [BENCH_KV_PLAIN] = rocksdb_no_compression,
    [BENCH_KV_SNAPPY] = rocksdb_snappy_compression,
    [BENCH_KV_LZ4] = rocksdb_lz4_compression,
};

static void must(char *error, const char *what)
{
    if (error != NULL) {
        bench_kv_die(what, error);
    }
}

/* Whether it went well; the text is thrown away. */
static enum bench_kv_answer answer_of(char *error)
{
    if (error == NULL) {
        return BENCH_KV_OK;
    }
    rocksdb_free(error);
    return BENCH_KV_REFUSED;
}

static rocksdb_cache_t *cache_of(const struct bench_kv_config *config)
{
    return config->budget_bytes == 0
               ? rocksdb_cache_create_lru(config->cache_bytes)
               : rocksdb_cache_create_lru_with_strict_capacity_limit(config->cache_bytes);
}

static void set_tables(struct owner *owner, const struct bench_kv_config *config)
{
    rocksdb_block_based_table_options_t *tables = rocksdb_block_based_options_create();

    owner->cache = cache_of(config);
    rocksdb_block_based_options_set_block_cache(tables, owner->cache);
    rocksdb_block_based_options_set_filter_policy(
        tables, rocksdb_filterpolicy_create_bloom_full(BLOOM_BITS));
    rocksdb_block_based_options_set_format_version(tables, 5);
    if (config->budget_bytes > 0) {
        rocksdb_block_based_options_set_cache_index_and_filter_blocks(tables, 1);
    }
    rocksdb_options_set_block_based_table_factory(owner->options, tables);
    rocksdb_block_based_options_destroy(tables);
}

static void set_options(struct owner *owner, const struct bench_kv_config *config)
{
    rocksdb_options_t *options = rocksdb_options_create();

    owner->options = options;
    rocksdb_options_set_create_if_missing(options, 1);
    rocksdb_options_set_write_buffer_size(options, config->write_buffer_bytes);
    rocksdb_options_set_max_write_buffer_number(options, 2);
    rocksdb_options_set_target_file_size_base(options, config->file_bytes);
    rocksdb_options_set_max_bytes_for_level_base(options, config->level1_bytes);
    rocksdb_options_set_max_open_files(options, (int)config->open_files_max);
    rocksdb_options_set_compression(options, compressions[config->compression]);
    if (config->budget_bytes > 0) {
        rocksdb_options_set_db_write_buffer_size(options, 2 * config->write_buffer_bytes);
    }
    set_tables(owner, config);
}

static void *open_store(const struct bench_kv_config *config)
{
    static struct owner owner;
    const char *name = "default";
    char *error = NULL;

    set_options(&owner, config);
    const rocksdb_options_t *family_options = owner.options;
    owner.db = rocksdb_open_column_families(owner.options, config->path, 1, &name, &family_options,
                                            &owner.family, &error);
    must(error, "opening");
    owner.reading = rocksdb_readoptions_create();
    owner.writing = rocksdb_writeoptions_create();
    owner.syncing = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(owner.syncing, 1);
    return &owner;
}

static void close_store(void *context)
{
    struct owner *owner = context;

    rocksdb_column_family_handle_destroy(owner->family);
    rocksdb_close(owner->db);
    rocksdb_readoptions_destroy(owner->reading);
    rocksdb_writeoptions_destroy(owner->writing);
    rocksdb_writeoptions_destroy(owner->syncing);
    rocksdb_options_destroy(owner->options);
    rocksdb_cache_destroy(owner->cache);
    memset(owner, 0, sizeof *owner);
}

/* ---- writing -------------------------------------------------------------------------------- */

static enum bench_kv_answer put(void *context, struct bench_kv_bytes key,
                                struct bench_kv_bytes value, bool is_synced)
{
    struct owner *owner = context;
    char *error = NULL;

    rocksdb_put(owner->db, is_synced ? owner->syncing : owner->writing, key.base, key.count,
                value.base, value.count, &error);
    return answer_of(error);
}

static enum bench_kv_answer erase(void *context, struct bench_kv_bytes key)
{
    struct owner *owner = context;
    char *error = NULL;

    rocksdb_delete(owner->db, owner->writing, key.base, key.count, &error);
    return answer_of(error);
}

static void *batch_create(void *context)
{
    (void)context;
    return rocksdb_writebatch_create();
}

static void batch_put(void *batch, struct bench_kv_bytes key, struct bench_kv_bytes value)
{
    rocksdb_writebatch_put(batch, key.base, key.count, value.base, value.count);
}

static enum bench_kv_answer batch_write(void *context, void *batch)
{
    struct owner *owner = context;
    char *error = NULL;

    rocksdb_write(owner->db, owner->writing, batch, &error);
    rocksdb_writebatch_clear(batch);
    return answer_of(error);
}

static void batch_destroy(void *batch)
{
    rocksdb_writebatch_destroy(batch);
}

/* ---- reading -------------------------------------------------------------------------------- */

static void hold_slice(struct bench_kv_hold *hold, rocksdb_pinnableslice_t *slice)
{
    hold->room[0] = (uintptr_t)slice;
    hold->bytes.base = rocksdb_pinnableslice_value(slice, &hold->bytes.count);
}

static enum bench_kv_answer get(void *context, struct bench_kv_bytes key,
                                struct bench_kv_hold *hold)
{
    struct owner *owner = context;
    char *error = NULL;
    rocksdb_pinnableslice_t *slice =
        rocksdb_get_pinned(owner->db, owner->reading, key.base, key.count, &error);

    if (error != NULL) {
        return answer_of(error);
    }
    if (slice == NULL) {
        return BENCH_KV_ABSENT;
    }
    hold_slice(hold, slice);
    return BENCH_KV_OK;
}

static void release(struct bench_kv_hold *hold)
{
    rocksdb_pinnableslice_destroy((rocksdb_pinnableslice_t *)(uintptr_t)hold->room[0]);
}

static void get_many(void *context, const struct bench_kv_bytes *keys,
                     enum bench_kv_answer *answers, struct bench_kv_hold *holds)
{
    struct owner *owner = context;
    const char *bases[BENCH_KV_MANY];
    size_t counts[BENCH_KV_MANY];
    rocksdb_pinnableslice_t *values[BENCH_KV_MANY];
    char *errors[BENCH_KV_MANY];

    for (size_t i = 0; i < BENCH_KV_MANY; i++) {
        bases[i] = keys[i].base;
        counts[i] = keys[i].count;
    }
    rocksdb_batched_multi_get_cf(owner->db, owner->reading, owner->family, BENCH_KV_MANY, bases,
                                 counts, values, errors, false);
    for (size_t i = 0; i < BENCH_KV_MANY; i++) {
        answers[i] = answer_of(errors[i]);
        if (answers[i] == BENCH_KV_OK && values[i] == NULL) {
            answers[i] = BENCH_KV_ABSENT;
        } else if (answers[i] == BENCH_KV_OK) {
            hold_slice(&holds[i], values[i]);
        }
    }
}

/* ---- iterators ------------------------------------------------------------------------------ */

static void *iterate(void *context)
{
    struct owner *owner = context;

    return rocksdb_create_iterator(owner->db, owner->reading);
}

static void iterator_destroy(void *iterator)
{
    rocksdb_iter_destroy(iterator);
}

static bool first(void *iterator)
{
    rocksdb_iter_seek_to_first(iterator);
    return rocksdb_iter_valid(iterator);
}

static bool last(void *iterator)
{
    rocksdb_iter_seek_to_last(iterator);
    return rocksdb_iter_valid(iterator);
}

static bool seek(void *iterator, struct bench_kv_bytes key)
{
    rocksdb_iter_seek(iterator, key.base, key.count);
    return rocksdb_iter_valid(iterator);
}

static bool next(void *iterator)
{
    rocksdb_iter_next(iterator);
    return rocksdb_iter_valid(iterator);
}

static bool previous(void *iterator)
{
    rocksdb_iter_prev(iterator);
    return rocksdb_iter_valid(iterator);
}

static struct bench_kv_bytes iterator_key(void *iterator)
{
    struct bench_kv_bytes bytes;

    bytes.base = rocksdb_iter_key(iterator, &bytes.count);
    return bytes;
}

static struct bench_kv_bytes iterator_value(void *iterator)
{
    struct bench_kv_bytes bytes;

    bytes.base = rocksdb_iter_value(iterator, &bytes.count);
    return bytes;
}

static bool is_sound(void *iterator)
{
    char *error = NULL;

    rocksdb_iter_get_error(iterator, &error);
    return answer_of(error) == BENCH_KV_OK;
}

static bool compact(void *context)
{
    struct owner *owner = context;

    rocksdb_compact_range(owner->db, NULL, 0, NULL, 0);
    return true;
}

static const struct bench_kv_ops ops = {
    .name = "rocksdb",
    .open = open_store,
    .close = close_store,
    .put = put,
    .erase = erase,
    .batch_create = batch_create,
    .batch_put = batch_put,
    .batch_write = batch_write,
    .batch_destroy = batch_destroy,
    .get = get,
    .release = release,
    .get_many = get_many,
    .iterate = iterate,
    .iterator_destroy = iterator_destroy,
    .first = first,
    .last = last,
    .seek = seek,
    .next = next,
    .previous = previous,
    .key = iterator_key,
    .value = iterator_value,
    .is_sound = is_sound,
    .compact = compact,
};

int main(int argc, char **argv)
{
    return bench_kv_child(&ops, argc, argv);
}
