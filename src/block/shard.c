/*
 * A shard.
 *
 *     table ── slot ──┬──────────────→ block header (key, count) ── entry ──┐
 *                     │                     ▲                               ▼
 *                     └── (a ghost) ────────┼───────────────→ entry (key, value, two rings)
 *                                           └──── value ────────────┘
 *
 * Invariants, with the lock held (block_shard_validate):
 *   1. Each entry of the clock has one slot: a resident's leads to its block, whose `entry` is its
 *      number; a ghost's to the entry.
 *   2. Each entry is in the ring of its file.
 *   3. A resident's block has a reference of the cache; nobody else takes it below one.
 *   4. What leaves the table becomes a victim before the lock is let go, and its reference is given
 *      up afterwards.
 *
 * How a lookup gets its reference without the lock (see lookup.c):
 *   1. It enters the epoch, reads the table's word, the slot, and the block's key.
 *   2. It raises the block's count, unless that is 0.
 *   3. If it is, the block has been let go of since the slot was read, and the slot with it: (1).
 *   4. It leaves the epoch.
 * And how a block goes: the slot is changed (release) before the cache's reference is given up;
 * whoever gives up the last one retires the cell, which is not taken again before every reader that
 * was inside has left. So the count that (2) looks at is that of the block that (1) found, in its
 * one life, and what it raises from above 0 is alive.
 *
 * Moving takes a block whose only reference is the cache's down to 0, under the lock: no reader can
 * have it from then on. Lookups that see it try again until the slot leads to the new place, some
 * times freely and then by taking the lock.
 *
 * Memory for chunks and tables is taken without the lock: asking for it may ask this cache to
 * shrink.
 *
 * Cost: an insertion touches the lines of its slot, its entry and the two before hand_hot, its
 * file's head and its neighbour; an eviction those of the entry, its slot and its block. At the end
 * of an insertion what the next one will touch is prefetched: what hangs on the entries that the
 * hands are at, and the entries after them.
 */
#include <block/shard.h>

#include <block/copy.h>

/*
 * A shard that keeps less than its limits, for want of pages, keeps so much more for what is
 * entered. One that lacks 1 MiB is back after 32 that were entered; asking in vain evicts 256 KiB
 * of all shards, so that it is asked for each 8 MiB.
 */
#define EASE_PART 32u

/* ---- events of the clock -------------------------------------------------------------------- */

static uint64_t hash_of(const struct clock_pro_entry *entry)
{
    return block_key_hash(&entry->key);
}

static struct block_header *header_of(const struct clock_pro_entry *entry)
{
    return (struct block_header *)(uintptr_t)entry->value;
}

/* Relaxed: changed under the lock. */
static block_table table_of(const struct block_shard *shard)
{
    return atomic_load_relaxed_uptr(&shard->table);
}

static void count(struct block_shard *shard, const struct clock_pro_entry *entry, uint32_t what)
{
    uint32_t cell = block_cell(entry->kind, entry->level, entry->is_background);

    atomic_bump_relaxed_u64(&shard->counts[cell].count[what], 1);
}

static void let_go(struct block_shard *shard, const struct clock_pro_entry *entry)
{
    struct block_header *header = header_of(entry);

    Q_DCHECK(ref_count_read(&header->count) != 0); /* invariant 3 */
    Q_DCHECK(shard->kind_bytes[entry->kind] >= entry->bytes);
    shard->kind_bytes[entry->kind] -= entry->bytes;
    header->next = shard->victims;
    shard->victims = header;
}

/* A block goes and its entry becomes a ghost. */
static void on_evict(void *argument, uint32_t number)
{
    struct block_shard *shard = argument;
    struct clock_pro_entry *entry = clock_pro_entry(&shard->clock, number);
    uint64_t hash = hash_of(entry);
    _Atomic uint64_t *place =
        block_table_find(table_of(shard), hash, block_slot_block(hash, header_of(entry)));

    Q_ASSERT(place != NULL); /* invariant 1 */
    block_slot_set(place, block_slot_ghost(hash, number));
    count(shard, entry, BLOCK_EVICTION);
    let_go(shard, entry);
    entry->value = 0;
}

