/*
 * A store's directory: its log, the files of its sealed windows, snapshots of its registry.
 *
 * A store without one has no struct tsdb_durable. One with it logs what it takes before it says so,
 * writes each window once it is sealed, and when it is opened has all of it again.
 */
#ifndef QUARRY_TSDB_DURABLE_H
#define QUARRY_TSDB_DURABLE_H

#include <quarry/vfs.h>

#include <tsdb/log.h>
#include <tsdb/section_file.h>
#include <tsdb/series_chunk.h>
#include <tsdb/store.h>

/* Window files that a store knows: those that it keeps, and some that it could not remove. */
#define TSDB_DURABLE_FILES_MAX 64u
/* Losses that are kept to be looked at; all are counted, and told to the options' function. */
#define TSDB_DURABLE_LOSSES_MAX 16u

/* The file of a window. */
struct tsdb_durable_file {
    int32_t number;
    uint64_t salt;     /* of its header: tells it from another that had the name */
    bool is_loaded;    /* its window is in memory, or has been */
    bool is_skipped;   /* it found no room: it is left as it is */
    bool is_broken;    /* its head cannot be read: it is left as it is */
    bool is_partial;   /* series were left out that it may have samples of */
    bool must_stay;    /* it has more than what was loaded of it: it is not written over */
    bool has_mark;     /* it says what of the log is behind it: */
    uint64_t log_from; /* segments of its window from here on; below, it has all of them */
    bool is_covered;   /* the snapshot has its series: each id that lives is what the file means */
    uint64_t *ids;     /* own; else the ids that mean the same here and there, a bit for each */
    size_t id_words;
};

/* Counted by whoever does it. */
struct tsdb_durable_counters {
    _Atomic uint64_t replayed_count; /* samples */
    _Atomic uint64_t loss_count, lost_samples;
    _Atomic uint64_t saved_count, save_failed_count; /* windows */
    _Atomic uint64_t snapshot_count, snapshot_failed_count;
    _Atomic uint64_t log_failed_count; /* requests that could not be logged */
    _Atomic uint64_t left_out_count;   /* series without room, when it was opened */
};

/* A window that was read from a snapshot: what of its log is behind that. */
struct tsdb_durable_image {
    int32_t number;
    uint64_t from; /* segment */
};

struct tsdb_durable {
    /* const */
    struct quarry_tsdb *tsdb;
    struct quarry_vfs *vfs;
    struct tsdb_memory *memory; /* of what stays, and of the log */
    char *directory;
    struct quarry_vfs_lock *lock;
    struct tsdb_log *log;
    enum quarry_tsdb_durability level;

    struct os_mutex mutex; /* work on files, one piece at a time */
    /* changed with it and the turn's mutex held, read with either */
    struct tsdb_durable_file files[TSDB_DURABLE_FILES_MAX];
    _Atomic uint32_t file_count; /* read without them for figures */
    /* guarded by mutex */
    int64_t replay_from; /* windows of the log below have been replayed */
    /* windows of which not all samples found room: their log stays, and no file takes its place */
    int32_t lacking[TSDB_VIEW_WINDOWS_MAX];
    uint32_t lacking_count;
    uint64_t snapshot_generation; /* that the registry came from; 0: none */
    bool has_looked_for_images;
    struct tsdb_durable_image images[TSDB_VIEW_WINDOWS_MAX];
    uint32_t image_count;
    bool has_contradiction; /* while opening: the snapshot's series are not those of newer files */
    uint64_t sync_due_ns, snapshot_due_ns, retry_due_ns; /* of the vfs' clock */
    uint64_t snapshot_stamp; /* series made and removed when the last snapshot was written */

    bool is_frozen; /* no file is changed any more: not all of the log could be read */

    _Atomic bool is_ready;
    _Atomic uint32_t poison; /* enum quarry_status: of the sync that failed; QUARRY_OK */
    struct tsdb_durable_counters counters;

    struct os_mutex losses_mutex;
    /* guarded by losses_mutex */
    struct quarry_tsdb_loss losses[TSDB_DURABLE_LOSSES_MAX];
    uint32_t loss_count;
};

static inline bool tsdb_durable_is_ready(const struct tsdb_durable *durable)
{
    /* Acquire: pairs with the release at the end of recovery: all that was replayed is seen. */
    return durable == NULL || atomic_load_acquire_bool(&durable->is_ready);
}

/* Whether samples are logged before they are acknowledged. */
static inline bool tsdb_durable_logs(const struct tsdb_durable *durable)
{
    return durable != NULL && durable->level != QUARRY_TSDB_DURABILITY_NONE;
}

/* ---- durable.c, durable_open.c --------------------------------------------------------------- */

/*
 * Opens the directory: takes its lock, finds its files, has the registry. What is in them comes by
 * turns.
 *
 * `ret_durable`: own; end it with tsdb_durable_close; written as soon as there is something to end.
 * Errors: QUARRY_BUSY (another process), QUARRY_BAD_INPUT (windows of another length),
 * QUARRY_NO_MEMORY, those of the vfs.
 */
enum quarry_status tsdb_durable_open(struct quarry_tsdb *tsdb, struct tsdb_durable **ret_durable,
                                     struct quarry_error *error);
