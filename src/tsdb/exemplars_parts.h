/*
 * What exemplars lie in: for the files exemplars*.c.
 */
#ifndef QUARRY_TSDB_EXEMPLARS_PARTS_H
#define QUARRY_TSDB_EXEMPLARS_PARTS_H

#include <tsdb/exemplars.h>
#include <tsdb/store.h>

struct tsdb_exemplar_series {
    struct tsdb_exemplar_series *next; /* in its bucket */
    struct tsdb_exemplar_record *oldest, *newest;
    uint32_t id;
};

struct tsdb_exemplar_record {
    struct tsdb_exemplar_record *newer, *older; /* of the tenant */
    struct tsdb_exemplar_record *series_newer;  /* of the series */
    struct tsdb_exemplar_series *series;
    int64_t t_ms;
    uint64_t bits;
    uint32_t text_bytes, label_count;
    int32_t window;     /* whose log, or file, has it */
    uint16_t lengths[]; /* of name, value, name, …; then the bytes of all */
};

/* What one tenant has. */
struct tsdb_exemplar_ring {
    struct os_mutex mutex;
    /* guarded by mutex */
    struct tsdb_exemplar_record *oldest, *newest;
    uint64_t count, bytes;
    struct tsdb_exemplar_series **buckets;
    uint32_t bucket_count, series_count;
    const struct tsdb_exemplar_record *save_at; /* where writing stands; NULL: it does not */
};

/* A tenant's; NULL: it has none. */
static inline struct tsdb_exemplar_ring *tsdb_exemplar_ring_of(const struct tsdb_tenant *tenant)
{
    /* Acquire: pairs with the exchange in ring_have. */
    return atomic_load_acquire_ptr(&tenant->exemplars);
}

/* The bytes of all names and values. */
static inline const char *tsdb_exemplar_text(const struct tsdb_exemplar_record *record)
{
    return (const char *)(record->lengths + 2 * (size_t)record->label_count);
}

/* Each tenant's, in order; `*at`: begins at 0. NULL: no more. */
struct tsdb_exemplar_ring *tsdb_exemplar_ring_next(struct quarry_tsdb *tsdb, uint32_t *at);

/* NULL: it has no exemplar. Threads: the ring's mutex is held. */
struct tsdb_exemplar_series *tsdb_exemplar_series_find(const struct tsdb_exemplar_ring *ring,
                                                       uint32_t id);

#endif
