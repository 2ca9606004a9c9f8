/*
 * Sealing: a shard of an open window becomes columns, and its chunklets go back.
 */
#ifndef QUARRY_TSDB_SEAL_H
#define QUARRY_TSDB_SEAL_H

#include <tsdb/open_read.h>
#include <tsdb/sealed.h>
#include <tsdb/tombstones.h>
#include <tsdb/view.h>

struct quarry_tsdb;

/* Times that a shard has so far, and where they are found by their bytes. */
struct tsdb_sealing_times {
    struct tsdb_sealed_times *table;
    size_t capacity;
    uint32_t count;
    uint32_t *slots;      /* index + 1 into the table, by hash; 0: free */
    size_t slot_capacity; /* a power of two */
};

/* Histograms of the entry that is being made, as blocks. */
struct tsdb_sealing_histograms {
    struct tsdb_histogram_batch batch; /* what was read last */
    uint8_t *bytes;
    size_t capacity, byte_count;
    struct tsdb_histogram_batch before; /* one of the block before; none: there is no such block */
    uint64_t scratch[TSDB_HISTOGRAMS_SCRATCH];
};

/* What sealing needs beside what it reads and writes. Kept from shard to shard. */
struct tsdb_sealing {
    const struct tsdb_memory *memory; /* const; borrowed */
    /* room for as many samples as any entry had so far, up to TSDB_SEALED_SAMPLES_MAX */
    uint32_t capacity;
    int64_t *t_ms, *last_t_ms; /* of this entry, and of the one before */
    uint64_t *bits;
    int64_t *scratch;
    uint8_t *bytes;
    uint32_t last_count, last_times; /* of the entry before: as many samples, at these times */
    struct tsdb_open_read *read;
    struct tsdb_deleted deleted; /* of the series: left out */
    struct tsdb_sealing_histograms *histograms;
    struct tsdb_sealing_times times;
    struct tsdb_sealed_entry *entries;
    size_t entry_capacity;
    uint32_t entry_count;

    /* a shard whose chunklets readers may still be looking at */
    struct tsdb_view *view;      /* keeps what is pending; NULL: nothing is */
    struct tsdb_window *pending; /* NULL: none */
    uint32_t pending_shard;
    uint64_t pending_stamp;
    /* an open half without a shard that is open, likewise */
    struct tsdb_open *ended; /* NULL: none */
    struct tsdb_window *ended_window;
    uint64_t ended_stamp;
};

/* ---- seal_histograms.c ---------------------------------------------------------------------- */

/* Forgets the blocks of an entry. */
void tsdb_sealing_histograms_begin(struct tsdb_sealing_histograms *histograms);
/* Puts what is in the batch behind the entry's blocks. Errors: QUARRY_NO_MEMORY. */
enum quarry_status tsdb_sealing_histograms_put(struct tsdb_sealing_histograms *histograms);
void tsdb_sealing_histograms_fini(struct tsdb_sealing_histograms *histograms);

void tsdb_sealing_init(struct tsdb_sealing *sealing, const struct tsdb_memory *memory);
/* Gives everything back at once: there are no readers any more. `views`: the store's. */
void tsdb_sealing_fini(struct tsdb_sealing *sealing, struct tsdb_views *views);

/* ---- seal_room.c ---------------------------------------------------------------------------- */

/* Has all that a shard needs, empty. Errors: QUARRY_NO_MEMORY: some of it may be there. */
enum quarry_status tsdb_sealing_room_make(struct tsdb_sealing *sealing);
void tsdb_sealing_room_fini(struct tsdb_sealing *sealing);
/* Makes room for twice the samples, and keeps the `count` that there are. Errors: as above. */
enum quarry_status tsdb_sealing_samples_grow(struct tsdb_sealing *sealing, uint32_t count);

/* ---- seal.c --------------------------------------------------------------------------------- */

/* What came of trying to seal. */
enum tsdb_sealed {
    TSDB_SEALED,      /* the shard is, and its chunklets have gone back or will */
    TSDB_SEAL_BUSY,   /* a request is under way in the shard: again later */
    TSDB_SEAL_FAILED, /* the status says why; all is as it was */
};

/*
 * Seals one shard of a window.
 *
 * `view`: given, if the shard is sealed: it keeps the window; else still the caller's.
 * `window`: of the view. `shard`: open. The sealing has nothing pending.
 * `ret_status`: QUARRY_OK, or why it failed: QUARRY_NO_MEMORY, QUARRY_NO_ADDRESS, QUARRY_CORRUPT.
 * Threads: the turn's mutex is held. Cost: some 100 ns a sample of the shard; its columns while its
 * chunklets are still there, which is the peak.
 */
enum tsdb_sealed tsdb_seal_shard(struct quarry_tsdb *tsdb, struct tsdb_view *view,
                                 struct tsdb_window *window, uint32_t shard,
                                 enum quarry_status *ret_status);

/*
 * Gives back what readers have left.
 *
 * Returns: whether nothing is pending any more. Threads: the turn's mutex is held.
 * Cost: a process barrier or two; what is given back.
 */
bool tsdb_seal_settle(struct quarry_tsdb *tsdb);

#endif
