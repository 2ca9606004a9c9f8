/*
 * The memo: buckets of four, in the order of the hash.
 *
 *     slots   | a b c - | d e f g | h - - - | …      a bucket is a cache line
 *               ^ place 0x00…       ^ place 0x…
 *
 * An entry is in its own bucket or, when that was full, in one of the seven behind it, its window.
 * When all of these are full, the next free slot is brought into the window by moving entries that
 * may lie further back into it, one after another (hopscotch). Looking ends at a bucket with a free
 * slot. Nothing is moved when an entry goes; so one that had been pushed
 * past a bucket, which has a hole now, is not found any more. That is a miss, and a miss is no
 * error: the series is found by its labels, its lost entry is taken out (tsdb_memo_remove looks at
 * the whole window) and it is entered anew, into the hole.
 *
 * A table that becomes full is replaced by one a quarter longer. Buckets are ordered as places are,
 * so that this is one pass over both.
 *
 * Invariants
 *   1. A series has at most one entry.
 *   2. An entry is written tag, place, id, and ends with its id becoming 0 first: tsdb_memo_look
 *      says why no reader takes one's tag for another's id.
 *   3. An entry is in the window of its place.
 *
 * Locking: the owner's for writers; readers take none, and are inside the owner's epoch.
 *
 * Cost: 16 bytes a slot, between 65 and 81 % of which are in use while a table grows: 20 to 25
 * bytes a series, and the old table beside the new one for a moment.
 *
 * Rejected: no moving, and eviction where a window is full: 7 in 1,000 series would never be found
 * at 81 %. Sizes that are powers of two (20 to 40 bytes). The whole 128 bits in each slot (three
 * in a line, 25 to 33 bytes). Entries for all forms in which a series comes: what a sender makes of
 * its labels would then decide how much memory they take.
 */
#include <tsdb/memo.h>

#define WINDOW_SLOTS ((size_t)TSDB_MEMO_WINDOW * TSDB_MEMO_BUCKET_SLOTS)
/* How far off a free slot may be that is then moved into the window: 4 KiB of slots. */
#define SEARCH_SLOTS ((size_t)256)
/* How full a table becomes: 13 of 16 slots. Fuller ones have longer searches. */
#define FULL_NUMERATOR   13u
#define FULL_DENOMINATOR 16u
/* The smallest table: 128 slots, 2 KiB. */
#define BUCKETS_MIN 32u
/* 16 GiB of slots: as many as ids have bits for. */
#define BUCKETS_MAX (UINT32_MAX / TSDB_MEMO_BUCKET_SLOTS)

static struct tsdb_memo_table *table_of(const struct tsdb_memo *memo)
{
    /* The writer's own: it was stored under the lock that is held. */
    return atomic_load_relaxed_ptr(&memo->table);
}

static size_t slot_count(uint32_t bucket_count)
{
    return ((size_t)bucket_count + TSDB_MEMO_WINDOW - 1) * TSDB_MEMO_BUCKET_SLOTS;
}

static size_t table_bytes(uint32_t bucket_count)
{
    return sizeof(struct tsdb_memo_table) +
           slot_count(bucket_count) * sizeof(struct tsdb_memo_slot);
}

static struct tsdb_memo_table *make_table(const struct tsdb_memo *memo, uint32_t bucket_count)
{
    struct tsdb_memo_table *table = tsdb_memory_take_aligned(
        memo->limbo->memory, table_bytes(bucket_count), Q_CACHE_LINE_BYTES);

    if (table != NULL) {
        table->bucket_count = bucket_count;
    }
    return table;
}

enum quarry_status tsdb_memo_init(struct tsdb_memo *memo, struct tsdb_limbo *limbo)
{
    *memo = (struct tsdb_memo){.limbo = limbo};
    struct tsdb_memo_table *table = make_table(memo, BUCKETS_MIN);
    if (table == NULL) {
        return QUARRY_NO_MEMORY;
    }
    atomic_store_relaxed_ptr(&memo->table, table); /* nobody else knows the memo yet */
    return QUARRY_OK;
}

void tsdb_memo_fini(struct tsdb_memo *memo)
{
    if (memo->limbo != NULL) {
        tsdb_memory_give(memo->limbo->memory, table_of(memo));
    }
    *memo = (struct tsdb_memo){.limbo = NULL};
}

/* The first slot of a window. */
static size_t window_of(const struct tsdb_memo_table *table, uint32_t place)
{
    return (size_t)(tsdb_memo_home(table, place) - table->slots);
}

/* ---- entering ------------------------------------------------------------------------------- */

static void write_slot(struct tsdb_memo_slot *slot, struct tsdb_memo_key key, uint32_t id)
{
    /* Releases: no reader sees them before the 0 that was there; pair with tsdb_memo_look. */
    atomic_store_release_u64(&slot->tag, key.tag);
    atomic_store_release_u32(&slot->place, key.place);
    atomic_store_release_u32(&slot->id, id);
}

/* The first free slot from `from` on, below `end`; `end`: none. */
static size_t find_free(const struct tsdb_memo_table *table, size_t from, size_t end)
{
    while (from < end && atomic_load_relaxed_u32(&table->slots[from].id) != 0) {
        from++;
    }
    return from;
}

