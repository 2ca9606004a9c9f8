/*
 * Memtables: two skiplists and a table of keys in one arena.
 *
 *     arena   | memtable | heads | first table | node | node | table | node | …
 *
 *     points: a list of all entries but range deletions; the table has each key's newest
 *     ranges: a list of range deletions, by where they begin, their values being where they end
 *
 * A batch is inserted in three steps. *Planning* goes over its changes, draws the height of each
 * node and adds up what all of them take: exactly, for heights follow from a seed. *Preparing*,
 * with the store's commit lock held, takes these bytes from the arena at once and counts the
 * changes: it is what can fail, before the batch is in the log. *Applying*, with no lock, writes
 * the nodes one after the other and links them; it asks nobody for anything. A memtable whose
 * writers have all applied can be flushed.
 *
 * What is inserted is seen by nobody before the store publishes its sequence, for readers skip what
 * is above theirs.
 *
 * Reading a key asks the table, which says a node or that there is none; without a table, or when
 * it has lost a key, the list. From the node found the newest visible entry is a few steps along
 * the list, in either direction; after STEPS_MAX of them the list is searched instead.
 *
 * Invariants
 *   1. Nodes of a plan fill [offset, offset + byte_count) exactly.
 *   2. The counts are those of all plans that were prepared; with no writers left they are what the
 *      lists have.
 *   3. `writer_count` does not rise once the store has turned to another memtable.
 *
 * Locking: none; of range deletions, see memtable_range.c.
 * Cost, in instructions counted by callgrind, keys of 16 bytes that share their first eight, values
 * of 100, 100,000 entries: planning, preparing and applying a batch of one put, 860 with keys
 * rising, 2,140 at random, of which the table of keys is 160; a get, 240 for a key that is there,
 * 160 for one that is not, 1,415 by the list; a step of an iterator, 54 forward and 68 back. A node
 * has 24 bytes besides key and value and their lengths, and 6 of links and filling on average.
 *
 * Rejected: taking bytes node by node while inserting, an atomic addition each, and a batch that
 * could fail half-way through. A worst-case estimate for heights, given back at the end: an arena
 * cannot take back.
 *
 * Source: Pebble's memTable (prepare, apply, range deletions apart, fragments by a counter);
 * RocksDB's for the concurrent insertion with hints.
 */
#include <kv/memtable_parts.h>

/* How far a reader goes along the list from what the table said. */
#define STEPS_MAX 8u
/* Changes of a batch whose places in the table of keys are fetched together: a miss takes as long
 * as some ten insertions in order. */
#define CHANGES_AHEAD 8u
/* Nodes up to this height get no short cuts where there is an older one of their key: one in e^3 is
 * higher. */
#define LOW_HEIGHT 3u

/* ---- beginning and ending ------------------------------------------------------------------- */

static enum quarry_status build(struct kv_memtable *memtable,
                                const struct kv_memtable_options *options)
{
    static _Atomic uint64_t last_id;

    ref_count_init(&memtable->reference_count);
    os_mutex_init(&memtable->fragments_mutex, OS_RANK_LEAF, 0);
    memtable->memory = options->memory;
    memtable->comparator = options->comparator;
    /* Relaxed: only that it is nobody else's matters. */
    memtable->id = atomic_add_relaxed_u64(&last_id, 1) + 1;
    memtable->has_hash = !options->has_no_hash && options->comparator->compare == NULL;
    enum quarry_status status =
        kv_list_init(&memtable->points, memtable->arena, options->comparator);
    if (status == QUARRY_OK) {
        status = kv_list_init(&memtable->ranges, memtable->arena, options->comparator);
    }
    if (status == QUARRY_OK && memtable->has_hash) {
        status = kv_hash_init(&memtable->hash, memtable->arena, &memtable->points);
    }
    memtable->first_bytes = atomic_load_relaxed_u64(&memtable->arena->top);
    return status;
}

enum quarry_status kv_memtable_create(const struct kv_memtable_options *options,
                                      struct kv_memtable **ret_memtable, struct quarry_error *error)
{
    struct quarry_arena *arena = NULL;
    uint32_t offset;
    enum quarry_status status =
        quarry_arena_keeper_take(options->keeper, options->capacity_bytes, &arena, error);

