/*
 * A sorted index over a batch: for batches that are read before they are written, and for those
 * that are too large for a memtable and become a layer of their own.
 *
 * The index holds places in the batch and no bytes of it. A change has the sequence `base` + its
 * place among the changes, with a base that whoever reads says: that of the batch once it has one,
 * or one above all of the store's.
 *
 * Threads: readers at once, as long as nothing is added, but for kv_batch_index_fragments, which
 * keeps what it made: one thread at a time, or once before it is shared.
 */
#ifndef QUARRY_KV_BATCH_INDEX_H
#define QUARRY_KV_BATCH_INDEX_H

#include <kv/batch.h>
#include <kv/iterator.h>
#include <kv/range_del.h>

/* A change as the index knows it. */
struct kv_batch_entry {
    uint64_t prefix;  /* kv_prefix8 of its key; 0 with another comparator than memcmp */
    uint32_t offset;  /* of its record in the batch */
    uint32_t ordinal; /* among the changes, from 0 */
};

/* Where an entry is: invalid once the index changes. */
struct kv_batch_position {
    uint32_t chunk;
    uint32_t entry;
};

/*
 * `bytes`: where the batch's address is, which may move; borrowed until the index is destroyed.
 * `memory`, `comparator`: likewise. `ret_index`: own. Errors: QUARRY_NO_MEMORY.
 */
enum quarry_status kv_batch_index_create(struct kv_memory *memory,
                                         const struct quarry_kv_comparator *comparator,
                                         char *const *bytes, struct kv_batch_index **ret_index);
/* `index`: given; NULL does nothing. */
void kv_batch_index_destroy(struct kv_batch_index *index);
void kv_batch_index_clear(struct kv_batch_index *index);

/*
 * Adds the change at an offset, which has been checked. Errors: QUARRY_NO_MEMORY: not added.
 * Cost: a search over chunks, moving at most 8 KiB; at the end of the order, a few instructions.
 */
enum quarry_status kv_batch_index_add(struct kv_batch_index *index, uint32_t offset,
                                      uint32_t ordinal);
/* Adds all changes of a batch. Errors: as kv_batch_next and kv_batch_index_add. */
enum quarry_status kv_batch_index_build(struct kv_batch_index *index, struct kv_slice data,
                                        struct quarry_error *error);
/* Forgets changes at `byte_count` or behind. Cost: O(changes). */
void kv_batch_index_rewind(struct kv_batch_index *index, size_t byte_count);

/* What is found of a key. */
struct kv_batch_found {
    uint64_t trailer;
    struct kv_slice value;
    struct kv_batch_position position;
};
/*
 * The newest change of a key that is no range delete, and the one before it.
 * `base`: sequence of the batch's first change. Returns: false: there is none.
 */
bool kv_batch_index_get(const struct kv_batch_index *index, struct kv_slice key, uint64_t base,
                        struct kv_batch_found *ret_found);
bool kv_batch_index_older(const struct kv_batch_index *index, uint64_t base,
                          struct kv_batch_found *found);

/*
 * The batch's range deletes. `ret_fragments`: a reference; NULL: there are none. Their keys are
 * borrowed from the batch, so an index over a batch that grows makes them anew when it has grown.
 * Errors: QUARRY_NO_MEMORY.
 */
enum quarry_status kv_batch_index_fragments(struct kv_batch_index *index, uint64_t base,
                                            struct kv_fragments **ret_fragments);

uint64_t kv_batch_index_count(const struct kv_batch_index *index);
/* Structures agree, and order holds. For tests. */
void kv_batch_index_validate(const struct kv_batch_index *index);

/* Over the changes of a batch that are no range deletes. */
struct kv_batch_iterator {
    struct kv_iterator base;
    const struct kv_batch_index *index;
    uint64_t base_sequence;
    struct kv_batch_position position;
};
/* `index`: borrowed until the iterator's fini; nothing is added meanwhile. */
void kv_batch_iterator_init(struct kv_batch_iterator *iterator, const struct kv_batch_index *index,
                            uint64_t base_sequence);

#endif
