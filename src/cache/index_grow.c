/*
 * How an index grows, and shrinks: one table at a time, in small pieces, under readers and writers.
 *
 *   begin     table ── next[0], next[1] ──> one table of the size that its items want, for both
 *                                           or, past 64 KiB, two of half of it, a bit deeper
 *   move      home by home: lock, each item into next, out of here, MOVED, unlock
 *   end       the directory leads to what it grew into; the old table is retired
 *
 * Steps of about 1.18 keep the load between 0.74 and 0.88, where doubling would let it fall to
 * 0.44: 11.3 bytes an item on average instead of 15. An item is moved five times for each time it
 * would be by doubling, in batches whose items are fetched ahead: some 30 ns each. A table whose
 * load has fallen below 0.55 is moved into a smaller one, by turns.
 *
 * One table of an index grows at a time, so that old and new of few are there at once. Whoever
 * inserts into the index meanwhile moves HELP_HOMES, wherever the key lies: a table of 1,023
 * buckets takes 256 insertions, a 25th of what it holds, and the others that want to grow wait for
 * no longer each. The cache's turns do more.
 *
 * `growing` says which: NULL, the table, or CACHE_INDEX_CLAIMED while somebody makes the tables or
 * ends it. The claim alone lets the directory change, so its holder reads it without the epoch.
 *
 * Room in what it grows into is counted ahead (`used_count` there, `owed` here), so that others'
 * insertions leave room for what is to be moved. Not for all of it, always: what is owed is a guess
 * for each half, insertions come in between the count and the promise, and a key's buckets may be
 * full where others are not. While a thread that has claimed homes is kept from the processor,
 * others fill the new table; then an item that finds no room near its home goes, as if it were
 * evicted.
 *
 * Memory: asked for without a lock, for others may be asked to give it, and this cache itself.
 * Where there is none the table fills further, to 31/32; then cache_index_make_room evicts.
 */
#include <cache/index.h>

#include <string.h>

#include <cache/index_table.h>
#include <cache/policy.h>

/* Homes that an insertion moves: enough that one growth ends before the next is needed. */
#define HELP_HOMES 4u
/* And one in so many looks whether readers have left an old table. */
#define COLLECT_EVERY 32u
/* And a turn at a time: some 30 µs. */
#define TURN_HOMES 128u
/* After a growth that found no memory, it is tried again once in so many insertions. */
#define STARVED_EVERY 64u

/* Items for each page of a new table: a load of 0.77. */
#define PAGE_ITEMS 690u
/* And of one that is made because items are few: 0.67. */
#define SHRUNK_PAGE_ITEMS 600u
/* Growth begins from so many 20ths of a table's slots on (cache_table_threshold); when there was no
 * room near a key, from so many. */
#define USUAL_20THS  18u
#define FORCED_20THS 11u

/* ---- tables --------------------------------------------------------------------------------- */

struct cache_table *cache_table_create(struct cache_index *index, uint32_t page_count,
                                       uint32_t depth, uint64_t prefix)
{
    uint64_t bytes = (uint64_t)page_count * QUARRY_PAGE_BYTES;
    struct cache_table *table = cache_memory_take(index->cache, bytes);

    if (table == NULL) {
        return NULL;
    }
    Q_ASSERT(page_count != 0 && page_count <= CACHE_TABLE_PAGES_MAX && depth < 32);
    table->bucket_count = page_count * CACHE_TABLE_PAGE_BUCKETS - 1;
    table->step_count = bits_log2_floor_u32(table->bucket_count) + 1;
    table->depth = depth;
    table->prefix = prefix;
    table->page_count = page_count;
    (void)atomic_add_relaxed_u64(&index->bytes, bytes);
    return table;
}

static void memory_give(struct cache_index *index, void *base, uint64_t bytes)
{
    (void)atomic_sub_relaxed_u64(&index->bytes, base == NULL ? 0 : bytes);
    cache_memory_give(index->cache, base, bytes);
}

static void table_destroy(struct cache_index *index, struct cache_table *table)
{
    if (table != NULL) {
        memory_give(index, table, table->page_count * QUARRY_PAGE_BYTES);
    }
}

static struct cache_directory *directory_create(struct cache_index *index, uint32_t bits)
{
    uint64_t bytes = sizeof(struct cache_directory) + (sizeof(void *) << bits);
    struct cache_directory *directory = cache_memory_take(index->cache, bytes);

