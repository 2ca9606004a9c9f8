/*
 * Memtables: what was written and is not in a file yet, sorted, in an arena.
 *
 *     // a writer, under the store's commit lock:
 *     kv_memtable_plan(memtable, data, &plan, error);          // before it: sizes, heights
 *     status = kv_memtable_prepare(memtable, &plan, sequence); // takes the bytes; may refuse
 *     // outside of it, at once with others:
 *     kv_memtable_apply(memtable, &plan, &splice);             // cannot fail
 *     // a reader, of sequences that are published:
 *     if (kv_memtable_get(memtable, key, sequence, &found)) …
 *
 * Entries of all sequences are kept. Range deletions have a list of their own.
 *
 * A memtable is counted. It is ended, with its arena, when the last reference goes; views of a
 * store hold one each, and readers in an epoch the view.
 */
#ifndef QUARRY_KV_MEMTABLE_H
#define QUARRY_KV_MEMTABLE_H

#include <quarry/arena.h>

#include <kv/batch.h>
#include <kv/iterator.h>
#include <kv/range_del.h>

struct kv_memtable;

/* Levels of a skiplist. With one node in e going a level up, enough for e^19 of them. */
#define KV_MEMTABLE_HEIGHT_MAX 20u

struct kv_memtable_options {
    struct quarry_arena_keeper *keeper;            /* borrowed until it is ended; gives the arena */
    struct kv_memory *memory;                      /* likewise; of fragments of range deletions */
    const struct quarry_kv_comparator *comparator; /* likewise */
    uint64_t capacity_bytes;                       /* of the arena */
    bool has_no_hash; /* without the table of keys; another comparator than memcmp has none */
};

/*
 * `ret_memtable`: a reference; give it back with kv_memtable_release.
 * Errors: those of quarry_arena_keeper_take. Cost: an arena.
 */
enum quarry_status kv_memtable_create(const struct kv_memtable_options *options,
                                      struct kv_memtable **ret_memtable,
                                      struct quarry_error *error);
void kv_memtable_acquire(struct kv_memtable *memtable);
/* False: the last reference is gone. For readers in an epoch that have found it. */
Q_NODISCARD bool kv_memtable_try_acquire(struct kv_memtable *memtable);
/* `memtable`: given; NULL does nothing. */
void kv_memtable_release(struct kv_memtable *memtable);

/* ---- writing -------------------------------------------------------------------------------- */

/* What a batch needs of a memtable. */
struct kv_memtable_plan {
    struct kv_slice data; /* of the batch; borrowed until it is applied */
    uint64_t byte_count;  /* of the arena: exact */
    uint64_t seed;        /* of the nodes' heights */
    uint32_t first_tag;   /* of the first change's key: where the table of keys has it */
    struct kv_batch_counts counts;
    /* from kv_memtable_prepare on */
    uint64_t sequence;
    uint32_t offset;
};

/*
 * Works out what a batch takes. Nothing is taken.
 *
 * `data`: borrowed until it is applied; its own sequence is not looked at. `ret_plan`: good for
 * every memtable. Errors: as kv_batch_check. Threads: any. Cost: about 60 instructions a change.
 */
enum quarry_status kv_memtable_plan(struct kv_slice data, struct kv_memtable_plan *ret_plan,
                                    struct quarry_error *error);

/*
 * Takes the bytes for a plan, and counts its changes. Unless it fails, kv_memtable_apply must
 * follow, or kv_memtable_cancel at once.
 *
 * `sequence`: of the first change.
 * Errors: QUARRY_NO_ADDRESS: the memtable is full; QUARRY_TOO_LARGE: even an empty one would be;
 * QUARRY_NO_MEMORY: the budget is. Nothing has changed.
 * Threads: one at a time: under the store's commit lock. Cost: about 40 instructions.
 */
enum quarry_status kv_memtable_prepare(struct kv_memtable *memtable, struct kv_memtable_plan *plan,
                                       uint64_t sequence);

/* Behind which nodes a key belongs, at the levels that 19 of 20 nodes have. Small, as is all that a
 * thread has for itself: a library that is loaded late finds little room for that. */
#define KV_MEMTABLE_PLACE_LEVELS 3u
struct kv_memtable_place {
    uint32_t previous[KV_MEMTABLE_PLACE_LEVELS];
};

/*
 * What a thread knows of a memtable: where its last insertion was, and places that were looked for
 * ahead. All-zero is nothing; what is of another memtable counts as that.
 */
#define KV_MEMTABLE_AHEAD 16u
struct kv_memtable_splice {
    uint64_t memtable_id;
    uint32_t previous[KV_MEMTABLE_HEIGHT_MAX];
    uint32_t next[KV_MEMTABLE_HEIGHT_MAX];
    uint32_t place_count;
    uint32_t place_next; /* the first that has not been taken */
    uint32_t place_tags[KV_MEMTABLE_AHEAD];
    struct kv_memtable_place places[KV_MEMTABLE_AHEAD];
};

