/*
 * Points: is a key in a table, and what is its newest visible entry.
 *
 *     filter ──→ index ──→ (index part) ──→ data block ──→ entry
 *
 * The filter says no for most keys that are not there, after a miss of the CPU's cache or two. A
 * data block is looked up in the cache by file and offset. Where the index has user keys a key's
 * versions are all in one block; else they may go on in the next.
 *
 * All entries of an ingested file have one sequence, which is not in the file: such a key is sought
 * from its newest version on, of which there is one, and its sequence compared afterwards.
 *
 * A filter that cannot be read (no memory, damage) lets every key pass: it is not needed for a
 * right answer. Damage is told by kv_table_verify.
 */
#include <kv/sst/filter_policy.h>
#include <kv/sst/table.h>

/* ---- filters -------------------------------------------------------------------------------- */

static enum kv_table_filtered ask_block(struct kv_table *table, const struct sst_reading *reading,
                                        struct sst_handle handle, struct kv_slice user,
                                        uint64_t hash)
{
    struct quarry_block block;

    if (sst_table_block(table, reading, QUARRY_BLOCK_FILTER, handle, NULL, &block) != QUARRY_OK) {
        return KV_TABLE_NOT_FILTERED;
    }
    const struct sst_extra *extra = quarry_block_extra(&block);
    bool passes = sst_filter_passes(&extra->filter, quarry_block_data(&block), hash, user);
    quarry_block_release(table->tables->cache, &block);
    return passes ? KV_TABLE_PASSED : KV_TABLE_REJECTED;
}

/* A partitioned filter: that of the first part whose separator is not before the key. */
static enum kv_table_filtered ask_parts(struct kv_table *table, const struct sst_reading *reading,
                                        struct kv_key key, uint64_t hash)
{
    struct quarry_block block = {0};
    const struct sst_index *top = table->filter_top;
    enum kv_table_filtered filtered = KV_TABLE_NOT_FILTERED;

    if (top == NULL) {
        if (sst_table_block(table, reading, QUARRY_BLOCK_INDEX, table->filter_handle,
                            &table->top_form, &block) != QUARRY_OK) {
            return KV_TABLE_NOT_FILTERED;
        }
        top = quarry_block_data(&block);
    }
    uint32_t entry = sst_index_find(top, table->tables->comparator, key);
    if (entry == top->count && entry != 0) {
        entry--; /* behind all separators there is no key, but a prefix of one may be */
    }
    if (entry < top->count) {
        filtered = ask_block(table, reading, sst_index_handle(top, entry), key.user, hash);
    }
    quarry_block_release(table->tables->cache, &block);
    return filtered;
}

enum kv_table_filtered sst_table_filter(struct kv_table *table, const struct sst_reading *reading,
                                        struct kv_key key, uint64_t hash)
{
    const struct sst_reading quiet = {.only_cached = reading->only_cached,
                                      .is_background = reading->is_background};

    switch (table->filter_place) {
    case SST_FILTER_WHOLE:
        if (Q_LIKELY(table->filter_bytes != NULL)) {
            return sst_filter_passes(&table->filter, table->filter_bytes, hash, key.user)
                       ? KV_TABLE_PASSED
                       : KV_TABLE_REJECTED;
        }
        return ask_block(table, &quiet, table->filter_handle, key.user, hash);
    case SST_FILTER_PARTS:
        return ask_parts(table, &quiet, key, hash);
    case SST_FILTER_NONE:
    case SST_FILTER_STRETCHES:
        break;
    }
    return KV_TABLE_NOT_FILTERED;
}

enum kv_table_filtered sst_table_filter_at(struct kv_table *table,
                                           const struct sst_reading *reading, struct kv_slice user,
                                           uint64_t block_offset)
{
    const struct sst_reading quiet = {.only_cached = reading->only_cached,
                                      .is_background = reading->is_background};
    struct quarry_block block = {0};
    const struct sst_filter *filter = &table->filter;
    const char *bytes = table->filter_bytes;

    if (bytes == NULL) {
        if (sst_table_block(table, &quiet, QUARRY_BLOCK_FILTER, table->filter_handle, NULL,
                            &block) != QUARRY_OK) {
            return KV_TABLE_NOT_FILTERED;
        }
        filter = &((const struct sst_extra *)quarry_block_extra(&block))->filter;
        bytes = quarry_block_data(&block);
    }
    const struct quarry_kv_filter_policy *policy = table->tables->filter_policy;
    bool passes = policy == NULL ? sst_filter_passes_in(filter, bytes, user, block_offset)
                                 : sst_policy_passes(policy, filter, bytes, user, block_offset);
    quarry_block_release(table->tables->cache, &block);
    return passes ? KV_TABLE_PASSED : KV_TABLE_REJECTED;
}

bool kv_table_may_have_prefix(struct kv_table *table, struct kv_slice prefix)
{
    const struct sst_reading reading = {0};
    const struct kv_key key = {prefix, UINT64_MAX};

    if (!table->filters_prefixes || prefix.count != table->tables->prefix_bytes) {
        return true;
    }
    return sst_table_filter(table, &reading, key, kv_table_hash(prefix)) != KV_TABLE_REJECTED;
}

void kv_table_prefetch(const struct kv_table *table, uint64_t hash)
{
    if (table->filter_bytes != NULL) {
        __builtin_prefetch(sst_filter_line(&table->filter, table->filter_bytes, hash));
    }
}

bool kv_table_guess_block(const struct kv_table *table, struct kv_slice user,
                          struct quarry_block_key *ret_block)
{
    if (table->index == NULL || table->is_two_level) {
        return false;
    }
    const struct kv_key key = {user, UINT64_MAX};
    uint32_t entry = sst_index_find(table->index, table->tables->comparator, key);
    if (entry == table->index->count) {
        return false;
    }
    *ret_block = (struct quarry_block_key){table->tables->cache_handle, table->file_number,
                                           sst_index_handle(table->index, entry).offset};
    return true;
}