    if (status != QUARRY_OK) {
        return status;
    }
    status = arena_alloc(arena, sizeof(struct kv_memtable), Q_CACHE_LINE_BYTES, &offset);
    if (status == QUARRY_OK) {
        struct kv_memtable *memtable = arena_at(arena, offset);
        memset(memtable, 0, sizeof(*memtable));
        memtable->arena = arena;
        status = build(memtable, options);
        *ret_memtable = memtable;
    }
    if (status != QUARRY_OK) {
        *ret_memtable = NULL;
        quarry_arena_destroy(arena);
        return error_set(error, status, "memtable: no room in an arena of %llu bytes",
                         (unsigned long long)options->capacity_bytes);
    }
    return QUARRY_OK;
}

void kv_memtable_acquire(struct kv_memtable *memtable)
{
    ref_count_acquire(&memtable->reference_count);
}

bool kv_memtable_try_acquire(struct kv_memtable *memtable)
{
    return ref_count_try_acquire(&memtable->reference_count);
}

void kv_memtable_release(struct kv_memtable *memtable)
{
    if (memtable == NULL || !ref_count_release(&memtable->reference_count)) {
        return;
    }
    /* Acquire: pairs with the release of the last writer. */
    Q_ASSERT(atomic_load_acquire_u32(&memtable->writer_count) == 0);
    kv_fragments_release(memtable->fragments);
    quarry_arena_destroy(memtable->arena); /* the memtable is in it */
}

/* ---- planning and preparing ----------------------------------------------------------------- */

/* The height of the how-many-th node of a plan: one in e goes a level up. */
static uint32_t height_of(uint64_t seed, uint32_t ordinal)
{
    /* 2^32 / e^n. */
    static const uint32_t limits[KV_MEMTABLE_HEIGHT_MAX] = {
        1580030169, 581260615, 213833830, 78665070, 28939262, 10646160, 3916503,
        1440801,    530041,    194991,    71733,    26389,    9708,     3571,
        1314,       483,       178,       65,       24,       0};
    uint64_t word = (seed + ordinal) * UINT64_C(0x9e3779b97f4a7c15);
    uint32_t height = 1;

    word = (word ^ (word >> 32)) * UINT64_C(0xd6e8feb86659fd93);
    while ((uint32_t)(word >> 32) < limits[height - 1]) {
        height++;
    }
    Q_DCHECK(height <= KV_MEMTABLE_HEIGHT_MAX);
    return height;
}

/* Another seed for each plan of a thread, and other ones for each thread. */
static uint64_t next_seed(void)
{
    static _Thread_local uint64_t plan_count;

    return (uint64_t)os_thread_id() << 40 ^ plan_count++ << 24;
}

static inline enum quarry_status next_record(struct kv_batch_cursor *cursor,
                                             struct kv_batch_record *record,
                                             struct quarry_error *error)
{
    if (Q_LIKELY(kv_batch_next_short(cursor, record))) {
        return QUARRY_OK;
    }
    return cursor->at == cursor->end ? QUARRY_NOT_FOUND : kv_batch_next(cursor, record, error);
}

static inline uint64_t data_bytes_of(const struct kv_batch_record *record)
{
    return Q_LIKELY(record->pair.bytes != NULL)
               ? record->pair.count
               : kv_node_data_bytes(record->key.count, record->value.count);
}

enum quarry_status kv_memtable_plan(struct kv_slice data, struct kv_memtable_plan *ret_plan,
                                    struct quarry_error *error)
{
    struct kv_memtable_plan plan = {.data = data, .seed = next_seed()};
    struct kv_batch_cursor cursor;
    struct kv_batch_record record;
    enum quarry_status status = kv_batch_cursor_init(&cursor, data, error);

    while (status == QUARRY_OK) {
        status = next_record(&cursor, &record, error);
        if (status == QUARRY_OK && record.is_change) {
            uint32_t height = height_of(plan.seed, plan.counts.change_count);
            /* Below 2^34 for each of 2^32 changes at most, and all of them are in memory. */
            plan.byte_count += kv_node_total_bytes(height, data_bytes_of(&record));
            if (plan.counts.change_count == 0) {
                plan.first_tag = kv_hash_tag(record.key);
            }
            kv_batch_count_change(&plan.counts, &record);
        }
    }
    if (status == QUARRY_NOT_FOUND) {
        status = kv_batch_check_header(data, &plan.counts, error);
    }
    if (status == QUARRY_OK) {
        *ret_plan = plan;
    }
    return status;
}