    if (directory != NULL) {
        directory->bits = bits;
        directory->bytes = bytes;
        (void)atomic_add_relaxed_u64(&index->bytes, bytes);
    }
    return directory;
}

enum quarry_status cache_index_init(struct cache_index *index, struct quarry_cache *cache)
{
    memset(index, 0, sizeof(*index));
    index->cache = cache;
    os_mutex_init(&index->mutex, OS_RANK_CACHE_INDEX, 0);
    struct cache_directory *directory = directory_create(index, 0);
    struct cache_table *table = cache_table_create(index, 1, 0, 0);
    if (directory == NULL || table == NULL) {
        memory_give(index, directory, directory == NULL ? 0 : directory->bytes);
        table_destroy(index, table);
        return QUARRY_NO_MEMORY;
    }
    /* Release: the tenant is published later. */
    atomic_store_release_ptr(&directory->table[0], table);
    atomic_store_release_ptr(&index->directory, directory);
    atomic_store_relaxed_u64(&index->slot_count, cache_table_slots(table));
    return QUARRY_OK;
}

void cache_index_fini(struct cache_index *index)
{
    struct cache_directory *directory = cache_directory_of(index);
    struct cache_table *growing = atomic_load_relaxed_ptr(&index->growing);

    if (directory == NULL) {
        return;
    }
    Q_ASSERT(growing != CACHE_INDEX_CLAIMED);
    if (growing != NULL) {
        struct cache_table *first = atomic_load_relaxed_ptr(&growing->next[0]);
        struct cache_table *second = atomic_load_relaxed_ptr(&growing->next[1]);
        table_destroy(index, first);
        table_destroy(index, second == first ? NULL : second);
    }
    for (uint64_t i = 0; i < UINT64_C(1) << directory->bits;) {
        struct cache_table *table = atomic_load_relaxed_ptr(&directory->table[i]);
        i += UINT64_C(1) << (directory->bits - table->depth);
        table_destroy(index, table);
    }
    for (uint32_t i = 0; i < index->retired_count; i++) {
        memory_give(index, index->retired[i].base, index->retired[i].bytes);
    }
    memory_give(index, directory, directory->bytes);
    Q_ASSERT(atomic_load_relaxed_u64(&index->bytes) == 0);
    memset(index, 0, sizeof(*index));
}

/* ---- a size to begin with ------------------------------------------------------------------- */

/* Of so many slots four fifths are used then: below what a table grows at, and no roomier. */
#define PRESIZE_FIFTHS 4u

static uint64_t presize_pages(uint64_t item_count, uint32_t bits)
{
    uint64_t buckets =
        size_ceil_div_u64(item_count * 5, (uint64_t)PRESIZE_FIFTHS * CACHE_BUCKET_SLOTS << bits);

    return size_ceil_div_u64(buckets + 1, CACHE_TABLE_PAGE_BUCKETS);
}

/* Gives the tables of a directory back, and the directory. */
static void directory_destroy(struct cache_index *index, struct cache_directory *directory)
{
    for (uint64_t i = 0; i < UINT64_C(1) << directory->bits; i++) {
        table_destroy(index, atomic_load_relaxed_ptr(&directory->table[i]));
    }
    memory_give(index, directory, directory->bytes);
}

enum quarry_status cache_index_presize(struct cache_index *index, uint64_t item_count)
{
    struct cache_directory *before = cache_directory_of(index);
    uint32_t bits = 0;
    uint64_t slots = 0;

    Q_ASSERT(before->bits == 0 && atomic_load_relaxed_ptr(&index->growing) == NULL);
    while (presize_pages(item_count, bits) > CACHE_TABLE_PAGES_MAX) {
        bits++;
    }
    uint32_t pages = (uint32_t)presize_pages(item_count, bits);
    struct cache_directory *directory = directory_create(index, bits);
    if (directory == NULL) {
        return QUARRY_NO_MEMORY;
    }
    for (uint64_t i = 0; i < UINT64_C(1) << bits; i++) {
        struct cache_table *table =
            cache_table_create(index, pages, bits, bits == 0 ? 0 : i << (64 - bits));
        if (table == NULL) {
            directory_destroy(index, directory);
            return QUARRY_NO_MEMORY;
        }
        atomic_store_relaxed_ptr(&directory->table[i], table);
        slots += cache_table_slots(table);
    }
    /* Release: as in cache_index_init. */
    atomic_store_release_ptr(&index->directory, directory);
    atomic_store_relaxed_u64(&index->slot_count, slots);
    directory_destroy(index, before);
    return QUARRY_OK;
}

