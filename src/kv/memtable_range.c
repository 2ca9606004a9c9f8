/*
 * Range deletions of a memtable: a list, and fragments that are made of it when somebody asks.
 *
 *     list        begin, sequence, end; as they came       always there
 *     fragments   cut, sorted, counted (range_del.c)       until there are more range deletions
 *
 * `linked_range_count` says how many are in the list; fragments that were made of fewer are made
 * anew. Whoever reads holds a reference, so that those that are replaced live on as long as they
 * are read. Without memory for fragments a reader looks at all range deletions that begin at or
 * before its key: slower, and never refused.
 *
 * Invariants
 *   1. Cached fragments are of the first `fragments_range_count` range deletions to be linked, and
 *      perhaps of more, which came while they were made. A reader leaves out what is above its
 *      sequence in any case.
 *   2. What a reader may see was linked, and counted, before its sequence was published.
 *
 * Locking: `fragments_mutex` guards a pointer and a count; nothing is called with it held. Two
 * readers may make the same fragments at once; one of them keeps them.
 * Cost: a load where there are none; a lock and two binary searches else; after each new range
 * deletion, a sort of all of them.
 *
 * Source: Pebble's memTable, for the cache and its counter.
 */
#include <kv/memtable_parts.h>

static struct kv_range range_at(const struct kv_list *list, uint32_t offset)
{
    const struct kv_node *node = kv_node_at(list, offset);

    return (struct kv_range){kv_node_key(node), kv_node_value(node),
                             kv_trailer_sequence(node->trailer)};
}

/* The cached fragments, if they are of so many range deletions or more: a reference. */
static struct kv_fragments *fragments_cached(struct kv_memtable *memtable, uint64_t range_count)
{
    struct kv_fragments *fragments = NULL;

    os_mutex_lock(&memtable->fragments_mutex);
    if (memtable->fragments != NULL && memtable->fragments_range_count >= range_count) {
        fragments = memtable->fragments;
        kv_fragments_acquire(fragments);
    }
    os_mutex_unlock(&memtable->fragments_mutex);
    return fragments;
}

/* Puts them into the cache, unless what is there is of more. The caller keeps its reference. */
static void fragments_cache(struct kv_memtable *memtable, struct kv_fragments *fragments,
                            uint64_t range_count)
{
    struct kv_fragments *dropped = NULL;

    os_mutex_lock(&memtable->fragments_mutex);
    if (memtable->fragments == NULL || memtable->fragments_range_count < range_count) {
        dropped = memtable->fragments;
        kv_fragments_acquire(fragments);
        memtable->fragments = fragments;
        memtable->fragments_range_count = range_count;
    }
    os_mutex_unlock(&memtable->fragments_mutex);
    kv_fragments_release(dropped);
}

/* Of the first `range_count` that were linked, at least: others may come into the list meanwhile,
 * and are left out where they do not fit. */
static enum quarry_status fragments_make(struct kv_memtable *memtable, uint64_t range_count,
                                         struct kv_fragments **ret_fragments)
{
    struct kv_range *ranges = NULL;
    size_t count = 0, capacity = 0;
    enum quarry_status status =
        kv_memory_grow(memtable->memory, (void **)&ranges, &capacity, range_count, sizeof(*ranges));

    for (uint32_t at = kv_list_next(&memtable->ranges, memtable->ranges.head);
         at != 0 && status == QUARRY_OK; at = kv_list_next(&memtable->ranges, at)) {
        status = kv_memory_grow(memtable->memory, (void **)&ranges, &capacity, count + 1,
                                sizeof(*ranges));
        if (status == QUARRY_OK) {
            ranges[count++] = range_at(&memtable->ranges, at);
        }
    }
    if (status == QUARRY_OK) {
        status = kv_fragments_create(memtable->memory, memtable->comparator, ranges, count,
                                     ret_fragments);
    }
    kv_memory_give(memtable->memory, ranges);
    return status;
}

enum quarry_status kv_memtable_fragments(struct kv_memtable *memtable,
                                         struct kv_fragments **ret_fragments)
{
    /* Acquire: pairs with the release in link_range. */
    uint64_t range_count = atomic_load_acquire_u64(&memtable->linked_range_count);

    if (range_count == 0) {
        *ret_fragments = NULL;
        return QUARRY_OK;
    }
    struct kv_fragments *fragments = fragments_cached(memtable, range_count);
    if (fragments == NULL) {
        enum quarry_status status = fragments_make(memtable, range_count, &fragments);
        if (status != QUARRY_OK) {
            return status;
        }
        fragments_cache(memtable, fragments, range_count);
    }
    *ret_fragments = fragments;
    return QUARRY_OK;
}

/* By a look at each range deletion that begins at or before a key. */
static uint64_t cover_by_list(const struct kv_memtable *memtable, struct kv_slice key,
                              uint64_t sequence)
{
    const struct kv_list *list = &memtable->ranges;
    uint64_t cover = 0;

    for (uint32_t at = kv_list_next(list, list->head); at != 0; at = kv_list_next(list, at)) {
        const struct kv_range range = range_at(list, at);
        if (kv_compare(memtable->comparator, range.begin, key) > 0) {
            break;
        }
        if (range.sequence <= sequence && range.sequence > cover &&
            kv_compare(memtable->comparator, key, range.end) < 0) {
            cover = range.sequence;
        }
    }
    return cover;
}

uint64_t kv_memtable_cover(struct kv_memtable *memtable, struct kv_slice key, uint64_t sequence)
{
    struct kv_fragments *fragments;

    /* Acquire: pairs with the release in link_range. */
    if (Q_LIKELY(atomic_load_acquire_u64(&memtable->linked_range_count) == 0)) {
        return 0;
    }
    if (kv_memtable_fragments(memtable, &fragments) != QUARRY_OK) {
        return cover_by_list(memtable, key, sequence);
    }
    uint64_t cover = kv_fragments_cover(fragments, key, sequence);
    kv_fragments_release(fragments);
    return cover;
}