/* One writer at a time: plain stores that readers see whole. */
static void count_plan(struct kv_memtable *memtable, const struct kv_memtable_plan *plan)
{
    const struct kv_batch_counts *counts = &plan->counts;

    atomic_bump_relaxed_u64(&memtable->entry_count, counts->change_count - counts->range_count);
    atomic_bump_relaxed_u64(&memtable->key_bytes, counts->key_bytes);
    atomic_bump_relaxed_u64(&memtable->value_bytes, counts->value_bytes);
    if ((counts->delete_count | counts->merge_count | counts->range_count) != 0) {
        atomic_bump_relaxed_u64(&memtable->delete_count, counts->delete_count);
        atomic_bump_relaxed_u64(&memtable->merge_count, counts->merge_count);
        atomic_bump_relaxed_u64(&memtable->range_count, counts->range_count);
    }
    if (atomic_load_relaxed_u64(&memtable->largest_sequence) == 0) {
        atomic_store_relaxed_u64(&memtable->smallest_sequence, plan->sequence);
    }
    atomic_store_relaxed_u64(&memtable->largest_sequence,
                             plan->sequence + counts->change_count - 1);
}

enum quarry_status kv_memtable_prepare(struct kv_memtable *memtable, struct kv_memtable_plan *plan,
                                       uint64_t sequence)
{
    Q_ASSERT(sequence >= atomic_load_relaxed_u64(&memtable->largest_sequence));
    if (plan->byte_count > memtable->arena->capacity_bytes - memtable->first_bytes) {
        return QUARRY_TOO_LARGE;
    }
    if (plan->byte_count != 0) {
        enum quarry_status status =
            arena_alloc(memtable->arena, (uint32_t)plan->byte_count, 8, &plan->offset);
        if (status != QUARRY_OK) {
            return status;
        }
        plan->sequence = sequence;
        count_plan(memtable, plan);
        if (memtable->has_hash) {
            /* It is wanted when the batch is in the log: a cache miss that nobody waits for. */
            kv_hash_prefetch(&memtable->hash, plan->first_tag);
        }
    }
    /* Relaxed: who waits for writers has turned to another memtable under the same lock. */
    (void)atomic_add_relaxed_u32(&memtable->writer_count, 1);
    return QUARRY_OK;
}

/* Adding what is to be subtracted, as it wraps around. */
static void uncount_plan(struct kv_memtable *memtable, const struct kv_memtable_plan *plan)
{
    const struct kv_batch_counts *counts = &plan->counts;
    bool was_first = atomic_load_relaxed_u64(&memtable->smallest_sequence) == plan->sequence;

    atomic_bump_relaxed_u64(&memtable->entry_count,
                            -(uint64_t)(counts->change_count - counts->range_count));
    atomic_bump_relaxed_u64(&memtable->key_bytes, -counts->key_bytes);
    atomic_bump_relaxed_u64(&memtable->value_bytes, -counts->value_bytes);
    atomic_bump_relaxed_u64(&memtable->delete_count, -(uint64_t)counts->delete_count);
    atomic_bump_relaxed_u64(&memtable->merge_count, -(uint64_t)counts->merge_count);
    atomic_bump_relaxed_u64(&memtable->range_count, -(uint64_t)counts->range_count);
    /* What was between the last one and this one is not known, and was not here. */
    atomic_store_relaxed_u64(&memtable->largest_sequence, was_first ? 0 : plan->sequence - 1);
    if (was_first) {
        atomic_store_relaxed_u64(&memtable->smallest_sequence, 0);
    }
}

void kv_memtable_cancel(struct kv_memtable *memtable, const struct kv_memtable_plan *plan)
{
    Q_ASSERT(plan->byte_count == 0 || atomic_load_relaxed_u64(&memtable->largest_sequence) ==
                                          plan->sequence + plan->counts.change_count - 1);
    if (plan->byte_count != 0) {
        uncount_plan(memtable, plan);
    }
    /* Relaxed: who waits for writers comes by the same lock. */
    uint32_t before = atomic_sub_relaxed_u32(&memtable->writer_count, 1);
    Q_ASSERT(before != 0);
}

/* ---- applying ------------------------------------------------------------------------------- */

static uint8_t *write_slice(uint8_t *at, struct kv_slice slice)
{
    at += varint_put_u32(at, (uint32_t)slice.count);
    if (slice.count != 0) {
        memcpy(at, slice.bytes, slice.count);
    }
    return at + slice.count;
}

