/*
 * Merging several sorted iterators into one, and what is visible of it.
 */
#ifndef QUARRY_KV_MERGE_ITERATOR_H
#define QUARRY_KV_MERGE_ITERATOR_H

#include <kv/view.h>

/*
 * Over the entries of several iterators, in the order of internal keys. Of equal ones the earlier
 * child's comes first. A tree of losers on (prefix8, key): a step costs one compare for each of
 * log2(children) levels, mostly of two numbers.
 */
struct kv_merge_iterator;

/*
 * `children`: pointers copied; each is ended (fini) with the merge, its memory is its maker's.
 * `ret_iterator`: own; end it with kv_merge_iterator_destroy. Errors: QUARRY_NO_MEMORY: children
 * are the caller's still.
 */
enum quarry_status kv_merge_iterator_create(struct kv_memory *memory,
                                            const struct quarry_kv_comparator *comparator,
                                            struct kv_iterator *const *children, size_t count,
                                            struct kv_merge_iterator **ret_iterator);
void kv_merge_iterator_destroy(struct kv_merge_iterator *iterator);
/* As an iterator: kv/iterator.h. */
struct kv_iterator *kv_merge_iterator_base(struct kv_merge_iterator *iterator);

/*
 * The same in its user's memory: `room` of kv_merge_iterator_bytes(count), aligned to 16. Ends with
 * its base's fini. `count`: from 1.
 */
size_t kv_merge_iterator_bytes(size_t count);
struct kv_merge_iterator *kv_merge_iterator_init(void *room,
                                                 const struct quarry_kv_comparator *comparator,
                                                 struct kv_iterator *const *children, size_t count);
/* Which of the children it is at: its index. It is at an entry. */
uint32_t kv_merge_iterator_source(const struct kv_merge_iterator *iterator);
/*
 * Moves only the child that it is at, in the direction in which it was moved last: to the first
 * entry at or after a key, or the last one before it; and is at what then comes next. For passing
 * what newer children have deleted. `key`: not behind where it is, in that direction.
 */
void kv_merge_iterator_skip(struct kv_merge_iterator *iterator, struct kv_key key);

/*
 * Frugal: of all children only the one that it is at holds more than its key
 * (kv_iterator_ops.rest). Slower by a seek in one child whenever it goes over to another. It is at
 * no entry then.
 */
void kv_merge_iterator_set_frugal(struct kv_merge_iterator *iterator, bool is_frugal);
/* Lets that child rest, too, until it is moved or woken. As of kv_iterator_ops; these are not in
 * the merge's own, for only who has made it frugal has a use for them. */
enum quarry_status kv_merge_iterator_rest(struct kv_merge_iterator *iterator);
void kv_merge_iterator_wake(struct kv_merge_iterator *iterator);

/* Over the files of a run (a level, a sublevel), one open at a time. */
struct kv_run_iterator_options {
    struct quarry_kv *kv;
    struct kv_memory *memory;   /* of the key that it keeps while it rests */
    struct kv_version *version; /* borrowed */
    const struct kv_run *run;   /* of it */
    uint32_t level;
    struct kv_table_iterator_options table;
    struct kv_slice lower, upper; /* user keys; bytes NULL: none. Files outside are not opened */
};
struct kv_run_iterator;
/* `error`: where texts go, of this call and of its errors later; borrowed until it is destroyed;
 * may be NULL. Errors: QUARRY_NO_MEMORY. After the merge that has it as a child. */
enum quarry_status kv_run_iterator_create(struct kv_memory *memory,
                                          const struct kv_run_iterator_options *options,
                                          struct quarry_error *error,
                                          struct kv_run_iterator **ret_iterator);
void kv_run_iterator_destroy(struct kv_run_iterator *iterator);
struct kv_iterator *kv_run_iterator_base(struct kv_run_iterator *iterator);

/* The same in its user's memory, of kv_run_iterator_bytes(), aligned to 16; ends with its base's
 * fini. `error`: borrowed until then; may be NULL. */
size_t kv_run_iterator_bytes(void);
struct kv_run_iterator *kv_run_iterator_init(void *room,
                                             const struct kv_run_iterator_options *options,
                                             struct quarry_error *error);
/* Other bounds, borrowed. It is at no entry then. */
void kv_run_iterator_set_bounds(struct kv_run_iterator *iterator, struct kv_slice lower,
                                struct kv_slice upper);
/*
 * Frugal: what is refused memory is tried once more when idle tables have been closed and idle
 * blocks evicted. It is at no entry then, and holds nothing.
 */
void kv_run_iterator_set_frugal(struct kv_run_iterator *iterator, bool is_frugal);
/*
 * Only keys with a prefix are wanted, as long as it is set: files whose filter does not know it
 * are passed by. `prefix`: borrowed; bytes NULL: all are. It is at no entry then.
 */
void kv_run_iterator_set_prefix(struct kv_run_iterator *iterator, struct kv_slice prefix);

#endif
