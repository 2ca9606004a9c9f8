/*
 * Places in a table's index, of one level or two.
 *
 *     one level     top = leaf ─→ data blocks
 *     two levels    top ─→ leaf, by way of the cache ─→ data blocks
 *
 * A position holds the blocks of the cache that it is in, but for those that the table holds while
 * it is open. The leaf is exchanged as the position moves; the top stays until the position ends.
 *
 *   1. leaf is NULL: nowhere. Else entry < leaf->count and, of two levels, top_entry < top->count.
 *   2. A leaf may be empty in damaged files only; such leaves are passed over.
 */
#include <kv/sst/table.h>

static enum quarry_status hold_top(struct kv_table *table, struct sst_index_position *position,
                                   const struct sst_reading *reading)
{
    if (Q_LIKELY(position->top != NULL)) {
        return QUARRY_OK;
    }
    if (Q_LIKELY(table->index != NULL)) {
        position->top = table->index;
        return QUARRY_OK;
    }
    const struct sst_index_form *form = table->is_two_level ? &table->top_form : &table->index_form;
    enum quarry_status status = sst_table_block(table, reading, QUARRY_BLOCK_INDEX,
                                                table->footer.index, form, &position->top_block);
    if (status == QUARRY_OK) {
        position->top = quarry_block_data(&position->top_block);
    }
    return status;
}

static void drop_leaf(const struct kv_table *table, struct sst_index_position *position)
{
    quarry_block_release(table->tables->cache, &position->leaf_block);
    position->leaf = NULL;
}

void sst_position_fini(const struct kv_table *table, struct sst_index_position *position)
{
    drop_leaf(table, position);
    quarry_block_release(table->tables->cache, &position->top_block);
    position->top = NULL;
}

/* Makes the leaf of a top's entry the position's. */
static enum quarry_status enter_leaf(struct kv_table *table, struct sst_index_position *position,
                                     const struct sst_reading *reading, uint32_t top_entry)
{
    struct quarry_block block;
    enum quarry_status status =
        sst_table_block(table, reading, QUARRY_BLOCK_INDEX,
                        sst_index_handle(position->top, top_entry), &table->index_form, &block);

    drop_leaf(table, position);
    if (status == QUARRY_OK) {
        position->leaf_block = block;
        position->leaf = quarry_block_data(&block);
        position->top_entry = top_entry;
    }
    return status;
}

/* To the first entry of the first leaf from `top_entry` on that has one; else nowhere. */
static enum quarry_status enter_forward(struct kv_table *table, struct sst_index_position *position,
                                        const struct sst_reading *reading, uint32_t top_entry)
{
    enum quarry_status status = QUARRY_OK;

    for (uint32_t i = top_entry; i < position->top->count; i++) {
        status = enter_leaf(table, position, reading, i);
        if (status != QUARRY_OK || position->leaf->count != 0) {
            position->entry = 0;
            return status;
        }
    }
    drop_leaf(table, position);
    return status;
}

/* To the last entry of the last leaf before `top_end` that has one; else nowhere. */
static enum quarry_status enter_backward(struct kv_table *table,
                                         struct sst_index_position *position,
                                         const struct sst_reading *reading, uint32_t top_end)
{
    enum quarry_status status = QUARRY_OK;

    for (uint32_t i = top_end; i-- > 0;) {
        status = enter_leaf(table, position, reading, i);
        if (status != QUARRY_OK || position->leaf->count != 0) {
            position->entry = status == QUARRY_OK ? position->leaf->count - 1 : 0;
            return status;
        }
    }
    drop_leaf(table, position);
    return status;
}

/* Of one level: to an entry, or nowhere. */
static void enter_single(struct sst_index_position *position, uint32_t entry)
{
    position->leaf = entry < position->top->count ? position->top : NULL;
    position->entry = entry;
}

enum quarry_status sst_position_seek(struct kv_table *table, struct sst_index_position *position,
                                     const struct sst_reading *reading, struct kv_key key)
{
    const struct quarry_kv_comparator *comparator = table->tables->comparator;
    enum quarry_status status = hold_top(table, position, reading);

    if (Q_UNLIKELY(status != QUARRY_OK)) {
        return status;
    }
    uint32_t entry = sst_index_find(position->top, comparator, key);
    if (Q_LIKELY(!table->is_two_level)) {
        enter_single(position, entry);
        return QUARRY_OK;
    }
    if (entry == position->top->count) {
        drop_leaf(table, position);
        return QUARRY_OK;
    }
    status = enter_leaf(table, position, reading, entry);
    if (status != QUARRY_OK) {
        return status;
    }
    position->entry = sst_index_find(position->leaf, comparator, key);
    return position->entry < position->leaf->count
               ? QUARRY_OK
               : enter_forward(table, position, reading, entry + 1);
}

enum quarry_status sst_position_first(struct kv_table *table, struct sst_index_position *position,
                                      const struct sst_reading *reading)
{
    enum quarry_status status = hold_top(table, position, reading);

    if (status != QUARRY_OK) {
        return status;
    }
    if (!table->is_two_level) {
        enter_single(position, 0);
        return QUARRY_OK;
    }
    return enter_forward(table, position, reading, 0);
}

enum quarry_status sst_position_last(struct kv_table *table, struct sst_index_position *position,
                                     const struct sst_reading *reading)
{
    enum quarry_status status = hold_top(table, position, reading);

    if (status != QUARRY_OK) {
        return status;
    }
    if (!table->is_two_level) {
        enter_single(position, position->top->count - 1); /* of none: past the end */
        return QUARRY_OK;
    }
    return enter_backward(table, position, reading, position->top->count);
}

enum quarry_status sst_position_next(struct kv_table *table, struct sst_index_position *position,
                                     const struct sst_reading *reading)
{
    Q_DCHECK(sst_position_is_valid(position));
    if (position->entry + 1 < position->leaf->count) {
        position->entry++;
        return QUARRY_OK;
    }
    if (!table->is_two_level) {
        position->leaf = NULL;
        return QUARRY_OK;
    }
    return enter_forward(table, position, reading, position->top_entry + 1);
}

enum quarry_status sst_position_previous(struct kv_table *table,
                                         struct sst_index_position *position,
                                         const struct sst_reading *reading)
{
    Q_DCHECK(sst_position_is_valid(position));
    if (position->entry > 0) {
        position->entry--;
        return QUARRY_OK;
    }
    if (!table->is_two_level) {
        position->leaf = NULL;
        return QUARRY_OK;
    }
    return enter_backward(table, position, reading, position->top_entry);
}