/* A node's contents; its links are the list's to write. */
static void write_node(const struct kv_list *list, uint32_t offset, uint64_t sequence,
                       const struct kv_batch_record *record)
{
    struct kv_node *node = kv_node_at(list, offset);

    node->prefix = kv_list_prefix(list, record->key);
    node->trailer = kv_trailer(sequence, record->type);
    if (Q_LIKELY(record->pair.bytes != NULL)) {
        memcpy(node->data, record->pair.bytes, record->pair.count);
    } else {
        (void)write_slice(write_slice(node->data, record->key), record->value);
    }
}

/* Before an older node of the key, if there is one. */
static bool insert_before_older(struct kv_memtable *memtable, uint32_t offset, uint32_t height,
                                uint32_t tag)
{
    const struct kv_node *node = kv_node_at(&memtable->points, offset);

    if (height > LOW_HEIGHT || !memtable->has_hash) {
        return false;
    }
    uint32_t older = kv_hash_find(&memtable->hash, tag, kv_node_key(node), node->prefix);
    return older != 0 && kv_list_insert_before(&memtable->points, offset, older);
}

/* Where the thread looked for its place ahead. */
static bool insert_at_place(struct kv_memtable *memtable, uint32_t offset, uint32_t height,
                            uint32_t tag, struct kv_memtable_splice *splice)
{
    const struct kv_memtable_place *place = kv_memtable_take_place(splice, tag);

    return place != NULL && kv_list_insert_at(&memtable->points, offset, height, place);
}

static void link_point(struct kv_memtable *memtable, uint32_t offset, uint32_t height, uint32_t tag,
                       struct kv_memtable_splice *splice)
{
    if (!kv_list_insert_near(&memtable->points, offset, height, splice) &&
        !insert_before_older(memtable, offset, height, tag) &&
        !insert_at_place(memtable, offset, height, tag, splice)) {
        kv_list_insert_far(&memtable->points, offset, height, splice);
    }
    if (memtable->has_hash) {
        kv_hash_insert(&memtable->hash, tag, offset);
    }
}

static void link_range(struct kv_memtable *memtable, uint32_t offset, uint32_t height)
{
    struct kv_memtable_splice splice;

    kv_list_splice_init(&memtable->ranges, &splice);
    kv_list_insert_far(&memtable->ranges, offset, height, &splice);
    /* Release: pairs with the acquire of readers: what they count is in the list. */
    (void)atomic_add_release_u64(&memtable->linked_range_count, 1);
}

/* Changes that are read before the first of them is inserted. */
struct ahead {
    struct kv_batch_record records[CHANGES_AHEAD];
    uint32_t tags[CHANGES_AHEAD];
    uint32_t count;
};

/* The tag of a change's key, whose place is on its way from memory. The first one was asked for
 * when the plan was prepared. */
static inline uint32_t fetch_place(const struct kv_memtable *memtable,
                                   const struct kv_memtable_plan *plan, struct kv_slice key,
                                   uint32_t ordinal)
{
    if (ordinal == 0 || !memtable->has_hash) {
        return plan->first_tag;
    }
    uint32_t tag = kv_hash_tag(key);
    kv_hash_prefetch(&memtable->hash, tag);
    return tag;
}

/* The next changes, from the how-many-th on. */
static void read_ahead(const struct kv_memtable *memtable, const struct kv_memtable_plan *plan,
                       struct kv_batch_cursor *cursor, uint32_t ordinal, struct ahead *ahead)
{
    struct kv_batch_record *record = &ahead->records[0];

    ahead->count = 0;
    while (ahead->count < CHANGES_AHEAD && next_record(cursor, record, NULL) == QUARRY_OK) {
        if (!record->is_change) {
            continue;
        }
        ahead->tags[ahead->count] =
            fetch_place(memtable, plan, record->key, ordinal + ahead->count);
        record = &ahead->records[++ahead->count];
    }
}

/* Where the next node goes, and its place among the changes. */
struct progress {
    uint64_t at;
    uint32_t ordinal;
};

static void apply_change(struct kv_memtable *memtable, const struct kv_memtable_plan *plan,
                         const struct kv_batch_record *record, uint32_t tag,
                         struct progress *progress, struct kv_memtable_splice *splice)
{
    uint32_t height = height_of(plan->seed, progress->ordinal);
    uint32_t offset = (uint32_t)(progress->at + kv_node_tower_bytes(height));