/* ---- what has been left --------------------------------------------------------------------- */

static void retire(struct cache_index *index, void *base, uint64_t bytes)
{
    uint64_t stamp = ref_epoch_now(index->cache->epoch);

    os_mutex_lock(&index->mutex);
    Q_ASSERT(index->retired_count < CACHE_RETIRED_MAX);
    index->retired[index->retired_count++] = (struct cache_retired){base, bytes, stamp};
    os_mutex_unlock(&index->mutex);
}

/* One that nobody is in any more; base NULL: none. */
static struct cache_retired take_past(struct cache_index *index)
{
    struct cache_retired past = {0};

    os_mutex_lock(&index->mutex);
    for (uint32_t i = 0; i < index->retired_count && past.base == NULL; i++) {
        if (ref_epoch_is_past(index->cache->epoch, index->retired[i].stamp)) {
            past = index->retired[i];
            index->retired[i] = index->retired[--index->retired_count];
        }
    }
    os_mutex_unlock(&index->mutex);
    return past;
}

/* Returns: how many are left. */
static uint32_t collect(struct cache_index *index)
{
    struct cache_retired past;

    while ((past = take_past(index)).base != NULL) {
        memory_give(index, past.base, past.bytes);
    }
    os_mutex_lock(&index->mutex);
    uint32_t left = index->retired_count;
    os_mutex_unlock(&index->mutex);
    return left;
}

/* ---- beginning ------------------------------------------------------------------------------ */

/* Pages of a table that items are to be moved into for they are few: with room for more. */
static uint32_t shrunk_pages(uint32_t used)
{
    return used / SHRUNK_PAGE_ITEMS + 1;
}

/* Whether a table is to be moved into a smaller one. */
static bool is_sparse(const struct cache_table *table)
{
    uint32_t used = atomic_load_relaxed_u32(&table->used_count);

    return used < cache_table_slots(table) / 20 * FORCED_20THS &&
           shrunk_pages(used) < table->page_count;
}

/* The tables that one is to grow into; the claim is held. */
struct growth {
    struct cache_table *table;
    struct cache_table *next[2];
    struct cache_directory *directory; /* a larger one, where it is needed */
};

static void growth_undo(struct cache_index *index, struct growth *growth)
{
    table_destroy(index, growth->next[0]);
    table_destroy(index, growth->next[1] == growth->next[0] ? NULL : growth->next[1]);
    if (growth->directory != NULL) {
        memory_give(index, growth->directory, growth->directory->bytes);
    }
}

static void make_wider(struct cache_index *index, struct growth *growth, uint32_t page_count)
{
    growth->next[0] =
        cache_table_create(index, page_count, growth->table->depth, growth->table->prefix);
    growth->next[1] = growth->next[0];
}

static bool make_deeper(struct cache_index *index, struct growth *growth, uint32_t page_count)
{
    uint32_t depth = growth->table->depth, bits = cache_directory_of(index)->bits;

    for (uint64_t bit = 0; bit < 2; bit++) {
        growth->next[bit] = cache_table_create(index, page_count, depth + 1,
                                               growth->table->prefix | bit << (63 - depth));
    }
    if (depth == bits) {
        growth->directory = directory_create(index, bits + 1);
        return growth->directory != NULL;
    }
    return true;
}

static bool growth_make(struct cache_index *index, struct growth *growth)
{
    uint32_t used = atomic_load_relaxed_u32(&growth->table->used_count);
    uint32_t now = (uint32_t)growth->table->page_count;
    uint32_t wanted = (used + PAGE_ITEMS / 2) / PAGE_ITEMS;
    bool has = true;

    if (is_sparse(growth->table)) {
        wanted = shrunk_pages(used);
    } else if (wanted <= now) {
        wanted = now + 1;
    }
    if (wanted <= CACHE_TABLE_PAGES_MAX) {
        make_wider(index, growth, wanted);
    } else {
        has = make_deeper(index, growth, (wanted + 1) / 2);
    }
    if (!has || growth->next[0] == NULL || growth->next[1] == NULL) {
        growth_undo(index, growth);
        return false;
    }
    return true;
}