/* Takes an entry out of table and file; it is in the clock still. */
static void unlink_entry(struct block_shard *shard, uint32_t number)
{
    struct clock_pro_entry *entry = clock_pro_entry(&shard->clock, number);
    uint64_t hash = hash_of(entry);
    uint64_t slot = entry->value == 0 ? block_slot_ghost(hash, number)
                                      : block_slot_block(hash, header_of(entry));

    block_table_remove(table_of(shard), hash, slot);
    shard->used--;
    block_files_leave(&shard->files, &shard->clock, number);
}

static void on_forget(void *argument, uint32_t number)
{
    unlink_entry(argument, number);
}

static const struct clock_pro_events shard_events = {on_evict, on_forget};

/* Of any type. */
static void remove_entry(struct block_shard *shard, uint32_t number)
{
    struct clock_pro_entry *entry = clock_pro_entry(&shard->clock, number);

    unlink_entry(shard, number);
    if (entry->value != 0) {
        let_go(shard, entry);
        entry->value = 0;
    }
    clock_pro_remove(&shard->clock, number);
}

/* Ends a stretch under the lock. */
static void unlock(struct block_shard *shard, struct block_victims *victims)
    Q_RELEASE(&shard->mutex)
{
    struct block_header *first = shard->victims;

    shard->victims = NULL;
    os_mutex_unlock(&shard->mutex);
    if (first == NULL) {
        return;
    }
    struct block_header *last = first;
    while (victims->first != NULL && last->next != NULL) {
        last = last->next;
    }
    last->next = victims->first != NULL ? victims->first : last->next;
    victims->first = first;
}

/* ---- room for more entries ------------------------------------------------------------------ */

enum want { WANT_NOTHING, WANT_CHUNK, WANT_CHUNKS, WANT_TABLE, WANT_FILES };

/* What lacks before one more entry can be made. */
static enum want want_of(const struct block_shard *shard)
{
    if (Q_UNLIKELY(shard->clock.free_count == 0)) {
        return shard->clock.chunk_count == shard->clock.chunk_capacity ? WANT_CHUNKS : WANT_CHUNK;
    }
    if (Q_UNLIKELY(shard->used >= block_table_room(table_of(shard)))) {
        return WANT_TABLE;
    }
    return Q_UNLIKELY(block_files_is_full(&shard->files)) ? WANT_FILES : WANT_NOTHING;
}

/* Each takes `pages` into use, and returns what is to be given back. */

static void *install_chunks(struct block_shard *shard, void *pages, size_t bytes)
{
    struct clock_pro_chunk **chunks = pages, **old = shard->clock.chunks;

    for (uint32_t i = 0; i < shard->clock.chunk_count; i++) {
        chunks[i] = old[i];
    }
    shard->clock.chunks = chunks;
    shard->clock.chunk_capacity = (uint32_t)(bytes / sizeof(chunks[0]));
    return old;
}

static void fill_table(block_table from, block_table to, const struct block_shard *shard)
{
    const struct block_bucket *buckets = block_table_buckets(from);

    for (uint64_t i = 0; i <= block_table_mask(from); i++) {
        for (uint32_t j = 0; j < BLOCK_BUCKET_SLOTS; j++) {
            uint64_t slot = atomic_load_relaxed_u64(&buckets[i].slot[j]);
            if (slot == 0) {
                continue;
            }
            const struct block_header *header = block_slot_header(slot);
            const struct quarry_block_key *key =
                block_slot_is_ghost(slot)
                    ? &clock_pro_entry(&shard->clock, block_slot_entry(slot))->key
                    : &header->key;
            block_table_add(to, block_key_hash(key), slot);
        }
    }
}

static void *install_table(struct block_shard *shard, void *pages)
{
    block_table old = table_of(shard);
    uint32_t log2 = (uint32_t)(old & 63);
    block_table table = block_table_make(pages, log2 + 1);

    fill_table(old, table, shard);
    /* Release: pairs with the acquire in lookups. */
    atomic_store_release_uptr(&shard->table, table);
    shard->old_table[log2] = block_table_buckets(old);
    shard->old_stamp[log2] = ref_epoch_now(shard->epoch);
    shard->old_tables |= UINT32_C(1) << log2;
    return NULL;
}

