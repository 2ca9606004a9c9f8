/*
 * Iterators over a table.
 *
 *     position in the index ──→ block, held ──→ cursor ──→ base.key, base.value
 *
 * Seeking reads the block that the key may be in, and the next one only where all of its entries
 * come before the key. Blocks are got when they are entered and let go of when they are left.
 *
 * The quota. While its block fits into the store's quota of pinned bytes, the iterator holds it,
 * and key and value lie in it. Where it does not fit, the iterator copies key and value and lets go
 * of the block at once; to move it gets the block anew, usually from the cache, and goes on at the
 * same offset: slower, by a lookup and two copies for each entry, but no block is kept from
 * eviction. When there is no memory for the copies either it holds the block all the same: a reader
 * never fails for the quota.
 *
 * A block that is held keeps its cell, and a few cells keep a page of the cache: in a small budget
 * 8 MiB of held blocks were seen to keep 32 MiB of pages, and nothing could be flushed. So the
 * quota is halved whenever background work is refused memory, and grows again by small steps as
 * flushes succeed.
 *
 *   1. base.is_valid: the cursor is at base.key, of the block that the position is at; `block` is
 *      held, or is_copied.
 *   2. pinned_bytes is what the iterator has of the quota: of `block`, or 0.
 *
 * Locking: none; an iterator is one thread's.
 */
#include <kv/sst/table_iterator.h>

#include <kv/sst/table.h>

/* A quota below is none: it would hold some blocks, of some iterators. */
#define QUOTA_MIN_BYTES Q_KIB(64)
/* Flushes until a quota of none is the whole one. */
#define QUOTA_STEPS 64u

/* ---- the quota ------------------------------------------------------------------------------ */

void kv_pins_init(struct kv_pins *pins, uint64_t most_bytes)
{
    *pins = (struct kv_pins){.most_bytes = most_bytes, .quota_bytes = most_bytes};
}

bool kv_pins_try_add(struct kv_pins *pins, uint64_t byte_count)
{
    /* Relaxed: a count, of what others do nothing about. */
    uint64_t before = atomic_add_relaxed_u64(&pins->held_bytes, byte_count);

    if (before + byte_count <= atomic_load_relaxed_u64(&pins->quota_bytes)) {
        return true;
    }
    (void)atomic_sub_relaxed_u64(&pins->held_bytes, byte_count);
    return false;
}

void kv_pins_remove(struct kv_pins *pins, uint64_t byte_count)
{
    (void)atomic_sub_relaxed_u64(&pins->held_bytes, byte_count);
}

void kv_pins_shrink(struct kv_pins *pins)
{
    uint64_t half_bytes = atomic_load_relaxed_u64(&pins->quota_bytes) / 2;

    atomic_store_relaxed_u64(&pins->quota_bytes, half_bytes < QUOTA_MIN_BYTES ? 0 : half_bytes);
}

void kv_pins_grow(struct kv_pins *pins)
{
    uint64_t quota_bytes = atomic_load_relaxed_u64(&pins->quota_bytes);

    atomic_store_relaxed_u64(
        &pins->quota_bytes,
        size_min_u64(quota_bytes + pins->most_bytes / QUOTA_STEPS + 1, pins->most_bytes));
}

/* Whether more is held than may be now. */
static bool is_over_quota(const struct kv_pins *pins)
{
    uint64_t quota_bytes = atomic_load_relaxed_u64(&pins->quota_bytes);

    return Q_UNLIKELY(quota_bytes < pins->most_bytes) &&
           atomic_load_relaxed_u64(&pins->held_bytes) > quota_bytes;
}

/* ---- holding blocks ------------------------------------------------------------------------- */

static struct kv_table_iterator *of(struct kv_iterator *base)
{
    return (struct kv_table_iterator *)base;
}

static struct sst_reading reading_of(struct kv_table_iterator *iterator)
{
    return (struct sst_reading){
        .only_cached = iterator->options.only_cached,
        .is_background = iterator->options.is_background,
        .readahead = iterator->options.readahead_bytes != 0 ? &iterator->readahead : NULL,
        .error = iterator->base.error,
    };
}

