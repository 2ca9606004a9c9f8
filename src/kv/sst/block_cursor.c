/*
 * A cursor in a parsed block.
 *
 *     forward     the key is its predecessor's first bytes and the entry's own: only what differs
 *                 is copied. A key that shares nothing is left where it is in the block.
 *     backward    the entries from the restart up to where it is are put together once, and then
 *                 handed out from the last to the first:
 *
 *                     restart ┐                 ┌ here
 *                     | entry | entry | entry | entry |
 *                       behind[0] behind[1] behind[2]     keys whole, in behind_keys
 *
 *                 so that a step back costs what a step forward does. Of intervals longer than
 *                 SST_BEHIND_MAX only the last so many are kept, and it is walked again for the
 * next.
 *
 *   1. key.user.bytes is followed by the trailer, wherever the key lies: in the block, key_bytes or
 *      behind_keys.
 *   2. behind[0 .. behind_count) are the entries just before the one it is at; any move but back
 *      forgets them.
 */
#include <kv/sst/block_read.h>

#include <string.h>

static size_t whole_key_bytes(const struct sst_cursor *cursor)
{
    return cursor->key.user.count + KV_TRAILER_BYTES;
}

static void take_key(struct sst_cursor *cursor, const char *bytes, size_t byte_count)
{
    cursor->key.user = kv_slice(bytes, byte_count - KV_TRAILER_BYTES);
    cursor->key.trailer = endian_load_le_u64(bytes + byte_count - KV_TRAILER_BYTES);
}

/* Puts the key together in key_bytes, of what the last one shares and the rest. */
static enum quarry_status join_key(struct sst_cursor *cursor, const struct sst_heap *heap,
                                   const char *rest, size_t shared, size_t rest_bytes)
{
    struct sst_buffer *buffer = &cursor->key_bytes;
    bool is_there = cursor->key.user.bytes == buffer->bytes;

    buffer->count = is_there ? shared : 0;
    enum quarry_status status =
        sst_buffer_reserve(heap, buffer, shared + rest_bytes - buffer->count);
    if (status != QUARRY_OK) {
        cursor->is_valid = false;
        return status;
    }
    if (!is_there) {
        memcpy(buffer->bytes, cursor->key.user.bytes, shared);
    }
    memcpy(buffer->bytes + shared, rest, rest_bytes);
    buffer->count = shared + rest_bytes;
    take_key(cursor, buffer->bytes, buffer->count);
    return QUARRY_OK;
}

/* To the entry at `offset`, whose predecessor it is at, or which shares nothing. */
static inline enum quarry_status enter(struct sst_cursor *cursor, const struct sst_heap *heap,
                                       uint32_t offset)
{
    uint32_t shared, rest, value_bytes;
    const char *bytes = cursor->block.bytes;

    if (Q_UNLIKELY(offset >= cursor->block.head->restarts.entries_bytes)) {
        cursor->is_valid = false;
        cursor->offset = offset;
        return QUARRY_OK;
    }
    const char *at = sst_entry_read(bytes + offset, &shared, &rest, &value_bytes);
    if (shared == 0) {
        take_key(cursor, at, rest);
    } else {
        enum quarry_status status = join_key(cursor, heap, at, shared, rest);
        if (Q_UNLIKELY(status != QUARRY_OK)) {
            return status;
        }
    }
    cursor->value = kv_slice(at + rest, value_bytes);
    cursor->offset = offset;
    cursor->next_offset = (uint32_t)(at + rest + value_bytes - bytes);
    cursor->is_valid = true;
    return QUARRY_OK;
}

void sst_cursor_init(struct sst_cursor *cursor)
{
    cursor->block = (struct sst_block){0};
    cursor->is_valid = false;
    cursor->key = (struct kv_key){0};
    cursor->value = (struct kv_slice){0};
    cursor->offset = cursor->next_offset = 0;
    cursor->key_bytes = (struct sst_buffer){0};
    cursor->behind_count = 0;
    cursor->behind_keys = (struct sst_buffer){0};
}