static size_t bytes_of_want(const struct block_shard *shard, enum want want)
{
    switch (want) {
    case WANT_CHUNK:
        return CLOCK_PRO_CHUNK_BYTES;
    case WANT_CHUNKS:
        return shard->clock.chunk_capacity == 0 ? QUARRY_PAGE_BYTES
                                                : shard->clock.chunk_capacity * sizeof(void *) * 2;
    case WANT_TABLE:
        return block_table_bytes((uint32_t)(table_of(shard) & 63) + 1);
    case WANT_FILES:
        return (shard->files.capacity == 0 ? BLOCK_FILES_SLOTS_MIN : shard->files.capacity * 2) *
               sizeof(uint64_t);
    case WANT_NOTHING:
        break;
    }
    return 0;
}

static void *install(struct block_shard *shard, enum want want, void *pages, size_t bytes)
{
    switch (want) {
    case WANT_CHUNK:
        clock_pro_add_chunk(&shard->clock, pages);
        return NULL;
    case WANT_CHUNKS:
        return install_chunks(shard, pages, bytes);
    case WANT_TABLE:
        return install_table(shard, pages);
    case WANT_FILES:
        return block_files_grow(&shard->files, pages, bytes / sizeof(uint64_t));
    case WANT_NOTHING:
        break;
    }
    return pages;
}

/* Returns: with the lock held, whether there is room for one more entry. */
static bool lock_with_room(struct block_shard *shard) Q_ACQUIRE(&shard->mutex)
{
    os_mutex_lock(&shard->mutex);
    for (;;) {
        enum want want = want_of(shard);
        if (Q_LIKELY(want == WANT_NOTHING)) {
            return true;
        }
        size_t bytes = bytes_of_want(shard, want);
        if (want == WANT_TABLE && bytes > block_table_bytes(BLOCK_TABLE_LOG2_MAX)) {
            return false;
        }
        os_mutex_unlock(&shard->mutex);
        void *pages = block_memory_take(shard->memory, bytes);
        os_mutex_lock(&shard->mutex);
        if (pages == NULL) {
            return want_of(shard) == WANT_NOTHING;
        }
        /* Another thread may have done as much meanwhile. */
        bool is_wanted = want_of(shard) == want && bytes_of_want(shard, want) == bytes;
        void *spare = is_wanted ? install(shard, want, pages, bytes) : pages;
        os_mutex_unlock(&shard->mutex);
        block_memory_give(shard->memory, spare);
        ref_epoch_advance(shard->epoch); /* an outgrown table waits for it */
        os_mutex_lock(&shard->mutex);
    }
}

/* An outgrown table that nobody reads any more, taken off the list; NULL: none. */
static void *take_old_table(struct block_shard *shard)
{
    for (uint32_t left = shard->old_tables; left != 0; left &= left - 1) {
        uint32_t log2 = bits_trailing_zeros_u32(left);
        if (ref_epoch_is_past(shard->epoch, shard->old_stamp[log2])) {
            shard->old_tables &= ~(UINT32_C(1) << log2);
            return shard->old_table[log2];
        }
    }
    return NULL;
}

void block_shard_trim(struct block_shard *shard)
{
    void *pages;

    do {
        os_mutex_lock(&shard->mutex);
        pages = take_old_table(shard);
        os_mutex_unlock(&shard->mutex);
        block_memory_give(shard->memory, pages);
    } while (pages != NULL);
}

/* ---- entering ------------------------------------------------------------------------------- */

/* The slot of a key, with the lock held; 0: none. */
static uint64_t find_slot(const struct block_shard *shard, const struct quarry_block_key *key,
                          uint64_t hash, _Atomic uint64_t **ret_place)
{
    struct block_cursor cursor = block_table_begin(table_of(shard), hash);

    for (;;) {
        uint64_t slot = block_table_next(&cursor, ret_place);
        if (slot == 0) {
            return 0;
        }
        const struct block_header *header = block_slot_header(slot);
        const struct quarry_block_key *found =
            block_slot_is_ghost(slot) ? &clock_pro_entry(&shard->clock, block_slot_entry(slot))->key
                                      : &header->key;
        if (block_key_equal(found, key)) {
            return slot;
        }
    }
}

