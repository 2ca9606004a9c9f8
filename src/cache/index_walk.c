/*
 * Walking an index: by the order of hashes, in which tables and their buckets lie, however many
 * there are by then. A cursor is a hash.
 *
 * The clock's hand (cache_index_look) takes buckets as they lie. Where the table grows it looks
 * into the old one while the home is still there, and into the next from then on: near a home that
 * is just being moved it may miss some, or see some again, until the next round.
 *
 * Who must not miss any (cache_index_next) asks for the items of a stretch of hashes, those of one
 * home, under its lock, and leaves out what only lies there. The stretch ends where the first of
 * the homes does that the keys of the cursor have, or had, on the way to their authority: what
 * comes after that end may not have been moved yet.
 */
#include <cache/index.h>

#include <cache/index_table.h>

/* Items of one home: six on average. */
#define STRETCH_MAX 96u

uint32_t cache_index_look(const struct cache_index *index, uint64_t *cursor,
                          struct cache_slot_view *slots)
{
    struct cache_table *table = cache_table_of(index, *cursor);
    uint32_t at = cache_table_home(table, *cursor), count = 0;

    while (cache_bucket_is_moved(&table->bucket[at])) {
        table = cache_table_next(table, *cursor);
        at = cache_table_home(table, *cursor);
    }
    for (uint32_t i = 0; i < CACHE_BUCKET_SLOTS; i++) {
        uint64_t seen = cache_slot_load(&table->bucket[at].slot[i]);
        if (seen != 0) {
            slots[count++] = (struct cache_slot_view){&table->bucket[at].slot[i], seen};
        }
    }
    *cursor = cache_table_range_end(table, at);
    return count;
}

struct stretch {
    uint64_t first, last; /* hashes, both included */
    uint32_t count;
    uint64_t hash[STRETCH_MAX], ref48[STRETCH_MAX];
};

/* The last hash of the stretch that begins at `first` and ends with each home on the way. */
static uint64_t last_of(const struct cache_index *index, const struct cache_lock *lock,
                        uint64_t first)
{
    const struct cache_table *table = cache_table_of(index, first);
    uint64_t last = UINT64_MAX;

    for (;;) {
        uint64_t past = cache_table_range_end(table, cache_table_home(table, first));
        last = past - 1 < last ? past - 1 : last;
        if (table == lock->table) {
            return last;
        }
        table = cache_table_next(table, first);
    }
}

/* By rising hash. */
static void stretch_add(struct stretch *stretch, uint64_t hash, uint64_t ref48)
{
    uint32_t at = stretch->count;

    if (at == STRETCH_MAX) {
        return;
    }
    for (; at != 0 && stretch->hash[at - 1] > hash; at--) {
        stretch->hash[at] = stretch->hash[at - 1];
        stretch->ref48[at] = stretch->ref48[at - 1];
    }
    stretch->hash[at] = hash;
    stretch->ref48[at] = ref48;
    stretch->count++;
}

static void stretch_fill(const struct quarry_cache_tenant *tenant, const struct cache_lock *lock,
                         struct stretch *stretch)
{
    uint32_t at = lock->home_index, step = cache_table_step(lock->table, at);

    for (uint32_t n = 0; n < CACHE_TABLE_REACH; n++) {
        const struct cache_bucket *bucket = &lock->table->bucket[at];
        for (uint32_t i = 0; i < CACHE_BUCKET_SLOTS; i++) {
            uint64_t seen = cache_slot_load(&bucket->slot[i]);
            if (seen == 0) {
                continue;
            }
            struct cache_item *item = cache_item_at(tenant->cache, cache_slot_ref(seen));
            uint64_t hash = cache_item_hash(tenant, item, cache_item_head(item));
            if (hash >= stretch->first && hash <= stretch->last) {
                stretch_add(stretch, hash, cache_slot_ref(seen));
            }
        }
        if (cache_bucket_passed(bucket) == 0) {
            return;
        }
        at = cache_table_following(lock->table, at, step);
    }
}

uint32_t cache_index_next(struct quarry_cache_tenant *tenant, uint64_t *cursor, uint64_t *refs,
                          uint32_t capacity)
{
    struct stretch stretch = {.first = *cursor};
    struct cache_lock lock;

    if (*cursor == UINT64_MAX) {
        return 0;
    }
    cache_index_lock(tenant, stretch.first, &lock);
    stretch.last = last_of(&tenant->index, &lock, stretch.first);
    stretch_fill(tenant, &lock, &stretch);
    cache_index_unlock(&lock);
    uint32_t count = stretch.count < capacity ? stretch.count : capacity;
    for (uint32_t i = 0; i < count; i++) {
        refs[i] = stretch.ref48[i];
    }
    if (count < stretch.count) {
        *cursor = stretch.hash[count];
    } else {
        *cursor = stretch.last == UINT64_MAX ? UINT64_MAX : stretch.last + 1;
    }
    return count;
}
