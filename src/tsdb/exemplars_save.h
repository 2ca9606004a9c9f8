/*
 * Exemplars as bytes, for files of windows. docs/formats/tsdb-window.md has them.
 */
#ifndef QUARRY_TSDB_EXEMPLARS_SAVE_H
#define QUARRY_TSDB_EXEMPLARS_SAVE_H

#include <tsdb/exemplars.h>
#include <tsdb/log_labels.h>

/* Chunks of exemplars, each to be read alone. All-zero but for both `memory` has none. */
struct tsdb_exemplar_chunks {
    const struct tsdb_memory *memory; /* const; borrowed */
    struct tsdb_slice *chunks;        /* own, each of them too; the oldest exemplars first */
    size_t count, capacity;
    struct tsdb_buffer bytes; /* of the one under way */
};

/*
 * Makes the chunks of a window's exemplars, of all tenants.
 * Errors: QUARRY_NO_MEMORY, QUARRY_TOO_LARGE. Threads: one at a time of a store.
 */
enum quarry_status tsdb_exemplar_chunks_make(struct quarry_tsdb *tsdb, int32_t window,
                                             struct tsdb_exemplar_chunks *chunks);
void tsdb_exemplar_chunks_fini(struct tsdb_exemplar_chunks *chunks);

/* Takes an exemplar, which is borrowed for the call. */
typedef void tsdb_exemplar_entry_function(void *argument, uint32_t id,
                                          const struct quarry_tsdb_exemplar *exemplar);
/*
 * Reads a chunk, the last exemplar first. `chunk`: borrowed for the call.
 * Errors: QUARRY_CORRUPT, before the first is given; QUARRY_NO_MEMORY.
 */
enum quarry_status tsdb_exemplar_chunk_read(const struct tsdb_memory *memory,
                                            struct tsdb_slice chunk,
                                            tsdb_exemplar_entry_function *each, void *argument);

/*
 * Puts one in front of all others of its tenant: it was read, and is older. One that is not older
 * than its series' oldest, or has no room in what the tenant may have, is left out.
 * Threads: as tsdb_exemplars_add.
 */
void tsdb_exemplars_restore(struct quarry_tsdb *tsdb, struct tsdb_tenant *tenant, uint32_t id,
                            int32_t window, const struct quarry_tsdb_exemplar *exemplar);

#endif
