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

/* Over the files of a run (a level, a sublevel), one open at a time. */
struct kv_run_iterator_options {
    struct quarry_kv *kv;
    struct kv_version *version; /* borrowed */
    const struct kv_run *run;   /* of it */
    uint32_t level;
    struct kv_table_iterator_options table;
    struct kv_slice lower, upper; /* user keys; bytes NULL: none. Files outside are not opened */
};
struct kv_run_iterator;
enum quarry_status kv_run_iterator_create(struct kv_memory *memory,
                                          const struct kv_run_iterator_options *options,
                                          struct quarry_error *error,
                                          struct kv_run_iterator **ret_iterator);
void kv_run_iterator_destroy(struct kv_run_iterator *iterator);
struct kv_iterator *kv_run_iterator_base(struct kv_run_iterator *iterator);

#endif
