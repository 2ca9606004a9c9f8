/*
 * Memory of the keyspace's own: objects of a pool, charged to its account as they are taken.
 *
 * Keys are put together with their scopes in a room on the caller's stack; longer ones are rare,
 * and take memory for as long as the call.
 */
#include <keyspace/types.h>

void *keyspace_memory_take(const struct keyspace_memory *memory, size_t byte_count)
{
    void *object = NULL;

    Q_ASSERT(byte_count != 0);
    if (quarry_pool_alloc(memory->pool, byte_count, &object) != QUARRY_OK) {
        return NULL;
    }
    if (quarry_account_charge(memory->account, quarry_usable_size(memory->pool, object)) !=
        QUARRY_OK) {
        quarry_free(memory->pool, object);
        return NULL;
    }
    return object;
}

void keyspace_memory_give(const struct keyspace_memory *memory, void *object)
{
    if (object == NULL) {
        return;
    }
    size_t byte_count = quarry_usable_size(memory->pool, object);
    quarry_free(memory->pool, object);
    quarry_account_uncharge(memory->account, byte_count);
}

enum quarry_status keyspace_room_key_slow(struct keyspace *keyspace, size_t byte_count,
                                          struct keyspace_room *room, struct quarry_error *error)
{
    size_t room_bytes;

    if (!checked_add_size(byte_count, KEYSPACE_PREFIX_BYTES, &room_bytes) ||
        byte_count > QUARRY_KV_KEY_BYTES_MAX) {
        return error_set(error, QUARRY_TOO_LARGE, "a key of %zu bytes", byte_count);
    }
    room->own = keyspace_take(keyspace, room_bytes);
    if (room->own == NULL) {
        return error_set(error, QUARRY_NO_MEMORY, "no memory for a key of %zu bytes", byte_count);
    }
    return QUARRY_OK;
}