static void directory_publish(struct cache_index *index, struct cache_directory *wider)
{
    struct cache_directory *directory = cache_directory_of(index);

    for (uint64_t i = 0; i < UINT64_C(1) << wider->bits; i++) {
        void *table = atomic_load_relaxed_ptr(&directory->table[i >> 1]);
        atomic_store_relaxed_ptr(&wider->table[i], table);
    }
    /* Release: pairs with the acquire in cache_directory_of. */
    atomic_store_release_ptr(&index->directory, wider);
    retire(index, directory, directory->bytes);
}

/* Promises room, then says where the keys are to be. */
static void growth_publish(struct cache_index *index, struct growth *growth)
{
    struct cache_table *table = growth->table;
    uint32_t used = atomic_load_relaxed_u32(&table->used_count);
    bool is_split = growth->next[0] != growth->next[1];
    uint32_t owed[2] = {is_split ? used / 2 : used, is_split ? used - used / 2 : 0};

    if (growth->directory != NULL) {
        directory_publish(index, growth->directory);
    }
    for (uint32_t bit = 0; bit < 2; bit++) {
        atomic_store_relaxed_u32(&table->owed[bit], owed[bit]);
        (void)atomic_add_relaxed_u32(&growth->next[bit]->used_count, owed[bit]);
    }
    /* Release: both pair with cache_table_next; the second says that both are there. */
    atomic_store_release_ptr(&table->next[0], growth->next[0]);
    atomic_store_release_ptr(&table->next[1], growth->next[1]);
    (void)atomic_add_relaxed_u64(&index->slot_count, cache_table_slots(growth->next[0]));
    if (is_split) {
        (void)atomic_add_relaxed_u64(&index->slot_count, cache_table_slots(growth->next[1]));
    }
}

static bool claim(struct cache_index *index, void *expected)
{
    /* Acquire: pairs with the release in unclaim. */
    return atomic_cas_acquire_ptr(&index->growing, &expected, CACHE_INDEX_CLAIMED);
}

static void unclaim(struct cache_index *index, void *growing)
{
    atomic_store_release_ptr(&index->growing, growing);
}

/* Whether the table is to grow, having at least so many 20ths of its slots used; or, 0, shrink. */
static bool is_wanted(const struct cache_index *index, const struct cache_table *table,
                      uint32_t least_20ths)
{
    uint32_t used = atomic_load_relaxed_u32(&table->used_count);

    if (least_20ths == 0) {
        return is_sparse(table);
    }
    if (used < cache_table_slots(table) / 20 * least_20ths) {
        return false;
    }
    return least_20ths != USUAL_20THS || used % STARVED_EVERY == 0 ||
           atomic_load_relaxed_u32(&index->starved_count) == 0;
}

/* Whether there is room to note what this growth will leave. */
static bool has_room_to_retire(struct cache_index *index)
{
    if (collect(index) + 2 <= CACHE_RETIRED_MAX) {
        return true;
    }
    ref_epoch_advance(index->cache->epoch);
    return false;
}

/* Begins to grow the table of a hash. Returns: whether it did. */
static bool begin(struct quarry_cache_tenant *tenant, uint64_t hash, uint32_t least_20ths)
{
    struct cache_index *index = &tenant->index;
    struct growth growth = {0};

    if (!claim(index, NULL)) {
        return false;
    }
    growth.table = cache_table_of(index, hash);
    if (!is_wanted(index, growth.table, least_20ths) || !has_room_to_retire(index)) {
        unclaim(index, NULL);
        return false;
    }
    if (!growth_make(index, &growth)) {
        (void)atomic_add_relaxed_u32(&index->starved_count, 1);
        unclaim(index, NULL);
        return false;
    }
    atomic_store_relaxed_u32(&index->starved_count, 0);
    growth_publish(index, &growth);
    unclaim(index, growth.table);
    return true;
}

/* ---- moving --------------------------------------------------------------------------------- */

static void move_slot(struct quarry_cache_tenant *tenant, struct cache_table *table, uint32_t home,
                      _Atomic uint64_t *slot, uint64_t hash)
{
    struct cache_table *next = cache_table_next(table, hash);
    uint32_t bit = next == atomic_load_relaxed_ptr(&table->next[0]) ? 0 : 1;
    uint64_t value = atomic_load_relaxed_u64(slot);

    /* There first, then not here: invariant 5 of index.c. A frequency raised between is lost. */
    bool has_room = cache_table_place(next, cache_table_home(next, hash), value);
    if (Q_UNLIKELY(!has_room)) {
        cache_item_end(cache_item_at(tenant->cache, cache_slot_ref(value)));
        (void)atomic_sub_relaxed_u32(&next->used_count, 1);
    }
    (void)cache_table_clear(table, home, slot);
    (void)atomic_sub_relaxed_u32(&table->owed[bit], 1);
    (void)atomic_sub_relaxed_u32(&table->used_count, 1);
    if (Q_UNLIKELY(!has_room)) {
        cache_item_strand(tenant, value);
    }
}