/*
 * Writes what makes the next opening fast. Nobody else uses the store.
 * Errors: the first failure; what was acknowledged is there as its durability says.
 */
enum quarry_status tsdb_durable_finish(struct tsdb_durable *durable);
/* `durable`: given; NULL does nothing. */
void tsdb_durable_close(struct tsdb_durable *durable);

/* Does one piece of what is to be done with files. Returns: whether there was one. */
bool tsdb_durable_turn(struct tsdb_durable *durable);

/* Whether a window of this number may not be made: a file has it. With the turn's mutex. */
bool tsdb_durable_has_file(const struct tsdb_durable *durable, int32_t number);
/* The lowest window of which there is a file; INT32_MAX: none. Ids in it must not mean anything
 * else. With the turn's mutex. */
int32_t tsdb_durable_floor(const struct tsdb_durable *durable);

/* Whether the file of a window has all that the window has, or there is no such window; and whether
 * it may be written, if it has not. Threads: any. */
bool tsdb_durable_is_saved(struct tsdb_durable *durable, int32_t number);
bool tsdb_durable_may_save(struct tsdb_durable *durable, int32_t number);

/* What is appended to a window from here on is in no file of it. With the turn's mutex. */
void tsdb_durable_begin_filling(struct tsdb_durable *durable, int32_t number);

/* Changes with each series that is made or removed. */
uint64_t tsdb_durable_stamp(struct quarry_tsdb *tsdb);
/* Something was lost: counted, kept, told. */
void tsdb_durable_lost(struct tsdb_durable *durable, const struct quarry_tsdb_loss *loss);
/* Something of a window's file was. */
void tsdb_durable_file_lost(struct tsdb_durable *durable, int32_t number, uint64_t sample_count);
/* A sync has failed: nothing more is acknowledged. */
void tsdb_durable_poison(struct tsdb_durable *durable, enum quarry_status status);
/* Files stay as they are, likewise. With `mutex`. */
void tsdb_durable_freeze(struct tsdb_durable *durable, enum quarry_status status);
/* QUARRY_OK, or what the sync failed with. */
enum quarry_status tsdb_durable_status(const struct tsdb_durable *durable);

/* Has the name of a directory survive. Errors: those of quarry_vfs_sync_directory. */
enum quarry_status tsdb_durable_sync_parent(struct tsdb_durable *durable, const char *directory,
                                            struct quarry_error *error);

/* Where a window's file is. */
struct tsdb_section_place tsdb_durable_place(const struct tsdb_durable *durable, int32_t number);

/* The file of a number; NULL: there is none. With either mutex. */
struct tsdb_durable_file *tsdb_durable_file_of(struct tsdb_durable *durable, int32_t number);
/* Adds a file. Returns: NULL: there are too many. With both mutexes. */
struct tsdb_durable_file *tsdb_durable_file_add(struct tsdb_durable *durable, int32_t number,
                                                uint64_t salt);
/* Forgets one. With both mutexes. */
void tsdb_durable_file_forget(struct tsdb_durable *durable, int32_t number);

/* Whether not all samples of a window found room. With `mutex`. */
bool tsdb_durable_is_lacking(const struct tsdb_durable *durable, int64_t number);
/* The image that a window was read from; NULL: there is none. With `mutex`. */
const struct tsdb_durable_image *tsdb_durable_image_of(const struct tsdb_durable *durable,
                                                       int64_t number);

/* ---- window_save.c, window_load.c ----------------------------------------------------------- */

/* Kinds of sections: of window files and of snapshots. */
enum tsdb_section_kind {
    TSDB_SECTION_INFO = 1,   /* index 0 and, of windows, 1: the same twice */
    TSDB_SECTION_BYTES = 2,  /* of the sealed space, by segment */
    TSDB_SECTION_SERIES = 3, /* chunks of series, of windows */
    /* of snapshots */
    TSDB_SECTION_SYMBOLS = 4,
    TSDB_SECTION_LABELS = 5, /* of series: numbers of symbols */
    TSDB_SECTION_OPEN_INFO = 6,
    TSDB_SECTION_OPEN_CHAINS = 7,
    TSDB_SECTION_OPEN_CHUNKLETS = 8,
    TSDB_SECTION_OPEN_HEADS = 9,
    TSDB_SECTION_EXEMPLARS = 16, /* of windows: chunks of exemplars */
    TSDB_SECTION_LOG = 17,       /* of windows: what of their log is in the file */
    TSDB_SECTION_DELETED = 18,   /* of tombstones: spans of series */
};

/* Of that section: the number of the first segment that is not; and one more than how many there
 * are below it, where these have all of the window's samples, else 0. (1, which earlier versions
 * wrote there, says nothing.) */
#define TSDB_WINDOW_LOG_BYTES 16u

/* Of the info of a snapshot, and for each file that it covers. */
#define TSDB_SNAPSHOT_INFO_BYTES 24u
#define TSDB_SNAPSHOT_FILE_BYTES 16u
/* In front of a symbol's text; in front of a series' labels; of each of those. */
#define TSDB_SNAPSHOT_SYMBOL_BYTES 12u
#define TSDB_SNAPSHOT_SERIES_BYTES 12u
#define TSDB_SNAPSHOT_LABEL_BYTES  4u

