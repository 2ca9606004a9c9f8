/*
 * `quarry-bench-kv-leveldb`: LevelDB through its interface in C.
 *
 * A program of its own, so that nothing else of Quarry needs the library. It has no call that reads
 * many keys, none that reads in place, and no bound on what it uses: in a budget its cache has what
 * memtables leave.
 */
#include <bench/kv/ops.h>

#include <string.h>

#include <leveldb/c.h>

#include <base/base.h>

#define BLOOM_BITS 10

struct owner {
    leveldb_t *db;
    leveldb_options_t *options;
    leveldb_cache_t *cache;
    leveldb_filterpolicy_t *filter;
    leveldb_readoptions_t *reading;
    leveldb_writeoptions_t *writing;
    leveldb_writeoptions_t *syncing;
};

/* Whether it went well; the text is thrown away. */
static enum bench_kv_answer answer_of(char *error)
{
    if (error == NULL) {
        return BENCH_KV_OK;
    }
    leveldb_free(error);
    return BENCH_KV_REFUSED;
}

static void set_options(struct owner *owner, const struct bench_kv_config *config)
{
    leveldb_options_t *options = leveldb_options_create();

    owner->options = options;
    owner->cache = leveldb_cache_create_lru(config->cache_bytes);
    owner->filter = leveldb_filterpolicy_create_bloom(BLOOM_BITS);
    leveldb_options_set_create_if_missing(options, 1);
    leveldb_options_set_write_buffer_size(options, config->write_buffer_bytes);
    leveldb_options_set_max_file_size(options, config->file_bytes);
    leveldb_options_set_max_open_files(options, (int)config->open_files_max);
    leveldb_options_set_compression(options, config->compression == BENCH_KV_PLAIN
                                                 ? leveldb_no_compression
                                                 : leveldb_snappy_compression);
    leveldb_options_set_cache(options, owner->cache);
    leveldb_options_set_filter_policy(options, owner->filter);
}

static void *open_store(const struct bench_kv_config *config)
{
    static struct owner owner;
    char *error = NULL;

    if (config->compression == BENCH_KV_LZ4) {
        bench_kv_die("opening", "LevelDB has no LZ4");
    }
    set_options(&owner, config);
    owner.db = leveldb_open(owner.options, config->path, &error);
    if (error != NULL) {
        bench_kv_die("opening", error);
    }
    owner.reading = leveldb_readoptions_create();
    leveldb_readoptions_set_verify_checksums(owner.reading, 1);
    owner.writing = leveldb_writeoptions_create();
    owner.syncing = leveldb_writeoptions_create();
    leveldb_writeoptions_set_sync(owner.syncing, 1);
    return &owner;
}

static void close_store(void *context)
{
    struct owner *owner = context;

    leveldb_close(owner->db);
    leveldb_readoptions_destroy(owner->reading);
    leveldb_writeoptions_destroy(owner->writing);
    leveldb_writeoptions_destroy(owner->syncing);
    leveldb_options_destroy(owner->options);
    leveldb_cache_destroy(owner->cache);
    leveldb_filterpolicy_destroy(owner->filter);
    memset(owner, 0, sizeof *owner);
}

/* ---- writing -------------------------------------------------------------------------------- */

static enum bench_kv_answer put(void *context, struct bench_kv_bytes key,
                                struct bench_kv_bytes value, bool is_synced)
{
    struct owner *owner = context;
    char *error = NULL;

    leveldb_put(owner->db, is_synced ? owner->syncing : owner->writing, key.base, key.count,
                value.base, value.count, &error);
    return answer_of(error);
}

static enum bench_kv_answer erase(void *context, struct bench_kv_bytes key)
{
    struct owner *owner = context;
    char *error = NULL;

    leveldb_delete(owner->db, owner->writing, key.base, key.count, &error);
    return answer_of(error);
}

static void *batch_create(void *context)
{
    (void)context;
    return leveldb_writebatch_create();
}

static void batch_put(void *batch, struct bench_kv_bytes key, struct bench_kv_bytes value)
{
    leveldb_writebatch_put(batch, key.base, key.count, value.base, value.count);
}

static enum bench_kv_answer batch_write(void *context, void *batch)
{
    struct owner *owner = context;
    char *error = NULL;

    leveldb_write(owner->db, owner->writing, batch, &error);
    leveldb_writebatch_clear(batch);
    return answer_of(error);
}

static void batch_destroy(void *batch)
{
    leveldb_writebatch_destroy(batch);
}

/* ---- reading -------------------------------------------------------------------------------- */

static enum bench_kv_answer get(void *context, struct bench_kv_bytes key,
                                struct bench_kv_hold *hold)
{
    struct owner *owner = context;
    char *error = NULL;
    char *value =
        leveldb_get(owner->db, owner->reading, key.base, key.count, &hold->bytes.count, &error);

    if (error != NULL) {
        return answer_of(error);
    }
    hold->bytes.base = value;
    hold->room[0] = (uintptr_t)value;
    return value == NULL ? BENCH_KV_ABSENT : BENCH_KV_OK;
}

static void release(struct bench_kv_hold *hold)
{
    leveldb_free((void *)(uintptr_t)hold->room[0]);
}

/* ---- iterators ------------------------------------------------------------------------------ */

static void *iterate(void *context)
{
    struct owner *owner = context;

    return leveldb_create_iterator(owner->db, owner->reading);
}

static void iterator_destroy(void *iterator)
{
    leveldb_iter_destroy(iterator);
}

static bool first(void *iterator)
{
    leveldb_iter_seek_to_first(iterator);
    return leveldb_iter_valid(iterator);
}

static bool last(void *iterator)
{
    leveldb_iter_seek_to_last(iterator);
    return leveldb_iter_valid(iterator);
}

static bool seek(void *iterator, struct bench_kv_bytes key)
{
    leveldb_iter_seek(iterator, key.base, key.count);
    return leveldb_iter_valid(iterator);
}

static bool next(void *iterator)
{
    leveldb_iter_next(iterator);
    return leveldb_iter_valid(iterator);
}

static bool previous(void *iterator)
{
    leveldb_iter_prev(iterator);
    return leveldb_iter_valid(iterator);
}

static struct bench_kv_bytes iterator_key(void *iterator)
{
    struct bench_kv_bytes bytes;

    bytes.base = leveldb_iter_key(iterator, &bytes.count);
    return bytes;
}

static struct bench_kv_bytes iterator_value(void *iterator)
{
    struct bench_kv_bytes bytes;

    bytes.base = leveldb_iter_value(iterator, &bytes.count);
    return bytes;
}

static bool is_sound(void *iterator)
{
    char *error = NULL;

    leveldb_iter_get_error(iterator, &error);
    return answer_of(error) == BENCH_KV_OK;
}

static bool compact(void *context)
{
    struct owner *owner = context;

    leveldb_compact_range(owner->db, NULL, 0, NULL, 0);
    return true;
}

static const struct bench_kv_ops ops = {
    .name = "leveldb",
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
