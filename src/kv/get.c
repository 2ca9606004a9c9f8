/*
 * Reading one key: with its value held, copied to the caller's memory, or not wanted at all.
 *
 * Each is a function that kv_read calls with a view, and that does something else with what a
 * lookup has found. Counting comes last: what is zero is not counted, so that a miss in a store
 * without files costs one locked instruction on a line of the thread's own.
 */
#include <kv/lookup.h>

/* One read. */
struct get {
    struct kv_lookup lookup;
    struct quarry_kv_value *value; /* where it goes; NULL: to `room` */
    void *room;
    size_t room_bytes;
    size_t value_bytes; /* written */
};

void kv_count_reads(struct quarry_kv *kv, const struct kv_reading *reading, uint64_t count,
                    uint64_t hit_count, uint64_t byte_count)
{
    kv_count(kv, KV_COUNT_GETS, count);
    if (hit_count != 0) {
        kv_count(kv, KV_COUNT_GET_HITS, hit_count);
        kv_count(kv, KV_COUNT_READ_BYTES, byte_count);
    }
    if (reading->filter_useful != 0) {
        kv_count(kv, KV_COUNT_FILTER_USEFUL, reading->filter_useful);
    }
    if (reading->filter_passed != 0) {
        kv_count(kv, KV_COUNT_FILTER_PASSED, reading->filter_passed);
    }
    if (reading->filter_false != 0) {
        kv_count(kv, KV_COUNT_FILTER_FALSE, reading->filter_false);
    }
}

static enum quarry_status finish(struct get *get, struct kv_reading *reading,
                                 enum quarry_status status)
{
    struct quarry_kv *kv = reading->kv;
    bool is_found = status == QUARRY_OK;

    if (!reading->needs_open && (is_found || status == QUARRY_NOT_FOUND)) {
        kv_count_reads(kv, reading, 1, is_found, is_found ? get->value_bytes : 0);
    }
    kv_lookup_fini(&get->lookup, kv);
    return status;
}

static enum quarry_status read_held(void *argument, struct kv_reading *reading)
{
    struct get *get = argument;
    enum quarry_status status = kv_lookup_run(&get->lookup, reading);

    if (Q_LIKELY(status == QUARRY_OK)) {
        get->value_bytes = get->lookup.value.count;
        status = kv_value_hold(reading->kv, &get->lookup, get->value);
    }
    return finish(get, reading, status);
}

static enum quarry_status read_copied(void *argument, struct kv_reading *reading)
{
    struct get *get = argument;
    enum quarry_status status = kv_lookup_run(&get->lookup, reading);

    if (Q_LIKELY(status == QUARRY_OK)) {
        get->value_bytes = get->lookup.value.count;
        size_t byte_count = size_min(get->value_bytes, get->room_bytes);
        if (byte_count != 0) {
            memcpy(get->room, get->lookup.value.bytes, byte_count);
        }
    }
    return finish(get, reading, status);
}

static enum quarry_status read_nothing(void *argument, struct kv_reading *reading)
{
    struct get *get = argument;

    return finish(get, reading, kv_lookup_run(&get->lookup, reading));
}

enum quarry_status quarry_kv_get(struct quarry_kv *kv, const struct quarry_kv_read_options *options,
                                 const void *key, size_t key_bytes,
                                 struct quarry_kv_value *ret_value, struct quarry_error *error)
{
    struct get get;

    get.value = ret_value;
    kv_lookup_init(&get.lookup, kv, kv_slice(key, key_bytes));
    return kv_read(kv, options, NULL, read_held, &get, error);
}

enum quarry_status quarry_kv_batch_get(struct quarry_kv *kv,
                                       const struct quarry_kv_read_options *options,
                                       struct quarry_kv_batch *batch, const void *key,
                                       size_t key_bytes, struct quarry_kv_value *ret_value,
                                       struct quarry_error *error)
{
    struct get get;

    if (batch->index == NULL) {
        return error_set(error, QUARRY_BAD_INPUT, "the batch was created without an index");
    }
    get.value = ret_value;
    kv_lookup_init(&get.lookup, kv, kv_slice(key, key_bytes));
    return kv_read(kv, options, batch, read_held, &get, error);
}

enum quarry_status quarry_kv_read(struct quarry_kv *kv,
                                  const struct quarry_kv_read_options *options, const void *key,
                                  size_t key_bytes, void *room, size_t room_bytes,
                                  size_t *ret_value_bytes, struct quarry_error *error)
{
    struct get get;

    get.room = room;
    get.room_bytes = room_bytes;
    get.value_bytes = 0;
    kv_lookup_init(&get.lookup, kv, kv_slice(key, key_bytes));
    enum quarry_status status = kv_read(kv, options, NULL, read_copied, &get, error);
    if (status == QUARRY_OK) {
        *ret_value_bytes = get.value_bytes;
    }
    return status;
}

enum quarry_status quarry_kv_exists(struct quarry_kv *kv,
                                    const struct quarry_kv_read_options *options, const void *key,
                                    size_t key_bytes, struct quarry_error *error)
{
    struct get get;

    get.value_bytes = 0;
    kv_lookup_init(&get.lookup, kv, kv_slice(key, key_bytes));
    get.lookup.only_exists = true;
    return kv_read(kv, options, NULL, read_nothing, &get, error);
}
