/*
 * Tombstones: spans of series' samples that were deleted, and are there still.
 *
 * Whoever reads a series leaves its spans out, and sealing does not write them. They go when the
 * windows that they are about have been sealed anew (quarry_tsdb_clean), or are too old.
 */
#ifndef QUARRY_TSDB_TOMBSTONES_H
#define QUARRY_TSDB_TOMBSTONES_H

#include <os/os.h>
#include <quarry/tsdb.h>

#include <tsdb/memory.h>
#include <tsdb/types.h>

/* Spans of all series together: 24 bytes each. Doubling it doubles that, 24 MiB at the most. */
#define TSDB_TOMBSTONES_MAX (UINT32_C(1) << 20)
/* Spans of one series, which each reader of it keeps and compares with. */
#define TSDB_DELETED_SPANS_MAX 16u

struct tsdb_gap {
    int64_t from_ms, to_ms; /* both included */
};

struct tsdb_tombstone {
    uint32_t id;
    struct tsdb_gap span;
};

/* By id, then by time; the spans of a series do not meet. */
struct tsdb_tombstone_list {
    const struct tsdb_memory *memory; /* borrowed */
    struct tsdb_tombstone *items;     /* own; NULL: none */
    size_t count, capacity;
};

struct tsdb_tombstones {
    struct os_mutex work_mutex; /* of who deletes and cleans, over files and turns */
    struct os_mutex mutex;
    struct tsdb_tombstone_list list; /* guarded by mutex; replaced as a whole with both */
    _Atomic uint64_t count;          /* of the list */
    _Atomic bool has_deleted;        /* ever: logs have more than windows */
};

/* What of one series was deleted. */
struct tsdb_deleted {
    uint32_t count;
    struct tsdb_gap spans[TSDB_DELETED_SPANS_MAX];
};

void tsdb_tombstones_init(struct quarry_tsdb *tsdb);
void tsdb_tombstones_fini(struct quarry_tsdb *tsdb);

/* The spans of a series. Threads: any. Cost: a load while there are none; else a lock, and a search
 * by halves. */
void tsdb_tombstones_of(struct quarry_tsdb *tsdb, uint32_t id, struct tsdb_deleted *ret_deleted);
/* A series has gone, and its id may mean another. Threads: any. Cost: as above. */
void tsdb_tombstones_forget(struct quarry_tsdb *tsdb, uint32_t id);

static inline bool tsdb_deleted_has(const struct tsdb_deleted *deleted, int64_t t_ms)
{
    for (uint32_t i = 0; i < deleted->count; i++) {
        if (t_ms >= deleted->spans[i].from_ms && t_ms <= deleted->spans[i].to_ms) {
            return true;
        }
    }
    return false;
}

void tsdb_tombstone_list_fini(struct tsdb_tombstone_list *list);
/* Errors: QUARRY_NO_MEMORY: as it was. */
enum quarry_status tsdb_tombstone_list_put(struct tsdb_tombstone_list *list, uint32_t id,
                                           struct tsdb_gap span);
/* Sorts a list and joins spans that meet. Errors: QUARRY_TOO_MANY: of all, or of a series.
 * Cost: O(n log n). */
enum quarry_status tsdb_tombstone_list_settle(struct tsdb_tombstone_list *list);
/* Puts a list in the place of the one there is. `list`: given, settled. With work_mutex. */
void tsdb_tombstones_replace(struct quarry_tsdb *tsdb, struct tsdb_tombstone_list *list);

/* ---- tombstones_file.c ---------------------------------------------------------------------- */

struct tsdb_durable;

/* Writes a list in place of the one on the disk, durably. Errors: those of tsdb_section_file_write:
 * either is there. With work_mutex. */
enum quarry_status tsdb_tombstones_save(struct tsdb_durable *durable,
                                        const struct tsdb_tombstone_list *list,
                                        struct quarry_error *error);
/* Reads what is there, making the series that are not known yet: the log will have them. What is
 * damaged is set aside, and told. Errors: QUARRY_NO_MEMORY, QUARRY_IO, … */
enum quarry_status tsdb_tombstones_load(struct tsdb_durable *durable, struct quarry_error *error);
/* Copies the file to another directory. Errors: as tsdb_file_copy. */
enum quarry_status tsdb_tombstones_copy(struct tsdb_durable *durable, const char *directory,
                                        struct quarry_error *error);

#endif
