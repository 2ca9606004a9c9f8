/*
 * Gathering range deletions of what is merged.
 *
 * A range deletion in a table is good within the table's bounds, and no further: a compaction cuts
 * it where it cuts its outputs, and RocksDB writes it whole into each and cuts it when it is read.
 * Beyond them there may be newer entries that have come down since, in a table beside. So it is cut
 * here first:
 *
 *     table        [ smallest ──────────── largest ]
 *     deletion  a ───────────────────────────────────── z
 *     taken        [ smallest ──────────── largest ]
 *
 * A largest key that ends a range deletion is not in the table; any other is, and what is cut there
 * ends just behind it: at the key with a zero byte, which is the next one by memcmp. Under another
 * order nothing is known of a next key, and the deletion is left as it is: our own tables have no
 * such ones, as they are cut when they are written.
 *
 * Keys are copied, so that neither tables nor layers need be held: range deletions are few.
 *
 * Locking: none. Cost: O(ranges); then that of fragments (range_del.c).
 */
#include <kv/compact_output.h>

void kv_ranges_init(struct kv_ranges *ranges, struct kv_memory *memory,
                    const struct quarry_kv_comparator *comparator)
{
    *ranges = (struct kv_ranges){.memory = memory, .comparator = comparator};
}

void kv_ranges_fini(struct kv_ranges *ranges)
{
    for (size_t i = 0; i < ranges->count; i++) {
        kv_memory_give(ranges->memory, (void *)(uintptr_t)ranges->ranges[i].begin.bytes);
    }
    kv_memory_give(ranges->memory, ranges->ranges);
}

/* `is_after`: just behind the end, of memcmp's order. */
static enum quarry_status add(struct kv_ranges *ranges, struct kv_slice begin, struct kv_slice end,
                              bool is_after, uint64_t sequence)
{
    enum quarry_status status =
        kv_memory_grow(ranges->memory, (void **)&ranges->ranges, &ranges->capacity,
                       ranges->count + 1, sizeof(*ranges->ranges));
    /* Zeroed, so that the byte behind the end is the zero wanted. */
    char *bytes =
        status != QUARRY_OK ? NULL : kv_memory_take(ranges->memory, begin.count + end.count + 1);

    if (bytes == NULL) {
        return QUARRY_NO_MEMORY;
    }
    if (begin.count != 0) {
        memcpy(bytes, begin.bytes, begin.count);
    }
    if (end.count != 0) {
        memcpy(bytes + begin.count, end.bytes, end.count);
    }
    ranges->ranges[ranges->count++] =
        (struct kv_range){.begin = kv_slice(bytes, begin.count),
                          .end = kv_slice(bytes + begin.count, end.count + is_after),
                          .sequence = sequence};
    return QUARRY_OK;
}

enum quarry_status kv_ranges_add_fragments(struct kv_ranges *ranges,
                                           const struct kv_fragments *fragments)
{
    enum quarry_status status = QUARRY_OK;

    for (uint32_t i = 0; fragments != NULL && i < fragments->fragment_count; i++) {
        const struct kv_fragment *fragment = &fragments->fragments[i];
        for (uint32_t j = 0; j < fragment->count && status == QUARRY_OK; j++) {
            status = add(ranges, fragment->begin, fragment->end, false,
                         fragments->sequences[fragment->first + j]);
        }
    }
    return status;
}

enum quarry_status kv_ranges_add_table(struct kv_ranges *ranges, const struct kv_file *file,
                                       const struct kv_table *table)
{
    const struct quarry_kv_comparator *comparator = ranges->comparator;
    enum quarry_status status = QUARRY_OK;
    size_t count = 0;
    const struct kv_table_range *all = kv_table_ranges(table, &count);

    for (size_t i = 0; i < count && status == QUARRY_OK; i++) {
        struct kv_slice begin = all[i].begin, end = all[i].end;
        bool is_after = false;
        if (kv_compare(comparator, begin, file->smallest.user) < 0) {
            begin = file->smallest.user;
        }
        bool is_beyond = kv_compare(comparator, end, file->largest.user) > 0;
        if (is_beyond && (kv_file_is_open_ended(file) || comparator->compare == NULL)) {
            end = file->largest.user;
            is_after = !kv_file_is_open_ended(file);
        }
        if (is_after || kv_compare(comparator, begin, end) < 0) {
            status = add(ranges, begin, end, is_after, all[i].sequence);
        }
    }
    return status;
}

enum quarry_status kv_ranges_finish(const struct kv_ranges *ranges,
                                    struct kv_fragments **ret_fragments)
{
    *ret_fragments = NULL;
    if (ranges->count == 0) {
        return QUARRY_OK;
    }
    return kv_fragments_create(ranges->memory, ranges->comparator, ranges->ranges, ranges->count,
                               ret_fragments);
}
