/*
 * An index over a batch: sorted chunks of entries.
 *
 *     directory   | chunk 0 | chunk 1 | …          by their first entries
 *                      |
 *     chunk       | count | entry | entry | … up to 512
 *     entry       | prefix of the key | offset in the batch | ordinal |      16 bytes
 *
 * Entries are in the order of internal keys: keys rising, and of one key the later change first.
 * Searching compares prefixes, which lie together, and looks into the batch only where they are
 * equal. A full chunk is cut in two, but at the end of the order a new one is begun, so that sorted
 * changes fill chunks whole.
 *
 * Range deletes are not among them: their offsets are in an array of their own, and fragments are
 * made of them when somebody asks.
 *
 * Invariants
 *   1. No chunk is empty; entries are in order within and across chunks.
 *   2. Each change of the batch that is no range delete has one entry, each range delete a place in
 *      `ranges`; both have offsets below the batch's end.
 *   3. After a refusal nothing has changed.
 *
 * Locking: none. Cost: adding to n entries: log2(n) comparisons, and 4 KiB moved on average; at the
 * end of the order two comparisons. 21 bytes for each change added at random, 16 for sorted ones.
 *
 * Rejected: a skiplist as the memtable's (a third of the memory again, a cache miss for each step,
 * and going back needs a search for each change); one sorted array (moves everything); sorting when
 * somebody reads (a batch that is read after every change would be sorted every time).
 *
 * Source: Pebble's batchskl for the abbreviated keys.
 */
#include <kv/batch_index.h>

/* Of a chunk: 8 KiB with its count. Doubling it doubles what an insertion moves. */
#define CHUNK_ENTRIES 511u

struct chunk {
    uint32_t count;
    struct kv_batch_entry entries[CHUNK_ENTRIES];
};

struct kv_batch_index {
    /* const */
    struct kv_memory *memory;
    const struct quarry_kv_comparator *comparator;
    char *const *bytes;
    /* one thread's while something is added */
    struct chunk **chunks;
    size_t chunk_count, chunk_capacity;
    uint64_t entry_count;
    struct kv_batch_entry *ranges; /* in the order in which they were added */
    size_t range_count, range_capacity;
    /* what kv_batch_index_fragments made last */
    struct kv_fragments *fragments;
    size_t fragments_range_count;
    uint64_t fragments_base;
    const char *fragments_bytes;
};

enum quarry_status kv_batch_index_create(struct kv_memory *memory,
                                         const struct quarry_kv_comparator *comparator,
                                         char *const *bytes, struct kv_batch_index **ret_index)
{
    struct kv_batch_index *index = kv_memory_take(memory, sizeof(*index));

    if (index == NULL) {
        return QUARRY_NO_MEMORY;
    }
    index->memory = memory;
    index->comparator = comparator;
    index->bytes = bytes;
    *ret_index = index;
    return QUARRY_OK;
}

static void forget_fragments(struct kv_batch_index *index)
{
    kv_fragments_release(index->fragments);
    index->fragments = NULL;
    index->fragments_range_count = 0;
}

void kv_batch_index_clear(struct kv_batch_index *index)
{
    for (size_t i = 0; i < index->chunk_count; i++) {
        kv_memory_give(index->memory, index->chunks[i]);
    }
    index->chunk_count = 0;
    index->entry_count = 0;
    index->range_count = 0;
    forget_fragments(index);
}

void kv_batch_index_destroy(struct kv_batch_index *index)
{
    if (index != NULL) {
        kv_batch_index_clear(index);
        kv_memory_give(index->memory, index->chunks);
        kv_memory_give(index->memory, index->ranges);
        kv_memory_give(index->memory, index);
    }
}

uint64_t kv_batch_index_count(const struct kv_batch_index *index)
{
    return index->entry_count;
}

/* ---- comparing ------------------------------------------------------------------------------ */

/* The change at an offset; it was checked when it came into the batch. */
static struct kv_batch_record record_at(const struct kv_batch_index *index, uint32_t offset)
{
    struct kv_batch_record record = {.is_change = false};
    struct kv_batch_cursor cursor = {.begin = *index->bytes,
                                     .at = *index->bytes + offset,
                                     .end = *index->bytes + KV_BATCH_BYTES_MAX};
    enum quarry_status status = kv_batch_next(&cursor, &record, NULL);