void cache_table_move_home(struct quarry_cache_tenant *tenant, struct cache_table *table,
                           uint32_t home)
{
    uint32_t at = home, step = cache_table_step(table, home);

    for (uint32_t n = 0; n < CACHE_TABLE_REACH; n++) {
        struct cache_bucket *bucket = &table->bucket[at];
        for (uint32_t i = 0; i < CACHE_BUCKET_SLOTS; i++) {
            uint64_t seen = cache_slot_load(&bucket->slot[i]);
            if (seen == 0) {
                continue;
            }
            /* Of another home it may go meanwhile: its cell stays what it is, inside the epoch. */
            struct cache_item *item = cache_item_at(tenant->cache, cache_slot_ref(seen));
            uint64_t hash = cache_item_hash(tenant, item, cache_item_head(item));
            if (cache_table_home(table, hash) == home) {
                move_slot(tenant, table, home, &bucket->slot[i], hash);
            }
        }
        if (cache_bucket_passed(bucket) == 0) {
            break;
        }
        at = cache_table_following(table, at, step);
    }
    /* Release: both pair with the acquire of who ends the growth, or goes on to the next. */
    (void)atomic_or_release_u32(&table->bucket[home].passed, CACHE_BUCKET_MOVED);
    (void)atomic_add_release_u32(&table->moved, 1);
}

static void prefetch_home(const struct quarry_cache_tenant *tenant, const struct cache_table *table,
                          uint32_t home)
{
    for (uint32_t i = 0; i < CACHE_BUCKET_SLOTS; i++) {
        uint64_t seen = cache_slot_load(&table->bucket[home].slot[i]);
        if (seen != 0) {
            __builtin_prefetch(cache_item_at(tenant->cache, cache_slot_ref(seen)));
        }
    }
}

/* Moves homes [first, end). */
static void move_homes(struct quarry_cache_tenant *tenant, struct cache_table *table,
                       uint32_t first, uint32_t end)
{
    for (uint32_t home = first; home < end; home++) {
        prefetch_home(tenant, table, home);
    }
    for (uint32_t home = first; home < end; home++) {
        struct cache_bucket *bucket = &table->bucket[home];
        cache_bucket_lock(bucket);
        if (!cache_bucket_is_moved(bucket)) {
            cache_table_move_home(tenant, table, home);
        }
        cache_bucket_unlock(bucket);
    }
}

/* ---- ending --------------------------------------------------------------------------------- */

/* The directory leads to what the table has grown into. The claim is held. */
static void directory_repoint(struct cache_index *index, const struct cache_table *table)
{
    struct cache_directory *directory = cache_directory_of(index);
    uint32_t spare = directory->bits - table->depth;
    uint64_t first = table->prefix >> 1 >> (63 - directory->bits);

    for (uint64_t i = 0; i < UINT64_C(1) << spare; i++) {
        uint64_t bit = spare == 0 ? 0 : i >> (spare - 1);
        void *next = atomic_load_relaxed_ptr(&table->next[bit]);
        /* Release: pairs with the acquire in cache_table_of. */
        atomic_store_release_ptr(&directory->table[first + i], next);
    }
}

static void end(struct cache_index *index, struct cache_table *table)
{
    if (!claim(index, table)) {
        return;
    }
    for (uint32_t bit = 0; bit < 2; bit++) {
        struct cache_table *next = atomic_load_relaxed_ptr(&table->next[bit]);
        uint32_t owed = atomic_load_relaxed_u32(&table->owed[bit]);
        (void)atomic_sub_relaxed_u32(&next->used_count, owed);
    }
    directory_repoint(index, table);
    (void)atomic_sub_relaxed_u64(&index->slot_count, cache_table_slots(table));
    (void)atomic_add_relaxed_u64(&index->grown_count, 1);
    retire(index, table, table->page_count * QUARRY_PAGE_BYTES);
    unclaim(index, NULL);
}

