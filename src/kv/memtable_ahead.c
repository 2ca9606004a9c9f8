/*
 * Looking ahead: where keys belong that a thread is going to insert.
 *
 *     all keys    where the table of keys has them
 *     all keys    there is a node of the key: it is fetched, and the new one will go before it
 *                 there is none: the place in the list, all of them side by side
 *     inserting   finds its place by the tag of its key, mostly the next one
 *
 * Inserting at random is a dozen cache misses, each waiting for the one before. A pipeline of SETs,
 * or a batch, knows its keys early, and the misses of sixteen keys take hardly more time than those
 * of one. Places are kept with the thread's splice; a wrong one is found out when it is used.
 *
 * SET among 10^6 keys by RESP, 16 at once: 3.7 to 2.6 us of CPU, flushes included.
 *
 * Locking: none.
 */
#include <kv/memtable_parts.h>

static void forget_places(const struct kv_memtable *memtable, struct kv_memtable_splice *splice)
{
    kv_memtable_splice_turn(memtable, splice);
    splice->place_count = 0;
    splice->place_next = 0;
}

void kv_memtable_seek_ahead(const struct kv_memtable *memtable, const struct kv_slice *keys,
                            size_t count, struct kv_memtable_splice *splice)
{
    const struct kv_list *list = &memtable->points;
    struct kv_list_target targets[KV_MEMTABLE_AHEAD];
    uint32_t tags[KV_MEMTABLE_AHEAD];

    Q_ASSERT(count <= KV_MEMTABLE_AHEAD);
    forget_places(memtable, splice);
    if (!memtable->has_hash) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        tags[i] = kv_hash_tag(keys[i]);
        kv_hash_prefetch(&memtable->hash, tags[i]);
    }
    for (size_t i = 0; i < count; i++) {
        if (!kv_hash_prefetch_node(&memtable->hash, tags[i])) {
            /* Before all nodes of its key. */
            targets[splice->place_count] =
                kv_list_target(list, keys[i], kv_trailer_seek(KV_SEQUENCE_MAX));
            splice->place_tags[splice->place_count++] = tags[i];
        }
    }
    kv_list_search_many(list, targets, splice->place_count, splice->places);
}

const struct kv_memtable_place *kv_memtable_take_place(struct kv_memtable_splice *splice,
                                                       uint32_t tag)
{
    for (uint32_t i = splice->place_next; i < splice->place_count; i++) {
        if (splice->place_tags[i] == tag) {
            splice->place_next = i + 1;
            return &splice->places[i];
        }
    }
    return NULL;
}