    progress->at += kv_node_total_bytes(height, data_bytes_of(record));
    write_node(&memtable->points, offset, plan->sequence + progress->ordinal, record);
    if (record->type == KV_TYPE_RANGE_DELETE) {
        link_range(memtable, offset, height);
    } else {
        link_point(memtable, offset, height, tag, splice);
    }
    progress->ordinal++;
}

/* Changes one after the other; their nodes lie in the order of the batch. */
static void apply_changes(struct kv_memtable *memtable, const struct kv_memtable_plan *plan,
                          struct kv_memtable_splice *splice)
{
    struct kv_batch_cursor cursor = {.begin = plan->data.bytes,
                                     .at = plan->data.bytes + KV_BATCH_HEADER_BYTES,
                                     .end = plan->data.bytes + plan->data.count};
    struct progress progress = {.at = plan->offset, .ordinal = 0};
    struct ahead ahead;

    do {
        read_ahead(memtable, plan, &cursor, progress.ordinal, &ahead);
        for (uint32_t i = 0; i < ahead.count; i++) {
            apply_change(memtable, plan, &ahead.records[i], ahead.tags[i], &progress, splice);
        }
    } while (ahead.count == CHANGES_AHEAD);
    Q_ASSERT(progress.ordinal == plan->counts.change_count);
    Q_ASSERT(progress.at == plan->offset + plan->byte_count); /* invariant 1 */
}

void kv_memtable_apply(struct kv_memtable *memtable, const struct kv_memtable_plan *plan,
                       struct kv_memtable_splice *splice)
{
    struct kv_memtable_splice own;

    if (splice == NULL) {
        own.memtable_id = 0;
        splice = &own;
    }
    kv_memtable_splice_turn(memtable, splice);
    if (plan->byte_count != 0) {
        apply_changes(memtable, plan, splice);
    }
    /* Release: pairs with the acquire in kv_memtable_has_writers; a flush sees the nodes. */
    uint32_t before = atomic_sub_release_u32(&memtable->writer_count, 1);
    Q_ASSERT(before != 0);
}

bool kv_memtable_has_writers(const struct kv_memtable *memtable)
{
    /* Acquire: pairs with the release in kv_memtable_apply. */
    return atomic_load_acquire_u32(&memtable->writer_count) != 0;
}

/* ---- reading a key -------------------------------------------------------------------------- */

static void show_found(const struct kv_node *node, uint32_t offset,
                       struct kv_memtable_found *ret_found)
{
    *ret_found = (struct kv_memtable_found){
        .trailer = node->trailer, .value = kv_node_value(node), .node = offset};
}

/* By the list: the first entry at or behind what is sought, if it is of the key. */
static bool get_by_list(const struct kv_memtable *memtable, const struct kv_list_target *target,
                        struct kv_memtable_found *ret_found)
{
    const struct kv_list *list = &memtable->points;
    uint32_t offset = kv_list_seek(list, target, NULL);

    if (offset == 0 ||
        !kv_node_has_key(list, kv_node_at(list, offset), target->key, target->prefix)) {
        return false;
    }
    show_found(kv_node_at(list, offset), offset, ret_found);
    return true;
}

/* From an entry that is visible, which newer ones stand before. Those that are not visible end it:
 * trailers fall along the list. */
static bool get_newer(const struct kv_memtable *memtable, const struct kv_list_target *target,
                      uint32_t offset, struct kv_memtable_found *ret_found)
{
    const struct kv_list *list = &memtable->points;

    for (uint32_t step = 0; step < STEPS_MAX; step++) {
        struct kv_node *node = kv_node_at(list, offset);
        /* Acquire: pairs with the release in set_previous. */
        bool is_newest = (atomic_load_acquire_u32(&node->previous) & KV_NODE_SUPERSEDED) == 0;
        uint32_t previous = is_newest ? 0 : kv_list_previous(list, offset);
        if (is_newest || kv_node_at(list, previous)->trailer > target->trailer) {
            show_found(node, offset, ret_found);
            return true;
        }
        offset = previous;
    }
    return get_by_list(memtable, target, ret_found);
}

