/*
 * The public iterator: what its parts share.
 */
#ifndef QUARRY_KV_WALK_H
#define QUARRY_KV_WALK_H

#include <kv/lookup.h>
#include <kv/merge_iterator.h>

/*
 * What is walked over: a batch, a layer, or a run of files. The newest first; the index is that of
 * the merge's children.
 */
struct kv_source {
    struct kv_iterator *over;
    struct kv_run_iterator *run; /* the same; NULL: it is no run */
    /* range deletions */
    bool has_ranges;                /* false: none, and nothing below is used */
    struct kv_fragments *fragments; /* a reference; NULL: those of `files` */
    const struct kv_run *files;
    uint64_t sequence;          /* deletions above it are not seen */
    struct kv_open_table *open; /* of files->files[file]; NULL: it was not needed */
    uint32_t file;
    /* the stretch of keys that was looked at last, and the deletion over it; 0: none */
    bool is_known;
    bool begin_is_out, end_is_in;
    struct kv_slice begin, end; /* bytes NULL: from or to the end */
    uint64_t cover;
};

/* Where the merged iterator is, as against what is shown. */
enum kv_walk_place {
    KV_WALK_NOWHERE,
    KV_WALK_AT,     /* at the entry that is shown; key and value lie there */
    KV_WALK_BEHIND, /* behind the key's operands; the key is saved, the value merged */
    KV_WALK_BEFORE, /* before all entries of the key, or past the beginning; both are copies */
};

struct quarry_kv_iterator {
    struct quarry_kv *kv;
    struct kv_view *view; /* counted; NULL: none */
    uint64_t sequence;
    struct quarry_kv_snapshot own; /* in the store's list, while is_listed: of `sequence` */
    bool is_listed;
    bool is_bare;        /* it has a view and no sources: there was no memory for them */
    uint64_t flush_seen; /* of the store's flush_count, before the view was taken; UINT64_MAX: it
                            stays */
    uint64_t batch_base; /* changes of the batch are seen; UINT64_MAX: there is none */
    struct quarry_kv_batch *batch;
    const struct quarry_kv_comparator *comparator;
    struct quarry_kv_read_options options;
    struct kv_slice lower, upper; /* bytes NULL: none */

    struct kv_iterator *top;         /* the merge, or the only source */
    struct kv_merge_iterator *merge; /* NULL: there is one source */
    struct kv_source *sources;
    uint32_t source_count;
    bool has_ranges;            /* of some source */
    struct kv_iterator nothing; /* where there is no source */

    /* where it is */
    bool is_valid;
    bool is_skipping; /* entries of the saved key are passed */
    bool is_taken;  /* the saved key has been shown or passed by: after an error, go on behind it */
    bool is_lost;   /* the shown key could not be saved: a move cannot be done again */
    bool in_prefix; /* only keys that begin with `prefix` */
    bool is_frugal; /* in little memory: see walk_sources.c */
    enum kv_walk_place place;
    enum quarry_status status;
    struct kv_slice key, value;
    uint64_t skipped_count;          /* in this step */
    uint64_t step_count, step_bytes; /* not counted yet */
    uint64_t frugal_count;           /* moves since it is frugal */

    struct quarry_kv_buffer saved_key;
    struct quarry_kv_buffer saved_value; /* a copy, or merged */
    struct quarry_kv_buffer sought;
    struct quarry_kv_buffer prefix; /* and behind it, its end */
    struct quarry_kv_buffer bounds; /* copies; options.lower, options.upper are borrowed else */
    struct kv_operands operands;
    void *room; /* of sources, merge and children */
    size_t room_bytes;
    struct quarry_error error;
};

/* Entries of one key that are stepped over, before seeking passes the rest. */
#define KV_WALK_STEPS_MAX 16u
/* Values that are longer are not copied when walking backwards, but sought anew; and frugal, their
 * block is held. */
#define KV_WALK_COPY_MAX ((size_t)16 << 10)

static inline struct kv_slice kv_walk_saved_key(const struct quarry_kv_iterator *walk)
{
    return kv_buffer_slice(&walk->saved_key);
}
static inline bool kv_walk_is_visible(const struct quarry_kv_iterator *walk, uint64_t trailer)
{
    uint64_t sequence = kv_trailer_sequence(trailer);

    return sequence <= walk->sequence || sequence >= walk->batch_base;
}
/* Whether the top is at an entry of the saved key. */
static inline bool kv_walk_is_at_saved(const struct quarry_kv_iterator *walk)
{
    return walk->top->is_valid &&
           kv_compare(walk->comparator, walk->top->key.user, kv_walk_saved_key(walk)) == 0;
}
static inline bool kv_walk_has_prefix(const struct quarry_kv_iterator *walk, struct kv_slice key)
{
    size_t byte_count = walk->kv->options.prefix_bytes;

    return key.count >= byte_count && memcmp(key.bytes, walk->prefix.bytes, byte_count) == 0;
}

/* Ends a move with nothing shown: at an end, or after an error. Returns: false. */
bool kv_walk_end(struct quarry_kv_iterator *walk, enum quarry_status status);
/* Copies the key that the top is at. False: there is no memory; it has ended. */
bool kv_walk_save_key(struct quarry_kv_iterator *walk);
/* A deleted key has been passed. False: too many of them; it has ended. */
bool kv_walk_count_skipped(struct quarry_kv_iterator *walk);

/* Whether layers that its view may have are in files by now. Cost: a load. */
static inline bool kv_walk_is_stale(const struct quarry_kv_iterator *walk)
{
    /* Relaxed: a wish; the next move finds it out, if this one does not. */
    return Q_UNLIKELY(atomic_load_relaxed_u64(&walk->kv->flush_count) > walk->flush_seen);
}
/*
 * Goes over to the store's current view, and sees the same there. Its top is at no entry then, and
 * no prefix is set. Errors: QUARRY_NO_MEMORY: it is bare.
 */
enum quarry_status kv_walk_renew(struct quarry_kv_iterator *walk);
/* Makes sources where it is bare. Errors: QUARRY_NO_MEMORY: it still is. */
enum quarry_status kv_walk_dress(struct quarry_kv_iterator *walk);

/* Tells the store's figures of the steps since the last time. */
void kv_walk_count_steps(struct quarry_kv_iterator *walk);

/*
 * Begins or ends to be frugal. It is to be placed anew.
 */
void kv_walk_set_frugal(struct quarry_kv_iterator *walk, bool is_frugal);
/*
 * Frugal: what the top is at holds no block and no table, and has no value, if there is memory for
 * a copy of its key; has it again, or the top is not valid and says why.
 */
void kv_walk_rest(struct quarry_kv_iterator *walk);
void kv_walk_wake(struct quarry_kv_iterator *walk);
/* The same between moves: what is shown is copied, if there is memory for that. */
void kv_walk_let_go(struct quarry_kv_iterator *walk);

/*
 * From where the top is: to the first key that is to be shown, or the last. Entries of the saved
 * key are passed if is_skipping. Returns: whether there is one.
 */
bool kv_walk_find_forward(struct quarry_kv_iterator *walk);
bool kv_walk_find_backward(struct quarry_kv_iterator *walk);

/*
 * The newest range deletion over the key that the top is at. `ret_source`: which source has it.
 * Returns: its sequence; 0: none, or walk->status says what went wrong.
 */
uint64_t kv_walk_cover(struct quarry_kv_iterator *walk, uint32_t *ret_source);
/* Lets go of what range deletions hold; of a run's table only, which is opened again. */
void kv_source_forget_ranges(struct kv_source *source);
void kv_source_close_table(struct kv_source *source);

#endif