enum kv_table_filtered kv_table_ask(const struct kv_table *table, uint64_t hash)
{
    if (Q_UNLIKELY(!table->is_asked_at_once)) {
        return KV_TABLE_NOT_FILTERED;
    }
    return sst_filter_passes_fast(&table->filter, table->filter_bytes, hash) ? KV_TABLE_PASSED
                                                                             : KV_TABLE_REJECTED;
}

/* ---- getting -------------------------------------------------------------------------------- */

/* Looks into the block that the position is at. `ret_goes_on`: the key may be in the next one. */
static enum quarry_status look_into(struct kv_table *table, const struct sst_reading *reading,
                                    const struct sst_index_position *position, struct kv_key key,
                                    struct kv_table_entry *ret_entry, bool *ret_goes_on)
{
    struct kv_tables *tables = table->tables;
    struct sst_handle handle = sst_position_handle(position);
    bool is_final = !position->leaf->has_trailers;
    enum sst_place place = SST_PLACE_ABSENT;
    struct sst_point point;
    struct quarry_block block;
    enum quarry_status status =
        sst_table_block(table, reading, QUARRY_BLOCK_DATA, handle, NULL, &block);

    if (Q_UNLIKELY(status != QUARRY_OK)) {
        return status;
    }
    const struct sst_block parsed = sst_block_of(&block);
    status =
        sst_block_find(&parsed, tables->comparator, &tables->heap, key, is_final, &place, &point);
    if (Q_LIKELY(status == QUARRY_OK && place == SST_PLACE_FOUND)) {
        if (Q_LIKELY(sst_type_is_known(point.trailer))) {
            *ret_entry = (struct kv_table_entry){point.trailer, point.value, block};
            return QUARRY_OK;
        }
        quarry_block_release(tables->cache, &block);
        return sst_table_refuse_type(table, reading->error, handle.offset, point.trailer);
    }
    quarry_block_release(tables->cache, &block);
    *ret_goes_on = place == SST_PLACE_BEYOND && !is_final;
    return status == QUARRY_OK ? QUARRY_NOT_FOUND
                               : sst_table_fail(table, reading->error, status, handle.offset,
                                                "no memory to search a block");
}

static enum quarry_status look_up(struct kv_table *table, const struct sst_reading *reading,
                                  struct sst_index_position *position, struct kv_key key,
                                  struct kv_table_lookup *lookup, struct kv_table_entry *ret_entry)
{
    enum quarry_status status = sst_position_seek(table, position, reading, key);
    bool goes_on = true;

    while (status == QUARRY_OK && goes_on && sst_position_is_valid(position)) {
        goes_on = false;
        if (table->filter_place == SST_FILTER_STRETCHES) {
            lookup->filtered =
                sst_table_filter_at(table, reading, key.user, sst_position_handle(position).offset);
            if (lookup->filtered == KV_TABLE_REJECTED) {
                return QUARRY_NOT_FOUND;
            }
        }
        status = look_into(table, reading, position, key, ret_entry, &goes_on);
        if (status != QUARRY_NOT_FOUND || !goes_on) {
            return status;
        }
        status = sst_position_next(table, position, reading);
    }
    return status == QUARRY_OK ? QUARRY_NOT_FOUND : status;
}

/* An ingested file's entry: with its sequence, if that is visible. */
static enum quarry_status apply_global_sequence(const struct kv_table *table,
                                                const struct kv_table_lookup *lookup,
                                                struct kv_table_entry *entry)
{
    entry->trailer = kv_trailer(table->global_sequence, kv_trailer_type(entry->trailer));
    if (entry->trailer <= lookup->key.trailer) {
        return QUARRY_OK;
    }
    kv_table_entry_release(table->tables, entry);
    return QUARRY_NOT_FOUND;
}

enum quarry_status kv_table_get(struct kv_table *table, struct kv_table_lookup *lookup,
                                struct kv_table_entry *ret_entry, struct quarry_error *error)
{
    const struct sst_reading reading = {
        .only_cached = lookup->only_cached, .is_background = lookup->is_background, .error = error};
    struct kv_key key = lookup->key;

    if (lookup->filtered == KV_TABLE_NOT_FILTERED && table->filters_keys) {
        lookup->filtered = sst_table_filter(table, &reading, key, lookup->hash);
        if (lookup->filtered == KV_TABLE_REJECTED) {
            return QUARRY_NOT_FOUND;
        }
    }
    if (Q_UNLIKELY(table->global_sequence != SST_NO_SEQUENCE)) {
        key.trailer = UINT64_MAX;
    }
    struct sst_index_position position = {0};
    enum quarry_status status = look_up(table, &reading, &position, key, lookup, ret_entry);
    sst_position_fini(table, &position);
    if (Q_UNLIKELY(table->global_sequence != SST_NO_SEQUENCE) && status == QUARRY_OK) {
        status = apply_global_sequence(table, lookup, ret_entry);
    }
    return status;
}

uint64_t kv_table_approximate_offset(struct kv_table *table, struct kv_key key)
{
    const struct sst_reading reading = {0};
    struct sst_index_position position = {0};
    uint64_t data_bytes = table->properties.data_bytes;
    uint64_t offset = data_bytes != 0 ? data_bytes : table->footer.metaindex.offset;

    if (sst_position_seek(table, &position, &reading, key) == QUARRY_OK &&
        sst_position_is_valid(&position)) {
        offset = sst_position_handle(&position).offset;
    }
    sst_position_fini(table, &position);
    return offset;
}
