/*
 * The table of a shard.
 *
 *   | bucket 0 | bucket 1 | … | bucket 2^n − 1 |      64 bytes each
 *   | slot | slot | slot | slot | slot | slot | slot | passed |
 *
 * An entry lies in the bucket of its hash or, when that was full, in the next one that had room;
 * each bucket on the way counts it as passed. A search goes on while the count is not zero: 15 in
 * 16 end in their first line. Removing takes the counts back along the same way, so there are no
 * tombstones, and nothing is ever moved from a slot to another.
 *
 * That is what lets readers do without a lock, and without a sequence number to confirm a miss:
 *
 *   1. A slot goes from empty to an entry, between block and ghost and another block of the same
 *      key, and back to empty, each by one store. An entry that stays is found where it was.
 *   2. A larger table is filled while nobody reads it and published by one store of the shard's
 *      word. Readers of the old one see what was true then; its memory goes back when they have
 *      left the epoch, as do the blocks that they may find in it.
 *   3. A key that is removed and entered again while a reader is on its way may be missed: it was
 *      not there for a while.
 *
 * Locking: the shard's mutex for all that changes it. Readers are inside the cache's epoch.
 *
 * Cost: 8 bytes a slot, at 5/8 full and less: 13 to 26 bytes an entry.
 *
 * Rejected: cuckoo hashing, whose displacements need versions that each lookup checks twice; slots
 * of an entry's number, with which every lookup goes by way of the entry's line.
 */
#include <block/table.h>

void block_table_add(block_table table, uint64_t hash, uint64_t slot)
{
    struct block_bucket *buckets = block_table_buckets(table);
    uint64_t mask = block_table_mask(table);

    Q_ASSERT(slot != 0);
    for (uint64_t bucket = hash & mask;; bucket = (bucket + 1) & mask) {
        for (uint32_t i = 0; i < BLOCK_BUCKET_SLOTS; i++) {
            if (atomic_load_relaxed_u64(&buckets[bucket].slot[i]) == 0) {
                block_slot_set(&buckets[bucket].slot[i], slot);
                return;
            }
        }
        atomic_bump_relaxed_u64(&buckets[bucket].passed_count, 1);
    }
}

_Atomic uint64_t *block_table_find(block_table table, uint64_t hash, uint64_t slot)
{
    struct block_cursor cursor = block_table_begin(table, hash);
    _Atomic uint64_t *place = NULL;

    for (;;) {
        uint64_t found = block_table_next(&cursor, &place);
        if (found == slot || found == 0) {
            return found == 0 ? NULL : place;
        }
    }
}

void block_table_remove(block_table table, uint64_t hash, uint64_t slot)
{
    struct block_bucket *buckets = block_table_buckets(table);
    uint64_t mask = block_table_mask(table);
    _Atomic uint64_t *place = block_table_find(table, hash, slot);

    Q_ASSERT(place != NULL);
    block_slot_set(place, 0);
    uint64_t last = (uint64_t)((uintptr_t)place - (uintptr_t)buckets) / sizeof(*buckets);
    for (uint64_t bucket = hash & mask; bucket != last; bucket = (bucket + 1) & mask) {
        Q_DCHECK(atomic_load_relaxed_u64(&buckets[bucket].passed_count) != 0);
        atomic_bump_relaxed_u64(&buckets[bucket].passed_count, UINT64_MAX);
    }
}

const char *block_table_validate(block_table table, uint64_t *ret_used)
{
    const struct block_bucket *buckets = block_table_buckets(table);
    uint64_t used = 0;

    for (uint64_t i = 0; i <= block_table_mask(table); i++) {
        uint64_t in_bucket = 0;
        for (uint32_t j = 0; j < BLOCK_BUCKET_SLOTS; j++) {
            in_bucket += atomic_load_relaxed_u64(&buckets[i].slot[j]) != 0;
        }
        if (atomic_load_relaxed_u64(&buckets[i].passed_count) > block_table_room(table)) {
            return "a bucket was passed more often than there are entries";
        }
        used += in_bucket;
    }
    *ret_used = used;
    return NULL;
}