/* Makes the block the entry's; the table does not lead to it yet. */
static void give_value(struct block_shard *shard, uint32_t number, const struct block_put *put)
{
    struct clock_pro_entry *entry = clock_pro_entry(&shard->clock, number);
    struct block_header *header = put->header;

    entry->value = (uintptr_t)header;
    entry->kind = header->kind;
    entry->level = header->level;
    entry->is_background = header->is_background;
    header->entry = number;
    /* Release: pairs with the acquire in block_shard_move. */
    atomic_store_release_uptr(&header->referenced,
                              (uintptr_t)clock_pro_referenced(&shard->clock, number));
    shard->kind_bytes[entry->kind] += put->bytes;
    count(shard, entry, BLOCK_INSERT);
}

static enum quarry_status enter_new(struct block_shard *shard, const struct block_put *put)
{
    uint32_t number = clock_pro_insert(&shard->clock, put->bytes, put->is_referenced);

    if (number == CLOCK_PRO_NONE) {
        return QUARRY_TOO_LARGE;
    }
    clock_pro_entry(&shard->clock, number)->key = put->header->key;
    give_value(shard, number, put);
    block_files_enter(&shard->files, &shard->clock, number);
    block_table_add(table_of(shard), put->hash, block_slot_block(put->hash, put->header));
    shard->used++;
    return QUARRY_OK;
}

/*
 * Of a key that is there. `place`: its slot, which nothing that is evicted meanwhile moves. One
 * that is larger than the target would have everything else evicted before itself.
 */
static enum quarry_status enter_again(struct block_shard *shard, const struct block_put *put,
                                      uint32_t number, _Atomic uint64_t *place)
{
    if (put->bytes > clock_pro_target(&shard->clock)) {
        remove_entry(shard, number);
        return QUARRY_TOO_LARGE;
    }
    let_go(shard, clock_pro_entry(&shard->clock, number));
    give_value(shard, number, put);
    block_slot_set(place, block_slot_block(put->hash, put->header));
    clock_pro_replace(&shard->clock, number, put->bytes);
    return QUARRY_OK;
}

/* Of a ghost. Its slot and file go first: an entry that is not admitted is no entry any more. */
static enum quarry_status enter_ghost(struct block_shard *shard, const struct block_put *put,
                                      uint32_t number, _Atomic uint64_t *place)
{
    if (put->bytes > clock_pro_target(&shard->clock)) {
        unlink_entry(shard, number);
        bool is_admitted = clock_pro_revive(&shard->clock, number, put->bytes);
        Q_ASSERT(!is_admitted);
        return QUARRY_TOO_LARGE;
    }
    bool is_admitted = clock_pro_revive(&shard->clock, number, put->bytes);
    Q_ASSERT(is_admitted);
    give_value(shard, number, put);
    block_slot_set(place, block_slot_block(put->hash, put->header));
    return QUARRY_OK;
}

static enum quarry_status enter(struct block_shard *shard, const struct block_put *put)
{
    _Atomic uint64_t *place = NULL;
    uint64_t slot = find_slot(shard, &put->header->key, put->hash, &place);

    if (slot == 0) {
        return enter_new(shard, put);
    }
    if (block_slot_is_ghost(slot)) {
        return enter_ghost(shard, put, block_slot_entry(slot), place);
    }
    const struct block_header *there = block_slot_header(slot);
    return enter_again(shard, put, there->entry, place);
}

/* What an eviction at the hand would touch beyond the entry. */
static void prefetch_behind(const struct block_shard *shard, uint32_t number)
{
    const struct clock_pro_entry *entry = clock_pro_entry(&shard->clock, number);
    block_table_prefetch(table_of(shard), hash_of(entry));
    if (entry->value != 0) {
        __builtin_prefetch(header_of(entry), 1);
    } else {
        __builtin_prefetch(clock_pro_entry(&shard->clock, entry->next), 1);
        __builtin_prefetch(clock_pro_entry(&shard->clock, entry->prev), 1);
        __builtin_prefetch(clock_pro_entry(&shard->clock, entry->file_next), 1);
        __builtin_prefetch(clock_pro_entry(&shard->clock, entry->file_prev), 1);
    }
}