/* For the index, which is not where the blocks are that are read ahead. */
static struct sst_reading index_reading_of(struct kv_table_iterator *iterator)
{
    struct sst_reading reading = reading_of(iterator);

    reading.readahead = NULL;
    return reading;
}

static const struct sst_heap *heap_of(const struct kv_table_iterator *iterator)
{
    return &iterator->table->tables->heap;
}

static void drop_block(struct kv_table_iterator *iterator)
{
    if (iterator->pinned_bytes != 0) {
        kv_pins_remove(iterator->options.pins, iterator->pinned_bytes);
        iterator->pinned_bytes = 0;
    }
    quarry_block_release(iterator->table->tables->cache, &iterator->block);
}

/* Gets the block that the position is at. The cursor is left alone. */
static enum quarry_status hold_block(struct kv_table_iterator *iterator)
{
    const struct sst_reading reading = reading_of(iterator);

    drop_block(iterator);
    enum quarry_status status =
        sst_table_block(iterator->table, &reading, QUARRY_BLOCK_DATA,
                        sst_position_handle(&iterator->position), NULL, &iterator->block);
    if (status == QUARRY_OK && iterator->options.pins != NULL) {
        uint64_t byte_count = quarry_block_bytes(&iterator->block);
        iterator->pinned_bytes =
            kv_pins_try_add(iterator->options.pins, byte_count) ? byte_count : 0;
    }
    return status;
}

static enum quarry_status enter_block(struct kv_table_iterator *iterator)
{
    enum quarry_status status = hold_block(iterator);

    iterator->is_copied = false;
    if (status == QUARRY_OK) {
        const struct sst_block block = sst_block_of(&iterator->block);
        sst_cursor_set(&iterator->cursor, &block);
    }
    return status;
}

/* Before it moves: has the block again, if it was let go of. */
static enum quarry_status come_back(struct kv_table_iterator *iterator)
{
    if (Q_LIKELY(!iterator->is_copied)) {
        return QUARRY_OK;
    }
    enum quarry_status status = hold_block(iterator);
    if (status == QUARRY_OK) {
        const struct sst_block block = sst_block_of(&iterator->block);
        sst_cursor_rebase(&iterator->cursor, &block);
        iterator->is_copied = false;
    }
    return status;
}

/* Copies key and value, and lets go of the block. Without memory it does nothing. */
Q_COLD static void copy_out(struct kv_table_iterator *iterator)
{
    const struct sst_heap *heap = heap_of(iterator);
    struct sst_buffer *value = &iterator->copied_value;

    value->count = 0;
    if (sst_cursor_own_key(&iterator->cursor, heap) != QUARRY_OK ||
        sst_buffer_append(heap, value, iterator->cursor.value.bytes,
                          iterator->cursor.value.count) != QUARRY_OK) {
        return;
    }
    drop_block(iterator);
    iterator->is_copied = true;
    /* Relaxed: a figure. */
    (void)atomic_add_relaxed_u64(&iterator->options.pins->copied_count, 1);
}

/* ---- telling where it is -------------------------------------------------------------------- */

static void fail(struct kv_table_iterator *iterator, enum quarry_status status)
{
    drop_block(iterator);
    iterator->is_copied = false;
    iterator->base.is_valid = false;
    iterator->base.status = status;
}

static void end(struct kv_table_iterator *iterator)
{
    drop_block(iterator);
    iterator->is_copied = false;
    iterator->base.is_valid = false;
    iterator->base.status = QUARRY_OK;
}

