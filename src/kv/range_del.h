/*
 * Range deletions, cut into fragments that do not overlap.
 *
 *     a ─────── 9 ─────── f               a ─ 9 ─ c ─ 9 7 ─ f ─ 7 ─ h
 *             c ─────── 7 ─────── h   ->
 *
 * A fragment has the sequences of all deletions that cover it, falling. Which of them covers a key
 * at a snapshot is then two binary searches.
 *
 * Threads: fragments are const once they are made, and counted.
 */
#ifndef QUARRY_KV_RANGE_DEL_H
#define QUARRY_KV_RANGE_DEL_H

#include <kv/iterator.h>
#include <kv/key.h>
#include <kv/memory.h>

/* A deletion of keys from `begin` up to and without `end`. */
struct kv_range {
    struct kv_slice begin, end;
    uint64_t sequence;
};

struct kv_fragment {
    struct kv_slice begin, end;
    uint32_t first; /* of its sequences among all */
    uint32_t count; /* from 1 */
};

struct kv_fragments {
    _Atomic uint32_t reference_count;
    /* const after creation */
    uint32_t fragment_count;
    uint32_t sequence_count;
    struct kv_memory *memory;
    const struct quarry_kv_comparator *comparator;
    struct kv_fragment *fragments; /* by key, not overlapping */
    uint64_t *sequences;
};

/*
 * Cuts ranges into fragments. Empty ones, whose end is not after their begin, are left out.
 *
 * `ranges`: in any order; the array is borrowed for the call, the bytes of the keys for as long as
 * the fragments are. `memory`, `comparator`: likewise.
 * `ret_fragments`: a reference; give it back with kv_fragments_release.
 * Errors: QUARRY_NO_MEMORY, QUARRY_TOO_LARGE (2^31 ranges).
 * Cost: O(n log n + sequences of all fragments), which is n² where all overlap.
 */
enum quarry_status kv_fragments_create(struct kv_memory *memory,
                                       const struct quarry_kv_comparator *comparator,
                                       const struct kv_range *ranges, size_t range_count,
                                       struct kv_fragments **ret_fragments);
void kv_fragments_acquire(struct kv_fragments *fragments);
/* `fragments`: given; NULL does nothing. */
void kv_fragments_release(struct kv_fragments *fragments);

/* The first fragment that ends after a key; fragment_count: none. It may begin after it. */
uint32_t kv_fragments_find(const struct kv_fragments *fragments, struct kv_slice key);
/* The highest of a fragment's sequences that is not above `sequence`; 0: none. */
uint64_t kv_fragment_sequence(const struct kv_fragments *fragments, uint32_t fragment,
                              uint64_t sequence);
/*
 * The sequence of the newest deletion that covers a key as of `sequence`: entries of the key with a
 * lower one are deleted. 0: none does. `fragments`: NULL: none.
 */
uint64_t kv_fragments_cover(const struct kv_fragments *fragments, struct kv_slice key,
                            uint64_t sequence);

/*
 * Over fragments as files have them: an entry for each sequence of each fragment, its key the
 * fragment's begin with KV_TYPE_RANGE_DELETE, its value the end.
 */
struct kv_fragments_iterator {
    struct kv_iterator base;
    struct kv_fragments *fragments; /* a reference */
    uint32_t fragment;
    uint32_t sequence; /* index among all */
};
/* Takes a reference of its own, until fini. */
void kv_fragments_iterator_init(struct kv_fragments_iterator *iterator,
                                struct kv_fragments *fragments);

#endif