/* Of an info of a window: its length and its bytes in use, then six numbers for each shard. */
#define TSDB_WINDOW_INFO_BYTES (16 + 48 * TSDB_SHARD_COUNT)

/* What of a window's log a file has. */
struct tsdb_window_mark {
    uint64_t log_from;
    /* segments below that have all of its samples together; 0: they have not, or nobody knows */
    uint64_t whole_count;
};

/* Writes the file of a window that is sealed. `window`: borrowed, pinned by a view.
 * `ret_salt`: of the file. Errors: those of tsdb_section_file_write. With `mutex`. */
enum quarry_status tsdb_window_save(struct tsdb_durable *durable, const struct tsdb_window *window,
                                    const struct tsdb_window_mark *mark, uint64_t *ret_salt,
                                    struct quarry_error *error);

/*
 * Reads the series of a window's file into the registry, as far as they go there with their ids.
 * `file`: of the list; its `ids` are made. Errors: QUARRY_NO_MEMORY. With both mutexes.
 */
enum quarry_status tsdb_window_load_series(struct tsdb_durable *durable,
                                           struct tsdb_durable_file *file,
                                           struct tsdb_section_file *sections,
                                           struct quarry_error *error);

/* What came of loading a window. */
struct tsdb_window_loaded {
    struct tsdb_window *window; /* own; NULL: there is none */
    uint64_t lost_samples;
    uint64_t lost_bytes;
    uint64_t left_out_samples; /* of series that are left out */
    int64_t max_ms;            /* of its samples; INT64_MIN: none */
    bool has_mark;
    struct tsdb_window_mark mark; /* if it has one */
};
/*
 * Reads a window's file into memory. What is damaged is left out.
 * Errors: QUARRY_CORRUPT: nothing can be had of it; QUARRY_NO_MEMORY, QUARRY_TOO_MANY, … With
 * `mutex`.
 */
enum quarry_status tsdb_window_load(struct tsdb_durable *durable,
                                    const struct tsdb_durable_file *file,
                                    struct tsdb_window_loaded *ret_loaded,
                                    struct quarry_error *error);
/* The length of its windows that a file was written with. Errors: QUARRY_CORRUPT. */
enum quarry_status tsdb_window_file_length(struct tsdb_section_file *sections, int64_t *ret_ms);

/* ---- registry_save.c, registry_load.c -------------------------------------------------------- */

struct tsdb_window_images;

/* Writes a snapshot of the registry into a directory. `images`: to go with it; NULL: none. Errors:
 * those of tsdb_snapshot_write. With `mutex`. */
enum quarry_status tsdb_registry_save(struct tsdb_durable *durable, const char *directory,
                                      const struct tsdb_window_images *images,
                                      struct quarry_error *error);
/*
 * Finds the newest snapshot whose head is whole, and marks files as covered by it, with the salts
 * that they must have.
 * Errors: QUARRY_NOT_FOUND: there is none; QUARRY_NO_MEMORY, QUARRY_BAD_INPUT (of windows of
 * another length). With both mutexes.
 */
enum quarry_status tsdb_registry_mark(struct tsdb_durable *durable, struct quarry_error *error);
/*
 * Reads that snapshot into the registry, series without a window from `window_min` on left out.
 * Errors: QUARRY_NOT_FOUND: there is none; QUARRY_NO_MEMORY, QUARRY_CORRUPT: it was told, files
 * must be marked anew. With both mutexes.
 */
enum quarry_status tsdb_registry_load(struct tsdb_durable *durable, int32_t window_min,
                                      struct quarry_error *error);
/* Makes a series that was there, if there is room; or leaves it out. `ret_is_known`: the id means
 * it now. Errors: none so far. */
enum quarry_status tsdb_registry_bring_back(struct tsdb_durable *durable,
                                            const struct tsdb_series_known *series,
                                            bool *ret_is_known);

/* ---- recover.c ------------------------------------------------------------------------------ */

/* One piece of what is to be read before the store is ready. With `mutex`. */
void tsdb_recover_step(struct tsdb_durable *durable);

/* ---- durable_append.c ----------------------------------------------------------------------- */

struct tsdb_append;

/* Logs what a request is about to append. Errors: those of tsdb_log_append: nothing is appended. */
enum quarry_status tsdb_durable_log(struct tsdb_append *append);
/* Logs exemplars that are about to be put in. `index`: of their window, in the view; its shards
 * have promised not to be sealed. Errors: as above: none of them is put in. */
enum quarry_status tsdb_durable_log_exemplars(struct tsdb_append *append, uint32_t index,
                                              const struct tsdb_log_exemplar *exemplars,
                                              size_t count);
/* Waits for what the store's durability asks for. */
enum quarry_status tsdb_durable_wait(struct tsdb_append *append);
/* Logs all samples of open windows, for a store that has not, and is closed. */
enum quarry_status tsdb_durable_dump(struct tsdb_durable *durable, struct quarry_error *error);

#endif
