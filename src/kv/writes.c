/*
 * The calls that write: one change at a time, or a batch.
 *
 *     | sequence, later | 1 change | tag | length | key | length | value |
 *     0                 8          12
 *
 * One change is a batch of one, put together on the stack where it is short, else in the store's
 * memory. From there on all are the same: kv_commit.
 */
#include <kv/commit_parts.h>

#include <os/os.h>

#include <kv/background.h>
#include <kv/log_set.h>

/* Put together on the stack. Longer ones cost an allocation, of a microsecond's copying. */
#define ROOM_BYTES 2048u

static char *put_slice(char *at, struct kv_slice slice)
{
    at += varint_put_u32((uint8_t *)at, (uint32_t)slice.count);
    if (slice.count != 0) {
        memcpy(at, slice.bytes, slice.count);
    }
    return at + slice.count;
}

/* A batch of one change. `value`: bytes NULL: it has none. Returns: its bytes. */
static size_t put_change(char *at, enum kv_type type, struct kv_slice key,
                         const struct kv_slice *value)
{
    char *begin = at;

    endian_store_le_u64(at, 0);
    endian_store_le_u32(at + 8, 1);
    at[KV_BATCH_HEADER_BYTES] = (char)type;
    at = put_slice(at + KV_BATCH_HEADER_BYTES + 1, key);
    if (value != NULL) {
        at = put_slice(at, *value);
    }
    return (size_t)(at - begin);
}

static enum quarry_status check_lengths(struct quarry_kv *kv, struct kv_slice key,
                                        const struct kv_slice *value, enum kv_type type,
                                        struct quarry_error *error)
{
    if (Q_UNLIKELY(key.count > kv->options.key_bytes_max)) {
        return error_set(error, QUARRY_TOO_LARGE, "store '%s': a key of %zu bytes, at most %llu",
                         kv->path, key.count, (unsigned long long)kv->options.key_bytes_max);
    }
    /* Where a range ends is a key. */
    uint64_t limit =
        type == KV_TYPE_RANGE_DELETE ? kv->options.key_bytes_max : kv->options.value_bytes_max;
    if (Q_UNLIKELY(value != NULL && value->count > limit)) {
        return error_set(error, QUARRY_TOO_LARGE, "store '%s': a value of %zu bytes, at most %llu",
                         kv->path, value->count, (unsigned long long)limit);
    }
    return QUARRY_OK;
}

static Q_COLD enum quarry_status
write_long(struct quarry_kv *kv, const struct quarry_kv_write_options *options, enum kv_type type,
           struct kv_slice key, const struct kv_slice *value, struct quarry_error *error)
{
    struct kv_memory *memory = &kv->small[KV_PART_READ];
    size_t room_bytes = KV_BATCH_HEADER_BYTES + 1 + 2 * VARINT_U32_BYTES_MAX + key.count +
                        (value == NULL ? 0 : value->count);
    const struct kv_memory_want want = {.byte_count = room_bytes,
                                        .change_count = 1,
                                        .never_waits = options != NULL && options->never_waits};
    struct kv_memory_wait wait = {0};
    char *room;

    while ((room = kv_memory_take(memory, room_bytes)) == NULL) {
        enum quarry_status status = kv_commit_find_memory(kv, &want, &wait, error);
        if (status != QUARRY_OK) {
            return status;
        }
    }
    size_t byte_count = put_change(room, type, key, value);
    enum quarry_status status = kv_commit(kv, options, kv_slice(room, byte_count), error);
    kv_memory_give(memory, room);
    return status;
}

static inline enum quarry_status write_one(struct quarry_kv *kv,
                                           const struct quarry_kv_write_options *options,
                                           enum kv_type type, struct kv_slice key,
                                           const struct kv_slice *value, struct quarry_error *error)
{
    char room[ROOM_BYTES];
    enum quarry_status status = check_lengths(kv, key, value, type, error);
    size_t most_bytes = KV_BATCH_HEADER_BYTES + 1 + 2 * VARINT_U32_BYTES_MAX;

    if (Q_UNLIKELY(status != QUARRY_OK)) {
        return status;
    }
    if (Q_UNLIKELY(most_bytes + key.count + (value == NULL ? 0 : value->count) > sizeof(room))) {
        return write_long(kv, options, type, key, value, error);
    }
    size_t byte_count = put_change(room, type, key, value);
    return kv_commit(kv, options, kv_slice(room, byte_count), error);
}

enum quarry_status quarry_kv_put(struct quarry_kv *kv,
                                 const struct quarry_kv_write_options *options, const void *key,
                                 size_t key_bytes, const void *value, size_t value_bytes,
                                 struct quarry_error *error)
{
    struct kv_slice value_slice = kv_slice(value, value_bytes);