/*
 * For the next insertion: what hangs on the entry that a hand is at, whose line has been here since
 * the insertion before, and the line of the entry after it.
 */
static void prefetch_hand(const struct block_shard *shard, uint32_t number)
{
    if (number == CLOCK_PRO_NONE) {
        return;
    }
    prefetch_behind(shard, number);
    __builtin_prefetch(clock_pro_entry(&shard->clock, clock_pro_entry(&shard->clock, number)->next),
                       1);
}

/* Something was entered: the shard may keep a little more of what its limits say. */
static void ease(struct block_shard *shard, uint64_t bytes)
{
    uint64_t eased_bytes = size_min_u64(shard->squeezed_bytes, bytes / EASE_PART + 1);

    shard->squeezed_bytes -= eased_bytes;
    shard->clock.max_bytes += eased_bytes;
}

enum quarry_status block_shard_put(struct block_shard *shard, const struct block_put *put,
                                   struct block_victims *victims)
{
    block_table_prefetch(table_of(shard), put->hash);
    if (!lock_with_room(shard)) {
        unlock(shard, victims);
        return QUARRY_NO_MEMORY;
    }
    enum quarry_status status = enter(shard, put);
    if (shard->squeezed_bytes != 0) {
        ease(shard, put->bytes);
    }
    prefetch_hand(shard, shard->clock.hand_cold);
    prefetch_hand(shard, shard->clock.hand_test);
    bool has_old_tables = shard->old_tables != 0;
    unlock(shard, victims);
    if (Q_UNLIKELY(has_old_tables)) {
        block_shard_trim(shard);
    }
    return status;
}

/* ---- leaving -------------------------------------------------------------------------------- */

bool block_shard_erase(struct block_shard *shard, const struct quarry_block_key *key, uint64_t hash,
                       struct block_victims *victims)
{
    _Atomic uint64_t *place = NULL;

    os_mutex_lock(&shard->mutex);
    uint64_t slot = find_slot(shard, key, hash, &place);
    bool is_block = slot != 0 && !block_slot_is_ghost(slot);
    if (slot != 0) {
        const struct block_header *header = block_slot_header(slot);
        remove_entry(shard, is_block ? header->entry : block_slot_entry(slot));
    }
    unlock(shard, victims);
    return is_block;
}

uint32_t block_shard_evict_file(struct block_shard *shard, uint64_t handle, uint64_t file,
                                uint64_t *block_count, struct block_victims *victims)
{
    uint32_t removed = 0;

    os_mutex_lock(&shard->mutex);
    while (removed < BLOCK_EVICT_FILE_STEP) {
        uint32_t number = block_files_find(&shard->files, &shard->clock, handle, file);
        if (number == CLOCK_PRO_NONE) {
            break;
        }
        *block_count += clock_pro_entry(&shard->clock, number)->value != 0;
        remove_entry(shard, number);
        removed++;
    }
    unlock(shard, victims);
    return removed;
}

bool block_shard_clear(struct block_shard *shard, uint32_t count_max, struct block_victims *victims)
{
    os_mutex_lock(&shard->mutex);
    for (uint32_t i = 0; i < count_max && shard->clock.hand_hot != CLOCK_PRO_NONE; i++) {
        remove_entry(shard, shard->clock.hand_hot);
    }
    bool is_empty = shard->clock.hand_hot == CLOCK_PRO_NONE;
    unlock(shard, victims);
    return !is_empty;
}

bool block_shard_aim(struct block_shard *shard, const struct block_limits *limits,
                     struct block_victims *victims)
{
    os_mutex_lock(&shard->mutex);
    /* Relaxed: written before the lock was asked for by whoever wants them kept. */
    uint64_t max_bytes = atomic_load_relaxed_u64(&limits->max_bytes);
    uint64_t reserved_bytes = atomic_load_relaxed_u64(&limits->reserved_bytes);
    shard->squeezed_bytes = size_min_u64(shard->squeezed_bytes, max_bytes / 2);
    max_bytes -= shard->squeezed_bytes;
    uint64_t wanted = max_bytes > reserved_bytes ? max_bytes - reserved_bytes : 1;
    uint64_t resident = clock_pro_resident_bytes(&shard->clock);
    bool is_reached = resident <= sat_add_u64(wanted, BLOCK_TARGET_STEP_BYTES);
    if (is_reached) {
        clock_pro_set_limits(&shard->clock, max_bytes, reserved_bytes);
    } else {
        clock_pro_set_limits(&shard->clock, resident - BLOCK_TARGET_STEP_BYTES, 0);
    }
    unlock(shard, victims);
    return is_reached;
}