void sst_cursor_set(struct sst_cursor *cursor, const struct sst_block *block)
{
    cursor->block = *block;
    cursor->is_valid = false;
    cursor->key = (struct kv_key){0};
    cursor->behind_count = 0;
    cursor->offset = cursor->next_offset = 0;
}

enum quarry_status sst_cursor_first(struct sst_cursor *cursor, const struct sst_heap *heap)
{
    cursor->behind_count = 0;
    return enter(cursor, heap, 0);
}

enum quarry_status sst_cursor_next(struct sst_cursor *cursor, const struct sst_heap *heap)
{
    Q_DCHECK(cursor->is_valid);
    cursor->behind_count = 0;
    return enter(cursor, heap, cursor->next_offset);
}

/* ---- backwards ------------------------------------------------------------------------------ */

/* The offset of the last restart below `offset`, which is not 0. */
static uint32_t restart_before(const struct sst_block *block, uint32_t offset)
{
    uint32_t low = 0, high = block->head->restarts.count;

    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (sst_block_restart_offset(block, middle) < offset) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return sst_block_restart_offset(block, low);
}

static uint32_t count_entries(const struct sst_block *block, uint32_t from, uint32_t to)
{
    const char *at = block->bytes + from, *end = block->bytes + to;
    uint32_t count = 0;

    while (at < end) {
        uint32_t shared, rest, value_bytes;
        at = sst_entry_read(at, &shared, &rest, &value_bytes);
        at += rest + value_bytes;
        count++;
    }
    return count;
}

/*
 * Puts a key together behind the last one; or in its place, where that is not kept.
 * `last`: written: where the key is.
 */
static enum quarry_status remember(struct sst_cursor *cursor, const struct sst_heap *heap,
                                   struct sst_behind *last, bool keeps_last, const char *rest,
                                   uint32_t shared, uint32_t rest_bytes)
{
    struct sst_buffer *keys = &cursor->behind_keys;
    uint32_t place = keeps_last ? (uint32_t)keys->count : 0;

    keys->count = keeps_last ? keys->count : shared;
    enum quarry_status status =
        sst_buffer_reserve(heap, keys, (size_t)place + shared + rest_bytes - keys->count);
    if (status != QUARRY_OK) {
        return status;
    }
    if (keeps_last) {
        memcpy(keys->bytes + place, keys->bytes + last->key_offset, shared);
    }
    memcpy(keys->bytes + place + shared, rest, rest_bytes);
    keys->count = (size_t)place + shared + rest_bytes;
    last->key_offset = place;
    last->key_bytes = shared + rest_bytes;
    return QUARRY_OK;
}

/* Fills `behind` with the entries before `end`, of the interval that leads up to it. */
static enum quarry_status look_back(struct sst_cursor *cursor, const struct sst_heap *heap,
                                    uint32_t end)
{
    const struct sst_block *block = &cursor->block;
    uint32_t offset = restart_before(block, end);
    uint32_t count = count_entries(block, offset, end);
    uint32_t dropped = count > SST_BEHIND_MAX ? count - SST_BEHIND_MAX : 0;
    struct sst_behind last = {0};
    enum quarry_status status = QUARRY_OK;

    cursor->behind_count = 0;
    cursor->behind_keys.count = 0;
    for (uint32_t i = 0; i < count && status == QUARRY_OK; i++) {
        uint32_t shared, rest, value_bytes;
        const char *at = sst_entry_read(block->bytes + offset, &shared, &rest, &value_bytes);
        status = remember(cursor, heap, &last, i > dropped, at, shared, rest);
        last.offset = offset;
        if (status == QUARRY_OK && i >= dropped) {
            cursor->behind[cursor->behind_count++] = last;
        }
        offset = (uint32_t)(at + rest + value_bytes - block->bytes);
    }
    if (status != QUARRY_OK) {
        cursor->behind_count = 0;
        cursor->is_valid = false;
    }
    return status;
}

