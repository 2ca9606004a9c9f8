/*
 * `quarry-bench-kv`: Quarry's own store.
 *
 * Its memory has the row's budget. Where a row has none it has what the others may take as well:
 * the cache, two memtables, a quarter of them for what is held and compacted, and some more.
 */
#include <bench/kv/ops.h>

#include <string.h>

#include <base/base.h>

#include <quarry/kv.h>
#include <quarry/memory.h>

#define SPARE_PART  4u
#define SPARE_BYTES Q_MIB(128)

struct owner {
    struct quarry_memory *memory;
    struct quarry_kv *kv;
};

static const enum quarry_kv_compression compressions[BENCH_KV_COMPRESSION_COUNT] = {
    [BENCH_KV_PLAIN] = QUARRY_KV_COMPRESSION_NONE,
    [BENCH_KV_SNAPPY] = QUARRY_KV_COMPRESSION_SNAPPY,
    [BENCH_KV_LZ4] = QUARRY_KV_COMPRESSION_LZ4,
};

static void must(enum quarry_status status, const char *what, const struct quarry_error *error)
{
    if (status != QUARRY_OK) {
        bench_kv_die(what, error->text[0] == '\0' ? quarry_status_name(status) : error->text);
    }
}

static enum bench_kv_answer answer_of(enum quarry_status status)
{
    if (status == QUARRY_OK) {
        return BENCH_KV_OK;
    }
    return status == QUARRY_NOT_FOUND ? BENCH_KV_ABSENT : BENCH_KV_REFUSED;
}

static uint64_t limit_of(const struct bench_kv_config *config)
{
    uint64_t whole = config->cache_bytes + 2 * config->write_buffer_bytes;

    return config->budget_bytes > 0 ? config->budget_bytes
                                    : whole + whole / SPARE_PART + SPARE_BYTES;
}

static void *open_store(const struct bench_kv_config *config)
{
    static struct owner owner;
    struct quarry_error error = {0};
    struct quarry_memory_options memory = {.limit_bytes = limit_of(config)};
    struct quarry_kv_options options = {
        .create_if_missing = true,
        .durability = QUARRY_KV_PROCESS,
        .write_buffer_bytes = config->write_buffer_bytes,
        .write_buffer_count = 2,
        .block_cache_bytes = config->budget_bytes > 0 ? 0 : config->cache_bytes,
        .compression = compressions[config->compression],
        .compression_top = compressions[config->compression],
        .compression_bottom = compressions[config->compression],
        .bloom_millibits = 10000,
        .file_bytes = config->file_bytes,
        .level1_bytes = config->level1_bytes,
        .open_files_max = config->open_files_max,
    };

    must(quarry_memory_create(&memory, &owner.memory, &error), "memory", &error);
    must(quarry_kv_open(owner.memory, config->path, &options, &owner.kv, &error), "opening",
         &error);
    return &owner;
}

static void close_store(void *context)
{
    struct owner *owner = context;
    struct quarry_error error = {0};

    must(quarry_kv_close(owner->kv, &error), "closing", &error);
    quarry_memory_destroy(owner->memory);
    memset(owner, 0, sizeof *owner);
}

/* ---- writing -------------------------------------------------------------------------------- */

static enum bench_kv_answer put(void *context, struct bench_kv_bytes key,
                                struct bench_kv_bytes value, bool is_synced)
{
    static const struct quarry_kv_write_options syncing = {.durability = QUARRY_KV_POWER};
    struct owner *owner = context;

    return answer_of(quarry_kv_put(owner->kv, is_synced ? &syncing : NULL, key.base, key.count,
                                   value.base, value.count, NULL));
}

static enum bench_kv_answer erase(void *context, struct bench_kv_bytes key)
{
    struct owner *owner = context;

    return answer_of(quarry_kv_delete(owner->kv, NULL, key.base, key.count, NULL));
}

static void *batch_create(void *context)
{
    struct owner *owner = context;
    struct quarry_kv_batch *batch = NULL;

    must(quarry_kv_batch_create(owner->kv, false, &batch), "a batch", &(struct quarry_error){0});
    return batch;
}

static void batch_put(void *batch, struct bench_kv_bytes key, struct bench_kv_bytes value)
{
    static const struct quarry_error unsaid;

    must(quarry_kv_batch_put(batch, key.base, key.count, value.base, value.count), "a batch",
         &unsaid);
}