/* Returns: bytes evicted. */
static uint64_t shrink_locked(struct block_shard *shard, uint64_t bytes) Q_REQUIRES(&shard->mutex)
{
    uint64_t before = clock_pro_resident_bytes(&shard->clock);
    uint64_t target = clock_pro_target(&shard->clock);
    uint64_t wanted = sat_sub_u64(before, bytes);

    if (wanted < target) {
        clock_pro_shrink(&shard->clock, target - wanted);
    }
    return before - clock_pro_resident_bytes(&shard->clock);
}

uint64_t block_shard_shrink(struct block_shard *shard, uint64_t bytes,
                            struct block_victims *victims)
{
    os_mutex_lock(&shard->mutex);
    uint64_t evicted_bytes = shrink_locked(shard, bytes);
    unlock(shard, victims);
    return evicted_bytes;
}

uint64_t block_shard_squeeze(struct block_shard *shard, const struct block_limits *limits,
                             uint64_t bytes, struct block_victims *victims)
{
    os_mutex_lock(&shard->mutex);
    uint64_t evicted_bytes = shrink_locked(shard, bytes);
    /* Relaxed both: as in block_shard_aim. */
    uint64_t max_bytes = atomic_load_relaxed_u64(&limits->max_bytes);
    uint64_t reserved_bytes = atomic_load_relaxed_u64(&limits->reserved_bytes);
    /* Residents are below their target, not at it. */
    uint64_t kept_bytes = clock_pro_resident_bytes(&shard->clock) + 1 + reserved_bytes;
    shard->squeezed_bytes = size_min_u64(sat_sub_u64(max_bytes, kept_bytes), max_bytes / 2);
    clock_pro_set_limits(&shard->clock, max_bytes - shard->squeezed_bytes, reserved_bytes);
    unlock(shard, victims);
    return evicted_bytes;
}

/* ---- finding and moving --------------------------------------------------------------------- */

struct block_header *block_shard_find(struct block_shard *shard, const struct quarry_block_key *key,
                                      uint64_t hash)
{
    _Atomic uint64_t *place = NULL;
    struct block_header *header = NULL;

    os_mutex_lock(&shard->mutex);
    uint64_t slot = find_slot(shard, key, hash, &place);
    if (slot != 0 && !block_slot_is_ghost(slot)) {
        header = block_slot_header(slot);
        ref_count_acquire(&header->count); /* invariant 3 */
    }
    os_mutex_unlock(&shard->mutex);
    return header;
}

bool block_shard_move(struct block_shard *shard, struct block_header *from, struct block_header *to,
                      uint64_t to_ref)
{
    uint64_t hash = block_key_hash(&from->key);
    uint32_t only = 1;

    os_mutex_lock(&shard->mutex);
    _Atomic uint64_t *place = block_table_find(table_of(shard), hash, block_slot_block(hash, from));
    /* Acquire: pairs with the release of readers that have let go of it. */
    bool is_free = place != NULL && atomic_cas_acquire_u32(&from->count, &only, 0);
    if (is_free) {
        block_copy(to, from, to_ref);
        clock_pro_entry(&shard->clock, from->entry)->value = (uintptr_t)to;
        block_slot_set(place, block_slot_block(hash, to));
    }
    os_mutex_unlock(&shard->mutex);
    return is_free;
}

/* ---- life ----------------------------------------------------------------------------------- */

