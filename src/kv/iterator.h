/*
 * Internal iterators: over the entries of a memtable, a file, a level, or several merged.
 *
 * All entries, of all sequences, in the order of internal keys. What is at the position lies in the
 * iterator itself, so that a merge of several looks at it without a call:
 *
 *     it.ops->seek(&it, key);
 *     while (it.is_valid) {
 *         … it.key.user, it.key.trailer, it.value …
 *         it.ops->next(&it);
 *     }
 *     if (it.status != QUARRY_OK) …
 *
 * Invariants:
 *   1. is_valid with status QUARRY_OK: at an entry. Not valid with QUARRY_OK: past an end, or not
 *      placed yet. Any other status: not valid, and so until it is placed anew.
 *   2. key and value are borrowed until the iterator is moved or ended, and as long as the
 *      iterator holds what they lie in.
 *   3. next and previous are called at an entry only. Either direction may follow the other.
 */
#ifndef QUARRY_KV_ITERATOR_H
#define QUARRY_KV_ITERATOR_H

#include <kv/key.h>

struct kv_iterator;

struct kv_iterator_ops {
    void (*first)(struct kv_iterator *iterator);
    void (*last)(struct kv_iterator *iterator);
    /* To the first entry at or after the key; to the last one before it. `key`: borrowed. */
    void (*seek)(struct kv_iterator *iterator, struct kv_key key);
    void (*seek_before)(struct kv_iterator *iterator, struct kv_key key);
    void (*next)(struct kv_iterator *iterator);
    void (*previous)(struct kv_iterator *iterator);
    /* Lets go of all that is held. The iterator's own memory is its maker's. */
    void (*fini)(struct kv_iterator *iterator);
    /*
     * Both or neither; NULL: it holds nothing that is worth it. Rest keeps a copy of the key, where
     * it is at one, and lets go of all else: there is no value until wake, or until it is moved.
     * Errors: QUARRY_NO_MEMORY: it is as it was. Wake of one that does not rest does nothing.
     */
    enum quarry_status (*rest)(struct kv_iterator *iterator);
    void (*wake)(struct kv_iterator *iterator);
};

/* First member of what an iterator really is. */
struct kv_iterator {
    const struct kv_iterator_ops *ops;
    struct kv_key key;
    struct kv_slice value;
    bool is_valid;
    enum quarry_status status;
    struct quarry_error *error; /* where the text of an error goes; NULL: nowhere. Borrowed */
};

#endif