static struct tsdb_memo_key key_at(const struct tsdb_memo_slot *slot)
{
    return (struct tsdb_memo_key){.tag = atomic_load_relaxed_u64(&slot->tag),
                                  .place = atomic_load_relaxed_u32(&slot->place)};
}

/*
 * Moves an entry of the slots before `to` there, the one from furthest away whose window reaches so
 * far. Returns: the slot that it left, or `to`: there is none.
 */
static size_t move_to(struct tsdb_memo_table *table, size_t to)
{
    for (size_t from = to - WINDOW_SLOTS + 1; from < to; from++) {
        struct tsdb_memo_slot *slot = &table->slots[from];
        struct tsdb_memo_key key = key_at(slot);
        if (window_of(table, key.place) + WINDOW_SLOTS > to) {
            write_slot(&table->slots[to], key, atomic_load_relaxed_u32(&slot->id));
            /* Release: readers see the 0 before what follows; pairs with tsdb_memo_look. */
            atomic_store_release_u32(&slot->id, 0);
            return from;
        }
    }
    return to;
}

/* Returns: whether there was a free slot in the window, or could be one. */
static bool enter(struct tsdb_memo_table *table, struct tsdb_memo_key key, uint32_t id)
{
    size_t home = window_of(table, key.place), limit = slot_count(table->bucket_count);
    size_t at = find_free(table, home, size_min_u64(limit, home + SEARCH_SLOTS));

    if (at == limit || at == home + SEARCH_SLOTS) {
        return false;
    }
    while (at >= home + WINDOW_SLOTS) {
        size_t left = move_to(table, at);
        if (left == at) {
            return false;
        }
        at = left;
    }
    write_slot(&table->slots[at], key, id);
    return true;
}

/* Puts a table of another size in place. Does nothing where there is no memory for it. */
static void rebuild(struct tsdb_memo *memo, uint32_t bucket_count)
{
    struct tsdb_memo_table *old = table_of(memo), *table = make_table(memo, bucket_count);

    if (table == NULL) {
        return;
    }
    memo->entry_count = 0;
    for (size_t i = 0; i < slot_count(old->bucket_count); i++) {
        const struct tsdb_memo_slot *slot = &old->slots[i];
        uint32_t id = atomic_load_relaxed_u32(&slot->id);
        if (id != 0 && enter(table, key_at(slot), id)) {
            memo->entry_count++;
        }
    }
    /* Pairs with the acquire in tsdb_memo_find. */
    atomic_store_release_ptr(&memo->table, table);
    tsdb_limbo_retire(memo->limbo, &old->retired);
}

static void grow(struct tsdb_memo *memo)
{
    uint32_t bucket_count = table_of(memo)->bucket_count;

    if (bucket_count < BUCKETS_MAX / 5 * 4) {
        rebuild(memo, bucket_count + bucket_count / 4);
    }
}

/* The entry that has what is wanted goes. Returns: its slot. */
static struct tsdb_memo_slot *evict(struct tsdb_memo *memo, uint32_t place)
{
    struct tsdb_memo_table *table = table_of(memo);
    struct tsdb_memo_slot *slot = &table->slots[window_of(table, place)];

    /* Release: as in move_to. */
    atomic_store_release_u32(&slot->id, 0);
    memo->entry_count--;
    return slot;
}

void tsdb_memo_insert(struct tsdb_memo *memo, struct tsdb_memo_key key, uint32_t id)
{
    uint64_t slots = (uint64_t)table_of(memo)->bucket_count * TSDB_MEMO_BUCKET_SLOTS;

    Q_ASSERT(id != TSDB_SERIES_NONE);
    if (memo->entry_count >= slots / FULL_DENOMINATOR * FULL_NUMERATOR) {
        grow(memo);
    }
    if (!enter(table_of(memo), key, id)) {
        write_slot(evict(memo, key.place), key, id);
    }
    memo->entry_count++;
}

/* ---- forgetting ----------------------------------------------------------------------------- */

void tsdb_memo_remove(struct tsdb_memo *memo, uint32_t place, uint32_t id)
{
    struct tsdb_memo_table *table = table_of(memo);
    struct tsdb_memo_slot *slot = &table->slots[window_of(table, place)];

    for (uint32_t i = 0; i < WINDOW_SLOTS; i++, slot++) {
        if (atomic_load_relaxed_u32(&slot->id) == id) {
            /* Release: as in move_to. */
            atomic_store_release_u32(&slot->id, 0);
            memo->entry_count--;
            return; /* invariant 1 */
        }
    }
}

void tsdb_memo_shrink(struct tsdb_memo *memo)
{
    uint32_t bucket_count = table_of(memo)->bucket_count;
    uint32_t wanted =
        (uint32_t)size_max_u64(BUCKETS_MIN, memo->entry_count / TSDB_MEMO_BUCKET_SLOTS / 2 * 3);

    if (wanted < bucket_count / 2) {
        rebuild(memo, wanted);
    }
}

uint64_t tsdb_memo_held_bytes(const struct tsdb_memo *memo)
{
    return table_bytes(table_of(memo)->bucket_count);
}