/* From an entry that is too new. */
static bool get_older(const struct kv_memtable *memtable, const struct kv_list_target *target,
                      uint32_t offset, struct kv_memtable_found *ret_found)
{
    const struct kv_list *list = &memtable->points;

    for (uint32_t step = 0; step < STEPS_MAX; step++) {
        offset = kv_list_next(list, offset);
        if (offset == 0) {
            return false;
        }
        const struct kv_node *node = kv_node_at(list, offset);
        if (!kv_node_has_key(list, node, target->key, target->prefix)) {
            return false;
        }
        if (node->trailer <= target->trailer) {
            show_found(node, offset, ret_found);
            return true;
        }
    }
    return get_by_list(memtable, target, ret_found);
}

void kv_memtable_prefetch(const struct kv_memtable *memtable, uint32_t tag)
{
    if (memtable->has_hash) {
        kv_hash_prefetch(&memtable->hash, tag);
    }
}

bool kv_memtable_prefetch_entry(const struct kv_memtable *memtable, uint32_t tag)
{
    return memtable->has_hash && kv_hash_prefetch_node(&memtable->hash, tag);
}

bool kv_memtable_get(const struct kv_memtable *memtable, struct kv_slice key, uint64_t sequence,
                     struct kv_memtable_found *ret_found)
{
    /* Relaxed: what may be seen was counted before the reader's sequence was published. */
    if (atomic_load_relaxed_u64(&memtable->entry_count) == 0) {
        return false;
    }
    const struct kv_list_target target =
        kv_list_target(&memtable->points, key, kv_trailer_seek(sequence));
    if (!memtable->has_hash) {
        return get_by_list(memtable, &target, ret_found);
    }
    uint32_t offset = kv_hash_find(&memtable->hash, kv_hash_tag(key), key, target.prefix);
    if (offset == 0) {
        /* Acquire: pairs with the release in insert_from. */
        return Q_UNLIKELY(atomic_load_acquire_bool(&memtable->hash.has_lost)) &&
               get_by_list(memtable, &target, ret_found);
    }
    return kv_node_at(&memtable->points, offset)->trailer <= target.trailer
               ? get_newer(memtable, &target, offset, ret_found)
               : get_older(memtable, &target, offset, ret_found);
}

bool kv_memtable_older(const struct kv_memtable *memtable, struct kv_memtable_found *found)
{
    const struct kv_list *list = &memtable->points;
    const struct kv_node *node = kv_node_at(list, found->node);
    uint32_t offset = kv_list_next(list, found->node);

    if (offset == 0 ||
        !kv_node_has_key(list, kv_node_at(list, offset), kv_node_key(node), node->prefix)) {
        return false;
    }
    show_found(kv_node_at(list, offset), offset, found);
    return true;
}

/* ---- walking over it ------------------------------------------------------------------------ */

static struct kv_memtable_iterator *of(struct kv_iterator *iterator)
{
    return (struct kv_memtable_iterator *)(void *)iterator;
}

static inline void show(struct kv_memtable_iterator *iterator, uint32_t offset)
{
    const struct kv_list *list = &iterator->memtable->points;

    iterator->node = offset;
    iterator->base.is_valid = offset != 0 && offset != list->head;
    if (Q_LIKELY(iterator->base.is_valid)) {
        const struct kv_node *node = kv_node_at(list, offset);
        struct kv_slice key = kv_node_key(node);
        iterator->base.key = (struct kv_key){key, node->trailer};
        iterator->base.value = kv_node_slice((const uint8_t *)key.bytes + key.count);
    }
}

static struct kv_list_target target_of(const struct kv_memtable *memtable, struct kv_key key)
{
    return kv_list_target(&memtable->points, key.user, key.trailer);
}

static void iterator_first(struct kv_iterator *iterator)
{
    const struct kv_list *list = &of(iterator)->memtable->points;

    show(of(iterator), kv_list_next(list, list->head));
}

static void iterator_last(struct kv_iterator *iterator)
{
    show(of(iterator), kv_list_last(&of(iterator)->memtable->points));
}

static void iterator_seek(struct kv_iterator *iterator, struct kv_key key)
{
    const struct kv_memtable *memtable = of(iterator)->memtable;
    const struct kv_list_target target = target_of(memtable, key);

    show(of(iterator), kv_list_seek(&memtable->points, &target, NULL));
}

