/*
 * What a memtable consists of, for its own files.
 */
#ifndef QUARRY_KV_MEMTABLE_PARTS_H
#define QUARRY_KV_MEMTABLE_PARTS_H

#include <kv/memtable.h>

#include <os/os.h>
#include <ref/ref.h>

#include <kv/memtable_hash.h>
#include <kv/memtable_list.h>

struct kv_memtable {
    /* const after creation */
    struct quarry_arena *arena;
    struct kv_memory *memory;
    const struct quarry_kv_comparator *comparator;
    uint64_t id;          /* of all memtables that the process ever had; not 0 */
    uint64_t first_bytes; /* of the arena, before the first node */
    bool has_hash;
    /* atomic */
    _Atomic uint32_t reference_count;
    _Atomic uint32_t writer_count;
    struct kv_list points, ranges;
    struct kv_hash hash;
    _Atomic uint64_t linked_range_count;
    /* atomic; written under the store's commit lock */
    _Atomic uint64_t entry_count, delete_count, merge_count, range_count;
    _Atomic uint64_t key_bytes, value_bytes;
    _Atomic uint64_t smallest_sequence, largest_sequence;

    struct os_mutex fragments_mutex;
    /* guarded by fragments_mutex */
    struct kv_fragments *fragments; /* a reference; NULL: none were made */
    uint64_t fragments_range_count;
};

/* Makes a splice one of this memtable; what was of another is forgotten. */
static inline void kv_memtable_splice_turn(const struct kv_memtable *memtable,
                                           struct kv_memtable_splice *splice)
{
    if (splice->memtable_id != memtable->id) {
        kv_list_splice_init(&memtable->points, splice);
        splice->memtable_id = memtable->id;
        splice->place_count = 0;
    }
}

/* The place that was looked for ahead for a key; NULL: there is none. Once for each. */
const struct kv_memtable_place *kv_memtable_take_place(struct kv_memtable_splice *splice,
                                                       uint32_t tag);

#endif
