/*
 * Reading many keys at one moment.
 *
 *     1. hash each key, find its file in each level, and fetch the line of the filter that it will
 *        be looked for in: the misses of all keys overlap
 *     2. look the keys up in their order, so that neighbours find each other's blocks at hand
 *
 * Keys are put in order by an array of indexes; where there is no memory for it they are looked up
 * as they come. All are read through one view and one sequence: when a file must be opened for one
 * of them, all are read again.
 *
 * Locking: none. Cost: as that many gets, with less waiting.
 */
#include <kv/lookup.h>

struct multi_get {
    const struct quarry_kv_slice *keys;
    size_t key_count;
    enum quarry_status *statuses;
    struct quarry_kv_value *values;
    const struct quarry_kv_slice **order; /* NULL: as they come */
};

static struct kv_slice slice_of(const struct quarry_kv_slice *key)
{
    return kv_slice(key->bytes, key->byte_count);
}

static bool key_is_before(const void *argument, const void *a, const void *b)
{
    return kv_compare(argument, slice_of(a), slice_of(b)) < 0;
}

static void prefetch_in_run(const struct kv_reading *reading, const struct kv_run *run,
                            struct kv_slice key, uint64_t hash)
{
    uint32_t at = kv_run_find(run, reading->kv->comparator, key, kv_prefix8(key));
    struct kv_table *table = at == run->file_count ? NULL : kv_open_table_peek(run->files[at]);

    if (table != NULL) {
        kv_table_prefetch(table, hash);
    }
}

/* Inside the epoch only: tables are not counted. */
static void prefetch(const struct multi_get *get, const struct kv_reading *reading)
{
    const struct kv_version *version = reading->view->version;

    for (size_t i = 0; i < get->key_count; i++) {
        struct kv_slice key = slice_of(&get->keys[i]);
        uint64_t hash = kv_table_hash(key);
        for (uint32_t level = 1; level < QUARRY_KV_LEVELS; level++) {
            if (version->levels[level].file_count != 0) {
                prefetch_in_run(reading, &version->levels[level], key, hash);
            }
        }
    }
}

static void release_all(const struct multi_get *get)
{
    for (size_t i = 0; i < get->key_count; i++) {
        quarry_kv_value_release(&get->values[i]);
    }
}

/* Reads one. `index`: of the key. */
static enum quarry_status read_one(const struct multi_get *get, struct kv_reading *reading,
                                   size_t index)
{
    struct kv_lookup lookup;

    kv_lookup_init(&lookup, reading->kv, slice_of(&get->keys[index]));
    enum quarry_status status = kv_lookup_run(&lookup, reading);
    if (status == QUARRY_OK) {
        status = kv_value_hold(reading->kv, &lookup, &get->values[index]);
    }
    kv_lookup_fini(&lookup, reading->kv);
    get->statuses[index] = status;
    return status;
}

static enum quarry_status read_all(void *argument, struct kv_reading *reading)
{
    const struct multi_get *get = argument;
    enum quarry_status first = QUARRY_OK;
    struct quarry_error *error = reading->error, own_error = {0};
    uint64_t hit_count = 0, byte_count = 0;

    if (!reading->may_open) {
        prefetch(get, reading);
    }
    for (size_t i = 0; i < get->key_count; i++) {
        size_t index = get->order == NULL ? i : (size_t)(get->order[i] - get->keys);
        /* The text is the first error's. */
        reading->error = first == QUARRY_OK ? error : &own_error;
        enum quarry_status status = read_one(get, reading, index);
        if (reading->needs_open || status == QUARRY_NO_MEMORY) {
            reading->error = error;
            release_all(get);
            return status;
        }
        hit_count += status == QUARRY_OK;
        byte_count += status == QUARRY_OK ? get->values[index].byte_count : 0;
        if (first == QUARRY_OK && status != QUARRY_OK && status != QUARRY_NOT_FOUND) {
            first = status;
        }
    }
    reading->error = error;
    kv_count_reads(reading->kv, reading, get->key_count, hit_count, byte_count);
    return first;
}

enum quarry_status quarry_kv_multi_get(struct quarry_kv *kv,
                                       const struct quarry_kv_read_options *options,
                                       const struct quarry_kv_slice *keys, size_t key_count,
                                       enum quarry_status *ret_statuses,
                                       struct quarry_kv_value *ret_values,
                                       struct quarry_error *error)
{
    struct multi_get get = {keys, key_count, ret_statuses, ret_values, NULL};

    for (size_t i = 0; i < key_count; i++) {
        ret_values[i] = (struct quarry_kv_value){0};
        ret_statuses[i] = QUARRY_NOT_FOUND;
    }
    if (key_count == 0) {
        return QUARRY_OK;
    }
    void **order = kv_memory_take(&kv->small[KV_PART_READ], key_count * sizeof(*order));
    for (size_t i = 0; order != NULL && i < key_count; i++) {
        order[i] = (void *)(uintptr_t)&keys[i];
    }
    if (order != NULL) {
        kv_sort(order, key_count, key_is_before, kv->comparator);
    }
    get.order = (const struct quarry_kv_slice **)(void *)order;
    enum quarry_status status = kv_read(kv, options, NULL, read_all, &get, error);
    for (size_t i = 0; status == QUARRY_NO_MEMORY && i < key_count; i++) {
        ret_statuses[i] = status;
    }
    kv_memory_give(&kv->small[KV_PART_READ], order);
    return status;
}