/* To the entry before `offset`. */
static enum quarry_status step_back(struct sst_cursor *cursor, const struct sst_heap *heap,
                                    uint32_t offset)
{
    if (offset == 0) {
        cursor->is_valid = false;
        return QUARRY_OK;
    }
    if (cursor->behind_count == 0) {
        enum quarry_status status = look_back(cursor, heap, offset);
        if (status != QUARRY_OK) {
            return status;
        }
    }
    const struct sst_behind *behind = &cursor->behind[--cursor->behind_count];
    uint32_t shared, rest, value_bytes;
    const char *at =
        sst_entry_read(cursor->block.bytes + behind->offset, &shared, &rest, &value_bytes);
    take_key(cursor, cursor->behind_keys.bytes + behind->key_offset, behind->key_bytes);
    cursor->value = kv_slice(at + rest, value_bytes);
    cursor->offset = behind->offset;
    cursor->next_offset = offset;
    cursor->is_valid = true;
    return QUARRY_OK;
}

enum quarry_status sst_cursor_previous(struct sst_cursor *cursor, const struct sst_heap *heap)
{
    Q_DCHECK(cursor->is_valid);
    return step_back(cursor, heap, cursor->offset);
}

enum quarry_status sst_cursor_last(struct sst_cursor *cursor, const struct sst_heap *heap)
{
    cursor->behind_count = 0;
    return step_back(cursor, heap, cursor->block.head->restarts.entries_bytes);
}

/* ---- seeking -------------------------------------------------------------------------------- */

enum quarry_status sst_cursor_seek(struct sst_cursor *cursor, const struct sst_heap *heap,
                                   const struct quarry_kv_comparator *comparator, struct kv_key key)
{
    uint32_t restart = sst_block_restart(&cursor->block, comparator, key);

    cursor->behind_count = 0;
    enum quarry_status status =
        enter(cursor, heap, sst_block_restart_offset(&cursor->block, restart));
    while (status == QUARRY_OK && cursor->is_valid &&
           kv_compare_keys(comparator, cursor->key, key) < 0) {
        status = enter(cursor, heap, cursor->next_offset);
    }
    return status;
}

enum quarry_status sst_cursor_seek_before(struct sst_cursor *cursor, const struct sst_heap *heap,
                                          const struct quarry_kv_comparator *comparator,
                                          struct kv_key key)
{
    enum quarry_status status = sst_cursor_seek(cursor, heap, comparator, key);

    if (status != QUARRY_OK) {
        return status;
    }
    return step_back(cursor, heap, cursor->offset);
}

/* ---- letting go of the block ---------------------------------------------------------------- */

enum quarry_status sst_cursor_own_key(struct sst_cursor *cursor, const struct sst_heap *heap)
{
    const char *bytes = cursor->key.user.bytes;
    const struct sst_buffer *behind = &cursor->behind_keys;

    Q_ASSERT(cursor->is_valid);
    if (bytes == cursor->key_bytes.bytes ||
        (bytes >= behind->bytes && bytes < behind->bytes + behind->count)) {
        return QUARRY_OK;
    }
    cursor->key_bytes.count = 0;
    enum quarry_status status =
        sst_buffer_append(heap, &cursor->key_bytes, bytes, whole_key_bytes(cursor));
    if (status == QUARRY_OK) {
        take_key(cursor, cursor->key_bytes.bytes, cursor->key_bytes.count);
    }
    return status;
}

void sst_cursor_rebase(struct sst_cursor *cursor, const struct sst_block *block)
{
    Q_ASSERT(cursor->is_valid && cursor->next_offset <= block->head->restarts.entries_bytes);
    cursor->block = *block;
    cursor->value =
        kv_slice(block->bytes + cursor->next_offset - cursor->value.count, cursor->value.count);
}

void sst_cursor_fini(struct sst_cursor *cursor, const struct sst_heap *heap)
{
    sst_buffer_fini(heap, &cursor->key_bytes);
    sst_buffer_fini(heap, &cursor->behind_keys);
    cursor->is_valid = false;
}
