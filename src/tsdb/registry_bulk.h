/*
 * Filling an empty registry at once: with the symbols and series that a snapshot has, under their
 * numbers and ids.
 *
 *     tsdb_registry_bulk_begin(&bulk, registry, scratch);
 *     tsdb_registry_bulk_symbol(&bulk, …);     those above a symbol before it
 *     tsdb_registry_bulk_series(&bulk, …);     in the order of ids
 *     status = tsdb_registry_bulk_finish(&bulk);
 *
 * What is given comes from files: every number is checked. Where a call fails, or nothing is to
 * come of it, tsdb_registry_bulk_abandon empties the registry again.
 *
 * Threads: nobody else uses the registry from begin to finish or abandon.
 */
#ifndef QUARRY_TSDB_REGISTRY_BULK_H
#define QUARRY_TSDB_REGISTRY_BULK_H

#include <tsdb/registry.h>

struct tsdb_registry_bulk {
    struct tsdb_registry *registry;    /* borrowed until it is finished or abandoned */
    const struct tsdb_memory *scratch; /* borrowed likewise: for what is given back by then */
    uint32_t *counts;                  /* own: of series, by the number of a symbol */
    size_t capacity;
    uint64_t label_count; /* of all series, and one more of each: members of postings */
    uint32_t last_id;
    bool has_no_thread; /* finishing begins none; to be set after begin */
    /* Of the series before: what its labels were found to be need not be found again. */
    const struct tsdb_symbol *tenant;
    const struct tsdb_symbol *names[TSDB_LABELS_MAX];
    uint32_t name_count;
};

/* A series with the numbers of its labels' symbols. */
struct tsdb_registry_bulk_series {
    uint32_t id;
    int32_t last_window;
    uint16_t tenant;
    uint8_t label_count;
    const uint8_t *numbers; /* of label_count, 4 bytes each, little-endian; borrowed for the call */
};

/* Begins. `registry`: empty. Cost: none. */
void tsdb_registry_bulk_begin(struct tsdb_registry_bulk *bulk, struct tsdb_registry *registry,
                              const struct tsdb_memory *scratch);

/*
 * Adds a symbol. `parent`: the number of the one above it; 0: none, it is a tenant's. One whose
 * parent is not there is passed over.
 * Errors: QUARRY_CORRUPT, QUARRY_NO_MEMORY. Cost: some 300 instructions.
 */
enum quarry_status tsdb_registry_bulk_symbol(struct tsdb_registry_bulk *bulk, uint32_t number,
                                             uint32_t parent, struct tsdb_slice text);

/* Adds a series, of a larger id than the one before. Errors: QUARRY_CORRUPT, QUARRY_NO_MEMORY.
 * Cost: some 15 instructions a label. */
enum quarry_status tsdb_registry_bulk_series(struct tsdb_registry_bulk *bulk,
                                             const struct tsdb_registry_bulk_series *series);

/* Bytes that finishing will take at most, for what has been added. */
uint64_t tsdb_registry_bulk_need(const struct tsdb_registry_bulk *bulk);

/*
 * Makes what finds series: by labels, on a thread of its own where there may be one, and by
 * matchers. Errors: QUARRY_CORRUPT (labels of two series are the same), QUARRY_NO_MEMORY: abandon
 * it. Cost: some 100 ns a series of eight labels, and 4 bytes a label for the time of the call.
 */
enum quarry_status tsdb_registry_bulk_finish(struct tsdb_registry_bulk *bulk);

/* Empties the registry. */
void tsdb_registry_bulk_abandon(struct tsdb_registry_bulk *bulk);

#endif
