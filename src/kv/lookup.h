/*
 * Looking a key up: in layers, then in files, the newest first.
 */
#ifndef QUARRY_KV_LOOKUP_H
#define QUARRY_KV_LOOKUP_H

#include <kv/operands.h>
#include <kv/read.h>

/*
 * Changes of an indexed batch that is read through have sequences from here on: above all of a
 * store's.
 */
#define KV_BATCH_BASE_SEQUENCE (UINT64_C(1) << 55)

/* What is read through, and how: the same for all keys of a call. */
struct kv_reading {
    struct quarry_kv *kv;
    const struct kv_view *view;
    uint64_t sequence;             /* changes above it are not seen */
    struct quarry_kv_batch *batch; /* indexed, before all layers; NULL: none */
    bool only_cached;
    bool is_background; /* what is read is not kept */
    bool may_open;      /* the view is counted, so files may be opened */
    bool needs_open;    /* written: a file that is not open was wanted */
    struct quarry_error *error;
    /* figures, written */
    uint32_t filter_useful, filter_passed, filter_false;
};

/* Where a value lies. */
enum kv_place {
    KV_PLACE_NONE, /* there is no value: the key is not there */
    KV_PLACE_LAYER,
    KV_PLACE_BLOCK,
    KV_PLACE_BATCH,
    KV_PLACE_MERGED,
};

/* One key. */
struct kv_lookup {
    struct kv_slice key;
    uint64_t prefix8, hash;
    enum kv_table_filtered filtered; /* of the table that is looked into first */
    bool only_exists;                /* no value is wanted: an operand is enough */
    /* what was found */
    bool is_decided;
    uint64_t cover; /* of the newest range deletion over the key; 0: none */
    enum kv_place place;
    struct kv_slice value;
    struct kv_layer *layer;      /* LAYER: borrowed from the view */
    struct kv_table_entry entry; /* BLOCK: own */
    struct kv_operands operands;
    struct quarry_kv_buffer merged; /* MERGED: own */
};

void kv_lookup_init(struct kv_lookup *lookup, const struct quarry_kv *kv, struct kv_slice key);
/*
 * Looks for the key. What is found of it is borrowed as long as the view, or owned by the lookup.
 * Errors: QUARRY_NOT_FOUND; those of tables and merge operators; any, if needs_open.
 */
enum quarry_status kv_lookup_run(struct kv_lookup *lookup, struct kv_reading *reading);
/* Lets go of what it owns. It can be run again. */
void kv_lookup_fini(struct kv_lookup *lookup, struct quarry_kv *kv);

/*
 * Calls `read` with a view: inside the epoch; again with one that is counted, if a file is to be
 * opened; again with the reserve given back, if there was no memory. It leaves nothing behind when
 * it fails.
 */
typedef enum quarry_status kv_read_function(void *argument, struct kv_reading *reading);
enum quarry_status kv_read(struct quarry_kv *kv, const struct quarry_kv_read_options *options,
                           struct quarry_kv_batch *batch, kv_read_function *read, void *argument,
                           struct quarry_error *error);

/* Makes what was found the caller's. Errors: QUARRY_NO_MEMORY, of what a batch has alone. */
enum quarry_status kv_value_hold(struct quarry_kv *kv, struct kv_lookup *lookup,
                                 struct quarry_kv_value *value);
/* Counts reads: `hit_count` of `count` were found, of so many bytes. */
void kv_count_reads(struct quarry_kv *kv, const struct kv_reading *reading, uint64_t count,
                    uint64_t hit_count, uint64_t byte_count);

#endif