    Q_ASSERT(status == QUARRY_OK && record.is_change);
    return record;
}

static uint64_t prefix_of(const struct kv_batch_index *index, struct kv_slice key)
{
    return index->comparator->compare == NULL ? kv_prefix8(key) : 0;
}

/* What is sought: the place before all changes of a key with a lower ordinal. */
struct target {
    struct kv_slice key;
    uint64_t prefix;
    uint64_t ordinal; /* UINT64_MAX: before all of the key */
};

/* Whether an entry comes before what is sought. */
static bool is_before(const struct kv_batch_index *index, const struct kv_batch_entry *entry,
                      const struct target *target)
{
    if (entry->prefix != target->prefix) {
        return entry->prefix < target->prefix;
    }
    int order = kv_compare(index->comparator, record_at(index, entry->offset).key, target->key);
    return order != 0 ? order < 0 : entry->ordinal > target->ordinal;
}

/* ---- searching ------------------------------------------------------------------------------ */

/* The last chunk whose first entry is before what is sought, or the first chunk. */
static size_t find_chunk(const struct kv_batch_index *index, const struct target *target)
{
    size_t low = 0, high = index->chunk_count;

    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (is_before(index, &index->chunks[middle]->entries[0], target)) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

/* The first entry of a chunk that is not before what is sought; its count: none. */
static uint32_t find_entry(const struct kv_batch_index *index, const struct chunk *chunk,
                           const struct target *target)
{
    uint32_t low = 0, high = chunk->count;

    /* Sorted changes come at the end. */
    if (high != 0 && is_before(index, &chunk->entries[high - 1], target)) {
        return high;
    }
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (is_before(index, &chunk->entries[middle], target)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* A place behind the last entry of a chunk is the first of the next. */
static struct kv_batch_position normal(const struct kv_batch_index *index, size_t chunk,
                                       uint32_t entry)
{
    if (chunk < index->chunk_count && entry == index->chunks[chunk]->count) {
        chunk++;
        entry = 0;
    }
    return (struct kv_batch_position){(uint32_t)chunk, entry};
}

static struct kv_batch_position find(const struct kv_batch_index *index,
                                     const struct target *target)
{
    if (index->chunk_count == 0) {
        return (struct kv_batch_position){0, 0};
    }
    size_t chunk = find_chunk(index, target);
    return normal(index, chunk, find_entry(index, index->chunks[chunk], target));
}

static const struct kv_batch_entry *entry_at(const struct kv_batch_index *index,
                                             struct kv_batch_position position)
{
    if (position.chunk >= index->chunk_count) {
        return NULL;
    }
    Q_DCHECK(position.entry < index->chunks[position.chunk]->count);
    return &index->chunks[position.chunk]->entries[position.entry];
}

/* ---- adding --------------------------------------------------------------------------------- */

/* An empty chunk at a place of the directory; invariant 1 is the caller's to restore. */
static enum quarry_status chunk_insert(struct kv_batch_index *index, size_t at)
{
    enum quarry_status status =
        kv_memory_grow(index->memory, (void **)&index->chunks, &index->chunk_capacity,
                       index->chunk_count + 1, sizeof(*index->chunks));

    if (status != QUARRY_OK) {
        return status;
    }
    struct chunk *chunk = kv_memory_take(index->memory, sizeof(*chunk));
    if (chunk == NULL) {
        return QUARRY_NO_MEMORY;
    }
    memmove(index->chunks + at + 1, index->chunks + at,
            (index->chunk_count - at) * sizeof(*index->chunks));
    index->chunks[at] = chunk;
    index->chunk_count++;
    return QUARRY_OK;
}

/* Makes room in a full chunk: the place at which to insert moves with its entries. */
static enum quarry_status chunk_split(struct kv_batch_index *index, size_t *chunk, uint32_t *entry)
{
    bool is_end = *chunk + 1 == index->chunk_count && *entry == CHUNK_ENTRIES;
    enum quarry_status status = chunk_insert(index, *chunk + 1);

    if (status != QUARRY_OK) {
        return status;
    }
    struct chunk *lower = index->chunks[*chunk], *upper = index->chunks[*chunk + 1];
    uint32_t kept = is_end ? CHUNK_ENTRIES : CHUNK_ENTRIES / 2;
    upper->count = CHUNK_ENTRIES - kept;
    memcpy(upper->entries, lower->entries + kept, upper->count * sizeof(*upper->entries));
    lower->count = kept;
    if (*entry > kept || is_end) {
        *entry -= kept;
        (*chunk)++;
    }
    return QUARRY_OK;
}

static enum quarry_status insert(struct kv_batch_index *index, const struct target *target,
                                 const struct kv_batch_entry *added)
{
    enum quarry_status status = index->chunk_count == 0 ? chunk_insert(index, 0) : QUARRY_OK;

    if (status != QUARRY_OK) {
        return status;
    }
    size_t chunk = find_chunk(index, target);
    uint32_t entry = find_entry(index, index->chunks[chunk], target);
    if (index->chunks[chunk]->count == CHUNK_ENTRIES) {
        status = chunk_split(index, &chunk, &entry);
        if (status != QUARRY_OK) {
            return status;
        }
    }
    struct chunk *into = index->chunks[chunk];
    memmove(into->entries + entry + 1, into->entries + entry,
            (into->count - entry) * sizeof(*into->entries));
    into->entries[entry] = *added;
    into->count++;
    index->entry_count++;
    return QUARRY_OK;
}

static enum quarry_status add_range(struct kv_batch_index *index, uint32_t offset, uint32_t ordinal)
{
    enum quarry_status status =
        kv_memory_grow(index->memory, (void **)&index->ranges, &index->range_capacity,
                       index->range_count + 1, sizeof(*index->ranges));

    if (status == QUARRY_OK) {
        index->ranges[index->range_count++] = (struct kv_batch_entry){0, offset, ordinal};
    }
    return status;
}

static enum quarry_status add_record(struct kv_batch_index *index,
                                     const struct kv_batch_record *record, uint32_t offset,
                                     uint32_t ordinal)
{
    if (record->type == KV_TYPE_RANGE_DELETE) {
        return add_range(index, offset, ordinal);
    }
    const struct target target = {record->key, prefix_of(index, record->key), ordinal};
    const struct kv_batch_entry entry = {target.prefix, offset, ordinal};
    return insert(index, &target, &entry);
}

enum quarry_status kv_batch_index_add(struct kv_batch_index *index, uint32_t offset,
                                      uint32_t ordinal)
{
    const struct kv_batch_record record = record_at(index, offset);

    return add_record(index, &record, offset, ordinal);
}

enum quarry_status kv_batch_index_build(struct kv_batch_index *index, struct kv_slice data,
                                        struct quarry_error *error)
{
    struct kv_batch_cursor cursor;
    struct kv_batch_record record;
    enum quarry_status status = kv_batch_cursor_init(&cursor, data, error);

    for (uint32_t ordinal = 0; status == QUARRY_OK;) {
        size_t offset = (size_t)(cursor.at - cursor.begin);
        status = kv_batch_next(&cursor, &record, error);
        if (status == QUARRY_OK && record.is_change) {
            status = add_record(index, &record, (uint32_t)offset, ordinal++);
            if (status != QUARRY_OK) {
                error_set(error, status, "batch: no memory for an index of %u changes", ordinal);
            }
        }
    }
    return status == QUARRY_NOT_FOUND ? QUARRY_OK : status;
}

/* Keeps the entries of a chunk that are below an offset. Returns: how many go. */
static uint32_t chunk_rewind(struct chunk *chunk, size_t byte_count)
{
    uint32_t kept = 0, before = chunk->count;

    for (uint32_t i = 0; i < before; i++) {
        if (chunk->entries[i].offset < byte_count) {
            chunk->entries[kept++] = chunk->entries[i];
        }
    }
    chunk->count = kept;
    return before - kept;
}

void kv_batch_index_rewind(struct kv_batch_index *index, size_t byte_count)
{
    size_t kept = 0;

    for (size_t i = 0; i < index->chunk_count; i++) {
        struct chunk *chunk = index->chunks[i];
        index->entry_count -= chunk_rewind(chunk, byte_count);
        if (chunk->count == 0) {
            kv_memory_give(index->memory, chunk);
        } else {
            index->chunks[kept++] = chunk;
        }
    }
    index->chunk_count = kept;
    while (index->range_count != 0 && index->ranges[index->range_count - 1].offset >= byte_count) {
        index->range_count--;
    }
    forget_fragments(index);
}

/* ---- reading -------------------------------------------------------------------------------- */

static void show_found(const struct kv_batch_index *index, uint64_t base,
                       struct kv_batch_position position, const struct kv_batch_entry *entry,
                       const struct kv_batch_record *record, struct kv_batch_found *ret_found)
{
    (void)index;
    ret_found->trailer = kv_trailer(base + entry->ordinal, record->type);
    ret_found->value = record->value;
    ret_found->position = position;
}

/* The entry at a position, if it is of a key. */
static bool found_at(const struct kv_batch_index *index, struct kv_slice key, uint64_t base,
                     struct kv_batch_position position, struct kv_batch_found *ret_found)
{
    const struct kv_batch_entry *entry = entry_at(index, position);

    if (entry == NULL || entry->prefix != prefix_of(index, key)) {
        return false;
    }
    const struct kv_batch_record record = record_at(index, entry->offset);
    if (kv_compare(index->comparator, record.key, key) != 0) {
        return false;
    }
    show_found(index, base, position, entry, &record, ret_found);
    return true;
}

bool kv_batch_index_get(const struct kv_batch_index *index, struct kv_slice key, uint64_t base,
                        struct kv_batch_found *ret_found)
{
    const struct target target = {key, prefix_of(index, key), UINT64_MAX};

    return found_at(index, key, base, find(index, &target), ret_found);
}

bool kv_batch_index_older(const struct kv_batch_index *index, uint64_t base,
                          struct kv_batch_found *found)
{
    const struct kv_batch_entry *entry = entry_at(index, found->position);

    Q_ASSERT(entry != NULL);
    struct kv_slice key = record_at(index, entry->offset).key;
    return found_at(index, key, base,
                    normal(index, found->position.chunk, found->position.entry + 1), found);
}

static enum quarry_status make_fragments(struct kv_batch_index *index, uint64_t base)
{
    struct kv_range *ranges = kv_memory_take(index->memory, index->range_count * sizeof(*ranges));

    if (ranges == NULL) {
        return QUARRY_NO_MEMORY;
    }
    for (size_t i = 0; i < index->range_count; i++) {
        const struct kv_batch_record record = record_at(index, index->ranges[i].offset);
        ranges[i] = (struct kv_range){record.key, record.value, base + index->ranges[i].ordinal};
    }
    forget_fragments(index);
    enum quarry_status status = kv_fragments_create(index->memory, index->comparator, ranges,
                                                    index->range_count, &index->fragments);
    kv_memory_give(index->memory, ranges);
    if (status == QUARRY_OK) {
        index->fragments_range_count = index->range_count;
        index->fragments_base = base;
        index->fragments_bytes = *index->bytes;
    }
    return status;
}

enum quarry_status kv_batch_index_fragments(struct kv_batch_index *index, uint64_t base,
                                            struct kv_fragments **ret_fragments)
{
    if (index->range_count == 0) {
        *ret_fragments = NULL;
        return QUARRY_OK;
    }
    /* Made of fewer ranges, or borrowed from where the batch was before it grew. */
    if (index->fragments == NULL || index->fragments_range_count != index->range_count ||
        index->fragments_base != base || index->fragments_bytes != *index->bytes) {
        enum quarry_status status = make_fragments(index, base);
        if (status != QUARRY_OK) {
            return status;
        }
    }
    kv_fragments_acquire(index->fragments);
    *ret_fragments = index->fragments;
    return QUARRY_OK;
}

void kv_batch_index_validate(const struct kv_batch_index *index)
{
    const struct kv_batch_entry *last = NULL;
    uint64_t entry_count = 0;

    for (size_t i = 0; i < index->chunk_count; i++) {
        const struct chunk *chunk = index->chunks[i];
        Q_ASSERT(chunk->count >= 1 && chunk->count <= CHUNK_ENTRIES);
        for (uint32_t j = 0; j < chunk->count; j++) {
            const struct kv_batch_entry *entry = &chunk->entries[j];
            struct kv_slice key = record_at(index, entry->offset).key;
            const struct target target = {key, prefix_of(index, key), entry->ordinal};
            Q_ASSERT(entry->prefix == target.prefix);
            Q_ASSERT(last == NULL || is_before(index, last, &target));
            last = entry;
            entry_count++;
        }
    }
    Q_ASSERT(entry_count == index->entry_count);
}

/* ---- walking over it ------------------------------------------------------------------------ */

static void show(struct kv_batch_iterator *iterator)
{
    const struct kv_batch_entry *entry = entry_at(iterator->index, iterator->position);

    iterator->base.is_valid = entry != NULL;
    if (entry != NULL) {
        const struct kv_batch_record record = record_at(iterator->index, entry->offset);
        iterator->base.key.user = record.key;
        iterator->base.key.trailer =
            kv_trailer(iterator->base_sequence + entry->ordinal, record.type);
        iterator->base.value = record.value;
    }
}

/* To the entry before the position, or to none. */
static void show_before(struct kv_batch_iterator *iterator)
{
    struct kv_batch_position *position = &iterator->position;

    iterator->base.is_valid = false;
    if (position->entry != 0) {
        position->entry--;
        show(iterator);
    } else if (position->chunk != 0) {
        position->chunk--;
        position->entry = iterator->index->chunks[position->chunk]->count - 1;
        show(iterator);
    }
}

static struct kv_batch_iterator *of(struct kv_iterator *iterator)
{
    return (struct kv_batch_iterator *)(void *)iterator;
}

static void iterator_first(struct kv_iterator *iterator)
{
    of(iterator)->position = (struct kv_batch_position){0, 0};
    show(of(iterator));
}

static void iterator_last(struct kv_iterator *iterator)
{
    of(iterator)->position =
        (struct kv_batch_position){(uint32_t)of(iterator)->index->chunk_count, 0};
    show_before(of(iterator));
}

static void seek_position(struct kv_batch_iterator *iterator, struct kv_key key)
{
    const struct kv_batch_index *index = iterator->index;
    uint64_t sequence = kv_trailer_sequence(key.trailer);
    struct target target = {key.user, prefix_of(index, key.user), UINT64_MAX};

    /* The batch's own sequences may lie on both sides of the one that is sought. */
    if (sequence < iterator->base_sequence) {
        target.ordinal = 0; /* behind all of the key, but the batch's first change */
    } else if (sequence - iterator->base_sequence < UINT32_MAX) {
        target.ordinal = sequence - iterator->base_sequence;
    }
    iterator->position = find(index, &target);
    for (;;) {
        /* Of the ordinal itself, the type decides. */
        const struct kv_batch_entry *entry = entry_at(index, iterator->position);
        if (entry == NULL || entry->prefix != target.prefix || entry->ordinal < target.ordinal) {
            return;
        }
        const struct kv_batch_record record = record_at(index, entry->offset);
        const struct kv_key own = {
            record.key, kv_trailer(iterator->base_sequence + entry->ordinal, record.type)};
        if (kv_compare_keys(index->comparator, own, key) >= 0) {
            return;
        }
        iterator->position = normal(index, iterator->position.chunk, iterator->position.entry + 1);
    }
}

static void iterator_seek(struct kv_iterator *iterator, struct kv_key key)
{
    seek_position(of(iterator), key);
    show(of(iterator));
}

static void iterator_seek_before(struct kv_iterator *iterator, struct kv_key key)
{
    seek_position(of(iterator), key);
    show_before(of(iterator));
}

static void iterator_next(struct kv_iterator *iterator)
{
    struct kv_batch_iterator *own = of(iterator);

    Q_DCHECK(iterator->is_valid);
    own->position = normal(own->index, own->position.chunk, own->position.entry + 1);
    show(own);
}

static void iterator_previous(struct kv_iterator *iterator)
{
    Q_DCHECK(iterator->is_valid);
    show_before(of(iterator));
}

static void iterator_fini(struct kv_iterator *iterator)
{
    iterator->is_valid = false;
}

void kv_batch_iterator_init(struct kv_batch_iterator *iterator, const struct kv_batch_index *index,
                            uint64_t base_sequence)
{
    static const struct kv_iterator_ops ops = {
        .first = iterator_first,
        .last = iterator_last,
        .seek = iterator_seek,
        .seek_before = iterator_seek_before,
        .next = iterator_next,
        .previous = iterator_previous,
        .fini = iterator_fini,
    };

    *iterator = (struct kv_batch_iterator){
        .base = {.ops = &ops, .status = QUARRY_OK}, .index = index, .base_sequence = base_sequence};
}