static void iterator_seek_before(struct kv_iterator *iterator, struct kv_key key)
{
    const struct kv_memtable *memtable = of(iterator)->memtable;
    const struct kv_list_target target = target_of(memtable, key);
    uint32_t before;

    (void)kv_list_seek(&memtable->points, &target, &before);
    show(of(iterator), before);
}

/* The node after the one that is shown is fetched meanwhile: its links, its key, and some of its
 * value, of which the lines behind come by themselves. */
static void iterator_next(struct kv_iterator *iterator)
{
    const struct kv_list *list = &of(iterator)->memtable->points;

    Q_DCHECK(iterator->is_valid);
    show(of(iterator), kv_list_next(list, of(iterator)->node));
    if (iterator->is_valid) {
        const char *after = list->base + kv_list_next(list, of(iterator)->node);
        __builtin_prefetch(after);
        __builtin_prefetch(after + Q_CACHE_LINE_BYTES);
        __builtin_prefetch(after + 2 * Q_CACHE_LINE_BYTES);
    }
}

static void iterator_previous(struct kv_iterator *iterator)
{
    Q_DCHECK(iterator->is_valid);
    show(of(iterator), kv_list_previous(&of(iterator)->memtable->points, of(iterator)->node));
}

static void iterator_fini(struct kv_iterator *iterator)
{
    iterator->is_valid = false;
    kv_memtable_release(of(iterator)->memtable);
    of(iterator)->memtable = NULL;
}

void kv_memtable_iterator_init(struct kv_memtable_iterator *iterator, struct kv_memtable *memtable)
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

    kv_memtable_acquire(memtable);
    *iterator = (struct kv_memtable_iterator){.base = {.ops = &ops, .status = QUARRY_OK},
                                              .memtable = memtable};
}

/* ---- what it is like ------------------------------------------------------------------------ */

void kv_memtable_read_stats(const struct kv_memtable *memtable, struct kv_memtable_stats *ret_stats)
{
    struct quarry_arena_state state;

    quarry_arena_read(memtable->arena, &state);
    /* Relaxed, all: figures. */
    *ret_stats = (struct kv_memtable_stats){
        .entry_count = atomic_load_relaxed_u64(&memtable->entry_count),
        .delete_count = atomic_load_relaxed_u64(&memtable->delete_count),
        .merge_count = atomic_load_relaxed_u64(&memtable->merge_count),
        .range_count = atomic_load_relaxed_u64(&memtable->range_count),
        .key_bytes = atomic_load_relaxed_u64(&memtable->key_bytes),
        .value_bytes = atomic_load_relaxed_u64(&memtable->value_bytes),
        .smallest_sequence = atomic_load_relaxed_u64(&memtable->smallest_sequence),
        .largest_sequence = atomic_load_relaxed_u64(&memtable->largest_sequence),
        .used_bytes = state.used_bytes,
        .backed_bytes = state.backed_bytes,
        .capacity_bytes = state.capacity_bytes,
        .hash_bytes = atomic_load_relaxed_u64(&memtable->hash.byte_count),
        .has_whole_hash = memtable->has_hash && !atomic_load_relaxed_bool(&memtable->hash.has_lost),
    };
}

/* The newest entry of each key, and no other, is what a get of the newest finds. */
static void validate_gets(const struct kv_memtable *memtable)
{
    const struct kv_list *list = &memtable->points;
    uint32_t at = list->head, next;

    for (; (next = kv_list_next(list, at)) != 0; at = next) {
        const struct kv_node *node = kv_node_at(list, next);
        struct kv_slice key = kv_node_key(node);
        struct kv_memtable_found found;
        bool is_found = kv_memtable_get(memtable, key, KV_SEQUENCE_MAX, &found);
        bool is_newest =
            at == list->head || !kv_node_has_key(list, kv_node_at(list, at), key, node->prefix);
        Q_ASSERT(is_found && (found.node == next) == is_newest);
    }
}

void kv_memtable_validate(struct kv_memtable *memtable)
{
    uint64_t entry_count = kv_list_validate(&memtable->points);
    uint64_t range_count = kv_list_validate(&memtable->ranges);

    Q_ASSERT(!kv_memtable_has_writers(memtable));
    Q_ASSERT(entry_count == atomic_load_relaxed_u64(&memtable->entry_count));
    Q_ASSERT(range_count == atomic_load_relaxed_u64(&memtable->range_count));
    Q_ASSERT(range_count == atomic_load_relaxed_u64(&memtable->linked_range_count));
    validate_gets(memtable);
}