/* The cursor is at an entry: makes it the iterator's. */
static void publish(struct kv_table_iterator *iterator)
{
    struct kv_iterator *base = &iterator->base;
    const struct kv_table *table = iterator->table;
    uint64_t trailer = iterator->cursor.key.trailer;

    if (Q_UNLIKELY(!sst_type_is_known(trailer))) {
        fail(iterator,
             sst_table_refuse_type(table, base->error,
                                   sst_position_handle(&iterator->position).offset, trailer));
        return;
    }
    const struct kv_pins *pins = iterator->options.pins;
    if (pins != NULL && Q_UNLIKELY(iterator->pinned_bytes == 0 || is_over_quota(pins))) {
        copy_out(iterator);
    }
    base->key = iterator->cursor.key;
    base->value = iterator->is_copied
                      ? kv_slice(iterator->copied_value.bytes, iterator->copied_value.count)
                      : iterator->cursor.value;
    if (Q_UNLIKELY(table->global_sequence != SST_NO_SEQUENCE)) {
        base->key.trailer = kv_trailer(table->global_sequence, kv_trailer_type(trailer));
    }
    base->is_valid = true;
    base->status = QUARRY_OK;
}

/* ---- moving --------------------------------------------------------------------------------- */

/* To the next block's first entry, or the end, where the cursor has passed its block's. */
static enum quarry_status go_on_forward(struct kv_table_iterator *iterator)
{
    const struct sst_reading reading = index_reading_of(iterator);
    enum quarry_status status = sst_position_next(iterator->table, &iterator->position, &reading);

    if (status != QUARRY_OK || !sst_position_is_valid(&iterator->position)) {
        return status;
    }
    status = enter_block(iterator);
    return status != QUARRY_OK ? status : sst_cursor_first(&iterator->cursor, heap_of(iterator));
}

static enum quarry_status go_on_backward(struct kv_table_iterator *iterator)
{
    const struct sst_reading reading = index_reading_of(iterator);
    enum quarry_status status =
        sst_position_previous(iterator->table, &iterator->position, &reading);

    if (status != QUARRY_OK || !sst_position_is_valid(&iterator->position)) {
        return status;
    }
    status = enter_block(iterator);
    return status != QUARRY_OK ? status : sst_cursor_last(&iterator->cursor, heap_of(iterator));
}

/* What a move has come to. */
static void settle(struct kv_table_iterator *iterator, enum quarry_status status)
{
    if (Q_UNLIKELY(status != QUARRY_OK)) {
        fail(iterator, status);
    } else if (!sst_position_is_valid(&iterator->position) || !iterator->cursor.is_valid) {
        end(iterator);
    } else {
        publish(iterator);
    }
}

static void next(struct kv_iterator *base)
{
    struct kv_table_iterator *iterator = of(base);

    Q_DCHECK(base->is_valid);
    enum quarry_status status = come_back(iterator);
    if (Q_LIKELY(status == QUARRY_OK)) {
        status = sst_cursor_next(&iterator->cursor, heap_of(iterator));
    }
    if (status == QUARRY_OK && !iterator->cursor.is_valid) {
        status = go_on_forward(iterator);
    }
    settle(iterator, status);
}

static void previous(struct kv_iterator *base)
{
    struct kv_table_iterator *iterator = of(base);

    Q_DCHECK(base->is_valid);
    enum quarry_status status = come_back(iterator);
    if (Q_LIKELY(status == QUARRY_OK)) {
        status = sst_cursor_previous(&iterator->cursor, heap_of(iterator));
    }
    if (status == QUARRY_OK && !iterator->cursor.is_valid) {
        status = go_on_backward(iterator);
    }
    settle(iterator, status);
}

static void first(struct kv_iterator *base)
{
    struct kv_table_iterator *iterator = of(base);
    const struct sst_reading reading = index_reading_of(iterator);
    enum quarry_status status = sst_position_first(iterator->table, &iterator->position, &reading);

    iterator->cursor.is_valid = false;
    if (status == QUARRY_OK && sst_position_is_valid(&iterator->position)) {
        status = enter_block(iterator);
        if (status == QUARRY_OK) {
            status = sst_cursor_first(&iterator->cursor, heap_of(iterator));
        }
    }
    settle(iterator, status);
}

