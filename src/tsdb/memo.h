/*
 * The memo: from the hash of a series' labels, as bytes that came over a wire, to its id.
 *
 * A sender writes the labels of a series the same way each time. Whoever has seen these bytes
 * before needs not take them apart. The memo is a cache: a series has one entry or none, the form
 * in which it came last; what is missing is found by labels, and remembered again.
 */
#ifndef QUARRY_TSDB_MEMO_H
#define QUARRY_TSDB_MEMO_H

#include <tsdb/limbo.h>
#include <tsdb/types.h>

/* Entries of a bucket: one cache line. */
#define TSDB_MEMO_BUCKET_SLOTS 4u
/* Buckets that an entry may be away from its own: 512 bytes to look at in the worst case. */
#define TSDB_MEMO_WINDOW 8u

/* 96 bits of a hash. Two series are mixed up once in 2^96 / series²: for 10^8 of them, 10^-13. */
struct tsdb_memo_key {
    uint64_t tag;
    uint32_t place; /* its fraction of 2^32 is that of the bucket in the table */
};

struct tsdb_memo_slot {
    _Atomic(uint64_t) tag;
    _Atomic(uint32_t) place;
    _Atomic(uint32_t) id; /* 0: free. Stored last, and cleared first */
};
Q_STATIC_ASSERT(sizeof(struct tsdb_memo_slot) == 16, "four entries are a cache line");

struct tsdb_memo_table {
    struct tsdb_retired retired;
    uint32_t bucket_count; /* const */
    /* bucket_count + TSDB_MEMO_WINDOW - 1 buckets: looking never wraps around */
    Q_ALIGNED(Q_CACHE_LINE_BYTES) struct tsdb_memo_slot slots[];
};

struct tsdb_memo {
    _Atomic(void *) table;    /* atomic: struct tsdb_memo_table; never NULL after init */
    struct tsdb_limbo *limbo; /* const; borrowed */
    /* guarded by the owner's lock */
    uint32_t entry_count;
};

/* Errors: QUARRY_NO_MEMORY. */
enum quarry_status tsdb_memo_init(struct tsdb_memo *memo, struct tsdb_limbo *limbo);
void tsdb_memo_fini(struct tsdb_memo *memo);

/*
 * Enters a key for a series that has no entry. Where there is no memory to grow it may take the
 * place of another, and where a table is unlucky it may not be found again: both cost time alone.
 *
 * Threads: the owner's lock. Cost: O(1), now and then O(entries).
 */
void tsdb_memo_insert(struct tsdb_memo *memo, struct tsdb_memo_key key, uint32_t id);

/*
 * Forgets the entry of a series, if there is one. `place`: of the key that it was entered with.
 * Threads: the owner's lock.
 */
void tsdb_memo_remove(struct tsdb_memo *memo, uint32_t place, uint32_t id);

/* Gives memory back that has become too much, if there is some for a smaller table. Threads: the
 * owner's lock. */
void tsdb_memo_shrink(struct tsdb_memo *memo);

/* Bytes of the table, as asked for. */
uint64_t tsdb_memo_held_bytes(const struct tsdb_memo *memo);

/* The first slot that a place may be in. */
static inline const struct tsdb_memo_slot *tsdb_memo_home(const struct tsdb_memo_table *table,
                                                          uint32_t place)
{
    uint64_t bucket = (uint64_t)place * table->bucket_count >> 32;
    return &table->slots[bucket * TSDB_MEMO_BUCKET_SLOTS];
}

/* Fetches what tsdb_memo_find will look at first. Threads: as that. */
static inline void tsdb_memo_prefetch(const struct tsdb_memo *memo, struct tsdb_memo_key key)
{
    /* Pairs with the release of a new table. */
    const struct tsdb_memo_table *table = atomic_load_acquire_ptr(&memo->table);
    __builtin_prefetch(tsdb_memo_home(table, key.place));
}

/*
 * Whether a slot holds a key. The id is read before and after: a slot that is taken over in between
 * had a 0 there before anything else changed, and an id is no other series' before the reader has
 * left. Returns: the id, or 0; `*is_free`: there is no entry.
 */
static inline uint32_t tsdb_memo_look(const struct tsdb_memo_slot *slot, struct tsdb_memo_key key,
                                      bool *is_free)
{
    /* Pairs with the release in memo.c that makes the entry whole. */
    uint32_t id = atomic_load_acquire_u32(&slot->id);

    if (id == 0) {
        *is_free = true;
        return 0;
    }
    /* Acquire: the second look at the id comes after. Pair with the releases in memo.c. */
    if (atomic_load_acquire_u64(&slot->tag) != key.tag ||
        atomic_load_acquire_u32(&slot->place) != key.place) {
        return 0;
    }
    return atomic_load_relaxed_u32(&slot->id) == id ? id : 0;
}

/*
 * The series that a key was entered for; 0: not known.
 *
 * Threads: any, inside the owner's epoch; the id is that series' until the thread has left.
 * Cost: about 60 instructions, one cache line as a rule.
 */
static inline uint32_t tsdb_memo_find(const struct tsdb_memo *memo, struct tsdb_memo_key key)
{
    /* Pairs with the release of a new table. */
    const struct tsdb_memo_table *table = atomic_load_acquire_ptr(&memo->table);
    const struct tsdb_memo_slot *slot = tsdb_memo_home(table, key.place);

    for (uint32_t window = 0; window < TSDB_MEMO_WINDOW; window++) {
        bool is_free = false;
        for (uint32_t i = 0; i < TSDB_MEMO_BUCKET_SLOTS; i++, slot++) {
            uint32_t id = tsdb_memo_look(slot, key, &is_free);
            if (id != 0) {
                return id;
            }
        }
        if (is_free) {
            return 0;
        }
    }
    return 0;
}

#endif