static enum bench_kv_answer batch_write(void *context, void *batch)
{
    struct owner *owner = context;
    enum bench_kv_answer answer = answer_of(quarry_kv_write(owner->kv, NULL, batch, NULL));

    quarry_kv_batch_clear(batch);
    return answer;
}

static void batch_destroy(void *batch)
{
    quarry_kv_batch_destroy(batch);
}

/* ---- reading -------------------------------------------------------------------------------- */

Q_STATIC_ASSERT(sizeof(struct quarry_kv_value) <= sizeof((struct bench_kv_hold){0}.room),
                "what is held of a value fits");

static void hold_value(struct bench_kv_hold *hold, const struct quarry_kv_value *value)
{
    hold->bytes = (struct bench_kv_bytes){value->bytes, value->byte_count};
    memcpy(hold->room, value, sizeof *value);
}

static enum bench_kv_answer get(void *context, struct bench_kv_bytes key,
                                struct bench_kv_hold *hold)
{
    struct owner *owner = context;
    struct quarry_kv_value value = {0};
    enum quarry_status status = quarry_kv_get(owner->kv, NULL, key.base, key.count, &value, NULL);

    if (status == QUARRY_OK) {
        hold_value(hold, &value);
    }
    return answer_of(status);
}

static void release(struct bench_kv_hold *hold)
{
    struct quarry_kv_value value;

    memcpy(&value, hold->room, sizeof value);
    quarry_kv_value_release(&value);
}

static void get_many(void *context, const struct bench_kv_bytes *keys,
                     enum bench_kv_answer *answers, struct bench_kv_hold *holds)
{
    struct owner *owner = context;
    struct quarry_kv_slice slices[BENCH_KV_MANY];
    enum quarry_status statuses[BENCH_KV_MANY];
    struct quarry_kv_value values[BENCH_KV_MANY] = {{0}};

    for (size_t i = 0; i < BENCH_KV_MANY; i++) {
        slices[i] = (struct quarry_kv_slice){keys[i].base, keys[i].count};
    }
    (void)quarry_kv_multi_get(owner->kv, NULL, slices, BENCH_KV_MANY, statuses, values, NULL);
    for (size_t i = 0; i < BENCH_KV_MANY; i++) {
        answers[i] = answer_of(statuses[i]);
        if (answers[i] == BENCH_KV_OK) {
            hold_value(&holds[i], &values[i]);
        }
    }
}

/* ---- iterators ------------------------------------------------------------------------------ */

static void *iterate(void *context)
{
    struct owner *owner = context;
    struct quarry_kv_iterator *iterator = NULL;

    return quarry_kv_iterate(owner->kv, NULL, &iterator, NULL) == QUARRY_OK ? iterator : NULL;
}

static void iterator_destroy(void *iterator)
{
    quarry_kv_iterator_destroy(iterator);
}

static bool first(void *iterator)
{
    return quarry_kv_iterator_first(iterator);
}

static bool last(void *iterator)
{
    return quarry_kv_iterator_last(iterator);
}

static bool seek(void *iterator, struct bench_kv_bytes key)
{
    return quarry_kv_iterator_seek(iterator, key.base, key.count);
}

static bool next(void *iterator)
{
    return quarry_kv_iterator_next(iterator);
}

static bool previous(void *iterator)
{
    return quarry_kv_iterator_previous(iterator);
}

static struct bench_kv_bytes iterator_key(void *iterator)
{
    struct quarry_kv_slice slice = quarry_kv_iterator_key(iterator);

    return (struct bench_kv_bytes){slice.bytes, slice.byte_count};
}

static struct bench_kv_bytes iterator_value(void *iterator)
{
    struct quarry_kv_slice slice = quarry_kv_iterator_value(iterator);

    return (struct bench_kv_bytes){slice.bytes, slice.byte_count};
}

static bool is_sound(void *iterator)
{
    return quarry_kv_iterator_status(iterator, NULL) == QUARRY_OK;
}

static bool compact(void *context)
{
    struct owner *owner = context;
    struct quarry_kv_slice none = {0};

    return quarry_kv_compact_range(owner->kv, none, none, NULL) == QUARRY_OK;
}

static const struct bench_kv_ops ops = {
    .name = "quarry",
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