    return write_one(kv, options, KV_TYPE_PUT, kv_slice(key, key_bytes), &value_slice, error);
}

enum quarry_status quarry_kv_delete(struct quarry_kv *kv,
                                    const struct quarry_kv_write_options *options, const void *key,
                                    size_t key_bytes, struct quarry_error *error)
{
    return write_one(kv, options, KV_TYPE_DELETE, kv_slice(key, key_bytes), NULL, error);
}

enum quarry_status quarry_kv_single_delete(struct quarry_kv *kv,
                                           const struct quarry_kv_write_options *options,
                                           const void *key, size_t key_bytes,
                                           struct quarry_error *error)
{
    return write_one(kv, options, KV_TYPE_SINGLE_DELETE, kv_slice(key, key_bytes), NULL, error);
}

enum quarry_status quarry_kv_delete_range(struct quarry_kv *kv,
                                          const struct quarry_kv_write_options *options,
                                          const void *begin, size_t begin_bytes, const void *end,
                                          size_t end_bytes, struct quarry_error *error)
{
    struct kv_slice end_slice = kv_slice(end, end_bytes);
    int order = kv_compare(kv->comparator, kv_slice(begin, begin_bytes), end_slice);

    if (order > 0) {
        return error_set(error, QUARRY_BAD_INPUT, "store '%s': a range that ends before it begins",
                         kv->path);
    }
    return write_one(kv, options, KV_TYPE_RANGE_DELETE, kv_slice(begin, begin_bytes), &end_slice,
                     error);
}

enum quarry_status quarry_kv_merge(struct quarry_kv *kv,
                                   const struct quarry_kv_write_options *options, const void *key,
                                   size_t key_bytes, const void *operand, size_t operand_bytes,
                                   struct quarry_error *error)
{
    struct kv_slice operand_slice = kv_slice(operand, operand_bytes);

    return write_one(kv, options, KV_TYPE_MERGE, kv_slice(key, key_bytes), &operand_slice, error);
}

/* ---- batches -------------------------------------------------------------------------------- */

static enum quarry_status find_memory(void *argument, const struct kv_batch_want *batch,
                                      struct kv_memory_wait *wait)
{
    const struct kv_memory_want want = {.byte_count = batch->byte_count,
                                        .change_count = batch->change_count,
                                        .never_waits = batch->never_waits};

    return kv_commit_find_memory(argument, &want, wait, NULL);
}

static enum quarry_status create_batch(struct quarry_kv *kv, bool is_indexed, bool never_waits,
                                       struct quarry_kv_batch **ret_batch)
{
    const struct kv_batch_options options = {.memory = &kv->small[KV_PART_READ],
                                             .comparator = kv->comparator,
                                             .key_bytes_max = kv->options.key_bytes_max,
                                             .value_bytes_max = kv->options.value_bytes_max,
                                             .find_memory = find_memory,
                                             .argument = kv,
                                             .never_waits = never_waits};

    return kv_batch_create(&options, is_indexed, ret_batch);
}

enum quarry_status quarry_kv_batch_create(struct quarry_kv *kv, bool is_indexed,
                                          struct quarry_kv_batch **ret_batch)
{
    return create_batch(kv, is_indexed, false, ret_batch);
}

enum quarry_status quarry_kv_batch_try_create(struct quarry_kv *kv, bool is_indexed,
                                              struct quarry_kv_batch **ret_batch)
{
    return create_batch(kv, is_indexed, true, ret_batch);
}

enum quarry_status quarry_kv_write(struct quarry_kv *kv,
                                   const struct quarry_kv_write_options *options,
                                   struct quarry_kv_batch *batch, struct quarry_error *error)
{
    return kv_commit(kv, options, kv_batch_slice(batch), error);
}

enum quarry_status quarry_kv_write_data(struct quarry_kv *kv,
                                        const struct quarry_kv_write_options *options,
                                        struct quarry_kv_slice data, struct quarry_error *error)
{
    return kv_commit(kv, options, kv_slice(data.bytes, data.byte_count), error);
}

/* ---- durability ----------------------------------------------------------------------------- */

static uint64_t current_log(struct quarry_kv *kv)
{
    os_mutex_lock(&kv->commit_mutex);
    uint64_t number = kv_log_set_number(kv->log);
    os_mutex_unlock(&kv->commit_mutex);
    return number;
}

enum quarry_status quarry_kv_sync(struct quarry_kv *kv, struct quarry_error *error)
{
    if (kv->is_read_only) {
        return kv_may_write(kv, error);
    }
    if (kv->log == NULL) {
        return quarry_kv_flush(kv, error);
    }
    enum quarry_status status = kv_log_set_sync(kv->log, current_log(kv), UINT64_MAX, error);
    if (status != QUARRY_OK) {
        kv_commit_log_failed(kv);
    }
    return status;
}