/* Does up to `homes` of what is growing. Returns: whether something was. Inside the epoch. */
static bool help(struct quarry_cache_tenant *tenant, uint32_t homes)
{
    /* Acquire: pairs with the release in unclaim. */
    struct cache_table *table = atomic_load_acquire_ptr(&tenant->index.growing);

    if (table == NULL || table == CACHE_INDEX_CLAIMED) {
        return false;
    }
    /* Relaxed: homes that are claimed twice or late are found moved. */
    if (atomic_load_relaxed_u32(&table->claimed) < table->bucket_count) {
        uint32_t first = atomic_add_relaxed_u32(&table->claimed, homes);
        uint32_t past = table->bucket_count - first < homes ? table->bucket_count : first + homes;
        move_homes(tenant, table, first < table->bucket_count ? first : past, past);
    }
    /* Acquire: pairs with the release in cache_table_move_home. */
    if (atomic_load_acquire_u32(&table->moved) == table->bucket_count) {
        end(&tenant->index, table);
    }
    return true;
}

/* ---- the door ------------------------------------------------------------------------------- */

void cache_index_grow(struct quarry_cache_tenant *tenant, uint64_t hash)
{
    struct quarry_cache *cache = tenant->cache;

    if (atomic_load_relaxed_ptr(&tenant->index.growing) == NULL) {
        (void)begin(tenant, hash, USUAL_20THS);
        return;
    }
    quarry_epoch_enter(cache->epoch);
    (void)help(tenant, HELP_HOMES);
    quarry_epoch_leave(cache->epoch);
    if (hash % COLLECT_EVERY == 0 && collect(&tenant->index) != 0) {
        ref_epoch_advance(cache->epoch);
    }
}

/* Looks at the next table, by turns. Returns: whether it shrinks from now on. */
static bool shrink(struct quarry_cache_tenant *tenant)
{
    struct quarry_cache *cache = tenant->cache;
    uint64_t cursor = atomic_load_relaxed_u64(&tenant->index.looked_at);

    quarry_epoch_enter(cache->epoch);
    const struct cache_table *table = cache_table_of(&tenant->index, cursor);
    bool is_to_shrink = is_sparse(table);
    uint64_t next = cache_table_range_end(table, table->bucket_count - 1);
    quarry_epoch_leave(cache->epoch);
    atomic_store_relaxed_u64(&tenant->index.looked_at, next);
    return is_to_shrink && begin(tenant, cursor, 0);
}

bool cache_index_turn(struct quarry_cache_tenant *tenant)
{
    struct quarry_cache *cache = tenant->cache;

    quarry_epoch_enter(cache->epoch);
    bool is_growing = help(tenant, TURN_HOMES);
    quarry_epoch_leave(cache->epoch);
    if (is_growing) {
        return true;
    }
    if (collect(&tenant->index) != 0) {
        ref_epoch_advance(cache->epoch);
    }
    return shrink(tenant);
}

/* Evicts the item of lowest worth in the first bucket with one, from the hash's home on. */
static bool evict_near(struct quarry_cache_tenant *tenant, uint64_t hash)
{
    struct quarry_cache *cache = tenant->cache;
    uint64_t cursor = hash, gone = 0;

    for (bool is_around = false; gone == 0 && !is_around; is_around = cursor == 0) {
        struct cache_slot_view slots[CACHE_BUCKET_SLOTS];
        uint32_t count = cache_index_look(&tenant->index, &cursor, slots), worst = 0;
        for (uint32_t i = 1; i < count; i++) {
            if (cache_slot_frequency(slots[i].seen) < cache_slot_frequency(slots[worst].seen)) {
                worst = i;
            }
        }
        if (count != 0) {
            uint64_t ref48 = cache_slot_ref(slots[worst].seen);
            struct cache_item *item = cache_item_at(cache, ref48);
            uint64_t its = cache_item_hash(tenant, item, cache_item_head(item));
            gone = cache_item_remove(tenant, its, ref48, CACHE_GONE_EVICTED);
        }
    }
    return gone != 0;
}

bool cache_index_make_room(struct quarry_cache_tenant *tenant, uint64_t hash)
{
    struct quarry_cache *cache = tenant->cache;
    void *growing = atomic_load_acquire_ptr(&tenant->index.growing);

    if (growing == CACHE_INDEX_CLAIMED) {
        os_yield();
        return true;
    }
    if (growing == NULL && begin(tenant, hash, FORCED_20THS)) {
        return true;
    }
    quarry_epoch_enter(cache->epoch);
    bool has = help(tenant, TURN_HOMES) || (!cache->never_evicts && evict_near(tenant, hash));
    quarry_epoch_leave(cache->epoch);
    return has;
}