/*
 * Looks for the places of keys that the thread is going to insert, with their cache misses side by
 * side, and remembers them. Nothing hangs on it: who inserts other keys, or into another memtable,
 * only searches himself.
 *
 * `count`: up to KV_MEMTABLE_AHEAD. `splice`: the thread's own, as for kv_memtable_apply.
 * Threads: any. Cost: some 40 instructions for a key that is there, and a search for one that is
 * not, which inserting it is then spared.
 */
void kv_memtable_seek_ahead(const struct kv_memtable *memtable, const struct kv_slice *keys,
                            size_t count, struct kv_memtable_splice *splice);

/*
 * Inserts the changes of a plan that was prepared.
 *
 * `splice`: the thread's own; keys near the last one, and after it, and those that were looked for
 * ahead, are found without a search. NULL: none. Errors: none. Threads: any, at once.
 * Cost: see memtable.c.
 */
void kv_memtable_apply(struct kv_memtable *memtable, const struct kv_memtable_plan *plan,
                       struct kv_memtable_splice *splice);

/*
 * Takes back the last plan that was prepared, which will not be applied: what it counted. The bytes
 * stay taken. Threads: as kv_memtable_prepare, before another one prepares.
 */
void kv_memtable_cancel(struct kv_memtable *memtable, const struct kv_memtable_plan *plan);

/* Whether somebody has prepared and not applied yet: then it cannot be flushed. */
bool kv_memtable_has_writers(const struct kv_memtable *memtable);

/* ---- reading -------------------------------------------------------------------------------- */

/* An entry. Borrowed as long as the memtable is held. */
struct kv_memtable_found {
    uint64_t trailer;
    struct kv_slice value;
    uint32_t node;
};

/*
 * Fetches into the CPU's cache where the table of keys says where a key is; then, with time
 * between, the entry itself. Returns: whether there seems to be one. `tag`: kv_hash_tag.
 */
void kv_memtable_prefetch(const struct kv_memtable *memtable, uint32_t tag);
bool kv_memtable_prefetch_entry(const struct kv_memtable *memtable, uint32_t tag);

/*
 * The newest entry of a key that is not above a sequence, whatever its type; range deletions are
 * not looked at. The one before it.
 *
 * Returns: false: there is none. Threads: any.
 * Cost: a cache miss where the key is not there, two where it is and its newest entry is wanted.
 */
bool kv_memtable_get(const struct kv_memtable *memtable, struct kv_slice key, uint64_t sequence,
                     struct kv_memtable_found *ret_found);
bool kv_memtable_older(const struct kv_memtable *memtable, struct kv_memtable_found *found);

/*
 * The sequence of the newest range deletion that covers a key as of `sequence`; 0: none.
 * Threads: any. Errors: none: without memory for fragments all deletions are looked at.
 * Cost: a load where there are no range deletions.
 */
uint64_t kv_memtable_cover(struct kv_memtable *memtable, struct kv_slice key, uint64_t sequence);

/*
 * Its range deletions, those that are not published yet included. `ret_fragments`: a reference;
 * NULL: none. Their keys are borrowed from the memtable. Errors: QUARRY_NO_MEMORY.
 */
enum quarry_status kv_memtable_fragments(struct kv_memtable *memtable,
                                         struct kv_fragments **ret_fragments);

/* Over all entries but range deletions. */
struct kv_memtable_iterator {
    struct kv_iterator base;
    struct kv_memtable *memtable; /* a reference */
    uint32_t node;
};
/* Takes a reference of its own, until fini. */
void kv_memtable_iterator_init(struct kv_memtable_iterator *iterator, struct kv_memtable *memtable);

/* ---- what it is like ------------------------------------------------------------------------ */

struct kv_memtable_stats {
    uint64_t entry_count; /* range deletions not included */
    uint64_t delete_count;
    uint64_t merge_count;
    uint64_t range_count;
    uint64_t key_bytes, value_bytes; /* of all of them */
    uint64_t smallest_sequence;      /* 0 with entry_count and range_count 0: none */
    uint64_t largest_sequence;
    uint64_t used_bytes;   /* of the arena */
    uint64_t backed_bytes; /* of it, charged */
    uint64_t capacity_bytes;
    uint64_t hash_bytes; /* of the table of keys, earlier ones included */
    bool has_whole_hash; /* every key is in it */
};
void kv_memtable_read_stats(const struct kv_memtable *memtable,
                            struct kv_memtable_stats *ret_stats);

/* Lists are in order and agree with the counts; every key is found. No writer is at work. */
void kv_memtable_validate(struct kv_memtable *memtable);

#endif
