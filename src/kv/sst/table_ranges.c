/*
 * The range deletions of an open table, sorted by (begin, sequence falling).
 *
 *     begin     a  a  c  c  h           fragments: those that overlap have the same keys
 *     end       c  c  f  f  k
 *     sequence  9  4  9  7  8
 *
 * Tables as they are written have fragments: then what covers a key is in one group, which a binary
 * search finds. Of a table that has not, all ranges that begin before the key are looked at.
 *
 * Locking: none; const while the table is open.
 */
#include <kv/sst/table.h>

static const struct quarry_kv_comparator *comparator_of(const struct kv_table *table)
{
    return table->tables->comparator;
}

/* How many range deletions begin at or before a key. */
static size_t count_begun(const struct kv_table *table, struct kv_slice key)
{
    size_t low = 0, high = table->range_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (kv_compare(comparator_of(table), table->ranges[middle].begin, key) <= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Where the group begins that ends before an index; 0 where they are no fragments. */
static size_t group_of(const struct kv_table *table, size_t end)
{
    size_t first = end;

    if (!table->ranges_are_fragments || end == 0) {
        return 0;
    }
    while (first > 0 && kv_compare(comparator_of(table), table->ranges[first - 1].begin,
                                   table->ranges[end - 1].begin) == 0) {
        first--;
    }
    return first;
}

uint64_t kv_table_cover(const struct kv_table *table, struct kv_slice key, uint64_t sequence)
{
    uint64_t newest = 0;

    if (Q_LIKELY(table->range_count == 0)) {
        return 0;
    }
    size_t end = count_begun(table, key);
    for (size_t i = group_of(table, end); i < end; i++) {
        const struct kv_table_range *range = &table->ranges[i];
        if (range->sequence <= sequence && range->sequence > newest &&
            kv_compare(comparator_of(table), key, range->end) < 0) {
            newest = range->sequence;
        }
    }
    return newest;
}

/* An end of a range: the stretch reaches no further. */
static void bound(const struct kv_table *table, struct kv_slice key, struct kv_slice at,
                  struct kv_table_stretch *stretch)
{
    const struct quarry_kv_comparator *comparator = comparator_of(table);

    if (kv_compare(comparator, at, key) <= 0) {
        if (stretch->begin.bytes == NULL || kv_compare(comparator, at, stretch->begin) > 0) {
            stretch->begin = at;
        }
    } else if (stretch->end.bytes == NULL || kv_compare(comparator, at, stretch->end) < 0) {
        stretch->end = at;
    }
}

void kv_table_find_stretch(const struct kv_table *table, struct kv_slice key, uint64_t sequence,
                           struct kv_table_stretch *ret_stretch)
{
    *ret_stretch = (struct kv_table_stretch){.sequence = kv_table_cover(table, key, sequence)};
    size_t end = count_begun(table, key);
    for (size_t i = group_of(table, end); i < end; i++) {
        bound(table, key, table->ranges[i].begin, ret_stretch);
        bound(table, key, table->ranges[i].end, ret_stretch);
    }
    if (end < table->range_count) {
        bound(table, key, table->ranges[end].begin, ret_stretch);
    }
}