enum quarry_status block_shard_init(struct block_shard *shard, uint32_t number,
                                    struct block_memory *memory, struct quarry_epoch *epoch,
                                    uint64_t max_bytes)
{
    void *pages = block_memory_take(memory, block_table_bytes(BLOCK_TABLE_LOG2_MIN));

    if (pages == NULL) {
        return QUARRY_NO_MEMORY;
    }
    atomic_store_relaxed_uptr(&shard->table, block_table_make(pages, BLOCK_TABLE_LOG2_MIN));
    os_mutex_init(&shard->mutex, OS_RANK_BLOCK_SHARD, number);
    os_mutex_init(&shard->load_mutex, OS_RANK_BLOCK_LOAD, number);
    shard->memory = memory;
    shard->epoch = epoch;
    clock_pro_init(&shard->clock, max_bytes, &shard_events, shard);
    return QUARRY_OK;
}

void block_shard_fini(struct block_shard *shard)
{
    Q_ASSERT(shard->clock.hand_hot == CLOCK_PRO_NONE && shard->victims == NULL);
    Q_ASSERT(shard->loads == NULL);
    for (uint32_t i = 0; i < shard->clock.chunk_count; i++) {
        block_memory_give(shard->memory, shard->clock.chunks[i]);
    }
    block_memory_give(shard->memory, shard->clock.chunks);
    block_memory_give(shard->memory, shard->files.slots);
    for (uint32_t left = shard->old_tables; left != 0; left &= left - 1) {
        block_memory_give(shard->memory, shard->old_table[bits_trailing_zeros_u32(left)]);
    }
    block_memory_give(shard->memory, block_table_buckets(table_of(shard)));
}

/* ---- checking ------------------------------------------------------------------------------- */

/* Invariants 1 and 3 for one entry. */
static const char *validate_entry(const struct block_shard *shard, uint32_t number)
{
    const struct clock_pro_entry *entry = clock_pro_entry(&shard->clock, number);
    uint64_t hash = hash_of(entry), slot = block_slot_ghost(hash, number);

    if ((entry->type == CLOCK_PRO_TEST) != (entry->value == 0)) {
        return "an entry has a value and is a ghost, or neither";
    }
    if (entry->value != 0) {
        const struct block_header *header = header_of(entry);
        if (header->entry != number || !block_key_equal(&header->key, &entry->key) ||
            ref_count_read(&header->count) == 0) {
            return "a block is not that of its entry";
        }
        slot = block_slot_block(hash, header);
    }
    return block_table_find(table_of(shard), hash, slot) == NULL ? "an entry has no slot" : NULL;
}

static const char *validate_entries(const struct block_shard *shard)
{
    uint32_t number = shard->clock.hand_hot;

    while (number != CLOCK_PRO_NONE) {
        const char *wrong = validate_entry(shard, number);
        if (wrong != NULL) {
            return wrong;
        }
        number = clock_pro_entry(&shard->clock, number)->next;
        if (number == shard->clock.hand_hot) {
            break;
        }
    }
    return NULL;
}

static const char *validate_locked(const struct block_shard *shard)
{
    const struct clock_pro_sum *sum = shard->clock.sum;
    uint64_t entry_count =
        sum[CLOCK_PRO_HOT].count + sum[CLOCK_PRO_COLD].count + sum[CLOCK_PRO_TEST].count;
    uint64_t used = 0, kind_bytes = 0;
    const char *wrong = clock_pro_validate(&shard->clock);

    wrong = wrong != NULL ? wrong : block_table_validate(table_of(shard), &used);
    wrong = wrong != NULL ? wrong : validate_entries(shard);
    wrong = wrong != NULL ? wrong : block_files_validate(&shard->files, &shard->clock, entry_count);
    if (wrong != NULL) {
        return wrong;
    }
    for (uint32_t i = 0; i < QUARRY_BLOCK_KINDS; i++) {
        kind_bytes += shard->kind_bytes[i];
    }
    if (used != shard->used || used != entry_count) {
        return "the table has other slots than there are entries";
    }
    return kind_bytes == clock_pro_resident_bytes(&shard->clock) ? NULL
                                                                 : "bytes by kind do not add up";
}

const char *block_shard_validate(struct block_shard *shard)
{
    os_mutex_lock(&shard->mutex);
    const char *wrong = validate_locked(shard);
    os_mutex_unlock(&shard->mutex);
    return wrong;
}
