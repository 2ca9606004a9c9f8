/*
 * Layers and views.
 *
 * A *layer* is changes that are in no file: a memtable, or a large batch with an index over it. A
 * *view* is what a reader looks through: the layers, the newest first, and a version of the files.
 * Views are immutable, but that the first layer may be a memtable which is written to; a reader has
 * a sequence as well, above which it sees nothing.
 *
 *     const struct kv_view *view = kv_view_enter(kv);      // in the epoch: nothing is counted
 *     uint64_t sequence = kv_visible_sequence(kv);         // after the view: never ahead of it
 *     …
 *     kv_view_leave(kv);
 *
 * The order matters. A view that is taken after the sequence may have files in which a compaction
 * has dropped what the sequence should see, as nobody's snapshot said so. The other way round, the
 * view may lack a layer that has come since: then the reader sees the store as it was when its last
 * layer was left, which is a moment between its two steps. Who goes over from one view to the next
 * must not: it puts its sequence in the list of snapshots first, and takes a view then.
 */
#ifndef QUARRY_KV_VIEW_H
#define QUARRY_KV_VIEW_H

#include <kv/batch_index.h>
#include <kv/store.h>

struct kv_layer {
    _Atomic uint32_t reference_count;
    struct quarry_kv *kv;
    struct kv_memtable *memtable; /* NULL: a batch */
    /* of a batch; const */
    struct quarry_kv_buffer bytes;
    char *bytes_at; /* of them: what the index was made with */
    struct kv_batch_index *index;
    struct kv_fragments *fragments; /* NULL: none */
    uint64_t base_sequence;         /* of its first change */
    struct kv_batch_counts counts;
    /* guarded by the store's mutex */
    uint64_t log_number; /* logs below have nothing of this layer or a newer one */
    bool is_flushing;
};

/* `ret_layer`: a reference. Errors: those of kv_memtable_create. */
enum quarry_status kv_layer_create_memtable(struct quarry_kv *kv, struct kv_layer **ret_layer,
                                            struct quarry_error *error);
/* The same of another capacity than that of the options. */
enum quarry_status kv_layer_create_sized(struct quarry_kv *kv, uint64_t capacity_bytes,
                                         struct kv_layer **ret_layer, struct quarry_error *error);
/* A copy of a batch, which has its sequence. Errors: QUARRY_NO_MEMORY, those of the index. */
enum quarry_status kv_layer_create_batch(struct quarry_kv *kv, struct kv_slice data,
                                         struct kv_layer **ret_layer, struct quarry_error *error);
/*
 * Gives a batch's changes other sequences, before anybody else sees the layer. `sequence`: of the
 * first. Errors: QUARRY_NO_MEMORY, where it has range deletions: it is of no use then.
 */
enum quarry_status kv_layer_set_sequence(struct kv_layer *layer, uint64_t sequence);
/* Whether nothing is in it. */
bool kv_layer_is_empty(const struct kv_layer *layer);
void kv_layer_acquire(struct kv_layer *layer);
void kv_layer_release(struct kv_layer *layer); /* NULL does nothing */

/* What was found of a key in a layer: as kv_memtable_get, kv_memtable_older, kv_memtable_cover. */
struct kv_layer_found {
    uint64_t trailer;
    struct kv_slice value;
    union {
        struct kv_memtable_found memtable;
        struct kv_batch_position position;
    } place;
};
bool kv_layer_get(const struct kv_layer *layer, struct kv_slice key, uint64_t sequence,
                  struct kv_layer_found *ret_found);
bool kv_layer_older(const struct kv_layer *layer, struct kv_slice key,
                    struct kv_layer_found *found);
uint64_t kv_layer_cover(const struct kv_layer *layer, struct kv_slice key, uint64_t sequence);
/* Its range deletions. `ret_fragments`: a reference; NULL: none. Errors: QUARRY_NO_MEMORY. */
enum quarry_status kv_layer_fragments(const struct kv_layer *layer,
                                      struct kv_fragments **ret_fragments);
/* Entries, range deletions, and bytes that it occupies. */
void kv_layer_read_stats(const struct kv_layer *layer, struct kv_memtable_stats *ret_stats);

/* Over its entries but range deletions. It holds the layer until fini. */
struct kv_layer_iterator {
    union {
        struct kv_iterator base;
        struct kv_memtable_iterator memtable;
        struct kv_batch_iterator batch;
    } over;
    struct kv_layer *layer;
    const struct kv_iterator_ops *below; /* of what it is over */
    struct kv_iterator_ops ops;          /* the same, but for the end; so it must not be copied */
};
void kv_layer_iterator_init(struct kv_layer_iterator *iterator, struct kv_layer *layer);

struct kv_view {
    _Atomic uint32_t reference_count; /* the store's while it is the current one */
    struct kv_version *version;       /* counted */
    struct kv_view *next_retired;
    uint64_t stamp;
    uint32_t layer_count;      /* of one that is reserved: how many there is room for */
    struct kv_layer *layers[]; /* the newest first; counted */
};

/* Enters the epoch. Returns: borrowed until kv_view_leave. Cost: as quarry_epoch_enter. */
static inline const struct kv_view *kv_view_enter(struct quarry_kv *kv)
{
    quarry_epoch_enter(kv->epoch);
    /* Acquire: pairs with the release of who published it. */
    return atomic_load_acquire_ptr(&kv->view);
}
static inline void kv_view_leave(struct quarry_kv *kv)
{
    quarry_epoch_leave(kv->epoch);
}
/* The current one, counted: for iterators, which stay long. */
struct kv_view *kv_view_acquire(struct quarry_kv *kv);
void kv_view_release(struct quarry_kv *kv, struct kv_view *view);
/*
 * Makes the view of the lists as they are the current one. That before is set aside, and freed by
 * kv_view_collect when readers have left it.
 *
 * Under the store's mutex, and where the mutable layer has changed under commit_mutex too.
 * `ready`: given: room for it, from kv_view_reserve with at least as many layers: so that it cannot
 * fail. `version`: borrowed; NULL: that of the view before.
 */
void kv_view_publish(struct quarry_kv *kv, struct kv_view *ready, struct kv_version *version);
/* A few layers more find room too: a writer may rotate before the lock is taken. */
enum quarry_status kv_view_reserve(struct quarry_kv *kv, size_t layer_count,
                                   struct kv_view **ret_ready);
void kv_view_unreserve(struct quarry_kv *kv, struct kv_view *ready); /* NULL does nothing */
/* Frees retired views that nobody can be in. Threads: any, without locks.
 */
void kv_view_collect(struct quarry_kv *kv);
/*
 * Layers have been flushed, and the current view is without them: iterators leave theirs at their
 * next move. Under the store's mutex. Cost: an addition.
 */
void kv_view_note_flush(struct quarry_kv *kv);
/* The end: no reader is inside any more, no view is counted. */
void kv_view_end(struct quarry_kv *kv);

#endif