static void last(struct kv_iterator *base)
{
    struct kv_table_iterator *iterator = of(base);
    const struct sst_reading reading = index_reading_of(iterator);
    enum quarry_status status = sst_position_last(iterator->table, &iterator->position, &reading);

    iterator->cursor.is_valid = false;
    if (status == QUARRY_OK && sst_position_is_valid(&iterator->position)) {
        status = enter_block(iterator);
        if (status == QUARRY_OK) {
            status = sst_cursor_last(&iterator->cursor, heap_of(iterator));
        }
    }
    settle(iterator, status);
}

/* To the first entry at or after a key as the file has it. */
static void seek_stored(struct kv_table_iterator *iterator, struct kv_key key)
{
    const struct sst_reading reading = index_reading_of(iterator);
    uint64_t offset = iterator->block.data == NULL || !iterator->base.is_valid
                          ? UINT64_MAX
                          : sst_position_handle(&iterator->position).offset;
    enum quarry_status status =
        sst_position_seek(iterator->table, &iterator->position, &reading, key);

    iterator->cursor.is_valid = false;
    if (status == QUARRY_OK && sst_position_is_valid(&iterator->position)) {
        /* Where it is in the block already, that is not looked up again. */
        if (sst_position_handle(&iterator->position).offset != offset) {
            status = enter_block(iterator);
        }
        if (status == QUARRY_OK) {
            status = sst_cursor_seek(&iterator->cursor, heap_of(iterator),
                                     iterator->table->tables->comparator, key);
        }
        if (status == QUARRY_OK && !iterator->cursor.is_valid) {
            status = go_on_forward(iterator);
        }
    }
    settle(iterator, status);
}

static void seek(struct kv_iterator *base, struct kv_key key)
{
    struct kv_table_iterator *iterator = of(base);
    const struct quarry_kv_comparator *comparator = iterator->table->tables->comparator;

    if (Q_LIKELY(iterator->table->global_sequence == SST_NO_SEQUENCE)) {
        seek_stored(iterator, key);
        return;
    }
    seek_stored(iterator, (struct kv_key){key.user, UINT64_MAX});
    while (base->is_valid && kv_compare_keys(comparator, base->key, key) < 0) {
        next(base);
    }
}

static void seek_before(struct kv_iterator *base, struct kv_key key)
{
    seek(base, key);
    if (base->is_valid) {
        previous(base);
    } else if (base->status == QUARRY_OK) {
        last(base);
    }
}

static void fini(struct kv_iterator *base)
{
    struct kv_table_iterator *iterator = of(base);
    const struct sst_heap *heap = heap_of(iterator);

    drop_block(iterator);
    sst_position_fini(iterator->table, &iterator->position);
    sst_cursor_fini(&iterator->cursor, heap);
    sst_buffer_fini(heap, &iterator->copied_value);
    sst_buffer_fini(heap, &iterator->readahead.bytes);
    base->is_valid = false;
}

void kv_table_iterator_init(struct kv_table_iterator *iterator, struct kv_table *table,
                            const struct kv_table_iterator_options *options,
                            struct quarry_error *error)
{
    static const struct kv_iterator_ops ops = {
        .first = first,
        .last = last,
        .seek = seek,
        .seek_before = seek_before,
        .next = next,
        .previous = previous,
        .fini = fini,
    };

    /* Not all of it: the array of entries behind is written before it is read. */
    iterator->base = (struct kv_iterator){.ops = &ops, .error = error};
    iterator->table = table;
    iterator->options = options == NULL ? (struct kv_table_iterator_options){0} : *options;
    iterator->position = (struct sst_index_position){0};
    iterator->block = (struct quarry_block){0};
    sst_cursor_init(&iterator->cursor);
    iterator->pinned_bytes = 0;
    iterator->is_copied = false;
    iterator->copied_value = (struct sst_buffer){0};
    iterator->readahead = (struct sst_readahead){.chunk_bytes = iterator->options.readahead_bytes};
}
