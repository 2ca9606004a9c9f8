/*
 * Operands of merges, one behind the other in a buffer.
 *
 *     bytes    │ operand │ operand │ operand │
 *     slices   (0, n0)   (n0, n1)   …              offsets, as the buffer moves when it grows
 *
 * They are copied as they are met: a key's operands lie in layers and blocks that would all have to
 * be held else, and are short. When they are resolved offsets become addresses, the oldest first.
 *
 * Locking: none; one reader's. Cost: a copy of each operand.
 */
#include <kv/operands.h>

void kv_operands_init(struct kv_operands *operands, struct kv_memory *memory)
{
    *operands = (struct kv_operands){0};
    kv_buffer_init(&operands->bytes, memory, QUARRY_KV_VALUE_BYTES_MAX);
}

void kv_operands_fini(struct kv_operands *operands)
{
    kv_memory_give(operands->bytes.memory, operands->slices);
    operands->slices = NULL;
    operands->count = operands->capacity = 0;
    kv_buffer_fini(&operands->bytes);
}

enum quarry_status kv_operands_add(struct kv_operands *operands, struct kv_slice operand)
{
    void *slices = operands->slices;
    enum quarry_status status = kv_memory_grow(operands->bytes.memory, &slices, &operands->capacity,
                                               operands->count + 1, sizeof(*operands->slices));

    operands->slices = slices;
    if (status == QUARRY_OK) {
        status = quarry_kv_buffer_append(&operands->bytes, operand.bytes, operand.count);
    }
    if (status == QUARRY_OK) {
        operands->slices[operands->count++] = (struct quarry_kv_slice){NULL, operand.count};
    }
    return status;
}

/* Lengths become slices, the oldest first. */
static void place(struct kv_operands *operands, bool is_newest_first)
{
    const char *at = operands->bytes.byte_count == 0 ? "" : operands->bytes.bytes;

    for (size_t i = 0; i < operands->count; i++) {
        operands->slices[i].bytes = at;
        at += operands->slices[i].byte_count;
    }
    for (size_t i = 0; is_newest_first && i < operands->count / 2; i++) {
        struct quarry_kv_slice older = operands->slices[operands->count - 1 - i];
        operands->slices[operands->count - 1 - i] = operands->slices[i];
        operands->slices[i] = older;
    }
}

enum quarry_status kv_operands_resolve(struct kv_operands *operands,
                                       const struct kv_resolution *resolution,
                                       struct quarry_kv_buffer *result, struct quarry_error *error)
{
    const struct quarry_kv_merge_operator *merge_operator = resolution->merge_operator;
    const struct quarry_kv_slice key = {resolution->key.bytes, resolution->key.count};
    struct quarry_kv_slice base = {0};

    Q_ASSERT(operands->count != 0);
    if (merge_operator == NULL) {
        return error_set(error, QUARRY_UNSUPPORTED,
                         "a key has merges, and the store was opened without a merge operator");
    }
    if (resolution->base != NULL) {
        base = (struct quarry_kv_slice){resolution->base->bytes, resolution->base->count};
    }
    place(operands, resolution->is_newest_first);
    kv_buffer_clear(result);
    enum quarry_status status = merge_operator->merge(merge_operator->argument, key,
                                                      resolution->base == NULL ? NULL : &base,
                                                      operands->slices, operands->count, result);
    kv_operands_clear(operands);
    if (status == QUARRY_CORRUPT) {
        return error_set(error, status, "merge operator %s: the operands of a key make no sense",
                         merge_operator->name);
    }
    return status == QUARRY_OK ? status
                               : error_set(error, status, "merge operator %s: no room for a value",
                                           merge_operator->name);
}
